"""Fables about the small, the slow and the timid, who can do more than anybody thought."""

from __future__ import annotations

from random import Random

from vatra.spark.prose import Story, a, capital
from vatra.spark.stories.animals import BIRDS
from vatra.spark.stories.fable import Pick, close, crowd, fable, opening, titled, together
from vatra.spark.stories.heroes import creature, habits, likes, passer, somebody, third
from vatra.spark.stories.places import day, farm, garden, plain, sight, woods


def small_helps_big(rng: Random) -> Story:
    """A big animal is in trouble, and a small one can do what nobody else can."""
    pick = Pick(rng)
    small_kinds, big_kinds, place = pick(
        (("mouse", "squirrel", "dormouse"), ("bear", "deer", "moose", "wolf"), woods(rng)),
        (("mouse", "squirrel", "dormouse"), ("bear", "deer", "moose", "wolf"), woods(rng)),
        (("mouse", "hen", "sparrow"), ("horse", "cow", "donkey"), farm(rng)),
        (("meerkat", "monkey"), ("elephant", "lion", "giraffe", "rhino"), plain(rng)),
    )
    small = creature(rng, small_kinds, tempers=("small", "tiny", "little"))
    big = creature(rng, big_kinds, small, tempers=("big", "huge", "strong", "great"))
    foot = "hoof" if big.kind in ("deer", "moose", "horse", "cow", "donkey") else "paw"
    foot = "foot" if big.kind in ("elephant", "giraffe", "rhino") else foot
    mouth = "beak" if small.kind in ("hen", "sparrow") else pick("teeth", "paws")
    tiny = "a beak as fine as a needle" if mouth == "beak" else f"{mouth} as quick as needles"
    thorn = pick("a sharp thorn", "a long thorn", "a splinter of wood", "a pointed little stone")
    thing = thorn.rsplit(" of ")[0].split(" ")[-1]
    trouble = pick(
        f"{big.name} had stepped on {thorn}, and now it was stuck in {big.his} {foot}.",
        f"{thorn.capitalize()} was stuck in {big.name}'s {foot}, and it hurt at every step.",
        f"{big.Name} was lying on the ground with {thorn} in {big.his} {foot}.",
    )
    trouble = capital(trouble)
    when = day(rng, place)
    heard = pick(
        f"{when} {small.he} heard somebody groan behind a bush.",
        f"{when} {small.name} heard a deep, sad voice.",
        f"{when} {small.name} found {big.intro}.",
        f"{when} {small.he} met {big.intro} who could hardly walk.",
    )
    shows = "" if big.intro in heard else f"It was {big.intro}."
    helper = third(rng, ("badger", "rabbit", "goat", "crow"), (small, big))
    tried = pick(
        f"{big.Name} had pulled and pulled, but {big.his} mouth was much too big.",
        f"First {big.name} tried to shake it out. That only made it worse.",
        f"{big.He} had washed the {foot} in cold water, but the {thing} stayed where it was.",
        f"{capital(passer(rng, helper))} had tried to help, but could not get hold of the {thing}.",
        f"{big.He} rubbed the {foot} on the grass. The {thing} did not move at all.",
    )
    ask = pick(
        f'"What is the matter?" asked {small.name}.',
        f'"Can I help you?" asked {small.name}.',
        f'"Why are you so sad, {big.call}?" asked {small.name}.',
        f'"Does it hurt very much?" asked {small.name} softly.',
    )
    doubt = pick(
        f'"You are very kind," said {big.name}, "but you are so small!"',
        f'"How could somebody so little help me?" sighed {big.name}.',
        f'{big.Name} smiled sadly. "You are not even as big as my nose," {big.he} said.',
        f'"Thank you, but I think you are too little," said {big.name}.',
    )
    answer = pick(
        f'"Small things are good at small jobs," said {small.name}.',
        f'"That is just why I can do it," said {small.name}. "Hold still!"',
        f'"Let me try," said {small.name}. "Trying costs nothing."',
        f'"I am small, and so is the {thing}," said {small.name}.',
    )
    does = pick(
        f"{small.Name} took hold of the {thing} with {small.his} little {mouth} and pulled.",
        f"With {tiny}, {small.name} caught the end of the {thing}.",
        f"Very gently, {small.name} got {small.his} {mouth} around the {thing}.",
    )
    second = pick(
        "Once it slipped. The second time, out it came!",
        f"The first pull did nothing. At the second pull the {thing} came out.",
        f"It would not move. {small.He} took a deep breath and pulled again, and pop! It was out.",
        f"One, two, three, and the {thing} was out.",
    )
    happy = pick(
        f"{big.Name} stood up and walked three steps. Nothing hurt any more.",
        f'"It is gone!" cried {big.name}, and {big.he} danced in a circle.',
        f'"Oh, that feels so much better," said {big.name}.',
        f"{big.Name} put the {foot} on the ground, and it felt as good as new.",
    )
    gift = pick(
        f"From then on {small.name} rode on {big.name}'s back whenever {small.he} was tired.",
        f"{big.Name} carried {small.name} home, high above the grass.",
        f"When it rained, {big.name} let {small.name} sit dry and warm under {big.his} chin.",
        f"{big.Name} shared {big.his} supper with {small.name} that evening.",
    )
    ending = close(
        rng,
        (
            f"The big {big.kind} and the little {small.kind} stayed friends for ever.",
            f"And whenever {big.name} needed a friend, {small.name} was never far away.",
            f"{small.Name} felt as tall as a tree that day.",
        ),
        (
            "Even the smallest friend can be a great help.",
            "You do not have to be big to do something big.",
            f"{big.Name} never again thought that somebody was too small to help.",
        ),
    )
    parts = [
        [opening(rng, small, place), habits(rng, small)],
        [sight(rng, small, place), heard, shows, trouble, ask, tried],
        [doubt, answer, does, second],
        [
            happy,
            gift,
            crowd(rng, (small, big), 0.4) if place.the == "the forest" else "",
            together(rng, "the two friends", 0.3),
            ending,
        ],
    ]
    title = f"The {small.kind.title()} and the {big.kind.title()}"
    return fable(rng, parts, [small, big], (a(small.kind), a(big.kind)), title)


