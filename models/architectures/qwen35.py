"""Qwen 3.5 and Qwen3-Next: gated delta nets, with gated attention in every fourth layer.

Gated DeltaNet, Yang et al. 2024, arXiv:2412.06464; gated attention, Qiu et al. 2025,
arXiv:2505.06708.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import integers, pattern
from vatra.models.decoder import Ends, ExpertDecoder, HybridDecoder
from vatra.models.delta_net import DeltaNet, LinearAttention
from vatra.models.experts import Mixture
from vatra.models.feed_forward import Gated
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, for_text, rotation
from vatra.models.verbs import (
    add,
    attention,
    embed,
    glu,
    linear,
    rms_norm,
    rope,
    select_outputs,
    split,
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, qkv, unused, vector


@dataclass(frozen=True)
class Config(LinearAttention, HybridDecoder, ExpertDecoder):
    """The metadata keys below qwen35.*, qwen35moe.* or qwen3next.*"""

    is_periodic: tuple[bool, ...] = pattern("full_attention_interval", default=4)
    is_linear: tuple[bool, ...] = pattern("attention.recurrent_layers", default="is_periodic")
    sections: tuple[int, ...] = integers("rope.dimension_sections", most=4)


@dataclass(frozen=True)
class GatedAttention:
    """Attention whose output passes a gate; each head has its query and then its gate."""

    attn: tuple[Matrix, Matrix, Matrix] = qkv("2 * n_head * key_dim")
    attn_q_norm: Vector = vector("key_dim")
    attn_k_norm: Vector = vector("key_dim")
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")

    def __call__(self, x: Tensor, c: Config, turn: Rotation) -> Tensor:
        """(n_embd,)"""
        w_q, w_k, w_v = self.attn
        q, gate = split(linear(x, w_q, 2 * c.key_dim), c.key_dim, c.key_dim)  # (n_head, key_dim)
        k, v = linear(x, w_k, c.key_dim), linear(x, w_v, c.value_dim)  # (n_head_kv, dim)
        q = rope(rms_norm(q, self.attn_q_norm, c.eps), turn)  # (n_head, key_dim)
        k = rope(rms_norm(k, self.attn_k_norm, c.eps), turn)  # (n_head_kv, key_dim)
        a = attention(q, k, v, c.attention_scale or c.key_dim**-0.5)  # (n_head, value_dim)
        return linear(glu(gate, a, "sigmoid"), self.attn_output)


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*"""

    attn_norm: Vector = vector("n_embd")
    mixer: DeltaNet | GatedAttention = group(
        lambda c, i: DeltaNet if c.is_linear[i] else GatedAttention
    )
    post_attention_norm: Vector = vector("n_embd")
    ffn: Mixture | Gated = group(lambda c, _: Mixture if c.n_expert else Gated)

    def mix(self, x: Tensor, c: Config, turn: Rotation) -> Tensor:
        return self.mixer(x, c) if isinstance(self.mixer, DeltaNet) else self.mixer(x, c, turn)

    def feed_forward(self, x: Tensor, c: Config) -> Tensor:
        return self.ffn(x) if isinstance(self.ffn, Gated) else self.ffn(x, c)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def block(x: Tensor, w: Block, c: Config, turn: Rotation) -> Tensor:
    x = add(x, w.mix(rms_norm(x, w.attn_norm, c.eps), c, turn))  # (n_embd,)
    return add(x, w.feed_forward(rms_norm(x, w.post_attention_norm, c.eps), c))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture qwen35, qwen35moe or qwen3next."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    turn = rotation(c.n_rot, c.scaling, interleaved=False)
    turn = for_text(turn, c.sections, by_turns=True)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, turn)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
