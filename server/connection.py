"""A connection of uvicorn's, closed where its client is too slow, or where there are too many.

uvicorn knows a deadline only for the time between two requests. Whoever sends headers or a body
byte by byte, or reads no answer, would hold a connection, and perhaps a model, for ever.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from http import HTTPStatus
from typing import Any, ClassVar, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from vatra.server.failure import Failure
from vatra.server.limits import Limits

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
FULL = Failure("too many connections are open", 503, "server_busy", retry_after_s=1)


class Connection(H11Protocol):
    """HTTP/1.1 with the deadlines of `limits`, which also bound how many connections there are."""

    limits = Limits()
    idle: ClassVar[dict[Connection, None]]  # those between two requests, in order
    unfinished: ClassVar[dict[Connection, None]]  # those that are not received yet, in order

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._reading: asyncio.TimerHandle | None = None  # the deadline of what is being received
        self._writing: asyncio.TimerHandle | None = None
        self._received: Any = None  # h11's name for what is being received
        self._probing: asyncio.TimerHandle | None = None
        self._sends_no_more = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not self._has_room():
            self._refuse(FULL)
            return
        self._set_reading_deadline()
        while len(self.unfinished) > self.limits.connections:
            oldest = next(iter(self.unfinished))
            del self.unfinished[oldest]
            oldest.transport.abort()

    def data_received(self, data: bytes) -> None:
        self.idle.pop(self, None)
        super().data_received(data)
        self._set_reading_deadline()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whether the connection stays, for the answer to one who only sends no more.

        One who has left looks the same until it is sent something, see `_probe`. In the middle of
        an answer, and where the version knows no such thing, it is taken for one who has left.
        """
        cycle = self.cycle
        if cycle is None or cycle.more_body or cycle.response_started:
            return False
        if cycle.scope["http_version"] != "1.1":
            return False
        self._sends_no_more = True
        self._probe()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.idle.pop(self, None)
        self._probed()
        self._received_all()
        self._written_all()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._set_writing_deadline()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._written_all()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._set_writing_deadline()
        if self.conn.their_state is not h11.SEND_BODY:
            self._received_all()  # uvicorn's own deadline for the next request begins
        if not self.cycle.response_complete:  # another request was there already
            if self._sends_no_more:
                self._probe()
        elif self._sends_no_more:
            self.transport.close()
        elif not self.transport.is_closing():
            self.idle[self] = None

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self.transport.abort()  # whatever was not read by now

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, unless an answer is being sent, and close the connection."""
        told = f"{msg.rstrip('.')}; headers may have {self.limits.head_bytes} bytes"
        self._refuse(Failure(told))

    def _refuse(self, failure: Failure) -> None:
        body = failure.body()
        headers = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            **failure.headers,
            "connection": "close",
        }
        events = (
            h11.Response(
                status_code=failure.status,
                headers=list(headers.items()),
                reason=HTTPStatus(failure.status).phrase,
            ),
            h11.Data(data=body),
            h11.EndOfMessage(),
        )
        try:
            for event in events:
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:
            self.transport.abort()
        self.transport.close()

    def _has_room(self) -> bool:
        """Whether this one may stay; of more than may be, one that does nothing is closed."""
        all_of_them = cast("set[Connection]", self.connections)
        there = [c for c in all_of_them if not c.transport.is_closing()]
        same = [] if _is_local(self.client) else [c for c in there if _host(c) == _host(self)]
        for found, most in ((same, self.limits.sockets_of_one), (there, self.limits.sockets)):
            if len(found) <= most:
                continue
            spare = next((c for c in (*self.idle, *self.unfinished) if c in found), None)
            if spare is None:
                return False
            self.idle.pop(spare, None)
            self.unfinished.pop(spare, None)
            spare.transport.abort()
        return True

    def _probe(self) -> None:
        """Send one who sends no more what all clients pass over: who has left sends an error."""
        self._probed()
        if self.cycle.response_started or self.transport.is_closing():
            return
        self.transport.write(CONTINUE)
        found = self.transport.get_extra_info("socket")
        if found.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.transport.abort()
        else:
            self._probing = self.loop.call_later(self.limits.probe_s, self._probe)

    def _probed(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
            self._probing = None

    def _set_reading_deadline(self) -> None:
        """For what the client has to send next, unless it is the same as before."""
        state = self.conn.their_state
        if state not in (h11.IDLE, h11.SEND_BODY) or self.transport.is_closing():
            self._received_all()
        elif self._reading is None or state is not self._received:
            self._received_all()
            self._received = state
            seconds = self.limits.head_s if state is h11.IDLE else self.limits.body_s
            self._reading = self.loop.call_later(seconds, self.transport.abort)
            self.unfinished[self] = None

    def _received_all(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        self.unfinished.pop(self, None)

    def _set_writing_deadline(self) -> None:
        self._written_all()
        self._writing = self.loop.call_later(self.limits.write_s, self.transport.abort)

    def _written_all(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None


def connections(limits: Limits) -> type[Connection]:
    """The class of the connections of one server."""
    return type("Connection", (Connection,), {"limits": limits, "idle": {}, "unfinished": {}})


def _host(connection: Connection) -> str:
    return connection.client[0] if connection.client else ""


def _is_local(client: tuple[str, int] | None) -> bool:
    """Whether a client is on this machine, where one address stands for all programs."""
    try:
        return client is None or ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False
