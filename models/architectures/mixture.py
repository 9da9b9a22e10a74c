"""Decoders that differ from Llama or Qwen little, but for their mixtures of experts.

Qwen 1.5 and 2 MoE, arXiv:2407.10671; DeepSeekMoE (first with a shared expert), arXiv:2401.06066,
and the language model of DeepSeek-OCR, arXiv:2510.18234; OLMoE, arXiv:2409.02060; Ling and Ring
(bailingmoe), arXiv:2503.05139, arXiv:2510.22115; dots.llm1, arXiv:2506.05767; ERNIE 4.5; Hunyuan
A13B and Hy 3; MiniMax M2; LLaDA-MoE, arXiv:2509.24389, and RND1, which read a text as a whole and
write by diffusion. Leading layers are often dense; q and k may be normed, in heads or whole.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.attention import NORMS, HeadNorms, NoNorms, RowNorms
from vatra.models.config import by_architecture, count, must_be
from vatra.models.decoder import Ends, ExpertDecoder
from vatra.models.experts import Mixture
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
    select_outputs,
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, qkv, unused, vector


@dataclass(frozen=True)
class Style:
    """What no key says: `by` and `normalise` hold where the file has no key for them."""

    interleaved: bool  # which pairs of a head's values turn together
    norm: str = ""  # of q and k: each "head", the "row" of all, or none
    norm_first: bool = True  # before they turn
    by: str = "softmax"
    normalise: bool = False
    split_ff: bool = False  # feed_forward_length is that of all experts of a token together
    causal: bool = True  # tokens see those before them, not the whole text


STYLES = {
    "bailingmoe": Style(True),
    "bailingmoe2": Style(False, "head", by="sigmoid"),
    "deepseek": Style(True),
    "deepseek2-ocr": Style(False),
    "dots1": Style(False, "head", by="sigmoid"),
    "ernie4_5-moe": Style(True, normalise=True),
    "hunyuan-moe": Style(False, "head", norm_first=False, normalise=True),
    "hy_v3": Style(False, "head", by="sigmoid", split_ff=True),
    "llada-moe": Style(False, "head", split_ff=True, causal=False),
    "minimax-m2": Style(False, "row", by="sigmoid", normalise=True),
    "olmoe": Style(False, "row"),
    "qwen2moe": Style(False, split_ff=True),
    "rnd1": Style(False, "head", normalise=True, split_ff=True, causal=False),
}


@dataclass(frozen=True)
class Styled:
    """What is known before any key is read."""

    style: Style = by_architecture(STYLES)


@dataclass(frozen=True)
class Config(ExpertDecoder, Styled):
    """The metadata keys below the architecture's name."""

    causal: bool = must_be("attention.causal", lambda c: c["style"].causal)
    n_ff_exp: int = count(
        "expert_feed_forward_length",
        default=lambda c: c["n_ff"][0] // (c["n_expert_used"] if c["style"].split_ff else 1),
    )
    n_ff_shexp: int = count(
        "expert_shared_feed_forward_length",
        default=lambda c: c["n_ff_exp"] * (c["n_expert_shared"] or 1),
    )


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*: a layer without a router is dense."""

    attn_norm: Vector = vector("n_embd")
    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    norms: HeadNorms | RowNorms | NoNorms = group(lambda c, _: NORMS[c.style.norm])
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")
    ffn_norm: Vector = vector("n_embd")
    ffn: Mixture | Gated = group(Mixture, where="ffn_gate_inp.weight", otherwise=Gated)

    def feed_forward(self, x: Tensor, c: Config) -> Tensor:
        if isinstance(self.ffn, Gated):
            return self.ffn(x)
        return self.ffn(x, c, by=c.style.by, normalise=c.style.normalise)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    blk: tuple[Block, ...] = blocks(Block)
    # no model of these has that bias, or a dense network beside experts, in use
    leftovers: tuple[str, ...] = unused(
        "blk.*.attn_output.bias",
        "blk.*.ffn_gate.weight",
        "blk.*.ffn_up.weight",
        "blk.*.ffn_down.weight",
    )


def block(x: Tensor, w: Block, c: Config, turn: Rotation) -> Tensor:
    h = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    q, k, v = qkv_heads(h, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    if c.style.norm_first:
        q, k = w.norms(q, k, c.eps)  # the same shapes
    q, k = rope(q, turn), rope(k, turn)  # the same shapes
    if not c.style.norm_first:
        q, k = w.norms(q, k, c.eps)  # the same shapes
    a = attention(q, k, v, c.key_dim**-0.5)  # (n_head, value_dim)
    x = add(x, linear(a, w.attn_output))  # (n_embd,)
    h = rms_norm(x, w.ffn_norm, c.eps)  # (n_embd,)
    return add(x, w.feed_forward(h, c))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of an architecture in STYLES."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    turn = rotation(c.n_rot, c.scaling, interleaved=c.style.interleaved)
    plan = Plan(
        checkpoint.architecture, c.n_vocab, c.n_ctx_train, causal=c.causal, leftovers=w.leftovers
    )
    x = embed(plan, w.token_embd)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, turn)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
