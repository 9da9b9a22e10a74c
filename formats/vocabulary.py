"""The tokens of a model as its file lists them: texts, types, special ids, ends of generation.

What a file may get wrong, and what happens then: an array of another type, fewer types or scores
than tokens, two tokens with one text, a score that is not a number, a byte token that names no
byte, is BadFile. An id outside the vocabulary is left out with a warning, an empty token is never
produced, and a token that is not UTF-8 keeps its bytes and matches no text.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import accumulate
from typing import Any

import numpy as np

from vatra.errors import UnsupportedFile
from vatra.formats.checkpoint import Checkpoint, Metadata, StringArray

PREFIX = "tokenizer.ggml."
SPACE = "\u2581"  # stands for a space inside SentencePiece and WordPiece tokens


class TokenType(IntEnum):
    """What `tokenizer.ggml.token_type` says of a token; other numbers count as NORMAL."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


# The ids a file need not name, by tokenizer model.
_DEFAULT_IDS: dict[str, dict[str, int]] = {
    "llama": {"bos": 1, "eos": 2, "unknown": 0},
    "gpt2": {"bos": 11, "eos": 11},
    "bert": {"bos": 101, "unknown": 100, "seperator": 102, "padding": 0, "mask": 103},
    "t5": {"eos": 1, "unknown": 2, "padding": 0},
    "rwkv": {},
    "plamo2": {"bos": 1, "eos": 2, "unknown": 0, "padding": 3},
    "gemma4": {},
    "hybriddna": {"bos": 11, "eos": 11},
    "whitespace": {"bos": 11, "eos": 11},
}
# Those whose tokens of type BYTE are named <0x00> ... <0xFF>.
_BYTE_NAMES = ("llama", "t5", "plamo2", "gemma4")
_ID_KEYS = (
    *("bos", "eos", "eot", "eom", "unknown", "seperator", "padding", "mask"),
    *("fim_pre", "fim_suf", "fim_mid", "fim_pad", "fim_rep", "fim_sep"),
)
_OTHER_KEYS = {"fim_pre": "prefix", "fim_suf": "suffix", "fim_mid": "middle", "bos": "cls"}

# Texts that mark a token's role where the file does not name its id, the first one present wins.
_ROLE_TEXTS: dict[str, tuple[str, ...]] = {
    "eot": (
        *("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>"),
        *("<|end_of_text|>", "<EOT>", "_<EOT>", "[EOT]", "<end_of_utterance>"),
        "<\uff5cend\u2581of\u2581sentence\uff5c>",
    ),
    "eom": ("<|eom_id|>",),
    "fim_pre": (
        *("<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<\uff5cfim\u2581begin\uff5c>"),
        *("<PRE>", "\u2581<PRE>", "<|code_prefix|>", "<|prefix|>"),
    ),
    "fim_suf": (
        *("<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<\uff5cfim\u2581hole\uff5c>"),
        *("<SUF>", "\u2581<SUF>", "<|code_suffix|>", "<|suffix|>"),
    ),
    "fim_mid": (
        *("<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<\uff5cfim\u2581end\uff5c>"),
        *("<MID>", "\u2581<MID>", "<|code_middle|>", "<|middle|>"),
    ),
    "fim_pad": ("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
    "fim_rep": ("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"),
    "fim_sep": ("<|file_sep|>",),
}
# Texts that end an answer, whatever else the file says.
_END_TEXTS = (
    *("<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>"),
    *("<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]"),
    *("<|end_of_text|>", "<end_of_utterance>", "<eos>", "<\uff5cend\u2581of\u2581sentence\uff5c>"),
    *("<turn|>", "<|tool_response>", "[e~["),
)
_END_ROLES = ("eos", "eot", "eom", "fim_pad", "fim_rep", "fim_sep")
# In vocabularies with all of these, <|end|> closes one message of an answer and not the answer.
_MESSAGE_FORMATS = (
    ("<|return|>", "<|call|>"),
    ("<|call|>", "<|flush|>"),
    ("<|calls|>", "<|flush|>"),
)
# Beside one of these, </s> is a word like others.
_OTHER_ENDS = ("<|tool_response>", "<|plamo:eos|>")
# Control tokens that carry the structure of an answer, and so belong to its text.
_STRUCTURE_TEXTS = ("<|channel|>", "<|message|>", "<|start|>", "<|constrain|>")

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@dataclass(frozen=True)
class Vocabulary:
    """All tokens of a model; `ids` finds one by its text, `words` one that text may become.

    `words` lacks control, unknown and byte tokens: no text is ever tokenised to one of them. `role`
    gives "bos", "eos", "unknown", ... their ids; `ends` are the ids that end an answer; `visible`
    the control tokens that are part of a text. `user_defined` has no control tokens.
    """

    model: str
    texts: list[str]
    types: list[int]
    ids: dict[str, int]
    words: dict[str, int]
    role: dict[str, int]
    ends: frozenset[int]
    control: frozenset[int]
    unknown: frozenset[int]
    user_defined: frozenset[int]
    visible: frozenset[int]
    byte_ids: dict[int, int]
    warnings: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.texts)


