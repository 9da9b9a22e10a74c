"""Tokens that take long to choose, beside texts that do not wait for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import vatra
from vatra.engine import constraint
from vatra.engine.batch import Batch
from vatra.engine.constraint import Constraint
from vatra.engine.generation import Step
from vatra.engine.kernels.layout import PAGE
from vatra.engine.model import Model
from vatra.engine.request import Request
from vatra.errors import UsageError

GREEDY = vatra.Sampling(temperature=0, ignore_eos=True)
WORDS = vatra.Grammar.regex("( [a-z]+)+")
AMBIGUOUS = vatra.Grammar.gbnf("root ::= e\ne ::= e e | [a-z ] | e e e")


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with vatra.load(ctx=512) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def ids(model: Model) -> list[int]:
    return model.tokenizer.encode("Once upon a time")


def alone(model: Model, ids: list[int], n: int, grammar: vatra.Grammar | None = None) -> list[int]:
    session = model.session()
    session.sync(ids)
    return [step.token for step in session.generate(GREEDY, n, grammar=grammar)]


class Gate:
    """Lets masks of grammars be computed only when it is open."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.arrived = threading.Event(), threading.Semaphore(0)
        allowed = Constraint.allowed

        def late(form: Constraint) -> np.ndarray:
            self.arrived.release()
            assert self.open.wait(60)
            return allowed(form)

        monkeypatch.setattr(Constraint, "allowed", late)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    made = Gate(monkeypatch)
    yield made
    made.open.set()


def test_others_do_not_wait(model: Model, ids: list[int], gate: Gate) -> None:
    with Batch(model, 3) as batch:
        slow = batch.submit(ids, GREEDY, 6, grammar=WORDS)
        assert gate.arrived.acquire(timeout=60)
        assert [s.token for s in batch.submit(ids, GREEDY, 20)] == alone(model, ids, 20)
        later = batch.submit([*ids, 5], GREEDY, 6, grammar=WORDS)
        assert [s.token for s in batch.submit(ids, GREEDY, 9)] == alone(model, ids, 9)
        gate.open.set()
        found = [[s.token for s in one] for one in (slow, later)]
    assert found == [alone(model, text, 6, WORDS) for text in (ids, [*ids, 5])]


def test_a_text_that_is_given_up_meanwhile(model: Model, ids: list[int], gate: Gate) -> None:
    with Batch(model, 1) as batch:
        gone = batch.submit(ids, GREEDY, 6, grammar=WORDS)
        assert gate.arrived.acquire(timeout=60)
        gone.cancel()
        assert gone.wait(60) and gone.error is None and gone.tokens == []
        assert [s.token for s in batch.submit(ids, GREEDY, 5)] == alone(model, ids, 5)
        gate.open.set()
    assert gone.tokens == []


def test_a_batch_that_is_closed_meanwhile(model: Model, ids: list[int], gate: Gate) -> None:
    batch = Batch(model, 1)
    request = batch.submit(ids, GREEDY, 6, grammar=WORDS)
    assert gate.arrived.acquire(timeout=60)
    batch.close()
    with pytest.raises(UsageError, match="closed before"):
        next(request)


