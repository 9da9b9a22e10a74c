"""Fables about finding: the way home, a lost thing, a book."""

from __future__ import annotations

from random import Random

from vatra.spark.prose import Story, a, capital
from vatra.spark.stories.animals import FARM, GARDEN, WOODLAND
from vatra.spark.stories.fable import Pick, close, fable, opening, titled, together
from vatra.spark.stories.heroes import creature, likes, somebody
from vatra.spark.stories.places import Place, day, farm, garden, sight, woods


def lost_little_one(rng: Random) -> Story:
    """A young animal is lost and finds the way home by what it remembers."""
    pick = Pick(rng)
    young = pick("fox cub", "bear cub", "duckling", "fawn", "badger cub", "gosling", "wolf cub")
    look = pick("little", "small", "curious", "lively", "fluffy")
    hero = somebody(rng, young, (look,))
    place = woods(rng)
    parent = pick("mother", "father")
    he = "she" if parent == "mother" else "he"
    chased = pick(
        "a blue butterfly",
        "a dandelion seed",
        "a rolling nut",
        "a yellow leaf",
        "a soap bubble",
        "a shiny beetle",
        "a white feather",
        "a grasshopper",
    )
    rule = pick(
        f'"Stay close to me," {hero.his} {parent} always said.',
        f"{hero.He} was not supposed to go further than the big stone.",
        f'"If you are ever lost, stop and think," said {hero.his} {parent}.',
    )
    runs = pick(
        f"{day(rng, place)} {hero.name} ran after {chased}, further and further.",
        f"{day(rng, place)} {hero.name} saw {chased} and followed it without looking back.",
        f"{day(rng, place)} {chased} went by, and {hero.name} had to catch it.",
    )
    lost = pick(
        f"When {hero.he} looked up again, nothing was as it had been.",
        f"Suddenly {hero.name} did not know where {hero.he} was.",
        f'"Where am I?" asked {hero.name}. Nobody answered.',
    )
    wrong = pick(
        f"First {hero.he} ran to the left, and came to a thick hedge.",
        f"{hero.He} ran up a hill, but saw nothing but treetops.",
        f"{hero.He} ran this way and that way, and was even more lost than before.",
        f"{hero.He} cried a little. It helped a little, but not much.",
    )
    helper = creature(
        rng,
        ("robin", "toad", "squirrel", "wren", "woodpecker", "otter"),
        tempers=("old", "friendly", "kind", "wise"),
    )
    meets = pick(
        f'"You look lost," said {helper.intro}.',
        f'{capital(helper.intro)} heard {hero.him}. "Who is crying there?" asked {helper.name}.',
        f"Then {helper.intro} sat down beside {hero.him}.",
    )
    asks = pick(
        f'"What can you hear at home?" asked {helper.name}.',
        f'"Think hard," said {helper.name}. "What is there near your home?"',
        f'"What does your home smell of, and what can you hear?" asked {helper.name}.',
    )
    sound, source = pick(
        ("splashing", "a waterfall"),
        ("a tap, tap, tap", "a woodpecker"),
        ("frogs", "a pond full of frogs"),
        ("bells", "some sheep"),
        ("a deep humming", "a beehive"),
        ("clacking", "a water mill"),
    )
    smell = pick(
        "mint", "wild garlic", "pine", "wet moss", "honeysuckle", "old apples", "mushrooms"
    )
    answers = pick(
        f'{hero.Name} shut {hero.his} eyes. "There is {source}," {hero.he} said, "and it smells '
        f'of {smell}."',
        f'"I can hear {source} at home," said {hero.name}, "and it smells of {smell}."',
    )
    if source == "some sheep":
        answers = answers.replace("There is some", "There are some")
    follows = pick(
        f"They kept very still and listened. Far away they heard {sound}. They walked towards it.",
        f'"Now listen," said {helper.name}. And there it was, {sound}, quite faint.',
        f"Together they went where the wind came from, and soon they heard {sound}.",
    )
    nearer = pick(
        f"Then {hero.name} lifted {hero.his} nose. It smelled of {smell}!",
        f"Step by step it grew louder, and then there was the smell of {smell}.",
        f'"I smell {smell}!" cried {hero.name}.',
    )
    home = pick(
        f"Behind the next bush stood {hero.his} {parent}. {capital(he)} had been looking "
        "everywhere.",
        f"And there came {hero.his} {parent}, and {he} hugged {hero.him} for a long time.",
        f'"There you are!" called {hero.his} {parent}, and {hero.name} ran as fast as '
        f"{hero.he} could.",
    )
    thanks = pick(
        f'"Thank you, {helper.call}," said {hero.name}.',
        f"{helper.Name} was invited to supper.",
        f'"You found the way by yourself," said {helper.name}. "I only asked a question."',
    )
    ending = close(
        rng,
        (
            f"That night {hero.name} slept close to {hero.his} {parent}.",
            f"The next time {hero.name} saw {chased}, {hero.he} only waved.",
            f"And {hero.name} fell asleep to the sound of {source}.",
        ),
        (
            "When you are lost, stop, think, and ask for help.",
            "It is wise to stay near those who love you.",
            "Home is the place that you know with your eyes shut.",
        ),
    )
    parts = [
        [opening(rng, hero, place), likes(rng, hero, False, 0.8), rule],
        [runs, sight(rng, hero, place, 0.5), lost, wrong],
        [meets, asks, answers],
        [follows, nearer, home],
        [thanks, ending],
    ]
    title = pick(f"The Lost {young.title()}", "The Way Home")
    return fable(rng, parts, [hero, helper], (a(young), "getting lost"), title)


