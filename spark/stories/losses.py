"""Everyday stories of what was lost and is found again: toys, pets, glasses, mittens, kites."""

from __future__ import annotations

from random import Random

from vatra.spark.prose import Story, capital
from vatra.spark.stories.people import COLOURS, TOYS
from vatra.spark.stories.tale import Tale


def lost_toy(rng: Random) -> Story:
    """A toy is gone, and thinking back helps to find it."""
    tale = Tale(rng)
    tale.grown()
    tale.when("sunny", "windy", "rainy", "cold")
    tale.put(toy=rng.choice(TOYS))
    tale.put(short=tale.slots["toy"].split(maxsplit=1)[-1])
    searched = rng.sample(
        (
            ("under the bed", "[an old sock|a puzzle piece|a bit of dust]"),
            ("behind the sofa", "[a marble|a lost pencil|a crumpled drawing]"),
            ("in the toy box", "[blocks and balls|picture books|a heap of wooden blocks]"),
            ("in the kitchen", "[pots and pans|a bowl of apples|spoons and cups]"),
            ("in the wardrobe", "[coats and scarves|winter boots|a warm sweater]"),
            ("behind the curtain", "[a sleepy fly|a button|an old postcard]"),
            ("in the hall", "[shoes and umbrellas|muddy boots|a wet umbrella]"),
        ),
        2,
    )
    found, memory = rng.choice(
        (
            ("under the apple tree", "we had a tea party under the apple tree"),
            ("on the porch swing", "we sat on the porch swing and read a story"),
            ("under the front seat of the car", "we drove home from the market in the car"),
            ("in the garden shed", "I helped to get the watering can from the shed"),
            ("in the basket of clean clothes", "I helped to fold the clean clothes"),
            ("behind the flowerpots", "I watered the flowers by the door"),
            ("in the little tent in the yard", "we played camping in the little tent"),
            ("inside the big blue bag", "we took the big blue bag to the park"),
        )
    )
    tale.put(first=searched[0][0], saw1=searched[0][1], second=searched[1][0], saw2=searched[1][1])
    tale.put(found=found, memory=memory)
    tale.open(
        (
            "{N} loved {his} {toy} [more than any other toy|more than anything].",
            "{N} had a {toy}, and {he} took it everywhere.",
            "{N}'s best [friend|toy] was a {toy}.",
            "every night, {N} slept with a {toy} in {his} arms.",
        ),
        (
            "{when}, {N} could not find {his} {toy}.",
            "{when}, {N} wanted to play with {his} {toy}, but it was gone.",
            "{when}, {N} looked for {his} {toy}, but it was not on the shelf.",
            "{when}, something was wrong: {N}'s {toy} was missing.",
        ),
    )
    tale.say(
        '"Where is my {short}?" {he} [cried|asked|wondered].',
        '"Oh no, my {short} is lost!" {N} [cried|said].',
        "{SAD}",
        '"I must find it," {he} said.',
    )
    tale.turn()
    tale.say(
        "first, {N} looked {first}, but {he} only saw {saw1}. "
        "Then {he} [looked|searched] {second} and found {saw2}, but no {short}.",
        "{N} looked {first} and found {saw1}. {he} looked {second} and found {saw2}. "
        "the {short} was [nowhere to be seen|not there].",
        "{N} searched {first}. [Nothing|No {short}]! {N} searched {second}. {he} only found "
        "{saw2}.",
        '"Maybe it is {first}," {N} thought, but {he} only saw {saw1} there. '
        "{N} [peeked|looked] {second} too, but the {short} was not there.",
    )
    tale.say("{SAD}", chance=0.5)
    tale.turn()
    tale.say(
        '{G} [saw|noticed] {his} sad face. "[When|Where] did you last have it?" {ghe} asked '
        "{softly}.",
        '{G} sat down beside {him}. "Let us think together," {ghe} said. '
        '"What did you do [yesterday|this week]?"',
        '{N} [went to|ran to] {G}. "I can\'t find my {short}," {he} said. '
        '"Think back," said {G}. "What did you do yesterday?"',
        'then {G} came [in|to help]. "Close your eyes and [remember|think]," {ghe} said. '
        '"Where did you have it last?"',
    )
    tale.say(
        '{N} thought {moment}. "Yesterday {memory}!" {he} said.',
        '{N} closed {his} eyes and thought. "I know!" {he} cried. "Yesterday {memory}!"',
        'Suddenly {N} remembered. "Yesterday {memory}," {he} said.',
    )
    tale.say(
        "they [ran|hurried|went] to look, and there, {found}, was the {toy}.",
        "{N} [ran|rushed] off, and sure enough, the {short} was {found}.",
        "together they looked {found}. There it [was|sat], [safe and sound|waiting quietly].",
        "and there it was, {found}, just where {N} had left it.",
    )
    tale.turn()
    tale.say(
        "{N} hugged the {short} [tightly|with both arms].",
        '"I found you!" said {N} and held the {short} close.',
        '"[Thank you|Thanks], {call}!" said {N}. "You are welcome," said {G}.',
    )
    tale.say("{JOY}", chance=0.6)
    return tale.story(
        ("The Lost {toy}", "{N} and the Lost {toy}", "Where Is the {short}?"),
        ("a lost toy", "a {toy}"),
        (
            "from then on, {N} put the {short} [back on the shelf|on {his} pillow] every evening.",
            "that night, the {short} slept [next to {N}|in {N}'s arms] again.",
            "after that, {he} always remembered where {he} left {his} {short}.",
            "{N} and the {short} played together until [dinner|bedtime].",
            "now {N} knew that it helps to stop and think.",
            "{EVENING}",
        ),
    )


