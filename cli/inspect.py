"""`vatra inspect`: what a model file says of itself, without evaluating anything."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vatra.cli import options, terminal
from vatra.cli.table import byte_size, table
from vatra.errors import printable

if TYPE_CHECKING:
    from vatra.engine.requirements import Requirements
    from vatra.formats.gguf import Checkpoint
    from vatra.quant.tensor import QTensor

# Longer arrays and texts are shown by their beginning and their length.
SHOWN_ITEMS = 6
SHOWN_CHARACTERS = 100


def command(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="The GGUF file, unless -m names it.")
    ] = None,
    model: options.Model = None,
    tensors: Annotated[bool, typer.Option("--tensors", help="List every tensor.")] = False,
    ctx: options.Context = None,
    kv: options.KV = options.KVFormat.f16,
    gpu_layers: options.GpuLayers = None,
    device: options.Device = None,
    architectures: Annotated[
        bool, typer.Option("--architectures", help="List the architectures that run, and end.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Show what a file holds, whether it runs, and its memory."""
    if architectures:
        from vatra import models

        known = models.known()
        terminal.write_line(json.dumps(known) if as_json else "\n".join(known))
        return
    from vatra.formats import gguf

    checkpoint = gguf.read(options.model_path(model if file is None else file))
    verdict = _verdict(checkpoint, ctx, kv, gpu_layers, device)
    if as_json:
        found = _as_dict(checkpoint, tensors)
        found |= {"runs": verdict.runs, "why_not": verdict.why_not, "embeds": verdict.embeds}
        if verdict.needs is not None:
            found["memory"] = asdict(verdict.needs) | {"total": verdict.needs.total}
        if verdict.on_device:
            found["on_device"] = verdict.on_device
        terminal.write_line(json.dumps(found, allow_nan=False))
    else:
        for line in _lines(checkpoint, verdict, tensors):
            terminal.write_line(line)


@dataclass(frozen=True)
class Verdict:
    """Whether a file runs; without weights or words it can do less.

    What `embeds` makes vectors of texts and writes none.
    """

    runs: bool
    why_not: str = ""
    needs: Requirements | None = None
    embeds: bool = False
    on_device: str = ""  # how many layers

    @property
    def words(self) -> str:
        if not self.why_not:
            return "yes, for embeddings: vatra embed" if self.embeds else "yes"
        return f"{'logits only' if self.runs else 'no'}: {self.why_not}"


def _verdict(
    checkpoint: Checkpoint,
    ctx: int | None,
    kv: options.KVFormat,
    gpu_layers: int | str | None,
    device: str | None,
) -> Verdict:
    """What loading the file would say, as far as it can be known without loading it.

    Raises what `vatra.load` does of the device.
    """
    from vatra import models
    from vatra.engine.cpu import CpuExecutor
    from vatra.engine.model import MOST_CTX_UNASKED, cannot_write, layers_wanted
    from vatra.engine.requirements import requirements
    from vatra.errors import VatraError
    from vatra.formats import tokenizer

    wanted, on_device = layers_wanted(gpu_layers, device, kv.value), ""

    def reason(error: VatraError) -> str:  # the file has been named already
        return str(error).removeprefix(f"{printable(checkpoint.path)}: ")

    try:
        plan = models.read(checkpoint, ctx)
    except VatraError as error:
        return Verdict(False, reason(error))
    n_ctx = ctx or min(plan.n_ctx_train, MOST_CTX_UNASKED)
    here = plan
    if wanted:
        from vatra.engine.offload.placement import Placement

        place = Placement(wanted, device)
        here = place.cut(plan, n_ctx)
        on_device = f"{place.choice.value} ({place.choice.reason})"
    needs = requirements(here, CpuExecutor, n_ctx, kv.value if plan.causal else "f32")
    try:
        tokenizer.load(checkpoint)
    except VatraError as error:
        return Verdict(not plan.embeds, reason(error), needs, plan.embeds, on_device)
    why_not = "" if plan.embeds else cannot_write(plan) or ""
    return Verdict(True, why_not, needs, plan.embeds, on_device)


def _lines(checkpoint: Checkpoint, verdict: Verdict, tensors: bool) -> Iterable[str]:
    facts = _facts(checkpoint) | {"runs": verdict.words}
    if verdict.needs is not None:
        facts["memory"] = str(verdict.needs)
    if verdict.on_device:
        facts["on a device"] = verdict.on_device
    width = max(map(len, facts))
    for name, value in facts.items():
        yield f"{name:{width}}  {value}"
    yield ""
    if checkpoint.tensors:
        yield from table(
            ("format", "tensors", "weights", "bits", "size"),
            [
                (
                    row["format"],
                    row["tensors"],
                    f"{row['weights']:,}",
                    row["bits"],
                    byte_size(row["bytes"]),
                )
                for row in _formats(checkpoint.tensors.values())
            ],
        )
        yield ""
    yield f"metadata ({len(checkpoint.metadata)} keys)"
    for key, value in checkpoint.metadata.items():
        yield f"  {printable(key)} = {_short(value)}"
    if tensors:
        yield ""
        yield from table(
            ("tensor", "format", "shape", "size"),
            [
                (printable(name), kind, " x ".join(map(str, shape)), byte_size(size))
                for name, kind, shape, size in _tensors(checkpoint)
            ],
        )


