"""Reading memory as fast as it goes, to know what a decoded token could cost at best."""

from __future__ import annotations

from collections.abc import Callable

from vatra.engine.kernels.layout import OP_COUNTER
from vatra.engine.simd import add, fetch_add, load_grid, prefetch, splat_f32, store_f32s, zeros

AHEAD = 1024  # bytes; two streams at once, or other distances, were no faster


def kernel() -> Callable[..., None]:
    def bandwidth(op, run, thread, n_threads, data: int, n_chunks: int, chunk_bytes: int, out: int):
        sums = zeros(8)
        chunk = fetch_add(op + 8 * OP_COUNTER, 1)
        while chunk < n_chunks:
            at = data + chunk * chunk_bytes
            for i in range(0, chunk_bytes, 512):
                for line in range(0, 512, 64):
                    prefetch(at + i + AHEAD + line)
                sums = add(sums, load_grid(at + i, 512, 1, 8))
            chunk = fetch_add(op + 8 * OP_COUNTER, 1)
        total = splat_f32(0.0)
        for part in sums:
            total = add(total, part)
        store_f32s(out + 64 * thread, total)

    return bandwidth
