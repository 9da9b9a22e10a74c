"""Each filter: by hand, by what must hold for any logits, and beside what llama.cpp makes of them.

`llama_sampling.json` is written by `bench/expected.py`.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vatra.engine import filters as f
from vatra.engine.filters import Candidates
from vatra.engine.sampler import Sampler
from vatra.engine.sampling import Sampling
from vatra.errors import UsageError, VatraError

LLAMA = json.loads((Path(__file__).parent / "llama_sampling.json").read_text())
FILTERS: dict[str, Callable[..., Candidates]] = {
    "top_k": f.top_k,
    "top_p": f.top_p,
    "min_p": f.min_p,
    "typical_p": f.typical_p,
    "top_n_sigma": f.top_n_sigma,
    "xtc": lambda c, p, *rest: f.xtc(c, *rest) if p else c,
    "temperature": f.dynamic_temperature,
}


def of(*logits: float) -> Candidates:
    return f.candidates(np.array(logits, np.float32))


def by_share(*shares: float) -> Candidates:
    return f.candidates(np.log(np.array(shares)))


def shares_of(among: Candidates) -> dict[int, float]:
    return dict(zip(among.ids.tolist(), f.probabilities(among.logits).tolist(), strict=True))


# --- by hand


def test_candidates() -> None:
    assert of(1, 2).ids.tolist() == [0, 1]
    assert of(-math.inf, 2, -math.inf, 3).ids.tolist() == [1, 3]
    infinite = of(1, math.inf, 2, math.inf)
    assert shares_of(infinite) == {0: 0, 1: 0.5, 2: 0, 3: 0.5}
    with pytest.raises(VatraError, match="every logit is -inf"):
        of(-math.inf, -math.inf)
    with pytest.raises(VatraError, match="no token can be chosen"):
        of()
    with pytest.raises(VatraError, match="logit 7 is not a number"):
        f.candidates(np.array([0, math.nan]), np.array([3, 7]))
    assert f.candidates(np.array([1, 2, 3])).logits.dtype == np.float64


def test_top_k() -> None:
    assert f.top_k(of(1, 3, 2, 3, 3, 0), 2).ids.tolist() == [1, 3]
    assert f.top_k(of(1, 3, 2, 3, 3, 0), 4).ids.tolist() == [1, 2, 3, 4]
    assert f.top_k(of(1, 2), 0).ids.tolist() == [0, 1]


def test_top_p() -> None:
    among = by_share(0.1, 0.4, 0.2, 0.3)
    assert f.top_p(among, 0.35).ids.tolist() == [1]
    assert f.top_p(among, 0.65).ids.tolist() == [1, 3]
    assert f.top_p(among, 0.75).ids.tolist() == [1, 2, 3]
    assert f.top_p(among, 0, min_keep=2).ids.tolist() == [1, 3]


def test_min_p() -> None:
    among = by_share(0.1, 0.4, 0.21, 0.29)
    assert f.min_p(among, 0.5).ids.tolist() == [1, 2, 3]
    assert f.min_p(among, 0.6).ids.tolist() == [1, 3]
    assert f.min_p(among, 1).ids.tolist() == [1]
    assert f.min_p(among, 1, min_keep=3).ids.tolist() == [1, 2, 3]


def test_typical_p() -> None:
    # The entropy of these is 1.08 nats; the surprises are 2.30, 0.36 and 1.61.
    among = by_share(0.1, 0.7, 0.2)
    assert f.typical_p(among, 0.1).ids.tolist() == [1]
    assert f.typical_p(by_share(0.02, 0.9, 0.03, 0.05), 0.5).ids.tolist() == [1]
    # Here the likeliest is less typical than the ten others, so that five of them are enough.
    assert f.typical_p(by_share(0.4, *[0.06] * 10), 0.29).ids.tolist() == [1, 2, 3, 4, 5]


def test_top_n_sigma() -> None:
    among = of(0, 0, 0, 0, 10)  # deviation 4
    assert f.top_n_sigma(among, 1).ids.tolist() == [4]
    assert f.top_n_sigma(among, 2.5).ids.tolist() == [0, 1, 2, 3, 4]
    assert f.top_n_sigma(among, -1).ids.tolist() == [0, 1, 2, 3, 4]


def test_xtc() -> None:
    among = by_share(0.05, 0.4, 0.25, 0.3)
    assert f.xtc(among, 0.2).ids.tolist() == [0, 2]
    assert f.xtc(among, 0.28).ids.tolist() == [0, 2, 3]
    assert f.xtc(among, 0.5).ids.tolist() == [0, 1, 2, 3]
    assert f.xtc(among, 0.2, min_keep=3).ids.tolist() == [0, 1, 2, 3]
    assert f.xtc(by_share(0.9, 0.1), 0.01).ids.tolist() == [1]


def test_temperature() -> None:
    assert f.temperature(of(1, 2, 3), 0.5).logits.tolist() == [2, 4, 6]
    assert f.temperature(of(1, 3, 3), 0).ids.tolist() == [1]
    # Of equal logits the entropy is the highest possible: t + spread.
    assert f.dynamic_temperature(of(1, 1), 1, 0.5, 1).logits.tolist() == [1 / 1.5] * 2
    assert f.dynamic_temperature(of(0, 900), 1, 0.5, 1).logits.tolist() == [0, 1800]


def test_penalties() -> None:
    found = f.penalties(of(2, -2, 1, 1), np.array([0, 1, 1, 0, 0, 2]), 2.0, 0.1, 0.5)
    assert np.allclose(found.logits, [2 / 2 - 0.3 - 0.5, -2 * 2 - 0.2 - 0.5, 0.5 - 0.1 - 0.5, 1.0])
    some = of(-math.inf, 4, 6)  # token 0 is none of the candidates, 99 not even a token
    assert f.penalties(some, np.array([0, 1, 99]), 2.0, 0, 0).logits.tolist() == [2, 6]


def test_bias() -> None:
    ids, amounts = np.array([2, 0]), np.array([1.5, -math.inf])
    found = f.bias(of(1, 2, 3), ids, amounts)
    assert (found.ids.tolist(), found.logits.tolist()) == ([1, 2], [2, 4.5])
    with pytest.raises(VatraError, match="bans all"):
        f.bias(of(1), np.array([0]), np.array([-math.inf]))


def test_adaptive() -> None:
    among = by_share(0.5, 0.2, 0.3)
    peak = f.adaptive(among, 0.2).logits
    assert peak[1] == 5 and np.isclose(peak[0], 5 - 10 * 1 / 2)
    assert np.isclose(peak[2], 5 - 10 * (1 / 3) ** 2 / (4 / 3))


def test_mirostat_2() -> None:
    among = by_share(0.5, 0.25, 0.125, 0.125)  # 1, 2, 3 and 3 bits
    assert f.mirostat_2(among, 2.5).ids.tolist() == [0, 1]
    assert f.mirostat_2(among, -1).ids.tolist() == [0]


def test_mirostat_knows_zipf() -> None:
    n, exponent = 5000, 1.5
    ranks = np.arange(1, n + 1)
    zipf = f.candidates(-exponent * np.log(ranks))
    for mu in (2.0, 6.0):
        k = ((exponent - 1) * 2**mu / (1 - n ** (1 - exponent))) ** (1 / exponent)
        assert len(f.mirostat(zipf, mu, n).ids) == max(int(k), 1)
    # Exponent 1 and equal logits are the two places where the formula divides by zero.
    assert len(f.mirostat(f.candidates(-np.log(ranks)), 6.0, n).ids) == int(64 / math.log(n))
    assert len(f.mirostat(of(*[1.0] * 300), 6.0, 300).ids) in (1, 300)
    assert len(f.mirostat(of(5, 1, 0), 5000.0, 3).ids) == 3


@pytest.mark.parametrize("n", [1, 5, 300, 5000])
@pytest.mark.parametrize("k", [1, 3, 40, 256, 4999])
def test_greatest(n: int, k: int) -> None:
    values = np.random.default_rng(n).integers(0, 50, n).astype(np.float32)
    wanted = sorted(range(n), key=lambda i: (-values[i], i))[:k]
    assert f.greatest(values, k).tolist() == wanted


def test_a_draw_needs_more_than_the_first_guess() -> None:
    flat = f.candidates(np.zeros(5000, np.float32))
    assert f.drawn(flat, 0.0) == 0
    assert f.drawn(flat, 0.5) == 2500
    assert f.drawn(flat, 1 - 1e-16) == 4999
    assert len(f.top_p(flat, 0.8999).ids) == 4500


@pytest.mark.parametrize("call", [
    lambda c: f.top_p(c, 1.5), lambda c: f.top_p(c, math.nan), lambda c: f.min_p(c, -1),
    lambda c: f.typical_p(c, 2), lambda c: f.xtc(c, math.nan), lambda c: f.top_n_sigma(c, math.nan),
    lambda c: f.temperature(c, math.nan), lambda c: f.dynamic_temperature(c, 1, -1, 1),
    lambda c: f.adaptive(c, 1.1), lambda c: f.penalties(c, np.array([0]), 0, 0, 0),
])  # fmt: skip
def test_ranges(call: Any) -> None:
    with pytest.raises(UsageError, match=r"got .*, wanted a number"):
        call(of(1, 2, 3))


# --- for any logits

ANY = st.lists(
    st.one_of(
        st.floats(-30, 30, width=32),
        st.sampled_from([0.0, 1.0, 3e38, -3e38, math.inf, -math.inf]),
    ),
    min_size=1,
    max_size=30,
).filter(lambda logits: max(logits) > -math.inf)
SHARE = st.floats(0, 1)
KEEP = st.integers(0, 12)
APPLIED = st.one_of(
    st.tuples(st.just(f.top_k), st.tuples(st.integers(-1, 40))),
    st.tuples(st.just(f.top_p), st.tuples(SHARE, KEEP)),
    st.tuples(st.just(f.min_p), st.tuples(SHARE, KEEP)),
    st.tuples(st.just(f.typical_p), st.tuples(SHARE, KEEP)),
    st.tuples(st.just(f.top_n_sigma), st.tuples(st.floats(-1, 5))),
    st.tuples(st.just(f.xtc), st.tuples(SHARE, KEEP)),
    st.tuples(st.just(f.mirostat), st.tuples(st.floats(-50, 50), st.just(30))),
    st.tuples(st.just(f.mirostat_2), st.tuples(st.floats(-50, 50))),
    st.tuples(st.just(f.temperature), st.tuples(st.floats(-1, 1e9))),
    st.tuples(st.just(f.dynamic_temperature), st.tuples(SHARE, SHARE, st.floats(0, 3))),
    st.tuples(st.just(f.adaptive), st.tuples(SHARE)),
)


@settings(max_examples=600, deadline=None)
@given(ANY, st.lists(APPLIED, max_size=5))
def test_whatever_is_applied(logits: list[float], chain: list[tuple[Any, tuple[Any, ...]]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        among = f.candidates(np.array(logits, np.float32))
        for function, arguments in chain:
            kept_of, before = among, (among.ids.copy(), among.logits.copy())
            among = function(among, *arguments)
            assert 1 <= len(among.ids) <= len(kept_of.ids) == len(before[0])
            assert np.isin(among.ids, kept_of.ids).all() and (np.diff(among.ids) > 0).all()
            assert np.isfinite(among.logits).all()
            assert np.array_equal(kept_of.ids, before[0])  # pure: what it was given is as it was
            assert np.array_equal(kept_of.logits, before[1])
            if function in (f.top_k, f.min_p):
                assert function(among, *arguments).ids.tolist() == among.ids.tolist()
            if function in (f.top_p, f.min_p, f.top_k, f.top_n_sigma, f.mirostat, f.mirostat_2):
                # None that was left out is likelier than one that was kept.
                left_out = ~np.isin(kept_of.ids, among.ids)
                if left_out.any():
                    assert kept_of.logits[left_out].max() <= among.logits.min()
            if function in (f.top_p, f.min_p, f.typical_p):
                assert len(among.ids) >= min(arguments[1], len(kept_of.ids))
        shares = f.probabilities(among.logits)
        assert np.isclose(shares.sum(), 1) and f.drawn(among, 0.5) in among.ids


# --- beside llama.cpp


def approximately(found: dict[int, float], wanted: dict[str, float]) -> None:
    assert sorted(found) == sorted(map(int, wanted))
    for i, value in found.items():
        assert math.isclose(value, wanted[str(i)], rel_tol=2e-4, abs_tol=1e-6), i


@pytest.mark.parametrize("case", LLAMA["chains"], ids=lambda c: f"{c['of']}-{c['chain']}")
def test_llamas_chains(case: dict[str, Any]) -> None:
    among = of(*LLAMA["logits"][case["of"]])
    for name, arguments in case["chain"]:
        among = FILTERS[name](among, *arguments)
    approximately(shares_of(among), case["shares"])


def test_llamas_penalties() -> None:
    for case in LLAMA["penalties"]:
        among = of(*LLAMA["logits"][case["of"]])
        last_n, repeat, frequency, presence = case["given"]
        how = Sampling(1, 0, 1, 0, repeat, frequency, presence, last_n)
        recent = [t for t in LLAMA["recent"] if t < len(among.ids)]
        found = Sampler(how, recent).candidates(among.logits)
        approximately(
            dict(zip(found.ids.tolist(), found.logits.tolist(), strict=True)), case["left"]
        )


def test_llamas_biases() -> None:
    for case in LLAMA["biases"]:
        how = Sampling(1, 0, 1, 0, logit_bias={t: amount for t, amount in case["given"]})
        found = Sampler(how).candidates(np.array(LLAMA["logits"][case["of"]], np.float32))
        approximately(
            dict(zip(found.ids.tolist(), found.logits.tolist(), strict=True)), case["left"]
        )


@pytest.mark.parametrize("case", LLAMA["mirostat"], ids=lambda c: f"{c['of']}-{c['version']}")
def test_llamas_mirostat(case: dict[str, Any]) -> None:
    logits = np.array(LLAMA["logits"][case["of"]], np.float32)
    how = Sampling(1, mirostat=case["version"], mirostat_tau=case["tau"], mirostat_eta=case["eta"])
    sampler = Sampler(how)
    for step in case["steps"]:
        approximately(shares_of(sampler.candidates(logits)), step["shares"])
        sampler.accept(step["token"])


@pytest.mark.parametrize("case", LLAMA["adaptive"], ids=lambda c: f"{c['of']}-{c['target']}")
def test_llamas_adaptive_p(case: dict[str, Any]) -> None:
    logits = np.array(LLAMA["logits"][case["of"]], np.float32)
    how = Sampling(1, 0, 1, 0, adaptive_target=case["target"], adaptive_decay=case["decay"])
    sampler = Sampler(how)
    for step in case["steps"]:
        among = sampler.candidates(logits)
        assert sampler.target is not None
        approximately(shares_of(f.adaptive(among, sampler.target)), step["shares"])
        sampler.accept(step["token"])
