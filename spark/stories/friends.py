"""Everyday stories about friends: new ones, sick ones, presents, parties, taking turns."""

from __future__ import annotations

from random import Random

from vatra.spark.prose import Story
from vatra.spark.stories.people import COLOURS
from vatra.spark.stories.tale import Tale


def new_neighbor(rng: Random) -> Story:
    """A child moves in next door and becomes a friend."""
    tale = Tale(rng)
    tale.friend()
    tale.grown(("mom", "dad", "grandma", "grandpa"))
    tale.when("sunny", "windy", "cold")
    tale.put(
        gift="[a plate of cookies|a bowl of cherries|a basket of apples|a loaf of warm bread"
        "|a jar of plum jam|some fresh flowers]",
        colour=rng.choice(COLOURS),
    )
    game, thing = rng.choice(
        (
            ("build a [tower|castle|town] of blocks", "a box of wooden blocks"),
            ("play ball", "a bouncy ball"),
            ("draw [animals|flowers|dragons] on the path", "some colored chalk"),
            ("play marbles", "a bag of marbles"),
            ("blow bubbles", "a bottle of bubbles"),
            ("jump rope", "a long rope"),
            ("race toy cars", "a box of toy cars"),
            ("look at picture books", "a pile of picture books"),
        )
    )
    tale.put(game=game, thing=thing)
    tale.open(
        (
            "{N} often played alone, because no other children lived nearby.",
            "{N} wished for a friend who lived close by.",
            "{N} loved to meet new people.",
            "the house next door to {N} had been empty for a long time.",
        ),
        (
            "{when}, a {colour} truck stopped in front of the house next door.",
            "{when}, a new family moved in next door.",
            "{when}, {N} looked out of the window and saw [people|a family] carrying boxes "
            "into the house next door.",
            "{when}, {N} heard voices from the house next door.",
        ),
    )
    tale.say(
        "[among them was|there was] a {fkind} named {F}, who looked [shy|a bit lost|lonely].",
        "a {fkind} sat on the steps and looked [sad|lonely|shy]. {fhis} name was {F}.",
        "a {fkind} stood by the gate with a [box|bag|suitcase] in {fhis} arms. It was {F}.",
    )
    tale.turn()
    tale.say(
        '"Hello!" called {N}, but {F} only looked at {fhis} shoes.',
        "{N} waved, but {F} was too shy to wave back.",
        "{N} smiled across the fence, but {F} hid behind a box.",
        '"Do you want to play?" {N} asked, but {F} shook {fhis} head and went inside.',
    )
    tale.say(
        '"[Maybe|I think] {F} does not like me," {N} told {G}.',
        '{N} went home. "{F} will not talk to me," {he} said to {G}.',
        "{N} felt [puzzled|a little sad] and asked {G} what to do.",
    )
    tale.say(
        '"Everything is new for {F}," said {G}. "Give it a little time."',
        '"Moving is hard," {ghe} said {softly}. "Perhaps {F} misses {fhis} old home."',
        '"[New places|New things] can be scary," said {G}. "A small gift may help."',
        '"Being new is not easy," said {G}. "Let us think of something kind to do."',
    )
    tale.turn()
    tale.say(
        "so they took {gift} to the house next door.",
        "so {N} and {G} put together {gift} and knocked at the door.",
        "the next day, {N} [carried|brought] {gift} to the house next door.",
        "{N} had an idea. {he} rang the bell and held out {gift}.",
    )
    tale.say(
        '"This is for you," said {N}. "Welcome!" At last {F} smiled.',
        '"Welcome to our street," {N} said. {F} [smiled a little smile|looked up and smiled].',
        '{F} opened the door. "Is that for me?" {fhe} asked. "Yes," said {N}. "Welcome!"',
    )
    tale.say(
        'Then {F} brought out {thing}. "Do you want to {game} with me?" {fhe} asked.',
        '"I have {thing}," {F} said softly. "We could {game}."',
        "{F} ran to {fhis} room and came back with {thing}, and they began to {game}.",
    )
    tale.turn()
    tale.say(
        "they [played|laughed and played] until [the sun went down|dinner time|it got dark].",
        "soon they were [laughing|giggling] [like old friends|together].",
        "{N} and {F} forgot the time and played all day.",
    )
    tale.say(
        '"[Will you come|Can we play] again tomorrow?" asked {F}. "Yes!" said {N}.', chance=0.4
    )
    return tale.story(
        ("The New Neighbor", "{N} and {F}", "A New Friend for {N}", "The House Next Door"),
        ("a new neighbor", "a new friend", "making friends"),
        (
            "from that day on, {N} and {F} were best friends.",
            "now the house next door was not [empty|strange] anymore, because a friend lived "
            "there.",
            "{N} had a new friend, and {F} had a new home.",
            "and so {N} and {F} became friends.",
            "after that, they met at the fence every [day|morning|afternoon].",
            "a little kindness had made a new friend.",
        ),
    )


