"""ModernBERT: an encoder with norms before, gates, turned positions and mostly narrow windows.

Warner et al. 2024, arXiv:2412.13663; also Granite Embedding, arXiv:2508.21085.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import choice, count, must_be, number, pattern
from vatra.models.decoder import Decoder
from vatra.models.feed_forward import FusedGated
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, rotation
from vatra.models.verbs import (
    add,
    attention,
    embed,
    layer_norm,
    linear,
    qkv_heads,
    rope,
    select_outputs,
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, qkv, unused, vector


@dataclass(frozen=True)
class Config(Decoder):
    """The metadata keys below modern-bert.*"""

    eps: float = number("attention.layer_norm_epsilon", at_most=1.0)
    causal: bool = must_be("attention.causal", False)
    window: int = count("attention.sliding_window", default=0, at_least=0)
    windowed: tuple[bool, ...] = pattern("attention.sliding_window_pattern", default=3, first=True)
    window_base: float = number("rope.freq_base_swa", default=10000.0, at_least=2.0)
    gate: str = choice("hidden_activation", default="gelu", known=("gelu", "silu"))


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*; the first layer has no norm before its attention."""

    attn_norm: Vector | None = vector("n_embd", optional=True)
    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")
    ffn_norm: Vector = vector("n_embd")
    ffn: FusedGated = group(FusedGated)


@dataclass(frozen=True)
class Weights:
    """All tensors of the file."""

    token_embd: Matrix = matrix("n_vocab", "n_embd")
    token_embd_norm: Vector = vector("n_embd")
    output_norm: Vector = vector("n_embd")
    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused("cls.*")  # see `pooling`


def block(x: Tensor, w: Block, c: Config, turn: Rotation, window: int | None) -> Tensor:
    h = x if w.attn_norm is None else layer_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    q, k, v = qkv_heads(h, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    a = attention(rope(q, turn), rope(k, turn), v, c.key_dim**-0.5, window=window)
    x = add(x, linear(a, w.attn_output))  # (n_embd,)
    return add(x, w.ffn(layer_norm(x, w.ffn_norm, c.eps), c.gate))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture modern-bert."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    far = rotation(c.n_rot, c.scaling, interleaved=False)
    near = rotation(c.n_rot, replace(c.scaling, base=c.window_base), interleaved=False)
    plan = Plan(
        checkpoint.architecture,
        c.n_vocab,
        c.n_ctx_train,
        causal=False,
        embeds=True,
        leftovers=w.leftovers,
    )
    x = layer_norm(embed(plan, w.token_embd), w.token_embd_norm, c.eps)  # (n_embd,)
    for i, tensors in plan.layers(w.blk):
        windowed = c.window > 0 and c.windowed[i]
        x = block(x, tensors, c, near if windowed else far, c.window if windowed else None)
    layer_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    return plan
