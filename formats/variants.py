"""What the names of GGUF files say: which of them are one model, and how its weights are kept."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

_PART = re.compile(r"-(\d{5})-of-(\d{5})$")
_WEIGHTS = (
    r"(?:UD-)?(?:I?Q\d(?:_[0-9A-Z]{1,3})*|TQ\d_\d|MXFP4(?:_MOE)?|NVFP4|BF16|F16|FP16|F32|FP32)"
)
_QUANT = re.compile(rf"(?<![A-Z0-9])({_WEIGHTS})(?![A-Z0-9])", re.IGNORECASE)
_SIZE = re.compile(r"(?<![A-Za-z0-9.])((?:\d+x)?\d+(?:\.\d+)?[BM])(?![A-Za-z0-9])", re.IGNORECASE)
# Files beside a model: its eyes and ears, and what was measured of it.
_BESIDE = re.compile(r"mmproj|imatrix", re.IGNORECASE)


@dataclass(frozen=True)
class Variant:
    """One model among the files of a folder: its parts in order, and how its weights are kept."""

    stem: str  # the path without ending and part, with / between folders
    quant: str  # such as Q4_K_M; empty where no name says it
    paths: tuple[str, ...]
    n_parts: int  # that there should be

    @property
    def file_name(self) -> str:
        """The last part of the stem."""
        return self.stem.rpartition("/")[2]


def variants(paths: Iterable[str]) -> list[Variant]:
    """The models among files, given by paths with / between folders; sorted by stem."""
    parts: dict[tuple[str, int], list[str]] = {}
    for path in sorted(paths):
        if not path.lower().endswith(".gguf") or _BESIDE.search(PurePosixPath(path).name):
            continue
        stem = path[: -len(".gguf")]
        found = _PART.search(stem)
        key = (stem[: found.start()], int(found[2])) if found else (stem, 1)
        parts.setdefault(key, []).append(path)
    return [
        Variant(stem, quant_of(stem), tuple(files), n) for (stem, n), files in sorted(parts.items())
    ]


def quant_of(stem: str) -> str:
    """The weight format that a file's name tells, or else its folder's; empty if none does."""
    for name in reversed(stem.split("/")):
        found = _QUANT.findall(name)
        if found:
            return str(found[-1]).upper()
    return ""


def size_of(stem: str) -> str:
    """The number of parameters that a name tells, such as 0.5B or 8x7B; empty if it does not."""
    found = _SIZE.findall(stem)
    return str(found[0]).upper().replace("X", "x") if found else ""
