"""How the next token is to be chosen: every number of it, its range, and what a file recommends.

The names and defaults are llama.cpp's, and so is the order. `sampler.py` does what is said here.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any

from vatra.errors import BadFile, UsageError

MAX_COUNT = 2**31 - 1
_MOST_DIGITS = len(str(MAX_COUNT))
MAX_SEED = 2**64 - 1

SAMPLERS = {  # in the order they are applied in, and the letters that llama.cpp has for them
    "penalties": "e",
    "dry": "d",
    "top_n_sigma": "s",
    "top_k": "k",
    "typical_p": "y",
    "top_p": "p",
    "min_p": "m",
    "xtc": "x",
    "temperature": "t",
}
MOST_TEXTS = 256  # to be looked for in a text or a vocabulary
ADAPTIVE = "adaptive_p"  # chooses the token, and so comes last wherever it is named
_OTHER_NAMES = {"typp": "typical_p", "typ": "typical_p", "temp": "temperature", "nucleus": "top_p"}
_BY_NAME = {name.replace("_", ""): name for name in (*SAMPLERS, ADAPTIVE)} | _OTHER_NAMES
_BY_LETTER = {letter: name for name, letter in SAMPLERS.items()} | {"a": ADAPTIVE}


def _number(default: float, low: float = -math.inf, high: float = math.inf) -> Any:
    """A field from `low` to `high`; an infinite bound is itself excluded."""
    return field(default=default, metadata={"range": (low, high), "type": float})


def _count(default: int | None, low: int, high: int = MAX_COUNT) -> Any:
    return field(default=default, metadata={"range": (low, high), "type": int})


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; raises UsageError for a value outside its range.

    `samplers` is the order: names, a string of names between semicolons, or of llama.cpp's letters;
    what it does not name is left out. `filters` are functions of (ids int64, logits float64, recent
    int64 tokens), which return logits or change those they are given; -inf takes a token away. They
    come where `samplers` has their names, else first. `logit_bias` adds to the logits of tokens,
    named by id or by their exact text; -inf bans. With `mirostat` 1 or 2 only that, the
    temperature, biases and filters count.
    """

    temperature: float = _number(0.8)  # 0 or below: always the likeliest
    top_k: int = _count(40, -1)  # 0 or -1: all
    top_p: float = _number(0.95, 0, 1)  # 1: all
    min_p: float = _number(0.05, 0, 1)  # 0: all
    repeat_penalty: float = _number(1.0, 1e-6, 1e6)
    frequency_penalty: float = _number(0.0, -1e6, 1e6)
    presence_penalty: float = _number(0.0, -1e6, 1e6)
    penalty_last_n: int = _count(64, -1)  # -1: all tokens so far
    seed: int | None = _count(None, 0, MAX_SEED)  # None: a new one each time
    typical_p: float = _number(1.0, 0, 1)  # 1: all
    top_n_sigma: float = _number(-1.0)  # 0 or below: all
    xtc_probability: float = _number(0.0, 0, 1)
    xtc_threshold: float = _number(0.1, 0, 1)  # above 0.5: never
    dynatemp_range: float = _number(0.0, 0, 1e6)
    dynatemp_exponent: float = _number(1.0, 0, 1e6)
    dry_multiplier: float = _number(0.0, 0, 1e6)  # 0: off
    dry_base: float = _number(1.75, 1, 1e6)
    dry_allowed_length: int = _count(2, 0)
    dry_last_n: int = _count(64, -1)  # -1: all tokens so far
    dry_breakers: tuple[str, ...] = ("\n", ":", '"', "*")
    mirostat: int = _count(0, 0, 2)
    mirostat_tau: float = _number(5.0, 0, 1000)  # bits of surprise aimed at
    mirostat_eta: float = _number(0.1, 0, 1000)  # how fast
    adaptive_target: float = _number(-1.0, -1, 1)  # negative: off
    adaptive_decay: float = _number(0.9, 0, 0.99)
    min_keep: int = _count(0, 0)  # that top_p, min_p, typical_p and xtc leave at least
    ignore_eos: bool = False
    logit_bias: Mapping[int | str, float] | tuple[tuple[int | str, float], ...] = ()
    samplers: str | Iterable[str] = tuple(SAMPLERS)
    filters: tuple[Callable[..., Any], ...] = ()
    recommended: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    """The fields whose values are a file's recommendation."""

    def __post_init__(self) -> None:
        for known in fields(self):
            value = getattr(self, known.name)
            if known.metadata and not (known.name == "seed" and value is None):
                read = _as_number if known.metadata["type"] is float else _as_count
                self._set(known.name, read(known.name, value, *known.metadata["range"]))
        self._set("ignore_eos", _as_flag("ignore_eos", self.ignore_eos))
        self._set("dry_breakers", _as_breakers(self.dry_breakers))
        self._set("logit_bias", _as_biases(self.logit_bias))
        self._set("filters", _as_filters(self.filters))
        own = [filter_name(user) for user in self.filters]
        self._set("samplers", tuple(_as_samplers(self.samplers, set(own))))
        for name in self.samplers:
            if own.count(name) > 1:
                raise UsageError(f"samplers: {name!r} is the name of {own.count(name)} filters")

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def changed(self, **given: Any) -> Sampling:
        """The same with other values; raises UsageError for a name that is no field."""
        known = {f.name for f in fields(self)} - {"recommended"}
        for name in given:
            if name not in known:
                close = get_close_matches(name, known, 1)
                meant = f"; did you mean {close[0]!r}?" if close else ""
                wanted = ", ".join(sorted(known))
                raise UsageError(f"sampling: {name!r} is not known, wanted {wanted}{meant}")
        return replace(self, **given, recommended=self.recommended - set(given))

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any], path: str = "", **given: Any) -> Sampling:
        """What a file recommends in `general.sampling.*`, and the values in `given` unless None.

        Raises BadFile for a recommendation outside its range, UsageError for a given value.
        """
        found: dict[str, Any] = {}
        for key, name in RECOMMENDED.items():
            if key in metadata:
                try:
                    value = metadata[key]
                    found[name] = _known_samplers(value)[0] if name == "samplers" else value
                    cls(**{name: found[name]})
                except UsageError as error:
                    raise BadFile(path, str(error), field=f'key "{key}"') from None
        said = cls(**found, recommended=frozenset(found))
        return said.changed(**{name: value for name, value in given.items() if value is not None})


