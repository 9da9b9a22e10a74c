"""`vatra serve`: what is served, to whom, and the file that starts it with the desktop."""

from __future__ import annotations

import configparser
import importlib.util
import json
import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import vatra.spark
from vatra.cli import terminal
from vatra.cli.serve import Key, access_of, is_local, key_of, served, welcome
from vatra.errors import MissingFile, UsageError

ROOT = Path(__file__).parent.parent
needs_engine = pytest.mark.skipif(
    not all(importlib.util.find_spec(f"vatra.{m}") for m in ("server.workers", "engine.batch")),
    reason="needs the processes that hold models",
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder where nothing is yet."""
    for name in list(os.environ):
        if name.startswith(("VATRA_MODEL", "VATRA_API_KEY", "XDG_", "HF_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def vatra_serve(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vatra", "serve", *arguments],
        capture_output=True, text=True, timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | more,
    )  # fmt: skip


# ---- models --------------------------------------------------------------------------------------


def test_without_a_name_all_that_runs_is_served(home: Path, spark: Path) -> None:
    assert served(None) == {"spark": str(spark)}
    (home / "mine-Q8_0.gguf").symlink_to(spark)
    (home / "broken.gguf").write_bytes(b"GGUF")
    found = served(None)
    assert list(found) == ["mine-Q8_0", "spark"]
    assert found["mine-Q8_0"] == str(home / "mine-Q8_0.gguf")


def test_models_by_path_and_by_name(home: Path, spark: Path, monkeypatch: Any) -> None:
    (home / "models").mkdir()
    (home / "models" / "deep.gguf").symlink_to(spark)
    monkeypatch.setenv("VATRA_MODELS", str(home / "models"))
    (home / "mine.gguf").symlink_to(spark)
    found = served(["./mine.gguf", "DEEP"])
    assert found == {
        "mine": str(home / "mine.gguf"), "deep": str(home / "models" / "deep.gguf")
    }  # fmt: skip
    monkeypatch.setenv("VATRA_MODEL", "mine.gguf")
    assert list(served(None)) == ["mine"] and list(served(["deep"])) == ["deep"]


def test_models_that_cannot_be_served(home: Path, spark: Path) -> None:
    (home / "a").mkdir()
    for name in ("a/mine.gguf", "mine.gguf"):
        (home / name).symlink_to(spark)
    with pytest.raises(UsageError, match="mine: .* would both be"):
        served(["mine.gguf", "a/mine.gguf"])
    assert len(served(["mine.gguf", "./mine.gguf"])) == 1
    with pytest.raises(MissingFile):
        served(["nothing.gguf"])
    with pytest.raises(MissingFile):
        served(["a"])


# ---- who may ask ---------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [None, "localhost", "127.0.0.1", "::1", "127.1.2.3"])
def test_this_machine_alone(host: str | None) -> None:
    assert is_local(host)
    access = access_of(host, 11500, [])
    assert access.port == 11500 and not access.numbers
    assert key_of(None, None, wanted=not is_local(host)) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "box", "localhost.evil.com", ""])
def test_other_machines_need_a_key(host: str, home: Path) -> None:
    assert not is_local(host)
    assert access_of(host, 11500, []).numbers
    key = key_of(None, None, wanted=not is_local(host))
    assert key is not None and len(key.text) >= 32 and key.file is not None
    assert stat.S_IMODE(key.file.stat().st_mode) == 0o600
    again = key_of(None, None, wanted=True)
    assert again is not None and (again.text, again.file) == (key.text, None)


def test_keys(home: Path) -> None:
    file = home / "keys" / "key.txt"
    made = key_of(None, file, wanted=False)
    assert made is not None and file.read_text() == f"{made.text}\n"
    file.write_text("a-key-of-somebody \n")
    kept = key_of(None, file, wanted=True)
    assert kept is not None and kept.text == "a-key-of-somebody"
    given = key_of("0123456789abcdef", None, wanted=True)
    assert given is not None and given.text not in repr(given)
    for wrong in ("", "short", "with a space in it", "ünïcode-ünïcode-ünïcode"):
        with pytest.raises(UsageError, match="a key has at least 16"):
            key_of(wrong, None, wanted=True)
    with pytest.raises(UsageError, match="only one"):
        key_of("0123456789abcdef", file, wanted=True)


def test_welcome(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["a\x1b[31m", *"bcdefgh"]
    lines = "\n".join(welcome("http://127.0.0.1:11500", names, None))
    assert "http://127.0.0.1:11500/v1" in lines and "and 2 more" in lines
    assert "\x1b" not in lines and "key" not in lines
    key = Key("a-key-of-somebody", Path("/conf/key"))
    for at_terminal in (False, True):
        monkeypatch.setattr(terminal, "is_terminal", lambda _stream, at=at_terminal: at)
        lines = "\n".join(welcome("http://x", names, key))
        assert (key.text in lines) is at_terminal and "/conf/key" in lines


# ---- the command ---------------------------------------------------------------------------------


def test_without_the_packages() -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from vatra.cli.app import main\nsys.exit(main(['serve']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and not done.stdout
    assert re.fullmatch(r"error: .*pip install 'vatra\[serve\]'\n", done.stderr)


def test_help_loads_no_server() -> None:
    code = (
        "import sys\nfrom vatra.cli.app import main\nmain(['serve', '--help'])\n"
        "print({'uvicorn', 'starlette', 'numpy', 'h11'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.endswith("set()\n")


@pytest.mark.parametrize(
    ("arguments", "status", "what"),
    [
        (["-m", "nothing.gguf"], 66, "nothing.gguf"),
        (["--cors", "*"], 2, "is no origin"),
        (["--host", "no.such.host.invalid"], 2, "--host no.such.host.invalid"),
        (["--host", "0.0.0.0", "--api-key", "short"], 2, "a key has at least 16"),
        (["--port", "70000"], 2, "--port"),
        (["--uninstall"], 66, "nothing is installed"),
    ],
)
def test_one_line_says_what_is_wrong(
    home: Path, arguments: list[str], status: int, what: str
) -> None:
    done = vatra_serve("--port", "0", *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert what in done.stderr


def test_a_port_that_is_taken(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = vatra_serve("--port", str(port))
    assert done.returncode == 69
    assert done.stderr.startswith(f"error: 127.0.0.1:{port}: another program uses it")


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is of Linux")
def test_install_and_uninstall(home: Path, spark: Path) -> None:
    (home / "my model.gguf").symlink_to(spark)
    given = ["-m", "my model.gguf", "--ctx", "512", "--kv", "q8_0", "--cors", "http://a:1",
             "--cors", "http://b", "--log-requests", "--api-key-file", "k.txt"]  # fmt: skip
    done = vatra_serve(*given, "--install", VATRA_ISA="generic")
    assert done.returncode == 0 and "systemctl --user" in done.stderr
    path = home / ".config" / "systemd" / "user" / "vatra.service"
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(path.read_text())
    command = shlex.split(unit["Service"]["ExecStart"])
    assert command == [
        sys.executable, "-m", "vatra", "serve", "--api-key-file", str(home / "k.txt"),
        "--ctx", "512", "--kv", "q8_0", "--cors", "http://a:1", "--cors", "http://b",
        "--log-requests", "-m", str(home / "my model.gguf"),
    ]  # fmt: skip
    assert '"VATRA_ISA=generic"' in path.read_text()
    assert not (home / "k.txt").exists()
    assert vatra_serve("--uninstall").returncode == 0 and not path.exists()
    refused = vatra_serve("--install", VATRA_API_KEY="0123456789abcdef")
    assert refused.returncode == 2 and "--api-key-file" in refused.stderr


# ---- a whole server ------------------------------------------------------------------------------


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """The process, its address, and the lines that it said when it was ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "vatra", "serve", "--port", "0", *arguments],
        stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line.rstrip("\n"))
            if line.startswith("Ctrl-C"):
                break
        assert lines and lines[-1].startswith("Ctrl-C"), lines
        yield process, lines[0].rpartition(" ")[2], lines
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        assert process.stderr is not None
        process.stderr.close()


