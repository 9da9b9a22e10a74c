"""`vatra run`: answer or continue one prompt, and leave."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vatra.cli import options, terminal
from vatra.cli.form import grammar_of, in_words
from vatra.cli.notes import tell_notes, tell_toy
from vatra.cli.prompt import prompt_text
from vatra.cli.proposals import proposals
from vatra.errors import UsageError

if TYPE_CHECKING:
    from vatra.engine.generation import Step, Steps
    from vatra.engine.model import Model


class Output(StrEnum):
    """What goes to standard output."""

    text = "text"
    json = "json"


@options.with_hardware
@options.with_sampling
def command(
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="PROMPT",
            help="What to say. @FILE in it is that file's text, @@ a plain @. What is piped in "
            "follows it; without it, or with -, it is the prompt.",
        ),
    ] = None,
    model: options.Model = None,
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
    thinking: options.ShownThinking = options.Thinking.dim,
    json_form: options.Json = False,
    json_schema: options.JsonSchema = None,
    grammar: options.Grammar = None,
    logprobs: Annotated[
        int,
        typer.Option(
            metavar="K",
            min=0,
            max=100,
            help="With --output json, each token and the K likeliest in its place.",
        ),
    ] = 0,
    speculate: options.Speculate = options.Speculation.off,
    draft: options.Draft = None,
    overflow: options.WhenFull = options.Overflow.stop,
    keep: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="With --raw --overflow shift, tokens at the beginning that are not forgotten. "
            "[default: the one that begins every text]",
        ),
    ] = None,
    output: Annotated[
        Output,
        typer.Option(help="The text as it comes, or one JSON object with speeds at the end."),
    ] = Output.text,
    stats: options.Stats = True,
    verbose: options.Verbose = False,
) -> None:
    """Answer a prompt, or continue it.

    Only the model's text goes to standard output; progress, thinking, notes and speeds go to
    standard error.
    """
    options.check_raw(chat, system, chat_template)
    if keep is not None and (chat is not False or overflow is not options.Overflow.shift):
        raise UsageError(
            "--keep: only --raw --overflow shift forgets tokens (a chat keeps its system text)"
        )
    if logprobs and output is not Output.json:
        raise UsageError("--logprobs: the text alone has no place for them: add --output json")
    form = grammar_of(in_words(json_form, json_schema, grammar))
    path = options.model_path(model)
    text = prompt_text(prompt, files=True)
    if model is None:
        tell_toy(path)

    from vatra.cli.answer import NoPage, PlainPage, stream
    from vatra.cli.progress import waiting
    from vatra.cli.timings import details, op_lines, statistics, timed

    with (
        terminal.polite_interrupt() as interrupt,
        waiting(interrupt) as shown,
        ExitStack() as opened,
    ):
        import vatra
        from vatra.formats.chat_template import KEY, for_model

        begin = time.monotonic()
        loaded = vatra.load(path, ctx=ctx, kv=kv.value, **hardware)
        chosen = vatra.Sampling.from_metadata(loaded.metadata, loaded.path, **sampling)
        proposer = proposals(speculate, draft, opened)
        timings = opened.enter_context(timed(loaded, verbose))
        if chat or system is not None or chat_template or (chat is None and KEY in loaded.metadata):
            template = (
                for_model(loaded.checkpoint, loaded.tokenizer, chat_template)
                if chat_template
                else loaded.chat_template
            )
            tell_notes(loaded)
            load_s = time.monotonic() - begin
            talk = vatra.Conversation(
                loaded, system, template, speculate=proposer, overflow=overflow.value
            )
            steps = talk.say(
                text, chosen, max_tokens, stop or (), shown.on_prompt,
                logprobs=logprobs, grammar=form,
            )  # fmt: skip
        else:
            tell_notes(loaded)
            load_s = time.monotonic() - begin
            session = loaded.session()
            session.sync(loaded.tokenizer.encode(text), progress=shown.on_prompt)
            steps = session.generate(
                chosen,
                max_tokens,
                stop or (),
                logprobs=logprobs,
                grammar=form,
                speculate=proposer,
                overflow=overflow.value,
                keep=keep,
                progress=shown.on_prompt,
            )
        told: list[dict[str, Any]] = []
        page = PlainPage() if output is Output.text else NoPage()
        try:
            stream(noted(steps, told) if logprobs else steps, shown, interrupt, page, thinking)
        finally:
            if output is Output.json:
                found = result(loaded, steps) | ({"logprobs": told} if logprobs else {})
                terminal.write_line(json.dumps(found, ensure_ascii=False))
    if stats and output is Output.text:
        terminal.note(statistics(steps, chosen, max_tokens), dim=True)
    if verbose:
        for line in [*details(loaded, steps, chosen, load_s), *op_lines(timings)]:
            terminal.note(line, dim=True)


def noted(steps: Steps, told: list[dict[str, Any]]) -> Iterator[Step]:
    """The steps; what is known of each token's likelihood is added to `told`."""
    for step in steps:
        top = [{"token": t.token, "text": t.text, "logprob": t.logprob} for t in step.top_logprobs]
        told.append({"token": step.token, "text": step.text, "logprob": step.logprob, "top": top})
        yield step


def result(model: Model, steps: Steps) -> dict[str, Any]:
    """An answer for programs; `finish_reason` is None if it was interrupted."""
    s = steps.statistics
    return {
        "text": steps.text,
        "reasoning": steps.reasoning,
        "finish_reason": steps.finish_reason,
        "prompt_tokens": s.prompt_tokens,
        "generated_tokens": s.generated_tokens,
        "prompt_tokens_per_s": round(s.prompt_tokens_per_s, 3),
        "generated_tokens_per_s": round(s.generated_tokens_per_s, 3),
        "first_token_s": round(s.first_token_s, 4),
        "seed": steps.seed,
        "model": model.path,
    }