def test_memory_that_runs_out_meanwhile(
    model: Model, ids: list[int], gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text whose token is being chosen came last: it is the one that is set back."""
    back: list[Any] = []
    set_back = Batch._set_back

    def spied(self: Batch, place: Any) -> None:
        back.append((place.request, place.choice is not None))
        gate.open.set()
        set_back(self, place)

    monkeypatch.setattr(Batch, "_set_back", spied)
    with Batch(model, 2, kv_tokens=3 * PAGE) as batch:
        with batch._changed:
            first = batch.submit(ids, GREEDY, 3 * PAGE - 10)
            slow = batch.submit([*ids, 5], GREEDY, 6, grammar=WORDS)
        assert first.wait(60) and slow.wait(60)
    assert back == [(slow, True)]
    assert first.tokens == alone(model, ids, 3 * PAGE - 10)
    assert slow.tokens == alone(model, [*ids, 5], 6, WORDS)


def test_a_patch_meanwhile(model: Model, ids: list[int], gate: Gate) -> None:
    """The token is that of the model before, and all is read again for the next."""
    change: Any = {"blk.3.l_out": lambda x, at: x * 0.7}
    with Batch(model, 2) as batch:
        slow = batch.submit(ids, GREEDY, 6, grammar=WORDS)
        assert gate.arrived.acquire(timeout=60)
        with model.patch(change):
            gate.open.set()
            found = [step.token for step in slow]
    session = model.session()
    session.sync(ids)
    steps = session.generate(GREEDY, 6, grammar=WORDS)
    expected = [next(steps).token]
    with model.patch(change):
        expected += [step.token for step in steps]
    assert found == expected


def test_slow_filters(model: Model, ids: list[int]) -> None:
    """The same tokens, chosen in other threads, whatever else is written."""
    threads: list[str] = []

    def slow(ids: Any, logits: Any, recent: Any) -> None:
        threads.append(threading.current_thread().name)
        until = time.thread_time() + 2e-3
        while time.thread_time() < until:
            pass

    sampling = [vatra.Sampling(seed=i, ignore_eos=True, filters=(slow,)) for i in range(3)]
    with Batch(model, 4) as batch:
        requests = [batch.submit(ids, one, 8) for one in sampling]
        plain = batch.submit(ids, GREEDY, 60)
        found = [[step.token for step in request] for request in requests]
        assert [step.token for step in plain] == alone(model, ids, 60)
    assert len(threads) == 24 and all(name.startswith("vatra-choice") for name in threads)
    for one, mine in zip(sampling, found, strict=True):
        session = model.session()
        session.sync(ids)
        assert mine == [step.token for step in session.generate(one, 8)]


def test_a_quick_choice_stays_in_its_thread(model: Model, ids: list[int]) -> None:
    threads: list[str] = []

    def quick(ids: Any, logits: Any, recent: Any) -> None:
        threads.append(threading.current_thread().name)

    with Batch(model, 1) as batch:
        list(batch.submit(ids, vatra.Sampling(seed=1, ignore_eos=True, filters=(quick,)), 30))
    assert threads[0].startswith("vatra-choice") and "vatra-batch" in threads


def test_a_grammar_that_takes_too_long(
    model: Model, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constraint, "MOST_S", 2e-3)
    with Batch(model, 2) as batch:
        slow = batch.submit(ids, GREEDY, grammar=AMBIGUOUS)
        plain = batch.submit(ids, GREEDY, 30)
        with pytest.raises(UsageError, match="grammar: 0.0 s of computing for one token"):
            list(slow)
        assert len(slow.tokens) > 1 and [s.token for s in plain] == alone(model, ids, 30)
    with pytest.raises(UsageError, match="less ambiguous"):
        alone(model, ids, 100, AMBIGUOUS)


def test_what_an_error_of_a_choice_ends(model: Model, ids: list[int]) -> None:
    def broken(ids: Any, logits: Any, recent: Any) -> None:
        raise ValueError("no more")

    def leaves(request: Request, _step: Step) -> None:
        raise SystemExit

    with Batch(model, 4) as batch:
        bad = batch.submit(ids, vatra.Sampling(seed=1, filters=(broken,)), 9)
        gone = batch.submit(ids, GREEDY, 9, on_step=leaves)
        form = batch.submit(ids, GREEDY, 9, on_step=leaves, grammar=WORDS)
        assert [s.token for s in batch.submit(ids, GREEDY, 30)] == alone(model, ids, 30)
        for request, kind in ((bad, UsageError), (gone, SystemExit), (form, SystemExit)):
            assert request.wait(60) and isinstance(request.error, kind)
