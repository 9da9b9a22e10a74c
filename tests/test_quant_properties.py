"""Random blocks and odd weights: against the `gguf` package and against slow scalar decoders.

The scalar decoders read one weight at a time with Python's integers, round with numpy's float32
and share nothing with `vatra.quant`.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from itertools import pairwise

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as GgmlType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vatra.quant import FORMATS, WeightFormat, by_name

EVERY = list(FORMATS.values())
WRITTEN = [f for f in EVERY if f.can_encode]
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
F32 = np.float32
Decoder = Callable[[bytes, int], np.float32]


def half(b: bytes, at: int) -> np.float32:
    return F32(struct.unpack_from("<e", b, at)[0])


def bit(b: bytes, at: int, i: int) -> int:
    return b[at + i // 8] >> i % 8 & 1


def q4_0(b: bytes, i: int) -> np.float32:
    return half(b, 0) * F32((b[2 + i % 16] >> i // 16 * 4 & 15) - 8)


def q4_1(b: bytes, i: int) -> np.float32:
    return half(b, 0) * F32(b[4 + i % 16] >> i // 16 * 4 & 15) + half(b, 2)


def q5_0(b: bytes, i: int) -> np.float32:
    return half(b, 0) * F32((b[6 + i % 16] >> i // 16 * 4 & 15) + 16 * bit(b, 2, i) - 16)


def q5_1(b: bytes, i: int) -> np.float32:
    return half(b, 0) * F32((b[8 + i % 16] >> i // 16 * 4 & 15) + 16 * bit(b, 4, i)) + half(b, 2)


def q2_k(b: bytes, i: int) -> np.float32:
    q = b[16 + i // 128 * 32 + i % 32] >> i % 128 // 32 * 2 & 3
    scale, low = b[i // 16] & 15, b[i // 16] >> 4
    return half(b, 80) * F32(scale) * F32(q) - half(b, 82) * F32(low)


def q3_k(b: bytes, i: int) -> np.float32:
    group = i // 16
    nibble = b[96 + group % 8] >> group // 8 * 4 & 15
    scale = nibble + 16 * (b[104 + group % 4] >> group // 4 * 2 & 3) - 32
    q = b[32 + i // 128 * 32 + i % 32] >> i % 128 // 32 * 2 & 3
    q -= 0 if b[i % 32] >> i // 32 & 1 else 4
    return half(b, 108) * F32(scale) * F32(q)


def scale_and_low(b: bytes, j: int) -> tuple[int, int]:
    if j < 4:
        return b[4 + j] & 63, b[8 + j] & 63
    return b[8 + j] & 15 | b[j] >> 6 << 4, b[8 + j] >> 4 | b[4 + j] >> 6 << 4


def q4_k(b: bytes, i: int) -> np.float32:
    scale, low = scale_and_low(b, i // 32)
    q = b[16 + i // 64 * 32 + i % 32] >> i % 64 // 32 * 4 & 15
    return half(b, 0) * F32(scale) * F32(q) - half(b, 2) * F32(low)


def q5_k(b: bytes, i: int) -> np.float32:
    scale, low = scale_and_low(b, i // 32)
    q = (b[48 + i // 64 * 32 + i % 32] >> i % 64 // 32 * 4 & 15) + 16 * (
        b[16 + i % 32] >> i // 32 & 1
    )
    return half(b, 0) * F32(scale) * F32(q) - half(b, 2) * F32(low)


def q6_k(b: bytes, i: int) -> np.float32:
    part, rest = divmod(i, 128)
    low = b[64 * part + rest % 64] >> rest // 64 * 4 & 15
    high = b[128 + 32 * part + rest % 32] >> rest // 32 * 2 & 3
    scale = struct.unpack_from("b", b, 192 + i // 16)[0]
    return half(b, 208) * F32(scale) * F32(low + 16 * high - 32)


NL = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)


def iq4_xs(b: bytes, i: int) -> np.float32:
    group, j = divmod(i, 32)
    low = b[4 + group // 2] >> group % 2 * 4 & 15
    high = struct.unpack_from("<H", b, 2)[0] >> 2 * group & 3
    return (
        half(b, 0)
        * F32(low + 16 * high - 32)
        * F32(NL[b[8 + 16 * group + j % 16] >> j // 16 * 4 & 15])
    )


def tq1_0(b: bytes, i: int) -> np.float32:
    if i < 160:
        byte, digit = b[i % 32], i // 32
    elif i < 240:
        byte, digit = b[32 + i % 16], (i - 160) // 16
    else:
        byte, digit = b[48 + i % 4], (i - 240) // 4
    return half(b, 52) * F32((byte * 3**digit % 256 * 3 // 256) - 1)


def tq2_0(b: bytes, i: int) -> np.float32:
    return half(b, 64) * F32((b[i // 128 * 32 + i % 32] >> i % 128 // 32 * 2 & 3) - 1)


FP4 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)


def fp4(code: int) -> float:
    return -FP4[code - 8] if code > 8 else FP4[code % 8]


def mxfp4(b: bytes, i: int) -> np.float32:
    return F32(2.0 ** (b[0] - 127) * fp4(b[1 + i % 16] >> i // 16 * 4 & 15))


def nvfp4(b: bytes, i: int) -> np.float32:
    group, j = divmod(i, 16)
    exponent, mantissa = b[group] >> 3 & 15, b[group] & 7
    scale = (1 + mantissa / 8) * 2.0 ** (exponent - 7) if exponent else mantissa * 2.0**-9
    return F32((0 if b[group] == 127 else scale) * fp4(b[4 + 8 * group + j % 8] >> j // 8 * 4 & 15))


def q1_0(b: bytes, i: int) -> np.float32:
    return half(b, 0) if bit(b, 2, i) else -half(b, 0)


def q2_0(b: bytes, i: int) -> np.float32:
    return half(b, 0) * F32(2 * bit(b, 2, 2 * i + 1) + bit(b, 2, 2 * i) - 1)


SCALAR: dict[str, Decoder] = {
    f.__name__: f
    for f in (
        q4_0, q4_1, q5_0, q5_1, q2_k, q3_k, q4_k, q5_k, q6_k, iq4_xs,
        tq1_0, tq2_0, mxfp4, nvfp4, q1_0, q2_0,
    )
}  # fmt: skip


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal to the bit, but any NaN equals any other."""
    a, b = (np.ascontiguousarray(x, np.float32) for x in (a, b))
    return a.shape == b.shape and bool(
        np.all((a.view(np.uint32) == b.view(np.uint32)) | (np.isnan(a) & np.isnan(b)))
    )


