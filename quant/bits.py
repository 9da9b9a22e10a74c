"""Small integers packed into bytes, and the scales that turn them into weights."""

from __future__ import annotations

import numpy as np

from vatra.quant.format import Array


def planes(packed: Array, bits: int) -> Array:
    """The `bits`-wide fields of each byte, lowest first: uint8 (..., m) -> (..., 8 / bits, m)."""
    out = np.empty((*packed.shape[:-1], 8 // bits, packed.shape[-1]), np.uint8)
    mask = np.uint8((1 << bits) - 1)
    for k in range(8 // bits):
        np.right_shift(packed, np.uint8(k * bits), out=out[..., k, :])
    return np.bitwise_and(out, mask, out=out)


def in_order(packed: Array, bits: int) -> Array:
    """The same fields, byte after byte: uint8 (..., m) -> (..., m * 8 / bits)."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    fields = packed[..., None] >> shifts & np.uint8((1 << bits) - 1)
    return fields.reshape(*packed.shape[:-1], -1)


def joined(fields: Array, bits: int) -> Array:
    """The inverse of `planes`: uint8 (..., 8 / bits, m) -> (..., m)."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)[:, None]
    packed: Array = np.bitwise_or.reduce(fields << shifts, axis=-2)
    return packed


def single(halves: Array) -> Array:
    """A scale per block, float16 (n,) -> float32 (n, 1)."""
    return halves.astype(np.float32)[:, None]


def scaled(codes: Array, scale: Array, low: Array | None = None) -> Array:
    """codes * scale - low in float32, each product rounded before the difference, as ggml does."""
    weights = codes.astype(np.float32)
    weights *= scale
    if low is not None:
        weights -= low
    return weights


def half_away(x: Array) -> Array:
    """Round to the nearest integer, halves away from zero, as C's `roundf` does."""
    size = np.abs(x)
    whole = np.floor(size)
    rounded: Array = np.sign(x) * (whole + np.floor(2 * (size - whole)))
    return rounded


def inverse(scale: Array) -> Array:
    """1 / scale in float32, and 0 for a scale of 0."""
    return np.where(scale == 0, np.float32(0), np.float32(1) / scale)
