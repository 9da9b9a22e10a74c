"""Everyday things: tools, materials, jobs, places, parts and the body."""

from __future__ import annotations

from random import Random

from vatra.spark.facts.phrasing import Follow, Question, bare_noun, counted
from vatra.spark.facts.world import ask_single, ask_truth
from vatra.spark.prose import capital

# (the thing, what it is used for after "to", the word that must be said,
#  the task in full where the thing is the one plain answer to it)
TOOLS = (
    ("an umbrella", "stay dry", "dry", "stay dry in the rain"),
    ("a knife", "cut things", "cut", ""),
    ("a spoon", "eat", "eat", "eat soup"),
    ("a pencil", "write and draw", "write", ""),
    ("a broom", "sweep the floor", "sweep", "sweep the floor"),
    ("a key", "unlock a door", "unlock", "unlock a door"),
    ("a toothbrush", "clean your teeth", "teeth", "brush your teeth"),
    ("soap", "wash", "wash", ""),
    ("a towel", "dry yourself", "dry", "dry yourself after a bath"),
    ("a bed", "sleep", "sleep", ""),
    ("a chair", "sit down", "sit", ""),
    ("a clock", "tell the time", "time", "tell the time"),
    ("an oven", "bake a cake", "bake", "bake a cake"),
    ("a fridge", "keep food cold", "cold", "keep food cold"),
    ("scissors", "cut things", "cut", "cut paper"),
    ("a telephone", "talk to people far away", "talk", "talk to somebody far away"),
    ("a comb", "tidy your hair", "hair", "comb your hair"),
    ("a hammer", "hit nails", "nails", "hit a nail"),
    ("a needle", "sew", "sew", "sew on a button"),
    ("a ladder", "climb up high", "climb", "climb onto a roof"),
    ("a map", "find the way", "way", "find the way in a new city"),
    ("a coat", "keep warm", "warm", "keep warm outside in winter"),
    ("gloves", "keep warm", "warm", "keep your hands warm"),
    ("a book", "read", "read", ""),
    ("a cup", "drink", "drink", ""),
    ("a spade", "dig holes", "dig", "dig a hole"),
    ("a saw", "cut boards", "cut", "cut wood"),
    ("glue", "stick things together", "stick", "stick paper together"),
    ("a ruler", "measure things", "measure", "measure a line"),
    ("a thermometer", "check the temperature", "temperature", "find out how warm it is"),
    ("a camera", "take pictures", "pictures", "take a picture"),
    ("a telescope", "look at the stars", "stars", "see far stars"),
    ("a mirror", "look at your own face", "face", "look at your own face"),
    ("a kettle", "make tea", "tea", "boil water for tea"),
    ("a blanket", "keep warm", "warm", ""),
    ("a backpack", "carry things", "carry", "carry books to school"),
    ("money", "buy things", "buy", "buy something in a shop"),
    ("a lamp", "make light", "light", "light up a dark room"),
    ("a washing machine", "clean clothes", "clothes", "wash dirty clothes"),
    ("a bucket", "carry things", "carry", "carry water"),
    ("glasses", "see better", "see", "see better when your eyes are weak"),
    ("a helmet", "protect your head", "head", "protect your head on a bicycle"),
    ("a paintbrush", "paint", "paint", "paint a picture"),
    ("a watering can", "water flowers", "water", "water the flowers"),
    ("a tent", "sleep outside", "sleep", "sleep outside on a camping trip"),
)
# (what is made, of what)
MATERIALS = (
    ("ice", "water"), ("bread", "flour"), ("cheese", "milk"), ("butter", "milk"), ("paper", "wood"),
    ("a window", "glass"), ("a tire", "rubber"), ("jam", "fruit"), ("a snowman", "snow"),
    ("a sandcastle", "sand"), ("an omelet", "eggs"), ("a candle", "wax"), ("popcorn", "corn"),
    ("ketchup", "tomatoes"), ("raisins", "grapes"), ("apple juice", "apples"),
    ("french fries", "potatoes"), ("a brick", "clay"), ("a log", "wood"), ("a coin", "metal"),
    ("yogurt", "milk"), ("rain", "water"), ("a snowball", "snow"), ("a book page", "paper"),
    ("steam", "water"), ("a nail", "metal"), ("lemonade", "lemons"), ("pasta", "flour"),
)  # fmt: skip
# (who, what they do, the word for what they do that must be said)
JOBS = (
    ("a baker", "bakes bread", "bread"), ("a teacher", "teaches children", "teaches"),
    ("a firefighter", "puts out fires", "fires"), ("a doctor", "helps sick people", "sick"),
    ("a vet", "takes care of animals", "animals"), ("a pilot", "flies a plane", "plane"),
    ("a farmer", "works on a farm", "farm"), ("a dentist", "takes care of teeth", "teeth"),
    ("a hairdresser", "cuts hair", "hair"), ("a singer", "sings songs", "songs"),
    ("a builder", "builds houses", "houses"), ("a plumber", "fixes pipes", "pipes"),
    ("a gardener", "takes care of a garden", "garden"), ("a tailor", "sews clothes", "clothes"),
    ("an astronaut", "flies into space", "space"), ("a writer", "writes books", "books"),
    ("a sailor", "sails a ship", "ship"), ("a dancer", "dances on a stage", "dances"),
    ("a mechanic", "repairs cars", "cars"), ("a chef", "cooks in a restaurant", "cooks"),
    ("a mail carrier", "brings the letters", "letters"), ("a fisherman", "catches fish", "fish"),
    ("a shepherd", "looks after sheep", "sheep"), ("a painter", "paints pictures", "pictures"),
    ("a bus driver", "drives a bus", "bus"), ("a carpenter", "makes chairs of wood", "wood"),
)  # fmt: skip
# (what happens there, "at the" or "in a", the place)
PLACES = (
    ("borrow books", "at the", "library"), ("learn with a teacher", "at", "school"),
    ("see lions and elephants in a city", "at the", "zoo"), ("get on a train", "at the", "station"),
    ("get on a plane", "at the", "airport"), ("buy bread", "at the", "bakery"),
    ("cook a meal at home", "in the", "kitchen"), ("take a shower", "in the", "bathroom"),
    ("find many doctors and nurses", "at the", "hospital"), ("grow flowers", "in the", "garden"),
    ("build sandcastles", "at the", "beach"), ("keep money safe", "at the", "bank"),
    ("play on swings and slides", "at the", "playground"),
    ("park a car at home", "in the", "garage"),
    ("watch a film on a big screen", "at the", "cinema"),
    ("buy stamps for a letter", "at the", "post office"),
    ("look at old things from long ago", "in a", "museum"), ("pick apples", "in an", "orchard"),
)  # fmt: skip
# (thing, part, how many)
COUNTED = (
    ("a bicycle", "wheels", 2), ("a car", "wheels", 4), ("a tricycle", "wheels", 3),
    ("a triangle", "sides", 3), ("a square", "sides", 4), ("a triangle", "corners", 3),
    ("a square", "corners", 4), ("a rectangle", "sides", 4), ("a pentagon", "sides", 5),
    ("a hexagon", "sides", 6), ("a cube", "faces", 6), ("a unicycle", "wheels", 1),
    ("a hand", "fingers", 5), ("a foot", "toes", 5), ("a person", "eyes", 2),
    ("a person", "ears", 2), ("a person", "legs", 2), ("a person", "arms", 2),
    ("a person", "noses", 1), ("a person", "thumbs", 2), ("a person", "toes", 10),
    ("a year", "seasons", 4), ("the earth", "moons", 1), ("a butterfly", "wings", 4),
    ("a bird", "wings", 2), ("an octopus", "arms", 8), ("a rainbow", "colors", 7),
)  # fmt: skip
# (what you do, the part of the body you do it with)
BODY = (
    ("see", "eyes"), ("hear", "ears"), ("smell", "nose"), ("taste", "tongue"), ("chew", "teeth"),
    ("think", "brain"), ("kick a ball", "foot"), ("clap", "hands"), ("whistle", "lips"),
    ("wave goodbye", "hand"),
)  # fmt: skip

