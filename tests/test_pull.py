"""`vatra pull` against a hub that runs in the test: what it fetches, keeps, checks and refuses."""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

import vatra
from vatra.cli import app, hub, transfer
from vatra.cli.hub import Reference
from vatra.errors import Unavailable, UsageError
from vatra.formats import gguf, shelf

ROOT = Path(__file__).parent.parent
COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = "Maker/Toy-1B-GGUF"
TOKEN = "hf_secret"


@dataclass
class FakeHub:
    """A model hub on this machine, and whatever may be wrong with one."""

    files: dict[str, bytes]
    port: int = 0
    store: FakeHub | None = None  # another server, where bytes are redirected to
    listed: dict[str, bytes] = field(default_factory=dict)  # contents by which hashes are told
    status: int = 200  # of every answer
    headers: dict[str, str] = field(default_factory=dict)  # of a refusal
    cuts: list[int] = field(default_factory=list)  # bytes after which the next bodies end
    pause_s: float = 0.0  # after each piece of a body
    stalls_at: int | None = None  # bytes of a body, after which the others wait for `goes_on`
    goes_on: threading.Event = field(default_factory=threading.Event)
    ignores_ranges: bool = False
    ranges_off_by: int = 0
    announces: int | None = None  # bytes, if not those there are
    extra: bytes = b""  # sent after the end, with no length announced
    gguf: dict[str, Any] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ranges(self) -> list[str | None]:
        """The parts that were asked for, of each request for bytes."""
        return [h.get("range") for _, path, h in self.requests if "/api/" not in path]

    def about(self) -> dict[str, Any]:
        siblings: list[dict[str, Any]] = [{"rfilename": "README.md", "size": 1, "blobId": "a" * 40}]
        for path, content in (self.files | self.listed).items():
            large = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
            siblings.append({"rfilename": path, "size": len(content), "lfs": large})
        return {"id": REPO, "sha": COMMIT, "siblings": siblings, "gguf": self.gguf}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def do_GET(self) -> None:
        fake = self.hub
        headers = {name.lower(): value for name, value in self.headers.items()}
        fake.requests.append((self.command, self.path, headers))
        if fake.status != 200:
            self.answer(fake.status, b'{"error": "no\\nindeed"}', fake.headers)
        elif self.path.startswith(f"/api/models/{REPO}/revision/main?"):
            self.answer(200, json.dumps(fake.about()).encode())
        elif self.path.startswith(f"/{REPO}/resolve/{COMMIT}/"):
            path = unquote(self.path.removeprefix(f"/{REPO}/resolve/{COMMIT}/"))
            if fake.store is not None:
                self.answer(302, headers={"Location": f"{fake.store.address}/{path}"})
            else:
                self.send_file(fake.files[path], headers.get("range"))
        elif self.path.strip("/") in fake.files:
            self.send_file(fake.files[self.path.strip("/")], headers.get("range"))
        else:
            self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def send_file(self, content: bytes, asked: str | None) -> None:
        fake = self.hub
        begin = 0
        headers = {
            "Content-Length": str(len(content) if fake.announces is None else fake.announces)
        }
        if asked and not fake.ignores_ranges:
            begin = int(asked.removeprefix("bytes=").removesuffix("-")) + fake.ranges_off_by
            if begin >= len(content):
                return self.answer(416)
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
            headers["Content-Length"] = str(len(content) - begin)
        if fake.extra:
            del headers["Content-Length"]
            headers["Connection"] = "close"
        self.send_response(206 if "Content-Range" in headers else 200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        body = content[begin:] + fake.extra
        end = fake.cuts.pop(0) if fake.cuts else len(body)
        for at in range(0, min(end, len(body)), 50_000):
            self.wfile.write(body[at : min(at + 50_000, end)])
            time.sleep(fake.pause_s)
            if at + 50_000 == fake.stalls_at:
                fake.goes_on.wait(60)
        self.close_connection = end < len(body) or bool(fake.extra)

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass  # whoever fetches may be killed


@pytest.fixture
def serve() -> Iterator[Any]:
    """Starts a FakeHub."""
    servers = []

    def start(fake: FakeHub) -> FakeHub:
        server = Server(("127.0.0.1", 0), type("Own", (Handler,), {"hub": fake}))
        servers.append(server)
        fake.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return fake

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with nothing in it, and the folder in it that the cache will be."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "VATRA_MODELS", "OLLAMA_MODELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(transfer, "PAUSE_S", 0.001)
    return tmp_path / "hf" / "hub"


@pytest.fixture
def small(spark: Path) -> bytes:
    """The content of a model that runs."""
    return spark.read_bytes()


@pytest.fixture
def fake(serve: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """A hub with a repository of three models, one of which is in two parts."""
    files = {
        "toy-1b-Q8_0.gguf": os.urandom(900_000),
        "toy-1b-Q4_K_M.gguf": os.urandom(500_000),
        "F16/toy-1b-F16-00001-of-00002.gguf": os.urandom(300_000),
        "F16/toy-1b-F16-00002-of-00002.gguf": os.urandom(200_000),
        "mmproj-toy-1b-F16.gguf": b"eyes",
    }
    made: FakeHub = serve(FakeHub(files))
    monkeypatch.setenv("HF_ENDPOINT", made.address)
    return made


@dataclass
class Done:
    status: int
    out: str
    err: str


@pytest.fixture
def pull(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs `vatra pull` in this process."""
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments: str) -> Done:
        status = app.main(["pull", *arguments])
        signal.signal(signal.SIGTERM, before)
        told = capsys.readouterr()
        assert TOKEN not in told.out + told.err
        return Done(status, told.out, told.err)

    return run


def kept(home: Path) -> dict[str, bytes]:
    """What the cache has of the repository, by path, and that it has no more."""
    folder = home / "models--Maker--Toy-1B-GGUF"
    snapshot = folder / "snapshots" / COMMIT
    found = {str(p.relative_to(snapshot)): p for p in snapshot.rglob("*") if p.is_file()}
    blobs = {p.name for p in (folder / "blobs").iterdir()} if folder.exists() else set()
    assert blobs == {path.resolve().name for path in found.values()}
    return {name: path.read_bytes() for name, path in found.items()}


def one_error(done: Done, status: int = 69) -> str:
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert done.status == status and done.out == "" and len(errors) == 1, done
    assert done.err.endswith(f"{errors[0]}\n") and "Traceback" not in done.err
    return errors[0]


# What is fetched


def test_by_default_it_is_q4_k_m(fake: FakeHub, pull: Any, home: Path) -> None:
    done = pull(f"hf:{REPO}")
    assert (done.status, done.out) == (0, f"{REPO}:Q4_K_M\n")
    assert kept(home) == {"toy-1b-Q4_K_M.gguf": fake.files["toy-1b-Q4_K_M.gguf"]}
    assert "Q4_K_M, 500.00 kB" in done.err and "Q8_0 (900.00 kB)" in done.err
    assert re.search(r"memory: [\d,]+ MiB", done.err) and "100 %" in done.err
    assert (home / "models--Maker--Toy-1B-GGUF/refs/main").read_text() == COMMIT
    assert "mmproj" not in done.err


@pytest.mark.parametrize("form", ["hf:{}:q8_0", "{}:Q8_0", "hf:{}/toy-1b-Q8_0.gguf", "URL"])
def test_another_is_named(fake: FakeHub, pull: Any, home: Path, form: str) -> None:
    address = f"{fake.address}/{REPO}/blob/main/toy-1b-Q8_0.gguf?download=true"
    assert pull(address if form == "URL" else form.format(REPO)).status == 0
    assert kept(home) == {"toy-1b-Q8_0.gguf": fake.files["toy-1b-Q8_0.gguf"]}


def test_all_parts_come(fake: FakeHub, pull: Any, home: Path) -> None:
    done = pull(f"{REPO}:f16")
    assert done.out == f"{REPO}:F16\n" and "in 2 files" in done.err
    assert list(kept(home).values()) == [c for p, c in fake.files.items() if p.startswith("F16/")]
    (found,) = shelf.models()
    assert len(found.files) == found.n_parts == 2


def test_names_that_addresses_escape(fake: FakeHub, pull: Any, home: Path) -> None:
    fake.files = {"a b/tö%20y?#-Q5_0.gguf": b"content"}
    assert pull(REPO).out == f"{REPO}:Q5_0\n"
    assert kept(home) == fake.files


def test_what_was_fetched_runs(
    fake: FakeHub, pull: Any, home: Path, small: bytes, spark: Path
) -> None:
    fake.files = {"toy.gguf": small}
    assert pull(REPO).out == f"{REPO}/toy\n"
    with vatra.load("toy-1b", backend="reference") as model, gguf.read(spark) as original:
        assert Path(model.path).is_relative_to(home)
        assert model.metadata.keys() == original.metadata.keys()
        assert len(model.tokenizer.encode("Once upon a time"))


def test_a_second_time_it_is_only_checked(fake: FakeHub, pull: Any, home: Path) -> None:
    assert pull(REPO).status == pull(REPO).status == 0
    assert len(fake.ranges) == 1
    (blob,) = (home / "models--Maker--Toy-1B-GGUF/blobs").iterdir()
    blob.write_bytes(bytes(500_000))
    assert pull(REPO).status == 0 and len(fake.ranges) == 2
    assert kept(home)["toy-1b-Q4_K_M.gguf"] == fake.files["toy-1b-Q4_K_M.gguf"]


def test_the_library_of_hugging_face_finds_it(fake: FakeHub, pull: Any, home: Path) -> None:
    from huggingface_hub import scan_cache_dir, try_to_load_from_cache

    pull(f"{REPO}:F16")
    path = "F16/toy-1b-F16-00001-of-00002.gguf"
    found = try_to_load_from_cache(REPO, path, cache_dir=home)
    assert isinstance(found, str) and Path(found).read_bytes() == fake.files[path]
    cache = scan_cache_dir(home)
    assert not cache.warnings and not cache.incomplete_files
    assert [(r.repo_id, r.nb_files) for r in cache.repos] == [(REPO, 2)]


def test_what_will_not_run_is_told(fake: FakeHub, pull: Any, monkeypatch: Any) -> None:
    from vatra.engine import memory

    fake.gguf = {"architecture": "no\nsuch"}
    monkeypatch.setattr(memory, "available", lambda: memory.Available(1000, "left"))
    done = pull(REPO)
    assert "warning: architecture 'no\\\\nsuch'" in done.err
    assert "warning: it will not run in this memory" in done.err


# Interruptions


def test_a_cut_body_is_continued(fake: FakeHub, pull: Any, home: Path) -> None:
    fake.cuts = [120_000, 0, 200_000]
    assert pull(REPO).status == 0
    assert fake.ranges == [None, "bytes=120000-", "bytes=120000-", "bytes=320000-"]
    assert kept(home)["toy-1b-Q4_K_M.gguf"] == fake.files["toy-1b-Q4_K_M.gguf"]


def test_a_hub_that_always_cuts_is_given_up(fake: FakeHub, pull: Any, home: Path) -> None:
    fake.cuts = [100_000, *[0] * 20]
    assert "try again" in one_error(pull(REPO))
    assert len(fake.ranges) == 1 + transfer.TRIES
    fake.cuts = []
    assert pull(REPO).status == 0 and fake.ranges[-1] == "bytes=100000-"
    assert kept(home)["toy-1b-Q4_K_M.gguf"] == fake.files["toy-1b-Q4_K_M.gguf"]


def test_a_server_that_stalls_is_asked_again(
    fake: FakeHub, pull: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "TIMEOUT_S", 0.5)
    fake.files, fake.pause_s = {"a.gguf": os.urandom(120_000)}, 1.5
    assert pull(REPO).status == 0
    assert fake.ranges == [None, "bytes=50000-", "bytes=100000-"]
    assert kept(home) == fake.files


def test_a_server_without_parts_begins_again(fake: FakeHub, pull: Any, home: Path) -> None:
    fake.cuts, fake.ignores_ranges = [120_000], True
    assert pull(REPO).status == 0
    assert kept(home)["toy-1b-Q4_K_M.gguf"] == fake.files["toy-1b-Q4_K_M.gguf"]


def test_another_part_than_asked_for_begins_again(fake: FakeHub, pull: Any, home: Path) -> None:
    fake.cuts, fake.ranges_off_by = [120_000], 7
    assert pull(REPO).status == 0
    assert fake.ranges == [None, "bytes=120000-", None]
    assert kept(home)["toy-1b-Q4_K_M.gguf"] == fake.files["toy-1b-Q4_K_M.gguf"]


@pytest.mark.parametrize("left", [b"x" * 1000, b"x" * 600_000], ids=["wrong", "too long"])
def test_what_is_left_of_another_try_is_not_trusted(
    fake: FakeHub, pull: Any, home: Path, left: bytes
) -> None:
    content = fake.files["toy-1b-Q4_K_M.gguf"]
    partial = home / "models--Maker--Toy-1B-GGUF/blobs" / hashlib.sha256(content).hexdigest()
    partial = partial.with_name(f"{partial.name}.incomplete")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(left)
    assert "pull again" in one_error(pull(REPO))
    assert kept(home) == {}
    assert pull(REPO).status == 0
    assert kept(home) == {"toy-1b-Q4_K_M.gguf": content}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_stopped_process_left_what_it_had(
    fake: FakeHub, pull: Any, home: Path, number: signal.Signals
) -> None:
    fake.stalls_at = 400_000
    process = subprocess.Popen(
        [sys.executable, "-m", "vatra", "pull", f"{REPO}:Q8_0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    blobs = home / "models--Maker--Toy-1B-GGUF/blobs"
    end = time.monotonic() + 30
    while not any(p.stat().st_size > 200_000 for p in blobs.glob("*")):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.005)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert out == b"" and b"Traceback" not in err and b"error" not in err
    if number == signal.SIGINT:
        assert b"goes on where this stopped" in err
    assert not shelf.models() and list(shelf.interrupted()) == [REPO]
    fake.stalls_at = None
    fake.goes_on.set()
    assert pull(f"{REPO}:Q8_0").status == 0
    begin = re.fullmatch(r"bytes=(\d+)-", fake.ranges[-1] or "")
    assert begin and int(begin[1]) > 200_000
    assert kept(home) == {"toy-1b-Q8_0.gguf": fake.files["toy-1b-Q8_0.gguf"]}


def test_two_at_once_do_not_mix(fake: FakeHub, home: Path) -> None:
    repository = hub.look_up(Reference(REPO))
    path = "toy-1b-Q4_K_M.gguf"
    partial = home / f"models--Maker--Toy-1B-GGUF/blobs/{repository.files[path].digest}.incomplete"
    partial.parent.mkdir(parents=True)
    with (
        transfer._opened_alone(partial) as other,
        pytest.raises(vatra.IOFailed, match="another process"),
    ):
        other.write(b"x")
        transfer.fetch(repository, path, lambda *_: None)


# What is wrong with a hub


def test_a_wrong_hash(fake: FakeHub, pull: Any, home: Path) -> None:
    right = fake.files["toy-1b-Q4_K_M.gguf"]
    fake.listed["toy-1b-Q4_K_M.gguf"] = right[:-1] + bytes([right[-1] ^ 1])
    line = one_error(pull(REPO))
    assert hashlib.sha256(right).hexdigest() in line
    assert hashlib.sha256(fake.listed["toy-1b-Q4_K_M.gguf"]).hexdigest() in line
    assert kept(home) == {} and not shelf.models() and not shelf.interrupted()


@pytest.mark.parametrize("announces", [499_999, 500_001])
def test_another_size_is_announced(fake: FakeHub, pull: Any, home: Path, announces: int) -> None:
    fake.announces = announces
    assert f"{announces} bytes, the hub lists 500000" in one_error(pull(REPO))
    assert kept(home) == {}


def test_more_bytes_than_listed(fake: FakeHub, pull: Any, home: Path) -> None:
    fake.extra = b"more"
    assert "got more bytes" in one_error(pull(REPO))
    assert kept(home) == {}


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (401, {"X-Error-Code": "RepoNotFound"}, "no such repository"),
        (401, {"X-Error-Message": "Invalid credentials in Authorization header"}, "HF_TOKEN"),
        (401, {"X-Error-Code": "GatedRepo"}, "terms"),
        (403, {"X-Error-Code": "GatedRepo"}, "terms"),
        (403, {}, "403"),
        (404, {"X-Error-Code": "RepoNotFound"}, "no such repository"),
        (404, {"X-Error-Code": "RevisionNotFound"}, "no such revision"),
        (404, {}, "404"),
        (429, {"Retry-After": "17"}, "17 seconds"),
        (429, {}, "some minutes"),
        (500, {}, "try again later"),
        (503, {}, "try again later"),
    ],
)
def test_refusals(
    fake: FakeHub, pull: Any, status: int, headers: dict[str, str], said: str
) -> None:
    fake.status, fake.headers = status, headers
    line = one_error(pull(REPO))
    assert said in line and line.isprintable()


def test_bytes_are_refused(fake: FakeHub, serve: Any, pull: Any, home: Path) -> None:
    fake.store = serve(FakeHub({}, status=403))
    assert "403" in one_error(pull(REPO))
    fake.store.status = 500
    assert "trouble" in one_error(pull(REPO))
    assert len(fake.store.requests) == 1 + transfer.TRIES
    assert kept(home) == {}


def test_the_token_stays_with_the_hub(fake: FakeHub, serve: Any, pull: Any, home: Path) -> None:
    fake.store = serve(FakeHub(fake.files, cuts=[100_000]))
    assert pull(REPO).status == 0
    assert len(fake.requests) == 3 and len(fake.store.requests) == 2
    assert all(h.get("authorization") == f"Bearer {TOKEN}" for _, _, h in fake.requests)
    for _, _, headers in fake.store.requests:
        assert not any(TOKEN in value for value in headers.values())
    assert kept(home)["toy-1b-Q4_K_M.gguf"] == fake.files["toy-1b-Q4_K_M.gguf"]


@pytest.mark.parametrize(
    "path", ["../../../../evil.gguf", "/evil.gguf", "a/../../evil.gguf", "..\\evil.gguf",
             "C:evil.gguf", "a//b.gguf", "a/./b.gguf", "a\x1b[31m.gguf", "a\0b.gguf"]
)  # fmt: skip
def test_names_that_leave_the_folder(fake: FakeHub, pull: Any, home: Path, path: str) -> None:
    fake.files = {path: b"evil"}
    assert "leave the model's folder" in one_error(pull(REPO))
    assert not home.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"sha": "../../evil"},
        {"sha": None},
        {"siblings": None},
        {"siblings": [{"rfilename": "a.gguf", "size": 3, "lfs": {"sha256": "../x", "size": 3}}]},
        {"siblings": [{"rfilename": "a.gguf", "size": 3, "blobId": "../x"}]},
        {"siblings": [{"rfilename": "a.gguf", "blobId": "a" * 40}]},
    ],
    ids=str,
)
def test_answers_that_make_no_sense(
    fake: FakeHub, pull: Any, home: Path, monkeypatch: Any, change: dict[str, Any]
) -> None:
    about = fake.about() | change
    monkeypatch.setattr(FakeHub, "about", lambda _: about)
    assert "none of a model hub" in one_error(pull(REPO))
    assert not home.exists()


def test_a_small_file_has_git_s_hash(
    fake: FakeHub, pull: Any, home: Path, monkeypatch: Any
) -> None:
    content = b"GGUF small"
    digest = subprocess.run(
        ["git", "hash-object", "--stdin"], input=content, capture_output=True, check=True
    ).stdout.decode().strip()  # fmt: skip
    item = {"rfilename": "a.gguf", "size": len(content), "blobId": digest}
    monkeypatch.setattr(FakeHub, "about", lambda _: {"sha": COMMIT, "siblings": [item]})
    fake.files = {"a.gguf": content}
    assert pull(REPO).status == 0
    assert kept(home) == {"a.gguf": content}


def test_no_network(fake: FakeHub, pull: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "cannot be reached" in one_error(pull(REPO))
    monkeypatch.setenv("HF_ENDPOINT", "nonsense")
    assert "HF_ENDPOINT" in one_error(pull(REPO), 2)


def test_offline(fake: FakeHub, monkeypatch: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vatra", "pull", REPO],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
    )
    assert "HF_HUB_OFFLINE" in one_error(Done(done.returncode, done.stdout, done.stderr))
    assert not fake.requests


# What is wrong with this machine


def test_no_room(fake: FakeHub, pull: Any, home: Path, monkeypatch: Any) -> None:
    left = shutil.disk_usage(home.parent.parent)._replace(free=499_999)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: left)
    line = one_error(pull(REPO), 74)
    assert "500.00 kB are needed" in line and "HF_HOME" in line
    assert not fake.ranges and not home.exists()


def test_a_disk_that_takes_no_more(fake: FakeHub, pull: Any, home: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        line = one_error(pull(REPO), 74)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "what was fetched is kept" in line
    assert pull(REPO).status == 0
    assert fake.ranges[-1] == "bytes=200000-"
    assert kept(home)["toy-1b-Q4_K_M.gguf"] == fake.files["toy-1b-Q4_K_M.gguf"]


# What is asked for


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("hf:a/b", Reference("a/b")),
        ("hf://a/b:q", Reference("a/b", "q")),
        ("a/b:Q4_K_M/c/d.gguf", Reference("a/b", "Q4_K_M", "c/d.gguf")),
        ("hf.co/a/b:q", Reference("a/b", "q")),
        ("https://huggingface.co/a/b", Reference("a/b")),
        ("https://hf.co/a/b/", Reference("a/b")),
        ("https://huggingface.co/a/b/tree/main", Reference("a/b")),
        (
            "https://huggingface.co/a/b/resolve/v1/c%20d.gguf",
            Reference("a/b", "", "c d.gguf", "v1"),
        ),
    ],
)
def test_references(text: str, wanted: Reference) -> None:
    assert hub.parse(text) == wanted


@pytest.mark.parametrize(
    "text",
    ["", "hf:", "gpt2", "a/b:", "../b", "a/..", "a/b--c", "a/b/", "https://example.com/a/b",
     "https://huggingface.co/a", "https://huggingface.co/a/b/blob/../c.gguf", "a b/c", "a/b:q:r"],
)  # fmt: skip
def test_no_references(text: str) -> None:
    with pytest.raises(UsageError):
        hub.parse(text)


def repository(**sizes: int) -> hub.Repository:
    names = {f"toy-{name.replace('__', '-')}.gguf": n for name, n in sizes.items()}
    return hub.Repository(
        REPO, "main", COMMIT, {p: hub.RemoteFile(p, n, "a" * 64) for p, n in names.items()}
    )


@pytest.mark.parametrize(
    ("sizes", "wanted"),
    [
        ({"Q4_K_M": 5, "Q4_0": 4, "Q8_0": 8}, "Q4_K_M"),
        ({"Q2_K": 2, "Q3_K_S": 3, "IQ4_XS": 4, "Q4_K_S": 5, "Q8_0": 8}, "IQ4_XS"),
        ({"Q8_0": 8, "F16": 16}, "Q8_0"),
        ({"BF16": 16}, "BF16"),
        ({"MXFP4": 4, "F16": 16}, "MXFP4"),
        ({"Q2_K": 2, "IQ1_S": 1}, "Q2_K"),
        ({"whole": 1}, ""),
    ],
)
def test_choice(sizes: dict[str, int], wanted: str) -> None:
    chosen, others = hub.choose(repository(**sizes), Reference(REPO))
    assert chosen.quant == wanted and len(others) == len(sizes) - 1


@pytest.mark.parametrize(
    ("sizes", "reference", "said"),
    [
        ({}, Reference(REPO), "holds no GGUF"),
        ({"Q8_0": 8}, Reference(REPO, "Q4_0"), "has no Q4_0; it has Q8_0 (8 bytes)"),
        ({"Q8_0": 8}, Reference(REPO, "", "x.gguf"), "has no x.gguf"),
        ({"a__Q8_0": 8, "b__Q8_0": 9}, Reference(REPO), "toy-a-Q8_0 (8 bytes), toy-b-Q8_0"),
        ({"one": 8, "two": 9}, Reference(REPO), "toy-one (8 bytes), toy-two"),
    ],
)
def test_no_choice(sizes: dict[str, int], reference: Reference, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        hub.choose(repository(**sizes), reference)
    assert said in str(caught.value)


def test_it_is_unavailable() -> None:
    assert Unavailable.exit_code == vatra.Unavailable.exit_code == 69
