"""SmallThinker: experts chosen by the block's input, before attention; ReLU; windows that turn.

Song et al. 2025, arXiv:2507.20984. The first of each 4 layers sees all tokens and no positions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import count, number, pattern
from vatra.models.decoder import Ends, ExpertDecoder
from vatra.models.experts import Experts
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

WINDOW = 4096  # tokens, whatever number above 0 the key has
STILL_EVERY = 4  # layers: the first of each does not turn q and k, if there are windows and more


@dataclass(frozen=True)
class Config(ExpertDecoder):
    """The metadata keys below smallthinker.*"""

    window: int = count("attention.sliding_window", default=0, at_least=0)
    windowed: tuple[bool, ...] = pattern(
        "attention.sliding_window_pattern", default=STILL_EVERY, first=True
    )
    window_base: float = number(
        "rope.freq_base_swa", default=lambda c: c["scaling"].base, at_least=2.0
    )


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*"""

    attn_norm: Vector = vector("n_embd")
    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")
    ffn_norm: Vector = vector("n_embd")
    experts: Experts = group(Experts)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def block(x: Tensor, w: Block, c: Config, window: int | None, turn: Rotation | None) -> Tensor:
    h = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    q, k, v = qkv_heads(h, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    if turn is not None:
        q, k = rope(q, turn), rope(k, turn)  # the same shapes
    a = attention(q, k, v, c.key_dim**-0.5, window=window)  # (n_head, value_dim)
    y = add(x, linear(a, w.attn_output))  # (n_embd,)
    h = rms_norm(y, w.ffn_norm, c.eps)  # (n_embd,)
    return add(y, w.experts(h, c, "relu", by="sigmoid", router=x))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture smallthinker."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    near = rotation(c.n_rot, replace(c.scaling, base=c.window_base), interleaved=False)
    far = rotation(c.n_rot, c.scaling, interleaved=False)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for i, tensors in plan.layers(w.blk):
        window, turn = (WINDOW, near) if c.window and c.windowed[i] else (None, far)
        still = c.window > 0 and c.n_layer != STILL_EVERY and i % STILL_EVERY == 0
        x = block(x, tensors, c, window, None if still else turn)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
