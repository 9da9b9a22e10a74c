"""Fables about seeds and flowers, and who helps them to grow."""

from __future__ import annotations

from random import Random

from vatra.spark.prose import Story, a, capital
from vatra.spark.stories.fable import Pick, close, fable, opening, some_of, titled
from vatra.spark.stories.heroes import likes, somebody
from vatra.spark.stories.places import Place, garden, sight, woods


def robot_flower(rng: Random) -> Story:
    """A tiny robot wants to make a flower grow, and learns what it needs."""
    pick = Pick(rng)
    metal = pick("silver", "copper", "tin", "blue", "yellow", "shiny")
    hero = somebody(rng, "robot", (f"tiny {metal}", f"little {metal}", f"small {metal}"), "it", 0.7)
    place = pick(
        Place("in a workshop full of tools", "the workshop"),
        Place("in an old greenhouse", "the greenhouse"),
        Place("on the roof of a tall house", "the roof"),
        Place("in a shed behind a garden", "the shed"),
    )
    flower = pick("sunflower", "poppy", "daisy", "tulip", "marigold", "bluebell")
    job = pick(
        "All day it sorted screws, big ones to the left and small ones to the right.",
        "Its work was to sweep the floor and count the nails.",
        f"{hero.Name} had round wheels, two thin arms and a lamp for a nose.",
        "It knew all about wires and wheels, and nothing about plants.",
    )
    tools = rng.sample(
        (
            "screws",
            "nails",
            "bolts",
            "cogs",
            "springs",
            "wires",
            "bulbs",
            "buttons",
            "brushes",
            "keys",
            "wheels",
            "rivets",
            "hooks",
            "batteries",
        ),
        3,
    )
    pot = pick(
        "a clay pot",
        "an old teapot",
        "a chipped cup",
        "a wooden box",
        "a tin can",
        "a small bucket",
        "a blue bowl",
        "an old boot",
    )
    pot = (
        f"{pot} on {pick('the window sill', 'the top step', 'a sunny shelf', 'an upturned crate')}"
    )
    more = pick(
        f"{hero.Name} counted the {tools[0]}, the {tools[1]} and the {tools[2]}, and then it "
        "began again.",
        f"It knew where all the {tools[0]} were, and all the {tools[1]}, too.",
        f"Around it were boxes full of {tools[0]}, {tools[1]} and {tools[2]}.",
    )
    seen = pick(
        f"One day it saw a picture of {a(flower)}, and its little lights began to blink.",
        f"One day the wind blew a seed through the window. It was the seed of {a(flower)}.",
        f"One spring morning it found a seed on the floor. On the bag it said {flower}.",
    )
    wish = pick(
        f'"I want to grow {a(flower)}," said {hero.name}.',
        f'"Beep," said {hero.name}. "I shall make {a(flower)}."',
        f"More than anything, {hero.name} wished for {a(flower)} of its own.",
    )
    wrongs = [
        pick(
            f"First it put the seed in a box of {tools[0]} and waited. Nothing grew.",
            "First it gave the seed a drop of oil, for oil was good for robots. Nothing happened.",
            "First it planted the seed in a cup of sand, and nothing came up.",
        ),
        pick(
            "Then it put the seed into earth, but kept the pot in a dark cupboard. Still nothing.",
            "Then it gave the seed so much water that it floated.",
            "Next it dug up the seed every hour to see if it had grown. It had not.",
        ),
    ]
    friend = pick("a bee", "an old gardener", "a sparrow", "a snail", "a girl from next door")
    the_friend = "the " + {"a girl from next door": "girl"}.get(friend, friend.split(" ", 1)[1])
    the_friend = the_friend.replace("old ", "")
    ask = pick(
        f'"What am I doing wrong?" it asked {friend}.',
        f'{capital(friend)} came by and saw the sad little robot. "What is the matter?" asked '
        f"{the_friend}.",
        f'"My flower is broken," it told {friend}.',
    )
    answer = pick(
        f'"A seed is not a machine," said {the_friend}. "It needs earth, a little water, light '
        'and time."',
        f'"Give it good earth, some sun and a little water," said {the_friend}. "And then you '
        'must wait."',
        f'"You cannot hurry a flower," said {the_friend}. "Give it sun and water, and be patient."',
    )
    does = (
        pick(
            f"So the robot filled {pot} with soft earth, planted the seed, and watered it every "
            "morning.",
            "So it carried the seed into the light, covered it with earth, and gave it ten drops "
            "of water a day.",
            "The robot did everything just so, and then it waited.",
        )
        .replace("the robot", hero.name)
        .replace("The robot", hero.Name)
    )
    waits = pick(
        "One day passed, then two, then ten.",
        f"{hero.Name} waited a whole week. Waiting was harder than counting nails.",
        "Every evening it shone its little lamp on the pot and said good night.",
        "It sang to the pot in soft beeps.",
    )
    sprout = pick(
        "Then, one morning, there was a tiny green tip.",
        "At last the earth cracked, and a green leaf looked out.",
        "And one day something small and green pushed up into the light.",
    )
    blooms = pick(
        f"It grew and grew, and in the summer it became a beautiful {flower}.",
        f"Leaf by leaf it grew, until {a(flower)} opened in the sun.",
        f"A few weeks later, the {flower} was in full bloom.",
    )
    ending = close(
        rng,
        (
            f'"Beep, beep!" sang {hero.name}, and all its lights shone at once.',
            f"Now {hero.name} has a whole row of pots, and a flower in each of them.",
            f"In autumn {hero.name} gathered the new seeds, one for each of its friends.",
            f"And every bee in the neighbourhood knows the way to {hero.name}'s {flower}.",
        ),
        (
            "Some things cannot be hurried, and they are worth the wait.",
            f"{hero.Name} had learned that love and patience make things grow.",
            "To grow a flower you need earth, water, light and time.",
        ),
    )
    parts = [
        [
            opening(rng, hero, place, placed=True).replace("who lived", "that lived"),
            job,
            more,
            likes(rng, hero, chance=0.5),
        ],
        [seen, wish, *wrongs],
        [ask, answer, does, waits],
        [sprout, blooms, ending],
    ]
    title = pick(f"The Robot and the {flower.title()}", f"{titled(hero)} Grows a Flower")
    return fable(rng, parts, [hero], ("a robot", "a flower"), title)


