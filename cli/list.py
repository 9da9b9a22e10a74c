"""`vatra list`: the models on this machine, and whether they run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vatra.cli import terminal
from vatra.cli.table import byte_size, table
from vatra.errors import VatraError, printable

if TYPE_CHECKING:
    from vatra.engine.memory import Available
    from vatra.formats.checkpoint import Metadata
    from vatra.formats.shelf import Entry


def command(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array, for programs.")] = False,
) -> None:
    """List the models on this machine, to be named with -m.

    They are looked for in the current folder, in those that VATRA_MODELS names, in the cache of
    Hugging Face, and in the folders of LM Studio and Ollama.
    """
    from vatra.engine import memory
    from vatra.formats import shelf

    left = memory.available()
    rows = [_row(entry, left) for entry in shelf.models()]
    if as_json:
        terminal.write_line(json.dumps([row.as_dict() for row in rows]))
        return
    for line in _lines(rows) if rows else ():
        terminal.write_line(line)
    if not rows:
        terminal.note(f"no models in {', '.join(map(printable, shelf.places()))}")
        terminal.note("`vatra pull hf:ggml-org/gemma-3-270m-it-GGUF` fetches a small one")
    for repo, parts in shelf.interrupted().items():
        n_bytes = byte_size(sum(part.stat().st_size for part in parts))
        name = printable(repo)
        terminal.note(f"{name}: {n_bytes} are there of a `vatra pull` that has not finished")


def runs(entry: Entry) -> bool:
    """True if nothing in a model's head speaks against it, however large it is."""
    return not _row(entry, None).why_not


@dataclass(frozen=True)
class _Row:
    """What is told of a model."""

    entry: Entry
    quant: str
    parameters: str
    architecture: str
    why_not: str  # it runs, if empty

    def as_dict(self) -> dict[str, Any]:
        """The row as JSON can hold it."""
        return {
            "name": self.entry.name,
            "quant": self.quant,
            "parameters": self.parameters,
            "bytes": self.entry.n_bytes,
            "place": self.entry.place,
            "files": [str(file) for file in self.entry.files],
            "architecture": self.architecture,
            "runs": not self.why_not,
            "why_not": self.why_not,
        }


def _lines(rows: list[_Row]) -> list[str]:
    cells = [
        (
            printable(row.entry.name),
            printable(row.quant),
            printable(row.parameters),
            byte_size(row.entry.n_bytes),
            row.entry.place,
            f"no: {printable(row.why_not)}" if row.why_not else "yes",
        )
        for row in rows
    ]
    return list(table(("name", "weights", "parameters", "size", "where", "runs"), cells))


def _row(entry: Entry, left: Available | None) -> _Row:
    """What the names and the first keys of a model's file tell; nothing more of it is read."""
    from vatra.formats import gguf
    from vatra.formats.variants import size_of

    try:
        head, n_tensors = gguf.read_head(entry.path)
    except VatraError as error:
        what = getattr(error, "what", str(error))
        return _Row(entry, entry.quant, size_of(entry.name), "", what)
    architecture = _text(head, "general.architecture")
    return _Row(
        entry,
        entry.quant or _file_type(head),
        _text(head, "general.size_label") or size_of(entry.name),
        architecture,
        _why_not(entry, head, architecture, n_tensors, left),
    )


def _why_not(
    entry: Entry, head: Metadata, architecture: str, n_tensors: int, left: Available | None
) -> str:
    """Why a model cannot run here, as far as its head tells; empty if nothing speaks against it."""
    from vatra import models
    from vatra.engine.memory import mebibytes
    from vatra.engine.requirements import PROGRAM_BYTES

    kind = _text(head, "general.type")
    if kind not in ("", "model"):
        return f"not a model but {kind}"
    if len(entry.files) != entry.n_parts:
        return f"{entry.n_parts - len(entry.files)} of {entry.n_parts} parts are missing"
    if entry.n_parts == 1 and not n_tensors:
        return "a vocabulary alone, no weights"
    if not architecture:
        return "names no architecture"
    if architecture not in models.known():
        return f"architecture {architecture!r} is not supported"
    needed = entry.n_bytes + PROGRAM_BYTES
    if left is not None and needed > left.n_bytes:
        return f"needs {mebibytes(needed)} of memory, {mebibytes(left.n_bytes)} are {left.reason}"
    return ""


def _text(head: Metadata, key: str) -> str:
    value = head.get(key)
    return value if isinstance(value, str) else ""


def _file_type(head: Metadata) -> str:
    """The weight format that a file gives as a number, by ggml's name for it."""
    number = head.get("general.file_type")
    if not isinstance(number, int):
        return ""
    from gguf import LlamaFileType

    try:
        return LlamaFileType(number).name.removeprefix("MOSTLY_").removeprefix("ALL_")
    except ValueError:
        return ""
