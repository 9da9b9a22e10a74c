"""Which experts each token goes through, and how much each of them counts."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

from numba import float32, int32

from vatra.engine.kernels.activations import sigmoid, softplus
from vatra.engine.kernels.lanes import inlined
from vatra.engine.simd import (
    add,
    exp,
    first_of,
    load_f32,
    load_i32,
    load_i64,
    load_some_f32s,
    splat_f32,
    store_f32,
    store_i32,
    store_some_f32s,
    sub,
    sum_f32s,
)

CHOSEN = -1e38  # the rank of what is chosen already, or may not be


@inlined
def plain(x):
    return x


GATES: dict[str, Any] = {"sigmoid": sigmoid, "sqrt_softplus": softplus, "chosen_softmax": plain}


def kernel(gating: str) -> Callable[..., None]:
    softmax, rooted, late = (gating == g for g in ("softmax", "sqrt_softplus", "chosen_softmax"))
    gate = GATES.get(gating, plain)

    def choose(
        op, run, thread, n_threads,
        scores: int, bias: int, factors: int, ranks: int, out: int, weights: int,
        n_expert: int, k: int, n_group: int, n_group_used: int,
        normalise: int, scale: float, rows: int,
    ):  # fmt: skip
        """`ranks` is room for two rows of n_expert and one of n_group values for each token."""
        n = load_i64(run + 8 * rows)
        for t in range(n * thread // n_threads, n * (thread + 1) // n_threads):
            at = scores + 4 * n_expert * t
            p = ranks + 4 * (2 * n_expert + n_group) * t
            rank = p + 4 * n_expert
            best_of = rank + 4 * n_expert
            peak = load_f32(at)
            for e in range(1, n_expert):
                peak = max(peak, load_f32(at + 4 * e))
            total = splat_f32(0.0)
            for e in range(0, n_expert, 16):
                left = n_expert - e
                v = load_some_f32s(at + 4 * e, left)
                v = exp(sub(v, splat_f32(peak))) if softmax else gate(v)
                store_some_f32s(p + 4 * e, v, left)
                total = add(total, load_some_f32s(p + 4 * e, left))
            whole = sum_f32s(total) if softmax else float32(1.0)
            for e in range(n_expert):
                share = load_f32(p + 4 * e) / whole
                if rooted:
                    share = float32(sqrt(share))
                store_f32(p + 4 * e, share)
                if bias != 0:
                    share += load_f32(bias + 4 * e)
                store_f32(rank + 4 * e, share)
            if n_group > 1:
                keep_groups(rank, best_of, n_expert // n_group, n_group, n_group_used)
            sum_of_chosen, high = float32(0.0), float32(0.0)
            for i in range(k):
                expert = highest_of(rank, n_expert)
                store_f32(rank + 4 * expert, float32(CHOSEN))
                share = load_f32(p + 4 * expert)
                if late:
                    if i == 0:
                        high = share
                    share = first_of(exp(splat_f32(share - high)))
                store_i32(out + 4 * (k * t + i), int32(expert))
                store_f32(weights + 4 * (k * t + i), share)
                sum_of_chosen += share
            factor = float32(scale)
            if late:
                factor = factor / sum_of_chosen
            elif normalise != 0:
                factor = factor / max(sum_of_chosen, float32(2.0**-14))
            for i in range(k):
                to = weights + 4 * (k * t + i)
                own = factor
                if factors != 0:
                    own *= load_f32(factors + 4 * load_i32(out + 4 * (k * t + i)))
                store_f32(to, load_f32(to) * own)

    return choose


@inlined
def highest_of(rank, n):
    """The first of the highest; the first of all if none is above what is chosen."""
    best, which = load_f32(rank), 0
    for e in range(1, n):
        value = load_f32(rank + 4 * e)
        if value > best:
            best, which = value, e
    return which


@inlined
def keep_groups(rank, best_of, size, n_group, n_used):
    """Put out of reach the ranks of all groups but the n_used with the best two."""
    for g in range(n_group):
        first, second = float32(CHOSEN), float32(CHOSEN)
        for e in range(size):
            value = load_f32(rank + 4 * (size * g + e))
            if value > first:
                first, second = value, first
            elif value > second:
                second = value
        store_f32(best_of + 4 * g, first + second if size > 1 else first)
    for _ in range(n_used):
        g = highest_of(best_of, n_group)
        store_f32(best_of + 4 * g, float32(2.0 * CHOSEN))
    for g in range(n_group):
        if load_f32(best_of + 4 * g) > float32(CHOSEN) * float32(1.5):
            for e in range(size):
                store_f32(rank + 4 * (size * g + e), float32(CHOSEN))
