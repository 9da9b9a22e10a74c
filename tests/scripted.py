"""The `vatra` command with a model that says what it is told to: `python scripted.py FILE ...`.

FILE is JSON: the answers in turn, and the seconds that a token takes. Everything but the numbers
that come out of the model is real: file, tokenizer, chat template, sampling, session.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import vatra
from vatra.cli import app
from vatra.engine.reference import ReferenceExecutor


def script(path: Path, *answers: str, delay_s: float = 0.0) -> Path:
    """Write what the model will say."""
    path.write_text(json.dumps({"answers": answers, "delay_s": delay_s}))
    return path


class Speaker:
    """Gives the next token of the script all probability, and then the one that ends an answer."""

    def __init__(self, path: str) -> None:
        told = json.loads(Path(path).read_text())
        with vatra.load(backend="reference") as model:
            encode, self.end = model.tokenizer.encode, min(model.tokenizer.eog_ids)
            self.answers = [encode(text, bos=False, special=False) for text in told["answers"]]
        self.delay_s, self.left = told["delay_s"], list[int]()
        self.said = self.prompt_end = -1  # the token that was given last, where answers begin

    def run(
        self, executor: Any, state: Any, tokens: Any, position: int, outputs: str = "last"
    ) -> Any:
        with state.running(position, len(tokens)):
            logits = np.zeros((1 if outputs == "last" else 0, executor.plan.n_vocab), np.float32)
        if outputs != "last":
            return logits
        if list(tokens) != [self.said]:  # a prompt, or the first token of another answer to one
            told = [*self.answers.pop(0), self.end]
            again = len(tokens) == 1 and position == self.prompt_end
            assert not again or told[0] == tokens[0], "its logits were kept"
            self.left = told[1:] if again else told
            self.prompt_end = position if again else position + len(tokens)
        time.sleep(self.delay_s)
        self.said = self.left.pop(0)
        logits[0, self.said] = 100.0
        return logits


if __name__ == "__main__":
    speaker = Speaker(sys.argv[1])
    ReferenceExecutor.run = lambda *given: speaker.run(*given)  # type: ignore[method-assign]
    sys.exit(app.main([*sys.argv[2:], "--backend", "reference"]))
