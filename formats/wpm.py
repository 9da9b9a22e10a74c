"""WordPiece tokens (`bert`): normalised words, each covered by the longest tokens from its left."""

from __future__ import annotations

from functools import lru_cache, partial
from itertools import chain
from unicodedata import category, normalize

from vatra.formats.algorithm import Algorithm
from vatra.formats.checkpoint import Checkpoint
from vatra.formats.vocabulary import PREFIX, SPACE, Vocabulary
from vatra.formats.words import WordCache

# The ideographs that are words of their own, as BERT lists them.
_IDEOGRAPHS = (
    *((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F)),
    *((0x2B740, 0x2B81F), (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)),
)


class WordPiece(Algorithm):
    """Text to ids for `tokenizer.ggml.model = bert`; the tokens of a word's start have U+2581."""

    add_bos = True
    add_sep = True
    leading_space = True

    def __init__(self, vocabulary: Vocabulary, checkpoint: Checkpoint) -> None:
        self._vocabulary = vocabulary
        key = PREFIX + "normalizer."
        self._lower = checkpoint.get(key + "lowercase", bool, True)
        self._strip = checkpoint.get(key + "strip_accents", bool, self._lower)
        lengths = sorted(set(map(len, vocabulary.words)), reverse=True)
        self._words = WordCache(partial(_encode_word, vocabulary, lengths))

    def encode(self, text: str, begins: bool) -> list[int]:
        words = self._normalized(text).split(" ")
        return list(chain.from_iterable(self._words[word] for word in words if word))

    def piece(self, token: int) -> bytes:
        """What one token adds to a text; the token of a word's start begins with a space."""
        text = self._vocabulary.texts[token]
        return text.replace(SPACE, " ").encode("utf-8", "surrogateescape")

    def _normalized(self, text: str) -> str:
        """`text` with one space or more between its words, and around what is a word alone."""
        if self._strip:  # Hangul comes apart into its letters, which the vocabularies have
            text = normalize("NFD", text)
        return "".join(_spaced(char, self._lower, self._strip) for char in text)


def _encode_word(vocabulary: Vocabulary, lengths: list[int], word: str) -> tuple[int, ...]:
    known = vocabulary.words
    rest = SPACE + word
    ids: list[int] = []
    at = 0
    while at < len(rest):
        parts = (rest[at : at + length] for length in lengths)
        part = next((part for part in parts if part in known), None)
        if part is None:  # and with its part the word is unknown
            unknown = vocabulary.role.get("unknown")
            return () if unknown is None else (unknown,)
        ids.append(known[part])
        at += len(part)
    return tuple(ids)


@lru_cache(1 << 16)
def _spaced(char: str, lower: bool, strip: bool) -> str:
    """What one character becomes: nothing, a space, itself, or itself between spaces."""
    kind = category(char)
    if char.isspace() and kind != "Cc" or char in "\t\n\v\f\r\x85":
        return " "
    if char in "\0\ufffd" or kind in ("Cc", "Cf", "Co", "Cs"):
        return ""
    if strip and kind.startswith("M"):
        return ""
    text = char.lower() if lower else char
    code = ord(char)
    ideograph = any(first <= code <= last for first, last in _IDEOGRAPHS)
    sign = kind.startswith("P") or (kind.startswith("S") and code < 0x7F)
    return f" {text} " if sign or ideograph else text
