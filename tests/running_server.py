"""The real server on a free port of this machine, in a thread, over models that are told."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from fake_workers import FakeWorkers

from vatra.server.app import application
from vatra.server.guard import Access
from vatra.server.limits import Limits
from vatra.server.listener import Server, listen

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass
class Running:
    """A server that answers."""

    port: int
    models: Any
    server: Server
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON or text, and headers of one request."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            raw = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
            kind = {} if raw is None else {"Content-Type": "application/json"}
            connection.request(method, path, raw, {**kind, **(headers or {})})
            response = connection.getresponse()
            text = response.read().decode()
            found = {name.lower(): value for name, value in response.getheaders()}
            is_json = found.get("content-type") == "application/json"
            return response.status, json.loads(text) if is_json else text, found
        finally:
            connection.close()

    def socket(self) -> socket.socket:
        """A connection that the test speaks on by itself."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def raw(self, request: bytes) -> bytes:
        """All that is answered to some bytes and no more, up to the end of the connection."""
        with self.socket() as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            found = b""
            while part := connection.recv(65536):
                found += part
            return found.replace(CONTINUE, b"")

    def end(self) -> None:
        """As a signal would, unless it has ended."""
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(setattr, self.server, "should_exit", True)


@contextmanager
def running(
    models: Any = None,
    limits: Limits | None = None,
    log_requests: bool = False,
    host: str | None = None,
    **access: Any,
) -> Iterator[Running]:
    """A server for the length of the block; `access` are fields of `Access`."""
    models = models or FakeWorkers()
    limits = limits or Limits()
    sockets = listen(host, 0)
    port = sockets[0].getsockname()[1]
    ready = threading.Event()
    found: list[Running] = []

    async def main() -> None:
        stop = asyncio.Event()
        app = application(models, Access(port, **access), stop, "1.2.3", limits, log_requests)
        server = Server(app, stop, ready.set, limits)
        found.append(Running(port, models, server, asyncio.get_running_loop()))
        await server.serve(sockets)

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield found[0]
    finally:
        found[0].end()
        thread.join(10)
        assert not thread.is_alive()