def handmade_present(rng: Random) -> Story:
    """A present is made by hand, and something goes wrong on the way."""
    tale = Tale(rng)
    tale.grown(("mom", "dad", "grandma", "grandpa"))
    tale.when("sunny", "rainy", "windy", "cold", parts=("morning", "afternoon"))
    present, stuff, trouble, fix, use = rng.choice(
        (
            (
                "necklace",
                "[shells|wooden beads|buttons] and a string",
                "the string broke, and everything rolled under the table",
                "picked everything up and used a thicker string",
                "wore it every day",
            ),
            (
                "picture",
                "paper and [bright|many] paints",
                "{he} knocked over the water, and the picture got wet",
                "turned the wet spot into a [lake|blue cloud|big pond]",
                "hung it on the wall",
            ),
            (
                "birdhouse",
                "some [old|thin] boards and a little paint",
                "one wall was too short, and the roof slid off",
                "found a longer board and started over",
                "hung it in the old tree, and soon a bird moved in",
            ),
            (
                "scarf",
                "a ball of [red|blue|soft green|yellow] wool",
                "{he} dropped a stitch, and the scarf had a hole",
                "undid the row and knitted it again, slowly",
                "wore it all winter long",
            ),
            (
                "clay bowl",
                "a lump of clay",
                "one side sank down, and the bowl looked like a boat",
                "rolled the clay into a ball and began again",
                "kept it on the kitchen table and filled it with nuts",
            ),
            (
                "little book",
                "paper, crayons and ribbon",
                "the pages got mixed up, and the story made no sense",
                "took out the ribbon and put the pages in order",
                "read it again and again",
            ),
            (
                "puppet",
                "an old sock and [some|two] buttons",
                "one eye fell off, and the mouth was crooked",
                "sewed the eye on tightly and gave the puppet a big smile",
                "made it talk in a funny voice",
            ),
        )
    )
    tale.put(present=present, stuff=stuff, trouble=trouble, fix=fix, use=use)
    tale.open(
        (
            "{N} loved to make things.",
            "{N} loved {G} very much.",
            "{N}'s hands were always busy.",
        ),
        (
            "it was almost {NG}'s birthday, but {N} had no money for a present.",
            "{when}, {N} remembered that the next day was {G}'s birthday.",
            "{when}, {N} went to the shop to find a birthday present for {G}, but everything cost "
            "too much.",
            "{when}, {N} wondered what to give {G} for {ghis} birthday.",
        ),
    )
    tale.turn()
    tale.say(
        '"I will make something [myself|with my own hands]," {he} said.',
        '"I know!" {he} thought. "I can make a {present}."',
        "{N} thought {moment}. Then {he} had an idea: {he} would make a {present}.",
        "then {N} decided to make a {present}.",
    )
    tale.say(
        "{N} got {stuff} and went to work.",
        "{he} [found|took] {stuff} and [closed|shut] the door so that no one could see.",
        "{N} sat down at the table with {stuff}.",
        "for the {present}, {he} took {stuff}.",
    )
    tale.turn()
    tale.say(
        "but it was not easy. {trouble}.",
        "at first all went well. But then {trouble}.",
        "{N} worked and worked. Then {trouble}.",
        "it began badly: {trouble}.",
    )
    tale.say(
        "{SAD}",
        '"Oh no," said {N}. "[It looks terrible|All my work is spoiled]."',
        '"Maybe I should give up," {he} thought.',
        '"That is not how it should look," said {N}.',
    )
    tale.say("{TRY}", chance=0.5)
    tale.say(
        "{he} {fix}.",
        "{N} thought about {G}'s smile. So {he} {fix}.",
        "but then {he} took a deep breath and {fix}.",
        "after a little rest, {he} {fix}.",
    )
    tale.say(
        "{he} worked until [the stars came out|dinner|it got dark]. At last, it was [done|ready].",
        "when it was done, {N} wrapped it in [brown|blue|yellow|white] paper.",
        "now it was not perfect, but it was made with love.",
        "it took a long time, but in the end the {present} was finished.",
        chance=0.8,
    )
    tale.turn()
    tale.say(
        "on the birthday, {G} opened [the gift|the present|it] very slowly.",
        'On the birthday, {N} held out the present. "I made it [myself|for you]," {he} said.',
        "on the birthday, {N} put the present on {G}'s plate at breakfast.",
    )
    tale.say(
        '"A {present}!" said {G}. "[It is beautiful|How lovely|It is the best present of all]!"',
        '{G} looked at the {present}, and {ghis} eyes shone. "You made this for me?" {ghe} asked.',
        '"Oh, {N}, I love it," said {G}.',
    )
    return tale.story(
        ("The Handmade {present}", "A Present for {call}", "{N} Makes a {present}"),
        ("a birthday present", "a {present}", "a gift made by hand"),
        (
            "{G} {use}.",
            "and {G} {use}.",
            "{ghe} gave {N} a long, warm hug.",
            "{N} knew now that the best presents come from the heart.",
            "of all the presents, it was the one {G} loved most.",
            "{N} felt {happy}.",
        ),
    )