def random_rows(row: WeightFormat, seed: int, rows: int, blocks: int) -> np.ndarray:
    data = np.random.default_rng(seed).integers(0, 256, (rows, blocks * row.block_bytes))
    return data.astype(np.uint8)


@pytest.mark.parametrize("name", SCALAR)
@pytest.mark.parametrize("seed", range(3))
def test_scalar_decoder_agrees(name: str, seed: int) -> None:
    row = by_name(name)
    data = random_rows(row, seed, 1, 3)
    with np.errstate(all="ignore"):
        wanted = [
            SCALAR[name](data[0, a:z].tobytes(), i)
            for a, z in pairwise(range(0, data.size + 1, row.block_bytes))
            for i in range(row.block)
        ]
    assert same(row.decode(data)[0], np.array(wanted, np.float32))


@pytest.mark.parametrize(
    "row", [f for f in EVERY if f.name not in {"q1_0", "q2_0"}], ids=lambda f: f.name
)
@pytest.mark.parametrize("seed", range(2))
def test_random_bytes_decode_as_in_the_gguf_package(row: WeightFormat, seed: int) -> None:
    data = random_rows(row, seed, 5, 1024 // min(row.block, 1024))
    with np.errstate(all="ignore"):
        wanted = gguf.dequantize(data, GgmlType(row.id))
    assert same(row.decode(data), wanted)


@pytest.mark.parametrize("row", EVERY, ids=lambda f: f.name)
def test_non_finite_scales_propagate_in_silence(row: WeightFormat) -> None:
    """Each 16-bit float of a block infinite, NaN or huge: no warning, and never a wrong shape."""
    halves = [n for n in row.layout.names or () if row.layout[n] == np.dtype("<f2")]
    for name in halves:
        for value in (np.inf, -np.inf, np.nan, 65504, 6e-8):
            block = random_rows(row, 1, 1, 1)
            block.view(row.layout)[name] = value
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                got = row.decode(block)
            if name == "d" and not np.isfinite(value):
                assert not np.isfinite(got).any()


@pytest.mark.parametrize("row", EVERY, ids=lambda f: f.name)
def test_rows_are_independent_of_layout_and_of_each_other(row: WeightFormat) -> None:
    blocks = max(1, 40000 // row.block)  # more than one piece, and no whole number of them
    data = random_rows(row, 3, 4, blocks)
    whole = row.decode(data)
    assert whole.shape == (4, blocks * row.block) and whole.flags.c_contiguous
    for i in range(4):
        assert same(row.decode(data[i]), whole[i])
    wide = np.zeros((8, data.shape[1] + 3), np.uint8)
    wide[::2, 1:-2] = data
    wide.flags.writeable = False
    assert same(row.decode(wide[::2, 1:-2]), whole)
    assert same(row.decode(data.reshape(2, 2, -1)), whole.reshape(2, 2, -1))
    last = row.block_bytes
    assert same(row.decode(data[:, -last:]), whole[:, -row.block :])


SPECIAL = [0.0, -0.0, 1e-45, -1e-40, 1.2e-38, 6e-8, 65504.0, 65536.0, -1e30, 3.4e38, -3.4e38]
SCALES = st.sampled_from([0.0, 1e-44, 1e-39, 1e-20, 1e-7, 1e-3, 1.0, 300.0, 1e6, 1e30, 3e38])


def ggml_bytes(weights: np.ndarray, row: WeightFormat) -> np.ndarray:
    with np.errstate(all="ignore"):
        out = gguf.quantize(weights, GgmlType(row.id))
    return np.ascontiguousarray(out).view(np.uint8).reshape(len(weights), -1)


@pytest.mark.parametrize("row", WRITTEN, ids=lambda f: f.name)
@given(seed=st.integers(0, 2**32 - 1), scale=SCALES, sign=st.sampled_from([-1, 0, 1]))
@QUICK
def test_encoded_bytes_are_those_of_the_gguf_package(
    row: WeightFormat, seed: int, scale: float, sign: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = np.clip(rng.standard_normal((3, 512)), -1, 1)
    weights = (sign * np.abs(weights) if sign else weights) * scale
    weights = weights.astype(np.float32)
    weights[1, rng.integers(0, 512, 40)] = rng.choice(SPECIAL, 40)
    with np.errstate(over="ignore"):  # many ties, and infinities
        weights[2] = np.round(weights[2] / np.float32(scale or 1) * 4) * np.float32(scale)
    assert np.array_equal(row.encode(weights), ggml_bytes(weights, row))


@pytest.mark.parametrize("row", WRITTEN, ids=lambda f: f.name)
@pytest.mark.parametrize("value", [*SPECIAL, 1.0, -1.0, 0.1])
def test_constant_rows_encode_as_in_the_gguf_package(row: WeightFormat, value: float) -> None:
    weights = np.full((2, 256), value, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = row.encode(weights)
    assert np.array_equal(got, ggml_bytes(weights, row))
    if value == 0:
        assert not row.decode(got).any()


@pytest.mark.parametrize("row", WRITTEN, ids=lambda f: f.name)
def test_encoding_takes_any_layout(row: WeightFormat) -> None:
    weights = np.random.default_rng(5).standard_normal((4, 40960), np.float32)
    whole = row.encode(weights)
    assert whole.shape == (4, row.row_bytes(40960)) and whole.dtype == np.uint8
    assert np.array_equal(row.encode(weights[1]), whole[1])
    assert np.array_equal(row.encode(np.asfortranarray(weights)), whole)
    assert np.array_equal(row.encode(weights[::2]), whole[::2])


@pytest.mark.parametrize("name", ["f32", "f16", "bf16"])
@given(words=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=16))
@QUICK
def test_any_float_survives_as_the_gguf_package_has_it(name: str, words: list[int]) -> None:
    weights = np.array([words], np.uint32).view(np.float32)
    row = by_name(name)
    with np.errstate(all="ignore"):
        wanted = gguf.dequantize(gguf.quantize(weights, GgmlType(row.id)), GgmlType(row.id))
    assert same(row.decode(row.encode(weights)), wanted.reshape(weights.shape))
    assert name != "f32" or same(wanted, weights)


@pytest.mark.parametrize("name", ["f16", "bf16", "q8_0", "tq2_0"])
def test_encoding_twice_changes_nothing(name: str) -> None:
    row, weights = by_name(name), np.random.default_rng(9).standard_normal((4, 1024), np.float32)
    once = row.decode(row.encode(weights))
    assert np.allclose(row.decode(row.encode(once)), once, rtol=1e-3, atol=0)
