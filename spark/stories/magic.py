"""Fables with a little magic: dragons, spells and wishes."""

from __future__ import annotations

from random import Random

from vatra.spark.prose import Story, a, capital
from vatra.spark.stories.animals import WOODLAND
from vatra.spark.stories.fable import Pick, close, fable, opening, some_of, titled
from vatra.spark.stories.heroes import creature, habits, likes, somebody
from vatra.spark.stories.places import Place, day, woods


def useful_dragon(rng: Random) -> Story:
    """A dragon that cannot breathe fire finds out what its breath is good for."""
    pick = Pick(rng)
    colour = pick("green", "blue", "red", "golden", "purple", "silver")
    hero = somebody(
        rng, "dragon", (f"small {colour}", f"young {colour}", colour, f"little {colour}")
    )
    place = pick(
        Place("in a cave above a village", "the cave"),
        Place("on a high mountain", "the mountain"),
        Place("behind a waterfall", "the waterfall"),
        Place("in an old tower by the sea", "the tower"),
    )
    breath, sound = pick(
        ("warm steam", "pffff"), ("soap bubbles", "plop"), ("soft warm wind", "whoosh")
    )
    hoard = rng.sample(
        (
            "spoons",
            "blue stones",
            "old clocks",
            "teacups",
            "shells",
            "kettles",
            "marbles",
            "hats",
            "feathers",
            "coins",
            "candles",
            "umbrellas",
            "bells",
        ),
        3,
    )
    treasure = pick(
        f"{hero.He} slept on a heap of {hoard[0]}, {hoard[1]} and {hoard[2]}.",
        f"{hero.His} treasure was a box of {hoard[0]} and a sack of {hoard[1]}.",
        f"{hero.He} collected {hoard[0]} and {hoard[1]}, as dragons do.",
        "",
    )
    cannot = pick(
        f"All the other dragons could breathe fire, but {hero.name} could not.",
        f"There was just one thing wrong: {hero.name} could not breathe fire.",
        f"Every dragon must learn to breathe fire, but {hero.name} never managed even a spark.",
    )
    comes = pick(
        f"When {hero.he} blew, only {breath} came out.",
        f"{hero.He} huffed and puffed, and {sound}! Out came {breath}.",
        f"Whenever {hero.he} tried, there was nothing but {breath}.",
    )
    tries = [
        f"{hero.He} ate hot peppers for a week, but it was no use.",
        f"{hero.He} drank nothing but pepper tea, and only got hiccups.",
        f"{hero.He} stood on {hero.his} head and blew. {sound.capitalize()}! More {breath}.",
        f"{hero.He} practised every morning on top of a rock, but not one spark came.",
        f"{hero.He} asked {hero.his} grandmother, who said that every dragon is different.",
        f"{hero.He} hummed like an oven and thought of hot things, but nothing happened.",
    ]
    rng.shuffle(tries)
    laughed = pick(
        "The other dragons laughed.",
        '"What a funny dragon you are!" said the others.',
        f'"I am no use at all," said {hero.name}.',
        f"{hero.Name} hid behind a rock so that nobody would see.",
    )
    if breath == "warm steam":
        trouble = pick(
            "One winter the well in the village froze, and nobody had any water.",
            "That winter the doors of all the houses in the village were frozen shut.",
            "One icy morning the wheel of the mill was frozen, and there was no flour for bread.",
        )
        fixed = "Slowly the ice turned into water."
        fire = '"Fire would burn everything," said the baker. "What can we do?"'
        job = "kept the village warm"
    elif breath == "soap bubbles":
        trouble = pick(
            "One day a cart full of mud fell over, and the whole village was brown and sticky.",
            "One spring the children of the village were sad, because the rain had spoiled the "
            "fair.",
            "One day the whole village was covered with soot, for a chimney had burst.",
        )
        fixed = (
            "Soon the air was full of bubbles, and the children danced and laughed."
            if "sad" in trouble
            else "The bubbles rolled over the walls and the streets, and everything was clean "
            "again."
        )
        fire = '"Fire would be no good here," said the baker. "What can we do?"'
        job = "made bubbles for every birthday"
    else:
        trouble = pick(
            "One summer there was no wind at all, and the windmill in the village stood still.",
            "One day all the washing in the village was wet, and there was no sun to dry it.",
            "One morning the boats could not come home, for there was no wind in their sails.",
        )
        fixed = (
            "The sails of the mill began to turn."
            if "mill" in trouble
            else "Shirts and socks danced on the lines until they were dry."
            if "washing" in trouble
            else "The sails grew round, and one by one the boats came home."
        )
        fire = '"Fire would only burn it all," said the baker. "What can we do?"'
        job = "helped whenever the air was still"
    helper = pick("a girl", "a boy", "an old woman", "the baker's son", "the miller's daughter")
    helper_the = "the " + helper.split(" ", 1)[1]
    ask = pick(
        f'"Could you help us?" asked {helper}, who had climbed up to find {hero.name}.',
        f'Then {helper} came up to the dragon. "Will you try?" asked {helper_the}.',
        f'{capital(helper)} climbed up to the dragon. "Please come and help us," said '
        f"{helper_the}.",
    )
    shy = pick(
        f'"But I cannot breathe fire," said {hero.name}. "That is why I came to you!" said '
        f"{helper_the}.",
        f"{hero.Name} was so surprised that {hero.he} forgot to be shy.",
        f'"Nobody has ever asked me for help," said {hero.name}.',
    )
    blows = pick(
        f"{hero.Name} flew down to the village, took a deep breath, and blew.",
        f"{hero.Name} took the deepest breath of {hero.his} life. {sound.capitalize()}!",
        f"Down in the village, {hero.name} filled {hero.his} chest and blew, and blew again.",
    )
    cheer = pick(
        f'"Hooray for {hero.name}!" everybody shouted.',
        f"The people clapped their hands, and {hero.name} blushed up to {hero.his} ears.",
        f"Everybody cheered, and the baker gave {hero.name} a cake as big as a wheel.",
    )
    ending = close(
        rng,
        (
            f"From then on, {hero.name} {job}, and was never sad about the fire again.",
            f"{hero.Name} moved into the village and {job}.",
            "Now the other dragons came to watch, and nobody laughed any more.",
        ),
        (
            "What makes you different may be just what somebody needs.",
            f"{hero.Name} had learned that there are many ways to be a good dragon.",
            "You do not have to be like all the others to be useful.",
        ),
    )
    parts = [
        [opening(rng, hero, place, placed=True), treasure or likes(rng, hero), cannot, comes],
        [tries[0], some_of(rng, (tries[1],), 0.7), laughed],
        [trouble, some_of(rng, (fire,), 0.5), ask, shy],
        [blows, fixed, cheer, ending],
    ]
    title = pick("The Dragon Without Fire", f"{titled(hero)} Helps the Village")
    return fable(rng, parts, [hero], ("a dragon",), title)