def the_race(rng: Random) -> Story:
    """A boastful animal loses a race and finds a friend."""
    pick = Pick(rng)
    fast_kinds, slow_kinds, place = pick(
        (("hare", "fox", "deer", "squirrel"), ("hedgehog", "badger", "toad", "mole"), woods(rng)),
        (("horse", "goat", "puppy"), ("duck", "goose", "piglet", "hen"), farm(rng)),
        (("zebra", "giraffe", "monkey"), ("tortoise", "rhino"), plain(rng)),
        (("lizard", "cricket"), ("snail", "beetle", "ladybird"), garden(rng)),
    )
    fast = creature(rng, fast_kinds, tempers=("proud", "quick", "boastful", "fast"))
    slow = creature(rng, slow_kinds, fast, tempers=("calm", "patient", "slow", "quiet"))
    goal = pick(
        *(
            (
                "the old stone",
                "the tallest tree",
                "the white gate",
                "the fallen log",
                "the thorn bush",
            )
            if slow.kind not in ("tortoise", "rhino")
            else ("the water hole", "the flat rock", "the tall fig tree", "the red hill")
        )
    )
    boast = pick(
        f'"Nobody is as fast as I am," {fast.he} said to everybody {fast.he} met.',
        f'All day long {fast.he} said, "Look how fast I am!"',
        f'"I am the fastest of all," {fast.he} used to say, "and I always will be."',
        f"{fast.He} could run very fast, and {fast.he} talked of nothing else.",
    )
    others = pick(
        "The other animals were tired of hearing it.",
        "Nobody liked to play with somebody who boasted so much.",
        f"When {fast.he} came by, the others sighed and went home.",
        f"So {fast.name} was often alone, and did not know why.",
    )
    when = day(rng, place)
    challenge = pick(
        f'{when} {slow.intro} said, "I will race you to {goal}."',
        f'{when} {fast.name} met {slow.intro}. "Shall we race to {goal}?" asked {slow.name}.',
        f"{when} {slow.intro} asked {fast.name} for a race to {goal}.",
    )
    laugh = pick(
        f'{fast.Name} laughed. "You? You need all day to cross a path!"',
        f'"With those legs?" laughed {fast.name}. "This will be easy."',
        f"{fast.Name} laughed until {fast.his} sides hurt, but {fast.he} said yes.",
        f'"I shall be there before you have blinked," said {fast.name}.',
    )
    start = pick(
        '"One, two, three, go!" called a bird from a branch.',
        "Everybody came to watch.",
        "A bird sang one long note, and the race began.",
        "All the animals stood along the way and cheered.",
    )
    off = pick(
        f"{fast.Name} was gone like the wind. {slow.Name} set off, one step after another.",
        f"Off went {fast.name}, and the dust flew. {slow.Name} followed at an easy pace.",
        f"{slow.Name} had hardly begun when {fast.name} was already far ahead.",
    )
    mistake = pick(
        f"But {fast.name} had not asked for the way. At the second bend {fast.he} turned left "
        f"when {fast.he} should have turned right, and soon {fast.he} was lost.",
        f"Halfway there, {fast.name} came to a puddle, and saw {fast.his} own face in it. "
        f'"How handsome I am!" {fast.he} said, and looked, and looked, and forgot the time.',
        f"Soon {fast.name} stopped to tell {pick('a bird', 'a butterfly', 'a bee')} how "
        f"fast {fast.he} was. It was a long story, and {fast.he} told it twice.",
        f"{fast.Name} kept looking back to laugh. So {fast.he} did not see the deep mud in "
        f"front of {fast.him}, and splash! There {fast.he} sat, and could not get out.",
        f"{fast.Name} wanted to show a trick and jumped over a bush. On the other side there "
        f"was a ditch, and {fast.he} rolled down to the very bottom.",
    )
    hurry = pick(
        f"When {fast.he} came back to the path, {slow.name} was nearly there.",
        f"By the time {fast.he} was on the path again, it was too late.",
        f"Then {fast.he} heard cheering far away, and {fast.his} heart sank.",
        f"{fast.He} ran as {fast.he} had never run before, but it was no use.",
    )
    wins = pick(
        f"{slow.Name} touched {goal} first.",
        f"{slow.Name} had gone on, step by step, and was sitting at {goal} with a smile.",
        f"At {goal} stood {slow.name}, a little out of breath and very happy.",
    )
    kind = pick(
        f'"You really are fast," said {slow.name}. "Will you teach me to run?"',
        f'"It was a good race," said {slow.name}. "Come and share my lunch."',
        f'"It was a good race," said {slow.name}. "Let us rest in the shade together."',
        f'{slow.Name} did not laugh. "Are you all right?" {slow.he} asked.',
        f'"Shall we walk home together?" asked {slow.name}.',
    )
    sorry = pick(
        f'{fast.Name} looked at the ground. "I am sorry that I laughed at you," {fast.he} said.',
        f'"I was silly," said {fast.name}. "Please forgive me."',
        f'{fast.Name} was quiet for a while. "You won, and you are kind as well," {fast.he} said.',
    )
    ending = close(
        rng,
        (
            f"After that, {fast.name} and {slow.name} went for a walk every day, and "
            f"{fast.name} learned to go slowly.",
            f"Now {fast.name} had something better than winning. {fast.He} had a friend.",
            f"From that day on, {fast.name} ran races just for fun, and everybody ran along.",
            f"{fast.Name} never boasted again, and soon {fast.he} had many friends.",
        ),
        (
            "Going on step by step is better than boasting.",
            f"And so {fast.name} learned that a friend is worth more than a prize.",
            "It is good to be fast, but it is better to be kind.",
        ),
    )
    parts = [
        [opening(rng, fast, place), boast, others],
        [challenge, laugh],
        [start, off, sight(rng, slow, place, 0.35), mistake, hurry],
        [wins, sorry, kind, together(rng, "the two friends", 0.3), ending]
        if kind.startswith('"Shall') or rng.random() < 0.5
        else [wins, kind, sorry, together(rng, "the two of them", 0.3), ending],
    ]
    title = pick(
        "The Great Race",
        f"The Race to {goal.title().replace('The ', 'the ')}",
        f"{titled(fast)} Runs a Race",
    )
    return fable(rng, parts, [fast, slow], (a(fast.kind), "a race"), title)


