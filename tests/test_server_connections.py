"""Who sends no more, who has left, and how many connections there may be, over sockets."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from fake_workers import FakeWorkers
from running_server import CONTINUE, Running, running

from vatra.server import connection as connection_module
from vatra.server.limits import Limits

PROBED = Limits(probe_s=0.1)


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(limits=PROBED) as found:
        yield found


def request(server: Running, content: str, version: bytes = b"1.1", **more: Any) -> bytes:
    body = json.dumps({"messages": [{"role": "user", "content": content}], **more}).encode()
    return (
        b"POST /v1/chat/completions HTTP/%s\r\nContent-Type: application/json\r\n"
        b"Host: localhost:%d\r\nContent-Length: %d\r\n\r\n%s"
    ) % (version, server.port, len(body), body)


def until(holds: Any, seconds: float = 3.0) -> float:
    """Seconds until something holds."""
    begin = time.monotonic()
    while not holds():
        assert time.monotonic() - begin < seconds, "it did not come true"
        time.sleep(0.002)
    return time.monotonic() - begin


def is_healthy(server: Running, connection: socket.socket) -> bool:
    """Whether a request on a connection is answered."""
    found = b""
    try:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % server.port)
        while not found.endswith(b"}") and (part := connection.recv(4096)):
            found += part
    except ConnectionError:
        return False
    return found.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("stream", [False, True])
def test_who_sends_no_more_is_answered(server: Running, stream: bool) -> None:
    found = server.raw(request(server, "slow and steady", stream=stream))
    assert found.startswith(b"HTTP/1.1 200 OK") and b"steady" in found
    assert server.models.open == 0


def test_all_requests_that_were_sent_are_answered(server: Running) -> None:
    found = server.raw(request(server, "slow one") + request(server, "slow two"))
    assert found.count(b"HTTP/1.1 200 OK") == 2 and b"slow one" in found and b"slow two" in found


def test_half_a_request_is_not_waited_for(server: Running) -> None:
    begin = time.monotonic()
    assert server.raw(request(server, "hello")[:-1]) == b""
    assert time.monotonic() - begin < 1


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize("stream", [False, True])
def test_who_has_left_is_not_written_for(server: Running, stream: bool, version: bytes) -> None:
    with server.socket() as connection:
        connection.sendall(request(server, "forever", version, stream=stream))
        until(lambda: server.models.open == 1)
    assert until(lambda: server.models.open == 0) < 0.5


def test_who_leaves_after_sending_no_more(server: Running) -> None:
    with server.socket() as connection:
        connection.sendall(request(server, "forever"))
        connection.shutdown(socket.SHUT_WR)
        until(lambda: server.models.open == 1)
        time.sleep(0.3)
        assert server.models.open == 1
        assert connection.recv(4096).startswith(CONTINUE)
    assert until(lambda: server.models.open == 0) < 0.5


def test_of_too_many_the_idle_ones_are_closed() -> None:
    with running(limits=Limits(sockets=5)) as server, ExitStack() as stack:
        idle = [stack.enter_context(server.socket()) for _ in range(5)]
        for one in idle:
            assert is_healthy(server, one)
        assert server.ask("GET", "/health")[0] == 200
        assert not is_healthy(server, idle[0])
        assert all(is_healthy(server, one) for one in idle[1:])


def test_where_none_is_idle_more_are_refused() -> None:
    with running(limits=Limits(sockets=3)) as server, ExitStack() as stack:
        server.models.delay_s = 0.01
        busy = [stack.enter_context(server.socket()) for _ in range(3)]
        for one in busy:
            one.sendall(request(server, "forever", stream=True))
        until(lambda: server.models.open == 3)
        for _ in range(20):
            status, told, headers = server.ask("GET", "/health")
            assert (status, told["error"]["code"]) == (503, "server_busy")
            assert headers["retry-after"] == "1"
        assert len(server.server.server_state.connections) <= 4
        assert server.models.open == 3
        busy[0].close()
        until(lambda: server.models.open == 2)
        assert server.ask("GET", "/health")[0] == 200


def test_one_other_machine_does_not_get_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "_is_local", lambda client: False)
    with running(limits=Limits(sockets_of_one=2)) as server, ExitStack() as stack:
        server.models.delay_s = 0.01
        for _ in range(2):
            one = stack.enter_context(server.socket())
            one.sendall(request(server, "forever", stream=True))
        until(lambda: server.models.open == 2)
        assert server.ask("GET", "/health")[0] == 503


def test_what_is_said_hundreds_of_times_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with running() as server:
        context = {"message": "no file is left", "exception": OSError("/home/somebody")}
        for _ in range(300):
            server.loop.call_soon_threadsafe(server.loop.call_exception_handler, context)
        until(lambda: "no file is left" in caplog.text)
        server.ask("GET", "/health")
    said = [r for r in caplog.records if "no file is left" in r.getMessage()]
    assert [r.levelno for r in said] == [logging.ERROR] and "somebody" not in caplog.text


# ---- texts that are taken apart ------------------------------------------------------------------


class Slow(FakeWorkers):
    """Never comes to an end with texts; `left` are those that nobody waits for any more."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = self.left = 0

    async def tokenize(self, *given: Any, **named: Any) -> list[int]:
        return await self._forever()

    async def detokenize(self, *given: Any) -> str:
        return await self._forever()

    async def apply_template(self, *given: Any) -> tuple[str, list[int]]:
        return await self._forever()

    async def _forever(self) -> Any:
        self.begun += 1
        try:
            await asyncio.sleep(1000)
        finally:
            self.left += 1


@pytest.mark.parametrize(
    ("path", "asked"),
    [("/tokenize", {"content": "a"}), ("/tokenize", {"content": "a", "with_pieces": True}),
     ("/detokenize", {"tokens": [1]}), ("/apply-template", {"messages": [{"role": "user"}]})],
)  # fmt: skip
def test_a_text_is_left_when_its_client_leaves(path: str, asked: dict[str, Any]) -> None:
    with running(Slow()) as server:
        body = json.dumps(asked).encode()
        with server.socket() as connection:
            connection.sendall(
                b"POST %s HTTP/1.1\r\nContent-Type: application/json\r\nHost: localhost:%d\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (path.encode(), server.port, len(body), body)
            )
            until(lambda: server.models.begun == 1)
        assert until(lambda: server.models.left == 1) < 0.5


def test_pieces_are_not_asked_for_one_by_one() -> None:
    class Counting(FakeWorkers):
        asked = 0

        async def pieces(self, name: str, ids: Sequence[int]) -> list[str]:
            self.asked += 1
            return await super().pieces(name, ids)

    with running(Counting()) as server:
        text = "abc" * 1000
        status, told, _ = server.ask("POST", "/tokenize", {"content": text, "with_pieces": True})
        assert status == 200 and "".join(t["piece"] for t in told["tokens"]) == text
        assert [t["id"] for t in told["tokens"][:4]] == [1, 2, 3, 1]
        assert server.models.asked == 3
