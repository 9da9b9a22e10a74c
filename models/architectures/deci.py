"""DeciLM and Llama-3-Nemotron 49B, 51B and 253B: Llama less what a search found could go.

A layer may have its own number of heads and width, one matrix instead of attention, or no
attention or no feed-forward network at all. Puzzle, Bercovich et al. 2024, arXiv:2411.19146.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.attention import SelfAttention
from vatra.models.config import layer_count
from vatra.models.decoder import Ends, HybridDecoder
from vatra.models.feed_forward import Gated
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, long_or_short, rotation
from vatra.models.verbs import add, embed, linear, rms_norm, select_outputs
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, unused, vector


@dataclass(frozen=True)
class Config(HybridDecoder):
    """The metadata keys below deci.*"""

    n_layer: int = layer_count(sparse=True)


@dataclass(frozen=True)
class Attending:
    """Attention of a layer that has KV heads."""

    attn_norm: Vector = vector("n_embd")
    attend: SelfAttention = group(SelfAttention)

    def __call__(self, x: Tensor, c: Config, turn: Rotation) -> Tensor:
        return self.attend(rms_norm(x, self.attn_norm, c.eps), c, turn)  # (n_embd,)


@dataclass(frozen=True)
class Replaced:
    """One matrix in the place of attention, in a layer that has heads but no KV heads."""

    attn_norm: Vector = vector("n_embd")
    attn_output: Matrix = matrix("n_embd", "n_embd")

    def __call__(self, x: Tensor, c: Config, turn: Rotation) -> Tensor:
        return linear(rms_norm(x, self.attn_norm, c.eps), self.attn_output)  # (n_embd,)


@dataclass(frozen=True)
class Feeding:
    """The feed-forward network of a layer that has one."""

    ffn_norm: Vector = vector("n_embd")
    ffn: Gated = group(Gated)

    def __call__(self, x: Tensor, c: Config) -> Tensor:
        return self.ffn(rms_norm(x, self.ffn_norm, c.eps))  # (n_embd,)


def mixer(c: Config, layer: int) -> type[Attending | Replaced] | None:
    """What a layer has to read other tokens with."""
    if not c.n_head[layer]:
        return None
    return Attending if c.n_head_kv[layer] else Replaced


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*"""

    mix: Attending | Replaced | None = group(mixer)
    feed: Feeding | None = group(lambda c, i: Feeding if c.n_ff[i] else None)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    rope_freqs: Vector | None = vector("n_rot // 2", optional=True, positive=True)
    rope_factors_short: Vector | None = vector("n_rot // 2", optional=True, positive=True)
    rope_factors_long: Vector | None = vector("n_rot // 2", optional=True, positive=True)
    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def block(x: Tensor, w: Block, c: Config, turn: Rotation) -> Tensor:
    if w.mix is not None:
        x = add(x, w.mix(x, c, turn))  # (n_embd,)
    return x if w.feed is None else add(x, w.feed(x, c))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture deci."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    factors = w.rope_freqs or long_or_short(
        c.scaling, n_ctx or c.n_ctx_train, w.rope_factors_long, w.rope_factors_short
    )
    turn = rotation(c.n_rot, c.scaling, interleaved=True, factors=factors)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, turn)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
