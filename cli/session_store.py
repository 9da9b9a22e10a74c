"""The sessions of chats: a file for each name, in the folder where programs keep their state."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vatra.cli import settings as settings_
from vatra.cli import terminal
from vatra.cli.transcript import Transcript
from vatra.errors import BadFile, MissingFile, UsageError, VatraError, printable

if TYPE_CHECKING:
    from vatra.cli.dialogue import Dialogue
    from vatra.engine.session_file import Head

SUFFIX = ".vatra"
_MOST_BYTES = 200  # of a name


def folder() -> Path:
    """Where sessions are kept; it may not be there yet."""
    import platformdirs

    return platformdirs.user_state_path("vatra", appauthor=False) / "sessions"


def path_of(name: str) -> Path:
    """The file of a name, there or not; UsageError for what cannot be the name of a file."""
    if not name or name != name.strip() or name.startswith((".", "-")) or not name.isprintable():
        why = "is empty or begins with . or -, or has spaces around it or control characters"
    elif any(c in '/\\:*?"<>|' for c in name):
        why = 'has one of / \\ : * ? " < > |'
    elif len(name.encode("utf-8", "replace")) > _MOST_BYTES:
        why = f"is longer than {_MOST_BYTES} bytes"
    else:
        return folder() / f"{name}{SUFFIX}"
    raise UsageError(f"session {printable(name)[:80]!r}: the name {why}")


def existing(name: str) -> Path:
    """The file of a session; MissingFile that lists the sessions if there is none of that name."""
    path = path_of(name)
    if not path.exists():
        there = ", ".join(names()[:8]) or "none yet"
        raise MissingFile(f"there is no session {name!r}; there are {there}")
    return path


def names() -> list[str]:
    """All sessions, the latest first."""
    found = [path for path in folder().glob(f"*{SUFFIX}") if not path.name.startswith(".")]
    return [path.name.removesuffix(SUFFIX) for path in sorted(found, key=_changed, reverse=True)]


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # removed meanwhile
        return 0.0


@dataclass(frozen=True)
class Kept:
    """What is known of a session by the head of its file."""

    name: str
    head: Head
    transcript: Transcript
    forgotten: int
    changed: datetime

    @property
    def model_path(self) -> str:
        return str(self.head.fields["model"].get("path", ""))

    @property
    def n_ctx(self) -> int | None:
        """The context to load the model with, so that nothing need be read again."""
        n_ctx = self.head.fields.get("model_n_ctx")
        return n_ctx if type(n_ctx) is int else None


def read(name: str) -> Kept:
    """The session of a name; raises as `existing` and `session_file.read_head`."""
    from vatra.engine.conversation import saved_conversation
    from vatra.engine.session_file import read_head

    path = existing(name)
    head = read_head(path)
    messages, forgotten, extra = saved_conversation(path, head.extra)
    system = None
    if messages and messages[0]["role"] == "system":
        system, messages = messages[0]["content"], messages[1:]
    values = extra.get("settings")
    model = str(head.fields["model"].get("name", ""))
    told = Transcript(messages, system, model, values if isinstance(values, dict) else {})
    return Kept(name, head, told, forgotten, datetime.fromtimestamp(_changed(path)))


class Keeper:
    """Saves a dialogue under a name, whenever it has changed."""

    def __init__(self, name: str, dialogue: Dialogue) -> None:
        self.path = path_of(name)
        self._dialogue = dialogue
        self._saved: Any = self._content()  # nothing said is nothing to save
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            where = printable(str(self.path.parent))
            raise MissingFile(f"{where}: cannot be made: {error.strerror}") from None

    def _content(self) -> dict[str, Any]:
        chosen = self._dialogue.settings
        values = {name: chosen.value(name) for name in settings_.names()}
        return {"settings": values, "messages": self._dialogue.conversation.messages}

    def load(self, kept: Kept, given: Collection[str] = ()) -> None:
        """Go on from a session, if need be by reading its messages again.

        Its settings are taken up, but for those that are `given`.
        """
        dialogue, told = self._dialogue, kept.transcript
        dialogue.settings.put_all({k: v for k, v in told.settings.items() if k not in given})
        conversation = dialogue.conversation
        try:
            conversation.load(self.path)
            dialogue.used = len(conversation.session.timeline)
        except (UsageError, BadFile) as error:
            terminal.note(f"its messages are read again: {error}", dim=True)
            system = [] if told.system is None else [{"role": "system", "content": told.system}]
            conversation.messages = [*system, *told.messages]
            conversation.forgotten = kept.forgotten
            dialogue.count()
        dialogue.forgotten = kept.forgotten
        self._saved = self._content()

    def save(self) -> None:
        """Write what has changed; that it fails is told, and no reason to end a conversation."""
        content = self._content()
        if content == self._saved:
            return
        try:
            self._dialogue.conversation.save(self.path, {"settings": content["settings"]})
            self._saved = content
        except VatraError as error:
            terminal.note(f"the session is not saved: {error}")


def rename_target(name: str) -> Path:
    """The file of a new name; UsageError if there is one already."""
    path = path_of(name)
    if os.path.lexists(path):
        raise UsageError(f"there is a session {name!r} already")
    return path
