"""PLaMo 2's tokens (`plamo2`): the cover of a text with the best sum of scores, from its end.

Scores are counted in ten-thousandths, a character spelled in bytes costs 1000, tokens that cost
2000 or more are never used, and of equal covers the one that begins with the longest token counts.
"""

from __future__ import annotations

from functools import partial
from itertools import chain

import numpy as np

from vatra.formats.algorithm import Algorithm
from vatra.formats.checkpoint import Checkpoint
from vatra.formats.prefixes import START, Lengths
from vatra.formats.vocabulary import PREFIX, Vocabulary, scores
from vatra.formats.words import WordCache, before_spaces

_UNIT = 10_000
_SPELLED = 1000 * _UNIT
_NEVER = 2000 * _UNIT


class Plamo2(Algorithm):
    """Text to ids for `tokenizer.ggml.model = plamo2`."""

    def __init__(self, vocabulary: Vocabulary, checkpoint: Checkpoint) -> None:
        self._vocabulary = vocabulary
        missing = next((byte for byte in range(256) if byte not in vocabulary.byte_ids), None)
        if missing is not None:
            raise checkpoint.bad(PREFIX + "tokens", f"has no byte token <0x{missing:02X}>")
        self._bytes = {i: bytes((byte,)) for byte, i in vocabulary.byte_ids.items()}
        exact = -scores(checkpoint, len(vocabulary)) * _UNIT
        rounded = np.trunc(exact + np.copysign(0.5, exact))  # halves away from zero
        costs = np.where(np.isfinite(rounded), rounded, _NEVER).tolist()
        known = {
            text: (i, int(costs[i])) for text, i in vocabulary.words.items() if costs[i] < _NEVER
        }
        self._cut = before_spaces(" ", known)
        best = partial(_best_cover, known, Lengths(known), vocabulary.byte_ids)
        self._words = WordCache(best)

    def encode(self, text: str, begins: bool) -> list[int]:
        """The ids of a text without special tokens; a byte order mark in front is no part of it."""
        words = self._cut(text.removeprefix("\ufeff"))
        return list(chain.from_iterable(map(self._words.__getitem__, words)))

    def piece(self, token: int) -> bytes:
        text = self._vocabulary.texts[token]
        return self._bytes.get(token) or text.encode("utf-8", "surrogateescape")


def _best_cover(
    known: dict[str, tuple[int, int]], lengths: Lengths[str], byte_ids: dict[int, int], text: str
) -> tuple[int, ...]:
    n = len(text)
    cost = [0] * (n + 1)  # of the best cover from each character to the end
    first: list[tuple[int, int]] = [(-1, 1)] * n  # its first token (-1: bytes), and how long it is
    for at in range(n - 1, -1, -1):
        best, choice = cost[at + 1] + _SPELLED, (-1, 1)
        for length in reversed(lengths[text[at : at + START]]):
            found = known.get(text[at : at + length])
            if found is not None and at + length <= n:
                price = cost[at + length] + found[1]
                if price <= best:
                    best, choice = price, (found[0], length)
        cost[at], first[at] = best, choice
    ids: list[int] = []
    at = 0
    while at < n:
        token, length = first[at]
        if token < 0:
            ids += [byte_ids[byte] for byte in text[at].encode("utf-8")]
        else:
            ids.append(token)
        at += length
    return tuple(ids)
