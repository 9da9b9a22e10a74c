"""Everyday stories at home: the dark, the rain, a vase, a box, a bath."""

from __future__ import annotations

from random import Random

from vatra.spark.prose import Story
from vatra.spark.stories.tale import Tale


def rainy_fort(rng: Random) -> Story:
    """Two friends build a fort indoors while it rains."""
    tale = Tale(rng)
    tale.friend()
    tale.grown(("mom", "dad", "grandma", "grandpa"))
    tale.when("rainy")
    tale.put(when="[one day|one morning|one afternoon|one Saturday]")
    tale.put(
        plan="[to play ball|to go to the park|to ride bikes|to have a picnic|to fly a kite]",
        fort="[castle|ship|cave|spaceship|jungle tent]",
        cloth="[a big blue blanket|an old tablecloth|a striped sheet|a soft green blanket]",
    )
    tale.put(
        pretend={
            "castle": "they were [kings and queens|brave knights|guards at the gate]",
            "ship": "they sailed across a [wide|stormy|deep blue] sea",
            "cave": "they were bears who slept through the winter",
            "spaceship": "they flew to the moon and waved to the stars",
            "jungle tent": "parrots called and monkeys swung in the trees",
        }[tale.slots["fort"]]
    )
    tale.open(
        (
            "{N} always played outside.",
            "{N} did not like rainy days.",
            "{N} loved to build things.",
        ),
        (
            "{when}, {N} and {his} [friend|cousin] {F} wanted {plan}, but it was raining.",
            "{when}, {N}'s [friend|cousin] {F} came to visit. They wanted {plan}, but the rain "
            "[would not|did not] stop.",
            "{when}, {N} stood at the window with {his} friend {F}. It rained and rained, and they "
            "could not go out {plan}.",
        ),
    )
    tale.say(
        '"[This is no fun|Rain is boring|Now the day is spoiled]," said {N}.',
        '"What can we do now?" asked {F}.',
        '"There is nothing to do," {F} sighed.',
        '"I wish the sun would come out," said {N}.',
    )
    tale.turn()
    tale.say(
        '"Rainy days are good for building a {fort}," said {G}.',
        '{G} looked up from {ghis} book. "When I was little, we built a {fort} on rainy days," '
        '{ghe} said. "Why don\'t you try it?"',
        "then {N} saw the [table|sofa and the chairs], and {his} eyes grew wide. "
        '"Let us build a {fort}!" {he} said.',
        '"I know!" said {N}. "We can make a {fort}!"',
    )
    tale.say(
        "they pushed the chairs together and put {cloth} over them. But the "
        "[cloth|roof] [slid|slipped] down, and everything fell in.",
        "they hung {cloth} over the table, but it [slipped|slid] off again and again.",
        "{N} held up {cloth}, but as soon as {he} let go, it fell on {F}'s head.",
        "their first {fort} stood for a moment. Then it [sank|fell down] with a soft flop.",
    )
    tale.say(
        '"We need something to hold it," said {F}.',
        '"Why does it fall?" asked {N}.',
        '"Let us try another way," said {N}.',
        "they looked at it and laughed.",
        chance=0.7,
    )
    tale.say(
        "{G} gave them some clothespins, and {N} [pinned|clipped] the cloth to the chairs. "
        "Now it held.",
        "{F} found some heavy books, and they laid them on the corners. This time it stayed.",
        "{N} tied the corners to the chair legs with string. This time, the roof stayed up.",
    )
    tale.turn()
    tale.say(
        "they [carried|brought] pillows and a lamp inside, and the {fort} was ready.",
        "inside, it was [warm|dark and cozy|soft and snug]. They put pillows on the floor.",
        "they crawled inside with [pillows|cushions] and picture books.",
    )
    tale.say("in their game, {pretend}.", "they pretended that {pretend}.", "soon {pretend}.")
    tale.say(
        "{G} brought them {snack}.",
        "they shared {snack} in the {fort}.",
        "outside, the rain [sang|drummed], but nobody minded.",
        chance=0.7,
    )
    return tale.story(
        ("The Rainy Day {fort}", "{N} and {F} Build a {fort}", "A Rainy Day"),
        ("a rainy day", "building a {fort}", "two friends"),
        (
            '"I hope it rains [tomorrow|again soon]," said {N}, and they both laughed.',
            "when the sun came out, they did not even notice.",
            "it was the best rainy day ever.",
            "since then, {N} and {F} have loved rainy days.",
            "{N} thought that rain was not so bad after all.",
            "they stayed in their {fort} until it was time to go to bed.",
        ),
    )


