"""Compiling kernels once: `compiler` makes machine code, this module keeps it on disk and loads it.

A kernel has a name, `module:variant`; `engine/kernels/<module>.py` has `kernel(*variant)`, which
returns a plain function whose first parameters are `op, run, thread, n_threads` and whose other
parameters are annotated `int` (64 bits, often an address) or `float` (32 bits). Its machine code
is stored in a folder named by a hash of everything it depends on, and is loaded by llvmlite alone:
a warm start imports no Numba. Nothing is unpickled, and every file carries a checksum.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from vatra.choices import Choice
from vatra.engine.cpu_features import processor
from vatra.errors import printable
from vatra.quant import registry

MAGIC = b"vatra kernel 1\n"
KERNEL_BYTES = 2**24  # no kernel is larger
LOCK_PATIENCE_S = 30.0  # then this process compiles what another one has not finished
FORGET_S = 30 * 24 * 3600.0  # machine code of other versions that nobody has used for so long
DAY_S = 24 * 3600.0

# Called as on_compile(kernel name, number done, number to do) before each kernel that is not kept
# yet is compiled, or awaited from another process that compiles it, and at the end.
on_compile: Callable[[str, int, int], None] | None = None
# Called with one line, at most once, if the kernels cannot be kept or had been damaged.
on_notice: Callable[[str], None] | None = None

_loaded: dict[str, Kernel] = {}
_alive: list[Any] = []  # execution engines: the code lives as long as they do
_guard = threading.RLock()
_noticed = False

if hasattr(os, "register_at_fork"):  # a child must not inherit a guard that nobody in it holds
    os.register_at_fork(
        before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_guard.release
    )


@dataclass(frozen=True)
class Kernel:
    """Machine code at `address`, called in Numba's convention with (op, run, thread, n_threads)."""

    name: str
    address: int
    arguments: tuple[tuple[str, str], ...]  # (name, "int" or "float") in the order of an op's words


def load(names: Sequence[str]) -> dict[str, Kernel]:
    """The named kernels, loaded from the disk or compiled and kept there; safe from any thread."""
    with _guard:
        missing = [name for name in dict.fromkeys(names) if name not in _loaded]
        if missing:
            _load_or_compile(missing)
        return {name: _loaded[name] for name in names}


def _load_or_compile(names: list[str]) -> None:
    folder, reason = cache_folder()
    absent = [name for name in names if not _from_disk(folder, name)]
    if not absent:
        return
    if folder is None:
        _notice(f"kernels are compiled for this run only: {reason}")
    deadline = time.monotonic() + LOCK_PATIENCE_S
    for done, name in enumerate(absent):
        if on_compile:
            on_compile(name, done, len(absent))
        with _lock(folder, name, deadline):
            if _from_disk(folder, name):  # another process has compiled it meanwhile
                continue
            from vatra.engine.compiler import compile_kernel

            blob = compile_kernel(name)
            if folder is not None:
                _keep(folder, name, blob)
        _loaded[name] = _link(name, blob)
    if on_compile:
        on_compile("", len(absent), len(absent))
    if folder is not None:
        _forget_others(folder)


# ---- machine code --------------------------------------------------------------------------------


def _link(name: str, blob: bytes) -> Kernel:
    import llvmlite.binding as llvm

    size = int.from_bytes(blob[:4], "little")
    header = json.loads(blob[4 : 4 + size])
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(blob[4 + size :]))
    engine.finalize_object()
    _alive.append(engine)
    arguments = tuple((key, kind) for key, kind in header["arguments"])
    return Kernel(name, engine.get_function_address(header["symbol"]), arguments)


