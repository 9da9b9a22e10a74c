"""The `vatra` command: its subcommands, and the one place where errors become exit statuses."""

from __future__ import annotations

import os
import signal
import sys
from difflib import get_close_matches
from types import FrameType
from typing import Annotated, Any

import typer
from typer.main import get_command

import vatra
from vatra.cli import (
    batch,
    bench,
    chat,
    completion,
    doctor,
    embed,
    inspect,
    perplexity,
    pull,
    rm,
    run,
    serve,
    sessions,
    terminal,
    tokenize,
    warmup,
)
from vatra.cli import list as list_
from vatra.cli.help import Command, examples
from vatra.errors import IOFailed, MissingFile, OutOfMemory, UsageError, VatraError, printable

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM

app = typer.Typer(
    name="vatra",
    help="Run language models on your own machine.",
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for module in (
    run,
    chat,
    serve,
    batch,
    pull,
    list_,
    rm,
    embed,
    tokenize,
    inspect,
    doctor,
    warmup,
    bench,
    perplexity,
    completion,
):
    name = module.__name__.rpartition(".")[2]
    app.command(name, cls=Command, epilog=examples(name))(module.command)
app.add_typer(sessions.app, name="sessions")


def _print_version(wanted: bool) -> None:
    if wanted:
        terminal.write_line(f"vatra {vatra.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def vatra_command(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Run language models on your own machine."""
    if context.invoked_subcommand is None:
        terminal.write_line(context.get_help())


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; returns the exit status, and never raises for an error.

    0 done, 2 usage, 65 bad data, 66 missing file, 69 no network or hub, 70 a bug of ours,
    71 not enough memory, 74 reading or writing failed, 130 interrupted, 143 terminated.
    """
    terminal.prepare()
    signal.signal(signal.SIGTERM, _on_terminate)
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        _invoke(arguments)
    except typer.Exit as done:
        return done.exit_code
    except terminal.ReaderGone:
        return 0
    except (KeyboardInterrupt, typer.Abort):
        # Whoever presses Ctrl-C once more while we tidy up wants out at once.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        # An interrupt that came through an exec(), as dataclasses and Numba use it, leaves a mark
        # that would make Python end by the signal instead of by our status; this clears it.
        exec("")
        return INTERRUPTED
    except VatraError as error:
        return _fail(error)
    except MemoryError as error:
        return _fail(OutOfMemory(f"not enough memory{f': {error}' if str(error) else ''}"))
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        return _fail(MissingFile(f"{error.filename}: {error.strerror}"))
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        return _fail(IOFailed(f"{where}{error.strerror or error}"))
    except Exception as error:
        return _fail(VatraError(_report_bug(error, arguments)))
    return 0


def _invoke(arguments: list[str]) -> None:
    """Parse `arguments` and run what they ask for, leaving every error to the caller."""
    command = get_command(app)
    if completion.VARIABLE in os.environ:  # a shell asks, by the script of `vatra completion`
        completion.answer(command)
    try:
        with command.make_context("vatra", arguments) as context:
            command.invoke(context)
    except Exception as error:
        # The parser's own errors come from click or from typer's copy of it, by its version.
        if getattr(error, "exit_code", None) != 2 or not hasattr(error, "format_message"):
            raise
        context_of_error = getattr(error, "ctx", None)
        path = context_of_error.command_path if context_of_error else "vatra"
        raise UsageError(f"{_what(error)} ('{path} --help' lists all)") from None


def _what(error: Any) -> str:
    """The parser's error in one sentence, with what was meant if that can be guessed."""
    options = getattr(error, "possibilities", None) or ()
    near = get_close_matches(getattr(error, "option_name", ""), options, 1)
    if near:
        return f"{error.message.rstrip('.')}; did you mean {near[0]}?"
    return str(error.format_message()).replace("Value error, ", "").rstrip(".")


def _fail(error: VatraError) -> int:
    terminal.note(f"error: {printable(str(error))}")
    return error.exit_code


def _on_terminate(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)


def _report_bug(error: Exception, arguments: list[str]) -> str:
    """Save what is needed to find a bug of ours, without the person's text; returns one line."""
    import platform
    import tempfile
    import traceback
    from pathlib import Path

    import platformdirs

    lines = [
        f"vatra {vatra.__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"command: {arguments[0] if arguments else ''}",
        *(
            f"{name} {sys.modules[name].__version__}"
            for name in ("numpy", "numba", "llvmlite")
            if name in sys.modules
        ),
        "".join(traceback.format_exception(error)),
    ]
    what = f"{type(error).__name__}: {error}"
    for folder in (
        platformdirs.user_log_path("vatra", appauthor=False),
        Path(tempfile.gettempdir()),
    ):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w",
                encoding="utf-8",
                errors="backslashreplace",
                dir=folder,
                prefix="vatra-bug-",
                suffix=".txt",
                delete=False,
            ) as report:
                report.write("\n".join(lines))
            return f"a bug in vatra: {what}; please report it together with {report.name}"
        except OSError:
            continue
    return f"a bug in vatra: {what}; nowhere to save a report"
