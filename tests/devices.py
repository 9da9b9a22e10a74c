"""The device that tests run kernels on: Mesa's software Vulkan wherever there is no other."""

from __future__ import annotations

import os

import pytest

from vatra.engine.offload.device import Adapter, Device, adapters

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


def devices() -> list[Device]:
    """With subgroup operations, and without."""
    chosen = adapter()
    return [Device(chosen, subgroups=subgroups) for subgroups in (True, False)]
