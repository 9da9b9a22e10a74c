"""Tensors of a file read into frozen dataclasses whose field names are the GGUF tensor names.

Each field is made by a function below, with its shape written in fields of the configuration:
`attn_q: Matrix = matrix("n_head * key_dim", "n_embd")` is `attn_q.weight`, and `attn_q.bias` if it
may have one. Shapes are checked against the file; a tensor nobody asked for is refused by name,
because ignoring it could change what the model computes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from fnmatch import fnmatchcase
from math import prod
from typing import Any, TypeVar

import numpy as np

from vatra.errors import BadFile, UnsupportedFile
from vatra.formats.checkpoint import Checkpoint
from vatra.models.config import key_of
from vatra.quant.tensor import QTensor

Array = np.ndarray
Weights = TypeVar("Weights")

_FLOATS = ("f32", "f16", "bf16")


@dataclass(frozen=True, eq=False)
class Vector:
    """A one-dimensional tensor, decoded: float32 (n,), all finite."""

    name: str
    data: Array


@dataclass(frozen=True, eq=False)
class Matrix:
    """Weights as the file holds them, (n_out, n_in) or (n_expert, n_out, n_in), and a bias."""

    name: str
    weight: QTensor
    bias: Array | None = None  # float32 (n_out,)


@dataclass
class Loader:
    """One file's tensors, and which of them have been used."""

    checkpoint: Checkpoint
    architecture: str
    config: object
    prefix: str = ""
    layer: int = 0
    used: set[str] = field(default_factory=set)

    def tensor(self, name: str, shape: tuple[str, ...], optional: bool = False) -> QTensor | None:
        """The tensor of that name and shape; BadFile where it is missing or another shape."""
        name = self.prefix + name
        found = self.checkpoint.tensors.get(name)
        wanted = tuple(self._size(s) for s in shape)
        if (numbers := self.checkpoint.arrays.get(name)) is not None:
            raise BadFile(
                self.checkpoint.path,
                f"type {numbers.dtype}, wanted weights of type f32",
                field=name,
            )
        if found is None:
            if optional:
                return None
            here = (n for n in self.checkpoint.tensors if n.startswith(self.prefix))
            near = get_close_matches(name, [n for n in here if n not in self.used], 3)
            hint = f"; nearest in the file: {', '.join(near)}" if near else ""
            raise BadFile(
                self.checkpoint.path,
                f"missing, wanted {self._explained(wanted, shape)}{hint}",
                field=name,
            )
        if found.shape != wanted:
            what = f"shape {found.shape}, wanted {self._explained(wanted, shape)}"
            raise BadFile(self.checkpoint.path, what, field=name, byte=found.offset)
        self.used.add(name)
        return found

    def vector(
        self, name: str, shape: tuple[str, ...], optional: bool = False, positive: bool = False
    ) -> Array | None:
        """That tensor as float32, every value finite, and above 0 if it must be `positive`."""
        found = self.tensor(name, shape, optional)
        if found is None:
            return None
        if found.format.name not in _FLOATS:
            what = f"type {found.format.name}, wanted one of {', '.join(_FLOATS)}"
            raise BadFile(self.checkpoint.path, what, field=found.name, byte=found.offset)
        values = np.ascontiguousarray(found.decode(), dtype=np.float32)
        good = np.isfinite(values) & (values > 0 if positive else True)
        if not good.all():
            at = int(np.flatnonzero(~good)[0])
            wanted = "a finite number above 0" if positive else "a finite number"
            what = f"value {at} is {values[at]}, wanted {wanted}"
            byte = found.offset + at * (found.nbytes // found.width)
            raise BadFile(self.checkpoint.path, what, field=found.name, byte=byte)
        return values

    def _dimension(self, name: str) -> int:
        value = getattr(self.config, name)
        return int(value[self.layer] if isinstance(value, tuple) else value)

    def _size(self, expression: str) -> int:
        """The value of `a * b // 2`, a and b being fields of the configuration."""
        parts = (part.partition(" // ") for part in expression.split(" * "))
        return prod(self._dimension(name) // int(by or 1) for name, _, by in parts)

    def _explained(self, sizes: tuple[int, ...], shape: tuple[str, ...]) -> str:
        def with_keys(expression: str) -> str:
            words = (w if not w.isidentifier() else self._key(w) for w in expression.split(" "))
            return " ".join(words)

        return f"{sizes} = ({', '.join(map(with_keys, shape))})"

    def _key(self, name: str) -> str:
        return key_of(self.config, name, self.architecture)


def read(cls: type[Weights], checkpoint: Checkpoint, architecture: str, config: object) -> Weights:
    """A `cls` of the file's tensors; raises BadFile or UnsupportedFile naming file and tensor."""
    return _read(cls, Loader(checkpoint, architecture, config))


def _read(cls: type[Weights], loader: Loader) -> Weights:
    values: dict[str, Any] = {}
    for f in fields(cls):  # type: ignore[arg-type]
        values[f.name] = f.metadata["read"](loader, f.name, values)
    return cls(**values)


def _field(read_value: Callable[[Loader, str, dict[str, Any]], Any]) -> Any:
    return field(metadata={"read": read_value})


def vector(size: str, *, optional: bool = False, positive: bool = False) -> Any:
    """`<name>.weight` as a Vector, or None where an optional one is missing."""

    def read_value(loader: Loader, name: str, values: dict[str, Any]) -> Vector | None:
        data = loader.vector(f"{name}.weight", (size,), optional, positive)
        return None if data is None else Vector(name, data)

    return _field(read_value)


def matrix(*shape: str, bias: bool = False, tied_to: str | None = None) -> Any:
    """`<name>.weight` as a Matrix, with `<name>.bias` if it may have one and the file has it.

    Where the file lacks the weight and it is tied, the Matrix shares the weights of that field.
    """

    def read_value(loader: Loader, name: str, values: dict[str, Any]) -> Matrix:
        weight = loader.tensor(f"{name}.weight", shape, optional=tied_to is not None)
        if weight is None:
            weight = values[tied_to or ""].weight
        b = loader.vector(f"{name}.bias", shape[:-1], optional=True) if bias else None
        return Matrix(name, weight, b)

    return _field(read_value)


def blocks(block: type[Any] | Callable[[Any], type[Any]]) -> Any:
    """`blk.N.*` of each layer N as a tuple of `block`, a dataclass or a choice of one."""

    def read_value(loader: Loader, name: str, values: dict[str, Any]) -> tuple[Any, ...]:
        cls = block if isinstance(block, type) else block(loader.config)
        made: list[Any] = []
        for layer in range(loader.config.n_layer):  # type: ignore[attr-defined]
            loader.prefix, loader.layer = f"{name}.{layer}.", layer
            made.append(_read(cls, loader))
        loader.prefix, loader.layer = "", 0
        return tuple(made)

    return _field(read_value)


def unused(*harmless: str) -> Any:
    """The names of tensors not used so far: `harmless` patterns are listed, others are refused."""

    def read_value(loader: Loader, name: str, values: dict[str, Any]) -> tuple[str, ...]:
        names = (*loader.checkpoint.tensors, *loader.checkpoint.arrays)
        left = [n for n in names if n not in loader.used]
        for n in left:
            if not any(fnmatchcase(n, pattern) for pattern in harmless):
                what = (
                    f"architecture {loader.architecture} has no such tensor in this configuration; "
                    "without it the model could compute something else"
                )
                raise UnsupportedFile(loader.checkpoint.path, what, field=n)
        return tuple(left)

    return _field(read_value)
