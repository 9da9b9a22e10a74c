"""Every operation of a plan on the CPU beside the reference, in prompts and step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vatra.engine.cpu import CpuExecutor
from vatra.engine.executor import Executor
from vatra.engine.lowering import LOWER
from vatra.engine.reference import ReferenceExecutor
from vatra.errors import UsageError
from vatra.models import plan as ops
from vatra.models import verbs
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation
from vatra.models.weights import Matrix, Vector
from vatra.quant import by_name
from vatra.quant.tensor import QTensor

Array = np.ndarray
Make = Callable[["Parts"], Tensor]
SPARSE = {ops.TopPositions, ops.TopBlocks}
N_VOCAB, WIDTH = 60, 96
TOKENS = np.random.default_rng(3).integers(0, N_VOCAB, 45).astype(np.int32)


class Parts:
    """A plan in the making, and random weights for it."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(7)
        self.plan = Plan("ops", N_VOCAB, 64)
        self.x = verbs.embed(self.plan, self.matrix("token_embd", N_VOCAB, WIDTH, size=1.0))
        self._n = 0

    def values(self, *shape: int, size: float = 1.0) -> Array:
        return (size * self.rng.standard_normal(shape)).astype(np.float32)

    def matrix(self, name: str, *shape: int, size: float | None = None) -> Matrix:
        values = self.values(*shape, size=shape[-1] ** -0.5 if size is None else size)
        kind = by_name("f32")
        data = kind.encode(values.reshape(-1, shape[-1]))
        return Matrix(name, QTensor(name, kind, shape, data))

    def vector(self, *shape: int) -> Vector:
        return Vector("weight", self.values(*shape), self.values(*shape))

    def heads(self, n: int, dim: int) -> Tensor:
        """A tensor (n, dim) that depends on the token."""
        self._n += 1
        return verbs.linear(self.x, self.matrix(f"heads.{self._n}", n * dim, WIDTH), dim)

    def flat(self, n: int) -> Tensor:
        self._n += 1
        return verbs.linear(self.x, self.matrix(f"flat.{self._n}", n, WIDTH))

    def finished(self, y: Tensor) -> Plan:
        y = verbs.select_outputs(verbs.reshape(y, y.width))
        verbs.linear(y, self.matrix("output", N_VOCAB, y.width), name="logits")
        return self.plan


def turn(pairs: int, *, interleaved: bool) -> Rotation:
    return Rotation(0.3 ** np.arange(pairs), 1.1, interleaved)


def small(x: Tensor) -> Tensor:
    """Negative values near zero, as decays are."""
    return verbs.scale(verbs.activation(x, "sigmoid"), -0.3)


OPS: dict[str, Make] = {
    "embed_position": lambda p: verbs.add(
        p.x, verbs.embed_position(p.plan, p.matrix("positions", 64, WIDTH))
    ),
    "head_linear": lambda p: verbs.head_linear(p.heads(5, 12), p.matrix("w", 5, 7, 12)),
    "rms_norm": lambda p: verbs.rms_norm(p.heads(5, 17), p.vector(17), 1e-5),
    "rms_norm_alone": lambda p: verbs.rms_norm(p.heads(5, 17), None, 1e-5),
    "rms_norm_of_all": lambda p: verbs.rms_norm(p.heads(5, 17), p.vector(5, 17), 1e-5),
    "layer_norm": lambda p: verbs.layer_norm(p.heads(5, 17), p.vector(17), 1e-5),
    "layer_norm_alone": lambda p: verbs.layer_norm(p.heads(5, 17), None, 1e-5),
    "layer_norm_of_all": lambda p: verbs.layer_norm(p.heads(5, 17), p.vector(5, 17), 1e-5),
    "l2_norm": lambda p: verbs.l2_norm(p.heads(5, 17), 1e-6),
    "rope": lambda p: verbs.rope(p.heads(3, 21), turn(8, interleaved=False), 4),
    "rope_interleaved": lambda p: verbs.rope(p.heads(3, 21), turn(8, interleaved=True), 5),
    "position_scale": lambda p: verbs.position_scale(p.heads(3, 21), 8, 0.5, 1),
    "mul": lambda p: verbs.mul(p.heads(3, 21), p.heads(3, 21)),
    "mul_rows": lambda p: verbs.mul(p.heads(3, 21), p.heads(3, 1)),
    "scale": lambda p: verbs.scale(p.x, 1.7),
    "affine": lambda p: verbs.affine(p.heads(3, 21), p.values(21), p.values(3, 21), 0.5),
    "affine_bias": lambda p: verbs.affine(p.heads(3, 21), None, p.values(21)),
    "softcap": lambda p: verbs.softcap(p.x, 0.7),
    "clamp": lambda p: verbs.clamp(p.x, -0.4, 0.9),
    "reshape": lambda p: verbs.rms_norm(verbs.reshape(p.heads(6, 10), 4, 15), None, 1e-5),
    "slice": lambda p: verbs.piece(p.heads(3, 40), 9, 20),
    "split": lambda p: verbs.add(*verbs.split(p.flat(50), 25, 25)),  # type: ignore[call-arg]
    "concat": lambda p: verbs.concat(p.heads(3, 21), p.heads(3, 5)),
    "repeat": lambda p: verbs.mul(verbs.repeat(p.heads(3, 18), 2), p.heads(6, 18)),
    "repeat_tiled": lambda p: verbs.mul(
        verbs.repeat(p.heads(3, 18), 2, tiled=True), p.heads(6, 18)
    ),
    "convolution": lambda p: verbs.convolution(p.flat(37), p.values(37, 4), p.values(37)),
    "convolution_without_bias": lambda p: verbs.convolution(p.flat(37), p.values(37, 3)),
    "token_shift": lambda p: verbs.token_shift(p.flat(37)),
    "selective_scan": lambda p: verbs.selective_scan(
        p.heads(6, 5),
        verbs.activation(p.flat(6), "softplus"),
        p.heads(3, 20),
        p.heads(3, 20),
        -np.exp(p.values(6, 1)),
        p.values(6),
    ),
    "selective_scan_of_states": lambda p: verbs.selective_scan(
        p.heads(33, 1),
        verbs.activation(p.flat(33), "softplus"),
        p.heads(1, 16),
        p.heads(1, 16),
        -np.exp(p.values(33, 16)),
        None,
    ),
    "linear_attention": lambda p: verbs.selective_scan(
        p.heads(6, 5), None, p.heads(3, 20), p.heads(3, 20), -np.exp(p.values(6, 1)), None
    ),
    "wkv_6": lambda p: verbs.wkv(
        p.heads(3, 20),
        p.heads(3, 20),
        p.heads(3, 23),
        small(p.heads(3, 20)),
        before=True,
    ),
    "wkv_7": lambda p: verbs.wkv(
        p.heads(3, 20),
        p.heads(3, 20),
        p.heads(3, 20),
        small(p.heads(3, 20)),
        verbs.l2_norm(p.heads(3, 20), 1e-6),
        small(verbs.l2_norm(p.heads(3, 20), 1e-6)),
    ),
    "sum": lambda p: verbs.total(p.heads(3, 21)),
    "delta_rule": lambda p: verbs.delta_rule(
        verbs.l2_norm(p.heads(3, 20), 1e-6),
        verbs.l2_norm(p.heads(3, 20), 1e-6),
        p.heads(3, 23),
        small(p.heads(3, 1)),
        verbs.activation(p.flat(3), "sigmoid"),
        0.3,
    ),
    "delta_rule_of_keys": lambda p: verbs.delta_rule(
        verbs.l2_norm(p.heads(3, 20), 1e-6),
        verbs.l2_norm(p.heads(3, 20), 1e-6),
        p.heads(3, 32),
        small(p.heads(3, 20)),
        verbs.activation(p.flat(3), "sigmoid"),
        0.3,
    ),
}
OPS |= {
    f"activation_{kind}": lambda p, kind=kind: verbs.activation(p.x, kind)  # type: ignore[misc]
    for kind in ops.ACTIVATIONS
}
OPS |= {
    f"glu_{kind}": lambda p, kind=kind: verbs.glu(p.flat(50), p.flat(50), kind)  # type: ignore[misc]
    for kind in ops.ACTIVATIONS
}


