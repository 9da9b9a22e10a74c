"""Weight formats whose codes index a grid, unpacked as `unpack` says.

A grid entry is 8 weights (4 in IQ3) as bytes, so that each lane gathers one quad or two at once.
Entries of IQ2 and IQ3 are magnitudes around the zero of 64, and signs of their own turn them. IQ1
has no signs but a shift by an eighth, so its entries are eight times the grid's values.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vatra.engine.kernels.lanes import byte_lane, inlined
from vatra.engine.simd import (
    and_i32s,
    as_i8s,
    fma,
    gather,
    gather_pairs,
    halves_to_f32s,
    load_f16s,
    load_i32s,
    mul,
    or_i32s,
    reflect,
    sar_i32s,
    shl_i32s,
    shr_i32s,
    splat_f32,
    splat_i32,
    table,
    to_f32s,
    xor_i8s,
    xor_i32s,
)
from vatra.quant import iquants

ZERO, AROUND = 64, 128  # a weight of 0 as a byte; byte and AROUND - byte differ in their sign
# 8w + 1 around IQ1's zero of 17: clearing bit 1, which all of 10, 18, 26 have, makes it 8w - 1
UP = 18


def grid(name: str, factor: int, offset: int) -> Any:
    """A verb giving the address of the named grid, its values times `factor` plus `offset`."""

    def values() -> bytes:
        return (iquants.grid(name) * factor + offset).astype(np.uint8).tobytes()

    return table(name.lower(), values)


IQ2_XXS, IQ2_XS, IQ2_S = (grid(name, 1, ZERO) for name in ("IQ2_XXS", "IQ2_XS", "IQ2_S"))
IQ3_XXS, IQ3_S = (grid(name, 1, ZERO) for name in ("IQ3_XXS", "IQ3_S"))
IQ1_S, IQ1_M = (grid(name, 8, UP) for name in ("IQ1_S", "IQ1_M"))


@inlined
def steps(d, nibbles, unit):
    """d * (nibble + 1/2) * unit: all scales lie half way between two steps."""
    return mul(d, fma(to_f32s(nibbles), splat_f32(unit), splat_f32(0.5 * unit)))


@inlined
def nibble(packed, k):
    """Bits 4k .. 4k + 3 of each lane, as an integer."""
    return and_i32s(shr_i32s(packed, 4 * k), splat_i32(15))


@inlined
def even(sevens):
    """Each byte's 8th sign, to the 7 given: minus signs are even in number."""
    folded = xor_i32s(sevens, shr_i32s(sevens, 4))
    folded = xor_i32s(folded, shr_i32s(folded, 2))
    folded = xor_i32s(folded, shr_i32s(folded, 1))
    return or_i32s(sevens, and_i32s(shl_i32s(folded, 7), splat_i32(-0x7F7F7F80)))


@inlined
def spread(word):
    """The four 7-bit fields in the low 28 bits of each lane, one to a byte."""
    first, second = and_i32s(word, splat_i32(0x7F)), and_i32s(word, splat_i32(0x7F << 7))
    third, fourth = and_i32s(word, splat_i32(0x7F << 14)), and_i32s(word, splat_i32(0x7F << 21))
    low = or_i32s(first, shl_i32s(second, 1))
    return or_i32s(low, or_i32s(shl_i32s(third, 2), shl_i32s(fourth, 3)))


@inlined
def iq2_xxs(p, k):
    at = p + 32 + 128 * k
    index, word, grid = load_i32s(at), load_i32s(at + 64), IQ2_XXS()
    quads = (
        gather_pairs(grid, byte_lane(index, 0)) + gather_pairs(grid, byte_lane(index, 1))
        + gather_pairs(grid, byte_lane(index, 2)) + gather_pairs(grid, byte_lane(index, 3))
    )  # fmt: skip
    scale = steps(load_f16s(p), shr_i32s(word, 28), 0.25)
    return reflect(quads, even(spread(word)), AROUND), (scale,), None


@inlined
def iq2_xs(p, k):
    """Per 8 weights 16 bits: 9 of the index, 7 of the signs."""
    at = p + 32 + 128 * k
    first, second, grid = load_i32s(at), load_i32s(at + 64), IQ2_XS()
    nine = splat_i32(511)
    quads = (
        gather_pairs(grid, and_i32s(first, nine))
        + gather_pairs(grid, and_i32s(shr_i32s(first, 16), nine))
        + gather_pairs(grid, and_i32s(second, nine))
        + gather_pairs(grid, and_i32s(shr_i32s(second, 16), nine))
    )
    low = or_i32s(
        and_i32s(shr_i32s(first, 9), splat_i32(0x7F)),
        and_i32s(shr_i32s(first, 17), splat_i32(0x7F00)),
    )
    high = or_i32s(
        and_i32s(shl_i32s(second, 7), splat_i32(0x7F0000)),
        and_i32s(shr_i32s(second, 1), splat_i32(0x7F000000)),
    )
    d, scales = load_f16s(p), byte_lane(load_i32s(p + 1056 + 64 * (k >> 2)), k & 3)
    both = steps(d, nibble(scales, 0), 0.25), steps(d, shr_i32s(scales, 4), 0.25)
    return reflect(quads, even(or_i32s(low, high)), AROUND), both, None


@inlined
def iq2_s_index(low, high, i):
    """Index i of 4: a byte of `low`, and two bits of `high` above it."""
    return or_i32s(byte_lane(low, i), and_i32s(shr_i32s(high, 2 * i), splat_i32(0x300)))


