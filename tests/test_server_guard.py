"""Who may ask the server: this machine's programs and pages, or who has the key."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_server import Running, running

from vatra.errors import UsageError
from vatra.server import page_files
from vatra.server.failure import Refused
from vatra.server.guard import Access, check_origin

PORT = 11500
KEY = "a-key-of-32-characters-0123456789"
ROUTES = [
    ("GET", "/"), ("GET", "/page/none.js"), ("GET", "/health"), ("GET", "/metrics"),
    ("GET", "/openapi.json"), ("GET", "/v1/models"), ("GET", "/v1/models/first"),
    ("POST", "/v1/chat/completions"), ("POST", "/v1/completions"), ("POST", "/v1/embeddings"),
    ("POST", "/tokenize"), ("POST", "/detokenize"), ("POST", "/apply-template"),
    ("POST", "/api/chat"), ("POST", "/api/generate"), ("POST", "/api/embed"), ("GET", "/api/tags"),
    ("POST", "/api/show"), ("GET", "/nowhere"), ("DELETE", "/v1/models"), ("OPTIONS", "/v1/models"),
]  # fmt: skip
GOOD_HOSTS = ["localhost:{}", "LOCALHOST:{}", "127.0.0.1:{}", "[::1]:{}"]
BAD_HOSTS = [
    "", "localhost", "evil.com", "evil.com:{}", "localhost:80", "localhost:{}0", "127.0.0.1:0",
    "localhost.:{}", "localhost.evil.com:{}", "127.0.0.1.evil.com:{}", "127.0.0.2:{}",
    "0.0.0.0:{}", "[::]:{}", "[::ffff:127.0.0.1]:{}", "2130706433:{}", "0x7f.0.0.1:{}",
    "user@localhost:{}", "localhost:{}@evil.com", "localhost:{}/x", "localhost:{}#x",
    "localhost:{}, evil.com", "localhost :{}", "ｌocalhost:{}", "[::1%25lo]:{}", "::1:{}",
]  # fmt: skip
BAD_ORIGINS = [
    "null", "http://evil.com", "https://localhost.evil.com", "http://localhost",
    "http://localhost:3000", "http://127.0.0.1:{}", "http://localhost:{}.evil.com",
    "http://evil.com:{}", "file://", "chrome-extension://abc", "localhost:{}", "",
    "ftp://localhost:{}", "http://localhost:{}/", "http://user@localhost:{}",
]  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as found:
        yield found


def headers(**given: str) -> dict[str, list[str]]:
    return {name.replace("_", "-"): [value] for name, value in given.items()}


@pytest.mark.parametrize("host", GOOD_HOSTS)
def test_hosts_of_this_machine(host: str) -> None:
    Access(PORT).check("GET", "/", headers(host=host.format(PORT)))


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_other_hosts(host: str) -> None:
    for method, path in ROUTES:
        with pytest.raises(Refused) as caught:
            Access(PORT).check(method, path, headers(host=host.format(PORT)))
        assert caught.value.status in (400, 403)


def test_no_host_and_two() -> None:
    for hosts in ([], [f"localhost:{PORT}", f"localhost:{PORT}"], [f"localhost:{PORT}", "evil"]):
        with pytest.raises(Refused):
            Access(PORT).check("GET", "/", {"host": hosts})


def test_an_open_server_may_be_asked_by_address_but_by_no_name() -> None:
    access = Access(0, frozenset({"box", "localhost"}), numbers=True, key=KEY)
    for host in ("192.168.1.5:8080", "[fe80::1]:1", "box:80", "localhost:5"):
        access.check("GET", "/health", headers(host=host))
    for host in ("evil.com", "box.evil.com", "boxx:80"):
        with pytest.raises(Refused):
            access.check("GET", "/health", headers(host=host))


@pytest.mark.parametrize("origin", BAD_ORIGINS)
def test_other_origins(origin: str) -> None:
    for method, path in ROUTES:
        given = headers(host=f"localhost:{PORT}", origin=origin.format(PORT))
        with pytest.raises(Refused) as caught:
            Access(PORT).check(method, path, given)
        assert caught.value.status == 403


def test_own_and_allowed_origins() -> None:
    access = Access(PORT, origins=frozenset({"https://ui.example"}))
    own = f"http://localhost:{PORT}"
    access.check("POST", "/v1/completions", headers(host=f"localhost:{PORT}", origin=own))
    given = headers(
        host=f"localhost:{PORT}", origin="https://ui.example", sec_fetch_site="cross-site"
    )
    access.check("POST", "/v1/completions", given)
    with pytest.raises(Refused):
        access.check("GET", "/", headers(host=f"localhost:{PORT}", origin="https://ui.example.org"))


def test_pages_of_other_sites_that_tell_no_origin() -> None:
    def ask(path: str, site: str, mode: str = "no-cors", dest: str = "image") -> None:
        Access(PORT).check("GET", path, headers(
            host=f"localhost:{PORT}", sec_fetch_site=site, sec_fetch_mode=mode, sec_fetch_dest=dest
        ))  # fmt: skip

    for path in ("/", "/health", "/v1/models", "/metrics"):
        for site in ("cross-site", "same-site"):
            with pytest.raises(Refused):
                ask(path, site)
            with pytest.raises(Refused):
                ask(path, site, "navigate", "iframe")
        ask(path, "same-origin")
        ask(path, "none", "navigate", "document")
    ask("/", "cross-site", "navigate", "document")  # a link to the page
    with pytest.raises(Refused):
        ask("/v1/models", "cross-site", "navigate", "document")


@pytest.mark.parametrize(
    "given",
    [
        None, "", "Bearer", "Bearer ", KEY, f"Basic {KEY}", f"Bearer {KEY[:-1]}", f"Bearer {KEY}x",
        f"Bearer {KEY.upper()}", f"Bearer {KEY} x", f"Token {KEY}", "Bearer é",
    ],
)  # fmt: skip
def test_wrong_keys(given: str | None) -> None:
    for method, path in ROUTES:
        if method == "OPTIONS" or path == "/health":
            continue
        asked = headers(host=f"localhost:{PORT}")
        if given is not None:
            asked["authorization"] = [given]
        with pytest.raises(Refused) as caught:
            Access(PORT, key=KEY).check(method, path, asked)
        assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")
        assert KEY not in str(caught.value)


def test_right_key() -> None:
    for scheme in ("Bearer", "bearer"):
        given = headers(host=f"localhost:{PORT}", authorization=f"{scheme} {KEY}")
        Access(PORT, key=KEY).check("GET", "/v1/models", given)
    twice = headers(host=f"localhost:{PORT}") | {"authorization": [f"Bearer {KEY}"] * 2}
    with pytest.raises(Refused):
        Access(PORT, key=KEY).check("GET", "/v1/models", twice)
    assert KEY not in repr(Access(PORT, key=KEY))


@pytest.mark.parametrize(
    "origin",
    ["*", "null", "example.org", "http://", "http://x/", "http://x/y", "HTTP://X", "ftp://x",
     "http://u@x", "http://x:99999"],
)  # fmt: skip
def test_what_is_no_origin(origin: str) -> None:
    with pytest.raises(UsageError, match="is no origin"):
        check_origin(origin)


def test_origins() -> None:
    for origin in ("https://example.org", "http://localhost:3000", "http://[::1]:80"):
        assert check_origin(origin) == origin


# ---- over a socket -------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_is_guarded(server: Running, method: str, path: str) -> None:
    for bad in (
        {"Host": "evil.com"},
        {"Origin": "http://evil.com"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        status, told, found = server.ask(method, path, None, bad)
        assert status == 403 and told["error"]
        assert not any(name.startswith("access-control") for name in found)


def test_refused_before_the_body_is_read(server: Running) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 9000000\r\n"
    for bad in (b"Host: evil.com\r\n", b"Host: localhost:%d\r\nOrigin: null\r\n" % server.port):
        with server.socket() as connection:
            connection.sendall(head + bad + b"Expect: 100-continue\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    ("request_line", "host", "status"),
    [
        (b"GET http://evil.com/ HTTP/1.1", b"Host: localhost:%d\r\n", b"400"),
        (b"GET http://localhost:%d/ HTTP/1.1", b"Host: localhost:%d\r\n", b"400"),
        (b"OPTIONS * HTTP/1.1", b"Host: localhost:%d\r\n", b"400"),
        (b"GET /health HTTP/1.1", b"", b"400"),
        (b"GET /health HTTP/1.1", b"Host: localhost:%d\r\nHost: localhost:%d\r\n", b"400"),
        (b"GET /health HTTP/1.0", b"", b"400"),
        (b"GET /health HTTP/1.0", b"Host: localhost:%d\r\n", b"200"),
    ],
)
def test_host_as_it_comes(server: Running, request_line: bytes, host: bytes, status: bytes) -> None:
    request = (request_line + b"\r\n" + host + b"\r\n").replace(b"%d", b"%d" % server.port)
    assert server.raw(request).startswith(b"HTTP/1.1 " + status)


def test_no_cors_unless_asked_for(server: Running) -> None:
    ask = {
        "Origin": "http://localhost:3000",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    for method in ("OPTIONS", "GET", "POST"):
        status, _, found = server.ask(method, "/v1/models", None, ask)
        assert status == 403 and "access-control-allow-origin" not in found


def test_cors_of_one_origin() -> None:
    origin = "http://localhost:3000"
    with running(origins=frozenset({origin}), key=KEY) as server:
        asked = {"Access-Control-Request-Method": "POST",
                 "Access-Control-Request-Headers": "authorization,x-stainless-os"}  # fmt: skip
        status, _, found = server.ask(
            "OPTIONS", "/v1/chat/completions", None, {"Origin": origin} | asked
        )
        assert status == 200 and found["access-control-allow-origin"] == origin
        assert "x-stainless-os" in found["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in found
        told = {"Origin": origin, "Authorization": f"Bearer {KEY}"}
        status, _, found = server.ask("GET", "/v1/models", None, told)
        assert status == 200 and found["access-control-allow-origin"] == origin
        other = {"Origin": "http://localhost:3001"}
        status, _, found = server.ask("OPTIONS", "/v1/models", None, other | asked)
        assert status == 403 and "access-control-allow-origin" not in found


def test_the_key_over_a_socket(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), running(key=KEY, log_requests=True) as server:
        assert server.ask("GET", "/health")[0] == 200
        status, told, found = server.ask("GET", "/v1/models")
        assert status == 401 and found["www-authenticate"] == "Bearer"
        assert server.ask("GET", f"/v1/models?api_key={KEY}")[0] == 401
        good = {"Authorization": f"Bearer {KEY}"}
        assert server.ask("GET", "/v1/models", None, good)[0] == 200
        body = {"messages": [{"role": "user", "content": "my secret"}]}
        assert server.ask("POST", "/v1/chat/completions?q=hidden", body, good)[0] == 200
    lines = [r.getMessage() for r in caplog.records if r.name == "vatra.server.requests"]
    assert len(lines) == 5
    assert re.fullmatch(r"127\.0\.0\.1 POST /v1/chat/completions 200 \d\.\d{3} s", lines[-1])
    assert not re.search(f"{KEY}|secret|hidden", caplog.text)


def test_headers_that_bind_browsers(server: Running) -> None:
    for path in ("/health", "/nowhere", "/v1/models"):
        found = server.ask("GET", path)[2]
        assert found["x-frame-options"] == "DENY"
        assert found["x-content-type-options"] == "nosniff"
        assert found["referrer-policy"] == "no-referrer"
        policy = found["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert "set-cookie" not in found and "server" not in found


def test_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "fonts").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html>")
    (tmp_path / "main.js").write_text("1")
    (tmp_path / "fonts" / "a.woff2").write_bytes(b"x")
    (tmp_path / "secret.key").write_text("x")
    monkeypatch.setattr(page_files.routes, "__defaults__", (tmp_path,))
    with running(key=KEY) as server:
        status, text, found = server.ask("GET", "/")
        assert (status, text) == (200, "<!doctype html>")
        assert found["content-type"] == "text/html; charset=utf-8" and found["etag"]
        assert server.ask("GET", "/", None, {"If-None-Match": found["etag"]})[:2] == (304, "")
        assert server.ask("HEAD", "/")[:2] == (200, "")
        assert server.ask("GET", "/page/main.js")[1] == "1"
        assert server.ask("GET", "/page/fonts/a.woff2")[0] == 200
        for path in ("/page/secret.key", "/page/", "/page/..", "/page/../main.js", "/index.html",
                     "/page/%2e%2e/main.js", "/page//etc/passwd", "/page/main.js%00"):  # fmt: skip
            assert server.ask("GET", path, None, {"Authorization": f"Bearer {KEY}"})[0] == 404
