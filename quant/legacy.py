"""Blocks of 32 weights with one scale: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0.

The `_0` formats are symmetric about zero, w = d * (q - 2^(bits-1)); the `_1` formats have an
offset, w = d * q + m.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from vatra.quant.bits import half_away, in_order, inverse, joined, planes, scaled, single
from vatra.quant.format import Array, WeightFormat, struct


def codes(b: Array, bits: int) -> Array:
    """4- or 5-bit codes, uint8 (n, 32): byte j's nibbles are weights j and j + 16."""
    low = planes(b["qs"], 4).reshape(-1, 32)
    return low if bits == 4 else low | in_order(b["qh"], 1) << np.uint8(4)


def packed(q: Array, bits: int) -> dict[str, Array]:
    """The fields that `codes` reads, from uint8 (n, 32)."""
    nibbles = {"qs": joined(q.reshape(-1, 2, 16) & np.uint8(15), 4)}
    high = np.packbits(q >> np.uint8(4), axis=-1, bitorder="little")
    return nibbles if bits == 4 else {"qh": high, **nibbles}


def truncated(x: Array, bits: int) -> Array:
    """Codes from positive float32; what overflows the byte is left to the cast, as in ggml."""
    return np.trunc(x).astype(np.uint8).clip(0, (1 << bits) - 1)


def unpack_symmetric(b: Array, bits: int) -> Array:
    return scaled(codes(b, bits).view(np.int8) - np.int8(1 << bits - 1), single(b["d"]))


def unpack_offset(b: Array, bits: int) -> Array:
    return scaled(codes(b, bits), single(b["d"]), -single(b["m"]))


def pack_symmetric(x: Array, bits: int) -> dict[str, Array]:
    """The weight furthest from zero, sign included, becomes the lowest code."""
    middle = np.float32(1 << bits - 1)
    peak = np.take_along_axis(x, np.abs(x).argmax(-1, keepdims=True), -1)
    d = peak / -middle
    q = truncated(x * inverse(d) + (middle + np.float32(0.5)), bits)
    return {"d": d.astype(np.float16), **packed(q, bits)}


def pack_offset(x: Array, bits: int) -> dict[str, Array]:
    """The least weight becomes code 0, the greatest the highest code."""
    low, high = x.min(-1, keepdims=True), x.max(-1, keepdims=True)
    d = (high - low) / np.float32((1 << bits) - 1)
    q = truncated((x - low) * inverse(d) + np.float32(0.5), bits)
    return {"d": d.astype(np.float16), "m": low.astype(np.float16), **packed(q, bits)}


def unpack_q8_0(b: Array) -> Array:
    return scaled(b["qs"], single(b["d"]))


def pack_q8_0(x: Array) -> dict[str, Array]:
    d = np.abs(x).max(-1, keepdims=True) / np.float32(127)
    return {"d": d.astype(np.float16), "qs": half_away(x * inverse(d)).astype(np.int8)}


D, M, QH, QS = ("d", "<f2"), ("m", "<f2"), ("qh", "u1", 4), ("qs", "u1", 16)

# fmt: off
FORMATS = (
    WeightFormat("q4_0", 2, 32, struct(D, QS),
                 partial(unpack_symmetric, bits=4), partial(pack_symmetric, bits=4),
                 activation="q8_0", error=0.12),
    WeightFormat("q4_1", 3, 32, struct(D, M, QS),
                 partial(unpack_offset, bits=4), partial(pack_offset, bits=4),
                 activation="q8_1", error=0.11),
    WeightFormat("q5_0", 6, 32, struct(D, QH, QS),
                 partial(unpack_symmetric, bits=5), partial(pack_symmetric, bits=5),
                 activation="q8_0", error=0.07),
    WeightFormat("q5_1", 7, 32, struct(D, M, QH, QS),
                 partial(unpack_offset, bits=5), partial(pack_offset, bits=5),
                 activation="q8_1", error=0.05),
    WeightFormat("q8_0", 8, 32, struct(D, ("qs", "i1", 32)),
                 unpack_q8_0, pack_q8_0, activation="q8_0", error=0.01),
)
# fmt: on
