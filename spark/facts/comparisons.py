"""Which of two or three is bigger, faster, warmer, ...: numbers and things."""

from __future__ import annotations

from random import Random

from vatra.spark.facts.phrasing import Question, bare_noun, mostly
from vatra.spark.prose import capital, listed

# (bigger word, smaller word, biggest word, smallest word, steps from least to most). Two things
# on different steps differ clearly; those on one step are never compared.
SCALES = (
    (
        ("bigger", "smaller", "biggest", "smallest"),
        (
            ("an ant", "a flea"),
            ("a bee", "a ladybug"),
            ("a mouse", "a sparrow"),
            ("a cat", "a rabbit", "a duck"),
            ("a sheep", "a goat", "a wolf"),
            ("a cow", "a horse", "a camel"),
            ("an elephant",),
            ("a whale",),
        ),
    ),
    (
        ("bigger", "smaller", "biggest", "smallest"),
        (
            ("a pea",),
            ("a cherry", "a grape"),
            ("an apple", "a lemon", "an orange"),
            ("a pumpkin", "a watermelon"),
            ("a car",),
            ("a house",),
            ("a mountain",),
            ("the moon",),
            ("the earth",),
            ("the sun",),
        ),
    ),
    (
        ("heavier", "lighter", "heaviest", "lightest"),
        (
            ("a feather", "a leaf"),
            ("a pencil", "a spoon"),
            ("a brick", "a pumpkin"),
            ("a sofa", "a fridge"),
            ("a car",),
            ("a train", "a ship"),
        ),
    ),
    (
        ("heavier", "lighter", "heaviest", "lightest"),
        (
            ("an ant", "a fly"),
            ("a mouse", "a frog"),
            ("a hen", "a cat", "a rabbit"),
            ("a pig", "a lion", "a bear"),
            ("an elephant",),
            ("a whale",),
        ),
    ),
    (
        ("faster", "slower", "fastest", "slowest"),
        (
            ("a snail", "a worm"),
            ("a tortoise",),
            ("a mouse", "a hen"),
            ("a dog", "a fox", "a wolf"),
            ("a cheetah",),
        ),
    ),
    (
        ("faster", "slower", "fastest", "slowest"),
        (("a tractor", "a bicycle"), ("a car", "a train"), ("a plane",), ("a rocket",)),
    ),
    (
        ("taller", "shorter", "tallest", "shortest"),
        (
            ("a mouse", "a frog"),
            ("a cat", "a hen"),
            ("a horse", "a camel"),
            ("a giraffe",),
        ),
    ),
    (
        ("taller", "shorter", "tallest", "shortest"),
        (
            ("a daisy", "a mushroom"),
            ("a chair", "a stool"),
            ("a door",),
            ("a house", "a lighthouse"),
            ("a mountain",),
        ),
    ),
    (
        ("longer", "shorter", "longest", "shortest"),
        (
            ("a second",),
            ("a minute",),
            ("an hour",),
            ("a day",),
            ("a week",),
            ("a month",),
            ("a year",),
        ),
    ),
    (
        ("longer", "shorter", "longest", "shortest"),
        (("an ant", "a flea"), ("a pencil", "a spoon"), ("a bus", "a truck"), ("a train",)),
    ),
    (
        ("hotter", "colder", "hottest", "coldest"),
        (("ice", "snow"), ("warm milk", "warm tea"), ("fire",), ("the sun",)),
    ),
    (
        ("older", "younger", "oldest", "youngest"),
        (("a baby",), ("a schoolchild",), ("a grandmother", "a grandfather")),
    ),
    (
        ("louder", "quieter", "loudest", "quietest"),
        (("a whisper",), ("a song",), ("thunder", "a rocket")),
    ),
    (
        ("deeper", "shallower", "deepest", "shallowest"),
        (("a puddle",), ("a pond",), ("a lake",), ("the ocean",)),
    ),
    (
        ("sweeter", "less sweet", "sweetest", "least sweet"),
        (("a lemon", "an onion"), ("an apple", "a pear"), ("honey", "sugar")),
    ),
    (
        ("softer", "harder", "softest", "hardest"),
        (("a stone", "a brick"), ("an apple", "a carrot"), ("a pillow", "a feather")),
    ),
)

_NUMBER_COMPARISONS = (
    "Which number is {w}, {n} or {m}?", "Which is {w}: {n} or {m}?", "What is {w}, {n} or {m}?",
    "{n} or {m}: which one is {w}?", "Which is the {w} number, {n} or {m}?", "{w}: {n} or {m}?",
    "What number is {w}, {n} or {m}?", "Tell me which number is {w}, {n} or {m}.",
    "Is {n} or {m} {w}?", "Is {n} or {m} the {w} number?", "Which one is {w}, {n} or {m}?",
    "I have the numbers {n} and {m}. Which one is {w}?", "Name the {w} number: {n} or {m}.",
    "Of {n} and {m}, which is the {w} one?", "Between {n} and {m}, which number is {w}?",
)  # fmt: skip
_THING_COMPARISONS = (
    "Which is {w}, {n} or {m}?", "What is {w}, {n} or {m}?", "Which is {w}: {n} or {m}?",
    "Is {n} or {m} {w}?", "{N} or {m}: which is {w}?", "Which one is {w}, {n} or {m}?",
    "Tell me what is {w}, {n} or {m}.", "Can you tell me which is {w}, {n} or {m}?",
    "Which of these is {w}: {n} or {m}?", "What is {w}: {n} or {m}?", "{W}: {n} or {m}?",
    "Do you know what is {w}, {n} or {m}?", "If you compare {n} and {m}, which is {w}?",
    "Between {n} and {m}, which one is {w}?", "I think of {n} and {m}. Which is {w}?",
)  # fmt: skip


