"""`vatra run`: continue one prompt, and leave."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from vatra.cli import options, terminal
from vatra.errors import BadFile, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from vatra.cli.progress import Waiting
    from vatra.cli.terminal import Interrupt
    from vatra.engine.generation import Steps
    from vatra.engine.model import Model
    from vatra.engine.sampling import Sampling

REAL_MODELS = "https://huggingface.co/models?library=gguf"
# More text than any context holds; reading on would only use memory up.
MOST_PROMPT_BYTES = 16 << 20
ENDINGS = {
    "eog": "the model",
    "stop": "a stop text",
    "length": "the limit of -n",
    None: "interruption",
}


def command(
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="PROMPT",
            help="The text to continue; without it, or with -, standard input is read.",
        ),
    ] = None,
    model: options.Model = None,
    max_tokens: options.MaxTokens = None,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    min_p: options.MinP = None,
    repeat_penalty: options.RepeatPenalty = None,
    frequency_penalty: options.FrequencyPenalty = None,
    presence_penalty: options.PresencePenalty = None,
    penalty_last_n: options.PenaltyLastN = None,
    seed: options.Seed = None,
    stop: options.Stop = None,
    ctx: options.Context = None,
    threads: options.Threads = None,
    kv: options.KV = options.KVFormat.f16,
    backend: options.Executor = options.Backend.cpu,
    stats: options.Stats = True,
) -> None:
    """Continue a prompt.

    Only the model's text goes to standard output; progress, notes and speeds go to standard error.
    """
    path = options.model_path(model)
    text = prompt_text(prompt)
    if model is None:
        tell_toy(path)

    from vatra.cli.progress import waiting

    with terminal.polite_interrupt() as interrupt, waiting(interrupt) as shown:
        import vatra

        loaded = vatra.load(path, backend=backend.value, threads=threads, ctx=ctx, kv=kv.value)
        sampling = vatra.Sampling.from_metadata(
            loaded.metadata,
            loaded.path,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repeat_penalty=repeat_penalty,
            frequency_penalty=frequency_penalty,
            presence_penalty=presence_penalty,
            penalty_last_n=penalty_last_n,
            seed=seed,
        )
        ids = loaded.tokenizer.encode(text)
        tell_notes(loaded)
        session = loaded.session()
        session.sync(ids, progress=shown.on_prompt)
        steps = session.generate(sampling, max_tokens, stop or ())
        stream(steps, shown, interrupt)
    if stats:
        terminal.note(statistics(steps, sampling, max_tokens), dim=True)


def prompt_text(prompt: str | None) -> str:
    """The prompt as given or, without one, all of standard input less its last line end.

    Raises UsageError if there is no text to read, BadFile if it is no UTF-8.
    """
    if prompt is not None and prompt != "-":
        return _decoded(os.fsencode(prompt), "the command line")
    if sys.stdin is None or (prompt is None and terminal.is_terminal(sys.stdin)):
        raise UsageError('no prompt: give one, as in vatra run "Once upon a time"')
    data = sys.stdin.buffer.read(MOST_PROMPT_BYTES + 1)
    if len(data) > MOST_PROMPT_BYTES:
        raise UsageError(f"the prompt on standard input is longer than {MOST_PROMPT_BYTES} bytes")
    text = _decoded(data, "standard input")
    if not text:
        raise UsageError("the prompt on standard input is empty")
    return text.removesuffix("\n").removesuffix("\r")


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadFile(where, "not UTF-8", field="prompt", byte=error.start) from None


def stream(steps: Steps, shown: Waiting, interrupt: Interrupt) -> None:
    """Print the text of `steps` as it comes, and a line end after it.

    Thinking and tool calls are noted on standard error. Raises KeyboardInterrupt between two tokens
    if `interrupt` asks for it.
    """
    last, thinks = "\n", False
    try:
        for step in steps:
            shown.clear()
            if step.reasoning:
                terminal.note(step.reasoning, dim=True, end="")
                thinks = True
            if thinks and (step.text or step.tool_calls):
                terminal.note("")
                thinks = False
            for call in step.tool_calls:
                terminal.note(f"(a call: {call.name} {call.arguments})", dim=True)
            if step.text:
                terminal.write(step.text)
                last = step.text[-1]
            interrupt.check()
    finally:
        shown.clear()
        if thinks:
            terminal.note("")
        if last != "\n":
            terminal.write_line()


def tell_toy(path: Path) -> None:
    """Say on standard error that the toy at `path` answers, as nobody named another model."""
    from vatra.formats import gguf

    with gguf.read(path) as toy:
        name = toy.get("general.name", str, path.stem)
        millions = toy.n_parameters / 1e6
    terminal.note(
        f"{name}, a toy of {millions:.0f} million weights that comes with Vatra; "
        f"-m FILE or VATRA_MODEL names a real model ({REAL_MODELS})",
        dim=True,
    )


def tell_notes(model: Model) -> None:
    """Say on standard error what a person should know of the model, also what makes it slow."""
    from vatra.engine.threads import allowed_cpus

    report = getattr(model.executor, "report", list)
    slow = [f"{c.value}: {c.reason}" for c in report() if c.reason.startswith("decoded")]
    count, reason = allowed_cpus()
    if model.threads > count:
        slow.append(
            f"{model.threads} threads are slower than {count}: no more run at once ({reason})"
        )
    for line in [*model.notes, *slow]:
        terminal.note(f"note: {line}", dim=True)


def statistics(steps: Steps, sampling: Sampling, max_tokens: int | None) -> str:
    """The speeds of an answer in one line, and the seed to get it again if it took one."""
    s = steps.statistics
    seed = f"; seed {steps.seed}" if sampling.temperature > 0 else ""
    reused = f" ({s.reused_tokens} more reused)" if s.reused_tokens else ""
    full = steps.finish_reason == "length" and s.generated_tokens != max_tokens
    ending = "a full context" if full else ENDINGS[steps.finish_reason]
    return (
        f"prompt {_tokens(s.prompt_tokens)}{reused}, {s.prompt_tokens_per_s:.1f} tokens/s; "
        f"first token after {s.first_token_s:.2f} s; "
        f"answer {_tokens(s.generated_tokens)}, {s.generated_tokens_per_s:.1f} tokens/s, "
        f"ended by {ending}{seed}"
    )


def _tokens(count: int) -> str:
    return "1 token" if count == 1 else f"{count} tokens"
