"""Animals: sounds, young, legs, homes, food, what they can do, and which one it is."""

from __future__ import annotations

from random import Random

from vatra.spark.facts.phrasing import Follow, Question, mostly
from vatra.spark.prose import a, capital

SOUNDS = (
    ("dog", "woof"), ("cat", "meow"), ("cow", "moo"), ("sheep", "baa"), ("pig", "oink"),
    ("duck", "quack"), ("horse", "neigh"), ("hen", "cluck"), ("lion", "roar"),
    ("rooster", "cock-a-doodle-doo"), ("frog", "ribbit"), ("bee", "buzz"), ("owl", "hoo"),
    ("mouse", "squeak"), ("snake", "hiss"), ("turkey", "gobble"), ("donkey", "hee-haw"),
    ("crow", "caw"), ("little bird", "tweet"),
)  # fmt: skip
# (animal, its baby, whether the baby's name belongs to this animal alone)
BABIES = (
    ("dog", "puppy", True), ("cat", "kitten", True), ("cow", "calf", False),
    ("horse", "foal", True), ("sheep", "lamb", True), ("pig", "piglet", True),
    ("duck", "duckling", True), ("hen", "chick", False), ("goat", "kid", False),
    ("bear", "cub", False), ("lion", "cub", False), ("tiger", "cub", False),
    ("frog", "tadpole", True), ("deer", "fawn", True), ("goose", "gosling", True),
    ("swan", "cygnet", True), ("kangaroo", "joey", True), ("elephant", "calf", False),
    ("owl", "owlet", True), ("whale", "calf", False), ("seal", "pup", False),
    ("wolf", "pup", False), ("penguin", "chick", False), ("butterfly", "caterpillar", True),
)  # fmt: skip
LEGS = (
    ("dog", 4), ("cat", 4), ("cow", 4), ("horse", 4), ("sheep", 4), ("pig", 4), ("goat", 4),
    ("lion", 4), ("elephant", 4), ("mouse", 4), ("rabbit", 4), ("fox", 4), ("zebra", 4),
    ("giraffe", 4), ("camel", 4), ("frog", 4), ("bear", 4), ("deer", 4), ("tiger", 4), ("hen", 2),
    ("duck", 2), ("owl", 2), ("penguin", 2), ("goose", 2), ("swan", 2), ("eagle", 2),
    ("ostrich", 2), ("crow", 2), ("ant", 6), ("bee", 6), ("beetle", 6), ("butterfly", 6),
    ("fly", 6), ("ladybug", 6), ("spider", 8), ("crab", 10), ("snake", 0), ("fish", 0), ("worm", 0),
    ("whale", 0), ("dolphin", 0),
)  # fmt: skip
HOMES = (
    ("fish", "in the", "water"), ("whale", "in the", "sea"), ("shark", "in the", "sea"),
    ("dolphin", "in the", "sea"), ("octopus", "in the", "sea"), ("cow", "on a", "farm"),
    ("pig", "on a", "farm"), ("hen", "on a", "farm"), ("goat", "on a", "farm"),
    ("bear", "in the", "forest"), ("fox", "in the", "forest"), ("deer", "in the", "forest"),
    ("frog", "by a", "pond"), ("camel", "in the", "desert"), ("tiger", "in the", "jungle"),
    ("monkey", "in the", "jungle"), ("parrot", "in the", "jungle"), ("bee", "in a", "hive"),
    ("spider", "in a", "web"), ("rabbit", "in a", "burrow"), ("ant", "in an", "anthill"),
    ("worm", "in the", "soil"), ("bat", "in a", "cave"), ("horse", "in a", "stable"),
    ("squirrel", "in a", "tree"), ("bird", "in a", "nest"), ("jellyfish", "in the", "sea"),
)  # fmt: skip
FOODS = (
    ("cow", "grass"), ("sheep", "grass"), ("horse", "hay"), ("zebra", "grass"), ("panda", "bamboo"),
    ("monkey", "fruit"), ("squirrel", "nuts"), ("lion", "meat"), ("tiger", "meat"),
    ("wolf", "meat"), ("owl", "mice"), ("frog", "insects"), ("spider", "insects"),
    ("bat", "insects"), ("koala", "leaves"), ("giraffe", "leaves"), ("caterpillar", "leaves"),
    ("hen", "grain"), ("pelican", "fish"), ("penguin", "fish"), ("seal", "fish"),
    ("dolphin", "fish"), ("bee", "nectar"), ("butterfly", "nectar"), ("mole", "worms"),
    ("crocodile", "meat"), ("eagle", "meat"), ("anteater", "ants"), ("sparrow", "seeds"),
    ("silkworm", "leaves"),
)  # fmt: skip
# (what it can do, who can, who cannot)
ABILITIES = (
    (
        "fly",
        (
            "eagle", "owl", "crow", "bee", "butterfly", "bat", "duck", "swan", "sparrow", "pigeon",
            "parrot", "goose", "seagull", "ladybug", "stork",
        ),
        (
            "penguin", "ostrich", "dog", "cow", "pig", "elephant", "snake", "horse", "cat", "mouse",
            "frog", "lion", "bear", "rabbit", "sheep", "whale", "snail", "worm",
        ),
    ),
    (
        "swim",
        (
            "fish", "duck", "whale", "dolphin", "shark", "frog", "penguin", "seal", "swan",
            "beaver", "otter", "crocodile", "goose", "dog",
        ),
        ("butterfly", "ladybug", "snail"),
    ),
    (
        "lay eggs",
        ("hen", "duck", "frog", "tortoise", "swan", "owl", "ant", "crocodile", "eagle"),
        ("dog", "cow", "cat", "horse", "elephant", "whale", "bat", "lion", "rabbit", "pig"),
    ),
    (
        "climb trees",
        ("squirrel", "monkey", "cat", "koala"),
        ("cow", "horse", "elephant", "whale", "fish", "pig", "duck"),
    ),
)  # fmt: skip
# (what it has, who has it, who has not)
PARTS = (
    (
        "wings",
        ("eagle", "owl", "bee", "butterfly", "duck", "penguin", "hen", "bat", "fly", "swan"),
        ("dog", "cat", "cow", "fish", "snake", "horse", "pig", "worm", "frog", "spider"),
    ),
    (
        "fur",
        ("cat", "dog", "bear", "rabbit", "fox", "mouse", "wolf", "squirrel"),
        ("fish", "snake", "frog", "ant", "worm", "snail", "crocodile"),
    ),
    (
        "feathers",
        ("hen", "duck", "owl", "eagle", "swan", "parrot", "penguin", "crow"),
        ("dog", "cat", "fish", "snake", "cow", "bear", "frog"),
    ),
    (
        "a tail",
        ("cat", "dog", "horse", "cow", "mouse", "lion", "fox", "fish"),
        ("spider", "ant", "bee", "crab", "butterfly"),
    ),
    (
        "a beak",
        ("hen", "duck", "owl", "eagle", "parrot", "crow"),
        ("dog", "cat", "cow", "horse", "bear", "snake"),
    ),
)
# (animal, what kind of animal it is)
FAMILIES = (
    ("eagle", "bird"), ("owl", "bird"), ("duck", "bird"), ("hen", "bird"), ("swan", "bird"),
    ("parrot", "bird"), ("penguin", "bird"), ("sparrow", "bird"), ("crow", "bird"),
    ("shark", "fish"), ("trout", "fish"), ("salmon", "fish"), ("goldfish", "fish"),
    ("ant", "insect"), ("bee", "insect"), ("butterfly", "insect"), ("beetle", "insect"),
    ("whale", "mammal"), ("bat", "mammal"), ("dog", "mammal"), ("cow", "mammal"),
    ("dolphin", "mammal"), ("cat", "mammal"), ("snake", "reptile"), ("crocodile", "reptile"),
)  # fmt: skip
# (what only this animal has or does, as it follows the animal's name; the animal)
RIDDLES = (
    ("has a long trunk", "elephant"), ("has a very long neck", "giraffe"),
    ("has black and white stripes", "zebra"), ("carries its baby in a pouch", "kangaroo"),
    ("has a hump on its back", "camel"), ("spins a web", "spider"), ("makes honey", "bee"),
    ("gives us milk and says moo", "cow"), ("gives us wool", "sheep"),
    ("gives us eggs for breakfast", "hen"), ("sleeps upside down", "bat"),
    ("has eight arms and swims in the sea", "octopus"), ("builds dams in rivers", "beaver"),
    ("digs tunnels under the garden", "mole"), ("can repeat your words", "parrot"),
    ("has red wings with black dots", "ladybug"), ("chases mice and purrs", "cat"),
    ("barks and wags its tail", "dog"), ("walks sideways on the beach", "crab"),
    ("hides nuts for the winter", "squirrel"), ("rolls into a prickly ball", "hedgehog"),
    ("hoots at night", "owl"), ("has a mane and roars", "lion"),
    ("wakes the farm in the morning", "rooster"), ("eats only bamboo", "panda"),
    ("has a horn on its nose", "rhino"), ("moves very slowly and has a shell", "snail"),
)  # fmt: skip
SUPERLATIVES = (
    ("tallest animal", "in the world", "giraffe"),
    ("biggest animal", "in the world", "blue whale"),
    ("biggest animal on land", "in the world", "elephant"),
    ("fastest runner", "of all animals", "cheetah"),
    ("biggest bird", "in the world", "ostrich"),
)


