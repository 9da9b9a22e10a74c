"""Everyday stories about learning: a skill, a play, the first day of school."""

from __future__ import annotations

from random import Random

from vatra.spark.prose import Story
from vatra.spark.stories.tale import Tale

_SKILLS = (
    (
        "ride a bike",
        "riding a bike",
        "a bike",
        "in the park",
        "the bike [wobbled|tipped], and {he} [landed|sat down] in the grass",
        "{he} rode [a tiny bit|a little way], and then {he} [fell|tumbled] over",
        "Look [ahead|straight ahead] and keep [pedaling|your feet moving]",
        "the wheels went round and round, and {N} rolled [all the way|right] down the path",
    ),
    (
        "swim",
        "swimming",
        "the lake",
        "at the lake",
        "{he} splashed with {his} arms, but {his} feet sank to the bottom",
        "water got into {his} nose, and {he} had to stand up and cough",
        "Lie [flat|long] like a [leaf|little boat] and kick with your [legs|feet]",
        "{he} floated and kicked, and {he} swam all the way to {G}'s arms",
    ),
    (
        "whistle",
        "whistling",
        "a whistle",
        "on the front steps",
        "only [air|a puff of air] came out",
        "there was just a [funny|silly] hissing sound",
        "Make your lips [small and round|round like a cherry] and blow [softly|gently]",
        "a [clear|high|sweet] little tune came out, just like a bird's",
    ),
    (
        "skate",
        "skating",
        "skates",
        "on the smooth path by the pond",
        "{his} feet slid apart, and {he} sat down with a bump",
        "{he} rolled [a little way|a few steps], and then {he} [fell|tumbled] into the grass",
        "Bend your knees a little and take [small|short] steps",
        "{he} glided along the path like a [swan|bird]",
    ),
    (
        "tie {his} shoes",
        "tying shoes",
        "shoes",
        "on the bottom stair",
        "the laces [slipped|fell] apart",
        "the laces made a big, tight knot",
        "Make two [rabbit ears|loops], cross them, and pull one through",
        "there was a neat bow on each shoe",
    ),
    (
        "jump rope",
        "jumping rope",
        "a rope",
        "in the yard",
        "the rope [caught|got caught on] {his} foot",
        "{he} jumped too [soon|late], and the rope hit {his} shoes",
        "Listen to the rope and jump when it [taps|touches] the ground",
        "the rope went tap, tap, tap, and {N} jumped every time",
    ),
    (
        "fly a kite",
        "flying a kite",
        "a kite",
        "on the hill",
        "the kite [bumped|bounced] along the grass",
        "the kite rose a little, turned over and fell into a bush",
        "Wait for the wind, then run and let the string out [slowly|little by little]",
        "the kite rose higher and higher until it danced among the clouds",
    ),
    (
        "play a song on the flute",
        "playing the flute",
        "a flute",
        "in the living room",
        "the flute only [squeaked|made a squeaky sound]",
        "the notes came out in the wrong order",
        "Blow [softly|gently] and move one finger at a time",
        "the whole song came out, [soft and clear|sweet and clear], from beginning to end",
    ),
)


