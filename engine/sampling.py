"""Choosing the next token: filters in a fixed order, each a pure function, and the random draw.

The order and the defaults are llama.cpp's: penalties, top-k, top-p, min-p, temperature, draw.
"""

from __future__ import annotations

import math
import operator
import secrets
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from vatra.errors import BadFile, UsageError, VatraError

Array = np.ndarray

MAX_COUNT = 2**31 - 1
MAX_SEED = 2**64 - 1


class Candidates(NamedTuple):
    """Tokens that may still be chosen, the likeliest first; of equal logits the lower id."""

    ids: Array  # int64 (n,)
    logits: Array  # float64 (n,), never NaN, never increasing


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; raises UsageError for a value outside its range.

    A temperature of 0 or below always takes the likeliest token. `top_k` 0 or -1 is all tokens,
    `penalty_last_n` -1 all tokens so far, `seed` None a new one each time.
    """

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    penalty_last_n: int = 64
    seed: int | None = None

    def __post_init__(self) -> None:
        for name, (low, high) in _NUMBERS.items():
            object.__setattr__(self, name, _number(name, getattr(self, name), low, high))
        for name, (least, most) in _COUNTS.items():
            if name != "seed" or self.seed is not None:
                object.__setattr__(self, name, _count(name, getattr(self, name), least, most))

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any], path: str = "", **given: Any) -> Sampling:
        """What a file recommends in `general.sampling.*`, and the values in `given` unless None.

        Raises BadFile for a recommendation outside its range, UsageError for a given value.
        """
        chosen: dict[str, Any] = {}
        for key, name in RECOMMENDED.items():
            if key in metadata:
                try:
                    cls(**{name: metadata[key]})
                except UsageError as error:
                    raise BadFile(path, str(error), field=f'key "{key}"') from None
                chosen[name] = metadata[key]
        known = {field.name for field in fields(cls)}
        for name, value in given.items():
            if name not in known:
                raise UsageError(
                    f"sampling: {name!r} is not known, wanted {', '.join(sorted(known))}"
                )
            if value is not None:
                chosen[name] = value
        return cls(**chosen)


_INFINITY = math.inf
_NUMBERS: dict[str, tuple[float, float]] = {  # from and to; an infinite bound is itself excluded
    "temperature": (-_INFINITY, _INFINITY),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "repeat_penalty": (1e-6, 1e6),
    "frequency_penalty": (-1e6, 1e6),
    "presence_penalty": (-1e6, 1e6),
}
_COUNTS: dict[str, tuple[int, int]] = {
    "top_k": (-1, MAX_COUNT),
    "penalty_last_n": (-1, MAX_COUNT),
    "seed": (0, MAX_SEED),
}
RECOMMENDED = {  # metadata keys, and the fields that they set
    "general.sampling.temp": "temperature",
    "general.sampling.top_k": "top_k",
    "general.sampling.top_p": "top_p",
    "general.sampling.min_p": "min_p",
    "general.sampling.penalty_repeat": "repeat_penalty",
    "general.sampling.penalty_last_n": "penalty_last_n",
}


def not_honoured(metadata: Mapping[str, Any]) -> list[str]:
    """The `general.sampling.*` keys of a file that ask for what this sampler does not do."""
    return [k for k in metadata if k.startswith("general.sampling.") and k not in RECOMMENDED]


def _number(name: str, value: object, low: float, high: float) -> float:
    """`value` as a float from `low` to `high`; raises UsageError naming the field."""
    wanted = f"a number from {low:g} to {high:g}" if math.isfinite(low) else "a finite number"
    try:
        if isinstance(value, (str, bytes, bool, np.bool_)):
            raise TypeError
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{name}: got {_short(value)}, wanted {wanted}") from None
    if not (math.isfinite(number) and low <= number <= high):
        raise UsageError(f"{name}: got {number}, wanted {wanted}")
    return number


def _count(name: str, value: object, least: int, most: int) -> int:
    """`value` as an int from `least` to `most`; raises UsageError naming the field."""
    wanted = f"an integer from {least} to {most}"
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise UsageError(f"{name}: got {_short(value)}, wanted {wanted}") from None
    if not least <= number <= most:
        raise UsageError(f"{name}: got {number}, wanted {wanted}")
    return number


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def penalised(
    logits: Array, recent: Iterable[int], repeat: float, frequency: float, presence: float
) -> Array:
    """A float64 copy of `logits` (n_vocab,) in which tokens of `recent` are less likely.

    A positive logit is divided by `repeat`, another multiplied (Keskar et al. 2019,
    arXiv:1909.05858, made right for negative ones); then `frequency` is subtracted for each
    occurrence and `presence` once.
    """
    out = logits.astype(np.float64)
    counted = np.asarray(list(recent), np.int64)
    if counted.size and (repeat, frequency, presence) != (1.0, 0.0, 0.0):
        ids, counts = np.unique(counted, return_counts=True)
        known = ids < len(out)
        ids, counts = ids[known], counts[known]
        some = out[ids]
        some = np.where(some <= 0, some * repeat, some / repeat)
        out[ids] = some - counts * frequency - presence
    return out


def top_k(logits: Array, k: int) -> Candidates:
    """The `k` likeliest of `logits` (n_vocab,), all if `k` is 0 or below.

    A logit of -inf is never a candidate. Raises VatraError if a logit is NaN or all are -inf.
    """
    if np.isnan(logits).any():
        raise VatraError(f"logit {int(np.isnan(logits).argmax())} is not a number")
    ids = np.arange(len(logits))
    if 0 < k < len(logits):
        # All ties at the limit are taken along, so that the sort below decides between them.
        limit = np.partition(logits, len(logits) - k)[len(logits) - k]
        ids = ids[logits >= limit]
    ids = ids[logits[ids] != -np.inf]
    if not ids.size:
        raise VatraError("no token can be chosen: every logit is -inf")
    ids = ids[np.argsort(-logits[ids], kind="stable")]
    if k > 0:
        ids = ids[:k]
    return Candidates(ids, logits[ids].astype(np.float64))


def top_p(among: Candidates, p: float) -> Candidates:
    """The fewest likeliest tokens whose probabilities sum to at least `p`, and at least one.

    Holtzman et al. 2019, arXiv:1904.09751.
    """
    if p >= 1:
        return among
    reached = np.cumsum(probabilities(among.logits)) >= p
    n = int(reached.argmax()) + 1 if reached.any() else len(reached)
    return Candidates(among.ids[:n], among.logits[:n])


def min_p(among: Candidates, p: float) -> Candidates:
    """The tokens at least `p` times as likely as the likeliest one.

    Nguyen et al. 2024, arXiv:2407.01082.
    """
    if p <= 0:
        return among
    n = int(np.count_nonzero(among.logits >= among.logits[0] + math.log(p)))
    n = max(n, 1)
    return Candidates(among.ids[:n], among.logits[:n])


def probabilities(logits: Array, temperature: float = 1.0) -> Array:
    """softmax(logits / temperature) in float64; a logit of +inf shares all with its equals."""
    logits = logits.astype(np.float64)
    highest = logits.max()
    with np.errstate(
        all="ignore"
    ):  # far from the highest is 0, whatever the division overflowed to
        distance = np.where(logits == highest, 0.0, (logits - highest) / temperature)
        shares: Array = np.exp(distance)
    shares /= shares.sum()
    return shares


def log_probability(logits: Array, token: int) -> float:
    """log softmax(logits)[token], of the model's own logits before any filter."""
    logits = logits.astype(np.float64)
    highest = logits.max()
    if not np.isfinite(highest):
        return 0.0 if logits[token] == highest else -math.inf
    return float(logits[token] - highest - np.log(np.exp(logits - highest).sum()))


