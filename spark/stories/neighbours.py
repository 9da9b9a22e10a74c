"""Fables about animals who live together: quarrels, songs, presents, bridges, odd noises."""

from __future__ import annotations

from random import Random

from vatra.spark.prose import Story, a, capital
from vatra.spark.stories.fable import Pick, close, fable, opening, some_of, titled, together
from vatra.spark.stories.heroes import creature, habits
from vatra.spark.stories.places import Place, day, farm, garden, sight, woods, world

_FRUITS = (
    ("apple", "tree", "red"),
    ("pear", "tree", "yellow"),
    ("plum", "tree", "purple"),
    ("strawberry", "plant", "red"),
    ("pumpkin", "plant", "orange"),
    ("melon", "plant", "green"),
)


def the_quarrel(rng: Random) -> Story:
    """Two animals quarrel about one fruit and learn to share it."""
    pick = Pick(rng)
    kinds, place = pick(
        (("mouse", "squirrel", "hedgehog", "rabbit", "badger", "dormouse"), woods(rng)),
        (("piglet", "goat", "donkey", "goose", "hen", "horse"), farm(rng)),
        (("snail", "mouse", "ant", "beetle"), garden(rng)),
    )
    one = creature(rng, kinds)
    two = creature(rng, kinds, one)
    fruit, plant, colour = pick(*_FRUITS)
    size = pick("big", "ripe", "round", "shiny", "juicy")
    when = day(rng, place)
    find = pick(
        f"{when} {one.name} found a {size} {colour} {fruit}.",
        f"{when} {one.he} saw a {size} {colour} {fruit} lying in the grass.",
        f"{when} {one.name} came upon a {size} {colour} {fruit} beside the path.",
    )
    same = pick(
        f"At the very same moment, {two.intro} saw it, too.",
        f"But {two.intro} had found it as well.",
        f"Just as {one.he} reached for it, {two.intro} came from the other side.",
    )
    fight = pick(
        f'"It is mine!" cried {one.name}. "I saw it first!" "No, it is mine!" cried {two.name}.',
        f'"This is my {fruit}," said {one.name}. "No, mine," said {two.name}. "I smelled it '
        'from far away."',
        f'"Let go!" said {two.name}. "You let go!" said {one.name}.',
        f'{two.Name} put a foot on it. "I found it," {two.he} said. "You did not!" said '
        f"{one.name}.",
    )
    pull = pick(
        f"They pulled this way and that way, and the {fruit} rolled down the hill.",
        f"{one.Name} pulled and {two.name} pulled, and neither of them got a bite.",
        f"They sat down on two sides of the {fruit} and looked at each other angrily.",
        f"They quarrelled so loudly that the {fruit} was quite forgotten.",
    )
    race = pick(
        "They ran a race for it, but they both came in at the same time.",
        "They tried who could stay awake longer, and both of them fell asleep.",
        "They asked the wind to choose, but the wind only blew.",
        "They counted who had more friends, and lost count.",
    )
    if "rolled" in pull:
        race = "At the bottom it splashed into a puddle. They had to fish it out together."
    judge = creature(rng, ("crow", "robin", "blackbird"), named=0.0, tempers=("old", "wise"))
    judge_words = pick(
        f'"Why do you not cut it in two?" asked {judge.intro} who had watched it all.',
        f'{capital(judge.intro)} shook {judge.his} head. "Half {a(fruit)} and a friend is more '
        f'than a whole {fruit} alone," {judge.he} said.',
        f'"While you quarrel, nobody eats," said {judge.intro}.',
    )
    alone = pick(
        f"Then {one.name} heard a soft sound. It was {two.name}'s tummy, and it rumbled.",
        f"After a while {one.name} saw that {two.name} was crying a little.",
        f'"I am so hungry," said {two.name} in a small voice.',
    )
    turn = pick(judge_words, alone, judge_words)
    share = pick(
        f'"I am sorry," said {one.name}. "Let us share it."',
        f'{one.Name} thought about it. "You take one half and I take the other," {one.he} said.',
        f'"You may have the first bite," said {one.name}. "No, you," said {two.name}, and they '
        "both began to laugh.",
        f'"Shall we share?" asked {one.name}. "Yes, please," said {two.name}.',
    )
    eat = pick(
        f"So they ate the {fruit} together, and it was sweeter than any they had ever tasted.",
        f"They divided the {fruit} down the middle. There was more than enough for both.",
        f"Bite by bite, the {fruit} grew smaller and their smiles grew bigger.",
    )
    seeds = pick(
        f"When only the seeds were left, they planted them side by side, and years later there "
        f"was {'an' if fruit == 'apple' else 'a'} {fruit} {plant} for everyone.",
        f"They planted the seeds, and every day they watered them together. In time, a new "
        f"{fruit} {plant} grew.",
        f"One seed was left, and they put it into the earth. It grew into a new {fruit} {plant}.",
        "",
    )
    ending = close(
        rng,
        (
            f"From then on, {one.name} and {two.name} shared everything they found.",
            f"That is how {one.name} and {two.name} became best friends.",
            f"And every time {one.name} saw {a(fruit)}, {one.he} called {two.name} first.",
        ),
        (
            "A thing that is shared tastes twice as good.",
            "Sharing is better than quarrelling.",
            f"They had learned that a friend is worth more than {a(fruit)}.",
        ),
    )
    parts = [
        [opening(rng, one, place), habits(rng, one)],
        [sight(rng, one, place), find, same, fight],
        [pull, race, turn],
        [share, eat, seeds, together(rng, "the two of them", 0.3), ending],
    ]
    title = pick(f"The {colour.title()} {fruit.title()}", f"One {fruit.title()} for Two")
    return fable(rng, parts, [one, two], (a(one.kind), a(two.kind), "sharing"), title)


