"""`vatra pull`: fetch a model from Hugging Face into the cache that all its programs share."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vatra.cli import terminal
from vatra.cli.table import byte_size
from vatra.errors import IOFailed, printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from vatra.cli.hub import Repository
    from vatra.formats.variants import Variant

LINES_APART_S = 5.0  # where there is no live line
SHARE_APART = 10  # per cent


def command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="owner/repo, owner/repo:quant or owner/repo/file, or its address at the hub.",
        ),
    ],
) -> None:
    """Fetch a model from Hugging Face, or check one that is here.

    Of a repository that has several, the one of Q4_K_M weights is taken unless MODEL names another.
    What is interrupted goes on where it stopped when asked for again. HF_TOKEN holds the token for
    private models, HF_HOME the folder that models are kept in.
    """
    from vatra.cli import hub, transfer
    from vatra.formats import shelf

    reference = hub.parse(model)
    repository = hub.look_up(reference)
    chosen, others = hub.choose(repository, reference)
    _tell(repository, chosen, others)
    to_fetch = transfer.bytes_to_fetch(repository, chosen.paths)
    _check_disk(shelf.hub_cache(), to_fetch)
    files = []
    with _Shown() as shown:
        try:
            for number, path in enumerate(chosen.paths, 1):
                shown.begin(path.rpartition("/")[2], number, len(chosen.paths))
                files.append(transfer.fetch(repository, path, shown.report))
        except KeyboardInterrupt:
            shown.clear()
            terminal.note("interrupted; the same command goes on where this stopped")
            raise
    transfer.make_current(repository)
    names = [entry.name for entry in shelf.models() if entry.path == files[0]]
    name = names[0] if names else str(files[0])
    terminal.note(f"checked and ready: vatra chat -m {printable(name)}")
    terminal.write_line(name)


def _tell(repository: Repository, chosen: Variant, others: list[Variant]) -> None:
    """Say what will be fetched, what else there is, and whether it will run here."""
    from vatra import models
    from vatra.cli import hub
    from vatra.engine import memory
    from vatra.engine.requirements import PROGRAM_BYTES

    n_bytes = repository.n_bytes(chosen)
    parts = f" in {len(chosen.paths)} files" if len(chosen.paths) > 1 else ""
    what = printable(chosen.quant or chosen.stem)
    also = f"; there is also {hub.listed(repository, others)}" if others else ""
    terminal.note(f"{repository.name}: {what}, {byte_size(n_bytes)}{parts}{also}")
    left = memory.available()
    here = f"; {memory.mebibytes(left.n_bytes)} are {left.reason}" if left else ""
    needed = n_bytes + PROGRAM_BYTES
    terminal.note(f"memory: {memory.mebibytes(needed)}, and more for the context{here}")
    if left and needed > left.n_bytes:
        terminal.note("warning: it will not run in this memory")
    if repository.architecture and repository.architecture not in models.known():
        name = printable(repository.architecture)
        terminal.note(f"warning: architecture {name!r} is not supported by this version")
    if len(chosen.paths) != chosen.n_parts:
        terminal.note(f"warning: of its {chosen.n_parts} parts the hub has {len(chosen.paths)}")


def _check_disk(folder: Path, needed: int) -> None:
    """IOFailed if the disk of `folder`, which need not exist, has fewer free bytes than needed."""
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise IOFailed(
            f"{printable(str(folder))}: {byte_size(needed)} are needed, {byte_size(free)} are free "
            "on its disk; make room, or set HF_HOME to a folder on another"
        )


class _Shown:
    """How far a transfer is: a live line on a terminal, else a plain line now and then."""

    def __init__(self) -> None:
        self._what = ""
        self._doing = ""
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self._told = (0.0, 0)  # when, per cent

    def __enter__(self) -> _Shown:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def begin(self, name: str, number: int, count: int) -> None:
        """The file that is next."""
        self.clear()
        self._what = printable(name) + (f" ({number} of {count})" if count > 1 else "")

    def report(self, doing: str, done: int, total: int) -> None:
        """`done` of the `total` bytes of the file are there."""
        first = doing != self._doing
        self._doing = doing
        if terminal.has_colours(sys.stderr):
            self._report_live(first, done, total)
        else:
            self._report_plainly(first, done, total)

    def clear(self) -> None:
        """Take the live line away, before anything else is printed."""
        if self._live is not None:
            self._live.stop()
        self._live, self._doing = None, ""

    def _report_plainly(self, first: bool, done: int, total: int) -> None:
        now, share = time.monotonic(), 100 * done // max(total, 1)
        when, last = self._told
        due = now - when >= LINES_APART_S and share >= last + SHARE_APART
        if not (first or due or done == total):
            return
        self._told = now, share
        terminal.note(f"{self._doing} {self._what}: {share} % of {byte_size(total)}")

    def _report_live(self, first: bool, done: int, total: int) -> None:
        if self._live is None:
            self._live = _live_line()
            self._live.start()
            self._task = self._live.add_task("", total=total)
        assert self._task is not None
        if first:  # what was there already was not fetched at this speed
            self._live.reset(self._task, total=total, completed=done)
        what = f"{self._doing} {self._what}"
        self._live.update(self._task, completed=done, description=what)


def _live_line() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.table import Column

    console = Console(stderr=True)
    speed = [TransferSpeedColumn(), TimeRemainingColumn()] if console.width >= 70 else []
    bar = [BarColumn(bar_width=20)] if console.width >= 100 else []
    rest = 28 + 22 * bool(speed) + 21 * bool(bar)  # columns that the others take
    name = Column(no_wrap=True, overflow="ellipsis", max_width=max(8, console.width - rest))
    return Progress(
        TextColumn("{task.description}", markup=False, table_column=name),
        TextColumn("{task.percentage:>3.0f} %", markup=False),
        *bar,
        DownloadColumn(table_column=Column(no_wrap=True)),
        *speed,
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
