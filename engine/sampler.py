"""The chain that chooses the next token as a `Sampling` says, and all that it remembers."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vatra.engine import filters
from vatra.engine.dry import Breakers, breakers, dry
from vatra.engine.filters import Candidates
from vatra.engine.sampling import Sampling, filter_name
from vatra.errors import BadFile, UsageError, VatraError

if TYPE_CHECKING:
    from vatra.formats.tokenizer import Tokenizer

Array = np.ndarray
Filter = Callable[[Candidates], Candidates]

SUPPRESSED = "tokenizer.ggml.suppress_tokens"


class Sampler:
    """The chain of `sampling`, its random numbers, the tokens it has seen, and what adapts to them.

    The same seed gives the same tokens for the same logits; `seed` is the one in use. `tokenizer`
    is needed where a text is to be found among the tokens, `suppressed` are never chosen. `mu` is
    mirostat's bound of surprise in bits; `weighted` over `weight` the mean probability of the
    tokens that adaptive-p has chosen. Both change when one of the last candidates is accepted.
    """

    def __init__(
        self,
        sampling: Sampling,
        recent: Iterable[int] = (),
        tokenizer: Tokenizer | None = None,
        suppressed: Iterable[int] = (),
    ) -> None:
        s = self.sampling = sampling
        self.seed = secrets.randbits(32) if s.seed is None else s.seed
        self.mu = 2 * s.mirostat_tau
        self.weight = 1 / (1 - s.adaptive_decay)
        self.weighted = s.adaptive_target * self.weight
        self._random = np.random.Generator(np.random.PCG64(self.seed))
        self._recent = _Recent(recent)
        self._offered: Candidates | None = None  # the latest, until a token is accepted
        self._n_vocab = 0
        self._biases = _biases(s, tokenizer, suppressed)
        self._breakers = Breakers()
        if s.dry_multiplier and s.dry_breakers and "dry" in s.samplers and tokenizer is not None:
            self._breakers = breakers(tokenizer, s.dry_breakers)
        self._chain = self._filters()

    @property
    def target(self) -> float | None:
        """The probability that adaptive-p aims at now, None where it is off."""
        s = self.sampling
        if s.adaptive_target < 0 or s.mirostat:
            return None
        return min(max(2 * s.adaptive_target - self.weighted / self.weight, 0.0), 1.0)

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is chosen, whatever the other logits are."""
        s = self.sampling
        changes = {  # what may choose another, where it is on
            "penalties": (s.repeat_penalty, s.frequency_penalty, s.presence_penalty) != (1, 0, 0),
            "dry": bool(s.dry_multiplier),
            "typical_p": s.typical_p < 1,
            "xtc": s.xtc_probability > 0,
        }
        return (
            s.temperature <= 0
            and "temperature" in s.samplers
            and not (s.dynatemp_range or s.mirostat or s.filters or len(self._biases[0]))
            and self.target is None
            and not any(changes.get(name) for name in s.samplers)
        )

    def accept(self, token: int) -> None:
        """Remember a token of the text; those that were offered last teach what adapts."""
        self._recent.append(token)
        offered, self._offered = self._offered, None
        s = self.sampling
        if offered is None or not (s.mirostat or self.target is not None):
            return
        share = float(filters.probabilities(offered.logits)[offered.ids == token].sum())
        if share > 0:
            self.mu -= s.mirostat_eta * (-math.log2(share) - s.mirostat_tau)
            self.weighted = share + s.adaptive_decay * self.weighted
            self.weight = 1 + s.adaptive_decay * self.weight

    def candidates(self, logits: Array) -> Candidates:
        """What remains of `logits` (n_vocab,) after the chain, before adaptive-p and a draw."""
        self._n_vocab = len(logits)
        among = filters.candidates(logits)
        for step in self._chain:
            among = step(among)
        self._offered = among
        return among

    def sample(self, logits: Array) -> int:
        """The next token for float `logits` (n_vocab,); it is not yet accepted."""
        among = self.candidates(logits)
        if len(among.ids) > 1:
            if self.target is not None:
                among = filters.adaptive(among, self.target)
            return filters.drawn(among, self._random.random())
        return int(among.ids[0])

    def _filters(self) -> list[Filter]:
        """All that changes something, in order."""
        s = self.sampling
        own = {filter_name(user): user for user in s.filters}
        names = tuple(s.samplers)
        if s.mirostat:
            names = (*(name for name in names if name in own), "temperature", "mirostat")
        steps: list[Filter | None] = [self._bias if len(self._biases[0]) else None]
        steps += [self._user(user) for user in s.filters if filter_name(user) not in names]
        steps += [self._user(own[n]) if n in own else self._filter(n) for n in names]
        return [step for step in steps if step is not None]

    def _filter(self, name: str) -> Filter | None:
        """What is known by that name, as the sampling wants it; None where that changes nothing."""
        s, recent = self.sampling, self._recent
        weights = s.repeat_penalty, s.frequency_penalty, s.presence_penalty
        match name:
            case "penalties" if weights != (1.0, 0.0, 0.0):
                return lambda c: filters.penalties(c, recent.last(s.penalty_last_n), *weights)
            case "dry" if s.dry_multiplier:
                shape = s.dry_multiplier, s.dry_base, s.dry_allowed_length, self._breakers
                return lambda c: dry(c, recent.last(s.dry_last_n), *shape)
            case "top_n_sigma" if s.top_n_sigma > 0:
                return lambda c: filters.top_n_sigma(c, s.top_n_sigma)
            case "top_k" if s.top_k > 0:
                return lambda c: filters.top_k(c, s.top_k)
            case "typical_p" if s.typical_p < 1:
                return lambda c: filters.typical_p(c, s.typical_p, s.min_keep)
            case "top_p" if s.top_p < 1:
                return lambda c: filters.top_p(c, s.top_p, s.min_keep)
            case "min_p" if s.min_p > 0:
                return lambda c: filters.min_p(c, s.min_p, s.min_keep)
            case "xtc" if s.xtc_probability > 0 and s.xtc_threshold <= 0.5:
                return self._xtc
            case "temperature" if s.dynatemp_range > 0 and not s.mirostat:
                shape_of_t = s.temperature, s.dynatemp_range, s.dynatemp_exponent
                return lambda c: filters.dynamic_temperature(c, *shape_of_t)
            case "temperature" if s.temperature != 1:
                return lambda c: filters.temperature(c, s.temperature)
            case "mirostat" if s.mirostat == 1:
                return lambda c: filters.mirostat(c, self.mu, self._n_vocab)
            case "mirostat":
                return lambda c: filters.mirostat_2(c, self.mu)
        return None

    def _xtc(self, among: Candidates) -> Candidates:
        s = self.sampling
        if len(among.ids) < 2 or self._random.random() >= s.xtc_probability:
            return among
        return filters.xtc(among, s.xtc_threshold, s.min_keep)

    def _bias(self, among: Candidates) -> Candidates:
        ids, amounts = self._biases
        if ids.max() >= self._n_vocab:
            raise UsageError(
                f"logit_bias: token {ids.max()} is outside the vocabulary, 0 to {self._n_vocab - 1}"
            )
        return filters.bias(among, ids, amounts)

    def _user(self, function: Callable[..., Any]) -> Filter:
        """A person's own function as a filter; what goes wrong in it is told as theirs."""
        name = filter_name(function)

        def step(among: Candidates) -> Candidates:
            # Always the same types, all of them theirs to write on: else it is compiled again.
            logits = among.logits.astype(np.float64)
            recent = self._recent.last(-1).copy()
            try:
                found = function(among.ids.copy(), logits, recent)
                logits = logits if found is None else np.asarray(found, np.float64)
                if logits.shape != among.ids.shape:
                    raise ValueError(
                        f"got logits of shape {logits.shape}, wanted {among.ids.shape}"
                    )
                return filters.candidates(logits, among.ids)
            except Exception as error:
                kind = "" if isinstance(error, VatraError) else f"{type(error).__name__}: "
                raise UsageError(f"filter {name}: {kind}{error}") from error

        return step


