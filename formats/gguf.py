"""GGUF files, versions 2 and 3: read strictly, written atomically.

Kernels have no bounds checks, so every number in a file is proved here, as a Python integer,
against the bytes that are left, before any address is made of it.
"""

from __future__ import annotations

import os
import re
import struct
from array import array
from collections.abc import Mapping
from functools import partial
from math import prod
from typing import Any, NamedTuple

import numpy as np

from vatra.errors import BadFile, MissingFile, UnsupportedFile, printable
from vatra.formats.checkpoint import Checkpoint, Metadata, StringArray, shortened
from vatra.formats.gguf_layout import (
    ARRAY,
    BOOL,
    DEFAULT_ALIGNMENT,
    MAGIC,
    MAX_ALIGNMENT,
    MAX_ARRAY,
    MAX_DIMENSION,
    MAX_DIMENSIONS,
    MAX_FILE_BYTES,
    MAX_KEY_BYTES,
    MAX_KEYS,
    MAX_METADATA_BYTES,
    MAX_NAME_BYTES,
    MAX_PARTS,
    MAX_STRING_BYTES,
    MAX_STRINGS,
    MAX_TENSORS,
    MIN_ALIGNMENT,
    PLAIN,
    SCALARS,
    STRING,
    U32,
    U64,
    VERSIONS,
    looks_like,
)
from vatra.formats.gguf_writing import write
from vatra.formats.mapped import MappedFile
from vatra.quant.format import UnknownFormat, WeightFormat
from vatra.quant.registry import by_id
from vatra.quant.tensor import QTensor

__all__ = ["Checkpoint", "read", "read_head", "write"]

_RELEASE_BYTES = 1 << 20  # values from this size on are copied out and their pages dropped


def read(path: str | os.PathLike[str]) -> Checkpoint:
    """The model in a GGUF file, or in all parts of one that was split (give the first).

    Tensors lie over the mapped files, nothing of them is copied. Raises BadFile naming field and
    byte, UnsupportedFile for a type this version lacks, MissingFile for the file or a part.
    """
    name = os.fsdecode(path)
    opened: list[MappedFile] = []
    try:
        first = _read_part(name, opened)
        n_parts = _split_number(first, "split.count", 0, MAX_PARTS) or 1
        if n_parts > 1:
            _read_other_parts(first, n_parts, opened)
        return first
    except BaseException:
        for file in opened:
            file.close()
        raise


def read_head(path: str | os.PathLike[str]) -> tuple[Metadata, int]:
    """A GGUF file's keys before those of its tokenizer, and how many tensors it has: quick.

    Where the architecture's name comes later, up to that. Raises BadFile and MissingFile as `read`
    does; of what follows nothing is checked.
    """
    file = MappedFile(os.fsdecode(path))
    try:
        walk = _Walk(file)
        _, n_tensors, n_keys = _read_header(walk)
        return _read_metadata(walk, n_keys, head=True), n_tensors
    finally:
        file.close()


def _read_part(path: str, opened: list[MappedFile]) -> Checkpoint:
    """One file by itself, appended to `opened` before anything in it can be wrong."""
    file = MappedFile(path)
    opened.append(file)
    walk = _Walk(file)
    version, n_tensors, n_keys = _read_header(walk)
    metadata = _read_metadata(walk, n_keys)
    part = Checkpoint(path, version, metadata, {}, {}, (file,))
    _read_tensors(walk, n_tensors, _alignment(part), part)
    file.release(0, walk.at)
    return part


