"""Refact: Llama whose attention leans to near tokens (ALiBi) instead of turning."""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.decoder import Decoder, Ends
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import leanings
from vatra.models.verbs import (
    add,
    attention,
    embed,
    glu,
    linear,
    qkv_heads,
    rms_norm,
    select_outputs,
)
from vatra.models.weights import Matrix, Vector, blocks, matrix, qkv, unused, vector

MOST_LEAN = 8.0


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*"""

    attn_norm: Vector = vector("n_embd")
    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")
    ffn_norm: Vector = vector("n_embd")
    ffn_gate: Matrix = matrix("n_ff", "n_embd")
    ffn_up: Matrix = matrix("n_ff", "n_embd")
    ffn_down: Matrix = matrix("n_embd", "n_ff")


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    blk: tuple[Block, ...] = blocks(Block)
    # no model has these in use
    leftovers: tuple[str, ...] = unused(
        "rope_freqs.weight", "blk.*.attn_output.bias", "blk.*.ffn_*.bias"
    )


def block(x: Tensor, w: Block, c: Decoder) -> Tensor:
    h = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    q, k, v = qkv_heads(h, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    slopes = leanings(q.shape[0], MOST_LEAN)  # (n_head,)
    a = attention(q, k, v, c.key_dim**-0.5, slopes=slopes)  # (n_head, value_dim)
    x = add(x, linear(a, w.attn_output))  # (n_embd,)
    h = rms_norm(x, w.ffn_norm, c.eps)  # (n_embd,)
    f = glu(linear(h, w.ffn_gate), linear(h, w.ffn_up))  # (n_ff,)
    return add(x, linear(f, w.ffn_down))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture refact."""
    c = config.read(Decoder, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, tensors, c)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
