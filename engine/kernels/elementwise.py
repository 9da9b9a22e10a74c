"""Everything that is not a matrix product or attention; one variant for each name below."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

from numba import float32, int32

from vatra.engine.kernels.lanes import inlined
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
    mul,
    neg,
    splat_f32,
    store_f32,
    store_i32,
    store_some_f32s,
    sub,
    sum_f32s,
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


def silu_mul(op, run, thread, n_threads, gate: int, up: int, out: int, width: int, rows: int):
    first, end = share(load_i64(run + 8 * rows) * width, thread, n_threads)
    for i in range(first, end, 16):
        n = end - i
        product = mul(silu(load_some_f32s(gate + 4 * i, n)), load_some_f32s(up + 4 * i, n))
        store_some_f32s(out + 4 * i, product, n)


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
            v = mul(load_some_f32s(at + 4 * i, n), factor)
            store_some_f32s(to + 4 * i, mul(v, load_some_f32s(weight + 4 * i, n)), n)


def rope(
    op, run, thread, n_threads,
    x: int, angles: int, out: int,
    n_head: int, head_dim: int, half: int, interleaved: int, rows: int,
):  # fmt: skip
    total = load_i64(run + 8 * rows) * n_head
    step, partner = (2, 1) if interleaved != 0 else (1, half)
    for row in range(total * thread // n_threads, total * (thread + 1) // n_threads):
        at, to = x + 4 * head_dim * row, out + 4 * head_dim * row
        cosine = angles + 8 * half * (row // n_head)
        sine = cosine + 4 * half
        for i in range(half):
            first, second = load_f32(at + 4 * step * i), load_f32(at + 4 * (step * i + partner))
            c, s = load_f32(cosine + 4 * i), load_f32(sine + 4 * i)
            store_f32(to + 4 * step * i, first * c - second * s)
            store_f32(to + 4 * (step * i + partner), first * s + second * c)
        for i in range(2 * half, head_dim):
            store_f32(to + 4 * i, load_f32(at + 4 * i))


def top_experts(
    op, run, thread, n_threads,
    scores: int, shares: int, out: int, weights: int, n_expert: int, k: int,
    normalise: int, scale: float, rows: int,
):  # fmt: skip
    n = load_i64(run + 8 * rows)
    for t in range(n * thread // n_threads, n * (thread + 1) // n_threads):
        at, p = scores + 4 * n_expert * t, shares + 4 * n_expert * t
        peak = load_f32(at)
        for e in range(1, n_expert):
            peak = max(peak, load_f32(at + 4 * e))
        total = splat_f32(0.0)
        for e in range(0, n_expert, 16):
            left = n_expert - e
            v = exp(sub(load_some_f32s(at + 4 * e, left), splat_f32(peak)))
            store_some_f32s(p + 4 * e, v, left)
            total = plus(total, load_some_f32s(p + 4 * e, left))
        whole, chosen = sum_f32s(total), float32(0.0)
        for i in range(k):
            best, expert = float32(-1.0), 0
            for e in range(n_expert):
                value = load_f32(p + 4 * e)
                if value > best:
                    best, expert = value, e
            store_f32(p + 4 * expert, float32(-2.0))
            store_i32(out + 4 * (k * t + i), int32(expert))
            store_f32(weights + 4 * (k * t + i), best / whole)
            chosen += best / whole
        factor = scale / chosen if normalise != 0 else scale
        for i in range(k):
            to = weights + 4 * (k * t + i)
            store_f32(to, load_f32(to) * factor)


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
    for made in (add, silu_mul, rms_norm, rope, top_experts, weighted_sum, select_outputs)
}


def kernel(name: str) -> Callable[..., None]:
    return KERNELS[name]
