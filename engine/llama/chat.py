"""Answers of a chat, whole and in parts, with calls of tools."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vatra.engine.constraint import Grammar
from vatra.engine.llama.errors import WrongArgument
from vatra.engine.llama.responses import (
    Head,
    Response,
    chat_logprobs,
    named_call,
    tool_call,
    usage,
)
from vatra.engine.llama.writing import Writing
from vatra.formats.answers import message as as_message

Tool = Mapping[str, Any]


def tools_of(tools: Sequence[Tool] | None, functions: Sequence[Tool] | None) -> list[Tool] | None:
    """All tools, also those in the older form of functions; WrongArgument for what is none."""
    if functions is not None:
        tools = [{"type": "function", "function": function} for function in functions]
    for i, tool in enumerate(tools or ()):
        match tool:
            case {"function": {"name": str()}}:
                continue
        wanted = '{"type": "function", "function": {"name": ..., "parameters": ...}}'
        raise WrongArgument(f"tools[{i}]: got {tool!r:.80}, wanted {wanted}")
    return list(tools) if tools else None


def choice_of(tool_choice: Any, function_call: Any, tools: Sequence[Tool] | None) -> str | None:
    """ "none", "auto", "required", or ":name" of the function that must be called.

    None where nothing is said. Raises WrongArgument for a function that is not among `tools`.
    """
    names = [tool["function"]["name"] for tool in tools or ()]
    given = tool_choice if function_call is None else function_call
    match given:
        case None | "none" | "auto":
            return given
        case "required" if names:
            return given
        case {"function": {"name": name}} | {"name": name} if name in names:
            return f":{name}"
    wanted = ", ".join(['"none", "auto"', *(['"required"'] if names else []), *names])
    raise WrongArgument(f"tool_choice: got {given!r:.80}, wanted one of {wanted}")


def forced(choice: str | None, tools: Sequence[Tool] | None) -> Grammar | None:
    """The grammar of a call that must be made: of its arguments, or of any call."""
    if choice in (None, "none", "auto"):
        return None
    functions = {tool["function"]["name"]: tool["function"] for tool in tools or ()}
    if choice != "required":
        name = str(choice)[1:]
        return Grammar.json_schema(_parameters(functions[name]), f"parameters of {name}")
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": name}, "arguments": _parameters(function)},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for name, function in functions.items()
    ]
    return Grammar.json_schema({"anyOf": calls}, "parameters of the tools")


def for_format(response_format: Any) -> Grammar | None:
    """The grammar of a `response_format`: {"type": "text" or "json_object", "schema": ...}.

    OpenAI's newer {"type": "json_schema", "json_schema": {"schema": ...}} is taken as well.
    """
    match response_format:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object", "schema": schema} if schema:
            pass
        case {"type": "json_object"}:
            schema = None
        case {"type": "json_schema", "json_schema": {"schema": schema}}:
            pass
        case _:
            raise WrongArgument(
                f"response_format: got {response_format!r:.80}, "
                'wanted {"type": "json_object", "schema": ...} or {"type": "text"}'
            )
    return Grammar.json() if schema is None else Grammar.json_schema(schema)


def _parameters(function: Mapping[str, Any]) -> Mapping[str, Any]:
    return function.get("parameters") or {"type": "object"}


def whole(writing: Writing, head: Head, choice: str | None) -> Response:
    """The answer; the thinking of a model is its "reasoning_content"."""
    text = reasoning = ""
    calls: list[Response] = []
    tokens = []
    for step in writing.steps():
        text += step.text
        reasoning += step.reasoning
        calls += map(tool_call, step.tool_calls)
        tokens += writing.likelihood(step)
    finish_reason = writing.finish_reason
    made = _forced_call(choice, text, head)
    calls = calls if made is None else [made]
    message = as_message(text, reasoning)
    if calls:
        message["content"] = None if made else text or None
        message["tool_calls"] = calls
        finish_reason = "tool_calls"
    if made:
        message["function_call"] = made["function"]
    logprobs = None if writing.logprobs is None else chat_logprobs(tokens)
    return head.chat(message, logprobs, finish_reason, usage(len(writing.ids), writing.n_tokens))


def parts(writing: Writing, head: Head, choice: str | None) -> Iterator[Response]:
    """The same as it is written; a call whose form is not known before comes whole."""
    one = choice is not None and choice.startswith(":")
    nothing: Response = {**_NO_CALL, "role": None} if one else {}
    yield head.chat_chunk({**(_NO_CALL if one else {}), "role": "assistant"})
    n_calls = 0
    text = ""
    for step in writing.steps():
        tokens = writing.likelihood(step)
        logprobs = chat_logprobs(tokens) if tokens else None
        delta: Response = {"content": step.text} if step.text or tokens else {}
        if step.reasoning:
            delta["reasoning_content"] = step.reasoning
        if step.tool_calls:
            calls = [tool_call(call) for call in step.tool_calls]
            delta["tool_calls"] = [{"index": n_calls + i, **c} for i, c in enumerate(calls)]
            n_calls += len(calls)
        if choice == "required":
            text += step.text
            delta = {"content": None} if tokens else {}
        elif one and delta:
            n_calls = 1
            delta = _delta_of_call(_call(str(choice)[1:], step.text, head))
        if delta:
            yield head.chat_chunk(delta, logprobs)
    if choice == "required" and text:
        made = _forced_call(choice, text, head)
        n_calls = int(made is not None)
        yield head.chat_chunk({"content": text} if made is None else _delta_of_call(made))
    yield head.chat_chunk(nothing, None, "tool_calls" if n_calls else writing.finish_reason)


_NO_CALL: Response = {"content": None, "function_call": None, "tool_calls": None}


def _delta_of_call(call: Response) -> Response:
    return {
        "role": None,
        "content": None,
        "function_call": call["function"],
        "tool_calls": [{"index": 0, **call}],
    }


def _forced_call(choice: str | None, text: str, head: Head) -> Response | None:
    """The call that `text` is if one was forced; None for any call that was cut off."""
    if choice is not None and choice.startswith(":"):
        return _call(choice[1:], text, head)
    if choice == "required":
        try:
            written = json.loads(text)
        except ValueError:
            return None
        arguments = json.dumps(written["arguments"], ensure_ascii=False)
        return _call(written["name"], arguments, head)
    return None


def _call(name: str, arguments: str, head: Head) -> Response:
    return named_call(f"call__0_{name}_{head.id}", name, arguments)
