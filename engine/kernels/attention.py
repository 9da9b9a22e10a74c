"""Attention over the KV cache, with an online softmax: scores are never stored beyond 64 keys.

`kv_cache` says how keys and values lie. Variants: `store,<kind>` appends; `attend,<kind>` reads,
`attend,<kind>,in_keys` where values are the first of each key. In q8_0 and q4_0 queries are rounded
to bytes with a scale for each 32, and multiplied as weights are.

The context is cut into spans of `layout.SPAN` keys. Each query row gathers a span by itself (its
highest score, sums of weights and of weighted values: a record), and its records are merged from
the first span to the last. Where few tokens are run, each span is a piece of work that reads its
keys once for all query rows of a KV head, and who ends the last one merges; else a piece of work is
some rows and all their spans. What happens to a row is the same, operation by operation: it depends
on its query and on the keys up to its position, not on the other rows of a tile, on who does which
span, or when. So results have the same bits for any number of threads and any cut into runs.

Online softmax: Milakov and Gimelshein 2018, arXiv:1805.02867. Spans: Flash-Decoding, Dao et al.
2023.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import float32

from vatra.engine.cpu_features import processor
from vatra.engine.kernels.activations import tanh
from vatra.engine.kernels.kv_cache import (
    LOAD,
    SIZE,
    group_at,
    key_reader,
    measuring,
    storing,
    turning,
    value_reader,
)
from vatra.engine.kernels.lanes import inlined
from vatra.engine.kernels.layout import (
    FAST,
    FEW,
    KV_BLOCKS,
    MOST_ROWS,
    OP_COUNTER,
    PART,
    QUERIES,
    ROWS,
    RUN_POSITION,
    RUN_TOKENS,
    SPAN,
    STEP,
    TILE_BYTES,
)
from vatra.engine.kernels.quantize import store_sum, to_bytes
from vatra.engine.kernels.unpack import UNPACK
from vatra.engine.simd import (
    abs_f32s,
    add,
    add_i32s,
    dot_tile,
    exp2,
    fetch_add,
    first_of,
    fma,
    highest,
    keep_below,
    lanes,
    load_f16s,
    load_f32,
    load_f32s,
    load_grid,
    load_i64,
    load_some_f32s,
    max_f32s,
    mul,
    prefetch,
    splat_f32,
    splat_tile,
    store_f32,
    store_f32s,
    store_grid,
    store_i32s_as_i8,
    store_i64,
    store_some_f32s,
    sum_f32s,
    sum_i32s,
    to_f32s,
    zeros,
)

MINUS_INFINITY = np.float32(-np.inf)
LOG2_E = np.float32(np.log2(np.e))  # weights are powers of 2: e^s = 2^(s LOG2_E)
NO_SLOPE = np.float32(0.0)
QUERY_BYTES = 40  # of 32 dimensions of a query: bytes, scale, sum
RISE = np.float32(8.0)  # what is gathered is scaled down when weights could be 2^8 or more


def kernel(which: str, kind: str, values: str = "") -> Callable[..., None]:
    return storing(kind) if which == "store" else attending(kind, in_keys=values == "in_keys")


# ---- pieces of attention ------------------------------------------------------------------------


# A record: about the highest score, times LOG2_E, 16 sums of weights (of each 16th key), sums of
# weighted values.
SUMS, VALUES = 64, 128


@inlined
def clear(record, padded):
    store_f32(record, MINUS_INFINITY)
    for at in range(SUMS, VALUES + 4 * padded, 64):
        store_f32s(record + at, splat_f32(0.0))


@inlined
def merge(record, later, padded):
    """Add what a later span gave to `record`."""
    before, new = load_f32(record), load_f32(later)
    peak = max(before, new)
    old_share, new_share = exp2(splat_f32(before - peak)), exp2(splat_f32(new - peak))
    store_f32(record, peak)
    for at in range(SUMS, VALUES + 4 * padded, 64):
        old = mul(load_f32s(record + at), old_share)
        store_f32s(record + at, add(old, mul(load_f32s(later + at), new_share)))


@inlined
def finish(record, to, value_dim, sinks, head):
    """Write the weighted mean of the values; a sink is one more score, with no value."""
    total = sum_f32s(load_f32s(record + SUMS))
    if sinks != 0:
        sink = load_f32(sinks + 4 * head) * LOG2_E - load_f32(record)
        total += first_of(exp2(splat_f32(sink)))
    share = splat_f32(float32(1.0) / total)
    for d in range(0, value_dim, 16):
        v = mul(load_f32s(record + VALUES + 4 * d), share)
        store_some_f32s(to + 4 * d, v, value_dim - d)


def weighing(apart: int, keep: Callable[..., None]) -> Callable[..., None]:
    """How scores become weights: each 16 lie `apart` bytes behind the last, `keep` stores 32."""

    @inlined
    def weigh(scores, n, record, visible, padded):
        """Turn the first `visible` of n scores of a row into weights, the others into 0."""
        for v in range(visible // 16 * 16, n, 16):
            at = scores + apart * (v // 16)
            store_f32s(at, keep_below(load_f32s(at), splat_f32(MINUS_INFINITY), visible - v))
        peak, peaks = load_f32(record), splat_f32(MINUS_INFINITY)
        for v in range(n // 16):
            peaks = max_f32s(load_f32s(scores + apart * v), peaks)
        new = highest(peaks) * LOG2_E
        if new > peak + RISE:
            before, peak = peak, new
            store_f32(record, peak)
            shrink = exp2(splat_f32(before - peak))
            for at in range(SUMS, VALUES + 4 * padded, 64):
                store_f32s(record + at, mul(load_f32s(record + at), shrink))
        total, to_powers, most = load_f32s(record + SUMS), splat_f32(LOG2_E), splat_f32(-peak)
        for v in range(0, n, 32):
            at = scores + apart * (v // 16)
            first = exp2(fma(load_f32s(at), to_powers, most))
            second = exp2(fma(load_f32s(at + apart), to_powers, most))
            keep(scores, v, first, second)
            total = add(add(total, first), second)
        store_f32s(record + SUMS, total)

    return weigh


@inlined
def first_seen(position, window, chunk):
    """The first position that a token at `position` sees."""
    if chunk != 0:
        return position // chunk * chunk
    if window != 0:
        return max(0, position - window + 1)
    return 0


@inlined
def sees(position, span, window, ahead, chunk):
    """Whether a token at `position` sees any key of a span."""
    begin = first_seen(position, window, chunk)
    return position + ahead >= SPAN * span and begin < SPAN * (span + 1)


@inlined
def bias_bytes(far):
    """Of the biases of one head: as `layout.padded_biases` lays them out."""
    return 4 * (2 * far + 33)


@inlined
def bend(scores, n, apart, hidden, own, softcap, slope, biases, far):
    """Scores of n keys as Attention wants them; the first `hidden` are too far back.

    Each 16 lie `apart` bytes behind the last; the token's own key is number `own` of them.
    """
    if softcap != 0.0:
        cap, inner = splat_f32(softcap), splat_f32(float32(1.0) / softcap)
        for v in range(n // 16):
            at = scores + apart * v
            store_f32s(at, mul(tanh(mul(load_f32s(at), inner)), cap))
    if slope != 0.0:
        for v in range(n // 16):
            at = scores + apart * v
            distance = abs_f32s(add(to_f32s(lanes()), splat_f32(float32(16 * v - own))))
            store_f32s(at, fma(distance, splat_f32(-slope), load_f32s(at)))
    if biases != 0:
        for v in range(n // 16):
            at, first = scores + apart * v, min(max(16 * v - own, -far - 16), far + 1)
            store_f32s(at, add(load_f32s(at), load_f32s(biases + 4 * (far + 16 + first))))
    for v in range((min(hidden, n) + 15) // 16):
        at = scores + apart * v
        store_f32s(at, keep_below(splat_f32(MINUS_INFINITY), load_f32s(at), hidden - 16 * v))


@inlined
def keep_in_place(scores, v, first, second):
    store_f32s(scores + 4 * v, first)
    store_f32s(scores + 4 * v + 64, second)


weigh_step = weighing(64, keep_in_place)


def loading(load: Callable[..., Any], n: int) -> Callable[..., Any]:
    """Loads `n` vectors, `apart` bytes from each other."""
    if n == 1:
        return inlined(lambda at, apart: (load(at),))
    if n == 2:
        return inlined(lambda at, apart: (load(at), load(at + apart)))
    return inlined(
        lambda at, apart: (
            load(at),
            load(at + apart),
            load(at + 2 * apart),
            load(at + 3 * apart),
        )
    )


def scoring(kind: str, queries: int, wide: int) -> Callable[..., None]:
    """scores[q, :64] = queries[q] @ keys[:64].T; floats go `wide` vectors of keys at a time."""
    if kind in LOAD:
        keys_at, row, n_scores = loading(LOAD[kind], wide), ROWS * SIZE[kind], queries * wide

        @inlined
        def score(keys, key_bytes, key_dim, further, turned, scores):
            for v in range(0, STEP // 16, wide):
                tile, at, x = zeros(n_scores), keys + key_bytes * v, turned
                for _ in range(key_dim):
                    for line in range(wide):
                        prefetch(at + key_bytes * (further + line))
                    tile = splat_tile(tile, keys_at(at, key_bytes), x, 4)
                    at += row
                    x += 4 * queries
                store_grid(scores + 64 * v, 4 * STEP, tile, wide)

        return score
    (part, bits), block_bytes = UNPACK[kind], KV_BLOCKS[kind]

    @inlined
    def score_packed(keys, key_bytes, key_dim, further, turned, scores):
        for v in range(STEP // 16):
            tile, x = zeros(queries), turned
            for at in range(keys + key_bytes * v, keys + key_bytes * (v + 1), block_bytes):
                for line in range(0, block_bytes, 64):
                    prefetch(at + key_bytes * further + line)
                codes, scales, mins = part(at, 0)
                tile = dot_tile(
                    tile, codes, bits, scales, mins, x, x + 32 * queries, x + 36 * queries
                )
                x += QUERY_BYTES * queries
            store_grid(scores + 64 * v, 4 * STEP, tile, 1)

    return score_packed


def gathering(kind: str, queries: int, columns: int) -> Callable[..., None]:
    """sums[q, :32] += scores[q, :n_keys] @ values[:n_keys, :32], `columns` x 16 at a time."""
    value, turned = value_reader(kind), kind == "turned"
    part_bytes = 0 if turned else KV_BLOCKS[kind]  # what is turned has just been written
    if columns == 1:
        values_at = inlined(lambda block, i, c: (value(block, i, c),))
    else:
        values_at = inlined(lambda block, i, c: (value(block, i, 0), value(block, i, 16)))

    if kind in LOAD or turned:

        @inlined
        def weights_of(block, scores, room):
            return scores, 4 * STEP
    else:

        @inlined
        def weights_of(block, scores, room):
            scales = load_f16s(block)
            for i in range(queries):
                store_f32s(room + 64 * i, mul(load_f32s(scores + 4 * STEP * i), scales))
            return room, 64

    @inlined
    def gather(values, value_bytes, n_keys, further, scores, room, sums, record_bytes):
        for c in range(0, PART, 16 * columns):
            tile = load_grid(sums + 4 * c, record_bytes, queries, columns)
            block = values
            for j in range(0, n_keys, 16):
                for line in range(0, part_bytes, 64):
                    prefetch(block + value_bytes * further + line)
                x, apart = weights_of(block, scores + 4 * j, room)
                for i in range(min(16, n_keys - j)):
                    tile = splat_tile(tile, values_at(block, i, c), x + 4 * i, apart)
                block += value_bytes
            store_grid(sums + 4 * c, record_bytes, tile, columns)

    return gather


def for_queries(kind: str, values: str, queries: int, registers: int) -> Callable[..., None]:
    """What is done for `queries` query rows of one KV head and 64 keys."""
    wide = min(4, registers // queries)  # vectors of keys, of values in a tile
    score, gather = scoring(kind, queries, wide), gathering(values, queries, min(2, wide))
    block_bytes = KV_BLOCKS[values]

    @inlined
    def step(rows, first, group, seen, keys, key_bytes, key_dim, values, value_bytes, padded,
             further, turned, records, scores, room, position, n, window, ahead, chunk, softcap,
             slopes, biases, far):  # fmt: skip
        """Rows first ... first + rows - 1; a row of token t sees `seen` + t of the 64 keys.

        Or `ahead` more, of the `n` tokens there are. Keys and values `further` groups of 16 on are
        asked for. `position` is that of token 0, `slopes` and `biases` of the first head that
        shares these keys.
        """
        score(keys, key_bytes, key_dim, further, turned, scores)
        record_bytes, there = VALUES + 4 * padded, seen - 1 + n
        for i in range(queries):
            token, which = (first + i) // group, (first + i) % group
            visible = min(seen + token + ahead, there)
            hidden = first_seen(position + token, window, chunk) - (position + 1 - seen)
            if i < rows and visible > max(hidden, 0) and hidden < STEP:
                slope = load_f32(slopes + 4 * which) if slopes != 0 else NO_SLOPE
                bias = biases + bias_bytes(far) * which if biases != 0 else 0
                own = seen + token - 1
                bend(scores + 4 * STEP * i, STEP, 64, hidden, own, softcap, slope, bias, far)
                weigh_step(scores + 4 * STEP * i, STEP, records + record_bytes * i, visible, padded)
            else:  # a later row of the tile still sees keys here, or there is no such row
                for v in range(0, STEP, 16):
                    store_f32s(scores + 4 * (STEP * i + v), splat_f32(0.0))
        n_keys = min(STEP, min(seen + (first + rows - 1) // group + ahead, there))
        for d in range(0, padded, PART):
            gather(
                values + block_bytes * (d // PART), value_bytes, n_keys, further,
                scores, room, records + VALUES + 4 * d, record_bytes,
            )  # fmt: skip

    return step


def turning_queries(kind: str) -> Callable[..., None]:
    """Writes queries row ... row + rows - 1, times `scale`, as `scoring` wants them.

    Floats go as [dimension][queries], zeros after them; bytes as blocks of [queries][32], then
    scales, then sums that start the integer sums.
    """
    if kind in LOAD:

        @inlined
        def turn(q, row, rows, queries, group, q_row, key_dim, scale, to):
            for i in range(queries):
                at = q + 4 * ((row + i) // group * q_row + (row + i) % group * key_dim)
                for d in range(key_dim):
                    x = load_f32(at + 4 * d) * scale if i < rows else float32(0.0)
                    store_f32(to + 4 * (queries * d + i), x)

        return turn
    zero = FAST[kind].zero

    @inlined
    def turn_to_bytes(q, row, rows, queries, group, q_row, key_dim, scale, to):
        factor = splat_f32(scale)
        for i in range(queries):
            at = q + 4 * ((row + i) // group * q_row + (row + i) % group * key_dim)
            for d in range(0, key_dim, PART):
                n, block = key_dim - d if i < rows else 0, to + QUERY_BYTES * queries * (d // PART)
                first = mul(load_some_f32s(at + 4 * d, n), factor)
                second = mul(load_some_f32s(at + 4 * d + 64, n - 16), factor)
                a, b, shared = to_bytes(first, second)
                store_i32s_as_i8(block + 32 * i, a)
                store_i32s_as_i8(block + 32 * i + 16, b)
                store_f32(block + 32 * queries + 4 * i, shared)
                store_sum(block + 36 * queries + 4 * i, sum_i32s(add_i32s(a, b)), zero)

    return turn_to_bytes


# ---- attention ----------------------------------------------------------------------------------


def flattening(kind: str) -> Callable[..., None]:
    """Makes values of the kind "turned" of the first `value_dim` dimensions of 64 keys."""
    key, block_bytes = key_reader(kind), KV_BLOCKS[kind]
    lanes_of = inlined(lambda keys, d, apart, some: key(keys + block_bytes * (d // PART), d % PART))
    turn = turning(lanes_of)

    @inlined
    def flatten(keys, key_bytes, value_dim, value_bytes, to):
        for v in range(STEP // ROWS):
            for d in range(0, value_dim, 16):
                tile = to + value_bytes * v + TILE_BYTES * (d // 16)
                turn(tile, keys + key_bytes * v, d, value_dim - 1, 0, 0)

    return flatten


def attending(kind: str, *, in_keys: bool) -> Callable[..., None]:
    from_cache = "turned" if in_keys else kind
    sizes, value_sizes, flatten = measuring(kind), measuring(from_cache), flattening(kind)
    turn, floats = turning_queries(kind), kind in LOAD
    wide = processor().level == "avx512"
    most, registers = (QUERIES, 16) if wide else (QUERIES // 2, 4)  # rows, sums in registers
    step_4 = for_queries(kind, from_cache, 4, registers)
    step_1 = for_queries(kind, from_cache, 1, registers)
    if wide:
        step_8 = for_queries(kind, from_cache, QUERIES, registers)

        @inlined
        def queries_of(rows):
            """Rows of the tile that is taken for `rows` rows."""
            return 8 if rows > 4 else 4 if rows > 1 else 1

        @inlined
        def step(rows, *more):
            if rows > 4:
                step_8(rows, *more)
            elif rows > 1:
                step_4(rows, *more)
            else:
                step_1(rows, *more)
    else:

        @inlined
        def queries_of(rows):
            return 4 if rows > 1 else 1

        @inlined
        def step(rows, *more):
            if rows > 1:
                step_4(rows, *more)
            else:
                step_1(rows, *more)

    def attend(
        op, run, thread, n_threads,
        q: int, out: int, keys: int, values: int, scratch: int, scratch_bytes: int, partials: int,
        n_head: int, n_head_kv: int, key_dim: int, value_dim: int, pages: int, scale: float,
        window: int, ahead: int, chunk: int, softcap: float, slopes: int, sinks: int,
        biases: int, far: int,
    ):  # fmt: skip
        n, position = load_i64(run + 8 * RUN_TOKENS), load_i64(run + 8 * RUN_POSITION)
        group = n_head // n_head_kv
        q_row, out_row = n_head * key_dim, n_head * value_dim
        key_bytes = sizes(key_dim, value_dim)[0]
        value_bytes = value_sizes(key_dim, value_dim)[1]
        padded = (value_dim + PART - 1) // PART * PART
        record_bytes = VALUES + 4 * padded
        blocks = (key_dim + PART - 1) // PART
        query_bytes = 4 * key_dim if floats else QUERY_BYTES * blocks
        rows = n * group
        whole = (rows + QUERIES - 1) // QUERIES * QUERIES
        base = first_seen(position, window, chunk) // SPAN  # spans before it are not counted
        n_spans = (position + n + SPAN - 1) // SPAN - base
        split = n <= FEW and n_spans > 1
        if split:
            piece, pieces = rows, n_spans
        else:  # many rows share the keys that they read, but each thread wants some
            piece = rows * n_head_kv // (4 * n_threads) // QUERIES * QUERIES
            piece = max(QUERIES, min(piece, MOST_ROWS))
            pieces = (rows + piece - 1) // piece
        mine = scratch + thread * scratch_bytes
        scores, room = mine, mine + 4 * QUERIES * STEP
        merged = room + 4 * QUERIES * ROWS
        most_rows = max(MOST_ROWS, (FEW * group + QUERIES - 1) // QUERIES * QUERIES)
        later = merged + most_rows * record_bytes
        turned = later + most_rows * record_bytes
        flat = turned + most_rows * 4 * PART * blocks
        shared = partials + 64 * n_head_kv  # [KV head][span][row]: records
        job = fetch_add(op + 8 * OP_COUNTER, 1)
        while job < pieces * n_head_kv:
            kv_head, number = job // pieces, job % pieces
            first, first_span, end_span = number * piece, 0, n_spans
            if split:
                first, first_span, end_span = 0, number, number + 1
                merged = shared + record_bytes * whole * (kv_head * n_spans + number)
            last = min(first + piece, rows)
            first_token = position + first // group
            begin = first_seen(first_token, window, chunk) // STEP * STEP
            own_slopes = slopes + 4 * kv_head * group if slopes != 0 else 0
            own_biases = biases + bias_bytes(far) * kv_head * group if biases != 0 else 0
            from_q, to = q + 4 * kv_head * group * key_dim, out + 4 * kv_head * group * value_dim
            for tile in range(first, last, most):
                some = min(most, last - tile)
                turn(from_q, tile, some, queries_of(some), group, q_row, key_dim, scale,
                     turned + query_bytes * (tile - first))  # fmt: skip
            for span in range(first_span, end_span):
                records = merged if span == first_span else later
                for i in range((last - first + most - 1) // most * most):
                    clear(records + record_bytes * i, padded)
                end = position + min((last - 1) // group + 1 + ahead, n)
                end = min(SPAN * (base + span + 1), end)
                for start in range(max(SPAN * (base + span), begin), end, STEP):
                    at = group_at(pages, start, n_head_kv, kv_head)
                    k, v = keys + key_bytes * at, values + value_bytes * at
                    if in_keys:
                        flatten(k, key_bytes, value_dim, value_bytes, flat)
                        v = flat
                    seen = position + 1 - start
                    further = 0
                    if start + STEP < end:
                        further = group_at(pages, start + STEP, n_head_kv, kv_head) - at
                    for tile in range(first, last, most):
                        some = min(most, last - tile)
                        if seen + (tile + some - 1) // group + ahead <= 0:
                            continue
                        step(some, tile, group, seen, k, key_bytes, key_dim, v, value_bytes,
                             padded, further, turned + query_bytes * (tile - first),
                             records + record_bytes * (tile - first), scores, room,
                             position, n, window, ahead, chunk, softcap,
                             own_slopes, own_biases, far)  # fmt: skip
                if span != first_span:
                    for row in range(first, last):
                        if sees(position + row // group, base + span, window, ahead, chunk):
                            i = record_bytes * (row - first)
                            merge(merged + i, records + i, padded)
            done = n_spans
            if split:
                done = fetch_add(partials + 64 * kv_head, 1) + 1
                merged = shared + record_bytes * whole * kv_head * n_spans
            if done == n_spans:
                if split:  # for the next that reads this cache
                    store_i64(partials + 64 * kv_head, 0)
                for row in range(first, last):
                    record = merged + record_bytes * (row - first)
                    for span in range(1, n_spans if split else 1):
                        if sees(position + row // group, base + span, window, ahead, chunk):
                            merge(record, record + record_bytes * whole * span, padded)
                    at = to + 4 * (row // group * out_row + row % group * value_dim)
                    head = kv_head * group + row % group
                    finish(record, at, value_dim, sinks, head)
            job = fetch_add(op + 8 * OP_COUNTER, 1)

    return attend
