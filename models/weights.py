"""Tensors of a file read into frozen dataclasses whose field names are the GGUF tensor names.

Each field is made by a function below, with its shape written in fields of the configuration:
`attn_q: Matrix = matrix("n_head * key_dim", "n_embd")` is `attn_q.weight`, and `attn_q.bias` if it
may have one. Shapes are checked against the file; a tensor nobody asked for is refused by name,
because ignoring it could change what the model computes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from math import prod
from typing import Any, TypeVar

import numpy as np

from vatra.errors import BadFile, UnsupportedFile
from vatra.formats.checkpoint import Checkpoint
from vatra.models.config import MAX_COUNT, key_of
from vatra.quant.tensor import QTensor

Array = np.ndarray
Weights = TypeVar("Weights")

_FLOATS = ("f32", "f16", "bf16")


@dataclass(frozen=True, eq=False)
class Vector:
    """A small tensor, decoded: float32 in the file's shape, mostly (n,), all finite."""

    name: str
    data: Array
    bias: Array | None = None  # float32 of the same shape


@dataclass(frozen=True, eq=False)
class Matrix:
    """Weights as the file holds them, (n_out, n_in) or (n_expert, n_out, n_in), and a bias.

    Products are to be multiplied by `factor` before the bias is added.
    """

    name: str
    weight: QTensor
    bias: Array | None = None  # float32 (n_out,)
    factor: float = 1.0


