"""Which positions a layer of sparse attention reads. DeepSeek-V3.2, arXiv:2512.02556."""

from __future__ import annotations

from dataclasses import dataclass

from vatra.models.config import count
from vatra.models.plan import Tensor
from vatra.models.rope import Rotation
from vatra.models.verbs import layer_norm, linear, reshape, rope, top_positions
from vatra.models.weights import Matrix, Vector, matrix, vector

INDEXER_EPS = 1e-6


@dataclass(frozen=True)
class Indexed:
    """The keys of an indexer, which chooses the positions that attention reads."""

    n_index_head: int = count("attention.indexer.head_count", default=0, at_least=0)
    index_dim: int = count("attention.indexer.key_length", default=0, at_least=0)
    n_index_top: int = count("attention.indexer.top_k", default=0, at_least=0)

    def chooses(self, n_ctx: int) -> bool:
        """Whether in a context of that many tokens attention does not simply read all."""
        return 0 < self.n_index_top < n_ctx


@dataclass(frozen=True)
class Indexer:
    """Chooses the positions that a layer reads."""

    attn_q_b: Matrix = matrix("n_index_head * index_dim", "n_lora_q", of="indexer.attn_q_b")
    attn_k: Matrix = matrix("index_dim", "n_embd", of="indexer.attn_k")
    k_norm: Vector = vector("index_dim", of="indexer.k_norm", bias=True)
    proj: Matrix = matrix("n_index_head", "n_embd", of="indexer.proj")

    def __call__(
        self,
        x: Tensor,
        q_latent: Tensor,
        most: int,
        turn: Rotation,
        *,
        eps: float = INDEXER_EPS,
        turn_last: bool = False,
    ) -> Tensor:
        """(1, most) positions; each head's first values turn, or its last.

        A rotation of all values and a constant factor of the weights would change no choice.
        """
        dim = self.k_norm.data.size
        first = dim - 2 * len(turn.frequencies) if turn_last else 0
        q = rope(linear(q_latent, self.attn_q_b, dim), turn, first)  # (n_index_head, index_dim)
        k = layer_norm(linear(x, self.attn_k), self.k_norm, eps)  # (index_dim,)
        k = rope(reshape(k, 1, dim), turn, first)  # (1, index_dim)
        return top_positions(q, k, linear(x, self.proj), most)
