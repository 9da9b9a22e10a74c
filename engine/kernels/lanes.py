"""Where Numba inlines into kernels, and what all ways of unpacking lanes share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

from vatra.engine.simd import and_i32s, shr_i32s, splat_i32

inlined = njit(forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def unrolled(step: Callable[..., Any], times: int) -> Callable[..., Any]:
    """state = step(state, k, *more) for k = 0 ... times - 1, as code without a loop."""
    scope = {"step": step}
    calls = "".join(f"    state = step(state, {k}, *more)\n" for k in range(times))
    exec(f"def steps(state, *more):\n{calls}    return state\n", scope)  # noqa: S102 - our own text
    return inlined(scope["steps"])


@inlined
def byte_lane(packed, k):
    """Byte k of each lane, as an integer."""
    return and_i32s(shr_i32s(packed, 8 * k), splat_i32(255))
