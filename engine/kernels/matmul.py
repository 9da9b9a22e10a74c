"""Products of quantised weights and quantised activations: `matmul:<format>,<tokens per tile>`.

With `,experts` behind it, each expert is multiplied with the tokens that chose it, in the slots of
an `order`; `matmul:<format>,0` is for few tokens, and takes them one by one.

Weights lie as `unpack` describes; they are handed out in pairs of groups of 16 rows. Activations
are signed bytes with a float scale for each 32, see `quantize`: tile by tile, block by block, token
by token. Each sum runs over the blocks in order, whatever the tile, so a token's result does not
depend on its neighbours or on the threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vatra.engine.kernels.lanes import inlined, unrolled
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

AHEAD = 2048  # bytes of each stream that are asked for before they are needed, at the least


def rows_times_tile(format: str, tokens: int) -> Callable[..., object]:
    """The product of one group of 16 rows and one tile, as `tokens` vectors."""
    part, bits = UNPACK[format]
    parts, block_bytes = by_name(format).block // PART, ROWS * by_name(format).block_bytes

    @inlined
    def product(w, x, x_scale, x_sum, n_blocks, tile, spans):
        sums = zeros(tokens)
        for _ in range(n_blocks):
            for k in range(parts):
                quads, scales, mins = part(w, k)
                sums = dot_tile(sums, quads, bits, scales, mins, x, x_scale, x_sum)
                x += 32 * tile
                x_scale += 4 * tile
                x_sum += 4 * tile * spans
            w += block_bytes
        return sums

    return product


def pair_times_token(format: str) -> Callable[..., Any]:
    """The product of two groups, `apart` bytes from each other, and one token, as a vector each.

    A decoded token waits for memory alone: two streams are read at once, and what will be needed
    soon is asked for. Behind the end of the groups that lies `jump` bytes further on.
    """
    part, bits = UNPACK[format]
    parts, block_bytes = by_name(format).block // PART, ROWS * by_name(format).block_bytes
    lines = (block_bytes + 63) // 64
    distance = -(-AHEAD // block_bytes) * block_bytes

    @inlined
    def add_part(sums, k, w, apart, ahead, x, x_scale, x_sum, tile, spans):
        # always so; but the compiler, which cannot know, keeps loads and prefetches in their parts
        if parts == 1 or ahead != 0:
            for line in range(lines * k // parts, lines * (k + 1) // parts):
                prefetch(ahead + 64 * line)
                prefetch(ahead + apart + 64 * line)
        x += 32 * tile * k
        x_scale += 4 * tile * k
        x_sum += 4 * tile * spans * k
        quads, scales, mins = part(w, k)
        one = dot_tile(sums[0], quads, bits, scales, mins, x, x_scale, x_sum)
        quads, scales, mins = part(w + apart, k)
        return one, dot_tile(sums[1], quads, bits, scales, mins, x, x_scale, x_sum)

    add_block = unrolled(add_part, parts)

    @inlined
    def product(w, apart, jump, x, x_scale, x_sum, n_blocks, tile, spans):
        sums, end = (zeros(1), zeros(1)), w + n_blocks * block_bytes
        for _ in range(n_blocks):
            ahead = w + distance
            if ahead >= end:
                ahead += jump
            sums = add_block(sums, w, apart, ahead, x, x_scale, x_sum, tile, spans)
            w += block_bytes
            x += 32 * tile * parts
            x_scale += 4 * tile * parts
            x_sum += 4 * tile * spans * parts
        return sums

    return product


@inlined
def store_pair(out, bias, g, n_out, sums):
    """Store the sums of groups g and g + 1 of n_out rows; the second may not be there."""
    for i in range(2):
        first = ROWS * (g + i)
        add = bias + 4 * first if bias != 0 else 0
        store_rows(out + 4 * first, 0, sums[i], add, n_out - first, 1)


def kernel(format: str, tokens: str, of: str = "") -> Callable[..., None]:
    many = int(tokens)
    by_tile, by_one = rows_times_tile(format, many), rows_times_tile(format, 1)
    two_by_one = pair_times_token(format)
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
        group_bytes = n_blocks * group_block
        first = fetch_add(op + 8 * OP_COUNTER, chunk)
        while first < groups:
            following = fetch_add(op + 8 * OP_COUNTER, chunk)  # early: its weights are asked for
            end = min(first + chunk, groups)
            for g in range(first, end, 2):
                at = w + g * group_bytes
                t = 0
                while tile == many and n - t > many // 3:
                    for i in range(g, min(g + 2, groups)):
                        sums = by_tile(
                            w + i * group_bytes, x + 32 * width * t, x_scale + 4 * width * t,
                            x_sum + 4 * spans * width * t, n_blocks, many, spans,
                        )  # fmt: skip
                        store_rows(
                            out + 4 * (n_out * t + ROWS * i), 4 * n_out, sums,
                            bias + 4 * ROWS * i if bias != 0 else 0, n_out - ROWS * i, n - t,
                        )  # fmt: skip
                    t += many
                apart = group_bytes if g + 1 < groups else 0
                after = g + 2 if g + 2 < end else following
                jump = ((after if after < groups else g) - g - 1) * group_bytes
                while t < n:
                    base, inside = t // tile * tile, t % tile
                    two = two_by_one(
                        at, apart, jump,
                        x + 32 * (width * base + inside), x_scale + 4 * (width * base + inside),
                        x_sum + 4 * spans * (width * base + inside), n_blocks, tile, spans,
                    )  # fmt: skip
                    store_pair(out + 4 * n_out * t, bias, g, n_out, two)
                    t += 1
            first = following

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
            for g in range(first, min(first + chunk, groups), 2):
                apart = n_blocks * group_block if g + 1 < groups else 0
                for i in range(pairs):
                    expert = load_i32(chosen + 4 * i)
                    t = i // k if shared_x != 0 else i
                    base, inside = t // tile * tile, t % tile
                    two = two_by_one(
                        w + (expert * groups + g) * n_blocks * group_block, apart, apart,
                        x + 32 * (width * base + inside), x_scale + 4 * (width * base + inside),
                        x_sum + 4 * spans * (width * base + inside), n_blocks, tile, spans,
                    )  # fmt: skip
                    add = bias + 4 * expert * n_out if bias != 0 else 0
                    store_pair(out + 4 * n_out * i, add, g, n_out, two)
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
