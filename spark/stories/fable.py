"""How a fable is told: its opening, its crowd, its ending, and the words that may change."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from random import Random
from typing import TypeVar

from vatra.spark.prose import Story, a, capital
from vatra.spark.stories.heroes import Hero
from vatra.spark.stories.places import THINGS, Place

T = TypeVar("T")


class Pick:
    """Chooses one of the things it is called with."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def __call__(self, *options: T) -> T:
        return self._rng.choice(options)


def opening(rng: Random, hero: Hero, place: Place, placed: bool = False) -> str:
    """The first sentence: who there was, and (always if `placed`) where."""
    intro, at = hero.intro, place.at
    if rng.random() < 0.37:
        return rng.choice(
            (
                f"Once upon a time, there was {intro} who lived {at}.",
                f"Once upon a time, {intro} lived {at}.",
                f"Once upon a time, {at}, there lived {intro}.",
                f"Once upon a time there was {intro} who lived {at}."
                if placed
                else f"Once upon a time there was {intro}.",
            )
        )
    frames = [
        f"{capital(at)} there lived {intro}.",
        f"{capital(at)}, there was {intro}.",
        f"Long ago, {intro} lived {at}.",
        f"Long, long ago, {at}, there lived {intro}.",
        f"There was once {intro} who lived {at}.",
        f"Not so very far away, {at}, lived {intro}.",
        f"{capital(intro)} lived {at}.",
        f"Somewhere {at} lived {intro}.",
        f"This is the story of {intro} who lived {at}.",
    ]
    if hero.named:
        # "a shy fox named Pip" without its last two words
        plain_intro = " ".join(hero.intro.split(" ")[:-2])
        frames += [f"{hero.name} was {plain_intro} who lived {at}."] * 3
        if not placed:
            frames.append(f"{hero.name} was {plain_intro}.")
    return rng.choice(frames)


_TREATS = (
    "ripe berries", "sweet pears", "honey cakes", "oat cakes", "plum jam", "apple pie", "nut bread",
    "warm soup", "carrot cake", "pumpkin pie", "red cherries", "corn bread", "berry juice",
    "mint tea", "crisp apples", "acorn bread",
)  # fmt: skip
_WATCHED = (
    "the sun went down", "the first star came out", "the moon rose", "the clouds turned pink",
    "the swallows came home", "the fireflies began to dance", "the light turned gold",
    "the shadows grew long", "the bats came out", "the mist rose from the grass",
)  # fmt: skip
_LIKE = (
    "as light as a feather", "as happy as a bee in clover", "as warm as a stone in the sun",
    "as proud as a king", "as glad as a bird in spring", "as merry as a brook",
    "as cosy as a kitten in hay", "as tall as a pine tree", "as bright as the morning",
)  # fmt: skip

_GUESTS = (
    "rabbit", "squirrel", "hedgehog", "robin", "badger", "otter", "blackbird", "dormouse", "frog",
    "deer", "toad", "woodpecker", "magpie", "beaver", "wren", "hare", "finch", "beetle",
)  # fmt: skip


def crowd(rng: Random, others: tuple[Hero, ...], chance: float = 0.5) -> str:
    """Who else came to see; for woods and meadows."""
    if rng.random() >= chance:
        return ""
    taken = tuple(hero.kind for hero in others)
    one, two, three = rng.sample([kind for kind in _GUESTS if kind not in taken], 3)
    return rng.choice(
        (
            f"The {one}, the {two} and the {three} came to see it, too.",
            f"Even the {one} and the {two} came out to look.",
            f"The {one} told the {two}, and the {two} told the {three}.",
            f"Soon the {one}, the {two} and the {three} had heard of it.",
            f"The {one} cheered, and the {two} and the {three} clapped.",
            f"{capital(a(one))} and {a(two)} looked on from behind {rng.choice(THINGS)}.",
        )
    )


def together(rng: Random, who: str, chance: float = 0.5) -> str:
    """A picture of the friends (a plural subject, or a name) when all is well again."""
    if rng.random() >= chance:
        return ""
    one, two, three = rng.sample(_TREATS, 3)
    where = rng.choice(("under", "beside", "near")) + " " + rng.choice(THINGS)
    watched, like = rng.choice(_WATCHED), rng.choice(_LIKE)
    subject = capital(who)
    return rng.choice(
        (
            f"{subject} sat down {where} until {watched}.",
            f"That evening {who} had {one}, {two} and {three} for supper.",
            f"There were {one} and {two} for supper, and {watched}."
            if one.endswith("s")
            else f"There was {one} for supper, and {watched}.",
            f"When {watched}, {who} felt {like}.",
            f"{subject} felt {like}.",
            f"{subject} stayed {where} until {watched}, and shared {one}.",
            f"Afterwards {who} ate {one} and {two} and felt {like}.",
        )
    )


def some_of(rng: Random, texts: tuple[str, ...], chance: float) -> str:
    """One of the texts, or nothing, without a leading space."""
    return rng.choice(texts) if rng.random() < chance else ""


_LAST = ("The end.", "The end.", "The end.", "And that is the end of the story.")

_NIGHT_SKY = (
    "the stars were very bright", "the moon was as round as a plate", "the sky was pink and gold",
    "the wind sang in the chimneys", "a soft rain fell", "the moon looked down and seemed to smile",
    "the clouds sailed past like sleepy sheep", "a falling star crossed the sky",
)  # fmt: skip
_NIGHT_REST = (
    "all was quiet", "nobody was sad any more", "sleep came easily", "the whole world was at peace",
    "even the crickets were still", "good dreams were on their way", "the day was done",
)  # fmt: skip


