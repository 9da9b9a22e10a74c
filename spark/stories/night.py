"""Fables of the night: stars, fireflies, owls and those who cannot sleep."""

from __future__ import annotations

from random import Random

from vatra.spark.prose import Story, a, capital
from vatra.spark.stories.fable import Pick, close, fable, opening, some_of, titled
from vatra.spark.stories.heroes import Hero, creature, habits, likes, passer, somebody, third
from vatra.spark.stories.places import Place, far_view, farm, garden, woods

_LIGHTS = (
    ("star", ("small", "tiny", "silver", "bright"), "high in the night sky"),
    ("moon", ("round", "pale", "quiet", "silver"), "high above the hills"),
    ("cloud", ("small", "white", "fluffy", "grey"), "high in the blue sky"),
    ("lighthouse", ("old", "tall", "white", "red"), "on a rock in the sea"),
)


def lonely_light(rng: Random) -> Story:
    """A star, the moon, a cloud or a lighthouse is lonely until it sees what it is for."""
    pick = Pick(rng)
    kind, looks, at = pick(*_LIGHTS)
    named = 0.0 if kind == "moon" else 0.7
    hero = somebody(rng, kind, looks, "it", named)
    if kind == "moon":
        hero = Hero("the moon", "moon", "it", "it", "its", f"the {pick(*looks)} moon")
    place = Place(at, "the sky" if kind != "lighthouse" else "the rock")
    alone = pick(
        f"{hero.Name} could see the whole world, but nobody ever came to visit.",
        f"It was beautiful up there, but {hero.name} felt lonely.",
        f"Below, people and animals laughed and played. {hero.Name} had nobody to play with.",
        f'"Everybody has a friend but me," sighed {hero.name}.',
        f"Nobody said good morning to {hero.name}, and nobody said good night.",
    )
    bird = third(rng, ("wild goose", "gull", "swallow", "owl", "crane"), ())
    first = pick(
        f'"Will you stay and talk with me?" it asked {passer(rng, bird)}. But the {bird} had a '
        "long way "
        "to go, and flew on.",
        f"{hero.Name} called out to {passer(rng, bird)} that was passing by, but the {bird} did "
        "not hear.",
        'It asked the wind to play. "I never stay anywhere," said the wind, and was gone.',
        '"Hello!" it called to an aeroplane, but the aeroplane only hummed and went on.'
        if rng.random() < 0.5
        else '"Hello!" it called down to the trees, but the trees were fast asleep.',
    )
    if kind == "cloud":
        flower = pick("sunflower", "rose", "bean plant", "little tree", "daisy")
        need = pick(
            f"Then it saw a {flower} in a dry field, with its head hanging low.",
            f"One hot day it heard a thin voice. A {flower} was standing in the dust.",
            f"It floated over a dry garden, where a {flower} was drooping in the heat.",
        )
        talk = pick(
            f'"I am so thirsty," whispered the {flower}. "It has not rained for weeks."',
            f'"Please, do you have a little water?" asked the {flower}.',
        )
        act = (
            pick(
                "The cloud took a deep breath and let its rain fall, soft and cool.",
                "The cloud grew darker and darker. Drip, drop, it began to rain.",
                "Drop by drop, the cloud gave all the water it had.",
            )
            .replace("The cloud", hero.Name)
            .replace("the cloud", hero.name)
        )
        thanks = pick(
            f'The {flower} lifted its head. "Thank you! Will you come again?" it asked.',
            f'"You have saved me," said the {flower}. "You are the best friend I ever had."',
        )
        warm = (
            f"Every week {hero.name} came back, and the {flower} told it all the news.",
            f"From then on, the {flower} waved its leaves whenever {hero.name} came by.",
        )
        about = "a cloud"
    else:
        who = pick("boy", "girl")
        small = {"lighthouse": "fishing boat"}.get(kind, pick(who, "lost lamb", "little boat"))
        if small in ("boy", "girl"):
            need = pick(
                f"Then, far below, it saw a {small} at a window who could not sleep.",
                f"One night a {small} opened a window and looked up at the sky.",
            )
            talk = pick(
                f'"The dark is so big," said the {small}.',
                f'"I wish somebody would keep me company," whispered the {small}.',
            )
            act = pick(
                f"{hero.Name} shone as brightly as it could, right through the window.",
                f"So {hero.name} sent down a soft beam of light, and it lay on the pillow.",
            )
            thanks = pick(
                f'"There you are!" said the {small}. "Now I am not alone. Good night!"',
                f'The {small} smiled and waved. "You are my night light," said the {small}.',
            )
            warm = (
                f"Every night after that, the {small} and {hero.name} said good night to each "
                "other.",
                f"Now {hero.name} had a friend to shine for.",
            )
        else:
            home = "its mother" if small == "lost lamb" else "the harbour"
            need = pick(
                f"Then one dark night it saw a {small} that could not find the way.",
                f"One night it heard a small sound. Far below there was a {small} in the dark.",
            )
            sound = "Baa" if small == "lost lamb" else "Toot"
            talk = pick(
                f'"{sound}, {sound.lower()}!" it called. "Where is {home}?"',
                f'"{sound}! Is anybody there?" it called.',
            )
            act = pick(
                f"{hero.Name} shone with all its might, and a silver path lay before the {small}.",
                f'"Follow my light!" called {hero.name}, and it shone brighter than ever before.',
            )
            thanks = pick(
                f"The {small} followed the light, and soon it was safe with {home}.".replace(
                    "with the harbour", "in the harbour"
                ),
                f'"Thank you!" cried the {small} when it came to {home} at last.',
            )
            warm = (
                f"After that night, everybody who passed by waved to {hero.name}.",
                f"{hero.Name} was never lonely again, for it knew that somebody needed its light.",
            )
        about = f"a lonely {kind}" if kind != "moon" else "the moon"
    second = pick(
        f"{hero.Name} tried to sing a little song, but nobody sang back.",
        "It waited for a whole week, and then for another. Nobody came.",
        f'"Perhaps I am too far away," thought {hero.name}.',
        f"{hero.Name} grew a little paler every day.",
    )
    feels = pick(
        f"{hero.Name} felt warm from one end to the other.",
        f"For the first time, {hero.name} felt glad to be just where it was.",
        f"{hero.Name} was so happy that it hardly knew what to say.",
    )
    ending = close(
        rng,
        warm,
        (
            "Whoever gives a little light or a little help is never quite alone.",
            "You can be a friend even from far away.",
            "The best way to find a friend is to be one.",
        ),
    )
    if kind == "moon":
        first_line = pick(
            f"Once upon a time, {hero.intro} hung {at} and felt sad.",
            f"Long ago, {hero.intro} came up every evening {at}.",
            f"Every night, {hero.intro} sailed {at}.",
        )
    else:
        first_line = opening(rng, hero, place, placed=True)
        if kind == "lighthouse":
            first_line = first_line.replace("who lived", "that stood").replace("lived", "stood")
        else:
            first_line = first_line.replace("who lived", "that lived")
    parts = [
        [
            first_line,
            likes(rng, hero, chance=0.5),
            some_of(rng, (far_view(rng, hero),), 0.75),
            alone,
        ],
        [first, second],
        [need, talk, act],
        [thanks, feels, ending],
    ]
    return fable(
        rng,
        parts,
        [hero],
        (about,),
        pick(f"The Lonely {kind.title()}", f"The {kind.title()} and Its Friend"),
    )


