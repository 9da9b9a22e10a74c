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
        self._orders: dict[Tensor | tuple[int, int], Order] = {}
        self.share = 1.0  # of a run's tokens, that an expert of AMX has on average

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
                runs=_by_amx(order),
                width=width,
                rows=rows_of(x),
                **_sources(order, x.width // width),
            )
        return self._packed[key]

    def order(self, op: ExpertLinear | HeadLinear) -> Order:
        """The tokens of each expert; all tokens go to all heads, each with values of its own."""
        n_expert, rows = op.weight.shape[0], rows_of(op.out)
        experts = op.experts if isinstance(op, ExpertLinear) else None
        key = experts or (n_expert, rows)
        if key not in self._orders:
            k = experts.width if experts else n_expert
            pairs = self.low.most * k
            place = self.low.arena.take(layout.order_bytes(pairs, n_expert, self.tile))
            slots = layout.order_slots(pairs, n_expert, self.tile)
            self._orders[key] = Order(place, n_expert, k, slots)
            every: dict[str, Any] = {}
            if not experts:
                heads = np.tile(np.arange(n_expert, dtype=np.int32), self.low.most)
                self.low.kept.append(heads)
                every["chosen"] = heads.ctypes.data
            self.low.step(
                "order:",
                {"chosen": experts} if experts else {},
                {"out": place},
                n_expert=n_expert,
                k=k,
                align=self.tile,
                rows=rows,
                **every,
            )
        return self._orders[key]

    def runs(self, n: int) -> Runs:
        """What kind a run of n tokens is."""
        if n < layout.AMX_TOKENS or not processor().matrix_tiles:
            return Runs.FEW
        return Runs.MANY if n * self.share >= layout.AMX_TOKENS else Runs.SOME


def _read(order: Order | None) -> dict[str, Tensor | Place]:
    return {"order": order.place} if order else {}


def _sources(order: Order | None, per_row: int) -> dict[str, Any]:
    """What kernels that go by `order`, or by none, want to know of rows for `per_row` experts."""
    if not order:
        return {"order": 0, "n_expert": 0, "per": 1}
    return {"n_expert": order.n_expert, "per": order.k // per_row}


def _by_amx(order: Order | None) -> Runs:
    """Runs whose products are AMX's, where it has them."""
    return Runs.MANY if order else Runs.SOME | Runs.MANY


def product(low: Lowering, op: Linear | ExpertLinear | HeadLinear) -> None:
    """A matrix product: by bytes or by floats, for one matrix or for chosen ones.

    Experts and heads are multiplied with all tokens of theirs at once.
    """
    operands, tile = low.operands, low.operands.tile
    chosen, (n_out, n_in) = way(op.weight.format), op.weight.shape[-2:]
    amx = by_amx(chosen) and not (op.out.outputs_only or isinstance(op, HeadLinear))
    order = None if isinstance(op, Linear) else operands.order(op)
    runs = ~_by_amx(order) if amx else Runs.ALL
    of, k = (",experts", order.k) if order else ("", 1)
    rows: dict[str, Any] = {"rows": rows_of(op.out)}
    own = {"n_expert": order.n_expert} if order else rows
    shape: dict[str, Any] = {
        "w": op.weight,
        "bias": low.vector(None if isinstance(op, HeadLinear) else op.bias),
        "n_out": n_out,
    }
    groups = -(-n_out // layout.ROWS)
    packed = operands.packed(op.x, n_in, chosen.format, order) if amx else None
    low.new(op.out)
    if chosen.operand:
        x = operands.bytes(op.x, n_in, chosen.operand, runs, order)
        low.step(
            f"matmul:{chosen.format},{tile}{of}",
            {"x": x.x, "x_scale": x.scales, "x_sum": x.sums, **_read(order)},
            {"out": op.out},
            runs=runs,
            chunk=_pairs(low, groups * k),
            n_blocks=n_in // op.weight.format.block,
            **shape,
            **own,
        )
    else:
        low.step(
            f"matmul_float:{chosen.format},{1 if order else FLOAT_TILE}{of}",
            {"x": op.x, **_read(order)},
            {"out": op.out},
            runs=runs,
            n_in=n_in,
            chunk=_chunk(low, -(-n_out // layout.FLOAT_ROWS) * k),
            **shape,
            **(_sources(order, op.x.width // n_in) if order else own),
        )
    if packed:
        scratch_bytes = layout.amx_scratch(chosen.format, n_in, low.most)
        scratch = low.arena.take(scratch_bytes * low.n_threads)
        if order:
            operands.share = min(operands.share, order.k / order.n_expert)
        low.step(
            f"amx:{chosen.format}",
            {"x": packed, **_read(order)},
            {"out": op.out, "scratch": scratch},
            runs=_by_amx(order),
            scratch_bytes=scratch_bytes,
            n_in=n_in,
            chunk=min(_pairs(low, groups), layout.AMX_GROUPS),
            **shape,
            **rows,
            **(own if order else {"order": 0, "n_expert": 0}),
        )
        low.arena.give(scratch)


def _chunk(low: Lowering, groups: int) -> int:
    return max(1, groups // (low.n_threads * CHUNKS_PER_THREAD))


def _pairs(low: Lowering, groups: int) -> int:
    """A chunk for kernels that take two groups at once."""
    return 2 * _chunk(low, -(-groups // 2))
