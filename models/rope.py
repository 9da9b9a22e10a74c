"""How far each pair of a head's values turns per position: rotary embeddings and their scalings.

RoFormer, Su et al. 2021, arXiv:2104.09864. YaRN, Peng et al. 2023, arXiv:2309.00071. LongRoPE, Ding
et al. 2024, arXiv:2402.13753.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vatra.models.config import choice, count, number
from vatra.models.weights import Vector

Array = np.ndarray


@dataclass(frozen=True)
class Scaling:
    """The keys below rope.*: how a model trained on a short context is stretched to a long one."""

    base: float = number("rope.freq_base", default=10000.0, at_least=2.0)
    old_factor: float = number("rope.scale_linear", default=1.0)
    kind: str = choice(
        "rope.scaling.type", default="linear", known=("none", "linear", "yarn", "longrope")
    )
    factor: float = number("rope.scaling.factor", default=0.0)  # 0: use old_factor
    n_ctx_original: int = count("rope.scaling.original_context_length", default="n_ctx_train")
    attn_factor: float = number("rope.scaling.attn_factor", default=1.0)
    beta_fast: float = number("rope.scaling.yarn_beta_fast", default=32.0)
    beta_slow: float = number("rope.scaling.yarn_beta_slow", default=1.0)


@dataclass(frozen=True)
class Rotation:
    """`frequencies` float64 (pairs,), radians per position; `magnitude` scales sine and cosine.

    Pair i is values (2i, 2i + 1) of a head if `interleaved`, else (i, i + pairs).
    """

    frequencies: Array
    magnitude: float
    interleaved: bool


def long_or_short(
    scaling: Scaling, n_ctx: int, long: Vector | None, short: Vector | None
) -> Vector | None:
    """LongRoPE's factors for a context of `n_ctx` tokens: one choice for all of its tokens."""
    return long if n_ctx > scaling.n_ctx_original else short


def rotation(
    n_rot: int, scaling: Scaling, *, interleaved: bool, factors: Vector | None = None
) -> Rotation:
    """The rotation of a head's first `n_rot` values; `factors` (n_rot / 2,) divide frequencies."""
    frequencies = scaling.base ** -(np.arange(0, n_rot, 2, dtype=np.float64) / n_rot)
    if factors is not None:
        frequencies = frequencies / factors.data.astype(np.float64)
    stretch = 1.0 if scaling.kind == "none" else scaling.factor or scaling.old_factor
    slow, magnitude = frequencies / stretch, scaling.attn_factor
    if scaling.kind == "yarn":
        # fast pairs turn often enough within the trained context to keep their frequency
        keep = _kept_by_yarn(n_rot, scaling)
        slow = slow * (1.0 - keep) + frequencies * keep
        magnitude *= 1.0 + 0.1 * math.log(max(stretch, 1.0))
    return Rotation(slow, magnitude, interleaved)


def _kept_by_yarn(n_rot: int, scaling: Scaling) -> Array:
    """(pairs,) 1 where YaRN keeps a frequency, 0 where it stretches it, a ramp between."""

    def pair_turning(times: float) -> float:
        """The pair that turns `times` times within the original context."""
        ratio = scaling.n_ctx_original / (times * 2.0 * math.pi)
        return n_rot * math.log(ratio) / (2.0 * math.log(scaling.base))

    low = max(0, math.floor(pair_turning(scaling.beta_fast)))
    high = min(n_rot - 1, math.ceil(pair_turning(scaling.beta_slow)))
    ramp = (np.arange(n_rot // 2) - low) / max(0.001, high - low)
    return 1.0 - np.clip(ramp, 0.0, 1.0)
