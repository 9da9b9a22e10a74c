"""`vatra batch --ray` and Ray Serve on a local cluster, parts of which are killed on the way."""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import vatra.spark
from vatra.cli.app import main
from vatra.cli.batch_options import BatchOptions
from vatra.cli.batch_ray import Answerer, Work

ROOT = Path(__file__).parent.parent
OPTIONS = ["--parallel", "2", "-n", "50", "--raw"]
N_LINES = 60
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that computes nothing, and two machines of a processor each."""
    pytest.importorskip("ray", reason="needs the extra ray: pip install 'vatra[ray]'")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(ROOT))
        head = {**NODE, "num_cpus": 0, "include_dashboard": False}
        made = Cluster(initialize_head=True, head_node_args=head)
        try:
            made.add_node(**NODE)
            made.add_node(**NODE)
            yield made
        finally:
            made.shutdown()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lines with seeds of their own, and one that is wrong in what it asks for."""
    lines: list[dict[str, Any]] = [
        {"prompt": f"The {number} little", "id": f"id {number}", "seed": number, "temperature": 1}
        for number in range(N_LINES)
    ]
    lines[7]["max_tokens"] = "many"
    path = tmp_path_factory.mktemp("batch") / "in.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in [*lines, ["no line"]]))
    return path


@pytest.fixture(scope="module")
def expected(source: Path) -> list[dict[str, Any]]:
    """The records of the command without a cluster."""
    target = source.with_name("plain.jsonl")
    assert main(["batch", str(source), str(target), *OPTIONS, "--threads", "1"]) == 65
    return records(target)


def records(path: Path) -> list[dict[str, Any]]:
    """Those that are whole, in the order of their lines."""
    raw = path.read_bytes() if path.exists() else b""
    found = [json.loads(line) for line in raw[: raw.rfind(b"\n") + 1].splitlines()]
    return sorted(found, key=lambda record: record["line"])


def batch(cluster: Any, source: Path, target: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vatra", "batch", source, target, *OPTIONS]
    return subprocess.Popen(
        [*map(str, command), "--ray", "--ray-address", cluster.address],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )


def when_some_are_answered(target: Path, running: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while len(records(target)) < 8:
        assert running.poll() is None and time.monotonic() < deadline, running.communicate()[1]
        time.sleep(0.02)
    assert len(records(target)) < N_LINES - 10, "too fast for this test"


def processes(name: bytes) -> dict[int, int]:
    """Those whose command has this in it, and the parent of each."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and name in (folder / "cmdline").read_bytes():
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                found[int(folder.name)] = parent
        except OSError:  # it has ended
            continue
    return found


def actors() -> dict[int, int]:
    """The process of each actor that answers, and that of the machine it is on."""
    return processes(b"Answerer")


def loaded() -> set[int]:
    """Replicas that have answered: the first request to one loads its model."""
    return processes(b"ServeReplica").keys() & set(processes(b"vatra.server.worker").values())


def kill_actor() -> None:
    os.kill(min(actors()), signal.SIGKILL)


def kill_machine() -> None:
    os.kill(min(actors().values()), signal.SIGKILL)


@pytest.mark.parametrize("kill", [kill_actor, kill_machine])
def test_every_line_is_answered_once(
    cluster: Any,
    source: Path,
    expected: list[dict[str, Any]],
    tmp_path: Path,
    kill: Callable[[], None],
) -> None:
    target = tmp_path / "out.jsonl"
    running = batch(cluster, source, target)
    when_some_are_answered(target, running)
    machines = {node.all_processes["raylet"][0].process.pid for node in cluster.worker_nodes}
    assert set(actors().values()) == machines and len(machines) == 2
    kill()
    told = running.communicate(timeout=120)[1]
    assert running.returncode == 65, told
    assert records(target) == expected
    assert "Traceback" not in told
    if kill is kill_machine:
        cluster.add_node(**NODE)


def test_it_goes_on_where_it_was_killed(
    cluster: Any, source: Path, expected: list[dict[str, Any]], tmp_path: Path
) -> None:
    target = tmp_path / "out.jsonl"
    running = batch(cluster, source, target)
    when_some_are_answered(target, running)
    running.kill()
    running.communicate()
    before = records(target)
    again = batch(cluster, source, target)
    told = again.communicate(timeout=120)[1]
    assert again.returncode == 65, told
    assert records(target) == expected
    assert f"{len(expected) - len(before)} answered" in told and f"{len(before)} were" in told


def test_a_machine_without_the_model(tmp_path: Path) -> None:
    gone = Work(BatchOptions(tmp_path / "gone.gguf", threads=1), ("", ""))
    [row] = Answerer(gone)({"line": ["{}"]})["found"]
    error = json.loads(row)["error"]
    assert error["class"] == "MissingFile"
    assert error["message"].startswith(f"on {socket.gethostname()}: {tmp_path}/gone.gguf: ")
    assert error["message"].endswith("; it must be at the same place on every machine")
    other = Work(BatchOptions(vatra.spark.path(), threads=1), ("another", ""))
    [row] = Answerer(other)({"line": ["{}"]})["found"]
    assert "spark.gguf: another file than where the job began" in row


def test_without_the_package(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    target = str(tmp_path / "out.jsonl")
    assert main(["batch", str(source), target, "--ray"]) == 2
    assert "pip install 'vatra[ray]'" in capsys.readouterr().err
    assert main(["batch", str(source), target, "--ray-actors", "2"]) == 2
    assert "only with --ray" in capsys.readouterr().err


def test_an_address_where_nothing_is(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray", reason="needs the extra ray: pip install 'vatra[ray]'")
    target = str(tmp_path / "out.jsonl")
    with socket.create_server(("127.0.0.1", 0)) as found:
        address = f"127.0.0.1:{found.getsockname()[1]}"
    assert main(["batch", str(source), target, "--ray", "--ray-address", address]) == 69
    assert f"error: Ray: {address}: Connection refused" in capsys.readouterr().err


def test_the_example_serves_from_two_replicas(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray
    from ray import serve

    ray.init(cluster.address, log_to_driver=False)
    try:
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = found.getsockname()[1]
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        example = ROOT / "examples" / "ray_serve.py"
        monkeypatch.setattr(sys, "argv", [str(example)])
        serve.run(runpy.run_path(str(example))["deployment"])
        address = f"http://127.0.0.1:{port}/v1/chat/completions"
        messages = [{"role": "user", "content": "What is the capital of France?"}]
        body = json.dumps({"messages": messages, "temperature": 0, "max_tokens": 20}).encode()
        deadline = time.monotonic() + 60
        while len(loaded()) < 2:
            assert time.monotonic() < deadline
            asked = urllib.request.Request(address, body, {"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(asked, timeout=60) as response:
                    answer = json.load(response)
            except urllib.error.HTTPError as error:
                pytest.fail(error.read().decode())
            assert "Paris" in answer["choices"][0]["message"]["content"]
    finally:
        serve.shutdown()
        ray.shutdown()
