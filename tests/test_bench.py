"""The measuring scripts: their models are sound, their arithmetic and their processes too."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import vatra
from vatra import models
from vatra.cli import app, bars, speeds
from vatra.engine import bandwidth, session
from vatra.engine.executor import State
from vatra.formats import gguf, random_model, tokenizer
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
            script("random_model").main()
        assert message in capsys.readouterr().err


# ---- vatra bench --------------------------------------------------------------------------------

TINY_SIZES = "layers=1,embd=256,ff=512,heads=4,kv_heads=2,vocab=300"
QUICK = ["-n", "3", "--repeat", "2", "--threads", "1"]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    found = [tmp_path / "small.gguf", tmp_path / "large.gguf"]
    random_model.write(found[0], TINY, "q8_0")
    random_model.write(found[1], replace(TINY, layers=3), "q4_0")
    return found


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Less memory is read, which takes less time; the command's way to end is taken back."""
    monkeypatch.setattr(bandwidth, "SIZE", 32 << 20)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def vatra_bench(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What the command prints."""
    status = app.main(["bench", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert status == 0, err
    return out


def test_files_are_compared(files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    tasks = ["-p", 16, "-p", 40, "-d", 0, "-d", 8]
    out = vatra_bench(capsys, files[0], "-m", files[1], *tasks, *QUICK, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    found = [(r["model"], r["task"], r["tokens"], r["depth"]) for r in rows]
    assert found == [
        (name, *task)
        for task in (("prefill", 16, 0), ("prefill", 40, 0), ("decode", 3, 0), ("decode", 3, 8))
        for name in ("small.gguf", "large.gguf")
    ]
    for row in rows:
        assert row["rounds"] == 2 and row["threads"] == 1 and row["tokens_per_s"] > 0
        assert row["format"] == ("q8_0" if row["model"] == "small.gguf" else "q4_0")
        if row["task"] == "decode":
            needs = row["bytes_per_token"]
            assert row["bytes_per_s"] == pytest.approx(needs * row["tokens_per_s"], rel=1e-3)
            limit = row["bandwidth_bytes_per_s"]
            assert row["share_of_bandwidth"] == pytest.approx(row["bytes_per_s"] / limit, abs=1e-3)
    ops = [row["ops_per_s"] / row["tokens_per_s"] for row in rows]
    assert ops[1] > 1.5 * ops[0]  # three layers and one
    deeper = {r["depth"]: r["bytes_per_token"] for r in rows if r["model"] == "small.gguf"}
    assert deeper[8] - deeper[0] == 8 * TINY.kv_heads * 2 * TINY.head_dim * 2


def test_csv_has_what_json_has(files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*files, "-p", 8, *QUICK, "--backend", "reference"]
    rows = list(csv.DictReader(io.StringIO(vatra_bench(capsys, *arguments, "--csv"))))
    lines = vatra_bench(capsys, *arguments, "--json").splitlines()
    assert len(rows) == len(lines) == 4
    for row, line in zip(rows, map(json.loads, lines), strict=True):
        assert list(row) == list(line)
        for key in ("model", "task", "tokens", "depth", "format", "bytes_per_token"):
            assert row[key] == ("" if line[key] is None else str(line[key]))
        assert float(row["tokens_per_s"]) > 0


def test_formats_are_compared_without_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sizes = ["--formats", "q4_0,f16", "--shape", TINY_SIZES, "-p", 8, *QUICK]
    out = vatra_bench(capsys, *sizes, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert {(row["model"], row["format"]) for row in rows} == {("q4_0", "q4_0"), ("f16", "f16")}
    assert not list(tmp_path.iterdir())
    text = vatra_bench(capsys, *sizes)
    assert "\x1b" not in text
    decode = text[text.index("decode") :].splitlines()
    assert [line.split()[0] for line in decode[1:4]] == ["model", "q4_0", "f16"]
    assert re.search(r"bandwidth of these threads [\d.]+ GB/s", decode[0])


def test_ops_are_told(files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    out = vatra_bench(capsys, files[0], "--ops", "-p", 8, *QUICK, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    for task, products in (("prefill", 2 * 8), ("decode", 2 * 3 * 8)):
        some = [row for row in rows if row["task"] == task]
        assert sum(row["share"] for row in some) == pytest.approx(1, abs=1e-3)
        assert sum(r["calls"] for r in some if r["op"] == "matmul") == products
    text = vatra_bench(capsys, files[0], "--ops", "-p", 8, *QUICK)
    assert re.search(r"^matmul +q8_0 ", text, re.M) and "ms/token" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    {
        ("--json", "--csv"): "only one",
        ("--formats", "q4_0,q9"): "'q9' is no format",
        ("--formats", "q4_0", "--shape", "width=3"): "wanted some of layers=",
        ("--formats", "q4_0", "--shape", "layers=-1"): "wanted some of layers=",
        ("--formats", "q4_k", "--shape", "embd=128,heads=2,kv_heads=1"): "whole number of blocks",
        ("--formats", "q4_0", "--shape", "heads=3"): "heads=3",
        ("--formats", "q4_0", "--shape", "vocab=200"): "259 tokens",
        ("--shape", "layers=1"): "--formats",
        ("--ops", "--backend", "reference"): "no kernels",
        ("-d", "-1"): "--depth",
    }.items(),
)
def test_impossible_wishes_are_refused(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(["bench", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and message in err


def test_rounds_take_turns_and_read_a_context_once(files: list[Path]) -> None:
    tasks = [speeds.Task("prefill", 300, 0), speeds.Task("decode", 2, 20)]
    ran: list[tuple[str, int, int]] = []

    class Watched(speeds.Subject):
        def _read(self, state: State, start: int, n: int, chunk: int = session.CHUNK) -> None:
            ran.append((self.name, start, n))
            super()._read(state, start, n, chunk)

    shown: list[tuple[int, int]] = []
    with ExitStack() as stack:
        subjects = [
            Watched(p.stem, stack.enter_context(vatra.load(p, "reference", ctx=300)), tasks)
            for p in files
        ]
        for subject in subjects:
            for task in tasks:
                subject.measure(task)
        ran.clear()
        speeds.rounds(subjects, tasks, 2, lambda done, total: shown.append((done, total)))
        assert [len(s.seconds[task]) for s in subjects for task in tasks] == [3] * 4
        states = [subject._states[tasks[1]] for subject in subjects]
        tokens = subjects[0]._tokens
        for subject, state in zip(subjects, states, strict=True):
            other = subject.model.executor.new_state(22)
            subject.model.run(other, tokens[:22], 0, "none")
            for mine, wanted in zip(state.keys, other.keys, strict=True):
                np.testing.assert_allclose(mine, wanted, rtol=0.01, atol=0.01)
    reads, writes = (0, 300), (20, 2)
    assert ran == 2 * [(name, *what) for what in (reads, writes) for name in ("small", "large")]
    assert shown == [(i, 8) for i in range(8)]


def test_the_best_has_the_longest_bar() -> None:
    rows = [["a\x1b[31m.gguf", "10.0"], ["a-very-long-name-of-a-model.gguf", "40.0"]]
    section = bars.Section("speed", ["model", "tokens/s"], rows, [10.0, 40.0])
    lengths = {}
    for width in (60, 90):
        text = bars.rendered([section], width, bars=True)
        assert max(map(len, text.splitlines())) <= width
        assert "\x1b" not in text and "\\x1b[31m" in text
        slow, fast = (line.count("\u2588") for line in text.splitlines()[2:])
        assert fast >= 4 * slow > 0
        lengths[width] = fast
    assert lengths[90] - lengths[60] == 30
    narrow = bars.rendered([section], 30, bars=False)
    assert "40.0" in narrow and "tokens/s" in narrow and rows[1][0] not in narrow
    plain = bars.rendered([section], bars.ENDLESS, bars=False)
    assert plain.isascii() and rows[1][0] in plain


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
