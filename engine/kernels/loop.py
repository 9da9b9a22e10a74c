"""The executor's loop: every thread walks the op table and meets the others at barriers."""

from __future__ import annotations

from collections.abc import Callable

from numba import njit

from vatra.engine.kernels.layout import (
    OP_BARRIER,
    OP_KERNEL,
    OP_WORDS,
    RUN_ABORT,
    RUN_ARRIVED,
    RUN_CYCLES,
    RUN_LAST,
    RUN_N_OPS,
    RUN_OPS,
    RUN_TURN,
    RUN_YIELD,
)
from vatra.engine.simd import (
    call_kernel,
    call_void,
    cycles,
    fetch_add,
    load_acquire,
    load_i64,
    relax,
    store_i64,
    store_release,
)

SPINS = 100  # a few us; by then there are more threads than cores, or a busy neighbour


@njit(forceinline=True)
def barrier(run, n_threads):
    arrived, turn = run + 8 * RUN_ARRIVED, run + 8 * RUN_TURN
    before = load_acquire(turn)
    if fetch_add(arrived, 1) == n_threads - 1:
        store_release(arrived, 0)
        store_release(turn, before + 1)
        return
    spins = 0
    while load_acquire(turn) == before:
        spins += 1
        if spins < SPINS:
            relax()
        else:
            call_void(load_i64(run + 8 * RUN_YIELD))


def kernel() -> Callable[..., None]:
    def loop(op, run, thread, n_threads):
        at = load_i64(run + 8 * RUN_OPS)
        profile = load_i64(run + 8 * RUN_CYCLES)
        for i in range(load_i64(run + 8 * RUN_N_OPS)):
            call_kernel(load_i64(at + 8 * OP_KERNEL), at, run, thread, n_threads)
            if load_i64(at + 8 * OP_BARRIER) != 0:
                # Thread 0 alone decides where to stop, before it arrives: all see the same number.
                if thread == 0 and load_acquire(run + 8 * RUN_ABORT) != 0:
                    store_release(run + 8 * RUN_LAST, i)
                barrier(run, n_threads)
                if load_acquire(run + 8 * RUN_LAST) <= i:
                    return
            if thread == 0 and profile != 0:
                store_i64(profile + 8 * i, cycles())
            at += 8 * OP_WORDS

    return loop
