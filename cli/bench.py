"""`vatra bench`: how fast this machine reads a prompt and writes an answer, and what limits it."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from itertools import groupby, product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vatra.cli import options, terminal
from vatra.errors import UsageError

if TYPE_CHECKING:
    from vatra.cli.bars import Section
    from vatra.cli.speeds import OpCost, Speed
    from vatra.formats.random_model import Shape

PROMPT_TOKENS = DEPTH = 256
# Of random models: seconds for each format, and too large for the caches of most processors.
LAYERS, VOCAB = 4, 1024


@options.with_hardware
def command(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="GGUF files to compare.", show_default=False),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option("-m", "--model", metavar="FILE", help="One more; may be repeated."),
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Compare formats, random weights: q4_0,q8_0,... or all"),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(
            metavar="SIZES", help="Of those random models: layers=4,embd=2048,ff=5632,..."
        ),
    ] = None,
    prompt_tokens: Annotated[
        list[int] | None,
        typer.Option(
            "-p",
            "--prompt-tokens",
            metavar="N",
            min=1,
            help=f"Tokens to read at once; may be repeated. [default: {PROMPT_TOKENS}]",
        ),
    ] = None,
    decode_tokens: Annotated[
        int,
        typer.Option(
            "-n", "--decode-tokens", metavar="N", min=1, help="Tokens to write one by one."
        ),
    ] = 64,
    depth: Annotated[
        list[int] | None,
        typer.Option(
            "-d",
            "--depth",
            metavar="N",
            min=0,
            help=f"Write after N tokens of context; may be repeated. [default: {DEPTH}]",
        ),
    ] = None,
    ops: Annotated[
        bool, typer.Option("--ops", help="Tell what each kind of op costs, instead of speeds.")
    ] = False,
    repeat: Annotated[
        int, typer.Option(metavar="N", min=1, help="Rounds; their median counts.")
    ] = 3,
    kv: options.KV = options.KVFormat.f16,
    *,
    hardware: dict[str, Any],
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per line, for programs.")
    ] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="A header and rows, for spreadsheets.")
    ] = False,
) -> None:
    """Measure models or formats, and how near the limit they are.

    Tokens/s of reading a prompt and of writing an answer, arithmetic, GB/s of memory read while
    writing, and the share of this machine's measured bandwidth that is. Of several models, each is
    measured once in every round; with -ngl or --device each without that, too.
    """
    if as_json and as_csv:
        raise UsageError("--json and --csv: only one of them at a time")
    if shape is not None and formats is None:
        raise UsageError("--shape is for the random models of --formats: give that, too")
    on_device = hardware["gpu_layers"] or hardware["device"]
    if ops and (on_device or hardware["backend"] == options.Backend.reference):
        raise UsageError("--ops: no kernels could be timed but those of the cpu backend")
    paths = [options.model_path(name) for name in (*(files or ()), *(models or ()))]
    names = _formats(formats) if formats is not None else []
    if not paths and not names:
        paths = [options.model_path(os.environ.get("VATRA_MODEL"))]

    from vatra.cli import speeds
    from vatra.cli.progress import waiting

    reads = [speeds.Task("prefill", n, 0) for n in prompt_tokens or [PROMPT_TOKENS]]
    writes = [speeds.Task("decode", decode_tokens, n) for n in depth or [DEPTH]]
    tasks = list(dict.fromkeys([*reads, *writes]))
    n_ctx = max(task.n_ctx for task in tasks)
    with ExitStack() as stack, waiting() as shown:
        import vatra
        from vatra.engine import bandwidth
        from vatra.engine.model import cannot_write

        named = _named(paths)
        if names:
            named |= _random_models(stack, names, _shape(shape, n_ctx))
        subjects = []
        ways = [hardware | {"gpu_layers": 0}, *([hardware] if on_device else [])]
        for (name, path), way in product(named.items(), ways):
            model = stack.enter_context(vatra.load(path, ctx=n_ctx, kv=kv.value, **way))
            if (why := cannot_write(model.plan)) is not None:
                raise UsageError(f"{name}: {why}")
            subjects.append(speeds.Subject(name, model, tasks))
        table: list[Any]
        if ops:
            table = [c for s in subjects for task in tasks for c in s.op_costs(task, repeat)]
        else:
            n_threads = subjects[0].model.threads
            before = bandwidth.measure(n_threads)
            speeds.rounds(subjects, tasks, repeat, shown.on_measure)
            limit = max(before, bandwidth.measure(n_threads))
            table = [subject.speed(task, limit) for task in tasks for subject in subjects]
    if as_json:
        for row in table:
            terminal.write_line(json.dumps(asdict(row)))
    elif as_csv:
        terminal.write(_csv([asdict(row) for row in table]))
    else:
        from vatra.cli import bars

        bars.show(list(op_sections(table) if ops else speed_sections(table)))


# ---- what is measured ----------------------------------------------------------------------------


def _formats(text: str) -> list[str]:
    """The weight formats named in `text`, or all; raises UsageError for an unknown one."""
    from vatra.quant import FORMATS

    names = list(FORMATS) if text == "all" else [name.strip() for name in text.split(",")]
    for name in names:
        if name not in FORMATS:
            raise UsageError(
                f"--formats: {name!r} is no format, wanted all or {', '.join(FORMATS)}"
            )
    return list(dict.fromkeys(names))


def _shape(text: str | None, n_ctx: int) -> Shape:
    """The sizes that `text` says, `name=number,...`, and ours for the rest; raises UsageError."""
    from vatra.formats.random_model import Shape

    sizes = asdict(Shape(layers=LAYERS, vocab=VOCAB, ctx=n_ctx))
    usual = ",".join(f"{name}={size}" for name, size in sizes.items())
    for part in text.split(",") if text else ():
        name, _, number = part.strip().partition("=")
        if name not in sizes or not number.isdecimal():
            raise UsageError(f"--shape: got {part!r}, wanted some of {usual}")
        sizes[name] = int(number)
    try:
        return Shape(**sizes)
    except ValueError as error:
        raise UsageError(f"--shape: {error}") from None


def _named(paths: Sequence[Path]) -> dict[str, Path]:
    """Files by the name that stands for each in tables: the file's, or all that was typed."""
    names = [path.name for path in paths]
    return {
        path.name if names.count(path.name) == 1 else str(path): path
        for path in dict.fromkeys(paths)
    }


