"""Everyday stories out of doors: seeds, birds, snow, sand and water."""

from __future__ import annotations

from random import Random

from vatra.spark.prose import Story
from vatra.spark.stories.people import COLOURS
from vatra.spark.stories.tale import Tale


def slow_seed(rng: Random) -> Story:
    """A seed needs more patience than its gardener has."""
    tale = Tale(rng)
    tale.grown(("grandma", "grandpa", "mom", "dad", "aunt", "uncle"))
    tale.when("sunny", parts=("morning", "day", "afternoon"))
    tale.put(
        plant="[sunflower|pumpkin|bean|tomato|poppy|pea|strawberry]",
        pot="[in a clay pot|in the garden|by the fence|in a sunny corner|in a blue pot]",
    )
    tale.put(
        result={
            "sunflower": "a tall sunflower [looked over the fence|smiled down at {him}]",
            "pumpkin": "a round orange pumpkin lay [among the leaves|in the sun]",
            "bean": "long green beans hung from the plant",
            "tomato": "shiny red tomatoes hung from the plant",
            "poppy": "a bright red poppy opened in the sun",
            "pea": "fat green pods hung from the plant",
            "strawberry": "sweet red strawberries [peeked out|hung] under the leaves",
        }[tale.slots["plant"]]
    )
    tale.open(
        (
            "{N} loved [gardens|flowers and trees|everything that grows].",
            "{N} had never planted anything before.",
            "{N} liked to help {G} in the garden.",
        ),
        (
            "{when}, {NG} gave {N} a [tiny|little|small] {plant} seed.",
            "{when}, {N} planted a {plant} seed {pot}.",
            "{when}, {N} found a {plant} seed in [a drawer|an old tin|a paper bag].",
        ),
    )
    tale.say(
        "{he} made a hole, put the seed in and covered it with [soft|dark|warm] earth.",
        '"Grow, little seed," said {N} and covered it with earth.',
        "{N} pushed the seed into the earth and gave it [some|a little] water.",
    )
    tale.turn()
    tale.say(
        "every [morning|day], {he} ran to look, but nothing [happened|could be seen].",
        "{N} waited and waited. Days went by, but there was no green leaf.",
        "the next day, {N} looked, but there was only [brown|dark] earth. "
        "The day after that, it was the same.",
    )
    tale.say(
        "{he} gave it more water, but that did not help. {he} sang to it, but that did not help.",
        "{N} gave it so much water that it stood in a puddle.",
        "{he} moved a stone away. {he} [sang|talked|read a story] to the earth. Nothing grew.",
        "once, {he} even wanted to dig it up again.",
    )
    tale.say(
        '"My seed is [broken|asleep]," {N} said to {G}.',
        '"Why does it not grow?" {N} asked {G}.',
        '{SAD} "It will never grow," {he} told {G}.',
        '"Maybe I did it wrong," {N} told {G}.',
    )
    tale.turn()
    tale.say(
        '"A seed works in secret," said {G}. "First it grows roots [in the dark|under the earth]."',
        '"[Be patient|Wait a little longer]," {ghe} said {softly}. "Good things take time."',
        '{G} [knelt down|sat down] beside {him}. "It needs sun, a little water and a lot of time," '
        "{ghe} said.",
        '"You cannot hurry a seed," said {G}. "But you can take care of it."',
    )
    tale.say(
        "so {N} waited. {he} gave it just a little water each day and pulled out the weeds.",
        "{N} nodded. Each morning {he} gave the seed a little water, and then {he} went to play.",
        "so {N} took good care of the place and tried to be patient.",
    )
    tale.turn()
    tale.say(
        "then, one morning, a tiny green [tip|leaf|sprout] [peeked|poked] out of the earth.",
        "after a warm rain, {N} saw something green. It was a [tiny|little] sprout!",
        "one day, {he} looked again, and there was a small green [sprout|leaf].",
    )
    tale.say(
        '"It is growing!" {he} [shouted|cried]. "[Look|Come and look], {call}!"',
        "{JOY}",
        '"Good morning, little plant," whispered {N}.',
    )
    tale.say(
        "the plant grew [taller and taller|bigger and bigger], and by the end of summer, {result}.",
        "all through the spring it grew, and in summer {result}.",
        "week after week it grew, until one day {result}.",
    )
    return tale.story(
        ("The Slow {plant} Seed", "{N} and the {plant} Seed", "The Seed That Would Not Grow"),
        ("a seed", "a garden", "a {plant}"),
        (
            "{N} had learned to wait.",
            '"You were right," {N} told {G}. "Good things take time."',
            "{N} saved some seeds for the next spring.",
            "{G} was as proud as {N}.",
            "and every spring after that, {N} planted a new seed.",
            "it had been worth the wait.",
        ),
    )


