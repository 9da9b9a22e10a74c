"""Bodies of requests: JSON and nothing else, within limits."""

from __future__ import annotations

import json
import random
import time
import tracemalloc
from typing import Any

import pytest

from vatra.server.body import parse
from vatra.server.failure import Refused
from vatra.server.limits import Limits

LIMITS = Limits()
MIB = 1 << 20
FULL = LIMITS.body_bytes

WRONG: list[tuple[str, bytes, str]] = [
    ("nothing", b"", "no JSON"),
    ("space", b"  \n", "no JSON"),
    ("cut", b'{"a": [1, 2', "line 1, column 12"),
    ("trailing", b'{"a": 1} x', "Extra data"),
    ("two", b'{"a": 1}{"b": 2}', "Extra data"),
    ("single quotes", b"{'a': 1}", "no JSON"),
    ("comment", b'{"a": 1 /* x */}', "no JSON"),
    ("trailing comma", b'{"a": 1,}', "no JSON"),
    ("leading zero", b'{"a": 01}', "no JSON"),
    ("plus", b'{"a": +1}', "no JSON"),
    ("hexadecimal", b'{"a": 0x10}', "no JSON"),
    ("control character", b'{"a": "\x01"}', "no JSON"),
    ("bad escape", b'{"a": "\\x41"}', "no JSON"),
    ("list", b"[1]", "JSON object"),
    ("text", b'"a"', "JSON object"),
    ("null", b"null", "JSON object"),
    ("NaN", b'{"a": NaN}', "NaN"),
    ("infinity", b'{"a": -Infinity}', "-Infinity"),
    ("1e400", b'{"a": 1e400}', "too large"),
    ("-1e400", b'{"a": [-1e400]}', "too large"),
    ("10**400", b'{"a": 1' + b"0" * 400 + b"}", "too large"),
    ("10**9000", b'{"a": 1' + b"0" * 9000 + b"}", "too large"),
    ("twice", b'{"a": 1, "b": 2, "a": 3}', "'a' comes twice"),
    ("twice, escaped", b'{"a": 1, "\\u0061": 3}', "comes twice"),
    ("twice, inside", b'{"m": [{"x": 1, "x": 1}]}', "'x' comes twice"),
    ("high surrogate", b'{"a": "\\ud800"}', "surrogate"),
    ("low surrogate", b'{"a": "x\\uDFFF"}', "surrogate"),
    ("surrogate in a name", b'{"\\ud834": 1}', "surrogate"),
    ("surrogates in the wrong order", b'{"a": "\\udd1e\\ud834"}', "surrogate"),
    ("Latin-1", b'{"a": "\xe9"}', "no UTF-8: byte 7"),
    ("overlong", b'{"a": "\xc0\xaf"}', "no UTF-8"),
    ("surrogate in UTF-8", b'{"a": "\xed\xa0\x80"}', "no UTF-8"),
    ("UTF-16", '{"a": 1}'.encode("utf-16"), "no UTF-8"),
    ("mark of UTF-8", b'\xef\xbb\xbf{"a": 1}', "no JSON"),
    ("deep lists", b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "deeper than 100"),
    ("deep objects", b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "deeper than 100"),
    ("deep and open", b"[" * 100_000, "deeper than 100"),
    ("just too deep", b'{"a":' + b"[" * 100 + b"]" * 100 + b"}", "deeper than 100"),
    ("a million messages", b'{"a":[' + b'{"r":1},' * 1_000_000 + b"0]}", "400000 values"),
    ("empty objects", b'{"a":[' + b"{}," * (FULL // 3 - 9) + b"0]}", "400000 values"),
    ("quotes", b'{"a":' + b'"",' * (FULL // 3 - 9) + b"}", "400000 values"),
    ("one text without an end", b'{"a":"' + b"x," * (FULL // 2 - 9), "no JSON"),
]


@pytest.mark.parametrize(("raw", "what"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_wrong(raw: bytes, what: str) -> None:
    begin = time.monotonic()
    with pytest.raises(Refused, match=what) as caught:
        parse(raw, LIMITS)
    assert caught.value.status == 400 and len(str(caught.value)) < 200
    assert time.monotonic() - begin < 1


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"{}", {}),
        (b' {"a": -0.5e-300} \n', -0.5e-300),
        (b'{"a": 9223372036854775808}', 2**63),
        (b'{"a": -9223372036854775808}', -(2**63)),
        (b'{"a": "\\ud834\\udd1e \\u0000"}', "\U0001d11e \0"),
        ('{"a": "\U0001d11e"}'.encode(), "\U0001d11e"),
        (b'{"a": "\\\\ud800"}', "\\ud800"),
        (b'{"a":' + b"[" * 99 + b"]" * 99 + b"}", ...),
    ],
)
def test_right(raw: bytes, value: Any) -> None:
    found = parse(raw, LIMITS)
    assert found == json.loads(raw)
    assert value is ... or found == {} or found["a"] == value


def test_a_long_text_may_have_what_counts_outside_of_it() -> None:
    text = '[{,"\\' * MIB
    assert parse(json.dumps({"a": text}).encode(), LIMITS) == {"a": text}


def test_memory_is_bounded() -> None:
    raw = b'{"a":[' + b"{}," * (LIMITS.json_values // 2 - 10) + b"{}]}"
    tracemalloc.start()
    parse(raw, LIMITS)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * MIB


def test_mutations_are_read_as_json_reads_them_or_refused() -> None:
    """What is accepted is what the standard library reads in the text, and can be written again."""
    rng = random.Random(4)
    seed = json.dumps(
        {
            "messages": [{"role": "user", "content": "h\U0001d11e\ud7ff"}],
            "n": [1, -2.5e3, True, None],
        }
    ).encode()
    marks = [b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"1e999", b"\\ud800", b"\xff", b"NaN"]
    accepted = 0
    for _ in range(5000):
        raw = bytearray(seed)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(raw))
            match rng.randrange(4):
                case 0:
                    raw[at] ^= 1 << rng.randrange(8)
                case 1:
                    del raw[at : at + rng.randint(1, 9)]
                case 2:
                    raw[at:at] = rng.choice(marks)
                case _:
                    other = rng.randrange(len(raw))
                    raw[at:at] = raw[other : other + rng.randint(1, 9)]
            raw = raw or bytearray(b"{}")
        try:
            found = parse(bytes(raw), LIMITS)
        except Refused:
            continue
        accepted += 1
        assert found == json.loads(raw.decode())
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    assert 100 < accepted < 5000
