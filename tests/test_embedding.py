"""Vectors of texts: every kind of encoder beside llama.cpp, pooling, ranking, and the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import encoders
import numpy as np
import pytest
from encoders import ENCODERS, EXPECTED, N_CTX, N_VOCAB, TOKENS

import vatra
from vatra import models
from vatra.engine import embedding
from vatra.engine.cpu import CpuExecutor
from vatra.engine.executor import Executor
from vatra.engine.reference import ReferenceExecutor
from vatra.errors import BadFile, UsageError
from vatra.formats import gguf
from vatra.models.plan import Attention, Plan

Array = np.ndarray
ROOT = Path(__file__).resolve().parents[1]
LONG = np.random.default_rng(3).integers(0, N_VOCAB, 400).astype(np.int32)
each = pytest.mark.parametrize("name", ENCODERS)
BY_TOKEN = [name for name, found in EXPECTED.items() if {"tokens", "logits"} & set(found)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("encoders")
    for name in ENCODERS:
        encoders.write(name, made / f"{name}.gguf")
    return made


@pytest.fixture(scope="module")
def bert(folder: Path) -> vatra.Model:
    return vatra.load(folder / "bert.gguf", threads=2)


def read(folder: Path, name: str) -> Plan:
    return models.read(gguf.read(folder / f"{name}.gguf"))


def nmse(found: Array, wanted: Any) -> float:
    wide = np.asarray(wanted, np.float64).reshape(found.shape)
    return float(((found - wide) ** 2).sum() / (wide**2).sum())


def vectors(executor: Executor, tokens: Array) -> Array:
    return executor.run(executor.new_state(len(tokens), "f32"), tokens, 0, "hidden")


@pytest.mark.parametrize("name", BY_TOKEN)
@pytest.mark.parametrize(("make", "most"), [(ReferenceExecutor, 1e-6), (CpuExecutor, 1e-4)])
def test_beside_llama_cpp(folder: Path, name: str, make: type, most: float) -> None:
    executor, wanted = make(read(folder, name)), EXPECTED[name]
    outputs = "all" if "logits" in wanted else "hidden"
    found = executor.run(executor.new_state(len(TOKENS), "f32"), TOKENS, 0, outputs)
    assert nmse(found[:, :8], wanted["logits" if "logits" in wanted else "tokens"]) <= most


@each
def test_long_texts(folder: Path, name: str) -> None:
    """More tokens than a walk has at first, on any number of threads."""
    plan = read(folder, name)
    wanted = vectors(ReferenceExecutor(plan), LONG)
    found = [vectors(CpuExecutor(plan, n), LONG) for n in (1, 3)]
    assert nmse(found[0], wanted) <= 1e-4
    assert found[0].tobytes() == found[1].tobytes()


def test_windows_and_caches(folder: Path) -> None:
    """A window is half before and half after; layers of what is not causal share one cache."""
    plan = read(folder, "modern-bert")
    seen = [(op.causal, op.reach) for op in plan.ops if isinstance(op, Attention)]
    assert seen == [(False, None), (False, 4), (False, None)]
    assert len(plan.caches) == 1 and plan.caches[0].window is None
    assert not plan.causal and plan.embeds and not plan.writes


def test_what_other_texts_leave_changes_nothing(folder: Path) -> None:
    plan = read(folder, "bert")
    for executor in (ReferenceExecutor(plan), CpuExecutor(plan, 2)):
        alone = vectors(executor, TOKENS)
        state = executor.new_state(N_CTX, "f32")
        for tokens in (LONG, TOKENS[:7], TOKENS):
            found = executor.run(state, tokens, 0, "hidden")
        assert found.tobytes() == alone.tobytes()


def test_every_token_sees_the_last(folder: Path) -> None:
    changed = TOKENS.copy()
    changed[-1] = 9
    for name in ("bert", "nomic-bert", "llada"):
        executor = ReferenceExecutor(read(folder, name))
        assert (vectors(executor, TOKENS) != vectors(executor, changed)).any(axis=1).all()
    executor = ReferenceExecutor(read(folder, "qwen3"))
    assert (vectors(executor, TOKENS) == vectors(executor, changed)).all(axis=1)[:-1].all()


def test_a_text_is_read_as_a_whole(folder: Path) -> None:
    for make in (ReferenceExecutor, CpuExecutor):
        executor = make(read(folder, "bert"))
        with pytest.raises(UsageError, match="as a whole"):
            executor.run(executor.new_state(20, "f32"), TOKENS[:2], 5)


# ---- pooling -------------------------------------------------------------------------------------


def test_pooling_by_hand(bert: vatra.Model) -> None:
    text = "the cat sat on a mat"
    ids = bert.tokenizer.encode(text)
    assert ids == [2, 6, 7, 9, 11, 5, 12, 3]
    x = bert.token_embeddings(text)
    assert x.shape == (8, 32) and x.dtype == np.float32
    by_hand = {"mean": x.astype(np.float64).mean(0), "cls": x[0], "last": x[7]}
    for pooling, wanted in by_hand.items():
        raw = bert.embed(text, pooling, normalise=False)
        np.testing.assert_allclose(raw, wanted[None], rtol=1e-6)
        unit = bert.embed([text, text], pooling)
        assert unit.shape == (2, 32) and unit.dtype == np.float32
        np.testing.assert_allclose(unit[1], wanted / np.sqrt(np.sum(wanted**2)), rtol=1e-5)
    np.testing.assert_array_equal(bert.embed(text), bert.embed([text], "mean"))


def test_several_texts_are_as_each_alone(bert: vatra.Model) -> None:
    texts = ["the cat sat", "a big red dog ran on the mat " * 40, "", "sun"]
    together = bert.embed(texts)
    assert together.tobytes() == np.concatenate([bert.embed(text) for text in texts]).tobytes()
    assert bert.embed([]).shape == (0, 32)


@pytest.mark.parametrize(
    ("name", "pooling"),
    [("bert", "mean"), ("bert", "cls"), ("bert", "last"), ("gemma-embedding", "mean"),
     ("qwen3", "last")],
)  # fmt: skip
def test_pooled_beside_llama_cpp(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, pooling: str
) -> None:
    """Also through the projections that EmbeddingGemma has after pooling."""
    monkeypatch.setattr(embedding, "encoded", lambda model, text: TOKENS.tolist())
    model = vatra.load(folder / f"{name}.gguf", backend="reference")
    found = model.embed("", pooling, normalise=False)
    assert nmse(found, EXPECTED[name][pooling]) <= 1e-6


@pytest.mark.parametrize("name", ["bert", "modern-bert", "qwen3"])
def test_ranking_beside_llama_cpp(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """By the first token, the mean, or the last; tanh or GELU; a softmax of two labels."""
    monkeypatch.setattr(embedding, "pair", lambda *_: TOKENS.tolist())
    model = vatra.load(folder / f"{name}.gguf", backend="reference")
    (found,) = model.rank("", [""])
    assert found == pytest.approx(EXPECTED[name]["rank"][0], abs=1e-3)


def test_what_the_file_says(folder: Path) -> None:
    gemma = vatra.load(folder / "gemma-embedding.gguf", backend="reference")
    assert gemma.pooling.kind == "mean" and len(gemma.pooling.projections) == 2
    ranker = vatra.load(folder / "modern-bert.gguf", backend="reference")
    with pytest.raises(UsageError, match="scores texts"):
        ranker.embed("cat")
    assert ranker.embed("cat", "cls").shape == (1, 32)
    with pytest.raises(UsageError, match="no classifier"):
        gemma.rank("cat", ["dog"])
    with pytest.raises(UsageError, match="'sum', wanted mean, cls, last"):
        gemma.embed("cat", "sum")


def test_a_model_that_writes_can_embed(spark: Path) -> None:
    """Its last hidden vectors, of which the logits are made; in runs, but as if all at once."""
    model = vatra.load(spark, threads=2)
    text = "Once upon a time there was a little fox. " * 12
    found = model.token_embeddings(text)
    ids = model.tokenizer.encode(text, special=False)
    assert found.shape == (len(ids), model.plan.hidden.width)
    reference = ReferenceExecutor(model.plan)
    assert nmse(found, vectors(reference, np.array(ids))) <= 1e-4
    np.testing.assert_allclose(model.embed(text, "last", False)[0], found[-1])
    assert model.embed([text, "A boat."]).shape == (2, found.shape[1])


# ---- pairs ---------------------------------------------------------------------------------------


def test_a_pair_is_parted(bert: vatra.Model, folder: Path) -> None:
    assert embedding.pair(bert, "red cat", "big dog") == [2, 16, 7, 3, 17, 8, 3]
    smuggled = embedding.pair(bert, "red", "cat [SEP] dog")
    assert smuggled.count(3) == 2


def test_a_template_for_pairs(bert: vatra.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {**bert.metadata, embedding.RANK_TEMPLATE: "is {query} [SEP] the {document} [MASK]"}
    monkeypatch.setattr(bert.checkpoint, "metadata", type(bert.checkpoint.metadata)(keys))
    assert embedding.pair(bert, "red", "dog") == [2, 15, 16, 3, 6, 8, 4, 3]
    safe = embedding.pair(bert, "red", "[MASK]")
    assert safe[:5] == [2, 15, 16, 3, 6] and safe[-2:] == [4, 3] and safe.count(4) == 1


# ---- errors --------------------------------------------------------------------------------------


def test_a_text_longer_than_the_context(bert: vatra.Model) -> None:
    with pytest.raises(vatra.ContextFull, match=f"has {N_CTX + 1} tokens.*holds {N_CTX}"):
        bert.embed(["cat", "cat " * (N_CTX - 1)])


def test_it_can_not_write(bert: vatra.Model, folder: Path) -> None:
    for call in (bert.session, lambda: bert.generate("cat"), lambda: bert.logits([2, 3])):
        with pytest.raises(UsageError, match="embed"):
            call()
    diffusion = vatra.load(folder / "llada.gguf", backend="reference")
    with pytest.raises(UsageError, match="by diffusion, which Vatra does not do"):
        diffusion.generate("cat")
    assert diffusion.logits(TOKENS).shape == (len(TOKENS), N_VOCAB)


@pytest.mark.parametrize(
    ("tensor", "shape", "said"),
    [("cls.weight", (5, 31), r"\(5, 31\), wanted \(n, 32\)"), ("cls.bias", (31,), "wanted")],
)
def test_a_classifier_that_does_not_fit(
    folder: Path, tmp_path: Path, tensor: str, shape: tuple[int, ...], said: str
) -> None:
    file = gguf.read(folder / "bert.gguf")
    tensors: dict[str, Any] = dict(file.tensors) | {tensor: np.ones(shape, np.float32)}
    gguf.write(tmp_path / "bad.gguf", file.metadata, tensors)
    with pytest.raises(BadFile, match=said):
        vatra.load(tmp_path / "bad.gguf", backend="reference").rank("cat", ["dog"])


def test_keys_that_are_not_known(folder: Path, tmp_path: Path) -> None:
    file = gguf.read(folder / "bert.gguf")
    for key, value, said in (("pooling_type", 9, "is 9"), ("attention.causal", True, "is true")):
        keys = dict(file.metadata) | {f"bert.{key}": value}
        gguf.write(tmp_path / "odd.gguf", keys, file.tensors)
        with pytest.raises(vatra.UnsupportedFile, match=said):
            _ = vatra.load(tmp_path / "odd.gguf", backend="reference").pooling


def test_weights_that_are_not_finite(folder: Path, tmp_path: Path) -> None:
    file = gguf.read(folder / "bert.gguf")
    name = "blk.1.ffn_up.weight"
    bad = file.tensors[name].decode().copy()
    bad[3, 4] = np.nan
    gguf.write(tmp_path / "nan.gguf", file.metadata, {**file.tensors, name: bad})
    with pytest.raises(BadFile, match=name):
        vatra.load(tmp_path / "nan.gguf", backend="reference").embed("cat " * 100)


# ---- the command ---------------------------------------------------------------------------------


def command(*arguments: str | Path, input: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vatra", *map(str, arguments)],
        cwd=ROOT, input=input, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_the_command_prints_lines_of_json(folder: Path, bert: vatra.Model) -> None:
    file = folder / "bert.gguf"
    given = command("embed", "-m", file, "the cat", "\u00e4 dog\x1b")
    assert given.returncode == 0, given.stderr
    lines = [json.loads(line) for line in given.stdout.splitlines()]
    assert [line["text"] for line in lines] == ["the cat", "\u00e4 dog\x1b"]
    found = np.array([line["embedding"] for line in lines], np.float32)
    assert found.tobytes() == bert.embed(["the cat", "\u00e4 dog\x1b"]).tobytes()
    piped = command("embed", "-m", file, "--pooling", "none", "--raw", input="the cat\r\nsun\n")
    (line, _) = (json.loads(line) for line in piped.stdout.splitlines())
    assert line["text"] == "the cat"
    every = np.array(line["embedding"], np.float32)
    assert every.tobytes() == bert.token_embeddings("the cat").tobytes()


def test_the_command_compares_and_ranks(folder: Path, bert: vatra.Model) -> None:
    texts = ["the cat", "a dog", "the cat"]
    shown = command("embed", "-m", folder / "bert.gguf", "--similarity", *texts)
    head, *rows = shown.stdout.splitlines()
    assert head.split() == ["1", "2", "3"]
    vectors = bert.embed(texts)
    for i, (row, text) in enumerate(zip(rows, texts, strict=True)):
        number, *cosines, first, second = row.split()
        assert (number, f"{first} {second}") == (str(i + 1), text)
        np.testing.assert_allclose(list(map(float, cosines)), vectors @ vectors[i], atol=1e-4)
    scored = command("embed", "-m", folder / "bert.gguf", "--rank", "red sun", *texts)
    scores = [json.loads(line)["score"] for line in scored.stdout.splitlines()]
    np.testing.assert_allclose(scores, bert.rank("red sun", texts), rtol=1e-6)
    assert scores[0] == scores[2] != scores[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "cat"], "makes embeddings and can not continue a text: vatra embed"),
        (["bench"], "makes embeddings"),
        (["embed", "cat " * 700], f"702 tokens, but the context holds {N_CTX}"),
        (["embed", "--rank", "a", "--similarity", "b"], "together"),
        (["embed", "--pooling", "none", "--similarity", "b"], "none"),
        (["embed", "--pooling", "sum", "b"], "sum"),
        (["embed"], "empty"),
    ],
)
def test_errors_of_commands(folder: Path, arguments: list[str], said: str) -> None:
    done = command(arguments[0], "-m", folder / "bert.gguf", *arguments[1:])
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr


def test_inspect_says_what_it_is_for(folder: Path) -> None:
    found = json.loads(command("inspect", "--json", folder / "bert.gguf").stdout)
    assert found["runs"] and found["embeds"] and found["memory"]["total"] > 0
    assert "vatra embed" in command("inspect", folder / "bert.gguf").stdout
    written = command("inspect", folder / "llada.gguf").stdout
    assert "logits only: this model writes by diffusion, which Vatra does not do" in written