_SPELLS = (
    # What was wanted, the word, what came of it, how the wizard's book mends it.
    ("make the soup hot", "soup", "The soup rose out of the pot and ran over the floor"),
    ("sweep the floor", "broom", "The broom swept the cups, the books and the cat into a corner"),
    (
        "grow one small flower",
        "flower",
        "The flower grew and grew, out of the window and up the roof",
    ),
    ("light a candle", "candle", "The candle hopped off the table and ran around the room"),
    ("fold the washing", "socks", "The socks flew out of the basket and sang under the ceiling"),
    ("fill the bathtub", "water", "The water poured in and did not stop, not even at the edge"),
    ("find a lost spoon", "spoons", "Spoons came from everywhere, and soon they lay knee-deep"),
    ("bake a small cake", "cake", "The cake swelled until it pushed against the door"),
)


def wizards_helper(rng: Random) -> Story:
    """A helper tries a spell, it goes wrong, and it is mended."""
    pick = Pick(rng)
    kinds = ("mouse", "frog", "kitten", "crow", "owl", "squirrel", "hedgehog", "rabbit")
    hero = creature(rng, kinds, tempers=("young", "little", "curious", "clever", "busy"))
    master, he = pick(("wizard", "he"), ("witch", "she"), ("wizard", "he"), ("sorceress", "she"))
    temper = pick("kind", "old", "wise", "friendly", "forgetful")
    place = pick(
        Place(f"in the tower of {a(temper)} {master}", "the tower"),
        Place(f"in the crooked house of {a(temper)} {master}", "the house"),
        Place(f"in the hut of {a(temper)} {master} in the woods", "the hut"),
    )
    chores = ["washed the bottles", "dusted the books", "stirred the pots", "sorted the herbs"]
    chores += ["swept the stairs", "polished the crystal ball", "fed the fire with dry twigs"]
    rng.shuffle(chores)
    work = pick(
        f"Every day {hero.he} {chores[0]} and {chores[1]}.",
        f"{hero.He} {chores[0]}, {chores[1]} and {chores[2]}.",
        f"{hero.Name} was a good helper who {chores[0]} and {chores[1]}.",
    )
    rule = pick(
        f'"Never use a spell that you have not read to the end," said the {master}.',
        f'"Magic needs patience," the {master} always said.',
        f"There was only one rule. Nobody was to open the big book without the {master}.",
    )
    want, thing, result = pick(*_SPELLS)
    were = "were" if thing in ("socks", "spoons") else "was"
    when = pick(
        f"One day the {master} went to the market.",
        f"One morning the {master} flew off to visit a friend.",
        f"One afternoon, while the {master} was asleep in the garden, {hero.name} was alone.",
    )
    tries = pick(
        f'"I will {want} by magic," said {hero.name}.',
        f'{hero.Name} had to {want}. "A little spell will be faster," {hero.he} thought.',
        f"{hero.Name} wanted to {want}, and {hero.he} took a quick look into the book.",
    )
    word = pick("Humbala", "Tiddle-tum", "Zimba-loo", "Fizzle-fee", "Rumble-dee", "Pim-pam-poo")
    speaks = pick(
        f'"{word}!" {hero.he} cried, and waved a spoon.'
        if "spoon" not in thing
        else f'"{word}!" {hero.he} cried, and jumped three times.',
        f'{hero.He} read only the first line and said, "{word}!"',
        f'With a loud voice {hero.he} spoke the word "{word}".',
    )
    goes = f"{result}."
    wrong = pick(
        f'"Stop!" cried {hero.name}. It did not stop.',
        f'{hero.Name} cried, "{word} back!" That only made it worse.',
        f"{hero.Name} ran after the {thing}, but it was no use.",
        f"{hero.Name} hid under the table and tried to think.",
    )
    tried = (
        pick(
            f"{hero.He} tried the word backwards, and everything turned green.",
            f"{hero.He} clapped {'wings' if hero.kind in ('crow', 'owl') else 'paws'} and "
            f"whistled, but the {thing} did not listen to whistles.",
            f"{hero.He} threw a blanket over it all, and the blanket began to dance.",
        )
        .replace("clapped wings", f"flapped {hero.his} wings")
        .replace("clapped paws", f"stamped {hero.his} feet")
    )
    if rng.random() < 0.5:
        mend = pick(
            f"Then {hero.name} remembered the book. {hero.He} read the page to the very end. "
            f'"And now say please," it said there. "Please," said {hero.name}.',
            f"At last {hero.name} sat down and read the whole page, slowly. The last line "
            'said, "Say thank you when it is enough." "Thank you," said ' + hero.name + ".",
        )
        back = pick(
            f"At once all was quiet, and the {thing} {were} just as before.",
            "There was a soft puff, and the room was as it should be.",
        )
        home = pick(
            f"When the {master} came home, {hero.name} told everything.",
            f"In the evening {hero.name} told the {master} the whole truth.",
        )
    else:
        mend = pick(
            f'Just then the {master} opened the door. "Oh dear," said the {master}.',
            f"At that moment the {master} stood in the doorway and had to smile.",
        )
        back = pick(
            f"The {master} whispered one small word, and everything was quiet again.",
            f"The {master} clapped three times, and the magic was over.",
        )
        home = pick(
            f'"I am so sorry," said {hero.name}. "I only wanted to {want}."',
            f"{hero.Name} hung {hero.his} head and said sorry.",
        )
    forgive = pick(
        f'The {master} laughed. "I did just the same when I was young," {he} said.',
        f'"Everybody makes mistakes," said the {master}. "You told me the truth, and I am glad."',
        f'"Tomorrow I will teach you a real spell," said the {master}, "from the first line to '
        'the last."',
    )
    clean = pick(
        "Together they cleaned up the room.",
        f"Then {hero.name} fetched a cloth, the {master} fetched a bucket, and they cleaned up.",
        f"They tidied the room and drank {pick('mint', 'apple', 'rose', 'honey')} tea.",
    )
    ending = close(
        rng,
        (
            f"From then on, {hero.name} read every page to the end.",
            f"And one day, many years later, {hero.name} wrote a book of spells of {hero.his} own.",
            f"That night {hero.name} slept with the book under {hero.his} pillow.",
        ),
        (
            "Whoever makes a mistake can also mend it.",
            "It is wise to read to the end before you begin.",
            "Telling the truth makes every trouble smaller.",
        ),
    )
    parts = [
        [opening(rng, hero, place, placed=True), likes(rng, hero, chance=0.5), work, rule],
        [when, tries, speaks, goes],
        [wrong, some_of(rng, (tried,), 0.7), mend, back],
        [home, forgive, clean, ending],
    ]
    title = pick(f"The {master.title()}'s Helper", "The Spell That Went Wrong")
    return fable(rng, parts, [hero], (a(hero.kind), a(master), "magic"), title)


