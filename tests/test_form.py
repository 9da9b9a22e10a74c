"""The form of an answer, as options ask for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from vatra.cli.form import FREE, check, grammar_of, in_words
from vatra.engine.constraint import Grammar
from vatra.errors import BadFile, MissingFile, UsageError


def asked(json: bool, schema: Path | None, grammar: Path | None) -> Grammar | None:
    return grammar_of(in_words(json, schema, grammar))


def test_one_form_or_none(tmp_path: Path) -> None:
    schema, grammar = tmp_path / "schema.json", tmp_path / "yes.gbnf"
    schema.write_text('{"type": "object"}')
    grammar.write_text('root ::= "yes"')
    assert asked(False, None, None) is None
    found = [asked(True, None, None), asked(False, schema, None), asked(False, None, grammar)]
    assert all(form is not None for form in found)
    with pytest.raises(UsageError, match="only one of them"):
        asked(True, schema, None)


def test_a_file_that_is_wrong_is_named(tmp_path: Path) -> None:
    for name, data, error, said in (
        ("a.json", b"{", UsageError, "a.json: not JSON"),
        ("b.json", b"\xff", BadFile, "not UTF-8"),
        ("c.json", b" " * (2 << 20), BadFile, "longer than 1048576 bytes"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(error, match=said):
            asked(False, tmp_path / name, None)
    with pytest.raises(MissingFile, match="nothing.gbnf"):
        asked(False, None, tmp_path / "nothing.gbnf")


def test_words() -> None:
    assert check(FREE) == FREE and check("schema my person.json") == "schema my person.json"
    for words in ("", "xml", "json x", "schema", "grammar ", "free beer", 3, None):
        with pytest.raises(UsageError, match="wanted free, json, schema FILE or grammar FILE"):
            check(words)
