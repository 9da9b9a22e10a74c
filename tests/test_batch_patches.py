"""Patches that come and go while many texts are written."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

import vatra
from vatra.engine.batch import Batch
from vatra.engine.generation import Step
from vatra.engine.kernels.layout import PAGE
from vatra.engine.model import Model
from vatra.engine.request import Request

GREEDY = vatra.Sampling(temperature=0, ignore_eos=True)
STORY = "Once upon a time there was a little fox who lived in a wood with his mother. " * 12
CHANGES: list[dict[str, Any]] = [
    {"blk.[0-4].ffn_out": lambda x, at: x * 0},
    {"blk.[0-4].ffn_down.weight": lambda weights: weights * 0},
]


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with vatra.load(ctx=1024) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def ids(model: Model) -> list[list[int]]:
    return [model.tokenizer.encode(text) for text in ("Tom", STORY, STORY + "One day", "A girl")]


def alone(
    model: Model, ids: Sequence[int], n: int, changes: Any = None, begin: int = 0, end: int = 0
) -> list[int]:
    """What a session writes where the patch is there from token `begin` on and to `end`."""
    session = model.session()
    with ExitStack() as patch:
        if changes and not begin:
            patch.enter_context(model.patch(changes))
        session.sync(ids)
        steps, found = session.generate(GREEDY, n), list[int]()
        for step in steps:
            found.append(step.token)
            if changes and len(found) == begin:
                patch.enter_context(model.patch(changes))
            if len(found) == end:
                patch.close()
    return found


@pytest.mark.parametrize("changes", CHANGES, ids=["activation", "weight"])
def test_each_text_is_the_one_of_a_session(
    model: Model, ids: list[list[int]], changes: Any
) -> None:
    counts: list[list[int]] = []
    requests: list[Request] = []
    patch = ExitStack()

    def on_step(request: Request, _step: Step) -> None:  # of the last in each step
        n = len(request.tokens)
        if n in (5, 20):
            counts.append([len(one.tokens) for one in requests])
        if n == 5:
            patch.enter_context(model.patch(changes))
        elif n == 20:
            patch.close()
        elif n == 30:
            for one in requests:
                one.cancel()

    with Batch(model, 3) as batch:
        with batch._changed:
            listeners = [lambda r, s: None, lambda r, s: None, on_step]
            requests += [
                batch.submit(text, GREEDY, 600, on_step=one)
                for text, one in zip(ids, listeners, strict=False)
            ]
        assert all(request.wait(60) for request in requests)
    begin, end = counts
    assert begin[2] == 5 and end[2] == 20 and min(end[:2]) > 20
    for request, text, first, last in zip(requests, ids, begin, end, strict=False):
        assert request.error is None and request.finish_reason is None
        n = len(request.tokens)
        assert request.tokens == alone(model, text, n, changes, first, last)
        assert request.tokens[:last] != alone(model, text, last)


def test_pages_are_shared_only_within_a_patch(model: Model, ids: list[list[int]]) -> None:
    whole = (len(ids[1]) - 1) // PAGE * PAGE

    def ask() -> tuple[int, list[int]]:
        request = batch.submit(ids[1], GREEDY, 6)
        found = [step.token for step in request]
        return request.statistics.reused_tokens, found

    with Batch(model, 2) as batch:
        outside, inside = alone(model, ids[1], 6), alone(model, ids[1], 6, CHANGES[0])
        assert outside != inside
        assert [ask(), ask()] == [(0, outside), (whole, outside)]
        with model.patch(CHANGES[0]):
            assert [ask(), ask()] == [(0, inside), (whole, inside)]
        assert [ask(), ask()] == [(0, outside), (whole, outside)]


@pytest.mark.parametrize("where", ["run_batch", "begin", "go_on", "new_state"])
def test_a_patch_between_looking_and_running(
    model: Model, ids: list[list[int]], where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread can patch the model at any of these moments."""
    patch, calls = ExitStack(), list[int]()
    owner: Any = model.executor if where == "new_state" else model
    was = getattr(owner, where)

    def patched(*given: Any) -> Any:
        if all(request.tokens for request in requests[:1]):
            calls.append(1)
            if len(calls) == 2:
                counts.append(len(requests[0].tokens))
                patch.enter_context(model.patch(CHANGES[0]))
        return was(*given)

    monkeypatch.setattr(owner, where, patched)
    requests, counts = list[Request](), list[int]()
    with Batch(model, 4) as batch, patch:
        list(batch.submit(ids[2], GREEDY, 1))  # its pages are there
        with batch._changed:
            requests += [batch.submit(text, GREEDY, 12) for text in (ids[0], ids[1], ids[2])]
        found = [[step.token for step in request] for request in requests]
        # A text whose prompt was not read by then is that of the patched model, all of it.
        for text, mine in zip((ids[0], ids[1], ids[2]), found, strict=True):
            first = counts[0] if text is ids[0] else 0
            patch.close()
            assert len(counts) == 1
            possible = [alone(model, text, 12, CHANGES[0], n) for n in range(first, 13)]
            assert mine in (possible[:1] if text is ids[0] else possible)


def test_patches_of_another_thread(model: Model, ids: list[list[int]]) -> None:
    """That change nothing but what was read under what: no text ends before its time."""
    done = threading.Event()
    kinds = {"blk.3.l_out": lambda x, at: None}, {"output_norm.weight": lambda weights: None}
    opened: list[int] = []

    def toggle() -> None:
        for kind in iter(lambda: kinds[len(opened) % 2], None):
            with model.patch(kind):
                opened.append(1)
                if done.wait(0.02):
                    return
            if done.wait(0.02):
                return

    thread = threading.Thread(target=toggle)
    with Batch(model, 3) as batch:
        thread.start()
        requests = [batch.submit(text, GREEDY, 20) for text in ids]
        session = model.session()
        session.sync(ids[1])
        mine = [step.token for step in session.generate(GREEDY, 20)]
        found = [[step.token for step in request] for request in requests]
        done.set()
        thread.join()
    assert len(opened) > 2 and len(mine) == 20 and [len(one) for one in found] == [20] * 4
    if model.executor.kind(1) == model.executor.kind(256):  # else the last bits differ
        assert mine == alone(model, ids[1], 20)
        assert found == [alone(model, text, 20) for text in ids]


def test_logits_that_a_patch_interrupts(
    model: Model, ids: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, patch = model.run, ExitStack()
    text = (ids[1] * 3)[:600]

    def patched(*given: Any) -> np.ndarray:
        if given[2] == 256:
            patch.enter_context(model.patch(CHANGES[0]))
        return run(*given)

    monkeypatch.setattr(model, "run", patched)
    with patch, pytest.raises(vatra.UsageError, match="read under other patches"):
        model.logits(text)