class _Walk:
    """A cursor over the head of a file; no number is taken that is not wholly there."""

    def __init__(self, file: MappedFile) -> None:
        self.file = file
        self.buffer = file.buffer
        self.size = file.size
        self.at = 0
        self.field = ""  # what is being read, as messages name it
        self.n_strings = 0  # in arrays

    def bad(self, what: str, byte: int) -> BadFile:
        return BadFile(self.file.path, what, field=self.field, byte=byte)

    def number(self, kind: struct.Struct, what: str) -> int:
        """The next number (a float, if `kind` is one), named `what` if the file ends within it."""
        try:
            (value,) = kind.unpack_from(self.buffer, self.at)
        except struct.error:
            missing = self.at + kind.size - self.size
            raise self.bad(f"the file ends within {what}: {_missing(missing)}", self.at) from None
        self.at += kind.size
        return value  # type: ignore[no-any-return]

    def string(self, what: str, limit: int) -> bytes:
        """The next string, with its length before it."""
        place = self.at
        length = self.number(U64, f"the {what} length")
        if length > self.size - self.at or length > limit:
            raise self.too_long(what, length, limit, place)
        self.at += length
        return self.buffer[self.at - length : self.at]

    def too_long(self, what: str, length: int, limit: int, place: int) -> BadFile:
        """The error for a length at byte `place` that passes the end of the file, or the limit."""
        left = self.size - place - 8
        if length > left:
            return self.bad(
                f"{what} length {length} needs more than the {left} bytes left; "
                f"{_missing(length - left)}",
                place,
            )
        return self.bad(f"{what} length {length} is over the limit of {limit} bytes", place)


def _bytes(n: int) -> str:
    return "1 byte is" if n == 1 else f"{n} bytes are"


def _missing(n: int) -> str:
    return f"at least {_bytes(n)} missing"


# Header


def _read_header(walk: _Walk) -> tuple[int, int, int]:
    """Version, number of tensors, number of keys."""
    head = bytes(walk.buffer[:512])
    walk.field = "magic"
    if not head:
        raise walk.bad("the file is empty (0 bytes); was a download interrupted?", 0)
    if not head.startswith(MAGIC[: len(head)]):
        raise walk.bad(f"got {head[:4]!r}, wanted {MAGIC!r}: {looks_like(head)}", 0)
    walk.at = min(len(head), len(MAGIC))
    if walk.at < len(MAGIC):
        raise walk.bad(f"the file ends within it: {_missing(len(MAGIC) - walk.at)}", 0)

    walk.field = "version"
    version = walk.number(U32, "the version")
    if version not in VERSIONS:
        raise walk.bad(_wrong_version(version), 4)
    walk.field = "n_tensors"
    n_tensors = walk.number(U64, "the number of tensors")
    if n_tensors > MAX_TENSORS:
        raise walk.bad(f"{n_tensors} tensors, the limit is {MAX_TENSORS}", 8)
    walk.field = "n_kv"
    n_keys = walk.number(U64, "the number of keys")
    if n_keys > MAX_KEYS:
        raise walk.bad(f"{n_keys} keys, the limit is {MAX_KEYS}", 16)
    return version, n_tensors, n_keys


def _wrong_version(version: int) -> str:
    swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
    if swapped in (1, *VERSIONS):
        return (
            f"this is a big-endian GGUF file (version {swapped}), which is not supported; "
            "convert it with gguf-convert-endian of the gguf package"
        )
    if version == 1:
        return "GGUF version 1 is too old, wanted 2 or 3; get a newer conversion of this model"
    if version > max(VERSIONS):
        return f"GGUF version {version} is newer than this program knows, wanted 2 or 3"
    return f"GGUF version {version} does not exist, wanted 2 or 3"


# Metadata


def _read_metadata(walk: _Walk, n_keys: int, head: bool = False) -> Metadata:
    """All keys, or of the `head` those before the tokenizer's, the architecture among them."""
    metadata = Metadata()
    for i in range(n_keys):
        walk.field = f"kv[{i}]"
        place = walk.at
        key = _text(walk, walk.string("key", MAX_KEY_BYTES), "key", place)
        if head and key.startswith("tokenizer.") and "general.architecture" in metadata:
            break
        walk.field = f'kv[{i}] "{shortened(key)}"'
        if key in metadata:
            raise walk.bad(f"the same key as kv[{list(metadata).index(key)}]", place)
        type_place = walk.at
        number = walk.number(U32, "its value type")
        metadata.places[key] = walk.at
        if number in SCALARS:
            metadata[key] = _read_scalar(walk, number)
            metadata.kinds[key] = SCALARS[number].name
        elif number == STRING:
            text = walk.string("string", MAX_STRING_BYTES)
            metadata[key] = text.decode("utf-8", "surrogateescape")
            metadata.kinds[key] = "str"
        elif number == ARRAY:
            metadata[key], kind = _read_array(walk)
            metadata.kinds[key] = f"[{kind}]"
        else:
            raise walk.bad(f"value type {number} does not exist, wanted 0 to 12", type_place)
        if walk.at > MAX_METADATA_BYTES:
            raise _too_much_metadata(walk, place)
        if walk.at - place > _RELEASE_BYTES:
            walk.file.release(place, walk.at - place)
    return metadata


