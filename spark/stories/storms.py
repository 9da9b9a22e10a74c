"""Fables about cold and storms: a home for the winter, a shelter, a snowman."""

from __future__ import annotations

from random import Random

from vatra.spark.prose import Story, a, capital
from vatra.spark.stories.animals import FARM
from vatra.spark.stories.fable import (
    Pick,
    close,
    fable,
    opening,
    paragraphs,
    some_of,
    titled,
    together,
)
from vatra.spark.stories.heroes import HE_NAMES, SHE_NAMES, creature, habits, likes, passer
from vatra.spark.stories.places import farm, garden, sight, woods


def winter_home(rng: Random) -> Story:
    """An animal looks for a home before winter: two will not do, the third does."""
    pick = Pick(rng)
    hero = creature(rng, ("hedgehog", "mouse", "dormouse", "toad", "squirrel", "rabbit"))
    place = woods(rng)
    host_kinds = ("badger", "rabbit", "mole", "squirrel", "mouse")
    host = creature(rng, host_kinds, hero, tempers=("old", "kind", "friendly", "wise", "cheerful"))
    lost = pick(
        f"A storm had blown {hero.his} old home away.",
        f"The rain had washed away the place where {hero.he} used to sleep.",
        f"{hero.His} old home had become too small.",
        f"The tree that had sheltered {hero.him} all summer had fallen down.",
    )
    autumn = pick(
        "The leaves were turning red, and the nights were getting cold.",
        "It was autumn, and the first frost lay on the grass.",
        "The swallows had gone, and the wind smelled of snow.",
        "Winter was coming, and every day was shorter than the last.",
    )
    need = pick(
        f'"I must find a warm place before the snow comes," said {hero.name}.',
        f"So {hero.name} set out to look for a new home.",
        f'"I need a home," {hero.he} said, "and I need it soon."',
        f"{hero.Name} packed a few things in a leaf and went to look for a home.",
    )
    finds = [
        (
            pick("an old boot", "a broken flower pot", "a rusty bucket", "an empty basket"),
            pick(
                "but the rain came in at the top",
                "but the wind blew right through it",
                "but it was as cold as ice inside",
            ),
        ),
        (
            pick("a hollow log", "a hole under a root", "a gap between two stones"),
            pick(
                "but a family of beetles was already asleep in it",
                "but water dripped from above, drop by drop",
                "but it was so narrow that there was no room to turn around",
            ),
        ),
        (
            pick("a hole in the river bank", "a cave behind a rock"),
            pick(
                "but the water was so loud that nobody could sleep there",
                "but the floor was wet",
                "but an otter said politely that it was hers",
            ),
        ),
    ]
    rng.shuffle(finds)
    (one, bad_one), (two, bad_two) = finds[0], finds[1]
    first = pick(
        f"First {hero.he} found {one}, {bad_one}.",
        f"Under a bush there was {one}. {hero.Name} crept in, {bad_one}.",
        f"{hero.He} looked into {one}, {bad_one}.",
    )
    second = pick(
        f"Then {hero.he} came to {two}. It looked fine, {bad_two}.",
        f"The next day {hero.he} tried {two}, {bad_two}.",
        f"A little further on there was {two}, {bad_two}.",
        f'"This could be it," said {hero.name} when {hero.he} saw {two}, {bad_two}.',
    )
    sad = pick(
        "The first snowflakes began to fall.",
        f"Tired and cold, {hero.name} sat down under a fern.",
        f'"Perhaps there is no home for me," {hero.he} said, and a tear ran down {hero.his} nose.',
        "It grew dark, and the wind was icy.",
    )
    meets = pick(
        f"Just then {host.intro} came by.",
        f"{capital(host.intro)} put {host.his} head out of a hole in the ground."
        if host.kind != "squirrel"
        else f"{capital(host.intro)} looked down from a hole in a tree.",
        f"There {host.intro} found {hero.him}.",
        f"Then {hero.he} saw a small light, and in it stood {host.intro}.",
    )
    asks = pick(
        f'"Why are you out in the cold?" asked {host.name}.',
        f'"You look frozen," said {host.name}. "Have you no home?"',
        f'"Who is sniffing there?" asked {host.name}.',
    )
    offer = pick(
        f'"My home has a room that I never use," said {host.name}. "It is yours."',
        f'"Come in!" said {host.name}. "There is plenty of room for two."',
        f'"My house is big and quiet," said {host.name}, "and I would love some company."',
    )
    told = pick(
        f"{hero.Name} told {host.him} the whole story.",
        f'"I have looked everywhere," said {hero.name}.',
        f'"Nothing was right for me," sighed {hero.name}.',
    )
    work = pick(
        f"Together they carried in dry leaves and moss, and {hero.name} made a soft bed.",
        f"{hero.Name} swept the floor and brought in moss, and {host.name} made hot acorn soup.",
        "They filled one corner with hay and another with nuts.",
        f"{hero.Name} brought the leaves, {host.name} brought the moss, and by night there were "
        "two soft beds.",
    )
    treat, more = rng.sample(
        ("nut bread", "acorn soup", "dried berries", "seed cakes", "apples"), 2
    )
    supper = pick(
        f"For supper there was {treat} with {more}." if not treat.endswith("s") else "",
        f"They ate {treat} and talked until the moon rose.",
        f"Then they shared {treat} and {more}.",
        "",
    )
    ending = close(
        rng,
        (
            f"Outside the snow fell and fell, but {hero.name} was warm.",
            f"All winter long, {hero.name} and {host.name} told each other stories and slept.",
            f'"Good night, {host.call}," said {hero.name}, and fell fast asleep until spring.'
            if hero.kind in ("hedgehog", "dormouse", "toad")
            else f'"Good night, {host.call}," said {hero.name}, and fell fast asleep.',
            "When spring came, they opened the door together and smelled the first flowers.",
        ),
        (
            "A home is best when it is shared.",
            f"And {hero.name} knew that a good friend is the warmest home of all.",
            "There is always room for one more.",
        ),
    )
    parts = [
        [opening(rng, hero, place), autumn, lost, need],
        [sight(rng, hero, place, 0.4), first, second, sad],
        [meets, asks, told, offer],
        [work, supper, ending],
    ]
    title = pick("A Home for the Winter", f"{titled(hero)} Finds a Home")
    return fable(rng, parts, [hero, host], (a(hero.kind), "winter"), title)


