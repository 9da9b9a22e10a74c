"""Why a process ended that was not asked to, as far as that can be known from outside."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path

from vatra.engine import control_groups
from vatra.errors import printable
from vatra.server.jobs import File

_COUNTERS = {1: "memory.oom_control", 2: "memory.events"}
_SIGNALS = {
    "SIGSEGV": "it touched memory that is not its own",
    "SIGBUS": "memory that it had mapped was gone",
    "SIGILL": "this processor does not know an instruction",
    "SIGABRT": "a library gave up",
}


def kills_for_memory() -> dict[str, int]:
    """How many processes the system has killed for want of memory: by the file that counts them."""
    groups = (folder / _COUNTERS[version] for version, folder in control_groups.folders("memory"))
    return {
        str(path): count
        for path in (control_groups.PROC / "vmstat", *groups)
        if (count := _counted(path)) is not None
    }


def _counted(path: Path) -> int | None:
    try:
        for line in path.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    except (OSError, ValueError):
        pass
    return None


def reason(status: int, files: Iterable[File], kills_before: dict[str, int]) -> str:
    """A sentence on exit `status`, negative for a signal.

    `files` are those that the process had mapped, `kills_before` the counts when it began.
    """
    if status >= 0:
        return f"its process ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    changed = "; ".join(filter(None, map(change, files)))
    why = changed or _SIGNALS.get(name, "")
    if name == "SIGKILL":
        now = kills_for_memory()
        starved = any(now.get(path, 0) > count for path, count in kills_before.items())
        why = "the system was short of memory" if starved else "somebody or something killed it"
    return f"its process was ended by {name}" + (f": {why}" if why else "")


def is_same(file: File) -> bool:
    """Whether a file is as it was, or gone, which does no harm to those who have it mapped."""
    try:
        now = os.stat(file.path)
    except OSError:
        return True
    return File(file.path, now.st_size, now.st_mtime_ns, now.st_ino) == file


def change(file: File) -> str:
    """How a file differs from what it was, "" if it does not, or another has taken its place."""
    if is_same(file) or (now := os.stat(file.path)).st_ino != file.inode:
        return ""
    if now.st_size < file.size:
        return f"{printable(file.path)} was cut from {file.size} to {now.st_size} bytes"
    return f"{printable(file.path)} was rewritten while it was in use"
