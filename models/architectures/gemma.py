"""Gemma 1 to 3: scaled embeddings, GELU gates, and from the second on windows and norms after.

Gemma, arXiv:2403.08295; Gemma 2, with soft-capped scores and logits, arXiv:2408.00118; Gemma 3,
with normed heads and two rotations, arXiv:2503.19786. EmbeddingGemma is a third that reads a text
as a whole and makes vectors, arXiv:2509.20354.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import by_architecture, count, must_be, number, pattern
from vatra.models.decoder import Decoder, Ends
from vatra.models.feed_forward import Gated
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
    scale,
    select_outputs,
    softcap,
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, qkv, unused, vector


@dataclass(frozen=True)
class Style:
    """What no key says."""

    window: int = 0  # tokens, where the file has no key for it
    period: int = 1  # one of so many layers sees all tokens
    base: float | None = None  # of the rotation within windows, if it is not that of all layers
    capped: tuple[float, float] = (0.0, 0.0)  # scores and logits
    first: bool = False  # it knows neither windows nor caps, whatever a file says
    broad: int = 0  # layers of the size whose heads are narrower than n_embd / n_head
    embeds: bool = False  # tokens see the whole text, and what is made of them are vectors


STYLES = {
    "gemma": Style(first=True),
    "gemma2": Style(window=4096, period=2, capped=(50.0, 30.0), broad=46),
    "gemma3": Style(period=6, base=10000.0, broad=62),
    "gemma-embedding": Style(period=6, base=10000.0, embeds=True),
}


@dataclass(frozen=True)
class Styled:
    """What is known before any key is read."""

    style: Style = by_architecture(STYLES)


@dataclass(frozen=True)
class Config(Decoder, Styled):
    """The metadata keys below the architecture's name."""

    causal: bool = must_be("attention.causal", lambda c: not c["style"].embeds)
    window: int = count("attention.sliding_window", default=lambda c: c["style"].window, at_least=0)
    windowed: tuple[bool, ...] = pattern(
        "attention.sliding_window_pattern", default=lambda c: c["style"].period
    )
    window_base: float = number(
        "rope.freq_base_swa",
        default=lambda c: c["style"].base or c["scaling"].base,
        at_least=2.0,
    )
    score_cap: float = number(
        "attn_logit_softcapping", default=lambda c: c["style"].capped[0], at_least=0.0
    )
    logit_cap: float = number(
        "final_logit_softcapping", default=lambda c: c["style"].capped[1], at_least=0.0
    )

    @property
    def caps(self) -> tuple[float, float]:
        """Of scores and of logits; 0 for none."""
        return (0.0, 0.0) if self.style.first else (self.score_cap, self.logit_cap)

    @property
    def near_kind(self) -> str:
        """The scaling of rotations within windows: those of Gemma 3 are not stretched."""
        return self.scaling.kind if self.style.base is None else "none"

    @property
    def query_scale(self) -> float:
        broad = self.n_layer == self.style.broad
        return float((self.n_embd // self.n_head[0] if broad else self.key_dim) ** -0.5)


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*; Gemma 2 has the norms after, Gemma 3 those of heads too."""

    attn_norm: Vector = vector("n_embd")
    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_q_norm: Vector | None = vector("key_dim", optional=True)
    attn_k_norm: Vector | None = vector("key_dim", optional=True)
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")
    post_attention_norm: Vector | None = vector("n_embd", optional=True)
    ffn_norm: Vector = vector("n_embd")
    ffn: Gated = group(Gated)
    post_ffw_norm: Vector | None = vector("n_embd", optional=True)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused("dense_2.*", "dense_3.*")  # for the vectors of whole texts


def normed(x: Tensor, w: Vector | None, eps: float) -> Tensor:
    """x's shape: normed, where there is a norm."""
    return x if w is None else rms_norm(x, w, eps)


def block(x: Tensor, w: Block, c: Config, turn: Rotation, window: int | None) -> Tensor:
    h = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    q, k, v = qkv_heads(h, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    q = rope(normed(q, w.attn_q_norm, c.eps), turn)  # (n_head, key_dim)
    k = rope(normed(k, w.attn_k_norm, c.eps), turn)  # (n_head_kv, key_dim)
    a = attention(q, k, v, c.query_scale, window=window, softcap=c.caps[0] or None)
    h = linear(a, w.attn_output)  # (n_embd,)
    x = add(x, normed(h, w.post_attention_norm, c.eps))  # (n_embd,)
    h = w.ffn(rms_norm(x, w.ffn_norm, c.eps), "gelu")  # (n_embd,)
    return add(x, normed(h, w.post_ffw_norm, c.eps))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of an architecture in STYLES."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    far = rotation(c.n_rot, c.scaling, interleaved=False)
    near_scaling = replace(c.scaling, base=c.window_base, kind=c.near_kind)
    near = rotation(c.n_rot, near_scaling, interleaved=False)
    plan = Plan(
        checkpoint.architecture,
        c.n_vocab,
        c.n_ctx_train,
        causal=c.causal,
        embeds=c.style.embeds,
        leftovers=w.leftovers,
    )
    x = scale(embed(plan, w.token_embd), c.n_embd**0.5)  # (n_embd,)
    for i, tensors in plan.layers(w.blk):
        windowed = c.window > 0 and c.windowed[i] and not c.style.first
        x = block(x, tensors, c, near if windowed else far, c.window if windowed else None)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    if not c.style.embeds:
        softcap(linear(x, w.output, name="output"), c.caps[1], name="logits")  # (n_vocab,)
    return plan
