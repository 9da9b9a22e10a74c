"""The plan: what a model computes, recorded once as a flat list of operations over named tensors.

A plan knows nothing of threads, memory or kernels. The number of tokens and their position are
given at run time, so shapes here are *per token*: a tensor of shape (n_head, head_dim) holds
n_tokens x n_head x head_dim float32 values while it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import TypeVar

import numpy as np

from vatra.quant.tensor import QTensor

Array = np.ndarray
Block = TypeVar("Block")

# Functions of one value: relu2 is relu(x)^2, gelu its approximation by tanh, gelu_erf the exact
# one (Hendrycks and Gimpel 2016, arXiv:1606.08415), gelu_quick x * sigmoid(1.702 x).
ACTIVATIONS = (
    "silu", "gelu", "gelu_erf", "gelu_quick", "relu", "relu2", "sigmoid", "tanh", "softplus", "exp",
)  # fmt: skip
GATINGS = ("softmax", "sigmoid", "sqrt_softplus", "chosen_softmax")


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
    """What one attention layer remembers of every token: a key and a value per KV head.

    With a `window` no token reads further back than that many tokens, itself included. What only
    chooses positions has keys alone: a value_dim of 0. Values that are `in_keys` are not kept
    apart: they are the first value_dim values of the keys.
    """

    name: str
    n_head_kv: int
    key_dim: int
    value_dim: int
    window: int | None = None
    in_keys: bool = False

    @property
    def own_value_dim(self) -> int:
        """Values of a head that are kept beside its keys."""
        return 0 if self.in_keys else self.value_dim


@dataclass(frozen=True, eq=False)
class Memory:
    """What a recurrent layer keeps of all tokens so far: float32, at first zeros."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Op:
    """One step. `out` is written; every other tensor field is read."""

    out: Tensor

    @property
    def written(self) -> tuple[Tensor, ...]:
        """All that it makes."""
        return (self.out,)


@dataclass(frozen=True, eq=False)
class Embed(Op):
    """out[t] = row token[t] of `weight` (n_vocab, n_embd), or row position[t] if `by_position`."""

    weight: QTensor
    by_position: bool = False


# ---- products


@dataclass(frozen=True, eq=False)
class Linear(Op):
    """out[t] = weight @ x[t] (+ bias); `weight` is (n_out, n_in)."""

    x: Tensor
    weight: QTensor
    bias: Array | None


@dataclass(frozen=True, eq=False)
class HeadLinear(Op):
    """out[t, h] = weight[h] @ x[t, h]; `weight` is (n_head, n_out, n_in), x (n_head, n_in)."""

    x: Tensor
    weight: QTensor


# ---- norms: along the last axis; weight and bias have its size, or all of x's shape


@dataclass(frozen=True, eq=False)
class RmsNorm(Op):
    """out = x / sqrt(mean(x^2) + eps) * weight. Zhang and Sennrich 2019, arXiv:1910.07467."""

    x: Tensor
    weight: Array | None
    eps: float


@dataclass(frozen=True, eq=False)
class LayerNorm(Op):
    """out = (x - mean) / sqrt(variance + eps) * weight + bias. Ba et al. 2016, arXiv:1607.06450."""

    x: Tensor
    weight: Array | None
    bias: Array | None
    eps: float


@dataclass(frozen=True, eq=False)
class L2Norm(Op):
    """out = x / max(sqrt(sum(x^2)), eps)."""

    x: Tensor
    eps: float


# ---- positions and attention


@dataclass(frozen=True, eq=False)
class Rope(Op):
    """Rotate values first ... first + 2 * len(frequencies) of each head by position * frequency.

    Pair i of those is (2i, 2i + 1) if `interleaved`, else (i, i + len(frequencies)). `magnitude`
    scales the cosine and sine. RoFormer, Su et al. 2021, arXiv:2104.09864.
    """

    x: Tensor
    frequencies: Array  # float64 radians per position, all scalings applied
    interleaved: bool
    magnitude: float
    first: int = 0


@dataclass(frozen=True, eq=False)
class PositionScale(Op):
    """out = x * (1 + slope * ln(1 + floor((position + offset) / every))): long contexts."""

    x: Tensor
    every: int
    slope: float
    offset: int = 0


