"""Llama 4 Scout and Maverick: attention in chunks, layers without positions, experts fed by share.

Meta AI 2025, https://ai.meta.com/blog/llama-4-multimodal-intelligence/. Three of four layers turn q
and k and read only their chunk of 8192 tokens; the fourth reads all, its queries longer with the
position.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import count, derived, number, pattern
from vatra.models.decoder import Ends, ExpertDecoder
from vatra.models.experts import Gating, Mixture
from vatra.models.feed_forward import Gated
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, rotation
from vatra.models.verbs import (
    add,
    attention,
    embed,
    linear,
    mul,
    position_scale,
    qkv_heads,
    repeat,
    reshape,
    rms_norm,
    rope,
    select_outputs,
    split,
    top_experts,
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, qkv, unused, vector

CHUNK = 8192  # tokens; also how far queries go before they grow
GROWTH = 0.1
STILL_EVERY = 4  # layers: the last of each does not turn q and k
N_EXPERT_WITHOUT_NORMS = 128  # Maverick does not norm q and k


@dataclass(frozen=True)
class Config(ExpertDecoder):
    """The metadata keys below llama4.*"""

    window: int = count("attention.sliding_window", default=CHUNK, at_least=0)  # 0: see everything
    in_chunks: tuple[bool, ...] = pattern("attention.sliding_window_pattern", default=STILL_EVERY)
    chunk_base: float = number(
        "rope.freq_base_swa", default=lambda c: c["scaling"].base, at_least=2.0
    )
    normed: bool = derived(lambda c: c["n_expert"] != N_EXPERT_WITHOUT_NORMS)

    def turns(self, layer: int) -> bool:
        return not self.window or (layer + 1) % STILL_EVERY != 0


@dataclass(frozen=True)
class WeightedInputs(Mixture):
    """Experts whose inputs, not outputs, are weighted by their shares."""

    def chosen(self, x: Tensor, c: Gating) -> Tensor:
        """(n_embd,): the sum of the chosen experts."""
        scores, k = linear(x, self.ffn_gate_inp), c.n_expert_used  # (n_expert,)
        e, shares = top_experts(
            scores, k, normalise=False, scale=c.shares_scale or 1.0, gating="sigmoid"
        )  # (k,), (k,)
        rows = repeat(reshape(x, 1, x.width), k)  # (k, n_embd)
        made = self.of_chosen(mul(rows, reshape(shares, k, 1)), e, "silu")  # (k, n_embd)
        total, *others = split(reshape(made, made.width), *[x.width] * k)  # k of (n_embd,)
        for other in others:
            total = add(total, other)  # (n_embd,)
        return total

    def feed_forward(self, x: Tensor, c: Gating) -> Tensor:
        assert self.shared is not None
        return add(self.chosen(x, c), self.shared(x))  # (n_embd,)


@dataclass(frozen=True)
class Dense(Gated):
    """A layer without a router."""

    def feed_forward(self, x: Tensor, c: Gating) -> Tensor:
        return self(x)  # (n_embd,)


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*"""

    attn_norm: Vector = vector("n_embd")
    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")
    ffn_norm: Vector = vector("n_embd")
    ffn: WeightedInputs | Dense = group(
        WeightedInputs, where="ffn_gate_inp.weight", otherwise=Dense
    )


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    rope_freqs: Vector | None = vector("n_rot // 2", optional=True, positive=True)
    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def placed(q: Tensor, k: Tensor, c: Config, turn: Rotation | None) -> tuple[Tensor, Tensor]:
    """Queries and keys that know their positions, if only by their lengths."""
    if turn is None:
        return position_scale(q, CHUNK, GROWTH, offset=1), k
    q, k = rope(q, turn), rope(k, turn)
    return (rms_norm(q, None, c.eps), rms_norm(k, None, c.eps)) if c.normed else (q, k)


def block(x: Tensor, w: Block, c: Config, chunk: int | None, turn: Rotation | None) -> Tensor:
    h = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    q, k, v = qkv_heads(h, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    q, k = placed(q, k, c, turn)  # the same shapes
    a = attention(q, k, v, c.key_dim**-0.5, chunk=chunk)  # (n_head, value_dim)
    x = add(x, linear(a, w.attn_output))  # (n_embd,)
    h = rms_norm(x, w.ffn_norm, c.eps)  # (n_embd,)
    return add(x, w.ffn.feed_forward(h, c))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture llama4."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    in_chunk, everywhere = (
        rotation(c.n_rot, replace(c.scaling, base=base), interleaved=True, factors=w.rope_freqs)
        for base in (c.chunk_base, c.scaling.base)
    )
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for i, tensors in plan.layers(w.blk):
        in_chunks = c.window > 0 and c.in_chunks[i]
        turn = in_chunk if in_chunks else everywhere
        x = block(x, tensors, c, CHUNK if in_chunks else None, turn if c.turns(i) else None)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
