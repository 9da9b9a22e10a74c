"""Pages of KV caches: taken as a text grows, shared where texts begin alike, given back."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vatra
from vatra.engine.cpu import CpuExecutor
from vatra.engine.executor import Executor, KVType, Part, State
from vatra.engine.kernels import layout
from vatra.engine.kernels.layout import PAGE
from vatra.engine.pages import OutOfPages, Pages, PageTable, Shape
from vatra.engine.reference import ReferenceExecutor
from vatra.errors import OutOfMemory, UsageError

Array = np.ndarray
N = 5 * PAGE + 20
SHAPE = Shape((2, 3), (2, 5), np.float32)


@pytest.fixture(scope="module")
def plan(spark: Path) -> Any:
    return vatra.load(spark, ctx=64).plan


@pytest.fixture
def executor(request: pytest.FixtureRequest, plan: Any) -> Executor:
    if request.param == "kernels":
        return CpuExecutor(plan, 2)
    shared: Path = request.getfixturevalue("shared")  # of a smaller model
    return ReferenceExecutor(vatra.load(shared / "golden/archs/llama-dense.gguf", ctx=64).plan)


def text(seed: int, n: int = N) -> Array:
    return np.random.default_rng(seed).integers(0, 60, n).astype(np.int32)


def same(found: Array, wanted: Array) -> None:
    np.testing.assert_array_equal(found.view(np.uint32), wanted.view(np.uint32))


def alone(executor: Executor, tokens: Array, kv: KVType = "f16", cut: int = 0) -> Array:
    """The last logits in memory of its own, where the first `cut` tokens are a run."""
    state = executor.new_state(len(tokens), kv)
    if cut:
        executor.run(state, tokens[:cut], 0, "none")
    return executor.run(state, tokens[cut:], cut)


def held(pages: Pages, ids: tuple[int, ...]) -> list[Array]:
    return [side[list(ids)] for side in (*pages.keys, *pages.values)]


def test_who_holds_what() -> None:
    pages = Pages([SHAPE, SHAPE], 3)
    assert (pages.n_free, pages.page_bytes) == (3, 2 * 2 * (3 + 5) * 4)
    first, second = pages.take(), pages.take()
    pages.hold(first)
    pages.take()
    with pytest.raises(OutOfPages, match=f"all 3 pages of the KV cache, {3 * PAGE} tokens"):
        pages.take()
    pages.release(first)
    assert (pages.n_free, pages.holders(first)) == (0, 1)
    pages.release(first)
    assert pages.n_free == 1
    for wrong in (first, 3, -1):
        with pytest.raises(UsageError, match=f"page {wrong} is held by nobody"):
            pages.release(wrong)
        with pytest.raises(UsageError, match=f"page {wrong} is held by nobody"):
            pages.hold(wrong)
    assert pages.take() == first != second


def test_a_table_that_is_a_ring() -> None:
    table = PageTable(Pages([SHAPE], 3), 8 * PAGE, 3 * PAGE)
    table.make_room(0, PAGE + 1)
    assert len(table) == 2 and table.pages.n_free == 1
    table.make_room(0, 8 * PAGE)
    assert table.ids.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


def test_many_threads_take_and_give_back() -> None:
    pages, failed = Pages([SHAPE], 64), list[BaseException]()

    def work() -> None:
        try:
            for _ in range(300):
                table = PageTable(pages, 8 * PAGE, 8 * PAGE)
                table.make_room(0, 8 * PAGE)
                for page in table.ids.tolist():
                    pages.hold(page)
                    pages.release(page)
                del table
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and pages.n_free == 64


@pytest.mark.parametrize(
    ("executor", "kv"),
    [
        *(("kernels", kv) for kv in ("f16", "q8_0", "q4_0", "f32")),
        ("reference", "q8_0"),
    ],
    indirect=["executor"],
)
def test_texts_that_begin_alike(executor: Executor, kv: KVType) -> None:
    pages = executor.new_pages(20 * PAGE, kv)
    prefix = text(1, 3 * PAGE)
    first = executor.new_state(N, kv, pages)
    whole = np.concatenate([prefix, text(2)])[:N]
    executor.run(first, prefix, 0, "none")
    same(executor.run(first, whole[3 * PAGE :], 3 * PAGE), alone(executor, whole, kv, 3 * PAGE))
    assert pages.n_free == 20 - 6
    shared = first.pages(3 * PAGE + 7)
    assert len(shared) == 3 and first.pages(0) == first.pages(PAGE - 1) == ()
    assert len(first.pages(10 * PAGE)) == 5, "of the sixth, only a part is there"
    before = held(pages, shared)
    texts = [np.concatenate([prefix, text(seed)])[:N] for seed in (3, 4, 5)]
    states = [executor.new_state(N, kv, pages, shared) for _ in texts]
    assert pages.n_free == 20 - 6, "nothing is copied"
    assert all(state.length == state.reached == 3 * PAGE for state in states)
    parts = [
        Part(state, tokens[3 * PAGE :], 3 * PAGE)
        for state, tokens in zip(states, texts, strict=True)
    ]
    for found, tokens in zip(executor.run_batch(parts), texts, strict=True):
        same(found, alone(executor, tokens, kv, 3 * PAGE))
    assert pages.n_free == 20 - 6 - 3 * 3
    assert [pages.holders(page) for page in shared] == [4, 4, 4]
    first.close()
    for now, then in zip(held(pages, shared), before, strict=True):
        np.testing.assert_array_equal(now, then)
    assert pages.n_free == 20 - 3 - 3 * 3
    del states, parts
    gc.collect()
    assert pages.n_free == 20


@pytest.mark.parametrize(
    ("executor", "back"),
    [
        *(("kernels", back) for back in (0, 1, PAGE, PAGE + 30, 2 * PAGE)),
        ("reference", PAGE + 30),
    ],
    indirect=["executor"],
)
def test_going_back_into_shared_pages(executor: Executor, back: int) -> None:
    """A page with kept tokens is copied, others are left to those who hold them."""
    pages, tokens = executor.new_pages(12 * PAGE), text(6, 2 * PAGE + 10)
    first = executor.new_state(N, "f16", pages)
    executor.run(first, tokens, 0, "none")
    shared = first.pages(2 * PAGE)
    before = held(pages, shared)
    other = executor.new_state(N, "f16", pages, shared)
    assert other.rewind(back) == back
    changed = text(7, 2 * PAGE - back + 20)
    unshared = executor.new_state(N)
    executor.run(unshared, tokens, 0, "none")
    same(executor.run(other, changed, back), executor.run(unshared, changed, back))
    for now, then in zip(held(pages, shared), before, strict=True):
        np.testing.assert_array_equal(now, then)
    kept = back // PAGE
    assert other.pages(2 * PAGE)[:kept] == shared[:kept]
    assert not set(other.pages(2 * PAGE)[kept:]) & set(shared)
    rest = text(8, 5)
    whole = np.concatenate([tokens, rest])
    same(executor.run(first, rest, len(tokens)), alone(executor, whole, cut=len(tokens)))
    first.close()
    other.close()
    other.close()
    assert pages.n_free == 12


def test_pages_run_out(plan: Any) -> None:
    executor = CpuExecutor(plan, 2)
    pages, tokens = executor.new_pages(3 * PAGE), text(9, 3 * PAGE)
    states = [executor.new_state(N, "f16", pages) for _ in range(2)]
    executor.run(states[0], tokens[: PAGE + 5], 0, "none")
    executor.run(states[1], tokens[:PAGE], 0, "none")
    parts = [
        Part(states[0], tokens[PAGE + 5 : PAGE + 9], PAGE + 5),
        Part(states[1], tokens[PAGE : PAGE + 1], PAGE),
    ]
    for _ in range(2):
        with pytest.raises(OutOfPages, match="all 3 pages"):
            executor.run_batch(parts)
        assert [state.length for state in states] == [PAGE + 5, PAGE]
    found = executor.run_batch(parts[:1])[0]
    same(found, alone(executor, tokens[: PAGE + 9], cut=PAGE + 5))
    states[0].close()
    same(executor.run_batch(parts[1:])[0], alone(executor, tokens[: PAGE + 1], cut=PAGE))
    assert issubclass(OutOfPages, OutOfMemory)


def test_what_another_text_left_does_not_show(plan: Any) -> None:
    executor = CpuExecutor(plan, 2)
    pages, tokens = executor.new_pages(N), text(10)
    for side in (*pages.keys, *pages.values):
        side[...] = np.nan
    state = executor.new_state(N, "f16", pages)
    same(executor.run(state, tokens, 0), alone(executor, tokens))


def test_saved_and_restored(plan: Any) -> None:
    executor = CpuExecutor(plan, 2)
    pages, tokens = executor.new_pages(20 * PAGE), text(11)
    first = executor.new_state(N, "f16", pages)
    executor.run(first, tokens[:200], 0, "none")
    saved = first.saved()
    assert saved.nbytes == 4 * pages.page_bytes, "no more than what was read"
    wanted = executor.run(first, tokens[200:], 200)
    for state in (executor.new_state(N, "f16", pages, first.pages(PAGE)), executor.new_state(N)):
        state.restore(saved)
        assert state.length == 200
        same(executor.run(state, tokens[200:], 200), wanted)
    same(executor.run(first, tokens[200:], 200), wanted)
    with pytest.raises(UsageError, match="another length"):
        executor.new_state(N + 1, "f16", pages).restore(saved)
    with pytest.raises(UsageError, match="another model"):
        executor.new_state(N, "f32").restore(saved)


def test_what_cannot_be_shared(shared: Path, plan: Any) -> None:
    archs = shared / "golden" / "archs"
    for name, may in (("gemma3-dense", True), ("mamba2-dense", False), ("qwen35-dense", False)):
        executor = vatra.load(archs / f"{name}.gguf", ctx=300).executor
        pages, tokens = executor.new_pages(20 * PAGE), np.arange(150) % 90
        state = executor.new_state(300, "f16", pages)
        executor.run(state, tokens, 0, "none")
        assert len(state.pages(150)) == (2 if may else 0)
        if may:
            other = executor.new_state(300, "f16", pages, state.pages(150))
            found = executor.run(other, tokens[2 * PAGE :], 2 * PAGE)
            wanted = executor.new_state(300)
            executor.run(wanted, tokens, 0, "none")
            same(found, executor.run(wanted, tokens[2 * PAGE :], 2 * PAGE))
        else:
            with pytest.raises(UsageError, match="can share none"):
                executor.new_state(300, "f16", pages, (0,))
        state.close()
    executor = CpuExecutor(plan, 1)
    own = executor.new_state(N)
    executor.run(own, text(12), 0, "none")
    assert own.pages(N) == (), "pages of its own are nobody else's"


def test_what_is_wrong_is_said(plan: Any) -> None:
    executor = CpuExecutor(plan, 1)
    pages = executor.new_pages(2 * PAGE + 1)
    assert pages.n_pages == 3
    with pytest.raises(UsageError, match="of another model, executor or KV type"):
        executor.new_state(N, "f32", pages)
    with pytest.raises(UsageError, match="of another model, executor or KV type"):
        ReferenceExecutor(plan).new_state(N, "f16", pages)
    with pytest.raises(UsageError, match="held by nobody"):
        executor.new_state(N, "f16", pages, (1,))
    taken = [pages.take() for _ in range(2)]
    with pytest.raises(UsageError, match="2 shared pages do not fit"):
        executor.new_state(PAGE + 1, "f16", pages, taken)
    for bad in (0, -5):
        with pytest.raises(UsageError, match="at least 1"):
            executor.new_pages(bad)
    with pytest.raises(UsageError, match="not known"):
        executor.new_pages(5, "q9")  # type: ignore[arg-type]
    with pytest.raises(OutOfMemory, match="MiB"):
        executor.new_pages(2**55)
    assert pages.n_free == 1


def test_windows_are_kept_whole_in_pages_that_are_shared(shared: Path) -> None:
    """A state of its own keeps a ring of them: both read the same."""
    path = shared / "golden" / "archs" / "gemma3-dense.gguf"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "BACK", 256)
        executor = vatra.load(path, ctx=2000, threads=2).executor
        ring = executor.new_state(2000)
        pages = executor.new_pages(2000)
        whole = executor.new_state(2000, "f16", pages)
    assert min(ring.capacities) < 1000 and set(whole.capacities) == {2000}
    tokens = np.random.default_rng(13).integers(0, executor.plan.n_vocab, 1500).astype(np.int32)
    for begin in (0, 700, 1400, 1401):
        end = {0: 700, 700: 1400, 1400: 1401, 1401: 1500}[begin]
        found = executor.run_batch([Part(s, tokens[begin:end], begin) for s in (ring, whole)])
        same(found[0], found[1])
    assert ring.rewind(300) == 0 and whole.rewind(300) == 300


def test_a_state_of_its_own_takes_no_more_memory(plan: Any) -> None:
    executor = CpuExecutor(plan, 1)
    for n_ctx in (PAGE, 7 * PAGE):
        assert executor.new_state(n_ctx).nbytes == State.kv_bytes(plan.caches, "f16", n_ctx)
