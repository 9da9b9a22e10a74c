"""The lines that `vatra batch` reads: prompts in JSON, in our own form or OpenAI's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from vatra.errors import UsageError, VatraError

if TYPE_CHECKING:
    from vatra.engine.batch_answers import Job
    from vatra.engine.constraint import Grammar
    from vatra.engine.model import Model
    from vatra.formats.chat_template import ChatTemplate

CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"
_OWN = frozenset(
    [
        "prompt",
        "messages",
        "tools",
        "template_kwargs",
        "max_tokens",
        "stop",
        "logprobs",
        "json",
        "json_schema",
        "grammar",
    ]
)
_OTHER_NAMES = {"max_completion_tokens": "max_tokens", "chat_template_kwargs": "template_kwargs"}
# What OpenAI's clients send that changes nothing here.
_IGNORED = frozenset(
    [
        "model",
        "user",
        "store",
        "metadata",
        "service_tier",
        "stream",
        "stream_options",
        "parallel_tool_calls",
    ]
)
Key = tuple[str, Any]


@dataclass(frozen=True)
class Line:
    """A line of the input: `fields` are what it asks for, unless `error` says why it can not be."""

    number: int  # from 1
    hash: str
    id: str | int | None = None
    url: str = ""  # where a request in OpenAI's form would have gone
    fields: Mapping[str, Any] = field(default_factory=dict)
    error: VatraError | None = None

    @property
    def key(self) -> Key:
        """What tells it from all others: its id, else its number."""
        return ("line", self.number) if self.id is None else ("id", self.id)


def lines_of(raw: Iterable[bytes]) -> list[Line]:
    """All lines that are not empty; a wrong one, or one with the id of another, has an error."""
    found, ids = list[Line](), dict[str | int, int]()
    for number, text in enumerate(raw, 1):
        if not (text := text.strip()):
            continue
        line = _line(text, number)
        if line.id is not None and line.id in ids:
            why = f"the id {line.id!r:.60} is that of line {ids[line.id]} too"
            line = Line(number, line.hash, url=line.url, error=UsageError(why))
        elif line.id is not None:
            ids[line.id] = number
        found.append(line)
    return found


def _line(text: bytes, number: int) -> Line:
    digest = hashlib.sha256(text).hexdigest()[:32]
    try:
        given = json.loads(text.removeprefix(b"\xef\xbb\xbf"))
        if not isinstance(given, dict):
            raise ValueError("wanted an object")
    except (ValueError, RecursionError) as error:
        return Line(number, digest, error=UsageError(f"not a line of JSON: {error}"))
    openai = "custom_id" in given or "body" in given
    name = given.pop("custom_id" if openai else "id", None)
    known = isinstance(name, (str, int)) and not isinstance(name, bool)
    line_id, url = name if known else None, str(given.get("url", "")) if openai else ""
    try:
        if not known and (openai or name is not None):
            raise UsageError(f"id: got {name!r:.60}, wanted a text or an integer")
        fields = _from_openai(given) if openai else given
        return Line(number, digest, line_id, url, fields)
    except VatraError as error:
        return Line(number, digest, line_id, url or CHAT * openai, error=error)


def _from_openai(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of our own form for a line of OpenAI's."""
    body, url = given.get("body"), given.get("url")
    if given.get("method", "POST") != "POST" or url not in (CHAT, COMPLETION):
        raise UsageError(f"method and url: wanted POST and {CHAT} or {COMPLETION}, got {url!r:.60}")
    if not isinstance(body, dict):
        raise UsageError(f"body: got {body!r:.60}, wanted an object")
    fields = {n: value for n, value in body.items() if n not in _IGNORED and value is not None}
    for name, ours in _OTHER_NAMES.items():
        if name in fields:
            fields[ours] = fields.pop(name)
    if fields.pop("n", 1) != 1:
        raise UsageError("n: a line has one answer")
    if url == CHAT:
        wanted, top = fields.pop("logprobs", False), fields.pop("top_logprobs", 0)
        fields |= {"logprobs": top or 1} if wanted else {}
    match form := fields.pop("response_format", {"type": "text"}):
        case {"type": "text"}:
            pass
        case {"type": "json_object"}:
            fields["json"] = True
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            fields["json_schema"] = schema
        case _:
            what = "wanted json_object, or json_schema with a schema"
            raise UsageError(f"response_format: got {form!r:.60}, {what}")
    return fields


@dataclass(frozen=True)
class Defaults:
    """What the command's options say for all lines."""

    chat: bool  # a prompt is said in a chat, not continued
    system: str | None = None
    template: ChatTemplate | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    grammar: Grammar | None = None