def afraid_to_fly(rng: Random) -> Story:
    """A young bird does not dare to fly until somebody needs it."""
    pick = Pick(rng)
    bird = creature(rng, BIRDS + ("owl",), tempers=("young", "little", "small", "shy"))
    place = pick(woods(rng), garden(rng))
    tree = pick("an apple tree", "a tall oak", "a birch tree", "an old pear tree", "a hedge")
    top = "hedge" if tree == "a hedge" else "tree"
    parent, family = pick(("mother", "brothers"), ("father", "sisters"), ("mother", "sisters"))
    night = bird.kind == "owl"
    others = pick(
        f"{bird.His} {family} had all learned to fly, but {bird.name} stayed in the nest.",
        f"One after another, {bird.his} {family} left the nest. Only {bird.name} did not dare.",
        f"All the other young birds could fly. {bird.Name} only watched them.",
    )
    fear = pick(
        f"When {bird.he} looked down, the ground seemed very far away.",
        f'"What if I fall?" {bird.he} thought, and {bird.his} knees shook.',
        f"{bird.He} held on to the nest with both feet and shut {bird.his} eyes.",
        f'"The air is so empty," {bird.he} said. "There is nothing to hold on to."',
    )
    comfort = pick(
        f'"You will fly when you are ready," said {bird.his} {parent}.',
        f'"Your wings know more than you think," said {bird.his} {parent}.',
        f'"Everybody is afraid the first time," said {bird.his} {parent}. "I was, too."',
    )
    tries = pick(
        f"The next day {bird.name} flapped {bird.his} wings on the edge of the nest. It "
        f"tickled, but {bird.he} did not let go.",
        f"{bird.Name} hopped from one branch to the next one. That was not flying, but it was "
        "a beginning.",
        f"First {bird.name} tried with {bird.his} eyes shut. {bird.He} bumped into a twig and "
        "sat down again.",
        f"{bird.Name} counted to three and jumped up, and came down in the same place.",
    )
    friend = third(rng, ("beetle", "mouse", "ladybird", "snail", "ant"), (bird,))
    water = pick("puddle", "pond", "stream", "brook")
    trouble = pick(
        f"Then {bird.he} heard a tiny voice. {capital(passer(rng, friend))} was floating on a "
        "leaf in "
        f"{a(water)} and could not reach the edge.",
        f'"Help!" cried somebody far below. {capital(passer(rng, friend))} had fallen into '
        f"{a(water)} "
        "and was holding on to a straw.",
        f"Just then, a gust of wind blew {passer(rng, friend)} off a stone and into {a(water)}.",
    )
    hearing = pick(
        "There was nobody else to help.",
        f"{bird.Name} looked around, but nobody else had heard it.",
        f"{bird.His} {parent} was far away.",
    )
    flies = pick(
        f"{bird.Name} forgot to be afraid. {bird.He} jumped, spread {bird.his} wings, and "
        "the air carried them.",
        f"{bird.Name} did not think of the ground at all. {bird.He} let go, and {bird.he} flew!",
        f"Without a thought, {bird.name} leapt out of the {top}. Flap, flap went {bird.his} "
        "wings, and down {0} came, as light as a feather.".format(bird.he),
    ).replace("carried them", f"carried {bird.him}")
    rescue = pick(
        f"{bird.He} held out a long blade of grass, and the {friend} climbed up on it.",
        f"{bird.He} pulled the leaf to the edge, and the {friend} climbed out."
        if "leaf" in trouble
        else f"{bird.He} pushed a twig into the {water}, and the {friend} climbed out.",
        f"With {bird.his} beak {bird.he} lifted the {friend} gently on to dry land.",
    )
    thanks = pick(
        f'"Thank you!" said the {friend}. "How well you fly!"',
        f'"You came down like an arrow," said the {friend}. "Thank you, {bird.call}!"',
        f'"I have never seen such good flying," said the {friend}.',
    )
    notices = pick(
        f'"Did I fly?" asked {bird.name}. "I did! I really did!"',
        f"Only then did {bird.name} notice what {bird.he} had done.",
        f"{bird.Name} looked up at the nest, and back at {bird.his} wings, and laughed.",
    )
    after = pick("moon", "stars") if night else pick("roof", "clouds", "hills")
    ending = close(
        rng,
        (
            f"That {'night' if night else 'evening'} {bird.name} flew three times around the "
            f"{top}, just for joy.",
            f"{bird.Name} flew home, high {'over' if after == 'hills' else 'under'} the {after}, "
            f"where {bird.his} {parent} was "
            "waiting with a proud smile."
            if after != "roof"
            else f"{bird.Name} flew home over the roof, and {bird.his} {parent} was very proud.",
            f"From then on, nobody could keep {bird.name} on the ground.",
        ),
        (
            "Sometimes we find out how brave we are when a friend needs us.",
            "Being brave means doing it even when your knees shake.",
            f"{bird.Name} had learned that fear grows small when you think of somebody else.",
        ),
    )
    if night:
        when = pick(
            "One bright night",
            "One night, when the moon was full,",
            "One still night",
            "One night, when the leaves shone like silver,",
        )
    else:
        when = day(rng, place)
    tree_line = pick(
        f"{bird.His} nest was in {tree}.",
        f"{bird.He} sat in a nest in {tree}.",
        f"The nest was high up in {tree}." if top == "tree" else "The nest was in a hedge.",
    )
    sat = pick(
        f"{when} {bird.name} was alone in the nest.",
        f"{when} {bird.he} sat on a branch and watched the world below.",
        f"{when} {bird.name} was looking over the edge of the nest.",
    )
    parts = [
        [opening(rng, bird, place), tree_line, others, fear],
        [comfort, tries],
        [
            sat,
            sight(rng, bird, place, 0.6, still=True) if not night else "",
            trouble,
            hearing,
            flies,
        ],
        [rescue, thanks, notices, crowd(rng, (bird,), 0.4), ending],
    ]
    title = pick(f"The {bird.kind.title()} Who Would Not Fly", f"{titled(bird)} Learns to Fly")
    return fable(rng, parts, [bird], (a(bird.kind), "a bird"), title)


