"""Mixtures of experts whose layers see all tokens or a window, and turn by other frequencies there.

Trinity (afmoe), arXiv:2602.17004; K-EXAONE (exaone-moe), arXiv:2601.01739; Laguna; Maple; Mellum 2;
MiMo-V2 (mimo2), arXiv:2601.02780; Step 3.5 (step35), arXiv:2602.10604. Some have attention sinks, a
gate on what attention gives, or norms after each part as well as before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.attention import Gate
from vatra.models.config import (
    by_architecture,
    count,
    derived,
    number,
    number_per_layer,
    pattern,
)
from vatra.models.decoder import Ends, ExpertDecoder
from vatra.models.experts import Mixture
from vatra.models.feed_forward import Gated, Unit, limited_after, limited_before
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
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, qkv, unused, vector


@dataclass(frozen=True)
class Style:
    """What no key says: `by`, `normalise` and `full_first` hold where the file has no key."""

    by: str = "sigmoid"
    normalise: bool = False
    full_first: bool = False  # the first of each 4 layers sees all tokens, not the last
    own_base: bool = True  # of the frequencies of layers with a window
    stretched_windows: bool = True  # there, too, positions are scaled for long contexts
    turns_everywhere: bool = True  # q and k turn in layers without a window
    turns_but_every: int = 0  # they turn in all layers but each of that number
    half_turn: bool = False  # without a window half as many values of a head turn
    gate: str = "sigmoid"
    qkv_bias: bool = True  # else a file's biases are not in use
    scaled_embedding: bool = False  # times sqrt(n_embd)
    limited_before: bool = False  # swiglu_clamp_exp is of gates, not of their silu


STYLES = {
    "afmoe": Style(turns_but_every=4, scaled_embedding=True),
    "exaone-moe": Style(own_base=False, turns_everywhere=False),
    "laguna": Style(full_first=True, stretched_windows=False, gate="softplus"),
    "maple": Style("softmax", True, turns_everywhere=False, limited_before=True),
    "mellum": Style("softmax", True, own_base=False, stretched_windows=False),
    "mimo2": Style(normalise=True, stretched_windows=False, qkv_bias=False),
    "step35": Style(stretched_windows=False, half_turn=True),
}


@dataclass(frozen=True)
class Styled:
    """What is known before any key is read."""

    style: Style = by_architecture(STYLES)


@dataclass(frozen=True)
class Config(ExpertDecoder, Styled):
    """The metadata keys below the architecture's name."""

    window: int = count("attention.sliding_window", default=0, at_least=0)
    windowed: tuple[bool, ...] = pattern(
        "attention.sliding_window_pattern", default=4, first=lambda c: c["style"].full_first
    )
    window_base: float = number(
        "rope.freq_base_swa", default=lambda c: c["scaling"].base, at_least=2.0
    )
    n_rot_window: int = count(
        "rope.dimension_count_swa", default="n_rot", at_most="key_dim", even=True
    )
    n_rot_full: int = derived(lambda c: c["n_rot"] // (2 if c["style"].half_turn else 1))
    n_rot_most: int = derived(lambda c: max(c["n_rot_window"], c["n_rot_full"]))
    limit: tuple[float, ...] = number_per_layer("swiglu_clamp_exp")
    limit_shared: tuple[float, ...] = number_per_layer("swiglu_clamp_shexp")
    value_scale: float = number("attention.value_scale", default=1.0)

    def has_window(self, layer: int) -> bool:
        return self.window > 0 and self.windowed[layer]

    def turns(self, layer: int) -> bool:
        """Whether q and k of that layer know their positions."""
        every = self.style.turns_but_every
        if every:
            return (layer + 1) % every != 0
        return self.style.turns_everywhere or self.has_window(layer)


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*: a layer without a router is dense."""

    attn_norm: Vector = vector("n_embd")
    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_q_norm: Vector | None = vector("key_dim", optional=True)
    attn_k_norm: Vector | None = vector("key_dim", optional=True)
    attn_sinks: Vector | None = vector("n_head", optional=True)
    gate: Gate | None = group(Gate, where="attn_gate.weight")
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")
    post_attention_norm: Vector | None = vector("n_embd", optional=True)
    ffn_norm: Vector = vector("n_embd")
    ffn: Mixture | Gated = group(Mixture, where="ffn_gate_inp.weight", otherwise=Gated)
    post_ffw_norm: Vector | None = vector("n_embd", optional=True)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    rope_freqs: Vector | None = vector("n_rot_most // 2", optional=True, positive=True)
    blk: tuple[Block, ...] = blocks(Block)
    # a dense network beside experts is in use nowhere
    leftovers: tuple[str, ...] = unused(
        "blk.*.ffn_gate.weight", "blk.*.ffn_up.weight", "blk.*.ffn_down.weight"
    )


@dataclass(frozen=True)
class Layer:
    """How one layer differs from others: `turn` is None where q and k know no positions."""

    window: int | None
    turn: Rotation | None
    limit: float
    limit_shared: float


def layers(c: Config, w: Weights) -> list[Layer]:
    """One for each layer."""
    plain = replace(c.scaling, kind="none", attn_factor=1.0)
    base = c.window_base if c.style.own_base else c.scaling.base
    factors = w.rope_freqs if c.style.stretched_windows else None
    scaling = replace(c.scaling if c.style.stretched_windows else plain, base=base)
    near = rotation(c.n_rot_window, scaling, interleaved=False, factors=factors)
    far = rotation(c.n_rot_full, c.scaling, interleaved=False, factors=w.rope_freqs)
    made = []
    for i in range(c.n_layer):
        window, turn = (c.window, near) if c.has_window(i) else (None, far)
        turned = turn if c.turns(i) else None
        made.append(Layer(window, turned, c.limit[i], c.limit_shared[i]))
    return made


def unbiased(w: tuple[Matrix, Matrix, Matrix]) -> tuple[Matrix, Matrix, Matrix]:
    q, k, v = (replace(part, bias=None) for part in w)
    return q, k, v


def attended(x: Tensor, w: Block, c: Config, layer: Layer) -> Tensor:
    parts = w.attn if c.style.qkv_bias else unbiased(w.attn)
    q, k, v = qkv_heads(x, parts, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    q = q if w.attn_q_norm is None else rms_norm(q, w.attn_q_norm, c.eps)  # (n_head, key_dim)
    k = k if w.attn_k_norm is None else rms_norm(k, w.attn_k_norm, c.eps)  # (n_head_kv, key_dim)
    if layer.turn is not None:
        q, k = rope(q, layer.turn), rope(k, layer.turn)  # the same shapes
    a = attention(q, k, v, c.key_dim**-0.5, window=layer.window, sinks=w.attn_sinks)
    a = a if w.gate is None else w.gate(a, x, c.style.gate)  # (n_head, value_dim)
    return scale(linear(a, w.attn_output), c.value_scale)  # (n_embd,)


def fed_forward(x: Tensor, w: Block, c: Config, layer: Layer) -> Tensor:
    limited = limited_before if c.style.limited_before else limited_after
    shared: Unit = limited(layer.limit_shared)
    if isinstance(w.ffn, Gated):
        return w.ffn(x, shared)  # (n_embd,)
    s, unit = c.style, limited(layer.limit)
    return w.ffn(x, c, unit, by=s.by, normalise=s.normalise, shared_kind=shared)  # (n_embd,)


def block(x: Tensor, w: Block, c: Config, layer: Layer) -> Tensor:
    h = attended(rms_norm(x, w.attn_norm, c.eps), w, c, layer)  # (n_embd,)
    if w.post_attention_norm is not None:
        h = rms_norm(h, w.post_attention_norm, c.eps)  # (n_embd,)
    x = add(x, h)  # (n_embd,)
    h = fed_forward(rms_norm(x, w.ffn_norm, c.eps), w, c, layer)  # (n_embd,)
    if w.post_ffw_norm is not None:
        h = rms_norm(h, w.post_ffw_norm, c.eps)  # (n_embd,)
    return add(x, h)  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of an architecture in STYLES."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    x = scale(x, c.n_embd**0.5 if c.style.scaled_embedding else 1.0)  # (n_embd,)
    each = layers(c, w)
    for i, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, each[i])  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
