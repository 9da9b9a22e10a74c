"""Grammars by the names that llama-cpp-python has for making them."""

from __future__ import annotations

import os
from pathlib import Path

from vatra.engine.constraint import Grammar
from vatra.errors import MissingFile, printable


class LlamaGrammar(Grammar):
    """A `Grammar`; `verbose` is taken and says nothing."""

    @classmethod
    def from_string(cls, grammar: str, verbose: bool = True) -> Grammar:
        """A grammar in GBNF."""
        return cls.gbnf(grammar)

    @classmethod
    def from_file(cls, file: str | os.PathLike[str], verbose: bool = True) -> Grammar:
        """A file with a grammar in GBNF."""
        try:
            return cls.gbnf(Path(file).read_text(encoding="utf-8"), str(file))
        except OSError as error:
            raise MissingFile(f"{printable(str(file))}: {error.strerror}") from error

    @classmethod
    def from_json_schema(cls, json_schema: str, verbose: bool = True) -> Grammar:
        """JSON that a schema allows, which is given as JSON."""
        return cls.json_schema(json_schema)
