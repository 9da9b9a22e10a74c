"""Which experts a token goes through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vatra.engine.lowering.steps import rows_of
from vatra.models import plan as ops

if TYPE_CHECKING:
    from vatra.engine.lowering import Lowering


def top_experts(low: Lowering, op: ops.TopExperts) -> None:
    low.new(op.out)
    low.new(op.weights)
    n_expert = op.scores.width
    ranks = low.arena.take(4 * (2 * n_expert + op.n_group) * low.most)
    low.step(
        f"experts:{op.gating}",
        {"scores": op.scores},
        {"out": op.out, "weights": op.weights, "ranks": ranks},
        bias=low.vector(op.bias),
        factors=low.vector(op.factors),
        n_expert=n_expert,
        k=op.out.width,
        n_group=op.n_group,
        n_group_used=op.n_group_used,
        normalise=int(op.normalise),
        scale=op.scale,
        rows=rows_of(op.out),
    )
    low.arena.give(ranks)


def weighted_sum(low: Lowering, op: ops.WeightedSum) -> None:
    low.values(
        "elementwise:weighted_sum",
        op.out,
        {"x": op.x, "weights": op.weights},
        k=op.weights.width,
    )
