"""Copying weights into the order that `matmul` reads: 16 rows, interleaved field by field."""

from __future__ import annotations

from collections.abc import Callable

from vatra.engine.kernels.lanes import inlined
from vatra.engine.kernels.layout import OP_COUNTER, ROWS
from vatra.engine.simd import (
    fetch_add,
    load_i8,
    load_i16,
    load_i32,
    load_i64,
    store_i8,
    store_i16,
    store_i32,
)


@inlined
def turn(at, to, size, n_rows, row_bytes):
    """Copy one piece of each row side by side."""
    if size == 4:
        for r in range(n_rows):
            store_i32(to + 4 * r, load_i32(at + r * row_bytes))
    elif size == 2:
        for r in range(n_rows):
            store_i16(to + 2 * r, load_i16(at + r * row_bytes))
    else:
        for r in range(n_rows):
            store_i8(to + r, load_i8(at + r * row_bytes))


def kernel() -> Callable[..., None]:
    def relayout(
        op, run, thread, n_threads,
        w: int, out: int, n_matrices: int, n_out: int, n_blocks: int, block_bytes: int,
        pieces: int, n_pieces: int, chunk: int,
    ):  # fmt: skip
        """`pieces`: (offset in the block, 1, 2 or 4 bytes) as int64 pairs, in the block's order."""
        per_matrix = (n_out + ROWS - 1) // ROWS
        groups, row_bytes = n_matrices * per_matrix, n_blocks * block_bytes
        first = fetch_add(op + 8 * OP_COUNTER, chunk)
        while first < groups:
            for g in range(first, min(first + chunk, groups)):
                matrix, row = g // per_matrix, g % per_matrix * ROWS
                left = min(ROWS, n_out - row)
                base, to = w + (matrix * n_out + row) * row_bytes, out + g * ROWS * row_bytes
                for block in range(n_blocks):
                    for i in range(n_pieces):
                        at = base + block * block_bytes + load_i64(pieces + 16 * i)
                        size = load_i64(pieces + 16 * i + 8)
                        if left == ROWS:  # a known count, which is unrolled
                            turn(at, to, size, ROWS, row_bytes)
                        else:
                            turn(at, to, size, left, row_bytes)
                        to += size * ROWS
            first = fetch_add(op + 8 * OP_COUNTER, chunk)

    return relayout
