"""Values as models write them: JSON's, Python's, and with names or quotes of a template's own."""

from __future__ import annotations

import json
import re
from typing import Any

MOST_DEPTH = 64
WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}

_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?(?![\w.])")
_WORD = re.compile(r"[^\W\d][\w.\-]*")
_SPACE = re.compile(r"\s*")
_CLOSED = re.compile(r"\s*([,)\]}:]|\Z)")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\\": "\\", "'": "'", '"': '"'}


class Malformed(ValueError):
    """A text is not what it should be."""


class Unfinished(Malformed):
    """A text ends within a string, which may have held what was taken for the end of the text."""


class Literals:
    """Reads values and signs from `text`, one after another.

    `quote` encloses strings in which nothing is escaped, beside '...' and "...". All methods raise
    Malformed, or Unfinished for a string without an end.
    """

    def __init__(self, text: str, quote: str = "") -> None:
        self._text, self._quote, self._at = text, quote, 0

    def sign(self, sign: str) -> bool:
        """Whether `sign` is next, after white space; then it is passed."""
        self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
        found = self._text.startswith(sign, self._at)
        self._at += len(sign) if found else 0
        return found

    def expect(self, sign: str) -> None:
        if not self.sign(sign):
            raise self._error()

    @property
    def ended(self) -> bool:
        return self.sign("") and self._at == len(self._text)

    def name(self) -> str:
        """A word such as a function's name."""
        self.sign("")
        found = _WORD.match(self._text, self._at)
        if not found:
            raise self._error()
        self._at = found.end()
        return found[0]

    def value(self, depth: int = MOST_DEPTH) -> Any:
        """A text, number, truth value, none, list or mapping."""
        if depth <= 0:
            raise Malformed("nested too deeply")
        for opening, closing in (("[", "]"), ("(", ")")):
            if self.sign(opening):
                values = []
                while not self.sign(closing):
                    values.append(self.value(depth - 1))
                    self._separate(closing)
                return values
        if self.sign("{"):
            mapping = {}
            while not self.sign("}"):
                key = self._string()
                key = self.name() if key is None else key
                self.expect(":")
                mapping[key] = self.value(depth - 1)
                self._separate("}")
            return mapping
        found = self._string()
        return self._atom() if found is None else found

    def _separate(self, closing: str) -> None:
        """Pass a comma, or be before `closing`."""
        if not self.sign(","):
            at = self._at
            self.expect(closing)
            self._at = at

    def _string(self) -> str | None:
        if self._quote and self.sign(self._quote):
            end = self._text.find(self._quote, self._at)
            if end < 0:
                raise Unfinished("a string has no end")
            begin, self._at = self._at, end + len(self._quote)
            return self._text[begin:end]
        for quote in ("'", '"'):
            if self.sign(quote):
                return self._quoted(quote)
        return None

    def _quoted(self, quote: str) -> str:
        """Up to a quote after which a value can end: templates do not escape those within."""
        at = begin = self._at
        while True:
            at = self._text.find(quote, at)
            if at < 0:
                raise Unfinished("a string has no end")
            slashes = at - len(self._text[begin:at].rstrip("\\")) - begin
            if slashes % 2 == 0 and _CLOSED.match(self._text, at + 1):
                break
            at += 1
        self._at = at + 1
        return _ESCAPE.sub(_unescaped, self._text[begin:at])

    def _atom(self) -> Any:
        if found := _NUMBER.match(self._text, self._at):
            self._at = found.end()
            return _number(found)
        word = self.name()
        if word not in WORDS:
            raise Malformed(f"unknown: {word[:40]}")
        return WORDS[word]

    def _error(self) -> Malformed:
        return Malformed(f"unexpected: {self._text[self._at : self._at + 20]}")


def _number(found: re.Match[str]) -> int | float:
    try:
        return float(found[0]) if found[1] or found[2] else int(found[0])
    except ValueError as error:  # more digits than Python takes
        raise Malformed(str(error)) from None


def _unescaped(found: re.Match[str]) -> str:
    what = found[1]
    if len(what) > 1:
        return chr(int(what[1:], 16))
    return _ESCAPES.get(what, found[0])


def literal(text: str) -> Any:
    """The one value that a text is."""
    found = Literals(text)
    value = found.value()
    if not found.ended:
        raise Malformed("more than one value")
    return value


_DECODER = json.JSONDecoder(strict=False, parse_constant=lambda name: _refuse(name))


def json_value(text: str, at: int = 0) -> tuple[Any, int]:
    """The JSON value that begins at `at`, line ends in its strings allowed, and where it ends."""
    try:
        return _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        if error.msg.startswith("Unterminated string"):
            raise Unfinished(error.msg) from None
        raise Malformed(error.msg) from None
    except (ValueError, RecursionError) as error:
        raise Malformed(str(error)) from None


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
