"""Ollama's API, for the programs that know only that."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vatra.engine.fields import read
from vatra.engine.openai.answers import Shape, finite
from vatra.engine.openai.messages import as_messages, as_tools
from vatra.engine.writing import Begun, Ended, Piece, Token, Writing
from vatra.errors import WrongArgument
from vatra.server.body import Bodies
from vatra.server.errors import UnknownModel
from vatra.server.jobs import Description
from vatra.server.models import Models
from vatra.server.ollama_requests import (
    ChatRequest,
    EmbeddingsRequest,
    EmbedRequest,
    GenerateRequest,
    KeepAlive,
    ShowRequest,
    Written,
)
from vatra.server.openai import shortened
from vatra.server.stream import NDJSON, Streamed, attended
from vatra.server.writings import merged

TEMPLATE = "tokenizer.chat_template"
NANO = 1_000_000_000


@dataclass(frozen=True)
class Ollama:
    """The endpoints, over `models`; once `stop` is set answers end with an error."""

    models: Models
    bodies: Bodies
    stop: asyncio.Event
    program_version: str

    @property
    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/api/chat", self.chat, methods=["POST"]),
            Route("/api/generate", self.generate, methods=["POST"]),
            Route("/api/embed", self.embed, methods=["POST"]),
            Route("/api/embeddings", self.embeddings, methods=["POST"]),
            Route("/api/show", self.show, methods=["POST"]),
            Route("/api/tags", self.tags, methods=["GET"]),
            Route("/api/ps", self.running, methods=["GET"]),
            Route("/api/version", self.version, methods=["GET"]),
        ]

    async def chat(self, request: Request) -> Any:
        """POST /api/chat."""
        asked = read(ChatRequest, await self.bodies.read(request))
        name = self._name(asked.model)
        if not asked.messages:
            return await self._loaded(request, name, asked, {"message": _message("", "", [])})
        writing = Writing(
            messages=_with_ids(as_messages(asked.messages, own=True)),
            tools=as_tools(asked.tools) or None,
            template_kwargs=_thinking(asked.think),
            **_job(asked),
        )
        return await self._answered(request, name, asked, writing, chat=True)

    async def generate(self, request: Request) -> Any:
        """POST /api/generate."""
        asked = read(GenerateRequest, await self.bodies.read(request))
        name = self._name(asked.model)
        for field in ("suffix", "template", "context", "images"):
            if getattr(asked, field):
                raise WrongArgument(f"{field}: this server does not do it")
        if not asked.prompt:
            return await self._loaded(request, name, asked, {"response": ""})
        if asked.raw:
            writing = Writing(prompt=asked.prompt, **_job(asked))
        else:
            system = [{"role": "system", "content": asked.system}] if asked.system else []
            writing = Writing(
                messages=[*system, {"role": "user", "content": asked.prompt}],
                template_kwargs=_thinking(asked.think),
                **_job(asked),
            )
        return await self._answered(request, name, asked, writing, chat=False)

    async def embed(self, request: Request) -> Response:
        """POST /api/embed."""
        begin = time.monotonic_ns()
        asked = read(EmbedRequest, await self.bodies.read(request))
        name = self._name(asked.model)
        texts = [asked.input] if isinstance(asked.input, str) else asked.input
        vectors, n_tokens = await attended(request.receive, self.models.embed(name, texts))
        return JSONResponse(
            {
                "model": asked.model,
                "embeddings": [shortened(vector, asked.dimensions) for vector in vectors],
                "total_duration": time.monotonic_ns() - begin,
                "load_duration": 0,
                "prompt_eval_count": n_tokens,
            }
        )

    async def embeddings(self, request: Request) -> Response:
        """POST /api/embeddings."""
        asked = read(EmbeddingsRequest, await self.bodies.read(request))
        work = self.models.embed(self._name(asked.model), [asked.prompt])
        vectors, _ = await attended(request.receive, work)
        return JSONResponse({"embedding": vectors[0]})

    async def show(self, request: Request) -> Response:
        """POST /api/show."""
        asked = read(ShowRequest, await self.bodies.read(request))
        name = self._name(asked.model)
        metadata = await self.models.metadata(name)
        template = metadata.get(TEMPLATE, "")
        known = self.models.description(name)
        return JSONResponse(
            {
                "license": metadata.get("general.license", ""),
                "modelfile": "",
                "parameters": "",
                "template": template,
                "details": _details(known),
                "model_info": metadata,
                "capabilities": _capabilities(known, template),
                "modified_at": _time(known.modified),
            }
        )

    async def tags(self, request: Request) -> Response:
        """GET /api/tags."""
        return JSONResponse({"models": [_entry(d) for d in await self._descriptions()]})

    async def running(self, request: Request) -> Response:
        """GET /api/ps."""
        found = [
            _entry(d) | {"size_vram": 0, "context_length": d.n_ctx, "expires_at": _time(None)}
            for d in await self._descriptions()
            if d.state == "ready"
        ]
        return JSONResponse({"models": found})

    async def version(self, request: Request) -> Response:
        """GET /api/version."""
        return JSONResponse({"version": self.program_version})

    async def _descriptions(self) -> list[Description]:
        await self.models.look()
        return [self.models.description(name) for name in self.models.names()]

    def _name(self, asked: str) -> str:
        """The model that is asked for; raises UnknownModel. Clients add `:latest` to names."""
        try:
            return self.models.description(asked).name
        except UnknownModel:
            if not asked.endswith(":latest"):
                raise
            return self.models.description(asked.removesuffix(":latest")).name

    async def _loaded(
        self, request: Request, name: str, asked: Written, nothing: Shape
    ) -> Response:
        """The answer to no text at all: the model is loaded, or with keep_alive 0 unloaded."""
        unload = _is_zero(asked.keep_alive)
        work = self.models.unload(name) if unload else self.models.load(name)
        await attended(request.receive, work)
        end = {"done": True, "done_reason": "unload" if unload else "load"}
        return JSONResponse({"model": asked.model, "created_at": _time(None), **nothing, **end})

    async def _answered(
        self, request: Request, name: str, asked: Written, writing: Writing, chat: bool
    ) -> Any:
        parts = self._parts(name, asked, writing, chat)
        if asked.stream:
            return Streamed(parts, NDJSON)
        return JSONResponse(await attended(request.receive, _collected(parts, chat)))

    async def _parts(
        self, name: str, asked: Written, writing: Writing, chat: bool
    ) -> AsyncGenerator[Shape, None]:
        begin = time.monotonic_ns()
        written_after = begin
        async with aclosing(merged([self.models.write(name, writing)], self.stop)) as events:
            async for _, event in events:
                head = {"model": asked.model, "created_at": _time(None)}
                if isinstance(event, Piece):
                    yield head | _told(event, chat) | {"done": False}
                elif isinstance(event, Begun):
                    written_after = time.monotonic_ns()
                elif isinstance(event, Ended):
                    spent = written_after - begin - round((event.prompt_s + event.waited_s) * NANO)
                    yield {
                        **head,
                        **_told(Piece(), chat),
                        "done": True,
                        "done_reason": "length" if event.finish_reason == "length" else "stop",
                        "total_duration": time.monotonic_ns() - begin,
                        "load_duration": max(0, spent),
                        "prompt_eval_count": event.prompt_tokens,
                        "prompt_eval_duration": round(event.prompt_s * NANO),
                        "eval_count": event.generated_tokens,
                        "eval_duration": round(event.generated_s * NANO),
                    }
        if _is_zero(asked.keep_alive):
            await self.models.unload(name)


def _job(asked: Written) -> Shape:
    """Fields of `Writing`."""
    job = asked.options.job()
    job["logprobs"] = asked.top_logprobs if asked.logprobs else None
    if not isinstance(asked.format, str):
        job["json_schema"] = asked.format
    return job | {"json": asked.format == "json"}


def _thinking(think: bool | str | None) -> Shape:
    """What templates are told of it, by the names that most have."""
    if think is None:
        return {}
    effort = {"reasoning_effort": think} if isinstance(think, str) else {}
    return {"enable_thinking": bool(think), **effort}


def _with_ids(messages: Sequence[Mapping[str, Any]]) -> list[Shape]:
    """Messages whose calls have ids, that Ollama's have not, and results the id of their call."""
    found: list[Shape] = []
    waiting: list[str] = []
    n_calls = 0
    for message in messages:
        read = dict(message)
        if "tool_calls" in read:
            named = []
            for call in read["tool_calls"]:
                id = call.get("id") or f"call{n_calls:05}"
                named.append({"type": "function", **call, "id": id})
                n_calls += 1
            read["tool_calls"] = named
            waiting = [call["id"] for call in named]
        elif read["role"] == "tool":
            if "tool_name" in read:
                read["name"] = read.pop("tool_name")
            if waiting:
                id = waiting.pop(0)
                read.setdefault("tool_call_id", id)
        found.append(read)
    return found


