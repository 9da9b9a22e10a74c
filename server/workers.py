"""Models in processes of their own, asked from one event loop; what they do can not harm it."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from array import array
from base64 import b64decode
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Literal

from vatra.engine.writing import Ended, Writing
from vatra.errors import UsageError, printable
from vatra.formats import shelf
from vatra.server import codec
from vatra.server.errors import Busy as Busy
from vatra.server.errors import Crashed as Crashed
from vatra.server.errors import UnknownModel as UnknownModel
from vatra.server.heads import Heads
from vatra.server.host import Host
from vatra.server.jobs import (
    Description,
    Detokenising,
    Embedding,
    Event,
    Job,
    Loading,
    Templating,
    Tokenising,
    Vector,
)
from vatra.server.texts import unpacked

LOG = logging.getLogger("vatra.server")
LOOK_S = 1.0  # that slow disks may delay the beginning
TEXTS_AT_ONCE = 2  # of one model, that are taken apart or put together


@dataclass(frozen=True)
class Options:
    """How models are loaded and shared; those of `vatra.load`, and limits."""

    threads: int | None = None
    ctx: int | None = None
    kv: str = "f16"
    parallel: int = 8  # texts written at once by one model
    queue: int = 16  # requests that may wait for one model
    idle_s: float = 1800  # without requests, then it is unloaded; 0: never
    most_loaded: int = 1  # models at once
    log_prompts: bool = False
    backend: str = "cpu"
    gpu_layers: int | str | None = None
    device: str | None = None


class Workers:
    """Models by name, the first of them the default; use it as `async with Workers(...)`.

    `models` has a path for each, or a name that `vatra list` shows. A model is loaded by the first
    request for it. Where `most_loaded` are, the one that was unused for longest goes; one that is
    in use takes no new requests until the other has had its turn. All methods raise UnknownModel,
    Busy, Crashed, and what the model itself raises.
    """

    def __init__(self, models: Mapping[str, str], options: Options | None = None) -> None:
        self.options = o = options or Options()
        if not models:
            raise UsageError("models: got none, wanted at least one")
        for name, least in (("parallel", 1), ("queue", 0), ("idle_s", 0), ("most_loaded", 1)):
            if getattr(o, name) < least:
                raise UsageError(f"{name}: got {getattr(o, name)}, wanted at least {least}")
        self._hosts = {
            name: Host(
                name,
                _loading(path, o),
                o.queue,
                o.idle_s,
                self._room,
                self._tell_change,
            )
            for name, path in models.items()
        }
        self._texts = {
            name: Host(
                name,
                replace(host.loading, only_texts=True, parallel=TEXTS_AT_ONCE),
                o.queue,
                o.idle_s,
                _at_once,
                lambda: None,
            )
            for name, host in self._hosts.items()
        }
        self._heads = Heads()
        self._wanting: list[Host] = []  # room, the first first
        self._change = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._closed = False

    async def __aenter__(self) -> Workers:
        self._reading = asyncio.create_task(self.look())
        await asyncio.wait({self._reading}, timeout=LOOK_S)
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> Literal[False]:
        await asyncio.gather(*(host.close() for host in self._all()))
        self._closed = True
        if self._reading is not None:
            await self._reading
        return False

    async def look(self) -> None:
        """See what has become of all files since the last time, for `description`."""
        await asyncio.to_thread(self._read_heads)

    def _read_heads(self) -> None:
        for name, host in self._hosts.items():
            if not self._closed:
                self._heads.of(name, host.loading.path)

    def names(self) -> list[str]:
        """The names of all models."""
        return list(self._hosts)

    def description(self, name: str) -> Description:
        """What is known of a model without loading it, its file as the last `look` found it."""
        host = self._host(name)
        found = self._heads.known(name)
        if host.process is not None:
            loaded = host.process.loaded
            return replace(
                found, state="ready", n_ctx=loaded.n_ctx, fingerprint=loaded.fingerprint, error=""
            )
        if host.state == "unloaded":
            return found
        return replace(found, state=host.state, error=host.error)

    async def metadata(self, name: str) -> dict[str, Any]:
        """The keys of a model's file, the chat template among them; None for long arrays."""
        path = self._host(name).loading.path
        return dict((await asyncio.to_thread(self._heads.of, name, path)).metadata)

    async def write(self, name: str, job: Writing) -> AsyncGenerator[Event, None]:
        """Begun, pieces, Ended of an answer; `aclose` ends it within a token."""
        host, asked = self._host(name), time.monotonic()
        if self.options.log_prompts:
            LOG.info(
                "%s: %r", printable(name), job.prompt if job.messages is None else job.messages
            )
        process = await host.turn()
        waited = time.monotonic() - asked
        answer = host.ask(process, job)
        try:
            async for event in answer:
                if isinstance(event, Ended):
                    event = replace(event, waited_s=event.waited_s + waited)
                yield event
        finally:
            answer.cancel()

    async def embed(
        self,
        name: str,
        inputs: Sequence[str | Sequence[int]],
        pooling: str | None = None,
        normalise: bool = True,
    ) -> tuple[list[list[float]], int]:
        """The vector of each text, given as it is or by its tokens, and how many tokens they had.

        `pooling` is "mean", "cls" or "last", by default what the file says.
        """
        events: list[Event] = []
        n_tokens = await self._result(name, Embedding(inputs, pooling, normalise), events)
        return [_floats(event) for event in events if isinstance(event, Vector)], n_tokens

    async def tokenize(
        self, name: str, text: str, special: bool = False, parse_special: bool = False
    ) -> list[int]:
        """The tokens of a text: `special` with those around every text, see `Tokenising`."""
        return unpacked(await self._result(name, Tokenising(text, special, parse_special)))

    async def detokenize(self, name: str, ids: Sequence[int]) -> str:
        """The text of tokens, control tokens by their names."""
        return await self._result(name, Detokenising(ids))

    async def pieces(self, name: str, ids: Sequence[int]) -> list[str]:
        """The text of each token by itself."""
        return await self._result(name, Detokenising(ids, singly=True))

    async def apply_template(
        self,
        name: str,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> tuple[str, list[int]]:
        """The text and the tokens of a chat, as the model reads them before it answers."""
        job = Templating(messages, tools, template_kwargs or {})
        text, ids = await self._result(name, job)
        return text, unpacked(ids)

    async def load(self, name: str) -> None:
        """Load a model, also one that has failed."""
        host = self._host(name)
        self._texts[name].forgive()
        await host.load()

    async def unload(self, name: str) -> None:
        """Give a model's memory back, as soon as the requests that run have ended."""
        host = self._host(name)
        try:
            while host.process is not None and not host.is_idle:
                host.leaving = True
                await self._changed()
            await host.unload()
            if self._texts[name].is_idle:
                await self._texts[name].unload()
        finally:  # also where the client did not wait: others would wait for ever
            host.admit()
            self._tell_change()

    def counters(self) -> dict[str, float]:
        """Totals since the beginning, and what runs and waits now."""
        totals: Counter[str] = Counter()
        for host in self._all():
            totals.update(host.counts)
        hosts = self._hosts.values()
        pages = [host.process.pages for host in hosts if host.process is not None]
        return {
            **{name: float(totals[name]) for name in TOTALS},
            "requests_running": float(sum(host.n_running for host in self._all())),
            "requests_waiting": float(sum(len(host.waiting) for host in self._all())),
            "models_loaded": float(sum(host.process is not None for host in hosts)),
            "kv_pages_used": float(sum(used for used, _ in pages)),
            "kv_pages": float(sum(all_of_them for _, all_of_them in pages)),
        }

    def _all(self) -> list[Host]:
        return [*self._hosts.values(), *self._texts.values()]

    def _host(self, name: str) -> Host:
        host = self._hosts.get(name)
        if host is None:
            shown = printable(str(name)[:100])
            raise UnknownModel(f"there is no model {shown!r:.100}{codec.meant(name, self._hosts)}")
        return host

    async def _result(self, name: str, job: Job, events: list[Event] | None = None) -> Any:
        """The result of a job that writes nothing; what comes before it is added to `events`."""
        host = self._host(name)
        if not isinstance(job, Embedding):  # a process of its own, which holds up no model
            host = self._texts[name]
        answer = host.ask(await host.turn(), job)
        try:
            async for event in answer:
                if events is not None:
                    events.append(event)
        finally:
            answer.cancel()
        return answer.result

    def _tell_change(self) -> None:
        self._change.set()

    async def _changed(self) -> None:
        self._change.clear()
        await self._change.wait()

    async def _room(self, host: Host) -> None:
        """Wait until one more model may be loaded, unloading others; then `host` has that room."""
        self._wanting.append(host)
        try:
            while host.waiting:
                others = [h for h in self._hosts.values() if h is not host and h.has_room]
                idle = [h for h in others if h.is_idle]
                if self._wanting[0] is host and len(others) < self.options.most_loaded:
                    host.is_starting = True
                    return
                if self._wanting[0] is host and idle:
                    await min(idle, key=lambda h: h.last_used).unload()
                    continue
                busy = [h for h in others if h.process is not None]
                if busy and not any(h.leaving for h in busy):
                    min(busy, key=lambda h: h.last_used).leaving = True
                await self._changed()
        finally:
            self._wanting.remove(host)
            for other in self._hosts.values():
                if other.leaving:
                    other.admit()
            self._tell_change()


async def _at_once(host: Host) -> None:
    """Room for what is small."""
    host.is_starting = True


TOTALS = (
    "requests",
    "errors",
    "crashes",
    "prompt_tokens",
    "reused_tokens",
    "generated_tokens",
    "prompt_seconds",
    "generated_seconds",
)


def _loading(path: str, o: Options) -> Loading:
    file = os.path.abspath(shelf.find(path))
    return Loading(
        file, o.backend, o.threads, o.ctx, o.kv, o.gpu_layers, o.device, o.parallel, o.log_prompts
    )


def _floats(vector: Vector) -> list[float]:
    found = array("f")
    found.frombytes(b64decode(vector.base64))
    return found.tolist()
