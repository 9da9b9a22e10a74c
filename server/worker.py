"""`python -m vatra.server.worker`: a process that holds one model, or only what it knows of texts.

`process.py` has the protocol. It ends with its standard input, so that it never outlives the one
who asks.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import threading
import time
import traceback
from base64 import b64encode
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from vatra.engine.fields import read
from vatra.engine.writing import Begun, Writing, ended, job_of, piece
from vatra.errors import IOFailed, UsageError, VatraError
from vatra.server import codec
from vatra.server.jobs import (
    Detokenising,
    Embedding,
    Event,
    File,
    Job,
    Loaded,
    Loading,
    Templating,
    Tokenising,
    Vector,
)

if TYPE_CHECKING:
    from vatra.engine.batch import Batch
    from vatra.engine.generation import Step
    from vatra.engine.model import Model
    from vatra.engine.request import Request
    from vatra.server.texts import Texts

BEHIND_MODELS = 19  # `nice`: what only knows texts gets what streams leave of the processors
FIRST_TO_GO = "500"  # of 1000: where memory is short, this process goes before the front

_JOBS: dict[str, type[Job]] = {
    kind.__name__: kind for kind in (Writing, Embedding, Tokenising, Detokenising, Templating)
}


class Task:
    """A job that was begun; `cancel` may come at any time, from any thread."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.cancelled = self.is_done = False
        self._request: Request | None = None

    def cancel(self) -> None:
        self.cancelled = True
        if (request := self._request) is not None:
            request.cancel()

    def writes(self, request: Request) -> None:
        """`request` is what must be cancelled from now on."""
        self._request = None if self.is_done else request
        if self.cancelled:
            request.cancel()

    def done(self) -> None:
        """It has ended; nothing of it needs to be kept."""
        self.is_done, self._request = True, None


