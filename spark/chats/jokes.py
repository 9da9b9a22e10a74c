"""Jokes and riddles."""

from __future__ import annotations

from random import Random

from vatra.spark.chats.frames import Turn
from vatra.spark.prose import a, capital

JOKES: tuple[str, ...] = (
    "Why did the pencil go to bed early? It wanted to be sharp in the morning.",
    "Why did the moon skip dinner? It was already full.",
    "Why did the cloud go to school? It wanted to be a little brighter.",
    "Why did the clock smile? It was having a good time.",
    "Why was the kite so happy? Things were looking up.",
    "Why did the bed wear a blanket? It did not want to catch a cold.",
    "Why did the mouse sit by the computer? It thought it had found its brother.",
    "What did the wall say to the picture? Do not worry, I am right behind you.",
    "Why did the snail never miss the bus? It always left home a week before.",
    "Why was the chair so tired? Everybody sat on it all day.",
    "What did the big candle say to the little candle? I am going out tonight.",
    "Why did the book go to the doctor? It had hurt its back.",
    "Why did the potato buy a coat? It wanted to be a jacket potato.",
    "Why did the fish do so well? It was in a school all day.",
    "What did the sea say to the sand? Nothing. It just waved.",
    "Why did the egg never tell jokes? It was afraid that it would crack up.",
    "Why are the stars so good at school? They are very bright.",
    "Why did the cookie look at the night sky? It wanted to see the Milky Way.",
    "Why did the rope feel sick? It had a knot in its tummy.",
    "Why did the bell do well at school? Everything rang a bell.",
    "What do you get when a kangaroo works in a bakery? Jumping buns.",
    "What do you call a bear in the rain? A drizzly bear.",
    "Why did the hen sit on the clock? She wanted to lay her eggs on time.",
    "Why was the bread so cheerful? It was on a roll.",
    "Why was the elephant ready for the trip? Its trunk is always packed.",
    "Why did the ladder get a prize? It always went one step further.",
    "Why did the balloon leave the party early? Somebody let it go.",
    "Why did the blanket win the game? It had everything covered.",
    "Why was the map so calm? It always knew where it was.",
    "Why could the piano not get into its house? The keys were inside.",
    "Why did the duck bring a spoon to the pond? Somebody told it that there was soup in there.",
    "Why did the frog take the bus? Its legs were tired of jumping.",
    "Why did the sock feel alone? It had lost its better half.",
    "Why did the carrot laugh? The pea was telling very small jokes.",
    "Why did the snowman like the summer? He did not, he ran away.",
    "Why did the teapot blow its whistle? It wanted everybody to come to tea.",
    "Why did the orange stop rolling? It ran out of juice.",
    "Why did the shoe go to school? It wanted to learn how to tie itself.",
    "Why was the river never lost? It always followed its bed.",
    "Why did the spoon invite the fork? It did not want to stir alone.",
)
JOKE_ASKS = (
    "Tell me a joke.",
    "Tell me a joke, please.",
    "Do you know a joke?",
    "Do you know any jokes?",
    "Make me laugh.",
    "I want to hear a joke.",
    "Can you tell me a joke?",
    "A joke, please!",
    "Joke!",
    "Say something funny!",
    "Tell me something funny.",
    "Give me a joke.",
    "Do you know something funny?",
    "Could you tell me a funny joke?",
)


def joke(rng: Random) -> Turn:
    """A joke on request."""
    return Turn(rng.choice(JOKE_ASKS), rng.choice(JOKES), "joke", laughter(rng))


def laughter(rng: Random) -> tuple[tuple[str, str], ...]:
    """What one says to a joke, and the reply."""
    laughs = ("Haha!", "That is funny.", "Ha ha", "lol", "That was funny!", "Hahaha", "Good one!")
    groans = ("That is not funny.", "I don't get it.", "That is a bad joke.", "Not funny.")
    glad = ("I am glad that you like it!", "Hooray, you laughed!", "I am happy to make you smile.")
    sorry = (
        "I am sorry! Jokes are hard for a small program.",
        "Oh well. I can try another one, if you like.",
    )
    return (
        (rng.choice(laughs), rng.choice(glad)),
        (rng.choice(laughs), rng.choice(glad)),
        (rng.choice(groans), rng.choice(sorry)),
    )


