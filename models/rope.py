"""How far each pair of a head's values turns per position: rotary embeddings and their scalings.

RoFormer, Su et al. 2021, arXiv:2104.09864. YaRN, Peng et al. 2023, arXiv:2309.00071. LongRoPE, Ding
et al. 2024, arXiv:2402.13753.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

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
    log_multiplier: float = number(
        "rope.scaling.yarn_log_multiplier", default=0.0, at_least=0.0, at_most=1e3
    )

    @property
    def stretch(self) -> float:
        """How many times longer contexts are than those trained on at first."""
        return 1.0 if self.kind == "none" else self.factor or self.old_factor

    def gain(self, multiplier: float) -> float:
        """YaRN's factor for q and k alike, by which attention stays as sharp: section 3.4."""
        return 1.0 + 0.1 * multiplier * math.log(max(self.stretch, 1.0))


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
    """The rotation of a head's first `n_rot` values; `factors`, their first, divide frequencies."""
    frequencies = scaling.base ** -(np.arange(0, n_rot, 2, dtype=np.float64) / n_rot)
    if factors is not None:
        frequencies = frequencies / factors.data[: n_rot // 2].astype(np.float64)
    slow, magnitude = frequencies / scaling.stretch, scaling.attn_factor
    if scaling.kind == "yarn":
        # fast pairs turn often enough within the trained context to keep their frequency
        keep = _kept_by_yarn(n_rot, scaling)
        slow = slow * (1.0 - keep) + frequencies * keep
        magnitude *= scaling.gain(1.0) / scaling.gain(scaling.log_multiplier)
    return Rotation(slow, magnitude, interleaved)


def no_rotation(n_rot: int) -> Rotation:
    """The rotation of values that carry no position."""
    return Rotation(np.zeros(n_rot // 2), 1.0, interleaved=False)


def for_text(turn: Rotation, sections: tuple[int, ...], *, by_turns: bool) -> Rotation:
    """The rotation by the position of text where pairs are shared out among an image's axes.

    `sections` are the pairs for time, row, column and a fourth axis, along which text stands still;
    either one after another or `by_turns`, as long as an axis has any left. Qwen2-VL, Wang et al.
    2024, arXiv:2409.12191.
    """
    if not any(sections):
        return turn
    pair = np.arange(len(turn.frequencies)) % sum(sections)
    still = pair >= sum(sections[:3])
    if by_turns:
        still = pair >= 3 * np.array((*sections, 0, 0)[:3])[pair % 3]
    return replace(turn, frequencies=np.where(still, 0.0, turn.frequencies))


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


def leanings(n_head: int, most: float) -> Array:
    """float32 (n_head,): how much each head's scores lose per position of distance (ALiBi).

    A geometric series from 2^-(most / n) for n heads, n a power of two; further heads take every
    other value of the series for 2 n. Press et al. 2021, arXiv:2108.12409.
    """
    n = 2 ** math.floor(math.log2(n_head))
    first = 2.0 ** (-most / n * np.arange(1, n + 1))
    rest = 2.0 ** (-most / (2 * n) * np.arange(1, 2 * (n_head - n), 2))
    return np.concatenate([first, rest]).astype(np.float32)