def cannot_sleep(rng: Random) -> Story:
    """Somebody cannot sleep, tries what the friends advise, and finds what was missing."""
    pick = Pick(rng)
    bear = rng.random() < 0.5
    if bear:
        hero = creature(rng, ("bear",), tempers=("big", "sleepy", "tired", "gentle", "old"))
        place = woods(rng)
        advisers = ["owl", "hare", "mouse", "deer", "otter", "wren", "fox", "rabbit"]
    else:
        kinds = ("lamb", "piglet", "puppy", "donkey", "kitten", "goat", "duck", "horse", "hen")
        hero = creature(rng, kinds, tempers=("small", "tired", "young", "gentle"))
        place = farm(rng)
        advisers = ["owl", "cow", "sheep", "goose", "mouse", "donkey", "goat", "hen", "horse"]
    season = pick(
        *(
            (
                "Snow was falling, and it was time for the long winter sleep.",
                "The first snow had come, and all the other bears were asleep.",
            )
            if bear
            else (
                "One night everybody was asleep but one.",
                "It was late, and the moon stood high in the sky.",
                "Night had come, and all the lights were out.",
            )
        )
    )
    awake = pick(
        f"Only {hero.name} lay awake and looked at the ceiling.",
        f"{hero.Name} turned to the left and turned to the right, and could not sleep.",
        f"{hero.Name} shut {hero.his} eyes, but they popped open again.",
        f"But {hero.name} was as wide awake as an owl.",
    )
    advisers = [kind for kind in advisers if kind != hero.kind]
    rng.shuffle(advisers)
    advice = [
        ("Count the stars", "counted to ninety-nine, and was more awake than before"),
        ("Drink warm milk with honey", "drank a whole jug, and now there was a gurgle inside"),
        ("Make your bed softer", "brought in moss and hay, but the hay tickled"),
        ("Stretch your legs", "ran around a tree ten times, and got hungry"),
        ("Think of something round and slow", "thought of a snail on a ball, and had to laugh"),
        ("Lie on the other side", "lay on the other side, and then on the first one again"),
        ("Close the door against the wind", "closed it, but then it was too quiet"),
    ]
    rng.shuffle(advice)
    (first, failed), (second, failed_too) = advice[0], advice[1]
    one = pick(
        f'"{first}," said the {advisers[0]}. {hero.Name} {failed}.',
        f'{hero.He} asked the {advisers[0]}. "{first}," was the answer. So {hero.name} {failed}.',
        f'The {advisers[0]} looked in. "{first}," said the {advisers[0]}. {hero.Name} {failed}.',
    )
    two = pick(
        f'"{second}," said the {advisers[1]}. {hero.Name} {failed_too}.',
        f'Next came the {advisers[1]}. "{second}. That always helps," said the {advisers[1]}. '
        f"{hero.Name} {failed_too}.",
    )
    cause, cure, after = pick(
        (
            f"nobody had said good night to {hero.him}",
            f'"Good night, {hero.call}," said the {advisers[2]} softly.',
            f"Now everybody says good night to {hero.name} every evening",
        ),
        (
            f"{hero.he} had forgotten to give back a basket that {hero.he} had borrowed",
            f'The {advisers[2]} took the basket back and said, "Thank you."',
            f"Now {hero.name} gives back everything before bedtime",
        ),
        (
            f"{hero.he} missed the song that {hero.his} mother used to sing",
            f"The {advisers[2]} knew the song and sang it, very low.",
            f"Now the {advisers[2]} comes and sings that song whenever it is needed",
        ),
        (
            f"{hero.he} felt a little lonely in the big, dark bed",
            f"The {advisers[2]} sat down beside {hero.him} and stayed until the morning.",
            f"Now {hero.name} and the {advisers[2]} are the best of friends",
        ),
        (
            f"{hero.he} had quarrelled with the {advisers[2]} and had not said sorry",
            f'"I am sorry," said {hero.name}. "So am I," said the {advisers[2]}.',
            f"Now {hero.name} never goes to bed angry",
        ),
    )
    thinks = pick(
        f"Then {hero.name} noticed what was wrong. In truth, {cause}.",
        f'"I know what it is!" said {hero.name} at last. It was that {cause}.',
        f"{hero.Name} thought for a long time. The trouble was that {cause}.",
    )
    if rng.random() < 0.3 and "sorry" not in cause and "basket" not in cause:
        thinks = (
            f'"What is really the matter?" asked the {advisers[2]}. {hero.Name} said that {cause}.'
        )
    sleeps = pick(
        f"{hero.Name} gave one big yawn and was asleep.",
        f"Before you could count to three, {hero.name} was snoring.",
        f"{hero.Name} smiled, shut {hero.his} eyes and slept like a stone.",
        "There was one long, happy sigh, and then nothing but quiet breathing.",
    )
    dream = pick("honey", "spring", "a sea of flowers", "warm sun", "blackberries", "a golden boat")
    ending = close(
        rng,
        (
            f"{hero.He} dreamed of {dream} all {'winter' if bear else 'night'} long.",
            f"{after}.",
            f"Outside it was cold, but {hero.name} dreamed of {dream}.",
        ),
        (
            "A kind word is the softest pillow.",
            "Sometimes we need a friend more than we need advice.",
            "When something keeps you awake, it helps to talk about it.",
        ),
    )
    parts = [
        [opening(rng, hero, place), habits(rng, hero), season, awake],
        [one, two],
        [thinks, cure],
        [sleeps, ending],
    ]
    title = pick(f"{titled(hero)} Cannot Sleep", f"The {hero.kind.title()} Who Could Not Sleep")
    return fable(
        rng, parts, [hero], (a(hero.kind), "a bedtime story" if not bear else "winter"), title
    )


