"""Caches of layers that read a window of positions: they keep a ring of them, and lose nothing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vatra.engine.cpu import CpuExecutor
from vatra.engine.executor import KVType, State
from vatra.engine.kernels import layout
from vatra.engine.lowering.steps import MAX_TOKENS
from vatra.engine.reference import ReferenceExecutor
from vatra.engine.requirements import requirements
from vatra.engine.session import Session
from vatra.errors import UsageError
from vatra.models import verbs
from vatra.models.plan import Plan, Tensor
from vatra.models.weights import Matrix
from vatra.quant import by_name
from vatra.quant.tensor import QTensor

Array = np.ndarray
N_VOCAB, WIDTH, HEADS, KV_HEADS, DIM = 50, 64, 4, 2, 32
WINDOW, CHUNK, BACK = 100, 64, 256
PAGE = layout.PAGE
RING = -(-(WINDOW + BACK + layout.AMX_SPAN) // 64) * 64
N = 2 * RING + 256
TOKENS = np.random.default_rng(3).integers(0, N_VOCAB, N).astype(np.int32)


@cache
def plan() -> Plan:
    """A layer that sees all, one that sees a window, one that sees chunks, one without own keys."""
    rng = np.random.default_rng(7)

    def matrix(name: str, rows: int, columns: int, size: float = 1.0) -> Matrix:
        values = size * columns**-0.5 * rng.standard_normal((rows, columns)).astype(np.float32)
        return Matrix(name, QTensor(name, by_name("f32"), (rows, columns), values.view(np.uint8)))

    made = Plan("rings", N_VOCAB, 10 * N)
    x = verbs.embed(made, matrix("token_embd", N_VOCAB, WIDTH, 8.0))

    def heads(name: str, n: int) -> Tensor:
        return verbs.linear(x, matrix(name, n * DIM, WIDTH), DIM)

    kinds: list[dict[str, Any]] = [{}, {"window": WINDOW}, {"chunk": CHUNK}]
    for i, kind in enumerate(kinds):
        qkv = heads(f"q{i}", HEADS), heads(f"k{i}", KV_HEADS), heads(f"v{i}", KV_HEADS)
        y = verbs.attention(*qkv, DIM**-0.5, **kind)
        x = verbs.add(x, verbs.linear(verbs.reshape(y, y.width), matrix(f"o{i}", WIDTH, y.width)))
    y = verbs.attention_again(heads("q3", HEADS), made.caches[1], DIM**-0.5)
    x = verbs.add(x, verbs.linear(verbs.reshape(y, y.width), matrix("o3", WIDTH, y.width)))
    verbs.linear(verbs.select_outputs(x), matrix("output", N_VOCAB, WIDTH), name="logits")
    return made


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "BACK", BACK)


def whole(executor: CpuExecutor, kv: KVType, n_ctx: int = N) -> State:
    """A state whose caches keep every position."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "kv_capacity", lambda n_ctx, window: n_ctx)
        return executor.new_state(n_ctx, kv)


def read(executor: Any, state: State, begin: int, end: int, chunk: int) -> Iterator[Array]:
    """The last logits of each run over TOKENS."""
    for i in range(begin, end, chunk):
        yield executor.run(state, TOKENS[i : min(i + chunk, end)], i)


def same(found: Iterator[Array], wanted: Iterator[Array]) -> None:
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


@pytest.mark.parametrize(
    ("chunk", "threads", "kv"),
    [
        (1, 2, "f16"),
        (7, 1, "f16"),
        (7, 2, "q8_0"),
        (256, 2, "f16"),
        (256, 1, "q8_0"),
        (N, 2, "f16"),
    ],
)
def test_a_ring_gives_what_a_whole_cache_gives(chunk: int, threads: int, kv: KVType) -> None:
    executor = CpuExecutor(plan(), threads)
    ring, all_of_it = executor.new_state(N, kv), whole(executor, kv)
    assert [len(k) * PAGE for k in ring.keys] == [N, RING, CHUNK + BACK + 256]
    same(read(executor, ring, 0, N, chunk), read(executor, all_of_it, 0, N, chunk))


