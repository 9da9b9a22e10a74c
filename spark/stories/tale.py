"""How an everyday story is told: texts with choices and slots, and the tale that fills them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from vatra.spark.prose import Being, Story, capital
from vatra.spark.stories.people import (
    BOYS,
    GIRLS,
    GRANDMAS,
    GRANDPAS,
    HOUSES,
    PET_NAMES,
    TRAITS,
    WEATHER,
    WORDS,
)

Parts = tuple["str | Slot | Either", ...]


@dataclass(frozen=True)
class Slot:
    """A place in a text that the tale fills by name."""

    name: str


@dataclass(frozen=True)
class Either:
    """A place in a text where one of several wordings stands."""

    options: tuple[Parts, ...]


@cache
def parsed(text: str) -> Parts:
    """The parts of a text in which `[x|y]` is a choice, nestable, and `{name}` a slot."""
    stack: list[list[list[str | Slot | Either]]] = [[[]]]
    for token in re.findall(r"[\[\]|]|\{\w+\}|[^\[\]|{}]+", text):
        if token == "[":
            stack.append([[]])
        elif token == "|":
            stack[-1].append([])
        elif token == "]":
            options = tuple(tuple(option) for option in stack.pop())
            stack[-1][-1].append(Either(options))
        elif token[0] == "{":
            stack[-1][-1].append(Slot(token[1:-1]))
        else:
            stack[-1][-1].append(token)
    ((parts,),) = stack
    return tuple(parts)


class Tale:
    """A story being told: who is in it, what has been named, and the sentences so far."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.slots: dict[str, str] = {}
        self.names: list[str] = []
        self.told: dict[str, list[str]] = {}
        self.paragraphs: list[list[str]] = [[]]
        kind = rng.choice(("girl", "boy"))
        self.hero = self.child(kind)
        self.cast("", self.hero)
        self.put(kind=kind, trait=rng.choice(TRAITS), house=rng.choice(HOUSES), N=self.hero.name)

    def child(self, kind: str) -> Being:
        """A girl or a boy with a name nobody in the tale has yet."""
        names = [name for name in (GIRLS if kind == "girl" else BOYS) if name not in self.names]
        name = self.rng.choice(names)
        self.names.append(name)
        if kind == "girl":
            return Being(name, kind)
        return Being(name, kind, "he", "him", "his")

    def cast(self, prefix: str, being: Being) -> None:
        """Makes a being's pronouns slots: `{he}` for the hero, `{fhe}` for the prefix `f`."""
        self.slots[prefix + "he"] = being.he
        self.slots[prefix + "him"] = being.him
        self.slots[prefix + "his"] = being.his

    def friend(self) -> None:
        """Brings in another child: `{F}`, `{fhe}`, `{fhim}`, `{fhis}`, `{fkind}`."""
        being = self.child(self.rng.choice(("girl", "boy")))
        self.cast("f", being)
        self.put(F=being.name, fkind=being.kind)

    def grown(self, kinds: Sequence[str] = ("mom", "dad", "grandma", "grandpa", "aunt")) -> None:
        """Brings in a grown-up: `{G}`, `{NG}` before the hero is known, `{call}` as addressed."""
        kind = self.rng.choice(kinds)
        woman = kind in ("mom", "grandma", "aunt")
        named = kind in ("aunt", "uncle") or (kind[:5] == "grand" and self.rng.random() < 0.6)
        if named:
            name = f"{capital(kind)} {self.rng.choice(GRANDMAS if woman else GRANDPAS)}"
            self.names.append(name)
            self.put(G=name, NG=name, call=name if kind in ("aunt", "uncle") else capital(kind))
        else:
            self.put(
                G=f"{self.hero.his} {kind}", NG=f"{self.hero.name}'s {kind}", call=capital(kind)
            )
        self.cast("g", Being("", kind) if woman else Being("", kind, "he", "him", "his"))

    def pet(self, kinds: Sequence[str]) -> None:
        """Brings in an animal: `{P}`, `{pet}`, `{phe}`, `{phim}`, `{phis}`."""
        name = self.rng.choice(PET_NAMES)
        self.names.append(name)
        self.put(P=name, pet=self.rng.choice(kinds))
        self.cast(
            "p", Being("", "") if self.rng.random() < 0.5 else Being("", "", "he", "him", "his")
        )

    def put(self, **slots: str) -> None:
        """Names things; a value may be a text with choices, made here once and for all."""
        for name, text in slots.items():
            self.slots[name] = self.filled(text)

    def pick(self, texts: Sequence[str]) -> str:
        """One of the texts, filled."""
        return self.filled(self.rng.choice(texts))

    def when(self, *weathers: str, parts: Sequence[str] = ("morning", "afternoon", "day")) -> None:
        """Sets `{when}`, `{part}` and `{weather}`, one of the weathers."""
        weather = self.rng.choice(weathers)
        part = self.rng.choice(parts)
        self.put(weather=weather, part=part)
        plain = ("one day",) if part == "day" else (f"one {part}", f"one Saturday {part}")
        clear: tuple[str, ...] = (f"one {weather} {part}", f"on a {weather} {part}")
        if weather == "sunny":
            clear += (f"on a {self.pick(('bright', 'fine', 'lovely', 'warm'))} {part}",)
        self.put(when=self.rng.choice(clear if self.rng.random() < 0.7 else plain))

    def filled(self, text: str) -> str:
        """The text with its choices made and its slots filled."""
        out: list[str] = []
        self._fill(parsed(text), out)
        return "".join(out)

    def _fill(self, parts: Parts, out: list[str]) -> None:
        for part in parts:
            if isinstance(part, str):
                out.append(part)
            elif isinstance(part, Either):
                self._fill(self.rng.choice(part.options), out)
            elif part.name in self.slots:
                out.append(self.slots[part.name])
            else:
                self._fill(parsed(self._word(part.name)), out)

    def _word(self, name: str) -> str:
        if not name.isupper():
            return self.rng.choice(WORDS[name])
        told = self.told.setdefault(name, [])
        text = self.rng.choice([text for text in WORDS[name] if text not in told] or WORDS[name])
        told.append(text)
        return text

    def say(self, *texts: str, chance: float = 1.0) -> None:
        """Tells one of the texts, or nothing where chance has it so."""
        if self.rng.random() < chance:
            self.paragraphs[-1].append(capital(self.pick(texts)))

    def turn(self) -> None:
        """Begins a paragraph."""
        self.paragraphs.append([])

    def open(self, loves: Sequence[str], starts: Sequence[str]) -> None:
        """Tells the beginning: who it is, what it loves, and the first event."""
        way = self.rng.random()
        if way < 0.36:
            self.say(
                "once upon a time there was a {trait} {kind} named {N}.",
                "once upon a time, there was a {trait} {kind} named {N}.",
                "once upon a time there was a {trait} {kind} named {N} who lived in {house}.",
                "once upon a time, a {trait} {kind} named {N} lived in {house}.",
                "once upon a time, in {house}, there lived a {trait} {kind} named {N}.",
                "once upon a time there lived a {kind} named {N} in {house}.",
            )
        elif way < 0.62:
            self.say(
                "there was once a {trait} {kind} named {N}.",
                "there was once a {kind} named {N} who lived in {house}.",
                "in {house}, there lived a {trait} {kind} named {N}.",
                "{N} was a {trait} {kind} who lived in {house}.",
                "in {house} lived a {kind} called {N}.",
                "a {trait} {kind} named {N} lived in {house}.",
            )
        if way < 0.62:
            self.say(*loves, chance=0.45)
        elif way < 0.82:
            self.say(*loves)
        self.say(*starts)
        if "weather" in self.slots and self.rng.random() < 0.3:
            self.say(*WEATHER[self.slots["weather"]])

    def story(self, titles: Sequence[str], about: Sequence[str], ends: Sequence[str]) -> Story:
        """Tells the ending and closes the book."""
        self.say(*ends)
        if self.rng.random() < 0.34:
            self.paragraphs[-1].append("The end.")
        gap = " " if self.rng.random() < 0.08 else "\n\n"
        text = gap.join(" ".join(sentences) for sentences in self.paragraphs if sentences)
        text = neat(text)
        return Story(
            text,
            tuple(name for name in self.names if name in text),
            tuple(_articles(self.filled(noun)) for noun in about),
            _title(_articles(self.pick(titles))),
        )


def neat(text: str) -> str:
    """The text with `a` and `an` as they are spoken, and capitals where sentences begin."""
    text = _articles(text)
    return re.sub(
        r'(^|\n\n|[.!?] |\.["] )(["]?)([a-z])', lambda m: m[1] + m[2] + m[3].upper(), text
    )


def _articles(text: str) -> str:
    return re.sub(r"\b([Aa]) (?=[aeiou])(?!one\b|uni|use)", r"\1n ", text)


def _title(text: str) -> str:
    small = {
        "a", "an", "the", "and", "of", "in", "on", "for", "to", "at", "with", "from", "that", "by",
    }  # fmt: skip
    words = text.split()
    return " ".join(w if i and w in small else capital(w) for i, w in enumerate(words))