def bee_and_flower(rng: Random) -> Story:
    """A flower that nobody visits and a bee that is lost help each other."""
    pick = Pick(rng)
    plant, colour = pick(
        ("bellflower", "blue"),
        ("bellflower", "purple"),
        ("primrose", "yellow"),
        ("clover flower", "pink"),
        ("clover flower", "white"),
        ("thistle flower", "purple"),
        ("daisy", "white"),
        ("cornflower", "blue"),
        ("buttercup", "yellow"),
        ("foxglove", "pink"),
    )
    spot = pick(
        "behind a grey stone",
        "between two rocks",
        "at the foot of a wall",
        "under a big fern",
        "at the very edge of the meadow",
        "beside a broken cart",
    )
    bee = somebody(rng, "bee", ("young", "small brown", "busy", "little striped"), "she", 0.75)
    start = pick(
        f"Once upon a time, a small {colour} {plant} grew {spot}.",
        f"Once upon a time there was a {colour} {plant} that grew {spot}.",
        f"{capital(spot)} there grew a single {colour} {plant}.",
        f"There was once a {colour} {plant} that stood all alone {spot}.",
        f"Long ago, a {colour} {plant} opened {spot}.",
    )
    tall, low, high = rng.sample(
        (
            "mallows",
            "cowslips",
            "violets",
            "lilies",
            "dandelions",
            "asters",
            "wild roses",
            "bluebells",
            "forget-me-nots",
            "marigolds",
            "lavender bushes",
            "snapdragons",
            "sweet peas",
        ),
        3,
    )
    alone = pick(
        "The bees flew past it every day and never saw it.",
        "It had the sweetest nectar, but nobody came to taste it.",
        f"All the other flowers, the {tall} and the {low}, stood in the middle of the meadow.",
        f"The bees went to the {tall}, the {low} and the {high}, but not to the {plant}.",
        "It could hear the humming of the bees, but none of them came near.",
    )
    hopes = [
        "It stretched its stem as tall as it could, but the grass was taller.",
        "It sent out its sweetest smell, but the wind blew the wrong way.",
        "It opened its petals as wide as it could, but only a spider looked in.",
        "It nodded in the wind to wave to the bees, and still nobody came.",
    ]
    rng.shuffle(hopes)
    sigh = pick(
        f'"Perhaps I bloom for nobody," sighed the {plant}.',
        f'"I have so much to give," thought the {plant}, "and nobody to give it to."',
        f"In the evenings the {plant} closed its petals and felt sad.",
    )
    lost = pick(
        f"One day, heavy rain came down. {capital(bee.intro)} had flown too far and was lost.",
        f"Then a strong wind blew {bee.intro} across the field, far away from the hive.",
        f"One cool evening {bee.intro} could not find the way home.",
    )
    tired = pick(
        f"{bee.His} wings were wet, and {bee.he} could not fly any further.",
        f"{bee.He} was so tired that {bee.he} tumbled into the grass.",
        f"{bee.He} had not had a drop of nectar since morning.",
    )
    offer = pick(
        f'"Come in under my petals," said the {plant}. "It is dry here."',
        f'"Rest with me," said the {plant}, "and drink as much as you like."',
        f'"Please be my guest," the {plant} said, and bent down to {bee.him}.',
    )
    drinks = pick(
        f"{bee.Name} drank the sweet nectar, and soon {bee.he} felt strong again.",
        f"{bee.Name} crept in. It was warm and smelled of honey.",
        f'"This is the best nectar I have ever had," said {bee.name}.',
    )
    morning = pick(
        "In the morning the sun was shining.",
        "The next day the sky was clear.",
        "When the sun came up, the air was warm.",
    )
    thanks = pick(
        f'"I will tell all the others about you," said {bee.name}, golden with pollen.',
        f'"I shall not forget you," said {bee.name}, and flew off with dusty yellow legs.',
        f'"Thank you, kind {plant}," said {bee.name}. "Now I can see my hive from here."',
    )
    come = pick(
        f"At noon there was a great humming. {bee.Name} had come back with all {bee.his} sisters.",
        f"The very same day {bee.name} came back, and ten sisters came along.",
        f"Every morning after that, {bee.name} and {bee.his} sisters came to visit.",
    )
    seeds = pick(
        f"The bees carried pollen from bloom to bloom, and the {plant} made many seeds.",
        "The bees brought pollen from other flowers, so that seeds could grow.",
        f"Thanks to the bees, the {plant} had seeds by the end of the summer.",
    )
    spring = pick(
        f"The next spring there was not one {plant} but twenty.",
        f"And in the next year, the ground {spot.replace(' a ', ' the ')} was all {colour}.",
        "When spring came again, a whole crowd of little flowers grew there.",
    )
    ending = close(
        rng,
        (
            f"The {plant} was never alone again.",
            f"And the honey of that year was the sweetest that {bee.name} had ever made.",
            "You could hear the humming from far away.",
        ),
        (
            "The bee needs the flower, and the flower needs the bee.",
            "Whoever gives something gets something back.",
            "A small kindness can make a whole meadow bloom.",
        ),
    )
    parts = [
        [start, alone, hopes[0], some_of(rng, (hopes[1],), 0.6), sigh],
        [lost, tired, offer, drinks],
        [
            morning,
            sight(rng, bee, Place("in the meadow", "the meadow"), 0.7, still=True),
            thanks,
            come,
        ],
        [seeds, spring, ending],
    ]
    title = pick("The Bee and the Flower", f"The {colour.title()} Flower")
    return fable(rng, parts, [bee], ("a bee", "a flower"), title)


