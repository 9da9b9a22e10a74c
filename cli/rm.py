"""`vatra rm`: remove a model from the cache that `vatra pull` fills, and from nowhere else."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vatra.cli import completion, terminal
from vatra.cli.table import byte_size
from vatra.errors import IOFailed, MissingFile, UsageError, printable

if TYPE_CHECKING:
    from huggingface_hub import HFCacheInfo

    from vatra.formats.shelf import Entry


def command(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A model of Hugging Face, as `vatra list` has it.",
            autocompletion=completion.models,
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a model that was fetched from Hugging Face.

    Models that other programs or people put elsewhere are left alone.
    """
    from vatra.formats import shelf

    if shelf.is_path(name):
        raise _not_ours(name, "a file or folder of yours", Path(name))
    repo = name.removeprefix("hf:")
    try:
        entry = shelf.named(name)
    except MissingFile:
        left_over = shelf.interrupted().get(repo)
        if not left_over:
            raise
        n_bytes = sum(part.stat().st_size for part in left_over)
        if yes or _is_wanted(f"what an interrupted fetch of {repo} left", n_bytes):
            for part in left_over:
                part.unlink(missing_ok=True)
            terminal.note(f"removed: {byte_size(n_bytes)} are free again")
        return
    if entry.place != shelf.HUB:
        raise _not_ours(name, entry.place, entry.path)
    _remove(entry, yes)


def _not_ours(name: str, place: str, path: Path) -> UsageError:
    where = printable(str(path.absolute()))
    return UsageError(
        f"{printable(name)}: belongs to {place}, at {where}: not removed; "
        "vatra removes only what is in the cache of Hugging Face"
    )


def _is_wanted(what: str, n_bytes: int) -> bool:
    """Whether the person at the terminal says yes; UsageError where there is none."""
    if not terminal.is_terminal(sys.stdin):
        raise UsageError("nobody is there to be asked: say --yes")
    terminal.note(f"remove {printable(what)}, {byte_size(n_bytes)}? [y/N] ", end="")
    wanted = sys.stdin.readline().strip().lower() in ("y", "yes")
    if not wanted:
        terminal.note("kept")
    return wanted


def _remove(entry: Entry, yes: bool) -> None:
    """Remove a model's files from all revisions, and revisions of which nothing is left."""
    from vatra.formats import shelf

    snapshot = next(p for p in entry.path.parents if p.parent.name == "snapshots")
    paths = {file.relative_to(snapshot) for file in entry.files}
    cache = _cache_of(snapshot.parents[1])
    (repo,) = cache.repos
    files = [
        file
        for revision in repo.revisions
        for file in revision.files
        if file.file_path.relative_to(revision.snapshot_path) in paths
    ]
    blobs = (repo.repo_path / "blobs").resolve()
    for file in files:
        ours = file.blob_path in (file.file_path, blobs / file.blob_path.name)
        if not ours or not blobs.is_relative_to(shelf.hub_cache().resolve()):
            raise _not_ours(entry.name, "something outside of the cache", file.blob_path)
    removal = cache.delete_files(*files)
    if not yes and not _is_wanted(entry.name, removal.expected_freed_size):
        return
    removal.execute()
    cache = _cache_of(snapshot.parents[1])
    empty = [r.commit_hash for repo in cache.repos for r in repo.revisions if not r.files]
    cache.delete_revisions(*empty).execute()
    terminal.note(f"removed {entry.name}: {byte_size(removal.expected_freed_size)} are free again")


def _cache_of(folder: Path) -> HFCacheInfo:
    """What the library of Hugging Face says of one repository's folder in the cache."""
    from huggingface_hub import scan_cache_dir

    cache = scan_cache_dir(folder.parent)
    found = frozenset(r for r in cache.repos if r.repo_path.name == folder.name)
    if not found:
        why = "; ".join(str(w) for w in cache.warnings if folder.name in str(w))
        raise IOFailed(f"{printable(str(folder))}: is damaged, so nothing was removed: {why}")
    return replace(cache, repos=found)
