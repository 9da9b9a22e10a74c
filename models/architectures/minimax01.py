"""MiniMax-01 and M1: lightning attention, and ordinary attention in every eighth layer.

MiniMax-01, MiniMax 2025, arXiv:2501.08313; lightning attention, Qin et al. 2024, arXiv:2405.17381.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.attention import SelfAttention
from vatra.models.config import number, pattern
from vatra.models.decoder import Ends, ExpertDecoder, HybridDecoder
from vatra.models.experts import Experts
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, rotation
from vatra.models.verbs import (
    activation,
    add,
    embed,
    glu,
    linear,
    reshape,
    rms_norm,
    scale,
    select_outputs,
    selective_scan,
    split,
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, unused, vector


@dataclass(frozen=True)
class Config(HybridDecoder, ExpertDecoder):
    """The metadata keys below minimax-01.*"""

    residual_scale: float = number("residual_scale", at_least=0.0)
    is_periodic: tuple[bool, ...] = pattern("full_attention_interval", default=8)
    is_linear: tuple[bool, ...] = pattern("attention.recurrent_layers", default="is_periodic")


@dataclass(frozen=True)
class LightningAttention:
    """Linear attention that forgets at a constant rate, slower in later heads and layers."""

    attn_qkv: Matrix = matrix("3 * n_head * key_dim", "n_embd")
    attn_gate: Matrix = matrix("n_head * key_dim", "n_embd")
    attn_norm_2: Vector = vector("n_head * key_dim")
    attn_output: Matrix = matrix("n_embd", "n_head * key_dim")

    def __call__(self, x: Tensor, c: Config, layer: int) -> Tensor:
        """(n_embd,)"""
        qkv = activation(linear(x, self.attn_qkv, 3 * c.key_dim), "silu")  # (n_head, 3 * key_dim)
        q, k, v = split(qkv, c.key_dim, c.key_dim, c.key_dim)  # (n_head, key_dim)
        n_head = q.shape[0]
        rates = 2.0 ** (-8.0 * (np.arange(n_head) + 1) / n_head)
        rates *= 1.0 - layer / max(c.n_layer - 1, 1) + 1e-5
        y = selective_scan(v, None, k, q, -rates[:, None].astype(np.float32), None)
        y = rms_norm(reshape(y, y.width), self.attn_norm_2, c.eps)  # (n_head * key_dim,)
        return linear(glu(linear(x, self.attn_gate), y, "sigmoid"), self.attn_output)


@dataclass(frozen=True)
class Attention(SelfAttention):
    """Ordinary attention."""

    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*"""

    attn_norm: Vector = vector("n_embd")
    mixer: LightningAttention | Attention = group(
        lambda c, i: LightningAttention if c.is_linear[i] else Attention
    )
    ffn_norm: Vector = vector("n_embd")
    experts: Experts = group(Experts)

    def mix(self, x: Tensor, c: Config, turn: Rotation, layer: int) -> Tensor:
        if isinstance(self.mixer, Attention):
            return self.mixer(x, c, turn)
        return self.mixer(x, c, layer)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def block(x: Tensor, w: Block, c: Config, turn: Rotation, layer: int) -> Tensor:
    x = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,): what goes round each part is normed too
    x = add(w.mix(x, c, turn, layer), scale(x, c.residual_scale))  # (n_embd,)
    x = rms_norm(x, w.ffn_norm, c.eps)  # (n_embd,)
    return add(w.experts(x, c), scale(x, c.residual_scale))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture minimax-01."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    turn = rotation(c.n_rot, c.scaling, interleaved=False)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for i, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, turn, i)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
