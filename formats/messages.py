"""Messages in the forms that chat templates read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

REASONING = ("reasoning_content", "thinking", "reasoning")  # names of it, the usual one first
THINKING_PART = "'thinking'] + '[/THINK]'"  # of a template that reads thinking as part of a content

Message = Mapping[str, Any]  # "role", "content" and whatever else the template knows


def as_read(message: Any, source: str) -> Any:
    """A message as the template `source` reads it.

    Its reasoning stands under each name that templates have for it, and arguments of tool calls
    that are JSON text are mappings.
    """
    if not isinstance(message, Mapping):
        return message
    read = dict(message)
    reasoning = next((read[name] for name in REASONING if read.get(name) is not None), None)
    if reasoning is not None:
        read = {"thinking": reasoning, **read, "reasoning_content": reasoning}
        if "reasoning_content" not in source:
            read.setdefault("reasoning", reasoning)
        if THINKING_PART in source and isinstance(read.get("content"), str):
            said = [{"type": "text", "text": read["content"]}] if read["content"] else []
            read["content"] = [{"type": "thinking", "thinking": reasoning}, *said]
        if "<|channel|>analysis" in source and read.get("tool_calls") and read.get("content"):
            # What is said before a call is thinking there, and may stand in one place only.
            read["thinking"] = f"{reasoning}\n\n{read.pop('content')}"
    return _with_arguments(read, _mapping)


def as_text(message: Any) -> Any:
    """A message with the arguments of its tool calls as JSON text, which a few templates want."""
    return _with_arguments(message, _json)


def _with_arguments(message: Any, change: Callable[[Any], Any]) -> Any:
    calls = message.get("tool_calls") if isinstance(message, Mapping) else None
    if not isinstance(calls, (list, tuple)):
        return message
    return {**message, "tool_calls": [_changed(call, change) for call in calls]}


def _changed(call: Any, change: Callable[[Any], Any]) -> Any:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or "arguments" not in function:
        return call
    return {**call, "function": {**function, "arguments": change(function["arguments"])}}


def _mapping(arguments: Any) -> Any:
    """The mapping that a JSON text is, or else the text itself."""
    if not isinstance(arguments, str):
        return arguments
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    return value if isinstance(value, dict) else arguments


def _json(arguments: Any) -> Any:
    return json.dumps(arguments, ensure_ascii=False) if isinstance(arguments, dict) else arguments
