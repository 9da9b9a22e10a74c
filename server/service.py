"""Files by which systemd and launchd start the server with a person's desktop."""

from __future__ import annotations

import plistlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from vatra.errors import UsageError

NAME = "vatra"
LABEL = "vatra.serve"


def systemd_path(home: Path, config: str | None = None) -> Path:
    """Where the units of a person are; `config` is XDG_CONFIG_HOME."""
    return Path(config or home / ".config") / "systemd" / "user" / f"{NAME}.service"


def launchd_path(home: Path) -> Path:
    """Where the agents of a person are."""
    return home / "Library" / "LaunchAgents" / f"{LABEL}.plist"


def systemd_unit(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """A user unit that runs `command` while its person is logged in."""
    lines = [
        "[Unit]",
        "Description=Vatra, language models for the programs of this desktop",
        "",
        "[Service]",
        f"ExecStart={' '.join(_systemd_quoted(word, '%$') for word in command)}",
        *(
            f"Environment={_systemd_quoted(f'{name}={value}', '%')}"
            for name, value in environment.items()
        ),
        "Restart=on-failure",
        "RestartSec=5",
        "SuccessExitStatus=130 143",
        "TimeoutStopSec=15",
        "NoNewPrivileges=yes",
        "UMask=0077",
        "",
        "[Install]",
        "WantedBy=default.target",
    ]
    return "\n".join(lines) + "\n"


def launchd_plist(command: Sequence[str], environment: Mapping[str, str], log: Path) -> bytes:
    """An agent that runs `command` while its person is logged in; what it says goes to `log`."""
    return plistlib.dumps(
        {
            "Label": LABEL,
            "ProgramArguments": list(command),
            "EnvironmentVariables": dict(environment),
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": 5,
            "ProcessType": "Interactive",
            "StandardErrorPath": str(log),
        }
    )


def _systemd_quoted(word: str, doubled: str) -> str:
    """A word as systemd reads it back; UsageError for one that no unit can have."""
    if not word.isprintable():
        raise UsageError(f"{word!r:.80}: a unit of systemd cannot hold this")
    word = word.replace("\\", "\\\\").replace('"', '\\"')
    for mark in doubled:
        word = word.replace(mark, mark * 2)
    return f'"{word}"'
