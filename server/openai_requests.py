"""The requests of OpenAI's API, with the further fields that this server takes."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from vatra.server.failure import Refused
from vatra.server.requests import Request, SamplingFields

MOST_CHOICES = 16
MOST_TOP_LOGPROBS = 20
MOST_INPUTS = 2048

Texts = str | list[str]
Ids = list[Annotated[int, Field(ge=0, lt=2**31)]]

# What clients send that changes no answer of a server at home.
_IGNORED = frozenset(
    {
        *("user", "safety_identifier", "store", "metadata", "service_tier", "modalities"),
        *("prompt_cache_key", "prompt_cache_retention", "prediction", "verbosity"),
        *("cache_prompt", "id_slot", "timings_per_token", "return_progress"),
    }
)
_OTHER_NAMES = {  # of llama.cpp's server and others
    "n_predict": "max_tokens",
    "repeat_last_n": "penalty_last_n",
    "repetition_penalty": "repeat_penalty",
    "dry_penalty_last_n": "dry_last_n",
    "dry_sequence_breakers": "dry_breakers",
    "template_kwargs": "chat_template_kwargs",
}


class StreamOptions(Request):
    """What a stream tells beside the answer."""

    ignored: ClassVar = frozenset({"include_obfuscation"})
    include_usage: bool = False


class ResponseFormat(Request):
    """What the answer may be: any text, a JSON object, or JSON of a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: dict[str, Any] | None = None  # {"name": ..., "schema": {...}}
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None

    @property
    def wanted(self) -> dict[str, Any] | None:
        """The schema, None where there is none; raises Refused."""
        if self.type != "json_schema":
            return self.schema_
        found = (self.json_schema or {}).get("schema", self.schema_)
        if not isinstance(found, dict):
            raise Refused("response_format.json_schema.schema is missing", param="response_format")
        return found


class Form(SamplingFields):
    """What chats and completions have in common."""

    ignored: ClassVar = _IGNORED
    other_names: ClassVar = _OTHER_NAMES

    model: str = ""
    max_tokens: Annotated[int | None, Field(ge=-1, lt=2**31)] = None
    stop: Texts | None = None
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] = 1
    stream: bool = False
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    json_schema: dict[str, Any] | None = None
    grammar: str | None = None

    def job(self) -> dict[str, Any]:
        """Fields of `Writing` that this asks for."""
        found: dict[str, Any] = {
            "max_tokens": None if self.max_tokens == -1 else self.max_tokens,
            "stop": stops(self.stop),
            "sampling": self.sampling(),
        }
        if found["max_tokens"] == 0:
            raise Refused("max_tokens: got 0, wanted at least 1", param="max_tokens")
        wanted = self.response_format
        schema = self.json_schema if wanted is None else wanted.wanted
        asked = {
            "json_schema": schema,
            "json": wanted is not None and wanted.type == "json_object" and schema is None,
            "grammar": self.grammar,
        }
        if (wanted is not None and self.json_schema is not None) or sum(
            map(bool, asked.values())
        ) > 1:
            raise Refused("response_format, json_schema and grammar: only one at a time")
        return found | asked


class ChatRequest(Form):
    """POST /v1/chat/completions."""

    other_names: ClassVar = {**_OTHER_NAMES, "max_completion_tokens": "max_tokens"}

    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool = True
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=MOST_TOP_LOGPROBS)] = 0
    reasoning_effort: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class CompletionRequest(Form):
    """POST /v1/completions."""

    prompt: str | Ids | list[str] | list[Ids]
    logprobs: Annotated[int | None, Field(ge=0, le=MOST_TOP_LOGPROBS)] = None
    echo: bool = False
    suffix: str | None = None
    best_of: int | None = None

    def prompts(self) -> list[str | list[int]]:
        """One or several texts, or their tokens; raises Refused."""
        given: Any = self.prompt
        several = isinstance(given, list) and not all(isinstance(p, int) for p in given)
        found = given if several or given == [] else [given]
        if not found or len(found) * self.n > MOST_CHOICES:
            raise Refused(f"prompt: wanted 1 to {MOST_CHOICES} prompts times n", param="prompt")
        return list(found)


class EmbeddingsRequest(Request):
    """POST /v1/embeddings."""

    ignored: ClassVar = frozenset({"user"})

    input: str | Ids | list[str] | list[Ids]
    model: str = ""
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int | None, Field(ge=1)] = None

    def inputs(self) -> list[str | list[int]]:
        """The texts, or their tokens; raises Refused."""
        given: Any = self.input
        several = isinstance(given, list) and not all(isinstance(p, int) for p in given)
        found = given if several or given == [] else [given]
        if not 1 <= len(found) <= MOST_INPUTS or not all(found):
            raise Refused(
                f"input: wanted 1 to {MOST_INPUTS} texts, none of them empty", param="input"
            )
        return list(found)


class TokenizeRequest(Request):
    """POST /tokenize."""

    content: str
    model: str = ""
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False


class DetokenizeRequest(Request):
    """POST /detokenize."""

    tokens: Ids
    model: str = ""


class TemplateRequest(Request):
    """POST /apply-template."""

    ignored: ClassVar = frozenset({"add_generation_prompt"})

    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    model: str = ""
    tools: list[dict[str, Any]] | None = None
    chat_template_kwargs: dict[str, Any] | None = None


def stops(given: Texts | None) -> list[str]:
    """The texts to stop before; an empty one is none."""
    return [text for text in ([given] if isinstance(given, str) else given or ()) if text]
