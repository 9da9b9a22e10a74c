"""Answers of a given form: JSON, a JSON schema, a grammar in GBNF, a regular expression.

The library llguidance parses what is written so far and says which tokens may follow.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from vatra.errors import UsageError, VatraError

if TYPE_CHECKING:
    from llguidance import LLTokenizer

    from vatra.engine.model import Model
    from vatra.formats.answers import Answer
    from vatra.formats.tokenizer import Tokenizer

Array = np.ndarray

SPACE = r"( |\n[ \t]{0,20})?"  # between the parts of JSON: some models would write it for ever
MOST_MESSAGE = 300  # characters
MOST_S = 0.2  # on a processor, for one token; ordinary grammars take less than a tenth of it
_CONTROL = b"\xff"  # what llguidance wants before the name of a control token
_GBNF = re.compile(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|#[^\n]*|\.', re.DOTALL)
_CHARACTER = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(-))", re.DOTALL
)
_ANY_CHARACTER = "[\\x00-\U0010ffff]"


@dataclass(frozen=True)
class Grammar:
    """What an answer must look like; `text` is llguidance's own form, checked.

    Raises UsageError for a grammar that can not be read, with its place and the reason.
    """

    text: str
    name: str = "grammar"

    def __post_init__(self) -> None:
        from llguidance import LLMatcher

        wrong = LLMatcher.validate_grammar(self.text)
        if wrong and not wrong.startswith("WARNING"):
            raise UsageError(f"{self.name}: {_one_line(wrong)}")

    @classmethod
    def json(cls) -> Grammar:
        """Any JSON object."""
        return cls.json_schema({"type": "object"}, "JSON")

    @classmethod
    def json_schema(cls, schema: Mapping[str, Any] | str, name: str = "JSON schema") -> Grammar:
        """JSON that a schema allows, given as a dictionary or as JSON (json-schema.org)."""
        from llguidance import LLMatcher

        if isinstance(schema, str):
            try:
                schema = json.loads(schema)
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{name}: not JSON: {error}") from None
        if not isinstance(schema, Mapping):
            raise UsageError(f"{name}: got {schema!r:.60}, wanted an object")
        try:
            compiled = LLMatcher.grammar_from_json_schema(
                dict(schema), defaults={"whitespace_pattern": SPACE}
            )
        except (ValueError, TypeError) as error:
            raise UsageError(f"{name}: {_one_line(str(error))}") from None
        return cls(compiled, name)

    @classmethod
    def gbnf(cls, text: str, name: str = "grammar") -> Grammar:
        """Text that a grammar in llama.cpp's notation allows, beginning with its rule `root`."""
        from llguidance import LLMatcher
        from llguidance.gbnf_to_lark import gbnf_to_lark

        try:
            text.encode()
            lark = gbnf_to_lark(_GBNF.sub(_plainer, text))
        except UnicodeEncodeError as error:
            raise UsageError(f"{name}: {text[error.start]!r} alone is no character") from None
        except RecursionError:
            raise UsageError(f"{name}: it is nested too deeply") from None
        except VatraError:
            raise
        except Exception as error:  # the converter raises just that, for a rule that is missing
            raise UsageError(f"{name}: {_one_line(str(error))}") from None
        return cls(LLMatcher.grammar_from_lark(lark), name)

    @classmethod
    def regex(cls, pattern: str, name: str = "regular expression") -> Grammar:
        """Text that a regular expression (docs.rs/regex) matches from its beginning to its end."""
        from llguidance import LLMatcher

        return cls(LLMatcher.grammar_from_regex(pattern), name)


