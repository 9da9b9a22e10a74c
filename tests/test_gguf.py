"""Good GGUF files, read and written: values, tensors, parts, typed reads, and held memory."""

from __future__ import annotations

import gc
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import vatra.quant
from vatra.errors import BadFile, IOFailed, MissingFile, UsageError
from vatra.formats import gguf
from vatra.formats.checkpoint import StringArray

Builder = Any  # tests/conftest.py's GgufBytes, which builds the files

# Value type, its struct letter, a value, its name.
SCALARS = [
    (0, "B", 200, "u8"),
    (1, "b", -100, "i8"),
    (2, "H", 60_000, "u16"),
    (3, "h", -30_000, "i16"),
    (4, "I", 4_000_000_000, "u32"),
    (5, "i", -2_000_000_000, "i32"),
    (6, "f", 0.5, "f32"),
    (7, "?", True, "bool"),
    (10, "Q", (1 << 64) - 1, "u64"),
    (11, "q", -(1 << 63), "i64"),
    (12, "d", 0.1, "f64"),
]


def save(path: Path, builder: Builder) -> Path:
    path.write_bytes(builder.build())
    return path


@pytest.fixture
def typical(tmp_path: Path, gguf_bytes: type[Builder]) -> gguf.Checkpoint:
    """A checkpoint with a key of each sort and two tensors."""
    file = gguf_bytes().string("general.architecture", "llama").u32("llama.block_count", 2)
    file.key("eps", 6, struct.pack("<f", 0.25)).key("on", 7, b"\1").strings("words", ["a", "b"])
    file.array("ints", 5, 2, struct.pack("<2i", 3, -4)).array("flags", 7, 2, b"\1\0")
    file.array("floats", 6, 2, struct.pack("<2f", 0.5, 2)).array("none", 4, 0)
    file.tensor("w", [3, 2], data=np.arange(6, dtype="<f4").tobytes())
    return gguf.read(save(tmp_path / "m.gguf", file.tensor("q", [32, 3], 8, bytes(3 * 34))))


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(("kind", "letter", "value", "name"), SCALARS)
def test_every_scalar_and_array_type(
    tmp_path: Path,
    gguf_bytes: type[Builder],
    version: int,
    kind: int,
    letter: str,
    value: float,
    name: str,
) -> None:
    raw = struct.pack(f"<{letter}", value)
    file = gguf_bytes(version).key("one", kind, raw).array("many", kind, 3, raw * 3)
    checkpoint = gguf.read(save(tmp_path / "m.gguf", file))
    assert checkpoint.version == version
    assert type(checkpoint.metadata["one"]) is type(value) and checkpoint.metadata["one"] == value
    many = checkpoint.metadata["many"]
    assert many.tolist() == [value] * 3 and not many.flags.writeable
    assert checkpoint.metadata.kinds == {"one": name, "many": f"[{name}]"}
    raw_file = (tmp_path / "m.gguf").read_bytes()
    assert raw_file[checkpoint.metadata.places["one"] :].startswith(raw)


def test_strings_keep_their_bytes(tmp_path: Path, gguf_bytes: type[Builder]) -> None:
    words = ["", "▁the", b"\xff\xfe", "a\0b", "🜂" * 100, b"\xe2\x96"]
    file = gguf_bytes().string("one", b"ab\xff").strings("many", words)
    metadata = gguf.read(save(tmp_path / "m.gguf", file)).metadata
    many = metadata["many"]
    raw = [w.encode() if isinstance(w, str) else w for w in words]
    assert metadata["one"] == "ab\udcff"
    assert isinstance(many, StringArray) and len(many) == len(words)
    assert [many.bytes(i) for i in range(len(many))] == list(many.iter_bytes()) == raw
    assert many.tolist() == list(many) == [many[i] for i in range(len(many))]
    assert [s.encode("utf-8", "surrogateescape") for s in many] == raw
    assert many[-1] == "\udce2\udc96" and many[1:3] == ["▁the", "\udcff\udcfe"]
    assert "▁the" in many and many.index("a\0b") == 3
    for index in (6, -7):
        with pytest.raises(IndexError):
            many[index]


