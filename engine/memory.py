"""How much memory this process may still use, and why no more."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

from vatra.choices import Choice
from vatra.engine import control_groups


class Available(NamedTuple):
    """Bytes that can still be used, and what sets the limit."""

    n_bytes: int
    reason: str


def available() -> Available | None:
    """The smallest of what the machine, its control group and the process limits leave.

    None where nothing of it is known.
    """
    found = [a for a in (_machine(), _group(), _process()) if a is not None]
    return min(found, default=None)


def report() -> list[Choice]:
    """What `vatra doctor` says of memory."""
    left = available()
    if left is None:
        return [Choice("memory", "unknown", "this system does not tell")]
    return [Choice("memory", mebibytes(left.n_bytes), left.reason)]


def mebibytes(n_bytes: int) -> str:
    """`n_bytes` for a message."""
    return f"{-(-n_bytes // 2**20):,} MiB"


def _machine() -> Available | None:
    """Memory that is free or can be freed at once."""
    try:
        for line in (control_groups.PROC / "meminfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return Available(1024 * int(value.split()[0]), "available on this machine")
    except (OSError, ValueError, IndexError):
        pass
    if sys.platform == "win32":
        return _windows()
    try:
        pages = os.sysconf("SC_PHYS_PAGES")  # macOS counts no available pages here
        return Available(pages * os.sysconf("SC_PAGE_SIZE"), "memory of this machine")
    except (OSError, ValueError, AttributeError):
        return None


def _windows() -> Available | None:
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = [
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "available", "page_total")),
            *(
                (name, ctypes.c_ulonglong)
                for name in ("page", "virtual_total", "virtual", "extended")
            ),
        ]

    status = Status(length=ctypes.sizeof(Status))
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined,unused-ignore]
    if not kernel.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None
    return Available(status.available, "available on this machine")


def _group() -> Available | None:
    """What the control groups of this process leave."""
    found = [
        Available(left, "left in this control group")
        for version, folder in control_groups.folders("memory")
        if (left := _left_in(folder, *_LIMIT_AND_USAGE[version])) is not None
    ]
    return min(found, default=None)


_LIMIT_AND_USAGE = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    2: ("memory.max", "memory.current"),
}


def _left_in(folder: Path, limit: str, usage: str) -> int | None:
    try:
        most, used = int((folder / limit).read_text()), int((folder / usage).read_text())
        counts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    if most >= 2**60:  # version 1 writes no limit as a huge number
        return None
    # Pages of files that were not used lately are given up as soon as memory is needed.
    return max(0, most - used + int(counts.get("inactive_file", 0)))


def _process() -> Available | None:
    """What the limit on this process's address space leaves."""
    try:
        import resource

        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        if most == resource.RLIM_INFINITY:
            return None
        pages = int((control_groups.PROC / "self" / "statm").read_text().split()[0])
        left = most - pages * resource.getpagesize()
    except (ImportError, OSError, ValueError, IndexError):
        return None
    return Available(max(0, left), "left of this process's address space (ulimit -v)")
