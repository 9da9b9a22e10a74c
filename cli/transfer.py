"""Bringing a file of the hub into the cache of Hugging Face: resumed, and hashed before it counts.

A file is written to blobs/DIGEST.incomplete, where the next try goes on. Only when all of it is
there and hashes to what the hub says does it become blobs/DIGEST, and get a name in snapshots/.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from vatra.cli import hub
from vatra.cli.hub import Interruption
from vatra.errors import IOFailed, Unavailable, printable
from vatra.formats import shelf
from vatra.formats.atomic import atomic_write

if TYPE_CHECKING:
    from hashlib import _Hash

    from vatra.cli.hub import RemoteFile, Repository

try:
    import fcntl
except ImportError:  # Windows, where an open file keeps others from replacing it
    fcntl = None  # type: ignore[assignment]

Report = Callable[[str, int, int], None]  # what is done, bytes done, bytes in all

CHECKING, DOWNLOADING = "checking", "downloading"
TRIES = 5  # in a row that bring nothing new
PAUSE_S = 1.0  # before the second, then twice as long each time
_CHUNK = 1 << 20


def folder_of(repo: str) -> Path:
    """Where the cache keeps a repository."""
    return shelf.hub_cache() / f"models--{repo.replace('/', '--')}"


def bytes_to_fetch(repository: Repository, paths: tuple[str, ...]) -> int:
    """Bytes of disk that fetching files will still take."""
    blobs = folder_of(repository.name) / "blobs"
    total = 0
    for file in (repository.files[path] for path in paths):
        have = [blobs / file.digest, blobs / f"{file.digest}.incomplete"]
        total += max(0, file.n_bytes - sum(p.stat().st_size for p in have if p.is_file()))
    return total


def fetch(repository: Repository, path: str, report: Report) -> Path:
    """The file of a repository in the cache, whole and checked.

    A file that is there already is checked too, and replaced if it is wrong. Raises Unavailable for
    whatever the hub or the network does not give, IOFailed where the disk does not take it.
    """
    file = repository.files[path]
    folder = folder_of(repository.name)
    blob = folder / "blobs" / file.digest
    pointer = folder / "snapshots" / repository.commit / path
    try:
        for place in (blob.parent, pointer.parent):
            place.mkdir(parents=True, exist_ok=True)
        kept = blob if blob.is_file() else pointer
        if not (kept.is_file() and _is_right(kept, file, report)):
            for wrong in (pointer, blob):
                wrong.unlink(missing_ok=True)
            partial = blob.with_name(f"{blob.name}.incomplete")
            with _opened_alone(partial) as out:
                _download(repository, file, out, report)
                os.replace(partial, blob)
        _link(blob, pointer)
    except OSError as error:
        why = error.strerror or str(error)
        raise IOFailed(f"{printable(str(folder))}: {why}; what was fetched is kept") from error
    return pointer


def make_current(repository: Repository) -> None:
    """Note which commit the revision was, for programs that ask the cache for it by name."""
    if repository.revision == repository.commit:
        return
    ref = folder_of(repository.name) / "refs" / repository.revision
    ref.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(ref) as file:
        file.write(repository.commit.encode())


def _is_right(path: Path, file: RemoteFile, report: Report) -> bool:
    if path.stat().st_size != file.n_bytes:
        return False
    with open(path, "rb") as content:
        return _hashed(content, file, report).hexdigest() == file.digest


def _hashed(content: BinaryIO, file: RemoteFile, report: Report) -> _Hash:
    """The hash of what is left to read, told of as it goes."""
    found, done = file.new_hash(), 0
    while chunk := content.read(_CHUNK):
        found.update(chunk)
        done += len(chunk)
        report(CHECKING, min(done, file.n_bytes), file.n_bytes)
    return found


def _link(blob: Path, pointer: Path) -> None:
    """Let `pointer` lead to `blob`, or where the system has no such links take its place."""
    if not blob.exists() or (pointer.exists() and pointer.samefile(blob)):
        return
    pointer.unlink(missing_ok=True)
    try:
        pointer.symlink_to(os.path.relpath(blob, pointer.parent))
    except (OSError, NotImplementedError):
        os.replace(blob, pointer)


@contextmanager
def _opened_alone(partial: Path) -> Iterator[BinaryIO]:
    """The file that is being fetched, to read and write; IOFailed if another process has it."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(partial, flags, 0o666), "r+b") as out:
        try:
            if fcntl is not None:
                fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise IOFailed(
                f"{printable(str(partial))}: another process is fetching it; wait for that one"
            ) from None
        except OSError:
            pass  # some network file systems have no locks
        try:
            yield out
        finally:
            if not os.fstat(out.fileno()).st_size:
                partial.unlink()


