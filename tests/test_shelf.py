"""The shelf: which models are found, the names they answer to, and what may be removed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vatra
from vatra.cli import app, options
from vatra.engine import memory
from vatra.errors import BadFile, MissingFile, UsageError
from vatra.formats import gguf, shelf
from vatra.formats.variants import quant_of, size_of, variants

OLD, NEW = "1" * 40, "2" * 40


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, with an empty folder in it as the current one."""
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME",
                 "VATRA_MODELS", "OLLAMA_MODELS", "VATRA_MODEL"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


@pytest.fixture
def head(gguf_bytes: Any) -> Callable[..., bytes]:
    """The bytes of a GGUF file that says little."""

    def build(architecture: str = "llama", n_tensors: int = 1, **more: str) -> bytes:
        made = gguf_bytes().string("general.architecture", architecture)
        made.n_tensors = n_tensors
        for key, value in more.items():
            made.string(f"general.{key}", value)
        content: bytes = made.build()
        return content

    return build


def put(path: Path, content: bytes = b"GGUF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def put_hub(home: Path, repo: str, files: dict[str, bytes], commit: str = NEW) -> Path:
    """Files in the cache of Hugging Face, as its own library lays them out."""
    folder = home / ".cache/huggingface/hub" / f"models--{repo.replace('/', '--')}"
    for path, content in files.items():
        blob = put(folder / "blobs" / hashlib.sha256(content).hexdigest(), content)
        pointer = folder / "snapshots" / commit / path
        pointer.parent.mkdir(parents=True, exist_ok=True)
        pointer.symlink_to(os.path.relpath(blob, pointer.parent))
    put(folder / "refs" / "main", commit.encode())
    return folder


def put_ollama(folder: Path, name: str, content: bytes) -> Path:
    digest = hashlib.sha256(content).hexdigest()
    layers = [
        {"mediaType": "application/vnd.ollama.image.license", "digest": "sha256:" + "0" * 64},
        {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}"},
    ]
    put(folder / "manifests" / name, json.dumps({"layers": layers}).encode())
    return put(folder / "blobs" / f"sha256-{digest}", content)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in this process: its status and what it wrote."""
    before = signal.getsignal(signal.SIGTERM)

    def command(*arguments: object) -> tuple[int, str, str]:
        status = app.main([str(a) for a in arguments])
        signal.signal(signal.SIGTERM, before)
        told = capsys.readouterr()
        return status, told.out, told.err

    return command


# What names of files say


@pytest.mark.parametrize(
    ("stem", "quant"),
    [
        ("Qwen2.5-0.5B-Instruct-Q4_K_M", "Q4_K_M"),
        ("qwen2.5-0.5b-instruct-q4_k_m", "Q4_K_M"),
        ("gemma-3-270m-it.Q8_0", "Q8_0"),
        ("Llama-3.2-1B-Instruct-UD-IQ2_XXS", "UD-IQ2_XXS"),
        ("gpt-oss-20b-mxfp4", "MXFP4"),
        ("model-TQ2_0", "TQ2_0"),
        ("stories260K-f32", "F32"),
        ("Q8_0/model", "Q8_0"),
        ("Q8_0/model-BF16", "BF16"),
        ("model-Q4_0-then-Q5_1", "Q5_1"),
        ("Qwen2.5", ""),
        ("phi-3-mini-4k", ""),
        ("FREQ4ME", ""),
    ],
)
def test_quant(stem: str, quant: str) -> None:
    assert quant_of(stem) == quant


@pytest.mark.parametrize(
    ("stem", "size"),
    [("Qwen2.5-0.5B-Q4_K_M", "0.5B"), ("mixtral-8x7b", "8x7B"), ("gemma-270m-it", "270M"),
     ("Maker/X-1B-GGUF:Q4_0", "1B"), ("model", ""), ("v2.5beta", "")],
)  # fmt: skip
def test_size(stem: str, size: str) -> None:
    assert size_of(stem) == size


def test_variants() -> None:
    paths = [
        "b-Q4_0-00002-of-00003.gguf",
        "b-Q4_0-00001-of-00003.gguf",
        "a.GGUF",
        "mmproj-a-F16.gguf",
        "a.imatrix.gguf",
        "readme.md",
    ]
    assert [(v.stem, v.paths, v.n_parts) for v in variants(paths)] == [
        ("a", ("a.GGUF",), 1),
        ("b-Q4_0", ("b-Q4_0-00001-of-00003.gguf", "b-Q4_0-00002-of-00003.gguf"), 3),
    ]


# What is found


def test_places(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VATRA_MODELS", f"{home / 'mine'}{os.pathsep}{home / 'none'}")
    put(home / "here/x.gguf")
    put(home / "here/below/not-looked-for.gguf")
    put(home / "mine/deep/er/y-Q8_0.gguf")
    put(home / "mine/.hidden/z.gguf")
    put_hub(home, "Maker/Toy-GGUF", {"toy-Q4_0.gguf": b"4", "toy-Q8_0.gguf": b"8", "a.txt": b"a"})
    put(home / ".lmstudio/models/Studio/Other-GGUF/other-Q6_K.gguf")
    put(home / ".cache/lm-studio/models/Studio/Old-GGUF/old.gguf")
    put_ollama(home / ".ollama/models", "registry.ollama.ai/library/llama3.2/1b", b"o")
    put_ollama(home / ".ollama/models", "hf.co/maker/toy-gguf/Q4_0", b"p")
    put(home / ".ollama/models/manifests/registry.ollama.ai/library/bad/1", b"{")
    found = [(e.name, e.place) for e in shelf.models()]
    assert found == [
        ("x", "."),
        ("y-Q8_0", "VATRA_MODELS"),
        ("Maker/Toy-GGUF:Q4_0", "Hugging Face"),
        ("Maker/Toy-GGUF:Q8_0", "Hugging Face"),
        ("Studio/Other-GGUF:Q6_K", "LM Studio"),
        ("Studio/Old-GGUF/old", "LM Studio"),
        ("hf.co/maker/toy-gguf:Q4_0", "Ollama"),
        ("llama3.2:1b", "Ollama"),
    ]
    assert shelf.names() == sorted((name for name, _ in found), key=str.casefold)
    for entry in shelf.models():
        assert shelf.find(entry.name) == entry.path and entry.path.is_file()


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({}, "~/.cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub"),
        ({"HF_HOME": "~/h"}, "~/h/hub"),
        ({"HF_HOME": "/h", "HUGGINGFACE_HUB_CACHE": "/old"}, "/old"),
        ({"HUGGINGFACE_HUB_CACHE": "/old", "HF_HUB_CACHE": "$HOME/new"}, "~/new"),
    ],
)
def test_the_cache_is_where_its_library_says(
    home: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: str
) -> None:
    import subprocess
    import sys

    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(shelf.hub_cache()) == os.path.expanduser(folder)
    code = "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(shelf.hub_cache())


def test_of_revisions_the_main_one_is_meant(home: Path) -> None:
    put_hub(home, "a/b", {"m-Q4_0.gguf": b"new"}, NEW)
    folder = put_hub(home, "a/b", {"m-Q4_0.gguf": b"old", "m-Q8_0.gguf": b"8"}, OLD)
    assert [e.path.read_bytes() for e in shelf.models()] == [b"old", b"8"]
    (folder / "refs/main").write_text(NEW)
    assert [e.path.read_bytes() for e in shelf.models()] == [b"new", b"8"]


def test_a_name_for_two_files_is_none(home: Path) -> None:
    put_hub(home, "a/b", {"one-Q4_0.gguf": b"1", "sub/two-Q4_0.gguf": b"2", "one-Q8_0.gguf": b"8"})
    assert shelf.names() == ["a/b/one-Q4_0", "a/b/sub/two-Q4_0", "a/b:Q8_0"]
    assert shelf.find("a/b/sub/two-Q4_0").read_bytes() == b"2"
    assert shelf.find("b:q8_0").read_bytes() == b"8"


# Names


@pytest.fixture
def shelved(home: Path) -> Path:
    put_hub(home, "Maker/Toy-1B-GGUF", {"toy-1b-Q4_K_M.gguf": b"4", "toy-1b-Q8_0.gguf": b"8"})
    put_hub(home, "Maker/Single-GGUF", {"single-q6_k.gguf": b"6"})
    put_hub(home, "Other/Split-GGUF", {f"s-Q4_0-0000{i}-of-00002.gguf": b"%d" % i for i in (1, 2)})
    return home


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("Maker/Toy-1B-GGUF:Q8_0", b"8"),
        ("hf:maker/toy-1b-gguf:q8_0", b"8"),
        ("Toy-1B-GGUF:Q8_0", b"8"),
        ("toy-1b:q8_0", b"8"),
        ("maker/toy-1b:q4_k_m", b"4"),
        ("toy-1b-Q8_0", b"8"),
        ("toy-1b-q8_0.gguf", b"8"),
        ("maker/single-gguf", b"6"),
        ("single", b"6"),
        ("split", b"1"),
        ("s-q4_0", b"1"),
    ],
)
def test_names(shelved: Path, name: str, content: bytes) -> None:
    assert shelf.find(name).read_bytes() == content
    assert options.model_path(name) == shelf.find(name)


@pytest.mark.parametrize("name", ["toy-1b", "Maker/Toy-1B-GGUF", "toy-1b-gguf"])
def test_what_may_be_several(shelved: Path, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        shelf.find(name)
    for meant in ("Maker/Toy-1B-GGUF:Q4_K_M", "Maker/Toy-1B-GGUF:Q8_0"):
        assert meant in str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("singel", "did you mean Maker/Single-GGUF:Q6_K?"),
        ("toy-1b:q8_1", "did you mean Maker/Toy-1B-GGUF:Q8_0"),
        ("No/where", "`vatra pull hf:No/where`"),
        ("maker/singel", "did you mean Maker/Single-GGUF:Q6_K?"),
        ("xyzzy", "`vatra list`"),
    ],
)
def test_unknown_names(shelved: Path, name: str, said: str, run: Any) -> None:
    with pytest.raises(MissingFile) as caught:
        shelf.find(name)
    assert said in str(caught.value)
    with pytest.raises(MissingFile):
        vatra.load(name)
    status, out, err = run("inspect", "-m", name)
    assert status == 66 and not out and err.count("\n") == 1 and said in err


@pytest.mark.parametrize("path", ["./toy", "../toy.gguf", "/toy-1b", "~/toy", "toy-2b.gguf"])
def test_paths_stay_paths(shelved: Path, path: str) -> None:
    assert shelf.find(path) == Path(path)
    with pytest.raises(MissingFile):
        vatra.load(path)


def test_a_file_comes_before_a_name(shelved: Path) -> None:
    put(shelved / "here/single", b"file")
    assert shelf.find("single").read_bytes() == b"file"


def test_loading_by_name(home: Path, spark: Path) -> None:
    put_hub(home, "Maker/Spark-GGUF", {"spark-Q8_0.gguf": spark.read_bytes()})
    with vatra.load("spark", backend="reference") as model, gguf.read(spark) as same:
        assert model.path != same.path and model.metadata.keys() == same.metadata.keys()
    with pytest.raises(MissingFile):
        vatra.load(Path("spark"))  # what is a path is no name


# vatra list


def test_list(home: Path, head: Any, run: Any, spark: Path) -> None:
    put_hub(
        home,
        "Maker/Toy-GGUF",
        {
            "toy-Q4_0.gguf": head(size_label="1.5B") + bytes(2_000_000),
            "toy-Q8_0-00001-of-00002.gguf": head(),
        },
    )
    put(home / "here/new-3B.gguf", head("nonsuch"))
    put(home / "here/lora.gguf", head(type="adapter"))
    put(home / "here/broken.gguf", b"GGUX")
    put(home / "here/words.gguf", head(n_tensors=0))
    put(home / "here/whole.gguf", spark.read_bytes())
    status, out, err = run("list")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["name", "weights", "parameters", "size", "where", "runs"]
    rows = {line.split("  ")[0]: line for line in lines[1:]}
    assert rows["whole"].endswith("yes") and "Q8_0" in rows["whole"]
    assert "Q4_0     1.5B        2.00 MB" in rows["Maker/Toy-GGUF:Q4_0"]
    assert rows["Maker/Toy-GGUF:Q4_0"].endswith("Hugging Face  yes")
    assert rows["Maker/Toy-GGUF:Q8_0"].endswith("no: 1 of 2 parts are missing")
    assert "3B" in rows["new-3B"] and rows["new-3B"].endswith("'nonsuch' is not supported")
    assert rows["lora"].endswith("no: not a model but adapter")
    assert rows["words"].endswith("no: a vocabulary alone, no weights")
    assert "no: got b'GGUX', wanted b'GGUF'" in rows["broken"] and len(rows) == 7
    found = json.loads(run("list", "--json")[1])
    assert {row["name"]: row["runs"] for row in found} == {
        name: line.endswith("yes") for name, line in rows.items()
    }
    assert all(Path(file).is_file() for row in found for file in row["files"])


def test_list_counts_with_memory(home: Path, head: Any, run: Any, monkeypatch: Any) -> None:
    put(home / "here/x.gguf", head())
    monkeypatch.setattr(memory, "available", lambda: memory.Available(2**20, "left"))
    assert run("list")[1].endswith("1 MiB are left\n")


def test_list_of_nothing(home: Path, run: Any) -> None:
    status, out, err = run("list")
    assert (status, out) == (0, "") and "vatra pull" in err and ".lmstudio" in err
    assert run("list", "--json")[:2] == (0, "[]\n")


def test_list_tells_of_what_is_unfinished(home: Path, run: Any) -> None:
    folder = put_hub(home, "a/b", {})
    put(folder / "blobs" / f"{'a' * 64}.incomplete", bytes(1000))
    put(folder / "blobs" / f"{'b' * 64}.12345678.incomplete", bytes(1000))  # another program's
    assert "a/b: 1.00 kB" in run("list")[2]


def test_names_cannot_steer_the_terminal(home: Path, head: Any, run: Any) -> None:
    put(home / "here/a\x1b[31m\nb.gguf", head("x\x1b[2J", size_label="\u202e1B"))
    _, out, _ = run("list")
    assert r"a\x1b[31m\nb" in out and r"x\x1b[2J" in out and r"\u202e1B" in out
    assert "\x1b" not in out and len(out.splitlines()) == 2


def test_a_hundred_models_take_no_second(home: Path, spark: Path, run: Any) -> None:
    content = spark.read_bytes()[:2_000_000]  # with its vocabulary, without all weights
    original = put(home / "content", content)
    for i in range(100):
        folder = put_hub(home, f"Maker/Toy-{i}-GGUF", {})
        pointer = folder / "snapshots" / NEW / f"toy-{i}-Q4_0.gguf"
        pointer.parent.mkdir(parents=True)
        pointer.symlink_to(original)
    run("list")
    begin = time.monotonic()
    _, out, _ = run("list")
    took = time.monotonic() - begin
    assert out.count("yes\n") == 100 and took < 1


def test_the_head_of_a_file(spark: Path, tmp_path: Path, head: Any, gguf_bytes: Any) -> None:
    found, n_tensors = gguf.read_head(spark)
    with gguf.read(spark) as whole:
        assert n_tensors == len(whole.tensors)
        assert found["general.architecture"] == whole.architecture
        wanted = {k: v for k, v in whole.metadata.items() if not k.startswith("tokenizer.")}
        assert found.items() <= wanted.items() and len(found) > 3
    with pytest.raises(BadFile):
        gguf.read_head(put(tmp_path / "x.gguf", head()[:-1]))
    late = gguf_bytes().strings("tokenizer.ggml.tokens", ["a"]).string("general.architecture", "x")
    found, _ = gguf.read_head(put(tmp_path / "late.gguf", late.string("tokenizer.x", "y").build()))
    assert found["general.architecture"] == "x" and "tokenizer.x" not in found


# vatra rm


def test_rm_frees_what_nothing_else_needs(home: Path, run: Any) -> None:
    shared, own = b"shared by revisions", b"own of the new one"
    put_hub(home, "a/b", {"m-Q4_0.gguf": shared, "m-Q8_0.gguf": b"8"}, OLD)
    folder = put_hub(home, "a/b", {"m-Q4_0.gguf": own, "n-Q6_K.gguf": shared}, NEW)
    other = put_hub(home, "a/c", {"m-Q4_0.gguf": own}, NEW)
    status, out, err = run("rm", "a/b:q4_0", "--yes")
    assert (status, out) == (0, "") and "removed a/b:Q4_0: 18 bytes" in err
    assert shelf.names() == ["a/b:Q6_K", "a/b:Q8_0", "a/c:Q4_0"]
    assert {p.read_bytes() for p in (folder / "blobs").iterdir()} == {shared, b"8"}
    assert run("rm", "-y", "b:q8_0")[0] == 0
    assert not (folder / "snapshots" / OLD).exists() and (folder / "refs/main").exists()
    assert run("rm", "-y", "a/b")[0] == 0
    assert not folder.exists() and len(list((other / "blobs").iterdir())) == 1


def test_rm_leaves_other_files_of_a_revision(home: Path, run: Any) -> None:
    folder = put_hub(home, "a/b", {"m-Q4_0.gguf": b"4", "README.md": b"read"})
    assert run("rm", "a/b", "--yes")[0] == 0
    assert [p.name for p in (folder / "snapshots" / NEW).iterdir()] == ["README.md"]
    assert len(list((folder / "blobs").iterdir())) == 1


def test_rm_takes_all_parts(home: Path, run: Any) -> None:
    parts = {f"Q4_0/m-Q4_0-0000{i}-of-00002.gguf": b"%d" % i for i in (1, 2)}
    folder = put_hub(home, "a/b", parts)
    assert run("rm", "a/b", "--yes")[0] == 0
    assert not folder.exists()


def test_rm_refuses_what_is_not_its_own(home: Path, run: Any) -> None:
    files = [
        put(home / "here/x.gguf"),
        put(home / ".lmstudio/models/a/b-GGUF/b-Q4_0.gguf"),
        put_ollama(home / ".ollama/models", "registry.ollama.ai/library/llama3.2/1b", b"o"),
    ]
    for name, path in zip(["x", "b", "llama3.2"], files, strict=True):
        status, _, err = run("rm", name, "--yes")
        assert status == 2 and str(path) in err and err.count("\n") == 1
    for path in files:
        assert run("rm", path, "--yes")[0] == 2
    assert run("rm", "x.gguf", "--yes")[0] == 2
    assert run("rm", "nothing", "--yes")[0] == 66
    assert all(path.is_file() for path in files)


@pytest.mark.parametrize("by", ["a link", "a folder"])
def test_rm_follows_no_link_out_of_the_cache(home: Path, run: Any, by: str) -> None:
    mine = put(home / "mine/blob", b"mine")
    folder = put_hub(home, "a/b", {})
    pointer = folder / "snapshots" / NEW / "m-Q4_0.gguf"
    pointer.parent.mkdir(parents=True)
    if by == "a link":
        pointer.symlink_to(mine)
    else:
        (folder / "blobs").symlink_to(mine.parent)
        pointer.symlink_to("../../blobs/blob")
    assert shelf.names() == ["a/b:Q4_0"]
    status, _, err = run("rm", "a/b", "--yes")
    assert status == 2 and "not removed" in err and mine.read_bytes() == b"mine"


def test_rm_asks(home: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    folder = put_hub(home, "a/b", {"m-Q4_0.gguf": b"4"})
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    status, _, err = run("rm", "a/b")
    assert status == 2 and "--yes" in err

    class Person(io.StringIO):
        def isatty(self) -> bool:
            return True

    for answer in ("n\n", "\n", "", "nyes\n"):
        monkeypatch.setattr("sys.stdin", Person(answer))
        assert run("rm", "a/b")[0] == 0
        assert shelf.names() == ["a/b:Q4_0"]
    monkeypatch.setattr("sys.stdin", Person("y\n"))
    status, out, err = run("rm", "a/b")
    assert (status, out) == (0, "") and "remove a/b:Q4_0, 1 bytes?" in err
    assert not folder.exists()


def test_rm_of_what_is_unfinished(home: Path, run: Any) -> None:
    folder = put_hub(home, "a/b", {})
    partial = put(folder / "blobs" / f"{'a' * 64}.incomplete", bytes(1000))
    status, _, err = run("rm", "a/b", "--yes")
    assert status == 0 and "1.00 kB" in err and not partial.exists()


def test_rm_of_a_damaged_cache(home: Path, run: Any) -> None:
    folder = put_hub(home, "a/b", {"m-Q4_0.gguf": b"4"})
    (folder / "snapshots" / "stray").write_bytes(b"")
    status, _, err = run("rm", "a/b", "--yes")
    assert status == 74 and "damaged" in err and err.count("\n") == 1
    assert shelf.names() == ["a/b:Q4_0"]
