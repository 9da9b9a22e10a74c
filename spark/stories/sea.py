"""Fables of the water: boats, fish and crabs."""

from __future__ import annotations

from random import Random

from vatra.spark.prose import Story, a, capital
from vatra.spark.stories.fable import Pick, close, fable, opening, some_of, titled
from vatra.spark.stories.heroes import Hero, creature, likes, somebody
from vatra.spark.stories.places import Place


def little_boat(rng: Random) -> Story:
    """A little boat can go where the big ships cannot."""
    pick = Pick(rng)
    colour = pick("red", "blue", "yellow", "green", "white", "orange")
    boat = somebody(
        rng, "boat", (f"little {colour}", f"small {colour}", f"old {colour}"), "it", 0.8
    )
    place = pick(
        Place("in a harbour by the sea", "the harbour"),
        Place("in a quiet bay", "the bay"),
        Place("beside an old wooden pier", "the pier"),
        Place("on an island in the blue sea", "the island"),
    )
    cargo, goods, more = rng.sample(
        (
            "coal",
            "bananas",
            "wood",
            "cars",
            "barrels",
            "wheat",
            "coffee",
            "bricks",
            "wool",
            "salt",
            "tea",
        ),
        3,
    )
    ships = pick(
        f"All around it lay big ships that carried {cargo} and {goods} across the sea.",
        f"The ships beside it were as tall as houses, and full of {cargo}, {goods} and {more}.",
        f"The big ships brought {cargo} and {goods} from far away, but the boat only carried nets.",
    )
    tease = pick(
        f'"You are no bigger than a bathtub," said a ship full of {cargo}.',
        '"What can you carry?" asked a tall ship. "Two fish and a hat?"',
        '"Stay near the shore, little one," said the biggest ship.',
    )
    feel = pick(
        f"{boat.Name} rocked on the waves and said nothing.",
        f'"One day I will be useful, too," thought {boat.name}.',
        f"{boat.Name} wished it were as big as the others.",
    )
    lost = pick(
        "a baby seal", "a young dolphin", "a girl in a rowing boat", "two boys on a raft", "a puppy"
    )
    the_lost = "the " + lost.split(" ", 1)[1] if lost[0] == "a" else "the two boys"
    the_lost = the_lost.replace(" in a rowing boat", "")
    many = lost.startswith("two")
    was, them = ("were", "them") if many else ("was", "it" if "girl" not in lost else "her")
    night = pick(
        "One evening a thick fog came in from the sea.",
        "One day a strong wind rose, and the waves grew high.",
        "One night the tide went out very far.",
    )
    news = pick(
        f'"Help!" cried the gulls. "There {"are" if many else "is"} {lost} between the rocks!"',
        f"A gull brought the news that {lost} {was} caught between the rocks.",
        f"From between the rocks came a cry for help. It was {lost}."
        if not many
        else f"From between the rocks came a cry for help. There were {lost}.",
    )
    big_try = pick(
        "The biggest ship set out at once, but the gap was too narrow.",
        "A tall ship tried first. Its bottom scraped over the sand, and it had to turn back.",
        f"The ship full of {cargo} tried, but it was too heavy for the shallow water.",
    )
    second = pick(
        "Another ship threw a rope, but the rope was too short.",
        "A second ship blew its horn, but that did not help.",
        "The next ship did not even come near.",
    )
    goes = pick(
        f'"I am small enough," said {boat.name}. "I will go."',
        f"{boat.Name} did not wait to be asked. It turned its nose to the rocks.",
        f'"Let me try!" called {boat.name}, and off it went.',
    )
    steer = pick(
        "Left and right it went between the stones, and did not touch a single one.",
        f"{boat.Name} danced over the waves like a cork.",
        "It slipped through the gap like a fish.",
    )
    saves = pick(
        f'"Follow me," it said, and {the_lost} came close behind.'
        if lost in ("a baby seal", "a young dolphin")
        else f'"Climb in!" it said, and in no time {the_lost} {was} safe on board.',
        f"There {was} {the_lost}, tired and frightened. "
        f'"Come with me," said {boat.name} in a gentle voice.',
        f"{boat.Name} found {the_lost} and brought {them} out, slowly and carefully.",
    )
    back = (
        pick(
            f"When they came home, every horn in {place.the} was blowing.",
            "The gulls flew ahead and showed the way home.",
            "Behind them the moon came out and laid a silver road on the water.",
        )
        .replace("on the island", "near the island")
        .replace("in the island", "on the island")
    )
    back = back.replace("in the pier", "at the pier")
    respect = pick(
        f'"We could not have done that," said the biggest ship. "Well done, {boat.call}!"'
        if boat.named
        else '"We could not have done that," said the biggest ship. "Well done, little boat!"',
        f"The ship full of {cargo} bowed its flag to {boat.name}.",
        "And nobody said anything about bathtubs any more.",
    )
    if "bathtub" not in tease and "bathtub" in respect:
        respect = "And the big ships did not tease any more."
    ending = close(
        rng,
        (
            f"{boat.Name} rocked itself to sleep that night, proud and happy.",
            f"Since then, {boat.name} keeps watch over the rocks.",
            f"The waves sang a new song, and it was about {boat.name}.",
        ),
        (
            "The small ones can go where the big ones cannot.",
            "Everybody is the right size for something.",
            "It is not the size of the boat that counts, but its courage.",
        ),
    )
    first = opening(rng, boat, place).replace("who lived", "that lay").replace("lived", "lay")
    parts = [
        [first, likes(rng, boat, chance=0.8), ships, tease, feel],
        [night, news, big_try, some_of(rng, (second,), 0.7)],
    ]
    parts += [[goes, steer, saves], [back, respect, ending]]
    title = pick(f"The Little {colour.title()} Boat", "The Boat and the Rocks")
    return fable(rng, parts, [boat], ("a boat", "the sea"), title)


