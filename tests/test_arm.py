"""What kernels become on 64-bit ARM, read in their assembly; `.ci/arm` runs them, emulated.

The compiler makes code for any processor, so this needs no other machine.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vatra.engine import cpu_features
from vatra.engine.cpu_features import ARM_LEVELS, TOKENS_PER_TILE
from vatra.engine.kernels.layout import FAST
from vatra.engine.kernels.unpack import UNPACK
from vatra.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "bench" / "assembly.py"
spec = importlib.util.spec_from_file_location("bench_assembly", SCRIPT)
assert spec and spec.loader
listing = importlib.util.module_from_spec(spec)
spec.loader.exec_module(listing)

TARGETS = {  # level: triple, LLVM's name of a processor
    "dotprod": ("arm64-apple-darwin", "apple-m1"),
    "i8mm": ("arm64-apple-darwin", "apple-m4"),
    "neon": ("aarch64-linux-gnu", "cortex-a72"),
}


def assembly(level: str, *kernels: str) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *TARGETS[level], level, *kernels],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    texts = done.stdout.split("; kernel ")[1:]
    return dict(zip(kernels, texts, strict=True))


SCALAR = {"mul", "madd", "fmov", "umov", "smov", "ins", "fcvt"}  # single lanes, single weights
BRANCHES = {"b", "cbz", "cbnz", "tbz", "tbnz"}


def calls(text: str) -> list[str]:
    return re.findall(r"^\s+blr?\s.*", text, re.M)


def operations(body: list[str]) -> list[str]:
    """The names of instructions, without the shapes that Apple's assembler writes there."""
    return [line.split()[0].partition(".")[0] for line in body]


@pytest.mark.parametrize(
    ("level", "dot", "formats"),
    [
        ("dotprod", "sdot", ("q4_0", "q8_0", "iq4_nl")),
        ("i8mm", "sdot", ("q4_0",)),
        ("neon", "smull2", ("q4_0",)),
    ],
)
def test_products_are_made_of_vector_instructions(
    level: str, dot: str, formats: tuple[str, ...]
) -> None:
    tile = TOKENS_PER_TILE[level]
    texts = assembly(level, *(f"matmul:{name},{n}" for name in formats for n in (1, tile)))
    for kernel, text in texts.items():
        assert not calls(text), kernel
        bodies = [body for body in listing.loops(text) if dot in operations(body)]
        # 16 rows of 32 weights, 16 products in an sdot; smull2 goes with a smull, 8 in each. Of one
        # token, two groups of rows are multiplied in turn.
        wanted = [2 * 32] if kernel.endswith(",1") else [2 * 32, 32 * 2, 32 * 4]
        assert sorted(operations(body).count(dot) for body in bodies) == wanted, kernel
        for body in bodies:
            found = operations(body)
            assert not SCALAR & set(found), kernel
            assert sum(operation in BRANCHES for operation in found) == 1, kernel
        if kernel in ("matmul:q4_0,1", "matmul:q8_0,1") and level != "neon":
            # two groups are more than 32 registers hold; computed, that costs little (see the log)
            assert sum("[sp" in line for line in bodies[0]) < 48, f"{kernel} lives on the stack"


def test_floats_are_converted_by_vector_instructions() -> None:
    texts = assembly(
        "dotprod", "attention:attend,f16", "attention:store,f16", "matmul_float:f16,4", "quantize:"
    )
    for kernel, text in texts.items():
        assert not calls(text), kernel
    assert "fcvtl" in texts["attention:attend,f16"] and "fcvtl" in texts["matmul_float:f16,4"]
    assert "fmla" in texts["attention:attend,f16"] and "fmla" in texts["matmul_float:f16,4"]
    assert re.search(r"\bfcvtzs\.4s", texts["quantize:"])
    assert re.search(r"\bfrintx\.4s", texts["quantize:"])
    for kernel in ("attention:attend,f16", "matmul_float:f16,4"):
        assert not re.search(r"\bfcvt\s+s\d+, h\d+", texts[kernel]), kernel


def test_formats_of_whole_bytes_are_raised_by_128() -> None:
    """`dot_tile` multiplies their bytes as signed ones, and leaves the sums of x out."""
    for name, unpack in UNPACK.items():
        assert unpack.bits < 8 or FAST[name].zero == 128, name


# ---- which ARM ----------------------------------------------------------------------------------


class System:
    """A C library that tells of an ARM processor."""

    def __init__(self, words: dict[int, int], names: set[str]) -> None:
        self.words, self.names = words, names
        self.getauxval: Any = lambda word: words.get(word.value, 0)

    def sysctlbyname(self, key: bytes, value: Any, size: Any, *_: Any) -> int:
        assert size._obj.value == 4
        if key.decode() not in self.names:
            return -1
        value._obj.value = 1
        return 0


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., cpu_features.Processor]:
    """`processor()` of an ARM machine."""

    def ask(words: dict[int, int], names: set[str], system: str, forced: str) -> Any:
        import llvmlite.binding as llvm

        # LLVM says as little of Linux on ARM
        monkeypatch.setattr(llvm, "get_host_cpu_features", lambda: {"sve": False, "aes": True})
        monkeypatch.setattr(llvm, "get_host_cpu_name", lambda: "neoverse-n1")
        monkeypatch.setattr(platform, "machine", lambda: "arm64")
        monkeypatch.setattr(sys, "platform", system)
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: System(words, names))
        monkeypatch.setenv("VATRA_ISA", forced)
        return cpu_features.processor.__wrapped__()

    return ask


@pytest.mark.parametrize(
    ("words", "level"),
    [
        ({16: 0x8FB}, "neon"),  # what Linux says of a Cortex-A72
        ({16: 0x119FFB}, "dotprod"),  # of a Neoverse N1
        ({16: 0x119FFB, 26: 1 << 13}, "i8mm"),
        ({26: 1 << 13}, "neon"),
    ],
)
def test_levels_on_linux(asked: Any, words: dict[int, int], level: str) -> None:
    found = asked(words, set(), "linux", "")
    assert found.level == level and not found.x86 and found.has("neon")
    assert found.name == "neoverse-n1" and found.has("aes") and "-sve" in found.flags.split(",")
    assert ARM_LEVELS[level] <= found.features


@pytest.mark.parametrize(
    ("names", "level"),
    [
        (set(), "dotprod"),  # a macOS that does not tell: all of Apple's have it
        ({"hw.optional.arm.FEAT_DotProd", "hw.optional.arm.FEAT_FP16"}, "dotprod"),
        ({"hw.optional.arm.FEAT_DotProd", "hw.optional.arm.FEAT_I8MM"}, "i8mm"),
    ],
)
def test_levels_on_macos(asked: Any, names: set[str], level: str) -> None:
    found = asked({}, names, "darwin", "")
    assert found.level == level and found.has("fullfp16") == any("FP16" in n for n in names)


def test_forced_levels(asked: Any) -> None:
    n1 = {16: 0x119FFB}
    for level, features in ARM_LEVELS.items():
        if level == "i8mm":
            with pytest.raises(UsageError, match="dotprod, neon, generic"):
                asked(n1, set(), "linux", level)
        else:
            found = asked(n1, set(), "linux", level)
            assert (found.level, found.name, found.features) == (level, "generic", features)
    with pytest.raises(UsageError, match="avx2"):
        asked(n1, set(), "linux", "avx2")
