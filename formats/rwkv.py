"""RWKV's tokens (`rwkv`): strings of bytes, always the longest that the rest of a text has."""

from __future__ import annotations

import re

from vatra.formats.algorithm import Algorithm
from vatra.formats.checkpoint import Checkpoint
from vatra.formats.prefixes import START, Lengths
from vatra.formats.vocabulary import PREFIX, Vocabulary

# Tokens are written with backslashes; what is not listed after one stands for itself.
_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|([^x])|)", re.DOTALL)
_LETTERS = {b"t": b"\t", b"n": b"\n", b"r": b"\r"}


class LongestBytes(Algorithm):
    """Text to ids for `tokenizer.ggml.model = rwkv`."""

    def __init__(self, vocabulary: Vocabulary, checkpoint: Checkpoint) -> None:
        self._pieces = [text.encode("utf-8", "surrogateescape") for text in vocabulary.texts]
        for i, piece in enumerate(self._pieces):
            if b"\\" in piece:
                try:
                    self._pieces[i] = _ESCAPE.sub(_unescaped, piece)
                except ValueError:
                    what = f"token {i} ends inside of an escape"
                    raise checkpoint.bad(PREFIX + "tokens", what) from None
        self._ids = {self._pieces[i]: i for i in vocabulary.words.values()}
        self._lengths = Lengths(self._ids)
        self._unknown = vocabulary.role.get("unknown")

    def encode(self, text: str, begins: bool) -> list[int]:
        """The ids of a text without special tokens; bytes without a token are the unknown one."""
        data = text.encode("utf-8")
        known, lengths = self._ids, self._lengths
        ids: list[int] = []
        at = 0
        while at < len(data):
            for length in lengths[data[at : at + START]]:
                token = known.get(data[at : at + length])
                if token is not None:
                    at += len(self._pieces[token])
                    ids.append(token)
                    break
            else:
                at += 1
                if self._unknown is not None:
                    ids.append(self._unknown)
        return ids

    def piece(self, token: int) -> bytes:
        return self._pieces[token]


def _unescaped(escape: re.Match[bytes]) -> bytes:
    digits, letter = escape.groups()
    if digits is not None:
        return bytes((int(digits, 16),))
    if letter is None:
        raise ValueError(escape[0])
    return _LETTERS.get(letter, letter)
