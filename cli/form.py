"""The form that an answer is asked to have: from options, or in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vatra.cli import text_file
from vatra.errors import UsageError, printable

if TYPE_CHECKING:
    from vatra.engine.constraint import Grammar

MOST_BYTES = 1 << 20
FREE = "free"  # any text
FORMS = (FREE, "json", "schema", "grammar")


def in_words(json: bool, json_schema: Path | None, grammar: Path | None) -> str:
    """What the options ask for, as `grammar_of` takes it; UsageError for more than one form."""
    given = {"json": json, f"schema {json_schema}": json_schema, f"grammar {grammar}": grammar}
    forms = [words for words, asked in given.items() if asked]
    if len(forms) > 1:
        raise UsageError("--json, --json-schema and --grammar: only one of them at a time")
    return forms[0] if forms else FREE


def check(words: Any) -> str:
    """`words` if `grammar_of` knows what they mean, else UsageError; files are not looked at."""
    kind, _, name = words.partition(" ") if isinstance(words, str) else ("", "", "")
    if kind not in FORMS or bool(name) != (kind in ("schema", "grammar")):
        raise UsageError(f"form: got {words!r:.60}, wanted free, json, schema FILE or grammar FILE")
    return str(words)


def grammar_of(words: str) -> Grammar | None:
    """The grammar of `free`, `json`, `schema FILE` or `grammar FILE`.

    Raises UsageError for other words and for what is wrong in the file, MissingFile without it.
    """
    if check(words) == FREE:
        return None
    from vatra.engine.constraint import Grammar

    if words == "json":
        return Grammar.json()
    kind, _, name = words.partition(" ")
    file = Path(name).expanduser()
    read = Grammar.json_schema if kind == "schema" else Grammar.gbnf
    return read(text_file.read(file, MOST_BYTES), printable(str(file)))
