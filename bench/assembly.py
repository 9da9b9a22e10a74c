"""Kernels as assembly for another processor than this machine's, which need not be at hand.

    python bench/assembly.py arm64-apple-darwin apple-m1 dotprod matmul:q4_0,4 ...

The words are LLVM's triple, LLVM's name of the processor, an instruction set of
`vatra.engine.cpu_features`, and kernels. One process knows one processor: Numba keeps the
intrinsics that a verb was lowered to.
"""

from __future__ import annotations

import re
import sys
from typing import Any

import llvmlite.binding as llvm

from vatra.engine import cpu_features


def aim(triple: str, name: str, level: str) -> None:
    """Have this process compile for another processor; before anything else of the engine."""
    levels = {**cpu_features.X86_LEVELS, **cpu_features.ARM_LEVELS}
    aimed = cpu_features.Processor(level, name, frozenset(levels[level]), "chosen")
    cpu_features.processor = lambda: aimed  # type: ignore[assignment]
    from vatra.engine import compiler

    class Listing(compiler._Library):
        def emit_native_object(self) -> bytes:
            super().emit_native_object()
            return str(self._codegen._tm.emit_assembly(self._final_module)).encode()

    class Cross(compiler._Codegen):
        _library_class = Listing

        def _create_empty_module(self, name: str) -> Any:
            module = super()._create_empty_module(name)
            module.triple = triple
            return module

        def _init(self, module: Any) -> None:
            self._tm = llvm.Target.from_triple(triple).create_target_machine(
                cpu=aimed.name, features=aimed.flags, opt=3, reloc="static", codemodel="jitdefault"
            )
            self._target_data = self._tm.target_data
            self._data_layout = str(self._target_data)
            self._loopvect, self._opt_level = False, 0  # of the first of two passes, as Numba does

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    cross = Cross("cross")
    compiler._codegen = lambda: cross  # type: ignore[assignment]


def assembly(kernel: str) -> str:
    """The assembly of one kernel, for the processor that `aim` has named."""
    from vatra.engine.compiler import compile_kernel

    blob = compile_kernel(kernel)
    return blob[4 + int.from_bytes(blob[:4], "little") :].decode()


def loops(text: str) -> list[list[str]]:
    """The instructions of each innermost loop, in the order of the text."""
    lines = [re.split(r"\s*(?:;|//)", line)[0].rstrip() for line in text.splitlines()]
    labels = {line[:-1]: i for i, line in enumerate(lines) if line.endswith(":")}
    spans: list[tuple[int, int]] = []
    for end, line in enumerate(lines):
        jump = re.match(r"\s+(?:b|b\.\w+|cbn?z|tbn?z)\s(?:.*\s)?(\S+)$", line)
        start = labels.get(jump[1], end) if jump else end
        if start < end:
            spans.append((start, end))
    inner = [a for a in spans if not any(b != a and a[0] <= b[0] <= b[1] <= a[1] for b in spans)]
    return [[line for line in lines[a : b + 1] if re.match(r"\s+[a-z]", line)] for a, b in inner]


if __name__ == "__main__":
    triple, name, level, *kernels = sys.argv[1:]
    aim(triple, name, level)
    for kernel in kernels:
        print(f"; kernel {kernel}")
        print(assembly(kernel))
