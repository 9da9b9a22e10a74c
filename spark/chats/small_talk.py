"""Small talk of every kind."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from vatra.spark.chats import feelings, identity, manners
from vatra.spark.chats.favourites import favourite_asked, favourite_told, has_pet, likes, made_thing
from vatra.spark.chats.frames import Frames, Turn
from vatra.spark.chats.greetings import introduction
from vatra.spark.chats.jokes import joke, riddle
from vatra.spark.chats.poems import poem
from vatra.spark.chats.sentences import echo, meaning, sentence
from vatra.spark.chats.vocabulary import TABLES

TALK = (*identity.TALK, *feelings.TALK, *manners.TALK)
WEIGHTS = tuple(talk.weight for talk in TALK)


def plain(rng: Random) -> Turn:
    """A turn of the table."""
    talk = rng.choices(TALK, WEIGHTS)[0]
    fill = Frames(rng, TABLES)
    return Turn(fill.pick(talk.asks), fill.pick(talk.replies), "talk")


KINDS: tuple[tuple[Callable[[Random], Turn], float], ...] = (
    (plain, 46),
    (introduction, 4),
    (has_pet, 3),
    (favourite_told, 4),
    (favourite_asked, 4),
    (likes, 4),
    (made_thing, 1),
    (joke, 6),
    (riddle, 5),
    (poem, 6),
    (sentence, 6),
    (echo, 10),
    (meaning, 3),
)


def small_talk(rng: Random) -> Turn:
    """A turn about Spark, about the other one, or for fun."""
    make = rng.choices([kind for kind, _ in KINDS], [weight for _, weight in KINDS])[0]
    return make(rng)
