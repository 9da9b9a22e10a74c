"""A chat's settings, commands and files, with a model that says what it is told to."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scripted import Speaker, script

import vatra
from vatra.cli import chat, clipboard, editor, slash, terminal, transcript
from vatra.cli.dialogue import Dialogue
from vatra.cli.options import Thinking
from vatra.cli.prompt import prompt_text
from vatra.cli.settings import Settings
from vatra.engine.reference import ReferenceExecutor
from vatra.errors import BadFile, IOFailed, MissingFile, UsageError

GREEDY = vatra.Sampling(temperature=0)


@pytest.fixture
def talk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Starts a dialogue in which the model gives these answers."""
    models = []

    def start(*answers: str, ctx: int = 400) -> Dialogue:
        speaker = Speaker(str(script(tmp_path / "script.json", *answers)))
        monkeypatch.setattr(ReferenceExecutor, "run", lambda *given: speaker.run(*given))
        models.append(vatra.load(backend="reference", ctx=ctx))
        return Dialogue(vatra.Conversation(models[-1]), Settings(GREEDY))

    yield start
    for model in models:
        model.close()


def said(dialogue: Dialogue) -> list[tuple[str, str]]:
    return [(m["role"][0], m["content"]) for m in dialogue.conversation.messages]


class Typed:
    """Reads lines from a list; an exception in it is raised."""

    def __init__(self, *lines: str | BaseException, can_prefill: bool = True) -> None:
        self.lines, self.can_prefill, self.prefilled = list(lines), can_prefill, list[str]()

    def read(self, prefill: str = "") -> str:
        self.prefilled.append(prefill)
        line = self.lines.pop(0) if self.lines else EOFError()
        if isinstance(line, BaseException):
            raise line
        return line


# ---- the conversation ----------------------------------------------------------------------------


def test_answers_can_be_taken_back_and_made_again(talk: Any) -> None:
    dialogue = talk("One.", "Two.", "Two, or three.", "Four.")
    slash_and_ask(dialogue, "a", "b")
    assert said(dialogue) == [("u", "a"), ("a", "One."), ("u", "b"), ("a", "Two.")]
    slash_and_ask(dialogue, "/retry")
    assert said(dialogue)[2:] == [("u", "b"), ("a", "Two, or three.")]
    slash_and_ask(dialogue, "/edit c")
    assert said(dialogue)[2:] == [("u", "c"), ("a", "Four.")]
    slash_and_ask(dialogue, "/undo")
    assert said(dialogue) == [("u", "a"), ("a", "One.")]
    slash_and_ask(dialogue, "/undo")
    for line in ("/undo", "/retry", "/edit x", "/copy"):
        with pytest.raises(UsageError, match="yet"):
            slash.run(dialogue, line)


def slash_and_ask(dialogue: Dialogue, *lines: str) -> None:
    chat.talk(dialogue, Typed(*lines))


def test_the_same_question_again_with_another_seed(talk: Any) -> None:
    dialogue = talk("One.", "One more.")
    dialogue.settings.sampling = vatra.Sampling(seed=7)
    slash_and_ask(dialogue, "a")
    assert dialogue.last is not None and dialogue.last.seed == 7
    slash_and_ask(dialogue, "/retry")
    assert dialogue.last.seed != 7
    assert dialogue.settings.sampling.seed == 7


def test_edit_begins_with_what_was_said(talk: Any) -> None:
    dialogue = talk("One.", "Two.")
    typed = Typed("a", "/edit", "a and b")
    chat.talk(dialogue, typed)
    assert typed.prefilled == ["", "", "a", ""]
    assert said(dialogue) == [("u", "a and b"), ("a", "Two.")]


def test_a_changed_mind_leaves_the_question(talk: Any) -> None:
    dialogue = talk("One.")
    chat.talk(dialogue, Typed("a", "/edit", ""))
    chat.talk(dialogue, Typed("/edit", KeyboardInterrupt()))
    assert said(dialogue) == [("u", "a"), ("a", "One.")]