@dataclass(frozen=True, eq=False)
class Attention(Op):
    """Append k, v to `cache`, then softmax(scale * q k^T) v over all positions up to each token's.

    q is (n_head, key_dim), k (n_head_kv, key_dim), v (n_head_kv, value_dim); query head h reads
    KV head h // (n_head // n_head_kv). Without v the values are in the keys; without k as well the
    cache is another layer's, already written. A token at position p reads the positions from
    p - window + 1 if the cache has a window, and from p // chunk * chunk if `chunk`. If not
    `causal` it reads those after p as well, all of its run, or as far as `reach` positions before
    and after p; the cache is then free for another layer. Scores become
    softcap * tanh(score / softcap) if there is a `softcap`; -slopes[h] * |key's position - p| is
    added to them (ALiBi, Press et al. 2021, arXiv:2108.12409), and
    biases[h, key's position - p + far], from `far` on the same (T5, Raffel et al. 2019,
    arXiv:1910.10683); each head's `sinks` value stands as one more score with no value.
    """

    q: Tensor
    k: Tensor | None
    v: Tensor | None
    cache: KVCache
    scale: float
    chunk: int | None = None
    softcap: float | None = None
    slopes: Array | None = None  # float32 (n_head,)
    sinks: Array | None = None  # float32 (n_head,)
    causal: bool = True
    reach: int | None = None
    biases: Array | None = None  # float32 (n_head, 2 * far + 1)


@dataclass(frozen=True, eq=False)
class SparseAttention(Attention):
    """The same over no other positions than those in the `chosen` blocks of `block` positions.

    `chosen` is (n_group, most), int32 numbers of blocks, -1 for none; KV head h reads those of
    group h // (n_head_kv // n_group).
    """

    chosen: Tensor | None = None
    block: int = 1


@dataclass(frozen=True, eq=False)
class TopPositions(Op):
    """Append k to `cache`; `out` (1, most) are the positions up to each token's that score highest.

    A position's score is the sum over heads h of weights[h] * max(q[h] . its k, 0). q is (n_head,
    dim), k (1, dim), weights (n_head,), out int32 in any order, -1 where there are fewer positions.
    `cache` has no values. DeepSeek-V3.2, arXiv:2512.02556, equation 1.
    """

    q: Tensor
    k: Tensor
    weights: Tensor
    cache: KVCache


@dataclass(frozen=True, eq=False)
class TopBlocks(Op):
    """Append k to `cache`; `out` (n_head, most) are the blocks of positions that score highest.

    Of blocks of `block` positions, for each head of q (n_head, dim): a block's score is the highest
    q . k of its positions up to the token's; the token's own block and those before it, `own` in
    all, come first. k is (1, dim), out int32 in any order, -1 where there are fewer blocks. `cache`
    has no values.
    """

    q: Tensor
    k: Tensor
    cache: KVCache
    block: int
    own: int


# ---- value by value


@dataclass(frozen=True, eq=False)
class Add(Op):
    """out = x + y."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True, eq=False)
class Mul(Op):
    """out = x * y; y's last axis may be 1."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True, eq=False)
class Scale(Op):
    """out = factor * x * weight + bias; weight and bias are of x's last axis, or of all of x."""

    x: Tensor
    factor: float
    weight: Array | None
    bias: Array | None


@dataclass(frozen=True, eq=False)
class Activation(Op):
    """out = `kind`(x), one of ACTIVATIONS."""

    x: Tensor
    kind: str


@dataclass(frozen=True, eq=False)
class Softcap(Op):
    """out = cap * tanh(x / cap)."""

    x: Tensor
    cap: float


@dataclass(frozen=True, eq=False)
class Clamp(Op):
    """out = x, at least `low` and at most `high`."""

    x: Tensor
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Sum(Op):
    """out = the sum of x along its last axis, which is 1 of out."""

    x: Tensor


@dataclass(frozen=True, eq=False)
class Glu(Op):
    """out = `kind`(gate) * up: gated linear units, Shazeer 2020, arXiv:2002.05202."""

    gate: Tensor
    up: Tensor
    kind: str


# ---- other shapes of the same values


@dataclass(frozen=True, eq=False)
class Reshape(Op):
    """The same values under another shape."""

    x: Tensor


@dataclass(frozen=True, eq=False)
class Slice(Op):
    """out = x[..., first : first + out's last axis]."""

    x: Tensor
    first: int


@dataclass(frozen=True, eq=False)
class Concat(Op):
    """out = x then y along the last axis; their other axes are the same."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True, eq=False)
class Repeat(Op):
    """Each row of x (n, dim) `times` times: row i of out is row i // times, or i % n if `tiled`."""

    x: Tensor
    times: int
    tiled: bool


# ---- mixtures of experts


