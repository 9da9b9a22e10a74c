"""What Spark is trained on: well-formed, varied, the same from the same seed, and right."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import islice
from random import Random

import pytest

from vatra.spark import chats, corpus, evaluate, facts
from vatra.spark.prose import Story
from vatra.spark.stories import PLOTS

SOME = 300


@pytest.fixture(scope="module")
def some() -> list[corpus.Document]:
    return list(islice(corpus.documents(seed=5), 5 * SOME))


def test_the_same_seed_gives_the_same_documents(some: list[corpus.Document]) -> None:
    assert list(islice(corpus.documents(seed=5), SOME)) == some[:SOME]
    assert list(islice(corpus.documents(seed=6), SOME)) != some[:SOME]


def test_documents_are_clean_text(some: list[corpus.Document]) -> None:
    for document in some:
        text = corpus.shown(document)
        assert text.isascii() and text.isprintable() or "\n" in text
        assert not re.search(r"[{}|<>]|  |\n\n\n|\(\)", text), text


def test_conversations_alternate(some: list[corpus.Document]) -> None:
    talks = [document.messages for document in some if document.messages]
    assert len(talks) > SOME
    for talk in talks:
        roles = [message.role for message in talk]
        turns = roles[1:] if roles[0] == "system" else roles
        assert turns == ["user", "assistant"] * (len(turns) // 2)
        assert 1 <= len(turns) // 2 <= 6
        assert all(message.content.strip() == message.content != "" for message in talk)


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.__name__)
def test_stories_have_a_beginning_and_an_end(plot: Callable[[Random], Story]) -> None:
    rng = Random(9)
    for _ in range(20):
        story = plot(rng)
        assert 85 <= len(story.text.split()) <= 250
        assert all(re.search(rf"\b{name}\b", story.text) for name in story.heroes)
        assert story.about and story.title
        assert not re.search(r'^[a-z]|\."? [a-z]', story.text), story.text
        assert re.search(r'[.!?]"?$', story.text)


def test_stories_are_sound_by_the_rules_that_judge_the_model() -> None:
    texts = list(islice(corpus.held_out_stories(seed=2), SOME))
    assert sum(bool(evaluate.faults(text, ended=True)) for text in texts) <= 0.03 * SOME


@pytest.mark.parametrize("kind", facts.KINDS)
def test_replies_are_right_and_the_check_can_fail(kind: str) -> None:
    rng = Random(1)
    asked = [facts.question(rng, kind) for _ in range(SOME)]
    for question in asked:
        assert facts.is_right(kind, question.ask, question.answer, question.reply), question
        assert not facts.is_right(kind, question.ask, question.answer, "")
        assert not facts.is_right(kind, question.ask, question.answer, "Perhaps later.")
    for question, other in zip(asked, asked[1:], strict=False):
        if other.answer != question.answer and question.answer not in other.reply:
            assert not facts.is_right(kind, question.ask, question.answer, other.reply)


def test_sums_are_sums() -> None:
    rng = Random(3)
    plain = 0
    for _ in range(2000):
        question = facts.question(rng, "sum")
        if found := re.fullmatch(r"\D*(\d+) ?(?:\+|plus) ?(\d+)\D*", question.ask):
            plain += 1
            assert int(question.answer) == int(found[1]) + int(found[2]) <= 20
    assert plain > 200


def test_what_is_held_out_is_held_out_in_any_spelling(some: list[corpus.Document]) -> None:
    ask = next(corpus.held_out_questions(1, "capital")).ask
    for spelling in (ask.lower(), ask.upper(), ask + "??", f"  {ask}"):
        assert corpus.held_out(spelling)
    trained = {m.content for document in some for m in document.messages if m.role == "user"}
    texts = {document.text for document in some}
    for kind in facts.KINDS:
        for question in islice(corpus.held_out_questions(5, kind), 30):
            assert question.ask not in trained
            assert f"{question.ask}\n{question.reply}" not in texts


def test_a_name_that_was_told_is_remembered() -> None:
    rng = Random(4)
    recalled = 0
    for _ in range(3000):
        talk = chats.chat(rng)
        for i, message in enumerate(talk):
            found = re.search(r"\b(?:[Yy]our name is|You are) ([A-Z][a-z]+)", message.content)
            if message.role == "assistant" and found:
                told = " ".join(m.content for m in talk[:i] if m.role == "user")
                assert found[1].lower() in told.lower(), talk
                recalled += 1
    assert recalled > 10


def test_variety() -> None:
    rng = Random(8)
    texts = [rng.choice(PLOTS)(rng).text for _ in range(1000)]
    found = corpus.variety(texts)
    assert found["distinct 4-grams"] > 0.35
    assert found["repeated sentences"] < 0.5
    assert corpus.variety(["One two three four. One two three four."] * 2) == {
        "documents": 2,
        "words": 16,
        "distinct 4-grams": pytest.approx(5 / 14),
        "repeated sentences": 1.0,
    }


@pytest.mark.parametrize(
    ("text", "ended", "fault"),
    [
        ("{0}", False, "no ending"),
        ("{0} And then", True, "no ending"),
        ("{0} The cat sat on it. The cat sat on it.", True, "repeats"),
        ("Once there was a girl named Mia.", True, "short"),
        ("{0}\n\nThen everybody thanked the kind Berta.", True, "stranger: Berta"),
        ("Once there was a girl named Zora. {0}", True, "forgets Zora"),
        ("{0}", True, ""),
    ],
)
def test_faults_of_stories(text: str, ended: bool, fault: str) -> None:
    sound = next(corpus.held_out_stories(seed=2))
    found = evaluate.faults(text.format(sound), ended)
    assert found == [] if not fault else any(fault in f for f in found), found