def _animal_sound(rng: Random) -> Question:
    animal, sound = rng.choice(SOUNDS)
    reply = f"{capital(a(animal))} says {sound}."
    if rng.random() < 0.3:
        frames = [
            "Which animal says {s}?", "What animal says {s}?", "Who says {s}?",
            "Which animal goes {s}?", 'What animal makes the sound "{s}"?',
            "{S}! Which animal is that?", "I hear {s}. What animal is it?",
            "Tell me which animal says {s}.",
        ]  # fmt: skip
        ask = rng.choice(frames).format(s=sound, S=capital(sound))
        return Question("animal", ask, reply, animal)
    frames = [
        "What does {x} say?", "What sound does {x} make?", "What noise does {x} make?",
        "How does {x} go?", "Which sound does {x} make?", "Can you make the sound of {x}?",
        "Tell me what {x} says.", "Do you know what {x} says?", "{X} says ...", "sound of {x}",
        "What do you hear when {x} calls?", "What does {x} sound like?", "Can you talk like {x}?",
        "What is the sound of {x}?",
    ]  # fmt: skip
    ask = rng.choice(frames).format(x=a(animal), X=capital(a(animal)))
    follow: Follow | None = None
    if rng.random() < 0.2:
        other, its = rng.choice(SOUNDS)
        if other != animal:
            asked = rng.choice(("And {x}?", "What about {x}?", "And what does {x} say?"))
            follow = (asked.format(x=a(other)), f"{capital(a(other))} says {its}.", its)
    return Question("animal", ask, reply, sound, follow)


