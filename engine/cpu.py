"""The CPU executor: a plan becomes a table of ops that all threads walk in machine code.

Embedding rows and the sines of positions are written by numpy before the walk.
"""

from __future__ import annotations

import time
import weakref
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from itertools import pairwise, zip_longest
from typing import Any, ClassVar

import numpy as np

from vatra.choices import Choice
from vatra.engine import jit
from vatra.engine.arena import Place
from vatra.engine.cpu_features import processor
from vatra.engine.cpu_state import CpuState
from vatra.engine.executor import (
    Hook,
    KVType,
    Outdated,
    Outputs,
    Part,
    State,
)
from vatra.engine.kernels import layout
from vatra.engine.kernels.layout import OP_BARRIER, OP_WORDS
from vatra.engine.lowering import LOWER, Lowering
from vatra.engine.lowering.products import FLOAT_TILE
from vatra.engine.lowering.steps import MAX_OUTPUTS, MAX_TOKENS, Runs, Step, barriers, steps_of
from vatra.engine.pages import Pages, zeros
from vatra.engine.parts import cut, hand_out, prepared, room_for, together
from vatra.engine.table import Kind, Table
from vatra.engine.threads import Pool, op_row, thread_count
from vatra.engine.timings import Timings, cycles_per_s
from vatra.engine.walk import Piece, Room, Walk
from vatra.engine.weights import Memory, by_amx, place, placed_bytes, way
from vatra.models.plan import (
    Embed,
    ExpertLinear,
    HeadLinear,
    Linear,
    Plan,
    Tensor,
)
from vatra.quant import FORMATS, by_name
from vatra.quant.tensor import QTensor

