"""Single facts about the world that fit no table, and what is true of it and what is not."""

from __future__ import annotations

from random import Random

from vatra.spark.facts.phrasing import Question

# (questions, statement, answer): what fits no table
SINGLE = (
    (
        ("Where does the sun rise?", "In which direction does the sun come up?"),
        "The sun rises in the east.",
        "east",
    ),
    (
        ("Where does the sun set?", "In which direction does the sun go down?"),
        "The sun sets in the west.",
        "west",
    ),
    (
        ("What do bees make?", "What do bees make from nectar?", "What sweet food do bees make?"),
        "Bees make honey.",
        "honey",
    ),
    (
        ("What do hens lay?", "What does a hen lay?", "What do chickens lay?"),
        "Hens lay eggs.",
        "eggs",
    ),
    (
        ("What do cows give us?", "What do we drink that comes from cows?"),
        "Cows give us milk.",
        "milk",
    ),
    (
        ("What do sheep give us?", "What do we get from sheep to make sweaters?"),
        "Sheep give us wool.",
        "wool",
    ),
    (
        (
            "What season is the coldest?",
            "Which season is the coldest one?",
            "What is the coldest season of the year?",
            "In which season do people build snowmen?",
        ),
        "The coldest season is winter.",
        "winter",
    ),
    (
        (
            "What season is the hottest?",
            "Which season is the hottest?",
            "What is the warmest season of the year?",
        ),
        "The warmest season is summer.",
        "summer",
    ),
    (
        (
            "In which season do the leaves fall?",
            "When do the leaves fall from the trees?",
            "In what season do leaves turn red and fall?",
        ),
        "The leaves fall in autumn.",
        "autumn",
    ),
    (
        (
            "In which season do the first flowers bloom?",
            "When do the trees get new leaves?",
        ),
        "That happens in spring.",
        "spring",
    ),
    (
        (
            "What falls from the clouds when it is warm?",
            "What makes puddles on the street?",
            "What wet thing falls from grey clouds?",
        ),
        "It is rain.",
        "rain",
    ),
    (
        (
            "What falls from the sky in winter and is white?",
            "What is white and cold and falls in winter?",
            "What do you need to build a snowman?",
        ),
        "It is snow.",
        "snow",
    ),
    (
        ("What do we breathe?", "What do people breathe?", "What do you need for breathing?"),
        "We breathe air.",
        "air",
    ),
    (
        (
            "On which planet do we live?",
            "What is the name of our planet?",
            "Which planet is our home?",
        ),
        "Our planet is called Earth.",
        "Earth",
    ),
    (
        (
            "What shines in the sky at night?",
            "What is big and round and shines at night?",
            "What goes around the earth?",
        ),
        "It is the moon.",
        "moon",
    ),
    (
        (
            "What gives us light during the day?",
            "What star is closest to us?",
            "What is very hot and shines in the daytime sky?",
            "What does the earth travel around?",
        ),
        "It is the sun.",
        "sun",
    ),
    (
        (
            "What is frozen water called?",
            "What does water turn into when it freezes?",
            "What do you call frozen water?",
        ),
        "Frozen water is called ice.",
        "ice",
    ),
    (
        ("What happens to ice in the sun?", "What does ice do when it gets warm?"),
        "The ice melts.",
        "melts",
    ),
    (
        (
            "What colorful thing can you see when sun and rain come together?",
            "What do you see in the sky when the sun shines on the rain?",
        ),
        "You can see a rainbow.",
        "rainbow",
    ),
    (
        ("Where do apples grow?", "Where do pears grow?", "Where do cherries grow?"),
        "They grow on a tree.",
        "tree",
    ),
    (
        ("Where do potatoes grow?", "Where do carrots grow?"),
        "They grow under the ground.",
        "ground",
    ),
    (
        ("What grows from a seed?", "What comes out of a seed?"),
        "A plant grows from a seed.",
        "plant",
    ),
    (
        (
            "What should you drink when you are thirsty?",
            "What do fish need to swim in?",
            "What comes out of a tap?",
            "What do plants drink?",
        ),
        "It is water.",
        "water",
    ),
    (
        ("What do you do when you are tired?", "What do people do at night in bed?"),
        "Then you sleep.",
        "sleep",
    ),
    (
        ("What do you do when you are hungry?", "What should I do when I am hungry?"),
        "Then you eat.",
        "eat",
    ),
    (
        (
            "What do you call the meal in the morning?",
            "What is the first meal of the day?",
            "Which meal do we eat in the morning?",
        ),
        "It is called breakfast.",
        "breakfast",
    ),
    (
        ("What do you call the meal in the middle of the day?", "Which meal do we eat at noon?"),
        "It is called lunch.",
        "lunch",
    ),
    (
        ("What do you call the meal in the evening?", "Which meal do we eat in the evening?"),
        "It is called dinner.",
        "dinner",
    ),
    (
        ("What shape has three sides?", "Which shape has three corners?"),
        "It is a triangle.",
        "triangle",
    ),
    (
        (
            "What shape has four equal sides and four equal corners?",
            "Which shape has four sides that are all the same?",
        ),
        "It is a square.",
        "square",
    ),
    (
        ("What shape is a wheel?", "What shape is a coin?", "What shape is a full moon?"),
        "It is a circle.",
        "circle",
    ),
    (
        ("What should you do at a red light?", "What does a red traffic light mean?"),
        "A red light means stop.",
        "stop",
    ),
    (
        ("What does a green traffic light mean?", "What does a green light tell you?"),
        "A green light means go.",
        "go",
    ),
    (
        (
            "What do you say when somebody gives you a present?",
            "What should I say when somebody helps me?",
        ),
        "You say thank you.",
        "thank you",
    ),
    (
        ("What do you say before you go to sleep?", "What do you say to people at bedtime?"),
        "You say good night.",
        "good night",
    ),
    (
        ("How many eggs are in a dozen?", "How many is a dozen?", "What number is a dozen?"),
        "A dozen is 12.",
        "12",
    ),
    (
        ("How many planets go around the sun?", "How many planets are in our solar system?"),
        "Our solar system has 8 planets.",
        "8",
    ),
    (
        ("How many fingers do you have on two hands?", "How many fingers are on two hands?"),
        "Two hands have 10 fingers.",
        "10",
    ),
    (
        ("How many legs does a table usually have?", "How many legs does a normal chair have?"),
        "It has 4 legs.",
        "4",
    ),
    (
        (
            "What do you call your mother's mother?",
            "Who is the mother of your mother?",
            "Who is your father's mother?",
        ),
        "She is your grandmother.",
        "grandmother",
    ),
    (
        ("What do you call your mother's father?", "Who is the father of your mother?"),
        "He is your grandfather.",
        "grandfather",
    ),
    (
        ("What do you call your mother's sister?", "Who is the sister of your mother?"),
        "She is your aunt.",
        "aunt",
    ),
    (
        ("What do you call your father's brother?", "Who is the brother of your mother?"),
        "He is your uncle.",
        "uncle",
    ),
    (
        ("What do you blow out on a birthday cake?",),
        "You blow out the candles.",
        "candles",
    ),
    (
        ("What do you wear on your feet?", "What do you put on over your socks?"),
        "You wear shoes.",
        "shoes",
    ),
    (
        ("What do you wear on your head?", "What do you put on your head when the sun is hot?"),
        "You wear a hat.",
        "hat",
    ),
    (
        ("What keeps your neck warm?", "What do you put around your neck when it is cold?"),
        "You wear a scarf.",
        "scarf",
    ),
    (
        ("What do trains drive on?", "What does a train need to drive on?"),
        "Trains drive on rails.",
        "rails",
    ),
    (
        ("What does a car need to roll?", "What do cars and bicycles roll on?"),
        "They roll on wheels.",
        "wheels",
    ),
    (
        ("What has pages and a cover and tells stories?", "What do you read a story from?"),
        "It is a book.",
        "book",
    ),
    (
        (
            "What has hands and numbers but cannot clap?",
            "What hangs on the wall and says tick tock?",
        ),
        "It is a clock.",
        "clock",
    ),
    (
        ("What do caterpillars turn into?", "What does a caterpillar become?"),
        "A caterpillar turns into a butterfly.",
        "butterfly",
    ),
    (
        ("What is the opposite direction of north?",),
        "It is south.",
        "south",
    ),
    (
        ("What taste does sugar have?", "How does honey taste?", "How does candy taste?"),
        "It tastes sweet.",
        "sweet",
    ),
    (
        ("How does a lemon taste?", "What taste does a lemon have?", "How does vinegar taste?"),
        "It tastes sour.",
        "sour",
    ),
    (("How does sea water taste?", "What taste does the sea have?"), "It tastes salty.", "salty"),
    (
        ("What do you call a house for cars?",),
        "It is called a garage.",
        "garage",
    ),
    (
        ("What flies in the sky and has a string?", "What toy flies in the wind on a string?"),
        "It is a kite.",
        "kite",
    ),
    (("What do you call a baby dog?",), "It is called a puppy.", "puppy"),
    (
        ("What do you call water that falls over a cliff?",),
        "It is called a waterfall.",
        "waterfall",
    ),
    (
        (
            "What do you call land with water all around it?",
            "What is land in the middle of the sea?",
        ),
        "It is called an island.",
        "island",
    ),
    (
        ("What do you call a very high hill of rock?", "What is much higher than a hill?"),
        "It is a mountain.",
        "mountain",
    ),
    (
        ("What goes up when the rain comes down?", "What do you open when it rains?"),
        "It is an umbrella.",
        "umbrella",
    ),
    (
        ("What do you cross to get over a river?", "What is built over a river for cars?"),
        "It is a bridge.",
        "bridge",
    ),
)
# (question, whether it is so, statement after "Yes, " or "No, ")
TRUTHS = (
    ("Is fire hot?", True, "fire is hot"),
    ("Is fire cold?", False, "fire is hot"),
    ("Is ice cold?", True, "ice is cold"),
    ("Is ice warm?", False, "ice is cold"),
    ("Is the sun hot?", True, "the sun is very hot"),
    ("Is snow warm?", False, "snow is cold"),
    ("Is sugar sweet?", True, "sugar is sweet"),
    ("Is a lemon sour?", True, "a lemon is sour"),
    ("Is honey sour?", False, "honey is sweet"),
    ("Is salt sweet?", False, "salt is salty"),
    ("Is water wet?", True, "water is wet"),
    ("Is the desert wet?", False, "the desert is very dry"),
    ("Is a feather heavy?", False, "a feather is very light"),
    ("Is an elephant heavy?", True, "an elephant is very heavy"),
    ("Is a stone soft?", False, "a stone is hard"),
    ("Is a stone hard?", True, "a stone is hard"),
    ("Is a pillow soft?", True, "a pillow is soft"),
    ("Is a ball round?", True, "a ball is round"),
    ("Is a wheel square?", False, "a wheel is round"),
    ("Is a wheel round?", True, "a wheel is round"),
    ("Does the sun shine at night?", False, "the sun shines during the day"),
    ("Does the sun shine during the day?", True, "the sun shines during the day"),
    ("Do fish live in trees?", False, "fish live in water"),
    ("Do fish live in water?", True, "fish live in water"),
    ("Does a car have wheels?", True, "a car has wheels"),
    ("Does a fish have legs?", False, "a fish has fins instead of legs"),
    ("Do birds have wings?", True, "birds have wings"),
    ("Can a stone swim?", False, "a stone sinks in water"),
    ("Does wood float on water?", True, "wood floats on water"),
    ("Can you eat an apple?", True, "people can eat an apple"),
    ("Can people eat stones?", False, "people cannot eat stones"),
    ("Is the ocean deep?", True, "the ocean is very deep"),
    ("Is a snail fast?", False, "a snail is very slow"),
    ("Is a rocket fast?", True, "a rocket is very fast"),
    ("Is a mountain high?", True, "a mountain is very high"),
    ("Is a mouse a big animal?", False, "a mouse is a small animal"),
    ("Do plants need water?", True, "plants need water to grow"),
    ("Do plants need light?", True, "plants need light to grow"),
    ("Does ice melt in the sun?", True, "ice melts in the sun"),
    ("Is glass made of wood?", False, "glass is made of sand"),
    ("Does a triangle have four sides?", False, "a triangle has three sides"),
    ("Does a square have four sides?", True, "a square has four sides"),
    ("Is a whale small?", False, "a whale is very big"),
    ("Is a kitten a baby cat?", True, "a kitten is a baby cat"),
    ("Is a puppy a baby cat?", False, "a puppy is a baby dog"),
    ("Do cows give milk?", True, "cows give milk"),
    ("Do dogs say meow?", False, "dogs say woof"),
    ("Do bees make honey?", True, "bees make honey"),
    ("Is the moon bigger than the sun?", False, "the sun is much bigger than the moon"),
    ("Do we walk with our feet?", True, "we walk with our feet"),
    ("Do we hear with our nose?", False, "we hear with our ears"),
    ("Do we see with our eyes?", True, "we see with our eyes"),
    ("Is thunder quiet?", False, "thunder is loud"),
    ("Is winter the hottest season?", False, "the hottest season is summer"),
)


def ask_single(rng: Random) -> Question:
    """A fact that fits no table."""
    asks, reply, answer = rng.choice(SINGLE)
    return Question("everyday", rng.choice(asks), reply, answer)


def ask_truth(rng: Random) -> Question:
    """Something that is so or is not so."""
    ask, true, told = rng.choice(TRUTHS)
    return Question("everyday", ask, f"{'Yes' if true else 'No'}, {told}.", "yes" if true else "no")