@dataclass(frozen=True, eq=False)
class TopExperts(Op):
    """Choose k experts by `scores` (n_expert,): `out` their numbers (k,), `weights` their shares.

    Probabilities are `gating`(scores): "softmax", "sigmoid", "sqrt_softplus", or "chosen_softmax",
    which is the softmax over the scores of the chosen alone. The k highest of probability +
    `bias` are chosen; of equal ones the lower number is first. With `n_group` groups of neighbours
    only the `n_group_used` with the highest sum of their two best take part. Shares are the
    probabilities, divided by their sum (at least 2^-14) if `normalise`, then multiplied by `scale`
    and by each expert's own one of `factors`.
    """

    weights: Tensor
    scores: Tensor
    normalise: bool
    scale: float
    gating: str = "softmax"
    bias: Array | None = None  # float32 (n_expert,)
    n_group: int = 1
    n_group_used: int = 1
    factors: Array | None = None  # float32 (n_expert,)

    @property
    def written(self) -> tuple[Tensor, ...]:
        return (self.out, self.weights)


@dataclass(frozen=True, eq=False)
class ExpertLinear(Op):
    """out[t, i] = weight[experts[t, i]] @ x[t, i] (or x[t], if x has one row for all experts).

    `weight` is (n_expert, n_out, n_in), `bias` (n_expert, n_out), `experts` (k,), out (k, n_out).
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


# ---- recurrences: token after token, through `memory`


@dataclass(frozen=True, eq=False)
class Recurrence(Op):
    """An op that reads its `memory` and leaves it as it is after the last token."""

    memory: Memory


@dataclass(frozen=True, eq=False)
class Convolution(Recurrence):
    """Along time, each channel apart: out[t, c] = sum over i of kernel[c, i] * x[t - n + 1 + i, c].

    `kernel` is (channels, n) and x (channels,); `memory` (n - 1, channels) holds the last inputs.
    """

    x: Tensor
    kernel: Array  # float32
    bias: Array | None


@dataclass(frozen=True, eq=False)
class TokenShift(Recurrence):
    """out[t] = x[t - 1]; `memory` has x's shape."""

    x: Tensor


@dataclass(frozen=True, eq=False)
class SelectiveScan(Recurrence):
    """The state-space layer of Mamba: h = exp(dt * a) * h + dt * x b^T; out = h c + d * x.

    x is (n_head, dim), dt (n_head,), a float32 (n_head, 1 or n_state), b and c (n_group, n_state),
    `memory` h (n_head, dim, n_state); head i reads group i // (n_head // n_group). Gu and Dao 2023,
    arXiv:2312.00752; with one a for each head, Dao and Gu 2024, arXiv:2405.21060. Without dt, which
    then is 1, and d: linear attention with a constant decay.
    """

    x: Tensor
    dt: Tensor | None
    b: Tensor
    c: Tensor
    a: Array
    d: Array | None  # float32 (n_head,)


