"""One token after another: stop strings, whole characters, the reasons to end, and the speeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vatra.engine.logprobs import (
    Alternative,
    alternatives,
    check_count,
    log_probability,
    log_sum_exp,
)
from vatra.engine.sampler import Sampler, suppressed
from vatra.engine.sampling import MOST_TEXTS, Sampling
from vatra.errors import UsageError
from vatra.formats.answers import Answer, Part, message

if TYPE_CHECKING:
    from vatra.engine.constraint import Form, Grammar
    from vatra.engine.model import Model
    from vatra.engine.session import Session
    from vatra.engine.speculation import Speculation
    from vatra.formats.tool_calls import ToolCall

Array = np.ndarray
FinishReason = Literal["stop", "length", "eog"]


@dataclass(frozen=True)
class Step:
    """One token and the text it completes, which is often none and sometimes several characters.

    `logprob` is the natural logarithm of the token's probability before any filter. The last step
    has a `finish_reason`: "eog" for a token that ends an answer, "stop" for a stop string or where
    a grammar allows no more, "length" for the last token asked for or a full context. In a chat
    `reasoning` is text of the model's thinking, and `tool_calls` are calls that this token
    completes; `text` has neither. `top_logprobs` are the likeliest tokens, the likeliest first, as
    many as were asked for.
    """

    token: int
    text: str
    logprob: float
    finish_reason: FinishReason | None = None
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    top_logprobs: tuple[Alternative, ...] = ()


@dataclass
class Statistics:
    """What reading the prompt and writing the answer took; seconds of the clock on the wall."""

    prompt_tokens: int = 0  # evaluated, without those reused
    reused_tokens: int = 0  # of the prompt, already in the KV cache
    prompt_s: float = 0.0
    generated_tokens: int = 0
    generated_s: float = 0.0
    first_token_s: float = 0.0  # from the beginning of the prompt to the first token
    proposed_tokens: int = 0  # that were evaluated before it was known whether they are chosen
    accepted_tokens: int = 0  # of them
    dropped_tokens: int = 0  # forgotten, since the context was full
    waited_s: float = 0.0  # for a place beside others, before the prompt

    @property
    def prompt_tokens_per_s(self) -> float:
        return self.prompt_tokens / self.prompt_s if self.prompt_s else 0.0

    @property
    def generated_tokens_per_s(self) -> float:
        return self.generated_tokens / self.generated_s if self.generated_s else 0.0


def stop_strings(stop: Sequence[str]) -> Sequence[str]:
    """What was given as `stop`, a single string as a list of one."""
    return (stop,) if isinstance(stop, str) else stop


class StopStrings:
    """Lets text through up to the first of some strings, and holds back what may become one.

    Raises UsageError if one of the strings is empty, or if there are too many.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        stops = stop_strings(stops)
        if len(stops) > MOST_TEXTS:
            raise UsageError(f"stop: got {len(stops)} strings, wanted at most {MOST_TEXTS}")
        for i, stop in enumerate(stops):
            if not isinstance(stop, str) or not stop:
                raise UsageError(f"stop[{i}]: got {stop!r}, wanted a string that is not empty")
        self._stops = tuple(stops)
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """The text that is certain now, and whether a stop string was reached."""
        if not self._stops:
            return text, False
        text = self._held + text
        # The one that is complete first counts, however the text is cut into tokens.
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self._held = ""
            return text[: min(found)[1]], True
        keep = max(_overlap(text, stop) for stop in self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], False

    def flush(self) -> str:
        """What was held back, now that nothing follows."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that `stop` begins with, short of all of it."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)


class Writer:
    """Turns logits into the steps of one answer, whoever evaluates its tokens.

    `text` is all text so far, `tokens` all tokens, `finish_reason` why it ended (None while it goes
    on, and for good if it was closed), `seed` the random seed in use. `answer` tells thinking and
    tool calls from the text: `reasoning` and `tool_calls` are those so far. `timeline` are the
    tokens that it follows.
    """

    def __init__(
        self,
        model: Model,
        timeline: Iterable[int],
        sampling: Sampling,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        answer: Answer | None = None,
        *,
        logprobs: int = 0,
        grammar: Grammar | None = None,
    ) -> None:
        if max_tokens is not None and (
            isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 0
        ):
            raise UsageError(f"max_tokens: got {max_tokens!r}, wanted an integer from 0, or None")
        if not isinstance(sampling, Sampling):
            raise UsageError(f"sampling: got {type(sampling).__name__}, wanted Sampling")
        self.text = ""
        self.tokens: list[int] = []
        self.finish_reason: FinishReason | None = None
        self.statistics = Statistics()
        self._answer = answer or Answer()
        stop = [*stop_strings(stop), *self._answer.stop]
        self._stops = StopStrings(stop)
        self._n_alternatives = check_count("logprobs", logprobs)
        tokenizer = model.tokenizer_or_none
        banned = suppressed(model.metadata, model.plan.n_vocab, model.path)
        self._sampler = Sampler(sampling, timeline, tokenizer, banned)
        self._eog = frozenset() if tokenizer is None else tokenizer.eog_ids
        self._tokenizer = tokenizer
        self._stream = None if tokenizer is None else tokenizer.stream(continues=True)
        if stop:
            _ = model.tokenizer  # without it no text is ever found: it says why
        self._form: Form | None = None
        if grammar is not None:
            from vatra.engine.constraint import Form

            self._form = Form(grammar, self._answer, model)
        self._left = max_tokens
        self._likely: tuple[float, tuple[Alternative, ...]] = 0.0, ()  # of the token chosen last
        self.closed = max_tokens == 0  # no further step comes

    @property
    def seed(self) -> int:
        return self._sampler.seed

    @property
    def reasoning(self) -> str:
        return self._answer.reasoning

    @property
    def tool_calls(self) -> list[ToolCall]:
        return list(self._answer.tool_calls)

    @property
    def message(self) -> dict[str, Any]:
        """The answer so far as a message, to be put after the others for the next turn."""
        return message(self.text, self.reasoning, self.tool_calls)

    def _choose(self, logits: Array) -> int:
        """The next token for `logits` (n_vocab,) after all tokens so far."""
        token = self._sampler.sample(logits if self._form is None else self._form.narrowed(logits))
        log_sum = log_sum_exp(logits)
        top = alternatives(logits, self._n_alternatives, log_sum, self._tokenizer)
        self._accept(token, log_probability(logits, token, log_sum), top)
        return token

    @property
    def _is_greedy(self) -> bool:
        """Whether nothing is wanted of logits but the highest."""
        plain = self._form is None and not self._n_alternatives
        return plain and self._sampler.is_greedy

    def _accept(self, token: int, logprob: float, top: tuple[Alternative, ...] = ()) -> None:
        self._likely = logprob, top
        self._sampler.accept(token)
        if self._form is not None:
            self._form.accept(token)

    def _written(
        self, token: int, is_full: bool, on_full: Callable[[], FinishReason | None] | None = None
    ) -> Step:
        """The step of `token`, which was chosen just now.

        If it filled the context, the answer ends, unless `on_full` finds no reason for it.
        """
        self.tokens.append(token)
        reason: FinishReason | None = None
        text, stopped = "", False
        parts: list[Part] = []
        if token in self._eog:
            reason = "eog"
        else:
            parts = self._parts_of(token)
            text, stopped = self._stops.push(_content(parts))
            if self._left is not None:
                self._left -= 1
            if stopped or (self._form is not None and self._form.is_complete):
                reason = "stop"
            elif self._left == 0:
                reason = "length"
            elif is_full:
                reason = "length" if on_full is None else on_full()
        if reason in ("eog", "length") or (reason == "stop" and not stopped):
            # Half a character at the end may still complete a stop string with what was held.
            last = self._last_parts()
            parts = [*parts, *last]
            rest, stopped = self._stops.push(_content(last))
            text += rest + ("" if stopped else self._stops.flush())
        self.text += text
        self.finish_reason = reason
        self.closed = reason is not None
        reasoning = "".join(part.text for part in parts if part.kind == "reasoning")
        calls = tuple(part.call for part in parts if part.call is not None)
        logprob, top = self._likely
        return Step(token, text, logprob, reason, reasoning, calls, top)

    def _parts_of(self, token: int) -> list[Part]:
        if self._tokenizer is None or self._stream is None:
            return []
        if self._tokenizer.is_hidden(token):  # may be a marker of thinking or of a call
            marker = self._tokenizer.piece(token).decode("utf-8", "replace")
            return self._answer.push(marker, control=True)
        return self._answer.push(self._stream.push(token))

    def _last_parts(self) -> list[Part]:
        return [
            *self._answer.push(self._stream.flush() if self._stream else ""),
            *self._answer.finish(),
        ]

    def _count(self, seconds: float) -> None:
        """One more token took `seconds`."""
        s = self.statistics
        if not s.generated_tokens:
            s.first_token_s = s.prompt_s + seconds
        s.generated_tokens += 1
        s.generated_s += seconds


class Steps(Writer, Iterator[Step]):
    """The steps of one answer in a session, made as they are asked for.

    `shorter` gives the text to go on with when the context is full, None to end. Ending early, by
    `close` or an exception, leaves the session as it was after the last evaluated token.
    """

    def __init__(
        self,
        session: Session,
        sampling: Sampling,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        answer: Answer | None = None,
        *,
        logprobs: int = 0,
        grammar: Grammar | None = None,
        speculation: Speculation | None = None,
        shorter: Callable[[], Sequence[int] | None] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        super().__init__(
            session.model,
            session.timeline,
            sampling,
            max_tokens,
            stop,
            answer,
            logprobs=logprobs,
            grammar=grammar,
        )
        self.statistics = session.statistics
        self._session = session
        self._speculation = speculation
        if speculation is not None:
            speculation.begin(session.timeline)
        self._shorter, self._progress = shorter, progress
        self._following: Sequence[int] | None = None  # the text to go on with, if not all of it
        self._turn = session.begin_answer()

    def __next__(self) -> Step:
        """The next step; UsageError if the session went on without this answer."""
        if self.closed:
            raise StopIteration
        started = time.perf_counter()
        session = self._session
        if self._following is not None:
            session.go_on(self._turn, self._following, self._progress)
            self._following = None
            if self._speculation is not None:
                self._speculation.begin(session.timeline)
        if self._speculation is not None:
            token = self._choose(self._speculation.logits_for(session, self._turn, self._left))
        elif self._is_greedy and (best := session.best_for(self._turn)) is not None:
            token = best[0]
            self._accept(*best)
        else:
            token = self._choose(session.logits_for(self._turn))
        session.choose(token)
        if self._speculation is not None:
            self._speculation.chosen(token)
        step = self._written(token, session.is_full, self._shorten)
        self._count(time.perf_counter() - started)
        return step

    def close(self) -> None:
        """End the answer here; what was held back of its text is dropped."""
        self.closed = True

    def _shorten(self) -> FinishReason | None:
        """Find out what to go on with now that the context is full."""
        text = self._following = None if self._shorter is None else self._shorter()
        if text is None:
            return "length"
        self.statistics.dropped_tokens += len(self._session.timeline) - len(text)
        return None


def _content(parts: Sequence[Part]) -> str:
    return "".join(part.text for part in parts if part.kind == "content")
