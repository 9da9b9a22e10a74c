"""Kept machine code: right answers whatever happens to the files, the folder and the processes.

Everything runs in child processes on a copy of the sources, so that a signal fails one test only
and some tests can edit the copy.
"""

from __future__ import annotations

import ast
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from vatra.engine import cpu_features, jit
from vatra.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("vatra", "quant", "formats", "models", "engine", "cli")
PATIENCE_S = 120  # for a child, on a machine with other things to do

PRELUDE = """
import contextlib, json, os, pathlib, sys, threading, time
import numpy as np
from vatra.engine import jit
from vatra.engine.threads import Pool, op_row

asked, notices, kept = [], [], []
jit.on_compile = lambda name, done, total: asked.append((name, done, total))
jit.on_notice = notices.append
keep = jit._keep
jit._keep = lambda folder, name, blob: (kept.append(name), keep(folder, name, blob))

def answer(kernel="elementwise:add", n_threads=2):
    "The sum of two arrays as a kernel finds it, or what select_outputs selects of one."
    x, y = np.arange(60, dtype=np.float32).reshape(2, 3, 10)
    out = np.zeros((3, 10), np.float32)
    given = {"x": x.ctypes.data, "y": y.ctypes.data, "out": out.ctypes.data, "width": 10}
    given |= {"rows": 0} if kernel.endswith("add") else {"tokens": 0, "outputs": 0}
    k = jit.load([kernel])[kernel]
    pool = Pool(n_threads)
    pool.run(op_row(k, **{name: given[name] for name, _ in k.arguments})[None], tokens=3)
    pool.close()
    return out, (x + y if kernel.endswith("add") else x)

def right(*arguments):
    found, wanted = answer(*arguments)
    return bool((found == wanted).all())

def forget():
    "As if the process had just begun."
    jit._loaded.clear(), asked.clear(), notices.clear(), kept.clear()
    jit._noticed = False
    jit.cache_folder.cache_clear()

def folder():
    return jit.cache_folder()[0]

def file(name="elementwise:add"):
    return jit._path(folder(), name)

def say(**more):
    modules = [m for m in ("numba", "gguf") if m in sys.modules]
    print(json.dumps({"asked": asked, "notices": notices, "kept": kept, "modules": modules} | more))
    sys.stdout.flush()
"""


def environment(tree: Path, cache: Path | str | None, **more: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "VATRA_"))}
    clean["PYTHONPATH"] = str(tree)
    if cache is not None:
        clean["VATRA_CACHE"] = str(cache)
    return clean | more


def start(code: str, tree: Path, cache: Path | str | None, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + code],
        env=environment(tree, cache, **more),
        cwd=tree,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(child: subprocess.Popen[str]) -> list[Any]:
    """What the child said, line by line, if it ended well and left standard error alone."""
    out, err = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 0, f"exit {child.returncode}\n{out}\n{err}"
    assert not err
    return [json.loads(line) for line in out.splitlines()]


def run(code: str, tree: Path, cache: Path | str | None, **more: str) -> Any:
    """The last thing that a child says."""
    return end(start(code, tree, cache, **more))[-1]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources."""
    return copied(tmp_path_factory.mktemp("tree"))


def copied(to: Path) -> Path:
    bytecode = shutil.ignore_patterns("__pycache__")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, to / name, symlinks=True, ignore=bytecode, dirs_exist_ok=True)
    return to


@pytest.fixture(scope="module")
def compiled(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with all kernels that a float32 model needs."""
    cache = tmp_path_factory.mktemp("compiled") / "cache"
    code = """
from vatra.engine.cpu import kernels_for
jit.load(kernels_for(["f32"]))
say(right=right("elementwise:select_outputs"))
"""
    said = run(code, tree, cache)
    assert said["right"] and not said["notices"] and "loop:" in said["kept"]
    return cache


@pytest.fixture
def cache(compiled: Path, tmp_path: Path) -> Path:
    """A copy of that cache, to be damaged."""
    shutil.copytree(compiled, tmp_path / "cache")
    return tmp_path / "cache"


# ---- what is promised when all is well ----------------------------------------------------------