def wishing_pebble(rng: Random) -> Story:
    """A magic pebble grants wishes; two are wasted, and the last one is for a friend."""
    pick = Pick(rng)
    place = woods(rng)
    hero = creature(rng, WOODLAND)
    friend = creature(rng, ("robin", "rabbit", "squirrel", "deer", "frog", "wren"), hero)
    thing = pick("pebble", "acorn", "shell", "bead", "marble")
    colour = pick("blue", "glowing", "golden", "silver", "green", "rainbow-coloured")
    finds = pick(
        f"{day(rng, place)} {hero.name} found {a(colour)} {thing} in the "
        f"{pick('brook', 'moss', 'sand', 'grass')}.",
        f"{day(rng, place)} {hero.he} saw something shine. It was {a(colour)} {thing}.",
    )
    speaks = pick(
        f'"I grant three wishes," said the {thing} in a voice like a bell.',
        f'"Three wishes are inside me," whispered the {thing}. "Use them well."',
        f'The {thing} hummed. "Three wishes," it said. "Not one more."',
    )
    wasted = [
        (
            f"a mountain of {pick('nuts', 'berries', 'pears', 'mushrooms', 'biscuits')}",
            f"It was so big that it rolled down the hill, and {hero.he} had a tummy ache as well",
        ),
        (
            f"a {pick('golden', 'silver', 'velvet')} coat",
            "It was so heavy and hot that nobody could run in it",
        ),
        (
            "to be as tall as a tree",
            f"But then {hero.he} could not get through {hero.his} own front door, and was glad "
            "when it "
            "was over by evening",
        ),
        (
            "that it would never rain",
            "But the flowers hung their heads, and the next day the rain was welcome again",
        ),
        ("a crown", f"It kept slipping over {hero.his} eyes, and {hero.he} bumped into a tree"),
        ("to sleep as long as possible", f"{hero.He} slept for three days and missed a party"),
    ]
    rng.shuffle(wasted)
    (one, bad), (two, bad_too) = wasted[0], wasted[1]
    first = pick(
        f"First {hero.name} wished for {one}. {bad}.",
        f'"I wish for {one}!" cried {hero.name}. {bad}.',
    )
    second = pick(
        f"Then {hero.he} wished for {two}. {bad_too}.", f"The second wish was for {two}. {bad_too}."
    )
    first, second = (
        text.replace("wished for to ", "wished to ")
        .replace("wish for to ", "wish to ")
        .replace("was for to ", "was to ")
        .replace("for that it", "that it")
        for text in (first, second)
    )
    left = pick(
        "Now there was only one wish left.",
        f'"One more," said the {thing}. "Think first."',
        f"{hero.Name} put the {thing} away to think about the last wish.",
    )
    ill, well = pick(
        ("had hurt a leg and could not play", "jumped up and ran around the tree"),
        ("had lost the way home to the little ones", "saw the way as clear as day"),
        ("had been sad for many days and did not know why", "laughed for the first time in days"),
        ("had caught a cold and could not say a word", "talked and sang again"),
    )
    sees = pick(
        f"On the way home {hero.he} met {friend.intro}, who {ill}.",
        f"Then {friend.intro} came by, who {ill}.",
        f"Under a bush sat {friend.intro}, who {ill}.",
    )
    thinks = pick(
        f"{hero.Name} looked at the {thing}. {hero.He} did not have to think for long.",
        f'{hero.Name} thought of a hundred fine things. "No," {hero.he} said, "I know something '
        'better."',
        f'"This one is for you," said {hero.name}.',
    )
    wish = pick(
        f'"I wish that you were well and happy," {hero.he} said to {friend.name}.',
        f'"I wish that all were well with {friend.name}," {hero.he} said.',
    )
    works = pick(
        f"The {thing} grew warm, and {friend.name} {well}.",
        f"There was a sound like a small bell. {friend.Name} {well}.",
    )
    grey = pick(
        f"Then the {thing} turned grey, and was like any other {thing}.",
        f"The light in the {thing} went out, and its magic was gone.",
    )
    ask = pick(
        f'"Are you not sorry?" asked {friend.name}. "Not a bit," said {hero.name}.',
        f'"You gave your last wish for me!" said {friend.name}.',
        f'"Now you have nothing left," said {friend.name}. "I have a friend," said {hero.name}.',
    )
    ending = close(
        rng,
        (
            f"The grey {thing} lies on {hero.name}'s window sill to this day.",
            f"Of all three wishes, the last was the only one that {hero.name} never regretted.",
            f"After that, {hero.name} and {friend.name} were friends for ever.",
        ),
        (
            "The best wish is the one that you make for somebody else.",
            "Giving makes you happier than having.",
            "Think before you wish.",
        ),
    )
    parts = [
        [opening(rng, hero, place), some_of(rng, (habits(rng, hero),), 0.3)],
        [finds, speaks, first, second],
        [left, sees, thinks, wish, works],
        [grey, ask, ending],
    ]
    title = pick(
        f"The Wishing {thing.title()}", "Three Wishes", f"{titled(hero)} and the Three Wishes"
    )
    return fable(rng, parts, [hero, friend], (a(hero.kind), "three wishes", "magic"), title)
