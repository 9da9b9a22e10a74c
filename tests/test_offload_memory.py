"""How much memory devices have free, what layers need of it, and how many are put there."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from types import SimpleNamespace

import devices
import numpy as np
import pytest

import vatra
from vatra.engine.batch import Batch
from vatra.engine.memory import Available
from vatra.engine.offload import memory, placement
from vatra.engine.offload.device import Adapter, Device
from vatra.engine.offload.executor import OffloadExecutor
from vatra.engine.offload.memory import free, has_own, needs
from vatra.engine.offload.split import layers
from vatra.errors import OutOfMemory, UsageError

MB = 2**20


def made(kind: str, vendor: int = 0, number: int = 0, name: str = "card") -> Adapter:
    info = {"adapter_type": kind, "vendor_id": vendor, "device_id": number}
    return Adapter(name, "vulkan", kind == "CPU", SimpleNamespace(info=info))


def test_memory_of_nvidia_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of its name; of two of one name what the fuller one has, as either could be meant."""
    said = "NVIDIA A, 8000\nNVIDIA B, 500\nNVIDIA A, 7000\nNVIDIA C, [N/A]\n"
    monkeypatch.setattr(memory, "_said", lambda *command: said)
    for name, wanted in (("NVIDIA A", 7000), ("NVIDIA B", 500), ("NVIDIA C", None), ("D", None)):
        found = free(made("DiscreteGPU", memory.NVIDIA, name=name))
        assert (None if found is None else found.n_bytes // MB) == wanted
    monkeypatch.setattr(memory, "_said", lambda *command: "Quadro, 123\n")
    found = free(made("DiscreteGPU", memory.NVIDIA, name="another name for the only one"))
    assert found == (123 * MB, "free, as nvidia-smi says")


def test_memory_of_amd_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "DRM", tmp_path)
    for i, (number, total, used) in enumerate([("0x744c", 900, 100), ("0x1638", 512, 500)]):
        folder = tmp_path / f"card{i}" / "device"
        folder.mkdir(parents=True)
        (folder / "device").write_text(f"{number}\n")
        (folder / "mem_info_vram_total").write_text(f"{total * MB}\n")
        (folder / "mem_info_vram_used").write_text(f"{used * MB}\n")
    (tmp_path / "card2" / "device").mkdir(parents=True)  # of another maker, without those files
    found = free(made("DiscreteGPU", memory.AMD, 0x744C))
    assert found is not None and found.n_bytes == 800 * MB and "card0" in found.reason
    assert free(made("DiscreteGPU", memory.AMD, 0x9999)) is None
    assert free(made("DiscreteGPU", 0x8086)) is None  # Intel's tells only its owner


@pytest.mark.parametrize(("limit", "wanted"), [(0, 8192), (10000, 10000)])
def test_memory_of_apple_s(monkeypatch: pytest.MonkeyPatch, limit: int, wanted: int) -> None:
    said = {"hw.memsize": str(12288 * MB), "iogpu.wired_limit_mb": str(limit)}
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    monkeypatch.setattr(memory, "_said", lambda *command: said[command[-1]] + "\n")
    apple = made("DiscreteGPU", name="Apple M1")
    assert not has_own(apple)
    found = free(apple)
    assert found is not None and found.n_bytes == wanted * MB
    assert "2/3" in found.reason if not limit else "iogpu" in found.reason


def test_memory_that_is_the_processor_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vatra.engine.memory.available", lambda: Available(10 * MB, "left here"))
    for kind in ("CPU", "IntegratedGPU"):
        assert not has_own(made(kind))
        assert free(made(kind)) == (5 * MB, "half of the 10 MiB left here")
    assert has_own(made("DiscreteGPU"))