def first_snow(rng: Random) -> Story:
    """The first snow falls, and a figure is built of it."""
    tale = Tale(rng)
    tale.friend()
    tale.grown()
    tale.put(
        when="[one|on a] [winter|December|cold] morning",
        figure="[snowman|snow bear|snow cat|snow rabbit|snow castle|snow queen]",
        nose="[a carrot|a pine cone|a red button|a chestnut]",
        hat="[an old hat|a red bucket|a blue cap|a striped scarf|a paper crown]",
    )
    tale.open(
        (
            "{N} had been waiting for snow for weeks.",
            "{N} loved winter [most of all|more than summer].",
            "every evening, {N} looked up at the sky and hoped for snow.",
        ),
        (
            "{when}, {N} looked out of the window, and everything was white.",
            "{when}, it was strangely quiet. {N} ran to the window. It had snowed!",
            '{when}, {NG} called, "{N}, look outside!" The first snow had come.',
            "{when}, {N} opened {his} eyes, and the room was full of bright white light. "
            "It was the first snow of the year.",
        ),
    )
    tale.say(
        "{he} put on {his} [boots|warm coat] and mittens and ran to {his} friend {F}.",
        "{N} pulled on {his} boots so fast that they were on the wrong feet. {his} friend {F} was "
        "already at the gate.",
        "soon {N} and {his} friend {F} were standing in the snow up to their [ankles|knees].",
    )
    tale.turn()
    tale.say(
        '"Let us build a {figure}," said {F}.',
        '"I want to build a {figure}," {N} said, and {F} wanted to help.',
        "they decided to build a {figure}.",
    )
    tale.say(
        "but the snow was as dry as [flour|sugar], and every ball fell apart.",
        "they rolled and rolled, but the snow was too [dry|powdery] and would not stick.",
        "{N} pressed the snow together, but it [crumbled|fell apart] in {his} hands.",
    )
    tale.say(
        "they tried it by the fence, and they tried it under the trees. It was the same "
        "everywhere.",
        "{F} tried with bare hands, but that was [much too|far too] cold.",
        "they tried to make it out of very small balls, but those broke too.",
    )
    tale.say('"It does not work," {N} said [sadly|with a sigh].', "{SAD}", chance=0.7)
    tale.turn()
    tale.say(
        'Then {NG} came out with [cups of cocoa|warm cookies|cups of tea]. "Wait until the sun '
        'has warmed it a little," {ghe} said.',
        '"The snow is too cold," {G} called from the door. "Wait until noon, when the sun shines."',
        '{G} looked at the sky. "Soon the sun will come out," {ghe} said. "Then it will stick."',
    )
    tale.say(
        "so they [made snow angels|slid down the little hill|followed the tracks of a bird|looked "
        "for icicles] until the sun came out.",
        "while they waited, they [made snow angels|slid down the hill|threw snow in the air].",
    )
    tale.say(
        "now the snow was [soft|a bit wet], and the balls grew bigger and bigger.",
        "at noon, the snow stuck together, and soon the {figure} was taller than {F}.",
        "after that, it was easy, and together they built the {figure}.",
    )
    tale.say(
        "{N} gave it {nose} for a nose, and {F} brought {hat}."
        if "castle" not in tale.slots["figure"]
        else "{N} made a gate, and {F} put a flag on the tower.",
    )
    tale.turn()
    tale.say(
        '"It is [wonderful|beautiful]!" {F} said.',
        "they stepped back and looked at it. {JOY}",
        "then they danced around it.",
        chance=0.7,
    )
    return tale.story(
        ("The First Snow", "{N} and the {figure}", "A Snowy Day"),
        ("the first snow", "a {figure}", "winter"),
        (
            "in the evening, it started to snow again, and the {figure} got a new white coat.",
            "then they went inside to get warm, and {snack} had never tasted so good.",
            'from the window, {N} waved. "Good night, {figure}," {he} said.',
            "the {figure} stood in the yard for many days.",
            "it was the best [winter|snow] day that {N} could remember.",
            "their cheeks were red, their fingers were cold, and they were {happy}.",
        ),
    )