def fish_and_hill(rng: Random) -> Story:
    """A fish wants to see the hill, which it cannot reach; a friend brings the hill to it."""
    pick = Pick(rng)
    fish = somebody(
        rng, "fish", ("small silver", "little golden", "curious blue", "young red"), named=0.75
    )
    water = pick("pond", "lake", "river")
    word = pick("clear", "deep", "quiet", "cool", "green")
    place = Place(f"in a {word} {water} below a hill", f"the {water}")
    friend = creature(
        rng,
        ("duck", "otter", "frog", "swallow"),
        fish,
        tempers=("kind", "old", "cheerful", "friendly"),
    )
    heard = pick(
        f"One day {fish.he} heard the {pick('geese', 'gulls', 'frogs')} talk about the hill.",
        f"The wind often told {fish.him} about the hill on the shore.",
        f"All summer {fish.he} had heard the sheep bells from the hill.",
    )
    wish = pick(
        f'"I would love to see the hill," said {fish.name}.',
        f'"What is it like up there?" {fish.he} wondered, and blew a bubble.',
        f"From then on {fish.name} thought of nothing but the hill.",
    )
    cannot = pick(
        "But a fish cannot live on land, not even for a short walk.",
        "But fish breathe under water, and a hill is a dry place.",
        "But a fish has no feet, and it needs water as we need air.",
    )
    tries = pick(
        f"{fish.He} jumped as high as {fish.he} could, and saw only sky.",
        f"{fish.He} swam to the edge and looked up, but the reeds were in the way.",
        f"{fish.He} jumped on to a flat stone and gasped, and quickly slid back into the water.",
    )
    again = pick(
        f"{fish.He} swam up the little brook, but soon it was too shallow.",
        f"{fish.He} tried to make the {water} higher with stones, and was tired after three.",
        f"{fish.He} asked a water beetle, who had never been there either.",
    )
    meets = pick(
        f"{capital(friend.intro)} had watched it all. "
        f'"Why do you jump like that?" asked {friend.name}.',
        f'Then {friend.intro} came by. "What are you looking for?" asked {friend.name}.',
    )
    tells = pick(
        f'"I want to see the hill," said {fish.name}, "and I cannot leave the water."',
        f'"The hill," sighed {fish.name}. "It is so near, and I can never go."',
    )
    plan = pick(
        f'"Then I will bring the hill to you," said {friend.name}.',
        f'{friend.Name} thought for a while. "If you cannot go to the hill, the hill must come '
        f'to you," {friend.he} said.',
        f'"Wait here," said {friend.name}. "I have an idea."',
    )
    one, two, three = rng.sample(
        (
            "a blue flower",
            "a tuft of white wool",
            "a smooth red leaf",
            "a sprig of thyme",
            "a round grey stone",
            "a feather of a lark",
            "a yellow buttercup",
            "a small pine cone",
        ),
        3,
    )
    brings = pick(
        f"{friend.He} went up the hill and brought back {one}, {two} and {three}.",
        f"First {friend.he} brought {one}, then {two}, and then {three}.",
        f"In the evening {friend.he} came back with {one}, {two} and {three}.",
    )
    stories = pick(
        f"{friend.He} told {fish.name} about the sheep and the bees and the wide view.",
        f"And with every gift {friend.he} told a story of the hill.",
        f"{fish.Name} looked at every one of them, and asked a hundred questions.",
    )
    mirror = pick(
        f"Then the wind went to sleep, and the {water} became as smooth as glass. "
        f'"Look at the water," said {friend.name}. And there was the hill, upside down.',
        f'"Now come to the top," said {friend.name}. The air was still, and in the smooth '
        "water lay the whole hill, green and golden.",
        f"The next morning was so calm that the hill stood in the {water} like a picture. "
        f'"There it is!" cried {friend.name}.',
    )
    joy = pick(
        f"{fish.Name} swam right through the middle of it, and laughed.",
        f'"I am swimming over the hill!" cried {fish.name}.',
        f"{fish.Name} had never seen anything so beautiful.",
    )
    ending = close(
        rng,
        (
            f"Every calm morning {fish.name} and {friend.name} met to look at the hill together.",
            f"The gifts lie on the ground of the {water} to this day, in a little round garden.",
            f"In return, {fish.name} told {friend.name} all about the bottom of the {water}.",
        ),
        (
            "A good friend can bring the whole world to you.",
            "If you cannot go to a thing, perhaps it can come to you.",
            "There is more than one way to make a wish come true.",
        ),
    )
    parts = [
        [opening(rng, fish, place, placed=True), likes(rng, fish, chance=0.5), heard, wish, cannot],
        [tries, some_of(rng, (again,), 0.6), meets, tells],
        [plan, brings, some_of(rng, (stories,), 0.7), mirror],
        [joy, ending],
    ]
    title = pick("The Fish Who Wanted to See the Hill", f"{titled(fish)} and the Hill")
    return fable(rng, parts, [fish, friend], ("a fish", "a hill"), title)


