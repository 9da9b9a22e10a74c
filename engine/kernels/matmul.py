"""Products of quantised weights and quantised activations: `matmul:<format>,<tokens per tile>`.

With `,experts` behind it, each expert is multiplied with the tokens that chose it, in the slots of
an `order`; `matmul:<format>,0` is for few tokens, and takes them one by one.

Weights lie as `unpack` describes. Activations are signed bytes with a float scale for each 32, see
`quantize`: tile by tile, block by block, token by token. Each sum runs over the blocks in order,
whatever the tile, so a token's result does not depend on its neighbours or on the threads.
"""

from __future__ import annotations

from collections.abc import Callable

from vatra.engine.kernels.lanes import inlined
from vatra.engine.kernels.layout import OP_COUNTER, PART, ROWS
from vatra.engine.kernels.order import first_slot, pair_at, pairs_at, tokens_of
from vatra.engine.kernels.unpack import UNPACK, tile_of
from vatra.engine.simd import (
    dot_tile,
    fetch_add,
    load_i32,
    load_i64,
    prefetch,
    store_rows,
    store_rows_at,
    zeros,
)
from vatra.quant.registry import by_name

AHEAD = 4096  # bytes that are asked for before they are needed


def rows_times_tile(format: str, tokens: int) -> Callable[..., object]:
    """The product of one group of 16 rows and one tile, as `tokens` vectors."""
    part, bits = UNPACK[format]
    parts, block_bytes = by_name(format).block // PART, ROWS * by_name(format).block_bytes

    @inlined
    def product(w, x, x_scale, x_sum, n_blocks, tile, spans):
        sums = zeros(tokens)
        for _ in range(n_blocks):
            if tokens == 1:  # a decoded token waits for memory alone
                for line in range(0, block_bytes, 64):
                    prefetch(w + AHEAD + line)
            for k in range(parts):
                quads, scales, mins = part(w, k)
                sums = dot_tile(sums, quads, bits, scales, mins, x, x_scale, x_sum)
                x += 32 * tile
                x_scale += 4 * tile
                x_sum += 4 * tile * spans
            w += block_bytes
        return sums

    return product


def kernel(format: str, tokens: str, of: str = "") -> Callable[..., None]:
    many = int(tokens)
    by_tile, by_one = rows_times_tile(format, many), rows_times_tile(format, 1)
    parts, group_block = by_name(format).block // PART, ROWS * by_name(format).block_bytes

    def matmul(
        op, run, thread, n_threads,
        w: int, bias: int, x: int, x_scale: int, x_sum: int, spans: int, tile: int,
        out: int, n_out: int, n_blocks: int, rows: int, chunk: int,
    ):  # fmt: skip
        n = load_i64(run + 8 * rows)
        tile = tile_of(n, tile)
        groups = (n_out + ROWS - 1) // ROWS
        width = n_blocks * parts  # blocks of 32 activations
        first = fetch_add(op + 8 * OP_COUNTER, chunk)
        while first < groups:
            for g in range(first, min(first + chunk, groups)):
                at = w + g * n_blocks * group_block
                to = out + 4 * ROWS * g
                add = bias + 4 * ROWS * g if bias != 0 else 0
                left = n_out - ROWS * g
                t = 0
                while tile == many and n - t > many // 3:
                    sums = by_tile(
                        at, x + 32 * width * t, x_scale + 4 * width * t,
                        x_sum + 4 * spans * width * t, n_blocks, many, spans,
                    )  # fmt: skip
                    store_rows(to + 4 * n_out * t, 4 * n_out, sums, add, left, n - t)
                    t += many
                while t < n:
                    base, inside = t // tile * tile, t % tile
                    one = by_one(
                        at, x + 32 * (width * base + inside), x_scale + 4 * (width * base + inside),
                        x_sum + 4 * spans * (width * base + inside), n_blocks, tile, spans,
                    )  # fmt: skip
                    store_rows(to + 4 * n_out * t, 4 * n_out, one, add, left, 1)
                    t += 1
            first = fetch_add(op + 8 * OP_COUNTER, chunk)

    def experts(
        op, run, thread, n_threads,
        w: int, bias: int, chosen: int, k: int, shared_x: int,
        x: int, x_scale: int, x_sum: int, spans: int, tile: int,
        out: int, n_out: int, n_blocks: int, rows: int, chunk: int,
    ):  # fmt: skip
        pairs = load_i64(run + 8 * rows) * k
        tile = tile_of(pairs // k if shared_x != 0 else pairs, tile)
        groups = (n_out + ROWS - 1) // ROWS
        width = n_blocks * parts
        first = fetch_add(op + 8 * OP_COUNTER, chunk)
        while first < groups:
            for g in range(first, min(first + chunk, groups)):
                for i in range(pairs):
                    expert = load_i32(chosen + 4 * i)
                    at = w + (expert * groups + g) * n_blocks * group_block
                    t = i // k if shared_x != 0 else i
                    base, inside = t // tile * tile, t % tile
                    one = by_one(
                        at, x + 32 * (width * base + inside), x_scale + 4 * (width * base + inside),
                        x_sum + 4 * spans * (width * base + inside), n_blocks, tile, spans,
                    )  # fmt: skip
                    add = bias + 4 * (expert * n_out + ROWS * g) if bias != 0 else 0
                    store_rows(out + 4 * (n_out * i + ROWS * g), 0, one, add, n_out - ROWS * g, 1)
            first = fetch_add(op + 8 * OP_COUNTER, chunk)

    def sorted_experts(
        op, run, thread, n_threads,
        w: int, bias: int, order: int, n_expert: int,
        x: int, x_scale: int, x_sum: int, spans: int, tile: int,
        out: int, n_out: int, n_blocks: int, rows: int, chunk: int,
    ):  # fmt: skip
        groups = (n_out + ROWS - 1) // ROWS
        width, pieces = n_blocks * parts, (groups + chunk - 1) // chunk
        jobs = pieces * n_expert if load_i64(run + 8 * rows) > 0 else 0
        job = fetch_add(op + 8 * OP_COUNTER, 1)
        while job < jobs:
            expert, first = job // pieces, job % pieces * chunk
            n, slot = tokens_of(order, expert), first_slot(order, expert)
            for g in range(first, min(first + chunk, groups) if n > 0 else 0):
                at = w + (expert * groups + g) * n_blocks * group_block
                to, left = out + 4 * ROWS * g, n_out - ROWS * g
                add = bias + 4 * (expert * n_out + ROWS * g) if bias != 0 else 0
                for t in range(slot, slot + n, many):
                    if slot + n - t > many // 3:
                        sums = by_tile(
                            at, x + 32 * width * t, x_scale + 4 * width * t,
                            x_sum + 4 * spans * width * t, n_blocks, many, spans,
                        )  # fmt: skip
                        pairs = pairs_at(order, n_expert, t)
                        store_rows_at(to, 4 * n_out, pairs, sums, add, left, slot + n - t)
                    else:
                        for i in range(slot + n - t):
                            one = by_one(
                                at, x + 32 * (width * t + i), x_scale + 4 * (width * t + i),
                                x_sum + 4 * spans * (width * t + i), n_blocks, many, spans,
                            )  # fmt: skip
                            pair = pair_at(order, n_expert, t + i)
                            store_rows(to + 4 * n_out * pair, 0, one, add, left, 1)
            job = fetch_add(op + 8 * OP_COUNTER, 1)

    if of == "experts":
        return sorted_experts
    return experts if many == 0 else matmul
