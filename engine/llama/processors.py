"""What a program does between two tokens: change the scores, decide to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

Array = np.ndarray
LogitsProcessor = Callable[[Array, Array], Array]  # token ids so far, scores: the new scores
StoppingCriteria = Callable[[Array, Array], bool]  # token ids so far, scores: whether to stop


class LogitsProcessorList(list[LogitsProcessor]):
    """Functions of (token ids so far, scores (n_vocab,)), each given the scores of the last."""

    def __call__(self, input_ids: Array, scores: Array) -> Array:
        for processor in self:
            scores = processor(input_ids, scores)
        return scores


class StoppingCriteriaList(list[StoppingCriteria]):
    """Functions of (token ids so far, scores (n_vocab,)), any of which ends the answer."""

    def __call__(self, input_ids: Array, logits: Array) -> bool:
        return any([criterion(input_ids, logits) for criterion in self])


class MinTokensLogitsProcessor:
    """Bans the token that ends an answer until the answer has `min_tokens` tokens."""

    def __init__(self, min_tokens: int, token_eos: int) -> None:
        self.min_tokens, self.token_eos = min_tokens, token_eos
        self.prompt_tokens: int | None = None

    def __call__(self, input_ids: Array, scores: Array) -> Array:
        if self.prompt_tokens is None:
            self.prompt_tokens = len(input_ids)
        if len(input_ids) - self.prompt_tokens < self.min_tokens:
            scores[self.token_eos] = -np.inf
        return scores


def listed(given: Any) -> list[Callable[..., Any]]:
    """A function, a list of them, or None, as a list."""
    if given is None:
        return []
    return list(given) if isinstance(given, Iterable) else [given]


def as_filter(processors: Iterable[LogitsProcessor], n_vocab: int) -> Callable[..., Array]:
    """A filter of `Sampling` that hands float32 scores (n_vocab,) through the processors.

    Tokens that are no candidates any more have -inf, and can not come back.
    """
    chain = LogitsProcessorList(processors)

    def logits_processor(ids: Array, logits: Array, recent: Array) -> Array:
        scores = np.full(n_vocab, -np.inf, np.float32)
        scores[ids] = logits
        found = np.asarray(chain(recent.astype(np.intc), scores))
        if found.shape != scores.shape:
            raise ValueError(f"got scores of shape {found.shape}, wanted {scores.shape}")
        return found[ids]

    return logits_processor