def _text(walk: _Walk, raw: bytes, what: str, place: int) -> str:
    """A key or a tensor's name: not empty, UTF-8."""
    if not raw:
        raise walk.bad(f"the {what} is empty", place)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        shown = shortened(raw.decode("utf-8", "backslashreplace"))
        what = f'the {what} "{shown}" is not UTF-8 at its byte {error.start}'
        raise walk.bad(what, place) from None


def _too_much_metadata(walk: _Walk, place: int) -> BadFile:
    return walk.bad(f"metadata goes on past the limit of {MAX_METADATA_BYTES} bytes", place)


def _read_scalar(walk: _Walk, number: int) -> int | float | bool:
    place = walk.at
    value = walk.number(SCALARS[number].struct, f"its value ({SCALARS[number].name})")
    if number != BOOL:
        return value
    if value > 1:
        raise walk.bad(f"boolean {value}, wanted 0 or 1", place)
    return value == 1


def _read_array(walk: _Walk) -> tuple[np.ndarray | StringArray, str]:
    """The array and its elements' type name."""
    place = walk.at
    number = walk.number(U32, "its element type")
    if number == ARRAY:
        raise walk.bad("arrays of arrays are not supported", place)
    if number != STRING and number not in SCALARS:
        raise walk.bad(f"element type {number} does not exist, wanted 0 to 8 or 10 to 12", place)
    place = walk.at
    n = walk.number(U64, "its array length")
    size = 8 if number == STRING else SCALARS[number].dtype.itemsize
    left = walk.size - walk.at
    if n * size > left:
        raise walk.bad(
            f"array length {n} needs more than the {left} bytes left; {_missing(n * size - left)}",
            place,
        )
    if n > MAX_ARRAY:
        raise walk.bad(f"array length {n} is over the limit of {MAX_ARRAY} elements", place)
    if walk.at + n * size > MAX_METADATA_BYTES:
        raise _too_much_metadata(walk, place)
    if number == STRING:
        walk.n_strings += n
        if walk.n_strings > MAX_STRINGS:
            raise walk.bad(f"array length {n} passes the limit of {MAX_STRINGS} strings", place)
        return _read_strings(walk, n), "str"

    scalar, begin = SCALARS[number], walk.at
    walk.at += n * size
    raw = walk.buffer[begin : walk.at]
    if number == BOOL:
        wrong = np.flatnonzero(np.frombuffer(raw, np.uint8) > 1)
        if wrong.size:
            i = int(wrong[0])
            raise walk.bad(f"element {i}: boolean {raw[i]}, wanted 0 or 1", begin + i)
    return np.frombuffer(raw, scalar.dtype), scalar.name


def _read_strings(walk: _Walk, n: int) -> StringArray:
    """One pass over the lengths; the text is copied in one piece and decoded when asked for."""
    starts = array("i")  # fits: metadata ends before MAX_METADATA_BYTES
    append, unpack, buffer = starts.append, U64.unpack_from, walk.buffer
    begin = at = walk.at
    end = min(walk.size, MAX_METADATA_BYTES)
    shift = 8 - begin
    try:
        for _ in range(n):
            (length,) = unpack(buffer, at)
            append(at + shift)
            at += 8 + length
            if length > MAX_STRING_BYTES or at > end:
                place = at - length - 8
                if length > MAX_STRING_BYTES or at > walk.size:
                    what = f"element {len(starts) - 1}: string"
                    raise walk.too_long(what, length, MAX_STRING_BYTES, place)
                raise _too_much_metadata(walk, place)
    except struct.error:
        missing = at + 8 * (n - len(starts)) - walk.size
        raise walk.bad(
            f"the file ends within the length of element {len(starts)} of {n}: {_missing(missing)}",
            at,
        ) from None
    append(at + shift)
    walk.at = at
    return StringArray(buffer[begin:at], starts)


