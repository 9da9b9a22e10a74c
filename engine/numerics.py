"""Logits that are not finite: which tensor made them so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from vatra.errors import BadFile, UsageError, VatraError
from vatra.quant.tensor import QTensor

if TYPE_CHECKING:
    from vatra.engine.executor import KVType
    from vatra.formats.checkpoint import Checkpoint
    from vatra.models.plan import Plan

Array = np.ndarray

CHUNK_WEIGHTS = 2**20  # decoded at a time while searching
CHUNK_TOKENS = 64  # replayed at a time


class Evaluated(Protocol):
    """The model whose logits are in doubt."""

    @property
    def plan(self) -> Plan: ...
    @property
    def checkpoint(self) -> Checkpoint: ...
    @property
    def kv(self) -> KVType: ...
    @property
    def is_patched(self) -> bool: ...


def check_finite(logits: Array, model: Evaluated, ids: Sequence[int]) -> None:
    """Raise an error naming the tensor to blame if a logit of `logits` (n, n_vocab) is not finite.

    `ids` are all tokens from the first that led to them.
    """
    if not np.isfinite(logits).all():
        raise culprit(model, ids)


def culprit(model: Evaluated, ids: Sequence[int]) -> VatraError:
    """The error for logits that are not finite after `ids`.

    BadFile with the byte, if a weight is not finite; else it names the first activation that is not
    when all is evaluated again step by step.
    """
    plan, path = model.plan, model.checkpoint.path
    if model.is_patched:
        return UsageError(f"{path}: the logits are not finite; a patch may have made them so")
    for name, tensor in model.checkpoint.tensors.items():
        if name not in plan.leftovers and (found := first_not_finite(tensor)) is not None:
            index, value = found
            return BadFile(
                tensor.path or path,
                f"weight {index} of {tensor.format.name} is {value}; every weight must be finite",
                field=name,
                byte=byte_of(tensor, index),
            )
    activation = _first_activation(plan, ids)
    if activation is not None:
        name, position, value = activation
        what = f"is {value} at position {position}, though every weight is finite"
        return BadFile(
            path, f"{what}: the weights are out of any model's range", field=f"activation {name}"
        )
    if model.kv != "f32":
        what = (
            f"too large for the {model.kv} KV cache, but finite in f32: "
            "load the model with an f32 KV cache"
        )
        return BadFile(path, what, field="activation logits")
    return VatraError(f"{path}: the logits are not finite, but are when evaluated step by step")


def first_not_finite(tensor: QTensor) -> tuple[tuple[int, ...], float] | None:
    """The index in `shape` of the first weight that is not finite, and its value."""
    step = max(1, CHUNK_WEIGHTS // tensor.width)
    for row in range(0, tensor.n_rows, step):
        with np.errstate(all="ignore"):
            values = tensor.format.decode(tensor.data[row : row + step])
        wrong = ~np.isfinite(values)
        if wrong.any():
            at, column = divmod(int(wrong.reshape(-1).argmax()), tensor.width)
            index = np.unravel_index((row + at) * tensor.width + column, tensor.shape)
            return tuple(int(i) for i in index), float(values.reshape(-1, tensor.width)[at, column])
    return None


def byte_of(tensor: QTensor, index: tuple[int, ...]) -> int:
    """Where the block of the weight at `index` begins in the tensor's file."""
    flat = int(np.ravel_multi_index(index, tensor.shape))
    row, column = divmod(flat, tensor.width)
    row_bytes = tensor.data.shape[1]
    blocks = tensor.width // tensor.format.block
    return tensor.offset + row * row_bytes + column // tensor.format.block * (row_bytes // blocks)


def _first_activation(plan: Plan, ids: Sequence[int]) -> tuple[str, int, float] | None:
    """Name, position and value of the first activation of a replay that is not finite."""
    from vatra.engine.reference import ReferenceExecutor

    found: list[tuple[str, int, float]] = []

    def watch(name: str, values: Array, at: Array) -> None:
        if found or values.dtype.kind != "f":
            return
        wrong = ~np.isfinite(values)
        if wrong.any():
            flat = int(wrong.reshape(-1).argmax())
            row = flat // max(1, values[0].size)
            found.append((name, int(at[row]), float(values.reshape(-1)[flat])))

    def hook(name: str):  # type: ignore[no-untyped-def]
        return lambda values, at: watch(name, values, at)

    executor = ReferenceExecutor(plan, hooks={name: hook(name) for name in plan.tensors})
    state = executor.new_state(len(ids), "f32")
    tokens = np.asarray(ids, np.int32)
    with np.errstate(all="ignore"):
        step = CHUNK_TOKENS if plan.causal else len(tokens)
        for position in range(0, len(tokens), step):
            executor.run(state, tokens[position : position + step], position, "last")
            if found:
                return found[0]
    return None
