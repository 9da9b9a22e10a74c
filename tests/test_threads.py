"""The pool of threads: what it computes, and what stops it, breaks it or forks it."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vatra.engine import control_groups, jit, threads
from vatra.engine.kernels import layout
from vatra.engine.threads import Pool, op_row, thread_count
from vatra.errors import UsageError

Array = np.ndarray
ROOT = Path(__file__).resolve().parents[1]
posix = pytest.mark.skipif(os.name != "posix", reason="needs signals and fork")


def at(array: Array) -> int:
    return int(array.ctypes.data)


class Sum:
    """A table of `n_ops` ops, each of which adds `step` to all of `values` and needs the last."""

    def __init__(self, n_ops: int, width: int = 1000) -> None:
        self.values, self.step = np.zeros(width, np.float32), np.ones(width, np.float32)
        places = {"x": at(self.values), "y": at(self.step), "out": at(self.values)}
        kernel = jit.load(["elementwise:add"])["elementwise:add"]
        row = op_row(kernel, **places, width=width, rows=layout.RUN_TOKENS)
        self.n_ops, self.table = n_ops, np.repeat(row[None], n_ops, 0)

    def check(self, pool: Pool) -> None:
        self.values[:] = 0
        pool.run(self.table, tokens=1)
        assert (self.values == self.n_ops).all()


@pytest.fixture
def pool() -> Any:
    made = Pool(2)
    yield made
    made.close()


# ---- how many threads ---------------------------------------------------------------------------


def test_thread_count() -> None:
    assert thread_count(None) == threads.allowed_cpus()[0] >= 1
    assert thread_count(1) == 1 and thread_count(1024) == 1024
    for wrong in (0, -1, 1025, 10**9):
        with pytest.raises(UsageError, match=rf"got {wrong}, wanted 1 to 1024"):
            thread_count(wrong)


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of /sys/fs/cgroup, with the empty group `pod/us` of this process."""
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    monkeypatch.setattr(control_groups, "PROC", proc)
    monkeypatch.setattr(control_groups, "ROOT", groups)
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text("1:cpu,cpuacct:/pod/us\n0::/pod/us\n")
    for root in (groups, groups / "cpu"):
        (root / "pod" / "us").mkdir(parents=True)
    return groups


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("max 100000", None),
        ("200000 100000", 2.0),
        ("150000 100000\n", 1.5),
        ("50000 100000", 0.5),
        ("", None),
        ("max", None),
        ("100000 0", None),
        ("some thing", None),
        ("1 2 3", None),
    ],
)
def test_quota_version_2(cgroup: Path, text: str, quota: float | None) -> None:
    (cgroup / "pod/us/cpu.max").write_text(text)
    assert threads._quota() == quota
    (cgroup / "pod/cpu.max").write_text("90000 100000")
    assert threads._quota() == min(quota or 9, 0.9)


@pytest.mark.parametrize(
    ("limit", "period", "quota"),
    [("-1", "100000", None), ("300000", "100000", 3.0), ("x", "1", None), ("1", "0", None)],
)
def test_quota_version_1(cgroup: Path, limit: str, period: str, quota: float | None) -> None:
    (cgroup / "cpu/pod/us/cpu.cfs_quota_us").write_text(limit)
    (cgroup / "cpu/pod/us/cpu.cfs_period_us").write_text(period)
    assert threads._quota() == quota


def test_no_quota(cgroup: Path) -> None:
    assert threads._quota() is None
    (control_groups.PROC / "self" / "cgroup").unlink()
    assert threads._quota() is None


def test_the_root_is_a_container_s_own(cgroup: Path) -> None:
    (control_groups.PROC / "self" / "cgroup").write_text("0::/of/the/host\n")
    (cgroup / "cpu.max").write_text("300000 100000")
    assert threads._quota() == 3


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
def test_a_quota_is_kept_and_named(cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(6)))
    allowed = threads.allowed_cpus.__wrapped__
    assert allowed() == (6, "6 of 8 processors, by affinity")
    (cgroup / "cpu.max").write_text("250000 100000")
    assert allowed() == (2, "control group allows 2.5 processors")
    (cgroup / "cpu.max").write_text("10000 100000")
    assert allowed() == (1, "control group allows 0.1 processors")
    (cgroup / "cpu.max").write_text("9900000 100000")
    assert allowed() == (6, "6 of 8 processors, by affinity")


# ---- rows ---------------------------------------------------------------------------------------


def test_op_row() -> None:
    kernel = jit.Kernel("k", 1234, (("a", "int"), ("b", "float"), ("c", "int")))
    row = op_row(kernel, c=-5, b=0.1, a=2**40)
    assert row.dtype == np.int64 and row.shape == (layout.OP_WORDS,)
    assert row[layout.OP_KERNEL] == 1234 and row[layout.OP_BARRIER] == 1
    first = layout.FIRST_ARGUMENT
    assert row[first] == 2**40 and row[first + 2] == -5
    assert row[first + 1 : first + 2].view(np.float32)[0] == np.float32(0.1)


