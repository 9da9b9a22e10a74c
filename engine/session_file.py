"""A session as a file: what was read, and the memory of it, for the same model to go on from.

    magic (8 bytes)  version u32  bytes of the head u32  bytes of the rest u64
    head: JSON, see `_head`
    BLAKE2b of all so far (32 bytes)
    the rest: tokens i32, logits f32, memories f32, keys and values as the executor keeps them
    BLAKE2b of all so far (32 bytes)

Numbers are little-endian. Of the keys and values only those of the tokens that were read are kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from vatra.engine.executor import BROKEN, MOST_MARKS, State
from vatra.errors import BadFile, IOFailed, UnsupportedFile, UsageError, printable
from vatra.formats.atomic import atomic_write
from vatra.formats.mapped import open_regular

if TYPE_CHECKING:
    from vatra.engine.model import Model

Array = np.ndarray

MAGIC, VERSION = b"\x89vatra\r\n", 1  # a transfer as text would change it
MOST_HEAD_BYTES = 64 << 20
_PREFIX = struct.Struct("<8sIIQ")
_DIGEST = 32  # bytes


@dataclass
class Timeline:
    """What a session has read, with all it takes to go on from there."""

    ids: list[int]
    chosen: int | None  # the token after them, if it is chosen and not yet evaluated
    logits: Array | None  # (n_vocab,) after the last of `ids`, if they are there
    prompt: tuple[int, Array] | None  # tokens of the last prompt, and the logits after it
    state: State


class Head(NamedTuple):
    """What is told of a session without reading all of its file."""

    fields: dict[str, Any]
    n_bytes: int  # of the file

    @property
    def extra(self) -> dict[str, Any]:
        """What was handed to `save`."""
        return dict(self.fields["extra"])

    @property
    def n_tokens(self) -> int:
        return int(self.fields["n_ids"]) + (self.fields["chosen"] is not None)


def save(
    path: str | os.PathLike[str],
    model: Model,
    timeline: Timeline,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write `path`, which holds what it held before if that fails; raises as `atomic_write`.

    `extra` is what JSON can hold. UsageError for what it cannot, or for more than 64 MiB of it.
    """
    parts = list(_parts(timeline))
    try:
        head = json.dumps(_head(model, timeline, dict(extra or {}))).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"extra: JSON cannot hold it: {error}") from None
    if len(head) > MOST_HEAD_BYTES:
        raise UsageError(f"extra: {len(head)} bytes, the limit is {MOST_HEAD_BYTES}")
    digest = hashlib.blake2b(digest_size=_DIGEST)
    with atomic_write(path, mode=0o600) as file:

        def put(content: bytes | memoryview) -> None:
            digest.update(content)
            file.write(content)

        put(_PREFIX.pack(MAGIC, VERSION, len(head), sum(part.nbytes for part in parts)))
        put(head)
        put(digest.digest())
        for part in parts:
            put(_bytes(part))
        file.write(digest.digest())


def read_head(path: str | os.PathLike[str]) -> Head:
    """What a file tells of its session; of the rest nothing is checked but its size.

    Raises MissingFile, BadFile naming the byte, UnsupportedFile for a version that is not known.
    """
    with _Reader(path) as reader:
        return reader.head


def load(path: str | os.PathLike[str], model: Model, n_ctx: int) -> tuple[Timeline, dict[str, Any]]:
    """A session of `n_ctx` tokens for `model` as it was saved, and `extra`.

    For a moment it is there beside the one that it will replace. Raises as `read_head`, BadFile
    for damage wherever it is, UsageError that says what differs if the file is of another model or
    setting, OutOfMemory.
    """
    with _Reader(path) as reader:
        fields = reader.head.fields
        if difference := _difference(fields, _setting(model, n_ctx)):
            raise UsageError(f"{printable(reader.path)}: {difference}")
        checked = _Checked(reader.path, fields)
        ids = np.zeros(checked.number("n_ids", 0, n_ctx), np.int32)
        timeline = _allocate(checked, model, n_ctx, len(ids))
        parts = [ids, *list(_parts(timeline))[1:]]
        needed = sum(part.nbytes for part in parts)
        if needed != reader.n_rest:
            what = f"{reader.n_rest} bytes of memory, wanted {needed} for {len(ids)} tokens"
            raise BadFile(reader.path, what, field="rest")
        for part in parts:
            reader.fill(_bytes(part))
        reader.end()
        timeline.state.keep(parts[len(parts) - len(timeline.state.parts(len(ids))) :])
    n_vocab = model.plan.n_vocab
    wrong = (ids < 0) | (ids >= n_vocab)
    if wrong.any():
        at = int(wrong.argmax())
        raise BadFile(reader.path, f"got {ids[at]}, wanted 0 to {n_vocab - 1}", field=f"ids[{at}]")
    for found in (timeline.logits, timeline.prompt and timeline.prompt[1]):
        if found is not None and not np.isfinite(found).all():
            raise BadFile(reader.path, "not finite", field="logits")
    timeline.ids = ids.tolist()
    return timeline, reader.head.extra


