"""Weights of -1, 0 and 1 under one scale per 256: TQ1_0 (five to a byte), TQ2_0 (four)."""

from __future__ import annotations

import numpy as np

from vatra.quant.bits import half_away, inverse, joined, planes, scaled, single
from vatra.quant.format import Array, WeightFormat, struct

# A byte is a fraction of 256 written in base 3: multiplying by 3^k, modulo 256, brings digit k to
# the front. The parts of TQ1_0's block: (first byte, bytes, digits in each).
POWERS = np.array([1, 3, 9, 27, 81], np.uint8)[:, None]
PARTS = ((0, 32, 5), (32, 16, 5), (48, 4, 4))


def unpack_tq1_0(b: Array) -> Array:
    q = np.empty((len(b), 256), np.uint8)
    at = 0
    for first, n, digits in PARTS:
        field = b["qs"][:, first : first + n] if first < 48 else b["qh"]
        fractions = (field[:, None] * POWERS[:digits]).astype(np.uint16)  # (n, digits, bytes)
        q[:, at : at + n * digits] = (fractions * np.uint16(3) >> np.uint16(8)).reshape(len(b), -1)
        at += n * digits
    return scaled(q.view(np.int8) - np.int8(1), single(b["d"]))


def unpack_tq2_0(b: Array) -> Array:
    q = planes(b["qs"].reshape(-1, 2, 32), 2).reshape(-1, 256)
    return scaled(q.view(np.int8) - np.int8(1), single(b["d"]))


def trits(x: Array) -> tuple[Array, Array]:
    """The largest magnitude as scale, float16 (n, 1), and 0, 1 or 2 per weight, uint8 (n, 256)."""
    d = np.abs(x).max(-1, keepdims=True)
    q = half_away(x * inverse(d)).astype(np.int8) + np.int8(1)
    return d.astype(np.float16), q.view(np.uint8)


def pack_tq1_0(x: Array) -> dict[str, Array]:
    d, q = trits(x)
    parts, at = [], 0
    for _, n, digits in PARTS:
        places = POWERS[::-1][:digits]
        number = (q[:, at : at + n * digits].reshape(-1, digits, n) * places).sum(-2)
        parts.append(((number.astype(np.uint16) * 256 + 242) // 243).astype(np.uint8))
        at += n * digits
    return {"qs": np.concatenate(parts[:2], axis=-1), "qh": parts[2], "d": d}


def pack_tq2_0(x: Array) -> dict[str, Array]:
    d, q = trits(x)
    return {"qs": joined(q.reshape(-1, 2, 4, 32), 2), "d": d}


# fmt: off
FORMATS = (
    WeightFormat("tq1_0", 34, 256, struct(("qs", "u1", 48), ("qh", "u1", 4), ("d", "<f2")),
                 unpack_tq1_0, pack_tq1_0, error=0.85),
    WeightFormat("tq2_0", 35, 256, struct(("qs", "u1", 64), ("d", "<f2")),
                 unpack_tq2_0, pack_tq2_0, error=0.85),
)
# fmt: on