def _animal_baby(rng: Random) -> Question:
    animal, baby, alone = rng.choice(BABIES)
    reply = f"A baby {animal} is called {a(baby)}."
    if alone and rng.random() < 0.3:
        frames = [
            "What does {y} grow into?", "What does {y} become when it grows up?",
            "{Y} grows up. What is it then?", "What will {y} be one day?", "{Y} grows into ...",
            "What animal is {y} when it is big?", "Tell me what {y} turns into.",
        ]  # fmt: skip
        ask = rng.choice(frames).format(y=a(baby), Y=capital(a(baby)))
        return Question("animal", ask, f"{capital(a(baby))} grows into {a(animal)}.", animal)
    frames = [
        "What is a baby {x} called?", "What do you call a baby {x}?", "What's a baby {x} called?",
        "What is the name for a baby {x}?", "baby {x} is called", "A baby {x} is called ...",
        "What do we call the baby of {ax}?", "Tell me what a baby {x} is called.",
        "Do you know what a baby {x} is called?", "What do people call a young {x}?",
        "What is the baby of {ax} called?", "What is the word for a baby {x}?",
        "How do you say baby {x} in one word?", "Name for a baby {x}?",
    ]  # fmt: skip
    ask = rng.choice(frames).format(x=animal, ax=a(animal))
    follow: Follow | None = None
    if rng.random() < 0.2:
        other, its, _ = rng.choice(BABIES)
        if other != animal:
            asked = rng.choice(("And a baby {x}?", "What about a baby {x}?")).format(x=other)
            follow = (asked, f"A baby {other} is called {a(its)}.", its)
    return Question("animal", ask, reply, baby, follow)


