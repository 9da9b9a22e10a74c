"""Many texts at once: each is the one that its prompt gets alone, whatever happens beside it."""

from __future__ import annotations

import gc
import math
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import encoders
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vatra
from vatra.engine.batch import Batch
from vatra.engine.executor import Part
from vatra.engine.generation import Step
from vatra.engine.kernels.layout import PAGE
from vatra.engine.model import Model
from vatra.engine.prefixes import Prefixes
from vatra.engine.request import Request
from vatra.engine.session import ContextFull
from vatra.errors import OutOfMemory, UsageError

GREEDY = vatra.Sampling(temperature=0)
STORY = "Once upon a time there was a little fox who lived in a wood with his mother. " * 12
PROMPTS = [
    "Once upon a time",
    STORY,  # some pages
    STORY + "One day he",
    STORY[:500] + "Then a girl",
    "One day a brave girl",
    "The sun was",
]


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with vatra.load(ctx=1024) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def ids(model: Model) -> list[list[int]]:
    return [model.tokenizer.encode(prompt) for prompt in PROMPTS]


_ALONE: dict[Any, list[Step]] = {}


def alone(model: Model, ids: Sequence[int], sampling: vatra.Sampling, n: int) -> list[Step]:
    """The steps of a session of its own."""
    key = id(model), tuple(ids), sampling, n
    if key not in _ALONE:
        session = model.session()
        session.sync(ids)
        _ALONE[key] = list(session.generate(sampling, n))
    return _ALONE[key]


def tokens(steps: Sequence[Step]) -> list[int]:
    return [step.token for step in steps]


# --- the same texts as alone


plans = st.lists(
    st.tuples(
        st.integers(0, len(PROMPTS) - 1),
        st.sampled_from([GREEDY, vatra.Sampling(seed=1), vatra.Sampling(seed=2, temperature=2)]),
        st.integers(1, 12),  # tokens
        st.integers(0, 30),  # comes when so many steps were made in all
        st.none() | st.integers(1, 8),  # is cancelled after so many of its own
    ),
    min_size=1,
    max_size=9,
)


