"""The records that `vatra batch` writes: answers in JSON, in the form of the lines they are to."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from vatra.cli.batch_lines import CHAT, Key, Line

if TYPE_CHECKING:
    from vatra.engine.batch_answers import BatchAnswer
    from vatra.formats.tool_calls import ToolCall

_PREFIX = "batch_req_"  # of the ids of records in OpenAI's form


def record(line: Line, answer: BatchAnswer, model: str) -> dict[str, Any]:
    """What is written of an answer of `model`, in the form that its line has."""
    if line.url and line.id is not None:
        return _openai_record(line, answer, model)
    head = {"id": line.id} if line.id is not None else {}
    head |= {"line": line.number, "hash": line.hash}
    if answer.error is not None:
        return head | {"error": {"type": type(answer.error).__name__, "message": str(answer.error)}}
    s = answer.statistics
    more: dict[str, Any] = {
        "reasoning": answer.reasoning,
        "tool_calls": [_call(call) for call in answer.tool_calls],
        "logprobs": [
            {"token": step.token, "text": step.text, "logprob": step.logprob,
             "top": [top._asdict() for top in step.top_logprobs]}
            for step in answer.steps
        ],
    }  # fmt: skip
    return {
        **head,
        "text": answer.text,
        **{name: value for name, value in more.items() if value},
        "finish_reason": answer.finish_reason,
        "prompt_tokens": s.prompt_tokens + s.reused_tokens,
        "generated_tokens": s.generated_tokens,
        "seed": answer.seed,
    }


def key_of(found: Mapping[str, Any]) -> tuple[Key, str, bool]:
    """The key of the line that a record answers, its hash, and whether it is an error.

    Raises KeyError or TypeError for what is no record.
    """
    if "custom_id" in found:
        failed = found["response"]["status_code"] != 200
        return ("id", found["custom_id"]), str(found["id"]).removeprefix(_PREFIX), failed
    key = ("id", found["id"]) if "id" in found else ("line", found["line"])
    return key, found["hash"], "error" in found


def _call(call: ToolCall) -> dict[str, Any]:
    arguments = json.dumps(call.arguments)
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


def _openai_record(line: Line, answer: BatchAnswer, model: str) -> dict[str, Any]:
    status, body = 200, _body(line, answer, model)
    if answer.error is not None:
        kind, what = "invalid_request_error", str(answer.error)
        status, body = 400, {"error": {"message": what, "type": kind, "param": None, "code": None}}
    name = _PREFIX + line.hash
    return {
        "id": name,
        "custom_id": line.id,
        "response": {"status_code": status, "request_id": name, "body": body},
        "error": None,
    }


def _body(line: Line, answer: BatchAnswer, model: str) -> dict[str, Any]:
    """A chat or a completion as OpenAI's API returns it."""
    chat, s = line.url == CHAT, answer.statistics
    reason = "length" if answer.finish_reason == "length" else "stop"
    choice: dict[str, Any] = {"index": 0, "finish_reason": reason, "logprobs": None}
    if chat:
        said: dict[str, Any] = {"role": "assistant", "content": answer.text}
        if answer.reasoning:
            said["reasoning_content"] = answer.reasoning
        if answer.tool_calls:
            said["tool_calls"] = [_call(call) for call in answer.tool_calls]
            choice["finish_reason"] = "tool_calls"
        choice["message"] = said
    else:
        choice["text"] = answer.text
    if answer.steps:
        choice["logprobs"] = _chat_logprobs(answer) if chat else _logprobs(answer)
    n_prompt = s.prompt_tokens + s.reused_tokens
    return {
        "id": f"{'chatcmpl' if chat else 'cmpl'}-{line.hash}",
        "object": "chat.completion" if chat else "text_completion",
        "created": int(time.time()),
        "model": model,
        "choices": [choice],
        "usage": {
            "prompt_tokens": n_prompt,
            "completion_tokens": s.generated_tokens,
            "total_tokens": n_prompt + s.generated_tokens,
            "prompt_tokens_details": {"cached_tokens": s.reused_tokens},
        },
    }


def _chat_logprobs(answer: BatchAnswer) -> dict[str, Any]:
    def one(text: str, logprob: float) -> dict[str, Any]:
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}

    return {
        "content": [
            one(step.text, step.logprob)
            | {"top_logprobs": [one(top.text, top.logprob) for top in step.top_logprobs]}
            for step in answer.steps
        ]
    }


def _logprobs(answer: BatchAnswer) -> dict[str, Any]:
    texts = [step.text for step in answer.steps]
    return {
        "tokens": texts,
        "token_logprobs": [step.logprob for step in answer.steps],
        "top_logprobs": [{t.text: t.logprob for t in step.top_logprobs} for step in answer.steps],
        "text_offset": [0, *accumulate(map(len, texts))][:-1],
    }
