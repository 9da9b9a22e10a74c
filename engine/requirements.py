"""What a model needs of a machine, known from its plan before anything large is made."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from vatra.engine.memory import mebibytes

if TYPE_CHECKING:
    from vatra.engine.executor import Executor, KVType
    from vatra.models.plan import Plan

PROGRAM_BYTES = 100 * 2**20  # Python, NumPy, LLVM, machine code, a vocabulary
TOKENS = 256  # of a run, whose activations are all there at once
COPIES = 1.3  # activations stand there once more as bytes, as a product wants them


@dataclass(frozen=True)
class Requirements:
    """Bytes of memory that a model takes for a context of `n_ctx` tokens."""

    n_ctx: int
    weights: int
    kv_cache: int
    memories: int  # of recurrent layers
    activations: int
    program: int = PROGRAM_BYTES

    @property
    def total(self) -> int:
        return self.weights + self.kv_cache + self.memories + self.activations + self.program

    def __str__(self) -> str:
        parts = {
            "weights": self.weights,
            f"KV cache for {self.n_ctx} tokens": self.kv_cache,
            "recurrent layers": self.memories,
            "activations": self.activations,
            "the program": self.program,
        }
        listed = ", ".join(f"{mebibytes(n)} {what}" for what, n in parts.items() if n)
        return f"{mebibytes(self.total)}: {listed}"


def grows_by(plan: Plan, executor: type[Executor], kv: KVType, n_ctx: int) -> int:
    """Bytes that a context of `n_ctx` tokens costs: keys and values.

    Where all tokens of a text are evaluated at once, their activations too.
    """
    activations = 0 if plan.causal else _activations(plan, n_ctx)
    return executor.state_class.kv_bytes(plan.caches, kv, n_ctx) + activations


def _activations(plan: Plan, tokens: int) -> int:
    return round(4 * tokens * COPIES * plan.peak_width())


def requirements(plan: Plan, executor: type[Executor], n_ctx: int, kv: KVType) -> Requirements:
    """What `executor` will take for one sequence of `n_ctx` tokens."""
    return Requirements(
        n_ctx=n_ctx,
        weights=executor.weight_bytes(plan),
        kv_cache=executor.state_class.kv_bytes(plan.caches, kv, n_ctx),
        memories=4 * sum(prod(memory.shape) for memory in plan.memories),
        activations=_activations(plan, TOKENS if plan.causal else max(n_ctx, TOKENS)),
    )
