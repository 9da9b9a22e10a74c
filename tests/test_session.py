"""Sessions: what is evaluated, what is reused, and what remains true when something stops half-way.

`Recorder` stands for an executor: its logits depend on every token from the first on, as it finds
them in its own cache, so that a wrong position or a stale cache changes the answer.
"""

from __future__ import annotations

from collections.abc import Callable
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
from vatra.engine.session import TAIL, ContextFull, Session
from vatra.errors import BadFile, UnsupportedFile, UsageError
from vatra.models.plan import Memory

N_VOCAB = 31
GREEDY = Sampling(temperature=0)


class Recorder:
    """An executor over a fixed random table; notes every run, and may be told to fail."""

    edition = ()

    def __init__(self) -> None:
        self.plan: Any = SimpleNamespace(
            n_positions=None,
            causal=True,
            embeds=False,
            n_vocab=N_VOCAB,
            n_ctx_train=64,
            architecture="none",
        )
        self.table = np.random.default_rng(5).normal(size=(N_VOCAB, N_VOCAB)).astype(np.float32)
        self.runs: list[tuple[list[int], int, str]] = []
        self.fail: Callable[[], None] = lambda: None
        self.n_states = 0

    def new_state(self, n_ctx: int, kv: str = "f16") -> Any:
        self.n_states += 1
        return SimpleNamespace(
            n_ctx=n_ctx,
            tokens=np.full(n_ctx, -1),
            used=0,
            memories=[],
            mark=lambda: None,
            rewind=lambda position: position,
            holds=lambda position: True,
            is_current=lambda position: True,
            is_of=lambda edition, position: True,
        )

    def logits_after(self, tokens: list[int]) -> np.ndarray:
        total = np.zeros(N_VOCAB, np.float32)
        for position, token in enumerate(tokens):
            total += self.table[token] * np.float32(1 / (len(tokens) - position) ** 2)
        return total

    def run(
        self, state: Any, tokens: np.ndarray, position: int, outputs: str = "last"
    ) -> np.ndarray:
        assert tokens.dtype == np.int32 and tokens.ndim == 1 and len(tokens)
        assert 0 <= position <= state.used, "a hole in the cache"
        assert position + len(tokens) <= state.n_ctx, "past the end of the cache"
        self.runs.append((tokens.tolist(), position, outputs))
        half = len(tokens) // 2  # an interrupt comes when some of it is written
        state.tokens[position : position + half] = tokens[:half]
        state.used = position
        self.fail()
        state.tokens[position : position + len(tokens)] = tokens
        state.used = position + len(tokens)
        ends = {"all": range(position, state.used), "last": [state.used - 1], "none": []}[outputs]
        rows = [self.logits_after(state.tokens[: end + 1].tolist()) for end in ends]
        return np.array(rows, np.float32).reshape(-1, N_VOCAB)


def make(n_ctx: int = 64) -> tuple[Session, Recorder]:
    executor = Recorder()
    checkpoint: Any = SimpleNamespace(
        path="m.gguf", metadata={}, tensors={}, close=lambda: None, check_unchanged=lambda: None
    )
    no_text = UnsupportedFile("m.gguf", "has no tokenizer")
    model = Model(checkpoint, executor.plan, executor, no_text, n_ctx=n_ctx)  # type: ignore[arg-type]
    return model.session(), executor


def greedy(executor: Recorder, prompt: list[int], n: int) -> list[int]:
    """The answer without any session or cache."""
    ids = list(prompt)
    for _ in range(n):
        ids.append(int(executor.logits_after(ids).argmax()))
    return ids[len(prompt) :]


def tokens(session: Session, n: int) -> list[int]:
    return [step.token for step in session.generate(GREEDY, n)]


def test_answers_are_those_without_a_session() -> None:
    session, executor = make()
    session.sync([3, 1, 4])
    assert tokens(session, 10) == greedy(executor, [3, 1, 4], 10)
    assert session.position == 12  # the last one is chosen, not evaluated
    assert session.timeline == (3, 1, 4, *greedy(executor, [3, 1, 4], 10))


def test_generating_again_goes_on() -> None:
    session, executor = make()
    session.sync([3, 1, 4])
    assert tokens(session, 4) + tokens(session, 6) == greedy(executor, [3, 1, 4], 10)