def night_light(rng: Random) -> Story:
    """Something in the dark looks frightening, until there is light."""
    tale = Tale(rng)
    tale.grown(("mom", "dad", "grandma", "grandpa"))
    shape, truth = rng.choice(
        (
            ("a [big|tall] bear", "{his} own coat on the door"),
            ("a long arm", "the branch of the tree outside"),
            ("a sleeping dragon", "a heap of clothes on the chair"),
            ("a tall giant", "the curtain in the wind"),
            ("a strange bird", "{his} hat on top of the lamp"),
            ("a hairy monster", "the plant on the window sill"),
            ("a crouching lion", "the chair with a blanket on it"),
        )
    )
    tale.put(
        shape=shape,
        truth=truth,
        light="[a little lamp|a night light] [shaped like a moon|shaped like a star|with a yellow "
        "glow|with a warm glow|shaped like a mushroom|shaped like a snail]",
        when="[one night|one windy night|one dark night|one winter night|one evening]",
        noise="[a creak|a scratch|a tap, tap, tap|a soft thump]",
    )
    tale.put(
        cause={
            "a creak": "the old stairs [settling|going to sleep]",
            "a scratch": "a twig on the window",
            "a tap, tap, tap": "the water dripping from the roof",
            "a soft thump": "the neighbor's cat jumping off the fence",
        }[tale.slots["noise"]]
    )
    tale.open(
        (
            "{N} was afraid of the dark.",
            "{N} was [brave|not afraid of anything] during the day, but not at night.",
            "{N} did not like bedtime, because {his} room was so dark.",
        ),
        (
            "{when}, {N} lay in bed and could not sleep.",
            "{when}, {NG} turned off the light and closed the door. Now it was dark in {N}'s room.",
            "{when}, {N} pulled the blanket up to {his} nose and looked into the dark.",
        ),
    )
    tale.turn()
    tale.say(
        "in the corner, {he} saw {shape}.",
        "by the [wall|door], something looked like {shape}.",
        "was that {shape} in the corner?",
    )
    tale.say("then {he} heard {noise}.", "from far away came {noise}.", "{noise} made {him} jump.")
    tale.say(
        "{he} [hid|crept] under the blanket, but [it was even darker there|that did not help].",
        "{N} closed {his} eyes and [sang a song|thought of nice things], but {he} was still "
        "afraid.",
        "{N} held {his} pillow [tightly|close], but {his} heart went thump, thump, thump.",
    )
    tale.say(
        '"{call}!" {he} called. "{call}, please come!"',
        '"{call}, there is something in my room!" {N} called.',
        "in the end, {he} called for {G}.",
    )
    tale.turn()
    tale.say(
        '{G} came in and sat on the bed. "What is wrong?" {ghe} asked {softly}.',
        '{G} came at once. "Tell me what you saw," {ghe} said.',
        '"I am here," said {G} and took {his} hand.',
    )
    tale.say(
        '"I saw {shape}," whispered {N}.',
        '"There is {shape}," said {N} and pointed.',
        "{N} pointed at the dark shape.",
    )
    tale.say(
        'together they turned on the light. It was only {truth}! "And the noise is {cause}," '
        "said {G}.",
        '"Let us look together," said {G}. They went closer, hand in hand. It was just {truth}. '
        "And the noise was only {cause}.",
        "{G} switched on the lamp, and they both had to laugh. It was {truth}.",
    )
    tale.say(
        "{N} felt a little better, but {he} still did not like the dark.",
        '"But when you go, it will be dark again," said {N}.',
        '"The dark is the same room, only [asleep|resting]," said {G}.',
        chance=0.7,
    )
    tale.turn()
    tale.say(
        "so {G} brought {light} and put it next to the bed.",
        'Then {G} went out and came back with {light}. "This was mine when I was little," {ghe} '
        "said.",
        '"I have something for you," said {G}. It was {light}.',
    )
    tale.say(
        "it made a soft [circle|pool] of light on the wall.",
        "the room looked [warm|friendly|cozy] now.",
        "all the shadows looked small and friendly.",
    )
    tale.say(
        '"Good night, {N}," said {G}. "Good night, {call}," said {N}.',
        '"Sleep well," said {G} and kissed {his} [cheek|forehead].',
        chance=0.5,
    )
    return tale.story(
        ("The Night Light", "{N} and the Dark", "A Light in the Dark"),
        ("a night light", "the dark", "bedtime"),
        (
            "{N} smiled, closed {his} eyes and fell asleep.",
            "soon {N} was fast asleep.",
            "from that night on, {N} was not afraid of the dark anymore.",
            "{N} waved at the shadows, and then {he} slept until morning.",
            '"Good night, dark," {N} whispered, and then {he} slept.',
            "and {he} dreamed of [stars|the moon|sunny meadows].",
        ),
    )


