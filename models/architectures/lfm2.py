"""LFM2, dense or a mixture of experts: short convolutions, and attention in a few layers.

LFM2, Liquid AI 2025, arXiv:2511.23404.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import count
from vatra.models.decoder import Ends, ExpertDecoder, HybridDecoder
from vatra.models.experts import Experts
from vatra.models.feed_forward import Gated
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, rotation
from vatra.models.verbs import (
    add,
    attention,
    convolution,
    embed,
    linear,
    mul,
    qkv_heads,
    rms_norm,
    rope,
    select_outputs,
)
from vatra.models.weights import Matrix, Vector, blocks, fused, group, matrix, qkv, unused, vector


@dataclass(frozen=True)
class Config(HybridDecoder, ExpertDecoder):
    """The metadata keys below lfm2.* or lfm2moe.*"""

    n_conv: int = count("shortconv.l_cache", at_least=2)
    window: int = count("attention.sliding_window", default=0, at_least=0)  # 0: all tokens


@dataclass(frozen=True)
class ShortConvolution:
    """A convolution over time in each channel, with a gate before and one after it."""

    gates: tuple[Matrix, Matrix, Matrix] = fused(
        "shortconv.in_proj",
        "n_embd",
        shortconv_b="n_embd",
        shortconv_c="n_embd",
        shortconv_x="n_embd",
    )
    kernel: Vector = vector("n_embd", "n_conv", of="shortconv.conv")
    out: Matrix = matrix("n_embd", "n_embd", of="shortconv.out_proj")

    def __call__(self, x: Tensor, c: Config, turn: Rotation) -> Tensor:
        """(n_embd,)"""
        before, after, x = (linear(x, w) for w in self.gates)  # (n_embd,) each
        x = convolution(mul(x, before), self.kernel.data)  # (n_embd,)
        return linear(mul(x, after), self.out)


@dataclass(frozen=True)
class Attention:
    """Attention whose queries and keys are normed in each head."""

    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_q_norm: Vector = vector("key_dim")
    attn_k_norm: Vector = vector("key_dim")
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")

    def __call__(self, x: Tensor, c: Config, turn: Rotation) -> Tensor:
        """(n_embd,)"""
        q, k, v = qkv_heads(x, self.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, dim)
        q = rope(rms_norm(q, self.attn_q_norm, c.eps), turn)  # (n_head, key_dim)
        k = rope(rms_norm(k, self.attn_k_norm, c.eps), turn)  # (n_head_kv, key_dim)
        a = attention(q, k, v, c.key_dim**-0.5, window=c.window or None)  # (n_head, value_dim)
        return linear(a, self.attn_output)


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*"""

    attn_norm: Vector = vector("n_embd")
    mixer: ShortConvolution | Attention = group(
        lambda c, i: Attention if c.n_head_kv[i] else ShortConvolution
    )
    ffn_norm: Vector = vector("n_embd")
    ffn: Experts | Gated = group(lambda c, i: Experts if c.n_expert and i >= c.n_dense else Gated)

    def feed_forward(self, x: Tensor, c: Config) -> Tensor:
        return self.ffn(x) if isinstance(self.ffn, Gated) else self.ffn(x, c)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file; the norm before the output has the name of another."""

    output_norm: Vector = vector("n_embd", of="token_embd_norm")
    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused("dense_2.*")


def block(x: Tensor, w: Block, c: Config, turn: Rotation) -> Tensor:
    x = add(x, w.mixer(rms_norm(x, w.attn_norm, c.eps), c, turn))  # (n_embd,)
    return add(x, w.feed_forward(rms_norm(x, w.ffn_norm, c.eps), c))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture lfm2 or lfm2moe."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    turn = rotation(c.n_rot, c.scaling, interleaved=False)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, turn)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
