"""The commands of a chat: a row for each, and what each does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from vatra.cli import clipboard, settings, terminal, transcript
from vatra.cli.dialogue import Dialogue
from vatra.errors import UsageError

WIDEST = 24  # characters of a value in a list
Do = Callable[[Dialogue, str], None]
Argument = Literal["", "file", "setting", "topic"]


class Leave(Exception):
    """The chat is over."""


class Prefill(Exception):
    """The next line is to begin as `text`, and replaces the last question."""

    def __init__(self, text: str) -> None:
        self.text = text


@dataclass(frozen=True)
class Command:
    """A word after a slash: what it takes, what it does, and how."""

    usage: str
    help: str
    do: Do
    argument: Argument = ""

    @property
    def name(self) -> str:
        return self.usage.partition(" ")[0]


def is_command(line: str) -> bool:
    """True for `/word ...`; a line that begins with a path is meant for the model."""
    word = line.partition(" ")[0]
    return word.startswith("/") and (word[1:].isalpha() or word == "/?")


def run(dialogue: Dialogue, line: str) -> None:
    """Do what `line` asks for; UsageError if nothing is called so. May raise Leave or Prefill."""
    word, _, argument = line.partition(" ")
    command = ALIASES.get(word) or COMMANDS.get(word)
    if command is None:
        near = get_close_matches(word, COMMANDS, 1)
        hint = f"did you mean {near[0]}?" if near else "/help lists the commands"
        raise UsageError(f"unknown: {word} ({hint}; a space before it says it to the model)")
    command.do(dialogue, argument.strip())


def _help(_dialogue: Dialogue, _argument: str) -> None:
    width = max(len(command.usage) for command in COMMANDS.values())
    lines = [f"{c.usage:{width}}  {c.help}" for c in COMMANDS.values()]
    keys = (
        ("Ctrl-C", "Stop the answer; twice leaves, as does Ctrl-D."),
        ("Alt-Enter", 'Begin a new line; """ begins and ends a text of several.'),
    )
    _tell(*lines, *(f"{key:{width}}  {what}" for key, what in keys))


def _system(dialogue: Dialogue, argument: str) -> None:
    if argument:
        dialogue.conversation.system = argument
    system = dialogue.conversation.system
    _tell("there is no system text" if system is None else f"system: {system}")


def _set(dialogue: Dialogue, argument: str) -> None:
    chosen = dialogue.settings
    name, _, value = argument.replace("=", " ", 1).partition(" ")
    if value.strip():
        chosen.change(name, value.strip())
    if name:
        _tell(f"{name} {settings.shown(chosen.value(name))}")
        return
    _tell(*_table(chosen, settings.names()))


def _changed(dialogue: Dialogue, _argument: str) -> None:
    """The settings that somebody - the person, or the model's file - has chosen."""
    chosen = dialogue.settings
    usual = settings.Settings(type(chosen.sampling)())
    found = [n for n in settings.names() if chosen.value(n) != usual.value(n)]
    left = len(settings.names()) - len(found)
    _tell(*_table(chosen, found), f"{left} settings are as usual; /set lists all")


def _table(chosen: settings.Settings, names: Sequence[str]) -> list[str]:
    """A line for each setting: its name, its value, what it does."""
    rows = [(name, settings.shown(chosen.value(name))) for name in names]
    rows = [(n, v if len(v) <= WIDEST else f"{v[: WIDEST - 3]}...") for n, v in rows]
    wide = max((len(n) for n, _ in rows), default=0)
    values = max((len(v) for _, v in rows), default=0)
    return [f"{n:{wide}}  {v:{values}}  {settings.help_of(n)}" for n, v in rows]


def _show(dialogue: Dialogue, argument: str) -> None:
    if argument not in ("", *TOPICS):
        raise UsageError(f"/show: got {argument!r}, wanted {' or '.join(TOPICS)}")
    for topic in (argument,) if argument else ("model", "system", "settings"):
        TOPICS[topic](dialogue, "")


def _model(dialogue: Dialogue, _argument: str) -> None:
    model, n_ctx = dialogue.model, dialogue.conversation.session.n_ctx
    name = model.metadata.get("general.name") or model.path
    _tell(
        f"model         {name}",
        f"file          {model.path}",
        f"architecture  {model.plan.architecture}",
        f"context       {dialogue.count()} of {n_ctx} tokens used",
        f"threads       {model.threads}",
    )


def _template(dialogue: Dialogue, _argument: str) -> None:
    _tell(dialogue.conversation.template.source)


