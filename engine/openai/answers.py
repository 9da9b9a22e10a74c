"""Answers in the shapes of OpenAI's API, whole and in the chunks of a stream."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vatra.engine.openai.calls import Choice, new_id, written_call
from vatra.engine.writing import Begun, Ended, Piece, Token

Shape = dict[str, Any]
Tokens = Sequence[tuple[Token, Sequence[Token]]]


def _new_name() -> str:
    return secrets.token_hex(12)


@dataclass(frozen=True)
class Head:
    """What all parts of an answer have in common."""

    chat: bool
    model: str
    fingerprint: Callable[[], str] = str  # of the file, certain once that is loaded
    name: str = field(default_factory=_new_name)
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, answers: Sequence[Answer], n: int = 1) -> Shape:
        """The complete answer; a prompt that `n` answers in turn were made for counts once."""
        kind = "chat.completion" if self.chat else "text_completion"
        return self._part(kind, [a.whole() for a in answers]) | {"usage": usage(answers, n)}

    def chunk(self, choices: Sequence[Shape], **more: Any) -> Shape:
        """A part of a stream."""
        kind = "chat.completion.chunk" if self.chat else "text_completion"
        return self._part(kind, choices) | more

    def _part(self, kind: str, choices: Sequence[Shape]) -> Shape:
        return {
            "id": f"{'chatcmpl' if self.chat else 'cmpl'}-{self.name}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            **({"system_fingerprint": found} if (found := self.fingerprint()) else {}),
            "choices": list(choices),
        }


@dataclass
class Answer:
    """One choice as far as it was written.

    Where `choice` forces a call, what is written is that call. `echo` is told before the text of a
    completion; `offset` is the character that its next token begins at.
    """

    index: int = 0
    chat: bool = True
    logprobs: bool = False
    choice: Choice = Choice()
    most_calls: int | None = None
    echo: Piece = Piece()
    offset: int = 0
    text: str = ""
    reasoning: str = ""
    calls: list[Shape] = field(default_factory=list)
    tokens: list[tuple[Token, Sequence[Token]]] = field(default_factory=list)
    begun: Begun | None = None
    ended: Ended | None = None
    _held: str = ""  # of a call that is not known before all of it is written

    def add(self, event: Begun | Piece | Ended) -> list[Shape]:
        """Take what happened; the choices of the chunks that tell of it."""
        match event:
            case Begun():
                self.begun = event
                if self.chat:
                    return [self._choice({"role": "assistant", "content": ""})]
                return self._told(self.echo.text, tokens=self.echo.tokens)
            case Piece(text, reasoning, calls, tokens):
                made = self._made(calls)
                if self.choice.kind == "named" and text:
                    made += self._argued(text)
                elif self.choice.kind == "required":
                    self._held += text
                shown = "" if self.choice.forced else text
                return self._told(shown, reasoning, made, tokens)
            case Ended():
                held = "" if self.calls else self._held
                call = written_call(held)
                told = self._told(calls=self._made([call])) if call else self._told(held)
                self.ended = event
                return [*told, self._choice({})]

    @property
    def finish_reason(self) -> str | None:
        """OpenAI's word for why it ended, None while it goes on."""
        if self.ended is None:
            return None
        if self.ended.finish_reason == "length":
            return "length"
        return "tool_calls" if self.calls else "stop"

    def whole(self) -> Shape:
        """As a complete answer has it."""
        offset = self.offset - sum(len(token.text) for token, _ in self.tokens)
        logprobs = self._logprobs(self.tokens, offset)
        end = {"logprobs": logprobs, "finish_reason": self.finish_reason}
        if not self.chat:
            return {"index": self.index, "text": self.text, **end}
        content = None if self.calls and not self.text else self.text
        message: Shape = {"role": "assistant", "content": content, "refusal": None}
        if self.reasoning:
            message["reasoning_content"] = self.reasoning
        if self.calls:
            message["tool_calls"] = self.calls
        return {"index": self.index, "message": message, **end}

    def _told(
        self, text: str = "", reasoning: str = "", calls: Sequence[Shape] = (), tokens: Tokens = ()
    ) -> list[Shape]:
        """What is new as the choice of a chunk; none where nothing is."""
        if not (text or reasoning or calls or tokens):
            return []
        self.text += text
        self.reasoning += reasoning
        self.tokens += tokens
        delta: Shape = {}
        if text or not (reasoning or calls):
            delta["content"] = text
        if reasoning:
            delta["reasoning_content"] = reasoning
        if calls:
            delta["tool_calls"] = calls
        return [self._choice(delta, tokens)]

    def _choice(self, delta: Shape, tokens: Tokens = ()) -> Shape:
        logprobs = self._logprobs(tokens, self.offset)
        self.offset += sum(len(token.text) for token, _ in tokens)
        part = {"delta": delta} if self.chat else {"text": delta.get("content", "")}
        return {
            "index": self.index,
            **part,
            "logprobs": logprobs,
            "finish_reason": self.finish_reason,
        }

    def _logprobs(self, tokens: Tokens, offset: int) -> Shape | None:
        if not (self.logprobs and tokens):
            return None
        return chat_logprobs(tokens) if self.chat else text_logprobs(tokens, offset)

    def _made(self, calls: Sequence[Mapping[str, Any]]) -> list[Shape]:
        """Whole calls, as many as are still wanted, as a chunk has them."""
        first = len(self.calls)
        left = None if self.most_calls is None else self.most_calls - first
        self.calls += map(as_call, calls[:left])
        return [
            {"index": i, **call, "function": dict(call["function"])}  # as it is now
            for i, call in enumerate(self.calls[first:], first)
        ]

    def _argued(self, text: str) -> list[Shape]:
        """More of the arguments of the one call there is, as a chunk has them."""
        if not self.calls:
            return self._made([{"id": new_id(), "name": self.choice.name, "arguments": text}])
        self.calls[0]["function"]["arguments"] += text
        return [{"index": 0, "function": {"arguments": text}}]


def as_call(call: Mapping[str, Any]) -> Shape:
    """A tool call, whose arguments are a JSON text."""
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


def chat_logprobs(tokens: Tokens) -> Shape:
    """The logprobs of a chat."""
    content = [
        {**_likelihood(token), "top_logprobs": [_likelihood(other) for other in top]}
        for token, top in tokens
    ]
    return {"content": content, "refusal": None}


def _likelihood(token: Token) -> Shape:
    raw = list(token.text.encode("utf-8", "replace")) if token.raw is None else list(token.raw)
    return {"token": token.text, "logprob": finite(token.logprob), "bytes": raw}


def text_logprobs(tokens: Tokens, offset: int) -> Shape:
    """The logprobs of a completion, whose first token is at character `offset`."""
    offsets = []
    for token, _ in tokens:
        offsets.append(offset)
        offset += len(token.text)
    return {
        "tokens": [token.text for token, _ in tokens],
        "token_logprobs": [finite(token.logprob) for token, _ in tokens],
        "top_logprobs": [
            None if token.logprob is None else {t.text: finite(t.logprob) for t in (*top, token)}
            for token, top in tokens
        ],
        "text_offset": offsets,
    }


def finite(logprob: float | None) -> float | None:
    """JSON has no infinity; -9999 is OpenAI's number for what cannot be."""
    return None if logprob is None else max(logprob, -9999.0)