def the_song(rng: Random) -> Story:
    """One starts a small tune, and one after another everybody joins in."""
    pick = Pick(rng)
    here = world(rng)
    hero = creature(rng, here.kinds, tempers=("shy", "small", "quiet", "young", "cheerful"))
    place = here.place
    joiners = rng.sample([kind for kind in here.kinds if kind != hero.kind], 3)
    noises = rng.sample(
        (
            "hummed along",
            "tapped the ground",
            "clapped",
            "whistled",
            "stamped in time",
            "drummed on a log",
            "blew on a blade of grass",
            "rattled some dry seeds",
            "sang the low notes",
            "sang the high notes",
            "swayed to and fro",
        ),
        3,
    )
    dull = pick(
        "It had been raining for days, and everybody was in a bad mood.",
        "Everybody was so busy that nobody had time for a kind word.",
        "It was a grey day, and all the neighbours were cross.",
        "It was so cold and dull that nobody wanted to play.",
        f"It was much too quiet {'on' if place.the == 'the farm' else 'in'} {place.the}, for "
        "everybody stayed at home.",
    )
    if place.the in ("the plain", "the snow"):
        dull = "It was a long, dull day, and everybody was in a bad mood."
    tune = pick(
        "about the sun",
        "about a round red apple",
        "with only three notes",
        "about home",
        "about a warm soup",
        f"that {hero.his} mother used to sing",
        "without any words",
        "about a boat with wings",
        "about seven stars",
    )
    starts = pick(
        f"{hero.Name} had a little song {tune}, and {hero.he} sang it very softly.",
        f"To cheer {hero.himself} up, {hero.name} began to sing a song {tune}.",
        f"{hero.Name} sat down and sang a small song {tune}.",
    )
    stop = pick(
        f'"What is that noise?" grumbled the {joiners[0]}. {hero.Name} stopped at once.',
        f'"Who sings on a day like this?" asked the {joiners[0]}. {hero.Name} turned red.',
        f"Then {hero.name} saw that the {joiners[0]} was listening, and {hero.he} fell silent.",
    )
    again = pick(
        f'"Go on, please," said the {joiners[0]}. "It is a good tune."',
        f'But the {joiners[0]} said, "Do not stop. My feet like it."',
        f'"I did not mean it," said the {joiners[0]}. "Sing it once more."',
    )
    first = pick(
        f"So {hero.name} sang again, and the {joiners[0]} {noises[0]}.",
        f"{hero.Name} began once more, and this time the {joiners[0]} {noises[0]}.",
    )
    second = pick(
        f"Then the {joiners[1]} came and {noises[1]}.",
        f"The {joiners[1]} heard it from far away, came near, and {noises[1]}.",
        f'"Wait for me!" called the {joiners[1]}, and {noises[1]}.',
    )
    last = pick(
        f"Last of all, the {joiners[2]} {noises[2]}.",
        f"Even the {joiners[2]}, who never joined in anything, {noises[2]}.",
        f"Now the {joiners[2]} could not sit still any longer and {noises[2]}.",
    )
    big = pick(
        f"The song grew and grew until {place.the} was full of it.",
        "Nobody knew any more who had been cross, or why.",
        "It was the loudest and merriest song that anybody had ever heard.",
        "They sang it seven times, and every time it was better.",
    )
    if "rain" in dull:
        big += pick(" And then the rain stopped.", " Nobody noticed that the rain was over.", "")
    ending = close(
        rng,
        (
            f"Since then, {hero.name} and the {joiners[0]} sing together every evening.",
            f"The {joiners[1]} hummed the song all the way home.",
            f'"Tomorrow again?" asked the {joiners[2]}. "Tomorrow again!" said {hero.name}.',
        ),
        (
            "One small song can make a whole day bright.",
            "Joy grows when you share it.",
            "It takes only one to begin.",
        ),
    )
    parts = [
        [opening(rng, hero, place), habits(rng, hero), dull],
        [starts, stop, again],
        [first, second, last],
        [
            big,
            together(rng, "they", 0.3) if place.the not in ("the snow", "the plain") else "",
            ending,
        ],
    ]
    title = pick("The Song", "The Song That Everybody Sang", f"{titled(hero)} Sings")
    return fable(rng, parts, [hero], (a(hero.kind), "a song"), title)


