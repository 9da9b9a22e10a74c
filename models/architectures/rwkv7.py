"""RWKV 7, and ARWKV 7, which is Qwen 2.5 with such a memory in the place of attention.

Goose, Peng et al. 2025, arXiv:2503.14456; ARWKV, Lin et al. 2025, arXiv:2501.15570.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import count, derived
from vatra.models.feed_forward import Gated
from vatra.models.plan import Plan, Tensor
from vatra.models.rwkv import HEAD_EPS, ChannelMix, RwkvEnds, RwkvTrunk, step_back
from vatra.models.verbs import (
    activation,
    add,
    affine,
    l2_norm,
    layer_norm,
    linear,
    mul,
    reshape,
    rms_norm,
    scale,
    select_outputs,
    total,
    wkv,
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, unused, vector

LEAST_LENGTH = 1e-12
FASTEST_DECAY = -0.606531  # -exp(-1/2)


@dataclass(frozen=True)
class Config(RwkvTrunk):
    """The metadata keys below rwkv7.* or arwkv7.*"""

    n_lora_w: int = count("attention.decay_lora_rank")
    n_lora_a: int = count("attention.iclr_lora_rank")
    n_lora_v: int = count("attention.value_residual_mix_lora_rank")
    n_lora_g: int = count("attention.gate_lora_rank", default=0, at_least=0)  # 0: no gate
    n_mixed: int = derived(lambda c: 6 if c["n_lora_g"] else 5)


@dataclass(frozen=True)
class Gate:
    """A gate through n_lora_g values."""

    time_mix_g1: Matrix = matrix("n_lora_g", "n_embd")
    time_mix_g2: Matrix = matrix("n_embd", "n_lora_g")

    def __call__(self, x: Tensor) -> Tensor:
        """(n_embd,)"""
        return linear(activation(linear(x, self.time_mix_g1), "sigmoid"), self.time_mix_g2)


@dataclass(frozen=True)
class TimeMix:
    """The memory of all tokens so far, which also learns where a key was wrong."""

    time_mix_lerp_fused: Vector = vector("n_mixed", "n_embd", axes_of_1=True)
    time_mix_w0: Vector = vector("n_embd")
    time_mix_w1: Matrix = matrix("n_lora_w", "n_embd")
    time_mix_w2: Matrix = matrix("n_embd", "n_lora_w")
    time_mix_a0: Vector = vector("n_embd")
    time_mix_a1: Matrix = matrix("n_lora_a", "n_embd")
    time_mix_a2: Matrix = matrix("n_embd", "n_lora_a")
    time_mix_k_k: Vector = vector("n_embd")
    time_mix_k_a: Vector = vector("n_embd")
    time_mix_r_k: Vector = vector("n_embd")
    time_mix_receptance: Matrix = matrix("n_embd", "n_embd")
    time_mix_key: Matrix = matrix("n_embd", "n_embd")
    time_mix_value: Matrix = matrix("n_embd", "n_embd")
    time_mix_ln: Vector | None = vector("n_embd", bias=True, optional=True)
    time_mix_output: Matrix = matrix("n_embd", "n_embd")
    gate: Gate | None = group(Gate, where="time_mix_g1.weight")

    def decay(self, x: Tensor) -> Tensor:
        """(n_embd,): the logarithm of what is kept."""
        h = linear(activation(linear(x, self.time_mix_w1), "tanh"), self.time_mix_w2)  # (n_embd,)
        return scale(activation(affine(h, None, self.time_mix_w0.data), "sigmoid"), FASTEST_DECAY)

    def rate(self, x: Tensor) -> Tensor:
        """(n_embd,): how much of what a key stands for is replaced."""
        h = linear(linear(x, self.time_mix_a1), self.time_mix_a2)  # (n_embd,)
        return activation(affine(h, None, self.time_mix_a0.data), "sigmoid")

    def values(self, x: Tensor, v: Tensor, first: Tensor) -> Tensor:
        """(n_embd,): `v` as it goes into the memory."""
        return v

    def __call__(self, x: Tensor, first: Tensor | None, c: Config) -> tuple[Tensor, Tensor]:
        """(n_embd,), and the first layer's values (n_embd,)."""
        step = step_back(x)  # (n_embd,)
        x_r, x_w, x_k, x_v, x_a, *x_g = (
            add(x, affine(step, share)) for share in self.time_mix_lerp_fused.data
        )
        heads = c.n_head, c.head_dim
        r = linear(x_r, self.time_mix_receptance, c.head_dim)  # (n_head, head_dim)
        k, v = linear(x_k, self.time_mix_key), linear(x_v, self.time_mix_value)  # (n_embd,)
        first = v if first is None else first
        v, a = self.values(x_v, v, first), self.rate(x_a)  # (n_embd,), (n_embd,)
        at = l2_norm(reshape(affine(k, self.time_mix_k_k.data), *heads), LEAST_LENGTH)
        grown = affine(k, self.time_mix_k_a.data)  # (n_embd,)
        k = reshape(add(k, add(mul(a, grown), scale(grown, -1.0))), *heads)  # (n_head, head_dim)
        v, w, a = (reshape(t, *heads) for t in (v, self.decay(x_w), a))  # (n_head, head_dim)
        y = wkv(r, k, v, w, scale(at, -1.0), mul(at, a))  # (n_head, head_dim)
        if self.time_mix_ln is not None:
            y = layer_norm(y, self.time_mix_ln, HEAD_EPS)  # (n_head, head_dim)
        now = total(affine(mul(k, r), self.time_mix_r_k.data))  # (n_head, 1)
        y = reshape(add(y, mul(v, now)), c.n_embd)  # (n_embd,)
        if self.gate is not None:
            y = mul(y, self.gate(x_g[0]))  # (n_embd,)
        return linear(y, self.time_mix_output), first


