"""The CPU executor: a plan becomes a table of ops that all threads walk in machine code.

Embedding rows and the sines of positions are written by numpy before the walk.
"""

from __future__ import annotations

import weakref
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from vatra.choices import Choice
from vatra.engine import jit
from vatra.engine.arena import Place
from vatra.engine.cpu_features import processor
from vatra.engine.executor import KVType, Outputs, State, checked, zeros
from vatra.engine.kernels import layout
from vatra.engine.kernels.layout import OP_BARRIER, OP_WORDS
from vatra.engine.lowering import (
    FLOAT_TILE,
    LOWER,
    MAX_OUTPUTS,
    MAX_TOKENS,
    Lowering,
    Runs,
    Step,
    barriers,
    steps_of,
)
from vatra.engine.threads import Pool, op_row, thread_count
from vatra.engine.weights import Memory, by_amx, place, placed_bytes, way
from vatra.models.plan import Attention, Embed, ExpertLinear, HeadLinear, KVCache, Linear, Plan
from vatra.quant import FORMATS, by_name
from vatra.quant.tensor import QTensor

Array = np.ndarray
_DTYPES: dict[KVType, type[np.generic]] = {"f16": np.float16, "f32": np.float32, "q8_0": np.uint8}


@dataclass(eq=False)
class CpuState(State):
    """Keys and values in the order that the `attention` kernel reads; zeros where nothing is."""

    def allocate(self) -> None:
        """See `State.allocate`; `partials` is what `attend` needs for this context."""
        self.padded = -(-self.n_ctx // layout.STEP) * layout.STEP
        plan, dtype = self.executor.plan, _DTYPES[self.kv]
        shapes = [self._shapes(cache) for cache in plan.caches]
        self.keys = [zeros(keys, dtype) for keys, _ in shapes]
        self.values = [zeros(values, dtype) for _, values in shapes]
        sizes = [
            layout.attention_partials(
                op.q.shape[0], op.cache.n_head_kv, op.cache.value_dim, self.padded
            )
            for op in plan.ops
            if isinstance(op, Attention)
        ]
        self.partials = [zeros((max(sizes, default=0),), np.uint8)]

    def _shapes(self, cache: KVCache) -> tuple[tuple[int, ...], tuple[int, ...]]:
        heads, key_dim = cache.n_head_kv, cache.key_dim
        groups = self.padded // layout.ROWS
        if self.kv == "q8_0":
            key_bytes, value_bytes = layout.kv_bytes(self.kv, key_dim, cache.value_dim)
            return (heads, groups, key_bytes), (heads, groups, value_bytes)
        blocks = layout.padded_values(cache.value_dim) // layout.PART
        values = heads, groups, blocks, layout.ROWS, layout.PART
        return (heads, groups, key_dim, layout.ROWS), values

    @staticmethod
    def bytes_per_token(caches: list[KVCache], kv: KVType) -> int:
        """See `State.bytes_per_token`."""
        sizes = (c.n_head_kv * sum(layout.kv_bytes(kv, c.key_dim, c.value_dim)) for c in caches)
        return sum(sizes) // layout.ROWS

    partials: list[Array] = field(init=False, repr=False)
    tables: dict[Runs, Array] = field(init=False, repr=False)


class CpuExecutor:
    """Runs a plan on `threads` threads (all that this process may use, if None).

    Results do not depend on the number of threads. Nor do they on how tokens are cut into runs,
    unless there is AMX: it multiplies runs of many tokens in bf16, which is nearer to float32.
    """

    def __init__(self, plan: Plan, threads: int | None = None, kv: KVType = "f16") -> None:
        self.plan = plan
        self.n_threads = thread_count(threads)
        self._low = Lowering(plan, self.n_threads)
        # all at once, so that a person sees one count; `kv` is what the states will probably be
        jit.load(["loop:", "relayout:", *(step.kernel.format(kv=kv) for step in self._low.steps)])
        self.pool = Pool(self.n_threads)
        weakref.finalize(self, self.pool.close)
        memory = Memory()
        self._weights = {weight: place(weight, self.pool, memory) for weight in _matrices(plan)}
        self._arena = zeros((self._low.arena.size,), np.uint8)
        self._logits = self._view(self._low.place_of(plan.logits), MAX_OUTPUTS, plan.n_vocab)

    @staticmethod
    def weight_bytes(plan: Plan) -> int:
        """See `Executor.weight_bytes`."""
        placed = _matrices(plan)
        rest = [weight for weight in plan.weights() if weight not in placed]  # only looked up
        return sum(map(placed_bytes, placed)) + sum(weight.nbytes for weight in rest)

    @staticmethod
    def kv_bytes_per_token(plan: Plan, kv: KVType) -> int:
        """See `Executor.kv_bytes_per_token`."""
        return CpuState.bytes_per_token(plan.caches, kv)

    def _view(self, place: Place, rows: int, width: int) -> Array:
        return (
            self._arena[place.start : place.start + 4 * rows * width]
            .view(np.float32)
            .reshape(rows, width)
        )

    def _address(self, value: Place | QTensor | float) -> float:
        """What stands in the table for an argument of a step."""
        if isinstance(value, Place):
            return self._arena.ctypes.data + value.start
        if isinstance(value, QTensor):
            return self._weights[value].ctypes.data
        return value

    def new_state(self, n_ctx: int, kv: KVType = "f16") -> CpuState:
        """An empty sequence of up to `n_ctx` tokens; raises OutOfMemory with the size it needs."""
        state = CpuState(self, n_ctx, kv)
        state.tables = {
            runs: self._table(state, kv, steps_of(self._low.steps, runs)) for runs in Runs
        }
        return state

    def _table(self, state: CpuState, kv: KVType, steps: list[Step]) -> Array:
        """The rows that the threads walk: int64 (n_steps, OP_WORDS)."""
        kernels = jit.load([step.kernel.format(kv=kv) for step in steps])
        table = np.zeros((len(steps), OP_WORDS), np.int64)
        for i, step in enumerate(steps):
            arguments = {
                name: self._address(value)
                for name, value in step.arguments.items()
                if name  # a place without a name only orders the steps
            }
            for name, (side, cache) in step.caches.items():
                arguments[name] = getattr(state, side)[cache].ctypes.data
            if "n_ctx" in arguments:
                arguments["n_ctx"] = state.padded
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
        n = len(tokens)
        if outputs == "all":
            logits = np.empty((n, self.plan.n_vocab), np.float32)
            with self.pool.lock:
                for start in range(0, n, MAX_OUTPUTS):
                    some = tokens[start : start + MAX_OUTPUTS]
                    self._walk(state, some, position + start, len(some))
                    logits[start : start + len(some)] = self._logits[: len(some)]
            return logits
        n_last = int(outputs == "last" and n > 0)
        with self.pool.lock:
            for start in range(0, n, MAX_TOKENS):
                some = tokens[start : start + MAX_TOKENS]
                is_end = start + len(some) == n
                self._walk(state, some, position + start, n_last if is_end else 0)
            return self._logits[:n_last].copy()

    def _walk(self, state: CpuState, tokens: Array, position: int, n_outputs: int) -> None:
        n = len(tokens)
        for op, where in self._low.embeds:
            rows = np.arange(position, position + n) if op.by_position else tokens
            self._view(where, n, op.out.width)[:] = op.weight.decode_rows(rows)
        positions = np.arange(position, position + n, dtype=np.float64)[:, None]
        for rope, where in self._low.angles.values():
            half = len(rope.frequencies)
            turned = positions * rope.frequencies
            angles = self._view(where, n, 2 * half)
            angles[:, :half] = np.cos(turned) * rope.magnitude
            angles[:, half:] = np.sin(turned) * rope.magnitude
        table = state.tables[self._low.runs(n)]
        self.pool.run(table, tokens=n, outputs=n_outputs, position=position)

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
    """What `vatra doctor` says of kernel paths before any model is loaded."""
    ways: dict[str, list[str]] = {}
    for format in FORMATS.values():
        chosen = way(format)
        reason = chosen.reason if chosen.format == format.name else "decoded to f16 when loaded"
        ways.setdefault(reason, []).append(format.name)
    return [Choice("weights", " ".join(names), reason) for reason, names in ways.items()]
