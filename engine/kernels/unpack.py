"""Weight formats in registers: how 16 interleaved rows of blocks become bytes to multiply.

A block of 16 rows keeps its file's fields in order; in each field, 4 bytes of each row (2 in a
field of halves) follow each other, row by row. So lane r of a vector is row r. For a format:

    part(p, k)  the k-th 32 weights of the block at address p, as (quads, scales, mins): 8 vectors
                of unsigned bytes, 1 or 2 float vectors of scales, and as many mins, or None

w = scale * byte + min or, without mins, scale * (byte - zero), the zero standing in `layout.FAST`.
The facts of each format stand in `vatra.quant`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from numba import njit

from vatra.engine.simd import (
    add_i32s,
    and_i8s,
    and_i32s,
    as_i8s,
    as_i32s,
    load_f16s,
    load_i32s,
    load_quads,
    mul,
    mul_i32s,
    neg,
    or_i8s,
    or_i32s,
    sar_i32s,
    shl_i32s,
    shr_i32s,
    splat_i8,
    splat_i32,
    to_f32s,
    xor_i8s,
)

inlined = njit(forceinline=True)


@inlined
def tile_of(n, tile):
    """Activations of a single token lie without gaps."""
    return 1 if n == 1 else tile


@inlined
def shifted(quads, n):
    """Bytes shifted right by n bits; bits of the next byte come in at the top."""
    return as_i8s(shr_i32s(as_i32s(quads), n))


@inlined
def byte_lane(packed, k):
    """Byte k of each lane, as an integer."""
    return and_i32s(shr_i32s(packed, 8 * k), splat_i32(255))


@inlined
def q4_0(p, k):
    packed = load_quads(p + 32, 4)
    low = splat_i8(15)
    return and_i8s(packed, low) + and_i8s(shifted(packed, 4), low), (load_f16s(p),), None


@inlined
def q8_0(p, k):
    return xor_i8s(load_quads(p + 32, 8), splat_i8(128)), (load_f16s(p),), None


@inlined
def q4_1(p, k):
    packed = load_quads(p + 64, 4)
    low = splat_i8(15)
    quads = and_i8s(packed, low) + and_i8s(shifted(packed, 4), low)
    return quads, (load_f16s(p),), (load_f16s(p + 32),)


@inlined
def fifth_bits(bits, j):
    """Bits 4j .. 4j + 3 of each lane as bit 4 of its bytes: four copies, one bit kept of each."""
    four = and_i32s(shr_i32s(bits, 4 * j), splat_i32(15))
    return as_i8s(shl_i32s(and_i32s(mul_i32s(four, splat_i32(0x204081)), splat_i32(0x01010101)), 4))


@inlined
def five_bits(p):
    """8 vectors of 5-bit codes: 32 fifth bits of each row at p, their nibbles behind."""
    packed, bits, low = load_quads(p + 64, 4), load_i32s(p), splat_i8(15)
    quads = and_i8s(packed, low) + and_i8s(shifted(packed, 4), low)
    fifths = (
        fifth_bits(bits, 0), fifth_bits(bits, 1), fifth_bits(bits, 2), fifth_bits(bits, 3),
        fifth_bits(bits, 4), fifth_bits(bits, 5), fifth_bits(bits, 6), fifth_bits(bits, 7),
    )  # fmt: skip
    return or_i8s(quads, fifths)


@inlined
def q5_0(p, k):
    return five_bits(p + 32), (load_f16s(p),), None


@inlined
def q5_1(p, k):
    return five_bits(p + 64), (load_f16s(p),), (load_f16s(p + 32),)


@inlined
def k_scales(p, k):
    """Six-bit scale and min number k of 8, packed in 12 bytes, as floats (Q4_K, Q5_K)."""
    first, second, third = load_i32s(p), load_i32s(p + 64), load_i32s(p + 128)
    if k < 4:
        scales, mins = (
            and_i32s(first, splat_i32(0x3F3F3F3F)),
            and_i32s(second, splat_i32(0x3F3F3F3F)),
        )
    else:
        low, high = splat_i32(0x0F0F0F0F), splat_i32(0x30303030)
        scales = or_i32s(and_i32s(third, low), and_i32s(shr_i32s(first, 2), high))
        mins = or_i32s(and_i32s(shr_i32s(third, 4), low), and_i32s(shr_i32s(second, 2), high))
    return to_f32s(byte_lane(scales, k & 3)), to_f32s(byte_lane(mins, k & 3))


@inlined
def q4_k(p, k):
    scale, least = k_scales(p + 64, k)
    packed = load_quads(p + 256 + 512 * (k >> 1), 8)
    quads = and_i8s(shifted(packed, 4 * (k & 1)), splat_i8(15))
    return quads, (mul(scale, load_f16s(p)),), (neg(mul(least, load_f16s(p + 32))),)


@inlined
def q5_k(p, k):
    scale, least = k_scales(p + 64, k)
    nibbles = and_i8s(shifted(load_quads(p + 768 + 512 * (k >> 1), 8), 4 * (k & 1)), splat_i8(15))
    fifths = and_i32s(shr_i32s(as_i32s(load_quads(p + 256, 8)), k), splat_i32(0x01010101))
    quads = or_i8s(nibbles, as_i8s(shl_i32s(fifths, 4)))
    return quads, (mul(scale, load_f16s(p)),), (neg(mul(least, load_f16s(p + 32))),)


@inlined
def two_bits(p, k):
    """2-bit codes of part k of 8: four parts share 32 bytes of each row."""
    return and_i8s(shifted(load_quads(p + 512 * (k >> 2), 8), 2 * (k & 3)), splat_i8(3))


@inlined
def q2_k(p, k):
    packed = load_i32s(p + 64 * (k >> 1))
    first, second = byte_lane(packed, 2 * (k & 1)), byte_lane(packed, 2 * (k & 1) + 1)
    d, dmin, low = load_f16s(p + 1280), neg(load_f16s(p + 1312)), splat_i32(15)
    scales = mul(d, to_f32s(and_i32s(first, low))), mul(d, to_f32s(and_i32s(second, low)))
    mins = mul(dmin, to_f32s(shr_i32s(first, 4))), mul(dmin, to_f32s(shr_i32s(second, 4)))
    return two_bits(p + 256, k), scales, mins


@inlined
def q3_scale(p, k, i):
    """Six-bit scale 2k + i, less 32: 16 nibbles in 8 bytes, then 16 pairs of upper bits in 4."""
    byte = 2 * (k & 1) + i
    low = shr_i32s(load_i32s(p + 64 * (k >> 1 & 1)), 8 * byte + 4 * (k >> 2))
    high = shr_i32s(load_i32s(p + 128), 8 * byte + 2 * (k >> 1))
    six = or_i32s(and_i32s(low, splat_i32(15)), shl_i32s(and_i32s(high, splat_i32(3)), 4))
    return to_f32s(add_i32s(six, splat_i32(-32)))


@inlined
def q3_k(p, k):
    thirds = and_i32s(shr_i32s(as_i32s(load_quads(p, 8)), k), splat_i32(0x01010101))
    quads = or_i8s(two_bits(p + 512, k), as_i8s(shl_i32s(thirds, 2)))
    d = load_f16s(p + 1728)
    return quads, (mul(d, q3_scale(p + 1536, k, 0)), mul(d, q3_scale(p + 1536, k, 1))), None


@inlined
def q6_k(p, k):
    half, quarter = k >> 2, k & 3
    low = load_quads(p + 1024 * half + 512 * (quarter & 1), 8)
    high = load_quads(p + 2048 + 512 * half, 8)
    low = and_i8s(shifted(low, 4 * (quarter >> 1)), splat_i8(15))
    top = and_i32s(shr_i32s(as_i32s(high), 2 * quarter), splat_i32(0x03030303))
    quads = or_i8s(low, as_i8s(shl_i32s(top, 4)))
    # 16 signed bytes of scales: parts 2k and 2k + 1
    packed = load_i32s(p + 3072 + 64 * (k >> 1))
    d = load_f16s(p + 3328)
    first = sar_i32s(shl_i32s(packed, 24 - 16 * (k & 1)), 24)
    second = sar_i32s(shl_i32s(packed, 16 - 16 * (k & 1)), 24)
    return quads, (mul(d, to_f32s(first)), mul(d, to_f32s(second))), None


class Unpack(NamedTuple):
    """How one format is unpacked."""

    part: Callable[..., Any]
    bits: int  # the unsigned bytes are below 2^bits


UNPACK = {
    "q4_0": Unpack(q4_0, 4),
    "q4_1": Unpack(q4_1, 4),
    "q5_0": Unpack(q5_0, 5),
    "q5_1": Unpack(q5_1, 5),
    "q8_0": Unpack(q8_0, 8),
    "q2_k": Unpack(q2_k, 2),
    "q3_k": Unpack(q3_k, 3),
    "q4_k": Unpack(q4_k, 4),
    "q5_k": Unpack(q5_k, 5),
    "q6_k": Unpack(q6_k, 6),
}
