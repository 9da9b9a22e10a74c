"""The encoder of T5: positions are biases of the scores, by how far apart two tokens are.

Raffel et al. 2019, arXiv:1910.10683; with gates since T5 1.1, Shazeer 2020, arXiv:2002.05202.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import count, layer_count, must_be
from vatra.models.decoder import Decoder
from vatra.models.feed_forward import Gated, Plain
from vatra.models.plan import Array, Plan, Tensor
from vatra.models.verbs import add, attention, embed, linear, qkv_heads, rms_norm, select_outputs
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, qkv, unused, vector

FAR = 128  # tokens, from where on distances are alike


@dataclass(frozen=True)
class Config(Decoder):
    """The metadata keys below t5encoder.*"""

    n_layer: int = layer_count(of="enc.blk")
    causal: bool = must_be("attention.causal", False)
    n_bucket: int = count("attention.relative_buckets_count", at_least=4, even=True)


@dataclass(frozen=True)
class Block:
    """The tensors enc.blk.N.*"""

    attn_norm: Vector = vector("n_embd")
    attn: tuple[Matrix, Matrix, Matrix] = qkv(bias=False)
    attn_rel_b: Vector | None = vector("n_bucket", "n_head", optional=True)
    attn_o: Matrix = matrix("n_embd", "n_head * value_dim")
    ffn_norm: Vector = vector("n_embd")
    ffn: Gated | Plain = group(Gated, where="ffn_gate.weight", otherwise=Plain)

    def feed_forward(self, x: Tensor) -> Tensor:
        return self.ffn(x, "gelu" if isinstance(self.ffn, Gated) else "relu")


@dataclass(frozen=True)
class FirstBlock(Block):
    """The first one, whose biases hold for all blocks that have none."""

    attn_rel_b: Vector = vector("n_bucket", "n_head")


@dataclass(frozen=True)
class Weights:
    """All tensors of the file."""

    token_embd: Matrix = matrix("n_vocab", "n_embd")
    blk: tuple[Block, ...] = blocks(lambda c, layer: Block if layer else FirstBlock, of="enc.blk")
    enc_output_norm: Vector = vector("n_embd", of="enc.output_norm")
    leftovers: tuple[str, ...] = unused("output.weight")  # it belongs to the decoder


def buckets(n: int) -> Array:
    """int (2 * FAR + 1,): which of n biases is for a distance of -FAR ... FAR tokens.

    Half of them are for what comes after. Of each half, half are for one distance each, the others
    for ranges that grow by the logarithm. Section 2.1 of the paper.
    """
    distances = np.arange(-FAR, FAR + 1)
    half, exact = n // 2, n // 4
    far = np.abs(distances)
    with np.errstate(divide="ignore"):
        beyond = np.log2(far / exact) * (half - exact) / math.log2(FAR / exact)
    ranges = np.minimum(exact + np.floor(np.maximum(beyond, 0)).astype(int), half - 1)
    found: Array = np.where(distances > 0, half, 0) + np.where(far < exact, far, ranges)
    return found


def block(x: Tensor, w: Block, c: Config, biases: Array) -> Tensor:
    h = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    q, k, v = qkv_heads(h, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    a = attention(q, k, v, 1.0, biases=biases)  # (n_head, value_dim)
    x = add(x, linear(a, w.attn_o))  # (n_embd,)
    return add(x, w.feed_forward(rms_norm(x, w.ffn_norm, c.eps)))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture t5encoder."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    bucket = buckets(c.n_bucket)
    plan = Plan(
        checkpoint.architecture,
        c.n_vocab,
        c.n_ctx_train,
        causal=False,
        embeds=True,
        leftovers=w.leftovers,
    )
    x = embed(plan, w.token_embd)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        if tensors.attn_rel_b is not None:
            biases = tensors.attn_rel_b.data[bucket].T  # (n_head, 2 * FAR + 1)
        x = block(x, tensors, c, biases)  # (n_embd,)
    rms_norm(select_outputs(x), w.enc_output_norm, c.eps)  # (n_embd,)
    return plan
