"""Granite 3 and 4 without recurrent layers: Llama with constant factors, dense or with experts.

IBM 2024, https://github.com/ibm-granite/granite-3.0-language-models.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.attention import SelfAttention
from vatra.models.config import count, flag, number
from vatra.models.decoder import Ends, ExpertDecoder
from vatra.models.feed_forward import Gated, Mixture
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, long_or_short, rotation
from vatra.models.verbs import add, embed, linear, rms_norm, scale, select_outputs
from vatra.models.weights import Vector, blocks, group, unused, vector


@dataclass(frozen=True)
class Config(ExpertDecoder):
    """The metadata keys below granite.* or granitemoe.*; a factor of 0 is the default."""

    n_ff_shexp: int = count("expert_shared_feed_forward_length", default=0, at_least=0)
    embedding_scale: float = number("embedding_scale", default=1.0, at_least=0.0)
    residual_scale: float = number("residual_scale", default=1.0, at_least=0.0)
    attention_scale: float = number("attention.scale", default=0.0, at_least=0.0)
    logit_scale: float = number("logit_scale")
    has_rope: bool = flag("rope.scaling.finetuned", default=True)


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*: a layer without a router is dense."""

    attn_norm: Vector = vector("n_embd")
    attend: SelfAttention = group(SelfAttention)
    ffn_norm: Vector = vector("n_embd")
    ffn: Mixture | Gated = group(Mixture, where="ffn_gate_inp.weight", otherwise=Gated)

    def feed_forward(self, x: Tensor, c: Config) -> Tensor:
        return self.ffn(x) if isinstance(self.ffn, Gated) else self.ffn(x, c)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    rope_freqs: Vector | None = vector("n_rot // 2", optional=True, positive=True)
    rope_factors_short: Vector | None = vector("n_rot // 2", optional=True, positive=True)
    rope_factors_long: Vector | None = vector("n_rot // 2", optional=True, positive=True)
    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def block(x: Tensor, w: Block, c: Config, turn: Rotation | None) -> Tensor:
    part = c.residual_scale or 1.0
    h = w.attend(rms_norm(x, w.attn_norm, c.eps), c, turn)  # (n_embd,)
    x = add(x, scale(h, part))  # (n_embd,)
    h = w.feed_forward(rms_norm(x, w.ffn_norm, c.eps), c)  # (n_embd,)
    return add(x, scale(h, part))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture granite or granitemoe."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    factors = w.rope_freqs or long_or_short(
        c.scaling, n_ctx or c.n_ctx_train, w.rope_factors_long, w.rope_factors_short
    )
    turn = rotation(c.n_rot, c.scaling, interleaved=True, factors=factors)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = scale(embed(plan, w.token_embd), c.embedding_scale or 1.0)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, turn if c.has_rope else None)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(scale(x, 1.0 / c.logit_scale), w.output, name="logits")  # (n_vocab,)
    return plan
