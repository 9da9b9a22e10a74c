"""The `vatra` command at a real pseudo-terminal, where a person would sit."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vatra.cli import terminal
from vatra.formats import gguf

pexpect = pytest.importorskip("pexpect", reason="needs a system with pseudo-terminals")

ROOT = Path(__file__).parent.parent
ESCAPE = "\x1b"
REFERENCE = ("--backend", "reference")  # no kernels to compile
GREEDY = ("--temperature", "0")
# All tokens are about as likely: the one that ends a text comes late.
BABBLE = ("--temperature", "100", "--top-k", "0", "--top-p", "1", "--min-p", "0")

# Runs a command; then prints its exit status, and the terminal's settings before and after it.
STATE_AFTERWARDS = """
before=$(stty -g); sh -c 'echo "pid $$"; exec "$@"' sh "$@"
echo "status $?"; echo "$before"; stty -g
"""

# What an editor of lines sends first: bracketed paste is on from here.
PROMPT = r"\x1b\[\?2004h"
ANSWER = r"\x1b\[\?2004l.*[a-z]{3}"  # it is off, and the terminal's own keys work again

Spawn = Callable[..., Any]


@pytest.fixture
def vatra(tmp_path: Path) -> Iterator[Spawn]:
    """Starts `vatra` at a pseudo-terminal; ends what is left of it."""
    started = []

    def spawn(*arguments: object, within: str = '"$@"', **environment: str) -> Any:
        variables = {k: v for k, v in os.environ.items() if k not in ("VATRA_MODEL", "NO_COLOR")}
        home = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
        child = pexpect.spawn(
            "bash",
            ["-c", within, "bash", sys.executable, "-m", "vatra", *map(str, arguments)],
            cwd=str(ROOT),
            env=variables
            | home
            | {"TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1"}
            | environment,
            encoding="utf-8",
            timeout=60,
            dimensions=(24, 100),
        )
        child.delaybeforesend = None
        started.append(child)
        return child

    yield spawn
    for child in started:
        child.close(force=True)


def output(child: Any) -> str:
    """Everything printed until the end, with the terminal's line ends made newlines."""
    child.expect(pexpect.EOF)
    child.close()
    return str(child.before).replace("\r\n", "\n")


def story(shared: Path) -> str:
    return (shared / "golden" / "stories260K.txt").read_text().removeprefix(" Once upon a time")


# ---- run -----------------------------------------------------------------------------------------


def test_run_streams_and_tells_the_speed(vatra: Spawn, shared: Path) -> None:
    model = shared / "models" / "stories260K-f32.gguf"
    child = vatra("run", "-m", model, *REFERENCE, *GREEDY, "-n", "40", "Once upon a time")
    child.expect("Lily")
    text = output(child)
    assert child.exitstatus == 0
    assert story(shared).split("Lily")[1][:20] in text
    assert f"{ESCAPE}[2mprompt 5 tokens" in text


def test_the_toy_is_told_of_dimly_and_first(vatra: Spawn) -> None:
    text = output(vatra("run", *REFERENCE, *GREEDY, "-n", "3", "Once"))
    assert re.match(r"\x1b\[2mSpark, a toy [^\x1b\n]+\x1b\[0m\n", text), text


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_escape_sequences_where_none_are_wanted(
    vatra: Spawn,
    spark: Path,
    environment: dict[str, str],
    tmp_path: Path,
    nearly_cold: Callable[[Path], Path],
) -> None:
    cold = {"VATRA_CACHE": str(nearly_cold(spark))}
    for arguments in (
        ("run", "-m", spark, *GREEDY, "-n", "5", "Once"),
        ("doctor",),
        ("inspect", spark),
        ("run", "-m", tmp_path / "missing", "x"),
        ("--help",),
    ):
        text = output(vatra(*arguments, **cold, **environment))
        assert ESCAPE not in text
        assert ("compiling" in text) == (arguments[:3] == ("run", "-m", spark))


def test_first_run_shows_that_it_compiles(
    vatra: Spawn, shared: Path, nearly_cold: Callable[[Path], Path]
) -> None:
    model = shared / "models" / "stories260K-f32.gguf"
    cold = {"VATRA_CACHE": str(nearly_cold(model))}
    child = vatra("run", "-m", model, *GREEDY, "-n", "20", "Once upon a time", **cold)
    child.expect(r"compiling \d+ kernels?, once")
    child.expect(r"compiled \d+ kernels? in \d+ s, once")
    text = output(child)
    assert child.exitstatus == 0
    assert story(shared)[:30] in text
    assert text.rfind(f"{ESCAPE}[?25l") <= text.rfind(f"{ESCAPE}[?25h"), "the cursor stays hidden"