def close(rng: Random, warm: tuple[str, ...], lessons: tuple[str, ...]) -> str:
    """The ending: a warm sentence, or the lesson said plainly, or both; then maybe "The end."."""
    roll = rng.random()
    if roll < 0.36:
        text = rng.choice(warm)
    elif roll < 0.56:
        text = rng.choice(lessons)
    elif roll < 0.78:
        text = f"{rng.choice(warm)} {rng.choice(lessons)}"
    else:
        sky, rest = rng.choice(_NIGHT_SKY), rng.choice(_NIGHT_REST)
        text = rng.choice(warm)
        if "night" not in text and "evening" not in text:
            when = rng.choice(("That night", "That evening", "When night came,"))
            text = f"{text} {when} {sky}, and {rest}."
    return f"{text} {rng.choice(_LAST)}" if rng.random() < 0.42 else text


# Words that may stand for each other wherever they occur in these stories.
_SAME: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"\bbegan to\b", ("started to",)),
    (r"\beverybody\b", ("everyone",)),
    (r"\bEverybody\b", ("Everyone",)),
    (r"\bnobody\b", ("no one",)),
    (r"\bNobody\b", ("No one",)),
    (r"\bsomebody\b", ("someone",)),
    (r"\bFrom then on\b", ("From that day on", "After that")),
    (r"\bJust then\b", ("At that moment", "Right then")),
    (r"\bAt last\b", ("Finally",)),
    (r"\bbeautiful\b", ("lovely",)),
    (r"\bset out to\b", ("went out to", "set off to")),
    (r"\bcame by\b", ("came along", "passed by")),
    (r'(?<!")\bSoon\b', ("Before long", "A little later")),
    (r"\bAll day long\b", ("The whole day", "From morning to night")),
    (r"\bAfter a while\b", ("A little while later", "After some time")),
    (r"\bvery happy\b", ("full of joy", "as happy as could be", "very glad")),
    (r"\bfar away\b", ("far off",)),
)
_SHORT: tuple[tuple[str, str], ...] = (
    (r"\b(I) am (?=\w)", r"\1'm "),
    (r"\b([Ww]e|[Yy]ou|[Tt]hey) are (?=\w)", r"\1're "),
    (r"\b([Ii]t|[Tt]hat|[Ww]hat|[Hh]e|[Ss]he|[Tt]here|[Ww]here) is (?=\w)", r"\1's "),
    (r"\b(I|[Ww]e|[Yy]ou) will (?=\w)", r"\1'll "),
    (r"\b([Dd]o|[Dd]id|[Dd]oes|[Ii]s|[Ww]as|[Cc]ould|[Ww]ould|[Hh]as|[Hh]ave) not\b", r"\1n't"),
    (r"\b([Cc]an)not\b", r"\1't"),
    (r"\b([Ll]et) us\b", r"\1's"),
)
_MANNERS = (
    "after a moment", "at once", "thoughtfully", "simply", "in a clear voice", "slowly",
)  # fmt: skip
_SAID = re.compile(r'(?<=," )said (?:the [a-z]+(?: [a-z]+)?|[A-Z][a-z]+)(?=\.)')
_SAME_WORDS = tuple((re.compile(pattern), words) for pattern, words in _SAME)
_SHORT_FORMS = tuple((re.compile(pattern), short) for pattern, short in _SHORT)
_SPEECH = re.compile(r'"[^"]*"')


def _shorten(speech: re.Match[str]) -> str:
    """What is said, as it is said fast: "I'm" for "I am"."""
    text = speech.group()
    for pattern, short in _SHORT_FORMS:
        text = pattern.sub(short, text)
    return text


def reworded(rng: Random, text: str) -> str:
    """The text with some words exchanged for others that mean the same."""
    for pattern, words in _SAME_WORDS:
        if rng.random() < 0.5:
            text = pattern.sub(rng.choice(words), text)
    text = _SAID.sub(
        lambda said: (
            f"{said.group()} {rng.choice(_MANNERS)}" if rng.random() < 0.25 else said.group()
        ),
        text,
    )
    return _SPEECH.sub(_shorten, text) if rng.random() < 0.4 else text


def paragraphs(rng: Random, parts: list[list[str]]) -> str:
    """The parts as paragraphs; now and then two run together, or all of them."""
    texts = [" ".join(sentence for sentence in part if sentence) for part in parts]
    texts = [text for text in texts if text]
    roll = rng.random()
    if roll < 0.1:
        return reworded(rng, " ".join(texts))
    if (roll < 0.4 and len(texts) > 2) or len(texts) > 5:
        at = rng.randrange(len(texts) - 1)
        texts[at : at + 2] = [" ".join(texts[at : at + 2])]
    return reworded(rng, "\n\n".join(texts))


def fable(
    rng: Random, parts: list[list[str]], who: list[Hero], about: tuple[str, ...], title: str
) -> Story:
    """The parts put together, with the names of those in it that have one."""
    names = tuple(hero.name for hero in who if hero.named)
    return Story(paragraphs(rng, parts), names, about, title)


def titled(hero: Hero) -> str:
    """How a title names the hero: "Pip the Fox", "The Fox"."""
    kind = " ".join(capital(word) for word in hero.kind.split())
    return f"{hero.name} the {kind}" if hero.named else f"The {kind}"


def fitting(plot: Callable[[Random], Story]) -> Callable[[Random], Story]:
    """The plot, told again where a telling comes out too long or too short for a small reader."""

    @wraps(plot)
    def told(rng: Random) -> Story:
        while True:
            story = plot(rng)
            if 90 <= len(story.text.split()) <= 230:
                return story

    return told
