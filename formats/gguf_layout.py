"""What a GGUF file is made of: its numbers, its limits, and the look of files that are none.

    "GGUF", version u32, number of tensors u64, number of keys u64
    keys:     length u64, text, type u32, value (an array: element type u32, count u64, elements)
    tensors:  length u64, name, dimensions u32, each u64 (innermost first), type u32, offset u64
    padding to general.alignment (32), then the tensors' data, each padded likewise

All little-endian. Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The limits are
ours: far above any real model, low enough that no file can take the machine's memory.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

MAGIC = b"GGUF"
VERSIONS = (2, 3)

MAX_KEYS = 65_536
MAX_TENSORS = 65_536
MAX_KEY_BYTES = 65_535
MAX_NAME_BYTES = 63
MAX_STRING_BYTES = 1 << 24
MAX_ARRAY = 1 << 24  # elements
MAX_STRINGS = 1 << 22  # in all arrays together: each costs a step of Python
MAX_METADATA_BYTES = 1 << 28
MAX_DIMENSIONS = 4
MAX_DIMENSION = 1 << 40
MIN_ALIGNMENT, DEFAULT_ALIGNMENT, MAX_ALIGNMENT = 8, 32, 1 << 20
MAX_PARTS = 65_535
MAX_FILE_BYTES = 1 << 63

U32 = struct.Struct("<I")
U64 = struct.Struct("<Q")


@dataclass(frozen=True)
class Scalar:
    """A value type of fixed size: its name, and its bytes for struct and for numpy."""

    name: str
    struct: struct.Struct
    dtype: np.dtype[Any]


def _scalar(name: str, letter: str, dtype: str) -> Scalar:
    return Scalar(name, struct.Struct("<" + letter), np.dtype(dtype))


# GGUF's value types by number; strings and arrays are apart.
SCALARS = {
    0: _scalar("u8", "B", "u1"),
    1: _scalar("i8", "b", "i1"),
    2: _scalar("u16", "H", "<u2"),
    3: _scalar("i16", "h", "<i2"),
    4: _scalar("u32", "I", "<u4"),
    5: _scalar("i32", "i", "<i4"),
    6: _scalar("f32", "f", "<f4"),
    7: _scalar("bool", "B", "?"),
    10: _scalar("u64", "Q", "<u8"),
    11: _scalar("i64", "q", "<i8"),
    12: _scalar("f64", "d", "<f8"),
}
STRING, ARRAY, BOOL = 8, 9, 7

# ggml's tensor types that hold other things than weights, by number.
PLAIN: dict[int, np.dtype[Any]] = {
    24: np.dtype("i1"),
    25: np.dtype("<i2"),
    26: np.dtype("<i4"),
    27: np.dtype("<i8"),
    28: np.dtype("<f8"),
}


_LEGACY = "an old GGML file ({}), from before GGUF; get a newer conversion of this model"
_SIGNATURES = {
    b"lmgg": _LEGACY.format("ggml"),
    b"fmgg": _LEGACY.format("ggmf"),
    b"tjgg": _LEGACY.format("ggjt"),
    b"algg": "an old GGML LoRA adapter (ggla), which is not supported",
    b"FUGG": "a GGUF file with its bytes in reverse order",
    b"PK\x03\x04": "a zip archive, perhaps a PyTorch checkpoint: convert it to GGUF first",
    b"\x80\x02": "a Python pickle, perhaps a PyTorch checkpoint: convert it to GGUF first",
    b"\x80\x04": "a Python pickle, perhaps a PyTorch checkpoint: convert it to GGUF first",
    b"\x93NUMPY": "a numpy array (.npy)",
    b"\x89HDF": "an HDF5 file, perhaps of Keras: convert it to GGUF first",
    b"\x1f\x8b": "a file compressed with gzip: unpack it first",
    b"\x28\xb5\x2f\xfd": "a file compressed with zstd: unpack it first",
    b"\xfd7zXZ": "a file compressed with xz: unpack it first",
    b"7z\xbc\xaf": "a 7z archive: unpack it first",
    b"Rar!": "a RAR archive: unpack it first",
    b"\x7fELF": "a program or a library",
    b"version https://git-lfs": "a git-LFS pointer, not the model itself: run git lfs pull",
}


def looks_like(head: bytes) -> str:
    """What a file that is no GGUF seems to be, from its first 512 bytes."""
    for signature, what in _SIGNATURES.items():
        if head.startswith(signature):
            return f"this looks like {what}"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return "this looks like a safetensors file: convert it to GGUF first"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return "this looks like a web page, not the model: was it saved from the right address?"
    if text.startswith((b"{", b"[")):
        return "this looks like JSON text"
    if head[257:262] == b"ustar":
        return "this looks like a tar archive: unpack it first"
    if not head.strip(b"\0"):
        return "it begins with zeros only, as a download that was interrupted does"
    return "this is not a GGUF file"
