"""The process that renders chat templates, from inside: one question after another, no rights."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import suppress
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError

from vatra.formats.sandbox import MOST_CHARS, Refused, Sandbox

MOST_MEMORY = 300 * 2**20  # bytes, on top of what the idle process takes
# Of all that Python can be audited for, which includes files, processes, sockets and imports.
ALLOWED_EVENTS = frozenset(
    ("builtins.id", "code.__new__", "compile", "exec", "object.__getattr__", "sys.unraisablehook")
)


class _Late(BaseException):
    """Time is over; not an Exception, which jinja2 may catch."""


def serve() -> None:
    """Answer until there are no more questions."""
    sandbox = Sandbox()
    with suppress(TemplateSyntaxError):
        sandbox.compiled("{{ 'a' }}{%")  # imports what compiling needs later
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, _raise_late)
    _give_up_rights()
    answer: dict[str, Any] = {"texts": []}  # ready
    while True:
        sys.stdout.buffer.write(json.dumps(answer).encode("ascii") + b"\n")
        sys.stdout.buffer.flush()
        line = sys.stdin.buffer.readline()
        if not line:
            break
        answer = _answer(sandbox, json.loads(line), MOST_CHARS + len(line))


def _answer(sandbox: Sandbox, question: dict[str, Any], most_chars: int) -> dict[str, Any]:
    source, deadline_s, texts = question["source"], question["deadline_s"], []
    try:
        try:
            _set_alarms(deadline_s)
            sandbox.compiled(source)
            for variables, sandbox.stand_ins in question["renderings"]:
                texts.append(sandbox.rendered(source, variables, most_chars))
        finally:
            _set_alarms(0)
        return {"texts": texts}
    except (Exception, _Late) as error:
        kind, what = "wrong", " ".join(str(error).split())
        if isinstance(error, Refused):
            kind = "refused"
        elif isinstance(error, _Late):
            kind, what = "limit", f"does not end within {deadline_s:g} s"
        elif isinstance(error, MemoryError):
            kind, what = "limit", f"takes more than {MOST_MEMORY // 2**20} MiB of memory"
        elif isinstance(error, (RecursionError, SyntaxError)):
            what = "is nested too deeply, or calls itself without end"
        elif not isinstance(error, TemplateError):
            what = f"{type(error).__name__}: {what}"
        return {"kind": kind, "what": what[:1000], "line": sandbox.line_of(error, source)}


def _set_alarms(deadline_s: float) -> None:
    """Be interrupted where that can still be told; 0: do not."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0.75 * deadline_s)
        # Ends this process if it is deep in C code and its parent, which would end it, is gone.
        signal.setitimer(signal.ITIMER_PROF, 2 * deadline_s)


def _raise_late(*_: object) -> None:
    raise _Late


def _give_up_rights() -> None:
    """No more memory, files or processes from now on, as far as this system can refuse them."""
    time.localtime()  # reads the file of the time zone
    with suppress(ImportError):
        import resource

        limits = {"NOFILE": 3, "NPROC": 0, "FSIZE": 0, "CORE": 0}
        if os.path.exists("/proc/self/statm"):
            with open("/proc/self/statm") as file:
                limits["AS"] = int(file.read().split()[0]) * resource.getpagesize() + MOST_MEMORY
        for name, most in limits.items():
            with suppress(AttributeError, OSError, ValueError):
                resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))
    sys.addaudithook(_refuse)


def _refuse(event: str, _: object, allowed: frozenset[str] = ALLOWED_EVENTS) -> None:
    if event not in allowed:
        raise PermissionError(f"{event} is not allowed")
