"""`vatra batch`: answer a file of prompts, several at once, and go on where it was stopped."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vatra.cli import options, terminal
from vatra.cli.batch_lines import Defaults, Line, job_of, lines_of
from vatra.cli.batch_output import Output, OutputFile, StandardOutput
from vatra.cli.batch_records import record
from vatra.cli.form import grammar_of, in_words
from vatra.cli.notes import tell_notes, tell_toy
from vatra.errors import BadFile, MissingFile, UsageError, printable

if TYPE_CHECKING:
    from vatra.cli.terminal import Interrupt
    from vatra.engine.batch_answers import Job
    from vatra.engine.model import Model as LoadedModel
    from vatra.errors import VatraError


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
    chat: Annotated[
        bool | None,
        typer.Option(
            "--chat/--raw",
            help="Answer each prompt as a chat would, or continue its text. "
            "[default: chat, if the file has a chat template]",
        ),
    ] = None,
    system: options.System = None,
    chat_template: options.Template = None,
    max_tokens: options.MaxTokens = None,
    *,
    sampling: dict[str, Any],
    stop: options.Stop = None,
    ctx: options.Context = None,
    threads: options.Threads = None,
    kv: options.KV = options.KVFormat.f16,
    backend: options.Executor = options.Backend.cpu,
    json_form: options.Json = False,
    json_schema: options.JsonSchema = None,
    grammar: options.Grammar = None,
) -> None:
    """Answer a file of prompts.

    A line may have an "id", and its own max_tokens, stop, temperature and the like. Answers are
    written as they are complete. What goes wrong with a line is written in the place of its answer;
    the exit status is then 65. Ctrl-C stops it; the same command goes on with what is left.
    """
    if chat is False and (system is not None or chat_template is not None):
        raise UsageError("--raw: a text to continue has neither a system text nor a chat template")
    form = grammar_of(in_words(json_form, json_schema, grammar))
    path = options.model_path(model)
    lines = lines_of(_read(source, target).split(b"\n"))

    def opened(interrupt: Interrupt) -> tuple[LoadedModel, Defaults]:
        """The model, and what the options say for all lines."""
        if model is None:
            tell_toy(path)

        from vatra.cli.progress import waiting

        with waiting(interrupt) as shown:
            import vatra
            from vatra.formats.chat_template import KEY, for_model

            loaded = vatra.load(path, backend=backend.value, threads=threads, ctx=ctx, kv=kv.value)
            shown.clear()
            template = None
            if chat_template:
                template = for_model(loaded.checkpoint, loaded.tokenizer, chat_template)
            says = KEY in loaded.metadata or system is not None or template is not None
            tell_notes(loaded)
        says = says if chat is None else chat
        return loaded, Defaults(says, system, template, sampling, max_tokens, stop or (), form)

    output: Output = StandardOutput() if target == "-" else OutputFile(Path(target))
    try:
        left = _left(lines, output, target)
        if left:
            with terminal.polite_interrupt() as interrupt:
                _answer(*opened(interrupt), parallel, lines, left, output, interrupt)
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


def _answer(
    model: LoadedModel,
    defaults: Defaults,
    parallel: int,
    lines: list[Line],
    left: list[Line],
    output: Output,
    interrupt: Interrupt,
) -> None:
    """Write the answers to the lines that are `left` as they are complete."""
    from vatra.cli.batch_progress import shown_progress
    from vatra.engine.batch import Batch
    from vatra.engine.batch_answers import answers_of

    def jobs() -> Iterator[Job | VatraError]:
        for line in left:
            interrupt.check()
            yield job_of(line, model, defaults)

    name = Path(model.path).name
    before = len(lines) - len(left)
    with (
        Batch(model, parallel) as batch,
        shown_progress(batch, len(lines), before) as progress,
    ):
        for answer in answers_of(batch, jobs()):
            line = left[answer.index]
            if answer.error is not None and not isinstance(answer.error, UsageError):
                raise answer.error  # not the line's fault: it is still to be answered
            output.write(record(line, answer, name))
            output.answered[line.key] = line.hash
            (output.failed.add if answer.error else output.failed.discard)(line.key)
            progress.add(answer)
            interrupt.check()
    terminal.note(progress.summary, dim=True)
