"""Where proposals of the next tokens come from, from options."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from vatra.cli.options import Speculation, model_path
from vatra.errors import UsageError

if TYPE_CHECKING:
    from vatra.engine.speculation import Speculate


def proposals(speculate: Speculation, draft: str | None, opened: ExitStack) -> Speculate:
    """What the options ask for; a draft model is closed with `opened`."""
    if draft is None:
        return None if speculate is Speculation.off else "lookup"
    if speculate is not Speculation.off:
        raise UsageError("--speculate and --draft: only one of them at a time")
    import vatra

    return vatra.Draft(opened.enter_context(vatra.load(model_path(draft))))
