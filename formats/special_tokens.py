"""Finding the texts of special tokens in a text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping


class SpecialTokens:
    """Finds the texts of special tokens: from the left, at each place the longest."""

    def __init__(self, ids: Mapping[str, int]) -> None:
        self._ids = {text: token for text, token in ids.items() if text}
        lengths: dict[str, set[int]] = {}
        for text in self._ids:
            lengths.setdefault(text[:2], set()).add(len(text))
        self._lengths = {start: sorted(found, reverse=True) for start, found in lengths.items()}
        first = "".join(re.escape(char) for char in sorted({text[0] for text in self._ids}))
        self._first = re.compile(f"[{first}]") if first else None

    def find(self, text: str) -> Iterator[tuple[int, int, int]]:
        """(begin, end, id) of each, without overlap."""
        if self._first is None:
            return
        done = 0
        for match in self._first.finditer(text):
            begin = match.start()
            if begin < done:
                continue
            for start in (text[begin : begin + 2], text[begin]):
                for length in self._lengths.get(start, ()):
                    token = self._ids.get(text[begin : begin + length])
                    if token is not None and begin + length <= len(text):
                        done = begin + length
                        yield begin, done, token
                        break
                if done > begin:
                    break
