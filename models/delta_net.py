"""Linear attention by the gated delta rule: a matrix of keys and values, corrected at each token.

Gated DeltaNet, Yang et al. 2024, arXiv:2412.06464; with a decay for each value of a key, Kimi
Linear, Moonshot AI 2025, arXiv:2510.26692.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vatra.models.config import count, derived, number
from vatra.models.plan import Tensor
from vatra.models.verbs import (
    activation,
    affine,
    concat,
    convolution,
    delta_rule,
    glu,
    linear,
    repeat,
    reshape,
    rms_norm,
    scale,
    split,
)
from vatra.models.weights import Matrix, Vector, group, matrix, qkv, vector


@dataclass(frozen=True)
class LinearAttention:
    """The keys below ssm.*; n_value_head heads of values share n_key_head heads of keys."""

    n_conv: int = count("ssm.conv_kernel")
    d_inner: int = count("ssm.inner_size")
    d_state: int = count("ssm.state_size")
    n_value_head: int = count("ssm.time_step_rank", divides="d_inner")
    n_key_head: int = count("ssm.group_count", divides="n_value_head")
    keys: int = derived(lambda c: c["n_key_head"] * c["d_state"])
    eps: float = number("attention.layer_norm_rms_epsilon", at_most=1.0)


def unit(x: Tensor, eps: float) -> Tensor:
    """x's shape: x / sqrt(sum(x^2) + eps) along the last axis."""
    n = x.shape[-1]
    return rms_norm(x, Vector("unit", np.full(n, n**-0.5, np.float32)), eps / n)


@dataclass(frozen=True)
class Projection:
    """What a delta net makes of its input; the heads of keys are tiled over those of values."""

    attn_qkv: Matrix = matrix("2 * keys + d_inner", "n_embd")
    attn_gate: Matrix = matrix("d_inner", "n_embd")
    ssm_beta: Matrix = matrix("n_value_head", "n_embd")
    ssm_alpha: Matrix = matrix("n_value_head", "n_embd")

    tiled: ClassVar[bool] = True

    def __call__(self, x: Tensor, c: LinearAttention) -> tuple[Tensor, ...]:
        """Queries, keys and values in one, gate (d_inner,), beta and alpha (n_value_head,)."""
        w = self.attn_qkv, self.attn_gate, self.ssm_beta, self.ssm_alpha
        return tuple(linear(x, m) for m in w)


@dataclass(frozen=True)
class GroupedProjection:
    """The same in the order of the heads of keys, each followed by what its heads of values need.

    Older files have all but beta and alpha in one matrix.
    """

    attn_qkv: Matrix | None = matrix("2 * keys + d_inner", "n_embd", optional=True)
    attn_gate: Matrix | None = matrix("d_inner", "n_embd", optional=True)
    ssm_in: Matrix | None = matrix("2 * keys + 2 * d_inner", "n_embd", optional=True)
    ssm_ba: Matrix = matrix("2 * n_value_head", "n_embd")

    tiled: ClassVar[bool] = False

    def __call__(self, x: Tensor, c: LinearAttention) -> tuple[Tensor, ...]:
        """Queries, keys and values in one, gate (d_inner,), beta and alpha (n_value_head,)."""
        times = c.n_value_head // c.n_key_head
        beta, alpha = split(linear(x, self.ssm_ba, 2 * times), times, times)  # (n_key_head, times)
        beta, alpha = (reshape(t, c.n_value_head) for t in (beta, alpha))
        if self.attn_qkv is not None and self.attn_gate is not None:
            return linear(x, self.attn_qkv), linear(x, self.attn_gate), beta, alpha
        assert self.ssm_in is not None
        n = c.d_inner // c.n_key_head
        parts = split(linear(x, self.ssm_in, 2 * c.d_state + 2 * n), c.d_state, c.d_state, n, n)
        q, k, v, gate = (reshape(t, t.width) for t in parts)
        return concat(concat(q, k), v), gate, beta, alpha


