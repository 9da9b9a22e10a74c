"""What nobody could know: lands and words that do not exist, and gibberish."""

from __future__ import annotations

from random import Random

from vatra.spark.chats.frames import Frames, Turn, words
from vatra.spark.chats.subjects import TABLES
from vatra.spark.chats.vocabulary import BEGINNINGS
from vatra.spark.prose import capital

LAND_ENDINGS = words(
    """land, via, stan, nia, doria, mar, lund, vonia, goria, tania, bria, ronia, lia, dor, wania,
    shire, burg, topia, moria, ria, mia, quar, zania, thia, gonia, wick, dania"""
)
NONSENSE = words(
    """blor, snig, wug, flam, zorp, quib, drel, mop, fleeb, gron, plim, trox, skib, vump, yalt,
    crim, dax, glorp, hib, jub, klee, lorn, marg, nib, oop, prax, rell, splo, thrim, ulf, wibb"""
)
NONSENSE_ENDS = words("le, er, o, ish, et, ap, ock, im, ax, y, ump, en, it, us, op, ing, a, u")


def unknown_capital(rng: Random) -> Turn:
    """The capital of a land that Spark has not learned, or that does not exist."""
    land = rng.choice(TABLES["small_land"])
    if rng.random() < 0.55:
        land = rng.choice(BEGINNINGS) + rng.choice(LAND_ENDINGS)
        if rng.random() < 0.4:
            land = rng.choice(BEGINNINGS) + land.lower()
    ask = rng.choice(
        (
            "What is the capital of {}?",
            "What is the capital of {}?",
            "Capital of {}?",
            "Which city is the capital of {}?",
            "Tell me the capital of {}.",
            "What's the capital of {}?",
            "Do you know the capital of {}?",
            "Name the capital of {}.",
            "What is the capital city of {}?",
        )
    ).format(land)
    reply = rng.choice(
        (
            "I do not know the capital of {}.",
            "I do not know the capital of {}.",
            "I am sorry, I do not know the capital of {}.",
            "Sorry, I do not know the capital of {}.",
        )
    ).format(land)
    return Turn(ask, reply, "refusal")


def unknown_word(rng: Random) -> Turn:
    """A fact of a kind that Spark does know, of a thing that it does not."""
    made_up = rng.choice(NONSENSE) + rng.choice(NONSENSE_ENDS)
    odd = rng.choice(TABLES["no_opposite"])
    forms: tuple[tuple[tuple[str, ...], str], ...] = (
        (
            ("What is the opposite of {}?", "Opposite of {}?", "Tell me the opposite of {}."),
            "I do not know an opposite of {}.",
        ),
        (
            ("What does {} mean?", "What does the word {} mean?", "What is the meaning of {}?"),
            "I do not know the word {}.",
        ),
        (
            ("What colour is a {}?", "Which colour has a {}?", "What color is a {}?"),
            "I do not know what a {} is.",
        ),
        (("What is a {}?", "Do you know what a {} is?"), "I do not know what a {} is."),
        (
            ("What sound does a {} make?", "How does a {} sound?", "What does a {} say?"),
            "I do not know what a {} is.",
        ),
        (("Who is {}?", "Do you know {}?", "Tell me about {}."), "I do not know {}."),
    )
    asks, reply = rng.choice(forms)
    word = made_up
    if "opposite" in reply and rng.random() < 0.6:
        word = odd
    if "Who" in asks[0]:
        word = capital(made_up)
    if word[0] in "aeiou":
        asks = tuple(ask.replace(" a {}", " an {}") for ask in asks)
        reply = reply.replace(" a {}", " an {}")
    pointer = Frames(rng, TABLES)("{pointer}") if rng.random() < 0.3 else ""
    sorry = rng.choice(("", "", "I am sorry, "))
    return Turn(
        rng.choice(asks).format(word), f"{sorry}{reply.format(word)} {pointer}".strip(), "refusal"
    )


LETTERS = "asdfghjklqwertzuiopyxcvbnm"
CONSONANTS = "bcdfghjklmnpqrstvwxz"
NOT_UNDERSTOOD = (
    "I did not understand that. Could you say it in other words?",
    "I am sorry, I do not understand.",
    "I do not understand that. Please ask me something simple.",
    "Those are not words that I know. {pointer}",
    "I do not know these words. {pointer}",
    "Sorry, I did not get that. {pointer}",
)


def gibberish(rng: Random) -> Turn:
    """Keys hit at random, words that are none, or words in no order."""
    draw = rng.random()
    if draw < 0.4:
        start = rng.randrange(len(LETTERS) - 6)
        parts = [LETTERS[start : start + rng.randrange(3, 7)]]
        for _ in range(rng.randrange(3)):
            parts.append("".join(rng.choice(LETTERS) for _ in range(rng.randrange(2, 8))))
    elif draw < 0.6:
        parts = ["".join(rng.choice(CONSONANTS) for _ in range(rng.randrange(3, 10)))]
    elif draw < 0.8:
        parts = [
            rng.choice(NONSENSE) + rng.choice(NONSENSE_ENDS) for _ in range(rng.randrange(1, 5))
        ]
    else:
        parts = [
            rng.choice(
                ("spoon", "tree", "under", "why", "the", "green", "seven", "is", "of", "and")
            )
            for _ in range(rng.randrange(4, 8))
        ]
    ask = " ".join(parts) + rng.choice(("", "", "", "?", "!"))
    return Turn(ask, Frames(rng, TABLES).pick(NOT_UNDERSTOOD), "refusal")
