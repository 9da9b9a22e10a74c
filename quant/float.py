"""Weights stored as plain floating-point numbers: F32, F16, BF16."""

from __future__ import annotations

import numpy as np

from vatra.quant.format import Array, WeightFormat, struct


def unpack(b: Array) -> Array:
    return b["x"].astype(np.float32)


def unpack_bf16(b: Array) -> Array:
    """A bfloat16 is the upper half of a float32."""
    return (b["x"].astype(np.uint32) << np.uint32(16)).view(np.float32)


def pack_bf16(x: Array) -> dict[str, Array]:
    """Round to nearest even; a NaN stays one, made quiet."""
    bits = x.view(np.uint32)
    rounded = bits + (np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1)))
    quiet = bits | np.uint32(0x400000)
    return {"x": (np.where(np.isnan(x), quiet, rounded) >> np.uint32(16)).astype(np.uint16)}


# fmt: off
FORMATS = (
    WeightFormat("f32", 0, 1, struct(("x", "<f4")),
                 unpack, lambda x: {"x": x}, activation="f32", error=0.0),
    WeightFormat("f16", 1, 1, struct(("x", "<f2")),
                 unpack, lambda x: {"x": x.astype(np.float16)}, activation="f16", error=4e-4),
    WeightFormat("bf16", 30, 1, struct(("x", "<u2")),
                 unpack_bf16, pack_bf16, activation="bf16", error=3e-3),
)
# fmt: on
