"""Finding the texts of special tokens in a text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from vatra.formats.prefixes import START, Lengths


class SpecialTokens:
    """Finds the texts of special tokens: from the left, at each place the longest."""

    def __init__(self, ids: Mapping[str, int]) -> None:
        self._ids = {text: token for text, token in ids.items() if text}
        self._lengths = Lengths(self._ids)
        first = "".join(map(re.escape, sorted({text[0] for text in self._ids})))
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
            for length in self._lengths[text[begin : begin + START]]:
                token = self._ids.get(text[begin : begin + length])
                if token is not None and begin + length <= len(text):
                    done = begin + length
                    yield begin, done, token
                    break
