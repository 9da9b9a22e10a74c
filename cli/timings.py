"""Where the time of an answer went, in words."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vatra.engine.generation import Steps
    from vatra.engine.model import Model
    from vatra.engine.sampling import Sampling
    from vatra.engine.timings import Timings

MOST_OPS = 8  # that are told for each phase
ENDINGS = {
    "eog": "the model",
    "stop": "a stop text or the form asked for",
    "length": "the limit of -n",
    None: "interruption",
}


def statistics(steps: Steps, sampling: Sampling, max_tokens: int | None) -> str:
    """The speeds of an answer in one line, and the seed to get it again if it took one."""
    s = steps.statistics
    seed = f"; seed {steps.seed}" if sampling.temperature > 0 else ""
    hits = f"; {s.accepted_tokens} of {s.proposed_tokens} proposed accepted"
    hits = hits if s.proposed_tokens else ""
    reused = f" ({s.reused_tokens} more reused)" if s.reused_tokens else ""
    full = steps.finish_reason == "length" and s.generated_tokens != max_tokens
    ending = "a full context" if full else ENDINGS[steps.finish_reason]
    return (
        f"prompt {_tokens(s.prompt_tokens)}{reused}, {s.prompt_tokens_per_s:.1f} tokens/s; "
        f"first token after {s.first_token_s:.2f} s; "
        f"answer {_tokens(s.generated_tokens)}, {s.generated_tokens_per_s:.1f} tokens/s, "
        f"ended by {ending}{hits}{seed}"
    )


def details(
    model: Model, steps: Steps, sampling: Sampling, load_s: float | None = None
) -> list[str]:
    """What `--verbose` tells after an answer, a line for each part of the work."""
    s, values = steps.statistics, []
    for name in sorted(sampling.recommended):
        value = getattr(sampling, name)
        values.append(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}")
    lines = [] if load_s is None else [f"load      {load_s:9.3f} s"]
    return [
        *lines,
        f"prompt    {s.prompt_s:9.3f} s   {_tokens(s.prompt_tokens)}, {s.reused_tokens} reused",
        f"first     {s.first_token_s:9.3f} s   from the beginning of the prompt to a token",
        f"answer    {s.generated_s:9.3f} s   {_tokens(s.generated_tokens)}",
        *(f"device    {c.value}" for c in model.choices if c.name == "layers on a device"),
        f"memory    {resident_bytes() / 1e6:9.1f} MB  of this process, {model.threads} threads",
        *([f"sampling as the file recommends: {', '.join(values)}"] if values else []),
    ]


def timed(model: Model, wanted: bool) -> AbstractContextManager[Timings | None]:
    """`model.timings()`, or nothing where that is not wanted or the model has none."""
    return model.timings() if wanted and hasattr(model.executor, "timings") else nullcontext()


def op_lines(timings: Timings | None) -> list[str]:
    """The dearest ops of prompt and answer, a line each."""
    found: list[str] = []
    for phase, name in (("prefill", "of the prompt"), ("decode", "of the answer")):
        for row in timings.rows(phase)[:MOST_OPS] if timings is not None else ():
            read = "" if row.bytes_per_s is None else f", {row.bytes_per_s / 1e9:.1f} GB/s"
            found.append(
                f"{100 * row.share:5.1f} % {name}  {row.ms_per_token:9.4f} ms a token  "
                f"{row.op} {row.format}".rstrip()
                + read
            )
    return found


def resident_bytes() -> int:
    """The memory that this process holds now; where the system does not say, at most held."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        pass
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _tokens(count: int) -> str:
    return "1 token" if count == 1 else f"{count} tokens"