RIDDLES: tuple[tuple[str, str], ...] = (
    ("I have a face and two hands, but I cannot clap. What am I?", "clock"),
    ("The more I dry, the wetter I get. What am I?", "towel"),
    ("I run all day but have no legs. What am I?", "river"),
    ("I go up and down but never move. What am I?", "staircase"),
    ("I follow you in the sun and hide in the dark. What am I?", "shadow"),
    ("I have a white house without a door, and a yellow ball inside. What am I?", "egg"),
    ("I have many leaves, but they are made of paper. What am I?", "book"),
    ("I have one eye, but I cannot see. What am I?", "needle"),
    ("I have many teeth, but I never bite. What am I?", "comb"),
    ("I open when it rains and close when it is dry. What am I?", "umbrella"),
    ("I have four legs, but I cannot walk. What am I?", "chair"),
    ("I have a neck but no head. What am I?", "bottle"),
    ("I dance in the wind at the end of a string. What am I?", "kite"),
    ("I have a tongue, but I cannot talk. What am I?", "shoe"),
    ("I have seven colours and come out after the rain. What am I?", "rainbow"),
    ("I have eyes, but I cannot see, and I grow under the ground. What am I?", "potato"),
    ("I have bark, but I never bark. What am I?", "tree"),
    ("I have five fingers but no bones. What am I?", "glove"),
    ("I carry my house on my back and walk very slowly. What am I?", "snail"),
    ("I get shorter while I give you light. What am I?", "candle"),
    ("I can open a door, but I have no hands. What am I?", "key"),
    ("I show you your face, but I have none of my own. What am I?", "mirror"),
    ("I have a pillow and a blanket, but I never sleep. What am I?", "bed"),
    ("I am white and cold, and I wear a hat and a carrot. What am I?", "snowman"),
    ("I have two wheels and take you far if you push with your feet. What am I?", "bicycle"),
    ("I ring every morning to wake you up. What am I?", "alarm clock"),
    ("I have wings and a tail, but I am made of metal. What am I?", "plane"),
    ("I have a bed, but I never lie down in it to sleep. I am full of fish. What am I?", "river"),
)
RIDDLE_ASKS = (
    "Ask me a riddle.",
    "Tell me a riddle.",
    "Do you know a riddle?",
    "Give me a riddle, please.",
    "A riddle, please.",
    "I want a riddle.",
    "Can you ask me a riddle?",
    "Do you know any riddles?",
    "I like riddles. Tell me one.",
    "Let's play riddles.",
)


def riddle(rng: Random) -> Turn:
    """A riddle on request, and the ways it may go on."""
    text, answer = rng.choice(RIDDLES)
    it = a(answer)
    lead = rng.choice(("", "", "Here is one: ", "Listen: ", "Guess this one: "))
    right = rng.choice((it, f"{it}?", f"Is it {it}?", f"It is {it}.", f"A {answer}!"))
    if right.startswith("A ") and not it.startswith("a "):
        right = f"{capital(it)}!"
    wrong = rng.choice([other for _, other in RIDDLES if other != answer])
    guess = rng.choice(
        (f"{capital(a(wrong))}?", f"Is it {a(wrong)}?", f"I think it is {a(wrong)}.")
    )
    give_up = rng.choice(
        (
            "I don't know.",
            "I give up.",
            "What is it?",
            "Tell me the answer.",
            "No idea.",
            "What is the answer?",
            "I do not know. What is it?",
        )
    )
    yes = rng.choice(("Yes, {it}! Well done.", "Right! It is {it}.", "Yes! You are clever."))
    no = rng.choice(("Good try, but it is {it}.", "No, it is {it}.", "Almost! It is {it}."))
    tell = rng.choice(("It is {it}.", "The answer is: {it}.", "It is {it}! Did you guess it?"))
    return Turn(
        rng.choice(RIDDLE_ASKS),
        lead + text,
        "riddle",
        (
            (capital(right), yes.format(it=it)),
            (guess, no.format(it=it)),
            (give_up, tell.format(it=it)),
        ),
    )
