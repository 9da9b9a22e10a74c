"""The process that renders chat templates, seen from outside: what one does wrong stays in there.

It is killed when it takes too long; what else it may not do, `template_worker` gives up itself. A
question and its answer are one line of JSON each.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from vatra.errors import VatraError

if TYPE_CHECKING:
    from subprocess import Popen

DEADLINE_S = 2.0
START_S = 30.0  # from a cold disk
MOST_ANSWER = 64 * 2**20  # bytes
KEPT_ENVIRONMENT = ("TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
SERVE = "from vatra.formats.template_worker import serve; serve()"

# {"texts": [...]}, or {"kind": "refused", "wrong" or "limit", "what": ..., "line": number or None}.
Answer = dict[str, Any]


class TemplateProcess:
    """Starts when it is first needed, again after it was ended, and ends with this program."""

    def __init__(self, deadline_s: float = DEADLINE_S) -> None:
        self._deadline_s = deadline_s
        self._forget()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)
        atexit.register(self.close)

    def _forget(self) -> None:
        self._lock = threading.RLock()
        self._child: Popen[bytes] | None = None
        self._ready = False

    def start(self) -> None:
        """Start it now, to have it when it is needed; returns at once."""
        import subprocess

        with self._lock:
            if self._child is not None and self._child.poll() is None:
                return
            self.close()
            package = os.path.dirname(os.path.abspath(str(sys.modules["vatra"].__file__)))
            paths = [os.path.dirname(package), *(path for path in sys.path if os.path.isabs(path))]
            try:
                self._child = subprocess.Popen(
                    [
                        sys.executable,
                        "-I",
                        "-S",
                        "-c",
                        f"import sys; sys.path += {paths!r}; {SERVE}",
                    ],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env={name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ},
                    cwd=os.path.abspath(os.sep),
                    start_new_session=True,  # Ctrl-C is not for it
                )
            except OSError as error:
                raise VatraError(f"chat templates need a process, which fails: {error}") from None

    def ask(self, question: dict[str, Any]) -> Answer:
        """The answer of the process, or why there is none; VatraError if it does not start."""
        with self._lock:
            self.start()
            try:
                if not self._ready:
                    if "texts" not in self._exchange(b"", START_S):
                        raise VatraError("chat templates need a process with jinja2, which fails")
                    self._ready = True
                line = json.dumps({**question, "deadline_s": self._deadline_s}) + "\n"
                answer = self._exchange(line.encode("ascii"), self._deadline_s)
            except BaseException:  # an interrupt too: the next question must not get this answer
                self.close()
                raise
            if answer.get("kind") == "limit":
                self.close()
            return answer

    def _exchange(self, line: bytes, seconds: float) -> Answer:
        assert self._child and self._child.stdin and self._child.stdout
        begin = time.monotonic()
        timer = threading.Timer(seconds, self._child.kill)
        timer.start()
        answer = b""
        try:
            with suppress(BrokenPipeError):
                self._child.stdin.write(line)
                self._child.stdin.flush()
                answer = self._child.stdout.readline(MOST_ANSWER)
        finally:
            timer.cancel()
        if answer.endswith(b"\n"):
            return json.loads(answer)
        late = time.monotonic() - begin >= seconds
        what = f"does not end within {seconds:g} s" if late else "makes its process crash"
        return {"kind": "limit", "what": what, "line": None}

    def close(self) -> None:
        """End it."""
        with self._lock:
            if self._child is not None:
                self._child.kill()
                with suppress(BrokenPipeError), self._child:
                    pass  # closes the pipes and waits
            self._child, self._ready = None, False


SHARED = TemplateProcess()
