"""Messages and tools of a request, as chat templates are given them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from vatra.errors import WrongArgument

_ROLES = {"developer": "system", "function": "tool"}  # newer and older names
_TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
_PLAIN = ("name", "tool_call_id", "reasoning_content", "refusal")  # other fields that are texts


def as_messages(given: Any, own: bool = False) -> list[dict[str, Any]]:
    """Messages whose contents are texts; fields that are not OpenAI's are the template's.

    `own`: calls need no id, and their arguments may be an object. Raises WrongArgument with the
    path of what is wrong, such as pictures and sounds, or calls that no answer could have had.
    """
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise _wrong("messages", given, "a list that is not empty")
    found = []
    for i, message in enumerate(given):
        where = f"messages[{i}]"
        if not isinstance(message, Mapping):
            raise _wrong(where, message, "a role and content")
        role = message.get("role")
        if not isinstance(role, str) or not role:
            raise _wrong(f"{where}.role", role, "system, user, assistant or tool")
        if message.get("images"):
            raise _no_picture(f"{where}.images")
        read = {k: v for k, v in message.items() if v is not None and k != "images"}
        for name in _PLAIN:
            if not isinstance(read.get(name, ""), str):
                raise _wrong(f"{where}.{name}", read[name], "a text")
        if "tool_calls" in read:
            _check_calls(read["tool_calls"], f"{where}.tool_calls", own)
        read["role"] = _ROLES.get(role, role)
        read["content"] = _text(message.get("content"), f"{where}.content")
        found.append(read)
    return found


def _text(content: Any, where: str) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        raise _wrong(where, content, "a text or a list of parts")
    texts = []
    for i, part in enumerate(content):
        kind = part.get("type") if isinstance(part, Mapping) else None
        if not isinstance(kind, str):
            raise _wrong(f"{where}[{i}]", part, "a part with a type")
        if kind not in _TEXTS:
            raise _no_picture(f"{where}[{i}]", f"{kind!r:.40}: ")
        text = part.get(_TEXTS[kind])
        if not isinstance(text, str):
            raise _wrong(f"{where}[{i}].{_TEXTS[kind]}", text, "a text")
        texts.append(text)
    return "\n".join(texts)


def _check_calls(calls: Any, where: str, own: bool) -> None:
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        raise _wrong(where, calls, "a list of calls")
    for i, call in enumerate(calls):
        here = f"{where}[{i}]"
        if not isinstance(call, Mapping):
            raise _wrong(here, call, "an object")
        if not (own or (isinstance(call.get("id"), str) and call["id"])):
            raise _wrong(f"{here}.id", call.get("id"), "a text that is not empty")
        if call.get("type", "function") != "function":
            raise _wrong(f"{here}.type", call["type"], "function")
        function = call.get("function")
        if not isinstance(function, Mapping):
            raise _wrong(f"{here}.function", function, "an object")
        if not isinstance(function.get("name"), str) or not function["name"]:
            raise _wrong(f"{here}.function.name", function.get("name"), "a text that is not empty")
        arguments = function.get("arguments")
        if not (_is_object(arguments) or (own and isinstance(arguments, Mapping))):
            raise _wrong(f"{here}.function.arguments", arguments, "the JSON text of an object")


def _is_object(text: Any) -> bool:
    try:
        return isinstance(text, str) and isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def as_tools(given: Any) -> list[dict[str, Any]]:
    """Functions that a model may call; raises WrongArgument for what is none."""
    if not (given is None or (isinstance(given, Sequence) and not isinstance(given, str))):
        raise _wrong("tools", given, "a list")
    found = []
    for i, tool in enumerate(given or ()):
        match tool:
            case {"type": str(kind)} if kind != "function":
                raise _wrong(f"tools[{i}].type", kind, "function")
            case {"function": {"name": str(name), **rest}} if name and isinstance(
                rest.get("parameters"), (Mapping, type(None))
            ):
                found.append({"type": "function", **tool})
            case _:
                wanted = '{"type": "function", "function": {"name": ..., "parameters": {...}}}'
                raise _wrong(f"tools[{i}]", tool, wanted)
    return found


def _wrong(where: str, given: Any, wanted: str) -> WrongArgument:
    return WrongArgument(f"{where}: got {given!r:.60}, wanted {wanted}")


def _no_picture(where: str, kind: str = "") -> WrongArgument:
    return WrongArgument(f"{where}: {kind}only texts can be read here", "unsupported_content")
