"""Multi-head latent attention: what is remembered of a token is one row that all heads share.

The row is a latent and a few values that turn with the position. Each head's matrix for keys is
applied to its query instead, that for values to what attention gives. DeepSeek-V2,
arXiv:2405.04434. Old files have both in one matrix, which unfolds the latent for each head.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vatra.models.config import count, derived
from vatra.models.decoder import ExpertDecoder
from vatra.models.plan import Tensor
from vatra.models.rope import Rotation, Scaling
from vatra.models.verbs import (
    activation,
    attention,
    concat,
    head_linear,
    linear,
    mul,
    position_scale,
    repeat,
    reshape,
    rms_norm,
    rope,
    sparse_attention,
    split,
)
from vatra.models.weights import Matrix, Vector, group, matrix, vector


@dataclass(frozen=True)
class LatentDecoder(ExpertDecoder):
    """The keys of latent attention, those without _mla being of the shared row."""

    n_lora_q: int = count("attention.q_lora_rank", default=0, at_least=0)
    n_lora_kv: int = count("attention.kv_lora_rank")
    head_dim: int = count("attention.key_length_mla", default="key_dim", even=True)
    head_value_dim: int = count("attention.value_length_mla", default="value_dim")
    n_still: int = derived(lambda c: c["head_dim"] - c["n_rot"])  # values that do not turn


@dataclass(frozen=True)
class Reading:
    """How a layer reads the positions before it: `chosen` ones, those in the window, or all.

    Scores are multiplied by `scale`; queries by 1 + growth * ln(1 + floor(position / every)).
    """

    turn: Rotation
    scale: float
    window: int | None = None
    chosen: Tensor | None = None
    growth: float = 0.0
    every: int = 0

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor | int, sinks: Vector | None = None
    ) -> Tensor:
        """(n_head, value_dim)"""
        q = position_scale(q, self.every, self.growth) if self.growth else q
        if self.chosen is not None:
            return sparse_attention(q, k, v, self.scale, self.chosen, sinks=sinks)
        return attention(q, k, v, self.scale, window=self.window, sinks=sinks)


def reading(
    turn: Rotation, scaling: Scaling, head_dim: int, log_multiplier: float, *, same: bool = False
) -> Reading:
    """Of a whole context: scores and turned values both have their share of YaRN's gain.

    `log_multiplier` is mscale_all_dim of the models' own configuration, and with `same` also their
    mscale, if it is not 0; else that is 1.
    """
    if scaling.kind != "yarn":
        return Reading(turn, head_dim**-0.5)
    turned = scaling.gain(log_multiplier if same and log_multiplier else 1.0)
    everywhere = scaling.gain(log_multiplier)
    turn = replace(turn, magnitude=scaling.attn_factor * turned / everywhere)
    return Reading(turn, (scaling.attn_factor * turned) ** 2 * head_dim**-0.5)


@dataclass(frozen=True)
class LowRankQueries:
    """Queries through a latent of n_lora_q values."""

    attn_q_a: Matrix = matrix("n_lora_q", "n_embd")
    attn_q_a_norm: Vector = vector("n_lora_q")
    attn_q_b: Matrix = matrix("n_head * head_dim", "n_lora_q")

    def latent(self, x: Tensor, eps: float) -> Tensor:
        return rms_norm(linear(x, self.attn_q_a), self.attn_q_a_norm, eps)  # (n_lora_q,)

    def __call__(self, latent: Tensor, head_dim: int) -> Tensor:
        return linear(latent, self.attn_q_b, head_dim)  # (n_head, head_dim)


@dataclass(frozen=True)
class Queries:
    """Queries from one matrix: the smaller models."""

    attn_q: Matrix = matrix("n_head * head_dim", "n_embd")

    def latent(self, x: Tensor, eps: float) -> Tensor:
        return x  # (n_embd,)

    def __call__(self, latent: Tensor, head_dim: int) -> Tensor:
        return linear(latent, self.attn_q, head_dim)  # (n_head, head_dim)


@dataclass(frozen=True)
class Folded:
    """Attention to latents: n_head queries, one head of keys, whose first values are the values."""

    attn_k_b: Matrix = matrix("n_head", "n_lora_kv", "n_still")
    attn_v_b: Matrix = matrix("n_head", "head_value_dim", "n_lora_kv")

    @property
    def n_still(self) -> int:
        return self.attn_k_b.weight.shape[2]

    def __call__(
        self, q: Tensor, latent: Tensor, k_turned: Tensor, read: Reading, sinks: Vector | None
    ) -> Tensor:
        still, turned = split(q, self.n_still, q.shape[1] - self.n_still)  # (n_head, ...)
        still = head_linear(still, self.attn_k_b)  # (n_head, n_lora_kv)
        q = concat(still, rope(turned, read.turn))  # (n_head, n_lora_kv + n_rot)
        a = read(q, concat(latent, k_turned), latent.width, sinks)  # (n_head, n_lora_kv)
        return head_linear(a, self.attn_v_b)  # (n_head, head_value_dim)


@dataclass(frozen=True)
class Unfolded:
    """Attention to each head's own keys and values, as in old files."""

    attn_kv_b: Matrix = matrix("n_head * n_still + n_head * head_value_dim", "n_lora_kv")

    def __call__(
        self, q: Tensor, latent: Tensor, k_turned: Tensor, read: Reading, sinks: Vector | None
    ) -> Tensor:
        n_head, n_still = q.shape[0], q.shape[1] - k_turned.shape[1]
        both = linear(latent, self.attn_kv_b, self.attn_kv_b.weight.shape[0] // n_head)
        k, v = repeat(k_turned, n_head), both  # (n_head, n_rot), (n_head, value_dim)
        if n_still:
            still, v = split(both, n_still, both.shape[1] - n_still)
            k = concat(still, k)  # (n_head, head_dim)
        return read(rope(q, read.turn, first=n_still), k, v, sinks)  # (n_head, head_value_dim)


@dataclass(frozen=True)
class LatentAttention:
    """All tensors of a block's attention; some models norm the shared key, have sinks or gates."""

    queries: LowRankQueries | Queries = group(
        LowRankQueries, where="attn_q_a.weight", otherwise=Queries
    )
    attn_kv_a_mqa: Matrix = matrix("n_lora_kv + n_rot", "n_embd")
    attn_kv_a_norm: Vector = vector("n_lora_kv")
    attn_k_norm: Vector | None = vector("n_rot", optional=True)
    attn_sinks: Vector | None = vector("n_head", optional=True)
    heads: Folded | Unfolded = group(Unfolded, where="attn_kv_b.weight", otherwise=Folded)
    attn_gate: Matrix | None = matrix(
        "n_head * head_value_dim", "n_embd", optional=True, or_rows="n_head"
    )
    attn_output: Matrix = matrix("n_embd", "n_head * head_value_dim")

    def __call__(
        self, x: Tensor, q_latent: Tensor, head_dim: int, read: Reading, eps: float
    ) -> Tensor:
        """(n_embd,): `q_latent` is what the queries made of x."""
        n_lora_kv, n_rot = self.attn_kv_a_norm.data.size, 2 * len(read.turn.frequencies)
        latent, k = split(linear(x, self.attn_kv_a_mqa), n_lora_kv, n_rot)
        latent = reshape(rms_norm(latent, self.attn_kv_a_norm, eps), 1, n_lora_kv)
        k = reshape(k, 1, n_rot)
        if self.attn_k_norm is not None:
            k = rms_norm(k, self.attn_k_norm, eps)  # (1, n_rot)
        q, k = self.queries(q_latent, head_dim), rope(k, read.turn)  # (n_head, head_dim)
        a = self.heads(q, latent, k, read, self.attn_sinks)  # (n_head, head_value_dim)
        if self.attn_gate is not None:  # for each head, or each of its values
            gate = activation(linear(x, self.attn_gate), "sigmoid")
            a = mul(a, reshape(gate, a.shape[0], gate.width // a.shape[0]))
        return linear(a, self.attn_output)
