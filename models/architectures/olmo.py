"""OLMo 1: Llama with bounds for q, k and v, and LayerNorms without weights. arXiv:2402.00838."""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import number
from vatra.models.decoder import Decoder
from vatra.models.feed_forward import Gated
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, rotation
from vatra.models.verbs import (
    add,
    attention,
    clamp,
    embed,
    layer_norm,
    linear,
    qkv_heads,
    rope,
    select_outputs,
)
from vatra.models.weights import Matrix, blocks, group, matrix, qkv, unused


@dataclass(frozen=True)
class Config(Decoder):
    """The metadata keys below olmo.*"""

    eps: float = number("attention.layer_norm_epsilon", at_most=1.0)
    most: float = number("attention.clamp_kqv", default=0.0, at_least=0.0)  # 0: no bound


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*"""

    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")
    ffn: Gated = group(Gated)


@dataclass(frozen=True)
class Weights:
    """All tensors of the file."""

    token_embd: Matrix = matrix("n_vocab", "n_embd")
    output: Matrix = matrix("n_vocab", "n_embd", tied_to="token_embd")
    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def block(x: Tensor, w: Block, c: Config, turn: Rotation) -> Tensor:
    h = layer_norm(x, None, c.eps)  # (n_embd,)
    q, k, v = qkv_heads(h, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    if c.most:
        q, k, v = (clamp(t, -c.most, c.most) for t in (q, k, v))
    a = attention(rope(q, turn), rope(k, turn), v, c.key_dim**-0.5)  # (n_head, value_dim)
    x = add(x, linear(a, w.attn_output))  # (n_embd,)
    return add(x, w.ffn(layer_norm(x, None, c.eps)))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture olmo."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    turn = rotation(c.n_rot, c.scaling, interleaved=True)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, turn)  # (n_embd,)
    x = layer_norm(select_outputs(x), None, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
