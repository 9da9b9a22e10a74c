"""Threads that stay in machine code while they work, and sleep between runs."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from vatra.choices import Choice
from vatra.engine import control_groups, jit
from vatra.engine.kernels import layout
from vatra.errors import UsageError

Array = np.ndarray
NEVER = np.iinfo(np.int64).max
STALLED = 0.4  # share of a run that threads wait: 0.02 to 0.12 alone, 0.75 and more beside another
NOTICE_S = 0.05  # of such runs until one thread is left out
PATIENCE_S = (0.5, 4.0)  # until it is tried again: at first, and after many times in vain
CALM_S = 1.0  # with all threads, until a neighbour is forgotten
_ENTRY = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 4, *[ctypes.c_int64] * 2)


@cache
def allowed_cpus() -> tuple[int, str]:
    """How many processors this process may keep busy, and why."""
    total = os.cpu_count() or 1
    count, reason = total, "all processors"
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
        if count < total:
            reason = f"{count} of {total} processors, by affinity"
    quota = _quota()
    if quota is not None and quota < count:
        count, reason = max(1, int(quota)), f"control group allows {quota:g} processors"
    if sys.platform == "darwin":
        performance = _performance_cores()
        if performance:
            count, reason = performance, "performance cores"
    return count, reason


def _quota() -> float | None:
    """Processors that the control groups of this process allow, or None."""
    found = [_quota_of(version, folder) for version, folder in control_groups.folders("cpu")]
    return min((quota for quota in found if quota is not None), default=None)


def _quota_of(version: int, folder: Path) -> float | None:
    try:
        if version == 2:
            limit, period = (folder / "cpu.max").read_text().split()
            return None if limit == "max" else int(limit) / int(period)
        limit_us = int((folder / "cpu.cfs_quota_us").read_text())
        period_us = int((folder / "cpu.cfs_period_us").read_text())
        return limit_us / period_us if limit_us > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _performance_cores() -> int | None:
    import subprocess

    try:
        asked = ["sysctl", "-n", "hw.perflevel0.physicalcpu"]
        return int(subprocess.run(asked, capture_output=True, text=True, timeout=2).stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def thread_count(wanted: int | None) -> int:
    """`wanted` threads, or as many as this process may use; raises UsageError outside 1..1024."""
    if wanted is None:
        return allowed_cpus()[0]
    if not 1 <= wanted <= 1024:
        raise UsageError(f"threads: got {wanted}, wanted 1 to 1024")
    return wanted


@cache
def _yield_address() -> int:
    if sys.platform == "win32":
        return ctypes.cast(ctypes.windll.kernel32.SwitchToThread, ctypes.c_void_p).value or 0
    return ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value or 0


def op_row(kernel: jit.Kernel, **arguments: float) -> Array:
    """One row of an op table: int64 (OP_WORDS,); arguments by the names the kernel gives them."""
    names = [name for name, _ in kernel.arguments]
    if set(names) != set(arguments):
        raise TypeError(f"{kernel.name} takes {', '.join(names)}; got {', '.join(arguments)}")
    row = np.zeros(layout.OP_WORDS, np.int64)
    row[layout.OP_KERNEL], row[layout.OP_BARRIER] = kernel.address, 1
    for i, (name, kind) in enumerate(kernel.arguments, layout.FIRST_ARGUMENT):
        value = arguments[name]
        row[i] = int(np.float32(value).view(np.int32)) if kind == "float" else int(value)
    return row


class Crew:
    """How many of `most` threads take part in a run: fewer while others keep their cores busy.

    All threads wait for the slowest at every op. One whose core a busy neighbour shares is away for
    whole time slices, and costs more than it does; without it, the neighbour costs one core.
    """

    def __init__(self, most: int) -> None:
        self.most = self.size = most
        self._stalled_s = 0.0  # of runs, one after the other, in which threads mostly waited
        self._retry_s, self._patience_s = 0.0, PATIENCE_S[0]

    def begin(self, now: float) -> int:
        """How many threads are to take part in a run."""
        if self.size < self.most and now >= self._retry_s:
            self.size += 1
        return self.size

    def ran(self, waiting: float, seconds: float, now: float) -> None:
        """Note a run that ended at `now`, and the share of it that threads waited for another."""
        if waiting < STALLED:
            self._stalled_s = 0.0
            if now > self._retry_s + CALM_S:
                self._patience_s = PATIENCE_S[0]
        elif self.size > 1:
            self._stalled_s += seconds
            if self._stalled_s >= NOTICE_S:
                self.size -= 1
                self._stalled_s = 0.0
                self._retry_s = now + self._patience_s
                self._patience_s = min(2 * self._patience_s, PATIENCE_S[1])


class Pool:
    """`n_threads` threads that run op tables; one table at a time.

    Whatever interrupts Python in the middle of a run, the threads finish it together: waking and
    waiting can be done again, since each thread goes by the number of the run, not by how often
    its lock was opened.
    """

    def __init__(self, n_threads: int) -> None:
        self.n_threads = n_threads
        block = np.zeros(layout.RUN_WORDS + 8, np.int64)
        skip = -block.ctypes.data % 64 // 8  # the barrier's words want cache lines of their own
        self.run_block = block[skip : skip + layout.RUN_WORDS]
        self.run_block[layout.RUN_YIELD] = _yield_address()
        self._loop = _ENTRY(jit.load(["loop:"])["loop:"].address)
        self.crew = Crew(n_threads)
        self.lock = threading.RLock()
        self._pid = -1
        self._workers: list[_Worker] = []
        self._at_work: list[_Worker] = []  # those that take part in the last run
        self._number = self._ended = 0  # the last run, and the last that has ended
        _POOLS.add(self)

    def close(self) -> None:
        """End the threads; the pool starts new ones if it is used again."""
        if self._pid == os.getpid():
            with self.lock:
                self._pid = -1
                for worker in self._workers:
                    worker.end()

    def run(
        self,
        table: Array,
        *,
        tokens: int = 0,
        outputs: int = 0,
        position: int = 0,
        cycles: Array | None = None,
    ) -> None:
        """Run every op of `table` (n_ops, OP_WORDS) on all threads, less those that `crew` spares.

        int64 `cycles` (n_ops + 1,) are given when the first thread begins, and ends each op.
        On KeyboardInterrupt the threads stop after the ops they are in, and it is raised again.
        """
        with self.lock:
            block = self.run_block
            if self._pid != os.getpid():  # the first run, or the first after a fork
                self._number = self._ended = 0
                self._workers = [_Worker(self._loop, block, i) for i in range(self.n_threads)]
                self._pid = os.getpid()
            self._stop()  # what could still be running after three interruptions at once
            self._table = table  # stays, whatever happens, while threads may read it
            table[:, layout.OP_COUNTER] = 0
            block[layout.RUN_TOKENS], block[layout.RUN_OUTPUTS] = tokens, outputs
            block[layout.RUN_POSITION] = position
            block[layout.RUN_CYCLES] = 0 if cycles is None else cycles.ctypes.data
            block[layout.RUN_ABORT], block[layout.RUN_LAST] = 0, NEVER
            block[layout.RUN_OPS], block[layout.RUN_N_OPS] = table.ctypes.data, len(table)
            block[layout.RUN_ARRIVED] = block[layout.RUN_TURN] = block[layout.RUN_WAITED] = 0
            began = time.monotonic()
            self._at_work = self._workers[: self.crew.begin(began)]
            try:
                try:
                    self._number += 1
                    self._finish()
                finally:  # KeyboardInterrupt, or what else a signal handler raises
                    self._stop()
            finally:  # and another one just then: no thread may run when this is left
                self._stop()
            lasted = int(block[layout.RUN_ENDED] - block[layout.RUN_BEGAN])
            others = max(1, len(self._at_work) - 1)
            waiting = int(block[layout.RUN_WAITED]) / max(1, lasted * others)
            now = time.monotonic()
            self.crew.ran(waiting, now - began, now)

    def _finish(self) -> None:
        """Let every thread do the last run, unless it has, and wait until all have."""
        for worker in self._at_work:
            worker.start(self._number, len(self._at_work))
        for worker in self._at_work:
            worker.wait(self._number)
        self._ended = self._number

    def _stop(self) -> None:
        """End a run that was interrupted, however often this is interrupted too."""
        while self._ended < self._number:
            try:
                self.run_block[layout.RUN_ABORT] = 1
                self._finish()
            except BaseException:  # the first one is on its way up
                continue


_POOLS: weakref.WeakSet[Pool] = weakref.WeakSet()


def _after_fork() -> None:
    """A thread that held a lock is not there in the child."""
    for pool in _POOLS:
        pool.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _Worker:
    """One thread. Its locks only wake; what counts are the numbers of the runs."""

    def __init__(self, loop: Callable[..., int], block: Array, i: int) -> None:
        # plain locks, which start locked: the quickest way to wake another thread from Python
        self._go, self._done = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._done.acquire()
        self.wanted = self.finished = self.n_threads = 0
        arguments = (loop, block, i)
        threading.Thread(target=self._work, args=arguments, daemon=True, name=f"vatra {i}").start()

    def start(self, number: int, n_threads: int) -> None:
        """Let the thread do run `number`, one of `n_threads`, unless it has been told so before."""
        self.wanted, self.n_threads = number, n_threads
        if self._go.locked():
            self._go.release()

    def wait(self, number: int) -> None:
        """Return when run `number` is done."""
        while self.finished < number:
            self._done.acquire()

    def end(self) -> None:
        self.start(-1, 0)

    def _work(self, loop: Callable[..., int], block: Array, i: int) -> None:
        scratch = (ctypes.c_int64 * 2)()  # for Numba's calling convention
        at = ctypes.addressof(scratch)
        while True:
            self._go.acquire()
            if self.wanted < 0:
                return
            if self.finished < (number := self.wanted):
                loop(at, at + 8, 0, block.ctypes.data, i, self.n_threads)
                self.finished = number
                if self._done.locked():
                    self._done.release()


def report() -> list[Choice]:
    """What `vatra doctor` says of threads."""
    count, reason = allowed_cpus()
    first, last = PATIENCE_S
    why = f"a thread on such a core delays all; it is tried again after {first:g} to {last:g} s"
    return [
        Choice("threads", str(count), reason),
        Choice("busy cores", "left to other programs", why),
    ]
