"""The command-line options that several commands share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from vatra import spark
from vatra.cli import completion
from vatra.errors import UsageError

# ---- the model and how it is run -----------------------------------------------------------------


class Backend(StrEnum):
    """What evaluates the model."""

    cpu = "cpu"
    reference = "reference"


class Thinking(StrEnum):
    """How the model's thinking is shown."""

    dim = "dim"
    hidden = "hidden"


class Speculation(StrEnum):
    """Where proposals of the next tokens come from."""

    off = "off"
    lookup = "lookup"


class Overflow(StrEnum):
    """What happens when the context is full."""

    stop = "stop"
    shift = "shift"


class KVFormat(StrEnum):
    """How keys and values of past tokens are kept."""

    f16 = "f16"
    f32 = "f32"
    q8_0 = "q8_0"
    q4_0 = "q4_0"


Model = Annotated[
    str | None,
    typer.Option(
        "-m",
        "--model",
        metavar="FILE",
        envvar="VATRA_MODEL",
        help="The GGUF file, or a name from `vatra list`. [default: the toy that comes with Vatra]",
        autocompletion=completion.models,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=1024,
        help="Threads to compute with. [default: one per core allowed]",
    ),
]
Context = Annotated[
    int | None,
    typer.Option(
        "--ctx",
        metavar="N",
        min=1,
        help="Tokens of context. [default: what the file says, as far as memory allows]",
    ),
]
KV = Annotated[
    KVFormat,
    typer.Option("--kv", help="Precision of the KV cache: q8_0 takes half of f16, q4_0 a quarter."),
]
Executor = Annotated[
    Backend, typer.Option("--backend", help="Compiled kernels, or plain NumPy to compare with.")
]


def _layers(text: str) -> int | str:
    """What `-ngl` says, for `vatra.load`; raises BadParameter."""
    if text not in ("auto", "all") and not text.isdecimal():
        raise typer.BadParameter(f"got {text!r}, wanted a number of layers, auto or all")
    return int(text) if text.isdecimal() else text


