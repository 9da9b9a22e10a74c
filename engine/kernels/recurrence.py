"""Ops that go through the tokens of a run in order and keep a float32 memory from run to run.

Channels and heads do not depend on each other: threads share those, never the tokens.
"""

from __future__ import annotations

from collections.abc import Callable

from numba import float32

from vatra.engine.kernels.lanes import inlined
from vatra.engine.simd import (
    exp,
    first_of,
    fma,
    load_f32,
    load_i64,
    load_some_f32s,
    mul,
    splat_f32,
    store_f32,
    store_some_f32s,
    sub,
    sum_f32s,
)


@inlined
def exp_of(x):
    return first_of(exp(splat_f32(x)))


@inlined
def sixteens(total, thread, n_threads):
    """This thread's range of `total` channels, in whole vectors."""
    n = (total + 15) // 16
    return 16 * (n * thread // n_threads), min(16 * (n * (thread + 1) // n_threads), total)


def convolution(
    op, run, thread, n_threads,
    x: int, filters: int, bias: int, memory: int, out: int, width: int, taps: int, rows: int,
):  # fmt: skip
    """`filters` is (taps, width) here and `memory` (taps - 1, width), the oldest first."""
    n_tokens = load_i64(run + 8 * rows)
    first, end = sixteens(width, thread, n_threads)
    for i in range(first, end, 16):
        n = end - i
        for t in range(n_tokens):
            total = splat_f32(0.0)
            if bias != 0:
                total = load_some_f32s(bias + 4 * i, n)
            for j in range(taps):
                back = t - (taps - 1) + j
                at = x + 4 * (width * back + i)
                if back < 0:
                    at = memory + 4 * (width * (t + j) + i)
                weight = load_some_f32s(filters + 4 * (width * j + i), n)
                total = fma(load_some_f32s(at, n), weight, total)
            store_some_f32s(out + 4 * (width * t + i), total, n)
        for j in range(taps - 1):  # oldest first: what is read is still there
            at = x + 4 * (width * (n_tokens - (taps - 1) + j) + i)
            if n_tokens + j < taps - 1:
                at = memory + 4 * (width * (n_tokens + j) + i)
            store_some_f32s(memory + 4 * (width * j + i), load_some_f32s(at, n), n)


def token_shift(op, run, thread, n_threads, x: int, memory: int, out: int, width: int, rows: int):
    n_tokens = load_i64(run + 8 * rows)
    first, end = sixteens(width, thread, n_threads)
    for i in range(first, end, 16):
        n = end - i
        before = load_some_f32s(memory + 4 * i, n)
        for t in range(n_tokens):
            v = load_some_f32s(x + 4 * (width * t + i), n)
            store_some_f32s(out + 4 * (width * t + i), before, n)
            before = v
        store_some_f32s(memory + 4 * i, before, n)


def selective_scan(
    op, run, thread, n_threads,
    x: int, dt: int, b: int, c: int, a: int, d: int, memory: int, out: int,
    n_head: int, dim: int, n_group: int, n_state: int, per_state: int, rows: int,
):  # fmt: skip
    """`per_state` is 1 where each value of a head's state has its own a; no dt is 1, no d is 0."""
    n_tokens = load_i64(run + 8 * rows)
    for unit in range(n_head * dim * thread // n_threads, n_head * dim * (thread + 1) // n_threads):
        head = unit // dim
        group = head // (n_head // n_group)
        h = memory + 4 * n_state * unit
        for t in range(n_tokens):
            step = load_f32(dt + 4 * (n_head * t + head)) if dt != 0 else float32(1.0)
            value = load_f32(x + 4 * (n_head * dim * t + unit))
            grown = splat_f32(step * value)
            decay = exp(splat_f32(step * load_f32(a + 4 * head * (1 - per_state))))
            at = 4 * n_state * (n_group * t + group)
            total = splat_f32(0.0)
            for i in range(0, n_state, 16):
                n = n_state - i
                if per_state != 0:
                    rates = load_some_f32s(a + 4 * (n_state * head + i), n)
                    decay = exp(mul(splat_f32(step), rates))
                state = mul(load_some_f32s(h + 4 * i, n), decay)
                state = fma(grown, load_some_f32s(b + at + 4 * i, n), state)
                store_some_f32s(h + 4 * i, state, n)
                total = fma(state, load_some_f32s(c + at + 4 * i, n), total)
            read = sum_f32s(total)
            if d != 0:
                read += load_f32(d + 4 * head) * value
            store_f32(out + 4 * (n_head * dim * t + unit), read)


def delta_rule(
    op, run, thread, n_threads,
    q: int, k: int, v: int, decay: int, beta: int, memory: int, out: int,
    n_head: int, key_dim: int, value_dim: int, per_key: int, scale: float, rows: int,
):  # fmt: skip
    """A piece of work is 16 values of one head; `per_key` is 1 where each key has its own decay."""
    n_tokens = load_i64(run + 8 * rows)
    pieces = (value_dim + 15) // 16
    total = n_head * pieces
    for unit in range(total * thread // n_threads, total * (thread + 1) // n_threads):
        head, i = unit // pieces, 16 * (unit % pieces)
        n = value_dim - i
        s = memory + 4 * (value_dim * key_dim * head + i)
        for t in range(n_tokens):
            row = n_head * t + head
            keys, queries = k + 4 * key_dim * row, q + 4 * key_dim * row
            kept = splat_f32(exp_of(load_f32(decay + 4 * row * (1 - per_key))))
            known = splat_f32(0.0)
            for j in range(key_dim):
                if per_key != 0:
                    kept = splat_f32(exp_of(load_f32(decay + 4 * (key_dim * row + j))))
                state = mul(load_some_f32s(s + 4 * value_dim * j, n), kept)
                store_some_f32s(s + 4 * value_dim * j, state, n)
                known = fma(state, splat_f32(load_f32(keys + 4 * j)), known)
            wrong = sub(load_some_f32s(v + 4 * (value_dim * row + i), n), known)
            wrong = mul(wrong, splat_f32(load_f32(beta + 4 * row)))
            read = splat_f32(0.0)
            for j in range(key_dim):
                state = load_some_f32s(s + 4 * value_dim * j, n)
                state = fma(wrong, splat_f32(load_f32(keys + 4 * j)), state)
                store_some_f32s(s + 4 * value_dim * j, state, n)
                read = fma(state, splat_f32(load_f32(queries + 4 * j)), read)
            result = mul(read, splat_f32(scale))
            store_some_f32s(out + 4 * (value_dim * row + i), result, n)


def wkv(
    op, run, thread, n_threads,
    r: int, k: int, v: int, decay: int, a: int, b: int, memory: int, out: int,
    n_head: int, key_dim: int, value_dim: int, before: int, rows: int,
):  # fmt: skip
    """A piece of work is 16 values of one head; a and b at 0 are none."""
    n_tokens = load_i64(run + 8 * rows)
    pieces = (value_dim + 15) // 16
    total = n_head * pieces
    for unit in range(total * thread // n_threads, total * (thread + 1) // n_threads):
        head, i = unit // pieces, 16 * (unit % pieces)
        n = value_dim - i
        s = memory + 4 * (value_dim * key_dim * head + i)
        for t in range(n_tokens):
            row = n_head * t + head
            at = 4 * key_dim * row
            values = load_some_f32s(v + 4 * (value_dim * row + i), n)
            known, read = splat_f32(0.0), splat_f32(0.0)
            if a != 0:
                for j in range(key_dim):
                    state = load_some_f32s(s + 4 * value_dim * j, n)
                    known = fma(state, splat_f32(load_f32(a + at + 4 * j)), known)
            for j in range(key_dim):
                old = load_some_f32s(s + 4 * value_dim * j, n)
                kept = splat_f32(exp_of(load_f32(decay + at + 4 * j)))
                state = fma(values, splat_f32(load_f32(k + at + 4 * j)), mul(old, kept))
                if a != 0:
                    state = fma(known, splat_f32(load_f32(b + at + 4 * j)), state)
                store_some_f32s(s + 4 * value_dim * j, state, n)
                query = splat_f32(load_f32(r + at + 4 * j))
                read = fma(old if before != 0 else state, query, read)
            store_some_f32s(out + 4 * (value_dim * row + i), read, n)


KERNELS = {
    made.__name__: made for made in (convolution, token_shift, selective_scan, delta_rule, wkv)
}


def kernel(name: str) -> Callable[..., None]:
    return KERNELS[name]