def test_no_room_leaves_the_conversation(talk: Any, capsys: Any) -> None:
    dialogue = talk("One.", ctx=40)
    slash_and_ask(dialogue, "a", "/edit " + "many words " * 40)
    assert said(dialogue) == [("u", "a"), ("a", "One.")]
    told = capsys.readouterr().err
    assert "but the context holds 40" in told and "/undo" in told and "/clear" in told


def test_a_full_context_is_told(talk: Any, capsys: Any) -> None:
    dialogue = talk("word " * 100, ctx=40)
    slash_and_ask(dialogue, "a")
    assert "the context of 40 tokens is full: /undo" in capsys.readouterr().err


def test_the_system_text(talk: Any, capsys: Any) -> None:
    dialogue = talk("One.", "Two.")
    slash_and_ask(dialogue, "/system", "/system Be kind.", "a", "/system Be brief.", "b")
    assert "there is no system text" in capsys.readouterr().err
    assert said(dialogue)[:2] == [("s", "Be brief."), ("u", "a")]
    slash_and_ask(dialogue, "/clear")
    assert said(dialogue) == [("s", "Be brief.")]


def test_ctrl_c_twice_leaves(talk: Any, capsys: Any) -> None:
    dialogue = talk("One.")
    with pytest.raises(KeyboardInterrupt):
        chat.talk(dialogue, Typed(KeyboardInterrupt(), KeyboardInterrupt()))
    chat.talk(dialogue, Typed(KeyboardInterrupt(), "a", KeyboardInterrupt()))
    assert capsys.readouterr().err.count("once more") == 3
    assert said(dialogue) == [("u", "a"), ("a", "One.")]


def test_status(talk: Any) -> None:
    dialogue = talk("One.")
    slash_and_ask(dialogue, "a")
    line = chat.status(dialogue, 80)
    assert line.startswith("Spark | ") and "tokens/s" in line and f"{dialogue.used}/400" in line
    assert line.endswith(" MB")
    for columns in range(1, 80):
        assert len(chat.status(dialogue, columns)) < columns


def test_tokens_are_those_of_the_template(talk: Any, capsys: Any) -> None:
    dialogue = talk("One.")
    slash_and_ask(dialogue, "a", "/tokens")
    *_, user, answer, template, total = capsys.readouterr().err.splitlines()
    counts = [int(line.split()[0]) for line in (user, answer, template, total)]
    assert sum(counts[:3]) == counts[3] == dialogue.used
    ids = dialogue.model.chat_ids(dialogue.conversation.messages, False)
    assert counts[3] == len(ids)
    slash_and_ask(dialogue, "/undo")
    assert dialogue.used == 0


# ---- commands and settings -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "command"),
    [("/set a", True), ("/?", True), ("/etc/passwd is", False), ("/2", False), (" /set", False)],
)
def test_is_command(line: str, command: bool) -> None:
    assert slash.is_command(line) is command


def test_help_lists_every_command(talk: Any, capsys: Any) -> None:
    slash_and_ask(talk(), "/help")
    told = capsys.readouterr().err
    assert all(command.usage in told for command in slash.COMMANDS.values())


def test_unknown_commands_and_settings(talk: Any, capsys: Any) -> None:
    slash_and_ask(talk(), "/retyr", "/zzz", "/set temprature 1", "/set q", "/show x", "/save")
    told = capsys.readouterr().err.splitlines()
    assert [
        want in line
        for want, line in zip(
            (
                "did you mean /retry?",
                "/help lists",
                "did you mean temperature?",
                "there are",
                "wanted",
                "/save talk.json",
            ),
            told,
            strict=True,
        )
    ] == [True] * 6


