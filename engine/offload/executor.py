"""An executor whose last layers run on a device, and the others where another executor has them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, ClassVar, NamedTuple

import numpy as np

from vatra.choices import Choice
from vatra.engine.executor import (
    Executor,
    Hook,
    KVType,
    Outputs,
    Part,
    State,
    pages_for,
)
from vatra.engine.kernels.layout import PAGE
from vatra.engine.lowering.steps import MAX_OUTPUTS, MAX_TOKENS
from vatra.engine.offload import memory
from vatra.engine.offload.check import check_ops
from vatra.engine.offload.device import Device
from vatra.engine.offload.layers import DeviceLayers, Rows
from vatra.engine.offload.lowering import FEW
from vatra.engine.offload.pages import DevicePages, page_shape
from vatra.engine.offload.split import Split
from vatra.engine.pages import Pages, PageTable, Shape
from vatra.engine.parts import cut, hand_out, prepared, room_for, together
from vatra.errors import Unavailable, UsageError
from vatra.models.plan import KVCache, Plan

Array = np.ndarray
MOST_ROWS = 64  # sequences that are decoded at once


class NearPages(Pages):
    """The part of `whole` that is not on the device, for a sequence that has a table already."""

    def __init__(self, whole: DevicePages, table: PageTable) -> None:
        n, self._table = whole.n_near, table
        self.shapes, self.n_pages = whole.shapes[:n], whole.n_pages
        self.keys, self.values = whole.keys[:n], whole.values[:n]

    def table(self, n_ctx: int, shared: Sequence[int] = ()) -> PageTable:
        """See `Pages.table`."""
        return self._table


@dataclass(eq=False)
class OffloadState(State):
    """One sequence in two places: `near` is its state in the other executor, of the same pages."""

    LAYOUT: ClassVar[str] = "offload 1"

    near: State = field(init=False, repr=False)

    @property
    def own(self) -> OffloadExecutor:
        """Its executor."""
        assert isinstance(self.executor, OffloadExecutor)
        return self.executor

    def _allocate(self, caches: list[KVCache]) -> None:
        self._share(caches, self.own.new_pages(self.n_ctx, self.kv), ())
        for table in self.tables[:1]:
            table.make_room(0, self.n_ctx)

    def _fit(self, pages: Pages) -> bool:
        return isinstance(pages, DevicePages) and pages.shapes == [
            *self.own.near_shapes(self.kv),
            *map(page_shape, self.own.layers.caches),
        ]

    def _share(self, caches: list[KVCache], pages: Pages, shared: Sequence[int]) -> None:
        super()._share(caches, pages, shared)
        assert isinstance(pages, DevicePages)
        self.held = pages
        near = NearPages(pages, self.tables[0])
        self.near = self.own.near.new_state(self.n_ctx, self.kv, near, shared)

    @property
    def page_ids(self) -> Array:
        """int64: its pages, in order of their positions."""
        return self.tables[0].ids[: len(self.tables[0])]

    def _parts(self, n_tokens: int, reached: int) -> list[Array]:
        ids = self.page_ids[: -(-n_tokens // PAGE)]
        return [side[page] for side in (*self.keys, *self.values) for page in ids]

    def keep(self, parts: list[Array]) -> None:
        """See `State.keep`."""
        sides: list[Any] = [*self.keys, *self.values]
        n = len(parts) // max(len(sides), 1)
        for i, side in enumerate(sides):
            for page, part in zip(self.page_ids[:n], parts[i * n : (i + 1) * n], strict=True):
                side[page] = part
        self.near.edition, self.near.length = self.near.executor.edition, self.length


class _Piece(NamedTuple):
    """The tokens of a part that one run of the device evaluates."""

    part: Part
    given: Array  # (n, width)
    kept: Array  # (n_outputs, width): where its outputs go
    start: int
    few: bool

    @property
    def rows(self) -> Rows:
        assert isinstance(self.part.state, OffloadState)
        position = self.part.position + self.start
        return Rows(position, len(self.given), len(self.kept), self.part.state.page_ids)


class OffloadExecutor:
    """Runs the plan of `layers.split`: see `Executor`. Its KV caches are f16."""

    state_class: ClassVar[type[State]] = OffloadState

    def __init__(self, layers: DeviceLayers, near: Callable[[Plan], Executor]) -> None:
        self.layers, self.plan = layers, layers.split.plan
        self.near = near(layers.split.near)
        self.hooks: dict[str, Hook] = {}
        self.edition: tuple[object, ...] = ()
        self.n_threads = int(getattr(self.near, "n_threads", 1))

    def follow(self, plan: Plan) -> None:
        """See `Executor.follow`; raises UsageError."""
        raise UsageError("a model with layers on a device cannot be patched; load it without")

    @staticmethod
    def weight_bytes(plan: Plan) -> int:
        """See `Executor.weight_bytes`."""
        return sum(weight.nbytes for weight in plan.weights())

    def near_shapes(self, kv: KVType) -> list[Shape]:
        """What a page has of the caches of the near layers."""
        return [self.near.state_class.page_shape(cache, kv) for cache in self.near.plan.caches]

    def new_pages(self, n_tokens: int, kv: KVType = "f16") -> DevicePages:
        """See `Executor.new_pages`."""
        if kv != "f16":
            raise UsageError(f"a KV cache on a device is f16, got {kv}")
        return self.layers.new_pages(self.near_shapes(kv), pages_for(n_tokens))

    def new_state(
        self,
        n_ctx: int,
        kv: KVType = "f16",
        pages: Pages | None = None,
        shared: Sequence[int] = (),
    ) -> OffloadState:
        """See `Executor.new_state`."""
        return OffloadState(self, n_ctx, kv, pages, shared)

    def kind(self, n_tokens: int) -> Hashable:
        """See `Executor.kind`."""
        return self.near.kind(n_tokens), n_tokens <= FEW, self.edition

    def run(self, state: State, tokens: Array, position: int, outputs: Outputs = "last") -> Array:
        """See `Executor.run`."""
        return self.run_batch([Part(state, tokens, position, outputs)])[0]

    def begin(self, part: Part) -> Iterator[Array | None]:
        """See `Executor.begin`: all at once."""
        yield self.run_batch([part])[0]

    def run_batch(self, parts: Sequence[Part]) -> list[Array]:
        """See `Executor.run_batch`: the near layers of all parts, then those of the device."""
        if self.hooks:
            raise UsageError("tensors of a model with layers on a device cannot be watched")
        with ExitStack() as running:
            parts = prepared(self, parts)
            states = [part.state for part in parts]
            for part in parts:
                running.enter_context(part.state.running(part.position, len(part.tokens)))
            given = self.near.run_batch(
                [
                    Part(state.near, part.tokens, part.position, "hidden", part.piece)
                    for part, state in zip(parts, states, strict=True)
                    if isinstance(state, OffloadState)
                ]
            )
            kept = [room_for(self.plan, part) for part in parts]
            pieces = [self._pieces(*each) for each in zip(parts, given, kept, strict=True)]
            for each in zip_longest(*pieces):
                for _, some in together(filter(None, each), _kind_of, _fit):
                    self._run(some)
        return kept

    def best(self, state: State, token: int, position: int) -> tuple[int, float] | None:
        """See `Chooser.best`."""
        if self.hooks:
            return None
        [part] = prepared(self, [Part(state, np.array([token]), position)])
        assert isinstance(state, OffloadState)
        with state.running(position, 1):
            given = self.near.run(state.near, part.tokens, position, "hidden")
            rows = [Rows(position, 1, 1, state.page_ids)]
            tokens, logprobs = self.layers.best(given, rows, state.held, True)
        return None if logprobs[0] > 0 else (int(tokens[0]), float(logprobs[0]))

    def _pieces(self, part: Part, given: Array, kept: Array) -> list[_Piece]:
        """`part` cut into what single runs can take."""
        most = MAX_OUTPUTS if part.outputs == "all" else MAX_TOKENS
        return [
            _Piece(part, given[i:end], rows, i, (min(part.piece, MAX_TOKENS) or end - i) <= FEW)
            for i, end, rows in cut(part, kept, most)
        ]

    def _run(self, pieces: list[_Piece]) -> None:
        """Evaluate `pieces` together and keep their outputs."""
        first = pieces[0]
        assert isinstance(first.part.state, OffloadState)
        run = self.layers.hidden if first.part.outputs == "hidden" else self.layers.run
        given = np.concatenate([piece.given for piece in pieces])
        found = run(given, [p.rows for p in pieces], first.part.state.held, first.few)
        hand_out(found, (piece.kept for piece in pieces))

    def most_tokens(self) -> int | None:
        """Of KV caches that texts share: what the device has room for."""
        return memory.most_tokens(self.layers.device, self.layers.caches)

    def report(self) -> list[Choice]:
        """What the near layers' executor decided."""
        return list(getattr(self.near, "report", list)())

    def close(self) -> None:
        """End the threads of the near layers, and give the device's memory back."""
        getattr(self.near, "close", lambda: None)()
        self.layers.device.close()