_SHELTERS = (
    ("hollow tree", "woods"),
    ("cave", "woods"),
    ("barn", "farm"),
    ("windmill", "farm"),
    ("garden shed", "garden"),
)


def storm_shelter(rng: Random) -> Story:
    """A storm comes, and one shelter has to be enough for everyone."""
    pick = Pick(rng)
    shelter, where = pick(*_SHELTERS)
    place = {"woods": woods, "farm": farm, "garden": garden}[where](rng)
    kinds = {
        "woods": ("fox", "badger", "hedgehog", "rabbit", "mouse", "squirrel", "toad"),
        "farm": tuple(kind for kind in FARM if kind not in ("duck", "goose")),
        "garden": ("mouse", "toad", "hedgehog", "sparrow", "lizard", "rabbit"),
    }[where]
    hero = creature(rng, kinds)
    guests = rng.sample([kind for kind in kinds if kind != hero.kind], 3)
    if rng.random() < 0.5:
        names = [name for name in HE_NAMES + SHE_NAMES if name != hero.name]
        last_name = pick(*names)
    else:
        last_name = ""
    last = guests[2]
    sky = pick(
        "One evening the sky turned as dark as a plum.",
        "One afternoon black clouds came over the hills.",
        "One day the wind began to howl, and the birds stopped singing.",
        "It was late in summer, and the air was hot and heavy.",
    )
    storm = pick(
        "Then the rain came down like a river.",
        "There was a flash and a rumble, and it began to pour.",
        "Boom, went the thunder, and the first big drops fell.",
        "The wind tore at the leaves, and the rain drummed on the ground.",
    )
    inside = pick(
        f"{hero.Name} ran into the {shelter} and shook {hero.himself} dry.",
        f"Luckily {hero.name} knew a {shelter} that was warm and dry.",
        f"{hero.Name} was already safe in the {shelter}.",
    )
    knocks = pick(
        *(
            (
                f"Soon there was a sneeze. {capital(passer(rng, guests[0]))} stood outside, as "
                "wet as a fish.",
                f'"May I come in?" asked {passer(rng, guests[0])} with dripping ears.',
                f"A little later {passer(rng, guests[0])} put a wet nose inside.",
            )
            if guests[0] not in ("hen", "duck", "goose", "sparrow")
            else (
                f"Soon there was a sneeze. {capital(passer(rng, guests[0]))} stood outside, as "
                "wet as a fish.",
                f'"May I come in?" asked {passer(rng, guests[0])} with dripping feathers.',
            )
        )
    )
    lets = pick(
        f'"Come in, come in!" said {hero.name}. "There is room for two."',
        f"{hero.Name} moved to one side to make room.",
        f'"Of course," said {hero.name}. "Sit down by me."',
    )
    more = pick(
        f"Then came {passer(rng, guests[1])}, and now it was a bit tight.",
        f"Next came {passer(rng, guests[1])}, shivering with cold. They all moved closer together.",
        f"Hardly had they sat down when {passer(rng, guests[1])} came running in.",
    )
    grumble = pick(
        f'"You are sitting on my tail," grumbled the {guests[0]}. "And you are all wet," said '
        f"the {guests[1]}.",
        f'"It is too full," complained the {guests[0]}.',
        f'"Somebody is pushing me," said the {guests[1]}.',
    )
    called = f"{a(last)} called {last_name}" if last_name else a(last)
    last_the = last_name or f"the {last}"
    third_knock = pick(
        f"And then they heard a small voice in the rain. It was {called}.",
        f"At the height of the storm, {called} came out of the rain.",
        f"One more stood outside in the storm. It was {called}.",
    )
    no_room = pick(
        f'"We are full!" cried the {guests[0]}. "There is no room!"',
        f"The {guests[0]} and the {guests[1]} looked at each other. Where should one more go?",
        f'"Not another one!" said the {guests[1]}.',
    )
    solve = pick(
        f'"If we all breathe in, there is room for one more," said {hero.name}.',
        f'"The big ones sit below, and the small ones sit on top," said {hero.name}.',
        f'"Nobody must stay out in a storm," said {hero.name}. "Let us stand up and make room."',
        f'"Close together is warm together," said {hero.name}, and pulled in {hero.his} feet.',
    )
    fits = pick(
        f"And so {last_the} came in, too, and they all fitted in very well.",
        f"They tried it, and it worked. {capital(last_the)} slipped in and sighed with joy.",
        f"{capital(last_the)} came in, and now it was really warm.",
    )
    pass_time = pick(
        "They told stories until the thunder was far away.",
        "They sang so loudly that nobody heard the thunder.",
        "One by one they fell asleep, and the rain sang on the roof.",
        "They counted the time between the flash and the rumble, and it grew longer and longer.",
    )
    after = pick(
        "At last the sun came out, and a rainbow stood over the hills.",
        "In the morning the storm was over, and every leaf shone.",
        "When they looked out again, the sky was clean and blue.",
    )
    ending = close(
        rng,
        (
            f'"Thank you, {hero.call}," they all said, and each of them went home with new '
            "friends.",
            f"Since then the {shelter} has been called the House of Friends.",
            f"Nobody wanted to go home, so they had breakfast together in front of the {shelter}.",
            "And when the next storm came, they all knew where to go.",
        ),
        (
            "Where there is a kind heart, there is always room.",
            "A storm is not so bad when you are together.",
            "They had all learned that it is good to move a little closer.",
        ),
    )
    parts = [
        [opening(rng, hero, place), some_of(rng, (habits(rng, hero),), 0.6)],
        [sky, storm, inside, knocks, lets],
        [more, some_of(rng, (grumble,), 0.6), third_knock, no_room, solve],
        [fits, pass_time, after, together(rng, "they", 0.3), ending],
    ]
    heroes = tuple(hero.name for hero in (hero,) if hero.named) + (
        (last_name,) if last_name else ()
    )
    title = pick("The Storm", "Room for One More", f"The Storm and the {shelter.title()}")
    return Story(paragraphs(rng, parts), heroes, (a(hero.kind), "a storm"), title)