def mixture(p: Parts, **options: Any) -> Tensor:
    e, shares = verbs.top_experts(p.flat(24), 5, **options)
    y = verbs.expert_linear(p.x, e, p.matrix("experts", 24, 19, WIDTH))
    return verbs.weighted_sum(y, shares)


for gating in ops.GATINGS:
    for normalise in (False, True):
        OPS[f"experts_{gating}_{normalise}"] = lambda p, g=gating, n=normalise: mixture(  # type: ignore[misc]
            p, gating=g, normalise=n, scale=1.5
        )
OPS["experts_biased"] = lambda p: mixture(
    p, gating="sigmoid", normalise=True, bias=Vector("bias", p.values(24))
)
OPS["experts_with_factors"] = lambda p: mixture(
    p, normalise=True, factors=Vector("factors", p.values(24))
)
OPS["experts_in_groups"] = lambda p: mixture(
    p, gating="sigmoid", normalise=True, n_group=6, n_group_used=3
)


def logits(executor: Executor, *ends: int) -> Array:
    """All logits, from runs that end at the given tokens."""
    state, begin, found = executor.new_state(len(TOKENS), "f32"), 0, list[Array]()
    for end in ends:
        found.append(executor.run(state, TOKENS[begin:end], begin, "all"))
        begin = end
    return np.concatenate(found)


@pytest.mark.parametrize("name", OPS)
def test_op(name: str) -> None:
    parts = Parts()
    plan = parts.finished(OPS[name](parts))
    wanted = logits(ReferenceExecutor(plan), len(TOKENS))
    assert np.isfinite(wanted).all() and wanted.std() > 1e-3
    steps = logits(ReferenceExecutor(plan), *range(1, len(TOKENS) + 1))
    np.testing.assert_allclose(steps, wanted, atol=2e-5 * np.abs(wanted).max())
    found = [
        logits(CpuExecutor(plan, threads), *ends)
        for threads, ends in ((1, (len(TOKENS),)), (3, (2, 3, 40, 45)))
    ]
    np.testing.assert_allclose(found[0], wanted, atol=2e-5 * np.abs(wanted).max())
    assert found[0].tobytes() == found[1].tobytes()


def test_positions_that_were_not_learned() -> None:
    parts = Parts()
    executor = ReferenceExecutor(parts.finished(OPS["embed_position"](parts)))
    with pytest.raises(UsageError, match="learned 64 positions"):
        executor.new_state(65)


def test_all_operations_are_here() -> None:
    """Attention is tested with the models; what chooses positions has no kernel yet."""
    seen: set[type] = set()
    for make in OPS.values():
        parts = Parts()
        seen |= {type(op) for op in parts.finished(make(parts)).ops}
    made = {*ops.Op.__subclasses__(), *ops.Recurrence.__subclasses__()} - {ops.Recurrence}
    every = {op for op in made if op.__module__ == ops.__name__}  # executors fuse some of their own
    assert every - seen == {ops.Attention, *SPARSE}
    assert every - set(LOWER) == {ops.Embed, *SPARSE}
