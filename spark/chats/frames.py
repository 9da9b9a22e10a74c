"""What a turn of a chat is, and the frames with slots that it is made from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from vatra.spark.prose import a, capital

SLOT = re.compile(r"\{(\w+?)(\d*)(?::(\w))?\}")
SPACES = re.compile(" {2,}")
GAP = re.compile(r" ([.!?,])")
TRIES = 20


@dataclass(frozen=True)
class Turn:
    """What one says, what Spark answers, and what may be said next because of it."""

    ask: str
    reply: str
    kind: str
    then: tuple[tuple[str, str], ...] = ()  # next asks with their replies
    told: tuple[str, str] | None = None  # what is now known about the other one: subject, value


class Frames:
    """Fills `{slot}` from tables, once per slot, so that a question and its answer agree.
    `{slot:a}` sets an article before it, `{slot:C}` a capital, `{slot:A}` both; `{slot2}` is
    another choice from the same table."""

    def __init__(self, rng: Random, tables: Mapping[str, tuple[str, ...]], **given: str) -> None:
        self.rng = rng
        self.tables = tables
        self.filled: dict[str, str] = dict(given)

    def __call__(self, frame: str) -> str:
        """The frame with its slots filled and its spaces in order."""
        text = SPACES.sub(" ", self._expand(frame))
        return GAP.sub(r"\1", text).strip()

    def pick(self, frames: tuple[str, ...]) -> str:
        """One of the frames, filled."""
        return self(self.rng.choice(frames))

    def _expand(self, frame: str) -> str:
        return SLOT.sub(self._slot, frame) if "{" in frame else frame

    def _slot(self, match: re.Match[str]) -> str:
        table, number, form = match.groups()
        name = table + number
        if name not in self.filled:
            taken = self.filled.values() if number else ()
            for _ in range(TRIES):
                text = self._expand(self.rng.choice(self.tables[table]))
                if text not in taken:
                    break
            self.filled[name] = text
        text = self.filled[name]
        if form in ("a", "A"):
            text = a(text)
        return capital(text) if form in ("A", "C") else text


def slots(frame: str) -> set[str]:
    """The names of the slots of a frame."""
    return {table + number for table, number, _ in SLOT.findall(frame)}


def words(text: str) -> tuple[str, ...]:
    """The phrases of a text that commas part."""
    return tuple(" ".join(word.split()) for word in text.split(","))


@dataclass(frozen=True)
class Talk:
    """A subject of small talk: frames to ask in and frames to answer in, with shared slots."""

    asks: tuple[str, ...]
    replies: tuple[str, ...]
    weight: float = 1.0