def lost_thing(rng: Random) -> Story:
    """Something is lost; on the way to finding it, other things turn up, and it was near."""
    pick = Pick(rng)
    here = pick((woods(rng), WOODLAND), (farm(rng), FARM), (garden(rng), GARDEN))
    place, kinds = here
    hero = creature(rng, kinds)
    friends = rng.sample([kind for kind in kinds if kind != hero.kind], 2)
    lost = pick(
        "red scarf",
        "little bell",
        "wooden whistle",
        "blue button",
        "golden key",
        "green hat",
        "round mirror",
        "silver spoon",
        "yellow ribbon",
        "lucky stone",
        "woollen blanket",
    )
    things = rng.sample(
        (
            "an old boot",
            "a rusty nail",
            "a ball of wool",
            "a broken cup",
            "a long feather",
            "a cork",
            "a glass marble",
            "a wet sock",
            "a bent fork",
            "a dry biscuit",
        ),
        2,
    )
    places = rng.sample(
        (
            "under the bridge",
            "behind the wood pile",
            "in the tall grass",
            "beside the well",
            "among the nettles",
            "at the edge of the ditch",
            "under the elder bush",
            "by the gate",
            "between the roots",
            "behind the water barrel",
        ),
        2,
    )
    the_first, the_thing = (f"the {thing.split(' ', 1)[1]}" for thing in things)
    loved = pick(
        f"{hero.Name} had {a(lost)} and loved it very much.",
        f"{hero.His} dearest thing was {a(lost)}.",
        f"Wherever {hero.name} went, {a(lost)} went, too.",
    )
    gone = pick(
        f"{day(rng, place)} it was gone.",
        f"{day(rng, place)} {hero.he} could not find it.",
        f"{day(rng, place)} {hero.name} woke up, and it was not there.",
    )
    cry = pick(
        f'"Where is my {lost}?" cried {hero.name}.',
        f'"Oh no," said {hero.name}. "I have lost my {lost}!"',
        f"{hero.He} looked under the bed and behind the door. Nothing.",
    )
    one = pick(
        f"The {friends[0]} helped {hero.him} to look {places[0]}. There they found {things[0]}.",
        f'"Let us look {places[0]}," said the {friends[0]}. But there was only {things[0]}.',
        f"{capital(places[0])} they met the {friends[0]}, who had found {things[0]}.".replace(
            "they met", f"{hero.he} met"
        ),
    )
    two = pick(
        f"{capital(places[1])} the {friends[1]} dug up {things[1]}, but no {lost}.",
        f"Next {hero.he} asked the {friends[1]}. {capital(places[1])} there was {things[1]}, and "
        "that was all.",
        f'"I saw something {places[1]}," said the {friends[1]}. It was {things[1]}.',
    )
    tired = pick(
        f"At last {hero.name} sat down, tired and sad.",
        f"It grew late, and {hero.name} had no more hope.",
        f"{hero.Name} let {hero.his} head hang.",
    )
    think = pick(
        f'"When did you have it last?" asked the {friends[0]}.',
        f'"Let us go back to the beginning," said the {friends[1]}.',
        f'"Tell me all you did yesterday," said the {friends[0]}.',
    )
    yesterday, found = pick(
        ("I took a nap in the hay", f"And there, deep in the hay, lay the {lost}"),
        (
            "I made my bed, and shook it well",
            f"They ran home and looked into the bed. There was the {lost}, under the pillow",
        ),
        (
            "I carried home a basket of leaves",
            f"They turned the basket over, and out fell the {lost}",
        ),
        (
            "I gave it to the baby next door, so that it would stop crying",
            f"They went next door. The baby was asleep, with the {lost} in its arms",
        ),
        (
            "I put it in a very safe place",
            f"They looked in the safest place of all, and there was the {lost}",
        ),
    )
    remember = pick(
        f'{hero.Name} thought hard. "{yesterday}," {hero.he} said. "Oh!"',
        f'"Yesterday?" said {hero.name}. "{yesterday}. Oh, now I know!"',
    )
    joy = pick(
        f"{hero.Name} laughed and hugged them both.",
        f'"It was there all the time!" said {hero.name}.',
        f"{hero.Name} danced around the {friends[0]} and the {friends[1]}.",
    )
    use = pick(
        f"And {the_first} turned out to be useful, too, for the {friends[0]} had been looking for "
        "just that.",
        f"They kept {the_thing} as a memory of the day.",
        f"The {friends[1]} took {the_thing} home and was very pleased with it.",
        "",
    )
    ending = close(
        rng,
        (
            f"From then on, the {lost} hung on a nail beside the door.",
            f"And if you lose something, ask {hero.name}. {hero.He} knows how to look.",
            f"That night {hero.name} slept with the {lost} in {hero.his} arms.",
        ),
        (
            "When you have lost something, think back, step by step.",
            "Looking for something is easier with friends.",
            "Sometimes the thing we look for is very near.",
        ),
    )
    parts = [
        [opening(rng, hero, place), loved, gone, cry],
        [one, sight(rng, hero, place, 0.4), two],
        [tired, think, remember, f"{found}."],
        [joy, use, together(rng, "the three friends", 0.4), ending],
    ]
    title = pick(f"The Lost {lost.title()}", f"Where Is the {lost.title()}?")
    return fable(rng, parts, [hero], (a(hero.kind), f"a lost {lost.split()[-1]}"), title)