_SEA = (
    ("dolphin", ("grey", "playful", "friendly")),
    ("turtle", ("old", "green", "slow")),
    ("seahorse", ("yellow", "tiny", "orange")),
    ("octopus", ("purple", "clever", "shy")),
    ("starfish", ("red", "orange", "sleepy")),
    ("gull", ("white", "loud", "clever")),
    ("whale", ("blue", "huge", "gentle")),
    ("seal", ("grey", "spotted", "round")),
)


def creature_of_the_sea(rng: Random, other: Hero, kinds: tuple[str, ...] = ()) -> Hero:
    """An animal of the sea or the shore, other in pronoun than the one already there."""
    choice = [entry for entry in _SEA if not kinds or entry[0] in kinds]
    kind, looks = rng.choice(choice)
    return somebody(rng, kind, looks, "she" if other.he == "he" else "he", 0.5)


def hermit_crab(rng: Random) -> Story:
    """A hermit crab has grown too big for its shell and looks for another."""
    pick = Pick(rng)
    hero = somebody(rng, "hermit crab", ("little", "young", "shy", "red", "small orange"))
    at, neighbours = pick(
        ("on a sandy beach", ("gull", "seal", "turtle")),
        ("in a rock pool by the sea", ("starfish", "gull")),
        ("at the bottom of a warm bay", ("dolphin", "turtle", "octopus", "seahorse")),
        ("on the shore of a small island", ("gull", "seal", "turtle")),
    )
    place = Place(at, "the sea")
    tight = pick(
        f"{hero.He} had grown so much that {hero.his} shell was too tight.",
        f"One morning {hero.his} shell pinched on every side.",
        f'"Ouch!" said {hero.name}. {hero.His} shell had become too small.',
    )
    need = pick(
        "A hermit crab has a soft back and needs a shell to be safe.",
        f"So {hero.name} went to look for a new one.",
        f'"I need a bigger house," said {hero.name}.',
    )
    he = hero.he
    cup = pick("a tin cup", "a bottle cap", "a toy bucket", "a thimble", "a walnut shell")
    flaw = pick(
        "clattered at every step", "let the cold water in", "was much too heavy", "had no door"
    )
    wrong = pick(
        "there was a hole in it", "somebody already lived there", "it was too wide and fell off"
    )
    cover = pick("a leaf of seaweed", "an old rope", "half a coconut", "a piece of driftwood")
    bad = [
        f"{he} tried {cup}, but it {flaw}.",
        f"{he} found a {pick('grey', 'pink', 'spotted', 'white')} shell, but {wrong}.",
        f"{he} saw a {pick('pointed', 'flat', 'broken', 'tiny')} shell, but could not get in.",
        f"{he} crept under {cover}, but the next wave carried it away.",
    ]
    rng.shuffle(bad)
    first = pick("First ", "That morning ", "In the first hour ") + bad[0]
    then = pick("Then ", "Next ", "A little further on ", "After that ") + bad[1]
    friend = creature_of_the_sea(rng, hero, neighbours)
    meets = pick(
        f'"What are you looking for?" asked {friend.intro}.',
        f"On the way {hero.he} met {friend.intro}.",
        f'"You look tired," said {friend.intro}.',
    )
    tells = pick(
        f'"I need a shell that fits," said {hero.name}.',
        f"{hero.Name} told {friend.him} all about it.",
        f'"Every shell is too big, too small or broken," sighed {hero.name}.',
    )
    shine = pick("round", "smooth", "shiny", "lovely")
    shell = f"{shine} {pick('yellow', 'blue', 'brown', 'striped', 'white', 'purple')} shell"
    tip = pick(
        f'"Behind the black rock there is {a(shell)}," said {friend.name}.',
        f'"Come with me," said {friend.name}, and showed {hero.him} {a(shell)} in the sand.',
        f"{friend.Name} knew the sea well, and found {a(shell)} between the stones.",
    )
    fits = pick(
        f"{hero.Name} slipped out of the old shell and into the new one, quick as a wink. It "
        "fitted.",
        f"One, two, and {hero.name} was inside. It was neither too big nor too small.",
        f"{hero.Name} tried it on and turned around in it. It was just right.",
    )
    small = pick(
        'Just then a smaller crab came by, who had no shell at all. "Take my old one," said '
        f"{hero.name}.",
        f"And the old shell? {hero.Name} gave it to a smaller crab, who was overjoyed.",
        f'"May I have your old shell?" asked a tiny crab. "With pleasure," said {hero.name}.',
    )
    ending = close(
        rng,
        (
            "Side by side the two crabs watched the waves, each in a house that fitted.",
            f"The waves rolled in, and {hero.name} slept well that night.",
            f"And {hero.name} left room inside for growing.",
        ),
        (
            "What is too small for one may be just right for another.",
            "Growing means changing, and that is a good thing.",
            "If you keep looking, you will find the place where you fit.",
        ),
    )
    parts = [
        [opening(rng, hero, place, placed=True), likes(rng, hero), tight, need],
        [first, then],
        [meets, tells, tip, fits],
        [small, ending],
    ]
    title = pick("The New Shell", f"{titled(hero)} Finds a Shell")
    return fable(rng, parts, [hero, friend], ("a crab", "the sea"), title)
