"""K-quants: 256 weights in groups of 16 or 32; a group's scale is an integer times a float16."""

from __future__ import annotations

import numpy as np

from vatra.quant.bits import planes, scaled, single
from vatra.quant.format import Array, WeightFormat, struct


def scales_and_lows(b: Array) -> tuple[Array, Array]:
    """Q4_K's and Q5_K's scales and offsets, float32 (n, 8, 1) each.

    12 bytes hold 8 scales and 8 offsets of 6 bits: bytes 0-3 and 4-7 the first four of each, whose
    spare upper bits complete the nibbles of bytes 8-11, which are the last four of each.
    """
    rows = b["scales"].reshape(-1, 3, 4)
    whole, nibbles = rows[:, :2], planes(rows[:, 2], 4)  # (n, 2, 4): scales, then offsets
    first = whole & np.uint8(63)
    last = nibbles | whole >> np.uint8(6) << np.uint8(4)
    six_bits = np.concatenate([first, last], axis=-1)[..., None]  # (n, 2, 8, 1)
    return (
        scaled(six_bits[:, 0], single(b["d"])[..., None]),
        scaled(six_bits[:, 1], single(b["dmin"])[..., None]),
    )


def unpack_q2_k(b: Array) -> Array:
    scale = scaled(b["scales"] & np.uint8(15), single(b["d"]))[..., None]
    low = scaled(b["scales"] >> np.uint8(4), single(b["dmin"]))[..., None]
    return scaled(planes(b["qs"].reshape(-1, 2, 32), 2).reshape(-1, 16, 16), scale, low)


def unpack_q3_k(b: Array) -> Array:
    low = planes(b["scales"][:, :8], 4).reshape(-1, 16)
    high = planes(b["scales"][:, 8:], 2).reshape(-1, 16)
    scale = scaled((low | high << np.uint8(4)).view(np.int8) - np.int8(32), single(b["d"]))
    q = planes(b["qs"].reshape(-1, 2, 32), 2).reshape(-1, 16, 16)
    q |= planes(b["hmask"], 1).reshape(-1, 16, 16) << np.uint8(2)
    return scaled(q.view(np.int8) - np.int8(4), scale[..., None])


def unpack_q4_k(b: Array) -> Array:
    q = planes(b["qs"].reshape(-1, 4, 32), 4).reshape(-1, 8, 32)
    return scaled(q, *scales_and_lows(b))


def unpack_q5_k(b: Array) -> Array:
    q = planes(b["qs"].reshape(-1, 4, 32), 4).reshape(-1, 8, 32)
    q |= planes(b["qh"], 1) << np.uint8(4)
    return scaled(q, *scales_and_lows(b))


def unpack_q6_k(b: Array) -> Array:
    q = planes(b["ql"].reshape(-1, 2, 64), 4).reshape(-1, 16, 16)
    q |= planes(b["qh"].reshape(-1, 2, 32), 2).reshape(-1, 16, 16) << np.uint8(4)
    scale = scaled(b["scales"], single(b["d"]))
    return scaled(q.view(np.int8) - np.int8(32), scale[..., None])


D, DMIN, SIX_BIT = ("d", "<f2"), ("dmin", "<f2"), ("scales", "u1", 12)

# fmt: off
FORMATS = (
    WeightFormat("q2_k", 10, 256, struct(("scales", "u1", 16), ("qs", "u1", 64), D, DMIN),
                 unpack_q2_k, error=0.30),
    WeightFormat("q3_k", 11, 256, struct(("hmask", "u1", 32), ("qs", "u1", 64), SIX_BIT, D),
                 unpack_q3_k, error=0.17),
    WeightFormat("q4_k", 12, 256, struct(D, DMIN, SIX_BIT, ("qs", "u1", 128)),
                 unpack_q4_k, error=0.10),
    WeightFormat("q5_k", 13, 256, struct(D, DMIN, SIX_BIT, ("qh", "u1", 32), ("qs", "u1", 128)),
                 unpack_q5_k, error=0.05),
    WeightFormat("q6_k", 14, 256,
                 struct(("ql", "u1", 128), ("qh", "u1", 64), ("scales", "i1", 16), D),
                 unpack_q6_k, error=0.03),
)
# fmt: on
