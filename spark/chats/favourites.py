"""What one has, makes and likes best: pets, favourites, likes."""

from __future__ import annotations

from random import Random

from vatra.spark.chats.frames import Frames, Turn
from vatra.spark.chats.vocabulary import PET_NAMES, TABLES, person
from vatra.spark.prose import a, capital


def has_pet(rng: Random) -> Turn:
    """One tells of a pet, or of somebody, and the name."""
    fill = Frames(rng, TABLES, name=rng.choice(PET_NAMES))
    own = "pet"
    having: tuple[str, ...] = ("I have a {pet} named {name}.", "I have a {pet} called {name}.")
    if rng.random() < 0.25:
        fill.filled["name"] = person(rng)
        own, having = "family", ()
    ask = fill.pick(
        (
            *having,
            f"My {{{own}}} is called {{name}}.",
            f"My {{{own}}}'s name is {{name}}.",
            f"The name of my {{{own}}} is {{name}}.",
        )
    )
    kind = fill.filled[own]
    reply = fill.pick(
        (
            f"{{name}} is a lovely name for a {kind}!",
            "How nice! Say hello to {name} for me.",
            f"Your {kind} {{name}} sounds very nice.",
            f"{{name}} sounds like a good {kind}. What do you and {{name}} like to do?",
        )
        if own == "pet"
        else (
            "{name} is a lovely name!",
            "How nice! Say hello to {name} for me.",
            f"Your {kind} {{name}} sounds very nice.",
            f"I am happy that you have a {kind} like {{name}}.",
        )
    )
    return Turn(ask, reply, "talk", told=(f"{kind}'s name", fill.filled["name"]))


FAVOURITES = {
    "colour": "colour",
    "color": "colour",
    "animal": "animal",
    "food": "dish",
    "day of the week": "weekday",
    "day": "weekday",
    "toy": "toy",
    "pet": "pet",
}


def favourite_told(rng: Random) -> Turn:
    """One tells a favourite."""
    subject = rng.choice(("colour", "colour", "color", "animal", "food", "day", "toy"))
    table = FAVOURITES[subject]
    fill = Frames(rng, TABLES)
    value = fill(f"{{{table}}}")
    if table in ("animal", "toy"):
        value = f"the {value}"
    like = "like" if rng.random() < 0.5 else "love"
    asks = [f"My favourite {subject} is {value}.", f"My favorite {subject} is {value}."]
    if table == "colour":
        asks += [f"I {like} the colour {value} most of all.", f"My favourite is {value}."]
    replies = [
        f"{capital(value)}! That is a nice favourite.",
        f"I can see why you like {value} best. It is good to have a favourite.",
        f"Thank you for telling me that {value} is your favourite.",
        f"{capital(value)} is a lovely favourite to have.",
    ]
    subject = "colour" if subject == "color" else subject
    return Turn(rng.choice(asks), rng.choice(replies), "talk", told=(f"favourite {subject}", value))


def favourite_asked(rng: Random) -> Turn:
    """One asks for Spark's favourite; it has none of its own and offers one."""
    subject = rng.choice(tuple(FAVOURITES))
    table = FAVOURITES[subject]
    fill = Frames(rng, TABLES)
    value, yours = fill(f"{{{table}}}"), fill(f"{{{table}2}}")
    spelled = rng.choice(("favourite", "favorite"))
    subject = "colour" if subject == "color" and spelled == "favourite" else subject
    ask = rng.choice(
        (
            f"What is your {spelled} {subject}?",
            f"What's your {spelled} {subject}?",
            f"Do you have a {spelled} {subject}?",
            f"Tell me your {spelled} {subject}.",
            f"Which {subject} do you like best?",
        )
    )
    subject = "colour" if subject == "color" else subject
    nice = a(value) if table in ("animal", "toy", "pet") else value
    own = rng.choice(
        (
            f"I have no favourite {subject} of my own",
            f"I am a program and have no favourite {subject}",
            f"I do not have a favourite {subject} like people do",
        )
    )
    reply = f"{own}, but {nice} would be a fine choice."
    then: tuple[tuple[str, str], ...] = ()
    if rng.random() < 0.6:
        reply += " What is yours?"
        mine = a(yours) if table in ("animal", "toy", "pet") else yours
        answer = rng.choice((f"{capital(mine)}.", f"I like {mine}.", f"Mine is {mine}."))
        then = ((answer, f"{capital(mine)}! That is a good choice."),)
    return Turn(ask, reply, "talk", then)


LIKES: dict[str, tuple[str, ...]] = {
    "animals": (
        "I have never met any {animals}, but I like to tell stories about them.",
        "I am a program and cannot meet animals, but {animals} are nice to talk about.",
        "I think {animals} are interesting. Do you like them too?",
    ),
    "food": (
        "I cannot eat, so I have never tasted {food}. Do you like it?",
        "I am a program and cannot taste anything. Many people like {food}, though.",
        "I have no mouth, so I do not know how {food} would taste. It sounds good!",
    ),
    "doing": (
        "I have no body, so I cannot try that, but {doing} sounds like fun.",
        "I am a program and cannot do it myself. Do you like {doing}?",
        "Many people like {doing}. I can only chat and tell stories.",
    ),
    "nature": (
        "I have never seen {nature}, but it sounds beautiful.",
        "I cannot see or feel {nature}, but many of my stories tell about things like that.",
        "I am a program and cannot go outside. What do you like about {nature}?",
    ),
    "others": (
        "I am a program, so I do not like things as people do, but {others} can be fun.",
        "I like to talk about many things, even {others}. What do you think of {others}?",
        "I think that many people enjoy {others}. Do you?",
    ),
}


def likes(rng: Random) -> Turn:
    """One asks whether Spark likes something."""
    kind = rng.choice(tuple(LIKES))
    fill = Frames(rng, TABLES)
    asks = (f"Do you like {{{kind}}}?", f"Do you love {{{kind}}}?", f"Do you enjoy {{{kind}}}?")
    ask = fill.pick(asks[:2] if kind != "doing" else asks)
    reply = fill.pick(LIKES[kind])
    if kind == "food" and fill.filled["food"].endswith("s"):
        reply = reply.replace("like it?", "like them?").replace("It sounds", "They sound")
    if kind == "nature" and fill.filled["nature"].endswith(("s", "leaves")):
        reply = reply.replace("it sounds", "that sounds")
    return Turn(ask, reply, "talk")


def made_thing(rng: Random) -> Turn:
    """One made something."""
    fill = Frames(rng, TABLES)
    ask = fill.pick(("I made {made:a}.", "I made {made:a} today.", "Today I made {made:a}!"))
    thing = fill.filled["made"].replace("my ", "your ")
    reply = rng.choice(
        (
            f"Well done! {capital(a(thing))} is a fine thing to make.",
            f"{capital(a(thing))}! That sounds great.",
            f"You made {a(thing)}? How clever of you!",
            "Well done! Making things is fun.",
        )
    )
    return Turn(ask, reply, "talk")