class Constraint:
    """Which tokens an answer of a given form can go on with, from its beginning."""

    def __init__(self, grammar: Grammar, tokenizer: Tokenizer, n_vocab: int) -> None:
        from llguidance import LLMatcher

        self._grammar = grammar
        self._matcher = LLMatcher(_prepared(tokenizer, n_vocab), grammar.text, log_level=0)
        self._mask = np.zeros(-(-n_vocab // 32), np.int32)
        self._n_vocab = n_vocab
        self._taken_s = 0.0  # since the last token
        self._check()

    def allowed(self) -> Array:
        """bool (n_vocab,): the tokens that may come next."""
        with self._at_work():
            self._matcher.unsafe_compute_mask_ptr(self._mask.ctypes.data, self._mask.nbytes)
        bits = np.unpackbits(self._mask.view(np.uint8), bitorder="little", count=self._n_vocab)
        found: Array = bits.view(np.bool_)
        return found

    def accept(self, token: int) -> None:
        """Go on with a token, one that is allowed."""
        with self._at_work():
            self._matcher.consume_token(token)
        self._taken_s = 0.0

    @property
    def is_complete(self) -> bool:
        """Whether nothing may follow what is written."""
        return bool(self._matcher.is_stopped())

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Around what the parser does: UsageError for what it can not do, or not soon enough."""
        began = time.thread_time()
        yield
        self._taken_s += time.thread_time() - began
        self._check()
        if self._taken_s > MOST_S:
            raise UsageError(
                f"{self._grammar.name}: {self._taken_s:.1f} s of computing for one token, the most "
                f"is {MOST_S}: text can be read in too many ways; make it less ambiguous"
            )

    def _check(self) -> None:
        if self._matcher.is_error():
            raise UsageError(f"{self._grammar.name}: {_one_line(self._matcher.get_error())}")


class Form:
    """Holds the content of one answer to a grammar; thinking, tool calls and markers are free."""

    def __init__(self, grammar: Grammar, answer: Answer, model: Model) -> None:
        tokenizer = model.tokenizer
        self._constraint = Constraint(grammar, tokenizer, model.plan.n_vocab)
        self._answer = answer
        special = sorted(tokenizer.vocabulary.control | tokenizer.vocabulary.user_defined)
        texts = ((i, tokenizer.piece(i).decode("utf-8", "replace")) for i in special)
        self._openers = [i for i, text in texts if answer.opens_thinking(text)]
        self._is_new = True

    def narrowed(self, logits: Array) -> Array:
        """`logits` (n_vocab,) with -inf for what may not come next; an answer may begin to think.

        Not a copy where everything may.
        """
        if not self._answer.in_content:
            return logits
        allowed = self._constraint.allowed()
        if self._is_new:
            allowed[self._openers] = True
        return np.where(allowed, logits, logits.dtype.type(-np.inf))

    def accept(self, token: int) -> None:
        """Go on with a token, before the answer has it."""
        if self._answer.in_content and not (self._is_new and token in self._openers):
            self._constraint.accept(token)
        self._is_new = False

    @property
    def is_complete(self) -> bool:
        """Whether nothing may follow the content."""
        return self._constraint.is_complete


_PREPARED: WeakKeyDictionary[Tokenizer, LLTokenizer] = WeakKeyDictionary()


def _prepared(tokenizer: Tokenizer, n_vocab: int) -> LLTokenizer:
    """The vocabulary as llguidance wants it; made once, as it takes a second for a large one."""
    from llguidance import LLTokenizer, TokenizerWrapper

    found = _PREPARED.get(tokenizer)
    if found is None:
        ends = sorted(tokenizer.eog_ids)
        words = _Words(tokenizer, ends)
        found = LLTokenizer(TokenizerWrapper(words), n_vocab=n_vocab, eos_token=ends or None)
        _PREPARED[tokenizer] = found
    return found


class _Words:
    """A tokenizer under the names that llguidance asks for."""

    def __init__(self, tokenizer: Tokenizer, ends: list[int]) -> None:
        ids = range(tokenizer.n_vocab)
        self.special_token_ids = [i for i in ids if tokenizer.is_hidden(i)]
        hidden = set(self.special_token_ids)
        piece = tokenizer.piece
        self.tokens = [_CONTROL + piece(i) if i in hidden else piece(i) for i in ids]
        self.bos_token_id = tokenizer.bos_id
        self.eos_token_id = ends[0] if ends else None
        self._encode = partial(tokenizer.encode, bos=False, special=False)

    def __call__(self, text: bytes | str) -> list[int]:
        return self._encode(text if isinstance(text, str) else text.decode("utf-8", "replace"))


def _plainer(found: re.Match[str]) -> str:
    """A literal, a set of characters or `.` of GBNF, spelt as the converter understands it."""
    part = found.group()
    if part == ".":
        return _ANY_CHARACTER
    return part if part[0] == "#" else re.sub(r"\\[^xuU-]|" + _CHARACTER.pattern, _spelt, part)


def _spelt(found: re.Match[str]) -> str:
    """An escape: characters that mean nothing else as they are, others by two digits."""
    digits = next((group for group in found.groups() if group), None)
    if digits is None:
        return found.group()
    code = ord("-") if digits == "-" else int(digits, 16)
    if code > 0x10FFFF:
        raise UsageError(f"grammar: there is no character {found.group()}")
    return f"\\x{code:02x}" if code < 0x80 else chr(code)


def _one_line(message: str) -> str:
    """What llguidance says, without the state of its parser."""
    return " ".join(message.partition("<state>")[0].split())[:MOST_MESSAGE]
