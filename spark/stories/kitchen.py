"""Everyday stories about food: baking it, sharing it, packing it and buying it."""

from __future__ import annotations

from random import Random

from vatra.spark.prose import Story, capital
from vatra.spark.stories.tale import Tale


def baking(rng: Random) -> Story:
    """A cake goes wrong and is saved."""
    tale = Tale(rng)
    tale.grown()
    tale.when("rainy", "sunny", "snowy", "cold")
    tale.put(
        cake="[lemon|chocolate|carrot|apple|banana|honey|cherry|plum] cake",
        why="[for a friend's birthday|for the family dinner|for a neighbor who was ill"
        "|for the school party|because friends were coming to visit]",
    )
    trouble, fix = rng.choice(
        (
            (
                "the cake came out of the oven [flat|as flat as a plate]. {N} had forgotten "
                "the baking powder",
                "[cut|sliced] the flat cake into little [stars|hearts|moons] and put cream and "
                "berries on them",
            ),
            (
                "the cake cracked [right|straight] down the middle when it came out of the pan",
                "filled the crack with [cream|jam] and covered the top with [berries|sliced "
                "peaches]",
            ),
            (
                "the edges of the cake were [dark|black and burnt]",
                "cut the dark edges away and [spread|put] sweet [cream|frosting] all over the cake",
            ),
            (
                "the bowl slipped from {his} hands, and the batter splashed on the floor",
                "wiped the floor and mixed a new batter, [slowly|more slowly] this time",
            ),
            (
                "the batter tasted terrible. {N} had used salt in place of sugar",
                "[started|began] again with a clean bowl and tasted [everything|the sugar] first",
            ),
            (
                "the cake broke into pieces on the way to the plate",
                "put the pieces into glasses with layers of [cream|yogurt] and [cherries|berries]",
            ),
        )
    )
    tale.put(trouble=trouble, fix=fix)
    tale.open(
        (
            "{N} loved to [bake|help in the kitchen].",
            "{N} loved the smell of cake in the oven.",
            "nothing made {N} happier than baking with {G}.",
            "{N} wanted to be a baker one day.",
        ),
        (
            "{when}, {N} wanted to bake a {cake} {why}.",
            "{when}, {N} and {G} decided to bake a {cake} {why}.",
            '{when}, {NG} said, "Let us bake a {cake}." {N} [cheered|clapped {his} hands].',
            "{when}, {N} put on an apron to bake a {cake} {why}.",
        ),
    )
    tale.turn()
    tale.say(
        "{N} [poured|measured] the flour, [broke|cracked] the eggs and stirred with a "
        "[big|long|wooden] spoon.",
        "they mixed flour, eggs, [butter|oil] and milk in a [big|blue|deep] bowl.",
        "{N} [stirred|mixed] the batter, and {G} [greased|buttered] the pan.",
        "flour flew everywhere, and soon {N} had a white nose.",
    )
    tale.say(
        "the kitchen smelled [sweet|wonderful].",
        '"[This will be|It will be] the best cake ever," said {N}.',
        "{N} hummed a [little|merry] song.",
        chance=0.5,
    )
    tale.say(
        "but then something went wrong: {trouble}.",
        "then came a surprise: {trouble}.",
        "but {trouble}.",
    )
    tale.say(
        '"[Oh no|Oh dear]! It is ruined!" {N} cried.',
        "{SAD}",
        '"Now we have no cake," said {N} [sadly|with a sigh].',
        '"I did it all wrong," {he} [sighed|whispered].',
    )
    tale.turn()
    tale.say(
        '{G} only [smiled|laughed softly]. "[Every baker makes mistakes|Mistakes happen to '
        "everyone],"
        '" {ghe} said.',
        '"Don\'t worry," said {G}. "[We can mend this|We will find a way|There is always a way]."',
        '{G} gave {him} a hug. "Let us see what we can do," {ghe} said.',
        '"Once I dropped a whole cake," said {G}, and {N} had to laugh.',
    )
    tale.say(
        "so they {fix}.",
        "{N} thought {moment} and had an idea. together they {fix}.",
        "{N} wiped {his} [eyes|nose], and side by side they {fix}.",
        "step by step, they {fix}.",
    )
    tale.say(
        "the new cake came out of the oven, golden and soft."
        if "batter" in trouble
        else "it looked [even prettier than before|beautiful|like a little garden].",
        chance=1.0 if "batter" in trouble else 0.6,
    )
    tale.turn()
    tale.say(
        "everyone took a bite and [smiled|asked for more].",
        '"[Mmm|Yum]! This is the best cake I have ever had," said {G}.',
        "it was so good that soon only crumbs were left.",
        "{N} took the first bite. It was [sweet|soft and sweet|delicious].",
        '"Who made this [lovely|wonderful] cake?" everyone asked. {N} beamed.',
    )
    tale.say("{JOY}", chance=0.4)
    return tale.story(
        ("The {cake} Surprise", "{N} Bakes a Cake", "The Cake That Went Wrong"),
        ("baking a cake", "a cake", "a mistake"),
        (
            "{N} had learned that mistakes can be mended.",
            "and from then on, {N} always [read the recipe twice|checked everything before "
            "baking].",
            "{N} and {G} washed the dishes together and sang.",
            "sometimes a mistake turns into something good.",
            "{he} could hardly wait to bake again.",
            "that day, the whole house smelled of {cake}.",
        ),
    )


