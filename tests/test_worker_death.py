"""What is said of a process that has ended, from what the system tells of it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from vatra.engine import control_groups
from vatra.server import death
from vatra.server.jobs import File


def file_of(path: Path) -> File:
    found = path.stat()
    return File(str(path), found.st_size, found.st_mtime_ns, found.st_ino)


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(bytes(1000))
    return path


def test_signals_and_statuses(model_file: Path) -> None:
    files = [file_of(model_file)]
    assert death.reason(3, files, {}) == "its process ended with status 3"
    assert death.reason(-signal.SIGSEGV, files, {}) == (
        "its process was ended by SIGSEGV: it touched memory that is not its own"
    )
    assert death.reason(-signal.SIGTERM, files, {}) == "its process was ended by SIGTERM"
    assert death.reason(-1000, files, {}) == "its process was ended by signal 1000"


def test_a_file_that_changed_is_named(model_file: Path) -> None:
    files = [file_of(model_file)]
    os.truncate(model_file, 10)
    assert death.reason(-signal.SIGBUS, files, {}).endswith(
        "SIGBUS: " + f"{model_file} was cut from 1000 to 10 bytes"
    )
    model_file.write_bytes(bytes(2000))
    assert death.change(files[0]).endswith("was rewritten while it was in use")


def test_another_file_in_its_place_is_no_reason(model_file: Path, tmp_path: Path) -> None:
    old = file_of(model_file)
    (tmp_path / "new").write_bytes(bytes(10))
    os.replace(tmp_path / "new", model_file)
    assert death.change(old) == ""
    model_file.unlink()
    assert death.change(old) == ""


def test_killed_for_want_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_groups, "PROC", tmp_path)
    monkeypatch.setattr(control_groups, "ROOT", tmp_path)
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "cgroup").write_text("0::/\n")
    (tmp_path / "vmstat").write_text("pgfault 7\noom_kill 2\n")
    events = tmp_path / "memory.events"
    events.write_text("low 0\noom 5\noom_kill 4\noom_group_kill 0\n")
    before = death.kills_for_memory()
    assert before == {str(tmp_path / "vmstat"): 2, str(events): 4}
    said = death.reason(-signal.SIGKILL, (), before)
    assert said == "its process was ended by SIGKILL: somebody or something killed it"
    events.write_text("low 0\noom 6\noom_kill 5\noom_group_kill 0\n")
    said = death.reason(-signal.SIGKILL, (), before)
    assert said == "its process was ended by SIGKILL: the system was short of memory"
    (tmp_path / "vmstat").unlink()
    events.unlink()
    assert death.kills_for_memory() == {}
