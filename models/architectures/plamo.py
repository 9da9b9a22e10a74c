"""PLaMo 13B: attention and feed-forward side by side, both of the same norm."""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.decoder import Decoder, Ends
from vatra.models.feed_forward import Gated
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, rotation
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
class Block:
    """The tensors blk.N.*"""

    attn_norm: Vector = vector("n_embd")
    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")
    ffn: Gated = group(Gated)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def block(x: Tensor, w: Block, c: Decoder, turn: Rotation) -> Tensor:
    h = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    q, k, v = qkv_heads(h, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    a = attention(rope(q, turn), rope(k, turn), v, c.key_dim**-0.5)  # (n_head, value_dim)
    return add(add(x, linear(a, w.attn_output)), w.ffn(h))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture plamo."""
    c = config.read(Decoder, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    turn = rotation(c.n_rot, c.scaling, interleaved=False)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, turn)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
