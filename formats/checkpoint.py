"""An open model file: typed metadata, tensors over mapped memory, and where each came from."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeVar, cast, get_args, get_origin, overload

import numpy as np

from vatra.errors import BadFile
from vatra.formats.mapped import MappedFile
from vatra.quant.tensor import QTensor

T = TypeVar("T")
D = TypeVar("D")

Bytes = bytes  # a class below has a method of that name
Value = Any  # bool, int, float, str, StringArray, or a read-only one-dimensional numpy array


class StringArray(Sequence[str]):
    """Strings as the file holds them, decoded when asked for.

    Bytes that are not UTF-8 become lone surrogates (PEP 383); `bytes` has them exactly.
    """

    __slots__ = ("_data", "_starts")

    def __init__(self, data: bytes, starts: array[int]) -> None:
        """`data` has 8 bytes of length before each string; `starts` (n + 1) says where each begins.

        The last of `starts` is where another one would begin.
        """
        self._data, self._starts = data, starts

    def __len__(self) -> int:
        return len(self._starts) - 1

    def bytes(self, index: int) -> Bytes:
        """The string's bytes; IndexError outside of -n..n-1."""
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"string {index} of {n}")
        index %= n
        return self._data[self._starts[index] : self._starts[index + 1] - 8]

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self.bytes(index).decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        for string in self.iter_bytes():
            yield string.decode("utf-8", "surrogateescape")

    def iter_bytes(self) -> Iterator[Bytes]:
        """Every string's bytes, in order."""
        data, begin = self._data, 8
        for following in self._starts[1:].tolist():
            yield data[begin : following - 8]
            begin = following

    def tolist(self) -> list[str]:
        return list(self)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, StringArray):
            return self._data == other._data
        return self.tolist() == other if isinstance(other, list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} strings>"


class Metadata(dict[str, Value]):
    """A file's keys and values; `kinds` names each one's type in the file, `places` its byte.

    Kinds are GGUF's value types: "u32", "f32", "bool", "str", ... and "[u32]" for an array of them.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kinds: dict[str, str] = {}
        self.places: dict[str, int] = {}


@dataclass(eq=False)
class Checkpoint:
    """A model as its files hold it; close it, or use it in a `with`, to give the files back.

    `tensors` are those that hold weights; `arrays` the others (I8 ... I64, F64), as read-only numpy
    views, for the few architectures that keep tables in a file.
    """

    path: str
    version: int
    metadata: Metadata
    tensors: dict[str, QTensor]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    files: tuple[MappedFile, ...] = ()

    @property
    def architecture(self) -> str:
        """What `general.architecture` says; BadFile without it."""
        return self.require("general.architecture", str)

    def get(self, key: str, wanted: type[T], default: D) -> T | D:
        """The key's value as `wanted`, or `default` where it is missing; BadFile if it is neither.

        `wanted` is int (any integer, never a bool), float (also integers), bool, str, StringArray,
        np.ndarray, list, or list[str], list[int], list[float], list[bool].
        """
        if key not in self.metadata:
            return default
        value = _converted(self.metadata[key], wanted)
        if value is None:
            kind = self.metadata.kinds.get(key, type(self.metadata[key]).__name__)
            raise self.bad(key, f"is {_words(kind)}, wanted {_described(wanted)}")
        return cast(T, value)

    def require(self, key: str, wanted: type[T]) -> T:
        """The key's value as `wanted` (see `get`); BadFile where it is missing or no such value."""
        if key not in self.metadata:
            raise self.lacks(key, f"wanted {_described(wanted)}")
        return cast(T, self.get(key, wanted, None))

    def bad(self, key: str, what: str) -> BadFile:
        """The error that says what is wrong with a key that is there."""
        number = list(self.metadata).index(key)
        place = self.metadata.places.get(key)
        return BadFile(self.path, what, field=f'kv[{number}] "{shortened(key)}"', byte=place)

    def lacks(self, key: str, wanted: str) -> BadFile:
        """The error that says that a key is not there, and what it should be."""
        return BadFile(self.path, f"is missing, {wanted}", field=f'key "{key}"')

    @property
    def n_parameters(self) -> int:
        """Weights in all tensors."""
        return sum(prod(tensor.shape) for tensor in self.tensors.values())

    @property
    def n_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    @property
    def bytes_by_format(self) -> dict[str, int]:
        """Bytes of tensor data for each format's name, the largest first."""
        total: dict[str, int] = {}
        for tensor in self.tensors.values():
            total[tensor.format.name] = total.get(tensor.format.name, 0) + tensor.nbytes
        for plain in self.arrays.values():
            name = f"{plain.dtype.kind}{8 * plain.itemsize}"
            total[name] = total.get(name, 0) + plain.nbytes
        return dict(sorted(total.items(), key=lambda item: -item[1]))

    def check_unchanged(self) -> None:
        """IOFailed if a file was cut or rewritten since it was opened."""
        for file in self.files:
            file.check_unchanged()

    def close(self) -> None:
        """Let go of the files; a tensor kept elsewhere keeps its part of memory alive."""
        self.tensors.clear()
        self.arrays.clear()
        for file in self.files:
            file.close()

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def shortened(text: str) -> str:
    """`text`, cut in the middle where it is too long for a message."""
    return text if len(text) <= 100 else f"{text[:60]}...{text[-30:]}"


_LISTS = {str: "U", bool: "b", int: "iu", float: "fiu"}  # numpy's letters for what a list may hold
_NAMES = {
    int: "an integer",
    float: "a number",
    bool: "a boolean",
    str: "a string",
    StringArray: "an array of strings",
    np.ndarray: "an array of numbers",
    list: "an array",
}


def _converted(value: Value, wanted: Any) -> Value | None:
    """`value` as `wanted`, or None where it is something else."""
    if isinstance(value, (StringArray, np.ndarray)):
        if wanted is StringArray or wanted is np.ndarray:
            return value if isinstance(value, wanted) else None
        if wanted is not list and get_origin(wanted) is not list:
            return None
        item = (get_args(wanted) or (None,))[0]
        letters = "Ubiuf" if item is None else _LISTS[item]
        letter = "U" if isinstance(value, StringArray) else value.dtype.kind
        if letter not in letters:
            return None
        return [float(v) for v in value.tolist()] if item is float else value.tolist()
    if wanted is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if wanted is int and isinstance(value, bool):
        return None
    return value if wanted in (int, bool, str, float) and isinstance(value, wanted) else None


def _described(wanted: Any) -> str:
    if get_origin(wanted) is list:
        return f"an array of {_NAMES[get_args(wanted)[0]].split(' ', 1)[1]}s"
    return _NAMES[wanted]


def _words(kind: str) -> str:
    """A GGUF value type as a person would say it: `an array of u32`, `a string`."""
    if kind.startswith("["):
        return f"an array of {kind[1:-1]}"
    if kind in ("str", "bool"):
        return {"str": "a string", "bool": "a boolean"}[kind]
    return f"{'an' if kind[0] in 'if' else 'a'} {kind}"