def paper_boat(rng: Random) -> Story:
    """A little boat sails away, and whoever finds it becomes a friend."""
    tale = Tale(rng)
    tale.friend()
    tale.grown()
    tale.when("sunny", "windy")
    tale.put(
        stream="[stream|brook|little river]",
        boat="[paper|bark|wooden|walnut|cork] boat",
        sail="[a red sail|a leaf for a sail|a blue flag|a tiny white sail|a yellow sail|a feather "
        "for a flag]",
        block="[a stone|a branch|the roots of a tree|a patch of reeds]",
    )
    tale.open(
        (
            "{N} loved boats.",
            "{N} wanted to be a captain one day.",
            "{N} often played by the {stream}.",
        ),
        (
            "{when}, {N} made a {boat} with {sail}.",
            "{when}, {NG} showed {N} how to make a {boat}. It had {sail}.",
            "{when}, {N} carried a {boat} with {sail} down to the {stream}.",
        ),
    )
    tale.say(
        "{he} set it on the water, and it sailed away like a real ship.",
        '"[Good trip|Sail well], little boat!" {N} called and set it on the water.',
        "{he} gave it a soft push, and off it went down the {stream}.",
    )
    tale.turn()
    tale.say(
        "at first, {N} ran along the bank. But the {stream} grew faster, and the boat got away.",
        "the water was quick that day. The boat went faster and faster, and {N} could not keep up.",
        "but the wind was strong, and the boat [raced|rushed] off.",
    )
    tale.say(
        "{N} tried to stop it with a stick, but it slipped past.",
        "{he} threw a pebble to turn it around, but the boat [just rocked|only danced] and went "
        "on.",
        "{N} reached out, but {his} arm was too short.",
    )
    tale.say(
        "then it went around a bend, and {N} could not see it anymore.",
        "{he} ran to the bridge, but the boat was already gone.",
        "soon it was so far away that it looked like a dot.",
    )
    tale.say("{SAD}", '"Come back!" {N} called.', '"My boat is gone," said {N}.')
    tale.turn()
    tale.say(
        '"Perhaps it is waiting somewhere," said {G}. "Let us follow the water."',
        '{G} took {his} hand. "The water knows the way," {ghe} said. "We will walk along with it."',
        "but {N} did not want to give up, so {he} and {G} walked along the bank.",
    )
    tale.say(
        "they looked [under the bridge|behind the willow] and between the stones, but there was "
        "no boat.",
        "they walked past the [mill|old willow|ducks] and across a meadow.",
        "it was a long way, and {N} got tired.",
    )
    tale.say(
        "around the next bend, a {fkind} was standing in the shallow water. In {fhis} hands {fhe} "
        "held the boat.",
        "then they met a {fkind} with wet feet. {fhe} was holding the {boat}!",
        "there, on a flat stone, sat a {fkind}, and next to {fhim} stood the boat.",
    )
    tale.say(
        '"Is this yours?" {fhe} asked. "It was stuck behind {block}. My name is {F}."',
        '"I am {F}," said the {fkind}. "The boat was caught behind {block}, so I got it out."',
        '"I found it behind {block}," said the {fkind}, whose name was {F}. "I wondered whose it '
        'was."',
    )
    tale.turn()
    tale.say(
        '"Thank you, {F}!" said {N}.',
        '{N} nodded. "Thank you for saving it!" {he} said.',
        "{N} was so [glad|happy] that {he} could hardly speak.",
    )
    tale.say(
        '"Would you like to sail it with me?" {he} asked, and {F} nodded.',
        "together they tied a [long |]string to the boat and let it sail again.",
        "then {N} showed {F} how to make a boat, too.",
    )
    return tale.story(
        ("The Little {boat}", "{N} and the {boat}", "The Boat That Sailed Away"),
        ("a {boat}", "a little boat", "a new friend"),
        (
            "the boat had found something better than the sea: a new friend.",
            "soon the boat was sailing in the [sun|wind] again.",
            "from that day on, {N} and {F} often met by the {stream}.",
            "{N} had lost a boat and found a friend.",
            "they played until the [sun went down|evening came].",
            "{EVENING}",
        ),
    )


