"""The shape that most decoder-only transformers share, as their metadata gives it."""

from __future__ import annotations

from dataclasses import dataclass

from vatra.models.config import (
    count,
    group,
    layer_count,
    must_be,
    number,
    per_head,
    per_layer,
    vocabulary_size,
)
from vatra.models.experts import Gating
from vatra.models.rope import Scaling
from vatra.models.weights import Matrix, Vector, matrix, vector


@dataclass(frozen=True)
class Trunk:
    """Keys below the architecture's name that every model has."""

    n_vocab: int = vocabulary_size()
    n_ctx_train: int = count("context_length")
    n_layer: int = layer_count()
    n_embd: int = count("embedding_length")


@dataclass(frozen=True)
class Decoder(Trunk):
    """Keys below the architecture's name; an architecture with more of them inherits these."""

    n_ff: tuple[int, ...] = per_layer("feed_forward_length")
    n_head: tuple[int, ...] = per_layer("attention.head_count")
    n_head_kv: tuple[int, ...] = per_layer(
        "attention.head_count_kv", default="n_head", divides="n_head"
    )
    key_dim: int = per_head("attention.key_length", even=True)
    value_dim: int = per_head("attention.value_length")
    n_rot: int = count("rope.dimension_count", default="key_dim", at_most="key_dim", even=True)
    eps: float = number("attention.layer_norm_rms_epsilon", at_most=1.0)
    causal: bool = must_be("attention.causal", True)
    scaling: Scaling = group(Scaling)


@dataclass(frozen=True)
class HybridDecoder(Decoder):
    """A decoder with attention only in layers that have KV heads; others mix tokens otherwise."""

    n_ff: tuple[int, ...] = per_layer("feed_forward_length", default=0, at_least=0)
    n_head: tuple[int, ...] = per_layer("attention.head_count", at_least=0)
    n_head_kv: tuple[int, ...] = per_layer(
        "attention.head_count_kv", default="n_head", divides="n_head", at_least=0
    )
    attention_scale: float = number("attention.scale", default=0.0, at_least=0.0)  # 0: key_dim^-0.5


@dataclass(frozen=True)
class ExpertDecoder(Decoder, Gating):
    """A decoder some or all of whose layers are mixtures of experts."""

    n_ff_exp: int = count(
        "expert_feed_forward_length", default="n_ff", at_least=lambda c: min(c["n_expert"], 1)
    )
    n_expert_shared: int = count("expert_shared_count", default=0, at_least=0)
    n_ff_shexp: int = count(
        "expert_shared_feed_forward_length",
        default=lambda c: c["n_ff_exp"] * max(c["n_expert_shared"], 1),
        at_least=lambda c: min(c["n_expert"], 1),
    )
    n_dense: int = count("leading_dense_block_count", default=0, at_least=0)  # layers without


@dataclass(frozen=True)
class Ends:
    """The tensors before and after all blocks; an architecture adds `blk` and `leftovers`."""

    token_embd: Matrix = matrix("n_vocab", "n_embd")
    output_norm: Vector = vector("n_embd")
    output: Matrix = matrix("n_vocab", "n_embd", tied_to="token_embd", bias=True)


@dataclass(frozen=True)
class LayerNormEnds(Ends):
    """The same where the last norm is a LayerNorm."""

    output_norm: Vector = vector("n_embd", bias=True)
