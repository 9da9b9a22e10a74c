"""One engine with one model, in a process of its own, measured on request.

`compare.py` starts this file once per engine, with the interpreter that has the engine. The first
line of standard input is the engine's settings, each further line a request; every answer is one
line of JSON on standard output. Only what an engine needs is imported, so that memory is its own.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
SEED = 1  # of the token ids, the same for every engine
FIRST_TEXT_ID = 259  # lower ids are control tokens and bytes


@dataclass(frozen=True)
class Settings:
    """What an engine is given, the same for all that are compared."""

    engine: str
    model: str
    threads: int
    prefill: int  # tokens
    decode: int  # tokens
    started: float  # time.monotonic() just before the process was started
    options: dict[str, Any] = field(default_factory=dict)  # of this engine alone

    @property
    def n_ctx(self) -> int:
        """Rounded up to what llama.cpp would round it up to."""
        return -(-(self.prefill + self.decode) // 256) * 256


class Engine(Protocol):
    n_vocab: int

    def prefill(self, ids: Array) -> Array:
        """Logits float32 (n_vocab,) after the last of `ids`, from an empty cache."""
        ...

    def step(self, token: int, position: int) -> Array:
        """Logits float32 (n_vocab,) after one more token."""
        ...

    def facts(self) -> dict[str, Any]:
        """Versions and choices, for the record."""
        ...


class Vatra:
    """This project's engine: the executor itself, as sessions use it."""

    def __init__(self, settings: Settings) -> None:
        import vatra

        self.model = vatra.load(
            settings.model, threads=settings.threads, ctx=settings.n_ctx, **settings.options
        )
        self.executor = self.model.executor
        self.n_vocab = self.executor.plan.n_vocab
        self.state = self.executor.new_state(settings.n_ctx, "f16")

    def prefill(self, ids: Array) -> Array:
        return self._run(ids, 0)

    def step(self, token: int, position: int) -> Array:
        return self._run(np.array([token], np.int32), position)

    def _run(self, ids: Array, position: int) -> Array:
        (last,) = self.executor.run(self.state, ids, position, "last")
        return np.asarray(last)

    def facts(self) -> dict[str, Any]:
        import llvmlite
        import numba

        import vatra

        versions = {"numba": numba.__version__, "llvmlite": llvmlite.__version__}
        report = getattr(self.executor, "report", list)  # only the compiled executor has choices
        choices = [choice._asdict() for choice in report()]
        return {"version": vatra.__version__, **versions, "choices": choices}


class LlamaCpp:
    """llama.cpp through the C interface of llama-cpp-python: none of its Python is timed.

    Defaults of its own: memory-mapped file, flash attention where it can, KV cache in float16.
    Option `repack=False` keeps the weights as they lie in the file.
    """

    BATCH = 512

    def __init__(self, settings: Settings) -> None:
        import llama_cpp

        self.c: Any = llama_cpp
        self.buffers: list[str] = []
        self._log = self.c.llama_log_callback(self._heard)
        self.c.llama_log_set(self._log, None)
        self.c.llama_backend_init()
        of_model = self.c.llama_model_default_params()
        of_model.use_extra_bufts = settings.options.get("repack", True)
        self.model = self.c.llama_model_load_from_file(os.fsencode(settings.model), of_model)
        if not self.model:
            raise RuntimeError(f"llama.cpp cannot load {settings.model}")
        of_context = self.c.llama_context_default_params()
        of_context.n_ctx = settings.n_ctx
        of_context.n_batch = of_context.n_ubatch = self.BATCH
        of_context.n_threads = of_context.n_threads_batch = settings.threads
        self.context = self.c.llama_init_from_model(self.model, of_context)
        if not self.context:
            raise RuntimeError("llama.cpp cannot make a context")
        self.memory = self.c.llama_get_memory(self.context)
        self.batch = self.c.llama_batch_init(self.BATCH, 0, 1)
        vocabulary = self.c.llama_model_get_vocab(self.model)
        self.n_vocab = int(self.c.llama_vocab_n_tokens(vocabulary))

    def _heard(self, level: int, text: bytes, _: ctypes.c_void_p) -> None:
        line = text.decode(errors="replace").strip()
        if "buffer size" in line or line.startswith("error"):
            self.buffers.append(" ".join(line.split()))

    def prefill(self, ids: Array) -> Array:
        self.c.llama_memory_clear(self.memory, True)
        for start in range(0, len(ids), self.BATCH):
            some = ids[start : start + self.BATCH]
            self._decode(some, start, start + len(some) == len(ids))
        return self._logits()

    def step(self, token: int, position: int) -> Array:
        self._decode([token], position, True)
        return self._logits()

    def _decode(self, ids: Any, position: int, is_end: bool) -> None:
        batch = self.batch
        batch.n_tokens = len(ids)
        for i, token in enumerate(ids):
            batch.token[i] = token
            batch.pos[i] = position + i
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = 0
            batch.logits[i] = is_end and i == len(ids) - 1
        code = self.c.llama_decode(self.context, batch)
        if code:
            raise RuntimeError(f"llama_decode answered {code}")

    def _logits(self) -> Array:
        return np.ctypeslib.as_array(self.c.llama_get_logits_ith(self.context, -1), (self.n_vocab,))

    def facts(self) -> dict[str, Any]:
        info = self.c.llama_print_system_info().decode()
        library = os.environ.get("LLAMA_CPP_LIB_PATH", "the package's own")
        return {
            "version": f"llama-cpp-python {self.c.__version__}",
            "library": Path(library).name,
            "system_info": " ".join(info.split()),
            "buffers": self.buffers,
        }


