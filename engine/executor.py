"""What every executor offers, and the memory of one sequence."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import InitVar, dataclass, field
from typing import ClassVar, Literal, Protocol, get_args, runtime_checkable

import numpy as np

from vatra.engine.kernels.layout import PAGE as PAGE
from vatra.engine.kernels.layout import first_read
from vatra.engine.pages import OutOfPages as OutOfPages
from vatra.engine.pages import Pages, PageTable, Shape, zeros
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

    `keys[i]` and `values[i]` are pages for the plan's i-th cache: here (n_pages, n_head_kv, PAGE,
    key_dim or own_value_dim), while other executors keep them in an order of their own, and of no
    more positions than `capacities[i]`. `tables[i]` says which pages those of this state are: of a
    `pool` that many states share, taken as it grows and given back when it is closed or dropped, or
    else of its own. `shared` pages, its first, are not written.

    A run at a position overwrites from there on: truncating is running again from an earlier
    position, as far as `rewind` can go back. `memories[i]` is what the plan's i-th recurrent op has
    made of all `length` tokens: a run goes on from there, or from where `rewind` has gone back to.

    What is held is of the executor's `edition` at that time: with another one a run begins at 0,
    and goes on as far as that and the next have come.
    """

    LAYOUT: ClassVar[str] = "plain 2"  # to be changed with the order that values lie in

    executor: Executor
    n_ctx: int
    kv: KVType
    pool: Pages | None = None
    shared: InitVar[Sequence[int]] = ()
    capacities: list[int] = field(init=False)
    tables: list[PageTable] = field(init=False)
    keys: list[Array] = field(init=False)
    values: list[Array] = field(init=False)
    memories: list[Array] = field(init=False)
    length: int = field(default=0, init=False)
    reached: int = field(default=0, init=False)  # the end of the longest text since it was empty
    edition: tuple[object, ...] = field(default=(), init=False)
    _current: int = field(default=ALL, init=False)  # positions that are surely of that edition
    closed: bool = field(default=False, init=False)
    _marks: dict[int, list[Array]] = field(default_factory=dict, init=False, repr=False)
    _passing: dict[int, list[Array]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self, shared: Sequence[int]) -> None:
        if self.n_ctx < 1:
            raise UsageError(f"a context of {self.n_ctx} tokens is not possible, wanted at least 1")
        _check_kv(self.kv)
        most = self.executor.plan.n_positions
        if most is not None and self.n_ctx > most:
            raise UsageError(
                f"a context of {self.n_ctx} tokens is not possible: this model has learned "
                f"{most} positions, and knows no others"
            )
        caches = self.executor.plan.caches
        try:
            if self.pool is None:
                self._allocate(caches)
            else:
                self._share(caches, self.pool, shared)
            self.memories = [zeros(m.shape, np.float32) for m in self.executor.plan.memories]
        except (MemoryError, OverflowError, ValueError, OutOfMemory) as error:
            needed = self.kv_bytes(caches, self.kv, self.n_ctx)
            raise OutOfMemory(
                f"a context of {self.n_ctx} tokens needs {needed / 2**20:.0f} MiB of KV cache, "
                "which this machine cannot give; ask for a shorter context"
            ) from error

    def _allocate(self, caches: list[KVCache]) -> None:
        """Have pages of its own: those of caches that keep as many positions in one table."""
        self.capacities = [self.capacity(cache, self.n_ctx) for cache in caches]
        made = dict[int, PageTable]()
        for n in self.capacities:
            if n not in made:
                alike = [c for c, own in zip(caches, self.capacities, strict=True) if own == n]
                shapes = [self.page_shape(cache, self.kv) for cache in alike]
                made[n] = PageTable(Pages(shapes, -(-n // PAGE)), self.n_ctx, n)
                made[n].make_room(0, self.n_ctx)
        self.tables = [made[n] for n in self.capacities]
        sides = {n: (iter(table.pages.keys), iter(table.pages.values)) for n, table in made.items()}
        self.keys = [next(sides[n][0]) for n in self.capacities]
        self.values = [next(sides[n][1]) for n in self.capacities]

    def _share(self, caches: list[KVCache], pages: Pages, shared: Sequence[int]) -> None:
        """Take pages of `pages`, where every cache keeps all positions."""
        if not self._fit(pages):
            raise UsageError("these pages are of another model, executor or KV type")
        if shared and not self._may_share:
            raise UsageError("this model keeps more of a text than pages: it can share none")
        if len(shared) * PAGE > self.n_ctx:
            raise UsageError(f"{len(shared)} shared pages do not fit a context of {self.n_ctx}")
        self.capacities = [self.n_ctx] * len(caches)
        self.tables = [pages.table(self.n_ctx, shared)] * len(caches)
        self.keys, self.values = pages.keys, pages.values
        self.length = self.reached = len(shared) * PAGE
        self.edition = self.executor.edition if shared else ()

    def _fit(self, pages: Pages) -> bool:
        """Whether `pages` are of this executor, model and KV type."""
        caches = self.executor.plan.caches
        return pages.shapes == [self.page_shape(cache, self.kv) for cache in caches]

    @property
    def _may_share(self) -> bool:
        """Whether pages are all that is kept of earlier tokens, whatever comes later."""
        plan = self.executor.plan
        return plan.causal and not plan.memories

    @staticmethod
    def page_shape(cache: KVCache, kv: KVType) -> Shape:
        """What one page has of `cache`."""
        heads, dtype = cache.n_head_kv, _DTYPES[kv]
        return Shape((heads, PAGE, cache.key_dim), (heads, PAGE, cache.own_value_dim), dtype)

    @staticmethod
    def capacity(cache: KVCache, n_ctx: int) -> int:
        """Positions of a context that `cache` keeps at once."""
        return n_ctx

    @classmethod
    def bytes_per_token(cls, cache: KVCache, kv: KVType) -> int:
        """Memory that one position of `cache` takes."""
        return cls.page_shape(cache, kv).nbytes // PAGE

    @classmethod
    def kv_bytes(cls, caches: list[KVCache], kv: KVType, n_ctx: int) -> int:
        """Memory that `caches` take for a context of `n_ctx` tokens."""
        return sum(cls.capacity(c, n_ctx) * cls.bytes_per_token(c, kv) for c in caches)

    @classmethod
    def new_pages(cls, plan: Plan, n_tokens: int, kv: KVType) -> Pages:
        """Pages for at least `n_tokens` of states that share them; raises OutOfMemory."""
        _check_kv(kv)
        return Pages([cls.page_shape(cache, kv) for cache in plan.caches], pages_for(n_tokens))

    def pages(self, n_tokens: int) -> tuple[int, ...]:
        """The pages that hold the first n_tokens // PAGE * PAGE tokens, for others to begin with.

        None if the state has its own pages, or keeps more of a text than these.
        """
        if self.pool is None or not self._may_share or not self.tables:
            return ()
        return tuple(self.tables[0].ids[: min(n_tokens, self.reached) // PAGE].tolist())

    def close(self) -> None:
        """Give the pages back; the state cannot be run again."""
        self.closed = True
        for table in self.tables:
            table.close()

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

    def make_room(self, position: int, n_tokens: int) -> None:
        """Have pages for a run that nobody else holds; raises OutOfPages, and nothing is lost."""
        if self.pool is not None and n_tokens:
            for table in self.tables[:1]:
                table.make_room(position, position + n_tokens)

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
        arrays = [a.copy() for a in self.parts(self.reached)]
        marks, read = dict(self._marks), (self.edition, self._current)
        return Saved(arrays, self.n_ctx, self.length, self.reached, marks, *read)

    def restore(self, saved: Saved) -> None:
        """Hold what `saved` has; UsageError if that is of another shape."""
        fits = saved.n_ctx == self.n_ctx
        if fits:
            self.make_room(0, saved.reached)
            parts = self._parts(saved.reached, saved.reached)
            shapes = [[(a.shape, a.dtype) for a in arrays] for arrays in (parts, saved.arrays)]
            fits = shapes[0] == shapes[1]
        if not fits:
            raise UsageError("this state is of another model, or of a context of another length")
        for mine, kept in zip(parts, saved.arrays, strict=True):
            mine[...] = kept
        self.keep(parts)
        self.length, self.reached, self._marks = saved.length, saved.reached, dict(saved.marks)
        self.edition, self._current = saved.edition, saved.current

    def parts(self, n_tokens: int) -> list[Array]:
        """All that is held of the first `n_tokens`, as contiguous views to be read and written.

        After they were written, `keep` them. Of caches that keep fewer positions than were reached
        it is all of their memory.
        """
        return self._parts(n_tokens, self.reached)

    def keep(self, parts: list[Array]) -> None:
        """Hold what was written to `parts`, where those are not the very memory."""

    def _parts(self, n_tokens: int, reached: int) -> list[Array]:
        found = list(self.memories)
        for side in (self.keys, self.values):
            for array, table, n in zip(side, self.tables, self.capacities, strict=True):
                used = -(-(n_tokens if reached <= n else n) // PAGE)
                found += [array[page] for page in table.ids[:used]]
        return found

    @property
    def marks(self) -> tuple[dict[int, list[Array]], dict[int, list[Array]]]:
        """The memories at marks, and at the passing one, by position; see `mark`."""
        return self._marks, self._passing

    @marks.setter
    def marks(self, marks: tuple[dict[int, list[Array]], dict[int, list[Array]]]) -> None:
        self._marks, self._passing = marks

    @property
    def nbytes(self) -> int:
        tables = {id(table): table for table in self.tables}.values()
        held = sum(len(table) * table.pages.page_bytes for table in tables)
        return held + sum(memory.nbytes for memory in self.memories)


class Outdated(UsageError):
    """What was read before was read under other patches than those that are now in force."""


def pages_for(n_tokens: int) -> int:
    """How many pages hold so many tokens; raises UsageError for less than one."""
    if n_tokens < 1:
        raise UsageError(f"pages for {n_tokens} tokens are not possible, wanted at least 1")
    return -(-n_tokens // PAGE)


def _check_kv(kv: str) -> None:
    if kv not in KV_TYPES:
        raise UsageError(f"KV type {kv!r} is not known, wanted {' or '.join(KV_TYPES)}")


@dataclass(frozen=True)
class Part:
    """What one sequence has in a batch: see `Executor.run`.

    `piece` is of how many tokens the run would be that these are cut from, up to
    `lowering.steps.MAX_TOKENS`, and 0 if they are all of it. It decides which kernels are chosen,
    so that a token's bits depend neither on the cut nor on what is run beside it.
    """

    state: State
    tokens: Array  # int32 (n,)
    position: int
    outputs: Outputs = "last"
    piece: int = 0


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

    def new_pages(self, n_tokens: int, kv: KVType = "f16") -> Pages:
        """Memory of at least `n_tokens` for many states together; raises OutOfMemory."""
        ...

    def new_state(
        self,
        n_ctx: int,
        kv: KVType = "f16",
        pages: Pages | None = None,
        shared: Sequence[int] = (),
    ) -> State:
        """An empty sequence of up to `n_ctx` tokens; raises OutOfMemory with the size it needs.

        With `pages` its memory is taken of these as it grows, see `State`, and it begins with the
        tokens that whole `shared` pages of them hold.
        """
        ...

    def run(self, state: State, tokens: Array, position: int, outputs: Outputs = "last") -> Array:
        """Evaluate int32 `tokens` (n,) at positions position ... position + n - 1.

        Returns float32 logits: (n, n_vocab) for "all", (1, n_vocab) for "last", (0, n_vocab) for
        "none"; of a plan that embeds, vectors (n_embd,) instead, as for "hidden" of any plan: (n,
        n_embd), see `Plan.hidden`. Raises UsageError where tokens or positions are out of range, or
        where the state can not go on from `position` (see `State.rewind`), which is Outdated where
        patches are the reason, OutOfPages where there are none for these tokens.
        """
        ...

    def run_batch(self, parts: Sequence[Part]) -> list[Array]:
        """What `run` of each part would return, with the same bits; each of another state.

        Nothing is run if any part would raise UsageError or OutOfPages.
        """
        ...

    def begin(self, part: Part) -> Iterator[Array | None]:
        """Evaluate a part of up to 256 tokens bit by bit: None after each, at last the outputs.

        Other runs, of other states, may come between.
        """
        ...

    def kind(self, n_tokens: int) -> Hashable:
        """What tells runs of `n_tokens` tokens from those whose results have other last bits."""
        ...


@runtime_checkable
class Chooser(Protocol):
    """An executor whose logits are far away: it can find the highest where they are."""

    def best(self, state: State, token: int, position: int) -> tuple[int, float] | None:
        """The likeliest token after `token`, and the logarithm of its probability.

        None where it can not tell, as of logits that are not finite: `run` does the same again.
        """
        ...
