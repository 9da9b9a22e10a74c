"""Attention over the KV cache, with an online softmax: scores are never stored beyond 64 keys.

Keys lie 16 positions at a time, transposed: [KV head][position / 16][dimension][16], so that one
vector holds the scores of 16 positions. Values lie [KV head][position][dimension], the dimension
padded to 16. Variants: `store,<f16|f32>` appends, `attend,<f16|f32>` reads.
Online softmax: Milakov and Gimelshein 2018, arXiv:1805.02867.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import float32

from vatra.engine.kernels.layout import OP_COUNTER, QUERIES, ROWS, RUN_POSITION, RUN_TOKENS, STEP
from vatra.engine.kernels.unpack import inlined
from vatra.engine.simd import (
    add,
    exp,
    fetch_add,
    first_of,
    highest,
    keep_below,
    load_f16s,
    load_f32,
    load_f32s,
    load_grid,
    load_i64,
    load_some_f32s,
    max_f32s,
    mul,
    splat_f32,
    splat_tile,
    store_f16,
    store_f16s,
    store_f32,
    store_f32s,
    store_grid,
    store_some_f32s,
    sub,
    sum_f32s,
    zeros,
)

KINDS = {"f32": (load_f32s, store_f32s, store_f32, 4), "f16": (load_f16s, store_f16s, store_f16, 2)}
MINUS_INFINITY = np.float32(-np.inf)


def kernel(which: str, kind: str) -> Callable[..., None]:
    return storing(kind) if which == "store" else attending(kind)


def storing(kind: str) -> Callable[..., None]:
    _, store_vector, store_one, size = KINDS[kind]

    def store(
        op, run, thread, n_threads,
        k: int, v: int, keys: int, values: int,
        n_head: int, key_dim: int, value_dim: int, n_ctx: int,
    ):  # fmt: skip
        n, position = load_i64(run + 8 * RUN_TOKENS), load_i64(run + 8 * RUN_POSITION)
        padded = (value_dim + 15) // 16 * 16
        total = n * n_head
        for unit in range(total * thread // n_threads, total * (thread + 1) // n_threads):
            t, head = unit // n_head, unit % n_head
            at = position + t
            to = keys + size * (head * n_ctx * key_dim + (at // ROWS * key_dim) * ROWS + at % ROWS)
            for d in range(key_dim):
                store_one(to + size * ROWS * d, load_f32(k + 4 * (unit * key_dim + d)))
            to = values + size * padded * (head * n_ctx + at)
            for d in range(0, value_dim, 16):
                store_vector(
                    to + size * d, load_some_f32s(v + 4 * (unit * value_dim + d), value_dim - d)
                )

    return store


def attending(kind: str) -> Callable[..., None]:
    load, _, _, size = KINDS[kind]

    def for_queries(queries: int) -> Callable[..., None]:
        """What is done for `queries` query rows of one KV head."""
        many = 4 * queries

        @inlined
        def weigh_64(values, padded, n_keys, scores, sums):
            """sums[q, :64] += scores[q, :n_keys] @ values[:n_keys, :64]."""
            tile = load_grid(sums, 4 * padded, queries, 4)
            for j in range(n_keys):
                at = values + size * padded * j
                row = (load(at), load(at + 16 * size), load(at + 32 * size), load(at + 48 * size))
                tile = splat_tile(tile, row, scores + 4 * j, 4 * STEP)
            store_grid(sums, 4 * padded, tile, 4)

        @inlined
        def weigh_16(values, padded, n_keys, scores, sums):
            tile = load_grid(sums, 4 * padded, queries, 1)
            for j in range(n_keys):
                row = (load(values + size * padded * j),)
                tile = splat_tile(tile, row, scores + 4 * j, 4 * STEP)
            store_grid(sums, 4 * padded, tile, 1)

        @inlined
        def attend(q, head_out, first, group, q_row, out_row, keys, values, position,
                   key_dim, value_dim, scale, scratch):  # fmt: skip
            """Query rows first .. first + queries of a KV head; row r is token r // group."""
            padded = (value_dim + 15) // 16 * 16
            turned, scores = scratch, scratch + 4 * queries * key_dim
            state = scores + 4 * queries * STEP  # per query: highest score so far, sum of weights
            sums = state + 8 * queries
            for i in range(queries):
                row = first + i
                at = q + 4 * (row // group * q_row + row % group * key_dim)
                for d in range(key_dim):
                    store_f32(turned + 4 * (queries * d + i), load_f32(at + 4 * d) * scale)
                store_f32(state + 8 * i, MINUS_INFINITY)
                store_f32(state + 8 * i + 4, float32(0.0))
                for d in range(0, padded, 16):
                    store_f32s(sums + 4 * (padded * i + d), splat_f32(0.0))
            end = position + (first + queries - 1) // group + 1
            for start in range(0, end, STEP):
                at, tile = keys + size * start * key_dim, zeros(many)
                for d in range(key_dim):
                    # four groups of 16 keys
                    here, apart = at + 16 * size * d, 16 * size * key_dim
                    row = (
                        load(here),
                        load(here + apart),
                        load(here + 2 * apart),
                        load(here + 3 * apart),
                    )
                    tile = splat_tile(tile, row, turned + 4 * queries * d, 4)
                store_grid(scores, 4 * STEP, tile, 4)
                for i in range(queries):
                    visible = position + (first + i) // group + 1 - start
                    if visible <= 0:  # a later token of the tile still sees keys here
                        for v in range(0, STEP, 16):
                            store_f32s(scores + 4 * (STEP * i + v), splat_f32(0.0))
                        continue
                    never = splat_f32(MINUS_INFINITY)
                    before = load_f32(state + 8 * i)
                    peaks = splat_f32(before)
                    for v in range(0, STEP, 16):
                        s = load_f32s(scores + 4 * (STEP * i + v))
                        peaks = max_f32s(keep_below(s, never, visible - v), peaks)
                    peak = highest(peaks)
                    total = splat_f32(0.0)
                    for v in range(0, STEP, 16):
                        s = keep_below(load_f32s(scores + 4 * (STEP * i + v)), never, visible - v)
                        p = exp(sub(s, splat_f32(peak)))
                        store_f32s(scores + 4 * (STEP * i + v), p)
                        total = add(total, p)
                    shrink = exp(splat_f32(before - peak))
                    whole = load_f32(state + 8 * i + 4)
                    store_f32(state + 8 * i, peak)
                    store_f32(state + 8 * i + 4, whole * first_of(shrink) + sum_f32s(total))
                    if peak != before:
                        for d in range(0, padded, 16):
                            to = sums + 4 * (padded * i + d)
                            store_f32s(to, mul(load_f32s(to), shrink))
                n_keys, at = min(STEP, end - start), values + size * padded * start
                d = 0
                while d + 64 <= padded:
                    weigh_64(at + size * d, padded, n_keys, scores, sums + 4 * d)
                    d += 64
                while d < padded:
                    weigh_16(at + size * d, padded, n_keys, scores, sums + 4 * d)
                    d += 16
            for i in range(queries):
                row = first + i
                to = head_out + 4 * (row // group * out_row + row % group * value_dim)
                share = splat_f32(float32(1.0) / load_f32(state + 8 * i + 4))
                for d in range(0, value_dim, 16):
                    v = mul(load_f32s(sums + 4 * (padded * i + d)), share)
                    store_some_f32s(to + 4 * d, v, value_dim - d)

        return attend

    attend_many, attend_one = for_queries(QUERIES), for_queries(1)

    def attend(
        op, run, thread, n_threads,
        q: int, out: int, keys: int, values: int, scratch: int, scratch_bytes: int,
        n_head: int, n_head_kv: int, key_dim: int, value_dim: int, n_ctx: int, scale: float,
    ):  # fmt: skip
        n, position = load_i64(run + 8 * RUN_TOKENS), load_i64(run + 8 * RUN_POSITION)
        group = n_head // n_head_kv
        rows, padded = n * group, (value_dim + 15) // 16 * 16
        tiles = (rows + QUERIES - 1) // QUERIES
        mine = scratch + thread * scratch_bytes
        job = fetch_add(op + 8 * OP_COUNTER, 1)
        while job < tiles * n_head_kv:
            head, row = job // tiles, job % tiles * QUERIES
            k, v = keys + size * head * n_ctx * key_dim, values + size * head * n_ctx * padded
            from_q, to = q + 4 * head * group * key_dim, out + 4 * head * group * value_dim
            end = min(row + QUERIES, rows)
            if end - row == QUERIES:
                attend_many(from_q, to, row, group, n_head * key_dim, n_head * value_dim, k, v,
                            position, key_dim, value_dim, scale, mine)  # fmt: skip
            else:
                while row < end:
                    attend_one(from_q, to, row, group, n_head * key_dim, n_head * value_dim, k, v,
                               position, key_dim, value_dim, scale, mine)  # fmt: skip
                    row += 1
            job = fetch_add(op + 8 * OP_COUNTER, 1)

    return attend
