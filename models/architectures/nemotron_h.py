"""Nemotron-H, Nemotron Nano 2 and 3: each layer is a Mamba 2, attention or a feed-forward network.

Nemotron-H, NVIDIA 2025, arXiv:2504.03624; Nemotron 3, NVIDIA 2025, arXiv:2512.20848.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.attention import SelfAttention
from vatra.models.config import count, number
from vatra.models.decoder import Ends, ExpertDecoder, HybridDecoder
from vatra.models.experts import Experts
from vatra.models.feed_forward import Plain
from vatra.models.plan import Plan, Tensor
from vatra.models.state_space import Mamba2, StateSpaceHeads
from vatra.models.verbs import activation, add, embed, linear, rms_norm, select_outputs
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, unused, vector


@dataclass(frozen=True)
class OldKeys:
    """Keys that others may fall back to."""

    layer_norm_eps: float = number("attention.layer_norm_epsilon", default=1e-5, at_most=1.0)


@dataclass(frozen=True)
class Config(StateSpaceHeads, HybridDecoder, ExpertDecoder, OldKeys):
    """The metadata keys below nemotron_h.* or nemotron_h_moe.*"""

    eps: float = number(
        "attention.layer_norm_rms_epsilon", default=lambda c: c["layer_norm_eps"], at_most=1.0
    )
    n_latent: int = count("moe_latent_size", default="n_embd")


@dataclass(frozen=True)
class Mixture(Experts):
    """Experts without gates, of a narrower input in the larger models, and one for all tokens."""

    ffn_latent_down: Matrix | None = matrix("n_latent", "n_embd", optional=True)
    ffn_latent_up: Matrix | None = matrix("n_embd", "n_latent", optional=True)
    ffn_up_exps: Matrix | None = matrix("n_expert", "n_ff_exp", "n_latent")
    ffn_down_exps: Matrix = matrix("n_expert", "n_latent", "n_ff_exp")
    ffn_up_shexp: Matrix = matrix("n_ff_shexp", "n_embd")
    ffn_down_shexp: Matrix = matrix("n_embd", "n_ff_shexp")

    def mix(self, x: Tensor, c: Config) -> Tensor:
        """(n_embd,)"""
        h = x if self.ffn_latent_down is None else linear(x, self.ffn_latent_down)  # (n_latent,)
        h = self(h, c, "relu2", by="sigmoid", normalise=False, router=x)  # (n_latent,)
        h = h if self.ffn_latent_up is None else linear(h, self.ffn_latent_up)  # (n_embd,)
        shared = activation(linear(x, self.ffn_up_shexp), "relu2")  # (n_ff_shexp,)
        return add(h, linear(shared, self.ffn_down_shexp))


@dataclass(frozen=True)
class FeedForward(Plain):
    """A plain network with squared ReLU."""

    def mix(self, x: Tensor, c: Config) -> Tensor:
        """(n_embd,)"""
        return self(x, "relu2")


@dataclass(frozen=True)
class Attention(SelfAttention):
    """Attention to tokens without position."""

    def mix(self, x: Tensor, c: Config) -> Tensor:
        """(n_embd,)"""
        return self(x, c, None)


@dataclass(frozen=True)
class StateSpace(Mamba2):
    """A Mamba 2."""

    def mix(self, x: Tensor, c: Config) -> Tensor:
        """(n_embd,)"""
        return self(x, c)


Part = Mixture | FeedForward | Attention | StateSpace


def part(c: Config, layer: int) -> type[Part]:
    """What a layer is: the file says it by widths and numbers of heads that are 0."""
    if c.n_ff[layer]:
        return Mixture if c.n_expert else FeedForward
    return Attention if c.n_head_kv[layer] else StateSpace


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*"""

    attn_norm: Vector = vector("n_embd")
    part: Part = group(part)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def block(x: Tensor, w: Block, c: Config) -> Tensor:
    return add(x, w.part.mix(rms_norm(x, w.attn_norm, c.eps), c))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture nemotron_h or nemotron_h_moe."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, tensors, c)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
