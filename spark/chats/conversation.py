"""A conversation as it goes on: what may be said next, and what is remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from vatra.spark.chats.frames import Frames, Turn
from vatra.spark.chats.greetings import greeting
from vatra.spark.chats.jokes import joke, riddle
from vatra.spark.chats.poems import poem
from vatra.spark.chats.reactions import (
    ANSWER_WORDS,
    FAREWELLS,
    MANNERS,
    MORE,
    NIGHTS,
    NO,
    NO_REPLIES,
    OFFERS,
    PARTING,
    RECALL,
    REFUSAL_WORDS,
    STORY_WORDS,
    YES,
)
from vatra.spark.chats.refusals import refusal
from vatra.spark.chats.requests import (
    ABOUT_ASKS,
    ABOUT_LEADS,
    HERO_ASKS,
    LEADS,
    MORE_STORIES,
    OPENING,
    OPENING_ASKS,
    STORY_ASKS,
)
from vatra.spark.chats.small_talk import small_talk
from vatra.spark.chats.vocabulary import TABLES
from vatra.spark.facts import question
from vatra.spark.facts.phrasing import typed
from vatra.spark.prose import Story, capital
from vatra.spark.stories import story

# What a turn is about; the first is a greeting in GREETED of the chats.
GREETED = 0.4
SUBJECTS = ("question", "talk", "story", "refusal")
SUBJECT_WEIGHTS = (52, 14, 17, 17)
MAX_STORIES = 2

TYPED = 0.9  # `typed` itself leaves more than half as they are
FOLLOWED = 0.6
ACCEPTED = 0.35
MANNERLY = 0.09


@dataclass(frozen=True)
class Message:
    """What one side says."""

    role: str  # "user", "assistant", or "system" in the first place
    content: str


BRIEF = ("Answer briefly.", "Give short answers.", "Answer with one word if you can.", "Be brief.")


class Conversation:
    """The state of one chat: what was said, and what may follow from it."""

    def __init__(self, rng: Random, allowed: Callable[[str], bool]) -> None:
        self.rng = rng
        self.allowed = allowed
        self.messages: list[Message] = []
        self.last = ""  # the kind of the last turn
        self.then: tuple[tuple[str, str], ...] = ()
        self.known: dict[str, str] = {}
        self.stories = 0
        self.brief = False

    def say(self, turn: Turn) -> bool:
        """Appends the turn, unless its user line is held out."""
        ask = turn.ask
        if turn.kind == "question":  # which comes as typed already
            if not self.allowed(ask):
                return False
        elif turn.kind != "echo" and self.rng.random() < TYPED:
            ask = typed(self.rng, ask)
        self.messages += Message("user", ask), Message("assistant", turn.reply)
        self.last, self.then = turn.kind, turn.then
        if turn.told:
            self.known[turn.told[0]] = turn.told[1]
        return True

    def turn(self, first: bool, final: bool) -> Turn:
        """What could be said now."""
        rng = self.rng
        if first and rng.random() < GREETED:
            return greeting(rng)
        if not first:
            offered = self.offered()
            if offered and rng.random() < ACCEPTED:
                return self.answered(offered)
            if self.then and rng.random() < FOLLOWED:
                ask, reply = rng.choice(self.then)
                return Turn(ask, reply, self.last)
            if final and rng.random() < 0.18:
                return self.parting()
            if rng.random() < MANNERLY and self.last != "greeting":
                return self.reaction()
            if rng.random() < (0.1 if self.known else 0.015):
                return self.recall()
        subject = rng.choices(SUBJECTS, SUBJECT_WEIGHTS)[0]
        if subject == "story" and self.stories < MAX_STORIES:
            return self.tale()
        if subject == "talk":
            return small_talk(rng)
        if subject == "refusal":
            return refusal(rng)
        return self.fact()

    def offered(self) -> str:
        """What Spark's last words offer: a kind of turn, or nothing."""
        last = self.messages[-1].content
        for end, kind in OFFERS:
            if last.endswith(end):
                return "joke" if self.last == "joke" and "another" in end else kind
        return ""

    def answered(self, offered: str) -> Turn:
        """One takes what Spark has offered, or does not."""
        rng = self.rng
        if rng.random() < 0.12:
            return Turn(rng.choice(NO), rng.choice(NO_REPLIES), "talk")
        if offered == "any":
            offered = rng.choice(("story", "joke", "riddle"))
            ask = rng.choice((f"A {offered}.", f"A {offered}, please.", f"A {offered}!"))
        else:
            ask = rng.choice(YES)
        if offered == "story" and self.stories < MAX_STORIES:
            return self.tale(ask)
        make = joke if offered == "joke" else riddle
        if offered == "story":
            return self.fact()
        turn = make(rng)
        return Turn(ask, turn.reply, turn.kind, turn.then)

    def fact(self) -> Turn:
        """A question of one right answer, and the one that follows it."""
        asked = question(self.rng)
        then = ((asked.follow[0], asked.follow[1]),) if asked.follow else ()
        return Turn(asked.ask, asked.reply, "question", then)

    def tale(self, ask: str = "") -> Turn:
        """A request for a story, and the story."""
        rng = self.rng
        self.stories += 1
        draw = rng.random()
        if ask:
            return self.told(ask, self.fresh(), rng.choice(LEADS))
        if draw < 0.15:
            told = self.fresh(OPENING)
            if rng.random() < 0.3:
                return self.told(told.text.split(". ")[0] + ".", told, "")
            return self.told(rng.choice(OPENING_ASKS), told, "")
        told = self.fresh()
        if draw < 0.55 and told.about:
            noun = rng.choice(told.about)
            lead = rng.choice(ABOUT_LEADS).format(noun)
            return self.told(rng.choice(ABOUT_ASKS).format(noun), told, lead)
        if draw < 0.7 and told.heroes:
            hero = told.heroes[0] if rng.random() < 0.8 else rng.choice(told.heroes)
            lead = rng.choice(ABOUT_LEADS).format(hero)
            frame = rng.choice(HERO_ASKS)
            if "My name" in frame:
                self.known["name"] = hero
            return self.told(frame.format(hero), told, lead)
        return self.told(rng.choice(STORY_ASKS), told, rng.choice(LEADS))

    def fresh(self, opening: str = "") -> Story:
        """A story that begins so, and is not held out."""
        told = story(self.rng)
        while not (told.text.startswith(opening) and self.allowed(told.text)):
            told = story(self.rng)
        return told

    def told(self, ask: str, told: Story, lead: str) -> Turn:
        """The turn that tells a story, a third of the times after a line that leads to it."""
        text = f"{lead}\n\n{told.text}" if lead and self.rng.random() < 0.33 else told.text
        return Turn(ask, text, "story")

    def reaction(self) -> Turn:
        """A word about what was just said, or a wish for more of it."""
        rng = self.rng
        if self.last == "story":
            if self.stories < MAX_STORIES and rng.random() < 0.5:
                return self.tale(rng.choice(MORE_STORIES))
            if rng.random() < 0.5:
                return Turn(*rng.choice(STORY_WORDS), "talk")
        if self.last in ("joke", "riddle", "poem") and rng.random() < 0.5:
            make = {"joke": joke, "riddle": riddle, "poem": poem}[self.last]
            ask = rng.choice(("Another one!", "Another one, please.", "One more!", "More, please!"))
            more = make(rng)
            while any(more.reply == message.content for message in self.messages):
                more = make(rng)
            return Turn(ask, more.reply, more.kind, more.then)
        if self.last == "question" and rng.random() < 0.4:
            return Turn(*rng.choice(ANSWER_WORDS), "talk")
        if self.last == "refusal" and rng.random() < 0.5:
            ask, reply = rng.choice(REFUSAL_WORDS)
            return Turn(ask, Frames(rng, TABLES)(reply), "talk")
        asked = self.messages[-1].content.endswith("?")  # else there is nothing to say yes or no to
        asks, replies = rng.choices(MANNERS, (6, 2, 3, 2, 2) if asked else (6, 2, 3, 0, 0))[0]
        return Turn(rng.choice(asks), self.replied(replies), "talk")

    def replied(self, replies: tuple[str, ...]) -> str:
        """One of the replies, with a question that keeps the chat going."""
        return self.rng.choice(replies).format(more=self.rng.choice(MORE))

    def recall(self) -> Turn:
        """What the other one has told about itself, asked back."""
        rng = self.rng
        subject = rng.choice(tuple(self.known)) if self.known else "name"
        if rng.random() < 0.15:
            subject = rng.choice(("name", "favourite colour", "favourite food", "favourite animal"))
        value = self.known.get(subject)
        asks: tuple[str, ...]
        replies: tuple[str, ...]
        unknown: tuple[str, ...]
        if subject == "name":
            asks, replies, unknown = RECALL["name"]
        else:
            asks = (
                f"What is my {subject}?",
                f"Do you know my {subject}?",
                f"What's my {subject}?",
                f"Do you remember my {subject}?",
            )
            replies = (f"Your {subject} is {{}}.", f"You told me that your {subject} is {{}}.")
            unknown = (f"You have not told me your {subject} yet.",)
        reply = rng.choice(unknown) if value is None else rng.choice(replies).format(value)
        return Turn(rng.choice(asks), reply, "talk")

    def parting(self) -> Turn:
        """A goodbye, with the name if it is known."""
        rng = self.rng
        ask = rng.choice(PARTING)
        name = self.known.get("name")
        call = f", {name}" if name and rng.random() < 0.7 else ""
        farewells = NIGHTS if "night" in ask else FAREWELLS
        return Turn(ask, rng.choice(farewells).format(call), "parting")


def brief(rng: Random, allowed: Callable[[str], bool]) -> list[Message]:
    """A chat in which Spark was told to answer in few words."""
    messages = [Message("system", rng.choice(BRIEF))]
    for _ in range(rng.choice((1, 2, 3))):
        asked = question(rng)
        while not allowed(asked.ask):
            asked = question(rng)
        messages += Message("user", asked.ask), Message("assistant", capital(asked.answer) + ".")
    return messages