def _animal_legs(rng: Random) -> Question:
    animal, n = rng.choice(LEGS)
    frames = [
        "How many legs does {x} have?", "How many legs does {x} have?", "How many legs has {x}?",
        "{X} has how many legs?", "What number of legs does {x} have?", "legs of {x}?",
        "Tell me how many legs {x} has.", "Do you know how many legs {x} has?",
        "Can you count the legs of {x}?", "I am drawing {x}. How many legs does it need?",
        "On how many legs does {x} walk?", "If I see {x}, how many legs do I see?",
    ]  # fmt: skip
    usable = frames if n else frames[:8]
    ask = rng.choice(usable).format(x=a(animal), X=capital(a(animal)))
    follow: Follow | None = None
    if rng.random() < 0.2:
        other, its = rng.choice(LEGS)
        if other != animal:
            asked = rng.choice(("And {x}?", "What about {x}?")).format(x=a(other))
            follow = (asked, f"{capital(a(other))} has {its} legs.", str(its))
    return Question("animal", ask, f"{capital(a(animal))} has {n} legs.", str(n), follow)


def _animal_home(rng: Random) -> Question:
    animal, where, home = rng.choice(HOMES)
    frames = [
        "Where does {x} live?", "Where does {x} live?", "In what place does {x} live?",
        "Where can I find {x}?", "Where is the home of {x}?", "What is the home of {x}?",
        "Tell me where {x} lives.", "Do you know where {x} lives?", "{X} lives where?",
        "Where would you look for {x}?", "{X} lives ...", "Where do you find {x}?",
        "Can you tell me where {x} lives?", "Where does {x} have its home?",
    ]  # fmt: skip
    ask = rng.choice(frames).format(x=a(animal), X=capital(a(animal)))
    follow: Follow | None = None
    if rng.random() < 0.2:
        other, there, its = rng.choice(HOMES)
        if other != animal:
            asked = rng.choice(("And {x}?", "What about {x}?", "And where does {x} live?"))
            follow = (asked.format(x=a(other)), f"{capital(a(other))} lives {there} {its}.", its)
    return Question("animal", ask, f"{capital(a(animal))} lives {where} {home}.", home, follow)


def _animal_food(rng: Random) -> Question:
    animal, food = rng.choice(FOODS)
    frames = [
        "What does {x} eat?", "What does {x} eat?", "What food does {x} eat?", "{X} eats ...",
        "What does {x} like to eat?", "Tell me what {x} eats.", "Do you know what {x} eats?",
        "What is the food of {x}?", "What do I feed {x}?", "If {x} is hungry, what does it eat?",
        "What does {x} have for dinner?", "Can you tell me what {x} eats?",
    ]  # fmt: skip
    ask = rng.choice(frames).format(x=a(animal), X=capital(a(animal)))
    follow: Follow | None = None
    if rng.random() < 0.2:
        other, its = rng.choice(FOODS)
        if other != animal:
            asked = rng.choice(("And {x}?", "What about {x}?", "And what does {x} eat?"))
            follow = (asked.format(x=a(other)), f"{capital(a(other))} eats {its}.", its)
    return Question("animal", ask, f"{capital(a(animal))} eats {food}.", food, follow)