@dataclass(frozen=True)
class LaterTimeMix(TimeMix):
    """That of a layer after the first, whose values it mixes into its own."""

    time_mix_v0: Vector = vector("n_embd")
    time_mix_v1: Matrix = matrix("n_lora_v", "n_embd")
    time_mix_v2: Matrix = matrix("n_embd", "n_lora_v")

    def values(self, x: Tensor, v: Tensor, first: Tensor) -> Tensor:
        """(n_embd,): `v`, and by shares that depend on `x` the `first` layer's instead."""
        h = linear(linear(x, self.time_mix_v1), self.time_mix_v2)  # (n_embd,)
        share = activation(affine(h, None, self.time_mix_v0.data), "sigmoid")  # (n_embd,)
        return add(v, mul(add(first, scale(v, -1.0)), share))


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.* of RWKV."""

    attn_norm: Vector = vector("n_embd", bias=True)
    time_mix: TimeMix = group(lambda _, i: LaterTimeMix if i else TimeMix)
    attn_norm_2: Vector = vector("n_embd", bias=True)
    channel_mix: ChannelMix = group(ChannelMix)

    def __call__(self, x: Tensor, first: Tensor | None, c: Config) -> tuple[Tensor, Tensor]:
        h = layer_norm(x, self.attn_norm, c.layer_norm_eps)  # (n_embd,)
        h, first = self.time_mix(h, first, c)  # (n_embd,), (n_embd,)
        x = add(x, h)  # (n_embd,)
        h = layer_norm(x, self.attn_norm_2, c.layer_norm_eps)  # (n_embd,)
        return add(x, self.channel_mix(h)), first


@dataclass(frozen=True)
class QwenBlock:
    """The tensors blk.N.* of ARWKV."""

    attn_norm: Vector = vector("n_embd")
    time_mix: TimeMix = group(lambda _, i: LaterTimeMix if i else TimeMix)
    ffn_norm: Vector = vector("n_embd")
    feed_forward: Gated = group(Gated)

    def __call__(self, x: Tensor, first: Tensor | None, c: Config) -> tuple[Tensor, Tensor]:
        h = rms_norm(x, self.attn_norm, c.rms_norm_eps)  # (n_embd,)
        h, first = self.time_mix(h, first, c)  # (n_embd,), (n_embd,)
        x = add(x, h)  # (n_embd,)
        return add(x, self.feed_forward(rms_norm(x, self.ffn_norm, c.rms_norm_eps))), first


@dataclass(frozen=True)
class Weights(RwkvEnds):
    """All tensors of the file."""

    blk: tuple[Block | QwenBlock, ...] = blocks(lambda c, _: QwenBlock if c.qwen else Block)
    leftovers: tuple[str, ...] = unused("blk.0.time_mix_v[012].weight")


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture rwkv7 or arwkv7."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x, first = w.embedded(plan, c), None  # (n_embd,)
    for _, block in plan.layers(w.blk):
        x, first = block(x, first, c)  # (n_embd,), (n_embd,)
    x = select_outputs(x)
    if c.qwen:
        x = rms_norm(x, w.output_norm, c.rms_norm_eps)  # (n_embd,)
    else:
        x = layer_norm(x, w.output_norm, c.layer_norm_eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
