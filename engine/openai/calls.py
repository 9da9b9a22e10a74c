"""Tool calls that must be made: which, and the schema they are written in."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vatra.errors import WrongArgument

Tool = Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    """Whether tools are called: "none", "auto", "required", or "named" for the function `name`."""

    kind: str = "auto"
    name: str = ""

    @property
    def forced(self) -> bool:
        return self.kind in ("required", "named")


def choice_of(given: Any, tools: Sequence[Tool]) -> Choice:
    """What `tool_choice` says; raises WrongArgument, also for a function that is no tool."""
    names = [tool["function"]["name"] for tool in tools]
    match given:
        case None | "none" | "auto":
            return Choice((given or "auto") if tools else "none")
        case "required" if tools:
            return Choice(given)
        case {"function": {"name": str(name)}} if name in names:
            return Choice("named", name)
    wanted = ", ".join(['"none", "auto"', *(['"required"'] if names else []), *names])
    raise WrongArgument(f"tool_choice: got {given!r:.80}, wanted one of {wanted}")


def schema_of(choice: Choice, tools: Sequence[Tool]) -> dict[str, Any]:
    """The JSON schema of a call that must be made: of its arguments, or of any call."""
    functions = {tool["function"]["name"]: tool["function"] for tool in tools}
    if choice.kind == "named":
        return _parameters(functions[choice.name])
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": name}, "arguments": _parameters(function)},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for name, function in functions.items()
    ]
    return {"anyOf": calls} if len(calls) > 1 else calls[0]


def _parameters(function: Mapping[str, Any]) -> dict[str, Any]:
    return dict(function.get("parameters") or {"type": "object", "properties": {}})


def written_call(text: str) -> dict[str, str] | None:
    """The name and the arguments of a call of any function; None for one that was cut off."""
    try:
        call = json.loads(text)
        arguments = json.dumps(call["arguments"], ensure_ascii=False)
        return {"id": new_id(), "name": call["name"], "arguments": arguments}
    except (ValueError, KeyError, TypeError):
        return None


def new_id() -> str:
    """Nine letters and digits, which the templates of all models take."""
    return secrets.token_hex(5)[:9]
