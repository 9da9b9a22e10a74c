"""Many texts at once: each step evaluates a token of every one, and a bit of one prompt.

A prompt is read in the pieces that it would be read in alone, so that it gets the same bits. Beside
texts that are written such a piece is not evaluated in one go: a few operations of it in each step.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Literal

import numpy as np

from vatra.engine import memory, numerics
from vatra.engine.executor import Outdated, Outputs, Part, State
from vatra.engine.kernels.layout import PAGE
from vatra.engine.pages import Pages
from vatra.engine.prefixes import Prefix, Prefixes
from vatra.engine.request import OnEnd, OnStep, Request, another
from vatra.engine.sampling import Sampling
from vatra.engine.session import CHUNK, checked
from vatra.engine.speculation import Recent
from vatra.errors import UsageError

if TYPE_CHECKING:
    from vatra.engine.constraint import Grammar
    from vatra.engine.model import Model
    from vatra.formats.answers import Answer

SHARE = 1.5  # times as long as tokens of all texts take, a step may read of a prompt
WAIT = 0.5  # times as long, it may wait for tokens that are chosen in other threads
QUICK_S = 1e-3  # what took longer is done there, while other texts go on
SLOW_S = 5e-3  # what took longer than that, only for few texts at a time


@dataclass(eq=False)
class Place:
    """A text that runs: `position` of its tokens are in `state`, whose first pages are `path`.

    `reading` is a part of it that is evaluated bit by bit, `choice` its next token, which another
    thread is choosing.
    """

    request: Request
    state: State
    position: int
    path: list[Prefix] = field(default_factory=list)
    reading: tuple[Part, Iterator[np.ndarray | None]] | None = None
    choice: Future[int] | None = None

    @property
    def writes(self) -> bool:
        """Whether it has but one token to be evaluated before the next is chosen."""
        return self.reading is None and len(self.request.ids) - self.position == 1

    @property
    def reads(self) -> bool:
        """Whether it has more than that."""
        return self.choice is None and not self.writes

    def part(self, most: int) -> Part:
        """The next `most` tokens, or as many as are evaluated by the same kernels."""
        ids, (piece, end) = self.request.ids, self.request.piece(self.position)
        tokens = ids[self.position : min(end, self.position + most)]
        last = self.position + len(tokens) == len(ids)
        outputs: Outputs = "last" if last else "none"
        return Part(self.state, np.asarray(tokens, np.int32), self.position, outputs, piece)


class Batch:
    """Writes up to `parallel` texts at once, in a thread of its own; others wait in order.

    Each is what `Session.generate` writes alone, token for token, whatever runs beside it. `n_ctx`
    is the context of each, by default the model's; `kv_tokens` how many tokens they and finished
    ones may have in memory together, by default as many as `parallel` texts can have or a share of
    the memory holds. Texts that begin alike share what was evaluated of them. When memory runs out,
    the text that came last is set back, and evaluated again later; where patches of the model come
    or go, all are. A token that takes long to choose - a costly grammar, a slow filter - is chosen
    in another thread, and the other texts go on.

    Use it in a `with`, or `close` it. Raises UsageError for a model that can not write.
    """

    def __init__(
        self,
        model: Model,
        parallel: int = 8,
        n_ctx: int | None = None,
        kv_tokens: int | None = None,
    ) -> None:
        from vatra.engine.model import MOST_PARALLEL, cannot_write, check_number

        if (why := cannot_write(model.plan)) is not None:
            raise UsageError(why)
        check_number("parallel", parallel, MOST_PARALLEL)
        check_number("n_ctx", n_ctx, 2**31 - 1)
        check_number("kv_tokens", kv_tokens, 2**31 - 1)
        self.model, self.parallel = model, parallel
        asked = n_ctx or model.n_ctx
        n_tokens = kv_tokens or _pool_tokens(model, parallel, asked)
        self._pages = model.executor.new_pages(n_tokens, model.kv)
        self.n_ctx = min(asked, self._pages.n_pages * PAGE)  # of each text
        self._prefixes = Prefixes(self._pages)
        self._edition: tuple[object, ...] | None = None  # of what all texts have read
        self._kind = model.executor.kind
        self._choosers = ThreadPoolExecutor(parallel, "vatra-choice")
        # What they compute is taken from the threads that evaluate.
        self._slow_choosers = threading.Semaphore(max(1, model.threads // 2))
        self._writing = Recent()  # seconds that a token of all texts took
        self.n_read = self.n_written = 0  # tokens of prompts, and of answers, since it began
        self._running: list[Place] = []  # only for the thread that drives
        self._waiting: deque[Request] = deque()
        self._cancelled: list[Request] = []
        self._changed = threading.Condition()
        self._is_new = False  # something has changed, so that there may be something to do
        self._closing: BaseException | None = None
        self._thread = threading.Thread(target=self._drive, name="vatra-batch", daemon=True)
        self._thread.start()

    def submit(
        self,
        ids: Iterable[int],
        sampling: Sampling | None = None,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        answer: Answer | None = None,
        *,
        logprobs: int = 0,
        grammar: Grammar | None = None,
        on_step: OnStep | None = None,
        on_end: OnEnd | None = None,
    ) -> Request:
        """A request to continue `ids`, from any thread; the options are `Session.generate`'s.

        `on_step` takes the steps, and `on_end` the error or None at the end; see `Request`. Raises
        ContextFull, or UsageError for what can not be done.
        """
        tokens = checked(ids, self.model.plan.n_vocab, self.n_ctx)
        if not tokens:
            raise UsageError("there is no text to continue: give at least one token")
        request = Request(
            self.model,
            tokens,
            self.model.sampling if sampling is None else sampling,
            max_tokens,
            stop,
            answer,
            logprobs=logprobs,
            grammar=grammar,
            on_step=on_step,
            on_end=on_end,
            on_cancel=self._cancel,
        )
        with self._changed:
            if self._closing is not None:
                raise another(self._closing)
            self._waiting.append(request)
            self._tell()
        return request

    @property
    def n_running(self) -> int:
        """Texts that have a place."""
        return len(self._running)

    @property
    def n_waiting(self) -> int:
        """Texts that wait for one."""
        return len(self._waiting)

    @property
    def n_pages(self) -> tuple[int, int]:
        """Pages of `PAGE` tokens in use, those kept for later texts too, and all there are."""
        return self._pages.n_pages - self._pages.n_free, self._pages.n_pages

    def close(self) -> None:
        """End all texts, with an error where they are not complete, and give the memory back."""
        with self._changed:
            if self._closing is None:
                self._closing = UsageError("the batch was closed before this text was complete")
            self._tell()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> Batch:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> Literal[False]:
        self.close()
        return False

    def _cancel(self, request: Request) -> None:
        with self._changed:
            self._cancelled.append(request)
            self._tell()

    def _tell(self, _choice: Future[int] | None = None) -> None:
        """Have the driving thread look what there is to do."""
        with self._changed:
            self._is_new = True
            self._changed.notify()

    def _drive(self) -> None:
        """Make steps as long as there is something to do, until it is closed."""
        try:
            while self._has_work():
                self._drop_cancelled()
                self._gather()
                self._follow_patches()
                self._admit()
                self._step()
        except BaseException as error:
            with self._changed:
                self._closing = error
        finally:
            error_of_all = self._closing
            for place in list(self._running):
                self._end(place, error_of_all)
            while self._waiting:
                _finish(self._waiting.popleft(), error_of_all)
            self._choosers.shutdown(wait=False, cancel_futures=True)
            self._pages = Pages((), 0)  # the memory is given back
            self._prefixes = Prefixes(self._pages)

    def _has_work(self) -> bool:
        """Wait for it; False when it is closed."""
        with self._changed:
            can_go_on = any(place.choice is None for place in self._running)
            self._changed.wait_for(lambda: self._is_new or can_go_on)
            self._is_new = False
            return self._closing is None

    def _drop_cancelled(self) -> None:
        with self._changed:
            gone, self._cancelled = self._cancelled, []
            waiting = [request for request in self._waiting if request in gone]  # each once
            for request in waiting:
                self._waiting.remove(request)
        for request in waiting:
            _finish(request)
        for place in [place for place in self._running if place.request in gone]:
            self._end(place)

    def _admit(self) -> None:
        """Give free places to those who wait, as long as no prompt is being read.

        So the next one finds the pages that it shares with the last.
        """
        while self._waiting and len(self._running) < self.parallel:
            if any(place.reads for place in self._running):
                return
            request = self._waiting[0]
            if request.closed:  # nothing is to be written
                self._waiting.popleft()
                _finish(request)
                continue
            found = self._prefixes.find(request.keys((len(request.ids) - 1) // PAGE, self._kind))
            fresh = -(-len(request.ids) // PAGE) - len(found) + len(self._running)
            unused = self._prefixes.n_unused - sum(not prefix.users for prefix in found)
            if self._running and fresh > self._pages.n_free + unused:
                return  # it would be set back at once
            self._waiting.popleft()
            self._begin(request, found)

    def _begin(self, request: Request, path: list[Prefix]) -> None:
        """Give a place to a text whose first pages are there."""
        self._prefixes.use(path)
        shared = [prefix.page for prefix in path]
        try:
            executor, kv = self.model.executor, self.model.kv
            state = executor.new_state(self.n_ctx, kv, self._pages, shared)
        except Exception as error:
            self._prefixes.leave(path)
            _finish(request, error)
            return
        request.begin(len(path) * PAGE)
        self._running.append(Place(request, state, len(path) * PAGE, path))

    def _step(self) -> None:
        """Evaluate a token of every text, and a bit of the prompt that is being read."""
        writers = [place for place in self._running if place.writes]
        reader = next((place for place in self._running if place.reads), None)
        if writers and not self._write(writers):
            return
        if reader is not None:
            seconds = SHARE * self._writing.typical
            self._read(reader, seconds if len(self._running) > 1 else None)

    def _write(self, places: list[Place]) -> bool:
        """Write a token of each; False if a text had to be set back instead."""
        began = time.perf_counter()
        parts = [place.part(1) for place in places]
        if not self._make_room(parts):
            return False
        try:
            results = self.model.run_batch(parts)
        except Outdated:
            self._edition = None
            return False
        except Exception as error:
            for place in places:
                self._end(place, error)
            return True
        for place, part, logits in zip(places, parts, results, strict=True):
            self._took(place, part, logits)
        self._writing.add(time.perf_counter() - began)
        seconds = WAIT * self._writing.typical
        wait(_choices(place for place in places if place.request.chosen_s < seconds), seconds)
        return True

    def _read(self, place: Place, seconds: float | None) -> None:
        """Go on with a prompt, for about so many seconds; None is a whole piece of it."""
        try:
            if place.reading is None:
                part = place.part(CHUNK)
                if not self._make_room([part]):
                    return
                if seconds is None:
                    self._took(place, part, self.model.run_batch([part])[0])
                    return
                place.reading = part, self.model.begin(part)
            part, bits = place.reading
            now = began = time.perf_counter()
            longest, found = 0.0, None
            while found is None and (seconds is None or now - began + longest <= seconds):
                found, before = self.model.go_on(bits), now
                now = time.perf_counter()
                longest = max(longest, now - before)
        except Outdated:
            self._edition = None
            return
        except Exception as error:
            self._end(place, error)
            return
        if found is not None:
            place.reading = None
            self._took(place, part, found)

    def _took(self, place: Place, part: Part, logits: np.ndarray) -> None:
        """`part` of a text was evaluated; what goes wrong now is its own."""
        if place.state.edition != self._edition:  # patches have come or gone just before
            self._edition = None
            return
        request = place.request
        self.n_read += len(part.tokens) if not request.tokens else 0
        self.n_written += len(logits)
        place.position += len(part.tokens)
        try:
            self._share(place)
            if len(logits):
                numerics.check_finite(logits, self.model, request.ids)
                if request.chosen_s > QUICK_S:
                    place.choice = self._choosers.submit(self._choose, request, logits[0].copy())
                    place.choice.add_done_callback(self._tell)
                    self._is_new = True  # another prompt may be read now
                else:
                    self._go_on(place, request.choose(logits[0]))
        except BaseException as error:
            self._end(place, error)

    def _choose(self, request: Request, logits: np.ndarray) -> int:
        """The next token of a text, in a thread for it."""
        with self._slow_choosers if request.chosen_s > SLOW_S else nullcontext():
            return request.choose(logits)

    def _gather(self) -> None:
        """Go on with the texts whose next token was chosen in another thread."""
        for place in list(self._running):
            if place.choice is not None and place.choice.done():
                choice, place.choice = place.choice, None
                try:
                    self._go_on(place, choice.result())
                except BaseException as error:
                    self._end(place, error)

    def _go_on(self, place: Place, token: int) -> None:
        place.request.push(token, self.n_ctx)
        if place.request.closed:
            self._end(place)

    def _follow_patches(self) -> None:
        """Where patches of the model have come or gone, read all texts again."""
        edition = self.model.executor.edition
        if edition == self._edition:
            return
        for place in reversed(list(self._running)):
            self._set_back(place)
        while self._prefixes.forget():
            pass
        with self._changed:
            for request in self._waiting:
                request.read_again()
        self._kind, self._edition = cache(self.model.executor.kind), edition

    def _share(self, place: Place) -> None:
        """Keep the pages of a text that are whole by now, for others that begin alike."""
        done = len(place.path)
        if place.position // PAGE == done:
            return
        pages = place.state.pages(place.position)
        keys = place.request.keys(len(pages), self._kind)
        for page, key in zip(pages[done:], keys[done:], strict=True):
            prefix = self._prefixes.add(place.path[-1] if place.path else None, key, page)
            place.path.append(prefix)
            prefix.users += 1

    def _make_room(self, parts: list[Part]) -> bool:
        """See to it that there are pages for `parts`; False if a text had to be set back."""
        needed = sum(
            -(-(part.position + len(part.tokens)) // PAGE) - -(-part.position // PAGE)
            for part in parts
        )
        while needed > self._pages.n_free:
            if not self._prefixes.forget():
                self._set_back(self._running[-1])
                return False
        return True

    def _set_back(self, place: Place) -> None:
        """Take a text's memory; it goes on when there is more, before those that wait."""
        wait(_choices([place]))
        self._gather()
        if place in self._running:
            self._leave(place)
            with self._changed:
                self._waiting.appendleft(place.request)

    def _end(self, place: Place, error: BaseException | None = None) -> None:
        self._leave(place)
        _finish(place.request, error)

    def _leave(self, place: Place) -> None:
        self._running.remove(place)
        self._is_new = True
        self._prefixes.leave(place.path)
        place.state.close()


def _finish(request: Request, error: BaseException | None = None) -> None:
    """End a text; what its listener raises is told where the errors of threads are."""
    try:
        request.end(error)
    except BaseException:
        threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), None)))


def _choices(places: Iterable[Place]) -> list[Future[int]]:
    """Those tokens of texts that other threads are choosing."""
    return [place.choice for place in places if place.choice is not None]


def _pool_tokens(model: Model, parallel: int, n_ctx: int) -> int:
    """As many tokens as `parallel` texts can have, or as a share of the memory holds."""
    from vatra.engine.model import SHARE_OF_MEMORY

    host, kv = model.host, model.kv
    n_bytes = sum(host.state_class.bytes_per_token(cache, kv) for cache in host.plan.caches)
    left, on_device = memory.available(), getattr(model.executor, "most_tokens", lambda: None)()
    most = parallel * n_ctx if on_device is None else min(parallel * n_ctx, on_device)
    if left is not None and n_bytes:
        most = min(most, left.n_bytes // SHARE_OF_MEMORY // n_bytes)
    return max(n_ctx, most)
