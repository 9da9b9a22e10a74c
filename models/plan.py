"""The plan: what a model computes, recorded once as a flat list of operations over named tensors.

A plan knows nothing of threads, memory or kernels. The number of tokens and their position are
given at run time, so shapes here are *per token*: a tensor of shape (n_head, head_dim) holds
n_tokens x n_head x head_dim float32 values while it runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod

import numpy as np

from vatra.quant.tensor import QTensor

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Tensor:
    """A symbolic activation: one row of `shape` for each token, float32 unless it holds `ids`."""

    plan: Plan
    name: str
    shape: tuple[int, ...]
    outputs_only: bool = False  # rows only for the tokens whose logits are asked for
    ids: bool = False  # int32 expert numbers

    @property
    def width(self) -> int:
        """Values per token."""
        return prod(self.shape)


@dataclass(frozen=True, eq=False)
class KVCache:
    """What one attention layer remembers of every token: a key and a value per KV head."""

    name: str
    n_head_kv: int
    key_dim: int
    value_dim: int


@dataclass(frozen=True, eq=False)
class Op:
    """One step. `out` is written; every other tensor field is read."""

    out: Tensor


@dataclass(frozen=True, eq=False)
class Embed(Op):
    """out[t] = row token[t] of `weight` (n_vocab, n_embd)."""

    weight: QTensor


@dataclass(frozen=True, eq=False)
class Linear(Op):
    """out[t] = weight @ x[t] (+ bias); `weight` is (n_out, n_in)."""

    x: Tensor
    weight: QTensor
    bias: Array | None


@dataclass(frozen=True, eq=False)
class RmsNorm(Op):
    """out = x / sqrt(mean(x^2) + eps) * weight over the last axis of x's shape."""

    x: Tensor
    weight: Array
    eps: float


@dataclass(frozen=True, eq=False)
class Rope(Op):
    """Rotate the first 2 * len(frequencies) values of each head by position * frequency.

    Pair i is (2i, 2i + 1) if `interleaved`, else (i, i + len(frequencies)). `magnitude` scales the
    cosine and sine. RoFormer, Su et al. 2021, arXiv:2104.09864.
    """

    x: Tensor
    frequencies: Array  # float64 radians per position, all scalings applied
    interleaved: bool
    magnitude: float


@dataclass(frozen=True, eq=False)
class Attention(Op):
    """Append k, v to `cache`, then softmax(scale * q k^T) v over all positions up to each token's.

    q is (n_head, key_dim), k (n_head_kv, key_dim), v (n_head_kv, value_dim); query head h reads
    KV head h // (n_head // n_head_kv).
    """

    q: Tensor
    k: Tensor
    v: Tensor
    cache: KVCache
    scale: float


@dataclass(frozen=True, eq=False)
class Add(Op):
    """out = x + y."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True, eq=False)
class SiluMul(Op):
    """out = gate * sigmoid(gate) * up (SwiGLU, Shazeer 2020, arXiv:2002.05202)."""

    gate: Tensor
    up: Tensor


@dataclass(frozen=True, eq=False)
class TopExperts(Op):
    """Choose the k highest of softmax(scores): `out` their numbers (k,), `weights` their shares.

    Of equal scores the lower number is first. Shares are divided by their sum if `normalise`, then
    multiplied by `scale`.
    """

    weights: Tensor
    scores: Tensor
    normalise: bool
    scale: float


@dataclass(frozen=True, eq=False)
class ExpertLinear(Op):
    """out[t, i] = weight[experts[t, i]] @ x[t, i] (or x[t], if x has one row for all experts).

    `weight` is (n_expert, n_out, n_in), `experts` (k,), out (k, n_out).
    """

    x: Tensor
    experts: Tensor
    weight: QTensor
    bias: Array | None


@dataclass(frozen=True, eq=False)
class WeightedSum(Op):
    """out[t] = sum over i of weights[t, i] * x[t, i]; x is (k, n), weights (k,)."""

    x: Tensor
    weights: Tensor


@dataclass(frozen=True, eq=False)
class SelectOutputs(Op):
    """Keep only the rows of the tokens whose logits are asked for (all, or the last)."""

    x: Tensor


@dataclass(eq=False)
class Plan:
    """A model's whole computation; `logits` is the last tensor, (n_vocab,)."""

    architecture: str
    n_vocab: int
    n_ctx_train: int
    ops: list[Op] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    caches: list[KVCache] = field(default_factory=list)
    leftovers: tuple[str, ...] = ()  # tensors of the file that the architecture does not use
    _prefix: str = ""

    @property
    def logits(self) -> Tensor:
        return self.ops[-1].out

    @contextmanager
    def scope(self, prefix: str) -> Iterator[None]:
        """Within the block, new tensors are named `prefix.name`."""
        outer, self._prefix = self._prefix, f"{self._prefix}{prefix}."
        yield
        self._prefix = outer

    def relative(self, name: str) -> str:
        """`name` without the prefix of the current scope, if it has it."""
        return name.removeprefix(self._prefix)

    def tensor(
        self, name: str, shape: tuple[int, ...], *, outputs_only: bool = False, ids: bool = False
    ) -> Tensor:
        """A new named tensor; a name used before gets `.2`, `.3`, ..."""
        name = base = self._prefix + name
        count = 1
        while name in self.tensors:
            count += 1
            name = f"{base}.{count}"
        made = self.tensors[name] = Tensor(self, name, shape, outputs_only, ids)
        return made

    def record(self, op: Op) -> Tensor:
        """Append one operation; returns its output."""
        self.ops.append(op)
        return op.out

    def last_uses(self) -> list[list[Tensor]]:
        """For each operation the tensors that no later one reads or writes, without the logits."""
        last: dict[Tensor, int] = {}
        for i, op in enumerate(self.ops):
            last.update((t, i) for t in vars(op).values() if isinstance(t, Tensor))
        del last[self.logits]
        ended: list[list[Tensor]] = [[] for _ in self.ops]
        for tensor, i in last.items():
            ended[i].append(tensor)
        return ended

    def weights(self) -> list[QTensor]:
        """Every matrix the plan reads, each once, in order of first use."""
        found = (getattr(op, "weight", None) for op in self.ops)
        return list({id(w): w for w in found if isinstance(w, QTensor)}.values())
