"""Mamba 1 (also Falcon Mamba) and 2: layers of state spaces alone, without attention.

Mamba, Gu and Dao 2023, arXiv:2312.00752; Falcon Mamba, Zuo et al. 2024, arXiv:2410.05355; Mamba 2,
Dao and Gu 2024, arXiv:2405.21060.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import derived
from vatra.models.decoder import Ends, Trunk
from vatra.models.plan import Plan, Tensor
from vatra.models.state_space import Mamba, Mamba2, StateSpace, StateSpaceHeads
from vatra.models.verbs import add, embed, linear, rms_norm, select_outputs
from vatra.models.weights import Vector, blocks, group, unused, vector

Mixer = Callable[[Tensor, Any], Tensor]


@dataclass(frozen=True)
class Config(StateSpace, Trunk):
    """The metadata keys below mamba.*"""

    mixer: type[Mamba | Mamba2] = derived(lambda _: Mamba)


@dataclass(frozen=True)
class Config2(StateSpaceHeads, Trunk):
    """The metadata keys below mamba2.*"""

    mixer: type[Mamba | Mamba2] = derived(lambda _: Mamba2)


CONFIGS: dict[str, type[Config | Config2]] = {"mamba": Config, "mamba2": Config2}


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*"""

    attn_norm: Vector = vector("n_embd")
    mixer: Mixer = group(lambda c, _: c.mixer)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def block(x: Tensor, w: Block, c: Config | Config2) -> Tensor:
    h = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    return add(x, w.mixer(h, c))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture mamba or mamba2."""
    c = config.read(CONFIGS[checkpoint.architecture], checkpoint)
    w = weights.read(Weights, checkpoint, c)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, tensors, c)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
