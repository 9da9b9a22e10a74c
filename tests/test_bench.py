"""The measuring scripts: their models are sound, their arithmetic and their processes too."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from vatra import models
from vatra.formats import gguf, tokenizer
from vatra.models.plan import ExpertLinear
from vatra.quant import FORMATS

BENCH = Path(__file__).resolve().parents[1] / "bench"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"bench_{name}", BENCH / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


compare = script("compare")
random_model = script("random_model")
TINY = random_model.Shape(layers=1, embd=256, ff=512, heads=4, kv_heads=2, vocab=700, ctx=64)


# ---- random_model -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_random_weights_are_in_the_format_and_of_the_right_size(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    random_model.write(path, TINY, name)
    tensors = gguf.read(path).tensors
    for matrix, shape in TINY.matrices():
        tensor = tensors[matrix]
        assert tensor.format.name == name
        assert tensor.shape == shape
        weights = tensor.decode()
        # MXFP4 scales are powers of two; NVFP4 has none as small as wanted
        assert 0.6 < weights.std() * shape[-1] ** 0.5 < 1.6
        assert abs(weights.mean()) < 0.5 * weights.std()  # two bits count from -1 to 2
    for norm in TINY.norms():
        assert (tensors[norm].decode() == 1).all()


def test_a_mixture_of_experts_is_read(tmp_path: Path) -> None:
    path, shape = tmp_path / "model.gguf", replace(TINY, experts=3, experts_used=2)
    random_model.write(path, shape, "q4_0")
    plan = models.read(gguf.read(path))
    found = [op.weight.shape for op in plan.ops if isinstance(op, ExpertLinear)]
    assert found == [(3, 512, 256), (3, 512, 256), (3, 256, 512)]
    assert not plan.leftovers


def test_output_matrix_has_its_own_format(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    random_model.write(path, TINY, "q4_0", "q6_k")
    formats = {name: tensor.format.name for name, tensor in gguf.read(path).tensors.items()}
    assert formats["output.weight"] == "q6_k"
    assert formats["token_embd.weight"] == formats["blk.0.ffn_down.weight"] == "q4_0"


def test_bytes_depend_on_the_seed_alone(tmp_path: Path) -> None:
    for name, seed in {"a": 1, "b": 1, "c": 2}.items():
        random_model.write(tmp_path / name, TINY, "q4_k", seed=seed)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_vocabulary_is_the_wanted_one(tmp_path: Path) -> None:
    pieces, scores, types = random_model.vocabulary(32000)
    assert len(set(pieces)) == len(pieces) == len(scores) == len(types) == 32000
    path = tmp_path / "model.gguf"
    random_model.write(path, TINY, "q8_0")
    read = tokenizer.load(gguf.read(path))
    assert (read.n_vocab, read.bos_id, read.eos_id) == (TINY.vocab, 1, 2)
    text = "a cab, \u00e9"
    ids = read.encode(text)
    assert ids[0] == 1
    assert len(ids) < 1 + len(text.encode())  # letters merge
    assert read.decode(ids[1:]).strip() == text


def test_impossible_models_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, message in {
        ("--format", "q4_k", "--embd", "128"): "whole number of blocks",
        ("--format", "q4_0", "--vocab", "259"): "more than 259 tokens",
    }.items():
        monkeypatch.setattr(sys, "argv", ["random_model.py", str(tmp_path / "m"), *arguments])
        with pytest.raises(SystemExit):
            random_model.main()
        assert message in capsys.readouterr().err


# ---- compare ------------------------------------------------------------------------------------

ENGINE = """
import json, os, signal, sys, time
settings = json.loads(sys.stdin.readline())
option = settings["options"]
if option.get("exit"):
    sys.exit(option["exit"])