def test_only_the_difference_is_evaluated() -> None:
    session, executor = make()
    session.sync([1, 2, 3, 4])
    executor.runs.clear()
    assert session.sync([1, 2, 3, 4, 5, 6]).reused_tokens == 4
    assert executor.runs == [([5, 6], 4, "last")]
    executor.runs.clear()
    assert session.sync([1, 2, 9, 4]).reused_tokens == 2
    assert executor.runs == [([9, 4], 2, "last")]
    executor.runs.clear()
    assert session.sync([1, 2, 9, 4]).prompt_tokens == 0
    assert executor.runs == []
    session.sync([1, 2])  # a shorter text needs the logits of its last token
    assert executor.runs == [([2], 1, "last")]
    assert tokens(session, 5) == greedy(executor, [1, 2], 5)
    session.sync([])
    assert session.ids == ()


def test_the_answer_is_reused_by_the_next_turn() -> None:
    session, executor = make()
    ids = [1, 2, 3]
    for turn in range(4):
        session.sync(ids)
        ids += tokens(session, 5) + [7, turn]
        executor.runs.clear()
        assert session.sync(ids).reused_tokens == len(ids) - 3  # its last token, and the new two
        assert [run[0] for run in executor.runs] == [ids[-3:]]
        assert tokens(session, 3) == greedy(executor, ids, 3)


@pytest.mark.parametrize("chunk", [1, 2, 7, 64])
def test_chunks(chunk: int) -> None:
    session, executor = make()
    session._chunk = chunk
    ids = [int(i) for i in np.random.default_rng(chunk).integers(0, N_VOCAB, 40)]
    seen: list[tuple[int, int]] = []
    session.sync(ids, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(min(i + chunk, 40), 40) for i in range(0, 40, chunk)]
    assert [r[2] for r in executor.runs] == ["none"] * (len(seen) - 1) + ["last"]
    assert tokens(session, 8) == greedy(executor, ids, 8)


@pytest.mark.parametrize("wrong", [[0, N_VOCAB], [-1], [2**40], [1.5], ["a"], [[1]], [True, 2.5]])
def test_ids_that_are_none(wrong: Any) -> None:
    session, executor = make()
    session.sync([1, 2])
    with pytest.raises((UsageError, ValueError), match="ids"):
        session.sync(wrong)
    assert tokens(session, 3) == greedy(executor, [1, 2], 3)


def test_ids_may_come_as_anything() -> None:
    session, _ = make()
    given: list[Any] = [(1, 2), np.array([1, 2], np.uint16), iter([1, 2]), [np.int64(1), 2]]
    for ids in given:
        session.sync(ids)
        assert session.ids == (1, 2)


# --- the edges of the context


@pytest.mark.parametrize("n_prompt", [1, 5, 6, 7, 8])
def test_generating_past_the_end(n_prompt: int) -> None:
    session, executor = make(n_ctx=8)
    prompt = list(range(1, n_prompt + 1))
    session.sync(prompt)
    steps = session.generate(GREEDY)
    found = [step.token for step in steps]
    assert steps.finish_reason == "length"
    assert found == greedy(executor, prompt, 8 - n_prompt + 1)
    assert session.is_full
    with pytest.raises(ContextFull, match="9 tokens, but the context holds 8"):
        next(session.generate(GREEDY))
    assert tokens_after_sync(session, [1, 2], 3) == greedy(executor, [1, 2], 3)


def tokens_after_sync(session: Session, ids: list[int], n: int) -> list[int]:
    session.sync(ids)
    return tokens(session, n)


@pytest.mark.parametrize("n", [9, 10, 1000])
def test_a_prompt_that_is_too_long(n: int) -> None:
    session, executor = make(n_ctx=8)
    session.sync([1, 2, 3])
    with pytest.raises(
        ContextFull, match=rf"the text has {n} tokens, but the context holds 8"
    ) as found:
        session.sync([1] * n)
    assert (found.value.n_tokens, found.value.n_ctx, found.value.exit_code) == (n, 8, 2)
    assert tokens(session, 3) == greedy(executor, [1, 2, 3], 3)
    with pytest.raises(ContextFull):
        session.model.logits([1] * n)