class _Recent:
    """Tokens so far, as an array that grows."""

    def __init__(self, tokens: Iterable[int]) -> None:
        self._ids = np.fromiter(tokens, np.int64)
        self._n = len(self._ids)

    def append(self, token: int) -> None:
        if self._n == len(self._ids):
            self._ids = np.resize(self._ids, 2 * self._n + 64)
        self._ids[self._n] = token
        self._n += 1

    def last(self, n: int) -> Array:
        """The last `n` tokens, all if it is negative; int64 (up to n,)."""
        return self._ids[max(self._n - n, 0) if n >= 0 else 0 : self._n]


def suppressed(metadata: Mapping[str, Any], n_vocab: int, path: str = "") -> list[int]:
    """The tokens that a file wants never to be chosen; ids outside the vocabulary are left out.

    Raises BadFile where they are not integers.
    """
    ids = np.asarray(metadata.get(SUPPRESSED, np.zeros(0, np.int32)))
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise BadFile(path, f"got {ids.dtype}, wanted an array of token ids", field=SUPPRESSED)
    return [int(i) for i in ids[(ids >= 0) & (ids < n_vocab)]]


def _biases(
    s: Sampling, tokenizer: Tokenizer | None, suppressed: Iterable[int]
) -> tuple[Array, Array]:
    """Token ids (n,), and what is added to their logits (n,)."""
    total = dict.fromkeys(suppressed, -np.inf)
    if s.ignore_eos and tokenizer is not None:
        total |= dict.fromkeys(tokenizer.eog_ids, -np.inf)
    pairs: Any = s.logit_bias
    named = _named([token for token, _ in pairs if isinstance(token, str)], tokenizer)
    for token, amount in pairs:
        for one in named[token] if isinstance(token, str) else [token]:
            total[one] = total.get(one, 0.0) + amount
    return np.fromiter(total, np.int64), np.fromiter(total.values(), np.float64)


def _named(texts: Sequence[str], tokenizer: Tokenizer | None) -> dict[str, list[int]]:
    """The ids of the tokens that stand for exactly each text; UsageError where there is none."""
    if not texts:
        return {}
    if tokenizer is None:
        raise UsageError(
            f"logit_bias: {texts[0]!r:.40}: this model has no known tokenizer, use ids"
        )
    found: dict[bytes, list[int]] = {text.encode("utf-8", "replace"): [] for text in texts}
    for i in range(tokenizer.n_vocab):
        if (piece := tokenizer.piece(i)) in found:
            found[piece].append(i)
    for text in texts:
        if not found[text.encode("utf-8", "replace")]:
            ids = tokenizer.encode(text, bos=False)
            raise UsageError(
                f"logit_bias: {text!r:.40} is not one token, but {len(ids)}: {ids[:8]}"
            )
    return {text: found[text.encode("utf-8", "replace")] for text in texts}