def _told(piece: Piece, chat: bool) -> Shape:
    """A piece of an answer."""
    if chat:
        found: Shape = {"message": _message(piece.text, piece.reasoning, piece.tool_calls)}
    else:
        found = {"response": piece.text}
        if piece.reasoning:
            found["thinking"] = piece.reasoning
    if piece.tokens:
        found["logprobs"] = [
            {**_likelihood(token), "top_logprobs": [_likelihood(other) for other in top]}
            for token, top in piece.tokens
        ]
    return found


def _message(text: str, reasoning: str, calls: Sequence[Mapping[str, Any]]) -> Shape:
    found: Shape = {"role": "assistant", "content": text}
    if reasoning:
        found["thinking"] = reasoning
    if calls:
        found["tool_calls"] = [
            {"function": {"name": c["name"], "arguments": json.loads(c["arguments"])}}
            for c in calls
        ]
    return found


def _likelihood(token: Token) -> Shape:
    return {"token": token.text, "logprob": finite(token.logprob)}


async def _collected(parts: AsyncGenerator[Shape, None], chat: bool) -> Shape:
    """The last part, with what all of them hold."""
    text = thinking = ""
    calls: list[Shape] = []
    logprobs: list[Shape] = []
    last: Shape = {}
    async with aclosing(parts):
        async for last in parts:
            held = last["message"] if chat else last
            text += held["content" if chat else "response"]
            thinking += held.get("thinking", "")
            calls += held.get("tool_calls", ())
            logprobs += last.get("logprobs", ())
    if chat:
        last["message"]["content"] = text
    else:
        last["response"] = text
    held = last["message"] if chat else last
    held |= {k: v for k, v in (("thinking", thinking), ("tool_calls", calls)) if v}
    return last | ({"logprobs": logprobs} if logprobs else {})


