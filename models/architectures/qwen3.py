"""Qwen 3, dense or a mixture of experts: each head of q and k is normed before it is turned.

Qwen3, Yang et al. 2025, arXiv:2505.09388; the language model of Qwen3-VL, arXiv:2511.21631.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import integers
from vatra.models.decoder import Ends, ExpertDecoder
from vatra.models.experts import Experts
from vatra.models.feed_forward import Gated
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, for_text, rotation
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
    """The metadata keys below the architecture's name."""

    sections: tuple[int, ...] = integers("rope.dimension_sections", most=4)


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*"""

    attn_norm: Vector = vector("n_embd")
    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_q_norm: Vector = vector("key_dim")
    attn_k_norm: Vector = vector("key_dim")
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")
    ffn_norm: Vector = vector("n_embd")


@dataclass(frozen=True)
class Dense(Block):
    """A block with one feed-forward network."""

    ffn: Gated = group(Gated)

    def feed_forward(self, x: Tensor, c: ExpertDecoder) -> Tensor:
        return self.ffn(x)


@dataclass(frozen=True)
class Mixture(Block):
    """A block with a mixture of experts."""

    ffn: Experts = group(Experts)

    def feed_forward(self, x: Tensor, c: ExpertDecoder) -> Tensor:
        return self.ffn(x, c)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    blk: tuple[Dense | Mixture, ...] = blocks(lambda c, _: Mixture if c.n_expert else Dense)
    leftovers: tuple[str, ...] = unused("cls.*")


def block(x: Tensor, w: Dense | Mixture, c: ExpertDecoder, turn: Rotation) -> Tensor:
    h = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    q, k, v = qkv_heads(h, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    q = rope(rms_norm(q, w.attn_q_norm, c.eps), turn)  # (n_head, key_dim)
    k = rope(rms_norm(k, w.attn_k_norm, c.eps), turn)  # (n_head_kv, key_dim)
    x = add(x, linear(attention(q, k, v, c.key_dim**-0.5), w.attn_output))  # (n_embd,)
    h = rms_norm(x, w.ffn_norm, c.eps)  # (n_embd,)
    return add(x, w.feed_forward(h, c))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture qwen3, qwen3moe or qwen3vlmoe."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    turn = rotation(c.n_rot, c.scaling, interleaved=False)
    turn = for_text(turn, c.sections, by_turns=True)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, turn)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
