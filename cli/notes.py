"""What a person is told of a model before its first answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vatra.cli import terminal

if TYPE_CHECKING:
    from pathlib import Path

    from vatra.engine.model import Model

REAL_MODELS = "https://huggingface.co/models?library=gguf"


def tell_toy(path: Path) -> None:
    """Say on standard error that the toy at `path` answers, as nobody named another model."""
    from vatra.formats import gguf

    with gguf.read(path) as toy:
        name = toy.get("general.name", str, path.stem)
        millions = toy.n_parameters / 1e6
    terminal.note(
        f"{name}, a toy of {millions:.0f} million weights that comes with Vatra; "
        f"-m FILE or VATRA_MODEL names a real model ({REAL_MODELS})",
        dim=True,
    )


def tell_notes(model: Model) -> None:
    """Say on standard error what a person should know of the model, also what makes it slow."""
    from vatra.engine.threads import allowed_cpus

    report = getattr(model.executor, "report", list)
    slow = [f"{c.value}: {c.reason}" for c in report() if c.reason.startswith("decoded")]
    count, reason = allowed_cpus()
    if model.threads > count:
        slow.append(
            f"{model.threads} threads are slower than {count}: no more run at once ({reason})"
        )
    for line in [*model.notes, *slow]:
        terminal.note(f"note: {line}", dim=True)
