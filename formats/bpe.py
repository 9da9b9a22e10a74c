"""Byte-level byte-pair encoding (`gpt2`): words, each byte a letter, neighbours joined by rank."""

from __future__ import annotations

from functools import partial
from itertools import chain

from vatra.errors import UnsupportedFile
from vatra.formats.checkpoint import Checkpoint, StringArray
from vatra.formats.merges import merge
from vatra.formats.pretokenizers import PreTokenizer, by_name, names
from vatra.formats.vocabulary import PREFIX, TokenType, Vocabulary
from vatra.formats.words import WordCache


def _byte_letters() -> dict[int, str]:
    """GPT-2's alphabet: printable Latin-1 bytes stand for themselves, the others for U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {
        byte: chr(256 + i) for i, byte in enumerate(others)
    }


_LETTERS = _byte_letters()
_BYTES = {letter: byte for byte, letter in _LETTERS.items()}


class BytePairs:
    """Text to ids for `tokenizer.ggml.model = gpt2`."""

    add_sep = False
    space_prefix = False

    def __init__(self, vocabulary: Vocabulary, checkpoint: Checkpoint) -> None:
        self._vocabulary = vocabulary
        self.rule = _rule(vocabulary, checkpoint)
        self.add_bos = self.rule.add_bos
        self._split = self.rule.splitter()
        merges = checkpoint.require(PREFIX + "merges", StringArray).tolist()
        # Letters are never spaces, so "left right" is a key; of two equal merges the first counts.
        merges.reverse()
        ranks = dict(zip(merges, range(len(merges) - 1, -1, -1), strict=True))
        whole_words = self.rule.whole_words
        self._words = WordCache(partial(_encode_word, vocabulary.words, ranks, whole_words))

    def encode(self, text: str) -> list[int]:
        """The ids of a text without special tokens."""
        return list(chain.from_iterable(map(self._words.__getitem__, self._split(text))))

    def piece(self, token: int) -> bytes:
        """What one token adds to a text."""
        text = self._vocabulary.texts[token]
        spelled = self._vocabulary.types[token] != TokenType.USER_DEFINED
        if spelled and token not in self._vocabulary.control:
            try:
                return bytes(map(_BYTES.__getitem__, text))
            except KeyError:  # a letter outside of the alphabet: the text is meant as it is
                pass
        return text.encode("utf-8", "surrogateescape")


def _encode_word(
    words: dict[str, int], ranks: dict[str, int], whole_words: bool, word: str
) -> tuple[int, ...]:
    letters = word.encode("utf-8").decode("latin-1").translate(_LETTERS)
    if whole_words and letters in words:
        return (words[letters],)
    ids: list[int] = []
    for symbol in merge(letters, ranks, " "):
        if symbol in words:
            ids.append(words[symbol])
        else:  # a merge to something that is no token: its letters, as far as there are any
            ids += [words[letter] for letter in symbol if letter in words]
    return tuple(ids)


def _rule(vocabulary: Vocabulary, checkpoint: Checkpoint) -> PreTokenizer:
    key = PREFIX + "pre"
    name = checkpoint.get(key, str, "")
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
