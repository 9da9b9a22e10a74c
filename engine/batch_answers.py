"""The answers to many prompts, as they are complete."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from vatra.engine.batch import Batch
from vatra.engine.generation import FinishReason, Statistics, Step
from vatra.errors import VatraError
from vatra.formats.answers import message

if TYPE_CHECKING:
    from vatra.engine.model import Model
    from vatra.engine.request import Request
    from vatra.formats.chat_template import ChatTemplate, Message
    from vatra.formats.tool_calls import ToolCall

    AnyPrompt = str | Iterable[int] | Sequence[Message]

AHEAD = 2  # times as many prompts are made ready as are written at once


@dataclass(frozen=True)
class Job:
    """A prompt - text, tokens or messages - and what `Batch.submit` is to be told beside it."""

    prompt: Any
    options: Mapping[str, Any] = field(default_factory=dict)
    template: ChatTemplate | None = None
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    raw: bool = False  # a text is read without the tokens that begin every text
    with_steps: bool = False  # the answer has its steps

    def ready(self, model: Model) -> dict[str, Any]:
        """The options with the `ids` of the prompt, and what reads the `answer` of a chat."""
        prompt = self.prompt
        if isinstance(prompt, str):
            ids = model.tokenizer.encode(prompt, bos=False if self.raw else None)
            return {**self.options, "ids": ids}
        if not (isinstance(prompt, Sequence) and prompt and isinstance(prompt[0], Mapping)):
            return {**self.options, "ids": prompt}
        ids, answer = model.chat_prompt(prompt, template=self.template, **self.template_kwargs)
        return {**self.options, "ids": ids, "answer": answer}


@dataclass(frozen=True)
class BatchAnswer:
    """The answer to prompt number `index`, or the `error` that there is instead of its end.

    The other attributes are those of `Steps`; `steps` are there where logprobs were asked for.
    """

    index: int
    text: str = ""
    reasoning: str = ""
    tool_calls: Sequence[ToolCall] = ()
    tokens: Sequence[int] = ()
    finish_reason: FinishReason | None = None
    seed: int | None = None
    statistics: Statistics = field(default_factory=Statistics)
    steps: Sequence[Step] = ()
    error: VatraError | None = None

    @property
    def message(self) -> dict[str, Any]:
        """The answer as a message, to be put after the others for the next turn."""
        return message(self.text, self.reasoning, self.tool_calls)


def answers(
    model: Model,
    jobs: Iterable[Job | VatraError],
    parallel: int = 8,
    ctx: int | None = None,
) -> Iterator[BatchAnswer]:
    """The answers as they are complete; an error among `jobs` is its own answer.

    A job is taken when it is soon to be written. What is no VatraError is raised.
    """
    with Batch(model, parallel, ctx) as batch:
        yield from answers_of(batch, jobs)


def answers_of(batch: Batch, jobs: Iterable[Job | VatraError]) -> Iterator[BatchAnswer]:
    """`answers` by a batch that is there."""
    ended: SimpleQueue[int] = SimpleQueue()
    left = enumerate(jobs)
    running: dict[int, tuple[Request, list[Step]]] = {}
    try:
        while True:
            while len(running) < AHEAD * batch.parallel:
                index, job = next(left, (-1, None))
                if job is None:
                    break
                try:
                    if isinstance(job, VatraError):
                        raise job
                    running[index] = _submit(batch, job, partial(ended.put, index))
                except VatraError as error:
                    yield BatchAnswer(index, error=error)
            if not running:
                return
            index = ended.get()
            yield _answer(index, *running.pop(index))
    finally:
        for request, _ in running.values():
            request.cancel()


def _submit(batch: Batch, job: Job, on_end: Callable[[], None]) -> tuple[Request, list[Step]]:
    """The request of a job, and its steps where they are wanted, both to be filled."""
    steps = list[Step]()
    keep = steps.append if job.with_steps else _forget
    request = batch.submit(
        **job.ready(batch.model),
        on_step=lambda _, step: keep(step),
        on_end=lambda _request, _error: on_end(),
    )
    return request, steps


def _forget(_step: Step) -> None:
    pass


def _answer(index: int, request: Request, steps: list[Step]) -> BatchAnswer:
    if request.error is not None and not isinstance(request.error, VatraError):
        raise request.error
    return BatchAnswer(
        index,
        request.text,
        request.reasoning,
        request.tool_calls,
        request.tokens,
        request.finish_reason,
        request.seed,
        request.statistics,
        steps,
        request.error,
    )


def ordered(found: Iterable[BatchAnswer]) -> Iterator[BatchAnswer]:
    """The answers in the order of their prompts."""
    ready: dict[int, BatchAnswer] = {}
    following = 0
    for answer in found:
        ready[answer.index] = answer
        while following in ready:
            yield ready.pop(following)
            following += 1
