"""What can be changed while a chat goes on, by name and as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from vatra.cli import form
from vatra.cli.options import SAMPLING, Thinking, sampling_setting
from vatra.errors import UsageError

if TYPE_CHECKING:
    from vatra.engine.sampling import Sampling

DEFAULT = "default"  # as a value: what it was at the beginning
SWITCH = {"on": True, "off": False}


@dataclass
class Settings:
    """How answers are made and shown; `initial` are the values to return to."""

    sampling: Sampling
    max_tokens: int | None = None
    stop: list[str] = field(default_factory=list)
    thinking: Thinking = Thinking.dim
    markdown: bool = True
    stats: bool = False
    form: str = form.FREE

    def __post_init__(self) -> None:
        self.initial: dict[str, Any] = {name: self.value(name) for name in names()}

    def value(self, name: str) -> Any:
        """The value of the setting `name`; UsageError if there is none of that name."""
        name = _known(name)
        return getattr(self.sampling if sampling_setting(name) else self, name)

    def change(self, name: str, text: str) -> None:
        """Give the setting `name` the value that `text` means; UsageError if it means none."""
        name = _known(name)
        row = sampling_setting(name)
        if text == DEFAULT:
            self.put(name, self.initial[name])
        else:
            if _known(name) == "form":
                form.grammar_of(text)  # what is wrong in its file is told now
            self.put(name, row.value(text) if row else text)

    def put(self, name: str, value: Any) -> None:
        """Give the setting `name` a value; UsageError if it is none for it, or out of range."""
        if sampling_setting(_known(name)):
            self.sampling = self.sampling.changed(**{name: value})
        else:
            setattr(self, name, OTHERS[name].read(value))

    def put_all(self, values: Mapping[str, Any]) -> None:
        """Give settings their values, all of them or, if UsageError is raised, none."""
        before = dict(vars(self))
        try:
            for name, value in values.items():
                self.put(name, value)
        except UsageError:
            vars(self).update(before)
            raise


class Other(NamedTuple):
    """A setting that is no field of `Sampling`; `read` makes its value of a text, or of itself."""

    read: Callable[[Any], Any]
    help: str
    values: tuple[str, ...] = ()  # to choose from


def _max_tokens(value: Any) -> int | None:
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if number is None or (type(number) is int and 1 <= number < 2**31):
        return number
    raise UsageError(f"max_tokens: got {value!r:.60}, wanted an integer from 1, or {DEFAULT}")


def _stop(value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list) and all(isinstance(text, str) and text for text in texts):
        return texts
    raise UsageError(f"stop: got {value!r:.60}, wanted a text that is not empty")


def _one_of(name: str, values: dict[str, Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        for text, meant in values.items():
            if value is meant or value == text:
                return meant
        raise UsageError(f"{name}: got {value!r:.60}, wanted {' or '.join(values)}")

    return read


THINKING = {thinking.value: thinking for thinking in Thinking}
OTHERS = {
    "max_tokens": Other(_max_tokens, "Most tokens of an answer."),
    "stop": Other(_stop, "Stop before this text."),
    "thinking": Other(
        _one_of("thinking", THINKING), "How the model's thinking is shown.", tuple(THINKING)
    ),
    "markdown": Other(_one_of("markdown", SWITCH), "Draw Markdown.", tuple(SWITCH)),
    "stats": Other(_one_of("stats", SWITCH), "Tell speeds after each answer.", tuple(SWITCH)),
    "form": Other(
        form.check, "What answers must be: free, json, schema FILE or grammar FILE.", form.FORMS
    ),
}


def names() -> list[str]:
    """All settings, in the order they are shown."""
    return [*(row.field for row in SAMPLING), *OTHERS]


def help_of(name: str) -> str:
    """What a setting does, in a sentence."""
    row = sampling_setting(name)
    return row.help if row else OTHERS[name].help


def shown(value: Any) -> str:
    """A value as it may be typed."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return ", ".join(map(repr, value)) or DEFAULT
    if isinstance(value, float):
        return f"{value:g}"
    return DEFAULT if value is None else str(value)


def _known(name: str) -> str:
    name = name.removeprefix("--").replace("-", "_")
    if name not in names():
        near = get_close_matches(name, names(), 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names())}"
        raise UsageError(f"unknown setting {name!r}: {hint}")
    return name
