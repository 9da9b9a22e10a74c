"""Errors of serving: no room, no such model, a process that ended."""

from __future__ import annotations

from vatra.errors import VatraError


class Busy(VatraError):
    """Too many requests wait already; `retry_after` is in how many seconds one may have room."""

    exit_code = 69

    def __init__(self, waiting: int, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(
            f"{waiting} requests are waiting already, no more may: try again in {retry_after} s"
        )


class UnknownModel(VatraError):
    """No model of that name is served."""

    exit_code = 66


class Crashed(VatraError):
    """The process that holds the model has ended, and its answers with it."""
