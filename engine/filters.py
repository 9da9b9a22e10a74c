"""Filters of the next token's candidates: each a pure function, candidates in and candidates out.

A probability is always that of the softmax over the candidates which are left. The exact meaning of
each number, and what its extremes mean, is llama.cpp's.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from vatra.errors import UsageError, VatraError

Array = np.ndarray

MAX_LOGIT = float(np.finfo(np.float32).max)
COLDEST, MAX_SCALED = 1e-60, 1e100  # below and above there is no difference, and no overflow yet
MIROSTAT_TOKENS = 100  # the likeliest ones, from which mirostat estimates Zipf's exponent
ADAPTIVE_WIDTH, ADAPTIVE_PEAK, ADAPTIVE_SHARPNESS = 0.3, 5.0, 10.0
FIRST_GUESS = 256  # candidates sorted at first where it is not known how many are wanted


class Candidates(NamedTuple):
    """Tokens that may still be chosen: at least one. Every filter keeps their order."""

    ids: Array  # int64 (n,), ascending
    logits: Array  # float32 or float64 (n,), finite

    def at(self, which: Array) -> Candidates:
        """Those at ascending indices, or where a mask is true."""
        return Candidates(self.ids[which], self.logits[which])


@lru_cache(maxsize=1)
def _all_ids(n_vocab: int) -> Array:
    ids = np.arange(n_vocab)
    ids.setflags(write=False)
    return ids


def candidates(logits: Array, ids: Array | None = None) -> Candidates:
    """The tokens of `logits` (n,), by default all of a vocabulary, less those of -inf.

    Raises VatraError if a logit is NaN, or if none is left.
    """
    ids = _all_ids(len(logits)) if ids is None else ids
    if logits.dtype not in (np.float32, np.float64):
        logits = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):
        low, high = (logits.min(), logits.max()) if logits.size else (-np.inf, -np.inf)
    if np.isnan(high):
        raise VatraError(f"logit {ids[np.isnan(logits).argmax()]} is not a number")
    if high == -np.inf:
        raise VatraError("no token can be chosen: every logit is -inf")
    if low < -MAX_LOGIT or high > MAX_LOGIT:
        possible = logits != -np.inf
        return Candidates(ids[possible], np.clip(logits[possible], -MAX_LOGIT, MAX_LOGIT))
    return Candidates(ids, logits)


def probabilities(logits: Array) -> Array:
    """softmax of finite logits (n,), in float64."""
    shares: Array = np.exp(_distances(logits))
    shares /= shares.sum()
    return shares


def _distances(logits: Array) -> Array:
    """float64 (n,): how far each logit is from the highest, 0 or below."""
    return logits.astype(np.float64) - float(logits.max())


def _log_probabilities(logits: Array) -> Array:
    distances = _distances(logits)
    distances -= math.log(np.exp(distances).sum())
    return distances


def greatest(values: Array, k: int) -> Array:
    """Where the `k` greatest of `values` (n,) are, greatest first, of equal ones the first."""
    n = len(values)
    some = np.flatnonzero(values >= _reached_by(values, k)) if k < n else np.arange(n)
    return some[np.argsort(-values[some], kind="stable")[:k]]


def _reached_by(values: Array, k: int) -> float:
    """A number that at least `k` of `values`, and hardly more, are not below.

    Where there are many, the k-th greatest of the maxima of groups is one, and quickly found.
    """
    groups = max(16 * k, 1024)
    rows = len(values) // groups
    if rows >= 4:
        values = values[: rows * groups].reshape(rows, groups).max(axis=0)
    return float(np.partition(values, len(values) - k)[len(values) - k])


def _leading(values: Array, shares: Array, p: float, least: int = 1, above: bool = False) -> Array:
    """Where the fewest greatest of `values` are whose `shares` sum to `p`, or to more if `above`.

    The greatest first; at least `least` of them, and all if all do not reach `p`.
    """
    k = max(FIRST_GUESS, least)
    while True:
        order = greatest(values, k)
        sums = np.cumsum(shares[order])
        n = int(np.searchsorted(sums, p, side="right" if above else "left")) + 1
        if n <= len(order) or k >= len(values):
            return order[: max(n, least)]
        k *= 8


def drawn(among: Candidates, at: float) -> int:
    """The token that a random number `at`, from 0 to below 1, chooses by the probabilities."""
    shares = probabilities(among.logits)
    return int(among.ids[_leading(among.logits, shares, at, above=True)[-1]])


# --- filters that change logits


def bias(among: Candidates, ids: Array, amounts: Array) -> Candidates:
    """`amounts` (n,) added to the logits of the tokens `ids` (n,); -inf takes the token away.

    Raises VatraError if that takes away all.
    """
    at, here = _positions(among, ids)
    some = among.logits[at] + amounts[here]
    banned = at[some == -np.inf]
    if len(banned) == len(among.ids):
        raise VatraError("no token can be chosen: a bias of -inf bans all")
    out = _with(among, at, some)
    if not banned.size:
        return out
    return Candidates(np.delete(out.ids, banned), np.delete(out.logits, banned))


def penalties(
    among: Candidates, recent: Array, repeat: float, frequency: float, presence: float
) -> Candidates:
    """Tokens of `recent` (n,) made less likely.

    A positive logit is divided by `repeat`, another multiplied (Keskar et al. 2019,
    arXiv:1909.05858, made right for negative ones); then `frequency` is subtracted for each
    occurrence and `presence` once.
    """
    _check("repeat", repeat, 1e-6, 1e6)
    if not len(recent):
        return among
    ids, counts = np.unique(recent, return_counts=True)
    at, here = _positions(among, ids)
    some = among.logits[at].astype(np.float64)
    some = np.where(some <= 0, some * repeat, some / repeat)
    return _with(among, at, some - counts[here] * frequency - presence)


def lowered(among: Candidates, ids: Array, amounts: Array) -> Candidates:
    """`amounts` (n,) subtracted from the logits of those candidates that are in `ids` (n,)."""
    at, here = _positions(among, ids)
    return _with(among, at, among.logits[at].astype(np.float64) - amounts[here])


def temperature(among: Candidates, t: float) -> Candidates:
    """Logits divided by `t`; at 0 or below only the likeliest is left."""
    if math.isnan(t):
        raise UsageError(f"temperature: got {t}, wanted a number")
    if t <= 0:
        return top_k(among, 1)
    scaled = among.logits.astype(np.float64) / max(t, COLDEST)
    return Candidates(among.ids, np.clip(scaled, -MAX_SCALED, MAX_SCALED))


def dynamic_temperature(among: Candidates, t: float, spread: float, exponent: float) -> Candidates:
    """`temperature` between t - spread and t + spread: the higher, the less certain the model is.

    The place between them is the entropy's share of the highest possible one, to the power of
    `exponent` (kalomaze's dynamic temperature).
    """
    _check("spread", spread, 0, 1e6)
    _check("exponent", exponent, 0, 1e6)
    if spread == 0:
        return temperature(among, t)
    if len(among.ids) == 1:
        return among
    logs = _log_probabilities(among.logits)
    entropy = min(max(-float(np.exp(logs) @ logs), 0.0) / math.log(len(logs)), 1.0)
    low, high = max(0.0, t - spread), t + spread
    return temperature(among, low + (high - low) * entropy**exponent)


def adaptive(among: Candidates, target: float) -> Candidates:
    """Logits anew, by how near a token's probability is to `target`: in a peak with long slopes.

    llama.cpp's adaptive-p, `common/sampling` of 2025-12 (MrJackSpade's power law sampling).
    """
    _check("target", target, 0, 1)
    distance = np.abs(probabilities(among.logits) - target) / ADAPTIVE_WIDTH
    logits = ADAPTIVE_PEAK - ADAPTIVE_SHARPNESS * distance**2 / (1 + distance)
    return Candidates(among.ids, logits)


# --- filters that take candidates away


def top_k(among: Candidates, k: int) -> Candidates:
    """The `k` likeliest, of equal ones the lower ids; all if `k` is 0 or below."""
    if not 0 < k < len(among.ids):
        return among
    return among.at(np.sort(greatest(among.logits, k)))


def top_p(among: Candidates, p: float, min_keep: int = 0) -> Candidates:
    """The fewest likeliest tokens whose probabilities sum to at least `p`, and at least one.

    Holtzman et al. 2019, arXiv:1904.09751.
    """
    _check("top_p", p, 0, 1)
    if p >= 1:
        return among
    shares = probabilities(among.logits)
    return among.at(np.sort(_leading(among.logits, shares, p, max(1, min_keep))))


def min_p(among: Candidates, p: float, min_keep: int = 0) -> Candidates:
    """The tokens at least `p` times as likely as the likeliest one.

    Nguyen et al. 2024, arXiv:2407.01082.
    """
    _check("min_p", p, 0, 1)
    if p <= 0:
        return among
    limit = np.float64(among.logits.max()) + math.log(p)
    return _at_least(among, among.logits >= limit, min_keep)


def typical_p(among: Candidates, p: float, min_keep: int = 0) -> Candidates:
    """The fewest tokens that sum to more than `p`, those first whose surprise is the expected one.

    Locally typical sampling: Meister et al. 2022, arXiv:2202.00666.
    """
    _check("typical_p", p, 0, 1)
    if p >= 1:
        return among
    logs = _log_probabilities(among.logits)
    shares = np.exp(logs)
    untypical = np.abs(-logs + float(shares @ logs))
    return among.at(np.sort(_leading(-untypical, shares, p, max(1, min_keep), above=True)))


def top_n_sigma(among: Candidates, n: float) -> Candidates:
    """The tokens at most `n` standard deviations of all logits below the likeliest.

    Tang et al. 2024, arXiv:2411.07641. All, if `n` is 0 or below.
    """
    if math.isnan(n):
        raise UsageError(f"top_n_sigma: got {n}, wanted a number")
    if n <= 0 or len(among.ids) == 1:
        return among
    deviation = float(among.logits.std(dtype=np.float64))
    return among.at(among.logits >= np.float64(float(among.logits.max()) - n * deviation))


def xtc(among: Candidates, threshold: float, min_keep: int = 0) -> Candidates:
    """All but the likeliest: of the tokens with at least `threshold` only the least likely stays.

    Exclude top choices, p-e-w's sampler of 2024. With a threshold above 0.5, or fewer than
    `min_keep` left, nothing changes.
    """
    _check("threshold", threshold, 0, 1)
    if threshold > 0.5 or len(among.ids) < 2:
        return among
    top = np.flatnonzero(probabilities(among.logits) >= threshold)
    n_excluded = len(top) - 1
    if n_excluded < 1 or len(among.ids) - n_excluded < min_keep:
        return among
    ranked = top[np.argsort(-among.logits[top], kind="stable")]
    return Candidates(np.delete(among.ids, ranked[:-1]), np.delete(among.logits, ranked[:-1]))


def mirostat(among: Candidates, mu: float, n_vocab: int) -> Candidates:
    """The likeliest tokens, as many as keep the expected surprise near `mu` bits.

    How many follows from Zipf's law with the exponent of the likeliest tokens (Basu et al. 2020,
    arXiv:2007.14966, algorithm 1).
    """
    if len(among.ids) == 1:
        return among
    first = among.logits[greatest(among.logits, MIROSTAT_TOKENS)].astype(np.float64)
    steps = np.log(np.arange(2, len(first) + 1) / np.arange(1, len(first)))
    exponent = float(steps @ -np.diff(first)) / float(steps @ steps)
    excess = exponent - 1
    log_n = math.log(n_vocab)
    # excess / (1 - n_vocab ** -excess), which is 1 / log(n_vocab) where the excess is none
    scale = excess / -math.expm1(-excess * log_n) if abs(excess) > 1e-9 else 1 / log_n
    log_k = (math.log(scale) + mu * math.log(2)) / max(exponent, 1e-9)
    return among if log_k >= log_n else top_k(among, max(int(math.exp(log_k)), 1))


def mirostat_2(among: Candidates, mu: float) -> Candidates:
    """The tokens of at most `mu` bits of surprise, at least the likeliest (algorithm 2 there)."""
    bits = _log_probabilities(among.logits) / -math.log(2)
    return _at_least(among, bits <= mu, 1)


def _at_least(among: Candidates, kept: Array, least: int) -> Candidates:
    """Those where `kept` (n,) is true, or the `least` likeliest if that is more."""
    if np.count_nonzero(kept) >= least:
        return among.at(kept)
    return top_k(among, least)


def _positions(among: Candidates, ids: Array) -> tuple[Array, Array]:
    """Indices of those of `ids` that are candidates, and which of `ids` these are."""
    at = np.searchsorted(among.ids, ids)
    at[at == len(among.ids)] = 0
    here = among.ids[at] == ids
    return at[here], here


def _with(among: Candidates, at: Array, values: Array) -> Candidates:
    """`among` with other logits at some places, as far as a float32 can say."""
    logits = among.logits.copy()
    logits[at] = np.clip(values, -MAX_LOGIT, MAX_LOGIT)
    return Candidates(among.ids, logits)


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UsageError(f"{name}: got {value}, wanted a number from {low:g} to {high:g}")
