"""Who may ask: programs of this machine, pages that this server served, holders of the key.

All of it is decided by the headers, before anything of a body is read. A page of the internet that
a person has open can send requests to this machine; it cannot choose their Host, Origin and
Sec-Fetch headers.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from vatra.server.failure import Failure, Refused, failure_of
from vatra.server.limits import Limits

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "::1", "localhost")
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; font-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
HEADERS = (  # of every answer
    (b"content-security-policy", PAGE_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


@dataclass(frozen=True)
class Access:
    """Who is let in. `names` are the hosts that the server is asked by, at `port` if it is not 0.

    Where `numbers`, it may also be asked by any address in numbers: no name can lead to those that
    their owner did not give. Without a `key` none is wanted; `free` are the paths that never want
    one: the page, which asks a person for it, and what tells nothing. `origins` are those of web
    pages that may ask although this server did not serve them.
    """

    port: int
    names: frozenset[str] = frozenset(LOOPBACK)
    numbers: bool = False
    key: str | None = field(default=None, repr=False)
    origins: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset({"/health"})

    def check(self, method: str, path: str, headers: Mapping[str, list[str]]) -> None:
        """Raise Refused for a request that may not be answered; `headers` by name in lower case."""
        if not path.startswith("/"):
            raise Refused("the address of a request must begin with /")
        self._check_host(headers.get("host", []))
        self._check_origin(method, path, headers)
        # A browser asks what it may ask (OPTIONS) without the key; allowed origins alone are told.
        if self.key is not None and path not in self.free and method != "OPTIONS":
            self._check_key(headers.get("authorization", []))

    def _check_host(self, hosts: list[str]) -> None:
        wanted = f"such as localhost:{self.port}" if self.port else "of this machine"
        if len(hosts) != 1:
            raise Refused(f"a request needs one Host header, {wanted}; got {len(hosts)}")
        name, port = _split(hosts[0])
        known = name in self.names or (self.numbers and _is_address(name))
        if not known or (self.port and port != self.port):
            raise Refused(
                f"Host: got {hosts[0]!r:.80}, wanted one {wanted}", 403, "host_not_allowed"
            )

    def _check_origin(self, method: str, path: str, headers: Mapping[str, list[str]]) -> None:
        origins, sites = headers.get("origin", []), headers.get("sec-fetch-site", [])
        for origin in origins:
            if not self._is_own(origin, headers["host"][0]) and origin not in self.origins:
                raise Refused(
                    f"Origin: {origin!r:.80} is not allowed; `vatra serve --cors ORIGIN` allows it",
                    403,
                    "origin_not_allowed",
                )
        opened = (
            path == "/"
            and method in ("GET", "HEAD")
            and headers.get("sec-fetch-mode") == ["navigate"]
            and headers.get("sec-fetch-dest") == ["document"]
        )  # a person followed a link to the page, which frames cannot do
        if not origins and not opened and set(sites) - {"same-origin", "none"}:
            raise Refused("a page of another site may not ask", 403, "origin_not_allowed")

    def _is_own(self, origin: str, host: str) -> bool:
        """True for a page that came from where the request goes to."""
        scheme, _, rest = origin.partition("://")
        return scheme in ("http", "https") and rest.lower() == host.lower()

    def _check_key(self, given: list[str]) -> None:
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        same = hmac.compare_digest(_digest(token.strip()), _digest(self.key or ""))
        if scheme.lower() != "bearer" or not same:
            raise Refused(
                "wanted the header `Authorization: Bearer KEY` with the key of this server",
                401,
                "invalid_api_key",
            )


class Guard:
    """Lets through to `app` what `access` allows, and adds headers that bind browsers."""

    def __init__(self, app: App, access: Access, limits: Limits) -> None:
        self.app, self.access, self.limits = app, access, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", []))
                has = {name.lower() for name, _ in given}
                message["headers"] = [*given, *(h for h in HEADERS if h[0] not in has)]
            await send(message)

        headers: dict[str, list[str]] = {}
        size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
        for name, value in scope["headers"]:
            size += len(name) + len(value) + 4
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        try:
            if size > self.limits.head_bytes:
                what = f"the headers have more than the {self.limits.head_bytes} bytes allowed"
                raise Refused(what, 431, "headers_too_large")
            self.access.check(scope["method"], scope["path"], headers)
        except Refused as error:
            await answer(failure_of(error), scope["path"], guarded)
        else:
            await self.app(scope, receive, guarded)


async def answer(failure: Failure, path: str, send: Send) -> None:
    """Send a failure as the whole answer."""
    body = failure.body(path)
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        **failure.headers,
    }
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": failure.status, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def check_origin(text: str) -> str:
    """An origin as browsers write it, such as https://example.org:8000; raises UsageError."""
    parts = urlsplit(text)
    try:
        plain = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        plain = False
    if not plain or text != f"{parts.scheme}://{parts.netloc}".lower() or "@" in text:
        raise Refused(f"{text!r:.80} is no origin, wanted one like http://localhost:3000")
    return text


def _split(host: str) -> tuple[str, int | None]:
    """Name in lower case, and port, of a Host header; what is none has an empty name."""
    try:
        parts = urlsplit(f"//{host}")
        port = 80 if parts.port is None else parts.port
    except ValueError:
        return "", None
    if parts.netloc != host or "@" in host or parts.path or not parts.hostname:
        return "", None
    return parts.hostname, port


def _digest(key: str) -> bytes:
    """Of one length whatever the key's, so that comparing takes the same time."""
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
