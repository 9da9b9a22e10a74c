"""A writing job as the engine wants it, and the engine's steps as events."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vatra.engine.constraint import Grammar
from vatra.engine.generation import stop_strings
from vatra.engine.logprobs import text_of
from vatra.engine.sampling import Sampling
from vatra.errors import UsageError
from vatra.server.jobs import Piece, Token, Writing

if TYPE_CHECKING:
    from vatra.engine.generation import Step
    from vatra.engine.model import Model
    from vatra.formats.answers import Answer
    from vatra.formats.tokenizer import Tokenizer

MOST_LOGPROBS = 100
# What `Model.chat_prompt` is given by us: a template, above all, never comes from a request.
OURS = frozenset({"self", "messages", "tools", "template", "add_generation_prompt"})


@dataclass(frozen=True)
class Prepared:
    """A prompt in tokens, and how it is to be continued."""

    ids: Sequence[int]
    sampling: Sampling
    stop: Sequence[str]
    answer: Answer | None
    grammar: Grammar | None


def prepared(model: Model, job: Writing) -> Prepared:
    """`job` as `model` reads it; raises UsageError naming what of it is wrong."""
    if (job.prompt is None) == (job.messages is None):
        raise UsageError("wanted either a prompt or messages")
    if job.logprobs is not None and not 0 <= job.logprobs <= MOST_LOGPROBS:
        raise UsageError(f"logprobs: got {job.logprobs}, wanted 0 to {MOST_LOGPROBS}")
    sampling = Sampling.from_metadata(model.metadata, model.path, **job.sampling)
    stop, answer = list(stop_strings(job.stop)), None
    if job.messages is not None:
        check_messages(job.messages, job.template_kwargs)
        ids, answer = model.chat_prompt(
            job.messages, **{"tools": job.tools or None, **job.template_kwargs}
        )
        stop += model.chat_template.stop
    elif isinstance(job.prompt, str):
        ids = model.tokenizer.encode(job.prompt, bos=False if job.raw else None)
    else:
        ids = list(job.prompt or ())
    return Prepared(ids, sampling, stop, answer, _grammar(job))


def check_messages(messages: Sequence[Mapping[str, Any]], kwargs: Mapping[str, Any]) -> None:
    """Raise UsageError for messages no template could show, and for names that are not theirs."""
    for i, message in enumerate(messages):
        if not isinstance(message.get("role"), str):
            raise UsageError(f"messages[{i}].role: got {message.get('role')!r:.60}, wanted a text")
        content = message.get("content")
        if not (content is None or isinstance(content, (str, list))):
            wanted = "a text or a list of parts"
            raise UsageError(f"messages[{i}].content: got {content!r:.60}, wanted {wanted}")
    for name in kwargs:
        if name in OURS:
            raise UsageError(f"template_kwargs: {name!r} can not be given to the template")


def _grammar(job: Writing) -> Grammar | None:
    asked = [job.json, job.json_schema is not None, job.grammar is not None]
    if sum(asked) > 1:
        raise UsageError("json, json_schema and grammar: only one of them at a time")
    if job.json_schema is not None:
        return Grammar.json_schema(job.json_schema)
    if job.grammar is not None:
        return Grammar.gbnf(job.grammar)
    return Grammar.json() if job.json else None


def piece(step: Step, tokenizer: Tokenizer | None, logprobs: bool) -> Piece | None:
    """What a step adds to the answer, None where that is nothing that can be seen."""
    tokens: Sequence[tuple[Token, Sequence[Token]]] = ()
    if logprobs:
        chosen = Token(step.token, text_of(step.token, tokenizer), step.logprob)
        tokens = [(chosen, [Token(t.token, t.text, t.logprob) for t in step.top_logprobs])]
    calls = [
        {"id": c.id, "name": c.name, "arguments": json.dumps(c.arguments, ensure_ascii=False)}
        for c in step.tool_calls
    ]
    if not (step.text or step.reasoning or calls or tokens):
        return None
    return Piece(step.text, step.reasoning, calls, tokens)