_TOOL_ASKS = (
    "What do you use {x} for?", "What do you use {x} for?", "What do people use {x} for?",
    "What can you do with {x}?", "What {is_} {x} for?", "Why do we need {x}?",
    "What is the use of {x}?", "Can you tell me what {x} {is_} for?", "What do I need {x} for?",
    "Do you know what {x} {is_} for?", "Why do people have {x}?", "What is the purpose of {x}?",
    "You use {x} to ...", "Tell me what {x} {is_} used for.", "What {is_} {x} used for?",
    "What can I use {x} for?",
)  # fmt: skip
_TASK_ASKS = (
    "What do you need to {t}?", "What do you use to {t}?", "What do I need if I want to {t}?",
    "With what do you {t}?", "I want to {t}. What do I need?", "What can I use to {t}?",
    "What do people use to {t}?", "Name something you need to {t}.", "To {t}, you need ...",
    "What helps you to {t}?", "How can I {t}? What do I need?",
)  # fmt: skip
_MATERIAL_ASKS = (
    "What {is_} {x} made of?", "What {is_} {x} made of?", "What {is_} {x} made from?",
    "What do you make {x} from?", "From what do people make {x}?", "{X} {is_} made of ...",
    "Can you tell me what {x} {is_} made of?", "Tell me what {x} {is_} made from.",
    "What do we need to make {x}?", "Do you know what {x} {is_} made of?",
)  # fmt: skip
_JOB_ASKS = (
    "What does {x} do?", "What does {x} do?", "What is the job of {x}?", "What is {x}?",
    "Can you tell me what {x} does?", "Tell me what {x} does.", "What work does {x} do?",
    "Do you know what {x} does?", "What does {x} do all day?", "Why do we need {x}?",
)  # fmt: skip
_WORKER_ASKS = (
    "Who {t}?", "Who {t}?", "What do you call somebody who {t}?",
    "Somebody {t}. What is the name of this job?", "What is the name of a person who {t}?",
    "Tell me who {t}.", "Do you know who {t}?", "What do you call a person that {t}?",
)  # fmt: skip
_PLACE_ASKS = (
    "Where do people {t}?", "Where do people {t}?", "Where can you {t}?", "Where do you {t}?",
    "In what place do people {t}?", "Tell me where people {t}.", "Where should I {t}?",
)  # fmt: skip
_COUNT_ASKS = (
    "How many {p} does {x} have?", "How many {p} does {x} have?", "How many {p} has {x}?",
    "{X} has how many {p}?", "Tell me how many {p} {x} has.", "Do you know how many {p} {x} has?",
    "What number of {p} does {x} have?", "Can you tell me how many {p} {x} has?",
)  # fmt: skip
_BODY_ASKS = (
    "What do you {t} with?", "What do people {t} with?", "With what do you {t}?",
    "Which part of the body do you use to {t}?", "What part of your body do you {t} with?",
    "What do we use to {t}?", "Tell me what you {t} with.", "What do you need to {t}?",
)  # fmt: skip