def strange_noise(rng: Random) -> Story:
    """A strange noise frightens everybody; somebody goes and looks, and it is quite harmless."""
    pick = Pick(rng)
    place = woods(rng)
    hero = creature(
        rng,
        ("mouse", "rabbit", "squirrel", "wren", "hedgehog", "fox"),
        tempers=("brave", "small", "curious", "young"),
    )
    friends = rng.sample(
        [
            k
            for k in ("badger", "hare", "deer", "toad", "otter", "mole", "beaver")
            if k != hero.kind
        ],
        3,
    )
    noise, where, cause = pick(
        ("Clonk, clonk!", "from the old mill", "an empty bucket that swung in the wind"),
        ("Whoo-oo-oo!", "from the hollow tree", "the wind that blew across a hole in the trunk"),
        ("Tick, tack, tick!", "from under the bridge", "drops of water that fell on a tin can"),
        ("Rrrr, rrrr!", "from behind the rocks", "a fat old bear who was snoring"),
        ("Squeak, squeak!", "from the gate in the hedge", "a rusty hinge that needed oil"),
        ("Flap, flap, flap!", "from the blackberry bushes", "a paper kite caught in the thorns"),
        ("Bonk, bonk!", "from the pond", "a lost boat that bumped against a stone"),
        ("Eek, eek!", "from a hole in the ground", "three baby mice who wanted their supper"),
    )
    heard = pick(
        f'One night there was a strange noise {where}. "{noise}"',
        f'"{noise}" it went one evening, {where}.',
        f'It was almost dark when everybody heard it. "{noise}" it went, {where}.',
    )
    guesses = rng.sample(
        (
            "a giant",
            "a dragon",
            "a monster with ten feet",
            "a ghost with wet socks",
            "a bird as big as a barn",
            "a rolling mountain",
            "a storm with teeth",
        ),
        3,
    )
    guess = pick(
        f'"It is {guesses[0]}," whispered the {friends[0]}. "No, {guesses[1]}," said the '
        f"{friends[1]}.",
        f'The {friends[0]} thought it was {guesses[0]}. "I think it is {guesses[1]}," said the '
        f"{friends[1]}.",
        f'"Only {guesses[0]} sounds like that," said the {friends[0]}, and hid.',
    )
    hide = pick(
        f"The {friends[2]} crept under a bush and did not come out.",
        f"The {friends[2]} shut both eyes.",
        "Nobody slept a wink that night.",
        "Everybody locked their doors.",
    )
    first = pick(
        f"The {friends[0]} went to look, but turned back at the first shadow.",
        'They called, "Go away!" The noise only went on.',
        "They put leaves into their ears, but they could still hear it.",
    )
    brave = pick(
        f'"I want to know what it is," said {hero.name}, and {hero.his} heart beat fast.',
        f'"Somebody has to look," said {hero.name}. "I will go."',
        f"{hero.Name} was afraid as well, but {hero.he} was even more curious.",
    )
    walk = pick(
        f"{hero.Name} went nearer, step by step.",
        f"{hero.He} took a deep breath at every tree.",
        f'"{noise}" it went, louder and louder, but {hero.name} did not turn back.',
    )
    finds = pick(
        f"Then {hero.he} looked around the corner. It was only {cause}!",
        f"And what did {hero.he} see? Nothing but {cause}.",
        f"There it was. It was {cause}, and nothing else.",
    )
    laugh = pick(
        f"{hero.Name} laughed until {hero.he} had to sit down.",
        f'"So that is all!" said {hero.name}.',
        f"{hero.Name} shook {hero.his} head and smiled.",
    )
    fix = {
        "an": "{Name} took the bucket down and set it on the ground.",
        "the": "{Name} sang a note along with it, and it sounded nice.",
        "drops": "{Name} turned the can around, and all was quiet.",
        "a fat": "{Name} covered the bear with leaves, for the night was cold.",
        "a rusty": "The next day somebody brought a drop of oil.",
        "a paper": "{Name} set the kite free, and it flew a little in the wind.",
        "a lost": "{Name} pulled the boat on to the sand.",
        "three": "{Name} stayed with them until their mother came home with seeds.",
    }
    mend = next(text for key, text in fix.items() if cause.startswith(key + " "))
    mend = mend.replace("{Name}", hero.Name)
    calls = pick(
        f'"Come and look!" {hero.he} called. One after another, the others came out.',
        f"When {hero.he} told the others, they were a little ashamed, and then they all laughed.",
        f'"{capital(guesses[0])}, was it?" {hero.he} asked the {friends[0]}, who turned red.',
    )
    ending = close(
        rng,
        (
            f"That night everybody in {place.the} slept very well.",
            f"From then on, whenever something went bump, they asked {hero.name} to come along.",
            f"The {friends[1]} still tells the story today, and the noise gets louder every time.",
        ),
        (
            "Many things are not so frightening when you look at them closely.",
            "Being brave means going on even if you are afraid.",
            "What you know, you need not fear.",
        ),
    )
    parts = [
        [opening(rng, hero, place), habits(rng, hero)],
        [heard, guess, hide, some_of(rng, (first,), 0.6)],
        [brave, walk, finds, laugh],
        [mend, calls, together(rng, "they", 0.3), ending],
    ]
    title = pick("The Strange Noise", "What Was That?", f"{titled(hero)} Goes to Look")
    return fable(rng, parts, [hero], (a(hero.kind), "a strange noise"), title)


