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
from vatra.models.rope import Scaling


@dataclass(frozen=True)
class Decoder:
    """Keys below the architecture's name; an architecture with more of them inherits these."""

    n_vocab: int = vocabulary_size()
    n_ctx_train: int = count("context_length")
    n_layer: int = layer_count()
    n_embd: int = count("embedding_length")
    n_ff: tuple[int, ...] = per_layer("feed_forward_length")
    n_head: tuple[int, ...] = per_layer("attention.head_count")
    n_head_kv: tuple[int, ...] = per_layer(
        "attention.head_count_kv", default="n_head", divides="n_head"
    )
    key_dim: int = per_head("attention.key_length", even=True)
    value_dim: int = per_head("attention.value_length")
    n_rot: int = count("rope.dimension_count", default="key_dim", equals="key_dim")
    eps: float = number("attention.layer_norm_rms_epsilon", at_most=1.0)
    causal: bool = must_be("attention.causal", True)
    scaling: Scaling = group(Scaling)
