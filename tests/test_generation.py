"""Steps of an answer: stop strings, characters cut by tokens, reasons to end, statistics.

The model here says a script: token n is the n-th piece of it, whatever the prompt was.
"""

from __future__ import annotations

import codecs
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vatra.engine.generation import Statistics, Step, Steps, StopStrings
from vatra.engine.sampling import Sampling
from vatra.errors import UsageError

GREEDY = Sampling(temperature=0)
END = 0  # the id of the token that ends an answer


class ScriptedSession:
    """Says `pieces` (bytes) in order, then the token that ends an answer, for ever."""

    def __init__(self, pieces: list[bytes], room: int = 1000) -> None:
        self.pieces, self.room = [b"", *pieces], room
        self.timeline: tuple[int, ...] = ()
        self.statistics = Statistics(prompt_tokens=3, prompt_s=0.5)
        self.model: Any = SimpleNamespace(tokenizer=self, tokenizer_or_none=self)
        self.eog_ids = frozenset({END})

    def stream(self, continues: bool) -> Any:
        assert continues
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return SimpleNamespace(
            push=lambda token: decoder.decode(self.pieces[token]),
            flush=lambda: decoder.decode(b"", final=True),
        )

    def begin_answer(self) -> int:
        return 1

    def logits_for(self, turn: int) -> np.ndarray:
        following = len(self.timeline) + 1
        token = following if following < len(self.pieces) else END
        return np.where(np.arange(len(self.pieces)) == token, 5.0, 0.0).astype(np.float32)

    def choose(self, token: int) -> None:
        self.timeline += (token,)

    @property
    def is_full(self) -> bool:
        return len(self.timeline) >= self.room


def said(
    pieces: list[bytes], max_tokens: int | None = None, stop: Any = (), room: int = 1000
) -> Steps:
    session: Any = ScriptedSession(pieces, room)
    return Steps(session, GREEDY, max_tokens, stop)


def chars(text: str) -> list[bytes]:
    return [c.encode() for c in text]


def test_ends_with_the_token_for_it() -> None:
    steps = list(said(chars("hi")))
    assert [(s.token, s.text, s.finish_reason) for s in steps] == [
        (1, "h", None),
        (2, "i", None),
        (END, "", "eog"),
    ]


@pytest.mark.parametrize("n", range(6))
def test_max_tokens(n: int) -> None:
    steps = said(chars("hello"), max_tokens=n)
    found = list(steps)
    assert steps.text == "hello"[:n]
    assert len(found) == n
    assert steps.finish_reason == ("length" if n else None)
    assert list(steps) == []


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "3", float("nan")])
def test_wrong_max_tokens(wrong: Any) -> None:
    with pytest.raises(UsageError, match="max_tokens: got .*, wanted an integer from 0"):
        said([], max_tokens=wrong)


def test_a_full_context_ends_it() -> None:
    steps = said(chars("hello"), room=3)
    assert "".join(step.text for step in steps) == "hel"
    assert steps.finish_reason == "length"


TEXTS = [
    "hello world",
    "aaab",
    "aabaab",
    "abcabcabd",
    "ababac",
    "STOP",
    "xSTO",
    "no\n\nUser: yes",
    "a",
]
STOPS = [["STOP"], ["aab"], ["ab", "b"], ["abcabd"], ["abac"], ["\nUser:", "\n\n"], ["zzz"], ["a"],
         ["hello world!"], ["lo w", "o"], ["aaaa"]]  # fmt: skip


@pytest.mark.parametrize("stops", STOPS, ids=str)
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_stop_strings(text: str, stops: list[str], size: int) -> None:
    pieces = [text[i : i + size].encode() for i in range(0, len(text), size)]
    steps = said(pieces, stop=stops)
    shown, made = "", ""
    for piece, step in zip([*pieces, b""], steps, strict=False):
        shown, made = shown + step.text, made + piece.decode()
        assert text.startswith(shown)
        if step.finish_reason is None:  # nothing is shown of what may still become a stop string
            starts = [made[at:] for at in range(len(shown))]
            assert not any(stop.startswith(start) for stop in stops for start in starts)
    complete = [(text.find(s) + len(s), text.find(s)) for s in stops if s in text]
    assert shown == steps.text == (text[: min(complete)[1]] if complete else text)
    assert steps.finish_reason == ("stop" if complete else "eog")


def test_a_stop_string_may_be_given_alone() -> None:
    steps = said(chars("one.two"), stop=".")
    assert "".join(step.text for step in steps) == "one"


@pytest.mark.parametrize("wrong", [[""], ["a", ""], [b"x"], [None]])
def test_wrong_stop_strings(wrong: Any) -> None:
    with pytest.raises(UsageError, match=r"stop\[\d\]: got .*, wanted a string"):
        StopStrings(wrong)


def test_what_was_held_back_comes_at_the_end() -> None:
    assert [s.text for s in said(chars("xSTO"), stop=["STOP"])] == ["x", "", "", "", "STO"]
    assert [s.text for s in said(chars("xSTO"), 3, ["STOP"])] == ["x", "", "ST"]


@pytest.mark.parametrize("text", ["naïve", "日本語", "😀a😀", "é"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_characters_are_never_cut(text: str, size: int) -> None:
    raw = text.encode()
    steps = list(said([raw[i : i + size] for i in range(0, len(raw), size)]))
    assert "".join(s.text for s in steps) == text
    assert "\ufffd" not in "".join(s.text for s in steps)


def test_half_a_character_at_the_end() -> None:
    raw = "a😀".encode()
    steps = list(said([raw[:1], raw[1:3]], max_tokens=2))
    assert [s.text for s in steps] == ["a", "\ufffd"]
    assert steps[-1].finish_reason == "length"


def test_logprobs_are_the_models_own() -> None:
    step = next(said(chars("abc")))
    assert isinstance(step, Step)
    assert np.isclose(step.logprob, 5 - np.log(np.exp(5) + 3))


def test_close_ends_it() -> None:
    steps = said(chars("hello"))
    next(steps)
    steps.close()
    assert list(steps) == []
    assert (steps.text, steps.tokens, steps.finish_reason) == ("h", [1], None)


def test_statistics() -> None:
    steps = said(chars("hello"))
    next(steps)
    s = steps.statistics
    assert s.generated_tokens == 1
    assert s.first_token_s >= 0.5
    list(steps)
    assert s.generated_tokens == 6
    assert s.prompt_tokens_per_s == 6
    assert s.generated_tokens_per_s == 6 / s.generated_s
    assert Statistics().prompt_tokens_per_s == Statistics().generated_tokens_per_s == 0