def _target_machine() -> Any:
    """A new one for each engine, which owns it."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(jit=True)


# ---- the disk ------------------------------------------------------------------------------------


def _sources() -> list[Path]:
    """Every file of ours that decides what machine code a kernel becomes."""
    here = Path(__file__).parent
    own = [here / name for name in ("compiler.py", "jit.py", "simd.py")]
    blocks = Path(registry.__file__).parent.glob("[a-z]*.py")  # how many bytes a block has
    return sorted([*own, *(here / "kernels").glob("*.py"), *blocks])


@cache
def fingerprint() -> str:
    """A hash of all that machine code depends on: sources, versions, processor."""
    from importlib.metadata import version

    digest = hashlib.sha256()
    for source in _sources():
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    versions = [version(name) for name in ("numba", "llvmlite", "gguf")]  # gguf: tables in the code
    for fact in (*versions, sys.version, sys.platform, processor().id):
        digest.update(fact.encode() + b"\0")
    return digest.hexdigest()[:24]


@cache
def cache_folder() -> tuple[Path | None, str]:
    """Where machine code is kept, and why there; None, and why, if there is no private folder."""
    chosen = os.environ.get("VATRA_CACHE")
    if chosen:
        base, reason = Path(chosen).absolute(), "VATRA_CACHE"
    else:
        from platformdirs import user_cache_path

        base, reason = Path(), "this user's cache folder"
        with contextlib.suppress(KeyError, RuntimeError):  # a user whom the system does not know
            base = user_cache_path("vatra", appauthor=False)
        if not base.is_absolute():
            return None, "this user has no cache folder (set VATRA_CACHE to a folder of yours)"
    folder = base / "kernels" / fingerprint()
    try:
        for place in (base, folder.parent, folder):
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
        for place in (folder.parent, folder):  # what lies there is executed
            if not _is_ours(place.stat()):
                why = "belongs to or can be written by others (chown and chmod 700 it)"
                return None, f"{printable(str(place))} {why}"
        if time.time() - folder.stat().st_mtime > DAY_S:
            with contextlib.suppress(OSError):  # it may be read-only
                os.utime(folder)  # in use: see _forget_others
    except OSError as error:
        why = f"{error.strerror or error} (set VATRA_CACHE to a folder of yours)"
        return None, f"{printable(str(folder))}: {why}"
    return folder, reason


def _is_ours(found: os.stat_result) -> bool:
    """True if nobody but this user (or root, who can do anything) could have written it."""
    if not hasattr(os, "geteuid"):  # Windows, where a user's folders are private by default
        return True
    writable = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return found.st_uid in (0, os.geteuid()) and not writable


def _path(folder: Path, name: str) -> Path:
    return folder / (name.replace(":", "-").replace(",", "-") + ".kernel")


def _from_disk(folder: Path | None, name: str) -> bool:
    """Load a kept kernel; False if there is none, or if it is damaged, when it is removed."""
    if folder is None:
        return False
    path = _path(folder, name)
    try:
        blob = _read(path, name)
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        _notice(f"compiled again: {printable(str(path))} {why}")
        with contextlib.suppress(OSError):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        return False
    _loaded[name] = _link(name, blob)
    return True


def _read(path: Path, name: str) -> bytes:
    """What was kept; raises OSError, or ValueError if it cannot be what was written."""
    wary = ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")  # a pipe must not keep us waiting
    flags = sum(getattr(os, flag, 0) for flag in wary)
    with open(path, "rb", opener=lambda file, _: os.open(file, os.O_RDONLY | flags)) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("is no regular file")
        if not _is_ours(found):
            raise ValueError("belongs to or can be written by others")
        kept = file.read(KERNEL_BYTES)
    start = len(MAGIC) + 32
    if not kept.startswith(MAGIC) or kept[len(MAGIC) : start] != _checksum(name, kept[start:]):
        raise ValueError("was damaged")
    return kept[start:]


def _checksum(name: str, blob: bytes) -> bytes:
    return hashlib.sha256(fingerprint().encode() + name.encode() + b"\0" + blob).digest()


def _keep(folder: Path, name: str, blob: bytes) -> None:
    from vatra.formats.atomic import atomic_write

    try:
        with atomic_write(_path(folder, name), mode=0o600) as file:
            file.write(MAGIC + _checksum(name, blob) + blob)
    except Exception as error:  # a full disk must not stop an answer
        _notice(f"kernels are compiled for this run only: {error}")


@contextlib.contextmanager
def _lock(folder: Path | None, name: str, deadline: float) -> Iterator[None]:
    """One process compiles a kernel, others wait for it; without locks each compiles for itself.

    A kernel's lock is one byte, which need not exist, of a file that stays empty.
    """
    held = None
    with contextlib.suppress(ImportError, OSError):  # Windows; the folder is gone
        import fcntl

        if folder is not None:
            held = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while held is not None and time.monotonic() < deadline:
            try:
                fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, zlib.crc32(name.encode()))
                break
            except (BlockingIOError, PermissionError):  # by the system
                time.sleep(0.05)
            except OSError:  # a file system without locks: files are replaced whole, it costs time
                break
        yield
    finally:
        if held is not None:
            os.close(held)


def _forget_others(folder: Path) -> None:
    """Delete the machine code of other versions that nobody has used for long."""
    with contextlib.suppress(OSError):
        for other in folder.parent.iterdir():
            old = time.time() - other.lstat().st_mtime > FORGET_S
            if old and other != folder and re.fullmatch("[0-9a-f]{24}", other.name):
                shutil.rmtree(other, ignore_errors=True)


def _notice(line: str) -> None:
    global _noticed
    if on_notice and not _noticed:
        _noticed = True
        on_notice(line)


def report() -> list[Choice]:
    """What `vatra doctor` says of kept machine code."""
    folder, reason = cache_folder()
    if folder is None:
        return [Choice("kernel cache", "none", reason)]
    kept = list(folder.glob("*.kernel"))
    size = sum(file.stat().st_size for file in kept)
    return [
        Choice("kernel cache", str(folder), reason),
        Choice(
            "kept kernels",
            f"{len(kept)}, {size / 1e3:.0f} kB",
            "machine code for this processor, compiled on first use",
        ),
    ]
