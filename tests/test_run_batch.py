"""Several sequences in one walk: each gets the bits that it gets alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import encoders
import numpy as np
import pytest

import vatra
from vatra.engine.cpu import CpuExecutor
from vatra.engine.executor import Executor, KVType, Outputs, Part
from vatra.engine.lowering.steps import MAX_OUTPUTS, MAX_TOKENS
from vatra.engine.reference import ReferenceExecutor
from vatra.errors import UsageError

Array = np.ndarray
N_CTX = 600


def executor_of(path: Path, threads: int) -> CpuExecutor:
    executor = vatra.load(path, ctx=N_CTX, threads=threads).executor
    assert isinstance(executor, CpuExecutor)
    return executor


def texts_of(executor: Executor, lengths: Sequence[int]) -> list[Array]:
    rng = np.random.default_rng(len(lengths))
    return [rng.integers(0, executor.plan.n_vocab, n).astype(np.int32) for n in lengths]


def same(found: Array, wanted: Array) -> None:
    np.testing.assert_array_equal(found.view(np.uint32), wanted.view(np.uint32))


def lengths_of(n_sequences: int) -> list[int]:
    """Prompts for all kinds of runs, one longer than a walk."""
    first = [40, MAX_TOKENS + 30, 3, 70, 1, 33, 5, 129]
    return (first * 3)[:n_sequences]


def in_turns(
    executor: Executor, kv: KVType, texts: Sequence[Array], ends: Sequence[Sequence[int]]
) -> None:
    """Read `texts` up to `ends`, all together, where later ones begin later; and each alone.

    In pages that all share as well, which must hold the same.
    """
    n = len(texts)
    pages = executor.new_pages(n * N_CTX, kv)
    alone: list[list[Array]] = []
    for text, own in zip(texts, ends, strict=True):
        state, found, begin = executor.new_state(N_CTX, kv), [], 0
        for end in own:
            found.append(executor.run(state, text[begin:end], begin))
            begin = end
        alone.append(found)
    for pool in (None, pages):
        states = [executor.new_state(N_CTX, kv, pool) for _ in texts]
        done = [0] * n
        for turn in range(n + max(map(len, ends))):
            busy = [i for i in range(n) if i // 3 <= turn and done[i] < len(ends[i])]
            parts = []
            for i in busy:
                begin = ends[i][done[i] - 1] if done[i] else 0
                parts.append(Part(states[i], texts[i][begin : ends[i][done[i]]], begin))
            for i, made in zip(busy, executor.run_batch(parts), strict=True):
                same(made, alone[i][done[i]])
                done[i] += 1
        assert done == [len(own) for own in ends]


@pytest.mark.parametrize(
    ("name", "kv", "n_sequences", "threads"),
    [
        ("llama-dense", "f16", 17, 2),
        ("llama-dense", "f32", 3, 1),
        ("llama-dense", "q8_0", 8, 3),
        ("llama-moe", "q4_0", 8, 2),
        ("gemma2-dense", "f16", 3, 2),
        ("gemma3-dense", "q8_0", 8, 2),
        ("gpt-oss-moe", "f16", 8, 3),
        ("deepseek2-moe", "f16", 8, 2),
        ("deepseek2-moe", "q4_0", 1, 2),
        ("mamba2-dense", "f16", 8, 3),
        ("lfm2-dense", "f16", 3, 1),
        ("qwen35-dense", "f16", 8, 2),
    ],
)
def test_each_gets_what_it_gets_alone(
    shared: Path, name: str, kv: KVType, n_sequences: int, threads: int
) -> None:
    executor = executor_of(shared / "golden" / "archs" / f"{name}.gguf", threads)
    lengths = lengths_of(n_sequences)
    texts = texts_of(executor, [n + 3 for n in lengths])
    in_turns(executor, kv, texts, [[n, n + 1, n + 2, n + 3] for n in lengths])


def test_contexts_of_several_spans(spark: Path) -> None:
    executor = executor_of(spark, 2)
    texts = texts_of(executor, [590, 530, 520])
    in_turns(executor, "f16", texts, [[586, 587, 590], [526, 527, 530], [516, 517, 520]])


def test_a_cut_does_not_show(shared: Path) -> None:
    """Pieces of a prompt have the bits of the run that they are cut from, whatever runs beside."""
    for name in ("llama-dense", "llama-moe", "qwen35-dense"):
        executor = executor_of(shared / "golden" / "archs" / f"{name}.gguf", 2)
        (text, other), n = texts_of(executor, [120, 60]), 120
        wanted = executor.run(executor.new_state(n), text, 0)
        state, beside = executor.new_state(n), executor.new_state(n)
        for i, (begin, end) in enumerate([(0, 5), (5, 40), (40, 41), (41, n)]):
            parts = [Part(state, text[begin:end], begin, "last", n)]
            parts.append(Part(beside, other[i : i + 1], i))
            found = executor.run_batch(parts)[0]
        same(found, wanted)


def test_all_kinds_of_outputs(spark: Path) -> None:
    executor = executor_of(spark, 2)
    kinds: list[Outputs] = ["all", "none", "hidden", "last", "all", "hidden", "last"]
    lengths = [MAX_OUTPUTS + 9, 20, 50, 7, 3, 300, 1]
    texts = texts_of(executor, lengths)

    def parts() -> list[Part]:
        both = zip(texts, kinds, strict=True)
        return [Part(executor.new_state(N_CTX), text, 0, kind) for text, kind in both]

    wanted = [executor.run(p.state, p.tokens, 0, p.outputs) for p in parts()]
    for found, alone in zip(executor.run_batch(parts()), wanted, strict=True):
        same(found, alone)
    assert [len(w) for w in wanted] == [MAX_OUTPUTS + 9, 0, 50, 1, 3, 300, 1]


def test_many_outputs_take_several_walks(spark: Path) -> None:
    executor, n = executor_of(spark, 2), MAX_OUTPUTS + 5
    texts = texts_of(executor, [2] * n)
    states = [executor.new_state(8) for _ in texts]
    both = list(zip(states, texts, strict=True))
    for found, text in zip(
        executor.run_batch([Part(s, text, 0) for s, text in both]), texts, strict=True
    ):
        same(found, executor.run(executor.new_state(8), text, 0))


def test_different_kv_types_together(spark: Path) -> None:
    executor = executor_of(spark, 2)
    texts, kinds = texts_of(executor, [30, 31, 32]), ("f16", "q8_0", "f32")
    states: list[Any] = [executor.new_state(64, kv) for kv in kinds]  # type: ignore[arg-type]
    both = zip(states, texts, strict=True)
    found = executor.run_batch([Part(state, text, 0) for state, text in both])
    for row, text, kv in zip(found, texts, kinds, strict=True):
        same(row, executor.run(executor.new_state(64, kv), text, 0))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["bert", "modern-bert"])
def test_texts_that_are_read_as_a_whole(tmp_path: Path, name: str) -> None:
    encoders.write(name, tmp_path / "encoder.gguf")
    executor = executor_of(tmp_path / "encoder.gguf", 2)
    texts = [np.resize(encoders.TOKENS, n).astype(np.int32) for n in (9, 300, 1, 100)]
    wanted = [executor.run(executor.new_state(300), text, 0, "hidden") for text in texts]
    parts = [Part(executor.new_state(300), text, 0, "hidden") for text in texts]
    for found, alone in zip(executor.run_batch(parts), wanted, strict=True):
        same(found, alone)


def test_the_reference_runs_each(shared: Path) -> None:
    path = shared / "golden" / "archs" / "llama-dense.gguf"
    executor = ReferenceExecutor(vatra.load(path, ctx=N_CTX).plan)
    texts = texts_of(executor, [70, 5, 1])
    in_turns(executor, "q8_0", texts, [[65, 70], [4, 5], [1]])


def test_what_cannot_be_run_stops_all(spark: Path) -> None:
    executor = executor_of(spark, 2)
    states = [executor.new_state(8) for _ in range(2)]
    good = Part(states[0], np.array([1, 2]), 0)
    for wrong in (
        Part(states[1], np.array([executor.plan.n_vocab]), 0),
        Part(states[1], np.array([1]), 8),
        Part(states[0], np.array([1]), 2),
    ):
        with pytest.raises(UsageError, match="outside|do not fit|same state"):
            executor.run_batch([good, wrong])
        assert states[0].length == 0
    assert executor.run_batch([]) == []
    empty = Part(states[1], np.array([], np.int32), 0)
    one, nothing = executor.run_batch([good, empty])
    assert len(nothing) == 0
    same(one, executor.run(executor.new_state(8), good.tokens, 0))
    states[0].close()
    with pytest.raises(UsageError, match="closed"):
        executor.run(states[0], good.tokens, 0)
