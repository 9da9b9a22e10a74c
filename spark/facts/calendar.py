"""Days, months and seasons: their order, their number and their length."""

from __future__ import annotations

from random import Random

from vatra.spark.facts.phrasing import Follow, Question, mostly, sayings
from vatra.spark.prose import capital

ORDINALS = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "eleventh", "twelfth",
)  # fmt: skip

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
SEASONS = ("spring", "summer", "autumn", "winter")

_NEXT_DAY = (
    "What day comes after {x}?", "Which day comes after {x}?", "What comes after {x}?",
    "Which day follows {x}?", "If today is {x}, what day is tomorrow?", "the day after {x}?",
    "Today is {x}. What day is tomorrow?", "What is the day after {x}?", "After {x} comes ...",
    "It is {x} today. Which day will it be tomorrow?", "Tell me the day after {x}.",
    "What day of the week comes after {x}?", "If yesterday was {x}, what day is it today?",
    "Yesterday was {x}. What day is today?", "Do you know which day comes after {x}?",
    "When it is {x} today, what is it tomorrow?", "What is the next day after {x}?",
)  # fmt: skip
_LAST_DAY = (
    "What day comes before {x}?", "Which day comes before {x}?", "What comes before {x}?",
    "If today is {x}, what day was yesterday?", "Today is {x}. What day was yesterday?",
    "What is the day before {x}?", "Before {x} comes ...", "Tell me the day before {x}.",
    "It is {x} today. What day was it yesterday?", "the day before {x}?",
    "If tomorrow is {x}, what day is it today?", "Tomorrow is {x}. What day is today?",
    "Which day of the week is just before {x}?", "Do you know which day comes before {x}?",
)  # fmt: skip

_DAY_FACTS = (
    (
        (
            "How many days are in a week?", "How many days does a week have?", "Days in a week?",
            "How many days are there in one week?", "A week has how many days?",
            "Can you tell me how many days a week has?", "What number of days is a week?",
        ),
        "A week has 7 days.",
        "7",
    ),
    (
        ("How many days are in two weeks?", "How many days do two weeks have?"),
        "Two weeks have 14 days.",
        "14",
    ),
    (
        (
            "Which days are the weekend?", "What days are on the weekend?", "When is the weekend?",
            "Name the two days of the weekend.", "What are the weekend days?", "Weekend days?",
        ),
        "The weekend is Saturday and Sunday.",
        "Saturday and Sunday",
    ),
    (
        ("How many days does the weekend have?", "How many days are in a weekend?"),
        "The weekend has 2 days.",
        "2",
    ),
    (
        (
            "Name the days of the week.", "What are the days of the week?",
            "List all days of the week.", "Can you say the days of the week?",
            "Tell me the days of the week.", "What are the seven days called?",
            "Say all the days in order, please.",
        ),
        f"{', '.join(DAYS)}.",
        ", ".join(DAYS),
    ),
    (
        (
            "How many hours are in a day?", "How many hours does a day have?", "Hours in a day?",
            "How long is a day in hours?", "A day has how many hours?",
        ),
        "A day has 24 hours.",
        "24",
    ),
    (
        (
            "How many minutes are in an hour?", "How many minutes does an hour have?",
            "Minutes in an hour?", "An hour has how many minutes?",
            "How long is an hour in minutes?",
        ),
        "An hour has 60 minutes.",
        "60",
    ),
    (
        (
            "How many seconds are in a minute?", "How many seconds does a minute have?",
            "Seconds in a minute?", "A minute has how many seconds?",
        ),
        "A minute has 60 seconds.",
        "60",
    ),
    (
        ("Which day starts with M?", "What day begins with the letter M?"),
        "Monday starts with M.",
        "Monday",
    ),
    (
        ("Which day starts with W?", "What day begins with the letter W?"),
        "Wednesday starts with W.",
        "Wednesday",
    ),
    (
        ("Which day starts with F?", "What day begins with the letter F?"),
        "Friday starts with F.",
        "Friday",
    ),
)  # fmt: skip
DAY_ROWS = sayings(*_DAY_FACTS)


