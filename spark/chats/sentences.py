"""Play with words: sentences with a given word, repeating, meanings."""

from __future__ import annotations

import re
from random import Random

from vatra.spark.chats.frames import Frames, Turn, words
from vatra.spark.chats.poems import POEM_TABLES
from vatra.spark.prose import a, capital

SENTENCES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "animal": (
        POEM_TABLES["thing"],
        (
            "The {word} sleeps under a tree.",
            "A {word} came to our garden this morning.",
            "I saw a {word} near the river today.",
            "The small {word} is looking for its friends.",
            "My sister drew a {word} with a red pencil.",
            "The {word} drinks water from the pond.",
        ),
    ),
    "object": (
        words(
            """kite, boat, train, balloon, drum, hat, lamp, flower, bike, clock, book, teapot,
            ball, candle, bell, spoon, umbrella, cake, cup, chair, table, box, basket, blanket,
            key, pencil, coat, plate, ladder, mirror, bottle, bag, shoe, brush, stone, ring, map,
            bucket, doll, letter, scarf, ribbon, wheel, jar, rope"""
        ),
        (
            "The {word} is on the floor.",
            "Mia has a new {word}.",
            "Please give me the {word}.",
            "I found an old {word} behind the house.",
            "My father keeps a {word} in the kitchen.",
            "Where did you put the {word}?",
        ),
    ),
    "place": (
        words(
            """garden, forest, park, school, market, house, kitchen, library, farm, village,
            river, lake, hill, town, bridge, beach, castle, street, barn, meadow, cave, bakery,
            zoo"""
        ),
        (
            "We walk to the {word} every Sunday.",
            "There is a little {word} near my home.",
            "The children play near the {word}.",
            "I like the old {word} best in spring.",
        ),
    ),
    "quality": (
        words(
            """happy, small, big, old, new, red, blue, green, warm, cold, quiet, brave, kind,
            funny, soft, strong, tired, clever, clean, sad, wet, hungry, proud, gentle, bright,
            beautiful, young, friendly, lucky, yellow"""
        ),
        (
            "The dog looks very {word} today.",
            "I saw a {word} bird in the tree.",
            "My friend has a {word} cat.",
            "The {word} horse stands by the gate.",
        ),
    ),
    "action": (
        words(
            """run, jump, sing, dance, read, swim, play, sleep, laugh, walk, draw, cook, climb,
            write, paint, wait, listen, smile, work, rest, talk, hide, dream, fly"""
        ),
        (
            "I like to {word} with my friends.",
            "The children {word} all day long.",
            "We can {word} together after lunch.",
            "Do you want to {word} with me?",
        ),
    ),
}


def sentence(rng: Random) -> Turn:
    """A sentence with a given word."""
    choices, frames = SENTENCES[rng.choice(tuple(SENTENCES))]
    word = rng.choice(choices)
    reply = rng.choice(frames).format(word=word)
    reply = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", reply)
    quoted = rng.choice((word, f'"{word}"', f"'{word}'"))
    ask = rng.choice(
        (
            "Write a sentence with the word {word}.",
            "Make a sentence with the word {word}.",
            "Use the word {word} in a sentence.",
            "Can you write a sentence with {word}?",
            "Give me a sentence with the word {word}.",
            "Please make a sentence with {word}.",
            "Use {word} in a sentence.",
            "Write one sentence about {word}."
            if choices is POEM_TABLES["thing"]
            else "Write a short sentence with the word {word}.",
        )
    )
    return Turn(
        ask.format(word=quoted).replace("about " + quoted, f"about {a(word)}"), reply, "play"
    )