def test_ending_for_length_before_the_context_is_full() -> None:
    session, _ = make(n_ctx=8)
    session.sync([1, 2])
    assert len(tokens(session, 3)) == 3
    assert not session.is_full


def test_nothing_to_continue() -> None:
    session, _ = make()
    with pytest.raises(UsageError, match="sync at least one token"):
        session.generate(GREEDY)


# --- stopping half-way


@pytest.mark.parametrize("after", range(1, 6))
def test_a_consumer_that_stops_early(after: int) -> None:
    session, executor = make()
    session.sync([3, 1, 4])
    steps = session.generate(GREEDY, 20)
    found = [next(steps).token for _ in range(after)]
    steps.close()
    assert list(steps) == []
    assert session.timeline == (3, 1, 4, *found)
    assert session.ids == (3, 1, 4, *found[:-1])
    assert found + tokens(session, 5) == greedy(executor, [3, 1, 4], after + 5)


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("at", range(8))
def test_an_interrupt_while_writing(at: int) -> None:
    session, executor = make()
    session.sync([3, 1, 4])
    steps = session.generate(GREEDY, 20)
    found = [next(steps).token for _ in range(at)]
    if at:
        executor.fail = interrupt
        with pytest.raises(KeyboardInterrupt):
            next(steps)
        executor.fail = lambda: None
    assert session.ids == tuple([3, 1, 4, *found][: max(3, 2 + at)])
    found += [next(steps).token for _ in range(4)]
    assert found == greedy(executor, [3, 1, 4], at + 4)


@pytest.mark.parametrize("at", range(5))
def test_an_interrupt_while_reading(at: int) -> None:
    session, executor = make()
    session._chunk = 4
    session.sync([1, 2])
    runs = iter(range(100))

    def fail() -> None:
        if next(runs) == at:
            raise KeyboardInterrupt

    executor.fail = fail
    ids = [1, 2, *range(3, 22)]
    with pytest.raises(KeyboardInterrupt):
        session.sync(ids)
    executor.fail = lambda: None
    assert list(session.ids) == ids[: 2 + 4 * at]
    assert session.statistics.prompt_tokens == 4 * at
    executor.runs.clear()
    # What was read goes on being right, whether it is continued or synced again.
    assert tokens(session, 2) == greedy(executor, ids[: 2 + 4 * at], 2)
    assert tokens_after_sync(session, ids, 3) == greedy(executor, ids, 3)


def test_an_interrupt_from_progress() -> None:
    session, executor = make()
    session._chunk = 4
    with pytest.raises(KeyboardInterrupt):
        session.sync(range(12), progress=lambda done, _: interrupt() if done == 8 else None)
    assert session.ids == tuple(range(8))
    assert tokens(session, 2) == greedy(executor, list(range(8)), 2)


def test_an_answer_can_not_go_on_in_another_text() -> None:
    session, _ = make()
    session.sync([1, 2])
    steps = session.generate(GREEDY)
    next(steps)
    session.sync([1, 3])
    with pytest.raises(UsageError, match="its session has been used for another text"):
        next(steps)


def test_two_sessions_do_not_meet() -> None:
    session, executor = make()
    other = session.model.session()
    session.sync([1, 2])
    other.sync([5])
    a, b = session.generate(GREEDY, 6), other.generate(GREEDY, 6)
    found = [(x.token, y.token) for x, y in zip(a, b, strict=True)]
    assert [x for x, _ in found] == greedy(executor, [1, 2], 6)
    assert [y for _, y in found] == greedy(executor, [5], 6)


def test_without_a_tokenizer_there_are_tokens_but_no_text() -> None:
    session, _ = make()
    session.sync([1])
    assert [step.text for step in session.generate(GREEDY, 3)] == ["", "", ""]
    with pytest.raises(UnsupportedFile, match="has no tokenizer"):
        session.generate(GREEDY, 3, stop=["x"])


def test_a_seed_gives_the_same_text() -> None:
    def answer(seed: int) -> list[int]:
        session, _ = make()
        session.sync([1, 2])
        return [step.token for step in session.generate(Sampling(2.0, seed=seed), 30)]

    assert answer(1) == answer(1) != answer(2)


# --- models with memories of all tokens so far


