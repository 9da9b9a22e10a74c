"""A session: one sequence of tokens that a model has read, and its memory of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vatra.engine import numerics, session_file
from vatra.engine.executor import Outdated
from vatra.engine.generation import Statistics, Steps
from vatra.engine.sampling import Sampling
from vatra.engine.session_file import Timeline
from vatra.engine.speculation import Speculate, Speculation, proposer
from vatra.errors import UsageError

if TYPE_CHECKING:
    from vatra.engine.constraint import Grammar
    from vatra.engine.executor import Outputs, Saved
    from vatra.engine.model import Model
    from vatra.formats.answers import Answer

Array = np.ndarray

CHUNK = 256  # tokens evaluated at once: enough for matrix-matrix speed, few enough to interrupt
TAIL = 16  # tokens: templates end a prompt with fewer that differ once it is part of a longer text
AGAIN = 8  # tokens that are evaluated again together with the next one, at the most


Overflow = Literal["stop", "shift"]


class ContextFull(UsageError):
    """A text is longer than the context; `n_tokens` and `n_ctx` are both in the message."""

    def __init__(self, n_tokens: int, n_ctx: int) -> None:
        self.n_tokens, self.n_ctx = n_tokens, n_ctx
        super().__init__(
            f"the text has {n_tokens} tokens, but the context holds {n_ctx}: "
            "shorten it, or ask for a longer context (--ctx)"
        )


@dataclass(frozen=True)
class Snapshot:
    """What a session has read, with all it takes to go on from there."""

    ids: tuple[int, ...]
    logits: Array | None  # (n_vocab,) after the last of them, if they were there
    state: Saved

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self.state.nbytes


class Session:
    """One mutable timeline over an unchanging model; not for two threads at once.

    `ids` are the tokens that have been evaluated. The last token of an answer is mostly chosen but
    not yet evaluated; `timeline` has it too. A model with memories of all tokens so far can only go
    on from where they are, or from marks: one at the end of each prompt, one shortly before, and
    one before the latest proposals. Where patches come or go, all is read again when it is needed.
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
        self._ahead: list[tuple[int, Array]] = []  # proposed tokens after _ids, logits after each
        self._speculation: tuple[Speculate, Speculation] | None = None
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

    @property
    def is_evaluated(self) -> bool:
        """Whether the logits after all of `timeline` are there."""
        current = self.state.is_current(self.position)
        return current and self._chosen is None and self._logits is not None

    @property
    def missing(self) -> int:
        """How many of `ids` must be evaluated again, as memories went back to a mark."""
        return self.position - self.state.rewind(self.position)

    def sync(
        self, ids: Iterable[int], progress: Callable[[int, int], None] | None = None
    ) -> Statistics:
        """Make `ids` the whole text so far, evaluating only what differs from what is there.

        `progress(done, total)` is called after each chunk; an exception from it leaves the session
        with the chunks that are done. Raises ContextFull, or UsageError for an id that is none.
        """
        wanted = checked(ids, self.model.plan.n_vocab, self.n_ctx)
        self._turn += 1
        self.statistics = Statistics()
        self._read(wanted, self.statistics, progress)
        return self.statistics

    def go_on(
        self,
        turn: int,
        ids: Iterable[int],
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Make `ids` the whole text, of which answer number `turn` is the end; see `sync`."""
        self._check_turn(turn)
        wanted = checked(ids, self.model.plan.n_vocab, self.n_ctx)
        self._read(wanted, Statistics(), progress)

    def _read(
        self,
        wanted: list[int],
        statistics: Statistics,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        common = common_prefix(self._ids, wanted)
        logits = self._logits_after(common)
        if common == len(wanted) and logits is None:
            common = max(common - 1, 0)  # the logits of the last token are needed again
        self._chosen = self._logits = None
        self._ahead = []
        reused = self.state.rewind(common)
        del self._ids[reused:]
        self._logits = logits if reused == len(wanted) else None
        if self._prompt is not None and self._prompt[0] > reused:
            self._prompt = None
        statistics.reused_tokens = reused
        started = time.perf_counter()
        try:
            tail = max(len(wanted) - TAIL, reused)
            marked = tail if self.state.memories else None
            for begin, end in pairwise(bounds(reused, len(wanted), self._chunk, marked)):
                if begin == tail:
                    self.state.mark()
                self._evaluate(wanted[begin:end], last=end == len(wanted))
                statistics.prompt_tokens += end - begin
                if end == len(wanted):
                    self.state.mark()
                if progress is not None:
                    progress(self.position, len(wanted))
        finally:
            statistics.prompt_s = time.perf_counter() - started
        if self._logits is not None:
            self._prompt = self.position, self._logits

    def _logits_after(self, n_tokens: int) -> Array | None:
        """(n_vocab,) after the first `n_tokens` of `ids`, if they are still there."""
        if n_tokens == self.position:
            return self._logits
        if self._prompt is not None and self._prompt[0] == n_tokens:
            return self._prompt[1]
        return None

    def generate(
        self,
        sampling: Sampling | None = None,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        answer: Answer | None = None,
        *,
        logprobs: int = 0,
        grammar: Grammar | None = None,
        speculate: Speculate = None,
        overflow: Overflow | Callable[[], Sequence[int] | None] = "stop",
        keep: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Steps:
        """The continuation of what is there, a step at a time.

        `sampling` None is what the model recommends. `stop` strings are not part of the text.
        `answer` tells thinking and tool calls from it. Only the latest answer of a session can go
        on. `logprobs` alternatives come with each step. The content of the answer is what `grammar`
        allows. `speculate` is "lookup", a `Draft` or another `Proposer`: the tokens are the same,
        and may come faster.

        A full context ends the answer, but with `overflow="shift"` the older half of all behind the
        first `keep` tokens is forgotten, what is left is read again as `progress` tells, and the
        answer goes on. `keep` None is the token that begins every text, if there is one. A function
        in the place of "shift" says which tokens to go on with, or None to end.
        """
        if not self._ids and self._chosen is None:
            raise UsageError("there is no text to continue: sync at least one token first")
        sampling = self.model.sampling if sampling is None else sampling
        shorter = self._shift(overflow, keep) if isinstance(overflow, str) else overflow
        speculation = self._speculate(speculate)
        return Steps(
            self,
            sampling,
            max_tokens,
            stop,
            answer,
            logprobs=logprobs,
            grammar=grammar,
            speculation=speculation,
            shorter=shorter,
            progress=progress,
        )

    def _speculate(self, speculate: Speculate) -> Speculation | None:
        """What decides on proposals, with all that it has learned in earlier answers."""
        if speculate is None:
            return None
        if self._speculation is None or self._speculation[0] != speculate:
            source = proposer(speculate, self.model)
            made = Speculation(source, self.model.plan.n_vocab, self.n_ctx)
            self._speculation = speculate, made
        return self._speculation[1]

    def _shift(self, overflow: str, keep: int | None) -> Callable[[], list[int]] | None:
        """What gives the tokens to go on with when the context is full."""
        if overflow not in ("stop", "shift"):
            raise UsageError(f'overflow: got {overflow!r}, wanted "stop" or "shift"')
        if keep is None:
            tokenizer = self.model.tokenizer_or_none
            begins = tokenizer is not None and self.timeline[0] == tokenizer.bos_id
            keep = int(begins and self.n_ctx > 1)
        if isinstance(keep, bool) or not isinstance(keep, int) or not 0 <= keep <= self.n_ctx // 2:
            half = f"an integer from 0 to {self.n_ctx // 2}, half of the context"
            raise UsageError(f"keep: got {keep!r}, wanted {half}")
        if overflow == "stop":
            return None
        kept = keep

        def shorter() -> list[int]:
            text = self.timeline
            return [*text[:kept], *text[kept + (len(text) - kept + 1) // 2 :]]

        return shorter

    def begin_answer(self) -> int:
        """The number of a new answer; older ones can not go on. Counts its tokens from zero."""
        self._turn += 1
        self.statistics.generated_tokens = 0
        self.statistics.generated_s = 0.0
        self.statistics.proposed_tokens = self.statistics.accepted_tokens = 0
        return self._turn

    def logits_for(self, turn: int, proposed: Sequence[int] = ()) -> Array:
        """Logits (n_vocab,) after all of `timeline`, which is evaluated as far as it is not.

        If it must be, `proposed` tokens are evaluated with it: those of them that are chosen next
        need no evaluation. Raises UsageError if `turn` is not the latest answer, ContextFull if
        there is no room.
        """
        self._check_turn(turn)
        if not self.state.is_current(self.position):  # patches have come or gone since
            self._logits, self._prompt, self._ahead = None, None, []
        if self._chosen is None and self._logits is None:  # an evaluation was interrupted
            self._chosen = self._ids[-1]
            del self._ids[-1]
        if self._chosen is not None:
            n_tokens = self.position + 1 + len(proposed)
            if n_tokens > self.n_ctx:
                raise ContextFull(n_tokens, self.n_ctx)
            self._evaluate([self._chosen], proposed=proposed)
            self.statistics.proposed_tokens += len(proposed)
        assert self._logits is not None
        return self._logits

    def best_for(self, turn: int) -> tuple[int, float] | None:
        """The likeliest token after `timeline`, and its logprob, where no logits must be made.

        None where they must, or are there: see `logits_for`.
        """
        self._check_turn(turn)
        token, position = self._chosen, self.position
        if token is None or self.is_full or self.missing or not self.state.is_current(position):
            return None
        if (found := self.model.best(self.state, token, position)) is None:
            return None
        self._logits, self._ahead, self._chosen = None, [], None
        self._ids.append(token)
        return found

    def _check_turn(self, turn: int) -> None:
        if turn != self._turn:
            raise UsageError(
                "this answer can not go on: its session has been used for another text"
            )

    def choose(self, token: int) -> None:
        """Make `token` the next of the timeline."""
        if not self._ahead or self._ahead[0][0] != token:
            self._chosen = token
            return
        _, logits = self._ahead.pop(0)
        # In this order an interrupt between any two of them leaves a state that was true once.
        self._logits = None
        self._ids.append(token)
        self._logits = logits
        self.statistics.accepted_tokens += 1

    @property
    def logits(self) -> Array:
        """float32 (n_vocab,) after all of `timeline`, which is evaluated as far as it is not."""
        return self.logits_for(self._turn)

    def snapshot(self) -> Snapshot:
        """All that has been evaluated, to `restore`; a copy of the memory of the whole context."""
        return Snapshot(self.ids, self._logits, self.state.saved())

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to `snapshot`, of this model and of a context as long as this one.

        Raises UsageError for another.
        """
        self.sync([])
        self.state.restore(snapshot.state)
        self._ids, self._logits = list(snapshot.ids), snapshot.logits

    def save(self, path: str | os.PathLike[str], extra: Mapping[str, Any] | None = None) -> None:
        """Write all that has been evaluated to a file, with `extra`, which JSON must hold.

        `path` holds the old content or the new, whatever happens. Raises IOFailed, or UsageError,
        also where what was read was read under patches.
        """
        if not self.state.is_of((), self.position):
            raise UsageError(
                "this session was read under patches, and would be gone on with without them: "
                "leave their block and read the text again before it is saved"
            )
        session_file.save(path, self.model, self._saved(), extra)

    def load(self, path: str | os.PathLike[str]) -> dict[str, Any]:
        """Go on from what `save` wrote for the same model, context and KV type; gives `extra`.

        Raises MissingFile, BadFile, OutOfMemory, or UsageError that says what differs; this session
        is then as it was.
        """
        found, extra = session_file.load(path, self.model, self.n_ctx)
        self.go_on_from(found)
        return extra

    def _saved(self) -> Timeline:
        return Timeline(self._ids, self._chosen, self._logits, self._prompt, self.state)

    def go_on_from(self, found: Timeline) -> None:
        """Take the place of what was read so far by what `session_file.load` found."""
        self._turn += 1
        self.statistics = Statistics()
        # In this order an interrupt between any two of them leaves a state that was true once.
        self._chosen = self._logits = self._prompt = None
        self._ahead, self._ids = [], []
        self.state = found.state
        self._ids = found.ids
        self._prompt, self._logits, self._chosen = found.prompt, found.logits, found.chosen

    def _evaluate(self, tokens: list[int], last: bool = True, proposed: Sequence[int] = ()) -> None:
        """Evaluate `tokens` after `ids`; nothing is counted as read unless all of them are."""
        self._logits, self._ahead = None, []
        outputs: Outputs = "all" if proposed else "last" if last else "none"
        found: Array | None = None
        while found is None:
            with suppress(Outdated):  # another thread has just patched the model: all is read again
                found = self._found(tokens, outputs, proposed)
        n = len(found) - len(proposed)  # of logits up to those after the last of `tokens`
        if last:
            numerics.check_finite(found[n - 1 : n], self.model, [*self._ids, *tokens])
        # Copies: the executor may use the memory again.
        logits = np.array(found[n - 1]) if last else None
        ahead = zip(proposed, np.array(found[n:]), strict=True)
        # In this order an interrupt between any two of them leaves a state that was true once.
        self._chosen = None
        self._ids += tokens
        # What is not finite is found again, and to blame, if that token is chosen.
        self._ahead = list(takewhile(lambda one: np.isfinite(one[1]).all(), ahead))
        self._logits = logits

    def _found(self, tokens: list[int], outputs: Outputs, proposed: Sequence[int]) -> Array:
        """What `tokens` and `proposed` give, with those of `ids` before them that are missing."""
        first = self.position - self.missing
        if len(tokens) > 1 or self.position - first > AGAIN:
            for begin in range(first, self.position, self._chunk):
                self._run(self._ids[begin : begin + self._chunk], begin, "none")
            first = self.position
        if proposed:
            self.state.mark(passing=True)
        return self._run([*self._ids[first:], *tokens, *proposed], first, outputs)

    def _run(self, tokens: list[int], position: int, outputs: Outputs) -> Array:
        return self.model.run(self.state, np.asarray(tokens, np.int32), position, outputs)


def checked(ids: Iterable[int], n_vocab: int, n_ctx: int) -> list[int]:
    """`ids` as a list; raises UsageError for one that is none, ContextFull for too many."""
    array = np.asarray(ids if isinstance(ids, (np.ndarray, list, tuple)) else list(ids))
    if array.size == 0:
        return []
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise UsageError(f"ids: got {array.dtype} of shape {array.shape}, wanted integers (n,)")
    wrong = (array < 0) | (array >= n_vocab)
    if wrong.any():
        at = int(wrong.argmax())
        raise UsageError(f"ids[{at}]: got {array[at]}, wanted 0 to {n_vocab - 1}")
    if array.size > n_ctx:
        raise ContextFull(array.size, n_ctx)
    return [int(i) for i in array]


def bounds(first: int, end: int, chunk: int = CHUNK, tail: int | None = None) -> list[int]:
    """Where pieces of a prompt to evaluate at once begin and end, one of them at `tail`.

    The kernels that evaluate a token, and so its last bits, depend on the length of its piece.
    """
    return sorted({*range(first, end, chunk), end, *(() if tail is None else (tail,))})


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two sequences have in common at their beginning."""
    n = min(len(a), len(b))
    differs = np.asarray(a[:n]) != np.asarray(b[:n])
    return int(differs.argmax()) if differs.any() else n