def snail_message(rng: Random) -> Story:
    """A slow snail carries a message and gets it there whole."""
    pick = Pick(rng)
    snail = somebody(rng, "snail", ("slow little", "small brown", "slow yellow", "small stripy"))
    place = garden(rng)
    sender = third(rng, ("beetle", "toad", "lizard", "mouse"), (snail,))
    to = pick("old tortoise", "queen of the bees", "old mole", "wise toad")
    if sender in to:
        to = "old tortoise"
    message = pick(
        "The party begins when the moon is full.",
        "The strawberries are ripe behind the shed.",
        "Please come to tea on Sunday.",
        "There will be frost tonight, so cover the flowers.",
        "Your lost blue button is under the rose bush.",
        "The pond is full again, so everybody may swim.",
    )
    why = pick(
        f"One day the {sender} had an important message for the {to} at the far end of "
        f"{place.the}.",
        f"One morning the {sender} needed somebody to carry a message to the {to}.",
        f'"Who will take my message to the {to}?" called the {sender} one morning.',
    )
    one, two = rng.sample(("grasshopper", "butterfly", "sparrow", "squirrel", "fly"), 2)
    fails = [
        pick(
            f"The {one} went first, but on the way the {one} forgot every word.",
            f"The {one} was fast, but mixed up all the words on the way.",
            f"First the {one} tried, saw something to eat, and never came back.",
        ),
        pick(
            f"The {two} got there in no time, and could not remember what to say.",
            f"Then the {two} set out, and turned around at the first drop of rain.",
            f"The {two} said it was much too busy.",
        ),
    ]
    offer = pick(
        f'"I will go," said {snail.name}. Everybody laughed. "You? You are too slow!"',
        f'"Let me do it," said {snail.name}. "You will need a week!" said the {sender}.',
        f'Then {snail.name} said, "I am slow, but I never forget."',
    )
    learn = pick(
        f'The message was this: "{message}"',
        f'"Say this," said the {sender}. "{message}"',
        f'{snail.Name} said it over and over. "{message}"',
    )
    obstacle, way = pick(
        ("a wide puddle", "sailed across on a leaf"),
        ("a high stone wall", "climbed up one side and down the other"),
        ("a path of dry sand", "waited for the dew and went across at dawn"),
        ("a heap of sharp gravel", "went all the way around it"),
        ("a row of thistles", "crept along under the lowest leaves"),
        ("a ditch", "crossed it on a fallen twig"),
    )
    obstacle_two, way_two = pick(
        ("a gust of wind", "held on tight to a stem"),
        ("the hot sun", "hid inside the shell until evening"),
        ("a heavy shower", "went on, because snails like the rain"),
        ("the dark night", "followed the white stones in the moonlight"),
    )
    goes = pick(
        f"First there was {obstacle}. {snail.Name} {way}.",
        f"Soon {snail.he} came to {obstacle}, and {snail.he} {way}.",
    )
    goes_two = pick(
        f"Then came {obstacle_two}. {snail.Name} {way_two}.",
        f"After that there was {obstacle_two}, and {snail.he} {way_two}.",
    )
    says = pick(
        f'All the way {snail.he} whispered, "{message}"',
        "Not one word was lost on the way.",
        f'"Slow and steady," said {snail.name} at every stop.',
    )
    arrives = pick(
        f"On the third day {snail.name} stood before the {to}.",
        f"When the sun came up for the second time, {snail.he} had arrived at last.",
        f"Two days later {snail.name} was there, tired and happy.",
    )
    if "tonight" in message:
        arrives = f"Just before evening, {snail.name} stood before the {to}."
        way_two = "held on tight to a stem"
        goes_two = f"Then came a gust of wind. {snail.Name} {way_two}."
    tells = pick(
        f'"{message[:-1]}," {snail.he} said, and not a word was missing.',
        f'{snail.Name} took a deep breath and said, "{message}"',
    )
    glad = pick(
        f'"Thank you," said the {to}. "You are the best messenger of all."',
        f'The {to} was delighted. "Here is somebody who remembers!"',
        f'"How good that you came," said the {to}, and gave {snail.him} a fresh green leaf.',
    )
    ending = close(
        rng,
        (
            f"After that, every important message in {place.the} was carried by {snail.name}.",
            f"And the {sender} never laughed at slow feet again.",
            f"{snail.Name} set off for home, slowly, and enjoyed every step.",
        ),
        (
            "It is not always the fastest who does the best work.",
            "Slow and careful is often better than fast and forgetful.",
            "Whoever keeps going will get there in the end.",
        ),
    )
    if "tonight" in message:
        goes = goes.replace("waited for the dew and went across at dawn", "went around it")
    parts = [
        [opening(rng, snail, place), habits(rng, snail) if rng.random() < 0.5 else "", why, *fails],
        [offer, learn],
        [goes, sight(rng, snail, place), goes_two, says],
        [arrives, tells, glad, ending],
    ]
    title = pick("The Snail and the Message", f"{titled(snail)} Brings a Message")
    return fable(rng, parts, [snail], ("a snail", "a message"), title)


