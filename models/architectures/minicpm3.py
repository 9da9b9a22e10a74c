"""MiniCPM 3 and PLM: dense decoders with latent attention, whose files unfold it for each head.

MiniCPM, with its constant factors, arXiv:2404.06395; PLM, whose feed-forward has no gate,
arXiv:2503.12167.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import by_architecture
from vatra.models.decoder import Ends
from vatra.models.feed_forward import Gated, Plain
from vatra.models.latent import LatentAttention, LatentDecoder, Reading
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import long_or_short, rotation
from vatra.models.verbs import add, embed, linear, rms_norm, scale, select_outputs
from vatra.models.weights import Vector, blocks, group, unused, vector


@dataclass(frozen=True)
class Style:
    """What no key says."""

    interleaved: bool  # which pairs of a head's values turn together
    gated: bool
    embedding_scale: float = 1.0
    depth_scale: float = 0.0  # of what a layer adds, times n_layer^-0.5, if not 0
    n_embd_base: int = 0  # logits are those of a model so wide, if not 0


STYLES = {
    "minicpm3": Style(False, True, 12.0, 1.4, 256),
    "plm": Style(True, False),
}


@dataclass(frozen=True)
class Styled:
    """What is known before any key is read."""

    style: Style = by_architecture(STYLES)


@dataclass(frozen=True)
class Config(LatentDecoder, Styled):
    """The metadata keys below the architecture's name."""

    @property
    def part(self) -> float:
        """The factor of what attention or feed-forward adds."""
        return self.style.depth_scale * self.n_layer**-0.5 or 1.0

    @property
    def logit_scale(self) -> float:
        return self.style.n_embd_base / self.n_embd or 1.0


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*"""

    attn_norm: Vector = vector("n_embd")
    attend: LatentAttention = group(LatentAttention)
    ffn_norm: Vector = vector("n_embd")
    ffn: Gated | Plain = group(lambda c, _: Gated if c.style.gated else Plain)

    def feed_forward(self, x: Tensor) -> Tensor:
        return self.ffn(x) if isinstance(self.ffn, Gated) else self.ffn(x, "relu2")


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    rope_factors_short: Vector | None = vector("n_rot // 2", optional=True, positive=True)
    rope_factors_long: Vector | None = vector("n_rot // 2", optional=True, positive=True)
    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def block(x: Tensor, w: Block, c: Config, read: Reading) -> Tensor:
    h = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    h = w.attend(h, w.attend.queries.latent(h, c.eps), c.head_dim, read, c.eps)  # (n_embd,)
    x = add(x, scale(h, c.part))  # (n_embd,)
    h = w.feed_forward(rms_norm(x, w.ffn_norm, c.eps))  # (n_embd,)
    return add(x, scale(h, c.part))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture minicpm3 or plm."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    long, short = w.rope_factors_long, w.rope_factors_short
    factors = long_or_short(c.scaling, n_ctx or c.n_ctx_train, long, short)
    turn = rotation(c.n_rot, c.scaling, interleaved=c.style.interleaved, factors=factors)
    read = Reading(turn, c.head_dim**-0.5)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = scale(embed(plan, w.token_embd), c.style.embedding_scale)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, read)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(scale(x, c.logit_scale), w.output, name="logits")  # (n_vocab,)
    return plan
