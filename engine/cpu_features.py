"""The one place that asks what this processor can do."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from vatra.choices import Choice
from vatra.errors import UsageError

# What each level needs, in LLVM's words, widest first.
X86_LEVELS = {
    "avx512": {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vnni", "avx2", "fma", "f16c"},
    "avx2": {"avx2", "fma", "f16c"},
    "generic": set(),
}
ARM_LEVELS = {
    "i8mm": {"neon", "dotprod", "i8mm"},
    "dotprod": {"neon", "dotprod"},
    "neon": {"neon"},
    "generic": set(),
}
LEVELS = {"x86_64": X86_LEVELS, "amd64": X86_LEVELS, "aarch64": ARM_LEVELS, "arm64": ARM_LEVELS}
# How many tokens a matrix tile holds in registers.
TOKENS_PER_TILE = {"avx512": 16, "avx2": 2, "i8mm": 4, "dotprod": 4, "neon": 4, "generic": 2}
# An override compiles for a processor that has the level and nothing above it.
OVERRIDE = {"avx2": "haswell", "generic": "x86-64"}
# Bits of the words that Linux tells programs of ARM processors by (AT_HWCAP, AT_HWCAP2; the
# kernel's asm/hwcap.h), and names of the same features in macOS.
ARM_FEATURES = {
    "fullfp16": (16, 10, "FEAT_FP16"),
    "dotprod": (16, 20, "FEAT_DotProd"),
    "i8mm": (26, 13, "FEAT_I8MM"),
}


@dataclass(frozen=True)
class Processor:
    """The instruction set that kernels are compiled for, and why."""

    level: str
    name: str  # LLVM's name of the processor
    features: frozenset[str]  # LLVM's names of the features that may be used
    reason: str
    lacking: frozenset[str] = frozenset()  # features that the name would promise wrongly

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
    def flags(self) -> str:
        """The features, as LLVM wants them beside the name."""
        used, lacking = sorted(self.features), sorted(self.lacking)
        return ",".join([*(f"+{name}" for name in used), *(f"-{name}" for name in lacking)])

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

    name, machine = llvm.get_host_cpu_name(), platform.machine().lower()
    told = llvm.get_host_cpu_features()
    features = frozenset(f for f, on in told.items() if on)
    # a virtual machine may lack what its processor's name promises
    lacking = frozenset(told) - features
    if os.environ.get("VATRA_ISA") or not _may_use_tiles():
        features = frozenset(f for f in features if not f.startswith("amx"))
    levels = LEVELS.get(machine, {"generic": set()})
    if levels is ARM_LEVELS:
        features |= _arm_features()
    possible = [level for level, needs in levels.items() if needs <= features]
    wanted = os.environ.get("VATRA_ISA", "").strip().lower()
    if not wanted:
        reason = f"the widest this processor ({name}) has"
        above = list(levels)[: list(levels).index(possible[0])]
        if above:
            reason += f"; no {', '.join(sorted(levels[above[-1]] - features))}"
        return Processor(possible[0], name, features, reason, lacking)
    if wanted not in possible:
        raise UsageError(
            f"VATRA_ISA={wanted}: this processor ({name}) offers {', '.join(possible)}; "
            "unset VATRA_ISA for the best of them"
        )
    if levels is ARM_LEVELS:
        name, features = "generic", frozenset(levels[wanted])
    elif wanted in OVERRIDE:
        name, features = OVERRIDE[wanted], frozenset(levels[wanted])
    return Processor(wanted, name, features, "forced by VATRA_ISA", lacking)


def _arm_features() -> frozenset[str]:
    """What the system says of an ARM processor, since LLVM says little of it."""
    found = {"neon"}  # all with 64 bits have it
    with suppress(OSError, AttributeError, TypeError):  # another system, or an old one
        libc = ctypes.CDLL(None)
        if sys.platform == "darwin":
            found.add("dotprod")  # so had the first of Apple's
            for feature, (_, _, name) in ARM_FEATURES.items():
                value, size = ctypes.c_int(), ctypes.c_size_t(4)
                key = f"hw.optional.arm.{name}".encode()
                libc.sysctlbyname(key, ctypes.byref(value), ctypes.byref(size), None, 0)
                if value.value:
                    found.add(feature)
        else:
            libc.getauxval.restype = ctypes.c_ulong
            for feature, (word, bit, _) in ARM_FEATURES.items():
                if libc.getauxval(ctypes.c_ulong(word)) >> bit & 1:
                    found.add(feature)
    return frozenset(found)


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
        if f.startswith(("avx", "fma", "f16c", "amx", "neon", "fullfp16", "dotprod", "i8mm"))
    ]
    return [
        Choice("processor", cpu.name, f"{platform.machine()}, as LLVM, the compiler, names it"),
        Choice("instruction set", cpu.level, cpu.reason),
        Choice("features", " ".join(shown) or "none used", "what kernels may use of it"),
        Choice("AMX", "on" if cpu.matrix_tiles else "off", _why_tiles(cpu)),
    ]


def _why_tiles(cpu: Processor) -> str:
    """Why AMX, which multiplies whole tiles of numbers at once, is used or not."""
    if cpu.matrix_tiles:
        return "the processor multiplies whole tiles of numbers at once: used for prompts"
    if os.environ.get("VATRA_ISA"):
        return "left out where VATRA_ISA asks for an instruction set"
    if not _may_use_tiles():
        return "only Linux on x86-64 gives its registers, and did not"
    return "this processor cannot multiply tiles of bf16 numbers"
