"""Where weights lie in memory."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from vatra.engine.weights import Memory

SMAPS = Path("/proc/self/smaps")
LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def flags_of(address: int) -> set[str]:
    """What the system says of the mapping that an address lies in (proc_pid_smaps(5))."""
    within = False
    for line in SMAPS.read_text().splitlines():
        span = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
        if span:
            within = int(span[1], 16) <= address < int(span[2], 16)
        elif within and line.startswith("VmFlags:"):
            return set(line.split()[1:])
    raise AssertionError(f"no mapping has {address:#x}")


@pytest.mark.skipif(
    not (SMAPS.exists() and LARGE_PAGES.exists()), reason="this system has no large pages"
)
@pytest.mark.parametrize("size", [1000, Memory.BLOCK // 2 + 1])
def test_the_system_may_use_large_pages(size: int) -> None:
    taken = Memory().take(size)
    flags = flags_of(taken.ctypes.data)
    assert "hg" in flags  # asked for ...
    assert "sh" not in flags  # ... and of a kind of memory that can have them


def test_memory_is_zeros_on_cache_lines_and_never_given_twice() -> None:
    memory = Memory()
    parts = [memory.take(size) for size in (1, 64, 100, Memory.BLOCK // 2 + 1, 65)]
    for i, part in enumerate(parts):
        assert part.ctypes.data % 64 == 0 and not part[:100].any()
        part[:] = i + 1
    assert [int(np.unique(part)[0]) for part in parts] == [1, 2, 3, 4, 5]
    assert [len(part) for part in parts] == [1, 64, 100, Memory.BLOCK // 2 + 1, 65]
