"""`vatra batch`: every line is answered exactly once, whenever it is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import vatra
from vatra.cli.app import main
from vatra.cli.batch_lines import lines_of
from vatra.cli.batch_records import key_of

ROOT = Path(__file__).parent.parent
OPTIONS = ["--temperature", "0", "-n", "8"]


def write(path: Path, lines: Sequence[Any]) -> Path:
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(*arguments: object) -> int:
    return main(["batch", *map(str, arguments), *OPTIONS])


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "in.jsonl", tmp_path / "out.jsonl"


def test_answers_are_those_of_run(files: tuple[Path, Path]) -> None:
    source, target = files
    ask, begin = "What is the capital of France?", "Once upon a time"
    lines: list[Any] = [
        {"prompt": ask, "id": "chat"},
        {"messages": [{"role": "user", "content": ask}], "max_tokens": 3, "id": 7},
        {"prompt": ask, "id": "stop", "stop": [" of"]},
        {"prompt": ask, "json_schema": {"enum": ["Rome", "Oslo"]}, "logprobs": 1},
        {"prompt": [1, 659, 536], "seed": 5, "temperature": 0.9, "logit_bias": {"17": 1}},
    ]
    assert run(write(source, lines), target) == 0
    found = {record.get("id", record["line"]): record for record in records(target)}
    with vatra.load() as model:
        steps = model.chat([{"role": "user", "content": ask}], temperature=0, max_tokens=8)
        text = "".join(step.text for step in steps)
        session = model.generate(begin, temperature=0, max_tokens=8)
        raw = "".join(step.text for step in session)
    assert found["chat"]["text"] == text and found["chat"]["line"] == 1
    assert found["chat"]["finish_reason"] == steps.finish_reason
    assert found["chat"]["generated_tokens"] == len(steps.tokens)
    assert text.startswith(found[7]["text"]) and found[7]["finish_reason"] == "length"
    assert found["stop"]["text"] == text.partition(" of")[0]
    assert json.loads(found[4]["text"]) in ("Rome", "Oslo")
    assert len(found[4]["logprobs"][0]["top"]) == 1
    assert found[5]["seed"] == 5 and found[5]["prompt_tokens"] == 3
    assert run(write(source, [{"prompt": begin}]), target.with_name("raw"), "--raw") == 0
    assert records(target.with_name("raw"))[0]["text"] == raw


NOTHING_ASKED = {"n": None, "top_logprobs": None, "response_format": None, "stop": None}
WRONG_BODIES: list[dict[str, Any]] = [
    {"logprobs": True, "top_logprobs": "5"},
    {"response_format": {"type": "json_schema", "json_schema": "x"}},
    {"response_format": {"type": "json_schema"}},
    {"response_format": "json"},
]


def test_openai_lines(files: tuple[Path, Path]) -> None:
    source, target = files
    chat = {
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "model": "",
    }
    body = chat | {"max_completion_tokens": 3, "logprobs": True, "top_logprobs": 2, "stream": False}
    lines = [
        {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body},
        {"custom_id": "b", "method": "POST", "url": "/v1/completions",
         "body": {"prompt": "Once upon", "max_tokens": 2, "logprobs": 1}},
        {"custom_id": "c", "method": "POST", "url": "/v1/embeddings", "body": {"input": "x"}},
        {"custom_id": "d", "method": "POST", "url": "/v1/chat/completions", "body": {"n": 2}},
        *({"custom_id": f"d{i}", "url": "/v1/chat/completions", "body": chat | wrong}
          for i, wrong in enumerate(WRONG_BODIES)),
        {"custom_id": "e", "url": "/v1/chat/completions", "body": body | NOTHING_ASKED},
    ]  # fmt: skip
    assert run(write(source, lines), target) == 65
    found = {record["custom_id"]: record["response"] for record in records(target)}
    answer = found["a"]["body"]
    assert found["a"]["status_code"] == 200 and answer["object"] == "chat.completion"
    assert answer["usage"]["completion_tokens"] == 3
    [choice] = answer["choices"]
    assert choice["message"]["role"] == "assistant" and choice["finish_reason"] == "length"
    assert len(choice["logprobs"]["content"]) == 3
    assert len(choice["logprobs"]["content"][0]["top_logprobs"]) == 2
    text = found["b"]["body"]["choices"][0]
    assert "".join(text["logprobs"]["tokens"]) == text["text"] != ""
    assert len(found["e"]["body"]["choices"][0]["logprobs"]["content"]) == 3
    for name in {*found} - {*"abe"}:
        assert found[name]["status_code"] == 400 and found[name]["body"]["error"]["message"]
    assert run(source, target) == 65 and len(records(target)) == len(lines)


BAD = [
    "not json", "[1]", '"text"', "{}", '{"prompt": 1}', '{"prompt": "a", "messages": []}',
    '{"messages": [{"content": "a"}]}', '{"messages": [{"role": "user", "content": 3}]}',
    '{"prompt": "a", "temprature": 1}', '{"prompt": "a", "temperature": "hot"}',
    '{"prompt": "a", "stop": 3}', '{"prompt": "a", "stop": [""]}', '{"prompt": "a", "id": [1]}',
    '{"prompt": "a", "max_tokens": -2}', '{"prompt": "a", "logprobs": "x"}',
    '{"prompt": "a", "json_schema": {"type": 3}}', '{"prompt": "a", "json": true, "grammar": "x"}',
    '{"prompt": "a", "grammar": "root ::= nothing"}', '{"prompt": [1, 99999999]}',
    '{"prompt": "a", "tools": "b"}', '{"prompt": "a", "template_kwargs": {"messages": []}}',
    '{"prompt": "a", "filters": []}', '{"prompt": "a", "logit_bias": {"no such token": 1}}',
    '{"prompt": "' + "long " * 5000 + '"}', "[" * 100000, '{"custom_id": "x"}', '{"body": 1}',
    '{"custom_id": "y", "url": ["a"], "body": {}}',
    '{"prompt": "\\ud800", "id": "\\ud800", "x": 1}',
    '{"prompt": "a", "logit_bias": {"' + "9" * 5000 + '": 1}}', '{"prompt": "a", "grammar": ""}',
    '{"prompt": "a", "template_kwargs": {"self": 1}}',
]  # fmt: skip


def test_bad_lines_are_answered_with_their_errors(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = files
    good = {"prompt": "Hello", "id": "good"}
    assert run(write(source, [good, *BAD, "", "  ", good | {"id": "last"}]), target) == 65
    found = records(target)
    assert len(found) == len(BAD) + 2
    fine = [record for record in found if "text" in record]
    assert [record["id"] for record in fine] == ["good", "last"]
    for record in found:
        assert "text" in record or record.get("error") or record["response"]["status_code"] == 400
    assert f"{len(BAD) + 2} answered, {len(BAD)} of them with an error" in capsys.readouterr().err


def test_an_id_that_was_had_before(files: tuple[Path, Path]) -> None:
    source, target = files
    assert run(write(source, [{"prompt": "a", "id": 1}, {"prompt": "b", "id": 1}]), target) == 65
    [bad] = [record for record in records(target) if "error" in record]
    assert bad["line"] == 2 and "that of line 1 too" in bad["error"]["message"]


# --- going on


def test_it_goes_on_after_it_was_killed(files: tuple[Path, Path]) -> None:
    source, target = files
    n = 14
    lines = [{"prompt": f"Tell me a story of {i}."} for i in range(n)]
    lines = [line | ({"id": f"n{i}"} if i % 2 else {}) for i, line in enumerate(lines)]
    write(source, lines)
    command = [sys.executable, "-m", "vatra", "batch", str(source), str(target), "--parallel", "2",
               "--temperature", "0", "-n", "40"]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for at_least in (2, 6):
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
            while not target.exists() or target.read_bytes().count(b"\n") < at_least:
                assert process.poll() is None
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
        assert at_least <= target.read_bytes().count(b"\n") < n
        with target.open("ab") as file:
            file.write(b'{"line": 3, "hash": "12')  # as if it had been killed while writing
    assert subprocess.run(command, env=environment, timeout=60).returncode == 0
    found = records(target)
    assert sorted(record["line"] for record in found) == list(range(1, n + 1))
    assert all(record["text"] for record in found)
    by_line = {record["line"]: record["text"] for record in found}
    with vatra.load() as model:
        chats = ([{"role": "user", "content": line["prompt"]}] for line in lines)
        for answer in model.batch(chats, temperature=0, max_tokens=40):
            assert answer.text == by_line[answer.index + 1]


def test_ctrl_c_says_how_to_go_on(files: tuple[Path, Path]) -> None:
    source, target = files
    write(source, [{"prompt": f"Tell me of {i}.", "ignore_eos": True} for i in range(8)])
    command = [sys.executable, "-m", "vatra", "batch", str(source), str(target), "--parallel", "1",
               "-n", "300"]  # fmt: skip
    with subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True
    ) as process:
        while not target.exists() or not target.read_bytes().count(b"\n"):
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    n_done = len(records(target))
    assert f"stopped: {n_done} of 8 are answered in {target}; the same command goes on" in said
    assert "Traceback" not in said


def test_nothing_is_answered_twice(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = files
    first = [{"prompt": "a", "id": 1}, {"prompt": "b"}, "bad"]
    assert run(write(source, first), target) == 65
    before = target.read_bytes()
    assert run(source, target) == 65 and target.read_bytes() == before
    assert "all 3 lines are answered" in capsys.readouterr().err
    changed = [{"prompt": "a", "id": 1}, {"prompt": "other"}, {"prompt": "c"}, {"prompt": "d"}]
    assert run(write(source, changed), target) == 0
    said = capsys.readouterr().err
    assert "the input was changed since: line 2 and 1 more had an answer" in said
    assert "3 answered; 1 were before" in said
    assert [record["line"] for record in records(target)].count(1) == 1
    assert run(write(source, changed[:1]), target) == 0
    assert "has 3 answers to lines that the input does not have" in capsys.readouterr().err


def test_lines_may_move_if_they_have_ids(files: tuple[Path, Path]) -> None:
    source, target = files
    lines = [{"prompt": "a", "id": "x"}, {"prompt": "b", "id": "y"}]
    assert run(write(source, lines), target) == 0
    assert run(write(source, [{"prompt": "c", "id": "z"}, *reversed(lines)]), target) == 0
    assert sorted(record["id"] for record in records(target)) == ["x", "y", "z"]


@pytest.mark.parametrize("content", ["hello\n", '{"a": 1}\n', "hello", '{"line": 1}\n', "[]\n"])
def test_another_file_is_left_as_it_is(
    files: tuple[Path, Path], content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = files
    target.write_text(content)
    assert run(write(source, [{"prompt": "a"}]), target) == 65
    assert target.read_text() == content
    assert "not an answer of vatra batch" in capsys.readouterr().err


def test_files_that_can_not_be(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = files
    assert run(source, target) == 66
    write(source, [{"prompt": "a"}])
    assert run(source, source) == 2 and source.read_text() == '{"prompt": "a"}\n'
    assert run(source, source.parent / "no" / "folder") == 66
    assert run(source, source.parent) == 66
    assert run(source, "/dev/null") == 2
    assert run(source, target, "--raw", "--system", "x") == 2
    with target.open("a") as other:
        import fcntl

        fcntl.flock(other, fcntl.LOCK_EX)
        capsys.readouterr()
        assert run(source, target) == 2
        assert "another process is writing to it" in capsys.readouterr().err


def test_standard_input_and_output() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vatra", "batch", "-", "-", *OPTIONS],
        input='{"prompt": "Hello"}\n{"prompt": "Who are you?"}\n', text=True, capture_output=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(json.loads(line)["line"] for line in done.stdout.splitlines()) == [1, 2]


def test_keys() -> None:
    lines = lines_of([b'{"prompt": "a"}', b"", b'{"id": "x", "prompt": "a"}', b' {"prompt": "a"} '])
    assert [line.key for line in lines] == [("line", 1), ("id", "x"), ("line", 4)]
    assert lines[0].hash == lines[2].hash != lines[1].hash
    assert key_of({"line": 3, "hash": "h", "text": ""}) == (("line", 3), "h", False)
    assert key_of({"id": 3, "line": 1, "hash": "h", "error": {}}) == (("id", 3), "h", True)
