"""Ops of a plan that one kernel does together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from vatra.models import plan as ops
from vatra.models.plan import Op, Tensor
from vatra.quant.tensor import QTensor

Array = np.ndarray
Made = TypeVar("Made", bound=Op)
MOST_OUTS = 4  # of one product


@dataclass(frozen=True, eq=False)
class Product(Op):
    """The rows of some matrices of one format, each times x, plus its bias.

    Every matrix has its own tensor of `outs`. With an `activation` there is one of those, of what
    the first matrix gives, times what the second gives if there is one; plus `residual`.
    """

    x: Tensor
    weights: tuple[QTensor, ...]
    biases: tuple[Array | None, ...]
    outs: tuple[Tensor, ...]
    activation: str | None = None
    residual: Tensor | None = None

    @property
    def written(self) -> tuple[Tensor, ...]:
        """All that it makes."""
        return self.outs

    @property
    def bias(self) -> Array | None:
        """Of all rows, if any matrix has one."""
        if all(bias is None for bias in self.biases):
            return None
        pairs = zip(self.weights, self.biases, strict=True)
        return np.concatenate([np.zeros(w.n_rows) if b is None else b for w, b in pairs])

    @property
    def is_plain(self) -> bool:
        """Whether it is as the plan has it."""
        return len(self.weights) == 1 and self.activation is None and self.residual is None

    def is_like(self, other: Product) -> bool:
        """Whether their rows can be those of one matrix."""
        return (
            self.is_plain
            and other.is_plain
            and self.x is other.x
            and self.weights[0].format is other.weights[0].format
            and self.out.outputs_only == other.out.outputs_only
        )


@dataclass(frozen=True, eq=False)
class Attention(ops.Attention):
    """Attention to keys, and with queries, that are turned first."""

    turn_q: ops.Rope | None = field(default=None, kw_only=True)
    turn_k: ops.Rope | None = field(default=None, kw_only=True)


class _Fusion:
    """The ops so far, of which the latest may be taken back to become part of another."""

    def __init__(self, part: Iterable[Op], kept: Collection[Tensor], most: int) -> None:
        part = list(part)
        self.found: list[Op] = []
        self._made: dict[Tensor, Op] = {}
        self._most = most
        self._readers = Counter([*kept, *(t for op in part for t in read(op))])
        for op in part:
            self._add(self._fused(op))

    def _add(self, op: Op) -> None:
        self.found.append(op)
        self._made |= dict.fromkeys(op.written, op)

    def _taken(self, tensor: Tensor | None, kind: type[Made]) -> Made | None:
        """The op of that kind that makes `tensor`, if nothing else than the next op reads it."""
        op = None if tensor is None else self._made.get(tensor)
        alone = tensor is not None and self._readers[tensor] == 1
        return op if alone and isinstance(op, kind) else None

    def _fused(self, op: Op) -> Op:
        """`op` with those before it that it can take in."""
        match op:
            case ops.Linear():
                return Product(op.out, op.x, (op.weight,), (op.bias,), (op.out,))
            case ops.Activation():
                return self._activated(op, [op.x])
            case ops.Glu():
                return self._activated(op, [op.gate, op.up])
            case ops.Add():
                for y, x in ((op.y, op.x), (op.x, op.y)):
                    made = self._taken(y, Product)
                    if made is not None and made.is_plain:
                        self.found.remove(made)
                        return replace(made, out=op.out, outs=(op.out,), residual=x)
            case ops.Attention():
                turns = [self._taken(t, ops.Rope) for t in (op.q, op.k)]
                for turn in filter(None, turns):
                    self.found.remove(turn)
                q, k = (t if r is None else r.x for t, r in zip((op.q, op.k), turns, strict=True))
                both = {"turn_q": turns[0], "turn_k": turns[1]}
                return Attention(**vars(op) | both | {"q": q, "k": k})
        return op

    def _activated(self, op: ops.Activation | ops.Glu, given: Sequence[Tensor]) -> Op:
        made = [p for t in given if (p := self._taken(t, Product)) is not None]
        first = made[0] if made else None
        if (
            first is None
            or len(made) < len(given)
            or not all(p.is_like(first) for p in made)
            or len({p.weights[0].n_rows for p in made}) > 1
            or (len(made) > 1 and self._size(made) > self._most)
        ):
            return op
        for p in made:
            self.found.remove(p)
        return replace(_joined(made), out=op.out, outs=(op.out,), activation=op.kind)

    def stack(self) -> None:
        """Put products of the same x into one, where the first of them is."""
        for i, op in enumerate(self.found):
            if isinstance(op, Product) and self._readers[op.x] > 1 and op.is_plain:
                alike = [p for p in self.found[i:] if isinstance(p, Product) and p.is_like(op)]
                alike = alike[:MOST_OUTS]
                if len(alike) > 1 and self._size(alike) <= self._most:
                    self.found[i] = _joined(alike)
                    self.found[i + 1 :] = [p for p in self.found[i + 1 :] if p not in alike]

    @staticmethod
    def _size(products: Sequence[Product]) -> int:
        """Bytes of their matrices, with some room between the fields of blocks."""
        return sum(weight.nbytes + 256 for p in products for weight in p.weights)


def _joined(products: Sequence[Product]) -> Product:
    weights, biases, outs = (
        sum((getattr(p, name) for p in products), ()) for name in ("weights", "biases", "outs")
    )
    return replace(products[0], weights=weights, biases=biases, outs=outs)


def fused(part: Sequence[Op], kept: Collection[Tensor], most: int) -> list[Op]:
    """`part` in fewer ops, which make all tensors that are `kept`.

    Products take in activations, gates and residuals, and each other if their matrices are together
    at most `most` bytes; attention takes in rotations. No result changes.
    """
    fusion = _Fusion(part, kept, most)
    fusion.stack()
    return fusion.found


def read(op: Op) -> list[Tensor]:
    """The tensors that `op` reads."""
    return [t for t in vars(op).values() if isinstance(t, Tensor) and t not in op.written]
