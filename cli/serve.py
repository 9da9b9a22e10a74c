"""`vatra serve`: models for the programs of this machine, and a page to talk with them."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vatra import spark
from vatra.cli import options, terminal
from vatra.errors import MissingFile, UsageError, printable

if TYPE_CHECKING:
    from vatra.engine.executor import KVType
    from vatra.server.guard import Access
    from vatra.server.workers import Options

KEY = "VATRA_API_KEY"
LEAST_KEY = 16  # characters
LOCAL = ("localhost", "127.0.0.1", "::1")


@options.with_hardware
def command(
    context: typer.Context,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "-m",
            "--model",
            metavar="FILE",
            help="A GGUF file, or a name from `vatra list`; may be repeated, the first is the "
            "default. [default: VATRA_MODEL, else all that `vatra list` shows and the toy]",
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Where to listen; other machines need a key. [default: this machine alone]",
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="0 takes one that is free.")
    ] = 11500,
    api_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            envvar=KEY,
            show_envvar=True,
            help="What programs must send as `Authorization: Bearer KEY`.",
        ),
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A file with that key; made if it is not there."),
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser when ready.")
    ] = False,
    parallel: Annotated[
        int, typer.Option(metavar="N", min=1, max=64, help="Texts written at once by a model.")
    ] = 8,
    queue: Annotated[
        int, typer.Option(metavar="N", min=0, max=10_000, help="Requests that may wait for it.")
    ] = 16,
    loaded: Annotated[
        int, typer.Option(metavar="N", min=1, max=64, help="Models in memory at once.")
    ] = 1,
    idle: Annotated[
        float,
        typer.Option(
            metavar="MINUTES", min=0, help="Unload a model that nobody used for so long; 0 never."
        ),
    ] = 30,
    ctx: options.Context = None,
    kv: options.KV = options.KVFormat.f16,
    *,
    hardware: dict[str, Any],
    cors: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="A web page's origin that may ask; may be repeated."),
    ] = None,
    log_requests: Annotated[
        bool, typer.Option("--log-requests", help="Tell of each request, not what it says.")
    ] = False,
    log_prompts: Annotated[
        bool, typer.Option("--log-prompts", help="Tell also what is said to models.")
    ] = False,
    install: Annotated[
        bool,
        typer.Option("--install", help="Write a file that starts this with the desktop, and end."),
    ] = False,
    uninstall: Annotated[
        bool, typer.Option("--uninstall", help="Remove that file, and end.")
    ] = False,
) -> None:
    """Serve models to other programs, and a page to talk with them.

    Programs for OpenAI's API find it at http://127.0.0.1:11500/v1, those for Ollama's at
    http://127.0.0.1:11500. A model is loaded when it is first asked for.
    """
    _check_packages()
    if uninstall:
        _uninstall()
        return
    found = served(models)
    access = access_of(host, port, cors or ())
    _check_device(hardware["gpu_layers"], hardware["device"], kv.value)
    if install:
        _install(context, found, api_key)
        return

    from dataclasses import replace

    from vatra.server.listener import listen

    sockets = listen(host if host not in LOCAL[:1] else None, port)
    key = key_of(api_key, api_key_file, wanted=not is_local(host))
    actual = sockets[0].getsockname()[1]
    access = replace(access, port=access.port and actual, key=None if key is None else key.text)
    address = f"http://{_shown_host(host)}:{actual}"

    from vatra.server.workers import Options

    settings = Options(
        ctx=ctx, kv=kv.value, parallel=parallel, queue=queue, idle_s=idle * 60,
        most_loaded=loaded, log_prompts=log_prompts, **hardware,
    )  # fmt: skip
    _log(log_requests or log_prompts)

    def ready() -> None:
        for line in welcome(address, list(found), key):
            terminal.note(line)
        if open_page:
            _open_page(address)

    asked_by = asyncio.run(_serve(found, settings, access, sockets, ready, log_requests))
    if asked_by == signal.SIGINT:
        raise KeyboardInterrupt
    if asked_by is not None:
        raise SystemExit(128 + asked_by)


async def _serve(
    models: dict[str, str],
    settings: Options,
    access: Access,
    sockets: list[socket.socket],
    ready: Callable[[], None],
    log_requests: bool,
) -> signal.Signals | None:
    """Serve until a signal comes, which is returned."""
    import vatra
    from vatra.server.app import application
    from vatra.server.limits import Limits
    from vatra.server.listener import Server
    from vatra.server.workers import Workers

    limits, stop = Limits(), asyncio.Event()
    async with Workers(models, settings) as workers:
        app = application(workers, access, stop, vatra.__version__, limits, log_requests)
        server = Server(app, stop, ready, limits)
        await server.serve(sockets)
    return server.signal


def _check_packages() -> None:
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"vatra serve needs the package {error.name}: pip install 'vatra[serve]'"
        ) from None


def _check_device(gpu_layers: int | str | None, device: str | None, kv: KVType) -> None:
    """Raise what models would be refused for, before one is asked for."""
    if gpu_layers or device:
        from vatra.engine.model import layers_wanted
        from vatra.engine.offload.device import choose

        if layers_wanted(gpu_layers, device, kv):
            choose(device)


# ---- models --------------------------------------------------------------------------------------


def served(models: Sequence[str] | None) -> dict[str, str]:
    """The files of models by the names they are served by, the default first.

    Raises MissingFile where no model has a name, UsageError where two would have the same.
    """
    from vatra.cli.list import runs
    from vatra.formats import shelf

    named = os.environ.get("VATRA_MODEL")
    if not models and named:
        models = [named]
    found: dict[str, str] = {}
    if not models:
        for entry in shelf.models():
            if entry.name not in found and runs(entry):
                found[entry.name] = os.path.abspath(entry.path)
        toy = spark.path()
        found.setdefault(toy.stem, os.path.abspath(toy))
        return found
    for model in models:
        name, path = _named(model)
        if found.setdefault(name, path) != path:
            raise UsageError(
                f"{printable(name)}: {printable(found[name])} and {printable(path)} would both be "
                "served by this name"
            )
    return found


def _named(model: str) -> tuple[str, str]:
    from vatra.formats import shelf
    from vatra.formats.variants import variants

    path = options.model_path(model)
    if not path.is_file():
        raise MissingFile(f"{printable(str(path))}: no such file")
    if shelf.is_path(model):
        name = next((v.file_name for v in variants([path.name])), path.stem)
    else:
        name = shelf.named(model).name
    return name, os.path.abspath(path)


# ---- who may ask ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """What a program must know."""

    text: str = field(repr=False)
    file: Path | None = None  # that it was made into just now


def is_local(host: str | None) -> bool:
    """True if only this machine can reach what listens there."""
    try:
        return host in (None, "localhost") or ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False


def access_of(host: str | None, port: int, origins: Sequence[str]) -> Access:
    """Who may ask; without the key, and of a server that others reach with any port and number."""
    from vatra.server.guard import Access, check_origin

    allowed = frozenset(check_origin(origin) for origin in origins)
    if is_local(host):
        names = frozenset({*LOCAL, *([host] if host else [])})
        return Access(port, names, origins=allowed)
    own = socket.gethostname().lower()
    names = frozenset({*LOCAL, own, f"{own}.local", str(host).lower()})
    return Access(0, names, numbers=True, origins=allowed)


def key_of(text: str | None, file: Path | None, wanted: bool) -> Key | None:
    """The key that is given, or kept in a file; where one is `wanted` and none is, a new one.

    Raises UsageError for one that is too short to be a secret.
    """
    if text is not None and file is not None:
        raise UsageError("--api-key and --api-key-file: only one of them")
    if text is None and file is None and not wanted:
        return None
    if text is not None:
        return Key(_checked(text, "--api-key"))
    if file is None:
        import platformdirs

        file = platformdirs.user_config_path("vatra", appauthor=False) / "server.key"
    if file.exists():
        return Key(_checked(file.read_text(encoding="utf-8").strip(), str(file)))
    from vatra.formats.atomic import atomic_write

    made = secrets.token_urlsafe(32)
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file, mode=0o600) as out:
        out.write(f"{made}\n".encode())
    return Key(made, file)


def _checked(key: str, where: str) -> str:
    if len(key) < LEAST_KEY or not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(
            f"{where}: a key has at least {LEAST_KEY} characters of ASCII and no spaces"
        )
    return key


# ---- what a person is told -----------------------------------------------------------------------


def welcome(address: str, names: Sequence[str], key: Key | None) -> list[str]:
    """Lines for a person when the server is ready. The key is shown to a terminal, never a log."""
    shown = [printable(name) for name in names[:6]]
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    lines = [
        f"Vatra listens at {address}",
        f"  page    {address}/",
        f"  OpenAI  {address}/v1",
        f"  Ollama  {address}",
        f"  models  {', '.join(shown)}{more}; {shown[0]} where none is named",
    ]
    if key is not None and key.file is not None:
        at_terminal = terminal.is_terminal(sys.stderr)
        told = f"{key.text}, made now and kept in" if at_terminal else "made now, in"
        lines.append(f"  key     {told} {printable(str(key.file))}")
    return [*lines, "Ctrl-C ends it."]


def _shown_host(host: str | None) -> str:
    """What a browser on this machine can be given."""
    if host in (None, "0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in str(host) else str(host)


def _open_page(address: str) -> None:
    import webbrowser

    # Some browsers keep their caller waiting.
    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        terminal.note(self.format(record))


def _log(everything: bool) -> None:
    handler = _Handler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log = logging.getLogger("vatra.server")
    log.addHandler(handler)
    log.setLevel(logging.INFO if everything else logging.WARNING)
    log.propagate = False


# ---- with the desktop ----------------------------------------------------------------------------


def _unit() -> tuple[Path, bool]:
    """The file that starts the server, and whether systemd reads it."""
    from vatra.server.service import launchd_path, systemd_path

    if sys.platform == "darwin":
        return launchd_path(Path.home()), False
    if sys.platform != "linux":
        raise UsageError("--install: only systemd and launchd are known, of Linux and macOS")
    return systemd_path(Path.home(), os.environ.get("XDG_CONFIG_HOME")), True


def _install(context: typer.Context, models: dict[str, str], api_key: str | None) -> None:
    from vatra.formats.atomic import atomic_write
    from vatra.server.service import LABEL, launchd_plist, systemd_unit

    if api_key is not None:
        raise UsageError("--install: others could read the key there: give --api-key-file instead")
    path, is_systemd = _unit()
    command = [sys.executable, "-m", "vatra", "serve", *arguments(context, models)]
    kept = {n: v for n, v in os.environ.items() if n.startswith("VATRA_") and n != "VATRA_MODEL"}
    if is_systemd:
        content = systemd_unit(command, kept).encode()
        start = f"systemctl --user daemon-reload && systemctl --user enable --now {path.stem}"
    else:
        log = Path.home() / "Library" / "Logs" / "vatra-serve.log"
        content = launchd_plist(command, kept, log)
        start = f"launchctl bootstrap gui/{os.getuid()} {path}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, mode=0o600) as out:
        out.write(content)
    terminal.note(f"written: {printable(str(path))}")
    terminal.note(f"start it, now and with the desktop: {printable(start)}")
    if is_systemd:
        terminal.note(f"what it says: journalctl --user -u {path.stem}")
    else:
        terminal.note(f"stop it: launchctl bootout gui/{os.getuid()}/{LABEL}")


def _uninstall() -> None:
    path, is_systemd = _unit()
    if not path.exists():
        raise MissingFile(f"{printable(str(path))}: nothing is installed")
    path.unlink()
    terminal.note(f"removed: {printable(str(path))}")
    stop = f"systemctl --user disable --now {path.stem}" if is_systemd else "log out and in again"
    terminal.note(f"if it runs still: {stop}")


def arguments(context: typer.Context, models: dict[str, str]) -> list[str]:
    """The options of this command line, for another time and folder."""
    found: list[str] = []
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        given = context.params[str(parameter.name)]
        if getattr(source, "name", "") != "COMMANDLINE" or parameter.name in ("install", "models"):
            continue
        flag = max(parameter.opts, key=len)
        if isinstance(given, bool):
            found += [flag] if given else []
            continue
        for value in given if isinstance(given, (list, tuple)) else [given]:
            text = os.path.abspath(value) if isinstance(value, Path) else str(value)
            found += [flag, text]
    named = context.params["models"] or os.environ.get("VATRA_MODEL")
    return [*found, *(word for path in models.values() for word in ("-m", path) if named)]
