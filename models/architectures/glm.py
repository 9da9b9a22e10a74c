"""GLM: ChatGLM 3 and GLM-4, GLM-4-0414 with norms after each part, GLM-4.5 to 4.7 (a mixture).

Only the first values of a head turn. GLM-4, arXiv:2406.12793; GLM-4.5, arXiv:2508.06471.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import by_architecture, integers
from vatra.models.decoder import Ends, ExpertDecoder
from vatra.models.experts import Mixture
from vatra.models.feed_forward import FusedGated, Gated
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, for_text, rotation
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
class Styled:
    """What no key says: whether pairs that turn together are neighbours."""

    interleaved: bool = by_architecture({"chatglm": True, "glm4": True, "glm4moe": False})


@dataclass(frozen=True)
class Config(ExpertDecoder, Styled):
    """The metadata keys below the architecture's name."""

    sections: tuple[int, ...] = integers("rope.dimension_sections", most=4)


@dataclass(frozen=True)
class Attending:
    """The tensors of attention in blk.N.*"""

    attn_norm: Vector = vector("n_embd")
    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_q_norm: Vector | None = vector("key_dim", optional=True)
    attn_k_norm: Vector | None = vector("key_dim", optional=True)
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")


@dataclass(frozen=True)
class Block(Attending):
    """A block of ChatGLM or GLM-4."""

    post_attention_norm: Vector | None = vector("n_embd", optional=True)
    ffn_norm: Vector = vector("n_embd")
    ffn: FusedGated = group(FusedGated)
    post_ffw_norm: Vector | None = vector("n_embd", optional=True)

    def feed_forward(self, x: Tensor, c: Config) -> Tensor:
        return self.ffn(x)


@dataclass(frozen=True)
class MixtureBlock(Attending):
    """A block of GLM-4.5, whose file calls the norm between the parts by another name."""

    ffn_norm: Vector = vector("n_embd", of="post_attention_norm")
    ffn: Mixture | Gated = group(Mixture, where="ffn_gate_inp.weight", otherwise=Gated)
    post_attention_norm: ClassVar[None] = None
    post_ffw_norm: ClassVar[None] = None

    def feed_forward(self, x: Tensor, c: Config) -> Tensor:
        if isinstance(self.ffn, Gated):
            return self.ffn(x)
        return self.ffn(x, c, by="sigmoid", normalise=False)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    blk: tuple[Block | MixtureBlock, ...] = blocks(
        lambda c, _: MixtureBlock if c.n_expert else Block
    )
    leftovers: tuple[str, ...] = unused("rope_freqs.weight")


def normed(x: Tensor, w: Vector | None, eps: float) -> Tensor:
    """x's shape: normed, where there is a norm."""
    return x if w is None else rms_norm(x, w, eps)


def block(x: Tensor, w: Block | MixtureBlock, c: Config, turn: Rotation) -> Tensor:
    h = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    q, k, v = qkv_heads(h, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    q = rope(normed(q, w.attn_q_norm, c.eps), turn)  # (n_head, key_dim)
    k = rope(normed(k, w.attn_k_norm, c.eps), turn)  # (n_head_kv, key_dim)
    h = linear(attention(q, k, v, c.key_dim**-0.5), w.attn_output)  # (n_embd,)
    x = add(x, normed(h, w.post_attention_norm, c.eps))  # (n_embd,)
    h = w.feed_forward(rms_norm(x, w.ffn_norm, c.eps), c)  # (n_embd,)
    return add(x, normed(h, w.post_ffw_norm, c.eps))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture chatglm, glm4 or glm4moe."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    # files of models that also see have sections, and turn halves of a head
    turn = rotation(c.n_rot, c.scaling, interleaved=c.interleaved and not any(c.sections))
    turn = for_text(turn, c.sections, by_turns=False)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, turn)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
