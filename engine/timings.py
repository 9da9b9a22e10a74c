"""What each op of a run costs: its end is read from the processor's clock by the first thread.

An op's time is that from the end of the op before, as that thread sees it: it holds the waiting
for the other threads where they must meet, and their later part of the work where they need not.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from vatra.engine.kernels.layout import OP_WORDS
from vatra.engine.lowering.steps import Step
from vatra.engine.threads import Pool
from vatra.engine.workload import weight_bytes, weight_products
from vatra.quant import FORMATS

Array = np.ndarray
CALIBRATION_S = 0.02
PLAIN = ("elementwise", "activations", "norms", "recurrence")  # their variants' names say enough


class Row(NamedTuple):
    """What the ops of one kind cost in all runs of several tokens (prefill) or of one (decode)."""

    phase: str
    op: str
    format: str  # of its weights, or of the KV cache; empty for an op that reads neither
    calls: int
    ms_per_token: float
    share: float  # of the time of the phase
    bytes_per_s: float | None  # of weights, in decoding; prompts read them once for many tokens
    ops_per_s: float | None  # multiplications and additions of weights


@dataclass
class Walks:
    """The sums over all runs of one kind."""

    steps: list[Step]
    cycles: Array  # int64 (n_steps,)
    ended: Array  # int64 (n_steps + 1,): where a run leaves its times
    count: int = 0
    tokens: int = 0
    outputs: int = 0
    with_outputs: int = 0
    python_s: float = 0.0  # before the threads
    threads_s: float = 0.0  # as Python sees them


@dataclass
class Timings:
    """Counts what the steps of runs cost at `rate` cycles per second."""

    rate: float
    _walks: dict[tuple[str, int, str], Walks] = field(default_factory=dict)

    @contextmanager
    def walk(
        self, phase: str, steps: list[Step], tokens: int, outputs: int, kv: str, began: float
    ) -> Iterator[Array]:
        """Around a run of the threads, which must fill the array; `began` is the time before it."""
        key = (phase, id(steps), kv)
        if key not in self._walks:
            n = len(steps)
            self._walks[key] = Walks(steps, np.zeros(n, np.int64), np.zeros(n + 1, np.int64))
        sums, start = self._walks[key], time.perf_counter()
        yield sums.ended
        sums.cycles += np.diff(sums.ended)
        sums.threads_s += time.perf_counter() - start
        sums.python_s += start - began
        sums.count += 1
        sums.tokens += tokens
        sums.outputs += outputs
        sums.with_outputs += outputs > 0

    def rows(self, phase: str) -> list[Row]:
        """What each kind of op cost in "prefill" or "decode", the dearest first."""
        seconds, calls = dict[tuple[str, str], float](), dict[tuple[str, str], int]()
        read, products = dict[tuple[str, str], float](), dict[tuple[str, str], int]()

        def add(key: tuple[str, str], spent: float, times: int) -> None:
            seconds[key] = seconds.get(key, 0.0) + spent
            calls[key] = calls.get(key, 0) + times

        tokens = 0
        for (of, _, kv), sums in self._walks.items():
            if of != phase:
                continue
            tokens += sums.tokens
            spent = sums.cycles / self.rate
            add(("embeddings and positions", ""), sums.python_s, sums.count)
            add(("waking the threads", ""), max(0.0, sums.threads_s - spent.sum()), sums.count)
            for step, step_s in zip(sums.steps, spent, strict=True):
                key = named(step.kernel.format(kv=kv))
                add(key, float(step_s), sums.count)
                if "w" in step.arguments and step.op is not None:
                    last = step.op.out.outputs_only
                    times, rows = sums.count, sums.tokens
                    if last:
                        times, rows = sums.with_outputs, sums.outputs
                    read[key] = read.get(key, 0.0) + times * weight_bytes(step.op)
                    products[key] = products.get(key, 0) + rows * weight_products(step.op)
        total = sum(seconds.values())
        found = [
            Row(
                phase,
                *key,
                calls[key],
                1e3 * spent / tokens,
                spent / total,
                read[key] / spent if phase == "decode" and key in read else None,
                2 * products[key] / spent if key in products else None,
            )
            for key, spent in seconds.items()
            if spent > 0
        ]
        return sorted(found, key=lambda row: -row.share)


def named(kernel: str) -> tuple[str, str]:
    """The op and the format that a kernel's name says: `matmul:q4_0,16` is ("matmul", "q4_0")."""
    module, _, variant = kernel.partition(":")
    parts = [part for part in variant.split(",") if part and not part.isdigit()]
    format = next((part for part in parts if part in FORMATS), "")
    rest = [part for part in parts if part != format]
    return " ".join(rest if module in PLAIN and rest else [module, *rest]), format


def cycles_per_s(pool: Pool) -> float:
    """How fast the clock is that the ops are timed by, which is not always the processor's own."""
    nothing, cycles = np.zeros((0, OP_WORDS), np.int64), np.zeros(1, np.int64)

    def reading() -> tuple[float, int]:
        before = time.perf_counter()
        pool.run(nothing, cycles=cycles)
        return (before + time.perf_counter()) / 2, int(cycles[0])

    reading()  # the first may have to start the threads
    begin_s, begin = reading()
    time.sleep(CALIBRATION_S)
    end_s, end = reading()
    return (end - begin) / (end_s - begin_s)
