"""The SIMD vocabulary: vector types for Numba and the verbs kernels are written in.

Every verb has a lowering in plain LLVM IR that is right on any processor; where a processor has an
instruction LLVM would not find by itself, the verb asks `cpu_features.processor()` while it is
compiled. Vectors always have 16 lanes of 32 bits; LLVM splits them where registers are narrower.
An address is an integer. A verb given a tuple of vectors works on each of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from vatra.engine.cpu_features import processor

LANES = 16
ELEMENTS = {"i8": ir.IntType(8), "i32": ir.IntType(32), "f32": ir.FloatType()}


class Vector(types.Type):  # type: ignore[misc]
    """A vector of `n` elements, as a Numba type."""

    def __init__(self, element: str, n: int) -> None:
        self.n = n
        self.ir = ir.VectorType(ELEMENTS[element], n)
        super().__init__(name=f"Vector({element} x {n})")


@register_model(Vector)
class VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, fe_type: Vector) -> None:
        super().__init__(manager, fe_type, fe_type.ir)


f32s, i32s, i8s = Vector("f32", LANES), Vector("i32", LANES), Vector("i8", 4 * LANES)
f32, i32, i64, address = types.float32, types.int32, types.int64, types.intp

F32, I8, I16, I32, I64 = (
    ir.FloatType(),
    ir.IntType(8),
    ir.IntType(16),
    ir.IntType(32),
    ir.IntType(64),
)
VOID = types.void


# ---- making verbs ------------------------------------------------------------------------------


def _intrinsic(n_args: int, typing: Callable[..., Any]) -> Any:
    """Numba reads an intrinsic's argument names, so each arity needs a function of its own."""
    names = ", ".join(f"a{i}" for i in range(n_args))
    scope = {"typing": typing}
    exec(f"def verb(typingctx{', ' + names if names else ''}): return typing([{names}])", scope)  # noqa: S102
    return intrinsic(prefer_literal=True)(scope["verb"])


def verb(result: types.Type, *arguments: types.Type) -> Callable[[Callable[..., Any]], Any]:
    """Make a verb from `emit(builder, *values)`; scalars are converted, tuples are mapped over."""

    def wrap(emit: Callable[..., Any]) -> Any:
        def typing(given: list[types.Type]) -> Any:
            counts = [t.count for t in given if isinstance(t, types.UniTuple)]
            plain = [types.unliteral(t) for t in given]
            if counts:
                out = types.UniTuple(result, counts[0])
                wanted = [
                    g if isinstance(g, types.UniTuple) else a
                    for g, a in zip(plain, arguments, strict=True)
                ]
            else:
                out, wanted = result, list(arguments)

            def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
                if not counts:
                    made = emit(builder, *values)
                    return context.get_dummy_value() if made is None else made
                columns = [
                    cgutils.unpack_tuple(builder, v)
                    if isinstance(t, types.UniTuple)
                    else [v] * counts[0]
                    for v, t in zip(values, wanted, strict=True)
                ]
                each = [emit(builder, *row) for row in zip(*columns, strict=True)]
                return context.make_tuple(builder, out, each)

            return out(*wanted), codegen

        made = _intrinsic(len(arguments), typing)
        made.__doc__ = inspect.getdoc(emit)
        return made

    return wrap


def tile_verb(n_args: int) -> Callable[[Callable[..., Any]], Any]:
    """Make a verb from `emit(types) -> (signature, emit_values(builder, *values))`.

    Tuples arrive as Python lists of values, and a list returned becomes a tuple.
    """

    def wrap(describe: Callable[..., Any]) -> Any:
        def typing(given: list[types.Type]) -> Any:
            signature, emit = describe(*given)

            def codegen(context: Any, builder: Any, sig: Any, values: Any) -> Any:
                unpacked = [
                    cgutils.unpack_tuple(builder, v) if isinstance(t, types.UniTuple) else v
                    for v, t in zip(values, sig.args, strict=True)
                ]
                made = emit(builder, *unpacked)
                if isinstance(made, list):
                    return context.make_tuple(builder, sig.return_type, made)
                return context.get_dummy_value() if made is None else made

            return signature, codegen

        made = _intrinsic(n_args, typing)
        made.__doc__ = inspect.getdoc(describe)
        return made

    return wrap


# ---- pieces of IR ------------------------------------------------------------------------------


def _splat(b: Any, scalar: Any, n: int = LANES) -> Any:
    vector = ir.VectorType(scalar.type, n)
    undefined = ir.Constant(vector, ir.Undefined)
    first = b.insert_element(undefined, scalar, ir.Constant(I32, 0))
    return b.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, n), [0] * n))


def _constant(vector: Any, value: float) -> Any:
    return ir.Constant(vector, [value] * vector.count)


def _load(b: Any, at: Any, kind: Any, align: int = 1) -> Any:
    loaded = b.load(b.inttoptr(at, kind.as_pointer()))
    loaded.align = align
    return loaded


def _store(b: Any, at: Any, value: Any, align: int = 1) -> None:
    b.store(value, b.inttoptr(at, value.type.as_pointer())).align = align


def _call(b: Any, name: str, result: Any, *values: Any) -> Any:
    kind = ir.FunctionType(result, [v.type for v in values])
    return b.call(cgutils.get_or_insert_function(b.module, kind, name), list(values))


def _call_void(b: Any, name: str, *values: Any) -> None:
    _call(b, name, ir.VoidType(), *values)


def _shuffle(b: Any, v: Any, w: Any, lanes: list[int]) -> Any:
    return b.shuffle_vector(v, w, ir.Constant(ir.VectorType(I32, len(lanes)), lanes))


def _half(b: Any, v: Any, start: int, n: int) -> Any:
    return _shuffle(b, v, v, list(range(start, start + n)))


def _join(b: Any, *pieces: Any) -> Any:
    """1, 2 or 4 vectors as one."""
    while len(pieces) > 1:
        lanes = list(range(2 * pieces[0].type.count))
        pieces = tuple(
            _shuffle(b, *two, lanes) for two in zip(pieces[::2], pieces[1::2], strict=True)
        )
    return pieces[0]


def _fma(b: Any, x: Any, y: Any, z: Any) -> Any:
    cpu = processor()
    if cpu.has("fma") or cpu.has("neon"):
        return _call(b, f"llvm.fma.v{x.type.count}f32", x.type, x, y, z)
    return b.fadd(b.fmul(x, y), z)


def _half_to_float(b: Any, v: Any) -> Any:
    """<16 x i16> holding IEEE halves -> <16 x float>."""
    if processor().has("f16c") or processor().has("neon"):
        return b.fpext(b.bitcast(v, ir.VectorType(ir.HalfType(), LANES)), f32s.ir)
    # No instruction: move the exponent, scale by 2^112, and keep infinities and NaN as they are.
    w = b.zext(v, i32s.ir)
    magnitude = b.shl(b.and_(w, _constant(i32s.ir, 0x7FFF)), _constant(i32s.ir, 13))
    scaled = b.fmul(b.bitcast(magnitude, f32s.ir), _constant(f32s.ir, 2.0**112))
    special = b.icmp_unsigned(">=", magnitude, _constant(i32s.ir, 0x7C00 << 13))
    bits = b.select(
        special, b.or_(magnitude, _constant(i32s.ir, 0x7F800000)), b.bitcast(scaled, i32s.ir)
    )
    sign = b.shl(b.and_(w, _constant(i32s.ir, 0x8000)), _constant(i32s.ir, 16))
    return b.bitcast(b.or_(bits, sign), f32s.ir)


