"""What `vatra bench` measures of one model: reading a prompt, writing after some context."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import NamedTuple

import numpy as np

from vatra.engine.executor import State
from vatra.engine.model import Model
from vatra.engine.session import CHUNK
from vatra.engine.workload import bytes_per_token, multiply_adds

SEED = 1  # of the random tokens that stand for a prompt


class Task(NamedTuple):
    """Reading a prompt of `tokens` at once, or writing as many one by one after `depth` others."""

    kind: str  # "prefill" or "decode"
    tokens: int
    depth: int

    @property
    def n_ctx(self) -> int:
        return self.depth + self.tokens

    @property
    def chunk(self) -> int:
        """Tokens evaluated at once."""
        return CHUNK if self.kind == "prefill" else 1


@dataclass(frozen=True)
class Speed:
    """One task of one model; speeds are the median of the rounds."""

    model: str
    architecture: str
    format: str  # of most of the weights
    backend: str
    device: str  # that has the last `gpu_layers` layers; empty where none has
    gpu_layers: int
    threads: int
    task: str
    tokens: int
    depth: int
    rounds: int
    tokens_per_s: float
    ops_per_s: float  # multiplications and additions
    bytes_per_token: int | None  # of weights and KV cache that writing one token reads
    bytes_per_s: float | None
    bandwidth_bytes_per_s: float  # what the same threads read at most on this machine
    share_of_bandwidth: float | None


@dataclass(frozen=True)
class OpCost:
    """One kind of op in one task of one model, see `vatra.engine.timings.Row`."""

    model: str
    task: str
    tokens: int
    depth: int
    tokens_per_s: float
    op: str
    format: str
    calls: int
    ms_per_token: float
    share: float
    bytes_per_s: float | None
    ops_per_s: float | None


class Subject:
    """A loaded model, ready to be measured again and again.

    The context that a decode follows is really read, once: random tokens, as those of prompts.
    """

    def __init__(self, name: str, model: Model, tasks: Sequence[Task]) -> None:
        self.name, self.model = name, model
        self._tokens = np.random.default_rng(SEED).integers(
            0, model.plan.n_vocab, max(task.n_ctx for task in tasks), dtype=np.int32
        )
        self._states: dict[Task, State] = {}
        self.seconds: dict[Task, list[float]] = {task: [] for task in tasks}

    def measure(self, task: Task) -> None:
        """Do it once more and note how long it took; only the first time, read what it follows."""
        if task not in self._states:
            state = self._states[task] = self.model.executor.new_state(task.n_ctx, self.model.kv)
            few = min(task.tokens, task.chunk + 1)
            self._read(state, 0, few, task.chunk)  # code and weights come into memory
            state.rewind(0)
            self._read(state, 0, task.depth)
            state.mark()
        state = self._states[task]
        state.rewind(task.depth)
        begin = time.perf_counter()
        self._read(state, task.depth, task.tokens, task.chunk)
        self.seconds[task].append(time.perf_counter() - begin)

    def _read(self, state: State, start: int, n: int, chunk: int = CHUNK) -> None:
        for at in range(start, start + n, chunk):
            some = self._tokens[at : min(at + chunk, start + n)]
            last = chunk == 1 or at + len(some) == start + n
            self.model.run(state, some, at, "last" if last else "none")

    def speed(self, task: Task, bandwidth: float) -> Speed:
        """The median of what was measured; `bandwidth` is in bytes/s."""
        plan, per_s = self.model.plan, task.tokens / median(self.seconds[task])
        needs, ops = None, multiply_adds(plan, task.tokens) / task.tokens
        if task.kind == "decode":
            middle = task.depth + task.tokens / 2
            kept = partial(self.model.executor.state_class.bytes_per_token, kv=self.model.kv)
            needs = bytes_per_token(plan, kept, middle)
            ops = multiply_adds(plan, 1, round(middle))
        far = getattr(self.model.executor, "layers", None)
        share = None if needs is None or far else round(per_s * needs / bandwidth, 4)
        return Speed(
            model=self.name,
            architecture=plan.architecture,
            format=self.format,
            backend=next(c.value for c in self.model.choices if c.name == "backend"),
            device=str(far.device.adapter) if far else "",
            gpu_layers=far.split.n if far else 0,
            threads=self.model.threads,
            task=task.kind,
            tokens=task.tokens,
            depth=task.depth,
            rounds=len(self.seconds[task]),
            tokens_per_s=round(per_s, 3),
            ops_per_s=round(2 * ops * per_s),
            bytes_per_token=needs,
            bytes_per_s=None if needs is None else round(per_s * needs),
            bandwidth_bytes_per_s=round(bandwidth),
            share_of_bandwidth=share,
        )

    def op_costs(self, task: Task, n: int) -> list[OpCost]:
        """What each kind of op costs in `n` more rounds; raises UsageError without kernels."""
        self.measure(task)
        with self.model.timings() as timings:
            for _ in range(n):
                self.measure(task)
        per_s = task.tokens / median(self.seconds[task][-n:])
        rows = timings.rows("decode" if task.chunk == 1 or task.tokens == 1 else "prefill")
        return [
            OpCost(
                model=self.name,
                task=task.kind,
                tokens=task.tokens,
                depth=task.depth,
                tokens_per_s=round(per_s, 3),
                op=row.op,
                format=row.format,
                calls=row.calls,
                ms_per_token=round(row.ms_per_token, 6),
                share=round(row.share, 6),
                bytes_per_s=None if row.bytes_per_s is None else round(row.bytes_per_s),
                ops_per_s=None if row.ops_per_s is None else round(row.ops_per_s),
            )
            for row in rows
        ]

    @property
    def format(self) -> str:
        """The format that most of the weights have."""
        sizes = Counter[str]()
        for weight in self.model.plan.weights():
            sizes[weight.format.name] += weight.nbytes
        return sizes.most_common(1)[0][0]


def rounds(
    subjects: Sequence[Subject], tasks: Sequence[Task], n: int, progress: Callable[[int, int], None]
) -> None:
    """Measure every task of every subject `n` times, in turns: what disturbs one disturbs all."""
    total = n * len(tasks) * len(subjects)
    done = 0
    for _ in range(n):
        for task in tasks:
            for subject in subjects:
                progress(done, total)
                subject.measure(task)
                done += 1
