"""Chats that are kept under a name, and the commands that look after them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted import Speaker, script

import vatra
from vatra.cli import session_store
from vatra.cli.app import main
from vatra.cli.chat import talk
from vatra.cli.dialogue import Dialogue
from vatra.cli.session_store import Keeper
from vatra.cli.settings import Settings
from vatra.engine.reference import ReferenceExecutor
from vatra.errors import BadFile, MissingFile, UsageError


class Typed:
    """Reads lines from a list."""

    can_prefill = False

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)

    def read(self, prefill: str = "") -> str:
        if not self.lines:
            raise EOFError
        return self.lines.pop(0)


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(session_store, "folder", lambda: tmp_path / "state" / "sessions")
    return tmp_path / "state" / "sessions"


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Starts a dialogue in which the model gives these answers."""
    models = []

    def begin(*answers: str, ctx: int = 400) -> Dialogue:
        speaker = Speaker(str(script(tmp_path / "script.json", *answers)))
        monkeypatch.setattr(ReferenceExecutor, "run", lambda *given: speaker.run(*given))
        models.append(vatra.load(backend="reference", ctx=ctx))
        return Dialogue(vatra.Conversation(models[-1]), Settings(vatra.Sampling(temperature=0)))

    yield begin
    for model in models:
        model.close()


@pytest.fixture
def kept(start: Any) -> Dialogue:
    """A chat of two questions, kept as "sea"."""
    dialogue = start("It is blue.", "It is deep.")
    keeper = Keeper("sea", dialogue)
    talk(dialogue, Typed("/system Be brief.", "Colour?", "/set top_k 7", "And?"), keeper)  # type: ignore[arg-type]
    return dialogue  # type: ignore[no-any-return]


SAID = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Colour?"},
    {"role": "assistant", "content": "It is blue."},
    {"role": "user", "content": "And?"},
    {"role": "assistant", "content": "It is deep."},
]


def test_going_on(start: Any, kept: Dialogue) -> None:
    dialogue = start("Very.")
    keeper = Keeper("sea", dialogue)
    keeper.load(session_store.read("sea"), {"temperature"})
    assert dialogue.conversation.messages == kept.conversation.messages == SAID
    assert dialogue.conversation.session.timeline == kept.conversation.session.timeline
    assert dialogue.settings.sampling.top_k == 7
    dialogue.ask("How deep?")
    assert dialogue.last is not None and dialogue.last.text == "Very."
    assert dialogue.last.statistics.reused_tokens >= len(kept.conversation.session.ids) - 16
    keeper.save()
    assert len(session_store.read("sea").transcript.messages) == 6


def test_what_does_not_fit_is_read_again(
    start: Any, kept: Dialogue, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def goes_on(ctx: int) -> str:
        dialogue = start("Very.", ctx=ctx)
        Keeper("sea", dialogue).load(session_store.read("sea"))
        assert dialogue.conversation.messages == SAID
        dialogue.ask("How deep?")
        assert dialogue.last.statistics.reused_tokens == 0
        return capsys.readouterr().err

    assert "read again" in (told := goes_on(300)) and "a context of 400 tokens" in told
    data = bytearray((folder / "sea.vatra").read_bytes())
    data[-100] ^= 1
    (folder / "sea.vatra").write_bytes(data)
    assert "read again" in (told := goes_on(400)) and "damaged" in told


def test_nothing_said_is_nothing_kept(start: Any, folder: Path) -> None:
    dialogue = start()
    talk(dialogue, Typed("/help"), Keeper("quiet", dialogue))  # type: ignore[arg-type]
    assert not list(folder.iterdir())


def test_a_failing_save_does_not_end_the_chat(
    start: Any, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dialogue = start("Yes.", "No.")
    keeper = Keeper("sea", dialogue)
    (folder / "sea.vatra").mkdir()
    talk(dialogue, Typed("One?", "Two?"), keeper)  # type: ignore[arg-type]
    assert capsys.readouterr().err.count("the session is not saved") == 2
    assert len(dialogue.conversation.messages) == 4


def test_conversations_of_python(start: Any, tmp_path: Path) -> None:
    dialogue = start("It is blue.")
    dialogue.ask("Colour?")
    dialogue.conversation.save(tmp_path / "c", {"a": 1})
    other = start("x").conversation
    assert other.load(tmp_path / "c") == {"a": 1}
    assert other.messages == dialogue.conversation.messages
    other.session.save(tmp_path / "s")
    before = other.session.timeline, other.messages
    with pytest.raises(BadFile, match="without a conversation"):
        other.load(tmp_path / "s")
    assert (other.session.timeline, other.messages) == before


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such variable")
def test_the_whole_program(tmp_path: Path) -> None:
    def chat(line: str, *options: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "vatra", "chat", "--session", "sea", "-n", "8", *options],
            cwd=Path(__file__).parents[1], input=line, capture_output=True, text=True, timeout=60,
            env=os.environ | {"XDG_STATE_HOME": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stderr

    assert "going on" not in chat("Hello!\n", "--top-k", "5", "--ctx", "300")
    told = chat("And?\n/set\n/show model\n", "--stats", "--top-p", "0.5")
    assert "going on with sea: 2 messages" in told and "read again" not in told
    assert "more reused" in told and "of 300 tokens used" in told
    assert re.search(r"top_k +5 ", told) and re.search(r"top_p +0.5 ", told)


@pytest.mark.usefixtures("kept")
def test_commands(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    def run(*words: str, status: int = 0) -> str:
        capsys.readouterr()
        assert main(["sessions", *words]) == status
        found = capsys.readouterr()
        return found.out if status == 0 else found.err

    assert "sea" in run() and "messages" in run()
    assert run("fork", "sea", "lake") == ""
    rows = json.loads(run("--json"))
    assert {row["name"] for row in rows} == {"sea", "lake"}
    assert all(row["messages"] == 4 and row["tokens"] > 20 for row in rows)
    assert rows[0]["bytes"] == (folder / "lake.vatra").stat().st_size
    assert "## assistant\n\nIt is deep." in run("show", "lake")
    assert "## system\n\nBe brief." in run("export", "lake", "--markdown")
    exported = json.loads(run("export", "lake"))
    assert exported["messages"] == SAID[1:] and exported["settings"]["top_k"] == 7
    assert "already" in run("fork", "sea", "lake", status=2)
    assert "there are" in run("show", "pond", status=66)
    (folder / "pond.vatra").write_bytes(b"x")
    assert run("show", "pond", status=65).startswith("error: ")
    assert "lake" in run()
    assert run("rm", "lake", "pond") == "" and session_store.names() == ["sea"]
    run("rm", "sea", "sea", status=2)
    run("rm", "sea")
    assert run() == ""


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "a\\b", "-x", ".x", "a\nb", "a\x1bb", " a", "a:b", "n" * 201],
)
def test_names(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        session_store.path_of(name)
    assert str(caught.value).isprintable()


def test_no_such_session() -> None:
    assert session_store.path_of("été 2026").name == "été 2026.vatra"
    with pytest.raises(MissingFile, match="none yet"):
        session_store.read("x")
