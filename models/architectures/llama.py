"""Llama 1 to 3, Mistral, Mixtral and their kin: dense, or a mixture of experts.

LLaMA, Touvron et al. 2023, arXiv:2302.13971; Mixtral, Jiang et al. 2024, arXiv:2401.04088.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import count
from vatra.models.decoder import Ends, ExpertDecoder
from vatra.models.experts import Experts
from vatra.models.feed_forward import Gated
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, long_or_short, rotation
from vatra.models.verbs import (
    add,
    attention,
    embed,
    linear,
    qkv_heads,
    rms_norm,
    rope,
    select_outputs,
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, qkv, unused, vector


@dataclass(frozen=True)
class Config(ExpertDecoder):
    """The metadata keys below llama.*"""

    n_rot: int = count("rope.dimension_count", default="key_dim", equals="key_dim", even=True)


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.* that every layer has."""

    attn_norm: Vector = vector("n_embd")
    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim", bias=True)
    ffn_norm: Vector = vector("n_embd")


@dataclass(frozen=True)
class Dense(Block):
    """A block with one feed-forward network."""

    ffn: Gated = group(Gated)

    def feed_forward(self, x: Tensor, c: Config) -> Tensor:
        return self.ffn(x)


@dataclass(frozen=True)
class Mixture(Block):
    """A block whose tokens each choose n_expert_used of n_expert feed-forward networks."""

    ffn: Experts = group(Experts)

    def feed_forward(self, x: Tensor, c: Config) -> Tensor:
        return self.ffn(x, c)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    rope_freqs: Vector | None = vector("n_rot // 2", optional=True, positive=True)
    rope_factors_short: Vector | None = vector("n_rot // 2", optional=True, positive=True)
    rope_factors_long: Vector | None = vector("n_rot // 2", optional=True, positive=True)
    blk: tuple[Dense | Mixture, ...] = blocks(lambda c, _: Mixture if c.n_expert else Dense)
    leftovers: tuple[str, ...] = unused("cls.*")


def block(x: Tensor, w: Dense | Mixture, c: Config, turn: Rotation) -> Tensor:
    h = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    q, k, v = qkv_heads(h, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    a = attention(rope(q, turn), rope(k, turn), v, c.key_dim**-0.5)  # (n_head, value_dim)
    x = add(x, linear(a, w.attn_output))  # (n_embd,)
    h = rms_norm(x, w.ffn_norm, c.eps)  # (n_embd,)
    return add(x, w.feed_forward(h, c))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture llama, to be run with contexts of `n_ctx` tokens."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    factors = w.rope_freqs or long_or_short(
        c.scaling, n_ctx or c.n_ctx_train, w.rope_factors_long, w.rope_factors_short
    )
    turn = rotation(c.n_rot, c.scaling, interleaved=True, factors=factors)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, turn)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
