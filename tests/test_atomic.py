"""A file that is being written holds the old content or the new, whatever fails and whenever."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vatra.errors import IOFailed, MissingFile, UsageError
from vatra.formats.atomic import atomic_write


def test_written_and_renamed(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with atomic_write(path) as file:
        file.write(b"new")
        assert not path.exists() and os.path.dirname(file.name) == str(tmp_path)
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == ["a.bin"]


def test_a_bare_name_lands_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with atomic_write("a.bin") as file:
        file.write(b"new")
    assert (tmp_path / "a.bin").read_bytes() == b"new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(error), atomic_write(path) as file:
        file.write(b"new")
        raise error
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_a_failing_call_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def fail(*_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(IOFailed) as caught, atomic_write(path) as file:
            file.write(b"new")
    assert os.strerror(code) in str(caught.value) and str(path) in str(caught.value)
    assert caught.value.exit_code == 74
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.bin"]
    with atomic_write(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IOFailed, match="No space left"), atomic_write(tmp_path / "a") as file:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, file.fileno())
        os.close(full)
        file.write(b"new")
    assert not os.listdir(tmp_path)


def test_only_files_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="not a regular file"), atomic_write(tmp_path / "folder"):
        pass
    with pytest.raises(MissingFile, match="there is no folder"), atomic_write(tmp_path / "x" / "a"):
        pass
    with pytest.raises(IOFailed, match="null"), atomic_write(tmp_path / "a\0b"):
        pass


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_permissions(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with atomic_write(path, mode=0o600):
        pass
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with atomic_write(path):
        pass
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("target")
    with atomic_write(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "target").read_bytes() == b"old"
    assert not (tmp_path / "link").is_symlink()


def test_long_names(tmp_path: Path) -> None:
    for name in ("n" * 255, "é" * 127):
        with atomic_write(tmp_path / name) as file:
            file.write(b"new")
        assert (tmp_path / name).read_bytes() == b"new"


WRITER = """
import sys, time
from vatra.formats.atomic import atomic_write
with atomic_write(sys.argv[1]) as file:
    file.write(b"new" * 1000)
    file.flush()
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_a_killed_writer_is_cleaned_up_after(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == b"ready\n"
        (leftover,) = (p for p in tmp_path.iterdir() if p != path)
        hour_ago = time.time() - 3600
        os.utime(leftover, (hour_ago, hour_ago))
        with atomic_write(path) as file:  # the other still writes: its file is left alone
            file.write(b"mine")
        assert leftover.exists()
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert path.read_bytes() == b"mine"
    os.utime(leftover, (hour_ago, hour_ago))
    with atomic_write(path) as file:
        file.write(b"next")
    assert sorted(os.listdir(tmp_path)) == ["a.bin"]
