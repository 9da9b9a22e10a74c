"""How much work a plan is on any machine: multiply-adds, and bytes that must be read."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from vatra.models.plan import Attention, Embed, ExpertLinear, HeadLinear, KVCache, Linear, Op, Plan


def bytes_per_token(plan: Plan, kept: Callable[[KVCache], int], position: float) -> int:
    """Bytes of weights, and of KV caches of `kept` bytes a token, that one at `position` reads."""
    total = sum(weight_bytes(op) for op in plan.ops)
    read = (op.cache for op in plan.ops if isinstance(op, Attention))
    return round(total + sum(kept(cache) * _seen(cache, position) for cache in read))


def weight_bytes(op: Op) -> float:
    """Bytes of weights that `op` reads for one token."""
    if isinstance(op, Linear | HeadLinear):
        return op.weight.nbytes
    if isinstance(op, ExpertLinear):
        return op.weight.nbytes * op.experts.width / op.weight.shape[0]
    return op.weight.nbytes / op.weight.n_rows if isinstance(op, Embed) else 0.0


def weight_products(op: Op) -> int:
    """Multiply-adds of weights and activations that `op` makes for one token."""
    if isinstance(op, Linear | HeadLinear):
        return prod(op.weight.shape)
    return op.experts.width * prod(op.weight.shape[1:]) if isinstance(op, ExpertLinear) else 0


def multiply_adds(plan: Plan, n_tokens: int, position: int = 0) -> int:
    """Multiply-adds of reading `n_tokens` after `position` others, with logits after the last.

    Products of weights, and of queries, keys and values; all else is small beside them.
    """
    total = 0
    for op in plan.ops:
        total += weight_products(op) * (1 if op.out.outputs_only else n_tokens)
        if isinstance(op, Attention):
            pairs = sum(_seen(op.cache, position + i) for i in range(1, n_tokens + 1))
            total += round(pairs) * op.q.shape[0] * (op.cache.key_dim + op.cache.value_dim)
    return total


def _seen(cache: KVCache, position: float) -> float:
    """Tokens that are read of `position` in a cache."""
    return position if cache.window is None else min(position, cache.window)