def test_progress_is_told_as_documented(tree: Path, tmp_path: Path) -> None:
    names = '"elementwise:add", "loop:", "elementwise:add"'
    said = run(f"jit.load([{names}]); say(right=right())", tree, tmp_path / "cold")
    assert said["asked"] == [["elementwise:add", 0, 2], ["loop:", 1, 2], ["", 2, 2]]
    assert said["kept"] == ["elementwise:add", "loop:"]
    assert said["right"] and not said["notices"]


def test_a_warm_start_is_quick_and_needs_no_compiler(tree: Path, compiled: Path) -> None:
    code = """
from vatra.engine.cpu import kernels_for
begin = time.process_time()
jit.load(kernels_for(["f32"]))
seconds = time.process_time() - begin
say(seconds=seconds, right=right())
"""
    runs = [run(code, tree, compiled) for _ in range(3)]
    for said in runs:
        assert said["right"]
        assert not said["asked"] and not said["modules"] and not said["notices"]
    assert min(said["seconds"] for said in runs) < 0.15


def test_tables_are_kept_with_the_code(tree: Path, tmp_path: Path) -> None:
    """A kernel that gathers from a grid of the `gguf` package, compiled here and loaded there."""
    code = """
from vatra import quant
from vatra.engine.kernels.layout import FAST
from vatra.engine.weights import pieces
def product(name, n_out=16):
    format, rng = quant.by_name(name), np.random.default_rng(1)
    data = np.frombuffer(rng.bytes(n_out * format.block_bytes), np.uint8).reshape(n_out, -1).copy()
    data.view(format.layout)["d"] = 1
    w = np.concatenate([data[:, i : i + n].reshape(-1) for i, n in pieces(format)])
    x, scale = np.zeros((8, 32), np.int8), np.ones(8, np.float32)
    x[:, 5] = range(1, 9)
    sums, out = np.int32(-FAST[name].zero) * x.sum(1, dtype=np.int32), np.zeros(16, np.float32)
    kernel = jit.load([f"matmul:{name},2"])[f"matmul:{name},2"]
    places = {"w": w, "x": x, "x_scale": scale, "x_sum": sums, "out": out}
    given = {key: place.ctypes.data for key, place in places.items()}
    counts = {"n_out": n_out, "n_blocks": 1, "rows": 0, "chunk": 1}
    Pool(1).run(op_row(kernel, bias=0, **given, **counts)[None], tokens=1)
    modules = [m for m in ("numba", "gguf") if m in sys.modules]
    return modules, bool(np.allclose(out, format.decode(data) @ x.reshape(-1)) and out.any())
say(found=[product(name) for name in ("iq3_xxs", "iq1_s", "iq2_xxs")])
"""
    cold, warm = (run(code, tree, tmp_path) for _ in range(2))
    assert len(cold["kept"]) == 4 and not warm["kept"]
    assert all(right for said in (cold, warm) for _, right in said["found"])
    assert warm["found"][0][0] == []  # before numpy's decoding asked for the grids


def test_the_executor_is_imported_without_a_compiler(tree: Path, tmp_path: Path) -> None:
    code = "import sys, vatra.engine.cpu; print('numba' in sys.modules, 'llvmlite' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(tree, tmp_path),
        cwd=tree,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "False"]


def test_stopping_between_two_kernels_keeps_the_first(tree: Path, tmp_path: Path) -> None:
    code = """
def stop(name, done, total):
    if done == 1:
        raise KeyboardInterrupt
jit.on_compile = stop
stopped = False
try:
    jit.load(["elementwise:add", "loop:"])
except KeyboardInterrupt:
    stopped = True
first = list(kept)
jit.on_compile = None
say(stopped=stopped, first=first, right=right())
"""
    said = run(code, tree, tmp_path / "cache")
    assert said["stopped"] and said["first"] == ["elementwise:add"]
    assert said["kept"] == ["elementwise:add", "loop:"] and said["right"]


# ---- damaged files ------------------------------------------------------------------------------

