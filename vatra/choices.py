"""An automatic choice and why it was made, for `vatra doctor`."""

from __future__ import annotations

from typing import NamedTuple


class Choice(NamedTuple):
    """One thing the program decided by itself."""

    name: str
    value: str
    reason: str
