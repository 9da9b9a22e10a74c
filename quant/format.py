"""The row that says what a weight format is; sizes, checks and chunking derive from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Unpack = Callable[[Array], Array]  # blocks (n,) -> n * block float32, in order, any shape
Pack = Callable[[Array], dict[str, Array]]  # float32 (n, block) -> the struct's fields, n of each

# Weights handled at once: a piece's temporaries then stay in the second-level cache.
PIECE = 1 << 15


class UnknownFormat(ValueError):
    """No weights are stored in the format asked for; the message says what to do instead."""


def struct(*fields: tuple[str, str] | tuple[str, str, int]) -> np.dtype[Any]:
    """The dtype of a C struct without padding: `("qs", "u1", 16)` is `uint8_t qs[16]`."""
    return np.dtype([f if len(f) == 2 else (f[0], f[1], (f[2],)) for f in fields])


@dataclass(frozen=True, eq=False)
class WeightFormat:
    """How `block` weights lie in the bytes of `layout`, and how to get them out and in again.

    `activation` names the format ggml gives the other factor of a dot product (q8_1 and q8_k exist
    only there). `error` bounds the relative RMS difference between ordinary weights (normally
    distributed, with some outliers) and their stored values.
    """

    name: str
    id: int  # ggml's number of the type, as GGUF files carry it
    block: int  # weights in a block
    layout: np.dtype[Any] = field(repr=False)  # the C struct of a block, in file order
    unpack: Unpack = field(repr=False)
    pack: Pack | None = field(repr=False, default=None)
    activation: str = "q8_k"
    error: float = 0.0

    @property
    def block_bytes(self) -> int:
        return self.layout.itemsize

    @property
    def bits(self) -> float:
        """Bits per weight, scales included."""
        return 8 * self.block_bytes / self.block

    @property
    def can_encode(self) -> bool:
        return self.pack is not None

    def row_bytes(self, n_weights: int) -> int:
        """Bytes of a row of `n_weights`; ValueError unless that is a whole number of blocks."""
        n_blocks = self._whole(n_weights, self.block, "weights")
        return n_blocks * self.block_bytes

    def row_weights(self, n_bytes: int) -> int:
        """Weights in a row of `n_bytes`; ValueError unless that is a whole number of blocks."""
        return self._whole(n_bytes, self.block_bytes, "bytes") * self.block

    def decode(self, data: Array) -> Array:
        """uint8 (..., bytes per row) -> float32 (..., weights); ValueError on any other shape."""
        if data.dtype != np.uint8 or data.ndim == 0:
            raise ValueError(
                f"{self.name}: decode wants uint8 (rows, bytes), got {data.dtype} {data.shape}"
            )
        out = np.empty((*data.shape[:-1], self.row_weights(data.shape[-1])), np.float32)
        blocks = np.ascontiguousarray(data).reshape(-1).view(self.layout)
        weights = out.reshape(-1, self.block)
        step = max(1, PIECE // self.block)
        with np.errstate(all="ignore"):  # an infinite scale is the file's matter, not a warning
            for i in range(0, len(blocks), step):
                piece = weights[i : i + step]
                piece[:] = self.unpack(blocks[i : i + step]).reshape(piece.shape)
        return out

    def encode(self, weights: Array) -> Array:
        """float32 (..., weights) -> uint8 (..., bytes per row), the bytes ggml's own encoder makes.

        ValueError on a row that is not whole blocks, and for a format that is only read.
        """
        if self.pack is None:
            raise ValueError(f"{self.name} can be read but not written")
        if weights.dtype != np.float32 or weights.ndim == 0:
            raise ValueError(
                f"{self.name}: encode wants float32 (rows, weights), "
                f"got {weights.dtype} {weights.shape}"
            )
        out = np.empty((*weights.shape[:-1], self.row_bytes(weights.shape[-1])), np.uint8)
        rows = np.ascontiguousarray(weights).reshape(-1, self.block)
        blocks = out.reshape(-1).view(self.layout)
        step = max(1, PIECE // self.block)
        with np.errstate(all="ignore"):
            for i in range(0, len(rows), step):
                for name, values in self.pack(rows[i : i + step]).items():
                    target = blocks[name][i : i + step]
                    target[:] = values.reshape(target.shape)
        return out

    def _whole(self, n: int, unit: int, what: str) -> int:
        blocks, rest = divmod(n, unit)
        if rest or n < 0:
            raise ValueError(
                f"{self.name}: a row of {n} {what} is not a whole number of blocks "
                f"({self.block} weights in {self.block_bytes} bytes each)"
            )
        return blocks
