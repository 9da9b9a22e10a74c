"""`vatra chat`: a conversation with a model at a terminal."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vatra.cli import completion, options, terminal
from vatra.cli.form import FREE, grammar_of, in_words
from vatra.cli.notes import tell_notes, tell_toy
from vatra.cli.proposals import proposals
from vatra.errors import MissingFile, UsageError, VatraError

if TYPE_CHECKING:
    from vatra.cli.dialogue import Dialogue
    from vatra.cli.editor import Reader
    from vatra.cli.session_store import Keeper, Kept

DISPLAY = ("thinking", "markdown", "stats")  # settings that are of the terminal, not of the chat


@options.with_hardware
@options.with_sampling
def command(
    model: options.Model = None,
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
    speculate: options.Speculate = options.Speculation.off,
    draft: options.Draft = None,
    overflow: options.WhenFull = options.Overflow.stop,
    markdown: Annotated[
        bool, typer.Option("--markdown/--no-markdown", help="Draw Markdown, or show it as text.")
    ] = True,
    session: Annotated[
        str | None,
        typer.Option(
            "--session",
            metavar="NAME",
            help="Keep the chat, or go on with it.",
            autocompletion=completion.sessions,
        ),
    ] = None,
    stats: options.Stats = False,
    verbose: options.Verbose = False,
) -> None:
    """Talk with a model.

    Ctrl-C stops the answer, Ctrl-D or /bye leaves, /help tells the rest.
    """
    form = in_words(json_form, json_schema, grammar)
    grammar_of(form)  # what is wrong with it is told before anything is loaded
    kept = _kept(session)
    if kept is not None and model is None:
        model = kept.model_path
    path = options.model_path(model)
    if kept is not None and ctx is None and str(path) == kept.model_path:
        ctx = kept.n_ctx
    if model is None:
        tell_toy(path)

    from vatra.cli.progress import waiting

    opened = ExitStack()
    with waiting():
        import vatra
        from vatra.formats import template_process
        from vatra.formats.chat_template import for_model

        template_process.SHARED.start()  # while the model is loaded
        loaded = vatra.load(path, ctx=ctx, kv=kv.value, **hardware)
        chosen = vatra.Sampling.from_metadata(loaded.metadata, loaded.path, **sampling)
        template = chat_template and for_model(loaded.checkpoint, loaded.tokenizer, chat_template)
        proposer = proposals(speculate, draft, opened)
        conversation = vatra.Conversation(
            loaded, system, template or None, speculate=proposer, overflow=overflow.value
        )
        tell_notes(loaded)

    from vatra.cli.dialogue import Dialogue
    from vatra.cli.editor import reader
    from vatra.cli.settings import Settings

    settings = Settings(chosen, max_tokens, list(stop or ()), thinking, markdown, stats, form)
    dialogue = Dialogue(conversation, settings, verbose)
    given = {*(name for name, value in sampling.items() if value is not None), *DISPLAY}
    given |= {n for n, v in {"max_tokens": max_tokens, "stop": stop}.items() if v is not None}
    given |= {"form"} if form != FREE else set()
    keeper = _keeper(session, kept, dialogue, given)
    if keeper is not None:
        if system is not None:
            conversation.system = system
        opened.callback(keeper.save)
    terminal.note("/help lists the commands, Ctrl-D leaves", dim=True)
    with opened:
        talk(dialogue, reader(lambda columns: status(dialogue, columns)), keeper)


def _kept(name: str | None) -> Kept | None:
    """The session to go on with, if there is one of that name."""
    from vatra.cli import session_store

    if name is None or not session_store.path_of(name).exists():
        return None
    return session_store.read(name)


def _keeper(
    name: str | None, kept: Kept | None, dialogue: Dialogue, given: set[str]
) -> Keeper | None:
    """What saves the dialogue, which has gone on from what was kept."""
    from vatra.cli.session_store import Keeper

    if name is None:
        return None
    keeper = Keeper(name, dialogue)
    if kept is not None:
        keeper.load(kept, given)
        n = len(kept.transcript.messages)
        terminal.note(f"going on with {name}: {n} messages, {dialogue.used} tokens", dim=True)
    return keeper


def talk(dialogue: Dialogue, lines: Reader, keeper: Keeper | None = None) -> None:
    """Answer what `lines` reads until it ends; KeyboardInterrupt if Ctrl-C was pressed twice."""
    from vatra.cli import slash
    from vatra.cli.dialogue import QUICK_S, WHEN_FULL
    from vatra.engine.session import ContextFull

    prefill, warned = "", False
    while True:
        if keeper is not None:
            keeper.save()
        try:
            line = lines.read(prefill)
        except EOFError:
            return
        except KeyboardInterrupt:
            if warned or time.monotonic() - dialogue.stopped_at < QUICK_S:
                raise
            prefill, warned = "", True
            terminal.note("Ctrl-C once more, Ctrl-D or /bye leaves", dim=True)
            continue
        replaces, prefill, warned = bool(prefill), "", False
        if not line.strip():
            continue
        try:
            if replaces:
                dialogue.ask_again(line.strip())
            elif slash.is_command(line):
                _obey(dialogue, line, lines)
            else:
                dialogue.ask(line.strip())
        except slash.Leave:
            return
        except slash.Prefill as wanted:
            prefill = wanted.text
        except ContextFull as error:
            terminal.note(f"{error}; {WHEN_FULL}")
        except (UsageError, MissingFile) as error:  # the one of a form's file
            terminal.note(str(error))


def _obey(dialogue: Dialogue, line: str, lines: Reader) -> None:
    """Do what a command asks for; what goes wrong with its file is no reason to leave."""
    from vatra.cli import slash

    try:
        slash.run(dialogue, line)
    except UsageError:
        raise
    except slash.Prefill:
        if not lines.can_prefill:
            raise UsageError("/edit: give the new text, as in /edit What is 2 + 3?") from None
        raise
    except VatraError as error:
        terminal.note(str(error))


def status(dialogue: Dialogue, columns: int) -> str:
    """The line below the editor, as much of it as `columns` hold."""
    from vatra.cli.timings import resident_bytes

    model = dialogue.model
    parts = [
        str(model.metadata.get("general.name") or model.path),
        f"context {dialogue.used}/{dialogue.conversation.session.n_ctx}",
        f"{resident_bytes() / 1e6:.0f} MB",
    ]
    if dialogue.last is not None:
        speed = dialogue.last.statistics.generated_tokens_per_s
        parts.insert(1, f"{speed:.1f} tokens/s")
    line = parts.pop(0)[: max(columns - 1, 0)]
    for part in parts:
        if len(line) + 3 + len(part) < columns:
            line = f"{line} | {part}"
    return line
