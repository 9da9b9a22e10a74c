"""How well Spark answers what it was never trained on.

    python -m vatra.spark.evaluate

Questions are asked one by one in a fresh conversation, always taking the likeliest token. Stories
are drawn with the sampling that the file recommends, and checked by rules that know no grammar.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

import vatra
from vatra.spark import facts, stories
from vatra.spark.corpus import held_out_questions, held_out_stories, sentences, variety

ASKED = ("sum", "difference", "opposite", "capital", "comparison")  # the aim is 90 % of each
AIM = 0.9
LONGEST = 500  # tokens of a story; one that goes on is stopped, and has no ending


@dataclass(frozen=True)
class Score:
    """How many of the answers of a kind were right, and what was wrong with the others."""

    kind: str
    right: int
    asked: int
    wrong: tuple[str, ...]

    @property
    def share(self) -> float:
        return self.right / self.asked


def answers(model: vatra.Model, prompts: Iterable[str]) -> Iterator[str]:
    """What the model says to each prompt, in conversations of one question, greedily."""
    greedy = vatra.Sampling(temperature=0)
    for prompt in prompts:
        steps = model.chat([{"role": "user", "content": prompt}], greedy, max_tokens=200)
        yield "".join(step.text for step in steps)


def questions(model: vatra.Model, kind: str, n: int, seed: int) -> Score:
    """The score of `n` different questions of a kind, none of them trained on."""
    asked: dict[str, facts.Question] = {}
    for question in islice(held_out_questions(seed, kind), 20 * n):
        asked.setdefault(question.ask, question)
        if len(asked) == n:
            break
    wrong = [
        f"{ask} -> {reply}"
        for (ask, question), reply in zip(asked.items(), answers(model, asked), strict=True)
        if not facts.is_right(kind, ask, question.answer, reply)
    ]
    return Score(kind, len(asked) - len(wrong), len(asked), tuple(wrong))


def names(text: str) -> list[str]:
    """Words with a capital inside a sentence, but for "I" and what stands after a quote begins."""
    inside = re.findall(r"(?<=[a-z,;] )[A-Z][a-z]+", text)
    return [word for word in inside if word not in EVERYBODYS]


EVERYBODYS = {
    *("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    *("Mom", "Dad", "Grandma", "Grandpa", "Aunt", "Uncle", "Mr", "Mrs", "Miss"),
}


def faults(text: str, ended: bool) -> list[str]:
    """What a reader would notice is wrong with a story; nothing if it is a sound one."""
    found = []
    if not ended or not re.search(r'[.!?]"?$', text.rstrip()):
        found.append("has no ending")
    said = Counter(s for s in sentences(text) if len(s.split()) > 3)
    if any(n > 1 for n in said.values()):
        found.append("repeats a sentence")
    if not 60 <= len(text.split()) <= 300:
        found.append("is too short or too long")
    # Somebody who is named in the last part must have been met before.
    last = text.rstrip().rsplit("\n\n", 1)
    if len(last) == 2:
        strangers = {name for name in names(last[1]) if not re.search(rf"\b{name}\b", last[0])}
        if strangers:
            found.append(f"ends with a stranger: {', '.join(sorted(strangers))}")
    # The first who is named is the hero, who is there at the end.
    first = re.search(r"(?:named|called) ([A-Z][a-z]+)", text[:200])
    if first and text.count(first[1]) < 2:
        found.append(f"forgets {first[1]}")
    return found


def told(model: vatra.Model, n: int, seed: int) -> list[tuple[str, list[str]]]:
    """`n` stories, by turns continued and asked for, and the faults of each."""
    rng = Random(seed)
    found = []
    for i in range(n):
        sampling = vatra.Sampling.from_metadata(model.metadata, model.path, seed=seed + i)
        begin = ""
        if i % 2:
            wish = f"Tell me a story about {rng.choice(stories.story(rng).about)}."
            steps = model.chat([{"role": "user", "content": wish}], sampling, max_tokens=LONGEST)
        else:
            begin = "Once upon a time"
            steps = model.generate(begin, sampling, max_tokens=LONGEST)
        last = None
        text = begin
        for step in steps:
            text, last = text + step.text, step
        found.append((text, faults(text, last is not None and last.finish_reason == "eog")))
    return found


def percent(part: int, whole: int) -> str:
    return f"{part / whole:6.1%} of {whole}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-m", "--model", type=Path, default=vatra.spark.path())
    parser.add_argument("-n", type=int, default=200, help="questions of each kind, and stories")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--wrong", action="store_true", help="print what was wrong, and stories")
    options = parser.parse_args()
    with vatra.load(options.model) as model:
        for kind in facts.KINDS:
            score = questions(model, kind, options.n, options.seed)
            aim = (
                "" if kind not in ASKED else " (aim met)" if score.share >= AIM else " (aim missed)"
            )
            print(f"{kind:12} {percent(score.right, score.asked)} right{aim}", flush=True)
            if options.wrong:
                print(*(f"    {line}" for line in score.wrong), sep="\n")
        found = told(model, options.n, options.seed)
    sound = sum(not wrong for _, wrong in found)
    print(f"{'stories':12} {percent(sound, len(found))} sound")
    for fault, n in Counter(f.split(":")[0] for _, wrong in found for f in wrong).most_common():
        print(f"    {n} {fault}")
    made = list(islice(held_out_stories(options.seed), options.n))
    good = sum(not faults(text, ended=True) for text in made)
    print(f"{'for measure':12} {percent(good, len(made))} of the corpus's own are sound")
    for name, texts in (("stories", [text for text, _ in found]), ("corpus", made)):
        grams = variety(texts)["distinct 4-grams"]
        print(f"{name:12} {grams:6.1%} of the 4-grams of words are distinct")
    if options.wrong:
        for text, wrong in found[:20]:
            print(f"\n{text}\n{wrong}")


if __name__ == "__main__":
    main()
