"""Qwen 3, dense: each head of q and k is normed before it is turned.

Qwen3, Yang et al. 2025, arXiv:2505.09388.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.decoder import Decoder
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, rotation
from vatra.models.verbs import (
    add,
    attention,
    embed,
    linear,
    rms_norm,
    rope,
    select_outputs,
    silu_mul,
)
from vatra.models.weights import Matrix, Vector, blocks, matrix, unused, vector


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*"""

    attn_norm: Vector = vector("n_embd")
    attn_q: Matrix = matrix("n_head * key_dim", "n_embd", bias=True)
    attn_k: Matrix = matrix("n_head_kv * key_dim", "n_embd", bias=True)
    attn_q_norm: Vector = vector("key_dim")
    attn_k_norm: Vector = vector("key_dim")
    attn_v: Matrix = matrix("n_head_kv * value_dim", "n_embd", bias=True)
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")
    ffn_norm: Vector = vector("n_embd")
    ffn_gate: Matrix = matrix("n_ff", "n_embd")
    ffn_up: Matrix = matrix("n_ff", "n_embd")
    ffn_down: Matrix = matrix("n_embd", "n_ff")


@dataclass(frozen=True)
class Weights:
    """All tensors of the file."""

    token_embd: Matrix = matrix("n_vocab", "n_embd")
    blk: tuple[Block, ...] = blocks(Block)
    output_norm: Vector = vector("n_embd")
    output: Matrix = matrix("n_vocab", "n_embd", tied_to="token_embd")
    leftovers: tuple[str, ...] = unused("cls.*")


def block(x: Tensor, w: Block, c: Decoder, turn: Rotation) -> Tensor:
    h = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    q = rms_norm(linear(h, w.attn_q, c.key_dim), w.attn_q_norm, c.eps)  # (n_head, key_dim)
    k = rms_norm(linear(h, w.attn_k, c.key_dim), w.attn_k_norm, c.eps)  # (n_head_kv, key_dim)
    v = linear(h, w.attn_v, c.value_dim)  # (n_head_kv, value_dim)
    a = attention(rope(q, turn), rope(k, turn), v, scale=c.key_dim**-0.5)  # (n_head, value_dim)
    x = add(x, linear(a, w.attn_output))  # (n_embd,)
    h = rms_norm(x, w.ffn_norm, c.eps)  # (n_embd,)
    f = silu_mul(linear(h, w.ffn_gate), linear(h, w.ffn_up))  # (n_ff,)
    return add(x, linear(f, w.ffn_down))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture qwen3, to be run with contexts of `n_ctx` tokens."""
    c = config.read(Decoder, checkpoint, "qwen3")
    w = weights.read(Weights, checkpoint, "qwen3", c)
    turn = rotation(c.n_rot, c.scaling, interleaved=False)
    plan = Plan("qwen3", c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for i, tensors in enumerate(w.blk):
        with plan.scope(f"blk.{i}"):
            x = block(x, tensors, c, turn)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