def test_programs_that_are_not_there_or_fail() -> None:
    assert memory._said("no-such-program-at-all") == ""
    assert memory._said(sys.executable, "-c", "print(1); raise SystemExit(1)") == ""
    assert memory._said(sys.executable, "-c", "print(7)").strip() == "7"


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a device that pretends to have memory of its own."""
    for module in (memory, placement):
        monkeypatch.setattr(module, "has_own", lambda adapter: True)
    return devices.adapter().name


def has(monkeypatch: pytest.MonkeyPatch, n_bytes: int | None) -> None:
    """Let so much be free there."""
    found = None if n_bytes is None else Available(n_bytes, "free there")
    for module in (memory, placement):
        monkeypatch.setattr(module, "free", lambda adapter: found)


def test_what_layers_need(spark: Path, card: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside what is really taken, of which kernels are checked with a part before."""
    with vatra.load(spark, ctx=640, gpu_layers=5, device=card) as model:
        assert isinstance(model.executor, OffloadExecutor)
        far, device = model.executor.layers.split.far, model.executor.layers.device
        wanted = needs(far, 640) - needs(far, 0)
        sizes: list[int] = []
        empty = device.empty

        def counted(nbytes: int):  # type: ignore[no-untyped-def]
            sizes.append(nbytes)
            return empty(nbytes)

        device.empty = counted  # type: ignore[method-assign]
        state = model.executor.new_state(640)
        assert sizes.count(max(sizes)) * max(sizes) == wanted  # five layers' keys and values
        sizes.clear()
        again = type(model.executor.layers)(device, model.executor.layers.split, int8=True)
        assert again.weights.nbytes <= sum(sizes) <= 1.5 * needs(far, 0)
        assert needs(far, 0) <= 1.1 * sum(sizes)
        assert model.executor.run(state, np.arange(3, dtype=np.int32), 0).shape[0] == 1


def test_as_many_as_fit(spark: Path, card: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with vatra.load(spark, ctx=640, gpu_layers="all", device=card) as model:
        assert isinstance(model.executor, OffloadExecutor)
        plan, far = model.plan, model.executor.layers.split.far
        starts = layers(plan)
    needed = [needs(plan.ops[starts[8 - n] :], 640) for n in (5, 6)]
    assert needed[1] < needs(far, 640)
    has(monkeypatch, round(needed[1] / placement.FILLED) - 1000)
    with vatra.load(spark, ctx=640, device=card) as model:
        assert isinstance(model.executor, OffloadExecutor)
        assert model.executor.layers.split.n == 5
        assert [note for note in model.notes if "90% may be filled; one more layer" in note]
        assert model.requirements().weights < vatra.load(spark, ctx=640).requirements().weights
        model.session(ctx=640)
        with Batch(model, 8) as batch:
            assert batch.n_ctx == 640
            kept = needed[0] - needs(plan.ops[starts[3] :], 0)
            left = round(needed[1] / placement.FILLED) - 1000
            assert batch._pages.n_pages * kept // 10 <= max(left // 4, kept)
    has(monkeypatch, 1000)
    with vatra.load(spark, ctx=640, device=card) as model:
        assert not isinstance(model.executor, OffloadExecutor)
        assert next(c for c in model.choices if "device" in c.name).value.startswith("0 of 8, on")


def test_too_many(spark: Path, card: str, monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, 2 * MB)
    with pytest.raises(OutOfMemory, match=r"2 layers .* take \d+ MiB of .* 2 MiB are free there"):
        vatra.load(spark, gpu_layers=2, device=card)
    has(monkeypatch, None)
    with pytest.raises(UsageError, match="give a number of layers"):
        vatra.load(spark, gpu_layers="auto", device=card)
    with vatra.load(spark, ctx=64, gpu_layers=2, device=card) as model:
        assert isinstance(model.executor, OffloadExecutor)


def test_one_memory_for_both(spark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a device has none of its own, its layers count as those of the processor."""
    monkeypatch.setattr("vatra.engine.memory.available", lambda: Available(110 * MB, "left here"))
    with pytest.raises(OutOfMemory, match=r"8 MiB weights.* 110 MiB are left here"):
        vatra.load(spark, gpu_layers="all", device=devices.adapter().name)


def test_tokens_that_one_buffer_holds() -> None:
    """Of 64 MiB: keys of 4 heads of 32 halves."""
    device = Device(devices.adapter(), most_binding=64 * MB)
    cache = vatra.models.plan.KVCache("cache", 4, 32, 16)
    assert memory.most_tokens(device, [cache]) == 64 * MB // (4 * 32 * 2)
    assert memory.most_tokens(device, []) is None
