"""Requests of OpenAI's API for texts, with the further fields that are taken here.

Everywhere the same: a field that is not known is refused by its name, but for those that change
nothing (`IGNORED`) and names that other servers have for ours; what is null is as not given.
Messages and what is given to templates may have further fields, which the templates read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from vatra.engine.fields import MOST, count
from vatra.engine.openai.answers import Answer
from vatra.engine.openai.calls import choice_of, schema_of
from vatra.engine.openai.messages import as_messages, as_tools
from vatra.engine.sampling import Sampling, named_token
from vatra.engine.writing import Piece, Writing
from vatra.errors import WrongArgument

MOST_CHOICES = 16
MOST_TOP_LOGPROBS = 20
RANDOM_SEED = -1  # as other servers have it
NO_THINKING = ("none", "minimal")  # efforts of reasoning that are none at all

SAMPLING = frozenset(f.name for f in dataclasses.fields(Sampling)) - {"recommended", "filters"}


@dataclass(frozen=True)
class StreamOptions:
    """What a stream tells beside the answer."""

    IGNORED: ClassVar = frozenset({"include_obfuscation"})
    include_usage: bool = False


@dataclass(frozen=True)
class ResponseFormat:
    """What the answer may be: any text, a JSON object, or JSON of a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: Mapping[str, Any] | None = None  # {"name": ..., "schema": {...}}
    schema: Mapping[str, Any] | None = None

    @property
    def job(self) -> dict[str, Any]:
        """Fields of `Writing` that this asks for; raises WrongArgument."""
        if self.type == "text":
            return {}
        schema = (self.json_schema or {}).get("schema", self.schema)
        if self.type == "json_object" and schema is None:
            return {"json": True}
        if not isinstance(schema, Mapping):
            where = "response_format.json_schema.schema"
            raise WrongArgument(f"{where}: got {schema!r:.60}, wanted an object")
        return {"json_schema": schema}


@dataclass(frozen=True, kw_only=True)
class Form:
    """What all requests for texts have in common; `sampling` are fields of `Sampling`."""

    OTHER_NAMES: ClassVar[Mapping[str, str]] = {  # of OpenAI, llama.cpp's server and others
        "max_completion_tokens": "max_tokens",
        "n_predict": "max_tokens",
        "repeat_last_n": "penalty_last_n",
        "repetition_penalty": "repeat_penalty",
        "dry_penalty_last_n": "dry_last_n",
        "dry_sequence_breakers": "dry_breakers",
    }

    max_tokens: int | None = count(None, -1)  # -1: as many as there is room for
    stop: str | Sequence[str] = ()
    json_schema: Mapping[str, Any] | None = None
    grammar: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict, metadata={"names": SAMPLING})

    def job(self) -> dict[str, Any]:
        """Fields of `Writing` that this asks for; raises UsageError."""
        if self.max_tokens == 0:
            raise WrongArgument("max_tokens: got 0, wanted at least 1")
        return {
            "max_tokens": None if self.max_tokens == -1 else self.max_tokens,
            "stop": stops(self.stop),
            "sampling": sampling(self.sampling),
            "json_schema": self.json_schema,
            "grammar": self.grammar,
        }


@dataclass(frozen=True, kw_only=True)
class OpenAIForm(Form):
    """What chats and completions of OpenAI's API have in common."""

    # What clients send that changes no answer of a program at home.
    IGNORED: ClassVar = frozenset(
        {
            *("user", "safety_identifier", "store", "metadata", "service_tier", "modalities"),
            *("prompt_cache_key", "prompt_cache_retention", "prediction", "verbosity"),
            *("cache_prompt", "id_slot", "timings_per_token", "return_progress"),
        }
    )

    model: str = ""
    n: int = count(1, 1, MOST_CHOICES)
    stream: bool = False
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None

    def job(self) -> dict[str, Any]:
        """Fields of `Writing` that this asks for; raises UsageError."""
        job = super().job()
        form = {} if self.response_format is None else self.response_format.job
        if sum(asked is not None for asked in (form or None, self.json_schema, self.grammar)) > 1:
            wanted = "only one of them at a time"
            raise WrongArgument(f"response_format, json_schema and grammar: {wanted}")
        return job | form

    def writings(self) -> list[Writing]:
        """What is to be written, `n` answers to each prompt; raises UsageError."""
        raise NotImplementedError

    def answers(self, decode: Callable[[Sequence[int]], str] = str) -> list[Answer]:
        """As many answers, of which nothing is written yet; `decode` gives the text of tokens."""
        raise NotImplementedError

    def _seeded(self, writing: Writing) -> list[Writing]:
        """The same `n` times; with a seed given each has its own, the first the one given."""
        seed = writing.sampling.get("seed")
        if seed is None:
            return [writing] * self.n
        seeds = ((seed + i) % 2**64 for i in range(self.n))
        return [replace(writing, sampling={**writing.sampling, "seed": s}) for s in seeds]


