"""`vatra perplexity`: how well a model predicts a text, and how far it is from another model."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vatra.cli import options, terminal, text_file

if TYPE_CHECKING:
    from vatra.engine.perplexity import Divergence, Estimate, Perplexity

MOST_TEXT_BYTES = 256 << 20  # more would take days, and memory


@options.with_hardware
def command(
    text: Annotated[Path, typer.Argument(metavar="TEXT.txt", help="A file of UTF-8 text.")],
    model: options.Model = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A model to compare with, often the same in more bits: adds the KL divergence.",
        ),
    ] = None,
    ctx: Annotated[int, typer.Option("--ctx", metavar="N", min=4, help="Tokens of a chunk.")] = 512,
    stride: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Chunks begin so many tokens apart, and as many predictions of each count. "
            "[default: chunks do not overlap, and their second halves count]",
        ),
    ] = None,
    chunks: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Most chunks. [default: the whole text]")
    ] = None,
    kv: options.KV = options.KVFormat.f16,
    *,
    hardware: dict[str, Any],
    as_json: Annotated[
        bool, typer.Option("--json", help="Only one JSON object on one line, for programs.")
    ] = False,
) -> None:
    """Measure how well a model predicts a text.

    Perplexity as llama.cpp defines it: the text in chunks, of which the second halves count.
    """
    path = options.model_path(model)
    content = text_file.read(text, MOST_TEXT_BYTES)

    from vatra.cli.progress import waiting

    with (
        terminal.polite_interrupt() as interrupt,
        waiting(interrupt) as shown,
        ExitStack() as open_,
    ):
        import vatra
        from vatra.engine import perplexity

        def load(file: Path) -> vatra.Model:
            return open_.enter_context(vatra.load(file, ctx=ctx, kv=kv.value, **hardware))

        def on_chunk(done: int, total: int) -> None:
            interrupt.check()
            shown.on_measure(done, total)

        loaded = load(path)
        of = perplexity.chunks(loaded, content, ctx, stride, chunks)
        shown.on_measure(0, len(of.starts))
        result: Perplexity | Divergence
        if compare is None:
            result = perplexity.perplexity(loaded, of, on_chunk)
        else:
            result = perplexity.divergence(loaded, load(compare), of, on_chunk)
    names = {"file": path.name, "text": text.name}
    if compare is not None:
        names["compared_with"] = compare.name
    if as_json:
        terminal.write_line(json.dumps({**names, "stride": stride, **asdict(result)}))
    else:
        terminal.write_line(card(result))


def card(result: Perplexity | Divergence) -> str:
    """The result for people."""
    from vatra.engine.perplexity import Perplexity

    if isinstance(result, Perplexity):
        return "\n".join((_line("perplexity", result.perplexity), _counted(result)))
    share = _share(result.same_top)
    return "\n".join(
        (
            _line("perplexity", result.model.perplexity),
            _line("of the other", result.base.perplexity),
            _line("ln(ratio)", result.log_ratio, 5),
            _line("KL divergence", result.kl, 6),
            f"{'':15}median {result.kl_median:.6f}, 90 % {result.kl_90:.6f}, "
            f"99 % {result.kl_99:.6f}, 99.9 % {result.kl_999:.6f}, most {result.kl_max:.6f}",
            f"{'same top':15}{share}",
            f"{'probability':15}{_share(result.delta_p)} more of the text's own tokens; "
            f"root mean square {100 * result.delta_p_rms:.3f} %",
            _counted(result.model),
        )
    )


def _line(name: str, estimate: Estimate, digits: int = 4) -> str:
    return f"{name:15}{estimate.value:.{digits}f} +/- {estimate.error:.{digits}f}"


def _share(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.3f} % +/- {100 * estimate.error:.3f} %"


def _counted(result: Perplexity) -> str:
    return (
        f"{'predictions':15}{result.n_tokens}, in {result.n_chunks} chunks of {result.n_ctx} tokens"
    )
