"""Where and when a fable happens: woods, farms and plains, the weather, and what is seen there."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from vatra.spark.prose import a, capital
from vatra.spark.stories.animals import FARM, GARDEN, PLAIN, SNOW, WOODLAND
from vatra.spark.stories.heroes import Hero


@dataclass(frozen=True)
class Place:
    """Where a story happens: as it is first named, and afterwards."""

    at: str  # "in a quiet forest"
    the: str  # "the forest"


_WOODS = ("forest", "wood", "valley")
_WOOD_WORDS = ("quiet", "deep", "green", "shady", "mossy", "sunny", "wide", "leafy")
_BESIDE = (
    "", "", "", " beside a river", " near a lake", " at the foot of a hill", " by a clear stream",
    " below the mountains",
)  # fmt: skip


def woods(rng: Random) -> Place:
    """Some forest or green valley."""
    noun = rng.choice(_WOODS)
    return Place(f"in a {rng.choice(_WOOD_WORDS)} {noun}{rng.choice(_BESIDE)}", f"the {noun}")


def garden(rng: Random) -> Place:
    """Some garden or orchard or meadow."""
    noun = rng.choice(("garden", "orchard", "meadow"))
    word = rng.choice(("sunny", "quiet", "green", "wild", "lovely", "small", "big", "flowery"))
    tail = rng.choice(("", " behind a stone house", " at the edge of a village", " near the woods"))
    return Place(f"in {a(word)} {noun}{tail}", f"the {noun}")


def farm(rng: Random) -> Place:
    """Some farm."""
    word = rng.choice(("small", "busy", "quiet", "old", "sunny", "windy", "cheerful"))
    tail = rng.choice(("", " on a hill", " near the sea", " beside a river", " among green fields"))
    return Place(f"on {a(word)} farm{tail}", "the farm")


def plain(rng: Random) -> Place:
    """Some wide, warm grassland."""
    word = rng.choice(("wide", "dry", "golden", "sunny", "hot", "grassy"))
    tail = rng.choice(("", " far away", " under a big blue sky", " near a water hole"))
    return Place(f"on {a(word)} plain{tail}", "the plain")


def snowland(rng: Random) -> Place:
    """Some land of snow and ice."""
    word = rng.choice(("white", "cold", "snowy", "quiet", "frozen"))
    tail = rng.choice(("", " in the far north", " beside an icy sea", " where the wind sang"))
    return Place(f"in {a(word)} land{tail}", "the snow")


@dataclass(frozen=True)
class World:
    """A place together with the animals at home there."""

    place: Place
    kinds: tuple[str, ...]


def world(rng: Random) -> World:
    """A forest, a farm, a garden, a plain or a land of snow."""
    roll = rng.random()
    if roll < 0.45:
        return World(woods(rng), WOODLAND)
    if roll < 0.65:
        return World(farm(rng), FARM)
    if roll < 0.8:
        return World(plain(rng), PLAIN)
    if roll < 0.92:
        return World(garden(rng), GARDEN)
    return World(snowland(rng), SNOW)


_WEATHER: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("sunny", ("when the grass was warm and soft", "with not a cloud in the sky")),
    ("windy", ("when the leaves danced in the air", "when every branch was swaying")),
    ("misty", ("when everything looked soft and white", "when the trees were only grey shadows")),
    ("quiet", ("when nobody else was about", "with no sound but the humming of the bees")),
    ("bright", ("when the sky was as blue as a cornflower", "when every leaf was shining")),
    ("warm", ("when the air smelled of flowers", "when a soft wind moved the leaves")),
    ("cloudy", ("when the sun was hiding", "when grey clouds sailed across the sky")),
    ("fresh", ("after a night of rain", "when everything smelled new")),
    ("calm", ("when not a leaf moved", "when the air was still and sweet")),
    ("breezy", ("when the clouds were racing each other", "when the grass moved like water")),
)
_COLD: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("frosty", ("when the ice sparkled", "when every breath made a little white cloud")),
    ("windy", ("when the snow was blown into soft hills",)),
    ("bright", ("when the sky was pale blue", "when the snow shone like silver")),
    ("quiet", ("when fine snow was falling",)),
)


def day(rng: Random, place: Place) -> str:
    """How the day of the story begins ("One windy morning"); a main clause follows it."""
    word, clauses = rng.choice(_COLD if place.the == "the snow" else _WEATHER)
    time = rng.choice(("morning", "morning", "afternoon", "day"))
    start = rng.choice((f"One {word} {time}", f"On {a(word)} {time}", f"Then, one {word} {time}"))
    roll = rng.random()
    if roll < 0.35:
        return f"{start}, {rng.choice(clauses)},"
    if roll < 0.5:
        return f"It was {a(word)} {time} when"
    return start if roll < 0.8 and not start.startswith("Then") else f"{start},"


THINGS = (
    "a fallen birch", "a patch of ferns", "a ring of mushrooms", "a mossy stone", "a wild rose",
    "a heap of pine cones", "a wooden bridge", "a bed of violets", "a row of poppies",
    "an old cart wheel", "a hazel bush", "a blackberry bush", "a hollow stump", "a fir cone",
    "a patch of wild thyme", "a crooked fence", "a bent willow", "a deep puddle", "a molehill",
    "a stone wall", "a tall thistle", "a patch of clover", "a heap of old leaves", "a lilac bush",
)  # fmt: skip
_FLIERS = (
    "a yellow butterfly", "a fat bumblebee", "a blue dragonfly", "a white butterfly", "a tiny moth",
    "a busy bee", "a red butterfly", "a green dragonfly", "a lazy fly", "a young pigeon",
    "a magpie", "a thrush",
)  # fmt: skip
_SMELLS = (
    "pine", "mint", "hay", "thyme", "wet earth", "moss", "honey", "apples", "roses", "clover",
    "elder flowers", "warm stone", "mushrooms", "lavender",
)  # fmt: skip
_SOUNDS = (
    "a cuckoo called", "a pigeon cooed", "a bell rang", "a dog barked", "a thrush sang",
    "a gate creaked", "a rooster crowed", "a cow mooed",
)  # fmt: skip
_ALSO = (
    "the leaves rustled", "a brook murmured", "the bees hummed", "the grass whispered",
    "a twig snapped", "an acorn fell", "the reeds sighed", "a cricket answered",
)  # fmt: skip


def sight(rng: Random, hero: Hero, place: Place, chance: float = 0.6, still: bool = False) -> str:
    """Something to see, hear or smell in woods, gardens and fields, on the way or sitting still."""
    if rng.random() >= chance or place.the in ("the snow", "the plain"):
        return ""
    one, two = rng.sample(THINGS, 2)
    flier = rng.choice(_FLIERS)
    smell, other = rng.sample(_SMELLS, 2)
    sound, also = rng.choice(_SOUNDS), rng.choice(_ALSO)
    frames = [
        f"Beside {one} sat {flier}.",
        f"{capital(flier)} flew over {one} and was gone.",
        f"Between {one} and {two}, {flier} flew to and fro.",
        f"The air smelled of {smell} and {other}.",
        f"There was a smell of {smell} and {other} in the air.",
        f"Somewhere {sound}, and {also}.",
        f"{capital(sound)} far away. Nearby, {also}.",
    ]
    if not still:
        verb = rng.choice(("passed", "went past"))
        frames += [
            f"{hero.He} {verb} {one} and {two}.",
            f"The way led past {one} and {two}.",
            f"{hero.He} rested for a moment beside {one}.",
        ]
    return rng.choice(frames)


_FAR_VIEW = (
    "the snowy mountains", "the long river", "a hundred roofs", "the wide sea", "the dark woods",
    "a train like a toy", "sheep as small as crumbs", "the church tower", "ships on the water",
    "the yellow fields", "the lights of the town", "a bridge of stone", "a lake like a mirror",
    "children on their way to school", "a farmer with a cart", "the old castle",
)  # fmt: skip


def far_view(rng: Random, hero: Hero) -> str:
    """What somebody high above the land looks down on."""
    one, two, three = rng.sample(_FAR_VIEW, 3)
    return rng.choice(
        (
            f"From there it could see {one}, {two} and {three}.",
            f"Far below lay {one} and {two}."
            if not one.startswith(("a ", "children", "sheep", "ships"))
            else f"Far below it saw {one} and {two}.",
            f"{hero.Name} looked down on {one}, {two} and {three}.",
            f"It knew {one} and {two}, but only from above.",
        )
    )
