"""The `vatra` command as a program: what it prints, where, and its exit status."""

from __future__ import annotations

import dataclasses
import inspect as introspection
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from vatra import models, quant
from vatra.cli import app, chat, help, options, run, terminal
from vatra.engine.sampling import RECOMMENDED, Sampling
from vatra.engine.threads import allowed_cpus
from vatra.errors import BadFile, IOFailed, MissingFile, OutOfMemory, UsageError, VatraError
from vatra.formats import gguf

ROOT = Path(__file__).parent.parent
FAST = ["--backend", "reference"]  # no kernels to compile
# All tokens are about as likely: the one that ends a text comes late.
BABBLE = ["--temperature", "100", "--top-k", "0", "--top-p", "1", "--min-p", "0"]


def vatra(
    *arguments: object, input: bytes = b"", environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "vatra", *map(str, arguments)],
        cwd=ROOT,
        input=input,
        capture_output=True,
        timeout=120,
        env={k: v for k, v in os.environ.items() if k != "VATRA_MODEL"} | (environment or {}),
    )


def one_error_line(done: subprocess.CompletedProcess[bytes]) -> str:
    """The only line on standard error, which must be an error, with nothing on standard output."""
    assert done.stdout == b""
    text = done.stderr.decode()
    assert re.fullmatch(r"error: [^\n]+\n", text), text
    assert "Traceback" not in text
    return text


@pytest.fixture
def model(spark: Path) -> Path:
    return spark


@pytest.fixture
def stories(shared: Path) -> Path:
    """Another model, whose answers are known."""
    return shared / "models" / "stories260K-f32.gguf"


@pytest.fixture
def story(shared: Path) -> str:
    """The greedy continuation of "Once upon a time"."""
    return (shared / "golden" / "stories260K.txt").read_text().removeprefix(" Once upon a time")


# ---- run -----------------------------------------------------------------------------------------


def test_run_prints_the_model_s_text_alone(stories: Path, story: str) -> None:
    done = vatra("run", "-m", stories, "--temperature", "0", "-n", "60", "Once upon a time")
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    assert text.endswith("\n") and len(text) > 100
    assert story.startswith(text.removesuffix("\n"))
    last = done.stderr.decode().splitlines()[-1]
    assert re.search(r"prompt 5 tokens.* [\d.]+ tokens/s.*first token.*answer 60 tokens", last)


def test_prompt_from_standard_input_is_the_same(model: Path) -> None:
    always = ["run", "-m", model, "--temperature", "0", "-n", "20", "--no-stats"]
    given = vatra(*always, "Once upon a time")
    assert given.returncode == 0 and given.stdout
    assert vatra(*always, input=b"Once upon a time\n").stdout == given.stdout
    assert vatra(*always, "-", input=b"Once upon a time\r\n").stdout == given.stdout
    assert given.stderr == b"" or b"compil" in given.stderr


def test_model_from_the_environment(stories: Path, story: str) -> None:
    done = vatra(
        "run", "--temperature", "0", "-n", "8", *FAST, "Once upon a time",
        environment={"VATRA_MODEL": str(stories)},
    )  # fmt: skip
    assert done.returncode == 0
    assert story.startswith(done.stdout.decode().removesuffix("\n"))


def test_seed_decides_the_text(model: Path) -> None:
    def text(seed: str) -> bytes:
        return vatra("run", "-m", model, "--seed", seed, "-n", "30", *FAST, "Once").stdout

    told = vatra("run", "-m", model, "-n", "30", *FAST, "Once")
    found = re.search(r"; seed (\d+)$", told.stderr.decode())
    assert found and text(found[1]) == told.stdout
    first = text("1")
    assert text("1") == first
    assert any(text(seed) != first for seed in ("2", "3"))


