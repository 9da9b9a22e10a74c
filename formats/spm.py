"""SentencePiece-style tokens (`llama`): neighbours joined by score, bytes for what is left over."""

from __future__ import annotations

from functools import partial
from itertools import chain

from vatra.formats.algorithm import Algorithm
from vatra.formats.checkpoint import Checkpoint
from vatra.formats.merges import merge
from vatra.formats.vocabulary import PREFIX, SPACE, Vocabulary, scores, spaced_piece
from vatra.formats.words import WordCache, before_spaces


class SentencePiece(Algorithm):
    """Text to ids for `tokenizer.ggml.model = llama`."""

    add_bos = True

    def __init__(self, vocabulary: Vocabulary, checkpoint: Checkpoint) -> None:
        self._vocabulary = vocabulary
        self.leading_space = checkpoint.get(PREFIX + "add_space_prefix", bool, True)
        # The best score is merged first; equal ones from the left.
        costs = (-scores(checkpoint, len(vocabulary))).tolist()
        word_costs = {text: costs[i] for text, i in vocabulary.words.items()}
        self._cut = before_spaces(SPACE, vocabulary.words)
        self._words = WordCache(partial(_encode_word, vocabulary, word_costs))

    def encode(self, text: str, begins: bool) -> list[int]:
        prefix = SPACE if self.leading_space and begins else ""
        words = self._cut(prefix + text.replace(" ", SPACE))
        return list(chain.from_iterable(map(self._words.__getitem__, words)))

    def piece(self, token: int) -> bytes:
        return spaced_piece(self._vocabulary, token)


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
