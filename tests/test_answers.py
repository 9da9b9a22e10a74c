"""Answers: thinking, content and tool calls of every family, told apart and never lost."""
# ruff: noqa: E501  (answers are one line each)

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vatra.errors import BadFile, UsageError
from vatra.formats.answer_syntax import FAMILIES, PLAIN, Syntax, family_of, syntax_of
from vatra.formats.answers import MOST_CALL, Answer, Part
from vatra.formats.chat_template import ChatTemplate
from vatra.formats.literals import Malformed, Unfinished, json_value, literal
from vatra.formats.tool_calls import ToolCall, types_of

USER = {"role": "user", "content": "QQ"}
PROPERTIES = {
    "city": {"type": "string", "description": "c"},
    "n": {"type": "integer", "description": "n"},
    "o": {"type": "object", "description": "o", "additionalProperties": {"type": "string"}},
    "q": {"type": "string", "description": "q"},
}


def tool(name: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": PROPERTIES, "required": ["city"]}
    function = {"name": name, "description": "D", "parameters": parameters}
    return {"type": "function", "function": function}


def call(name: str, arguments: dict[str, Any], id: str) -> dict[str, Any]:
    return ToolCall(name, arguments, id).message()


TOOLS = [tool("get_weather"), tool("add_two")]
CALLS = [
    call("get_weather", {"city": 'Paris "x" it\'s', "n": 1, "o": {"k": [1, 2.5, True]}}, "call00001"),
    call("add_two", {"q": "7\nb <b>"}, "call00002"),
]  # fmt: skip


MARKS_OF_THINKING = {"gemma": "<|channel>thought", "command-a": "<|START_THINKING|>"}


def syntax(family: str) -> Syntax:
    return syntax_of(" ".join([*FAMILIES[family].marks, MARKS_OF_THINKING.get(family, "")]))


def pieces(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]


def read(
    syntax: Syntax, text: str, size: int = 10**9, prompt: str = "", tools: Any = TOOLS
) -> tuple[Answer, list[Part]]:
    answer = Answer(syntax, tools, prompt)
    parts = [part for piece in pieces(text, size) for part in answer.push(piece)]
    return answer, parts + answer.finish()


def found(answer: Answer) -> tuple[str, str, list[tuple[str, dict[str, Any]]]]:
    return answer.reasoning, answer.content, [(c.name, c.arguments) for c in answer.tool_calls]


# --- real templates: what they write for a message is read back as that message

# Where a turn ends: tokens that end an answer, and what a template writes after them.
ENDS = re.compile(
    r"\s*(<\|im_end\|>|</s>|<\|eot_id\|>|<\|eom_id\|>|<\|return\|>|<\|call\|>|<\|calls\|>"
    r"|<\|START_OF_TURN_TOKEN\|>|<\|END_OF_TURN_TOKEN\|>|<\|end_of_msg\|>|<\|end_of_text\|>"
    r"|<｜end▁of▁sentence｜>|<seed:eos>"
    r"|<end_of_sentence>|\[e~\[|<sep>|<end_of_turn>|<turn\|>|</assistant>|<\|role_end\|>"
    r"|<｜hy_eos:opensource｜>|<SPECIAL_12>|<\|eot\|>|<\|end\|>\s*(</s>|\Z)).*",
    re.DOTALL,
)
# What of a message each template writes: c a call, C two calls, t thinking, T thinking and a call.
WRITES = {
    "Apertus-8B-Instruct": "-cC",
    "Apriel-1.6-15b-Thinker-fixed": "-cCtT",
    "Bielik-11B-v3.0-Instruct": "-cCtT",
    "ByteDance-Seed-OSS": "-cCtT",
    "Cohere2MoE": "-cCtT",
    "CohereForAI-c4ai-command-r-plus-tool_use": "-cC",
    "CohereForAI-c4ai-command-r7b-12-2024-tool_use": "-cCT",
    "GLM-4.6": "-cCtT",
    "GLM-4.7-Flash": "-cCtT",
    "GigaChat3-10B-A1.8B": "-c",
    "GigaChat3.1-10B-A1.8B": "-c",
    "HuggingFaceTB-SmolLM3-3B": "-",
    "Kimi-K2-Instruct": "-",
    "Kimi-K2-Thinking": "-",
    "Kimi-K3": "-cCtT",
    "LFM2-8B-A1B": "-",
    "LFM2.5-8B-A1B": "-cCtT",
    "LFM2.5-Instruct": "-",
    "MiMo-VL": "-cC",
    "MiniMax-M1": "-cC",
    "MiniMax-M2": "-cCtT",
    "MiniMax-M3": "-cCtT",
    "Mistral-Small-3.2-24B-Instruct-2506": "-cC",
    "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": "-cCtT",
    "NVIDIA-Nemotron-Nano-v2": "cC",
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use": "-cC",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use": "-cC",
    "Qwen-QwQ-32B": "-cC",
    "Qwen-Qwen2.5-7B-Instruct": "-cC",
    "Qwen-Qwen3-0.6B": "-cCtT",
    "Qwen3-Coder": "-cC",
    "Qwen3.5-4B": "-cCtT",
    "Reka-Edge": "-cCtT",
    "Spark2.5": "-cCtT",
    "StepFun3.5-Flash": "-cCtT",
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": "-",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": "-cC",
    "deepseek-ai-DeepSeek-V3.1": "-cC",
    "deepseek-ai-DeepSeek-V3.2": "-cCtT",
    "deepseek-ai-DeepSeek-V4-Flash-0731": "-cCtT",
    "deepseek-ai-DeepSeek-V4": "-cCtT",
    "fireworks-ai-llama-3-firefunction-v2": "-cC",
    "google-gemma-2-2b-it": "-",
    "google-gemma-4-31B-it-interleaved": "-cCT",
    "google-gemma-4-31B-it": "-cCT",
    "ibm-granite-granite-3.3-2B-Instruct": "-",
    "ibm-granite-granite-4.0": "-cC",
    "ibm-granite-granite-4.1": "-cC",
    "inclusionai-ling-3.0-flash": "-cCtT",
    "llama-cpp-deepseek-r1": "-cC",
    "llama-cpp-rwkv-world": "-",
    "meetkai-functionary-medium-v3.1": "-cC",
    "meetkai-functionary-medium-v3.2": "-cC",
    "meta-llama-Llama-3.1-8B-Instruct": "-c",
    "meta-llama-Llama-3.2-3B-Instruct": "-c",
    "meta-llama-Llama-3.3-70B-Instruct": "-c",
    "microsoft-Phi-3.5-mini-instruct": "-",
    "mistralai-Ministral-3-14B-Reasoning-2512": "-cCtT",
    "mistralai-Mistral-Nemo-Instruct-2407": "-cC",
    "moonshotai-Kimi-K2": "-cC",
    "muse-glimmer": "-cCtT",
    "openai-gpt-oss-120b": "-ctT",
    "openbmb-MiniCPM5-1B": "-cCtT",
    "poolside-Laguna-S-2.1": "-cCtT",
    "poolside-Laguna-XS-2.1": "-cCtT",
    "poolside-Laguna-XS.2": "-cCtT",
    "tencent-Hy3": "-cCtT",
    "unsloth-Apriel-1.5": "-cC",
    "unsloth-mistral-Devstral-Small-2507": "-cC",
    "upstage-Solar-Open-100B": "-cCtT",
}


def rendered(template: ChatTemplate, messages: list[Any], prompt: bool, **kwargs: Any) -> str:
    return "".join(segment.text for segment in template.render(messages, prompt, **kwargs))


def written(template: ChatTemplate, said: dict[str, Any], **kwargs: Any) -> tuple[str, str]:
    """A prompt, and the answer to it that the template writes for a message."""
    prompt = rendered(template, [USER], True, **kwargs)
    text = rendered(template, [USER, {"role": "assistant", **said}], False, **kwargs)
    common = os.path.commonprefix([prompt, text])
    if "command-r-plus" in template.path:  # says more to the model before its turn
        common = text[: text.rindex("<|CHATBOT_TOKEN|>") + len("<|CHATBOT_TOKEN|>")]
    if common != prompt:  # such as thinking that only the prompt has: they part before a tag
        common = re.sub(r"<[^<>\s]*\Z", "", common)
        opened = "reasoning_content" in said and "Apriel-1.6" in template.path
        prompt = prompt if opened else common
    return prompt, ENDS.sub("", text[len(common) :])


def what_it_writes(path: Path) -> str:
    source = path.read_text(encoding="utf-8")
    template = ChatTemplate(source, "<s>", "</s>", path=path.name, control=())
    # Of a template that wants variables of its own, and of one that can not show tools.
    kwargs: dict[str, Any] = {"functions": "", "datetime": ""}
    kwargs["tools"] = None if path.name == "llama-cpp-deepseek-r1.jinja" else TOOLS
    fine = ""
    messages: list[tuple[str, dict[str, Any]]] = [
        ("-", {"content": "CC"}),
        ("c", {"content": "", "tool_calls": CALLS[:1]}),
        ("C", {"content": "", "tool_calls": CALLS}),
        ("t", {"content": "CC", "reasoning_content": "RR\nR"}),
        ("T", {"content": "", "reasoning_content": "RR\nR", "tool_calls": CALLS[:1]}),
    ]
    for kind, said in messages:
        thinks = "reasoning_content" in said
        try:
            prompt, text = written(
                template, said, enable_thinking=thinks, thinking=thinks, **kwargs
            )
        except (BadFile, UsageError):
            continue  # some show one call only, or none
        results = []
        for size in (1, 3, len(text) + 1):
            answer, parts = read(syntax_of(source), text, size, prompt)
            assert "".join(part.raw for part in parts) == text, (path.name, kind)
            results.append(found(answer))
        assert results[0] == results[1] == results[2], (path.name, kind)
        reasoning, content, calls = results[0]
        made = [call["function"] for call in said.get("tool_calls", ())]
        if (reasoning, content.strip(), calls) == (
            said.get("reasoning_content", ""),
            said["content"],
            [(function["name"], function["arguments"]) for function in made],
        ):
            fine += kind
    return fine


def test_templates_are_read_back(shared: Path) -> None:
    paths = sorted((shared / "templates").glob("*.jinja"))
    assert {path.stem: what_it_writes(path) for path in paths} == WRITES


# --- answers as models write them

WEATHER = ("get_weather", {"city": "Paris"})
ADD = ("add_two", {"q": "a"})
BOTH = [WEATHER, ADD]
JSON = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
JSON_2 = '{"name": "add_two", "arguments": {"q": "a"}}'

# Of a family: the answer, its thinking, its content, its calls.
ANSWERS: list[tuple[str, str, str, str, list[tuple[str, dict[str, Any]]]]] = [
    ("hermes", "<think>\nhm\n</think>\n\nyes", "hm", "yes", []),
    ("hermes", f"Let me see.\n<tool_call>\n{JSON}\n</tool_call>\n<tool_call>{JSON_2}</tool_call>",
     "", "Let me see.", BOTH),
    ("hermes", f"<think>a</think>\n<tool_call>{JSON}</tool_call>\n\nDone.", "a", "Done.", [WEATHER]),
    ("hermes", f"<tool_call>[{JSON}, {JSON_2}]</tool_call>", "", "", BOTH),
    ("hermes", f"<tool_call>{JSON}", "", "", [WEATHER]),  # its end was left out
    ("hermes", '<tool_call>{"name": "add_two", "arguments": {"q": "</tool_call>"}}</tool_call>',
     "", "", [("add_two", {"q": "</tool_call>"})]),
    ("hermes", '<tool_call>{"name": "add_two", "arguments": "{\\"q\\": \\"a\\"}"}</tool_call>', "", "", [ADD]),
    ("hermes", '<tool_call>{"name": "get_weather"}</tool_call>', "", "", [("get_weather", {})]),
    ("hermes", '<tool_call>{"function": {"name": "add_two", "arguments": {"q": "a\nb"}}}</tool_call>',
     "", "", [("add_two", {"q": "a\nb"})]),
    ("hermes", "What <think> means: </think> and <tool_calls>.", "",
     "What <think> means: </think> and <tool_calls>.", []),
    ("granite-3", f"<|tool_call|>[{JSON}]", "", "", [WEATHER]),
    ("granite-3", f"<|tool_call|>[{JSON},{JSON_2}]<|/tool_call|>", "", "", BOTH),
    ("granite-3", "<think>a</think>\n<response>b</response>", "a", "b", []),
    ("qwen-xml", "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>"
     "\n</tool_call>", "", "", [WEATHER]),
    ("qwen-xml", "<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call>",
     "", "", [WEATHER]),
    ("qwen-xml", "<function=add_two>\n<parameter=q>\n<parameter=q></parameter> x </function>\n</parameter>"
     "\n</function>", "", "", [("add_two", {"q": "<parameter=q></parameter> x </function>"})]),
    ("qwen-xml", "<function=unknown>\n<parameter=a>\n-1.5\n</parameter>\n<parameter=b>\n{'k': None}\n"
     "</parameter>\n<parameter=c>\nx\n\n</parameter></function>", "", "",
     [("unknown", {"a": -1.5, "b": {"k": None}, "c": "x\n"})]),
    ("glm", "<think></think><tool_call>get_weather<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>"
     "</tool_call><tool_call>f</tool_call>", "", "", [WEATHER, ("f", {})]),
    ("deepseek", "a</think><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>"
     '{"city": "Paris"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>', "", "a</think>", [WEATHER]),
    ("deepseek", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n"
     '{"city": "Paris"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>', "", "", [WEATHER]),
    ("kimi-k2", "<|tool_calls_section_begin|><|tool_call_begin|>get_weather<|tool_call_argument_begin|>"
     '{"city": "Paris"}<|tool_call_end|><|tool_calls_section_end|>', "", "", [WEATHER]),
    ("gpt-oss", "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>yes",
     "hm", "yes", []),
    ("gpt-oss", "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary"
     ' to=functions.get_weather <|constrain|>json<|message|>{"city": "Paris"}<|call|>', "hm", "", [WEATHER]),
    ("gpt-oss", '<|channel|>commentary<|message|>I look.<|end|><|start|>assistant to=functions.get_weather'
     '<|channel|>commentary json<|message|>{"city": "Paris"}', "", "I look.", [WEATHER]),
    ("gpt-oss", "no channel", "", "no channel", []),
    ("functionary-3.2", 'get_weather\n{"city": "Paris"}>>>add_two\n{"q": "a"}', "", "", BOTH),
    ("functionary-3.2", "all\nI look.>>>add_two\n{\"q\": \"a\"}", "", "I look.", [ADD]),
    ("functionary-3.1", '<function=get_weather>{"city": "Paris"}</function>', "", "", [WEATHER]),
    ("llama", '{"name": "get_weather", "parameters": {"city": "Paris"}}', "", "", [WEATHER]),
    ("llama", ' {"type": "function", "name": "add_two", "parameters": {"q": "a"}}', "", "", [ADD]),
    ("llama", '<|python_tag|>{"name": "add_two", "parameters": {"q": "a"}}', "", "", [ADD]),
    ("llama", '{"name": "Paris", "people": 2}', "", '{"name": "Paris", "people": 2}', []),
    ("llama", 'As {"name": "add_two", "parameters": {}} shows', "",
     'As {"name": "add_two", "parameters": {}} shows', []),
    ("mistral", f"[TOOL_CALLS][{JSON}, {JSON_2}]", "", "", BOTH),
    ("mistral", 'I look.[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}[TOOL_CALLS]add_two[CALL_ID]abc[ARGS]'
     '{"q": "a"}', "", "I look.", BOTH),
    ("mistral", '[TOOL_CALLS]add_two[ARGS]{"q": "[TOOL_CALLS]"}', "", "",
     [("add_two", {"q": "[TOOL_CALLS]"})]),
    ("firefunction", f" functools[{JSON}, {JSON_2}]", "", "", BOTH),
    ("lfm-listed", "<|tool_call_start|>[get_weather(city='Paris'), add_two(q=\"a\")]<|tool_call_end|>ok",
     "", "ok", BOTH),
    ("lfm", "<|tool_call_start|>[f(a=[1, -2.5e3], b={'k': None, 'l': true}, c='it\\'s', d=())]"
     "<|tool_call_end|>", "", "",
     [("f", {"a": [1, -2500.0], "b": {"k": None, "l": True}, "c": "it's", "d": []})]),
    ("gemma", '<|channel>thought\nhm\n<channel|><|tool_call>call:add_two{q:<|"|>a<|"|>,k:[1,{b:true}]}'
     "<tool_call|><|tool_response>", "hm", "", [("add_two", {"q": "a", "k": [1, {"b": True}]})]),
    ("command-a", "<|START_THINKING|>hm<|END_THINKING|><|START_ACTION|>[\n"
     '{"tool_call_id": "0", "tool_name": "add_two", "parameters": {"q": "a"}}\n]<|END_ACTION|>',
     "hm", "", [ADD]),
    ("command-r", 'Plan\nAction:\n```json\n[{"tool_name": "add_two", "parameters": {"q": "a"}}]```', "", "Plan", [ADD]),
    ("gigachat", f"ok<|message_sep|>\n\nfunction call<|role_sep|>\n{JSON}", "", "ok", [WEATHER]),
    ("apertus", '<|tools_prefix|>[{"add_two": {"q": "a"}}]<|tools_suffix|>', "", "", [ADD]),
]  # fmt: skip


@pytest.mark.parametrize(("family", "text", "reasoning", "content", "calls"), ANSWERS)
def test_answers(
    family: str, text: str, reasoning: str, content: str, calls: list[tuple[str, dict[str, Any]]]
) -> None:
    for size in (1, 2, 5, len(text)):
        answer, parts = read(syntax(family), text, size)
        assert found(answer) == (reasoning, content, calls), size
        assert "".join(part.raw for part in parts) == text
        assert "".join(part.text for part in parts if part.kind == "content") == content


def test_every_family_is_tested(shared: Path) -> None:
    sources = [p.read_text(encoding="utf-8") for p in (shared / "templates").glob("*.jinja")]
    assert {family for family, *_ in ANSWERS} | {family_of(s) for s in sources} == {*FAMILIES, ""}
    assert len({family_of(source) for source in sources}) > 25


def test_a_template_of_its_own_has_no_calls() -> None:
    answer, _ = read(syntax_of("{{ messages[0].content }}"), f"<tool_call>{JSON}</tool_call> ")
    assert found(answer) == ("", f"<tool_call>{JSON}</tool_call> ", [])


# --- what is no call is content


@pytest.mark.parametrize(
    ("family", "text"),
    [
        ("hermes", "<tool_call>"),
        ("hermes", "<tool_call></tool_call>"),
        ("hermes", "<tool_call>\nnothing\n</tool_call>"),
        ("hermes", '<tool_call>{"name": "f", "arguments": {"q": 1}</tool_call>'),
        ("hermes", '<tool_call>{"name": "f", "arguments": {"q": NaN}}</tool_call>'),
        ("hermes", '<tool_call>{"name": "f", "arguments": [1]}</tool_call>'),
        ("hermes", '<tool_call>{"name": "", "arguments": {}}</tool_call>'),
        ("hermes", '<tool_call>{"name": 1, "arguments": {}}</tool_call>'),
        ("hermes", '<tool_call>{"arguments": {}, "id": "x"}</tool_call>'),
        ("hermes", '<tool_call>{"name": "f", "arguments": {"n": ' + "9" * 5000 + "}}</tool_call>"),
        ("hermes", "<tool_call>" + "[" * 100_000 + "</tool_call>"),
        ("hermes", '<tool_call>{"name": "f", "arguments": {"q": "a'),
        ("qwen-xml", "<function=f>\n<parameter=q>\na"),
        ("qwen-xml", "<function=f>a</function>"),
        ("glm", "<tool_call>f\n<arg_key>a</arg_key></tool_call>"),
        ("mistral", "[TOOL_CALLS]f[ARGS]{"),
        ("mistral", "[TOOL_CALLS] f"),
        ("lfm", "<|tool_call_start|>[f(a=1]<|tool_call_end|>"),
        ("lfm", "<|tool_call_start|>[f(a=b)]<|tool_call_end|>"),
        ("lfm", "<|tool_call_start|>[f(a=" + "[" * 100_000 + ")]<|tool_call_end|>"),
        ("lfm", "<|tool_call_start|>[f(a='b)]<|tool_call_end|>"),
        ("gemma", "<|tool_call>call:f{a:<tool_call|>"),
        ("minimax-m3", ']<]minimax[>[<invoke name="f">]<]minimax[>[<a>1]<]minimax[>[</b>'
         "]<]minimax[>[</invoke>"),
        ("gpt-oss", "<|channel|>commentary to=functions.f<|message|>{<|call|>"),
        ("firefunction", "functools[1]"),
    ],
)  # fmt: skip
def test_what_is_no_call_is_content(family: str, text: str) -> None:
    for before, after in (("", ""), ("well\n", ""), ("", "and so on")):
        answer, parts = read(syntax(family), before + text + after, 7)
        assert found(answer) == ("", before + text + after, []), (before, after)
        assert "".join(part.raw for part in parts) == before + text + after


def test_a_call_without_its_end_does_not_hold_back_the_rest() -> None:
    answer = Answer(syntax("hermes"), TOOLS)
    parts = answer.push('<tool_call>{"name": "f", "arguments": {}</tool_call> and ')
    assert "".join(part.text for part in parts).endswith("</tool_call> and")


def test_a_call_that_was_cut_is_not_made() -> None:
    answer, _ = read(syntax("qwen-xml"), "<function=add_two>\n<parameter=q>\nrm -rf /tmp")
    assert not answer.tool_calls


# --- streaming


def test_no_half_marker_is_shown() -> None:
    text = f"a < b\n<think>c</think>\n\n<tool_call>{JSON}</tool_call>"
    shown = []
    answer = Answer(syntax("hermes"), TOOLS)
    for char in text:
        shown += [(part.kind, part.text) for part in answer.push(char) if part.text]
    assert "".join(t for _, t in shown) == "a < b\n<think>c</think>"  # no thinking after content
    assert ("content", " <") in shown or ("content", "<") in shown  # let go once it is no marker
    first = Answer(syntax("hermes")).push("\n <thi")
    assert first == []


def test_text_is_shown_as_soon_as_it_is_certain() -> None:
    answer = Answer(syntax("hermes"), TOOLS)
    assert [(p.kind, p.text) for p in answer.push("<think>\nLet me")][-1] == ("reasoning", "Let me")
    assert [(p.kind, p.text) for p in answer.push(" see.\n")] == [("reasoning", " see.")]
    assert [p.kind for p in answer.push("</think>")] == ["markup"]
    assert [(p.kind, p.text) for p in answer.push("\n\nHello")] == [
        ("markup", ""),
        ("content", "Hello"),
    ]
    assert answer.push("\n") == []
    assert [p.text for p in answer.push(" x")] == ["\n x"]
    assert answer.push("<tool") == []
    assert [p.text for p in answer.push("box>")] == ["<toolbox>"]


@pytest.mark.parametrize(
    ("prompt", "text", "expected"),
    [
        ("<|im_start|>assistant\n<think>\n", "hm\n</think>\n\nyes", ("hm", "yes")),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", "yes", ("", "yes")),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", "<think>hm</think>yes", ("hm", "yes")),
        ("<|im_start|>assistant\n", "</think>\n\nyes", ("", "yes")),
        ("<|im_start|>assistant\n<think>\n", "hm", ("hm", "")),
        ("<think>x<|im_start|>assistant\n", "yes", ("", "yes")),
    ],
)
def test_thinking_that_the_prompt_began(prompt: str, text: str, expected: tuple[str, str]) -> None:
    for size in (1, 100):
        answer, parts = read(syntax("hermes"), text, size, prompt)
        assert (answer.reasoning, answer.content) == expected
        assert "".join(part.raw for part in parts) == text


