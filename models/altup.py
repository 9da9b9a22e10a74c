"""Alternating updates: streams of which a layer computes the first and guesses the others.

AltUp, Baykal et al. 2023, arXiv:2301.13310.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vatra.models.plan import Tensor
from vatra.models.verbs import (
    activation,
    add,
    affine,
    concat,
    head_linear,
    l2_norm,
    linear,
    mul,
    piece,
    repeat,
    reshape,
    rms_norm,
    scale,
    weighted_sum,
)
from vatra.models.weights import Matrix, Vector, matrix, vector

N_STREAMS = 4  # no key says it
TINY = 1e-20


class Streamed(Protocol):
    """What the streams need of a configuration."""

    @property
    def n_embd(self) -> int: ...
    @property
    def eps(self) -> float: ...


@dataclass(frozen=True)
class StreamEnds:
    """The tensors before and after all blocks that part x into streams, and join them."""

    altup_proj: Matrix = matrix("3", "n_embd", "n_embd")
    altup_unembd_proj: Matrix = matrix("3", "n_embd", "n_embd")

    def part(self, x: Tensor) -> list[Tensor]:
        """x (n_embd,) as the first of N_STREAMS of its shape and length."""
        n = N_STREAMS - 1
        others = head_linear(repeat(reshape(x, 1, x.width), n), self.altup_proj)  # (n, n_embd)
        return [x, *rows(as_long_as(others, x))]

    def join(self, streams: list[Tensor]) -> Tensor:
        """(n_embd,): the mean of all streams, each made as long as the first."""
        others = head_linear(stacked(streams[1:]), self.altup_unembd_proj)  # (n, n_embd)
        x = streams[0]
        for y in rows(as_long_as(others, x)):
            x = add(x, y)  # (n_embd,)
        return scale(x, 1 / N_STREAMS)


@dataclass(frozen=True)
class AltUp:
    """The tensors altup_* of blk.N.*"""

    altup_correct_coef: Matrix = matrix("4", "4")
    altup_correct_scale: Vector = vector("n_embd")
    altup_predict_coef: Matrix = matrix("16", "4")
    altup_router: Matrix = matrix("4", "n_embd")
    altup_router_norm: Vector = vector("n_embd")

    def modalities(self, x: Tensor, c: Streamed) -> Tensor:
        h = scale(rms_norm(x, self.altup_router_norm, c.eps), 1 / c.n_embd)  # (n_embd,)
        return activation(linear(h, self.altup_router), "tanh")  # (N_STREAMS,)

    def predict(self, streams: list[Tensor], c: Streamed) -> list[Tensor]:
        """Each stream plus a mixture of all."""
        shares = linear(self.modalities(streams[0], c), self.altup_predict_coef)  # (N_STREAMS^2,)
        together = stacked(streams)  # (N_STREAMS, n_embd)
        mixed = (
            weighted_sum(together, piece(shares, N_STREAMS * i, N_STREAMS))
            for i in range(N_STREAMS)
        )
        return [add(x, y) for x, y in zip(streams, mixed, strict=True)]

    def correct(self, predicted: list[Tensor], computed: Tensor, c: Streamed) -> list[Tensor]:
        """Each prediction plus a share of what the first one was wrong by."""
        shares = linear(self.modalities(computed, c), self.altup_correct_coef)  # (N_STREAMS,)
        shares = affine(shares, bias=np.ones(N_STREAMS, np.float32))
        wrong = add(computed, scale(predicted[0], -1.0))  # (n_embd,)
        each = (mul(wrong, piece(shares, i, 1)) for i in range(N_STREAMS))
        return [add(x, y) for x, y in zip(predicted, each, strict=True)]


def stacked(streams: list[Tensor]) -> Tensor:
    """(len(streams), n_embd)."""
    together = streams[0]
    for x in streams[1:]:
        together = concat(together, x)
    return reshape(together, len(streams), streams[0].width)


def rows(x: Tensor) -> list[Tensor]:
    """The rows of x (n, dim), each (dim,)."""
    n, dim = x.shape
    flat = reshape(x, n * dim)
    return [piece(flat, i * dim, dim) for i in range(n)]


def length(x: Tensor) -> Tensor:
    """(1,): the Euclidean length of x (n,), as x times its direction."""
    return weighted_sum(reshape(x, x.width, 1), l2_norm(x, TINY))


def as_long_as(x: Tensor, y: Tensor) -> Tensor:
    """x's shape (n, n_embd): each row as long as y (n_embd,)."""
    n = x.shape[0]
    return mul(l2_norm(x, TINY), repeat(reshape(length(y), 1, 1), n))
