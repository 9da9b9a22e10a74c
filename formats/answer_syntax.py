"""How each family of models writes its thinking and its tool calls, told by its chat template.

A row names what its template has (`marks`), and the blocks of an answer. Patterns are for the
package `regex`. They must match something, except ends and those that only look ahead; none may be
the beginning of another's match, as each matches as soon as it can; and a part that may be long
needs a bound, as text that may become a match is held back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from vatra.formats.tool_calls import (
    Read,
    between_tags,
    in_json,
    in_known_json,
    named_json,
    nested_tags,
    python_calls,
    quoted_mapping,
)

Kind = Literal["reasoning", "content", "calls"]

NAME = r"(?P<name>[^\s<>\"'{}\[\]|]{1,256})"  # of a function
QUOTED = r"(?P<name>[^\"<>\n]{1,256})"


@dataclass(frozen=True)
class Block:
    """A part of an answer, from a match of `begin` to the next match of `end`, or to the last sign.

    `first`: only before any content. `needs_tools`: only where the model was given tools.
    """

    kind: Kind
    begin: str
    end: str = ""
    read: Read | None = None
    first: bool = False
    needs_tools: bool = False


@dataclass(frozen=True)
class Syntax:
    """The blocks of an answer, and what is in it but not shown (a pattern, or "").

    `opened` is thinking that a prompt may already have begun.
    """

    blocks: tuple[Block, ...] = ()
    unseen: str = ""
    opened: Block | None = None


PLAIN = Syntax()  # all text is content


@dataclass(frozen=True)
class Family:
    """Templates in which all of `marks` occur."""

    marks: tuple[str, ...]
    blocks: tuple[Block, ...]
    unseen: str = ""


def _thinking(begin: str, end: str, first: bool = True) -> Block:
    return Block("reasoning", (r"\s{0,99}" if first else "") + begin, end, first=first)


def _calls(begin: str, end: str, read: Read, **where: bool) -> Block:
    return Block("calls", begin, end, read, **where)


# The first whose mark is in a template, however that deals with tools; some leave the usual tag
# to the model.
THINKING: tuple[tuple[str, Block], ...] = (
    ("<seed:think>", _thinking("<seed:think>", "</seed:think>")),
    ("<mm:think>", _thinking("<mm:think>", "</mm:think>")),
    ("<think{}>", _thinking(r"<think:\w{1,40}>", r"</think:\w{1,40}>")),
    ("[THINK]", _thinking(r"\[THINK\]", r"\[/THINK\]")),
    ("<|START_THINKING|>", _thinking(r"<\|START_THINKING\|>", r"<\|END_THINKING\|>")),
    ("<|channel>thought", _thinking(r"<\|channel>thought", r"<channel\|>", first=False)),
    ("to=self", _thinking(r"(?:<\|start\|>assistant)? to=self<\|message\|>", r"<\|eom\|>", False)),
    ("<|think|><|end|>", _thinking(r"<\|think\|>", r"<\|end\|>", False)),
    ("[BEGIN FINAL RESPONSE]", _thinking(
        r"Here are my reasoning steps:", r"\[BEGIN FINAL RESPONSE\]"
    )),
    ("<|open|>", _thinking(r"<\|open\|>think<\|sep\|>", r"<\|close\|>think<\|sep\|>")),
    ("", _thinking("<think>", "</think>")),
)  # fmt: skip

_HEADER = r"(?:<\|start\|>assistant)?"
_TO = r" to=(?:functions\.)?(?P<name>[\w.\-]{1,256})"
_REST = r"[^<]{0,99}(?:<\|constrain\|>[^<]{0,99})?<\|message\|>"
_HARMONY_END = r"<\|end\|>|<\|return\|>|<\|call\|>|(?=<\|start\|>)|(?=<\|channel\|>)"
_XML_ARGUMENT = (
    r"<parameter=(?P<key>[^>\n]{1,256})>\n?(?P<value>.*?)\n?</parameter>\s*+(?=<parameter=|\Z)"
)
_XML = between_tags(_XML_ARGUMENT)
_INVOKED = between_tags(
    r'<(?:\w{1,40}:)?parameter name="(?P<key>[^"]{1,256})">(?P<value>.*?)</(?:\w{1,40}:)?parameter>'
    r"\s*+(?=<(?:\w{1,40}:)?parameter |\Z)"
)
_KEYED = between_tags(
    r"<arg_key(?::\w+)?>(?P<key>.*?)</arg_key(?::\w+)?>\s*+<arg_value(?::\w+)?>(?P<value>.*?)"
    r"</arg_value(?::\w+)?>\s*+(?=<arg_key|\Z)"
)

FAMILIES: dict[str, Family] = {
    "gpt-oss": Family(
        ("<|channel|>", "analysis", "<|message|>"),
        (
            _calls(_HEADER + _TO + r"(?:<\|channel\|>" + _REST + r"|<\|message\|>)", _HARMONY_END,
                   named_json),
            _calls(_HEADER + r"<\|channel\|>(?:commentary|analysis)" + _TO + _REST, _HARMONY_END,
                   named_json),
            Block("reasoning", _HEADER + r"<\|channel\|>analysis" + _REST, _HARMONY_END),
            Block("content", _HEADER + r"<\|channel\|>(?:final|commentary)" + _REST, _HARMONY_END),
        ),
    ),
    "muse": Family(
        ("<atem:invoke",),
        (_calls(rf'<atem:invoke name="{QUOTED}">', "</atem:invoke>", _INVOKED),),
        _HEADER + r" to=[^<\s]{1,256}<\|message\|>|<\|eom\|>|<\|eot\|>|</?atem:function_calls>",
    ),
    "functionary-3.2": Family(
        (">>>all",),
        (
            Block("content", r"all\n", r"(?=>>>)", first=True),
            _calls(NAME + r"\n(?=\s{0,99}\{)", r"(?=>>>)", named_json, first=True),
            Block("content", r">>>all\n", r"(?=>>>)"),
            _calls(">>>" + NAME + r"\n(?=\s{0,99}\{)", r"(?=>>>)", named_json),
        ),
    ),
    "deepseek-dsml": Family(
        ("｜DSML｜",),
        (
            _calls(
                rf'<｜DSML｜invoke name="{QUOTED}">', "</｜DSML｜invoke>",
                between_tags(
                    r'<｜DSML｜parameter name="(?P<key>[^"]{1,256})" string="(?P<type>true|false)">'
                    r"(?P<value>.*?)</｜DSML｜parameter>\s*+(?=<｜DSML｜parameter |\Z)"
                ),
            ),
        ),
        "</?｜DSML｜(?:function_calls|tool_calls)>",
    ),
    "deepseek": Family(
        ("<｜tool▁call▁begin｜>",),
        (
            _calls(
                r"<｜tool▁call▁begin｜>(?:function<｜tool▁sep｜>(?P<name>[^\n<]{1,256})\n```json\n"
                r"|(?!function<｜tool▁sep｜)(?P<name>[^\n<]{1,256})<｜tool▁sep｜>)",
                "<｜tool▁call▁end｜>", named_json,
            ),
        ),
        "<｜tool▁calls▁(?:begin|end)｜>",
    ),
    "kimi-k2": Family(
        ("<|tool_call_argument_begin|>",),
        (
            _calls(
                r"<\|tool_call_begin\|>\s{0,9}(?P<id>(?:functions\.)?(?P<name>[^\s<:]{1,256})"
                r"(?::\d{1,9})?)\s{0,9}<\|tool_call_argument_begin\|>",
                r"<\|tool_call_end\|>", named_json,
            ),
        ),
        r"<\|tool_calls_section_(?:begin|end)\|>",
    ),
    "kimi-k3": Family(
        ("<|open|>", "call tool"),
        (
            _calls(
                rf'<\|open\|>call tool="{QUOTED}"[^<]{{0,99}}<\|sep\|><\|open\|>json[^<]{{0,99}}'
                r"<\|sep\|>", r"<\|close\|>json<\|sep\|><\|close\|>call<\|sep\|>", named_json,
            ),
            _calls(
                rf'<\|open\|>call tool="{QUOTED}"[^<]{{0,99}}<\|sep\|>'
                r"(?=<\|open\|>arg|<\|close\|>)",
                r"<\|close\|>call<\|sep\|>",
                between_tags(
                    r'<\|open\|>argument key="(?P<key>[^"]{1,256})" type="(?P<type>\w+)"<\|sep\|>'
                    r"(?P<value>.*?)<\|close\|>argument<\|sep\|>(?=<\|open\|>argument|\Z)"
                ),
            ),
        ),
        r"<\|(?:open|close)\|>(?:response|tools|message)[^<]{0,99}<\|sep\|>",
    ),
    "solar": Family(
        ("<|tool_call:begin|>",),
        (
            _calls(
                r"<\|tool_call:begin\|>(?P<id>[^<]{0,256})<\|tool_call:name\|>(?P<name>[^<]{1,256})"
                r"<\|tool_call:args\|>", r"<\|tool_call:end\|>", named_json,
            ),
        ),
        r"(?:<\|begin\|>assistant)?<\|(?:content|tool_calls)\|>|<\|begin\|>assistant|<\|end\|>"
        r"|<\|calls\|>",
    ),
    "minimax-m3": Family(
        ("]<]minimax[>[",),
        (
            _calls(
                rf'\]<\]minimax\[>\[<invoke name="{QUOTED}">', r"\]<\]minimax\[>\[</invoke>",
                nested_tags("]<]minimax[>["),
            ),
        ),
        r"\]<\]minimax\[>\[</?tool_call>",
    ),
    "minimax-m2": Family(
        ("<minimax:tool_call>",),
        (_calls(rf'<invoke name="{QUOTED}">', "</invoke>", _INVOKED),),
        "</?minimax:tool_call>",
    ),
    "seed": Family(
        ("<seed:tool_call>",),
        (_calls(r"<function=" + NAME + ">", "</function>", _XML),),
        "</?seed:tool_call>",
    ),
    "hunyuan": Family(
        ("<tool_call{}>", "<arg_key{}>"),
        (
            _calls(r"<tool_call:\w{1,40}>" + NAME + r"<tool_sep:\w{1,40}>",
                   r"</tool_call:\w{1,40}>", _KEYED),
        ),
        r"</?tool_calls:\w{1,40}>",
    ),
    "glm": Family(
        ("<arg_key>",),
        (_calls(r"<tool_call>\s{0,9}" + NAME + r"(?=\s{0,9}<)", "</tool_call>", _KEYED),),
    ),
    "qwen-xml": Family(
        ("<function=", "<parameter="),
        (_calls("<function=" + NAME + ">", "</function>", _XML),),
        "</?tool_call>",
    ),
    "minicpm": Family(
        ('<function name="',),
        (
            _calls(
                rf'<function name="{QUOTED}">', "</function>",
                between_tags(
                    r'<param name="(?P<key>[^"]{1,256})">'
                    r"(?:<!\[CDATA\[(?P<text>.*?)\]\]>|(?P<value>.*?))</param>"
                    r"\s*+(?=<param |\Z)"
                ),
            ),
        ),
    ),
    "functionary-3.1": Family(
        ("<function=",),
        (_calls("<function=" + NAME + ">", "</function>", named_json),),
    ),
    "gemma": Family(
        ("<|tool_call>call:",),
        (
            _calls(r"<\|tool_call>call:" + NAME + r"(?=\{)", r"<tool_call\|>",
                   quoted_mapping('<|"|>')),
        ),
        r"<\|tool_response>|<turn\|>|<channel\|>",
    ),
    "lfm": Family(
        ("<|tool_call_start|>",),
        (_calls(r"<\|tool_call_start\|>", r"<\|tool_call_end\|>", python_calls),),
    ),
    "lfm-listed": Family(  # whose templates leave calls to the model
        ("List of tools: ",),
        (_calls(r"<\|tool_call_start\|>", r"<\|tool_call_end\|>", python_calls),),
    ),
    "apertus": Family(
        ("<|tools_prefix|>",),
        (_calls(r"<\|tools_prefix\|>", r"<\|tools_suffix\|>", in_json),),
        r"<\|inner_(?:prefix|suffix)\|>",
    ),
    "command-a": Family(
        ("<|START_ACTION|>",),
        (_calls(r"<\|START_ACTION\|>", r"<\|END_ACTION\|>", in_json),),
        r"<\|(?:START|END)_(?:RESPONSE|TEXT)\|>",
    ),
    "command-r": Family(
        ("Action:\\n```json",),
        (_calls(r"Action:\s{0,9}```json(?=\s)", "```", in_json),),
    ),
    "gigachat": Family(
        ("<|role_sep|>",),
        (
            _calls(r"<\|function_call\|>", r"<\|message_sep\|>", in_json),
            _calls(r"function call<\|role_sep\|>", r"<\|message_sep\|>", in_json),
        ),
        r"<\|message_sep\|>",
    ),
    "nemotron": Family(
        ("<TOOLCALL>",), (_calls("<TOOLCALL>", "</TOOLCALL>", in_json),)
    ),
    "tool-calls": Family(  # Apriel, MiniMax-M1
        ("<tool_calls>",),
        (_calls("<tool_calls>", "</tool_calls>", in_json),),
        r"\[(?:BEGIN|END) FINAL RESPONSE\]",
    ),
    "mistral": Family(
        ("[TOOL_CALLS]",),
        (
            _calls(
                r"\[TOOL_CALLS\]" + NAME + r"(?:\[CALL_ID\](?P<id>\w{1,99}))?\[ARGS\]",
                r"(?=\[TOOL_CALLS\])", named_json,
            ),
            _calls(r"\[TOOL_CALLS\](?=\s{0,9}[\[{])", r"(?=\[TOOL_CALLS\])", in_json),
        ),
    ),
    "firefunction": Family(
        (" functools[",), (_calls(r"functools(?=\[)", "", in_json),)
    ),
    "hermes": Family(
        ("<tool_call>",), (_calls("<tool_call>", "</tool_call>", in_json),)
    ),
    "granite-3": Family(  # and Phi-4-mini, which ends it
        ("<|tool_call|>",),
        (_calls(r"<\|tool_call\|>", r"<\|/tool_call\|>", in_json),),
        "</?response>",
    ),
    "llama": Family(
        ("Environment: ipython",),
        (
            _calls(r"<\|python_tag\|>(?=\s{0,9}\{)", "", in_json),
            _calls(r"(?=\s{0,9}\{\s{0,9}\"(?:name|type|function|parameters)\"\s{0,9}:)", "",
                   in_known_json, first=True, needs_tools=True),
        ),
    ),
}  # fmt: skip


@lru_cache(maxsize=16)
def syntax_of(source: str) -> Syntax:
    """The syntax of the answers to a template's prompts."""
    family = family_of(source)
    found = FAMILIES[family] if family else Family((), ())
    if any(block.kind == "reasoning" for block in found.blocks):
        return Syntax(found.blocks, found.unseen)
    thinking = next(block for mark, block in THINKING if mark in source)
    return Syntax((thinking, *found.blocks), found.unseen, thinking)


def family_of(source: str) -> str:
    """The name of the family that a template is of; "" for one that has no tool calls."""
    return next((name for name, f in FAMILIES.items() if all(m in source for m in f.marks)), "")