def test_control_tokens_are_markers_or_not_seen() -> None:
    answer = Answer(syntax("gpt-oss"), TOOLS)
    for text, control in (
        ("<|channel|>", True), ("final", False), ("<|message|>", True), ("a", False),
        ("<|reserved|>", True), ("<|reserved|>", False), ("<|return|>", True),
    ):  # fmt: skip
        answer.push(text, control)
    answer.finish()
    assert answer.content == "a<|reserved|>"
    plain = Answer(PLAIN)
    assert plain.push("x", True) == [Part("content", "x", "")]
    assert plain.push(" y\n") == [Part("content", " y\n", " y\n")]


def test_ids_of_calls() -> None:
    answer = Answer(syntax("mistral"), TOOLS, first_call=3)
    answer.push("[TOOL_CALLS]f[ARGS]{}[TOOL_CALLS]f[CALL_ID]abc[ARGS]{}[TOOL_CALLS]f[ARGS]{}")
    answer.finish()
    assert [c.id for c in answer.tool_calls] == ["call00003", "abc", "call00005"]
    assert len(answer.tool_calls[0].id) == 9  # as Mistral's templates want it


def test_values_are_of_the_types_that_tools_say() -> None:
    properties = {
        "text": {"type": "string"}, "maybe": {"type": ["string", "null"]}, "number": {"type": "number"},
        "any": {"anyOf": [{"type": "string"}, {"type": "integer"}]}, "choice": {"enum": ["1", "2"]},
        "list": {"type": "array"}, "unknown": {},
    }  # fmt: skip
    tools = [
        {"type": "function", "function": {"name": "f", "parameters": {"properties": properties}}}
    ]
    values = {"text": "1", "maybe": "null", "number": "1", "any": "1", "choice": "1",
              "list": "['a', None]", "unknown": "true"}  # fmt: skip
    written = "".join(
        f"<parameter={name}>\n{value}\n</parameter>\n" for name, value in values.items()
    )
    answer, _ = read(syntax("qwen-xml"), f"<function=f>\n{written}</function>", tools=tools)
    assert answer.tool_calls[0].arguments == {
        "text": "1", "maybe": None, "number": 1, "any": "1", "choice": "1",
        "list": ["a", None], "unknown": True,
    }  # fmt: skip