def test_the_reference_gives_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "AMX_TOKENS", 2**62)
    executor, reference = CpuExecutor(plan(), 2), ReferenceExecutor(plan())
    n = RING + 40
    wanted = reference.run(reference.new_state(n, "f32"), TOKENS[:n], 0, "all")
    found = executor.run(executor.new_state(n, "f32"), TOKENS[:n], 0, "all")
    np.testing.assert_allclose(found, wanted, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("back", [1, 7, 64, BACK])
@pytest.mark.parametrize("end", [RING, RING + 1, 2 * RING - 30])
def test_going_back_a_little(end: int, back: int) -> None:
    """Other tokens are read first, then the right ones again from `back` positions before."""
    executor = CpuExecutor(plan(), 2)
    state, wanted = executor.new_state(N), whole(executor, "f16")
    list(read(executor, wanted, 0, end - back, 256))
    list(read(executor, state, 0, end - back, 256))
    for _ in range(3):  # as often as one likes
        executor.run(state, TOKENS[:back], end - back)
        assert state.rewind(end - back) == end - back
    more = end + 100
    same(read(executor, state, end - back, more, 9), read(executor, wanted, end - back, more, 9))


def test_going_back_too_far() -> None:
    executor, reference = CpuExecutor(plan(), 2), ReferenceExecutor(plan())
    state = executor.new_state(N)
    list(read(executor, state, 0, N, 256))
    far = N - RING + WINDOW - 1  # a token here reads the position that was overwritten last
    with pytest.raises(UsageError, match=f"position {far}: .* no longer there"):
        executor.run(state, TOKENS[:1], far)
    assert state.rewind(far) == 0
    assert state.rewind(N - BACK) == N - BACK  # nothing has changed yet
    executor.run(state, TOKENS[:5], N - BACK)
    assert state.rewind(far + 10) == 0, "what was overwritten does not come back"
    end = RING + 20
    found = read(executor, state, 0, end, 256)
    same(found, read(executor, whole(executor, "f16"), 0, end, 256))
    assert state.rewind(end - 50) == end - 50
    other = reference.new_state(N)
    reference.run(other, TOKENS[:5], N - 5)
    assert other.rewind(far) == far, "the reference keeps all positions"


def test_a_session_reads_again_what_is_gone() -> None:
    executor = CpuExecutor(plan(), 2)

    def session() -> Session:
        run = executor.run
        model: Any = SimpleNamespace(executor=executor, n_ctx=N, kv="f16", plan=plan(), run=run)
        return Session(model)

    used, texts = session(), [TOKENS[: 2 * RING].tolist()]
    texts += [[*texts[0][:RING], 1, 2, 3], [*texts[0][:RING], 1, 4]]
    for text, reused in zip(texts, (0, 0, RING + 1), strict=True):
        assert used.sync(text).reused_tokens == reused
        fresh = session()
        fresh.sync(text[:reused])
        fresh.sync(text)
        np.testing.assert_array_equal(
            used.logits_for(used.begin_answer()), fresh.logits_for(fresh.begin_answer())
        )


def test_what_is_not_held_is_not_read() -> None:
    """All older keys and values are made NaN, which must not show."""
    executor = CpuExecutor(plan(), 2)
    state, wanted = executor.new_state(N), whole(executor, "f16")
    end = 2 * RING + 77
    list(read(executor, state, 0, end, 256))
    list(read(executor, wanted, 0, end, 256))
    first = end - 130
    while state.holds(first - 1):
        first -= 1
    touched = layout.first_read(first, WINDOW)
    older = range(-(-(end - RING) // 16) * 16, touched, 16)
    assert len(older) > 1
    for side in (state.keys, state.values):
        for position in older:
            side[1][position % RING // PAGE, :, position % PAGE // 16] = np.nan
    same(read(executor, state, first, first + 5, 1), read(executor, wanted, first, first + 5, 1))


def test_memory_of_a_window() -> None:
    window = layout.kv_capacity(2**17, WINDOW)
    per_token = 2 * KV_HEADS * DIM * 2
    for n_ctx in (50, RING, 2**17):
        needed = requirements(plan(), CpuExecutor, n_ctx, "f16").kv_cache
        chunk = min(n_ctx, CHUNK + BACK + 256)
        assert needed == per_token * (n_ctx + min(n_ctx, window) + chunk)
        if n_ctx <= N:
            state = CpuExecutor(plan(), 1).new_state(n_ctx)
            assert sum(a.nbytes for a in (*state.keys, *state.values)) == per_token * sum(
                -(-n // PAGE) * PAGE for n in (n_ctx, min(n_ctx, window), chunk)
            )


def test_a_run_fits_beside_what_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert layout.BACK >= MAX_TOKENS
    for window in (1, 100, 128, 1024, 4096):
        capacity = layout.kv_capacity(2**20, window)
        assert capacity % PAGE == 0
        for position in range(10_000, 10_300):
            end = position + MAX_TOKENS
            assert layout.first_read(position, window) >= end - capacity