def lost_pet(rng: Random) -> Story:
    """A lost kitten or puppy is brought back to where it belongs."""
    tale = Tale(rng)
    tale.grown(("mom", "dad", "grandma", "grandpa", "aunt", "uncle"))
    tale.when("rainy", "windy", "cold", "sunny")
    tale.put(
        pet=rng.choice(("kitten", "puppy")),
        fur="[little|gray|brown|black|white|spotted|fluffy|small black|tiny gray]",
        place="[under a bush|behind the school|beside the road|under a bench in the park"
        "|behind the flower shop|on the steps of the library|in an old box by the gate"
        "|under the bridge|next to the bakery]",
        owner="[an old woman|a young man|an old man|a little boy|a little girl|a baker|a teacher]",
    )
    woman = tale.slots["owner"].endswith(("woman", "girl"))
    if not woman and not tale.slots["owner"].endswith(("man", "boy")):
        woman = rng.random() < 0.5
    tale.put(ohe="she" if woman else "he", ohis="her" if woman else "his")
    tale.put(o=tale.slots["owner"].split(maxsplit=1)[1])
    cat = tale.slots["pet"] == "kitten"
    tale.put(
        cry="[Meow|Mew, mew]" if cat else "[Woof|Yip, yip]",
        food="[some milk|a little fish|some warm milk]" if cat else "[some water|a bit of meat]",
        sound="[a soft meow|a tiny mew|a sad little meow]"
        if cat
        else "[a soft whine|a tiny bark|a sad little bark]",
    )
    tale.put(
        P=rng.choice(("Biscuit", "Pepper", "Coco", "Patch", "Smoky", "Pip", "Ginger", "Nutmeg"))
    )
    tale.names.append(tale.slots["P"])
    tale.open(
        (
            "{N} loved animals.",
            "{N} [stopped|always stopped] to say hello to every cat and dog.",
            "{N} knew all the animals on {his} street.",
        ),
        (
            "{when}, {N} heard {sound} {place}.",
            "{when}, {N} was walking home when {he} heard {sound}. there was something {place}.",
            "{when}, {N} saw something small {place}.",
        ),
    )
    tale.say(
        "there sat a {fur} {pet}, all alone.",
        "it was a {fur} {pet} with [big|round|sad] eyes.",
        "a {fur} {pet} looked up at {him}.",
    )
    tale.say('"{cry}," said the {pet}.', chance=0.4)
    tale.turn()
    tale.say(
        '"Are you lost?" {N} asked {softly}.',
        '"Poor little thing," said {N}. "Where is your home?"',
        '"Don\'t be afraid," {N} whispered.',
        "{N} [held out {his} hand|sat down on the ground] and waited.",
    )
    tale.say(
        "the {pet} was [cold|wet|tired] and hungry, so {he} [took|carried] it home.",
        "{he} wrapped it in {his} [scarf|jacket|sweater] and carried it home.",
        "the {pet} came closer, step by step, and let {N} pick it up. {N} took it home.",
    )
    tale.say(
        "{G} gave it {food} and a [soft|warm] [blanket|towel].",
        '"[Can we|May we] keep it?" {N} asked. "Somebody may be looking for it," said {G}.',
        '"It must belong to somebody," said {G}. "Let us help it get home."',
    )
    tale.turn()
    tale.say(
        "they asked the [neighbors|people next door], but nobody knew the {pet}. "
        "They asked at the [bakery|school|market], but nobody knew it there either.",
        "first they knocked on every door in the street. No one had lost a {pet}. "
        "Then {N} had an idea.",
        "{N} walked up and down the street with it, but nobody was looking for a {pet}.",
    )
    tale.say(
        "so {N} drew a picture of the {pet}, and they hung it [on a tree|at the bus stop|in a shop "
        "window].",
        'so {N} painted a sign. It said, "[Found|We found]: one {fur} {pet}."',
        "so {N} made a poster with a picture of the {pet} and hung it [at the park|on the gate].",
    )
    tale.say(
        'The next day, {owner} [knocked at|came to] the door. "{P}!" {ohe} cried.',
        'Soon the bell rang. There stood {owner}. "Oh, {P}, there you are!" {ohe} said.',
        'In the evening, {owner} came to the door. "Have you seen my {P}?" {ohe} asked.',
    )
    tale.say(
        "the {pet} [jumped|leaped] into {ohis} arms.",
        "the {pet} ran to the {o} at once.",
        "how happy the {pet} was!",
    )
    tale.turn()
    tale.say(
        '"Thank you for [taking care of|helping] {P}," said the {o}.',
        '"You have a [kind|good] heart," the {o} told {N}.',
        '"{P} got out through the [gate|door|window]," said the {o}. "I looked everywhere. Thank '
        'you!"',
    )
    tale.say(
        "{N} was [a little|a bit] sad to say goodbye, but {he} was also {happy}.",
        '"You can visit {P} [any time|whenever you like]," said the {o}.',
        "{JOY}",
    )
    return tale.story(
        ("The Lost {pet}", "{N} and the Lost {pet}", "{P} Finds the Way Home"),
        ("a lost {pet}", "a {pet}", "helping"),
        (
            "and now {N} visits {P} every [week|Sunday|day after school].",
            "{P} was home again, and that was the best thing of all.",
            "that night, {P} slept in a warm bed at home.",
            "{N} had helped a friend to get home.",
            "after that, {P} always [ran|came running] to meet {N} in the street.",
            "{EVENING}",
        ),
    )


