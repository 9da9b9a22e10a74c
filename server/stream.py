"""Answers that are sent as they are written: to a client that may leave, or be slow to read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from vatra.server.failure import noted
from vatra.server.guard import Message, Receive, Scope, Send, answer

T = TypeVar("T")

PATIENCE_S = 10.0  # without an event, after which the client is shown that the server lives


class Left(Exception):
    """The client has closed the connection: nobody waits for the answer."""


async def attended(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client leaves: Left is raised then."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Left
        return task.result()
    finally:
        for either in (task, gone):
            either.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@dataclass(frozen=True)
class Framing:
    """How parts of an answer are told apart in a stream."""

    media_type: str
    before: bytes
    after: bytes
    last: bytes = b""
    alive: bytes = b""  # what is sent while nothing happens

    def frame(self, part: Any) -> bytes:
        """The bytes of a part."""
        text = json.dumps(part, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return self.before + text.encode("utf-8", "replace") + self.after


SSE = Framing("text/event-stream", b"data: ", b"\n\n", b"data: [DONE]\n\n", b": waiting\n\n")
NDJSON = Framing("application/x-ndjson", b"", b"\n")


class Streamed:
    """An ASGI answer of parts that can be JSON. An error before the first has its own status."""

    def __init__(self, parts: AsyncGenerator[Any, None], framing: Framing) -> None:
        self.parts, self.framing = parts, framing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(Left):
            await attended(receive, self._send(scope["path"], send))

    async def _send(self, path: str, send: Send) -> None:
        framing, begun = self.framing, False

        async def told(content: bytes, more: bool = True) -> None:
            nonlocal begun
            if not begun:
                begun = True
                await send(_head(framing))
            await send({"type": "http.response.body", "body": content, "more_body": more})

        pending: asyncio.Task[Any] | None = None
        try:
            while True:
                pending = pending or asyncio.create_task(_next(self.parts))
                done, _ = await asyncio.wait({pending}, timeout=PATIENCE_S)
                if not done:
                    if framing.alive:
                        await told(framing.alive)
                    continue
                part = pending.result()
                pending = None
                if part is _END:
                    break
                await told(framing.frame(part))
        except Exception as error:
            failure = noted(error)
            if not begun:
                await answer(failure, path, send)
                return
            await told(framing.frame(failure.shape(path)))
        finally:
            if pending is not None:
                pending.cancel()
                await asyncio.gather(pending, return_exceptions=True)
            await self.parts.aclose()
        await told(framing.last, more=False)


_END = object()


async def _next(parts: AsyncGenerator[Any, None]) -> Any:
    """The next part, _END after the last."""
    try:
        return await parts.__anext__()
    except StopAsyncIteration:
        return _END


def _head(framing: Framing) -> Message:
    """The beginning of an answer that no proxy is to keep back."""
    headers = {
        "content-type": framing.media_type,
        "cache-control": "no-store",
        "x-accel-buffering": "no",
    }
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http.response.start", "status": 200, "headers": raw}
