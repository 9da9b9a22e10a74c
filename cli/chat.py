"""`vatra chat`: a conversation with a model, a line at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from vatra.cli import options, terminal
from vatra.cli.run import statistics, stream, tell_notes, tell_toy

HELP = """\
/help      this list
/clear     forget the conversation
/bye       leave, as does Ctrl-D
Ctrl-C     stop the answer
Alt-Enter  begin a new line"""


def command(
    model: options.Model = None,
    system: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What the model is told beforehand.")
    ] = None,
    chat_template: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A Jinja template to use instead of the model's."),
    ] = None,
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
    stats: options.Stats = False,
) -> None:
    """Talk with a model.

    Ctrl-C stops the answer, Ctrl-D or /bye leaves, /help tells the rest.
    """
    path = options.model_path(model)
    if model is None:
        tell_toy(path)

    from vatra.cli.progress import waiting

    with waiting():
        import vatra
        from vatra.formats import template_process
        from vatra.formats.chat_template import for_model

        template_process.SHARED.start()  # while the model is loaded
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
        template = chat_template and for_model(loaded.checkpoint, loaded.tokenizer, chat_template)
        conversation = vatra.Conversation(loaded, system=system, template=template or None)
        tell_notes(loaded)
    read_line = _line_reader()
    terminal.note("/help lists the commands, Ctrl-D leaves", dim=True)
    while True:
        try:
            line = read_line()
        except EOFError:
            return
        except KeyboardInterrupt:
            terminal.note("Ctrl-D or /bye leaves", dim=True)
            continue
        line = line.strip()
        if not line:
            continue
        if _is_command(line):
            if line == "/bye":
                return
            if line == "/clear":
                conversation.clear()
                terminal.note("the conversation is forgotten", dim=True)
            else:
                terminal.note(HELP if line == "/help" else f"unknown: {line}\n{HELP}", dim=True)
            continue
        with terminal.polite_interrupt() as interrupt, waiting(interrupt) as shown:
            steps = None
            try:
                steps = conversation.say(line, sampling, max_tokens, stop or (), shown.on_prompt)
                stream(steps, shown, interrupt)
            except vatra.ContextFull as error:
                terminal.note(f"{error} (/clear forgets the conversation)")
            except KeyboardInterrupt:
                if steps is not None:
                    steps.close()
                terminal.note("(stopped)", dim=True)
        if stats and steps is not None:
            terminal.note(statistics(steps, sampling, max_tokens), dim=True)


def _is_command(line: str) -> bool:
    """True for `/word`; a line that begins with a path is meant for the model."""
    return line[0] == "/" and line[1:].isalpha()


def _line_reader() -> Callable[[], str]:
    """What reads the next line: an editor with history for a person, plain reading otherwise.

    The reader raises EOFError at the end, KeyboardInterrupt at Ctrl-C.
    """
    if terminal.is_terminal(sys.stdin) and terminal.is_terminal(sys.stdout):
        return _editor()
    return _plain_line


def _plain_line() -> str:
    if sys.stdin is None:
        raise EOFError
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line


def _editor() -> Callable[[], str]:
    import platformdirs
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory, History, InMemoryHistory
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    history: History = InMemoryHistory()
    try:
        folder = platformdirs.user_state_path("vatra", appauthor=False)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = folder / "chat-history"
        file.touch(mode=0o600)
        history = FileHistory(str(file))
    except OSError:
        terminal.note(
            "note: no folder to keep the lines you type in; they are kept until you leave"
        )
    keys = KeyBindings()

    @keys.add("escape", "enter")
    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    session: PromptSession[str] = PromptSession(history=history, key_bindings=keys)
    return lambda: session.prompt("> ")