def test_tensors_lie_over_the_file(typical: gguf.Checkpoint) -> None:
    w, q = typical.tensors["w"], typical.tensors["q"]
    assert w.shape == (2, 3) and w.format is vatra.quant.by_name("f32")
    np.testing.assert_array_equal(w.decode(), [[0, 1, 2], [3, 4, 5]])
    assert q.shape == (3, 32) and q.data.shape == (3, 34) and q.format.name == "q8_0"
    raw = Path(typical.path).read_bytes()
    for tensor in (w, q):
        assert raw[tensor.offset : tensor.offset + tensor.nbytes] == tensor.data.tobytes()
        assert not tensor.data.flags.writeable and not tensor.data.flags.owndata
        assert tensor.path == typical.path
    assert typical.n_parameters == 6 + 96 and typical.n_bytes == len(raw)
    assert typical.bytes_by_format == {"q8_0": 102, "f32": 24}
    assert typical.architecture == "llama"


def test_types_for_other_data_become_arrays(tmp_path: Path, gguf_bytes: type[Builder]) -> None:
    file = gguf_bytes()
    for kind, dtype in {24: "i1", 25: "<i2", 26: "<i4", 27: "<i8", 28: "<f8"}.items():
        file.tensor(f"t{kind}", [3, 2], kind, np.arange(-3, 3).astype(dtype).tobytes())
    checkpoint = gguf.read(save(tmp_path / "m.gguf", file))
    assert not checkpoint.tensors and len(checkpoint.arrays) == 5
    for array in checkpoint.arrays.values():
        np.testing.assert_array_equal(array, np.arange(-3, 3).reshape(2, 3))
        assert not array.flags.writeable
    assert checkpoint.arrays["t26"].dtype == np.int32
    assert checkpoint.bytes_by_format == {"i64": 48, "f64": 48, "i32": 24, "i16": 12, "i8": 6}


@pytest.mark.parametrize("alignment", [8, 16, 64, 4096])
def test_alignment(tmp_path: Path, gguf_bytes: type[Builder], alignment: int) -> None:
    file = gguf_bytes(alignment=alignment).u32("general.alignment", alignment)
    file.tensor("a", [1], data=b"aaaa").tensor("b", [1], data=b"bbbb")
    tensors = gguf.read(save(tmp_path / "m.gguf", file)).tensors
    assert [t.data.tobytes() for t in tensors.values()] == [b"aaaa", b"bbbb"]
    assert all(t.offset % alignment == 0 and t.address % alignment == 0 for t in tensors.values())


def test_more_bytes_than_needed_are_no_harm(tmp_path: Path, gguf_bytes: type[Builder]) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf_bytes().tensor("a", [1], data=b"aaaa").build() + bytes(100))
    assert gguf.read(path).tensors["a"].data.tobytes() == b"aaaa"


def test_the_same_as_the_gguf_package(spark: Path) -> None:
    compare_with_the_gguf_package(spark)


def test_small_models_are_the_same_as_the_gguf_package_reads(shared: Path) -> None:
    paths = [shared / "models" / "stories260K-f32.gguf", *(shared / "golden/archs").glob("*.gguf")]
    for path in paths[:6]:
        compare_with_the_gguf_package(path)


def compare_with_the_gguf_package(path: Path) -> None:
    from gguf import GGUFReader

    peer, ours = GGUFReader(path), gguf.read(path)
    assert list(ours.tensors) == [t.name for t in peer.tensors]
    for tensor in peer.tensors:
        our = ours.tensors[tensor.name]
        assert our.shape == tuple(reversed(tensor.shape.tolist()))
        assert our.format.id == tensor.tensor_type and our.offset == tensor.data_offset
        assert our.data.tobytes() == tensor.data.tobytes()
    for key, value in ours.metadata.items():
        theirs = peer.fields[key].contents()
        mine: Any = value
        if isinstance(value, (StringArray, np.ndarray)):
            mine = value.tolist()
        assert mine == theirs or (mine == [] and not theirs), key


