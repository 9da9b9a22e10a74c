"""`vatra doctor`: what the program chose by itself on this machine, and why."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Annotated, Protocol, cast

import typer

from vatra.choices import Choice
from vatra.cli import terminal
from vatra.errors import VatraError

# Each has `report() -> list[Choice]`; printed in this order.
REPORTERS = (
    "vatra.engine.cpu_features",
    "vatra.engine.threads",
    "vatra.engine.cpu",
    "vatra.engine.jit",
)
LIBRARIES = ("numpy", "numba", "llvmlite", "gguf", "jinja2", "regex")


class Reporter(Protocol):
    """A module that makes automatic choices and can explain them."""

    def report(self) -> list[Choice]: ...


def command(
    model: Annotated[
        str | None, typer.Option("-m", "--model", metavar="FILE", help="Tell of this model, too.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array, for programs.")] = False,
) -> None:
    """Show what was chosen on this machine, and why.

    Instruction set, threads, kernels, cache folder, versions: each with its reason.
    """
    choices = [*_versions(), _usual_model()]
    for name in REPORTERS:
        try:
            reporter: Reporter = import_module(name)
            choices += reporter.report()
        except VatraError:
            raise
        except Exception as error:  # a doctor must still speak of the rest
            part = name.rpartition(".")[2]
            choices.append(Choice(part, "failed", f"{type(error).__name__}: {error}"))
    if model:
        choices += _model(model)
    if as_json:
        terminal.write_line(json.dumps([choice._asdict() for choice in choices]))
        return
    width = max(len(choice.name) for choice in choices)
    for choice in choices:
        terminal.write_line(f"{choice.name:{width}}  {choice.value}  ({choice.reason})")


def _versions() -> list[Choice]:
    import platform
    import sys
    from importlib.metadata import PackageNotFoundError, version

    import vatra

    found = [
        Choice("vatra", vatra.__version__, f"installed in {vatra.__path__[0]}"),
        Choice("python", platform.python_version(), sys.executable),
        Choice("system", platform.platform(), "as Python sees it"),
    ]
    for library in LIBRARIES:
        try:
            found.append(Choice(library, version(library), "installed beside vatra"))
        except PackageNotFoundError:
            found.append(Choice(library, "missing", "pip install it: vatra needs it"))
    return found


def _usual_model() -> Choice:
    """What answers where -m names no model."""
    import os

    from vatra import spark
    from vatra.errors import MissingFile

    named = os.environ.get("VATRA_MODEL")
    if named:
        return Choice("model", named, "named by VATRA_MODEL")
    try:
        return Choice("model", str(spark.path()), "a toy that comes with vatra; -m names another")
    except MissingFile as error:
        return Choice("model", "missing", str(error))


def _model(path: str) -> list[Choice]:
    """What is chosen for one model: context, threads, how its weights are read."""
    import vatra
    from vatra.cli.progress import waiting

    with waiting(), vatra.load(path) as model:
        reporter = cast(Reporter, model.executor)
        return [*model.choices, *reporter.report()]
