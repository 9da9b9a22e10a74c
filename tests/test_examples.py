"""Every example runs on the toy, and prints what its docstring promises."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
PRINTS = {  # a pattern within what each prints
    "activations.py": r"layer 7 would say: ' garden'(.|\n)*\+1 of the way(.|\n)*\d, with half of",
    "batch.py": r"0 .*Paris(.|\n)*12 ids\[0\]: got 1000000000(.|\n)*\d+ tokens/s\n(.|\n)+",
    "conversation.py": r"Paris(.|\n)*Rome(.|\n)*assistant: ",
    "embeddings.py": r"3 vectors of 256 values\n1\.000 (.|\n)*Italy: What is the capital of France",
    "event_loop.py": r"fox(.|\n)*whale",
    "formats.py": r"q4_0 +4\.5 +\d\.\d\d%(.|\n)*f32 +32 +0\.00%",
    "json_answer.py": r'^\{\n  "name": "[^"]*",\n  "age": \d+,\n  "animals": \[',
    "llama_drop_in.py": r"Q: Name a colour(.|\n)*'total_tokens': \d+(.|\n)*Paris(.|\n)*Once upon",
    "logprobs.py": r"' P' +\d+\.\d%(.|\n)*least expected: ",
    "own_filter.py": r"[1-9]\d* long words said again:(.|\n)*\n0 long words said again:",
    "quantised_tensor.py": r"q8_0: 32 weights lie in 34 bytes",
    "stream.py": r"\n60 tokens, \d+ tokens/s\nit ended because of: length",
    "threads.py": r"little fox .+\n(.|\n)*brave girl .+",
    "tools.py": r"\w+",
}

ELSEWHERE = {"ray_serve.py": "test_batch_ray.py"}  # needs what is not installed for all tests


@pytest.mark.parametrize("name", PRINTS)
def test_example(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [name])
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    assert re.search(PRINTS[name], printed.getvalue(), re.M), printed.getvalue()


def test_all_are_listed_with_what_they_show() -> None:
    files = sorted(path.name for path in EXAMPLES.glob("*.py"))
    assert files == sorted([*PRINTS, *ELSEWHERE])
    tests = Path(__file__).parent
    assert all(name in (tests / test).read_text() for name, test in ELSEWHERE.items())
    listed = re.findall(r"^\| `(\w+\.py)` \| .+ \|$", (EXAMPLES / "README.md").read_text(), re.M)
    assert sorted(listed) == files
    for name in files:
        text = (EXAMPLES / name).read_text()
        assert ast.get_docstring(ast.parse(text))
        assert text.count("\n") <= 50
