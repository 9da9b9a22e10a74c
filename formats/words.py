"""Words whose ids are remembered."""

from __future__ import annotations

from collections.abc import Callable

MAX_WORDS = 1 << 17
MAX_LENGTH = 128  # characters; longer words seldom come twice


class WordCache(dict[str, tuple[int, ...]]):
    """The ids of words, found with `encode` the first time; bounded, by starting over when full."""

    def __init__(self, encode: Callable[[str], tuple[int, ...]]) -> None:
        super().__init__()
        self._encode = encode

    def __missing__(self, word: str) -> tuple[int, ...]:
        ids = self._encode(word)
        if len(word) <= MAX_LENGTH:
            if len(self) >= MAX_WORDS:
                self.clear()
            self[word] = ids
        return ids
