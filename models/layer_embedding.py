"""Embeddings of each token for each layer, as Gemma 3n and 4 have them beside the usual one.

The architecture as Hugging Face's transformers has it (Gemma3nForConditionalGeneration).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from vatra.models.plan import Tensor
from vatra.models.verbs import activation, add, embed, linear, mul, reshape, rms_norm, scale
from vatra.models.weights import Matrix, Vector, matrix, vector


class LayerEmbedded(Protocol):
    """What the embeddings need of a configuration."""

    @property
    def n_embd(self) -> int: ...
    @property
    def n_embd_layer(self) -> int: ...
    @property
    def eps(self) -> float: ...


@dataclass(frozen=True)
class LayerEmbeddings:
    """The tensors before all blocks: the embeddings of all layers."""

    per_layer_token_embd: Matrix = matrix("n_vocab", "n_layer * n_embd_layer")
    per_layer_model_proj: Matrix = matrix("n_layer * n_embd_layer", "n_embd")
    per_layer_proj_norm: Vector = vector("n_embd_layer")

    def __call__(self, x: Tensor, c: LayerEmbedded) -> Tensor:
        """(n_layer * n_embd_layer,): each layer's own embedding, and what x says of it."""
        p = linear(x, self.per_layer_model_proj, c.n_embd_layer)  # (n_layer, n_embd_layer)
        p = rms_norm(scale(p, c.n_embd**-0.5), self.per_layer_proj_norm, c.eps)
        own = scale(embed(x.plan, self.per_layer_token_embd), c.n_embd_layer**0.5)
        return scale(add(reshape(p, p.width), own), 0.5**0.5)


@dataclass(frozen=True)
class LayerEmbedding:
    """The tensors in blk.N.* that bring in what a token means to this layer."""

    inp_gate: Matrix = matrix("n_embd_layer", "n_embd")
    proj: Matrix = matrix("n_embd", "n_embd_layer")
    post_norm: Vector = vector("n_embd")

    def meaning(self, x: Tensor, own: Tensor, eps: float) -> Tensor:
        """(n_embd,): `own` (n_embd_layer,) is the layer's part of the embeddings."""
        h = mul(activation(linear(x, self.inp_gate), "gelu"), own)  # (n_embd_layer,)
        return rms_norm(linear(h, self.proj), self.post_norm, eps)  # (n_embd,)
