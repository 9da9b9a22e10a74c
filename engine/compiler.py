"""From a kernel's Python to an object file: the only module that runs Numba.

Numba would compile every function that a kernel calls by itself, to machine code nobody runs. Here
they stay what Numba lowers them to until the kernel that they are inlined into is optimised, once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any

from numba import njit, types
from numba.core import codegen, compiler, config
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from vatra.engine import simd
from vatra.engine.cpu_features import processor
from vatra.engine.kernels.layout import FIRST_ARGUMENT

HEADS = ("op", "run", "thread", "n_threads")  # what every kernel is given
LIBM = ("sqrtf",)  # what a kernel may call: it is in every process
OWN_CONFIG = {
    "DISABLE_JIT": 0,
    "DEBUGINFO_DEFAULT": 0,
    "OPT": config._OptLevel(3),
    "LOOP_VECTORIZE": 1,
    "SLP_VECTORIZE": 0,
}


def compile_kernel(name: str) -> bytes:
    """One kernel as a header (its length in 4 bytes, JSON) and an object file."""
    with _own_numba():
        module, _, variant = name.partition(":")
        make = import_module(f"vatra.engine.kernels.{module}").kernel
        made = make(*(variant.split(",") if variant else ()))
        notes = made.__annotations__
        kinds = {key: kind for key, kind in notes.items() if key not in ("return", *HEADS)}
        words = ", ".join(
            f"load_i64(op + {8 * i})" if kind == "int" else f"as_f32(load_i64(op + {8 * i}))"
            for i, kind in enumerate(kinds.values(), FIRST_ARGUMENT)
        )
        scope = {"body": njit(forceinline=True)(made)}
        scope |= {"load_i64": simd.load_i64, "as_f32": simd.as_f32}
        call = f"body({', '.join((*HEADS, words))})"
        exec(f"def entry({', '.join(HEADS)}):\n    {call}\n", scope)  # noqa: S102 - our own text
        flags = compiler.Flags()
        flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        flags.error_model, flags.nrt, flags.enable_looplift = "numpy", False, False
        result = compiler.compile_extra(
            cpu_target.typing_context,
            cpu_target.target_context,
            scope["entry"],
            (types.intp,) * len(HEADS),
            types.void,
            flags,
            {},
        )
        header = {"symbol": result.fndesc.llvm_func_name, "arguments": list(kinds.items())}
        text = json.dumps(header).encode()
        return len(text).to_bytes(4, "little") + text + result.library.emit_native_object()


@contextmanager
def _own_numba() -> Iterator[None]:
    """Numba aimed at `processor()`, whatever the program around us or NUMBA_* made of it."""
    with global_compiler_lock:
        context = cpu_target.target_context
        codegen_before = context._internal_codegen
        config_before = {name: getattr(config, name) for name in OWN_CONFIG}
        vars(config).update(OWN_CONFIG)
        try:
            context._internal_codegen = _codegen()
            yield
        finally:
            context._internal_codegen = codegen_before
            vars(config).update(config_before)


class _Library(codegen.AOTCodeLibrary):  # type: ignore[misc]
    """What Numba made of one function, as it is until an object file is asked for."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        pass

    def get_pointer_to_function(self, name: str) -> int:
        """0: there is none, since nothing is executed here."""
        self._ensure_finalized()
        return 0

    def emit_native_object(self) -> bytes:
        """The object file; raises RuntimeError if it would need anything of Numba or Python."""
        self._ensure_finalized()
        super()._optimize_final_module()
        module = self._final_module
        wanted = [f.name for f in module.functions if f.is_declaration]
        wanted += [v.name for v in module.global_variables if v.is_declaration]
        strangers = [name for name in wanted if not name.startswith(("llvm.", *LIBM))]
        if strangers:
            raise RuntimeError(f"{self.name} calls {', '.join(strangers)}: kernels stand alone")
        return super().emit_native_object()  # type: ignore[no-any-return]


class _Codegen(codegen.JITCPUCodegen):  # type: ignore[misc]
    """Makes code for `processor()`."""

    _library_class = _Library

    def _get_host_cpu_name(self) -> str:
        return processor().name

    def _get_host_cpu_features(self) -> str:
        return processor().flags

    def _add_module(self, module: Any) -> None:
        pass

    def set_env(self, env_name: str, env: Any) -> None:
        pass


@cache
def _codegen() -> _Codegen:
    return _Codegen("vatra")
