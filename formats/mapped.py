"""A file mapped into memory: regular files only, opened without waiting, its pages ours to drop."""

from __future__ import annotations

import difflib
import mmap
import os
import stat
import weakref
from contextlib import suppress

import numpy as np

from vatra.errors import IOFailed, MissingFile, OutOfMemory, printable

_PAGE = mmap.PAGESIZE
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
_CHANGED = "while it was in use; load it again"


class MappedFile:
    """The bytes of a regular file: `buffer` for parsing, `bytes` as uint8 (size,), read-only.

    Raises MissingFile for whatever is not there, may not be read or is no regular file, and
    OutOfMemory where the address space is too small. Arrays over it keep the mapping alive.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        fd = open_regular(path)
        self._close = weakref.finalize(self, os.close, fd)
        self._fd = fd
        found = os.fstat(fd)
        self.size = found.st_size
        self._modified_ns = found.st_mtime_ns
        self._map: mmap.mmap | None = None
        if self.size:
            try:
                self._map = mmap.mmap(fd, self.size, access=mmap.ACCESS_READ)
            except (OSError, OverflowError, ValueError) as error:
                raise OutOfMemory(
                    f"{printable(path)}: cannot map its {self.size} bytes into memory ({error}); "
                    "is a memory limit set (ulimit -v)?"
                ) from error
        self.buffer: mmap.mmap | bytes = b"" if self._map is None else self._map
        self.bytes = np.frombuffer(self.buffer, np.uint8)

    def release(self, start: int, n_bytes: int) -> None:
        """Drop the whole pages within these bytes from memory; reading brings them back."""
        first = -(-start // _PAGE) * _PAGE
        length = (start + n_bytes) // _PAGE * _PAGE - first
        if length > 0 and self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED, first, length)

    def check_unchanged(self) -> None:
        """IOFailed if the file was cut or rewritten since it was opened.

        Deleting it or putting another in its place does no harm: the mapping keeps the old one.
        """
        if not self._close.alive:
            return
        try:
            found = os.fstat(self._fd)
        except OSError as error:
            raise IOFailed(
                f"{printable(self.path)}: is gone {_CHANGED} ({error.strerror})"
            ) from error
        if found.st_size < self.size:
            what = f"was cut from {self.size} to {found.st_size} bytes {_CHANGED}"
            raise IOFailed(f"{printable(self.path)}: {what}")
        if (found.st_size, found.st_mtime_ns) != (self.size, self._modified_ns):
            raise IOFailed(f"{printable(self.path)}: was rewritten {_CHANGED}")

    def close(self) -> None:
        """Close the file; memory that arrays still point to stays mapped until the last is gone."""
        self._close()
        self.buffer, self.bytes = b"", np.empty(0, np.uint8)
        if self._map is not None:
            with suppress(BufferError):  # arrays point into it: it goes with the last of them
                self._map.close()
            self._map = None


def open_regular(path: str) -> int:
    """A descriptor of a regular file: looked at before it is opened, for a pipe would wait.

    Raises MissingFile for whatever is not there, may not be read or is no regular file.
    """
    if not path:
        raise MissingFile("the name of the file is empty")
    try:
        _refuse_special(path, os.stat(path).st_mode)
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        fd = os.open(path, flags | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError as error:
        raise MissingFile(f"{printable(path)}: no such file{_instead(path)}") from error
    except PermissionError as error:
        raise MissingFile(f"{printable(path)}: no permission to read this file") from error
    except (OSError, ValueError) as error:  # loops, names too long or with NUL, NotADirectory
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise MissingFile(f"{printable(path)}: cannot be opened: {why}") from error
    try:
        _refuse_special(path, os.fstat(fd).st_mode)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _refuse_special(path: str, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    what = _KINDS.get(stat.S_IFMT(mode), "something else")
    inside = _listed(_gguf_names(path)) if stat.S_ISDIR(mode) else ""
    hint = f"; it holds {inside}" if inside else ""
    raise MissingFile(f"{printable(path)}: is {what}, wanted a regular file{hint}")


def _instead(path: str) -> str:
    """What the person may have meant by a name that is not there."""
    folder, name = os.path.split(path)
    if folder and not os.path.isdir(folder):
        return f"; there is no folder {printable(folder)} either"
    names = _gguf_names(folder or ".")
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"; did you mean {printable(close[0])}?"
    return f"; in that folder there is {_listed(names)}" if names else ""


def _gguf_names(folder: str) -> list[str]:
    """The first GGUF files of a folder, by name; none where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            seen = (entry.name for _, entry in zip(range(10_000), entries, strict=False))
            return sorted(name for name in seen if name.endswith(".gguf"))
    except OSError:
        return []


def _listed(names: list[str]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(printable(name) for name in names[:3]) + rest
