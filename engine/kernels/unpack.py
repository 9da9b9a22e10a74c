"""Weight formats in registers: how 16 interleaved rows of blocks become bytes to multiply.

A block of 16 rows keeps its file's fields in order; in each field, 4 bytes of each row (2 or 1 in
a field no longer than that) follow each other, row by row. So lane r of a vector is row r. For a
format:

    part(p, k)  the k-th 32 weights of the block at address p, as (quads, scales, mins): 8 vectors
                of unsigned bytes, 1 or 2 float vectors of scales, and as many mins, or None

w = scale * byte + min or, without mins, scale * (byte - zero), the zero standing in `layout.FAST`.
The facts of each format stand in `vatra.quant`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from vatra.engine.kernels import grids
from vatra.engine.kernels.lanes import byte_lane, inlined
from vatra.engine.simd import (
    add_i8s,
    add_i32s,
    and_i8s,
    and_i32s,
    as_f32s,
    as_i8s,
    as_i32s,
    bit_fields,
    first_trits,
    halves_to_f32s,
    load_f16s,
    load_i32s,
    load_quads,
    load_u8s,
    load_u16s,
    lookup,
    max_i32s,
    mul,
    neg,
    or_i8s,
    or_i32s,
    sar_i32s,
    shl_i32s,
    shr_i8s,
    shr_i32s,
    splat_f32,
    splat_i8,
    splat_i32,
    to_f32s,
    xor_i8s,
)
from vatra.quant import fp4, iquants


@inlined
def q4_0(p, k):
    packed = load_quads(p + 32, 4)
    low = splat_i8(15)
    return and_i8s(packed, low) + and_i8s(shr_i8s(packed, 4), low), (load_f16s(p),), None


@inlined
def q8_0(p, k):
    return xor_i8s(load_quads(p + 32, 8), splat_i8(128)), (load_f16s(p),), None


@inlined
def q4_1(p, k):
    packed = load_quads(p + 64, 4)
    low = splat_i8(15)
    quads = and_i8s(packed, low) + and_i8s(shr_i8s(packed, 4), low)
    return quads, (load_f16s(p),), (load_f16s(p + 32),)


@inlined
def five_bits(p):
    """8 vectors of 5-bit codes: 32 fifth bits of each row at p, their nibbles behind."""
    packed, low = load_quads(p + 64, 4), splat_i8(15)
    quads = and_i8s(packed, low) + and_i8s(shr_i8s(packed, 4), low)
    return or_i8s(quads, bit_fields(load_i32s(p), 1, 4))


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
    quads = and_i8s(shr_i8s(packed, 4 * (k & 1)), splat_i8(15))
    return quads, (mul(scale, load_f16s(p)),), (neg(mul(least, load_f16s(p + 32))),)


@inlined
def q5_k(p, k):
    scale, least = k_scales(p + 64, k)
    nibbles = and_i8s(shr_i8s(load_quads(p + 768 + 512 * (k >> 1), 8), 4 * (k & 1)), splat_i8(15))
    fifths = and_i32s(shr_i32s(as_i32s(load_quads(p + 256, 8)), k), splat_i32(0x01010101))
    quads = or_i8s(nibbles, as_i8s(shl_i32s(fifths, 4)))
    return quads, (mul(scale, load_f16s(p)),), (neg(mul(least, load_f16s(p + 32))),)


@inlined
def two_bits(p, k):
    """2-bit codes of part k of 8: four parts share 32 bytes of each row."""
    return and_i8s(shr_i8s(load_quads(p + 512 * (k >> 2), 8), 2 * (k & 3)), splat_i8(3))


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
    low = and_i8s(shr_i8s(low, 4 * (quarter >> 1)), splat_i8(15))
    top = and_i32s(shr_i32s(as_i32s(high), 2 * quarter), splat_i32(0x03030303))
    quads = or_i8s(low, as_i8s(shl_i32s(top, 4)))
    # 16 signed bytes of scales: parts 2k and 2k + 1
    packed = load_i32s(p + 3072 + 64 * (k >> 1))
    d = load_f16s(p + 3328)
    first = sar_i32s(shl_i32s(packed, 24 - 16 * (k & 1)), 24)
    second = sar_i32s(shl_i32s(packed, 16 - 16 * (k & 1)), 24)
    return quads, (mul(d, to_f32s(first)), mul(d, to_f32s(second))), None


# what 4-bit codes stand for, raised by the zeros of their formats
IQ4 = tuple(int(level) + 128 for level in iquants.LEVELS)
E2M1 = tuple(int(value) + 12 for value in fp4.E2M1)


@inlined
def iq4_nl(p, k):
    packed = load_quads(p + 32, 4)
    low = splat_i8(15)
    codes = and_i8s(packed, low) + and_i8s(shr_i8s(packed, 4), low)
    return lookup(IQ4, codes), (load_f16s(p),), None


@inlined
def iq4_xs(p, k):
    packed = load_quads(p + 128 + 256 * k, 4)
    low = splat_i8(15)
    codes = and_i8s(packed, low) + and_i8s(shr_i8s(packed, 4), low)
    # a six-bit scale, less 32: a nibble in the second field, its upper two bits in the first
    four = and_i32s(shr_i32s(load_i32s(p + 64), 4 * k), splat_i32(15))
    two = and_i32s(shr_i32s(load_u16s(p + 32), 2 * k), splat_i32(3))
    six = add_i32s(or_i32s(four, shl_i32s(two, 4)), splat_i32(-32))
    return lookup(IQ4, codes), (mul(load_f16s(p), to_f32s(six)),), None


@inlined
def e8m0(codes):
    """2^(code - 128): a float's exponent field where that is above 0, else its upper fraction."""
    normal = shl_i32s(add_i32s(codes, splat_i32(-1)), 23)
    return as_f32s(max_i32s(normal, shl_i32s(add_i32s(codes, splat_i32(1)), 21)))


