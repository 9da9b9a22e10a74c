"""Products of many tokens by AMX: `amx:pack` writes activations, `amx:<format>` multiplies them.

Activations and weights are rounded to bf16, sums are float32: nearer to it than the bytes of
`matmul`, and without that kernel's work between blocks. Weights that are floats are not rounded:
they and their activations are cut into a high and a low part, and what counts of the products of
the parts stands side by side (`layout.AMX_TERMS`), as if there were more inputs. A tile has 16 rows
of 64 bytes. 16 tokens x 32 inputs of packed activations are one tile, inputs that are not there
being zero. 16 rows of weights are unpacked as a whole, 16 pairs of inputs x 16 rows a tile, and
then serve all tokens. Of many inputs `layout.AMX_STEPS` tiles are taken at a time, so that their
activations stay in the second cache.

Experts are the same product once for each of them, with the tokens that chose it: `pack` puts
activations into the slots of an `order`, in which each expert begins a tile.
"""

from __future__ import annotations

from collections.abc import Callable

from vatra.engine.kernels.lanes import inlined
from vatra.engine.kernels.layout import (
    AMX_STEPS,
    AMX_TERMS,
    FAST,
    FLOATS,
    OP_COUNTER,
    PART,
    ROWS,
    TILE_BYTES,
)
from vatra.engine.kernels.matmul_float import READ
from vatra.engine.kernels.order import chosen_at, chosen_of, pair_at, slots_of
from vatra.engine.kernels.unpack import UNPACK
from vatra.engine.simd import (
    add,
    bf16_pairs,
    configure_tiles,
    fetch_add,
    fill_tile,
    load_f32s,
    load_i64,
    load_some_f32s,
    multiply_tiles,
    release_tiles,
    spill_tile,
    splat_f32,
    store_bf16_pairs,
    store_i32s,
    store_i64,
    store_some_f32s,
    store_turned,
    sub,
    upper_bf16s,
    zero_tile,
)
from vatra.quant.registry import by_name


def kernel(which: str, terms: str = "1") -> Callable[..., None]:
    return packing(int(terms)) if which == "pack" else multiplying(which)


@inlined
def shape_tiles(room):
    """All 8 tiles have 16 rows of 64 bytes (palette 1); 64 bytes at `room` are overwritten."""
    for i in range(8):
        store_i64(room + 8 * i, 0)
    store_i64(room, 1)
    store_i64(room + 16, 0x0040004000400040)
    store_i64(room + 24, 0x0040004000400040)
    store_i64(room + 48, 0x1010101010101010)
    configure_tiles(room)


@inlined
def multiply_fours():
    """Tiles 0 ... 3 += two tiles of tokens, 4 and 5, times two of weights, 6 and 7."""
    multiply_tiles(0, 4, 6)
    multiply_tiles(1, 4, 7)
    multiply_tiles(2, 5, 6)
    multiply_tiles(3, 5, 7)