@inlined
def iq2_s(p, k):
    low, signs = load_i32s(p + 32 + 64 * k), load_i32s(p + 544 + 64 * k)
    high = shl_i32s(byte_lane(load_i32s(p + 1056 + 64 * (k >> 2)), k & 3), 8)
    scales = byte_lane(load_i32s(p + 1184 + 64 * (k >> 2)), k & 3)
    grid = IQ2_S()
    quads = (
        gather_pairs(grid, iq2_s_index(low, high, 0))
        + gather_pairs(grid, iq2_s_index(low, high, 1))
        + gather_pairs(grid, iq2_s_index(low, high, 2))
        + gather_pairs(grid, iq2_s_index(low, high, 3))
    )
    d = load_f16s(p)
    both = steps(d, nibble(scales, 0), 0.25), steps(d, shr_i32s(scales, 4), 0.25)
    return reflect(quads, signs, AROUND), both, None


@inlined
def iq3_xxs(p, k):
    at = p + 32 + 128 * k
    first, second, word = load_i32s(at), load_i32s(at + 64), load_i32s(p + 1056 + 64 * k)
    index = (
        byte_lane(first, 0), byte_lane(first, 1), byte_lane(first, 2), byte_lane(first, 3),
        byte_lane(second, 0), byte_lane(second, 1), byte_lane(second, 2), byte_lane(second, 3),
    )  # fmt: skip
    quads = as_i8s(gather(IQ3_XXS(), index))
    scale = steps(load_f16s(p), shr_i32s(word, 28), 0.5)
    return reflect(quads, even(spread(word)), AROUND), (scale,), None


@inlined
def iq3_s_index(low, high, i):
    """Index i of 8: a byte of `low`, and a bit of `high` above it."""
    return or_i32s(byte_lane(low, i & 3), and_i32s(shr_i32s(high, i), splat_i32(0x100)))


@inlined
def iq3_s(p, k):
    at = p + 32 + 128 * k
    first, second, signs = load_i32s(at), load_i32s(at + 64), load_i32s(p + 1184 + 64 * k)
    high = shl_i32s(byte_lane(load_i32s(p + 1056 + 64 * (k >> 2)), k & 3), 8)
    index = (
        iq3_s_index(first, high, 0), iq3_s_index(first, high, 1),
        iq3_s_index(first, high, 2), iq3_s_index(first, high, 3),
        iq3_s_index(second, high, 4), iq3_s_index(second, high, 5),
        iq3_s_index(second, high, 6), iq3_s_index(second, high, 7),
    )  # fmt: skip
    quads = as_i8s(gather(IQ3_S(), index))
    scale = steps(load_f16s(p), nibble(load_i32s(p + 1696), k), 2.0)
    return reflect(quads, signs, AROUND), (scale,), None


@inlined
def down(bits, n):
    """Bit n of each lane, as what turns 8w + 1 in its four bytes into 8w - 1."""
    return as_i8s(and_i32s(sar_i32s(shl_i32s(bits, 31 - n), 31), splat_i32(0x02020202)))


@inlined
def iq1_index(low, high, i, n):
    """Index i of 4: a byte of `low`, and bits n * i + 8 .. n * i + 10 of `high` above it."""
    return or_i32s(byte_lane(low, i), and_i32s(shr_i32s(high, n * i), splat_i32(0x700)))


@inlined
def iq1_s(p, k):
    """16 bits along with each 32 weights: 3 of each index, 3 of the scale, the shift's sign."""
    low = load_i32s(p + 32 + 64 * k)
    word = shr_i32s(load_i32s(p + 544 + 64 * (k >> 1)), 16 * (k & 1))
    high, grid = shl_i32s(word, 8), IQ1_S()
    quads = (
        gather_pairs(grid, iq1_index(low, high, 0, 3))
        + gather_pairs(grid, iq1_index(low, high, 1, 3))
        + gather_pairs(grid, iq1_index(low, high, 2, 3))
        + gather_pairs(grid, iq1_index(low, high, 3, 3))
    )
    scale = steps(load_f16s(p), and_i32s(shr_i32s(word, 12), splat_i32(7)), 0.25)
    return xor_i8s(quads, down(word, 15)), (scale,), None


@inlined
def iq1_m_scale(p):
    """The half that lies in the upper four bits of four words."""
    first, second = load_i32s(p), load_i32s(p + 64)
    low = or_i32s(
        and_i32s(shr_i32s(first, 12), splat_i32(15)),
        and_i32s(shr_i32s(first, 24), splat_i32(0xF0)),
    )
    high = or_i32s(
        and_i32s(shr_i32s(second, 4), splat_i32(0xF00)),
        and_i32s(shr_i32s(second, 16), splat_i32(0xF000)),
    )
    return halves_to_f32s(or_i32s(low, high))


@inlined
def iq1_m(p, k):
    """A nibble along with each 8 weights: 3 bits of the index, the shift's sign."""
    low = load_i32s(p + 64 * k)
    word = shr_i32s(load_i32s(p + 512 + 64 * (k >> 1)), 16 * (k & 1))
    high, grid = shl_i32s(word, 8), IQ1_M()
    quads = (
        xor_i8s(gather_pairs(grid, iq1_index(low, high, 0, 4)), down(word, 3))
        + xor_i8s(gather_pairs(grid, iq1_index(low, high, 1, 4)), down(word, 7))
        + xor_i8s(gather_pairs(grid, iq1_index(low, high, 2, 4)), down(word, 11))
        + xor_i8s(gather_pairs(grid, iq1_index(low, high, 3, 4)), down(word, 15))
    )
    d, seven = iq1_m_scale(p + 768), splat_i32(7)
    threes = shr_i32s(load_i32s(p + 768 + 64 * (k >> 2)), 16 * (k >> 1 & 1) + 6 * (k & 1))
    first, second = and_i32s(threes, seven), and_i32s(shr_i32s(threes, 3), seven)
    return quads, (steps(d, first, 0.25), steps(d, second, 0.25)), None