def stuck_kite(rng: Random) -> Story:
    """A kite or balloon is caught in a tree."""
    tale = Tale(rng)
    tale.friend()
    tale.grown(("mom", "dad", "grandma", "grandpa", "aunt", "uncle"))
    tale.when("windy")
    tale.put(
        thing=f"{rng.choice(COLOURS)} [kite|balloon]",
        tree="[oak|apple|maple|chestnut|pear|birch|cherry] tree",
        where="[on the hill|in the park|in the meadow|behind the school|by the river]",
    )
    tale.put(short=tale.slots["thing"].split()[-1])
    tale.open(
        (
            "{N} had a {thing} that {he} loved.",
            "{N} got a {thing} for {his} birthday.",
            "of all {his} things, {N} liked the {thing} best.",
        ),
        (
            "{when}, {N} and {his} friend {F} took the {thing} outside to play {where}.",
            "{when}, {N} and {his} friend {F} went out with {N}'s {thing}. They ran around "
            "{where}.",
            "{when}, {N} was {where} with {his} friend {F} and a {thing}.",
        ),
    )
    tale.say(
        "the {short} danced [high|up] in the air, and {N} laughed.",
        '"Look how high it is!" {N} [shouted|cried].',
        "up, up, up went the {short}.",
        chance=0.6,
    )
    tale.say(
        "but then a [strong|sudden] gust of wind came, and the {short} got stuck in [a|a tall] "
        "{tree}.",
        "suddenly the wind pulled the string out of {his} hand, and the {short} flew into a "
        "{tree}.",
        "whoosh! The wind blew the {short} into the branches of a {tree}.",
    )
    tale.turn()
    tale.say(
        "{N} jumped as high as {he} could, but the branch was too high.",
        "{N} pulled [carefully |]at the string, but the {short} did not move.",
        "{N} shook the [trunk|tree], but only leaves fell down.",
        "first, {N} reached up with a long stick, but it was not long enough.",
    )
    tale.say(
        "then {F} stood on a [stone|log|bucket] and stretched, but that was not high enough.",
        "{F} threw a [soft|rubber] ball at the branch, but the ball got stuck, too!",
        '"Let me try," said {F}. {fhe} waved a long branch, but {fhe} could not reach the {short}.',
        "{F} wanted to help. {fhe} climbed on a bench, but {fhe} could not reach it either.",
    )
    tale.say("{SAD}", '"Will it stay there forever?" asked {N}.', chance=0.7)
    tale.turn()
    tale.say(
        "just then, {NG} came along.",
        "then {N} saw {G} at the end of the path.",
        "they ran to get {NG}.",
    )
    tale.say(
        '"Let us think," said {G}. "You are small, and I am tall. What are we together?" '
        "So {N} climbed onto {ghis} shoulders.",
        '"Alone, none of us can reach it," said {G}. "But together we can." Then {ghe} lifted {N} '
        "up.",
        '{G} [brought|got] a ladder and held it tight. "Slowly," {ghe} said, and {N} climbed up.',
    )
    tale.say(
        "{N} stretched out {his} arm, higher and higher, and at last {he} had the string.",
        "carefully, {N} pulled the string from the twigs, and the {short} was free.",
        "with the tips of {his} fingers, {N} got hold of the {short}.",
    )
    tale.turn()
    tale.say(
        '"Hooray!" {N} and {F} [shouted|cheered].',
        "{F} cheered and clapped.",
        '"Thank you, {call}," said {N}.',
        "{JOY}",
    )
    tale.say(
        '"Now it is your turn," {N} said and gave {F} the string.',
        "after that, {F} was allowed to hold the string for a while.",
        chance=0.5,
    )
    return tale.story(
        ("The {short} in the Tree", "{N} and the {thing}", "Up in the {tree}"),
        ("a {short}", "a tree", "helping each other"),
        (
            "they played with the {short} all [afternoon|day], far away from the trees.",
            "from then on, {N} always held the string with both hands.",
            "the {thing} had a little scratch, but it was as [beautiful|bright] as ever.",
            "together they had done what no one could do alone.",
            "{EVENING}",
            "{N}, {F} and {G} walked home together, and the {short} danced above them.",
        ),
    )


