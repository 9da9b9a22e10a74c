"""What everyday stories are made of: children's names, pets, houses, weather, toys, phrases."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# No name ends in "s", and none is also an everyday word at the start of a sentence.
GIRLS = _words(
    "Mia Anna Zoe Ella Nora Ada Lucy Emma Sara Maya Leila Amina Yuki Hana Mei Priya Anika Tara "
    "Rosa Lola Carmen Freya Elif Noor Zara Fatima Nia Abena Amara Ruby Clara Sofia Olga Vera Mila "
    "Dana Naomi Ruth Kira Lina Bella Alma Ingrid Asha Lily Greta Ivy Salma Aiko"
)
BOYS = _words(
    "Tom Ben Max Leo Sam Finn Jack Oscar Theo Noah Omar Ali Samir Karim Yusuf Kofi Kwame Tariq "
    "Ravi Arjun Dev Kenji Hiro Jun Wei Minh Bao Diego Mateo Pablo Marco Luca Nico Hugo Emil Sven "
    "Erik Ivan Milan Adam Eli Jonah Kai Otto Felix Tim Daniel Anton Jamal Pedro"
)
GRANDMAS = ("Rose", "Ida", "May", "Elsa", "Pearl", "Nina", "Flora", "Edna", "Lulu", "Opal")
GRANDPAS = ("Joe", "Albert", "Frank", "Henry", "Walter", "George", "Hassan", "Paul", "Victor")
PET_NAMES = _words(
    "Biscuit Pepper Coco Patch Waffle Smoky Pip Nutmeg Ginger Pickle Bubble Peanut Noodle Pumpkin "
    "Muffin Domino Cocoa Sparky Dumpling Olive"
)

TRAITS = _words(
    "kind cheerful curious clever quiet gentle busy thoughtful friendly lively merry little young "
    "happy sweet playful bright"
)
HOUSES = (
    "a [small|little|tidy|cozy] house by the [river|sea|lake|woods|park|mill]",
    "a [tall|narrow|yellow|blue|white|brick] house [near the park|on a hill|at the end of the "
    "lane]",
    "a [quiet|sunny|friendly|sleepy] [village|town] [by the sea|in the hills|near a forest]",
    "a [little|sunny|cozy] flat above [a bakery|a bookshop|a flower shop|the post office]",
    "a [farmhouse|cottage] [with a red roof|with a green door|beside a meadow|among apple trees]",
    "a [busy|big|noisy] city [with wide streets|full of bright lights|by a wide river]",
)
WEATHER = {
    "sunny": (
        "the sun [shone|was shining] [brightly|warmly] [in|high in] the [clear |blue |]sky.",
        "the sky was [blue|clear] and the air was [warm|sweet|soft].",
        "birds were singing [in the trees|on the rooftops|everywhere].",
        "[golden|warm|bright] light lay on [the rooftops|the trees|everything].",
    ),
    "windy": (
        "the wind [danced|whistled|rushed] [through the trees|over the rooftops|through the "
        "grass].",
        "the leaves [spun|danced|flew] [in the air|along the path|through the air].",
        "the [clouds|white clouds] raced across the sky.",
    ),
    "rainy": (
        "rain [tapped|drummed|pattered] on the [window|roof|windowpanes].",
        "the sky was gray and the [street|garden|path] was full of puddles.",
        "[fat|cold|silver] raindrops ran down the window.",
    ),
    "snowy": (
        "the [roofs|trees|fences] were [white|soft and white|covered with snow].",
        "[big|soft|tiny] snowflakes [floated|drifted|danced] down from the sky.",
        "the whole [street|world|garden] was [quiet|white|bright] and still.",
    ),
    "cold": (
        "the air was [cold|crisp|frosty] and every breath made a little cloud.",
        "there was frost on the [window|grass|roof].",
        "a cold wind [blew|whistled] down the street.",
    ),
}

COLOURS = _words("red blue green yellow purple orange pink white")
TOYS = (
    "[brown|small|soft|fuzzy|blue] teddy bear",
    "[rag|cloth|little] doll",
    "toy [rabbit|elephant|dinosaur|lion|monkey|penguin|whale]",
    "[wooden|red|blue|little] train",
    "[red|green|yellow] toy [car|truck|tractor|boat]",
    "[knitted|stuffed] [owl|fox|bear|giraffe|mouse|turtle]",
    "[shiny|silver|little] robot",
)

# Each use picks anew; a name in capitals stands for whole sentences, none told twice in a story.
WORDS: dict[str, tuple[str, ...]] = {
    "happy": ("happy", "glad", "very happy", "so happy", "full of joy", "delighted"),
    "sad": ("sad", "very sad", "upset", "unhappy", "gloomy"),
    "softly": ("softly", "gently", "kindly", "quietly", "in a soft voice", "in a warm voice"),
    "moment": ("for a moment", "for a while", "for a little while", "hard", "long and hard"),
    "snack": (
        "[warm|cold] milk and [honey|oat|ginger] cookies",
        "[apple|cherry|plum|pear] pie",
        "[hot|sweet] cocoa",
        "[warm|fresh] bread with [honey|jam|butter]",
        "[vegetable|tomato|noodle|pumpkin] soup",
        "[little|sweet|fluffy] pancakes",
        "[banana|lemon|carrot] cake",
        "sliced [apples|peaches|pears|oranges]",
    ),
    "SAD": (
        "{N} felt {sad}.",
        "tears came to {N}'s eyes.",
        "{N}'s heart [felt heavy|sank].",
        "{N} wanted to cry.",
        "{N}'s lip began to tremble.",
        "a [big|small|warm] tear rolled down {N}'s cheek.",
        "{N} sat down and [sighed|hung {his} head].",
        "{N} did not know what to do.",
    ),
    "JOY": (
        "{N} was {happy}.",
        "{N} felt warm all over.",
        "{N} jumped up and down with joy.",
        "{N}'s eyes [shone|sparkled] like stars.",
        "{N} [laughed|cheered] out loud.",
        "{N} could not stop smiling.",
        "{N} clapped {his} hands.",
        "{N}'s heart felt as light as a feather.",
        "a big smile spread across {N}'s face.",
    ),
    "TRY": (
        "{N} did not give up.",
        "but {N} was not ready to stop.",
        "{N} took a deep breath and tried again.",
        "{N} [shook {his} head|rolled up {his} sleeves] and tried once more.",
        "still, {N} did not want to stop.",
    ),
    "EVENING": (
        "that [evening|night], {N} told [everyone at home|the whole family] about it.",
        "that night, {N} fell asleep with a smile.",
        "in the evening, they all had {snack}.",
        "when the stars came out, {N} was still smiling.",
        "at bedtime, {N} thought about the day and smiled.",
        "that evening, the house was full of [laughter|warm light|happy voices].",
    ),
}