answer = lambda **content: print(json.dumps(content), flush=True)
answer(load_s=1.0, first_token_s=option.get("first", 2.0))
n = 0
for line in sys.stdin:
    request = json.loads(line)
    n += request["do"] == "decode"
    if n == option.get("crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if "logits" in request:
        import numpy
        numpy.save(request["logits"], numpy.float32(option.get("logits", [1, 2])))
    if request["do"] == "facts":
        answer(memory={"peak": option.get("peak", 100)})
    else:
        answer(seconds=option.get(request["do"], 1.0))
"""


@dataclass(frozen=True)
class Scripted(compare.Contender):  # type: ignore[misc, name-defined]
    """An engine that answers what its options say."""

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-c", ENGINE]


SETTINGS = {"model": "none.gguf", "threads": 1, "prefill": 8, "decode": 4}


def test_ratios_are_ours_over_theirs() -> None:
    ours = Scripted(
        "vatra", "", options={"prefill": 2.0, "decode": 0.5, "peak": 300, "logits": [1, 2.5]}
    )
    theirs = Scripted("peer", "", options={"first": 4.0})
    results = compare.measure([ours, theirs], SETTINGS, 3)
    assert results["vatra"].prefill_tokens_per_s == [4.0] * 3
    assert results["vatra"].decode_tokens_per_s == [8.0] * 3
    assert results["peer"].logits_nmse == pytest.approx(0.25 / 5)
    expected = {"prefill": 0.5, "decode": 2.0, "peak_memory": 3.0, "first_token": 0.5}
    assert compare.ratios(results) == {"peer": expected}
    text = compare.table(results)
    assert "vatra / peer" in text
    assert "0.50x" in text and "2.00x" in text and "3.00x" in text


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    # both halved in the second round, ours alone disturbed in the third
    assert compare.ratio([20.0, 10.0, 1.0], [10.0, 5.0, 10.0]) == 2.0


def test_busy_cores_are_noticed() -> None:
    if not Path("/proc/stat").exists():
        pytest.skip("this system does not count idle time in /proc/stat")
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as worker:
        busy = compare.busy_cores(1.0)
        worker.kill()
    assert 0.5 < busy <= (os.cpu_count() or 1)


def test_dead_engines_are_named_and_left_out() -> None:
    contenders = [
        Scripted("vatra", ""),
        Scripted("unable", "", options={"exit": "no such library"}),
        Scripted("crashing", "", options={"crash": 2}),
        Scripted("peer", ""),
    ]
    results = compare.measure(contenders, SETTINGS, 2)
    assert results["unable"].died == "ended with exit code 1: no such library"
    assert results["crashing"].died == "ended by SIGSEGV"
    assert list(compare.ratios(results)) == ["peer"]
    assert "ended by SIGSEGV" in compare.table(results)


def test_peers_are_read_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "m.gguf"
    model.touch()
    given = compare.parse(
        [str(model), "--peer", "usual", "--peer", f"x=no-repack,{tmp_path}", "--peer-python", "py"]
    )
    usual, other = given.contenders[1:]
    assert (usual.name, usual.options, usual.environment) == ("usual", {}, {})
    assert (other.options, other.python) == ({"repack": False}, "py")
    assert other.environment == {"LLAMA_CPP_LIB_PATH": str(tmp_path.resolve())}
    assert given.models == [model]
    for wrong, message in {
        "x=fast": "neither no-repack nor a folder",
        "vatra": "needs a name of its own",
    }.items():
        with pytest.raises(SystemExit):
            compare.parse([str(model), "--peer", wrong])
        assert message in capsys.readouterr().err


def test_without_a_file_it_is_the_toy(spark: Path) -> None:
    assert compare.parse(["--alone"]).models == [spark]


def test_vatra_is_measured_from_file_to_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = tmp_path / "m.gguf", tmp_path / "results" / "here.json"
    random_model.write(model, TINY, "q8_0")
    monkeypatch.setenv("PYTHONPATH", str(BENCH.parent))
    sizes = ["--prefill", "8", "--decode", "3", "--rounds", "2", "--threads", "1"]
    flags = ["--alone", "--backend", "reference", "--json", str(out)]
    assert compare.main([str(model), *sizes, *flags]) == 0
    record = json.loads(out.read_text())
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"m.gguf": {}}
    assert record["prefill"] == 8 and record["machine"]["cores"] >= 1
    result = record["models"]["m.gguf"]["engines"]["vatra"]
    assert len(result["prefill_tokens_per_s"]) == len(result["decode_tokens_per_s"]) == 2
    assert all(np.array(result["decode_tokens_per_s"]) > 0)
    assert result["facts"]["memory"]["peak"] > 10e6
    assert result["first_token_s"] > result["load_s"] > 0
