"""Functions of one or two values, applied to all, and sums of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vatra.engine.lowering.steps import rows_of
from vatra.models import plan as ops
from vatra.models.plan import Tensor

if TYPE_CHECKING:
    from vatra.engine.lowering import Lowering

Array = np.ndarray


def add(low: Lowering, op: ops.Add) -> None:
    low.values("elementwise:add", op.out, {"x": op.x, "y": op.y})


def mul(low: Lowering, op: ops.Mul) -> None:
    if op.x.shape == op.y.shape:
        low.values("elementwise:mul", op.out, {"x": op.x, "y": op.y})
        return
    low.new(op.out)
    width = op.x.shape[-1]
    low.step(
        "elementwise:mul_rows",
        {"x": op.x, "y": op.y},
        {"out": op.out},
        width=width,
        rows=rows_of(op.out),
        per_row=op.x.width // width,
    )


def scale(low: Lowering, op: ops.Scale) -> None:
    low.new(op.out)
    scaled(low, op.x, op.out, op.weight, op.bias, op.factor)


def activation(low: Lowering, op: ops.Activation) -> None:
    low.values(f"activations:map,{op.kind}", op.out, {"x": op.x})


def glu(low: Lowering, op: ops.Glu) -> None:
    low.values(f"activations:glu,{op.kind}", op.out, {"gate": op.gate, "up": op.up})


def softcap(low: Lowering, op: ops.Softcap) -> None:
    low.values("activations:softcap,tanh", op.out, {"x": op.x}, cap=op.cap)


def clamp(low: Lowering, op: ops.Clamp) -> None:
    low.values("elementwise:clamp", op.out, {"x": op.x}, low=op.low, high=op.high)


def sum(low: Lowering, op: ops.Sum) -> None:
    low.new(op.out)
    width = op.x.shape[-1]
    low.step(
        "elementwise:sum_rows",
        {"x": op.x},
        {"out": op.out},
        width=width,
        rows=rows_of(op.out),
        per_row=op.x.width // width,
    )


def position_scale(low: Lowering, op: ops.PositionScale) -> None:
    low.values(
        "elementwise:position_scale",
        op.out,
        {"x": op.x},
        of_sequence=True,
        every=op.every,
        offset=op.offset,
        slope=op.slope,
    )


def scaled(
    low: Lowering, x: Tensor, out: Tensor, weight: Array | None, bias: Array | None, factor: float
) -> None:
    """Add a step: out = factor * x * weight + bias, each for x's last axis or for all of it."""
    sizes = [x.shape[-1], *(a.size for a in (weight, bias) if a is not None)]
    width = max(sizes)
    spread = [None if a is None else np.resize(a, width) for a in (weight, bias)]
    low.step(
        "elementwise:scale",
        {"x": x},
        {"out": out},
        weight=low.vector(spread[0]),
        bias=low.vector(spread[1]),
        width=width,
        rows=rows_of(x),
        per_row=x.width // width,
        factor=factor,
    )
