"""Weights as the kernels want them: as they lie in the file, interleaved, or decoded."""

from __future__ import annotations

import mmap
from contextlib import suppress
from math import prod
from typing import NamedTuple

import numpy as np

from vatra.engine import jit
from vatra.engine.cpu_features import processor
from vatra.engine.kernels.layout import FAST, FLOATS, ROWS, Operand
from vatra.engine.memory import mebibytes
from vatra.engine.threads import Pool, op_row
from vatra.errors import OutOfMemory, UnsupportedFile
from vatra.quant.format import WeightFormat
from vatra.quant.tensor import QTensor

Array = np.ndarray
LARGEST_HALF = 65504.0
# memory that processes could share, which is mmap's default, gets no large pages
PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}


class Way(NamedTuple):
    """How a kernel reads weights of one format."""

    format: str  # as which it reads them
    operand: Operand | None  # what their activations must be, or None for float32
    reason: str


def way(format: WeightFormat) -> Way:
    """The fastest way there is."""
    name = format.name
    if name in FLOATS:
        return Way(name, None, "as they lie in the file")
    if name in FAST:
        return Way(name, FAST[name], "16 rows interleaved")
    return Way("f16", None, f"decoded to f16 when loaded: {name} has no kernel of its own yet")


def by_amx(chosen: Way) -> bool:
    """True if runs of many tokens are multiplied by AMX; float32 weights stay what they are."""
    return processor().matrix_tiles and chosen.format != "f32"


def placed_bytes(weight: QTensor) -> int:
    """Bytes that `place` makes of a weight, or leaves in the file's pages."""
    if way(weight.format).format == weight.format.name:
        return weight.nbytes
    return weight.n_rows * weight.width * np.dtype(np.float16).itemsize


class Memory:
    """Memory for weights, cut from large blocks so that the system can use large pages for it.

    A decoded token reads every weight once: with pages of 4 KB the processor stops prefetching at
    each of them.
    """

    BLOCK = 64 << 20

    def __init__(self) -> None:
        self._rest = np.empty(0, np.uint8)

    def take(self, size: int) -> Array:
        """uint8 (size,), zeros, on a cache line of its own; raises OutOfMemory."""
        if size > len(self._rest):
            try:
                block = mmap.mmap(-1, -(-size // self.BLOCK) * self.BLOCK, **PRIVATE)
            except OSError as error:
                raise OutOfMemory(
                    f"no {mebibytes(size)} more of memory for weights ({error.strerror}): "
                    "take a smaller model, or close other programs"
                ) from error
            if hasattr(mmap, "MADV_HUGEPAGE"):
                with suppress(OSError):  # a system that has none says so
                    block.madvise(mmap.MADV_HUGEPAGE)
            fresh = np.frombuffer(block, np.uint8)
            if size > self.BLOCK // 2:  # large ones get blocks of their own
                return fresh[:size]
            self._rest = fresh
        taken, self._rest = self._rest[:size], self._rest[-(-size // 64) * 64 :]
        return taken


def place(weight: QTensor, pool: Pool, memory: Memory) -> Array:
    """`weight` (n_out, n_in) or (n_matrices, n_out, n_in) as its kernel reads it, uint8."""
    *several, n_out, _ = weight.shape
    chosen = way(weight.format)
    if chosen.operand:
        data = interleaved(weight, prod(several), n_out, pool, memory)
    elif chosen.format == weight.format.name:
        return weight.data
    else:
        data = decoded(weight)
    weight.release()
    return data


def pieces(format: WeightFormat) -> Array:
    """How a block is cut: int64 (n, 2) of offset and size, the largest that divides the field."""
    found = []
    for kind, offset in (field[:2] for field in (format.layout.fields or {}).values()):
        size = next(size for size in (4, 2, 1) if kind.itemsize % size == 0)
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


def decoded(weight: QTensor) -> Array:
    """All weights as halves, in uint8; raises UnsupportedFile if a half cannot hold one."""
    out = np.empty((weight.n_rows, weight.width), np.float16)
    step = max(1, (1 << 20) // weight.width)
    for start in range(0, weight.n_rows, step):
        rows = weight.format.decode(weight.data[start : start + step])
        peak = np.abs(rows[np.isfinite(rows)]).max(initial=0.0)
        if peak > LARGEST_HALF:
            what = f"a weight of {peak:g} is larger than the cpu backend holds ({LARGEST_HALF:g})"
            raise UnsupportedFile(
                weight.path, f"{what}; the reference backend can", field=weight.name
            )
        out[start : start + step] = rows
    return out.reshape(-1).view(np.uint8)
