"""The steps of an answer for programs with an event loop, which goes on while they are made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vatra.engine.generation import Step, Steps

Progress = Callable[[int, int], None]


class AsyncSteps(AsyncIterator["Step"]):
    """The steps of one answer, each made in a thread of its own when it is asked for.

    `begin` reads the prompt, tells how far it is, and returns the `steps`, which are there from the
    first one on (None before). A task that is cancelled, and `aclose`, end the answer with the
    token, or the piece of the prompt, that is being evaluated. What goes wrong in the thread is
    raised where the step is awaited.
    """

    def __init__(self, begin: Callable[[Progress], Steps]) -> None:
        self.steps: Steps | None = None
        self._begin = begin
        self._closed = False
        self._thread = ThreadPoolExecutor(1, "vatra-steps")
        self._running: Future[Step | None] | None = None

    async def __anext__(self) -> Step:
        if self._closed:
            raise StopAsyncIteration
        step = None
        self._running = self._thread.submit(self._next)
        try:
            step = await asyncio.wrap_future(self._running)
        finally:
            if step is None:
                self._close()
        if step is None:
            raise StopAsyncIteration
        return step

    async def aclose(self) -> None:
        """End the answer here, and wait until nothing is evaluated for it any more."""
        self._close()
        if self._running is not None:
            await asyncio.wait([asyncio.wrap_future(self._running)])

    def _next(self) -> Step | None:
        """The next step, None at the end: a StopIteration can not leave a thread."""
        if self.steps is None:
            try:
                self.steps = self._begin(self._go_on)
            except _Closed:
                return None
        return None if self._closed else next(self.steps, None)

    def _go_on(self, done: int, total: int) -> None:
        """Called between two pieces of the prompt."""
        if self._closed:
            raise _Closed

    def _close(self) -> None:
        """Go no further; the session is free for others when its thread has done with it."""
        if not self._closed:
            self._closed = True
            self._thread.shutdown(wait=False)
            if self._running is not None:
                self._running.add_done_callback(self._end)

    def _end(self, _done: Future[Step | None]) -> None:
        if self.steps is not None:
            self.steps.close()


class _Closed(Exception):
    """Ends the reading of a prompt that nobody waits for."""
