"""I-quants: eight (or four) weights at a time are an entry of a fixed grid, with separate signs.

The grids come from the `gguf` package when one is first needed. IQ4_NL and IQ4_XS have no grid:
their 4-bit codes index sixteen unevenly spaced levels.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from vatra.quant.bits import in_order, planes, scaled, single
from vatra.quant.format import Array, WeightFormat, struct

LEVELS = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.int8
)
# The signs that a byte's bits stand for, (256, 8): 1 is minus.
SIGNS: Array = 1 - 2 * in_order(np.arange(256, dtype=np.uint8)[:, None], 1).astype(np.float32)
DELTA = np.float32(0.125)  # what IQ1_S and IQ1_M add to, or take from, each grid value


@cache
def grid(name: str) -> Array:
    """The named format's grid, float32 (entries, weights an entry stands for)."""
    from gguf import quants

    table = getattr(quants, name)
    table.init_grid()
    return np.ascontiguousarray(table.grid[0, 0], np.float32)


@cache
def even_signs() -> Array:
    """Signs of eight weights from seven bits, float32 (128, 8): minus signs are even in number."""
    seven = np.arange(128, dtype=np.uint8)
    signs: Array = SIGNS[seven | np.bitwise_count(seven) % 2 << 7]
    return signs


def gridded(scale: Array, entries: Array, signs: Array) -> Array:
    """scale (n, g, 1) * entries * signs, float32 (n, 256), `g` groups to a block."""
    entries *= signs.reshape(entries.shape)
    weights: Array = entries.reshape(*scale.shape[:2], -1)
    weights *= scale
    return weights


def steps(b: Array, nibbles: Array, factor: float) -> Array:
    """d * (0.5 + nibble) * factor: the scale of each group, float32 (n, g, 1)."""
    half_way = np.float32(0.5) + nibbles.astype(np.float32)
    scale: Array = single(b["d"]) * half_way * np.float32(factor)
    return scale[..., None]


def sevens(words: Array) -> Array:
    """The four 7-bit sign patterns that uint32 (n, 8) hold below a 4-bit scale, low bits first."""
    seven = words[..., None] >> np.arange(0, 28, 7, dtype=np.uint32) & np.uint32(127)
    signs: Array = even_signs()[seven]
    return signs


def unpack_iq2_xxs(b: Array) -> Array:
    pairs = b["qs"].reshape(-1, 8, 4).view("<u4")  # (n, 8, 2): four grid entries; scale and signs
    index, words = np.ascontiguousarray(pairs[..., 0]).view(np.uint8), pairs[..., 1]
    scale = steps(b, words >> np.uint32(28), 0.25)
    return gridded(scale, grid("IQ2_XXS")[index], sevens(words))


def unpack_iq2_xs(b: Array) -> Array:
    index, signs = b["qs"] & np.uint16(511), even_signs()[b["qs"] >> np.uint16(9)]
    return gridded(steps(b, in_order(b["scales"], 4), 0.25), grid("IQ2_XS")[index], signs)


def unpack_iq2_s(b: Array) -> Array:
    index = b["qs"] | in_order(b["qh"], 2).astype(np.uint16) << np.uint16(8)
    scale = steps(b, in_order(b["scales"], 4), 0.25)
    return gridded(scale, grid("IQ2_S")[index], SIGNS[b["signs"]])


def unpack_iq3_xxs(b: Array) -> Array:
    scale = steps(b, b["words"] >> np.uint32(28), 0.5)
    return gridded(scale, grid("IQ3_XXS")[b["qs"]], sevens(b["words"]))


def unpack_iq3_s(b: Array) -> Array:
    index = b["qs"] | in_order(b["qh"], 1).astype(np.uint16) << np.uint16(8)
    scale = steps(b, in_order(b["scales"], 4), 2.0)
    return gridded(scale, grid("IQ3_S")[index], SIGNS[b["signs"]])


def shifted(scale: Array, entries: Array, minus: Array) -> Array:
    """scale * (entries +- DELTA), all float32: scale and minus must broadcast with entries."""
    entries += np.where(minus, -DELTA, DELTA)
    entries *= scale
    return entries


