"""Norms, along the last axis of what they are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vatra.engine.lowering.steps import rows_of
from vatra.engine.lowering.values import scaled
from vatra.models import plan as ops

if TYPE_CHECKING:
    from vatra.engine.lowering import Lowering


def rms_norm(low: Lowering, op: ops.RmsNorm) -> None:
    width = op.x.shape[-1]
    weight = np.ones(width, np.float32) if op.weight is None else op.weight
    one_for_all = weight.ndim == 1 and weight.size == width
    low.new(op.out)
    low.step(
        "elementwise:rms_norm",
        {"x": op.x},
        {"out": op.out},
        weight=low.vector(weight if one_for_all else np.ones(width, np.float32)),
        width=width,
        rows=rows_of(op.x),
        per_row=op.x.width // width,
        eps=op.eps,
    )
    if not one_for_all:
        scaled(low, op.out, op.out, weight, None, 1.0)


def layer_norm(low: Lowering, op: ops.LayerNorm) -> None:
    width = op.x.shape[-1]
    one_for_all = all(a is None or a.ndim == 1 for a in (op.weight, op.bias))
    low.new(op.out)
    low.step(
        "norms:layer_norm",
        {"x": op.x},
        {"out": op.out},
        weight=low.vector(op.weight if one_for_all else None),
        bias=low.vector(op.bias if one_for_all else None),
        width=width,
        rows=rows_of(op.x),
        per_row=op.x.width // width,
        eps=op.eps,
    )
    if not one_for_all:
        scaled(low, op.out, op.out, op.weight, op.bias, 1.0)


def l2_norm(low: Lowering, op: ops.L2Norm) -> None:
    width = op.x.shape[-1]
    low.new(op.out)
    low.step(
        "norms:l2_norm",
        {"x": op.x},
        {"out": op.out},
        width=width,
        rows=rows_of(op.x),
        per_row=op.x.width // width,
        eps=op.eps,
    )
