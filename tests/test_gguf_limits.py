"""What reading a GGUF file may cost in time and memory, and which paths are no files at all."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vatra.errors import BadFile, MissingFile
from vatra.formats import gguf

Builder = Any  # tests/conftest.py's GgufBytes, which builds the files

MB = 1 << 20
MEASURE = """
import sys, time
from vatra.errors import BadFile
from vatra.formats import gguf

def peak_kb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

before, started = peak_kb(), time.process_time()
try:
    checkpoint, said = gguf.read(sys.argv[1]), "read"
except BadFile as error:
    said = str(error)
print(time.process_time() - started, peak_kb() - before, said, sep="\\t")
"""


def cost(path: Path, wanted_s: float) -> tuple[float, float, str]:
    """Processor seconds and MiB that a fresh process needs to read a file, and the end of it.

    A busy machine gets three tries at `wanted_s`.
    """
    if not os.path.exists("/proc/self/status"):
        pytest.skip("needs Linux's /proc")
    runs = []
    for _ in range(3):
        run = subprocess.run(
            [sys.executable, "-c", MEASURE, str(path)],
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=True,
        )
        seconds, kb, said = run.stdout.rstrip("\n").split("\t")
        runs.append((float(seconds), float(kb) / 1024, said))
        if float(seconds) <= wanted_s:
            break
    return min(runs)


VOCABULARIES = ["llama-bpe", "qwen2", "deepseek-llm"]


@pytest.mark.parametrize("name", VOCABULARIES)
def test_real_vocabularies_are_read_at_once(shared: Path, name: str) -> None:
    seconds, mb, said = cost(shared / "vocab" / f"ggml-vocab-{name}.gguf", 0.5)
    assert said == "read" and seconds <= 0.5 and mb <= 100


def test_a_16_mb_vocabulary_is_read_at_once(tmp_path: Path, gguf_bytes: type[Builder]) -> None:
    tokens = [f"▁token-{i}" for i in range(262_144)]
    merges = [f"▁to ken-{i}" for i in range(400_000)]
    file = gguf_bytes().string("tokenizer.ggml.model", "gpt2")
    file.strings("tokenizer.ggml.tokens", tokens).strings("tokenizer.ggml.merges", merges)
    file.array("tokenizer.ggml.token_type", 5, len(tokens), b"\1\0\0\0" * len(tokens))
    path = tmp_path / "vocabulary.gguf"
    path.write_bytes(file.build())
    assert path.stat().st_size > 16_000_000
    seconds, mb, said = cost(path, 0.5)
    assert said == "read" and seconds <= 0.5 and mb <= 100
    metadata = gguf.read(path).metadata
    assert metadata["tokenizer.ggml.tokens"].tolist() == tokens
    assert metadata["tokenizer.ggml.merges"][399_999] == merges[-1]


def many_keys(G: type[Builder], kind: int, value: bytes) -> Builder:
    file = G()
    for i in range(65_536):
        file.key(f"{i:05}", kind, value)
    return file


def many_tensors(G: type[Builder]) -> Builder:
    file = G(alignment=8).u32("general.alignment", 8)
    for i in range(65_536):
        file.tensor(f"{i:05}", [2], data=bytes(8), offset=8 * i)
    return file


AMPLIFIERS: dict[str, Callable[[type[Builder]], Builder]] = {
    "2 million empty strings": lambda G: G().array("a", 8, 2_000_000, bytes(16_000_000)),
    "1.7 million strings of a byte": lambda G: G().strings("a", ["x"] * 1_700_000),
    "16 MB of u8": lambda G: G().array("a", 0, 16_000_000, bytes(16_000_000)),
    "16 MB of bool": lambda G: G().array("a", 7, 16_000_000, bytes(16_000_000)),
    "a string of 16 MB": lambda G: G().string("a", bytes(16_000_000)),
    "a string of 16 MB that is not UTF-8": lambda G: G().string("a", b"\xff" * 16_000_000),
    "65536 keys": lambda G: many_keys(G, 0, b"\1"),
    "65536 empty strings": lambda G: many_keys(G, 8, bytes(8)),
    "65536 arrays of no strings": lambda G: many_keys(G, 9, b"\x08\0\0\0" + bytes(8)),
    "65536 arrays of a u8": lambda G: many_keys(G, 9, b"\0\0\0\0\1" + bytes(7) + b"\1"),
    "65536 keys of 200 bytes": lambda G: [
        file := G(),
        *(file.key(f"{i:05}" + "k" * 195, 0, b"\1") for i in range(65_536)),
    ][0],
    "65536 tensors": many_tensors,
}


@pytest.mark.parametrize("name", AMPLIFIERS)
def test_small_metadata_stays_small(tmp_path: Path, gguf_bytes: type[Builder], name: str) -> None:
    file = AMPLIFIERS[name](gguf_bytes)
    path = tmp_path / "model.gguf"
    path.write_bytes(file.build())
    n_mb = len(file.head()) / MB
    assert n_mb <= 16.5
    seconds, mb, said = cost(path, 1)
    assert said == "read"
    assert seconds <= 1
    # Python's objects for 65,536 small things weigh more than 8 times what the file says of them.
    assert mb <= max(8 * n_mb, 80), f"{mb:.0f} MiB for {n_mb:.1f} MiB"


# Paths


def refused(path: str | Path) -> str:
    """What is said of a path that is no file to read, within a second."""
    started = time.perf_counter()
    with pytest.raises(MissingFile) as caught:
        gguf.read(path)
    assert time.perf_counter() - started < 1
    assert caught.value.exit_code == 66 and str(caught.value).isprintable()
    return str(caught.value)


def test_a_folder(tmp_path: Path) -> None:
    assert refused(tmp_path) == f"{tmp_path}: is a folder, wanted a regular file"
    for name in "dbcaz":
        (tmp_path / f"{name}.gguf").touch()
    assert refused(tmp_path).endswith("; it holds a.gguf, b.gguf, c.gguf and 2 more")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_and_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    assert "is a named pipe, wanted a regular file" in refused(tmp_path / "pipe.gguf")
    monkeypatch.chdir(tmp_path)  # a socket's name is short
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind("s.gguf")
        assert refused("s.gguf") == "s.gguf: is a socket, wanted a regular file"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_put_there_after_the_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "m.gguf")
    (tmp_path / "file").touch()
    found = os.stat(tmp_path / "file")
    monkeypatch.setattr(os, "stat", lambda path: found)
    assert "is a named pipe" in refused(tmp_path / "m.gguf")


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/random", "/dev/null"])
def test_a_device(path: str) -> None:
    if not os.path.exists(path):
        pytest.skip(f"needs {path}")
    assert refused(path) == f"{path}: is a device, wanted a regular file"


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.gguf"
    path.touch(0o000)

    def deny(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    if os.access(path, os.R_OK):  # the administrator may read everything
        monkeypatch.setattr(os, "open", deny)
    assert refused(path) == f"{path}: no permission to read this file"


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links(tmp_path: Path, gguf_bytes: type[Builder]) -> None:
    (tmp_path / "a.gguf").symlink_to("b.gguf")
    (tmp_path / "b.gguf").symlink_to("a.gguf")
    assert "cannot be opened: Too many levels of symbolic links" in refused(tmp_path / "a.gguf")
    (tmp_path / "c.gguf").symlink_to("nowhere.gguf")
    assert "c.gguf: no such file" in refused(tmp_path / "c.gguf")
    (tmp_path / "good").write_bytes(gguf_bytes().u32("a", 1).build())
    (tmp_path / "d.gguf").symlink_to("good")
    assert gguf.read(tmp_path / "d.gguf").metadata == {"a": 1}


def test_a_name_that_is_nearly_right(tmp_path: Path) -> None:
    path = tmp_path / "lama-q4.gguf"
    assert refused(path) == f"{path}: no such file"
    (tmp_path / "llama-q4.gguf").touch()
    assert refused(path) == f"{path}: no such file; did you mean llama-q4.gguf?"
    assert (
        refused(tmp_path / "x")
        == f"{tmp_path}/x: no such file; in that folder there is llama-q4.gguf"
    )
    missing = tmp_path / "no" / "m.gguf"
    assert (
        refused(missing) == f"{missing}: no such file; there is no folder {missing.parent} either"
    )


def test_impossible_names(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refused("") == "the name of the file is empty"
    assert r"a\x00b.gguf: cannot be opened: embedded null" in refused(tmp_path / "a\0b.gguf")
    assert "cannot be opened: File name too long" in refused(tmp_path / ("n" * 300))
    assert "cannot be opened: Not a directory" in refused(tmp_path / "file" / "m.gguf")


@pytest.mark.parametrize(
    "name", ["a\x1b[31mb", "a\nb", "a[red]b", "a\u202eb", "a\x9b1mb", "a\udcffb"]
)
def test_names_are_printed_escaped(tmp_path: Path, name: str) -> None:
    if os.name == "nt":
        pytest.skip("Windows has no such names")
    path = tmp_path / f"{name}.gguf"
    assert refused(path)
    path.touch()
    with pytest.raises(BadFile) as caught:
        gguf.read(path)
    assert str(caught.value).isprintable() and "the file is empty" in str(caught.value)


def test_a_terabyte_of_nothing(tmp_path: Path, gguf_bytes: type[Builder]) -> None:
    size = 1 << 40
    path = tmp_path / "huge.gguf"
    path.touch()
    try:
        os.truncate(path, size)
    except OSError:
        pytest.skip("this file system has no files of that size")
    started = time.perf_counter()
    with pytest.raises(BadFile, match="begins with zeros only"):
        gguf.read(path)
    file = gguf_bytes().tensor("t", [size // 8], data=b"").tensor("u", [4], offset=size // 2)
    with open(path, "r+b") as out:
        out.write(file.head())
    checkpoint = gguf.read(path)
    assert checkpoint.tensors["t"].nbytes == size // 2
    assert int(checkpoint.tensors["u"].data[0, -1]) == 0
    checkpoint.tensors["t"].release()
    checkpoint.close()
    assert time.perf_counter() - started < 1