@dataclass
class Loader:
    """One file's tensors, and which of them have been used."""

    checkpoint: Checkpoint
    architecture: str
    config: object
    prefix: str = ""
    layer: int = 0
    used: set[str] = field(default_factory=set)

    def tensor(
        self, name: str, shape: tuple[str, ...], optional: bool = False, axes_of_1: bool = False
    ) -> QTensor | None:
        """The tensor of that name and shape; BadFile where it is missing or another shape.

        With `axes_of_1` there may be other axes of size 1.
        """
        name = self.prefix + name
        found = self.checkpoint.tensors.get(name)
        wanted = tuple(self.size(s) for s in shape)
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
        if wanted[:1] == (1,) and found.shape == wanted[1:]:  # a file has no leading axis of one
            found = replace(found, shape=wanted)
        same = found.shape == wanted
        if axes_of_1:
            same = [n for n in found.shape if n > 1] == [n for n in wanted if n > 1]
        if not same:
            what = f"shape {found.shape}, wanted {self._explained(wanted, shape)}"
            raise BadFile(self.checkpoint.path, what, field=name, byte=found.offset)
        self.used.add(name)
        return found

    def vector(
        self,
        name: str,
        shape: tuple[str, ...],
        optional: bool = False,
        positive: bool = False,
        axes_of_1: bool = False,
    ) -> Array | None:
        """That tensor as float32, every value finite, and above 0 if it must be `positive`."""
        found = self.tensor(name, shape, optional, axes_of_1)
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
            what = f"value {at} is {values.reshape(-1)[at]}, wanted {wanted}"
            byte = found.offset + at * (found.nbytes // values.size)
            raise BadFile(self.checkpoint.path, what, field=found.name, byte=byte)
        return values.reshape([self.size(part) for part in shape])

    def _dimension(self, name: str) -> int:
        if name.isdecimal():
            return int(name)
        value = getattr(self.config, name)
        return int(value[self.layer] if isinstance(value, tuple) else value)

    def size(self, expression: str) -> int:
        """The value of `a * b // 2 + c`, letters being numbers or fields of the configuration."""
        return sum(map(self._product, expression.split(" + ")))

    def _product(self, expression: str) -> int:
        parts = (part.partition(" // ") for part in expression.split(" * "))
        return prod(self._dimension(name) // self._dimension(by or "1") for name, _, by in parts)

    def _explained(self, sizes: tuple[int, ...], shape: tuple[str, ...]) -> str:
        def with_keys(expression: str) -> str:
            words = (w if not w.isidentifier() else self._key(w) for w in expression.split(" "))
            return " ".join(words)

        return f"{sizes} = ({', '.join(map(with_keys, shape))})"

    def _key(self, name: str) -> str:
        return key_of(self.config, name, self.architecture)


def read(cls: type[Weights], checkpoint: Checkpoint, config: object) -> Weights:
    """A `cls` of the file's tensors; raises BadFile or UnsupportedFile naming file and tensor."""
    return _read(cls, Loader(checkpoint, checkpoint.architecture, config))


def _read(cls: type[Weights], loader: Loader) -> Weights:
    values: dict[str, Any] = {}
    for f in fields(cls):  # type: ignore[arg-type]
        values[f.name] = f.metadata["read"](loader, f.name, values)
    return cls(**values)


def _field(read_value: Callable[[Loader, str, dict[str, Any]], Any]) -> Any:
    return field(metadata={"read": read_value})


def vector(
    *shape: str,
    optional: bool = False,
    positive: bool = False,
    bias: bool = False,
    suffix: str = ".weight",
    of: str = "",
    axes_of_1: bool = False,
) -> Any:
    """`<name>.weight` as a Vector, or None where an optional one is missing.

    With `bias` also `<name>.bias`, if the file has it. `of` is the tensor's name, if the field has
    another; a `suffix` other than .weight may be missing in the file. With `axes_of_1` the file's
    tensor may have other axes of size 1.
    """

    def read_value(loader: Loader, name: str, values: dict[str, Any]) -> Vector | None:
        name = of or name
        bare = suffix != ".weight" and loader.prefix + name in loader.checkpoint.tensors
        full = name if bare else f"{name}{suffix}"
        data = loader.vector(full, shape, optional, positive, axes_of_1)
        b = loader.vector(f"{name}.bias", shape, optional=True) if bias else None
        return None if data is None else Vector(name, data, b)

    return _field(read_value)


def matrix(
    *shape: str,
    bias: bool = False,
    tied_to: str | None = None,
    optional: bool = False,
    of: str = "",
    or_rows: str = "",
) -> Any:
    """`<name>.weight` as a Matrix, with `<name>.bias` if it may have one and the file has it.

    Where the file lacks the weight and it is tied, the Matrix shares the weights of that field;
    where it is optional, it is None. `of` is the tensor's name, if the field has another. A matrix
    of two dimensions may have `or_rows` instead of its rows, and one number in `<name>.scale` as
    its factor.
    """

    def read_value(loader: Loader, name: str, values: dict[str, Any]) -> Matrix | None:
        name = of or name
        missing = optional or tied_to is not None
        found = loader.checkpoint.tensors.get(f"{loader.prefix}{name}.weight")
        rows = or_rows if or_rows and found and found.shape[0] == loader.size(or_rows) else shape[0]
        weight = loader.tensor(f"{name}.weight", (rows, *shape[1:]), optional=missing)
        if weight is None and tied_to is not None:
            weight = values[tied_to].weight
        b = loader.vector(f"{name}.bias", shape[:-1], optional=True) if bias else None
        if weight is None:
            return None
        factor = loader.checkpoint.tensors.get(f"{loader.prefix}{name}.scale")
        if len(shape) != 2 or factor is None or prod(factor.shape) != 1:
            return Matrix(name, weight, b)
        value = loader.vector(f"{name}.scale", ("1",))
        assert value is not None
        return Matrix(name, weight, b, float(value[0]))

    return _field(read_value)


def row(size: str, *, optional: bool = False) -> Any:
    """`<name>.weight`, one row of weights, as a Matrix with one output."""

    def read_value(loader: Loader, name: str, values: dict[str, Any]) -> Matrix | None:
        found = loader.tensor(f"{name}.weight", (size,), optional)
        return None if found is None else Matrix(name, replace(found, shape=(1, found.width)))

    return _field(read_value)


def fused(of: str, inputs: str, bias: bool = False, **parts: str) -> Any:
    """The rows of matrix `of` as one Matrix for each of `parts`: its name, and how many rows."""

    def read_value(loader: Loader, name: str, values: dict[str, Any]) -> tuple[Matrix, ...]:
        made = _parts(loader, of, inputs, bias, parts, optional=False)
        assert made is not None
        return made

    return _field(read_value)


def qkv(
    q: str = "n_head * key_dim",
    k: str = "n_head_kv * key_dim",
    v: str = "n_head_kv * value_dim",
    inputs: str = "n_embd",
    bias: bool = True,
) -> Any:
    """Queries, keys and values: three Matrices, be they apart in the file or rows of `attn_qkv`."""
    parts = {"attn_q": q, "attn_k": k, "attn_v": v}

    def read_value(loader: Loader, name: str, values: dict[str, Any]) -> tuple[Matrix, ...]:
        made = _parts(loader, "attn_qkv", inputs, bias, parts, optional=True)
        if made is None:
            pairs = parts.items()
            read = (matrix(size, inputs, bias=bias, of=part) for part, size in pairs)
            made = tuple(f.metadata["read"](loader, "", {}) for f in read)
        return made

    return _field(read_value)


def _parts(
    loader: Loader, of: str, inputs: str, bias: bool, parts: dict[str, str], optional: bool
) -> tuple[Matrix, ...] | None:
    whole = loader.tensor(f"{of}.weight", (" + ".join(parts.values()), inputs), optional)
    if whole is None:
        return None
    sizes = [loader.size(size) for size in parts.values()]
    b = loader.vector(f"{of}.bias", (" + ".join(parts.values()),), optional=True) if bias else None
    made, first = list[Matrix](), 0
    for name, size in zip(parts, sizes, strict=True):
        rows = whole.rows(f"{loader.prefix}{name}.weight", first, size)
        own = b[first : first + size] if b is not None else None
        if bias and b is None:  # a fused matrix may have biases apart
            own = loader.vector(f"{name}.bias", (parts[name],), optional=True)
        made.append(Matrix(name, rows, own))
        first += size
    return tuple(made)


def group(
    cls: type[Any] | Callable[[Any, int], type[Any] | None],
    *,
    where: str = "",
    otherwise: type[Any] | None = None,
) -> Any:
    """A dataclass of tensors that stand beside the others; a choice, or None, by config and layer.

    Only `where` the file has a tensor of that name in the layer: else `otherwise`, or None.
    """

    def read_value(loader: Loader, name: str, values: dict[str, Any]) -> Any:
        if where and loader.prefix + where not in loader.checkpoint.tensors:
            return None if otherwise is None else _read(otherwise, loader)
        chosen = cls if isinstance(cls, type) else cls(loader.config, loader.layer)
        return None if chosen is None else _read(chosen, loader)

    return _field(read_value)


def blocks(
    block: type[Any] | Callable[[Any, int], type[Any]], *, count: str = "n_layer", of: str = ""
) -> Any:
    """`blk.N.*` of each layer N below `count` as a tuple of `block`.

    `block` is a dataclass, or chooses one by the configuration and the layer.
    """

    def read_value(loader: Loader, name: str, values: dict[str, Any]) -> tuple[Any, ...]:
        made: list[Any] = []
        for layer in range(getattr(loader.config, count)):
            cls = block if isinstance(block, type) else block(loader.config, layer)
            loader.prefix, loader.layer = f"{of or name}.{layer}.", layer
            made.append(_read(cls, loader))
        loader.prefix, loader.layer = "", 0
        return tuple(made)

    return _field(read_value)


def unused(*harmless: str) -> Any:
    """The names of tensors not used so far: `harmless` patterns are listed, others are refused.

    Harmless are also the blocks after the last layer: they only guess tokens ahead.
    """

    def read_value(loader: Loader, name: str, values: dict[str, Any]) -> tuple[str, ...]:
        names = (*loader.checkpoint.tensors, *loader.checkpoint.arrays)
        left = [n for n in names if n not in loader.used]
        n_layer = getattr(loader.config, "n_layer", MAX_COUNT)
        for n in left:
            extra = n.startswith("blk.") and _number(n) >= n_layer
            if not extra and not any(fnmatchcase(n, pattern) for pattern in harmless):
                what = (
                    f"architecture {loader.architecture} has no such tensor in this configuration; "
                    "without it the model could compute something else"
                )
                raise UnsupportedFile(loader.checkpoint.path, what, field=n)
        return tuple(left)

    return _field(read_value)


def _number(name: str) -> int:
    """N of `blk.N.*`, or -1."""
    n = name.split(".")[1]
    return int(n) if n.isascii() and n.isdecimal() else -1
