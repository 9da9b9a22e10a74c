"""Matrix products: which kernel multiplies, and how it wants its activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vatra.engine.arena import Place
from vatra.engine.cpu_features import processor
from vatra.engine.kernels import layout
from vatra.engine.lowering.steps import Runs, rows_of
from vatra.engine.weights import by_amx, way
from vatra.models.plan import ExpertLinear, HeadLinear, Linear, Tensor

if TYPE_CHECKING:
    from vatra.engine.lowering import Lowering

Array = np.ndarray
FLOAT_TILE = 4  # tokens of a tile of `matmul_float`
CHUNKS_PER_THREAD = 8  # pieces that a matrix is handed out in: uneven threads share the rest


class Bytes(NamedTuple):
    """Activations as signed bytes, their scales and their sums."""

    x: Place
    scales: Place
    sums: Place


class Order(NamedTuple):
    """The tokens of each expert, as `order` sorts them."""

    place: Place
    n_expert: int
    k: int  # experts of a token
    slots: int  # at the most


class Operands:
    """Activations as kernels of products want them; made once for all that read them."""

    def __init__(self, low: Lowering) -> None:
        self.low = low
        self.tile = processor().tokens_per_tile
        self._bytes: dict[tuple[Tensor, int, layout.Operand, Runs, Order | None], Bytes] = {}
        self._packed: dict[tuple[Tensor, int, Order | None], Place] = {}
        self._orders: dict[Tensor, Order] = {}
        self._head_numbers: dict[int, Array] = {}
        self._sorted: set[Order] = set()  # all that there were

    def drop(self, tensor: Tensor) -> None:
        """Give back what was made of a tensor."""
        for key in [key for key in self._bytes if key[0] is tensor]:
            for part in self._bytes.pop(key):
                self.low.arena.give(part)
        for at in [at for at in self._packed if at[0] is tensor]:
            self.low.arena.give(self._packed.pop(at))
        if tensor in self._orders:
            self.low.arena.give(self._orders.pop(tensor).place)

    def bytes(
        self, x: Tensor, width: int, wanted: layout.Operand, runs: Runs, order: Order | None = None
    ) -> Bytes:
        """`x` as signed bytes for one kind of weights."""
        key = (x, width, wanted, runs, order)
        if key not in self._bytes:
            per_row = x.width // width
            slots = order.slots if order else self.low.rows(x) * per_row + self.tile
            blocks = slots * (width // layout.PART)
            sizes = layout.PART, 4, 4 * wanted.spans
            made = self._bytes[key] = Bytes(*(self.low.arena.take(blocks * n) for n in sizes))
            self.low.step(
                "quantize:",
                {"x": x, **_read(order)},
                {"out": made.x, "scale": made.scales, "sums": made.sums},
                runs=runs,
                width=width,
                spans=wanted.spans,
                zero=wanted.zero,
                tile=self.tile,
                rows=rows_of(x),
                per_row=1 if order else per_row,
                **_sources(order, per_row),
            )
        return self._bytes[key]

    def packed(self, x: Tensor, width: int, format: str, order: Order | None) -> Place:
        """`x` as tiles of bf16 for weights of that format."""
        terms = layout.AMX_TERMS.get(format, 1)
        key = (x, terms, order)
        if key not in self._packed:
            blocks = -(-(order.slots if order else self.low.most) // 16)
            tiles = layout.amx_tiles(format, width) * blocks
            place = self._packed[key] = self.low.arena.take(layout.TILE_BYTES * tiles)
            self.low.step(
                f"amx:pack,{terms}",
                {"x": x, **_read(order)},
                {"out": place},
                runs=Runs.MANY if order else Runs.SOME | Runs.MANY,
                width=width,
                rows=rows_of(x),
                **_sources(order, x.width // width),
            )
        return self._packed[key]

    def order(self, experts: Tensor, n_expert: int) -> Order:
        """The tokens of each expert."""
        if experts not in self._orders:
            pairs = self.low.most * experts.width
            place = self.low.arena.take(layout.order_bytes(pairs, n_expert, self.tile))
            slots = layout.order_slots(pairs, n_expert, self.tile)
            self._orders[experts] = Order(place, n_expert, experts.width, slots)
            self._sorted.add(self._orders[experts])
            self.low.step(
                "order:",
                {"chosen": experts},
                {"out": place},
                runs=Runs.MANY,
                n_expert=n_expert,
                k=experts.width,
                align=self.tile,
                rows=rows_of(experts),
            )
        return self._orders[experts]

    def head_numbers(self, n_head: int) -> int:
        """The address of 0 ... n_head - 1, int32, for each token of a run."""
        if n_head not in self._head_numbers:
            self._head_numbers[n_head] = np.tile(np.arange(n_head, dtype=np.int32), self.low.most)
        return self._head_numbers[n_head].ctypes.data

    def runs(self, n: int) -> Runs:
        """What kind a run of n tokens is."""
        if n < layout.AMX_TOKENS:
            return Runs.FEW
        fewest = (n * o.k / o.n_expert for o in self._sorted)
        return Runs.MANY if min(fewest, default=n) >= layout.EXPERT_TOKENS else Runs.SOME


def _read(order: Order | None) -> dict[str, Tensor | Place]:
    return {"order": order.place} if order else {}


def _sources(order: Order | None, per_row: int) -> dict[str, Any]:
    """What kernels that go by `order`, or by none, want to know of rows for `per_row` experts."""
    if not order:
        return {"order": 0, "n_expert": 0, "per": 1}
    return {"n_expert": order.n_expert, "per": order.k // per_row}


def product(low: Lowering, op: Linear | ExpertLinear | HeadLinear) -> None:
    """A matrix product: by bytes or by floats, for one matrix or for chosen ones.

    Few tokens go to their experts one by one; of many, each expert gets its own at once.
    """
    operands, tile = low.operands, low.operands.tile
    chosen, (n_out, n_in) = way(op.weight.format), op.weight.shape[-2:]
    amx = by_amx(chosen) and not (op.out.outputs_only or isinstance(op, HeadLinear))
    experts: dict[str, Any] = {}
    reads: dict[str, Tensor | Place] = {}
    order, runs = None, Runs.FEW if amx else Runs.ALL
    many = Runs.SOME | Runs.MANY
    if isinstance(op, HeadLinear):
        n_head = op.weight.shape[0]
        experts = {"k": n_head, "shared_x": 0, "chosen": operands.head_numbers(n_head)}
    if isinstance(op, ExpertLinear):
        experts = {"k": op.experts.width, "shared_x": int(op.x.width == n_in)}
        reads = {"chosen": op.experts}
        if amx or chosen.operand:
            order = operands.order(op.experts, op.weight.shape[0])
            runs, many = Runs.FEW | Runs.SOME, Runs.MANY
    shape: dict[str, Any] = {
        "w": op.weight,
        "bias": low.vector(None if isinstance(op, HeadLinear) else op.bias),
        "n_out": n_out,
        "rows": rows_of(op.out),
    }
    n_blocks = n_in // op.weight.format.block
    groups = -(-n_out // layout.ROWS)
    packed = operands.packed(op.x, n_in, chosen.format, order) if amx else None
    if chosen.operand:
        x = operands.bytes(op.x, n_in, chosen.operand, runs)
        low.new(op.out)
        if experts:
            experts["tile"] = tile
        low.step(
            f"matmul:{chosen.format},{0 if experts else tile}",
            {"x": x.x, "x_scale": x.scales, "x_sum": x.sums, **reads},
            {"out": op.out},
            runs=runs,
            chunk=_pairs(low, groups),
            n_blocks=n_blocks,
            **shape,
            **experts,
        )
    else:
        low.new(op.out)
        low.step(
            f"matmul_float:{chosen.format},{0 if experts else FLOAT_TILE}",
            {"x": op.x, **reads},
            {"out": op.out},
            runs=runs,
            n_in=n_in,
            chunk=_chunk(low, -(-n_out // layout.FLOAT_ROWS)),
            **shape,
            **experts,
        )
    if packed:
        scratch_bytes = layout.amx_scratch(chosen.format, n_in, low.most)
        scratch = low.arena.take(scratch_bytes * low.n_threads)
        shape |= {"n_expert": order.n_expert} if order else {"order": 0, "n_expert": 1}
        low.step(
            f"amx:{chosen.format}",
            {"x": packed, **_read(order)},
            {"out": op.out, "scratch": scratch},
            runs=many,
            scratch_bytes=scratch_bytes,
            n_in=n_in,
            chunk=min(_pairs(low, groups), layout.AMX_GROUPS),
            **shape,
        )
        low.arena.give(scratch)
    elif order and chosen.operand:
        x = operands.bytes(op.x, n_in, chosen.operand, many, order)
        low.step(
            f"matmul:{chosen.format},{tile},experts",
            {"x": x.x, "x_scale": x.scales, "x_sum": x.sums, "order": order.place},
            {"out": op.out},
            runs=many,
            chunk=_pairs(low, groups),
            n_expert=order.n_expert,
            n_blocks=n_blocks,
            **shape,
        )


def _chunk(low: Lowering, groups: int) -> int:
    return max(1, groups // (low.n_threads * CHUNKS_PER_THREAD))


def _pairs(low: Lowering, groups: int) -> int:
    """A chunk for kernels that take two groups at once."""
    return 2 * _chunk(low, -(-groups // 2))