def broken_vase(rng: Random) -> Story:
    """Something breaks, is hidden, and is owned up to."""
    tale = Tale(rng)
    tale.grown()
    tale.when("sunny", "rainy", "windy", parts=("morning", "afternoon", "day"))
    tale.put(
        thing="[blue vase|white vase|flower pot|green bowl|teapot|tall vase|painted plate"
        "|yellow pitcher]",
        spot="[on the shelf|on the table|by the window|on the little desk]",
        play="[threw a ball|danced and spun|ran after a balloon|jumped like a frog|flew a paper "
        "plane|bounced a ball|swung a scarf like a lion's tail] in the [living room|hall]",
        hide="[behind the curtain|under the sofa|in a box|under a cushion|in {his} toy box]",
    )
    tale.put(short=tale.slots["thing"].split()[-1])
    tale.open(
        (
            "{N} was a child who could not sit still.",
            "{NG} had a {thing} that {ghe} loved very much.",
            "at {N}'s house, there stood a {thing} {spot}. {G} loved it very much.",
        ),
        (
            "{when}, {N} {play}.",
            "{when}, {N} was alone in the room and {play}.",
            "{when}, {N} wanted to have some fun, so {he} {play}.",
        ),
    )
    tale.say(
        "crash! {G}'s {thing} fell down and broke.",
        "suddenly there was a crash. {G}'s {thing} lay [on the floor in pieces|in pieces].",
        "bump! {he} hit {G}'s {thing}, and it fell and broke.",
    )
    tale.turn()
    tale.say(
        "{N} stood very still. {his} heart beat fast.",
        '"Oh no!" {he} whispered.',
        "{SAD}",
        '"What have I done?" thought {N}.',
    )
    tale.say(
        "{he} tried to put the pieces together, but they would not [stay|hold]. "
        "Then {he} hid them {hide}.",
        "quickly, {he} picked up the pieces and hid them {hide}.",
        "{N} hid the pieces {hide}, where nobody could see them.",
    )
    tale.say(
        'Soon {G} came in. "Have you seen my {thing}?" {ghe} asked. {N} shook {his} head.',
        "at dinner, {N} could not eat. {his} tummy felt [tight|funny].",
        "but {N} could not play anymore. [All afternoon|All day], {he} thought of the {short}.",
        '"Maybe the wind did it," {N} wanted to say, but {he} knew it was not true.',
    )
    tale.say(
        "the secret felt as heavy as a stone.",
        "{he} felt worse and worse.",
        "{he} did not like to have a secret like that.",
        chance=0.6,
    )
    tale.turn()
    tale.say(
        "at last, {N} went to {G}.",
        "in the end, {he} could not bear it and went to {G}.",
        "then {N} took a deep breath and went to {G}.",
    )
    tale.say(
        '"I broke your {short}," {he} said. "I am [so |very |]sorry."',
        '"It was me," {he} said in a small voice. "I broke the {thing}."',
        '"I must tell you something," {he} said. "I broke the {thing}, and I hid it."',
    )
    tale.say(
        'for a moment, {G} was quiet. Then {ghe} said, "[Thank you for telling me|I am glad you '
        "told "
        'me] the truth."',
        '"I am sad about the {short}," said {G}, "but I am [happy|glad|proud] that you told the '
        'truth."',
        '{G} hugged {him}. "It takes courage to tell the truth," {ghe} said.',
        '"A {short} can be mended," said {G}. "Telling the truth is more important."',
    )
    tale.turn()
    tale.say(
        "together they [glued|stuck] the pieces with [strong|clear] glue.",
        "they got some glue and put it together, piece by piece.",
        "they sat at the table and mended it [carefully|slowly] with glue.",
    )
    tale.say(
        "you could still see the [cracks|lines], but the {short} was whole again.",
        "it had thin lines all over, like a [spider's web|map].",
        "{N} painted a tiny flower [over|on] the biggest crack.",
        chance=0.7,
    )
    return tale.story(
        ("The Broken {short}", "{N} Tells the Truth", "{N} and the {thing}"),
        ("a broken {short}", "telling the truth"),
        (
            "{N}'s heart was light again.",
            "from then on, {N} played wild games outside and always told the truth.",
            "and {N} felt much, much better.",
            '"I like it even more now," said {G}.',
            "after that, whenever something went wrong, {N} told {G} right away.",
            "{N} had learned that the truth makes the heart light.",
        ),
    )


