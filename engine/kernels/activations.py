"""Functions of one value: alone (`map`), as a gate (`glu`), or stretched (`softcap`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import float32

from vatra.engine.kernels.elementwise import share, silu
from vatra.engine.kernels.lanes import inlined
from vatra.engine.simd import (
    abs_f32s,
    add,
    div,
    exp,
    fma,
    load_i64,
    load_some_f32s,
    log,
    max_f32s,
    mul,
    neg,
    splat_f32,
    store_some_f32s,
    sub,
    where_less,
)


@inlined
def of(value):
    return splat_f32(float32(value))


@inlined
def sigmoid(x):
    return div(of(1.0), add(of(1.0), exp(neg(x))))


@inlined
def tanh(x):
    """Near zero a polynomial (Cephes tanhf, Moshier), else by e^-2|x|."""
    y = mul(x, x)
    p = fma(of(-5.70498872745e-3), y, of(2.06390887954e-2))
    p = fma(p, y, of(-5.37397155531e-2))
    p = fma(p, y, of(1.33314422036e-1))
    p = fma(p, y, of(-3.33332819422e-1))
    near = fma(mul(p, y), x, x)
    size = abs_f32s(x)
    e = exp(mul(of(-2.0), size))
    far = div(sub(of(1.0), e), add(of(1.0), e))
    return where_less(size, of(0.625), near, where_less(x, of(0.0), neg(far), far))


@inlined
def erf(x):
    """To 1.5e-7: Abramowitz and Stegun 7.1.26."""
    size = abs_f32s(x)
    t = div(of(1.0), fma(of(0.3275911), size, of(1.0)))
    p = fma(of(1.061405429), t, of(-1.453152027))
    p = fma(p, t, of(1.421413741))
    p = fma(p, t, of(-0.284496736))
    p = fma(p, t, of(0.254829592))
    far = sub(of(1.0), mul(mul(p, t), exp(neg(mul(x, x)))))
    return where_less(x, of(0.0), neg(far), far)


@inlined
def gelu(x):
    cube = mul(mul(x, x), x)
    inner = mul(of(0.7978845608028654), fma(of(0.044715), cube, x))
    return mul(mul(of(0.5), x), add(of(1.0), tanh(inner)))


@inlined
def gelu_erf(x):
    return mul(mul(of(0.5), x), add(of(1.0), erf(mul(x, of(0.7071067811865476)))))


@inlined
def gelu_quick(x):
    return div(x, add(of(1.0), exp(mul(of(-1.702), x))))


@inlined
def relu(x):
    return where_less(x, of(0.0), of(0.0), x)


@inlined
def relu2(x):
    y = relu(x)
    return mul(y, y)


@inlined
def softplus(x):
    """max(x, 0) + ln(1 + e^-|x|)."""
    e = exp(neg(abs_f32s(x)))
    # what was lost in adding 1 is made good by the quotient (Kahan)
    whole = add(of(1.0), e)
    kept = sub(whole, of(1.0))
    tail = where_less(kept, of(2.0**-24), e, mul(log(whole), div(e, kept)))
    return add(max_f32s(x, of(0.0)), tail)


FUNCTIONS: dict[str, Any] = {
    "silu": silu,
    "gelu": gelu,
    "gelu_erf": gelu_erf,
    "gelu_quick": gelu_quick,
    "relu": relu,
    "relu2": relu2,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "softplus": softplus,
    "exp": exp,
}


def kernel(which: str, kind: str) -> Callable[..., None]:
    f = FUNCTIONS[kind]

    def map(op, run, thread, n_threads, x: int, out: int, width: int, rows: int):
        first, end = share(load_i64(run + 8 * rows) * width, thread, n_threads)
        for i in range(first, end, 16):
            n = end - i
            store_some_f32s(out + 4 * i, f(load_some_f32s(x + 4 * i, n)), n)

    def glu(op, run, thread, n_threads, gate: int, up: int, out: int, width: int, rows: int):
        first, end = share(load_i64(run + 8 * rows) * width, thread, n_threads)
        for i in range(first, end, 16):
            n = end - i
            product = mul(f(load_some_f32s(gate + 4 * i, n)), load_some_f32s(up + 4 * i, n))
            store_some_f32s(out + 4 * i, product, n)

    def softcap(op, run, thread, n_threads, x: int, out: int, width: int, rows: int, cap: float):
        first, end = share(load_i64(run + 8 * rows) * width, thread, n_threads)
        for i in range(first, end, 16):
            n = end - i
            inner = mul(load_some_f32s(x + 4 * i, n), splat_f32(float32(1.0) / cap))
            store_some_f32s(out + 4 * i, mul(f(inner), splat_f32(cap)), n)

    made: dict[str, Callable[..., None]] = {"map": map, "glu": glu, "softcap": softcap}
    return made[which]