def test_stop_text_is_not_printed(stories: Path, story: str) -> None:
    done = vatra(
        "run", "-m", stories, "--temperature", "0", "-n", "60", *FAST, "--stop", "Lily",
        "Once upon a time",
    )  # fmt: skip
    assert done.stdout.decode().rstrip("\n") == story.split("Lily")[0].rstrip("\n")
    assert b"stop" in done.stderr


def test_a_format_without_a_kernel_is_told_once(model: Path, tmp_path: Path) -> None:
    slow = quant.by_name("mxfp4")
    with gguf.read(model) as found:
        tensors, count = dict(found.tensors), 0
        for name, tensor in found.tensors.items():
            if name.endswith(("attn_q.weight", "attn_k.weight")):
                data = slow.encode(tensor.decode())
                tensors[name] = dataclasses.replace(tensor, format=slow, data=data)
                count += 1
        gguf.write(tmp_path / "slow.gguf", found.metadata, tensors)
    code = (
        "import sys; from vatra.__main__ import main; "
        "from vatra.engine.kernels.layout import FAST; "
        f"FAST.pop({slow.name!r}); sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "-m", tmp_path / "slow.gguf", "-n", "3", "Once"],
        cwd=ROOT, capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = rf"^note: {count} x {slow.name}: decoded to f16 .* no kernel"
    assert len(re.findall(told, done.stderr.decode(), re.M)) == 1


def test_end_of_the_pipe_is_no_error(model: Path) -> None:
    command = f"'{sys.executable}' -m vatra run -m '{model}' -n 200 --temperature 0 Once"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | head -c 5"],
        cwd=ROOT, capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0
    assert len(done.stdout) == 5
    assert b"error" not in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_within_a_second(model: Path, signal_number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "vatra", "run", "-m", model, *FAST, *BABBLE, "Once"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.read(10)  # it is writing
    process.send_signal(signal_number)
    begin = time.monotonic()
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - begin < 2
    assert process.returncode == 128 + signal_number
    assert b"Traceback" not in errors and b"error" not in errors


# ---- what cannot be done -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "-m", "", "hello"], "-m FILE"),
        (["chat", "-m", ""], "-m FILE"),
        (["inspect", ""], "-m FILE"),
        (["run"], "empty"),
        (["run", "--frob", "hello"], "--frob"),
        (["frob"], "frob"),
        (["run", "-m", "x.gguf", "-n", "0", "hello"], "--max-tokens"),
        (["run", "-m", "x.gguf", "-n", "many", "hello"], "--max-tokens"),
        (["run", "-m", "x.gguf", "--temperature", "hot", "hello"], "--temperature"),
        (["run", "-m", "x.gguf", "--top-p", "1.5", "hello"], "--top-p"),
        (["run", "-m", "x.gguf", "--kv", "f64", "hello"], "f16"),
        (["run", "-m", "x.gguf", "one", "two"], "two"),
        (["run", "-m", "x.gguf"], "empty"),
    ],
)
def test_usage_errors(arguments: list[str], said: str) -> None:
    done = vatra(*arguments)
    assert done.returncode == 2
    assert said in one_error_line(done)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_temperature_must_be_finite(model: Path, value: str) -> None:
    done = vatra("run", "-m", model, "--temperature", value, *FAST, "hello")
    assert done.returncode == 2
    assert "temperature" in one_error_line(done)


@pytest.mark.parametrize("command", ["run", "chat", "inspect", "tokenize", "bench"])
def test_missing_file(command: str, tmp_path: Path) -> None:
    extra = ["hello"] if command in ("run", "tokenize") else []
    done = vatra(command, "-m", tmp_path / "no.gguf", *extra)
    assert done.returncode == 66
    assert "no.gguf" in one_error_line(done)


@pytest.mark.parametrize("command", ["run", "chat", "inspect", "tokenize", "bench"])
def test_damaged_file(command: str, tmp_path: Path) -> None:
    path = tmp_path / "damaged.gguf"
    path.write_bytes(bytes(range(256)) * 20)
    extra = ["hello"] if command in ("run", "tokenize") else []
    done = vatra(command, "-m", path, *extra)
    assert done.returncode == 65
    assert "damaged.gguf" in one_error_line(done)


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    done = vatra("run", "-m", tmp_path, "hello")
    assert done.returncode == 66
    one_error_line(done)


