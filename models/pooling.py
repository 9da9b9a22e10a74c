"""How the vectors of a text's tokens become one vector, and what projections and classifiers add.

Sentence-BERT, Reimers and Gurevych 2019, arXiv:1908.10084.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vatra.errors import BadFile
from vatra.formats.checkpoint import Checkpoint
from vatra.models import config
from vatra.models.config import choice_of_number, number

Array = np.ndarray

POOLINGS = ("mean", "cls", "last")  # of all tokens, or the first alone, or the last
_NUMBERS = {-1: "", 0: "none", 1: "mean", 2: "cls", 3: "last", 4: "rank"}
# What no key says: the activation of a classifier's first layer, what it sees, whether it ends so.
_ACTIVATION = {"modern-bert": "gelu"}
_CLASSIFIED = {"modern-bert": "mean"}
_SOFTMAX = ("qwen3", "qwen3vl")


@dataclass(frozen=True)
class Config:
    """The metadata keys below the architecture's name."""

    kind: str = choice_of_number("pooling_type", default=-1, known=_NUMBERS)
    classified: str = choice_of_number("classifier.pooling_type", default=-1, known=_NUMBERS)
    eps: float = number("attention.layer_norm_epsilon", default=1e-5, at_most=1.0)


@dataclass(frozen=True, eq=False)
class Layer:
    """y = weight @ x + bias, by an `activation`, then as a LayerNorm with weight `norm` has it."""

    weight: Array  # float32 (n_out, n_in)
    bias: Array | None = None
    activation: str = ""  # "tanh", "gelu", or none
    norm: Array | None = None


@dataclass(frozen=True, eq=False)
class Pooling:
    """What a file says of the vectors of whole texts.

    `kind` is one of POOLINGS, "rank" for a file that scores texts, or "" where it says none of it.
    `projections` make a pooled vector into that of the text. A `classifier` makes scores of what is
    pooled as `classified`; with `softmax` their shares.
    """

    kind: str
    projections: tuple[Layer, ...]
    classifier: tuple[Layer, ...]
    classified: str
    softmax: bool
    eps: float


def read(checkpoint: Checkpoint, n_embd: int, *, causal: bool) -> Pooling:
    """The pooling of a file whose tokens have vectors (n_embd,); BadFile for what does not fit."""
    c, name = config.read(Config, checkpoint), checkpoint.architecture
    last_or_first = "last" if causal else "cls"
    classified = c.classified or _CLASSIFIED.get(name, "")
    layers = _layers(checkpoint, n_embd, "cls", "cls.output")
    if layers and "cls.weight" in checkpoint.tensors:
        norm = _vector(checkpoint, "cls.norm.weight", len(layers[0].weight))
        first = Layer(layers[0].weight, layers[0].bias, _ACTIVATION.get(name, "tanh"), norm)
        layers = (first, *layers[1:])
    return Pooling(
        kind="" if c.kind == "none" else c.kind,
        projections=_layers(checkpoint, n_embd, "dense_2", "dense_3"),
        classifier=layers,
        classified="mean" if classified == "mean" else last_or_first,
        softmax=name in _SOFTMAX,
        eps=c.eps,
    )


def _layers(checkpoint: Checkpoint, n_in: int, *names: str) -> tuple[Layer, ...]:
    """Those of the layers `names` that the file has, the first for vectors (n_in,)."""
    made: list[Layer] = []
    for name in names:
        found = checkpoint.tensors.get(f"{name}.weight")
        if found is None:
            continue
        if found.shape[-1] != n_in or len(found.shape) > 2:
            what = f"shape {found.shape}, wanted (n, {n_in})"
            raise BadFile(checkpoint.path, what, field=found.name, byte=found.offset)
        weight = np.ascontiguousarray(found.decode(), np.float32).reshape(-1, n_in)
        n_in = len(weight)
        made.append(Layer(weight, _vector(checkpoint, f"{name}.bias", n_in)))
    return tuple(made)


def _vector(checkpoint: Checkpoint, name: str, size: int) -> Array | None:
    found = checkpoint.tensors.get(name)
    if found is None:
        return None
    values = np.ascontiguousarray(found.decode(), np.float32).reshape(-1)
    if values.size != size:
        what = f"shape {found.shape}, wanted ({size},)"
        raise BadFile(checkpoint.path, what, field=name, byte=found.offset)
    return values