def the_gift(rng: Random) -> Story:
    """An animal has no gift for a friend's birthday, and what it brings is the best of all."""
    pick = Pick(rng)
    here = world(rng)
    place = here.place
    hero = creature(rng, here.kinds)
    friend = creature(rng, here.kinds, hero)
    rest = [kind for kind in here.kinds if kind not in (hero.kind, friend.kind)]
    one, two = rng.sample(rest, 2)
    snow = place.the in ("the snow", "the plain")
    fine = rng.sample(
        (
            "a warm scarf",
            "a basket of fruit",
            "a round drum",
            "a soft pillow",
            "a jar of honey",
            "a big cake",
            "a silver bell",
            "a wooden spoon",
            "a blue blanket",
            "a string of beads",
        ),
        2,
    )
    news = pick(
        f"The next day was the birthday of {friend.intro}.",
        f"{hero.His} best friend was {friend.intro}, and tomorrow was {friend.his} birthday.",
        f"Soon {friend.intro} was going to have a birthday, and everybody was invited.",
    )
    others = pick(
        f"The {one} had {fine[0]}, and the {two} had {fine[1]}.",
        f'"I am bringing {fine[0]}," said the {one}. "And I have {fine[1]}," said the {two}.',
        f"The {one} had made {fine[0]}. The {two} had found {fine[1]}.",
    )
    poor = pick(
        f"Only {hero.name} had nothing to give.",
        f'"And I have nothing at all," thought {hero.name}.',
        f"{hero.Name} looked in every corner at home, but there was nothing fit to give.",
    )
    stuff = pick(*(("twigs", "feathers") if snow else ("leaves", "twigs", "grass", "flowers")))
    fail = pick(
        f"{hero.He} tried to make a crown of {stuff}, but it fell apart.",
        f"First {hero.he} tried to bake a cake. It was as hard as a stone.",
        f"{hero.He} drew a picture in the sand, but the wind blew it away."
        if place.the != "the snow"
        else f"{hero.He} drew a picture in the snow, but the wind blew it away.",
        f"{hero.He} built a tower of {stuff}. Before evening it had fallen down.",
    )
    gift, gift_says, gift_after = pick(
        (
            "a whole day",
            "I give you a day. I will do with you whatever you like",
            "They spent the day together from sunrise to moonrise",
        ),
        (
            "a story",
            "I made up a story, and it is about you",
            "Everybody sat in a circle and listened, and nobody moved",
        ),
        (
            "a song",
            "I have a song for you, and it has your name in it",
            "By the third verse they were all singing",
        ),
        (
            "a secret place",
            "I will show you my secret place, and now it is yours, too",
            "It was a small green hollow with the widest view"
            if not snow
            else "It was a quiet hollow out of the wind",
        ),
        (
            "ten hugs",
            "I have no parcel, but I have ten hugs for you, one for every day",
            "The first hug was so good that everybody wanted one",
        ),
        (
            "a promise",
            "I promise to help you whenever you call me",
            "And that very evening they carried all the gifts home together",
        ),
    )
    idea = pick(
        f"That night {hero.name} lay awake. Then {hero.he} had an idea: {gift}!",
        f"{hero.Name} thought and thought. At last {hero.he} smiled.",
        f'Then {hero.name} remembered what {friend.name} liked best. "I know!" {hero.he} said.',
    )
    party = pick(
        f"At the party {hero.name} waited until last.",
        f"{friend.Name} opened one parcel after another, and then it was {hero.name}'s turn.",
        f"Everybody looked at {hero.name}, who had come with empty hands.",
    ).replace("with empty hands", "without a parcel")
    says = f'"{gift_says}," said {hero.name}' + pick(
        ".", " shyly.", " in a small voice.", " with a smile."
    )
    result = f"{gift_after}."
    best = pick(
        f'"That is the best gift of all," said {friend.name}.',
        f'"Nobody has ever given me anything like it," said {friend.name}, and {friend.his} '
        "eyes were shining.",
        f"{friend.Name} was so happy that {friend.he} danced.",
    )
    ending = close(
        rng,
        (
            f"Long after {fine[0].replace('a ', 'the ', 1)} was forgotten, {friend.name} still "
            f"remembered {gift.replace('a ', 'the ', 1)}.",
            "And the two friends stayed up until the stars came out.",
            f"On {hero.name}'s own birthday, {friend.name} came with {gift}, too.",
        ),
        (
            "The best gifts come from the heart.",
            "You do not need much to make a friend happy.",
            "Time with a friend is a gift that does not break.",
        ),
    )
    parts = [
        [opening(rng, hero, place), habits(rng, hero), news],
        [others, poor, fail, idea],
        [party, says, best] if rng.random() < 0.4 else [party, says, result, best],
        [ending],
    ]
    title = pick(
        "The Best Gift",
        f"A Gift for {friend.name}" if friend.named else f"A Gift for the {friend.kind.title()}",
    )
    return fable(rng, parts, [hero, friend], (a(hero.kind), a(friend.kind), "a birthday"), title)


