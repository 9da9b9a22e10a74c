"""Messages and tools of a request, as chat templates are given them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vatra.server.failure import Refused

_ROLES = {"developer": "system", "function": "tool"}  # newer and older names
_TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}


def as_messages(given: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Messages whose contents are texts; raises Refused for pictures and sounds."""
    found = []
    for i, message in enumerate(given):
        role = message.get("role")
        if not isinstance(role, str) or not role:
            raise Refused(
                f"messages[{i}].role: got {role!r:.60}, wanted system, user, assistant or tool",
                param=f"messages[{i}].role",
            )
        if message.get("images"):
            raise _no_picture(f"messages[{i}].images")
        read = {k: v for k, v in message.items() if v is not None and k != "images"}
        read["role"] = _ROLES.get(role, role)
        read["content"] = _text(message.get("content"), f"messages[{i}].content")
        found.append(read)
    return found


def _text(content: Any, where: str) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise Refused(
            f"{where}: got {content!r:.60}, wanted a text or a list of parts", param=where
        )
    texts = []
    for i, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in _TEXTS:
            if isinstance(kind, str):
                raise _no_picture(f"{where}[{i}]: {kind!r:.40}")
            raise Refused(f"{where}[{i}]: got {part!r:.60}, wanted a part with a type", param=where)
        text = part.get(_TEXTS[kind])
        if not isinstance(text, str):
            raise Refused(f"{where}[{i}].text: got {text!r:.60}, wanted a text", param=where)
        texts.append(text)
    return "\n".join(texts)


def _no_picture(where: str) -> Refused:
    param = where.partition(":")[0]
    return Refused(f"{where}: only texts can be read here", 400, "unsupported_content", param)


def as_tools(given: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """Functions that a model may call; raises Refused for what is none."""
    found = []
    for i, tool in enumerate(given or ()):
        match tool:
            case {"type": str(kind)} if kind != "function":
                raise Refused(f"tools[{i}].type: got {kind!r:.60}, wanted function", param="tools")
            case {"function": {"name": str(name), "parameters": dict() | None}} if name:
                pass
            case {"function": {"name": str(name), **rest}} if name and "parameters" not in rest:
                pass
            case _:
                wanted = '{"type": "function", "function": {"name": ..., "parameters": {...}}}'
                raise Refused(f"tools[{i}]: got {tool!r:.80}, wanted {wanted}", param="tools")
        found.append({"type": "function", **tool})
    return found
