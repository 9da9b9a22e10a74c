"""Pages: the memory of KV caches, `layout.PAGE` positions at a time, and who holds which."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from vatra.engine.kernels.layout import PAGE
from vatra.engine.memory import mebibytes
from vatra.errors import OutOfMemory, UsageError

Array = np.ndarray
_CACHE_LINE = 64  # bytes


class OutOfPages(OutOfMemory):
    """All pages are held; what was read so far is as it was."""


class Shape(NamedTuple):
    """What one page has of one cache: the shapes of its keys and of its values."""

    keys: tuple[int, ...]
    values: tuple[int, ...]
    dtype: type[np.generic]

    @property
    def nbytes(self) -> int:
        return (prod(self.keys) + prod(self.values)) * np.dtype(self.dtype).itemsize


class Pages:
    """`n_pages` pages of as many caches as there are `shapes`: of one state, or of many.

    `keys[i]` and `values[i]` are (n_pages, *the shape of a page's). A page that nobody holds is
    free, and holds anything. Raises OutOfMemory.
    """

    def __init__(self, shapes: Sequence[Shape], n_pages: int) -> None:
        self.shapes, self.n_pages = list(shapes), n_pages
        try:
            self.keys = [self._memory(i, s.keys) for i, s in enumerate(self.shapes)]
            self.values = [self._memory(i, s.values) for i, s in enumerate(self.shapes)]
        except (MemoryError, OverflowError, ValueError) as error:
            raise OutOfMemory(
                f"{n_pages * PAGE} tokens need {mebibytes(n_pages * self.page_bytes)} of KV cache, "
                "which this machine cannot give; ask for fewer"
            ) from error
        self._holders = [0] * n_pages
        self._free = list(range(n_pages - 1, -1, -1))  # the next one last
        self._lock = threading.RLock()  # states are closed by whatever thread drops them

    def _memory(self, i: int, shape: tuple[int, ...]) -> Array:
        """Of what `shape` pages have of the i-th cache."""
        return zeros((self.n_pages, *shape), self.shapes[i].dtype)

    @property
    def n_free(self) -> int:
        """Pages that nobody holds."""
        return len(self._free)

    @property
    def page_bytes(self) -> int:
        """Bytes of memory of one page."""
        return sum(shape.nbytes for shape in self.shapes)

    def take(self) -> int:
        """A free page, held once; raises OutOfPages."""
        with self._lock:
            if not self._free:
                raise OutOfPages(
                    f"all {self.n_pages} pages of the KV cache, {self.n_pages * PAGE} tokens, are "
                    "in use; wait until a text ends, or make it larger"
                )
            page = self._free.pop()
            self._holders[page] = 1
            return page

    def table(self, n_ctx: int, shared: Sequence[int] = ()) -> PageTable:
        """That of a sequence of up to `n_ctx` tokens, which begins with the `shared` pages."""
        return PageTable(self, n_ctx, n_ctx, shared)

    def hold(self, page: int) -> None:
        """Hold a page once more; raises UsageError for one that nobody holds."""
        with self._lock:
            self._holders[self._held(page)] += 1

    def release(self, page: int) -> None:
        """Hold a page once less: it is free when nobody does; raises UsageError if it was."""
        with self._lock:
            self._holders[self._held(page)] -= 1
            if not self._holders[page]:
                self._free.append(page)

    def holders(self, page: int) -> int:
        """How many times a page is held."""
        return self._holders[page]

    def copy(self, page: int, to: int) -> None:
        """Make page `to` hold what `page` does."""
        for side in (*self.keys, *self.values):
            side[to] = side[page]

    def _held(self, page: int) -> int:
        if not 0 <= page < self.n_pages or not self._holders[page]:
            raise UsageError(f"page {page} is held by nobody")
        return page


class PageTable:
    """The pages of one sequence: int64 `ids[i]` is that of positions PAGE * i and on.

    There are `capacity` positions at the most; later ones take the places of the first.
    """

    def __init__(self, pages: Pages, n_ctx: int, capacity: int, shared: Iterable[int] = ()) -> None:
        self.pages, self._most = pages, -(-capacity // PAGE)
        self.ids = np.zeros(-(-n_ctx // PAGE), np.int64)
        self._held: list[int] = []
        self.close = weakref.finalize(self, _release, pages, self._held)
        self.close.atexit = False
        for page in shared:
            pages.hold(page)
            self._append(page)

    def __len__(self) -> int:
        """Pages that are there."""
        return len(self._held)

    def make_room(self, begin: int, end: int) -> None:
        """Have pages up to position `end`, that from `begin` on nobody else holds.

        Of one that others hold, what is before `begin` is copied. Raises OutOfPages; what is before
        `begin` is then still there.
        """
        held = self._held
        for i in range(begin // PAGE, min(-(-end // PAGE), len(held))):
            if self.pages.holders(shared := held[i]) > 1:
                own = self.pages.take()
                if i * PAGE < begin:
                    self.pages.copy(shared, own)
                self.ids[i] = held[i] = own
                self.pages.release(shared)
        while len(held) * PAGE < end and len(held) < self._most:
            self._append(self.pages.take())

    def _append(self, page: int) -> None:
        self.ids[len(self._held) :: self._most] = page
        self._held.append(page)


def _release(pages: Pages, held: list[int]) -> None:
    while held:
        pages.release(held.pop())


def zeros(shape: tuple[int, ...], dtype: type[np.generic]) -> Array:
    """Zeros that begin a cache line: else every vector of 16 float32 lies across two."""
    n_bytes = prod(shape) * np.dtype(dtype).itemsize
    memory = np.zeros(n_bytes + _CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % _CACHE_LINE
    return memory[start : start + n_bytes].view(dtype).reshape(shape)
