"""Llama with constant factors, dense or with experts: Granite without recurrent layers, MiniCPM.

Granite 3 and 4, IBM 2024, https://github.com/ibm-granite/granite-3.0-language-models; granite_swa
is one with windows and attention sinks. MiniCPM 1 and 2, Hu et al. 2024, arXiv:2404.06395.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.attention import SelfAttention
from vatra.models.config import by_architecture, count, flag, number, pattern
from vatra.models.decoder import Ends, ExpertDecoder
from vatra.models.experts import FusedSharedExpert, Mixture
from vatra.models.feed_forward import Gated
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, long_or_short, rotation
from vatra.models.verbs import add, embed, linear, rms_norm, scale, select_outputs
from vatra.models.weights import Vector, blocks, group, unused, vector


@dataclass(frozen=True)
class Style:
    """What no key says; the factors hold where the file has no keys for them."""

    windows: bool = False  # there are keys for which layers have one, and in which q and k turn
    embedding_scale: float = 1.0
    depth_scale: float = 0.0  # of what a layer adds, times n_layer^-0.5, if not 0
    n_embd_base: int = 0  # logits are those of a model so wide, if not 0


STYLES = {
    "granite": Style(),
    "granite_swa": Style(windows=True),
    "granitemoe": Style(),
    "minicpm": Style(embedding_scale=12.0, depth_scale=1.4, n_embd_base=256),
}


@dataclass(frozen=True)
class Styled:
    """What is known before any key is read."""

    style: Style = by_architecture(STYLES)


@dataclass(frozen=True)
class Config(ExpertDecoder, Styled):
    """The metadata keys below the architecture's name; a factor of 0 is 1."""

    n_ff_shexp: int = count("expert_shared_feed_forward_length", default=0, at_least=0)
    embedding_scale: float = number(
        "embedding_scale", default=lambda c: c["style"].embedding_scale, at_least=0.0
    )
    residual_scale: float = number(
        "residual_scale",
        default=lambda c: c["style"].depth_scale * c["n_layer"] ** -0.5,
        at_least=0.0,
    )
    attention_scale: float = number("attention.scale", default=0.0, at_least=0.0)
    logit_scale: float = number(
        "logit_scale",
        default=lambda c: c["n_embd"] / c["style"].n_embd_base if c["style"].n_embd_base else 0.0,
    )
    has_rope: bool = flag("rope.scaling.finetuned", default=True)
    window: int = count("attention.sliding_window", default=0, at_least=0)
    windowed: tuple[bool, ...] = pattern("attention.sliding_window_pattern", default=0)
    turned: tuple[bool, ...] = pattern("attention.rope_pattern", default=0)

    def turns(self, layer: int) -> bool:
        """Whether q and k of that layer turn by their positions."""
        return self.turned[layer] if self.style.windows else self.has_rope

    def window_of(self, layer: int) -> int | None:
        """How many tokens that layer sees, if not all."""
        return self.window or None if self.style.windows and self.windowed[layer] else None


@dataclass(frozen=True)
class FusedMixture(Mixture):
    """A mixture whose shared expert has gate and up in one matrix."""

    shared: FusedSharedExpert | None = group(FusedSharedExpert, where="ffn_up_shexp.weight")


def mixture(c: Config, layer: int) -> type[Mixture]:
    """The experts' tensors."""
    return FusedMixture if c.style.windows else Mixture


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*: a layer without a router is dense."""

    attn_norm: Vector = vector("n_embd")
    attend: SelfAttention = group(SelfAttention)
    ffn_norm: Vector = vector("n_embd")
    ffn: Mixture | Gated = group(mixture, where="ffn_gate_inp.weight", otherwise=Gated)

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


def block(x: Tensor, w: Block, c: Config, turn: Rotation | None, window: int | None) -> Tensor:
    part = c.residual_scale or 1.0
    h = w.attend(rms_norm(x, w.attn_norm, c.eps), c, turn, window)  # (n_embd,)
    x = add(x, scale(h, part))  # (n_embd,)
    h = w.feed_forward(rms_norm(x, w.ffn_norm, c.eps), c)  # (n_embd,)
    return add(x, scale(h, part))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of an architecture in STYLES."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    factors = w.rope_freqs or long_or_short(
        c.scaling, n_ctx or c.n_ctx_train, w.rope_factors_long, w.rope_factors_short
    )
    turn = rotation(c.n_rot, c.scaling, interleaved=True, factors=factors)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = scale(embed(plan, w.token_embd), c.embedding_scale or 1.0)  # (n_embd,)
    for i, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, turn if c.turns(i) else None, c.window_of(i))  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(scale(x, 1.0 / c.logit_scale), w.output, name="logits")  # (n_vocab,)
    return plan
