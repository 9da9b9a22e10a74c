"""One text among those that a batch writes."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterator, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING

import numpy as np

from vatra.engine.generation import Step, Writer
from vatra.engine.kernels.layout import PAGE
from vatra.engine.prefixes import Key
from vatra.engine.sampling import Sampling
from vatra.engine.session import AGAIN, TAIL, bounds

if TYPE_CHECKING:
    from vatra.engine.constraint import Grammar
    from vatra.engine.model import Model
    from vatra.formats.answers import Answer

Array = np.ndarray
UNKNOWN_S = 2e-3  # that the first token takes to choose, where anything may have to be computed
OnStep = Callable[["Request", Step], None]
OnEnd = Callable[["Request", BaseException | None], None]


class Request(Writer, Iterator[Step]):
    """A text that a `Batch` goes on with; its steps, which come whether they are asked for or not.

    For one thread to iterate over, unless `on_step` takes them: that and `on_end` are called by the
    thread that drives the batch, and must be quick. `error` is what ended it, if something did.
    `chosen_s` is how long a processor took to choose its last token. The other attributes are those
    of `Steps`.
    """

    def __init__(
        self,
        model: Model,
        ids: list[int],
        sampling: Sampling,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        answer: Answer | None = None,
        *,
        logprobs: int = 0,
        grammar: Grammar | None = None,
        on_step: OnStep | None = None,
        on_end: OnEnd | None = None,
        on_cancel: Callable[[Request], None],
    ) -> None:
        super().__init__(
            model, ids, sampling, max_tokens, stop, answer, logprobs=logprobs, grammar=grammar
        )
        self.ids = ids  # all tokens so far, the last of them not evaluated yet
        self.n_prompt = len(ids)
        self.error: BaseException | None = None
        unknown = grammar is not None or sampling.filters
        self.chosen_s = UNKNOWN_S if unknown else 0.0
        tail = max(self.n_prompt - TAIL, 0) if model.plan.memories else None
        self._bounds = bounds(0, self.n_prompt, tail=tail)
        self._on_step, self._on_end, self._on_cancel = on_step, on_end, on_cancel
        self._keys: list[Key] = []
        self._steps: SimpleQueue[Step | None] = SimpleQueue()
        self._ended = threading.Event()
        self._submitted = self._since = time.perf_counter()

    def cancel(self) -> None:
        """End it with the token that is being evaluated; nothing happens if it has ended."""
        self._on_cancel(self)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, for `timeout` seconds at most; whether it has come."""
        return self._ended.wait(timeout)

    @property
    def is_done(self) -> bool:
        """Whether no step follows, as it ended, was cancelled or failed."""
        return self._ended.is_set()

    def __next__(self) -> Step:
        """The next step as soon as it is there; raises what ended the text, if it was an error."""
        step = self._steps.get()
        if step is not None:
            return step
        self._steps.put(None)
        if self.error is not None:
            raise another(self.error)
        raise StopIteration

    def piece(self, position: int) -> tuple[int, int]:
        """How many tokens were evaluated with the one at `position`, and the end of those that can.

        If it were alone, that is: a prompt in pieces, and what was written one by one.
        """
        if position >= self._bounds[-1]:
            return 1, len(self.ids)
        i = bisect_right(self._bounds, position)
        return self._bounds[i] - self._bounds[i - 1], self._bounds[i]

    def keys(self, n_pages: int, kind: Callable[[int], Hashable]) -> list[Key]:
        """What its first `n_pages` pages, all of them whole, are found by.

        `kind` tells the kernels that evaluate pieces of so many tokens.
        """
        for first in range(len(self._keys) * PAGE, n_pages * PAGE, PAGE):
            kinds = tuple(kind(self.piece(i)[0]) for i in range(first, first + PAGE))
            kinds = kinds[:1] if len(set(kinds)) == 1 else kinds
            self._keys.append((tuple(self.ids[first : first + PAGE]), kinds))
        return self._keys[:n_pages]

    def read_again(self) -> None:
        """All of it is to be read anew, under other patches: in pieces, as a session does."""
        self._keys.clear()
        n = len(self.ids)
        if self.tokens:
            self._bounds = bounds(0, n - 1) if n - 1 > AGAIN else [0, n]

    def begin(self, n_reused: int) -> None:
        """Its turn has come, and the first tokens need no evaluation."""
        if not self.tokens:
            self._since = time.perf_counter()
            self.statistics.waited_s = self._since - self._submitted
            self.statistics.reused_tokens = n_reused

    def choose(self, logits: Array) -> int:
        """The next token by `logits` (n_vocab,) after all of `ids`; to be called in any thread."""
        if not self.tokens:
            now = time.perf_counter()
            self.statistics.prompt_tokens = self.n_prompt - self.statistics.reused_tokens
            self.statistics.prompt_s, self._since = now - self._since, now
        began = time.thread_time()
        token = self._choose(logits)
        self.chosen_s = time.thread_time() - began
        return token

    def push(self, token: int, n_ctx: int) -> None:
        """Go on with `token`, and tell of it."""
        is_full = len(self.ids) >= n_ctx
        self.ids.append(token)
        step = self._written(token, is_full)
        now = time.perf_counter()
        self._count(now - self._since)
        self._since = now
        if self._on_step is None:
            self._steps.put(step)
        else:
            self._on_step(self, step)

    def end(self, error: BaseException | None = None) -> None:
        """Nothing follows; `on_end` is told why."""
        if self._ended.is_set():
            return
        self.closed, self.error = True, error
        self._ended.set()
        self._steps.put(None)
        if self._on_end is not None:
            self._on_end(self, error)


def another(error: BaseException) -> BaseException:
    """A copy of `error` for one more to raise: each raising adds to what an exception holds."""
    made = type(error).__new__(type(error), *error.args)
    made.__dict__ |= error.__dict__
    made.__cause__, made.__context__ = error.__cause__, error.__context__
    made.__suppress_context__ = error.__suppress_context__
    return made.with_traceback(error.__traceback__)
