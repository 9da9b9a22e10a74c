"""Text to token ids and back, for the tokenizer that a model's file describes."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Mapping, Set
from functools import partial
from typing import Any

from vatra.errors import UsageError
from vatra.formats.algorithm import Algorithm
from vatra.formats.bpe import BytePairs, WhitespaceWords
from vatra.formats.checkpoint import Checkpoint
from vatra.formats.dna import HybridDna
from vatra.formats.plamo2 import Plamo2
from vatra.formats.rwkv import LongestBytes
from vatra.formats.special_tokens import SpecialTokens
from vatra.formats.spm import SentencePiece
from vatra.formats.ugm import Unigram
from vatra.formats.vocabulary import PREFIX, Vocabulary, as_checkpoint
from vatra.formats.vocabulary import read as read_vocabulary
from vatra.formats.wpm import WordPiece

_ASCII_SPACE = " \t\n\v\f\r"


_ALGORITHMS: dict[str, type[Algorithm]] = {
    "llama": SentencePiece,
    "gpt2": BytePairs,
    "bert": WordPiece,
    "t5": Unigram,
    "rwkv": LongestBytes,
    "plamo2": Plamo2,
    "gemma4": BytePairs,
    "hybriddna": HybridDna,
    "whitespace": WhitespaceWords,
}


class Tokenizer:
    """The tokenizer of one model; `load` makes it.

    Attributes: `n_vocab`; the ids `bos_id`, `eos_id`, `eot_id`, `unk_id`, `pad_id`, `sep_id` (None
    where there is none); `add_bos`, `add_eos`, `add_sep`: what `encode` puts around a text;
    `eog_ids`: the tokens that end an answer; `warnings`: what the file should have said.
    """

    def __init__(self, vocabulary: Vocabulary, checkpoint: Checkpoint) -> None:
        self.vocabulary = vocabulary
        self.model = vocabulary.model
        self._algorithm = _ALGORITHMS[self.model](vocabulary, checkpoint)
        self.n_vocab = len(vocabulary)
        role = vocabulary.role.get
        self.bos_id, self.eos_id, self.eot_id = role("bos"), role("eos"), role("eot")
        self.unk_id, self.pad_id, self.sep_id = role("unknown"), role("padding"), role("seperator")
        self.eog_ids = vocabulary.ends

        flag = partial(_flag, checkpoint, vocabulary)
        self.add_bos = flag("add_bos_token", self._algorithm.add_bos, self.bos_id)
        if self._algorithm.needs_bos and self.bos_id is not None:
            self.add_bos = True
        self.add_eos = flag("add_eos_token", self._algorithm.add_eos, self.eos_id)
        self.add_sep = self._algorithm.add_sep and flag("add_sep_token", True, self.sep_id)
        self.warnings = tuple(vocabulary.warnings)

        texts = vocabulary.texts
        self._of_user = SpecialTokens({texts[i]: i for i in vocabulary.user_defined})
        special = vocabulary.user_defined | vocabulary.unknown | vocabulary.control
        self._special = SpecialTokens({texts[i]: i for i in special})
        self._hidden = (vocabulary.unknown | vocabulary.control) - vocabulary.visible
        self._strips_left, self._strips_right = _stripping(checkpoint, vocabulary, special)

    def encode(self, text: str, bos: bool | None = None, special: bool = True) -> list[int]:
        """The ids of a text.

        `bos`: None puts around it what the file says (BOS, EOS, SEP), False nothing, True BOS in
        any case. `special` turns the text of control tokens into these tokens; without it that is
        ordinary text, as what a person wrote must be. User-defined tokens always become themselves.
        Raises UsageError for `bos=True` where there is no such token.
        """
        if bos and self.bos_id is None:
            raise UsageError("this model's vocabulary has no token for the beginning of a text")
        ids: list[int] = []
        if self.bos_id is not None and (self.add_bos if bos is None else bos):
            ids.append(self.bos_id)
        after_special = True
        for part in self._parts(_well_formed(text), special):
            if isinstance(part, int):
                ids.append(part)
                after_special = True
            else:
                ids += self._algorithm.encode(part, after_special)
                after_special = False
        if bos is not False:
            if self.add_eos and self.eos_id is not None:
                ids.append(self.eos_id)
            if self.add_sep and self.sep_id is not None:
                ids.append(self.sep_id)
        return ids

    def decode(self, ids: Iterable[int], special: bool = False) -> str:
        """The text of the ids; control tokens are left out unless `special`.

        Bytes that are not UTF-8 become U+FFFD. The space that `encode` puts before a text is
        removed.
        """
        stream = self.stream(special)
        return "".join([*map(stream.push, ids), stream.flush()])

    def stream(self, special: bool = False, continues: bool = False) -> TextStream:
        """A decoder for one id after another; all it returns is together what `decode` returns.

        `continues`: the ids go on after a text, so that a space in front of the first one is kept.
        """
        hidden = frozenset() if special else self._hidden
        return TextStream(self, hidden, self._algorithm.leading_space and not continues)

    def piece(self, token: int) -> bytes:
        """The bytes one token stands for; of a control token its name, as in `<|im_end|>`."""
        if not 0 <= token < self.n_vocab:
            raise UsageError(
                f"token id {token} is outside of the vocabulary, 0 to {self.n_vocab - 1}"
            )
        return self._algorithm.piece(token)

    def is_control(self, token: int) -> bool:
        """Whether the token steers the model and stands for no text."""
        return token in self.vocabulary.control

    def is_hidden(self, token: int) -> bool:
        """Whether `decode` leaves the token out unless it is asked for special ones."""
        return token in self._hidden

    def _parts(self, text: str, special: bool) -> Iterator[str | int]:
        """The text cut at its special tokens: their ids, and the texts between them."""
        at = 0
        for begin, end, token in (self._special if special else self._of_user).find(text):
            if begin < at:  # stripping the one before went past the beginning of this one
                continue
            between = text[at:begin]
            if token in self._strips_left:
                between = between.rstrip(_ASCII_SPACE)
            if between:
                yield between
            yield token
            at = end
            if token in self._strips_right:
                while at < len(text) and text[at] in _ASCII_SPACE:
                    at += 1
        if at < len(text):
            yield text[at:]


class TextStream:
    """Token ids in, whole characters out: see `Tokenizer.stream`."""

    def __init__(self, tokenizer: Tokenizer, hidden: Set[int], drops_space: bool) -> None:
        self._piece = tokenizer.piece
        self._hidden = hidden
        # Special tokens are taken out of a text before the space is put before the rest of it.
        self._as_written = tokenizer.vocabulary.user_defined | tokenizer.vocabulary.control
        self._drops_space = drops_space  # nothing was shown yet
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """The characters that this token completes."""
        piece = self._piece(token)
        if token in self._hidden:
            return ""
        if self._drops_space and piece:
            self._drops_space = False
            if piece[:1] == b" " and token not in self._as_written:
                piece = piece[1:]
        return self._decoder.decode(piece)

    def flush(self) -> str:
        """What is left at the end: U+FFFD for each character that was begun and not completed."""
        return self._decoder.decode(b"", final=True)


def load(source: Checkpoint | Mapping[str, Any]) -> Tokenizer:
    """The tokenizer of an open file, or of plain metadata.

    Raises UnsupportedFile for a tokenizer model or pre-tokenizer that has no code here, BadFile for
    a vocabulary that contradicts itself.
    """
    checkpoint = as_checkpoint(source)
    return Tokenizer(read_vocabulary(checkpoint), checkpoint)


def _flag(
    checkpoint: Checkpoint, vocabulary: Vocabulary, name: str, default: bool, token: int | None
) -> bool:
    """Whether to put a token beside a text: never where the vocabulary has none."""
    key = PREFIX + name
    wanted = checkpoint.get(key, bool, default)
    if wanted and token is None and key in checkpoint.metadata:
        vocabulary.warnings.append(f"{key} is true, but there is no such token")
    return wanted and token is not None


def _well_formed(text: str) -> str:
    """`text` with every surrogate that is no half of a pair replaced by U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _stripping(
    checkpoint: Checkpoint, vocabulary: Vocabulary, special: Set[int]
) -> tuple[frozenset[int], frozenset[int]]:
    """The tokens that swallow the spaces to their left, and to their right.

    GGUF has no field for it: it is known by the names of the models that need it.
    """
    left: Set[int] = set()
    right: Set[int] = set()
    name = checkpoint.get("general.name", str, "").lower()
    pre = checkpoint.get(PREFIX + "pre", str, "")
    architecture = checkpoint.get("general.architecture", str, "")
    ids = vocabulary.ids
    if pre in ("jina-v2-de", "jina-v2-es", "jina-v2-code") or architecture in (
        "nomic-bert-moe",
        "jina-bert-v3",
    ):
        left = {ids["<mask>"]} if "<mask>" in ids else set()
    elif "phi-3" in name or "phi3" in name:
        right = special - {ids.get(text) for text in ("<unk>", "<s>", "<|endoftext|>")}
    elif "modern-bert" in name:
        left = {ids["[MASK]"]} if "[MASK]" in ids else set()
    return frozenset(left), frozenset(right)
