"""Words and their opposites."""

from __future__ import annotations

from random import Random

from vatra.spark.facts.phrasing import Follow, Question, mostly
from vatra.spark.prose import capital

# Pairs that hold in both directions; no word has two opposites in what can be asked.
OPPOSITE_ADJECTIVES = (
    ("hot", "cold"), ("big", "small"), ("fast", "slow"), ("happy", "sad"), ("good", "bad"),
    ("wet", "dry"), ("full", "empty"), ("open", "closed"), ("clean", "dirty"), ("loud", "quiet"),
    ("strong", "weak"), ("thick", "thin"), ("wide", "narrow"), ("deep", "shallow"), ("high", "low"),
    ("rich", "poor"), ("true", "false"), ("rough", "smooth"), ("sharp", "blunt"),
    ("tight", "loose"), ("safe", "dangerous"), ("polite", "rude"), ("careful", "careless"),
    ("beautiful", "ugly"), ("tidy", "messy"), ("cheap", "expensive"), ("lucky", "unlucky"),
    ("possible", "impossible"), ("visible", "invisible"), ("easy", "difficult"), ("warm", "cool"),
    ("asleep", "awake"), ("early", "late"), ("near", "far"), ("patient", "impatient"),
    ("honest", "dishonest"), ("friendly", "unfriendly"), ("healthy", "sick"), ("raw", "cooked"),
    ("straight", "crooked"), ("tame", "wild"),
)  # fmt: skip
OPPOSITE_WORDS = (
    ("up", "down"), ("in", "out"), ("on", "off"), ("over", "under"), ("above", "below"),
    ("inside", "outside"), ("front", "back"), ("top", "bottom"), ("first", "last"),
    ("day", "night"), ("morning", "evening"), ("summer", "winter"), ("north", "south"),
    ("east", "west"), ("push", "pull"), ("same", "different"), ("give", "take"), ("come", "go"),
    ("buy", "sell"), ("laugh", "cry"), ("love", "hate"), ("remember", "forget"),
    ("arrive", "leave"), ("sit", "stand"), ("sink", "float"), ("rise", "fall"), ("lead", "follow"),
    ("build", "destroy"), ("always", "never"), ("everything", "nothing"), ("everybody", "nobody"),
    ("all", "none"), ("many", "few"), ("more", "less"), ("most", "least"), ("before", "after"),
    ("hello", "goodbye"), ("friend", "enemy"), ("beginning", "end"), ("start", "stop"),
    ("upstairs", "downstairs"), ("add", "subtract"), ("with", "without"), ("forward", "backward"),
    ("peace", "war"), ("whisper", "shout"), ("freeze", "melt"),
)  # fmt: skip
# Here only the first word has one plain opposite.
OPPOSITE_ADJECTIVES_ONE_WAY = (
    ("young", "old"), ("new", "old"), ("long", "short"), ("tall", "short"), ("dark", "light"),
    ("heavy", "light"), ("soft", "hard"), ("sour", "sweet"), ("large", "small"), ("little", "big"),
    ("quick", "slow"), ("noisy", "quiet"), ("wrong", "right"),
)  # fmt: skip
OPPOSITE_WORDS_ONE_WAY = (
    ("left", "right"),
    ("win", "lose"),
    ("find", "lose"),
    ("outdoors", "indoors"),
)


def _both_ways(pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return pairs + tuple((second, first) for first, second in pairs)


_ADJECTIVES = _both_ways(OPPOSITE_ADJECTIVES) + OPPOSITE_ADJECTIVES_ONE_WAY
OPPOSITES = _ADJECTIVES + _both_ways(OPPOSITE_WORDS) + OPPOSITE_WORDS_ONE_WAY
_OPPOSITE_ASKS = (
    "What is the opposite of {x}?", "What is the opposite of {x}?", "What's the opposite of {x}?",
    "opposite of {x}", "Opposite of {x}?", 'What is the opposite of "{x}"?', "the opposite of {x}",
    'Give me a word that means the opposite of "{x}".', "Tell me the opposite of {x}.",
    "Can you tell me the opposite of {x}?", "Do you know the opposite of {x}?",
    "Which word is the opposite of {x}?", "The opposite of {x} is ...",
    "{x} - what is the opposite?", "Name the opposite of {x}.",
    'Which word means the opposite of "{x}"?', "{x} and its opposite?",
    "Please tell me the opposite of {x}.", "What word is the opposite of {x}?",
    "I need the opposite of {x}.", 'What do you call the opposite of "{x}"?',
    "I say {x}, and you say the opposite.", "Give me the opposite of {x}, please.",
    "Could you give me the opposite of {x}?", 'Say the opposite of "{x}".',
    "If I say {x}, what is the opposite?", "Find the opposite of {x}.",
)  # fmt: skip
_OPPOSITE_ADJECTIVE_ASKS = (
    "If it is not {x}, it is ...", "If something is not {x}, what is it?",
    "What is something that is not {x}?", "It is not {x}. So it is ...",
    "What do you call something that is not {x} at all?", "Not {x} is ...",
)  # fmt: skip


def _opposite_reply(rng: Random, word: str, answer: str) -> str:
    others = (f"{capital(answer)} is the opposite of {word}.", f"It is {answer}.")
    return mostly(rng, f"The opposite of {word} is {answer}.", others, 0.8)


def ask_opposite(rng: Random) -> Question:
    """The opposite of a word."""
    word, answer = rng.choice(OPPOSITES)
    if (word, answer) in _ADJECTIVES and rng.random() < 0.2:
        ask = rng.choice(_OPPOSITE_ADJECTIVE_ASKS).format(x=word)
        reply = mostly(rng, f"The opposite of {word} is {answer}.", (f"It is {answer}.",))
    else:
        ask = rng.choice(_OPPOSITE_ASKS).format(x=word)
        reply = _opposite_reply(rng, word, answer)
    follow: Follow | None = None
    if rng.random() < 0.2:
        other, its = rng.choice(OPPOSITES)
        if other not in (word, answer):
            frames = ["And of {x}?", "And the opposite of {x}?", "What about {x}?", "And {x}?"]
            follow = (
                rng.choice(frames).format(x=other),
                f"The opposite of {other} is {its}.",
                its,
            )
    return Question("opposite", ask, reply, answer, follow)
