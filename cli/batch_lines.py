"""The lines that `vatra batch` reads: prompts in JSON, in our own form or OpenAI's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from vatra.engine.fields import read
from vatra.engine.openai.messages import as_messages, as_tools
from vatra.engine.openai.requests import REQUESTS, Form, OpenAIForm
from vatra.engine.writing import Writing
from vatra.errors import UsageError, VatraError, WrongArgument

if TYPE_CHECKING:
    from vatra.engine.batch_answers import Job
    from vatra.engine.constraint import Grammar
    from vatra.engine.model import Model
    from vatra.formats.chat_template import ChatTemplate

CHAT = "/v1/chat/completions"
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
            raise WrongArgument(f"id: got {name!r:.60}, wanted a text or an integer")
        fields = _body(given) if openai else given
        return Line(number, digest, line_id, url, fields)
    except VatraError as error:
        return Line(number, digest, line_id, url or CHAT * openai, error=error)


def _body(given: Mapping[str, Any]) -> dict[str, Any]:
    """The request in a line of OpenAI's."""
    body, url = given.get("body"), given.get("url")
    if given.get("method", "POST") != "POST" or str(url) not in REQUESTS:
        raise UsageError(
            f"method and url: wanted POST and {' or '.join(REQUESTS)}, got {url!r:.60}"
        )
    if not isinstance(body, dict):
        raise WrongArgument(f"body: got {body!r:.60}, wanted an object")
    return body


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


@dataclass(frozen=True, kw_only=True)
class OwnRequest(Form):
    """A line in our own form."""

    OTHER_NAMES: ClassVar = {**Form.OTHER_NAMES, "chat_template_kwargs": "template_kwargs"}

    prompt: str | Sequence[int] | None = None
    messages: Sequence[Any] | None = None
    tools: Sequence[Any] | None = None
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    logprobs: int | None = None
    json: bool = False

    def writing(self, defaults: Defaults) -> Writing:
        """What is to be written; a prompt is said in a chat, if nothing else is wanted."""
        prompt = self.prompt
        messages = None if self.messages is None else as_messages(self.messages, own=True)
        if defaults.chat and messages is None and isinstance(prompt, str):
            prompt, messages = None, [{"role": "user", "content": prompt}]
        return Writing(
            prompt,
            messages,
            as_tools(self.tools),
            self.template_kwargs,
            logprobs=self.logprobs,
            json=self.json,
            **self.job(),
        )


def request_of(line: Line) -> OpenAIForm:
    """What a line in OpenAI's form asks for; raises UsageError."""
    asked = read(REQUESTS[line.url], line.fields)
    if (n_answers := len(asked.answers())) != 1:
        raise UsageError(f"a line has one answer, and this one asks for {n_answers}")
    return asked


def job_of(line: Line, model: Model, defaults: Defaults) -> Job | VatraError:
    """What the model is to do for a line."""
    from vatra.engine.writing import job_of as made

    try:
        if line.error is not None:
            raise line.error
        if line.url:
            [writing] = request_of(line).writings()
        else:
            writing = read(OwnRequest, line.fields).writing(defaults)
        messages = writing.messages
        if defaults.system is not None and messages and messages[0]["role"] != "system":
            messages = [{"role": "system", "content": defaults.system}, *messages]
        own = replace(
            writing,
            messages=messages,
            sampling={**defaults.sampling, **writing.sampling},
            max_tokens=defaults.max_tokens if writing.max_tokens is None else writing.max_tokens,
            stop=writing.stop or defaults.stop,
        )
        job = made(own, model, defaults.template)
        grammar = job.options["grammar"] or defaults.grammar
        return replace(job, options={**job.options, "grammar": grammar})
    except VatraError as error:
        return error
