"""The tokens of each expert: `order` sorts what was chosen, and products of experts go by it.

An order is int32 words: how many slots there are; how many experts were chosen; for each expert a
word that only `order` needs; for each chosen one its number, its first slot, a multiple of `align`,
and how many (token, choice) pairs chose it; for each slot its pair, or -1 if it is empty. Pairs of
an expert stay in their order.
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
def chosen_of(order):
    """How many experts were chosen."""
    return load_i32(order + 4)


@inlined
def chosen_at(order, n_expert, i):
    """Of the i-th expert that was chosen: its number, its first slot, how many pairs it has."""
    at = order + 8 + 4 * n_expert + 12 * i
    return load_i32(at), load_i32(at + 4), load_i32(at + 8)


@inlined
def pairs_at(order, n_expert, slot):
    """The address of the pair in a slot; those of later slots follow."""
    return order + 8 + 16 * n_expert + 4 * slot


@inlined
def pair_at(order, n_expert, slot):
    return load_i32(pairs_at(order, n_expert, slot))


def kernel() -> Callable[..., None]:
    def sort(
        op, run, thread, n_threads,
        chosen: int, out: int, n_expert: int, k: int, align: int, rows: int,
    ):  # fmt: skip
        if thread == 0:
            pairs, tally, slot_0 = load_i64(run + 8 * rows) * k, out + 8, pairs_at(out, n_expert, 0)
            for e in range(n_expert):
                store_i32(tally + 4 * e, int32(0))
            for pair in range(pairs):
                at = tally + 4 * load_i32(chosen + 4 * pair)
                store_i32(at, load_i32(at) + int32(1))
            slots, to = 0, tally + 4 * n_expert
            for e in range(n_expert):
                count = load_i32(tally + 4 * e)
                if count == 0:
                    continue
                store_i32(to, int32(e))
                store_i32(to + 4, int32(slots))
                store_i32(to + 8, count)
                store_i32(tally + 4 * e, int32(slots))  # where its next pair goes
                end = slots + (count + align - 1) // align * align
                for slot in range(slots + count, end):
                    store_i32(slot_0 + 4 * slot, int32(-1))
                slots, to = end, to + 12
            store_i32(out, int32(slots))
            store_i32(out + 4, int32((to - tally - 4 * n_expert) // 12))
            for pair in range(pairs):
                at = tally + 4 * load_i32(chosen + 4 * pair)
                slot = load_i32(at)
                store_i32(slot_0 + 4 * slot, int32(pair))
                store_i32(at, slot + int32(1))

    return sort