def open_on(device: Device, cut: Split, near: Callable[[Plan], Executor]) -> tuple[Executor, str]:
    """An executor with the last layers of `cut` on a device, and "".

    Where there are none, a kernel is wrong, or the driver fails, it is `near`'s alone, and why.
    Raises OutOfMemory.
    """
    int8, why = device.adapter.multiplies_int8, cut.reason
    try:
        if wrong := [found for found in check_ops(device, cut.far, int8=int8) if not found.ok]:
            more = f", and {len(wrong) - 1} more" if wrong[1:] else ""
            why = f"its kernels are wrong: {wrong[0]}{more}"
        elif cut.n:
            return OffloadExecutor(DeviceLayers(device, cut, int8=int8), near), ""
    except Unavailable as error:
        why = str(error)
    except BaseException:
        device.close()
        raise
    device.close()
    return near(cut.plan), why


class _Kind(NamedTuple):
    """What pieces of one run have in common."""

    pages: int  # id
    few: bool
    hidden: bool


def _kind_of(piece: _Piece) -> _Kind:
    state = piece.part.state
    assert isinstance(state, OffloadState)
    return _Kind(id(state.held), piece.few, piece.part.outputs == "hidden")


def _fit(kind: _Kind, pieces: list[_Piece]) -> bool:
    """Whether one run has room and memory for all of them."""
    most = MOST_ROWS if kind.few else MAX_TOKENS
    if sum(len(p.given) for p in pieces) > most:
        return False
    return kind.hidden or sum(len(p.kept) for p in pieces) <= MAX_OUTPUTS