def day_and_night(rng: Random) -> Story:
    """An animal of the night and one of the day become friends at dusk."""
    pick = Pick(rng)
    night = creature(
        rng, ("owl", "hedgehog", "badger", "dormouse"), tempers=("young", "shy", "curious", "quiet")
    )
    light = creature(
        rng,
        ("robin", "squirrel", "wren", "lizard", "finch", "blackbird"),
        night,
        tempers=("young", "lively", "merry", "bright"),
    )
    place = woods(rng)
    sleeps = pick(
        f"{night.He} slept all day and was awake all night.",
        f"When the others went to bed, {night.name} got up.",
        f"As soon as the sun went down, {night.name} opened {night.his} eyes.",
    )
    wonder = pick(
        f"{night.He} had never seen the sun, and {night.he} wondered about it.",
        f'"What do they do all day?" {night.he} often asked {night.himself}.',
        f"{night.He} had heard of blue sky, but had never seen it.",
    )
    other = pick(
        f"In the next tree lived {light.intro}, who was up all day and asleep all night.",
        f"Not far away lived {light.intro}, who had never seen the stars.",
        f"{capital(light.intro)} lived close by, and went to bed with the sun.",
    )
    sign = pick(
        f"They had never met, but {night.name} saw small footprints every evening.",
        f"{night.Name} only knew {light.him} by the sound of {light.his} soft breathing.",
        "All they knew of each other was a sleepy sigh in the leaves.",
    )
    tries = pick(
        f"One day {night.name} tried to stay awake, but the sun was so bright that {night.he} "
        f"had to shut {night.his} eyes.",
        f"{night.Name} wanted to see the day. At nine in the morning {night.he} was fast asleep.",
    )
    tries_too = pick(
        f"And {light.name} tried to stay up for the stars, but fell asleep after the first one.",
        f"{light.Name} pinched {light.himself} to stay awake in the dark. It was no use.",
        f"That same week {light.name} wanted to see the moon, and snored before it rose.",
    )
    meet = pick(
        f"Then, one evening, {night.name} woke up early and {light.name} was late.",
        f"One evening the sky was so red that {light.name} stayed up, and {night.name} woke up.",
        "One summer evening, just between day and night, they met on the same branch."
        if night.kind != "badger" and night.kind != "hedgehog" and light.kind != "lizard"
        else "One summer evening, just between day and night, they met on the path.",
    )
    hello = pick(
        f'"Good morning," said {night.name}. "Good night," said {light.name}, and they laughed.',
        f'"Who are you?" asked {light.name}. "I am your neighbour," said {night.name}.',
        '"So it is you!" they both said at the same time.',
    )
    days = rng.sample(
        (
            "blue sky",
            "warm stones",
            "bright butterflies",
            "a rainbow",
            "white clouds",
            "children at play",
            "yellow fields",
            "the noon bell",
        ),
        3,
    )
    nights = rng.sample(
        (
            "the moon",
            "the stars",
            "glow-worms",
            "white moths",
            "silver dew",
            "the bats",
            "the deep quiet",
            "a falling star",
        ),
        3,
    )
    tell_day = pick(
        f"{light.Name} told of {days[0]}, {days[1]} and {days[2]}.",
        f'"By day there is {days[0]}," said {light.name}.'
        if days[0] in ("blue sky", "a rainbow", "the noon bell")
        else f"From {light.name}, {night.name} heard about {days[0]} and {days[1]}.",
    )
    tell_night = pick(
        f"{night.Name} told of {nights[0]}, {nights[1]} and {nights[2]}.",
        f"And {night.name} talked about {nights[0]} and {nights[1]}.",
    )
    ending = close(
        rng,
        (
            f"Since then they meet every evening at dusk, when {night.name} gets up and "
            f"{light.name} goes to bed.",
            f"Now {night.name} dreams of {days[2]}, and {light.name} dreams of {nights[2]}.",
            "And each of them keeps watch while the other one sleeps.",
        ),
        (
            "Friends do not have to be alike.",
            "There is always a little time for a friend.",
            "Everyone sees a different part of the world, and it is good to share it.",
        ),
    )
    parts = [
        [opening(rng, night, place), sleeps, wonder],
        [other, sign],
        [tries, tries_too],
        [meet, hello, tell_day, tell_night, ending],
    ]
    title = f"The {night.kind.title()} and the {light.kind.title()}"
    return fable(rng, parts, [night, light], (a(night.kind), a(light.kind), "friends"), title)


