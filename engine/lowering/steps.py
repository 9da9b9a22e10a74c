"""Steps: the rows of the table that the threads walk, before addresses are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Flag, auto
from typing import Any

from vatra.engine.arena import Place
from vatra.engine.kernels import layout
from vatra.models.plan import Op, Tensor

MAX_TOKENS = 256  # tokens of one walk: enough to keep the tiles full, few enough for the cache
MAX_OUTPUTS = 32  # tokens of one walk whose logits are all kept


class Runs(Flag):
    """For which runs a step is there."""

    FEW = auto()  # of fewer than `layout.AMX_TOKENS` tokens
    SOME = auto()  # of more, but with fewer for each expert
    MANY = auto()
    ALL = FEW | SOME | MANY


@dataclass
class Step:
    """One row of the table: places and weights stand for their addresses."""

    kernel: str
    arguments: dict[str, Any]
    reads: list[Place]
    writes: list[Place]
    caches: dict[str, tuple[str, int]] = field(default_factory=dict)  # argument -> (of state, i)
    moves: dict[str, Tensor] = field(default_factory=dict)  # arguments that are rows of a sequence
    of_sequence: bool = False  # whether it is for one sequence, of which there may be several
    runs: Runs = Runs.ALL
    op: Op | None = None  # of the plan, that it is a part of


def steps_of(steps: list[Step], runs: Runs) -> list[Step]:
    """The steps that are there for a kind of runs."""
    return [step for step in steps if step.runs & runs]


def barriers(steps: list[Step]) -> list[int]:
    """1 for each step after which threads must meet, since the next one touches what it does."""
    needed, reads, writes = list[int](), list[Place](), list[Place]()
    for step in steps:
        clash = any(a.meets(b) for a in step.reads + step.writes for b in writes)
        clash = clash or any(a.meets(b) for a in step.writes for b in reads)
        if needed and clash:
            needed[-1] = 1
            reads, writes = [], []
        needed.append(0)
        reads += step.reads
        writes += step.writes
    return needed


def rows_of(tensor: Tensor) -> int:
    """The word of the run block that counts the rows of a tensor."""
    return layout.RUN_OUTPUTS if tensor.outputs_only else layout.RUN_TOKENS
