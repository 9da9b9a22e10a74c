"""One or two bits a weight, in order, under one scale: Q1_0 (-1, 1), Q2_0 (-1, 0, 1, 2)."""

from __future__ import annotations

import numpy as np

from vatra.quant.bits import in_order, scaled, single
from vatra.quant.format import Array, WeightFormat, struct

ONE_BIT = 2 * in_order(np.arange(256, dtype=np.uint8)[:, None], 1).astype(np.float32) - 1
TWO_BITS = in_order(np.arange(256, dtype=np.uint8)[:, None], 2).astype(np.float32) - 1


def unpack_q1_0(b: Array) -> Array:
    return scaled(ONE_BIT[b["qs"]].reshape(-1, 128), single(b["d"]))


def unpack_q2_0(b: Array) -> Array:
    return scaled(TWO_BITS[b["qs"]].reshape(-1, 64), single(b["d"]))


# fmt: off
FORMATS = (
    WeightFormat("q1_0", 41, 128, struct(("d", "<f2"), ("qs", "u1", 16)),
                 unpack_q1_0, activation="q8_0", error=0.85),
    WeightFormat("q2_0", 42, 64, struct(("d", "<f2"), ("qs", "u1", 16)),
                 unpack_q2_0, activation="q8_0", error=0.85),
)
# fmt: on
