"""The memory of devices: how much of it is free, and what layers need."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Sequence
from math import prod
from pathlib import Path

from vatra.engine import memory
from vatra.engine.kernels.layout import PAGE
from vatra.engine.lowering.steps import MAX_OUTPUTS, MAX_TOKENS
from vatra.engine.memory import Available, mebibytes
from vatra.engine.offload.device import Adapter, Device
from vatra.engine.offload.lowering import TABLE_ROOM
from vatra.engine.offload.pages import page_shape
from vatra.engine.requirements import COPIES
from vatra.models.plan import KVCache, Op, Plan
from vatra.quant.tensor import QTensor

AMD, NVIDIA = 0x1002, 0x10DE  # PCI numbers of vendors
DRM = Path("/sys/class/drm")
SHARE_OF_TOKENS = 4  # the KV cache of many texts takes at most 1 / 4 of what is left then
SECONDS = 10  # that a program may take to say what is free


def has_own(adapter: Adapter) -> bool:
    """Whether a device has memory that is not the processor's."""
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    return not apple and adapter.handle.info["adapter_type"] not in ("CPU", "IntegratedGPU")


def free(adapter: Adapter) -> Available | None:
    """Bytes of its memory that can be filled, and how that is known; None where it is not."""
    vendor = adapter.handle.info["vendor_id"]
    if sys.platform == "darwin" and not has_own(adapter):
        return _apple()
    if not has_own(adapter):
        return _half(memory.available())
    if vendor == NVIDIA:
        return _nvidia(adapter.name)
    return _amd(adapter.handle.info["device_id"]) if vendor == AMD else None


def _apple() -> Available | None:
    """What macOS lets the graphics processor keep: two thirds of all memory, unless it is told."""
    limit = _number("sysctl", "-n", "iogpu.wired_limit_mb")
    total = _number("sysctl", "-n", "hw.memsize")
    if limit:
        return Available(limit << 20, "allowed by the system (iogpu.wired_limit_mb)")
    if not total:
        return None
    return Available(2 * total // 3, f"2/3 of this machine's {mebibytes(total)}, which it shares")


def _half(left: Available | None) -> Available | None:
    """Of memory that is the processor's, too."""
    if left is None:
        return None
    return Available(left.n_bytes // 2, f"half of the {mebibytes(left.n_bytes)} {left.reason}")


def _nvidia(name: str) -> Available | None:
    """What the driver's program says; of several cards of that name the fullest."""
    said = _said("nvidia-smi", "--query-gpu=name,memory.free", "--format=csv,noheader,nounits")
    rows = [line.rpartition(",") for line in said.splitlines()]
    mine = [mb.strip() for card, _, mb in rows if card.strip() == name or len(rows) == 1]
    found = [int(mb) for mb in mine if mb.isdecimal()]
    return Available(min(found) << 20, "free, as nvidia-smi says") if found else None


def _amd(device_id: int) -> Available | None:
    """What the kernel says; of several cards of that kind the fullest."""
    found = []
    for card in sorted(DRM.glob("card*/device")):
        try:
            if int((card / "device").read_text(), 16) == device_id:
                total, used = (
                    int((card / f"mem_info_vram_{what}").read_text()) for what in ("total", "used")
                )
                found.append(Available(total - used, f"free, as {card}/mem_info_vram_* say"))
        except (OSError, ValueError):
            continue
    return min(found, default=None)


def _number(*command: str) -> int:
    said = _said(*command).strip()
    return int(said) if said.isdecimal() else 0


def _said(*command: str) -> str:
    """What a program writes; nothing where it is not there, or fails."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


# ---- what is needed ------------------------------------------------------------------------------


def needs(part: Sequence[Op], n_ctx: int) -> int:
    """Bytes of a device that `part`, the last ops of a plan, take with a context of `n_ctx`."""
    weights = {id(w): w.nbytes for op in part if isinstance(w := _weight(op), QTensor)}
    many = [op for op in part if not op.out.outputs_only]
    wide = Plan("", 0, 0, ops=many).peak_width() if many else 0
    activations = round(4 * COPIES * MAX_TOKENS * wide) + 4 * MAX_OUTPUTS * part[-1].out.width
    kept = -(-n_ctx // PAGE) * sum(page_shape(cache).nbytes for cache in caches(part))
    return sum(weights.values()) + activations + 4 * TABLE_ROOM + kept


def caches(part: Sequence[Op]) -> list[KVCache]:
    """Those that `part` reads."""
    return [op.cache for op in part if hasattr(op, "cache")]


def _weight(op: Op) -> object:
    return getattr(op, "weight", None)


def most_tokens(device: Device, kept: Sequence[KVCache]) -> int | None:
    """Of a KV cache that many texts share; each side of a layer's is one piece of memory."""
    sides = [2 * prod(side) for cache in kept for side in page_shape(cache)[:2]]
    if not sides:
        return None
    pages = device.most_binding // max(sides)
    if (left := free(device.adapter)) is not None:
        pages = min(pages, left.n_bytes // SHARE_OF_TOKENS // sum(sides))
    return PAGE * pages
