"""Poems of four lines, about animals, things and nature."""

from __future__ import annotations

import re
from random import Random

from vatra.spark.chats.frames import Frames, Turn, words
from vatra.spark.prose import a

POEM_TABLES: dict[str, tuple[str, ...]] = {
    "thing": words(
        """cat, dog, mouse, fox, bear, frog, duck, hen, owl, snail, bee, horse, goat, sheep,
        rabbit, squirrel, robin, kitten, puppy, turtle, hedgehog, ladybird, pony, swan, deer,
        beetle, butterfly, penguin, elephant, lion, tiger, giraffe, monkey, parrot, crab, whale,
        dragon, otter, panda, koala, zebra, wolf, lamb, sparrow, spider, ant, moth, goose, mole,
        seal, dolphin, camel, kangaroo"""
    ),
    "object": words(
        """kite, boat, train, star, balloon, drum, hat, lamp, tree, cloud, flower, snowman, bike,
        clock, house, book, teapot, ball, robot, river, garden, apple, candle, rainbow, bell,
        spoon, umbrella, castle, rocket, leaf, feather, window, cake, shoe, button, pillow"""
    ),
    "small": ("little", "tiny", "happy", "funny", "clever", "gentle", "merry", "silly", "quiet"),
    "hue": ("red", "white", "green", "brown", "gold", "blue", "grey", "yellow"),
    "said": ("said", "sang", "called"),
    "nice": ("soft", "warm", "sweet", "bright", "kind", "calm", "clear"),
}
ANIMAL_POEMS: tuple[str, ...] = (
    "A {small} {thing} upon a hill\nSat down one day and sat quite still.\n"
    "It watched the clouds go sailing by\nLike {hue} boats across the sky.",
    "I met a {small} {thing} today,\nIt asked me if I wished to play.\n"
    "We ran and laughed until the sun\nWent home to bed. Oh, that was fun!",
    "The {thing} came out to see the rain\nAnd then went quickly in again.\n"
    '"I like it dry," it {said} to me,\n"So let us have a cup of tea."',
    "One {nice} night when the moon was high,\nA {thing} looked up into the sky.\n"
    "It counted stars, one, two and three,\nAnd fell asleep beneath a tree.",
    "A {thing} once wore a coat of {hue}\nAnd boots that were so very new.\n"
    "It walked along the garden wall\nAnd waved hello to one and all.",
    "If I could be a {thing} for a day,\nI would run outside to play.\n"
    "And when the evening came along,\nI would sing a {small} song.",
    "The {small} {thing} has lost its hat.\nIt asks the owl, it asks the cat.\n"
    "They look up high, they look down low,\nAnd find it lying in the snow.",
    "A {thing} and I went down the lane\nTo catch the {hue} evening train.\n"
    "We missed it, so we walked instead,\nAnd got home just in time for bed.",
    "Good night, good night, my {small} {thing},\nTomorrow you will hear me sing.\n"
    "Now close your eyes and have no fear,\nThe {nice} old moon is shining near.",
    "There is a {thing} with eyes so bright,\nIt likes to dance in {nice} moonlight.\n"
    "It takes one step, it takes one more,\nAnd then it taps upon my door.",
    "My {thing} is {small}, my {thing} is kind,\nNo better friend could I ever find.\n"
    "We share our bread, we share our game,\nAnd every day is not the same.",
)
THING_POEMS: tuple[str, ...] = (
    "I have {object:a}, it is {hue} and new,\nI show it to me and I show it to you.\n"
    "We look at it here, we look at it there,\nAnd nothing is nicer than things that we share.",
    "Once I dreamed of {object:a} of {hue},\nIt smiled at me and it smiled at you.\n"
    "When I woke up in the morning light,\nI thought of my dream till the next good night.",
    "Oh {small} {object}, so {nice} and small,\nYou are the nicest thing of all.\n"
    "You make me smile, you make me sing,\nYou are such a lovely thing.",
    "I drew {object:a} upon the door,\nAnd then I drew a hundred more.\n"
    'My mother laughed and said to me,\n"How {nice} it looks for all to see!"',
    "The {object} stands in morning light,\nIt looks so {small}, so {nice}, so bright.\n"
    "The birds all sing, the children play,\nAnd so begins another day.",
    "What do I see when I look around?\nI see {object:a} upon the ground.\n"
    "I pick it up and I hold it tight\nAnd take it home with me tonight.",
    "A {small} {object} went out to sea\nWith bread and cheese and a cup of tea.\n"
    "It sailed all day, it sailed all night,\nAnd came back home in the morning light.",
    "Who made {object:a} so {nice} and {hue}?\nWas it for me, or was it for you?\n"
    "Let us sit down in the grass and see\nHow {small} and {nice} a thing can be.",
)
NATURE_POEMS: dict[str, tuple[str, ...]] = {
    "the moon": (
        "The {nice} moon climbs up the sky\nAnd looks at houses from on high.\n"
        "It sees the {thing}, it sees the tree,\nAnd then it smiles at you and me.",
        "Moon, oh moon, so round and white,\nYou are my lamp all through the night.\n"
        "You guide the {thing} back home again\nAlong the quiet village lane.",
    ),
    "the sun": (
        "The {nice} sun wakes up at six\nAnd warms the stones, the grass, the bricks.\n"
        "It tells the {thing} to come and play,\nThen in the evening goes away.",
    ),
    "the rain": (
        "Drip, drop, drip, the rain comes down\nOn every roof in every town.\n"
        "The {small} {thing} puts on its hat\nAnd jumps in puddles, splash and splat.",
        "Rain, rain, on the window pane,\nYou came today, you will come again.\n"
        "The {thing} is wet, the garden too,\nAnd all the flowers say thank you.",
    ),
    "snow": (
        "The snow came down without a sound\nAnd put a blanket on the ground.\n"
        "A {small} {thing} went out to see\nHow white a winter day can be.",
    ),
    "the sea": (
        "The sea is wide, the sea is {hue},\nIt sings a song for me and you.\n"
        "A {small} {thing} upon the shore\nSits down and listens for some more.",
    ),
    "spring": (
        "Spring is here, the grass is green,\nThe {nice}est days that we have seen.\n"
        "A {small} {thing} comes out to play,\nAnd winter has gone far away.",
    ),
    "a friend": (
        "A friend is somebody to call\nWhen days are big and you are small.\n"
        "A friend will laugh, a friend will stay,\nA friend brings sunshine every day.",
    ),
    "the stars": (
        "The stars come out when day is done,\nI count them slowly, one by one.\n"
        "The {small} {thing} counts with me,\nBut only gets as far as three.",
    ),
    "my mother": (
        "My mother is {nice}, my mother is kind,\nThe best of mothers you could find.\n"
        "She holds my hand, she combs my hair,\nAnd when I call her, she is there.",
    ),
    "the wind": (
        "The wind goes over hill and lane\nAnd knocks upon the window pane.\n"
        "It lifts a leaf, it lifts my hat,\nIt even lifts the sleepy cat.",
    ),
    "winter": (
        "Winter has a coat of white,\nIt comes to town in the middle of night.\n"
        "A {small} {thing} stays warm in bed\nWith a woolly cap upon its head.",
    ),
    "night": (
        "The day is done, the lamp is low,\nAcross the sky the slow clouds go.\n"
        "The {small} {thing} has gone to bed\nWith {nice} dreams inside its head.",
    ),
}


def poem(rng: Random) -> Turn:
    """Four lines that rhyme, about what was named if something was."""
    fill = Frames(rng, POEM_TABLES)
    draw = rng.random()
    subject = ""
    if draw < 0.3:
        subject = rng.choice(tuple(NATURE_POEMS))
        text = fill.pick(NATURE_POEMS[subject])
    elif draw < 0.7:
        text, slot = fill.pick(ANIMAL_POEMS), "thing"
    else:
        text, slot = fill.pick(THING_POEMS), "object"
    if not subject:
        subject = a(fill.filled[slot])
    # "a tiny ant" needs no change, "a owl" does.
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
    what = rng.choice(("poem", "poem", "rhyme", "short poem", "little poem"))
    write = rng.choice(("Write", "Write me", "Tell me", "Make", "Please write", "Can you write"))
    ask = f"{write} a {what}" + ("" if rng.random() < 0.25 else f" about {subject}")
    return Turn(ask + ("?" if write.startswith("Can") else "."), text, "poem")