GpuLayers = Annotated[
    Any,
    typer.Option(
        "-ngl",
        "--gpu-layers",
        metavar="N|auto|all",
        parser=_layers,
        help="Layers that run on a graphics processor, the last of the model, and its output; "
        "auto is as many as fit there. [default: 0; with --device auto]",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="The graphics processor with that in its name; `vatra doctor` lists them. "
        "[default: the first]",
        autocompletion=completion.devices,
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(
        "-n", "--max-tokens", metavar="N", min=1, help="Most tokens to write. [default: to the end]"
    ),
]
Stop = Annotated[
    list[str] | None,
    typer.Option("--stop", metavar="TEXT", help="Stop before this text; may be repeated."),
]
System = Annotated[
    str | None, typer.Option(metavar="TEXT", help="What the model is told beforehand.")
]
Chat = Annotated[
    bool | None,
    typer.Option(
        "--chat/--raw",
        help="Answer a prompt as a chat would, or continue its text. "
        "[default: chat, if the file has a chat template]",
    ),
]
Template = Annotated[
    str | None,
    typer.Option(
        "--chat-template",
        metavar="FILE",
        help="A Jinja template to use instead of the model's.",
    ),
]
ShownThinking = Annotated[
    Thinking, typer.Option("--thinking", help="How the model's thinking is shown.")
]
Json = Annotated[bool, typer.Option("--json", help="The answer must be a JSON object.")]
JsonSchema = Annotated[
    Path | None,
    typer.Option("--json-schema", metavar="FILE", help="The answer must be JSON of that schema."),
]
Grammar = Annotated[
    Path | None,
    typer.Option("--grammar", metavar="FILE", help="The answer must be what that GBNF allows."),
]
Speculate = Annotated[
    Speculation,
    typer.Option(
        "--speculate",
        help="Evaluate several tokens at once where the text seems to repeat itself; "
        "the answer is the same, and may come faster.",
    ),
]
Draft = Annotated[
    str | None,
    typer.Option(
        "--draft", metavar="FILE", help="A smaller model of the same family, to propose tokens."
    ),
]
WhenFull = Annotated[
    Overflow,
    typer.Option("--overflow", help="When the context is full: stop, or forget what is oldest."),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Tell on standard error where the time went.")
]
Stats = Annotated[
    bool, typer.Option("--stats/--no-stats", help="Tell speeds on standard error at the end.")
]


# ---- sampling ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SamplingOption:
    """A field of `Sampling` as an option of commands and a setting of a chat.

    `read` makes the field's value of a text; what it raises ValueError for, `Sampling` refuses. An
    option that is `many` may be repeated, and its texts are read together; without a metavar it is
    a switch.
    """

    field: str
    read: Callable[[Any], Any]
    metavar: str
    help: str
    name: str = ""  # of the option, where that is not the field's
    many: bool = False

    @property
    def flag(self) -> str:
        return f"--{(self.name or self.field).replace('_', '-')}"

    @property
    def annotation(self) -> Any:
        """How the parser of commands is told of it."""
        kind: Any = (list[str] if self.many else str) if self.metavar else bool
        return Annotated[
            kind | None, typer.Option(self.flag, metavar=self.metavar or None, help=self.help)
        ]

    def value(self, given: Any) -> Any:
        """The value that a text means, or else the text, of which `Sampling` says what is wrong."""
        texts = [given] if self.many and isinstance(given, str) else given
        try:
            return self.read(texts)
        except ValueError:
            return given


def _biases(texts: list[str]) -> list[tuple[int | str, float]]:
    """TOKEN=X: a token by its id or its text, and what is added to its logit."""
    found = []
    for text in texts:
        token, _, amount = text.rpartition("=")
        found.append((int(token) if token.isdecimal() else token, float(amount)))
    return found


def _switch(given: bool | str) -> bool:
    if isinstance(given, str):
        if given not in ("on", "off"):
            raise ValueError(given)
        return given == "on"
    return given


SAMPLING = (
    SamplingOption("temperature", float, "T", "0 always takes the likeliest token."),
    SamplingOption("top_k", int, "K", "Choose among the K likeliest; 0 is all."),
    SamplingOption("top_p", float, "P", "Choose among the likeliest that sum to P; 1 is all."),
    SamplingOption("min_p", float, "P", "Leave out what is below P times the likeliest; 0 none."),
    SamplingOption("repeat_penalty", float, "X", "Above 1 avoids repeating."),
    SamplingOption("frequency_penalty", float, "X", "Above 0 avoids a token more with each use."),
    SamplingOption("presence_penalty", float, "X", "Above 0 avoids all tokens used."),
    SamplingOption("penalty_last_n", int, "N", "Tokens back that penalties see; -1 is all."),
    SamplingOption("seed", int, "N", "Same seed, same text."),
    SamplingOption("typical_p", float, "P", "Keep the tokens least surprising, that sum to P."),
    SamplingOption("top_n_sigma", float, "N", "Keep logits within N deviations of the highest."),
    SamplingOption("xtc_probability", float, "P", "How often to leave out the likeliest."),
    SamplingOption("xtc_threshold", float, "P", "What counts as likely for that."),
    SamplingOption("dynatemp_range", float, "X", "Temperature plus or minus X, by certainty."),
    SamplingOption("dynatemp_exponent", float, "X", "The curve of that."),
    SamplingOption("dry_multiplier", float, "X", "Above 0 avoids repeated sequences (DRY)."),
    SamplingOption("dry_base", float, "X", "DRY: growth with each repeated token."),
    SamplingOption("dry_allowed_length", int, "N", "DRY: repeated tokens that cost nothing."),
    SamplingOption("dry_last_n", int, "N", "DRY: tokens back that it sees; -1 is all."),
    SamplingOption(
        "dry_breakers", tuple, "TEXT", "DRY: ends a repetition; may be repeated.",
        "dry_breaker", many=True,
    ),
    SamplingOption("mirostat", int, "N", "1 or 2: aim at a surprise, in place of other filters."),
    SamplingOption("mirostat_tau", float, "X", "Mirostat: bits of surprise to aim at."),
    SamplingOption("mirostat_eta", float, "X", "Mirostat: how fast it learns."),
    SamplingOption("adaptive_target", float, "P", "Aim at this probability; below 0 is off."),
    SamplingOption("adaptive_decay", float, "P", "How long that remembers."),
    SamplingOption("min_keep", int, "N", "Tokens that filters leave at least."),
    SamplingOption("ignore_eos", _switch, "", "Never let the model end by itself."),
    SamplingOption(
        "logit_bias", _biases, "TOKEN=X", "Add X to a token's logit; -inf bans. May be repeated.",
        many=True,
    ),
    SamplingOption("samplers", str, "ORDER", "Filters in order: names with ; between, or letters."),
)  # fmt: skip


def with_sampling(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with an option for each row of SAMPLING in place of its parameter `sampling`.

    That gets the values given, by field; raises UsageError for one that `Sampling` refuses.
    """
    rows = {row.field: row for row in SAMPLING}

    def gathered(values: dict[str, Any]) -> dict[str, Any]:
        return _checked({rows[name]: text for name, text in values.items() if text is not None})

    options = {name: (row.annotation, None) for name, row in rows.items()}
    return _with_options(command, "sampling", options, gathered)


def _checked(given: dict[SamplingOption, str]) -> dict[str, Any]:
    """The values of `given` by field."""
    if not given:
        return {}
    from vatra.engine.sampling import Sampling

    values = {row.field: row.value(text) for row, text in given.items()}
    for row in given:
        try:
            Sampling(**{row.field: values[row.field]})
        except UsageError as error:
            raise UsageError(f"{row.flag}{str(error).removeprefix(row.field)}") from None
    return values


def sampling_setting(name: str) -> SamplingOption | None:
    """The row whose field is `name`."""
    return next((row for row in SAMPLING if row.field == name), None)


@cache
def sampling_defaults() -> dict[str, str]:
    """The default of each field of `Sampling`, in the words of its help."""
    from vatra.engine.sampling import RECOMMENDED, SAMPLERS, Sampling

    known = Sampling()
    values = {row.field: getattr(known, row.field) for row in SAMPLING}
    texts = {name: f"{value:g}" for name, value in values.items() if isinstance(value, float)}
    texts |= {name: str(value) for name, value in values.items() if type(value) is int}
    texts |= {
        "seed": "a new one",
        "samplers": "".join(SAMPLERS.values()),
        "dry_breakers": " ".join(repr(text)[1:-1] for text in known.dry_breakers),
    }
    recommended = set(RECOMMENDED.values())
    return {
        name: f"the file's, else {text}" if name in recommended else text
        for name, text in texts.items()
    }


# ---- where a model is computed -------------------------------------------------------------------

HARDWARE = {
    "threads": (Threads, None),
    "backend": (Executor, Backend.cpu),
    "gpu_layers": (GpuLayers, None),
    "device": (Device, None),
}


def with_hardware(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with the options of HARDWARE in place of its parameter `hardware`.

    That gets them by name, as `vatra.load` takes them.
    """

    def gathered(values: dict[str, Any]) -> dict[str, Any]:
        return values | {"backend": values["backend"].value}

    return _with_options(command, "hardware", HARDWARE, gathered)


def _with_options(
    command: Callable[..., None],
    name: str,
    options: Mapping[str, tuple[Any, Any]],
    gathered: Callable[[dict[str, Any]], Any],
) -> Callable[..., None]:
    """`command` with `options`, annotation and default of each, in place of its parameter `name`.

    That gets what `gathered` makes of their values.
    """

    def wrapped(**values: Any) -> None:
        given = {option: values.pop(option) for option in options}
        command(**values, **{name: gathered(given)})

    parameters: list[inspect.Parameter] = []
    for own in inspect.signature(command, eval_str=True).parameters.values():
        if own.name != name:
            parameters.append(own)
            continue
        for option, (annotation, default) in options.items():
            parameters.append(
                inspect.Parameter(option, own.kind, default=default, annotation=annotation)
            )
    # The parser of commands reads the one, the types of their options the other.
    wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in parameters}
    wrapped.__doc__, wrapped.__module__ = command.__doc__, command.__module__
    return wrapped


# ---- what goes together --------------------------------------------------------------------------


def check_raw(chat: bool | None, system: str | None, chat_template: str | None) -> None:
    """Raise UsageError where a text is to be continued, but options of a chat are given."""
    if chat is False and (system is not None or chat_template is not None):
        raise UsageError("--raw: a text to continue has neither a system text nor a chat template")


# ---- the model -----------------------------------------------------------------------------------


def model_path(model: str | None) -> Path:
    """The file of the model that was asked for, by path or by name, else the toy.

    Raises MissingFile where no model has that name, UsageError where several have.
    """
    from vatra.formats import shelf

    if model is None:
        return spark.path()
    if not model:
        raise UsageError("the name of the model is empty: give a GGUF file or a name with -m FILE")
    return shelf.find(model)