def as_checkpoint(source: Checkpoint | Mapping[str, Any]) -> Checkpoint:
    """`source`, or a checkpoint without tensors around plain metadata."""
    if isinstance(source, Checkpoint):
        return source
    metadata = Metadata()
    for key, value in source.items():
        if isinstance(value, (list, tuple)):
            strings = all(isinstance(item, str) for item in value)
            value = _string_array(value) if strings else np.asarray(value)
        metadata[key] = value
    return Checkpoint("metadata", 3, metadata, {})


def _string_array(strings: Sequence[str]) -> StringArray:
    encoded = [string.encode("utf-8", "surrogateescape") for string in strings]
    starts = array("i", accumulate((8 + len(string) for string in encoded), initial=8))
    return StringArray(b"".join(bytes(8) + string for string in encoded), starts)


def read(checkpoint: Checkpoint) -> Vocabulary:
    """The vocabulary of a file; UnsupportedFile for a tokenizer model without code here."""
    model = checkpoint.get(PREFIX + "model", str, None)
    if model not in _DEFAULT_IDS:
        none = model in (None, "no_vocab", "none")
        what = "has no tokenizer" if none else f"tokenizer model {model!r} is not known"
        known = ", ".join(_DEFAULT_IDS)
        raise UnsupportedFile(checkpoint.path, f"{what}; known: {known}", field=PREFIX + "model")

    texts = checkpoint.require(PREFIX + "tokens", StringArray).tolist()
    n = len(texts)
    if not n:
        raise checkpoint.bad(PREFIX + "tokens", "is empty")
    ids = dict(zip(texts, range(n), strict=True))
    n_empty = texts.count("")
    ids.pop("", None)
    if len(ids) != n - n_empty:
        later = next(i for i, text in enumerate(texts) if text and ids[text] != i)
        what = f"tokens {later} and {ids[texts[later]]} are both {_quoted(texts[later])}"
        raise checkpoint.bad(PREFIX + "tokens", what)

    types = numbers(checkpoint, "token_type", n, "iu")
    warnings: list[str] = []
    byte_ids: dict[int, int] = {}
    byte_like: set[int] = set()
    if model in _BYTE_NAMES:
        byte_ids = _byte_ids(checkpoint, texts, types, ids)
        byte_like = set(byte_ids.values())
    if types is None:
        types = np.full(n, TokenType.NORMAL, np.int32)
        types[list(byte_like)] = TokenType.BYTE

    role = _roles(checkpoint, model, types, warnings)
    control = set(np.flatnonzero(types == TokenType.CONTROL).tolist())
    for name, candidates in _ROLE_TEXTS.items():
        found = [ids[text] for text in candidates if text in ids]
        if found and name not in role:
            role[name] = found[0]
            control.add(found[0])
    ending = {ids[text] for text in _END_TEXTS if text in ids}
    ending |= {role[name] for name in _END_ROLES if name in role}
    if any(ids.get(text) in ending for text in _OTHER_ENDS):
        ending.discard(ids.get("</s>", -1))
        control.discard(ids.get("</s>", -1))
    control |= {ids[text] for text in _END_TEXTS if ids.get(text) in ending}
    visible = {ids[text] for text in _STRUCTURE_TEXTS if text in ids} & control
    if "<|end|>" in ids and any(all(t in ids for t in both) for both in _MESSAGE_FORMATS):
        ending.discard(ids["<|end|>"])
        visible.add(ids["<|end|>"])

    unknown = set(np.flatnonzero(types == TokenType.UNKNOWN).tolist())
    words = ids.copy()
    for i in control.union(unknown, np.flatnonzero(types == TokenType.BYTE).tolist()):
        words.pop(texts[i], None)
    return Vocabulary(
        model=model,
        texts=texts,
        types=types.tolist(),
        ids=ids,
        words=words,
        role=role,
        ends=frozenset(ending),
        control=frozenset(control),
        unknown=frozenset(unknown),
        user_defined=frozenset(np.flatnonzero(types == TokenType.USER_DEFINED).tolist()) - control,
        visible=frozenset(visible),
        byte_ids=byte_ids,
        warnings=warnings,
    )