def caterpillar(rng: Random) -> Story:
    """A caterpillar does not want to change, and wakes up as a butterfly."""
    pick = Pick(rng)
    hero = somebody(
        rng, "caterpillar", ("small green", "hungry", "striped", "round green", "hairy brown")
    )
    place = garden(rng)
    plant = pick("a nettle", "a cabbage leaf", "a thistle", "a willow twig", "a carrot leaf")
    colours = pick("blue", "yellow", "orange", "white", "red and black", "brown and gold")
    friend = creature(rng, ("snail", "beetle", "ladybird", "ant", "cricket"), hero)
    eats = pick(
        f"All day {hero.he} sat on {plant} and ate.",
        f"{hero.He} lived on {plant} and did nothing but eat and rest.",
        f"{hero.He} ate a hole into {plant}, and then another one.",
    )
    mate = pick(
        f"Below lived {friend.intro}, and they talked every evening.",
        f"{hero.His} best friend was {friend.intro}.",
        f"Every day {friend.intro} came by for a chat.",
    )
    news = pick(
        f'"Soon you will change," said {friend.name} one day. "All caterpillars do."',
        f'"One day you will have wings," said {friend.name}.',
        f'"Do you know that you will turn into a butterfly?" asked {friend.name}.',
    )
    fear = pick(
        f'"I do not want to change," said {hero.name}. "I like being me."',
        f'"And what if I do not like it?" asked {hero.name}.',
        f'"Will you still know me then?" asked {hero.name} in a small voice.',
    )
    tries = pick(
        f"{hero.He} held on to {hero.his} leaf with all {hero.his} feet.",
        f"{hero.He} tried to eat less, but {hero.he} was too hungry for that.",
        f"{hero.He} tried to stay awake, so that nothing could happen.",
    )
    promise = pick(
        f'"I will wait for you right here," said {friend.name}.',
        f'"I will know you by your laugh," said {friend.name}.',
        f'"You will still be you," said {friend.name}, "only with wings."',
    )
    sleepy = pick(
        f"Then {hero.name} grew very sleepy. {hero.He} found a quiet twig, and soon a firm "
        f"shell closed around {hero.him}.",
        f"One evening {hero.name} could not keep awake any longer. {hero.He} fixed {hero.himself} "
        "to a stem and became a chrysalis, still and brown.",
    )
    weeks = pick("Two weeks", "Many days", "Three weeks", "Twelve days")
    waits = pick(
        f"{weeks} went by. {friend.Name} came every day and said good morning.",
        f"It rained, and the sun shone, and {friend.name} waited. {weeks} passed.",
        f"{weeks} passed, and nothing moved.",
    )
    opens = pick(
        "Then, one warm morning, the shell cracked open.",
        "Then something stirred. The shell split, and out came a thin leg.",
        "At last there was a tiny crack, and it grew wider.",
    )
    wings = pick(
        "Out crept a butterfly with soft, wet wings. They dried in the sun, and they were "
        f"{colours}.",
        f"Slowly two wrinkled wings came out, spread in the sun, and turned smooth and {colours}.",
    )
    knows = pick(
        f'"Is that you?" asked {friend.name}. "It is me," said {hero.name}, and laughed the old '
        "laugh.",
        f'"Good morning, {hero.name}," said {friend.name}. "I knew you at once."'
        if hero.named
        else f'"Good morning, old friend," said {friend.name}. "I knew you at once."',
        f'"I feel so light!" said {hero.name}. "And I am still me."',
    )
    flies = pick(
        f"Then {hero.name} flew, over the {pick('fence', 'hedge', 'wall', 'roses', 'pond')} and "
        "back again.",
        f"A soft wind came, and {hero.name} rose into the air.",
        f"{hero.Name} opened {hero.his} wings and danced from flower to flower.",
    )
    ending = close(
        rng,
        (
            f"Every evening {hero.name} came back and told {friend.name} what the world looked "
            "like "
            "from above.",
            f"{friend.Name} looked up and waved for a long time.",
            f"And {hero.name} still liked to rest on {plant}.",
        ),
        (
            "Change can be a little frightening, and it can be wonderful, too.",
            "You can change and still be yourself.",
            "A good friend knows you, whatever you look like.",
        ),
    )
    parts = [
        [opening(rng, hero, place), likes(rng, hero, chance=0.6), eats, mate],
        [news, fear, tries, promise],
        [sleepy, waits],
        [opens, wings, knows, flies, ending],
    ]
    title = pick(f"{titled(hero)}", "The Caterpillar Who Did Not Want to Change")
    return fable(rng, parts, [hero, friend], ("a caterpillar", "a butterfly"), title)
