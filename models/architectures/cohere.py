"""Cohere's Command R, R7B and A, and their mixture: attention and feed-forward side by side.

Both read the same norm without bias. From Command R7B on q and k turn only in layers with a window.
Command A, arXiv:2504.00698.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import by_architecture, count, number, pattern
from vatra.models.decoder import Ends, ExpertDecoder
from vatra.models.experts import Mixture
from vatra.models.feed_forward import Gated
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, rotation
from vatra.models.verbs import (
    add,
    affine,
    attention,
    embed,
    layer_norm,
    linear,
    qkv_heads,
    rms_norm,
    rope,
    scale,
    select_outputs,
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, qkv, unused, vector


@dataclass(frozen=True)
class Style:
    """What no key says."""

    windows: bool = True  # some layers see a window, and only in those q and k turn
    full_first: bool = False  # the first of each 4 layers sees all tokens, not the last


STYLES = {
    "command-r": Style(windows=False),
    "cohere2": Style(),
    "cohere2moe": Style(full_first=True),
}


@dataclass(frozen=True)
class Styled:
    """What is known before any key is read."""

    style: Style = by_architecture(STYLES)


@dataclass(frozen=True)
class Config(ExpertDecoder, Styled):
    """The metadata keys below the architecture's name."""

    rms_eps: float = number("attention.layer_norm_rms_epsilon", default=0.0, at_most=1.0)
    eps: float = number("attention.layer_norm_epsilon", default=lambda c: c["rms_eps"], at_most=1.0)
    logit_scale: float = number("logit_scale", default=1.0)
    window: int = count("attention.sliding_window", default=0, at_least=0)
    windowed: tuple[bool, ...] = pattern(
        "attention.sliding_window_pattern", default=4, first=lambda c: c["style"].full_first
    )


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*: a layer without a router is dense."""

    attn_norm: Vector = vector("n_embd")
    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_q_norm: Vector | None = vector("n_head", "key_dim", optional=True)
    attn_k_norm: Vector | None = vector("n_head_kv", "key_dim", optional=True)
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim", bias=True)
    ffn: Mixture | Gated = group(Mixture, where="ffn_gate_inp.weight", otherwise=Gated)

    def feed_forward(self, x: Tensor, c: Config) -> Tensor:
        if isinstance(self.ffn, Gated):
            return self.ffn(x)
        h = self.ffn(x, c, by="sigmoid", normalise=False)  # (n_embd,)
        return scale(h, 1.0 if self.ffn.shared is None else 0.5)  # (n_embd,)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def norm(x: Tensor, w: Vector, c: Config) -> Tensor:
    """x's shape: by the RMS if the file has an epsilon for it, else by mean and variance."""
    return rms_norm(x, w, c.rms_eps) if c.rms_eps else layer_norm(x, w, c.eps)


def attended(x: Tensor, w: Block, c: Config, turn: Rotation | None, window: int | None) -> Tensor:
    q, k, v = qkv_heads(x, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    q = q if w.attn_q_norm is None else layer_norm(q, w.attn_q_norm, c.eps)  # (n_head, key_dim)
    k = k if w.attn_k_norm is None else layer_norm(k, w.attn_k_norm, c.eps)  # (n_head_kv, key_dim)
    if turn is not None:
        q, k = rope(q, turn), rope(k, turn)
    return linear(attention(q, k, v, c.key_dim**-0.5, window=window), w.attn_output)  # (n_embd,)


def block(x: Tensor, w: Block, c: Config, turn: Rotation | None, window: int | None) -> Tensor:
    h = norm(x, w.attn_norm, c)  # (n_embd,)
    a = attended(h, w, c, turn, window)  # (n_embd,)
    return add(add(x, a), w.feed_forward(h, c))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of an architecture in STYLES."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    turn = rotation(c.n_rot, c.scaling, interleaved=True)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for i, tensors in plan.layers(w.blk):
        near = c.style.windows and c.windowed[i]
        turns = near or not c.style.windows or i < c.n_dense
        x = block(x, tensors, c, turn if turns else None, c.window if near else None)  # (n_embd,)
    x = norm(select_outputs(x), w.output_norm, c)  # (n_embd,)
    affine(linear(x, w.output, name="output"), factor=c.logit_scale, name="logits")  # (n_vocab,)
    return plan
