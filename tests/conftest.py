"""Fixtures every test may use."""

from __future__ import annotations

import os
import shutil
import signal
import struct
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path

import platformdirs
import pytest

import vatra
import vatra.spark
from vatra.engine import jit

_SHARED = Path(__file__).resolve().parents[1].parent / "shared"

# A shell starts what it puts into the background deaf to interrupts, and so its children.
signal.signal(signal.SIGINT, signal.default_int_handler)

# All tests share machine code, also those whose home is a temporary folder.
os.environ.setdefault("VATRA_CACHE", str(platformdirs.user_cache_path("vatra", appauthor=False)))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of expected values beside the checkout; its tests are skipped where it is not."""
    if not (_SHARED / "golden").is_dir():
        pytest.skip("needs the folder of expected values beside the checkout (../shared)")
    return _SHARED


@pytest.fixture(scope="session")
def spark() -> Path:
    """The file of the small real model that comes with the project."""
    return vatra.spark.path()


@pytest.fixture
def nearly_cold(tmp_path: Path) -> Callable[[Path], Path]:
    """Makes a VATRA_CACHE that has most, but not all of the kernels that a model needs."""

    def make(model: Path) -> Path:
        vatra.load(model).close()
        kept = jit.cache_folder()[0]
        assert kept is not None
        folder = tmp_path / "nearly-cold" / "kernels" / kept.name
        shutil.copytree(kept, folder)
        for missing in ("loop-.kernel", "elementwise-add.kernel"):
            (folder / missing).unlink()
        return tmp_path / "nearly-cold"

    return make


class GgufBytes:
    """Builds a GGUF byte by byte, so that any field of it can lie."""

    def __init__(self, version: int = 3, alignment: int = 32) -> None:
        self.version, self.alignment = version, alignment
        self.keys: list[bytes] = []
        self.records: list[bytes] = []
        self.data: list[bytes] = []  # of each tensor
        self.n_keys: int | None = None  # what the header says, if not the truth
        self.n_tensors: int | None = None

    @staticmethod
    def text(text: str | bytes, length: int | None = None) -> bytes:
        raw = text.encode() if isinstance(text, str) else text
        return struct.pack("<Q", len(raw) if length is None else length) + raw

    def key(self, name: str | bytes, kind: int, value: bytes = b"") -> GgufBytes:
        self.keys.append(self.text(name) + struct.pack("<I", kind) + value)
        return self

    def u32(self, name: str, value: int) -> GgufBytes:
        return self.key(name, 4, struct.pack("<I", value))

    def string(self, name: str, value: str | bytes) -> GgufBytes:
        return self.key(name, 8, self.text(value))

    def array(self, name: str, kind: int, n: int, values: bytes = b"") -> GgufBytes:
        return self.key(name, 9, struct.pack("<IQ", kind, n) + values)

    def strings(self, name: str, values: Sequence[str | bytes]) -> GgufBytes:
        return self.array(name, 8, len(values), b"".join(self.text(v) for v in values))

    def tensor(
        self,
        name: str | bytes,
        dimensions: Sequence[int],
        kind: int = 0,
        data: bytes | None = None,
        offset: int | None = None,
    ) -> GgufBytes:
        """`dimensions` innermost first; data of an F32 tensor unless given; the right offset."""
        content = bytes(4 * prod(dimensions)) if data is None else data
        if offset is None:
            offset = sum(len(self.padded(d)) for d in self.data)
        self.records.append(
            self.text(name)
            + struct.pack(f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, kind, offset)
        )
        self.data.append(content)
        return self

    def raw(self, record: bytes) -> GgufBytes:
        """A tensor's record as it is."""
        self.records.append(record)
        return self

    def padded(self, content: bytes) -> bytes:
        return content + bytes(-len(content) % self.alignment)

    def head(self) -> bytes:
        n_keys = len(self.keys) if self.n_keys is None else self.n_keys
        n_tensors = len(self.records) if self.n_tensors is None else self.n_tensors
        counts = struct.pack("<IQQ", self.version, n_tensors, n_keys)
        return b"GGUF" + counts + b"".join(self.keys) + b"".join(self.records)

    def build(self) -> bytes:
        if not self.data:
            return self.head()
        body = b"".join(self.padded(d) for d in self.data[:-1]) + self.data[-1]
        return self.padded(self.head()) + body


@pytest.fixture(scope="session")
def gguf_bytes() -> type[GgufBytes]:
    """The builder of GGUF files, right ones and wrong ones."""
    return GgufBytes
