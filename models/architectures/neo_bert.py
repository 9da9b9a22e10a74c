"""NeoBERT: an encoder built as Llama is, but for tokens that see the whole text.

Le Breton et al. 2025, arXiv:2502.19587.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import must_be
from vatra.models.decoder import Decoder
from vatra.models.feed_forward import FusedGated
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, rotation
from vatra.models.verbs import (
    add,
    attention,
    embed,
    linear,
    qkv_heads,
    rms_norm,
    rope,
    select_outputs,
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, qkv, unused, vector


@dataclass(frozen=True)
class Config(Decoder):
    """The metadata keys below neo-bert.*"""

    causal: bool = must_be("attention.causal", False)


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*"""

    attn_norm: Vector = vector("n_embd")
    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")
    ffn_norm: Vector = vector("n_embd")
    ffn: FusedGated = group(FusedGated)


@dataclass(frozen=True)
class Weights:
    """All tensors of the file."""

    token_embd: Matrix = matrix("n_vocab", "n_embd")
    enc_output_norm: Vector = vector("n_embd", of="enc.output_norm")
    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused("cls.*")  # see `pooling`


def block(x: Tensor, w: Block, c: Config, turn: Rotation) -> Tensor:
    h = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    q, k, v = qkv_heads(h, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    a = attention(rope(q, turn), rope(k, turn), v, c.key_dim**-0.5)  # (n_head, value_dim)
    x = add(x, linear(a, w.attn_output))  # (n_embd,)
    return add(x, w.ffn(rms_norm(x, w.ffn_norm, c.eps)))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture neo-bert."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    turn = rotation(c.n_rot, c.scaling, interleaved=True)
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
        x = block(x, tensors, c, turn)  # (n_embd,)
    rms_norm(select_outputs(x), w.enc_output_norm, c.eps)  # (n_embd,)
    return plan
