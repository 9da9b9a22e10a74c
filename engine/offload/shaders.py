"""The WGSL text of a kernel: its file, the files that it is made with, and its constants."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

Constant = int | float | bool | str | tuple[int, ...]

# what the unpacking of some formats shares
_SHARED = {
    "f16": ("halves",),
    "bf16": ("halves",),
    "q5_0": ("fifth_bit",),
    "q5_1": ("fifth_bit",),
    "q4_k": ("six_bit",),
    "q5_k": ("six_bit",),
    "iq4_nl": ("levels",),
    "iq4_xs": ("levels",),
    "mxfp4": ("levels",),
}
FLOATS = ("f32", "f16", "bf16")
CODED = (
    "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl",
    "iq4_xs", "mxfp4",
)  # fmt: skip
FORMATS = FLOATS + CODED  # of weights that products are made of
_TOGETHER = ("matvec", "norm", "attend", "peaks", "argmax")  # lanes meet


def source(name: str, constants: Mapping[str, Constant], *, subgroups: bool) -> str:
    """All of kernel `name`. Lower-case constants choose files, the others are written as they are.

    `format` is of the weights, `int8` whether they are multiplied with rounded values, `rounded`
    whether results are left rounded as well, `value` of the files in `maps` and `activation` of
    those in `activations`.
    """
    parts = ["run"]
    if name in _TOGETHER:
        parts.append("lanes_subgroup" if subgroups else "lanes_shared")
    if "rounded" in constants:
        parts.append("rounded" if constants["rounded"] else "exact")
    if "activation" in constants:
        parts.append(f"activations/{constants['activation']}")
    if "format" in constants:
        format = str(constants["format"])
        parts += ["product", "weights"]
        parts += [f"formats/{part}" for part in (*_SHARED.get(format, ()), format)]
        if constants.get("int8"):
            parts.append("given_int8")
        else:
            parts += ["given", "coded" if format in CODED else "floats"]
    if "PAGE" in constants:
        parts.append("paged")
    if "value" in constants:
        parts.append(f"maps/{constants['value']}")
    if "SINKS" in constants:
        parts.append("merged")
    if name == "attend":
        parts.append("one_token" if constants["one"] else "four_tokens")
    lines = [
        f"const {key} = {_literal(value)};" for key, value in constants.items() if key.isupper()
    ]
    if "OUTPUTS_ONLY" not in constants:
        lines.append("const OUTPUTS_ONLY = false;")
    return "\n".join([*lines, *map(_text, parts), _text(name)])


def bindings(code: str) -> dict[int, str]:
    """What a kernel wants at each binding: "uniform", "read-only-storage" or "storage"."""
    kinds = {"uniform": "uniform", "storage, read": "read-only-storage"}
    found = re.findall(r"@binding\((\d+)\) var<([a-z_, ]+)>", code)
    return {int(i): kinds.get(kind, "storage") for i, kind in found}


def _literal(value: Constant) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value!r}f" if "e" in repr(value) or "." in repr(value) else f"f32({value!r})"
    if isinstance(value, tuple):
        return f"vec4<u32>({', '.join(f'{v}u' for v in value)})"
    return f"{value}u"


@cache
def _text(name: str) -> str:
    return (files("vatra.engine.offload") / "kernels" / f"{name}.wgsl").read_text()
