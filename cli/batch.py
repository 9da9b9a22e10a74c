"""`vatra batch`: answer a file of prompts, several at once, and go on where it was stopped."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vatra.cli import options, terminal
from vatra.cli.batch_lines import Line, job_of, lines_of
from vatra.cli.batch_options import BatchOptions
from vatra.cli.batch_output import Output, OutputFile, StandardOutput
from vatra.cli.batch_records import key_of, record
from vatra.cli.form import grammar_of, in_words
from vatra.cli.notes import tell_notes, tell_toy
from vatra.errors import BadFile, MissingFile, UsageError, printable

if TYPE_CHECKING:
    from vatra.cli.batch_progress import Counts, Progress
    from vatra.cli.terminal import Interrupt
    from vatra.engine.batch_answers import Job
    from vatra.errors import VatraError


@options.with_hardware
@options.with_sampling
def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN.jsonl",
            help='Lines such as {"prompt": "Hello"} or {"messages": [...]}, also in the form of '
            "OpenAI's batches; - is standard input.",
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="OUT.jsonl",
            help="A line for each answer; those that it has already are kept, and not asked for "
            "again. - is standard output.",
        ),
    ],
    model: options.Model = None,
    parallel: Annotated[
        int, typer.Option(metavar="N", min=1, max=256, help="Most answers written at once.")
    ] = 8,
    chat: options.Chat = None,
    system: options.System = None,
    chat_template: options.Template = None,
    max_tokens: options.MaxTokens = None,
    *,
    sampling: dict[str, Any],
    stop: options.Stop = None,
    ctx: options.Context = None,
    kv: options.KV = options.KVFormat.f16,
    hardware: dict[str, Any],
    json_form: options.Json = False,
    json_schema: options.JsonSchema = None,
    grammar: options.Grammar = None,
    ray: Annotated[
        bool,
        typer.Option(
            "--ray",
            help="Answer on all machines of a Ray cluster; Vatra, and the model at the same place, "
            "must be on each.",
        ),
    ] = False,
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Of the cluster. [default: RAY_ADDRESS, else that of this machine or a new one]",
        ),
    ] = None,
    ray_actors: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=10_000,
            help="Models loaded at once. [default: one for each machine, or as many as --threads "
            "leaves room for]",
        ),
    ] = None,
) -> None:
    """Answer a file of prompts.

    A line may have an "id", and its own max_tokens, stop, temperature and the like. Answers are
    written as they are complete. What goes wrong with a line is written in the place of its answer;
    the exit status is then 65. Ctrl-C stops it; the same command goes on with what is left.
    """
    options.check_raw(chat, system, chat_template)
    if not ray and (ray_address is not None or ray_actors is not None):
        raise UsageError("--ray-address and --ray-actors: only with --ray")
    form = grammar_of(in_words(json_form, json_schema, grammar))
    path = options.model_path(model)
    wanted = BatchOptions(
        path, ctx, kv.value, parallel, chat, system, chat_template, sampling, max_tokens,
        stop or (), form, **hardware,
    )  # fmt: skip
    lines = lines_of(_read(source, target).split(b"\n"))

    output: Output = StandardOutput() if target == "-" else OutputFile(Path(target))
    try:
        left = _left(lines, output, target)
        if left:
            if model is None:
                tell_toy(path)
            with terminal.polite_interrupt() as interrupt:
                keep = Keeper(output, len(lines), len(lines) - len(left), interrupt)
                if ray:
                    _answer_by_ray(wanted, left, keep, ray_address, ray_actors)
                else:
                    _answer(wanted, left, keep)
        else:
            terminal.note(f"all {len(lines)} lines are answered in {target}")
    except (KeyboardInterrupt, SystemExit):
        if target != "-":
            n_done = sum(output.answered.get(line.key) == line.hash for line in lines)
            terminal.note(
                f"stopped: {n_done} of {len(lines)} are answered in {target}; "
                "the same command goes on with the rest"
            )
        raise
    finally:
        output.close()
    if any(line.key in output.failed for line in lines):
        raise typer.Exit(BadFile.exit_code)


def _read(source: str, target: str) -> bytes:
    """The input; raises MissingFile, or UsageError if it is the output."""
    if source == "-":
        if sys.stdin is None or terminal.is_terminal(sys.stdin):
            raise UsageError("nothing is piped in, to be read for -")
        return sys.stdin.buffer.read()
    try:
        if target != "-" and Path(target).exists() and Path(source).samefile(target):
            raise UsageError(f"{printable(source)}: is the input, and can not be the output")
        return Path(source).read_bytes()
    except OSError as error:
        raise MissingFile(f"{printable(source)}: {error.strerror}") from None


def _left(lines: list[Line], output: Output, target: str) -> list[Line]:
    """The lines without an answer; what is strange about those in the output is told."""
    answered, keys = output.answered, {line.key for line in lines}
    changed = [line for line in lines if answered.get(line.key, line.hash) != line.hash]
    gone = sum(key not in keys for key in answered)
    if isinstance(output, OutputFile) and output.dropped:
        terminal.note(
            f"note: the last line of {target} was cut when it was written, and is dropped"
        )
    if changed:
        terminal.note(
            f"note: the input was changed since: {_numbers(changed)} had an answer in {target}, "
            "and is answered again; the later answer counts"
        )
    if gone:
        terminal.note(f"note: {target} has {gone} answers to lines that the input does not have")
    return [line for line in lines if answered.get(line.key) != line.hash]


def _numbers(lines: list[Line]) -> str:
    more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
    return f"line {lines[0].number}{more}"


class Keeper:
    """Writes records to `output`, and says how far that is; `before` lines had theirs already."""

    def __init__(self, output: Output, total: int, before: int, interrupt: Interrupt) -> None:
        self.output, self.total, self.before, self.interrupt = output, total, before, interrupt

    def shown(self, counts: Counts) -> Progress:
        """To be used in a `with` while they are written."""
        from vatra.cli.batch_progress import shown_progress

        self.progress = shown_progress(counts, self.total, self.before)
        return self.progress

    def keep(self, found: dict[str, Any]) -> None:
        """A record that is complete."""
        self.output.write(found)
        key, digest, failed = key_of(found)
        self.output.answered[key] = digest
        (self.output.failed.add if failed else self.output.failed.discard)(key)
        self.progress.add(failed)
        self.interrupt.check()


def _answer(wanted: BatchOptions, left: list[Line], keeper: Keeper) -> None:
    """Write the answers to the lines that are `left` as they are complete."""
    from vatra.cli.progress import waiting

    interrupt = keeper.interrupt
    with waiting(interrupt) as shown:
        model = wanted.load()
        shown.clear()
        defaults = wanted.defaults(model)
        tell_notes(model)
    from vatra.engine.batch import Batch
    from vatra.engine.batch_answers import answers_of

    def jobs() -> Iterator[Job | VatraError]:
        for line in left:
            interrupt.check()
            yield job_of(line, model, defaults)

    name = Path(model.path).name
    with Batch(model, wanted.parallel) as batch, keeper.shown(batch) as progress:
        for answer in answers_of(batch, jobs()):
            if answer.error is not None and not isinstance(answer.error, UsageError):
                raise answer.error  # not the line's fault: it is still to be answered
            keeper.keep(record(left[answer.index], answer, name, model.tokenizer_or_none))
    terminal.note(progress.summary, dim=True)


@dataclass
class Written:
    """Tokens of answers that are complete."""

    n_written: int = 0


def _answer_by_ray(
    wanted: BatchOptions, left: list[Line], keeper: Keeper, address: str | None, actors: int | None
) -> None:
    """The same on the machines of a cluster; lines that are wrong are not sent there."""
    from vatra.cli.batch_ray import answered, cluster
    from vatra.engine.batch_answers import BatchAnswer

    wanted, written = replace(wanted, path=wanted.path.absolute()), Written()
    with cluster(address) as ray, keeper.shown(written) as progress:
        for line in left:
            if line.error is not None:
                keeper.keep(record(line, BatchAnswer(0, error=line.error), wanted.path.name))
        sent = [line for line in left if line.error is None]
        for found, n_tokens in answered(ray, wanted, sent, actors):
            written.n_written += n_tokens
            keeper.keep(found)
    terminal.note(progress.summary, dim=True)
