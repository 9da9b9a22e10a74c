"""Proposed tokens: the text is what it is without them, and they are left out where they cost time.

`Chain` stands for an executor: its logits depend on all tokens so far, as they lie in a cache or
add up in a memory, so that a proposal that leaves anything behind changes the text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import vatra
from vatra.engine import numerics
from vatra.engine.executor import State
from vatra.engine.model import Model
from vatra.engine.parts import checked
from vatra.engine.sampling import Sampling
from vatra.engine.session import TAIL, Session
from vatra.engine.speculation import (
    LEAST,
    MEMORY,
    MOST,
    RETRY,
    Draft,
    Lookup,
    Proposer,
    Speculation,
)
from vatra.errors import UnsupportedFile, UsageError, VatraError
from vatra.models.plan import Memory

Array = np.ndarray
N_VOCAB = 23
GREEDY = Sampling(temperature=0)
SAMPLINGS = [
    GREEDY,
    Sampling(temperature=1.5, seed=3),
    Sampling(temperature=1.0, seed=4, repeat_penalty=1.3, penalty_last_n=8),
]
PROMPT = [i * 7 % N_VOCAB for i in range(40)]


class Chain:
    """logits = sum of table[token] * 0.75^distance, of kept tokens or, if it `remembers`, a sum."""

    edition = ()

    def __init__(self, remembers: bool) -> None:
        memories = [Memory("sum", (N_VOCAB,))] if remembers else []
        self.plan: Any = SimpleNamespace(
            causal=True, embeds=False,
            n_positions=None, n_vocab=N_VOCAB, n_ctx_train=64, architecture="none",
            caches=[], memories=memories,
        )  # fmt: skip
        self.table = np.random.default_rng(5).normal(size=(N_VOCAB, N_VOCAB)).astype(np.float32)
        self.runs: list[tuple[int, int]] = []  # position, tokens
        self.fail: Callable[[], None] = lambda: None
        self.poisoned: int | None = None  # the logits after this token are not finite

    def new_state(self, n_ctx: int, kv: str = "f16") -> Any:
        state = State(self, n_ctx, "f32")  # type: ignore[arg-type]
        state.tokens = np.full(n_ctx, -1)  # type: ignore[attr-defined]
        return state

    def run(self, state: Any, tokens: Array, position: int, outputs: str = "last") -> Array:
        tokens = checked(self, state, tokens, position, outputs)  # type: ignore[arg-type]
        self.runs.append((position, len(tokens)))
        with state.running(position, len(tokens)):
            total = state.memories[0] if state.memories else np.zeros(N_VOCAB, np.float32)
            for token in () if state.memories else state.tokens[:position]:
                total[:] = total * np.float32(0.75) + self.table[token]
            rows = []
            for i, token in enumerate(tokens):
                if i == len(tokens) // 2:
                    self.fail()
                state.tokens[position + i] = token
                total[:] = total * np.float32(0.75) + self.table[token]
                rows.append(total * np.nan if token == self.poisoned else total.copy())
        kept = {"all": rows, "last": rows[-1:], "none": []}[outputs]
        return np.array(kept, np.float32).reshape(-1, N_VOCAB)


def made(remembers: bool, n_ctx: int = 256, chunk: int = 256) -> tuple[Session, Chain]:
    executor = Chain(remembers)
    checkpoint: Any = SimpleNamespace(
        path="m.gguf", metadata={}, tensors={}, close=lambda: None, check_unchanged=lambda: None
    )
    no_text = UnsupportedFile("m.gguf", "has no tokenizer")
    model = Model(checkpoint, executor.plan, executor, no_text, n_ctx=n_ctx)  # type: ignore[arg-type]
    return Session(model, chunk=chunk), executor


class Oracle:
    """Knows how a text goes on, and says so with some probability; else another token."""

    def __init__(self, text: Sequence[int], share: float, seed: int = 1) -> None:
        self.text, self.share, self.rng = list(text), share, np.random.default_rng(seed)

    def propose(self, timeline: Array, n: int) -> list[int]:
        right = self.text[len(timeline) : len(timeline) + n]
        return [t if self.rng.random() < self.share else (t + 1) % N_VOCAB for t in right]


class Nonsense:
    """Tokens that there are not, more than were asked for."""

    def propose(self, timeline: Array, n: int) -> Any:
        return np.array([int(timeline[-1]), 1, N_VOCAB, -1] * n)


@pytest.fixture(params=[2, MOST], ids="{} at once".format)
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Always so many tokens are proposed, whatever they cost."""
    n: int = request.param
    monkeypatch.setattr(Speculation, "best", lambda *_, **__: n)
    return n


