"""Filters against slow ones in plain Python, and every value that no one should give."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from vatra.engine import sampling as s
from vatra.engine.sampling import Candidates, Sampler, Sampling
from vatra.errors import BadFile, UsageError, VatraError

VOCABULARY = 50


def logits(seed: int, n: int = VOCABULARY) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=n) * 3).astype(np.float32)


# --- slow oracles that share nothing with what is tested


def slow_softmax(values: list[float]) -> list[float]:
    shares = [math.exp(v - max(values)) for v in values]
    return [share / math.fsum(shares) for share in shares]


def slow_chain(values: list[float], k: int, p: float, least: float) -> list[int]:
    order = sorted(range(len(values)), key=lambda i: (-values[i], i))
    order = order[:k] if k > 0 else order
    if p < 1:
        kept, total = 0, 0.0
        for share in slow_softmax([values[i] for i in order]):
            kept, total = kept + 1, total + share
            if total >= p:
                break
        order = order[:kept]
    shares = slow_softmax([values[i] for i in order])
    return [i for i, share in zip(order, shares, strict=True) if share >= least * max(shares)]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("k", "p", "least"), [(40, 0.95, 0.05), (0, 0.9, 0), (-1, 1, 0.2),
                                               (5, 0.5, 0.1), (99, 1, 0), (1, 0.1, 1)])  # fmt: skip
def test_chain(seed: int, k: int, p: float, least: float) -> None:
    values = logits(seed)
    sampler = Sampler(Sampling(top_k=k, top_p=p, min_p=least))
    found = sampler.candidates(values)
    assert found.ids.tolist() == slow_chain([float(v) for v in values], k, p, least)
    assert np.array_equal(found.logits, values[found.ids].astype(np.float64))


def test_equal_logits_prefer_the_lower_id() -> None:
    values = np.array([1, 3, 2, 3, 3, 0], np.float32)
    assert s.top_k(values, 2).ids.tolist() == [1, 3]
    assert s.top_k(values, 4).ids.tolist() == [1, 3, 4, 2]
    assert Sampler(Sampling(temperature=0)).sample(values) == 1


def test_penalties() -> None:
    values = np.array([2.0, -2.0, 1.0, 1.0], np.float32)
    found = s.penalised(values, [0, 1, 1, 0, 0, 2], repeat=2.0, frequency=0.1, presence=0.5)
    assert np.allclose(found, [2 / 2 - 0.3 - 0.5, -2 * 2 - 0.2 - 0.5, 0.5 - 0.1 - 0.5, 1.0])
    assert values.tolist() == [2.0, -2.0, 1.0, 1.0]
    assert np.array_equal(s.penalised(values, [0, 99], 1.0, 0.0, 0.0), values)
    assert s.penalised(values, [0, 99], 2.0, 0.0, 0.0)[0] == 1.0


@pytest.mark.parametrize(("last_n", "expected"), [(-1, 1), (3, 1), (2, 0), (0, 0)])
def test_penalties_look_back_so_far(last_n: int, expected: int) -> None:
    how = Sampling(temperature=0, repeat_penalty=10.0, penalty_last_n=last_n)
    sampler = Sampler(how, [0, 2])
    sampler.accept(3)
    assert sampler.sample(np.array([5.0, 4.0, -9, -9], np.float32)) == expected


def test_draws_follow_the_probabilities() -> None:
    values = np.log(np.array([0.5, 0.25, 0.15, 0.1]))
    for temperature in (1.0, 0.5, 2.0):
        sampler = Sampler(Sampling(temperature, 0, 1, 0, seed=1))
        counts = np.bincount([sampler.sample(values) for _ in range(4000)], minlength=4) / 4000
        expected = np.array(slow_softmax([v / temperature for v in values.tolist()]))
        assert np.abs(counts - expected).max() < 0.025


def test_same_seed_same_tokens() -> None:
    def drawn(seed: int | None) -> list[int]:
        sampler = Sampler(Sampling(temperature=5.0, top_k=0, top_p=1, min_p=0, seed=seed))
        return [sampler.sample(logits(i)) for i in range(40)]

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)
    assert drawn(None) != drawn(None)
    # A fixed seed must give the same text in every version.
    assert drawn(7)[:12] == DRAWN_WITH_7


DRAWN_WITH_7 = [44, 36, 36, 21, 35, 28, 41, 38, 25, 3, 29, 8]


def test_seed_is_told() -> None:
    sampler = Sampler(Sampling())
    again = Sampler(Sampling(seed=sampler.seed))
    assert [sampler.sample(logits(i)) for i in range(30)] == [
        again.sample(logits(i)) for i in range(30)
    ]


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**32, 2**63, 2**64 - 1])
def test_every_seed(seed: int) -> None:
    assert 0 <= Sampler(Sampling(seed=seed)).sample(logits(1)) < VOCABULARY


INFINITY = math.inf
EXTREMES: list[dict[str, Any]] = [
    {"temperature": 0},
    {"temperature": -0.0},
    {"temperature": -1},
    {"temperature": 1e-9},
    {"temperature": 5e-324},
    {"temperature": 1e9},
    {"temperature": 1e308},
    {"temperature": np.float32(0.5)},
    {"top_k": 0},
    {"top_k": -1},
    {"top_k": 1},
    {"top_k": VOCABULARY},
    {"top_k": VOCABULARY + 1},
    {"top_k": 2**31 - 1},
    {"top_k": np.int64(3)},
    {"top_p": 0},
    {"top_p": 5e-324},
    {"top_p": 1},
    {"top_p": 1.0 - 1e-16},
    {"min_p": 0},
    {"min_p": 1},
    {"min_p": 5e-324},
    {"repeat_penalty": 1e-6},
    {"repeat_penalty": 1e6},
    {"frequency_penalty": 1e6},
    {"frequency_penalty": -1e6},
    {"presence_penalty": -1e6},
    {"penalty_last_n": 0},
    {"penalty_last_n": 2**31 - 1},
    {"top_p": 0, "min_p": 1, "top_k": 1},
    {"top_p": 1, "min_p": 0, "top_k": 0, "temperature": 1e300},
]
SHAPES: dict[str, np.ndarray] = {
    "ordinary": logits(0),
    "equal": np.zeros(VOCABULARY, np.float32),
    "huge": logits(0) * np.float32(1e37),
    "one": np.ones(1, np.float32),
    "masked": np.where(np.arange(VOCABULARY) == 7, 0, -np.inf).astype(np.float32),
    "half masked": np.where(np.arange(VOCABULARY) % 2, logits(2), -np.inf).astype(np.float32),
    "infinite": np.where(np.arange(VOCABULARY) == 9, np.inf, logits(1)).astype(np.float32),
    "two infinite": np.where(np.arange(VOCABULARY) < 2, np.inf, -np.inf).astype(np.float32),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("given", EXTREMES, ids=str)
def test_extremes_give_a_possible_token(given: dict[str, Any], shape: str) -> None:
    values = SHAPES[shape]
    sampler = Sampler(Sampling(**{"seed": 3, **given}), recent=[0, 1, 1])
    for _ in range(3):
        token = sampler.sample(values)
        assert isinstance(token, int)
        assert values[token] > -np.inf
        sampler.accept(token)


def test_near_zero_temperature_is_greedy() -> None:
    for seed in range(20):
        values = logits(seed)
        assert Sampler(Sampling(temperature=1e-9)).sample(values) == values.argmax()
        assert Sampler(Sampling(temperature=-2)).sample(values) == values.argmax()


NUMBERS = [f.name for f in fields(Sampling) if isinstance(f.default, float)]
COUNTS = ["top_k", "penalty_last_n", "seed"]
WRONG: list[tuple[str, Any]] = [
    *((name, value) for name in NUMBERS
      for value in (math.nan, INFINITY, -INFINITY, "1", None, True, [1], 10**400)),
    *((name, value) for name in COUNTS
      for value in (1.5, math.nan, INFINITY, "1", True, 2**64, -2, [1])),
    ("top_k", None), ("penalty_last_n", None), ("top_k", 2**31), ("seed", -1),
    ("top_p", -0.1), ("top_p", 1.1), ("min_p", -1e-9), ("min_p", 2),
    ("repeat_penalty", 0), ("repeat_penalty", -1), ("repeat_penalty", 1e7),
    ("frequency_penalty", 1e7), ("presence_penalty", -1e7),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG, ids=str)
def test_wrong_values_are_named(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=rf"^{name}: got .+, wanted (a|an) ") as caught:
        Sampling(**{name: value})
    assert len(str(caught.value)) < 200


def test_logits_without_a_token() -> None:
    sampler = Sampler(Sampling())
    with pytest.raises(VatraError, match="no token can be chosen: every logit is -inf"):
        sampler.sample(np.full(5, -np.inf, np.float32))
    with pytest.raises(VatraError, match="logit 2 is not a number"):
        sampler.sample(np.array([0, 1, np.nan], np.float32))


def test_log_probability() -> None:
    values = logits(4)
    shares = slow_softmax([float(v) for v in values])
    for token in range(VOCABULARY):
        assert math.isclose(s.log_probability(values, token), math.log(shares[token]), rel_tol=1e-9)
    assert s.log_probability(np.array([-np.inf, 0.0]), 0) == -math.inf


def test_filters_keep_at_least_one() -> None:
    among = Candidates(np.array([4, 2]), np.array([1.0, -700.0]))
    assert s.top_p(among, 0).ids.tolist() == [4]
    assert s.min_p(among, 1).ids.tolist() == [4]
    assert s.top_p(among, 1).ids.tolist() == [4, 2]


def test_defaults_are_llama_cpps() -> None:
    how = Sampling()
    assert (how.temperature, how.top_k, how.top_p, how.min_p) == (0.8, 40, 0.95, 0.05)
    assert (how.repeat_penalty, how.frequency_penalty, how.presence_penalty) == (1.0, 0.0, 0.0)
    assert (how.penalty_last_n, how.seed) == (64, None)


def test_recommended_by_the_file() -> None:
    metadata = {
        "general.sampling.temp": 0.6,
        "general.sampling.top_k": 20,
        "general.sampling.top_p": np.float32(0.5),
        "general.sampling.penalty_repeat": 1.1,
        "general.sampling.penalty_last_n": 128,
        "general.sampling.xtc_probability": 0.5,
        "general.name": "x",
    }
    how = Sampling.from_metadata(metadata, "m.gguf", top_k=None, seed=5, temperature=0.0)
    assert how == Sampling(0.0, 20, 0.5, 0.05, 1.1, penalty_last_n=128, seed=5)
    assert s.not_honoured(metadata) == ["general.sampling.xtc_probability"]
    with pytest.raises(BadFile, match=r'm.gguf: key "general.sampling.top_p": top_p: got 2.0'):
        Sampling.from_metadata({"general.sampling.top_p": 2.0}, "m.gguf")
    with pytest.raises(UsageError, match="'topk' is not known, wanted .*top_k"):
        Sampling.from_metadata({}, topk=3)
