"""Logarithms of probabilities: of steps, of a text, and the likeliest at each place."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vatra
from vatra.engine import logprobs as lp
from vatra.engine import model as engine_model
from vatra.errors import UsageError

TEXT = "Once upon a time there was a little fox"


@pytest.fixture(scope="module")
def model(spark: Path) -> Iterator[vatra.Model]:
    with vatra.load(spark, ctx=128, kv="f32") as model:
        yield model


def slow_logs(logits: np.ndarray) -> list[float]:
    values = [float(v) for v in logits]
    total = math.log(math.fsum(math.exp(v - max(values)) for v in values)) + max(values)
    return [v - total for v in values]


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 2e-7)])
def test_log_probability(dtype: Any, tolerance: float) -> None:
    values = (np.random.default_rng(4).normal(size=500) * 3).astype(dtype)
    wanted = slow_logs(values)
    for token in range(500):
        assert abs(lp.log_probability(values, token) - wanted[token]) < tolerance
    assert lp.log_probability(np.array([-np.inf, 0.0]), 0) == -math.inf
    assert lp.log_probability(np.array([np.inf, 0.0]), 0) == 0
    assert lp.log_probability(np.array([3e38, -3e38], np.float32), 0) == 0


def test_alternatives() -> None:
    values = np.array([1.0, 3.0, 2.0, 3.0])
    total = lp.log_sum_exp(values)
    found = lp.alternatives(values, 3, total, None)
    assert [a.token for a in found] == [1, 3, 2]
    assert np.allclose([a.logprob for a in found], np.array(slow_logs(values))[[1, 3, 2]])
    assert lp.alternatives(values, 0, total, None) == ()
    assert len(lp.alternatives(values, 9, total, None)) == 4


def test_of_a_text(model: vatra.Model) -> None:
    ids = model.tokenizer.encode(TEXT)
    logits = model.logits(ids)
    found = model.logprobs(ids, top=3)
    assert [t.token for t in found] == ids
    assert found[0][2:] == (None, ())
    assert "".join(t.text for t in found[1:]).strip() == TEXT
    for i in range(1, len(ids)):
        wanted = slow_logs(logits[i - 1])
        assert np.isclose(found[i].logprob or 0.0, wanted[ids[i]], atol=1e-6)
        best = np.argsort(-logits[i - 1], kind="stable")[:3]
        assert [a.token for a in found[i].top] == best.tolist()
        assert np.allclose([a.logprob for a in found[i].top], [wanted[t] for t in best], atol=1e-6)
    assert model.logprobs([]) == [] and len(model.logprobs(ids[:1])) == 1


def test_parts_of_a_text_make_no_difference(
    model: vatra.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = model.tokenizer.encode(TEXT)
    whole = np.array([t.logprob for t in model.logprobs(ids)][1:], float)
    monkeypatch.setattr(engine_model, "PART_LOGITS", 3 * model.plan.n_vocab)
    assert [len(part) for _, part in model.logits_in_parts(ids, first=4)][:2] == [3, 3]
    parts = np.array([t.logprob for t in model.logprobs(ids)][1:], float)
    assert np.allclose(parts, whole, atol=0.05)  # one token is not computed as many are


def test_of_steps(model: vatra.Model) -> None:
    steps = list(model.generate(TEXT, temperature=0, max_tokens=4, logprobs=2))
    for step in steps:
        best, second = step.top_logprobs
        assert (best.token, best.logprob) == (step.token, step.logprob)
        assert best.logprob >= second.logprob
        assert best.text.encode() == model.tokenizer.piece(best.token)
    (plain,) = model.generate(TEXT, temperature=0, max_tokens=1)
    assert plain.top_logprobs == () and plain.token == steps[0].token
    session = model.session()
    session.sync(model.tokenizer.encode(TEXT))
    assert len(next(session.generate(logprobs=5)).top_logprobs) == 5


@pytest.mark.parametrize("wrong", [-1, 1.5, True, None, "3"])
def test_wrong_counts(model: vatra.Model, wrong: Any) -> None:
    with pytest.raises(UsageError, match="logprobs: got .*, wanted an integer from 0"):
        model.generate(TEXT, logprobs=wrong)
    with pytest.raises(UsageError, match="top: got .*, wanted an integer from 0"):
        model.logprobs([1], top=wrong)


def test_more_than_the_context(model: vatra.Model) -> None:
    with pytest.raises(vatra.ContextFull, match="has 129 tokens"):
        model.logprobs([5] * 129)
