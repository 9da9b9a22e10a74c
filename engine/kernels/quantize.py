"""Activations as signed bytes: `quantize` writes what `matmul` reads.

Each 32 values share the scale max|x| / 127, kept in float32. Values, scales and sums lie tile by
tile, block by block, token by token; the last tile is as small a power of two as holds what is left
of the tokens, of all or of an expert. `spans` sums of each block go along: where `zero` is 0, the
float32 sums of the bytes; else the int32 sums times -zero, which start the integer dot products.
"""

from __future__ import annotations

from collections.abc import Callable

from numba import float32, int32

from vatra.engine.kernels.lanes import inlined
from vatra.engine.kernels.layout import LEAST_PEAK, PART
from vatra.engine.kernels.order import chosen_at, chosen_of, pair_at
from vatra.engine.simd import (
    abs_f32s,
    add,
    add_i32s,
    highest,
    load_f32s,
    load_i64,
    max_f32s,
    mul,
    splat_f32,
    store_f32,
    store_i32,
    store_i32s_as_i8,
    sum_f32s,
    sum_i32s,
    to_i32s,
)


@inlined
def store_sum(at, total, zero):
    if zero == 0:
        store_f32(at, float32(total))
    else:
        store_i32(at, int32(-zero * total))


@inlined
def nan_or_zero(first, second):
    """NaN if any lane is NaN or infinite: the bytes alone would hide it."""
    return sum_f32s(add(mul(first, splat_f32(0.0)), mul(second, splat_f32(0.0))))


@inlined
def to_bytes(first, second):
    """32 values as the integers of signed bytes, and their scale."""
    peak = highest(max_f32s(abs_f32s(first), abs_f32s(second)))
    factor = splat_f32(127.0 / peak if peak > LEAST_PEAK else 0.0)
    scale = peak / 127.0 + nan_or_zero(first, second)
    return to_i32s(mul(first, factor)), to_i32s(mul(second, factor)), scale


@inlined
def tile_at(t, n, most):
    """Of row t of n: the first of its tile, and how many the tile has room for."""
    first, room = t // most * most, most
    while room // 2 >= n - first:
        room //= 2
    return first, room


def kernel() -> Callable[..., None]:
    def quantize(
        op, run, thread, n_threads,
        x: int, out: int, scale: int, sums: int, width: int, spans: int, zero: int, tile: int,
        rows: int, per_row: int, order: int, n_expert: int, per: int,
    ):  # fmt: skip
        """Slot s of `order`, if there is one, takes row pair // `per`; experts have own tiles."""
        blocks, first = width // PART, 0
        n = load_i64(run + 8 * rows) * per_row
        for i in range(chosen_of(order) if order != 0 else 1):
            if order != 0:
                _, first, n = chosen_at(order, n_expert, i)
            total = n * blocks
            for unit in range(total * thread // n_threads, total * (thread + 1) // n_threads):
                t, block = unit // blocks, unit % blocks
                start, room = tile_at(t, n, tile)
                slot = blocks * (first + start) + room * block + t - start
                row = pair_at(order, n_expert, first + t) // per if order != 0 else t
                at = x + 4 * (width * row + PART * block)
                a, b, shared = to_bytes(load_f32s(at), load_f32s(at + 64))
                store_i32s_as_i8(out + 32 * slot, a)
                store_i32s_as_i8(out + 32 * slot + 16, b)
                store_f32(scale + 4 * slot, shared)
                if spans == 1:
                    whole = sum_i32s(add_i32s(a, b))
                    store_sum(sums + 4 * slot, whole, zero)
                else:
                    store_sum(sums + 8 * slot, sum_i32s(a), zero)
                    store_sum(sums + 8 * slot + 4, sum_i32s(b), zero)

    return quantize
