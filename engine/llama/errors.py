"""The error for a wrong argument, which programs for llama-cpp-python catch as a ValueError."""

from __future__ import annotations

from vatra.errors import UsageError


class WrongArgument(UsageError, ValueError):
    """An argument is outside its range, or asks for what Vatra does not do; it is named."""
