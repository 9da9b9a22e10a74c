"""Weights as the kernels want them: as they lie in the file, interleaved, or decoded."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from math import prod

import numpy as np

from vatra import quant
from vatra.engine import jit
from vatra.engine.kernels.layout import FAST, FLOATS, ROWS, Operand
from vatra.engine.threads import Pool, op_row
from vatra.quant.format import WeightFormat
from vatra.quant.tensor import QTensor

Array = np.ndarray
LARGEST_HALF = 65504.0


@dataclass(frozen=True, eq=False)
class Placed:
    """A weight matrix (or several of one shape) in memory that a kernel can read."""

    data: Array  # uint8; keeps the memory alive
    format: str
    n_matrices: int
    n_out: int
    n_in: int
    operand: Operand | None  # what its activations must be, or None for float32
    path: str  # how it is read, for people

    @property
    def address(self) -> int:
        return self.data.ctypes.data

    @property
    def n_blocks(self) -> int:
        return self.n_in // quant.by_name(self.format).block


class Memory:
    """Memory for weights, cut from large blocks so that the system can use large pages for it.

    A decoded token reads every weight once: with pages of 4 KB the processor stops prefetching at
    each of them.
    """

    BLOCK = 64 << 20

    def __init__(self) -> None:
        self._rest = np.empty(0, np.uint8)

    def take(self, size: int) -> Array:
        """uint8 (size,), zeros, on a cache line of its own."""
        if size > len(self._rest):
            block = mmap.mmap(-1, -(-size // self.BLOCK) * self.BLOCK)
            if hasattr(mmap, "MADV_HUGEPAGE"):
                block.madvise(mmap.MADV_HUGEPAGE)
            fresh = np.frombuffer(block, np.uint8)
            if size > self.BLOCK // 2:  # large ones get blocks of their own
                return fresh[:size]
            self._rest = fresh
        taken, self._rest = self._rest[:size], self._rest[-(-size // 64) * 64 :]
        return taken


def place(weight: QTensor, pool: Pool, memory: Memory) -> Placed:
    """Put `weight` (n_out, n_in) or (n_matrices, n_out, n_in) where its kernel reads it fastest."""
    *several, n_out, n_in = weight.shape
    n_matrices, name = prod(several), weight.format.name
    if name in FLOATS:
        return Placed(weight.data, name, n_matrices, n_out, n_in, None, "as it lies in the file")
    if name in FAST:
        data = interleaved(weight, n_matrices, n_out, pool, memory)
        weight.release()
        return Placed(data, name, n_matrices, n_out, n_in, FAST[name], "16 rows interleaved")
    data, kind = decoded(weight)
    weight.release()
    path = f"decoded to {kind} when loaded: {name} has no kernel of its own yet"
    return Placed(data, kind, n_matrices, n_out, n_in, None, path)


def pieces(format: WeightFormat) -> Array:
    """How a block is cut: int64 (n, 2) of offset and size, which is 2 for halves, else 4."""
    found = []
    for kind, offset in (field[:2] for field in (format.layout.fields or {}).values()):
        size = 2 if kind.base == np.float16 else 4
        if kind.itemsize % size:
            raise ValueError(
                f"{format.name}: a field of {kind.itemsize} bytes cannot be interleaved"
            )
        found += [(offset + i, size) for i in range(0, kind.itemsize, size)]
    return np.array(found, np.int64)


def interleaved(weight: QTensor, n_matrices: int, n_out: int, pool: Pool, memory: Memory) -> Array:
    """A uint8 copy in the order that `matmul` reads; rows that are not there are zeros."""
    groups = n_matrices * -(-n_out // ROWS)
    out = memory.take(groups * ROWS * weight.data.shape[1])
    cut = pieces(weight.format)
    row = op_row(
        jit.load(["relayout:"])["relayout:"],
        w=weight.address,
        out=out.ctypes.data,
        n_matrices=n_matrices,
        n_out=n_out,
        n_blocks=weight.width // weight.format.block,
        block_bytes=weight.format.block_bytes,
        pieces=cut.ctypes.data,
        n_pieces=len(cut),
        chunk=8,
    )
    pool.run(row[None])
    return out


def decoded(weight: QTensor) -> tuple[Array, str]:
    """All weights as halves, or as float32 if a half cannot hold them; uint8, and which it is."""
    out = np.empty((weight.n_rows, weight.width), np.float16)
    step = max(1, (1 << 20) // weight.width)
    for start in range(0, weight.n_rows, step):
        rows = weight.format.decode(weight.data[start : start + step])
        if not np.abs(rows).max(initial=0.0) <= LARGEST_HALF:  # NaN comes here too
            return weight.decode().reshape(-1).view(np.uint8), "f32"
        out[start : start + step] = rows
    return out.reshape(-1).view(np.uint8), "f16"
