"""Models that say what a test wants, behind the same methods as the real ones."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from vatra.engine.session import ContextFull
from vatra.engine.writing import Begun, Ended, Piece, Token, Writing
from vatra.errors import UsageError
from vatra.server.errors import Busy, Crashed, UnknownModel
from vatra.server.jobs import Description, Event


class FakeWorkers:
    """Repeats the last thing said, word by word; the words below do other things.

    "think" thinks first, "call NAME {...}" makes a call, "forever" never ends, "crash" ends in the
    middle, "busy" has no room, "full" is too long, "bug" is one of ours, "slow" waits before it
    begins. Where JSON is asked for, JSON is what it says. `jobs` are all it was asked, `open` those
    that still write, `closed` those that were cancelled.
    """

    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.jobs: list[tuple[str, Writing]] = []
        self.open = self.closed = 0
        self.loaded: list[str] = []

    def names(self) -> list[str]:
        return ["first", "owner/second:Q4_K_M", "vectors"]

    async def look(self) -> None:
        pass

    def description(self, name: str) -> Description:
        if name not in self.names():
            raise UnknownModel(f"there is no model {name!r:.60}; did you mean 'first'?")
        state: Any = "ready" if name in self.loaded else "unloaded"
        embeds = name == "vectors"
        return Description(
            name, state, 12_345, 1.7e9, "llama", 1_100_000_000, "Q4_K_M", 2048,
            embeds, not embeds, f"{len(name):032x}",
        )  # fmt: skip

    async def metadata(self, name: str) -> dict[str, Any]:
        self.description(name)
        template = "{{ tools }}{% if enable_thinking %}<think>{% endif %}"
        return {"general.architecture": "llama", "tokenizer.chat_template": template}

    async def write(self, name: str, job: Writing) -> AsyncGenerator[Event, None]:
        self.jobs.append((name, job))
        self.open += 1
        done = False
        try:
            async for event in self._write(job):
                yield event
            done = True
        finally:
            self.open -= 1
            self.closed += not done

    async def _write(self, job: Writing) -> AsyncGenerator[Event, None]:
        text = self._text(job)
        words = text.split(" ")
        match words[0]:
            case "busy":
                raise Busy(16, 3)
            case "full":
                raise ContextFull(5000, 2048)
            case "bug":
                raise KeyError("the text of somebody")
            case "wrong":
                raise UsageError("temperature: got 5000, wanted less")
            case "slow":
                await asyncio.sleep(0.3)
            case "forever":
                words = ["on"] * 1_000_000
        seed = job.sampling.get("seed", 4711)
        yield Begun(len(text), 2, seed)
        if words[0] == "think":
            yield Piece(reasoning="Let me see. ")
            yield Piece(reasoning="Yes.")
            words = words[1:]
        if words[0] == "call" and job.tools and not self._form(job):
            call = {"id": "call_0", "name": words[1], "arguments": " ".join(words[2:])}
            yield Piece(tool_calls=[call])
            words = []
        said = self._form(job) or (w if i == 0 else f" {w}" for i, w in enumerate(words))
        reason: Any = "eog"
        n_said = 0
        for part in said:
            if job.max_tokens is not None and n_said == job.max_tokens:
                reason = "length"
                break
            if any(stop in part for stop in job.stop):
                reason = "stop"
                break
            if words[:1] == ["crash"] and n_said == 2:
                raise Crashed("the process of the model was killed (signal 11)")
            n_said += 1
            token = Token(n_said, part, -0.5)
            tokens = [] if job.logprobs is None else [(token, [token] * job.logprobs)]
            yield Piece(text=part, tokens=tokens)
            await asyncio.sleep(self.delay_s)
        yield Ended(reason, len(text), 2, n_said, 0.25, 0.5, 0.01)

    def _text(self, job: Writing) -> str:
        if job.messages is not None:
            return str(job.messages[-1]["content"])
        return job.prompt if isinstance(job.prompt, str) else self._of(job.prompt or ())

    def _form(self, job: Writing) -> list[str]:
        """A value that the schema allows, in two parts."""
        if job.json:
            return ["{", "}"]
        if job.json_schema is None:
            return []
        text = json.dumps(example(job.json_schema))
        return [text[:5], text[5:]]

    def _of(self, ids: Sequence[int]) -> str:
        return "".join(chr(96 + i) for i in ids)

    async def embed(
        self, name: str, inputs: Sequence[str | Sequence[int]]
    ) -> tuple[list[list[float]], int]:
        if name != "vectors":
            raise UsageError("this model makes no vectors")
        return [[len(text) / 10, 0.6, 0.0, 0.8] for text in inputs], sum(map(len, inputs))

    async def tokenize(
        self, name: str, text: str, special: bool = False, parse_special: bool = False
    ) -> list[int]:
        return [*([0] if special else []), *(ord(c) - 96 for c in text)]

    async def detokenize(self, name: str, ids: Sequence[int]) -> str:
        return self._of(ids)

    async def pieces(self, name: str, ids: Sequence[int]) -> list[str]:
        return [self._of([i]) for i in ids]

    async def apply_template(
        self,
        name: str,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> tuple[str, list[int]]:
        return "".join(f"<{m['role']}>{m['content']}" for m in messages), [1, 2, 3]

    async def load(self, name: str) -> None:
        self.loaded.append(name)

    async def unload(self, name: str) -> None:
        if name in self.loaded:
            self.loaded.remove(name)

    def counters(self) -> dict[str, float]:
        return {"requests": 3.0, "requests_running": float(self.open), "prompt_tokens": 1e7}


def example(schema: Mapping[str, Any]) -> Any:
    """A value of a JSON schema, of the few kinds that tests have."""
    match schema:
        case {"const": value}:
            return value
        case {"anyOf": [first, *_]}:
            return example(first)
        case {"enum": [first, *_]}:
            return first
        case {"type": "integer" | "number"}:
            return 7
        case {"type": "string"}:
            return "seven"
    return {name: example(kind) for name, kind in schema.get("properties", {}).items()}
