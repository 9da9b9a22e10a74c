"""`-ngl` and `--device`, in commands and as arguments; what is told where there is no device."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import devices
import pytest
from typer.main import get_command

import vatra
from vatra.cli import app, completion, gpu_check
from vatra.cli.batch_options import BatchOptions
from vatra.cli.bench import speed_sections
from vatra.cli.serve import arguments
from vatra.cli.speeds import Speed, Task
from vatra.engine.llama.llama import Llama
from vatra.engine.offload import device, placement
from vatra.engine.offload.check import Check
from vatra.engine.offload.executor import OffloadExecutor
from vatra.server.jobs import Loading
from vatra.server.worker import Worker
from vatra.server.workers import Options, Workers

Capture = pytest.CaptureFixture[str]
COMMANDS = get_command(app.app).commands  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def spark_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VATRA_MODEL", raising=False)


@pytest.fixture(scope="module")
def name() -> str:
    """A part of the device's name."""
    return devices.adapter().name.split()[0].upper()


@pytest.fixture
def without_wgpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "wgpu", None)
    device.adapters.cache_clear()
    yield
    device.adapters.cache_clear()


def run(capsys: Capture, *words: object) -> str:
    """What the command prints; it succeeds."""
    status = app.main(list(map(str, words)))
    out, err = capsys.readouterr()
    assert status == 0, err
    return out


def refused(capsys: Capture, *words: object) -> str:
    """The one sentence that a command ends with."""
    assert app.main(list(map(str, words))) == 2
    out, err = capsys.readouterr()
    (line,) = (line for line in err.splitlines() if line.startswith("error: "))
    assert not out
    return line


def test_every_command_with_threads_has_them() -> None:
    shared = {
        command: {parameter.name for parameter in COMMANDS[command].params}
        for command in ("run", "chat", "batch", "serve", "bench", "perplexity", "embed")
    }
    for command, names in shared.items():
        assert names >= {"threads", "backend", "gpu_layers", "device"}, command
    others = set(COMMANDS) - set(shared)
    assert not [c for c in others if "threads" in {p.name for p in COMMANDS[c].params}]


def test_same_text(capsys: Capture, name: str) -> None:
    words = ["run", "--temperature", "0", "-n", "4", "Once upon"]
    wanted = run(capsys, *words)
    for more, told in (
        (["--device", name], "\nnote: layers on a device: 8 of 8 and the output, "),  # auto
        (["--gpu-layers", "99", "-v", "--device", name], "\ndevice    8 of 8 and the output, "),
        (["-ngl", "2", "--device", name], None),
    ):
        assert app.main([*words, *more]) == 0
        out, err = capsys.readouterr()
        assert out == wanted != ""
        assert told in err if told else "device" not in err


def test_bad_requests(capsys: Capture, name: str) -> None:
    there = devices.adapter().name
    for words, told in (
        (["--device", "nothing"], f"there is no device 'nothing' here; devices: wgpu:.*{there}"),
        (["-ngl", "-5"], "got '-5', wanted a number of layers, auto or all"),
        (["-ngl", "1.5"], "got '1.5'"),
        (["-ngl", "most"], "got 'most'"),
        (["-ngl", 2, "--device", name, "--kv", "q8_0"], "on a device is f16, got q8_0"),
    ):
        line = refused(capsys, "run", *words, "Once")
        assert told.split(".*")[0] in line and told.split(".*")[-1] in line
    assert "no device 'nothing'" in refused(capsys, "serve", "--device", "nothing")
    assert "f16, got q4_0" in refused(capsys, "serve", "-ngl", 1, "--kv", "q4_0")
    assert "--ops" in refused(capsys, "bench", "--ops", "--device", name)
    assert "--json" in refused(capsys, "doctor", "--gpu-check", "--json", "--device", name)


