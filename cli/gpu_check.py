"""`vatra doctor --gpu-check`: whether a graphics processor computes what it should, as a report."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np

import vatra
from vatra import spark
from vatra.choices import Choice
from vatra.cli.speeds import Subject, Task, rounds
from vatra.cli.table import table
from vatra.engine.model import Model
from vatra.engine.offload.check import check
from vatra.engine.offload.device import Adapter, Device
from vatra.engine.offload.report import described

PROMPT = "Once upon a time there was a little girl who"
N_TOKENS = 64  # of an answer
BOUND = 0.03  # of the largest logit: products of activations that are rounded to 8 bits
TASKS = Task("prefill", 64, 0), Task("decode", 32, 0)
# of the random model whose speed is told
FORMAT, SHAPE = "q4_0", {"layers": 2, "vocab": 1024}


class Answer(NamedTuple):
    """A text, the tokens of prompt and text, and the logits after each token of another text."""

    text: str
    tokens: list[int]
    logits: np.ndarray


class Report:
    """Its lines, as they are found; `ok` at the end. What ends the process leaves what was told."""

    def __init__(self, adapter: Adapter, about: list[Choice]) -> None:
        self._adapter, self._about, self.ok = adapter, about, True

    def lines(self) -> Iterator[str]:
        """All of it."""
        about = [*self._about, Choice("wgpu", version("wgpu"), "reaches Metal, Vulkan and DX12")]
        for choice in [*about, *described(self._adapter)]:
            yield f"{choice.name}: {choice.value} ({choice.reason})"
        for section in (self._kernels, self._text, self._speeds):
            yield ""
            try:
                yield from section()
            except Exception as error:  # of drivers and compilers: whatever it is, it is told
                self.ok = False
                yield f"FAILED {type(error).__name__}: {error}"
        yield ""
        yield "all is well" if self.ok else "FAILED: do not trust this device"

    def _kernels(self) -> Iterator[str]:
        device = Device(self._adapter)
        found = check(device, int8=self._adapter.multiplies_int8)
        rows = []
        for each in found:
            verdict = "ok" if each.ok else f"FAILED {each.problem}".strip()
            ms = f"{1000 * each.seconds:.1f}"
            rows.append((each.kernel, f"{each.error:.1e}", f"{each.bound:.0e}", ms, verdict))
        yield from table(("kernel", "error", "bound", "ms", ""), rows)
        right = sum(each.ok for each in found)
        self.ok &= right == len(found)
        yield f"{right} of {len(found)} kernels are right; errors are parts of the largest value"

    def _text(self) -> Iterator[str]:
        """The toy's answer, beside that of the processor with activations rounded as often."""
        backend = "cpu" if self._adapter.multiplies_int8 else "reference"
        with vatra.load(spark.path(), backend=backend) as model:
            wanted = answer(model)
        with vatra.load(spark.path(), gpu_layers="all", device=str(self._adapter)) as model:
            where = next(c.value for c in model.choices if c.name == "layers on a device")
            found = answer(model, wanted.tokens)
        error = float(np.abs(found.logits - wanted.logits).max() / np.abs(wanted.logits).max())
        same = found.logits.argmax(-1) == wanted.logits.argmax(-1)
        ok = error <= BOUND and where.startswith("8 of 8")
        self.ok &= ok
        yield f"Spark's layers: {where}"
        yield (
            f"Spark's logits beside {backend}: error {error:.1e}, bound {BOUND}, the same token is "
            f"the likeliest after {same.sum()} of {len(same)}: {'ok' if ok else 'FAILED'}"
        )
        yield f"the same text: {'yes' if found.text == wanted.text else 'no'}"
        if found.text != wanted.text:
            yield from (f"device: {found.text!r}", f"{backend}: {wanted.text!r}")

    def _speeds(self) -> Iterator[str]:
        """Of random weights that no cache of a processor holds."""
        from vatra.formats import random_model

        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="vatra-check-"))
            path = Path(folder) / f"{FORMAT}.gguf"
            random_model.write(path, random_model.Shape(**SHAPE), FORMAT)
            on_device = {"gpu_layers": "all", "device": str(self._adapter)}
            models = [vatra.load(path, ctx=256, **way) for way in (on_device, {})]  # type: ignore[arg-type]
            subjects = [
                Subject(name, stack.enter_context(model), TASKS)
                for name, model in zip(("device", "processor"), models, strict=True)
            ]
            rounds(subjects, TASKS, 2, lambda done, total: None)
            for task in TASKS:
                for subject in subjects:
                    speed = subject.speed(task, 1)
                    read = f", {speed.bytes_per_s / 1e9:.1f} GB/s" if speed.bytes_per_s else ""
                    yield (
                        f"{task.kind} of {task.tokens} tokens by the {subject.name}, "
                        f"{path.stat().st_size / 1e6:.0f} MB of {FORMAT}: "
                        f"{speed.tokens_per_s:.1f} tokens/s{read}"
                    )


def answer(model: Model, tokens: list[int] | None = None) -> Answer:
    """What a model writes without randomness, and its logits of that text, or of `tokens`."""
    ids = model.tokenizer.encode(PROMPT)
    steps = list(model.generate(ids, temperature=0, max_tokens=N_TOKENS))
    written = [*ids, *(step.token for step in steps if step.token is not None)]
    text = "".join(step.text for step in steps)
    return Answer(text, written, model.logits(written if tokens is None else tokens))