def last_cookie(rng: Random) -> Story:
    """One cookie is left, and two want it."""
    tale = Tale(rng)
    tale.friend()
    tale.grown(("mom", "dad", "grandma", "grandpa"))
    tale.when("rainy", "sunny", "windy", "snowy", parts=("afternoon", "day"))
    tale.put(
        treat="[honey|oat|ginger|chocolate|butter|lemon|raisin|almond] cookie",
        sib="[friend|cousin]",
    )
    tale.open(
        (
            "{N} loved {treat}s more than any other treat.",
            "{N} and {his} {sib} {F} did everything together.",
            "{N} had a good {sib} named {F}, and both of them loved {treat}s.",
        ),
        (
            "{when}, {N} and {his} {sib} {F} came into the kitchen. On the [table|blue plate] "
            "lay one last {treat}.",
            "{when}, {NG} had baked {treat}s. {N} and {his} {sib} {F} ate and ate until only one "
            "was left.",
            "{when}, {N} and {his} {sib} {F} were playing, and they got hungry. There was only one "
            "{treat} left in the jar.",
        ),
    )
    tale.turn()
    tale.say(
        '"It is mine!" said {N}. "No, it is mine!" said {F}.',
        '"I saw it first," said {N}. "But I am hungrier," said {F}.',
        "{N} wanted it. {F} wanted it too.",
        "both of them reached for it at the same time.",
    )
    tale.say(
        "they [raced|ran] around the table to see who was faster, but nobody won.",
        "they raced to the [door|window|gate] and back, but they got there at the same time.",
        "they tried to guess a number, but neither of them guessed it.",
        "they pulled straws, but they could not agree on the rules.",
        "they played a guessing game for it, but nobody won.",
    )
    tale.say(
        "soon they were both [cross|angry], and nobody was happy.",
        "{N} folded {his} arms. {F} turned away.",
        "the cookie lay on the plate, and the two sat there and frowned.",
        "then it was very quiet in the kitchen.",
        "{F} had tears in {fhis} eyes, and {N} felt bad.",
    )
    tale.turn()
    tale.say(
        '{N} looked at {F}. "A cookie is no fun when my {sib} is sad," {he} thought.',
        '"What is the matter?" asked {G}. They told {ghim} about the cookie. "What could you do so '
        'that both of you are happy?" {ghe} asked.',
        "{G} came in and [heard|listened to] it all. "
        '"[A treat tastes best|Everything tastes better] when you share it," {ghe} said {softly}.',
        "{N} looked at the {treat} and then at {F}. {he} remembered how often {F} had shared "
        "toys with {him}.",
    )
    tale.say(
        '"Let us share it," said {N}. {he} [carefully |]broke the cookie in the middle.',
        '{N} had an idea. "One of us breaks it, and the other one chooses," {he} said. '
        "So {N} broke it, and {F} chose.",
        "{N} broke the cookie into two pieces and gave {F} the bigger one.",
        '"You may have half," said {N}. "And you may have the other half," said {F}.',
    )
    tale.say(
        '"Thank you," said {F}. "[You are a good {sib}|That is kind of you]."',
        '"Mmm," they both said at the same time, and then they laughed.',
        "they sat side by side and [ate|nibbled] slowly.",
        "{F} smiled, and so did {N}.",
    )
    tale.turn()
    tale.say(
        '{G} [smiled|winked]. "[Let us|We can] bake some more," {ghe} said.',
        "{G} was proud of them and poured them each a glass of milk.",
        '"Now that was kind," said {G}, and {ghe} hugged them both.',
        chance=0.6,
    )
    return tale.story(
        ("The Last Cookie", "{N} and {F} Share a Cookie", "One {treat} for Two"),
        ("a cookie", "sharing"),
        (
            "half a cookie tasted better than a whole one, because it was shared.",
            "{N} and {F} went back to their game, and both were happy.",
            "after that, they always shared the last one.",
            "it was the sweetest {treat} they had ever eaten.",
            "and so the last cookie made two children happy.",
            "from then on, {N} and {F} shared all their treats.",
        ),
    )