RECOMMENDED = {  # metadata keys, and the fields that they set
    "general.sampling.sequence": "samplers",
    "general.sampling.temp": "temperature",
    "general.sampling.top_k": "top_k",
    "general.sampling.top_p": "top_p",
    "general.sampling.min_p": "min_p",
    "general.sampling.xtc_probability": "xtc_probability",
    "general.sampling.xtc_threshold": "xtc_threshold",
    "general.sampling.penalty_repeat": "repeat_penalty",
    "general.sampling.penalty_last_n": "penalty_last_n",
    "general.sampling.mirostat": "mirostat",
    "general.sampling.mirostat_tau": "mirostat_tau",
    "general.sampling.mirostat_eta": "mirostat_eta",
}


def not_honoured(metadata: Mapping[str, Any]) -> list[str]:
    """What `general.sampling.*` of a file asks for that is not done: keys, and names in one."""
    keys = [k for k in metadata if k.startswith("general.sampling.") and k not in RECOMMENDED]
    sequence = metadata.get("general.sampling.sequence", "")
    unknown = _known_samplers(sequence)[1] if isinstance(sequence, str) else []
    return [*keys, *(f"{name} of general.sampling.sequence" for name in unknown)]


def filter_name(function: Callable[..., Any]) -> str:
    """What a filter is called in `samplers` and in errors."""
    return str(getattr(function, "__name__", type(function).__name__))


def _sampler(name: str) -> str | None:
    return _BY_NAME.get(name.strip().lower().replace("-", "").replace("_", ""))


def _known_samplers(sequence: object) -> tuple[list[str], list[str]]:
    """The samplers that a file's sequence names, and the names that are none."""
    if not isinstance(sequence, str):
        raise UsageError(f"samplers: got {_short(sequence)}, wanted names between semicolons")
    names = [name for name in sequence.split(";") if name.strip()]
    return [n for n in names if _sampler(n)], [n.strip() for n in names if not _sampler(n)]


