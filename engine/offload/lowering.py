"""From the ops of a plan to kernels, one after another, and the buffers between them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vatra.engine.kernels.layout import PAGE
from vatra.engine.lowering.steps import MAX_OUTPUTS, MAX_TOKENS
from vatra.engine.offload.device import ALIGNMENT, Buffer, Groups, Kernel, grid
from vatra.engine.offload.shaders import CODED, FORMATS, Constant
from vatra.engine.offload.weights import UNIT, Weights
from vatra.models import plan as ops
from vatra.models.plan import KVCache, Op, Plan, Tensor

Array = np.ndarray
LANES = PAGE  # of a workgroup: in attention each has a position of a page
FEW = 8  # tokens, up to which products are done vector by vector
SPAN = 512  # positions that one workgroup attends to where tokens are few
ENDLESS = 2**30  # positions: all
TABLE_ROOM = 2**18  # pages of all sequences of a run
_TILE = 32  # rows and tokens of a workgroup of `matmul`


class Sizes(NamedTuple):
    """Of a run."""

    n: int  # tokens
    n_outputs: int
    n_splits: int  # of attention


class Side(NamedTuple):
    """The keys or values of a cache, wherever a run has them."""

    cache: KVCache
    values: bool


class Scratch(NamedTuple):
    """Buffers that grow with the context: `found` and `peaks` of attention, by name."""

    name: str


class Step(NamedTuple):
    """One kernel, and how many workgroups of it."""

    kernel: Kernel
    buffers: Mapping[int, Buffer | Side | Scratch]
    groups: Callable[[Sizes], Groups]
    few: bool | None = None  # if not None: only in runs of few tokens, or only in others


def objection(op: Op, most_binding: int) -> str | None:
    """Why a device cannot do `op`, in a few words; None if it can."""
    if type(op) not in _LOWER:
        return f"{_words(type(op).__name__)} has no kernel"
    if isinstance(op, ops.Linear):
        weight = op.weight
        if weight.format.name not in FORMATS:
            return f"{weight.name} is {weight.format.name}, which has no kernel"
        if weight.width % UNIT:
            return f"{weight.name} has rows of {weight.width}, no multiple of {UNIT}"
        if weight.data.shape[1] * 64 > most_binding:
            return f"the rows of {weight.name} are too long for one binding"
    if isinstance(op, ops.Attention):
        odd = op.cache.key_dim % 2 or op.cache.value_dim % 2
        new = (op.k is None, op.v is None)
        if type(op) is not ops.Attention or any(new) or op.cache.in_keys or not op.causal or odd:
            return "this kind of attention has no kernel"
        if op.biases is not None:
            return "attention with biases has no kernel"
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
        self.tokens = device.empty(8 * MAX_TOKENS)  # position, and first of the pages in `tables`
        self.tables = device.empty(4 * TABLE_ROOM)
        self.picked = device.empty(4 * MAX_TOKENS)  # the tokens whose logits are wanted
        self.angles: list[tuple[ops.Rope, Buffer]] = []  # cosines and sines of each kind of turn
        self.best = device.empty(4 * MAX_OUTPUTS)
        self.attentions = [op for op in part if isinstance(op, ops.Attention)]
        self.buffers: dict[Tensor, Buffer] = {}
        self.steps: list[Step] = []
        self.n_hidden = 0  # steps up to `plan.hidden`
        self._free: dict[int, list[Buffer]] = defaultdict(list)
        self._root: dict[Tensor, Tensor] = {}
        self._coded: dict[Tensor, tuple[Buffer, Buffer]] = {}
        self._lower(part)
        kernel = device.kernel("argmax", LANES=LANES, WIDTH=plan.logits.width)
        buffers = {0: self.run, 1: self.buffers[plan.logits], 4: self.best}
        self.choose = Step(kernel, buffers, lambda s: (s.n_outputs, 1, 1))

    # ---- buffers

    def _lower(self, part: Sequence[Op]) -> None:
        """Make the steps; the buffer of a tensor is another's after its last use."""
        last: dict[Tensor, int] = {}
        for i, op in enumerate(part):
            read = [t for t in vars(op).values() if isinstance(t, Tensor) and t is not op.out]
            if isinstance(op, ops.Reshape):
                self._root[op.out] = self._root.get(op.x, op.x)
            last.update((self._root.get(t, t), i) for t in (*read, op.out))
        kept = {self._root.get(t, t) for t in (self.plan.logits, self.plan.hidden, self.given)}
        ended: dict[int, list[Tensor]] = defaultdict(list)
        for tensor, i in last.items():
            if tensor not in kept:
                ended[i].append(tensor)
        self._take(self.given)
        for i, op in enumerate(part):
            _LOWER[type(op)](self, op)
            if op.out is self.plan.hidden:
                self.n_hidden = len(self.steps)
            for tensor in ended[i]:
                for buffer in (self.buffers[tensor], *self._coded.pop(tensor, ())):
                    self._free[buffer.nbytes].append(buffer)

    def _take(self, tensor: Tensor) -> Buffer:
        rows = MAX_OUTPUTS if tensor is self.plan.logits else MAX_TOKENS
        self.buffers[tensor] = self._buffer(4 * rows * tensor.width)
        return self.buffers[tensor]

    def _buffer(self, nbytes: int) -> Buffer:
        """One that is free, or a new one."""
        free = self._free[-(-nbytes // ALIGNMENT) * ALIGNMENT]
        return free.pop() if free else self.device.empty(nbytes)

    # ---- ops

    def _map(self, name: str, op: Op, x: Buffer, y: Buffer, z: Buffer, **rest: Constant) -> None:
        """A step that makes each value of `op.out`."""
        width, outputs = op.out.width, op.out.outputs_only
        kernel = self.device.kernel(
            "map", value=name, LANES=LANES, WIDTH=width, OUTPUTS_ONLY=outputs, **rest
        )
        buffers = {0: self.run, 1: x, 2: y, 3: z, 4: self._take(op.out)}
        self.steps.append(
            Step(kernel, buffers, lambda s: grid(-(-rows_of(s, outputs) * width // LANES)))
        )

    def linear(self, op: ops.Linear) -> None:
        """Matrix-vector for few tokens, tiles of the product for others."""
        device, weight, outputs = self.device, op.weight, op.out.outputs_only
        x, y = self.buffers[op.x], self._take(op.out)
        bias = y if op.bias is None else self._weights.vector(op.bias)
        coded = self._int8 and weight.format.name in CODED
        for constants, rows, data in self._weights.matrix(weight):
            rest: dict[str, Constant] = {"WIDTH": op.out.width, "bias": op.bias is not None}
            rest |= constants
            both: dict[int, Buffer] = {0: self.run, 1: data, 2: data, 3: x, 4: y}
            if op.bias is not None:
                both[5] = bias

            def many(s: Sizes, rows: int = rows) -> Groups:
                return grid(-(-rows // _TILE), -(-rows_of(s, outputs) // _TILE))

            def few(s: Sizes, rows: int = rows) -> Groups:
                return grid(-(-rows // 4), rows_of(s, outputs))

            tiles = device.kernel("matmul", OUTPUTS_ONLY=outputs, **rest)
            self.steps.append(Step(tiles, both, many, False))
            name = "matvec_int8" if coded else "matvec"
            if coded:
                codes, scales = self._codes_of(op.x)
                both = both | {3: codes, 6: scales}
            self.steps.append(Step(device.kernel(name, LANES=LANES, **rest), both, few, True))

    def _codes_of(self, x: Tensor) -> tuple[Buffer, Buffer]:
        """`x` rounded to 8 bits, and scales, as `quantize` leaves them."""
        x = self._root.get(x, x)
        if x not in self._coded:
            units, outputs = x.width // UNIT, x.outputs_only
            made = self._buffer(UNIT * MAX_TOKENS * units), self._buffer(16 * MAX_TOKENS * units)
            kernel = self.device.kernel("quantize", LANES=LANES, UNITS=units, OUTPUTS_ONLY=outputs)
            buffers = {0: self.run, 1: self.buffers[x], 2: made[0], 3: made[1]}
            self.steps.append(
                Step(
                    kernel,
                    buffers,
                    lambda s: grid(-(-rows_of(s, outputs) * units // LANES)),
                    True,
                )
            )
            self._coded[x] = made
        return self._coded[x]

    def norm(self, op: ops.RmsNorm | ops.LayerNorm | ops.L2Norm) -> None:
        """A workgroup for each row of the last axis."""
        width, last, outputs = op.out.width, op.out.shape[-1], op.out.outputs_only
        weight, bias = getattr(op, "weight", None), getattr(op, "bias", None)
        weight = np.ones(last) if weight is None else weight
        bias = np.zeros(weight.shape) if bias is None else bias
        weight = np.broadcast_to(weight, np.broadcast_shapes(weight.shape, bias.shape))
        bias = np.broadcast_to(bias, weight.shape)
        kernel = self.device.kernel(
            "norm",
            LANES=LANES,
            LAST=last,
            PERIOD=int(weight.size),
            EPS=float(op.eps),
            CENTRED=isinstance(op, ops.LayerNorm),
            OF_SUM=isinstance(op, ops.L2Norm),
        )
        vectors = self._weights.vector(weight), self._weights.vector(bias)
        x = self.buffers[op.x]
        buffers = {0: self.run, 1: x, 2: vectors[0], 3: vectors[1], 4: self._take(op.out)}
        self.steps.append(
            Step(kernel, buffers, lambda s: grid(rows_of(s, outputs) * (width // last)))
        )

    def rope(self, op: ops.Rope) -> None:
        """By cosines and sines that come with the run."""
        pairs = len(op.frequencies)
        for other, found in self.angles:
            same = np.array_equal(other.frequencies, op.frequencies)
            if same and other.magnitude == op.magnitude:
                angles = found
                break
        else:
            angles = self.device.empty(8 * MAX_TOKENS * pairs)
            self.angles.append((op, angles))
        x = self.buffers[op.x]
        self._map(
            "rope",
            op,
            x,
            angles,
            x,
            DIM=op.x.shape[-1],
            FIRST=op.first,
            PAIRS=pairs,
            INTERLEAVED=op.interleaved,
        )

    def attention(self, op: ops.Attention) -> None:
        """Keys and values to their pages, pieces of the context, and those together."""
        assert op.k is not None and op.v is not None
        device, cache, heads = self.device, op.cache, op.q.shape[0]
        for new, values in ((op.k, False), (op.v, True)):
            pairs = new.width // 2
            kernel = device.kernel(
                "append",
                LANES=LANES,
                PAGE=PAGE,
                KV_HEADS=cache.n_head_kv,
                PAIRS=pairs // cache.n_head_kv,
            )
            at: dict[int, Buffer | Side | Scratch] = {0: self.run, 1: self.buffers[new]}
            at |= {2: self.tokens, 3: self.tables, 4: Side(cache, values)}

            def words(s: Sizes, pairs: int = pairs) -> Groups:
                return grid(-(-s.n * pairs // LANES))

            self.steps.append(Step(kernel, at, words))
        for few, span in ((True, SPAN), (False, ENDLESS)):
            kernel = device.kernel(
                "attend",
                LANES=LANES,
                PAGE=PAGE,
                KV_HEADS=cache.n_head_kv,
                HEADS=heads,
                KEY_PAIRS=cache.key_dim // 2,
                VALUE_PAIRS=cache.value_dim // 2,
                SPAN=span,
                SCALE=float(op.scale),
                SOFTCAP=float(op.softcap or 0),
                WINDOW=cache.window or 0,
                CHUNK=op.chunk or 0,
                SLOPES=op.slopes is not None,
            )
            at = {0: self.run, 1: self.buffers[op.q], 2: self.tokens, 3: self.tables}
            at |= {4: Side(cache, False), 5: Side(cache, True)}
            at |= {6: Scratch("found"), 7: Scratch("peaks"), 8: self._optional(op.slopes)}
            self.steps.append(Step(kernel, at, lambda s: (heads, s.n_splits, s.n), few))
        pairs = cache.value_dim // 2
        kernel = device.kernel(
            "merge", LANES=LANES, HEADS=heads, VALUE_PAIRS=pairs, SINKS=op.sinks is not None
        )
        at = {0: self.run, 1: Scratch("found"), 2: Scratch("peaks")}
        at |= {3: self._optional(op.sinks), 4: self._take(op.out)}
        self.steps.append(Step(kernel, at, lambda s: grid(-(-s.n * heads * pairs // LANES))))

    def _optional(self, values: Array | None) -> Buffer:
        """`values`, or anything that may be bound in their place."""
        return self.tables if values is None else self._weights.vector(values)

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
    ops.Linear: Lowering.linear,
    ops.RmsNorm: Lowering.norm,
    ops.LayerNorm: Lowering.norm,
    ops.L2Norm: Lowering.norm,
    ops.Sum: Lowering.total,
    ops.Rope: Lowering.rope,
    ops.Attention: Lowering.attention,
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