def _is_many(thing: str) -> bool:
    return thing.endswith("s") and not thing.startswith(("a ", "an ", "the "))


def ask_everyday(rng: Random) -> Question:
    """Something about everyday things, or about the world."""
    (make,) = rng.choices(
        (_tool, _material, _job, _place, _count_of, _body, ask_single, ask_truth),
        (22, 9, 12, 7, 10, 5, 24, 11),
    )
    return make(rng)


def _tool(rng: Random) -> Question:
    thing, purpose, answer, task = rng.choice(TOOLS)
    if task and rng.random() < 0.4:
        ask = rng.choice(_TASK_ASKS).format(t=task)
        return Question("everyday", ask, f"You need {thing} to {task}.", bare_noun(thing))
    verb = "are" if _is_many(thing) else "is"
    ask = rng.choice(_TOOL_ASKS).format(x=thing, is_=verb)
    return Question("everyday", ask, f"You use {thing} to {purpose}.", answer)


def _material(rng: Random) -> Question:
    thing, stuff = rng.choice(MATERIALS)
    verb = "are" if _is_many(thing) else "is"
    ask = rng.choice(_MATERIAL_ASKS).format(x=thing, X=capital(thing), is_=verb)
    follow: Follow | None = None
    if rng.random() < 0.2:
        other, its = rng.choice(MATERIALS)
        if other != thing:
            told = f"{capital(other)} {'are' if _is_many(other) else 'is'} made of {its}."
            follow = (rng.choice(("And {x}?", "What about {x}?")).format(x=other), told, its)
    return Question("everyday", ask, f"{capital(thing)} {verb} made of {stuff}.", stuff, follow)


def _job(rng: Random) -> Question:
    who, task, answer = rng.choice(JOBS)
    reply = f"{capital(who)} {task}."
    if rng.random() < 0.45:
        return Question(
            "everyday",
            rng.choice(_WORKER_ASKS).format(t=task),
            reply,
            bare_noun(who),
        )
    return Question("everyday", rng.choice(_JOB_ASKS).format(x=who), reply, answer)


def _place(rng: Random) -> Question:
    task, where, place = rng.choice(PLACES)
    ask = rng.choice(_PLACE_ASKS).format(t=task)
    return Question("everyday", ask, f"People {task} {where} {place}.", place)


def _count_of(rng: Random) -> Question:
    thing, parts, n = rng.choice(COUNTED)
    ask = rng.choice(_COUNT_ASKS).format(x=thing, X=capital(thing), p=parts)
    reply = f"{capital(thing)} has {counted(n, parts.removesuffix('s'), parts)}."
    return Question("everyday", ask, reply, str(n))


def _body(rng: Random) -> Question:
    deed, part = rng.choice(BODY)
    return Question(
        "everyday", rng.choice(_BODY_ASKS).format(t=deed), f"You {deed} with your {part}.", part
    )