def _float_to_half(b: Any, v: Any) -> Any:
    """<16 x float> -> <16 x i16> of IEEE halves, rounding to nearest even."""
    if processor().has("f16c") or processor().has("neon"):
        return b.bitcast(
            b.fptrunc(v, ir.VectorType(ir.HalfType(), LANES)), ir.VectorType(I16, LANES)
        )
    w = b.bitcast(v, i32s.ir)
    sign = b.lshr(b.and_(w, _constant(i32s.ir, 0x80000000)), _constant(i32s.ir, 16))
    magnitude = b.and_(w, _constant(i32s.ir, 0x7FFFFFFF))
    odd = b.and_(b.lshr(magnitude, _constant(i32s.ir, 13)), _constant(i32s.ir, 1))
    rounded = b.add(b.add(magnitude, _constant(i32s.ir, 0xFFF)), odd)
    normal = b.sub(b.lshr(rounded, _constant(i32s.ir, 13)), _constant(i32s.ir, 112 << 10))
    # Below the smallest normal half, adding 0.5 leaves the rounded half in the low mantissa bits.
    lifted = b.fadd(b.bitcast(magnitude, f32s.ir), _constant(f32s.ir, 0.5))
    small = b.sub(b.bitcast(lifted, i32s.ir), _constant(i32s.ir, 0x3F000000))
    bits = b.select(b.icmp_unsigned("<", magnitude, _constant(i32s.ir, 113 << 23)), small, normal)
    too_large = b.icmp_unsigned(">=", magnitude, _constant(i32s.ir, 0x477FF000))
    bits = b.select(too_large, _constant(i32s.ir, 0x7C00), bits)
    nan = b.icmp_unsigned(">", magnitude, _constant(i32s.ir, 0x7F800000))
    bits = b.select(nan, _constant(i32s.ir, 0x7E00), bits)
    return b.trunc(b.or_(bits, sign), ir.VectorType(I16, LANES))


def _dot4(b: Any, sums: Any, unsigned: Any, signed: Any, bits: int = 8) -> Any:
    """sums[i] += the four products of bytes 4i..4i+3; exact if `unsigned` is below 2^bits."""
    cpu = processor()
    if cpu.level == "avx512":
        as_i32 = (b.bitcast(v, i32s.ir) for v in (unsigned, signed))
        return _call(b, "llvm.x86.avx512.vpdpbusd.512", i32s.ir, sums, *as_i32)
    if cpu.level == "avx2":
        return b.add(sums, _dot4_avx2(b, unsigned, signed, bits))
    if cpu.has("neon"):
        if sums.type.count == 4:
            return _dot4_neon(b, sums, unsigned, signed, bits)
        rows = zip(*(_quarters(b, v) for v in (sums, unsigned, signed)), strict=True)
        return _join(b, *(_dot4_neon(b, s, u, x, bits) for s, u, x in rows))
    wide = ir.VectorType(I32, 4 * LANES)
    products = b.mul(b.zext(unsigned, wide), b.sext(signed, wide))
    for i in range(4):
        lanes = _shuffle(b, products, products, list(range(i, 4 * LANES, 4)))
        sums = b.add(sums, lanes)
    return sums


def _dot4_avx2(b: Any, unsigned: Any, signed: Any, bits: int) -> Any:
    # maddubs adds two products in 16 bits, which 255 * 127 * 2 overflows: so bit 7 goes apart.
    v16, v8 = ir.VectorType(I16, 16), ir.VectorType(I32, 8)
    parts = [unsigned]
    if bits == 8:
        parts = [b.and_(unsigned, _constant(i8s.ir, mask)) for mask in (127, 128)]
    ones = _constant(v16, 1)
    halves = []
    for start in (0, 32):
        x = _half(b, signed, start, 32)
        quads = []
        for part in parts:
            pairs = _call(b, "llvm.x86.avx2.pmadd.ub.sw", v16, _half(b, part, start, 32), x)
            quads.append(_call(b, "llvm.x86.avx2.pmadd.wd", v8, pairs, ones))
        halves.append(quads[0] if len(quads) == 1 else b.add(*quads))
    return _join(b, *halves)


def _dot4_neon(b: Any, sums: Any, unsigned: Any, signed: Any, bits: int) -> Any:
    """`_dot4` of 4 lanes."""

    def dot(name: str, sums: Any, x: Any, y: Any) -> Any:
        return _call(b, f"llvm.aarch64.neon.{name}.v4i32.v16i8", sums.type, sums, x, y)

    if bits == 8 and processor().has("i8mm"):
        return dot("usdot", sums, unsigned, signed)
    if bits == 8:  # there is only signed times signed: so bit 7 goes apart, as 2 * 64
        top = b.and_(b.lshr(unsigned, _constant(unsigned.type, 1)), _constant(unsigned.type, 64))
        for part in (b.and_(unsigned, _constant(unsigned.type, 127)), top, top):
            sums = _dot4_neon(b, sums, part, signed, 7)
        return sums
    if processor().has("dotprod"):
        return dot("sdot", sums, unsigned, signed)
    words = ir.VectorType(I16, 8)
    low, high = (
        b.mul(*(b.sext(_half(b, v, start, 8), words) for v in (unsigned, signed)))
        for start in (0, 8)
    )
    pairs = _call(b, "llvm.aarch64.neon.addp.v8i16", words, low, high)
    return b.add(sums, _call(b, "llvm.aarch64.neon.saddlp.v4i32.v8i16", sums.type, pairs))


def _quarters(b: Any, v: Any) -> list[Any]:
    """Registers of 128 bits."""
    n = v.type.count // 4
    return [_half(b, v, start, n) for start in range(0, 4 * n, n)]


def _shift_bytes(b: Any, v: Any, n: Any) -> Any:
    if processor().has("neon"):
        return b.lshr(v, _splat(b, b.trunc(n, I8), v.type.count))
    return b.bitcast(b.lshr(b.bitcast(v, i32s.ir), _splat(b, n)), v.type)


