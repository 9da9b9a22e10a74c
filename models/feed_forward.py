"""The feed-forward networks of a block: gated and plain ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vatra.models.plan import Tensor
from vatra.models.verbs import activation, affine, clamp, glu, linear, mul
from vatra.models.weights import Matrix, fused, matrix

CLAMP = 7.0  # of what goes into `clamped_swiglu`; no key says it

Unit = str | Callable[[Tensor, Tensor], Tensor]  # of gate and up: an activation's Glu, or another


def gated(gate: Tensor, up: Tensor, kind: Unit) -> Tensor:
    """gate's shape: `kind`(gate, up)."""
    return glu(gate, up, kind) if isinstance(kind, str) else kind(gate, up)


def clamped_swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """gate * sigmoid(1.702 gate) * (up + 1), the gate at most CLAMP, up from -CLAMP to CLAMP."""
    ones = np.ones(up.shape[-1:], np.float32)
    up = affine(clamp(up, -CLAMP, CLAMP), None, ones)
    return glu(clamp(gate, -math.inf, CLAMP), up, "gelu_quick")


def limited_before(limit: float) -> Unit:
    """silu(gate, at most `limit`) * up within -limit ... limit; plain silu where that is 0."""

    def unit(gate: Tensor, up: Tensor) -> Tensor:
        return glu(clamp(gate, -math.inf, limit), clamp(up, -limit, limit))

    return unit if limit else "silu"


def limited_after(limit: float) -> Unit:
    """The same with silu(gate) at most `limit`, not the gate."""

    def unit(gate: Tensor, up: Tensor) -> Tensor:
        h = clamp(activation(gate, "silu"), -math.inf, limit)
        return mul(h, clamp(up, -limit, limit))

    return unit if limit else "silu"


@dataclass(frozen=True)
class Gated:
    """down(kind(gate(x)) * up(x)): gated linear units, Shazeer 2020, arXiv:2002.05202."""

    ffn_gate: Matrix = matrix("n_ff", "n_embd", bias=True)
    ffn_up: Matrix = matrix("n_ff", "n_embd", bias=True)
    ffn_down: Matrix = matrix("n_embd", "n_ff", bias=True)

    def __call__(self, x: Tensor, kind: Unit = "silu") -> Tensor:
        h = gated(linear(x, self.ffn_gate), linear(x, self.ffn_up), kind)  # (n_ff,)
        return linear(h, self.ffn_down)  # (n_embd,)


@dataclass(frozen=True)
class FusedGated:
    """The same with gate and up in one matrix, the gate first."""

    ffn_up: tuple[Matrix, Matrix] = fused(
        "ffn_up", "n_embd", bias=True, ffn_gate="n_ff", ffn_up="n_ff"
    )
    ffn_down: Matrix = matrix("n_embd", "n_ff", bias=True)

    def __call__(self, x: Tensor, kind: str = "silu") -> Tensor:
        gate, up = (linear(x, w) for w in self.ffn_up)  # (n_ff,), (n_ff,)
        return linear(glu(gate, up, kind), self.ffn_down)  # (n_embd,)


@dataclass(frozen=True)
class Plain:
    """down(kind(up(x))): `kind` is an activation, or a function of that."""

    ffn_up: Matrix = matrix("n_ff", "n_embd", bias=True)
    ffn_down: Matrix = matrix("n_embd", "n_ff", bias=True)

    def __call__(self, x: Tensor, kind: str | Callable[[Tensor], Tensor] = "gelu") -> Tensor:
        h = linear(x, self.ffn_up)  # (n_ff,)
        h = activation(h, kind) if isinstance(kind, str) else kind(h)  # (n_ff,)
        return linear(h, self.ffn_down)  # (n_embd,)