def sandcastle(rng: Random) -> Story:
    """A castle is built by the sea, and the waves come."""
    tale = Tale(rng)
    tale.friend()
    tale.grown(("mom", "dad", "grandma", "grandpa", "aunt", "uncle"))
    tale.when("sunny", parts=("morning", "day"))
    tale.put(
        bucket=f"{rng.choice(COLOURS)} bucket",
        deco="[white shells|smooth pebbles|sea glass|small feathers|pieces of driftwood|seaweed]",
        shape="[castle with tall towers|castle with a deep moat|castle with a long wall|round "
        "castle]",
    )
    tale.open(
        (
            "{N} loved the sea.",
            "{N} loved the beach, the waves and the warm sand.",
            "every summer, {N} went to the sea with {G}.",
        ),
        (
            "{when}, {N} and {G} went to the beach with a {bucket}.",
            "{when}, {N} ran across the warm sand with a {bucket} in {his} hand.",
            "{when}, {N} was at the beach. {he} had a {bucket} and a little spade.",
        ),
    )
    tale.say(
        '"Today I will build the [biggest|best] castle on the beach," {he} said.',
        "{N} wanted to build a {shape}.",
        "{he} filled the bucket with wet sand again and again, and soon there stood a {shape}.",
    )
    tale.turn()
    tale.say(
        "{N} worked hard. But then a big wave came and washed the castle away.",
        "it was almost done when a wave rolled in. Whoosh! The castle was flat.",
        "then the water came closer. One wave [took|broke] a tower, and the next took all the "
        "rest.",
    )
    tale.say(
        "{N} built a new castle, with a wall around it. But the next big wave broke the wall.",
        "{N} built it again in the same place. Again the sea took it away.",
        "{he} quickly built another one and dug a ditch, but the water filled the ditch and the "
        "castle sank.",
    )
    tale.say(
        '"Stop it, sea!" {N} [shouted|cried].',
        "{SAD}",
        '"The sea is mean," said {N}.',
        '"Now I have to start all over," {N} said.',
    )
    tale.turn()
    tale.say(
        'A {fkind} [came over|stopped] and watched. "I am {F}," {fhe} said. "The tide is coming '
        "in. "
        'We must build higher up."',
        '"The sea is only [coming|walking] up the beach," said a {fkind} next to {him}. {fhis} '
        "name was "
        '{F}. "Build it back there, where the sand is dry."',
        'Then a {fkind} named {F} sat down in the sand. "Look at the line of seaweed," {fhe} said. '
        '"The water comes up to there. Behind it, we are safe."',
    )
    tale.say(
        "so they went up the beach and started again, side by side.",
        "{N} thought that was clever. They carried the bucket up the beach and began.",
        '"Will you help me?" asked {N}. {F} nodded, and they moved up the beach.',
    )
    tale.say(
        "{F} dug, {N} built, and {NG} looked for {deco}.",
        "{N} made the towers, and {F} covered them with {deco}.",
        "they built towers and walls and put {deco} on the roof.",
    )
    tale.turn()
    tale.say(
        "the waves came and came, but they did not reach the castle.",
        "the sea crept closer, stopped at the seaweed, and turned back.",
        "when the next wave came, it only [licked|touched] their toes.",
    )
    tale.say("{JOY}", '"We did it!" {F} said.', '"It stands!" {N} cheered.', chance=0.7)
    return tale.story(
        ("The Castle by the Sea", "{N} Builds a Castle", "{N}, {F} and the Waves"),
        ("a sandcastle", "the beach", "the sea"),
        (
            "in the evening, the castle still stood there in the golden light.",
            "{N} was not angry with the sea anymore.",
            "then {N} and {F} jumped into the waves together.",
            "they waved to the castle and went home, tired and {happy}.",
            "{N} went home with sand in {his} shoes and a new friend.",
            "it was the finest castle on the whole beach.",
        ),
    )