ENGINES: dict[str, Callable[[Settings], Engine]] = {"vatra": Vatra, "llama.cpp": LlamaCpp}


@dataclass
class Bench:
    """Answers requests about one engine."""

    settings: Settings
    engine: Engine
    ids: Array = field(init=False)

    def __post_init__(self) -> None:
        s, n_vocab = self.settings, self.engine.n_vocab
        low = min(FIRST_TEXT_ID, n_vocab // 2)
        drawn = np.random.default_rng(SEED).integers(low, n_vocab, s.prefill + s.decode)
        self.ids = drawn.astype(np.int32)

    def prefill(self, logits: str | None = None) -> dict[str, Any]:
        """Seconds of evaluating the prompt; saves the last logits where `logits` says."""
        begin = time.perf_counter()
        last = self.engine.prefill(self.ids[: self.settings.prefill])
        best = int(last.argmax())
        seconds = time.perf_counter() - begin
        if logits:
            np.save(logits, last)
        if not np.isfinite(last).all():
            raise RuntimeError("logits are not finite")
        return {"seconds": seconds, "best": best}

    def decode(self) -> dict[str, Any]:
        """Seconds of evaluating the tokens after the prompt, one by one; given ids, not chosen."""
        ids = self.ids.tolist()
        begin = time.perf_counter()
        for position in range(self.settings.prefill, len(ids)):
            self.engine.step(ids[position], position).argmax()
        return {"seconds": time.perf_counter() - begin}

    def facts(self) -> dict[str, Any]:
        """Peak and present memory in bytes, then what the engine says of itself."""
        memory = peak_memory()
        python = platform.python_version()
        own = self.engine.facts()
        return {"memory": memory, "python": python, "numpy": np.__version__, **own}


def peak_memory() -> dict[str, int]:
    """Bytes of this process: peak resident, and now anonymous and of mapped files; Linux only."""
    wanted = {"VmHWM": "peak", "RssAnon": "anonymous", "RssFile": "mapped"}
    status = Path("/proc/self/status").read_text().splitlines()
    pairs = (line.split(":", 1) for line in status if ":" in line)
    return {wanted[k]: int(v.split()[0]) * 1024 for k, v in pairs if k in wanted}


def main() -> None:
    # Answers leave by a copy: nothing that a library prints can be mistaken for one.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(content: dict[str, Any]) -> None:
        print(json.dumps(content), file=answers, flush=True)

    settings = Settings(**json.loads(sys.stdin.readline()))
    begin = time.perf_counter()
    bench = Bench(settings, ENGINES[settings.engine](settings))
    load_s = time.perf_counter() - begin
    bench.prefill()
    answer({"load_s": load_s, "first_token_s": time.monotonic() - settings.started})
    requests: dict[str, Callable[..., dict[str, Any]]] = {
        "prefill": bench.prefill,
        "decode": bench.decode,
        "facts": bench.facts,
    }
    for line in sys.stdin:
        request = json.loads(line)
        answer(requests[request.pop("do")](**request))


if __name__ == "__main__":
    main()
