"""Tables of numbers, with a bar beside each row where somebody looks at a terminal."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import NamedTuple

from vatra.cli import terminal

NARROW = 60  # columns of a terminal below which there is no room for bars
LEAST_BAR, LEAST_NAME = 10, 8  # columns
ENDLESS = 10_000  # columns of what is no terminal


class Section(NamedTuple):
    """A title, and rows of cells below `columns`; `values` are what the bars show."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    values: Sequence[float]


def show(sections: Sequence[Section]) -> None:
    """Print them on standard output: bars on terminals that can draw them, else plain columns."""
    stream = sys.stdout
    if terminal.has_colours(stream) or (terminal.is_terminal(stream) and _draws(stream.encoding)):
        from rich.console import Console

        console = Console(highlight=False, markup=False)
        draws = _draws(stream.encoding) and console.width >= NARROW
        terminal.write(rendered(sections, console.width, bars=draws))
    else:
        terminal.write(rendered(sections, ENDLESS, bars=False))


def _draws(encoding: str | None) -> bool:
    try:
        "\u2588\u258f\u2501".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def rendered(sections: Sequence[Section], width: int, *, bars: bool) -> str:
    """The sections as text, `width` columns wide at the most."""
    from rich.bar import Bar
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    def text(cell: str) -> Text:
        return Text(terminal.plain(cell))

    console = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
    for section in sections:
        table = Table(box=None, pad_edge=False, show_edge=False, expand=bars, header_style="")
        cells = zip(section.columns, *section.rows, strict=True)
        _, *widths = [max(map(len, column)) for column in cells]
        left = width - sum(widths) - 2 * len(widths) - (LEAST_BAR + 2 if bars else 0)
        # a number that is cut would say another one: only names are
        most = max(left, LEAST_NAME)
        table.add_column(
            text(section.columns[0]), no_wrap=True, overflow="ellipsis", max_width=most
        )
        for name, columns in zip(section.columns[1:], widths, strict=True):
            table.add_column(text(name), justify="right", no_wrap=True, min_width=columns)
        if bars:
            table.add_column("", ratio=1, min_width=LEAST_BAR)
        longest = max(section.values, default=0.0) or 1.0
        for row, value in zip(section.rows, section.values, strict=True):
            drawn = [Bar(longest, 0, value)] if bars else []
            table.add_row(*map(text, row), *drawn)
        console.print(text(section.title), soft_wrap=not bars)
        console.print(table)
        console.print()
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"
