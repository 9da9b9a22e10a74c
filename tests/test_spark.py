"""The toy model that comes with Vatra: what its file is, what it answers, what formats do to it."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vatra
from vatra.cli import app
from vatra.engine.sampling import Sampling, not_honoured
from vatra.formats import gguf, tokenizer
from vatra.quant import FORMATS
from vatra.quant.tensor import QTensor
from vatra.spark import corpus

ROOT = Path(__file__).parent.parent
TOY = re.compile(
    r"Spark, a toy of [3-8] million weights that comes with Vatra; -m FILE or VATRA_MODEL names "
    r"a real model \(https://\S+\)"
)
# Nats that the mean negative log-likelihood of a token may differ from that with F32 weights.
BANDS = {
    "f32": 0.0,
    "f16": 0.0005,
    "bf16": 0.001,
    "q8_0": 0.002,
    "q5_1": 0.005,
    "q5_0": 0.01,
    "q4_1": 0.03,
    "q4_0": 0.03,
    "mxfp4": 0.06,
    # Three values a weight are enough for weights trained with three; others become noise.
    "tq1_0": 15.0,
    "tq2_0": 15.0,
}


def command(
    *arguments: object, input: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `vatra` in a process of its own, with no model named by the environment."""
    return subprocess.run(
        [sys.executable, "-m", "vatra", *map(str, arguments)],
        cwd=ROOT, input=input, capture_output=True, text=True, timeout=120,
        env={k: v for k, v in os.environ.items() if k != "VATRA_MODEL"} | environment,
    )  # fmt: skip


# ---- the file ------------------------------------------------------------------------------------


def test_what_the_file_says(spark: Path) -> None:
    with gguf.read(spark) as file:
        said = file.metadata
        assert said["general.architecture"] == "llama"
        assert said["general.name"] == "Spark"
        assert said["general.license"] == "MIT"
        assert "<|im_start|>" in said["tokenizer.chat_template"]
        assert any(key.startswith("general.sampling.") for key in said)
        assert not not_honoured(said)
        assert Sampling.from_metadata(said, file.path).temperature <= 1


def test_its_weights(spark: Path) -> None:
    assert spark.stat().st_size <= 9_000_000
    with gguf.read(spark) as file:
        assert 3_000_000 <= file.n_parameters <= 8_000_000
        matrices = [t for t in file.tensors.values() if len(t.shape) == 2]
        assert {t.format.name for t in matrices} == {"q8_0"}
        assert not [t.name for t in matrices if t.width % 256]
        assert "output.weight" not in file.tensors  # the embeddings serve twice


def test_its_vocabulary(spark: Path) -> None:
    with gguf.read(spark) as file:
        found = tokenizer.load(file)
        kinds = file.metadata["tokenizer.ggml.token_type"]
    assert 2000 <= found.n_vocab <= 4096
    assert not found.warnings
    marks = [found.encode(mark, bos=False) for mark in ("<|im_start|>", "<|im_end|>")]
    assert all(len(ids) == 1 and kinds[ids[0]] == 3 for ids in marks)
    assert {found.eos_id, marks[1][0]} <= set(found.eog_ids)
    assert sum(int(kind) == 6 for kind in kinds) == 256
    text = "Once upon a time, 2 + 3 = 5. \u00e9\u4e16\U0001f600 \x07"
    ids = found.encode(text)
    assert ids[0] == found.bos_id
    assert found.decode(ids[1:]) == text


def test_both_executors_agree(spark: Path) -> None:
    logits = []
    for backend in ("cpu", "reference"):
        with vatra.load(spark, backend=backend) as model:
            assert not model.notes
            ids = model.tokenizer.encode(held_out()[0])[: model.n_ctx]
            logits.append(model.logits(ids).astype(np.float64))
    ours, expected = logits
    assert ((ours - expected) ** 2).sum() / (expected**2).sum() < 1e-3


# ---- what it answers -----------------------------------------------------------------------------


def test_it_tells_a_story_without_a_model_s_name() -> None:
    done = command("run", "-n", 40, "--temperature", 0, "Once upon a time")
    assert done.returncode == 0, done.stderr
    text = done.stdout
    words = re.findall(r"[a-z']+", text.lower())
    assert len(words) >= 20 and len(set(words)) >= len(words) // 2, text
    assert {"a", "the", "and", "was"} & set(words), text
    assert re.fullmatch(r"[A-Za-z ,.!?'\"\n-]+", text), text
    assert re.search(r"[a-z]\. [A-Z]", text), text


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is 2 + 3?", r"\b5\b"),
        ("What is the opposite of hot?", r"\bcold\b"),
        ("What is the capital of France?", r"\bParis\b"),
    ],
)
def test_it_answers(question: str, answer: str) -> None:
    done = command("chat", "--temperature", 0, "-n", 60, input=question + "\n")
    assert done.returncode == 0, done.stderr
    assert re.search(answer, done.stdout), done.stdout


# ---- where it is used, and said so ---------------------------------------------------------------


