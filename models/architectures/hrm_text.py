"""HRM-Text: two stacks of layers, gone through in turns many times, as a fast and a slow state.

Norms have no weights. Each pass has keys and values of its own. Hierarchical Reasoning Model, Wang
et al. 2025, arXiv:2506.21734.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import count, derived, flag, number
from vatra.models.decoder import Decoder
from vatra.models.feed_forward import Gated
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, rotation
from vatra.models.verbs import (
    activation,
    add,
    affine,
    attention,
    embed,
    linear,
    mul,
    qkv_heads,
    reshape,
    rms_norm,
    rope,
    scale,
    select_outputs,
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, qkv, unused, vector

MOST_LAYERS = 512


@dataclass(frozen=True)
class Config(Decoder):
    """The metadata keys below hrm_text.*; layers are counted as often as they are gone through."""

    n_layer: int = count("block_count", at_most=MOST_LAYERS)
    n_stack: int = count("hrm.layers_per_stack", at_most="n_layer")
    n_high: int = count("hrm.h_cycles", at_most="n_layer")
    n_low: int = count("hrm.l_cycles", at_most="n_layer")  # in each of the high cycles
    n_pass: int = derived(lambda c: c["n_stack"] * c["n_high"] * (c["n_low"] + 1))
    n_layer_gone: int = count("block_count", equals="n_pass")
    n_block: int = derived(lambda c: 2 * c["n_stack"])
    embedding_scale: float = number("embedding_scale", default=1.0, at_least=0.0)
    # such a model may also read what it is given in both directions; this only reads it in one
    prefix: bool = flag("hrm.prefix_lm", default=False)


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*"""

    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_gate: Matrix = matrix("n_head * value_dim", "n_embd")
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")
    ffn: Gated = group(Gated)


@dataclass(frozen=True)
class Weights:
    """All tensors of the file."""

    token_embd: Matrix = matrix("n_vocab", "n_embd")
    output: Matrix = matrix("n_vocab", "n_embd", tied_to="token_embd")
    first_low: Vector = vector("n_embd", of="hrm.z_l_init", suffix="")
    blk: tuple[Block, ...] = blocks(Block, count="n_block")
    leftovers: tuple[str, ...] = unused()


def block(x: Tensor, w: Block, c: Config, turn: Rotation) -> Tensor:
    h = rms_norm(x, None, c.eps)  # (n_embd,)
    q, k, v = qkv_heads(h, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    a = attention(rope(q, turn), rope(k, turn), v, c.key_dim**-0.5)  # (n_head, value_dim)
    gate = activation(linear(h, w.attn_gate), "sigmoid")  # (n_head * value_dim,)
    a = mul(reshape(a, a.width), gate)  # (n_head * value_dim,)
    x = add(x, linear(a, w.attn_output))  # (n_embd,)
    return add(x, w.ffn(rms_norm(x, None, c.eps)))  # (n_embd,)


def stack(x: Tensor, w: tuple[Block, ...], c: Config, turn: Rotation, name: str) -> Tensor:
    with x.plan.scope(name):
        for _, tensors in x.plan.layers(w):
            x = block(x, tensors, c, turn)  # (n_embd,)
        return rms_norm(x, None, c.eps)  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture hrm_text."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    turn = rotation(c.n_rot, c.scaling, interleaved=False)
    fast, slow = w.blk[: c.n_stack], w.blk[c.n_stack :]
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    high = scale(embed(plan, w.token_embd), c.embedding_scale or 1.0)  # (n_embd,)
    low: Tensor | None = None  # at first w.first_low, for all tokens
    for i in range(c.n_high):
        for j in range(c.n_low):
            both = affine(high, bias=w.first_low.data) if low is None else add(high, low)
            low = stack(both, fast, c, turn, f"high.{i}.low.{j}")  # (n_embd,)
        assert low is not None
        high = stack(add(high, low), slow, c, turn, f"high.{i}")  # (n_embd,)
    linear(select_outputs(high), w.output, name="logits")  # (n_vocab,)
    return plan
