"""Every error a person can meet: what is wrong, where, what was found, what was wanted, what to do.

    VatraError                 70   our own bug, or nothing more precise
    |- UsageError               2   the command or the call asks for something impossible
    |  `- WrongArgument          2   an argument, or a field of a request, which is named first
    |- BadFile                 65   a file's content is wrong
    |  `- UnsupportedFile      65   a file is fine, but needs something this version does not have
    |- MissingFile             66   a file is not there, or may not be read
    |- Unavailable             69   a service - the network, the hub - is not there, or refuses
    |- OutOfMemory             71   the machine has less memory than the work needs
    `- IOFailed                74   reading or writing failed half-way

The number is the exit status of the command line; it is the only place that prints these errors.
"""

from __future__ import annotations


class VatraError(Exception):
    """An error that is explained to the person, in one line and without a traceback."""

    exit_code = 70


class UsageError(VatraError):
    """The command or the call asks for something that cannot be done."""

    exit_code = 2


class WrongArgument(UsageError, ValueError):
    """An argument or a field is wrong: `path: got ..., wanted ...`; `code` tells programs how."""

    def __init__(self, message: str, code: str = "invalid_value") -> None:
        self.code = code
        super().__init__(message)


class BadFile(VatraError):
    """A file's content is wrong: names the file, the field and, where known, the byte."""

    exit_code = 65

    def __init__(
        self, path: object, what: str, *, field: str = "", byte: int | None = None
    ) -> None:
        self.path, self.what, self.field, self.byte = path, what, field, byte
        where = field if byte is None else f"{field} at byte {byte}".strip()
        super().__init__(
            ": ".join(printable(str(part)) for part in (path, where, what) if str(part))
        )


class UnsupportedFile(BadFile):
    """A well-formed file needs an architecture, a tokenizer or a format this version lacks."""


class MissingFile(VatraError):
    """A file is not there, is not a regular file, or may not be read."""

    exit_code = 66


class Unavailable(VatraError):
    """A service is not there, refuses, or gives what it should not: the network, the model hub."""

    exit_code = 69


class OutOfMemory(VatraError):
    """The machine has less memory than the work needs; the message carries both numbers."""

    exit_code = 71


class IOFailed(VatraError):
    """Reading or writing failed half-way; nothing that was saved before is lost."""

    exit_code = 74


def printable(text: str) -> str:
    """`text` with control characters and bidirectional overrides escaped, so a terminal is safe."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