def big_box(rng: Random) -> Story:
    """An empty box becomes whatever one likes."""
    tale = Tale(rng)
    tale.pet(("cat", "dog", "puppy", "kitten"))
    tale.grown(("mom", "dad", "grandma", "grandpa"))
    tale.when("rainy", "cold", "windy", "sunny", parts=("morning", "afternoon", "day"))
    thing, voyage, seen = rng.choice(
        (
            ("rocket", "flew past the moon", "a friendly star"),
            ("ship", "sailed across the kitchen sea", "a whale made of cushions"),
            ("train", "rolled through tunnels and over bridges", "a herd of cows"),
            ("submarine", "dived to the bottom of the sea", "an old treasure"),
            ("race car", "raced around the living room", "the finish line"),
            ("airplane", "flew above the clouds", "tiny houses far below"),
            ("castle", "kept watch over the whole kingdom", "a tired traveler"),
        )
    )
    tale.put(thing=thing, voyage=voyage, seen=seen)
    tale.put(
        came="[a new fridge|a new chair|a new washing machine|a new oven|a new lamp|a new "
        "cupboard]",
        part="[buttons|a window|stars|stripes|a number|a door]",
        paint="[red and yellow|blue|silver|green and white|purple] paint",
    )
    tale.open(
        (
            "{N} had a {pet} named {P}, who went everywhere with {him}.",
            "{N} could make something out of anything.",
            "{N} and {his} {pet} {P} were the best of friends.",
        ),
        (
            "{when}, {came} came to the house in a big box. {N} and {his} {pet} {P} only looked at "
            "the box.",
            "{when}, {N} and {his} {pet} {P} found a huge empty box in the hall.",
            '{when}, {NG} wanted to throw away a big box. "Wait!" said {N}, and {his} {pet} {P} '
            "jumped "
            "right into it.",
        ),
    )
    tale.say(
        '"This is not a box," said {N}. "It is a {thing}!"',
        '"Do you know what this is, {P}?" {N} asked. "It is a {thing}!"',
        "{N} looked at it from all sides. It could be a {thing}!",
    )
    tale.turn()
    tale.say(
        "{N} cut out a door with {G}'s help and painted it with {paint}.",
        "{N} took {paint} and painted {part} on it.",
        "with scissors, tape and {paint}, {he} set to work.",
    )
    tale.say(
        "but {P} bumped against the wall, and the {thing} tipped over.",
        "but when {P} climbed in, one side [bent|fell down].",
        "but the tape did not hold, and the roof came off.",
        "but {P} leaned on the door, and it came off.",
    )
    tale.say(
        '"Oh, {P}!" said {N}. "Now it is broken."',
        '"Oh no," said {N}. "We can\'t travel like this."',
        "{N} [sighed|frowned], and {P} looked very sorry.",
    )
    tale.turn()
    tale.say(
        '"Every {thing} needs repairs now and then," said {G} and brought some strong tape.',
        '{G} looked in. "I am a mechanic," {ghe} said with a wink. "May I help?"',
        "{N} scratched {his} head. Then {he} turned the box around and tried it the other way.",
    )
    tale.say(
        "they taped the corners, and now the {thing} stood firm.",
        "they put a cushion inside for {P} and taped up the walls. Now it was [better|stronger] "
        "than before.",
        "piece by piece, the {thing} was mended, and it looked even better.",
    )
    tale.say(
        '"All aboard!" {N} called, and {P} hopped in.'
        if thing != "castle"
        else '"Open the gate!" {N} called, and {P} hopped in.',
        '"Are you ready, {P}?" asked {N}.',
        "{N} put on a paper hat, and {P} got one, too.",
    )
    tale.say(
        "they {voyage} and saw {seen}.",
        "off they went! They {voyage}, and on the way they saw {seen}."
        if thing not in ("castle",)
        else "they {voyage} and let in {seen}.",
        "the {thing} {voyage}, and through the window they saw {seen}."
        if thing != "castle"
        else "all day long, they {voyage}.",
    )
    tale.turn()
    tale.say(
        'At dinner time, {G} called them. "We are still far away!" {N} called back.',
        "after the long trip, they were hungry, and they had {snack}."
        if thing != "castle"
        else "after that, they were hungry, and {G} brought {snack}.",
        "later, {G} looked into the box. {N} and {P} had fallen asleep, side by side.",
    )
    return tale.story(
        ("The Big Box", "{N}, {P} and the {thing}", "The Box That Was a {thing}"),
        ("a big box", "a {pet}", "a {thing}"),
        (
            "it was the best {thing} in the world.",
            "nobody ever threw that box away.",
            "and the next day, the box was something new.",
            "{P} was a good traveler." if thing != "castle" else "{P} was a good guard.",
            "a box is only a box when you cannot dream.",
        ),
    )


