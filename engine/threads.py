"""Threads that stay in machine code while they work, and sleep between runs."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from vatra.choices import Choice
from vatra.engine import jit
from vatra.engine.kernels import layout
from vatra.errors import UsageError

Array = np.ndarray
NEVER = np.iinfo(np.int64).max
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
    """Processors that the control group (v2 or v1) allows, or None."""
    base = Path("/sys/fs/cgroup")
    try:
        limit, period = (base / "cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        limit_us = int((base / "cpu/cpu.cfs_quota_us").read_text())
        period_us = int((base / "cpu/cpu.cfs_period_us").read_text())
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
        self._lock = threading.Lock()
        self._pid = -1
        self._workers: list[_Worker] = []

    def close(self) -> None:
        """End the threads; the pool starts new ones if it is used again."""
        if self._pid == os.getpid():
            for worker in self._workers:
                worker.end()
        self._pid = -1

    def run(self, table: Array, *, tokens: int = 0, outputs: int = 0, position: int = 0) -> None:
        """Run every op of `table` (n_ops, OP_WORDS) on all threads.

        On KeyboardInterrupt the threads stop after the ops they are in, and it is raised again.
        """
        with self._lock:
            if self._pid != os.getpid():  # the first run, or the first after a fork
                self._workers = [
                    _Worker(self._loop, self.run_block, i, self.n_threads)
                    for i in range(self.n_threads)
                ]
                self._pid = os.getpid()
            table[:, layout.OP_COUNTER] = 0
            block = self.run_block
            block[layout.RUN_TOKENS], block[layout.RUN_OUTPUTS] = tokens, outputs
            block[layout.RUN_POSITION] = position
            block[layout.RUN_ABORT], block[layout.RUN_LAST] = 0, NEVER
            block[layout.RUN_OPS], block[layout.RUN_N_OPS] = table.ctypes.data, len(table)
            block[layout.RUN_ARRIVED] = block[layout.RUN_TURN] = 0
            number = self._workers[0].wanted + 1
            interrupted: BaseException | None = None
            while True:
                try:
                    for worker in self._workers:
                        worker.start(number)
                    for worker in self._workers:
                        worker.wait(number)
                    break
                except BaseException as error:  # KeyboardInterrupt, or what a signal handler raises
                    interrupted = error
                    block[layout.RUN_ABORT] = 1
            if interrupted is not None:
                raise interrupted


class _Worker:
    """One thread. Its locks only wake; what counts are the numbers of the runs."""

    def __init__(self, loop: Callable[..., int], block: Array, i: int, n_threads: int) -> None:
        # plain locks, which start locked: the quickest way to wake another thread from Python
        self._go, self._done = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._done.acquire()
        self.wanted = self._finished = 0
        arguments = (loop, block, i, n_threads)
        threading.Thread(target=self._work, args=arguments, daemon=True, name=f"vatra {i}").start()

    def start(self, number: int) -> None:
        """Let the thread do run `number`, unless it has been told so before."""
        self.wanted = number
        if self._go.locked():
            self._go.release()

    def wait(self, number: int) -> None:
        """Return when run `number` is done."""
        while self._finished < number:
            self._done.acquire()

    def end(self) -> None:
        self.start(-1)

    def _work(self, loop: Callable[..., int], block: Array, i: int, n_threads: int) -> None:
        scratch = (ctypes.c_int64 * 2)()  # for Numba's calling convention
        at = ctypes.addressof(scratch)
        while True:
            self._go.acquire()
            if self.wanted < 0:
                return
            if self._finished < self.wanted:
                loop(at, at + 8, 0, block.ctypes.data, i, n_threads)
                self._finished = self.wanted
                if self._done.locked():
                    self._done.release()


def report() -> list[Choice]:
    """What `vatra doctor` says of threads."""
    count, reason = allowed_cpus()
    return [Choice("threads", str(count), reason)]