def _is_zero(keep_alive: KeepAlive | None) -> bool:
    """True for a time of nothing, such as 0 or "0s"; how long else is decided by the server."""
    if isinstance(keep_alive, str):
        return keep_alive.rstrip("smh") == "0"
    return keep_alive == 0


def _time(seconds: float | None) -> str:
    """An instant as Ollama writes it; None is now."""
    when = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return when.isoformat().replace("+00:00", "Z")


def _entry(known: Description) -> Shape:
    return {
        "name": known.name,
        "model": known.name,
        "modified_at": _time(known.modified),
        "size": known.size,
        "digest": known.fingerprint,
        "details": _details(known),
    }


def _details(known: Description) -> Shape:
    billions = known.parameters / 1e9
    return {
        "parent_model": "",
        "format": "gguf",
        "family": known.architecture,
        "families": [known.architecture],
        "parameter_size": f"{billions:.1f}B" if billions >= 1 else f"{billions * 1e3:.1f}M",
        "quantization_level": known.quantisation,
    }


def _capabilities(known: Description, template: object) -> list[str]:
    if known.embeds:
        return ["embedding"]
    text = template if isinstance(template, str) else ""
    marks = {"tools": "tools", "thinking": "think"}  # in templates that know of them
    return ["completion", *(name for name, mark in marks.items() if mark in text)]