@pytest.mark.parametrize("bad", [None, [{}], [{"function": 1}], [{"name": "f", "parameters": 1}],
                                 [{"name": "f", "parameters": {"properties": {"a": 1}}}]])  # fmt: skip
def test_odd_tools(bad: Any) -> None:
    assert all(isinstance(types, dict) for types in types_of(bad).values())


# --- hostile answers


FRAGMENTS = sorted(
    {
        piece
        for _, text, *_ in ANSWERS
        for piece in re.split(r"(<[^<>]*>|\[[A-Z_]+\]|[{}\[\]()\"',:]|\s+)", text)
        if piece
    }
    | {"</think>", "\n", " ", "<", "<|", "｜>", "[", "\\", "é", "😀"}
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    st.sampled_from(sorted(FAMILIES)),
    st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join),
    st.integers(1, 9),
    st.sampled_from(["", "<think>"]),
)
def test_nothing_is_lost(family: str, text: str, size: int, prompt: str) -> None:
    answer, parts = read(syntax(family), text, size, prompt)
    whole, _ = read(syntax(family), text, len(text) + 1, prompt)
    assert "".join(part.raw for part in parts) == text
    assert found(answer) == found(whole)
    for part in parts:
        assert part.text == "" or part.text == part.raw
        assert (part.call is not None) == (part.kind == "call")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.sampled_from(ANSWERS), st.integers(0, 300), st.integers(0, 300))
