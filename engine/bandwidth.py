"""How fast this machine reads memory: what a decoded token costs at the least."""

from __future__ import annotations

import time

import numpy as np

from vatra.engine import jit
from vatra.engine.kernels.layout import OP_WORDS
from vatra.engine.memory import available
from vatra.engine.threads import Pool, op_row, thread_count

SIZE = 1 << 30  # more than any processor's own share of a cache
CHUNK = 1 << 20
PASSES = 5


def measure(threads: int | None = None) -> float:
    """Bytes per second that all `threads` together read from memory: the best of a few passes."""
    pool = Pool(thread_count(threads))
    left = available()
    size = min(SIZE, max(64 << 20, left.n_bytes // 4 if left else SIZE)) // CHUNK * CHUNK
    data = np.ones(size, np.uint8)
    sums = np.zeros(16 * pool.n_threads, np.float32)
    row = op_row(
        jit.load(["bandwidth:"])["bandwidth:"],
        data=data.ctypes.data,
        n_chunks=size // CHUNK,
        chunk_bytes=CHUNK,
        out=sums.ctypes.data,
    )
    best = 0.0
    for _ in range(PASSES):
        start = time.perf_counter()
        pool.run(row.reshape(1, OP_WORDS))
        best = max(best, size / (time.perf_counter() - start))
    pool.close()
    return best
