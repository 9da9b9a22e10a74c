"""RWKV 6, and QRWKV 6, which is Qwen 2.5 with such a memory in the place of attention.

Each layer mixes a token with the one before it, by shares that depend on the token. Eagle and
Finch, Peng et al. 2024, arXiv:2404.05892; RADLADS, Goldstein et al. 2025, arXiv:2505.03005.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import count, derived
from vatra.models.feed_forward import Gated
from vatra.models.plan import Plan, Tensor
from vatra.models.rwkv import HEAD_EPS, GatedChannelMix, RwkvEnds, RwkvTrunk, step_back
from vatra.models.verbs import (
    activation,
    add,
    affine,
    glu,
    head_linear,
    layer_norm,
    linear,
    mul,
    repeat,
    reshape,
    rms_norm,
    scale,
    select_outputs,
    split,
    total,
    wkv,
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, unused, vector

Array = np.ndarray


@dataclass(frozen=True)
class Config(RwkvTrunk):
    """The metadata keys below rwkv6.* or rwkv6qwen2.*"""

    given_head_kv: int = count("attention.head_count_kv", default=0, at_least=0)
    n_head_kv: int = derived(lambda c: c["given_head_kv"] or c["n_head"])
    n_mix: int = count("time_mix_extra_dim")
    n_decay: int = count("time_decay_extra_dim")
    halve_every: int = count("rescale_every_n_layers", default=0, at_least=0)


@dataclass(frozen=True)
class TimeMix:
    """The memory of all tokens so far."""

    time_mix_lerp_x: Vector = vector("n_embd", axes_of_1=True)
    time_mix_lerp_fused: Vector | None = vector("5", "n_embd", optional=True, axes_of_1=True)
    # old files have these five in the place of the one
    time_mix_lerp_w: Vector | None = vector("n_embd", optional=True, axes_of_1=True)
    time_mix_lerp_k: Vector | None = vector("n_embd", optional=True, axes_of_1=True)
    time_mix_lerp_v: Vector | None = vector("n_embd", optional=True, axes_of_1=True)
    time_mix_lerp_r: Vector | None = vector("n_embd", optional=True, axes_of_1=True)
    time_mix_lerp_g: Vector | None = vector("n_embd", optional=True, axes_of_1=True)
    time_mix_w1: Matrix = matrix("5 * n_mix", "n_embd")
    time_mix_w2: Matrix = matrix("5", "n_embd", "n_mix")
    time_mix_first: Vector | None = vector("n_head", "head_dim", optional=True)
    time_mix_decay: Vector = vector("n_embd")
    time_mix_decay_w1: Matrix = matrix("n_decay", "n_embd")
    time_mix_decay_w2: Matrix = matrix("n_embd", "n_decay")
    time_mix_receptance: Matrix = matrix("n_embd", "n_embd", bias=True)
    time_mix_key: Matrix = matrix("n_head_kv * head_dim", "n_embd", bias=True)
    time_mix_value: Matrix = matrix("n_head_kv * head_dim", "n_embd", bias=True)
    time_mix_gate: Matrix = matrix("n_embd", "n_embd")
    time_mix_ln: Vector | None = vector("n_embd", bias=True, optional=True)
    time_mix_output: Matrix = matrix("n_embd", "n_embd")

    def mixed(self, x: Tensor, c: Config) -> list[Tensor]:
        """Five mixtures (n_embd,) of x and the token before: for decay, k, v, r and gate."""
        step = step_back(x)  # (n_embd,)
        h = linear(add(x, affine(step, self.time_mix_lerp_x.data)), self.time_mix_w1, c.n_mix)
        h = head_linear(activation(h, "tanh"), self.time_mix_w2)  # (5, n_embd)
        shares = split(reshape(affine(h, None, self.lerp()), h.width), *(c.n_embd,) * 5)
        return [add(x, mul(share, step)) for share in shares]

    def lerp(self) -> Array:
        """float32 (5, n_embd): shares of the token before, to which each token adds its own."""
        if self.time_mix_lerp_fused is not None:
            return self.time_mix_lerp_fused.data
        w, k, v = self.time_mix_lerp_w, self.time_mix_lerp_k, self.time_mix_lerp_v
        each = w, k, v, self.time_mix_lerp_r, self.time_mix_lerp_g
        return np.stack([one.data for one in each if one is not None])

    def __call__(self, x: Tensor, c: Config) -> Tensor:
        """(n_embd,)"""
        x_w, x_k, x_v, x_r, x_g = self.mixed(x, c)
        r = linear(x_r, self.time_mix_receptance, c.head_dim)  # (n_head, head_dim)
        k = linear(x_k, self.time_mix_key, c.head_dim)  # (n_head_kv, head_dim)
        v = linear(x_v, self.time_mix_value, c.head_dim)  # (n_head_kv, head_dim)
        k, v = (repeat(t, c.n_head // c.n_head_kv) for t in (k, v))  # (n_head, head_dim)
        w = linear(activation(linear(x_w, self.time_mix_decay_w1), "tanh"), self.time_mix_decay_w2)
        w = scale(activation(affine(w, None, self.time_mix_decay.data), "exp"), -1.0)
        decay, gate = reshape(w, c.n_head, c.head_dim), linear(x_g, self.time_mix_gate)
        if self.time_mix_first is None:
            k = add(k, scale(mul(k, activation(decay, "exp")), -1.0))  # (n_head, head_dim)
            y = scale(wkv(r, k, v, decay), c.head_dim**-0.5)  # (n_head, head_dim)
            return linear(glu(gate, reshape(y, c.n_embd), "sigmoid"), self.time_mix_output)
        now = total(mul(affine(r, self.time_mix_first.data), k))  # (n_head, 1)
        y = add(wkv(r, k, v, decay, before=True), mul(v, now))  # (n_head, head_dim)
        y = layer_norm(y, self.time_mix_ln, HEAD_EPS)  # (n_head, head_dim)
        return linear(glu(gate, reshape(y, c.n_embd), "silu"), self.time_mix_output)


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.* of RWKV."""

    attn_norm: Vector = vector("n_embd", bias=True)
    time_mix: TimeMix = group(TimeMix)
    attn_norm_2: Vector = vector("n_embd", bias=True)
    channel_mix: GatedChannelMix = group(GatedChannelMix)

    def __call__(self, x: Tensor, c: Config) -> Tensor:
        h = layer_norm(x, self.attn_norm, c.layer_norm_eps)  # (n_embd,)
        x = add(x, self.time_mix(h, c))  # (n_embd,)
        return add(x, self.channel_mix(layer_norm(x, self.attn_norm_2, c.layer_norm_eps)))