def lost_glasses(rng: Random) -> Story:
    """A grandparent's glasses are looked for everywhere."""
    tale = Tale(rng)
    tale.grown(("grandma", "grandpa"))
    tale.when("sunny", "rainy", "windy", "snowy", parts=("morning", "afternoon", "day"))
    rooms = rng.sample(
        (
            ("under the newspaper", "found a bookmark"),
            ("in the bread box", "found only bread"),
            ("on the piano", "played a few notes"),
            ("between the cushions", "found a comb"),
            ("in the sewing basket", "found a ball of wool"),
            ("on the kitchen shelf", "saw cups and jars"),
            ("next to the flowerpots", "found a sleepy cat"),
            ("in the hall", "found an umbrella"),
        ),
        2,
    )
    tale.put(r1=rooms[0][0], s1=rooms[0][1], r2=rooms[1][0], s2=rooms[1][1])
    tale.put(
        wish="[read a story|look at old photos|write a letter|read the recipe|read the newspaper]",
        spot="[on top of {G}'s own head|in the pocket of {G}'s own sweater"
        "|on a ribbon around {G}'s own neck|under {G}'s own hat]",
    )
    tale.open(
        (
            "{N} loved to visit {G}.",
            "{N} liked to help, most of all when {G} needed something.",
            "{NG} was very dear to {N}.",
        ),
        (
            "{when}, {NG} wanted to {wish}, but {ghe} could not find {ghis} glasses.",
            "{when}, {N} came to see {G}. {G} was looking for {ghis} glasses.",
            '{when}, {NG} said, "Where did I put my glasses? I wanted to {wish}."',
        ),
    )
    tale.say(
        '"I will help you, {call}," said {N}.',
        '"Without them, everything is [a blur|foggy]," {ghe} said.',
        '"Don\'t worry, {call}. I am good at finding things," said {N}.',
    )
    tale.turn()
    tale.say(
        "{N} looked {r1} and {s1}. {he} looked {r2} and {s2}.",
        "first {N} searched {r1} and {s1}. Then {he} searched {r2} and {s2}.",
        '"Maybe they are {r1}," said {N}. {he} went to look and {s1}. {he} looked {r2} as well '
        "and {s2}.",
    )
    tale.say(
        "but there were no glasses [anywhere|to be seen].",
        "the glasses were not there.",
        "{N} crawled under the table, but the glasses were not there either.",
    )
    tale.say(
        "{G} sighed and sat down in {ghis} chair.",
        '"I had them this morning," said {G}.',
        '"How strange," said {G}. "Glasses cannot walk."',
    )
    tale.turn()
    tale.say(
        "then {N} looked at {G} very closely and began to [laugh|giggle].",
        "{N} turned around to ask something, and suddenly {he} [laughed|giggled].",
        "{N} stopped in the middle of the room and [smiled|grinned].",
    )
    tale.say(
        '"{call}, I found them!" {he} said. The glasses were {spot}.',
        '"I can see them!" {he} cried. They were {spot}!',
        "there were the glasses, {spot}.",
    )
    tale.say(
        '"Well, well," said {G}. "I looked everywhere but there."',
        "{G} felt with {ghis} hand and laughed [out loud|until {ghis} tummy shook].",
        '"Now that is funny," {ghe} said, and they both laughed.',
    )
    tale.turn()
    tale.say(
        "then {G} put on the glasses, and at last {ghe} could {wish}. {N} sat beside {ghim}.",
        "now {G} could {wish}, and {N} helped.",
        '"Thank you, my [clever|good] {kind}," said {G}. "Now we can {wish} together."',
    )
    tale.say("afterwards, they had {snack}.", chance=0.4)
    return tale.story(
        ("{N} Finds the Glasses", "Where Are the Glasses?", "The Lost Glasses"),
        ("lost glasses", "helping " + tale.slots["call"].lower())
        if " " not in tale.slots["call"]
        else ("lost glasses",),
        (
            "and the next time {G} lost {ghis} glasses, {N} knew where to look first.",
            "sometimes the thing you are looking for is very close.",
            "it was a cozy [day|time] for both of them.",
            "{N} was glad to be a good helper.",
            "{G} gave {N} a big hug.",
            "they laughed about it for a long time.",
        ),
    )


