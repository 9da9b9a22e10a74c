"""OpenAI's API: chats, completions, embeddings, models."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vatra.engine.fields import read
from vatra.engine.openai.answers import Answer, Head, Shape, usage
from vatra.engine.openai.messages import as_messages, as_tools
from vatra.engine.openai.requests import ChatRequest, CompletionRequest, OpenAIForm
from vatra.errors import WrongArgument
from vatra.server.body import JSON, Bodies
from vatra.server.jobs import Description
from vatra.server.models import Models
from vatra.server.openai_requests import (
    DetokenizeRequest,
    EmbeddingsRequest,
    TemplateRequest,
    TokenizeRequest,
)
from vatra.server.stream import SSE, Streamed, attended
from vatra.server.writings import merged

TOKENS_AT_ONCE = 1024  # that are written as JSON before others have a turn


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
        return await self._answered(request, asked, asked.answers())

    async def complete(self, request: Request) -> Any:
        """POST /v1/completions."""
        asked = read(CompletionRequest, await self.bodies.read(request))
        texts: dict[tuple[int, ...], str] = {}
        for prompt in asked.prompts() if asked.echo else ():
            if not isinstance(prompt, str):
                name = self._name(asked.model)
                texts[tuple(prompt)] = await self.models.detokenize(name, prompt)
        return await self._answered(request, asked, asked.answers(lambda ids: texts[tuple(ids)]))

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
        await self.models.look()
        found = [model(self.models.description(name)) for name in self.models.names()]
        return JSONResponse({"object": "list", "data": found})

    async def describe(self, request: Request) -> Response:
        """GET /v1/models/NAME."""
        await self.models.look()
        return JSONResponse(model(self.models.description(request.path_params["name"])))

    async def tokenize(self, request: Request) -> Response:
        """POST /tokenize."""
        asked = read(TokenizeRequest, await self.bodies.read(request))
        name = self._name(asked.model)
        wanted = self.models.tokenize(name, asked.content, asked.add_special, asked.parse_special)
        ids = await attended(request.receive, wanted)

        async def part(some: list[int]) -> list[Any]:
            if not asked.with_pieces:
                return some
            pieces = await attended(request.receive, self.models.pieces(name, some))
            return [{"id": i, "piece": piece} for i, piece in zip(some, pieces, strict=True)]

        return Response(f'{{"tokens":{await _listed(ids, part)}}}', media_type=JSON)

    async def detokenize(self, request: Request) -> Response:
        """POST /detokenize."""
        asked = read(DetokenizeRequest, await self.bodies.read(request))
        wanted = self.models.detokenize(self._name(asked.model), asked.tokens)
        return JSONResponse({"content": await attended(request.receive, wanted)})

    async def apply_template(self, request: Request) -> Response:
        """POST /apply-template."""
        asked = read(TemplateRequest, await self.bodies.read(request))
        wanted = self.models.apply_template(
            self._name(asked.model),
            as_messages(asked.messages),
            as_tools(asked.tools) or None,
            asked.chat_template_kwargs,
        )
        text, ids = await attended(request.receive, wanted)
        tokens = await _listed(ids, _same)
        return Response(f'{{"prompt":{json.dumps(text)},"tokens":{tokens}}}', media_type=JSON)

    def _name(self, asked: str) -> str:
        """The model that is asked for, the default where none is; raises UnknownModel."""
        return self.models.description(asked or self.models.names()[0]).name

    def _fingerprint(self, name: str) -> str:
        return self.models.description(name).fingerprint

    async def _answered(
        self, request: Request, asked: OpenAIForm, answers: Sequence[Answer]
    ) -> Any:
        name = self._name(asked.model)
        head = Head(answers[0].chat, name, partial(self._fingerprint, name))
        written = [self.models.write(name, writing) for writing in asked.writings()]
        events = merged(written, self.stop)
        if asked.stream:
            with_usage = asked.stream_options is not None and asked.stream_options.include_usage
            return Streamed(_chunks(head, answers, events, with_usage, asked.n), SSE)
        await attended(request.receive, _collect(answers, events))
        return JSONResponse(head.whole(answers, asked.n) | {"timings": timings(answers)})


async def _collect(
    answers: Sequence[Answer], events: AsyncGenerator[tuple[int, Any], None]
) -> None:
    async with aclosing(events):
        async for number, event in events:
            answers[number].add(event)


async def _chunks(
    head: Head,
    answers: Sequence[Answer],
    events: AsyncGenerator[tuple[int, Any], None],
    with_usage: bool,
    n: int,
) -> AsyncGenerator[Shape, None]:
    """The chunks of a stream; with usage the last one has that, and no choices."""
    nothing: Shape = {"usage": None} if with_usage else {}
    async with aclosing(events):
        async for number, event in events:
            for choice in answers[number].add(event):
                is_last = choice["finish_reason"] and all(a.ended for a in answers)
                more = {"timings": timings(answers)} if is_last and not with_usage else nothing
                yield head.chunk([choice], **more)
    if with_usage:
        yield head.chunk([], usage=usage(answers, n), timings=timings(answers))


def timings(answers: Sequence[Answer]) -> Shape:
    """What the first answer took, by the names of llama.cpp's server, with its seed."""
    ended, begun = answers[0].ended, answers[0].begun
    if ended is None:
        return {}
    n_read = ended.prompt_tokens - ended.reused_tokens
    return {
        "cache_n": ended.reused_tokens,
        "prompt_n": n_read,
        "prompt_ms": ended.prompt_s * 1e3,
        "prompt_per_second": _rate(n_read, ended.prompt_s),
        "predicted_n": ended.generated_tokens,
        "predicted_ms": ended.generated_s * 1e3,
        "predicted_per_second": _rate(ended.generated_tokens, ended.generated_s),
        "waited_ms": ended.waited_s * 1e3,
        "seed": None if begun is None else begun.seed,
    }


def _rate(count: int, seconds: float) -> float | None:
    return count / seconds if seconds > 0 else None


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


async def _listed(ids: list[int], told: Callable[[list[int]], Awaitable[list[Any]]]) -> str:
    """What is `told` of ids as one list in JSON; streams that are sent go on meanwhile."""
    found = []
    for at in range(0, len(ids), TOKENS_AT_ONCE):
        part = await told(ids[at : at + TOKENS_AT_ONCE])
        found.append(json.dumps(part, ensure_ascii=False, separators=(",", ":"))[1:-1])
        await asyncio.sleep(0)
    return f"[{','.join(found)}]"


async def _same(ids: list[int]) -> list[int]:
    return ids


def shortened(vector: Sequence[float], dimensions: int | None) -> list[float]:
    """The first `dimensions` numbers, again of length 1, as OpenAI does; or WrongArgument."""
    if dimensions is None:
        return list(vector)
    if dimensions > len(vector):
        what = f"dimensions: got {dimensions}, this model's vectors have {len(vector)}"
        raise WrongArgument(what)
    kept = list(vector[:dimensions])
    length = sum(x * x for x in kept) ** 0.5
    return [x / length for x in kept] if length else kept


def as_base64(vector: Sequence[float]) -> str:
    """float32, little-endian, which clients ask for as it is shorter."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
