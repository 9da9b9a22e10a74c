"""Every weight format against ggml's own values, hand-built blocks and the `gguf` package."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as GgmlType

from vatra.quant import FORMATS, UnknownFormat, WeightFormat, by_id, by_name, table
from vatra.quant.registry import REFUSED

EVERY = list(FORMATS.values())
WRITTEN = [f for f in EVERY if f.can_encode]
ROOT = Path(__file__).resolve().parents[1]


def bits(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.float32).view(np.uint32)


def relative_error(wanted: np.ndarray, got: np.ndarray) -> float:
    square = np.square(wanted.astype(np.float64) - got).sum()
    return float(np.sqrt(square / np.square(wanted.astype(np.float64)).sum()))


# The table


def test_every_storable_type_has_a_row() -> None:
    names = (
        "f32 f16 bf16 q4_0 q4_1 q5_0 q5_1 q8_0 q2_k q3_k q4_k q5_k q6_k iq1_s iq1_m iq2_xxs iq2_xs "
        "iq2_s iq3_xxs iq3_s iq4_nl iq4_xs tq1_0 tq2_0 mxfp4 nvfp4 q1_0 q2_0"
    )
    assert " ".join(FORMATS) == names
    assert len({f.id for f in EVERY}) == len(EVERY)
    assert not {f.id for f in EVERY} & REFUSED.keys()


@pytest.mark.parametrize("member", GgmlType, ids=lambda m: m.name)
def test_rows_agree_with_the_gguf_package(member: GgmlType) -> None:
    if member.value in REFUSED:
        assert REFUSED[member.value][0] == member.name.lower()
        return
    row = by_id(member.value)
    assert (row.name, row.block, row.block_bytes) == (
        member.name.lower(),
        *gguf.GGML_QUANT_SIZES[member],
    )


def test_sizes_of_the_types_the_gguf_package_may_lack() -> None:
    assert [(f.id, f.block, f.block_bytes) for f in (by_name("Q1_0"), by_name("Q2_0"))] == [
        (41, 128, 18),
        (42, 64, 18),
    ]


@pytest.mark.parametrize("row", EVERY, ids=lambda f: f.name)
def test_derived_sizes(row: WeightFormat) -> None:
    assert by_name(row.name.upper()) is by_id(row.id) is row
    assert row.row_bytes(3 * row.block) == 3 * row.block_bytes
    assert row.row_weights(row.row_bytes(5 * row.block)) == 5 * row.block
    assert row.bits == row.block_bytes * 8 / row.block
    assert row.activation in {"f32", "f16", "bf16", "q8_0", "q8_1", "q8_k"}
    assert row.activation != "q8_k" or row.block == 256


def test_table_lists_every_row() -> None:
    assert ("q4_k", 12, 256, 144, 4.5, False) in table()
    assert ("q8_0", 8, 32, 34, 8.5, True) in table()
    assert [line.name for line in table()] == [*FORMATS]


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownFormat, match=r"'q9_z'; known: f32, f16, .*q2_0"):
        by_name("q9_z")
    assert issubclass(UnknownFormat, ValueError)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (4, r"Q4_2 \(ggml type 4\) was removed from ggml: .*again"),
        (5, r"Q4_3 \(ggml type 5\) was removed"),
        (31, r"Q4_0_4_4 .* use a plain q4_0 file"),
        (32, r"Q4_0_4_8 .* q4_0"),
        (33, r"Q4_0_8_8 .* q4_0"),
        (36, r"IQ4_NL_4_4 .* use a plain iq4_nl file"),
        (37, r"IQ4_NL_4_8 .* iq4_nl"),
        (38, r"IQ4_NL_8_8 .* iq4_nl"),
        (9, r"Q8_1 .* activations"),
        (15, r"Q8_K .* activations"),
        (24, r"I8 .* other data"),
        (28, r"F64 .* other data"),
        (43, r"ggml type 43 is not known \(the highest known is 42\)"),
        (-1, r"ggml type -1 is not known"),
        (4294967295, r"ggml type 4294967295 is not known"),
    ],
)
def test_refused_ids(number: int, words: str) -> None:
    with pytest.raises(UnknownFormat, match=words):
        by_id(number)


@pytest.mark.parametrize("number", REFUSED)
def test_refused_names(number: int) -> None:
    with pytest.raises(UnknownFormat) as by_number:
        by_id(number)
    with pytest.raises(UnknownFormat, match=rf"ggml type {number}\b") as by_word:
        by_name(REFUSED[number][0])
    assert str(by_number.value) == str(by_word.value)


def test_import_is_light() -> None:
    code = (
        "import sys, numpy as np, vatra.quant as q\n"
        "for f in q.FORMATS.values():\n"
        "    if not f.name.startswith(('iq1', 'iq2', 'iq3')):\n"
        "        f.decode(np.zeros((1, f.block_bytes), np.uint8))\n"
        "    if f.can_encode:\n"
        "        f.encode(np.zeros((1, f.block), np.float32))\n"
        "print(*{'gguf', 'numba', 'llvmlite', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not done.stdout.split()


# Values


def test_every_golden_file_has_a_row(shared: Path) -> None:
    files = {p.stem.lower() for p in (shared / "golden/quants").glob("*.npz")}
    assert files and files == FORMATS.keys() - {"f32", "f16", "bf16", "q2_0"}


@pytest.mark.parametrize(
    "row", [f for f in EVERY if f.name not in {"f32", "f16", "bf16", "q2_0"}], ids=lambda f: f.name
)
def test_ggml_values_to_the_bit(row: WeightFormat, shared: Path) -> None:
    golden = np.load(shared / "golden/quants" / f"{row.name.upper()}.npz")
    got = row.decode(golden["q"])
    assert got.shape == golden["y"].shape and got.dtype == np.float32
    assert np.array_equal(bits(got), bits(golden["y"]))
    assert relative_error(golden["x"], got) <= row.error
    if row.can_encode:
        assert np.array_equal(row.encode(golden["x"]), golden["q"])


# One block of each format, written by hand from the format's description: its fields, over zeros,
# as one value or {index: value} (... is every index); its weights as (where, value), later wins.
ALL = slice(None)
BLOCKS: dict[str, tuple[dict[str, Any], list[tuple[int | slice, float]]]] = {
    "f32": ({"x": 1.5}, [(0, 1.5)]),
    "f16": ({"x": -0.25}, [(0, -0.25)]),
    "bf16": ({"x": 0xC020}, [(0, -2.5)]),
    "q4_0": (
        {"d": 0.5, "qs": {...: 0x88, 0: 0x1F}},
        [(ALL, 0), (0, 3.5), (16, -3.5)],
    ),
    "q4_1": (
        {"d": 0.5, "m": -1, "qs": {0: 0x2F}},
        [(ALL, -1), (0, 6.5), (16, 0)],
    ),
    "q5_0": (
        {"d": 1, "qh": {0: 1, 2: 2}, "qs": {0: 0x21}},
        [(ALL, -16), (0, 1), (16, -14), (17, 0)],
    ),
    "q5_1": (
        {"d": 1, "m": 0.25, "qh": {0: 1, 2: 2}, "qs": {0: 0x21}},
        [(ALL, 0.25), (0, 17.25), (16, 2.25), (17, 16.25)],
    ),
    "q8_0": ({"d": 0.25, "qs": {5: -128, 31: 127}}, [(ALL, 0), (5, -32), (31, 31.75)]),
    "q2_k": (
        {
            "d": 1,
            "dmin": 0.5,
            "scales": {0: 0x32, 2: 0x01, 9: 0x01},
            "qs": {0: 0b11_10_01_11, 48: 0b01},
        },
        [(ALL, 0), (slice(16), -1.5), (0, 4.5), (32, 1), (144, 1)],
    ),
    "q3_k": (
        {
            "d": 0.5,
            "hmask": {...: 0xFF, 0: 0xFE},
            "scales": {0: 0x01, 5: 0x20, 8: 0x02, 9: 0x80},
            "qs": {1: 0b11, 51: 0b01_00_00},
        },
        [(ALL, 0), (0, -2), (1, 1.5), (211, 1)],
    ),
    "q4_k": (
        {
            "d": 1,
            "dmin": 0.5,
            "scales": {0: 3, 4: 2, 1: 0x40, 5: 0xC0, 9: 0x21},
            "qs": {0: 0x07, 68: 0x20},
        },
        [(ALL, 0), (slice(32), -1), (0, 20), (slice(160, 192), -25), (164, 9)],
    ),
    "q5_k": (
        {
            "d": 1,
            "dmin": 0.5,
            "scales": {0: 3, 4: 2, 1: 0x40, 5: 0xC0, 9: 0x21},
            "qh": {0: 1, 4: 1 << 5},
            "qs": {0: 0x07, 68: 0x20},
        },
        [(ALL, 0), (slice(32), -1), (0, 68), (slice(160, 192), -25), (164, 281)],
    ),
    "q6_k": (
        {
            "d": 0.5,
            "scales": {0: 2, 4: 1, 9: -3},
            "ql": {0: 0x35, 80: 0x07},
            "qh": {...: 0xAA},
        },
        [(ALL, 0), (0, 5), (64, 1.5), (144, -10.5)],
    ),
    "iq1_s": (
        {"d": 8, "qs": {0: 1}, "qh": {0: 0x9000}},
        [(ALL, -7), (slice(32), -27), (0, 21)],
    ),
    "iq1_m": (
        {"scales": {0: 1, 2: 0x8000, 3: 0x4000}, "qs": {0: 1}, "qh": {0: 0x08}},
        [(ALL, -7), (slice(16), -21), (slice(8), -27), (0, 21)],
    ),
    "iq2_xxs": (
        {"d": 8, "qs": {0: 0x0100, 2: 0x0001, 3: 0x1000}},
        [(ALL, 8), (slice(32), 24), (0, -24), (7, -24), (8, 129)],
    ),
    "iq2_xs": (
        {"d": 8, "qs": {0: 1 | 1 << 9}, "scales": {0: 0x10}},
        [(ALL, 8), (slice(16, 32), 24), (0, -43), (7, -8)],
    ),
    "iq2_s": (
        {"d": 8, "qs": {5: 1}, "signs": {0: 0x81}, "qh": {0: 1}, "scales": {0: 0x10}},
        [
            (ALL, 8),
            *enumerate((-25, 25, 25, 25, 25, 8, 25, -8)),
            (slice(16, 32), 24),
            (40, 43),
        ],
    ),
    "iq3_xxs": (
        {"d": 2, "qs": {0: 1}, "words": {0: 1 << 28 | 1}},
        [(ALL, 2), (slice(32), 6), (0, -30), (7, -6)],
    ),
    "iq3_s": (
        {"d": 1, "qs": {1: 1}, "qh": {0: 1}, "signs": {0: 1}, "scales": {0: 0x10}},
        [
            (ALL, 1),
            (slice(32, 64), 3),
            *enumerate((-7, 5, 9, 5)),
            (4, 3),
        ],
    ),
    "iq4_nl": (
        {"d": 0.5, "qs": {...: 0x88, 0: 0xF0}},
        [(ALL, 0.5), (0, -63.5), (16, 56.5)],
    ),
    "iq4_xs": (
        {"d": 0.5, "scales_h": 0xAAAA, "scales_l": {0: 0x31}, "qs": {...: 0x88, 0: 0xF0}},
        [(ALL, 0), (slice(32), 0.5), (slice(32, 64), 1.5), (0, -63.5), (16, 56.5)],
    ),
    "tq1_0": (
        {"d": 2, "qs": {...: 128, 0: 186, 33: 43}, "qh": {...: 127, 3: 212}},
        [(ALL, 0), (0, 2), (32, -2), (128, 2), (161, -2), (243, 2)],
    ),
    "tq2_0": (
        {"d": 2, "qs": {...: 0x55, 0: 0b01_10_00_01, 33: 0x56}},
        [(ALL, 0), (32, -2), (64, 2), (129, 2)],
    ),
    "mxfp4": ({"e": 128, "qs": {0: 0x97, 15: 0x80}}, [(ALL, 0), (0, 12), (16, -1)]),
    "nvfp4": (
        {"d": {0: 0x38, 1: 0x7F, 3: 0x01}, "qs": {0: 0xA7, 8: 0x11, 24: 0x01}},
        [(ALL, 0), (0, 6), (8, -1), (48, 2**-10)],
    ),
    "q1_0": (
        {"d": 0.5, "qs": {0: 0b101, 15: 0x80}},
        [(ALL, -0.5), (0, 0.5), (2, 0.5), (127, 0.5)],
    ),
    "q2_0": (
        {"d": 0.5, "qs": {0: 0b11_10_01_00, 15: 0xC0}},
        [(ALL, -0.5), (1, 0), (2, 0.5), (3, 1), (63, 1)],
    ),
}


@pytest.mark.parametrize("row", EVERY, ids=lambda f: f.name)
def test_hand_built_block(row: WeightFormat) -> None:
    fields, weights = BLOCKS[row.name]
    block = np.zeros(1, row.layout)
    for name, value in fields.items():
        for where, part in (value if isinstance(value, dict) else {...: value}).items():
            block[name][0, where] = part
    wanted = np.zeros(row.block, np.float32)
    for where, part in weights:
        wanted[where] = part
    got = row.decode(block.view(np.uint8)[None])[0]
    assert np.array_equal(got, wanted), [
        (i, got[i], wanted[i]) for i in (got != wanted).nonzero()[0]
    ]


# Encoding


def test_encoders_are_those_of_the_gguf_package() -> None:
    def writes(row: WeightFormat) -> bool:
        try:
            gguf.quantize(np.zeros((1, row.block), np.float32), GgmlType(row.id))
        except (NotImplementedError, ValueError):  # ValueError: the package lacks the type
            return False
        return True

    assert {f.name for f in WRITTEN} == {f.name for f in EVERY if writes(f)}
    assert len(WRITTEN) >= 11


@pytest.mark.parametrize("row", WRITTEN, ids=lambda f: f.name)
def test_encoding_error_is_within_its_bound(row: WeightFormat) -> None:
    weights = np.random.default_rng(7).standard_normal((16, 4096), np.float32)
    error = relative_error(weights, row.decode(row.encode(weights)))
    assert row.error / 2 <= error <= row.error  # and the bound says something


def test_error_bound_of_q2_0() -> None:
    row, weights = by_name("q2_0"), np.random.default_rng(7).standard_normal((256, 64), np.float32)
    block = np.zeros(256, row.layout)
    block["d"] = np.abs(weights).max(-1)
    codes = np.clip(np.round(weights / np.abs(weights).max(-1, keepdims=True)) + 1, 0, 3)
    fields = codes.astype(np.uint8).reshape(256, 16, 4) << np.array([0, 2, 4, 6], np.uint8)
    block["qs"] = np.bitwise_or.reduce(fields, -1)
    error = relative_error(weights, row.decode(block.view(np.uint8).reshape(256, 18)))
    assert row.error / 2 <= error <= row.error


# Refusals and resources


@pytest.mark.parametrize("row", EVERY, ids=lambda f: f.name)
def test_wrong_shapes_are_refused_with_their_sizes(row: WeightFormat) -> None:
    with pytest.raises(ValueError, match=rf"{row.name}: a row of {row.block_bytes + 1} bytes"):
        row.decode(np.zeros((2, row.block_bytes + 1), np.uint8))
    with pytest.raises(ValueError, match=r"wants uint8 .* got float32 \(1, 256\)"):
        row.decode(np.zeros((1, 256), np.float32))
    with pytest.raises(ValueError, match=r"wants uint8 .* got uint8 \(\)"):
        row.decode(np.uint8(3) + np.zeros((), np.uint8))
    if row.block > 1:
        with pytest.raises(ValueError, match=rf"a row of {row.block - 1} weights .*\({row.block} "):
            row.row_bytes(row.block - 1)
    if not row.can_encode:
        with pytest.raises(ValueError, match=f"{row.name} can be read but not written"):
            row.encode(np.zeros((1, row.block), np.float32))
        return
    with pytest.raises(ValueError, match=r"wants float32 .* got float64"):
        row.encode(np.zeros((1, row.block)))
    if row.block > 1:
        with pytest.raises(ValueError, match=rf"a row of {row.block + 1} weights"):
            row.encode(np.zeros((1, row.block + 1), np.float32))


@pytest.mark.parametrize("row", EVERY, ids=lambda f: f.name)
def test_empty_rows(row: WeightFormat) -> None:
    assert row.decode(np.empty((0, row.block_bytes), np.uint8)).shape == (0, row.block)
    assert row.decode(np.empty((3, 0), np.uint8)).shape == (3, 0)


@pytest.mark.parametrize("name", ["f16", "q4_0", "q6_k", "iq3_s", "mxfp4"])
def test_decoding_needs_little_more_memory_than_its_result(name: str) -> None:
    row = by_name(name)
    data = np.zeros((64, row.row_bytes(1 << 16)), np.uint8)
    row.decode(data[:1])
    tracemalloc.start()
    try:
        result = row.decode(data).nbytes
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert result == 64 * 4 << 16 and peak < result + (2 << 20)
