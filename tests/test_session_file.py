"""A session on disk: it goes on as if it had never left, and damage changes nothing."""

from __future__ import annotations

import errno
import os
import random
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

import vatra
from vatra.engine import session_file
from vatra.engine.speculation import Speculation
from vatra.errors import BadFile, IOFailed, MissingFile, UnsupportedFile, UsageError

TEXT = "Once upon a time there was a little girl who had a red ball."


GREEDY = vatra.Sampling(temperature=0)


def following(session: vatra.Session, n: int = 12, sampling: vatra.Sampling = GREEDY) -> list[int]:
    return [step.token for step in session.generate(sampling, n)]


@pytest.fixture(scope="module")
def model(spark: Path) -> Iterator[vatra.Model]:
    with vatra.load(spark, ctx=256) as loaded:
        yield loaded


@pytest.fixture
def session(model: vatra.Model) -> vatra.Session:
    session = model.session()
    session.sync(model.tokenizer.encode(TEXT))
    following(session, 6)
    return session


@pytest.fixture
def saved(session: vatra.Session, tmp_path: Path) -> Path:
    path = tmp_path / "talk.vatra"
    session.save(path, {"a": [1, "ü", None]})
    return path


def sealed(data: bytes, change: object) -> bytes:
    """The file with another head and right checksums, as someone hostile would write it."""
    import hashlib
    import json

    n_head = struct.unpack_from("<I", data, 12)[0]
    fields = json.loads(data[24 : 24 + n_head])
    rest = data[24 + n_head + 32 : -32]
    rest = change(fields, rest) or rest  # type: ignore[operator]
    head = json.dumps(fields).encode()
    content = data[:12] + struct.pack("<IQ", len(head), len(rest)) + head
    content += hashlib.blake2b(content, digest_size=32).digest() + rest
    return content + hashlib.blake2b(content, digest_size=32).digest()


@pytest.mark.parametrize("sampling", [GREEDY, vatra.Sampling(temperature=1.0, seed=7)])
def test_the_same_tokens_follow(
    model: vatra.Model, session: vatra.Session, saved: Path, sampling: vatra.Sampling
) -> None:
    other = model.session()
    assert other.load(saved) == {"a": [1, "ü", None]}
    assert (other.ids, other.timeline) == (session.ids, session.timeline)
    longer = [*session.timeline, *model.tokenizer.encode(TEXT, bos=False)]
    assert following(other, sampling=sampling) == following(session, sampling=sampling)
    assert other.sync(longer).reused_tokens == session.sync(longer).reused_tokens > 0
    np.testing.assert_array_equal(other.logits, session.logits)
    assert saved.stat().st_mode & 0o777 == 0o600


def test_only_what_was_read_takes_room(model: vatra.Model, saved: Path) -> None:
    assert saved.stat().st_size < model.session().state.nbytes / 2


# One whose attention has windows, one with memories, one with both keys and memories.
@pytest.mark.parametrize("name", ["gemma3-dense", "mamba2-dense", "qwen35-dense"])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_all_kinds_of_memory(shared: Path, tmp_path: Path, name: str, backend: str) -> None:
    path = shared / "golden" / "archs" / f"{name}.gguf"
    golden = np.load(path.with_suffix(".npz"))["tokens"].tolist()
    text = (golden * 3)[:40]
    with vatra.load(path, backend, ctx=64) as model:
        session, other = model.session(), model.session()
        session.sync(text)
        steps = session.generate(vatra.Sampling(temperature=0), 8)
        next(steps), next(steps)
        session.save(tmp_path / "s")
        other.sync(text[::-1])
        other.load(tmp_path / "s")
        np.testing.assert_array_equal(other.logits, session.logits)
        assert following(other, 8) == following(session, 8)
        # back to the end of the prompt, which its mark and its logits make free
        assert other.sync(text).reused_tokens == session.sync(text).reused_tokens == 40
        assert following(other, 4) == following(session, 4)


class HalfRight:
    """Knows how a text goes on, but is wrong every third time."""

    def __init__(self, text: Sequence[int]) -> None:
        self.text = list(text)

    def propose(self, timeline: np.ndarray, n: int) -> list[int]:
        first = len(timeline)
        return [t if i % 3 else 1 for i, t in enumerate(self.text[first : first + n], first)]


def test_in_the_midst_of_proposals(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Speculation, "best", lambda *_, **__: 4)
    path = shared / "golden" / "archs" / "qwen35-dense.gguf"
    golden = np.load(path.with_suffix(".npz"))["tokens"].tolist()
    with vatra.load(path, ctx=128) as model:
        session, other = model.session(), model.session()
        session.sync((golden * 4)[:40])
        guesses = HalfRight([*session.ids, *following(session, 20)])
        accepted = 0
        for n_tokens in range(1, 12):
            session.sync((golden * 4)[:40])
            steps = session.generate(GREEDY, n_tokens, speculate=guesses)
            assert len(list(steps)) == n_tokens
            accepted += steps.statistics.accepted_tokens
            session.save(tmp_path / "s")
            other.load(tmp_path / "s")
            assert other.timeline == session.timeline
            assert following(other, 8) == following(session, 8)
        assert accepted > 0


