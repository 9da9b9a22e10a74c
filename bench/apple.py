"""How fast could the products run on Apple's cores? Computed: nothing here runs on one.

    python bench/apple.py [FORMAT ...]

compiles the kernels for macOS, takes the loops over weight blocks out of the assembly, and has
LLVM's `llvm-mca` (which must be on the PATH) count their cycles with data in the first cache. Its
model of all of Apple's cores is that of an older one with 3 vector units; the M1 and M4 have 4.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from vatra.engine.cpu_features import TOKENS_PER_TILE
from vatra.quant.registry import by_name

HERE = Path(__file__).parent
TRIPLE = "arm64-apple-darwin"
PRODUCTS = 16  # of weights and activations in one sdot or usdot


class Chip(NamedTuple):
    cpu: str  # LLVM's name
    level: str
    ghz: float  # of a performance core
    memory: float  # GB/s of the whole chip


CHIPS = {"M1": Chip("apple-m1", "dotprod", 3.2, 68), "M4": Chip("apple-m4", "i8mm", 4.4, 120)}


class Loop(NamedTuple):
    """One turn of a kernel's inner loop."""

    instructions: int
    dots: int
    stack: int  # reads and writes of the stack
    cycles: float


def measured(text: str, tokens: int) -> Loop:
    """The loop that multiplies one part of a block by a tile of tokens, or all parts by one."""
    from assembly import loops

    bodies: dict[int, list[str]] = {}
    for body in loops(text):
        dots = sum(bool(re.match(r"\s+[us]+dot", line)) for line in body)
        # the shortest: what is computed once for all parts of a block may stand before the others
        if dots and len(body) < len(bodies.get(dots, body * 2)):
            bodies[dots] = body
    dots = 2 * PRODUCTS * tokens if tokens > 1 else max(bodies)
    body = bodies[dots]
    return Loop(len(body), dots, sum("[sp" in line for line in body), cycles(body))


def cycles(body: list[str]) -> float:
    straight = [line for line in body if not re.match(r"\s+(b|cbn?z|tbn?z)[.\s]", line)]
    command = ["llvm-mca", f"-mtriple={TRIPLE}", "-mcpu=apple-m1", "-iterations=100"]
    done = subprocess.run(command, input="\n".join(straight), capture_output=True, text=True)
    total = re.search(r"Total Cycles:\s+(\d+)", done.stdout)
    if not total:
        sys.exit(f"llvm-mca failed: {done.stderr[:500]}")
    return int(total[1]) / 100


def main(formats: list[str]) -> None:
    print("| chip | format | tokens | instructions | stack | cycles / 16 products | G op/s a core "
          "| weights GB/s a core | chip's GB/s |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    for name, chip in CHIPS.items():
        tile = TOKENS_PER_TILE[chip.level]
        ways = [(format, tokens) for format in formats for tokens in (tile, 1)]
        kernels = [f"matmul:{format},{tokens}" for format, tokens in ways]
        command = [sys.executable, str(HERE / "assembly.py"), TRIPLE, chip.cpu, chip.level]
        done = subprocess.run([*command, *kernels], capture_output=True, text=True, check=True)
        texts = done.stdout.split("; kernel ")[1:]
        for (format, tokens), text in zip(ways, texts, strict=True):
            loop = measured(text, tokens)
            products = PRODUCTS * loop.dots
            rate = chip.ghz * products / loop.cycles  # G products/s
            read = rate / tokens * by_name(format).bits / 8
            print(
                f"| {name} | {format} | {tokens} | {loop.instructions} | {loop.stack} "
                f"| {loop.cycles / loop.dots:.2f} | {2 * rate:.0f} | {read:.0f} "
                f"| {chip.memory:.0f} |"
            )


if __name__ == "__main__":
    main(sys.argv[1:] or ["q4_0", "q4_k", "q8_0"])
