"""The executor's loop: every thread walks the op table and meets the others at barriers."""

from __future__ import annotations

from collections.abc import Callable

from numba import njit

from vatra.engine.kernels.layout import (
    OP_BARRIER,
    OP_KERNEL,
    OP_RUN,
    OP_WORDS,
    RUN_ABORT,
    RUN_ARRIVED,
    RUN_BEGAN,
    RUN_CYCLES,
    RUN_ENDED,
    RUN_LAST,
    RUN_N_OPS,
    RUN_OPS,
    RUN_TURN,
    RUN_WAITED,
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
    for _ in range(SPINS):
        if load_acquire(turn) != before:
            return
        relax()
    began = cycles()
    while load_acquire(turn) == before:
        call_void(load_i64(run + 8 * RUN_YIELD))
    fetch_add(run + 8 * RUN_WAITED, cycles() - began)


def kernel() -> Callable[..., None]:
    def loop(op, run, thread, n_threads):
        at = load_i64(run + 8 * RUN_OPS)
        profile = load_i64(run + 8 * RUN_CYCLES)
        if thread == 0:
            store_i64(run + 8 * RUN_BEGAN, cycles())
            if profile != 0:
                store_i64(profile, cycles())
        for i in range(load_i64(run + 8 * RUN_N_OPS)):
            own = load_i64(at + 8 * OP_RUN)
            block = own if own != 0 else run
            call_kernel(load_i64(at + 8 * OP_KERNEL), at, block, thread, n_threads)
            if load_i64(at + 8 * OP_BARRIER) != 0:
                # Thread 0 alone decides where to stop, before it arrives: all see the same number.
                if thread == 0 and load_acquire(run + 8 * RUN_ABORT) != 0:
                    store_release(run + 8 * RUN_LAST, i)
                barrier(run, n_threads)
                if load_acquire(run + 8 * RUN_LAST) <= i:
                    return
            if thread == 0 and profile != 0:
                store_i64(profile + 8 * i + 8, cycles())
            at += 8 * OP_WORDS
        if thread == 0:
            store_i64(run + 8 * RUN_ENDED, cycles())

    return loop