def little_seed(rng: Random) -> Story:
    """A seed is afraid of the dark ground and becomes a tree."""
    pick = Pick(rng)
    seed, tree, fruit = pick(
        ("acorn", "oak", "acorns"),
        ("chestnut", "chestnut tree", "chestnuts"),
        ("maple seed", "maple", "maple seeds"),
        ("beech nut", "beech", "beech nuts"),
        ("hazelnut", "hazel bush", "hazelnuts"),
        ("walnut", "walnut tree", "walnuts"),
    )
    hero = somebody(rng, seed, ("small brown", "little", "round", "shiny", "tiny"), "it", 0.75)
    place = pick(woods(rng), garden(rng))
    carrier = pick("squirrel", "jay", "mouse", "crow")
    fell = pick(
        f"One autumn day {a(carrier)} carried it away and buried it in the ground.",
        f"One windy day it fell on the ground, and {a(carrier)} covered it with earth.",
        f"In autumn {a(carrier)} hid it under the leaves and forgot it.",
    )
    dark = pick(
        f'"It is so dark here," said {hero.name}. "I want to go back up."',
        f"Down there it was dark and cold, and {hero.name} was afraid.",
        f'"Is anybody there?" called {hero.name}. It was as dark as the inside of a boot.',
    )
    worm = pick("a worm", "a mole", "a beetle", "an ant")
    the_worm = "the " + worm.split(" ")[1]
    comfort = pick(
        f'"Do not be afraid," said {worm} who came by. "Everything that grows begins in the dark."',
        f'"The dark is a good bed," said {worm}. "Sleep now, and wait for the spring."',
        f'{capital(worm)} dug past. "You are in just the right place," said {the_worm}.',
    )
    winter = pick(
        "So it slept, while the snow lay on the ground like a blanket.",
        "All winter long it listened to the quiet and dreamed of the sun.",
        "Above it the wind howled, but in the earth it was still.",
    )
    spring = pick(
        "In spring warm rain trickled down, and something began to tickle.",
        "Then the earth grew warm, and the shell went crack.",
        "One day it felt a warm drop of rain, and it could not lie still any longer.",
    )
    up = pick(
        f"{hero.Name} sent one root down and one green shoot up.",
        "First it made a root. Then it pushed a tiny shoot towards the light.",
        "It stretched and pushed, and a pale green tip came out of the ground.",
    )
    small = pick(
        '"How small I am!" it said. The old trees rustled. "So were we," they said.',
        "A snail could look down on it, so small it was.",
        "The grass was taller than it was, and the dandelions laughed kindly.",
    )
    danger = pick(
        "A hot summer came, and it sent its roots deeper to find water.",
        "A storm bent it to the ground, but it stood up again.",
        f"A {pick('goat', 'deer', 'rabbit')} nibbled at it, but it grew new leaves.",
        "Frost bit off its first leaves, but it made new ones.",
    )
    grew = pick(
        "Year after year it grew a little.",
        "One summer followed the other, and every year it was a bit taller.",
        "Ten years went by, and then ten more.",
    )
    one, two, three = rng.sample(
        (
            "a robin built a nest in it",
            "children played in its shade",
            "birds sang among its twigs",
            "a squirrel ran up and down its trunk",
            "an owl slept among its leaves",
            "a tired fox rested beside it",
            "beetles lived under its bark",
            "a swing hung from a branch",
        ),
        3,
    )
    tree_now = pick(
        f"At last it was {a(tree)}, big and strong. {capital(one)}, and {two}.",
        f"Now it was a fine {tree}. {capital(one)}, {two}, and {three}.",
        f"And so the {seed} became {a(tree)}. In spring {one}, and in summer {two}.",
    )
    if tree == "hazel bush":
        tree_now = (
            "Now it was a fine hazel bush. A wren lived in it, and beetles hid in its leaves."
        )
    again = pick(
        f"One autumn, {fruit} hung from every branch, and one of them fell down.",
        f"In autumn it was full of {fruit}, and the wind shook them to the ground.",
    )
    hush = pick(
        f'"Do not be afraid of the dark," whispered the {tree}. "I was there, too."',
        f'"Sleep well, little one," said the {tree}. "I know how it goes on."',
    )
    ending = close(
        rng,
        (
            "And under the earth a new story began.",
            "Perhaps you have sat in its shade.",
            "The leaves rustled, and it sounded like laughing.",
        ),
        (
            "Everything big was small once.",
            "Good things need time to grow.",
            "Every tree begins as a seed.",
        ),
    )
    first = pick(
        f"Once upon a time, there was {hero.intro} that hung on a branch {place.at}.",
        f"Once upon a time, {hero.intro} hung on a branch {place.at}.",
        f"{capital(place.at)} there was {hero.intro}.",
        f"There was once {hero.intro} that grew on a branch {place.at}.",
        f"Long ago, {hero.intro} hung on a high branch {place.at}.",
    )
    near, nearer, nearest = rng.sample(
        (
            "a sleeping bulb",
            "an old root",
            "a snail shell",
            "a lost button",
            "a round stone",
            "a mole's tunnel",
            "a bit of blue glass",
            "a beetle in its winter bed",
            "a rusty key",
        ),
        3,
    )
    around = pick(
        f"Around it lay {near}, {nearer} and {nearest}.",
        f"Its only neighbours were {near} and {nearer}.",
        "",
    )
    one, two, three = rng.sample(
        (
            "blue sky",
            "warm rain",
            "singing birds",
            "tall grass",
            "the morning sun",
            "yellow bees",
            "long summers",
            "a swing",
            "the wind",
            "white clouds",
            "a nest of its own",
        ),
        3,
    )
    dream = pick(
        f"{hero.Name} dreamed of {one}, {two} and {three}.",
        f"In its dreams there were {one} and {two}."
        if two.endswith("s") and one.endswith("s")
        else f"It dreamed of {one} and of {two}.",
        "",
    )
    parts = [
        [first, fell, dark, around],
        [comfort, winter, dream],
        [spring, up, small, some_of(rng, (danger,), 0.7)],
    ]
    parts += [[grew, tree_now], [again, hush, ending]]
    return fable(
        rng,
        parts,
        [hero],
        (a(seed), "a tree"),
        pick(f"The Little {seed.title()}", f"How the {tree.title()} Grew"),
    )
