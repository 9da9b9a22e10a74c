"""Completions of a text, whole and in parts."""

from __future__ import annotations

from collections.abc import Iterator

from vatra.engine.llama.responses import (
    Head,
    Likelihood,
    Response,
    completion_logprobs,
    usage,
)
from vatra.engine.llama.writing import Writing


def whole(writing: Writing, head: Head, prompt: str, echo: bool) -> Response:
    """The completion of `prompt`; with `echo` the prompt is part of it."""
    tokens = _of_prompt(writing) if echo else []
    text = prompt if echo else ""
    for step in writing.steps():
        text += step.text
        tokens += writing.likelihood(step)
    logprobs = None
    if writing.logprobs is not None:
        logprobs = completion_logprobs(tokens, 0 if echo else len(prompt))
    counts = usage(len(writing.ids), writing.n_tokens)
    return head.completion(text, logprobs, writing.finish_reason, usage=counts)


def parts(writing: Writing, head: Head, prompt: str, echo: bool) -> Iterator[Response]:
    """The same as it is written; the last part has no text, but the reason why it ended."""
    offset = 0 if echo else len(prompt)
    if echo:
        tokens = _of_prompt(writing)
        offset = sum(len(token.text) for token in tokens) if tokens else len(prompt)
        yield head.completion(prompt, completion_logprobs(tokens, 0) if tokens else None, None)
    for step in writing.steps():
        tokens = writing.likelihood(step)
        if step.text or tokens:
            logprobs = completion_logprobs(tokens, offset) if tokens else None
            offset += sum(len(token.text) for token in tokens)
            yield head.completion(step.text, logprobs, None)
    yield head.completion("", None, writing.finish_reason)


def _of_prompt(writing: Writing) -> list[Likelihood]:
    """How likely the tokens of the prompt are, without the one that begins every text."""
    if writing.logprobs is None:
        return []
    llama = writing.llama
    found = []
    for token in llama.model.logprobs(writing.ids, writing.logprobs):
        top = [(llama.detokenize([other.token]), other.logprob) for other in token.top]
        found.append(Likelihood(llama.detokenize([token.token]), token.logprob, top))
    if writing.ids[:1] == [llama.token_bos()]:
        found = found[1:]
        found[:1] = [first._replace(logprob=None, top=()) for first in found[:1]]
    return found
