"""The CPU executor: a plan becomes a table of ops that all threads walk in machine code.

Embedding rows and the sines of positions are written by numpy before the walk.
"""

from __future__ import annotations

import time
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import numpy as np

from vatra.choices import Choice
from vatra.engine import jit
from vatra.engine.arena import Place
from vatra.engine.cpu_features import processor
from vatra.engine.executor import Hook, KVType, Outputs, State, checked, zeros
from vatra.engine.kernels import layout
from vatra.engine.kernels.layout import OP_BARRIER, OP_WORDS
from vatra.engine.lowering import LOWER, Lowering
from vatra.engine.lowering.products import FLOAT_TILE
from vatra.engine.lowering.steps import MAX_OUTPUTS, MAX_TOKENS, Runs, Step, barriers, steps_of
from vatra.engine.threads import Pool, op_row, thread_count
from vatra.engine.timings import Timings, cycles_per_s
from vatra.engine.weights import Memory, by_amx, place, placed_bytes, way
from vatra.models.plan import (
    Attention,
    Embed,
    ExpertLinear,
    HeadLinear,
    KVCache,
    Linear,
    Plan,
    Tensor,
)
from vatra.quant import FORMATS, by_name
from vatra.quant.tensor import QTensor

Array = np.ndarray
_FLOATS: dict[KVType, type[np.generic]] = {"f16": np.float16, "f32": np.float32}


