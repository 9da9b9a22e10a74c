"""Grok 1 and 2: norms before and after each part, soft caps, and in Grok 2 a dense network as well.

xAI 2024, https://github.com/xai-org/grok-1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import number
from vatra.models.decoder import Ends, ExpertDecoder
from vatra.models.experts import Experts
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
    scale,
    select_outputs,
    softcap,
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, qkv, unused, vector


@dataclass(frozen=True)
class Config(ExpertDecoder):
    """The metadata keys below grok.*; the defaults are those of Grok 1."""

    beta_fast: float = number("rope.scaling.yarn_beta_fast", default=8.0)
    logit_scale: float = number("logit_scale", default=0.5773502691896257)
    embedding_scale: float = number("embedding_scale", default=78.38367176906169)
    score_scale: float = number("attention.output_scale", default=0.08838834764831845)
    score_cap: float = number("attn_logit_softcapping", default=30.0)
    logit_cap: float = number("final_logit_softcapping", default=0.0, at_least=0.0)


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*; the last norm has one of two names."""

    attn_norm: Vector = vector("n_embd")
    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")
    attn_output_norm: Vector = vector("n_embd")
    ffn_norm: Vector = vector("n_embd")
    experts: Experts = group(Experts)
    dense: Gated | None = group(Gated, where="ffn_up.weight")
    layer_output_norm: Vector | None = vector("n_embd", optional=True)
    post_ffw_norm: Vector | None = vector("n_embd", optional=True)

    def feed_forward(self, x: Tensor, c: Config) -> Tensor:
        h = self.experts(x, c, "gelu")  # (n_embd,)
        if self.dense is None:
            return h
        return scale(add(self.dense(x, "gelu"), h), sqrt(2) / 2)  # (n_embd,)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def block(x: Tensor, w: Block, c: Config, turn: Rotation) -> Tensor:
    h = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    q, k, v = qkv_heads(h, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    q, k = rope(q, turn), rope(k, turn)  # the same shapes
    a = attention(q, k, v, c.score_scale, softcap=c.score_cap)  # (n_head, value_dim)
    x = add(x, rms_norm(linear(a, w.attn_output), w.attn_output_norm, c.eps))  # (n_embd,)
    h = w.feed_forward(rms_norm(x, w.ffn_norm, c.eps), c)  # (n_embd,)
    return add(x, rms_norm(h, w.layer_output_norm or w.post_ffw_norm, c.eps))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture grok."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    turn = rotation(c.n_rot, replace(c.scaling, beta_fast=c.beta_fast), interleaved=False)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = scale(embed(plan, w.token_embd), c.embedding_scale)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, turn)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    logits = linear(scale(x, c.logit_scale), w.output, name="logits")  # (n_vocab,)
    softcap(logits, c.logit_cap)  # (n_vocab,)
    return plan
