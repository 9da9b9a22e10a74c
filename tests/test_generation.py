"""Steps of an answer: stop strings, characters cut by tokens, thinking and calls, statistics.

The model here says a script: token n is the n-th piece of it, whatever the prompt was.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import vatra
from vatra.cli.answer import PlainPage, stream
from vatra.cli.terminal import Interrupt
from vatra.engine.generation import Statistics, Step, Steps, StopStrings
from vatra.engine.model import Model
from vatra.engine.sampling import MOST_TEXTS, Sampling
from vatra.errors import UsageError
from vatra.formats.answer_syntax import syntax_of
from vatra.formats.answers import Answer
from vatra.formats.chat_template import ChatTemplate
from vatra.formats.tool_calls import ToolCall

GREEDY = Sampling(temperature=0)
END = 0  # the id of the token that ends an answer


class ScriptedSession:
    """Says `pieces` (bytes) in order, then the token that ends an answer, for ever."""

    def __init__(self, pieces: list[bytes], room: int = 1000) -> None:
        self.pieces, self.room = [b"", *pieces], room
        self.timeline: tuple[int, ...] = ()
        self.statistics = Statistics(prompt_tokens=3, prompt_s=0.5)
        self.model: Any = SimpleNamespace(
            tokenizer=self, tokenizer_or_none=self, metadata={}, path="", plan=self
        )
        self.n_vocab = len(self.pieces)
        self.eog_ids = frozenset({END})

    def stream(self, continues: bool) -> Any:
        assert continues
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return SimpleNamespace(
            push=lambda token: decoder.decode(self.pieces[token]),
            flush=lambda: decoder.decode(b"", final=True),
        )

    def is_hidden(self, token: int) -> bool:
        return self.pieces[token].startswith(b"<|")

    def piece(self, token: int) -> bytes:
        return self.pieces[token]

    def begin_answer(self) -> int:
        return 1

    def best_for(self, turn: int) -> None:
        return None

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


# --- thinking and calls


def answered(text: str, max_tokens: int | None = None, stop: Any = ()) -> Steps:
    """The steps of a model that writes markers such as <tool_call>, with a token for each sign."""
    session: Any = ScriptedSession(chars(text))
    return Steps(session, GREEDY, max_tokens, stop, Answer(syntax_of("<tool_call>")))


def test_thinking_and_calls_are_not_text() -> None:
    call = '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'
    steps = answered(f"<think>hm\nhm</think>\n\nyes {call}")
    seen = list(steps)
    assert "".join(s.text for s in seen) == steps.text == "yes"
    assert "".join(s.reasoning for s in seen) == steps.reasoning == "hm\nhm"
    assert [[c.name for c in s.tool_calls] for s in seen[-2:]] == [["f"], []]
    assert steps.message == {
        "role": "assistant",
        "content": "yes",
        "reasoning_content": "hm\nhm",
        "tool_calls": [
            {
                "id": "call00000",
                "type": "function",
                "function": {"name": "f", "arguments": {"a": 1}},
            }
        ],
    }


def test_a_call_that_ends_with_the_answer() -> None:
    steps = list(answered('<tool_call>{"name": "f", "arguments": {}}'))
    assert [c.name for c in steps[-1].tool_calls] == ["f"]
    cut = answered('<tool_call>{"name": "f", "arguments": {}}</tool_call>', max_tokens=20)
    assert "".join(s.text for s in cut) == '<tool_call>{"name": '
    assert cut.finish_reason == "length" and not cut.tool_calls


def test_stop_strings_are_of_the_text() -> None:
    steps = answered("<think>a. b.</think>c. d. e.", stop=["."])
    assert "".join(s.text for s in steps) == "c"
    assert steps.reasoning == "a. b."


def test_a_control_token_is_no_text() -> None:
    assert "".join(s.text for s in said([b"a", b"<|x|>", b"\xc3", b"<|x|>", b"\xa9"])) == "aé"


# --- conversations in the words of real chat templates

MARKER = re.compile(r"(<\|[a-z_]+\|>|.)", re.DOTALL)
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


class Scripted(Model):
    """Says the next of `answers` whenever it is asked."""

    def __init__(self, path: Path, answers: list[str]) -> None:
        source = path.read_text(encoding="utf-8")
        self.__dict__["chat_template"] = ChatTemplate(
            source, control=re.findall(r"<\|\w+\|>", source)
        )
        self.answers, self.prompts = answers, list[str]()

    @property
    def tokenizer(self) -> Any:
        return self

    bos_id, add_bos = None, False

    def encode(self, text: str, bos: bool, special: bool) -> list[int]:
        return [ord(char) for char in text]

    def session(self, ctx: int | None = None) -> Any:
        model = self

        class Session:
            def sync(self, ids: list[int], progress: Any = None) -> None:
                model.prompts.append("".join(map(chr, ids)))

            def generate(
                self, sampling: Any, max_tokens: Any, stop: Any, answer: Any, **_: Any
            ) -> Any:
                said: Any = ScriptedSession(
                    [m.encode() for m in MARKER.findall(model.answers.pop(0))]
                )
                return Steps(said, GREEDY, max_tokens, stop, answer)

        return Session()


def test_gpt_oss_goes_on_after_thinking(shared: Path) -> None:
    model = Scripted(
        shared / "templates" / "openai-gpt-oss-120b.jinja",
        [
            "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Hello!",
            "<|channel|>analysis<|message|>Look.<|end|><|start|>assistant<|channel|>commentary"
            ' to=functions.weather <|constrain|>json<|message|>{"city": "Paris"}',
            "<|channel|>final<|message|>Sun.",
        ],
    )
    conversation = vatra.Conversation(model, tools=TOOLS)
    steps = conversation.say("Hi")
    assert "".join(step.text for step in steps) == "Hello!" and steps.reasoning == "Hm."
    steps = conversation.say("Weather?")
    assert "".join(step.text for step in steps) == ""
    assert "<|channel|>final<|message|>Hello!<|end|>" in model.prompts[1]
    assert "Hm." not in model.prompts[1]  # earlier thinking is not shown again
    (call,) = steps.tool_calls
    assert (call.name, call.arguments) == ("weather", {"city": "Paris"})
    steps = conversation.tell({call.id: "sunny"})
    assert "".join(step.text for step in steps) == "Sun."
    assert model.prompts[2].startswith(model.prompts[1].removesuffix("<|start|>assistant"))
    assert "<|channel|>analysis<|message|>Look.<|end|>" in model.prompts[2]
    assert '<|message|>{"city": "Paris"}<|call|>' in model.prompts[2]
    assert (
        'functions.weather to=assistant<|channel|>commentary<|message|>"sunny"' in model.prompts[2]
    )
    assert [m["role"] for m in conversation.messages] == [
        "user", "assistant", "user", "assistant", "tool", "assistant"
    ]  # fmt: skip


def test_qwen_is_prompted_with_what_it_wrote(shared: Path) -> None:
    said = (
        "<think>\nLook.\n</think>\n\n<tool_call>\n"
        '{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'
    )
    model = Scripted(
        shared / "templates" / "Qwen-Qwen3-0.6B.jinja", [said, "<think>\nx\n</think>\n\nSun."]
    )
    conversation = vatra.Conversation(model, system="Be kind.", tools=TOOLS)
    steps = conversation.say("Weather?")
    assert [step.text for step in steps if step.text] == []
    conversation.tell({steps.tool_calls[0].id: "sunny"})
    assert model.prompts[1].startswith(model.prompts[0] + said)
    conversation.clear()
    assert conversation.messages == [{"role": "system", "content": "Be kind."}]


def test_only_calls_have_results(shared: Path) -> None:
    model = Scripted(shared / "templates" / "Qwen-Qwen3-0.6B.jinja", ["Hello."])
    conversation = vatra.Conversation(model, tools=TOOLS)
    with pytest.raises(vatra.UsageError, match="wanted none, as there was no call"):
        conversation.tell({"call00000": "x"})
    list(conversation.say("Hi"))
    with pytest.raises(vatra.UsageError, match="got those of a, wanted none"):
        conversation.tell({"a": "x"})
    assert len(conversation.messages) == 2


def test_chat_has_calls(shared: Path) -> None:
    said = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'
    model = Scripted(shared / "templates" / "Qwen-Qwen3-0.6B.jinja", [said])
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Weather?"}]
    ids, answer = model.chat_prompt(messages, TOOLS, enable_thinking=False)
    assert "".join(map(chr, ids)).endswith("<think>\n\n</think>\n\n")
    assert '"name": "weather"' in "".join(map(chr, ids))
    answer.push(said)
    assert [(c.name, c.id) for c in answer.tool_calls] == [("weather", "call00000")]
    later = [
        *messages,
        {"role": "assistant", "content": "", "tool_calls": [answer.tool_calls[0].message()]},
    ]
    assert model.chat_prompt(later, TOOLS)[1].push(said)[0].call == ToolCall(
        "weather", {"city": "Paris"}, "call00001"
    )


def test_thinking_is_noted_apart_from_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    said: Any = ScriptedSession(
        [char.encode() for char in "<think>Hm.</think>Yes<tool_call>[{}]</tool_call>"]
    )
    answer = Answer(syntax_of("<tool_call>"))
    shown: Any = SimpleNamespace(clear=lambda: None)
    stream(Steps(said, GREEDY, answer=answer), shown, Interrupt(), PlainPage())
    assert capsys.readouterr() == ("Yes<tool_call>[{}]</tool_call>\n", "Hm.\n")
    said = ScriptedSession([b'<think>Hm.</think><tool_call>{"name": "f"}</tool_call>'])
    stream(
        Steps(said, GREEDY, answer=Answer(syntax_of("<tool_call>"))),
        shown,
        Interrupt(),
        PlainPage(),
    )
    assert capsys.readouterr() == ("", "Hm.\n(a call: f {})\n")


def test_what_is_looked_for_has_an_end() -> None:
    texts = [str(i) for i in range(MOST_TEXTS + 1)]
    StopStrings(texts[1:])
    vatra.Sampling(dry_breakers=tuple(texts[1:]))
    with pytest.raises(UsageError, match="stop: got 257 strings, wanted at most 256"):
        StopStrings(texts)
    with pytest.raises(UsageError, match="dry_breakers: got 257 texts, wanted at most 256"):
        vatra.Sampling(dry_breakers=tuple(texts))
