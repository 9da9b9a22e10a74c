"""Products of quantised weights and quantised activations: `matmul:<format>,<tokens per tile>`.

With `,experts` behind it, each expert is multiplied with the tokens that chose it, in the slots of
an `order`: however few they are, its weights are read once.

Weights lie as `unpack` describes; they are handed out in pairs of groups of 16 rows. Activations
are signed bytes with a float scale for each 32, see `quantize`. Tokens that do not fill a tile are
multiplied in the smallest that holds them: of 1, 2, 4, ... Each sum runs over the blocks in order,
whatever the tile, so a token's result does not depend on its neighbours or on the threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vatra.engine.cpu_features import processor
from vatra.engine.kernels.lanes import inlined, unrolled
from vatra.engine.kernels.layout import FAST, OP_COUNTER, PART, ROWS
from vatra.engine.kernels.order import chosen_at, chosen_of, pairs_at
from vatra.engine.kernels.unpack import UNPACK
from vatra.engine.simd import (
    dot_tile,
    fetch_add,
    in_order,
    load_i64,
    prefetch,
    store_rows,
    store_rows_at,
    zeros,
)
from vatra.quant.registry import by_name

AHEAD = 2048  # bytes of each stream that are asked for before they are needed, at the least
PAIRED = {"avx512": 8}  # tokens whose sums with two groups fit the registers; elsewhere one's


def pair_times_one(format: str) -> Callable[..., Any]:
    """The product of two groups, `apart` bytes from each other, and one token, as a vector each.

    A decoded token waits for memory alone: two streams are read at once, and what will be needed
    soon is asked for. Behind the end of the groups that lies `jump` bytes further on. Tokens lie in
    tiles of `tile`.
    """
    part, bits = UNPACK[format]
    parts, block_bytes = by_name(format).block // PART, ROWS * by_name(format).block_bytes
    lines, spans = (block_bytes + 63) // 64, FAST[format].spans
    distance = -(-AHEAD // block_bytes) * block_bytes

    @inlined
    def times(sums, k, w, ahead, x, x_scale, x_sum):
        # asked for in small lots: memory is slower to serve the lines of a whole block at once
        for line in range(lines * k // parts, lines * (k + 1) // parts):
            prefetch(ahead + 64 * line)
        in_order()
        quads, scales, mins = part(w, k)
        sums = dot_tile(sums, quads, bits, scales, mins, x, x_scale, x_sum)
        in_order()
        return sums

    @inlined
    def add_part(sums, k, w, apart, ahead, x, x_scale, x_sum, tile):
        x += 32 * tile * k
        x_scale += 4 * tile * k
        x_sum += 4 * spans * tile * k
        first = times(sums[0], k, w, ahead, x, x_scale, x_sum)
        return first, times(sums[1], k, w + apart, ahead + apart, x, x_scale, x_sum)

    add_block = unrolled(add_part, parts)

    @inlined
    def product(w, apart, jump, x, x_scale, x_sum, n_blocks, tile):
        sums, end = (zeros(1), zeros(1)), w + n_blocks * block_bytes
        for _ in range(n_blocks):
            ahead = w + distance
            if ahead >= end:
                ahead += jump
            sums = add_block(sums, w, apart, ahead, x, x_scale, x_sum, tile)
            w += block_bytes
            x += 32 * tile * parts
            x_scale += 4 * tile * parts
            x_sum += 4 * spans * tile * parts
        return sums

    return product


def pair_times_tile(format: str, tokens: int) -> Callable[..., Any]:
    """As `pair_times_one` for a few tokens, as so many vectors for each group."""
    part, bits = UNPACK[format]
    parts, block_bytes = by_name(format).block // PART, ROWS * by_name(format).block_bytes
    lines, spans = -(-block_bytes // 64 // parts), FAST[format].spans
    distance = -(-AHEAD // block_bytes) * block_bytes

    @inlined
    def product(w, apart, jump, x, x_scale, x_sum, n_blocks, tile):
        first, second, end = zeros(tokens), zeros(tokens), w + n_blocks * block_bytes
        for _ in range(n_blocks):
            ahead = w + distance
            if ahead >= end:
                ahead += jump
            for k in range(parts):
                for line in range(lines * k, lines * k + lines):
                    prefetch(ahead + 64 * line)
                    prefetch(ahead + apart + 64 * line)
                quads, scales, mins = part(w, k)
                first = dot_tile(first, quads, bits, scales, mins, x, x_scale, x_sum)
                quads, scales, mins = part(w + apart, k)
                second = dot_tile(second, quads, bits, scales, mins, x, x_scale, x_sum)
                x += 32 * tile
                x_scale += 4 * tile
                x_sum += 4 * spans * tile
            w += block_bytes
        return first, second

    return product


def rows_times_tile(format: str, tokens: int) -> Callable[..., Any]:
    """The product of one group of 16 rows and one tile, as `tokens` vectors."""
    part, bits = UNPACK[format]
    parts, block_bytes = by_name(format).block // PART, ROWS * by_name(format).block_bytes
    lines, spans = -(-block_bytes // 64 // parts), FAST[format].spans

    @inlined
    def product(w, x, x_scale, x_sum, n_blocks, tile):
        sums = zeros(tokens)
        for _ in range(n_blocks):
            for k in range(parts):
                for line in range(lines * k, lines * k + lines):
                    prefetch(w + AHEAD + 64 * line)
                quads, scales, mins = part(w, k)
                sums = dot_tile(sums, quads, bits, scales, mins, x, x_scale, x_sum)
                x += 32 * tile
                x_scale += 4 * tile
                x_sum += 4 * spans * tile
            w += block_bytes
        return sums

    return product


def pair_times_some(format: str, most: int, store: Callable[..., Any]) -> Callable[..., Any]:
    """Multiply groups g and g + 1 with the next n tokens, at most `most`, and store the sums.

    store(to, g, sums, n) keeps those of group g, which may be behind the last; tokens lie in the
    smallest tile that holds them.
    """
    one, fewer = most == 1, most // 2
    pair = pair_times_one(format) if one else pair_times_tile(format, most)
    rows = rows_times_tile(format, most)
    some = pair if one else pair_times_some(format, fewer, store)

    @inlined
    def at_once(w, apart, jump, x, x_scale, x_sum, n_blocks, to, g, n):
        if not one and n <= fewer:
            some(w, apart, jump, x, x_scale, x_sum, n_blocks, to, g, n)
        else:
            sums = pair(w, apart, jump, x, x_scale, x_sum, n_blocks, most)
            store(to, g, sums[0], n)
            store(to, g + 1, sums[1], n)

    @inlined
    def in_turn(w, apart, jump, x, x_scale, x_sum, n_blocks, to, g, n):
        if n <= fewer:
            some(w, apart, jump, x, x_scale, x_sum, n_blocks, to, g, n)
        else:
            for i in range(2 if apart != 0 else 1):
                sums = rows(w + apart * i, x, x_scale, x_sum, n_blocks, most)
                store(to, g + i, sums, n)

    return at_once if most <= PAIRED.get(processor().level, 1) else in_turn


@inlined
def store_group(to, g, sums, n):
    """Store the sums of n tokens that follow each other; `to` is (out, bias, n_out)."""
    out, bias, n_out = to
    first = ROWS * g
    add = bias + 4 * first if bias != 0 else 0
    store_rows(out + 4 * first, 4 * n_out, sums, add, n_out - first, n)


@inlined
def store_group_at(to, g, sums, n):
    """As `store_group`, for tokens whose places stand at an address: (out, bias, n_out, places)."""
    out, bias, n_out, places = to
    first = ROWS * g
    add = bias + 4 * first if bias != 0 else 0
    store_rows_at(out + 4 * first, 4 * n_out, places, sums, add, n_out - first, n)


def kernel(format: str, tokens: str, of: str = "") -> Callable[..., None]:
    many, spans = int(tokens), FAST[format].spans
    parts, group_block = by_name(format).block // PART, ROWS * by_name(format).block_bytes
    pair_times_many = pair_times_some(format, many, store_group)
    pair_times_slots = pair_times_some(format, many, store_group_at)

    def matmul(
        op, run, thread, n_threads,
        w: int, bias: int, x: int, x_scale: int, x_sum: int,
        out: int, n_out: int, n_blocks: int, rows: int, chunk: int,
    ):  # fmt: skip
        n = load_i64(run + 8 * rows)
        groups = (n_out + ROWS - 1) // ROWS
        width = n_blocks * parts  # blocks of 32 activations
        group_bytes = n_blocks * group_block
        first = fetch_add(op + 8 * OP_COUNTER, chunk)
        while first < groups:
            following = fetch_add(op + 8 * OP_COUNTER, chunk)  # early: its weights are asked for
            end = min(first + chunk, groups)
            for g in range(first, end, 2):
                apart = group_bytes if g + 1 < groups else 0
                after = g + 2 if g + 2 < end else following
                jump = ((after if after < groups else g) - g - 1) * group_bytes
                for t in range(0, n, many):
                    pair_times_many(
                        w + g * group_bytes, apart, jump,
                        x + 32 * width * t, x_scale + 4 * width * t, x_sum + 4 * spans * width * t,
                        n_blocks, (out + 4 * n_out * t, bias, n_out), g, n - t,
                    )  # fmt: skip
            first = following

    def experts(
        op, run, thread, n_threads,
        w: int, bias: int, order: int, n_expert: int,
        x: int, x_scale: int, x_sum: int,
        out: int, n_out: int, n_blocks: int, chunk: int,
    ):  # fmt: skip
        groups = (n_out + ROWS - 1) // ROWS
        group_bytes = n_blocks * group_block
        width, pieces = n_blocks * parts, (groups + chunk - 1) // chunk
        jobs = pieces * chosen_of(order)
        job = fetch_add(op + 8 * OP_COUNTER, 1)
        while job < jobs:
            following = fetch_add(op + 8 * OP_COUNTER, 1)  # early: its weights are asked for
            expert, slot, n = chosen_at(order, n_expert, job // pieces)
            matrix = w + expert * groups * group_bytes
            add = bias + 4 * expert * n_out if bias != 0 else 0
            first = job % pieces * chunk
            end = min(first + chunk, groups)
            after = min(following, jobs - 1)
            expert, _, _ = chosen_at(order, n_expert, after // pieces)
            after = w + (expert * groups + after % pieces * chunk) * group_bytes
            for g in range(first, end, 2):
                at, apart = matrix + g * group_bytes, group_bytes if g + 1 < groups else 0
                jump = (at + 2 * group_bytes if g + 2 < end else after) - at - group_bytes
                for t in range(0, n, many):
                    from_x = width * (slot + t)
                    pair_times_slots(
                        at, apart, jump,
                        x + 32 * from_x, x_scale + 4 * from_x, x_sum + 4 * spans * from_x,
                        n_blocks, (out, add, n_out, pairs_at(order, n_expert, slot + t)), g, n - t,
                    )  # fmt: skip
            job = following

    return experts if of == "experts" else matmul