# Each makes something wrong of `path`; `good` is its content, `other` that of another kernel.
DAMAGE = {
    "empty": "path.write_bytes(b'')",
    "garbage": "path.write_bytes(np.random.default_rng(1).bytes(4000))",
    "zeros": "path.write_bytes(bytes(len(good)))",
    "no checksum": "path.write_bytes(jit.MAGIC)",
    "half": "path.write_bytes(good[: len(good) // 2])",
    "a byte less": "path.write_bytes(good[:-1])",
    "a byte more": "path.write_bytes(good + b'x')",
    "other magic": "path.write_bytes(good.replace(b'kernel 1', b'kernel 2'))",
    "flip in the checksum": "path.write_bytes(flipped(len(jit.MAGIC) + 5))",
    "flip in the header": "path.write_bytes(flipped(len(jit.MAGIC) + 50))",
    "flip in the code": "path.write_bytes(flipped(len(good) // 2))",
    "another kernel": "path.write_bytes(other)",
    "of another version": "path.write_bytes(of_version('0' * 24))",
    "sparse terabyte": "os.truncate(path, 2**40)",
    "link to itself": "path.unlink(); path.symlink_to(path)",
    "link to a good copy": "copy.write_bytes(good); path.unlink(); path.symlink_to(copy)",
    "link to nothing": "path.unlink(); path.symlink_to('nothing')",
    "link to endless zeros": "path.unlink(); path.symlink_to('/dev/zero')",
    "empty folder": "path.unlink(); path.mkdir()",
    "pipe": "path.unlink(); os.mkfifo(path)",
    "writable by the group": "path.chmod(0o660)",
    "writable by all": "path.chmod(0o606)",
}
STAYS = {"full folder": "path.unlink(); path.mkdir(); (path / 'mine').write_text('kept')"}
if hasattr(os, "geteuid") and os.geteuid() == 0:
    DAMAGE["of another user"] = "os.chown(path, 12345, 12345)"

DAMAGE_CODE = """
import hashlib
path, other = file(), file("loop:").read_bytes()
good, copy = path.read_bytes(), path.with_name("copy")

def flipped(at):
    return good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :]

def of_version(version):
    start = len(jit.MAGIC) + 32
    text = version.encode() + b"elementwise:add\\0" + good[start:]
    return jit.MAGIC + hashlib.sha256(text).digest() + good[start:]

assert of_version(jit.fingerprint()) == good
for name, code in DAMAGE.items():
    exec(code)
    forget()
    is_right = right()
    first = list(notices)
    forget()
    say(name=name, right=is_right, first=first, again=right(), healed=path.is_file())
"""