@dataclass(frozen=True)
class QwenBlock:
    """The tensors blk.N.* of QRWKV."""

    attn_norm: Vector = vector("n_embd")
    time_mix: TimeMix = group(TimeMix)
    ffn_norm: Vector = vector("n_embd")
    feed_forward: Gated = group(Gated)

    def __call__(self, x: Tensor, c: Config) -> Tensor:
        x = add(x, self.time_mix(rms_norm(x, self.attn_norm, c.rms_norm_eps), c))  # (n_embd,)
        return add(x, self.feed_forward(rms_norm(x, self.ffn_norm, c.rms_norm_eps)))


@dataclass(frozen=True)
class Weights(RwkvEnds):
    """All tensors of the file."""

    blk: tuple[Block | QwenBlock, ...] = blocks(lambda c, _: QwenBlock if c.qwen else Block)
    leftovers: tuple[str, ...] = unused()


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture rwkv6 or rwkv6qwen2."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = w.embedded(plan, c)  # (n_embd,)
    for i, block in plan.layers(w.blk):
        x = block(x, c)  # (n_embd,)
        if not c.qwen and c.halve_every and (i + 1) % c.halve_every == 0:
            x = scale(x, 0.5)  # (n_embd,): these weights were halved too, to stay within float16
    x = select_outputs(x)
    if c.qwen:
        x = rms_norm(x, w.output_norm, c.rms_norm_eps)  # (n_embd,)
        x = x if w.output_norm.bias is None else affine(x, None, w.output_norm.bias)
    else:
        x = layer_norm(x, w.output_norm, c.layer_norm_eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
