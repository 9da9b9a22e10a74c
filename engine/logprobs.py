"""Logarithms of probabilities: of the model's own logits, before any filter."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vatra.engine.filters import greatest
from vatra.errors import UsageError

if TYPE_CHECKING:
    from vatra.formats.tokenizer import Tokenizer

Array = np.ndarray


class Alternative(NamedTuple):
    """A token that might have been chosen; its text is that of the token alone."""

    token: int
    text: str
    logprob: float


class TokenLogprob(NamedTuple):
    """A token of a text, how likely it was after those before it, and the likeliest there.

    Of the first token of a text nothing is known: `logprob` is None, and `top` empty.
    """

    token: int
    text: str
    logprob: float | None
    top: tuple[Alternative, ...] = ()


def log_sum_exp(logits: Array) -> float:
    """log of the sum of exp over `logits` (n,); of infinite ones the highest.

    Exponentials are of the logits' own precision, which is six times as fast for float32: the error
    stays below what a float32 logit can tell.
    """
    highest = logits.max()
    if not np.isfinite(highest):
        return float(highest)
    with np.errstate(over="ignore"):  # so far below the highest that it counts nothing
        shares = np.exp(logits - highest)
    return float(highest) + math.log(shares.sum(dtype=np.float64))


def log_probability(logits: Array, token: int, log_sum: float | None = None) -> float:
    """log softmax(logits)[token]; `log_sum` is their `log_sum_exp` if that is known."""
    total = log_sum_exp(logits) if log_sum is None else log_sum
    logit = float(logits[token])
    return 0.0 if logit == total else logit - total


def alternatives(
    logits: Array, k: int, log_sum: float, tokenizer: Tokenizer | None
) -> tuple[Alternative, ...]:
    """The `k` likeliest tokens of `logits` (n_vocab,), the likeliest first."""
    if not k:
        return ()
    return tuple(
        Alternative(token, text_of(token, tokenizer), log_probability(logits, token, log_sum))
        for token in greatest(logits, k).tolist()
    )


def text_of(token: int, tokenizer: Tokenizer | None) -> str:
    """The text of one token alone; what is half a character becomes U+FFFD."""
    if tokenizer is None or token >= tokenizer.n_vocab:
        return ""
    return tokenizer.piece(token).decode("utf-8", "replace")


def check_count(name: str, value: object) -> int:
    """`value` as a number of alternatives; raises UsageError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UsageError(f"{name}: got {value!r}, wanted an integer from 0")
    return value