def job_of(line: Line, model: Model, defaults: Defaults) -> Job | VatraError:
    """What the model is to do for a line."""
    try:
        if line.error is not None:
            raise line.error
        return _job(line.fields, line.url == COMPLETION, model, defaults)
    except VatraError as error:
        return error


def _job(fields: Mapping[str, Any], raw: bool, model: Model, defaults: Defaults) -> Job:
    from vatra.cli.options import SAMPLING
    from vatra.engine.batch_answers import Job
    from vatra.engine.sampling import Sampling, named_token

    known = _OWN | {row.field for row in SAMPLING}
    for name in fields:
        if name not in known:
            near = "".join(f"; did you mean {n}?" for n in get_close_matches(name, known, 1))
            raise UsageError(f"{name!r:.60} is not a field of a line{near}")
    given: dict[str, Any] = {n: value for n, value in fields.items() if n not in _OWN}
    if isinstance(bias := given.get("logit_bias"), dict):
        given["logit_bias"] = [(named_token(name), x) for name, x in bias.items()]
    options = {
        "sampling": Sampling.from_metadata(
            model.metadata, model.path, **(dict(defaults.sampling) | given)
        ),
        "max_tokens": fields.get("max_tokens", defaults.max_tokens),
        "stop": _stops(fields["stop"]) if "stop" in fields else defaults.stop,
        "logprobs": fields.get("logprobs", 0),
        "grammar": _form(fields) or defaults.grammar,
    }
    kwargs = {"tools": _tools(fields.get("tools")), **_object(fields, "template_kwargs")}
    prompt = _prompt(fields, raw or not defaults.chat, defaults.system)
    return Job(prompt, options, defaults.template, kwargs)


def _prompt(fields: Mapping[str, Any], raw: bool, system: str | None) -> Any:
    """A text or tokens to be continued, or messages."""
    if ("prompt" in fields) == ("messages" in fields):
        raise UsageError("wanted either a prompt or messages")
    if "messages" in fields:
        messages = fields["messages"]
        if not isinstance(messages, list) or not messages:
            raise UsageError(f"messages: got {messages!r:.60}, wanted a list of them")
        for i, message in enumerate(messages):
            _check_message(f"messages[{i}]", message)
    else:
        prompt = fields["prompt"]
        if isinstance(prompt, list) and prompt and all(type(i) is int for i in prompt):
            return prompt
        if not isinstance(prompt, str):
            raise UsageError(f"prompt: got {prompt!r:.60}, wanted a text or tokens")
        if raw:
            return prompt
        messages = [{"role": "user", "content": prompt}]
    if system is not None and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": system}, *messages]
    return messages


def _check_message(name: str, message: object) -> None:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise UsageError(f"{name}: got {message!r:.60}, wanted a role and content")
    if not isinstance(message.get("content"), (str, list, type(None))):
        raise UsageError(f"{name}: got content {message['content']!r:.60}, wanted a text")


def _stops(given: object) -> list[str]:
    stops = [given] if isinstance(given, str) else given
    if not isinstance(stops, list):
        raise UsageError(f"stop: got {given!r:.60}, wanted a text or a list of texts")
    return stops


def _tools(given: object) -> list[dict[str, Any]] | None:
    if given is None or (isinstance(given, list) and all(isinstance(t, dict) for t in given)):
        return given or None
    raise UsageError(f"tools: got {given!r:.60}, wanted a list of objects")


def _object(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = fields.get(name) or {}
    taken = {"self", "messages", "tools", "template", "add_generation_prompt"}
    if not isinstance(found, dict) or taken & set(found):
        raise UsageError(f"{name}: got {found!r:.60}, wanted an object of names a template knows")
    return found


def _form(fields: Mapping[str, Any]) -> Grammar | None:
    """What the answer may be, if a line says so."""
    asked = [
        name for name in ("json", "json_schema", "grammar") if fields.get(name) not in (None, False)
    ]
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked)}: only one of them at a time")
    if not asked:
        return None
    value = fields[asked[0]]
    return _grammar(asked[0], value if isinstance(value, str) else json.dumps(value))


@lru_cache(maxsize=64)
def _grammar(kind: str, text: str) -> Grammar:
    from vatra.engine.constraint import Grammar

    makers: dict[str, Callable[[str], Grammar]] = {
        "json": lambda _: Grammar.json(),
        "json_schema": Grammar.json_schema,
        "grammar": Grammar.gbnf,
    }
    return makers[kind](text)
