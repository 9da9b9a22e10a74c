"""Falcon-H1: attention and Mamba 2 side by side in every layer.

Falcon-H1, Zuo et al. 2025, arXiv:2507.22448.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.attention import SelfAttention
from vatra.models.decoder import Ends, HybridDecoder
from vatra.models.feed_forward import Gated
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, rotation
from vatra.models.state_space import Mamba2, StateSpaceHeads
from vatra.models.verbs import add, embed, linear, rms_norm, select_outputs
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, unused, vector


@dataclass(frozen=True)
class Config(StateSpaceHeads, HybridDecoder):
    """The metadata keys below falcon-h1.*"""


@dataclass(frozen=True)
class Attention(SelfAttention):
    """Its output has no bias, even where a file holds one."""

    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*; the second norm's name lacks its ending."""

    attn_norm: Vector = vector("n_embd")
    attention: Attention = group(Attention)
    mamba: Mamba2 = group(Mamba2)
    ffn_norm: Vector = vector("n_embd", suffix="")
    feed_forward: Gated = group(Gated)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused("rope_freqs.weight", "blk.*.attn_output.bias")


def block(x: Tensor, w: Block, c: Config, turn: Rotation) -> Tensor:
    h = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    x = add(x, add(w.attention(h, c, turn), w.mamba(h, c)))  # (n_embd,)
    return add(x, w.feed_forward(rms_norm(x, w.ffn_norm, c.eps)))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture falcon-h1."""
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
