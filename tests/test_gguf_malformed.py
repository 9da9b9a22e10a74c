"""GGUF files that lie: each is refused with one line that names the field, the byte and the lie."""

from __future__ import annotations

import os
import random
import re
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vatra.errors import BadFile, UnsupportedFile
from vatra.formats import gguf
from vatra.formats.checkpoint import StringArray

Builder = Any  # tests/conftest.py's GgufBytes, which builds the files
Make = Callable[[type[Builder]], bytes]

BIG = 1 << 62
A = b"\1\0\0\0\0\0\0\0a"  # the text "a" with its length


def message(tmp_path: Path, content: bytes) -> str:
    """What `read` says about a file of this content, after the file's name."""
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(BadFile) as caught:
        gguf.read(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and text.isprintable()
    assert caught.value.exit_code == 65
    return text[len(f"{path}: ") :]


def header(version: int, n_tensors: int = 0, n_keys: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_keys)


def record(
    name: bytes = b"t",
    n_dimensions: int | None = None,
    dimensions: tuple[int, ...] = (32,),
    kind: int = 0,
    offset: int = 0,
) -> bytes:
    n = len(dimensions) if n_dimensions is None else n_dimensions
    body = struct.pack(f"<I{len(dimensions)}QIQ", n, *dimensions, kind, offset)
    return struct.pack("<Q", len(name)) + name + body


def lone(**lie: Any) -> Make:
    """A file of one tensor whose record tells this lie, with 4096 bytes of data."""
    return lambda G: G().padded(G().raw(record(**lie)).head()) + bytes(4096)


# What a file is, and what is said of it.
HEADERS: dict[str, tuple[bytes, str]] = {
    "empty file": (
        b"",
        "magic at byte 0: the file is empty (0 bytes); was a download interrupted?",
    ),
    "one byte": (b"G", "magic at byte 0: the file ends within it: at least 3 bytes are missing"),
    "three bytes": (b"GGU", "magic at byte 0: the file ends within it: at least 1 byte is missing"),
    "ends before the version": (
        b"GGUF",
        ("version at byte 4: the file ends within the version: at least 4 bytes are missing"),
    ),
    "ends within the version": (
        b"GGUF\3\0",
        ("version at byte 4: the file ends within the version: at least 2 bytes are missing"),
    ),
    "ends before n_tensors": (
        b"GGUF\3\0\0\0",
        (
            "n_tensors at byte 8: the file ends within the number of tensors: at least 8 "
            "bytes are missing"
        ),
    ),
    "ends within n_tensors": (
        header(3)[:11],
        (
            "n_tensors at byte 8: the file ends within the number of tensors: at least 5 "
            "bytes are missing"
        ),
    ),
    "ends within n_kv": (
        header(3)[:23],
        ("n_kv at byte 16: the file ends within the number of keys: at least 1 byte is missing"),
    ),
    "version 0": (header(0), "version at byte 4: GGUF version 0 does not exist, wanted 2 or 3"),
    "version 1": (
        header(1),
        (
            "version at byte 4: GGUF version 1 is too old, wanted 2 or 3; get a newer "
            "conversion of this model"
        ),
    ),
    "version 4": (
        header(4),
        ("version at byte 4: GGUF version 4 is newer than this program knows, wanted 2 or 3"),
    ),
    "version 2^31": (
        header(1 << 31),
        (
            "version at byte 4: GGUF version 2147483648 is newer than this program knows, "
            "wanted 2 or 3"
        ),
    ),
    "big-endian version 3": (
        b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
        (
            "version at byte 4: this is a big-endian GGUF file (version 3), which is not "
            "supported; convert it with gguf-convert-endian of the gguf package"
        ),
    ),
    "big-endian version 2": (
        b"GGUF" + struct.pack(">IQQ", 2, 0, 0),
        (
            "version at byte 4: this is a big-endian GGUF file (version 2), which is not "
            "supported; convert it with gguf-convert-endian of the gguf package"
        ),
    ),
    "65537 tensors": (header(3, 65_537), "n_tensors at byte 8: 65537 tensors, the limit is 65536"),
    "2^63 tensors": (
        header(3, 1 << 63),
        "n_tensors at byte 8: 9223372036854775808 tensors, the limit is 65536",
    ),
    "2^64-1 tensors": (
        header(3, (1 << 64) - 1),
        "n_tensors at byte 8: 18446744073709551615 tensors, the limit is 65536",
    ),
    "65537 keys": (header(3, 0, 65_537), "n_kv at byte 16: 65537 keys, the limit is 65536"),
    "2^64-1 keys": (
        header(3, 0, (1 << 64) - 1),
        "n_kv at byte 16: 18446744073709551615 keys, the limit is 65536",
    ),
    "a key too many": (
        header(3, 0, 1),
        ("kv[0] at byte 24: the file ends within the key length: at least 8 bytes are missing"),
    ),
    "a tensor too many": (
        header(3, 1),
        (
            "tensor[0] at byte 24: the file ends within the name length: at least 8 bytes "
            "are missing"
        ),
    ),
}
LOOKS: dict[str, tuple[bytes, str]] = {
    "zip": (
        b"PK\x03\x04" + bytes(30),
        (
            "magic at byte 0: got b'PK\\x03\\x04', wanted b'GGUF': this looks like a zip "
            "archive, perhaps a PyTorch checkpoint: convert it to GGUF first"
        ),
    ),
    "pickle": (
        b"\x80\x02\x8a\nl",
        (
            "magic at byte 0: got b'\\x80\\x02\\x8a\\n', wanted b'GGUF': this looks like a "
            "Python pickle, perhaps a PyTorch checkpoint: convert it to GGUF first"
        ),
    ),
    "safetensors": (
        struct.pack("<Q", 40) + b'{"__metadata__":{"format":"pt"}}',
        (
            "magic at byte 0: got b'(\\x00\\x00\\x00', wanted b'GGUF': this looks like a "
            "safetensors file: convert it to GGUF first"
        ),
    ),
    "web page": (
        b"\n<!DOCTYPE html><html>",
        (
            "magic at byte 0: got b'\\n<!D', wanted b'GGUF': this looks like a web page, "
            "not the model: was it saved from the right address?"
        ),
    ),
    "XML error": (
        b"<?xml version='1.0'?><Error>",
        (
            "magic at byte 0: got b'<?xm', wanted b'GGUF': this looks like a web page, not "
            "the model: was it saved from the right address?"
        ),
    ),
    "ggml": (
        b"lmgg" + bytes(20),
        (
            "magic at byte 0: got b'lmgg', wanted b'GGUF': this looks like an old GGML "
            "file (ggml), from before GGUF; get a newer conversion of this model"
        ),
    ),
    "ggmf": (
        b"fmgg" + bytes(20),
        (
            "magic at byte 0: got b'fmgg', wanted b'GGUF': this looks like an old GGML "
            "file (ggmf), from before GGUF; get a newer conversion of this model"
        ),
    ),
    "ggjt": (
        b"tjgg\3\0\0\0" + bytes(20),
        (
            "magic at byte 0: got b'tjgg', wanted b'GGUF': this looks like an old GGML "
            "file (ggjt), from before GGUF; get a newer conversion of this model"
        ),
    ),
    "ggla": (
        b"algg" + bytes(20),
        (
            "magic at byte 0: got b'algg', wanted b'GGUF': this looks like an old GGML "
            "LoRA adapter (ggla), which is not supported"
        ),
    ),
    "reversed magic": (
        b"FUGG" + bytes(20),
        (
            "magic at byte 0: got b'FUGG', wanted b'GGUF': this looks like a GGUF file "
            "with its bytes in reverse order"
        ),
    ),
    "numpy": (
        b"\x93NUMPY\1\0",
        ("magic at byte 0: got b'\\x93NUM', wanted b'GGUF': this looks like a numpy array (.npy)"),
    ),
    "HDF5": (
        b"\x89HDF\r\n",
        (
            "magic at byte 0: got b'\\x89HDF', wanted b'GGUF': this looks like an HDF5 "
            "file, perhaps of Keras: convert it to GGUF first"
        ),
    ),
    "gzip": (
        b"\x1f\x8b\x08\0",
        (
            "magic at byte 0: got b'\\x1f\\x8b\\x08\\x00', wanted b'GGUF': this looks like a "
            "file compressed with gzip: unpack it first"
        ),
    ),
    "zstd": (
        b"\x28\xb5\x2f\xfd\0",
        (
            "magic at byte 0: got b'(\\xb5/\\xfd', wanted b'GGUF': this looks like a file "
            "compressed with zstd: unpack it first"
        ),
    ),
    "xz": (
        b"\xfd7zXZ\0",
        (
            "magic at byte 0: got b'\\xfd7zX', wanted b'GGUF': this looks like a file "
            "compressed with xz: unpack it first"
        ),
    ),
    "7z": (
        b"7z\xbc\xaf\x27\x1c",
        (
            "magic at byte 0: got b'7z\\xbc\\xaf', wanted b'GGUF': this looks like a 7z "
            "archive: unpack it first"
        ),
    ),
    "rar": (
        b"Rar!\x1a\7",
        (
            "magic at byte 0: got b'Rar!', wanted b'GGUF': this looks like a RAR archive: "
            "unpack it first"
        ),
    ),
    "program": (
        b"\x7fELF\2\1\1",
        (
            "magic at byte 0: got b'\\x7fELF', wanted b'GGUF': this looks like a program or "
            "a library"
        ),
    ),
    "git-LFS pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00",
        (
            "magic at byte 0: got b'vers', wanted b'GGUF': this looks like a git-LFS "
            "pointer, not the model itself: run git lfs pull"
        ),
    ),
    "JSON": (
        b'{"error": "not found"}',
        "magic at byte 0: got b'{\"er', wanted b'GGUF': this looks like JSON text",
    ),
    "tar": (
        b"model".ljust(257, b"\0") + b"ustar\0",
        (
            "magic at byte 0: got b'mode', wanted b'GGUF': this looks like a tar archive: "
            "unpack it first"
        ),
    ),
    "zeros": (
        bytes(600),
        (
            "magic at byte 0: got b'\\x00\\x00\\x00\\x00', wanted b'GGUF': it begins with "
            "zeros only, as a download that was interrupted does"
        ),
    ),
    "text": (
        b"hello world",
        "magic at byte 0: got b'hell', wanted b'GGUF': this is not a GGUF file",
    ),
    "escape sequences": (
        b"\x1b[31",
        "magic at byte 0: got b'\\x1b[31', wanted b'GGUF': this is not a GGUF file",
    ),
}
KEYS: dict[str, tuple[Make, str]] = {
    "key length 2^64-1": (
        lambda G: header(3, 0, 1) + struct.pack("<Q", (1 << 64) - 1),
        (
            "kv[0] at byte 24: key length 18446744073709551615 needs more than the 0 bytes "
            "left; at least 18446744073709551615 bytes are missing"
        ),
    ),
    "key length one too long": (
        lambda G: header(3, 0, 1) + G.text("abc", 4),
        (
            "kv[0] at byte 24: key length 4 needs more than the 3 bytes left; at least 1 "
            "byte is missing"
        ),
    ),
    "key of 65536 bytes": (
        lambda G: G().u32("k" * 65_536, 1).build(),
        "kv[0] at byte 24: key length 65536 is over the limit of 65535 bytes",
    ),
    "empty key": (lambda G: G().u32("", 1).build(), "kv[0] at byte 24: the key is empty"),
    "key not UTF-8": (
        lambda G: G().key(b"ab\xff", 4, bytes(4)).build(),
        'kv[0] at byte 24: the key "ab\\xff" is not UTF-8 at its byte 2',
    ),
    "key an encoded surrogate": (
        lambda G: G().key(b"\xed\xa0\x80", 4, bytes(4)).build(),
        'kv[0] at byte 24: the key "\\xed\\xa0\\x80" is not UTF-8 at its byte 0',
    ),
    "long key, bad type": (
        lambda G: G().key("k" * 1000, 99).build(),
        (
            f'kv[0] "{"k" * 60}...{"k" * 30}" '
            "at byte 1032: value type 99 does not exist, wanted 0 to 12"
        ),
    ),
    "key with a newline and ESC": (
        lambda G: G().key("a\n\x1b[31m", 99).build(),
        'kv[0] "a\\n\\x1b[31m" at byte 39: value type 99 does not exist, wanted 0 to 12',
    ),
    "same key twice": (
        lambda G: G().u32("a", 1).u32("b", 2).u32("a", 1).build(),
        'kv[2] "a" at byte 58: the same key as kv[0]',
    ),
    "value type 13": (
        lambda G: G().key("a", 13).build(),
        'kv[0] "a" at byte 33: value type 13 does not exist, wanted 0 to 12',
    ),
    "value type 2^32-1": (
        lambda G: G().key("a", (1 << 32) - 1).build(),
        'kv[0] "a" at byte 33: value type 4294967295 does not exist, wanted 0 to 12',
    ),
    "ends within the value type": (
        lambda G: header(3, 0, 1) + A + b"\4\0",
        ('kv[0] "a" at byte 33: the file ends within its value type: at least 2 bytes are missing'),
    ),
    "u8 cut": (
        lambda G: G().key("a", 0).build(),
        ('kv[0] "a" at byte 37: the file ends within its value (u8): at least 1 byte is missing'),
    ),
    "i8 cut": (
        lambda G: G().key("a", 1).build(),
        ('kv[0] "a" at byte 37: the file ends within its value (i8): at least 1 byte is missing'),
    ),
    "u16 cut": (
        lambda G: G().key("a", 2, b"x").build(),
        ('kv[0] "a" at byte 37: the file ends within its value (u16): at least 1 byte is missing'),
    ),
    "i16 cut": (
        lambda G: G().key("a", 3, b"x").build(),
        ('kv[0] "a" at byte 37: the file ends within its value (i16): at least 1 byte is missing'),
    ),
    "u32 cut": (
        lambda G: G().key("a", 4, b"xxx").build(),
        ('kv[0] "a" at byte 37: the file ends within its value (u32): at least 1 byte is missing'),
    ),
    "i32 cut": (
        lambda G: G().key("a", 5, b"xxx").build(),
        ('kv[0] "a" at byte 37: the file ends within its value (i32): at least 1 byte is missing'),
    ),
    "f32 cut": (
        lambda G: G().key("a", 6, b"xx").build(),
        (
            'kv[0] "a" at byte 37: the file ends within its value (f32): at least 2 bytes '
            "are missing"
        ),
    ),
    "bool cut": (
        lambda G: G().key("a", 7).build(),
        ('kv[0] "a" at byte 37: the file ends within its value (bool): at least 1 byte is missing'),
    ),
    "u64 cut": (
        lambda G: G().key("a", 10, b"xxxxxxx").build(),
        ('kv[0] "a" at byte 37: the file ends within its value (u64): at least 1 byte is missing'),
    ),
    "i64 cut": (
        lambda G: G().key("a", 11, b"x").build(),
        (
            'kv[0] "a" at byte 37: the file ends within its value (i64): at least 7 bytes '
            "are missing"
        ),
    ),
    "f64 cut": (
        lambda G: G().key("a", 12, b"xxxx").build(),
        (
            'kv[0] "a" at byte 37: the file ends within its value (f64): at least 4 bytes '
            "are missing"
        ),
    ),
    "bool of 2": (
        lambda G: G().key("a", 7, b"\2").build(),
        'kv[0] "a" at byte 37: boolean 2, wanted 0 or 1',
    ),
    "string length cut": (
        lambda G: G().key("a", 8, b"\1\0\0").build(),
        (
            'kv[0] "a" at byte 37: the file ends within the string length: at least 5 '
            "bytes are missing"
        ),
    ),
    "string length 2^62": (
        lambda G: G().key("a", 8, struct.pack("<Q", BIG)).build(),
        (
            'kv[0] "a" at byte 37: string length 4611686018427387904 needs more than the 0 '
            "bytes left; at least 4611686018427387904 bytes are missing"
        ),
    ),
    "string one too long": (
        lambda G: G().key("a", 8, G.text("xyz", 4)).build(),
        (
            'kv[0] "a" at byte 37: string length 4 needs more than the 3 bytes left; at '
            "least 1 byte is missing"
        ),
    ),
    "string of 16 MiB + 1": (
        lambda G: G().string("a", bytes((1 << 24) + 1)).build(),
        'kv[0] "a" at byte 37: string length 16777217 is over the limit of 16777216 bytes',
    ),
    "element type cut": (
        lambda G: G().key("a", 9, b"\0\0\0").build(),
        ('kv[0] "a" at byte 37: the file ends within its element type: at least 1 byte is missing'),
    ),
    "array of arrays": (
        lambda G: G().array("a", 9, 1).build(),
        'kv[0] "a" at byte 37: arrays of arrays are not supported',
    ),
    "element type 13": (
        lambda G: G().array("a", 13, 1).build(),
        'kv[0] "a" at byte 37: element type 13 does not exist, wanted 0 to 8 or 10 to 12',
    ),
    "array length cut": (
        lambda G: G().key("a", 9, struct.pack("<I", 4) + bytes(7)).build(),
        ('kv[0] "a" at byte 41: the file ends within its array length: at least 1 byte is missing'),
    ),
    "array length 2^62": (
        lambda G: G().array("tokenizer.ggml.tokens", 8, BIG).build(),
        (
            'kv[0] "tokenizer.ggml.tokens" at byte 61: array length 4611686018427387904 '
            "needs more than the 0 bytes left; at least 36893488147419103232 bytes are "
            "missing"
        ),
    ),
    "array length 2^61, times 8 is 0": (
        lambda G: G().array("a", 10, 1 << 61).build(),
        (
            'kv[0] "a" at byte 41: array length 2305843009213693952 needs more than the 0 '
            "bytes left; at least 18446744073709551616 bytes are missing"
        ),
    ),
    "array length 2^64-1": (
        lambda G: G().array("a", 0, (1 << 64) - 1, b"x").build(),
        (
            'kv[0] "a" at byte 41: array length 18446744073709551615 needs more than the 1 '
            "bytes left; at least 18446744073709551614 bytes are missing"
        ),
    ),
    "u8 array cut": (
        lambda G: G().array("a", 0, 3, b"xx").build(),
        (
            'kv[0] "a" at byte 41: array length 3 needs more than the 2 bytes left; at '
            "least 1 byte is missing"
        ),
    ),
    "u32 array cut": (
        lambda G: G().array("a", 4, 2, bytes(7)).build(),
        (
            'kv[0] "a" at byte 41: array length 2 needs more than the 7 bytes left; at '
            "least 1 byte is missing"
        ),
    ),
    "f64 array cut": (
        lambda G: G().array("a", 12, 2, bytes(8)).build(),
        (
            'kv[0] "a" at byte 41: array length 2 needs more than the 8 bytes left; at '
            "least 8 bytes are missing"
        ),
    ),
    "u8 array of 2^24 + 1": (
        lambda G: G().array("a", 0, (1 << 24) + 1, bytes((1 << 24) + 1)).build(),
        ('kv[0] "a" at byte 41: array length 16777217 is over the limit of 16777216 elements'),
    ),
    "bool array with a 7": (
        lambda G: G().array("a", 7, 4, b"\0\1\7\1").build(),
        'kv[0] "a" at byte 51: element 2: boolean 7, wanted 0 or 1',
    ),
    "2^22 + 1 strings": (
        lambda G: G().array("a", 8, (1 << 22) + 1, bytes(8 << 22) + bytes(8)).build(),
        'kv[0] "a" at byte 41: array length 4194305 passes the limit of 4194304 strings',
    ),
    "strings: lengths cut": (
        lambda G: G().array("a", 8, 2, bytes(9) + bytes(7)).build()[:-1],
        (
            'kv[0] "a" at byte 41: array length 2 needs more than the 15 bytes left; at '
            "least 1 byte is missing"
        ),
    ),
    "strings: second length 2^63": (
        lambda G: G().array("a", 8, 2, A + struct.pack("<Q", 1 << 63)).build(),
        (
            'kv[0] "a" at byte 58: element 1: string length 9223372036854775808 needs more '
            "than the 0 bytes left; at least 9223372036854775808 bytes are missing"
        ),
    ),
    "strings: last one too long": (
        lambda G: G().array("a", 8, 2, A + G.text("xy", 3)).build(),
        (
            'kv[0] "a" at byte 58: element 1: string length 3 needs more than the 2 bytes '
            "left; at least 1 byte is missing"
        ),
    ),
    "strings: one of 16 MiB + 1": (
        lambda G: G().strings("a", [bytes((1 << 24) + 1)]).build(),
        (
            'kv[0] "a" at byte 49: element 0: string length 16777217 is over the limit of '
            "16777216 bytes"
        ),
    ),
    "strings: count one too many": (
        lambda G: G().array("a", 8, 3, A + A).build(),
        (
            'kv[0] "a" at byte 41: array length 3 needs more than the 18 bytes left; at '
            "least 6 bytes are missing"
        ),
    ),
    "alignment 0": (
        lambda G: G().u32("general.alignment", 0).build(),
        (
            'kv[0] "general.alignment" at byte 53: alignment 0, wanted a power of two from '
            "8 to 1048576"
        ),
    ),
    "alignment 3": (
        lambda G: G().u32("general.alignment", 3).build(),
        (
            'kv[0] "general.alignment" at byte 53: alignment 3, wanted a power of two from '
            "8 to 1048576"
        ),
    ),
    "alignment 4": (
        lambda G: G().u32("general.alignment", 4).build(),
        (
            'kv[0] "general.alignment" at byte 53: alignment 4, wanted a power of two from '
            "8 to 1048576"
        ),
    ),
    "alignment 2^21": (
        lambda G: G().u32("general.alignment", 1 << 21).build(),
        (
            'kv[0] "general.alignment" at byte 53: alignment 2097152, wanted a power of '
            "two from 8 to 1048576"
        ),
    ),
    "alignment an i32": (
        lambda G: G().key("general.alignment", 5, struct.pack("<i", 32)).build(),
        'kv[0] "general.alignment" at byte 53: is of type i32, wanted u32',
    ),
    "alignment a u64": (
        lambda G: G().key("general.alignment", 10, struct.pack("<Q", 32)).build(),
        'kv[0] "general.alignment" at byte 53: is of type u64, wanted u32',
    ),
    "alignment a string": (
        lambda G: G().string("general.alignment", "32").build(),
        'kv[0] "general.alignment" at byte 53: is of type str, wanted u32',
    ),
    "split.count a string": (
        lambda G: G().string("split.count", "3").build(),
        'kv[0] "split.count" at byte 47: is a string, wanted an integer',
    ),
    "split.count a bool": (
        lambda G: G().key("split.count", 7, b"\1").build(),
        'kv[0] "split.count" at byte 47: is a boolean, wanted an integer',
    ),
    "split.count -1": (
        lambda G: G().key("split.count", 5, struct.pack("<i", -1)).build(),
        'kv[0] "split.count" at byte 47: got -1, wanted 0 to 65535',
    ),
    "split.count 65536": (
        lambda G: G().u32("split.count", 65_536).build(),
        'kv[0] "split.count" at byte 47: got 65536, wanted 0 to 65535',
    ),
    "split.count without split.no": (
        lambda G: G().u32("split.count", 2).build(),
        'key "split.no": is missing, wanted 0 beside split.count',
    ),
    "split.no 2 of 2": (
        lambda G: G().u32("split.count", 2).u32("split.no", 2).build(),
        'kv[1] "split.no" at byte 71: got 2, wanted 0 to 1',
    ),
    "a part under another name": (
        lambda G: G().u32("split.count", 2).u32("split.no", 0).build(),
        (
            'kv[0] "split.count" at byte 47: this is part 1 of 2, so its name must end in '
            "-00001-of-00002.gguf for the others to be found"
        ),
    ),
    "a later part": (
        lambda G: G().u32("split.count", 2).u32("split.no", 1).build(),
        ('kv[1] "split.no" at byte 71: this is part 2 of 2; open NAME-00001-of-00002.gguf instead'),
    ),
}
TENSORS: dict[str, tuple[Make, str]] = {
    "name of 64 bytes": (
        lone(name=b"n" * 64),
        "tensor[0] at byte 24: name length 64 is over the limit of 63 bytes",
    ),
    "name length 2^62": (
        lambda G: header(3, 1) + struct.pack("<Q", BIG),
        (
            "tensor[0] at byte 24: name length 4611686018427387904 needs more than the 0 "
            "bytes left; at least 4611686018427387904 bytes are missing"
        ),
    ),
    "name length one too long": (
        lambda G: header(3, 1) + G.text("abc", 4),
        (
            "tensor[0] at byte 24: name length 4 needs more than the 3 bytes left; at "
            "least 1 byte is missing"
        ),
    ),
    "empty name": (lone(name=b""), "tensor[0] at byte 24: the name is empty"),
    "name not UTF-8": (
        lone(name=b"\xc3("),
        'tensor[0] at byte 24: the name "\\xc3(" is not UTF-8 at its byte 0',
    ),
    "name with a newline": (
        lone(name=b"a\nb"),
        'tensor[0] "a\\nb" at byte 24: the name has control characters',
    ),
    "name with NUL": (
        lone(name=b"a\0b"),
        'tensor[0] "a\\x00b" at byte 24: the name has control characters',
    ),
    "name with DEL": (
        lone(name=b"a\x7fb"),
        'tensor[0] "a\\x7fb" at byte 24: the name has control characters',
    ),
    "name with a C1 control": (
        lone(name="a\x9bb".encode()),
        'tensor[0] "a\\x9bb" at byte 24: the name has control characters',
    ),
    "same name twice": (
        lambda G: G().tensor("t", [4]).tensor("u", [4]).tensor("t", [4]).build(),
        'tensor[2] "t" at byte 90: the same name as tensor[0]',
    ),
    "dimensions cut": (
        lambda G: header(3, 1) + A + b"\1\0",
        (
            'tensor[0] "a" at byte 33: the file ends within its number of dimensions: at '
            "least 2 bytes are missing"
        ),
    ),
    "dimension cut": (
        lambda G: header(3, 1) + record()[:17],
        (
            'tensor[0] "t" at byte 37: the file ends within its dimension 0: at least 4 '
            "bytes are missing"
        ),
    ),
    "second dimension cut": (
        lambda G: header(3, 1) + record(dimensions=(2, 3))[:22],
        (
            'tensor[0] "t" at byte 45: the file ends within its dimension 1: at least 7 '
            "bytes are missing"
        ),
    ),
    "type cut": (
        lambda G: header(3, 1) + record()[:23],
        ('tensor[0] "t" at byte 45: the file ends within its type: at least 2 bytes are missing'),
    ),
    "offset cut": (
        lambda G: header(3, 1) + record()[:-1],
        ('tensor[0] "t" at byte 49: the file ends within its offset: at least 1 byte is missing'),
    ),
    "0 dimensions": (lone(n_dimensions=0), 'tensor[0] "t" at byte 33: 0 dimensions, wanted 1 to 4'),
    "5 dimensions": (
        lone(dimensions=(1, 1, 1, 1, 1)),
        'tensor[0] "t" at byte 33: 5 dimensions, wanted 1 to 4',
    ),
    "2^32-1 dimensions": (
        lone(n_dimensions=(1 << 32) - 1),
        'tensor[0] "t" at byte 33: 4294967295 dimensions, wanted 1 to 4',
    ),
    "dimension 0": (
        lone(dimensions=(0,)),
        'tensor[0] "t" at byte 37: dimension 0 is 0, wanted 1 to 1099511627776',
    ),
    "second dimension 0": (
        lone(dimensions=(32, 0)),
        'tensor[0] "t" at byte 45: dimension 1 is 0, wanted 1 to 1099511627776',
    ),
    "dimension 2^40+1": (
        lone(dimensions=((1 << 40) + 1,)),
        ('tensor[0] "t" at byte 37: dimension 0 is 1099511627777, wanted 1 to 1099511627776'),
    ),
    "dimension -1": (
        lone(dimensions=((1 << 64) - 1,)),
        (
            'tensor[0] "t" at byte 37: dimension 0 is 18446744073709551615, wanted 1 to '
            "1099511627776"
        ),
    ),
    "2^160 weights": (
        lone(dimensions=(1 << 40,) * 4),
        (
            'tensor[0] "t" at byte 33: 1461501637330902918203684832716283019655932542976 '
            "weights are more than any file can hold"
        ),
    ),
    "2^64 weights, as bytes 0": (
        lone(dimensions=(1 << 32, 1 << 32)),
        ('tensor[0] "t" at byte 33: 18446744073709551616 weights are more than any file can hold'),
    ),
    "2^62 weights, as bytes 2^64": (
        lone(dimensions=(1 << 31, 1 << 31)),
        ('tensor[0] "t" at byte 33: 4611686018427387904 weights are more than any file can hold'),
    ),
    "2^63-1 bytes and padding": (
        lone(dimensions=(1 << 40, (1 << 23) - 1), kind=24),
        (
            'tensor[0] "t" at byte 96: the file has 4192 bytes, its tensors need '
            "9223370937343148128: 9223370937343143936 bytes are missing; download or copy "
            "it again"
        ),
    ),
    "type 4": (
        lone(kind=4),
        (
            'tensor[0] "t" at byte 45: Q4_2 (ggml type 4) was removed from ggml: quantise '
            "the original model again, as q4_0 for instance"
        ),
    ),
    "type 5": (
        lone(kind=5),
        (
            'tensor[0] "t" at byte 45: Q4_3 (ggml type 5) was removed from ggml: quantise '
            "the original model again, as q4_0 for instance"
        ),
    ),
    "type 9": (
        lone(kind=9),
        (
            'tensor[0] "t" at byte 45: Q8_1 (ggml type 9) is for activations in memory '
            "only, never for weights in a file"
        ),
    ),
    "type 15": (
        lone(kind=15, dimensions=(256,)),
        (
            'tensor[0] "t" at byte 45: Q8_K (ggml type 15) is for activations in memory '
            "only, never for weights in a file"
        ),
    ),
    "type 31": (
        lone(kind=31),
        (
            'tensor[0] "t" at byte 45: Q4_0_4_4 (ggml type 31) was removed from ggml: use '
            "a plain q4_0 file, whose rows are rearranged when loaded"
        ),
    ),
    "type 32": (
        lone(kind=32),
        (
            'tensor[0] "t" at byte 45: Q4_0_4_8 (ggml type 32) was removed from ggml: use '
            "a plain q4_0 file, whose rows are rearranged when loaded"
        ),
    ),
    "type 33": (
        lone(kind=33),
        (
            'tensor[0] "t" at byte 45: Q4_0_8_8 (ggml type 33) was removed from ggml: use '
            "a plain q4_0 file, whose rows are rearranged when loaded"
        ),
    ),
    "type 36": (
        lone(kind=36),
        (
            'tensor[0] "t" at byte 45: IQ4_NL_4_4 (ggml type 36) was removed from ggml: '
            "use a plain iq4_nl file, whose rows are rearranged when loaded"
        ),
    ),
    "type 37": (
        lone(kind=37),
        (
            'tensor[0] "t" at byte 45: IQ4_NL_4_8 (ggml type 37) was removed from ggml: '
            "use a plain iq4_nl file, whose rows are rearranged when loaded"
        ),
    ),
    "type 38": (
        lone(kind=38),
        (
            'tensor[0] "t" at byte 45: IQ4_NL_8_8 (ggml type 38) was removed from ggml: '
            "use a plain iq4_nl file, whose rows are rearranged when loaded"
        ),
    ),
    "type 43": (
        lone(kind=43),
        (
            'tensor[0] "t" at byte 45: ggml type 43 is not known (the highest known is '
            "42); the file is damaged, or newer than this version of vatra"
        ),
    ),
    "type 2^32-1": (
        lone(kind=(1 << 32) - 1),
        (
            'tensor[0] "t" at byte 45: ggml type 4294967295 is not known (the highest '
            "known is 42); the file is damaged, or newer than this version of vatra"
        ),
    ),
    "q4_0 row of 33": (
        lone(kind=2, dimensions=(33,)),
        (
            'tensor[0] "t" at byte 45: its rows of 33 weights are not a multiple of the 32 '
            "weights in a block of q4_0"
        ),
    ),
    "q4_k row of 128": (
        lone(kind=12, dimensions=(128, 2)),
        (
            'tensor[0] "t" at byte 53: its rows of 128 weights are not a multiple of the '
            "256 weights in a block of q4_k"
        ),
    ),
    "q8_0 row of 31": (
        lone(kind=8, dimensions=(31,)),
        (
            'tensor[0] "t" at byte 45: its rows of 31 weights are not a multiple of the 32 '
            "weights in a block of q8_0"
        ),
    ),
    "mxfp4 row of 16": (
        lone(kind=39, dimensions=(16, 2)),
        (
            'tensor[0] "t" at byte 53: its rows of 16 weights are not a multiple of the 32 '
            "weights in a block of mxfp4"
        ),
    ),
    "nvfp4 row of 32": (
        lone(kind=40, dimensions=(32,)),
        (
            'tensor[0] "t" at byte 45: its rows of 32 weights are not a multiple of the 64 '
            "weights in a block of nvfp4"
        ),
    ),
    "q1_0 row of 64": (
        lone(kind=41, dimensions=(64,)),
        (
            'tensor[0] "t" at byte 45: its rows of 64 weights are not a multiple of the '
            "128 weights in a block of q1_0"
        ),
    ),
    "q2_0 row of 32": (
        lone(kind=42, dimensions=(32,)),
        (
            'tensor[0] "t" at byte 45: its rows of 32 weights are not a multiple of the 64 '
            "weights in a block of q2_0"
        ),
    ),
    "first offset 32": (
        lone(offset=32),
        'tensor[0] "t" at byte 49: offset 32, wanted 0, the start of the data',
    ),
    "second offset not aligned": (
        lambda G: G().tensor("t", [4]).tensor("u", [4], offset=16).build(),
        ('tensor[1] "u" at byte 82: offset 16, wanted 32, the padded end of the tensor before it'),
    ),
    "second offset over the first": (
        lambda G: G().tensor("t", [4]).tensor("u", [4], offset=0).build(),
        ('tensor[1] "u" at byte 82: offset 0, wanted 32, the padded end of the tensor before it'),
    ),
    "second offset with a gap": (
        lambda G: G().tensor("t", [4]).tensor("u", [4], offset=64).build(),
        ('tensor[1] "u" at byte 82: offset 64, wanted 32, the padded end of the tensor before it'),
    ),
    "second offset 2^64-32": (
        lambda G: G().tensor("t", [4]).tensor("u", [4], offset=(1 << 64) - 32).build(),
        (
            'tensor[1] "u" at byte 82: offset 18446744073709551584, wanted 32, the padded '
            "end of the tensor before it"
        ),
    ),
    "offsets of another alignment": (
        lambda G: G().u32("general.alignment", 64).tensor("t", [4]).tensor("u", [4]).build(),
        ('tensor[1] "u" at byte 115: offset 32, wanted 64, the padded end of the tensor before it'),
    ),
    "data one byte short": (
        lambda G: G().tensor("t", [4]).tensor("u", [4]).build()[:-1],
        (
            'tensor[1] "u" at byte 128: the file has 143 bytes, its tensors need 144: 1 '
            "byte is missing; download or copy it again"
        ),
    ),
    "data all missing": (
        lambda G: G().tensor("t", [4]).build()[:-16],
        (
            'tensor[0] "t" at byte 64: the file has 64 bytes, its tensors need 80: 16 '
            "bytes are missing; download or copy it again"
        ),
    ),
    "data and padding missing": (
        lambda G: G().tensor("t", [4]).head(),
        (
            'tensor[0] "t" at byte 64: the file has 57 bytes, its tensors need 80: 23 '
            "bytes are missing; download or copy it again"
        ),
    ),
    "first of two not whole": (
        lambda G: G().tensor("t", [8]).tensor("u", [8]).build()[:-33],
        (
            'tensor[0] "t" at byte 96: the file has 127 bytes, its tensors need 160: 33 '
            "bytes are missing; download or copy it again"
        ),
    ),
    "q4_k data short": (
        lambda G: G().tensor("t", [256, 2], 12, bytes(287)).build(),
        (
            'tensor[0] "t" at byte 96: the file has 383 bytes, its tensors need 384: 1 '
            "byte is missing; download or copy it again"
        ),
    ),
    "i32 data short": (
        lambda G: G().tensor("t", [3], 26, bytes(11)).build(),
        (
            'tensor[0] "t" at byte 64: the file has 75 bytes, its tensors need 76: 1 byte '
            "is missing; download or copy it again"
        ),
    ),
    "a tensor less than said": (
        lambda G: (b := G().tensor("t", [4])).head()[:8] + b"\2" + b.head()[9:],
        (
            "tensor[1] at byte 57: the file ends within the name length: at least 8 bytes "
            "are missing"
        ),
    ),
}


