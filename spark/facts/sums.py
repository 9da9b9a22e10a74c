"""Sums and differences up to twenty, in symbols, in words and as little problems."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from vatra.spark.facts.counting import NUMBER_WORDS
from vatra.spark.facts.phrasing import Follow, Question, counted, mostly
from vatra.spark.prose import capital

# (one, many)
_GOODS = (
    ("apple", "apples"), ("pear", "pears"), ("plum", "plums"), ("cookie", "cookies"),
    ("marble", "marbles"), ("sticker", "stickers"), ("shell", "shells"), ("card", "cards"),
    ("book", "books"), ("pencil", "pencils"), ("crayon", "crayons"), ("coin", "coins"),
    ("balloon", "balloons"), ("button", "buttons"), ("stone", "stones"), ("nut", "nuts"),
    ("egg", "eggs"), ("carrot", "carrots"), ("flower", "flowers"), ("cherry", "cherries"),
    ("strawberry", "strawberries"), ("candle", "candles"), ("toy car", "toy cars"),
    ("ball", "balls"), ("block", "blocks"), ("stamp", "stamps"), ("orange", "oranges"),
)  # fmt: skip
_EATEN = (
    ("apple", "apples"), ("pear", "pears"), ("plum", "plums"), ("cookie", "cookies"),
    ("nut", "nuts"), ("carrot", "carrots"), ("cherry", "cherries"), ("grape", "grapes"),
    ("strawberry", "strawberries"), ("orange", "oranges"), ("pancake", "pancakes"),
)  # fmt: skip
# (one, many, where)
_CREATURES = (
    ("bird", "birds", "in the tree"), ("duck", "ducks", "on the pond"),
    ("frog", "frogs", "by the pond"), ("cat", "cats", "in the garden"),
    ("hen", "hens", "in the yard"), ("bee", "bees", "on the flower"),
    ("rabbit", "rabbits", "on the grass"), ("cow", "cows", "in the field"),
    ("child", "children", "on the bus"), ("butterfly", "butterflies", "on the bush"),
    ("mouse", "mice", "in the barn"), ("ant", "ants", "on the leaf"),
    ("fish", "fish", "in the pool"), ("sheep", "sheep", "on the hill"),
)  # fmt: skip
# (name, he, him)
_PEOPLE = (
    ("Mia", "she", "her"), ("Tom", "he", "him"), ("Anna", "she", "her"), ("Ben", "he", "him"),
    ("Lily", "she", "her"), ("Sam", "he", "him"), ("Nora", "she", "her"), ("Leo", "he", "him"),
    ("Ella", "she", "her"), ("Max", "he", "him"), ("Zoe", "she", "her"), ("Finn", "he", "him"),
    ("Ruby", "she", "her"), ("Omar", "he", "him"), ("Lena", "she", "her"), ("Noah", "he", "him"),
    ("Ida", "she", "her"), ("Paul", "he", "him"), ("Amy", "she", "her"), ("Hugo", "he", "him"),
)  # fmt: skip
_SUM_SYMBOLS = (
    "{a} + {b}", "{a}+{b}", "{a} + {b} =", "{a}+{b}=", "{a} + {b}?", "{a}+{b}?", "{a} + {b} = ?",
    "What is {a} + {b}?", "What is {a}+{b}?", "What's {a} + {b}?", "How much is {a} + {b}?",
    "Solve {a} + {b}.", "Calculate {a} + {b}.", "Can you solve {a} + {b}?", "{a}+{b}=?",
    "Tell me what {a} + {b} is.", "Do you know what {a} + {b} is?",
)  # fmt: skip
_SUM_WORDS = (
    "What is {a} plus {b}?", "What is {a} plus {b}?", "What's {a} plus {b}?",
    "How much is {a} plus {b}?", "How much is {a} and {b}?", "Can you add {a} and {b} for me?",
    "{a} plus {b}", "{a} plus {b}?", "{a} plus {b} equals", "{a} plus {b} is ...",
    "Add {a} and {b}.", "What do {a} and {b} make together?", "What is the sum of {a} and {b}?",
    "What do I get if I add {a} and {b}?", "What do you get when you add {a} and {b}?",
    "How many are {a} and {b}?", "Please add {a} and {b}.", "Could you add {a} and {b}, please?",
    "Tell me how much {a} plus {b} is.", "Do you know what {a} plus {b} makes?",
    "What number is {b} more than {a}?", "If I add {b} to {a}, what do I get?",
    "I need to add {a} and {b}. What is the answer?", "What does {a} plus {b} make?",
    "Complete this: {a} plus {b} is ...", "What comes out if you add {b} to {a}?",
)  # fmt: skip
_SUM_STORIES = (
    "I have {A} and get {b} more. How many {x} do I have now?",
    "I have {A}. My friend gives me {b} more. How many {x} do I have?",
    "I found {A} yesterday and {b} today. How many {x} did I find?",
    "If I have {A} and you give me {b} more, how many {x} do I have?",
    "I had {A}, then I got {b} more. How many {x} is that?",
    "I put {A} in a box and then {b} more. How many {x} do I have in the box?",
    "{N} has {A} and gets {b} more. How many {x} does {N} have now?",
    "{N} has {A}. {M} gives {him} {b} more. How many {x} does {N} have now?",
    "{N} has {A}. {He} finds {b} more. How many {x} does {he} have?",
    "{N} had {A} and got {b} more. How many {x} does {he} have now?",
    "If {N} has {A} and buys {b} more, how many {x} does {he} have?",
    "How many {x} does {N} have if {he} has {A} and gets {b} more?",
    "{N} picks up {A} and then {b} more. How many {x} does {N} have?",
    "{N} has {A} and {M} has {B}. How many {x} do they have together?",
    "{M} gives {N} {A} and then {b} more. How many {x} does {N} have?",
    "There {areA} {A} on the table. I put {b} more there. How many {x} are there now?",
    "There {areA} {A} in the bag and {B} in the box. How many {x} are there?",
    "One basket holds {A}, the other holds {B}. How many {x} are there?",
)
_SUM_CREATURES = (
    "There {areA} {A} {where}. Then {b} more come. How many {x} are there now?",
    "I see {A} {where} and {b} more behind them. How many {x} are there?",
    "{A} {areA} {where}, and {b} more join. How many {x} are there now?",
    "First there {areA} {A} {where}, then {b} more come along. How many {x} are there?",
)
_DIFFERENCE_SYMBOLS = (
    "{a} - {b}", "{a}-{b}", "{a} - {b} =", "{a}-{b}=", "{a} - {b}?", "{a}-{b}?", "{a} - {b} = ?",
    "What is {a} - {b}?", "What is {a}-{b}?", "What's {a} - {b}?", "How much is {a} - {b}?",
    "Solve {a} - {b}.", "Calculate {a} - {b}.", "Can you solve {a} - {b}?", "{a}-{b}=?",
    "Tell me what {a} - {b} is.", "Do you know what {a} - {b} is?",
)  # fmt: skip
_DIFFERENCE_WORDS = (
    "What is {a} minus {b}?", "What is {a} minus {b}?", "What's {a} minus {b}?",
    "How much is {a} minus {b}?", "{a} minus {b}", "{a} minus {b}?", "{a} minus {b} equals",
    "{a} minus {b} is ...", "What is {a} take away {b}?", "{a} take away {b}",
    "Can you take {b} away from {a}?", "Subtract {b} from {a}.", "Take {b} away from {a}.",
    "What is left if you take {b} from {a}?", "What do I get if I take {b} away from {a}?",
    "What is {b} less than {a}?", "What number is {b} less than {a}?",
    "Could you subtract {b} from {a}, please?", "Please subtract {b} from {a}.",
    "What is the difference between {a} and {b}?", "Tell me how much {a} minus {b} is.",
    "Do you know what {a} minus {b} is?", "How much is left if I take {b} from {a}?",
    "If I subtract {b} from {a}, what do I get?", "What does {a} minus {b} make?",
)  # fmt: skip
_DIFFERENCE_STORIES = (
    "I have {A} and give away {b}. How many {x} do I have left?",
    "I had {A}, but I lost {b}. How many {x} do I have left?",
    "I have {A}. I give {b} to my friend. How many {x} do I still have?",
    "If I have {A} and you take {b}, how many {x} do I have left?",
    "I had {A} and gave {b} of them to {M}. How many {x} do I have now?",
    "{N} has {A} and gives away {b}. How many {x} does {N} have left?",
    "{N} has {A}. {He} gives {b} to {M}. How many {x} does {N} have left?",
    "{N} had {A}, but {he} lost {b}. How many {x} does {he} have now?",
    "If {N} has {A} and sells {b}, how many {x} does {he} have left?",
    "How many {x} does {N} have left if {he} has {A} and gives away {b}?",
    "{N} has {A}. {M} takes {b} of them. How many {x} does {N} still have?",
    "There {areA} {A} on the table. I take {b} away. How many {x} are left?",
    "There {areA} {A} in the box and {N} takes out {b}. How many {x} are left?",
)
_DIFFERENCE_MEALS = (
    "I have {A} and eat {b}. How many {x} do I have left?",
    "{N} has {A} and eats {b}. How many {x} does {N} have left?",
    "{N} had {A}. {He} ate {b}. How many {x} does {he} have now?",
    "If I have {A} and eat {b} of them, how many {x} do I have left?",
    "There {areA} {A} on the plate. {N} eats {b}. How many {x} are left?",
    "I bake {A} and we eat {b}. How many {x} are left?",
)
_DIFFERENCE_CREATURES = (
    "There {areA} {A} {where}. Then {b} of them go away. How many {x} are left?",
    "I see {A} {where}. After a while {b} of them leave. How many {x} are left?",
    "{A} {areA} {where}. Now {b} of them go home. How many {x} are still there?",
)


def _pair(rng: Random) -> tuple[int, int]:
    """Two numbers whose sum is at most 20, every pair as likely as any other."""
    while True:
        a, b = rng.randrange(21), rng.randrange(21)
        if a + b <= 20:
            return a, b


def _tell(
    rng: Random, frame: str, noun: tuple[str, ...], a: int, b: int, c: int, sign: str
) -> tuple[str, str, Callable[[int], str]]:
    """A word problem, its reply, and what a reply says of another result."""
    (name, he, him), (friend, _, _) = rng.sample(_PEOPLE, 2)
    one, many = noun[0], noun[1]
    ask = frame.format(
        A=counted(a, one, many),
        B=counted(b, one, many),
        b=b,
        x=many,
        areA="is" if a == 1 else "are",
        where=noun[2] if len(noun) > 2 else "",
        N=name,
        M=friend,
        he=he,
        He=capital(he),
        him=him,
    )
    question = ask[ask.rindex("ow many") :]
    left = " left" if sign == "-" else ""

    def result(n: int) -> str:
        if " do I " in question or " did I " in question or "is that" in question:
            return f"you {'found' if 'find' in question else 'have'} {counted(n, one, many)}{left}"
        if " do they " in question:
            return f"they have {counted(n, one, many)}"
        if f" does {name}" in question or f" does {he} " in question:
            return f"{name} has {counted(n, one, many)}{left}"
        return f"there {'is' if n == 1 else 'are'} {counted(n, one, many)}{left}"

    return ask, f"{a} {sign} {b} = {c}, so {result(c)}.", result


def _figure(rng: Random, n: int, m: int) -> tuple[str, str]:
    """Two numbers in digits, or sometimes both in words."""
    if rng.random() < 0.3:
        return NUMBER_WORDS[n], NUMBER_WORDS[m]
    return str(n), str(m)


def ask_sum(rng: Random) -> Question:
    """A sum of at most twenty."""
    a, b = _pair(rng)
    roll = rng.random()
    follow: Follow | None = None
    more = rng.randrange(1, 21 - a - b) if a + b < 20 else 0
    if roll < 0.36:
        a, b = max(a, 1), max(b, 1)
        if a + b > 20:
            a, b = (a - 1, b) if a > 1 else (a, b - 1)
        noun: tuple[str, ...] = rng.choice(_GOODS)
        frame = rng.choice(_SUM_STORIES)
        if rng.random() < 0.2 and a > 1 and b > 1:
            noun, frame = rng.choice(_CREATURES), rng.choice(_SUM_CREATURES)
        c = a + b
        ask, reply, result = _tell(rng, frame, noun, a, b, c, "+")
        more = min(more, 20 - c)
        if more > 0 and rng.random() < 0.15:
            ending = f"{c} + {more} = {c + more}, so {result(c + more)}."
            asked = rng.choice((f"And with {more} more?", f"And if {more} more are added?"))
            follow = (asked.replace("1 more are", "1 more is"), ending, str(c + more))
        return Question("sum", capital(ask), reply, str(c), follow)
    c = a + b
    if roll < 0.62:
        ask = rng.choice(_SUM_SYMBOLS).format(a=a, b=b)
        reply = mostly(rng, f"{a} + {b} = {c}.", (f"{a} + {b} is {c}.", f"That is {c}."), 0.8)
    elif roll < 0.94:
        first, second = _figure(rng, a, b)
        ask = capital(rng.choice(_SUM_WORDS).format(a=first, b=second))
        others = (f"{a} plus {b} makes {c}.", f"That makes {c}.", f"The answer is {c}.")
        reply = mostly(rng, f"{a} plus {b} is {c}.", others, 0.75)
    elif roll < 0.96:
        n = rng.randrange(1, 11)
        a, b, c = n, n, 2 * n
        ask = rng.choice(("What is double {n}?", "Double {n}?", "What is two times {n}?")).format(
            n=n
        )
        reply = f"{a} plus {b} is {c}."
        more = 0
    else:
        claim = c if rng.random() < 0.5 else rng.choice([n for n in range(21) if n != c])
        frames = [
            "Is {a} + {b} equal to {c}?",
            "Does {a} plus {b} make {c}?",
            "{a} + {b} = {c}, right?",
        ]
        ask = rng.choice(frames).format(a=a, b=b, c=claim)
        reply = f"{'Yes' if claim == c else 'No'}, {a} plus {b} is {c}."
    if more and rng.random() < 0.2:
        frames = [
            "And {m} more?",
            "And plus {m}?",
            "Now add {m}.",
            "Plus {m} more?",
            "And if I add {m}?",
        ]
        ask_more = rng.choice(frames).format(m=more)
        follow = (ask_more, f"{c} plus {more} is {c + more}.", str(c + more))
    return Question("sum", ask, reply, str(c), follow)


def ask_difference(rng: Random) -> Question:
    """A difference of numbers up to twenty."""
    b, c = _pair(rng)
    roll = rng.random()
    follow: Follow | None = None
    if roll < 0.38:
        b, c = max(b, 1), c
        if b + c < 2:
            c = 1
        if b + c > 20:
            c -= 1
        a = b + c
        noun: tuple[str, ...] = rng.choice(_GOODS)
        frame = rng.choice(_DIFFERENCE_STORIES)
        which = rng.random()
        if which < 0.25:
            noun, frame = rng.choice(_EATEN), rng.choice(_DIFFERENCE_MEALS)
            if "bake" in frame:
                noun = ("muffin", "muffins") if which < 0.1 else ("cookie", "cookies")
        elif which < 0.4:
            noun, frame = rng.choice(_CREATURES), rng.choice(_DIFFERENCE_CREATURES)
            if b == 1:  # the verbs in these frames want several
                frame = "There {areA} {A} {where}. Then {b} goes away. How many {x} are left?"
        ask, reply, result = _tell(rng, frame, noun, a, b, c, "-")
        less = rng.randrange(1, c + 1) if c else 0
        if less and rng.random() < 0.15:
            ending = f"{c} - {less} = {c - less}, so {result(c - less)}."
            asked = rng.choice((f"And {less} less?", f"And without {less} more?"))
            follow = (asked, ending, str(c - less))
        return Question("difference", capital(ask), reply, str(c), follow)
    a = b + c
    if roll < 0.64:
        ask = rng.choice(_DIFFERENCE_SYMBOLS).format(a=a, b=b)
        reply = mostly(rng, f"{a} - {b} = {c}.", (f"{a} - {b} is {c}.", f"That is {c}."), 0.8)
    elif roll < 0.96:
        first, second = _figure(rng, a, b)
        ask = capital(rng.choice(_DIFFERENCE_WORDS).format(a=first, b=second))
        others = (f"{a} minus {b} makes {c}.", f"That makes {c}.", f"The answer is {c}.")
        reply = mostly(rng, f"{a} minus {b} is {c}.", others, 0.75)
    else:
        claim = c if rng.random() < 0.5 else rng.choice([n for n in range(21) if n != c])
        frames = [
            "Is {a} - {b} equal to {c}?",
            "Does {a} minus {b} make {c}?",
            "{a} - {b} = {c}, right?",
        ]
        ask = rng.choice(frames).format(a=a, b=b, c=claim)
        reply = f"{'Yes' if claim == c else 'No'}, {a} minus {b} is {c}."
    if c and rng.random() < 0.2:
        less = rng.randrange(1, c + 1)
        frames = [
            "And {m} less?",
            "And minus {m}?",
            "Now take away {m}.",
            "And if I take away {m}?",
        ]
        ask_less = rng.choice(frames).format(m=less)
        follow = (ask_less, f"{c} minus {less} is {c - less}.", str(c - less))
    return Question("difference", ask, reply, str(c), follow)
