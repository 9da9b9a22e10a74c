"""The small grammar that stories and chats share: articles, capitals, lists, names and pronouns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Being:
    """Somebody in a story: what it is called, what it is, and its pronouns."""

    name: str  # "Mia", or "the fox" where it has no name of its own
    kind: str  # "girl", "boy", "fox", "old owl"
    he: str = "she"
    him: str = "her"
    his: str = "her"

    @property
    def He(self) -> str:
        return capital(self.he)

    @property
    def His(self) -> str:
        return capital(self.his)

    @property
    def Name(self) -> str:
        """The name as a sentence begins with it."""
        return capital(self.name)


@dataclass(frozen=True)
class Story:
    """A finished story, and what a person would name when asking for one like it."""

    text: str  # sentences, in paragraphs parted by one blank line, the last an ending
    heroes: tuple[str, ...]  # proper names that occur in it
    about: tuple[str, ...]  # nouns with their article, as in "a fox" or "a lost kite"
    title: str  # "The Fox and the Lost Kite"


def capital(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def a(noun: str) -> str:
    """The noun with its indefinite article, judged by its first letter."""
    return ("an " if noun[:1].lower() in "aeiou" else "a ") + noun


def listed(items: list[str] | tuple[str, ...], word: str = "and") -> str:
    """The items as prose: `x`, `x and y`, `x, y and z`."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {word} {items[-1]}"
