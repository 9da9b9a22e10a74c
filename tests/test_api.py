"""The public names: loading, text in and out, conversations, choices and refusals."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vatra
from vatra.engine import control_groups, memory
from vatra.engine.memory import Available
from vatra.engine.model import Model, choose_ctx
from vatra.engine.requirements import PROGRAM_BYTES
from vatra.errors import BadFile, IOFailed, MissingFile, OutOfMemory, UnsupportedFile, UsageError
from vatra.formats import gguf

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def model(spark: Path) -> Iterator[Model]:
    with vatra.load(spark, backend="reference") as loaded:
        yield loaded


@pytest.fixture
def stories(shared: Path) -> Iterator[Model]:
    """Another model, whose answers are known, without a chat template."""
    with vatra.load(shared / "models" / "stories260K-f32.gguf", backend="reference") as loaded:
        yield loaded


def test_every_public_name() -> None:
    for name in vatra.__all__:
        assert getattr(vatra, name) is not None
        assert name in dir(vatra)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = vatra.nothing


def test_importing_is_cheap_and_submodules_come_by_themselves() -> None:
    code = (
        "import sys, vatra\n"
        "assert not {'numpy', 'numba', 'gguf', 'jinja2'} & set(sys.modules)\n"
        "assert vatra.quant.by_name('q4_k').block == 256\n"
        "vatra.load, vatra.Sampling(top_k=3), vatra.formats.gguf\n"
        "assert not {'numba', 'llvmlite', 'gguf', 'jinja2'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_model_that_comes_with_it(spark: Path) -> None:
    with vatra.load(backend="reference") as model:
        assert model.path == str(spark)


def test_generate_text(stories: Model, shared: Path) -> None:
    steps = stories.generate("Once upon a time", temperature=0, max_tokens=60)
    pieces = [step.text for step in steps]
    written = (shared / "golden" / "stories260K.txt").read_text()
    assert written.startswith(" Once upon a time" + "".join(pieces))
    assert len(pieces) == 60
    assert steps.finish_reason == "length"
    assert all(step <= 0 for step in (s.logprob for s in stories.generate("A", max_tokens=5)))


def test_generate_from_ids(model: Model) -> None:
    ids = model.tokenizer.encode("Once upon a time")
    by_ids = model.generate(ids, vatra.Sampling(temperature=0), 10)
    by_text = model.generate("Once upon a time", vatra.Sampling(), 10, temperature=0)
    assert [s.token for s in by_ids] == [s.token for s in by_text]


@pytest.mark.parametrize(
    "stop", [[" girl"], ["lit", " girl named"], " girl", ["Lily. She"], ["a l"]]
)
def test_stop(stories: Model, stop: Any) -> None:
    expected = ", there was a little girl named Lily. She loved to play outside in the park."
    steps = stories.generate("Once upon a time", temperature=0, max_tokens=100, stop=stop)
    text = "".join(step.text for step in steps)
    first = min(expected.find(s) for s in ([stop] if isinstance(stop, str) else stop))
    assert text == expected[:first]
    assert steps.finish_reason == "stop"


def test_seeds(model: Model) -> None:
    def text(seed: int) -> str:
        return "".join(s.text for s in model.generate("Once", max_tokens=30, seed=seed))

    assert text(1) == text(1) != text(2)


def test_sessions_reuse_a_conversation(model: Model) -> None:
    conversation = vatra.Conversation(model, system="Be kind.")
    position = 0
    for turn in range(3):
        steps = conversation.say(f"Hello {turn}", vatra.Sampling(temperature=0), max_tokens=12)
        assert steps.statistics.reused_tokens >= position
        text = "".join(step.text for step in steps)
        assert conversation.messages[-1] == {"role": "assistant", "content": text}
        assert len(conversation.messages) == 1 + 2 * (turn + 1)
        position = steps.statistics.prompt_tokens + steps.statistics.reused_tokens - 2
    fresh = model.chat(conversation.messages, temperature=0, max_tokens=5)
    assert [s.token for s in fresh] == [
        s.token
        for s in model.generate(model.chat_ids(conversation.messages), temperature=0, max_tokens=5)
    ]
    conversation.clear()
    assert conversation.messages == [{"role": "system", "content": "Be kind."}]


def test_a_conversation_goes_on_after_an_interrupt(model: Model) -> None:
    conversation = vatra.Conversation(model)
    steps = conversation.say("Tell me a story", vatra.Sampling(temperature=0))
    shown = "".join(next(steps).text for _ in range(5))
    steps.close()
    assert conversation.messages[-1] == {"role": "assistant", "content": shown}

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    before = conversation.messages
    with pytest.raises(KeyboardInterrupt):
        conversation.say("More", progress=interrupt)
    assert conversation.messages == before
    with pytest.raises(vatra.ContextFull, match=f"but the context holds {model.n_ctx}"):
        conversation.say("word " * (model.n_ctx + 1))
    assert conversation.messages == before
    expected = model.chat_ids([*before, {"role": "user", "content": "More"}])
    answer = conversation.say("More", vatra.Sampling(temperature=0), max_tokens=4)
    assert [s.token for s in answer] == [
        s.token for s in model.generate(expected, temperature=0, max_tokens=4)
    ]


def test_chat_reuses_and_never_disturbs(stories: Model) -> None:
    messages = [{"role": "user", "content": "Tell me a story"}]
    first = stories.chat(messages, temperature=0, max_tokens=6)
    alone = [s.token for s in first]
    second = stories.chat(messages, temperature=0, max_tokens=6)
    assert second.statistics.reused_tokens > 10
    next(second)
    other = stories.chat([{"role": "user", "content": "Bye"}], temperature=0, max_tokens=6)
    next(other)
    assert [*second.tokens, *(s.token for s in second)] == alone
    assert any("no chat template" in note for note in stories.notes)


@pytest.mark.parametrize("messages", ["hello", ["hello"], [None]])
def test_messages_that_are_none(model: Model, messages: Any) -> None:
    with pytest.raises(UsageError, match="messages: got .* wanted a list such as"):
        model.chat(messages)


def test_two_threads(model: Model) -> None:
    found: list[list[int]] = []

    def work() -> None:
        found.append([s.token for s in model.generate("Once", temperature=0, max_tokens=40)])

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3 and found[0] == found[1] == found[2]


def test_logits(model: Model) -> None:
    ids = model.tokenizer.encode("Once upon a time")
    found = model.logits(ids)
    assert found.shape == (len(ids), model.plan.n_vocab) and found.dtype == np.float32
    assert model.logits(np.array(ids)).tolist() == found.tolist()
    assert model.logits([]).shape == (0, model.plan.n_vocab)
    with pytest.raises(UsageError, match=f"token {model.plan.n_vocab} is outside"):
        model.logits([model.plan.n_vocab])


def test_a_file_without_a_known_tokenizer(shared: Path) -> None:
    path = shared / "golden" / "archs" / "llama-dense.gguf"
    golden = np.load(path.with_suffix(".npz"))
    with vatra.load(path, backend="reference", ctx=64) as model:
        found = model.logits(golden["tokens"]).astype(np.float64)
        assert ((found - golden["logits"]) ** 2).sum() / (golden["logits"] ** 2).sum() < 1e-5
        assert any("tokenizer" in note for note in model.notes)
        for call in (
            lambda: model.tokenizer,
            lambda: model.generate("text"),
            lambda: model.chat([{"role": "user", "content": "x"}]),
            lambda: model.generate([1], stop=["x"]),
        ):
            with pytest.raises(UnsupportedFile, match="tokenizer"):
                call()
        assert len([step.token for step in model.generate([1, 2], max_tokens=3)]) == 3


# --- refusals


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"backend": "gpu"}, "backend: got 'gpu', wanted cpu or reference"),
        ({"kv": "q4"}, "kv: got 'q4', wanted f16 or f32 or q8_0 or q4_0"),
        ({"threads": 0}, "threads: got 0, wanted an integer from 1"),
        ({"threads": 1.5}, "threads: got 1.5"),
        ({"ctx": 0}, "ctx: got 0"),
        ({"ctx": -1}, "ctx: got -1"),
        ({"ctx": 2**31}, "ctx: got 2147483648"),
        ({"ctx": True}, "ctx: got True"),
    ],
)
def test_wrong_options(spark: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        vatra.load(spark, **given)


def test_wrong_files(tmp_path: Path, shared: Path) -> None:
    with pytest.raises(MissingFile):
        vatra.load(tmp_path / "nothing.gguf")
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(BadFile):
        vatra.load(tmp_path / "x.gguf")
    gguf.write(tmp_path / "sparrow.gguf", {"general.architecture": "sparrow"}, {})
    with pytest.raises(UnsupportedFile, match="'sparrow' is not supported"):
        vatra.load(tmp_path / "sparrow.gguf")


def test_closed(spark: Path) -> None:
    with vatra.load(spark, backend="reference") as model:
        session = model.session()
        session.sync([1, 2])
    model.close()
    with pytest.raises(UsageError, match="this model was closed"):
        session.sync([1, 3])


def test_a_file_that_changes_while_in_use(spark: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(spark.read_bytes())
    with vatra.load(path, backend="reference") as model:
        session = model.session()
        session.sync([1, 2])
        with path.open("ab") as file:
            file.write(b"more")
        with pytest.raises(IOFailed, match=r"model\.gguf: was rewritten while it was in use"):
            session.sync([1, 2, 3])


# --- how much context, how much memory


@pytest.mark.parametrize(
    ("trained", "per_token", "asked", "available", "expected"),
    [
        (2048, 1000, None, 10**9, "2048"),
        (131072, 1000, None, 10**9, "32768"),
        (131072, 1000, 131072, 10**9, "131072"),
        (8192, 100_000, None, 10**9, "2500"),
        (8192, 100_000, None, 10**6, "512"),
        (256, 100_000, None, 10**6, "256"),
        (8192, 100_000, 4000, 10**6, "4000"),
        (8192, 0, None, 10**6, "8192"),
        (8192, 1000, None, None, "8192"),
    ],
)
def test_context(
    trained: int, per_token: int, asked: int | None, available: int | None, expected: str
) -> None:
    left = None if available is None else Available(available, "there")
    choice = choose_ctx(trained, lambda n: n * per_token, asked, left)
    assert (choice.name, choice.value) == ("ctx", expected)
    assert choice.reason


def test_a_longer_context_than_trained(spark: Path) -> None:
    with vatra.load(spark, backend="reference") as model:
        trained = model.n_ctx
    with vatra.load(spark, backend="reference", ctx=4 * trained) as model:
        assert model.n_ctx == model.session().n_ctx == 4 * trained
        assert any(f"longer than the {trained}" in note for note in model.notes)
        assert model.session(ctx=10).n_ctx == 10
    with vatra.load(spark, backend="reference", ctx=trained) as model:
        assert not model.notes


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75, 0.99])
def test_too_little_memory(shared: Path, monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    path = shared / "models" / "stories260K-f32.gguf"
    weights = 1_020_000
    decoded = 4 * 260_000  # the reference keeps them
    needed = weights + decoded + 100_000 * 5 * 4 * (8 + 8) * 2 + PROGRAM_BYTES
    monkeypatch.setattr(memory, "available", lambda: Available(int(needed * share), "left here"))
    with pytest.raises(
        OutOfMemory, match=r"needs [\d,]+ MiB: .* but [\d,]+ MiB are left here"
    ) as found:
        vatra.load(path, backend="reference", ctx=100_000)
    assert found.value.exit_code == 71
    monkeypatch.setattr(memory, "available", lambda: Available(2 * needed, "left here"))
    model = vatra.load(path, backend="reference", ctx=100)
    with model, pytest.raises(OutOfMemory, match="for 1000000 tokens"):
        model.session(ctx=1_000_000)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and control groups")
def test_available_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = memory.available()
    assert found is not None and found.n_bytes > 2**20
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (groups / "a" / "b").mkdir(parents=True)
    monkeypatch.setattr(control_groups, "PROC", proc)
    monkeypatch.setattr(control_groups, "ROOT", groups)
    (proc / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    5000 kB\n")
    assert memory.available() == (5000 * 1024, "available on this machine")
    (proc / "self" / "cgroup").write_text("0::/a/b\n")
    for folder, most in (("a", "4000000"), ("a/b", "max")):
        (groups / folder / "memory.max").write_text(most)
        (groups / folder / "memory.current").write_text("3000000")
        (groups / folder / "memory.stat").write_text("anon 1\ninactive_file 500000\n")
    assert memory.available() == (1_500_000, "left in this control group")


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_a_limit_on_the_process(spark: Path) -> None:
    code = (
        "import resource, sys, vatra\n"
        "from vatra.engine import model\n"
        "pages = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (pages + 40 * 2**20,) * 2)\n"
        "try:\n"
        "    vatra.load(sys.argv[1], backend='reference')\n"
        "except vatra.OutOfMemory as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(spark)], cwd=ROOT, capture_output=True, text=True
    )
    assert "ulimit -v" in done.stdout, done.stderr
