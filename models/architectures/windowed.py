"""Dense decoders with norms after each part, or with layers that see only a window, or both.

OLMo 2 and 3, arXiv:2501.00656, arXiv:2512.13961, and EXAONE 4, arXiv:2507.11407, norm what a part
gives instead of what it reads; Muse Glimmer and PLaMo 3 norm both; iFlytek's Spark 2.5 has gates on
heads. In some, q and k know no positions in the layers that see all tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.attention import NORMS, Gate, HeadNorms, NoNorms, RowNorms
from vatra.models.config import by_architecture, count, number, pattern
from vatra.models.decoder import Decoder, Ends
from vatra.models.feed_forward import FusedGated, Gated
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

    before: bool = True  # norms of what a part reads
    after: bool = True  # norms of what it gives
    norm: str = "head"  # of q and k: each "head", the "row" of all, or none
    interleaved: bool = False  # which pairs of a head's values turn together
    window: int = 0  # tokens, where the file has no key for it
    period: int = 4  # the last of so many layers sees all tokens, where the file has no key for it
    layers: int = 0  # if not 0, only a model of so many layers has windows
    own_turn: bool = False  # in windows, by keys for them
    base: float | None = None  # where such a key is missing, if not that of all layers
    stretched: bool = True  # in windows, too, positions are scaled for long contexts
    turns_everywhere: bool = True  # not only in windows, if there are any
    gated: bool = False  # what attention gives, by head or by value
    fused: bool = False  # gate and up of the feed-forward network are one matrix
    kind: str = "silu"
    normed_embedding: bool = False
    eps_after: float = 0.0  # of the norms after, if it is not that of all
    shaped_logits: bool = False  # there are keys for their scale and cap


STYLES = {
    "exaone4": Style(before=False, window=4096, layers=64, turns_everywhere=False),
    "muse-glimmer": Style(
        interleaved=True,
        own_turn=True,
        turns_everywhere=False,
        gated=True,
        normed_embedding=True,
        eps_after=1e-8,
        shaped_logits=True,
    ),
    "olmo2": Style(before=False, norm="row", stretched=False),
    "plamo3": Style(period=8, own_turn=True, base=10000.0, stretched=False, fused=True),
    "spark2_5": Style(after=False, norm="", own_turn=True, gated=True, kind="gelu"),
}


@dataclass(frozen=True)
class Styled:
    """What is known before any key is read."""

    style: Style = by_architecture(STYLES)


@dataclass(frozen=True)
class Config(Decoder, Styled):
    """The metadata keys below the architecture's name."""

    window: int = count("attention.sliding_window", default=lambda c: c["style"].window, at_least=0)
    windowed: tuple[bool, ...] = pattern(
        "attention.sliding_window_pattern", default=lambda c: c["style"].period
    )
    window_base: float = number(
        "rope.freq_base_swa",
        default=lambda c: c["style"].base or c["scaling"].base,
        at_least=2.0,
    )
    n_rot_window: int = count(
        "rope.dimension_count_swa", default="n_rot", at_most="key_dim", even=True
    )
    logit_scale: float = number("logit_scale", default=1.0)
    logit_cap: float = number("final_logit_softcapping", default=0.0, at_least=0.0)

    @property
    def has_windows(self) -> bool:
        return self.window > 0 and self.style.layers in (0, self.n_layer)


@dataclass(frozen=True)
class Before:
    """Norms of what attention and the feed-forward network read."""

    attn_norm: Vector = vector("n_embd")
    ffn_norm: Vector = vector("n_embd")


@dataclass(frozen=True)
class After:
    """Norms of what they give."""

    post_attention_norm: Vector = vector("n_embd")
    post_ffw_norm: Vector = vector("n_embd")


@dataclass(frozen=True)
class BareAfter(After):
    """The same under names that end there."""

    post_attention_norm: Vector = vector("n_embd", suffix="")
    post_ffw_norm: Vector = vector("n_embd", suffix="")


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*"""

    before: Before | None = group(lambda c, _: Before if c.style.before else None)
    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    norms: HeadNorms | RowNorms | NoNorms = group(lambda c, _: NORMS[c.style.norm])
    gate: Gate | None = group(lambda c, _: Gate if c.style.gated else None)
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")
    ffn: Gated | FusedGated = group(lambda c, _: FusedGated if c.style.fused else Gated)


@dataclass(frozen=True)
class NormedAfter(Block):
    """A block that norms what its parts give."""

    after: After = group(BareAfter, where="post_attention_norm", otherwise=After)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    rope_freqs: Vector | None = vector("n_rot // 2", optional=True, positive=True)
    blk: tuple[Block, ...] = blocks(lambda c, _: NormedAfter if c.style.after else Block)
    leftovers: tuple[str, ...] = unused()


@dataclass(frozen=True)
class Layer:
    """How one layer differs from others: `turn` is None where q and k know no positions."""

    window: int | None
    turn: Rotation | None


def layers(c: Config, w: Weights) -> list[Layer]:
    """One for each layer."""
    style, all_turn = c.style, not c.has_windows or c.style.turns_everywhere
    far = rotation(c.n_rot, c.scaling, interleaved=style.interleaved, factors=w.rope_freqs)
    s = c.scaling if style.stretched else replace(c.scaling, kind="none", attn_factor=1.0)
    s = replace(s, base=c.window_base if style.own_turn else s.base)
    n_rot = c.n_rot_window if style.own_turn else c.n_rot
    near = rotation(n_rot, s, interleaved=style.interleaved, factors=w.rope_freqs)
    whole = Layer(None, far if all_turn else None)
    return [Layer(c.window, near) if c.has_windows and on else whole for on in c.windowed]


def attended(x: Tensor, w: Block, c: Config, layer: Layer) -> Tensor:
    q, k, v = qkv_heads(x, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    q, k = w.norms(q, k, c.eps)  # the same shapes
    if layer.turn is not None:
        q, k = rope(q, layer.turn), rope(k, layer.turn)  # the same shapes
    a = attention(q, k, v, c.key_dim**-0.5, window=layer.window)  # (n_head, value_dim)
    a = a if w.gate is None else w.gate(a, x)  # (n_head, value_dim)
    return linear(a, w.attn_output)  # (n_embd,)


def block(x: Tensor, w: Block, c: Config, layer: Layer) -> Tensor:
    after = w.after if isinstance(w, NormedAfter) else None
    eps_after = c.style.eps_after or c.eps
    h = x if w.before is None else rms_norm(x, w.before.attn_norm, c.eps)  # (n_embd,)
    h = attended(h, w, c, layer)  # (n_embd,)
    h = h if after is None else rms_norm(h, after.post_attention_norm, eps_after)  # (n_embd,)
    x = add(x, h)  # (n_embd,)
    h = x if w.before is None else rms_norm(x, w.before.ffn_norm, c.eps)  # (n_embd,)
    h = w.ffn(h, c.style.kind)  # (n_embd,)
    h = h if after is None else rms_norm(h, after.post_ffw_norm, eps_after)  # (n_embd,)
    return add(x, h)  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of an architecture in STYLES."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    if c.style.normed_embedding:
        x = rms_norm(x, None, c.eps)  # (n_embd,)
    each = layers(c, w)
    for i, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, each[i])  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    factor, cap = (c.logit_scale, c.logit_cap) if c.style.shaped_logits else (1.0, 0.0)
    x = scale(linear(x, w.output, name="output"), factor)  # (n_vocab,)
    softcap(x, cap, name="logits")  # (n_vocab,)
    return plan
