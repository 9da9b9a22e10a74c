"""Pages of KV caches that lie on a device."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from vatra.engine.kernels.layout import PAGE
from vatra.engine.offload.device import Buffer, Device
from vatra.engine.offload.lowering import Side
from vatra.engine.pages import Pages, Shape
from vatra.models.plan import KVCache

Array = np.ndarray


class DeviceSide:
    """The keys or values of one cache on a device: float16, page after page."""

    def __init__(self, device: Device, n_pages: int, shape: tuple[int, ...]) -> None:
        self._device, self._shape, self._page_bytes = device, shape, 2 * prod(shape)
        self.buffer = device.empty(n_pages * self._page_bytes)

    def __getitem__(self, page: int) -> Array:
        """A copy of a page."""
        held = self._device.read(self.buffer, self._page_bytes, page * self._page_bytes)
        return held.copy().view(np.float16).reshape(self._shape)

    def __setitem__(self, page: int, values: Array) -> None:
        """Write a page."""
        self._device.write(self.buffer, values.astype(np.float16), page * self._page_bytes)


class DevicePages(Pages):
    """Pages whose last caches, `caches`, lie on a device."""

    def __init__(
        self, device: Device, near: Sequence[Shape], caches: Sequence[KVCache], n_pages: int
    ) -> None:
        self._device, self.n_near, self._caches = device, len(near), list(caches)
        super().__init__([*near, *map(page_shape, caches)], n_pages)

    def _memory(self, i: int, shape: tuple[int, ...]) -> Any:
        if i < self.n_near:
            return super()._memory(i, shape)
        return DeviceSide(self._device, self.n_pages, shape)

    @property
    def sides(self) -> dict[Side, Buffer]:
        """The buffers of the layers' caches."""
        both: tuple[list[Any], list[Any]] = (self.keys, self.values)
        return {
            Side(cache, side is self.values): side[self.n_near + i].buffer
            for i, cache in enumerate(self._caches)
            for side in both
        }


def page_shape(cache: KVCache) -> Shape:
    """What a page of a device has of `cache`: (n_head_kv, PAGE, dim), two float16 to a word."""
    heads = cache.n_head_kv
    return Shape((heads, PAGE, cache.key_dim), (heads, PAGE, cache.value_dim), np.float16)
