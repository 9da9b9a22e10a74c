"""Where `vatra batch` writes its answers: a file that it goes on with, or standard output."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from vatra.cli import terminal
from vatra.cli.batch_lines import Key
from vatra.cli.batch_records import key_of
from vatra.errors import BadFile, IOFailed, MissingFile, UsageError, printable

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class Output(Protocol):
    """`answered` are the keys of lines that have an answer, with the hash of each.

    `failed` are those of them that have an error instead.
    """

    answered: dict[Key, str]
    failed: set[Key]

    def write(self, record: Mapping[str, Any]) -> None: ...
    def close(self) -> None: ...


class StandardOutput:
    """Records go to whoever reads standard output, who has none of them yet."""

    def __init__(self) -> None:
        self.answered: dict[Key, str] = {}
        self.failed: set[Key] = set()

    def write(self, record: Mapping[str, Any]) -> None:
        terminal.write_line(json.dumps(record))

    def close(self) -> None:
        pass


class OutputFile:
    """A file of records; a last line that was cut when its writer was killed is dropped.

    Raises BadFile if it holds anything else, UsageError if another process writes to it, or
    MissingFile. Nothing of it is changed then.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dropped = 0  # bytes
        self.answered: dict[Key, str] = {}
        self.failed: set[Key] = set()
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
            self._file = os.open(path, flags, 0o666)
        except OSError as error:
            raise MissingFile(f"{printable(str(path))}: {error.strerror}") from None
        try:
            self._take()
        except BaseException:
            os.close(self._file)
            raise

    def _take(self) -> None:
        shown = printable(str(self.path))
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            raise UsageError(f"{shown}: is not a regular file; - is standard output")
        if fcntl is not None:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EACCES):
                    raise UsageError(f"{shown}: another process is writing to it") from None
        with open(self._file, "rb", closefd=False) as file:
            lines = file.read().split(b"\n")
        torn = lines.pop()  # "" after a last line that is whole
        for number, line in enumerate(lines, 1):
            try:
                key, digest, failed = key_of(json.loads(line))
            except (ValueError, KeyError, TypeError, RecursionError):
                what = "not an answer of vatra batch: name another file"
                raise BadFile(self.path, what, field=f"line {number}") from None
            self.answered[key] = digest
            (self.failed.add if failed else self.failed.discard)(key)
        if torn:
            if not torn.startswith(b"{"):
                what = "not an answer of vatra batch: name another file"
                raise BadFile(self.path, what, field=f"line {len(lines) + 1}")
            self.dropped = len(torn)
            os.ftruncate(self._file, os.fstat(self._file).st_size - len(torn))

    def write(self, record: Mapping[str, Any]) -> None:
        """Append a record: all of it is there, or what is there is dropped next time."""
        data = json.dumps(record).encode() + b"\n"
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            raise IOFailed(f"{printable(str(self.path))}: {error.strerror}") from None

    def close(self) -> None:
        try:
            os.fsync(self._file)
        except OSError as error:
            raise IOFailed(f"{printable(str(self.path))}: {error.strerror}") from None
        finally:
            os.close(self._file)
