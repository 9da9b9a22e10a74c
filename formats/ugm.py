"""Unigram tokens (`t5`): the normalised text covered by the tokens with the best sum of scores.

Ids are those of the SentencePiece library. User-defined tokens are taken out of a text before it
is normalised, so that no part of one is ever replaced.
"""

from __future__ import annotations

from functools import partial
from itertools import chain, groupby

import numpy as np

from vatra.formats.algorithm import Algorithm
from vatra.formats.charsmap import CharsMap
from vatra.formats.checkpoint import Checkpoint
from vatra.formats.prefixes import START, Lengths
from vatra.formats.vocabulary import PREFIX, SPACE, TokenType, Vocabulary, scores, spaced_piece
from vatra.formats.words import WordCache, before_spaces

_UNKNOWN = -1  # a character that no token covers
_UNKNOWN_PENALTY = np.float32(10)  # below the worst score of a token


class Unigram(Algorithm):
    """Text to ids for `tokenizer.ggml.model = t5`."""

    add_eos = True

    def __init__(self, vocabulary: Vocabulary, checkpoint: Checkpoint) -> None:
        self._vocabulary = vocabulary
        self._merges_spaces = checkpoint.get(PREFIX + "remove_extra_whitespaces", bool, False)
        self._adds_space = checkpoint.get(PREFIX + "add_space_prefix", bool, False)
        self.leading_space = self._merges_spaces or self._adds_space
        self._map = _chars_map(checkpoint)

        score = scores(checkpoint, len(vocabulary)).astype(np.float32)
        normal = score[np.array(vocabulary.types) == TokenType.NORMAL]
        unknown = float(normal.min(initial=np.inf) - _UNKNOWN_PENALTY) if len(normal) else 0.0
        score[list(vocabulary.user_defined)] = 0  # better than any logarithm of a probability
        values = score.tolist()
        known = {text: (i, values[i]) for text, i in vocabulary.words.items()}
        self._cut = before_spaces(SPACE, known)
        self._words = WordCache(partial(_best_cover, known, Lengths(known), unknown))

    def encode(self, text: str, begins: bool) -> list[int]:
        """The ids of a text without special tokens; neighbouring unknown characters are one."""
        words = self._cut(self._normalized(text))
        found = chain.from_iterable(map(self._words.__getitem__, words))
        unknown = self._vocabulary.role.get("unknown")
        ids: list[int] = []
        for is_unknown, run in groupby(found, _UNKNOWN.__eq__):
            if not is_unknown:
                ids += run
            elif unknown is not None:
                ids.append(unknown)
        return ids

    def piece(self, token: int) -> bytes:
        return spaced_piece(self._vocabulary, token)

    def _normalized(self, text: str) -> str:
        """The text with its characters replaced, and its spaces as the tokens have them."""
        if self._map is not None:
            text = self._map.normalize(text)
        if self._merges_spaces:
            return "".join(SPACE + word for word in text.split(" ") if word)
        if self._adds_space:
            words = text.lstrip(" ")
            if words:
                text = text[: len(text) - len(words)] + " " + words
        return text.replace(" ", SPACE)


def _chars_map(checkpoint: Checkpoint) -> CharsMap | None:
    key = PREFIX + "precompiled_charsmap"
    stored = checkpoint.get(key, np.ndarray, None)
    if stored is None:
        return None
    if stored.dtype.itemsize != 1:
        raise checkpoint.bad(key, f"holds {stored.dtype}, wanted bytes")
    try:
        return CharsMap(stored.tobytes())
    except ValueError as error:
        raise checkpoint.bad(key, str(error)) from None


def _best_cover(
    known: dict[str, tuple[int, float]], lengths: Lengths[str], unknown: float, text: str
) -> tuple[int, ...]:
    """The Viterbi path; of equal sums the one found first, whose last token is the longest."""
    n = len(text)
    best = [0.0] + [-np.inf] * n  # the best sum up to each character
    last = [(_UNKNOWN, 0)] * (n + 1)  # its last token, and where that begins
    for at in range(n):
        here = best[at]
        alone = False  # whether the character is a token by itself
        for length in lengths[text[at : at + START]]:
            found = known.get(text[at : at + length])
            if found is not None and at + length <= n:
                alone = alone or length == 1
                score = here + found[1]
                if score > best[at + length]:
                    best[at + length] = score
                    last[at + length] = found[0], at
        if not alone and here + unknown > best[at + 1]:
            best[at + 1] = here + unknown
            last[at + 1] = _UNKNOWN, at
    ids: list[int] = []
    at = n
    while at:
        token, at = last[at]
        ids.append(token)
    return tuple(reversed(ids))