def learning(rng: Random) -> Story:
    """A skill is tried twice in vain, and learned with some advice."""
    tale = Tale(rng)
    tale.grown(("mom", "dad", "grandma", "grandpa", "aunt", "uncle"))
    skill, doing, thing, where, first, second, tip, done = rng.choice(_SKILLS)
    tale.when(
        *(("windy",) if "kite" in skill else ("sunny",)), parts=("morning", "afternoon", "day")
    )
    tale.put(skill=skill, doing=doing, where=where)
    tale.put(first=first, second=second, tip=tip, done=done)
    tale.open(
        (
            "{N} wanted to learn to {skill}.",
            "more than anything, {N} wished {he} could {skill}.",
            "all of {N}'s friends could {skill}, but {N} could not.",
            "{N} often dreamed of {doing}.",
        ),
        (
            '{when}, {N} said to {G}, "I want to learn to {skill}."',
            '{when}, {NG} asked, "{N}, would you like to learn to {skill}?"',
            "{when}, {N} and {G} met {where}, because {N} wanted to learn to {skill}.",
            "{when}, {N} decided to learn to {skill}.",
        ),
    )
    tale.say(
        "{N} nodded [bravely|with shining eyes], but {he} was a little [afraid|nervous] too.",
        '"It can\'t be that hard," {N} thought.',
        '"I will help you," said {G}.',
        "{G} promised to help.",
        chance=0.6,
    )
    tale.turn()
    tale.say(
        "the first time {he} tried, {first}.",
        "{N} tried {where}, but {first}.",
        "{N} tried once, and {first}.",
        "at first, it did not go well: {first}.",
    )
    tale.say(
        "{TRY} This time, {second}.",
        "{TRY} But {second}.",
        "the next time, {second}.",
        "again {he} tried, but {second}.",
        "the second try was no better: {second}.",
    )
    tale.say(
        '"I will never learn it," {he} [sighed|said sadly].',
        '"It is too hard," said {N} and [sat down|hung {his} head].',
        "{SAD}",
        '"Why can\'t I do it?" {N} asked.',
    )
    tale.turn()
    tale.say(
        '"[Everyone|Everybody] has to practice," said {G} {softly}. "{tip}."',
        '{G} [sat down next to|put an arm around] {him}. "Here is a [secret|trick]," {ghe} said. '
        '"{tip}."',
        '"When I was small, I could not do it either," said {G}. "{tip}."',
        '"[Don\'t worry|Never mind]," said {G} {softly}. "It takes time. {tip}."',
        '"You are [almost there|getting better]," said {G}. "{tip}."',
    )
    tale.say(
        "{N} took a deep breath and did just that. {N} tried [once more|one more time], and "
        "{done}.",
        "{N} listened carefully. Then {he} tried again, and this time {done}.",
        "{N} practiced [all afternoon|until the sun was low|again and again]. At last, {done}.",
        "the next day, {N} tried again. Slowly, slowly it worked, and {done}.",
    )
    tale.turn()
    tale.say(
        '"I did it!" {he} [shouted|cried|cheered]. "I [really |]did it!"',
        '"Look, {call}, look!" {N} called.',
        '"You did it!" {G} cheered.',
        '"I knew you could do it," said {G}.',
    )
    tale.say("{JOY}", chance=0.6)
    return tale.story(
        ("{N} Learns to {skill}", "{N} Tries Again", "{N} Does Not Give Up"),
        ("learning something new", doing, thing),
        (
            "from that day on, {N} loved {doing}.",
            "{N} had learned that [practice helps|trying again is the best trick of all].",
            "{N} went to bed tired and proud.",
            "after that, {he} [practiced|tried it] every day, and each day it got easier.",
            "and the next week, {N} taught a [friend|little cousin] how to {skill}.",
            "{G} gave {him} a big hug, and they went home together.",
            "{EVENING}",
        ),
    )