def test_interrupt_while_compiling(vatra: Spawn, spark: Path, tmp_path: Path) -> None:
    cold = {"VATRA_CACHE": str(tmp_path / "cold")}
    child = vatra("run", "-m", spark, "-n", "5", "Once", **cold)
    child.expect("compiling")
    time.sleep(0.5)
    begin = time.monotonic()
    child.sendintr()
    text = output(child)
    assert time.monotonic() - begin < 15
    assert child.exitstatus == 130
    assert "Traceback" not in text and "error" not in text
    assert text.rfind(f"{ESCAPE}[?25l") <= text.rfind(f"{ESCAPE}[?25h"), "the cursor stays hidden"
    again = vatra("run", "-m", spark, "-n", "5", "Once", **cold)
    output(again)
    assert again.exitstatus == 0


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_interrupt_while_writing(vatra: Spawn, shared: Path, backend: str) -> None:
    model = shared / "models" / "stories260K-f32.gguf"
    child = vatra(
        "run", "-m", model, *GREEDY, "--backend", backend, "--ctx", "100000", "Once upon a time",
        within=STATE_AFTERWARDS,
    )  # fmt: skip
    child.expect("Lily")
    begin = time.monotonic()
    child.sendintr()
    child.expect("status 130")
    assert time.monotonic() - begin < 2
    assert "Traceback" not in child.before and "error" not in child.before
    assert_same_state(output(child))


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_the_terminal_is_restored_after_chat(
    vatra: Spawn, spark: Path, signal_number: int, tmp_path: Path
) -> None:
    history = tmp_path / "state" / "vatra" / "chat-history"  # so long that it is still being read
    history.parent.mkdir(parents=True)
    history.write_text("\n# 2026-11-21\n+a line\n" * 100_000)
    child = vatra("chat", "-m", spark, *REFERENCE, within=STATE_AFTERWARDS)
    child.expect(r"pid (\d+)")
    pid = int(child.match[1])
    child.expect(PROMPT)
    os.kill(pid, signal_number)
    if signal_number == signal.SIGINT:
        child.expect("leaves")
        child.expect(PROMPT)
        child.sendeof()
    child.expect(f"status {143 if signal_number == signal.SIGTERM else 0}")
    assert "Traceback" not in child.before
    assert_same_state(output(child))


def assert_same_state(text: str) -> None:
    before, after = text.split()
    assert before == after and before.count(":") > 5


def test_run_asks_for_a_prompt(vatra: Spawn, spark: Path) -> None:
    child = vatra("run", "-m", spark)
    assert re.fullmatch(r"error: no prompt: [^\n]+\n", output(child))
    assert child.exitstatus == 2


def test_model_text_cannot_steer_the_terminal(vatra: Spawn, spark: Path, tmp_path: Path) -> None:
    hostile = f"{ESCAPE}]0;owned\x07{ESCAPE}[31m[red]\u202e\x9b2J"
    with gguf.read(spark) as found:
        pieces = found.metadata["tokenizer.ggml.tokens"].tolist()
        # Every ordinary piece that is a whole word becomes an attack.
        kinds = found.metadata["tokenizer.ggml.token_type"]
        found.metadata["tokenizer.ggml.tokens"] = [
            f"{hostile}{i}" if kinds[i] == 1 and len(piece) > 3 else piece
            for i, piece in enumerate(pieces)
        ]
        found.metadata["general.name"] = hostile
        gguf.write(tmp_path / "hostile.gguf", found.metadata, found.tensors)
    shown = r"\x1b]0;owned\x07\x1b[31m[red]\u202e\x9b2J"
    for arguments in (
        (
            "run",
            "-m",
            tmp_path / "hostile.gguf",
            *REFERENCE,
            *GREEDY,
            "-n",
            "60",
            "--no-stats",
            "O",
        ),
        ("inspect", tmp_path / "hostile.gguf"),
    ):
        text = output(vatra(*arguments))
        assert shown in text
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)


# ---- chat ----------------------------------------------------------------------------------------


def test_chat(vatra: Spawn, spark: Path) -> None:
    child = vatra("chat", "-m", spark, *REFERENCE, *GREEDY, "-n", "12", "--stats")
    child.expect(PROMPT)
    child.send("Once upon a time\r")
    child.expect(r"prompt (\d+) tokens.*answer (\d+) tokens")
    first = int(child.match[1])
    child.expect(PROMPT)
    child.send("Lily\r")
    child.expect(r"prompt (\d+) tokens.*answer (\d+) tokens")
    assert int(child.match[1]) < first + 12, "the second question reads the whole talk again"
    child.expect(PROMPT)
    child.send("/help\r")
    child.expect("/clear")
    child.expect(PROMPT)
    child.send("/nonsense\r")
    child.expect("unknown")
    child.expect(PROMPT)
    child.send("/clear\r")
    child.expect("forgotten")
    child.expect(PROMPT)
    child.send("Once upon a time\r")
    child.expect(r"prompt (\d+) tokens? \((\d+) more reused\)")
    assert int(child.match[1]) + int(child.match[2]) == first
    child.expect(PROMPT)
    child.sendeof()
    output(child)
    assert child.exitstatus == 0


