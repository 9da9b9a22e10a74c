"""A connection of uvicorn's, closed where its client is too slow.

uvicorn knows a deadline only for the time between two requests. Whoever sends headers or a body
byte by byte, or reads no answer, would hold a connection, and perhaps a model, for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from vatra.server.failure import Failure
from vatra.server.limits import Limits


class Connection(H11Protocol):
    """HTTP/1.1 with the deadlines of `limits`, which also bound how many requests are half-sent."""

    limits = Limits()
    unfinished: ClassVar[dict[Connection, None]]  # those that are not received yet, in order

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._reading: asyncio.TimerHandle | None = None  # the deadline of what is being received
        self._writing: asyncio.TimerHandle | None = None
        self._received: Any = None  # h11's name for what is being received

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._set_reading_deadline()
        while len(self.unfinished) > self.limits.connections:
            oldest = next(iter(self.unfinished))
            del self.unfinished[oldest]
            oldest.transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._set_reading_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
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

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self.transport.abort()  # whatever was not read by now

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, unless an answer is being sent, and close the connection."""
        body = Failure(f"{msg.rstrip('.')}; headers may have {self.limits.head_bytes} bytes").body()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        events = (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        )
        try:
            for event in events:
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:
            self.transport.abort()
        self.transport.close()

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
    return type("Connection", (Connection,), {"limits": limits, "unfinished": {}})