@pytest.mark.parametrize("arguments", [{"a": 1}, {"a": 1, "b": 2, "c": 3}, {}])
def test_op_row_refuses_other_arguments(arguments: dict[str, int]) -> None:
    kernel = jit.Kernel("k", 1, (("a", "int"), ("b", "float")))
    with pytest.raises(TypeError, match="k takes a, b; got"):
        op_row(kernel, **arguments)


# ---- runs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_every_op_waits_for_the_last(n_threads: int) -> None:
    pool = Pool(n_threads)
    for n_ops in (1, 7, 200):
        Sum(n_ops).check(pool)
    pool.close()


def test_an_empty_table(pool: Pool) -> None:
    pool.run(np.zeros((0, layout.OP_WORDS), np.int64))
    Sum(3).check(pool)


def test_work_is_handed_out_once(pool: Pool) -> None:
    """A kernel that takes its work from the counter, run again and again."""
    data = np.arange(1 << 16, dtype=np.float32)
    sums = np.zeros((pool.n_threads, 16), np.float32)
    kernel = jit.load(["bandwidth:"])["bandwidth:"]
    places = {"data": at(data), "out": at(sums)}
    row = op_row(kernel, n_chunks=data.nbytes // 512, chunk_bytes=512, **places)
    for _ in range(100):
        sums[...] = 0  # a thread that is left out writes none
        pool.run(row[None])
        assert sums.sum(dtype=np.float64) == pytest.approx(data.sum(dtype=np.float64), rel=1e-5)


def test_two_threads_may_ask_at_once(pool: Pool) -> None:
    sums, failed = [Sum(20, width) for width in (100, 3000, 17)], []

    def ask(mine: Sum) -> None:
        try:
            for _ in range(100):
                mine.check(pool)
        except BaseException as error:
            failed.append(error)

    askers = [threading.Thread(target=ask, args=(s,)) for s in sums]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(60)
    assert not failed and not any(a.is_alive() for a in askers)


def test_closing_ends_the_threads() -> None:
    def running() -> set[threading.Thread]:
        return {t for t in threading.enumerate() if t.name.startswith("vatra ")}

    before = running()
    pool = Pool(3)
    assert running() <= before  # none until they are needed
    Sum(5).check(pool)
    mine = running() - before
    assert len(mine) == 3 and all(t.daemon for t in mine)
    pool.close()
    for thread in mine:
        thread.join(5)
        assert not thread.is_alive()
    pool.close()
    Sum(5).check(pool)  # starts others
    pool.close()


def test_closed_and_used_again_at_once(pool: Pool) -> None:
    total = Sum(5)
    for _ in range(300):
        total.check(pool)
        pool.close()


def test_no_thread_left_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    pool, left = Pool(3), [2]

    def refused(self: threading.Thread) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("can't start new thread")
        start(self)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refused)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            Sum(3).check(pool)
    Sum(3).check(pool)
    pool.close()


# ---- busy neighbours ----------------------------------------------------------------------------


class Played:
    """Runs of a crew at a made-up time, of which `busy` cores are taken by others."""

    def __init__(self, n_threads: int) -> None:
        self.crew, self.now, self.busy = threads.Crew(n_threads), 0.0, 0

    def sizes(self, seconds: float, each: float = 0.03) -> list[int]:
        """How many threads took part in each run for so long."""
        found, end = [], self.now + seconds
        while self.now < end:
            size = self.crew.begin(self.now)
            stalled = size > self.crew.most - self.busy
            self.now += 4 * each if stalled else each
            self.crew.ran(0.9 if stalled else 0.05, 4 * each if stalled else each, self.now)
            found.append(size)
        return found


def test_a_thread_whose_core_is_taken_is_left_out() -> None:
    played = Played(4)
    assert set(played.sizes(10)) == {4}
    played.busy = 1
    found = played.sizes(60)
    assert found[0] == 4 and set(found) == {3, 4}
    assert found.count(4) < 0.02 * len(found)  # tried again, but ever more rarely
    played.busy = 3
    assert set(played.sizes(60)[100:]) == {1, 2}
    played.busy = 0
    found = played.sizes(20)
    assert set(found[-100:]) == {4}
    played.busy = 1  # forgotten: the first try comes as soon as at first
    assert played.sizes(threads.PATIENCE_S[0] + 0.4).count(4) == 2


def test_one_stalled_run_is_no_neighbour() -> None:
    crew = threads.Crew(2)
    for i in range(200):
        assert crew.begin(i / 50) == 2
        crew.ran(0.9 if i % 2 else 0.0, 0.02, i / 50 + 0.02)


