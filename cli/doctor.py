"""`vatra doctor`: what the program chose by itself on this machine, and why."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from importlib import import_module
from typing import Annotated, Protocol, cast

import typer

from vatra.choices import Choice
from vatra.cli import options, terminal
from vatra.errors import UsageError, VatraError

# Modules of the engine with `report() -> list[Choice]`, printed in this order and these groups.
REPORTERS = (
    ("cpu_features", "threads", "memory", "model"),
    ("tiles", "cpu"),
    ("jit",),
    ("offload.report",),
)
LIBRARIES = ("numpy", "numba", "llvmlite", "gguf", "jinja2", "regex")
NARROWEST = 60  # columns to which lines are folded at the least


class Reporter(Protocol):
    """A module that makes automatic choices and can explain them."""

    def report(self) -> list[Choice]: ...


def command(
    model: Annotated[
        str | None, typer.Option("-m", "--model", metavar="FILE", help="Tell of this model, too.")
    ] = None,
    gpu_layers: options.GpuLayers = None,
    device: options.Device = None,
    gpu_check: Annotated[
        bool,
        typer.Option(
            "--gpu-check",
            help="Run all kernels and a model on the graphics processor, and print a report.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array, for programs.")] = False,
) -> None:
    """Show what was chosen on this machine, and why.

    Versions, processor, threads, memory, how the work is cut, kernels: the inner loops, which are
    compiled for this processor. The exit status of --gpu-check is 1 if something is wrong.
    """
    if gpu_check:
        if as_json:
            raise UsageError("--gpu-check: its report is for people: leave --json out")
        _check(device)
        return
    groups = [[*_versions(), _usual_model()]]
    groups += [[choice for name in names for choice in _report(name)] for names in REPORTERS]
    if model:
        groups.append(_model(model, gpu_layers, device))
    choices = [choice for group in groups for choice in group]
    if as_json:
        terminal.write_line(json.dumps([choice._asdict() for choice in choices]))
        return
    columns = None
    if terminal.is_terminal(sys.stdout):
        columns = max(NARROWEST, shutil.get_terminal_size().columns)
    name_width = max(len(choice.name) for choice in choices)
    texts = ("\n".join(line(choice, name_width, columns) for choice in group) for group in groups)
    terminal.write_line("\n\n".join(texts))


def line(choice: Choice, name_width: int, columns: int | None) -> str:
    """A choice in one line, or in lines of so many columns, indented under the first."""
    name, text = f"{choice.name:{name_width}}  ", f"{choice.value}  ({choice.reason})"
    if columns is None:
        return name + text
    return textwrap.fill(
        text,
        columns,
        initial_indent=name,
        subsequent_indent=" " * len(name),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _report(name: str) -> list[Choice]:
    try:
        reporter: Reporter = import_module(f"vatra.engine.{name}")
        return reporter.report()
    except VatraError:
        raise
    except Exception as error:  # a doctor must still speak of the rest
        return [Choice(name, "failed", f"{type(error).__name__}: {error}")]


def _versions() -> list[Choice]:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import vatra

    found, missing = [], []
    for library in LIBRARIES:
        try:
            found.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            missing.append(Choice(library, "missing", "pip install it: vatra needs it"))
    return [
        Choice("vatra", vatra.__version__, f"installed in {vatra.__path__[0]}"),
        Choice("python", platform.python_version(), sys.executable),
        Choice("system", platform.platform(), "as Python sees it"),
        Choice("libraries", ", ".join(found), "those that answers depend on"),
        *missing,
    ]


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


def _check(device: str | None) -> None:
    """Print the report of a device; exits with 1 where it computes what is wrong."""
    from vatra.cli.gpu_check import Report
    from vatra.engine.offload.device import choose

    report = Report(choose(device), _versions()[:3])
    for text in report.lines():
        terminal.write_line(text)
    if not report.ok:
        raise typer.Exit(1)


def _model(path: str, gpu_layers: int | str | None, device: str | None) -> list[Choice]:
    """What is chosen for one model: context, threads, how its weights are read."""
    import vatra
    from vatra.cli.progress import waiting

    with waiting(), vatra.load(path, gpu_layers=gpu_layers, device=device) as model:
        reporter = cast(Reporter, model.executor)
        total, _, parts = str(model.requirements()).partition(": ")
        memory = Choice("memory of this model", total, parts)
        return [*model.choices, memory, *reporter.report()]