def _two_numbers(rng: Random) -> tuple[int, int]:
    top = rng.choice((10, 20, 100))
    n, m = rng.sample(range(top + 1), 2)
    return n, m


def _compare_numbers(rng: Random) -> Question:
    word, biggest, turned = rng.choice(
        (("bigger", True, "smaller"), ("smaller", False, "bigger"), ("larger", True, "smaller"))
    )
    n, m = _two_numbers(rng)
    roll = rng.random()
    if roll < 0.2:
        relation = rng.choice((word, word, "more" if biggest else "less"))
        frames = [
            "Is {n} {w} than {m}?", "Is {n} {w} than {m}?", "Is it true that {n} is {w} than {m}?",
            "Would you say {n} is {w} than {m}?", "{n} is {w} than {m}, right?",
        ]  # fmt: skip
        ask = rng.choice(frames).format(n=n, m=m, w=relation)
        if (n > m) == biggest:
            return Question("comparison", ask, f"Yes, {n} is {relation} than {m}.", "yes")
        return Question("comparison", ask, f"No, {m} is {relation} than {n}.", "no")
    if roll < 0.32:
        three = rng.sample(range(rng.choice((11, 21))), 3)
        best = max(three) if biggest else min(three)
        superlative = {"bigger": "biggest", "smaller": "smallest", "larger": "largest"}[word]
        frames = [
            "Which number is the {w}: {l}?", "What is the {w} number: {l}?",
            "Which is the {w}, {l}?", "Tell me the {w} of these numbers: {l}.",
            "Which of {l} is the {w}?",
        ]  # fmt: skip
        numbers = listed([str(x) for x in three], "or")
        ask = rng.choice(frames).format(w=superlative, l=numbers)
        if ask.startswith(("Tell", "Which of")):
            ask = ask.replace(" or ", " and ")
        return Question("comparison", ask, f"The {superlative} number is {best}.", str(best))
    best, worst = (max(n, m), min(n, m)) if biggest else (min(n, m), max(n, m))
    ask = capital(rng.choice(_NUMBER_COMPARISONS).format(n=n, m=m, w=word))
    follow = None
    if rng.random() < 0.15:
        follow = (f"And which one is {turned}?", f"The {turned} number is {worst}.", str(worst))
    return Question("comparison", ask, f"The {word} number is {best}.", str(best), follow)


def ask_comparison(rng: Random) -> Question:
    """Which of two or three things, or numbers, is more."""
    if rng.random() < 0.35:
        return _compare_numbers(rng)
    (more, less, most, least), steps = rng.choice(SCALES)
    upward = rng.random() < 0.6
    word, turned = (more, less) if upward else (less, more)
    roll = rng.random()
    if roll < 0.15 and len(steps) > 2:
        levels = rng.sample(range(len(steps)), 3)
        things = [rng.choice(steps[level]) for level in levels]
        best = things[levels.index(max(levels) if upward else min(levels))]
        superlative = most if upward else least
        frames = [
            "Which is the {w}: {l}?", "What is the {w}: {l}?", "Which of these is the {w}: {l}?",
            "Which one is the {w}, {l}?", "Tell me which is the {w}: {l}.",
        ]  # fmt: skip
        ask = rng.choice(frames).format(w=superlative, l=listed(things, "or"))
        reply = f"{capital(best)} is the {superlative}."
        return Question("comparison", ask, reply, bare_noun(best))
    low, high = sorted(rng.sample(range(len(steps)), 2))
    small, large = rng.choice(steps[low]), rng.choice(steps[high])
    best, worst = (large, small) if upward else (small, large)
    n, m = (best, worst) if rng.random() < 0.5 else (worst, best)
    if roll < 0.4:
        frames = [
            "Is {n} {w} than {m}?", "Is {n} {w} than {m}?", "Is it true that {n} is {w} than {m}?",
            "Do you think {n} is {w} than {m}?", "{N} is {w} than {m}, right?",
            "Would you say that {n} is {w} than {m}?", "Tell me, is {n} {w} than {m}?",
        ]  # fmt: skip
        ask = rng.choice(frames).format(n=n, m=m, w=word, N=capital(n))
        if n == best:
            return Question("comparison", ask, f"Yes, {n} is {word} than {m}.", "yes")
        return Question("comparison", ask, f"No, {m} is {word} than {n}.", "no")
    frame = rng.choice(_THING_COMPARISONS)
    ask = frame.format(n=n, m=m, w=word, N=capital(n), W=capital(word))
    reply = f"{capital(best)} is {word} than {worst}."
    reply = mostly(rng, reply, (f"{capital(best)} is {word}.",), 0.85)
    follow = None
    if rng.random() < 0.15:
        follow = (
            rng.choice(("And which one is {t}?", "And which is {t}?")).format(t=turned),
            f"{capital(worst)} is {turned} than {best}.",
            bare_noun(worst),
        )
    return Question("comparison", ask, reply, bare_noun(best), follow)