@pytest.mark.parametrize("name", [*HEADERS, *LOOKS])
def test_a_wrong_header_is_named(tmp_path: Path, name: str) -> None:
    content, expected = (HEADERS | LOOKS)[name]
    assert message(tmp_path, content) == expected


@pytest.mark.parametrize("name", [*KEYS, *TENSORS])
def test_a_lie_is_named(tmp_path: Path, gguf_bytes: type[Builder], name: str) -> None:
    make, expected = (KEYS | TENSORS)[name]
    assert message(tmp_path, make(gguf_bytes)) == expected


def test_there_are_enough_lies() -> None:
    assert len(HEADERS) + len(LOOKS) + len(KEYS) + len(TENSORS) >= 90


@pytest.mark.parametrize("kind", [4, 5, 9, 15, 31, 36, 43])
def test_a_type_that_we_lack_is_unsupported(
    tmp_path: Path, gguf_bytes: type[Builder], kind: int
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(lone(kind=kind, dimensions=(256,))(gguf_bytes))
    with pytest.raises(UnsupportedFile):
        gguf.read(path)


def test_metadata_past_256_mib(tmp_path: Path, gguf_bytes: type[Builder]) -> None:
    half = gguf_bytes().array("a", 10, 1 << 24).build()  # 128 MiB of zeros follow, sparse
    path = tmp_path / "model.gguf"
    with open(path, "wb") as file:
        file.write(half[:16] + struct.pack("<Q", 2) + half[24:])
        file.seek(1 << 27, os.SEEK_CUR)
        place = file.tell()
        file.write(gguf_bytes.text("b") + struct.pack("<IIQ", 9, 10, 1 << 24))
        file.truncate(1 << 30)
    with pytest.raises(BadFile) as caught:
        gguf.read(path)
    expected = f'kv[1] "b" at byte {place + 17}: metadata goes on past the limit of 268435456 bytes'
    assert str(caught.value) == f"{path}: {expected}"


def sources(G: type[Builder]) -> Iterator[bytes]:
    """Small files that hold every kind of value and of tensor between them."""
    numbers = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q"}
    scalars = G().key("f64", 12, struct.pack("<d", 1.5)).string("general.architecture", "llama")
    arrays = G(version=2).array("f64", 12, 2, struct.pack("<2d", 1, 2))
    for kind, letter in numbers.items():
        scalars.key(f"key.{kind}", kind, struct.pack(f"<{letter}", 1))
        arrays.array(f"array.{kind}", kind, 3, struct.pack(f"<3{letter}", 0, 1, 1))
    yield scalars.tensor("a", [8, 3]).tensor("b", [5]).build()
    yield arrays.tensor("a", [1]).build()

    words = [f"\u2581token{i}" for i in range(600)]
    vocabulary = G().string("tokenizer.ggml.model", "llama").strings("tokenizer.ggml.tokens", words)
    vocabulary.array("tokenizer.ggml.scores", 6, 600, bytes(2400))
    yield vocabulary.u32("tokenizer.ggml.bos_token_id", 1).build()

    sizes = {1: (1, 2), 2: (32, 18), 8: (32, 34), 12: (256, 144), 14: (256, 210), 40: (64, 36)}
    quantised = G(alignment=64).u32("general.alignment", 64)
    for kind, (weights, n_bytes) in sizes.items():
        quantised.tensor(f"blk.{kind}.w", [2 * weights, 3, 2], kind, bytes(12 * n_bytes))
    yield quantised.build()

    layers = (
        G(version=2).u32("llama.block_count", 40).string("tokenizer.chat_template", "{{x}}" * 99)
    )
    for i in range(40):
        layers.tensor(f"blk.{i}.attn_norm.weight", [16]).tensor(f"blk.{i}.attn_q.weight", [16, 8])
    yield layers.build()

    plain = G().u32("split.count", 1).u32("split.no", 0).u32("general.alignment", 32)
    for kind, size in {24: 1, 25: 2, 26: 4, 27: 8, 28: 8}.items():
        plain.tensor(f"table.{kind}", [3, 2], kind, bytes(6 * size))
    yield plain.build()


EXTREMES = [0, 1, 0x7F, 0xFF, 1 << 15, 1 << 31, (1 << 32) - 1, 1 << 40, 1 << 61, (1 << 63) - 1]
EXTREMES += [1 << 63, (1 << 64) - 32, (1 << 64) - 1]


def mutated(content: bytes, n_head: int, rng: random.Random) -> bytes:
    """`content` with one to three of: flipped bits, extreme numbers, cuts, insertions, swaps."""
    raw = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        end = max(1, min(len(raw), n_head if rng.random() < 0.9 else len(raw)))
        at = rng.randrange(end)
        match rng.randrange(7):
            case 0 | 1:
                if raw:
                    raw[at] ^= 1 << rng.randrange(8)
            case 2:
                raw[at : at + 8] = struct.pack("<Q", rng.choice(EXTREMES))
            case 3:
                raw[at : at + 4] = struct.pack("<I", rng.choice(EXTREMES) & 0xFFFFFFFF)
            case 4:
                del raw[at:]
            case 5:
                raw[at:at] = rng.randbytes(rng.choice((1, 4, 8, 40)))
            case _:
                n, to = rng.choice((1, 4, 8, 30)), rng.randrange(end)
                raw[at : at + n], raw[to : to + n] = raw[to : to + n], raw[at : at + n]
    return bytes(raw)


def use(checkpoint: gguf.Checkpoint) -> None:
    """Touch all that a reader of an accepted file would touch."""
    for value in checkpoint.metadata.values():
        if isinstance(value, StringArray):
            assert len(value.tolist()) == len(value)
        elif isinstance(value, np.ndarray):
            value.sum()
    size = checkpoint.files[0].size
    for tensor in checkpoint.tensors.values():
        assert tensor.data.shape == (tensor.n_rows, tensor.format.row_bytes(tensor.width))
        assert 0 < tensor.offset <= tensor.offset + tensor.nbytes <= size
        assert int(tensor.data[-1, -1]) >= 0
    for array in checkpoint.arrays.values():
        array.reshape(-1)[-1].item()


N_MUTATIONS = 20_000


def test_mutations_are_accepted_or_refused(tmp_path: Path, gguf_bytes: type[Builder]) -> None:
    resource = pytest.importorskip("resource")
    files = list(sources(gguf_bytes))
    assert len(files) >= 6 and max(map(len, files)) <= 60_000
    heads = []
    for content in files:
        (tmp_path / "model.gguf").write_bytes(content)
        with gguf.read(tmp_path / "model.gguf") as good:
            use(good)
            first = [t.offset for t in good.tensors.values()]
            heads.append(min([*first, len(content)]))

    rng = random.Random(20_000)
    before_kb, slowest_s = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0.0
    accepted = 0
    for i in range(N_MUTATIONS):
        which = i % len(files)
        content = mutated(files[which], heads[which], rng)
        path = tmp_path / f"{i}.gguf"
        path.write_bytes(content)
        started = time.process_time()
        try:
            with gguf.read(path) as checkpoint:
                use(checkpoint)
                accepted += 1
        except BadFile as error:
            text = str(error)
            assert re.match(rf"{re.escape(str(path))}: \S.*: \S", text) and text.isprintable(), text
            assert " at byte " in text or ": is missing, wanted " in text, text
        except BaseException as error:
            (kept := tmp_path / "failing.gguf").write_bytes(content)
            raise AssertionError(f"mutation {i} ({kept}): {error!r}") from error
        slowest_s = max(slowest_s, time.process_time() - started)
        path.unlink()  # writing over it would wait for the disk
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1024
    assert slowest_s < 2 and grown_mb < 200
    # The mutations neither miss all that is checked nor kill every file.
    assert N_MUTATIONS / 50 < accepted < N_MUTATIONS / 2


def test_a_cut_file_says_how_much_is_missing(tmp_path: Path, gguf_bytes: type[Builder]) -> None:
    file = gguf_bytes().u32("a", 1).strings("s", ["x", "yz"]).array("n", 5, 3, bytes(12))
    file.string("text", "words").key("b", 7, b"\1").tensor("t", [64, 50]).tensor("u", [64, 20])
    content, n_head = file.build(), len(file.head())
    for n in [*range(n_head + 64), *range(n_head + 64, len(content), 1024), len(content) - 1]:
        text = message(tmp_path, content[:n])
        if n >= n_head:
            missing = len(content) - n
            assert re.search(rf" need {len(content)}: {missing} bytes? (is|are) missing;", text), n
        elif n:
            found = re.search(r"[:;] at least (\d+) bytes? (is|are) missing$", text)
            assert found and 1 <= int(found[1]) <= len(content) - n, (n, text)


def test_cuts_of_a_real_model(tmp_path: Path, shared: Path) -> None:
    content = (shared / "models" / "stories260K-f32.gguf").read_bytes()
    with gguf.read(shared / "models" / "stories260K-f32.gguf") as good:
        ends = [t.offset + t.nbytes for t in good.tensors.values()]
    for n in [*range(1, min(ends), 1024), *(end - 1 for end in ends)]:
        text = message(tmp_path, content[:n])
        assert re.search(r"\d+ bytes? (is|are) missing", text), (n, text)
        if n > min(ends):
            assert f" {max(ends) - n} byte" in text
