"""The form that an answer is asked to have, from options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vatra.errors import BadFile, MissingFile, UsageError, printable

if TYPE_CHECKING:
    from vatra.engine.constraint import Grammar

MOST_BYTES = 1 << 20


def asked(json: bool, json_schema: Path | None, grammar: Path | None) -> Grammar | None:
    """What the options ask for; raises UsageError for more than one form, or one that is wrong."""
    given = [json, json_schema is not None, grammar is not None]
    if sum(given) > 1:
        raise UsageError("--json, --json-schema and --grammar: only one of them at a time")
    if not any(given):
        return None
    from vatra.engine.constraint import Grammar

    if json_schema is not None:
        return Grammar.json_schema(_text(json_schema), printable(str(json_schema)))
    if grammar is not None:
        return Grammar.gbnf(_text(grammar), printable(str(grammar)))
    return Grammar.json()


def _text(path: Path) -> str:
    """The text of a file; raises MissingFile, or BadFile for one that is no text."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise MissingFile(f"{printable(str(path))}: {error.strerror}") from None
    if len(data) > MOST_BYTES:
        raise BadFile(str(path), f"has more than {MOST_BYTES} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadFile(str(path), "not UTF-8", byte=error.start) from None
