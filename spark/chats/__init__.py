"""Whole conversations with Spark: questions, small talk, stories and what it does not know."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from vatra.spark.chats.conversation import Conversation, Message, brief

__all__ = ["Message", "chat"]

# How many turns a chat has, and how often Spark is told first who it is or how to answer.
TURNS = (1, 2, 3, 4, 5, 6)
TURN_WEIGHTS = (16, 22, 24, 18, 12, 8)

SYSTEM = 0.03

SYSTEMS = (
    "You are a friendly assistant.",
    "You are Spark, a helpful little model.",
    "You are a helpful assistant.",
    "You are Spark.",
    "Be kind and helpful.",
    "You are a small and cheerful assistant.",
    "You are Spark, a tiny language model.",
    "You are a helpful, honest assistant.",
    "Talk to the user in simple English.",
)


def chat(rng: Random, allowed: Callable[[str], bool] = lambda ask: True) -> list[Message]:
    """A chat of one to six turns; a user line for which `allowed` is false is drawn again."""
    draw = rng.random()
    if draw < SYSTEM / 4:
        return brief(rng, allowed)
    talk = Conversation(rng, allowed)
    if draw < SYSTEM:
        talk.messages.append(Message("system", rng.choice(SYSTEMS)))
    turns = rng.choices(TURNS, TURN_WEIGHTS)[0]
    for number in range(turns):
        while not talk.say(talk.turn(number == 0, number == turns - 1)):
            pass
        if talk.last == "parting":
            break
    return talk.messages
