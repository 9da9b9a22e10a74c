"""Chameleon: Llama with a LayerNorm for each head of q and k, for text and tokens of images.

The larger model norms what each part gives, not what it reads. arXiv:2405.09818.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import flag
from vatra.models.decoder import Decoder, Ends
from vatra.models.feed_forward import Gated
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, rotation
from vatra.models.verbs import (
    add,
    affine,
    attention,
    embed,
    layer_norm,
    linear,
    qkv_heads,
    rms_norm,
    rope,
    select_outputs,
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, qkv, unused, vector

HEAD_EPS = 1e-5
IMAGES = slice(4, 8196)  # tokens that are parts of images, which nothing here could show
NEVER = np.finfo(np.float32).min


@dataclass(frozen=True)
class Config(Decoder):
    """The metadata keys below chameleon.*"""

    norms_after: bool = flag("swin_norm", default=False)


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*"""

    attn_norm: Vector = vector("n_embd")
    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_q_norm: Vector = vector("n_head", "key_dim", bias=True)
    attn_k_norm: Vector = vector("n_head_kv", "key_dim", bias=True)
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")
    ffn_norm: Vector = vector("n_embd")
    ffn: Gated = group(Gated)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def attended(x: Tensor, w: Block, c: Config, turn: Rotation) -> Tensor:
    q, k, v = qkv_heads(x, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    q = rope(layer_norm(q, w.attn_q_norm, HEAD_EPS), turn)  # (n_head, key_dim)
    k = rope(layer_norm(k, w.attn_k_norm, HEAD_EPS), turn)  # (n_head_kv, key_dim)
    return linear(attention(q, k, v, c.key_dim**-0.5), w.attn_output)  # (n_embd,)


def block(x: Tensor, w: Block, c: Config, turn: Rotation) -> Tensor:
    if c.norms_after:
        x = add(x, rms_norm(attended(x, w, c, turn), w.attn_norm, c.eps))  # (n_embd,)
        return add(x, rms_norm(w.ffn(x), w.ffn_norm, c.eps))  # (n_embd,)
    x = add(x, attended(rms_norm(x, w.attn_norm, c.eps), w, c, turn))  # (n_embd,)
    return add(x, w.ffn(rms_norm(x, w.ffn_norm, c.eps)))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture chameleon."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    turn = rotation(c.n_rot, c.scaling, interleaved=True)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, turn)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    text, never = np.ones(c.n_vocab, np.float32), np.zeros(c.n_vocab, np.float32)
    text[IMAGES], never[IMAGES] = 0.0, NEVER
    affine(linear(x, w.output, name="output"), text, never, name="logits")  # (n_vocab,)
    return plan
