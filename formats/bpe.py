"""Byte-pair encoding (`gpt2`, `gemma4`, `whitespace`): words, neighbours joined by rank.

What is joined are the bytes of a word, each written as a letter, or for some pre-tokenizers its
characters.
"""

from __future__ import annotations

from functools import partial
from itertools import chain

import regex

from vatra.errors import UnsupportedFile
from vatra.formats.algorithm import Algorithm
from vatra.formats.checkpoint import Checkpoint, StringArray
from vatra.formats.merges import merge
from vatra.formats.pretokenizers import PreTokenizer, by_name, names
from vatra.formats.vocabulary import PREFIX, SPACE, TokenType, Vocabulary, spaced_piece
from vatra.formats.words import WordCache, before_spaces


def _byte_letters() -> dict[int, str]:
    """GPT-2's alphabet: printable Latin-1 bytes stand for themselves, the others for U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {
        byte: chr(256 + i) for i, byte in enumerate(others)
    }


_LETTERS = _byte_letters()
_BYTES = {letter: byte for byte, letter in _LETTERS.items()}


class BytePairs(Algorithm):
    """Text to ids for `tokenizer.ggml.model = gpt2` and `gemma4`."""

    def __init__(self, vocabulary: Vocabulary, checkpoint: Checkpoint) -> None:
        self._vocabulary = vocabulary
        self.rule = rule = _rule(vocabulary, checkpoint)
        self.add_bos, self.needs_bos = rule.add_bos, rule.needs_bos
        self._split = rule.splitter()
        merges = _merges(checkpoint, rule)
        self._cut = before_spaces(SPACE, (m.replace(" ", "") for m in merges if SPACE in m))
        # Symbols hold no spaces, so "left right" is a key; of two equal merges the first counts.
        merges.reverse()
        ranks = dict(zip(merges, range(len(merges) - 1, -1, -1), strict=True))
        self._words = WordCache(partial(_encode_word, vocabulary, rule, ranks))

    def encode(self, text: str, begins: bool) -> list[int]:
        if self.rule.spaced:
            lines = self._split(text.replace(" ", SPACE))
            words = [word for line in lines for word in self._cut(line)]
        else:
            words = self._split(text)
        return list(chain.from_iterable(map(self._words.__getitem__, words)))

    def piece(self, token: int) -> bytes:
        vocabulary = self._vocabulary
        if self.rule.spaced:
            return spaced_piece(vocabulary, token)
        text = vocabulary.texts[token]
        spelled = not self.rule.characters and vocabulary.types[token] != TokenType.USER_DEFINED
        if spelled and token not in vocabulary.control:
            try:
                return bytes(map(_BYTES.__getitem__, text))
            except KeyError:  # a letter outside of the alphabet: the text is meant as it is
                pass
        return text.encode("utf-8", "surrogateescape")


class WhitespaceWords(BytePairs):
    """Text to ids for `tokenizer.ggml.model = whitespace`: spaces part words, and are no tokens."""

    def __init__(self, vocabulary: Vocabulary, checkpoint: Checkpoint) -> None:
        super().__init__(vocabulary, checkpoint)
        default = self.rule.name != "whitespace"
        self._lower = checkpoint.get(PREFIX + "normalizer.lowercase", bool, default)

    def encode(self, text: str, begins: bool) -> list[int]:
        if self._lower:
            text = "".join(map(str.lower, text))
        ids: list[int] = []
        for word in regex.findall(r"\S+", text):
            ids += super().encode(word, False)
        return ids


def _encode_word(
    vocabulary: Vocabulary, rule: PreTokenizer, ranks: dict[str, int], word: str
) -> tuple[int, ...]:
    words = vocabulary.words
    text = word
    if not rule.characters:
        text = word.encode("utf-8").decode("latin-1").translate(_LETTERS)
    if rule.whole_words and text in words and regex.fullmatch(rule.whole_words, word, regex.S):
        return (words[text],)
    ids: list[int] = []
    for symbol in merge(text, ranks, " "):
        if symbol in words:
            ids.append(words[symbol])
        elif rule.characters:
            named = (f"<0x{byte:02X}>" for byte in symbol.encode("utf-8"))
            ids += [vocabulary.ids[name] for name in named if name in vocabulary.ids]
        else:  # a merge to something that is no token: its letters, as far as there are any
            ids += [words[letter] for letter in symbol if letter in words]
    return tuple(ids)


def _merges(checkpoint: Checkpoint, rule: PreTokenizer) -> list[str]:
    key = PREFIX + "merges"
    if not rule.needs_merges and key not in checkpoint.metadata:
        return []
    return checkpoint.require(key, StringArray).tolist()


def _rule(vocabulary: Vocabulary, checkpoint: Checkpoint) -> PreTokenizer:
    key = PREFIX + "pre"
    name = "gemma4" if vocabulary.model == "gemma4" else checkpoint.get(key, str, "")
    if not name:
        vocabulary.warnings.append(
            f"{key} is missing: words are cut by the default rule, which may not be the model's"
        )
        name = "default"
    rule = by_name(name)
    if rule is None:
        what = f"pre-tokenizer {name!r} is not known; known: {', '.join(names())}"
        raise UnsupportedFile(checkpoint.path, what, field=key)
    return rule
