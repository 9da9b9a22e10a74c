"""Attention of many tokens by AMX: `amx_attention:...` does what `attention:attend,...` does.

A piece of work is some query rows of one KV head. It goes through the context in spans of
`layout.AMX_SPAN` keys, which become tiles of bf16 once for all its rows; 32 rows at a time then
gather a span into their records. Queries and keys are cut into two bf16 each, high + low, of which
the product of the low parts is left out: scores are as good as those of 16-bit mantissas. Weights
and values are rounded to bf16. Scores, the softmax and sums are float32. What happens to a row
depends on its query and on the keys up to its position alone, so results have the same bits for any
number of threads; but a value that is not finite shows in up to 32 tokens before it, too.
"""

from __future__ import annotations

from collections.abc import Callable

from vatra.engine.kernels.amx import multiply_fours, shape_tiles
from vatra.engine.kernels.attention import (
    NO_SLOPE,
    VALUES,
    bend,
    bias_bytes,
    clear,
    finish,
    first_seen,
    weighing,
)
from vatra.engine.kernels.kv_cache import (
    LOAD,
    group_at,
    key_reader,
    measuring,
    turning,
    value_reader,
)
from vatra.engine.kernels.lanes import inlined
from vatra.engine.kernels.layout import (
    AMX_BLOCK,
    AMX_ROWS,
    AMX_SPAN,
    KV_BLOCKS,
    OP_COUNTER,
    PART,
    ROWS,
    RUN_POSITION,
    RUN_TOKENS,
    TILE_BYTES,
)
from vatra.engine.simd import (
    bf16_lanes,
    bf16_pairs,
    fetch_add,
    fill_tile,
    halves_to_f32s,
    keep_below,
    load_f32,
    load_i16,
    load_i64,
    load_some_f32s,
    mul,
    release_tiles,
    spill_tile,
    splat_f32,
    splat_i32,
    store_f32s,
    store_i32s,
    sub,
    upper_bf16s,
    usual_nan,
    zero_tile,
)

HALF = AMX_SPAN // ROWS * TILE_BYTES  # the scores of 16 rows and a span


