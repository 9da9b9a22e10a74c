"""A graphics processor: the one module that knows wgpu."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from vatra.engine.offload import shaders
from vatra.errors import OutOfMemory, UsageError

Array = np.ndarray
MOST_GROUPS = 32768  # workgroups along x: SIDE in `run.wgsl`
ALIGNMENT = 16  # of what is written and read, in bytes
_LOW_LEVEL_API = {"Metal", "Vulkan", "D3D12"}  # WebGPU's other backends lack what kernels need


class Buffer(NamedTuple):
    """Memory of a device."""

    handle: Any
    nbytes: int


class Kernel(NamedTuple):
    """A compiled kernel."""

    pipeline: Any
    layout: Any


class Bound(NamedTuple):
    """A kernel with the buffers that it reads and writes."""

    kernel: Kernel
    group: Any


Groups = tuple[int, int, int]


@dataclass(frozen=True)
class Adapter:
    """A device that could be opened."""

    name: str
    backend: str  # "vulkan", "metal" or "d3d12"
    software: bool  # a program that runs on the processor
    handle: Any

    def __str__(self) -> str:
        return f"wgpu:{self.backend} {self.name}"


@cache
def adapters() -> tuple[Adapter, ...]:
    """What there is, real ones first; UsageError without the `gpu` extra."""
    try:
        os.environ.setdefault("XDG_RUNTIME_DIR", os.path.expanduser("~"))  # else EGL complains
        import wgpu
    except ImportError as error:
        raise UsageError(
            "layers on a graphics processor need wgpu: pip install 'vatra[gpu]'"
        ) from error
    found = []
    for adapter in wgpu.gpu.enumerate_adapters_sync():
        info = adapter.info
        if info["backend_type"] in _LOW_LEVEL_API:
            software = info["adapter_type"].upper() == "CPU"
            backend = info["backend_type"].lower()
            found.append(Adapter(info["device"], backend, software, adapter))
    return tuple(sorted(found, key=lambda a: a.software))


def choose(name: str | None = None) -> Adapter:
    """The first adapter whose name has `name` in it, and without one the first real one.

    Raises UsageError. A software adapter is only taken by its name: it is slower than `cpu`.
    """
    every = adapters()
    for adapter in every:
        if not adapter.software if name is None else name.lower() in str(adapter).lower():
            return adapter
    there = "; ".join(map(str, every)) or "none"
    wanted = "graphics processor" if name is None else f"device {name!r}"
    raise UsageError(f"there is no {wanted} here; devices: {there}")


class Device:
    """An opened adapter. Used by one thread at a time.

    `subgroups` can be refused, and `most_binding` lowered, to run what other devices would run.
    """

    def __init__(
        self, adapter: Adapter, *, subgroups: bool = True, most_binding: int | None = None
    ) -> None:
        has = adapter.handle.features
        self.adapter = adapter
        self.subgroups = subgroups and "subgroup" in has
        wanted = ["subgroup"] if self.subgroups else []
        self._device = adapter.handle.request_device_sync(required_features=wanted)
        limits = self._device.limits
        self._most_buffer = limits["max-buffer-size"]
        bound = min(limits["max-storage-buffer-binding-size"], self._most_buffer)
        self.most_binding = bound if most_binding is None else min(bound, most_binding)
        self._kernels: dict[Any, Kernel] = {}

    def empty(self, nbytes: int) -> Buffer:
        """Zeros; raises OutOfMemory where a single binding cannot be so large."""
        import wgpu

        nbytes = max(-(-nbytes // ALIGNMENT) * ALIGNMENT, ALIGNMENT)
        if nbytes > self.most_binding:
            raise OutOfMemory(
                f"{self.adapter} holds no {nbytes} bytes in one piece, at most {self.most_binding}"
            )
        usage = wgpu.BufferUsage
        flags = usage.STORAGE | usage.COPY_DST | usage.COPY_SRC
        try:
            return Buffer(self._device.create_buffer(size=nbytes, usage=flags), nbytes)
        except wgpu.GPUOutOfMemoryError as error:
            raise OutOfMemory(f"{self.adapter} has no {nbytes} bytes left") from error

    def uniform(self, nbytes: int) -> Buffer:
        """Zeros that kernels read as a uniform."""
        import wgpu

        usage = wgpu.BufferUsage
        flags = usage.UNIFORM | usage.COPY_DST
        return Buffer(self._device.create_buffer(size=nbytes, usage=flags), nbytes)

    def upload(self, values: Array) -> Buffer:
        """A buffer that begins with `values`."""
        buffer = self.empty(values.nbytes)
        self.write(buffer, values)
        return buffer

    def write(self, buffer: Buffer, values: Array, at: int = 0) -> None:
        """Copy `values` to byte `at` of a buffer, before what is submitted later."""
        data = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        if rest := len(data) % 4:
            data = np.concatenate([data, np.zeros(4 - rest, np.uint8)])
        if len(data):
            self._device.queue.write_buffer(buffer.handle, at, data)

    def read(self, buffer: Buffer, nbytes: int, at: int = 0) -> Array:
        """uint8 (nbytes,) from byte `at` on, when all that was submitted is done."""
        if not nbytes:
            return np.empty(0, np.uint8)
        data = self._device.queue.read_buffer(buffer.handle, at, -(-nbytes // 4) * 4)
        return np.frombuffer(data, np.uint8)[:nbytes]

    def copy(self, source: Buffer, at: int, target: Buffer, to: int, nbytes: int) -> None:
        """Copy bytes from one buffer to another, or within one where they do not overlap."""
        encoder = self._device.create_command_encoder()
        if source.handle is target.handle:  # which WebGPU refuses
            aside = self.empty(nbytes)
            encoder.copy_buffer_to_buffer(source.handle, at, aside.handle, 0, nbytes)
            source, at = aside, 0
        encoder.copy_buffer_to_buffer(source.handle, at, target.handle, to, nbytes)
        self._device.queue.submit([encoder.finish()])

    def kernel(self, name: str, **constants: shaders.Constant) -> Kernel:
        """The kernel `name`, made for `constants`: see `shaders.source`."""
        key = name, tuple(sorted(constants.items()))
        if key not in self._kernels:
            code = shaders.source(name, constants, subgroups=self.subgroups)
            module = self._device.create_shader_module(code=code)
            layout = self._layout(shaders.bindings(code))
            whole = self._device.create_pipeline_layout(bind_group_layouts=[layout])
            stage = {"module": module, "entry_point": "main"}
            pipeline = self._device.create_compute_pipeline(layout=whole, compute=stage)
            self._kernels[key] = Kernel(pipeline, layout)
        return self._kernels[key]

    def _layout(self, bindings: Mapping[int, str]) -> Any:
        import wgpu

        entries = [
            {"binding": i, "visibility": wgpu.ShaderStage.COMPUTE, "buffer": {"type": kind}}
            for i, kind in bindings.items()
        ]
        return self._device.create_bind_group_layout(entries=entries)

    def bind(self, kernel: Kernel, buffers: Mapping[int, Buffer]) -> Bound:
        """A kernel to be run with `buffers` at its bindings."""
        entries = [
            {"binding": i, "resource": {"buffer": b.handle, "offset": 0, "size": b.nbytes}}
            for i, b in buffers.items()
        ]
        group = self._device.create_bind_group(layout=kernel.layout, entries=entries)
        return Bound(kernel, group)

    def submit(self, steps: Sequence[tuple[Bound, Groups]]) -> None:
        """Run the steps one after another, each in so many workgroups: one command buffer."""
        encoder = self._device.create_command_encoder()
        work = encoder.begin_compute_pass()
        latest = None
        for bound, groups in steps:
            if bound.kernel.pipeline is not latest:
                latest = bound.kernel.pipeline
                work.set_pipeline(latest)
            work.set_bind_group(0, bound.group)
            work.dispatch_workgroups(*groups)
        work.end()
        self._device.queue.submit([encoder.finish()])


def grid(n: int, deep: int = 1) -> Groups:
    """At least `n` workgroups, for kernels that number them by `linear`; `deep` times."""
    return min(n, MOST_GROUPS), -(-n // MOST_GROUPS), deep