def picnic(rng: Random) -> Story:
    """Ants come to a picnic."""
    tale = Tale(rng)
    tale.friend()
    tale.grown(("mom", "dad", "grandma", "grandpa", "aunt", "uncle"))
    tale.when("sunny", parts=("morning", "day", "afternoon"))
    foods = rng.sample(
        (
            "cheese sandwiches",
            "apples",
            "grapes",
            "[boiled eggs|little tomatoes]",
            "honey cookies",
            "carrot sticks",
            "plums",
            "blueberry muffins",
            "bread rolls",
            "strawberries",
        ),
        3,
    )
    tale.put(a1=foods[0], a2=foods[1], a3=foods[2])
    tale.put(
        where="[in the meadow|by the river|under the big oak tree|on the hill|by the pond|in the "
        "park]",
        cloth="[red|blue|yellow|striped|green] blanket",
    )
    tale.open(
        (
            "{N} loved to eat outside.",
            "{N} and {his} friend {F} had planned a picnic all week.",
            "nothing was better than a picnic, thought {N}.",
        ),
        (
            "{when}, {N}, {his} friend {F} and {G} had a picnic {where}.",
            "{when}, {NG} took {N} and {his} friend {F} to have a picnic {where}.",
            '{when}, {NG} packed a basket. "Let us have a picnic," {ghe} said. {N} and {his} '
            "friend {F} "
            "ran ahead and found a nice place {where}.",
        ),
    )
    tale.say(
        "they spread out a {cloth} and [unpacked|took out] {a1}, {a2} and {a3}.",
        "in the basket there were {a1}, {a2} and {a3}. {N} laid everything on a {cloth}.",
        "{F} spread the {cloth}, and {N} set out {a1}, {a2} and {a3}.",
    )
    tale.turn()
    tale.say(
        '"Look!" said {F}. "There is an ant!" Behind it came another, and another, and another.',
        "but somebody else was hungry too. A long line of ants came marching over the blanket.",
        'Suddenly {N} felt a tickle on {his} leg. "Ants!" {he} cried. They were everywhere.',
        "they had just sat down when the first ant came, and soon there was a whole line of them.",
    )
    tale.say(
        "they [moved|carried] the blanket a little to the side, but the ants came after them.",
        "{N} [blew|puffed] at the ants, but they just held on and came back.",
        "they picked up the food and moved away, but the ants found them again.",
        "{F} put the basket on a stone, but the ants climbed up.",
    )
    tale.say(
        "{G} shook out the blanket, but [soon|before long] the ants were back.",
        "they drew a line of [sand|water] around the blanket, but the ants walked around it.",
        "{F} built a wall of twigs, but the ants walked right over it.",
    )
    tale.say(
        '"They will eat everything," [moaned|said] {F}.',
        '"This is our picnic!" {N} told the ants.',
        '"Our picnic is spoiled," said {N}.',
        chance=0.7,
    )
    tale.turn()
    tale.say(
        '"Perhaps they only want some crumbs," said {N}.',
        '{N} lay down and watched the ants. "They are hungry, just like us," {he} said.',
        '"They have a big family at home," {G} said. "What could we do?" {N} had an idea.',
    )
    tale.say(
        "{he} put some crumbs on a [big leaf|flat stone] near the ants' hill.",
        "{he} laid a piece of [bread|cookie|fruit] on a flat stone, far away from the blanket.",
        "{he} made a path of crumbs that led away from the blanket, all the way to a [leaf|stone].",
    )
    tale.say(
        "one by one, the ants turned around and marched there.",
        "the ants found it and carried the crumbs home.",
        "soon the ants were busy with their own little picnic.",
    )
    tale.turn()
    tale.say(
        "now everyone could eat in peace.",
        '"Now there are two picnics," [laughed|said] {F}.',
        '"That was [clever|kind], {N}," said {G}.',
        "they ate the {a1} and watched the ants at work.",
    )
    return tale.story(
        ("The Picnic and the Ants", "{N} and the Ants", "Two Picnics"),
        ("a picnic", "ants"),
        (
            "when they went home, the basket was empty and everyone was full, even the ants.",
            "and since that day, {N} always takes some crumbs along for the ants.",
            "it was a fine picnic for big and small.",
            "{N} waved to the ants and said goodbye.",
            "there had been enough for everyone.",
            "{EVENING}",
        ),
    )


