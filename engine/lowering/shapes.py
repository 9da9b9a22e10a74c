"""Parts of tensors, and tensors of parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vatra.engine.kernels import layout
from vatra.engine.lowering.steps import rows_of
from vatra.models import plan as ops
from vatra.models.plan import Tensor

if TYPE_CHECKING:
    from vatra.engine.lowering import Lowering


def reshape(low: Lowering, op: ops.Reshape) -> None:
    low.same(op.out, op.x)


def slice(low: Lowering, op: ops.Slice) -> None:
    low.new(op.out)
    size, width = op.out.shape[-1], op.x.shape[-1]
    _copy(low, op.x, op.out, size, first=op.first, from_row=width, to_row=size)


def concat(low: Lowering, op: ops.Concat) -> None:
    low.new(op.out)
    first, second, width = op.x.shape[-1], op.y.shape[-1], op.out.shape[-1]
    _copy(low, op.x, op.out, first, from_row=first, to_row=width)
    _copy(low, op.y, op.out, second, from_row=second, to_row=width, to=first)


def repeat(low: Lowering, op: ops.Repeat) -> None:
    low.new(op.out)
    dim = op.x.shape[-1]
    _copy(low, op.x, op.out, dim, from_row=dim, to_row=dim, repeats=op.times, tiled=int(op.tiled))


def select_outputs(low: Lowering, op: ops.SelectOutputs) -> None:
    low.new(op.out)
    low.step(
        "elementwise:select_outputs",
        {"x": op.x},
        {"out": op.out},
        of_sequence=True,
        width=op.x.width,
        tokens=layout.RUN_TOKENS,
        outputs=layout.RUN_OUTPUTS,
    )


def _copy(
    low: Lowering,
    x: Tensor,
    out: Tensor,
    size: int,
    *,
    from_row: int,
    to_row: int,
    first: int = 0,
    to: int = 0,
    repeats: int = 1,
    tiled: int = 0,
) -> None:
    """Add a step that copies parts of rows, see the kernel."""
    low.step(
        "elementwise:copy",
        {"x": x},
        {"out": out},
        rows=rows_of(x),
        per_row=x.width // from_row,
        size=size,
        from_row=from_row,
        first=first,
        to_row=to_row,
        to=to,
        repeats=repeats,
        tiled=tiled,
    )
