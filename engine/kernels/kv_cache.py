"""How keys and values lie in a KV cache: what stores them there, and what reads them as float32.

A cache is pages of `layout.PAGE` positions, [page][KV head][group of 16 positions]; `pages` are the
numbers of those that a sequence has, in order: those of a window come again and again. A group is
blocks of 32 dimensions. In f16 and f32 a block of keys is transposed, [dimension][16], so that one
vector holds the scores of 16 positions; a block of values is [16][32], padded to 32 dimensions.

In q8_0 and q4_0 the 32 dimensions of a position share a scale, and each block begins with the 16
halves of its positions. Keys follow as `unpack` wants 16 rows of weights, since they are multiplied
like weights. Values follow as bytes [16][32], or as [16][16]: byte j has dimensions j and j + 16.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import float32

from vatra.engine.kernels.lanes import inlined
from vatra.engine.kernels.layout import (
    KV_BLOCKS,
    LEAST_PEAK,
    PAGE,
    PART,
    ROWS,
    RUN_POSITION,
    RUN_TOKENS,
    TILE_BYTES,
)
from vatra.engine.kernels.quantize import nan_or_zero, to_bytes
from vatra.engine.simd import (
    add,
    add_i32s,
    and_i32s,
    highest,
    load_f16s,
    load_f32,
    load_f32s,
    load_i8s_as_f32s,
    load_i32s,
    load_i64,
    load_some_f32s,
    load_u8s,
    max_f32s,
    mul,
    neg,
    or_i32s,
    sar_i32s,
    shl_i32s,
    shr_i32s,
    splat_f32,
    splat_i32,
    store_f16,
    store_f16s,
    store_f32,
    store_f32s,
    store_i32s_as_i8,
    store_i64,
    store_quads,
    store_turned,
    to_f32s,
    truncated,
    where_less,
)

STORE = {"f32": (store_f32, store_f32s), "f16": (store_f16, store_f16s)}  # one, and 16
LOAD = {"f32": load_f32s, "f16": load_f16s}
SIZE = {"f32": 4, "f16": 2}
SCALES = 2 * ROWS  # bytes before what is packed


def measuring(kind: str) -> Callable[..., tuple[int, int]]:
    """`layout.kv_bytes`, for kernels."""
    block, floats = KV_BLOCKS[kind], kind in LOAD

    @inlined
    def sizes(key_dim, value_dim):
        keys = block * key_dim // PART if floats else block * ((key_dim + PART - 1) // PART)
        return keys, block * ((value_dim + PART - 1) // PART)

    return sizes


@inlined
def group_at(pages, position, n_head, head):
    """The number of the group of 16 that holds a position of a KV head."""
    page = load_i64(pages + 8 * (position // PAGE))
    return (page * n_head + head) * (PAGE // ROWS) + position % PAGE // ROWS


# ---- storing ------------------------------------------------------------------------------------


def storing(kind: str) -> Callable[..., None]:
    block = KV_BLOCKS[kind]
    store_key, store_value = storing_floats(kind) if kind in STORE else storing_packed(kind)
    sizes = measuring(kind)

    def store(
        op, run, thread, n_threads,
        k: int, v: int, keys: int, values: int, partials: int,
        n_head: int, key_dim: int, value_dim: int, pages: int,
    ):  # fmt: skip
        n, position = load_i64(run + 8 * RUN_TOKENS), load_i64(run + 8 * RUN_POSITION)
        if thread == 0:
            for i in range(n_head):
                store_i64(partials + 64 * i, 0)
        key_bytes, value_bytes = sizes(key_dim, value_dim)
        total = n * n_head
        for unit in range(total * thread // n_threads, total * (thread + 1) // n_threads):
            t, i = unit // n_head, unit % n_head
            at = group_at(pages, position + t, n_head, i)
            lane = (position + t) % ROWS
            to, x = keys + key_bytes * at, k + 4 * unit * key_dim
            for d in range(0, key_dim, PART):
                store_key(to + block * (d // PART), lane, x + 4 * d, key_dim - d)
            to, x = values + value_bytes * at, v + 4 * unit * value_dim
            for d in range(0, value_dim, PART):
                store_value(to + block * (d // PART), lane, x + 4 * d, value_dim - d)

    return store


def storing_floats(kind: str) -> tuple[Callable[..., None], Callable[..., None]]:
    """How the first of `n` float32 at x become lane `lane` of a block of keys, or of values."""
    (store_one, store_vector), size = STORE[kind], SIZE[kind]

    @inlined
    def store_key(block, lane, x, n):
        for d in range(min(PART, n)):
            store_one(block + size * (ROWS * d + lane), load_f32(x + 4 * d))

    @inlined
    def store_value(block, lane, x, n):
        to = block + size * PART * lane
        store_vector(to, load_some_f32s(x, n))
        store_vector(to + 16 * size, load_some_f32s(x + 64, n - 16))

    return store_key, store_value


def storing_packed(kind: str) -> tuple[Callable[..., None], Callable[..., None]]:
    """As `storing_floats`; the scale is NaN or infinite where a value is."""
    nibbles = kind == "q4_0"

    @inlined
    def bytes_of(x, n, scale_at):
        """The codes of 32 values in vectors of 16 bytes."""
        first, second = load_some_f32s(x, n), load_some_f32s(x + 64, n - 16)
        codes, more, scale = to_bytes(first, second)
        store_f16(scale_at, scale)
        return codes, more

    @inlined
    def nibbles_of(x, n, scale_at):
        """The value furthest from zero, sign included, becomes the lowest code."""
        first, second = load_some_f32s(x, n), load_some_f32s(x + 64, n - 16)
        peak, low = highest(max_f32s(first, second)), highest(max_f32s(neg(first), neg(second)))
        scale = (low if low > peak else -peak) / float32(8.0)
        store_f16(scale_at, scale + nan_or_zero(first, second))
        factor = splat_f32(float32(1.0) / scale if max(low, peak) > LEAST_PEAK else float32(0.0))
        half, top, most = splat_f32(8.5), splat_f32(16.0), splat_f32(15.0)
        a, b = add(mul(first, factor), half), add(mul(second, factor), half)
        a, b = where_less(a, top, a, most), where_less(b, top, b, most)
        return or_i32s(truncated(a), shl_i32s(truncated(b), 4))

    if nibbles:

        @inlined
        def store_key(block, lane, x, n):
            store_quads(block + SCALES + 4 * lane, nibbles_of(x, n, block + 2 * lane))

        @inlined
        def store_value(block, lane, x, n):
            codes = nibbles_of(x, n, block + 2 * lane)
            store_i32s_as_i8(block + SCALES + 16 * lane, codes)
    else:

        @inlined
        def store_key(block, lane, x, n):
            codes, more = bytes_of(x, n, block + 2 * lane)
            store_quads(block + SCALES + 4 * lane, codes)
            store_quads(block + SCALES + 4 * lane + 256, more)

        @inlined
        def store_value(block, lane, x, n):
            codes, more = bytes_of(x, n, block + 2 * lane)
            store_i32s_as_i8(block + SCALES + PART * lane, codes)
            store_i32s_as_i8(block + SCALES + PART * lane + 16, more)

    return store_key, store_value


# ---- reading ------------------------------------------------------------------------------------


def key_reader(kind: str) -> Callable[..., Any]:
    """Dimension d of 16 positions of a block of keys."""
    if kind in LOAD:
        load, row = LOAD[kind], ROWS * SIZE[kind]
        return inlined(lambda block, d: load(block + row * d))
    if kind == "q8_0":

        @inlined
        def key_of_bytes(block, d):
            quads = shl_i32s(load_i32s(block + SCALES + 64 * (d // 4)), 24 - 8 * (d % 4))
            return mul(to_f32s(sar_i32s(quads, 24)), load_f16s(block))

        return key_of_bytes

    @inlined
    def key_of_nibbles(block, d):
        quads = load_i32s(block + SCALES + 64 * (d % 16 // 4))
        codes = and_i32s(shr_i32s(quads, 8 * (d % 4) + 4 * (d // 16)), splat_i32(15))
        return mul(to_f32s(add_i32s(codes, splat_i32(-8))), load_f16s(block))

    return key_of_nibbles


def value_reader(kind: str) -> Callable[..., Any]:
    """Dimensions c ... c + 15 (c is 0 or 16) of position i of a block of values, but for its scale.

    The kind "turned" is what `turning` writes.
    """
    if kind in LOAD:
        load, size = LOAD[kind], SIZE[kind]
        return inlined(lambda block, i, c: load(block + size * (PART * i + c)))
    if kind == "turned":
        return inlined(lambda block, i, c: load_f32s(block + TILE_BYTES * (c // 16) + 64 * i))
    if kind == "q8_0":
        return inlined(lambda block, i, c: load_i8s_as_f32s(block + SCALES + PART * i + c))

    @inlined
    def value_of_nibbles(block, i, c):
        codes = and_i32s(shr_i32s(load_u8s(block + SCALES + 16 * i), c // 4), splat_i32(15))
        return to_f32s(add_i32s(codes, splat_i32(-8)))

    return value_of_nibbles


def turning(lanes: Callable[..., Any]) -> Callable[..., None]:
    """Writes a tile, [16 positions][16 dimensions], of the vectors that hold 16 positions each.

    `lanes(at, d, ...)` gives that of dimension d; those behind `last` repeat it.
    """

    @inlined
    def turn(to, at, d, last, apart, some):
        store_turned(to, (
            lanes(at, d, apart, some), lanes(at, min(d + 1, last), apart, some),
            lanes(at, min(d + 2, last), apart, some), lanes(at, min(d + 3, last), apart, some),
            lanes(at, min(d + 4, last), apart, some), lanes(at, min(d + 5, last), apart, some),
            lanes(at, min(d + 6, last), apart, some), lanes(at, min(d + 7, last), apart, some),
            lanes(at, min(d + 8, last), apart, some), lanes(at, min(d + 9, last), apart, some),
            lanes(at, min(d + 10, last), apart, some), lanes(at, min(d + 11, last), apart, some),
            lanes(at, min(d + 12, last), apart, some), lanes(at, min(d + 13, last), apart, some),
            lanes(at, min(d + 14, last), apart, some), lanes(at, min(d + 15, last), apart, some),
        ))  # fmt: skip

    return turn
