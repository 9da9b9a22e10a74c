"""DBRX: LayerNorms, and queries, keys and values clamped to a range.

Databricks 2024, https://www.databricks.com/blog/introducing-dbrx-new-state-art-open-llm.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import number
from vatra.models.decoder import Ends, ExpertDecoder
from vatra.models.experts import Experts
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, rotation
from vatra.models.verbs import (
    add,
    attention,
    clamp,
    embed,
    layer_norm,
    linear,
    qkv_heads,
    rope,
    select_outputs,
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, qkv, unused, vector


@dataclass(frozen=True)
class Config(ExpertDecoder):
    """The metadata keys below dbrx.*"""

    eps: float = number("attention.layer_norm_epsilon", at_most=1.0)
    clamp_qkv: float = number("attention.clamp_kqv")


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*; attn_output_norm is of what the experts read."""

    attn_norm: Vector = vector("n_embd")
    attn: tuple[Matrix, Matrix, Matrix] = qkv(bias=False)
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")
    attn_output_norm: Vector = vector("n_embd")
    feed_forward: Experts = group(Experts)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def block(x: Tensor, w: Block, c: Config, turn: Rotation) -> Tensor:
    h = layer_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    parts = qkv_heads(h, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    q, k, v = (clamp(part, -c.clamp_qkv, c.clamp_qkv) for part in parts)  # the same shapes
    a = attention(rope(q, turn), rope(k, turn), v, c.key_dim**-0.5)  # (n_head, value_dim)
    x = add(x, linear(a, w.attn_output))  # (n_embd,)
    h = layer_norm(x, w.attn_output_norm, c.eps)  # (n_embd,)
    return add(x, w.feed_forward(h, c))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture dbrx."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    turn = rotation(c.n_rot, c.scaling, interleaved=False)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, turn)  # (n_embd,)
    x = layer_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