def numbers(checkpoint: Checkpoint, name: str, n: int, kinds: str) -> Any:
    """The first `n` numbers of an array beside the tokens, or None where the file lacks it.

    BadFile if it is shorter, or of another kind (numpy's letters) than `kinds`.
    """
    values = checkpoint.get(PREFIX + name, np.ndarray, None)
    if values is None:
        return None
    if values.dtype.kind not in kinds:
        raise checkpoint.bad(PREFIX + name, f"holds {values.dtype}, which it cannot be")
    if len(values) < n:
        raise checkpoint.bad(PREFIX + name, f"has {len(values)} elements, wanted {n} as tokens")
    return values[:n]


def scores(checkpoint: Checkpoint, n: int) -> Any:
    """The tokens' scores as float64, zeros where the file has none; BadFile for a NaN."""
    found = numbers(checkpoint, "scores", n, "iuf")
    if found is None:
        return np.zeros(n)
    if np.isnan(found).any():
        i = int(np.flatnonzero(np.isnan(found))[0])
        raise checkpoint.bad(PREFIX + "scores", f"element {i} is not a number")
    return found.astype(np.float64)


def spaced_piece(vocabulary: Vocabulary, token: int) -> bytes:
    """What a token adds to a text where U+2581 stands for a space and <0x..> for a byte."""
    text = vocabulary.texts[token]
    kind = vocabulary.types[token]
    if kind == TokenType.BYTE and (match := _BYTE.fullmatch(text)):
        return bytes((int(match[1], 16),))
    if kind != TokenType.USER_DEFINED and token not in vocabulary.control:
        text = text.replace(SPACE, " ")
    return text.encode("utf-8", "surrogateescape")


def _byte_ids(
    checkpoint: Checkpoint, texts: list[str], types: Any, ids: dict[str, int]
) -> dict[int, int]:
    """The token of each byte that has one."""
    found: dict[int, int] = {}
    if types is not None:
        for i in np.flatnonzero(types == TokenType.BYTE).tolist():
            match = _BYTE.fullmatch(texts[i])
            if match is None:
                what = f"byte token {i} is {_quoted(texts[i])}, wanted <0x00> ... <0xFF>"
                raise checkpoint.bad(PREFIX + "tokens", what)
            found.setdefault(int(match[1], 16), i)
    for byte in range(256):
        text = f"<0x{byte:02X}>"
        if byte not in found and text in ids:
            found[byte] = ids[text]
    return found


def _roles(checkpoint: Checkpoint, model: str, types: Any, warnings: list[str]) -> dict[str, int]:
    """The ids that the file names, or that its tokenizer model has by default."""
    n = len(types)
    role = {name: i for name, i in _DEFAULT_IDS[model].items() if i < n}
    if role.get("bos") == 11 and n > 11 and types[11] != TokenType.CONTROL:
        role = {}  # Falcon's numbers; elsewhere 11 is a word
    for name in _ID_KEYS:
        for word in dict.fromkeys((name, _OTHER_KEYS.get(name, name))):
            key = f"{PREFIX}{word}_token_id"
            value = checkpoint.get(key, int, None)
            if value is None:
                continue
            if 0 <= value < n:
                role[name] = value
                break
            warnings.append(f"{key} is {value}, outside of the {n} tokens, and was ignored")
    return role


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")
