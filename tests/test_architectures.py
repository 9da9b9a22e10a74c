"""Every architecture beside llama.cpp's logits, in one run and step by step, on both executors."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from vatra import models
from vatra.engine.cpu import CpuExecutor
from vatra.engine.executor import Executor
from vatra.engine.reference import ReferenceExecutor
from vatra.formats import gguf
from vatra.models.plan import Plan

Array = np.ndarray
GOLDEN = Path(__file__).resolve().parents[1].parent / "shared" / "golden" / "archs"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.gguf"))
each_fixture = pytest.mark.parametrize("name", NAMES or ["none"])


def fixture(name: str) -> tuple[Plan, dict[str, Array]]:
    if name == "none":
        pytest.skip("needs the folder `shared` beside the project")
    return models.read(gguf.read(GOLDEN / f"{name}.gguf")), dict(np.load(GOLDEN / f"{name}.npz"))


def nmse(found: Array, wanted: Array) -> float:
    wide = wanted.astype(np.float64)
    return float(((found - wide) ** 2).sum() / (wide**2).sum())


def in_runs_of(n: int, executor: Executor, tokens: Array) -> Array:
    state = executor.new_state(len(tokens), "f32")
    starts = range(0, len(tokens), n)
    return np.concatenate([executor.run(state, tokens[i : i + n], i, "all") for i in starts])


@each_fixture
def test_reference(name: str) -> None:
    plan, golden = fixture(name)
    executor, tokens = ReferenceExecutor(plan), golden["tokens"]
    at_once = in_runs_of(len(tokens), executor, tokens)
    assert nmse(at_once, golden["logits"]) <= 1e-5
    assert nmse(in_runs_of(1, executor, tokens), at_once) <= 1e-9


@each_fixture
def test_cpu(name: str) -> None:
    plan, golden = fixture(name)
    executor, tokens = CpuExecutor(plan, 2), golden["tokens"]
    for n in (len(tokens), 7, 1):
        assert nmse(in_runs_of(n, executor, tokens), golden["logits"]) <= 1e-4


def test_an_architecture_from_a_user_s_own_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package's file for Qwen 2, as if somebody else had written it for another name."""
    plan, golden = fixture("qwen2-dense" if NAMES else "none")
    own = tmp_path / "my_architecture.py"
    own.write_bytes((Path(models.__file__).parent / "architectures" / "qwen2.py").read_bytes())
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(models, "_registered", {})
    models.register("mine", importlib.import_module("my_architecture").build)
    file = gguf.read(GOLDEN / "qwen2-dense.gguf")
    for key in list(file.metadata):
        if key.startswith("qwen2."):
            file.metadata["mine." + key.removeprefix("qwen2.")] = file.metadata[key]
            del file.metadata[key]
    file.metadata["general.architecture"] = "mine"
    assert "mine" in models.known()
    found = ReferenceExecutor(models.read(file))
    tokens = golden["tokens"]
    assert nmse(in_runs_of(48, found, tokens), golden["logits"]) <= 1e-5
