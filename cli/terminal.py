"""Writing to a person's terminal: answers on standard output, everything else on standard error.

Text from a model or a file may hold escape sequences, bidirectional overrides or rich markup. It
is never handed to rich, and what could steer a terminal is printed escaped, as `\\x1b`.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TextIO

from vatra.errors import IOFailed, printable

# C0 and C1 controls other than tab and newline, line separators, bidirectional embeddings,
# overrides and isolates, interlinear marks, lone surrogates.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb\ud800-\udfff]"
)


class ReaderGone(Exception):
    """Whoever read standard output has closed it: nothing is left to do, and nothing is wrong."""


def plain(text: str) -> str:
    """`text` with everything that could steer a terminal escaped; line ends become newlines."""
    if text.isprintable():
        return text
    return _STEERING.sub(lambda found: printable(found[0]), text.replace("\r\n", "\n"))


def prepare() -> None:
    """Let output that the console's encoding lacks appear escaped instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def write(text: str) -> None:
    """Print untrusted `text` on standard output at once, with no newline added.

    Raises ReaderGone if nobody reads any more, IOFailed if the text cannot be written.
    """
    send(plain(text))


def send(text: str) -> None:
    """`write` for text of ours, whose escape sequences are meant as such."""
    stream = sys.stdout
    if stream is None:
        raise IOFailed("standard output is closed: nowhere to write the answer")
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        # Without this, the interpreter would try to write the rest once more on its way out.
        _silence(stream)
        if error.errno in (errno.EPIPE, errno.ECONNRESET):
            raise ReaderGone from None
        raise IOFailed(f"writing to standard output: {error.strerror or error}") from None


def write_line(text: str = "") -> None:
    """Print untrusted `text` and a newline on standard output."""
    write(text + "\n")


def note(text: str, *, dim: bool = False, end: str = "\n") -> None:
    """Print one line on standard error; a closed or full standard error is no reason to stop."""
    stream = sys.stderr
    if stream is None:
        return
    text = plain(text)
    try:
        stream.write((f"\x1b[2m{text}\x1b[0m" if dim and has_colours(stream) else text) + end)
        stream.flush()
    except OSError:
        _silence(stream)


def is_terminal(stream: TextIO | None) -> bool:
    """True if `stream` is open and a person sits at its other end."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def has_colours(stream: TextIO | None) -> bool:
    """True if `stream` is a terminal that understands colours and nobody asked for none."""
    return (
        is_terminal(stream)
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "") not in ("dumb", "")
    )


def has_pages() -> bool:
    """True if standard output can be drawn on: a terminal with escape sequences and Unicode."""
    encoding = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "")
    return has_colours(sys.stdout) and encoding == "utf8"


def size() -> tuple[int, int]:
    """Columns and rows of the terminal at standard output, or of a usual one."""
    try:
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
    except (AttributeError, OSError, ValueError):
        columns, rows = 0, 0
    return columns or 80, rows or 24


@contextmanager
def silent_keys() -> Iterator[None]:
    """Within the block, what is typed at the terminal is not shown; Ctrl-C and Ctrl-Z still work.

    It waits there to be read later. Where there is no terminal, nothing happens.
    """
    try:
        import termios

        keyboard = sys.stdin.fileno()
        before = termios.tcgetattr(keyboard)
    except (ImportError, AttributeError, OSError, ValueError, termios.error):
        yield
        return
    silent = before[:3] + [before[3] & ~termios.ECHO] + before[4:]
    try:
        termios.tcsetattr(keyboard, termios.TCSANOW, silent)
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSANOW, before)


def _silence(stream: TextIO) -> None:
    """Send whatever is still buffered in `stream` nowhere."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        pass


# How long a computation may take to reach a point where it is asked whether to stop.
STEP_PATIENCE_S = 0.3


@dataclass
class Interrupt:
    """Whether Ctrl-C was pressed since the block began, and whether more than once."""

    requested: bool = False
    repeated: bool = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if it was: call this where it is best to stop."""
        if self.requested:
            raise KeyboardInterrupt


@contextmanager
def polite_interrupt() -> Iterator[Interrupt]:
    """Within the block, Ctrl-C lets the step that is under way end before the work stops.

    KeyboardInterrupt is raised by `check`; if that is not called for STEP_PATIENCE_S, or if Ctrl-C
    is pressed again, then wherever the program is.
    """
    interrupt = Interrupt()
    has_timer = hasattr(signal, "setitimer")  # not on Windows

    def on_interrupt(_number: int, _frame: FrameType | None) -> None:
        if interrupt.requested:
            interrupt.repeated = True
            raise KeyboardInterrupt
        interrupt.requested = True
        if has_timer:
            signal.setitimer(signal.ITIMER_REAL, STEP_PATIENCE_S)

    def on_late(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, on_interrupt)
    alarm_before = signal.signal(signal.SIGALRM, on_late) if has_timer else None
    try:
        yield interrupt
    except Exception as error:
        if interrupt.requested:  # in the midst of other people's code it may surface as anything
            raise KeyboardInterrupt from error
        raise
    finally:
        if has_timer:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, alarm_before)
        signal.signal(signal.SIGINT, before)