def _animal_truth(rng: Random) -> Question:
    if rng.random() < 0.6:
        ability, able, unable = rng.choice((ABILITIES[0], *ABILITIES))
        can = rng.random() < 0.5
        animal = rng.choice(able if can else unable)
        frames = [
            "Can {x} {v}?", "Can {x} {v}?", "Is {x} able to {v}?", "Do you think {x} can {v}?",
            "Tell me, can {x} {v}?", "Is it true that {x} can {v}?", "Do you know if {x} can {v}?",
        ]  # fmt: skip
        ask = rng.choice(frames).format(x=a(animal), v=ability)
        yes, no = f"Yes, {a(animal)} can {ability}.", f"No, {a(animal)} cannot {ability}."
        follow: Follow | None = None
        if rng.random() < 0.2:
            could = rng.random() < 0.5
            other = rng.choice([x for x in (able if could else unable) if x != animal] or [animal])
            told = f"Yes, {a(other)} can" if could else f"No, {a(other)} cannot"
            asked = rng.choice(("And {x}?", "What about {x}?", "And can {x} " + ability + "?"))
            if other != animal:
                follow = (asked.format(x=a(other)), f"{told} {ability}.", "yes" if could else "no")
        return Question("animal", ask, yes if can else no, "yes" if can else "no", follow)
    part, owners, others = rng.choice(PARTS)
    has = rng.random() < 0.5
    animal = rng.choice(owners if has else others)
    frames = [
        "Does {x} have {v}?", "Does {x} have {v}?", "Has {x} got {v}?",
        "Is it true that {x} has {v}?", "Do you think {x} has {v}?", "Tell me, does {x} have {v}?",
    ]  # fmt: skip
    ask = rng.choice(frames).format(x=a(animal), v=part)
    if has:
        return Question("animal", ask, f"Yes, {a(animal)} has {part}.", "yes")
    return Question("animal", ask, f"No, {a(animal)} does not have {part}.", "no")


def _animal_riddle(rng: Random) -> Question:
    roll = rng.random()
    if roll < 0.25:
        animal, family = rng.choice(FAMILIES)
        frames = [
            "What kind of animal is {x}?", "What type of animal is {x}?", "{X} is a kind of ...",
            "Is {x} a bird, a fish, an insect, a reptile or a mammal?",
            "To which group of animals does {x} belong?", "Tell me what kind of animal {x} is.",
        ]  # fmt: skip
        ask = rng.choice(frames).format(x=a(animal), X=capital(a(animal)))
        return Question("animal", ask, f"{capital(a(animal))} is {a(family)}.", family)
    if roll < 0.4:
        what, where, animal = rng.choice(SUPERLATIVES)
        frames = [
            "What is the {x} {w}?", "Which is the {x} {w}?", "Tell me the {x} {w}.",
            "What's the {x} {w}?", "Do you know the {x} {w}?", "Name the {x} {w}.",
        ]  # fmt: skip
        ask = rng.choice(frames).format(x=what, w=where)
        return Question("animal", ask, f"The {what} {where} is the {animal}.", animal)
    clue, animal = rng.choice(RIDDLES)
    frames = [
        "Which animal {c}?", "Which animal {c}?", "What animal {c}?", "It {c}. What animal is it?",
        "I am thinking of an animal that {c}. What is it?", "Name an animal that {c}.",
        "Guess the animal: it {c}.", "Do you know which animal {c}?",
        "This animal {c}. Which one is it?", "What do you call an animal that {c}?",
    ]  # fmt: skip
    ask = rng.choice(frames).format(c=clue)
    reply = mostly(rng, f"It is {a(animal)}.", (f"{capital(a(animal))} {clue}.",), 0.6)
    return Question("animal", ask, reply, animal)


def ask_animal(rng: Random) -> Question:
    """Something about an animal."""
    (make,) = rng.choices(
        (
            _animal_sound, _animal_baby, _animal_legs, _animal_home, _animal_food, _animal_truth,
            _animal_riddle,
        ),
        (18, 16, 16, 14, 14, 14, 14),
    )  # fmt: skip
    return make(rng)