def padded(positions: int) -> int:
    """Positions in whole steps of attention."""
    return -(-positions // layout.STEP) * layout.STEP


@dataclass(eq=False)
class CpuState(State):
    """Keys and values in the order that the `attention` kernel reads; zeros where nothing is."""

    LAYOUT: ClassVar[str] = "cpu 1"
    TOGETHER: ClassVar[int] = layout.ROWS

    def allocate(self) -> None:
        """See `State.allocate`; `partials` is what `attend` needs for this context."""
        plan, dtype = self.executor.plan, _FLOATS.get(self.kv, np.uint8)
        shapes = [self._shapes(*both) for both in zip(plan.caches, self.capacities, strict=True)]
        self.keys = [zeros(keys, dtype) for keys, _ in shapes]
        self.values = [zeros(values, dtype) for _, values in shapes]
        sizes = [
            layout.attention_partials(
                op.q.shape[0], op.cache.n_head_kv, op.cache.value_dim, self.n_ctx
            )
            for op in plan.ops
            if isinstance(op, Attention)
        ]
        self.partials = [zeros((max(sizes, default=0),), np.uint8)]

    def _shapes(self, cache: KVCache, capacity: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        heads, key_dim, groups = cache.n_head_kv, cache.key_dim, padded(capacity) // layout.ROWS
        if self.kv not in _FLOATS:
            key_bytes, value_bytes = layout.kv_bytes(self.kv, key_dim, cache.own_value_dim)
            return (heads, groups, key_bytes), (heads, groups, value_bytes)
        blocks = layout.padded_values(cache.own_value_dim) // layout.PART
        values = heads, groups, blocks, layout.ROWS, layout.PART
        return (heads, groups, key_dim, layout.ROWS), values

    @staticmethod
    def capacity(cache: KVCache, n_ctx: int) -> int:
        """See `State.capacity`: those that the kernels read lie in a ring."""
        return layout.kv_capacity(n_ctx, cache.window)

    @staticmethod
    def bytes_per_token(cache: KVCache, kv: KVType) -> int:
        """See `State.bytes_per_token`."""
        sizes = layout.kv_bytes(kv, cache.key_dim, cache.own_value_dim)
        return cache.n_head_kv * sum(sizes) // layout.ROWS

    partials: list[Array] = field(init=False, repr=False)
    room: Room = field(init=False, repr=False)  # that the tables are of
    tables: dict[tuple[Runs, bool], Table] = field(init=False, repr=False)


class Table(NamedTuple):
    """What the threads walk: int64 (n_steps, OP_WORDS), and the steps it was made of."""

    rows: Array
    steps: list[Step]


@dataclass(frozen=True, eq=False)
class Room:
    """An arena for walks of so many tokens as `low` lays it out for."""

    low: Lowering
    arena: Array

    def view(self, place: Place, rows: int, width: int) -> Array:
        """float32 (rows, width) at a place."""
        n_bytes = 4 * rows * width
        return self.arena[place.start :][:n_bytes].view(np.float32).reshape(rows, width)

    def values(self, tensor: Tensor, rows: int) -> Array:
        """(rows, *shape): a tensor, between its op and its last use."""
        found = self.view(self.low.made_at[tensor], rows, tensor.width)
        return found.view(np.int32 if tensor.ids else np.float32).reshape(rows, *tensor.shape)

    def address(self, place: Place) -> int:
        return int(self.arena.ctypes.data) + place.start


class CpuExecutor:
    """Runs a plan on `threads` threads (all that this process may use, if None).

    Results do not depend on the number of threads. Nor do they on how tokens are cut into runs,
    unless there is AMX: it multiplies runs of many tokens in bf16, which is nearer to float32.
    """

    state_class: ClassVar[type[State]] = CpuState

    def __init__(self, plan: Plan, threads: int | None = None, kv: KVType = "f16") -> None:
        self.plan = plan
        self.n_threads = thread_count(threads)
        low = Lowering(plan, self.n_threads)
        # all at once, so that a person sees one count; `kv` is what the states will probably be
        jit.load(["loop:", "relayout:", *(step.kernel.format(kv=kv) for step in low.steps)])
        self.pool = Pool(self.n_threads)
        weakref.finalize(self, self.pool.close)
        self._timings: Timings | None = None
        self.hooks: dict[str, Hook] = {}
        self.edition: tuple[object, ...] = ()
        memory = Memory()
        self._weights = {weight: place(weight, self.pool, memory) for weight in _matrices(plan)}
        self._own = frozenset(self._weights)  # those of the file
        self._room = Room(low, zeros((low.arena.size,), np.uint8))

    def follow(self, plan: Plan) -> None:
        """See `Executor.follow`; the weights that were placed at first stay."""
        low, memory, needed = Lowering(plan, self.n_threads), Memory(), _matrices(plan)
        new = {w: place(w, self.pool, memory) for w in needed if w not in self._weights}
        kept = self._own.union(needed)
        with self.pool.lock:
            self._weights = {w: at for w, at in (self._weights | new).items() if w in kept}
            self.plan, self._room = plan, Room(low, zeros((low.arena.size,), np.uint8))

    @staticmethod
    def weight_bytes(plan: Plan) -> int:
        """See `Executor.weight_bytes`."""
        placed = _matrices(plan)
        rest = [weight for weight in plan.weights() if weight not in placed]  # only looked up
        return sum(map(placed_bytes, placed)) + sum(weight.nbytes for weight in rest)

    def new_state(self, n_ctx: int, kv: KVType = "f16") -> CpuState:
        """An empty sequence of up to `n_ctx` tokens; raises OutOfMemory with the size it needs."""
        state = CpuState(self, n_ctx, kv)
        with self.pool.lock:
            state.room, state.tables = self._room, {}
            for runs in Runs:
                self._table_of(state, runs, False)
        return state

    def _table_of(self, state: CpuState, runs: Runs, hidden: bool) -> Table:
        """The table for a kind of runs, or for as much of one as makes `Plan.hidden`."""
        key, low = (runs, hidden), state.room.low
        if key not in state.tables:
            steps = steps_of(low.steps[: low.n_hidden] if hidden else low.steps, runs)
            state.tables[key] = Table(self._table(state, steps), steps)
        return state.tables[key]

    def _table(self, state: CpuState, steps: list[Step]) -> Array:
        """The rows that the threads walk: int64 (n_steps, OP_WORDS)."""
        kv = state.kv
        kernels = jit.load([step.kernel.format(kv=kv) for step in steps])
        table = np.zeros((len(steps), OP_WORDS), np.int64)
        for i, step in enumerate(steps):
            arguments: dict[str, Any] = {}
            for name, value in step.arguments.items():
                if isinstance(value, Place):
                    value = state.room.address(value)
                elif isinstance(value, QTensor):
                    value = self._weights[value].ctypes.data
                if name:  # a place without a name only orders the steps
                    arguments[name] = value
            for name, (side, cache) in step.caches.items():
                arguments[name] = getattr(state, side)[cache].ctypes.data
            if "capacity" in arguments:
                arguments["capacity"] = padded(state.capacities[step.caches["keys"][1]])
            table[i] = op_row(kernels[step.kernel.format(kv=kv)], **arguments)
        table[:, OP_BARRIER] = barriers(steps)
        return table

    def run(self, state: State, tokens: Array, position: int, outputs: Outputs = "last") -> Array:
        """See `Executor.run`."""
        tokens = checked(self, state, tokens, position, outputs)
        assert isinstance(state, CpuState)  # since this executor made it
        with state.running(position, len(tokens)):
            return self._run(state, tokens, position, outputs)

    def _run(self, state: CpuState, tokens: Array, position: int, outputs: Outputs) -> Array:
        n, every = len(tokens), outputs in ("all", "hidden")
        n_kept = n if every else int(outputs == "last" and n > 0)
        hidden = outputs == "hidden" and not self.plan.embeds
        kept = np.empty(
            (n_kept, (self.plan.hidden if hidden else self.plan.logits).width), np.float32
        )
        with self.pool.lock:
            most = MAX_OUTPUTS if outputs == "all" else MAX_TOKENS
            if not self.plan.causal:  # all tokens in one walk
                most = max(n, 1)
                self._make_room(most)
            if state.room is not self._room:
                state.tables, state.room = {}, self._room
            for start in range(0, n, most):
                some = tokens[start : start + most]
                is_end = start + len(some) == n
                n_outputs = len(some) if every else n_kept if is_end else 0
                found = self._walk(state, some, position + start, n_outputs, hidden)
                kept[start if every else 0 :][:n_outputs] = found
        return kept

    def _make_room(self, n: int) -> None:
        """See to it that a walk may have n tokens."""
        if n > self._room.low.most:
            low = Lowering(self.plan, self.n_threads, 2 ** (n - 1).bit_length())
            self._room = Room(low, zeros((low.arena.size,), np.uint8))

    def _walk(
        self, state: CpuState, tokens: Array, position: int, n_outputs: int, hidden: bool
    ) -> Array:
        """(n_outputs, width): logits, or hidden vectors, until the next walk."""
        n, room, began = len(tokens), state.room, time.perf_counter()
        for op, where in room.low.embeds:
            rows = np.arange(position, position + n) if op.by_position else tokens
            room.view(where, n, op.out.width)[:] = op.weight.decode_rows(rows)
        positions = np.arange(position, position + n, dtype=np.float64)[:, None]
        for rope, where in room.low.angles.values():
            half = len(rope.frequencies)
            turned = positions * rope.frequencies
            angles = room.view(where, n, 2 * half)
            angles[:, :half] = np.cos(turned) * rope.magnitude
            angles[:, half:] = np.sin(turned) * rope.magnitude
        table = self._table_of(state, room.low.operands.runs(n), hidden)
        timed: AbstractContextManager[Array | None] = nullcontext()
        if self._timings is not None:
            timed = self._timings.walk(table.steps, n, n_outputs, state.kv, began)
        with timed as cycles:
            for begin, end, shown in stops(self.plan, table.steps, self.hooks):
                if begin < end:
                    self.pool.run(
                        table.rows[begin:end],
                        tokens=n,
                        outputs=n_outputs,
                        position=position,
                        cycles=None if cycles is None else cycles[begin:],
                    )
                for tensor in shown:
                    at = np.arange(position, position + n)
                    at = at[n - n_outputs :] if tensor.outputs_only else at
                    if len(at):
                        self.hooks[tensor.name](room.values(tensor, len(at)), at)
        made = self.plan.hidden if hidden else self.plan.logits
        place = room.low.hidden if hidden else room.low.place_of(made)
        return room.view(place, n_outputs, made.width)

    @contextmanager
    def timings(self) -> Iterator[Timings]:
        """Within the block, what each op costs is counted; a block within counts for itself."""
        with self.pool.lock:
            before, rate = self._timings, cycles_per_s(self.pool)
            found = self._timings = Timings(rate)
        try:
            yield found
        finally:
            self._timings = before

    def close(self) -> None:
        """End the threads."""
        self.pool.close()

    def report(self) -> list[Choice]:
        """How this model's weights are read, for `vatra doctor` and notes."""
        ways = Counter((weight.format.name, way(weight.format)) for weight in self._weights)
        found = [Choice("kernel path", f"{n} x {name}", w.reason) for (name, w), n in ways.items()]
        return [Choice("threads", str(self.n_threads), "of this model"), *found]


def _matrices(plan: Plan) -> list[QTensor]:
    """The weights that kernels read, each once, in order of first use."""
    products = (op.weight for op in plan.ops if isinstance(op, Linear | ExpertLinear | HeadLinear))
    return list(dict.fromkeys(products))


def stops(
    plan: Plan, steps: list[Step], hooks: Mapping[str, Hook]
) -> list[tuple[int, int, list[Tensor]]]:
    """Where to stop in `steps`: begin and end of each piece, and the tensors with hooks then made.

    A tensor is whole after its op's last step, and its place in the arena free only after others.
    """
    if not hooks:
        return [(0, len(steps), [])]
    end_of = {step.op: i for i, step in enumerate(steps, 1)}
    last = steps[-1].op if steps else None
    made: dict[int, list[Tensor]] = {}
    end = 0
    for op in plan.ops:
        end = end_of.get(op, end)
        made.setdefault(end, []).extend(t for t in op.written if t.name in hooks)
        if op is last:
            break
    ends = sorted({0, len(steps), *(at for at, tensors in made.items() if tensors)})
    return [(begin, end, made.get(end, [])) for begin, end in pairwise([0, *ends])]


def without_kernel(plan: Plan) -> list[str]:
    """The operations of a plan that only the reference can do, by name."""
    return sorted({type(op).__name__ for op in plan.ops if type(op) not in (*LOWER, Embed)})


def kernels_for(formats: list[str]) -> list[str]:
    """The kernels that a dense model with these weight formats needs, for compiling ahead."""
    tile = processor().tokens_per_tile
    names = ["loop:", "relayout:", "quantize:", "attention:store,f16", "attention:attend,f16"]
    names += [f"elementwise:{n}" for n in ("add", "rms_norm", "rope", "select_outputs")]
    names.append("activations:glu,silu")
    if processor().matrix_tiles:
        names.append("amx_attention:f16")
    for chosen in (way(by_name(name)) for name in formats):
        if chosen.operand:
            names.append(f"matmul:{chosen.format},{tile}")
        else:
            names.append(f"matmul_float:{chosen.format},{FLOAT_TILE}")
        if by_amx(chosen):
            terms = layout.AMX_TERMS.get(chosen.format, 1)
            names += [f"amx:pack,{terms}", f"amx:{chosen.format}"]
    return list(dict.fromkeys(names))


def report() -> list[Choice]:
    """How weights of each format are read, for `vatra doctor` before any model is loaded."""
    ways: dict[tuple[str, str], list[str]] = {}
    for format in FORMATS.values():
        chosen = way(format)
        key = ("weights: decoded", "to f16, when loaded: they have no kernel of their own")
        if chosen.format == format.name:
            key = ("weights: packed" if chosen.operand else "weights: floats", chosen.reason)
        ways.setdefault(key, []).append(format.name)
    return [Choice(name, " ".join(names), reason) for (name, reason), names in ways.items()]
