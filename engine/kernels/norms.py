"""Norms other than the RMS norm, along rows of `width` values; a weight or bias at 0 is none."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

from numba import float32

from vatra.engine.simd import (
    add,
    fma,
    load_i64,
    load_some_f32s,
    mul,
    splat_f32,
    store_some_f32s,
    sub,
    sum_f32s,
)


def layer_norm(
    op, run, thread, n_threads,
    x: int, weight: int, bias: int, out: int, width: int, rows: int, per_row: int, eps: float,
):  # fmt: skip
    total = load_i64(run + 8 * rows) * per_row
    for row in range(total * thread // n_threads, total * (thread + 1) // n_threads):
        at, to = x + 4 * width * row, out + 4 * width * row
        values = splat_f32(0.0)
        for i in range(0, width, 16):
            values = add(values, load_some_f32s(at + 4 * i, width - i))
        mean = splat_f32(sum_f32s(values) / float32(width))
        squares = splat_f32(0.0)
        for i in range(0, width, 16):
            n = width - i
            v = sub(load_some_f32s(at + 4 * i, n), mean)
            store_some_f32s(to + 4 * i, v, n)
            v = load_some_f32s(to + 4 * i, n)  # zeros behind the end again
            squares = fma(v, v, squares)
        variance = sum_f32s(squares) / float32(width)
        factor = splat_f32(float32(1.0) / sqrt(variance + eps))
        for i in range(0, width, 16):
            n = width - i
            v = mul(load_some_f32s(to + 4 * i, n), factor)
            if weight != 0:
                v = mul(v, load_some_f32s(weight + 4 * i, n))
            if bias != 0:
                v = add(v, load_some_f32s(bias + 4 * i, n))
            store_some_f32s(to + 4 * i, v, n)


def l2_norm(
    op, run, thread, n_threads, x: int, out: int, width: int, rows: int, per_row: int, eps: float
):
    total = load_i64(run + 8 * rows) * per_row
    for row in range(total * thread // n_threads, total * (thread + 1) // n_threads):
        at, to = x + 4 * width * row, out + 4 * width * row
        squares = splat_f32(0.0)
        for i in range(0, width, 16):
            v = load_some_f32s(at + 4 * i, width - i)
            squares = fma(v, v, squares)
        factor = splat_f32(float32(1.0) / max(sqrt(sum_f32s(squares)), eps))
        for i in range(0, width, 16):
            n = width - i
            store_some_f32s(to + 4 * i, mul(load_some_f32s(at + 4 * i, n), factor), n)


KERNELS = {made.__name__: made for made in (layer_norm, l2_norm)}


def kernel(name: str) -> Callable[..., None]:
    return KERNELS[name]