def small_light(rng: Random) -> Story:
    """A firefly thinks its light too small, until it is just enough."""
    pick = Pick(rng)
    hero = somebody(rng, "firefly", ("small", "little", "young", "tiny"))
    place = pick(woods(rng), garden(rng))
    bigger = rng.sample(
        (
            "the moon",
            "the lamp in the window",
            "the stars",
            "the lantern on the gate",
            "the campfire",
        ),
        2,
    )
    sad = pick(
        f'"My light is so small," said {hero.name}. "{capital(bigger[0])} can shine much better."',
        f"Every night {hero.he} looked at {bigger[0]} and at {bigger[1]} and felt very small.",
        f"Next to {bigger[0]}, {hero.his} light was only a dot.",
    ).replace("the stars can", "the stars can")
    tries = pick(
        f"{hero.He} puffed {hero.himself} up, but the light did not get any bigger.",
        f"{hero.He} sat on a drop of dew to look brighter, and slipped off.",
        f"{hero.He} flew as high as {hero.he} could, and from there nobody saw {hero.him} at all.",
        f"{hero.He} blinked twice as fast, and only got tired.",
    )
    hid = pick(
        f"So {hero.he} hid under a leaf and did not shine any more.",
        f'"Nobody needs me," {hero.he} thought, and put out {hero.his} light.',
        f"After that, {hero.name} stayed at home in the evenings.",
    )
    who = creature(rng, ("mouse", "ladybird", "hedgehog", "rabbit", "snail", "dormouse"), hero)
    dark = pick(
        "One night thick clouds covered the sky. There was no moon, and there were no stars.",
        "Then came a night without a moon. It was so dark that nobody could see a thing.",
        "One night fog lay everywhere, and all the lamps were out.",
    )
    lost = pick(
        f'"Oh dear," said a voice in the grass. It was {who.intro} who could not find the way.',
        f"Somewhere in the dark {who.intro} was calling for help.",
        f"In the dark {hero.name} heard {who.intro} stumble and sigh.",
    )
    ask = pick(
        f'"I cannot see my own feet," said {who.name}.',
        f'"I am afraid of falling into the ditch," said {who.name}.',
        f'"My little ones are waiting at home," said {who.name}.',
    )
    modest = pick(
        f'"I have only a small light," said {hero.name}. "A small one is all I need," said '
        f"{who.name}.",
        f'"It is not much," said {hero.name}, and lit {hero.his} light. "It is wonderful," said '
        f"{who.name}.",
        f"{hero.Name} lit {hero.his} little lamp, and it was bright enough for one step, and "
        "then for the next one.",
    )
    one, two = rng.sample(
        (
            "over the roots",
            "past the nettles",
            "around the pond",
            "along the ditch",
            "under the hedge",
            "across the little bridge",
            "between the stones",
            "through the ferns",
        ),
        2,
    )
    lead = pick(
        f"{hero.Name} flew ahead, {one} and {two}, and {who.name} followed.",
        f"Step by step they went {one} and {two}.",
        f"First they went {one}, then {two}, always after the little light.",
    )
    home = pick(
        f"And there was the door of {who.name}'s home.",
        f'At last {who.name} cried, "Here it is! I am home!"',
        f"In the end {who.name} was safe at home.",
    )
    says = pick(
        f'"The moon is beautiful," said {who.name}, "but it did not bring me home. You did."',
        f'"Your light was just the right size," said {who.name}.',
        f'"A big light would have blinded me," said {who.name}. "Yours was just right."',
    )
    ending = close(
        rng,
        (
            f"Since that night, {hero.name} has never hidden {hero.his} light again.",
            f"{hero.Name} flew home, and {hero.his} light danced in the dark like a tiny star.",
            f"Every evening {who.name} looks out and waves to a small light in the dark.",
        ),
        (
            "Even a small light is a great joy in the dark.",
            "You need not be the brightest to be a help.",
            "Do not hide what you can do, even if it is little.",
        ),
    )
    parts = [
        [opening(rng, hero, place), likes(rng, hero, False, 0.7), sad],
        [tries, hid],
        [dark, lost, ask, modest],
        [lead, home, says, ending],
    ]
    title = pick("The Small Light", f"{titled(hero)} Shows the Way")
    return fable(rng, parts, [hero, who], ("a firefly", "a small light"), title)