def ask_day(rng: Random) -> Question:
    """Something about the days of the week, or about hours and minutes."""
    roll = rng.random()
    if roll < 0.28:
        return Question("day", *rng.choice(DAY_ROWS))
    i = rng.randrange(7)
    day, after, before = DAYS[i], DAYS[(i + 1) % 7], DAYS[(i - 1) % 7]
    if roll < 0.34:
        frames = [
            "Which day is between {b} and {c}?", "What day comes between {b} and {c}?",
            "{b}, ..., {c}: which day is missing?", "What day lies between {b} and {c}?",
        ]  # fmt: skip
        ask = rng.choice(frames).format(b=before, c=after)
        return Question("day", ask, f"Between {before} and {after} comes {day}.", day)
    if roll < 0.41:
        later = DAYS[(i + 2) % 7]
        frames = [
            "Today is {x}. What day is the day after tomorrow?", "What day is two days after {x}?",
            "If today is {x}, what day is in two days?", "What day comes two days after {x}?",
        ]  # fmt: skip
        return Question("day", rng.choice(frames).format(x=day), f"That day is {later}.", later)
    if roll < 0.5:
        shown = after if rng.random() < 0.5 else rng.choice([d for d in DAYS if d != after])
        if shown == day:
            shown = before
        frames = [
            "Does {y} come after {x}?",
            "Is {y} the day after {x}?",
            "Is the day after {x} {y}?",
        ]
        ask = rng.choice(frames).format(x=day, y=shown)
        if shown == after:
            return Question("day", ask, f"Yes, after {day} comes {after}.", "yes")
        return Question("day", ask, f"No, after {day} comes {after}.", after)
    forward = roll < 0.78
    answer = after if forward else before
    ask = rng.choice(_NEXT_DAY if forward else _LAST_DAY).format(x=day)
    lead = "After" if forward else "Before"
    if "oday" in ask and "is today" not in ask and "it today?" not in ask:
        reply = f"Tomorrow is {answer}." if forward else f"Yesterday was {answer}."
    elif "is today" in ask or "it today?" in ask:
        reply = f"Today is {answer}."
    else:
        reply = mostly(rng, f"{lead} {day} comes {answer}.", (f"It is {answer}.",), 0.85)
    follow: Follow | None = None
    if rng.random() < 0.2:
        j = (i + rng.randrange(1, 7)) % 7
        its = DAYS[(j + (1 if forward else -1)) % 7]
        asked = rng.choice((f"And {lead.lower()} {{x}}?", f"What comes {lead.lower()} {{x}}?"))
        follow = (asked.format(x=DAYS[j]), f"{lead} {DAYS[j]} comes {its}.", its)
    return Question("day", ask, reply, answer, follow)


