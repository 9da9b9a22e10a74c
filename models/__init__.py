"""Architectures: from a file's metadata and tensors to a plan of what is computed."""

from __future__ import annotations

if __name__ != "vatra.models":
    raise ImportError(f"import this package as vatra.models, not {__name__}")

from collections.abc import Callable
from difflib import get_close_matches

from vatra.errors import UnsupportedFile
from vatra.formats.checkpoint import Checkpoint
from vatra.models import llama, qwen2, qwen3
from vatra.models.plan import Plan

MODELS: dict[str, Callable[[Checkpoint, int | None], Plan]] = {
    "llama": llama.build,
    "qwen2": qwen2.build,
    "qwen3": qwen3.build,
}


def read(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """What the model in an open checkpoint computes; `n_ctx` is the context it will be run with.

    Raises BadFile where a key or tensor is missing or wrong, UnsupportedFile where the file asks
    for an architecture or a variant that is not known.
    """
    name = checkpoint.architecture
    if name not in MODELS:
        near = get_close_matches(name, MODELS, 2, 0.4)
        hint = f"nearest known: {', '.join(near)}; " if near else ""
        what = f"{name!r} is not supported; {hint}known: {', '.join(MODELS)}"
        raise UnsupportedFile(checkpoint.path, what, field="general.architecture")
    return MODELS[name](checkpoint, n_ctx)
