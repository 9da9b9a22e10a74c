"""Letters: the alphabet, first and last ones of words, and spelling."""

from __future__ import annotations

from random import Random

from vatra.spark.facts.phrasing import Follow, Question, sayings
from vatra.spark.prose import capital

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

WORDS = (
    "cat", "dog", "sun", "hat", "cup", "bed", "pig", "hen", "fox", "cow", "bee", "ant", "owl",
    "egg", "key", "box", "car", "bus", "sea", "sky", "red", "map", "pen", "toy", "tree", "fish",
    "bird", "frog", "duck", "bear", "moon", "star", "rain", "snow", "wind", "book", "ball", "milk",
    "cake", "door", "home", "hand", "foot", "boat", "kite", "lamp", "leaf", "rose", "ship", "sock",
    "shoe", "spoon", "apple", "bread", "chair", "table", "house", "mouse", "horse", "sheep",
    "tiger", "zebra", "water", "plant", "green", "happy", "smile", "lemon", "grass", "stone",
    "beach", "river", "cloud", "train", "clock", "queen", "night", "garden", "flower", "rabbit",
    "monkey", "orange", "banana", "window", "winter", "summer", "school", "friend", "yellow",
    "pencil", "kitten", "island", "jacket", "violin", "umbrella",
)  # fmt: skip

_LETTER_AFTER = (
    "What letter comes after {x}?", "Which letter comes after {x}?",
    "What comes after the letter {x}?", "What is the next letter after {x}?",
    "Which letter follows {x}?", "After {x} comes which letter?", "Tell me the letter after {x}.",
    "In the alphabet, what comes after {x}?", "the letter after {x}?",
    "Do you know which letter comes after {x}?", "What is the letter after {x} in the alphabet?",
    "Name the letter after {x}.",
)  # fmt: skip
_LETTER_BEFORE = (
    "What letter comes before {x}?", "Which letter comes before {x}?",
    "What comes before the letter {x}?", "What is the letter before {x}?",
    "Tell me the letter before {x}.", "In the alphabet, what comes before {x}?",
    "the letter before {x}?", "Name the letter before {x}.", "Before {x} comes which letter?",
)  # fmt: skip
_FIRST_LETTER = (
    "What is the first letter of {w}?", 'What is the first letter of the word "{w}"?',
    "What letter does {w} start with?", "Which letter does {w} begin with?", "{W} starts with ...",
    'Which letter does the word "{w}" start with?', "Tell me the first letter of {w}.",
    "With which letter does {w} begin?", "first letter of {w}", "First letter in {w}?",
    "Name the first letter of {w}.", "If I write {w}, which letter comes first?",
)  # fmt: skip
_LAST_LETTER = (
    "What is the last letter of {w}?", 'What is the last letter of the word "{w}"?',
    "What letter does {w} end with?", "Which letter does {w} end in?", "last letter of {w}",
    "Tell me the last letter of {w}.", "With which letter does {w} end?",
)  # fmt: skip
_SPELL = (
    "Spell {w}.", "Spell the word {w}.", "How do you spell {w}?", "Can you spell {w}?", "spell {w}",
    'How is "{w}" spelled?', "Please spell {w}.", 'Spell "{w}" for me.',
    "What is the spelling of {w}?", "How do I spell {w}?", "How do I write {w}?",
    "Which letters are in {w}?", "Tell me how to spell {w}.",
    'Can you spell the word "{w}" for me?', "{w}, letter by letter?",
)  # fmt: skip
_LETTER_COUNT = (
    "How many letters does {w} have?", "How many letters are in {w}?", "How long is the word {w}?",
    'How many letters are in the word "{w}"?', "Count the letters in {w}.",
    "{W} has how many letters?",
)  # fmt: skip
LETTER_ROWS = sayings(
    (
        (
            "How many letters are in the alphabet?", "How many letters does the alphabet have?",
            "Letters in the alphabet?", "How long is the alphabet?", "How many letters are there?",
        ),
        "The alphabet has 26 letters.",
        "26",
    ),
    (
        (
            "What is the first letter of the alphabet?", "Which letter is first in the alphabet?",
            "With which letter does the alphabet begin?", "How does the alphabet start?",
        ),
        "The first letter is A.",
        "A",
    ),
    (
        (
            "What is the last letter of the alphabet?", "Which letter is last in the alphabet?",
            "With which letter does the alphabet end?", "How does the alphabet end?",
        ),
        "The last letter is Z.",
        "Z",
    ),
    (
        (
            "What are the vowels?", "Name the vowels.", "Which letters are vowels?",
            "Tell me the five vowels.", "Can you name the vowels?",
        ),
        "The vowels are A, E, I, O and U.",
        "A, E, I, O, U",
    ),
    (
        ("How many vowels are there?", "How many vowels does the alphabet have?"),
        "There are 5 vowels.",
        "5",
    ),
    (
        (
            "Say the alphabet.", "Can you say the alphabet?", "What is the alphabet?",
            "Tell me the ABC.", "Do you know the alphabet?", "List all the letters.",
            "Can you say your ABC?",
        ),
        f"{', '.join(ALPHABET)}.",
        ", ".join(ALPHABET),
    ),
    *(
        (
            (f"Tell me the first {n} letters.", f"What are the first {n} letters of the alphabet?"),
            f"{', '.join(ALPHABET[:i])}.",
            ", ".join(ALPHABET[:i]),
        )
        for i, n in ((2, "two"), (3, "three"), (4, "four"), (5, "five"))
    ),
)  # fmt: skip


