"""SentencePiece-style tokens (`llama`): neighbours joined by score, bytes for what is left over."""

from __future__ import annotations

from functools import partial
from itertools import chain

import numpy as np
import regex

from vatra.formats.checkpoint import Checkpoint
from vatra.formats.merges import merge
from vatra.formats.vocabulary import PREFIX, SPACE, TokenType, Vocabulary, numbers
from vatra.formats.words import WordCache


class SentencePiece:
    """Text to ids for `tokenizer.ggml.model = llama`."""

    add_bos = True
    add_sep = False
    space_prefix = True

    def __init__(self, vocabulary: Vocabulary, checkpoint: Checkpoint) -> None:
        self._vocabulary = vocabulary
        n = len(vocabulary)
        scores = numbers(checkpoint, "scores", n, "iuf")
        if scores is None:
            scores = np.zeros(n, np.float32)
        if np.isnan(scores).any():
            i = int(np.flatnonzero(np.isnan(scores))[0])
            raise checkpoint.bad(PREFIX + "scores", f"element {i} is not a number")
        # The best score is merged first; equal ones from the left.
        costs = (-scores.astype(np.float64)).tolist()
        word_costs = {text: costs[i] for text, i in vocabulary.words.items()}
        # No merge can join two characters that no token has side by side. Where one of them is the
        # space, text can be cut there and each word remembered, without changing any id.
        joined = {
            left
            for text in vocabulary.words
            if SPACE in text[1:]
            for left, right in zip(text, text[1:], strict=False)
            if right == SPACE and left != SPACE
        }
        crossing = "".join(map(regex.escape, sorted(joined)))
        self._cut = regex.compile(f"(?<=[^{SPACE}{crossing}])(?={SPACE})")
        self._words = WordCache(partial(_encode_word, vocabulary, word_costs))

    def encode(self, text: str) -> list[int]:
        """The ids of a text without special tokens."""
        words = self._cut.split(text.replace(" ", SPACE))
        return list(chain.from_iterable(map(self._words.__getitem__, words)))

    def piece(self, token: int) -> bytes:
        """What one token adds to a text."""
        text = self._vocabulary.texts[token]
        kind = self._vocabulary.types[token]
        if kind == TokenType.BYTE:
            return bytes((int(text[3:5], 16),))
        if kind != TokenType.USER_DEFINED:
            text = text.replace(SPACE, " ")
        return text.encode("utf-8", "surrogateescape")


def _encode_word(vocabulary: Vocabulary, costs: dict[str, float], word: str) -> tuple[int, ...]:
    ids: list[int] = []
    for symbol in merge(word, costs, ""):
        token = vocabulary.words.get(symbol)
        if token is None:
            ids += _spelled(vocabulary, symbol)
        else:
            ids.append(token)
    return tuple(ids)


def _spelled(vocabulary: Vocabulary, symbol: str) -> list[int]:
    """The symbol's bytes, or the unknown token where the vocabulary has no such bytes."""
    encoded = symbol.encode("utf-8")
    if all(byte in vocabulary.byte_ids for byte in encoded):
        return [vocabulary.byte_ids[byte] for byte in encoded]
    unknown = vocabulary.role.get("unknown")
    return [] if unknown is None else [unknown]
