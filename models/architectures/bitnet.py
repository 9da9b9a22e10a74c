"""BitNet b1.58: Llama of ternary weights, with a norm before the last matrix of each part.

Ma et al. 2024, arXiv:2402.17764.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.decoder import Decoder, Ends
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, rotation
from vatra.models.verbs import (
    add,
    attention,
    embed,
    glu,
    linear,
    qkv_heads,
    reshape,
    rms_norm,
    rope,
    select_outputs,
)
from vatra.models.weights import Matrix, Vector, blocks, matrix, qkv, unused, vector


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*"""

    attn_norm: Vector = vector("n_embd")
    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_sub_norm: Vector = vector("n_head * value_dim")
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim", bias=True)
    ffn_norm: Vector = vector("n_embd")
    ffn_gate: Matrix = matrix("n_ff", "n_embd")
    ffn_up: Matrix = matrix("n_ff", "n_embd")
    ffn_sub_norm: Vector = vector("n_ff")
    ffn_down: Matrix = matrix("n_embd", "n_ff")


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def block(x: Tensor, w: Block, c: Decoder, turn: Rotation) -> Tensor:
    h = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    q, k, v = qkv_heads(h, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    a = attention(rope(q, turn), rope(k, turn), v, c.key_dim**-0.5)  # (n_head, value_dim)
    a = rms_norm(reshape(a, a.width), w.attn_sub_norm, c.eps)  # (n_head * value_dim,)
    x = add(x, linear(a, w.attn_output))  # (n_embd,)
    h = rms_norm(x, w.ffn_norm, c.eps)  # (n_embd,)
    h = glu(linear(h, w.ffn_gate), linear(h, w.ffn_up))  # (n_ff,)
    return add(x, linear(rms_norm(h, w.ffn_sub_norm, c.eps), w.ffn_down))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture bitnet."""
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
