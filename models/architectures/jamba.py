"""Jamba: layers of Mamba 1 with a few of attention, whose tokens carry no position.

Jamba, Lieber et al. 2024, arXiv:2403.19887.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.attention import SelfAttention
from vatra.models.decoder import Ends, ExpertDecoder, HybridDecoder
from vatra.models.experts import Experts
from vatra.models.feed_forward import Gated
from vatra.models.plan import Plan, Tensor
from vatra.models.state_space import Mamba, StateSpace
from vatra.models.verbs import add, embed, linear, rms_norm, select_outputs
from vatra.models.weights import Vector, blocks, group, unused, vector


@dataclass(frozen=True)
class Config(StateSpace, HybridDecoder, ExpertDecoder):
    """The metadata keys below jamba.*"""


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*; some layers have a mixture of experts, by their tensors alone."""

    attn_norm: Vector = vector("n_embd")
    mixer: Mamba | SelfAttention = group(lambda c, i: SelfAttention if c.n_head_kv[i] else Mamba)
    ffn_norm: Vector = vector("n_embd")
    ffn: Experts | Gated = group(Experts, where="ffn_gate_inp.weight", otherwise=Gated)

    def mix(self, x: Tensor, c: Config) -> Tensor:
        return self.mixer(x, c) if isinstance(self.mixer, Mamba) else self.mixer(x, c, None)

    def feed_forward(self, x: Tensor, c: Config) -> Tensor:
        return self.ffn(x) if isinstance(self.ffn, Gated) else self.ffn(x, c, normalise=False)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def block(x: Tensor, w: Block, c: Config) -> Tensor:
    x = add(x, w.mix(rms_norm(x, w.attn_norm, c.eps), c))  # (n_embd,)
    return add(x, w.feed_forward(rms_norm(x, w.ffn_norm, c.eps), c))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture jamba."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, tensors, c)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
