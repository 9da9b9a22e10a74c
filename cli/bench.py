"""`vatra bench`: how fast this machine reads a prompt and writes an answer, and what limits it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from vatra.cli import options, terminal
from vatra.errors import UsageError

if TYPE_CHECKING:
    from vatra.engine.executor import Executor
    from vatra.models.plan import KVCache, Plan

SEED = 1  # of the random tokens that stand for a prompt


@dataclass(frozen=True)
class Result:
    """What was measured; speeds are the median of the repetitions."""

    model: str
    architecture: str
    backend: str
    threads: int
    prompt_tokens: int
    decode_tokens: int
    repeat: int
    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    bytes_per_token: int  # of weights and KV cache that writing one token reads
    decode_bytes_per_s: float
    bandwidth_bytes_per_s: float  # what the same threads read at most on this machine
    share_of_bandwidth: float


def command(
    model: options.Model = None,
    prompt_tokens: Annotated[
        int,
        typer.Option("-p", "--prompt-tokens", metavar="N", min=1, help="Tokens to read at once."),
    ] = 256,
    decode_tokens: Annotated[
        int,
        typer.Option(
            "-n", "--decode-tokens", metavar="N", min=1, help="Tokens to write one by one."
        ),
    ] = 64,
    threads: options.Threads = None,
    repeat: Annotated[
        int, typer.Option(metavar="N", min=1, help="Measure so often; the median counts.")
    ] = 3,
    kv: options.KV = options.KVFormat.f16,
    backend: options.Executor = options.Backend.cpu,
    as_json: Annotated[
        bool, typer.Option("--json", help="Only one JSON object on one line, for programs.")
    ] = False,
) -> None:
    """Measure a model's speed and how near it is to the limit.

    Tokens/s of reading a prompt and of writing an answer, GB/s of memory read while writing, and
    the share of this machine's measured bandwidth that is.
    """
    path = options.model_path(model)

    from vatra.cli.progress import waiting

    with waiting() as shown:
        import vatra
        from vatra.engine import bandwidth
        from vatra.engine.model import cannot_write

        n_ctx = prompt_tokens + decode_tokens
        loaded = vatra.load(path, backend=backend.value, threads=threads, ctx=n_ctx, kv=kv.value)
        if (why := cannot_write(loaded.plan)) is not None:
            raise UsageError(why)
        executor = loaded.executor
        n_threads = threads or loaded.threads
        _measure(executor, kv.value, min(prompt_tokens, 16), 2)  # pages in, caches warm
        speeds = []
        for done in range(repeat):
            shown.on_measure(done, repeat)
            speeds.append(_measure(executor, kv.value, prompt_tokens, decode_tokens))
        limit = bandwidth.measure(n_threads)
    prefill, decode = median(s[0] for s in speeds), median(s[1] for s in speeds)
    kept = partial(executor.state_class.bytes_per_token, kv=kv.value)
    per_token = bytes_per_token(loaded.plan, kept, prompt_tokens + decode_tokens / 2)
    result = Result(
        model=path.name,
        architecture=loaded.plan.architecture,
        backend=backend.value,
        threads=n_threads,
        prompt_tokens=prompt_tokens,
        decode_tokens=decode_tokens,
        repeat=repeat,
        prefill_tokens_per_s=round(prefill, 3),
        decode_tokens_per_s=round(decode, 3),
        bytes_per_token=per_token,
        decode_bytes_per_s=round(decode * per_token),
        bandwidth_bytes_per_s=round(limit),
        share_of_bandwidth=round(decode * per_token / limit, 4),
    )
    if as_json:
        terminal.write_line(json.dumps(asdict(result)))
    else:
        terminal.write_line(card(result))


def card(r: Result) -> str:
    """The result for people."""
    return "\n".join(
        (
            f"{r.model} ({r.architecture}), {r.backend}, {r.threads} threads, median of {r.repeat}",
            f"prefill   {r.prefill_tokens_per_s:10.1f} tokens/s   {r.prompt_tokens} tokens at once",
            f"decode    {r.decode_tokens_per_s:10.1f} tokens/s   {r.decode_tokens} tokens "
            f"after {r.prompt_tokens}",
            f"reads     {r.decode_bytes_per_s / 1e9:10.1f} GB/s       "
            f"{r.bytes_per_token / 1e6:.1f} MB for each token written",
            f"bandwidth {r.bandwidth_bytes_per_s / 1e9:10.1f} GB/s       "
            f"decode uses {100 * r.share_of_bandwidth:.0f} % of what these threads can read",
        )
    )


def bytes_per_token(plan: Plan, kept: Callable[[KVCache], int], position: float) -> int:
    """Bytes of weights, and of KV caches of `kept` bytes a token, that one at `position` reads."""
    from vatra.models.plan import Attention, Embed, ExpertLinear, Linear

    total = 0.0
    for op in plan.ops:
        if isinstance(op, Linear):
            total += op.weight.nbytes
        elif isinstance(op, ExpertLinear):
            total += op.weight.nbytes * op.experts.width / op.weight.shape[0]
        elif isinstance(op, Embed):
            total += op.weight.nbytes / op.weight.n_rows
        elif isinstance(op, Attention):
            total += min(position, op.cache.window or position) * kept(op.cache)
    return round(total)


def _measure(executor: Executor, kv: str, n_prompt: int, n_decode: int) -> tuple[float, float]:
    """Tokens/s of evaluating `n_prompt` random tokens at once, and of `n_decode` single ones."""
    import numpy as np

    from vatra.engine.session import CHUNK

    tokens = np.random.default_rng(SEED).integers(
        0, executor.plan.n_vocab, n_prompt + n_decode, dtype=np.int32
    )
    state = executor.new_state(n_prompt + n_decode, kv=kv)  # type: ignore[arg-type]
    begin = time.perf_counter()
    for chunk in range(0, n_prompt, CHUNK):
        end = min(chunk + CHUNK, n_prompt)
        executor.run(state, tokens[chunk:end], chunk, "last" if end == n_prompt else "none")
    middle = time.perf_counter()
    for i in range(n_prompt, n_prompt + n_decode):
        executor.run(state, tokens[i : i + 1], i, "last")
    end_s = time.perf_counter()
    return n_prompt / (middle - begin), n_decode / (end_s - middle)