def test_settings() -> None:
    settings = Settings(GREEDY, 5, ["x"])
    for name, text, value in (
        ("temperature", "0.5", 0.5),
        ("top-k", "3", 3),
        ("--top_p", "0.5", 0.5),
        ("seed", "9", 9),
        ("max_tokens", "12", 12),
        ("thinking", "hidden", Thinking.hidden),
        ("markdown", "off", False),
        ("stop", "The end", ["The end"]),
    ):
        settings.change(name, text)
        assert settings.value(name) == value
    for name in ("temperature", "seed", "max_tokens", "stop"):
        settings.change(name, "default")
    assert settings.value("temperature") == 0 and settings.value("seed") is None
    assert settings.value("max_tokens") == 5 and settings.value("stop") == ["x"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("top_p", "2", "top_p: got 2.0, wanted a number from 0 to 1"),
        ("top_k", "x", "top_k: got 'x', wanted an integer"),
        ("max_tokens", "0", "max_tokens: got '0', wanted an integer from 1"),
        ("thinking", "loud", "thinking: got 'loud', wanted dim or hidden"),
        ("markdown", "1", "wanted on or off"),
    ],
)
def test_settings_out_of_range(name: str, text: str, said: str) -> None:
    settings = Settings(GREEDY)
    before = settings.value(name)
    with pytest.raises(UsageError, match=said):
        settings.change(name, text)
    assert settings.value(name) == before


def test_set_and_show(talk: Any, capsys: Any) -> None:
    dialogue = talk()
    slash_and_ask(dialogue, "/set top_k=7", "/set top_k", "/set", "/show", "/show template")
    told = capsys.readouterr().err
    assert told.count("top_k 7\n") == 2
    assert "temperature" in told and "context       0 of 400" in told and "<|im_start|>" in told
    capsys.readouterr()
    slash_and_ask(dialogue, "/show settings")
    told = capsys.readouterr().err
    assert "top_k        7 " in told  # what was changed, and little else
    assert "dry_base" not in told and "/set lists all" in told


@pytest.mark.parametrize(
    ("words", "some"),
    [
        ("/", "/retry"),
        ("/set ", "top_k"),
        ("/set thinking ", "hidden"),
        ("/set top_k ", "default"),
        ("/show ", "template"),
    ],
)
def test_completion(words: str, some: str) -> None:
    assert some in [word for word, _ in editor.choices(words.split(" "))]


def test_completion_of_files(tmp_path: Path) -> None:
    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document

    (tmp_path / "my talk.json").touch()
    completer = editor._completer()

    def completed(text: str) -> list[str]:
        return [c.text for c in completer.get_completions(Document(text), CompleteEvent())]

    assert completed(f"/load {tmp_path}/my t") == ["alk.json"]
    assert completed("/re") == ["/retry"]
    assert completed("hello /") == [] and completed("/clear x") == []


def test_a_text_of_several_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = iter(['"""one\n', "two\n", 'three"""\n', "four\n", '"""five"""', ""])
    stdin = SimpleNamespace(readline=lambda: next(lines), isatty=lambda: False)
    monkeypatch.setattr("sys.stdin", stdin)
    reader = editor.Lines()
    assert [reader.read() for _ in range(3)] == ["one\ntwo\nthree", "four", "five"]
    with pytest.raises(EOFError):
        reader.read()


# ---- files ---------------------------------------------------------------------------------------


def test_save_and_load(talk: Any, tmp_path: Path) -> None:
    path = tmp_path / "my talk.json"
    dialogue = talk("One. 漢字 \x1b[31m", "Two.")
    lines = ("/system Be kind.", "a", "/set top_k 7", "/set thinking hidden", "/set stop END")
    slash_and_ask(dialogue, *lines, f"/save {path}")
    before = said(dialogue)
    assert "漢字" in path.read_text(encoding="utf-8")
    other = talk("Three.")
    slash_and_ask(other, f"/load {path}", "b")
    assert said(other) == [*before, ("u", "b"), ("a", "Three.")]
    assert other.settings.sampling.top_k == 7 and other.settings.stop == ["END"]
    assert other.settings.thinking is Thinking.hidden


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"\xff", "not UTF-8"),
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "format"),
        ({"version": 2}, "version"),
        ({"system": 1}, "system"),
        ({"settings": []}, "settings"),
        ({"messages": {}}, "messages"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "user"}]}, r"messages\[1\]"),
        ({"messages": [{"role": 1, "content": ""}]}, r"messages\[0\]"),
    ],
)
def test_files_that_are_no_conversation(content: Any, field: str, tmp_path: Path) -> None:
    if isinstance(content, dict):
        right = {"format": transcript.KIND, "version": 1, "messages": []}
        content = json.dumps(right | content).encode()
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(BadFile, match=field):
        transcript.load(str(tmp_path / "x.json"))


