"""Who sends too much, too slowly or no HTTP, over sockets; others are answered meanwhile."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterator

import pytest
from running_server import Running, running

from vatra.server.limits import Limits

QUICK = Limits(head_s=0.6, body_s=0.8, write_s=0.8, idle_s=1.0, connections=40)
BODY = b'{"messages":[{"role":"user","content":"hello"}]}'


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def quick() -> Iterator[Running]:
    with running(limits=QUICK) as found:
        yield found


def head(server: Running, *lines: bytes, path: bytes = b"/v1/chat/completions") -> bytes:
    begin = b"POST %s HTTP/1.1\r\nHost: localhost:%d\r\n" % (path, server.port)
    return begin + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def closed_after(connection: socket.socket) -> float:
    """Seconds until the other side closes; what it sends is not kept."""
    begin = time.monotonic()
    try:
        while connection.recv(1 << 20):
            pass
    except ConnectionError:
        pass
    return time.monotonic() - begin


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "json"]
)
def test_other_content_types(server: Running, kind: str) -> None:
    for path in ("/v1/chat/completions", "/api/chat", "/tokenize"):
        assert server.ask("POST", path, BODY, {"Content-Type": kind})[0] == 415


def test_no_content_type(server: Running) -> None:
    length = b"Content-Length: %d" % len(BODY)
    found = server.raw(head(server, length, b"Connection: close") + BODY)
    assert found.startswith(b"HTTP/1.1 415 ")
    body = BODY.replace(b"{", b'{"model":"first",', 1)
    length = b"Content-Length: %d" % len(body)
    found = server.raw(head(server, length, b"Connection: close", path=b"/api/chat") + body)
    assert found.startswith(b"HTTP/1.1 200 ")


def test_content_type_with_a_parameter(server: Running) -> None:
    kind = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert server.ask("POST", "/v1/chat/completions", BODY, kind)[0] == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "X"])
def test_other_methods(server: Running, method: str) -> None:
    status, told, _ = server.ask(method, "/v1/chat/completions")
    assert status == 405 and told["error"]["code"] == "method_not_allowed"


SMUGGLED = [
    (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    (b"Content-Length: 5", b"Content-Length: 6"),
    (b"Content-Length: 5, 6",),
    (b"Content-Length: -5",),
    (b"Content-Length: +5",),
    (b"Content-Length: 0x5",),
    (b"Content-Length: five",),
    (b"Content-Length : 5",),
    (b"Transfer-Encoding: gzip",),
    (b"Transfer-Encoding: chunked, gzip",),
    (b"Transfer-Encoding: x",),
    (b"no colon",),
    (b"Na me: x",),
    (b"X: a\x00b",),
    (b": x",),
]


@pytest.mark.parametrize("lines", SMUGGLED, ids=[b" ".join(s).decode() for s in SMUGGLED])
def test_smuggled(server: Running, lines: tuple[bytes, ...]) -> None:
    second = b"GET /v1/models HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % server.port
    found = server.raw(head(server, b"Content-Type: application/json", *lines) + second)
    assert found.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 ", b"HTTP/1.1 413 ")), found[:80]
    assert b'"object":"list"' not in found
    assert json.loads(found.partition(b"\r\n\r\n")[2])["error"]["message"]


@pytest.mark.parametrize("chunk", [b"zz\r\nx", b"-1\r\n", b"5\r\nhelloXX", b"f" * 30 + b"\r\n"])
def test_bad_chunks(server: Running, chunk: bytes) -> None:
    lines = (b"Content-Type: application/json", b"Transfer-Encoding: chunked")
    assert server.raw(head(server, *lines) + chunk).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "request_line",
    [b"GET /\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"HELLO\r\n\r\n",
     b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/2.0\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
)  # fmt: skip
def test_no_http(server: Running, request_line: bytes) -> None:
    found = server.raw(request_line)
    assert found == b"" or found.startswith(b"HTTP/1.1 400 ")


def test_long_lines_and_headers(server: Running) -> None:
    for request in (
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % server.port,
        head(server, b"X: " + b"a" * 20_000),
        head(server, *(b"X%d: aaaaaaaaaaaa" % i for i in range(2000))),
    ):
        found = server.raw(request)
        assert found.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 ")) and b"16384 bytes" in found
    assert server.ask("GET", "/" + "a" * 7000)[0] == 404


def test_a_body_one_byte_too_large(server: Running) -> None:
    most = Limits().body_bytes
    length = b"Content-Length: %d" % (most + 1)
    with server.socket() as connection:
        connection.sendall(head(server, b"Content-Type: application/json", length))
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")
    padded = BODY + b" " * (most - len(BODY))
    assert server.ask("POST", "/v1/chat/completions", padded)[0] == 200


def test_chunks_that_become_too_large(server: Running) -> None:
    lines = (b"Content-Type: application/json", b"Transfer-Encoding: chunked")
    with server.socket() as connection:
        connection.sendall(head(server, *lines))
        try:
            for _ in range(20):
                connection.sendall(b"80000\r\n" + b" " * 0x80000 + b"\r\n")
            found = connection.recv(4096)
        except ConnectionError:
            return  # the answer may be lost with what was sent after it
        assert found.startswith(b"HTTP/1.1 413 ")


def test_many_large_bodies_at_once(caplog: pytest.LogCaptureFixture) -> None:
    with running(limits=Limits(body_bytes=1 << 20, bodies_bytes=3 << 20)) as server:
        length = b"Content-Length: %d" % (1 << 20)
        begun = [server.socket() for _ in range(5)]
        try:
            for connection in begun:
                connection.sendall(head(server, b"Content-Type: application/json", length))
                connection.sendall(b" " * ((1 << 20) - 1))
            refused: list[socket.socket] = []  # whichever they are: there is room for three
            while len(refused) < 2:
                answered, _, _ = select.select([c for c in begun if c not in refused], [], [], 5)
                assert answered, f"{len(refused)} were refused"
                assert all(c.recv(4096).startswith(b"HTTP/1.1 503 ") for c in answered)
                refused += answered
            assert server.ask("GET", "/health")[0] == 200
        finally:
            for connection in begun:
                connection.close()
        assert server.ask("POST", "/v1/chat/completions", BODY)[0] == 200
    assert "bug" not in caplog.text


def test_silence(quick: Running) -> None:
    with quick.socket() as connection:
        assert closed_after(connection) == pytest.approx(QUICK.head_s, abs=0.4)


def test_headers_byte_by_byte(quick: Running) -> None:
    begin = time.monotonic()
    with quick.socket() as connection, pytest.raises(ConnectionError):
        for byte in head(quick) * 100:
            connection.sendall(bytes([byte]))
            time.sleep(0.02)
            assert time.monotonic() - begin < QUICK.head_s + 1


def test_a_body_byte_by_byte(quick: Running) -> None:
    begin = time.monotonic()
    with quick.socket() as connection, pytest.raises(ConnectionError):
        connection.sendall(head(quick, b"Content-Type: application/json", b"Content-Length: 999"))
        while time.monotonic() - begin < QUICK.body_s + 1:
            connection.sendall(b" ")
            time.sleep(0.02)
        pytest.fail("still open")


def test_a_second_request_byte_by_byte(quick: Running) -> None:
    with quick.socket() as connection, pytest.raises(ConnectionError):
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % quick.port)
        assert b"200 OK" in connection.recv(4096)
        begin = time.monotonic()
        while time.monotonic() - begin < QUICK.head_s + 1:
            connection.sendall(b"G")
            time.sleep(0.02)
        pytest.fail("still open")


def test_an_idle_connection(quick: Running) -> None:
    with quick.socket() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % quick.port)
        assert closed_after(connection) == pytest.approx(QUICK.idle_s, abs=0.4)


def test_a_refused_body_that_goes_on(quick: Running) -> None:
    begin = time.monotonic()
    with quick.socket() as connection, pytest.raises(ConnectionError):
        connection.sendall(head(quick, b"Origin: null", b"Content-Length: 99999"))
        assert b"403" in connection.recv(4096)
        while time.monotonic() - begin < QUICK.body_s + 1:
            connection.sendall(b" ")
            time.sleep(0.02)
        pytest.fail("still open")


def test_a_stream_that_nobody_reads(quick: Running) -> None:
    body = BODY.replace(b"hello", b"forever").replace(b"{", b'{"stream":true,', 1)
    models = quick.models
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", quick.port))
    with connection:
        length = b"Content-Length: %d" % len(body)
        connection.sendall(head(quick, b"Content-Type: application/json", length) + body)
        begin = time.monotonic()
        while not models.open:
            assert time.monotonic() - begin < 5
            time.sleep(0.01)
        while models.open:
            assert time.monotonic() - begin < 10, "still writes for nobody"
            assert quick.ask("GET", "/health")[0] == 200
            time.sleep(0.05)


def test_a_stream_may_last_longer_than_all_deadlines(quick: Running) -> None:
    quick.models.delay_s = 0.2
    try:
        body = {"messages": [{"role": "user", "content": "a b c d e f g h"}], "stream": True}
        status, text, _ = quick.ask("POST", "/v1/chat/completions", body)
    finally:
        quick.models.delay_s = 0.0
    assert status == 200 and text.rstrip().endswith("data: [DONE]")


def test_others_are_answered_meanwhile() -> None:
    """Of half-open connections, more than there may be, the oldest are closed."""
    with running(limits=Limits(connections=100, head_s=30)) as server:
        half_open = [server.socket() for _ in range(200)]
        try:
            for i, connection in enumerate(half_open):
                if i % 2 and i > 110:
                    connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHo")
            for _ in range(20):
                begin = time.monotonic()
                assert server.ask("POST", "/v1/chat/completions", BODY)[0] == 200
                assert time.monotonic() - begin < 1
            assert closed_after(half_open[0]) < 1
            half_open[-1].settimeout(0.05)
            with pytest.raises(TimeoutError):
                half_open[-1].recv(1)
        finally:
            for connection in half_open:
                connection.close()


def test_requests_in_a_row_on_one_connection(server: Running) -> None:
    one = b"GET /health HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % server.port
    assert server.raw(one * 50).count(b"HTTP/1.1 200 OK") == 50
    with server.socket() as connection:
        for _ in range(50):
            connection.sendall(one)
            found = b""
            while not found.endswith(b"}"):
                found += connection.recv(4096)
            assert found.startswith(b"HTTP/1.1 200 OK")
