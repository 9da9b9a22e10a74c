"""Words whose ids are remembered, and where a text may be cut into them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import regex

MAX_WORDS = 1 << 17
MAX_LENGTH = 128  # characters; longer words seldom come twice
V = TypeVar("V")


class WordCache(dict[str, V], Generic[V]):
    """What `encode` makes of words, found the first time; bounded, by starting over when full."""

    def __init__(self, encode: Callable[[str], V]) -> None:
        super().__init__()
        self._encode = encode

    def __missing__(self, word: str) -> V:
        found = self._encode(word)
        if len(word) <= MAX_LENGTH:
            if len(self) >= MAX_WORDS:
                self.clear()
            self[word] = found
        return found


def before_spaces(space: str, tokens: Iterable[str]) -> Callable[[str], list[str]]:
    """A function that cuts a text in front of its spaces, where that changes no id.

    No token can be found across two characters that none of `tokens` has side by side. Where the
    second of them is the space, the text can be cut, and each word be remembered.
    """
    joined = set(re.findall(f"([^\0{space}]){space}", "\0".join(tokens)))
    crossing = "".join(map(regex.escape, sorted(joined)))
    return regex.compile(f"(?<=[^{space}{crossing}])(?={space})").split