def the_bridge(rng: Random) -> Story:
    """The bridge is gone; two plans fail, and the third, made together, holds."""
    pick = Pick(rng)
    place = pick(
        Place("in a green valley beside a river", "the valley"),
        Place("in a deep forest near a stream", "the forest"),
        Place("in a quiet wood by a brook", "the wood"),
    )
    water = {"the valley": "river", "the forest": "stream", "the wood": "brook"}[place.the]
    kinds = ("fox", "badger", "rabbit", "squirrel", "hedgehog", "mouse", "bear", "deer")
    hero = creature(rng, kinds, tempers=("clever", "busy", "patient", "thoughtful", "young"))
    mates = rng.sample([k for k in (*kinds, "beaver", "mole", "woodpecker") if k != hero.kind], 3)
    need = pick(
        "the blackberry bushes",
        "the school",
        "the market",
        "the best nut trees",
        "grandmother's house",
        "the dancing meadow",
    )
    gone = pick(
        f"One night a storm carried away the bridge over the {water}.",
        f"In spring the {water} rose and took the old bridge with it.",
        f"One day the old bridge over the {water} broke with a loud crack.",
    )
    cannot = pick(
        f"Now nobody could get to {need}.",
        f"On the other side were {need}, and there was no way across."
        if need.endswith("s") and "'" not in need
        else f"On the other side was {need}, and there was no way across.",
    )
    boast = pick(
        f'"I will build a bridge alone," said the {mates[0]}.',
        f'"Leave it to me," said the {mates[0]}. "I need no help."',
        f'The {mates[0]} said, "That is easy. I can do it before lunch."',
    )
    fail = pick(
        f"The {mates[0]} laid down one long reed, but it bent and broke.",
        f"The {mates[0]} piled up mud, and the {water} washed it away.",
        f"The {mates[0]} pushed a log across, but it rolled and swam off.",
    )
    boast_two = pick(
        f'"You did it wrong," said the {mates[1]}. "Watch me!"',
        f'Next it was the turn of the {mates[1]}. "Stones are better," said the {mates[1]}.',
        f'"My plan is better," said the {mates[1]}.',
    )
    fail_two = pick(
        "But the stones sank, one after another, plop, plop, plop.",
        "But the pile of stones fell over with a great splash.",
        f"But the {mates[1]} got tired in the middle, and it was never finished.",
    )
    quarrel = pick(
        f"Then the {mates[0]} and the {mates[1]} began to quarrel.",
        "They all talked at once, and nobody listened.",
        f"The {mates[2]} sat on the bank and sighed.",
    )
    idea = pick(
        f'"Everybody is good at something," said {hero.name}. "Let us do it together."',
        f'"What if we put all the plans into one?" asked {hero.name}.',
        f'{hero.Name} drew a picture in the sand. "The stones carry the logs, and the reeds tie '
        'them," ' + f"{hero.he} said.",
    )
    jobs = rng.sample(
        (
            "rolled the stones",
            "carried the logs",
            "twisted ropes of grass",
            "dug holes for the posts",
            "cut the branches",
            "held everything straight",
            "hammered in the pegs",
            "fetched moss for the gaps",
            "tied the knots",
            "measured with a long stick",
        ),
        4,
    )
    work = pick(
        f"The {mates[0]} {jobs[0]}, the {mates[1]} {jobs[1]}, and the {mates[2]} {jobs[2]}.",
        f"So the {mates[0]} {jobs[0]}. The {mates[1]} {jobs[1]}. The {mates[2]} {jobs[2]}, and "
        f"{hero.name} {jobs[3]}.",
    )
    done = pick(
        f"After {pick('two', 'three', 'four', 'five')} days the bridge was finished.",
        "By sunset the last log was in its place.",
        "They worked until the moon came out, and then it was done.",
    )
    test = pick(
        f"{hero.Name} walked across first. It did not even shake.",
        "They all jumped on it at the same time, and it held.",
        f"The {mates[2]} danced in the middle, and it held.",
    )
    ending = close(
        rng,
        (
            f"The next day they all went to {need} together.",
            f"And under the bridge the {water} sang as if nothing had happened.",
            "They called it the Bridge of Many "
            f"{'Wings and Paws' if 'woodpecker' in mates else 'Friends'}.",
        ),
        (
            "Together we can do what nobody can do alone.",
            "A good plan needs many helpers.",
            "It is better to work together than to be right alone.",
        ),
    )
    parts = [
        [opening(rng, hero, place, placed=True), habits(rng, hero)],
        [gone, cannot, boast, fail],
        [boast_two, fail_two, quarrel],
        [idea, work, done, test],
        [together(rng, "they", 0.4), ending],
    ]
    title = pick("The New Bridge", f"The Bridge Over the {water.title()}")
    return fable(rng, parts, [hero], (a(hero.kind), "a bridge", "working together"), title)
