"""Answers as dictionaries in the shapes of OpenAI's API."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from vatra.formats.tool_calls import ToolCall

Response = dict[str, Any]


class Likelihood(NamedTuple):
    """A token's text, its logprob (None: not known), and those of the likeliest there."""

    raw: bytes
    logprob: float | None
    top: Sequence[tuple[bytes, float]]

    @property
    def text(self) -> str:
        """The text of the token alone, without halves of characters."""
        return self.raw.decode("utf-8", "ignore")


@dataclass(frozen=True)
class Head:
    """What all parts of one answer have in common."""

    model: str
    id: str = field(default_factory=lambda: f"cmpl-{uuid.uuid4()}")
    created: int = field(default_factory=lambda: int(time.time()))

    def completion(
        self, text: str, logprobs: Response | None, finish_reason: str | None, **more: Any
    ) -> Response:
        """A completion of a text, or a part of one."""
        choice = {
            "text": text,
            "index": 0,
            "logprobs": logprobs,
            "finish_reason": finish_reason,
        }
        return {
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.model,
            "choices": [choice],
            **more,
        }

    def chat(
        self, message: Response, logprobs: Response | None, finish_reason: str, usage: Response
    ) -> Response:
        """A whole answer of a chat."""
        choice = {
            "index": 0,
            "message": message,
            "logprobs": logprobs,
            "finish_reason": finish_reason,
        }
        return {**self._of_chat("chat.completion"), "choices": [choice], "usage": usage}

    def chat_chunk(
        self, delta: Response, logprobs: Response | None = None, finish_reason: str | None = None
    ) -> Response:
        """A part of an answer of a chat."""
        choice = {
            "index": 0,
            "delta": delta,
            "logprobs": logprobs,
            "finish_reason": finish_reason,
        }
        return {**self._of_chat("chat.completion.chunk"), "choices": [choice]}

    def _of_chat(self, kind: str) -> Response:
        return {
            "id": f"chat{self.id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
        }


def usage(prompt_tokens: int, completion_tokens: int) -> Response:
    """The numbers of tokens."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def completion_logprobs(tokens: Iterable[Likelihood], offset: int) -> Response:
    """The logprobs of a completion, whose first token is at character `offset` of all text."""
    found: dict[str, list[Any]] = {
        "tokens": [],
        "text_offset": [],
        "token_logprobs": [],
        "top_logprobs": [],
    }
    for token in tokens:
        top = {raw.decode("utf-8", "ignore"): logprob for raw, logprob in token.top}
        known = token.logprob is not None
        found["tokens"].append(token.text)
        found["text_offset"].append(offset)
        found["token_logprobs"].append(token.logprob)
        found["top_logprobs"].append({**top, token.text: token.logprob} if known else None)
        offset += len(token.text)
    return found


def chat_logprobs(tokens: Iterable[Likelihood]) -> Response:
    """The logprobs of an answer of a chat."""

    def entry(raw: bytes, logprob: float | None) -> Response:
        return {"token": raw.decode("utf-8", "ignore"), "logprob": logprob, "bytes": list(raw)}

    content = [
        {**entry(token.raw, token.logprob), "top_logprobs": [entry(*other) for other in token.top]}
        for token in tokens
    ]
    return {"content": content, "refusal": None}


def tool_call(call: ToolCall) -> Response:
    """A call that a model wants to be made, its arguments as JSON text."""
    return named_call(call.id, call.name, json.dumps(call.arguments, ensure_ascii=False))


def named_call(id: str, name: str, arguments: str) -> Response:
    """A call of the function `name`; `arguments` are JSON, or a part of it."""
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
