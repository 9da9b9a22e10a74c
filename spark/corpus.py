"""What Spark learns from: stories, conversations, and single questions, made from a seed.

python -m vatra.spark.corpus             print some documents
python -m vatra.spark.corpus --measure   print how varied they are
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

from vatra.spark import chats, facts, stories
from vatra.spark.chats import Message

HELD_OUT = 20  # one question and one story in so many is never trained on
# Kinds of documents, of which a question is the shortest, and their shares: first of everything,
# then mostly of what has to be exact.
SHARES = {"story": 30, "chat": 40, "question": 30}
MOSTLY_QUESTIONS = {"story": 5, "chat": 10, "question": 85}
# Kinds of questions in the shares that are best for the last lessons: what is learned slowest.
HARDEST = {kind: {"comparison": 60, "day": 15}.get(kind, 4) for kind in facts.KINDS}
PLAIN = 0.4  # of the exchanges of two messages are plain text, for prompts without a chat template


@dataclass(frozen=True)
class Document:
    """One text, or one conversation: either `text` or `messages` is empty."""

    kind: str  # one of SHARES
    text: str = ""
    messages: tuple[Message, ...] = ()


def held_out(text: str) -> bool:
    """True for the questions and stories that training never sees.

    Case, punctuation and spaces make no difference, so another spelling of one is held out too.
    """
    plain = re.sub(r"[^a-z0-9+*/-]", "", text.lower())
    return int.from_bytes(hashlib.sha256(plain.encode()).digest()[:4], "little") % HELD_OUT == 0


def documents(
    seed: int, shares: Mapping[str, int] = SHARES, asked: Mapping[str, int] | None = None
) -> Iterator[Document]:
    """Endlessly, the documents to train on; `asked`: the shares of the single questions' kinds."""
    rng = Random(seed)
    kinds, weights = list(shares), list(shares.values())
    while True:
        kind = rng.choices(kinds, weights)[0]
        if kind == "story":
            text = stories.story(rng).text
            if not held_out(text):
                yield Document(kind, text)
            continue
        if kind == "chat":
            talk = chats.chat(rng, lambda ask: not held_out(ask))
        else:
            wanted = rng.choices(list(asked), list(asked.values()))[0] if asked else None
            question = facts.question(rng, wanted)
            if held_out(question.ask):
                continue
            talk = [Message("user", question.ask), Message("assistant", question.reply)]
        if len(talk) == 2 and rng.random() < PLAIN:
            yield Document(kind, "\n".join(message.content for message in talk))
        else:
            yield Document(kind, messages=tuple(talk))


def held_out_stories(seed: int) -> Iterator[str]:
    """Endlessly, stories that training never sees."""
    rng = Random(seed)
    while True:
        text = stories.story(rng).text
        if held_out(text):
            yield text


def held_out_questions(seed: int, kind: str) -> Iterator[facts.Question]:
    """Endlessly, questions of a kind, as typed in a way that training never sees."""
    rng = Random(seed)
    while True:
        question = facts.question(rng, kind)
        if held_out(question.ask):
            yield question


def sentences(text: str) -> list[str]:
    """The text cut after full stops, question and exclamation marks, with closing quotes."""
    return [s for s in re.split(r'(?<=[.!?])\s+|(?<=[.!?]")\s+', text.strip()) if s]


def variety(texts: list[str]) -> dict[str, float]:
    """Shares of 4-grams of words that are distinct, and of sentences that occur more than once."""
    grams: Counter[tuple[str, ...]] = Counter()
    lines: Counter[str] = Counter()
    for text in texts:
        words = re.findall(r"[\w']+|[^\w\s]", text.lower())
        grams.update(zip(words, words[1:], words[2:], words[3:], strict=False))
        lines.update(sentences(text))
    repeated = sum(n for n in lines.values() if n > 1)
    return {
        "documents": len(texts),
        "words": sum(len(text.split()) for text in texts),
        "distinct 4-grams": len(grams) / grams.total(),
        "repeated sentences": repeated / lines.total(),
    }


def shown(document: Document) -> str:
    """The document for a reader."""
    if document.messages:
        return "\n".join(f"[{m.role}] {m.content}" for m in document.messages)
    return document.text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-n", type=int, default=10, help="documents to print")
    parser.add_argument("--measure", action="store_true")
    options = parser.parse_args()
    stream = documents(options.seed)
    if not options.measure:
        for _ in range(options.n):
            print(shown(next(stream)), end="\n\n----\n\n")
        return
    found: dict[str, list[str]] = {kind: [] for kind in SHARES}
    while min(map(len, found.values())) < 2000:
        document = next(stream)
        if len(found[document.kind]) < 2000:
            said = [m.content for m in document.messages if m.role == "assistant"]
            found[document.kind].append(document.text or "\n".join(said))
    for kind, texts in found.items():
        figures = (
            f"{name} {x:.2f}" if x < 1 else f"{x} {name}" for name, x in variety(texts).items()
        )
        print(f"{kind}: {', '.join(figures)}")


if __name__ == "__main__":
    main()
