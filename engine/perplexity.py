"""Perplexity of a text, and the divergence of two models on it, both as llama.cpp defines them.

The text is cut into chunks of `n_ctx` tokens, each evaluated from an empty cache and begun by BOS
where the model wants one; predictions count from the middle of a chunk on, so that each has half a
chunk before it. With a `stride` chunks overlap, and the last `stride` predictions of each count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vatra.engine.logprobs import log_sum_exp
from vatra.engine.session import ContextFull
from vatra.errors import UsageError

if TYPE_CHECKING:
    from vatra.engine.model import Model

Array = np.ndarray
Progress = Callable[[int, int], None]

LEAST_LOG = -16.0  # probabilities below exp of it count nothing in a divergence


@dataclass(frozen=True)
class Estimate:
    """A mean, and the standard error of it."""

    value: float
    error: float


@dataclass(frozen=True)
class Perplexity:
    """exp of the mean negative log-likelihood of `n_tokens` predictions in `n_chunks` chunks."""

    perplexity: Estimate
    nll: Estimate  # natural logarithms
    n_tokens: int
    n_chunks: int
    n_ctx: int


@dataclass(frozen=True)
class Divergence:
    """How far a model's predictions are from those of the model it is compared with, its base.

    `kl` is the mean over the predictions of sum p_base (log p_base - log p), in nats; `same_top`
    the share of predictions whose likeliest token is the same; `delta_p` and its root mean square
    are of the probability of the text's own token.
    """

    model: Perplexity
    base: Perplexity
    log_ratio: Estimate  # ln(perplexity / the base's)
    kl: Estimate
    kl_median: float
    kl_90: float
    kl_99: float
    kl_999: float
    kl_max: float
    same_top: Estimate
    delta_p: Estimate
    delta_p_rms: float


@dataclass(frozen=True)
class Chunks:
    """The chunks of a text that are evaluated."""

    ids: Array  # int32 (n,) of the whole text
    n_ctx: int
    first: int  # position in a chunk from which predictions count
    starts: Sequence[int]
    bos: int | None

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        """Tokens (n_ctx,) to evaluate, and those of the text (n_ctx,)."""
        for start in self.starts:
            text = self.ids[start : start + self.n_ctx]
            begun = text.copy()
            if self.bos is not None:
                begun[0] = self.bos
            yield begun, text


def chunks(
    model: Model,
    text: str,
    n_ctx: int = 512,
    stride: int | None = None,
    most_chunks: int | None = None,
) -> Chunks:
    """`text` in tokens and chunks; UsageError where it is too short for one chunk of `n_ctx`."""
    if n_ctx < 4:
        raise UsageError(f"ctx: got {n_ctx}, wanted at least 4 tokens")
    if n_ctx > model.n_ctx:
        raise ContextFull(n_ctx, model.n_ctx)
    if stride is not None and not 1 <= stride < n_ctx:
        raise UsageError(f"stride: got {stride}, wanted 1 to {n_ctx - 1}, less than the context")
    tokenizer = model.tokenizer
    bos = tokenizer.bos_id if tokenizer.add_bos else None
    ids = tokenizer.encode(text, bos=False, special=False)
    ids = ids if bos is None else [bos, *ids]
    if len(ids) < n_ctx:
        raise UsageError(
            f"the text has {len(ids)} tokens, but a chunk takes {n_ctx}: "
            "give a longer text, or a shorter context (--ctx)"
        )
    starts = range(0, len(ids) - n_ctx + 1, n_ctx if stride is None else stride)
    first = n_ctx // 2 if stride is None else n_ctx - 1 - stride
    return Chunks(np.asarray(ids, np.int32), n_ctx, first, starts[:most_chunks], bos)


def perplexity(model: Model, of: Chunks, progress: Progress | None = None) -> Perplexity:
    """The perplexity of `model` on the chunks; `progress(done, all)` is called after each."""
    losses: list[float] = []
    for done, (begun, text) in enumerate(of, 1):
        for begin, logits in model.logits_in_parts(begun, of.first, model.kv):
            for row, token in zip(logits, text[begin + 1 :].tolist(), strict=False):
                losses.append(log_sum_exp(row) - float(row[token]))
        if progress is not None:
            progress(done, len(of.starts))
    return _perplexity(np.array(losses), of)


def divergence(
    model: Model, base: Model, of: Chunks, progress: Progress | None = None
) -> Divergence:
    """How far `model` is from `base` on the chunks, both evaluated side by side.

    Raises UsageError where their vocabularies differ.
    """
    check_same_vocabulary(model, base)
    rows: list[tuple[float, float, float, bool]] = []
    for done, (begun, text) in enumerate(of, 1):
        parts = zip(
            model.logits_in_parts(begun, of.first, model.kv),
            base.logits_in_parts(begun, of.first, base.kv),
            strict=True,
        )
        for (begin, logits), (_, wanted) in parts:
            tokens = text[begin + 1 :].tolist()
            rows += [_compared(*row) for row in zip(logits, wanted, tokens, strict=False)]
        if progress is not None:
            progress(done, len(of.starts))
    kl, loss, base_loss, same = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    delta = np.exp(-loss) - np.exp(-base_loss)
    percentile = {p: float(np.percentile(kl, p)) for p in (50, 90, 99, 99.9)}
    return Divergence(
        model=_perplexity(loss, of),
        base=_perplexity(base_loss, of),
        log_ratio=_mean(loss - base_loss),
        kl=_mean(kl),
        kl_median=percentile[50],
        kl_90=percentile[90],
        kl_99=percentile[99],
        kl_999=percentile[99.9],
        kl_max=float(kl.max()),
        same_top=_mean(same),
        delta_p=_mean(delta),
        delta_p_rms=math.sqrt(float((delta**2).mean())),
    )


def check_same_vocabulary(model: Model, base: Model) -> None:
    """Raise UsageError unless the same numbers mean the same tokens to both."""
    a, b = model.tokenizer.vocabulary.texts, base.tokenizer.vocabulary.texts
    if model.plan.n_vocab != base.plan.n_vocab or a != b:
        raise UsageError(
            f"{model.path} and {base.path} have different vocabularies "
            f"({model.plan.n_vocab} and {base.plan.n_vocab} tokens): they cannot be compared"
        )


def _compared(logits: Array, wanted: Array, token: int) -> tuple[float, float, float, bool]:
    """Divergence, loss, the base's loss, and whether the likeliest token is the same."""
    total, base_total = log_sum_exp(logits), log_sum_exp(wanted)
    logs = wanted - np.float32(base_total)
    counted = np.flatnonzero(logs > LEAST_LOG)
    logs = logs[counted].astype(np.float64)
    kl = np.exp(logs) @ (logs - (logits[counted].astype(np.float64) - total))
    same = logits.argmax() == wanted.argmax()
    return float(kl), total - float(logits[token]), base_total - float(wanted[token]), bool(same)


def _mean(values: Array) -> Estimate:
    n = len(values)
    return Estimate(float(values.mean()), float(values.std()) / math.sqrt(n - 1) if n > 1 else 0.0)


def _perplexity(losses: Array, of: Chunks) -> Perplexity:
    nll = _mean(losses)
    value = math.exp(min(nll.value, 700.0))
    return Perplexity(
        Estimate(value, value * nll.error), nll, len(losses), len(of.starts), of.n_ctx
    )
