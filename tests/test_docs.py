"""README and help texts are compared with the program: they cannot say what is not so."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path

import pytest
from typer.main import get_command

import vatra
from vatra import quant
from vatra.cli.app import app
from vatra.engine.kernels.layout import FAST, FLOATS
from vatra.models import MODULES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
COMMANDS = sorted(
    {
        found.split("&&")[-1].split("#")[0].strip()
        for text in (README, CONTRIBUTING)
        for found in re.findall(r"(?:^|`|&& )(vatra [^`\n]*)", text, re.M)
        if "COMMAND" not in found
    }
)
PYTHON = re.findall(r"```python\n(.*?)```", README, re.S)


def test_length() -> None:
    lines = README.splitlines()
    assert len(lines) <= 150
    first = next(i for i, line in enumerate(lines, 1) if line.startswith("pip install"))
    assert first <= 20
    assert len(CONTRIBUTING.splitlines()) <= 120


def test_there_are_commands_for_everything() -> None:
    assert {shlex.split(line)[1] for line in COMMANDS} >= set(get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("line", COMMANDS)
def test_command_parses(line: str) -> None:
    words = shlex.split(re.sub(r"\s*[<>] \S+", "", line))[1:]
    group = get_command(app)
    if words[0].startswith("-"):
        assert words in (["--version"], ["--help"])
        return
    command = group.commands[words[0]]  # type: ignore[attr-defined]
    command.make_context(words[0], words[1:])


@pytest.mark.parametrize("line", COMMANDS)
def test_options_are_spelled_out_in_the_help(line: str) -> None:
    words = shlex.split(line)
    if words[1].startswith("-"):
        pytest.skip("an option of the program itself")
    text = help_of(words[1])
    for option in (word for word in words[2:] if word.startswith("-")):
        assert re.search(rf"(^|[\s,]){option}\b", text), option


@pytest.mark.parametrize("name", sorted(get_command(app).commands))  # type: ignore[attr-defined]
def test_help_fits_a_terminal(name: str) -> None:
    text = help_of(name)
    assert text.startswith(f"Usage: vatra {name}")
    assert max(map(len, text.splitlines())) <= 80
    assert "--help" in text


def test_summaries_are_not_cut() -> None:
    assert "..." not in help_of().split("Commands:")[1]


def test_table_of_formats() -> None:
    assert set(quant.FORMATS) == set(FAST) | set(FLOATS), "say in README.md which have no kernel"
    assert formats_table() in README, f"README.md should hold this table:\n{formats_table()}"


def test_architectures() -> None:
    line = re.search(r"^Architectures: more than a hundred(.*?)\.$", README, re.M | re.S)
    assert line and set(re.findall(r"`([\w-]+)`", line[1])) <= set(MODULES)
    assert len(MODULES) > 100


def test_named_files_exist() -> None:
    for text in (README, CONTRIBUTING):
        for name in re.findall(r"[`(]((?:[\w.]+/)+[\w.]+\.py|\.ci/run|[A-Z]+\.md)[`)]", text):
            assert (ROOT / name).exists(), name


def test_python_example(spark: Path, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").symlink_to(spark)
    done = subprocess.run(
        [sys.executable, "-c", PYTHON[0] + "\nprint(logits.shape, logits.dtype)"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with vatra.load(spark) as model:
        steps = model.generate("Once upon a time", vatra.Sampling(temperature=0), max_tokens=20)
        assert done.stdout.startswith("".join(step.text for step in steps))
        shape = len(model.tokenizer.encode("Once upon a time")), model.plan.n_vocab
    assert done.stdout.endswith(f"{shape} float32\n")


def formats_table() -> str:
    """The README's table of weight formats, from the registry: two in a row."""
    known = quant.FORMATS.values()
    cells = [f"| {f.name}{' *' if f.can_encode else ''} | {f.bits:g} " for f in known]
    half = -(-len(cells) // 2)
    rows = zip_longest(cells[:half], cells[half:], fillvalue="| | ")
    head = ["| format | bits per weight | format | bits per weight |", "|---|---|---|---|"]
    return "\n".join([*head, *(f"{left}{right}|" for left, right in rows)])


def help_of(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "vatra", *command, "--help"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
        env=os.environ | {"COLUMNS": "80"},
    )  # fmt: skip
    return done.stdout
