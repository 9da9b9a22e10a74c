"""The lengths worth trying where known strings that begin at a place of a text are sought."""

from __future__ import annotations

from collections.abc import Collection
from typing import Generic, TypeVar

S = TypeVar("S", str, bytes)

START = 4  # elements of a text that `Lengths` looks at
MAX_STARTS = 1 << 17


class Lengths(dict[S, tuple[int, ...]], Generic[S]):
    """Of `strings`, the lengths of those that may begin as a text does, the longest first.

    The keys are the first `START` elements of a text, or all of a shorter one. Lengths below START
    are sure. What was looked up is remembered; bounded, by starting over when full.
    """

    def __init__(self, strings: Collection[S]) -> None:
        super().__init__()
        self._strings: Collection[S] = strings
        self._long: dict[S, set[int]] = {}
        for string in strings:
            if len(string) >= START:
                self._long.setdefault(string[:START], set()).add(len(string))

    def __missing__(self, start: S) -> tuple[int, ...]:
        strings = self._strings
        found = [n for n in range(min(START - 1, len(start)), 0, -1) if start[:n] in strings]
        if start in self._long:
            found = sorted(self._long[start], reverse=True) + found
        lengths = tuple(found)
        if len(self) >= MAX_STARTS:
            self.clear()
        self[start] = lengths
        return lengths
