"""DRY, "don't repeat yourself": tokens that would go on with a repetition are made less likely.

p-e-w's sampler of 2024, oobabooga/text-generation-webui#5677, with llama.cpp's treatment of
sequence breakers: a repetition is not followed back across one of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from vatra.engine.filters import Candidates, lowered

if TYPE_CHECKING:
    from vatra.formats.tokenizer import Tokenizer

Array = np.ndarray
Tails = tuple[tuple[int, ...], ...]

MOST_BYTES = 40  # of a breaker that count
MOST_TAIL = 20  # tokens of a breaker after its first that count
LOG_MAX_FLOAT = 88.7228391  # of a float32: a penalty does not grow beyond


@dataclass(frozen=True)
class Breakers:
    """Where no repetition goes on: a token, and the tokens after it that complete the breaker.

    A tail of no tokens means that the token has a whole breaker in it.
    """

    tails: dict[int, Tails] = field(default_factory=dict)

    def ends(self, token: int) -> bool:
        """Whether the token is a breaker by itself."""
        return () in self.tails.get(token, ())


def breakers(tokenizer: Tokenizer, texts: Sequence[str]) -> Breakers:
    """The breakers `texts` in tokens: every way in which a token can begin or hold one of them."""
    known = _KNOWN.setdefault(tokenizer, {})
    key = tuple(texts)
    if key not in known:
        pieces = [tokenizer.piece(token) for token in range(tokenizer.n_vocab)]
        tails: dict[int, dict[tuple[int, ...], None]] = {}
        for text in texts:
            breaker = text.encode("utf-8", "replace")[:MOST_BYTES]
            ways = [  # in which a token may end with the beginning of the breaker
                (breaker[:n], tuple(_encoded(tokenizer, breaker[n:])))
                for n in range(1, len(breaker))
            ]
            for token, piece in enumerate(pieces):
                if breaker in piece:
                    tails.setdefault(token, {})[()] = None
                    continue
                for beginning, tail in ways:
                    if piece.endswith(beginning):
                        tails.setdefault(token, {})[tail] = None
        known[key] = Breakers({token: tuple(found) for token, found in tails.items()})
    return known[key]


_KNOWN: WeakKeyDictionary[Tokenizer, dict[tuple[str, ...], Breakers]] = WeakKeyDictionary()


def _encoded(tokenizer: Tokenizer, rest: bytes) -> list[int]:
    text = rest.decode("utf-8", "replace")
    return tokenizer.encode(text, bos=False, special=False)[:MOST_TAIL]


def since_breaker(recent: Array, breaks: Breakers) -> int:
    """How many tokens at the end of `recent` (n,) come after the last breaker."""
    if not breaks.tails:
        return len(recent)
    after = recent[::-1].tolist()
    for i, token in enumerate(after):
        lengths = [
            len(tail)
            for tail in breaks.tails.get(token, ())
            if len(tail) <= i and all(after[i - 1 - j] == t for j, t in enumerate(tail))
        ]
        if lengths:
            return i - max(lengths)
    return len(recent)


def repetitions(recent: Array, least: int, most: int) -> tuple[Array, Array]:
    """Tokens (n,) that would go on with a repetition, and the lengths (n,) of what is repeated.

    A token followed, somewhere in `recent`, at least `least` tokens with which `recent` ends; the
    longest such sequence counts, no further than `most`.
    """
    n = len(recent)
    lengths = np.zeros(max(n - 1, 0), np.int64)  # of what ends at each token and at the end alike
    alive = np.arange(len(lengths))
    for length in range(most):
        alive = alive[alive >= length]
        alive = alive[recent[alive - length] == recent[n - 1 - length]]
        if not alive.size:
            break
        lengths[alive] += 1
    enough = lengths >= least
    ids, place = np.unique(recent[1:][enough], return_inverse=True)
    longest = np.zeros(len(ids), np.int64)
    np.maximum.at(longest, place, lengths[enough])
    return ids, longest


def dry(
    among: Candidates,
    recent: Array,
    multiplier: float,
    base: float,
    allowed_length: int,
    breaks: Breakers,
) -> Candidates:
    """Each token that would prolong a repetition of `length` tokens of `recent` (n,) lowered.

    By multiplier * base ** (length - allowed_length), from the allowed length on.
    """
    if multiplier == 0 or base < 1 or len(recent) <= allowed_length:
        return among
    limit = since_breaker(recent, breaks)
    if limit < allowed_length:
        return among
    # From here on a longer repetition costs no more, and need not be measured.
    steepest = int(LOG_MAX_FLOAT / math.log(base)) if base > 1.000001 else len(recent)
    ids, lengths = repetitions(recent, allowed_length, min(limit, allowed_length + steepest))
    free = np.fromiter((breaks.ends(token) for token in ids.tolist()), bool, len(ids))
    ids, lengths = ids[~free], lengths[~free]
    if not ids.size:
        return among
    return lowered(among, ids, multiplier * base ** (lengths - allowed_length).astype(np.float64))