def muddy_bath(rng: Random) -> Story:
    """A muddy pet does not want a bath."""
    tale = Tale(rng)
    tale.pet(("dog", "puppy"))
    tale.grown()
    tale.put(
        when="[one day|one afternoon|one morning|one Saturday], after the rain",
        coat="[brown|black|white|spotted|curly|golden]",
        fun="[rolled|jumped|splashed|ran around] in [the biggest puddle|a deep puddle|the mud]",
    )
    tale.open(
        (
            "{N} had a {coat} {pet} named {P}.",
            "{N}'s {pet} {P} loved [mud|puddles] more than anything.",
            "{N} and {his} {pet} {P} played outside in any weather.",
        ),
        (
            "{when}, {N}'s {pet} {P} {fun}.",
            "{when}, {N} went for a walk with {his} {pet} {P}, and {P} {fun}.",
            "{when}, {N} could not hold {his} {pet} {P} back. {P} {fun}.",
        ),
    )
    tale.say(
        "when {P} came out again, {phe} was brown from nose to tail.",
        "soon there was mud on {phis} ears, {phis} tummy and {phis} tail.",
        "{phe} was so muddy that only {phis} eyes were shining.",
    )
    tale.say(
        '"{P} cannot come in like that," said {G}.',
        '"Somebody needs a bath," said {G}.',
        '"Oh, {P}!" said {N}. "You need a bath."',
    )
    tale.turn()
    tale.say(
        "but {P} did not like baths. When {phe} saw the tub, {phe} hid [under the porch|behind "
        "the shed].",
        "but as soon as {P} heard the word bath, {phe} ran away.",
        "{N} filled the tub with warm water, but {P} jumped right out again.",
    )
    tale.say(
        "{N} ran after {phim}, around the house and back again, but {P} was faster.",
        "{N} pulled at the leash, but {P} sat down and did not move.",
        "{N} called and called, but {P} only looked the other way.",
    )
    tale.say(
        "then {N} tried to carry {phim}, but now {N} was muddy, too.",
        "{N} held out a biscuit, but {P} took it and ran off.",
        "{N} tried to push {phim}, slipped and sat down in the mud.",
    )
    tale.turn()
    tale.say(
        '{G} laughed. "Perhaps {P} does not know that water is fun," {ghe} said.',
        '"Maybe {P} is a bit afraid," said {G}. "You could show {phim} that it is nice."',
        "then {N} had an idea.",
    )
    tale.say(
        "{N} sat down in the tub in {his} clothes, sang and splashed with the water.",
        "{N} put {P}'s [ball|toy duck] into the tub, and it bobbed up and down.",
        "{N} got into the tub first and blew bubbles into the air.",
    )
    tale.say(
        "{P} came closer, sniffed, and put one paw into the water.",
        "{P} tilted {phis} head. What was going on there?",
        "{P} pricked up {phis} ears and came a little closer.",
    )
    tale.say(
        "then, splash! {P} jumped in, and the water flew everywhere.",
        "one more step, and {P} was in the tub.",
        "with one big leap, {phe} was in the tub.",
    )
    tale.say(
        "{N} washed {phim} with soap until {phis} coat was clean and soft.",
        "{N} rubbed and scrubbed, and {P} held still.",
        "there was foam on {N}'s nose and foam on {P}'s ears.",
    )
    tale.turn()
    tale.say(
        "then {P} shook {phis} coat, and everybody got wet.",
        '"Who is a clean {pet}?" asked {N}, and {P} barked.',
        "{G} brought a big towel and dried them both.",
    )
    return tale.story(
        ("{P} Takes a Bath", "The Muddy {pet}", "{N} and the Muddy {pet}"),
        ("a muddy {pet}", "a {pet}", "a bath"),
        (
            "after that, {P} liked baths almost as much as mud.",
            "{N} and {P} curled up on the rug and smelled of soap.",
            "but then {P} saw the next puddle.",
            "now everybody was clean, and the garden was wet.",
            "{N} gave {P} a big hug.",
            "from then on, bath time was play time.",
        ),
    )