def lost_mitten(rng: Random) -> Story:
    """A lost mitten turns out to be somebody's home."""
    tale = Tale(rng)
    tale.friend()
    tale.grown(("grandma", "grandpa", "mom", "aunt"))
    tale.put(
        weather=rng.choice(("cold", "snowy")),
        when="[one|on a] [cold|snowy|frosty|winter] [morning|afternoon|day]",
        colour=rng.choice(COLOURS),
        mark="[white stars|little hearts|yellow stripes|tiny snowflakes|black dots]",
        home="[mouse|robin|squirrel|little bird|hedgehog]",
    )
    places = rng.sample(
        (
            "at the bus stop",
            "on the playground",
            "by the frozen pond",
            "in front of the bakery",
            "on the school steps",
            "under the park bench",
            "on the sledding hill",
        ),
        3,
    )
    tale.put(p1=places[0], p2=places[1], p3=places[2], Last=capital(places[2]))
    tale.open(
        (
            "{N} had a pair of {colour} mittens with {mark}. {G} had knitted them.",
            "{N} loved {his} {colour} mittens with {mark}.",
            "{NG} had knitted {N} a pair of {colour} mittens.",
        ),
        (
            "{when}, {N} came home with only one {colour} mitten.",
            "{when}, {N} noticed that one of {his} {colour} mittens was gone.",
            "{when}, {N} put {his} hands in {his} pockets. There was one {colour} mitten, but not "
            "the other.",
        ),
    )
    tale.say(
        '"My left hand is freezing," {he} said.',
        "one hand was warm, and the other one was cold.",
        '"Oh dear," {he} said. "{G} worked so hard on it."'
        if " " in tale.slots["G"] and tale.slots["G"][0].isupper()
        else '"Oh dear," {he} said. "I have to find it."',
        "{SAD}",
    )
    tale.turn()
    tale.say(
        '"We will look for it together," said {his} friend {F}.',
        "{his} friend {F} wanted to help.",
        '"Where were you today?" asked {his} friend {F}. "Let us walk the same way back."',
    )
    tale.say(
        "they searched {p1}, but there was only snow. They searched {p2}, but there was nothing.",
        "first they went back and searched {p1}. No mitten. Then they searched {p2}. No mitten "
        "there either.",
        "the mitten was not {p1}, and it was not {p2}.",
    )
    tale.say(
        '"It is hopeless," said {N}. "One more place," said {F}.',
        '"Don\'t give up," said {F}.',
        "{F} gave {N} one of {fhis} own mittens for the way.",
        "{N}'s fingers were cold, and it was getting late.",
    )
    tale.turn()
    tale.say(
        "then they came to the last place. {Last}, something {colour} was shining in the snow.",
        "at last, they searched {p3}. There, in the snow, was something {colour}.",
        '"Look there!" {F} cried. {Last}, something {colour} lay in the snow.',
    )
    tale.say(
        "it was the mitten! And inside sat a small {home}, warm and snug.",
        "it was the mitten, but it was not empty. A small {home} looked out of it.",
        "the mitten! When {N} came closer, it moved, and a {home} peeked out.",
    )
    tale.say(
        '"[It is|You are] cold, too," {N} whispered.',
        '"Someone has moved in," said {F} and laughed.',
        "{N} and {F} stood very still.",
    )
    tale.say(
        "{N} thought {moment}. Then {he} left the mitten there for the {home}.",
        '"You may keep it," {N} told the {home}. "You need it more than I do."',
        "{N} could not take the warm bed away from it. {he} let the {home} keep the mitten.",
    )
    tale.turn()
    tale.say(
        'When {G} heard the story, {ghe} smiled. "Then I will knit you another one," {ghe} said.',
        '{N} told {G} everything. "You have a warm heart," said {G} and took out {ghis} wool.',
        '"That was a good thing to do," said {G} and looked for some {colour} wool.',
    )
    return tale.story(
        ("The Lost Mitten", "{N} and the {colour} Mitten", "The {home} in the Mitten"),
        ("a lost mitten", "a {home}", "winter"),
        (
            "soon {N} had warm hands again, and the {home} had a warm bed.",
            "and all winter long, the {home} had a warm bed.",
            "that night, it snowed, but the {home} was warm.",
            "{N} was happy, even with one cold hand.",
            "the new mitten was as {colour} as the old one.",
        ),
    )
