"""Speculative decoding: tokens that are proposed cheaply are evaluated together.

The model's own sampler chooses every token, from the model's own logits; a proposal only decides
whether those logits are there already. So the text is that without proposals, token for token and
for the same seed, as long as an executor's logits do not depend on how tokens are cut into runs.
Rejection sampling (Leviathan et al. 2023, arXiv:2211.17192) would accept a little more, and keep
only the distribution. Prompt lookup: Saxena 2023.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from itertools import islice, takewhile
from statistics import median_low
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np

from vatra.errors import UsageError

if TYPE_CHECKING:
    from vatra.engine.model import Model
    from vatra.engine.session import Session

Array = np.ndarray

MOST = 7  # tokens proposed at once: with the one before them they fill half a tile
MEMORY = 12  # the rate is that of about so many tokens
KEPT = 5  # times whose median counts
LEAST = 3  # evaluations of one token before the first proposal, to compare with
RETRY = 64  # evaluations after which one is made that does not seem the best
CHEAP = 0.01  # of a token's time: so little a proposal may take that is asked for and not used
PADDING = 128  # tokens at the end of a vocabulary that another of the same family may lack


@runtime_checkable
class Proposer(Protocol):
    """Guesses how a text goes on."""

    def propose(self, timeline: Array, n: int) -> Sequence[int]:
        """Up to `n` tokens to follow `timeline`, int32 (n_tokens,); none if it has no idea."""
        ...


Speculate = Literal["lookup"] | Proposer | None


class Lookup:
    """Proposes what followed the last place where the text was as it is now, for `least` tokens.

    Of all such places the one counts that is alike for longest, up to `most` tokens, then the
    latest. What has been repeated up to now is expected to be repeated again.
    """

    def __init__(self, least: int = 2, most: int = 16) -> None:
        self.least, self.most = least, most

    def propose(self, timeline: Array, n: int) -> list[int]:
        """See `Proposer.propose`."""
        last, ends = len(timeline) - 1, np.flatnonzero(timeline[:-1] == timeline[-1:])
        alike = 1
        while alike < self.most and ends.size:
            longer = ends[ends >= alike]
            longer = longer[timeline[longer - alike] == timeline[last - alike]]
            if not longer.size:
                break
            ends, alike = longer, alike + 1
        if alike < self.least or not ends.size:
            return []
        found: list[int] = np.resize(timeline[ends[-1] + 1 :], n).tolist()
        return found


class Draft:
    """Proposes the likeliest tokens of a smaller model with the same vocabulary, up to `n` at once.

    It holds a session of its own; `model` stays open, and is closed by whoever loaded it.
    """

    def __init__(self, model: Model, n: int = MOST) -> None:
        if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MOST:
            raise UsageError(f"n: got {n!r}, wanted an integer from 1 to {MOST}")
        self.model, self.n = model, n
        self._session = model.session()
        tokenizer = model.tokenizer_or_none
        self._ends = frozenset[int]() if tokenizer is None else tokenizer.eog_ids

    def check(self, target: Model) -> None:
        """Raise UsageError, with the first difference, unless ids mean the same to both models."""
        ours, theirs = self.model.tokenizer.vocabulary, target.tokenizer.vocabulary
        what = f"the draft model {self.model.path} has another vocabulary than {target.path}"
        if ours.model != theirs.model:
            raise UsageError(f"{what}: tokenizer {ours.model}, not {theirs.model}")
        pairs = zip(ours.texts, theirs.texts, strict=False)
        different = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        if different is not None:
            a, b = ours.texts[different], theirs.texts[different]
            raise UsageError(f"{what}: token {different} is {a!r}, not {b!r}")
        if abs(len(ours) - len(theirs)) > PADDING:
            raise UsageError(f"{what}: {len(ours)} tokens, not {len(theirs)}")

    def propose(self, timeline: Array, n: int) -> list[int]:
        """See `Proposer.propose`."""
        session = self._session
        room = session.n_ctx - len(timeline) + 1
        if room < 1 or timeline.max() >= self.model.plan.n_vocab:
            return []
        session.sync(timeline)
        turn, found = session.begin_answer(), list[int]()
        while len(found) < min(n, self.n, room):
            token = int(session.logits_for(turn).argmax())
            session.choose(token)
            found.append(token)
            if token in self._ends:
                break
        return found


def proposer(speculate: Speculate, target: Model) -> Proposer:
    """What `speculate` stands for; UsageError if that proposes nothing, or not for `target`."""
    if speculate == "lookup":
        return Lookup()
    if isinstance(speculate, Draft):
        speculate.check(target)
    if not isinstance(speculate, Proposer):
        wanted = '"lookup", a Draft or another Proposer'
        raise UsageError(f"speculate: got {speculate!r:.80}, wanted {wanted}")
    return speculate


class Speculation:
    """Decides how many tokens to propose, by what proposals have cost and brought.

    With `rate`, the share of proposed tokens that were right among those that followed right ones,
    n proposals bring 1 + rate + ... + rate^n tokens for one evaluation. What evaluations take is
    measured as they come. A proposal that takes next to no time is compared with the text also
    while none is used.
    """

    def __init__(
        self,
        proposer: Proposer,
        n_vocab: int,
        n_ctx: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.proposer, self.rate = proposer, 0.5
        self._n_vocab, self._clock = n_vocab, clock
        self._text, self._length = np.empty(n_ctx + 1, np.int32), 0
        self._costs: defaultdict[int, Recent] = defaultdict(Recent)  # by tokens evaluated at once
        self._asking = Recent()  # for each token asked for
        self._asked = False  # since `begin`: the first time a proposer may read the whole text
        self._guess: list[int] = []  # what the next tokens may be
        self._evaluations = 0

    def begin(self, timeline: Sequence[int]) -> None:
        """Go on after another text."""
        self._length, self._guess, self._asked = len(timeline), [], False
        self._text[: self._length] = timeline

    def chosen(self, token: int) -> None:
        """Learn the next token of the text."""
        if self._guess:
            hit = self._guess[0] == token
            self.rate += (hit - self.rate) / MEMORY
            self._guess = self._guess[1:] if hit else []
        self._text[self._length] = token
        self._length += 1

    def logits_for(self, session: Session, turn: int, left: int | None) -> Array:
        """`session.logits_for(turn)`, with proposals; no more than `left` tokens will be chosen."""
        if session.is_evaluated:
            return session.logits_for(turn)
        again = session.missing
        # The last place of the context is left to a token that is certain to be chosen.
        room = min(MOST, session.n_ctx - session.position - 2)
        room = max(0, room if left is None else min(room, left - 1))
        n = min(room, self.best(again, costly=bool(session.state.memories)))
        if n or (room and self._asking.typical <= CHEAP * self._costs[1].typical):
            self._guess = self._ask(max(n, 1))
        proposed = self._guess[:n]
        started = self._clock()
        logits = session.logits_for(turn, proposed)
        self._costs[again + 1 + len(proposed)].add(self._clock() - started)
        return logits

    def best(self, again: int = 0, costly: bool = False) -> int:
        """How many tokens to propose, when `again` tokens must be evaluated again in any case.

        `costly`: after a wrong proposal, those evaluated with it that were right must be.
        """
        if self._costs[1].count < LEAST:
            return 0
        best, highest, tokens, right = 0, 0.0, 0.0, 1.0
        for n in range(MOST + 1):
            tokens += right
            seconds = self._cost(again + 1 + n) + n * self._asking.typical
            if costly:
                seconds += (1 - right) * (self._cost(1 + round(tokens)) - self._cost(1))
            if tokens / seconds > highest:
                best, highest = n, tokens / seconds
            if n and not self._costs[again + 1 + n].count:
                break  # no leaps: what is to be expected of more is not known
            right *= self.rate
        self._evaluations += 1
        if self._evaluations % RETRY:
            return best
        # Another number, now and then: else a few measurements could decide for good.
        return 0 if best and self._evaluations // RETRY % 2 else min(best + 1, MOST)

    def _cost(self, n: int) -> float:
        """Seconds that an evaluation of `n` tokens takes; as long as it is not known, at least."""
        return next(self._costs[m].typical for m in range(n, 0, -1) if self._costs[m].count)

    def _ask(self, n: int) -> list[int]:
        started = self._clock()
        found = self.proposer.propose(self._text[: self._length], n)
        if self._asked:
            self._asking.add((self._clock() - started) / n)
        self._asked = True
        known = takewhile(lambda token: 0 <= token < self._n_vocab, found)
        return [int(token) for token in islice(known, n)]


class Recent:
    """The latest few of some times; `typical` is about their median, 0 before there is any."""

    def __init__(self) -> None:
        self.typical, self.count = 0.0, 0
        self._times: deque[float] = deque(maxlen=KEPT)

    def add(self, seconds: float) -> None:
        self._times.append(seconds)
        self.typical, self.count = median_low(self._times), self.count + 1
