"""Writing GGUF files, version 3, through the `gguf` package's writer."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vatra.errors import BadFile, UsageError, printable
from vatra.formats.atomic import atomic_write
from vatra.formats.checkpoint import Metadata, StringArray
from vatra.formats.gguf_layout import ARRAY, PLAIN, SCALARS, STRING, U32, U64
from vatra.quant.registry import by_name
from vatra.quant.tensor import QTensor

ARCHITECTURE, ALIGNMENT = "general.architecture", "general.alignment"
_NUMBERS = {scalar.name: number for number, scalar in SCALARS.items()}
_FLOATS = {np.dtype("<f4"): "f32", np.dtype("<f2"): "f16"}
_INTEGERS = ("u32", "i32", "u64", "i64")  # what a Python int is stored as: the first that it fits


def write(
    path: str | os.PathLike[str],
    metadata: Mapping[str, Any],
    tensors: Mapping[str, QTensor | np.ndarray],
    *,
    architecture: str | None = None,
) -> None:
    """Write one GGUF file; `path` then holds all of it, or what it held before.

    A value keeps the type it had in the file that `metadata` was read from. Other values: numpy
    scalars and arrays as what they are, int as u32, i32, u64 or i64, float as f32, and lists of
    them, of bool, str or bytes. Arrays given as tensors are stored as F32, F16, F64 or integers.
    `split.*` keys are left out, as the file is whole. Raises UsageError for what GGUF cannot hold,
    IOFailed where writing fails.
    """
    from gguf import GGUFValueType, GGUFWriter

    class Writer(GGUFWriter):
        """The package's, which by itself refuses empty arrays and bytes that are no text."""

        def _pack_val(self, val: Any, *args: Any, **kwargs: Any) -> bytes:
            if isinstance(val, _Packed):
                return val.packed
            return super()._pack_val(val, *args, **kwargs)

    name = os.fsdecode(path)
    values = {key: value for key, value in metadata.items() if not key.startswith("split.")}
    kinds = metadata.kinds if isinstance(metadata, Metadata) else {}
    stored = values.pop(ARCHITECTURE, None)
    alignment = values.pop(ALIGNMENT, None)
    with atomic_write(name) as file:
        writer = Writer(None, str(architecture or stored or ""))
        try:
            if alignment is not None:
                writer.add_custom_alignment(int(alignment))
            for key, value in values.items():
                packed = _packed(key, value, kinds.get(key))
                writer.add_key_value(key, packed, GGUFValueType.ARRAY)
            data = {key: _tensor(key, value) for key, value in tensors.items()}
            for key, (number, shape, content) in data.items():
                # Not uint8, or the writer would count bytes and look `number` up in its own table.
                writer.add_tensor_info(
                    key,
                    shape,
                    np.dtype(np.int8),
                    content.nbytes,
                    raw_dtype=number,  # type: ignore[arg-type]
                )
            writer.write_header_to_file(Path(file.name))
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            for _, _, content in data.values():
                writer.write_tensor_data(content)
        finally:
            writer.close()
        _read_back(name, file.name)


def _read_back(path: str, temporary: str) -> None:
    """Nothing is put in place that our own reader would refuse."""
    from vatra.formats.gguf import read

    try:
        read(temporary).close()
    except BadFile as error:
        raise UsageError(f"{printable(path)}: not written: {error.field}: {error.what}") from error


class _Packed:
    """A metadata value as the file's bytes, its type number first."""

    def __init__(self, packed: bytes) -> None:
        self.packed = packed


def _packed(key: str, value: Any, kind: str | None) -> _Packed:
    """`value` as `kind`, or as what suits it best if that is None or does not fit."""
    if isinstance(value, (str, bytes)):
        return _Packed(U32.pack(STRING) + _string(value))
    is_array = isinstance(value, (list, tuple, np.ndarray, StringArray))
    if isinstance(value, StringArray) or (is_array and _holds_strings(value, kind)):
        strings = value.iter_bytes() if isinstance(value, StringArray) else value
        head = U32.pack(ARRAY) + U32.pack(STRING) + U64.pack(len(value))
        return _Packed(head + b"".join(_string(v) for v in strings))
    try:
        numbers = np.asarray(value, dtype=_dtype(value, kind and kind.strip("[]")))
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f'key "{printable(key)}": GGUF cannot hold {value!r:.80}') from None
    number = next(n for n, scalar in SCALARS.items() if scalar.dtype == numbers.dtype)
    if not is_array:
        return _Packed(U32.pack(number) + numbers.tobytes())
    if numbers.ndim != 1:
        raise UsageError(f'key "{printable(key)}": GGUF cannot hold arrays of arrays')
    head = U32.pack(ARRAY) + U32.pack(number) + U64.pack(len(numbers))
    return _Packed(head + numbers.tobytes())


def _holds_strings(items: Any, kind: str | None) -> bool:
    """Whether a list or an array is one of strings, as an empty list is unless `kind` tells."""
    if len(items):
        return all(isinstance(item, (str, bytes)) for item in items)
    return not isinstance(items, np.ndarray) and kind in (None, "[str]")


def _string(text: str | bytes) -> bytes:
    raw = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return U64.pack(len(raw)) + raw


def _dtype(value: Any, kind: str | None) -> np.dtype[Any]:
    """The little-endian dtype to store a number or an array of numbers as."""
    array = np.asarray(value)
    if array.dtype.kind == "O" and array.size:  # integers beyond 64 bits, mixtures, other objects
        raise TypeError
    natural = array.dtype
    if natural.kind == "f" and _all_integers(value):  # numpy's choice for what no type can hold
        raise TypeError
    if kind in _NUMBERS and _fits(array, SCALARS[_NUMBERS[kind]].dtype):
        return SCALARS[_NUMBERS[kind]].dtype
    if isinstance(value, (np.generic, np.ndarray)):
        natural = np.dtype(np.float32) if natural == np.float16 else natural.newbyteorder("<")
        if not any(natural == scalar.dtype for scalar in SCALARS.values()):
            raise TypeError
        return natural
    if natural.kind == "b":
        return np.dtype("?")
    if natural.kind == "f":
        return np.dtype(np.float32)
    if natural.kind in "iu":
        wide = (SCALARS[_NUMBERS[name]].dtype for name in _INTEGERS)
        return next(dtype for dtype in wide if _fits(array, dtype))
    raise TypeError


def _all_integers(value: Any) -> bool:
    items = value if isinstance(value, (list, tuple)) else [value]
    return bool(items) and all(isinstance(item, (int, np.integer)) for item in items)


def _fits(array: np.ndarray, dtype: np.dtype[Any]) -> bool:
    """Whether numbers keep their value (floats: their nature) as `dtype`."""
    if not array.size:
        return True
    if array.dtype.kind in "iu" and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return limits.min <= int(array.min()) <= int(array.max()) <= limits.max
    return array.dtype.kind == dtype.kind


def _tensor(name: str, tensor: QTensor | np.ndarray) -> tuple[int, tuple[int, ...], np.ndarray]:
    """A tensor's type number, its shape, and its contiguous data."""
    if isinstance(tensor, QTensor):
        return tensor.format.id, tensor.shape, np.ascontiguousarray(tensor.data)
    little = tensor.dtype.newbyteorder("<")
    numbers = [number for number, dtype in PLAIN.items() if dtype == little]
    if little in _FLOATS:
        numbers = [by_name(_FLOATS[little]).id]
    if not numbers:
        raise UsageError(f'tensor "{printable(name)}": GGUF has no type for {tensor.dtype}')
    return numbers[0], tensor.shape, np.ascontiguousarray(tensor, dtype=little)
