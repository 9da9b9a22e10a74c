"""Mamba's layers, a mixer of tokens beside attention: a recurrence over time in each channel.

Mamba, Gu and Dao 2023, arXiv:2312.00752. Mamba 2, Dao and Gu 2024, arXiv:2405.21060.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vatra.models.config import count, flag, number
from vatra.models.plan import Tensor
from vatra.models.verbs import (
    activation,
    convolution,
    glu,
    linear,
    reshape,
    rms_norm,
    selective_scan,
    split,
)
from vatra.models.weights import Matrix, Vector, fused, matrix, vector


@dataclass(frozen=True)
class StateSpace:
    """The keys below ssm.*"""

    n_conv: int = count("ssm.conv_kernel")
    d_inner: int = count("ssm.inner_size")
    d_state: int = count("ssm.state_size")
    dt_rank: int = count("ssm.time_step_rank")
    norm_dt_b_c: bool = flag("ssm.dt_b_c_rms", default=False)
    eps: float = number("attention.layer_norm_rms_epsilon", at_most=1.0)


@dataclass(frozen=True)
class StateSpaceHeads(StateSpace):
    """The same for Mamba 2, whose rank is the number of heads."""

    dt_rank: int = count("ssm.time_step_rank", divides="d_inner")
    n_ssm_group: int = count("ssm.group_count", default=1, divides="dt_rank")


@dataclass(frozen=True)
class Mamba:
    """d_inner heads of one value, with a decay for each value of their states."""

    ssm_in: tuple[Matrix, Matrix] = fused(
        "ssm_in", "n_embd", ssm_in_x="d_inner", ssm_in_z="d_inner"
    )
    ssm_conv1d: Vector = vector("d_inner", "n_conv")
    conv_bias: Vector = vector("d_inner", of="ssm_conv1d", suffix=".bias")
    ssm_x: tuple[Matrix, Matrix, Matrix] = fused(
        "ssm_x", "d_inner", ssm_x_dt="dt_rank", ssm_x_b="d_state", ssm_x_c="d_state"
    )
    ssm_dt_norm: Vector | None = vector("dt_rank", optional=True)
    ssm_b_norm: Vector | None = vector("d_state", optional=True)
    ssm_c_norm: Vector | None = vector("d_state", optional=True)
    ssm_dt: Matrix = matrix("d_inner", "dt_rank", bias=True)
    ssm_a: Vector = vector("d_inner", "d_state", suffix="")  # -exp(A_log)
    ssm_d: Vector = vector("d_inner", suffix="")
    ssm_out: Matrix = matrix("n_embd", "d_inner")

    def __call__(self, x: Tensor, c: StateSpace) -> Tensor:
        """(n_embd,)"""
        x, z = (linear(x, w) for w in self.ssm_in)  # (d_inner,), (d_inner,)
        x = activation(convolution(x, self.ssm_conv1d.data, self.conv_bias.data), "silu")
        norms = self.ssm_dt_norm, self.ssm_b_norm, self.ssm_c_norm
        made = [linear(x, w) for w in self.ssm_x]  # (dt_rank,), (d_state,), (d_state,)
        if c.norm_dt_b_c or all(norms):
            made = [rms_norm(t, w, c.eps) for t, w in zip(made, norms, strict=True)]
        dt = activation(linear(made[0], self.ssm_dt), "softplus")  # (d_inner,)
        b_t, c_t = (reshape(t, 1, c.d_state) for t in made[1:])  # (1, d_state), (1, d_state)
        x = reshape(x, c.d_inner, 1)
        y = selective_scan(x, dt, b_t, c_t, self.ssm_a.data, self.ssm_d.data)  # (d_inner, 1)
        return linear(glu(z, reshape(y, c.d_inner), "silu"), self.ssm_out)


@dataclass(frozen=True)
class Mamba2:
    """dt_rank heads with one decay each; groups of neighbouring heads share b and c."""

    ssm_in: tuple[Matrix, Matrix, Matrix] = fused(
        "ssm_in",
        "n_embd",
        ssm_in_z="d_inner",
        ssm_in_xbc="d_inner + 2 * n_ssm_group * d_state",
        ssm_in_dt="dt_rank",
    )
    ssm_conv1d: Vector = vector("d_inner + 2 * n_ssm_group * d_state", "n_conv")
    conv_bias: Vector | None = vector(
        "d_inner + 2 * n_ssm_group * d_state", of="ssm_conv1d", suffix=".bias", optional=True
    )
    ssm_dt: Vector = vector("dt_rank", suffix=".bias")
    ssm_a: Vector = vector("dt_rank", "1", suffix="")  # -exp(A_log)
    ssm_d: Vector = vector("dt_rank", "1", suffix="")
    ssm_norm: Vector | None = vector("n_ssm_group", "d_inner // n_ssm_group", optional=True)
    ssm_out: Matrix = matrix("n_embd", "d_inner")

    def __call__(self, x: Tensor, c: StateSpaceHeads) -> Tensor:
        """(n_embd,)"""
        w_z, w_xbc, w_dt = self.ssm_in
        bias = None if self.conv_bias is None else self.conv_bias.data
        xbc = activation(convolution(linear(x, w_xbc), self.ssm_conv1d.data, bias), "silu")
        x_t, b_t, c_t = split(xbc, c.d_inner, c.n_ssm_group * c.d_state, c.n_ssm_group * c.d_state)
        x_t = reshape(x_t, c.dt_rank, c.d_inner // c.dt_rank)  # (n_head, head_dim)
        b_t, c_t = (reshape(t, c.n_ssm_group, c.d_state) for t in (b_t, c_t))  # (n_group, d_state)
        dt = activation(linear(x, replace(w_dt, bias=self.ssm_dt.data)), "softplus")  # (n_head,)
        y = selective_scan(x_t, dt, b_t, c_t, self.ssm_a.data, self.ssm_d.data.reshape(-1))
        y = glu(linear(x, w_z), reshape(y, c.d_inner), "silu")  # (d_inner,)
        if self.ssm_norm is not None:
            y = reshape(y, c.n_ssm_group, c.d_inner // c.n_ssm_group)
            y = rms_norm(y, self.ssm_norm, c.eps)  # (n_group, d_inner / n_group)
        return linear(y, self.ssm_out)