Array = np.ndarray
BITS = 64  # of a run that others may come between


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
        self._aside: list[Room] = []  # that no run is in which others come between

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

    def new_pages(self, n_tokens: int, kv: KVType = "f16") -> Pages:
        """See `Executor.new_pages`."""
        return CpuState.new_pages(self.plan, n_tokens, kv)

    def new_state(
        self,
        n_ctx: int,
        kv: KVType = "f16",
        pages: Pages | None = None,
        shared: Sequence[int] = (),
    ) -> CpuState:
        """See `Executor.new_state`."""
        state = CpuState(self, n_ctx, kv, pages, shared)
        with self.pool.lock:
            for runs in Runs:
                self._table_of(Kind(runs, kv, False), 1, self._room)
        return state

    def _table_of(self, kind: Kind, n_sequences: int, room: Room) -> Table:
        """The table for walks of a kind in a room, of so many sequences."""
        key, low = (kind, n_sequences), room.low
        if key not in room.tables:
            steps = steps_of(low.steps[: low.n_hidden] if kind.hidden else low.steps, kind.runs)
            names = [step.kernel.format(kv=kind.kv) for step in steps]
            loaded = jit.load(names)
            kernels = [loaded[name] for name in names]
            rows = self._rows(steps, kernels, room)
            room.tables[key] = Table(steps, kernels, rows, n_sequences, self.plan)
        return room.tables[key]

    def _rows(self, steps: list[Step], kernels: list[jit.Kernel], room: Room) -> Array:
        """int64 (n_steps, OP_WORDS): all but what is of a state."""
        rows = np.zeros((len(steps), OP_WORDS), np.int64)
        for i, (step, kernel) in enumerate(zip(steps, kernels, strict=True)):
            arguments: dict[str, Any] = dict.fromkeys(step.caches, 0)
            for name, value in step.arguments.items():
                if isinstance(value, Place):
                    value = room.address(value)
                elif isinstance(value, QTensor):
                    value = self._weights[value].ctypes.data
                if name:  # a place without a name only orders the steps
                    arguments[name] = value
            rows[i] = op_row(kernel, **arguments)
        rows[:, OP_BARRIER] = barriers(steps)
        return rows

    def kind(self, n_tokens: int) -> Hashable:
        """See `Executor.kind`."""
        return self._room.low.operands.runs(n_tokens), self.edition

    def run(self, state: State, tokens: Array, position: int, outputs: Outputs = "last") -> Array:
        """See `Executor.run`."""
        return self.run_batch([Part(state, tokens, position, outputs)])[0]

    def run_batch(self, parts: Sequence[Part]) -> list[Array]:
        """See `Executor.run_batch`."""
        with self.pool.lock, ExitStack() as running:
            parts = prepared(self, parts)
            for part in parts:
                running.enter_context(part.state.running(part.position, len(part.tokens)))
            if not self.plan.causal:  # all tokens of a text in one walk
                self._make_room(max((len(part.tokens) for part in parts), default=0))
            kept = [room_for(self.plan, part) for part in parts]
            pieces = [self._pieces(*both) for both in zip(parts, kept, strict=True)]
            for each in zip_longest(*pieces):
                for kind, some in together(filter(None, each), self._kind_of, self._fit):
                    self._walk(kind, some)
        return kept

    def _pieces(self, part: Part, kept: Array) -> list[Piece]:
        """`part` cut into what single walks can take."""
        most = MAX_OUTPUTS if part.outputs == "all" else MAX_TOKENS
        most = most if self.plan.causal else max(len(part.tokens), 1)
        return [Piece(part, rows, i, end - i) for i, end, rows in cut(part, kept, most)]

    def _fit(self, kind: Kind, pieces: list[Piece]) -> bool:
        """Whether one walk has room for all of them."""
        most = self._room.low.most
        few = MAX_OUTPUTS if self.plan.writes and not kind.hidden else most
        return sum(p.n for p in pieces) <= most and sum(len(p.kept) for p in pieces) <= few

    def _kind_of(self, piece: Piece) -> Kind:
        """Of a walk that evaluates a piece."""
        part = piece.part
        hidden = part.outputs == "hidden" and not self.plan.embeds
        runs = self._room.low.operands.runs(min(part.piece, MAX_TOKENS) or piece.n)
        return Kind(runs, part.state.kv, hidden)

    def _make_room(self, n: int) -> None:
        """See to it that a walk may have n tokens."""
        if n > self._room.low.most:
            low = Lowering(self.plan, self.n_threads, 2 ** (n - 1).bit_length())
            self._room = Room(low, zeros((low.arena.size,), np.uint8))

    def _walk(self, kind: Kind, pieces: list[Piece]) -> None:
        """Evaluate `pieces`, row after row, and keep their outputs."""
        began = time.perf_counter()
        walk = self._new_walk(self._room, kind, pieces)
        timed: AbstractContextManager[Array | None] = nullcontext()
        if self._timings is not None:
            phase = "decode" if walk.n == len(pieces) else "prefill"
            steps = walk.table.steps
            timed = self._timings.walk(phase, steps, walk.n, walk.n_outputs, kind.kv, began)
        with timed as cycles:
            for _ in self._bits(walk, max(len(walk.table.rows), 1), cycles):
                pass
        self._keep(walk)

    def begin(self, part: Part) -> Iterator[Array | None]:
        """See `Executor.begin`: the table is walked a few rows at a time, in a room of its own."""
        with self.pool.lock:
            [part] = prepared(self, [part])
            piece = Piece(part, room_for(self.plan, part), 0, len(part.tokens))
            return self._in_bits(piece, self.edition)

    def _in_bits(self, piece: Piece, edition: tuple[object, ...]) -> Iterator[Array | None]:
        self._check_edition(edition)
        with piece.state.running(piece.position, piece.n), self._room_aside() as room:
            walk = self._new_walk(room, self._kind_of(piece), [piece])
            for _ in self._bits(walk, -(-len(walk.table.rows) // BITS)):
                yield None
                self._check_edition(edition)
            self._keep(walk)
        yield piece.kept

    def _check_edition(self, edition: tuple[object, ...]) -> None:
        if edition != self.edition:
            raise Outdated("this run can not go on: the model was patched meanwhile")

    @contextmanager
    def _room_aside(self) -> Iterator[Room]:
        """A room that nobody else is in: one that was left, or a new one."""
        low = self._room.low
        room = self._aside.pop() if self._aside else None
        if room is None or room.low is not low:
            room = Room(low, zeros((low.arena.size,), np.uint8))
        try:
            yield room
        finally:
            if low is self._room.low:
                self._aside.append(room)

    def _new_walk(self, room: Room, kind: Kind, pieces: list[Piece]) -> Walk:
        """A walk in `room`, where all is there that it begins with."""
        tokens = np.concatenate([p.part.tokens[p.start : p.start + p.n] for p in pieces])
        positions = np.concatenate([np.arange(p.position, p.position + p.n) for p in pieces])
        n = len(tokens)
        for op, where in room.low.embeds:
            rows = positions if op.by_position else tokens
            room.view(where, n, op.out.width)[:] = op.weight.decode_rows(rows)
        for rope, where in room.low.angles.values():
            half = len(rope.frequencies)
            turned = positions[:, None] * rope.frequencies
            angles = room.view(where, n, 2 * half)
            angles[:, :half] = np.cos(turned) * rope.magnitude
            angles[:, half:] = np.sin(turned) * rope.magnitude
        table = self._table_of(kind, len(pieces), room)
        table.set(
            [p.state.addresses for p in pieces],
            [(p.n, len(p.kept), p.position) for p in pieces],
        )
        return Walk(room, kind, pieces, table, positions)

    def _bits(self, walk: Walk, most: int, cycles: Array | None = None) -> Iterator[None]:
        """Have the threads walk, up to `most` rows of the table at a time, and call the hooks."""
        table, n, n_outputs = walk.table, walk.n, walk.n_outputs
        for begin, end, shown in stops(self.plan, table.steps, self.hooks):
            for first in range(begin, end, most):
                rows = table.rows[first : min(first + most, end)]
                rest = None if cycles is None else cycles[first:]
                self.pool.run(rows, tokens=n, outputs=n_outputs, cycles=rest)
                yield
            for tensor in shown:
                at = walk.output_positions if tensor.outputs_only else walk.positions.copy()
                if len(at):
                    self.hooks[tensor.name](walk.room.values(tensor, len(at)), at)

    def _keep(self, walk: Walk) -> None:
        """Copy what a walk has left to where the outputs of its pieces go."""
        room, hidden = walk.room, walk.kind.hidden
        made = self.plan.hidden if hidden else self.plan.logits
        place = room.low.hidden if hidden else room.low.place_of(made)
        found = room.view(place, walk.n_outputs, made.width)
        hand_out(found, (piece.kept for piece in walk.pieces))

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