def the_swing(rng: Random) -> Story:
    """Two friends learn to take turns."""
    tale = Tale(rng)
    tale.friend()
    tale.grown(("mom", "dad", "grandma", "grandpa", "uncle", "aunt"))
    tale.when("sunny", "windy")
    thing, does, use, where = rng.choice(
        (
            ("swing", "went high up into the air", "swing", "in the garden"),
            ("scooter", "rolled fast down the path", "ride", "in the yard"),
            ("sled", "slid down the grassy hill", "ride", "behind the house"),
            ("wagon", "rattled along the lane", "ride", "in the lane"),
            ("trampoline", "bounced like a cloud", "jump", "in the yard"),
            ("drum", "went boom, boom, boom", "drum", "on the porch"),
            ("rocking horse", "rocked back and forth", "ride", "in the playroom"),
        )
    )
    tale.put(thing=f"[new|big|{rng.choice(COLOURS)}|shiny|wonderful] {thing}", short=thing)
    tale.put(does=does, use=use, where=where)
    tale.open(
        (
            "{N} liked to play with {his} friend {F}.",
            "{N} did not like to wait.",
            "{N} and {F} were good friends, but sometimes they quarreled.",
        ),
        (
            "{when}, there was a {thing} {where}. {G} had made it for {N}.",
            "{when}, {NG} gave {N} a {thing}. It stood {where}.",
            "{when}, {N} got a {thing}, and {he} wanted to try it {where} at once.",
        ),
    )
    tale.say(
        "it {does}, and {N} laughed with joy.",
        "how it {does}!",
        "{N} tried it right away. It {does}.",
    )
    tale.turn()
    tale.say(
        '{his} friend {F} came by. "May I try it, too?" {fhe} asked.',
        '"Can I have a turn?" asked {his} friend {F}.',
        "then {his} friend {F} came and wanted to {use}, too.",
    )
    tale.say(
        '"No, it is mine," said {N}.',
        '"Later," said {N}, but later never came.',
        '"Not now," said {N} and went on.',
        "{N} pretended not to hear.",
        '"First me," said {N}, and {he} did not stop.',
    )
    tale.say(
        "{F} waited and waited. Then {fhe} went home with {fhis} head down.",
        "{F} looked at the ground. After a while, {fhe} walked away.",
        '"Then I will go home," said {F} in a small voice.',
    )
    tale.turn()
    tale.say(
        "now {N} had the {short} all alone. But nobody laughed with {him}, and nobody cheered.",
        "at first, {N} was glad. But soon it was very quiet, and the {short} was not much fun.",
        "{N} went on, but something was missing. It was no fun without {F}.",
    )
    tale.say(
        '"Why are you so quiet?" asked {G}. "{F} went home," {N} said. "I did not share."',
        '"Where is {F}?" asked {G}. {N} looked at {his} shoes. "I was not nice," {he} said.',
        '"Is something wrong?" asked {G}. {N} nodded. "I did not let {F} try," {he} said.',
    )
    tale.say(
        '"You can still make it right," said {G}.',
        '"What do you think would help?" asked {G}. {N} knew the answer.',
        "{N} thought {moment}. {he} knew what {he} had to do.",
        chance=0.8,
    )
    tale.turn()
    tale.say(
        '{N} ran to {F}\'s house. "I am sorry," {he} said. "Will you come back? You can go first."',
        'So {N} knocked at {F}\'s door. "I am sorry that I did not share," {he} said. "Please come '
        'back."',
        '"I am sorry, {F}," {N} said at {F}\'s door. "Come and {use}. It is your turn."',
    )
    tale.say(
        "{F} smiled, and they ran back together.",
        '"[All right|Yes]," said {F}, and {fhis} face [lit up|grew bright].',
        "{F} took {his} hand, and back they went.",
    )
    tale.say(
        "they took turns. When one of them had a turn, the other one cheered.",
        "first it was {F}'s turn, and then it was {N}'s, and so it went all day.",
        "{N} counted slowly, and then they changed places.",
    )
    return tale.story(
        ("{N} Learns to Share", "Taking Turns", "{N}, {F} and the {short}"),
        ("a {short}", "sharing", "taking turns"),
        (
            "and {N} saw that sharing makes everything more fun.",
            "the {short} was much more fun together.",
            "from that day on, they always took turns.",
            "they laughed so much that {G} came out to laugh with them.",
            "a friend was better than any {short}.",
            "{N} and {F} were good friends again.",
        ),
    )