def test_one_line_tells_of_it(spark: Path) -> None:
    for arguments in (("run", "--no-stats", "-n", 3, "Once"), ("chat", "-n", 3)):
        done = command(*arguments, "--backend", "reference", input="Hello\n")
        assert done.returncode == 0, done.stderr
        first, *rest = done.stderr.splitlines()
        assert TOY.fullmatch(first)
        assert "Vatra" not in "".join([done.stdout, *rest])
        named = command(*arguments, "--backend", "reference", "-m", spark, input="Hello\n")
        assert named.stderr.splitlines() == rest
        from_environment = command(
            *arguments, "--backend", "reference", input="Hello\n", VATRA_MODEL=str(spark)
        )
        assert from_environment.stderr.splitlines() == rest


@pytest.mark.parametrize("name", ["run", "chat"])
def test_the_file_s_sampling_is_the_default(spark: Path, tmp_path: Path, name: str) -> None:
    always = [name, "--backend", "reference", "-n", 8, "--stats"]
    drawn = command(*always, input="Hello\n")
    assert re.search(r"; seed \d+\n", drawn.stderr)
    with gguf.read(spark) as file:
        said = {**file.metadata, "general.sampling.temp": np.float32(0)}
        gguf.write(tmp_path / "greedy.gguf", said, file.tensors)
    greedy = command(*always, "-m", tmp_path / "greedy.gguf", input="Hello\n")
    assert greedy.returncode == 0 and "; seed" not in greedy.stderr
    assert greedy.stdout == command(*always, "--temperature", 0, input="Hello\n").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect", "--json"),
        ("tokenize", "--json", "Once upon a time"),
        ("bench", "--backend", "reference", "-p", 4, "-n", 2, "--repeat", 1, "--json"),
    ],
)
def test_other_commands_take_it_silently(spark: Path, arguments: tuple[object, ...]) -> None:
    done = command(*arguments)
    assert done.returncode == 0 and "toy" not in done.stderr
    if arguments[0] == "bench":
        assert f'"{spark.name}"' in done.stdout
    else:
        assert done.stdout == command(*arguments, "-m", spark).stdout


def test_a_wrong_command_tells_only_what_is_wrong() -> None:
    for arguments, status in ((("run",), 2), (("run", "--top-p", "2", "Once"), 2)):
        done = command(*arguments)
        assert done.returncode == status
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["run", "chat", "bench", "tokenize", "inspect"])
def test_a_broken_installation(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(vatra.spark, "__file__", str(tmp_path / "__init__.py"))
    monkeypatch.delenv("VATRA_MODEL", raising=False)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert app.main([name, "hello"] if name in ("run", "tokenize") else [name]) == 66
    finally:
        signal.signal(signal.SIGTERM, before)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.fullmatch(r"error: \S+spark\.gguf: .* install Vatra again .*\n", shown.err)
    with pytest.raises(vatra.MissingFile, match="install Vatra again"):
        vatra.load()


# ---- what a weight format does to it -------------------------------------------------------------


def held_out() -> list[str]:
    """Stories that it was not trained on, and that do not change from run to run."""
    return list(islice(corpus.held_out_stories(seed=3), 3))


def test_every_format_that_can_be_written_has_a_band() -> None:
    assert set(BANDS) == {form.name for form in FORMATS.values() if form.can_encode}


@pytest.fixture(scope="module")
def exact(spark: Path, tmp_path_factory: pytest.TempPathFactory) -> float:
    """The mean negative log-likelihood of a token with the weights as F32."""
    return loss(spark, "f32", tmp_path_factory.mktemp("exact"))


@pytest.mark.parametrize("name", BANDS)
def test_perplexity(spark: Path, exact: float, tmp_path: Path, name: str) -> None:
    difference = loss(spark, name, tmp_path) - exact
    assert abs(difference) <= BANDS[name], f"{difference:+.5f} of {exact:.4f}"


def loss(model: Path, format_name: str, folder: Path) -> float:
    """Nats per token of the held-out texts, all matrices written anew in the format."""
    form, path = FORMATS[format_name], folder / f"{format_name}.gguf"
    with gguf.read(model) as file:
        tensors: dict[str, QTensor | np.ndarray] = dict(file.tensors)
        for name, tensor in file.tensors.items():
            if len(tensor.shape) == 2:
                data = form.encode(tensor.decode())
                tensors[name] = dataclasses.replace(tensor, format=form, data=data)
        gguf.write(path, file.metadata, tensors)
    total, count = 0.0, 0
    with vatra.load(path, backend="cpu") as loaded:
        for text in held_out():
            ids = np.array(loaded.tokenizer.encode(text)[: loaded.n_ctx])
            logits = loaded.logits(ids[:-1]).astype(np.float64)
            logits -= logits.max(axis=1, keepdims=True)
            logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
            total -= logits[np.arange(len(ids) - 1), ids[1:]].sum()
            count += len(ids) - 1
    path.unlink()
    return total / count
