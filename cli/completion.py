"""`vatra completion`: a script by which a shell completes this command line."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from vatra.cli import terminal

VARIABLE = "_VATRA_COMPLETE"  # set by the scripts when they ask for completions


class Shell(StrEnum):
    """The shells there are scripts for."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


def command(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print what makes a shell complete commands and options."""
    from typer._completion_shared import get_completion_script

    script = get_completion_script(prog_name="vatra", complete_var=VARIABLE, shell=shell.value)
    terminal.write_line(script)


def models(incomplete: str) -> list[str]:
    """The names of models that begin so; none for a path, which the shell completes by itself."""
    from vatra.formats import shelf

    return [name for name in shelf.names() if name.startswith(incomplete)]


def devices(incomplete: str) -> list[str]:
    """The names of graphics processors that begin so."""
    from vatra.engine.offload.device import NoDevice, adapters

    try:
        return [a.name for a in adapters() if a.name.lower().startswith(incomplete.lower())]
    except NoDevice:
        return []


def sessions(incomplete: str) -> list[str]:
    """The names of sessions that begin so, the latest first."""
    from vatra.cli import session_store

    return [name for name in session_store.names() if name.startswith(incomplete)]


def answer(commands: Any) -> None:
    """Print what the command line that a shell's script hands over may become, and exit."""
    from typer._completion_classes import completion_init

    completion_init()
    commands.main([], "vatra", complete_var=VARIABLE)