def surprise_party(rng: Random) -> Story:
    """A birthday seems to be forgotten, but there is a surprise."""
    tale = Tale(rng)
    tale.friend()
    tale.grown(("mom", "dad", "grandma", "grandpa"))
    tale.put(
        cake="[chocolate|lemon|carrot|strawberry|apple|nut|cherry] cake",
        deco="[paper stars|balloons|colorful flags|paper flowers|lanterns]",
        where="[into the garden|into the living room|into the kitchen|out to the yard|over to the "
        "apple tree]",
        gift="[a storybook|a box of paints|a paper crown|a bag of marbles|a flute|a flashlight|a "
        "puzzle|a little globe]",
    )
    tale.open(
        (
            "{N} had looked forward to {his} birthday for weeks.",
            "{N} loved birthdays.",
            "{N} had crossed off every day until {his} birthday.",
        ),
        (
            "at last, it was {N}'s birthday.",
            "one [sunny|rainy|bright|fine] morning, {N} woke up very early, because it was {his} "
            "birthday.",
            "it was the morning of {N}'s birthday, and {he} jumped out of bed.",
        ),
    )
    tale.say(
        "but there was no cake on the table, and nobody sang.",
        'but at breakfast, {G} only said, "Good morning. Eat your bread."',
        "{he} ran into the kitchen, but everything was just like on any other day.",
    )
    tale.turn()
    tale.say(
        '"Do you know what day it is?" {he} asked {G}. "Yes, it is laundry day," said {G}.',
        '"Today is a special day," {N} told {G}. "Is it?" said {G} and went on sweeping.',
        '"Is there something you want to tell me?" {N} asked. "Put on your shoes," said {G}.',
    )
    tale.say(
        'Then {N} met {his} friend {F}. "I have no time today," said {F} and ran off.',
        "{N} went to {his} friend {F}, but {F} was not at home.",
        "{his} friend {F} came down the street with a big bag. When {F} saw {N}, {fhe} hid the bag "
        "and turned red.",
    )
    tale.say(
        '"They have all forgotten me," thought {N}.',
        "{SAD} Had they all forgotten?",
        "{N} sat on the steps with {his} chin in {his} hands.",
    )
    tale.turn()
    tale.say(
        'In the afternoon, {G} called, "{N}, please come and help me!"',
        '"Please bring me the [broom|basket|watering can]," {G} called after lunch.',
        'when the clock struck [four|three], {G} took {N} by the hand. "Come with me," {ghe} said.',
    )
    tale.say(
        "slowly, {N} went {where}.",
        "{N} sighed and went {where}.",
        "{N} looked at the ground and walked {where}.",
    )
    tale.say(
        '"Surprise!" called many voices. Everywhere hung {deco}, and there stood {F} and all of '
        "{N}'s friends.",
        'There were {deco} everywhere, and {F} jumped up. "Happy birthday, {N}!" they all sang.',
        '"Happy birthday!" everybody shouted. {F} held a big {cake}, and there were {deco} all '
        "around.",
    )
    tale.say(
        '"Did you think we forgot?" asked {G}.',
        '"It was so hard not to tell you," said {F}.',
        '"We were busy all day," said {F} and laughed.',
        "{N} could not believe {his} eyes.",
    )
    tale.turn()
    tale.say(
        "they ate {cake}, and {F} gave {him} {gift}.",
        "{N} blew out the candles on the {cake} and made a wish.",
        "there was {cake} for all, and they played [games|hide and seek|musical chairs] until "
        "evening.",
    )
    tale.say("{JOY}", chance=0.6)
    return tale.story(
        ("The Surprise Party", "{N}'s Birthday", "A Birthday Surprise"),
        ("a birthday", "a surprise party", "a surprise"),
        (
            "nobody had forgotten {him} at all.",
            '"This is the best birthday ever," said {N}.',
            "that night, {N} fell asleep with the birthday song in {his} ears.",
            "{N} hugged {F}, and then {he} hugged {G}.",
            "it was a day that {N} would never forget.",
            "what a surprise that was!",
        ),
    )


