"""Tool calls that must be made: the schema they are written in, and what was written."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vatra.server.failure import Refused
from vatra.server.jobs import Ended, Event, Piece
from vatra.server.writings import closing

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
    """What `tool_choice` says; raises Refused, also for a function that is not among `tools`."""
    names = [tool["function"]["name"] for tool in tools]
    match given:
        case None:
            return Choice("auto" if tools else "none")
        case "none" | "auto":
            return Choice(given if tools else "none")
        case "required" if tools:
            return Choice(given)
        case {"function": {"name": str(name)}} if name in names:
            return Choice("named", name)
    wanted = ", ".join(['"none", "auto"', *(['"required"'] if names else []), *names])
    raise Refused(f"tool_choice: got {given!r:.80}, wanted one of {wanted}", param="tool_choice")


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


async def with_calls(
    events: AsyncIterator[Event], choice: Choice, most: int | None = None
) -> AsyncGenerator[Event, None]:
    """The events, with what was written as a forced call as such, and at most `most` calls.

    A forced call comes whole at the end; its arguments may be cut off where the answer is.
    """
    text, n_calls = "", 0
    async with closing(events) as written:
        async for event in written:
            if isinstance(event, Piece):
                if choice.forced:
                    text += event.text
                    event = replace(event, text="")
                left = None if most is None else most - n_calls
                calls = list(event.tool_calls)[:left]
                n_calls += len(calls)
                event = replace(event, tool_calls=calls)
                if not (event.text or event.reasoning or event.tokens or calls):
                    continue
            elif isinstance(event, Ended) and choice.forced and not n_calls:
                call = _written(choice, text)
                yield Piece(text=text) if call is None else Piece(tool_calls=[call])
            yield event


def _written(choice: Choice, text: str) -> dict[str, Any] | None:
    """The call that `text` is; None for any call that was cut off."""
    if choice.kind == "named":
        return {"id": _new_id(), "name": choice.name, "arguments": text.strip()}
    try:
        call = json.loads(text)
        arguments = json.dumps(call["arguments"], ensure_ascii=False)
        return {"id": _new_id(), "name": call["name"], "arguments": arguments}
    except (ValueError, KeyError, TypeError):
        return None


def _new_id() -> str:
    """Nine letters and digits, which the templates of all models take."""
    return secrets.token_hex(5)[:9]
