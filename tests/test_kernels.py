"""Every kernel against numpy, on random shapes; run as a script, with forbidden pages behind
every buffer: `python tests/test_kernels.py GROUP COUNT SEED`.

A case puts its buffers where nothing but what the executor guarantees lies behind them: weights,
biases and caches end exactly, activations are followed by a tile of rows and 64 bytes.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit

from vatra import quant
from vatra.engine import jit
from vatra.engine.cpu_features import LEVELS, processor
from vatra.engine.kernels import layout
from vatra.engine.kernels.layout import FAST, FLOATS, PART, ROWS
from vatra.engine.kernels.unpack import e4m3, e8m0
from vatra.engine.lowering.attention import ALL_AHEAD
from vatra.engine.reference import ACTIVATIONS
from vatra.engine.simd import load_i32s, load_u8s, store_f32s
from vatra.engine.threads import Pool, op_row
from vatra.engine.weights import Memory, interleaved, pieces
from vatra.models.plan import GATINGS
from vatra.quant import FORMATS, fp4
from vatra.quant.format import WeightFormat
from vatra.quant.tensor import QTensor

Array = np.ndarray
TILE = processor().tokens_per_tile
FLOAT_TILE = 4
MOST_THREADS = 5
GUARD = 0xA5
CASES_PER_KERNEL = 300
# Of products, where the kernels of all formats do the same but for `unpack`: others of each.
PRODUCTS, CASES_PER_FORMAT = ("matmul", "amx"), 60


# ---- buffers ------------------------------------------------------------------------------------


class Buffers:
    """Places for arrays, each ending at a page that, if `forbidden`, nobody may touch."""

    SLOT, SLOTS = 1 << 23, 16

    def __init__(self, forbidden: bool = False) -> None:
        self.step = self.SLOT + mmap.PAGESIZE
        self.memory = mmap.mmap(-1, self.SLOTS * self.step)
        self.bytes = np.frombuffer(self.memory, np.uint8)
        self.forbidden = forbidden
        self.used: list[tuple[int, int, int]] = []  # where the guard, the spare bytes, the end are
        if forbidden:
            forbid = ctypes.CDLL(None, use_errno=True).mprotect
            forbid.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
            for end in range(self.SLOT, self.SLOTS * self.step, self.step):
                page = self.bytes.ctypes.data + end
                if forbid(page, mmap.PAGESIZE, 0) != 0:
                    raise OSError(ctypes.get_errno(), "mprotect")

    def put(self, values: Array, spare: int = 0) -> Array:
        """A copy of `values`, followed by `spare` bytes of NaN that nobody may write."""
        end = len(self.used) * self.step + self.SLOT
        start = end - spare - values.nbytes
        assert values.nbytes + spare + 64 <= self.SLOT
        self.bytes[start - 64 : start] = GUARD
        self.bytes[end - spare : end] = 0xFF
        if not self.forbidden:
            self.bytes[end : end + 64] = GUARD
        self.used.append((start - 64, end - spare, end))
        place = self.bytes[start : end - spare].view(values.dtype).reshape(values.shape)
        place[...] = values
        return place

    def room(self, shape: tuple[int, ...], spare: int = 0, dtype: Any = np.float32) -> Array:
        """A place for results, holding NaN."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return self.put(np.full(size, 0xFF, np.uint8).view(dtype).reshape(shape), spare)

    def activations(self, values: Array) -> Array:
        return self.put(values, spare_bytes(values.shape))

    def results(self, *shape: int) -> Array:
        return self.room(shape, spare_bytes(shape))

    def check_untouched(self) -> None:
        for guard, spare, end in self.used:
            assert (self.bytes[guard : guard + 64] == GUARD).all(), "written before a buffer"
            assert (self.bytes[spare:end] == 0xFF).all(), "written behind a buffer"
            if not self.forbidden:
                assert (self.bytes[end : end + 64] == GUARD).all(), "written behind a buffer"


def spare_bytes(shape: tuple[int, ...]) -> int:
    """What lies behind the rows of an activation in the executor's arena."""
    return int(4 * np.prod(shape[1:]) * TILE + 64)


def at(array: Array) -> int:
    return int(array.ctypes.data)


@dataclass
class Case:
    """One call of a kernel, and what it must give."""

    kernel: str
    arguments: dict[str, Any]
    results: list[Array]
    check: Callable[[], None]
    tokens: int
    outputs: int = 0
    position: int = 0


@cache
def pool(n_threads: int) -> Pool:
    return Pool(n_threads)


def run(case: Case, n_threads: int = 1) -> None:
    row = op_row(jit.load([case.kernel])[case.kernel], **case.arguments)
    pool(n_threads).run(row[None], tokens=case.tokens, outputs=case.outputs, position=case.position)


Rng = np.random.Generator
Make = Callable[[Rng, Buffers], Case]
MAKERS: dict[str, dict[str, Make]] = {}  # by group, by name


def case(group: str, *variants: str) -> Callable[[Any], Any]:
    """Register a maker of cases, or one for each variant."""

    def register(make: Any) -> Any:
        for variant in variants or ("",):
            name = f"{make.__name__}_{variant}" if variant else make.__name__
            made = (lambda r, b, v=variant: make(r, b, v)) if variant else make
            MAKERS.setdefault(group, {})[name] = made
        return make

    return register


def normal(rng: Rng, *shape: int) -> Array:
    return rng.standard_normal(shape, np.float32)


def pick(rng: Rng, *choices: int) -> int:
    return int(rng.choice(choices))