@dataclass(frozen=True, kw_only=True)
class ChatRequest(OpenAIForm):
    """POST /v1/chat/completions."""

    messages: Sequence[Any]
    tools: Sequence[Any] | None = None
    tool_choice: str | Mapping[str, Any] | None = None
    parallel_tool_calls: bool = True
    logprobs: bool = False
    top_logprobs: int = count(0, 0, MOST_TOP_LOGPROBS)
    reasoning_effort: str | None = None
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def writings(self) -> list[Writing]:
        job, tools = self.job(), as_tools(self.tools)
        choice = choice_of(self.tool_choice, tools)
        if choice.forced:
            job |= {"json_schema": schema_of(choice, tools), "json": False, "grammar": None}
        kwargs = dict(self.chat_template_kwargs)
        if self.reasoning_effort is not None:
            kwargs.setdefault("reasoning_effort", self.reasoning_effort)
            kwargs.setdefault("enable_thinking", self.reasoning_effort not in NO_THINKING)
        writing = Writing(
            messages=as_messages(self.messages),
            tools=None if choice.kind == "none" else tools,
            template_kwargs=kwargs,
            logprobs=self.top_logprobs if self.logprobs else None,
            **job,
        )
        return self._seeded(writing)

    def answers(self, decode: Callable[[Sequence[int]], str] = str) -> list[Answer]:
        choice = choice_of(self.tool_choice, as_tools(self.tools))
        most = None if self.parallel_tool_calls else 1
        return [Answer(i, True, self.logprobs, choice, most) for i in range(self.n)]


@dataclass(frozen=True, kw_only=True)
class CompletionRequest(OpenAIForm):
    """POST /v1/completions."""

    prompt: str | Sequence[Any]
    logprobs: int | None = count(None, 0, MOST_TOP_LOGPROBS)
    echo: bool = False
    suffix: str = ""
    best_of: int | None = None

    def prompts(self) -> list[str | Sequence[int]]:
        """One or several texts, or their tokens; raises WrongArgument."""
        return texts("prompt", self.prompt, MOST_CHOICES // self.n)

    def writings(self) -> list[Writing]:
        if self.suffix:
            raise WrongArgument("suffix: text is continued, not filled in")
        if self.best_of not in (None, self.n):
            raise WrongArgument("best_of: wanted as many as n; ask for n answers")
        if self.echo and self.logprobs is not None:
            raise WrongArgument("echo: not together with logprobs, as a prompt has none")
        job = self.job()
        made = (Writing(prompt=one, logprobs=self.logprobs, **job) for one in self.prompts())
        return [writing for one in made for writing in self._seeded(one)]

    def answers(self, decode: Callable[[Sequence[int]], str] = str) -> list[Answer]:
        found = []
        for i, prompt in enumerate(one for one in self.prompts() for _ in range(self.n)):
            found.append(Answer(i, False, self.logprobs is not None))
            if self.echo:
                found[i].echo = Piece(prompt if isinstance(prompt, str) else decode(prompt))
        return found


REQUESTS: dict[str, type[OpenAIForm]] = {
    "/v1/chat/completions": ChatRequest,
    "/v1/completions": CompletionRequest,
}


def texts(name: str, given: str | Sequence[Any], most: int) -> list[str | Sequence[int]]:
    """1 to `most` texts, or their tokens; raises WrongArgument that begins with `name`."""
    is_one = isinstance(given, str) or (given and type(given[0]) is int)
    found = [given] if is_one else given
    if not 1 <= len(found) <= most:
        raise WrongArgument(f"{name}: got {len(found)} texts, wanted 1 to {most}")
    for i, text in enumerate(found):
        if not (isinstance(text, str) or (isinstance(text, Sequence) and all(map(_is_id, text)))):
            where = name if is_one else f"{name}[{i}]"
            raise WrongArgument(f"{where}: got {text!r:.60}, wanted a text or tokens")
    return list(found)


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MOST


def stops(given: str | Sequence[str]) -> list[str]:
    """The texts to stop before; an empty one alone is none, in a list it raises WrongArgument."""
    if isinstance(given, str):
        return [given] if given else []
    for i, text in enumerate(given):
        if not text:
            raise WrongArgument(f"stop[{i}]: got {text!r}, wanted a string that is not empty")
    return list(given)


def sampling(given: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `Sampling` as that takes them; raises UsageError."""
    found = dict(given)
    seed = found.pop("seed", RANDOM_SEED)
    if seed != RANDOM_SEED:
        found["seed"] = seed % 2**64 if type(seed) is int and -(2**63) <= seed < 0 else seed
    if "logit_bias" in found:
        found["logit_bias"] = biases(found["logit_bias"])
    Sampling(**found)
    return found


def biases(given: Any) -> list[tuple[int | str, float]]:
    """Pairs of a token and what its logit gets; names of objects that are numbers are ids.

    As llama.cpp has it, pairs may name tokens by their text, and false bans one.
    """
    if isinstance(given, Mapping):
        given = ((named_token(t) if isinstance(t, str) else t, x) for t, x in given.items())
    try:
        return [(token, float("-inf") if bias is False else bias) for token, bias in given]
    except (TypeError, ValueError):
        wanted = '{"TOKEN": NUMBER} or pairs of them'
        raise WrongArgument(f"logit_bias: got {given!r:.60}, wanted {wanted}") from None