def _download(repository: Repository, file: RemoteFile, out: BinaryIO, report: Report) -> None:
    """Bring `out` to the file's content, going on after what is there; empty if that was wrong."""
    content = _hashed(out, file, report)
    have = furthest = out.tell()
    failures = 0

    def begin_again() -> None:
        nonlocal content, have
        out.seek(0)
        out.truncate()
        content, have = file.new_hash(), 0

    while have < file.n_bytes:
        try:
            for at, chunk in _chunks(repository, file, have):
                if at != have:
                    begin_again()
                have += len(chunk)
                if have > file.n_bytes:
                    break
                out.write(chunk)
                content.update(chunk)
                report(DOWNLOADING, have, file.n_bytes)
        except Interruption as error:
            failures = 0 if have > furthest else failures + 1
            furthest = max(furthest, have)
            if failures == TRIES:
                raise
            if isinstance(error, _OtherPart):
                begin_again()
            time.sleep(PAUSE_S * 2**failures)
    got = "more bytes" if have > file.n_bytes else f"hash {content.hexdigest()}"
    if got != f"hash {file.digest}":
        begin_again()
        raise Unavailable(
            f"{repository.name}: {printable(file.path)}: what was sent is not what the hub lists: "
            f"got {got}, wanted {file.n_bytes} bytes of hash {file.digest}; deleted, pull again"
        )
    out.flush()
    os.fsync(out.fileno())


class _OtherPart(Interruption):
    """The server did not go on where it was asked to."""


def _chunks(repository: Repository, file: RemoteFile, have: int) -> Iterator[tuple[int, bytes]]:
    """The bytes of a file from number `have` on, or all where the server gives no part.

    With each chunk comes its place. Raises Interruption for what may go better next time,
    Unavailable for anything else.
    """
    from huggingface_hub import get_session, hf_raise_for_status

    headers = hub.request_headers() | ({"range": f"bytes={have}-"} if have else {})
    address = hub.file_address(repository, file.path)
    with (
        hub.explained(repository.name),
        get_session().stream("GET", address, headers=headers, timeout=hub.TIMEOUT_S) as response,
    ):
        what = f"{repository.name}: {printable(file.path)}: the server"
        if response.status_code == 416 and have:
            raise _OtherPart(f"{what} has no bytes from {have} on")
        hf_raise_for_status(response)
        at, total = _place_and_total(response.headers)
        if at not in (0, have):
            raise _OtherPart(f"{what} sends bytes from {at} on, wanted {have}")
        if total not in (None, file.n_bytes):
            raise Unavailable(f"{what} has {total} bytes, the hub lists {file.n_bytes}; try later")
        for (
            chunk
        ) in response.iter_bytes():  # as they come: what is collected first is lost by a cut
            yield at, chunk
            at += len(chunk)
        if at < file.n_bytes:
            raise Interruption(f"{what} ended after {at} of {file.n_bytes} bytes; pull again")


def _place_and_total(headers: Mapping[str, str]) -> tuple[int, int | None]:
    """Where the body of an answer begins in its file, and the bytes of the file if it says."""
    part = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("content-range", ""))
    if part:
        return int(part[1]), None if part[2] == "*" else int(part[2])
    length = headers.get("content-length", "")
    plain = headers.get("content-encoding", "identity") == "identity"
    return 0, int(length) if plain and length.isdecimal() else None