@dataclass(frozen=True)
class DeltaNet:
    """Queries, keys and values pass a short convolution, queries and keys then have length 1."""

    project: Projection | GroupedProjection = group(
        GroupedProjection, where="ssm_ba.weight", otherwise=Projection
    )
    ssm_conv1d: Vector = vector("2 * keys + d_inner", "n_conv")
    ssm_dt: Vector = vector("n_value_head", suffix=".bias")
    ssm_a: Vector = vector("n_value_head", suffix="")  # -exp(A_log)
    ssm_norm: Vector = vector("d_inner // n_value_head")
    ssm_out: Matrix = matrix("n_embd", "d_inner")

    def __call__(self, x: Tensor, c: LinearAttention) -> Tensor:
        """(n_embd,)"""
        qkv, gate, beta, alpha = self.project(x, c)
        qkv = activation(convolution(qkv, self.ssm_conv1d.data), "silu")
        q, k, v = split(qkv, c.keys, c.keys, c.d_inner)
        q, k = (unit(reshape(t, c.n_key_head, c.d_state), c.eps) for t in (q, k))
        times, tiled = c.n_value_head // c.n_key_head, self.project.tiled
        q, k = (repeat(t, times, tiled=tiled) for t in (q, k))  # (n_value_head, d_state)
        v = reshape(v, c.n_value_head, c.d_inner // c.n_value_head)
        dt = activation(affine(alpha, None, self.ssm_dt.data), "softplus")  # (n_value_head,)
        decay = reshape(affine(dt, self.ssm_a.data), c.n_value_head, 1)
        y = delta_rule(q, k, v, decay, activation(beta, "sigmoid"), c.d_state**-0.5)
        y = rms_norm(y, self.ssm_norm, c.eps)  # (n_value_head, d_inner / n_value_head)
        return linear(glu(reshape(gate, *y.shape), y, "silu"), self.ssm_out)


@dataclass(frozen=True)
class KimiKeys:
    """The keys of Kimi's delta nets; n_head heads of head_dim values each."""

    n_conv: int = count("ssm.conv_kernel")
    kda_dim: int = count("kda.head_dim")
    lowest_decay: float = number("kda.gate_lower_bound", default=0.0, at_least=-1e30, at_most=0.0)


@dataclass(frozen=True)
class KimiDeltaNet:
    """A delta net whose decays and gates come from matrices that the models have differently."""

    attn: tuple[Matrix, Matrix, Matrix] = qkv(*("n_head * kda_dim",) * 3, bias=False)
    ssm_conv1d_q: Vector = vector("n_head * kda_dim", "n_conv", axes_of_1=True)
    ssm_conv1d_k: Vector = vector("n_head * kda_dim", "n_conv", axes_of_1=True)
    ssm_conv1d_v: Vector = vector("n_head * kda_dim", "n_conv", axes_of_1=True)
    ssm_beta: Matrix = matrix("n_head", "n_embd")
    ssm_a: Vector = vector("n_head", "1", suffix="", axes_of_1=True)
    ssm_dt: Vector = vector("n_head * kda_dim", suffix=".bias")
    ssm_norm: Vector = vector("kda_dim")
    attn_output: Matrix = matrix("n_embd", "n_head * kda_dim")

    def decay(self, x: Tensor, c: KimiKeys) -> Tensor:
        """(n_head, kda_dim), at most 0: the logarithm of what is kept."""
        raise NotImplementedError

    def gate(self, x: Tensor) -> Tensor:
        """(n_head * kda_dim,)"""
        raise NotImplementedError

    def softplus_decay(self, x: Tensor) -> Tensor:
        """a * softplus(x + dt), for x (n_head, kda_dim)."""
        dt = activation(affine(x, None, self.ssm_dt.data), "softplus")
        return affine(dt, np.broadcast_to(self.ssm_a.data, dt.shape).copy())

    def bounded_decay(self, x: Tensor, lowest: float, sign: float) -> Tensor:
        """lowest * sigmoid(sign * a * (x + dt)), for x (n_head, kda_dim)."""
        a = np.float32(sign) * np.broadcast_to(self.ssm_a.data, x.shape)
        added = a * self.ssm_dt.data.reshape(x.shape)
        return scale(activation(affine(x, a, added), "sigmoid"), lowest)

    def __call__(self, x: Tensor, c: KimiKeys, eps: float) -> Tensor:
        """(n_embd,)"""
        kernels = self.ssm_conv1d_q, self.ssm_conv1d_k, self.ssm_conv1d_v
        made = (convolution(linear(x, w), k.data) for w, k in zip(self.attn, kernels, strict=True))
        shape = len(self.ssm_a.data), c.kda_dim  # (n_head, kda_dim)
        q, k, v = (reshape(activation(t, "silu"), *shape) for t in made)
        beta = activation(linear(x, self.ssm_beta), "sigmoid")  # (n_head,)
        decay = self.decay(x, c)  # (n_head, kda_dim)
        y = delta_rule(unit(q, eps), unit(k, eps), v, decay, beta, c.kda_dim**-0.5)
        y = rms_norm(y, self.ssm_norm, eps)  # (n_head, kda_dim)
        return linear(glu(reshape(self.gate(x), *shape), y, "sigmoid"), self.attn_output)
