"""`vatra batch --ray`: the lines are answered by actors on the machines of a Ray cluster.

Each actor holds one loaded model, and a row of the Ray Data pipeline is one line: Ray gives an
actor no more rows than it soon writes, and gives those again that were lost with a process or a
machine. A text depends on its line and its seed alone, not on those that are written beside it, so
it does not matter which actor has it. Records come here as they are complete, and only here is
something written: no line gets two.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import socket
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import vatra
from vatra.cli.batch_lines import Line, job_of
from vatra.cli.batch_options import BatchOptions
from vatra.cli.batch_records import record
from vatra.errors import MissingFile, Unavailable, UsageError, VatraError, printable

RETRIES = 3  # of a row by Ray, before it is left to the next pipeline
Rows = Mapping[str, Any]  # columns of a block, by name


@dataclass(frozen=True)
class Work:
    """What an actor is told: `files` are what the model and the chat template must be like."""

    options: BatchOptions
    files: tuple[str, str]
    version: str = vatra.__version__


class Answerer:
    """An actor: a model that answers the rows it is called with, from many threads at once."""

    def __init__(self, work: Work) -> None:
        self.failure: Exception | None = None
        try:
            self._open(work)
        except Exception as error:  # told of the first row: Ray would make an actor again for ever
            self.failure = error

    def _open(self, work: Work) -> None:
        from vatra.engine.batch import Batch

        options = work.options
        if vatra.__version__ != work.version:
            raise UsageError(f"is Vatra {vatra.__version__}, wanted {work.version}")
        try:
            found = files_of(options)
        except MissingFile as error:
            raise MissingFile(f"{error}; it must be at the same place on every machine") from None
        for path, is_like, wanted in zip(
            (options.path, options.chat_template), found, work.files, strict=True
        ):
            if is_like != wanted:
                raise UsageError(f"{printable(str(path))}: another file than where the job began")
        self.model = options.load()
        self.defaults = options.defaults(self.model)
        self.batch = Batch(self.model, options.parallel)

    def __call__(self, rows: Rows) -> dict[str, list[str]]:
        found = [self._answered(str(text)) for text in rows["line"]]
        return {"found": [json.dumps(row) for row in found]}

    def _answered(self, text: str) -> dict[str, Any]:
        """The record of a line, and how many tokens were written; or the error of all lines."""
        from vatra.engine.batch_answers import answers_of
        from vatra.server.codec import told

        try:
            if self.failure is not None:
                raise self.failure
            line = Line(**json.loads(text))
            answer = next(answers_of(self.batch, [job_of(line, self.model, self.defaults)]))
            if answer.error is not None and not isinstance(answer.error, UsageError):
                raise answer.error
            name, tokenizer = Path(self.model.path).name, self.model.tokenizer_or_none
            made = record(line, answer, name, tokenizer)
            n_tokens = answer.statistics.generated_tokens
            return {"line": line.number, "record": made, "tokens": n_tokens}
        except Exception as error:
            if not isinstance(error, VatraError):
                traceback.print_exception(error)  # goes to Ray's log of this actor
            said = told(error)
            return {"error": said | {"message": f"on {socket.gethostname()}: {said['message']}"}}


def files_of(options: BatchOptions) -> tuple[str, str]:
    """What tells the model's file and the chat template's from others; raises what reading does."""
    from vatra.formats import gguf
    from vatra.formats.fingerprint import fingerprint

    with gguf.read(options.path) as checkpoint:
        model = fingerprint(checkpoint)
    template = ""
    if options.chat_template:
        try:
            content = Path(options.chat_template).read_bytes()
        except OSError as error:
            what = f"{printable(options.chat_template)}: {error.strerror}"
            raise MissingFile(what) from None
        template = hashlib.blake2b(content, digest_size=16).hexdigest()
    return model, template


@contextmanager
def cluster(address: str | None) -> Iterator[Any]:
    """The module `ray`, connected; without an address to a cluster of this machine, or a new one.

    Raises UsageError without the package, Unavailable where there is no such cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anyone
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # of others' warnings no person is told
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UsageError(
            f"vatra batch --ray needs the package {error.name}: pip install 'vatra[ray]'"
        ) from None
    _check(address or "")
    ended = signal.getsignal(signal.SIGTERM)  # which Ray replaces
    try:
        ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        what = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise Unavailable(f"Ray: {printable(address or 'a new cluster')}: {what[0]}") from None
    finally:
        signal.signal(signal.SIGTERM, ended)
    try:
        yield ray
    finally:
        ray.shutdown()


