"""Vatra beside llama.cpp: the same file, ids and threads, in one run.

    python bench/compare.py MODEL.gguf --threads 2 --json OUT.json

Without a file it is Spark, the toy that comes with Vatra: the smallest case, where overhead counts.
Every engine has a process of its own that loads the model once and stays; measurements alternate
A B A B, so that a busy machine is busy for all. Speeds are medians; a ratio is the median of the
rounds' own ratios, ours over theirs.

A peer is NAME[=OPTION[,OPTION]]: `plain=no-repack` keeps llama.cpp's weights as they lie in the
file, `other=/some/lib` takes its shared libraries from there. Several peers run side by side.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from vatra import spark

Array = np.ndarray[Any, np.dtype[Any]]
CHILD = Path(__file__).with_name("engines.py")
SETTLE_S = 0.1  # between engines: OpenMP threads of the last one spin for some milliseconds
BUSY = 0.2  # cores; with more at work, OpenMP's spinning threads wait for each other
OURS = "vatra"
CPU_FLAGS = ("avx2", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8")


class EngineDied(Exception):
    """An engine's process ended before it answered."""


@dataclass(frozen=True)
class Contender:
    """One engine as it is started."""

    name: str
    engine: str
    python: str = sys.executable
    options: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def command(self) -> list[str]:
        return [self.python, str(CHILD)]


