"""Gemma 4: windows with narrower heads, keys and values shared by late layers, and embeddings of
each token for each layer; or a mixture of experts beside a dense network.

The architecture as Hugging Face's transformers has it (Gemma4ForConditionalGeneration).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import count, derived, number, pattern
from vatra.models.decoder import Ends, ExpertDecoder
from vatra.models.experts import Experts
from vatra.models.feed_forward import Gated
from vatra.models.layer_embedding import LayerEmbedding, LayerEmbeddings
from vatra.models.plan import KVCache, Plan, Tensor
from vatra.models.rope import Rotation, rotation
from vatra.models.verbs import (
    add,
    affine,
    attention,
    attention_again,
    embed,
    linear,
    piece,
    rms_norm,
    rope,
    scale,
    select_outputs,
    softcap,
    top_experts,
    weighted_sum,
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, unused, vector


@dataclass(frozen=True)
class Config(ExpertDecoder):
    """The metadata keys below gemma4.*"""

    window: int = count("attention.sliding_window")
    windowed: tuple[bool, ...] = pattern("attention.sliding_window_pattern", default=1)
    window_base: float = number("rope.freq_base_swa", default=10000.0, at_least=2.0)
    window_dim: int = count("attention.key_length_swa", even=True)
    window_value_dim: int = count("attention.value_length_swa", equals="window_dim")
    window_rot: int = count(
        "rope.dimension_count_swa", default="window_dim", at_most="window_dim", even=True
    )
    n_shared: int = count("attention.shared_kv_layers", default=0, at_least=0, at_most="n_layer")
    n_embd_layer: int = count("embedding_length_per_layer_input", default=0, at_least=0)
    logit_cap: float = number("final_logit_softcapping", default=0.0, at_least=0.0)
    head_dim: tuple[int, ...] = derived(
        lambda c: tuple(c["window_dim"] if near else c["key_dim"] for near in c["windowed"])
    )

    @property
    def n_own(self) -> int:
        """The layers that have keys and values of their own, which come first."""
        return self.n_layer - self.n_shared


@dataclass(frozen=True)
class Mixture(Experts):
    """The tensors of a mixture in blk.N.*, beside the dense network."""

    ffn_gate_inp_scale: Vector = vector("n_embd", of="ffn_gate_inp", suffix=".scale")
    pre_ffw_norm_2: Vector = vector("n_embd")
    post_ffw_norm_1: Vector = vector("n_embd")
    post_ffw_norm_2: Vector = vector("n_embd")
    ffn_down_exps_scale: Vector | None = vector(
        "n_expert", optional=True, of="ffn_down_exps", suffix=".scale"
    )

    def beside(self, dense: Tensor, x: Tensor, c: Config) -> Tensor:
        """(n_embd,): what the chosen experts make of x, and the `dense` network, both normed."""
        r = affine(rms_norm(x, None, c.eps), self.ffn_gate_inp_scale.data, factor=c.n_embd**-0.5)
        factors = self.ffn_down_exps_scale
        e, shares = top_experts(
            linear(r, self.ffn_gate_inp), c.n_expert_used, normalise=True, factors=factors
        )  # (k,), (k,)
        h = rms_norm(x, self.pre_ffw_norm_2, c.eps)  # (n_embd,)
        h = self.of_chosen(h, e, "gelu")  # (k, n_embd)
        h = rms_norm(weighted_sum(h, shares), self.post_ffw_norm_2, c.eps)  # (n_embd,)
        return add(rms_norm(dense, self.post_ffw_norm_1, c.eps), h)  # (n_embd,)


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*; where there is no attn_v, keys are values as well."""

    attn_norm: Vector = vector("n_embd")
    attn_q: Matrix = matrix("n_head * head_dim", "n_embd")
    attn_k: Matrix | None = matrix("n_head_kv * head_dim", "n_embd", optional=True)
    attn_v: Matrix | None = matrix("n_head_kv * head_dim", "n_embd", optional=True)
    attn_q_norm: Vector = vector("head_dim")
    attn_k_norm: Vector | None = vector("head_dim", optional=True)
    attn_output: Matrix = matrix("n_embd", "n_head * head_dim")
    post_attention_norm: Vector = vector("n_embd")
    ffn_norm: Vector = vector("n_embd")
    ffn: Gated = group(Gated)
    experts: Mixture | None = group(Mixture, where="ffn_gate_inp.weight")
    post_ffw_norm: Vector = vector("n_embd")
    embedding: LayerEmbedding | None = group(LayerEmbedding, where="inp_gate.weight")
    layer_output_scale: Vector | None = vector("1", optional=True)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    embeddings: LayerEmbeddings | None = group(LayerEmbeddings, where="per_layer_token_embd.weight")
    rope_freqs: Vector | None = vector("key_dim // 2", optional=True, positive=True)
    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def attended(x: Tensor, w: Block, c: Config, turn: Rotation, cache: KVCache | int | None) -> Tensor:
    """(n_embd,): `cache` is another layer's, or the window of this one."""
    dim = w.attn_q_norm.data.size
    q = rope(rms_norm(linear(x, w.attn_q, dim), w.attn_q_norm, c.eps), turn)  # (n_head, dim)
    if isinstance(cache, KVCache):
        return linear(attention_again(q, cache, 1.0), w.attn_output)  # (n_embd,)
    assert w.attn_k is not None
    k = linear(x, w.attn_k, dim)  # (n_head_kv, dim)
    v = k if w.attn_v is None else linear(x, w.attn_v, dim)  # (n_head_kv, dim)
    k = rope(rms_norm(k, w.attn_k_norm, c.eps), turn)  # (n_head_kv, dim)
    a = attention(q, k, rms_norm(v, None, c.eps), 1.0, window=cache)  # (n_head, dim)
    return linear(a, w.attn_output)  # (n_embd,)


