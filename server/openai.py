"""OpenAI's API: chats, completions, embeddings, models."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vatra.server.body import Bodies
from vatra.server.calls import choice_of, schema_of, with_calls
from vatra.server.failure import Refused
from vatra.server.jobs import Begun, Ended, Event, Piece, Writing
from vatra.server.messages import as_messages, as_tools
from vatra.server.models import Models
from vatra.server.openai_answers import Answer, Head, Shape, model, timings, usage
from vatra.server.openai_requests import (
    ChatRequest,
    CompletionRequest,
    DetokenizeRequest,
    EmbeddingsRequest,
    Form,
    TemplateRequest,
    TokenizeRequest,
)
from vatra.server.requests import read
from vatra.server.stream import SSE, Streamed, attended
from vatra.server.writings import merged

NO_THINKING = ("none", "minimal")  # efforts of reasoning that are none at all


@dataclass(frozen=True)
class OpenAI:
    """The endpoints, over `models`; once `stop` is set answers end with an error."""

    models: Models
    bodies: Bodies
    stop: asyncio.Event

    @property
    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/v1/completions", self.complete, methods=["POST"]),
            Route("/v1/embeddings", self.embed, methods=["POST"]),
            Route("/v1/models", self.list, methods=["GET"]),
            Route("/v1/models/{name:path}", self.describe, methods=["GET"]),
            *(
                Route(before + path, endpoint, methods=["POST"])
                for before in ("", "/v1")
                for path, endpoint in (
                    ("/tokenize", self.tokenize),
                    ("/detokenize", self.detokenize),
                    ("/apply-template", self.apply_template),
                )
            ),
        ]

    async def chat(self, request: Request) -> Any:
        """POST /v1/chat/completions."""
        asked = read(ChatRequest, await self.bodies.read(request))
        name = self._name(asked.model)
        tools = as_tools(asked.tools)
        choice = choice_of(asked.tool_choice, tools)
        job = asked.job()
        if choice.forced:
            job |= {"json_schema": schema_of(choice, tools), "json": False, "grammar": None}
        kwargs = dict(asked.chat_template_kwargs or {})
        if asked.reasoning_effort is not None:
            kwargs.setdefault("reasoning_effort", asked.reasoning_effort)
            kwargs.setdefault("enable_thinking", asked.reasoning_effort not in NO_THINKING)
        writing = Writing(
            messages=as_messages(asked.messages),
            tools=None if choice.kind == "none" else tools,
            template_kwargs=kwargs,
            logprobs=asked.top_logprobs if asked.logprobs else None,
            **job,
        )
        most = None if asked.parallel_tool_calls else 1
        written = [
            with_calls(self.models.write(name, job), choice, most)
            for job in _seeded(writing, asked.n)
        ]
        head = Head("chat.completion", name, self.models.description(name).fingerprint)
        return await self._answered(request, asked, head, written, asked.logprobs)

    async def complete(self, request: Request) -> Any:
        """POST /v1/completions."""
        asked = read(CompletionRequest, await self.bodies.read(request))
        name = self._name(asked.model)
        if asked.suffix:
            raise Refused("suffix: text is continued, not filled in", param="suffix")
        if asked.best_of not in (None, asked.n):
            raise Refused("best_of: wanted as many as n; ask for n answers", param="best_of")
        if asked.echo and asked.logprobs is not None:
            raise Refused("echo: not together with logprobs, as a prompt has none", param="echo")
        job = asked.job()
        writings: list[Writing] = []
        before: list[str] = []
        for prompt in asked.prompts():
            writings += _seeded(Writing(prompt=prompt, logprobs=asked.logprobs, **job), asked.n)
            text = ""
            if asked.echo:
                ids = None if isinstance(prompt, str) else prompt
                text = str(prompt) if ids is None else await self.models.detokenize(name, ids)
            before += [text] * asked.n
        written = [self.models.write(name, writing) for writing in writings]
        head = Head("text_completion", name, self.models.description(name).fingerprint)
        head = replace(head, id=head.id.removeprefix("chat"))
        return await self._answered(
            request, asked, head, written, asked.logprobs is not None, before
        )

    async def embed(self, request: Request) -> Response:
        """POST /v1/embeddings."""
        asked = read(EmbeddingsRequest, await self.bodies.read(request))
        name = self._name(asked.model)
        vectors, n_tokens = await attended(request.receive, self.models.embed(name, asked.inputs()))
        vectors = [shortened(vector, asked.dimensions) for vector in vectors]
        data = [
            {
                "object": "embedding",
                "index": i,
                "embedding": as_base64(v) if asked.encoding_format == "base64" else v,
            }
            for i, v in enumerate(vectors)
        ]
        counts = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
        return JSONResponse({"object": "list", "data": data, "model": name, "usage": counts})

    async def list(self, request: Request) -> Response:
        """GET /v1/models."""
        found = [model(self.models.description(name)) for name in self.models.names()]
        return JSONResponse({"object": "list", "data": found})

    async def describe(self, request: Request) -> Response:
        """GET /v1/models/NAME."""
        return JSONResponse(model(self.models.description(request.path_params["name"])))

    async def tokenize(self, request: Request) -> Response:
        """POST /tokenize."""
        asked = read(TokenizeRequest, await self.bodies.read(request))
        name = self._name(asked.model)
        ids = await self.models.tokenize(
            name, asked.content, asked.add_special, asked.parse_special
        )
        if not asked.with_pieces:
            return JSONResponse({"tokens": ids})
        pieces = [await self.models.detokenize(name, [i]) for i in ids]
        found = [{"id": i, "piece": piece} for i, piece in zip(ids, pieces, strict=True)]
        return JSONResponse({"tokens": found})

    async def detokenize(self, request: Request) -> Response:
        """POST /detokenize."""
        asked = read(DetokenizeRequest, await self.bodies.read(request))
        text = await self.models.detokenize(self._name(asked.model), asked.tokens)
        return JSONResponse({"content": text})

    async def apply_template(self, request: Request) -> Response:
        """POST /apply-template."""
        asked = read(TemplateRequest, await self.bodies.read(request))
        text, ids = await self.models.apply_template(
            self._name(asked.model),
            as_messages(asked.messages),
            as_tools(asked.tools) or None,
            asked.chat_template_kwargs or {},
        )
        return JSONResponse({"prompt": text, "tokens": ids})

    def _name(self, asked: str) -> str:
        """The model that is asked for, the default where none is; raises UnknownModel."""
        return self.models.description(asked or self.models.names()[0]).name

    async def _answered(
        self,
        request: Request,
        asked: Form,
        head: Head,
        written: Sequence[AsyncIterator[Event]],
        logprobs: bool,
        before: Sequence[str] = (),
    ) -> Any:
        chat = head.kind == "chat.completion"
        answers = [Answer(i, chat) for i in range(len(written))]
        told = list(before) or [""] * len(written)
        events = merged(written, self.stop)
        if asked.stream:
            options = asked.stream_options
            wanted = options is not None and options.include_usage
            parts = _parts(head, answers, events, logprobs, told, wanted, asked.n)
            return Streamed(parts, SSE)
        await attended(request.receive, _collect(answers, events))
        choices = [a.choice(logprobs, text) for a, text in zip(answers, told, strict=True)]
        return JSONResponse(head.whole(choices, usage(answers, asked.n), timings(answers)))


async def _collect(
    answers: Sequence[Answer], events: AsyncGenerator[tuple[int, Any], None]
) -> None:
    async with aclosing(events):
        async for number, event in events:
            answers[number].add(event)


async def _parts(
    head: Head,
    answers: Sequence[Answer],
    events: AsyncGenerator[tuple[int, Any], None],
    logprobs: bool,
    before: Sequence[str],
    with_usage: bool,
    n: int,
) -> AsyncGenerator[Shape, None]:
    """The chunks of a stream; the last one, with usage, has no choices."""
    nothing: Shape = {"usage": None} if with_usage else {}
    left = len(answers)
    async with aclosing(events):
        async for number, event in events:
            answer = answers[number]
            answer.add(event)
            if isinstance(event, Piece):
                yield head.chunk([answer.delta(event, logprobs)], **nothing)
            elif isinstance(event, Ended):
                left -= 1
                more = {} if left or with_usage else {"timings": timings(answers)}
                yield head.chunk([answer.last()], **nothing, **more)
            elif isinstance(event, Begun) and answer.chat:
                first = {"role": "assistant", "content": ""}
                choice = {"index": number, "delta": first, "logprobs": None, "finish_reason": None}
                yield head.chunk([choice], **nothing)
            elif isinstance(event, Begun) and before[number]:
                piece = Piece(text=before[number])
                yield head.chunk([Answer(number, False).delta(piece, False)], **nothing)
    if with_usage:
        yield head.chunk([], usage=usage(answers, n), timings=timings(answers))


def _seeded(writing: Writing, n: int) -> list[Writing]:
    """The same `n` times; with a seed given each has its own, the first the one given."""
    seed = writing.sampling.get("seed")
    if seed is None:
        return [writing] * n
    return [
        replace(writing, sampling={**writing.sampling, "seed": (seed + i) % 2**64})
        for i in range(n)
    ]


def shortened(vector: Sequence[float], dimensions: int | None) -> list[float]:
    """The first `dimensions` numbers of a vector, again of length 1, as OpenAI does; or Refused."""
    if dimensions is None:
        return list(vector)
    if dimensions > len(vector):
        what = f"dimensions: got {dimensions}, this model's vectors have {len(vector)}"
        raise Refused(what, param="dimensions")
    kept = list(vector[:dimensions])
    length = sum(x * x for x in kept) ** 0.5
    return [x / length for x in kept] if length else kept


def as_base64(vector: Sequence[float]) -> str:
    """float32, little-endian, which clients ask for as it is shorter."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
