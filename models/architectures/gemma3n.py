"""Gemma 3n: four streams of which one is computed and the others are guessed (AltUp), a low-rank
branch beside attention (LAuReL), sparse early gates, and embeddings of each token for each layer.

AltUp, Baykal et al. 2023, arXiv:2301.13310; LAuReL, Menghani et al. 2024, arXiv:2411.07501.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.altup import TINY, AltUp, StreamEnds
from vatra.models.config import count, derived, number, pattern
from vatra.models.decoder import Decoder, Ends
from vatra.models.feed_forward import Gated
from vatra.models.layer_embedding import LayerEmbedding, LayerEmbeddings
from vatra.models.plan import KVCache, Plan, Tensor
from vatra.models.rope import Rotation, rotation
from vatra.models.verbs import (
    activation,
    add,
    affine,
    attention,
    attention_again,
    embed,
    glu,
    layer_norm,
    linear,
    mul,
    piece,
    qkv_heads,
    reshape,
    rms_norm,
    rope,
    scale,
    select_outputs,
    softcap,
    weighted_sum,
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, qkv, unused, vector

# what the file does not say
N_SPARSE = 10  # layers whose gates are sparse
SPARSITY = 1.6448533535003662  # standard deviations: 95 % of normal values are less
N_OWN = 20  # layers with keys and values of their own, which come first
LOGIT_CAP = 30.0


@dataclass(frozen=True)
class Config(Decoder):
    """The metadata keys below gemma3n.*"""

    window: int = count("attention.sliding_window")
    windowed: tuple[bool, ...] = pattern("attention.sliding_window_pattern", default=5)
    window_base: float = number("rope.freq_base_swa", default=10000.0, at_least=2.0)
    n_embd_layer: int = derived(lambda c: 256)
    rank: int = derived(lambda c: 64)


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*"""

    attn_norm: Vector = vector("n_embd")
    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_q_norm: Vector = vector("key_dim")
    attn_k_norm: Vector = vector("key_dim")
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")
    post_attention_norm: Vector = vector("n_embd")
    ffn_norm: Vector = vector("n_embd")
    ffn: Gated = group(Gated)
    post_ffw_norm: Vector = vector("n_embd")
    embedding: LayerEmbedding = group(LayerEmbedding)
    altup: AltUp = group(AltUp)
    laurel_l: Matrix = matrix("rank", "n_embd")
    laurel_r: Matrix = matrix("n_embd", "rank")
    laurel_post_norm: Vector = vector("n_embd")


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    streams: StreamEnds = group(StreamEnds)
    embeddings: LayerEmbeddings = group(LayerEmbeddings)
    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def sparse(gate: Tensor) -> Tensor:
    """gate's shape (n_ff,): what is above SPARSITY deviations from the mean, less that."""
    n = gate.width
    z = layer_norm(gate, None, TINY)  # (n_ff,)
    limit = np.full(n, -SPARSITY * (n / (n - 1)) ** 0.5, np.float32)
    deviation = scale(weighted_sum(reshape(gate, n, 1), z), 1 / n)  # (1,)
    return mul(activation(affine(z, bias=limit), "relu"), deviation)


def attended(x: Tensor, w: Block, c: Config, turn: Rotation, cache: KVCache | int | None) -> Tensor:
    """(n_embd,): `cache` is another layer's, or the window of this one."""
    if isinstance(cache, KVCache):
        q = rms_norm(linear(x, w.attn[0], c.key_dim), w.attn_q_norm, c.eps)  # (n_head, key_dim)
        return linear(attention_again(rope(q, turn), cache, 1.0), w.attn_output)
    q, k, v = qkv_heads(x, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    q = rope(rms_norm(q, w.attn_q_norm, c.eps), turn)  # (n_head, key_dim)
    k = rope(rms_norm(k, w.attn_k_norm, c.eps), turn)  # (n_head_kv, key_dim)
    return linear(attention(q, k, rms_norm(v, None, c.eps), 1.0, window=cache), w.attn_output)


def computed(
    x: Tensor, w: Block, c: Config, turn: Rotation, cache: KVCache | int | None, is_sparse: bool
) -> Tensor:
    h = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    low = rms_norm(linear(linear(h, w.laurel_l), w.laurel_r), w.laurel_post_norm, c.eps)
    a = rms_norm(attended(h, w, c, turn, cache), w.post_attention_norm, c.eps)  # (n_embd,)
    x = scale(add(add(x, a), add(h, low)), 0.5**0.5)  # (n_embd,)
    h = rms_norm(x, w.ffn_norm, c.eps)  # (n_embd,)
    gate = linear(h, w.ffn.ffn_gate)  # (n_ff,)
    f = glu(sparse(gate) if is_sparse else gate, linear(h, w.ffn.ffn_up), "gelu")  # (n_ff,)
    return add(x, rms_norm(linear(f, w.ffn.ffn_down), w.post_ffw_norm, c.eps))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture gemma3n."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    far = rotation(c.n_rot, c.scaling, interleaved=False)
    near_scaling = replace(c.scaling, base=c.window_base, kind="none")
    near = rotation(c.n_rot, near_scaling, interleaved=False)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = scale(embed(plan, w.token_embd), c.n_embd**0.5)  # (n_embd,)
    own = w.embeddings(x, c)  # (n_layer * n_embd_layer,)
    streams = w.streams.part(x)  # N_STREAMS of (n_embd,)
    for i, b in plan.layers(w.blk):
        cache: KVCache | int | None = c.window if c.windowed[i] else None
        if i >= N_OWN:  # what the last layer of its kind has stored
            cache = plan.caches[N_OWN - (2 if c.windowed[i] else 1)]
        predicted = b.altup.predict(streams, c)
        turn = near if c.windowed[i] else far
        y = computed(predicted[0], b, c, turn, cache, i < N_SPARSE)  # (n_embd,)
        streams = b.altup.correct(predicted, y, c)
        shown = affine(streams[0], b.altup.altup_correct_scale.data)  # (n_embd,)
        y = b.embedding.meaning(shown, piece(own, i * c.n_embd_layer, c.n_embd_layer), c.eps)
        streams = [streams[0], *(add(s, y) for s in streams[1:])]
        plan.alias("l_out", streams[0])
    x = rms_norm(select_outputs(w.streams.join(streams)), w.output_norm, c.eps)  # (n_embd,)
    softcap(linear(x, w.output, name="output"), LOGIT_CAP, name="logits")  # (n_vocab,)
    return plan