def block(
    x: Tensor, w: Block, c: Config, turn: Rotation, cache: KVCache | int | None, own: Tensor | None
) -> Tensor:
    h = attended(rms_norm(x, w.attn_norm, c.eps), w, c, turn, cache)  # (n_embd,)
    x = add(x, rms_norm(h, w.post_attention_norm, c.eps))  # (n_embd,)
    h = w.ffn(rms_norm(x, w.ffn_norm, c.eps), "gelu")  # (n_embd,)
    h = h if w.experts is None else w.experts.beside(h, x, c)  # (n_embd,)
    x = add(x, rms_norm(h, w.post_ffw_norm, c.eps))  # (n_embd,)
    if w.embedding is not None and own is not None:
        x = add(x, w.embedding.meaning(x, own, c.eps))  # (n_embd,)
    factor = 1.0 if w.layer_output_scale is None else float(w.layer_output_scale.data[0])
    return scale(x, factor)  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture gemma4."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    far = rotation(c.n_rot, c.scaling, interleaved=False, factors=w.rope_freqs)
    near = rotation(
        c.window_rot, replace(c.scaling, base=c.window_base, kind="none"), interleaved=False
    )
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = scale(embed(plan, w.token_embd), c.n_embd**0.5)  # (n_embd,)
    each = None if w.embeddings is None else w.embeddings(x, c)  # (n_layer * n_embd_layer,)
    for i, tensors in plan.layers(w.blk):
        cache: KVCache | int | None = c.window if c.windowed[i] else None
        if i >= c.n_own:  # what the last layer of its kind has stored
            cache = plan.caches[c.n_own - (2 if c.windowed[i] else 1)]
        n = c.n_embd_layer
        own = None if each is None else piece(each, i * n, n)  # (n_embd_layer,)
        x = block(x, tensors, c, near if c.windowed[i] else far, cache, own)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    softcap(linear(x, w.output, name="output"), c.logit_cap, name="logits")  # (n_vocab,)
    return plan
