"""The command-line options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vatra import spark
from vatra.errors import UsageError


class Backend(StrEnum):
    """What evaluates the model."""

    cpu = "cpu"
    reference = "reference"


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
MaxTokens = Annotated[
    int | None,
    typer.Option(
        "-n", "--max-tokens", metavar="N", min=1, help="Most tokens to write. [default: to the end]"
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        metavar="T",
        min=0.0,
        help="0 always takes the likeliest token. [default: the file's, else 0.8]",
    ),
]
TopK = Annotated[
    int | None,
    typer.Option(
        "--top-k",
        metavar="K",
        min=0,
        help="Choose among the K likeliest; 0 is all. [default: the file's, else 40]",
    ),
]
TopP = Annotated[
    float | None,
    typer.Option(
        "--top-p",
        metavar="P",
        min=0.0,
        max=1.0,
        help="Choose among the likeliest that sum to P; 1 is all. [default: the file's, else 0.95]",
    ),
]
MinP = Annotated[
    float | None,
    typer.Option(
        "--min-p",
        metavar="P",
        min=0.0,
        max=1.0,
        help="Leave out what is below P times the likeliest; 0 is none. "
        "[default: the file's, else 0.05]",
    ),
]
RepeatPenalty = Annotated[
    float | None,
    typer.Option(
        "--repeat-penalty",
        metavar="X",
        help="Above 1 avoids repeating. [default: the file's, else 1.0]",
    ),
]
FrequencyPenalty = Annotated[
    float | None,
    typer.Option(
        "--frequency-penalty",
        metavar="X",
        help="Above 0 avoids a token more with each use. [default: 0.0]",
    ),
]
PresencePenalty = Annotated[
    float | None,
    typer.Option(
        "--presence-penalty",
        metavar="X",
        help="Above 0 avoids all tokens used. [default: 0.0]",
    ),
]
PenaltyLastN = Annotated[
    int | None,
    typer.Option(
        "--penalty-last-n",
        metavar="N",
        min=-1,
        help="Tokens back that penalties see; -1 is all. [default: the file's, else 64]",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=0, max=2**64 - 1, help="Same seed, same text. [default: a new one]"
    ),
]
Stop = Annotated[
    list[str] | None,
    typer.Option("--stop", metavar="TEXT", help="Stop before this text; may be repeated."),
]
Stats = Annotated[
    bool, typer.Option("--stats/--no-stats", help="Tell speeds on standard error at the end.")
]


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
