"""Jobs, events and errors cross from one process to another as they are, and nothing else does."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest

import vatra
from vatra.engine.fields import read
from vatra.engine.writing import Begun, Ended, Piece, Token, Writing
from vatra.errors import BadFile, UsageError, VatraError
from vatra.server import codec
from vatra.server.errors import Crashed
from vatra.server.jobs import Embedding


def crossed(value: Any) -> Any:
    """`value` as the other process has it."""
    return read(type(value), json.loads(codec.line(codec.plain(value))))


@pytest.mark.parametrize(
    "value",
    [
        Writing("text \ud800 \0 \n é", stop=["a"], sampling={"seed": 2**64 - 1, "top_k": None}),
        Writing([1, 2], max_tokens=0, logprobs=0, json_schema={"a": [{"b": None}]}, raw=True),
        Writing(messages=[{"role": "user", "content": [{"type": "text"}]}], tools=[{}], json=True),
        Embedding(["a", [1, 2]], "mean", False),
        Piece("x", "y", [{"id": "1"}], [(Token(1, "a", -math.inf), [Token(2, "b", -0.1)])]),
        Begun(1, 2, 3),
        Ended("eog", 1, 2, 3, 0.5, 1.0, 0.0),
    ],
)
def test_there_and_back(value: Any) -> None:
    assert crossed(value) == value


def test_keys_that_are_numbers() -> None:
    job = Writing("x", sampling={"logit_bias": {13: -math.inf, 7: 1.5}})
    assert crossed(job).sampling == {"logit_bias": [[13, -math.inf], [7, 1.5]]}
    vatra.Sampling(logit_bias=crossed(job).sampling["logit_bias"])


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (Writing, {"promt": "x"}, "promt: is not a known field; did you mean prompt?"),
        (Writing, [], "got [], wanted an object"),
        (Writing, {"prompt": 5}, "prompt: got 5, wanted a text or a list"),
        (Writing, {"prompt": [1, "2"]}, "prompt[1]: got '2', wanted an integer"),
        (Writing, {"raw": 1}, "raw: got 1, wanted true or false"),
        (Writing, {"max_tokens": True}, "max_tokens: got True, wanted an integer"),
        (Writing, {"messages": [{}, []]}, "messages[1]: got [], wanted an object"),
        (Begun, {"prompt_tokens": 1, "seed": 2}, "reused_tokens: is missing"),
        (Ended, {"finish_reason": "bored"}, "finish_reason: got 'bored', wanted 'stop' or"),
        (Piece, {"tokens": [[{"id": 1}, []]]}, "tokens[0].text: is missing"),
    ],
)
def test_what_is_not_as_declared(kind: Any, value: Any, message: str) -> None:
    with pytest.raises(UsageError) as error:
        read(kind, value)
    assert str(error.value).startswith(message)


def test_names_of_any_length_are_refused_at_once() -> None:
    """The event loop reads them: all streams of a server would wait."""
    name, began = "\0e" * 2**21, time.thread_time()
    with pytest.raises(UsageError, match=r"^(\\x00e){16}: is not a known field$"):
        read(Writing, {name: 1})
    assert codec.meant(name, {"spark": 1}) == ", wanted spark"
    assert time.thread_time() - began < 0.2


def test_errors() -> None:
    def other_side(error: BaseException) -> VatraError:
        return codec.raised(json.loads(json.dumps(codec.told(error))))

    full = other_side(vatra.ContextFull(600, 512))
    assert isinstance(full, vatra.ContextFull) and (full.n_tokens, full.n_ctx) == (600, 512)
    assert str(full) == str(vatra.ContextFull(600, 512))
    bad = other_side(BadFile("m.gguf", "what", field="kv[1]", byte=7))
    assert isinstance(bad, BadFile) and (bad.field, bad.byte, bad.exit_code) == ("kv[1]", 7, 65)
    assert str(bad) == "m.gguf: kv[1] at byte 7: what"
    assert type(other_side(Crashed("gone"))) is Crashed
    assert type(other_side(MemoryError())) is vatra.OutOfMemory

    class Closer(vatra.OutOfMemory):
        """Of a kind that the other process may not know."""

    assert type(other_side(Closer("x"))) is vatra.OutOfMemory
    internal = other_side(KeyError("secret"))
    assert type(internal) is VatraError and "KeyError" in str(internal)
    assert "secret" not in str(internal)


def test_too_deep() -> None:
    deep: Any = None
    for _ in range(codec.MOST_DEPTH):
        deep = [deep]
    codec.plain(deep)
    with pytest.raises(UsageError, match="at most 100 levels"):
        codec.plain([deep])
