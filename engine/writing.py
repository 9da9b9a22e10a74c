"""A text to be written and what comes of it, of plain values that any process can be told."""

from __future__ import annotations

import json as json_text
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Protocol

from vatra.errors import UsageError, WrongArgument

if TYPE_CHECKING:
    from vatra.engine.batch_answers import Job
    from vatra.engine.constraint import Grammar
    from vatra.engine.generation import Statistics, Step
    from vatra.engine.model import Model
    from vatra.formats.chat_template import ChatTemplate
    from vatra.formats.tokenizer import Tokenizer
    from vatra.formats.tool_calls import ToolCall

MOST_LOGPROBS = 100
# What `Model.chat_prompt` is given by us: a template, above all, never comes from a request.
OURS = frozenset({"self", "messages", "tools", "template", "add_generation_prompt"})


@dataclass(frozen=True)
class Writing:
    """A text or a chat to be continued.

    Either `prompt`, a text or its tokens, or `messages` of a chat, with the `tools` and
    `template_kwargs` that its template is given. `sampling` are fields of `Sampling` that differ
    from what the model recommends, null for as it does; of `logit_bias` the keys are ids, or texts
    of tokens. Of `json_schema`, `json` and `grammar` (GBNF) at most one says what the answer may
    be. `logprobs` is the number of alternatives, None for no logprobs at all.
    """

    prompt: str | Sequence[int] | None = None
    messages: Sequence[Mapping[str, Any]] | None = None
    tools: Sequence[Mapping[str, Any]] | None = None
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    raw: bool = False  # `prompt` is read without the tokens that begin every text
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    sampling: Mapping[str, Any] = field(default_factory=dict)
    logprobs: int | None = None
    json: bool = False
    json_schema: Mapping[str, Any] | None = None
    grammar: str | None = None


@dataclass(frozen=True)
class Token:
    """A token, its bytes as text, and the natural logarithm of its probability, None if unknown."""

    id: int
    text: str
    logprob: float | None
    raw: Sequence[int] | None = None  # its bytes, where they are no whole characters


@dataclass(frozen=True)
class Begun:
    """The prompt was read, and writing begins."""

    prompt_tokens: int
    reused_tokens: int  # of them, that were still in memory
    seed: int


@dataclass(frozen=True)
class Piece:
    """A part of the answer: some text, some thinking, whole tool calls; any of them may be empty.

    `tokens` are those that were chosen, where logprobs are asked for, each with its alternatives.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: Sequence[Mapping[str, Any]] = ()  # id, name, arguments (a JSON text)
    tokens: Sequence[tuple[Token, Sequence[Token]]] = ()


@dataclass(frozen=True)
class Ended:
    """The answer is complete: why, and what it took."""

    finish_reason: Literal["stop", "length", "eog"]
    prompt_tokens: int
    reused_tokens: int
    generated_tokens: int  # without one that ends the answer
    prompt_s: float
    generated_s: float
    waited_s: float  # before its turn came


class Written(Protocol):
    """What an engine has written: `Steps`, `Request` and `BatchAnswer` are that."""

    @property
    def finish_reason(self) -> Literal["stop", "length", "eog"] | None: ...
    @property
    def tokens(self) -> Sequence[int]: ...
    @property
    def statistics(self) -> Statistics: ...


def job_of(writing: Writing, model: Model, template: ChatTemplate | None = None) -> Job:
    """`writing` as `model` does it; raises UsageError naming what of it is wrong."""
    from vatra.engine.batch_answers import Job
    from vatra.engine.openai.messages import as_messages
    from vatra.engine.sampling import Sampling

    if (writing.prompt is None) == (writing.messages is None):
        raise UsageError("wanted either a prompt or messages")
    n_top = writing.logprobs or 0
    if not 0 <= n_top <= MOST_LOGPROBS:
        raise WrongArgument(f"logprobs: got {n_top}, wanted an integer from 0 to {MOST_LOGPROBS}")
    prompt: Any = writing.prompt
    if writing.messages is not None:
        prompt = as_messages(writing.messages, own=True)
    check_names(writing.template_kwargs)
    options = {
        "sampling": Sampling.from_metadata(model.metadata, model.path, **writing.sampling),
        "max_tokens": writing.max_tokens,
        "stop": writing.stop,
        "logprobs": n_top,
        "grammar": grammar_of(writing.json, writing.json_schema, writing.grammar),
    }
    kwargs = {"tools": writing.tools or None, **writing.template_kwargs}
    return Job(prompt, options, template, kwargs, writing.raw, writing.logprobs is not None)


def check_names(template_kwargs: Mapping[str, Any]) -> None:
    """Raise WrongArgument for names that are not a request's to give to a template."""
    for name in OURS & template_kwargs.keys():
        raise WrongArgument(f"template_kwargs.{name}: can not be given to the template")


def grammar_of(
    json: bool, json_schema: Mapping[str, Any] | None, grammar: str | None
) -> Grammar | None:
    """What the answer may be, None for any text; raises UsageError."""
    if json + (json_schema is not None) + (grammar is not None) > 1:
        raise UsageError("json, json_schema and grammar: only one of them at a time")
    if grammar is not None:
        return _grammar("gbnf", grammar)
    if json_schema is not None:
        return _grammar("json_schema", json_text.dumps(json_schema))
    return _grammar("json_schema", '{"type": "object"}') if json else None


@lru_cache(maxsize=64)
def _grammar(kind: str, text: str) -> Grammar:
    from vatra.engine.constraint import Grammar

    made: Grammar = getattr(Grammar, kind)(text)
    return made


def piece(step: Step, tokenizer: Tokenizer | None, logprobs: bool) -> Piece | None:
    """What a step adds to the answer, None where that is nothing that can be seen."""
    tokens = tokens_of([step], tokenizer) if logprobs else ()
    if not (step.text or step.reasoning or step.tool_calls or tokens):
        return None
    return Piece(step.text, step.reasoning, calls_of(step.tool_calls), tokens)


def tokens_of(
    steps: Iterable[Step], tokenizer: Tokenizer | None
) -> list[tuple[Token, Sequence[Token]]]:
    """The tokens of steps and their alternatives, without one that ends the answer."""
    return [
        (
            token(step.token, step.logprob, tokenizer),
            [token(other.token, other.logprob, tokenizer) for other in step.top_logprobs],
        )
        for step in steps
        if step.finish_reason != "eog"
    ]


def token(id: int, logprob: float | None, tokenizer: Tokenizer | None) -> Token:
    """A token by itself."""
    known = tokenizer is not None and id < tokenizer.n_vocab
    raw = tokenizer.piece(id) if tokenizer is not None and known else b""
    text = raw.decode("utf-8", "replace")
    return Token(id, text, logprob, None if text.encode() == raw else list(raw))


def calls_of(calls: Iterable[ToolCall]) -> list[dict[str, str]]:
    """Tool calls with their arguments as JSON texts."""
    return [
        {"id": c.id, "name": c.name, "arguments": json_text.dumps(c.arguments, ensure_ascii=False)}
        for c in calls
    ]


def ended(written: Written, waited_s: float = 0.0) -> Ended:
    """The end of an answer."""
    taken = written.statistics
    return Ended(
        written.finish_reason or "length",
        taken.prompt_tokens + taken.reused_tokens,
        taken.reused_tokens,
        len(written.tokens) - (written.finish_reason == "eog"),
        taken.prompt_s,
        taken.generated_s,
        waited_s,
    )
