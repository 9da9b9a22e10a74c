"""The device that tests run kernels on: Mesa's software Vulkan wherever there is no other."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from vatra.engine.executor import Executor
from vatra.engine.offload.device import Adapter, Device, adapters
from vatra.engine.offload.executor import OffloadExecutor
from vatra.engine.offload.layers import DeviceLayers
from vatra.engine.offload.lowering import objection
from vatra.engine.offload.split import Split, split
from vatra.models.plan import Plan

REQUIRED = "VATRA_TEST_DEVICE"  # set where a missing device is a failure


def adapter() -> Adapter:
    """The last that there is, a software one if possible; without any the test is skipped."""
    pytest.importorskip("wgpu")
    found = adapters()
    if not found:
        if os.environ.get(REQUIRED):
            pytest.fail("there is no Vulkan device; install mesa-vulkan-drivers")
        pytest.skip("needs a Vulkan device, such as that of mesa-vulkan-drivers")
    return found[-1]


def cut(plan: Plan, n: int, device: Device) -> Split:
    """`plan` with up to `n` of its last layers apart, as the device can."""
    return split(plan, n, lambda op: objection(op, device.most_binding))


def offloaded(
    plan: Plan, n: int, device: Device, near: Callable[[Plan], Executor], *, int8: bool = False
) -> OffloadExecutor:
    """An executor with those layers on the device, by default of float32 activations."""
    return OffloadExecutor(DeviceLayers(device, cut(plan, n, device), int8=int8), near)
