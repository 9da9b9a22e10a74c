"""`vatra tokenize`: what a model's tokenizer makes of a text."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from vatra.cli import options, terminal
from vatra.cli.prompt import prompt_text
from vatra.errors import printable


def command(
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="TEXT", help="The text; without it, or with -, standard input is read."
        ),
    ] = None,
    model: options.Model = None,
    bos: Annotated[
        bool | None,
        typer.Option("--bos/--no-bos", help="Begin with the token for it. [default: as the file]"),
    ] = None,
    special: Annotated[
        bool,
        typer.Option("--special/--no-special", help="Take special tokens in the text as such."),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array, for programs.")] = False,
) -> None:
    """Show the tokens of a text."""
    path = options.model_path(model)
    content = prompt_text(text)

    from vatra.formats import gguf, tokenizer

    found = tokenizer.load(gguf.read(path))
    ids = found.encode(content, bos=bos, special=special)
    pieces = [found.piece(token).decode("utf-8", "backslashreplace") for token in ids]
    if as_json:
        rows = [{"id": i, "piece": piece} for i, piece in zip(ids, pieces, strict=True)]
        terminal.write_line(json.dumps(rows))
        return
    for token, piece in zip(ids, pieces, strict=True):
        terminal.write_line(f"{token:>8}  {printable(piece)}")
