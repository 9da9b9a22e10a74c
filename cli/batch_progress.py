"""How far `vatra batch` is, on standard error."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Protocol

from vatra.cli import terminal

BETWEEN_S = 10.0  # two lines, where there is no live one


class Counts(Protocol):
    """`n_written` tokens of answers are there so far."""

    n_written: int


class Progress:
    """Counts answers, of `total` lines of which `before` had one; tells of them in lines."""

    def __init__(self, counts: Counts, total: int, before: int) -> None:
        self._counts, self._total, self._before = counts, total, before
        self.answered = self.failed = 0
        self._began = time.monotonic()
        self._told = self._began

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        pass

    @property
    def speed(self) -> str:
        """Tokens written in a second, of all that is under way too."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        return f"{self._counts.n_written / seconds:.0f} tokens/s"

    @property
    def summary(self) -> str:
        """All that was done, in a line."""
        seconds = time.monotonic() - self._began
        failed = f", {self.failed} of them with an error" if self.failed else ""
        before = f"; {self._before} were before" if self._before else ""
        return (
            f"{self.answered} answered{failed}{before}; {self._counts.n_written} tokens in "
            f"{seconds:.1f} s, {self.speed}"
        )

    def add(self, failed: bool) -> None:
        """One more line has its answer, or an error in its place."""
        self.answered += 1
        self.failed += failed
        self.tell()

    def tell(self) -> None:
        """Say how far it is, if there is time for that."""
        now = time.monotonic()
        if now - self._told < BETWEEN_S:
            return
        self._told = now
        left = self._total - self._before - self.answered
        seconds = (now - self._began) / self.answered * left
        done = self._before + self.answered
        terminal.note(f"{done} of {self._total} answered, {self.speed}, {_about(seconds)} left")


class LiveProgress(Progress):
    """Tells of them in a line that changes."""

    def __enter__(self) -> LiveProgress:
        from rich import progress
        from rich.console import Console
        from rich.text import Text

        class Speed(progress.ProgressColumn):
            def render(column, _task: Any) -> Text:  # noqa: N805 - `self` is the outer one
                return Text(self.speed)

        console = Console(stderr=True)
        wide = [progress.BarColumn(bar_width=20)] if console.width >= 60 else []
        self._live = progress.Progress(
            progress.TextColumn("answered"),
            progress.MofNCompleteColumn(),
            *wide,
            Speed(),
            progress.TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            speed_estimate_period=600,
        )
        self._live.start()
        self._task = self._live.add_task("", total=self._total, completed=self._before)
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def tell(self) -> None:
        self._live.update(self._task, completed=self._before + self.answered)


def shown_progress(counts: Counts, total: int, before: int) -> Progress:
    """What fits standard error."""
    live = terminal.has_colours(sys.stderr)
    return (LiveProgress if live else Progress)(counts, total, before)


def _about(seconds: float) -> str:
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
