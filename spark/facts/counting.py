"""Counting: up, down, in steps, what comes next, odd and even."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from vatra.spark.facts.phrasing import Follow, Question
from vatra.spark.prose import capital

NUMBER_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
    "twenty",
)  # fmt: skip

_COUNT_UP = (
    "Count from {n} to {m}.", "Count from {n} to {m}.", "Can you count from {n} to {m}?",
    "Please count from {n} to {m}.", "count {n} to {m}", "Count up from {n} to {m}.",
    "Say the numbers from {n} to {m}.", "Write the numbers from {n} to {m}.",
    "List the numbers from {n} to {m}.", "What are the numbers from {n} to {m}?",
    "Start at {n} and count to {m}.", "Could you count from {n} up to {m}, please?",
    "Which numbers are there from {n} to {m}?", "I want you to count from {n} to {m}.",
)  # fmt: skip
_COUNT_TO = (
    "Count to {m}.", "Count to {m}.", "Can you count to {m}?", "count up to {m}",
    "Count to {m} for me.", "Please count to {m}.", "Let us count to {m}!",
    "Show me how you count to {m}.", "Do you know how to count to {m}?", "Count until {m}.",
    "Will you count to {m} for me?",
)  # fmt: skip
_COUNT_DOWN = (
    "Count down from {n}.", "Count down from {n}.", "Can you count down from {n}?",
    "Count down from {n} to 1.", "Count backwards from {n}.", "Please count down from {n}.",
    "Start at {n} and count down.", "Do a countdown from {n}.", "Countdown from {n}!",
    "Count back from {n} to 1.", "Count from {n} down to 1.",
)  # fmt: skip
_AFTER = (
    "What comes after {n}?", "What number comes after {n}?", "Which number comes after {n}?",
    "Which number follows {n}?", "What is the next number after {n}?", "After {n} comes ...",
    "I count {n}. What comes next?", "What is one more than {n}?", "Tell me the number after {n}.",
    "the number after {n}?", "Which number is right after {n}?",
    "If I count on from {n}, what is next?",
)  # fmt: skip
_BEFORE = (
    "What comes before {n}?", "What number comes before {n}?", "Which number comes before {n}?",
    "What is the number before {n}?", "Before {n} comes ...", "Tell me the number before {n}.",
    "the number before {n}?", "Which number is just before {n}?", "What is one less than {n}?",
    "I count down from {n}. What comes next?", "Do you know the number before {n}?",
)  # fmt: skip
# (questions with the limit, step, first, limit)
STEPS = (
    ("even numbers", 2, 2, 10), ("even numbers", 2, 2, 20), ("even numbers", 2, 2, 12),
    ("odd numbers", 2, 1, 9), ("odd numbers", 2, 1, 19), ("odd numbers", 2, 1, 11),
)  # fmt: skip


def series(numbers: Iterable[int]) -> str:
    """The numbers as they are counted."""
    return ", ".join(map(str, numbers))


def ask_counting(rng: Random) -> Question:
    """Numbers in their order."""
    roll = rng.random()
    follow: Follow | None = None

    def shown(n: int) -> str:
        return NUMBER_WORDS[n] if n <= 20 and worded else str(n)

    worded = rng.random() < 0.35
    if roll < 0.2:
        n = rng.randrange(0, 18)
        m = rng.randrange(n + 2, min(n + 11, 21))
        answer = series(range(n, m + 1))
        ask = capital(rng.choice(_COUNT_UP).format(n=shown(n), m=shown(m)))
        return Question("counting", ask, f"{answer}.", answer)
    if roll < 0.3:
        m = rng.choice((3, 4, 5, 5, 6, 7, 8, 9, 10, 10, 10, 12, 15, 20))
        answer = series(range(1, m + 1))
        ask = capital(rng.choice(_COUNT_TO).format(m=shown(m)))
        return Question("counting", ask, f"{answer}.", answer)
    if roll < 0.4:
        n = rng.choice((3, 4, 5, 5, 6, 7, 8, 9, 10, 10, 10, 12))
        answer = series(range(n, 0, -1))
        ask = capital(rng.choice(_COUNT_DOWN).format(n=shown(n)))
        return Question("counting", ask, f"{answer}.", answer)
    if roll < 0.45:
        n, m = (1, rng.choice((3, 5, 10))) if rng.random() < 0.5 else (rng.randrange(1, 9), 0)
        m = m or rng.randrange(n + 2, 13)
        words = [NUMBER_WORDS[i] for i in range(n, m + 1)]
        frames = [
            "Count from {n} to {m} in words.", "Write the numbers from {n} to {m} in words.",
            "Can you count from {n} to {m} in words?", "In words, count from {n} to {m}.",
        ]  # fmt: skip
        ask = rng.choice(frames).format(n=shown(n), m=shown(m))
        return Question("counting", ask, f"{capital(', '.join(words))}.", ", ".join(words))
    if roll < 0.53:
        what, step, first, limit = rng.choice(STEPS)
        frames = [
            "Name the {w} up to {m}.", "What are the {w} up to {m}?", "Count the {w} up to {m}.",
            "List all {w} from {n} to {m}.", "Which {w} are there up to {m}?", "{W} up to {m}?",
            "Can you say the {w} up to {m}?",
        ]  # fmt: skip
        ask = rng.choice(frames).format(w=what, W=capital(what), n=shown(first), m=shown(limit))
        answer = series(range(first, limit + 1, step))
        return Question("counting", ask, f"{answer}.", answer)
    if roll < 0.58:
        step, limit = rng.choice(((2, 10), (2, 20), (5, 20), (5, 50), (10, 50), (10, 100), (3, 15)))
        frames = [
            "Count by {s}s to {m}.", "Count in {s}s up to {m}.", "Can you count by {s}s to {m}?",
            "Skip count by {s} to {m}.", "Please count in steps of {s} up to {m}.",
        ]  # fmt: skip
        ask = rng.choice(frames).format(s=step, m=limit)
        answer = series(range(step, limit + 1, step))
        return Question("counting", ask, f"{answer}.", answer)
    if roll < 0.64:
        n = rng.randrange(0, 21)
        kind = "even" if n % 2 == 0 else "odd"
        frames = [
            "Is {n} odd or even?", "Is {n} an even or an odd number?",
            "Is the number {n} even or odd?", "{n}: odd or even?", "Tell me if {n} is odd or even.",
        ]  # fmt: skip
        ask = capital(rng.choice(frames).format(n=shown(n)))
        return Question("counting", ask, f"{n} is an {kind} number.", kind)
    if roll < 0.7:
        n = rng.randrange(0, 17)
        run = series(range(n, n + 3))
        frames = [
            "What comes next: {r}, ...", "{r}, what is next?", "{r}, ...", "{r} and then?",
            "Which number comes next? {r}, ...", "Go on: {r}, ...",
        ]  # fmt: skip
        ask = rng.choice(frames).format(r=run)
        return Question("counting", ask, f"The next number is {n + 3}.", str(n + 3))
    top = rng.choice((10, 20, 20, 100))
    if roll < 0.76:
        n = rng.randrange(1, top)
        frames = [
            "Which number is between {a} and {b}?", "What comes between {a} and {b}?",
            "What number is between {a} and {b}?", "{a}, ..., {b}: what is missing?",
        ]  # fmt: skip
        ask = capital(rng.choice(frames).format(a=shown(n - 1), b=shown(n + 1)))
        return Question("counting", ask, f"Between {n - 1} and {n + 1} comes {n}.", str(n))
    forward = roll < 0.9
    n = rng.randrange(0, top) if forward else rng.randrange(1, top + 1)
    result = n + 1 if forward else n - 1
    lead = "After" if forward else "Before"
    ask = capital(rng.choice(_AFTER if forward else _BEFORE).format(n=shown(n)))
    if rng.random() < 0.2:
        m = rng.randrange(1, top)
        its = m + 1 if forward else m - 1
        asked = rng.choice((f"And {lead.lower()} {m}?", f"What comes {lead.lower()} {m}?"))
        follow = (asked, f"{lead} {m} comes {its}.", str(its))
    return Question("counting", ask, f"{lead} {n} comes {result}.", str(result), follow)
