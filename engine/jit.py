"""Compiling kernels once: Numba makes machine code, this module keeps it on disk and loads it.

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
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from vatra.choices import Choice
from vatra.engine.cpu_features import processor
from vatra.engine.kernels.layout import FIRST_ARGUMENT

MAGIC = b"vatra kernel 1\n"
LOCK_PATIENCE_S = 120.0
HEADS = ("op", "run", "thread", "n_threads")  # what every kernel is given

# Called as on_compile(kernel name, number done, number to do) before each kernel and at the end.
on_compile: Callable[[str, int, int], None] | None = None
# Called with one line, at most once, if the kernels cannot be kept or had been damaged.
on_notice: Callable[[str], None] | None = None

_loaded: dict[str, Kernel] = {}
_alive: list[Any] = []  # execution engines: the code lives as long as they do
_guard = threading.RLock()
_noticed = False


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
    if folder is None:
        _notice(f"kernels are compiled for this run only: {reason}")
    absent = [name for name in names if folder is None or not _from_disk(folder, name)]
    if not absent:
        return
    with _lock(folder):
        if folder is not None:  # another process may have compiled them meanwhile
            absent = [name for name in absent if not _from_disk(folder, name)]
        for done, name in enumerate(absent):
            if on_compile:
                on_compile(name, done, len(absent))
            blob = _compile(name)
            if folder is not None:
                _keep(folder, name, blob)
            _loaded[name] = _link(name, blob)
        if absent and on_compile:
            on_compile("", len(absent), len(absent))


# ---- machine code --------------------------------------------------------------------------------


def _compile(name: str) -> bytes:
    """Compile one kernel; returns a header (JSON) and an object file."""
    from importlib import import_module

    _aim_numba()
    from numba import njit, types
    from numba.core import compiler
    from numba.core.registry import cpu_target

    from vatra.engine import simd

    module, _, variant = name.partition(":")
    made = import_module(f"vatra.engine.kernels.{module}").kernel(
        *(variant.split(",") if variant else ())
    )
    kinds = {
        key: kind for key, kind in made.__annotations__.items() if key not in ("return", *HEADS)
    }
    words = ", ".join(
        f"load_i64(op + {8 * i})" if kind == "int" else f"as_f32(load_i64(op + {8 * i}))"
        for i, kind in enumerate(kinds.values(), FIRST_ARGUMENT)
    )
    source = f"def entry(op, run, thread, n_threads):\n    body({', '.join((*HEADS, words))})\n"
    scope = {"body": njit(forceinline=True)(made), "load_i64": simd.load_i64, "as_f32": simd.as_f32}
    exec(source, scope)  # noqa: S102 - our own text, from the kernel's own parameter names
    flags = compiler.Flags()
    flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    flags.error_model, flags.nrt, flags.enable_looplift = "numpy", False, False
    result = compiler.compile_extra(
        cpu_target.typing_context,
        cpu_target.target_context,
        scope["entry"],
        (types.intp,) * 4,
        types.void,
        flags,
        {},
    )
    header = {"symbol": result.fndesc.llvm_func_name, "arguments": list(kinds.items())}
    text = json.dumps(header).encode()
    return len(text).to_bytes(4, "little") + text + result.library._get_compiled_object()


def _aim_numba() -> None:
    """Make Numba compile for `processor()`, which may be an override."""
    from numba.core import config

    cpu = processor()
    if cpu.reason == "forced by VATRA_ISA" and cpu.level != "avx512":
        config.CPU_NAME = cpu.name
        config.CPU_FEATURES = ",".join(f"+{f}" for f in sorted(cpu.features))


def _link(name: str, blob: bytes) -> Kernel:
    import llvmlite.binding as llvm

    size = int.from_bytes(blob[:4], "little")
    header = json.loads(blob[4 : 4 + size])
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(blob[4 + size :]))
    engine.finalize_object()
    _alive.append(engine)
    arguments = tuple((key, kind) for key, kind in header["arguments"])
    return Kernel(name, engine.get_function_address(header["symbol"]), arguments)


@cache
def _machine() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(jit=True)


# ---- the disk ------------------------------------------------------------------------------------


@cache
def fingerprint() -> str:
    """A hash of all that machine code depends on: sources, versions, processor."""
    from importlib.metadata import version

    here = Path(__file__).parent
    digest = hashlib.sha256()
    for source in sorted([here / "simd.py", here / "jit.py", *(here / "kernels").glob("*.py")]):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    for fact in (version("numba"), version("llvmlite"), sys.version, sys.platform, processor().id):
        digest.update(fact.encode() + b"\0")
    return digest.hexdigest()[:24]


@cache
def cache_folder() -> tuple[Path | None, str]:
    """Where machine code is kept, and why there; None if no folder is private and writable."""
    chosen = os.environ.get("VATRA_CACHE")
    if chosen:
        base, reason = Path(chosen), "VATRA_CACHE"
    else:
        from platformdirs import user_cache_path

        base, reason = user_cache_path("vatra", appauthor=False), "this user's cache folder"
    folder = base / "kernels" / fingerprint()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if hasattr(os, "geteuid"):
            for place in (
                folder.parent,
                folder,
            ):  # what lies there is executed: nobody else may write
                found = place.stat()
                if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                    return None, f"{place} can be written by others (chmod 700 it, and own it)"
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return None, f"{folder}: {error.strerror or error} (set VATRA_CACHE to a folder of yours)"
    return folder, reason


def _path(folder: Path, name: str) -> Path:
    return folder / (name.replace(":", "-").replace(",", "-") + ".kernel")


def _from_disk(folder: Path, name: str) -> bool:
    """Load a kept kernel; False if there is none, or if it is damaged."""
    try:
        found = _path(folder, name).read_bytes()
    except OSError:
        return False
    start = len(MAGIC) + 32
    if not found.startswith(MAGIC) or found[len(MAGIC) : start] != _checksum(name, found[start:]):
        _notice(f"a kept kernel was damaged ({_path(folder, name)}): compiled again")
        return False
    _loaded[name] = _link(name, found[start:])
    return True


def _checksum(name: str, blob: bytes) -> bytes:
    return hashlib.sha256(fingerprint().encode() + name.encode() + b"\0" + blob).digest()


def _keep(folder: Path, name: str, blob: bytes) -> None:
    from vatra.formats.atomic import atomic_write

    try:
        with atomic_write(_path(folder, name)) as file:
            file.write(MAGIC + _checksum(name, blob) + blob)
    except Exception as error:  # a full disk must not stop an answer
        _notice(f"kernels could not be kept in {folder}: {error}")


@contextlib.contextmanager
def _lock(folder: Path | None) -> Iterator[None]:
    """One process compiles, the others wait for it; without locks each compiles for itself."""
    try:
        import fcntl
    except ImportError:  # Windows: files are replaced atomically, so this costs only time
        folder = None
    if folder is None:
        yield
        return
    try:
        file = open(folder / "lock", "ab")  # noqa: SIM115
    except OSError:
        yield
        return
    with file:
        deadline = time.monotonic() + LOCK_PATIENCE_S
        while time.monotonic() < deadline:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:  # a file system without locks
                break
        yield


def _notice(line: str) -> None:
    global _noticed
    if not _noticed and on_notice:
        on_notice(line)
    _noticed = True


def report() -> list[Choice]:
    """What `vatra doctor` says of kept machine code."""
    folder, reason = cache_folder()
    if folder is None:
        return [Choice("kernel cache", "none", reason)]
    kept = list(folder.glob("*.kernel"))
    size = sum(file.stat().st_size for file in kept)
    return [
        Choice("kernel cache", str(folder), reason),
        Choice("kept kernels", f"{len(kept)}, {size / 1e6:.1f} MB", "compiled on first use"),
    ]