def post(url: str, body: Any) -> Any:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        return json.loads(response.read())


@needs_engine
@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["Ctrl-C", "SIGTERM", "SIGHUP"],
)
def test_a_signal_ends_it(home: Path, number: signal.Signals, status: int) -> None:
    with started() as (process, address, lines):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
        with urllib.request.urlopen(f"{address}/v1/models", timeout=10) as response:
            assert [m["id"] for m in json.load(response)["data"]] == ["spark"]
        begin = time.monotonic()
        process.send_signal(number)
        assert process.wait(10) == status
        assert time.monotonic() - begin < 2
        assert process.stderr is not None and process.stderr.read() == ""


@needs_engine
def test_a_whole_answer_of_the_toy() -> None:
    """What the server says is what the model says, however it is asked."""
    toy = vatra.spark.path()
    messages = [{"role": "user", "content": "What is 2 + 3?"}]
    with vatra.load(toy) as model:
        steps = model.chat(messages, temperature=0, max_tokens=24)
        expected = "".join(step.text for step in steps)
    with started("-m", str(toy), "--ctx", "512") as (_, address, _):
        asked = {"messages": messages, "temperature": 0, "max_tokens": 24, "logprobs": True}
        done = post(f"{address}/v1/chat/completions", asked)
        [choice] = done["choices"]
        assert choice["message"]["content"] == expected
        told = choice["logprobs"]["content"]
        assert len(told) == done["usage"]["completion_tokens"]
        assert all(token["logprob"] <= 0 for token in told)
        options = {"temperature": 0, "num_predict": 24}
        same = {"model": "spark", "messages": messages, "options": options, "stream": False}
        assert post(f"{address}/api/chat", same)["message"]["content"] == expected
        tokens = post(f"{address}/tokenize", {"content": "Once upon a time"})["tokens"]
        text = post(f"{address}/detokenize", {"tokens": tokens})["content"]
        assert text.strip() == "Once upon a time"
        with pytest.raises(urllib.error.HTTPError) as caught:
            post(f"{address}/v1/completions", {"prompt": "x " * 2000})
        error = json.load(caught.value)["error"]
        assert (caught.value.code, error["code"]) == (400, "context_length_exceeded")