ECHO_TABLES: dict[str, tuple[str, ...]] = {
    "who": words(
        """the cat, the dog, my friend, the small bird, a green frog, the old king, our teacher,
        the red fox, my brother, the baker, a little girl, the farmer, the moon, the train, the
        yellow duck, a brown bear, the queen, my aunt, the sailor, the sleepy owl"""
    ),
    "does": words(
        """sits on the mat, runs up the hill, sings a song, likes warm milk, jumps over the stone,
        sleeps all day, drinks cold water, comes home late, waits at the door, eats a big cake,
        looks at the stars, reads a book, lost a shoe, paints the fence, opens the window, climbs
        the tree, plays the drum, rides a bike"""
    ),
    "cry": words(
        """hello world, good morning, peas and carrots, la la la, one two three, banana, I am
        happy, blue sky, hip hip hooray, thank you very much, apple pie, ding dong, red lorry,
        open the door, hooray, peanut butter, tick tock, yes yes yes, up and down, good night
        moon, never give up, beep boop, jelly, hot soup, three little ducks, long live the king,
        snow and ice, ring the bell, tea time, purple elephant"""
    ),
    "word": words(
        """apple, river, moon, lemon, tiger, paper, window, sugar, winter, pencil, garden, silver,
        button, yellow, rocket, pepper, feather, candle, mountain, rabbit, kettle, ocean, violin,
        marble, cotton, dragon, planet, whistle, velvet, cactus, pocket, magnet, basket, thunder,
        blanket, spider, honey, circle, hammer, ladder"""
    ),
    "phrase": (
        "{who} {does}",
        "{who} {does}",
        "{cry}",
        "{cry}",
        "{word}",
        "{word} {word2}",
        "{word} {word2} {word3}",
        "{word} and {word2}",
    ),
}


def echo(rng: Random) -> Turn:
    """One asks to have a phrase said again, and Spark copies it."""
    fill = Frames(rng, ECHO_TABLES)
    phrase = fill("{phrase}")
    if rng.random() < 0.6:
        phrase = capital(phrase)
    if rng.random() < 0.4:
        phrase += rng.choice((".", "!", "."))
    frame = rng.choice(
        (
            "Repeat after me: {}",
            "Say: {}",
            "Please repeat: {}",
            "Repeat this: {}",
            "Say after me: {}",
            'Say "{}"',
            'Repeat "{}"',
            "Write this: {}",
            "Can you say: {}",
            'Please say "{}"',
            "Copy this: {}",
            "Repeat the words: {}",
        )
    )
    if rng.random() < 0.4:
        frame = frame[0].lower() + frame[1:]
    return Turn(frame.format(phrase), phrase, "echo")


MEANINGS: dict[str, str] = {
    "brave": "Brave means that you do something even when you are a little scared.",
    "tiny": "Tiny means very small.",
    "huge": "Huge means very big.",
    "happy": "Happy means that you feel good and want to smile.",
    "sad": "Sad means that you feel bad and may want to cry.",
    "kind": "Kind means that you are good and helpful to others.",
    "quiet": "Quiet means that there is very little noise.",
    "loud": "Loud means that there is a lot of noise.",
    "honest": "Honest means that you tell the truth.",
    "angry": "Angry means that you are very cross about something.",
    "lazy": "Lazy means that you do not want to work or move.",
    "clever": "Clever means that you learn and understand quickly.",
    "gentle": "Gentle means soft and careful.",
    "curious": "Curious means that you want to know more.",
    "proud": "Proud means that you are glad about something you did well.",
    "lonely": "Lonely means that you are sad because you are alone.",
    "hungry": "Hungry means that you want to eat.",
    "thirsty": "Thirsty means that you want to drink.",
    "tired": "Tired means that you need a rest.",
    "rich": "Rich means that you have a lot of money.",
    "poor": "Poor means that you have very little money.",
    "ancient": "Ancient means very, very old.",
    "polite": "Polite means that you have good manners, like saying please and thank you.",
    "patient": "Patient means that you can wait calmly.",
    "friend": "A friend is somebody whom you like and who likes you.",
    "to share": "To share means to let somebody else have a part of what you have.",
    "to whisper": "To whisper means to speak very quietly.",
    "to shout": "To shout means to speak very loudly.",
    "to borrow": "To borrow means to take something for a while and then give it back.",
    "to hide": "To hide means to go where nobody can see you.",
    "to repair": "To repair means to make a broken thing work again.",
    "to promise": "To promise means to say that you will surely do something.",
}


def meaning(rng: Random) -> Turn:
    """What one of the few words means that Spark can explain."""
    word = rng.choice(tuple(MEANINGS))
    ask = rng.choice(
        (
            "What does {} mean?",
            "What does the word {} mean?",
            "What is the meaning of {}?",
            "Can you explain the word {}?",
            'What does "{}" mean?',
        )
    ).format(word)
    return Turn(ask, MEANINGS[word], "play")
