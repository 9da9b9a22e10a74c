"""Granite 4 hybrids: layers of Mamba 2 with a few of attention, and Granite's constant factors.

Granite 3, IBM 2024, github.com/ibm-granite/granite-3.0-language-models; Mamba 2, arXiv:2405.21060.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.attention import SelfAttention
from vatra.models.config import count, flag, number
from vatra.models.decoder import Ends, ExpertDecoder, HybridDecoder
from vatra.models.experts import Mixture
from vatra.models.feed_forward import Gated
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, rotation
from vatra.models.state_space import Mamba2, StateSpaceHeads
from vatra.models.verbs import add, embed, linear, rms_norm, scale, select_outputs
from vatra.models.weights import Vector, blocks, group, unused, vector


@dataclass(frozen=True)
class Config(StateSpaceHeads, HybridDecoder, ExpertDecoder):
    """The metadata keys below granitehybrid.*; a factor of 0 is 1."""

    n_ff_shexp: int = count("expert_shared_feed_forward_length", default=0, at_least=0)
    embedding_scale: float = number("embedding_scale", default=1.0, at_least=0.0)
    residual_scale: float = number("residual_scale", default=1.0, at_least=0.0)
    logit_scale: float = number("logit_scale", default=1.0, at_least=0.0)
    has_rope: bool = flag("rope.scaling.finetuned", default=True)


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*"""

    attn_norm: Vector = vector("n_embd")
    mixer: Mamba2 | SelfAttention = group(lambda c, i: SelfAttention if c.n_head_kv[i] else Mamba2)
    ffn_norm: Vector = vector("n_embd")
    ffn: Mixture | Gated = group(lambda c, _: Mixture if c.n_expert else Gated)

    def mix(self, x: Tensor, c: Config, turn: Rotation | None) -> Tensor:
        return self.mixer(x, c) if isinstance(self.mixer, Mamba2) else self.mixer(x, c, turn)

    def feed_forward(self, x: Tensor, c: Config) -> Tensor:
        return self.ffn(x) if isinstance(self.ffn, Gated) else self.ffn(x, c)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    rope_freqs: Vector | None = vector("n_rot // 2", optional=True, positive=True)
    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def block(x: Tensor, w: Block, c: Config, turn: Rotation | None) -> Tensor:
    part = c.residual_scale or 1.0
    h = w.mix(rms_norm(x, w.attn_norm, c.eps), c, turn)  # (n_embd,)
    x = add(x, scale(h, part))  # (n_embd,)
    h = w.feed_forward(rms_norm(x, w.ffn_norm, c.eps), c)  # (n_embd,)
    return add(x, scale(h, part))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture granitehybrid."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    turn = None
    if c.has_rope:
        turn = rotation(c.n_rot, c.scaling, interleaved=True, factors=w.rope_freqs)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = scale(embed(plan, w.token_embd), c.embedding_scale or 1.0)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, turn)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    scale(linear(x, w.output), 1.0 / (c.logit_scale or 1.0))  # (n_vocab,)
    return plan
