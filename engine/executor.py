"""What every executor offers, and the memory of one sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import ClassVar, Literal, Protocol, get_args

import numpy as np

from vatra.engine.kernels.layout import first_read
from vatra.errors import OutOfMemory, UsageError
from vatra.models.plan import KVCache, Plan

Array = np.ndarray
KVType = Literal["f16", "f32", "q8_0", "q4_0"]
Outputs = Literal["all", "last", "none", "hidden"]
# is shown the values (n, *shape) of a tensor, to read or change them, and their positions (n,)
Hook = Callable[[Array, Array], None]

MOST_MARKS = 4  # of one state
BROKEN = -1  # the `length` of a state whose run was interrupted
ALL = 2**62  # positions
_CACHE_LINE = 64  # bytes
KV_TYPES = get_args(KVType)
# q8_0 and q4_0, whose 32 values share a scale, are rounded when stored, and kept as they then are
_DTYPES: dict[KVType, type[np.floating]] = {
    "f16": np.float16,
    "f32": np.float32,
    "q8_0": np.float32,
    "q4_0": np.float32,
}


@dataclass(frozen=True)
class Saved:
    """Copies of all that a state holds."""

    arrays: list[Array]
    n_ctx: int
    length: int
    reached: int
    marks: dict[int, list[Array]]
    edition: tuple[object, ...] = ()
    current: int = ALL

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return sum(a.nbytes for a in self.arrays)


@dataclass(eq=False)
class State:
    """What is kept of one sequence of up to `n_ctx` tokens. Only its own executor can run it.

    `keys[i]` is (n_head_kv, n_ctx, key_dim) and `values[i]` (n_head_kv, n_ctx, own_value_dim) for
    the plan's i-th cache; other executors keep them in an order of their own, and no more positions
    than `capacities[i]`. A run at a position overwrites from there on: truncating is running again
    from an earlier position, as far as `rewind` can go back. `memories[i]` is what the plan's i-th
    recurrent op has made of all `length` tokens: a run goes on from there, or from where `rewind`
    has gone back to. What is held is of the executor's `edition` at that time: with another one a
    run begins at 0, and goes on as far as that and the next have come.
    """

    LAYOUT: ClassVar[str] = "plain 1"  # to be changed with the order that values lie in
    TOGETHER: ClassVar[int] = 1  # positions in a step of axis 1 of `keys` and `values`

    executor: Executor
    n_ctx: int
    kv: KVType
    keys: list[Array] = field(init=False)
    values: list[Array] = field(init=False)
    memories: list[Array] = field(init=False)
    length: int = field(default=0, init=False)
    reached: int = field(default=0, init=False)  # the end of the longest text since it was empty
    edition: tuple[object, ...] = field(default=(), init=False)
    _current: int = field(default=ALL, init=False)  # positions that are surely of that edition
    _marks: dict[int, list[Array]] = field(default_factory=dict, init=False, repr=False)
    _passing: dict[int, list[Array]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.n_ctx < 1:
            raise UsageError(f"a context of {self.n_ctx} tokens is not possible, wanted at least 1")
        if self.kv not in KV_TYPES:
            raise UsageError(f"KV type {self.kv!r} is not known, wanted {' or '.join(KV_TYPES)}")
        most = self.executor.plan.n_positions
        if most is not None and self.n_ctx > most:
            raise UsageError(
                f"a context of {self.n_ctx} tokens is not possible: this model has learned "
                f"{most} positions, and knows no others"
            )
        caches = self.executor.plan.caches
        self.capacities = [self.capacity(cache, self.n_ctx) for cache in caches]
        try:
            self.allocate()
            self.memories = [zeros(m.shape, np.float32) for m in self.executor.plan.memories]
        except (MemoryError, OverflowError, ValueError) as error:
            needed = self.kv_bytes(caches, self.kv, self.n_ctx)
            raise OutOfMemory(
                f"a context of {self.n_ctx} tokens needs {needed / 2**20:.0f} MiB of KV cache, "
                "which this machine cannot give; ask for a shorter context"
            ) from error

    def allocate(self) -> None:
        """Make `keys` and `values`."""
        dtype, caches = _DTYPES[self.kv], self.executor.plan.caches
        self.keys = [zeros((c.n_head_kv, self.n_ctx, c.key_dim), dtype) for c in caches]
        self.values = [zeros((c.n_head_kv, self.n_ctx, c.own_value_dim), dtype) for c in caches]

    @staticmethod
    def capacity(cache: KVCache, n_ctx: int) -> int:
        """Positions of a context that `cache` keeps at once."""
        return n_ctx

    @staticmethod
    def bytes_per_token(cache: KVCache, kv: KVType) -> int:
        """Memory that one position of `cache` takes."""
        values = cache.n_head_kv * (cache.key_dim + cache.own_value_dim)
        return values * np.dtype(_DTYPES[kv]).itemsize

    @classmethod
    def kv_bytes(cls, caches: list[KVCache], kv: KVType, n_ctx: int) -> int:
        """Memory that `caches` take for a context of `n_ctx` tokens."""
        return sum(cls.capacity(c, n_ctx) * cls.bytes_per_token(c, kv) for c in caches)

    def mark(self, passing: bool = False) -> None:
        """Keep the memories as they are now, so that `rewind` can come back here; costs a copy.

        A `passing` mark lasts until the next passing one, and takes no other's place.
        """
        if not self.memories:
            return
        kept = {self.length: [memory.copy() for memory in self.memories]}
        if passing:
            self._passing = kept
            return
        self._marks |= kept
        while len(self._marks) > MOST_MARKS:
            del self._marks[min(self._marks)]

    def rewind(self, position: int) -> int:
        """The latest position up to `position` from which a run can go on; the next begins there.

        Where there are memories that is `length`, a mark, or the beginning; where a cache keeps
        fewer positions than the context has, and no longer those needed, the beginning.
        """
        back = position
        if self.memories and position != self.length:
            self._forget_after(position)
            back = max(self._passing | self._marks, default=0)
        if not self.holds(back):
            back = 0
        if self.memories and back != self.length:
            marks = self._passing | self._marks
            for i, memory in enumerate(self.memories):
                memory[...] = marks[back][i] if back in marks else 0.0
            self.length = back
        return back

    def holds(self, position: int) -> bool:
        """Whether the caches still have all that a token at `position` reads of those before it."""
        return position == 0 or (
            self.is_current(position)
            and all(
                cache.window is None
                or first_read(position, cache.window) >= self.reached - capacity
                for cache, capacity in zip(self.executor.plan.caches, self.capacities, strict=True)
            )
        )

    def is_current(self, position: int) -> bool:
        """Whether all before `position` was read by the executor as it now is."""
        return self.is_of(self.executor.edition, position)

    def is_of(self, edition: tuple[object, ...], position: int) -> bool:
        """Whether all before `position` was read by an executor of that edition."""
        return position == 0 or (self.edition == edition and position <= self._current)

    @contextmanager
    def running(self, position: int, n_tokens: int) -> Iterator[None]:
        """Around a run: what it leaves when it is interrupted is no state to go on from."""
        self._forget_after(position)
        if self.edition != self.executor.edition:
            self.edition, self._current = self.executor.edition, 0
        self.length = BROKEN
        self.reached = max(self.reached if position else 0, position + n_tokens)
        yield
        self.length = position + n_tokens
        self._current = max(self._current, self.length)

    def _forget_after(self, position: int) -> None:
        self._marks, self._passing = (
            {at: kept for at, kept in marks.items() if at <= position}
            for marks in (self._marks, self._passing)
        )

    def saved(self) -> Saved:
        """A copy of all that is held, to `restore`."""
        arrays = [a.copy() for a in self._arrays]
        marks, read = dict(self._marks), (self.edition, self._current)
        return Saved(arrays, self.n_ctx, self.length, self.reached, marks, *read)

    def restore(self, saved: Saved) -> None:
        """Hold what `saved` has; UsageError if that is of another shape."""
        shapes = [[(a.shape, a.dtype) for a in arrays] for arrays in (self._arrays, saved.arrays)]
        if shapes[0] != shapes[1] or saved.n_ctx != self.n_ctx:
            raise UsageError("this state is of another model, or of a context of another length")
        for mine, kept in zip(self._arrays, saved.arrays, strict=True):
            mine[...] = kept
        self.length, self.reached, self._marks = saved.length, saved.reached, dict(saved.marks)
        self.edition, self._current = saved.edition, saved.current

    def parts(self, n_tokens: int) -> list[Array]:
        """All that is held of the first `n_tokens`, as contiguous views to be read and written.

        Of caches that keep fewer positions than were reached it is all of their memory.
        """
        found, steps = list(self.memories), -(-n_tokens // self.TOGETHER)
        for side in (self.keys, self.values):
            for array, capacity in zip(side, self.capacities, strict=True):
                used = steps if self.reached <= capacity else array.shape[1]
                found += [head[:used] for head in array]
        return found

    @property
    def marks(self) -> tuple[dict[int, list[Array]], dict[int, list[Array]]]:
        """The memories at marks, and at the passing one, by position; see `mark`."""
        return self._marks, self._passing

    @marks.setter
    def marks(self, marks: tuple[dict[int, list[Array]], dict[int, list[Array]]]) -> None:
        self._marks, self._passing = marks

    @property
    def _arrays(self) -> list[Array]:
        return [*self.keys, *self.values, *self.memories]

    @property
    def nbytes(self) -> int:
        return sum(a.nbytes for a in self._arrays)


def zeros(shape: tuple[int, ...], dtype: type[np.generic]) -> Array:
    """Zeros that begin a cache line: else every vector of 16 float32 lies across two."""
    n_bytes = prod(shape) * np.dtype(dtype).itemsize
    memory = np.zeros(n_bytes + _CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % _CACHE_LINE
    return memory[start : start + n_bytes].view(dtype).reshape(shape)


class Executor(Protocol):
    """Runs a plan. One executor serves any number of states, one run at a time.

    `hooks` are called by the names of tensors, each as soon as its tensor is made, if it has rows.
    No tensor is that of a `Reshape`. `edition` tells from each other all that change what is
    computed; () for what the file says.
    """

    state_class: ClassVar[type[State]]  # what `new_state` makes
    hooks: dict[str, Hook]
    edition: tuple[object, ...]

    @property
    def plan(self) -> Plan: ...

    def follow(self, plan: Plan) -> None:
        """Run `plan` from now on: the same caches and memories, but other weights."""
        ...

    @staticmethod
    def weight_bytes(plan: Plan) -> int:
        """Bytes of memory that the weights of `plan` will take, as this executor keeps them."""
        ...

    def new_state(self, n_ctx: int, kv: KVType = "f16") -> State:
        """An empty sequence of up to `n_ctx` tokens; raises OutOfMemory with the size it needs."""
        ...

    def run(self, state: State, tokens: Array, position: int, outputs: Outputs = "last") -> Array:
        """Evaluate int32 `tokens` (n,) at positions position ... position + n - 1.

        Returns float32 logits: (n, n_vocab) for "all", (1, n_vocab) for "last", (0, n_vocab) for
        "none"; of a plan that embeds, vectors (n_embd,) instead, as for "hidden" of any plan: (n,
        n_embd), see `Plan.hidden`. Raises UsageError where tokens or positions are out of range, or
        where the state can not go on from `position` (see `State.rewind`).
        """
        ...


def checked(
    executor: Executor, state: State, tokens: Array, position: int, outputs: Outputs
) -> Array:
    """`tokens` as contiguous int32 (n,), proven to fit executor and state; raises UsageError."""
    if state.executor is not executor:
        raise UsageError("this state belongs to another executor")
    n_vocab = executor.plan.n_vocab
    tokens = np.asarray(tokens)
    if tokens.ndim != 1 or not (tokens.size == 0 or np.issubdtype(tokens.dtype, np.integer)):
        raise UsageError(f"tokens are {tokens.dtype} of shape {tokens.shape}, wanted integers (n,)")
    if tokens.size and not (tokens.min() >= 0 and tokens.max() < n_vocab):
        bad = tokens[(tokens < 0) | (tokens >= n_vocab)][0]
        raise UsageError(f"token {bad} is outside the vocabulary, wanted 0 to {n_vocab - 1}")
    if position < 0 or position + tokens.size > state.n_ctx:
        raise UsageError(
            f"{tokens.size} tokens at position {position} do not fit a context of {state.n_ctx}"
        )
    if state.memories and position != state.length:
        raise UsageError(
            f"position {position}: this model has a memory of all tokens so far and can go on from "
            f"{max(state.length, 0)}, or from where `rewind` goes back to"
        )
    if position and not executor.plan.causal:
        raise UsageError(f"position {position}: this model reads a text as a whole, from 0")
    if not state.is_current(position):
        raise UsageError(
            f"position {position}: what was read before has been read under other patches; go on "
            "from where `rewind` goes back to"
        )
    if not state.holds(position):
        raise UsageError(
            f"position {position}: of layers that read a window of positions alone, those are no "
            "longer there; go on from where `rewind` goes back to"
        )
    if outputs not in get_args(Outputs):
        raise UsageError(f"outputs {outputs!r} is not known, wanted all, last, none or hidden")
    return np.ascontiguousarray(tokens, np.int32)