def packing(terms: int) -> Callable[..., None]:
    if terms == 1:

        @inlined
        def keep(first, second, to):
            store_i32s(to, bf16_pairs(first, second))
    else:

        @inlined
        def keep(first, second, to):
            """The high parts, the low ones, and for a third term the high ones again."""
            high, higher = upper_bf16s(first), upper_bf16s(second)
            store_i32s(to, bf16_pairs(high, higher))
            store_i32s(to + TILE_BYTES, bf16_pairs(sub(first, high), sub(second, higher)))
            if terms > 2:
                store_i32s(to + 2 * TILE_BYTES, bf16_pairs(high, higher))

    tile_bytes = TILE_BYTES * terms

    def pack(
        op, run, thread, n_threads,
        x: int, out: int, width: int, rows: int, order: int, n_expert: int, per: int,
    ):  # fmt: skip
        """Slot s of `order`, if there is one, takes row pair // `per`."""
        n, blocks = load_i64(run + 8 * rows), (width + PART - 1) // PART
        if order != 0:
            n = slots_of(order)
        for t in range(n * thread // n_threads, n * (thread + 1) // n_threads):
            row = pair_at(order, n_expert, t) // per if order != 0 else t
            if row >= 0:
                at, to = x + 4 * width * row, out + tile_bytes * blocks * (t // 16) + 64 * (t % 16)
                for block in range(blocks):
                    left = width - PART * block
                    first, second = load_some_f32s(at, left), load_some_f32s(at + 64, left - 16)
                    keep(first, second, to + tile_bytes * block)
                    at += 4 * PART

    return pack


def packed_unpacker(format: str) -> Callable[..., None]:
    """Unpacks 32 n inputs of group g of 16 interleaved rows, from input 32 `first`."""
    part, zero = UNPACK[format].part, FAST[format].zero
    parts, block_bytes = by_name(format).block // PART, ROWS * by_name(format).block_bytes

    @inlined
    def unpack(w, g, n_out, n_in, first, n, to):
        w += (g * (n_in // (PART * parts)) + first // parts) * block_bytes
        for _ in range(n // parts):
            for k in range(parts):
                quads, scales, mins = part(w, k)
                store_bf16_pairs(to, quads, scales, mins, zero)
                to += TILE_BYTES
            w += block_bytes

    return unpack


def float_unpacker(format: str) -> Callable[..., None]:
    """As `packed_unpacker` where rows lie as in the file; what is behind the last repeats it.

    Each 32 inputs are a tile for each term: their high parts, once more, and their low parts.
    """
    (_, read_some, size), terms = READ[format], AMX_TERMS[format]

    @inlined
    def turn_pairs(pairs, w, row, last, n, left, to):
        store_turned(to, (
            pairs(w, row, last, n, left), pairs(w, row + 1, last, n, left),
            pairs(w, row + 2, last, n, left), pairs(w, row + 3, last, n, left),
            pairs(w, row + 4, last, n, left), pairs(w, row + 5, last, n, left),
            pairs(w, row + 6, last, n, left), pairs(w, row + 7, last, n, left),
            pairs(w, row + 8, last, n, left), pairs(w, row + 9, last, n, left),
            pairs(w, row + 10, last, n, left), pairs(w, row + 11, last, n, left),
            pairs(w, row + 12, last, n, left), pairs(w, row + 13, last, n, left),
            pairs(w, row + 14, last, n, left), pairs(w, row + 15, last, n, left),
        ))  # fmt: skip

    @inlined
    def high_pairs(w, row, last, row_bytes, left):
        at = w + min(row, last) * row_bytes
        first, second = read_some(at, left), read_some(at + 16 * size, left - 16)
        return bf16_pairs(upper_bf16s(first), upper_bf16s(second))

    @inlined
    def low_pairs(w, row, last, row_bytes, left):
        at = w + min(row, last) * row_bytes
        first, second = read_some(at, left), read_some(at + 16 * size, left - 16)
        return bf16_pairs(sub(first, upper_bf16s(first)), sub(second, upper_bf16s(second)))

    @inlined
    def unpack(w, g, n_out, n_in, first, count, to):
        row, last, n = ROWS * g, n_out - 1, size * n_in
        w += size * PART * (first // terms)
        for i in range(first // terms, (first + count) // terms):
            left = n_in - PART * i
            turn_pairs(high_pairs, w, row, last, n, left, to)
            turn_pairs(high_pairs, w, row, last, n, left, to + TILE_BYTES)
            if terms > 2:
                turn_pairs(low_pairs, w, row, last, n, left, to + 2 * TILE_BYTES)
            to += TILE_BYTES * terms
            w += size * PART

    return unpack


def multiplying(format: str) -> Callable[..., None]:
    unpack = float_unpacker(format) if format in FLOATS else packed_unpacker(format)

    size, block = READ[format][2] if format in FLOATS else 0, by_name(format).block
    terms, group_block = AMX_TERMS.get(format, 1), ROWS * by_name(format).block_bytes
    part_steps = max(terms, block // PART)
    step_limit = AMX_STEPS // part_steps * part_steps

    @inlined
    def hand_out(sums, n, out, n_out, bias, row, order, n_expert, slot):
        """Write one tile of 16 tokens x 16 rows of which only n and n_out - row may exist."""
        left = n_out - row
        extra = load_some_f32s(bias + 4 * row, left) if bias != 0 else splat_f32(0.0)
        for i in range(min(n, 16)):
            to = pair_at(order, n_expert, slot + i) if order != 0 else slot + i
            store_some_f32s(
                out + 4 * (n_out * to + row), add(load_f32s(sums + 64 * i), extra), left
            )

    @inlined
    def matrix_bytes(n_out, n_in):
        if size > 0:
            return size * n_out * n_in
        return (n_out + ROWS - 1) // ROWS * (n_in // block) * group_block

    def multiply(
        op, run, thread, n_threads,
        w: int, bias: int, x: int, out: int, n_out: int, n_in: int, rows: int, chunk: int,
        scratch: int, scratch_bytes: int, order: int, n_expert: int,
    ):  # fmt: skip
        n = load_i64(run + 8 * rows)
        groups, steps = (n_out + ROWS - 1) // ROWS, (n_in + PART - 1) // PART * terms
        passes = (steps + step_limit - 1) // step_limit
        most_steps = ((steps + passes - 1) // passes + part_steps - 1) // part_steps * part_steps
        sums = scratch + thread * scratch_bytes
        w0 = sums + scratch_bytes - 2 * TILE_BYTES * min(steps, AMX_STEPS)
        shape_tiles(sums)
        pieces, expert, slot = (groups + chunk - 1) // chunk, 0, 0
        jobs = pieces * (chosen_of(order) if order != 0 else min(n, 1))
        job = fetch_add(op + 8 * OP_COUNTER, 1)
        while job < jobs:
            first = job % pieces * chunk
            last = min(first + chunk, groups)
            if order != 0:
                expert, slot, n = chosen_at(order, n_expert, job // pieces)
            tiles, matrix = (n + 15) // 16, w + expert * matrix_bytes(n_out, n_in)
            add_from = bias + 4 * n_out * expert if bias != 0 else 0
            panel = x + TILE_BYTES * steps * (slot // 16)
            for step in range(0, steps, most_steps):
                some = min(most_steps, steps - step)
                for g in range(first, last, 2):
                    two = g + 1 < last
                    w1 = w0 + TILE_BYTES * some if two else w0
                    unpack(matrix, g, n_out, n_in, step, some, w0)
                    if two:
                        unpack(matrix, g + 1, n_out, n_in, step, some, w1)
                    for t in range(0, tiles, 2):
                        x0 = panel + TILE_BYTES * (steps * t + step)
                        x1 = x0 + TILE_BYTES * steps if t + 1 < tiles else x0
                        at = sums
                        if passes > 1:  # sums wait for their next inputs
                            at += TILE_BYTES * 2 * ((g - first) // 2 * (tiles + tiles % 2) + t)
                        if step == 0:
                            zero_tile(0)
                            zero_tile(1)
                            zero_tile(2)
                            zero_tile(3)
                        else:
                            fill_tile(0, at, 64)
                            fill_tile(1, at + TILE_BYTES, 64)
                            fill_tile(2, at + 2 * TILE_BYTES, 64)
                            fill_tile(3, at + 3 * TILE_BYTES, 64)
                        for i in range(0, TILE_BYTES * some, TILE_BYTES):
                            fill_tile(4, x0 + i, 64)
                            fill_tile(5, x1 + i, 64)
                            fill_tile(6, w0 + i, 64)
                            fill_tile(7, w1 + i, 64)
                            multiply_fours()
                        spill_tile(0, at, 64)
                        spill_tile(1, at + TILE_BYTES, 64)
                        spill_tile(2, at + 2 * TILE_BYTES, 64)
                        spill_tile(3, at + 3 * TILE_BYTES, 64)
                        if step + some == steps:
                            for i in range(4):
                                row, token = g + i % 2, 16 * (t + i // 2)
                                if row < last:
                                    hand_out(
                                        at + TILE_BYTES * i, n - token,
                                        out, n_out, add_from, ROWS * row,
                                        order, n_expert, slot + token,
                                    )  # fmt: skip
            job = fetch_add(op + 8 * OP_COUNTER, 1)
        release_tiles()

    return multiply