def errand(rng: Random) -> Story:
    """A child goes shopping and loses the list."""
    tale = Tale(rng)
    tale.grown(("mom", "dad", "grandma", "grandpa"))
    tale.when("sunny", "windy", "cold", parts=("morning", "day"))
    goods = rng.sample(
        (
            "bread",
            "butter",
            "milk",
            "cheese",
            "carrots",
            "apples",
            "honey",
            "onions",
            "pears",
            "rice",
            "lemons",
            "potatoes",
        ),
        3,
    )
    tale.put(g1=goods[0], g2=goods[1], g3=goods[2], Goods=capital(goods[0]))
    tale.put(
        bag="[basket|red bag|blue bag|big bag|straw basket|green bag]",
        meal="[soup|dinner|a pie|a big lunch|supper]",
        sight="[a man with an accordion|a small dog in a coat|a fountain with fish|a clown with "
        "balloons|a woman with a parrot|a puppet show]",
        lost="[the wind blew the list away|the list fell into a puddle|the list was gone"
        "|the list slipped through a hole in {his} pocket]",
    )
    tale.open(
        (
            "{N} was proud to be big enough to help.",
            "{N} had never been to the market alone before.",
            "{N} liked the market with all its colors and smells.",
        ),
        (
            '{when}, {NG} said, "{N}, can you go to the market for me?"',
            "{when}, {NG} needed some things from the market for {meal}, and {N} wanted to go.",
            "{when}, {N} went to the market for {G}, without any help.",
        ),
    )
    tale.say(
        "on the list were {g1}, {g2} and {g3}.",
        '"We need {g1}, {g2} and {g3}," said {G} and gave {him} a list and a {bag}.',
        "{G} wrote a list: {g1}, {g2} and {g3}.",
    )
    tale.turn()
    tale.say(
        "the market was full of [people|voices] and [bright|wonderful] colors. {N} saw {sight} and "
        "stopped to look.",
        "on the way, {N} saw {sight} and stayed to watch.",
        "between the stalls there was {sight}, and {N} watched for a while.",
    )
    tale.say(
        "when {he} put {his} hand in {his} pocket, it was empty: the list was gone.",
        "but then something bad happened: {lost}.",
        "suddenly {lost}.",
    )
    tale.say(
        '"Oh no," said {N}. "What did we need?"',
        '"What was on the list?" {he} wondered.',
        "{SAD}",
    )
    tale.say(
        "{he} looked under the stalls, but the list was not there. {he} looked [by the gate|on the "
        "steps], but it was not there either.",
        "{he} remembered the {g1}, but what came next?",
        "{N} ran back the way {he} had come, but {he} could not find it.",
    )
    tale.turn()
    tale.say(
        "then {N} closed {his} eyes and thought of {G} in the kitchen.",
        "{N} took a deep breath. {he} thought of the kitchen at home and the empty places "
        "on the shelf.",
        '"[Stay calm|Take your time]," said the woman at the fruit stall. "Close your eyes and '
        "think "
        'of the list." So {N} did.',
    )
    tale.say(
        '"{Goods}!" {he} said. "And {g2}. And {g3}!"',
        "one after the other, the words came back: {g1}, {g2}, {g3}.",
        "now {he} could see it all: the {g1}, the {g2} and the {g3}.",
    )
    tale.say(
        "{N} bought everything and carried the {bag} home.",
        "{he} went from stall to stall, and soon the {bag} was full.",
        "{N} bought it all and [counted|checked] it twice on the way home.",
    )
    tale.turn()
    tale.say(
        'At home, {G} looked into the {bag}. "{Goods}, {g2} and {g3}," {ghe} said. "Everything is '
        'here!"',
        '"You got it all!" said {G}. "And without the list!"',
        '"Well done, {N}," said {G}. "What a good helper you are."',
    )
    tale.say("{JOY}", "then they cooked {meal} together.", chance=0.6)
    return tale.story(
        ("{N} Goes to Market", "The Lost List", "{N} and the Shopping List"),
        ("a trip to the market", "a shopping list", "helping"),
        (
            "{N} felt very big that day.",
            "the meal tasted better than ever, because {N} had helped.",
            "from then on, {N} went to the market every [week|Saturday].",
            "{N} had learned to stay calm and think.",
            "and the next time, {he} held the list very tight.",
            "{G} was proud of {him}, and {N} was proud too.",
        ),
    )