def snow_friend(rng: Random) -> Story:
    """A snowman and an animal are friends for a winter; in spring he is there in another way."""
    pick = Pick(rng)
    hero = creature(
        rng,
        ("rabbit", "robin", "mouse", "squirrel", "fox"),
        tempers=("small", "young", "lonely", "curious"),
    )
    place = pick(woods(rng), garden(rng))
    shape, the = pick(
        ("a snowman", "the snowman"),
        ("a snow bear", "the snow bear"),
        ("a snow owl", "the snow owl"),
    )
    built = pick(
        f"One winter the children of the village built {shape} near {hero.name}'s home.",
        f"When the first snow fell, some children made {shape} and went home.",
        f"One snowy morning {shape} stood there, where nobody had stood before.",
    )
    look = pick(
        f"It had {pick('two black stones', 'two nuts', 'two round buttons', 'two pine cones')} "
        f"for eyes and a {pick('red', 'green', 'blue', 'yellow', 'striped')} scarf.",
        f"It had {pick('a carrot', 'a twig', 'a pine cone')} for a nose and "
        f"{pick('an old hat', 'a tin pot', 'a basket')} on its head.",
    )
    if shape == "a snow owl":
        look = look.replace("for a nose", "for a beak").replace("a carrot for", "a twig for")
    hello = pick(
        f'"Good morning," said {hero.name}, just to be polite. "Good morning," said {the}.',
        f'"Are you not cold?" asked {hero.name}. "Cold is what I like best," said {the}.',
        f'"Can you talk?" asked {hero.name}. "Only with those who listen," said {the}.',
    )
    one, two = rng.sample(
        (
            "told riddles",
            "counted the snowflakes",
            "watched the northern stars",
            "talked about summer",
            "listened to the quiet",
            "sang winter songs",
            "played I spy",
            "made up funny words",
        ),
        2,
    )
    winter = pick(
        f"All winter long they {one} and {two}.",
        f"Every day {hero.name} came back, and they {one}. In the evenings they {two}.",
        f"They {one}, they {two}, and the winter was never too long.",
    )
    help_ = pick(
        f"When the wind was icy, {hero.name} sat behind the broad white back and was out of the "
        "wind.",
        f"When {hero.name} was hungry, {the} gave away its nose."
        if "carrot" in look and hero.kind == "rabbit"
        else f"When {hero.name} felt lonely, {the} always had time.",
    )
    spring = pick(
        "Then the days grew longer, and the icicles began to drip.",
        "One morning the wind was mild, and the first snowdrop bloomed.",
        "Then the sun grew warm, and the snow became wet and heavy.",
    )
    thin = pick(
        f'{capital(the)} was getting thin. "I must go soon," it said.',
        f'"I am getting smaller every day," said {the}.',
    )
    tries = pick(
        f"{hero.Name} brought shade with fir branches, but the air was too warm.",
        f"{hero.Name} carried snow from the shady side of the hill, but it melted on the way.",
        f"{hero.Name} fanned it with a leaf. It did not help.",
    )
    comfort = pick(
        f'"Do not be sad," said {the}. "I am not going away. I am only changing."',
        f'"Look for me in the brook," said {the}, "and in the flowers, and in the clouds."',
        f'"Snow turns into water, and water comes back," said {the}.',
    )
    gone = pick(
        "The next morning there was only a puddle, and a scarf."
        if "scarf" in look
        else "The next morning there was only a puddle.",
        "And one day there was nothing left but a clear little puddle.",
    )
    flower = pick("crocus", "snowdrop", "primrose", "daffodil", "violet")
    after = pick(
        f"Soon a {flower} grew in that place, the first of the year.",
        f"But where it had stood, the grass was greener than anywhere else, and a {flower} "
        "bloomed.",
        f"The water ran into the brook, and the brook sang a tune that {hero.name} knew.",
    )
    ending = close(
        rng,
        (
            f'"Good morning, old friend," said {hero.name}, and the wind answered softly.',
            f"And when the first snow fell again, {hero.name} was already waiting.",
            f"In summer a white cloud came by that looked just like {the}, and {hero.name} waved.",
        ),
        (
            "Friends can change, but friendship stays.",
            "Nothing is lost. The snow becomes water, and the water becomes a flower.",
            "Every winter ends, and every winter comes back.",
        ),
    )
    parts = [
        [opening(rng, hero, place), likes(rng, hero, False, 0.7), built, look, hello],
        [winter, help_],
        [spring, thin, tries, comfort],
        [gone, after, ending],
    ]
    title = pick(f"The {the[4:].title()} and the {hero.kind.title()}", "A Friend Made of Snow")
    return fable(rng, parts, [hero], (shape, a(hero.kind), "winter"), title)
