"""A server that is stopped ends what it does, soon and in words."""

from __future__ import annotations

import errno
import json
import socket
import threading
import time

import pytest
from running_server import running

from vatra.errors import Unavailable, UsageError
from vatra.server.failure import Failure
from vatra.server.limits import Limits
from vatra.server.listener import listen

STOP = Limits(stop_s=1.0)
FOREVER = {"messages": [{"role": "user", "content": "forever"}], "stream": True}


def test_streams_get_an_end() -> None:
    with running(limits=STOP) as server:
        server.models.delay_s = 0.01
        found: dict[str, str] = {}

        def stream(path: str, body: dict[str, object]) -> None:
            found[path] = server.ask("POST", path, body)[1]

        asked = {"/v1/chat/completions": FOREVER, "/api/chat": FOREVER | {"model": "first"}}
        threads = [threading.Thread(target=stream, args=pair) for pair in asked.items()]
        for thread in threads:
            thread.start()
        while server.models.open < 2:
            time.sleep(0.01)
        silent = server.socket()  # half a request, which nothing is waited for
        silent.sendall(b"POST / HTTP/1.1\r\n")
        while len(server.server.server_state.connections) < 3:
            time.sleep(0.01)
        begin = time.monotonic()
        server.end()
        for thread in threads:
            thread.join(3)
        assert silent.recv(1) == b""
        assert time.monotonic() - begin < 2
        assert server.models.open == 0 and server.models.closed == 2
    events = [part for part in found["/v1/chat/completions"].split("\n\n") if part]
    error = json.loads(events[-2].removeprefix("data: "))["error"]
    assert (error["code"], events[-1]) == ("server_stopping", "data: [DONE]")
    assert "being stopped" in json.loads(found["/api/chat"].splitlines()[-1])["error"]


def test_answers_that_are_no_streams_are_refused() -> None:
    with running(limits=STOP) as server:
        server.models.delay_s = 0.01
        statuses = []

        def ask() -> None:
            status, told, headers = server.ask(
                "POST", "/v1/chat/completions", FOREVER | {"stream": False}
            )
            statuses.append((status, told["error"]["code"], headers["retry-after"]))

        thread = threading.Thread(target=ask)
        thread.start()
        while not server.models.open:
            time.sleep(0.01)
        server.end()
        thread.join(3)
        assert statuses == [(503, "server_stopping", "5")]


def test_a_client_that_reads_nothing_is_not_waited_for() -> None:
    with running(limits=STOP) as server, server.socket() as connection:
        body = json.dumps(FOREVER).encode()
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nContent-Type: application/json\r\n"
            b"Host: localhost:%d\r\nContent-Length: %d\r\n\r\n%s" % (server.port, len(body), body)
        )
        while not server.models.open:
            time.sleep(0.01)
        time.sleep(0.5)  # its buffers are full
        begin = time.monotonic()
        server.end()
        while server.models.open:
            assert time.monotonic() - begin < 2
            time.sleep(0.01)


def test_both_addresses_of_this_machine() -> None:
    with running() as server:
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, server.port), timeout=5) as connection:
                name = b"[::1]" if ":" in host else b"127.0.0.1"
                connection.sendall(
                    b"GET /health HTTP/1.1\r\nHost: %s:%d\r\n\r\n" % (name, server.port)
                )
                assert connection.recv(4096).startswith(b"HTTP/1.1 200 OK")


def test_small_parts_are_sent_at_once() -> None:
    with running() as server, server.socket() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % server.port)
        assert connection.recv(1)
        [accepted] = server.server.server_state.connections
        found = accepted.transport.get_extra_info("socket")
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_that_is_taken() -> None:
    [first, *others] = listen("127.0.0.1", 0)
    port = first.getsockname()[1]
    try:
        for host in (None, "127.0.0.1"):
            with pytest.raises(Unavailable, match=f"127.0.0.1:{port}: another program uses it"):
                listen(host, port)
    finally:
        first.close()
    assert not others


def test_a_machine_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    def without(family: int, *given: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "no such family")
        return real(family, *given)

    monkeypatch.setattr(socket, "socket", without)
    [made] = listen(None, 0)
    made.close()


def test_addresses_that_are_none() -> None:
    with pytest.raises(UsageError, match="--host no.such.host.invalid"):
        listen("no.such.host.invalid", 0)
    with pytest.raises(Unavailable, match="no such address"):
        listen("192.0.2.1", 0)


def test_failures() -> None:
    failure = Failure("x", 503, retry_after_s=2.2)
    assert failure.headers == {"retry-after": "3"} and failure.type == "server_error"
    assert json.loads(failure.body("/api/chat")) == {"error": "x"}
    assert json.loads(failure.body("/v1/models"))["error"]["message"] == "x"
