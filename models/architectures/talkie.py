"""Talkie: norms without weights, and a share of the embedding added after each layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import number
from vatra.models.decoder import Decoder
from vatra.models.feed_forward import Gated
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, rotation
from vatra.models.verbs import (
    add,
    affine,
    attention,
    embed,
    linear,
    qkv_heads,
    rms_norm,
    rope,
    scale,
    select_outputs,
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, qkv, unused, vector


@dataclass(frozen=True)
class Config(Decoder):
    """The metadata keys below talkie.*"""

    logit_scale: float = number("logit_scale")


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*"""

    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_q_norm: Vector = vector("n_head", "1")
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")
    ffn: Gated = group(Gated)
    layer_output_scale: Vector = vector("1")


@dataclass(frozen=True)
class Weights:
    """All tensors of the file."""

    token_embd: Matrix = matrix("n_vocab", "n_embd")
    output: Matrix = matrix("n_vocab", "n_embd", tied_to="token_embd")
    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def block(x: Tensor, first: Tensor, w: Block, c: Config, turn: Rotation) -> Tensor:
    h = rms_norm(x, None, c.eps)  # (n_embd,)
    q, k, v = qkv_heads(h, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    q, k = rms_norm(rope(q, turn), None, c.eps), rms_norm(rope(k, turn), None, c.eps)
    q = affine(q, np.repeat(w.attn_q_norm.data, c.key_dim, axis=1))  # (n_head, key_dim)
    x = add(x, linear(attention(q, k, v, c.key_dim**-0.5), w.attn_output))  # (n_embd,)
    x = add(x, w.ffn(rms_norm(x, None, c.eps)))  # (n_embd,)
    return add(x, scale(first, float(w.layer_output_scale.data[0])))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture talkie."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    turn = rotation(c.n_rot, c.scaling, interleaved=False)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = first = rms_norm(embed(plan, w.token_embd), None, c.eps)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, first, tensors, c, turn)  # (n_embd,)
    x = rms_norm(select_outputs(x), None, c.eps)  # (n_embd,)
    affine(linear(x, w.output, name="output"), factor=c.logit_scale, name="logits")  # (n_vocab,)
    return plan
