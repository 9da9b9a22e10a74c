"""Apertus: normed heads and a feed-forward network without gate, of an activation of its own.

Swiss AI Initiative 2025, arXiv:2509.14233; xIELU, Huang and Schlag 2024, arXiv:2411.13010.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.attention import HeadNorms
from vatra.models.config import number_per_layer
from vatra.models.decoder import Decoder, Ends
from vatra.models.feed_forward import Plain
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, long_or_short, rotation
from vatra.models.verbs import (
    activation,
    add,
    affine,
    attention,
    clamp,
    embed,
    linear,
    qkv_heads,
    rms_norm,
    rope,
    scale,
    select_outputs,
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, qkv, unused, vector

NEAR_ZERO = 1e-3


@dataclass(frozen=True)
class Config(Decoder):
    """The metadata keys below apertus.* and xielu.*"""

    alpha_n: tuple[float, ...] = number_per_layer("xielu.alpha_n", bare=True, at_least=-80.0)
    alpha_p: tuple[float, ...] = number_per_layer("xielu.alpha_p", bare=True, at_least=-80.0)
    beta: tuple[float, ...] = number_per_layer("xielu.beta", bare=True)
    # values between this and 0 need no care with floats: exp is close enough to 1 there
    eps_xielu: tuple[float, ...] = number_per_layer(
        "xielu.eps", bare=True, at_least=-NEAR_ZERO, at_most=NEAR_ZERO
    )


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*"""

    attn_norm: Vector = vector("n_embd")
    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    norms: HeadNorms = group(HeadNorms)
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim", bias=True)
    ffn_norm: Vector = vector("n_embd")
    ffn: Plain = group(Plain)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    rope_freqs: Vector | None = vector("n_rot // 2", optional=True, positive=True)
    rope_factors_short: Vector | None = vector("n_rot // 2", optional=True, positive=True)
    rope_factors_long: Vector | None = vector("n_rot // 2", optional=True, positive=True)
    blk: tuple[Block, ...] = blocks(Block)
    # no model has such biases in use
    leftovers: tuple[str, ...] = unused("blk.*.attn_q_norm.bias", "blk.*.attn_k_norm.bias")


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def xielu(x: Tensor, alpha_n: float, alpha_p: float, beta: float) -> Tensor:
    """x's shape: a x^2 + beta x above 0, b (exp(x) - 1 - x) + beta x below.

    a = softplus(alpha_p), b = beta + softplus(alpha_n)
    """
    a, b = softplus(alpha_p), beta + softplus(alpha_n)
    below = clamp(x, -math.inf, 0.0)
    shift = np.full(x.shape[-1], -b, np.float32)
    curve = affine(activation(below, "exp"), None, shift, b)  # b (exp(below) - 1)
    curve = add(curve, scale(activation(x, "relu2"), a))
    return add(curve, add(scale(x, beta), scale(below, -b)))


def block(x: Tensor, w: Block, c: Config, layer: int, turn: Rotation) -> Tensor:
    h = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    q, k, v = qkv_heads(h, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    q, k = w.norms(q, k, c.eps)  # the same shapes
    a = attention(rope(q, turn), rope(k, turn), v, c.key_dim**-0.5)  # (n_head, value_dim)
    x = add(x, linear(a, w.attn_output))  # (n_embd,)
    curve = c.alpha_n[layer], c.alpha_p[layer], c.beta[layer]
    h = rms_norm(x, w.ffn_norm, c.eps)  # (n_embd,)
    return add(x, w.ffn(h, lambda up: xielu(up, *curve)))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture apertus, to be run with contexts of `n_ctx` tokens."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    factors = w.rope_freqs or long_or_short(
        c.scaling, n_ctx or c.n_ctx_train, w.rope_factors_long, w.rope_factors_short
    )
    turn = rotation(c.n_rot, c.scaling, interleaved=False, factors=factors)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for i, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, i, turn)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
