"""A graphics processor: the one module that knows wgpu."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from threading import RLock
from typing import Any, NamedTuple
from weakref import WeakSet

import numpy as np

from vatra.engine.offload import shaders
from vatra.errors import OutOfMemory, Unavailable, UsageError, VatraError

Array = np.ndarray
MOST_GROUPS = 32768  # workgroups along x: SIDE in `run.wgsl`
MOST_STAGED = 2**26  # bytes that are on their way to a device at once
MOST_SAID = 300  # characters of what a driver says
ALIGNMENT = 16  # of what is written and read, in bytes
_LOW_LEVEL_API = {"Metal", "Vulkan", "D3D12"}  # WebGPU's other backends lack what kernels need


class NoDevice(UsageError):
    """There is no such device, or nothing that could find one."""


class Buffer(NamedTuple):
    """Memory of a device, `nbytes` bytes from byte `offset` of a piece on."""

    handle: Any
    nbytes: int
    offset: int = 0

    def part(self, offset: int, nbytes: int) -> Buffer:
        """`nbytes` bytes from byte `offset` on, a multiple of 256."""
        return Buffer(self.handle, nbytes, self.offset + offset)


class Kernel(NamedTuple):
    """A compiled kernel."""

    pipeline: Any
    layout: Any


class Bound(NamedTuple):
    """A kernel with the buffers that it reads and writes."""

    kernel: Kernel
    group: Any


class Commands(NamedTuple):
    """Steps that are encoded, to be finished when they are submitted.

    wgpu-native never frees what was finished and not submitted, nor the memory that it refers to.
    """

    encoder: Any


Groups = tuple[int, int, int]


@dataclass(frozen=True)
class Adapter:
    """A device that could be opened."""

    name: str
    backend: str  # "vulkan", "metal" or "d3d12"
    software: bool  # a program that runs on the processor
    handle: Any
    process: int = field(default_factory=os.getpid)  # a fork of it has none of a driver's threads

    @property
    def multiplies_int8(self) -> bool:
        """Whether it has an instruction for products of packed integers: not on Metal."""
        return self.backend != "metal"

    def is_meant(self, name: str) -> bool:
        """Whether `name` is a part of its name, of a software one not of the backend's alone."""
        part, backend = name.lower(), f"wgpu:{self.backend} "
        return part in str(self).lower() and not (self.software and part in backend)

    def check_process(self) -> None:
        """Raise Unavailable in a fork of the process that found it, where a call never returns."""
        if self.process != os.getpid():
            raise Unavailable(f"{self} cannot be used by a fork of the process that opened it")

    def __str__(self) -> str:
        return f"wgpu:{self.backend} {self.name}"


