"""`vatra embed`: vectors of texts, how alike they are, or how well they answer a query."""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vatra.cli import options, terminal
from vatra.cli.notes import tell_notes, tell_toy
from vatra.cli.prompt import prompt_text
from vatra.errors import UsageError, printable

if TYPE_CHECKING:
    import numpy as np

    from vatra.engine.model import Model

SHOWN_CHARACTERS = 40  # of a text, beside its row of similarities


class Pooling(StrEnum):
    """How the vectors of a text's tokens become one."""

    mean = "mean"
    cls = "cls"
    last = "last"
    none = "none"


@options.with_hardware
def command(
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT...", help="The texts; without any, each line of standard input is one."
        ),
    ] = None,
    model: options.Model = None,
    pooling: Annotated[
        Pooling | None,
        typer.Option(
            help="Mean of the tokens' vectors, the first one, the last one, or all of them. "
            "[default: the file's, else mean]"
        ),
    ] = None,
    normalise: Annotated[
        bool, typer.Option("--normalise/--raw", help="Give every vector the length 1.")
    ] = True,
    similarity: Annotated[
        bool, typer.Option("--similarity", help="Show the cosine of each two texts instead.")
    ] = False,
    rank: Annotated[
        str | None,
        typer.Option(
            "--rank", metavar="QUERY", help="Show how well each text answers a query instead."
        ),
    ] = None,
    ctx: options.Context = None,
    *,
    hardware: dict[str, Any],
) -> None:
    """Make vectors of texts.

    Each text gives one line of JSON. Texts that mean the same have vectors of a high cosine, if the
    model was trained to make them.
    """
    if (similarity or rank is not None) and pooling is Pooling.none:
        raise UsageError("--pooling none gives no vector of a whole text to compare")
    if similarity and rank is not None:
        raise UsageError("--similarity and --rank can not be had together")
    path = options.model_path(model)
    given = texts or [line.removesuffix("\r") for line in prompt_text(None).split("\n")]
    if model is None:
        tell_toy(path)

    from vatra.cli.progress import waiting

    with waiting() as shown:
        import vatra

        loaded = vatra.load(path, ctx=ctx, **hardware)
        shown.clear()
        tell_notes(loaded)
        if rank is not None:
            for text, score in zip(given, loaded.rank(rank, given), strict=True):
                _write({"text": text, "score": float(score)})
        elif similarity:
            chosen = None if pooling is None else pooling.value
            for line in table(given, loaded.embed(given, chosen)):
                terminal.write_line(line)
        else:
            for text in given:
                found = _vectors(loaded, text, pooling, normalise)
                _write({"text": text, "embedding": _numbers(found)})


def _vectors(model: Model, text: str, pooling: Pooling | None, normalise: bool) -> np.ndarray:
    """(n_embd,), or (n_tokens, n_embd) without pooling."""
    if pooling is not Pooling.none:
        return model.embed(text, None if pooling is None else pooling.value, normalise)[0]
    from vatra.engine.embedding import normalised

    found = model.token_embeddings(text)
    return normalised(found) if normalise else found


def _numbers(values: np.ndarray) -> list[Any]:
    """As many digits as float32 has."""
    if values.ndim > 1:
        return [_numbers(row) for row in values]
    return [float(f"{value:.9g}") for value in values]


def _write(line: dict[str, object]) -> None:
    terminal.write_line(json.dumps(line, allow_nan=False))


def table(texts: list[str], vectors: np.ndarray) -> Iterable[str]:
    """The cosines of vectors (n, n_embd) of length 1: a row and a column for each text."""
    width = len(str(len(texts)))
    yield " " * width + "".join(f"{i:>9}" for i in range(1, len(texts) + 1))
    for i, (text, row) in enumerate(zip(texts, vectors @ vectors.T, strict=True), 1):
        cosines = "".join(f"{value:9.4f}" for value in row)
        yield f"{i:>{width}}{cosines}   {printable(text[:SHOWN_CHARACTERS])}"