@pytest.mark.parametrize("kv", ["f32", "q8_0", "q4_0"])
def test_all_kinds_of_caches(spark: Path, tmp_path: Path, kv: vatra.engine.executor.KVType) -> None:
    with vatra.load(spark, ctx=128, kv=kv) as model:
        session, other = model.session(), model.session()
        session.sync(model.tokenizer.encode(TEXT))
        session.save(tmp_path / "s")
        other.load(tmp_path / "s")
        assert following(other) == following(session)


def test_a_ring_that_was_reached_around(shared: Path, tmp_path: Path) -> None:
    path = shared / "golden" / "archs" / "gemma3-dense.gguf"
    golden = np.load(path.with_suffix(".npz"))["tokens"].tolist()
    with vatra.load(path, ctx=2048) as model:
        session, other = model.session(), model.session()
        assert min(session.state.capacities) < 1600
        session.sync((golden * 400)[:1700])
        session.save(tmp_path / "s")
        other.load(tmp_path / "s")
        assert following(other) == following(session)
        assert other.state.reached == session.state.reached > 1700


def test_an_empty_session(model: vatra.Model, tmp_path: Path) -> None:
    model.session().save(tmp_path / "s")
    other = model.session()
    other.sync([1, 2, 3])
    assert other.load(tmp_path / "s") == {} and other.ids == ()
    with pytest.raises(UsageError, match="no text"):
        other.generate()


def test_an_older_answer_can_not_go_on(session: vatra.Session, saved: Path) -> None:
    steps = session.generate(vatra.Sampling(temperature=0), 9)
    next(steps)
    session.load(saved)
    with pytest.raises(UsageError, match="another text"):
        next(steps)


def test_another_setting_is_refused(spark: Path, saved: Path, shared: Path) -> None:
    for wanted, options in (
        ("context of 256 tokens, and this is 128", {"ctx": 128}),
        ("KV cache of f16, and this is q8_0", {"ctx": 256, "kv": "q8_0"}),
        ("laid out as .*, and this is plain", {"ctx": 256, "backend": "reference"}),
    ):
        with vatra.load(spark, **options) as model:  # type: ignore[arg-type]
            session = model.session()
            session.sync([1, 300, 301])
            before = following(session, 16)
            with pytest.raises(UsageError, match=wanted):
                session.load(saved)
            session.sync([1, 300, 301])
            assert following(session, 16) == before
    with (
        vatra.load(shared / "golden" / "archs" / "gemma3-dense.gguf", ctx=256) as model,
        pytest.raises(UsageError, match=r"another model \(.*architecture llama, this"),
    ):
        model.session().load(saved)


def test_other_weights_are_another_model(spark: Path, saved: Path, tmp_path: Path) -> None:
    data = bytearray(spark.read_bytes())
    data[-1] ^= 1
    (tmp_path / "other.gguf").write_bytes(data)
    with (
        vatra.load(tmp_path / "other.gguf", ctx=256) as model,
        pytest.raises(UsageError, match="another model .*fingerprint"),
    ):
        model.session().load(saved)
    (tmp_path / "copy.gguf").write_bytes(spark.read_bytes())
    with vatra.load(tmp_path / "copy.gguf", ctx=256) as model:
        model.session().load(saved)


def test_damage_is_found(session: vatra.Session, saved: Path) -> None:
    data, before = saved.read_bytes(), (session.ids, session.timeline, session.state)
    choose = random.Random(5)
    places = [*range(24), *(choose.randrange(len(data)) for _ in range(180))]
    for at in places:
        broken = bytearray(data)
        broken[at] ^= 1 << choose.randrange(8)
        saved.write_bytes(broken)
        with pytest.raises(BadFile) as caught:
            session.load(saved)
        assert "\n" not in str(caught.value) and str(saved) in str(caught.value)
    lengths = [*range(0, 130, 7), *(choose.randrange(len(data)) for _ in range(60)), len(data) - 1]
    for length in lengths:
        saved.write_bytes(data[:length])
        with pytest.raises(BadFile):
            session.load(saved)
    saved.write_bytes(data + b"\0")
    with pytest.raises(BadFile, match="wanted"):
        session.load(saved)
    assert (session.ids, session.timeline, session.state) == before
    wanted = following(session, 16)
    saved.write_bytes(data)
    session.load(saved)
    assert following(session, 16) == wanted


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("n_ids", 257, BadFile),
        ("n_ids", -1, BadFile),
        ("n_ids", 1 << 62, BadFile),
        ("n_ids", 3, BadFile),
        ("n_ids", "many", BadFile),
        ("n_ids", True, BadFile),
        ("chosen", 1 << 40, BadFile),
        ("chosen", -1, BadFile),
        ("prompt", 9999, BadFile),
        ("has_logits", False, BadFile),
        ("length", -2, BadFile),
        ("length", 1 << 62, BadFile),
        ("reached", 257, BadFile),
        ("reached", None, BadFile),
        ("marks", [1, 2, 3, 4, 5], BadFile),
        ("marks", [-1], BadFile),
        ("marks", {}, BadFile),
        ("passing", [2, 1], BadFile),
        ("arrays", [], UsageError),
        ("n_ctx", 1 << 60, UsageError),
        ("kv", "\x1b[2J", UsageError),
        ("layout", "cpu 0", UsageError),
        ("byte_order", "big", UsageError),
        ("model", {}, UsageError),
        ("model", [], BadFile),
        ("extra", None, BadFile),
    ],
)
def test_lies_with_right_checksums(
    session: vatra.Session, saved: Path, field: str, value: object, error: type[Exception]
) -> None:
    def lie(fields: dict[str, object], _: bytes) -> None:
        fields[field] = value

    timeline, state = session.timeline, session.state
    saved.write_bytes(sealed(saved.read_bytes(), lie))
    with pytest.raises(error) as caught:
        session.load(saved)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500
    assert (session.timeline, session.state) == (timeline, state)