def _lookup(b: Any, table: Any, codes: Any) -> Any:
    """<64 x i8> of entries of a <16 x i8>, for codes below 16."""
    level = processor().level

    def repeated(n: int) -> Any:
        return _shuffle(b, table, table, list(range(16)) * n)

    def by_pieces(n: int, name: str) -> Any:
        pieces = [_half(b, codes, start, n) for start in range(0, codes.type.count, n)]
        return [_call(b, name, piece.type, repeated(n // 16), piece) for piece in pieces]

    if level == "avx512":
        return _call(b, "llvm.x86.avx512.pshuf.b.512", i8s.ir, repeated(4), codes)
    if level == "avx2":
        return _join(b, *by_pieces(32, "llvm.x86.avx2.pshuf.b"))
    if processor().has("neon"):
        return _join(b, *by_pieces(16, "llvm.aarch64.neon.tbl1.v16i8"))
    found = [_splat(b, b.extract_element(table, ir.Constant(I32, i)), 64) for i in range(16)]
    for k in range(4):  # each bit of the codes leaves half of what is possible
        bit = b.and_(codes, _constant(i8s.ir, 1 << k))
        is_set = b.icmp_unsigned("!=", bit, _constant(i8s.ir, 0))
        found = [
            b.select(is_set, one, zero) for zero, one in zip(found[::2], found[1::2], strict=True)
        ]
    return found[0]


def _bit_fields(b: Any, words: Any, j: int, bits: int, up: int) -> Any:
    """One vector of `bit_fields`."""
    low, mask = 4 * bits * j, (1 << bits) - 1 << up
    if processor().has("avx512vbmi"):  # one instruction shifts every byte as it likes
        offsets = [(32 * lane + low + bits * i - up) % 64 for lane in (0, 1) for i in range(4)]
        shifts = ir.Constant(i8s.ir, offsets * 8)
        taken = _call(
            b, "llvm.x86.avx512.pmultishift.qb.512", i8s.ir, shifts, b.bitcast(words, i8s.ir)
        )
        return b.and_(taken, _constant(i8s.ir, mask))
    if bits == 1:
        lanes = b.bitcast(words, i8s.ir)
        copies = _shuffle(b, lanes, lanes, [i // 4 * 4 + low // 8 for i in range(4 * LANES)])
        places = [1 << low % 8 + i for i in range(4)] * LANES
        bit = b.and_(copies, ir.Constant(i8s.ir, places))
        is_set = b.icmp_unsigned("!=", bit, _constant(i8s.ir, 0))
        return b.select(is_set, _constant(i8s.ir, mask), _constant(i8s.ir, 0))
    byte = b.and_(b.lshr(words, _constant(i32s.ir, low)), _constant(i32s.ir, 255))
    for apart in (12, 6):  # copies that do not overlap where they matter
        byte = b.or_(byte, b.shl(byte, _constant(i32s.ir, apart)))
    byte = b.and_(byte, _constant(i32s.ir, 0x03030303))
    return b.bitcast(b.shl(byte, _constant(i32s.ir, up)), i8s.ir)


def _first_trits(b: Any, v: Any) -> Any:
    """floor(3 x / 256) of unsigned bytes x: how many thirds of 256 they have passed."""
    digit = _constant(v.type, 0)
    for passed, third in enumerate((85, 170), 1):
        above = b.icmp_unsigned(">", v, _constant(v.type, third))
        digit = b.select(above, _constant(v.type, passed), digit)
    return digit


def _tree(b: Any, v: Any, combine: Callable[[Any, Any], Any]) -> Any:
    """Fold a vector in halves: the same order on every processor."""
    n = v.type.count
    while n > 1:
        n //= 2
        v = combine(_half(b, v, 0, n), _half(b, v, n, n))
    return b.extract_element(v, ir.Constant(I32, 0))


def _lanes_below(b: Any, n: Any) -> Any:
    """<16 x i1>: which lanes are below the 64-bit count `n`."""
    lanes = ir.Constant(ir.VectorType(I64, LANES), list(range(LANES)))
    return b.icmp_signed("<", lanes, _splat(b, n))


def _load_some(b: Any, at: Any, n: Any, kind: Any) -> Any:
    vector = ir.VectorType(kind, LANES)
    pointer = b.inttoptr(at, vector.as_pointer())
    name = f"llvm.masked.load.v{LANES}{'f32' if kind == F32 else 'i16'}.p0"
    mask = _lanes_below(b, n)
    function = ir.FunctionType(vector, [pointer.type, I32, mask.type, vector])
    called = cgutils.get_or_insert_function(b.module, function, name)
    return b.call(called, [pointer, ir.Constant(I32, 1), mask, ir.Constant(vector, None)])


def _store_some(b: Any, at: Any, v: Any, n: Any) -> None:
    pointer = b.inttoptr(at, v.type.as_pointer())
    mask = _lanes_below(b, n)
    function = ir.FunctionType(ir.VoidType(), [v.type, pointer.type, I32, mask.type])
    called = cgutils.get_or_insert_function(b.module, function, f"llvm.masked.store.v{LANES}f32.p0")
    b.call(called, [v, pointer, ir.Constant(I32, 1), mask])


# ---- memory ------------------------------------------------------------------------------------

load_i64 = verb(i64, address)(lambda b, at: _load(b, at, I64, 8))
load_i32 = verb(i32, address)(lambda b, at: _load(b, at, I32))
load_f32 = verb(f32, address)(lambda b, at: _load(b, at, F32))
store_i64 = verb(VOID, address, i64)(lambda b, at, v: _store(b, at, v, 8))
store_i32 = verb(VOID, address, i32)(lambda b, at, v: _store(b, at, v))
store_f32 = verb(VOID, address, f32)(lambda b, at, v: _store(b, at, v))
load_i16 = verb(i32, address)(lambda b, at: b.zext(_load(b, at, I16), I32))
store_i16 = verb(VOID, address, i32)(lambda b, at, v: _store(b, at, b.trunc(v, I16)))
load_i8 = verb(i32, address)(lambda b, at: b.zext(_load(b, at, I8), I32))
store_i8 = verb(VOID, address, i32)(lambda b, at, v: _store(b, at, b.trunc(v, I8)))

load_f32s = verb(f32s, address)(lambda b, at: _load(b, at, f32s.ir))
load_i32s = verb(i32s, address)(lambda b, at: _load(b, at, i32s.ir))
load_i8s = verb(i8s, address)(lambda b, at: _load(b, at, i8s.ir))
store_f32s = verb(VOID, address, f32s)(lambda b, at, v: _store(b, at, v))
store_i32s = verb(VOID, address, i32s)(lambda b, at, v: _store(b, at, v))

# 16 unsigned words of 8 or 16 bits in memory, widened
load_u8s = verb(i32s, address)(
    lambda b, at: b.zext(_load(b, at, ir.VectorType(I8, LANES)), i32s.ir)
)
load_u16s = verb(i32s, address)(
    lambda b, at: b.zext(_load(b, at, ir.VectorType(I16, LANES)), i32s.ir)
)
# 16 halves or 16 bfloat16 in memory, widened
load_f16s = verb(f32s, address)(
    lambda b, at: _half_to_float(b, _load(b, at, ir.VectorType(I16, LANES)))
)
load_bf16s = verb(f32s, address)(
    lambda b, at: b.bitcast(
        b.shl(b.zext(_load(b, at, ir.VectorType(I16, LANES)), i32s.ir), _constant(i32s.ir, 16)),
        f32s.ir,
    )
)
load_i8s_as_f32s = verb(f32s, address)(
    lambda b, at: b.sitofp(_load(b, at, ir.VectorType(I8, LANES)), f32s.ir)
)
store_f16s = verb(VOID, address, f32s)(lambda b, at, v: _store(b, at, _float_to_half(b, v)))
# one float32 as a half
store_f16 = verb(VOID, address, f32)(
    lambda b, at, v: _store(
        b, at, b.extract_element(_float_to_half(b, _splat(b, v)), ir.Constant(I32, 0))
    )
)
# 16 int32 as 16 bytes, the low byte of each
store_i32s_as_i8 = verb(VOID, address, i32s)(
    lambda b, at, v: _store(b, at, b.trunc(v, ir.VectorType(I8, LANES)))
)


@verb(VOID, address, i32s)
def store_quads(b: Any, at: Any, v: Any) -> None:
    """16 int32 as 16 bytes, the low byte of each: four of them, and the next four 64 bytes on."""
    quads = b.bitcast(b.trunc(v, ir.VectorType(I8, LANES)), ir.VectorType(I32, 4))
    for j in range(4):
        quad = b.extract_element(quads, ir.Constant(I32, j))
        _store(b, b.add(at, ir.Constant(I64, 64 * j)), quad)


# the first n of 16; the rest is zero, and their memory is not touched
load_some_f32s = verb(f32s, address, i64)(lambda b, at, n: _load_some(b, at, n, F32))
load_some_f16s = verb(f32s, address, i64)(
    lambda b, at, n: _half_to_float(b, _load_some(b, at, n, I16))
)
load_some_bf16s = verb(f32s, address, i64)(
    lambda b, at, n: b.bitcast(
        b.shl(b.zext(_load_some(b, at, n, I16), i32s.ir), _constant(i32s.ir, 16)), f32s.ir
    )
)


store_some_f32s = verb(VOID, address, f32s, i64)(lambda b, at, v, n: _store_some(b, at, v, n))


@verb(VOID, address)
def prefetch(b: Any, at: Any) -> None:
    """Ask for a cache line to come as near as the second cache; any address is harmless."""
    pointer = b.inttoptr(at, I8.as_pointer())
    function = ir.FunctionType(ir.VoidType(), [pointer.type, I32, I32, I32])
    called = cgutils.get_or_insert_function(b.module, function, "llvm.prefetch.p0")
    b.call(called, [pointer, ir.Constant(I32, 0), ir.Constant(I32, 2), ir.Constant(I32, 1)])


@verb(VOID)
def in_order(b: Any) -> None:
    """Keep the compiler from moving loads and prefetches across this; it makes no instruction."""
    b.fence("seq_cst", "singlethread")


# ---- lanes -------------------------------------------------------------------------------------

splat_f32 = verb(f32s, f32)(_splat)
splat_i32 = verb(i32s, i32)(_splat)
lanes = verb(i32s)(lambda b: ir.Constant(i32s.ir, list(range(LANES))))  # 0 ... 15
add = verb(f32s, f32s, f32s)(lambda b, x, y: b.fadd(x, y))
sub = verb(f32s, f32s, f32s)(lambda b, x, y: b.fsub(x, y))
mul = verb(f32s, f32s, f32s)(lambda b, x, y: b.fmul(x, y))
div = verb(f32s, f32s, f32s)(lambda b, x, y: b.fdiv(x, y))
fma = verb(f32s, f32s, f32s, f32s)(_fma)
neg = verb(f32s, f32s)(lambda b, x: b.fsub(_constant(f32s.ir, -0.0), x))
max_f32s = verb(f32s, f32s, f32s)(lambda b, x, y: b.select(b.fcmp_ordered(">", x, y), x, y))
abs_f32s = verb(f32s, f32s)(lambda b, x: _call(b, f"llvm.fabs.v{LANES}f32", f32s.ir, x))
# a where x < y, else b; also where one of them is NaN
where_less = verb(f32s, f32s, f32s, f32s, f32s)(
    lambda b, x, y, a, other: b.select(b.fcmp_ordered("<", x, y), a, other)
)
add_i32s = verb(i32s, i32s, i32s)(lambda b, x, y: b.add(x, y))
max_i32s = verb(i32s, i32s, i32s)(lambda b, x, y: b.select(b.icmp_signed(">", x, y), x, y))
and_i32s = verb(i32s, i32s, i32s)(lambda b, x, y: b.and_(x, y))
or_i32s = verb(i32s, i32s, i32s)(lambda b, x, y: b.or_(x, y))
shr_i32s = verb(i32s, i32s, i32)(lambda b, x, n: b.lshr(x, _splat(b, n)))
sar_i32s = verb(i32s, i32s, i32)(lambda b, x, n: b.ashr(x, _splat(b, n)))
shl_i32s = verb(i32s, i32s, i32)(lambda b, x, n: b.shl(x, _splat(b, n)))
to_f32s = verb(f32s, i32s)(lambda b, x: b.sitofp(x, f32s.ir))
# round to nearest even, as the quantisers of activations do
to_i32s = verb(i32s, f32s)(
    lambda b, x: b.fptosi(_call(b, f"llvm.rint.v{LANES}f32", f32s.ir, x), i32s.ir)
)
truncated = verb(i32s, f32s)(lambda b, x: b.fptosi(x, i32s.ir))
as_i8s = verb(i8s, i32s)(lambda b, x: b.bitcast(x, i8s.ir))
as_i32s = verb(i32s, i8s)(lambda b, x: b.bitcast(x, i32s.ir))
as_f32s = verb(f32s, i32s)(lambda b, x: b.bitcast(x, f32s.ir))
splat_i8 = verb(i8s, i32)(lambda b, x: _splat(b, b.trunc(x, I8), 4 * LANES))
# bytes shifted right; at the top, bits of the next byte may come in
shr_i8s = verb(i8s, i8s, i32)(_shift_bytes)
and_i8s = verb(i8s, i8s, i8s)(lambda b, x, y: b.and_(x, y))
or_i8s = verb(i8s, i8s, i8s)(lambda b, x, y: b.or_(x, y))
xor_i8s = verb(i8s, i8s, i8s)(lambda b, x, y: b.xor(x, y))
xor_i32s = verb(i32s, i32s, i32s)(lambda b, x, y: b.xor(x, y))
# the low 16 bits of each lane, which are a half
halves_to_f32s = verb(f32s, i32s)(
    lambda b, x: _half_to_float(b, b.trunc(x, ir.VectorType(I16, LANES)))
)
add_i8s = verb(i8s, i8s, i8s)(lambda b, x, y: b.add(x, y))
first_trits = verb(i8s, i8s)(_first_trits)
sum_f32s = verb(f32, f32s)(lambda b, v: _tree(b, v, b.fadd))
sum_i32s = verb(i32, i32s)(lambda b, v: _tree(b, v, b.add))
highest = verb(f32, f32s)(
    lambda b, v: _tree(b, v, lambda x, y: b.select(b.fcmp_ordered(">", x, y), x, y))
)
first_of = verb(f32, f32s)(lambda b, v: b.extract_element(v, ir.Constant(I32, 0)))
keep_below = verb(f32s, f32s, f32s, i64)(
    lambda b, x, other, n: b.select(_lanes_below(b, n), x, other)
)
dot4 = verb(i32s, i32s, i8s, i8s)(_dot4)
as_f32 = verb(f32, i64)(lambda b, x: b.bitcast(b.trunc(x, I32), F32))


@verb(f32s, f32s)
def exp(b: Any, x: Any) -> Any:
    """e^x to about 1 ulp; 0 below -87.3 and infinity above 88.7; NaN stays NaN.

    Range reduction by ln 2 in two parts and a degree-6 polynomial (Cephes expf, Moshier).
    """

    def c(value: float) -> Any:
        return _constant(f32s.ir, value)

    def clamp(v: Any) -> Any:  # written so that NaN goes through
        v = b.select(b.fcmp_ordered("<", v, c(-87.33654)), c(-87.33654), v)
        return b.select(b.fcmp_ordered(">", v, c(88.72283)), c(88.72283), v)

    n = _call(b, f"llvm.rint.v{LANES}f32", f32s.ir, b.fmul(clamp(x), c(1.44269504088896341)))
    r = _fma(b, n, c(-0.693359375), clamp(x))
    r = _fma(b, n, c(2.12194440e-4), r)
    p = c(1.9875691500e-4)
    for k in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        p = _fma(b, p, r, c(k))
    p = b.fadd(_fma(b, b.fmul(r, r), p, r), c(1.0))
    # 2^n in two factors, since n can be 128
    whole = b.fptosi(b.select(b.fcmp_unordered("uno", n, n), c(0.0), n), i32s.ir)
    first = b.ashr(whole, _constant(i32s.ir, 1))
    for part in (first, b.sub(whole, first)):
        power = b.shl(b.add(part, _constant(i32s.ir, 127)), _constant(i32s.ir, 23))
        p = b.fmul(p, b.bitcast(power, f32s.ir))
    p = b.select(b.fcmp_ordered("<", x, c(-87.33654)), c(0.0), p)
    return b.select(b.fcmp_ordered(">", x, c(88.72283)), c(float("inf")), p)


@verb(f32s, f32s)
def log(b: Any, x: Any) -> Any:
    """ln x of normal positive numbers to about 1 ulp; anything of others.

    Range reduction to sqrt(1/2) ... sqrt(2) and a degree-8 polynomial (Cephes logf, Moshier).
    """

    def c(value: float) -> Any:
        return _constant(f32s.ir, value)

    def i(value: int) -> Any:
        return _constant(i32s.ir, value)

    bits = b.bitcast(x, i32s.ir)
    whole = b.sub(b.lshr(bits, i(23)), i(126))
    fraction = b.bitcast(b.or_(b.and_(bits, i(0x7FFFFF)), i(0x3F000000)), f32s.ir)  # 0.5 ... 1
    small = b.fcmp_ordered("<", fraction, c(0.707106781186547524))
    power = b.sitofp(b.sub(whole, b.zext(small, i32s.ir)), f32s.ir)
    r = b.fsub(b.fadd(fraction, b.select(small, fraction, c(0.0))), c(1.0))
    p = c(7.0376836292e-2)
    for k in (
        -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
        -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
    ):  # fmt: skip
        p = _fma(b, p, r, c(k))
    square = b.fmul(r, r)
    tail = _fma(b, power, c(-2.12194440e-4), b.fmul(b.fmul(p, r), square))
    tail = _fma(b, square, c(-0.5), tail)
    return _fma(b, power, c(0.693359375), b.fadd(r, tail))


@verb(f32s, f32s)
def exp2(b: Any, x: Any) -> Any:
    """2^x for x below 127, to 3 ulp; below -126 it is 0; NaN stays NaN.

    2^(x - floor(x)) is a polynomial of degree 5 that is nearest to it in the largest error.
    """

    def c(value: float) -> Any:
        return _constant(f32s.ir, value)

    def power(part: Any) -> Any:
        p = c(1.8671301659e-3)
        for k in (9.0170297772e-3, 5.5799912661e-2, 2.4016444385e-1, 6.9315129519e-1, 1.0):
            p = _fma(b, p, part, c(k))
        return p

    if processor().level == "avx512":
        name, usual = "llvm.x86.avx512.mask.{}.ps.512", ir.Constant(I32, 4)  # way of rounding
        zero, all_lanes = _constant(f32s.ir, 0.0), ir.Constant(I16, -1)
        down = ir.Constant(I32, 9)  # what is left above the floor, without an exception
        part = _call(b, name.format("reduce"), f32s.ir, x, down, zero, all_lanes, usual)
        # numbers that are not normal would cost a hundred cycles each
        normal = b.bitcast(b.fcmp_unordered(">=", x, c(-126.0)), I16)
        return _call(b, name.format("scalef"), f32s.ir, power(part), x, zero, normal, usual)
    x = b.select(b.fcmp_ordered("<", x, c(-126.0)), c(-127.0), x)  # NaN goes through
    n = _call(b, f"llvm.floor.v{LANES}f32", f32s.ir, x)
    whole = b.fptosi(b.select(b.fcmp_unordered("uno", n, n), c(0.0), n), i32s.ir)
    scale = b.shl(b.add(whole, _constant(i32s.ir, 127)), _constant(i32s.ir, 23))
    return b.fmul(power(b.fsub(x, n)), b.bitcast(scale, f32s.ir))


# ---- tables ------------------------------------------------------------------------------------


def table(name: str, values: Callable[[], bytes]) -> Any:
    """Make a verb that gives the address of constant bytes, which become part of the machine code.

    `values` is called when the verb is compiled; `name` tells tables of one kernel apart.
    """

    def emit(b: Any) -> Any:
        label = f"table.{name}"
        if label not in b.module.globals:
            held = values()
            kind = ir.ArrayType(I8, len(held))
            made = cgutils.add_global_variable(b.module, kind, label)
            made.linkage, made.global_constant, made.align = "internal", True, 64
            made.initializer = ir.Constant(kind, bytearray(held))
        return b.ptrtoint(b.module.globals[label], I64)

    return verb(address)(emit)


def _gather(b: Any, at: Any, index: Any, kind: Any) -> Any:
    """A vector of `kind` from `at` + index times its size, for a vector of int32 indices."""
    n, size = index.type.count, kind.width // 8
    vector = ir.VectorType(kind, n)
    # those of AVX2 are no faster than loads one by one, and on many processors slower
    if processor().has("avx512f"):
        name = f"llvm.x86.avx512.mask.gather.dp{'i' if kind == I32 else 'q'}.512"
        all_lanes = _constant(ir.VectorType(ir.IntType(1), n), 1)
        rest, pointer = ir.Constant(vector, None), b.inttoptr(at, I8.as_pointer())
        return _call(b, name, vector, rest, pointer, index, all_lanes, ir.Constant(I32, size))
    found = ir.Constant(vector, ir.Undefined)
    for i in range(n):
        lane = ir.Constant(I32, i)
        offset = b.mul(b.sext(b.extract_element(index, lane), I64), ir.Constant(I64, size))
        found = b.insert_element(found, _load(b, b.add(at, offset), kind), lane)
    return found


# 16 int32 at `at + 4 * index`
gather = verb(i32s, address, i32s)(lambda b, at, index: _gather(b, at, index, I32))


@tile_verb(2)
def gather_pairs(at: Any, index: Any) -> Any:
    """Two byte vectors: bytes 0 .. 3 and 4 .. 7 of the 8 at `at + 8 * index`, lane by lane."""

    def emit(b: Any, at: Any, index: Any) -> Any:
        # few loads and two shuffles, rather than twice as many loads
        lower, upper = (
            b.bitcast(_gather(b, at, _half(b, index, start, 8), I64), i32s.ir) for start in (0, 8)
        )
        pairs = [_shuffle(b, lower, upper, list(range(first, 32, 2))) for first in (0, 1)]
        return [b.bitcast(v, i8s.ir) for v in pairs]

    return types.UniTuple(i8s, 2)(address, i32s), emit


@tile_verb(3)
def reflect(quads: Any, bits: Any, total: Any) -> Any:
    """`total` - byte i of vector j, lane by lane, where bit 4j + i of the lane of `bits` is 1."""

    def emit(b: Any, quads: Any, bits: Any, total: Any) -> Any:
        bits, total = b.bitcast(bits, i8s.ir), _splat(b, b.trunc(total, I8), 4 * LANES)
        out = []
        for j, quad in enumerate(quads):
            spread = _shuffle(b, bits, bits, [i // 4 * 4 + j // 2 for i in range(4 * LANES)])
            places = [1 << 4 * (j % 2) + i % 4 for i in range(4 * LANES)]
            kept = b.and_(spread, ir.Constant(i8s.ir, places))
            turned = b.icmp_unsigned("!=", kept, _constant(i8s.ir, 0))
            out.append(b.select(turned, b.sub(total, quad), quad))
        return out

    return quads(quads, i32s, i32), emit


# ---- tiles: tuples of vectors that stay in registers -------------------------------------------


@tile_verb(1)
def zeros(n: Any) -> Any:
    """A tuple of `n` float vectors of zeros; `n` is a literal."""
    count = n.literal_value

    def emit(b: Any, _n: Any) -> Any:
        return [_constant(f32s.ir, 0.0)] * count

    return types.UniTuple(f32s, count)(n), emit


@tile_verb(3)
def load_tile(at: Any, stride: Any, n: Any) -> Any:
    """`n` float vectors, `stride` bytes apart."""
    count = n.literal_value

    def emit(b: Any, at: Any, stride: Any, _n: Any) -> Any:
        return [
            _load(b, b.add(at, b.mul(stride, ir.Constant(I64, i))), f32s.ir) for i in range(count)
        ]

    return types.UniTuple(f32s, count)(address, i64, n), emit


@tile_verb(4)
def load_tile_some(at: Any, stride: Any, n: Any, lanes: Any) -> Any:
    """As `load_tile`, but only the first `lanes` lanes of each vector; the others are zero."""
    count = n.literal_value

    def emit(b: Any, at: Any, stride: Any, _n: Any, lanes: Any) -> Any:
        steps = [b.mul(stride, ir.Constant(I64, i)) for i in range(count)]
        return [_load_some(b, b.add(at, step), lanes, F32) for step in steps]

    return types.UniTuple(f32s, count)(address, i64, n, i64), emit


@tile_verb(2)
def load_quads(at: Any, n: Any) -> Any:
    """`n` byte vectors that follow each other."""
    count = n.literal_value

    def emit(b: Any, at: Any, _n: Any) -> Any:
        return [_load(b, b.add(at, ir.Constant(I64, 64 * i)), i8s.ir) for i in range(count)]

    return types.UniTuple(i8s, count)(address, n), emit


@tile_verb(2)
def lookup(table: Any, codes: Any) -> Any:
    """Bytes of byte vectors replaced by entries of `table`, 16 integers; every code is below 16."""

    def emit(b: Any, table: Any, codes: Any) -> Any:
        entries = ir.Constant(ir.VectorType(I8, 16), ir.Undefined)
        for i, value in enumerate(table):
            entries = b.insert_element(entries, b.trunc(value, I8), ir.Constant(I32, i))
        return [_lookup(b, entries, code) for code in codes]

    return codes(types.UniTuple(i64, 16), codes), emit


@tile_verb(3)
def bit_fields(words: Any, bits: Any, up: Any) -> Any:
    """The fields of 1 or 2 `bits` of each lane, lowest first, as bytes shifted left by `up`.

    Lane r of vector j holds fields 4j .. 4j + 3 of lane r of `words`: 8 vectors, or 4. `bits` and
    `up` are literals.
    """
    count = 8 // bits.literal_value

    def emit(b: Any, words: Any, _bits: Any, _up: Any) -> Any:
        return [
            _bit_fields(b, words, j, bits.literal_value, up.literal_value) for j in range(count)
        ]

    return types.UniTuple(i8s, count)(i32s, bits, up), emit


@tile_verb(4)
def load_grid(at: Any, stride: Any, n: Any, m: Any) -> Any:
    """n x m float vectors: n rows `stride` bytes apart, in each m that follow each other."""
    rows, columns = n.literal_value, m.literal_value

    def emit(b: Any, at: Any, stride: Any, _n: Any, _m: Any) -> Any:
        starts = [b.add(at, b.mul(stride, ir.Constant(I64, i))) for i in range(rows)]
        return [
            _load(b, b.add(s, ir.Constant(I64, 64 * j)), f32s.ir)
            for s in starts
            for j in range(columns)
        ]

    return types.UniTuple(f32s, rows * columns)(address, i64, n, m), emit


@tile_verb(4)
def store_grid(at: Any, stride: Any, tile: Any, m: Any) -> Any:
    """Store what `load_grid` loads."""
    columns = m.literal_value

    def emit(b: Any, at: Any, stride: Any, tile: Any, _m: Any) -> None:
        for i, v in enumerate(tile):
            start = b.add(at, b.mul(stride, ir.Constant(I64, i // columns)))
            _store(b, b.add(start, ir.Constant(I64, 64 * (i % columns))), v)

    return VOID(address, i64, tile, m), emit


@tile_verb(8)
def dot_tile(
    sums: Any, quads: Any, bits: Any, scales: Any, mins: Any, x: Any, x_scale: Any, x_sum: Any
) -> Any:
    """Add one block of 32 weights of 16 rows, times T tokens, to T vectors of row sums.

    quads: 8 byte vectors, lane r of quad j being weights 4j..4j+3 of row r as unsigned bytes
    below 2^bits, a literal.
    scales: a float vector per 32 (or two, per 16) weights; mins: as many, or one that is ignored.
    x: T x 32 bytes from -127 to 127; x_scale: T float32; x_sum: T x len(scales) values, see
    `matmul`: float32 sums of x where there are mins, else int32 that start the integer sums; where
    bits are 8, these must be the sums of x times -128.
    """
    with_mins = isinstance(mins, types.UniTuple)
    spans, n_bits = scales.count, bits.literal_value

    def emit(b: Any, sums: Any, quads: Any, _: Any, scales: Any, mins: Any, *at: Any) -> Any:
        x, x_scale, x_sum = at
        cpu, below = processor(), n_bits
        neon = cpu.has("neon")
        no_start = with_mins
        if n_bits == 8 and neon and not with_mins:
            # signed bytes times signed ones: the 128 does not come in, the sums start with 0
            quads, below, no_start = [b.xor(q, _constant(q.type, 128)) for q in quads], 7, True

        def four_of_x(t: int, j: int) -> Any:
            if neon:  # sdot and usdot take one of 4 lanes by themselves
                from_x = ir.Constant(I64, 32 * t + 16 * (j // 4))
                fours = _load(b, b.add(x, from_x), ir.VectorType(I32, 4), 4)
                return b.bitcast(_shuffle(b, fours, fours, [j % 4] * 4), ir.VectorType(I8, 16))
            four = _load(b, b.add(x, ir.Constant(I64, 32 * t + 4 * j)), I32, 4)
            return b.bitcast(_splat(b, four), i8s.ir)

        def add_block(t: int, total: Any, quads: Any, scales: Any, mins: Any) -> Any:
            floats, lanes = total.type, total.type.count
            block = None
            for s in range(spans):
                sum_at = b.add(x_sum, ir.Constant(I64, 4 * (t * spans + s)))
                part = _constant(ir.VectorType(I32, lanes), 0)
                if not no_start:
                    part = _splat(b, _load(b, sum_at, I32, 4), lanes)
                for j in range(s * 8 // spans, (s + 1) * 8 // spans):
                    part = _dot4(b, part, quads[j], four_of_x(t, j), below)
                part = b.sitofp(part, floats)
                block = (
                    b.fmul(part, scales[s]) if block is None else _fma(b, part, scales[s], block)
                )
                if with_mins:
                    sum_of_x = _splat(b, _load(b, sum_at, F32, 4), lanes)
                    block = _fma(b, mins[s], sum_of_x, block)
            scale = _load(b, b.add(x_scale, ir.Constant(I64, 4 * t)), F32, 4)
            return _fma(b, block, _splat(b, scale, lanes), total)

        # rows by rows where registers are narrower, so that fewer are needed at once
        def cut(vectors: Any) -> Any:
            return zip(*(_quarters(b, v) if neon else [v] for v in vectors), strict=True)

        minima = cut(mins) if with_mins else [None] * 4
        rows = [
            [add_block(t, total, *rest) for t, total in enumerate(totals)]
            for totals, *rest in zip(cut(sums), cut(quads), cut(scales), minima, strict=False)
        ]
        return [_join(b, *pieces) for pieces in zip(*rows, strict=True)]

    return sums(sums, quads, bits, scales, mins, address, address, address), emit


@tile_verb(3)
def outer_tile(sums: Any, w: Any, x: Any) -> Any:
    """sums[r * T + t] += w[r] * x[t], lane by lane, for R x T vectors."""

    def emit(b: Any, sums: Any, w: Any, x: Any) -> Any:
        return [_fma(b, w[i // len(x)], x[i % len(x)], total) for i, total in enumerate(sums)]

    return sums(sums, w, x), emit


@tile_verb(4)
def splat_tile(sums: Any, w: Any, x: Any, stride: Any) -> Any:
    """sums[t * V + v] += w[v] * x[t], x[t] being the float32 at x + t * stride; V vectors w."""
    vectors = w.count

    def emit(b: Any, sums: Any, w: Any, x: Any, stride: Any) -> Any:
        xs = [
            _splat(b, _load(b, b.add(x, b.mul(stride, ir.Constant(I64, t))), F32, 4))
            for t in range(len(sums) // vectors)
        ]
        return [_fma(b, w[i % vectors], xs[i // vectors], total) for i, total in enumerate(sums)]

    return sums(sums, w, address, i64), emit


def _store_rows(
    b: Any, place: Callable[[int], Any], tile: Any, bias: Any, n_rows: Any, n_tokens: Any
) -> None:
    zero = ir.Constant(I64, 0)
    lanes = b.select(b.icmp_signed("==", bias, zero), zero, n_rows)
    add = _load_some(b, bias, lanes, F32)
    for t, v in enumerate(tile):
        wanted = b.select(b.icmp_signed("<", ir.Constant(I64, t), n_tokens), n_rows, zero)
        _store_some(b, place(t), b.fadd(v, add), wanted)


@tile_verb(6)
def store_rows(at: Any, stride: Any, tile: Any, bias: Any, n_rows: Any, n_tokens: Any) -> Any:
    """Store T vectors of 16 row sums `stride` bytes apart, plus 16 float32 at `bias`, if any.

    Only the first n_rows lanes of the first n_tokens vectors are written, and as many read of
    bias; address 0 is no bias.
    """

    def emit(b: Any, at: Any, stride: Any, *more: Any) -> None:
        _store_rows(b, lambda t: b.add(at, b.mul(stride, ir.Constant(I64, t))), *more)

    return VOID(address, i64, tile, address, i64, i64), emit


@tile_verb(7)
def store_rows_at(
    at: Any, stride: Any, places: Any, tile: Any, bias: Any, n_rows: Any, n_tokens: Any
) -> Any:
    """As `store_rows`, vector t going to `at` + `stride` times the int32 at `places` + 4 t."""

    def emit(b: Any, at: Any, stride: Any, places: Any, *more: Any) -> None:
        def place(t: int) -> Any:
            number = _load(b, b.add(places, ir.Constant(I64, 4 * t)), I32)
            return b.add(at, b.mul(stride, b.sext(number, I64)))

        _store_rows(b, place, *more)

    return VOID(address, i64, address, tile, address, i64, i64), emit


@tile_verb(7)
def store_sums(
    at: Any, stride: Any, tile: Any, tokens: Any, bias: Any, n_rows: Any, n_tokens: Any
) -> Any:
    """Sum each vector of an R x T tile into the float32 at `at + t * stride + 4 * r`.

    `tokens` is T as a literal; bias, n_rows and n_tokens as for `store_rows`.
    """
    n = tokens.literal_value

    def emit(
        b: Any, at: Any, stride: Any, tile: Any, _t: Any, bias: Any, n_rows: Any, n_tokens: Any
    ) -> None:
        with_bias = b.icmp_signed("!=", bias, ir.Constant(I64, 0))
        for i, v in enumerate(tile):
            r, t = ir.Constant(I64, i // n), ir.Constant(I64, i % n)
            here = b.and_(b.icmp_signed("<", r, n_rows), b.icmp_signed("<", t, n_tokens))
            with b.if_then(here):
                total = _tree(b, v, b.fadd)
                offset = b.mul(r, ir.Constant(I64, 4))
                slot = cgutils.alloca_once_value(b, total)
                with b.if_then(with_bias):
                    b.store(b.fadd(total, _load(b, b.add(bias, offset), F32, 4)), slot)
                _store(b, b.add(b.add(at, b.mul(stride, t)), offset), b.load(slot), 4)

    return VOID(address, i64, tile, tokens, address, i64, i64), emit


# ---- matrix tiles: what AMX has, only where `processor().matrix_tiles` ---------------------------


def _tile_number(n: int) -> Any:
    return ir.Constant(I8, n)


def _at(b: Any, at: Any) -> Any:
    return b.inttoptr(at, I8.as_pointer())


@verb(VOID, address)
def configure_tiles(b: Any, at: Any) -> None:
    """Make 8 tiles of the shape that the 64 bytes at `at` say (Intel SDM, LDTILECFG)."""
    _call_void(b, "llvm.x86.ldtilecfg", _at(b, at))


@verb(VOID)
def release_tiles(b: Any) -> None:
    """Let the processor forget its tiles: threads that have none are cheaper to switch."""
    _call_void(b, "llvm.x86.tilerelease")


@tile_verb(1)
def zero_tile(n: Any) -> Any:
    """Tile `n`, a literal, becomes zeros."""

    def emit(b: Any, _n: Any) -> None:
        _call_void(b, "llvm.x86.tilezero", _tile_number(n.literal_value))

    return VOID(n), emit


@tile_verb(3)
def fill_tile(n: Any, at: Any, stride: Any) -> Any:
    """Tile `n`, a literal, is read from 16 rows of 64 bytes, `stride` bytes apart."""

    def emit(b: Any, _n: Any, at: Any, stride: Any) -> None:
        _call_void(b, "llvm.x86.tileloadd64", _tile_number(n.literal_value), _at(b, at), stride)

    return VOID(n, address, i64), emit


@tile_verb(3)
def spill_tile(n: Any, at: Any, stride: Any) -> Any:
    """Tile `n`, a literal, is written as 16 rows of 64 bytes, `stride` bytes apart."""

    def emit(b: Any, _n: Any, at: Any, stride: Any) -> None:
        _call_void(b, "llvm.x86.tilestored64", _tile_number(n.literal_value), _at(b, at), stride)

    return VOID(n, address, i64), emit


@tile_verb(3)
def multiply_tiles(sums: Any, x: Any, w: Any) -> Any:
    """Float tile `sums` += bf16 tile x (rows of 32) @ bf16 tile w (16 rows of 16 pairs)."""

    def emit(b: Any, *_: Any) -> None:
        numbers = (_tile_number(n.literal_value) for n in (sums, x, w))
        _call_void(b, "llvm.x86.tdpbf16ps", *numbers)

    return VOID(sums, x, w), emit


def _bf16_bits(b: Any, v: Any) -> Any:
    """Lanes of float32 whose upper halves are the nearest bf16; NaN must be the usual one."""
    return b.add(b.bitcast(v, i32s.ir), _constant(i32s.ir, 0x8000))


def _usual_nan(b: Any, v: Any) -> Any:
    return b.select(b.fcmp_unordered("uno", v, v), _constant(f32s.ir, float("nan")), v)


@tile_verb(2)
def store_turned(at: Any, rows: Any) -> Any:
    """Write a tile from its 16 columns: lane i of rows[r], a pair of bf16, goes to 64 i + 4 r."""

    def emit(b: Any, at: Any, rows: Any) -> None:
        for step in (1, 2, 4, 8):  # swap lanes between rows that lie `step` apart
            lanes = range(LANES)
            low = [n + LANES - step if n & step else n for n in lanes]
            high = [n + LANES if n & step else n + step for n in lanes]
            for r in range(LANES):
                if not r & step:
                    first, second = rows[r], rows[r + step]
                    rows[r] = _shuffle(b, first, second, low)
                    rows[r + step] = _shuffle(b, first, second, high)
        for i, row in enumerate(rows):
            _store(b, b.add(at, ir.Constant(I64, 64 * i)), row)

    return VOID(address, rows), emit


@verb(i32s, f32s, f32s)
def bf16_pairs(b: Any, first: Any, second: Any) -> Any:
    """32 values in order as bf16, two in a lane."""
    halves = [
        b.trunc(
            b.lshr(_bf16_bits(b, _usual_nan(b, v)), _constant(i32s.ir, 16)),
            ir.VectorType(I16, LANES),
        )
        for v in (first, second)
    ]
    return b.bitcast(_join(b, *halves), i32s.ir)


@verb(i32s, f32s, f32s)
def bf16_lanes(b: Any, low: Any, high: Any) -> Any:
    """Two values for each lane as bf16, those of `high` in the upper half; see `usual_nan`."""
    upper = b.and_(_bf16_bits(b, high), _constant(i32s.ir, 0xFFFF0000))
    return b.or_(b.lshr(_bf16_bits(b, low), _constant(i32s.ir, 16)), upper)


usual_nan = verb(f32s, f32s)(_usual_nan)
# towards zero, to what bf16 can hold
upper_bf16s = verb(f32s, f32s)(
    lambda b, v: b.bitcast(b.and_(b.bitcast(v, i32s.ir), _constant(i32s.ir, 0xFFFF0000)), f32s.ir)
)


@tile_verb(5)
def store_bf16_pairs(at: Any, quads: Any, scales: Any, mins: Any, zero: Any) -> Any:
    """Write 32 weights of 16 rows as a tile: pair i of row r are lanes' halves at 64 i + 4 r.

    quads, scales and mins as `unpack` gives them; zero: a literal, what the bytes are too large by.
    """
    with_mins = isinstance(mins, types.UniTuple)
    spans = scales.count

    def emit(b: Any, at: Any, quads: Any, scales: Any, mins: Any, _zero: Any) -> None:
        scales = [_usual_nan(b, s) for s in scales]
        if with_mins:
            offsets = [_usual_nan(b, m) for m in mins]
        else:
            offsets = [b.fmul(s, _constant(f32s.ir, -float(zero.literal_value))) for s in scales]
        for j, quad in enumerate(quads):
            scale, offset = scales[j * spans // 8], offsets[j * spans // 8]
            lanes, rounded = b.bitcast(quad, i32s.ir), []
            for k in range(4):
                byte = b.lshr(lanes, _constant(i32s.ir, 8 * k))
                byte = b.and_(byte, _constant(i32s.ir, 255)) if k < 3 else byte
                rounded.append(_bf16_bits(b, _fma(b, b.sitofp(byte, f32s.ir), scale, offset)))
            for k in (0, 2):
                low = b.lshr(rounded[k], _constant(i32s.ir, 16))
                high = b.and_(rounded[k + 1], _constant(i32s.ir, 0xFFFF0000))
                _store(b, b.add(at, ir.Constant(I64, 128 * j + 32 * k)), b.or_(low, high))

    return VOID(address, quads, scales, mins, zero), emit


# ---- threads -----------------------------------------------------------------------------------

fetch_add = verb(i64, address, i64)(
    lambda b, at, v: b.atomic_rmw("add", b.inttoptr(at, I64.as_pointer()), v, "seq_cst")
)
load_acquire = verb(i64, address)(
    lambda b, at: b.load_atomic(b.inttoptr(at, I64.as_pointer()), "acquire", 8)
)
store_release = verb(VOID, address, i64)(
    lambda b, at, v: b.store_atomic(v, b.inttoptr(at, I64.as_pointer()), "release", 8)
)
cycles = verb(i64)(lambda b: _call(b, "llvm.readcyclecounter", I64))


@verb(VOID)
def relax(b: Any) -> None:
    """Tell the core that this is a spin loop."""
    if processor().x86:
        _call(b, "llvm.x86.sse2.pause", ir.VoidType())


@verb(VOID, address)
def call_void(b: Any, function: Any) -> None:
    """Call a C function of no arguments by address."""
    kind = ir.FunctionType(I32, [])
    b.call(b.inttoptr(function, kind.as_pointer()), [])


@verb(VOID, address, address, address, i64, i64)
def call_kernel(b: Any, kernel: Any, op: Any, run: Any, thread: Any, n_threads: Any) -> None:
    """Call a compiled kernel by address, in Numba's calling convention (its status is not used)."""
    pointer = I8.as_pointer()
    kind = ir.FunctionType(I32, [pointer.as_pointer(), pointer.as_pointer(), I64, I64, I64, I64])
    result, error = cgutils.alloca_once(b, pointer), cgutils.alloca_once(b, pointer)
    b.call(b.inttoptr(kernel, kind.as_pointer()), [result, error, op, run, thread, n_threads])
