"""The records that `vatra batch` writes: answers in JSON, in the form of the lines they are to."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from vatra.cli.batch_lines import Key, Line, request_of
from vatra.engine.openai.answers import Head, as_call
from vatra.engine.openai.errors import shape, wrong
from vatra.engine.writing import Begun, Piece, calls_of, ended, tokens_of

if TYPE_CHECKING:
    from vatra.engine.batch_answers import BatchAnswer
    from vatra.formats.tokenizer import Tokenizer

_PREFIX = "batch_req_"  # of the ids of records in OpenAI's form


def record(
    line: Line, answer: BatchAnswer, model: str, tokenizer: Tokenizer | None = None
) -> dict[str, Any]:
    """What is written of an answer of `model`, in the form that its line has."""
    if line.url and line.id is not None:
        return _openai_record(line, answer, model, tokenizer)
    head = {"id": line.id} if line.id is not None else {}
    head |= {"line": line.number, "hash": line.hash}
    if answer.error is not None:
        return head | {"error": {"type": type(answer.error).__name__, "message": str(answer.error)}}
    s = answer.statistics
    more: dict[str, Any] = {
        "reasoning": answer.reasoning,
        "tool_calls": list(map(as_call, calls_of(answer.tool_calls))),
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


def _openai_record(
    line: Line, found: BatchAnswer, model: str, tokenizer: Tokenizer | None
) -> dict[str, Any]:
    if found.error is None:
        decode = str if tokenizer is None else partial(tokenizer.decode, special=True)
        [answer] = request_of(line).answers(decode)
        answer.add(Begun(0, 0, found.seed or 0))
        tokens = tokens_of(found.steps, tokenizer)
        answer.add(Piece(found.text, found.reasoning, calls_of(found.tool_calls), tokens))
        answer.add(ended(found))
        status, body = 200, Head(answer.chat, model, name=line.hash).whole([answer])
    else:
        message, code, param = wrong(found.error)
        status, body = 400, shape(message, "invalid_request_error", param, code)
    name = _PREFIX + line.hash
    return {
        "id": name,
        "custom_id": line.id,
        "response": {"status_code": status, "request_id": name, "body": body},
        "error": None,
    }
