"""A session: one sequence of tokens that a model has read, and its memory of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from vatra.engine import numerics
from vatra.engine.generation import Statistics, Steps
from vatra.engine.sampling import Sampling
from vatra.errors import UsageError

if TYPE_CHECKING:
    from vatra.engine.model import Model
    from vatra.formats.answers import Answer

Array = np.ndarray

CHUNK = 256  # tokens evaluated at once: enough for matrix-matrix speed, few enough to interrupt
TAIL = 16  # tokens: templates end a prompt with fewer that differ once it is part of a longer text


class ContextFull(UsageError):
    """A text is longer than the context; `n_tokens` and `n_ctx` are both in the message."""

    def __init__(self, n_tokens: int, n_ctx: int) -> None:
        self.n_tokens, self.n_ctx = n_tokens, n_ctx
        super().__init__(
            f"the text has {n_tokens} tokens, but the context holds {n_ctx}: "
            "shorten it, or ask for a longer context (--ctx)"
        )


class Session:
    """One mutable timeline over an unchanging model; not for two threads at once.

    `ids` are the tokens that have been evaluated. The last token of an answer is chosen but not yet
    evaluated; `timeline` has it too. A model with memories of all tokens so far can only go on from
    where they are, or from marks: one at the end of each prompt, and one shortly before.
    """

    def __init__(self, model: Model, n_ctx: int | None = None, chunk: int = CHUNK) -> None:
        self.model = model
        self.state = model.executor.new_state(n_ctx or model.n_ctx, model.kv)
        self.statistics = Statistics()
        self._chunk = chunk
        self._ids: list[int] = []
        self._chosen: int | None = None
        self._logits: Array | None = None  # (n_vocab,) after the last of _ids
        self._prompt: tuple[int, Array] | None = None  # tokens of the last prompt, logits after it
        self._turn = 0

    @property
    def n_ctx(self) -> int:
        """Tokens of context."""
        return self.state.n_ctx

    @property
    def ids(self) -> tuple[int, ...]:
        """The tokens that have been evaluated."""
        return tuple(self._ids)

    @property
    def timeline(self) -> tuple[int, ...]:
        """`ids`, and the token that was chosen after them if there is one."""
        return self.ids if self._chosen is None else (*self._ids, self._chosen)

    @property
    def position(self) -> int:
        """How many tokens have been evaluated."""
        return len(self._ids)

    @property
    def is_full(self) -> bool:
        """Whether no further token can be evaluated."""
        return self.position >= self.n_ctx

    def sync(
        self, ids: Iterable[int], progress: Callable[[int, int], None] | None = None
    ) -> Statistics:
        """Make `ids` the whole text so far, evaluating only what differs from what is there.

        `progress(done, total)` is called after each chunk; an exception from it leaves the session
        with the chunks that are done. Raises ContextFull, or UsageError for an id that is none.
        """
        wanted = self._checked(ids)
        common = _common(self._ids, wanted)
        logits = self._logits_after(common)
        if common == len(wanted) and logits is None:
            common = max(common - 1, 0)  # the logits of the last token are needed again
        self._turn += 1
        self._chosen = self._logits = None
        reused = self.state.rewind(common)
        del self._ids[reused:]
        self._logits = logits if reused == len(wanted) else None
        if self._prompt is not None and self._prompt[0] > reused:
            self._prompt = None
        self.statistics = Statistics(reused_tokens=reused)
        started = time.perf_counter()
        try:
            tail = max(len(wanted) - TAIL, reused)
            for begin, end in pairwise(self._bounds(reused, tail, len(wanted))):
                if begin == tail:
                    self.state.mark()
                self._evaluate(wanted[begin:end], last=end == len(wanted))
                self.statistics.prompt_tokens += end - begin
                if end == len(wanted):
                    self.state.mark()
                if progress is not None:
                    progress(self.position, len(wanted))
        finally:
            self.statistics.prompt_s = time.perf_counter() - started
        if self._logits is not None:
            self._prompt = self.position, self._logits
        return self.statistics

    def _logits_after(self, n_tokens: int) -> Array | None:
        """(n_vocab,) after the first `n_tokens` of `ids`, if they are still there."""
        if n_tokens == self.position:
            return self._logits
        if self._prompt is not None and self._prompt[0] == n_tokens:
            return self._prompt[1]
        return None

    def _bounds(self, first: int, tail: int, end: int) -> list[int]:
        """Where pieces to evaluate at once begin and end, one with memories where a mark is due."""
        due = {tail} if self.state.memories else set[int]()
        return sorted({*range(first, end, self._chunk), end, *due})

    def generate(
        self,
        sampling: Sampling | None = None,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        answer: Answer | None = None,
        logprobs: int = 0,
    ) -> Steps:
        """The continuation of what is there, a step at a time.

        `sampling` None is what the model recommends. `stop` strings are not part of the text.
        `answer` tells thinking and tool calls from it. `logprobs` alternatives come with each step.
        Only the latest answer of a session can go on.
        """
        if not self._ids and self._chosen is None:
            raise UsageError("there is no text to continue: sync at least one token first")
        sampling = self.model.sampling if sampling is None else sampling
        return Steps(self, sampling, max_tokens, stop, answer, logprobs)

    def begin_answer(self) -> int:
        """The number of a new answer; older ones can not go on. Counts its tokens from zero."""
        self._turn += 1
        self.statistics.generated_tokens = 0
        self.statistics.generated_s = 0.0
        return self._turn

    def logits_for(self, turn: int) -> Array:
        """Logits (n_vocab,) after all of `timeline`, which is evaluated as far as it is not.

        Raises UsageError if `turn` is not the latest answer, ContextFull if there is no room.
        """
        if turn != self._turn:
            raise UsageError(
                "this answer can not go on: its session has been used for another text"
            )
        if self._chosen is None and self._logits is None:  # an evaluation was interrupted
            self._chosen = self._ids[-1]
            del self._ids[-1]
        if self._chosen is not None:
            if self.is_full:
                raise ContextFull(self.position + 1, self.n_ctx)
            self._evaluate([self._chosen])
        assert self._logits is not None
        return self._logits

    def choose(self, token: int) -> None:
        """Make `token` the next of the timeline."""
        self._chosen = token

    def _evaluate(self, tokens: list[int], last: bool = True) -> None:
        """Evaluate `tokens` after `ids`; nothing is counted as read unless all of them are."""
        self._logits = None
        # Only after an interrupted run are some of `ids` missing in the memories.
        for begin in range(self.state.rewind(self.position), self.position, self._chunk):
            missing = self._ids[begin : begin + self._chunk]
            self.model.run(self.state, np.asarray(missing, np.int32), begin, "none")
        ids = np.asarray(tokens, np.int32)
        found = self.model.run(self.state, ids, self.position, "last" if last else "none")
        if last:
            numerics.check_finite(found, self.model, [*self._ids, *tokens])
        # A copy: the executor may use the memory again.
        logits = np.array(found[-1]) if last else None
        # In this order an interrupt between any two of them leaves a state that was true once.
        self._chosen = None
        self._ids += tokens
        self._logits = logits

    def _checked(self, ids: Iterable[int]) -> list[int]:
        array = np.asarray(ids if isinstance(ids, (np.ndarray, list, tuple)) else list(ids))
        if array.size == 0:
            return []
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise UsageError(f"ids: got {array.dtype} of shape {array.shape}, wanted integers (n,)")
        n_vocab = self.model.plan.n_vocab
        wrong = (array < 0) | (array >= n_vocab)
        if wrong.any():
            at = int(wrong.argmax())
            raise UsageError(f"ids[{at}]: got {array[at]}, wanted 0 to {n_vocab - 1}")
        if array.size > self.n_ctx:
            raise ContextFull(array.size, self.n_ctx)
        return [int(i) for i in array]


def _common(a: list[int], b: list[int]) -> int:
    """How many tokens two sequences have in common at their beginning."""
    n = min(len(a), len(b))
    differs = np.asarray(a[:n]) != np.asarray(b[:n])
    return int(differs.argmax()) if differs.any() else n
