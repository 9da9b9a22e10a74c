"""The table that the threads walk, with a row for each sequence where ops must tell them apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vatra.engine.executor import KVType
from vatra.engine.jit import Kernel
from vatra.engine.kernels.layout import (
    FIRST_ARGUMENT,
    OP_BARRIER,
    OP_RUN,
    OP_WORDS,
    RUN_OUTPUTS,
    RUN_POSITION,
    RUN_SEQUENCE,
    RUN_TOKENS,
)
from vatra.engine.lowering.steps import Runs, Step
from vatra.models.plan import Plan

Array = np.ndarray


class Kind(NamedTuple):
    """What walks have in common that take the same steps."""

    runs: Runs
    kv: KVType
    hidden: bool  # only as far as `Plan.hidden`


class Table:
    """int64 `rows` (n_rows, OP_WORDS) for walks of `n_sequences`, and `steps`, that of each row.

    The sequences lie one after another in all tensors. A step that is of one sequence has a row for
    each, with a run block of its own: `set` says where they begin, and what is of their states.
    """

    def __init__(
        self, steps: list[Step], kernels: list[Kernel], rows: Array, n_sequences: int, plan: Plan
    ) -> None:
        repeats = np.array([n_sequences if step.of_sequence else 1 for step in steps], np.int64)
        ends = np.cumsum(repeats)
        self.rows = np.repeat(rows, repeats, axis=0)
        self.rows[:, OP_BARRIER] = 0  # sequences do not touch each other's
        self.rows[ends - 1, OP_BARRIER] = rows[:, OP_BARRIER]
        self.steps = [step for step, n in zip(steps, repeats, strict=True) for _ in range(n)]
        self._runs = np.zeros((n_sequences, RUN_SEQUENCE), np.int64)
        runs = self._runs.ctypes.data + self._runs.strides[0] * np.arange(n_sequences)
        sides = {side: i for i, side in enumerate(sides_of(plan))}
        state, moved = list[tuple[int, int]](), list[tuple[int, int, int, int]]()
        for step, kernel, end in zip(steps, kernels, ends, strict=True):
            if not step.of_sequence:
                continue
            first = end - n_sequences
            self.rows[first:end, OP_RUN] = runs
            for word, (name, _) in enumerate(kernel.arguments, FIRST_ARGUMENT):
                if name in step.caches:
                    state.append((first * OP_WORDS + word, sides[step.caches[name]]))
                elif name in step.moves:
                    tensor, at = step.moves[name], first * OP_WORDS + word
                    by = (0, 4 * tensor.width) if tensor.outputs_only else (4 * tensor.width, 0)
                    moved.append((at, self.rows[first, word], *by))
        each = OP_WORDS * np.arange(n_sequences)[:, None]
        self._of_state, self._sides = np.array(state, np.int64).reshape(-1, 2).T
        self._of_state = each + self._of_state
        self._moved, self._base, *self._by = np.array(moved, np.int64).reshape(-1, 4).T
        self._moved = each + self._moved

    def set(self, states: Sequence[Array], runs: Sequence[tuple[int, int, int]]) -> None:
        """Make the rows those of sequences with `states`, addresses in the order of `sides_of`.

        `runs` is what each has: the number of its tokens, that of its outputs, its first position.
        """
        self._runs[:, [RUN_TOKENS, RUN_OUTPUTS, RUN_POSITION]] = runs
        before, flat = np.cumsum(self._runs, axis=0) - self._runs, self.rows.reshape(-1)
        flat[self._of_state] = np.stack(states)[:, self._sides]
        by_token, by_output = self._by
        shifts = before[:, RUN_TOKENS, None] * by_token + before[:, RUN_OUTPUTS, None] * by_output
        flat[self._moved] = self._base + shifts


def sides_of(plan: Plan) -> list[tuple[str, int]]:
    """What rows of one sequence have of its state: as `Step.caches` names it, in this order."""
    n_caches, n_memories = len(plan.caches), len(plan.memories)
    found = [(side, i) for side in ("keys", "values", "pages") for i in range(n_caches)]
    return [*found, *(("memories", i) for i in range(n_memories)), ("partials", 0)]
