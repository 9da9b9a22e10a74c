"""Writing a file so that its name always holds the old content or the new, never a part of it."""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from vatra.errors import IOFailed, MissingFile, UsageError, printable

try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be deleted and needs no lock
    fcntl = None  # type: ignore[assignment]

_STALE_S = 60.0  # a leftover younger than this may belong to a writer that has not locked it yet


@contextmanager
def atomic_write(path: str | os.PathLike[str], *, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A binary file to write, renamed to `path` when the block ends well, removed when it does not.

    Its `.name` may be opened again within the block. A file that is replaced keeps its permissions,
    a new one gets `mode` less the umask. Raises IOFailed (disk full and the like; what `path` held
    before is untouched), MissingFile without the folder, UsageError for a `path` that is no file.
    """
    target = os.fspath(path)
    folder, name = os.path.split(target)
    folder = folder or "."
    temporary = os.path.join(folder, f".{_stem(name)}{secrets.token_hex(8)}.tmp")

    def create(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_CLOEXEC", 0), mode)

    try:
        kept_mode = _mode_to_keep(target)
        _remove_leftovers(folder, name)
        file = open(temporary, "xb", opener=create)  # noqa: SIM115 - closed below, before renaming
    except FileNotFoundError as error:
        raise MissingFile(f"{printable(target)}: there is no folder {printable(folder)}") from error
    except (OSError, ValueError) as error:
        raise _failed(target, error) from error
    try:
        with file:
            if fcntl is not None:
                with suppress(OSError):  # some network file systems have no locks
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield file
            file.flush()
            if kept_mode is not None and hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), kept_mode)
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise _failed(target, error) from error
        raise
    _sync_folder(folder)


def _stem(name: str) -> str:
    """What the names of all temporary files for `name` begin with, short enough for any disk."""
    while len(os.fsencode(name)) > 200:
        name = name[:-1]
    return f"{name}."


def _failed(target: str, error: Exception) -> IOFailed:
    why = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return IOFailed(f"{printable(target)}: not written: {why}; what was there before is untouched")


def _mode_to_keep(target: str) -> int | None:
    """The permissions of the file that will be replaced; UsageError if it is no regular file."""
    try:
        mode = os.lstat(target).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(mode):
        return None  # the link itself is replaced, whatever it points to
    if not stat.S_ISREG(mode):
        raise UsageError(f"{printable(target)}: is not a regular file, so it is not replaced")
    return stat.S_IMODE(mode)


def _remove_leftovers(folder: str, name: str) -> None:
    """Delete what killed writers of the same file left: old, and locked by nobody."""
    prefix = f".{_stem(name)}"
    for entry in os.listdir(folder):
        if not (entry.startswith(prefix) and entry.endswith(".tmp")):
            continue
        leftover = os.path.join(folder, entry)
        with suppress(OSError):
            if time.time() - os.lstat(leftover).st_mtime < _STALE_S:
                continue
            if fcntl is not None:
                with open(leftover, "rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(leftover)


def _sync_folder(folder: str) -> None:
    """Make the rename itself survive a power cut, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
