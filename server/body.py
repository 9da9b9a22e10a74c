"""The body of a request: JSON in UTF-8, within limits, and without what JSON leaves open."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from starlette.requests import ClientDisconnect

from vatra.server.failure import Refused
from vatra.server.limits import Limits

JSON = "application/json"
_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # to its end, or that of all
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_LARGE = 256 << 10  # bytes: parsed outside of the event loop's thread
_MOST_DIGITS = 30


class Bodies:
    """Reads bodies; knows how much of memory those take that are being read."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._held = 0  # bytes

    async def read(self, request: Any) -> dict[str, Any]:
        """The JSON object in the body of a Starlette request; raises Refused."""
        # Clients of Ollama may send none. Browsers cannot, from other pages, without an Origin.
        usual = JSON if request.url.path.startswith("/api/") else ""
        kind = request.headers.get("content-type", usual).partition(";")[0].strip().lower()
        if kind != JSON:
            raise Refused(f"Content-Type: got {kind!r:.60}, wanted {JSON}", 415, "unsupported_type")
        length = request.headers.get("content-length", "0")
        if not length.isascii() or not length.isdecimal() or int(length) > self.limits.body_bytes:
            raise self._too_large()
        raw = bytearray()
        try:
            async for part in request.stream():
                self._held += len(part)
                raw += part
                if len(raw) > self.limits.body_bytes:
                    raise self._too_large()
                if self._held > self.limits.bodies_bytes:
                    raise Refused("too many large requests at once", 503, "server_busy")
            if len(raw) > _LARGE:
                return await asyncio.to_thread(parse, bytes(raw), self.limits)
            return parse(bytes(raw), self.limits)
        except ClientDisconnect:
            raise Refused("the client left before it had sent all") from None
        finally:
            self._held -= len(raw)

    def _too_large(self) -> Refused:
        return Refused(
            f"the body has more than the {self.limits.body_bytes} bytes allowed",
            413,
            "request_too_large",
        )


def parse(raw: bytes, limits: Limits) -> dict[str, Any]:
    """The JSON object that `raw` is; raises Refused for anything else.

    Refused are NaN and infinities, numbers that no float64 holds, halves of surrogate pairs, names
    that come twice in an object, and more depth or values than `limits` allow.
    """
    if _has_more_values(raw, limits.json_values):
        raise Refused(f"the body has more than {limits.json_values} values")
    try:
        text = raw.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
        if _SURROGATE.search(raw):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise Refused(f"the body is nested deeper than {limits.json_depth}") from None
    except UnicodeDecodeError as error:
        raise Refused(f"the body is no UTF-8: byte {error.start}") from None
    except UnicodeEncodeError:
        raise Refused("the body has half of a surrogate pair, which is no character") from None
    except json.JSONDecodeError as error:
        what = f"{error.msg} in line {error.lineno}, column {error.colno}"
        raise Refused(f"the body is no JSON: {what}", code="invalid_json") from None
    if not isinstance(value, dict):
        raise Refused("the body must be a JSON object")
    _check_depth(value, limits.json_depth)
    return value


def _has_more_values(raw: bytes, most: int) -> bool:
    """True if JSON has more values, or texts; without making an object of any."""
    if _marks(raw) <= most:
        return False
    n_texts = (raw.count(b'"') - raw.count(b'\\"')) // 2  # at least
    return n_texts > 2 * most or _marks(_TEXT.sub(b"", raw)) > most


def _marks(raw: bytes) -> int:
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{")


def _check_depth(value: Any, most: int) -> None:
    level = [value]
    for _ in range(most):
        found: list[Any] = []
        for held in level:
            found += held.values() if isinstance(held, Mapping) else held
        level = [inner for inner in found if isinstance(inner, (dict, list))]
        if not level:
            return
    raise Refused(f"the body is nested deeper than {most}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise Refused(f"{twice!r:.60} comes twice in one object")
    return found


def _constant(text: str) -> NoReturn:
    raise Refused(f"{text} is no JSON number")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Refused(f"{text:.40} is too large for a number")
    return value


def _int(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise Refused(f"{text:.40}... is too large for an integer")
    return int(text)