class Worker:
    """Reads jobs, one a line, and writes what comes of them; `serve` does not return."""

    def __init__(self, loading: Loading, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._loading, self._in, self._out = loading, incoming, outgoing
        self._lock = threading.Lock()
        self._tasks: dict[int, Task] = {}
        self._pool = ThreadPoolExecutor(loading.parallel, "vatra-job")
        self._model: Model
        self._texts: Texts
        self._batch: Batch | None = None

    def serve(self) -> None:
        """Take jobs until nobody is there to give them; the process then ends."""
        self._pool.submit(self._load)
        for line in self._in:
            message = json.loads(line)
            if "ping" in message:
                self._say({"pong": message["ping"]})
                continue
            if "cancel" in message:
                if task := self._tasks.get(message["cancel"]):
                    task.cancel()
                continue
            task = self._tasks[message["id"]] = Task(message["id"])
            self._pool.submit(self._begin, task, message)
        os._exit(0)  # whatever is being evaluated or compiled

    def _load(self) -> None:
        try:
            loaded = self._loaded_texts() if self._loading.only_texts else self._loaded()
            self._say({"loaded": codec.plain(loaded)})
        except BaseException as error:
            self._trace(error)
            self._say({"refused": codec.told(error)})
            os._exit(getattr(error, "exit_code", VatraError.exit_code))

    def _loaded(self) -> Loaded:
        from vatra.engine.batch import Batch
        from vatra.engine.model import cannot_write, load
        from vatra.formats import chat_template, template_process

        asked = self._loading
        self._model = model = load(
            asked.path, asked.backend, asked.threads, asked.ctx, asked.kv,  # type: ignore[arg-type]
            asked.gpu_layers, asked.device,
        )  # fmt: skip
        if cannot_write(model.plan) is None:
            self._batch = Batch(model, asked.parallel)
            if chat_template.KEY in model.metadata:
                template_process.SHARED.start()  # to be there when the first chat comes
        files = [_file(file.path) for file in model.checkpoint.files]
        n_ctx = model.n_ctx if self._batch is None else self._batch.n_ctx
        return Loaded(n_ctx, model.fingerprint, files, model.notes)

    def _loaded_texts(self) -> Loaded:
        from vatra.server.texts import Texts

        self._texts = Texts(self._loading.path)
        files = [_file(file.path) for file in self._texts.checkpoint.files]
        return Loaded(0, "", files, ())

    def _begin(self, task: Task, message: Mapping[str, Any]) -> None:
        try:
            if task.cancelled:
                self._done(task)
                return
            job = read(_JOBS[message["job"]], message["with"])
            if isinstance(job, Writing):
                self._write(task, job)
            elif isinstance(job, Embedding):
                self._done(task, result=self._embed(task, job))
            else:
                with suppress(AttributeError, OSError):  # a system without priorities
                    os.nice(BEHIND_MODELS)  # of this thread alone where each has its own
                self._done(task, result=self._texts.answer(job))
        except BaseException as error:
            self._failed(task, error)

    def _embed(self, task: Task, job: Embedding) -> int:
        from vatra.engine import embedding

        texts = [embedding.encoded(self._model, text) for text in job.inputs]
        for ids in texts:
            if task.cancelled:
                break
            vector = self._model.embed([ids], job.pooling, job.normalise)[0]
            self._tell(task, Vector(b64encode(vector.astype("<f4").tobytes()).decode()))
        return sum(map(len, texts))

    def _write(self, task: Task, job: Writing) -> None:
        from vatra.engine.model import cannot_write

        model, batch = self._model, self._batch
        if batch is None:
            raise UsageError(cannot_write(model.plan) or "this model can not write")
        ready = job_of(job, model).ready(model)
        if task.cancelled:
            self._done(task)
            return
        submitted = time.monotonic()
        waited = 0.0

        def begun(request: Request) -> None:
            nonlocal waited
            taken = request.statistics
            waited = max(0.0, time.monotonic() - submitted - taken.prompt_s - taken.generated_s)
            self._tell(task, Begun(request.n_prompt, taken.reused_tokens, request.seed))

        def on_step(request: Request, step: Step) -> None:
            if len(request.tokens) == 1:
                begun(request)
            told = piece(step, model.tokenizer_or_none, job.logprobs is not None)
            if told is not None:
                self._tell(task, told)

        def on_end(request: Request, error: BaseException | None) -> None:
            taken = request.statistics
            counts = {
                "prompt_tokens": taken.prompt_tokens,
                "reused_tokens": taken.reused_tokens,
                "generated_tokens": taken.generated_tokens,
                "prompt_seconds": taken.prompt_s,
                "generated_seconds": taken.generated_s,
            }
            if error is not None:
                self._failed(task, error, counts)
                return
            if not task.cancelled:
                if not request.tokens:
                    begun(request)
                self._tell(task, ended(request, waited))
            self._done(task, counts=counts)

        try:
            request = batch.submit(**ready, on_step=on_step, on_end=on_end)
        except VatraError:
            raise
        except BaseException as error:  # which ended the batch, and would end all others
            self._trace(error)
            self._end(f"an internal error ({type(error).__name__}); the log says where")
        task.writes(request)

    def _failed(self, task: Task, error: BaseException, counts: Any = None) -> None:
        """Say why a job ended; where the model's file was changed, the process ends with it."""
        if isinstance(error, IOFailed):
            self._end(str(error), IOFailed.exit_code)
        self._trace(error)
        self._done(task, counts=counts or {}, error=codec.told(error))

    def _end(self, why: str, status: int = VatraError.exit_code) -> NoReturn:
        """End the process: nothing more can come of it."""
        self._say({"fatal": why})
        os._exit(status)

    def _trace(self, error: BaseException) -> None:
        """Where an error that is not ours came from; its message may be somebody's text."""
        if isinstance(error, (VatraError, MemoryError)):
            return
        said = traceback.format_tb(error.__traceback__)
        said += traceback.format_exception_only(error) if self._loading.log_prompts else []
        print(f"{type(error).__name__}:\n{''.join(said)}", end="", file=sys.stderr, flush=True)

    def _tell(self, task: Task, event: Event) -> None:
        self._say({"id": task.number, "event": type(event).__name__, "with": codec.plain(event)})

    def _done(self, task: Task, **done: Any) -> None:
        task.done()
        self._tasks.pop(task.number, None)
        if self._batch is not None:
            done["pages"] = self._batch.n_pages
        self._say({"id": task.number, "done": done})

    def _say(self, message: Mapping[str, Any]) -> None:
        line = codec.line(message)
        try:
            with self._lock:
                self._out.write(line)
                self._out.flush()
        except (OSError, ValueError):  # nobody listens any more
            os._exit(0)


def _file(path: str) -> File:
    found = os.stat(path)
    return File(path, found.st_size, found.st_mtime_ns, found.st_ino)


def _own_output() -> BinaryIO:
    """Standard output for the protocol alone: whatever else is printed goes to standard error."""
    own = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(own, "wb")


def main() -> None:
    """Serve the one at the other end of standard input."""
    faulthandler.enable()
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write(FIRST_TO_GO)
    incoming, outgoing = sys.stdin.buffer, _own_output()
    if first := incoming.readline():
        Worker(read(Loading, json.loads(first)), incoming, outgoing).serve()


if __name__ == "__main__":
    main()
