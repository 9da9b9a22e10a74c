"""Colours: of things, of paints that are mixed, and their names."""

from __future__ import annotations

from random import Random

from vatra.spark.facts.counting import NUMBER_WORDS
from vatra.spark.facts.phrasing import Follow, Question, mostly
from vatra.spark.prose import capital, listed

# (the thing as it begins after "is" or before it, its colour)
COLOURED = (
    ("grass", "green"), ("a frog", "green"), ("a cucumber", "green"), ("a pea", "green"),
    ("broccoli", "green"), ("spinach", "green"), ("a lime", "green"), ("a cactus", "green"),
    ("a crocodile", "green"), ("a leaf in summer", "green"), ("a pine tree", "green"),
    ("the sky on a sunny day", "blue"), ("the sky", "blue"), ("the sea", "blue"),
    ("a blueberry", "blue"), ("a lemon", "yellow"), ("a banana", "yellow"),
    ("a ripe banana", "yellow"), ("butter", "yellow"), ("corn", "yellow"),
    ("a sunflower", "yellow"), ("an egg yolk", "yellow"), ("mustard", "yellow"),
    ("a dandelion", "yellow"), ("a little chick", "yellow"), ("a ripe tomato", "red"),
    ("a tomato", "red"), ("a strawberry", "red"), ("a cherry", "red"), ("a raspberry", "red"),
    ("ketchup", "red"), ("a stop sign", "red"), ("a ladybug", "red"), ("snow", "white"),
    ("milk", "white"), ("a swan", "white"), ("a polar bear", "white"), ("salt", "white"),
    ("sugar", "white"), ("rice", "white"), ("a snowman", "white"), ("a snowflake", "white"),
    ("flour", "white"), ("whipped cream", "white"), ("cotton", "white"), ("coal", "black"),
    ("a crow", "black"), ("a raven", "black"), ("the sky at night", "black"),
    ("chocolate", "brown"), ("cocoa", "brown"), ("a tree trunk", "brown"), ("a chestnut", "brown"),
    ("soil", "brown"), ("a carrot", "orange"), ("a pumpkin", "orange"), ("an orange", "orange"),
    ("an elephant", "grey"), ("a rain cloud", "grey"), ("a dolphin", "grey"), ("a pig", "pink"),
    ("a flamingo", "pink"), ("a plum", "purple"), ("an eggplant", "purple"), ("lavender", "purple"),
    ("a rhino", "grey"),
)  # fmt: skip
COLOURS = (
    "red", "blue", "yellow", "green", "orange", "purple", "pink", "brown", "black", "white", "grey",
)  # fmt: skip
MIXED = (
    ("red", "yellow", "orange"),
    ("blue", "yellow", "green"),
    ("red", "blue", "purple"),
    ("black", "white", "grey"),
    ("red", "white", "pink"),
)

_COLOUR_ASKS = (
    "What color is {x}?", "What color is {x}?", "What colour is {x}?", "Which color is {x}?",
    "Which colour is {x}?", "Can you tell me what color {x} is?", "Do you know what color {x} is?",
    "Tell me the color of {x}.", "What is the color of {x}?", "What's the colour of {x}?",
    "Color of {x}?", "{X} is what color?", "What color does {x} have?", "colour of {x}",
    "I want to paint {x}. Which color do I need?", "What color would you paint {x}?",
    "Name the color of {x}.", "If I draw {x}, what color should it be?", "{X} is ...",
    "I am drawing {x}. What color is it?", "Which color fits {x}?",
)  # fmt: skip
_MIX_ASKS = (
    "What color do you get if you mix {x} and {y}?", "What do {x} and {y} make?",
    "If I mix {x} and {y}, what color do I get?", "Mix {x} and {y}. What color is it?",
    "What happens if I mix {x} paint and {y} paint?", "{x} and {y} make ...",
    "Which color comes from {x} and {y}?", "I have {x} and {y} paint. What can I mix?",
    "What color is {x} mixed with {y}?", "What colour do {x} and {y} make together?",
    "What do I get from {x} and {y} paint?", "{x} plus {y} gives what color?",
)  # fmt: skip
NAMED_COLOURS = ("red", "blue", "yellow", "green", "orange")


def ask_colour(rng: Random) -> Question:
    """The colour of a thing, or of a mixture."""
    roll = rng.random()
    follow: Follow | None = None
    if roll < 0.12:
        first, second, result = rng.choice(MIXED)
        x, y = (first, second) if rng.random() < 0.5 else (second, first)
        if rng.random() < 0.75:
            ask = capital(rng.choice(_MIX_ASKS).format(x=x, y=y))
            reply = f"{capital(x)} and {y} make {result}."
            return Question("colour", ask, reply, result)
        frames = [
            "Which two colors make {r}?", "What colors do you mix to get {r}?",
            "How do you make {r}?", "What do I mix to get {r} paint?", "How can I mix {r}?",
        ]  # fmt: skip
        reply = f"{capital(first)} and {second} make {result}."
        return Question("colour", rng.choice(frames).format(r=result), reply, f"{first}, {second}")
    if roll < 0.16:
        n = rng.randrange(2, 6)
        frames = [
            "Name {n} colors.", "Can you name {n} colors?", "Tell me {n} colors.",
            "{n} colors please", "Give me {n} colors.", "Which {n} colors do you know?",
            "Name {n} colours, please.", "Say {n} colors.", "I need {n} colors. Can you name them?",
        ]  # fmt: skip
        spelled = NUMBER_WORDS[n] if rng.random() < 0.7 else str(n)
        chosen = NAMED_COLOURS[:n]
        reply = f"{capital(listed(chosen))}."
        return Question(
            "colour", capital(rng.choice(frames).format(n=spelled)), reply, ", ".join(chosen)
        )
    thing, shade = rng.choice(COLOURED)
    if roll < 0.3:
        shown = shade if rng.random() < 0.5 else rng.choice(COLOURS)
        frames = [
            "Is {x} {c}?", "Is {x} {c}?", "Is it true that {x} is {c}?", "{X} is {c}, right?",
            "Do you think {x} is {c}?", "Would you say {x} is {c}?",
        ]  # fmt: skip
        ask = rng.choice(frames).format(x=thing, X=capital(thing), c=shown)
        if shown == shade:
            return Question("colour", ask, f"Yes, {thing} is {shade}.", "yes")
        return Question("colour", ask, f"No, {thing} is {shade}.", shade)
    ask = capital(rng.choice(_COLOUR_ASKS).format(x=thing, X=capital(thing)))
    reply = mostly(rng, f"{capital(thing)} is {shade}.", (f"It is {shade}.",), 0.85)
    if rng.random() < 0.2:
        other, its = rng.choice(COLOURED)
        if other != thing:
            follow_ask = rng.choice(("And {x}?", "What about {x}?", "And what color is {x}?"))
            follow = (follow_ask.format(x=other), f"{capital(other)} is {its}.", its)
    return Question("colour", ask, reply, shade, follow)
