"""A quantised tensor: rows of weight blocks exactly as a file holds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vatra.quant.format import WeightFormat

Bytes = np.ndarray[tuple[int, int], np.dtype[np.uint8]]


@dataclass(frozen=True, eq=False)
class QTensor:
    """One named tensor: `data` is uint8 (rows, bytes per row), read-only, often over a mapped file.

    `shape` counts weights, outermost first: the last axis is the one blocks run along. `offset` is
    the tensor's first byte in the file `path`, for messages.
    """

    name: str
    format: WeightFormat
    shape: tuple[int, ...]
    data: Bytes
    path: str = ""
    offset: int = 0
    release: Callable[[], None] = field(default=lambda: None)  # drop the mapped pages from memory

    @property
    def n_rows(self) -> int:
        return prod(self.shape[:-1])

    @property
    def width(self) -> int:
        """Weights in a row."""
        return self.shape[-1]

    @property
    def nbytes(self) -> int:
        return self.data.nbytes

    @property
    def address(self) -> int:
        """Where the first byte lies in memory; valid while this tensor lives."""
        return self.data.ctypes.data

    def rows(self, name: str, first: int, count: int) -> QTensor:
        """`count` rows from row `first` of a matrix, under another name; the bytes are shared."""
        assert len(self.shape) == 2 and 0 <= first <= first + count <= self.n_rows
        return replace(
            self,
            name=name,
            shape=(count, self.width),
            data=self.data[first : first + count],
            offset=self.offset + first * self.data.shape[1],
        )

    def decode(self) -> np.ndarray:
        """All weights as float32, in `shape`."""
        return self.format.decode(self.data).reshape(self.shape)

    def decode_rows(self, rows: np.ndarray) -> np.ndarray:
        """The given rows as float32 (len(rows), width)."""
        return self.format.decode(self.data[rows])
