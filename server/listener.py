"""Where the server listens, and its life from there on until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import uvicorn

from vatra.errors import Unavailable, UsageError
from vatra.server.connection import connections
from vatra.server.failure import named
from vatra.server.guard import App
from vatra.server.limits import Limits

PORT = 11500  # that no other program known for serving models uses
LOOPBACK = ("127.0.0.1", "::1")
_BACKLOG = 512
_OTHER_FILES = 64  # that are open beside connections
_LEAST_SOCKETS = 16
_SILENT_S = 60.0

LOG = logging.getLogger("vatra.server")


def listen(host: str | None, port: int) -> list[socket.socket]:
    """Sockets of an address or a name, of this machine alone without one.

    Port 0 is one that is free. Raises Unavailable where another program has the port.
    """
    sockets: list[socket.socket] = []
    try:
        for address in _addresses(host, port):
            if host is None and sockets:
                address = (address[0], (address[1][0], sockets[0].getsockname()[1]))
            try:
                sockets.append(_bound(*address))
            except OSError as error:
                if host is None and sockets and error.errno != errno.EADDRINUSE:
                    continue  # a machine without IPv6
                raise _not_bound(error, address[1]) from None
    except BaseException:
        for made in sockets:
            made.close()
        raise
    return sockets


def _addresses(host: str | None, port: int) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    if host is None:
        return [(socket.AF_INET, (LOOPBACK[0], port)), (socket.AF_INET6, (LOOPBACK[1], port))]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        what = getattr(error, "strerror", None) or error
        raise UsageError(f"--host {host}: {what}") from None
    return [(found[0][0], (str(found[0][4][0]), port))]


def _bound(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket:
    # With the protocol named, asyncio sends what is small at once, as tokens are.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address[0] != "::"))
        made.bind(address)
        made.listen(_BACKLOG)
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made


def _not_bound(error: OSError, address: tuple[str, int]) -> Unavailable:
    host, port = address
    if error.errno == errno.EADDRINUSE:
        what = "another program uses it: stop that one, or take another port with --port N"
    elif error.errno == errno.EACCES:
        what = "ports below 1024 are not for everybody: take another with --port N"
    elif error.errno == errno.EADDRNOTAVAIL:
        what = "this machine has no such address"
    else:
        what = error.strerror or str(error)
    return Unavailable(f"{f'[{host}]' if ':' in host else host}:{port}: {what}")


def _possible(sockets: int) -> int:
    """As many of `sockets` as the system lets this process have, which it is asked to."""
    try:
        import resource
    except ImportError:  # a system without such limits
        return sockets
    kind, wanted = resource.RLIMIT_NOFILE, sockets + _OTHER_FILES
    soft, hard = resource.getrlimit(kind)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return sockets
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(kind, (most, hard))
    return max(_LEAST_SOCKETS, most - _OTHER_FILES)


class Server(uvicorn.Server):
    """uvicorn's server, that tells when it is ready and ends streams before it ends itself."""

    def __init__(
        self, app: App, stop: asyncio.Event, ready: Callable[[], None], limits: Limits
    ) -> None:
        limits = replace(limits, sockets=_possible(limits.sockets))
        super().__init__(
            uvicorn.Config(
                app,
                http=connections(limits),
                ws="none",
                lifespan="off",
                loop="asyncio",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                h11_max_incomplete_event_size=limits.head_bytes,
                timeout_keep_alive=int(limits.idle_s),
                timeout_graceful_shutdown=limits.stop_s,  # type: ignore[arg-type]
                backlog=_BACKLOG,
            )
        )
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL + 1)  # all it says, we say
        self.stop, self.ready = stop, ready
        self.signal: signal.Signals | None = None
        self._said = "", 0.0  # what was logged last, and when

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(self._told)
        await super().startup(sockets)
        self.ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.stop.set()
        await super().shutdown(sockets)

    def _told(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log in a line what nobody has caught, without values, and not the same for a minute.

        asyncio itself would tell hundreds of times a second that no file is left for a connection.
        """
        error = context.get("exception")
        said = context["message"] + ("" if error is None else f": {named(error)}")
        before, at = self._said
        if said != before or loop.time() > at + _SILENT_S:
            self._said = said, loop.time()
            LOG.error("%s", said)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:  # type: ignore[override]
        """Ctrl-C, SIGTERM, SIGHUP end the server; `signal` says which, and nothing is raised."""
        if threading.current_thread() is not threading.main_thread():
            yield  # no signals come here
            return
        loop = asyncio.get_running_loop()
        hung_up = getattr(signal, "SIGHUP", signal.SIGTERM)  # the terminal is gone
        caught = {signal.SIGINT, signal.SIGTERM, hung_up}
        if signal.getsignal(hung_up) is signal.SIG_IGN:  # nohup
            caught.remove(hung_up)
        before = {number: signal.getsignal(number) for number in caught}
        for number in caught:
            loop.add_signal_handler(number, self._end, number)
        try:
            yield
        finally:
            for number in caught:
                loop.remove_signal_handler(number)
                signal.signal(number, before[number])

    def _end(self, number: signal.Signals) -> None:
        self.force_exit = self.should_exit  # asked twice: at once
        self.should_exit, self.signal = True, number
