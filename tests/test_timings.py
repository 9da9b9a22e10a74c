"""What ops cost: counted for the right op, in the right units, and without changing results."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vatra
from vatra.engine.cpu import CpuExecutor
from vatra.engine.timings import cycles_per_s, named
from vatra.engine.workload import bytes_per_token, multiply_adds
from vatra.errors import UsageError
from vatra.formats import random_model
from vatra.models.plan import Attention, Linear

SHAPE = random_model.Shape(
    layers=2, embd=256, ff=512, heads=4, kv_heads=2, vocab=6000, ctx=64
)  # whose output matrix is larger than all others together
TOKENS = np.arange(300, 348, dtype=np.int32)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "two-formats.gguf"
    random_model.write(path, SHAPE, "q4_0", "q8_0")
    return path


@pytest.fixture(scope="module")
def model(file: Path) -> Iterator[vatra.Model]:
    with vatra.load(file, threads=1) as model:
        yield model


def evaluate(model: vatra.Model, n_prompt: int = 40, n_decode: int = 8) -> list[np.ndarray]:
    """Logits of a prompt's last token, and of the tokens after it."""
    state = model.executor.new_state(SHAPE.ctx)
    found = [model.run(state, TOKENS[:n_prompt], 0, "last")]
    for i in range(n_prompt, n_prompt + n_decode):
        found.append(model.run(state, TOKENS[i : i + 1], i, "last"))
    return found


def test_every_product_is_counted_with_its_weights(model: vatra.Model) -> None:
    with model.timings() as timings:
        evaluate(model, n_decode=8)
    linears = [op for op in model.plan.ops if isinstance(op, Linear)]
    for phase, runs, tokens in (("decode", 8, 8), ("prefill", 1, 40)):
        for format in ("q4_0", "q8_0"):
            ops = [op for op in linears if op.weight.format.name == format]
            rows = [r for r in timings.rows(phase) if r.format == format and r.ops_per_s]
            assert sum(row.calls for row in rows) == runs * len(ops)
            seconds = tokens * sum(row.ms_per_token for row in rows) / 1e3
            done = sum((row.ops_per_s or 0) * tokens * row.ms_per_token / 1e3 for row in rows)
            each = tokens if format == "q4_0" else runs  # the output matrix: for the last alone
            wanted = 2 * each * sum(op.weight.n_rows * op.weight.width for op in ops)
            assert done == pytest.approx(wanted)
            read = sum((row.bytes_per_s or 0) for row in rows) * seconds
            nbytes = sum(op.weight.nbytes for op in ops)
            assert read == pytest.approx(runs * nbytes if phase == "decode" else 0)


def test_time_is_that_of_the_right_op(model: vatra.Model) -> None:
    evaluate(model)
    with model.timings() as timings:
        begin = time.perf_counter()
        for _ in range(5):
            evaluate(model)
        wall_s = time.perf_counter() - begin
    for phase in ("prefill", "decode"):
        rows = timings.rows(phase)
        assert sum(row.share for row in rows) == pytest.approx(1)
        assert rows == sorted(rows, key=lambda row: -row.share)
    by_name = {(row.op, row.format): row for row in timings.rows("decode")}
    assert by_name["matmul", "q8_0"].share > by_name["matmul", "q4_0"].share
    assert by_name["matmul", "q4_0"].share > by_name["attention store", "f16"].share
    spent = {"prefill": 5 * 40, "decode": 5 * 8}
    total_s = sum(
        n * r.ms_per_token / 1e3 for phase, n in spent.items() for r in timings.rows(phase)
    )
    assert 0.3 * wall_s < total_s < 1.1 * wall_s


def test_results_are_the_same_bits(model: vatra.Model) -> None:
    plain = evaluate(model)
    with model.timings():
        timed = evaluate(model)
    for a, b in zip(plain, timed, strict=True):
        np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


def test_a_block_counts_its_own_runs_alone(model: vatra.Model) -> None:
    with model.timings() as outer:
        with model.timings() as inner:
            evaluate(model, n_decode=2)
        evaluate(model, n_decode=3)
    evaluate(model, n_decode=4)

    def calls(timings: object) -> int:
        rows = timings.rows("decode")  # type: ignore[attr-defined]
        return next(row.calls for row in rows if row.op == "waking the threads")

    assert (calls(outer), calls(inner)) == (3, 2)
    with model.timings() as idle:
        pass
    assert idle.rows("decode") == []


def test_the_reference_has_no_timings(file: Path) -> None:
    with vatra.load(file, backend="reference") as model, pytest.raises(UsageError, match="cpu"):
        model.timings()


def test_kernels_are_named() -> None:
    assert named("matmul:q4_0,16") == ("matmul", "q4_0")
    assert named("matmul:iq2_xxs,2,experts") == ("matmul experts", "iq2_xxs")
    assert named("attention:attend,f16") == ("attention attend", "f16")
    assert named("elementwise:rms_norm") == ("rms_norm", "")
    assert named("activations:glu,silu") == ("glu silu", "")
    assert named("amx:pack,1") == ("amx pack", "")
    assert named("quantize:") == ("quantize", "")


def test_the_clock_runs_evenly(model: vatra.Model) -> None:
    assert isinstance(model.executor, CpuExecutor)
    rates = sorted(cycles_per_s(model.executor.pool) for _ in range(5))
    assert min(b / a for a, b in zip(rates, rates[1:], strict=False)) < 1.01


# ---- work ---------------------------------------------------------------------------------------


def test_multiply_adds_of_a_llama(model: vatra.Model) -> None:
    n, embd, kv_width = 7, SHAPE.embd, SHAPE.kv_heads * SHAPE.head_dim
    layer = 2 * embd * embd + 2 * kv_width * embd + 3 * embd * SHAPE.ff
    attention = SHAPE.heads * 2 * SHAPE.head_dim * (3 + 4 + 5 + 6 + 7 + 8 + 9)
    wanted = SHAPE.layers * (n * layer + attention) + SHAPE.vocab * embd
    assert multiply_adds(model.plan, n, position=2) == wanted


def test_a_window_bounds_what_is_read(model: vatra.Model) -> None:
    plan, window = model.plan, 4
    caches = [replace(plan.caches[0], window=window), plan.caches[1]]
    found = iter(caches)
    ops = [replace(op, cache=next(found)) if isinstance(op, Attention) else op for op in plan.ops]
    narrow = replace(plan, ops=ops, caches=caches)
    width = 2 * SHAPE.heads * SHAPE.head_dim
    assert multiply_adds(plan, 1, 9) - multiply_adds(narrow, 1, 9) == (10 - window) * width
    whole = [bytes_per_token(p, lambda _: 500, 10) for p in (plan, narrow)]
    assert whole[0] - whole[1] == 1000 * (10 - window) // 2
    weights = sum(op.weight.nbytes for op in plan.ops if isinstance(op, Linear))
    row = plan.weights()[0].nbytes // SHAPE.vocab
    assert whole[0] == weights + row + 10 * 1000
