"""Attention whose values are the first of each key: as if they were kept apart, in less memory."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from vatra import models
from vatra.engine.cpu import CpuExecutor
from vatra.engine.executor import KV_TYPES, KVType
from vatra.engine.kernels import layout
from vatra.engine.reference import ReferenceExecutor
from vatra.formats import gguf
from vatra.models import verbs
from vatra.models.plan import Plan
from vatra.models.weights import Matrix
from vatra.quant import by_name
from vatra.quant.tensor import QTensor

Array = np.ndarray
N_VOCAB, WIDTH, N = 50, 64, layout.SPAN + 90
TOKENS = np.random.default_rng(3).integers(0, N_VOCAB, N).astype(np.int32)


@cache
def plan(dim: int, first: int, heads: int, apart: bool) -> Plan:
    """One layer of attention: keys of `dim` values, and values that are their `first`."""
    rng = np.random.default_rng(7)

    def matrix(name: str, rows: int, columns: int) -> Matrix:
        values = 2 * columns**-0.5 * rng.standard_normal((rows, columns)).astype(np.float32)
        return Matrix(name, QTensor(name, by_name("f32"), (rows, columns), values.view(np.uint8)))

    made = Plan("in keys", N_VOCAB, N)
    x = verbs.embed(made, matrix("token_embd", N_VOCAB, WIDTH))
    q = verbs.linear(x, matrix("q", heads * dim, WIDTH), dim)
    k = verbs.linear(x, matrix("k", dim, WIDTH), dim)
    y = verbs.attention(q, k, verbs.piece(k, 0, first) if apart else first, dim**-0.5, window=300)
    y = verbs.select_outputs(verbs.reshape(y, y.width))
    verbs.linear(y, matrix("output", N_VOCAB, y.width), name="logits")
    return made


def logits(executor: CpuExecutor | ReferenceExecutor, kv: KVType, chunk: int) -> Array:
    state = executor.new_state(N, kv)
    runs = [executor.run(state, TOKENS[i : i + chunk], i, "all") for i in range(0, N, chunk)]
    return np.concatenate(runs)


@pytest.mark.parametrize("kv", KV_TYPES)
@pytest.mark.parametrize(("dim", "first", "heads"), [(96, 64, 9), (72, 64, 3), (20, 5, 2)])
def test_as_if_they_were_apart(dim: int, first: int, heads: int, kv: KVType) -> None:
    """Bit for bit, unless scales are multiplied in another order, or are of other values."""
    shape = dim, first, heads
    together, apart = (CpuExecutor(plan(*shape, apart), 2) for apart in (False, True))
    wanted = logits(ReferenceExecutor(plan(*shape, False)), kv, N)
    for chunk in (3, 200):  # 200 by AMX, if there is one
        found, other = logits(together, kv, chunk), logits(apart, kv, chunk)
        if kv in ("f16", "f32"):
            np.testing.assert_array_equal(found.view(np.uint32), other.view(np.uint32))
        exact = 1e-11 if kv == "f32" else 1e-8  # of many values some are rounded to another
        error = np.sum((found - wanted) ** 2) / np.sum(wanted.astype(np.float64) ** 2)
        assert error <= (exact if chunk == 3 else 3e-5)


@pytest.mark.parametrize("kv", KV_TYPES)
def test_memory(kv: KVType) -> None:
    apart, together = (
        CpuExecutor.state_class.kv_bytes(plan(96, 64, 9, apart).caches, kv, 1)
        for apart in (True, False)
    )
    assert together * 160 == apart * 96
    state = CpuExecutor(plan(96, 64, 9, False), 1).new_state(640, kv)
    assert state.nbytes == 640 * together


def test_latent_attention_keeps_one_row(shared: Path) -> None:
    found = models.read(gguf.read(shared / "golden/archs/deepseek2-moe.gguf")).caches
    assert found and all(c.in_keys and c.n_head_kv == 1 and c.own_value_dim == 0 for c in found)


@pytest.mark.parametrize("first", [0, 21])
def test_more_than_there_are(first: int) -> None:
    with pytest.raises(ValueError, match="attention"):
        plan(20, first, 2, False)
