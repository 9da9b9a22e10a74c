"""One model that is served: who waits for it, its process, and what became of earlier ones."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from vatra.errors import Unavailable, VatraError, printable
from vatra.server.errors import Busy, Crashed
from vatra.server.jobs import Job, Loading, State
from vatra.server.process import Answer, Process

LOG = logging.getLogger("vatra.server")
MOST_CRASHES, WITHIN_S = 3, 60.0
REMEMBERED = 32  # requests whose time tells how long the next ones may take
MOST_RETRY_S = 600


class Host:
    """Gives each request its turn, in order: at most `loading.parallel` at once, `queue` waiting.

    The first request loads the model, once `room` says that there is room for one more; after
    `idle_s` without any it is unloaded. `changed` is called whenever another model may get room. A
    process that ends by itself is started again when somebody wants it; after the third time
    within a minute that is refused until `forgive`. A file that has changed is loaded anew.
    """

    def __init__(
        self,
        name: str,
        loading: Loading,
        queue: int,
        idle_s: float,
        room: Callable[[Host], Awaitable[None]],
        changed: Callable[[], None],
    ) -> None:
        self.name, self.loading = name, loading
        self.process: Process | None = None
        self.leaving = False  # nobody gets a turn, so that it can be unloaded
        self.n_running = 0  # requests that have had their turn, and are not done
        self.last_used = 0.0
        self.error = ""
        self.counts: Counter[str] = Counter()
        self.waiting: deque[asyncio.Future[Process]] = deque()
        self._queue, self._idle_s, self._room, self._changed = queue, idle_s, room, changed
        self._opening: asyncio.Task[None] | None = None  # waits for room, and loads
        self.is_starting = False  # it has room, and no process yet
        self._stopping: asyncio.Task[None] | None = None
        self._crashes: deque[float] = deque(maxlen=MOST_CRASHES)
        self._refused = False
        self._took: deque[float] = deque(maxlen=REMEMBERED)  # seconds of the latest requests
        self._load_s = 1.0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def state(self) -> State:
        """What is to be said of the model."""
        if self.process is not None:
            return "ready"
        return "loading" if self._opening else "failed" if self.error else "unloaded"

    @property
    def has_room(self) -> bool:
        """Whether it takes the memory of a loaded model."""
        return self.process is not None or self.is_starting or self._stopping is not None

    @property
    def is_idle(self) -> bool:
        """Whether unloading it would end nobody's request."""
        return self.process is not None and not self.n_running and self._stopping is None

    async def load(self) -> None:
        """Have the process, also after too many crashes."""
        self.forgive()
        if self.process is None:
            await self.turn()
            self.done()

    def forgive(self) -> None:
        """Forget crashes, so that whoever asks next has the process started again."""
        self._refused, self.error = False, ""
        self._crashes.clear()

    async def turn(self) -> Process:
        """Wait for a turn; whoever got it calls `done` once. Raises Busy, or why there is none."""
        if self._closed:
            raise Unavailable("the server is stopping")
        if self._refused:
            raise self._crash()
        turn = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        self._admit()
        most = self._queue + self.loading.parallel - self.n_running
        if not turn.done() and len(self.waiting) > most:
            self.waiting.remove(turn)
            raise Busy(len(self.waiting), self.retry_after())
        try:
            return await turn
        except asyncio.CancelledError:
            if turn in self.waiting:
                self.waiting.remove(turn)
            elif turn.done() and not turn.cancelled() and not turn.exception():
                self.done()
            self._changed()
            raise

    def ask(self, process: Process, job: Job) -> Answer:
        """The answer to `job` by a process that `turn` gave, which is done when it has ended."""
        began = time.monotonic()

        def done(message: Mapping[str, Any]) -> None:
            counts = message.get("counts", {})
            self.counts.update(counts)
            self.counts["requests"] += 1
            self.counts["errors"] += "error" in message
            self._took.append(time.monotonic() - began)
            self.done()

        try:
            return process.ask(job, done)
        except BaseException:
            self.done()
            raise

    def done(self) -> None:
        """A turn is over."""
        self.n_running -= 1
        self.last_used = time.monotonic()
        self._admit()
        self._changed()
        self._wait_for_idleness()

    def retry_after(self) -> int:
        """In how many seconds one who comes then may find a place in the queue, roughly."""
        usual = sum(self._took) / len(self._took) if self._took else 1.0
        ahead = usual * (1 + len(self.waiting) / self.loading.parallel) / 2
        loading = 0.0 if self.process else self._load_s
        return min(max(1, math.ceil(ahead + loading)), MOST_RETRY_S)

    def admit(self) -> None:
        """Give turns again, after `leaving`."""
        self.leaving = False
        self._admit()

    def _admit(self) -> None:
        """Give a turn to those who can have one, in order; start what is needed for that."""
        if not self.waiting or self._closed:
            return
        if self.process is None:
            if self._opening is None and self._stopping is None:
                self._opening = asyncio.create_task(self._open())
            return
        if not self.n_running and not self._stopping and self.process.is_outdated:
            LOG.info("%s: the file has changed", printable(self.name))
            self._begin_to_stop()
        if self.leaving or self._stopping:
            return
        while self.waiting and self.n_running < self.loading.parallel:
            turn = self.waiting.popleft()
            if not turn.done():
                self.n_running += 1
                turn.set_result(self.process)

    async def _open(self) -> None:
        """Load the model, when there is room, and let those in who wait."""
        try:
            await self._room(self)
            if self.waiting:
                began = time.monotonic()
                self.process = await Process.start(self.name, self.loading, self._ended)
                self._load_s = time.monotonic() - began
                self.error, self.last_used = "", time.monotonic()
                LOG.info("%s: loaded in %.1f s", printable(self.name), self._load_s)
                for note in self.process.loaded.notes:
                    LOG.info("%s: %s", printable(self.name), printable(note))
        except VatraError as error:
            self.error = str(error)
            if isinstance(error, Crashed):
                self._count_crash(self.error)
                error = self._crash()
            self._fail(error)
        except Exception as error:  # a limit on processes, files, memory
            self.error = f"its process can not be started: {error}"
            self._fail(self._crash())
        finally:
            self.is_starting, self._opening = False, None
            self._admit()
            self._changed()
            self._wait_for_idleness()

    def _ended(self, why: str) -> None:
        """The process has ended without being asked to; its requests have their errors."""
        LOG.error("%s: %s", printable(self.name), why)
        self.process = None
        self.error = why
        self._count_crash(why)
        if self._refused:
            self._fail(self._crash())
        self._admit()
        self._changed()

    def _count_crash(self, why: str) -> None:
        self.counts["crashes"] += 1
        now = time.monotonic()
        self._crashes.append(now)
        if len(self._crashes) == MOST_CRASHES and now - self._crashes[0] < WITHIN_S:
            self._refused = True
            self.error = f"{why}; it was the third time within a minute: load it again to try"

    def _crash(self) -> Crashed:
        return Crashed(f"{printable(self.name)}: {self.error}")

    def _fail(self, error: VatraError) -> None:
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_exception(error)

    def _wait_for_idleness(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.is_idle and self._idle_s and not self.waiting:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._idle_s, self._unload_idle)

    def _unload_idle(self) -> None:
        self._timer = None
        if self.is_idle and not self.waiting:
            LOG.info("%s: unloaded, as nobody used it", printable(self.name))
            self._begin_to_stop()

    def _begin_to_stop(self) -> asyncio.Task[None]:
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        return self._stopping

    async def _stop(self) -> None:
        process, self.process = self.process, None
        try:
            if process is not None:
                await process.stop()
        finally:
            self._stopping = None
            self.admit()
            self._changed()

    async def unload(self) -> None:
        """Give the model's memory back now; what it does is lost. Who waits has it loaded again."""
        if self._stopping or self.process:
            await asyncio.shield(self._begin_to_stop())

    async def close(self) -> None:
        """Unload it for good."""
        self._closed = True
        self._fail(Unavailable("the server is stopping"))
        if self._timer is not None:
            self._timer.cancel()
        if self._opening is not None:
            self._opening.cancel()
            with suppress(asyncio.CancelledError):
                await self._opening
        await self.unload()