def ask_letter(rng: Random) -> Question:
    """Something about the alphabet, or about how a word is spelled."""
    roll = rng.random()
    follow: Follow | None = None
    if roll < 0.12:
        return Question("letter", *rng.choice(LETTER_ROWS))
    if roll < 0.5:
        forward = roll < 0.36
        i = rng.randrange(25) + (0 if forward else 1)
        step = 1 if forward else -1
        letter, answer = ALPHABET[i], ALPHABET[i + step]
        lead = "After" if forward else "Before"
        ask = capital(rng.choice(_LETTER_AFTER if forward else _LETTER_BEFORE).format(x=letter))
        if rng.random() < 0.2:
            j = rng.randrange(1, 25)
            other, its = ALPHABET[j], ALPHABET[j + step]
            follow = (f"And {lead.lower()} {other}?", f"{lead} {other} comes {its}.", its)
        return Question("letter", ask, f"{lead} {letter} comes {answer}.", answer, follow)
    word = rng.choice(WORDS)
    if roll < 0.64:
        ask = capital(rng.choice(_FIRST_LETTER).format(w=word, W=capital(word)))
        reply, answer = f"{capital(word)} starts with {word[0].upper()}.", word[0].upper()
        asked, told = "And {w}?", "{W} starts with {x}."
    elif roll < 0.71:
        ask = capital(rng.choice(_LAST_LETTER).format(w=word))
        reply, answer = f"{capital(word)} ends with {word[-1].upper()}.", word[-1].upper()
        asked, told = "And {w}?", "{W} ends with {z}."
    elif roll < 0.92:
        ask = capital(rng.choice(_SPELL).format(w=word))
        answer = spelled(word)
        reply = f"{capital(word)} is spelled {answer}."
        asked, told = rng.choice(("And {w}?", "Now spell {w}.")), "{W} is spelled {s}."
    else:
        ask = capital(rng.choice(_LETTER_COUNT).format(w=word, W=capital(word)))
        return Question("letter", ask, f"{capital(word)} has {len(word)} letters.", str(len(word)))
    other = rng.choice(WORDS)
    if other != word and rng.random() < 0.2:
        parts = {"w": other, "W": capital(other), "s": spelled(other)}
        its = told.format(x=other[0].upper(), z=other[-1].upper(), **parts)
        follow = (asked.format(w=other), its, its.rsplit(" ", 1)[1].removesuffix("."))
    return Question("letter", ask, reply, answer, follow)


def spelled(word: str) -> str:
    """The letters of a word."""
    return "-".join(word.upper())
