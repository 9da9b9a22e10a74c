"""Who a fable is about: names, tempers, pronouns, habits and what somebody likes."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from vatra.spark.prose import Being, a
from vatra.spark.stories.animals import ANIMALS, PLAIN, SNOW, Animal

HE_NAMES = (
    "Pip", "Bram", "Otis", "Finn", "Moss", "Tuck", "Rufus", "Barnaby", "Milo", "Jasper", "Bruno",
    "Toby", "Gus", "Oscar", "Hugo", "Alfie", "Basil", "Rowan", "Benji", "Fergus", "Kit", "Nico",
    "Dusty", "Bobbin", "Monty", "Percy", "Wilf", "Ned", "Chip", "Archie", "Teddy", "Odo", "Linus",
    "Casper", "Figgy", "Tam", "Boris", "Jonty", "Sprout", "Rolo", "Morris", "Felix", "Humphrey",
    "Digby",
)  # fmt: skip
SHE_NAMES = (
    "Hazel", "Willow", "Poppy", "Clover", "Maple", "Luna", "Daisy", "Fern", "Ivy", "Bella", "Nell",
    "Olive", "Tansy", "Juniper", "Dot", "Mabel", "Rosie", "Tilly", "Pippa", "Penny", "Coral",
    "Pearl", "Misty", "Lottie", "Myrtle", "Honey", "Ruby", "Bramble", "Flora", "Greta", "Nutmeg",
    "Suki", "Tess", "Plum", "Marigold", "Binny", "Nora", "Lulu", "Mimi", "Cora", "Lark", "Edie",
    "Wanda", "Zuzu",
)  # fmt: skip

_TEMPERS = (
    "small", "little", "young", "kind", "cheerful", "shy", "curious", "gentle", "merry", "quiet",
    "lively", "friendly", "thoughtful",
)  # fmt: skip


@dataclass(frozen=True)
class Hero(Being):
    """Somebody in a fable, with the words that bring them in."""

    intro: str = ""  # "a shy red fox named Pip"
    named: bool = False

    @property
    def animal(self) -> Animal:
        """The habits of its kind; only for animals."""
        return ANIMALS[self.kind]

    @property
    def went(self) -> str:
        return self.animal.went

    @property
    def himself(self) -> str:
        return f"{self.him}self"

    @property
    def call(self) -> str:
        """What a friend calls it to its face."""
        return self.name if self.named else f"dear {self.kind}"

    @property
    def the(self) -> str:
        """A second way to name it, by its kind."""
        return f"the {self.kind}"


PRONOUNS = {"he": ("he", "him", "his"), "she": ("she", "her", "her"), "it": ("it", "it", "its")}


def somebody(
    rng: Random,
    kind: str,
    looks: tuple[str, ...],
    he: str = "",
    named: float = 0.76,
    avoid: tuple[str, ...] = (),
) -> Hero:
    """A hero of the kind: named with the given chance, `he` or `she` unless told."""
    he = he or rng.choice(("he", "she"))
    words = f"{rng.choice(looks)} {kind}".strip()
    if rng.random() >= named:
        return Hero(f"the {kind}", kind, *PRONOUNS[he], a(words), False)
    names = HE_NAMES if he == "he" or (he == "it" and rng.random() < 0.5) else SHE_NAMES
    name = rng.choice([name for name in names if name not in avoid])
    intro = f"{a(words)} {rng.choice(('named', 'called'))} {name}"
    return Hero(name, kind, *PRONOUNS[he], intro, True)


_ALWAYS = {"hen": "she", "cow": "she", "lion": "he"}


def creature(
    rng: Random,
    kinds: tuple[str, ...],
    other: Hero | None = None,
    named: float = 0.76,
    tempers: tuple[str, ...] = _TEMPERS,
) -> Hero:
    """An animal of one of the kinds; beside another it differs in kind and in pronoun."""
    taken = ("", "") if other is None else (other.kind, other.he)
    kind = rng.choice(
        [kind for kind in kinds if kind != taken[0] and _ALWAYS.get(kind, "") != (taken[1] or "-")]
    )
    coat = rng.choice(ANIMALS[kind].looks)
    temper = rng.choice([temper for temper in tempers if temper != coat])
    looks = (temper, coat, f"{temper}, {coat}", f"{temper} {coat}")
    he = _ALWAYS.get(kind, "") if other is None else ("she" if other.he == "he" else "he")
    return somebody(rng, kind, looks, he, named)


_PASSERS = (
    "old", "young", "busy", "thin", "plump", "tired", "jolly", "grumpy", "polite", "sleepy",
    "cheeky", "handsome", "clever", "noisy", "silent",
)  # fmt: skip


def passer(rng: Random, kind: str) -> str:
    """Somebody of the kind who is met only once, with an article: "a jolly crow"."""
    return a(f"{rng.choice(_PASSERS)} {kind}") if rng.random() < 0.75 else a(kind)


def third(rng: Random, kinds: tuple[str, ...], others: tuple[Hero, ...]) -> str:
    """One more kind of animal, different from those already there."""
    taken = tuple(hero.kind for hero in others)
    return rng.choice([kind for kind in kinds if kind not in taken])


_TREASURES = (
    "smooth stones", "white feathers", "acorn cups", "pine cones", "red leaves", "snail shells",
    "round pebbles", "dry flowers", "blue feathers", "shiny buttons", "walnut shells", "long words",
    "old songs", "bits of string", "good smells", "funny clouds",
)  # fmt: skip
_GAMES = (
    "hide and seek", "jumping over puddles", "rolling down hills", "telling riddles",
    "listening to the rain", "chasing leaves", "splashing in the brook", "counting clouds",
    "humming little tunes", "looking at the stars", "making daisy chains", "sitting in the sun",
    "watching the clouds", "asking questions",
)  # fmt: skip

_FOUND_ANYWHERE = (
    "smooth stones", "white feathers", "round pebbles", "long words", "old songs", "good smells",
    "funny clouds", "loud laughs", "old stories", "red sunsets", "sea shells", "silver moonlight",
    "small secrets", "fresh wind",
)  # fmt: skip
_PLAYED_ANYWHERE = (
    "hide and seek", "telling riddles", "counting clouds", "humming little tunes",
    "looking at the stars", "sitting in the sun", "watching the clouds", "asking questions",
    "making up rhymes", "listening to the rain", "guessing the weather", "whistling in the wind",
    "counting to a hundred", "making up names for the stars",
)  # fmt: skip
_FOUND_IN_THE_SEA = (
    "sea shells", "smooth stones", "round pebbles", "long words", "old songs", "bits of rope",
    "coloured sand", "green glass", "old stories", "small secrets",
)  # fmt: skip
_PLAYED_IN_THE_SEA = (
    "hide and seek", "telling riddles", "humming little tunes", "asking questions",
    "making up rhymes", "counting to a hundred", "chasing bubbles", "digging in the sand",
    "racing the waves", "looking at the light on the water",
)  # fmt: skip
_AWAKE_AT_NIGHT = ("hedgehog", "badger", "dormouse", "owl", "toad", "mouse", "fox")


def likes(rng: Random, hero: Hero, bare: bool = True, chance: float = 1.0) -> str:
    """What somebody is fond of; `bare` where there are no woods and gardens to find it in."""
    if rng.random() >= chance:
        return ""
    found, played = (
        (_FOUND_IN_THE_SEA, _PLAYED_IN_THE_SEA)
        if hero.kind in ("fish", "hermit crab")
        else (_FOUND_ANYWHERE, _PLAYED_ANYWHERE)
        if bare
        else (_TREASURES, _GAMES)
    )
    one, two, three = rng.sample(found, 3)
    game, other, last = rng.sample(played, 3)
    frames = [
        f"{hero.He} loved {game}, {other} and {last}.",
        f"{hero.He} was fond of {one} and {game}.",
        f"What {hero.he} liked best was {game}, and after that {other}.",
        f"Nothing made {hero.him} happier than {game} and {other}.",
        f"{hero.He} dreamed of {one} at night and loved {game} by day."
        if hero.kind not in _AWAKE_AT_NIGHT
        else f"{hero.He} often dreamed of {one} and {two}.",
        f"{hero.Name} liked {one}, {two} and {game}.",
        f"{hero.Name} spent many hours {game} or {other}."
        if game != "hide and seek" and other != "hide and seek"
        else f"{hero.Name} never got tired of {game} or {other}.",
    ]
    if not bare:
        frames += [
            f"{hero.He} collected {one}, {two} and {three}.",
            f"{hero.He} kept {one} and {two} in a secret place."
            if "long words" not in (one, two)
            else f"{hero.He} liked {one} and {two} above all.",
            f"On some days {hero.he} looked for {one}, on others for {two}.",
        ]
    return rng.choice(frames)


def habits(rng: Random, hero: Hero) -> str:
    """A sentence on how the animal lives, or on what it likes."""
    if rng.random() < 0.6:
        return likes(rng, hero, hero.kind in PLAIN or hero.kind in SNOW)
    way = hero.animal
    often = rng.choice(
        ("Every night", "In the evenings", "On most nights")
        if hero.kind in _AWAKE_AT_NIGHT
        else ("Every morning", "Every day", "On most days")
    )
    return rng.choice(
        (
            f"{hero.He} slept {way.home} and ate {way.food}.",
            f"{hero.He} slept {way.home}.",
            f"{hero.He} liked {way.food}, long naps and good friends.",
            f"{often} {hero.he} {way.went} out to look for {way.food}.",
            f"{hero.His} home was {way.home}, and it was warm and dry.",
            f"Like every {hero.kind}, {hero.he} could {way.knack}.",
            f"{hero.He} could {way.knack}, and {hero.he} was proud of it.",
            f"{hero.His} favourite things were {way.food} and a nap in a quiet place.",
            f"{hero.He} had a cosy place {way.home}.",
            f"{often} {hero.he} had {way.food} for a meal.",
        )
    )