def _alignment(part: Checkpoint) -> int:
    key = "general.alignment"
    if key not in part.metadata:
        return DEFAULT_ALIGNMENT
    value, kind = part.metadata[key], part.metadata.kinds[key]
    if kind != "u32":
        raise part.bad(key, f"is of type {kind}, wanted u32")
    if not MIN_ALIGNMENT <= value <= MAX_ALIGNMENT or value & (value - 1):
        wanted = f"a power of two from {MIN_ALIGNMENT} to {MAX_ALIGNMENT}"
        raise part.bad(key, f"alignment {value}, wanted {wanted}")
    return int(value)


# Tensors


class _Record(NamedTuple):
    """What a tensor's record says, proved except for the end of the file."""

    name: str
    shape: tuple[int, ...]  # outermost first
    kind: WeightFormat | np.dtype[Any]
    n_bytes: int
    start: int  # first byte, from the start of the data


def _read_tensors(walk: _Walk, n_tensors: int, alignment: int, part: Checkpoint) -> None:
    """Put the file's tensors into `part`, once all of them lie within the file."""
    records: list[_Record] = []
    names: dict[str, int] = {}
    data_bytes = 0  # so far, padded
    for i in range(n_tensors):
        record = _read_record(walk, i, names, data_bytes)
        names[record.name] = i
        records.append(record)
        data_bytes += -(-record.n_bytes // alignment) * alignment
    if not records:
        return

    data_start = -(-walk.at // alignment) * alignment
    last = records[-1]
    needed = data_start + last.start + last.n_bytes
    if needed > walk.size:
        cut = next(r for r in records if data_start + r.start + r.n_bytes > walk.size)
        walk.field = f'tensor[{names[cut.name]}] "{cut.name}"'
        raise walk.bad(
            f"the file has {walk.size} bytes, its tensors need {needed}: "
            f"{_bytes(needed - walk.size)} missing; download or copy it again",
            data_start + cut.start,
        )
    file, data = walk.file, walk.file.bytes
    for record in records:
        start = data_start + record.start
        content = data[start : start + record.n_bytes]
        if isinstance(record.kind, np.dtype):
            part.arrays[record.name] = content.view(record.kind).reshape(record.shape)
            continue
        part.tensors[record.name] = QTensor(
            record.name,
            record.kind,
            record.shape,
            content.reshape(prod(record.shape[:-1]), -1),
            part.path,
            start,
            partial(file.release, start, record.n_bytes),
        )


def _read_record(walk: _Walk, i: int, names: Mapping[str, int], data_bytes: int) -> _Record:
    walk.field = f"tensor[{i}]"
    place = walk.at
    name = _text(walk, walk.string("name", MAX_NAME_BYTES), "name", place)
    walk.field = f'tensor[{i}] "{name}"'
    if any(c < " " or "\x7f" <= c <= "\x9f" for c in name):
        raise walk.bad("the name has control characters", place)
    if name in names:
        raise walk.bad(f"the same name as tensor[{names[name]}]", place)

    place = shape_place = walk.at
    n_dimensions = walk.number(U32, "its number of dimensions")
    if not 1 <= n_dimensions <= MAX_DIMENSIONS:
        raise walk.bad(f"{n_dimensions} dimensions, wanted 1 to {MAX_DIMENSIONS}", place)
    dimensions = []
    for j in range(n_dimensions):
        place = walk.at
        dimensions.append(walk.number(U64, f"its dimension {j}"))
        if not 1 <= dimensions[j] <= MAX_DIMENSION:
            wanted = f"1 to {MAX_DIMENSION}"
            raise walk.bad(f"dimension {j} is {dimensions[j]}, wanted {wanted}", place)

    place = walk.at
    number = walk.number(U32, "its type")
    width, n_weights = dimensions[0], prod(dimensions)
    kind: WeightFormat | np.dtype[Any]
    if number in PLAIN:
        kind = PLAIN[number]
        n_bytes = n_weights * kind.itemsize
    else:
        try:
            kind = by_id(number)
        except UnknownFormat as error:
            raise UnsupportedFile(
                walk.file.path, str(error), field=walk.field, byte=place
            ) from error
        if width % kind.block:
            raise walk.bad(
                f"its rows of {width} weights are not a multiple of the {kind.block} weights "
                f"in a block of {kind.name}",
                place,
            )
        n_bytes = n_weights // kind.block * kind.block_bytes

    if n_bytes >= MAX_FILE_BYTES:
        raise walk.bad(f"{n_weights} weights are more than any file can hold", shape_place)

    place = walk.at
    offset = walk.number(U64, "its offset")
    if offset != data_bytes:
        where = "the padded end of the tensor before it" if i else "the start of the data"
        raise walk.bad(f"offset {offset}, wanted {data_bytes}, {where}", place)
    return _Record(name, tuple(reversed(dimensions)), kind, n_bytes, offset)


# Files in parts

_PART_NAME = re.compile(r"(?P<stem>.*)-\d{5}-of-\d{5}\.gguf", re.DOTALL)  # as gguf-split writes it


def _split_number(part: Checkpoint, key: str, low: int, high: int) -> int | None:
    """An integer of the file's `split` keys, or None where it has none."""
    value = part.get(key, int, None)
    if value is not None and not low <= value <= high:
        raise part.bad(key, f"got {value}, wanted {low} to {high}")
    return value


def _read_other_parts(first: Checkpoint, n_parts: int, opened: list[MappedFile]) -> None:
    """Add the tensors of parts 2 ... `n_parts`, which lie beside the first, to `first`."""
    match = _PART_NAME.fullmatch(first.path)

    def part_path(number: int) -> str:
        stem = match["stem"] if match else "NAME"
        return f"{stem}-{number:05d}-of-{n_parts:05d}.gguf"

    number = _split_number(first, "split.no", 0, n_parts - 1)
    if number is None:
        raise first.lacks("split.no", "wanted 0 beside split.count")
    if number != 0:
        raise first.bad(
            "split.no", f"this is part {number + 1} of {n_parts}; open {part_path(1)} instead"
        )
    if match is None or first.path != part_path(1):
        raise first.bad(
            "split.count",
            f"this is part 1 of {n_parts}, so its name must end in {part_path(1)[-20:]} "
            "for the others to be found",
        )
    paths = [part_path(i) for i in range(2, n_parts + 1)]
    absent = [path for path in paths[:100] if not os.path.exists(path)]
    if absent:
        more = f" and {len(absent) - 3} others" if len(absent) > 3 else ""
        named = ", ".join(printable(os.path.basename(path)) for path in absent[:3])
        raise MissingFile(
            f"{printable(first.path)}: is part 1 of {n_parts}, and beside it {named}{more} "
            f"{'is' if len(absent) == 1 else 'are'} missing"
        )

    for i, path in enumerate(paths, 1):
        part = _read_part(path, opened)
        for key, wanted in (("split.no", i), ("split.count", n_parts)):
            got = part.get(key, int, None)
            if got is None:
                raise part.lacks(key, f"wanted {wanted}")
            if got != wanted:
                raise part.bad(key, f"got {got}, wanted {wanted}; it belongs to another model")
        for name in (*part.tensors, *part.arrays):
            if name in first.tensors or name in first.arrays:
                raise BadFile(path, "is in an earlier part too", field=f'tensor "{name}"')
        first.tensors.update(part.tensors)
        first.arrays.update(part.arrays)
        if len(first.tensors) + len(first.arrays) > MAX_TENSORS:
            raise BadFile(path, f"the parts hold more than the limit of {MAX_TENSORS} tensors")
    first.files = tuple(opened)
    found = len(first.tensors) + len(first.arrays)
    wanted_count = first.get("split.tensors.count", int, found)
    if wanted_count != found:
        raise first.bad(
            "split.tensors.count",
            f"got {wanted_count}, but the {n_parts} parts hold {found} tensors",
        )
