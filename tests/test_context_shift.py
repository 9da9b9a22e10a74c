"""A full context: the answer ends, or the oldest is forgotten and the rest read again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vatra
from vatra.cli.app import main
from vatra.engine.kernels import layout
from vatra.engine.model import Model
from vatra.engine.sampling import Sampling
from vatra.engine.session import Session
from vatra.errors import UsageError

GREEDY = Sampling(temperature=0)
N_CTX = 48


@pytest.fixture(autouse=True)
def by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts are multiplied as answers are, so that both have the same bits."""
    monkeypatch.setattr(layout, "AMX_TOKENS", 2**62)


@pytest.fixture(scope="module")
def toy(spark: Path) -> Iterator[Model]:
    with vatra.load(spark, ctx=N_CTX) as model:
        yield model


def expected(model: Model, text: list[int], n: int, keep: int) -> list[int]:
    """The answer, each token from an evaluation of all that is not forgotten."""
    session, found = model.session(), list[int]()
    for _ in range(n):
        if len(text) > N_CTX:
            text = text[:keep] + text[keep:][-((len(text) - keep) // 2) :]
        session.sync([])
        session.sync(text)
        found.append(int(session.logits_for(session.begin_answer()).argmax()))
        text = [*text, found[-1]]
    return found


def prompt(model: Model, n: int = 20) -> list[int]:
    story = "Once upon a time there was a little girl. She had a red ball and a big dog. "
    return (model.tokenizer.encode(story) * 4)[:n]


def answer(session: Session, n: int, **options: Any) -> list[int]:
    steps = session.generate(GREEDY, n, **options)
    return [step.token for step in steps]


def test_the_default_is_an_end(toy: Model) -> None:
    steps = toy.generate(prompt(toy), GREEDY, 200)
    assert len(list(steps)) == N_CTX - 20 + 1
    assert steps.finish_reason == "length"
    assert steps.statistics.dropped_tokens == 0
    with pytest.raises(vatra.ContextFull, match=f"49 tokens, but the context holds {N_CTX}"):
        toy.generate(prompt(toy, 49), GREEDY, 3, overflow="shift")


@pytest.mark.parametrize("n_prompt", [1, 20, N_CTX - 1, N_CTX])
@pytest.mark.parametrize("keep", [None, 0, 5, N_CTX // 2])
def test_the_older_half_is_forgotten(
    toy: Model, monkeypatch: pytest.MonkeyPatch, n_prompt: int, keep: int | None
) -> None:
    monkeypatch.setattr(toy.tokenizer, "eog_ids", frozenset())
    text, session = prompt(toy, n_prompt), toy.session()
    session.sync(text)
    kept = int(text[0] == toy.tokenizer.bos_id) if keep is None else keep
    wanted = expected(toy, text, 120, kept)
    steps = session.generate(GREEDY, 120, overflow="shift", keep=keep)
    assert [step.token for step in steps] == wanted
    assert steps.finish_reason == "length"
    assert session.timeline[:kept] == tuple([*text, *wanted][:kept])
    assert len(session.timeline) == n_prompt + 120 - steps.statistics.dropped_tokens
    assert steps.statistics.generated_tokens == 120


def test_with_proposals_it_is_the_same_text(toy: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy.tokenizer, "eog_ids", frozenset())
    monkeypatch.setattr("vatra.engine.speculation.Speculation.best", lambda *_, **__: 5)
    session = toy.session()
    session.sync(prompt(toy))
    plain = answer(session, 150, overflow="shift")
    session.sync(prompt(toy))
    assert answer(session, 150, overflow="shift", speculate=vatra.Draft(toy)) == plain
    assert session.statistics.accepted_tokens > 50


@pytest.mark.parametrize("at", range(4))
def test_an_interrupt_while_reading_again(
    toy: Model, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    monkeypatch.setattr(toy.tokenizer, "eog_ids", frozenset())
    session = Session(toy, chunk=7)
    session.sync(prompt(toy))
    plain = answer(session, 60, overflow="shift")
    dropped = session.statistics.dropped_tokens
    calls = 0

    def progress(done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            raise KeyboardInterrupt

    session.sync(prompt(toy))
    steps = session.generate(GREEDY, 60, overflow="shift", progress=progress)
    found: list[int] = []
    while len(found) < 60:
        try:
            found.append(next(steps).token)
        except KeyboardInterrupt:
            assert found == plain[: len(found)]
    assert found == plain
    assert calls > at and steps.statistics.dropped_tokens == dropped


@pytest.mark.parametrize("name", ["lfm2", "mamba2", "qwen35"])
def test_a_model_with_memories(shared: Path, name: str) -> None:
    path = shared / "golden" / "archs" / f"{name}-dense.gguf"
    tokens = np.load(path.with_suffix(".npz"))["tokens"][:30].tolist()
    with vatra.load(path, ctx=N_CTX) as model:
        session = model.session()
        session.sync(tokens)
        assert answer(session, 50, overflow="shift", keep=4) == expected(model, tokens, 50, 4)
        assert session.statistics.dropped_tokens == 2 * 23  # of 49 less 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overflow": "slide"}, 'overflow: got \'slide\', wanted "stop" or "shift"'),
        ({"overflow": "shift", "keep": 25}, "keep: got 25, wanted an integer from 0 to 24"),
        ({"overflow": "shift", "keep": -1}, "keep: got -1"),
        ({"overflow": "shift", "keep": 1.0}, "keep: got 1.0"),
        ({"overflow": "shift", "keep": True}, "keep: got True"),
    ],
)
def test_wrong_options(toy: Model, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        toy.generate([1, 2], GREEDY, 3, **options)


# --- conversations


SYSTEM = "Be kind."


@pytest.fixture
def roomy(spark: Path) -> Iterator[Model]:
    with vatra.load(spark, ctx=160) as model:
        yield model


def test_a_conversation_ends_unless_told_otherwise(roomy: Model) -> None:
    conversation = vatra.Conversation(roomy, system=SYSTEM)
    with pytest.raises(vatra.ContextFull, match="but the context holds 160"):
        for _ in range(30):
            list(conversation.say("What colour is the sky?", GREEDY, 20))
    assert conversation.forgotten == 0
    with pytest.raises(UsageError, match="overflow: got 'half'"):
        vatra.Conversation(roomy, overflow="half")  # type: ignore[arg-type]


def test_whole_turns_are_forgotten(roomy: Model) -> None:
    conversation = vatra.Conversation(roomy, system=SYSTEM, overflow="shift")
    reached = set()
    for turn in range(25):
        before = conversation.forgotten
        steps = conversation.say(f"What is {turn} and {turn}?", GREEDY, 12)
        told = conversation.messages[:-1]
        seen = [told[0], *told[1 + conversation.forgotten :]]
        assert list(conversation.session.ids) == roomy.chat_ids(seen)
        assert seen[1]["role"] == "user" and len(seen) % 2 == 0
        if conversation.forgotten != before:
            assert conversation.session.position <= 80
            assert steps.statistics.dropped_tokens > 0
        else:
            assert steps.statistics.dropped_tokens == 0
        list(steps)  # this may go past the end as well
        reached.add(conversation.forgotten)
    assert len(conversation.messages) == 51  # all of them are still there
    assert len(reached) > 3 and all(n % 2 == 0 for n in reached)
    conversation.clear()
    assert conversation.forgotten == 0


def test_no_more_is_forgotten_than_makes_room(roomy: Model) -> None:
    conversation = vatra.Conversation(roomy, system=SYSTEM, overflow="shift")
    while not conversation.forgotten:
        list(conversation.say("What colour is the sky?", GREEDY, 6))
    told = conversation.messages[:-1]
    one_more = [told[0], *told[1 + conversation.forgotten - 2 :]]
    assert len(roomy.chat_ids(one_more)) > 80


def test_turns_are_forgotten_in_the_middle_of_an_answer(
    roomy: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = vatra.Conversation(roomy, system=SYSTEM, overflow="shift")
    while conversation.session.position < 110:
        list(conversation.say("What colour is the sky?", GREEDY, 8))
    assert not conversation.forgotten
    monkeypatch.setattr(roomy.tokenizer, "eog_ids", frozenset())
    steps = conversation.say("Tell me a story.", GREEDY, 200)
    reached, positions = list[int](), list[int]()
    for _ in range(60):
        next(steps)
        reached.append(conversation.forgotten)
        positions.append(conversation.session.position)
    assert max(positions) == 160 and positions[positions.index(160) + 1] <= 80
    assert reached[0] == 0 < reached[-1]
    told = conversation.messages[:-1]
    begin = roomy.chat_ids([told[0], *told[1 + reached[-1] :]])
    assert list(conversation.session.timeline) == begin + steps.tokens
    list(steps)  # at the end the answer alone is too long, and loses its older half
    assert conversation.forgotten == len(told) - 2
    begin, ids = roomy.chat_ids([told[0], told[-1]]), list(conversation.session.timeline)
    n_kept = len(ids) - len(begin)
    assert ids == begin + steps.tokens[-n_kept:] and n_kept < 160 - len(begin)
    assert len(steps.tokens) == 200
    assert steps.statistics.dropped_tokens > 0


def test_a_last_turn_that_is_too_long(roomy: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    conversation = vatra.Conversation(roomy, system=SYSTEM, overflow="shift")
    list(conversation.say("What colour is the sky?", GREEDY, 8))
    before = conversation.messages
    with pytest.raises(vatra.ContextFull, match=r"the text has \d+ tokens.* holds 160"):
        conversation.say("word " * 200)
    assert conversation.messages == before and conversation.forgotten == 0
    monkeypatch.setattr(roomy.tokenizer, "eog_ids", frozenset())
    steps = conversation.say("the cat " * 45, GREEDY)  # more than half: an answer may not shift
    list(steps)
    assert steps.finish_reason == "length" and conversation.session.is_full


def test_run_keeps_what_it_is_told_to(capsys: pytest.CaptureFixture[str]) -> None:
    run = ["run", "--temperature", "0", "-n", "60", "--ctx", "48", "Once upon a time there was"]
    shift = [*run, "--raw", "--overflow", "shift"]
    texts = []
    for given in ([], ["--keep", "0"], ["--keep", "12"]):
        assert main([*shift, *given]) == 0
        texts.append(capsys.readouterr().out)
    assert len(set(texts)) > 1
    for wrong in ([*run, "--keep", "4"], [*run, "--overflow", "shift", "--keep", "4"]):
        assert main(wrong) == 2
        assert "--keep: only --raw --overflow shift" in capsys.readouterr().err
    assert main([*shift, "--keep", "40"]) == 2
    assert "keep: got 40, wanted an integer from 0 to 24" in capsys.readouterr().err
