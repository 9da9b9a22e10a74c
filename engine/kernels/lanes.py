"""Where Numba inlines into kernels, and what all ways of unpacking lanes share."""

from __future__ import annotations

from numba import njit

from vatra.engine.simd import and_i32s, shr_i32s, splat_i32

inlined = njit(forceinline=True)


@inlined
def byte_lane(packed, k):
    """Byte k of each lane, as an integer."""
    return and_i32s(shr_i32s(packed, 8 * k), splat_i32(255))
