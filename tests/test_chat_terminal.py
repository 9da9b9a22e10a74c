"""`vatra chat` at a real pseudo-terminal, with a model that says what it is told to."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted import script

pexpect = pytest.importorskip("pexpect", reason="needs a system with pseudo-terminals")

ROOT = Path(__file__).parent.parent
PROMPT = r"\x1b\[\?2004h"  # an editor of lines begins
ANSWER = r"\x1b\[\?2004l"  # and ends
# What may be sent while an answer is written: styles, and what draws over the last lines.
OURS = re.compile(r"\x1b\[(?:[0-9;]*m|\d+A|K|J)|\r")
STATE_AFTERWARDS = 'before=$(stty -g); "$@"; echo "status $?"; echo "$before"; stty -g'
THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n{# <think></think> #}"
)
LONG = "\n\n".join(f"Paragraph **{i}** of many." for i in range(200))

Start = Callable[..., Any]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a chat in which the model gives some answers; ends what is left of it."""
    started = []

    def spawn(
        *answers: str, options: tuple[str, ...] = (), delay_s: float = 0.0, **environment: str
    ) -> Any:
        told = script(tmp_path / "script.json", *answers, delay_s=delay_s)
        arguments = ("tests/scripted.py", str(told), "chat", "--temperature", "0", *options)
        home = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
        variables = {"TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1", "PYTHONPATH": "."}
        inherited = {k: v for k, v in os.environ.items() if k not in ("VATRA_MODEL", "NO_COLOR")}
        child = pexpect.spawn(
            "bash",
            ["-c", STATE_AFTERWARDS, "bash", sys.executable, *arguments],
            cwd=str(ROOT),
            env=inherited | home | variables | environment,
            encoding="utf-8",
            timeout=60,
            dimensions=(24, 80),
        )
        child.delaybeforesend = None
        started.append(child)
        return child

    yield spawn
    for child in started:
        child.close(force=True)


def ask(child: Any, text: str) -> None:
    child.expect(PROMPT)
    child.send(f"{text}\r")


def answer(child: Any) -> str:
    """What is sent from the end of a question to the next prompt."""
    child.expect(ANSWER)
    child.expect(PROMPT)
    return str(child.before)


def leave(child: Any, status: int = 0) -> None:
    """Wait for the end; the terminal must be as it was before."""
    child.expect(f"status {status}\r\n")
    check_terminal(child)


def check_terminal(child: Any) -> None:
    child.expect(pexpect.EOF)
    before, after = child.before.split()
    assert before == after and before.count(":") > 5


def test_markdown_is_drawn(start: Start) -> None:
    child = start("# Title\n\nSome **bold** text.\n\n- one\n- two\n")
    ask(child, "hello")
    shown = answer(child)
    assert "\x1b[1;4mTitle" in shown and "\x1b[1mbold\x1b[0m" in shown and "**" not in shown
    assert "•" in OURS.sub("", shown)
    child.sendeof()
    leave(child)


def test_an_answer_cannot_steer_the_terminal(start: Start) -> None:
    hostile = (
        "\x1b]0;owned\x07 \x1b[31m[red]x[/red] `\x1b[2J` &#27;[1m [a](http://b/\x1b[1m) \u202e\n\n"
        "```py\n'\x1b[5m' # \x9b2J\n```\n\n| \x1b[1m |\n|--|\n| \x07 |\n\n<b \x1b>\n\n\x1b"
    )
    for options in ((), ("--no-markdown",)):
        child = start(hostile, options=options)
        ask(child, "hello")
        rest = OURS.sub("", answer(child))
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", rest), rest
        assert r"\x1b]0;owned\x07" in rest and "[red]x[/red]" in rest
        child.sendeof()
        leave(child)