def test_cut_answers(example: tuple[str, str, str, str, list[Any]], cut: int, size: int) -> None:
    family, text, *_, calls = example
    answer, parts = read(syntax(family), text[:cut], size + 1)
    assert "".join(part.raw for part in parts) == text[:cut]
    assert [(c.name, c.arguments) for c in answer.tool_calls] == calls[: len(answer.tool_calls)]


def test_hostile_answers_take_no_time() -> None:
    floods = ["<tool_call>", "</tool_call>", '<tool_call>{"a": "', "<", "<think>", " ", "\n", "[TOOL_CALLS]",
              "<|channel|>", "<function=f>", "<parameter=a>", "</parameter>", "<arg_key>", "{", "[", "'",
              ">>>", "functools", "<|tool_call_start|>[f(a=", "\\", '"', "<|channel|>analysis", "]<]minimax[>[<a>",
              '<|open|>call tool="', "<parameter=a>\n</parameter> ", "</function> "]  # fmt: skip
    begin = time.perf_counter()
    for family in FAMILIES:
        for flood in floods:
            read(syntax(family), flood * (20_000 // len(flood)), 50)
    for opening, flood in (("<tool_call>", "</tool_call>"), ('<tool_call>"', "</tool_call>"),
                           ("<tool_call>", "x"), ("<tool_call>", '"\\')):  # fmt: skip
        answer, parts = read(
            syntax("hermes"), opening + flood * (2 * MOST_CALL // len(flood)), 4096
        )
        assert sum(len(part.raw) for part in parts) > 2 * MOST_CALL - 20
        assert not answer.tool_calls
    assert time.perf_counter() - begin < 30


def test_much_text_is_read_in_time() -> None:
    """A call's text is searched once, whatever its length."""
    text = '<tool_call>{"name": "f", "arguments": {"q": "' + "word " * 40_000 + '"}}</tool_call>'
    begin = time.perf_counter()
    answer, _ = read(syntax("hermes"), text, 5)
    assert len(answer.tool_calls[0].arguments["q"]) == 200_000
    assert time.perf_counter() - begin < 10


# --- values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-2.5e-3", -0.0025), ("True", True), ("null", None), ("'a'", "a"), ('"a"', "a"),
        ("[1, 'b', [],]", [1, "b", []]), ("{'a': {\"b\": None}}", {"a": {"b": None}}),
        ("(1, 2)", [1, 2]), (r"'\n\t\\\x41\u00e9\q'", "\n\t\\Aé\\q"), ("'it's'", "it's"),
        (" { } ", {}), ("{a: 1}", {"a": 1}),
    ],
)  # fmt: skip
def test_literals(text: str, value: Any) -> None:
    assert literal(text) == value


@pytest.mark.parametrize("text", ["", "x", "1 2", "[1", "{1: 2}", "[1,,2]", "__import__('os')", "1x",
                                  "[" * 1000, "9" * 5000, "f(1)", "{'a' 1}", "-"])  # fmt: skip
def test_what_is_no_literal(text: str) -> None:
    with pytest.raises(Malformed):
        literal(text)


def test_json_says_what_is_unfinished() -> None:
    assert json_value('{"a": 1} rest') == ({"a": 1}, 8)
    with pytest.raises(Unfinished):
        json_value('{"a": "b')
    for text in ('{"a": 1', "{'a'}", "[" * 100_000, "NaN"):
        with pytest.raises(Malformed) as caught:
            json_value(text)
        assert not isinstance(caught.value, Unfinished)
