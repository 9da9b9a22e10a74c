"""Several answers written at once, as one stream of events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing

from vatra.server.failure import Stopping
from vatra.server.jobs import Event

_AHEAD = 8  # events that are read before a client takes them


async def merged(
    answers: Sequence[AsyncIterator[Event]], stop: asyncio.Event
) -> AsyncGenerator[tuple[int, Event], None]:
    """Each event with the number of its answer; when one fails, all are closed.

    Raises what an answer raises, and Stopping once `stop` is set.
    """
    queue: asyncio.Queue[tuple[int, Event | BaseException | None]] = asyncio.Queue(_AHEAD)

    async def pump(number: int, answer: AsyncIterator[Event]) -> None:
        try:
            async with closing(answer) as events:
                async for event in events:
                    await queue.put((number, event))
        except Exception as error:
            await queue.put((number, error))
        else:
            await queue.put((number, None))

    async def watch() -> None:
        await stop.wait()
        await queue.put((-1, Stopping()))

    tasks = [asyncio.create_task(pump(i, answer)) for i, answer in enumerate(answers)]
    tasks.append(asyncio.create_task(watch()))
    left = len(answers)
    try:
        while left:
            number, event = await queue.get()
            if isinstance(event, BaseException):
                raise event
            if event is None:
                left -= 1
            else:
                yield number, event
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def closing(
    answer: AsyncIterator[Event],
) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
    """Ends an answer when the block is left, whatever is left of it."""
    return aclosing(answer)  # type: ignore[type-var]  # all of `Models.write` have `aclose`