def test_a_wrong_setting_in_a_file_changes_nothing(talk: Any, tmp_path: Path, capsys: Any) -> None:
    dialogue, path = talk("One."), tmp_path / "x.json"
    content = {"top_k": 3, "top_p": 7}
    transcript.save(str(path), transcript.Transcript([], settings=content))
    slash_and_ask(dialogue, "a", f"/load {path}")
    assert "top_p: got 7" in capsys.readouterr().err
    assert dialogue.settings.sampling == GREEDY and len(said(dialogue)) == 2


def test_files_that_are_not_there(talk: Any, tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(MissingFile, match="No such file"):
        transcript.load(str(tmp_path / "none"))
    with pytest.raises(MissingFile):
        transcript.load("a\0b")
    slash_and_ask(talk(), f"/load {tmp_path}/none", f"/save {tmp_path}/no/x", f"/load {tmp_path}")
    told = capsys.readouterr().err
    assert told.count("\n") == 3 and "no folder" in told


def test_a_failed_save_keeps_the_old_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(IOFailed, match="No space"):
        transcript.save(str(path), transcript.Transcript([]))
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["talk.json"]


def test_copy_by_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(terminal, "send", sent.append)
    with pytest.raises(UsageError, match="no clipboard"):
        clipboard.copy("x")
    monkeypatch.setattr(terminal, "has_colours", lambda _: True)
    text = "An answer \x1b\x07 漢字"
    assert clipboard.copy(text) == "the terminal"
    head, data = sent[0][:7], sent[0][7:-1]
    assert head == "\x1b]52;c;" and sent[0][-1] == "\x07"
    assert data.isascii() and base64.b64decode(data).decode() == text
    with pytest.raises(UsageError, match="at most"):
        clipboard.copy("x" * 100_000)


def test_copy_by_a_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "wl-copy"
    program.write_text(f"#!/bin/sh\nexec cat > {tmp_path}/copied\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    monkeypatch.delenv("TMUX", raising=False)
    assert clipboard.copy("漢字") == "wl-copy"
    assert (tmp_path / "copied").read_text() == "漢字"


# ---- prompts -------------------------------------------------------------------------------------


def test_files_in_a_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("A\n")
    Path("b b.txt").write_bytes(b"B\r\n")
    monkeypatch.setattr("sys.stdin", None)
    for given, text in (
        ("@a.txt", "A"),
        ('Compare @a.txt with @"b b.txt"!', "Compare A with B!"),
        ("(what is @a.txt?)", "(what is A?)"),
        ("@@a.txt me@a.txt @ x", "@a.txt me@a.txt @ x"),
        (f"@{tmp_path}/a.txt, and", "A, and"),
    ):
        assert prompt_text(given, files=True) == text
    assert prompt_text("@a.txt") == "@a.txt"
    for given in ("@none.txt", "@.", "@a\0b"):
        with pytest.raises(MissingFile, match="@@"):
            prompt_text(given, files=True)
    Path("bad").write_bytes(b"ab\xff")
    with pytest.raises(BadFile, match="byte 2"):
        prompt_text("@bad", files=True)


def test_a_form_is_handed_on(talk: Any, tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "no.gbnf"
    file.write_text('root ::= "no"')
    dialogue: Any = talk("no", "yes")
    forms, say = [], dialogue.conversation.say

    def noted(*given: Any, grammar: Any) -> Any:
        forms.append(grammar)
        return say(*given)

    dialogue.conversation.say = noted
    commands = ["/set form xml", "/set form schema nothing.json", f"/set form grammar {file}"]
    chat.talk(dialogue, Typed(*commands, "Is it so?"))
    told = capsys.readouterr().err
    assert "wanted free, json, schema FILE or grammar FILE" in told and "nothing.json" in told
    file.unlink()
    chat.talk(dialogue, Typed("And now?", "/set form free", "And now?"))
    assert "no.gbnf" in capsys.readouterr().err
    assert said(dialogue)[-2:] == [("u", "And now?"), ("a", "yes")]
    assert [form is None for form in forms] == [False, True]
