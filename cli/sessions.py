"""`vatra sessions`: the chats that were kept by `vatra chat --session NAME`."""

from __future__ import annotations

import json
import shutil
from typing import Annotated, Any

import typer

from vatra.cli import completion, session_store, terminal
from vatra.cli.help import Command, examples
from vatra.cli.session_store import Kept
from vatra.cli.table import byte_size, table
from vatra.cli.transcript import as_json
from vatra.errors import IOFailed, UsageError, VatraError, printable

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A session, as the list has it.",
        autocompletion=completion.sessions,
    ),
]
JSON = Annotated[bool, typer.Option("--json", help="JSON, for programs.")]

app = typer.Typer(
    rich_markup_mode=None,
    epilog=examples("sessions"),
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def command(context: typer.Context, as_json: JSON = False) -> None:
    """List the chats that were kept.

    `vatra chat --session NAME` keeps one, and goes on with it. The latest come first.
    """
    if context.invoked_subcommand is not None:
        return
    found: list[Kept] = []
    for name in session_store.names():
        try:
            found.append(session_store.read(name))
        except VatraError as error:
            terminal.note(str(error))
    if as_json:
        terminal.write_line(json.dumps([_row(kept) for kept in found]))
    elif found:
        head = ("name", "model", "messages", "tokens", "size", "changed")
        for line in table(head, [_cells(kept) for kept in found]):
            terminal.write_line(line)
    else:
        terminal.note("no sessions yet; `vatra chat --session NAME` keeps one")


def _row(kept: Kept) -> dict[str, Any]:
    return {
        "name": kept.name,
        "model": kept.transcript.model,
        "messages": len(kept.transcript.messages),
        "tokens": kept.head.n_tokens,
        "bytes": kept.head.n_bytes,
        "changed": kept.changed.isoformat(timespec="seconds"),
    }


def _cells(kept: Kept) -> tuple[Any, ...]:
    row = _row(kept)
    when = row["changed"].replace("T", " ")[:16]
    size = byte_size(row["bytes"])
    return row["name"], printable(row["model"]), row["messages"], row["tokens"], size, when


@app.command("show", cls=Command)
def show(name: Name) -> None:
    """Tell what was said in a session, and of which model it is."""
    kept = session_store.read(name)
    terminal.note(f"model {printable(kept.transcript.model)}, {printable(kept.model_path)}")
    terminal.write_line(_markdown(kept))


@app.command("export", cls=Command)
def export(
    name: Name,
    as_json_: Annotated[
        bool, typer.Option("--json/--markdown", help="What /load reads, or a text to read.")
    ] = True,
) -> None:
    """Write what was said in a session to standard output."""
    kept = session_store.read(name)
    terminal.write(as_json(kept.transcript) if as_json_ else _markdown(kept) + "\n")


def _markdown(kept: Kept) -> str:
    """What was said, a heading for each message."""
    said = [(m["role"], m["content"]) for m in kept.transcript.messages]
    if kept.transcript.system is not None:
        said.insert(0, ("system", kept.transcript.system))
    return "\n\n".join(f"## {role}\n\n{content.strip()}" for role, content in said)


@app.command("fork", cls=Command)
def fork(
    name: Name,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The name of the copy.")],
) -> None:
    """Copy a session, to go on in two ways."""
    from vatra.formats.atomic import atomic_write

    source = session_store.read(name)
    path = session_store.path_of(name)
    target = session_store.rename_target(new)
    with open(path, "rb") as old, atomic_write(target, mode=0o600) as file:
        shutil.copyfileobj(old, file, 1 << 20)
    terminal.note(f"{new} has the {len(source.transcript.messages)} messages of {name}")


@app.command("rm", cls=Command)
def remove(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...", help="Sessions to remove.", autocompletion=completion.sessions
        ),
    ],
) -> None:
    """Remove sessions."""
    paths = [session_store.existing(name) for name in names]
    if len(set(paths)) < len(paths):
        raise UsageError("a session is named twice")
    for name, path in zip(names, paths, strict=True):
        try:
            path.unlink()
        except OSError as error:
            raise IOFailed(f"{printable(str(path))}: not removed: {error.strerror}") from None
        terminal.note(f"removed {name}")