@dataclass(frozen=True, eq=False)
class DeltaRule(Recurrence):
    """Gated delta rule: s = exp(decay) * s; s += k (beta * (v - s^T k))^T; out = scale * s^T q.

    q and k are (n_head, key_dim), v (n_head, value_dim), decay (n_head, 1 or key_dim), beta
    (n_head,), `memory` s (n_head, key_dim, value_dim). Yang et al. 2024, arXiv:2412.06464.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    decay: Tensor
    beta: Tensor
    scale: float


@dataclass(frozen=True, eq=False)
class Wkv(Recurrence):
    """RWKV: s = exp(decay) * s + b (s^T a)^T + k v^T; out = s^T r, of the old s if `before`.

    r, k, decay, a and b are (n_head, key_dim), v (n_head, value_dim), `memory` s (n_head, key_dim,
    value_dim); a and b may be missing together. RWKV 6, Peng et al. 2024, arXiv:2404.05892; RWKV 7,
    Peng et al. 2025, arXiv:2503.14456; gated linear attention, Yang et al. 2023, arXiv:2312.06635.
    """

    r: Tensor
    k: Tensor
    v: Tensor
    decay: Tensor
    a: Tensor | None
    b: Tensor | None
    before: bool


@dataclass(frozen=True, eq=False)
class SelectOutputs(Op):
    """Keep only the rows of the tokens whose logits are asked for (all, or the last)."""

    x: Tensor


@dataclass(eq=False)
class Plan:
    """A model's whole computation; `logits` is the last tensor, (n_vocab,).

    What is not `causal` reads a text as a whole, all of its tokens in one run. What `embeds` has no
    logits: its last tensor is the vector (n_embd,) of each token.
    """

    architecture: str
    n_vocab: int
    n_ctx_train: int
    causal: bool = True
    embeds: bool = False
    ops: list[Op] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    caches: list[KVCache] = field(default_factory=list)
    memories: list[Memory] = field(default_factory=list)
    aliases: dict[str, Tensor] = field(default_factory=dict)  # what the verbs cannot name
    n_positions: int | None = None  # the most there can be, where positions are looked up
    leftovers: tuple[str, ...] = ()  # tensors of the file that the architecture does not use
    _prefix: str = ""

    @property
    def logits(self) -> Tensor:
        return self.ops[-1].out

    @property
    def writes(self) -> bool:
        """Whether the model can continue a text, token after token."""
        return self.causal and not self.embeds

    @cached_property
    def hidden(self) -> Tensor:
        """The vector (n_embd,) of each token that its logits are made of."""
        if self.embeds:
            return self.logits
        made = (op.x for op in reversed(self.ops) if isinstance(op, Linear))
        return next(made, self.logits)

    @cached_property
    def activations(self) -> dict[str, Tensor]:
        """Every tensor by the names that people may use for it, in order of the ops.

        Those of the verbs: `blk.0.attn_q` for what the weight of that name makes, `blk.0.kqv_out`
        for attention before it is projected, `blk.0.ffn_gate_inp.shares` for what changes another.
        And `blk.0.ffn_out`, what the feed-forward network of a layer gives before any norm of it,
        `blk.0.l_out`, the residual stream after the layer, `output` and `logits`, which mostly are
        the same.
        """
        of: dict[Tensor, list[str]] = {}
        for name, tensor in self.aliases.items():
            of.setdefault(tensor, []).append(name)
        if not self.embeds:
            missing = (name for name in ("output", "logits") if name not in self.tensors)
            of.setdefault(self.logits, []).extend(missing)
        return {
            name: tensor
            for own, tensor in self.tensors.items()
            for name in (own, *of.get(tensor, ()))
        }

    @contextmanager
    def scope(self, prefix: str) -> Iterator[None]:
        """Within the block, new tensors are named `prefix.name`."""
        outer, self._prefix = self._prefix, f"{self._prefix}{prefix}."
        yield
        self._prefix = outer

    def layers(self, tensors: Iterable[Block]) -> Iterator[tuple[int, Block]]:
        """Each layer's number and tensors; what is recorded meanwhile is named `blk.N.*`."""
        for i, block in enumerate(tensors):
            with self.scope(f"blk.{i}"):
                began, n_aliases = len(self.ops), len(self.aliases)
                yield i, block
                if len(self.aliases) == n_aliases:  # an architecture may know better
                    self.alias("l_out", self.ops[-1].out)
                if (made := _fed_forward(self.ops[began:])) is not None:
                    self.alias("ffn_out", made)

    def relative(self, name: str) -> str:
        """`name` without the prefix of the current scope, if it has it."""
        return name.removeprefix(self._prefix)

    def tensor(
        self, name: str, shape: tuple[int, ...], *, outputs_only: bool = False, ids: bool = False
    ) -> Tensor:
        """A new named tensor; a name used before gets `.2`, `.3`, ..."""
        name = self._new(name, self.tensors)
        made = self.tensors[name] = Tensor(self, name, shape, outputs_only, ids)
        return made

    def alias(self, name: str, tensor: Tensor) -> None:
        """Another name for a tensor; like the first, it begins with the scope's."""
        self.aliases[self._new(name, self.aliases)] = tensor

    def _new(self, name: str, used: Iterable[str]) -> str:
        name = base = self._prefix + name
        count = 1
        while name in used:
            count += 1
            name = f"{base}.{count}"
        return name

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

    def peak_width(self) -> int:
        """Values per token of all the tensors that are there at once, where they are most."""
        now = most = 0
        for op, ended in zip(self.ops, self.last_uses(), strict=True):
            now += sum(tensor.width for tensor in op.written)
            most = max(most, now)
            now -= sum(tensor.width for tensor in ended)
        return most

    def weights(self) -> list[QTensor]:
        """Every matrix the plan reads, each once, in order of first use."""
        found = (getattr(op, "weight", None) for op in self.ops)
        return list({id(w): w for w in found if isinstance(w, QTensor)}.values())


def _fed_forward(ops: Iterable[Op]) -> Tensor | None:
    """What is made of the products with `ffn_down*` alone, if there are any: the last such."""
    made: list[Tensor] = []
    for op in ops:
        if isinstance(op, Linear | ExpertLinear):
            ours = any(part.startswith("ffn_down") for part in op.weight.name.split("."))
        elif isinstance(op, Add):
            ours = op.x in made and op.y in made
        else:
            ours = isinstance(op, Mul | Scale | WeightedSum) and op.x in made
        if ours:
            made.append(op.out)
    return made[-1] if made else None
