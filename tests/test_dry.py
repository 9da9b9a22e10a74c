"""DRY beside llama.cpp, beside a slow search for repetitions, and by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vatra.engine.dry import Breakers, breakers, dry, repetitions, since_breaker
from vatra.engine.filters import candidates
from vatra.engine.sampler import Sampler
from vatra.engine.sampling import Sampling
from vatra.formats import gguf
from vatra.formats.tokenizer import Tokenizer, load

LLAMA = json.loads((Path(__file__).parent / "llama_sampling.json").read_text())


@pytest.fixture(scope="module")
def tokenizer(spark: Path) -> Tokenizer:
    return load(gguf.read(spark))


def lowered(recent: list[int], how: Sampling, tokenizer: Tokenizer) -> dict[int, float]:
    found = Sampler(how, recent, tokenizer).candidates(np.zeros(tokenizer.n_vocab, np.float32))
    return {int(i): -float(v) for i, v in zip(found.ids, found.logits, strict=True) if v}


@pytest.mark.parametrize("case", LLAMA["dry"], ids=lambda c: str(c["given"]))
def test_llamas(case: dict[str, Any], tokenizer: Tokenizer) -> None:
    multiplier, base, length, last_n, breaks = case["given"]
    how = Sampling(
        temperature=1, top_k=0, top_p=1, min_p=0, dry_multiplier=multiplier, dry_base=base,
        dry_allowed_length=length, dry_last_n=last_n, dry_breakers=tuple(breaks),
    )  # fmt: skip
    found = lowered(case["recent"], how, tokenizer)
    assert sorted(found) == sorted(map(int, case["lowered"]))
    for token, amount in found.items():
        assert math.isclose(amount, case["lowered"][str(token)], rel_tol=1e-4)


def test_some_of_llamas_are_lowered() -> None:
    assert sum(bool(case["lowered"]) for case in LLAMA["dry"]) > 20


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(0, 4), st.integers(1, 50))
def test_repetitions(recent: list[int], least: int, most: int) -> None:
    wanted: dict[int, int] = {}
    for i in range(len(recent) - 1):
        n = 0
        while n < most and n <= i and recent[i - n] == recent[len(recent) - 1 - n]:
            n += 1
        if n >= least:
            wanted[recent[i + 1]] = max(wanted.get(recent[i + 1], 0), n)
    ids, lengths = repetitions(np.array(recent), least, most)
    assert dict(zip(ids.tolist(), lengths.tolist(), strict=True)) == wanted


def test_by_hand() -> None:
    recent = np.array([1, 2, 3, 9, 1, 2, 3])  # a 9 would make four of three
    among = candidates(np.zeros(10, np.float32))
    found = dry(among, recent, 0.8, 2.0, 2, Breakers()).logits
    assert found.tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 0, np.float32(-1.6)]
    # After a breaker only one token has been repeated, which is allowed.
    assert not dry(among, recent, 0.8, 2.0, 2, Breakers({2: ((),)})).logits.any()
    # A breaker is never lowered itself.
    assert not dry(among, recent, 0.8, 2.0, 2, Breakers({9: ((),)})).logits.any()


def test_since_breaker() -> None:
    recent = np.array([5, 1, 2, 7, 8])
    assert since_breaker(recent, Breakers()) == 5
    assert since_breaker(recent, Breakers({5: ((),)})) == 4
    assert since_breaker(recent, Breakers({1: ((2,), (2, 7))})) == 1
    assert since_breaker(recent, Breakers({8: ((9,),)})) == 5


def test_breakers_in_tokens(tokenizer: Tokenizer) -> None:
    found = breakers(tokenizer, [":", "the end"])
    for token in range(tokenizer.n_vocab):
        assert found.ends(token) == (b":" in tokenizer.piece(token)), token
    beginning = [t for t in found.tails if tokenizer.piece(t).endswith(b"t")]
    assert beginning and all(found.tails[t] for t in beginning if not found.ends(t))
    assert breakers(tokenizer, [":", "the end"]) is found  # they are found only once


def test_a_long_repetition_costs_no_more_than_a_float_holds() -> None:
    recent = np.zeros(3000, np.int64)
    among = candidates(np.zeros(2, np.float32))
    found = dry(among, recent, 1e6, 1.75, 2, Breakers()).logits
    assert np.isfinite(found).all() and found[0] < -1e38
