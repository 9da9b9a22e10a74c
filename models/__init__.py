"""Architectures: from a file's metadata and tensors to a plan of what is computed."""

from __future__ import annotations

if __name__ != "vatra.models":
    raise ImportError(f"import this package as vatra.models, not {__name__}")

from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module

from vatra.errors import UnsupportedFile
from vatra.formats.checkpoint import Checkpoint
from vatra.models.plan import Plan

Builder = Callable[[Checkpoint, int | None], Plan]

# general.architecture -> the module of vatra.models.architectures that has its `build`
MODULES: dict[str, str] = {
    "llama": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "qwen3moe": "qwen3",
}
_registered: dict[str, Builder] = {}


def register(architecture: str, build: Builder) -> None:
    """Read files of `architecture` by `build`, from now on and before any that Vatra has."""
    _registered[architecture] = build


def known() -> list[str]:
    """The architectures that files may have."""
    return sorted({*MODULES, *_registered})


def read(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """What the model in an open checkpoint computes; `n_ctx` is the context it will be run with.

    Raises BadFile where a key or tensor is missing or wrong, UnsupportedFile where the file asks
    for an architecture or a variant that is not known.
    """
    name = checkpoint.architecture
    if name in _registered:
        return _registered[name](checkpoint, n_ctx)
    if name not in MODULES:
        near = get_close_matches(name, known(), 3, 0.4)
        hint = f"; nearest known: {', '.join(near)}" if near else ""
        what = f"{name!r} is not supported{hint}; `vatra inspect --architectures` lists all"
        raise UnsupportedFile(checkpoint.path, what, field="general.architecture")
    module = import_module(f"vatra.models.architectures.{MODULES[name]}")
    plan: Plan = module.build(checkpoint, n_ctx)
    return plan
