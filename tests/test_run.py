"""`vatra run`: from what the prompt is made, and what becomes of the answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import vatra

ROOT = Path(__file__).parent.parent
ALWAYS = ("--backend", "reference", "--temperature", "0", "-n", "12")
QUESTION = "What is the capital of France?"


def run(*arguments: object, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "vatra", "run", *ALWAYS, *map(str, arguments)],
        cwd=ROOT,
        input=input,
        capture_output=True,
        timeout=60,
        env={k: v for k, v in os.environ.items() if k != "VATRA_MODEL"},
    )


@pytest.fixture(scope="module")
def model() -> Any:
    with vatra.load(backend="reference") as loaded:
        yield loaded


def answer(model: Any, *messages: tuple[str, str]) -> str:
    told = [{"role": role, "content": content} for role, content in messages]
    steps = model.chat(told, temperature=0, max_tokens=12)
    return "".join(step.text for step in steps)


def continued(model: Any, text: str) -> str:
    return "".join(s.text for s in model.generate(text, temperature=0, max_tokens=12))


def test_a_model_with_a_chat_template_answers(model: Any) -> None:
    expected = answer(model, ("user", QUESTION))
    assert "Paris" in expected
    for given in ((QUESTION,), ("--chat", QUESTION)):
        assert run(*given).stdout.decode() == f"{expected}\n"


def test_raw_continues(model: Any) -> None:
    expected = continued(model, "Once upon a time")
    assert run("--raw", "Once upon a time").stdout.decode() == f"{expected}\n"


def test_a_model_without_a_template_continues(shared: Path) -> None:
    path = shared / "models" / "stories260K-f32.gguf"
    with vatra.load(path, backend="reference") as stories:
        expected = continued(stories, "Once upon a time")
    done = run("-m", path, "Once upon a time")
    assert done.stdout.decode() == f"{expected}\n"
    assert b"no chat template" not in done.stderr
    assert b"no chat template" in run("-m", path, "--chat", "Once upon a time").stderr


def test_a_system_text(model: Any) -> None:
    expected = answer(model, ("system", "Be kind."), ("user", QUESTION))
    assert run("--system", "Be kind.", QUESTION).stdout.decode() == f"{expected}\n"
    done = run("--raw", "--system", "Be kind.", QUESTION)
    assert done.returncode == 2 and b"--raw" in done.stderr


def test_what_is_piped_in_follows_the_argument(model: Any, tmp_path: Path) -> None:
    expected = continued(model, "Once upon\na time")
    (tmp_path / "once").write_text("Once upon\n")
    for given, piped in (
        ((), b"Once upon\na time\r\n"),
        ((f"@{tmp_path}/once",), b"a time"),
    ):
        assert run("--raw", *given, input=piped).stdout.decode() == f"{expected}\n"


def test_output_for_programs(model: Any) -> None:
    done = run("--output", "json", "--seed", "3", QUESTION)
    assert done.returncode == 0 and done.stdout.count(b"\n") == 1
    found = json.loads(done.stdout)
    assert found["text"] == answer(model, ("user", QUESTION))
    assert found["finish_reason"] in ("eog", "length") and found["seed"] == 3
    assert found["model"].endswith("spark.gguf") and found["reasoning"] == ""
    assert 0 < found["generated_tokens"] <= 13 and found["generated_tokens_per_s"] > 0
    asked = [{"role": "user", "content": QUESTION}]
    assert found["prompt_tokens"] == len(model.chat_ids(asked))


def test_verbose_tells_where_the_time_went() -> None:
    told = run("--verbose", "--no-stats", QUESTION).stderr.decode().splitlines()
    assert [line.split()[0] for line in told[-6:]] == [
        "load", "prompt", "first", "answer", "memory", "sampling",
    ]  # fmt: skip
    assert "top_p 0.9" in told[-1]  # as its file says


def test_the_dearest_ops_are_told() -> None:
    from vatra.cli.timings import op_lines, timed

    with vatra.load(threads=1) as loaded, timed(loaded, True) as timings:
        list(loaded.generate("Once upon a time", temperature=0, max_tokens=4))
    lines = op_lines(timings)
    assert any("of the prompt" in line for line in lines)
    products = [line for line in lines if "of the answer" in line and "matmul q8_0" in line]
    assert len(products) == 1 and products[0].endswith("GB/s")
    with vatra.load(backend="reference") as slow, timed(slow, True) as nothing:
        assert op_lines(nothing) == []


def test_a_file_that_is_not_there() -> None:
    done = run("Read @nothing.txt")
    assert done.returncode == 66 and done.stdout == b""
    assert b"nothing.txt: No such file" in done.stderr and b"@@" in done.stderr