class Remembering(Recorder):
    """The same for a model that keeps a sum over all tokens, which only a mark can undo."""

    def __init__(self) -> None:
        super().__init__()
        memories = [Memory("sum", (N_VOCAB,))]
        self.plan = SimpleNamespace(
            n_positions=None,
            causal=True,
            embeds=False,
            n_vocab=N_VOCAB,
            n_ctx_train=64,
            architecture="none",
            caches=[],
            memories=memories,
        )

    def new_state(self, n_ctx: int, kv: str = "f16") -> Any:
        self.n_states += 1
        return State(self, n_ctx, "f32")  # type: ignore[arg-type]

    def logits_after(self, tokens: list[int]) -> np.ndarray:
        total = np.zeros(N_VOCAB, np.float32)
        for token in tokens:
            total = self.after(total, token)
        return total

    def after(self, total: np.ndarray, token: int) -> np.ndarray:
        found: np.ndarray = total * np.float32(0.75) + self.table[token]
        return found

    def run(
        self, state: Any, tokens: np.ndarray, position: int, outputs: str = "last"
    ) -> np.ndarray:
        tokens = checked(self, state, tokens, position, outputs)  # type: ignore[arg-type]
        self.runs.append((tokens.tolist(), position, outputs))
        memory, rows = state.memories[0], []
        with state.running(position, len(tokens)):
            for i, token in enumerate(tokens):
                if i == len(tokens) // 2:
                    self.fail()
                memory[:] = self.after(memory, token)
                rows.append(memory.copy())
        kept = {"all": rows, "last": rows[-1:], "none": []}[outputs]
        return np.array(kept, np.float32).reshape(-1, N_VOCAB)


def remembering(chunk: int = 256) -> tuple[Session, Remembering]:
    executor = Remembering()
    checkpoint: Any = SimpleNamespace(
        path="m.gguf", metadata={}, tensors={}, close=lambda: None, check_unchanged=lambda: None
    )
    no_text = UnsupportedFile("m.gguf", "has no tokenizer")
    model = Model(checkpoint, executor.plan, executor, no_text, n_ctx=256)  # type: ignore[arg-type]
    return Session(model, chunk=chunk), executor


def evaluated(executor: Recorder) -> int:
    """Tokens evaluated since the last call."""
    n = sum(len(tokens) for tokens, _, _ in executor.runs)
    executor.runs.clear()
    return n


PROMPT = [i * 7 % N_VOCAB for i in range(40)]


def test_a_prompt_asked_again_needs_nothing() -> None:
    session, executor = remembering()
    session.sync(PROMPT)
    assert evaluated(executor) == 40
    first = tokens(session, 9)
    assert first == greedy(executor, PROMPT, 9)
    assert evaluated(executor) == 8
    for _ in range(3):
        assert session.sync(PROMPT).reused_tokens == 40
        assert evaluated(executor) == session.statistics.prompt_tokens == 0
        assert tokens(session, 9) == first
        executor.runs.clear()


def test_the_next_turn_goes_on() -> None:
    session, executor = remembering()
    ids = list(PROMPT)
    for turn in range(4):
        session.sync(ids)
        ids += tokens(session, 5) + [7, turn]
        executor.runs.clear()
        assert session.sync(ids).reused_tokens == len(ids) - 3
        assert evaluated(executor) == 3
        assert tokens(session, 3) == greedy(executor, ids, 3)


def test_a_next_turn_without_the_end_of_the_last_prompt() -> None:
    session, executor = remembering()
    ids = list(PROMPT)
    for turn in range(6):  # a template that begins an answer otherwise than it repeats it
        session.sync([*ids, 1, 2, 3, 4])
        thought = tokens(session, 20)
        assert thought == greedy(executor, [*ids, 1, 2, 3, 4], 20)
        executor.runs.clear()
        reused = len(ids) + 4 - TAIL  # the mark before the end of the prompt
        ids += [1, 2, 5, *thought[10:], turn, turn, 6]
        assert session.sync([*ids, 1, 2, 3, 4]).reused_tokens == reused
        assert evaluated(executor) == len(ids) + 4 - reused == session.statistics.prompt_tokens
        assert tokens(session, 5) == greedy(executor, [*ids, 1, 2, 3, 4], 5)


