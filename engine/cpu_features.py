"""The one place that asks what this processor can do."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from dataclasses import dataclass
from functools import cache

from vatra.choices import Choice
from vatra.errors import UsageError

# What each level needs, widest first; `tokens` is how many tokens a matrix tile holds in registers.
X86_LEVELS = {
    "avx512": {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vnni", "avx2", "fma", "f16c"},
    "avx2": {"avx2", "fma", "f16c"},
    "generic": set(),
}
TOKENS_PER_TILE = {"avx512": 16, "avx2": 2, "neon": 4, "generic": 2}
# An override compiles for a processor that has the level and nothing above it.
OVERRIDE = {"avx512": ("", ""), "avx2": ("haswell", ""), "generic": ("x86-64", "")}


@dataclass(frozen=True)
class Processor:
    """The instruction set that kernels are compiled for, and why."""

    level: str
    name: str  # LLVM's name of the processor
    features: frozenset[str]  # LLVM's names of the features that may be used
    reason: str

    @property
    def tokens_per_tile(self) -> int:
        return TOKENS_PER_TILE[self.level]

    @property
    def matrix_tiles(self) -> bool:
        """True if kernels may use AMX tiles of bf16."""
        return "amx-bf16" in self.features

    @property
    def x86(self) -> bool:
        return self.level in X86_LEVELS and platform.machine().lower() in ("x86_64", "amd64")

    def has(self, feature: str) -> bool:
        return feature in self.features

    @property
    def id(self) -> str:
        """Two processors with the same id can run each other's machine code."""
        return f"{self.level} {self.name} {' '.join(sorted(self.features))}"


@cache
def processor() -> Processor:
    """This machine's processor, or the level that `VATRA_ISA` forces.

    Raises UsageError if that level is unknown or the processor lacks it.
    """
    import llvmlite.binding as llvm

    name = llvm.get_host_cpu_name()
    features = frozenset(f for f, on in llvm.get_host_cpu_features().items() if on)
    if os.environ.get("VATRA_ISA") or not _may_use_tiles():
        features = frozenset(f for f in features if not f.startswith("amx"))
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        possible = [level for level, needs in X86_LEVELS.items() if needs <= features]
    elif machine in ("arm64", "aarch64"):
        possible = ["neon", "generic"]
    else:
        possible = ["generic"]
    wanted = os.environ.get("VATRA_ISA", "").strip().lower()
    if not wanted:
        missing = X86_LEVELS["avx512"] - features
        reason = f"the widest this processor ({name}) has"
        if possible[0] == "avx2":
            reason += f"; no {', '.join(sorted(missing))}"
        return Processor(possible[0], name, features, reason)
    if wanted not in possible:
        raise UsageError(
            f"VATRA_ISA={wanted}: this processor ({name}) offers {', '.join(possible)}; "
            "unset VATRA_ISA for the best of them"
        )
    as_name = OVERRIDE.get(wanted, ("", ""))[0]
    if as_name:
        features = frozenset(X86_LEVELS[wanted])
    return Processor(wanted, as_name or name, features, "forced by VATRA_ISA")


def _may_use_tiles() -> bool:
    """Ask Linux for the registers of AMX, which it gives only to processes that ask."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    arch_prctl, ask_permission, tile_data = 158, 0x1023, 18  # Linux: ARCH_REQ_XCOMP_PERM
    return (
        libc.syscall(arch_prctl, ask_permission, tile_data) == 0
    )  # also if the processor has none


def report() -> list[Choice]:
    """What `vatra doctor` says of the processor."""
    cpu = processor()
    shown = [
        f
        for f in sorted(cpu.features)
        if f.startswith(("avx", "fma", "f16c", "amx", "dot", "i8mm"))
    ]
    return [
        Choice("processor", cpu.name, f"{platform.machine()}, as LLVM names it"),
        Choice("instruction set", cpu.level, cpu.reason),
        Choice("features", " ".join(shown) or "none used", "reported by LLVM"),
        Choice(
            "many tokens",
            "bf16 tiles of AMX" if cpu.matrix_tiles else "the same tiles as few",
            "the processor has AMX" if cpu.matrix_tiles else "no AMX that may be used",
        ),
        Choice(
            "tile", f"16 rows x {cpu.tokens_per_tile} tokens", f"fills the registers of {cpu.level}"
        ),
    ]
