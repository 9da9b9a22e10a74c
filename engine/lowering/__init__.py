"""From a plan to the steps that the CPU takes: which kernel, on which places of the arena.

Adding an operation is one function in one of these files and one line in `LOWER`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from vatra.engine.arena import Arena, Place
from vatra.engine.lowering import attention, experts, norms, products, recurrences, shapes, values
from vatra.engine.lowering.steps import MAX_OUTPUTS, MAX_TOKENS, Runs, Step, rows_of
from vatra.models import plan as ops
from vatra.models.plan import Embed, Op, Plan, Rope, Tensor

Array = np.ndarray


class Lowering:
    """Turns a plan's ops into steps, op by op, for walks of `most` tokens at the most.

    The first `n_hidden` steps make `Plan.hidden`, at the place `hidden`.
    """

    hidden: Place

    def __init__(self, plan: Plan, n_threads: int, most: int = MAX_TOKENS) -> None:
        self.plan, self.n_threads, self.most = plan, n_threads, most
        self.n_hidden: int | None = None
        self.arena = Arena()
        self.steps: list[Step] = []
        self.embeds: list[tuple[Embed, Place]] = []
        self.angles: dict[tuple[int, float], tuple[Rope, Place]] = {}  # by `attention.turn`
        self.kept: list[Array] = []  # whose addresses are in the table
        self.operands = products.Operands(self)
        self._places: dict[Tensor, Place] = {}
        self.made_at: dict[Tensor, Place] = {}  # every tensor, from its op to its last use
        # what numpy writes is there before the walk: no other op may use its place first
        for op in plan.ops:
            if isinstance(op, Rope) and attention.turn(op) not in self.angles:
                size = most * 8 * len(op.frequencies)
                self.angles[attention.turn(op)] = (op, self.arena.take(size))
            if isinstance(op, Embed):
                self.embeds.append((op, self.new(op.out)))
        for op, ended in zip(plan.ops, plan.last_uses(), strict=True):
            self._op = op
            if not isinstance(op, Embed):
                LOWER[type(op)](self, op)
            if op.out is plan.hidden:
                self.n_hidden, self.hidden = len(self.steps), self._places[op.out]
            for tensor in ended:
                self.drop(tensor)

    def rows(self, tensor: Tensor) -> int:
        """The most rows that a walk has of `tensor`: of what comes after `Plan.hidden`, fewer."""
        few = tensor.outputs_only and self.n_hidden is not None and self.plan.causal
        return MAX_OUTPUTS if few else self.most

    def new(self, tensor: Tensor) -> Place:
        place = self._places[tensor] = self.arena.take(4 * tensor.width * self.rows(tensor))
        self.made_at[tensor] = place
        return place

    def drop(self, tensor: Tensor) -> None:
        place = self._places.pop(tensor)
        if place not in self._places.values():  # a tensor of another shape may still be there
            self.arena.give(place)
        self.operands.drop(tensor)

    def same(self, tensor: Tensor, x: Tensor) -> None:
        """`tensor` is where `x` is."""
        self._places[tensor] = self._places[x]

    def place_of(self, tensor: Tensor) -> Place:
        return self._places[tensor]

    def step(
        self,
        kernel: str,
        reads: dict[str, Tensor | Place],
        writes: dict[str, Tensor | Place],
        caches: dict[str, tuple[str, int]] | None = None,
        runs: Runs = Runs.ALL,
        of_sequence: bool = False,
        **arguments: Any,
    ) -> None:
        """Add a step; `reads` and `writes` are arguments that are tensors or places.

        Of those that want to know positions, or `caches`, each sequence has one: `of_sequence`.
        """

        def places(of: dict[str, Tensor | Place]) -> dict[str, Place]:
            return {name: self._places[t] if isinstance(t, Tensor) else t for name, t in of.items()}

        read, written = places(reads), places(writes)
        self.steps.append(
            Step(
                kernel,
                {**read, **written, **arguments},
                list(read.values()),
                list(written.values()),
                caches or {},
                {name: t for name, t in (reads | writes).items() if isinstance(t, Tensor)},
                of_sequence,
                runs,
                self._op,
            )
        )

    def values(self, kernel: str, out: Tensor, reads: dict[str, Tensor], **arguments: Any) -> None:
        """Add a step that makes `out`, value by value."""
        self.new(out)
        self.step(kernel, {**reads}, {"out": out}, width=out.width, rows=rows_of(out), **arguments)

    def vector(self, values: Array | None) -> int:
        """The address of float32 values that stay where they are; 0 for None."""
        if values is None:
            return 0
        kept = np.ascontiguousarray(values, np.float32)
        self.kept.append(kept)
        return kept.ctypes.data


LOWER: dict[type[Op], Callable[[Lowering, Any], None]] = {
    ops.Linear: products.product,
    ops.ExpertLinear: products.product,
    ops.HeadLinear: products.product,
    ops.RmsNorm: norms.rms_norm,
    ops.LayerNorm: norms.layer_norm,
    ops.L2Norm: norms.l2_norm,
    ops.Rope: attention.rope,
    ops.PositionScale: values.position_scale,
    ops.Attention: attention.attention,
    ops.Add: values.add,
    ops.Mul: values.mul,
    ops.Scale: values.scale,
    ops.Activation: values.activation,
    ops.Glu: values.glu,
    ops.Softcap: values.softcap,
    ops.Clamp: values.clamp,
    ops.Reshape: shapes.reshape,
    ops.Slice: shapes.slice,
    ops.Concat: shapes.concat,
    ops.Repeat: shapes.repeat,
    ops.TopExperts: experts.top_experts,
    ops.WeightedSum: experts.weighted_sum,
    ops.Convolution: recurrences.convolution,
    ops.TokenShift: recurrences.token_shift,
    ops.SelectiveScan: recurrences.selective_scan,
    ops.DeltaRule: recurrences.delta_rule,
    ops.Wkv: recurrences.wkv,
    ops.Sum: values.sum,
    ops.SelectOutputs: shapes.select_outputs,
}