def test_reading_needs_no_other_reader() -> None:
    code = (
        "import sys; from vatra.formats import gguf; "
        "print([m for m in ('gguf', 'numba', 'llvmlite') if m in sys.modules])"
    )
    root = Path(__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert run.stdout == "[]\n", run.stderr


# Typed reads


@pytest.mark.parametrize(
    ("key", "wanted", "expected"),
    [
        ("llama.block_count", int, 2),
        ("llama.block_count", float, 2.0),
        ("eps", float, 0.25),
        ("on", bool, True),
        ("general.architecture", str, "llama"),
        ("words", list, ["a", "b"]),
        ("words", list[str], ["a", "b"]),
        ("ints", list, [3, -4]),
        ("ints", list[int], [3, -4]),
        ("ints", list[float], [3.0, -4.0]),
        ("floats", list[float], [0.5, 2.0]),
        ("flags", list[bool], [True, False]),
        ("none", list[int], []),
    ],
)
def test_typed_reads(
    typical: gguf.Checkpoint, key: str, wanted: type[Any], expected: object
) -> None:
    got = typical.require(key, wanted)
    assert got == expected and type(got) is type(expected)
    if isinstance(got, list) and got:
        assert type(got[0]) is type(expected[0])  # type: ignore[index]
    assert typical.get(key, wanted, None) == expected


@pytest.mark.parametrize(
    ("key", "wanted", "what"),
    [
        (
            "llama.block_count",
            str,
            'kv[1] "llama.block_count" at byte 98: is a u32, wanted a string',
        ),
        ("llama.block_count", bool, "is a u32, wanted a boolean"),
        ("on", int, "is a boolean, wanted an integer"),
        ("on", float, "is a boolean, wanted a number"),
        ("eps", int, "is an f32, wanted an integer"),
        ("general.architecture", int, "is a string, wanted an integer"),
        ("words", str, "is an array of str, wanted a string"),
        ("words", list[int], "is an array of str, wanted an array of integers"),
        ("words", np.ndarray, "is an array of str, wanted an array of numbers"),
        ("ints", int, "is an array of i32, wanted an integer"),
        ("ints", StringArray, "is an array of i32, wanted an array of strings"),
        ("floats", list[int], "is an array of f32, wanted an array of integers"),
        ("flags", list[float], "is an array of bool, wanted an array of numbers"),
        ("eps", list, "is an f32, wanted an array"),
    ],
)
def test_a_wrong_type_is_named(
    typical: gguf.Checkpoint, key: str, wanted: type[Any], what: str
) -> None:
    for default in ("required", None):
        with pytest.raises(BadFile) as caught:
            if default:
                typical.require(key, wanted)
            typical.get(key, wanted, default)
        assert str(caught.value).startswith(f"{typical.path}: kv[")
        assert str(caught.value).endswith(what) and f'"{key}" at byte ' in str(caught.value)


def test_a_missing_key(typical: gguf.Checkpoint) -> None:
    assert typical.get("no.such", int, 7) == 7
    with pytest.raises(BadFile) as caught:
        typical.require("no.such", list[int])
    expected = 'key "no.such": is missing, wanted an array of integers'
    assert str(caught.value) == f"{typical.path}: {expected}"


# Files in parts


def parts(folder: Path, G: type[Builder], n: int = 3, **lies: Any) -> Path:
    """A model in `n` parts of two tensors each; returns the first."""
    for i in range(n):
        file = G().string("general.architecture", "llama") if i == 0 else G()
        file.key("split.no", 2, struct.pack("<H", lies.get(f"no{i}", i)))
        file.key("split.count", 2, struct.pack("<H", lies.get(f"count{i}", n)))
        file.key("split.tensors.count", 5, struct.pack("<i", lies.get("tensors", 2 * n)))
        for j in (2 * i, 2 * i + 1):
            file.tensor(lies.get(f"t{j}", f"t{j}"), [1], data=struct.pack("<f", j))
        save(folder / f"m-{i + 1:05d}-of-{n:05d}.gguf", file)
    return folder / f"m-00001-of-{n:05d}.gguf"


def test_parts_are_read_together(tmp_path: Path, gguf_bytes: type[Builder]) -> None:
    checkpoint = gguf.read(parts(tmp_path, gguf_bytes))
    assert [t.decode()[0] for t in checkpoint.tensors.values()] == list(range(6))
    assert list(checkpoint.tensors) == [f"t{j}" for j in range(6)]
    assert checkpoint.architecture == "llama" and len(checkpoint.files) == 3
    assert checkpoint.tensors["t5"].path.endswith("m-00003-of-00003.gguf")
    assert checkpoint.n_bytes == sum(p.stat().st_size for p in tmp_path.iterdir())


def test_parts_of_the_gguf_package(tmp_path: Path) -> None:
    from gguf import GGUFWriter

    writer = GGUFWriter(tmp_path / "m.gguf", "llama", split_max_tensors=2)
    for i in range(5):
        writer.add_tensor(f"t{i}", np.full((2, 4), i, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    checkpoint = gguf.read(tmp_path / "m-00001-of-00003.gguf")
    assert [t.decode()[0, 0] for t in checkpoint.tensors.values()] == list(range(5))


def test_a_missing_part_is_named(tmp_path: Path, gguf_bytes: type[Builder]) -> None:
    first = parts(tmp_path, gguf_bytes)
    (tmp_path / "m-00002-of-00003.gguf").unlink()
    with pytest.raises(MissingFile) as caught:
        gguf.read(first)
    expected = "is part 1 of 3, and beside it m-00002-of-00003.gguf is missing"
    assert str(caught.value) == f"{first}: {expected}" and caught.value.exit_code == 66
    (tmp_path / "m-00003-of-00003.gguf").unlink()
    with pytest.raises(MissingFile, match="00002-of-00003.gguf, m-00003-of-00003.gguf are missing"):
        gguf.read(first)


def test_a_later_part_names_the_first(tmp_path: Path, gguf_bytes: type[Builder]) -> None:
    first = parts(tmp_path, gguf_bytes)
    with pytest.raises(BadFile) as caught:
        gguf.read(tmp_path / "m-00003-of-00003.gguf")
    assert str(caught.value).endswith(f"this is part 3 of 3; open {first} instead")


@pytest.mark.parametrize(
    ("lies", "what"),
    [
        ({"no1": 2}, '00002-of-00003.gguf: kv[0] "split.no" at byte 44: got 2, wanted 1'),
        ({"count2": 4}, '00003-of-00003.gguf: kv[1] "split.count" at byte 69: got 4, wanted 3'),
        (
            {"tensors": 7},
            '"split.tensors.count" at byte 147: got 7, but the 3 parts hold 6 tensors',
        ),
        ({"t4": "t1"}, '00003-of-00003.gguf: tensor "t1": is in an earlier part too'),
    ],
)
def test_parts_that_do_not_match(
    tmp_path: Path, gguf_bytes: type[Builder], lies: dict[str, Any], what: str
) -> None:
    with pytest.raises(BadFile) as caught:
        gguf.read(parts(tmp_path, gguf_bytes, **lies))
    assert what in str(caught.value)


def test_a_damaged_part_is_named(tmp_path: Path, gguf_bytes: type[Builder]) -> None:
    first = parts(tmp_path, gguf_bytes)
    second = tmp_path / "m-00002-of-00003.gguf"
    second.write_bytes(second.read_bytes()[:-1])
    with pytest.raises(
        BadFile, match=r'00002-of-00003.gguf: tensor\[1\] "t3" .* 1 byte is missing'
    ):
        gguf.read(first)


# Memory and change


def test_tensors_outlive_their_checkpoint(typical: gguf.Checkpoint) -> None:
    w = typical.tensors["w"]
    typical.close()
    del typical
    gc.collect()
    assert w.decode().sum() == 15
    w.release()
    assert w.decode().sum() == 15


def test_closing_gives_the_files_back(tmp_path: Path, gguf_bytes: type[Builder]) -> None:
    path = save(tmp_path / "m.gguf", gguf_bytes().tensor("a", [1]))
    open_before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(20):
        with gguf.read(path) as checkpoint:
            assert checkpoint.tensors
        assert not checkpoint.tensors
        checkpoint.close()
        gguf.read(path)  # and forgotten
    gc.collect()
    if open_before:
        assert len(os.listdir("/proc/self/fd")) == open_before


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps"), reason="needs Linux's /proc")
def test_release_drops_the_pages(tmp_path: Path, gguf_bytes: type[Builder]) -> None:
    n = 8 << 20
    path = save(tmp_path / "big.gguf", gguf_bytes().tensor("a", [n // 4], data=b"\1" * n))

    def resident() -> int:
        """Bytes of the file that this process holds in memory."""
        lines = Path("/proc/self/smaps").read_text().splitlines()
        at = next(i for i, line in enumerate(lines) if line.endswith("big.gguf"))
        return next(int(s.split()[1]) for s in lines[at:] if s.startswith("Rss:")) << 10

    tensor = gguf.read(path).tensors["a"]
    assert int(tensor.data.sum()) == n
    assert resident() >= n
    tensor.release()
    assert resident() <= 1 << 16
    assert int(tensor.data.sum()) == n


def test_a_file_that_changes_is_noticed(tmp_path: Path, gguf_bytes: type[Builder]) -> None:
    path = save(tmp_path / "m.gguf", gguf_bytes().tensor("a", [64]))
    size = path.stat().st_size
    checkpoint = gguf.read(path)
    checkpoint.check_unchanged()
    os.truncate(path, size - 8)
    with pytest.raises(IOFailed, match=f"was cut from {size} to {size - 8} bytes while it was in"):
        checkpoint.check_unchanged()
    os.truncate(path, size)
    os.utime(path, ns=(0, 0))
    with pytest.raises(IOFailed, match="was rewritten") as caught:
        checkpoint.check_unchanged()
    assert caught.value.exit_code == 74


def test_deleting_or_replacing_is_no_harm(tmp_path: Path, gguf_bytes: type[Builder]) -> None:
    path = save(tmp_path / "m.gguf", gguf_bytes().tensor("a", [1], data=b"aaaa"))
    checkpoint = gguf.read(path)
    save(tmp_path / "other", gguf_bytes().tensor("a", [1], data=b"bbbb"))
    os.replace(tmp_path / "other", path)
    checkpoint.check_unchanged()
    path.unlink()
    checkpoint.check_unchanged()
    assert checkpoint.tensors["a"].data.tobytes() == b"aaaa"


# Writing

names = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=15
)
floats32 = st.floats(width=32, allow_nan=False)
scalars = st.one_of(
    st.booleans(),
    st.integers(-(1 << 63), (1 << 64) - 1),
    floats32,
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.sampled_from([np.uint8(3), np.int8(-3), np.uint16(9), np.int16(-9), np.int64(5)]),
    st.floats(allow_nan=False).map(np.float64),
)
lists = st.one_of(
    st.lists(st.booleans(), max_size=5),
    st.lists(st.integers(-(1 << 63), (1 << 63) - 1), max_size=5),
    st.lists(floats32, max_size=5),
    st.lists(st.text(st.characters(codec="utf-8"), max_size=9), max_size=5),
    st.lists(st.binary(max_size=9), max_size=5),
    npst.arrays(
        st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"]), st.integers(0, 5)
    ),
)
arrays = st.builds(
    lambda dtype, shape: np.arange(np.prod(shape)).astype(dtype).reshape(shape),
    st.sampled_from(["f4", "f2", "f8", "i1", "i2", "i4", "i8"]),
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
)


def plain(value: Any) -> Any:
    """A value as Python's own, strings as bytes."""
    if isinstance(value, StringArray):
        return list(value.iter_bytes())
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    return [plain(v) for v in value] if isinstance(value, list) else value


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    metadata=st.dictionaries(names.map("x.".__add__), scalars | lists, max_size=8),
    tensors=st.dictionaries(names, arrays, max_size=5),
    alignment=st.sampled_from([None, 8, 64]),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    metadata: dict[str, Any],
    tensors: dict[str, np.ndarray],
    alignment: int | None,
) -> None:
    folder = tmp_path_factory.mktemp("written")
    if alignment:
        metadata = {**metadata, "general.alignment": alignment}
    gguf.write(folder / "a.gguf", metadata, tensors, architecture="llama")
    once = gguf.read(folder / "a.gguf")
    assert once.architecture == "llama"
    for key, value in metadata.items():
        assert plain(once.metadata[key]) == plain(value), key
        assert isinstance(once.metadata[key], bool) == isinstance(value, bool)
    for name, array in tensors.items():
        got = once.tensors[name].data if name in once.tensors else once.arrays[name]
        assert got.tobytes() == array.tobytes()
        shape = once.tensors[name].shape if name in once.tensors else got.shape
        assert shape == array.shape

    # What was read is written again: the same types, the same bytes.
    gguf.write(folder / "b.gguf", once.metadata, {**once.tensors, **once.arrays})
    twice = gguf.read(folder / "b.gguf")
    assert twice.metadata.kinds == once.metadata.kinds
    gguf.write(folder / "c.gguf", twice.metadata, {**twice.tensors, **twice.arrays})
    assert (folder / "b.gguf").read_bytes() == (folder / "c.gguf").read_bytes()
    assert not [name for name in os.listdir(folder) if name.endswith(".tmp")]


@pytest.mark.parametrize("name", vatra.quant.FORMATS)
def test_every_format_is_written(tmp_path: Path, name: str) -> None:
    row = vatra.quant.by_name(name)
    data = np.arange(6 * row.row_bytes(2 * row.block), dtype=np.uint8).reshape(6, -1)
    tensor = vatra.quant.QTensor("t", row, (2, 3, 2 * row.block), data)
    gguf.write(tmp_path / "m.gguf", {}, {"t": tensor})
    got = gguf.read(tmp_path / "m.gguf").tensors["t"]
    assert got.format is row and got.shape == tensor.shape
    np.testing.assert_array_equal(got.data, data)


def test_a_real_model_survives(tmp_path: Path, spark: Path) -> None:
    original = gguf.read(spark)
    gguf.write(tmp_path / "m.gguf", original.metadata, original.tensors)
    copy = gguf.read(tmp_path / "m.gguf")
    assert copy.metadata.kinds == original.metadata.kinds
    assert list(copy.tensors) == list(original.tensors)
    for name, tensor in original.tensors.items():
        assert np.array_equal(copy.tensors[name].data, tensor.data)


def test_parts_become_one_file(tmp_path: Path, gguf_bytes: type[Builder]) -> None:
    together = gguf.read(parts(tmp_path, gguf_bytes))
    gguf.write(tmp_path / "one.gguf", together.metadata, together.tensors)
    one = gguf.read(tmp_path / "one.gguf")
    assert list(one.tensors) == list(together.tensors) and len(one.files) == 1
    assert list(one.metadata) == ["general.architecture"]


@pytest.mark.parametrize(
    "value",
    [None, {}, [[1]], [1, "a"], 1 << 64, [1 << 64], [-1, 1 << 63], 1j, [None], np.zeros((2, 2))],
)
def test_what_gguf_cannot_hold(tmp_path: Path, value: object) -> None:
    with pytest.raises(UsageError, match=r'key "some.key": GGUF cannot hold'):
        gguf.write(tmp_path / "m.gguf", {"some.key": value}, {})
    assert not os.listdir(tmp_path)


def test_nothing_is_written_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"before")
    with pytest.raises(UsageError, match=r"not written: tensor\[0\]: name length 64 is over"):
        gguf.write(tmp_path / "m.gguf", {}, {"n" * 64: np.zeros(3, np.float32)})
    with pytest.raises(UsageError, match='tensor "t": GGUF has no type for complex128'):
        gguf.write(tmp_path / "m.gguf", {}, {"t": np.zeros(3, complex)})
    assert os.listdir(tmp_path) == ["m.gguf"]
    assert (tmp_path / "m.gguf").read_bytes() == b"before"
