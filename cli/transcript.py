"""A conversation as a file: JSON that people can read, of messages, system text and settings."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vatra.errors import BadFile, MissingFile, printable
from vatra.formats.atomic import atomic_write

KIND, VERSION = "vatra conversation", 1
MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Transcript:
    """What was said in a chat, and how it was set."""

    messages: Sequence[Mapping[str, Any]]  # without the system message
    system: str | None = None
    model: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


def as_json(transcript: Transcript) -> str:
    """The text of a file, which `load` reads."""
    content = {
        "format": KIND,
        "version": VERSION,
        "model": transcript.model,
        "system": transcript.system,
        "settings": dict(transcript.settings),
        "messages": list(transcript.messages),
    }
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def save(path: str, transcript: Transcript) -> None:
    """Write `path`, which holds what it held before if that fails; raises as `atomic_write`."""
    with atomic_write(path, mode=0o600) as file:
        file.write(as_json(transcript).encode("utf-8", "surrogatepass"))


def load(path: str) -> Transcript:
    """Read what `save` wrote, or a person; raises MissingFile, or BadFile that names the field."""
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise MissingFile(f"{printable(os.fspath(path))}: {why}") from None
    if len(data) > MOST_BYTES:
        raise BadFile(path, f"has more than {MOST_BYTES} bytes")
    try:
        content = json.loads(data.decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError as error:
        raise BadFile(path, "not UTF-8", byte=error.start) from None
    except (ValueError, RecursionError) as error:
        raise BadFile(path, f"not JSON: {error}") from None
    if not isinstance(content, dict) or content.get("format") != KIND:
        raise BadFile(path, f"not a conversation: wanted an object with {KIND!r}", field="format")
    if content.get("version") != VERSION:
        raise BadFile(path, f"got {content.get('version')!r}, wanted {VERSION}", field="version")
    system, settings = content.get("system"), content.get("settings", {})
    if not (system is None or isinstance(system, str)):
        raise BadFile(path, "wanted a text or null", field="system")
    if not isinstance(settings, dict):
        raise BadFile(path, "wanted an object", field="settings")
    messages = content.get("messages")
    if not isinstance(messages, list):
        raise BadFile(path, "wanted a list", field="messages")
    for i, message in enumerate(messages):
        if not (
            isinstance(message, dict)
            and isinstance(message.get("role"), str)
            and isinstance(message.get("content"), str)
        ):
            raise BadFile(path, "wanted an object with role and content", field=f"messages[{i}]")
    return Transcript(messages, system, str(content.get("model", "")), settings)
