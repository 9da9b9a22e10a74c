"""The animals of the fables: how each looks, lives, eats and moves, and where it is at home."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Animal:
    """How a kind of animal lives: looks, home, food, and the way it moves."""

    looks: tuple[str, ...]  # colours and coats, as said before the kind
    home: str  # with its preposition
    food: str  # a noun phrase
    went: str  # "hopped"
    knack: str  # what it can do well, as after "can"


ANIMALS: dict[str, Animal] = {
    # Woods and hedges.
    "mouse": Animal(
        ("brown", "grey", "tiny"), "in a nest of dry grass", "seeds and berries",
        "scampered", "squeeze through the smallest gap",
    ),
    "squirrel": Animal(
        ("red", "grey", "bushy-tailed"), "in a hole high up in an oak tree", "nuts",
        "scurried", "climb any tree",
    ),
    "hedgehog": Animal(
        ("brown", "prickly", "round"), "under a pile of leaves", "beetles and worms",
        "trotted", "roll up into a prickly ball",
    ),
    "rabbit": Animal(
        ("brown", "grey", "soft"), "in a burrow under the brambles", "clover and grass",
        "hopped", "hear the softest sound",
    ),
    "hare": Animal(
        ("brown", "long-eared", "long-legged"), "in a hollow in the long grass", "grass and herbs",
        "bounded", "run very fast",
    ),
    "fox": Animal(
        ("red", "bushy-tailed", "russet"), "in a den under the roots of an old tree",
        "beetles and blackberries", "trotted", "find anything by its smell",
    ),
    "badger": Animal(
        ("grey", "stripy", "black and white"), "in a deep burrow under the hill", "roots and worms",
        "shuffled", "dig deep holes",
    ),
    "mole": Animal(
        ("black", "velvety", "soft"), "in a tunnel under the ground", "worms",
        "shuffled", "dig long tunnels",
    ),
    "dormouse": Animal(
        ("golden", "sleepy", "furry"), "in a ball of woven grass", "hazelnuts and berries",
        "scampered", "climb the thinnest twig",
    ),
    "toad": Animal(
        ("brown", "bumpy", "round"), "under a cool, damp stone", "flies and slugs",
        "hopped", "sit very still",
    ),
    "frog": Animal(
        ("green", "spotted", "shiny"), "among the reeds of a pond", "flies",
        "hopped", "jump very far",
    ),
    "beaver": Animal(
        ("brown", "flat-tailed", "sturdy"), "in a lodge made of sticks", "bark and leaves",
        "waddled", "cut wood with strong teeth",
    ),
    "otter": Animal(
        ("brown", "sleek", "shiny"), "in a hole in the river bank", "fish",
        "slipped", "swim and dive",
    ),
    "bear": Animal(
        ("brown", "shaggy", "furry"), "in a cave among the pines", "berries and honey",
        "padded", "lift heavy things",
    ),
    "deer": Animal(
        ("brown", "graceful", "long-legged"), "in a clearing between the trees", "leaves and grass",
        "walked", "jump over a fence",
    ),
    "moose": Animal(
        ("brown", "tall", "long-legged"), "near a lake between the trees", "twigs and water plants",
        "tramped", "wade through deep water",
    ),
    "wolf": Animal(
        ("grey", "silver", "shaggy"), "in a den between the rocks", "whatever the pack could find",
        "loped", "run all night",
    ),
    # Birds.
    "owl": Animal(
        ("brown", "white", "round-eyed"), "in a hollow tree", "beetles and moths",
        "flew", "see in the dark",
    ),
    "robin": Animal(
        ("red-breasted", "round", "bright-eyed"), "in a nest in the ivy", "worms and seeds",
        "flew", "sing even in winter",
    ),
    "sparrow": Animal(
        ("brown", "plump", "bright-eyed"), "in a nest under the roof", "seeds and crumbs",
        "flew", "chirp all day",
    ),
    "wren": Animal(
        ("brown", "tiny", "round"), "in a mossy nest in the hedge", "spiders and little flies",
        "flew", "sing very loudly",
    ),
    "crow": Animal(
        ("black", "shiny", "bright-eyed"), "in a nest of sticks at the top of a tree",
        "seeds and scraps", "flew", "solve puzzles",
    ),
    "blackbird": Animal(
        ("black", "yellow-beaked", "bright-eyed"), "in a nest in the hawthorn", "worms and berries",
        "flew", "sing in the evening",
    ),
    "woodpecker": Animal(
        ("green", "spotted", "red-capped"), "in a hole in a birch tree", "beetles",
        "flew", "drum on a tree",
    ),
    "swallow": Animal(
        ("blue", "fork-tailed", "quick"), "in a mud nest under the barn roof", "flies",
        "flew", "fly all the way across the sea",
    ),
    "finch": Animal(
        ("yellow", "green", "bright-eyed"), "in a nest in the apple tree", "seeds",
        "flew", "crack the hardest seed",
    ),
    # The farm.
    "cow": Animal(
        ("brown", "spotted", "black and white"), "in the big red barn", "grass and hay",
        "walked", "give warm milk",
    ),
    "horse": Animal(
        ("brown", "white", "chestnut"), "in a stable full of straw", "oats and apples",
        "trotted", "pull a heavy cart",
    ),
    "donkey": Animal(
        ("grey", "brown", "long-eared"), "in a shed behind the farmhouse", "hay and thistles",
        "plodded", "carry heavy baskets",
    ),
    "goat": Animal(
        ("white", "brown", "bearded"), "in a pen beside the barn", "leaves and hay",
        "skipped", "climb steep rocks",
    ),
    "sheep": Animal(
        ("white", "woolly", "black-faced"), "in a fold on the hillside", "grass",
        "trotted", "keep everybody warm",
    ),
    "lamb": Animal(
        ("white", "woolly", "curly"), "in a fold on the hillside", "grass and milk",
        "skipped", "jump for joy",
    ),
    "piglet": Animal(
        ("pink", "spotted", "curly-tailed"), "in a sty with clean straw", "turnips and corn",
        "trotted", "sniff out anything good to eat",
    ),
    "hen": Animal(
        ("white", "speckled", "brown"), "in a wooden henhouse", "corn and seeds",
        "strutted", "lay a fresh egg",
    ),
    "duck": Animal(
        ("white", "brown", "yellow-billed"), "beside the farm pond", "water plants and grain",
        "waddled", "swim without getting wet feathers",
    ),
    "goose": Animal(
        ("white", "grey", "long-necked"), "in a hut beside the pond", "grass and grain",
        "waddled", "honk louder than anybody",
    ),
    "puppy": Animal(
        ("brown", "spotted", "floppy-eared"), "in a basket by the kitchen door",
        "biscuits and bones", "ran", "follow any smell",
    ),
    "kitten": Animal(
        ("grey", "stripy", "ginger"), "in the hay above the stable", "fish and milk",
        "tiptoed", "land on soft paws",
    ),
    # Hot, wide, grassy lands.
    "elephant": Animal(
        ("grey", "wrinkled", "big-eared"), "near the water hole", "leaves and bark",
        "tramped", "spray water with a long trunk",
    ),
    "lion": Animal(
        ("golden", "tawny", "yellow"), "in the shade of a flat-topped tree",
        "whatever the pride could find", "strolled", "roar very loudly",
    ),
    "giraffe": Animal(
        ("tall", "spotted", "long-necked"), "among the thorn trees", "the highest leaves",
        "strode", "reach the tallest branch",
    ),
    "zebra": Animal(
        ("stripy", "black and white", "bright-eyed"), "on the grassy plain", "grass",
        "trotted", "gallop like the wind",
    ),
    "rhino": Animal(
        ("grey", "thick-skinned", "heavy"), "beside a muddy pool", "grass and leaves",
        "stomped", "push a fallen tree",
    ),
    "meerkat": Animal(
        ("sandy", "slim", "bright-eyed"), "in a burrow in the sand", "beetles and grubs",
        "scurried", "stand tall and keep watch",
    ),
    "monkey": Animal(
        ("brown", "long-tailed", "furry"), "in the branches of a fig tree", "fruit",
        "swung", "climb with hands and feet",
    ),
    "tortoise": Animal(
        ("brown", "wrinkled", "green"), "in the shade of a bush", "leaves and flowers",
        "plodded", "keep going for hours",
    ),
    # The garden.
    "snail": Animal(
        ("brown", "yellow", "stripy"), "under a broad green leaf", "leaves",
        "crept", "climb up a wall",
    ),
    "beetle": Animal(
        ("black", "green", "shiny"), "under a piece of bark", "fallen leaves",
        "crawled", "carry heavy crumbs",
    ),
    "ant": Animal(
        ("black", "red", "tiny"), "in a busy nest under a stone", "seeds and crumbs",
        "hurried", "carry more than its own weight",
    ),
    "ladybird": Animal(
        ("red", "spotted", "shiny"), "on a rose bush", "greenfly",
        "crawled", "fold away two pairs of wings",
    ),
    "cricket": Animal(
        ("green", "brown", "long-legged"), "in the tall grass", "leaves",
        "jumped", "make music on summer nights",
    ),
    "lizard": Animal(
        ("green", "brown", "quick"), "in a crack in the garden wall", "flies",
        "darted", "run up a wall",
    ),
    # Snow.
    "polar bear": Animal(
        ("white", "thick-furred", "fluffy"), "on the wide white ice", "fish",
        "padded", "swim in icy water",
    ),
    "seal": Animal(
        ("grey", "spotted", "whiskery"), "on a rock by the cold sea", "fish",
        "slid", "dive deep under the ice",
    ),
    "reindeer": Animal(
        ("grey", "brown", "white"), "among the snowy birches", "moss",
        "trotted", "find food under the snow",
    ),
    "snow hare": Animal(
        ("white", "soft", "long-eared"), "in a hollow in the snow", "twigs and buds",
        "hopped", "hide in plain sight",
    ),
    "white fox": Animal(
        ("fluffy", "thick-furred", "quiet"), "in a den under the snow", "berries and eggs",
        "trotted", "hear a whisper under the snow",
    ),
}  # fmt: skip

WOODLAND = ("mouse", "squirrel", "hedgehog", "rabbit", "fox", "badger", "dormouse", "mole", "toad")
BIRDS = ("robin", "sparrow", "wren", "blackbird", "woodpecker", "finch", "swallow", "crow")
FARM = ("cow", "horse", "donkey", "goat", "sheep", "lamb", "piglet", "hen", "duck", "goose")
PLAIN = ("elephant", "lion", "giraffe", "zebra", "rhino", "meerkat", "monkey", "tortoise")
GARDEN = ("snail", "beetle", "ant", "ladybird", "cricket", "lizard", "toad", "mouse")
SNOW = ("polar bear", "seal", "reindeer", "snow hare", "white fox")
