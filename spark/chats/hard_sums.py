"""Sums that are too hard for Spark."""

from __future__ import annotations

import re
from random import Random

from vatra.spark.chats.frames import Turn
from vatra.spark.facts import question

TOO_BIG = (
    "That is too big for me. I can only add and take away up to 20.",
    "That is too hard for me. I can only add and take away up to 20.",
    "I am sorry, I can only add and take away up to 20.",
    "Those numbers are too big for me. I can only do sums up to 20.",
)
NO_SUCH_SUM = (
    "That is too hard for me. I can only add and take away up to 20.",
    "I am sorry, I can only add and take away up to 20.",
    "I have not learned that. I can only add and take away up to 20.",
    "That kind of sum is too hard for me. I can only add and take away up to 20.",
)
BELOW_ZERO = (
    "That is less than zero. I do not know numbers below zero.",
    "I cannot take away more than there is. I know only numbers from zero up.",
)
NUMBER = re.compile(r"\d+")
SUM_FRAMES = (
    "What is {}?",
    "What's {}?",
    "How much is {}?",
    "Can you tell me {}?",
    "{}",
    "{} = ?",
    "{}?",
    "Calculate {}.",
    "Work out {}.",
    "Please add up {}.",
    "Tell me what {} is.",
    "Solve {}.",
    "What does {} make?",
    "Compute {}.",
)
OTHER_SUMS = (
    "What is the square root of {n}?",
    "What is {m} squared?",
    "What is {p} percent of {n}?",
    "What is {m} to the power of {k}?",
    "Solve x + {m} = {n}.",
    "Solve {m}x = {n}.",
    "What is x if {k}x + {m} = {n}?",
    "What is the area of a circle with radius {m}?",
    "Divide {n} by {m}.",
    "Multiply {m} by {n}.",
    "What is half of {n}?",
    "Is {n} a prime number?",
    "What are the factors of {n}?",
    "What is pi times {m}?",
    "Round {n}.{m} to one digit.",
    "What is {k}/{m} + {m}/{n}?",
    "What is the sine of {n}?",
    "What is the average of {m} and {n}?",
    "Convert {n} miles to kilometres.",
    "How many minutes are in {m} hours?",
    "How many grams are {n} ounces?",
    "What is the derivative of {k}x squared?",
    "If a train goes {n} miles in {k} hours, how fast is it?",
    "A shop sells {n} apples in {m} boxes. How many are in each box?",
    "What is {n} in binary?",
    "Prove that {n} is even.",
)


def told_sum(rng: Random) -> Turn:
    """A sum or difference in the words of those that Spark can do, with numbers that are too
    big."""
    while True:
        ask = question(rng, rng.choice(("sum", "difference"))).ask
        numbers = [int(number) for number in NUMBER.findall(ask)]
        if len(numbers) == 2 and min(numbers) > 1:
            break
    top = rng.choice((40, 60, 100, 100, 1000))
    second = rng.randrange(12, top)
    first = rng.randrange(second + 10, second + top)
    if numbers[0] < numbers[1]:
        first, second = second, first
    fresh = iter((first, second))
    ask = NUMBER.sub(lambda _: str(next(fresh)), ask)
    return Turn(ask, rng.choice(TOO_BIG), "refusal")


def big_sum(rng: Random) -> Turn:
    """A sum that is out of range, asked like one within it."""
    if rng.random() < 0.3:
        return told_sum(rng)
    draw = rng.random()
    if draw < 0.07:
        first = rng.randrange(0, 15)
        less = f"{first}{rng.choice((' - ', '-', ' minus '))}{rng.randrange(first + 1, 21)}"
        frame = rng.choice([frame for frame in SUM_FRAMES if "add" not in frame])
        return Turn(frame.format(less), rng.choice(BELOW_ZERO), "refusal")
    if draw < 0.45:
        top = rng.choice((21, 21, 30, 60, 100, 100, 1000, 5000))
        plus = rng.choice((" + ", " + ", " plus ", "+"))
        while True:
            first, second = rng.randrange(1, top), rng.randrange(1, top)
            if first + second > 20:
                break
        return Turn(
            rng.choice(SUM_FRAMES).format(f"{first}{plus}{second}"), rng.choice(TOO_BIG), "refusal"
        )
    if draw < 0.65:
        top = rng.choice((40, 60, 100, 100, 1000, 5000))
        minus = rng.choice((" - ", " - ", " minus ", "-"))
        first = rng.randrange(21, top)
        second = rng.randrange(1, first)
        frame = rng.choice([frame for frame in SUM_FRAMES if "add" not in frame])
        return Turn(frame.format(f"{first}{minus}{second}"), rng.choice(TOO_BIG), "refusal")
    if draw < 0.8:
        sign = rng.choice((" * ", " x ", " times ", " / ", " divided by ", "*", "/"))
        sums = f"{rng.randrange(2, 100)}{sign}{rng.randrange(2, 20)}"
        frame = rng.choice([frame for frame in SUM_FRAMES if "add" not in frame])
        return Turn(frame.format(sums), rng.choice(NO_SUCH_SUM), "refusal")
    ask = rng.choice(OTHER_SUMS).format(
        n=rng.randrange(21, 1000),
        m=rng.randrange(2, 20),
        k=rng.randrange(2, 10),
        p=rng.randrange(1, 20) * 5,
    )
    return Turn(ask, rng.choice(NO_SUCH_SUM), "refusal")
