"""Tool calls in a model's answer: each family's way of writing them, read back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from vatra.formats.literals import Literals, Malformed, Unfinished, json_value, literal

MOST_NAME = 256  # characters
NAMES = ("name", "tool_name", "function", "recipient_name")  # keys of a function's name in JSON
ARGUMENTS = ("arguments", "parameters")  # and of its arguments
IDS = ("id", "tool_call_id")

Types = Mapping[str, Mapping[str, frozenset[str]]]  # the JSON types of each function's parameters


@dataclass(frozen=True)
class ToolCall:
    """A function that the model wants to be called, its arguments by name, and the call's id."""

    name: str
    arguments: dict[str, Any]
    id: str = ""

    def message(self) -> dict[str, Any]:
        """As a message has it: the arguments as they are, not as JSON text."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.id, "type": "function", "function": function}


class Written(NamedTuple):
    """What was written as a call: the match of its beginning, and the text up to its end."""

    begin: Any  # a match of the package regex
    text: str


# Raises Malformed for what is no call, Unfinished if its end may have been within a value.
Read = Callable[[Written, Types], list[ToolCall]]


def types_of(tools: Iterable[Mapping[str, Any]] | None) -> Types:
    """The types that the JSON schemas of some tools give to their parameters, as far as they do."""
    found: dict[str, dict[str, frozenset[str]]] = {}
    for tool in tools or ():
        function = tool.get("function", tool)
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            continue
        schema = function.get("parameters") or {}
        properties = schema.get("properties") if isinstance(schema, Mapping) else None
        found[function["name"]] = {
            name: _types(property)
            for name, property in (properties if isinstance(properties, Mapping) else {}).items()
        }
    return found


def _types(schema: Any) -> frozenset[str]:
    if not isinstance(schema, Mapping):
        return frozenset()
    types = schema.get("type")
    names = {types} if isinstance(types, str) else {t for t in types or () if isinstance(t, str)}
    for other in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        names |= _types(other)
    if not names and isinstance(schema.get("enum"), Sequence):
        names = {"string"} if all(isinstance(value, str) for value in schema["enum"]) else names
    return frozenset(names)


def _call(name: Any, arguments: Any, id: Any = "") -> ToolCall:
    if isinstance(arguments, str):  # JSON in JSON
        arguments, _ = json_value(arguments.strip() or "{}")
    if arguments is None:
        arguments = {}
    if not isinstance(name, str) or not 0 < len(name.strip()) <= MOST_NAME:
        raise Malformed("no name of a function")
    if not isinstance(arguments, dict):
        raise Malformed("arguments without names")
    return ToolCall(name.strip(), arguments, id if isinstance(id, str) else "")


# --- JSON


_BETWEEN = re.compile(r"[\s,;]*+(?=.)", re.DOTALL)


def in_json(written: Written, types: Types) -> list[ToolCall]:
    """JSON that says it all: one call or several, in a list or one after another."""
    calls, at, text = [], 0, written.text
    while rest := _BETWEEN.match(text, at):
        value, at = json_value(text, rest.end())
        calls += [_from_object(item) for item in (value if isinstance(value, list) else [value])]
    if not calls:
        raise Malformed("no call")
    return calls


def _from_object(value: Any) -> ToolCall:
    if not isinstance(value, dict):
        raise Malformed("no call")
    function = value.get("function")
    if isinstance(function, dict):
        return _from_object({**{key: value[key] for key in IDS if key in value}, **function})
    name = next((value[key] for key in NAMES if key in value), None)
    id = next((value[key] for key in IDS if key in value), "")
    if name is None and len(value) == 1:  # {name: arguments}
        return _call(*next(iter(value.items())))
    return _call(name, next((value[key] for key in ARGUMENTS if key in value), {}), id)


def in_known_json(written: Written, types: Types) -> list[ToolCall]:
    """The same where nothing else tells a call from an answer: the functions must be known."""
    calls = in_json(written, types)
    if not all(call.name in types for call in calls):
        raise Malformed("no such function")
    return calls


def named_json(written: Written, types: Types) -> list[ToolCall]:
    """JSON of the arguments, after a name and perhaps an id that the beginning has."""
    arguments, end = json_value(written.text, len(written.text) - len(written.text.lstrip()))
    if written.text[end:].strip().strip("`;"):  # some close a block of code
        raise Malformed("more than one value")
    found = written.begin.groupdict()
    return [_call(found["name"], arguments, found.get("id") or "")]


# --- arguments between tags


def between_tags(argument: str) -> Read:
    """A reader of arguments that match `argument`, after a name that the beginning has.

    Its groups: `key`, `value`, perhaps `type` ("true" or "string" for a text, otherwise a literal)
    and `text` (a value that is text).
    """
    opening = argument.partition("(")[0].replace("\\", "")

    def read(written: Written, types: Types) -> list[ToolCall]:
        pattern = re.compile(r"\s*+" + argument, re.DOTALL)
        name, at = written.begin["name"], 0
        arguments = {}
        while found := pattern.match(written.text, at):
            groups = found.groupdict()
            key, type = groups["key"].strip(), groups.get("type")
            if groups.get("text") is not None:
                arguments[key] = groups["text"]
            elif type is not None:
                arguments[key] = (
                    groups["value"] if type in ("true", "string") else literal(groups["value"])
                )
            else:
                arguments[key] = _typed(groups["value"], types.get(name, {}).get(key))
            at = found.end()
        rest = written.text[at:].strip()
        if rest.startswith(opening):
            raise Unfinished("an argument has no end")
        if rest:
            raise Malformed("text between arguments")
        return [_call(name, arguments)]

    return read


def _typed(text: str, types: frozenset[str] | None) -> Any:
    """The value of a text that its tags do not tell apart from other kinds of values."""
    if types and "string" in types and not (text == "null" and "null" in types):
        return text
    if not types and not re.match(r"\s*([\[{]|-?\d|(true|false|null|True|False|None)\s*$)", text):
        return text
    try:
        return literal(text)
    except Malformed:
        return text


def nested_tags(space: str) -> Read:
    """A reader of values between tags of their names, each after `space`; `item` makes lists."""
    tag = re.compile(re.escape(space) + r"<(/?)([^<>\s/]{1,256})>")
    first = re.compile(r"\s*+" + tag.pattern)

    def read(written: Written, types: Types) -> list[ToolCall]:
        text, at = written.text, 0

        def inside(name: str, depth: int) -> Any:
            """What is before the end of `name`, which is passed."""
            nonlocal at
            children: list[tuple[str, Any]] = []
            begin = at
            while found := tag.search(text, at):
                before, at = text[at : found.start()], found.end()
                if found[1] and found[2] != name:
                    raise Malformed(f"ends {found[2][:40]} inside {name[:40]}")
                if found[1]:
                    if not children:
                        return text[begin : found.start()]
                    if {key for key, _ in children} == {"item"}:
                        return [_untyped(value) for _, value in children]
                    return {key: _untyped(value) for key, value in children}
                if before.strip() or depth <= 0:
                    raise Malformed("text between values, or values too deep")
                children.append((found[2], inside(found[2], depth - 1)))
            raise Unfinished(f"{name[:40]} has no end")

        arguments: dict[str, Any] = {}
        name = written.begin["name"]
        while found := first.match(text, at):
            if found[1]:
                raise Malformed("ends what did not begin")
            at = found.end()
            value = inside(found[2], 64)
            of = types.get(name, {}).get(found[2])
            arguments[found[2]] = _typed(value, of) if isinstance(value, str) else value
        if text[at:].strip():
            raise Malformed("text between values")
        return [_call(name, arguments)]

    return read


def _untyped(value: Any) -> Any:
    return _typed(value, None) if isinstance(value, str) else value


# --- calls as a programming language has them


def python_calls(written: Written, types: Types) -> list[ToolCall]:
    """`f(x=1, y='a')`, or a list of such."""
    found = Literals(written.text)
    several = found.sign("[")
    return [*_python_calls(found, "]" if several else "")]


def _python_calls(found: Literals, closing: str) -> Iterator[ToolCall]:
    while True:
        name = found.name()
        found.expect("(")
        arguments = {}
        while not found.sign(")"):
            key = found.name()
            found.expect("=")
            arguments[key] = found.value()
            if not found.sign(","):
                found.expect(")")
                break
        yield _call(name, arguments)
        if found.sign(","):
            continue
        if closing:
            found.expect(closing)
        if found.ended:
            return
        raise Malformed("text after calls")


def quoted_mapping(quote: str) -> Read:
    """A reader of `{key:value}`, strings between `quote`, after a name that the beginning has."""

    def read(written: Written, types: Types) -> list[ToolCall]:
        found = Literals(written.text, quote)
        arguments = found.value()
        if not found.ended:
            raise Malformed("text after a call")
        return [_call(written.begin["name"], arguments)]

    return read
