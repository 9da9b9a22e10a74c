"""Everything that is not a matrix product or attention; one variant for each name below."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

from numba import float32

from vatra.engine.kernels.lanes import inlined
from vatra.engine.kernels.layout import RUN_POSITION
from vatra.engine.simd import (
    add as plus,
)
from vatra.engine.simd import (
    div,
    exp,
    fma,
    load_f32,
    load_i64,
    load_some_f32s,
    log,
    neg,
    splat_f32,
    store_f32,
    store_some_f32s,
    sum_f32s,
    where_less,
)
from vatra.engine.simd import (
    mul as times,
)


@inlined
def share(total, thread, n_threads):
    """This thread's range of `total` values, in whole vectors."""
    vectors = (total + 15) // 16
    return 16 * (vectors * thread // n_threads), min(
        16 * (vectors * (thread + 1) // n_threads), total
    )


@inlined
def silu(x):
    """x / (1 + e^-x)."""
    return div(x, plus(splat_f32(1.0), exp(neg(x))))


def add(op, run, thread, n_threads, x: int, y: int, out: int, width: int, rows: int):
    first, end = share(load_i64(run + 8 * rows) * width, thread, n_threads)
    for i in range(first, end, 16):
        n = end - i
        total = plus(load_some_f32s(x + 4 * i, n), load_some_f32s(y + 4 * i, n))
        store_some_f32s(out + 4 * i, total, n)


def mul(op, run, thread, n_threads, x: int, y: int, out: int, width: int, rows: int):
    first, end = share(load_i64(run + 8 * rows) * width, thread, n_threads)
    for i in range(first, end, 16):
        n = end - i
        product = times(load_some_f32s(x + 4 * i, n), load_some_f32s(y + 4 * i, n))
        store_some_f32s(out + 4 * i, product, n)


def mul_rows(
    op, run, thread, n_threads, x: int, y: int, out: int, width: int, rows: int, per_row: int
):
    """Each row of `width` values times one value of y."""
    total = load_i64(run + 8 * rows) * per_row
    for row in range(total * thread // n_threads, total * (thread + 1) // n_threads):
        factor = splat_f32(load_f32(y + 4 * row))
        at, to = x + 4 * width * row, out + 4 * width * row
        for i in range(0, width, 16):
            n = width - i
            store_some_f32s(to + 4 * i, times(load_some_f32s(at + 4 * i, n), factor), n)


def sum_rows(op, run, thread, n_threads, x: int, out: int, width: int, rows: int, per_row: int):
    """One value for each row of `width` values."""
    total = load_i64(run + 8 * rows) * per_row
    for row in range(total * thread // n_threads, total * (thread + 1) // n_threads):
        found = splat_f32(0.0)
        for i in range(0, width, 16):
            found = plus(found, load_some_f32s(x + 4 * (width * row + i), width - i))
        store_f32(out + 4 * row, sum_f32s(found))


def scale(
    op, run, thread, n_threads,
    x: int, weight: int, bias: int, out: int, width: int, rows: int, per_row: int, factor: float,
):  # fmt: skip
    """Each row of `width` values times factor and weight, plus bias; those at 0 are none."""
    total = load_i64(run + 8 * rows) * per_row
    for row in range(total * thread // n_threads, total * (thread + 1) // n_threads):
        at, to = x + 4 * width * row, out + 4 * width * row
        for i in range(0, width, 16):
            n = width - i
            v = times(load_some_f32s(at + 4 * i, n), splat_f32(factor))
            if weight != 0:
                v = times(v, load_some_f32s(weight + 4 * i, n))
            if bias != 0:
                v = plus(v, load_some_f32s(bias + 4 * i, n))
            store_some_f32s(to + 4 * i, v, n)


def position_scale(
    op, run, thread, n_threads,
    x: int, out: int, width: int, rows: int, every: int, offset: int, slope: float,
):  # fmt: skip
    n, position = load_i64(run + 8 * rows), load_i64(run + 8 * RUN_POSITION)
    for t in range(n * thread // n_threads, n * (thread + 1) // n_threads):
        steps = float32(1 + (position + t + offset) // every)
        factor = fma(log(splat_f32(steps)), splat_f32(slope), splat_f32(1.0))
        at, to = x + 4 * width * t, out + 4 * width * t
        for i in range(0, width, 16):
            left = width - i
            store_some_f32s(to + 4 * i, times(load_some_f32s(at + 4 * i, left), factor), left)


def clamp(
    op, run, thread, n_threads, x: int, out: int, width: int, rows: int, low: float, high: float
):
    first, end = share(load_i64(run + 8 * rows) * width, thread, n_threads)
    least, most = splat_f32(low), splat_f32(high)
    for i in range(first, end, 16):
        n = end - i
        v = load_some_f32s(x + 4 * i, n)
        v = where_less(v, least, least, v)
        store_some_f32s(out + 4 * i, where_less(most, v, most, v), n)


def copy(
    op, run, thread, n_threads,
    x: int, out: int, rows: int, per_row: int,
    size: int, from_row: int, first: int, to_row: int, to: int, repeats: int, tiled: int,
):  # fmt: skip
    """Rows of `size` values, from `first` of rows of `from_row` to `to` of rows of `to_row`.

    Each is copied `repeats` times in a row, or if `tiled` all of a token's `per_row` over again.
    """
    total = load_i64(run + 8 * rows) * per_row * repeats
    for row in range(total * thread // n_threads, total * (thread + 1) // n_threads):
        source = row // repeats
        if tiled != 0:
            source = row // (per_row * repeats) * per_row + row % per_row
        at, there = x + 4 * (from_row * source + first), out + 4 * (to_row * row + to)
        for i in range(0, size, 16):
            n = size - i
            store_some_f32s(there + 4 * i, load_some_f32s(at + 4 * i, n), n)


def rms_norm(
    op,
    run,
    thread,
    n_threads,
    x: int,
    weight: int,
    out: int,
    width: int,
    rows: int,
    per_row: int,
    eps: float,
):
    total = load_i64(run + 8 * rows) * per_row
    for row in range(total * thread // n_threads, total * (thread + 1) // n_threads):
        at, to = x + 4 * width * row, out + 4 * width * row
        squares = splat_f32(0.0)
        for i in range(0, width, 16):
            v = load_some_f32s(at + 4 * i, width - i)
            squares = fma(v, v, squares)
        mean = sum_f32s(squares) / float32(width)
        factor = splat_f32(float32(1.0) / sqrt(mean + eps))
        for i in range(0, width, 16):
            n = width - i
            v = times(load_some_f32s(at + 4 * i, n), factor)
            store_some_f32s(to + 4 * i, times(v, load_some_f32s(weight + 4 * i, n)), n)


def rope(
    op, run, thread, n_threads,
    x: int, angles: int, out: int,
    n_head: int, head_dim: int, first: int, half: int, interleaved: int, rows: int,
):  # fmt: skip
    """Values `first` to first + 2 * half of each head are turned, the others copied."""
    total = load_i64(run + 8 * rows) * n_head
    step, partner = (2, 1) if interleaved != 0 else (1, half)
    for row in range(total * thread // n_threads, total * (thread + 1) // n_threads):
        whole, turned = x + 4 * head_dim * row, out + 4 * head_dim * row
        at, to = whole + 4 * first, turned + 4 * first
        cosine = angles + 8 * half * (row // n_head)
        sine = cosine + 4 * half
        for i in range(half):
            a, b = load_f32(at + 4 * step * i), load_f32(at + 4 * (step * i + partner))
            c, s = load_f32(cosine + 4 * i), load_f32(sine + 4 * i)
            store_f32(to + 4 * step * i, a * c - b * s)
            store_f32(to + 4 * (step * i + partner), a * s + b * c)
        for i in range(first):
            store_f32(turned + 4 * i, load_f32(whole + 4 * i))
        for i in range(first + 2 * half, head_dim):
            store_f32(turned + 4 * i, load_f32(whole + 4 * i))


def weighted_sum(
    op, run, thread, n_threads, x: int, weights: int, out: int, k: int, width: int, rows: int
):
    n = load_i64(run + 8 * rows)
    for t in range(n * thread // n_threads, n * (thread + 1) // n_threads):
        for i in range(0, width, 16):
            left = width - i
            total = splat_f32(0.0)
            for j in range(k):
                share_of = splat_f32(load_f32(weights + 4 * (k * t + j)))
                total = fma(
                    share_of, load_some_f32s(x + 4 * (width * (k * t + j) + i), left), total
                )
            store_some_f32s(out + 4 * (width * t + i), total, left)


def select_outputs(
    op, run, thread, n_threads, x: int, out: int, width: int, tokens: int, outputs: int
):
    n = load_i64(run + 8 * outputs)
    skipped = (load_i64(run + 8 * tokens) - n) * width
    first, end = share(n * width, thread, n_threads)
    for i in range(first, end, 16):
        left = end - i
        store_some_f32s(out + 4 * i, load_some_f32s(x + 4 * (skipped + i), left), left)


KERNELS = {
    made.__name__: made
    for made in (
        add, mul, mul_rows, sum_rows, scale, position_scale, clamp, copy,
        rms_norm, rope, weighted_sum, select_outputs,
    )
}  # fmt: skip


def kernel(name: str) -> Callable[..., None]:
    return KERNELS[name]
