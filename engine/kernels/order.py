"""The tokens of each expert: `order` sorts what was chosen, products of many tokens go by it.

An order is int32 words: how many slots there are; for each expert its first slot, a multiple of
`align`, and how many (token, choice) pairs chose it; for each slot its pair, or -1 if it is empty.
Pairs of an expert stay in their order.
"""

from __future__ import annotations

from collections.abc import Callable

from numba import int32

from vatra.engine.kernels.lanes import inlined
from vatra.engine.simd import load_i32, load_i64, store_i32


@inlined
def slots_of(order):
    return load_i32(order)


@inlined
def first_slot(order, expert):
    return load_i32(order + 4 + 8 * expert)


@inlined
def tokens_of(order, expert):
    return load_i32(order + 8 + 8 * expert)


@inlined
def pairs_at(order, n_expert, slot):
    """The address of the pair in a slot; those of later slots follow."""
    return order + 4 + 8 * n_expert + 4 * slot


@inlined
def pair_at(order, n_expert, slot):
    return load_i32(pairs_at(order, n_expert, slot))


def kernel() -> Callable[..., None]:
    def sort(
        op, run, thread, n_threads,
        chosen: int, out: int, n_expert: int, k: int, align: int, rows: int,
    ):  # fmt: skip
        pairs = load_i64(run + 8 * rows) * k
        if thread == 0 and pairs > 0:
            for e in range(n_expert):
                store_i32(out + 8 + 8 * e, int32(0))
            for pair in range(pairs):
                at = out + 8 + 8 * load_i32(chosen + 4 * pair)
                store_i32(at, load_i32(at) + int32(1))
            slots, slot_0 = 0, pairs_at(out, n_expert, 0)
            for e in range(n_expert):
                count = tokens_of(out, e)
                store_i32(out + 4 + 8 * e, int32(slots))
                store_i32(out + 8 + 8 * e, int32(0))
                end = slots + (count + align - 1) // align * align
                for slot in range(slots + count, end):
                    store_i32(slot_0 + 4 * slot, int32(-1))
                slots = end
            store_i32(out, int32(slots))
            for pair in range(pairs):
                e = load_i32(chosen + 4 * pair)
                count = tokens_of(out, e)
                store_i32(slot_0 + 4 * (first_slot(out, e) + count), int32(pair))
                store_i32(out + 8 + 8 * e, int32(count + 1))

    return sort
