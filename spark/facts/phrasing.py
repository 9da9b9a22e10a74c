"""What a question is, and the ways in which people put and type one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

Follow = tuple[str, str, str]


@dataclass(frozen=True)
class Question:
    """What a person asks, what Spark says, and the one thing that reply must contain."""

    kind: str  # one of KINDS
    ask: str
    reply: str
    answer: str  # "12", "Paris", "yes", or a list: "3, 4, 5"
    follow: Follow | None = None  # a next turn of the same kind: ask, reply, answer


def mostly(rng: Random, usual: str, others: tuple[str, ...], chance: float = 0.7) -> str:
    """The usual phrasing with the given chance, else one of the others."""
    return usual if rng.random() < chance else rng.choice(others)


def bare_noun(thing: str) -> str:
    """The thing without its article."""
    return re.sub(r"^(?:an?|the) ", "", thing)


def counted(n: int, one: str, many: str) -> str:
    """So many of something."""
    return f"{n} {one if n == 1 else many}"


def sayings(
    *rows: tuple[tuple[str, ...], str, str],
) -> tuple[tuple[str, str, str], ...]:
    """Rows of several questions with one reply and answer, as one row for each question."""
    return tuple((ask, reply, answer) for asks, reply, answer in rows for ask in asks)


_REQUESTS = (
    "can", "could", "tell", "give", "name", "count", "say", "spell", "calculate", "solve", "what",
    "what's",
)  # fmt: skip
_STARTERS = (
    *_REQUESTS, "which", "who", "where", "when", "why", "how", "is", "are", "do", "does", "add",
    "take", "please", "subtract", "complete", "write", "list", "if",
)  # fmt: skip


def typed(rng: Random, text: str) -> str:
    """The text as somebody in a hurry might type it; its words and numbers mean the same."""
    if rng.random() < 0.6:
        return text
    first = text.split(" ", 1)[0].lower()
    if rng.random() < 0.35:
        text = re.sub(r"\b([Ww])hat(?:'s| is)\b", r"\1hats", text, count=1)
    single = re.fullmatch(r"[^.?!:]+[.?]", text)  # one sentence, and not an open one
    if rng.random() < 0.12 and single and first in _REQUESTS and "lease" not in text:
        text = text[:-1] + " pls" + text[-1]
    if rng.random() < 0.12 and first in _STARTERS:
        text = rng.choice(("hey, ", "hey, ", "Hey, ", "hi, ")) + text[0].lower() + text[1:]
    if text.endswith("?") and not text.endswith("??"):
        roll = rng.random()
        if roll < 0.5:
            text = text[:-1].rstrip()
        elif roll < 0.6:
            text += "?"
    elif text.endswith(".") and not text.endswith("..") and rng.random() < 0.5:
        text = text[:-1]
    return text.lower() if rng.random() < 0.55 else text


_LEADS = (
    "Quick question: ", "I have a question: ", "Tell me: ", "Please tell me: ", "Question: ",
    "Another question: ", "Next question: ", "Here is a question: ", "Can you help me? ",
    "Do you know this? ", "Please help me. ", "My teacher asks: ", "I want to know: ",
)  # fmt: skip
_TAILS = (" Please tell me.", " Do you know?", " Thank you!", " I forgot.", " Can you help me?")


def posed(rng: Random, ask: str) -> str:
    """The question, at times with a few words around it."""
    if not ask.endswith("?"):
        return ask
    roll = rng.random()
    if roll < 0.07:
        return rng.choice(_LEADS) + ask
    return ask + rng.choice(_TAILS) if roll < 0.1 and ask.startswith(("Wh", "How")) else ask


_FAVOURS = ("Can ", "Could ", "Please ", "Tell ", "Name ", "Count ", "Say ", "Spell ", "Give ")


def opened(rng: Random, asked: Question) -> str:
    """The reply, at times with a friendly word before it."""
    # A reply whose first word is the verdict stays as it is.
    if asked.reply.startswith(("Yes", "No")) or rng.random() > 0.05:
        return asked.reply
    if asked.ask.startswith(_FAVOURS):
        return rng.choice(("Sure! ", "Of course! ", "Gladly! ")) + asked.reply
    return "Let me think. " + asked.reply