def school_play(rng: Random) -> Story:
    """A shy child has a part in the school play."""
    tale = Tale(rng)
    tale.friend()
    tale.grown(("mom", "dad", "grandma", "grandpa"))
    role, line = rng.choice(
        (
            ("the moon", "I shine for everyone who cannot sleep"),
            ("the sun", "Wake up, wake up, the day is here"),
            ("a tree", "All the birds are welcome in my branches"),
            ("the wind", "I blow the clouds across the sky"),
            ("a bee", "I bring honey to all my friends"),
            ("a snail", "I am slow, but I always get there"),
            ("a cloud", "I bring soft rain to the thirsty flowers"),
            ("an owl", "I keep watch while the forest sleeps"),
            ("a star", "Look up and make a wish"),
            ("a frog", "I sing by the pond all night long"),
        )
    )
    tale.put(
        role=role,
        line=line,
        time="[on Friday|in spring|before the holidays|at the end of the week]",
    )
    tale.put(part=tale.slots["role"].split()[-1])
    tale.open(
        (
            "{N} was [shy|quiet] and did not like to speak in front of people.",
            "{N} liked to sing and act at home, but never in front of a crowd.",
            "{N} had never been on a stage before.",
        ),
        (
            "{N}'s class was going to put on a play {time}, and {N} was {role}.",
            'One day, the teacher said, "We will put on a play {time}. {N}, would you like to be '
            '{role}?"',
            "there was going to be a play at {N}'s school. {N} got the part of {role}.",
        ),
    )
    tale.say(
        '{he} had only one line: "{line}."',
        '{N} had to say, "{line}."',
    )
    tale.turn()
    tale.say(
        "{N} practiced in front of the mirror, [but {his} voice was very small|and it went well].",
        "{N} practiced with {G} in the kitchen every [evening|day].",
        "{N} said the line in the bath, in the garden and [on the way to school|in bed].",
    )
    tale.say(
        "{G} [made|sewed] {him} a costume out of [paper|old sheets|cardboard and cloth].",
        "{he} made a mask out of [paper|cardboard] and paint.",
        chance=0.5,
    )
    tale.say(
        "but at the rehearsal, {N} forgot the words.",
        "but when {he} stood on the stage for the first time, not a word came out.",
        "but the next day at school, {his} face turned red and {he} forgot the line.",
    )
    tale.say(
        '"What if that happens in front of everyone?" {he} asked {his} friend {F}.',
        '"I can\'t do it," {he} told {his} friend {F}.',
        '{SAD} "I am scared," {he} told {his} friend {F}.',
    )
    tale.turn()
    tale.say(
        '"When I am scared, I look at a friend," said {F}. "You can look at me."',
        '"I will [stand|be] right beside you," said {F}. "[We can do it together|Just look at '
        'me]."',
        '"Take a deep breath and look at me," said {F}. "I will smile at you."',
        '"Me too," said {F}. "Let us be scared together. Look at me when it is your turn."',
    )
    tale.say(
        "then the big day came. The room was full of [people|moms and dads|families].",
        "on the day of the play, all the chairs were full.",
        "soon the evening of the play was there, and the curtain [opened|went up].",
    )
    tale.say(
        "{N}'s knees shook. {he} looked at {F}, and {F} [smiled|nodded].",
        "for a moment, {N} could not remember anything. Then {he} saw {F}'s smile.",
        "{N} took a deep breath and looked at {F}.",
    )
    tale.say(
        '"{line}!" {N} said, [loud and clear|in a clear voice].',
        'then the words came all by themselves. "{line}," {N} said.',
        '{he} stepped forward and said, "{line}!"',
    )
    tale.turn()
    tale.say(
        "everyone clapped and clapped.",
        "the whole room clapped, and {G} clapped [loudest|the loudest] of all.",
        '{G} waved from the [first|last] row. "[Bravo|Well done]!" {ghe} called.',
    )
    tale.say("{JOY}", chance=0.6)
    return tale.story(
        ("The School Play", "{N} on the Stage", "{N} and the Play"),
        ("a school play", "being shy", "a good friend"),
        (
            '"We did it," whispered {F}, and {N} squeezed {fhis} hand.',
            "after that, {N} was not so shy anymore.",
            "{N} could hardly wait for the next play.",
            "it was good to have a friend like {F}.",
            "that night, {N} dreamed of being on the stage again.",
            "{N} bowed, and it was the best {part} anyone had ever seen.",
        ),
    )


