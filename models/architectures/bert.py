"""Encoders in the line of BERT: norms after the sums, tokens that see the whole text, vectors out.

BERT, Devlin et al. 2018, arXiv:1810.04805, also as RoBERTa and as BGE; Nomic Embed 1 and 2, the
second with mixtures of experts, arXiv:2402.01613, arXiv:2502.07972; Jina Embeddings 2 and 3,
arXiv:2310.19923, arXiv:2409.10173. Positions are learned, turned or leaning (ALiBi); all tokens are
taken as of the first of two sentences.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import by_architecture, count, must_be, number
from vatra.models.decoder import ExpertDecoder
from vatra.models.experts import Experts
from vatra.models.feed_forward import FusedGated, Gated, Plain
from vatra.models.plan import Array, Plan, Tensor
from vatra.models.rope import Rotation, leanings, rotation
from vatra.models.verbs import (
    add,
    affine,
    attention,
    embed,
    embed_position,
    layer_norm,
    linear,
    qkv_heads,
    reshape,
    rope,
    select_outputs,
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, qkv, unused, vector


@dataclass(frozen=True)
class Style:
    """What no key says."""

    turns: bool = False  # q and k turn by the position
    lean: float = 0.0  # the most that ALiBi takes away
    block: str = "plain"  # one of BLOCKS, by its feed-forward network
    gate: str = "gelu"


STYLES = {
    "bert": Style(),
    "jina-bert-v2": Style(lean=8.0, block="gated"),
    "jina-bert-v3": Style(turns=True),
    "nomic-bert": Style(turns=True, block="unbiased", gate="silu"),
    "nomic-bert-moe": Style(turns=True, block="mixture"),
}


@dataclass(frozen=True)
class Styled:
    """What is known before any key is read."""

    style: Style = by_architecture(STYLES)


@dataclass(frozen=True)
class Config(ExpertDecoder, Styled):
    """The metadata keys below the architecture's name."""

    eps: float = number("attention.layer_norm_epsilon", at_most=1.0)
    causal: bool = must_be("attention.causal", False)
    experts_every: int = count("moe_every_n_layers", default=0, at_least=0)
    n_types: int = count("tokenizer.ggml.token_type_count", default=1, bare=True)

    def mixes(self, layer: int) -> bool:
        """Whether that layer, the second of each `experts_every`, has experts."""
        return self.experts_every > 0 and layer % self.experts_every == 1


@dataclass(frozen=True)
class UnbiasedGated(Gated):
    """A gated network whose biases, should a file have them, are not in use."""

    ffn_gate: Matrix = matrix("n_ff", "n_embd")
    ffn_up: Matrix = matrix("n_ff", "n_embd")
    ffn_down: Matrix = matrix("n_embd", "n_ff")


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.* but those of the feed-forward network."""

    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_q_norm: Vector | None = vector("n_head * key_dim", bias=True, optional=True)
    attn_k_norm: Vector | None = vector("n_head_kv * key_dim", bias=True, optional=True)
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim", bias=True)
    attn_output_norm: Vector = vector("n_embd", bias=True)
    attn_norm_2: Vector | None = vector("n_embd", bias=True, optional=True)
    layer_output_norm: Vector = vector("n_embd", bias=True)


@dataclass(frozen=True)
class Dense(Block):
    """A block with one feed-forward network."""

    ffn: Plain | Gated | FusedGated = group(Plain)

    def feed_forward(self, x: Tensor, c: Config) -> Tensor:
        return self.ffn(x, c.style.gate)


@dataclass(frozen=True)
class GatedBlock(Dense):
    """The same with a gate, in a matrix of its own or in that of `ffn_up`."""

    ffn: Plain | Gated | FusedGated = group(Gated, where="ffn_gate.weight", otherwise=FusedGated)


@dataclass(frozen=True)
class UnbiasedBlock(Dense):
    """The same with a gate and no biases."""

    ffn: Plain | Gated | FusedGated = group(UnbiasedGated)


@dataclass(frozen=True)
class Mixture(Block):
    """A block with a mixture of experts without gates."""

    ffn: Experts = group(Experts)

    def feed_forward(self, x: Tensor, c: Config) -> Tensor:
        return self.ffn(x, c, c.style.gate, normalise=False)


BLOCKS = {"plain": Dense, "gated": GatedBlock, "unbiased": UnbiasedBlock, "mixture": Dense}


@dataclass(frozen=True)
class Weights:
    """All tensors of the file."""

    token_embd: Matrix = matrix("n_vocab", "n_embd")
    token_types: Vector | None = vector("n_types", "n_embd", optional=True)
    position_embd: Matrix | None = matrix("n_ctx_train", "n_embd", optional=True)
    token_embd_norm: Vector = vector("n_embd", bias=True)
    blk: tuple[Dense | Mixture, ...] = blocks(
        lambda c, layer: Mixture if c.mixes(layer) else BLOCKS[c.style.block]
    )
    # classifiers, see `pooling`, and biases that no network uses
    leftovers: tuple[str, ...] = unused("cls.*", "blk.*.ffn_up.bias", "blk.*.ffn_down.bias")


def normed(x: Tensor, w: Vector | None, eps: float) -> Tensor:
    """x's shape: all heads of x normed together, where there is a norm."""
    return x if w is None else reshape(layer_norm(reshape(x, x.width), w, eps), *x.shape)


def attended(x: Tensor, w: Block, c: Config, turn: Rotation | None, slopes: Array | None) -> Tensor:
    q, k, v = qkv_heads(x, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    q, k = normed(q, w.attn_q_norm, c.eps), normed(k, w.attn_k_norm, c.eps)
    if turn is not None:
        q, k = rope(q, turn), rope(k, turn)
    a = attention(q, k, v, c.key_dim**-0.5, slopes=slopes)  # (n_head, value_dim)
    return linear(a, w.attn_output)  # (n_embd,)


def block(
    x: Tensor, w: Dense | Mixture, c: Config, turn: Rotation | None, slopes: Array | None
) -> Tensor:
    h = layer_norm(add(x, attended(x, w, c, turn, slopes)), w.attn_output_norm, c.eps)  # (n_embd,)
    if w.attn_norm_2 is not None:
        h = layer_norm(add(x, h), w.attn_norm_2, c.eps)  # (n_embd,)
    return layer_norm(add(h, w.feed_forward(h, c)), w.layer_output_norm, c.eps)  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of an architecture in STYLES."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    turn = rotation(c.n_rot, c.scaling, interleaved=False) if c.style.turns else None
    slopes = [leanings(n, c.style.lean) if c.style.lean else None for n in c.n_head]
    plan = Plan(
        checkpoint.architecture,
        c.n_vocab,
        c.n_ctx_train,
        causal=False,
        embeds=True,
        leftovers=w.leftovers,
    )
    x = embed(plan, w.token_embd)  # (n_embd,)
    if w.token_types is not None:
        x = affine(x, None, w.token_types.data[0])  # (n_embd,)
    if w.position_embd is not None:
        x = add(x, embed_position(plan, w.position_embd))  # (n_embd,)
    x = layer_norm(x, w.token_embd_norm, c.eps)  # (n_embd,)
    for i, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, turn, slopes[i])  # (n_embd,)
    select_outputs(x)  # (n_embd,)
    return plan