@pytest.mark.parametrize("common", [0, 1, 20, 39 - TAIL, 40 - TAIL, 39])
def test_another_text(common: int) -> None:
    session, executor = remembering(chunk=7)
    session.sync(PROMPT)
    tokens(session, 3)
    executor.runs.clear()
    wanted = [*PROMPT[:common], 30, 29, 28]
    reused = 40 - TAIL if common >= 40 - TAIL else 0
    assert session.sync(wanted).reused_tokens == reused
    assert evaluated(executor) == len(wanted) - reused
    assert tokens(session, 6) == greedy(executor, wanted, 6)


def test_another_text_as_long_as_the_last_prompt() -> None:
    session, executor = remembering(chunk=8)
    session.sync(PROMPT)
    wanted = [30] * (40 + TAIL)  # with a mark after 40, where the last prompt ended
    with pytest.raises(KeyboardInterrupt):
        session.sync(wanted, progress=lambda done, _: interrupt() if done >= 48 else None)
    session.sync(wanted[:40])
    assert tokens(session, 3) == greedy(executor, wanted[:40], 3)


@pytest.mark.parametrize("at", range(12))
def test_an_interrupt_leaves_nothing_half_done(at: int) -> None:
    session, executor = remembering(chunk=8)
    runs = iter(range(100))

    def fail() -> None:
        if next(runs) == at:
            raise KeyboardInterrupt

    executor.fail = fail
    with pytest.raises(KeyboardInterrupt):
        session.sync(PROMPT)
        tokens(session, 20)
    ids = list(session.timeline)
    if session.ids:
        assert tokens(session, 4) == greedy(executor, ids, 4)
    executor.runs.clear()
    statistics = session.sync([*PROMPT, 3])
    assert statistics.reused_tokens + evaluated(executor) == 41
    assert tokens(session, 6) == greedy(executor, [*PROMPT, 3], 6)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_the_answers_are_right(seed: int) -> None:
    rng = np.random.default_rng(seed)
    session, executor = remembering(chunk=int(rng.integers(1, 30)))

    def fail() -> None:
        if rng.random() < 0.15:
            raise KeyboardInterrupt

    executor.fail = fail
    for _ in range(60):
        now = list(session.timeline)[: int(rng.integers(0, 100))]
        wanted = now + rng.integers(0, N_VOCAB, int(rng.integers(0, 30))).tolist() or [1]
        try:
            executor.runs.clear()
            statistics = session.sync(wanted)
            assert evaluated(executor) == statistics.prompt_tokens
            assert statistics.reused_tokens + statistics.prompt_tokens == len(wanted)
            steps = session.generate(GREEDY, 12)
            found: list[int] = []
            while not steps.closed:
                try:
                    found.append(next(steps).token)
                except KeyboardInterrupt:
                    if rng.random() < 0.5:  # the answer goes on, or it does not
                        break
            assert found == greedy(executor, wanted, len(found))
            assert list(session.timeline) == wanted + found
        except KeyboardInterrupt:
            assert list(session.timeline) == wanted[: len(session.timeline)]


@pytest.mark.parametrize("name", ["lfm2", "mamba2", "qwen35"])
def test_a_real_model_with_memories(shared: Path, name: str) -> None:
    golden = np.load(shared / "golden" / "archs" / f"{name}-dense.npz")["tokens"]
    path = shared / "golden" / "archs" / f"{name}-dense.gguf"
    with vatra.load(path, backend="reference", kv="f32", ctx=128) as model:
        wanted = [*golden[:40], *golden[:30]]
        expected = model.logits(wanted)
        session = Session(model, chunk=13)
        session.sync(golden[:40])
        first = tokens(session, 6)
        assert session.sync(golden[:40]).reused_tokens == 40
        assert tokens(session, 6) == first
        assert session.sync([*golden[:35], 1]).reused_tokens == 40 - TAIL
        session.sync(golden[:40])
        session.sync(wanted)
        found = session.logits_for(session.begin_answer())
        assert np.abs(found - expected[-1]).max() <= 1e-4 * np.abs(expected[-1]).max()


# --- logits that are not finite


