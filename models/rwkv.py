"""What RWKV 6 and 7 share, and the models that have such a memory between blocks of Qwen 2.5."""

from __future__ import annotations

from dataclasses import dataclass

from vatra.models.config import by_architecture, count, derived, number
from vatra.models.decoder import Ends, Trunk
from vatra.models.plan import Plan, Tensor
from vatra.models.verbs import (
    activation,
    add,
    affine,
    embed,
    glu,
    layer_norm,
    linear,
    scale,
    token_shift,
)
from vatra.models.weights import Matrix, Vector, matrix, vector

HEAD_EPS = 64e-5  # of the norm of each head that the memory gives


@dataclass(frozen=True)
class RwkvTrunk(Trunk):
    """Keys below the architecture's name; those with blocks of Qwen norm without a mean."""

    qwen: bool = by_architecture(
        {"rwkv6": False, "rwkv6qwen2": True, "rwkv7": False, "arwkv7": True}
    )
    layer_norm_eps: float = number("attention.layer_norm_epsilon", default=0.0, at_most=1.0)
    rms_norm_eps: float = number("attention.layer_norm_rms_epsilon", default=0.0, at_most=1.0)
    n_ff: int = count("feed_forward_length")
    head_dim: int = count("wkv.head_size", divides="n_embd")
    n_head: int = derived(lambda c: c["n_embd"] // c["head_dim"])


@dataclass(frozen=True)
class RwkvEnds(Ends):
    """The tensors before and after all blocks."""

    token_embd_norm: Vector | None = vector("n_embd", bias=True, optional=True)
    output_norm: Vector = vector("n_embd", bias=True)

    def embedded(self, plan: Plan, c: RwkvTrunk) -> Tensor:
        """(n_embd,)"""
        x = embed(plan, self.token_embd)  # (n_embd,)
        if self.token_embd_norm is None:
            return x
        return layer_norm(x, self.token_embd_norm, c.layer_norm_eps)  # (n_embd,)


def step_back(x: Tensor) -> Tensor:
    """x's shape (n_embd,): what leads from x to that of the token before."""
    return add(token_shift(x), scale(x, -1.0))


@dataclass(frozen=True)
class ChannelMix:
    """The feed-forward network, of a token and the one before it."""

    channel_mix_lerp_k: Vector = vector("n_embd", axes_of_1=True)
    channel_mix_key: Matrix = matrix("n_ff", "n_embd")
    channel_mix_value: Matrix = matrix("n_embd", "n_ff")

    def __call__(self, x: Tensor) -> Tensor:
        """(n_embd,)"""
        return self.fed(x, step_back(x))

    def fed(self, x: Tensor, step: Tensor) -> Tensor:
        """(n_embd,): `step` (n_embd,) leads from x to the token before."""
        x = add(x, affine(step, self.channel_mix_lerp_k.data))  # (n_embd,)
        return linear(activation(linear(x, self.channel_mix_key), "relu2"), self.channel_mix_value)


@dataclass(frozen=True)
class GatedChannelMix(ChannelMix):
    """The same with a gate, as RWKV 6 has it."""

    channel_mix_lerp_r: Vector = vector("n_embd", axes_of_1=True)
    channel_mix_receptance: Matrix = matrix("n_embd", "n_embd")

    def __call__(self, x: Tensor) -> Tensor:
        """(n_embd,)"""
        step = step_back(x)  # (n_embd,)
        r = add(x, affine(step, self.channel_mix_lerp_r.data))  # (n_embd,)
        return glu(linear(r, self.channel_mix_receptance), self.fed(x, step), "sigmoid")
