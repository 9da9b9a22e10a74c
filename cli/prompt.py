"""The prompt of one answer: the argument, the files named in it, and what is piped in."""

from __future__ import annotations

import os
import re
import stat
import sys

from vatra.cli import terminal
from vatra.errors import BadFile, MissingFile, UsageError, printable

# More text than any context holds; reading on would only use memory up.
MOST_BYTES = 16 << 20
# At the beginning of a word; `@@` stands for a sign that names no file.
_REFERENCE = re.compile(r'(?<!\S)@(?:(?P<literal>@)|"(?P<quoted>[^"]+)"|(?P<name>[^\s@"]\S*))')
_PUNCTUATION = ".,;:!?)]}'\""


def prompt_text(prompt: str | None, files: bool = False) -> str:
    """The text that was given: as an argument, on standard input, or the one and then the other.

    An argument that is None or "-" is standard input, less its last line end. With `files`, @name
    in the argument is the text of that file, and a pipe or a file on standard input follows the
    argument in a new line. Raises UsageError if there is no text to read, BadFile if it is no
    UTF-8, MissingFile if a file is not there.
    """
    if prompt is None or prompt == "-":
        if sys.stdin is None or (prompt is None and terminal.is_terminal(sys.stdin)):
            raise UsageError('no prompt: give one, as in vatra run "Once upon a time"')
        text = _piped()
        if not text:
            raise UsageError("the prompt on standard input is empty")
        return text
    text = _decoded(os.fsencode(prompt), "the command line")
    if not files:
        return text
    text = _REFERENCE.sub(_referred, text)
    piped = _piped() if _is_piped() else ""
    return f"{text}\n{piped}" if piped else text


def _referred(found: re.Match[str]) -> str:
    """What stands for a reference in a prompt."""
    if found["literal"]:
        return "@"
    name, after = found["quoted"] or found["name"], ""
    bare = name.rstrip(_PUNCTUATION)
    if found["name"] and bare and not os.path.exists(os.path.expanduser(name)):
        name, after = bare, name[len(bare) :]
    try:
        with open(os.path.expanduser(name), "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise MissingFile(f"{printable(name)}: {why} (@@ is a sign that names no file)") from None
    return _bounded(data, name) + after


def _is_piped() -> bool:
    """Whether a pipe or a file is on standard input; of a device or a socket nobody knows."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (AttributeError, OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def _piped() -> str:
    return _bounded(sys.stdin.buffer.read(MOST_BYTES + 1), "standard input")


def _bounded(data: bytes, where: str) -> str:
    """`data` as text less its last line end."""
    if len(data) > MOST_BYTES:
        raise UsageError(f"the prompt in {printable(where)} is longer than {MOST_BYTES} bytes")
    return _decoded(data, where).removesuffix("\n").removesuffix("\r")


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadFile(where, "not UTF-8", field="prompt", byte=error.start) from None
