"""Every verb against plain numpy on values at the edges, at every instruction set there is here.

The tests run once in this process, for its own processor, and once more in a child for each
narrower instruction set, with `VATRA_ISA` set.
"""

from __future__ import annotations

import ctypes
import faulthandler
import itertools
import mmap
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import int32, njit
from numba.core import config

from vatra.engine import simd
from vatra.engine.cpu_features import LEVELS, processor
from vatra.engine.simd import (
    abs_f32s,
    add,
    add_i8s,
    add_i32s,
    and_i8s,
    and_i32s,
    as_f32,
    as_f32s,
    as_i8s,
    as_i32s,
    bf16_lanes,
    bf16_pairs,
    bit_fields,
    call_void,
    configure_tiles,
    cycles,
    div,
    dot4,
    dot_tile,
    exp,
    exp2,
    fetch_add,
    fill_tile,
    first_of,
    first_trits,
    fma,
    gather,
    gather_pairs,
    halves_to_f32s,
    highest,
    in_order,
    keep_below,
    lanes,
    load_acquire,
    load_bf16s,
    load_f16s,
    load_f32,
    load_f32s,
    load_grid,
    load_i8,
    load_i8s,
    load_i8s_as_f32s,
    load_i16,
    load_i32,
    load_i32s,
    load_i64,
    load_quads,
    load_some_bf16s,
    load_some_f16s,
    load_some_f32s,
    load_tile,
    load_tile_some,
    load_u8s,
    load_u16s,
    log,
    lookup,
    max_f32s,
    max_i32s,
    mul,
    multiply_tiles,
    neg,
    or_i8s,
    or_i32s,
    outer_tile,
    prefetch,
    reflect,
    relax,
    release_tiles,
    sar_i32s,
    shl_i32s,
    shr_i8s,
    shr_i32s,
    spill_tile,
    splat_f32,
    splat_i8,
    splat_i32,
    splat_tile,
    store_bf16_pairs,
    store_f16,
    store_f16s,
    store_f32,
    store_f32s,
    store_grid,
    store_i8,
    store_i16,
    store_i32,
    store_i32s,
    store_i32s_as_i8,
    store_i64,
    store_quads,
    store_release,
    store_rows,
    store_rows_at,
    store_some_f32s,
    store_sums,
    store_turned,
    sub,
    sum_f32s,
    sum_i32s,
    table,
    to_f32s,
    to_i32s,
    truncated,
    upper_bf16s,
    usual_nan,
    where_less,
    xor_i8s,
    xor_i32s,
    zero_tile,
    zeros,
)

Array = np.ndarray
GUARD = 0xA5  # bytes around what a verb may write

# what Numba compiles here must know as much as kernels do, and no more
config.CPU_NAME, config.CPU_FEATURES = processor().name, processor().flags


def compiled(function: Callable[..., None], nogil: bool = False) -> Callable[..., None]:
    """`function` of addresses and counts, compiled by Numba as kernels are."""
    n = function.__code__.co_argcount
    return njit(f"void({', '.join(['intp'] * n)})", nogil=nogil, error_model="numpy")(function)


def at(array: Array) -> int:
    assert array.flags.c_contiguous
    return int(array.ctypes.data)


def same(found: Array, wanted: Array) -> None:
    """Equal bits, but a NaN equals every NaN."""
    assert found.dtype == wanted.dtype and found.shape == wanted.shape
    if found.dtype.kind == "f":
        nan = np.isnan(wanted)
        np.testing.assert_array_equal(np.isnan(found), nan)
        bits = np.uint16 if found.dtype == np.float16 else np.uint32
        found, wanted = found[~nan].view(bits), wanted[~nan].view(bits)
    np.testing.assert_array_equal(found, wanted)


TINY, SMALLEST, LARGEST = 1e-45, 1.1754944e-38, 3.4028235e38
EDGES = np.array(
    [0.0, TINY, 1e-40, SMALLEST, 1e-7, 0.5, 1.0, 1.5, 127.0, 65504.0, 65520.0, 2.0**31, LARGEST]
    + [np.inf, np.nan, 1 / 3],
    np.float32,
)
EDGES = np.concatenate([EDGES, -EDGES])


def pairs() -> tuple[Array, Array]:
    """Every edge with every edge, and ordinary numbers; a multiple of 16 of them."""
    rng = np.random.default_rng(0)
    x, y = (a.reshape(-1) for a in np.meshgrid(EDGES, EDGES))
    more = rng.standard_normal((2, 4096), np.float32) * np.float32(10) ** rng.integers(-9, 9, 4096)
    x, y = np.concatenate([x, more[0]]), np.concatenate([y, more[1]])
    assert len(x) % 16 == 0
    return x.astype(np.float32), y.astype(np.float32)


@pytest.fixture(autouse=True)
def quiet() -> Any:
    with np.errstate(all="ignore"):
        yield


# ---- the instruction sets -----------------------------------------------------------------------


@cache
def other_levels() -> list[str]:
    """The instruction sets that this processor has beside the one this process uses."""
    levels = LEVELS.get(platform.machine().lower(), {})
    narrower = [level for level, needs in levels.items() if needs <= processor().features]
    return [level for level in narrower if level != processor().level]


@pytest.mark.parametrize("level", other_levels())
def test_other_instruction_set(level: str) -> None:
    if "VATRA_ISA" in os.environ:
        pytest.skip("the instruction set is already forced")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__],
        cwd=Path(__file__).resolve().parents[1],
        env=os.environ | {"VATRA_ISA": level},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_this_instruction_set() -> None:
    forced = os.environ.get("VATRA_ISA")
    assert processor().level == (forced or processor().level)
    if forced == "generic":
        assert not processor().features
    if forced == "avx2":
        assert "avx512f" not in processor().features


# ---- arithmetic ---------------------------------------------------------------------------------


def test_arithmetic() -> None:
    def kernel(x: int, y: int, out: int, n: int) -> None:
        for i in range(0, 4 * n, 64):
            a, b = load_f32s(x + i), load_f32s(y + i)
            store_f32s(out + i, add(a, b))
            store_f32s(out + 4 * n + i, sub(a, b))
            store_f32s(out + 8 * n + i, mul(a, b))
            store_f32s(out + 12 * n + i, div(a, b))
            store_f32s(out + 16 * n + i, max_f32s(a, b))
            store_f32s(out + 20 * n + i, neg(a))
            store_f32s(out + 24 * n + i, abs_f32s(a))

    x, y = pairs()
    out = np.zeros((7, len(x)), np.float32)
    compiled(kernel)(at(x), at(y), at(out), len(x))
    wanted = (x + y, x - y, x * y, x / y, np.where(x > y, x, y), -x, np.abs(x))
    for found, values in zip(out, wanted, strict=True):
        same(found, values)