def first_day(rng: Random) -> Story:
    """The first day of school is a little frightening and then a good one."""
    tale = Tale(rng)
    tale.friend()
    tale.grown(("mom", "dad", "grandma", "grandpa"))
    tale.put(
        when="[one|on a] [sunny|bright|cool|gray|warm] [morning|Monday morning|September morning]",
        bag="[blue|red|green|yellow|new] backpack",
        teacher="[Miss|Mr.] "
        + rng.choice(("Bell", "Park", "Lopez", "Green", "Khan", "Novak", "Stone")),
        thing="[a picture book about whales|a box of crayons|a wooden puzzle|some building blocks"
        "|a big sheet of paper|a tub of clay]",
    )
    teacher = tale.slots["teacher"]
    tale.names.append(teacher)
    tale.put(the="she" if teacher.startswith("Miss") else "he")
    tale.open(
        (
            "{N} was going to start school.",
            "{N} had been looking forward to school all summer.",
            "{N} had a {bag} that was still empty.",
        ),
        (
            "{when}, {N} stood at the door with {his} {bag}. It was the first day of school.",
            "{when}, {N} went to school for the very first time.",
            "{when}, {NG} took {N} to school. It was {his} first day.",
        ),
    )
    tale.say(
        "{his} tummy felt as if it was full of [butterflies|frogs].",
        '"What if nobody likes me?" {he} asked.',
        '"What if I get lost?" asked {N}.',
        "{he} held {G}'s hand very tight.",
    )
    tale.say(
        '"Everyone is a little nervous today," said {G}.',
        '{G} put a small [stone|button|paper heart] in {his} pocket. "When you miss me, hold it," '
        "{ghe} said.",
        '"You will see, it will be fine," said {G}.',
    )
    tale.turn()
    tale.say(
        "at school, the [hall|room] was big and loud.",
        "there were so many children that {N} wanted to go home again.",
        "{N} did not know anybody there.",
    )
    tale.say(
        "{he} sat down [in the last row|by the window|at an empty table] and said nothing.",
        "{he} wanted to say hello, but {his} voice was gone.",
        "{he} tried to join a game, but the others did not see {him}.",
    )
    tale.say(
        'the teacher, {teacher}, smiled at {him}. "Welcome, {N}," {the} said.',
        'the teacher was called {teacher}. "It is nice to have you here, {N}," {the} said.',
        chance=0.75,
    )
    tale.turn()
    tale.say(
        "then {N} saw a {fkind} who sat all alone, too. {fhis} name was {F}.",
        "next to {him} sat a {fkind} named {F}, who looked just as nervous.",
        "at the next table, a {fkind} named {F} was biting {fhis} lip.",
    )
    tale.say(
        '{N} took {thing} and went over. "Do you want to share?" {he} asked.',
        '"Are you new, too?" asked {N}. {F} nodded.',
        '{N} was brave and said, "Hello. Is this your first day, too?" {F} nodded.',
    )
    tale.say(
        '"I am glad you came over," said {F}.',
        '"I was afraid that nobody would talk to me," said {F}. "Me too," said {N}.',
        "{F} smiled, and {N} smiled back.",
    )
    tale.say(
        "they painted together, and at lunch they shared [an apple|a sandwich|some grapes].",
        "the rest of the day they [played|sang and painted|laughed] together.",
        "in the break, they played [tag|hide and seek|ball|hopscotch] in the yard.",
    )
    tale.turn()
    tale.say(
        '"How was it?" asked {G} [after school|at the gate]. "[Wonderful|Good]," said {N}. "I '
        "have a "
        'friend."',
        "when {G} came to get {him}, {N} did not want to leave.",
        '"Can I go again tomorrow?" {N} asked {G} on the way home.',
    )
    return tale.story(
        ("{N}'s First Day at School", "The First Day of School", "{N} and {F} at School"),
        ("the first day of school", "a new friend", "school"),
        (
            "that evening, {N} packed {his} {bag} for the next day all alone.",
            "the butterflies were gone, and {N} was {happy}.",
            "now {N} knew that others can be nervous, too.",
            "and the next morning, {F} had kept a place for {him}.",
            "school was not so scary after all.",
            "{N} could hardly wait for the next day.",
        ),
    )