def test_without_the_extra(capsys: Capture, spark: Path, without_wgpu: None) -> None:
    for words in (["run", "-ngl", 1, "x"], ["run", "--device", "x", "x"], ["bench", "-ngl", "all"]):
        assert "pip install 'vatra[gpu]'" in refused(capsys, *words)
    assert "pip install 'vatra[gpu]'" in refused(capsys, "doctor", "--gpu-check")
    *_, last = json.loads(run(capsys, "doctor", "--json"))
    assert (last["name"], last["value"]) == ("device", "none") and "vatra[gpu]" in last["reason"]
    assert completion.devices("") == []
    assert run(capsys, "run", "-ngl", 0, "--device", "x", "-n", 1, "Once")
    with Llama(str(spark), n_gpu_layers=-1, n_ctx=64) as llm:
        assert not isinstance(llm.model.executor, OffloadExecutor)


def test_no_device_at_all(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "adapters", lambda: ())
    line = refused(capsys, "run", "-ngl", 1, "x")
    assert "there is no graphics processor here; devices: none" in line


def test_software_only_if_it_is_named(
    capsys: Capture, spark: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    soft = device.Adapter("Soft", "vulkan", True, devices.adapter().handle)
    monkeypatch.setattr(device, "adapters", lambda: (soft,))
    assert "Soft (software, if named)" in refused(capsys, "run", "-ngl", 1, "x")
    with Llama(str(spark), n_gpu_layers=-1, n_ctx=64) as llm:
        assert not isinstance(llm.model.executor, OffloadExecutor)
    real = device.Adapter("Real", "vulkan", False, devices.adapter().handle)
    monkeypatch.setattr(placement, "choose", lambda name: real)
    for n, wanted in ((-1, 8), (3, 3)):
        with Llama(str(spark), n_gpu_layers=n, n_ctx=64) as llm:
            assert isinstance(llm.model.executor, OffloadExecutor)
            assert llm.model.executor.layers.split.n == wanted
    with Llama(str(spark), n_gpu_layers=-1, n_ctx=64, type_k=8, type_v=8) as llm:
        assert not isinstance(llm.model.executor, OffloadExecutor)


def test_arguments_of_load(spark: Path) -> None:
    for value in (-1, True, "most", 1.5):
        with pytest.raises(vatra.UsageError, match="gpu_layers: got .*, wanted an integer from 0"):
            vatra.load(spark, gpu_layers=value)  # type: ignore[arg-type]


def test_a_model_that_cannot_be_there(shared: Path, name: str) -> None:
    """It runs on the processor, and says why."""
    with vatra.load(shared / "golden/archs/mamba2-dense.gguf", device=name) as model:
        assert not isinstance(model.executor, OffloadExecutor)
        (note,) = (note for note in model.notes if "device" in note)
        assert "0 of " in note and "recurrent" in note


def test_other_processes(spark: Path, name: str) -> None:
    """What a server's worker and the actor of a cluster are told."""
    workers = Workers({"spark": str(spark)}, Options(gpu_layers=3, device=name))
    loading = workers._hosts["spark"].loading
    assert loading == Loading(str(spark), gpu_layers=3, device=name)
    worker = Worker(loading, io.BytesIO(), io.BytesIO())
    worker._loaded()
    assert worker._batch is not None
    with worker._model as model, worker._batch:
        assert isinstance(model.executor, OffloadExecutor)
        assert model.executor.layers.split.n == 3
    with BatchOptions(spark, gpu_layers="all", device=name).load() as model:
        assert isinstance(model.executor, OffloadExecutor)


def test_options_that_an_installed_server_keeps(spark: Path) -> None:
    words = ["-ngl", "auto", "--device", "arc", "--threads", "2"]
    context = COMMANDS["serve"].make_context("serve", words)
    found = arguments(context, {"spark": str(spark)})
    wanted = {"--gpu-layers": "auto", "--device": "arc", "--threads": "2"}
    assert dict(zip(found[::2], found[1::2], strict=True)) == wanted


def test_bench(capsys: Capture, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vatra.engine.bandwidth.measure", lambda threads: 1e10)
    words = ["bench", "-p", 8, "-n", 2, "-d", 4, "--repeat", 1, "-ngl", 2, "--device", name]
    rows = [json.loads(line) for line in run(capsys, *words, "--json").splitlines()]
    told = [(row["task"], row["gpu_layers"], name.lower() in row["device"]) for row in rows]
    tasks = ("prefill", "decode")
    assert told == [(task, *rest) for task in tasks for rest in ((0, False), (2, True))]
    assert all(row["tokens_per_s"] > 0 for row in rows)
    assert rows[3]["share_of_bandwidth"] is None and rows[3]["bytes_per_s"] > 0
    _, decode = speed_sections([Speed(**row) for row in rows])
    assert f"; GPU layers on {devices.adapter()}" in decode.title
    column = decode.columns.index("GPU layers")
    assert [row[column] for row in decode.rows] == ["0", "2"]
    column = decode.columns.index("of bandwidth")
    assert [row[column] == "" for row in decode.rows] == [False, True]


def test_inspect(capsys: Capture, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = json.loads(run(capsys, "inspect", "--json"))
    assert "on_device" not in plain
    monkeypatch.setattr(placement, "has_own", lambda adapter: True)
    found = json.loads(run(capsys, "inspect", "--json", "-ngl", 6, "--device", name))
    assert found["on_device"].startswith("6 of 8 and the output, ")
    for part in ("weights", "kv_cache"):
        assert 0.2 < found["memory"][part] / plain["memory"][part] < 0.5, part
    assert "\non a device   8 of 8" in run(capsys, "inspect", "--device", name)


def test_doctor(capsys: Capture, name: str) -> None:
    words = ["doctor", "--json", "-m", vatra.spark.path(), "-ngl", 3, "--device", name]
    choices = {row["name"]: row for row in json.loads(run(capsys, *words))}
    assert choices["layers on a device"]["value"].startswith("3 of 8 and the output")
    assert name.lower() in choices["device"]["value"].lower()
    assert {"device memory", "device limits", "device kernels"} <= set(choices)
    assert choices["kernel path"]["value"] == "35 x q8_0"  # of five layers
    assert completion.devices(name.lower()[:3]) == [devices.adapter().name]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report of few kernels, a short text and a small model."""
    monkeypatch.setattr(gpu_check, "check", lambda device, int8: [Check("one", 1e-7, 1e-5, 0.001)])
    monkeypatch.setattr(gpu_check, "N_TOKENS", 3)
    monkeypatch.setattr(gpu_check, "TASKS", (Task("prefill", 9, 0), Task("decode", 2, 0)))
    small = {"layers": 1, "embd": 256, "ff": 512, "vocab": 512}
    monkeypatch.setattr(gpu_check, "SHAPE", small)


def report(capsys: Capture, name: str, status: int) -> str:
    assert app.main(["doctor", "--gpu-check", "--device", name]) == status
    return capsys.readouterr().out


def test_report(capsys: Capture, name: str, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    text = report(capsys, name, 0)
    for told in (
        f"vatra: {vatra.__version__}", "wgpu: 0.", "python: 3.", "system: ", "driver",
        str(devices.adapter()), "one     1.0e-07  1e-05  1.0  ok", "1 of 1 kernels are right",
        "8 of 8 and the output", "the same text: yes", "decode of 2 tokens by the device",
    ):  # fmt: skip
        assert told in text, told
    assert text.endswith("\nall is well\n") and "FAILED" not in text
    every: dict[str, Any] = {
        "check": lambda device, int8: [Check("two", 0.5, 1e-5, 0.001, "broken")],
        "BOUND": 0.0,
        "spark": None,  # an error of whatever kind
    }
    for attribute, value in every.items():
        with monkeypatch.context() as broken:
            broken.setattr(gpu_check.Report, "_speeds", lambda self: iter(["fast"]))
            if attribute == "check":
                broken.setattr(gpu_check.Report, "_text", lambda self: iter(["right"]))
            broken.setattr(gpu_check, attribute, value)
            text = report(capsys, name, 1)
        assert text.endswith("\nfast\n\nFAILED: do not trust this device\n")
        assert text.count("FAILED") == 2