@inlined
def mxfp4(p, k):
    packed = load_quads(p + 16, 4)
    low = splat_i8(15)
    codes = and_i8s(packed, low) + and_i8s(shr_i8s(packed, 4), low)
    return lookup(E2M1, codes), (e8m0(load_u8s(p)),), None


@inlined
def e4m3(packed, i):
    """Byte i of each lane as half an unsigned E4M3: a half's bits, 2^7 too small; 0x7F is zero."""
    code = sar_i32s(shl_i32s(packed, 24 - 8 * i), 24)
    below = sar_i32s(add_i32s(code, splat_i32(-127)), 31)  # all ones, unless the code is 0x7F
    seven = and_i32s(and_i32s(code, splat_i32(127)), below)
    return mul(halves_to_f32s(shl_i32s(seven, 7)), splat_f32(128.0))


@inlined
def nvfp4(p, k):
    first, second = load_quads(p + 64 + 256 * k, 2), load_quads(p + 192 + 256 * k, 2)
    low, packed = splat_i8(15), load_i32s(p)
    codes = (
        and_i8s(first, low) + and_i8s(shr_i8s(first, 4), low)
        + and_i8s(second, low) + and_i8s(shr_i8s(second, 4), low)
    )  # fmt: skip
    return lookup(E2M1, codes), (e4m3(packed, 2 * k), e4m3(packed, 2 * k + 1)), None


@inlined
def tripled(quads, times):
    """Bytes times 3 so often, modulo 256: fractions of 256 lose a digit in base 3 each time."""
    for _ in range(times):
        quads = add_i8s(add_i8s(quads, quads), quads)
    return quads


@inlined
def tq1_0(p, k):
    if k < 5:  # 32 bytes of five digits each
        quads = first_trits(tripled(load_quads(p, 8), k))
    elif k < 7:  # 16 bytes, of which a part has two digits
        packed = tripled(load_quads(p + 512, 4), 2 * (k - 5))
        quads = first_trits(packed) + first_trits(tripled(packed, 1))
    else:  # their fifth digit, and 4 bytes of four digits
        fifth, last = tripled(load_quads(p + 512, 4), 4), load_quads(p + 768, 1)
        quads = (
            first_trits(fifth) + first_trits(last) + first_trits(tripled(last, 1))
            + first_trits(tripled(last, 2)) + first_trits(tripled(last, 3))
        )  # fmt: skip
    return quads, (load_f16s(p + 832),), None


@inlined
def tq2_0(p, k):
    return two_bits(p, k), (load_f16s(p + 1024),), None


@inlined
def q1_0(p, k):
    return bit_fields(load_i32s(p + 32 + 64 * k), 1, 1), (load_f16s(p),), None


@inlined
def q2_0(p, k):
    at = p + 32 + 128 * k
    quads = bit_fields(load_i32s(at), 2, 0) + bit_fields(load_i32s(at + 64), 2, 0)
    return quads, (load_f16s(p),), None


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
    "iq1_s": Unpack(grids.iq1_s, 5),
    "iq1_m": Unpack(grids.iq1_m, 5),
    "iq2_xxs": Unpack(grids.iq2_xxs, 7),
    "iq2_xs": Unpack(grids.iq2_xs, 7),
    "iq2_s": Unpack(grids.iq2_s, 7),
    "iq3_xxs": Unpack(grids.iq3_xxs, 7),
    "iq3_s": Unpack(grids.iq3_s, 7),
    "iq4_nl": Unpack(iq4_nl, 8),
    "iq4_xs": Unpack(iq4_xs, 8),
    "tq1_0": Unpack(tq1_0, 2),
    "tq2_0": Unpack(tq2_0, 2),
    "mxfp4": Unpack(mxfp4, 5),
    "nvfp4": Unpack(nvfp4, 5),
    "q1_0": Unpack(q1_0, 2),
    "q2_0": Unpack(q2_0, 2),
}
