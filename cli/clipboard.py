"""Putting a text on the clipboard, by a program of this system or by the terminal itself."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys

from vatra.cli import terminal
from vatra.errors import UsageError

# A program, and the variable without which it has no clipboard to reach ("" for none).
PROGRAMS = (
    ("TMUX", ("tmux", "load-buffer", "-w", "-")),
    ("WAYLAND_DISPLAY", ("wl-copy",)),
    ("DISPLAY", ("xclip", "-selection", "clipboard")),
    ("DISPLAY", ("xsel", "--clipboard", "--input")),
    ("", ("pbcopy",)),
    ("", ("clip.exe",)),
)
PATIENCE_S = 2.0
MOST_BYTES = 74_994  # of a text: terminals refuse longer sequences


def copy(text: str) -> str:
    """Put `text` on the clipboard; returns who took it, and raises UsageError if nobody does."""
    data = text.encode("utf-8", "replace")
    for variable, command in PROGRAMS:
        if (not variable or os.environ.get(variable)) and shutil.which(command[0]):
            try:
                subprocess.run(
                    command,
                    input=data,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    timeout=PATIENCE_S,
                    check=True,
                )
                return command[0]
            except (OSError, subprocess.SubprocessError):
                continue
    if not terminal.has_colours(sys.stdout):
        raise UsageError("no clipboard: neither a program for it nor a terminal that has one")
    if len(data) > MOST_BYTES:
        raise UsageError(
            f"no clipboard: the answer has {len(data)} bytes, a terminal takes {MOST_BYTES} at most"
        )
    # OSC 52; of base64 nothing can be a sequence of its own.
    terminal.send(f"\x1b]52;c;{base64.b64encode(data).decode('ascii')}\x07")
    return "the terminal"