_NEXT_MONTH = (
    "What month comes after {x}?", "Which month comes after {x}?", "What comes after {x}?",
    "Which month follows {x}?", "It is {x} now. What month is next?", "the month after {x}?",
    "What is the month after {x}?", "After {x} comes ...", "Tell me the month after {x}.",
    "If this month is {x}, what is the next month?", "What is the next month after {x}?",
    "Do you know which month comes after {x}?", "When {x} is over, which month begins?",
)  # fmt: skip
_LAST_MONTH = (
    "What month comes before {x}?", "Which month comes before {x}?", "What comes before {x}?",
    "What is the month before {x}?", "Before {x} comes ...", "Tell me the month before {x}.",
    "It is {x} now. What month was it last month?", "the month before {x}?",
    "Which month is just before {x}?", "Do you know which month comes before {x}?",
)  # fmt: skip
_SEASON_ASKS = (
    "In which season is {x}?", "What season is {x} in?", "Which season is it in {x}?",
    "What season is it in {x} in Europe?", "Is {x} in spring, summer, autumn or winter?",
    "Which season does {x} belong to?", "In the north, what season is {x}?",
    "Tell me the season of {x}.", "What is the season in {x}?", "{x} is in which season?",
)  # fmt: skip
MONTH_ROWS = sayings(
    (
        (
            "How many months are in a year?", "How many months does a year have?",
            "Months in a year?", "A year has how many months?", "How long is a year in months?",
            "Can you tell me how many months a year has?", "How many months are there?",
        ),
        "A year has 12 months.",
        "12",
    ),
    (
        (
            "How many seasons are in a year?",
            "How many seasons does a year have?",
            "How many seasons are there?",
        ),
        "A year has 4 seasons.",
        "4",
    ),
    (
        (
            "Which month is the shortest?",
            "What is the shortest month?",
            "Which month has the fewest days?",
        ),
        "The shortest month is February.",
        "February",
    ),
    (
        (
            "Which month is the first in the year?", "What month starts the year?",
            "With which month does the year begin?", "In which month is New Year's Day?",
        ),
        "The year begins with January.",
        "January",
    ),
    (
        (
            "Which month is the last in the year?", "What is the last month of the year?",
            "With which month does the year end?", "Which month ends the year?",
        ),
        "The year ends with December.",
        "December",
    ),
    (
        (
            "Name the months.", "What are the months of the year?", "Tell me all the months.",
            "Can you say the months in order?", "List the twelve months.", "What are the months?",
        ),
        f"{', '.join(MONTHS)}.",
        ", ".join(MONTHS),
    ),
    (
        (
            "Name the seasons.", "What are the four seasons?", "Which seasons are there?",
            "Tell me the seasons of the year.", "Can you name the four seasons?",
        ),
        "Spring, summer, autumn and winter.",
        "spring, summer, autumn, winter",
    ),
    *(
        (
            (
                f"What season comes after {x}?", f"Which season follows {x}?",
                f"After {x} comes ...", f"Which season comes next after {x}?",
            ),
            f"After {x} comes {SEASONS[(i + 1) % 4]}.",
            SEASONS[(i + 1) % 4],
        )
        for i, x in enumerate(SEASONS)
    ),
    *(
        (
            (f"What season comes before {x}?", f"Which season is before {x}?"),
            f"Before {x} comes {SEASONS[(i - 1) % 4]}.",
            SEASONS[(i - 1) % 4],
        )
        for i, x in enumerate(SEASONS)
    ),
)  # fmt: skip
MONTH_DAYS = (31, 0, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # February has 28 or 29


def ask_month(rng: Random) -> Question:
    """Something about the months, or about seasons."""
    roll = rng.random()
    i = rng.randrange(12)
    month, after, before = MONTHS[i], MONTHS[(i + 1) % 12], MONTHS[(i - 1) % 12]
    if roll < 0.22:
        return Question("month", *rng.choice(MONTH_ROWS))
    if roll < 0.36:
        frames = [
            "What is the {n} month?", "What is the {n} month of the year?", "{N} month?",
            "Which month is the {n} one?", "Name the {n} month.", "Which month is the {n} month?",
            "What is the name of the {n} month?", "Do you know the {n} month of the year?",
        ]  # fmt: skip
        nth = ORDINALS[i]
        ask = rng.choice(frames).format(n=nth, N=capital(nth))
        return Question("month", ask, f"The {nth} month is {month}.", month)
    if roll < 0.42:
        frames = [
            "What number is the month of {x}?", "{x} is month number ...",
            "What is the number of the month {x}?",
        ]  # fmt: skip
        return Question(
            "month",
            rng.choice(frames).format(x=month),
            f"{month} is month number {i + 1}.",
            str(i + 1),
        )
    if roll < 0.56:
        season = SEASONS[((i - 2) % 12) // 3]
        ask = rng.choice(_SEASON_ASKS).format(x=month)
        return Question("month", ask, f"In the north, {month} is in {season}.", season)
    if roll < 0.63 and MONTH_DAYS[i]:
        frames = [
            "How many days does {x} have?", "How many days are in {x}?", "How long is {x}?",
            "{x} has how many days?", "Tell me how many days {x} has.", "Days in {x}?",
        ]  # fmt: skip
        ask = rng.choice(frames).format(x=month)
        return Question("month", ask, f"{month} has {MONTH_DAYS[i]} days.", str(MONTH_DAYS[i]))
    if roll < 0.68:
        frames = ["Which month is between {b} and {c}?", "What month comes between {b} and {c}?"]
        ask = rng.choice(frames).format(b=before, c=after)
        return Question("month", ask, f"Between {before} and {after} comes {month}.", month)
    forward = roll < 0.86
    answer, lead = (after, "After") if forward else (before, "Before")
    ask = rng.choice(_NEXT_MONTH if forward else _LAST_MONTH).format(x=month)
    reply = mostly(rng, f"{lead} {month} comes {answer}.", (f"It is {answer}.",), 0.85)
    follow: Follow | None = None
    if rng.random() < 0.2:
        j = (i + rng.randrange(1, 12)) % 12
        its = MONTHS[(j + (1 if forward else -1)) % 12]
        asked = rng.choice((f"And {lead.lower()} {{x}}?", f"What comes {lead.lower()} {{x}}?"))
        follow = (asked.format(x=MONTHS[j]), f"{lead} {MONTHS[j]} comes {its}.", its)
    return Question("month", ask, reply, answer, follow)
