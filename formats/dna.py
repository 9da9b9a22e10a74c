"""Text with nucleotides in it (`hybriddna`): between <dna> and </dna> six are one token."""

from __future__ import annotations

import re

from vatra.formats.bpe import BytePairs
from vatra.formats.checkpoint import Checkpoint
from vatra.formats.vocabulary import Vocabulary

_OPEN, _CLOSE, _UNKNOWN = "<dna>", "</dna>", "<oov>"
_MARK = "\ue000"  # ends the text of a token of nucleotides, so that it differs from a word's
_LENGTH = 6
_FILLER = "A"  # for the rest of a sequence
_UPPER = {ord(letter): letter.upper() for letter in "abcdefghijklmnopqrstuvwxyz"}
_SEQUENCE = re.compile(f"{_OPEN}(.*?)({_CLOSE}|\\Z)", re.DOTALL)


class HybridDna(BytePairs):
    """Text to ids for `tokenizer.ggml.model = hybriddna`."""

    def __init__(self, vocabulary: Vocabulary, checkpoint: Checkpoint) -> None:
        super().__init__(vocabulary, checkpoint)
        self._has_dna = all(text in vocabulary.ids for text in (_OPEN, _CLOSE, _UNKNOWN))

    def encode(self, text: str, begins: bool) -> list[int]:
        if not self._has_dna:
            return super().encode(text, begins)
        known = self._vocabulary.ids
        ids: list[int] = []
        at = 0
        for sequence in _SEQUENCE.finditer(text):
            ids += super().encode(text[at : sequence.start()], begins)
            ids.append(known[_OPEN])
            letters, close = sequence.groups()
            letters = letters.encode("utf-8").decode("latin-1").translate(_UPPER)
            letters += _FILLER * (-len(letters) % _LENGTH)
            for i in range(0, len(letters), _LENGTH):
                ids.append(known.get(letters[i : i + _LENGTH] + _MARK, known[_UNKNOWN]))
            if close:
                ids.append(known[_CLOSE])
            at = sequence.end()
        return ids + super().encode(text[at:], begins)

    def piece(self, token: int) -> bytes:
        text = self._vocabulary.texts[token]
        if self._has_dna and token > self._vocabulary.ids[_UNKNOWN] and text.endswith(_MARK):
            return text.removesuffix(_MARK).encode("utf-8", "surrogateescape")
        return super().piece(token)
