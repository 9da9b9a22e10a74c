"""Llama 1 to 3, Mistral, Mixtral and their kin: dense, or a mixture of experts.

LLaMA, Touvron et al. 2023, arXiv:2302.13971; Mixtral, Jiang et al. 2024, arXiv:2401.04088.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import count
from vatra.models.decoder import Decoder
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, long_or_short, rotation
from vatra.models.verbs import (
    add,
    attention,
    embed,
    expert_linear,
    linear,
    rms_norm,
    rope,
    select_outputs,
    silu_mul,
    top_experts,
    weighted_sum,
)
from vatra.models.weights import Matrix, Vector, blocks, matrix, unused, vector


@dataclass(frozen=True)
class Config(Decoder):
    """The metadata keys below llama.*"""

    n_expert: int = count("expert_count", default=0, at_least=0)
    n_expert_used: int = count(
        "expert_used_count",
        default=0,
        at_least=lambda c: min(c["n_expert"], 1),
        at_most="n_expert",
    )


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.* that every layer has."""

    attn_norm: Vector = vector("n_embd")
    attn_q: Matrix = matrix("n_head * key_dim", "n_embd", bias=True)
    attn_k: Matrix = matrix("n_head_kv * key_dim", "n_embd", bias=True)
    attn_v: Matrix = matrix("n_head_kv * value_dim", "n_embd", bias=True)
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim", bias=True)
    ffn_norm: Vector = vector("n_embd")


@dataclass(frozen=True)
class Dense(Block):
    """A block with one feed-forward network."""

    ffn_gate: Matrix = matrix("n_ff", "n_embd", bias=True)
    ffn_up: Matrix = matrix("n_ff", "n_embd", bias=True)
    ffn_down: Matrix = matrix("n_embd", "n_ff", bias=True)

    def feed_forward(self, x: Tensor, c: Config) -> Tensor:
        h = silu_mul(linear(x, self.ffn_gate), linear(x, self.ffn_up))  # (n_ff,)
        return linear(h, self.ffn_down)  # (n_embd,)


@dataclass(frozen=True)
class Experts(Block):
    """A block whose tokens each choose n_expert_used of n_expert feed-forward networks."""

    ffn_gate_inp: Matrix = matrix("n_expert", "n_embd")
    ffn_gate_exps: Matrix = matrix("n_expert", "n_ff", "n_embd")
    ffn_up_exps: Matrix = matrix("n_expert", "n_ff", "n_embd")
    ffn_down_exps: Matrix = matrix("n_expert", "n_embd", "n_ff")

    def feed_forward(self, x: Tensor, c: Config) -> Tensor:
        scores = linear(x, self.ffn_gate_inp)  # (n_expert,)
        e, shares = top_experts(scores, c.n_expert_used, normalise=True)  # (k,), (k,)
        gate = expert_linear(x, e, self.ffn_gate_exps)  # (k, n_ff)
        h = silu_mul(gate, expert_linear(x, e, self.ffn_up_exps))  # (k, n_ff)
        return weighted_sum(expert_linear(h, e, self.ffn_down_exps), shares)  # (n_embd,)


@dataclass(frozen=True)
class Weights:
    """All tensors of the file."""

    token_embd: Matrix = matrix("n_vocab", "n_embd")
    rope_freqs: Vector | None = vector("n_rot // 2", optional=True, positive=True)
    rope_factors_short: Vector | None = vector("n_rot // 2", optional=True, positive=True)
    rope_factors_long: Vector | None = vector("n_rot // 2", optional=True, positive=True)
    blk: tuple[Dense | Experts, ...] = blocks(lambda c: Experts if c.n_expert else Dense)
    output_norm: Vector = vector("n_embd")
    output: Matrix = matrix("n_vocab", "n_embd", tied_to="token_embd")
    leftovers: tuple[str, ...] = unused("cls.*")


def block(x: Tensor, w: Dense | Experts, c: Config, turn: Rotation) -> Tensor:
    h = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    q = rope(linear(h, w.attn_q, c.key_dim), turn)  # (n_head, key_dim)
    k = rope(linear(h, w.attn_k, c.key_dim), turn)  # (n_head_kv, key_dim)
    v = linear(h, w.attn_v, c.value_dim)  # (n_head_kv, value_dim)
    a = attention(q, k, v, scale=c.key_dim**-0.5)  # (n_head, value_dim)
    x = add(x, linear(a, w.attn_output))  # (n_embd,)
    h = rms_norm(x, w.ffn_norm, c.eps)  # (n_embd,)
    return add(x, w.feed_forward(h, c))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture llama, to be run with contexts of `n_ctx` tokens."""
    c = config.read(Config, checkpoint, "llama")
    w = weights.read(Weights, checkpoint, "llama", c)
    factors = w.rope_freqs or long_or_short(
        c.scaling, n_ctx or c.n_ctx_train, w.rope_factors_long, w.rope_factors_short
    )
    turn = rotation(c.n_rot, c.scaling, interleaved=True, factors=factors)
    plan = Plan("llama", c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for i, tensors in enumerate(w.blk):
        with plan.scope(f"blk.{i}"):
            x = block(x, tensors, c, turn)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
