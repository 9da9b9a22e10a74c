"""The form that an answer is asked to have, from options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vatra.cli import text_file
from vatra.errors import UsageError, printable

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
        return Grammar.json_schema(
            text_file.read(json_schema, MOST_BYTES), printable(str(json_schema))
        )
    if grammar is not None:
        return Grammar.gbnf(text_file.read(grammar, MOST_BYTES), printable(str(grammar)))
    return Grammar.json()
