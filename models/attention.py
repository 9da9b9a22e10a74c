"""The attention of a block, with all of its tensors, and what some models add to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from vatra.models.plan import Tensor
from vatra.models.rope import Rotation
from vatra.models.verbs import (
    activation,
    attention,
    linear,
    mul,
    qkv_heads,
    reshape,
    rms_norm,
    rope,
)
from vatra.models.weights import Matrix, Vector, matrix, qkv, vector


class Heads(Protocol):
    """What attention needs of a configuration; a scale of 0 is key_dim^-0.5."""

    @property
    def key_dim(self) -> int: ...
    @property
    def value_dim(self) -> int: ...
    @property
    def attention_scale(self) -> float: ...


@dataclass(frozen=True)
class SelfAttention:
    """Vaswani et al. 2017, arXiv:1706.03762; some models have sinks."""

    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_sinks: Vector | None = vector("n_head", optional=True)
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim", bias=True)

    def __call__(
        self, x: Tensor, c: Heads, turn: Rotation | None, window: int | None = None
    ) -> Tensor:
        """(n_embd,): queries and keys are turned by their position, if there is a `turn`."""
        q, k, v = qkv_heads(x, self.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, dim)
        if turn is not None:
            q, k = rope(q, turn), rope(k, turn)
        factor = c.attention_scale or c.key_dim**-0.5
        a = attention(q, k, v, factor, window=window, sinks=self.attn_sinks)  # (n_head, value_dim)
        return linear(a, self.attn_output)


@dataclass(frozen=True)
class Gate:
    """A gate of what attention gives: for each head, or each of its values."""

    attn_gate: Matrix = matrix("n_head * value_dim", "n_embd", or_rows="n_head")

    def __call__(self, a: Tensor, x: Tensor, kind: str = "sigmoid") -> Tensor:
        """a's shape (n_head, value_dim): x is what attention read."""
        gate = activation(linear(x, self.attn_gate), kind)  # (n_head or n_head * value_dim,)
        return mul(a, reshape(gate, a.shape[0], gate.width // a.shape[0]))


@dataclass(frozen=True)
class HeadNorms:
    """Norms of each head of q and k."""

    attn_q_norm: Vector = vector("key_dim")
    attn_k_norm: Vector = vector("key_dim")

    def __call__(self, q: Tensor, k: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        return rms_norm(q, self.attn_q_norm, eps), rms_norm(k, self.attn_k_norm, eps)


@dataclass(frozen=True)
class RowNorms:
    """Norms of q and k over all heads together."""

    attn_q_norm: Vector = vector("n_head * key_dim")
    attn_k_norm: Vector = vector("n_head_kv * key_dim")

    def __call__(self, q: Tensor, k: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        rows = rms_norm(reshape(q, q.width), self.attn_q_norm, eps)  # (n_head * key_dim,)
        columns = rms_norm(reshape(k, k.width), self.attn_k_norm, eps)  # (n_head_kv * key_dim,)
        return reshape(rows, *q.shape), reshape(columns, *k.shape)


@dataclass(frozen=True)
class NoNorms:
    """Queries and keys as they are."""

    def __call__(self, q: Tensor, k: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        return q, k


NORMS = {"head": HeadNorms, "row": RowNorms, "": NoNorms}