def unpack_iq1_s(b: Array) -> Array:
    qh = b["qh"][..., None]  # (n, 8, 1): four 3-bit index parts, a 3-bit scale, the shift's sign
    scale = single(b["d"])[..., None] * (2 * (qh >> np.uint16(12) & 7) + 1).astype(np.float32)
    high = qh >> np.arange(0, 12, 3, dtype=np.uint16) & np.uint16(7)
    index = b["qs"].reshape(-1, 8, 4) | high << np.uint16(8)
    return shifted(scale[..., None], grid("IQ1_S")[index], (qh >> np.uint16(15))[..., None])


def unpack_iq1_m(b: Array) -> Array:
    words = b["scales"]  # (n, 4): four 3-bit scales each, under a nibble of the float16 scale
    nibbles = words >> np.uint16(12) << np.arange(0, 16, 4, dtype=np.uint16)
    d = single(np.bitwise_or.reduce(nibbles, axis=-1).astype(np.uint16).view(np.float16))
    threes = (words[..., None] >> np.arange(0, 12, 3, dtype=np.uint16) & 7).reshape(-1, 16)
    scale = d * (2 * threes + 1).astype(np.float32)
    high = in_order(b["qh"], 4)  # (n, 32): a 3-bit index part, then the shift's sign
    index = b["qs"] | (high & np.uint8(7)).astype(np.uint16) << np.uint16(8)
    entries = grid("IQ1_M")[index].reshape(-1, 16, 2, 8)
    return shifted(scale[..., None, None], entries, (high >> np.uint8(3)).reshape(-1, 16, 2, 1))


def unpack_iq4_nl(b: Array) -> Array:
    return scaled(LEVELS[planes(b["qs"], 4)].reshape(-1, 32), single(b["d"]))


def unpack_iq4_xs(b: Array) -> Array:
    high = b["scales_h"][:, None] >> np.arange(0, 16, 2, dtype=np.uint16) & np.uint16(3)
    six_bits = in_order(b["scales_l"], 4) | high.astype(np.uint8) << np.uint8(4)
    scale = scaled(six_bits.view(np.int8) - np.int8(32), single(b["d"]))
    q = planes(b["qs"].reshape(-1, 8, 16), 4).reshape(-1, 8, 32)
    return scaled(LEVELS[q], scale[..., None])


D = ("d", "<f2")

# fmt: off
FORMATS = (
    WeightFormat("iq1_s", 19, 256, struct(D, ("qs", "u1", 32), ("qh", "<u2", 8)),
                 unpack_iq1_s, error=0.58),
    WeightFormat("iq1_m", 29, 256, struct(("qs", "u1", 32), ("qh", "u1", 16), ("scales", "<u2", 4)),
                 unpack_iq1_m, error=0.50),
    WeightFormat("iq2_xxs", 16, 256, struct(D, ("qs", "<u2", 32)),
                 unpack_iq2_xxs, error=0.56),
    WeightFormat("iq2_xs", 17, 256, struct(D, ("qs", "<u2", 32), ("scales", "u1", 8)),
                 unpack_iq2_xs, error=0.49),
    WeightFormat("iq2_s", 22, 256,
                 struct(D, ("qs", "u1", 32), ("signs", "u1", 32), ("qh", "u1", 8),
                        ("scales", "u1", 8)),
                 unpack_iq2_s, error=0.45),
    WeightFormat("iq3_xxs", 18, 256, struct(D, ("qs", "u1", 64), ("words", "<u4", 8)),
                 unpack_iq3_xxs, error=0.26),
    WeightFormat("iq3_s", 21, 256,
                 struct(D, ("qs", "u1", 64), ("qh", "u1", 8), ("signs", "u1", 32),
                        ("scales", "u1", 4)),
                 unpack_iq3_s, error=0.21),
    WeightFormat("iq4_nl", 20, 32, struct(D, ("qs", "u1", 16)),
                 unpack_iq4_nl, activation="q8_0", error=0.11),
    WeightFormat("iq4_xs", 23, 256,
                 struct(D, ("scales_h", "<u2"), ("scales_l", "u1", 4), ("qs", "u1", 128)),
                 unpack_iq4_xs, error=0.11),
)
# fmt: on
