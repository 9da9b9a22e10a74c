"""Phi-3, Phi-3.5 and Phi-4, and Phi-3.5 MoE: Llama with long contexts by LongRoPE.

Phi-3, arXiv:2404.14219; LongRoPE, arXiv:2402.13753. The mixture's norms have biases.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.decoder import ExpertDecoder, LayerNormEnds
from vatra.models.experts import Experts
from vatra.models.feed_forward import FusedGated
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, long_or_short, rotation
from vatra.models.verbs import (
    add,
    affine,
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
    """The tensors blk.N.*; the gate is the first half of ffn_up, but in mixtures."""

    attn_norm: Vector = vector("n_embd", bias=True)
    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim", bias=True)
    ffn_norm: Vector = vector("n_embd", bias=True)
    ffn: Experts | FusedGated = group(Experts, where="ffn_gate_inp.weight", otherwise=FusedGated)

    def feed_forward(self, x: Tensor, c: ExpertDecoder) -> Tensor:
        return self.ffn(x, c) if isinstance(self.ffn, Experts) else self.ffn(x)


@dataclass(frozen=True)
class Weights(LayerNormEnds):
    """All tensors of the file."""

    rope_factors_short: Vector | None = vector("n_rot // 2", optional=True, positive=True)
    rope_factors_long: Vector | None = vector("n_rot // 2", optional=True, positive=True)
    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def norm(x: Tensor, w: Vector, c: ExpertDecoder) -> Tensor:
    """x's shape: by its RMS, plus the bias if there is one."""
    h = rms_norm(x, w, c.eps)
    return h if w.bias is None else affine(h, bias=w.bias)


def block(x: Tensor, w: Block, c: ExpertDecoder, turn: Rotation) -> Tensor:
    h = norm(x, w.attn_norm, c)  # (n_embd,)
    q, k, v = qkv_heads(h, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    a = attention(rope(q, turn), rope(k, turn), v, c.key_dim**-0.5)  # (n_head, value_dim)
    x = add(x, linear(a, w.attn_output))  # (n_embd,)
    return add(x, w.feed_forward(norm(x, w.ffn_norm, c), c))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture phi3 or phimoe, for contexts of `n_ctx` tokens."""
    c = config.read(ExpertDecoder, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    factors = long_or_short(
        c.scaling, n_ctx or c.n_ctx_train, w.rope_factors_long, w.rope_factors_short
    )
    turn = rotation(c.n_rot, c.scaling, interleaved=False, factors=factors)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, turn)  # (n_embd,)
    x = norm(select_outputs(x), w.output_norm, c)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
