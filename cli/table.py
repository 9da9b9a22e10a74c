"""Rows and sizes as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Iterable[str]:
    """The lines of a table, its columns as wide as they need to be."""
    cells = [head, *(tuple(map(str, row)) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for row in cells:
        yield "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def byte_size(n_bytes: int) -> str:
    """A number of bytes in the unit that suits it."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= factor:
            return f"{n_bytes / factor:.2f} {unit}"
    return f"{n_bytes} bytes"
