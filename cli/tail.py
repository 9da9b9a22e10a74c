"""The last lines of a terminal, which may still change, below lines that never do again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vatra.cli import terminal
from vatra.cli.markdown import Line


class Tail:
    """Draws lines over those drawn before: only from the first that differs, and in one piece.

    What has left the screen at its upper edge can no longer be changed, and stays as it is. The
    cursor rests at the end of the last line; nothing else may be written meanwhile.
    """

    def __init__(self, size: Callable[[], tuple[int, int]] = terminal.size) -> None:
        self._size = size  # columns, rows
        self._columns = 0
        self._shown: list[Line] = []

    def draw(self, final: Sequence[Line], draft: Sequence[Line]) -> None:
        """Show `final` and then `draft`, of which only `draft` will change."""
        columns, rows = self._size()
        shown, lines = self._shown, [*final, *draft]
        reached = _within(shown, columns, rows - 1)
        pairs = enumerate(zip(shown, lines, strict=False))
        same = next((i for i, (a, b) in pairs if a != b), min(len(shown), len(lines)))
        old = new = max(reached, same)
        if reached and columns != self._columns:
            new = 0  # nobody knows what the lines above look like in other columns: all once more
        if old < len(shown) and 0 < new == len(lines):  # the cursor has to rest at a last line
            old, new = max(reached, old - 1), new - 1
        above, below = shown[old:], lines[new:]
        self._columns, self._shown = columns, list(draft)
        parts = []
        if above:
            up = sum(_rows(line, columns) for line in above) - 1
            parts.append(f"\x1b[{up}A\r" if up else "\r")
        elif shown and below:
            parts.append("\n")
        parts.append("\n".join(f"{line.text}\x1b[K" for line in below))
        if above:
            parts.append("\x1b[J")
        if lines and not draft:
            parts.append("\n")
        terminal.send("".join(parts))


def _within(lines: Sequence[Line], columns: int, rows: int) -> int:
    """The index of the first of `lines` that the last `rows` rows of a terminal hold."""
    for i in range(len(lines) - 1, -1, -1):
        rows -= _rows(lines[i], columns)
        if rows < 0:
            return i + 1
    return 0


def _rows(line: Line, columns: int) -> int:
    """The rows that a line takes in a terminal that has become narrower since it was drawn."""
    return max(1, -(-line.cells // columns))