def answer(session: Session, sampling: Sampling, n: int | None, speculate: Any = None) -> list[int]:
    return [step.token for step in session.generate(sampling, n, speculate=speculate)]


# --- the same text


@pytest.mark.parametrize("remembers", [False, True], ids=["cache", "memory"])
@pytest.mark.parametrize("sampling", SAMPLINGS, ids=["greedy", "drawn", "penalised"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 1.0])
def test_the_text_is_the_same(
    at_once: int, remembers: bool, sampling: Sampling, share: float
) -> None:
    session, executor = made(remembers)
    session.sync(PROMPT)
    plain = answer(session, sampling, 60)
    session.sync(PROMPT)
    executor.runs.clear()
    assert answer(session, sampling, 60, Oracle([*PROMPT, *plain], share)) == plain
    assert session.timeline == (*PROMPT, *plain)
    found = session.statistics
    assert found.generated_tokens == 60
    # All but the first and the last need an evaluation, unless they were proposed.
    rounds = len(executor.runs)
    if not remembers:
        assert rounds + found.accepted_tokens == 59
        assert sum(n for _, n in executor.runs) == rounds + found.proposed_tokens
    if share == 1.0:
        assert rounds == -(-59 // (at_once + 1))
        assert found.accepted_tokens == found.proposed_tokens == 59 - rounds
    if share == 0.0:
        assert found.accepted_tokens == 0 and found.proposed_tokens


@pytest.mark.parametrize("remembers", [False, True], ids=["cache", "memory"])
@pytest.mark.parametrize("speculate", ["lookup", Nonsense()], ids=["lookup", "nonsense"])
def test_proposals_that_know_nothing(at_once: int, remembers: bool, speculate: Any) -> None:
    session, executor = made(remembers)
    for sampling in SAMPLINGS:
        session.sync(PROMPT)
        plain = answer(session, sampling, 60)
        session.sync(PROMPT)
        assert answer(session, sampling, 60, speculate) == plain


@pytest.mark.parametrize("remembers", [False, True], ids=["cache", "memory"])
@pytest.mark.parametrize("n_ctx", [*range(41, 54), 64])
def test_up_to_the_end_of_the_context(at_once: int, remembers: bool, n_ctx: int) -> None:
    session, executor = made(remembers, n_ctx)
    session.sync(PROMPT)
    plain = answer(session, GREEDY, None)
    assert len(plain) == n_ctx - 39
    session.sync(PROMPT)
    steps = session.generate(GREEDY, speculate=Oracle([*PROMPT, *plain], 1.0))
    assert [step.token for step in steps] == plain
    assert steps.finish_reason == "length" and session.is_full


@pytest.mark.parametrize("n", range(1, 13))
def test_no_more_is_evaluated_than_is_wanted(at_once: int, n: int) -> None:
    session, executor = made(False)
    session.sync(PROMPT)
    plain = answer(session, GREEDY, 20)
    session.sync(PROMPT)
    assert answer(session, GREEDY, n, Oracle([*PROMPT, *plain], 1.0)) == plain[:n]
    assert max(at + k for at, k in executor.runs[-n:]) == 40 + 19
    executor.runs.clear()
    assert answer(session, GREEDY, 20 - n) == plain[n:]  # the next answer goes on


@pytest.mark.parametrize("remembers", [False, True], ids=["cache", "memory"])
@pytest.mark.parametrize("taken", range(1, 12))
def test_an_answer_that_is_ended_early(at_once: int, remembers: bool, taken: int) -> None:
    session, executor = made(remembers)
    session.sync(PROMPT)
    plain = answer(session, GREEDY, 30)
    session.sync(PROMPT)
    steps = session.generate(GREEDY, speculate=Oracle([*PROMPT, *plain], 0.9))
    assert [next(steps).token for _ in range(taken)] == plain[:taken]
    steps.close()
    assert session.timeline == (*PROMPT, *plain[:taken])
    executor.runs.clear()
    wanted = [*PROMPT, *plain[:taken], 5, 6]
    assert session.sync(wanted).reused_tokens >= 40
    fresh, _ = made(remembers)
    fresh.sync(wanted)
    assert answer(session, GREEDY, 9) == answer(fresh, GREEDY, 9)


def test_what_is_ahead_is_forgotten_with_its_text() -> None:
    session, executor = made(False)
    session.sync(PROMPT)
    plain = answer(session, GREEDY, 2)
    session.sync(PROMPT)
    turn = session.begin_answer()
    session.logits_for(turn)
    session.choose(plain[0])
    session.logits_for(turn, [plain[1], plain[0]])
    session.choose(plain[1])  # now the logits are there for plain[0], which is not what follows
    assert session.sync(PROMPT).reused_tokens == 40
    session.choose(plain[0])
    assert not session.is_evaluated
    assert session.ids == tuple(PROMPT)


def test_the_marks_of_the_prompt_stay(at_once: int) -> None:
    session, executor = made(True)
    session.sync(PROMPT)
    plain = answer(session, GREEDY, 60)
    session.sync(PROMPT)
    assert answer(session, GREEDY, 60, Oracle([*PROMPT, *plain], 0.7)) == plain
    assert session.sync(PROMPT).reused_tokens == 40
    assert session.sync([*PROMPT[:-3], 1]).reused_tokens == 40 - TAIL


def test_little_is_evaluated_again(at_once: int) -> None:
    session, executor = made(True)
    session.sync(PROMPT)
    plain = answer(session, GREEDY, 60)
    session.sync(PROMPT)
    executor.runs.clear()
    assert answer(session, GREEDY, 60, Oracle([*PROMPT, *plain], 0.5)) == plain
    assert max(n for _, n in executor.runs) <= 8 + 1 + at_once


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("remembers", [False, True], ids=["cache", "memory"])
def test_whatever_happens_the_text_is_the_same(at_once: int, remembers: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    session, executor = made(remembers, chunk=int(rng.integers(1, 30)))
    text = PROMPT[: int(rng.integers(1, 40))]
    session.sync(text)
    plain = answer(session, GREEDY, 60)
    session.sync(text)

    def fail() -> None:
        if rng.random() < 0.2:
            raise KeyboardInterrupt

    executor.fail = fail
    oracle, found = Oracle([*text, *plain], 0.8, seed), list[int]()
    steps = session.generate(GREEDY, speculate=oracle)
    while len(found) < 60:
        try:
            found.append(next(steps).token)
        except KeyboardInterrupt:
            if rng.random() < 0.3:  # another answer goes on
                steps = session.generate(GREEDY, speculate=oracle)
    assert found == plain
    assert session.timeline == (*text, *plain)


def test_logits_that_are_not_finite(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    session, executor = made(False)
    session.sync(PROMPT)
    plain = answer(session, GREEDY, 20)
    wrong = next(t for t in range(N_VOCAB) if t not in [*PROMPT[-1:], *plain])
    executor.poisoned = wrong
    session.sync(PROMPT)

    class Poison(Oracle):
        def propose(self, timeline: Array, n: int) -> list[int]:
            return [*super().propose(timeline, n)[: n - 1], wrong]

    assert answer(session, GREEDY, 20, Poison([*PROMPT, *plain], 1.0)) == plain
    at = max(i for i in range(20) if plain[i] not in plain[:i])  # the last that is new
    executor.poisoned = plain[at]
    monkeypatch.setattr(numerics, "culprit", lambda *_: VatraError("found"))
    session.sync(PROMPT)
    steps = session.generate(GREEDY, speculate=Oracle([*PROMPT, *plain], 1.0))
    assert [next(steps).token for _ in range(at + 1)] == plain[: at + 1]
    with pytest.raises(VatraError, match="found"):
        next(steps)
    assert at > 2


# --- proposals


@pytest.mark.parametrize(
    ("timeline", "n", "expected"),
    [
        ([1, 2, 3, 9, 1, 2], 2, [3, 9]),
        ([1, 2, 3, 9, 1, 2], 3, [3, 9, 1]),
        ([1, 2, 3, 9, 2], 3, []),  # one token is too little
        ([1, 2, 3, 1, 2, 4, 1, 2], 1, [4]),  # the latest
        ([7, 1, 2, 3, 6, 1, 2, 4, 7, 1, 2], 1, [3]),  # the longest
        ([5, 5, 5], 4, [5, 5, 5, 5]),
        ([8, 1, 2, 3, 1, 2, 3], 7, [1, 2, 3, 1, 2, 3, 1]),
        ([4], 3, []),
        ([4, 4], 3, []),
        ([], 3, []),
    ],
)
def test_lookup(timeline: list[int], n: int, expected: list[int]) -> None:
    assert Lookup().propose(np.array(timeline, np.int32), n) == expected


def slow_lookup(text: list[int], least: int, most: int) -> int | None:
    """Where the longest, then latest, repeated end of a text goes on."""
    for n in range(min(most, len(text) - 1), least - 1, -1):
        for at in range(len(text) - 1, n - 1, -1):
            if text[at - n : at] == text[-n:]:
                return at
    return None


@pytest.mark.parametrize("seed", range(20))
def test_lookup_beside_a_plain_search(seed: int) -> None:
    rng = np.random.default_rng(seed)
    least, most = int(rng.integers(1, 4)), int(rng.integers(4, 7))
    for _ in range(40):
        text = rng.integers(0, 3, int(rng.integers(1, 40))).tolist()
        at = slow_lookup(text, least, most)
        expected = [] if at is None else [*text[at:], *text[at:], *text[at:], *text[at:]][:4]
        if at is not None and len(text) - at == 1:
            expected = [text[at]] * 4
        assert Lookup(least, most).propose(np.array(text, np.int32), 4) == expected


@pytest.mark.parametrize(
    "wrong", ["look", 3, object(), Lookup], ids=["a name", "3", "an object", "a class"]
)
def test_what_proposes_nothing(wrong: Any) -> None:
    session, _ = made(False)
    session.sync(PROMPT)
    with pytest.raises((UsageError, TypeError), match="speculate|propose"):
        answer(session, GREEDY, 3, wrong)


# --- a draft model


@pytest.fixture(scope="module")
def toy(spark: Path) -> Iterator[Model]:
    with vatra.load(spark) as model:
        yield model


def test_a_draft_that_is_the_model_itself(toy: Model, at_once: int) -> None:
    plain = toy.generate("Once upon a time", temperature=0, max_tokens=40)
    expected = [step.token for step in plain]
    steps = toy.generate("Once upon a time", temperature=0, max_tokens=40, speculate=Draft(toy))
    assert [step.token for step in steps] == expected
    assert steps.statistics.accepted_tokens == steps.statistics.proposed_tokens > 25 * (at_once > 1)


def test_a_draft_of_drawn_text(toy: Model, at_once: int) -> None:
    draft = Draft(toy, n=2)
    for seed in range(3):
        plain = toy.generate("The cat", max_tokens=30, seed=seed)
        expected = "".join(step.text for step in plain)
        steps = toy.generate("The cat", max_tokens=30, seed=seed, speculate=draft)
        assert "".join(step.text for step in steps) == expected
        assert 0 < steps.statistics.accepted_tokens <= steps.statistics.proposed_tokens


def test_a_draft_with_a_shorter_context(spark: Path, toy: Model, at_once: int) -> None:
    with vatra.load(spark, ctx=16) as small:
        plain = [step.token for step in toy.generate("Once", temperature=0, max_tokens=40)]
        steps = toy.generate("Once", temperature=0, max_tokens=40, speculate=Draft(small))
        assert [step.token for step in steps] == plain
        assert steps.statistics.accepted_tokens > 0


def test_a_draft_with_another_vocabulary(toy: Model, shared: Path) -> None:
    with vatra.load(shared / "models" / "stories260K-f32.gguf", backend="reference") as other:
        with pytest.raises(UsageError, match=r"has another vocabulary than .*: token \d+ is '"):
            toy.generate("Once", speculate=Draft(other))
        with pytest.raises(UsageError, match=f"n: got 8, wanted an integer from 1 to {MOST}"):
            Draft(other, n=8)


def test_vocabularies_of_other_lengths(toy: Model) -> None:
    def draft(texts: list[str], model: str = toy.tokenizer.model) -> Draft:
        other: Any = object.__new__(Draft)
        tokenizer = SimpleNamespace(vocabulary=Words(texts, model))
        other.model = SimpleNamespace(path="draft.gguf", tokenizer=tokenizer)
        return other  # type: ignore[no-any-return]

    texts = toy.tokenizer.vocabulary.texts
    draft([*texts, *["pad"] * 128]).check(toy)
    draft(texts[:-5]).check(toy)
    with pytest.raises(UsageError, match=f"{len(texts) + 129} tokens, not {len(texts)}"):
        draft([*texts, *["pad"] * 129]).check(toy)
    with pytest.raises(UsageError, match="token 5 is 'x', not"):
        draft([*texts[:5], "x", *texts[6:]]).check(toy)
    with pytest.raises(UsageError, match="tokenizer gpt2, not llama"):
        draft(texts, "gpt2").check(toy)


class Words:
    def __init__(self, texts: list[str], model: str) -> None:
        self.texts, self.model = texts, model

    def __len__(self) -> int:
        return len(self.texts)


# --- when it pays


class Clocked:
    """A session whose evaluations take `seconds` for their number of tokens; no logits."""

    def __init__(self, text: Sequence[int], seconds: Callable[[int], float]) -> None:
        self.text, self.seconds, self.now = text, seconds, 0.0
        self.position, self.n_ctx, self.missing = 0, 2**20, 0
        self.state = SimpleNamespace(memories=[])
        self.ahead = 0
        self.sizes: list[int] = []

    @property
    def is_evaluated(self) -> bool:
        return self.ahead > 0

    def logits_for(self, turn: int, proposed: Sequence[int] = ()) -> Any:
        if self.ahead:
            self.ahead -= 1
            return None
        self.sizes.append(1 + len(proposed))
        self.now += self.seconds(1 + len(proposed))
        for i, token in enumerate(proposed):
            if token != self.text[self.position + i]:
                break
            self.ahead += 1
        return None


def timed(
    seconds: Callable[[int], float], share: float, n: int = 1500, proposer: Proposer | None = None
) -> tuple[float, Clocked]:
    """Seconds a token, with proposals of which each is right with probability `share`."""
    text = np.random.default_rng(2).integers(0, N_VOCAB, n + MOST).tolist()
    session = Clocked(text, seconds)
    found: Any = Speculation(
        proposer or Oracle(text, share), N_VOCAB, 2 * n, clock=lambda: session.now
    )
    found.begin([])
    for i in range(n):
        found.logits_for(session, 1, None)
        found.chosen(text[i])
        session.position += 1
    return session.now / n, session


def flat(n: int) -> float:
    return 1.0 + 0.02 * (n - 1)


def dear(n: int) -> float:
    return 0.1 + 0.9 * n


def test_all_are_proposed_where_they_are_right_and_cost_nothing() -> None:
    per_token, session = timed(flat, 1.0)
    assert per_token < 0.17  # 1.16 / 9 at best
    assert np.mean(np.array(session.sizes) == 1 + MOST) > 0.9


def test_none_are_where_they_are_wrong() -> None:
    per_token, session = timed(flat, 0.0)
    assert per_token < 1.01
    misses = math.log(0.02 / 0.5) / math.log(1 - 1 / MEMORY)  # from which on they do not pay
    assert sum(n > 1 for n in session.sizes) <= 1 + misses + 1500 / RETRY


def test_none_are_where_they_are_dear() -> None:
    per_token, session = timed(dear, 0.6)
    assert per_token < 1.015
    assert set(session.sizes[:LEAST]) == {1}


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.8, 0.9])
@pytest.mark.parametrize("slope", [0.1, 0.3, 0.5])
def test_as_many_as_pay(share: float, slope: float) -> None:
    def seconds(n: int) -> float:
        return 1 + slope * (n - 1)

    best = min(seconds(n + 1) / sum(share**i for i in range(n + 1)) for n in range(MOST + 1))
    assert timed(seconds, share)[0] < 1.15 * min(best, 1.0)


def test_a_first_measurement_that_is_wrong() -> None:
    slow = iter([50.0] * 1)
    per_token, _ = timed(lambda n: flat(n) + (next(slow, 0.0) if n > 1 else 0.0), 1.0)
    assert per_token < 0.3


def test_a_proposer_that_is_slow_and_wrong() -> None:
    class Slow(Oracle):
        asked = 0

        def propose(self, timeline: Array, n: int) -> list[int]:
            self.asked += 1
            session.now += 0.5 * n
            return super().propose(timeline, n)

    text = np.random.default_rng(2).integers(0, N_VOCAB, 1508).tolist()
    session = Clocked(text, flat)
    proposer = Slow(text, 0.1)
    found: Any = Speculation(proposer, N_VOCAB, 3000, clock=lambda: session.now)
    found.begin([])
    for i in range(1500):
        found.logits_for(session, 1, None)
        found.chosen(text[i])
        session.position += 1
    assert proposer.asked < 60
    assert session.now < 1.05 * 1500


def test_what_must_be_evaluated_again_counts() -> None:
    """With a memory a wrong proposal costs more than its own evaluation."""
    found = Speculation(Lookup(), N_VOCAB, 100)
    for n in range(1, 20):
        for _ in range(LEAST):
            found._costs[n].add(1 + 0.6 * (n - 1))
    found.rate = 0.7
    assert found.best() == 1 and found.best(costly=True) == 0  # 1.7 tokens for 1.6, and for 1.78
    found.rate = 0.99
    assert found.best(costly=True) > 4


# --- what the promise rests on


@pytest.mark.parametrize("position", [0, 30, 500, 520, 1100])
def test_a_few_tokens_at_once_have_the_bits_of_one_by_one(toy: Model, position: int) -> None:
    rng = np.random.default_rng(position)
    tokens = rng.integers(3, toy.plan.n_vocab, position + 24).astype(np.int32)
    state = toy.executor.new_state(len(tokens))
    for begin in range(0, position, 256):
        end = min(begin + 256, position)
        toy.executor.run(state, tokens[begin:end], begin, "none")
    one_by_one = [
        toy.executor.run(state, tokens[i : i + 1], i)[0].copy()
        for i in range(position, len(tokens))
    ]
    for n in (2, 3, 4, 5, 6, 9, 17, 24):
        rows = toy.executor.run(state, tokens[position : position + n], position, "all")
        expected = np.array(one_by_one[:n])
        np.testing.assert_array_equal(rows.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize(
    "name",
    ["llama-dense", "llama-moe", "gemma2-dense", "gpt-oss-moe", "deepseek2-moe",
     "lfm2-dense", "mamba2-dense", "qwen35-dense"],
)  # fmt: skip
def test_other_architectures(shared: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(Speculation, "best", lambda *_, **__: 4)
    path = shared / "golden" / "archs" / f"{name}.gguf"
    prompt = np.load(path.with_suffix(".npz"))["tokens"][:40]
    with vatra.load(path, ctx=128) as model:
        for sampling in (GREEDY, Sampling(temperature=2.0, top_k=0, top_p=1, min_p=0, seed=1)):
            session = model.session()
            session.sync(prompt)
            plain = answer(session, sampling, 60)
            session.sync(prompt)
            known = Oracle([*prompt, *plain], 0.7)
            assert answer(session, sampling, 60, known) == plain