def test_a_file_s_name_cannot_steer_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m\n[red]\u202eb.gguf"
    path.write_bytes(b"GGUF")
    for arguments in (["inspect", path], ["run", "-m", path, "hello"]):
        line = one_error_line(vatra(*arguments))
        assert r"a\x1b[31m\n[red]\u202eb.gguf" in line


def test_prompt_that_is_no_text(model: Path) -> None:
    done = vatra("run", "-m", model, input=b"abc\xff")
    assert done.returncode == 65
    assert "byte 3" in one_error_line(done)
    done = subprocess.run(
        [sys.executable, "-m", "vatra", "run", "-m", model, b"abc\xff"],
        cwd=ROOT, capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 65
    assert "byte 3" in one_error_line(done)


def test_prompt_longer_than_the_context(model: Path) -> None:
    done = vatra("run", "-m", model, *FAST, "--ctx", "16", "Once upon a time " * 20)
    assert done.returncode == 2
    assert "16" in one_error_line(done)


def test_the_end_is_told(model: Path) -> None:
    for limits, said in (
        (["-n", "1"], "answer 1 token, .* ended by the limit of -n"),
        (["--ctx", "9"], r"answer \d+ tokens, .* ended by a full context"),
    ):
        done = vatra("run", "-m", model, *FAST, "--temperature", "0", "--raw", *limits, "Once")
        assert re.search(said, done.stderr.decode()), done.stderr


def test_too_many_threads_are_told(model: Path) -> None:
    allowed, _ = allowed_cpus()
    for count, times in ((allowed, 0), (allowed + 1, 1)):
        done = vatra("run", "-m", model, "--threads", count, "-n", "1", "Once")
        assert done.returncode == 0
        assert done.stderr.count(b"threads are slower than") == times, done.stderr


def test_a_vocabulary_alone_is_no_model(shared: Path) -> None:
    done = vatra("run", "-m", shared / "vocab" / "ggml-vocab-llama-spm.gguf", "Once")
    assert done.returncode == 65
    assert "vocabulary alone" in one_error_line(done)


def test_closed_standard_streams(model: Path) -> None:
    base = f"'{sys.executable}' -m vatra"
    closed_input = subprocess.run(
        ["bash", "-c", f"{base} run -m '{model}' <&-"], cwd=ROOT, capture_output=True, timeout=60
    )
    assert closed_input.returncode == 2
    one_error_line(closed_input)
    closed_output = subprocess.run(
        ["bash", "-c", f"{base} run -m '{model}' -n 3 --backend reference hi >&-"],
        cwd=ROOT, capture_output=True, timeout=60,
    )  # fmt: skip
    assert closed_output.returncode == 74
    assert b"Traceback" not in closed_output.stderr
    if Path("/dev/full").exists():
        full = subprocess.run(
            ["bash", "-c", f"{base} run -m '{model}' -n 3 --backend reference hi >/dev/full"],
            cwd=ROOT, capture_output=True, timeout=60,
        )  # fmt: skip
        assert full.returncode == 74
        one_error_line(full)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("x"), 2),
        (BadFile("f", "x"), 65),
        (MissingFile("x"), 66),
        (VatraError("x"), 70),
        (OutOfMemory("x"), 71),
        (MemoryError(), 71),
        (IOFailed("x"), 74),
        (OSError(5, "Input/output error", "f"), 74),
        (FileNotFoundError(2, "No such file", "f"), 66),
        (KeyboardInterrupt(), 130),
        (terminal.ReaderGone(), 0),
    ],
)
def test_every_error_has_its_status(
    error: BaseException, status: int, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert status_of(error, monkeypatch) == status
    assert capsys.readouterr().err.count("\n") == (status not in (0, 130))


def test_an_interrupt_in_an_exec_has_its_status(tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text(
        "from vatra.cli import app\n"
        "app._invoke = lambda _: exec('raise KeyboardInterrupt')\n"
        "raise SystemExit(app.main([]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "interrupted"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 130


def test_a_bug_is_reported_without_the_prompt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert status_of(ZeroDivisionError("division"), monkeypatch, "a secret prompt") == 70
    line = capsys.readouterr().err
    found = re.fullmatch(r"error: a bug in vatra: ZeroDivisionError: division; .* (\S+)\n", line)
    assert found, line
    report = Path(found[1]).read_text()
    assert "ZeroDivisionError" in report and "Traceback" in report
    assert "secret" not in report


def status_of(error: BaseException, monkeypatch: pytest.MonkeyPatch, prompt: str = "hello") -> int:
    def fail(_arguments: list[str]) -> None:
        raise error

    monkeypatch.setattr(app, "_invoke", fail)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    try:
        return app.main(["run", prompt])
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])


# ---- the other commands --------------------------------------------------------------------------


def test_inspect(stories: Path) -> None:
    done = vatra("inspect", stories, "--tensors")
    assert done.returncode == 0
    text = done.stdout.decode()
    for expected in ("260,032", '"llama"', "tokenizer.ggml.bos_token_id = 1", "512 x 64"):
        assert expected in text
    assert text.count("blk.4.") == 9


def test_inspect_json(stories: Path) -> None:
    done = vatra("inspect", "--json", "--tensors", "-m", stories)
    assert done.returncode == 0 and done.stdout.count(b"\n") == 1
    found = json.loads(done.stdout)
    assert found["architecture"] == "llama" and found["parameters"] == 260032
    assert found["bytes"] == stories.stat().st_size
    assert found["metadata"]["tokenizer.ggml.tokens"]["length"] == 512
    assert sum(t["bytes"] for t in found["tensors"]) == 4 * 260032
    assert found["formats"] == [
        {"format": "f32", "tensors": 47, "weights": 260032, "bits": 32.0, "bytes": 4 * 260032}
    ]


def test_inspect_reads_a_vocabulary_without_tensors(shared: Path) -> None:
    done = vatra("inspect", shared / "vocab" / "ggml-vocab-llama-spm.gguf")
    assert done.returncode == 0
    assert b"llama, 32,000 tokens" in done.stdout
    assert re.search(rb"\nruns +no: the file holds a vocabulary alone", done.stdout)
    assert b"bits" not in done.stdout  # no table of weights
    assert b"layer_norm_rms_epsilon = 1e-05\n" in done.stdout  # digits of a float32


def test_inspect_says_whether_a_file_runs(stories: Path, shared: Path) -> None:
    found = json.loads(vatra("inspect", "--json", stories, "--ctx", "100").stdout)
    assert found["runs"] is True and found["why_not"] == ""
    assert found["memory"]["n_ctx"] == 100
    assert found["memory"]["kv_cache"] == 100 * 5 * 4 * (8 + 32) * 2  # values of 8 fill 32
    assert 0.99 < found["memory"]["weights"] / (4 * 260032) < 1  # norms are not counted
    parts = ("weights", "kv_cache", "memories", "activations", "program")
    assert found["memory"]["total"] == sum(found["memory"][part] for part in parts)
    wordless = vatra("inspect", shared / "golden/archs/llama-dense.gguf").stdout
    assert re.search(rb"runs +logits only: .*tokenizer", wordless)


def test_inspect_lists_architectures() -> None:
    done = vatra("inspect", "--architectures")
    assert done.stdout.decode().split() == models.known()


def test_tokenize(stories: Path, shared: Path) -> None:
    golden = json.loads((shared / "golden" / "stories260K-tokenize.json").read_text())
    text = "One day, Lily met a Shoggoth"
    done = vatra("tokenize", "--json", "-m", stories, text)
    assert [row["id"] for row in json.loads(done.stdout)] == golden[text]
    lines = vatra("tokenize", "-m", stories, text).stdout.decode().splitlines()
    assert [int(line.split()[0]) for line in lines] == golden[text]
    done = vatra("tokenize", "--json", "--no-bos", "-m", stories, text)
    assert [row["id"] for row in json.loads(done.stdout)] == golden[text][1:]


def test_doctor_gives_reasons() -> None:
    done = vatra("doctor", "--json")
    assert done.returncode == 0, done.stderr
    choices = {row["name"]: row for row in json.loads(done.stdout)}
    assert all(row["value"] and row["reason"] for row in choices.values())
    assert len(choices) == len(json.loads(done.stdout)), "two of the same name"
    chosen = {"instruction set", "AMX", "threads", "memory", "context", "kernel cache"}
    assert {"vatra", "python", "libraries", "tile: packed weights", *chosen} <= set(choices)
    assert f"numba {metadata.version('numba')}," in choices["libraries"]["value"]
    assert not [row for row in choices.values() if row["value"] == "failed"]
    text = vatra("doctor").stdout.decode()
    choices = {n: row for n, row in choices.items() if "memory" not in n}  # other numbers by now
    assert all(row["name"] in text and row["value"] in text for row in choices.values())
    assert re.search(r"^memory +[\d,]+ MiB ", text, re.M)


def test_doctor_tells_how_a_model_is_read(stories: Path) -> None:
    done = vatra("doctor", "--json", "-m", stories)
    assert done.returncode == 0, done.stderr
    choices = {row["name"]: row for row in json.loads(done.stdout)}
    assert choices["kernel path"]["value"] == "36 x f32"
    assert choices["ctx"]["value"] == "512" and "file" in choices["ctx"]["reason"]


def test_warmup(model: Path, nearly_cold: Callable[[Path], Path]) -> None:
    cache = {"VATRA_CACHE": str(nearly_cold(model))}
    first = vatra("warmup", "-m", model, environment=cache)
    assert first.returncode == 0, first.stderr
    assert re.match(r"ready: compiled \d+ kernels", first.stdout.decode())
    assert re.match(r"compiling \d+ kernels?, once", first.stderr.decode())
    again = vatra("warmup", "-m", model, environment=cache)
    assert b"all kernels were there" in again.stdout and again.stderr == b""


def test_bench_json(model: Path) -> None:
    given = ["-p", "32", "-n", "8", "-d", "32", "--repeat", "1"]
    done = vatra("bench", "-m", model, *given, "--json")
    assert done.returncode == 0, done.stderr
    prefill, decode = map(json.loads, done.stdout.splitlines())
    assert (prefill["task"], decode["task"]) == ("prefill", "decode")
    assert prefill["tokens_per_s"] > decode["tokens_per_s"] > 0
    with gguf.read(model) as file:
        matrices = sum(t.nbytes for t in file.tensors.values() if len(t.shape) == 2)
        width = 2 * file.metadata["llama.attention.head_count_kv"] * 64
        cache = 36 * file.metadata["llama.block_count"] * width * 2
    # All matrices once, one embedding row, and the KV cache of the 36 tokens before.
    assert 0 <= decode["bytes_per_token"] - matrices - cache < 1000
    assert decode["share_of_bandwidth"] > 0
    assert decode["bandwidth_bytes_per_s"] > 1e8


def test_bench_table(model: Path) -> None:
    done = vatra("bench", "-m", model, "-p", "16", "-n", "4", "--repeat", "1", *FAST)
    assert done.returncode == 0, done.stderr
    for word in ("prefill", "decode", "tokens/s", "GB/s", "bandwidth", "reference", model.name):
        assert word in done.stdout.decode()


def test_version_and_bare_command() -> None:
    import vatra as package

    assert vatra("--version").stdout.decode() == f"vatra {package.__version__}\n"
    bare = vatra()
    assert bare.returncode == 0
    assert bare.stdout == vatra("--help").stdout


# ---- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [run.command, chat.command])
def test_every_sampling_field_is_an_option(command: Any) -> None:
    fields = [field.name for field in dataclasses.fields(Sampling)]
    fields = [name for name in fields if name not in ("filters", "recommended")]  # no text is one
    assert [row.field for row in options.SAMPLING] == fields
    assert set(fields) <= set(introspection.signature(command).parameters)


def test_help_tells_the_true_defaults() -> None:
    told = options.sampling_defaults()
    for row in options.SAMPLING:
        value = getattr(Sampling(), row.field)
        of_file = "the file's, else " if row.field in RECOMMENDED.values() else ""
        if isinstance(value, int | float) and not isinstance(value, bool):
            assert told[row.field] == f"{of_file}{value:g}"
    assert told["seed"] == "a new one"
    for text in (told["samplers"].removeprefix("the file's, else "), told["dry_breakers"]):
        assert text
    assert Sampling(samplers=told["samplers"].removeprefix("the file's, else ")) == Sampling()


def test_help_of_a_command_has_examples_that_parse() -> None:
    commands = get_command(app.app).commands  # type: ignore[attr-defined]
    assert set(commands) <= set(help.EXAMPLES)
    for name, lines in help.EXAMPLES.items():
        text = commands[name].epilog
        for line in lines:
            assert line in text
            words = re.split(r"[|(]", line.split("#")[0].split(">")[0].split("<")[0])
            vatra_words = next(w for w in map(str.strip, words) if w.startswith("vatra "))
            given = shlex.split(vatra_words.rstrip(')"'))[2:]
            commands[name].make_context(name, given)


def test_values_are_refused_before_a_model_is_read(tmp_path: Path) -> None:
    for given, said in (
        (("--top-p", "1.5"), "--top-p: got 1.5, wanted a number from 0 to 1"),
        (("--top-k", "many"), "--top-k: got 'many', wanted an integer"),
        (("--seed", "-1"), "--seed: got -1"),
    ):
        done = vatra("chat", "-m", tmp_path / "none.gguf", *given)
        assert done.returncode == 2
        assert said in one_error_line(done)


def test_what_was_meant_is_guessed() -> None:
    assert "did you mean --temperature?" in one_error_line(vatra("run", "--temprature", "1", "x"))
    assert "Did you mean 'chat'?" in one_error_line(vatra("chta"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(shell: str) -> None:
    done = vatra("completion", shell)
    assert done.returncode == 0 and b"_VATRA_COMPLETE=complete_" in done.stdout


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("vatra ru", ["run"]),
        ("vatra run --temp", ["--temperature"]),
        ("vatra chat --kv ", ["f16", "f32", "q8_0", "q4_0"]),
        ("vatra run -m ", []),  # the shell's own: names of files
    ],
)
def test_completion(words: str, completed: list[str]) -> None:
    asked = {
        "_VATRA_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    assert vatra(environment=asked).stdout.decode().split() == completed


def test_completion_of_names(tmp_path: Path, spark: Path) -> None:
    models, state = tmp_path / "models", tmp_path / "state" / "vatra" / "sessions"
    models.mkdir()
    state.mkdir(parents=True)
    (models / "bear.gguf").write_bytes(spark.read_bytes()[:4096])
    (state / "holiday.vatra").write_bytes(b"")
    for words, completed in {
        "vatra run -m be": ["bear"],
        "vatra chat --session ho": ["holiday"],
        "vatra sessions show h": ["holiday"],
        "vatra sessions rm h": ["holiday"],
        "vatra rm be": ["bear"],
        "vatra run -m /": [],
    }.items():
        asked = {
            "_VATRA_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
            "VATRA_MODELS": str(models),
            "XDG_STATE_HOME": str(tmp_path / "state"),
        }
        assert vatra(environment=asked).stdout.decode().split() == completed, words
