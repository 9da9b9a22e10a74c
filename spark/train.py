"""Train Spark from nothing and write it as a GGUF file.

    pip install -e '.[spark]'
    python -m vatra.spark.train --out build/spark

Everything on the way is kept in the folder, and what is there is not made again.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vatra.spark.corpus import HARDEST, MOSTLY_QUESTIONS, SHARES, documents
from vatra.spark.export import export
from vatra.spark.net import IGNORED, Net, Shape
from vatra.spark.tokens import Encoder, stream, train_vocabulary

SEED = 7
SHARDS = 8  # made side by side, and the same whatever the number of processors
STEP_TOKENS = 4096
CONTEXT, LONG_CONTEXT = 512, 2048  # tokens; the long one for the last part of each phase
LONG_PART = 0.1
RATE = 4e-3
WARMUP_STEPS, DECAY_PART = 200, 0.4
WEIGHT_DECAY = 0.02


@dataclass(frozen=True)
class Phase:
    """A part of training: what it reads, and how fast it learns at the most."""

    name: str
    n_tokens: int
    shares: Mapping[str, int]  # of the kinds of documents
    rate: float
    asked: Mapping[str, int] | None = None  # shares of the kinds of questions


PHASES = (
    Phase("everything", 24_000_000, SHARES, RATE),
    Phase("questions", 6_000_000, MOSTLY_QUESTIONS, RATE / 3),
    Phase("hardest", 2_500_000, MOSTLY_QUESTIONS, RATE / 4, HARDEST),
)


def shard(folder: Path, phase: Phase, k: int) -> None:
    """Make and keep one of the parts of the tokens that a phase reads."""
    file = folder / f"{phase.name}-{k}.npz"
    if not file.exists():
        seed = (SEED + PHASES.index(phase)) * 1000 + k
        n = math.ceil(phase.n_tokens / SHARDS)
        ids, learned = stream(
            Encoder(folder / "spark.model"), documents(seed, phase.shares, phase.asked), n
        )
        np.savez(file, ids=ids, learned=learned)


def tokens(folder: Path, phase: Phase) -> tuple[np.ndarray, np.ndarray]:
    """The ids that a phase reads (uint16) and which of them are learned (bool)."""
    with get_context("spawn").Pool() as pool:
        pool.starmap(shard, [(folder, phase, k) for k in range(SHARDS)])
    shards = [np.load(folder / f"{phase.name}-{k}.npz") for k in range(SHARDS)]

    def mixed(name: str) -> np.ndarray:
        """Piece by piece from all shards in turn."""
        piece = LONG_CONTEXT
        columns = [s[name][: len(s[name]) // piece * piece].reshape(-1, piece) for s in shards]
        return np.stack(columns, axis=1).reshape(-1)

    return mixed("ids"), mixed("learned")


def batches(ids: np.ndarray, learned: np.ndarray, n: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of `n` tokens and their targets, as many as make one step's tokens, in order."""
    targets = np.where(learned, ids.astype(np.int64), IGNORED)
    for start in itertools.count(0, STEP_TOKENS):
        if start + STEP_TOKENS + 1 > len(ids):
            return
        inputs = ids[start : start + STEP_TOKENS].astype(np.int64)
        wanted = targets[start + 1 : start + STEP_TOKENS + 1]
        yield torch.from_numpy(inputs.reshape(-1, n)), torch.from_numpy(wanted.reshape(-1, n))


def decayed(step: int, steps: int) -> float:
    """The learning rate's factor: a short rise, a plateau, and a linear fall to zero."""
    return min(1.0, (step + 1) / WARMUP_STEPS, (steps - step) / (DECAY_PART * steps))


def train(folder: Path, phase: Phase, master: Net) -> None:
    """Train the network, whose weights are float32, on what a phase reads."""
    ids, learned = tokens(folder, phase)
    steps = len(ids) // STEP_TOKENS - 1
    cut = int(steps * (1 - LONG_PART)) * STEP_TOKENS
    plan = itertools.chain(
        batches(ids[: cut + 1], learned[: cut + 1], CONTEXT),
        batches(ids[cut:], learned[cut:], LONG_CONTEXT),
    )
    # A bfloat16 copy of the weights computes, which halves the memory moved.
    net = Net(master.shape).bfloat16()
    compute = torch.compile(net)
    pairs = list(zip(master.parameters(), net.parameters(), strict=True))
    matrices = [p for name, p in master.named_parameters() if p.ndim == 2 and "blocks" in name]
    others = [p for name, p in master.named_parameters() if p.ndim != 2 or "blocks" not in name]
    optimizers = (
        # Orthogonalised momentum (Jordan et al. 2024) learns from fewer tokens than AdamW.
        torch.optim.Muon(
            matrices, lr=phase.rate, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(others, lr=phase.rate, betas=(0.9, 0.95), weight_decay=0.0),
    )
    start, mean = time.monotonic(), 0.0
    for step, (inputs, wanted) in enumerate(plan):
        with torch.no_grad():
            for ours, copy in pairs:
                copy.copy_(ours)
        loss = 0.0
        parts = max(1, len(inputs) // 4)  # what the caches of a small machine hold
        for x, y in zip(inputs.chunk(parts), wanted.chunk(parts), strict=True):
            part = compute(x, y) / parts
            part.backward()
            loss += part.item()
        for ours, copy in pairs:
            assert copy.grad is not None
            ours.grad, copy.grad = copy.grad.float(), None
        torch.nn.utils.clip_grad_norm_(master.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = phase.rate * decayed(step, steps)
            optimizer.step()
            optimizer.zero_grad()
        mean = loss if step == 0 else 0.98 * mean + 0.02 * loss
        if step % 50 == 0:
            took = time.monotonic() - start
            speed = (step + 1) * STEP_TOKENS / took
            print(
                f"{phase.name} {step}/{steps} loss {mean:.4f}  {speed:.0f} tokens/s  {took:.0f} s",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/spark"))
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = folder / "spark.model"
    if not vocabulary.exists():
        train_vocabulary(vocabulary.with_suffix(""), SEED)
    torch.manual_seed(SEED)
    net = Net(Shape())
    for phase in PHASES:
        kept = folder / f"{phase.name}.pt"
        if not kept.exists():
            train(folder, phase, net)
            torch.save(net.state_dict(), kept)
        net.load_state_dict(torch.load(kept))
    export(folder / "spark.gguf", net, vocabulary)


if __name__ == "__main__":
    main()
