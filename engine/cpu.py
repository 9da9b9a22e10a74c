"""The CPU executor: a plan becomes a table of ops that all threads walk in machine code.

Every activation gets a place in one arena, which is used again as soon as its last reader is done.
Embedding rows and the sines of positions are written by numpy before the walk.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from vatra.choices import Choice
from vatra.engine import jit
from vatra.engine.cpu_features import processor
from vatra.engine.executor import KVType, Outputs, State, checked
from vatra.engine.kernels import layout
from vatra.engine.kernels.layout import FAST, FLOATS, OP_BARRIER, OP_WORDS, PART
from vatra.engine.threads import Pool, op_row, thread_count
from vatra.engine.weights import Memory, Placed, place
from vatra.models.plan import (
    Add,
    Attention,
    Embed,
    ExpertLinear,
    KVCache,
    Linear,
    Op,
    Plan,
    RmsNorm,
    Rope,
    SelectOutputs,
    SiluMul,
    Tensor,
    TopExperts,
    WeightedSum,
)
from vatra.quant.tensor import QTensor

Array = np.ndarray
MAX_TOKENS = 256  # tokens of one walk: enough to keep the tiles full, few enough for the cache
MAX_OUTPUTS = 32  # tokens of one walk whose logits are all kept
FLOAT_TILE = 4  # tokens of a tile of `matmul_float`
CHUNKS_PER_THREAD = 8  # pieces that a matrix is handed out in: uneven threads share the rest


@dataclass(eq=False)
class CpuState(State):
    """Keys and values in the order that the `attention` kernel reads; zeros where nothing is yet."""

    def __post_init__(self) -> None:
        self.padded = -(-self.n_ctx // layout.STEP) * layout.STEP
        super().__post_init__()

    def shapes(self, cache: KVCache) -> tuple[tuple[int, ...], tuple[int, ...]]:
        keys = (cache.n_head_kv, self.padded // layout.ROWS, cache.key_dim, layout.ROWS)
        return keys, (cache.n_head_kv, self.padded, -(-cache.value_dim // 16) * 16)

    table: Array = field(init=False, repr=False)


@dataclass(frozen=True)
class Place:
    """Bytes of the arena; what two ops must not touch at once."""

    start: int
    size: int

    def meets(self, other: Place) -> bool:
        return self.start < other.start + other.size and other.start < self.start + self.size


@dataclass
class Arena:
    """Hands out places by first fit, and takes them back; counts what that needs at the most."""

    free: list[Place] = field(default_factory=list)
    size: int = 0

    def take(self, size: int) -> Place:
        size = -(-size // 64) * 64
        for i, hole in enumerate(self.free):
            if hole.size >= size:
                rest = Place(hole.start + size, hole.size - size)
                self.free[i : i + 1] = [rest] if rest.size else []
                return Place(hole.start, size)
        self.size += size
        return Place(self.size - size, size)

    def give(self, place: Place) -> None:
        holes = sorted([*self.free, place], key=lambda hole: hole.start)
        self.free = []
        for hole in holes:
            if self.free and self.free[-1].start + self.free[-1].size == hole.start:
                hole = Place(self.free[-1].start, self.free.pop().size + hole.size)
            self.free.append(hole)


@dataclass
class Step:
    """One row of the table before addresses are known: places stand for them."""

    kernel: str
    arguments: dict[str, Any]
    reads: list[Place]
    writes: list[Place]
    caches: dict[str, tuple[str, int]] = field(default_factory=dict)  # argument -> (side, cache)


class Lowering:
    """Turns a plan's ops into steps, op by op."""

    def __init__(self, plan: Plan, n_threads: int, placed: Callable[[QTensor], Placed]) -> None:
        self.plan, self.n_threads, self.placed = plan, n_threads, placed
        self.tile = processor().tokens_per_tile
        self.arena = Arena()
        self.steps: list[Step] = []
        self.embeds: list[tuple[Embed, Place]] = []
        self.angles: dict[int, tuple[Rope, Place]] = {}  # by the identity of the frequencies
        self.kept: list[Array] = []  # float32 vectors whose addresses are in the table
        self._places: dict[Tensor, Place] = {}
        self._operands: dict[tuple[Tensor, tuple[int, int]], tuple[Place, Place, Place]] = {}
        uses = {t: i for i, op in enumerate(plan.ops) for t in _tensors(op)}
        for i, op in enumerate(plan.ops):
            if not isinstance(op, Embed | Rope):
                continue
            # what numpy writes is there before the walk: no other op may use its place first
            if isinstance(op, Rope) and id(op.frequencies) not in self.angles:
                size = MAX_TOKENS * 8 * len(op.frequencies)
                self.angles[id(op.frequencies)] = (op, self.arena.take(size))
            if isinstance(op, Embed):
                self.embeds.append((op, self._new(op.out)))
        self.n_host = len(self.steps)
        for i, op in enumerate(plan.ops):
            if not isinstance(op, Embed):
                LOWER[type(op)](self, op)
            for tensor in [t for t, last in uses.items() if last == i and t is not plan.logits]:
                self._drop(tensor)

    # -- places --

    def _new(self, tensor: Tensor) -> Place:
        rows = MAX_OUTPUTS if tensor.outputs_only else MAX_TOKENS
        place = self._places[tensor] = self.arena.take(4 * tensor.width * (rows + self.tile) + 64)
        return place

    def _drop(self, tensor: Tensor) -> None:
        self.arena.give(self._places.pop(tensor))
        for key in [key for key in self._operands if key[0] is tensor]:
            for place in self._operands.pop(key):
                self.arena.give(place)

    def place_of(self, tensor: Tensor) -> Place:
        return self._places[tensor]

    # -- steps --

    def step(
        self,
        kernel: str,
        reads: dict[str, Tensor | Place],
        writes: dict[str, Tensor | Place],
        caches: dict[str, tuple[str, int]] | None = None,
        **arguments: Any,
    ) -> None:
        """Add a step; `reads` and `writes` are arguments that are tensors or places."""

        def places(of: dict[str, Tensor | Place]) -> dict[str, Place]:
            return {
                name: self._places[t] if isinstance(t, Tensor) else t for name, t in of.items()
            }

        read, written = places(reads), places(writes)
        self.steps.append(
            Step(
                kernel,
                {**read, **written, **arguments},
                list(read.values()),
                list(written.values()),
                caches or {},
            )
        )

    def vector(self, values: Array | None) -> int:
        """The address of float32 values that stay where they are; 0 for None."""
        if values is None:
            return 0
        kept = np.ascontiguousarray(values, np.float32)
        self.kept.append(kept)
        return kept.ctypes.data

    def operand(self, x: Tensor, width: int, wanted: layout.Operand) -> tuple[Place, Place, Place]:
        """`x` as signed bytes, scales and sums for one kind of weights; made once for all of them."""
        key = (x, tuple(wanted))
        if key not in self._operands:
            per_row = x.width // width
            n_rows = (MAX_OUTPUTS if x.outputs_only else MAX_TOKENS) * per_row + self.tile
            blocks = n_rows * (width // PART)
            made = tuple(self.arena.take(blocks * n) for n in (PART, 4, 4 * wanted.spans))
            self._operands[key] = made  # type: ignore[assignment]
            self.step(
                "quantize:",
                {"x": x},
                dict(zip(("out", "scale", "sums"), made, strict=True)),
                width=width,
                spans=wanted.spans,
                zero=wanted.zero,
                tile=self.tile,
                rows=_rows(x),
                per_row=per_row,
            )
        return self._operands[key]

    def product(self, op: Linear | ExpertLinear, **more: Any) -> None:
        """A matrix product: by bytes or by floats, for one matrix or for chosen ones."""
        weight = self.placed(op.weight)
        experts = isinstance(op, ExpertLinear)
        reads: dict[str, Tensor | Place] = {"chosen": op.experts} if isinstance(op, ExpertLinear) else {}
        shape = {"n_out": weight.n_out, "bias": self.vector(op.bias), "rows": _rows(op.out)}
        if weight.operand:
            x, scale, sums = self.operand(op.x, weight.n_in, weight.operand)
            self._new(op.out)
            groups = -(-weight.n_out // layout.ROWS)
            self.step(
                f"matmul:{weight.format},{0 if experts else self.tile}",
                {"x": x, "x_scale": scale, "x_sum": sums, **reads},
                {"out": op.out},
                w=weight.address,
                spans=weight.operand.spans,
                tile=self.tile,
                n_blocks=weight.n_blocks,
                chunk=self.chunk(groups),
                **shape,
                **more,
            )
        else:
            self._new(op.out)
            self.step(
                f"matmul_float:{weight.format},{0 if experts else FLOAT_TILE}",
                {"x": op.x, **reads},
                {"out": op.out},
                w=weight.address,
                n_in=weight.n_in,
                chunk=self.chunk(-(-weight.n_out // 4)),
                **shape,
                **more,
            )

    def chunk(self, groups: int) -> int:
        return max(1, groups // (self.n_threads * CHUNKS_PER_THREAD))


def _tensors(op: Op) -> list[Tensor]:
    """Every tensor an op reads or writes."""
    values = [getattr(op, f.name) for f in fields(op)]
    return [v for v in values if isinstance(v, Tensor)]


def _rows(tensor: Tensor) -> int:
    """The word of the run block that counts the rows of a tensor."""
    return layout.RUN_OUTPUTS if tensor.outputs_only else layout.RUN_TOKENS


# ---- one function per op ------------------------------------------------------------------------


def _linear(low: Lowering, op: Linear) -> None:
    low.product(op)


def _expert_linear(low: Lowering, op: ExpertLinear) -> None:
    k = op.experts.width
    low.product(op, k=k, shared_x=int(op.x.width == op.weight.width))


def _rms_norm(low: Lowering, op: RmsNorm) -> None:
    low._new(op.out)
    width = op.x.shape[-1]
    low.step(
        "elementwise:rms_norm",
        {"x": op.x},
        {"out": op.out},
        weight=low.vector(op.weight),
        width=width,
        rows=_rows(op.x),
        per_row=op.x.width // width,
        eps=op.eps,
    )


def _rope(low: Lowering, op: Rope) -> None:
    low._new(op.out)
    n_head, head_dim = op.x.shape
    low.step(
        "elementwise:rope",
        {"x": op.x, "angles": low.angles[id(op.frequencies)][1]},
        {"out": op.out},
        n_head=n_head,
        head_dim=head_dim,
        half=len(op.frequencies),
        interleaved=int(op.interleaved),
        rows=_rows(op.x),
    )


def _attention(low: Lowering, op: Attention) -> None:
    cache = low.plan.caches.index(op.cache)
    (n_head, key_dim), (n_head_kv, value_dim) = op.q.shape, op.v.shape
    # the cache itself, as a place below the arena, so that `attend` waits for `store`
    memory = Place(-1 - cache, 1)
    sides = {"keys": ("keys", cache), "values": ("values", cache)}
    shape = {"key_dim": key_dim, "value_dim": value_dim, "n_ctx": 0}
    low.step(
        "attention:store,{kv}", {"k": op.k, "v": op.v}, {"": memory}, sides, n_head=n_head_kv, **shape
    )
    low._new(op.out)
    scratch_bytes = layout.attention_scratch(key_dim, value_dim)
    scratch = low.arena.take(scratch_bytes * low.n_threads)
    low.step(
        "attention:attend,{kv}",
        {"q": op.q, "": memory},
        {"out": op.out, "scratch": scratch},
        sides,
        scratch_bytes=scratch_bytes,
        n_head=n_head,
        n_head_kv=n_head_kv,
        scale=op.scale,
        **shape,
    )
    low.arena.give(scratch)


def _add(low: Lowering, op: Add) -> None:
    low._new(op.out)
    low.step(
        "elementwise:add", {"x": op.x, "y": op.y}, {"out": op.out}, width=op.out.width, rows=_rows(op.out)
    )


def _silu_mul(low: Lowering, op: SiluMul) -> None:
    low._new(op.out)
    low.step(
        "elementwise:silu_mul",
        {"gate": op.gate, "up": op.up},
        {"out": op.out},
        width=op.out.width,
        rows=_rows(op.out),
    )


def _top_experts(low: Lowering, op: TopExperts) -> None:
    low._new(op.out)
    low._new(op.weights)
    shares = low.arena.take(4 * op.scores.width * MAX_TOKENS)
    low.step(
        "elementwise:top_experts",
        {"scores": op.scores},
        {"out": op.out, "weights": op.weights, "shares": shares},
        n_expert=op.scores.width,
        k=op.out.width,
        normalise=int(op.normalise),
        scale=op.scale,
        rows=_rows(op.out),
    )
    low.arena.give(shares)


def _weighted_sum(low: Lowering, op: WeightedSum) -> None:
    low._new(op.out)
    low.step(
        "elementwise:weighted_sum",
        {"x": op.x, "weights": op.weights},
        {"out": op.out},
        k=op.weights.width,
        width=op.out.width,
        rows=_rows(op.out),
    )


def _select_outputs(low: Lowering, op: SelectOutputs) -> None:
    low._new(op.out)
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
    RmsNorm: _rms_norm,
    Rope: _rope,
    Attention: _attention,
    Add: _add,
    SiluMul: _silu_mul,
    TopExperts: _top_experts,
    WeightedSum: _weighted_sum,
    SelectOutputs: _select_outputs,
}


# ---- the executor -------------------------------------------------------------------------------


class CpuExecutor:
    """Runs a plan on `threads` threads (all that this process may use, if None).

    Results do not depend on the number of threads, nor on how tokens are cut into runs.
    """

    def __init__(self, plan: Plan, threads: int | None = None) -> None:
        self.plan = plan
        self.n_threads = thread_count(threads)
        self.pool = Pool(self.n_threads)
        weakref.finalize(self, self.pool.close)
        self.weights: dict[str, Placed] = {}
        self._memory = Memory()
        self._lock = threading.RLock()
        self._low = Lowering(plan, self.n_threads, self._placed)
        self._arena = np.zeros(self._low.arena.size, np.uint8)
        self._logits = self._view(self._low.place_of(plan.logits), MAX_OUTPUTS, plan.n_vocab)

    def _placed(self, weight: QTensor) -> Placed:
        if weight.name not in self.weights:
            self.weights[weight.name] = place(weight, self.pool, self._memory)
        return self.weights[weight.name]

    def _view(self, place: Place, rows: int, width: int) -> Array:
        return self._arena[place.start : place.start + 4 * rows * width].view(np.float32).reshape(rows, width)

    def new_state(self, n_ctx: int, kv: KVType = "f16") -> CpuState:
        """An empty sequence of up to `n_ctx` tokens; raises OutOfMemory with the size it needs."""
        state = CpuState(self.plan.caches, n_ctx, kv)
        steps = self._low.steps
        kernels = jit.load([step.kernel.format(kv=kv) for step in steps])
        base = self._arena.ctypes.data
        state.table = np.zeros((len(steps), OP_WORDS), np.int64)
        for i, step in enumerate(steps):
            arguments = {
                name: base + value.start if isinstance(value, Place) else value
                for name, value in step.arguments.items()
                if name  # a place without a name only orders the steps
            }
            for name, (side, cache) in step.caches.items():
                arguments[name] = getattr(state, side)[cache].ctypes.data
            if step.caches:
                arguments["n_ctx"] = state.padded
            state.table[i] = op_row(kernels[step.kernel.format(kv=kv)], **arguments)
        state.table[:, OP_BARRIER] = barriers(steps)
        return state

    def run(
        self, state: CpuState, tokens: Array, position: int, outputs: Outputs = "last"
    ) -> Array:
        """See `Executor.run`."""
        tokens = checked(self.plan, state, tokens, position, outputs)
        n = len(tokens)
        if outputs == "all":
            logits = np.empty((n, self.plan.n_vocab), np.float32)
            with self._lock:
                for start in range(0, n, MAX_OUTPUTS):
                    some = tokens[start : start + MAX_OUTPUTS]
                    self._walk(state, some, position + start, len(some))
                    logits[start : start + len(some)] = self._logits[: len(some)]
            return logits
        n_last = int(outputs == "last" and n > 0)
        with self._lock:
            for start in range(0, n, MAX_TOKENS):
                some = tokens[start : start + MAX_TOKENS]
                is_end = start + len(some) == n
                self._walk(state, some, position + start, n_last if is_end else 0)
            return self._logits[:n_last].copy()

    def _walk(self, state: CpuState, tokens: Array, position: int, n_outputs: int) -> None:
        n = len(tokens)
        for op, place in self._low.embeds:
            self._view(place, n, op.out.width)[:] = op.weight.decode_rows(tokens)
        positions = np.arange(position, position + n, dtype=np.float64)[:, None]
        for rope, place in self._low.angles.values():
            half = len(rope.frequencies)
            turned = positions * rope.frequencies
            angles = self._view(place, n, 2 * half)
            angles[:, :half] = np.cos(turned) * rope.magnitude
            angles[:, half:] = np.sin(turned) * rope.magnitude
        self.pool.run(state.table, tokens=n, outputs=n_outputs, position=position)

    def close(self) -> None:
        """End the threads."""
        self.pool.close()

    def report(self) -> list[Choice]:
        """How this model's weights are read, for `vatra doctor` and notes."""
        ways = Counter((w.format, w.path) for w in self.weights.values())
        found = [Choice("kernel path", f"{n} x {name}", path) for (name, path), n in ways.items()]
        return [Choice("threads", str(self.n_threads), "of this model"), *found]


def barriers(steps: list[Step]) -> list[int]:
    """1 for each step after which threads must meet, since the next one touches what it does."""
    needed, reads, writes = [], list[Place](), list[Place]()
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


def kernels_for(formats: list[str]) -> list[str]:
    """The kernels that a dense model with these weight formats needs, for compiling ahead."""
    tile = processor().tokens_per_tile
    names = ["loop:", "relayout:", "quantize:", "attention:store,f16", "attention:attend,f16"]
    names += [f"elementwise:{n}" for n in ("add", "silu_mul", "rms_norm", "rope", "select_outputs")]
    for name in formats:
        if name in FAST:
            names.append(f"matmul:{name},{tile}")
        else:
            names.append(f"matmul_float:{name if name in FLOATS else 'f16'},{FLOAT_TILE}")
    return list(dict.fromkeys(names))


def report() -> list[Choice]:
    """What `vatra doctor` says of kernel paths before any model is loaded."""
    fast = Choice("fast formats", " ".join([*FLOATS, *FAST]), "have kernels of their own")
    return [fast, Choice("other formats", "decoded when loaded", "no kernel of their own yet")]
