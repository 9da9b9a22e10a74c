"""Hy 4: latent attention to chosen positions, with sinks and a gate; several streams of residuals.

Tencent 2026. Hyper-connections, Zhu et al. 2024, arXiv:2409.19606: each part of a block reads a sum
of the streams and is added to each, all weighted by what the streams are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import count, number, number_per_layer, pattern
from vatra.models.decoder import Ends
from vatra.models.experts import Mixture
from vatra.models.feed_forward import Gated, limited_before
from vatra.models.indexer import Indexed, Indexer
from vatra.models.latent import LatentAttention, LatentDecoder, Reading
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import rotation
from vatra.models.verbs import (
    activation,
    add,
    affine,
    embed,
    linear,
    mul,
    repeat,
    reshape,
    rms_norm,
    select_outputs,
    split,
    weighted_sum,
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, unused, vector


@dataclass(frozen=True)
class Config(Indexed, LatentDecoder):
    """The metadata keys below hy_v4.*"""

    own_choice: tuple[bool, ...] = pattern("attention.indexer.types", default=0)
    limit: tuple[float, ...] = number_per_layer("swiglu_clamp_exp")
    n_stream: int = count("hyper_connection.count")
    stream_eps: float = number("hyper_connection.epsilon", at_least=0.0)
    magnitude: float = number("hyper_connection.magnitude")


@dataclass(frozen=True)
class Connection:
    """Between a part of a block and the streams: shares of each to be read, and to be added to."""

    fn: Matrix
    base: Vector
    scale: Vector

    def __call__(self, x: Tensor, c: Config) -> tuple[Tensor, Tensor]:
        """The sum of streams x (n_stream, n_embd), (n_embd,), and the weights of what is added."""
        flat = rms_norm(reshape(x, x.width), None, c.eps)  # (n_stream * n_embd,)
        ones = np.ones(c.n_stream, np.float32)
        scales = np.concatenate([s * ones for s in self.scale.data])
        mixed = affine(linear(flat, self.fn), scales, self.base.data)  # (2 * n_stream,)
        most = np.concatenate([ones, c.magnitude * ones])
        shares = affine(activation(mixed, "sigmoid"), most, c.stream_eps * np.ones_like(most))
        read, added = split(shares, c.n_stream, c.n_stream)  # (n_stream,), (n_stream,)
        return weighted_sum(x, read), added


def connected(x: Tensor, part: Tensor, added: Tensor) -> Tensor:
    """(n_stream, n_embd): `part` (n_embd,) added to each stream of x by its weight."""
    rows = repeat(reshape(part, 1, part.width), x.shape[0])  # (n_stream, n_embd)
    return add(x, mul(rows, reshape(added, x.shape[0], 1)))


@dataclass(frozen=True)
class AttentionConnection(Connection):
    """The tensors hc_attn_*"""

    fn: Matrix = matrix("2 * n_stream", "n_stream * n_embd", of="hc_attn_fn")
    base: Vector = vector("2 * n_stream", of="hc_attn_base")
    scale: Vector = vector("2", of="hc_attn_scale")


@dataclass(frozen=True)
class FeedForwardConnection(Connection):
    """The tensors hc_ffn_*"""

    fn: Matrix = matrix("2 * n_stream", "n_stream * n_embd", of="hc_ffn_fn")
    base: Vector = vector("2 * n_stream", of="hc_ffn_base")
    scale: Vector = vector("2", of="hc_ffn_scale")


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*: a layer without a router is dense."""

    of_attention: AttentionConnection = group(AttentionConnection)
    attn_norm: Vector = vector("n_embd")
    indexer: Indexer | None = group(Indexer, where="indexer.attn_k.weight")
    attend: LatentAttention = group(LatentAttention)
    of_feed_forward: FeedForwardConnection = group(FeedForwardConnection)
    ffn_norm: Vector = vector("n_embd")
    ffn: Mixture | Gated = group(Mixture, where="ffn_gate_inp.weight", otherwise=Gated)

    def feed_forward(self, x: Tensor, c: Config, limit: float) -> Tensor:
        if isinstance(self.ffn, Gated):
            return self.ffn(x)
        unit = limited_before(limit)
        return self.ffn(x, c, unit, by="sigmoid", normalise=False, shared_kind="silu")


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    output_hc_fn: Matrix = matrix("n_stream", "n_stream * n_embd")
    output_hc_base: Vector = vector("n_stream")
    output_hc_scale: Vector = vector("1")
    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def block(
    x: Tensor, w: Block, c: Config, read: Reading, chooses: bool, limit: float
) -> tuple[Tensor, Reading]:
    """Streams (n_stream, n_embd), and how to read from here on."""
    h, added = w.of_attention(x, c)  # (n_embd,), (n_stream,)
    h = rms_norm(h, w.attn_norm, c.eps)  # (n_embd,)
    latent = w.attend.queries.latent(h, c.eps)  # (n_lora_q,)
    if chooses and w.indexer is not None:
        most = c.n_index_top
        chosen = w.indexer(h, latent, most, read.turn, eps=c.eps, turn_last=True)  # (1, most)
        read = replace(read, chosen=chosen)
    x = connected(x, w.attend(h, latent, c.head_dim, read, c.eps), added)
    h, added = w.of_feed_forward(x, c)  # (n_embd,), (n_stream,)
    h = w.feed_forward(rms_norm(h, w.ffn_norm, c.eps), c, limit)  # (n_embd,)
    return connected(x, h, added), read


def joined(x: Tensor, w: Weights, c: Config) -> Tensor:
    """(n_embd,): the weighted sum of the streams x (n_stream, n_embd)."""
    flat = rms_norm(reshape(x, x.width), None, c.eps)  # (n_stream * n_embd,)
    scales = np.full(c.n_stream, w.output_hc_scale.data[0], np.float32)
    mixed = affine(linear(flat, w.output_hc_fn), scales, w.output_hc_base.data)  # (n_stream,)
    eps = np.full(c.n_stream, c.stream_eps, np.float32)
    return weighted_sum(x, affine(activation(mixed, "sigmoid"), None, eps))


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture hy_v4, to be run with contexts of `n_ctx` tokens."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    read = Reading(rotation(c.n_rot, c.scaling, interleaved=True), c.head_dim**-0.5)
    chooses = c.chooses(n_ctx or c.n_ctx_train)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = repeat(reshape(embed(plan, w.token_embd), 1, c.n_embd), c.n_stream)  # (n_stream, n_embd)
    for i, tensors in plan.layers(w.blk):
        x, read = block(x, tensors, c, read, chooses and c.own_choice[i], c.limit[i])
    x = rms_norm(joined(select_outputs(x), w, c), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
