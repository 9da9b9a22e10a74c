"""From the ops of a plan to kernels, one after another, and the buffers between them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from vatra.engine.kernels.layout import PAGE
from vatra.engine.lowering.steps import MAX_OUTPUTS, MAX_TOKENS
from vatra.engine.offload.device import ALIGNMENT, Buffer, Groups, grid
from vatra.engine.offload.fusion import MOST_OUTS, Attention, Product, fused, read
from vatra.engine.offload.shaders import CODED, FORMATS, Constant
from vatra.engine.offload.weights import UNIT, Weights
from vatra.models import plan as ops
from vatra.models.plan import KVCache, Op, Plan, Tensor

Array = np.ndarray
LANES = PAGE  # of a workgroup: in attention each has a position of a page
FEW = 8  # tokens, up to which products are done vector by vector
AT_ONCE = (1, 2, 4, 8)  # tokens, for which rows of weights are read once
TILE = 8  # tokens that share keys and values where there are many: two vectors of four
SPAN = 512  # positions that one workgroup attends to where tokens are few
ENDLESS = 2**30  # positions: all
TABLE_ROOM = 2**18  # pages of all sequences of a run
_PIECE = 2048  # logits of a workgroup
_TILE = 32  # rows and tokens of a workgroup of `matmul`


class Sizes(NamedTuple):
    """Of a run."""

    n: int  # tokens
    n_outputs: int
    n_splits: int  # of attention
    n_tiles: int  # of attention: tokens that share a workgroup
    few: bool  # products are done vector by vector


class Side(NamedTuple):
    """The keys or values of a cache, wherever a run has them."""

    cache: KVCache
    values: bool


class Scratch(NamedTuple):
    """Buffers that grow with the context: `found` and `peaks` of attention, by name."""

    name: str


@dataclass(frozen=True, eq=False)
class Step:
    """One kernel, and how many workgroups of it: none in runs that go without."""

    kernel: str
    constants: Mapping[str, Constant]
    buffers: Mapping[int, Buffer | Side | Scratch]
    groups: Callable[[Sizes], Groups]


def objection(op: Op, most_binding: int) -> str | None:
    """Why a device cannot do `op`, in a few words; None if it can."""
    if isinstance(op, ops.Linear):
        weight = op.weight
        if weight.format.name not in FORMATS:
            return f"{weight.name} is {weight.format.name}, which has no kernel"
        if weight.width % UNIT:
            return f"{weight.name} has rows of {weight.width}, no multiple of {UNIT}"
        if weight.data.shape[1] * 64 > most_binding:
            return f"the rows of {weight.name} are too long for one binding"
    elif isinstance(op, ops.Attention):
        odd = op.cache.key_dim % 2 or op.cache.value_dim % 2
        new = (op.k is None, op.v is None)
        if type(op) is not ops.Attention or any(new) or op.cache.in_keys or not op.causal or odd:
            return "this kind of attention has no kernel"
        if op.biases is not None:
            return "attention with biases has no kernel"
    elif type(op) not in _LOWER:
        return f"{_words(type(op).__name__)} has no kernel"
    return None


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


class Lowering:
    """The ops `part` of a plan that go on from the tensor `given`, for up to MAX_TOKENS tokens.

    With `int8` the products of few tokens are of activations rounded to 8 bits, 32 of which share a
    scale, wherever a format has integer codes.
    """

    def __init__(
        self, weights: Weights, plan: Plan, part: Sequence[Op], given: Tensor, int8: bool
    ) -> None:
        self.device, self.plan, self.given = weights.device, plan, given
        self._weights, self._int8 = weights, int8
        device = self.device
        self.run = device.uniform(16)  # Run of `run.wgsl`
        self.tokens = device.empty(16 * MAX_TOKENS)  # see `paged.wgsl`
        self.tables = device.empty(4 * TABLE_ROOM)
        self.picked = device.empty(4 * MAX_TOKENS)  # the tokens whose logits are wanted
        self.angles: list[tuple[ops.Rope, Buffer]] = []  # cosines and sines of each kind of turn
        self.best = device.empty(8 * MAX_OUTPUTS)  # see `argmax.wgsl`
        self.attentions = [op for op in part if isinstance(op, ops.Attention)]
        self.buffers: dict[Tensor, Buffer] = {}
        self.steps: list[Step] = []
        self.n_hidden = 0  # steps up to `plan.hidden`
        self._free: dict[int, list[Buffer]] = defaultdict(list)
        self._held: dict[Tensor, list[Buffer]] = {}  # until the last use of a tensor
        self._root: dict[Tensor, Tensor] = {}  # whose values a tensor has in another shape
        self._codes: dict[Tensor, tuple[Buffer, Buffer]] = {}
        self._lower(fused(part, (plan.logits, plan.hidden, given), device.most_binding))
        self.choose = self._choose(plan.logits)

    def _choose(self, logits: Tensor) -> list[Step]:
        """What leaves the likeliest tokens in `best`: of pieces of the vocabulary, then of all."""
        pieces = -(-logits.width // _PIECE)
        peaks = self.device.empty(16 * MAX_OUTPUTS * pieces)
        constants = {"LANES": LANES, "WIDTH": logits.width, "PIECE": _PIECE, "PIECES": pieces}
        found = {0: self.run, 1: self.buffers[logits], 2: peaks}
        both = {0: self.run, 2: peaks, 4: self.best}
        return [
            Step("peaks", constants, found, lambda s: (pieces, s.n_outputs, 1)),
            Step("argmax", constants, both, lambda s: (s.n_outputs, 1, 1)),
        ]

    # ---- buffers

    def _lower(self, part: Sequence[Op]) -> None:
        """Make the steps; the buffer of a tensor is another's after its last use."""
        last: dict[Tensor, int] = {}
        home: dict[Tensor, Tensor] = {}  # the first of the tensors in the same buffer
        for i, op in enumerate(part):
            if isinstance(op, ops.Reshape):
                self._root[op.out] = self._root.get(op.x, op.x)
                home[op.out] = home.get(op.x, op.x)
            else:
                home |= dict.fromkeys(op.written, op.out)
            last |= {home.get(t, t): i for t in (*read(op), *op.written)}
        kept = {home.get(t, t) for t in (self.plan.logits, self.plan.hidden, self.given)}
        ended: dict[int, list[Tensor]] = defaultdict(list)
        for tensor, i in last.items():
            if tensor not in kept:
                ended[i].append(tensor)
        products = [op for op in part if isinstance(op, Product)]
        self._coded = {self._root.get(op.x, op.x) for op in products if self._is_coded(op)}
        self._home = home
        self._take(self.given)
        for i, op in enumerate(part):
            _LOWER[type(op)](self, op)
            if self.plan.hidden in op.written:
                self.n_hidden = len(self.steps)
            for tensor in ended[i]:
                for buffer in self._held.pop(tensor):
                    self._free[buffer.nbytes].append(buffer)

    def _take(self, *tensors: Tensor) -> Buffer:
        """One buffer for all, a part for each."""
        rows = self._most_rows(tensors[0])
        whole = self._buffer(4 * rows * sum(tensor.width for tensor in tensors))
        self._held[tensors[0]] = [whole]
        at = 0
        for tensor in tensors:
            self.buffers[tensor] = whole.part(at, 4 * rows * tensor.width)
            at += 4 * rows * tensor.width
        return whole

    def _most_rows(self, tensor: Tensor) -> int:
        return MAX_OUTPUTS if tensor is self.plan.logits else MAX_TOKENS

    def _buffer(self, nbytes: int) -> Buffer:
        """One that is free, or a new one."""
        free = self._free[-(-nbytes // ALIGNMENT) * ALIGNMENT]
        return free.pop() if free else self.device.empty(nbytes)

    def _optional(self, values: Array | None) -> Buffer:
        """`values`, or anything that may be bound in their place."""
        return self.tables if values is None else self._weights.vector(values)

    # ---- ops

    def _step(
        self,
        kernel: str,
        constants: Mapping[str, Constant],
        buffers: Mapping[int, Buffer | Side | Scratch],
        groups: Callable[[Sizes], Groups],
    ) -> None:
        whole = {"LANES": LANES, **constants}
        self.steps.append(Step(kernel, whole, {0: self.run, **buffers}, groups))

    def _map(self, value: str, op: Op, x: Buffer, y: Buffer, z: Buffer, **rest: Constant) -> None:
        """A step that makes each value of `op.out` by itself."""
        self._each(op, {"value": value, **rest}, {1: x, 2: y, 3: z})

    def _each(
        self, op: Op, constants: Mapping[str, Constant], buffers: Mapping[int, Buffer]
    ) -> None:
        width, outputs = op.out.width, op.out.outputs_only
        self._step(
            "map",
            {**constants, "WIDTH": width, "OUTPUTS_ONLY": outputs},
            {**buffers, 4: self._take(op.out)},
            lambda s: grid(-(-rows_of(s, outputs) * width // LANES)),
        )

    def product(self, op: Product) -> None:
        """Vector by vector for few tokens, tiles of the product for others."""
        outputs, coded = op.out.outputs_only, self._is_coded(op)
        ends = np.cumsum([tensor.width for tensor in op.outs]).tolist()
        common: dict[str, Constant] = {
            "OUTPUTS_ONLY": outputs,
            "MAX_TOKENS": self._most_rows(op.out),
            "ENDS": tuple(ends + ends[-1:] * (MOST_OUTS - len(ends))),
            "BIAS": op.bias is not None,
            "RESIDUAL": op.residual is not None,
            "GATED": len(op.weights) > len(op.outs),
            "activation": op.activation or "none",
        }
        y = self._take(*op.outs)
        other = self.tables if op.residual is None else self.buffers[op.residual]
        buffers = {4: y, 5: self._optional(op.bias), 6: other}
        exact = rounded = {3: self.buffers[op.x]}
        if coded:
            codes, scales = self._codes_of(op.x)
            rounded = {3: codes, 7: scales}
        for constants, rows, data in self._weights.matrix(*op.weights):
            constants, at = common | constants, buffers | {1: data, 2: data}

            def many(s: Sizes, rows: int = rows) -> Groups:
                n = 0 if s.few else rows_of(s, outputs)
                return grid(-(-rows // _TILE), -(-n // _TILE))

            self._step("matmul", constants, at | exact, many)
            for together in AT_ONCE:

                def few(s: Sizes, rows: int = rows, together: int = together) -> Groups:
                    n = rows_of(s, outputs) if s.few else 0
                    fits = together == next((t for t in AT_ONCE if t >= n), AT_ONCE[-1])
                    return grid(-(-rows // 4), -(-n // together) if fits else 0)

                more: dict[str, Constant] = {"TOKENS": together, "int8": coded}
                self._step("matvec", constants | more, at | rounded, few)

    def _is_coded(self, op: Product) -> bool:
        return self._int8 and op.weights[0].format.name in CODED

    def _rounded(self, out: Tensor, row: int) -> tuple[dict[str, Constant], dict[int, Buffer]]:
        """Constants and buffers of a kernel that has `out`, and may leave its rows rounded."""
        if out in self._coded and row % UNIT == 0:
            codes, scales = self._codes_for(out)
            return {"rounded": True}, {11: codes, 12: scales}
        return {"rounded": False}, {}

    def _codes_for(self, x: Tensor) -> tuple[Buffer, Buffer]:
        """Room for `x` rounded to 8 bits, and for scales, as `rounded.wgsl` leaves them."""
        units = MAX_TOKENS * x.width // UNIT
        self._codes[x] = made = self._buffer(UNIT * units), self._buffer(16 * units)
        self._held[self._home.get(x, x)] += made
        return made

    def _codes_of(self, x: Tensor) -> tuple[Buffer, Buffer]:
        """`x` rounded to 8 bits, by the kernel that makes it or by one of its own."""
        x = self._root.get(x, x)
        if x not in self._codes:
            units, outputs = x.width // UNIT, x.outputs_only
            codes, scales = self._codes_for(x)
            constants: dict[str, Constant] = {
                "rounded": True,
                "UNITS": units,
                "OUTPUTS_ONLY": outputs,
            }

            def groups(s: Sizes) -> Groups:
                return grid(-(-rows_of(s, outputs) * units // LANES) if s.few else 0)

            buffers = {1: self.buffers[x], 11: codes, 12: scales}
            self._step("quantize", constants, buffers, groups)
        return self._codes[x]

    def norm(self, op: ops.RmsNorm | ops.LayerNorm | ops.L2Norm) -> None:
        """A workgroup for each row of the last axis."""
        width, last, outputs = op.out.width, op.out.shape[-1], op.out.outputs_only
        weight, bias = getattr(op, "weight", None), getattr(op, "bias", None)
        weight = np.ones(last) if weight is None else weight
        bias = np.zeros(weight.shape) if bias is None else bias
        weight = np.broadcast_to(weight, np.broadcast_shapes(weight.shape, bias.shape))
        bias = np.broadcast_to(bias, weight.shape)
        y = self._take(op.out)
        rounded, codes = self._rounded(op.out, last if last == width else 1)
        constants: dict[str, Constant] = {
            "LAST": last,
            "PARTS": width // last,
            "OUTPUTS_ONLY": outputs,
            "PERIOD": int(weight.size),
            "EPS": float(op.eps),
            "CENTRED": isinstance(op, ops.LayerNorm),
            "OF_SUM": isinstance(op, ops.L2Norm),
        }
        vectors = self._weights.vector(weight), self._weights.vector(bias)
        buffers = {1: self.buffers[op.x], 2: vectors[0], 3: vectors[1], 4: y}
        self._step(
            "norm",
            constants | rounded,
            buffers | codes,
            lambda s: grid(rows_of(s, outputs) * (width // last)),
        )

    def rope(self, op: ops.Rope) -> None:
        """By cosines and sines that come with the run."""
        constants, angles = self._turned(op, op.x)
        x = self.buffers[op.x]
        self._each(op, constants, {1: x, 2: x, 3: x} | angles)

    def _turned(
        self, op: ops.Rope | None, x: Tensor
    ) -> tuple[dict[str, Constant], dict[int, Buffer]]:
        """Constants and buffers of a kernel that reads `x` as `op` turns it."""
        if op is None:
            return {"value": "same", "WIDTH": x.width}, {}
        pairs = len(op.frequencies)
        for other, found in self.angles:
            same = np.array_equal(other.frequencies, op.frequencies)
            if same and other.magnitude == op.magnitude:
                angles = found
                break
        else:
            angles = self.device.empty(8 * MAX_TOKENS * pairs)
            self.angles.append((op, angles))
        constants: dict[str, Constant] = {
            "value": "rope",
            "WIDTH": x.width,
            "DIM": x.shape[-1],
            "FIRST": op.first,
            "PAIRS": pairs,
            "INTERLEAVED": op.interleaved,
        }
        return constants, {9: angles}

    def attention(self, op: Attention) -> None:
        """Keys and values to their pages, pieces of the context, and those together."""
        assert op.k is not None and op.v is not None
        cache, heads = op.cache, op.q.shape[0]
        keys, values = Side(cache, False), Side(cache, True)
        kv_pairs = (cache.key_dim + cache.value_dim) // 2 * cache.n_head_kv
        constants: dict[str, Constant] = {
            "PAGE": PAGE,
            "KV_HEADS": cache.n_head_kv,
            "KEY_PAIRS": cache.key_dim // 2,
            "VALUE_PAIRS": cache.value_dim // 2,
        }
        paged: dict[int, Buffer | Side | Scratch] = {2: self.tables, 10: self.tokens}
        paged |= {4: keys, 5: values}
        turn, angles = self._turned(op.turn_k, op.k)
        new = {1: self.buffers[op.k], 3: self.buffers[op.v]}
        self._step(
            "append",
            constants | turn,
            paged | new | angles,
            lambda s: grid(-(-s.n * kv_pairs // LANES)),
        )
        y = self._take(op.out)
        rounded, codes = self._rounded(op.out, cache.value_dim)
        merged: dict[str, Constant] = {"HEADS": heads, "SINKS": op.sinks is not None, **rounded}
        scratch: dict[int, Buffer | Side | Scratch] = {6: Scratch("found"), 7: Scratch("peaks")}
        scratch |= {3: self._optional(op.sinks), 13: y, **codes}
        turn, angles = self._turned(op.turn_q, op.q)
        options: dict[str, Constant] = {
            "SCALE": float(op.scale),
            "SOFTCAP": float(op.softcap or 0),
            "WINDOW": cache.window or 0,
            "CHUNK": op.chunk or 0,
            "SLOPES": op.slopes is not None,
        }
        at = paged | scratch | {1: self.buffers[op.q], 8: self._optional(op.slopes)} | angles
        for one in (True, False):
            size = {"SPAN": SPAN, "GROUPS": 1} if one else {"SPAN": ENDLESS, "GROUPS": TILE // 4}

            def tiles(s: Sizes, one: bool = one) -> Groups:
                return heads, s.n_splits, s.n_tiles if s.few == one else 0

            self._step(
                "attend", constants | merged | turn | options | size | {"one": one}, at, tiles
            )
        vectors = {"VALUE_PAIRS": cache.value_dim // 2}
        self._step("merge", merged | vectors, scratch, lambda s: (heads, int(s.n_splits > 1), s.n))

    def add(self, op: ops.Add) -> None:
        x, y = self.buffers[op.x], self.buffers[op.y]
        self._map("add", op, x, y, x)

    def mul(self, op: ops.Mul) -> None:
        x, y = self.buffers[op.x], self.buffers[op.y]
        self._map("mul", op, x, y, x, EACH=op.x.width // op.y.width)

    def scale(self, op: ops.Scale) -> None:
        ones, zeros = np.ones(1), np.zeros(1)
        weight, bias = (
            ones if op.weight is None else op.weight,
            zeros if op.bias is None else op.bias,
        )
        shape = np.broadcast_shapes(weight.shape, bias.shape)
        vectors = [self._weights.vector(np.broadcast_to(v, shape)) for v in (weight, bias)]
        period = int(np.prod(shape))
        x = self.buffers[op.x]
        self._map("scale", op, x, *vectors, FACTOR=float(op.factor), PERIOD=period)

    def activation(self, op: ops.Activation) -> None:
        x = self.buffers[op.x]
        self._map("activation", op, x, x, x, activation=op.kind)

    def glu(self, op: ops.Glu) -> None:
        gate, up = self.buffers[op.gate], self.buffers[op.up]
        self._map("glu", op, gate, up, up, activation=op.kind)

    def softcap(self, op: ops.Softcap) -> None:
        x = self.buffers[op.x]
        self._map("softcap", op, x, x, x, CAP=float(op.cap))

    def clamp(self, op: ops.Clamp) -> None:
        x = self.buffers[op.x]
        self._map("clamp", op, x, x, x, LOWEST=float(op.low), HIGHEST=float(op.high))

    def reshape(self, op: ops.Reshape) -> None:
        self.buffers[op.out] = self.buffers[op.x]

    def slice(self, op: ops.Slice) -> None:
        x, last = self.buffers[op.x], op.out.shape[-1]
        self._map("slice", op, x, x, x, OF=op.x.shape[-1], FIRST=op.first, WANTED=last)

    def total(self, op: ops.Sum) -> None:
        x = self.buffers[op.x]
        self._map("total", op, x, x, x, OF=op.x.shape[-1])

    def concat(self, op: ops.Concat) -> None:
        x, y = self.buffers[op.x], self.buffers[op.y]
        self._map("concat", op, x, y, x, LEFT=op.x.shape[-1], RIGHT=op.y.shape[-1])

    def repeat(self, op: ops.Repeat) -> None:
        x, (n, dim) = self.buffers[op.x], op.x.shape
        self._map("repeat", op, x, x, x, N=n, DIM=dim, TIMES=op.times, TILED=op.tiled)

    def select(self, op: ops.SelectOutputs) -> None:
        x = self.buffers[op.x]
        self._map("select", op, x, self.picked, x)


def rows_of(sizes: Sizes, outputs_only: bool) -> int:
    """Rows that a tensor has in a run."""
    return sizes.n_outputs if outputs_only else sizes.n


_LOWER: dict[type[Op], Callable[[Lowering, Any], None]] = {
    Product: Lowering.product,
    ops.RmsNorm: Lowering.norm,
    ops.LayerNorm: Lowering.norm,
    ops.L2Norm: Lowering.norm,
    ops.Sum: Lowering.total,
    ops.Rope: Lowering.rope,
    Attention: Lowering.attention,
    ops.Add: Lowering.add,
    ops.Mul: Lowering.mul,
    ops.Scale: Lowering.scale,
    ops.Activation: Lowering.activation,
    ops.Glu: Lowering.glu,
    ops.Softcap: Lowering.softcap,
    ops.Clamp: Lowering.clamp,
    ops.Reshape: Lowering.reshape,
    ops.Slice: Lowering.slice,
    ops.Concat: Lowering.concat,
    ops.Repeat: Lowering.repeat,
    ops.SelectOutputs: Lowering.select,
}