def bird_feeder(rng: Random) -> Story:
    """A hungry bird is fed through the winter."""
    tale = Tale(rng)
    tale.grown()
    tale.put(
        weather=rng.choice(("cold", "snowy")),
        when="[one|on a] [cold|snowy|frosty|winter] [morning|afternoon|day]",
        bird="[robin|sparrow|finch|blackbird|little gray bird|small brown bird]",
        feeder="[an old milk carton|a wooden box|a coconut shell|a flowerpot|a few thin boards|a "
        "pine cone and some fat]",
        food="[sunflower seeds|bird seeds|oats and nuts|seeds and raisins]",
    )
    tale.put(b="bird" if "bird" in tale.slots["bird"].split() else tale.slots["bird"])
    tale.open(
        (
            "{N} liked to watch the birds.",
            "{N} knew the song of every bird in the garden.",
            "in front of {N}'s window stood a [bare|tall|crooked] tree.",
        ),
        (
            "{when}, {N} saw a {bird} on the window sill. It had puffed up its feathers.",
            "{when}, a {bird} sat in the garden and looked [cold|hungry].",
            "{when}, {N} watched a {bird} that pecked at the frozen ground.",
        ),
    )
    tale.say(
        '"It cannot find anything to eat," {N} said to {G}.',
        '"Poor bird," said {N}. "It must be hungry."',
        '"Is there nothing for it to eat?" {N} asked {G}.',
    )
    tale.turn()
    tale.say(
        "{N} ran out with a handful of crumbs, but the {b} was afraid and flew away.",
        "{N} opened the window to call it in, but the {b} flew off at once.",
        "{N} put some bread on the ground, but the snow covered it up.",
    )
    tale.say(
        "then {he} put a plate of seeds on the wall, but the wind blew it down.",
        "then {he} put seeds on the step, but the neighbor's cat sat down next to them.",
        "{he} tried again with a little cup on a branch, but it fell off.",
    )
    tale.say(
        '"How can I help it?" {N} asked.',
        '{SAD} "It will stay hungry," {he} said.',
        '"Nothing works," {N} sighed.',
    )
    tale.turn()
    tale.say(
        '"We need a safe place, high up and dry," said {G}. "Let us make a feeder."',
        '"Birds are shy," {G} said {softly}. "Let us build a little house for the food."',
        '"I have an idea," said {G}. "We can make a bird feeder."',
    )
    tale.say(
        "they made it out of {feeder} and filled it with {food}.",
        "{N} and {G} took {feeder} and made a feeder. Then they put in {food}.",
        "out of {feeder}, they made a fine feeder and put {food} in it.",
    )
    tale.say(
        "they hung it high in the tree, where no cat could reach it.",
        "{G} lifted {N} up, and {he} hung it on a branch.",
        "they hung it in the tree in front of the window.",
    )
    tale.turn()
    tale.say(
        "then they went inside and waited. For a long time, nothing happened.",
        "{N} sat at the window and was as quiet as a mouse.",
        "{N} watched from behind the curtain and hardly dared to breathe.",
    )
    tale.say(
        "at last, the {b} came. It looked left, it looked right, and then it ate.",
        "after a while, the {b} landed on the branch and pecked at the food.",
        "the next morning, the {b} was there, and it had brought [its friends|a friend].",
    )
    tale.say(
        '"It likes it!" {N} whispered.',
        "{JOY}",
        '"Enjoy your meal, little bird," {N} whispered.',
        chance=0.8,
    )
    return tale.story(
        ("The Hungry {b}", "{N} and the {b}", "A House for the Birds"),
        ("a bird", "a bird feeder", "winter"),
        (
            "all winter long, {N} filled the feeder every morning.",
            "and in spring, the {b} sang the sweetest song under {N}'s window.",
            "no bird in that garden was hungry anymore.",
            "{N} had many small friends that winter.",
            "the {b} chirped, and {N} was sure that it meant thank you.",
            "from then on, the {b} came every day.",
        ),
    )
