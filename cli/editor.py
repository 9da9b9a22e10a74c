"""Where the next line of a chat comes from: an editor for a person, plain reading otherwise."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from vatra.cli import settings, terminal
from vatra.cli.slash import COMMANDS, TOPICS

if TYPE_CHECKING:
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion
    from prompt_toolkit.document import Document
    from prompt_toolkit.history import History
    from prompt_toolkit.key_binding import KeyBindings

QUOTE = '"""'  # begins and ends a text of several lines
PROMPT = "> "


class Reader(Protocol):
    """Reads the next text; raises EOFError at the end, KeyboardInterrupt at Ctrl-C."""

    can_prefill: bool

    def read(self, prefill: str = "") -> str: ...


def reader(status: Callable[[int], str]) -> Reader:
    """An editor with a line of `status` (of at most so many columns) below, if there can be one."""
    person = terminal.is_terminal(sys.stdin) and terminal.is_terminal(sys.stdout)
    if person and os.environ.get("TERM", "") not in ("dumb", ""):
        return Editor(status)
    return Lines()


class Lines:
    """Plain lines of standard input."""

    can_prefill = False

    def read(self, prefill: str = "") -> str:
        """The next line, or all lines of a quoted text."""
        if terminal.is_terminal(sys.stdin):
            terminal.note(PROMPT, end="")
        lines = [_line()]
        while _is_open("".join(lines)):
            lines.append(_line())
        return _unquoted("".join(lines).removesuffix("\n"))


def _line() -> str:
    line = sys.stdin.readline() if sys.stdin is not None else ""
    if not line:
        raise EOFError
    return line


def _is_open(text: str) -> bool:
    """Whether a quoted text begins here whose end is not there."""
    text = text.strip()
    return text.startswith(QUOTE) and (len(text) < 2 * len(QUOTE) or not text.endswith(QUOTE))


def _unquoted(text: str) -> str:
    if text.strip().startswith(QUOTE):
        return text.strip().removeprefix(QUOTE).removesuffix(QUOTE)
    return text


class Editor:
    """A line editor with history, completion of commands, and a line of status."""

    can_prefill = True

    def __init__(self, status: Callable[[int], str]) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.application import get_app
        from prompt_toolkit.filters import Condition
        from prompt_toolkit.styles import Style

        def text() -> str:
            return get_app().current_buffer.text

        def below() -> str:
            return terminal.plain(status(get_app().output.get_size().columns))

        self._session: PromptSession[str] = PromptSession(
            PROMPT,
            history=_history(),
            key_bindings=_keys(),
            completer=_completer(),
            complete_while_typing=Condition(lambda: text().startswith("/")),
            multiline=Condition(lambda: _is_open(text())),
            prompt_continuation=" " * len(PROMPT),
            bottom_toolbar=below,
            style=Style.from_dict({"bottom-toolbar": "noreverse fg:ansibrightblack"}),
        )

    def read(self, prefill: str = "") -> str:
        """The next text that a person ends with Enter; it begins as `prefill`."""
        on_terminate = signal.getsignal(signal.SIGTERM)
        try:
            return _unquoted(self._session.prompt(default=prefill, pre_run=_terminate_in_order))
        finally:
            signal.signal(signal.SIGTERM, on_terminate)  # the event loop takes its own away


def _terminate_in_order() -> None:
    """Let SIGTERM end the editor between two of its steps.

    What is raised in the midst of one may be caught there, or leave the terminal as it is.
    """
    import asyncio

    from prompt_toolkit.application import get_app

    editor = get_app()

    def leave() -> None:
        if not editor.is_done:
            editor.exit(exception=SystemExit(128 + signal.SIGTERM))

    with suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leave)


def _history() -> History:
    import platformdirs
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    try:
        folder = platformdirs.user_state_path("vatra", appauthor=False)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = folder / "chat-history"
        file.touch(mode=0o600)
        with file.open("a"):
            return FileHistory(str(file))
    except OSError:
        terminal.note(
            "note: no folder to keep the lines you type in; they are kept until you leave"
        )
        return InMemoryHistory()


def _keys() -> KeyBindings:
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    keys = KeyBindings()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def _completer() -> Completer:
    """What completes commands, names and values of settings, topics and files."""
    from prompt_toolkit.completion import Completer, Completion, PathCompleter
    from prompt_toolkit.document import Document

    files = PathCompleter(expanduser=True)

    class Commands(Completer):
        def get_completions(
            self, document: Document, complete_event: CompleteEvent
        ) -> Iterable[Completion]:
            words = document.text_before_cursor.split(" ")
            if not words[0].startswith("/") or "\n" in document.text:
                return
            command = COMMANDS.get(words[0])
            if command is not None and command.argument == "file" and len(words) > 1:
                path = document.text_before_cursor[len(words[0]) + 1 :]
                yield from files.get_completions(Document(path), complete_event)
                return
            for word, what in choices(words):
                if word.startswith(words[-1]):
                    yield Completion(word, -len(words[-1]), display_meta=what)

    return Commands()


def choices(words: list[str]) -> list[tuple[str, str]]:
    """What the last of `words` may become, with a few words on each."""
    if len(words) == 1:
        return [(command.name, command.help) for command in COMMANDS.values()]
    command = COMMANDS.get(words[0])
    if command is None:
        return []
    if command.argument == "topic" and len(words) == 2:
        return [(topic, "") for topic in TOPICS]
    if command.argument == "setting" and len(words) == 2:
        return [(name, settings.help_of(name)) for name in settings.names()]
    if command.argument == "setting" and len(words) == 3:
        other = settings.OTHERS.get(words[1])
        return [(value, "") for value in (*(other.values if other else ()), settings.DEFAULT)]
    return []