def _random_models(stack: ExitStack, formats: Sequence[str], shape: Shape) -> dict[str, Path]:
    """Models of random weights, in a folder that goes with `stack`; raises UsageError."""
    import tempfile

    from vatra.formats import random_model

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vatra-bench-")))
    found = {}
    for name in formats:
        found[name] = folder / f"{name}.gguf"
        try:
            random_model.write(found[name], shape, name)
        except ValueError as error:
            raise UsageError(f"--shape: {name}: {error}") from None
    return found


# ---- how it is shown -----------------------------------------------------------------------------


def _csv(records: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def speed_sections(speeds: Sequence[Speed]) -> Iterator[Section]:
    """A table for each task, with a row for each model."""
    from vatra.cli.bars import Section

    for _, group in groupby(speeds, key=lambda s: (s.task, s.tokens, s.depth)):
        rows = list(group)
        first = rows[0]
        title = (
            f"{_said(first)} ({first.backend}, {first.threads} threads, median of {first.rounds})"
        )
        if first.task == "prefill":
            columns = ["model", "weights", "tokens/s", "G op/s"]
            cells = [[_fixed(s.tokens_per_s), _fixed(s.ops_per_s / 1e9)] for s in rows]
        else:
            title += f"; bandwidth of these threads {first.bandwidth_bytes_per_s / 1e9:.1f} GB/s"
            columns = ["model", "weights", "tokens/s", "GB/s read", "of bandwidth", "MB a token"]
            cells = [
                [
                    _fixed(s.tokens_per_s),
                    _fixed((s.bytes_per_s or 0) / 1e9),
                    "" if s.device else f"{100 * (s.share_of_bandwidth or 0):.0f} %",
                    _fixed((s.bytes_per_token or 0) / 1e6),
                ]
                for s in rows
            ]
            if any((s.share_of_bandwidth or 0) > 1.05 for s in rows):
                title += "; above it, weights stayed in the processor's cache"
        table = [[s.model, s.format, *some] for s, some in zip(rows, cells, strict=True)]
        if device := next((s.device for s in rows if s.device), ""):
            title += f"; GPU layers on {device}"
            columns[1:1] = ["GPU layers"]
            for s, row in zip(rows, table, strict=True):
                row[1:1] = [str(s.gpu_layers)]
        yield Section(title, columns, table, [s.tokens_per_s for s in rows])


def op_sections(costs: Sequence[OpCost]) -> Iterator[Section]:
    """A table for each model and task, with a row for each kind of op."""
    from vatra.cli.bars import Section

    columns = ["op", "weights", "calls", "ms/token", "of time", "GB/s", "G op/s"]
    for (model, *_), group in groupby(costs, key=lambda c: (c.model, c.task, c.tokens, c.depth)):
        rows = list(group)
        title = f"{model}, {_said(rows[0])}: {_fixed(rows[0].tokens_per_s)} tokens/s"
        table = [
            [
                c.op,
                c.format,
                str(c.calls),
                f"{c.ms_per_token:.4f}",
                f"{100 * c.share:.1f} %",
                "" if c.bytes_per_s is None else _fixed(c.bytes_per_s / 1e9),
                "" if c.ops_per_s is None else _fixed(c.ops_per_s / 1e9),
            ]
            for c in rows
        ]
        yield Section(title, columns, table, [c.share for c in rows])


def _said(row: Speed | OpCost) -> str:
    if row.task == "prefill":
        return f"prefill: {row.tokens} tokens at once"
    return f"decode: {row.tokens} tokens one by one after {row.depth}"


def _fixed(value: float) -> str:
    """Three digits or more."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
