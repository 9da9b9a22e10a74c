"""Every answer that a kind of question can have, and the checker of replies."""

from __future__ import annotations

import re

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
    world,
)
from vatra.spark.facts.phrasing import bare_noun


def _answers() -> dict[str, frozenset[str]]:
    """Every canonical answer of each kind."""
    to_20 = [str(n) for n in range(21)]
    yes_no = ["yes", "no"]  # elsewhere a wrong guess is answered with what is right
    day_answers = [answer for _, _, answer in calendar.DAY_ROWS]
    month_answers = [answer for _, _, answer in calendar.MONTH_ROWS]
    runs = [
        counting.series(range(n, m + 1)) for n in range(18) for m in range(n + 2, min(n + 11, 21))
    ]
    runs += [counting.series(range(1, m + 1)) for m in range(3, 21)]
    runs += [counting.series(range(n, 0, -1)) for n in range(3, 13)]
    runs += [
        counting.series(range(first, last + 1, step)) for _, step, first, last in counting.STEPS
    ]
    runs += [
        counting.series(range(step, last + 1, step))
        for step, last in ((2, 10), (2, 20), (5, 20), (5, 50), (10, 50), (10, 100), (3, 15))
    ]
    runs += [
        ", ".join(counting.NUMBER_WORDS[n : m + 1]) for n in range(1, 9) for m in range(n + 2, 13)
    ]
    return {
        "sum": frozenset(to_20),
        "difference": frozenset(to_20),
        "opposite": frozenset(answer for _, answer in opposites.OPPOSITES),
        "capital": frozenset(
            ["yes", *(countries.bare(name) for row in countries.CAPITALS for name in row)]
        ),
        "comparison": frozenset(
            [
                *yes_no,
                *(str(n) for n in range(101)),
                *(bare_noun(x) for _, steps in comparisons.SCALES for step in steps for x in step),
            ]
        ),
        "colour": frozenset(
            [
                "yes",
                *colours.COLOURS,
                *(f"{first}, {second}" for first, second, _ in colours.MIXED),
                *(", ".join(colours.NAMED_COLOURS[:n]) for n in range(2, 6)),
            ]
        ),
        "animal": frozenset(
            [
                *yes_no,
                *(word for row in animals.SOUNDS for word in row),
                *(baby for _, baby, _ in animals.BABIES),
                *(animal for animal, _, alone in animals.BABIES if alone),
                *(str(n) for _, n in animals.LEGS),
                *(home for _, _, home in animals.HOMES),
                *(food for _, food in animals.FOODS),
                *(family for _, family in animals.FAMILIES),
                *(animal for _, _, animal in animals.SUPERLATIVES),
                *(animal for _, animal in animals.RIDDLES),
            ]
        ),
        "day": frozenset(["yes", *calendar.DAYS, *day_answers]),
        "month": frozenset(
            [
                *calendar.MONTHS,
                *calendar.SEASONS,
                *month_answers,
                *(str(n) for n in range(1, 13)),
                *(str(n) for n in calendar.MONTH_DAYS if n),
            ]
        ),
        "counting": frozenset([*(str(n) for n in range(102)), *runs, "odd", "even"]),
        "letter": frozenset(
            [
                *letters.ALPHABET,
                *(letters.spelled(word) for word in letters.WORDS),
                *(str(len(word)) for word in letters.WORDS),
                *(answer for _, _, answer in letters.LETTER_ROWS),
            ]
        ),
        "everyday": frozenset(
            [
                *yes_no,
                *(answer for _, _, answer, _ in everyday.TOOLS),
                *(bare_noun(thing) for thing, _, _, task in everyday.TOOLS if task),
                *(stuff for _, stuff in everyday.MATERIALS),
                *(word for who, _, answer in everyday.JOBS for word in (bare_noun(who), answer)),
                *(place for _, _, place in everyday.PLACES),
                *(str(n) for _, _, n in everyday.COUNTED),
                *(part for _, part in everyday.BODY),
                *(answer for _, _, answer in world.SINGLE),
            ]
        ),
    }


ANSWERS: dict[str, frozenset[str]] = _answers()


def _finder(answers: frozenset[str]) -> re.Pattern[str]:
    """Finds each word that is an answer or an item of one, longer ones first."""
    words = {word.lower() for answer in answers for word in answer.split(", ")}
    words = {word for word in words if not word.isdigit()} - {"yes", "no"}
    longest_first = sorted(words, key=lambda word: (-len(word), word))
    # No part of a hyphenated word is a word of its own, nor is what an apostrophe cuts off.
    choice = "|".join(map(re.escape, longest_first)) or r"(?!)"
    return re.compile(rf"(?<![\w-])(?<!\w')(?:{choice})(?![\w-])")


_FINDERS = {kind: _finder(answers) for kind, answers in ANSWERS.items()}


def is_right(kind: str, ask: str, answer: str, reply: str) -> bool:
    """Whether the reply gives this answer, and no other that the question did not name itself."""
    ask, reply = ask.lower(), reply.lower()
    opening = re.match(r"\W*(\w*)", reply)
    verdict = opening[1] if opening else ""
    if answer in ("yes", "no"):
        return verdict == answer
    if verdict == "yes" and kind not in ("sum", "difference"):
        return False  # nobody asked for a verdict
    if verdict == "no" and "no" in ANSWERS[kind]:
        return False
    wanted = answer.lower().split(", ")
    numbers = re.findall(r"\d+", reply)
    if wanted[0].isdigit():
        if len(wanted) > 1:
            return numbers == wanted
        return numbers[-1:] == wanted and not re.search(r"\d, \d", reply)
    if kind != "counting" and not set(numbers) <= set(re.findall(r"\d+", ask)):
        return False
    found = _FINDERS[kind].findall(reply)
    if kind == "comparison":  # both things stand in the question: the one said first counts
        return found[:1] == wanted
    asked = set(_FINDERS[kind].findall(ask))
    said = [word for word in found if word in wanted or word not in asked]
    if kind == "colour":  # "blue and yellow" is as good as "yellow and blue"
        said, wanted = sorted(said), sorted(wanted)
    return said == wanted if len(wanted) > 1 else set(said) == set(wanted)