class Child:
    """An engine's process; `ask` waits for its answer and raises EngineDied if none comes."""

    def __init__(self, contender: Contender, settings: dict[str, Any]) -> None:
        self.name = contender.name
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as this
        started = time.monotonic()
        self._process = subprocess.Popen(
            contender.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | contender.environment,
        )
        own = {"engine": contender.engine, "options": contender.options, "started": started}
        self.start = self._exchange({**settings, **own})

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        return self._exchange({"do": do, **more})

    def _exchange(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        with suppress(BrokenPipeError):  # it has ended: the missing answer says so
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise EngineDied(self._reason())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _reason(self) -> str:
        code = self._process.wait()
        if code < 0:
            return f"ended by {signal.Signals(-code).name}"
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        return f"ended with exit code {code}: {lines[-1] if lines else 'no message'}"

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin and self._process.stdout
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()


@dataclass
class Result:
    """One engine on one model; speeds have one entry per round."""

    prefill_tokens_per_s: list[float] = field(default_factory=list)
    decode_tokens_per_s: list[float] = field(default_factory=list)
    load_s: float = 0.0
    first_token_s: float = 0.0  # from the start of the process, prompt evaluated
    facts: dict[str, Any] = field(default_factory=dict)
    logits_nmse: float | None = None  # of ours against this engine's, after the prompt
    died: str = ""

    @property
    def peak_bytes(self) -> int:
        return int(self.facts["memory"]["peak"])


def measure(
    contenders: list[Contender], settings: dict[str, Any], rounds: int
) -> dict[str, Result]:
    """Results by name; an engine that dies is left out from there on, and its result says so."""
    results = {c.name: Result() for c in contenders}
    tokens = {"prefill": settings["prefill"], "decode": settings["decode"]}
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        children: dict[str, Child] = {}

        def start(contender: Contender, result: Result) -> None:
            with Child(contender, settings):
                pass  # once and away: compiled code and the file are then cached
            child = stack.enter_context(Child(contender, settings))
            result.load_s = child.start["load_s"]
            result.first_token_s = child.start["first_token_s"]
            child.ask("prefill", logits=f"{folder}/{contender.name}.npy")
            child.ask("decode")
            children[contender.name] = child

        def ask_all(do: str) -> dict[str, Any]:
            answers = {}
            for name, child in list(children.items()):
                time.sleep(SETTLE_S)
                try:
                    answers[name] = child.ask(do)
                except EngineDied as death:
                    results[name].died = str(death)
                    del children[name]
            return answers

        for contender in contenders:
            try:
                start(contender, results[contender.name])
            except EngineDied as death:
                results[contender.name].died = str(death)
        for _ in range(rounds):
            for name, answer in ask_all("prefill").items():
                speed = tokens["prefill"] / answer["seconds"]
                results[name].prefill_tokens_per_s.append(speed)
            for name, answer in ask_all("decode").items():
                speed = tokens["decode"] / answer["seconds"]
                results[name].decode_tokens_per_s.append(speed)
        for name, answer in ask_all("facts").items():
            results[name].facts = answer
        if OURS in children:
            ours = np.load(f"{folder}/{OURS}.npy")
            for name in children:
                results[name].logits_nmse = nmse(ours, np.load(f"{folder}/{name}.npy"))
    return results


def nmse(ours: Array, theirs: Array) -> float:
    """Squared error of ours over the squares of theirs, in float64."""
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    return float(((a - b) ** 2).sum() / (b**2).sum())


def ratio(ours: list[float], theirs: list[float]) -> float:
    """The median of the rounds' ratios: what slows one round down, slows both engines."""
    return median(a / b for a, b in zip(ours, theirs, strict=True))


def ratios(results: dict[str, Result]) -> dict[str, dict[str, float]]:
    """Ours over each living peer's, by the peer's name."""
    ours = results[OURS]
    peers = {n: r for n, r in results.items() if n != OURS and not r.died and not ours.died}
    return {
        name: {
            "prefill": ratio(ours.prefill_tokens_per_s, peer.prefill_tokens_per_s),
            "decode": ratio(ours.decode_tokens_per_s, peer.decode_tokens_per_s),
            "peak_memory": ours.peak_bytes / peer.peak_bytes,
            "first_token": ours.first_token_s / peer.first_token_s,
        }
        for name, peer in peers.items()
    }


def table(results: dict[str, Result]) -> str:
    """The medians and ratios of one model for people."""
    head = ("", "prefill t/s", "decode t/s", "load s", "1st token s", "peak MB", "nmse")
    rows: list[tuple[str, ...]] = [head]
    for name, r in results.items():
        if r.died:
            rows.append((name, f"  {r.died}"))
            continue
        rows.append(
            (
                name,
                f"{median(r.prefill_tokens_per_s):.1f}",
                f"{median(r.decode_tokens_per_s):.2f}",
                f"{r.load_s:.2f}",
                f"{r.first_token_s:.2f}",
                f"{r.peak_bytes / 1e6:.0f}",
                "" if r.logits_nmse is None or name == OURS else f"{r.logits_nmse:.1e}",
            )
        )
    for name, of in ratios(results).items():
        speeds = (f"{of['prefill']:.2f}x", f"{of['decode']:.2f}x")
        costs = (f"{of['first_token']:.2f}x", f"{of['peak_memory']:.2f}x")
        rows.append((f"{OURS} / {name}", *speeds, "", *costs))
    width = max(len(row[0]) for row in rows)
    return "\n".join(
        row[0].ljust(width) + "".join(f"{cell:>13}" for cell in row[1:]) for row in rows
    )


def machine() -> dict[str, Any]:
    """What this run was made on."""
    facts: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "system": platform.platform(),
        "cpu": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
    }
    info = Path("/proc/cpuinfo")
    if info.exists():
        pairs = [line.split(":", 1) for line in info.read_text().splitlines() if ":" in line]
        values = {key.strip(): value.strip() for key, value in pairs}
        keys = ("cpu family", "model", "stepping")
        model = " ".join(f"{key} {values[key]}" for key in keys if key in values)
        facts["cpu"] = f"{values.get('model name', facts['cpu'])} ({model})"
        flags = values.get("flags", "").split()
        facts["features"] = [flag for flag in CPU_FLAGS if flag in flags]
        facts["memory_bytes"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return facts


def busy_cores(seconds: float = 0.5) -> float | None:
    """How many cores other work keeps busy right now; None where the system does not say."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None

    def idle_s() -> float:
        user, nice, system, idle, waiting, *_ = stat.read_text().split("\n", 1)[0].split()[1:]
        return (int(idle) + int(waiting)) / os.sysconf("SC_CLK_TCK")

    before, begin = idle_s(), time.perf_counter()
    time.sleep(seconds)
    idle = (idle_s() - before) / (time.perf_counter() - begin)
    return round(max(0.0, (os.cpu_count() or 1) - idle), 2)


def peer(text: str, python: str) -> Contender:
    """A llama.cpp from `NAME[=OPTION[,OPTION]]`; ValueError on an option that is neither known
    nor a folder."""
    name, _, given = text.partition("=")
    options: dict[str, Any] = {}
    environment: dict[str, str] = {}
    for option in filter(None, given.split(",")):
        if option == "no-repack":
            options["repack"] = False
        elif Path(option).is_dir():
            environment["LLAMA_CPP_LIB_PATH"] = str(Path(option).resolve())
        else:
            raise ValueError(f"peer {name}: {option!r} is neither no-repack nor a folder")
    if not name or name == OURS:
        raise ValueError(f"peer {text!r} needs a name of its own")
    return Contender(name, "llama.cpp", python, options, environment)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", type=Path, metavar="MODEL.gguf")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--prefill", type=int, default=256, help="tokens (%(default)s)")
    parser.add_argument("--decode", type=int, default=64, help="tokens (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--backend", default="cpu", help="of vatra (%(default)s)")
    parser.add_argument("--peer", action="append", metavar="NAME[=OPTION,...]", default=[])
    parser.add_argument(
        "--peer-python",
        default=sys.executable,
        metavar="PATH",
        help="the interpreter that has llama-cpp-python (this one)",
    )
    parser.add_argument("--alone", action="store_true", help="no peer: only vatra")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write everything there")
    given = parser.parse_args(arguments)
    given.models = given.models or [spark.path()]
    for name in ("threads", "prefill", "decode", "rounds"):
        if getattr(given, name) < 1:
            parser.error(f"--{name} must be at least 1")
    if missing := [str(path) for path in given.models if not path.is_file()]:
        parser.error(f"not a file: {', '.join(missing)}")
    given.contenders = [Contender(OURS, "vatra", options={"backend": given.backend})]
    try:
        peers = [] if given.alone else given.peer or ["llama.cpp"]
        given.contenders += [peer(text, given.peer_python) for text in peers]
    except ValueError as error:
        parser.error(str(error))
    names = [c.name for c in given.contenders]
    if len(set(names)) < len(names):
        parser.error(f"every peer needs a name of its own, got {', '.join(names)}")
    return given


def main(arguments: list[str] | None = None) -> int:
    """Compare, print, and return 1 if an engine died."""
    given = parse(arguments)
    shared = {name: getattr(given, name) for name in ("threads", "prefill", "decode")}
    facts = machine()
    print(f"{facts['cpu']}, {' '.join(facts.get('features', []))}")
    print(
        f"{given.threads} threads, prefill {given.prefill} tokens, decode {given.decode} tokens, "
        f"medians of {given.rounds} rounds"
    )
    models: dict[str, Any] = {}
    died = False
    for path in given.models:
        settings = {**shared, "model": str(path.resolve())}
        busy = busy_cores()
        if busy is not None and busy > BUSY:
            print(f"\nother work keeps {busy:.1f} cores busy: these numbers will not hold")
        results = measure(given.contenders, settings, given.rounds)
        print(f"\n{path.name}, {path.stat().st_size / 1e6:.0f} MB\n{table(results)}", flush=True)
        died = died or any(r.died for r in results.values())
        models[path.name] = {
            "bytes": path.stat().st_size,
            "busy_cores_before": busy,
            "engines": {name: asdict(r) for name, r in results.items()},
            "ratios": ratios(results),
        }
    record = {"machine": facts, "rounds": given.rounds, **shared, "models": models}
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(record, indent=1) + "\n")
    print("\n" + json.dumps({name: of["ratios"] for name, of in models.items()}))
    return int(died)


if __name__ == "__main__":
    sys.exit(main())
