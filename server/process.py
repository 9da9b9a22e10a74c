"""A worker process seen from the front: started, asked, and never a reason to wait for another.

Both directions are lines of JSON, on the process's standard input and output. The front begins with
`Loading`, and then sends {"id", "job", "with"} and {"cancel": id}. The worker answers the first
with {"loaded"} or {"refused"}, a job with any number of {"id", "event", "with"} and at last one
{"id", "done"}, which has a "result" or an "error"; {"fatal"} says why it ends by itself. {"ping"}
is answered with {"pong"} at once, also while it loads: a process that hangs does not, and is ended.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from itertools import count
from typing import Any

from vatra.engine.fields import read
from vatra.engine.writing import Begun, Ended, Piece
from vatra.errors import Unavailable, VatraError, printable
from vatra.server import codec, death
from vatra.server.errors import Crashed
from vatra.server.jobs import Event, Job, Loaded, Loading, Vector

LOG = logging.getLogger("vatra.server")
COMMAND = [sys.executable, "-P", "-m", "vatra.server.worker"]
MOST_LINE = 256 * 2**20  # bytes of an answer
MOST_LOGGED = 1000  # characters of a line
MOST_UNREAD = 8 * 2**20  # bytes, roughly, of an answer that nobody reads
STOP_S = 1.0
PING_S = 10.0  # while it has something to do
MOST_PINGS = 6  # without an answer, of any kind

_EVENTS: dict[str, type[Event]] = {kind.__name__: kind for kind in (Begun, Piece, Ended, Vector)}


class Answer(AsyncIterator[Event]):
    """The events of one job as they come; then `result`.

    Pieces that were not read yet become one, so that a slow reader costs little memory; one that
    stops reading loses the answer. `cancel` ends it within a token.
    """

    def __init__(self, cancel: Callable[[], None], done: Callable[[Mapping[str, Any]], None]):
        self.result: Any = None
        self.ended = False
        self._cancel, self._done = cancel, done
        self._unread: deque[Event] = deque()
        self._cost = 0  # bytes of _unread
        self._error: VatraError | None = None
        self._news = asyncio.Event()

    async def __anext__(self) -> Event:
        while not self._unread:
            if self._error is not None:
                raise self._error
            if self.ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        event = self._unread.popleft()
        self._cost = self._cost if self._unread else 0
        return event

    def cancel(self) -> None:
        """Let the worker end this, unless it has."""
        if not self.ended and self._error is None:
            self._error = Unavailable("this answer was cancelled")
            self._cancel()

    def push(self, event: Event, n_bytes: int) -> None:
        """Add what the worker said in `n_bytes`."""
        if self._error is not None:
            return
        self._cost += n_bytes
        if self._cost > MOST_UNREAD:
            self.cancel()
            self._unread.clear()
            self._error = Unavailable(
                f"of this answer {self._cost} bytes were not read: it was cancelled"
            )
        elif not self._joined(event):
            self._unread.append(event)
        self._news.set()

    def _joined(self, new: Event) -> bool:
        """Whether `new` could be made part of the last event that was not read."""
        old = self._unread[-1] if self._unread else None
        if not isinstance(old, Piece) or not isinstance(new, Piece) or old.tool_calls:
            return False
        if new.tool_calls or (old.text and new.reasoning):  # which must stay in order
            return False
        self._unread[-1] = Piece(
            old.text + new.text, old.reasoning + new.reasoning, (), (*old.tokens, *new.tokens)
        )
        return True

    def end(self, done: Mapping[str, Any]) -> None:
        """The worker has done with it: `done` is its last message, or what stands for that."""
        error = codec.raised(done["error"]) if "error" in done else None
        self._error = self._error or error
        self.result = done.get("result")
        self.ended = True
        self._news.set()
        self._done(done)


class Process:
    """One worker process; `start` it, then `ask`. `loaded` is what it said of its model.

    `ended` is called once, with a sentence, when it ends without being asked to.
    """

    def __init__(self, name: str, child: asyncio.subprocess.Process) -> None:
        self.name = name
        self.loaded = Loaded(0, "", (), ())
        self.pages = 0, 0  # of the KV cache: in use, and all there are
        self._child = child
        self._answers: dict[int, Answer] = {}
        self._ids = count(1)
        self._kills = death.kills_for_memory()
        self._stopping = False
        self._gone: VatraError | None = None  # why nothing can be asked any more
        self._fatal = self._last_words = ""
        self._ended: Callable[[str], None] = lambda why: None
        self._n_pings = 0  # since it last said anything
        self._watching = asyncio.create_task(self._watch())
        self._tasks = [asyncio.create_task(self._pass_on())]

    @classmethod
    async def start(cls, name: str, loading: Loading, ended: Callable[[str], None]) -> Process:
        """A process that has loaded its model; raises what `vatra.load` does, or Crashed."""
        child = await asyncio.create_subprocess_exec(
            *COMMAND,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=MOST_LINE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(_import_path())},
            start_new_session=True,  # Ctrl-C is for the front, which decides
        )
        process = cls(name, child)
        try:
            await process._load(loading)
        except BaseException:
            await process.stop()
            raise
        process._ended = ended
        process._tasks.append(asyncio.create_task(process._listen()))
        return process

    async def _load(self, loading: Loading) -> None:
        self._write(codec.plain(loading))
        while line := await self._line():
            message = json.loads(line)
            if "refused" in message:
                raise codec.raised(message["refused"])
            if "loaded" in message:
                self.loaded = read(Loaded, message["loaded"])
                return
        raise Crashed(await self._why())

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._child.pid

    @property
    def is_outdated(self) -> bool:
        """Whether the model's file has changed, or another has taken its place."""
        return not all(map(death.is_same, self.loaded.files))

    def ask(self, job: Job, done: Callable[[Mapping[str, Any]], None]) -> Answer:
        """The answer to `job`; `done` is called once, when the worker has done with it."""
        if self._gone is not None:
            raise self._gone
        content = codec.plain(job)
        number = next(self._ids)
        answer = self._answers[number] = Answer(lambda: self._write({"cancel": number}), done)
        self._write({"id": number, "job": type(job).__name__, "with": content})
        return answer

    async def stop(self) -> None:
        """End it: kindly, and after a second by force. What it was doing is lost."""
        self._stopping = True
        assert self._child.stdin
        self._child.stdin.close()
        try:
            await asyncio.wait_for(self._child.wait(), STOP_S)
        except TimeoutError:
            self._kill()
            await self._child.wait()
        await asyncio.wait(self._tasks, timeout=STOP_S)
        self._fail(Unavailable(f"{printable(self.name)}: was unloaded"))

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            self._child.kill()

    def _write(self, message: Mapping[str, Any]) -> None:
        assert self._child.stdin
        if not self._child.stdin.is_closing():
            self._child.stdin.write(codec.line(message))

    async def _listen(self) -> None:
        """Take what the worker says to whom it is for, up to the end."""
        try:
            while line := await self._line():
                self._hear(json.loads(line), len(line))
        except Exception as error:  # too long, no JSON, or not what it may say
            self._end(f"its process said what can not be read ({type(error).__name__})")
        why = await self._why()
        if not self._stopping:
            try:
                self._ended(why)
            finally:
                self._fail(Crashed(f"{printable(self.name)}: {why}"))

    async def _line(self) -> bytes:
        """What the worker says next, empty at the end."""
        assert self._child.stdout
        line = await self._child.stdout.readline()
        self._n_pings = 0
        return line

    async def _watch(self) -> None:
        """End the worker when it hangs: somebody stopped it, or it waits for itself."""
        while self._n_pings < MOST_PINGS:
            await asyncio.sleep(PING_S)
            if self._answers or not self.loaded.files:
                self._write({"ping": self._n_pings})
                self._n_pings += 1
        self._end(f"its process hung: it said nothing for {MOST_PINGS * PING_S:.0f} s")

    def _end(self, why: str) -> None:
        self._fatal = why
        self._kill()

    def _hear(self, message: Mapping[str, Any], n_bytes: int) -> None:
        if "fatal" in message:
            self._fatal = message["fatal"]
        elif "pong" in message:
            return
        elif "done" in message:
            if answer := self._answers.get(message["id"]):
                self.pages = message["done"].get("pages", self.pages)
                answer.end(message["done"])
                del self._answers[message["id"]]
        elif answer := self._answers.get(message["id"]):
            answer.push(read(_EVENTS[message["event"]], message["with"]), n_bytes)

    def _fail(self, error: VatraError) -> None:
        self._gone = error
        self._watching.cancel()
        while self._answers:
            _, answer = self._answers.popitem()
            answer.end({"error": codec.told(error)})

    async def _why(self) -> str:
        """Why the process has ended, which it has or soon will."""
        try:
            status = await asyncio.wait_for(self._child.wait(), STOP_S)
        except TimeoutError:
            self._kill()
            status = await self._child.wait()
        await asyncio.wait(self._tasks[:1], timeout=STOP_S)  # all that it wrote is in the log
        said = death.reason(status, self.loaded.files, self._kills)
        if not self.loaded.files and status > 0 and self._last_words:
            said += f": {self._last_words}"  # nobody's words but ours, as there was no prompt
        return self._fatal or said

    async def _pass_on(self) -> None:
        """What the worker writes on standard error, line by line, to the log."""
        assert self._child.stderr
        rest = b""
        while chunk := await self._child.stderr.read(1 << 16):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in (*lines, rest) if len(rest) > MOST_LOGGED else lines:
                self._log(line)
            rest = b"" if len(rest) > MOST_LOGGED else rest
        self._log(rest)

    def _log(self, line: bytes) -> None:
        text = printable(line.decode("utf-8", "replace").rstrip())[:MOST_LOGGED]
        if text:
            self._last_words = text
            LOG.warning("%s: %s", printable(self.name), text)


def _import_path() -> list[str]:
    """Where this process finds its modules, so that the worker finds the same."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(sys.modules["vatra"].__file__ or "")))
    return [package, *(path for path in sys.path if os.path.isabs(path) and path != package)]