def test_fma_rounds_once_where_the_processor_can() -> None:
    def kernel(x: int, y: int, z: int, out: int, n: int) -> None:
        for i in range(0, 4 * n, 64):
            store_f32s(out + i, fma(load_f32s(x + i), load_f32s(y + i), load_f32s(z + i)))

    x, y = pairs()
    near = np.float32(1) + np.float32(2**-12)
    x, y = np.append(x, [near] * 16), np.append(y, [near] * 16)
    z = np.roll(x, 5)
    z[-16:] = -1
    out = np.zeros_like(x)
    compiled(kernel)(at(x), at(y), at(z), at(out), len(x))
    once = (x.astype(np.float64) * y + z).astype(np.float32)
    twice = x * y + z
    assert once[-1] != twice[-1]
    same(out, once if processor().has("fma") or processor().has("neon") else twice)


def test_exp() -> None:
    def kernel(x: int, out: int, n: int) -> None:
        for i in range(0, 4 * n, 64):
            store_f32s(out + i, exp(load_f32s(x + i)))

    run = compiled(kernel)
    low, high = np.float32(-87.33654), np.float32(88.72283)
    rng = np.random.default_rng(1)
    everywhere = np.linspace(low, high, 1 << 20, dtype=np.float32)
    around_0 = rng.standard_normal(1 << 16, np.float32) * 2.0 ** rng.integers(-60, 4, 1 << 16)
    x = np.concatenate([everywhere, around_0.astype(np.float32)])
    x[:2] = low, high
    out = np.zeros_like(x)
    run(at(x), at(out), len(x))
    wanted = np.exp(x.astype(np.float64))
    assert (np.abs(out - wanted) / np.spacing(wanted.astype(np.float32))).max() <= 1.1
    # what attention and softmax rest on: never above 1 below 0, and exactly 1 at 0
    assert (out[x <= 0] <= 1).all()

    ends = [0.0, -0.0, np.inf, -np.inf, np.nan, LARGEST, -LARGEST, TINY, -TINY, 1e-30, -1e-30]
    ends += [np.nextafter(low, np.float32(-100)), np.nextafter(high, np.float32(100)), 2e9, -2e9, 1]
    x = np.array(ends, np.float32)
    out = np.zeros_like(x)
    run(at(x), at(out), len(x))
    one, inf = 1.0, np.inf
    limits = [one, one, inf, 0, np.nan, inf, 0, one, one, one, one, 0, inf, inf, 0, out[-1]]
    same(out, np.array(limits, np.float32))
    assert abs(out[-1] - np.e) < 3e-7


def test_exp2() -> None:
    def kernel(x: int, out: int, n: int) -> None:
        for i in range(0, 4 * n, 64):
            store_f32s(out + i, exp2(load_f32s(x + i)))

    run = compiled(kernel)
    x = np.linspace(-126, 10, 1 << 20, dtype=np.float32)
    whole = np.arange(-126, 10, dtype=np.float32)
    x[: 3 * len(whole)] = np.concatenate([whole, whole - np.spacing(whole), whole + 1e-7])
    out = np.zeros_like(x)
    run(at(x), at(out), len(x))
    wanted = np.exp2(x.astype(np.float64))
    assert (np.abs(out - wanted) / np.spacing(wanted.astype(np.float32))).max() <= 3
    assert (out[x <= 0] <= 1 + 2.0**-22).all()
    same(out[: len(whole)].copy(), np.exp2(whole))

    x = np.resize(np.array([-np.inf, -126.5, -140, 0, -0.0, np.nan], np.float32), 16)
    out = np.zeros_like(x)
    run(at(x), at(out), len(x))
    same(out, np.resize(np.array([0, 0, 0, 1, 1, np.nan], np.float32), 16))


def test_log() -> None:
    def kernel(x: int, out: int, n: int) -> None:
        for i in range(0, 4 * n, 64):
            store_f32s(out + i, log(load_f32s(x + i)))

    run = compiled(kernel)
    x = np.exp(np.linspace(-87, 88, 1 << 20)).astype(np.float32)
    x[: 1 << 10] = np.linspace(0.99, 1.01, 1 << 10)
    x[:16] = 1
    out = np.zeros_like(x)
    run(at(x), at(out), len(x))
    wanted = np.log(x.astype(np.float64))
    assert (np.abs(out - wanted) <= 2 * np.spacing(np.abs(wanted).astype(np.float32)) + 1e-9).all()
    assert not out[:16].any()


def test_choice_by_order_and_numbers_of_lanes() -> None:
    def kernel(x: int, y: int, out: int) -> None:
        a, b = load_f32s(x), load_f32s(y)
        store_f32s(out, where_less(a, b, splat_f32(1.0), splat_f32(2.0)))
        store_f32s(out + 64, to_f32s(lanes()))

    x = np.resize(np.array([1, 2, 3, np.nan, -np.inf], np.float32), 16)
    y = np.resize(np.array([2, 2, np.nan, 1, 0, 7, 0], np.float32), 16)
    out = np.zeros(32, np.float32)
    compiled(kernel)(at(x), at(y), at(out))
    same(out[:16].copy(), np.where(x < y, np.float32(1), np.float32(2)))
    same(out[16:].copy(), np.arange(16, dtype=np.float32))


# ---- halves -------------------------------------------------------------------------------------


def test_every_half_loads_exactly() -> None:
    def kernel(x: int, halves: int, upper: int, n: int) -> None:
        for i in range(0, n, 16):
            store_f32s(halves + 4 * i, load_f16s(x + 2 * i))
            store_f32s(upper + 4 * i, load_bf16s(x + 2 * i))

    def in_lanes(x: int, out: int, n: int) -> None:
        for i in range(0, 4 * n, 64):
            store_f32s(out + i, halves_to_f32s(load_i32s(x + i)))

    x = np.arange(1 << 16, dtype=np.uint16)
    halves, upper = np.zeros((2, len(x)), np.float32)
    compiled(kernel)(at(x), at(halves), at(upper), len(x))
    same(halves, x.view(np.float16).astype(np.float32))
    wide, lanes = x.astype(np.int32) - 0x12340000, np.zeros(len(x), np.float32)
    compiled(in_lanes)(at(wide), at(lanes), len(x))
    same(lanes, halves)
    same(upper, (x.astype(np.uint32) << 16).view(np.float32))


