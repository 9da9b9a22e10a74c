"""What a person sees on standard error while nothing can be answered yet."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vatra.cli import terminal
from vatra.cli.terminal import Interrupt

if TYPE_CHECKING:
    from rich.progress import Progress

# A wait shorter than this needs no explanation.
PATIENCE_S = 1.0


class Waiting:
    """Tells of compilation and of a long prompt: a live line on a terminal, else one plain line."""

    def __init__(self, interrupt: Interrupt | None = None) -> None:
        self._interrupt = interrupt or Interrupt()
        self._live: Progress | None = None
        self._started = time.monotonic()
        self._compile_started = 0.0
        self.compiled = 0  # kernels

    def on_compile(self, _kernel: str, done: int, total: int) -> None:
        """Kernel number `done` of `total` is about to be compiled, or all have been."""
        self._interrupt.check()
        if done == 0 and total:
            self._compile_started = time.monotonic()
            if not terminal.has_colours(sys.stderr):
                terminal.note(f"compiling {_kernels(total)}, once ...")
                return
            self.clear()
            self._show(f"compiling {_kernels(total)}, once", total)
        if self._live is not None:
            self._live.update(self._live.task_ids[0], completed=done)
        if done < total:
            return
        self.compiled += total
        if self._live is not None:
            self.clear()
            seconds = time.monotonic() - self._compile_started
            terminal.note(f"compiled {_kernels(total)} in {seconds:.0f} s, once", dim=True)

    def on_prompt(self, done: int, total: int) -> None:
        """`done` of the prompt's `total` tokens have been read."""
        self._interrupt.check()
        late = time.monotonic() - self._started > PATIENCE_S
        if late and done < total:
            self._show("reading the prompt", total)
        if self._live is not None:
            self._live.update(self._live.task_ids[0], completed=done)

    def on_measure(self, done: int, total: int) -> None:
        """`done` of a benchmark's `total` repetitions have been made."""
        self._show("measuring", total, ticking=False)
        if self._live is not None:
            self._live.update(self._live.task_ids[0], completed=done, refresh=True)

    def clear(self) -> None:
        """Take the live line away, before anything else is printed."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _show(self, what: str, total: int, ticking: bool = True) -> None:
        """Put a live line there, unless there is one or the terminal cannot have one.

        One that is not `ticking` costs nothing between two updates.
        """
        if self._live is not None or not terminal.has_colours(sys.stderr):
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        console = Console(stderr=True)
        wide = [BarColumn(bar_width=20)] if console.width >= 60 else []
        clock = [TimeElapsedColumn()] if console.width >= 60 and ticking else []
        self._live = Progress(
            TextColumn("{task.description}", markup=False),
            MofNCompleteColumn(),
            *wide,
            *clock,
            console=console,
            auto_refresh=ticking,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()
        self._live.add_task(what, total=total)


@contextmanager
def waiting(interrupt: Interrupt | None = None) -> Iterator[Waiting]:
    """Within the block, compilation is told of; the live line is gone when the block ends.

    Raises KeyboardInterrupt between two steps of the work if `interrupt` asks for it.
    """
    from vatra.engine import jit

    shown = Waiting(interrupt)
    before = jit.on_compile, jit.on_notice
    jit.on_compile = shown.on_compile
    jit.on_notice = lambda line: terminal.note(f"note: {line}")
    try:
        yield shown
    finally:
        shown.clear()
        jit.on_compile, jit.on_notice = before


def _kernels(count: int) -> str:
    return "1 kernel" if count == 1 else f"{count} kernels"