@cache
def adapters() -> tuple[Adapter, ...]:
    """What there is, real ones first; NoDevice without the `gpu` extra."""
    try:
        os.environ.setdefault("XDG_RUNTIME_DIR", os.path.expanduser("~"))  # else EGL complains
        import wgpu
    except ImportError as error:
        raise NoDevice(
            "a graphics processor is used through wgpu, which is not installed: pip install "
            "'vatra[gpu]'"
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

    Raises NoDevice. A software adapter is only taken by its own name: it is slower than `cpu`.
    """
    every = adapters()
    for adapter in every:
        if adapter.is_meant(name or ""):
            return adapter
    wanted = f"device {name!r}" if name else "graphics processor"
    there = "; ".join(f"{a}{' (software, if named)' * a.software}" for a in every)
    none = "none: is a driver for Vulkan, Metal or DX12 installed?"
    raise NoDevice(f"there is no {wanted} here; devices: {there or none}")


class Device:
    """An opened adapter.

    `subgroups` can be refused, and `most_binding` lowered, to run what other devices would run.
    Everything here raises OutOfMemory, or Unavailable with what the driver said.
    """

    def __init__(
        self, adapter: Adapter, *, subgroups: bool = True, most_binding: int | None = None
    ) -> None:
        has = adapter.handle.features
        self.adapter = adapter
        self._closed = False
        self._lock = RLock()  # sessions are made and saved while others run
        self.subgroups = subgroups and "subgroup" in has
        wanted = ["subgroup"] if self.subgroups else []
        with self._explained():
            self._device = adapter.handle.request_device_sync(required_features=wanted)
        limits = self._device.limits
        self._most_buffer = limits["max-buffer-size"]
        bound = min(limits["max-storage-buffer-binding-size"], self._most_buffer)
        self.most_binding = bound if most_binding is None else min(bound, most_binding)
        self._kernels: dict[Any, Kernel] = {}
        self._held = WeakSet[Any]()  # the memory of all buffers
        self._staged = 0  # bytes that wgpu keeps until what was written has arrived

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Around calls of wgpu, whose errors are many lines long."""
        self.adapter.check_process()
        try:
            with self._lock:
                if self._closed:
                    raise Unavailable(f"{self.adapter} was closed, with the model that was there")
                yield
        except VatraError:
            raise
        except Exception as error:  # GPUError and RuntimeError
            said = " ".join(str(error).split())
            if "memory" in said.lower():  # wgpu-native takes it for a mistake of the caller
                raise OutOfMemory(
                    f"{self.adapter} has not enough memory left; put fewer layers there"
                ) from error
            raise Unavailable(f"{self.adapter} failed: {said[:MOST_SAID]}") from error

    def close(self) -> None:
        """Give all memory back, whoever still has a buffer; the device cannot be used again."""
        if self.adapter.process != os.getpid():
            return  # it is not a fork's to give back
        with suppress(VatraError):  # what is on its way must arrive, or wgpu keeps it
            self.read(self.empty(ALIGNMENT), 4)
        with self._lock:
            self._closed = True  # wgpu-native ends the process where a buffer that is gone is used
            for handle in list(self._held):
                handle.destroy()

    def empty(self, nbytes: int) -> Buffer:
        """Zeros; raises OutOfMemory where a single binding cannot be so large."""
        import wgpu

        nbytes = max(-(-nbytes // ALIGNMENT) * ALIGNMENT, ALIGNMENT)
        if nbytes > self.most_binding:
            raise OutOfMemory(
                f"{self.adapter} holds no {nbytes} bytes in one piece, at most {self.most_binding}"
            )
        usage = wgpu.BufferUsage
        return self._buffer(nbytes, usage.STORAGE | usage.COPY_DST | usage.COPY_SRC)

    def uniform(self, nbytes: int) -> Buffer:
        """Zeros that kernels read as a uniform."""
        import wgpu

        return self._buffer(nbytes, wgpu.BufferUsage.UNIFORM | wgpu.BufferUsage.COPY_DST)

    def _buffer(self, nbytes: int, usage: int) -> Buffer:
        with self._explained():
            handle = self._device.create_buffer(size=nbytes, usage=usage)
            self._held.add(handle)
        return Buffer(handle, nbytes)

    def upload(self, values: Array) -> Buffer:
        """A buffer that begins with `values`."""
        buffer = self.empty(values.nbytes)
        self.write(buffer, values)
        self._staged += values.nbytes
        if self._staged > MOST_STAGED:
            self.read(buffer, 4)
        return buffer

    def write(self, buffer: Buffer, values: Array, at: int = 0) -> None:
        """Copy `values` to byte `at` of a buffer, before what is submitted later."""
        data = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        if rest := len(data) % 4:
            data = np.concatenate([data, np.zeros(4 - rest, np.uint8)])
        if len(data):
            with self._explained():
                self._device.queue.write_buffer(buffer.handle, buffer.offset + at, data)

    def read(self, buffer: Buffer, nbytes: int, at: int = 0) -> Array:
        """uint8 (nbytes,) from byte `at` on, when all that was submitted is done."""
        if not nbytes:
            return np.empty(0, np.uint8)
        begin = buffer.offset + at
        with self._explained():
            data = self._device.queue.read_buffer(buffer.handle, begin, -(-nbytes // 4) * 4)
        self._staged = 0
        return np.frombuffer(data, np.uint8)[:nbytes]

    def kernel(self, name: str, **constants: shaders.Constant) -> Kernel:
        """The kernel `name`, made for `constants`: see `shaders.source`."""
        key = name, tuple(sorted(constants.items()))
        if key not in self._kernels:
            code = shaders.source(name, constants, subgroups=self.subgroups)
            with self._explained():
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
            {"binding": i, "resource": {"buffer": b.handle, "offset": b.offset, "size": b.nbytes}}
            for i, b in buffers.items()
        ]
        with self._explained():
            group = self._device.create_bind_group(layout=kernel.layout, entries=entries)
        return Bound(kernel, group)

    def encode(self, steps: Sequence[tuple[Bound, Groups]]) -> Commands:
        """The steps one after another, each in so many workgroups, to be submitted once."""
        with self._explained():
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
            return Commands(encoder)

    def submit(self, commands: Commands) -> None:
        """Run what was encoded, after all that was written and submitted before."""
        with self._explained():
            self._device.queue.submit([commands.encoder.finish()])


def grid(n: int, deep: int = 1) -> Groups:
    """At least `n` workgroups, for kernels that number them by `linear`; `deep` times."""
    return min(n, MOST_GROUPS), -(-n // MOST_GROUPS), deep