def why_not(path: str | os.PathLike[str], model: Model, n_ctx: int) -> str:
    """What differs between the session in a file and those of `model`, "" if nothing does."""
    return _difference(read_head(path).fields, _setting(model, n_ctx))


def _setting(model: Model, n_ctx: int) -> dict[str, Any]:
    """All that a memory depends on."""
    state = model.executor.state_class
    return {
        "model": {
            "architecture": model.plan.architecture,
            "bytes": sum(file.size for file in model.checkpoint.files),
            "fingerprint": model.fingerprint,
        },
        "n_ctx": n_ctx,
        "model_n_ctx": model.n_ctx,  # some rotations depend on it
        "kv": model.kv,
        "layout": state.LAYOUT,
        "byte_order": sys.byteorder,
    }


_NAMES = {
    "n_ctx": "a context of {} tokens",
    "model_n_ctx": "a model loaded with a context of {} tokens",
    "kv": "a KV cache of {}",
    "layout": "a memory laid out as {!r}",
    "byte_order": "a {}-endian machine",
}


def _difference(fields: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """In a sentence, what a file is of and these settings are not; "" if all are the same."""
    for name, value in wanted["model"].items():
        found = fields["model"].get(name)
        if found != value:
            of = f"{name} {shown(found)}, this model has {value}"
            return f"the session of another model ({shown(fields['model'].get('name'))}): {of}"
    for name, text in _NAMES.items():
        if fields.get(name) != wanted[name]:
            found = text.format(shown(fields.get(name)))
            return f"the session needs {found}, and this is {wanted[name]}"
    return ""


def shown(value: Any) -> str:
    """Something out of a file, short and harmless."""
    return printable(str(value))[:80]


def _head(model: Model, timeline: Timeline, extra: dict[str, Any]) -> dict[str, Any]:
    marks, passing = timeline.state.marks
    setting = _setting(model, timeline.state.n_ctx)
    name = model.metadata.get("general.name")
    setting["model"] |= {"name": str(name or os.path.basename(model.path)), "path": model.path}
    return setting | {
        "n_ids": len(timeline.ids),
        "chosen": timeline.chosen,
        "has_logits": timeline.logits is not None,
        "prompt": None if timeline.prompt is None else timeline.prompt[0],
        "length": timeline.state.length,
        "reached": timeline.state.reached,
        "marks": sorted(marks),
        "passing": sorted(passing),
        "arrays": _arrays(timeline.state),
        "extra": extra,
    }


def _arrays(state: State) -> list[list[Any]]:
    """Type and shape of a page of all keys and values, and of the memories; positions kept."""
    arrays = [*(a[0] for a in (*state.keys, *state.values)), *state.memories]
    return [state.capacities, *([a.dtype.str, *a.shape] for a in arrays)]


def _parts(timeline: Timeline) -> Iterator[Array]:
    """All arrays of a file, in its order."""
    yield np.asarray(timeline.ids, np.int32)
    if timeline.logits is not None:
        yield timeline.logits
    if timeline.prompt is not None:
        yield timeline.prompt[1]
    for marks in timeline.state.marks:
        for _, memories in sorted(marks.items()):
            yield from memories
    yield from timeline.state.parts(len(timeline.ids))


def _bytes(part: Array) -> memoryview:
    """The bytes of a contiguous array, to be read and written."""
    return part.reshape(-1).view(np.uint8).data


def _allocate(checked: _Checked, model: Model, n_ctx: int, n_ids: int) -> Timeline:
    """A timeline with room for what a file holds; no size of it comes out of the file."""
    n_vocab = model.plan.n_vocab
    chosen = checked.number_or_none("chosen", n_vocab - 1)
    prompt = checked.number_or_none("prompt", n_ids)
    state = model.executor.new_state(n_ctx, model.kv)
    if checked.fields.get("arrays") != _arrays(state):
        raise UsageError(f"{printable(checked.path)}: the session's memory is of another shape")
    state.length = checked.number("length", BROKEN, n_ctx)
    state.reached = checked.number("reached", 0, n_ctx)
    marks, passing = (
        {at: [np.empty_like(m) for m in state.memories] for at in checked.places(name, most, n_ctx)}
        for name, most in (("marks", MOST_MARKS), ("passing", 1))
    )
    state.marks = marks, passing

    def logits() -> Array:
        return np.empty(n_vocab, np.float32)

    return Timeline(
        [0] * n_ids,
        chosen,
        logits() if checked.fields.get("has_logits") is True else None,
        None if prompt is None else (prompt, logits()),
        state,
    )


@dataclass(frozen=True)
class _Checked:
    """The fields of a head, proven to be what they should be."""

    path: str
    fields: Mapping[str, Any]

    def number(self, name: str, least: int, most: int) -> int:
        """An integer field; BadFile if it is none from `least` to `most`."""
        value = self.fields.get(name)
        if type(value) is not int or not least <= value <= most:
            what = f"got {shown(value)}, wanted an integer from {least} to {most}"
            raise BadFile(self.path, what, field=name)
        return value

    def number_or_none(self, name: str, most: int) -> int | None:
        """An integer field from 0, or null."""
        return None if self.fields.get(name) is None else self.number(name, 0, most)

    def places(self, name: str, most: int, n_ctx: int) -> list[int]:
        """A field of up to `most` positions in rising order."""
        value = self.fields.get(name)
        if not (
            isinstance(value, list)
            and len(value) <= most
            and all(type(at) is int and 0 <= at <= n_ctx for at in value)
            and value == sorted(set(value))
        ):
            raise BadFile(self.path, f"got {shown(value)}, wanted positions", field=name)
        return value


class _Reader:
    """A session's file, open, its head read and proven; nothing is allocated that is not there."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fsdecode(path)
        self._digest = hashlib.blake2b(digest_size=_DIGEST)
        self._file: BinaryIO = os.fdopen(open_regular(self.path), "rb")
        try:
            self.head = self._read_head(os.fstat(self._file.fileno()).st_size)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _read_head(self, size: int) -> Head:
        if size < _PREFIX.size + 2 * _DIGEST:
            raise BadFile(self.path, f"a session cannot have {size} bytes; was it cut?")
        prefix = self._read(_PREFIX.size)
        magic, version, n_head, self.n_rest = _PREFIX.unpack(prefix)
        if magic != MAGIC:
            raise BadFile(self.path, f"got {magic!r}, wanted {MAGIC!r}", field="magic", byte=0)
        if version != VERSION:
            what = f"got {version}, this program knows {VERSION} alone"
            raise UnsupportedFile(self.path, what, field="version", byte=8)
        wanted = _PREFIX.size + n_head + self.n_rest + 2 * _DIGEST
        if n_head > MOST_HEAD_BYTES or wanted != size:
            raise BadFile(self.path, f"{size} bytes, wanted {wanted}; was it cut?", field="size")
        text = self._read(n_head)
        self._check("head")
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadFile(self.path, f"not JSON: {error}", field="head") from None
        for name in ("model", "extra"):
            if not isinstance(fields, dict) or not isinstance(fields.get(name), dict):
                raise BadFile(self.path, "wanted an object", field=name)
        _Checked(self.path, fields).number("n_ids", 0, 2**31 - 1)
        return Head(fields, size)

    def _read(self, n_bytes: int) -> bytes:
        try:
            content = self._file.read(n_bytes)
        except OSError as error:
            raise self._failed(error) from error
        if len(content) < n_bytes:
            raise BadFile(self.path, "the file was cut while it was read")
        self._digest.update(content)
        return content

    def fill(self, part: memoryview) -> None:
        """Read as many bytes as `part` has."""
        try:
            n_bytes = self._file.readinto(part)  # type: ignore[attr-defined]
        except OSError as error:
            raise self._failed(error) from error
        if n_bytes < len(part):
            raise BadFile(self.path, "the file was cut while it was read")
        self._digest.update(part)

    def end(self) -> None:
        """Prove what was read since the head."""
        self._check("rest")

    def _check(self, field: str) -> None:
        wanted = self._digest.digest()
        if self._read(_DIGEST) != wanted:
            raise BadFile(self.path, "damaged: its checksum is not that of its bytes", field=field)

    def _failed(self, error: OSError) -> IOFailed:
        return IOFailed(f"{printable(self.path)}: not read: {error.strerror or error}")
