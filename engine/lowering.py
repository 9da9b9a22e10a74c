"""From a plan to the steps that the CPU takes: which kernel, on which places of the arena.

Adding an operation is one function here and one line in `LOWER`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Flag, auto
from typing import Any, NamedTuple, cast

import numpy as np

from vatra.engine.arena import Arena, Place
from vatra.engine.cpu_features import processor
from vatra.engine.kernels import layout
from vatra.engine.weights import by_amx, way
from vatra.models import plan as ops
from vatra.models.plan import (
    Attention,
    Embed,
    ExpertLinear,
    HeadLinear,
    Linear,
    Op,
    Plan,
    Rope,
    Tensor,
)

Array = np.ndarray
MAX_TOKENS = 256  # tokens of one walk: enough to keep the tiles full, few enough for the cache
MAX_OUTPUTS = 32  # tokens of one walk whose logits are all kept
ALL_AHEAD = 2**40  # positions after its own that a token sees where nothing limits them
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


class Runs(Flag):
    """For which runs a step is there."""

    FEW = auto()  # of fewer than `layout.AMX_TOKENS` tokens
    SOME = auto()  # of more, but with fewer than `layout.EXPERT_TOKENS` for each expert
    MANY = auto()
    ALL = FEW | SOME | MANY


@dataclass
class Step:
    """One row of the table before addresses are known: places and weights stand for them."""

    kernel: str
    arguments: dict[str, Any]
    reads: list[Place]
    writes: list[Place]
    caches: dict[str, tuple[str, int]] = field(default_factory=dict)  # argument -> (of state, i)
    runs: Runs = Runs.ALL


class Lowering:
    """Turns a plan's ops into steps, op by op, for walks of `most` tokens at the most.

    The first `n_hidden` steps make `Plan.hidden`, at the place `hidden`.
    """

    hidden: Place

    def __init__(self, plan: Plan, n_threads: int, most: int = MAX_TOKENS) -> None:
        self.plan, self.n_threads, self.most = plan, n_threads, most
        self.n_hidden: int | None = None
        self.tile = processor().tokens_per_tile
        self.arena = Arena()
        self.steps: list[Step] = []
        self.embeds: list[tuple[Embed, Place]] = []
        self.angles: dict[tuple[int, float], tuple[Rope, Place]] = {}  # by `_turn`
        self.kept: list[Array] = []  # float32 vectors whose addresses are in the table
        self._places: dict[Tensor, Place] = {}
        self._operands: dict[tuple[Tensor, int, layout.Operand, Runs, Order | None], Bytes] = {}
        self._packed: dict[tuple[Tensor, int, Order | None], Place] = {}
        self._orders: dict[Tensor, Order] = {}
        self._head_numbers: dict[int, Array] = {}
        self._sorted: set[Order] = set()  # all that there were
        # what numpy writes is there before the walk: no other op may use its place first
        for op in plan.ops:
            if isinstance(op, Rope) and _turn(op) not in self.angles:
                size = most * 8 * len(op.frequencies)
                self.angles[_turn(op)] = (op, self.arena.take(size))
            if isinstance(op, Embed):
                self.embeds.append((op, self.new(op.out)))
        for op, ended in zip(plan.ops, plan.last_uses(), strict=True):
            if not isinstance(op, Embed):
                LOWER[type(op)](self, op)
            if op.out is plan.hidden:
                self.n_hidden, self.hidden = len(self.steps), self._places[op.out]
            for tensor in ended:
                self.drop(tensor)

    # -- places --

    def rows(self, tensor: Tensor) -> int:
        """The most rows that a walk has of `tensor`: of what comes after `Plan.hidden`, fewer."""
        few = tensor.outputs_only and self.n_hidden is not None and self.plan.causal
        return MAX_OUTPUTS if few else self.most

    def new(self, tensor: Tensor) -> Place:
        place = self._places[tensor] = self.arena.take(4 * tensor.width * self.rows(tensor))
        return place

    def drop(self, tensor: Tensor) -> None:
        place = self._places.pop(tensor)
        if place not in self._places.values():  # a tensor of another shape may still be there
            self.arena.give(place)
        for key in [key for key in self._operands if key[0] is tensor]:
            for part in self._operands.pop(key):
                self.arena.give(part)
        for at in [at for at in self._packed if at[0] is tensor]:
            self.arena.give(self._packed.pop(at))
        if tensor in self._orders:
            self.arena.give(self._orders.pop(tensor).place)

    def same(self, tensor: Tensor, x: Tensor) -> None:
        """`tensor` is where `x` is."""
        self._places[tensor] = self._places[x]

    def place_of(self, tensor: Tensor) -> Place:
        return self._places[tensor]

    # -- steps --

    def step(
        self,
        kernel: str,
        reads: dict[str, Tensor | Place],
        writes: dict[str, Tensor | Place],
        caches: dict[str, tuple[str, int]] | None = None,
        runs: Runs = Runs.ALL,
        **arguments: Any,
    ) -> None:
        """Add a step; `reads` and `writes` are arguments that are tensors or places."""

        def places(of: dict[str, Tensor | Place]) -> dict[str, Place]:
            return {name: self._places[t] if isinstance(t, Tensor) else t for name, t in of.items()}

        read, written = places(reads), places(writes)
        self.steps.append(
            Step(
                kernel,
                {**read, **written, **arguments},
                list(read.values()),
                list(written.values()),
                caches or {},
                runs,
            )
        )

    def values(self, kernel: str, out: Tensor, reads: dict[str, Tensor], **arguments: Any) -> None:
        """Add a step that makes `out`, value by value."""
        self.new(out)
        self.step(kernel, {**reads}, {"out": out}, width=out.width, rows=_rows(out), **arguments)

    def scale(
        self, x: Tensor, out: Tensor, weight: Array | None, bias: Array | None, factor: float
    ) -> None:
        """Add a step: out = factor * x * weight + bias, each for x's last axis or for all of it."""
        sizes = [x.shape[-1], *(a.size for a in (weight, bias) if a is not None)]
        width = max(sizes)
        spread = [None if a is None else np.resize(a, width) for a in (weight, bias)]
        self.step(
            "elementwise:scale",
            {"x": x},
            {"out": out},
            weight=self.vector(spread[0]),
            bias=self.vector(spread[1]),
            width=width,
            rows=_rows(x),
            per_row=x.width // width,
            factor=factor,
        )

    def copy(
        self,
        x: Tensor,
        out: Tensor,
        size: int,
        *,
        from_row: int,
        to_row: int,
        first: int = 0,
        to: int = 0,
        repeats: int = 1,
        tiled: int = 0,
    ) -> None:
        """Add a step that copies parts of rows, see the kernel."""
        self.step(
            "elementwise:copy",
            {"x": x},
            {"out": out},
            rows=_rows(x),
            per_row=x.width // from_row,
            size=size,
            from_row=from_row,
            first=first,
            to_row=to_row,
            to=to,
            repeats=repeats,
            tiled=tiled,
        )

    def recurrence(
        self, kernel: str, op: ops.Recurrence, reads: dict[str, Tensor | None], **arguments: Any
    ) -> None:
        """Add a step that goes through the tokens in order, with a memory of the state.

        What there is not to read is 0 for the kernel.
        """
        self.new(op.out)
        i = self.plan.memories.index(op.memory)
        self.step(
            f"recurrence:{kernel}",
            {name: tensor for name, tensor in reads.items() if tensor is not None},
            {"out": op.out},
            {"memory": ("memories", i)},
            rows=layout.RUN_TOKENS,
            **dict.fromkeys((name for name, t in reads.items() if t is None), cast(Any, 0)),
            **arguments,
        )

    def vector(self, values: Array | None) -> int:
        """The address of float32 values that stay where they are; 0 for None."""
        if values is None:
            return 0
        kept = np.ascontiguousarray(values, np.float32)
        self.kept.append(kept)
        return kept.ctypes.data

    def head_numbers(self, n_head: int) -> int:
        """The address of 0 ... n_head - 1, int32, for each token of a run."""
        if n_head not in self._head_numbers:
            self._head_numbers[n_head] = np.tile(np.arange(n_head, dtype=np.int32), self.most)
        return self._head_numbers[n_head].ctypes.data

    def operand(
        self, x: Tensor, width: int, wanted: layout.Operand, runs: Runs, order: Order | None = None
    ) -> Bytes:
        """`x` as signed bytes for one kind of weights; made once for all that read it."""
        key = (x, width, wanted, runs, order)
        if key not in self._operands:
            per_row = x.width // width
            n_rows = self.rows(x) * per_row + self.tile
            blocks = (order.slots if order else n_rows) * (width // layout.PART)
            sizes = layout.PART, 4, 4 * wanted.spans
            made = self._operands[key] = Bytes(*(self.arena.take(blocks * n) for n in sizes))
            self.step(
                "quantize:",
                {"x": x, **_read(order)},
                {"out": made.x, "scale": made.scales, "sums": made.sums},
                runs=runs,
                width=width,
                spans=wanted.spans,
                zero=wanted.zero,
                tile=self.tile,
                rows=_rows(x),
                per_row=1 if order else per_row,
                **_sources(order, per_row),
            )
        return self._operands[key]

    def packed(self, x: Tensor, width: int, format: str, order: Order | None) -> Place:
        """`x` as tiles of bf16 for weights of that format; made once for all that read it."""
        terms = layout.AMX_TERMS.get(format, 1)
        key = (x, terms, order)
        if key not in self._packed:
            blocks = -(-(order.slots if order else self.most) // 16)
            tiles = layout.amx_tiles(format, width) * blocks
            place = self._packed[key] = self.arena.take(layout.TILE_BYTES * tiles)
            self.step(
                f"amx:pack,{terms}",
                {"x": x, **_read(order)},
                {"out": place},
                runs=Runs.MANY if order else Runs.SOME | Runs.MANY,
                width=width,
                rows=_rows(x),
                **_sources(order, x.width // width),
            )
        return self._packed[key]

    def runs(self, n: int) -> Runs:
        """What kind a run of n tokens is."""
        if n < layout.AMX_TOKENS:
            return Runs.FEW
        fewest = (n * o.k / o.n_expert for o in self._sorted)
        return Runs.MANY if min(fewest, default=n) >= layout.EXPERT_TOKENS else Runs.SOME

    def order(self, experts: Tensor, n_expert: int) -> Order:
        """The tokens of each expert; made once for all that go by it."""
        if experts not in self._orders:
            pairs = self.most * experts.width
            place = self.arena.take(layout.order_bytes(pairs, n_expert, self.tile))
            slots = layout.order_slots(pairs, n_expert, self.tile)
            self._orders[experts] = Order(place, n_expert, experts.width, slots)
            self._sorted.add(self._orders[experts])
            self.step(
                "order:",
                {"chosen": experts},
                {"out": place},
                runs=Runs.MANY,
                n_expert=n_expert,
                k=experts.width,
                align=self.tile,
                rows=_rows(experts),
            )
        return self._orders[experts]

    def product(self, op: Linear | ExpertLinear | HeadLinear) -> None:
        """A matrix product: by bytes or by floats, for one matrix or for chosen ones.

        Few tokens go to their experts one by one; of many, each expert gets its own at once.
        """
        chosen, (n_out, n_in) = way(op.weight.format), op.weight.shape[-2:]
        amx = by_amx(chosen) and not (op.out.outputs_only or isinstance(op, HeadLinear))
        experts: dict[str, Any] = {}
        reads: dict[str, Tensor | Place] = {}
        order, runs = None, Runs.FEW if amx else Runs.ALL
        many = Runs.SOME | Runs.MANY
        if isinstance(op, HeadLinear):
            n_head = op.weight.shape[0]
            experts = {"k": n_head, "shared_x": 0, "chosen": self.head_numbers(n_head)}
        if isinstance(op, ExpertLinear):
            experts = {"k": op.experts.width, "shared_x": int(op.x.width == n_in)}
            reads = {"chosen": op.experts}
            if amx or chosen.operand:
                order = self.order(op.experts, op.weight.shape[0])
                runs, many = Runs.FEW | Runs.SOME, Runs.MANY
        shape: dict[str, Any] = {
            "w": op.weight,
            "bias": self.vector(None if isinstance(op, HeadLinear) else op.bias),
            "n_out": n_out,
            "rows": _rows(op.out),
        }
        by_bytes: dict[str, Any] = {"tile": self.tile, "n_blocks": n_in // op.weight.format.block}
        groups = -(-n_out // layout.ROWS)
        packed = self.packed(op.x, n_in, chosen.format, order) if amx else None
        if chosen.operand:
            x = self.operand(op.x, n_in, chosen.operand, runs)
            self.new(op.out)
            self.step(
                f"matmul:{chosen.format},{0 if experts else self.tile}",
                {"x": x.x, "x_scale": x.scales, "x_sum": x.sums, **reads},
                {"out": op.out},
                runs=runs,
                spans=chosen.operand.spans,
                chunk=self.chunk(groups),
                **by_bytes,
                **shape,
                **experts,
            )
        else:
            self.new(op.out)
            self.step(
                f"matmul_float:{chosen.format},{0 if experts else FLOAT_TILE}",
                {"x": op.x, **reads},
                {"out": op.out},
                runs=runs,
                n_in=n_in,
                chunk=self.chunk(-(-n_out // layout.FLOAT_ROWS)),
                **shape,
                **experts,
            )
        if packed:
            scratch_bytes = layout.amx_scratch(chosen.format, n_in, self.most)
            scratch = self.arena.take(scratch_bytes * self.n_threads)
            shape |= {"n_expert": order.n_expert} if order else {"order": 0, "n_expert": 1}
            self.step(
                f"amx:{chosen.format}",
                {"x": packed, **_read(order)},
                {"out": op.out, "scratch": scratch},
                runs=many,
                scratch_bytes=scratch_bytes,
                n_in=n_in,
                chunk=min(-(-self.chunk(groups) // 2) * 2, layout.AMX_GROUPS),  # it takes pairs
                **shape,
            )
            self.arena.give(scratch)
        elif order and chosen.operand:
            x = self.operand(op.x, n_in, chosen.operand, many, order)
            self.step(
                f"matmul:{chosen.format},{self.tile},experts",
                {"x": x.x, "x_scale": x.scales, "x_sum": x.sums, "order": order.place},
                {"out": op.out},
                runs=many,
                spans=chosen.operand.spans,
                chunk=self.chunk(groups),
                n_expert=order.n_expert,
                **by_bytes,
                **shape,
            )

    def chunk(self, groups: int) -> int:
        return max(1, groups // (self.n_threads * CHUNKS_PER_THREAD))


def _turn(op: Rope) -> tuple[int, float]:
    """What rotations that share their sines have in common; the plan keeps the array's id taken."""
    return id(op.frequencies), op.magnitude


def _read(order: Order | None) -> dict[str, Tensor | Place]:
    return {"order": order.place} if order else {}


def _sources(order: Order | None, per_row: int) -> dict[str, Any]:
    """What kernels that go by `order`, or by none, want to know of rows for `per_row` experts."""
    if not order:
        return {"order": 0, "n_expert": 0, "per": 1}
    return {"n_expert": order.n_expert, "per": order.k // per_row}


def _rows(tensor: Tensor) -> int:
    """The word of the run block that counts the rows of a tensor."""
    return layout.RUN_OUTPUTS if tensor.outputs_only else layout.RUN_TOKENS


# ---- one function per op ------------------------------------------------------------------------


def _linear(low: Lowering, op: Linear) -> None:
    low.product(op)


def _expert_linear(low: Lowering, op: ExpertLinear) -> None:
    low.product(op)


def _head_linear(low: Lowering, op: HeadLinear) -> None:
    low.product(op)


def _rms_norm(low: Lowering, op: ops.RmsNorm) -> None:
    width = op.x.shape[-1]
    weight = np.ones(width, np.float32) if op.weight is None else op.weight
    one_for_all = weight.ndim == 1 and weight.size == width
    low.new(op.out)
    low.step(
        "elementwise:rms_norm",
        {"x": op.x},
        {"out": op.out},
        weight=low.vector(weight if one_for_all else np.ones(width, np.float32)),
        width=width,
        rows=_rows(op.x),
        per_row=op.x.width // width,
        eps=op.eps,
    )
    if not one_for_all:
        low.scale(op.out, op.out, weight, None, 1.0)


def _layer_norm(low: Lowering, op: ops.LayerNorm) -> None:
    width = op.x.shape[-1]
    one_for_all = all(a is None or a.ndim == 1 for a in (op.weight, op.bias))
    low.new(op.out)
    low.step(
        "norms:layer_norm",
        {"x": op.x},
        {"out": op.out},
        weight=low.vector(op.weight if one_for_all else None),
        bias=low.vector(op.bias if one_for_all else None),
        width=width,
        rows=_rows(op.x),
        per_row=op.x.width // width,
        eps=op.eps,
    )
    if not one_for_all:
        low.scale(op.out, op.out, op.weight, op.bias, 1.0)


def _l2_norm(low: Lowering, op: ops.L2Norm) -> None:
    width = op.x.shape[-1]
    low.new(op.out)
    low.step(
        "norms:l2_norm",
        {"x": op.x},
        {"out": op.out},
        width=width,
        rows=_rows(op.x),
        per_row=op.x.width // width,
        eps=op.eps,
    )


def _rope(low: Lowering, op: Rope) -> None:
    low.new(op.out)
    n_head, head_dim = op.x.shape
    low.step(
        "elementwise:rope",
        {"x": op.x, "angles": low.angles[_turn(op)][1]},
        {"out": op.out},
        n_head=n_head,
        head_dim=head_dim,
        first=op.first,
        half=len(op.frequencies),
        interleaved=int(op.interleaved),
        rows=_rows(op.x),
    )


def _position_scale(low: Lowering, op: ops.PositionScale) -> None:
    low.values(
        "elementwise:position_scale",
        op.out,
        {"x": op.x},
        every=op.every,
        offset=op.offset,
        slope=op.slope,
    )


def _attention(low: Lowering, op: Attention) -> None:
    cache, n_caches = low.plan.caches.index(op.cache), len(low.plan.caches)
    (n_head, key_dim), n_head_kv, value_dim = op.q.shape, op.cache.n_head_kv, op.cache.value_dim
    # what belongs to a state, as places below the arena, so that `attend` waits for `store`
    memory, partials = Place(-1 - cache, 1), Place(-1 - n_caches, 1)
    sides = {"keys": ("keys", cache), "values": ("values", cache), "partials": ("partials", 0)}
    shape: dict[str, Any] = {"key_dim": key_dim, "value_dim": value_dim, "capacity": 0}
    if op.k is not None:
        new = {"k": op.k} if op.v is None else {"k": op.k, "v": op.v}
        low.step(
            "attention:store,{kv}",
            {**new},
            {"": memory, "partials": partials},
            sides,
            n_head=n_head_kv,
            **shape | {"value_dim": op.cache.own_value_dim} | ({} if op.v else {"v": 0}),
        )
    low.new(op.out)
    shape |= {"n_head": n_head, "n_head_kv": n_head_kv, "scale": op.scale}
    window, ahead = op.cache.window or 0, 0 if op.causal else ALL_AHEAD
    if op.reach is not None:
        window, ahead = op.reach + 1, op.reach
    shape |= {
        "window": 0 if op.chunk else window,
        "ahead": ahead,
        "chunk": op.chunk or 0,
        "softcap": op.softcap or 0.0,
        "slopes": low.vector(op.slopes),
        "sinks": low.vector(op.sinks),
        "biases": low.vector(None if op.biases is None else layout.padded_biases(op.biases)),
        "far": 0 if op.biases is None else op.biases.shape[1] // 2,
    }
    many = processor().matrix_tiles
    in_keys = ",in_keys" if op.cache.in_keys else ""
    scratch_bytes = layout.attention_scratch(n_head // n_head_kv, key_dim, value_dim)
    scratch = low.arena.take(scratch_bytes * low.n_threads)
    low.step(
        "attention:attend,{kv}" + in_keys,
        {"q": op.q, "": memory},
        {"out": op.out, "scratch": scratch, "partials": partials},
        sides,
        runs=Runs.FEW if many else Runs.ALL,
        scratch_bytes=scratch_bytes,
        **shape,
    )
    low.arena.give(scratch)
    if many:
        scratch_bytes = layout.amx_attention_scratch(key_dim, value_dim)
        scratch = low.arena.take(scratch_bytes * low.n_threads)
        low.step(
            "amx_attention:{kv}" + in_keys,
            {"q": op.q, "": memory},
            {"out": op.out, "scratch": scratch},
            {side: sides[side] for side in ("keys", "values")},
            runs=Runs.SOME | Runs.MANY,
            scratch_bytes=scratch_bytes,
            **shape,
        )
        low.arena.give(scratch)


def _add(low: Lowering, op: ops.Add) -> None:
    low.values("elementwise:add", op.out, {"x": op.x, "y": op.y})


def _mul(low: Lowering, op: ops.Mul) -> None:
    if op.x.shape == op.y.shape:
        low.values("elementwise:mul", op.out, {"x": op.x, "y": op.y})
        return
    low.new(op.out)
    width = op.x.shape[-1]
    low.step(
        "elementwise:mul_rows",
        {"x": op.x, "y": op.y},
        {"out": op.out},
        width=width,
        rows=_rows(op.out),
        per_row=op.x.width // width,
    )


def _scale(low: Lowering, op: ops.Scale) -> None:
    low.new(op.out)
    low.scale(op.x, op.out, op.weight, op.bias, op.factor)


def _activation(low: Lowering, op: ops.Activation) -> None:
    low.values(f"activations:map,{op.kind}", op.out, {"x": op.x})


def _glu(low: Lowering, op: ops.Glu) -> None:
    low.values(f"activations:glu,{op.kind}", op.out, {"gate": op.gate, "up": op.up})


def _softcap(low: Lowering, op: ops.Softcap) -> None:
    low.values("activations:softcap,tanh", op.out, {"x": op.x}, cap=op.cap)


def _clamp(low: Lowering, op: ops.Clamp) -> None:
    low.values("elementwise:clamp", op.out, {"x": op.x}, low=op.low, high=op.high)


def _reshape(low: Lowering, op: ops.Reshape) -> None:
    low.same(op.out, op.x)


def _slice(low: Lowering, op: ops.Slice) -> None:
    low.new(op.out)
    size, width = op.out.shape[-1], op.x.shape[-1]
    low.copy(op.x, op.out, size, first=op.first, from_row=width, to_row=size)


def _concat(low: Lowering, op: ops.Concat) -> None:
    low.new(op.out)
    first, second, width = op.x.shape[-1], op.y.shape[-1], op.out.shape[-1]
    low.copy(op.x, op.out, first, from_row=first, to_row=width)
    low.copy(op.y, op.out, second, from_row=second, to_row=width, to=first)


def _repeat(low: Lowering, op: ops.Repeat) -> None:
    low.new(op.out)
    dim = op.x.shape[-1]
    low.copy(op.x, op.out, dim, from_row=dim, to_row=dim, repeats=op.times, tiled=int(op.tiled))


def _top_experts(low: Lowering, op: ops.TopExperts) -> None:
    low.new(op.out)
    low.new(op.weights)
    n_expert = op.scores.width
    ranks = low.arena.take(4 * (2 * n_expert + op.n_group) * low.most)
    low.step(
        f"experts:{op.gating}",
        {"scores": op.scores},
        {"out": op.out, "weights": op.weights, "ranks": ranks},
        bias=low.vector(op.bias),
        factors=low.vector(op.factors),
        n_expert=n_expert,
        k=op.out.width,
        n_group=op.n_group,
        n_group_used=op.n_group_used,
        normalise=int(op.normalise),
        scale=op.scale,
        rows=_rows(op.out),
    )
    low.arena.give(ranks)


def _weighted_sum(low: Lowering, op: ops.WeightedSum) -> None:
    low.values(
        "elementwise:weighted_sum",
        op.out,
        {"x": op.x, "weights": op.weights},
        k=op.weights.width,
    )


def _convolution(low: Lowering, op: ops.Convolution) -> None:
    low.recurrence(
        "convolution",
        op,
        {"x": op.x},
        filters=low.vector(op.kernel.T),
        bias=low.vector(op.bias),
        width=op.x.width,
        taps=op.kernel.shape[1],
    )


def _token_shift(low: Lowering, op: ops.TokenShift) -> None:
    low.recurrence("token_shift", op, {"x": op.x}, width=op.x.width)


def _selective_scan(low: Lowering, op: ops.SelectiveScan) -> None:
    (n_head, dim), (n_group, n_state) = op.x.shape, op.b.shape
    low.recurrence(
        "selective_scan",
        op,
        {"x": op.x, "dt": op.dt, "b": op.b, "c": op.c},
        a=low.vector(op.a),
        d=low.vector(op.d),
        n_head=n_head,
        dim=dim,
        n_group=n_group,
        n_state=n_state,
        per_state=int(op.a.shape[1] > 1),
    )


def _delta_rule(low: Lowering, op: ops.DeltaRule) -> None:
    (n_head, key_dim), value_dim = op.q.shape, op.v.shape[1]
    low.recurrence(
        "delta_rule",
        op,
        {"q": op.q, "k": op.k, "v": op.v, "decay": op.decay, "beta": op.beta},
        n_head=n_head,
        key_dim=key_dim,
        value_dim=value_dim,
        per_key=int(op.decay.shape[1] > 1),
        scale=op.scale,
    )


def _wkv(low: Lowering, op: ops.Wkv) -> None:
    (n_head, key_dim), value_dim = op.r.shape, op.v.shape[1]
    low.recurrence(
        "wkv",
        op,
        {"r": op.r, "k": op.k, "v": op.v, "decay": op.decay, "a": op.a, "b": op.b},
        n_head=n_head,
        key_dim=key_dim,
        value_dim=value_dim,
        before=int(op.before),
    )


def _sum(low: Lowering, op: ops.Sum) -> None:
    low.new(op.out)
    width = op.x.shape[-1]
    low.step(
        "elementwise:sum_rows",
        {"x": op.x},
        {"out": op.out},
        width=width,
        rows=_rows(op.out),
        per_row=op.x.width // width,
    )


def _select_outputs(low: Lowering, op: ops.SelectOutputs) -> None:
    low.new(op.out)
    low.step(
        "elementwise:select_outputs",
        {"x": op.x},
        {"out": op.out},
        width=op.x.width,
        tokens=layout.RUN_TOKENS,
        outputs=layout.RUN_OUTPUTS,
    )


LOWER: dict[type[Op], Callable[[Lowering, Any], None]] = {
    Linear: _linear,
    ExpertLinear: _expert_linear,
    HeadLinear: _head_linear,
    ops.RmsNorm: _rms_norm,
    ops.LayerNorm: _layer_norm,
    ops.L2Norm: _l2_norm,
    Rope: _rope,
    ops.PositionScale: _position_scale,
    Attention: _attention,
    ops.Add: _add,
    ops.Mul: _mul,
    ops.Scale: _scale,
    ops.Activation: _activation,
    ops.Glu: _glu,
    ops.Softcap: _softcap,
    ops.Clamp: _clamp,
    ops.Reshape: _reshape,
    ops.Slice: _slice,
    ops.Concat: _concat,
    ops.Repeat: _repeat,
    ops.TopExperts: _top_experts,
    ops.WeightedSum: _weighted_sum,
    ops.Convolution: _convolution,
    ops.TokenShift: _token_shift,
    ops.SelectiveScan: _selective_scan,
    ops.DeltaRule: _delta_rule,
    ops.Wkv: _wkv,
    ops.Sum: _sum,
    ops.SelectOutputs: _select_outputs,
}


def steps_of(steps: list[Step], runs: Runs) -> list[Step]:
    """The steps that are there for a kind of runs."""
    return [step for step in steps if step.runs & runs]


def barriers(steps: list[Step]) -> list[int]:
    """1 for each step after which threads must meet, since the next one touches what it does."""
    needed, reads, writes = list[int](), list[Place](), list[Place]()
    for step in steps:
        clash = any(a.meets(b) for a in step.reads + step.writes for b in writes)
        clash = clash or any(a.meets(b) for a in step.writes for b in reads)
        if needed and clash:
            needed[-1] = 1
            reads, writes = [], []
        needed.append(0)
        reads += step.reads
        writes += step.writes
    return needed
