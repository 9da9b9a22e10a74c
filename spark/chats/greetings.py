"""How a chat begins: greetings, how one is, and names."""

from __future__ import annotations

import re
from random import Random

from vatra.spark.chats.frames import Frames, Turn
from vatra.spark.chats.vocabulary import TABLES, person

GREETINGS: tuple[tuple[str, str], ...] = (
    ("Hi", "{hello}"),
    ("Hi!", "{hello}"),
    ("Hello", "{hello}"),
    ("Hello!", "{hello}"),
    ("Hey", "{hello}"),
    ("Hey!", "{hello}"),
    ("Hi there", "{hello}"),
    ("Hello there!", "{hello}"),
    ("Hey there", "{hello}"),
    ("Hi Spark", "{hello}"),
    ("Hello, Spark!", "{hello}"),
    ("Hey Spark!", "{hello}"),
    ("Hello again", "Hello again"),
    ("Hi again!", "Hello again"),
    ("Good morning", "Good morning"),
    ("Good morning, Spark!", "Good morning"),
    ("Morning!", "Good morning"),
    ("Good afternoon", "Good afternoon"),
    ("Good evening", "Good evening"),
    ("Good evening, Spark", "Good evening"),
    ("Good day", "Good day"),
    ("Greetings", "{hello}"),
    ("Howdy", "{hello}"),
    ("Hello, friend!", "{hello}"),
    ("Hello, little model!", "{hello}"),
    ("Yo", "{hello}"),
    ("Nice to meet you", "Nice to meet you too"),
    ("Nice to meet you, Spark!", "Nice to meet you too"),
    ("Hello, is anybody there?", "{hello}"),
)


def greeting(rng: Random) -> Turn:
    """How a chat begins."""
    fill = Frames(rng, TABLES)
    ask, hello = rng.choice(GREETINGS)
    draw = rng.random()
    if draw < 0.3:
        turn = introduction(rng)
        ask = rng.choice(
            ("Hi", "Hello", "Hey", "Hi there", "Hello Spark", "Good morning", "Hi Spark")
        )
        bare = rng.choice((f"{ask}! {turn.ask}", f"{ask}. {turn.ask}", f"{ask}, {turn.ask}"))
        bare = re.sub(r", (My|You|Call|This) ", lambda match: match.group().lower(), bare)
        return Turn(bare, turn.reply, "greeting", turn.then, turn.told)
    if draw < 0.5:
        if "?" in ask or "meet" in ask:
            ask, hello = "Hello", "{hello}"
        how = fill.pick(("How are you?", "How are you today?", "How's it going?", "What's up?"))
        ask = f"{ask.rstrip('!?.')}{rng.choice(('! ', '. ', ', '))}{how}"
        if ", How" in ask or ", What" in ask:
            ask = ask.replace(", How", ", how").replace(", What", ", what")
        reply = f"{hello}! " + rng.choice(
            ("I am fine, thank you. {back}", "I am doing well, thanks. {back}", "All is well here!")
        )
        return Turn(ask, fill(reply), "greeting", wellbeing(rng) if "?" in reply else ())
    end = rng.choice(("{offer}", "{offer}", "{offer}", "I am Spark. {offer}"))
    return Turn(ask, fill(f"{hello}! {end}"), "greeting")


def wellbeing(rng: Random) -> tuple[tuple[str, str], ...]:
    """What one answers to `And you?`."""
    good = ("I am fine too.", "I am good.", "Good, thanks.", "I am well, thank you.", "Fine!")
    poor = ("Not so good.", "I am tired.", "A bit sad today.", "Not very well.")
    glad = ("I am glad to hear that! {offer}", "That is good to hear! {offer}", "Great! {offer}")
    sorry = ("I am sorry to hear that. {cheer}", "I hope your day gets better. {cheer}")
    fill = Frames(rng, TABLES)
    return ((rng.choice(good), fill.pick(glad)), (rng.choice(poor), fill.pick(sorry)))


def introduction(rng: Random) -> Turn:
    """One tells one's name."""
    fill = Frames(rng, TABLES, name=person(rng))
    ask = fill.pick(
        (
            "I am {name}.",
            "I'm {name}.",
            "My name is {name}.",
            "My name's {name}.",
            "You can call me {name}.",
            "Call me {name}.",
            "I am called {name}.",
            "This is {name}.",
            "{name} is my name.",
            "My name is {name}. What is yours?",
            "I am {name}. Who are you?",
            "I'm {name}, nice to meet you!",
            "{name} here.",
        )
    )
    if ask.endswith(("yours?", "you?")):
        reply = "{hello}, {name}! My name is Spark."
    else:
        reply = rng.choice(
            (
                "{hello}, {name}! Nice to meet you.",
                "Nice to meet you, {name}! I am Spark.",
                "{hello}, {name}! {offer}",
                "It is nice to meet you, {name}! {offer}",
                "{name} is a lovely name! I am Spark.",
                "Welcome, {name}! {offer}",
                "{hello}, {name}! I am Spark. {offer}",
            )
        )
    return Turn(ask, fill(reply), "talk", told=("name", fill.filled["name"]))
