"""Answers in the shapes of OpenAI's API."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vatra.server.jobs import Begun, Description, Ended, Piece, Token

Shape = dict[str, Any]
Tokens = Sequence[tuple[Token, Sequence[Token]]]


@dataclass(frozen=True)
class Head:
    """What all parts of an answer have in common."""

    kind: str  # "chat.completion" or "text_completion"
    model: str
    fingerprint: str = ""
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, choices: Sequence[Shape], usage: Shape, timings: Shape) -> Shape:
        """The complete answer."""
        return self._part(self.kind, choices) | {"usage": usage, "timings": timings}

    def chunk(self, choices: Sequence[Shape], **more: Any) -> Shape:
        """A part of a stream."""
        kind = "chat.completion.chunk" if self.kind == "chat.completion" else self.kind
        return self._part(kind, choices) | more

    def _part(self, kind: str, choices: Sequence[Shape]) -> Shape:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint or None,
            "choices": list(choices),
        }


@dataclass
class Answer:
    """One choice as far as it was written."""

    index: int
    chat: bool
    text: str = ""
    reasoning: str = ""
    calls: list[Shape] = field(default_factory=list)
    tokens: list[tuple[Token, Sequence[Token]]] = field(default_factory=list)
    begun: Begun | None = None
    ended: Ended | None = None

    def add(self, event: Begun | Piece | Ended) -> None:
        """Take what happened."""
        if isinstance(event, Piece):
            self.text += event.text
            self.reasoning += event.reasoning
            self.calls += map(_call, event.tool_calls)
            self.tokens += event.tokens
        elif isinstance(event, Begun):
            self.begun = event
        else:
            self.ended = event

    @property
    def finish_reason(self) -> str | None:
        """OpenAI's word for why it ended, None while it goes on."""
        if self.ended is None:
            return None
        if self.calls and self.ended.finish_reason != "length":
            return "tool_calls"
        return "length" if self.ended.finish_reason == "length" else "stop"

    def choice(self, logprobs: bool, before: str = "") -> Shape:
        """As a complete answer has it; `before` is text that the client wants repeated."""
        if not self.chat:
            return {
                "index": self.index,
                "text": before + self.text,
                "logprobs": text_logprobs(self.tokens, len(before)) if logprobs else None,
                "finish_reason": self.finish_reason,
            }
        message: Shape = {
            "role": "assistant",
            "content": None if self.calls and not self.text else self.text,
            "refusal": None,
        }
        if self.reasoning:
            message["reasoning_content"] = self.reasoning
        if self.calls:
            message["tool_calls"] = self.calls
        return {
            "index": self.index,
            "message": message,
            "logprobs": chat_logprobs(self.tokens) if logprobs else None,
            "finish_reason": self.finish_reason,
        }

    def delta(self, piece: Piece, logprobs: bool) -> Shape:
        """What a piece, that was added just now, adds to a stream."""
        if not self.chat:
            offset = len(self.text) - len(piece.text)
            told = text_logprobs(piece.tokens, offset) if logprobs else None
            return {
                "index": self.index,
                "text": piece.text,
                "logprobs": told,
                "finish_reason": None,
            }
        delta: Shape = {}
        if piece.text or not (piece.reasoning or piece.tool_calls):
            delta["content"] = piece.text
        if piece.reasoning:
            delta["reasoning_content"] = piece.reasoning
        if piece.tool_calls:
            first = len(self.calls) - len(piece.tool_calls)
            delta["tool_calls"] = [
                {"index": first + i, **_call(call)} for i, call in enumerate(piece.tool_calls)
            ]
        told = chat_logprobs(piece.tokens) if logprobs else None
        return {"index": self.index, "delta": delta, "logprobs": told, "finish_reason": None}

    def last(self) -> Shape:
        """The end of a stream."""
        nothing: Shape = {"delta": {}} if self.chat else {"text": ""}
        return {
            "index": self.index,
            **nothing,
            "logprobs": None,
            "finish_reason": self.finish_reason,
        }


def _call(call: Mapping[str, Any]) -> Shape:
    function = {"name": call["name"], "arguments": call["arguments"]}
    return {"id": call["id"], "type": "function", "function": function}


def usage(answers: Sequence[Answer], n: int = 1) -> Shape:
    """Numbers of tokens; a prompt that `n` answers in turn were made for counts once."""
    ended = [answer.ended for answer in answers if answer.ended is not None]
    prompt = sum(e.prompt_tokens for e in ended[::n])
    written = sum(e.generated_tokens for e in ended)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "prompt_tokens_details": {"cached_tokens": sum(e.reused_tokens for e in ended[::n])},
    }


def timings(answers: Sequence[Answer]) -> Shape:
    """What the first answer took, by the names of llama.cpp's server, with its seed."""
    ended, begun = answers[0].ended, answers[0].begun
    if ended is None:
        return {}
    read = ended.prompt_tokens - ended.reused_tokens
    return {
        "cache_n": ended.reused_tokens,
        "prompt_n": read,
        "prompt_ms": ended.prompt_s * 1e3,
        "prompt_per_second": _rate(read, ended.prompt_s),
        "predicted_n": ended.generated_tokens,
        "predicted_ms": ended.generated_s * 1e3,
        "predicted_per_second": _rate(ended.generated_tokens, ended.generated_s),
        "waited_ms": ended.waited_s * 1e3,
        "seed": None if begun is None else begun.seed,
    }


def _rate(count: int, seconds: float) -> float | None:
    return count / seconds if seconds > 0 else None


def chat_logprobs(tokens: Tokens) -> Shape:
    """The logprobs of a chat."""
    content = [
        {**_likelihood(token), "top_logprobs": [_likelihood(other) for other in top]}
        for token, top in tokens
    ]
    return {"content": content, "refusal": None}


def _likelihood(token: Token) -> Shape:
    raw = list(token.text.encode("utf-8", "replace"))
    return {"token": token.text, "logprob": _finite(token.logprob), "bytes": raw}


def text_logprobs(tokens: Tokens, offset: int) -> Shape:
    """The logprobs of a completion, whose first token is at character `offset`."""
    offsets = []
    for token, _ in tokens:
        offsets.append(offset)
        offset += len(token.text)
    return {
        "tokens": [token.text for token, _ in tokens],
        "token_logprobs": [_finite(token.logprob) for token, _ in tokens],
        "top_logprobs": [{t.text: _finite(t.logprob) for t in top} for _, top in tokens],
        "text_offset": offsets,
    }


def _finite(logprob: float) -> float:
    """JSON has no infinity; this is OpenAI's number for what cannot be."""
    return max(logprob, -9999.0)


def model(description: Description) -> Shape:
    """A model of the list of models, with more of it than OpenAI tells."""
    return {
        "id": description.name,
        "object": "model",
        "created": int(description.modified),
        "owned_by": "vatra",
        "state": description.state,
        "n_ctx": description.n_ctx,
        "parameters": description.parameters,
        "size": description.size,
        "architecture": description.architecture,
        "quantisation": description.quantisation,
        "embeds": description.embeds,
        "chats": description.chats,
        "error": description.error,
    }