def test_a_question_of_several_lines(vatra: Spawn, spark: Path) -> None:
    child = vatra("chat", "-m", spark, *REFERENCE, *GREEDY, "-n", "3", "--stats")
    counts = []
    for keys in ("one two\r", "one\x1b\rtwo\r", "\x1b[200~one\ntwo\x1b[201~\r"):
        child.expect(PROMPT)
        child.send("/clear\r")
        child.expect("forgotten")
        child.expect(PROMPT)
        child.send(keys)
        child.expect(r"prompt (\d+) tokens?(?: \((\d+) more)?")
        counts.append(int(child.match[1]) + int(child.match[2] or 0))
    typed_apart, alt_enter, pasted = counts
    assert alt_enter == pasted >= typed_apart
    child.expect(PROMPT)
    child.sendeof()
    output(child)


def test_interrupt_stops_the_answer_and_not_the_program(vatra: Spawn, spark: Path) -> None:
    child = vatra("chat", "-m", spark, *REFERENCE, *BABBLE, "--ctx", "20000")
    child.expect(PROMPT)
    child.send("Once upon a time\r")
    child.expect(ANSWER)
    child.sendintr()
    child.expect(r"\(stopped\)")
    child.expect(PROMPT)
    time.sleep(0.6)  # not quickly
    child.sendintr()  # at the prompt: only a hint
    child.expect("leaves")
    child.expect(PROMPT)
    child.send("/bye\r")
    text = output(child)
    assert child.exitstatus == 0
    assert "Traceback" not in text


def test_chat_remembers_lines_between_runs(vatra: Spawn, spark: Path) -> None:
    for keys in ("Once upon a time\r", "\x1b[A\r"):  # the second time, the up arrow
        child = vatra("chat", "-m", spark, *REFERENCE, *GREEDY, "-n", "3", "--stats")
        child.expect(PROMPT)
        child.send(keys)
        child.expect(r"prompt (\d+) tokens")
        count = int(child.match[1])
        child.expect(PROMPT)
        child.sendeof()
        output(child)
        assert child.exitstatus == 0
    assert count > 10, "the line of the first run came back"


def test_chat_without_a_terminal(spark: Path) -> None:
    import subprocess

    done = subprocess.run(
        [sys.executable, "-m", "vatra", "chat", "-m", str(spark), *REFERENCE, *GREEDY, "-n", "8"],
        cwd=ROOT, input="Once upon a time\n\n/help\nLily\n", text=True,
        capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") >= 2
    assert ESCAPE not in done.stdout + done.stderr
    assert "/clear" in done.stderr and "/clear" not in done.stdout


def test_a_template_of_ones_own(shared: Path, tmp_path: Path) -> None:
    import subprocess

    model = shared / "models" / "stories260K-f32.gguf"

    def chat(template: bytes) -> subprocess.CompletedProcess[str]:
        (tmp_path / "own.jinja").write_bytes(template)
        return subprocess.run(
            [sys.executable, "-m", "vatra", "chat", "-m", str(model), *REFERENCE, *GREEDY,
             "--chat-template", str(tmp_path / "own.jinja"), "-n", "6"],
            cwd=ROOT, input="Once upon a time\n", text=True, capture_output=True, timeout=60,
        )  # fmt: skip

    done = chat(b"{{ messages[-1].content }}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(", there was a"), "the prompt is the message alone"
    for broken, said in ((b"{% if %}", "tokenizer.chat_template line 1"), (b"\xff", "not UTF-8")):
        done = chat(broken)
        assert done.returncode == 65
        assert done.stderr.count("\n") == 1 and said in done.stderr and "own.jinja" in done.stderr


# ---- what is printed -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "plain ASCII, tabs\tand\nnewlines",
        "naïve café 日本\u3000語, 1\u202f000 and\u00a0more",
        "👩\u200d💻 🏳\ufe0f\u200d🌈",  # joined by U+200D
        "می\u200cخواهم, \u200fעברית",
        "[red]markup[/red] \\x1b",
    ],
)
def test_text_passes_unchanged(text: str) -> None:
    assert terminal.plain(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", r"\x1b[31m"),
        ("\x00\x07\x08\x0b\x0c\x7f", r"\x00\x07\x08\x0b\x0c\x7f"),
        ("\x9b31m\x85", r"\x9b31m\x85"),
        ("a\rb", r"a\rb"),
        ("a\r\nb", "a\nb"),
        ("\u202eevil\u2066x\u2069", r"\u202eevil\u2066x\u2069"),
        ("\u2028\u2029", r"\u2028\u2029"),
        ("\ud800", r"\ud800"),
    ],
)
def test_steering_is_shown_escaped(text: str, shown: str) -> None:
    assert terminal.plain(text) == shown


def test_no_control_character_passes() -> None:
    for code in range(0x110000):
        shown = terminal.plain(chr(code))
        if code not in (9, 10) and (code < 32 or 127 <= code < 160 or 0xD800 <= code < 0xE000):
            assert shown.isascii() and shown.isprintable()
        shown.encode()