@pytest.fixture(scope="module")
def damaged(tree: Path, compiled: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one child says of all damages; those after a crash are missing."""
    cache = tmp_path_factory.mktemp("damaged") / "cache"
    shutil.copytree(compiled, cache)
    child = start(f"DAMAGE = {DAMAGE | STAYS!r}\n{DAMAGE_CODE}", tree, cache)
    out, err = child.communicate(timeout=PATIENCE_S)
    said = {line["name"]: line for line in map(json.loads, out.splitlines())}
    return said | {"end": (child.returncode, err)}


@pytest.mark.skipif(os.name != "posix", reason="links, pipes and owners")
@pytest.mark.parametrize("name", [*DAMAGE, *STAYS])
def test_a_damaged_file_is_compiled_again(damaged: dict[str, Any], name: str) -> None:
    assert name in damaged, f"the child ended before: {damaged['end']}"
    said = damaged[name]
    assert said["right"] and said["again"]
    assert len(said["first"]) == 1, "one line of notice"
    assert "\n" not in said["first"][0] and "elementwise-add.kernel" in said["first"][0]
    if name in STAYS:  # it is somebody's, and costs a compilation each time
        assert not said["healed"]
    else:
        assert said["healed"] and not said["kept"] and not said["notices"]


def test_a_damaged_file_in_a_process_of_its_own(tree: Path, cache: Path) -> None:
    for path in cache.rglob("*.kernel"):
        path.write_bytes(b"\x7fELF" + bytes(1000))
    said = run("say(right=right())", tree, cache)
    assert said["right"] and said["kept"] == ["elementwise:add", "loop:"]
    assert len(said["notices"]) == 1
    assert not run("say(right=right())", tree, cache)["asked"]


def test_no_flip_and_no_cut_is_overlooked(tree: Path, cache: Path) -> None:
    code = """
import random
random.seed(5)
path = file()
good = path.read_bytes()
flips = [(random.randrange(len(good)), 1 << random.randrange(8)) for _ in range(150)]
flips += [(at, 1 << at % 8) for at in range(len(jit.MAGIC) + 32 + 4)]
cuts = [*range(60), *random.sample(range(60, len(good)), 60), len(good) - 1]
missed = []
for at, bit in flips:
    path.write_bytes(good[:at] + bytes([good[at] ^ bit]) + good[at + 1 :])
    if jit._from_disk(folder(), "elementwise:add") or path.exists():
        missed.append((at, bit))
for cut in cuts:
    path.write_bytes(good[:cut])
    if jit._from_disk(folder(), "elementwise:add") or path.exists():
        missed.append(cut)
path.write_bytes(good)
path.chmod(0o600)
say(missed=missed, tried=len(flips) + len(cuts), right=right())
"""
    said = run("os.umask(0o077)\n" + code, tree, cache)
    assert not said["missed"] and said["tried"] > 300
    assert said["right"] and not said["kept"] and len(said["notices"]) == 1


# ---- folders ------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "umask") or os.name != "posix", reason="permission bits")
@pytest.mark.parametrize("mask", [0o002, 0o000])
def test_the_folder_is_private_whatever_the_umask(tree: Path, tmp_path: Path, mask: int) -> None:
    said = run(f"os.umask({mask}); say(right=right())", tree, tmp_path / "new" / "cache")
    assert said["right"] and said["kept"] and not said["notices"]
    for path in (tmp_path / "new" / "cache" / "kernels").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert not run("say(right=right())", tree, tmp_path / "new" / "cache")["asked"]


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
@pytest.mark.parametrize("place", ["kernels", "kernels/*"])
@pytest.mark.parametrize("how", ["group", "all", "owner"])
def test_a_folder_that_others_may_write_is_refused(
    tree: Path, cache: Path, place: str, how: str
) -> None:
    (folder,) = cache.glob(place)
    if how == "owner":
        if os.geteuid() != 0:
            pytest.skip("only root can give a folder away")
        os.chown(folder, 12345, 12345)
    else:
        folder.chmod(0o770 if how == "group" else 0o707)
    # it is enough to see that nothing is read from there
    code = "found, why = jit.cache_folder(); print(json.dumps([found and str(found), why]))"
    found, why = run(code, tree, cache)
    assert found is None and str(folder) in why and "others" in why
    if place == "kernels" and how == "group":
        said = run("say(right=right())", tree, cache)
        assert said["right"] and [name for name, _, _ in said["asked"] if name]
        assert said["notices"] == [f"kernels are compiled for this run only: {why}"]


def test_unusable_places(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "loop").symlink_to("loop")
    code = """
import pwd
def nobody(uid):
    raise KeyError(uid)
pwd.getpwuid = nobody
cases = {name: {"VATRA_CACHE": path} for name, path in PLACES.items()}
cases |= {
    "no home": {},
    "relative cache": {"XDG_CACHE_HOME": "here"},
    "home is nowhere": {"HOME": "/proc/nope"},
    "home is a file": {"HOME": PLACES["a file"]},
    "relative home": {"HOME": "here"},
}
for name, given in cases.items():
    for key in ("VATRA_CACHE", "HOME", "XDG_CACHE_HOME"):
        os.environ.pop(key, None)
    os.environ.update(given)
    forget()
    say(name=name, right=right(), none=folder() is None, here=os.listdir("."))
"""
    places = {
        "a file": str(tmp_path / "file"),
        "below a file": str(tmp_path / "file" / "cache"),
        "proc": "/proc/nope",
        "null": os.devnull,
        "a link to itself": str(tmp_path / "loop"),
        "too long a name": str(tmp_path / ("x" * 300)),
        "a newline": "/proc/no\npe",
    }
    here = set(os.listdir(tree))
    said = end(start(f"PLACES = {places!r}\n{code}", tree, None))
    assert len(said) == len(places) + 5
    for line in said:
        assert line["right"] and line["none"], line["name"]
        assert len(line["notices"]) == 1 and "\n" not in line["notices"][0], line["name"]
        assert "set VATRA_CACHE" in line["notices"][0]
        assert set(line["here"]) == here, f"{line['name']}: nothing is made in the current folder"
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk(tree: Path, tmp_path: Path) -> None:
    code = """
import resource
folder()
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
say(right=right(), files=os.listdir(folder()))
"""
    said = run(code, tree, tmp_path)
    assert said["right"] and said["files"] == ["lock"]
    assert len(said["notices"]) == 1 and "this run only" in said["notices"][0]
    assert run("say(right=right())", tree, tmp_path)["kept"] == ["elementwise:add", "loop:"]


def test_a_folder_that_can_only_be_read(tree: Path, cache: Path) -> None:
    code = """
import errno
import vatra.formats.atomic as atomic

def refuse(path, *_, **__):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
os.utime = atomic.atomic_write = refuse
for unkept in ("elementwise:add",):
    file(unkept).unlink()
os.unlink = os.mkdir = os.rmdir = refuse
say(right=right(), others=right("elementwise:select_outputs"))
"""
    for path in cache.rglob("*"):
        os.utime(path, (0, 0))
    said = run(code, tree, cache)
    assert said["right"] and said["others"]
    assert said["kept"] == ["elementwise:add"] and len(said["notices"]) == 1


def test_a_folder_that_goes_while_it_is_used(tree: Path, cache: Path) -> None:
    code = """
import shutil
first = right()
shutil.rmtree(os.environ["VATRA_CACHE"])
say(first=first, second=right("elementwise:select_outputs"))
"""
    said = run(code, tree, cache)
    assert said["first"] and said["second"] and len(said["notices"]) <= 1


def test_a_relative_folder_stays_where_it_was(tree: Path, tmp_path: Path) -> None:
    code = f"""
os.chdir({str(tmp_path)!r})
first = right()
os.chdir("/")
say(first=first, second=right("elementwise:select_outputs"), where=str(folder()))
"""
    said = run(code, tree, "relative")
    assert said["first"] and said["second"] and not said["notices"]
    assert said["where"].startswith(str(tmp_path / "relative"))


def test_other_versions_are_forgotten_when_long_unused(tree: Path, cache: Path) -> None:
    kernels = cache / "kernels"
    (own,) = kernels.iterdir()
    made = {name: kernels / name for name in ("0" * 24, "a" * 24, "b" * 24, "mine")}
    for path in made.values():
        path.mkdir()
        (path / "elementwise-add.kernel").write_bytes(b"old")
    (kernels / ("c" * 24)).symlink_to(cache, target_is_directory=True)
    long_ago = time.time() - 31 * 24 * 3600
    for path in (own, made["0" * 24], made["a" * 24], made["mine"]):
        os.utime(path, (long_ago, long_ago))
    os.utime(kernels / ("c" * 24), (long_ago, long_ago), follow_symlinks=False)

    said = run("say(right=right())", tree, cache)  # nothing is compiled: only looked at
    assert said["right"] and not said["kept"]
    assert all(path.exists() for path in made.values())
    assert time.time() - own.stat().st_mtime < 3600, "using it keeps it from being forgotten"

    (own / "elementwise-add.kernel").unlink()
    said = run("say(right=right())", tree, cache)
    assert said["right"] and said["kept"] == ["elementwise:add"] and not said["notices"]
    assert not made["0" * 24].exists() and not made["a" * 24].exists()
    assert made["b" * 24].exists() and made["mine"].exists() and own.exists()
    assert (own / "loop-.kernel").exists()


# ---- what machine code depends on ---------------------------------------------------------------


def test_editing_any_source_changes_the_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fingerprint() -> str:
        jit.fingerprint.cache_clear()
        return jit.fingerprint()

    sources = jit._sources()
    copies = [Path(shutil.copy(source, tmp_path)) for source in sources]
    try:
        before = fingerprint()
        monkeypatch.setattr(jit, "_sources", lambda: copies)
        assert fingerprint() == before
        seen = {before}
        for copy in copies:
            copy.write_text(copy.read_text() + "# edited\n")
            seen.add(fingerprint())
        assert len(seen) == len(sources) + 1
    finally:
        jit.fingerprint.cache_clear()


def test_every_source_that_matters_is_in_the_fingerprint() -> None:
    sources = {path.resolve() for path in jit._sources()}
    named = {"compiler.py", "jit.py", "simd.py", "elementwise.py", "layout.py", "matmul.py"}
    assert named <= {path.name for path in sources}
    # the processor's own id is in it; the others decide where code lies, or are errors
    exempt = {"vatra.engine.cpu_features", "vatra.choices", "vatra.errors", "vatra.formats.atomic"}
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("vatra"):
                continue
            for name in node.names:
                whole = (ROOT / f"{node.module}.{name.name}".replace(".", "/")).with_suffix(".py")
                module = f"{node.module}.{name.name}" if whole.exists() else str(node.module)
                file = (ROOT / module.replace(".", "/")).with_suffix(".py").resolve()
                assert file in sources or module in exempt, f"{path.name} needs {module}"


def test_edited_kernels_are_not_stale(tree: Path, cache: Path, tmp_path: Path) -> None:
    edited = copied(tmp_path / "edited")
    kernels = edited / "engine" / "kernels" / "elementwise.py"
    text = kernels.read_text()
    assert text.count("total = plus(") >= 1
    kernels.write_text(text.replace("total = plus(", "total = times(", 1))
    code = "found, wanted = answer(); say(found=found.tolist(), wanted=wanted.tolist())"
    said = run(code, edited, cache)
    assert said["kept"] == ["elementwise:add", "loop:"]
    products = [[float(i * (i + 30)) for i in range(10 * r, 10 * r + 10)] for r in range(3)]
    assert said["found"] == products
    said = run(code, tree, cache)
    assert said["found"] == said["wanted"] and not said["asked"]


def test_instruction_sets_share_a_cache_without_mixing(tree: Path, cache: Path) -> None:
    if cpu_features.processor().level == "generic":
        pytest.skip("this processor has one instruction set only")
    code = "say(right=right(), folder=str(folder()))"
    best = run(code, tree, cache)
    plain = run(code, tree, cache, VATRA_ISA="generic")
    assert best["right"] and plain["right"] and best["folder"] != plain["folder"]
    assert not best["kept"] and plain["kept"] == ["elementwise:add", "loop:"]
    for isa in ("", "generic"):
        again = run(code, tree, cache, VATRA_ISA=isa)
        assert again["right"] and not again["asked"]
    code_of = [file.read_bytes() for file in cache.rglob("elementwise-add.kernel")]
    assert len(code_of) == 2 and code_of[0] != code_of[1]


def test_an_unknown_instruction_set(tree: Path, tmp_path: Path) -> None:
    code = """
from vatra.errors import UsageError
for isa in ("nonsense", "AVX2 ", "neon,generic"):
    from vatra.engine.cpu_features import processor
    os.environ["VATRA_ISA"] = isa
    processor.cache_clear()
    try:
        say(found=processor().level)
    except UsageError as error:
        say(error=str(error))
"""
    nonsense, _, two = end(start(code, tree, tmp_path))
    for said in (nonsense, two):
        assert "generic" in said["error"] and "VATRA_ISA" in said["error"]
    assert "nonsense" in nonsense["error"] and not list(tmp_path.iterdir())


def test_an_instruction_set_above_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    import llvmlite.binding as llvm

    has = {name: True for name in cpu_features.X86_LEVELS["avx2"]}
    monkeypatch.setattr(llvm, "get_host_cpu_features", lambda: has)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    asked = cpu_features.processor.__wrapped__
    monkeypatch.delenv("VATRA_ISA", raising=False)
    assert asked().level == "avx2"
    monkeypatch.setenv("VATRA_ISA", "avx512")
    with pytest.raises(UsageError, match="avx2, generic") as caught:
        asked()
    assert "avx512" in str(caught.value) and caught.value.exit_code == 2


# ---- other users of Numba -----------------------------------------------------------------------

MACHINE_CODE = """
def machine_code():
    "Sections of the kept kernels; the names of functions are left out, Numba counts in them."
    import hashlib
    import llvmlite.binding as llvm
    found = {}
    for path in sorted(folder().glob("*.kernel")):
        blob = path.read_bytes()[len(jit.MAGIC) + 32 :]
        object_file = blob[4 + int.from_bytes(blob[:4], "little") :]
        sections = llvm.ObjectFileRef.from_data(object_file).sections()
        is_wanted = lambda s: s.is_text() or (s.name() or b"").startswith(b".rodata")
        wanted = [s.data() for s in sections if is_wanted(s)]
        assert sum(map(len, wanted)) > 100
        found[path.name] = hashlib.sha256(b"|".join(wanted)).hexdigest()
    return found
"""
USER = """
import math
import numba
@numba.njit(parallel=True)
def total(a):
    s = 0.0
    for i in numba.prange(len(a)):
        s += math.sqrt(a[i])
    return s
@numba.njit
def bad(a, i):
    if i < 0:
        raise ValueError("below zero")
    return a[i] // 2 + len("x")
def user_is_right():
    sums = total(np.full(10000, 4.0)) == 20000.0
    try:
        bad(np.arange(3), -1)
    except ValueError as error:
        return sums and str(error) == "below zero" and bad(np.arange(9), 8) == 5
"""
KERNELS = 'jit.load(["loop:", "elementwise:add", "activations:glu,silu"])\n'


@pytest.mark.slow
def test_machine_code_is_the_same_whatever_else_uses_numba(tree: Path, tmp_path: Path) -> None:
    clean = run(f"{MACHINE_CODE}{KERNELS}say(code=machine_code())", tree, tmp_path / "clean")
    code = f"""{MACHINE_CODE}{USER}
before = user_is_right()
{KERNELS}
@numba.njit
def later(a):
    return a.sum() + np.exp(0.0)
say(code=machine_code(), right=right(), users=before and user_is_right() and later(np.ones(3)) == 4)
"""
    said = run(code, tree, tmp_path / "used")
    assert said["right"] and said["users"] and said["code"] == clean["code"]

    hostile = {"NUMBA_DISABLE_JIT": "1", "NUMBA_OPT": "0", "NUMBA_CPU_NAME": "generic"}
    hostile |= {"NUMBA_DEBUGINFO": "1", "NUMBA_LOOP_VECTORIZE": "0", "NUMBA_BOUNDSCHECK": "1"}
    code = f"{MACHINE_CODE}{KERNELS}say(code=machine_code(), right=right())"
    said = run(code, tree, tmp_path / "hostile", **hostile)
    assert said["right"] and said["code"] == clean["code"]


@pytest.mark.slow
def test_a_forced_instruction_set_holds_after_others_used_numba(tree: Path, tmp_path: Path) -> None:
    code = f"{MACHINE_CODE}{USER}before = user_is_right() if OTHERS else True\n{KERNELS}"
    code += "say(code=machine_code(), right=right(), users=before and user_is_right())"
    found = [
        run(f"OTHERS = {others}\n{code}", tree, tmp_path / f"{others}", VATRA_ISA="generic")
        for others in (False, True)
    ]
    assert all(said["right"] and said["users"] for said in found)
    assert found[0]["code"] == found[1]["code"]


# ---- threads and processes ----------------------------------------------------------------------


def test_threads_compile_each_kernel_once(tree: Path, tmp_path: Path) -> None:
    code = """
import asyncio
results = []
threads = [threading.Thread(target=lambda: results.append(right())) for _ in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
async def several():
    work = [asyncio.to_thread(right, "elementwise:select_outputs") for _ in range(4)]
    return await asyncio.gather(*work)
say(results=results + asyncio.run(several()))
"""
    said = run(code, tree, tmp_path)
    assert said["results"] == [True] * 12
    assert sorted(said["kept"]) == ["elementwise:add", "elementwise:select_outputs", "loop:"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_forked_while_a_thread_compiles(tree: Path, tmp_path: Path) -> None:
    code = """
begun = threading.Event()
jit.on_compile = lambda *_: begun.set()
thread = threading.Thread(target=right)
thread.start()
begun.wait()
pid = os.fork()
if not pid:
    os._exit(0 if right() and right("elementwise:select_outputs") else 3)
status = os.waitpid(pid, 0)[1]
thread.join()
say(status=status, right=right())
"""
    child = start("import warnings; warnings.simplefilter('ignore')\n" + code, tree, tmp_path)
    # modules that were imported meanwhile may complain that they missed the start of the fork
    out, err = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 0, err
    said = json.loads(out)
    assert said["status"] == 0 and said["right"]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(tree: Path, cache: Path, tmp_path: Path, method: str) -> None:
    import multiprocessing

    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method}")
    code = f"""{PRELUDE}
import multiprocessing
if __name__ == "__main__":
    mine = right()
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        theirs = pool.map(right, ["elementwise:add", "elementwise:select_outputs"] * 2)
    say(mine=mine, theirs=theirs)
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script],
        env=environment(tree, cache),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["mine"] and said["theirs"] == [True] * 4


@pytest.mark.slow
@pytest.mark.parametrize("round", range(3))
def test_processes_that_start_cold_together(tree: Path, tmp_path: Path, round: int) -> None:
    children = [start("say(right=right())", tree, tmp_path) for _ in range(4)]
    said = [end(child)[-1] for child in children]
    assert all(line["right"] and not line["notices"] for line in said)
    compiled = sorted(name for line in said for name in line["kept"])
    if os.name == "posix":
        assert compiled == ["elementwise:add", "loop:"], "once in all"
    (folder,) = (tmp_path / "kernels").iterdir()
    assert sorted(os.listdir(folder)) == ["elementwise-add.kernel", "lock", "loop-.kernel"]


HOLD = """
def hold(folder, name, blob):  # the lock is held now
    say()
    time.sleep(600)
jit._keep = hold
right()
"""
WAIT = """
jit.on_compile = lambda name, done, total: print(json.dumps(name), flush=True)
say(right=right())
"""


def holder(tree: Path, cache: Path) -> subprocess.Popen[str]:
    """A child that holds the lock and does not go on."""
    child = start(HOLD, tree, cache)
    assert child.stdout is not None and json.loads(child.stdout.readline())["asked"]
    return child


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_killed_process_leaves_no_lock(tree: Path, tmp_path: Path) -> None:
    first = holder(tree, tmp_path)
    second = start(WAIT, tree, tmp_path)
    assert second.stdout is not None
    assert json.loads(second.stdout.readline()) == "elementwise:add"
    time.sleep(0.5)
    assert not list(tmp_path.rglob("*.kernel")), "the second waits for the first"
    first.kill()
    first.communicate()
    begin = time.monotonic()
    said = end(second)[-1]
    assert said["right"] and said["kept"] == ["elementwise:add", "loop:"]
    assert time.monotonic() - begin < jit.LOCK_PATIENCE_S


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_another_kernel_waits_for_nobody(tree: Path, tmp_path: Path) -> None:
    first = holder(tree, tmp_path)
    try:
        code = "jit.LOCK_PATIENCE_S = 1e9\njit.load(['elementwise:select_outputs'])\nsay()"
        said = run(code, tree, tmp_path)
    finally:
        first.kill()
        first.communicate()
    assert said["kept"] == ["elementwise:select_outputs"]


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_nobody_waits_for_ever(tree: Path, tmp_path: Path) -> None:
    first = holder(tree, tmp_path)
    try:
        first.send_signal(signal.SIGSTOP)
        said = run("jit.LOCK_PATIENCE_S = 0.2\nsay(right=right())", tree, tmp_path)
    finally:
        first.kill()
        first.communicate()
    assert said["right"] and said["kept"] == ["elementwise:add", "loop:"]
    assert not said["notices"] and jit.LOCK_PATIENCE_S <= 60


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_killed_at_any_moment(tree: Path, tmp_path: Path) -> None:
    code = "print(0, flush=True)\nright()\nright('elementwise:select_outputs')\nsay()"
    moments = random.Random(7)
    for _ in range(8):
        child = start(code, tree, tmp_path)
        assert child.stdout is not None and child.stdout.readline()
        time.sleep(moments.uniform(0.0, 1.2))
        child.kill()
        child.communicate()
        if moments.random() < 0.3:
            shutil.rmtree(tmp_path / "kernels", ignore_errors=True)
    said = run("say(right=right(), others=right('elementwise:select_outputs'))", tree, tmp_path)
    assert said["right"] and said["others"] and not said["notices"]