def _facts(checkpoint: Checkpoint) -> dict[str, str]:
    metadata = checkpoint.metadata
    architecture = metadata.get("general.architecture")
    facts = {
        "file": printable(checkpoint.path),
        "format": f"GGUF version {checkpoint.version}",
        "architecture": printable(architecture) if isinstance(architecture, str) else "not named",
        "parameters": f"{checkpoint.n_parameters:,}",
        "tensors": f"{len(checkpoint.tensors)}",
        "size": byte_size(checkpoint.n_bytes)
        + (f" in {len(checkpoint.files)} files" if len(checkpoint.files) > 1 else ""),
    }
    name = metadata.get("general.name")
    if isinstance(name, str):
        facts["name"] = printable(name)
    for label, key in (("context", "context_length"), ("layers", "block_count")):
        value = metadata.get(f"{architecture}.{key}")
        if isinstance(value, int):
            facts[label] = f"{value:,}"
    tokens = metadata.get("tokenizer.ggml.tokens")
    model = metadata.get("tokenizer.ggml.model")
    if isinstance(model, str):
        count = f", {len(tokens):,} tokens" if tokens is not None and _is_array(tokens) else ""
        facts["tokenizer"] = printable(model) + count
    return facts


def _as_dict(checkpoint: Checkpoint, tensors: bool) -> dict[str, Any]:
    made: dict[str, Any] = {
        "file": checkpoint.path,
        "version": checkpoint.version,
        "architecture": _plain(checkpoint.metadata.get("general.architecture")),
        "parameters": checkpoint.n_parameters,
        "bytes": checkpoint.n_bytes,
        "formats": _formats(checkpoint.tensors.values()),
        "metadata": {key: _plain(value) for key, value in checkpoint.metadata.items()},
    }
    if tensors:
        made["tensors"] = [
            {"name": name, "format": kind, "shape": list(shape), "bytes": size}
            for name, kind, shape, size in _tensors(checkpoint)
        ]
    return made


def _tensors(checkpoint: Checkpoint) -> Iterable[tuple[str, str, tuple[int, ...], int]]:
    """Name, format, shape (outermost first) and bytes of all that the file holds."""
    for t in checkpoint.tensors.values():
        yield t.name, t.format.name, t.shape, t.nbytes
    for name, array in checkpoint.arrays.items():
        yield name, str(array.dtype), array.shape, array.nbytes


def _formats(tensors: Iterable[QTensor]) -> list[dict[str, Any]]:
    """One row per weight format, the largest first."""
    count: Counter[str] = Counter()
    weights: Counter[str] = Counter()
    size: Counter[str] = Counter()
    bits: dict[str, float] = {}
    for t in tensors:
        name = t.format.name
        count[name] += 1
        weights[name] += math.prod(t.shape)
        size[name] += t.nbytes
        bits[name] = t.format.bits
    return [
        {
            "format": name,
            "tensors": count[name],
            "weights": weights[name],
            "bits": bits[name],
            "bytes": size[name],
        }
        for name, _ in size.most_common()
    ]


def _is_array(value: object) -> bool:
    return not isinstance(value, str | bytes) and hasattr(value, "__len__")


def _short(value: object) -> str:
    """A metadata value on one line, safe to print and of bounded length."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        cut = value[:SHOWN_CHARACTERS]
        more = f" ... ({len(value):,} characters)" if len(value) > len(cut) else ""
        return f'"{printable(cut)}"{more}'
    if _is_array(value):
        items = ", ".join(_short(_scalar(value[i])) for i in range(min(len(value), SHOWN_ITEMS)))  # type: ignore[index, arg-type]
        more = f", ... ({len(value):,} values)" if len(value) > SHOWN_ITEMS else ""  # type: ignore[arg-type]
        return f"[{items}{more}]"
    return printable(str(_shortest(_scalar(value))))


def _shortest(value: object) -> object:
    """A float32 that was read as a float64 with the digits that it has: 1e-05."""
    if not isinstance(value, float):
        return value
    import numpy as np

    with np.errstate(over="ignore"):
        single = np.float32(value)
    return single if float(single) == value else value


def _plain(value: object) -> Any:
    """A metadata value as JSON can hold it; long arrays by their beginning and their length."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if _is_array(value):
        head = [_plain(_scalar(value[i])) for i in range(min(len(value), SHOWN_ITEMS))]  # type: ignore[index, arg-type]
        length = len(value)  # type: ignore[arg-type]
        return head if length <= SHOWN_ITEMS else {"length": length, "first": head}
    value = _scalar(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _scalar(value: object) -> object:
    """A NumPy number as Python's; anything else as it is."""
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "ndim", 1) == 0 else value
