"""gpt-oss: attention sinks, a window in every other layer, experts with biases and clamped gates.

gpt-oss model card, OpenAI 2025, arXiv:2508.10925. Sinks: Xiao et al. 2023, arXiv:2309.17453.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import count, number, pattern
from vatra.models.decoder import Ends, ExpertDecoder
from vatra.models.experts import Experts
from vatra.models.feed_forward import clamped_swiglu
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
    select_outputs,
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, qkv, unused, vector


@dataclass(frozen=True)
class Config(ExpertDecoder):
    """The metadata keys below gpt-oss.*"""

    window: int = count("attention.sliding_window")
    windowed: tuple[bool, ...] = pattern("attention.sliding_window_pattern", default=2)
    window_base: float = number(
        "rope.freq_base_swa", default=lambda c: c["scaling"].base, at_least=2.0
    )


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*"""

    attn_norm: Vector = vector("n_embd")
    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_sinks: Vector = vector("n_head")
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim", bias=True)
    post_attention_norm: Vector = vector("n_embd")
    feed_forward: Experts = group(Experts)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def block(x: Tensor, w: Block, c: Config, window: int | None, turn: Rotation) -> Tensor:
    h = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    q, k, v = qkv_heads(h, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    q, k = rope(q, turn), rope(k, turn)  # the same shapes
    a = attention(q, k, v, c.key_dim**-0.5, window=window, sinks=w.attn_sinks)  # like q
    x = add(x, linear(a, w.attn_output))  # (n_embd,)
    h = rms_norm(x, w.post_attention_norm, c.eps)  # (n_embd,)
    h = w.feed_forward(h, c, clamped_swiglu, by="chosen_softmax", normalise=False)  # (n_embd,)
    return add(x, h)  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture gpt-oss."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    near = rotation(c.n_rot, replace(c.scaling, base=c.window_base), interleaved=False)
    far = rotation(c.n_rot, c.scaling, interleaved=False)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for i, tensors in plan.layers(w.blk):
        kind = (c.window, near) if c.windowed[i] else (None, far)
        x = block(x, tensors, c, *kind)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
