"""Text that remembers which of its characters a person wrote.

Strings of messages enter a chat template as `Marked`; whatever the template does to them, the
characters that came from them stay marked, so that they can never become a control token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, SupportsIndex

Spans = tuple[tuple[int, int], ...]  # begin and end, ascending, apart from each other


class Marked(str):
    """A string of which the characters in `marks` came from a message."""

    __slots__ = ("marks",)
    marks: Spans

    def __new__(cls, text: str, marks: Spans) -> Marked:
        made = super().__new__(cls, text)
        made.marks = marks
        return made

    def __str__(self) -> str:
        return self

    def __getitem__(self, at: SupportsIndex | slice) -> str:
        if isinstance(at, slice):
            begin, end, step = at.indices(len(self))
            if step == 1:
                return cut(self, begin, end)
            return wholly(str.__getitem__(self, at), self)
        return wholly(str.__getitem__(self, at), cut(self, *_place(len(self), at.__index__())))

    def __iter__(self) -> Iterator[str]:
        return (cut(self, i, i + 1) for i in range(len(self)))

    def __add__(self, other: str) -> str:
        return joined((self, other))

    def __radd__(self, other: str) -> str:
        return joined((other, self))


def _place(n: int, at: int) -> tuple[int, int]:
    at = at + n if at < 0 else at
    return at, at + 1


def plain(text: str) -> str:
    """`text` as an ordinary string."""
    return str.__str__(text) if type(text) is not str else text


def marks_of(text: object) -> Spans:
    """The marked spans of a string; none for anything else."""
    return text.marks if isinstance(text, Marked) else ()


def marked(text: str, marks: Iterable[tuple[int, int]]) -> str:
    """`text` with these spans, touching ones made one; an ordinary string if there are none."""
    spans: list[tuple[int, int]] = []
    for begin, end in marks:
        if begin < end:
            if spans and spans[-1][1] >= begin:
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((begin, end))
    return Marked(plain(text), tuple(spans)) if spans else plain(text)


def wholly(text: str, *sources: object) -> str:
    """`text`, all of it marked if any part of any source is: where places can not be followed."""
    if any(marks_of(source) for source in sources):
        return marked(text, [(0, len(text))])
    return text


def everything(value: Any, depth: int = 64) -> Any:
    """A copy of a message's lists and mappings in which every string is marked.

    Raises ValueError where they are nested more than `depth` deep, TypeError for anything that is
    no text, number, list or mapping.
    """
    if isinstance(value, str):
        return marked(value, [(0, len(value))])
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if depth <= 0:
        raise ValueError("nested too deeply")
    if isinstance(value, (list, tuple)):
        return [everything(item, depth - 1) for item in value]
    if hasattr(value, "items"):
        return {
            everything(key, depth - 1): everything(item, depth - 1) for key, item in value.items()
        }
    raise TypeError(f"got {type(value).__name__}, wanted text, a number, a list or a mapping")


def has_marks(value: Any) -> bool:
    """Whether any string in `value`, its lists and mappings, has marks; weigh these before."""
    if isinstance(value, str):
        return bool(marks_of(value))
    if isinstance(value, dict):
        return any(has_marks(k) or has_marks(v) for k, v in value.items())
    return isinstance(value, (list, tuple)) and any(map(has_marks, value))


def joined(parts: Iterable[str]) -> str:
    """The parts one after another."""
    parts = list(parts)
    text = "".join(map(plain, parts))
    if not any(isinstance(part, Marked) for part in parts):
        return text
    spans: list[tuple[int, int]] = []
    at = 0
    for part in parts:
        spans += [(at + begin, at + end) for begin, end in marks_of(part)]
        at += len(part)
    return marked(text, spans)


def repeated(text: str, n: int) -> str:
    """text * n."""
    n = max(n, 0)
    size = len(text)
    if marks_of(text) in ((), ((0, size),)):
        return wholly(plain(text) * n, text)
    spans = [
        (at * size + begin, at * size + end) for at in range(n) for begin, end in marks_of(text)
    ]
    return marked(plain(text) * n, spans)


def cut(text: str, begin: int, end: int) -> str:
    """text[begin:end] for 0 <= begin <= len(text); the marks are cut along."""
    found = str.__getitem__(text, slice(begin, end))
    spans = ((max(a, begin) - begin, min(b, end) - begin) for a, b in marks_of(text))
    return marked(found, spans)


def stripped(text: str, chars: str | None, left: bool, right: bool) -> str:
    """str.strip, str.lstrip or str.rstrip."""
    bare = plain(text)
    begin = len(bare) - len(bare.lstrip(chars)) if left else 0
    end = len(bare.rstrip(chars)) if right else len(bare)
    return cut(text, begin, max(begin, end))


def split(text: str, sep: str | None, most: int, from_right: bool) -> list[str]:
    """str.split, or str.rsplit if `from_right`."""
    bare = plain(text)
    pieces = bare.rsplit(sep, most) if from_right else bare.split(sep, most)
    if not marks_of(text):
        return pieces
    places: list[str] = []
    if sep is not None:
        at = 0
        for piece in pieces:
            places.append(cut(text, at, at + len(piece)))
            at += len(piece) + len(sep)
        return places
    # Whitespace of any length lies between the pieces: find each where the one before ended.
    at = 0
    for i, piece in enumerate(pieces):
        if from_right and i == 0 and most >= 0:
            begin = 0 if bare.startswith(piece) else bare.find(piece)
        else:
            match = re.compile(r"\S").search(bare, at)
            begin = match.start() if match else at
        at = begin + len(piece)
        places.append(cut(text, begin, at))
    return places


def lines(text: str, keep: bool) -> list[str]:
    """str.splitlines."""
    found, at = [], 0
    for whole, bare in zip(plain(text).splitlines(True), plain(text).splitlines(), strict=True):
        found.append(cut(text, at, at + len(whole if keep else bare)))
        at += len(whole)
    return found


def replaced(text: str, old: str, new: str, most: int) -> str:
    """str.replace."""
    if not old:
        chars = [cut(text, i, i + 1) for i in range(len(text))]
        n = len(chars) + 1 if most < 0 else min(most, len(chars) + 1)
        parts = [
            part for i in range(len(chars)) for part in ((new, chars[i]) if i < n else (chars[i],))
        ]
        return joined([*parts, new] if n == len(chars) + 1 else parts)
    pieces = split(text, old, most, from_right=False)
    return joined([part for piece in pieces for part in (new, piece)][1:])


def partitioned(text: str, sep: str, from_right: bool) -> tuple[str, str, str]:
    """str.partition, or str.rpartition if `from_right`."""
    bare = plain(text)
    at = bare.rfind(sep) if from_right else bare.find(sep)
    if at < 0:
        return ("", "", text) if from_right else (text, "", "")
    end = at + len(sep)
    return cut(text, 0, at), cut(text, at, end), cut(text, end, len(bare))
