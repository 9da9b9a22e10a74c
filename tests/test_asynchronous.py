"""Answers within an event loop: the same text, a loop that goes on, cancelling, errors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

import vatra
from vatra.engine.asynchronous import AsyncSteps
from vatra.engine.session import CHUNK

PROMPT = "Once upon a time"
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def model(spark: Path) -> Iterator[vatra.Model]:
    with vatra.load(spark, ctx=4 * CHUNK) as model:
        yield model


async def text_of(steps: AsyncSteps) -> str:
    return "".join([step.text async for step in steps])


def test_the_text_is_that_of_the_plain_methods(model: vatra.Model) -> None:
    wanted = "".join(s.text for s in model.generate(PROMPT, seed=1, max_tokens=20))
    assert asyncio.run(text_of(model.agenerate(PROMPT, seed=1, max_tokens=20))) == wanted
    assert asyncio.run(text_of(model.achat(QUESTION, temperature=0))) == (
        "The capital of France is Paris."
    )


def test_several_at_once_while_the_loop_goes_on(model: vatra.Model) -> None:
    alone = ["".join(s.text for s in model.generate(PROMPT, seed=i, max_tokens=25)) for i in (1, 2)]

    async def both() -> tuple[list[str], int]:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        counting = asyncio.create_task(count())
        answers = [text_of(model.agenerate(PROMPT, seed=i, max_tokens=25)) for i in (1, 2)]
        texts = await asyncio.gather(*answers)
        counting.cancel()
        return texts, turns

    texts, turns = asyncio.run(both())
    assert texts == alone
    assert turns > 50  # a loop that waits for tokens would have had one turn or two for each


def test_nothing_is_evaluated_after_aclose(model: vatra.Model) -> None:
    async def some() -> tuple[int, AsyncSteps]:
        async with aclosing(model.agenerate(PROMPT, seed=1)) as steps:
            n = 0
            async for _ in steps:
                n += 1
                if n == 5:
                    break
        assert [step async for step in steps] == []
        await steps.aclose()  # again
        return n, steps

    n, steps = asyncio.run(some())
    assert steps.steps is not None and steps.steps.closed
    assert len(steps.steps.tokens) == n


def test_a_cancelled_task_ends_with_the_token_that_is_evaluated(
    model: vatra.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go_on = threading.Event(), threading.Event()
    run, runs = model.run, []

    def slow(*args: Any) -> Any:
        runs.append(args)
        if len(runs) == 4:
            entered.set()
            assert go_on.wait(10)
        return run(*args)

    monkeypatch.setattr(model, "run", slow)

    async def cancelled() -> AsyncSteps:
        steps = model.achat(QUESTION, temperature=0)
        task = asyncio.create_task(text_of(steps))
        await asyncio.to_thread(entered.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert steps.steps is not None and not steps.steps.closed  # its session is still in use
        go_on.set()
        await steps.aclose()
        assert steps.steps.closed
        return steps

    asyncio.run(cancelled())
    assert len(runs) == 4
    monkeypatch.undo()
    assert asyncio.run(text_of(model.achat(QUESTION, temperature=0))).endswith("Paris.")


def test_a_prompt_is_left_after_the_piece_that_is_read(
    model: vatra.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go_on = threading.Event(), threading.Event()
    run, runs = model.run, []

    def slow(*args: Any) -> Any:
        runs.append(args)
        entered.set()
        assert go_on.wait(10)
        return run(*args)

    monkeypatch.setattr(model, "run", slow)

    async def cancelled() -> None:
        steps = model.agenerate([1] + [300] * (3 * CHUNK), max_tokens=5)
        task = asyncio.create_task(text_of(steps))
        await asyncio.to_thread(entered.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        await steps.aclose()

    asyncio.run(cancelled())
    assert len(runs) == 1


def test_errors_come_to_who_awaits(model: vatra.Model) -> None:
    text: Any = "hello"  # where a list of messages belongs
    wrong: list[tuple[Callable[[], AsyncSteps], str]] = [
        (lambda: model.agenerate(PROMPT, temprature=1), "temprature"),
        (lambda: model.agenerate([10**9]), r"ids\[0\]"),
        (lambda: model.achat(text), "messages"),
    ]
    for begin, message in wrong:
        with pytest.raises(vatra.UsageError, match=message):
            asyncio.run(text_of(begin()))
