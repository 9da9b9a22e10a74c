"""Decoders in the line of GPT-2: LayerNorm with biases and, mostly, a feed-forward without gate.

GPT-2, Radford et al. 2019; StarCoder 1 and 2, arXiv:2305.06161, arXiv:2402.19173; Falcon,
arXiv:2311.16867; GPT-NeoX and Pythia, arXiv:2204.06745; BLOOM, arXiv:2211.05100; MPT; CodeShell;
Phi-1 and 2; StableLM; Orion, arXiv:2401.12246; Nemotron 4, arXiv:2402.16819; Jais 1 and 2,
arXiv:2308.16149. Positions are learned, turned or leaning (ALiBi); attention and
feed-forward come one after the other or, as in Falcon, side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import by_architecture, flag, number
from vatra.models.decoder import Decoder, LayerNormEnds
from vatra.models.feed_forward import Gated, Plain
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, leanings, rotation
from vatra.models.verbs import (
    activation,
    add,
    affine,
    attention,
    clamp,
    embed,
    embed_position,
    layer_norm,
    linear,
    qkv_heads,
    rope,
    select_outputs,
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, qkv, unused, vector


@dataclass(frozen=True)
class Style:
    """What no key says; `parallel` and `lean` hold where the file has no key."""

    turns: bool = True  # q and k turn by the position
    lean: float = 0.0  # the most that ALiBi takes away
    parallel: bool = False  # attention and feed-forward side by side
    gated: bool = False
    flat: bool = False  # scores are divided by the width of a head, not by its root
    block: str = ""  # "normed heads", "scaled" or "squared"


STYLES = {
    "bloom": Style(turns=False, lean=8.0),
    "codeshell": Style(),
    "falcon": Style(parallel=True),
    "gpt2": Style(turns=False),
    "gptneox": Style(parallel=True),
    "jais": Style(turns=False, gated=True, flat=True),
    "jais2": Style(block="squared"),
    "mpt": Style(turns=False, block="scaled"),
    "nemotron": Style(block="squared"),
    "orion": Style(gated=True),
    "phi2": Style(parallel=True),
    "stablelm": Style(gated=True, block="normed heads"),
    "starcoder": Style(turns=False),
    "starcoder2": Style(),
}


@dataclass(frozen=True)
class Styled:
    """What is known before any key is read."""

    style: Style = by_architecture(STYLES)


@dataclass(frozen=True)
class Config(Decoder, Styled):
    """The metadata keys below the architecture's name."""

    eps: float = number("attention.layer_norm_epsilon", at_most=1.0)
    parallel: bool | None = flag("use_parallel_residual", default=None)
    lean: float = number(
        "attention.max_alibi_bias", default=lambda c: c["style"].lean, at_least=0.0
    )
    most: float = number("attention.clamp_kqv", default=0.0, at_least=0.0)  # of q, k and v

    @property
    def query_scale(self) -> float:
        return self.key_dim**-1.0 if self.style.flat else self.key_dim**-0.5

    @property
    def side_by_side(self) -> bool:
        return self.style.parallel if self.parallel is None else self.parallel


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*; one without norm of its own feeds forward what attention reads."""

    attn_norm: Vector = vector("n_embd", bias=True)
    attn_norm_2: Vector | None = vector("n_embd", bias=True, optional=True)
    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim", bias=True)
    ffn_norm: Vector | None = vector("n_embd", bias=True, optional=True)
    ffn: Gated | Plain = group(lambda c, _: Gated if c.style.gated else Plain)

    def feed_forward(self, x: Tensor) -> Tensor:
        return self.ffn(x, "silu" if isinstance(self.ffn, Gated) else "gelu")


@dataclass(frozen=True)
class NormedHeads(Block):
    """A block whose heads of q and k have norms of their own, if the file has them."""

    attn_q_norm: Vector | None = vector("n_head", "key_dim", optional=True)
    attn_k_norm: Vector | None = vector("n_head_kv", "key_dim", optional=True)


@dataclass(frozen=True)
class Scaled(Block):
    """A block whose feed-forward divides its values by scales, if the file has them."""

    ffn_act: Vector | None = vector("n_ff", optional=True, of="ffn.act", suffix=".scales")

    def feed_forward(self, x: Tensor) -> Tensor:
        if self.ffn_act is None or isinstance(self.ffn, Gated):
            return super().feed_forward(x)
        h = activation(linear(x, self.ffn.ffn_up), "gelu")  # (n_ff,)
        return linear(affine(h, 1 / self.ffn_act.data), self.ffn.ffn_down)  # (n_embd,)


@dataclass(frozen=True)
class Squared(Block):
    """A block whose feed-forward squares its values above 0. Primer, arXiv:2109.08668."""

    def feed_forward(self, x: Tensor) -> Tensor:
        return self.ffn(x, "relu2")


BLOCKS = {"normed heads": NormedHeads, "scaled": Scaled, "squared": Squared}


@dataclass(frozen=True)
class Weights(LayerNormEnds):
    """All tensors of the file."""

    position_embd: Matrix | None = matrix("n_ctx_train", "n_embd", optional=True)
    token_embd_norm: Vector | None = vector("n_embd", bias=True, optional=True)
    blk: tuple[Block, ...] = blocks(lambda c, _: BLOCKS.get(c.style.block, Block))
    # no model has a norm of keys alone in use
    leftovers: tuple[str, ...] = unused("blk.*.attn_k_norm.*")


def attended(x: Tensor, w: Block, c: Config, turn: Rotation | None) -> Tensor:
    q, k, v = qkv_heads(x, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    if c.most:
        q, k, v = (clamp(t, -c.most, c.most) for t in (q, k, v))
    if isinstance(w, NormedHeads) and w.attn_q_norm is not None:
        q, k = layer_norm(q, w.attn_q_norm, c.eps), layer_norm(k, w.attn_k_norm, c.eps)
    if turn is not None:
        q, k = rope(q, turn), rope(k, turn)
    slopes = leanings(q.shape[0], c.lean) if c.lean else None  # (n_head,)
    a = attention(q, k, v, c.query_scale, slopes=slopes)  # (n_head, value_dim)
    return linear(a, w.attn_output)  # (n_embd,)


def block(x: Tensor, w: Block, c: Config, turn: Rotation | None) -> Tensor:
    h = layer_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    read = h if w.attn_norm_2 is None else layer_norm(x, w.attn_norm_2, c.eps)  # (n_embd,)
    a = attended(read, w, c, turn)  # (n_embd,)
    if c.side_by_side or w.ffn_norm is None:
        h = h if w.ffn_norm is None else layer_norm(x, w.ffn_norm, c.eps)  # (n_embd,)
        return add(add(x, a), w.feed_forward(h))  # (n_embd,)
    x = add(x, a)  # (n_embd,)
    return add(x, w.feed_forward(layer_norm(x, w.ffn_norm, c.eps)))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of an architecture in STYLES."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    turn = rotation(c.n_rot, c.scaling, interleaved=False) if c.style.turns else None
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    if w.position_embd is not None:
        x = add(x, embed_position(plan, w.position_embd))  # (n_embd,)
    if w.token_embd_norm is not None:
        x = layer_norm(x, w.token_embd_norm, c.eps)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, turn)  # (n_embd,)
    x = layer_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
