"""What devices there are, and how layers would be run on them, for `vatra doctor`."""

from __future__ import annotations

from collections.abc import Iterator

from vatra.choices import Choice
from vatra.engine.memory import mebibytes
from vatra.engine.offload.device import Adapter, NoDevice, adapters
from vatra.engine.offload.memory import free


def report() -> list[Choice]:
    """The devices, what each has and what was chosen for it."""
    try:
        found = adapters()
    except NoDevice as error:
        return [Choice("device", "none", str(error))]
    if not found:
        return [Choice("device", "none", "no driver for Vulkan, Metal or DX12 was found")]
    names = ["device", *(f"device {i}" for i in range(2, len(found) + 1))]
    return [c for name, adapter in zip(names, found, strict=True) for c in described(adapter, name)]


def described(adapter: Adapter, name: str = "device") -> Iterator[Choice]:
    """What it has and how layers would be run on it."""
    info, limits = adapter.handle.info, adapter.handle.limits
    driver = info["description"] or "of the system"
    use = "software: taken only by its name" if adapter.software else "-ngl N runs layers there"
    yield Choice(name, str(adapter), f"{info['adapter_type']}, driver {driver}; {use}")
    left = free(adapter)
    yield Choice(
        f"{name} memory",
        "unknown" if left is None else mebibytes(left.n_bytes),
        "nothing here tells: -ngl takes a number" if left is None else left.reason,
    )
    yield Choice(
        f"{name} limits",
        f"{mebibytes(limits['max-storage-buffer-binding-size'])} at once, "
        f"{limits['max-compute-invocations-per-workgroup']} lanes, "
        f"{limits['max-compute-workgroup-storage-size'] >> 10} KiB shared",
        "larger tensors are cut into slices of rows",
    )
    yield Choice(f"{name} kernels", *_kernels(adapter))


def _kernels(adapter: Adapter) -> tuple[str, str]:
    """The variants of kernels, and why these."""
    int8, has = adapter.multiplies_int8, adapter.handle.features
    subgroups, f16 = "subgroup" in has, "shader-f16" in has
    value = f"{'int8' if int8 else 'f32'} activations, {'subgroups' if subgroups else 'trees'}"
    return value, (
        f"{adapter.backend} {'has' if int8 else 'lacks'} products of packed int8; sums by "
        f"{'subgroup operations' if subgroups else 'trees in shared memory, without subgroups'}; "
        f"f16 arithmetic is {'there but ' if f16 else 'neither there nor '}not used"
    )
