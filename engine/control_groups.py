"""The control groups of this process (cgroups 7), with which Linux limits memory and processors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
ROOT = Path("/sys/fs/cgroup")


def folders(controller: str) -> Iterator[tuple[int, Path]]:
    """(version, folder) of every group whose limits hold: this process's own, then its parents."""
    try:
        lines = (PROC / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if controllers == "":
            version, root = 2, ROOT
        elif controller in controllers.split(","):
            version, root = 1, ROOT / controller
        else:
            continue
        own = root / path.lstrip("/")
        # Inside a container the path is often the host's: then the root is the container's own.
        for folder in (own, *own.parents) if own.is_dir() else (root,):
            yield version, folder
            if folder == root:
                break
