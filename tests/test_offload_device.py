"""Devices that are not there, too small or gone: sentences, and the memory given back."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import devices
import numpy as np
import pytest

import vatra
from vatra.engine.offload import device as module
from vatra.engine.offload import executor
from vatra.engine.offload.device import Adapter, Device, choose
from vatra.engine.offload.executor import OffloadExecutor
from vatra.errors import OutOfMemory, Unavailable, UsageError


def resident() -> int:
    """Bytes of memory that this process has, those of a software device too."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_which_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first real one, or the one that is named; a software one by its name alone."""
    software = Adapter("llvmpipe", "vulkan", True, None)
    real = [Adapter(name, "vulkan", False, None) for name in ("Card A", "Card B")]
    monkeypatch.setattr(module, "adapters", lambda: (*real, software))
    assert [choose(), choose("card b"), choose("LLVM")] == [*real, software]
    assert [choose(""), choose("vulkan"), choose(str(software))] == [real[0], real[0], software]
    with pytest.raises(UsageError, match="no device 'metal' here; devices: wgpu:vulkan Card A; "):
        choose("metal")
    monkeypatch.setattr(module, "adapters", lambda: (software,))
    for name in (None, ""):
        with pytest.raises(UsageError, match="no graphics processor here; devices: .* llvmpipe"):
            choose(name)
    for backend in ("vulkan", "wgpu"):
        with pytest.raises(UsageError, match=f"no device '{backend}' here; devices: .* llvmpipe"):
            choose(backend)
    monkeypatch.setattr(module, "adapters", lambda: ())
    with pytest.raises(UsageError, match="no graphics processor here; devices: none"):
        choose()


def test_without_wgpu(spark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module.adapters.cache_clear()
    monkeypatch.setitem(sys.modules, "wgpu", None)
    with pytest.raises(UsageError, match=r"pip install 'vatra\[gpu\]'"):
        vatra.load(spark, ctx=64, gpu_layers=1)


def test_a_device_that_refuses_to_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one does that lacks what is asked for."""
    adapter = devices.adapter()

    class Limited:
        features = adapter.handle.features

        @staticmethod
        def request_device_sync(**_: object) -> object:
            too_much = {"max-storage-buffers-per-shader-stage": 4000}
            return adapter.handle.request_device_sync(required_limits=too_much)

    with pytest.raises(Unavailable, match="failed: .* value 4000 is better than allowed"):
        Device(replace(adapter, handle=Limited))


def test_a_lost_device(spark: Path) -> None:
    with vatra.load(spark, ctx=64, gpu_layers=2, device=devices.adapter().name) as model:
        assert isinstance(model.executor, OffloadExecutor)
        session = model.session()
        session.sync(range(5, 20))
        model.executor.layers.device._device.destroy()
        with pytest.raises(Unavailable, match="failed: .*device is lost"):
            session.sync(range(5, 25))
        with pytest.raises(Unavailable, match="failed: .*device is lost"):
            model.session()


OUT_OF_MEMORY = """
import resource
import devices
from vatra.engine.offload.device import Device
from vatra.errors import OutOfMemory
device = Device(devices.adapter())
kept = device.empty(64)
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 2**29,) * 2)
try:
    full = [device.empty(2**27) for _ in range(10)]
except OutOfMemory as error:
    print(error, len(device.read(kept, 64)))
"""


FORK = """
import os, signal
import devices
from vatra.engine.offload.device import Device
from vatra.errors import Unavailable
device = Device(devices.adapter())
kept = device.empty(64)
if not (child := os.fork()):
    signal.alarm(20)
    try:
        device.read(kept, 64)
    except Unavailable as error:
        print(error, flush=True)
    os._exit(0)
print(os.waitpid(child, 0)[1], len(device.read(kept, 64)))
"""


@pytest.fixture
def software() -> Adapter:
    """A device whose memory is this process's."""
    adapter = devices.adapter()
    if not adapter.software:
        pytest.skip("needs a software device")
    return adapter


@pytest.mark.usefixtures("software")
def test_out_of_memory() -> None:
    """A sentence, and what is on the device stays."""
    command = [sys.executable, "-c", OUT_OF_MEMORY]
    path = os.pathsep.join(["tests", "."])
    found = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert "has not enough memory left; put fewer layers there 64\n" in found.stdout, found.stderr


def test_memory_is_given_back(software: Adapter) -> None:
    device = Device(software)
    values = np.ones(2**24, np.uint8)
    device.read(device.upload(values), 4)
    before = resident()
    kept = [device.upload(values) for _ in range(12)]
    peak = resident()
    assert len(kept) * values.nbytes * 0.9 < peak - before < len(kept) * values.nbytes * 2
    device.close()
    assert resident() - before < 2**26
    with pytest.raises(Unavailable, match="was closed"):
        device.read(kept[0], 4)


def test_memory_of_sessions_that_ended(spark: Path, software: Adapter) -> None:
    """Also what commands refer to that were encoded for a next run, which never came."""
    with vatra.load(spark, ctx=256, gpu_layers="all", device=software.name) as model:
        found = []
        for _ in range(6):
            session = model.session(16384)
            session.sync(range(5, 10))
            kept = session.state.nbytes
            del session
            found.append(resident())
        assert kept > 2**25
        assert found[-1] - found[1] < kept


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_is_told() -> None:
    """That it cannot have the device, where calls would not return."""
    command = [sys.executable, "-c", FORK]
    path = os.pathsep.join(["tests", "."])
    found = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": path}
    )
    assert found.stdout.endswith("cannot be used by a fork of the process that opened it\n0 64\n")


@pytest.mark.parametrize("error", [OutOfMemory("full"), KeyboardInterrupt()])
def test_memory_of_a_model_that_does_not_load(
    spark: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    opened: list[Device] = []

    def layers(device: Device, *_: object, **__: object) -> None:
        opened.append(device)
        raise error

    monkeypatch.setattr(executor, "DeviceLayers", layers)
    with pytest.raises(type(error)):
        vatra.load(spark, ctx=64, gpu_layers=2, device=devices.adapter().name)
    assert opened and not opened[0]._held
