"""Perplexity and divergence: beside llama.cpp, beside plain loops, and through the command."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vatra
from vatra.engine import perplexity as p
from vatra.errors import UsageError

ROOT = Path(__file__).parent.parent
LLAMA = json.loads((ROOT / "tests" / "llama_sampling.json").read_text())["perplexity"]
STORY = LLAMA["text"]


@pytest.fixture(scope="module")
def model(spark: Path) -> Iterator[vatra.Model]:
    with vatra.load(spark, ctx=64) as model:
        yield model


@pytest.fixture(scope="module")
def other(spark: Path) -> Iterator[vatra.Model]:
    with vatra.load(spark, ctx=64, kv="q8_0") as model:
        yield model


def rows(model: vatra.Model, of: p.Chunks) -> list[tuple[np.ndarray, int]]:
    """Log-probabilities in float64 and the token that came, of each prediction that counts."""
    found = []
    for begun, text in of:
        ((begin, logits),) = model.logits_in_parts(begun, of.first, model.kv)
        assert begin == of.first and len(logits) == of.n_ctx - begin
        for i in range(begin, of.n_ctx - 1):
            logs = logits[i - begin].astype(np.float64) - float(logits[i - begin].max())
            found.append((logs - np.log(np.exp(logs).sum()), int(text[i + 1])))
    return found


@pytest.mark.parametrize(("backend", "tolerance"), [("reference", 1e-4), ("cpu", 3e-4)])
def test_llamas(shared: Path, backend: str, tolerance: float) -> None:
    file = shared / "models" / "stories260K-f32.gguf"
    with vatra.load(file, backend=backend, ctx=LLAMA["n_ctx"], kv="f32") as floats:
        found = p.perplexity(floats, p.chunks(floats, STORY, LLAMA["n_ctx"]))
    assert found.n_tokens == LLAMA["n_tokens"]
    assert math.isclose(found.perplexity.value, LLAMA["value"], rel_tol=tolerance)
    assert math.isclose(found.perplexity.error, LLAMA["error"], rel_tol=1e-3)


def test_perplexity(model: vatra.Model) -> None:
    seen: list[tuple[int, int]] = []
    of = p.chunks(model, STORY, 32)
    found = p.perplexity(model, of, lambda *done: seen.append(done))
    losses = np.array([-logs[token] for logs, token in rows(model, of)])
    assert (found.n_tokens, found.n_ctx) == (len(losses), 32)
    assert found.n_tokens == found.n_chunks * 15
    assert seen == [(i, found.n_chunks) for i in range(1, found.n_chunks + 1)]
    assert math.isclose(found.nll.value, losses.mean(), rel_tol=1e-5)
    assert math.isclose(found.perplexity.value, math.exp(found.nll.value))
    assert math.isclose(found.nll.error, losses.std() / math.sqrt(len(losses) - 1), rel_tol=1e-5)
    assert found.perplexity.error == found.perplexity.value * found.nll.error


def test_chunks(model: vatra.Model) -> None:
    ids = model.tokenizer.encode(STORY)
    bos = model.tokenizer.bos_id
    whole = list(p.chunks(model, STORY, 32))
    assert len(whole) == len(ids) // 32
    for i, (begun, text) in enumerate(whole):
        assert text.tolist() == ids[32 * i : 32 * i + 32]
        assert begun.tolist() == [bos, *text[1:].tolist()]
    assert len(p.chunks(model, STORY, 32, most_chunks=2).starts) == 2
    strided = p.chunks(model, STORY, 32, stride=5)
    counted = [s + j for s in strided.starts for j in range(strided.first + 1, 32)]
    assert counted == list(range(27, counted[-1] + 1))  # every later token once
    assert len(ids) - 5 <= counted[-1] + 1 <= len(ids)


@pytest.mark.parametrize(("given", "message"), [
    ({"n_ctx": 65}, "the text has 65 tokens, but the context holds 64"),
    ({"n_ctx": 3}, "ctx: got 3, wanted at least 4 tokens"),
    ({"n_ctx": 32, "stride": 32}, "stride: got 32, wanted 1 to 31"),
    ({"n_ctx": 32, "stride": 0}, "stride: got 0, wanted 1 to 31"),
    ({"text": "too short", "n_ctx": 32}, "the text has [2-9] tokens, but a chunk takes 32"),
])  # fmt: skip
def test_what_can_not_be_measured(model: vatra.Model, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        p.chunks(model, **{"text": STORY, **given})


def test_divergence(model: vatra.Model, other: vatra.Model) -> None:
    of = p.chunks(model, STORY, 32)
    found = p.divergence(other, model, of)
    assert found.model == p.perplexity(other, of) and found.base == p.perplexity(model, of)
    kl, same, delta = [], [], []
    for (base, token), (logs, _) in zip(rows(model, of), rows(other, of), strict=True):
        kl.append((np.exp(base) * (base - logs)).sum())
        same.append(base.argmax() == logs.argmax())
        delta.append(math.exp(logs[token]) - math.exp(base[token]))
    assert 0 < found.kl_median < found.kl_99 < found.kl_max
    assert math.isclose(found.kl.value, float(np.mean(kl)), rel_tol=1e-3)
    assert math.isclose(found.same_top.value, float(np.mean(same)))
    assert math.isclose(found.delta_p_rms, math.sqrt(np.square(delta).mean()), rel_tol=1e-3)
    assert math.isclose(
        found.log_ratio.value, found.model.nll.value - found.base.nll.value, rel_tol=1e-6
    )


def test_divergence_by_hand() -> None:
    logs = np.log(np.array([0.5, 0.25, 0.25])), np.log(np.array([0.25, 0.5, 0.25]))
    kl, loss, base_loss, same = p._compared(logs[0] + 3, logs[1] - 2, 2)
    assert np.allclose([kl, loss, base_loss], [0.25 * math.log(2), math.log(4), math.log(4)])
    assert not same
    # What the base holds for next to impossible does not count, however impossible it is.
    assert p._compared(np.array([0.0, -1e5]), np.array([0.0, -20.0]), 0)[0] < 1e-8


def test_a_model_is_like_itself(model: vatra.Model) -> None:
    found = p.divergence(model, model, p.chunks(model, STORY, 32, most_chunks=2))
    assert abs(found.kl_max) < 1e-6 and found.same_top == p.Estimate(1, 0)
    assert found.log_ratio == p.Estimate(0, 0)


def test_other_vocabularies_can_not_be_compared(model: vatra.Model, shared: Path) -> None:
    of = p.chunks(model, STORY, 32)
    file = shared / "models" / "stories260K-f32.gguf"
    with vatra.load(file, ctx=64) as stranger, pytest.raises(UsageError, match="different vocab"):
        p.divergence(model, stranger, of)


# --- the command


def vatra_perplexity(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vatra", "perplexity", *words],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_command(spark: Path, tmp_path: Path, model: vatra.Model) -> None:
    text = tmp_path / "story.txt"
    text.write_text(STORY)
    found = p.perplexity(model, p.chunks(model, STORY, 32))
    done = vatra_perplexity(str(text), "-m", str(spark), "--ctx", "32")
    assert done.returncode == 0, done.stderr
    value, error = found.perplexity.value, found.perplexity.error
    assert done.stdout.startswith(f"perplexity     {value:.4f} +/- {error:.4f}\n")
    done = vatra_perplexity(
        str(text), "-m", str(spark), "--ctx", "32", "--chunks", "3", "--compare", str(spark),
        "--json",
    )  # fmt: skip
    said = json.loads(done.stdout)
    assert said["base"]["n_chunks"] == 3 and said["same_top"]["value"] == 1
    assert (said["file"], said["compared_with"], said["text"]) == (
        *[spark.name] * 2, "story.txt"
    )  # fmt: skip


@pytest.mark.parametrize(("content", "status", "message"), [
    (None, 66, "nothing.txt: No such file"),
    (b"\xff\xfe", 65, "not UTF-8"),
    (b"short", 2, "but a chunk takes 512"),
])  # fmt: skip
def test_command_with_a_bad_text(
    spark: Path, tmp_path: Path, content: bytes | None, status: int, message: str
) -> None:
    text = tmp_path / "nothing.txt"
    if content is not None:
        text.write_bytes(content)
    done = vatra_perplexity(str(text), "-m", str(spark))
    assert (done.returncode, done.stdout) == (status, "") and message in done.stderr
