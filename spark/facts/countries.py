"""Countries and their capitals."""

from __future__ import annotations

from random import Random

from vatra.spark.facts.phrasing import Follow, Question, mostly
from vatra.spark.prose import capital

# Only countries with one undisputed capital, and no country that shares its name with a region.
CAPITALS = (
    ("France", "Paris"), ("Germany", "Berlin"), ("Italy", "Rome"), ("Spain", "Madrid"),
    ("Portugal", "Lisbon"), ("Greece", "Athens"), ("Austria", "Vienna"), ("Switzerland", "Bern"),
    ("Belgium", "Brussels"), ("the Netherlands", "Amsterdam"), ("Denmark", "Copenhagen"),
    ("Norway", "Oslo"), ("Sweden", "Stockholm"), ("Finland", "Helsinki"), ("Iceland", "Reykjavik"),
    ("Ireland", "Dublin"), ("the United Kingdom", "London"), ("Poland", "Warsaw"),
    ("the Czech Republic", "Prague"), ("Slovakia", "Bratislava"), ("Hungary", "Budapest"),
    ("Romania", "Bucharest"), ("Bulgaria", "Sofia"), ("Serbia", "Belgrade"), ("Croatia", "Zagreb"),
    ("Slovenia", "Ljubljana"), ("North Macedonia", "Skopje"), ("Albania", "Tirana"),
    ("Estonia", "Tallinn"), ("Latvia", "Riga"), ("Lithuania", "Vilnius"), ("Ukraine", "Kyiv"),
    ("Russia", "Moscow"), ("Turkey", "Ankara"), ("China", "Beijing"), ("Japan", "Tokyo"),
    ("South Korea", "Seoul"), ("India", "New Delhi"), ("Pakistan", "Islamabad"),
    ("Nepal", "Kathmandu"), ("Mongolia", "Ulaanbaatar"), ("Thailand", "Bangkok"),
    ("Vietnam", "Hanoi"), ("Malaysia", "Kuala Lumpur"), ("the Philippines", "Manila"),
    ("Iran", "Tehran"), ("Iraq", "Baghdad"), ("Egypt", "Cairo"), ("Morocco", "Rabat"),
    ("Tunisia", "Tunis"), ("Kenya", "Nairobi"), ("Ethiopia", "Addis Ababa"), ("Nigeria", "Abuja"),
    ("Ghana", "Accra"), ("Senegal", "Dakar"), ("the United States", "Washington"),
    ("Canada", "Ottawa"), ("Mexico", "Mexico City"), ("Cuba", "Havana"), ("Jamaica", "Kingston"),
    ("Brazil", "Brasilia"), ("Argentina", "Buenos Aires"), ("Chile", "Santiago"), ("Peru", "Lima"),
    ("Colombia", "Bogota"), ("Ecuador", "Quito"), ("Uruguay", "Montevideo"),
    ("Australia", "Canberra"), ("New Zealand", "Wellington"),
)  # fmt: skip

_CAPITAL_ASKS = (
    "What is the capital of {x}?", "What is the capital of {x}?", "What's the capital of {x}?",
    "Capital of {x}?", "capital of {x}", "Tell me the capital of {x} please.",
    "the capital of {x}?", "Do you know what the capital of {x} is?",
    "Do you know the capital of {x}?", "Can you tell me the capital of {x}?",
    "Which city is the capital of {x}?", "What city is the capital of {x}?",
    "Name the capital of {x}.", "The capital of {x} is ...", "What is the capital city of {x}?",
    "What is the name of the capital of {x}?", "What is the capital city called in {x}?",
    "Could you tell me what the capital of {x} is?", "I want to know the capital of {x}.",
    "Which city is the capital city of {x}?", "Please name the capital city of {x}.",
    "What do you call the capital of {x}?", "I forgot the capital of {x}. What is it?",
    "{x}: what is the capital?", "Hello, what is the capital of {x}?",
    "Give me the capital of {x}.",
)  # fmt: skip
_COUNTRY_ASKS = (
    "Which country has the capital {x}?", "{x} is the capital of which country?",
    "What country is {x} the capital of?", "{x} is the capital of ...",
    "Which country's capital is {x}?", "Of which country is {x} the capital?",
    "In which country is {x}?", "What country is {x} in?", "Where is {x}?",
    "The city of {x} is the capital of which country?",
    "Tell me which country has {x} as its capital.", "Do you know which country {x} is in?",
    "Which country is {x} the capital of?", "Name the country with the capital {x}.",
)  # fmt: skip


def bare(name: str) -> str:
    """The name of a country without its article."""
    return name.removeprefix("the ")


def ask_capital(rng: Random) -> Question:
    """The capital of a country, or the country of a capital."""
    country, city = rng.choice(CAPITALS)
    roll = rng.random()
    follow: Follow | None = None
    named = bare(country) not in city
    if roll < 0.24 and named:
        ask = rng.choice(_COUNTRY_ASKS).format(x=city)
        reply = f"{city} is the capital of {country}."
        if (
            ask.startswith(("In which", "What country is", "Where", "Do you"))
            and rng.random() < 0.3
        ):
            reply = f"{city} is in {country}."
        if rng.random() < 0.2:
            other, its = rng.choice(CAPITALS)
            if other != country and bare(other) not in its:
                follow_ask = rng.choice(("And {x}?", "What about {x}?")).format(x=its)
                follow = (follow_ask, f"{its} is the capital of {other}.", bare(other))
        return Question("capital", ask, reply, bare(country), follow)
    if roll < 0.34 and named:
        right = rng.random() < 0.5
        others = [other for land, other in CAPITALS if land != country]
        shown = city if right else rng.choice(others)
        frames = [
            "Is {c} the capital of {x}?", "Is the capital of {x} {c}?",
            "Is it true that {c} is the capital of {x}?", "The capital of {x} is {c}, right?",
        ]  # fmt: skip
        ask = rng.choice(frames).format(c=shown, x=country)
        if right:
            return Question("capital", ask, f"Yes, the capital of {country} is {city}.", "yes")
        return Question("capital", ask, f"No, the capital of {country} is {city}.", city)
    ask = capital(rng.choice(_CAPITAL_ASKS).format(x=country))
    replies = (f"{city} is the capital of {country}.", f"It is {city}.")
    reply = mostly(rng, f"The capital of {country} is {city}.", replies, 0.8)
    if rng.random() < 0.2:
        other, its = rng.choice(CAPITALS)
        if other != country:
            frames = ["And of {x}?", "And the capital of {x}?", "What about {x}?", "And {x}?"]
            follow_ask = rng.choice(frames).format(x=other)
            follow = (follow_ask, f"The capital of {other} is {its}.", its)
    return Question("capital", ask, reply, city, follow)
