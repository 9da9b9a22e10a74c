"""Weights as a device holds them: each field of a format's blocks apart, a plane of its own.

The blocks of a file begin at any byte, where a device reads words and vectors of four.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from vatra.engine.offload.device import Buffer, Device
from vatra.engine.offload.shaders import CODED, Constant
from vatra.quant.fp4 import E2M1
from vatra.quant.iquants import LEVELS
from vatra.quant.tensor import QTensor

Array = np.ndarray
UNIT = 32  # weights that kernels unpack at once
ROWS = 64  # a slice has a multiple of so many
_LEVELS = {"iq4_nl": LEVELS, "iq4_xs": LEVELS, "mxfp4": E2M1}


class Planes(NamedTuple):
    """`rows` rows from row `first` of a matrix: uint8 data, and the constants of its kernels."""

    first: int
    rows: int
    data: Array
    constants: dict[str, Constant]


def slices(weight: QTensor, most: int) -> Iterator[Planes]:
    """`weight` (rows, width) in as few pieces of at most `most` bytes as possible.

    Raises ValueError where a piece of 64 rows is larger. A row must be whole units of 32 weights.
    """
    row_bytes = weight.data.shape[1]
    room = most - 16 * len(weight.format.layout.fields or ())  # that planes begin on vectors
    step = room // row_bytes // ROWS * ROWS
    if step < 1 and weight.n_rows * row_bytes > room:
        raise ValueError(f"{ROWS} rows of {weight.name} take more than {most} bytes")
    step = step or weight.n_rows
    for first in range(0, weight.n_rows, step):
        yield planes(weight, first, min(step, weight.n_rows - first))


def planes(weight: QTensor, first: int, rows: int) -> Planes:
    """`rows` rows of `weight`, field after field, each beginning on 16 bytes."""
    assert weight.width % UNIT == 0
    blocks = np.ascontiguousarray(weight.data[first : first + rows]).view(weight.format.layout)
    constants: dict[str, Constant] = {"format": weight.format.name, "UNITS": weight.width // UNIT}
    constants |= {"ROWS": rows, "FIRST": first}
    if (levels := _LEVELS.get(weight.format.name)) is not None:
        constants["LEVELS"] = tuple(levels.view("<u4").tolist())
    found: list[Array] = []
    at = 0
    for name in weight.format.layout.names or ():
        plane = np.ascontiguousarray(blocks[name]).reshape(-1).view(np.uint8)
        if weight.format.name in CODED:
            constants[name.upper()] = at // 4
        found += [plane, np.zeros(-len(plane) % 16, np.uint8)]
        at += len(plane) + len(found[-1])
    return Planes(first, rows, np.concatenate(found), constants)


def stacked(weights: Sequence[QTensor]) -> QTensor:
    """Matrices of one format and width as one; the bytes of several are copied."""
    if len(weights) == 1:
        return weights[0]
    data = np.concatenate([weight.data for weight in weights])
    name = " and ".join(weight.name for weight in weights)
    return QTensor(name, weights[0].format, (len(data), weights[0].width), data)


class Weights:
    """Matrices on a device, each once."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._placed: dict[tuple[QTensor, ...], list[tuple[dict[str, Constant], int, Buffer]]] = {}
        self._values: dict[bytes, Buffer] = {}

    def matrix(self, *weights: QTensor) -> list[tuple[dict[str, Constant], int, Buffer]]:
        """The slices of `weights` as one matrix: constants of their kernels, rows and bytes."""
        if weights not in self._placed:
            self._placed[weights] = [
                (piece.constants, piece.rows, self.device.upload(piece.data))
                for piece in slices(stacked(weights), self.device.most_binding)
            ]
            for weight in weights:
                weight.release()
        return self._placed[weights]

    def vector(self, values: Array) -> Buffer:
        """float32 values."""
        values = np.ascontiguousarray(values, np.float32)
        key = values.tobytes()
        if key not in self._values:
            self._values[key] = self.device.upload(values)
        return self._values[key]

    @property
    def nbytes(self) -> int:
        """Memory of the device that they take."""
        return self.matrix_bytes + sum(buffer.nbytes for buffer in self._values.values())

    @property
    def matrix_bytes(self) -> int:
        """That of the matrices alone."""
        return sum(buffer.nbytes for pieces in self._placed.values() for _, _, buffer in pieces)