def converting(kind: str, in_keys: bool) -> tuple[Callable[..., None], Callable[..., None]]:
    """How 16 positions of a cache become tiles of keys, and 32 become tiles of values."""
    key, codes, part_bytes = key_reader(kind), value_reader(kind), KV_BLOCKS[kind]

    if kind in LOAD:
        value = codes
    else:

        @inlined
        def value(block, i, c):
            scale = halves_to_f32s(splat_i32(load_i16(block + 2 * i)))
            return mul(codes(block, i, c), scale)

    @inlined
    def convert_keys(keys, key_dim, to):
        """Pairs of dimensions x 16 keys: for each 32 dimensions a high and a low tile."""
        for d in range(0, (key_dim + PART - 1) // PART * PART, 2):
            block, i = keys + part_bytes * (d // PART), d % PART
            first = key(block, i) if d < key_dim else splat_f32(0.0)
            second = key(block, i + 1) if d + 1 < key_dim else splat_f32(0.0)
            high, higher = upper_bf16s(first), upper_bf16s(second)
            at = to + 2 * TILE_BYTES * (d // PART) + 32 * i
            store_i32s(at, bf16_lanes(high, higher))
            store_i32s(at + TILE_BYTES, bf16_lanes(sub(first, high), sub(second, higher)))

    @inlined
    def convert_values(values, value_bytes, value_dim, some, to):
        """Positions i and 16 + i of 32 x 16 dimensions: tiles; only `some` positions exist."""
        for d in range(0, (value_dim + PART - 1) // PART * PART, 16):
            first, c = values + part_bytes * (d // PART), d % PART
            for i in range(ROWS):
                low = value(first, i, c) if i < some else splat_f32(0.0)
                high = value(first + value_bytes, i, c) if ROWS + i < some else splat_f32(0.0)
                at = to + TILE_BYTES * (d // 16) + 64 * i
                store_i32s(at, bf16_lanes(usual_nan(low), usual_nan(high)))

    @inlined
    def pairs_of(keys, d, apart, some):
        at, zero = keys + part_bytes * (d // PART), splat_f32(0.0)
        low, high = keep_below(key(at, d % PART), zero, some), key(at + apart, d % PART)
        return bf16_lanes(usual_nan(low), usual_nan(keep_below(high, zero, some - ROWS)))

    turn = turning(pairs_of)

    @inlined
    def convert_values_in_keys(keys, key_bytes, value_dim, some, to):
        for d in range(0, (value_dim + PART - 1) // PART * PART, 16):
            turn(to + TILE_BYTES * (d // 16), keys, min(d, value_dim - 1), value_dim - 1,
                 key_bytes, some)  # fmt: skip

    return convert_keys, convert_values_in_keys if in_keys else convert_values


@inlined
def convert_queries(x, key_dim, scale, to):
    """One row of a high and a low tile for each 32 dimensions."""
    factor = splat_f32(scale)
    for d in range(0, key_dim, PART):
        left = key_dim - d
        first = mul(load_some_f32s(x + 4 * d, left), factor)
        second = mul(load_some_f32s(x + 4 * d + 64, left - 16), factor)
        high, higher = upper_bf16s(first), upper_bf16s(second)
        store_i32s(to, bf16_pairs(high, higher))
        store_i32s(to + TILE_BYTES, bf16_pairs(sub(first, high), sub(second, higher)))
        to += 2 * TILE_BYTES


@inlined
def score(queries, keys, steps, n_keys, scores):
    """Scores of 32 rows: for each half of them and 16 keys a tile."""
    row_bytes = 2 * TILE_BYTES * steps
    for j in range(0, n_keys // ROWS, 2):
        zero_tile(0)
        zero_tile(1)
        zero_tile(2)
        zero_tile(3)
        for s in range(0, row_bytes, 2 * TILE_BYTES):
            x0, w0 = queries + s, keys + row_bytes * j + s
            x1, w1 = x0 + row_bytes, w0 + row_bytes
            fill_tile(4, x0 + TILE_BYTES, 64)
            fill_tile(5, x1 + TILE_BYTES, 64)
            fill_tile(6, w0, 64)
            fill_tile(7, w1, 64)
            multiply_fours()
            fill_tile(4, x0, 64)
            fill_tile(5, x1, 64)
            multiply_fours()
            fill_tile(6, w0 + TILE_BYTES, 64)
            fill_tile(7, w1 + TILE_BYTES, 64)
            multiply_fours()
        at = scores + TILE_BYTES * j
        spill_tile(0, at, 64)
        spill_tile(1, at + TILE_BYTES, 64)
        spill_tile(2, at + HALF, 64)
        spill_tile(3, at + HALF + TILE_BYTES, 64)


@inlined
def gather(weights, values, padded, n_keys, records, record_bytes):
    """Sums of weighted values of 32 rows += weights @ values."""
    lower = records + 16 * record_bytes
    for d in range(0, padded, PART):
        at = VALUES + 4 * d
        fill_tile(0, records + at, record_bytes)
        fill_tile(1, records + at + 64, record_bytes)
        fill_tile(2, lower + at, record_bytes)
        fill_tile(3, lower + at + 64, record_bytes)
        w = values + TILE_BYTES * (d // 16)
        for j in range(n_keys // PART):
            fill_tile(4, weights + TILE_BYTES * j, 64)
            fill_tile(5, weights + HALF + TILE_BYTES * j, 64)
            fill_tile(6, w, 64)
            fill_tile(7, w + TILE_BYTES, 64)
            multiply_fours()
            w += TILE_BYTES * (padded // 16)
        spill_tile(0, records + at, record_bytes)
        spill_tile(1, records + at + 64, record_bytes)
        spill_tile(2, lower + at, record_bytes)
        spill_tile(3, lower + at + 64, record_bytes)


@inlined
def keep_as_bf16(scores, v, first, second):
    """Weights v ... v + 31 of a row become its part of a tile, where earlier scores were."""
    store_i32s(scores + TILE_BYTES * (v // PART), bf16_lanes(first, second))


weigh = weighing(TILE_BYTES, keep_as_bf16)


def kernel(kind: str, of: str = "") -> Callable[..., None]:
    sizes, in_keys = measuring(kind), of == "in_keys"
    convert_keys, convert_values = converting(kind, in_keys)

    def attend_many(
        op, run, thread, n_threads,
        q: int, out: int, keys: int, values: int, scratch: int, scratch_bytes: int,
        n_head: int, n_head_kv: int, key_dim: int, value_dim: int, pages: int, scale: float,
        window: int, ahead: int, chunk: int, softcap: float, slopes: int, sinks: int,
        biases: int, far: int,
    ):  # fmt: skip
        n, position = load_i64(run + 8 * RUN_TOKENS), load_i64(run + 8 * RUN_POSITION)
        group = n_head // n_head_kv
        q_row, out_row = n_head * key_dim, n_head * value_dim
        key_bytes, value_bytes = sizes(key_dim, value_dim)
        if in_keys:
            values, value_bytes = keys, key_bytes
        steps, padded = (key_dim + PART - 1) // PART, (value_dim + PART - 1) // PART * PART
        record_bytes, tiles = VALUES + 4 * padded, 2 * TILE_BYTES * steps  # of 16 queries or keys
        rows = n * group
        piece = rows * n_head_kv // (4 * n_threads) // AMX_BLOCK * AMX_BLOCK
        piece = max(2 * AMX_BLOCK, min(piece, AMX_ROWS))
        pieces = (rows + piece - 1) // piece
        scores = scratch + thread * scratch_bytes
        queries = scores + 2 * HALF
        k = queries + AMX_ROWS // ROWS * tiles
        v = k + AMX_SPAN // ROWS * tiles
        records = v + AMX_SPAN // PART * (padded // 16) * TILE_BYTES
        shape_tiles(scores)
        job = fetch_add(op + 8 * OP_COUNTER, 1)
        while job < pieces * n_head_kv:
            kv_head, first = job // pieces, job % pieces * piece
            last = min(first + piece, rows)
            from_q, to = q + 4 * kv_head * group * key_dim, out + 4 * kv_head * group * value_dim
            for row in range(first, last):
                i = row - first
                at = from_q + 4 * (row // group * q_row + row % group * key_dim)
                convert_queries(at, key_dim, scale, queries + tiles * (i // 16) + 64 * (i % 16))
            for i in range((last - first + AMX_BLOCK - 1) // AMX_BLOCK * AMX_BLOCK):
                clear(records + record_bytes * i, padded)
            begin = first_seen(position + first // group, window, chunk) // AMX_SPAN * AMX_SPAN
            stop = position + min((last - 1) // group + 1 + ahead, n)
            for start in range(begin, stop, AMX_SPAN):
                end = min(start + AMX_SPAN, stop)
                for j in range(0, end - start, PART):
                    at = group_at(pages, start + j, n_head_kv, kv_head)
                    from_k, to_k = keys + key_bytes * at, k + tiles * (j // ROWS)
                    convert_keys(from_k, key_dim, to_k)
                    convert_keys(from_k + key_bytes, key_dim, to_k + tiles)
                    convert_values(
                        values + value_bytes * at, value_bytes, value_dim, position + n - start - j,
                        v + TILE_BYTES * (padded // 16) * (j // PART),
                    )  # fmt: skip
                for block in range(first, last, AMX_BLOCK):
                    seen = position + 1 - start
                    most = seen + (min(block + AMX_BLOCK, last) - 1) // group + ahead
                    most = min(most, min(position + n - start, AMX_SPAN))
                    if most <= 0:  # rows before this span
                        continue
                    n_keys = (most + PART - 1) // PART * PART
                    mine = records + record_bytes * (block - first)
                    score(queries + tiles * ((block - first) // 16), k, steps, n_keys, scores)
                    for i in range(AMX_BLOCK):
                        at = scores + HALF * (i // 16) + 64 * (i % 16)
                        token = (block + i) // group
                        visible = min(seen + token + ahead, position + n - start)
                        hidden = first_seen(position + token, window, chunk) - start
                        if block + i < last and visible > max(hidden, 0) and hidden < n_keys:
                            head = kv_head * group + (block + i) % group
                            slope = load_f32(slopes + 4 * head) if slopes != 0 else NO_SLOPE
                            bias = biases + bias_bytes(far) * head if biases != 0 else 0
                            own = seen + token - 1
                            bend(at, n_keys, TILE_BYTES, hidden, own, softcap, slope, bias, far)
                            weigh(at, n_keys, mine + record_bytes * i, visible, padded)
                        else:
                            for j in range(n_keys // PART):
                                store_f32s(at + TILE_BYTES * j, splat_f32(0.0))
                    gather(scores, v, padded, n_keys, mine, record_bytes)
            for row in range(first, last):
                at = to + 4 * (row // group * out_row + row % group * value_dim)
                head = kv_head * group + row % group
                finish(records + record_bytes * (row - first), at, value_dim, sinks, head)
            job = fetch_add(op + 8 * OP_COUNTER, 1)
        release_tiles()

    return attend_many