class Sampler:
    """The chain of `sampling`, with its random numbers and the tokens it has seen.

    The same seed gives the same tokens for the same logits. `seed` is the one in use.
    """

    def __init__(self, sampling: Sampling, recent: Iterable[int] = ()) -> None:
        self.sampling = sampling
        self.seed = secrets.randbits(32) if sampling.seed is None else sampling.seed
        self._random = np.random.Generator(np.random.PCG64(self.seed))
        last_n = sampling.penalty_last_n
        self._recent = deque(recent, maxlen=None if last_n < 0 else last_n)

    def accept(self, token: int) -> None:
        """Remember a token of the text, for the penalties."""
        self._recent.append(token)

    def candidates(self, logits: Array) -> Candidates:
        """What remains of `logits` (n_vocab,) after all filters, before temperature and draw."""
        s = self.sampling
        penalties = s.repeat_penalty, s.frequency_penalty, s.presence_penalty
        if self._recent and penalties != (1.0, 0.0, 0.0):
            logits = penalised(logits, self._recent, *penalties)
        if s.temperature <= 0:
            return top_k(logits, 1)
        return min_p(top_p(top_k(logits, s.top_k), s.top_p), s.min_p)

    def sample(self, logits: Array) -> int:
        """The next token for float `logits` (n_vocab,); it is not yet accepted."""
        ids, kept = self.candidates(logits)
        if len(ids) == 1:
            return int(ids[0])
        shares = np.cumsum(probabilities(kept, self.sampling.temperature))
        drawn = np.searchsorted(shares, self._random.random() * shares[-1], side="right")
        return int(ids[min(int(drawn), len(ids) - 1)])