@pytest.mark.parametrize("token", [-1, 1 << 30])
def test_tokens_that_are_none(session: vatra.Session, saved: Path, token: int) -> None:
    def lie(_: object, rest: bytes) -> bytes:
        return rest[:8] + struct.pack("<i", token) + rest[12:]

    saved.write_bytes(sealed(saved.read_bytes(), lie))
    with pytest.raises(BadFile, match=rf"ids\[2\]: got {token}"):
        session.load(saved)


def test_logits_that_are_no_numbers(model: vatra.Model, tmp_path: Path) -> None:
    session, path = model.session(), tmp_path / "s"
    session.sync([1, 300])
    session.save(path)

    def lie(_: object, rest: bytes) -> bytes:
        return rest[:8] + struct.pack("<f", float("nan")) + rest[12:]

    path.write_bytes(sealed(path.read_bytes(), lie))
    with pytest.raises(BadFile, match="logits: not finite"):
        session.load(path)


def test_what_is_no_session(session: vatra.Session, saved: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFile):
        session.load(tmp_path / "none")
    with pytest.raises(MissingFile, match="a folder"):
        session.load(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(MissingFile, match="pipe"):
            session.load(tmp_path / "pipe")
    with pytest.raises(BadFile, match="magic"):
        session.load(vatra.spark.path())
    newer = bytearray(saved.read_bytes())
    newer[8] = 2
    saved.write_bytes(newer)
    with pytest.raises(UnsupportedFile, match="version at byte 8: got 2"):
        session.load(saved)
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for extra in ({"x": object()}, {"x": deep}):
        with pytest.raises(UsageError, match="extra"):
            session.save(saved, extra)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_a_failing_call_leaves_the_old_file(
    session: vatra.Session, saved: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code))

    old = saved.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(IOFailed, match=os.strerror(code)) as caught:
            session.save(saved)
    assert caught.value.exit_code == 74
    assert saved.read_bytes() == old and os.listdir(saved.parent) == [saved.name]
    session.save(saved)
    assert session.load(saved) == {}


@pytest.mark.skipif(os.name == "nt", reason="needs file size limits")
def test_a_disk_that_fills_up_leaves_the_old_file(session: vatra.Session, saved: Path) -> None:
    import resource

    old, limits = saved.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        for most in (0, 100, len(old) // 2, len(old) - 40):
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
            with pytest.raises(IOFailed, match="untouched"):
                session.save(saved)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert saved.read_bytes() == old and os.listdir(saved.parent) == [saved.name]


WRITER = """
import sys, vatra
with vatra.load(backend="reference", ctx=64) as model:
    session = model.session()
    session.sync([1, 300, 301])
    for i in range(10**9):
        session.save(sys.argv[1], {"i": i})
        print(i, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_killed_writers(spark: Path, tmp_path: Path) -> None:
    path, choose = tmp_path / "s", random.Random(3)
    command = [sys.executable, "-c", WRITER, str(path)]
    with vatra.load(spark, backend="reference", ctx=64) as model:
        for _ in range(4):
            path.unlink(missing_ok=True)
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]
            ) as writer:
                assert writer.stdout is not None and writer.stdout.readline()
                with pytest.raises(subprocess.TimeoutExpired):
                    writer.wait(choose.uniform(0.0, 0.05))
                writer.send_signal(signal.SIGKILL)
                told = writer.stdout.read().split()
            session = model.session()
            found = session.load(path)["i"]
            assert found >= int(told[-1] if told else 0) and session.ids == (1, 300, 301)


def test_heads_tell_of_sessions(model: vatra.Model, session: vatra.Session, saved: Path) -> None:
    head = session_file.read_head(saved)
    assert head.extra == {"a": [1, "ü", None]} and head.n_tokens == len(session.timeline)
    assert head.n_bytes == saved.stat().st_size
    assert head.fields["model"]["path"] == model.path
    assert session_file.why_not(saved, model, 256) == ""
    assert "a context of 256 tokens" in session_file.why_not(saved, model, 255)