@given(plans, st.integers(1, 5), st.sampled_from([5, 9, 64]), st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_comes_and_goes(
    model: Model, ids: list[list[int]], plan: list[Any], parallel: int, n_pages: int, aside: bool
) -> None:
    """Of requests that come, end and are cancelled at any time, with much and little memory.

    Their tokens are chosen at once, or in other threads.
    """
    ended, made = threading.Semaphore(0), 0
    waiting = sorted(plan, key=lambda one: one[3])
    requests: list[tuple[Any, Request]] = []

    def on_step(request: Request, _step: Step) -> None:
        nonlocal made
        made += 1
        come()
        cancelled = next(one[4] for one, mine in requests if mine is request)
        if cancelled == len(request.tokens):
            request.cancel()

    def on_end(_request: Request, _error: BaseException | None) -> None:
        come(True)
        ended.release()

    def come(all_of_them: bool = False) -> None:
        while waiting and (waiting[0][3] <= made or all_of_them):
            one = waiting.pop(0)
            # Known before its first step can come: on the driving thread, or before it has work.
            with batch._changed:
                request = batch.submit(ids[one[0]], one[1], one[2], on_step=on_step, on_end=on_end)
                requests.append((one, request))

    quick = mock.patch("vatra.engine.batch.QUICK_S", -1.0 if aside else math.inf)
    with quick, Batch(model, parallel, kv_tokens=n_pages * PAGE) as batch:
        come()
        if not requests:
            come(True)
        for _ in plan:
            assert ended.acquire(timeout=60)
    assert len(requests) == len(plan)
    for (prompt, sampling, n, _, cancelled), request in requests:
        assert request.error is None
        expected = tokens(alone(model, ids[prompt], sampling, n))
        if cancelled is not None and cancelled < len(expected):
            assert request.tokens == expected[:cancelled] and request.finish_reason is None
        else:
            assert request.tokens == expected and request.finish_reason is not None


def test_every_option_is_that_of_a_session(model: Model) -> None:
    grammar = vatra.Grammar.json_schema({"type": "object", "properties": {"a": {"type": "number"}}})
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    prompt, stop = model.chat_ids(chat), [*model.chat_template.stop]

    def cases() -> list[dict[str, Any]]:
        return [
            {"logprobs": 3, "sampling": GREEDY, "max_tokens": 9},
            {"grammar": grammar, "sampling": vatra.Sampling(seed=4), "max_tokens": 30},
            {"stop": ["Paris", "xyz"], "sampling": GREEDY},
            {"answer": model.chat_prompt(chat)[1], "stop": stop, "sampling": GREEDY},
            {"sampling": vatra.Sampling(seed=4, repeat_penalty=1.5, mirostat=2), "max_tokens": 20},
            {"max_tokens": 12, "sampling": vatra.Sampling(seed=8)},
        ]

    with Batch(model, 4) as batch:
        requests = [batch.submit(prompt, **case) for case in cases()]
        found = [list(request) for request in requests]
    session = model.session()
    for steps, request, case in zip(found, requests, cases(), strict=True):
        session.sync([])
        session.sync(prompt)
        expected = session.generate(**case)
        assert steps == list(expected)
        assert request.text == expected.text and request.finish_reason == expected.finish_reason
        assert request.message == expected.message
    assert requests[2].finish_reason == "stop" and "Paris" not in requests[2].text
    assert requests[3].finish_reason == "eog" and "Paris" in requests[3].text


def test_many_threads(model: Model, ids: list[list[int]]) -> None:
    found: dict[int, list[int]] = {}
    with Batch(model, 3) as batch:

        def ask(i: int) -> None:
            seeded = vatra.Sampling(seed=i)
            found[i] = tokens(list(batch.submit(ids[i % len(ids)], seeded, 8)))

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for i in range(12):
        assert found[i] == tokens(alone(model, ids[i % len(ids)], vatra.Sampling(seed=i), 8))


def test_a_full_context_ends_a_text_as_alone(model: Model) -> None:
    prompt = model.tokenizer.encode("Once upon a time")
    session = model.session(PAGE)
    session.sync(prompt)
    expected = list(session.generate(vatra.Sampling(temperature=0, ignore_eos=True)))
    with Batch(model, 2, n_ctx=PAGE) as batch:
        request = batch.submit(prompt, vatra.Sampling(temperature=0, ignore_eos=True))
        assert list(request) == expected and request.finish_reason == "length"


# --- ends


def test_an_error_ends_only_its_own_text(model: Model, ids: list[list[int]]) -> None:
    calls = []

    def broken(ids: Any, logits: Any, recent: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise ValueError("no more")

    with Batch(model, 3) as batch:
        one = batch.submit(ids[0], GREEDY, 10)
        bad = batch.submit(ids[1], vatra.Sampling(seed=1, filters=(broken,)), 10)
        other = batch.submit(ids[4], GREEDY, 10)
        with pytest.raises(UsageError, match="filter broken: ValueError: no more"):
            list(bad)
        assert len(bad.tokens) == 2 and bad.is_done and bad.finish_reason is None
        assert tokens(list(one)) == tokens(alone(model, ids[0], GREEDY, 10))
        assert tokens(list(other)) == tokens(alone(model, ids[4], GREEDY, 10))


def test_a_listener_that_fails_ends_only_its_own_text(model: Model, ids: list[list[int]]) -> None:
    def fails(request: Request, step: Step) -> None:
        raise RuntimeError("listener")

    with Batch(model, 2) as batch:
        bad = batch.submit(ids[0], GREEDY, 10, on_step=fails)
        good = batch.submit(ids[4], GREEDY, 10)
        assert tokens(list(good)) == tokens(alone(model, ids[4], GREEDY, 10))
        assert bad.wait(10) and isinstance(bad.error, RuntimeError)


def test_logits_that_are_not_finite(
    model: Model, ids: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, first = model.run_batch, alone(model, ids[4], GREEDY, 6)[0].token

    def spoilt(parts: Any) -> list[np.ndarray]:
        found = run(parts)
        return [
            x * np.nan if (part.position, part.tokens[0]) == (len(ids[4]), first) else x
            for part, x in zip(parts, found, strict=True)
        ]

    monkeypatch.setattr(model, "run_batch", spoilt)
    with Batch(model, 2) as batch:
        good, bad = batch.submit(ids[0], GREEDY, 6), batch.submit(ids[4], GREEDY, 6)
        with pytest.raises(vatra.VatraError, match="logits"):
            list(bad)
        assert bad.tokens == [first]
        assert tokens(list(good)) == tokens(alone(model, ids[0], GREEDY, 6))


def test_a_run_that_fails_ends_those_in_it(
    model: Model, ids: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, fail = model.run_batch, [OutOfMemory("no memory")]
    monkeypatch.setattr(model, "run_batch", lambda parts: run(parts) if not fail else boom())

    def boom() -> None:
        raise fail.pop()

    with Batch(model, 2) as batch:
        with pytest.raises(OutOfMemory, match="no memory"):
            list(batch.submit(ids[0], GREEDY, 6))
        assert len(list(batch.submit(ids[0], GREEDY, 6))) == 6
        batch.close()
        assert batch.n_pages[0] == 0


def test_cancelling_frees_the_place_within_a_token(model: Model, ids: list[list[int]]) -> None:
    endless = vatra.Sampling(temperature=0, ignore_eos=True)

    def on_step(request: Request, _step: Step) -> None:
        if len(request.tokens) == 2:
            third.cancel()  # while it waits
            third.cancel()
        if len(request.tokens) == 5:
            assert third.is_done
            request.cancel()

    with Batch(model, 1) as batch:
        with batch._changed:
            first = batch.submit(ids[0], endless, on_step=on_step)
            second, third = (batch.submit(ids[i], GREEDY, 3) for i in (4, 0))
        assert tokens(list(second)) == tokens(alone(model, ids[4], GREEDY, 3))
        assert first.is_done and first.error is None and first.finish_reason is None
        assert len(first.tokens) == 5 and list(third) == []
        first.cancel()
        second.cancel()


def test_closing_ends_all_with_an_error(model: Model, ids: list[list[int]]) -> None:
    endless, errors = vatra.Sampling(temperature=0, ignore_eos=True), list[Exception]()
    batch = Batch(model, 1)
    memory = weakref.ref(batch._pages)
    closer = threading.Thread(target=batch.close)

    def on_step(_request: Request, _step: Step) -> None:
        if not closer.ident:
            closer.start()
        while batch._closing is None:
            time.sleep(1e-3)

    with batch._changed:
        running = batch.submit(ids[0], endless, on_step=on_step)
        waiting = batch.submit(ids[1], GREEDY, 3)
    assert running.wait(60)
    closer.join()
    batch.close()
    assert running.tokens == tokens(alone(model, ids[0], endless, 1))
    asks: list[Callable[[], Any]] = [
        lambda: list(running),
        lambda: list(waiting),
        lambda: batch.submit(ids[0]),
    ]
    for ask in asks * 2:
        with pytest.raises(UsageError, match="closed before") as caught:
            ask()
        errors.append(caught.value)
    assert len({id(error) for error in errors}) == 6  # each its own, with a traceback of its own
    lengths = [len(traceback.extract_tb(error.__traceback__)) for error in errors]
    assert lengths[:3] == lengths[3:]
    assert not batch._thread.is_alive() and batch.n_pages == (0, 0)
    gc.collect()
    assert memory() is None


def test_what_can_not_be_asked_for(model: Model) -> None:
    with pytest.raises(UsageError, match="parallel: got 0"):
        Batch(model, 0)
    with Batch(model, 2, n_ctx=100) as batch:
        with pytest.raises(UsageError, match="no text to continue"):
            batch.submit([])
        with pytest.raises(UsageError, match=r"ids\[1\]"):
            batch.submit([1, -1])
        with pytest.raises(ContextFull):
            batch.submit([1] * 101)
        with pytest.raises(UsageError, match="max_tokens"):
            batch.submit([1], max_tokens=-1)
        nothing = batch.submit([1], max_tokens=0)
        assert list(nothing) == [] and nothing.finish_reason is None
    with Batch(model, 2, kv_tokens=2 * PAGE) as batch, pytest.raises(ContextFull):
        batch.submit([1] * (2 * PAGE + 1))


# --- what texts share


def test_a_beginning_is_read_once(model: Model, ids: list[list[int]]) -> None:
    n_shared = len(ids[1]) // PAGE * PAGE
    with Batch(model, 4) as batch:
        requests = [batch.submit([*ids[1], 5 + i], GREEDY, 4) for i in range(6)]
        found = [list(request) for request in requests]
        counts = [request.statistics for request in requests]
        assert batch.n_read == len(ids[1]) + 1 + 5 * (len(ids[1]) + 1 - n_shared)
    assert [s.reused_tokens for s in counts] == [0] + 5 * [n_shared]
    assert {s.reused_tokens + s.prompt_tokens for s in counts} == {len(ids[1]) + 1}
    for i, steps in enumerate(found):
        assert tokens(steps) == tokens(alone(model, [*ids[1], 5 + i], GREEDY, 4))


def test_the_next_turn_reads_what_is_new(model: Model, ids: list[list[int]]) -> None:
    with Batch(model, 2) as batch:
        first = batch.submit(ids[1], GREEDY, 2 * PAGE)
        list(first)
        again = batch.submit([*ids[1], *first.tokens, 7, 8, 9], GREEDY, 4)
        expected = tokens(alone(model, [*ids[1], *first.tokens, 7, 8, 9], GREEDY, 4))
        assert tokens(list(again)) == expected
    executor = model.executor
    # Where a prompt's kernels are others than a token's, answers are read again with the prompt.
    same = executor.kind(1) == executor.kind(256)
    whole = len(ids[1]) + (len(first.tokens) - 1 if same else 0)
    assert again.statistics.reused_tokens == whole // PAGE * PAGE


def test_only_equal_tokens_are_shared(model: Model, ids: list[list[int]]) -> None:
    """A secret in the pages of one text is never in another that differs by a token before it."""
    text = ids[1]
    for at in (0, PAGE - 1, PAGE, 2 * PAGE + 1):
        other = [*text[:at], 77, *text[at + 1 :]]
        with Batch(model, 2) as batch:
            list(batch.submit(text, GREEDY, 2))
            request = batch.submit(other, GREEDY, 6)
            assert tokens(list(request)) == tokens(alone(model, other, GREEDY, 6))
            assert request.statistics.reused_tokens == at // PAGE * PAGE


class Held:
    """Stands for pages: who holds which."""

    def __init__(self) -> None:
        self.held: list[int] = []

    def hold(self, page: int) -> None:
        self.held.append(page)

    def release(self, page: int) -> None:
        self.held.remove(page)


def test_equal_hashes_are_not_equal_tokens() -> None:
    prefixes = Prefixes(Held())  # type: ignore[arg-type]
    one, other = ((-1,), ("few",)), ((-2,), ("few",))
    assert hash(one) == hash(other)
    prefixes.use([prefixes.add(None, one, 3)])
    assert prefixes.find([other]) == []
    assert prefixes.find([((-1,), ("many",))]) == []
    assert [prefix.page for prefix in prefixes.find([one])] == [3]


def test_what_was_used_longest_ago_is_forgotten_first() -> None:
    pages = Held()
    prefixes = Prefixes(pages)  # type: ignore[arg-type]
    a = prefixes.add(None, ((1,), ()), 1)
    b = prefixes.add(a, ((2,), ()), 2)
    c = prefixes.add(a, ((3,), ()), 3)
    d = prefixes.add(None, ((4,), ()), 4)
    assert prefixes.add(a, ((2,), ()), 9) is b and pages.held == [1, 2, 3, 4]
    prefixes.use([a, b])
    prefixes.leave([a, b])
    prefixes.use([d])
    assert prefixes.n_unused == 3
    gone: list[int] = []
    while prefixes.forget():
        gone.append(({1, 2, 3, 4} - set(pages.held) - set(gone)).pop())
    assert gone == [3, 2, 1] and pages.held == [4] and len(prefixes) == 1
    assert c.users == 0
    prefixes.leave([d])
    assert prefixes.forget() and not prefixes.forget()


# --- memory


def test_little_memory_sets_texts_back(
    model: Model, ids: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    back: list[int] = []
    set_back = Batch._set_back

    def counted(batch: Batch, place: Any) -> None:
        back.append(place.position)
        set_back(batch, place)

    monkeypatch.setattr(Batch, "_set_back", counted)
    endless = vatra.Sampling(temperature=0, ignore_eos=True)
    with Batch(model, 4, kv_tokens=4 * PAGE) as batch:
        with batch._changed:  # all are there before the first is written
            requests = [batch.submit(ids[i], endless, 2 * PAGE) for i in (0, 4, 5)]
        found = [tokens(list(request)) for request in requests]
    assert back
    for i, mine in zip((0, 4, 5), found, strict=True):
        assert mine == tokens(alone(model, ids[i], endless, 2 * PAGE))


# --- prompts beside texts


@pytest.mark.parametrize("seconds", [0.0, 1e-3, 60.0])
def test_a_long_prompt_does_not_stop_a_text(
    model: Model, ids: list[list[int]], seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a step may read of it: at least a bit, at most a piece of 256 tokens."""
    read = Batch._read
    monkeypatch.setattr(Batch, "_read", lambda self, place, _s: read(self, place, seconds))
    endless = vatra.Sampling(temperature=0, ignore_eos=True)
    long = (ids[1] * 6)[:900]
    steps_before: list[int] = []
    with Batch(model, 2) as batch:
        with batch._changed:
            running = batch.submit(ids[0], endless, 400, on_step=lambda r, s: None)
            late = batch.submit(
                long, GREEDY, 1, on_step=lambda r, s: steps_before.append(len(running.tokens))
            )
        assert late.wait(60)
        assert steps_before[0] >= {0.0: 4 * 32, 1e-3: 5, 60.0: 4}[seconds]
        assert running.wait(60)
    assert running.tokens == tokens(alone(model, ids[0], endless, 400))
    assert late.tokens == tokens(alone(model, long, GREEDY, 1))


def test_a_prompt_that_is_given_up(model: Model, ids: list[list[int]]) -> None:
    """In the middle of a piece of it."""
    endless = vatra.Sampling(temperature=0, ignore_eos=True)
    with Batch(model, 2) as batch:

        def on_step(request: Request, _step: Step) -> None:
            if any(place.reading for place in batch._running):
                gone.cancel()

        with batch._changed:
            running = batch.submit(ids[0], endless, 100, on_step=on_step)
            gone = batch.submit(ids[1], GREEDY, 5)
        after = batch.submit(ids[3], GREEDY, 5)
        assert list(gone) == [] and gone.error is None
        assert tokens(list(after)) == tokens(alone(model, ids[3], GREEDY, 5))
        assert running.wait(60)
    assert running.tokens == tokens(alone(model, ids[0], endless, 100))


def test_a_run_in_bits_has_the_same_outputs(model: Model, ids: list[list[int]]) -> None:
    text, other = np.array(ids[1][:200], np.int32), np.array(ids[4], np.int32)
    executor, expected = model.executor, list[np.ndarray]()
    for at_once in (True, False):
        pages = executor.new_pages(1024, model.kv)
        states = [executor.new_state(512, model.kv, pages) for _ in range(2)]
        if at_once:
            expected = [executor.run_batch([Part(states[0], text, 0)])[0].copy()]
        else:
            bits, found = executor.begin(Part(states[0], text, 0)), None
            while (found := next(bits)) is None:
                executor.run_batch([Part(states[1], other, 0)])
            assert np.array_equal(found, expected[0])
        [after] = executor.run_batch([Part(states[0], other[:1], 200)])
        expected.append(after.copy())
    assert np.array_equal(expected[1], expected[2])


def test_two_batches_read_at_once(model: Model, ids: list[list[int]]) -> None:
    endless = vatra.Sampling(temperature=0, ignore_eos=True)
    with Batch(model, 2) as first, Batch(model, 2) as second:
        both = [batch.submit(ids[0], endless, 300) for batch in (first, second)]
        for request in both:
            next(request)
        read = [batch.submit(text, GREEDY, 5) for text in ids[1:4] for batch in (first, second)]
        found = [tokens(list(request)) for request in read]
        for request in both:
            request.cancel()
    wanted = [tokens(alone(model, text, GREEDY, 5)) for text in ids[1:4] for _ in range(2)]
    assert found == wanted


# --- other models


def test_models_that_remember(shared: Path) -> None:
    """Those with a memory of all tokens are written together too, without sharing."""
    with vatra.load(shared / "golden" / "archs" / "mamba2-dense.gguf", ctx=512) as model:
        prompts = [[3 + i % 7 for i in range(300)], [5, 6, 7], [3 + i % 7 for i in range(300)]]
        with Batch(model, 3) as batch:
            requests = [batch.submit(prompt, GREEDY, 10) for prompt in prompts]
            found = [tokens(list(request)) for request in requests]
        assert [request.statistics.reused_tokens for request in requests] == [0, 0, 0]
        assert found == [tokens(alone(model, prompt, GREEDY, 10)) for prompt in prompts]


def test_models_that_embed(tmp_path: Path) -> None:
    encoders.write("bert", tmp_path / "bert.gguf")
    with (
        vatra.load(tmp_path / "bert.gguf", backend="reference") as model,
        pytest.raises(UsageError, match="vatra embed"),
    ):
        Batch(model)


# --- from Python


def test_answers_in_order(model: Model, ids: list[list[int]]) -> None:
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    prompts = [PROMPTS[0], ids[4], chat, [10**9], "x" * 20000, ids[5]]
    taken: list[int] = []

    def given() -> Iterator[Any]:
        for i, prompt in enumerate(prompts * 4):
            taken.append(i)
            yield prompt

    found = list(model.batch(given(), GREEDY, 12, parallel=2))
    assert [answer.index for answer in found] == list(range(24)) and taken == list(range(24))
    for i, answer in enumerate(found):
        if i % 6 in (3, 4):
            assert isinstance(answer.error, UsageError) and not answer.tokens
    assert isinstance(found[4].error, ContextFull)
    for i, prompt in ((0, ids[0]), (7, ids[4]), (17, ids[5])):
        assert list(found[i].tokens) == tokens(alone(model, prompt, GREEDY, 12))
    assert found[2].text == "The capital of France is Paris." and found[2].finish_reason == "eog"
    assert found[2].message == {"role": "assistant", "content": found[2].text}


def test_answers_as_they_come(model: Model) -> None:
    with pytest.raises(UsageError, match="temprature"):
        model.batch(["Hello"], temprature=1)
    schema = vatra.Grammar.regex("[ab]{200}")
    found = list(
        model.batch(["Long", "Short"], max_tokens=300, in_order=False, grammar=schema, seed=1)
    )
    assert {answer.index for answer in found} == {0, 1} and {len(a.text) for a in found} == {200}
    steps = next(model.batch(["Hello"], max_tokens=3, logprobs=2, seed=1)).steps
    assert [len(step.top_logprobs) for step in steps] == [2, 2, 2]


def test_prompts_are_taken_as_they_are_needed(model: Model) -> None:
    taken: list[int] = []

    def endless() -> Iterator[str]:
        while True:
            taken.append(1)
            yield "Once"

    answers = model.batch(endless(), GREEDY, 2, parallel=2)
    assert [next(answers).index for _ in range(5)] == list(range(5))
    answers.close()  # type: ignore[attr-defined]
    assert len(taken) <= 5 + 2 * 2 + 1