def library_mouse(rng: Random) -> Story:
    """A mouse lives among books, learns to read, and helps someone to find a book."""
    pick = Pick(rng)
    hero = somebody(rng, "mouse", ("small grey", "little brown", "tiny", "curious", "quiet"))
    place = Place(
        pick(
            "in an old library",
            "in a library with tall windows",
            "behind the shelves of a library",
            "in the library of a small town",
        ),
        "the library",
    )
    nest = pick(
        f"{hero.He} slept in a box of "
        f"{pick('old cards', 'paper scraps', 'lost gloves', 'soft rags')}.",
        f"{hero.His} bed was a {pick('red', 'blue', 'green')} {pick('mitten', 'slipper', 'cap')} "
        "that somebody had lost.",
        f"{hero.He} lived on the crumbs that the readers dropped.",
    )
    wonder = pick(
        f"Every day {hero.he} saw people sit quite still and look into books.",
        f'"What is in there that makes them smile?" {hero.he} wondered.',
        f"{hero.He} could not understand why people looked at black dots for hours.",
    )
    tries = pick(
        f"{hero.He} sniffed at a page. It smelled of dust.",
        f"{hero.He} nibbled at a corner. It tasted of nothing at all.",
        f"{hero.He} walked across a whole page and was none the wiser.",
    )
    tries_too = pick(
        f"{hero.He} held a book to {hero.his} ear, but it did not say a word.",
        f"{hero.He} jumped up and down on it, but nothing came out.",
        "",
    )
    child, he, his = pick(("girl", "she", "her"), ("boy", "he", "his"))
    learn = pick(
        f"Then a {child} came every afternoon and read aloud, one finger under the words.",
        f"One rainy day a {child} sat on the floor and spelled out the letters, loud and clear.",
        f"One day a {child} began to learn to read, right beside the mouse hole.",
    )
    listens = pick(
        f"{hero.Name} sat behind a chair leg and learned every letter, from A to Z.",
        f"{hero.Name} listened, and bit by bit the black dots turned into words.",
        f"{hero.Name} looked over the {child}'s shoulder from the shelf, and so {hero.he} learned, "
        "too.",
    )
    topic, other_topic = rng.sample(
        (
            "the sea",
            "a moon ship",
            "a brave snail",
            "seven clouds",
            "a garden in the sky",
            "cheese from many lands",
            "a bear in a balloon",
            "the stars",
            "old castles",
        ),
        2,
    )
    first_book = pick(
        f"The first book that {hero.he} read was about {topic}.",
        f"Soon {hero.he} had read about {topic}, and then about {other_topic}.",
        f"By winter {hero.he} knew all about {topic} and {other_topic}.",
        f"{hero.He} read a book about {topic} in a single night.",
    )
    book = pick(
        "whales",
        "dragons",
        "trees",
        "trains",
        "birds",
        "pirates",
        "kings and queens",
        "flowers",
        "robots",
        "islands",
    )
    problem = pick(
        f"One day the {child} was sad. A book about {book} was lost, and nobody could find it.",
        f'"Where is the book about {book}?" asked the {child}. The librarian looked everywhere.',
        f"Then a book about {book} was put in the wrong place, and the {child} looked for it in "
        "vain.",
    )
    search = pick(
        f"That night {hero.name} ran along all the shelves and read every title.",
        f"When the lights were out, {hero.name} climbed from shelf to shelf and read.",
        f"{hero.Name} knew every corner, and {hero.he} searched until the clock struck three.",
    )
    where = pick(
        "behind the radiator",
        "between two thick maps",
        "under the big globe",
        "on the very top shelf",
        "among the cook books",
        "behind the curtain",
    )
    finds = pick(f"There it was, {where}!", f"At last {hero.he} found it {where}.")
    pushes = pick(
        f"It was too heavy to carry, so {hero.he} laid a trail of paper bits to it.",
        f"{hero.He} pushed and pulled until it fell on the carpet with a bump.",
        f'{hero.He} wrote a note with a tiny pencil. "Look {where}," it said.',
    )
    happy = pick(
        f'In the morning the {child} found the book. "Who did that?" {he} asked.',
        f"The next day the {child} cried out for joy, and the librarian shook "
        f"{pick('his', 'her')} head in wonder.",
    )
    thanks = pick(
        f"Then the {child} saw a small tail behind the shelf and smiled.",
        f"The {child} saw tiny footprints in the dust and understood.",
    )
    ending = close(
        rng,
        (
            "Since that day, a piece of cheese lies beside the mouse hole every evening.",
            f"Now the {child} reads aloud every day, and two round ears are listening.",
            f"And {hero.name}? {hero.He} is reading a book about {book}.",
        ),
        (
            "Whoever can read is never bored.",
            "A book is a door, and reading is the key.",
            "Even a mouse can learn to read, if it listens well.",
        ),
    )
    parts = [
        [opening(rng, hero, place, placed=True), likes(rng, hero, chance=0.5), nest, wonder],
        [tries, tries_too, learn, listens, first_book],
        [problem, search, finds, pushes],
        [happy, thanks, ending],
    ]
    title = pick("The Mouse in the Library", f"{titled(hero)} Learns to Read")
    return fable(rng, parts, [hero], ("a mouse", "a book"), title)
