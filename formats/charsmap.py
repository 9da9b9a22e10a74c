"""Normalising text by SentencePiece's `precompiled_charsmap`: strings and what replaces them.

The map is an XOR-compressed double array (Kanda, "Space- and time-efficient string dictionaries",
2018) of 32-bit units, after 4 bytes of its size and before the replacements, each closed by a zero
byte. A unit has its label in bits 0-7, whether a string ends there in bit 8, and its base in bits
10-30, shifted by 8 more where bit 9 is set; the unit at the base of an end holds where in the
replacements its own begins.
"""

from __future__ import annotations

import re

import numpy as np

from vatra.formats.words import WordCache

_VALUE = 1 << 31  # marks a unit that is no letter


class CharsMap:
    """Replaces what a map lists: from the left, at each place the longest."""

    def __init__(self, data: bytes) -> None:
        """Reads the map of a file; ValueError for one that contradicts itself."""
        size = int.from_bytes(data[:4], "little")
        if len(data) < 4 or size % 4 or not 0 < size < len(data) - 4:
            raise ValueError(f"has {len(data)} bytes, and says that {size} of them are its table")
        units = np.frombuffer(data, "<u4", size // 4, 4).astype(np.int64)
        self._texts = data[4 + size :]
        bases = (units & ~_VALUE) >> 10 << ((units & 512) >> 6)
        labels = units & (_VALUE | 255)
        ends = np.flatnonzero((labels < _VALUE) & (units & 256 != 0))
        places = ends ^ bases[ends]
        if np.any(places >= len(units)):
            raise ValueError("has a table that leads out of itself")
        if self._texts[-1] or np.any(units[places] & ~_VALUE >= len(self._texts)):
            raise ValueError("has a table that leads out of its texts")
        self._units, self._bases = units.tolist(), bases.tolist()
        self._labels = labels.tolist()

        # Words may be looked up one by one if no string goes across a space, and those of ASCII
        # left alone where no string of ASCII begins.
        self._by_word = not np.any(labels == ord(" "))
        root = self._bases[0]
        first = [c for c in range(1, 128) if (node := self._child(root, c)) and self._begins(node)]
        self._in_ascii = re.compile(f"[{re.escape(bytes(first or [0]).decode())}]")
        self._words = WordCache(self._replaced)

    def normalize(self, text: str) -> str:
        """The text with every replacement made."""
        if self._by_word:
            return " ".join(map(self._words.__getitem__, text.split(" ")))
        return self._replaced(text)

    def _child(self, base: int, letter: int) -> int:
        """The unit that a byte leads to, 0 where there is none."""
        node = base ^ letter
        return node if node < len(self._labels) and self._labels[node] == letter else 0

    def _begins(self, node: int) -> bool:
        """Whether a string of ASCII may end at this unit, or behind it."""
        base = node ^ self._bases[node]
        return self._units[node] & 256 != 0 or any(self._child(base, c) for c in range(1, 128))

    def _replaced(self, text: str) -> str:
        if text.isascii() and not self._in_ascii.search(text):
            return text
        data = text.encode("utf-8")
        parts: list[bytes] = []
        at = 0
        while at < len(data):
            base, end, place = self._bases[0], at, 0
            for i in range(at, len(data)):
                node = self._child(base, data[i]) if data[i] else 0
                if not node:
                    break
                base = node ^ self._bases[node]
                if self._units[node] & 256:
                    end, place = i + 1, base
            if end > at:
                begin = self._units[place] & ~_VALUE
                parts.append(self._texts[begin : self._texts.index(0, begin)])
            else:
                end = at + 1
                parts.append(data[at:end])
            at = end
        return b"".join(parts).decode("utf-8", "replace")
