"""Four-bit floating point (E2M1) under eight-bit floating-point scales: MXFP4, NVFP4.

E2M1's values are kept doubled, so that they are integers, and the scales halved.
"""

from __future__ import annotations

import numpy as np

from vatra.quant.bits import joined, planes, scaled
from vatra.quant.format import Array, WeightFormat, struct

E2M1 = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.int8)
BYTES = np.arange(256)
E8M0 = np.ldexp(np.float32(1), BYTES - 128).astype(np.float32)  # a bare exponent, halved: (256,)


def e4m3() -> Array:
    """The value, halved, of each unsigned 4-bit exponent and 3-bit mantissa, float32 (256,).

    The sign bit is ignored, and 0x7F (elsewhere NaN) is zero, as in ggml.
    """
    exponent, mantissa = BYTES >> 3 & 15, BYTES & 7
    normal = exponent > 0
    value = np.ldexp(np.where(normal, 8 + mantissa, mantissa), np.where(normal, exponent, 1) - 11)
    return np.where(BYTES == 0x7F, 0, value).astype(np.float32)


E4M3 = e4m3()


def unpack_mxfp4(b: Array) -> Array:
    return scaled(E2M1[planes(b["qs"], 4)], E8M0[b["e"]][:, None, None])


def unpack_nvfp4(b: Array) -> Array:
    values = E2M1[planes(b["qs"].reshape(-1, 4, 8), 4)]  # (n, 4, 2, 8)
    return scaled(values, E4M3[b["d"]][..., None, None])


def pack_mxfp4(x: Array) -> dict[str, Array]:
    """The largest magnitude gets the exponent of 4 (E2M1's top); each weight the nearest value."""
    peak = np.abs(x).max(-1, keepdims=True)
    exponent = np.floor(np.log2(peak)) - np.float32(2) + np.float32(127)
    e = np.where(peak > 0, exponent, np.float32(0)).astype(np.uint8)
    scale = E8M0[e]
    size = np.abs(x)
    q, least = np.zeros(x.shape, np.uint8), size.copy()
    for code, value in enumerate(E2M1[1:8].astype(np.float32), start=1):
        error = np.abs(scale * value - size)
        q = np.where(error < least, np.uint8(code), q)  # of two equally near, the smaller
        np.minimum(error, least, out=least)
    q |= ((x < 0) & (q > 0)).astype(np.uint8) << np.uint8(3)
    return {"e": e, "qs": joined(q.reshape(-1, 2, 16), 4)}


# fmt: off
FORMATS = (
    WeightFormat("mxfp4", 39, 32, struct(("e", "u1"), ("qs", "u1", 16)),
                 unpack_mxfp4, pack_mxfp4, activation="q8_0", error=0.16),
    WeightFormat("nvfp4", 40, 64, struct(("d", "u1", 4), ("qs", "u1", 32)),
                 unpack_nvfp4, activation="q8_0", error=0.11),
)
# fmt: on