def sick_friend(rng: Random) -> Story:
    """A friend is ill and is cheered up."""
    tale = Tale(rng)
    tale.friend()
    tale.grown()
    tale.when("sunny", "rainy", "windy", "cold", parts=("morning", "afternoon", "day"))
    tale.put(
        ill="[a cold|a sore throat|a fever|a cough|a broken leg|a tummy ache]",
        idea="[a puppet show at the window|a letter with funny pictures|a basket of small surprises"
        "|a box full of riddles|a big colorful picture|a book of jokes]",
        soup="[chicken soup|noodle soup|tomato soup|pumpkin soup|vegetable soup]",
    )
    tale.put(the_idea=tale.slots["idea"].split()[1])
    tale.open(
        (
            "{N} and {F} played together every day.",
            "{N} had a good friend named {F}.",
            "{F} was {N}'s best friend.",
        ),
        (
            "{when}, {N} wanted to play with {his} friend {F}, but {F} had {ill}.",
            "{when}, {N} rang the bell at {F}'s house. {F} could not come out, because {fhe} had "
            "{ill}.",
            "{when}, {N}'s friend {F} was not at school. {F} had {ill} and had to stay in bed.",
        ),
    )
    tale.say(
        "{F} looked pale and sad at the window.",
        '"{F} must be so bored," said {N}.',
        "without {F}, nothing was fun.",
        "{N} was sorry for {F}.",
    )
    tale.turn()
    tale.say(
        "first, {N} picked some flowers, but on the way the wind blew the petals off.",
        "first, {N} wanted to bring a balloon, but it popped at the gate.",
        "first, {N} wanted to bring an ice cream, but it melted on the way.",
        "first, {N} told a joke through the door, but {F} could not hear it.",
    )
    tale.say(
        '"What can I do to cheer {F} up?" {N} asked {G}.',
        "{N} went to {G} and asked for advice.",
        '"I want to make {F} laugh," {N} told {G}.',
    )
    tale.say(
        '"What would you like if you were ill?" asked {G}.',
        '"Think of something that only a good friend would think of," said {G}.',
        '"Warm soup and a laugh help with most things," said {G}.',
    )
    tale.say(
        "{N} thought {moment}. Then {he} knew. {he} would make {idea}!",
        "then {N} had an idea. {he} would make {idea}!",
        'All at once, {N} smiled. "I know! I will make {idea}!" {he} said.',
    )
    tale.turn()
    tale.say(
        "{N} worked on it all [morning|day], and {G} made {soup}.",
        "while {G} cooked {soup}, {N} got everything ready.",
        "{G} filled a pot with {soup}, and {N} was busy with scissors and paint.",
    )
    tale.say(
        "then they went to {F}'s house.",
        "together they carried it all to {F}.",
        "they knocked [softly|gently] at {F}'s door.",
    )
    tale.say(
        "when {F} saw what {N} had made, {fhe} laughed for the first time in days.",
        "{F} sat up in bed, and {fhis} eyes began to shine.",
        '"You did all this for me?" asked {F}.',
    )
    tale.say(
        '"Do it again!" said {F}.'
        if "show" in tale.slots["idea"]
        else "{F} ate two bowls of {soup}.",
        "the {soup} was warm, and {F} ate it all.",
        '"I feel better already," {fhe} said.',
    )
    tale.turn()
    tale.say(
        "a few days later, {F} was well again.",
        "soon {F} could come out to play again.",
        'the next week, {F} was at the door. "I am well again!" {fhe} said.',
    )
    return tale.story(
        ("A Visit to {F}", "{N} Cheers Up {F}", "Soup for {F}"),
        ("a sick friend", "being kind", "soup"),
        (
            "and when {N} caught a cold, {F} knew just what to do.",
            "laughing with a friend was good medicine.",
            "{F} never forgot how kind {N} had been.",
            "then they ran outside together, hand in hand.",
            "{N} was {happy} to have {fhim} back.",
            "that is what friends are for.",
        ),
    )
