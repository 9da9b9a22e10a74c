"""Files for systemd and launchd: what they start is exactly the command."""

from __future__ import annotations

import configparser
import os
import plistlib
import shutil
import subprocess
from pathlib import Path

import pytest

from vatra.errors import UsageError
from vatra.server.service import launchd_path, launchd_plist, systemd_path, systemd_unit

COMMAND = [
    "/opt/py thon/bin/python3", "-m", "vatra", "serve", "-m", '/mo"dels/a\\b %h $HOME.gguf',
    "--ctx", "4096", "",
]  # fmt: skip


def test_systemd_unit() -> None:
    unit = systemd_unit(COMMAND, {"VATRA_CACHE": "/a b/%t"})
    parsed = configparser.ConfigParser(interpolation=None, strict=True)
    parsed.optionxform = str  # type: ignore[assignment, method-assign]
    parsed.read_string(unit)
    assert parsed["Service"]["ExecStart"] == (
        '"/opt/py thon/bin/python3" "-m" "vatra" "serve" "-m" '
        '"/mo\\"dels/a\\\\b %%h $$HOME.gguf" "--ctx" "4096" ""'
    )
    assert parsed["Service"]["Environment"] == '"VATRA_CACHE=/a b/%%t"'
    assert parsed["Service"]["Restart"] == "on-failure"
    assert parsed["Install"]["WantedBy"] == "default.target"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_reads_it(tmp_path: Path) -> None:
    unit = tmp_path / "vatra.service"

    def told() -> tuple[int, str]:
        done = subprocess.run(
            ["systemd-analyze", "verify", "--user", unit],
            capture_output=True, text=True, timeout=30,
            env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
        )  # fmt: skip
        return done.returncode, done.stderr

    good = systemd_unit(["/bin/true", *COMMAND[1:]], {"VATRA_CACHE": "/a b/%t"})
    unit.write_text(good)
    assert told() == (0, "")
    unit.write_text(good.replace("UMask", "Umask"))
    assert "vatra.service:" in told()[1]


@pytest.mark.parametrize("word", ["a\nb", "a\x00b", "\x1b[31m"])
def test_what_no_unit_can_hold(word: str) -> None:
    with pytest.raises(UsageError, match="cannot hold"):
        systemd_unit(["vatra", word], {})
    with pytest.raises(UsageError, match="cannot hold"):
        systemd_unit(["vatra"], {"VATRA_X": word})


def test_launchd_plist() -> None:
    found = plistlib.loads(launchd_plist(COMMAND, {"VATRA_ISA": "neon"}, Path("/logs/vatra.log")))
    assert found["ProgramArguments"] == COMMAND
    assert found["EnvironmentVariables"] == {"VATRA_ISA": "neon"}
    assert found["RunAtLoad"] is True and found["KeepAlive"] == {"SuccessfulExit": False}
    assert found["StandardErrorPath"] == "/logs/vatra.log"


def test_where_they_are() -> None:
    home = Path("/home/me")
    assert systemd_path(home) == home / ".config/systemd/user/vatra.service"
    assert systemd_path(home, "/conf") == Path("/conf/systemd/user/vatra.service")
    assert launchd_path(home) == home / "Library/LaunchAgents/vatra.serve.plist"
