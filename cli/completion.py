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


def answer(commands: Any) -> None:
    """Print what the command line that a shell's script hands over may become, and exit."""
    from typer._completion_classes import completion_init

    completion_init()
    commands.main([], "vatra", complete_var=VARIABLE)