def test_waiting_threads_are_noticed(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "PATIENCE_S", (0.3, 0.3))
    pool.crew = threads.Crew(2)
    slow, seen = [True], list[tuple[int, int]]()

    def held_up(_result: int, _error: int, _op: int, _run: int, thread: int, n: int) -> int:
        seen.append((thread, n))
        if slow[0] and thread == 1:
            time.sleep(0.03)
        return 0

    kind = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 4)
    kernel = kind(held_up)
    table = np.zeros((1, layout.OP_WORDS), np.int64)
    table[0, layout.OP_KERNEL] = ctypes.cast(kernel, ctypes.c_void_p).value or 0
    table[0, layout.OP_BARRIER] = 1
    begin = time.monotonic()
    while pool.crew.size == 2 and time.monotonic() < begin + 20:
        pool.run(table)
    seen.clear()
    pool.run(table)
    assert seen == [(0, 1)]
    total = Sum(20)
    total.check(pool)  # also with one thread less
    slow[0] = False
    time.sleep(0.4)
    seen.clear()
    pool.run(table)
    assert sorted(seen) == [(0, 2), (1, 2)]


# ---- interruptions ------------------------------------------------------------------------------


def seconds_of_work(pool: Pool) -> tuple[Array, list[Array]]:
    """A table that keeps `pool` busy for many seconds, a few milliseconds at a time."""
    data, sums = np.ones(4 << 20, np.float32), np.zeros(16 * pool.n_threads, np.float32)
    kernel = jit.load(["bandwidth:"])["bandwidth:"]
    places = {"data": at(data), "out": at(sums)}
    row = op_row(kernel, n_chunks=16, chunk_bytes=1 << 20, **places)
    return np.repeat(row[None], 50_000, 0), [data, sums]


@posix
@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_an_interrupted_run_stops(n_threads: int) -> None:
    """Within 1000 of 50,000 ops, which is about a second where nobody else works."""
    pool = Pool(n_threads)
    table, _kept = seconds_of_work(pool)
    sent = [0]

    def begun() -> int:
        return int(np.count_nonzero(table[:, layout.OP_COUNTER]))

    def interrupt() -> None:
        while begun() < 200:
            time.sleep(0.001)
        sent[0] = begun()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    sender = threading.Thread(target=interrupt, daemon=True)
    sender.start()
    with pytest.raises(KeyboardInterrupt):
        pool.run(table)
    assert 200 <= sent[0] <= begun() < sent[0] + 1000
    sender.join()
    for _ in range(20):
        Sum(20).check(pool)
    pool.close()


INTERRUPTIONS = """
import random, signal, sys, time
sys.path.insert(0, "tests")
from test_threads import Pool, Sum

def interrupt(*_):
    global left
    left -= 1
    if left > 0:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 2e-4))
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
random.seed(int(sys.argv[1]))
pool, total, caught, left = Pool(3), Sum(8), 0, 0
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    left = random.choice((1, 2))
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-4, 1e-3))
        while True:
            pool.run(total.table, tokens=1)
    except KeyboardInterrupt:
        caught += 1
    while left > 0:  # the second comes when the first is through
        try:
            time.sleep(1e-3)
        except KeyboardInterrupt:
            pass
    total.check(pool)
print(caught)
"""


@posix
@pytest.mark.slow
def test_interruptions_at_any_moment_leave_a_pool_that_works() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTIONS, "1", "4"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


# ---- forks --------------------------------------------------------------------------------------


def status_of(work: Callable[[], object], seconds: float = 20) -> int | None:
    """The exit status of a forked child that does `work`; None if it had to be killed."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except Exception:
            os._exit(3)  # a Python exception would be an answer too
        finally:
            os._exit(4)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (found := os.waitpid(child, os.WNOHANG))[0]:
            return os.waitstatus_to_exitcode(found[1])
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


@posix
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own(pool: Pool) -> None:
    total = Sum(50)
    total.check(pool)
    assert status_of(lambda: total.check(pool)) == 0
    total.check(pool)


@posix
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forking_while_another_thread_runs(pool: Pool) -> None:
    table, _kept = seconds_of_work(pool)
    total = Sum(50)
    stop = threading.Event()

    def keep_busy() -> None:
        while not stop.is_set():
            pool.run(table[:50])

    busy = threading.Thread(target=keep_busy)
    busy.start()
    time.sleep(0.05)
    statuses = [status_of(lambda: total.check(pool)) for _ in range(3)]
    stop.set()
    busy.join()
    assert statuses == [0, 0, 0]
    total.check(pool)


def test_the_barrier_lies_on_cache_lines_of_its_own(pool: Pool) -> None:
    assert at(pool.run_block) % 64 == 0
    assert ctypes.sizeof(ctypes.c_int64) * (layout.RUN_TURN - layout.RUN_ARRIVED) >= 64
