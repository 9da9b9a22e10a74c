"""Questions that have one right answer: a file for each subject, and the checker of replies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from vatra.spark.facts import (
    animals,
    calendar,
    colours,
    comparisons,
    counting,
    countries,
    everyday,
    letters,
    opposites,
    sums,
)
from vatra.spark.facts.answers import ANSWERS, is_right
from vatra.spark.facts.phrasing import Follow, Question, opened, posed, typed

__all__ = ["ANSWERS", "KINDS", "Follow", "Question", "is_right", "question", "typed"]

KINDS: dict[str, Callable[[Random], Question]] = {
    "sum": sums.ask_sum,
    "difference": sums.ask_difference,
    "opposite": opposites.ask_opposite,
    "capital": countries.ask_capital,
    "comparison": comparisons.ask_comparison,
    "colour": colours.ask_colour,
    "animal": animals.ask_animal,
    "day": calendar.ask_day,
    "month": calendar.ask_month,
    "counting": counting.ask_counting,
    "letter": letters.ask_letter,
    "everyday": everyday.ask_everyday,
}
# Numbers need the most practice: they are worked out, not remembered.
_WEIGHTS = (16, 15, 11, 11, 10, 8, 10, 5, 5, 9, 6, 12)


def question(rng: Random, kind: str | None = None) -> Question:
    """A question of the kind, or of any kind, as somebody would type it."""
    if kind is None:
        (kind,) = rng.choices(tuple(KINDS), _WEIGHTS)
    asked = KINDS[kind](rng)
    follow = asked.follow
    if follow:
        follow = (typed(rng, follow[0]), follow[1], follow[2])
    ask = typed(rng, posed(rng, asked.ask))
    return replace(asked, ask=ask, reply=opened(rng, asked), follow=follow)