def size(rng: Rng, high: int) -> int:
    """1 ... high; 1, small ones and multiples of 16 more often."""
    n = int(rng.integers(1, high + 1))
    return pick(rng, n, n, 1, min(n, 3), min(-(-n // 16) * 16, high))


def same(found: Array, wanted: Array) -> None:
    """Equal bits."""
    assert found.dtype == wanted.dtype and found.shape == wanted.shape
    np.testing.assert_array_equal(found.view(np.uint8), np.ascontiguousarray(wanted).view(np.uint8))


def close(found: Array, wanted: Array, scale: Array | float, bound: float) -> None:
    """Within `bound` times `scale`, which is what rounding errors are relative to."""
    error = np.abs(found - np.asarray(wanted, np.float64))
    worst = np.max(error - bound * np.asarray(scale, np.float64), initial=-np.inf)
    assert worst <= 0, f"off by {np.nanmax(error):g}, {worst:g} too much"


def rows_of(rng: Rng, n: int) -> dict[str, Any]:
    """Words that make a kernel see n rows, counted as tokens or as outputs."""
    if rng.integers(2):
        return {"rows": layout.RUN_OUTPUTS, "tokens": n + 2, "outputs": n}
    return {"rows": layout.RUN_TOKENS, "tokens": n, "outputs": 0}


def made(
    kernel: str, counts: dict[str, Any], results: list[Array], check: Any, **args: Any
) -> Case:
    tokens, outputs = counts.pop("tokens"), counts.pop("outputs")
    return Case(kernel, {**args, **counts}, results, check, tokens, outputs)


# ---- elementwise --------------------------------------------------------------------------------


@case("elementwise")
def add(rng: Rng, b: Buffers) -> Case:
    n, width = size(rng, 20), size(rng, 100)
    x, y = (b.activations(normal(rng, n, width)) for _ in "xy")
    out = b.results(n, width)
    places = {"x": at(x), "y": at(y), "out": at(out)}
    check = lambda: same(out, x + y)  # noqa: E731
    return made("elementwise:add", rows_of(rng, n), [out], check, width=width, **places)


@case("elementwise")
def mul(rng: Rng, b: Buffers) -> Case:
    n, width = size(rng, 20), size(rng, 100)
    x, y = (b.activations(normal(rng, n, width)) for _ in "xy")
    out = b.results(n, width)
    places = {"x": at(x), "y": at(y), "out": at(out)}
    check = lambda: same(out, x * y)  # noqa: E731
    return made("elementwise:mul", rows_of(rng, n), [out], check, width=width, **places)


@case("elementwise")
def mul_rows(rng: Rng, b: Buffers) -> Case:
    n, per_row, width = size(rng, 20), size(rng, 4), size(rng, 100)
    x, y = b.activations(normal(rng, n, per_row, width)), b.activations(normal(rng, n, per_row))
    out = b.results(n, per_row, width)
    places = {"x": at(x), "y": at(y), "out": at(out)}
    check = lambda: same(out, x * y[..., None])  # noqa: E731
    shape = {"width": width, "per_row": per_row}
    return made("elementwise:mul_rows", rows_of(rng, n), [out], check, **shape, **places)


@case("elementwise")
def sum_rows(rng: Rng, b: Buffers) -> Case:
    n, per_row, width = size(rng, 20), size(rng, 4), size(rng, 100)
    x, out = b.activations(normal(rng, n, per_row, width)), b.results(n, per_row, 1)
    places = {"x": at(x), "out": at(out)}
    check = lambda: close(out[..., 0], x.sum(-1, dtype=float), np.abs(x).sum(-1), 1e-6)  # noqa: E731
    shape = {"width": width, "per_row": per_row}
    return made("elementwise:sum_rows", rows_of(rng, n), [out], check, **shape, **places)


def vector_or_none(rng: Rng, b: Buffers, n: int) -> tuple[int, Array | None]:
    """Where `n` values are, or 0 for none."""
    values = b.put(normal(rng, n)) if rng.integers(2) else None
    return (0, None) if values is None else (at(values), values)


@case("elementwise")
def scale(rng: Rng, b: Buffers) -> Case:
    n, per_row, width = size(rng, 20), size(rng, 4), size(rng, 100)
    x, out = b.activations(normal(rng, n, per_row, width)), b.results(n, per_row, width)
    (weight, w), (bias, c) = vector_or_none(rng, b, width), vector_or_none(rng, b, width)
    factor = float(rng.choice([1.0, -0.3]))

    def check() -> None:
        wanted = x * np.float32(factor)
        wanted = wanted if w is None else wanted * w
        close(out, wanted if c is None else wanted + c, np.abs(wanted) + 1, 2e-7)

    places = {"x": at(x), "weight": weight, "bias": bias, "out": at(out)}
    shape = {"width": width, "per_row": per_row, "factor": factor}
    return made("elementwise:scale", rows_of(rng, n), [out], check, **shape, **places)


@case("elementwise")
def position_scale(rng: Rng, b: Buffers) -> Case:
    n, width, position = size(rng, 20), size(rng, 100), pick(rng, 0, 7, 8191, 500_000)
    every, offset = pick(rng, 1, 5, 8192), pick(rng, 0, 1)
    x, out = b.activations(normal(rng, n, width)), b.results(n, width)

    def check() -> None:
        steps = 1 + (position + np.arange(n)[:, None] + offset) // every
        wanted = x * (1 + 0.1 * np.log(steps))
        close(out, wanted, np.abs(wanted), 1e-6)

    words = {"every": every, "offset": offset, "slope": 0.1, "rows": layout.RUN_TOKENS}
    arguments = {"x": at(x), "out": at(out), "width": width, **words}
    return Case("elementwise:position_scale", arguments, [out], check, n, 0, position)


@case("elementwise")
def clamp(rng: Rng, b: Buffers) -> Case:
    n, width = size(rng, 20), size(rng, 100)
    x, out = b.activations(normal(rng, n, width)), b.results(n, width)
    low, high = float(rng.choice([-np.inf, -0.5])), float(rng.choice([np.inf, 0.7]))
    check = lambda: same(out, np.clip(x, np.float32(low), np.float32(high)))  # noqa: E731
    shape = {"width": width, "low": low, "high": high, "x": at(x), "out": at(out)}
    return made("elementwise:clamp", rows_of(rng, n), [out], check, **shape)


@case("elementwise")
def copy(rng: Rng, b: Buffers) -> Case:
    n, per_row, repeats, tiled = size(rng, 20), size(rng, 4), size(rng, 3), pick(rng, 0, 1)
    counts, first, to = size(rng, 50), pick(rng, 0, 3), pick(rng, 0, 5)
    from_row, to_row = first + counts + pick(rng, 0, 4), to + counts + pick(rng, 0, 2)
    x = b.activations(normal(rng, n, per_row, from_row))
    out = b.results(n, per_row * repeats, to_row)
    before = out.copy()

    def check() -> None:
        rows = x[..., first : first + counts]
        wanted = np.tile(rows, (1, repeats, 1)) if tiled else np.repeat(rows, repeats, 1)
        before[..., to : to + counts] = wanted
        same(out, before)

    places = {"x": at(x), "out": at(out), "per_row": per_row, "size": counts, "first": first}
    rows = {"from_row": from_row, "to_row": to_row, "to": to, "repeats": repeats, "tiled": tiled}
    return made("elementwise:copy", rows_of(rng, n), [out], check, **places, **rows)


@case("activations", *ACTIVATIONS)
def activation(rng: Rng, b: Buffers, kind: str) -> Case:
    n, width = size(rng, 20), size(rng, 100)
    x = b.activations(normal(rng, n, width) * np.float32(rng.choice([0.1, 1, 10])))
    gated, out = pick(rng, 0, 1), b.results(n, width)
    up = b.activations(normal(rng, n, width))

    def check() -> None:
        wide = x.astype(np.float64)
        wanted = ACTIVATIONS[kind](wide) * (up if gated else 1)
        close(out, wanted, np.abs(wanted) + np.abs(up if gated else 1) * 0.2, 2e-6)

    counts = rows_of(rng, n)
    if gated:
        places = {"gate": at(x), "up": at(up), "out": at(out)}
        return made(f"activations:glu,{kind}", counts, [out], check, width=width, **places)
    places = {"x": at(x), "out": at(out)}
    return made(f"activations:map,{kind}", counts, [out], check, width=width, **places)


@case("activations")
def softcap(rng: Rng, b: Buffers) -> Case:
    n, width, cap = size(rng, 20), size(rng, 100), float(rng.choice([0.5, 30]))
    x = b.activations(normal(rng, n, width) * np.float32(rng.choice([0.01, 1, 100])))
    out = b.results(n, width)

    def check() -> None:
        wanted = cap * np.tanh(x.astype(np.float64) / cap)
        close(out, wanted, np.abs(wanted) + 1e-30, 1e-6)

    places = {"x": at(x), "out": at(out), "cap": cap}
    counts = rows_of(rng, n)
    return made("activations:softcap,tanh", counts, [out], check, width=width, **places)


@case("norms")
def layer_norm(rng: Rng, b: Buffers) -> Case:
    n, per_row, width = size(rng, 20), size(rng, 4), 1 + size(rng, 300)
    x = b.activations(normal(rng, n, per_row, width) + np.float32(rng.choice([0, 3])))
    (weight, w), (bias, c) = vector_or_none(rng, b, width), vector_or_none(rng, b, width)
    out = b.results(n, per_row, width)

    def check() -> None:
        wide = x.astype(np.float64)
        wide -= wide.mean(-1, keepdims=True)
        spread = np.sqrt((wide**2).mean(-1, keepdims=True) + np.float32(1e-5))
        # in rows that are nearly constant, the rounding of the mean is all that is left
        rounding = 2.0**-22 * np.abs(x).max(-1, keepdims=True) / spread
        wanted, rounding = (v if w is None else v * w for v in (wide / spread, rounding))
        room = np.abs(wanted) + 1 + np.abs(rounding) / 1e-5
        close(out, wanted if c is None else wanted + c, room, 1e-5)

    places = {"x": at(x), "weight": weight, "bias": bias, "out": at(out)}
    shape = {"width": width, "per_row": per_row, "eps": 1e-5}
    return made("norms:layer_norm", rows_of(rng, n), [out], check, **shape, **places)


@case("norms")
def l2_norm(rng: Rng, b: Buffers) -> Case:
    n, per_row, width = size(rng, 20), size(rng, 4), size(rng, 300)
    x = b.activations(normal(rng, n, per_row, width) * np.float32(rng.choice([0, 1e-9, 1])))
    out = b.results(n, per_row, width)

    def check() -> None:
        length = np.sqrt((x.astype(np.float64) ** 2).sum(-1, keepdims=True))
        wanted = x / np.maximum(length, np.float32(1e-6))
        close(out, wanted, np.abs(wanted), 1e-6)

    places = {"x": at(x), "out": at(out)}
    shape = {"width": width, "per_row": per_row, "eps": 1e-6}
    return made("norms:l2_norm", rows_of(rng, n), [out], check, **shape, **places)


@case("elementwise")
def rms_norm(rng: Rng, b: Buffers) -> Case:
    n, per_row, width = size(rng, 20), size(rng, 4), size(rng, 300)
    x = b.activations(normal(rng, n, per_row, width) * np.float32(10.0 ** rng.integers(-4, 4)))
    x[0, 0, : width // 2] = 0
    weight, out = b.put(normal(rng, width)), b.results(n, per_row, width)
    eps = float(rng.choice([1e-5, 1e-6]))

    def check() -> None:
        wide = x.astype(np.float64)
        wanted = wide / np.sqrt(np.mean(wide**2, -1, keepdims=True) + np.float32(eps)) * weight
        close(out, wanted, np.abs(wanted), 2e-6)

    places = {"x": at(x), "weight": at(weight), "out": at(out)}
    shape = {"width": width, "per_row": per_row, "eps": eps}
    return made("elementwise:rms_norm", rows_of(rng, n), [out], check, **shape, **places)


@case("elementwise")
def rope(rng: Rng, b: Buffers) -> Case:
    n, n_head, half = size(rng, 20), size(rng, 4), size(rng, 40)
    start, style = pick(rng, 0, 0, 3), pick(rng, 0, 1)
    head_dim = start + 2 * half + pick(rng, 0, 0, 1, 5)
    x, out = b.activations(normal(rng, n, n_head, head_dim)), b.results(n, n_head, head_dim)
    turned = rng.uniform(0, 7, (n, half))
    angles = b.put(np.concatenate([np.cos(turned), np.sin(turned)], 1).astype(np.float32))

    def check() -> None:
        cos, sin = angles[:, None, :half], angles[:, None, half:]
        pairs = x[..., start : start + 2 * half]
        first = pairs[..., ::2] if style else pairs[..., :half]
        second = pairs[..., 1::2] if style else pairs[..., half:]
        wanted = x.astype(np.float64)
        turned = wanted[..., start : start + 2 * half]
        turned[..., slice(0, None, 2) if style else slice(0, half)] = first * cos - second * sin
        turned[..., slice(1, None, 2) if style else slice(half, None)] = first * sin + second * cos
        close(out, wanted, np.abs(x).max(), 2e-7)
        for rest in (slice(0, start), slice(start + 2 * half, None)):
            same(out[..., rest].copy(), x[..., rest].copy())

    places = {"x": at(x), "angles": at(angles), "out": at(out)}
    shape = {"n_head": n_head, "head_dim": head_dim, "first": start, "half": half}
    shape["interleaved"] = style
    return made("elementwise:rope", rows_of(rng, n), [out], check, **shape, **places)


@case("experts", *GATINGS)
def top_experts(rng: Rng, b: Buffers, gating: str) -> Case:
    n, n_group = size(rng, 20), pick(rng, 1, 1, 4)
    n_expert = n_group * size(rng, 70 // n_group)
    n_group_used = int(rng.integers(1, n_group + 1))
    most = min(n_expert // n_group * n_group_used, 8)
    k, normalise = int(rng.integers(1, most + 1)), pick(rng, 0, 1)
    factor = float(rng.choice([1.0, 2.5]))
    # steps of a quarter: many are equal, and none nearly
    scores = b.activations((rng.integers(-30, 30, (n, n_expert)) / 4).astype(np.float32))
    bias, c = (0, None) if gating == "softmax" else vector_or_none(rng, b, n_expert)
    factors, f = vector_or_none(rng, b, n_expert)
    ranks = b.room((n, 2 * n_expert + n_group))
    out = b.room((n, k), spare_bytes((n, k)), np.int32)
    weights = b.results(n, k)

    def check() -> None:
        wide = scores.astype(np.float64)
        by: dict[str, Callable[[], Array]] = {
            "softmax": lambda: np.exp(wide) / np.exp(wide).sum(1, keepdims=True),
            "sigmoid": lambda: 1 / (1 + np.exp(-wide)),
            "sqrt_softplus": lambda: np.sqrt(np.log1p(np.exp(wide))),
            "chosen_softmax": lambda: wide,
        }
        p = by[gating]()
        rank = (p if c is None else p + c).reshape(n, n_group, -1)
        if n_group > 1:
            best = np.sort(rank, -1)[..., -2:].sum(-1)
            left_out = np.argsort(-best, -1, kind="stable")[:, n_group_used:]
            np.put_along_axis(rank, left_out[..., None], -np.inf, 1)
        rank = rank.reshape(n, -1)
        # ranks that are rounded differently may be equal here: then any of them is right
        chosen = np.argsort(-rank, axis=-1, kind="stable")[:, :k]
        if c is None and n_group == 1:
            same(out, chosen.astype(np.int32))
        taken, wanted = (np.take_along_axis(rank, e, 1) for e in (out.astype(int), chosen))
        close(taken, wanted, 1, 2e-6)
        assert all(len(set(row)) == k for row in out.tolist())
        share = np.take_along_axis(p, out.astype(int), 1)
        if gating == "chosen_softmax":
            share = np.exp(share)
        if normalise or gating == "chosen_softmax":
            share = share / np.maximum(share.sum(1, keepdims=True), 2**-14)
        share = share * factor * (1 if f is None else f[out])
        close(weights, share, np.abs(share) + 1e-30, 5e-6)

    places = {"scores": at(scores), "bias": bias, "factors": factors, "ranks": at(ranks)}
    places |= {"out": at(out), "weights": at(weights)}
    shape = {"n_expert": n_expert, "k": k, "normalise": normalise, "scale": factor}
    shape |= {"n_group": n_group, "n_group_used": n_group_used}
    return made(f"experts:{gating}", rows_of(rng, n), [out, weights], check, **shape, **places)


@case("elementwise")
def weighted_sum(rng: Rng, b: Buffers) -> Case:
    n, k, width = size(rng, 20), size(rng, 8), size(rng, 100)
    x, weights = b.activations(normal(rng, n, k, width)), b.activations(normal(rng, n, k))
    out = b.results(n, width)

    def check() -> None:
        terms = weights[..., None].astype(np.float64) * x
        close(out, terms.sum(1), np.abs(terms).sum(1), 1e-6)

    places = {"x": at(x), "weights": at(weights), "out": at(out)}
    shape = {"k": k, "width": width}
    return made("elementwise:weighted_sum", rows_of(rng, n), [out], check, **shape, **places)


@case("elementwise")
def select_outputs(rng: Rng, b: Buffers) -> Case:
    n, width = size(rng, 20), size(rng, 100)
    outputs = int(rng.integers(0, n + 1))
    x, out = b.activations(normal(rng, n, width)), b.results(outputs, width)
    check = lambda: same(out, x[n - outputs :])  # noqa: E731
    words = {"tokens": layout.RUN_TOKENS, "outputs": layout.RUN_OUTPUTS}
    arguments = {"x": at(x), "out": at(out), "width": width, **words}
    return Case("elementwise:select_outputs", arguments, [out], check, n, outputs)


# ---- recurrences --------------------------------------------------------------------------------


@case("recurrence")
def convolution(rng: Rng, b: Buffers) -> Case:
    n, width, taps = size(rng, 9), size(rng, 70), pick(rng, 2, 3, 4, 6)
    x, out = b.activations(normal(rng, n, width)), b.results(n, width)
    filters, memory = b.put(normal(rng, taps, width)), b.put(normal(rng, taps - 1, width))
    bias, c = vector_or_none(rng, b, width)
    row = np.concatenate([memory, x]).astype(np.float64)

    def check() -> None:
        wanted = sum(filters[i] * row[i : i + n] for i in range(taps))
        close(out, wanted if c is None else wanted + c, np.abs(row).max() * taps * 3, 1e-6)
        same(memory, row[n:].astype(np.float32))

    places = {"x": at(x), "filters": at(filters), "bias": bias, "memory": at(memory)}
    arguments = {**places, "out": at(out), "width": width, "taps": taps, "rows": 0}
    return Case("recurrence:convolution", arguments, [out, memory], check, n)


@case("recurrence")
def token_shift(rng: Rng, b: Buffers) -> Case:
    n, width = size(rng, 9), size(rng, 70)
    x, out = b.activations(normal(rng, n, width)), b.results(n, width)
    memory = b.put(normal(rng, width))
    row = np.concatenate([memory[None], x])

    def check() -> None:
        same(out, row[:-1])
        same(memory, row[-1])

    arguments = {"x": at(x), "memory": at(memory), "out": at(out), "width": width, "rows": 0}
    return Case("recurrence:token_shift", arguments, [out, memory], check, n)


@case("recurrence")
def selective_scan(rng: Rng, b: Buffers) -> Case:
    n, n_group, n_state = size(rng, 6), size(rng, 3), size(rng, 40)
    n_head, dim, per_state = n_group * size(rng, 4), size(rng, 6), pick(rng, 0, 1)
    x, dt = (
        b.activations(normal(rng, n, n_head, dim)),
        b.activations(np.abs(normal(rng, n, n_head))),
    )
    right, left = (b.activations(normal(rng, n, n_group, n_state)) for _ in "bc")
    a = b.put(-np.abs(normal(rng, n_head, n_state if per_state else 1)))
    skip, d = vector_or_none(rng, b, n_head)
    memory, out = b.put(normal(rng, n_head, dim, n_state)), b.results(n, n_head, dim)
    h = memory.astype(np.float64)

    def check() -> None:
        each = n_head // n_group
        for t in range(n):
            h[...] *= np.exp(dt[t, :, None] * a.astype(np.float64))[:, None]
            grown = (dt[t, :, None] * x[t])[..., None] * np.repeat(right[t], each, 0)[:, None]
            h[...] += grown
            wanted = np.einsum("hdn,hn->hd", h, np.repeat(left[t], each, 0))
            wanted += 0 if d is None else d[:, None] * x[t]
            close(out[t], wanted, 10 * n_state, 1e-6)
        close(memory, h, 10, 1e-6)

    places = {"x": at(x), "dt": at(dt), "b": at(right), "c": at(left), "a": at(a)}
    places["d"] = skip
    shape = {"n_head": n_head, "dim": dim, "n_group": n_group, "n_state": n_state}
    words = {"per_state": per_state, "rows": 0, "memory": at(memory), "out": at(out)}
    return Case("recurrence:selective_scan", {**places, **shape, **words}, [out, memory], check, n)


@case("recurrence")
def delta_rule(rng: Rng, b: Buffers) -> Case:
    n, n_head, key_dim, value_dim = size(rng, 6), size(rng, 3), size(rng, 20), size(rng, 40)
    q, k = (b.activations(normal(rng, n, n_head, key_dim) / 5) for _ in "qk")
    v, beta = b.activations(normal(rng, n, n_head, value_dim)), rng.uniform(0, 1, (n, n_head))
    share = b.activations(beta.astype(np.float32))
    per_key = pick(rng, 0, 1)
    decay = b.activations(-np.abs(normal(rng, n, n_head, key_dim if per_key else 1)))
    memory, out = b.put(normal(rng, n_head, key_dim, value_dim)), b.results(n, n_head, value_dim)
    s = memory.astype(np.float64)

    def check() -> None:
        for t in range(n):
            s[...] *= np.exp(decay[t].astype(np.float64))[..., None]
            wrong = share[t][:, None] * (v[t] - np.einsum("hkv,hk->hv", s, k[t]))
            s[...] += k[t][..., None] * wrong[:, None]
            close(out[t], 0.25 * np.einsum("hkv,hk->hv", s, q[t]), 10, 2e-6)
        close(memory, s, 10, 2e-6)

    places = {"q": at(q), "k": at(k), "v": at(v), "decay": at(decay), "beta": at(share)}
    shape = {"n_head": n_head, "key_dim": key_dim, "value_dim": value_dim, "per_key": per_key}
    words = {"scale": 0.25, "rows": 0, "memory": at(memory), "out": at(out)}
    return Case("recurrence:delta_rule", {**places, **shape, **words}, [out, memory], check, n)


@case("recurrence")
def wkv(rng: Rng, b: Buffers) -> Case:
    n, n_head, key_dim, value_dim = size(rng, 6), size(rng, 3), size(rng, 20), size(rng, 40)
    r, k, second, first = (b.activations(normal(rng, n, n_head, key_dim) / 4) for _ in "rkba")
    v, with_a, before = b.activations(normal(rng, n, n_head, value_dim)), pick(rng, 0, 1), 0
    before = 0 if with_a else pick(rng, 0, 1)
    decay = b.activations(-np.abs(normal(rng, n, n_head, key_dim)))
    memory, out = b.put(normal(rng, n_head, key_dim, value_dim)), b.results(n, n_head, value_dim)
    s = memory.astype(np.float64)

    def check() -> None:
        for t in range(n):
            old = s.copy()
            s[...] *= np.exp(decay[t].astype(np.float64))[..., None]
            s[...] += k[t][..., None] * v[t][:, None]
            if with_a:
                s[...] += second[t][..., None] * np.einsum("hkv,hk->hv", old, first[t])[:, None]
            close(out[t], np.einsum("hkv,hk->hv", old if before else s, r[t]), 20, 2e-6)
        close(memory, s, 20, 2e-6)

    places = {"r": at(r), "k": at(k), "v": at(v), "decay": at(decay)}
    places |= {"a": at(first) if with_a else 0, "b": at(second) if with_a else 0}
    shape = {"n_head": n_head, "key_dim": key_dim, "value_dim": value_dim, "before": before}
    words = {"rows": 0, "memory": at(memory), "out": at(out)}
    return Case("recurrence:wkv", {**places, **shape, **words}, [out, memory], check, n)


# ---- the tokens of each expert ------------------------------------------------------------------


def ordered(chosen: Array, n_expert: int, align: int) -> tuple[Array, Array]:
    """chosen (n, k) as the words of an `order`, and the pair of each of its slots, or -1."""
    ends, heads = np.zeros(n_expert, np.int32), np.full((n_expert, 3), -1, np.int32)
    slots, numbers = np.empty(0, np.int32), np.unique(chosen)
    for i, e in enumerate(numbers):
        pairs = np.flatnonzero(chosen == e).astype(np.int32)
        heads[i] = e, len(slots), len(pairs)
        ends[e] = len(slots) + len(pairs)
        slots = np.concatenate([slots, np.pad(pairs, (0, -len(pairs) % align), constant_values=-1)])
    counts = np.array([len(slots), len(numbers)], np.int32)
    return np.concatenate([counts, ends, heads.reshape(-1), slots]), slots


def choices(rng: Rng, n: int, n_expert: int, k: int) -> Array:
    """int32 (n, k): a token chooses an expert at most once, and some experts often."""
    liked = np.sort(rng.permuted(np.tile(np.arange(n_expert), (n, 1)), axis=1)[:, :k], axis=1)
    return np.ascontiguousarray(liked, np.int32)


@case("order")
def order(rng: Rng, b: Buffers) -> Case:
    n, n_expert, align = size(rng, 70), size(rng, 20), pick(rng, 2, 4, 16)
    k = int(rng.integers(1, min(n_expert, 4) + 1))
    chosen = choices(rng, n, n_expert, k)
    words, _ = ordered(chosen, n_expert, align)
    out = b.room((layout.order_bytes(n * k, n_expert, align) // 4,), 0, np.int32)
    check = lambda: same(out[: len(words)], words)  # noqa: E731
    shape = {"n_expert": n_expert, "k": k, "align": align}
    places = {"chosen": at(b.put(chosen, spare_bytes((n, k)))), "out": at(out)}
    return made("order:", rows_of(rng, n), [out], check, **shape, **places)


def order_for(rng: Rng, b: Buffers, n: int) -> tuple[dict[str, int], Array, int]:
    """An order of n tokens as arguments, the sources of its slots or -1, and rows of activations.

    The rows are those of the tokens, or of the pairs.
    """
    n_expert, per = size(rng, 6), 1
    k = int(rng.integers(1, min(n_expert, 3) + 1))
    words, slots = ordered(choices(rng, n, n_expert, k), n_expert, TILE)
    if rng.integers(2):
        per = k
    arguments = {"order": at(b.put(words)), "n_expert": n_expert, "per": per}
    return arguments, np.where(slots < 0, -1, slots // per), n * k // per


# ---- quantised activations ----------------------------------------------------------------------


def quantised(x: Array) -> tuple[Array, Array]:
    """x (n, width) as int8 (n, blocks, 32) and float32 scales (n, blocks)."""
    parts = x.reshape(len(x), -1, PART)
    peak = np.abs(parts).max(-1)
    factor = np.where(peak > 0, 127 / np.where(peak > 0, peak, 1).astype(np.float64), 0)
    whole = np.rint(parts * factor.astype(np.float32)[..., None])
    return whole.astype(np.int8), (peak.astype(np.float64) / 127).astype(np.float32)


def tiled(
    values: Array, tile: int, rows: int, fill: int = 0xFF, live: Array | None = None
) -> Array:
    """values (n, blocks, m) where `matmul` wants them, in a place for `rows` rows: (slots, m).

    Those that are not `live` are at the ends of tiles, and not there.
    """
    n, blocks, m = values.shape
    raw = np.full(rows * blocks * m * values.itemsize, fill, np.uint8)
    out = raw.view(values.dtype).reshape(-1, m)
    for start in range(0, n, tile):
        some = values[start : start + tile]
        if live is not None:
            some = some[live[start : start + tile]]
        room = min(size for size in (1, 2, 4, 8, 16) if size >= len(some))
        places = out[blocks * start :][: blocks * room].reshape(blocks, room, m)
        places[:, : len(some)] = some.transpose(1, 0, 2)
    return out


def sums_of(q: Array, spans: int, zero: int) -> Array:
    """What goes along with q (n, blocks, 32): (n, blocks, spans)."""
    sums = q.reshape(*q.shape[:2], spans, -1).sum(-1, dtype=np.int32)
    return sums.astype(np.float32) if zero == 0 else np.int32(-zero) * sums


@case("quantize")
def quantize(rng: Rng, b: Buffers) -> Case:
    n, per_row, blocks = size(rng, 20), pick(rng, 1, 1, 3), size(rng, 5)
    spans, zero = pick(rng, 1, 2), pick(rng, 0, 8, 32, 128)
    x = normal(rng, n, per_row, blocks * PART) * np.float32(10.0 ** rng.integers(-30, 30))
    x[0, 0, :PART] = 0
    x[0, -1, -1] *= 1000
    x = b.activations(x)
    total = n * per_row
    slots = (total + TILE) * blocks
    out, scale, sums = (
        b.room((slots, m), 0, dtype)
        for m, dtype in ((PART, np.int8), (1, np.float32), (spans, np.int32))
    )

    def check() -> None:
        q, s = quantised(x.reshape(total, -1))
        rows = total + TILE
        same(out, tiled(q, TILE, rows))
        same(scale, tiled(s[..., None], TILE, rows))
        same(sums, tiled(sums_of(q, spans, zero), TILE, rows).view(np.int32))

    places = {"x": at(x), "out": at(out), "scale": at(scale), "sums": at(sums)}
    shape = {"width": blocks * PART, "spans": spans, "zero": zero, "tile": TILE, "per_row": per_row}
    shape |= {"order": 0, "n_expert": 0, "per": 1}
    return made("quantize:", rows_of(rng, n), [out, scale, sums], check, **shape, **places)


@case("quantize")
def quantize_in_order(rng: Rng, b: Buffers) -> Case:
    n, blocks = size(rng, 40), size(rng, 5)
    spans, zero = pick(rng, 1, 2), pick(rng, 0, 8)
    order, sources, n_rows = order_for(rng, b, n)
    x = b.activations(normal(rng, n_rows, blocks * PART))
    out, scale, sums = (
        b.room((len(sources) * blocks, m), 0, dtype)
        for m, dtype in ((PART, np.int8), (1, np.float32), (spans, np.int32))
    )

    def check() -> None:
        q, s = quantised(x[sources])
        for found, wanted in ((out, q), (scale, s[..., None]), (sums, sums_of(q, spans, zero))):
            placed = tiled(wanted, TILE, len(sources), live=sources >= 0)
            same(found, placed.view(found.dtype))

    places = {"x": at(x), "out": at(out), "scale": at(scale), "sums": at(sums)}
    shape = {"width": blocks * PART, "spans": spans, "zero": zero, "tile": TILE, "per_row": 1}
    counts = rows_of(rng, n)
    return made("quantize:", counts, [out, scale, sums], check, **shape, **places, **order)


# ---- products -----------------------------------------------------------------------------------


def beside(sizes: Array, words: Array) -> Array:
    """Halves laid into the upper four bits of four words each: uint16 (n, 4)."""
    nibbles = sizes.astype(np.float16).view(np.uint16)[:, None] >> np.arange(0, 16, 4)
    return words & 0xFFF | (nibbles & 15) << 12


def random_rows(rng: Rng, format: WeightFormat, rows: int, width: int) -> Array:
    """uint8 (rows, bytes): any codes, and scales of ordinary size, some of them 0."""
    data = np.frombuffer(rng.bytes(rows * format.row_bytes(width)), np.uint8).copy()
    if format.name in FLOATS:
        return format.encode(normal(rng, rows, width))
    blocks = data.view(format.layout)
    for name, (kind, *_) in (format.layout.fields or {}).items():
        if kind.base == np.float16 or (format.name, name) == ("iq1_m", "scales"):
            sizes = rng.standard_normal(len(blocks)) * (rng.random(len(blocks)) > 0.05)
            blocks[name] = sizes if kind.base == np.float16 else beside(sizes, blocks[name])
    if format.name == "mxfp4":  # powers of two; the least is nearly 0
        blocks["e"] = rng.integers(118, 132, len(blocks)) * (rng.random(len(blocks)) > 0.05)
    return data.reshape(rows, -1)


def interleave(format: WeightFormat, data: Array, n_matrices: int) -> Array:
    """data (rows, bytes) as `relayout` must write it, field by field: uint8."""
    rows = data.shape[0] // n_matrices
    groups, blocks = -(-rows // ROWS), data.shape[1] // format.block_bytes
    full = np.zeros((n_matrices, groups * ROWS, blocks, format.block_bytes), np.uint8)
    full[:, :rows] = data.reshape(n_matrices, rows, blocks, -1)
    full = full.reshape(n_matrices, groups, ROWS, blocks, -1)
    parts = [
        full[..., offset : offset + n]
        .transpose(0, 1, 3, 2, 4)
        .reshape(n_matrices, groups, blocks, -1)
        for offset, n in pieces(format)
    ]
    return np.ascontiguousarray(np.concatenate(parts, -1)).reshape(-1)


@case("quantize", *FAST)
def relayout(rng: Rng, b: Buffers, name: str) -> Case:
    format = quant.by_name(name)
    n_matrices, n_out, blocks = pick(rng, 1, 1, 3), size(rng, 40), size(rng, 3)
    data = b.put(random_rows(rng, format, n_matrices * n_out, blocks * format.block))
    wanted = interleave(format, data, n_matrices)
    out, cut = b.put(np.zeros_like(wanted)), b.put(pieces(format))
    arguments = {
        "w": at(data), "out": at(out), "n_matrices": n_matrices, "n_out": n_out,
        "n_blocks": blocks, "block_bytes": format.block_bytes, "pieces": at(cut),
        "n_pieces": len(cut), "chunk": pick(rng, 1, 2, 8),
    }  # fmt: skip
    return Case("relayout:", arguments, [out], lambda: same(out, wanted), 0)


def operand(
    b: Buffers, name: str, x: Array, live: Array | None = None
) -> tuple[dict[str, Any], Array]:
    """x (n, width) as the arguments of `matmul`, and the values that it then has; see `tiled`."""
    wants, rows = FAST[name], len(x) + TILE
    q, scale = quantised(x)
    sums = sums_of(q, wants.spans, wants.zero)
    arguments = {
        "x": at(b.put(tiled(q, TILE, rows, live=live))),
        "x_scale": at(b.put(tiled(scale[..., None], TILE, rows, live=live))),
        "x_sum": at(b.put(tiled(sums, TILE, rows, live=live))),
    }
    return arguments, (q * scale[..., None].astype(np.float64)).reshape(x.shape)


def bias_for(rng: Rng, b: Buffers, *shape: int) -> tuple[int, Array]:
    """Its address, 0 in half of the cases, and its values."""
    if rng.integers(2):
        return 0, np.zeros(shape, np.float32)
    values = b.put(normal(rng, *shape))
    return at(values), values


def check_product(out: Array, w: Array, x: Array, bias: Array) -> None:
    """out (..., n_out) is w (..., n_out, n_in) @ x (..., n_in) + bias, up to float32 sums."""
    w = w.astype(np.float64)
    wanted = np.einsum("...oi,...i->...o", w, x) + bias
    sizes = np.einsum("...oi,...i->...o", np.abs(w), np.abs(x)) + np.abs(bias)
    close(out, wanted, sizes + 1e-30, 1e-6)


@case("matmul", *FAST)
def matmul(rng: Rng, b: Buffers, name: str) -> Case:
    format = quant.by_name(name)
    n, n_out, blocks = size(rng, 20), size(rng, 70), size(rng, 512 // format.block)
    data = random_rows(rng, format, n_out, blocks * format.block)
    w = b.put(interleave(format, data, 1))
    arguments, x = operand(b, name, normal(rng, n, blocks * format.block))
    bias_at, bias = bias_for(rng, b, n_out)
    out = b.results(n, n_out)
    check = lambda: check_product(out, format.decode(data), x, bias)  # noqa: E731
    shape = {"n_out": n_out, "n_blocks": blocks, "chunk": pick(rng, 2, 6), "bias": bias_at}
    kernel, counts = f"matmul:{name},{TILE}", rows_of(rng, n)
    return made(kernel, counts, [out], check, w=at(w), out=at(out), **shape, **arguments)


@case("matmul_float", *FLOATS)
def matmul_float(rng: Rng, b: Buffers, name: str) -> Case:
    format = quant.by_name(name)
    n, n_out, n_in = size(rng, 20), size(rng, 40), size(rng, 120)
    data = b.put(random_rows(rng, format, n_out, n_in))
    x, out = b.activations(normal(rng, n, n_in)), b.results(n, n_out)
    bias_at, bias = bias_for(rng, b, n_out)
    check = lambda: check_product(out, format.decode(data), x, bias)  # noqa: E731
    shape = {"n_out": n_out, "n_in": n_in, "chunk": pick(rng, 1, 3), "bias": bias_at}
    places = {"w": at(data), "x": at(x), "out": at(out)}
    kernel = f"matmul_float:{name},{FLOAT_TILE}"
    return made(kernel, rows_of(rng, n), [out], check, **shape, **places)


@case("matmul", *FAST)
@case("matmul_float", *FLOATS)
def experts(rng: Rng, b: Buffers, name: str) -> Case:
    format = quant.by_name(name)
    n, n_expert, n_out = size(rng, pick(rng, 4, 60)), size(rng, 6), size(rng, 40)
    n_in = size(rng, 100) if name in FLOATS else format.block * size(rng, 512 // format.block)
    k = int(rng.integers(1, min(n_expert, 4) + 1))
    chosen = choices(rng, n, n_expert, k)
    words, slots = ordered(chosen, n_expert, TILE)
    data = random_rows(rng, format, n_expert * n_out, n_in)
    bias_at, bias = bias_for(rng, b, n_expert, n_out)
    out = b.results(n * k, n_out)
    arguments: dict[str, Any] = {"order": at(b.put(words)), "n_expert": n_expert, "bias": bias_at}
    arguments |= {"n_out": n_out, "chunk": pick(rng, 2, 4, 64), "out": at(out)}
    if name in FLOATS:
        per = pick(rng, 1, k)
        x = normal(rng, n * k // per, n_in)
        arguments |= {"w": at(b.put(data)), "x": at(b.activations(x)), "n_in": n_in, "per": per}
        kernel, x = f"matmul_float:{name},1,experts", np.repeat(x, per, 0)
    else:
        live, x = slots >= 0, np.empty((n * k, n_in))
        made_of_x, values = operand(b, name, normal(rng, len(slots), n_in), live)
        w = b.put(interleave(format, data, n_expert))
        arguments |= {"w": at(w), "n_blocks": n_in // format.block, **made_of_x}
        kernel, x[slots[live]] = f"matmul:{name},{TILE},experts", values[live]

    def check() -> None:
        numbers = chosen.reshape(-1)
        w = format.decode(data).reshape(n_expert, n_out, n_in)[numbers]
        check_product(out, w, x, bias[numbers])

    return Case(kernel, arguments, [out], check, 0)


# ---- products of many tokens by AMX -------------------------------------------------------------


def bf16(x: Array) -> Array:
    """float32 values as the nearest bf16, in its 16 bits; halves are rounded away from zero."""
    bits = x.view(np.uint32).astype(np.uint64) + 0x8000
    return np.where(np.isnan(x), 0x7FC0, bits >> 16).astype(np.uint16)


def packed(x: Array, terms: int = 1) -> Array:
    """x (n, width) as tiles: uint16 (n / 16, width / 32, 16, 32), missing tokens being NaN.

    For more than one of the `terms`, a tile of high parts, one of low parts, one of high parts.
    """
    if terms > 1:
        high = (x.view(np.uint32) & 0xFFFF0000).view(np.float32)
        with np.errstate(invalid="ignore"):
            each = [packed(part) for part in (high, x - high, high)[:terms]]
        tiles = np.stack(each, 2)
        return tiles.reshape(tiles.shape[0], -1, 16, PART)
    n, width = -(-len(x) // 16) * 16, -(-x.shape[1] // PART) * PART
    full = np.full((n, width), 0xFFFF, np.uint16)
    full[: len(x)] = 0
    full[: len(x), : x.shape[1]] = bf16(x)
    return np.ascontiguousarray(full.reshape(-1, 16, width // PART, PART).swapaxes(1, 2))


def amx_pack(rng: Rng, b: Buffers, terms: str) -> Case:
    n, width = size(rng, 70), size(rng, 200)
    x = normal(rng, n, width) * np.float32(10.0 ** rng.integers(-30, 30))
    x[0, 0] = rng.choice([np.nan, np.inf, -np.inf, 0])
    wanted, x = packed(x, int(terms)), b.activations(x)
    out = b.room(wanted.shape, 0, np.uint16)
    check = lambda: same(out, wanted)  # noqa: E731
    places = {"x": at(x), "out": at(out), "order": 0, "n_expert": 0, "per": 1}
    return made(f"amx:pack,{terms}", rows_of(rng, n), [out], check, width=width, **places)


def amx_pack_in_order(rng: Rng, b: Buffers) -> Case:
    n, width = size(rng, 70), size(rng, 200)
    order, sources, n_rows = order_for(rng, b, n)
    x = b.activations(normal(rng, n_rows, width))
    wanted = packed(x[sources])
    empty = np.flatnonzero(sources < 0)
    wanted[empty // 16, :, empty % 16] = 0xFFFF
    out = b.room(wanted.shape, 0, np.uint16)
    check = lambda: same(out, wanted)  # noqa: E731
    places = {"x": at(x), "out": at(out), **order}
    return made("amx:pack,1", rows_of(rng, n), [out], check, width=width, **places)


def check_rounded(out: Array, w: Array, x: Array, bias: Array) -> None:
    """out (n, n_out) is x (n, n_in) @ w (n_out, n_in) + bias, both factors rounded to bf16."""
    rounded = (bf16(x).astype(np.uint32) << 16).view(np.float32)
    wanted = rounded.astype(np.float64) @ w.T + bias
    sizes = np.abs(rounded) @ np.abs(w).T + np.abs(bias)
    close(out, wanted, sizes + 1e-30, 2.0**-8)  # weights are rounded to 8 bits
    # ... mostly one apart from another, so that errors cancel
    error, whole = out - wanted, np.sqrt((rounded.astype(np.float64) ** 2) @ (w**2).T)
    close(error, np.zeros_like(error), whole + np.abs(wanted) / 4 + 1e-30, 2.0**-6)


def check_precise(out: Array, w: Array, x: Array, bias: Array) -> None:
    """The same, but for the product of the low parts, which are below 2^-7 of the factors."""
    sizes = np.abs(x) @ np.abs(w).T + np.abs(bias)
    close(out, x.astype(np.float64) @ w.T + bias, sizes + 1e-30, 2.0**-13)


def amx_product(rng: Rng, b: Buffers, name: str) -> Case:
    format = quant.by_name(name)
    n, n_out = size(rng, 70), size(rng, 70)
    n_in = size(rng, 200) if name in FLOATS else format.block * size(rng, 512 // format.block)
    n_in += pick(rng, 0, 0, 0, PART * layout.AMX_STEPS, 2 * PART * layout.AMX_STEPS)
    data = random_rows(rng, format, n_out, n_in)
    w = b.put(data if name in FLOATS else interleave(format, data, 1))
    x = normal(rng, n, n_in)
    bias_at, bias = bias_for(rng, b, n_out)
    out = b.results(n, n_out)
    scratch_bytes = layout.amx_scratch(name, n_in, n)
    scratch = b.room((MOST_THREADS * scratch_bytes,), 0, np.uint8)
    by = check_precise if name in FLOATS else check_rounded
    check = lambda: by(out, format.decode(data), x, bias)  # noqa: E731
    shape = {"n_out": n_out, "n_in": n_in, "chunk": pick(rng, 2, 4), "bias": bias_at}
    places = {
        "w": at(w),
        "x": at(b.put(packed(x, layout.AMX_TERMS.get(name, 1)))),
        "out": at(out),
        "scratch": at(scratch),
    }
    shape |= {"scratch_bytes": scratch_bytes, "order": 0, "n_expert": 1}
    return made(f"amx:{name}", rows_of(rng, n), [out], check, **shape, **places)


def amx_experts(rng: Rng, b: Buffers, name: str) -> Case:
    format = quant.by_name(name)
    n, n_out, n_expert = size(rng, 70), size(rng, 40), size(rng, 5)
    k = int(rng.integers(1, min(n_expert, 3) + 1))
    n_in = size(rng, 200) if name in FLOATS else format.block * size(rng, 512 // format.block)
    n_in += pick(rng, 0, 0, 0, PART * layout.AMX_STEPS)
    data = random_rows(rng, format, n_expert * n_out, n_in)
    w = b.put(data if name in FLOATS else interleave(format, data, n_expert))
    chosen = choices(rng, n, n_expert, k)
    words, slots = ordered(chosen, n_expert, 16)
    x = normal(rng, n * k, n_in)
    filled = np.where(slots[:, None] < 0, np.float32(np.nan), x[slots])
    tiles = packed(filled, layout.AMX_TERMS.get(name, 1))
    bias_at, bias = bias_for(rng, b, n_expert, n_out)
    out = b.results(n * k, n_out)
    scratch_bytes = layout.amx_scratch(name, n_in, n)
    scratch = b.room((MOST_THREADS * scratch_bytes,), 0, np.uint8)

    by = check_precise if name in FLOATS else check_rounded

    def check() -> None:
        matrices = format.decode(data).reshape(n_expert, n_out, n_in)
        for e in range(n_expert):
            pairs = np.flatnonzero(chosen == e)
            by(out[pairs], matrices[e], x[pairs], bias[e])

    shape = {"n_out": n_out, "n_in": n_in, "chunk": pick(rng, 2, 4), "bias": bias_at}
    places = {"w": at(w), "x": at(b.put(tiles)), "out": at(out), "scratch": at(scratch)}
    shape |= {"scratch_bytes": scratch_bytes, "order": at(b.put(words)), "n_expert": n_expert}
    return made(f"amx:{name}", rows_of(rng, n), [out], check, **shape, **places)


if processor().matrix_tiles:
    case("amx", "1", "2", "3")(amx_pack)
    case("amx")(amx_pack_in_order)
    case("amx", *FAST, "f16", "bf16")(amx_product)
    case("amx", *FAST, "f16", "bf16")(amx_experts)


# ---- attention ----------------------------------------------------------------------------------

KV = {"f16": np.float16, "f32": np.float32, "q8_0": None, "q4_0": None}
SPAN, FEW = layout.SPAN, layout.FEW


def in_blocks(kind: str, x: Array) -> tuple[Array, Array]:
    """x (..., dim) as a packed cache keeps it: uint8 (..., blocks, 2), the scales, and codes."""
    wide = np.pad(x, ((0, 0),) * (x.ndim - 1) + ((0, -x.shape[-1] % PART),))
    shape, rows = (*x.shape[:-1], wide.shape[-1] // PART), np.nan_to_num(wide)
    if kind == "q8_0":
        codes, scales = quantised(rows.reshape(-1, wide.shape[-1]))
        halves, codes = scales.astype(np.float16), codes.view(np.uint8)
    else:
        blocks = FORMATS[kind].encode(rows.reshape(-1, PART))
        halves, codes = np.ascontiguousarray(blocks[:, :2]).view(np.float16), blocks[:, 2:]
    halves = halves.reshape(shape)
    halves[np.isnan(x).any(-1)] = np.nan
    return halves[..., None].view(np.uint8), codes.reshape(*shape, -1)


def kept(kind: str, x: Array) -> Array:
    """What a cache of that kind makes of x (..., dim), as float32."""
    if KV[kind] is not None:
        return x.astype(KV[kind]).astype(np.float32)
    made = FORMATS[kind].decode(np.concatenate(in_blocks(kind, x), -1).reshape(-1, 2 + CODES[kind]))
    return made.reshape(*x.shape[:-1], -1)[..., : x.shape[-1]]


CODES = {"q8_0": 32, "q4_0": 16}  # bytes of 32 values


def asked(kind: str, q: Array, scale: float) -> Array:
    """What is made of queries (n, heads, dim) for a cache of that kind."""
    q = q * np.float32(scale)
    if KV[kind] is not None:
        return q
    wide = np.pad(q, ((0, 0), (0, 0), (0, -q.shape[-1] % PART)))
    codes, scales = quantised(wide.reshape(-1, wide.shape[-1]))
    return (codes * scales[..., None]).reshape(wide.shape)[..., : q.shape[-1]]


def key_cache(kind: str, x: Array) -> Array:
    """Keys x (heads, positions, dim) as they lie in the cache."""
    heads, positions, dim = x.shape
    grouped = x.reshape(heads, positions // ROWS, ROWS, dim)
    if KV[kind] is not None:
        return np.ascontiguousarray(grouped.swapaxes(2, 3).astype(KV[kind]))
    scales, codes = (a.swapaxes(2, 3) for a in in_blocks(kind, grouped))  # blocks before 16
    quads = codes.reshape(*codes.shape[:4], -1, 4).swapaxes(3, 4)
    blocks = [a.reshape(*a.shape[:3], -1) for a in (scales, quads)]
    return np.concatenate(blocks, -1).reshape(heads, positions // ROWS, -1)


def value_cache(kind: str, x: Array) -> Array:
    """Values x (heads, positions, dim) as they lie in the cache."""
    heads, positions, dim = x.shape
    wide = np.pad(x, ((0, 0), (0, 0), (0, -dim % PART)))
    grouped = wide.reshape(heads, positions // ROWS, ROWS, -1)
    if KV[kind] is not None:
        parts = grouped.reshape(*grouped.shape[:3], -1, PART).swapaxes(2, 3)
        return np.ascontiguousarray(parts.astype(KV[kind]))
    blocks = [a.swapaxes(2, 3) for a in in_blocks(kind, grouped)]
    blocks = [a.reshape(*a.shape[:3], -1) for a in blocks]
    return np.concatenate(blocks, -1).reshape(heads, positions // ROWS, -1)


def context(end: int, *more: int) -> int:
    """Positions of a cache that holds `end` of them."""
    return -(-end // layout.PAGE) * layout.PAGE + sum(more)


def shuffled(n_ctx: int) -> Array:
    """Where the pages of a sequence lie."""
    return np.random.default_rng(n_ctx).permutation(n_ctx // layout.PAGE).astype(np.int64)


def in_pages(cache: Array, pages: Array) -> Array:
    """A cache (heads, groups, ...) cut into pages, and these laid as `pages` says."""
    cut = cache.reshape(len(cache), len(pages), -1, *cache.shape[2:]).swapaxes(0, 1)
    laid = np.empty_like(cut, order="C")
    laid[pages] = cut
    return laid


def dimensions(rng: Rng) -> tuple[int, int]:
    key_dim = pick(rng, 8, 20, 64, 80, 128, 256, size(rng, 40))
    return key_dim, pick(rng, key_dim, key_dim, 1, 16, 48, 72)


@case("attention", *KV)
def store(rng: Rng, b: Buffers, kind: str) -> Case:
    n, n_head, (key_dim, value_dim) = size(rng, 20), size(rng, 3), dimensions(rng)
    position = pick(rng, 0, 0, int(rng.integers(0, 120)), 63, 64)
    n_ctx = context(position + n, pick(rng, 0, layout.PAGE))
    k, v = (
        b.activations(normal(rng, n, n_head, key_dim)),
        b.activations(normal(rng, n, n_head, value_dim)),
    )
    before_k = normal(rng, n_head, n_ctx, key_dim)
    before_v = normal(rng, n_head, n_ctx, value_dim)
    pages = b.put(shuffled(n_ctx))
    keys = b.put(in_pages(key_cache(kind, before_k), pages))
    values = b.put(in_pages(value_cache(kind, before_v), pages))
    partials = b.put(np.full(64 * n_head, GUARD, np.uint8))

    def check() -> None:
        after_k, after_v = before_k.copy(), before_v.copy()
        after_k[:, position : position + n] = k.swapaxes(0, 1)
        after_v[:, position : position + n] = v.swapaxes(0, 1)
        same(keys, in_pages(key_cache(kind, after_k), pages))
        same(values, in_pages(value_cache(kind, after_v), pages))
        assert not partials.view(np.int64)[::8].any()

    arguments = {
        "k": at(k), "v": at(v), "keys": at(keys), "values": at(values), "partials": at(partials),
        "n_head": n_head, "key_dim": key_dim, "value_dim": value_dim, "pages": at(pages),
    }  # fmt: skip
    kernel = f"attention:store,{kind}"
    return Case(kernel, arguments, [keys, values], check, n, 0, position)


@dataclass
class Bent:
    """What some models do to scores, and with what; 0 or None for what is not done."""

    window: int = 0
    chunk: int = 0
    softcap: float = 0.0
    slopes: Array | None = None
    sinks: Array | None = None
    ahead: int = 0
    far: int = 0
    biases: Array | None = None  # (n_head, 2 * far + 33): the first and the last 17 are alike

    @property
    def arguments(self) -> dict[str, float]:
        vectors = {"slopes": self.slopes, "sinks": self.sinks, "biases": self.biases}
        return {
            "window": self.window,
            "ahead": self.ahead,
            "chunk": self.chunk,
            "softcap": self.softcap,
            "far": self.far,
            **{name: 0 if v is None else at(v) for name, v in vectors.items()},
        }


def bent(rng: Rng, b: Buffers, n_head: int, end: int) -> Bent:
    """Nothing, or some of it."""
    if rng.integers(2):
        return Bent()
    some = [b.put(normal(rng, n_head)) if rng.integers(2) else None for _ in range(2)]
    if some[0] is not None:
        some[0][:] = np.abs(some[0]) / 8
    window, chunk = int(rng.integers(1, 2 * end + 1)), int(rng.integers(1, end + 1))
    which = pick(rng, 0, 1, 2)
    far = int(rng.integers(0, 40))
    by_distance = np.pad(normal(rng, n_head, 2 * far + 1), ((0, 0), (16, 16)), "edge")
    return Bent(
        window if which == 1 else 0,
        chunk if which == 2 else 0,
        float(rng.choice([0.0, 0.5, 3.0])),
        slopes=some[0],
        sinks=some[1],
        ahead=pick(rng, 0, 0, int(rng.integers(1, 2 * end)), ALL_AHEAD),
        far=far,
        biases=b.put(by_distance) if rng.integers(2) else None,
    )


def attended(q: Array, keys: Array, values: Array, position: int, by: Bent) -> Array:
    """Scaled q (n, heads, dim), caches (KV heads, positions, dim): float64 (n, heads, dim)."""
    n, n_head, _ = q.shape
    end = position + n
    k, v = (
        np.repeat(a[:, :end].astype(np.float64), n_head // len(a), axis=0) for a in (keys, values)
    )
    scores = np.einsum("nhd,hpd->hnp", q, k)
    if by.softcap:
        scores = by.softcap * np.tanh(scores / by.softcap)
    own = np.arange(position, end)[:, None]
    distance = np.arange(end) - own
    if by.slopes is not None:
        scores -= by.slopes[:, None, None] * np.abs(distance)
    if by.biases is not None:
        scores += by.biases[:, 16 + by.far + np.clip(distance, -by.far, by.far)]
    far = distance > by.ahead
    far |= distance <= -(by.window or 2 * end)
    far |= np.arange(end) < (own // by.chunk * by.chunk if by.chunk else 0)
    scores[:, far] = -np.inf
    if by.sinks is not None:
        more = np.broadcast_to(by.sinks[:, None, None], (n_head, n, 1))
        scores = np.concatenate([scores, more], -1)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    out: Array = np.einsum("hnp,hpd->nhd", (p / p.sum(-1, keepdims=True))[..., :end], v)
    return out


def empty_partials(n_head: int, n_kv: int, value_dim: int, n_ctx: int) -> Array:
    """As `store` leaves them."""
    made = np.full(layout.attention_partials(n_head, n_kv, value_dim, n_ctx), 0xFF, np.uint8)
    made[: 64 * n_kv] = 0
    return made


def attend(
    rng: Rng, b: Buffers, kind: str, end: int, n: int, n_kv: int, group: int, by_amx: bool = False
) -> Case:
    """`n` tokens, the last at position end - 1."""
    key_dim, value_dim = dimensions(rng)
    if end > SPAN:  # what fits the buffers
        key_dim, value_dim = min(key_dim, 80), min(value_dim, 80)
    n_head, position = n_kv * group, end - n
    n_ctx = context(end, pick(rng, 0, layout.PAGE))
    scale = float(np.float32(key_dim**-0.5))
    stored_k, stored_v = (normal(rng, n_kv, n_ctx, dim) for dim in (key_dim, value_dim))
    stored_k[:, end:] = stored_v[:, end:] = np.nan  # what a truncated sequence left
    q = b.activations(normal(rng, n, n_head, key_dim) * np.float32(rng.choice([1, 5])))
    pages = b.put(shuffled(n_ctx))
    keys = b.put(in_pages(key_cache(kind, stored_k), pages))
    values = b.put(in_pages(value_cache(kind, stored_v), pages))
    by, out = bent(rng, b, n_head, end), b.results(n, n_head, value_dim)
    partials = b.put(empty_partials(n_head, n_kv, value_dim, n_ctx))
    if by_amx:
        scratch_bytes = layout.amx_attention_scratch(key_dim, value_dim)
    else:
        scratch_bytes = layout.attention_scratch(group, key_dim, value_dim)
    scratch = b.room((MOST_THREADS * scratch_bytes,), 0, np.uint8)

    def check() -> None:
        k, v = kept(kind, stored_k[:, :end]), kept(kind, stored_v[:, :end])
        longest = np.abs(q).sum(-1).max() * np.abs(k).max() * scale
        read = q * np.float32(scale) if by_amx else asked(kind, q, scale)
        wanted, largest = attended(read, k, v, position, by), np.abs(v).max()
        if by_amx:  # weights and values are rounded to 8 bits, queries and keys to 16
            close(out, wanted, largest * (1 + longest / 128), 2.0**-8)
            whole = attended(read, k, np.abs(v), position, by)  # without what cancels
            assert np.sum((out - wanted) ** 2) <= 2.0**-16 * np.sum(whole**2)
            return
        close(out, wanted, largest * (1 + longest), 1e-7)
        assert not partials[: 64 * n_kv].view(np.int64)[::8].any()

    arguments = {
        "q": at(q), "out": at(out), "keys": at(keys), "values": at(values),
        "scratch": at(scratch), "scratch_bytes": scratch_bytes,
        "n_head": n_head, "n_head_kv": n_kv, "key_dim": key_dim, "value_dim": value_dim,
        "pages": at(pages), "scale": scale, **by.arguments,
    }  # fmt: skip
    if by_amx:
        return Case(f"amx_attention:{kind}", arguments, [out], check, n, 0, position)
    arguments["partials"] = at(partials)
    return Case(f"attention:attend,{kind}", arguments, [out, partials], check, n, 0, position)


@case("attention", *KV)
def attend_within_a_span(rng: Rng, b: Buffers, kind: str) -> Case:
    n = size(rng, 12)
    # the last position falls around a multiple of 64
    end = max(n, pick(rng, n, int(rng.integers(n, 200)), 64, 64, 128) + pick(rng, -1, 0, 1, 2))
    return attend(rng, b, kind, end, n, size(rng, 3), size(rng, 9))


@case("attention", *KV)
def attend_over_spans(rng: Rng, b: Buffers, kind: str) -> Case:
    end = pick(rng, SPAN, SPAN, 2 * SPAN, 3 * SPAN) + pick(rng, -1, 0, 1, 5, 65)
    n, group = pick(rng, 1, 1, 2, FEW, FEW + 1, 40), pick(rng, 1, 2, 3, 7, 8, 16)
    return attend(rng, b, kind, end, n, 1 if end > SPAN else size(rng, 2), group)


def amx_attend(rng: Rng, b: Buffers, kind: str) -> Case:
    n, group = pick(rng, 1, 31, 32, 40, size(rng, 130)), pick(rng, 1, 2, 3, 7, 8)
    spans = pick(rng, 0, 1, 2)
    position = pick(rng, 0, 0, 1, 31, size(rng, 100)) + layout.AMX_SPAN * spans
    return attend(rng, b, kind, position + n, n, 1 if spans else size(rng, 2), group, by_amx=True)


if processor().matrix_tiles:
    case("amx_attention", *KV)(amx_attend)


# ---- the child ----------------------------------------------------------------------------------


# Zeros, signed bytes, mins, two scales for each 32 weights, a grid, and floats.
EACH_WAY = ("q4_0", "q8_0", "q4_k", "q6_k", "iq2_xs", *FLOATS)


def makers_of(group: str) -> dict[str, Make]:
    """Those of a group, or "most": all but experts of formats that are like others but to unpack.

    The same `unpack` is run where there are no experts.
    """
    if group != "most":
        return MAKERS[group]
    every = {name: make for makers in MAKERS.values() for name, make in makers.items()}
    left_out = {n for n in every if n.startswith("experts_") and not n.endswith(EACH_WAY)}
    return {name: make for name, make in every.items() if name not in left_out}


def main(group: str, count: str, seed: str) -> None:
    """Run `count` cases of each kernel of a group; the last line says which one ran."""
    buffers = Buffers(forbidden=True)
    for name, make in makers_of(group).items():
        own = name.encode() if group in PRODUCTS else b""
        for i in range(int(count)):
            buffers.used.clear()
            found = make(np.random.default_rng([int(seed), i, *own]), buffers)
            shape = {k: v for k, v in found.arguments.items() if isinstance(v, float) or v < 2**20}
            print(name, i, found.tokens, found.outputs, found.position, shape, flush=True)
            run(found, 1 + i % 2)
            found.check()
            buffers.check_untouched()
    print("done")


def child(group: str, count: int, **environment: str) -> None:
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, __file__, group, str(count), "1"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)} | environment,
        capture_output=True,
        text=True,
    )
    last = done.stdout.splitlines()[-1:]
    assert done.returncode == 0 and last == ["done"], (
        f"exit {done.returncode} in {last}: {done.stderr[-2000:]}"
    )


needs_pages = pytest.mark.skipif(os.name != "posix", reason="needs mprotect")


@needs_pages
@pytest.mark.slow
@pytest.mark.parametrize("group", MAKERS)
def test_nothing_is_touched_behind_a_buffer(group: str) -> None:
    child(group, CASES_PER_FORMAT if group in PRODUCTS else CASES_PER_KERNEL)


def test_the_pages_do_forbid() -> None:
    code = (
        "import test_kernels as t; b = t.Buffers(True); x = b.put(t.np.zeros(4)); b.bytes[b.SLOT]"
    )
    tests = str(Path(__file__).parent)
    root = str(Path(__file__).resolve().parents[1])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([tests, root])}
    if os.name == "posix":
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
        assert done.returncode < 0, done.stderr


def narrower() -> list[str]:
    if "VATRA_ISA" in os.environ:
        return []
    levels = list(LEVELS.get(platform.machine().lower(), {"generic": set()}))
    return levels[levels.index(processor().level) + 1 :]


@needs_pages
@pytest.mark.slow
@pytest.mark.parametrize("level", narrower())
def test_other_instruction_sets(level: str) -> None:
    child("most", 30, VATRA_ISA=level)


# ---- in this process ----------------------------------------------------------------------------

ALL = [(name, make) for makers in MAKERS.values() for name, make in makers.items()]
each_kernel = pytest.mark.parametrize("make", [m for _, m in ALL], ids=[n for n, _ in ALL])


@pytest.fixture(scope="module")
def buffers() -> Buffers:
    return Buffers()


@each_kernel
def test_numbers_and_any_number_of_threads(make: Make, buffers: Buffers) -> None:
    for seed in range(12):
        buffers.used.clear()
        found = make(np.random.default_rng([2, seed]), buffers)
        before = [r.copy() for r in found.results]
        run(found)
        found.check()
        first = [r.copy() for r in found.results]
        for n_threads in (2, 3, MOST_THREADS) if seed < 3 else (2,):
            for result, values in zip(found.results, before, strict=True):
                result[...] = values
            run(found, n_threads)
            for result, values in zip(found.results, first, strict=True):
                same(result, values)
        buffers.check_untouched()


def test_every_kernel_has_a_case() -> None:
    folder = Path(jit.__file__).parent / "kernels"
    modules = {p.stem for p in folder.glob("*.py") if "def kernel(" in p.read_text()}
    used = {make(np.random.default_rng(0), Buffers()).kernel for _, make in ALL}
    # the loop walks them all; the bandwidth test computes nothing
    modules -= {"loop", "bandwidth"}
    if not processor().matrix_tiles:
        modules -= {"amx", "amx_attention"}
    assert modules == {name.partition(":")[0] for name in used}
    tiles = (TILE, f"{TILE},experts")
    assert {f"matmul:{name},{n}" for name in FAST for n in tiles} <= used
    tiles = (FLOAT_TILE, "1,experts")
    assert {f"matmul_float:{name},{n}" for name in FLOATS for n in tiles} <= used


def quantise_and_multiply(
    format: WeightFormat, w: Array, x: Array, n_out: int, threads: int
) -> Array:
    """x (n, n_in) through `quantize` and `matmul`: (n, n_out)."""
    n, n_in = x.shape
    wants, blocks = FAST[format.name], n_in // PART
    rows = (n + TILE) * blocks
    q, scale = np.zeros((rows, PART), np.int8), np.zeros(rows, np.float32)
    sums, out = np.zeros((rows, wants.spans), np.int32), np.full((n, n_out), np.nan, np.float32)
    names = ["quantize:", f"matmul:{format.name},{TILE}"]
    kernels = jit.load(names)
    shared = {"rows": layout.RUN_TOKENS}
    table = np.stack(
        [
            op_row(
                kernels[names[0]], x=at(x), out=at(q), scale=at(scale), sums=at(sums), width=n_in,
                zero=wants.zero, spans=wants.spans, tile=TILE, per_row=1, order=0, n_expert=0,
                per=1, **shared,
            ),
            op_row(
                kernels[names[1]], w=at(w), bias=0, x=at(q), x_scale=at(scale), x_sum=at(sums),
                out=at(out), n_out=n_out, n_blocks=n_in // format.block, chunk=2, **shared,
            ),
        ]
    )  # fmt: skip
    pool(threads).run(table, tokens=n)
    return out


@pytest.mark.parametrize("name", FAST)
def test_a_token_does_not_depend_on_its_neighbours(name: str) -> None:
    rng = np.random.default_rng(3)
    format, n_out = quant.by_name(name), 37
    data = random_rows(rng, format, n_out, 512)
    w = interleave(format, data, 1)
    x = normal(rng, 20, 512)
    alone = np.concatenate(
        [quantise_and_multiply(format, w, x[t : t + 1], n_out, 1) for t in range(20)]
    )
    for n in range(1, 21):
        same(quantise_and_multiply(format, w, np.ascontiguousarray(x[:n]), n_out, 2), alone[:n])
    # and quantising costs no more than the activations' seven bits
    exact = x.astype(np.float64) @ format.decode(data).T
    assert np.sum((alone - exact) ** 2) / np.sum(exact**2) < 2e-4


@pytest.mark.parametrize("name", FAST)
def test_one_input_at_a_time_finds_every_weight(name: str) -> None:
    format, n_in = quant.by_name(name), 256
    # enough blocks for nearly all codes; the inputs are whole and their scale 1, so little rounds
    data = random_rows(np.random.default_rng(13), format, 640, n_in)
    x = np.eye(n_in, dtype=np.float32) * 127
    out = quantise_and_multiply(format, interleave(format, data, 1), x, 640, 2)
    wanted = 127 * format.decode(data).T.astype(np.float64)
    sizes = np.abs(wanted) if FAST[name].zero else np.abs(wanted).max()
    close(out, wanted, sizes, 2**-23)


@pytest.mark.parametrize("name", FLOATS)
def test_a_token_does_not_depend_on_its_neighbours_in_floats(name: str) -> None:
    rng = np.random.default_rng(4)
    n_out, n_in = 10, 150
    w = random_rows(rng, quant.by_name(name), n_out, n_in)
    x = normal(rng, 9, n_in)
    kernel = jit.load([f"matmul_float:{name},{FLOAT_TILE}"])[f"matmul_float:{name},{FLOAT_TILE}"]

    def product(x: Array) -> Array:
        out = np.zeros((len(x), n_out), np.float32)
        places = {"w": at(w), "bias": 0, "x": at(x), "out": at(out)}
        row = op_row(kernel, n_out=n_out, n_in=n_in, rows=layout.RUN_TOKENS, chunk=1, **places)
        pool(1).run(row[None], tokens=len(x))
        return out

    alone = np.concatenate([product(x[t : t + 1].copy()) for t in range(9)])
    for n in range(1, 10):
        same(product(x[:n].copy()), alone[:n])


@pytest.mark.parametrize("kind", KV)
@pytest.mark.parametrize(
    ("n_head", "n_kv", "dim", "window"),
    [(8, 2, 64, SPAN + 100), (3, 3, 20, 0), (7, 1, 128, SPAN + 100), (16, 1, 80, 0), (8, 1, 16, 0)],
)
def test_attention_by_steps_equals_all_at_once(
    kind: str, n_head: int, n_kv: int, dim: int, window: int
) -> None:
    """Bit for bit, within a span and over several, for any number of threads."""
    by = Bent(window=window)
    rng = np.random.default_rng(5)
    n, scale = 2 * SPAN + 70, dim**-0.5
    n_ctx = context(n)
    q, k, v = normal(rng, n, n_head, dim), normal(rng, n, n_kv, dim), normal(rng, n, n_kv, dim)
    empty = np.zeros((n_kv, n_ctx, dim), np.float32)
    keys, values = key_cache(kind, empty), value_cache(kind, empty)
    pages = shuffled(n_ctx)
    keys, values = in_pages(keys, pages), in_pages(values, pages)
    partials = empty_partials(n_head, n_kv, dim, n_ctx)
    size = layout.attention_scratch(n_head // n_kv, dim, dim)
    scratch = np.zeros(size * 3, np.uint8)
    names = [f"attention:store,{kind}", f"attention:attend,{kind}"]
    kernels = jit.load(names)
    shape = {
        "key_dim": dim, "value_dim": dim, "pages": at(pages),
        "keys": at(keys), "values": at(values), "partials": at(partials),
    }  # fmt: skip

    def walk(start: int, end: int, n_threads: int) -> Array:
        some, out = (
            [np.ascontiguousarray(a[start:end]) for a in (q, k, v)],
            np.zeros_like(q[start:end]),
        )
        table = np.stack(
            [
                op_row(kernels[names[0]], k=at(some[1]), v=at(some[2]), n_head=n_kv, **shape),
                op_row(
                    kernels[names[1]], q=at(some[0]), out=at(out), scratch=at(scratch),
                    scratch_bytes=size, n_head=n_head, n_head_kv=n_kv, scale=scale, **shape,
                    **by.arguments,
                ),
            ]
        )  # fmt: skip
        pool(n_threads).run(table, tokens=end - start, position=start)
        return out

    whole = walk(0, n, 3)
    stored_k, stored_v = (kept(kind, a.swapaxes(0, 1)) for a in (k, v))
    for start, end in ((0, 150), (SPAN - 20, SPAN + 20), (n - 40, n)):
        wanted = attended(asked(kind, q[start:end], scale), stored_k, stored_v, start, by)
        close(whole[start:end], wanted, 4.0, 2e-6)
    # the caches now hold later positions too, which nothing may see
    for i, cut in enumerate((1, 2, FEW, FEW + 1, 7, 64, 100, SPAN, 1)):
        parts = [walk(j, min(j + cut, n), 1 + i % 3) for j in range(0, n, cut)]
        same(np.concatenate(parts), whole)


def test_no_outputs_asked_for() -> None:
    buffers = Buffers()
    for _, make in ALL:
        buffers.used.clear()
        found = make(np.random.default_rng(6), buffers)
        if "rows" in found.arguments and not found.arguments.get("order"):
            before = [r.copy() for r in found.results]
            found.tokens, found.outputs = 0, 0
            run(found, 2)
            if found.kernel == "order:":  # which products go by, so it says that there is nothing
                slots, n_chosen = before[0][:2] = found.results[0][:2]
                assert slots == n_chosen == 0
                n = 2 + found.arguments["n_expert"]
                before[0][:n] = 0
            for result, values in zip(found.results, before, strict=True):
                same(result, values)


# ---- values at the edges ------------------------------------------------------------------------


def test_eight_bit_scales_are_exact() -> None:
    @njit("void(intp, intp, intp)", error_model="numpy")  # type: ignore[untyped-decorator]
    def convert(codes: int, bare: int, small: int) -> None:
        for i in range(0, 256, 16):
            store_f32s(bare + 4 * i, e8m0(load_u8s(codes + i)))
        for i in range(0, 256, 64):
            for k in range(4):
                store_f32s(small + 4 * i + 64 * k, e4m3(load_i32s(codes + i), k))

    codes, out = np.arange(256, dtype=np.uint8), np.zeros((2, 256), np.float32)
    convert(at(codes), at(out), at(out[1]))
    same(out[0], fp4.E8M0)
    # byte k of each of 16 lanes
    same(out[1].reshape(4, 4, 16), fp4.E4M3.reshape(4, 16, 4).swapaxes(1, 2))


@pytest.mark.parametrize("name", FAST)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n", [1, 5])
def test_what_is_not_finite_stays_visible(name: str, bad: float, n: int) -> None:
    rng = np.random.default_rng(7)
    format = quant.by_name(name)
    w = interleave(format, random_rows(rng, format, 20, 256), 1)
    for lane in (0, 5, 16, 31, 255):
        x = normal(rng, n, 256)
        x[n - 1, lane] = bad
        out = quantise_and_multiply(format, w, x, 20, 1)
        assert not np.isfinite(out[n - 1]).any()
        assert np.isfinite(out[: n - 1]).all()


@pytest.mark.parametrize("name", FAST)
def test_tiny_and_huge_activations(name: str) -> None:
    rng = np.random.default_rng(8)
    format = quant.by_name(name)
    data = random_rows(rng, format, 16, 256)
    w, weights = interleave(format, data, 1), format.decode(data).astype(np.float64)
    for exponent in (-45, -42, -38, -37, -36, -30, 0, 30):
        x = (normal(rng, 3, 256).clip(-2, 2).astype(np.float64) * 10.0**exponent).astype(np.float32)
        out = quantise_and_multiply(format, w, x, 16, 1)
        sizes = np.abs(x).astype(np.float64) @ np.abs(weights).T
        bound = 0.02 if exponent >= -36 else 1.0
        close(out, x.astype(np.float64) @ weights.T, sizes + 1e-36, bound)


def test_all_zero_activations_are_zero() -> None:
    rng = np.random.default_rng(9)
    for name in FAST:
        format = quant.by_name(name)
        w = interleave(format, random_rows(rng, format, 16, 256), 1)
        assert not quantise_and_multiply(format, w, np.zeros((3, 256), np.float32), 16, 1).any()


VALUE_BY_VALUE = ("elementwise", "activations", "norms")


def test_nan_goes_through_the_elementwise_kernels() -> None:
    buffers = Buffers()
    makers = {name: make for group in VALUE_BY_VALUE for name, make in MAKERS[group].items()}
    del makers["select_outputs"]  # the first value is of no output
    for name, make in makers.items():
        buffers.used.clear()
        found = make(np.random.default_rng(10), buffers)
        first = next(found.arguments[k] for k in ("x", "gate") if k in found.arguments)
        first += 4 * found.arguments.get("first", 0)
        ctypes.c_float.from_address(first).value = np.nan
        run(found)
        assert np.isnan(found.results[0]).any(), name


def test_nan_scores_choose_experts_that_exist() -> None:
    scores = np.full((3, 5), np.nan, np.float32)
    scores[1] = [1, np.nan, 3, -np.inf, 2]
    scores[2] = -np.inf
    ranks, out = np.zeros((3, 11), np.float32), np.full((3, 2), -7, np.int32)
    weights = np.zeros((3, 2), np.float32)
    places = {"scores": at(scores), "ranks": at(ranks), "out": at(out), "weights": at(weights)}
    shape = {"n_expert": 5, "k": 2, "normalise": 1, "scale": 1.0, "rows": layout.RUN_TOKENS}
    arguments = {**places, **shape, "bias": 0, "factors": 0, "n_group": 1, "n_group_used": 1}
    run(Case("experts:softmax", arguments, [out], lambda: None, 3))
    assert ((out >= 0) & (out < 5)).all()
    assert np.isnan(weights).any(1).all()


@pytest.mark.parametrize("which", ["q", "k", "v"])
@pytest.mark.parametrize("kind", KV)
def test_attention_shows_nan(which: str, kind: str) -> None:
    """The first value of the query, key or value of the first position."""
    makers = [
        make for group in ("attention", "amx_attention") for make in MAKERS.get(group, {}).items()
    ]
    for make in (make for name, make in makers if "attend" in name and name.endswith(kind)):
        buffers, rng = Buffers(), np.random.default_rng(11)
        found = make(rng, buffers)
        # a q8_0 block begins with its scale
        nan = np.array(np.nan, np.float32 if which == "q" or kind == "f32" else np.float16)
        place = found.arguments[{"q": "q", "k": "keys", "v": "values"}[which]]
        if which != "q":
            of = [found.arguments[name] for name in ("n_head_kv", "key_dim", "value_dim", "pages")]
            sizes = layout.kv_bytes(kind, *of[1:3])
            page = of[0] * layout.PAGE // ROWS * sizes["kv".index(which)]
            place += page * ctypes.c_int64.from_address(of[3]).value
        ctypes.memmove(place, nan.tobytes(), nan.nbytes)
        run(found)
        assert np.isnan(found.results[0]).any()
        assert (
            not np.isnan(found.results[0]).all()
            or found.results[0].shape[:2] == (1, 1)
            or (which != "q")
        )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("dim", [20, 64])
def test_bytes_of_a_cache_do_not_hide_what_is_not_finite(bad: float, dim: int) -> None:
    """Nor what is too large for a scale."""
    k, v = np.ones((2, 1, dim), np.float32)
    k[0, dim - 1] = v[0, dim - 1] = bad
    keys, values = (make("q8_0", np.zeros((1, 64, dim))) for make in (key_cache, value_cache))
    partials, pages = np.zeros(64, np.uint8), np.zeros(1, np.int64)
    places = {"k": at(k), "v": at(v), "keys": at(keys), "values": at(values)}
    kernel = jit.load(["attention:store,q8_0"])["attention:store,q8_0"]
    places |= {"partials": at(partials), "pages": at(pages)}
    row = op_row(kernel, n_head=1, key_dim=dim, value_dim=dim, **places)
    pool(1).run(row[None], tokens=1)
    last = (dim - 1) // PART * (PART * ROWS + 2 * ROWS)
    for kept_bytes in (keys, values):
        assert not np.isfinite(kept_bytes[0, 0, last : last + 2].view(np.float16)[0])
        assert dim <= PART or np.isfinite(kept_bytes[0, 0, :2].view(np.float16)[0])


# ---- placing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAST)
@pytest.mark.parametrize("shape", [(1, 256), (16, 512), (37, 256), (3, 17, 256)])
def test_interleaved_weights_hold_every_byte(name: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(12)
    format = quant.by_name(name)
    data = random_rows(rng, format, int(np.prod(shape[:-1])), shape[-1])
    n_matrices = shape[0] if len(shape) == 3 else 1
    weight = QTensor("w", format, shape, data)
    found = interleaved(weight, n_matrices, shape[-2], pool(2), Memory())
    same(found, interleave(format, data, n_matrices))
    assert (
        np.bincount(found, minlength=256)[1:].tolist()
        == np.bincount(data.reshape(-1), minlength=256)[1:].tolist()
    )


@pytest.mark.parametrize("name", FAST)
def test_pieces_cover_a_block_once(name: str) -> None:
    format = quant.by_name(name)
    cut = pieces(format)
    covered = [byte for offset, n in cut.tolist() for byte in range(offset, offset + n)]
    assert covered == list(range(format.block_bytes))


if __name__ == "__main__":
    main(*sys.argv[1:])