def _save(dialogue: Dialogue, argument: str) -> None:
    conversation, chosen = dialogue.conversation, dialogue.settings
    system = conversation.system
    messages = conversation.messages[0 if system is None else 1 :]
    values = {name: chosen.value(name) for name in settings.names()}
    content = transcript.Transcript(messages, system, dialogue.model.path, values)
    path = _path(argument, "/save")
    transcript.save(path, content)
    _tell(f"saved {len(messages)} messages as {path}")


def _load(dialogue: Dialogue, argument: str) -> None:
    found = transcript.load(_path(argument, "/load"))
    try:
        dialogue.settings.put_all(found.settings)
    except UsageError as error:
        raise UsageError(f"{argument}: settings: {error}") from None
    dialogue.conversation.messages = found.messages
    dialogue.conversation.system = found.system
    dialogue.count()
    _tell(f"loaded {len(found.messages)} messages")
    for message in found.messages[-2:]:
        _tell(f"{message['role']}: {_beginning(message['content'])}")


def _clear(dialogue: Dialogue, _argument: str) -> None:
    dialogue.conversation.clear()
    dialogue.used = 0
    _tell("the conversation is forgotten")


def _retry(dialogue: Dialogue, _argument: str) -> None:
    dialogue.ask_again()


def _undo(dialogue: Dialogue, _argument: str) -> None:
    said = dialogue.conversation.take_back()
    if said is None:
        raise UsageError("nothing was said yet")
    dialogue.count()
    _tell(f"forgotten: {_beginning(said)}")


def _edit(dialogue: Dialogue, argument: str) -> None:
    said = dialogue.said_last("user")
    if not argument:
        raise Prefill(said)
    dialogue.ask_again(argument)


def _copy(dialogue: Dialogue, _argument: str) -> None:
    text = dialogue.said_last("assistant")
    _tell(f"copied {len(text)} characters by {clipboard.copy(text)}")


def _tokens(dialogue: Dialogue, _argument: str) -> None:
    model, n_ctx = dialogue.model, dialogue.conversation.session.n_ctx
    total = dialogue.count()
    left, rows = total, []
    for message in dialogue.conversation.messages:
        said = f"{message.get('reasoning_content', '')}{message.get('content', '')}"
        count = len(model.tokenizer.encode(said, bos=False, special=False))
        rows.append(f"{count:>7}  {message['role']:9}  {_beginning(said)}")
        left -= count
    _tell(*rows, f"{left:>7}  template", f"{total:>7}  of {n_ctx} tokens of context")


def _bye(_dialogue: Dialogue, _argument: str) -> None:
    raise Leave


def _path(argument: str, command: str) -> str:
    import os

    if not argument:
        raise UsageError(f"{command}: name a file, as in {command} talk.json")
    return os.path.expanduser(argument)


def _beginning(text: str) -> str:
    """The first words of a text, in one line."""
    room = max(terminal.size()[0] - 24, 16)
    line = " ".join(text.split())
    return line if len(line) <= room else f"{line[: room - 3]}..."


def _tell(*lines: str) -> None:
    for line in lines:
        terminal.note(line, dim=True)


TOPICS: dict[str, Do] = {
    "model": _model,
    "template": _template,
    "settings": _changed,
    "system": _system,
}
COMMANDS = {
    command.name: command
    for command in (
        Command("/help", "This list.", _help),
        Command("/system [TEXT]", "Show or change what the model is told beforehand.", _system),
        Command("/set [NAME [VALUE]]", "Show or change a setting.", _set, "setting"),
        Command("/show [TOPIC]", "Tell of model, template, settings or system.", _show, "topic"),
        Command("/save FILE", "Write the conversation as JSON.", _save, "file"),
        Command("/load FILE", "Go on with a conversation that was saved.", _load, "file"),
        Command("/retry", "Another answer to the last question.", _retry),
        Command("/edit [TEXT]", "Change the last question, and answer it again.", _edit),
        Command("/undo", "Forget the last question and its answer.", _undo),
        Command("/clear", "Forget the conversation.", _clear),
        Command("/copy", "Put the last answer on the clipboard.", _copy),
        Command("/tokens", "Tell how many tokens each message has.", _tokens),
        Command("/bye", "Leave.", _bye),
    )
}
ALIASES = {
    "/?": COMMANDS["/help"],
    "/exit": COMMANDS["/bye"],
    "/quit": COMMANDS["/bye"],
}
