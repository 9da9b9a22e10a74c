"""Rotations, and attention with what is kept of earlier tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vatra.engine.arena import Place
from vatra.engine.cpu_features import processor
from vatra.engine.kernels import layout
from vatra.engine.lowering.steps import Runs, rows_of
from vatra.models.plan import Attention, Rope

if TYPE_CHECKING:
    from vatra.engine.lowering import Lowering

ALL_AHEAD = 2**40  # positions after its own that a token sees where nothing limits them


def rope(low: Lowering, op: Rope) -> None:
    low.new(op.out)
    n_head, head_dim = op.x.shape
    low.step(
        "elementwise:rope",
        {"x": op.x, "angles": low.angles[turn(op)][1]},
        {"out": op.out},
        n_head=n_head,
        head_dim=head_dim,
        first=op.first,
        half=len(op.frequencies),
        interleaved=int(op.interleaved),
        rows=rows_of(op.x),
    )


def attention(low: Lowering, op: Attention) -> None:
    cache, n_caches = low.plan.caches.index(op.cache), len(low.plan.caches)
    (n_head, key_dim), n_head_kv, value_dim = op.q.shape, op.cache.n_head_kv, op.cache.value_dim
    # what belongs to a state, as places below the arena, so that `attend` waits for `store`
    memory, partials = Place(-1 - cache, 1), Place(-1 - n_caches, 1)
    sides = {"keys": ("keys", cache), "values": ("values", cache), "pages": ("pages", cache)}
    shared = {**sides, "partials": ("partials", 0)}
    shape: dict[str, Any] = {"key_dim": key_dim, "value_dim": value_dim}
    if op.k is not None:
        new = {"k": op.k} if op.v is None else {"k": op.k, "v": op.v}
        low.step(
            "attention:store,{kv}",
            {**new},
            {"": memory, "partials": partials},
            shared,
            of_sequence=True,
            n_head=n_head_kv,
            **shape | {"value_dim": op.cache.own_value_dim} | ({} if op.v else {"v": 0}),
        )
    low.new(op.out)
    shape |= {"n_head": n_head, "n_head_kv": n_head_kv, "scale": op.scale}
    window, ahead = op.cache.window or 0, 0 if op.causal else ALL_AHEAD
    if op.reach is not None:
        window, ahead = op.reach + 1, op.reach
    shape |= {
        "window": 0 if op.chunk else window,
        "ahead": ahead,
        "chunk": op.chunk or 0,
        "softcap": op.softcap or 0.0,
        "slopes": low.vector(op.slopes),
        "sinks": low.vector(op.sinks),
        "biases": low.vector(None if op.biases is None else layout.padded_biases(op.biases)),
        "far": 0 if op.biases is None else op.biases.shape[1] // 2,
    }
    many = processor().matrix_tiles
    in_keys = ",in_keys" if op.cache.in_keys else ""
    scratch_bytes = layout.attention_scratch(n_head // n_head_kv, key_dim, value_dim)
    scratch = low.arena.take(scratch_bytes * low.n_threads)
    low.step(
        "attention:attend,{kv}" + in_keys,
        {"q": op.q, "": memory},
        {"out": op.out, "scratch": scratch, "partials": partials},
        shared,
        of_sequence=True,
        runs=Runs.FEW if many else Runs.ALL,
        scratch_bytes=scratch_bytes,
        **shape,
    )
    low.arena.give(scratch)
    if many:
        scratch_bytes = layout.amx_attention_scratch(key_dim, value_dim)
        scratch = low.arena.take(scratch_bytes * low.n_threads)
        low.step(
            "amx_attention:{kv}" + in_keys,
            {"q": op.q, "": memory},
            {"out": op.out, "scratch": scratch},
            sides,
            of_sequence=True,
            runs=Runs.SOME | Runs.MANY,
            scratch_bytes=scratch_bytes,
            **shape,
        )
        low.arena.give(scratch)


def turn(op: Rope) -> tuple[int, float]:
    """What rotations that share their sines have in common; the plan keeps the array's id taken."""
    return id(op.frequencies), op.magnitude