def poisoned(shared: Path, name: str, index: tuple[int, ...], value: float, tmp_path: Path) -> Path:
    """A copy of the small model in which one weight is `value`."""
    path = shared / "models" / "stories260K-f32.gguf"
    with vatra.formats.gguf.read(path) as checkpoint:
        tensor = checkpoint.tensors[name]
        byte = tensor.offset + 4 * int(np.ravel_multi_index(index, tensor.shape))
    raw = bytearray(path.read_bytes())
    raw[byte : byte + 4] = np.float32(value).tobytes()
    made = tmp_path / "poisoned.gguf"
    made.write_bytes(raw)
    return made


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("token_embd.weight", (403, 5)),
        ("blk.0.attn_norm.weight", (7,)),
        ("blk.1.attn_q.weight", (3, 9)),
        ("blk.2.attn_k.weight", (0, 0)),
        ("blk.3.attn_v.weight", (31, 63)),
        ("blk.4.ffn_down.weight", (63, 100)),
        ("blk.4.ffn_gate.weight", (1, 2)),
        ("output_norm.weight", (63,)),
    ],
)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_weight_to_blame_is_named(
    shared: Path, tmp_path: Path, name: str, index: tuple[int, ...], value: float
) -> None:
    path = poisoned(shared, name, index, value, tmp_path)
    with (
        np.errstate(all="ignore"),
        pytest.raises(BadFile) as found,
        vatra.load(path, backend="reference", ctx=32) as model,  # refuses vectors itself
    ):
        session = model.session()
        try:
            session.sync([1, 403, 407, 261, 378])
        finally:
            assert session.ids == ()
    error = found.value
    assert error.exit_code == 65
    assert error.field == name
    byte = error.byte
    assert byte is not None
    there = np.frombuffer(path.read_bytes()[byte : byte + 4], np.float32)
    assert np.array_equal(there, np.array([value], np.float32), equal_nan=True)
    assert str(np.float32(value)) in error.what


def test_the_activation_to_blame_is_named(shared: Path, tmp_path: Path) -> None:
    path = poisoned(shared, "blk.2.ffn_up.weight", (3, 4), 3e38, tmp_path)
    raw = bytearray(path.read_bytes())
    with vatra.formats.gguf.read(path) as checkpoint:
        down = checkpoint.tensors["blk.2.ffn_down.weight"]
        at, n = down.offset, down.nbytes
    raw[at : at + n] = np.full(n // 4, 3e38, np.float32).tobytes()
    path.write_bytes(raw)
    blamed = r"activation blk\.2\.ffn_.*though every weight is finite"
    with (
        np.errstate(all="ignore"),
        vatra.load(path, backend="reference", ctx=32) as model,
        pytest.raises(BadFile, match=blamed),
    ):
        model.session().sync([1, 403, 407, 261, 378])


def test_finite_in_f32_only(spark: Path) -> None:
    with vatra.load(spark, backend="reference") as model:
        with pytest.raises(BadFile, match="too large for the f16 KV cache"):
            numerics.check_finite(np.array([[np.inf]]), model, [1, 2])
        numerics.check_finite(np.zeros((2, 3)), model, [1, 2])


# --- a real model


def test_200_greedy_tokens(shared: Path) -> None:
    golden = np.load(shared / "golden" / "stories260K.npz")
    with vatra.load(shared / "models" / "stories260K-f32.gguf", backend="reference") as model:
        session = model.session()
        session.sync(golden["prompt"])
        steps = session.generate(GREEDY, 200)
        assert [step.token for step in steps] == golden["tokens"][len(golden["prompt"]) :].tolist()
        written = (shared / "golden" / "stories260K.txt").read_text()
        assert " Once upon a time" + steps.text == written.rstrip("\n")
        found = model.logits(golden["tokens"][:-1])
        difference = found.astype(np.float64) - golden["logits"]
        assert (difference**2).sum() / (golden["logits"].astype(np.float64) ** 2).sum() <= 1e-10


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_chunks_of_a_real_prompt(shared: Path, chunk: int) -> None:
    golden = np.load(shared / "golden" / "stories260K.npz")["tokens"]
    with vatra.load(shared / "models" / "stories260K-f32.gguf", backend="reference") as model:
        session = Session(model, chunk=chunk)
        session.sync(golden[:100])
        session.sync(golden[:150])  # reuses the first hundred
        assert session.statistics.reused_tokens == 100
        assert [s.token for s in session.generate(GREEDY, 20)] == golden[150:170].tolist()
