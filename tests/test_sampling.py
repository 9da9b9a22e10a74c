"""The chain against a slow one in plain Python, and every value that no one should give."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from vatra.engine.sampler import Sampler, suppressed
from vatra.engine.sampling import SAMPLERS, Sampling, not_honoured
from vatra.errors import BadFile, UsageError, VatraError
from vatra.formats import gguf
from vatra.formats.tokenizer import Tokenizer, load

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
    sampler = Sampler(Sampling(temperature=1, top_k=k, top_p=p, min_p=least))
    found = sampler.candidates(values)
    assert found.ids.tolist() == sorted(slow_chain([float(v) for v in values], k, p, least))
    assert np.array_equal(found.logits, values[found.ids].astype(np.float64))


def test_equal_logits_prefer_the_lower_id() -> None:
    values = np.array([1, 3, 2, 3, 3, 0], np.float32)
    assert Sampler(Sampling(temperature=0)).sample(values) == 1


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
    *({"top_k": 0, "typical_p": p} for p in (0, 0.5, 1)),
    *({"top_k": 0, "top_n_sigma": n} for n in (-1e300, 1e-300, 1e300)),
    *({"xtc_probability": 1, "xtc_threshold": t} for t in (0, 0.1, 1)),
    {"dynatemp_range": 1e6, "temperature": 1e308},
    {"dynatemp_range": 0.5, "dynatemp_exponent": 1e6},
    {"temperature": -1e308, "dynatemp_range": 1e6, "dynatemp_exponent": 0},
    {"dry_multiplier": 1e6, "dry_base": 1e6, "dry_allowed_length": 0, "dry_last_n": -1},
    {"dry_multiplier": 1e6, "dry_base": 1, "dry_allowed_length": 1},
    *(
        {"mirostat": v, "mirostat_tau": tau, "mirostat_eta": eta, "temperature": t}
        for v in (1, 2)
        for tau in (0, 1000)
        for eta in (0, 1000)
        for t in (0, 1e-9, 1, 1e9)
    ),
    *({"adaptive_target": t, "adaptive_decay": d} for t in (0, 1) for d in (0, 0.99)),
    {"min_keep": 2**31 - 1, "xtc_probability": 1, "typical_p": 0.5},
    {"samplers": ()},
    {"samplers": "txxmpyksde", "typical_p": 0.5, "top_n_sigma": 1.0, "repeat_penalty": 2.0},
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


NUMBERS = [f.name for f in fields(Sampling) if f.metadata.get("type") is float]
COUNTS = [f.name for f in fields(Sampling) if f.metadata.get("type") is int]
WRONG: list[tuple[str, Any]] = [
    *((name, value) for name in NUMBERS
      for value in (math.nan, INFINITY, -INFINITY, "1", None, True, [1], 10**400)),
    *((name, value) for name in COUNTS
      for value in (1.5, math.nan, INFINITY, "1", True, 2**64, -2, [1])),
    ("top_k", None), ("penalty_last_n", None), ("top_k", 2**31), ("seed", -1),
    ("top_p", -0.1), ("top_p", 1.1), ("min_p", -1e-9), ("min_p", 2),
    ("repeat_penalty", 0), ("repeat_penalty", -1), ("repeat_penalty", 1e7),
    ("frequency_penalty", 1e7), ("presence_penalty", -1e7), ("mirostat", 3), ("dry_base", 0.5),
    ("adaptive_decay", 1.0), ("adaptive_target", -1.1), ("ignore_eos", 1), ("ignore_eos", None),
    ("dry_breakers", 5), ("dry_breakers", [""]), ("dry_breakers", [b"x"]),
    ("filters", [3]), ("filters", 3), ("samplers", 5), ("samplers", "top_q"), ("samplers", "kz"),
    ("samplers", ["top_k", 3]), ("samplers", [None]), ("samplers", "top_k;nothing"),
    ("logit_bias", 5), ("logit_bias", {1.5: 1}), ("logit_bias", {True: 1}), ("logit_bias", {"": 1}),
    ("logit_bias", {-1: 1}), ("logit_bias", {1: math.nan}), ("logit_bias", {1: INFINITY}),
    ("logit_bias", {1: "1"}), ("logit_bias", [1, 2]), ("logit_bias", [(1, 2, 3)]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG, ids=str)
def test_wrong_values_are_named(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=rf"^{name}(\[.+\])?: got .+, wanted ") as caught:
        Sampling(**{name: value})
    assert len(str(caught.value)) < 200


def test_logits_without_a_token() -> None:
    sampler = Sampler(Sampling())
    with pytest.raises(VatraError, match="no token can be chosen: every logit is -inf"):
        sampler.sample(np.full(5, -np.inf, np.float32))
    with pytest.raises(VatraError, match="logit 2 is not a number"):
        sampler.sample(np.array([0, 1, np.nan], np.float32))


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
        "general.sampling.mirostat_tau": 4.0,
        "general.sampling.sequence": "top-k;infill;Temp;typ_p",
        "general.sampling.flavour": 3,
        "general.name": "x",
    }
    how = Sampling.from_metadata(metadata, "m.gguf", top_k=None, seed=5, temperature=0.0)
    assert how == Sampling(
        0.0, 20, 0.5, 0.05, 1.1, penalty_last_n=128, seed=5, xtc_probability=0.5, mirostat_tau=4.0,
        samplers=("top_k", "temperature", "typical_p"),
    )  # fmt: skip
    assert how.recommended == {
        *("top_k", "top_p", "repeat_penalty", "penalty_last_n", "xtc_probability"),
        *("mirostat_tau", "samplers"),
    }
    assert "top_p" not in how.changed(top_p=0.1).recommended
    assert not_honoured(metadata) == [
        "general.sampling.flavour", "infill of general.sampling.sequence"
    ]  # fmt: skip
    with pytest.raises(BadFile, match=r'm.gguf: key "general.sampling.top_p": top_p: got 2.0'):
        Sampling.from_metadata({"general.sampling.top_p": 2.0}, "m.gguf")
    with pytest.raises(BadFile, match=r'm.gguf: key "general.sampling.sequence": samplers: got 3'):
        Sampling.from_metadata({"general.sampling.sequence": 3}, "m.gguf")
    with pytest.raises(UsageError, match="'topk' is not known, wanted .*top_k"):
        Sampling.from_metadata({}, topk=3)
    with pytest.raises(UsageError, match="'recommended' is not known"):
        Sampling().changed(recommended=frozenset())


# --- the order


def test_the_order_is_llama_cpps() -> None:
    assert "".join(SAMPLERS.values()) == "edskypmxt"
    assert Sampling().samplers == tuple(SAMPLERS)


@pytest.mark.parametrize("given", [
    "kpt", "top_k;top_p;temperature", "TopK; nucleus; temp", ("top-k", "topp", "temperature"),
    ["top_k", "adaptive_p", "top_p", "temp"], "kpat",
])  # fmt: skip
def test_ways_to_say_an_order(given: Any) -> None:
    assert Sampling(samplers=given).samplers == ("top_k", "top_p", "temperature")


def test_the_order_matters() -> None:
    values = np.array([1.0, 2.0, 3.0])
    hot: dict[str, Any] = {"temperature": 10.0, "top_k": 0, "top_p": 1, "min_p": 0.5}
    assert Sampler(Sampling(**hot)).candidates(values).ids.tolist() == [2]
    assert Sampler(Sampling(**hot, samplers="tm")).candidates(values).ids.tolist() == [0, 1, 2]
    assert Sampler(Sampling(**hot, samplers="")).candidates(values).logits.tolist() == [1, 2, 3]


def test_greedy_comes_after_what_excludes_the_likeliest() -> None:
    values = np.array([3.0, 2.9, 0.0])
    how = Sampling(temperature=0, xtc_probability=1.0, xtc_threshold=0.1)
    assert Sampler(how).sample(values) == 1


def test_xtc_is_as_frequent_as_was_said() -> None:
    how = Sampling(temperature=0, xtc_probability=0.3, seed=1)
    sampler = Sampler(how)
    drawn = [sampler.sample(np.array([3.0, 2.9, 0.0])) for _ in range(2000)]
    assert abs(np.mean(drawn) - 0.3) < 0.03


def test_mirostat_aims_at_a_surprise() -> None:
    values = (np.random.default_rng(3).normal(size=2000) * 2).astype(np.float32)
    for version in (1, 2):
        how = Sampling(1, mirostat=version, mirostat_tau=4.0, mirostat_eta=0.2, seed=2)
        sampler, bits = Sampler(how), []
        for _ in range(400):
            among = sampler.candidates(values)
            token = sampler.sample(values)
            shares = np.exp(among.logits - among.logits.max())
            bits.append(-np.log2((shares / shares.sum())[among.ids == token][0]))
            sampler.accept(token)
        assert abs(np.mean(bits[100:]) - 4.0) < 0.4


def test_adaptive_p_aims_at_a_probability() -> None:
    values = np.log(np.array([0.5, 0.2, 0.15, 0.1, 0.05]))
    for target in (0.2, 0.4):
        how = Sampling(1, 0, 1, 0, adaptive_target=target, seed=4)
        sampler, chosen = Sampler(how), []
        for _ in range(500):
            token = sampler.sample(values)
            sampler.accept(token)
            chosen.append(math.exp(values[token]))
        assert abs(np.mean(chosen) - target) < 0.05


def test_what_was_not_offered_teaches_nothing() -> None:
    sampler = Sampler(Sampling(1, mirostat=2))
    sampler.accept(3)
    assert sampler.mu == 10
    sampler.candidates(np.array([9.0, 0.0, -50.0]))
    sampler.accept(2)
    assert sampler.mu == 10


# --- a person's own filters


def no_sevens(ids: np.ndarray, logits: np.ndarray, recent: np.ndarray) -> np.ndarray:
    return np.where(ids % 10 == 7, -np.inf, logits)


def test_own_filters() -> None:
    seen: list[tuple[Any, ...]] = []

    def watching(ids: np.ndarray, logits: np.ndarray, recent: np.ndarray) -> None:
        seen.append((len(ids), ids.dtype, logits.dtype, recent.tolist()))
        logits[ids == 3] = 1e9
        ids[:] = 0  # a copy of its own

    values = logits(0)
    sampler = Sampler(Sampling(1, 0, 1, 0, filters=(no_sevens,)), [1, 2])
    assert sampler.candidates(values).ids.tolist() == [i for i in range(50) if i % 10 != 7]
    order = ("penalties", "top_k", "watching", "temperature")
    sampler = Sampler(Sampling(0, filters=(watching,), samplers=order, top_k=50), [1, 2])
    assert sampler.sample(values) == 3
    sampler.accept(3)
    few = Sampling(0, filters=(watching,), samplers=order, top_k=5)
    assert Sampler(few, [1, 2, 3]).sample(values) == int(values.argmax())
    assert seen == [(50, np.int64, np.float64, [1, 2]), (5, np.int64, np.float64, [1, 2, 3])]
    first = Sampler(Sampling(0, mirostat=2, filters=(watching,)))  # not named, so it comes first
    assert first.sample(values) == 3


def test_compiled_filters() -> None:
    numba = pytest.importorskip("numba")

    def halve(ids: Any, logits: Any, recent: Any) -> Any:
        for i in range(len(ids)):
            if ids[i] in recent:
                logits[i] /= 2
        return logits

    halved = numba.njit(halve)
    sampler = Sampler(Sampling(0, filters=(halved,)), [4])
    assert sampler.sample(np.array([0, 1, 2, 3, 5.0])) == 3
    sampler.accept(3)
    assert sampler.sample(np.array([0, 1, 2, 3, 5.0])) == 4
    assert len(halved.signatures) == 1


def broken(ids: np.ndarray, logits: np.ndarray, recent: np.ndarray) -> np.ndarray:
    return logits[10**6]


@pytest.mark.parametrize(("function", "message"), [
    (broken, "filter broken: IndexError: index 1000000 is out of bounds"),
    (lambda i, x, r: x[:2], r"filter <lambda>: ValueError: got logits of shape \(2,\), want"),
    (lambda i, x, r: x * math.nan, "filter <lambda>: logit 0 is not a number"),
    (lambda i, x, r: x - math.inf, "filter <lambda>: no token can be chosen"),
    (lambda i, x, r: "text", "filter <lambda>: ValueError: could not convert"),
    (lambda: 0, "filter <lambda>: TypeError: .*takes 0 positional arguments"),
])  # fmt: skip
def test_errors_of_own_filters_are_theirs(function: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Sampler(Sampling(filters=(function,))).sample(logits(0))
    assert caught.value.__cause__ is not None


def test_a_filter_can_not_have_a_sampler_s_name() -> None:
    def top_k(ids: Any, logits: Any, recent: Any) -> Any:
        return logits

    with pytest.raises(UsageError, match="top_k is a sampler's name already"):
        Sampling(filters=(top_k,))
    with pytest.raises(UsageError, match="'no_sevens' is the name of 2 filters"):
        Sampling(filters=(no_sevens, no_sevens), samplers=("no_sevens",))


# --- biases


@pytest.fixture(scope="module")
def tokenizer(spark: Path) -> Tokenizer:
    return load(gguf.read(spark))


def test_biases(tokenizer: Tokenizer) -> None:
    flat = np.zeros(tokenizer.n_vocab, np.float32)
    ids = tokenizer.encode(" fox", bos=False)
    piece = tokenizer.piece(ids[-1]).decode()
    how = Sampling(0, logit_bias={piece: 2.5, 17: 3.5, 18: -math.inf})
    among = Sampler(Sampling(1, 0, 1, 0, logit_bias=how.logit_bias), (), tokenizer).candidates(flat)
    found = dict(zip(among.ids.tolist(), among.logits.tolist(), strict=True))
    assert (found[ids[-1]], found[17], found[19], 18 in found) == (2.5, 3.5, 0.0, False)
    assert Sampler(how, (), tokenizer).sample(flat) == 17
    texts = [(text, 1.0) for text in (piece, " a", piece)]
    with mock.patch.object(tokenizer, "piece", wraps=tokenizer.piece) as asked:
        Sampler(Sampling(logit_bias=(*texts,)), (), tokenizer)
    assert asked.call_count == tokenizer.n_vocab  # once for all texts
    with pytest.raises(UsageError, match="logit_bias: 'once upon' is not one token, but [2-9]"):
        Sampler(Sampling(logit_bias={"once upon": 1}), (), tokenizer)
    with pytest.raises(UsageError, match="no known tokenizer"):
        Sampler(Sampling(logit_bias={"x": 1}))
    with pytest.raises(UsageError, match=r"token 99 is outside the vocabulary, 0 to 49"):
        Sampler(Sampling(logit_bias={99: 1})).sample(logits(0))
    with pytest.raises(VatraError, match="bans all"):
        Sampler(Sampling(logit_bias={0: -math.inf})).sample(np.ones(1, np.float32))


def test_the_end_can_be_ignored(tokenizer: Tokenizer) -> None:
    values = np.zeros(tokenizer.n_vocab, np.float32)
    values[list(tokenizer.eog_ids)] = 9
    assert Sampler(Sampling(0), (), tokenizer).sample(values) in tokenizer.eog_ids
    assert Sampler(Sampling(0, ignore_eos=True), (), tokenizer).sample(values) == 0 or (
        0 in tokenizer.eog_ids
    )


def test_suppressed() -> None:
    key = "tokenizer.ggml.suppress_tokens"
    assert suppressed({}, 10) == []
    assert suppressed({key: np.array([3, -1, 10, 9], np.int32)}, 10) == [3, 9]
    for wrong in (np.array([1.5]), 3, ["a"]):
        with pytest.raises(BadFile, match=f"m.gguf: {key}: got .*, wanted an array of token ids"):
            suppressed({key: wrong}, 10, "m.gguf")
    sampler = Sampler(Sampling(0), suppressed=[2])
    assert sampler.sample(np.array([0.0, 1.0, 5.0])) == 1
