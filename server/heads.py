"""What a model's file says of it, read without loading the model, and again when it changes."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vatra.errors import VatraError, printable
from vatra.formats import gguf
from vatra.formats.checkpoint import Checkpoint, StringArray
from vatra.formats.fingerprint import fingerprint
from vatra.formats.variants import quant_of
from vatra.server.jobs import Description

MOST_ITEMS = 64  # of an array that is shown


@dataclass(frozen=True)
class Head:
    """A model's description, as of one that is not loaded, and its keys as JSON can hold them."""

    description: Description
    metadata: Mapping[str, Any]


class Heads:
    """The heads of models, each read once, unless two threads ask at the same time."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[tuple[int, ...], Head]] = {}

    def of(self, name: str, path: str) -> Head:
        """The head of a model as it is now; of a file that can not be read, its `error`."""
        version: tuple[int, ...] = ()
        with suppress(OSError, ValueError):
            now = os.stat(path)
            version = now.st_ino, now.st_size, now.st_mtime_ns
        if not version or self._found.get(name, ((), None))[0] != version:
            self._found[name] = version, _read(name, Path(path))
        return self._found[name][1]

    def known(self, name: str) -> Description:
        """What `of` found when it was last asked, without touching a file."""
        if name in self._found:
            return self._found[name][1].description
        return Description(name, "unloaded", 0, 0.0)


def _read(name: str, path: Path) -> Head:
    try:
        with gguf.read(path) as checkpoint:
            return Head(_described(name, path, checkpoint), _metadata(checkpoint))
    except VatraError as error:
        return Head(Description(name, "failed", 0, 0.0, error=str(error)), {})


def _described(name: str, path: Path, checkpoint: Checkpoint) -> Description:
    from vatra import models
    from vatra.formats.chat_template import KEY

    architecture = checkpoint.metadata.get("general.architecture")
    known = Description(
        name,
        "unloaded",
        checkpoint.n_bytes,
        path.stat().st_mtime,
        architecture if isinstance(architecture, str) else "",
        checkpoint.n_parameters,
        quant_of(path.stem) or next(iter(checkpoint.bytes_by_format), "").upper(),
        chats=KEY in checkpoint.metadata,
        fingerprint=fingerprint(checkpoint),
    )
    try:
        plan = models.read(checkpoint)
    except VatraError as error:
        return replace(known, state="failed", error=str(error))
    return replace(known, n_ctx=plan.n_ctx_train, embeds=plan.embeds)


def _metadata(checkpoint: Checkpoint) -> dict[str, Any]:
    """The file's keys and values; None in place of long arrays."""
    return {printable(key): _plain(value) for key, value in checkpoint.metadata.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, (StringArray, np.ndarray)):
        return [_plain(v) for v in value.tolist()] if len(value) <= MOST_ITEMS else None
    if isinstance(value, str):  # bytes that are not UTF-8
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return None if isinstance(value, float) and not math.isfinite(value) else value
