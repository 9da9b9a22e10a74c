"""Products of many tokens by AMX: `amx:pack` writes activations, `amx:<format>` multiplies them.

Activations and weights are rounded to bf16, sums are float32: nearer to it than the bytes of
`matmul`, and without that kernel's work between blocks. A tile has 16 rows of 64 bytes. 16 tokens
x 32 inputs of packed activations are one tile, inputs that are not there being zero. 16 rows of
weights are unpacked as a whole, 16 pairs of inputs x 16 rows a tile, and then serve all tokens.
"""

from __future__ import annotations

from collections.abc import Callable

from vatra.engine.kernels.lanes import inlined
from vatra.engine.kernels.layout import (
    AMX_SUMS,
    FAST,
    FLOATS,
    OP_COUNTER,
    PART,
    ROWS,
    TILE_BYTES,
)
from vatra.engine.kernels.matmul_float import READ
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
    zero_tile,
)
from vatra.quant.registry import by_name


def kernel(which: str) -> Callable[..., None]:
    return packing() if which == "pack" else multiplying(which)


def packing() -> Callable[..., None]:
    def pack(op, run, thread, n_threads, x: int, out: int, width: int, rows: int):
        n, blocks = load_i64(run + 8 * rows), (width + PART - 1) // PART
        for t in range(n * thread // n_threads, n * (thread + 1) // n_threads):
            at, to = x + 4 * width * t, out + TILE_BYTES * blocks * (t // 16) + 64 * (t % 16)
            for block in range(blocks):
                left = width - PART * block
                pairs = bf16_pairs(load_some_f32s(at, left), load_some_f32s(at + 64, left - 16))
                store_i32s(to + TILE_BYTES * block, pairs)
                at += 4 * PART

    return pack


def packed_unpacker(format: str) -> Callable[..., None]:
    """Unpacks group g of 16 interleaved rows."""
    part, zero = UNPACK[format].part, FAST[format].zero
    parts, block_bytes = by_name(format).block // PART, ROWS * by_name(format).block_bytes

    @inlined
    def unpack(w, g, n_out, n_in, to):
        n_blocks = n_in // (PART * parts)
        w += g * n_blocks * block_bytes
        for _ in range(n_blocks):
            for k in range(parts):
                quads, scales, mins = part(w, k)
                store_bf16_pairs(to, quads, scales, mins, zero)
                to += TILE_BYTES
            w += block_bytes

    return unpack


def float_unpacker(format: str) -> Callable[..., None]:
    """Unpacks 16 rows of floats that lie as in the file; what is behind the last repeats it."""
    _, read_some, size = READ[format]

    @inlined
    def pairs(w, row, last, row_bytes, left):
        at = w + min(row, last) * row_bytes
        return bf16_pairs(read_some(at, left), read_some(at + 16 * size, left - 16))

    @inlined
    def unpack(w, g, n_out, n_in, to):
        row, last, n = ROWS * g, n_out - 1, size * n_in
        for left in range(n_in, 0, -PART):
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
            to += TILE_BYTES
            w += size * PART

    return unpack


def multiplying(format: str) -> Callable[..., None]:
    unpack = float_unpacker(format) if format in FLOATS else packed_unpacker(format)

    @inlined
    def hand_out(sums, n, out, n_out, bias, row):
        """Write one tile of 16 tokens x 16 rows of which only n and n_out - row may exist."""
        left = n_out - row
        extra = load_some_f32s(bias + 4 * row, left) if bias != 0 else splat_f32(0.0)
        for i in range(min(n, 16)):
            store_some_f32s(out + 4 * (n_out * i + row), add(load_f32s(sums + 64 * i), extra), left)

    def multiply(
        op, run, thread, n_threads,
        w: int, bias: int, x: int, out: int, n_out: int, n_in: int, rows: int, chunk: int,
        scratch: int, scratch_bytes: int,
    ):  # fmt: skip
        n = load_i64(run + 8 * rows)
        groups, tiles, steps = (n_out + ROWS - 1) // ROWS, (n + 15) // 16, (n_in + PART - 1) // PART
        sums = scratch + thread * scratch_bytes
        w0 = sums + AMX_SUMS
        # palette 1; 8 tiles of 64 bytes and 16 rows
        for i in range(8):
            store_i64(sums + 8 * i, 0)
        store_i64(sums, 1)
        store_i64(sums + 16, 0x0040004000400040)
        store_i64(sums + 24, 0x0040004000400040)
        store_i64(sums + 48, 0x1010101010101010)
        configure_tiles(sums)
        first = fetch_add(op + 8 * OP_COUNTER, chunk)
        while first < groups:
            last = min(first + chunk, groups)
            for g in range(first, last, 2):
                two = g + 1 < last
                w1 = w0 + TILE_BYTES * steps if two else w0
                unpack(w, g, n_out, n_in, w0)
                if two:
                    unpack(w, g + 1, n_out, n_in, w1)
                for t in range(0, tiles, 2):
                    x0 = x + TILE_BYTES * steps * t
                    x1 = x0 + TILE_BYTES * steps if t + 1 < tiles else x0
                    zero_tile(0)
                    zero_tile(1)
                    zero_tile(2)
                    zero_tile(3)
                    for at in range(0, TILE_BYTES * steps, TILE_BYTES):
                        fill_tile(4, w0 + at, 64)
                        fill_tile(5, w1 + at, 64)
                        fill_tile(6, x0 + at, 64)
                        fill_tile(7, x1 + at, 64)
                        multiply_tiles(0, 6, 4)
                        multiply_tiles(1, 6, 5)
                        multiply_tiles(2, 7, 4)
                        multiply_tiles(3, 7, 5)
                    spill_tile(0, sums, 64)
                    spill_tile(1, sums + TILE_BYTES, 64)
                    spill_tile(2, sums + 2 * TILE_BYTES, 64)
                    spill_tile(3, sums + 3 * TILE_BYTES, 64)
                    for i in range(4):
                        row, token = g + i % 2, t + i // 2
                        if row < last:
                            hand_out(
                                sums + TILE_BYTES * i, n - 16 * token,
                                out + 4 * n_out * 16 * token, n_out, bias, ROWS * row,
                            )  # fmt: skip
            first = fetch_add(op + 8 * OP_COUNTER, chunk)
        release_tiles()

    return multiply