def _as_samplers(value: object, own: set[str]) -> list[str]:
    """The names in order; `own` are those of the person's filters."""
    wanted = f"some of {', '.join(SAMPLERS)}, or of the letters {''.join(SAMPLERS.values())}"
    if isinstance(value, str):
        if ";" in value or value in own or _sampler(value):
            names = [name for name in value.split(";") if name.strip()]
        else:
            names = [_BY_LETTER.get(letter, letter) for letter in value]
    elif isinstance(value, Iterable):
        names = list(value)
    else:
        raise UsageError(f"samplers: got {_short(value)}, wanted {wanted}")
    found: list[str] = []
    for name in names:
        known = _sampler(name) if isinstance(name, str) else None
        if known is None and not (isinstance(name, str) and name in own):
            raise UsageError(f"samplers: got {_short(name)}, wanted {wanted}")
        if known != ADAPTIVE:
            found.append(known or name)
    return found


def _as_filters(value: object) -> tuple[Callable[..., Any], ...]:
    found = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    for i, function in enumerate(found):
        if not callable(function):
            raise UsageError(f"filters[{i}]: got {_short(function)}, wanted a function")
        if _sampler(filter_name(function)):
            raise UsageError(f"filters[{i}]: {filter_name(function)} is a sampler's name already")
    return found


def _as_breakers(value: object) -> tuple[str, ...]:
    found = (value,) if isinstance(value, str) else value
    if not isinstance(found, (list, tuple)) or not all(isinstance(b, str) and b for b in found):
        raise UsageError(f"dry_breakers: got {_short(value)}, wanted texts that are not empty")
    if len(found) > MOST_TEXTS:  # each is looked for in the whole vocabulary
        raise UsageError(f"dry_breakers: got {len(found)} texts, wanted at most {MOST_TEXTS}")
    return tuple(found)


def named_token(name: str) -> int | str:
    """The token that a name in JSON means, where ids are texts too: its id, or its text."""
    return int(name) if name.isdecimal() and len(name) <= _MOST_DIGITS else name


def _as_biases(value: object) -> tuple[tuple[int | str, float], ...]:
    """Pairs of a token's id or text and what its logit gets."""
    pairs = value.items() if isinstance(value, Mapping) else value
    found: list[tuple[int | str, float]] = []
    try:
        listed = [(token, amount) for token, amount in pairs]  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise UsageError(
            f"logit_bias: got {_short(value)}, wanted tokens and numbers such as {{13: -1.5}}"
        ) from None
    for token, amount in listed:
        if not (isinstance(token, str) and token):
            token = _as_count("logit_bias", token, 0, MAX_COUNT)
        if not (isinstance(amount, float) and amount == -math.inf):
            amount = _as_number(f"logit_bias[{_short(token)}]", amount, -1e6, 1e6)
        found.append((token, amount))
    return tuple(found)


def _as_flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{name}: got {_short(value)}, wanted True or False")
    return value


def _as_number(name: str, value: object, low: float, high: float) -> float:
    """`value` as a float from `low` to `high`; raises UsageError naming the field."""
    if math.isfinite(low) and math.isfinite(high):
        wanted = f"a number from {low:g} to {high:g}"
    else:
        wanted = f"a finite number from {low:g}" if math.isfinite(low) else "a finite number"
    try:
        if isinstance(value, (str, bytes)) or _is_bool(value):
            raise TypeError
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{name}: got {_short(value)}, wanted {wanted}") from None
    if not (math.isfinite(number) and low <= number <= high):
        raise UsageError(f"{name}: got {number}, wanted {wanted}")
    return number


def _as_count(name: str, value: object, low: int, high: int) -> int:
    """`value` as an int from `low` to `high`; raises UsageError naming the field."""
    wanted = f"an integer from {low} to {high}"
    try:
        if _is_bool(value):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise UsageError(f"{name}: got {_short(value)}, wanted {wanted}") from None
    if not low <= number <= high:
        raise UsageError(f"{name}: got {number}, wanted {wanted}")
    return number


def _is_bool(value: object) -> bool:
    return isinstance(value, bool) or getattr(getattr(value, "dtype", None), "kind", "") == "b"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