def test_thinking_is_dim_or_hidden(start: Start, tmp_path: Path) -> None:
    (tmp_path / "t.jinja").write_text(THINKING)
    said = "<think>\nHm, a **riddle**.\n</think>\n\nIt is 4."
    child = start(said, said, options=("--chat-template", str(tmp_path / "t.jinja")))
    ask(child, "hello")
    shown = answer(child)
    assert "\x1b[2mH" in shown
    assert "Hm, a **riddle**." in OURS.sub("", shown) and "It is 4." in shown
    child.send("/set thinking hidden\r")
    ask(child, "hello")
    shown = answer(child)
    assert "(thinking ...)" in shown and "riddle" not in shown and "It is 4." in shown
    child.sendeof()
    leave(child)


def test_ctrl_c_keeps_what_was_said(start: Start, tmp_path: Path) -> None:
    child = start(LONG, delay_s=0.01)
    ask(child, "hello")
    child.expect("Paragraph .*2")
    child.sendintr()
    child.expect(r"\(stopped\)")
    ask(child, f"/save {tmp_path}/talk.json")
    child.expect("saved 2 messages")
    kept = json.loads((tmp_path / "talk.json").read_text())["messages"]
    assert kept[0]["content"] == "hello"
    assert len(kept[1]["content"]) > 30 and LONG.startswith(kept[1]["content"])
    child.expect(PROMPT)
    child.sendeof()
    leave(child)


def test_ctrl_c_twice_leaves(start: Start) -> None:
    child = start(LONG, delay_s=0.01)
    ask(child, "hello")
    child.expect("Paragraph")
    child.sendintr()
    child.expect(r"\(stopped\)")
    time.sleep(0.6)  # not quickly
    child.expect(PROMPT)
    child.sendintr()
    child.expect("once more")
    child.expect(PROMPT)
    child.sendintr()
    leave(child, 130)


def test_ctrl_c_twice_quickly_leaves(start: Start) -> None:
    child = start(*[LONG] * 5, delay_s=0.3)
    left = "status 130\r\n"
    child.expect(PROMPT)
    for _ in range(5):
        child.send("hello\r")
        child.expect("Par")
        child.sendintr()
        time.sleep(0.1)  # two signals at once are one, also to a process that has to wait so long
        child.sendintr()
        # the second may come when it asks again
        if child.expect([left, PROMPT]) == 0 or child.expect([left, pexpect.TIMEOUT], 2) == 0:
            return check_terminal(child)
    pytest.fail("it goes on")


def test_typing_ahead_does_not_disturb_the_answer(start: Start) -> None:
    child = start("A b c d e f g h i j k l m.", "Two.", delay_s=0.05)
    ask(child, "hello")
    child.expect("A b")
    child.send("typed ahead")
    child.expect(PROMPT)
    assert "m." in child.before and "typed" not in child.before
    child.send("\r")
    child.expect("typed ahead")
    child.expect("Two")
    child.expect(PROMPT)
    child.sendeof()
    leave(child)


def test_status_and_edit(start: Start) -> None:
    child = start("One.", "One and more.", PROMPT_TOOLKIT_NO_CPR="")
    for keys in ("hello\r", "/edit\r", " again\r", "/tokens\r"):
        child.expect(r"\x1b\[6n")  # where the cursor is, which tells the room below it
        child.send("\x1b[5;1R")
        if keys == "/edit\r":
            child.expect(r"Spark \| [\d.]+ tokens/s \| context \d+/2048 \| \d+ MB")
        child.send(keys)
    child.expect("user .*hello again")
    child.expect(r"\x1b\[6n")
    child.sendeof()
    leave(child)


def test_a_dumb_terminal_gets_plain_text(start: Start) -> None:
    child = start("Some **bold** text.", TERM="dumb")
    child.expect("> ")
    child.send("hello\r")
    child.expect(r"Some \*\*bold\*\* text\.")
    shown = child.before
    child.expect("> ")
    child.send("/bye\r")
    leave(child)
    assert "\x1b" not in shown


def test_no_colours_where_none_are_wanted(start: Start) -> None:
    child = start("Some **bold** text.", NO_COLOR="1")
    ask(child, "hello")
    assert answer(child) == "Some **bold** text.\r\n"
    child.sendeof()
    leave(child)