def test_halves_round_to_nearest_even() -> None:
    def kernel(x: int, out: int, n: int) -> None:
        for i in range(0, n, 16):
            store_f16s(out + 2 * i, load_f32s(x + 4 * i))

    def one_by_one(x: int, out: int, n: int) -> None:
        for i in range(n):
            store_f16(out + 2 * i, load_f32(x + 4 * i))

    finite = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    middles = np.append((finite[:-1] + finite[1:]) / 2, np.float32(65520))  # exact
    ties = [middles, np.nextafter(middles, np.float32(0)), np.nextafter(middles, np.float32(1e9))]
    rng = np.random.default_rng(2)
    any_bits = rng.integers(0, 1 << 32, 1 << 21, dtype=np.uint32).view(np.float32)
    usual = rng.standard_normal(1 << 20, np.float32)
    x = np.concatenate([finite, *ties, EDGES, any_bits, usual, np.zeros(15, np.float32)])
    x = np.concatenate([x, -x])
    x = x[: len(x) // 16 * 16]
    out = np.zeros(len(x), np.float16)
    compiled(kernel)(at(x), at(out), len(x))
    same(out, x.astype(np.float16))
    some = np.ascontiguousarray(x[:200_000])
    out = np.zeros(len(some) + 1, np.float16)
    out[-1] = 7
    compiled(one_by_one)(at(some), at(out), len(some))
    same(out[:-1], some.astype(np.float16))
    assert out[-1] == 7


# ---- integers -----------------------------------------------------------------------------------


def test_rounding_to_integers() -> None:
    def kernel(x: int, out: int, back: int, low: int, n: int) -> None:
        for i in range(0, n, 16):
            whole = to_i32s(load_f32s(x + 4 * i))
            store_i32s(out + 4 * i, whole)
            store_f32s(back + 4 * i, to_f32s(whole))
            store_i32s_as_i8(low + i, whole)

    x = np.concatenate([np.arange(-256, 256) / 2, [0.49999997, -0.49999997, 2**30, -(2**31)]])
    x = np.concatenate([x, np.random.default_rng(3).uniform(-128, 127, 4092)]).astype(np.float32)
    out, back, low = np.zeros(len(x), np.int32), np.zeros_like(x), np.zeros(len(x), np.int8)
    compiled(kernel)(at(x), at(out), at(back), at(low), len(x))
    same(out, np.rint(x).astype(np.int32))
    same(back, out.astype(np.float32))
    same(low, out.astype(np.int8))


def test_floats_as_bytes_and_back() -> None:
    def kernel(x: int, out: int, back: int, n: int) -> None:
        for i in range(0, n, 16):
            store_i32s_as_i8(out + i, to_i32s(load_f32s(x + 4 * i)))
            store_f32s(back + 4 * i, load_i8s_as_f32s(out + i))

    x = np.concatenate([np.arange(-256, 255) / 2, np.random.default_rng(3).uniform(-128, 127, 513)])
    x = x.astype(np.float32)
    out, back = np.zeros(len(x) + 1, np.int8), np.zeros_like(x)
    out[-1] = 7
    compiled(kernel)(at(x), at(out), at(back), len(x))
    same(out[:-1], np.rint(x).astype(np.int8))
    same(back, out[:-1].astype(np.float32))
    assert out[-1] == 7


def test_bytes_four_by_four() -> None:
    def kernel(x: int, out: int) -> None:
        store_quads(out, truncated(load_f32s(x)))

    x, out = np.arange(16, dtype=np.float32) * 7 - 20.75, np.full((4, 64), 5, np.int8)
    compiled(kernel)(at(x), at(out))
    same(out[:, :4], np.trunc(x).astype(np.int8).reshape(4, 4))
    assert (out[:, 4:].reshape(-1)[:-60] == 5).all()


def test_integers_to_floats_round_to_nearest() -> None:
    def kernel(x: int, out: int, n: int) -> None:
        for i in range(0, 4 * n, 64):
            store_f32s(out + i, to_f32s(load_i32s(x + i)))

    some = np.random.default_rng(4).integers(-(2**31), 2**31, 4090)
    edges = [0, -1, 2**31 - 1, -(2**31), 2**24 + 1, 2**24 + 3]
    x = np.concatenate([some, edges]).astype(np.int32)
    out = np.zeros(len(x), np.float32)
    compiled(kernel)(at(x), at(out), len(x))
    same(out, x.astype(np.float32))


def test_bits() -> None:
    def kernel(x: int, y: int, count: int, out: int, n: int) -> None:
        for i in range(0, 4 * n, 64):
            a, b = load_i32s(x + i), load_i32s(y + i)
            p, q = load_i8s(x + i), load_i8s(y + i)
            store_i32s(out + i, add_i32s(a, b))
            store_i32s(out + 4 * n + i, and_i32s(a, b))
            store_i32s(out + 8 * n + i, or_i32s(a, b))
            store_i32s(out + 12 * n + i, shr_i32s(a, count))
            store_i32s(out + 16 * n + i, sar_i32s(a, count))
            store_i32s(out + 20 * n + i, shl_i32s(a, count))
            store_i32s(out + 24 * n + i, as_i32s(and_i8s(p, q)))
            store_i32s(out + 28 * n + i, as_i32s(or_i8s(as_i8s(a), q)))
            store_i32s(out + 32 * n + i, as_i32s(xor_i8s(p, splat_i8(count - 128))))
            store_f32s(out + 36 * n + i, as_f32s(a))
            store_i32s(out + 40 * n + i, xor_i32s(a, b))
            store_i32s(out + 44 * n + i, max_i32s(a, b))
            store_i32s(out + 48 * n + i, as_i32s(add_i8s(p, q)))

    run = compiled(kernel)
    rng = np.random.default_rng(5)
    x, y = rng.integers(-(2**31), 2**31, (2, 1024)).astype(np.int32)
    for count in (0, 1, 4, 8, 24, 31):
        out = np.zeros((13, 1024), np.int32)
        run(at(x), at(y), count, at(out), 1024)
        flipped = (x.view(np.uint8) ^ np.uint8((count - 128) & 255)).view(np.int32)
        logical = (x.view(np.uint32) >> np.uint32(count)).view(np.int32)
        wanted = (
            x + y,
            x & y,
            x | y,
            logical,
            x >> count,
            x << count,
            x & y,
            x | y,
            flipped,
            x,
            x ^ y,
            np.maximum(x, y),
            (x.view(np.uint8) + y.view(np.uint8)).view(np.int32),
        )
        for found, values in zip(out, wanted, strict=True):
            same(found, values)


def test_bytes_shifted_right() -> None:
    def kernel(x: int, count: int, out: int, n: int) -> None:
        for i in range(0, n, 64):
            store_i32s(out + i, as_i32s(shr_i8s(load_i8s(x + i), count)))

    run, x = compiled(kernel), np.arange(256, dtype=np.uint8)
    for count in range(8):
        out = np.zeros(256, np.uint8)
        run(at(x), count, at(out), 256)
        same(out & (255 >> count), x >> count)


def test_bytes_become_entries_of_a_table() -> None:
    values = (255, 0, 1, 127, 128, 129, 2, 3, 254, 64, 65, 66, 200, 201, 202, 203)

    def kernel(x: int, out: int) -> None:
        store_grid(out, 64, as_f32s(as_i32s(lookup(values, load_quads(x, 2)))), 1)

    run = compiled(kernel)
    every = np.concatenate([np.arange(16).repeat(4), np.tile(np.arange(16), 4)])
    for codes in (every, every[::-1], *np.random.default_rng(14).integers(0, 16, (20, 128))):
        x, out = codes.astype(np.uint8), np.zeros(128, np.uint8)
        run(at(x), at(out))
        same(out, np.array(values, np.uint8)[x])


def test_fields_of_bits_become_bytes() -> None:
    def kernel(x: int, one: int, one_up: int, two: int, two_up: int) -> None:
        words = load_i32s(x)
        store_grid(one, 64, as_f32s(as_i32s(bit_fields(words, 1, 0))), 1)
        store_grid(one_up, 64, as_f32s(as_i32s(bit_fields(words, 1, 7))), 1)
        store_grid(two, 64, as_f32s(as_i32s(bit_fields(words, 2, 0))), 1)
        store_grid(two_up, 64, as_f32s(as_i32s(bit_fields(words, 2, 3))), 1)

    run = compiled(kernel)
    single = np.left_shift(np.uint32(1), np.arange(32, dtype=np.uint32))
    rng = np.random.default_rng(15)
    cases = [single[:16], single[16:], ~single[:16], ~single[16:], single[::2] | single[1::2]]
    cases += list(rng.integers(0, 1 << 32, (50, 16), dtype=np.uint32))
    for x in cases:
        found = [np.zeros((n, 16, 4), np.uint8) for n in (8, 8, 4, 4)]
        run(at(np.ascontiguousarray(x)), *map(at, found))
        for out, bits, up in zip(found, (1, 1, 2, 2), (0, 7, 0, 3), strict=True):
            fields = x[:, None] >> np.arange(0, 32, bits, dtype=np.uint32) & ((1 << bits) - 1)
            wanted = (fields << up).astype(np.uint8).reshape(16, -1, 4).swapaxes(0, 1)
            same(out, np.ascontiguousarray(wanted))


def test_digits_in_base_3() -> None:
    def kernel(x: int, out: int) -> None:
        for i in range(0, 256, 64):
            store_i32s(out + i, as_i32s(first_trits(load_i8s(x + i))))

    x, out = np.arange(256, dtype=np.uint8), np.zeros(256, np.uint8)
    compiled(kernel)(at(x), at(out))
    same(out, (np.arange(256) * 3 // 256).astype(np.uint8))


def test_small_words_widen_with_zeros() -> None:
    def kernel(x: int, bytes_: int, words: int) -> None:
        store_i32s(bytes_, load_u8s(x))
        store_i32s(words, load_u16s(x))

    run = compiled(kernel)
    for k, start in enumerate(range(0, 1 << 16, 16)):
        x = np.arange(start, start + 16, dtype=np.uint16) ^ (k * 7919 & 0xFFFF)
        low, whole = np.zeros((2, 16), np.int32)
        run(at(x), at(low), at(whole))
        same(low, x.view(np.uint8)[:16].astype(np.int32))
        same(whole, x.astype(np.int32))


def test_dot4_is_exact_at_the_extremes() -> None:
    def kernel(sums: int, unsigned: int, signed: int, out: int, n: int) -> None:
        for i in range(0, 4 * n, 64):
            total = dot4(load_i32s(sums + i), load_i8s(unsigned + i), load_i8s(signed + i))
            store_i32s(out + i, total)

    rng = np.random.default_rng(6)
    n = 4096
    unsigned = rng.choice([0, 1, 127, 128, 129, 254, 255], 4 * n)
    signed = rng.choice([-128, -127, -1, 0, 1, 126, 127], 4 * n)
    unsigned[: 4 * 1024], signed[: 4 * 1024] = 255, np.repeat([-128, 127], 2 * 1024)
    unsigned[-4 * 1024 :] = rng.integers(0, 256, 4 * 1024)
    signed[-4 * 1024 :] = rng.integers(-128, 128, 4 * 1024)
    sums = rng.integers(-(2**30), 2**30, n).astype(np.int32)
    u, s, out = unsigned.astype(np.uint8), signed.astype(np.int8), np.zeros(n, np.int32)
    compiled(kernel)(at(sums), at(u), at(s), at(out), n)
    same(out, (sums + (unsigned * signed).reshape(n, 4).sum(1)).astype(np.int32))


# ---- lanes --------------------------------------------------------------------------------------


def halving(v: Array, combine: Callable[[Array, Array], Array]) -> Array:
    """v (n, 16) folded in halves: (n,)."""
    while v.shape[1] > 1:
        half = v.shape[1] // 2
        v = combine(v[:, :half], v[:, half:])
    return np.ascontiguousarray(v[:, 0])


def test_sums_run_in_one_order_everywhere() -> None:
    def kernel(x: int, i32: int, sums: int, whole: int, peaks: int, firsts: int, n: int) -> None:
        for i in range(n):
            v = load_f32s(x + 64 * i)
            store_f32(sums + 4 * i, sum_f32s(v))
            store_i32(whole + 4 * i, sum_i32s(load_i32s(i32 + 64 * i)))
            store_f32(peaks + 4 * i, highest(v))
            store_f32(firsts + 4 * i, first_of(v))

    rng = np.random.default_rng(7)
    n = 2000
    x = (rng.standard_normal((n, 16)) * 10.0 ** rng.integers(-6, 6, (n, 16))).astype(np.float32)
    x[0, 3], x[1, 15], x[2, 8], x[3], x[4] = np.inf, -np.inf, np.nan, -np.inf, -0.0
    i32 = rng.integers(-(2**31), 2**31, (n, 16)).astype(np.int32)
    sums, peaks, firsts = np.zeros((3, n), np.float32)
    whole = np.zeros(n, np.int32)
    compiled(kernel)(at(x), at(i32), at(sums), at(whole), at(peaks), at(firsts), n)
    same(sums, halving(x, np.add))
    same(whole, i32.sum(1, dtype=np.int32))
    same(peaks, halving(x, lambda a, b: np.where(a > b, a, b)))
    same(firsts, np.ascontiguousarray(x[:, 0]))


def test_splats_and_masks() -> None:
    def kernel(x: int, number: int, word: int, below: int, out: int) -> None:
        v = splat_f32(load_f32(number))
        store_f32s(out, v)
        store_i32s(out + 64, splat_i32(word))
        store_i32s(out + 128, as_i32s(splat_i8(word)))
        store_f32s(out + 192, keep_below(load_f32s(x), v, below))
        store_f32(out + 256, as_f32(load_i64(number)))

    run = compiled(kernel)
    x = np.arange(16, dtype=np.float32)
    number = np.array([-np.inf, 3], np.float32)
    for word in (-1, 0, 5, 127, 128, 255, 2**31 - 1, -(2**31)):
        for below in (-(2**40), -1, 0, 1, 7, 15, 16, 17, 2**40):
            out = np.zeros(65, np.float32)
            run(at(x), at(number), word, below, at(out))
            same(out[:16], np.full(16, -np.inf, np.float32))
            same(out[16:32].view(np.int32), np.full(16, word, np.int32))
            same(out[32:48].view(np.uint8), np.full(64, word & 255, np.uint8))
            wanted = np.where(np.arange(16) < below, x, np.float32(-np.inf))
            same(out[48:64], wanted.astype(np.float32))
            assert out[64] == -np.inf


def test_verbs_work_on_tuples() -> None:
    def kernel(x: int, out: int) -> None:
        both = load_grid(x, 64, 2, 1)
        store_grid(out, 64, mul(add(both, load_f32s(x)), splat_f32(2.0)), 1)

    x, out = np.arange(32, dtype=np.float32), np.zeros(32, np.float32)
    compiled(kernel)(at(x), at(out))
    same(out.reshape(2, 16), (x.reshape(2, 16) + x[:16]) * np.float32(2))


# ---- memory -------------------------------------------------------------------------------------


def test_scalars_touch_their_own_bytes_only() -> None:
    def kernel(x: int, out: int) -> None:
        store_i64(out + 8, load_i64(x))
        store_i32(out + 24, load_i32(x + 8))
        store_f32(out + 36, load_f32(x + 12))
        store_i16(out + 48, load_i16(x + 16))
        store_f16(out + 58, load_f32(x + 20))
        store_i32s_as_i8(out + 64, load_i32s(x + 24))
        store_i8(out + 81, load_i8(x + 16))

    values = [-2, -3, np.float32(1.5), 0x18001, np.float32(-2.5), np.arange(-8, 8, dtype=np.int32)]
    kinds = (np.int64, np.int32, np.float32, np.int32, np.float32, np.int32)
    parts = [np.asarray(v).astype(k).tobytes() for v, k in zip(values, kinds, strict=True)]
    x = np.frombuffer(b"".join(parts), np.uint8)
    out = np.full(96, GUARD, np.uint8)
    compiled(kernel)(at(x), at(out))
    wanted = np.full(96, GUARD, np.uint8)
    written = {8: parts[0], 24: parts[1], 36: parts[2], 48: b"\x01\x80"}
    written |= {58: np.float16(-2.5).tobytes(), 64: np.arange(-8, 8, dtype=np.int8).tobytes()}
    written[81] = b"\x01"
    for place, content in written.items():
        wanted[place : place + len(content)] = np.frombuffer(content, np.uint8)
    same(out, wanted)


def test_loading_a_word_of_8_or_16_bits_widens_with_zeros() -> None:
    def kernel(x: int, out: int) -> None:
        store_i32(out, load_i16(x))
        store_i32(out + 4, load_i8(x))

    x, out = np.array([0xFFFE], np.uint16), np.zeros(2, np.int32)
    compiled(kernel)(at(x), at(out))
    assert out.tolist() == [0xFFFE, 0xFE]


def test_addresses_need_no_alignment() -> None:
    def kernel(x: int, out: int) -> None:
        store_f32s(out, load_f32s(x))
        store_i32s(out + 64, load_i32s(x + 64))
        store_i32s(out + 128, as_i32s(load_i8s(x + 128)))
        store_f16s(out + 192, load_f16s(x + 192))
        store_some_f32s(out + 224, load_some_f32s(x + 224, 5), 5)

    run = compiled(kernel)
    x = np.random.default_rng(8).integers(0, 120, 400).astype(np.uint8)  # no NaN
    for shift in (0, 1, 2, 3, 63):
        out = np.full(400, GUARD, np.uint8)
        run(at(x) + shift, at(out) + shift + 1)
        same(out[shift + 1 : shift + 245], x[shift : shift + 244])
        assert (out[: shift + 1] == GUARD).all() and (out[shift + 245 :] == GUARD).all()


def partly(x: int, n: int, out: int) -> None:
    """Reads that end within a vector: `x` ends after n of each kind."""
    store_f32s(out, load_some_f32s(x - 4 * n, n))
    store_f32s(out + 64, load_some_f16s(x - 2 * n, n))
    store_f32s(out + 128, load_some_bf16s(x - 2 * n, n))
    tile = load_tile_some(x - 4 * n - 64, 64, 2, n)
    store_grid(out + 192, 64, tile, 1)


COUNTS = (-5, -1, 0, 1, 2, 7, 8, 9, 15, 16)


def test_reading_a_part_of_a_vector() -> None:
    run = compiled(partly)
    x = np.random.default_rng(9).standard_normal(64).astype(np.float32)
    for n in COUNTS:
        out, k = np.full((5, 16), np.nan, np.float32), max(n, 0)
        run(at(x) + 4 * 64, n, at(out))
        wanted = np.zeros((5, 16), np.float32)
        wanted[0, :k] = x[64 - k :]
        last = x.view(np.uint16)[128 - k :]
        wanted[1, :k] = last.view(np.float16)
        wanted[2, :k] = (last.astype(np.uint32) << 16).view(np.float32)
        wanted[3, :k], wanted[4, :k] = x[48 - k : 48], x[64 - k :]
        if n >= 0:
            same(out, wanted)
        else:
            assert not out.any()


def test_writing_a_part_of_a_vector() -> None:
    def kernel(x: int, n: int, out: int) -> None:
        store_some_f32s(out, load_f32s(x), n)

    run = compiled(kernel)
    x = np.arange(16, dtype=np.float32)
    for n in (*COUNTS, 17, 2**40, -(2**40)):
        out = np.full(4 * 18, GUARD, np.uint8)
        wanted = out.copy()
        run(at(x), n, at(out) + 4)
        k = min(max(n, 0), 16)
        wanted[4 : 4 + 4 * k] = x[:k].view(np.uint8)
        same(out, wanted)


def guarded() -> tuple[mmap.mmap, int]:
    """Two pages of memory of which the second may not be touched, and where it begins."""
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert start % page == 0
    forbid = ctypes.CDLL(None, use_errno=True).mprotect
    forbid.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    assert forbid(start + page, page, 0) == 0, os.strerror(ctypes.get_errno())
    return memory, start + page


def survives(function: Callable[[], object]) -> bool:
    """Whether a forked child comes through `function`.

    One that does not end by itself - a lock of the emulator's was taken when it was forked, and
    nobody is there to open it - says nothing: another is asked.
    """
    for _ in range(5):
        child = os.fork()
        if child == 0:
            faulthandler.disable()
            try:
                function()
            finally:
                os._exit(0)
        for _ in range(5000):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return status == 0
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    pytest.fail("five children in turn did not end")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and mprotect")
def test_parts_of_vectors_end_at_a_forbidden_page() -> None:
    def store(x: int, n: int, end: int) -> None:
        store_some_f32s(end - 4 * n, load_f32s(x), n)

    def touch(x: int, out: int) -> None:
        store_f32s(out, load_f32s(x))

    def anywhere(end: int) -> None:
        prefetch(end)
        prefetch(0)
        prefetch(-1)

    read, write = compiled(partly), compiled(store)
    full, ask = compiled(touch), compiled(anywhere)
    _memory, end = guarded()
    out = np.zeros((5, 16), np.float32)
    for n in range(17):
        assert survives(lambda n=n: read(end, n, at(out))), n  # type: ignore[misc]
        assert survives(lambda n=n: write(at(out), n, end)), n  # type: ignore[misc]
    assert survives(lambda: ask(end))
    assert not survives(lambda: full(end - 60, at(out)))  # the page does forbid


def test_the_compiler_moves_nothing_across_a_fence() -> None:
    """A store is repeated, as it would not be without; and that is all there is more."""

    def apart(x: int) -> None:
        store_i32(x, int32(1))
        in_order()
        store_i32(x, int32(1))

    def together(x: int) -> None:
        store_i32(x, int32(1))
        store_i32(x, int32(1))

    def length(function: Any) -> int:
        [text] = compiled(function).inspect_asm().values()  # type: ignore[attr-defined]
        return len(re.findall(r"^\t[a-z]", text, re.MULTILINE))

    assert length(apart) == length(together) + 1


# ---- tables -------------------------------------------------------------------------------------

MADE: list[str] = []


def kept(name: str, values: Array) -> Any:
    """A table, which notes when it is asked for its values."""

    def give() -> bytes:
        MADE.append(name)
        return values.tobytes()

    return table(name, give)


SQUARES = np.arange(300, dtype=np.int32) ** 2
ANY_BYTES = np.frombuffer(np.random.default_rng(14).bytes(8 * 2048), np.uint8).reshape(-1, 8)
SQUARES_TABLE, BYTES_TABLE = kept("squares", SQUARES), kept("bytes", ANY_BYTES)


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def square_of(index: Any) -> Any:
    return gather(SQUARES_TABLE(), index)


def test_tables_are_part_of_the_code() -> None:
    def kernel(index: int, out: int, n: int) -> None:
        grid = BYTES_TABLE()
        for i in range(0, 4 * n, 64):
            lanes = load_i32s(index + i)
            first, second = gather_pairs(grid, lanes)
            store_i32s(out + 4 * n + i, as_i32s(first))
            store_i32s(out + 8 * n + i, as_i32s(second))
            two = gather(SQUARES_TABLE(), (and_i32s(lanes, splat_i32(255)), splat_i32(299)))
            store_i32s(out + i, add_i32s(two[0], two[1]))
            store_i32s(out + 12 * n + i, square_of(shr_i32s(lanes, 3)))

    before = len(MADE)
    run = compiled(kernel)
    assert set(MADE[before:]) == {"squares", "bytes"}
    index = np.random.default_rng(15).permutation(2048).astype(np.int32)
    out = np.zeros((4, 2048), np.int32)
    run(at(index), at(out), len(index))
    same(out[0], SQUARES[index & 255] + SQUARES[299])
    same(out[1:3], ANY_BYTES[index].view(np.int32).T.copy())
    same(out[3], SQUARES[index >> 3])


def test_gathering_from_memory() -> None:
    def kernel(x: int, index: int, out: int) -> None:
        lanes = load_i32s(index)
        store_i32s(out, gather(x, lanes))
        first, second = gather_pairs(x, lanes)
        store_i32s(out + 64, as_i32s(first))
        store_i32s(out + 128, as_i32s(second))

    run = compiled(kernel)
    data = np.random.default_rng(16).integers(0, 256, 8 * 100 + 1).astype(np.uint8)
    middle = data[8 * 50 + 1 :]  # not aligned, and with entries before it
    rng = np.random.default_rng(17)
    fixed = [np.full(16, 49), np.full(16, -50), np.arange(16), -np.arange(16)]
    for index in (*fixed, *rng.integers(-50, 50, (20, 16))):
        lanes, out = index.astype(np.int32), np.zeros((3, 16), np.int32)
        run(at(middle), at(lanes), at(out))
        words = data[1:].view(np.int32)
        same(out[0], words[100 + index])
        same(out[1:], np.stack([words[100 + 2 * index], words[101 + 2 * index]]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and mprotect")
def test_gathering_touches_no_more_than_its_entries() -> None:
    def kernel(end: int, out: int) -> None:
        store_i32s(out, gather(end, splat_i32(-1)))
        first, second = gather_pairs(end, splat_i32(-1))
        store_i32s(out + 64, add_i32s(as_i32s(first), as_i32s(second)))

    run = compiled(kernel)
    _memory, end = guarded()
    out = np.zeros(32, np.int32)
    assert survives(lambda: run(end, at(out)))
    assert not survives(lambda: run(end + 1, at(out)))


def test_reflecting_bytes() -> None:
    def kernel(quads: int, bits: int, total: int, out: int) -> None:
        turned = reflect(load_quads(quads, 8), load_i32s(bits), total)
        for j in range(8):
            store_i32s(out + 64 * j, as_i32s(turned[j]))

    run = compiled(kernel)
    rng = np.random.default_rng(18)
    single = np.left_shift(1, np.arange(32, dtype=np.uint32)).reshape(2, 16)
    for bits in (np.zeros(16), np.full(16, 2**32 - 1), *single, *rng.integers(0, 1 << 32, (9, 16))):
        quads = rng.integers(0, 256, (8, 16, 4)).astype(np.uint8)
        lanes = bits.astype(np.uint32)
        is_set = lanes >> np.arange(32, dtype=np.uint32)[:, None] & 1 != 0  # (bit, row)
        for total in (0, 128, 255, -1):
            out = np.zeros_like(quads)
            run(at(quads), at(lanes), total, at(out))
            turned = is_set.reshape(8, 4, 16).swapaxes(1, 2)
            same(out, np.where(turned, (total - quads.astype(int)) & 255, quads).astype(np.uint8))


# ---- tiles --------------------------------------------------------------------------------------


def test_tiles() -> None:
    def kernel(w: int, x: int, stride: int, outer: int, splats: int) -> None:
        rows = (load_f32s(w), load_f32s(w + 64), load_f32s(w + 128))
        tile = outer_tile(zeros(6), rows, load_tile(x, stride, 2))
        store_grid(outer, 64, outer_tile(tile, rows, load_tile(x, stride, 2)), 1)
        store_grid(splats, 192, splat_tile(zeros(12), rows, x, stride), 3)

    rng = np.random.default_rng(10)
    w, x = rng.integers(-9, 9, (3, 16)), rng.integers(-9, 9, (4, 20))
    outer, splats = np.zeros((3, 2, 16), np.float32), np.zeros((4, 3, 16), np.float32)
    w32, x32 = w.astype(np.float32), x.astype(np.float32)
    compiled(kernel)(at(w32), at(x32), 80, at(outer), at(splats))
    np.testing.assert_array_equal(outer, 2 * w[:, None] * x[:2, :16])
    np.testing.assert_array_equal(splats, w * x[:, 0, None, None])


def test_grids_keep_their_stride() -> None:
    def kernel(x: int, out: int) -> None:
        store_grid(out, 200, load_grid(x, 160, 3, 2), 2)

    x = np.random.default_rng(11).standard_normal((3, 40)).astype(np.float32)
    out = np.full((3, 50), 7, np.float32)
    compiled(kernel)(at(x), at(out))
    same(out[:, :32], x[:, :32])
    assert (out[:, 32:] == 7).all()


def stored_tile(T: int, n_rows: int, n_tokens: int, bias: Array | None, tile: Array) -> Array:
    """What a store of `tile` (T, rows) leaves in a buffer of guards (T + 1, 20) from column 1."""
    out = np.full((T + 1, 20 * 4), GUARD, np.uint8).view(np.float32)
    with_bias = tile if bias is None else tile + bias[: tile.shape[1]]
    n, t = min(max(n_rows, 0), tile.shape[1]), min(max(n_tokens, 0), T)
    out[:t, 1 : 1 + n] = with_bias[:t, :n]
    return out


def test_storing_rows_and_sums() -> None:
    def rows(x: int, out: int, bias: int, n_rows: int, n_tokens: int) -> None:
        store_rows(out + 4, 80, load_grid(x, 64, 3, 1), bias, n_rows, n_tokens)

    def sums(x: int, out: int, bias: int, n_rows: int, n_tokens: int) -> None:
        store_sums(out + 4, 80, load_grid(x, 64, 12, 1), 3, bias, n_rows, n_tokens)

    by_rows, by_sums = compiled(rows), compiled(sums)
    rng = np.random.default_rng(12)
    x = rng.integers(-99, 99, (12, 16)).astype(np.float32)
    some = rng.integers(-99, 99, 16).astype(np.float32)
    for n_rows, n_tokens, bias in itertools.product(
        (-1, 0, 1, 3, 4, 5, 15, 16, 17, 4000), (-1, 0, 1, 2, 3, 4000), (None, some)
    ):
        bias_at = 0 if bias is None else at(bias)
        for run, tile in ((by_rows, x[:3]), (by_sums, x.sum(1).reshape(4, 3).T)):
            out = np.full((4, 20 * 4), GUARD, np.uint8).view(np.float32)
            run(at(x), at(out), bias_at, n_rows, n_tokens)
            wanted = stored_tile(3, n_rows, n_tokens, bias, tile)
            same(out.view(np.uint32), wanted.view(np.uint32))


def test_storing_rows_at_places() -> None:
    def kernel(x: int, out: int, places: int, bias: int, n_rows: int, n_tokens: int) -> None:
        store_rows_at(out + 4, 80, places, load_grid(x, 64, 3, 1), bias, n_rows, n_tokens)

    run = compiled(kernel)
    x = np.random.default_rng(12).integers(-99, 99, (3, 16)).astype(np.float32)
    some, places = np.arange(16, dtype=np.float32), np.array([2, 0, -1], np.int32)
    for n_rows, n_tokens, bias in itertools.product((0, 5, 16), (0, 1, 2), (None, some)):
        out = np.full((3, 20 * 4), GUARD, np.uint8).view(np.float32)
        wanted = stored_tile(2, n_rows, n_tokens, bias, x[:2])
        run(at(x), at(out), at(places), 0 if bias is None else at(bias), n_rows, n_tokens)
        same(out[[2, 0, 1]].view(np.uint32), wanted.view(np.uint32))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and mprotect")
def test_biases_end_at_a_forbidden_page() -> None:
    def kernel(x: int, out: int, end: int, n: int) -> None:
        store_rows(out, 64, load_grid(x, 64, 2, 1), end - 4 * n, n, 2)
        store_sums(out, 64, load_grid(x, 64, 8, 1), 2, end - 4 * n, n, 2)

    run = compiled(kernel)
    _memory, end = guarded()
    x, out = np.zeros((8, 16), np.float32), np.zeros((2, 16), np.float32)
    for n in range(17):
        assert survives(lambda n=n: run(at(x), at(out), end, n)), n  # type: ignore[misc]


def test_blocks_of_bytes() -> None:
    """`dot_tile`: two tokens, one and two spans, with an offset of the bytes and with mins."""

    def whole(quads: int, scales: int, mins: int, x: int, xs: int, sums: int, out: int) -> None:
        q, start, m = load_quads(quads, 8), load_grid(out, 64, 2, 1), (load_f32s(mins),)
        one, two = (load_f32s(scales),), (load_f32s(scales), load_f32s(scales + 64))
        store_grid(out + 128, 64, dot_tile(start, q, 8, one, None, x, xs, sums), 1)
        store_grid(out + 256, 64, dot_tile(start, q, 8, two, None, x, xs, sums + 8), 1)
        store_grid(out + 384, 64, dot_tile(start, q, 8, one, m, x, xs, sums + 24), 1)

    def seven(quads: int, scales: int, mins: int, x: int, xs: int, sums: int, out: int) -> None:
        q, start, m = load_quads(quads, 8), load_grid(out, 64, 2, 1), (load_f32s(mins),)
        one, two = (load_f32s(scales),), (load_f32s(scales), load_f32s(scales + 64))
        store_grid(out + 128, 64, dot_tile(start, q, 7, one, None, x, xs, sums), 1)
        store_grid(out + 256, 64, dot_tile(start, q, 7, two, None, x, xs, sums + 8), 1)
        store_grid(out + 384, 64, dot_tile(start, q, 7, one, m, x, xs, sums + 24), 1)

    rng = np.random.default_rng(13)
    for run, highest_byte, zero in ((compiled(whole), 255, 128), (compiled(seven), 127, 32)):
        for unsigned, signed in ((highest_byte, -128), (highest_byte, 127), (0, 0), (None, None)):
            w = rng.integers(0, highest_byte + 1, (16, 32))
            x = rng.integers(-127, 128, (2, 32))
            if unsigned is not None and signed is not None:
                w[:], x[:] = unsigned, signed
            quads = w.reshape(16, 8, 4).swapaxes(0, 1).astype(np.uint8)  # (quad, row, byte)
            scales = rng.standard_normal((2, 16)).astype(np.float32)
            mins = rng.standard_normal(16).astype(np.float32)
            x_scale = rng.standard_normal(2).astype(np.float32)
            all_of_x, halves = x.sum(1), x.reshape(2, 2, 16).sum(2)
            offsets = np.concatenate([-128 * all_of_x, (-zero * halves).reshape(-1)])
            sums = np.concatenate(
                [offsets.astype(np.int32).view(np.float32), all_of_x.astype(np.float32)]
            )
            start = rng.standard_normal((2, 16)).astype(np.float32)
            out = np.concatenate([start, np.zeros((6, 16), np.float32)])
            given = [np.ascontiguousarray(a) for a in (quads, scales, mins, x.astype(np.int8))]
            run(*(at(a) for a in (*given, x_scale, sums, out)))

            products = w[None] * x[:, None]  # (token, row, weight)
            by_half = (products - zero * x[:, None]).reshape(2, 16, 2, 16).sum(3)
            wide = scales.astype(np.float64)
            exact = np.stack(
                [
                    (products - 128 * x[:, None]).sum(2) * wide[0],
                    (by_half * wide.T).sum(2),
                    products.sum(2) * wide[0] + mins * all_of_x[:, None],
                ]
            )
            wanted = start + exact * x_scale[:, None]
            size = np.abs(exact).max() + 1
            found = out[2:].reshape(3, 2, 16)
            np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6 * size)


# ---- threads ------------------------------------------------------------------------------------


def test_counting_from_several_threads_loses_nothing() -> None:
    def kernel(counter: int, highest_seen: int, n: int) -> None:
        before = 0
        for _ in range(n):
            before = fetch_add(counter, 3)
        store_release(highest_seen, max(before, load_acquire(highest_seen)))
        relax()

    run = compiled(kernel, nogil=True)
    counter, seen = np.zeros(1, np.int64), np.zeros(1, np.int64)
    n, count = 200_000, 4
    workers = [threading.Thread(target=run, args=(at(counter), at(seen), n)) for _ in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert counter[0] == 3 * n * count
    assert seen[0] < counter[0]


def test_cycles_and_calls() -> None:
    def kernel(function: int, out: int) -> None:
        store_i64(out, cycles())
        call_void(function)
        store_i64(out + 8, cycles())

    called: list[int] = []
    function = ctypes.CFUNCTYPE(None)(lambda: called.append(1))
    out = np.zeros(2, np.int64)
    compiled(kernel)(ctypes.cast(function, ctypes.c_void_p).value or 0, at(out))
    assert called == [1]
    assert out[1] > out[0] or not processor().x86


def near(x: Array) -> Array:
    """float32 values as the nearest bf16, halves away from zero, and back."""
    bits = x.view(np.uint32) + np.uint32(0x8000)
    return (bits & np.uint32(0xFFFF0000)).view(np.float32)


def widened(pairs: Array) -> Array:
    """uint16 bits of bf16 as float32."""
    return (pairs.astype(np.uint32) << 16).view(np.float32)


def test_pairs_of_bf16() -> None:
    def kernel(x: int, out: int) -> None:
        store_i32s(out, bf16_pairs(load_f32s(x), load_f32s(x + 64)))

    run = compiled(kernel)
    rng = np.random.default_rng(16)
    rows = [np.resize(EDGES[np.isfinite(EDGES) & (np.abs(EDGES) < 1e38)], 32)]
    rows += list(rng.standard_normal((20, 32), np.float32))
    for x in rows:
        out = np.zeros(32, np.uint16)
        run(at(x), at(out))
        same(widened(out), near(x))
    x = np.resize(np.array([np.nan, np.inf, -np.inf, 1], np.float32), 32)
    x[4] = np.uint32(0x7FFFFFFF).view(np.float32)  # a NaN that rounding would turn into -0
    run(at(x), at(out))
    same(widened(out), x)


def test_a_tile_is_written_from_its_columns() -> None:
    def kernel(x: int, out: int) -> None:
        store_turned(out, (
            load_i32s(x), load_i32s(x + 64), load_i32s(x + 128), load_i32s(x + 192),
            load_i32s(x + 256), load_i32s(x + 320), load_i32s(x + 384), load_i32s(x + 448),
            load_i32s(x + 512), load_i32s(x + 576), load_i32s(x + 640), load_i32s(x + 704),
            load_i32s(x + 768), load_i32s(x + 832), load_i32s(x + 896), load_i32s(x + 960),
        ))  # fmt: skip

    x, out = np.arange(256, dtype=np.int32).reshape(16, 16), np.zeros((16, 16), np.int32)
    compiled(kernel)(at(x), at(out))
    same(out, np.ascontiguousarray(x.T))


def test_lanes_of_bf16() -> None:
    def lanes(x: int, out: int) -> None:
        store_i32s(out, bf16_lanes(load_f32s(x), load_f32s(x + 64)))

    def upper(x: int, out: int) -> None:
        store_f32s(out, upper_bf16s(load_f32s(x)))

    def nan(x: int, out: int) -> None:
        store_f32s(out, usual_nan(load_f32s(x)))

    rng = np.random.default_rng(19)
    x, out = rng.standard_normal(32, np.float32), np.zeros(32, np.uint16)
    compiled(lanes)(at(x), at(out))
    same(widened(out), near(np.ascontiguousarray(x.reshape(2, 16).T).reshape(-1)))
    found = np.zeros(16, np.float32)
    compiled(upper)(at(x), at(found))
    same(found, (x[:16].view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32))
    x[3] = np.uint32(0xFFFFFFFF).view(np.float32)
    compiled(nan)(at(x), at(found))
    assert found.view(np.uint32)[3] == 0x7FC00000
    same(np.delete(found, 3), np.delete(x[:16], 3))


def test_weights_become_a_tile_of_bf16() -> None:
    def with_zero(quads: int, scales: int, mins: int, out: int) -> None:
        store_bf16_pairs(
            out, load_quads(quads, 8), (load_f32s(scales), load_f32s(scales + 64)), None, 8
        )

    def with_mins(quads: int, scales: int, mins: int, out: int) -> None:
        store_bf16_pairs(out, load_quads(quads, 8), (load_f32s(scales),), (load_f32s(mins),), 0)

    rng = np.random.default_rng(17)
    quads = rng.integers(0, 256, (8, 16, 4)).astype(np.uint8)  # (quad, row, weight)
    scales = rng.standard_normal((2, 16)).astype(np.float32)
    mins = np.arange(16, dtype=np.float32)
    weights = quads.transpose(1, 0, 2).reshape(16, 32).astype(np.float64)
    out = np.zeros((16, 16, 2), np.uint16)  # (pair, row, weight of the pair)
    compiled(with_zero)(at(quads), at(scales), at(mins), at(out))
    found = widened(out).transpose(1, 0, 2).reshape(16, 32)
    wanted = (weights - 8) * np.repeat(scales.T, 16, axis=1)
    np.testing.assert_allclose(found, wanted, rtol=2.0**-8)
    compiled(with_mins)(at(quads), at(scales), at(mins), at(out))
    found = widened(out).transpose(1, 0, 2).reshape(16, 32)
    wanted = weights * scales[0][:, None] + mins[:, None]
    np.testing.assert_allclose(found, wanted, rtol=2.0**-8, atol=1e-4)


@pytest.mark.skipif(not processor().matrix_tiles, reason="this processor has no AMX")
def test_tiles_are_multiplied() -> None:
    def kernel(shape: int, sums: int, x: int, w: int, out: int) -> None:
        configure_tiles(shape)
        fill_tile(0, sums, 64)
        fill_tile(1, x, 64)
        fill_tile(2, w, 64)
        multiply_tiles(0, 1, 2)
        spill_tile(0, out, 64)
        zero_tile(0)
        spill_tile(0, sums, 64)
        release_tiles()

    rng = np.random.default_rng(18)
    shape = np.zeros(64, np.uint8)
    shape[0], shape[48:56] = 1, 16
    shape[16:32].view(np.uint16)[:] = 64
    sums = rng.integers(-9, 9, (16, 16)).astype(np.float32)
    x, w = (rng.integers(-9, 9, (16, 32)).astype(np.float32) for _ in "xw")
    wanted = sums + x @ w.T
    bits = [(v.view(np.uint32) >> 16).astype(np.uint16) for v in (x, w)]
    pairs = np.ascontiguousarray(bits[1].reshape(16, 16, 2).swapaxes(0, 1))  # (pair, row, 2)
    out = np.zeros((16, 16), np.float32)
    compiled(kernel)(at(shape), at(sums), at(bits[0]), at(pairs), at(out))
    same(out, wanted)
    assert not sums.any()


def test_every_verb_is_tested() -> None:
    """The imports above are the vocabulary, but for what needs a compiled kernel to call."""
    made = {n for n, v in vars(simd).items() if type(v).__name__ == "_Intrinsic"}
    assert len(made) > 60
    assert made - {"call_kernel"} <= set(globals())
