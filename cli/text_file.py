"""Texts that options name by their files."""

from __future__ import annotations

from pathlib import Path

from vatra.errors import BadFile, MissingFile


def read(path: Path, most_bytes: int) -> str:
    """The file's text; raises MissingFile, or BadFile if it is no UTF-8 or too long."""
    try:
        with path.open("rb") as file:
            data = file.read(most_bytes + 1)
    except OSError as error:
        raise MissingFile(f"{path}: {error.strerror}") from None
    if len(data) > most_bytes:
        raise BadFile(path, f"longer than {most_bytes} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadFile(path, "not UTF-8", field="text", byte=error.start) from None