def _check(address: str) -> None:
    """Raise Unavailable where nothing listens: Ray would wait for it for minutes."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), 10).close()
        except (OSError, OverflowError) as error:
            what = getattr(error, "strerror", None) or error
            raise Unavailable(f"Ray: {printable(address)}: {what}") from None


def answered(
    ray: Any, options: BatchOptions, lines: Sequence[Line], actors: int | None = None
) -> Iterator[tuple[dict[str, Any], int]]:
    """The records of `lines` as they are complete, and how many tokens were written for each.

    Those that were lost are asked for again, as long as others are found. Raises what is wrong with
    all lines, or Unavailable for those that no actor survives.
    """
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.max_errored_blocks = -1  # they are found to be missing
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    files = files_of(options)
    left = {line.number: line for line in lines}
    while left:
        n_before = len(left)
        threads, n_actors = room(ray, options.threads, n_before, actors)
        work = Work(replace(options, threads=threads), files)
        try:
            for number, found, n_tokens in _round(ray, work, list(left.values()), n_actors):
                if left.pop(number, None) is not None:
                    yield found, n_tokens
        except ray.exceptions.RayError as error:
            what = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            raise Unavailable(f"Ray: {printable(what[0])}") from None
        if len(left) == n_before:
            more = f" and {n_before - 1} more" if n_before > 1 else ""
            raise Unavailable(
                f"line {min(left)}{more}: the process ended each time it was to be answered, for "
                "want of memory perhaps; the same command tries again"
            )


def room(ray: Any, threads: int | None, most: int, asked: int | None) -> tuple[int, int]:
    """Threads of an actor, and how many actors: without options one for each machine."""
    machines = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    machines = [n_cpus for n_cpus in machines if n_cpus]
    if not machines:
        raise Unavailable("Ray: no machine of the cluster has a processor for us")
    if threads is None:
        on_each = -(-(asked or 1) // len(machines))
        threads = max(1, min(machines) // on_each)
    fit = sum(n_cpus // threads for n_cpus in machines)
    if not fit:
        raise UsageError(f"--threads: got {threads}, no machine has more than {max(machines)}")
    return threads, min(asked or fit, most)


def _round(
    ray: Any, work: Work, lines: Sequence[Line], n_actors: int
) -> Iterator[tuple[int, dict[str, Any], int]]:
    """The number, the record and the tokens of lines, in a pipeline of their own."""
    from vatra.engine.batch_answers import AHEAD
    from vatra.server.codec import raised

    at_once = AHEAD * work.options.parallel
    rows = [{"line": _row(line)} for line in lines]
    pool = ray.data.ActorPoolStrategy(
        size=n_actors, max_tasks_in_flight_per_actor=at_once, enable_true_multi_threading=True
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pyproject.toml has the last version
        found = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            Answerer,
            fn_constructor_args=(work,),
            batch_size=None,
            compute=pool,
            num_cpus=work.options.threads,
            max_concurrency=at_once,
            max_task_retries=RETRIES,
        )
    for block in found.iter_batches(batch_size=None, prefetch_batches=0):
        for text in block["found"]:
            row = json.loads(str(text))
            if "error" in row:
                raise raised(row["error"])
            yield row["line"], row["record"], row["tokens"]


def _row(line: Line) -> str:
    """A line that has no error as JSON, for `Line`."""
    return json.dumps(
        {"number": line.number, "hash": line.hash, "id": line.id, "url": line.url,
         "fields": line.fields}
    )  # fmt: skip
