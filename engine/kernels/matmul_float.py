"""Products of F32, F16 or BF16 weights, in their file's order, and float32 activations.

A tile is 4 rows x T tokens; lanes run along the weights of a row. Variants: `<format>,<T>`, and
`<format>,1,experts` for each expert and the tokens that chose it, in the slots of an `order`.
"""

from __future__ import annotations

from collections.abc import Callable

from vatra.engine.kernels.lanes import inlined
from vatra.engine.kernels.layout import FLOAT_ROWS as ROWS
from vatra.engine.kernels.layout import OP_COUNTER
from vatra.engine.kernels.order import chosen_at, chosen_of, pair_at
from vatra.engine.simd import (
    fetch_add,
    load_bf16s,
    load_f16s,
    load_f32s,
    load_i64,
    load_some_bf16s,
    load_some_f16s,
    load_some_f32s,
    load_tile,
    load_tile_some,
    outer_tile,
    store_sums,
    zeros,
)

READ = {  # 16 weights, the first n of 16, bytes of one
    "f32": (load_f32s, load_some_f32s, 4),
    "f16": (load_f16s, load_some_f16s, 2),
    "bf16": (load_bf16s, load_some_bf16s, 2),
}


def rows_times_tile(format: str, tokens: int) -> Callable[..., object]:
    """The product of 4 rows and `tokens` activations, as 4 x tokens vectors to be summed."""
    read, read_some, size = READ[format]
    count = ROWS * tokens

    @inlined
    def product(r0, r1, r2, r3, x, stride, n_in):
        sums = zeros(count)
        i = 0
        while i + 16 <= n_in:
            at = size * i
            rows = (read(r0 + at), read(r1 + at), read(r2 + at), read(r3 + at))
            sums = outer_tile(sums, rows, load_tile(x + 4 * i, stride, tokens))
            i += 16
        if i < n_in:
            at, n = size * i, n_in - i
            rows = (
                read_some(r0 + at, n), read_some(r1 + at, n),
                read_some(r2 + at, n), read_some(r3 + at, n),
            )  # fmt: skip
            sums = outer_tile(sums, rows, load_tile_some(x + 4 * i, stride, tokens, n))
        return sums

    return product


def kernel(format: str, tokens: str, of: str = "") -> Callable[..., None]:
    many = int(tokens)
    by_tile, by_one = rows_times_tile(format, many), rows_times_tile(format, 1)
    size = READ[format][2]

    def matmul_float(
        op, run, thread, n_threads,
        w: int, bias: int, x: int, out: int, n_out: int, n_in: int, rows: int, chunk: int,
    ):  # fmt: skip
        n = load_i64(run + 8 * rows)
        row_bytes = size * n_in
        groups = (n_out + ROWS - 1) // ROWS
        first = fetch_add(op + 8 * OP_COUNTER, chunk)
        while first < groups:
            for g in range(first, min(first + chunk, groups)):
                row, last = ROWS * g, n_out - 1  # a short last group repeats its last row
                r0, r1 = w + row * row_bytes, w + min(row + 1, last) * row_bytes
                r2, r3 = w + min(row + 2, last) * row_bytes, w + min(row + 3, last) * row_bytes
                add = bias + 4 * row if bias != 0 else 0
                t = 0
                while n - t >= many:
                    sums = by_tile(r0, r1, r2, r3, x + 4 * n_in * t, 4 * n_in, n_in)
                    to = out + 4 * (n_out * t + row)
                    store_sums(to, 4 * n_out, sums, many, add, n_out - row, many)
                    t += many
                while t < n:
                    one = by_one(r0, r1, r2, r3, x + 4 * n_in * t, 4 * n_in, n_in)
                    store_sums(out + 4 * (n_out * t + row), 0, one, 1, add, n_out - row, 1)
                    t += 1
            first = fetch_add(op + 8 * OP_COUNTER, chunk)

    def experts_float(
        op, run, thread, n_threads,
        w: int, bias: int, order: int, n_expert: int, per: int,
        x: int, out: int, n_out: int, n_in: int, chunk: int,
    ):  # fmt: skip
        """Pairs of an `order` take row pair // `per`, one by one while their weights are near."""
        row_bytes = size * n_in
        groups = (n_out + ROWS - 1) // ROWS
        pieces = (groups + chunk - 1) // chunk
        jobs = pieces * chosen_of(order)
        job = fetch_add(op + 8 * OP_COUNTER, 1)
        while job < jobs:
            expert, slot, n = chosen_at(order, n_expert, job // pieces)
            base, first = w + expert * n_out * row_bytes, job % pieces * chunk
            for g in range(first, min(first + chunk, groups)):
                row, last = ROWS * g, n_out - 1
                r0, r1 = base + row * row_bytes, base + min(row + 1, last) * row_bytes
                r2, r3 = (
                    base + min(row + 2, last) * row_bytes,
                    base + min(row + 3, last) * row_bytes,
                )
                add = bias + 4 * (expert * n_out + row) if bias != 0 else 0
                for i in range(slot, slot + n):
                    pair = pair_at(order, n_expert, i)
                    one = by_one(r0, r1, r2, r3, x + 4 * n_in * (pair // per), 0, n_in)
                    store_sums(out + 4 * (n_out * pair + row), 0, one, 1, add, n_out - row, 1)
            job = fetch_add(op + 8 * OP_COUNTER, 1)

    return experts_float if of == "experts" else matmul_float
