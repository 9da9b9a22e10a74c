"""Kimi Linear: Kimi's delta nets, and latent attention to tokens without position.

Moonshot AI 2025, arXiv:2510.26692.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.decoder import Ends, HybridDecoder
from vatra.models.delta_net import KimiDeltaNet, KimiKeys
from vatra.models.experts import Mixture
from vatra.models.feed_forward import Gated
from vatra.models.latent import LatentAttention, LatentDecoder, Reading
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import no_rotation
from vatra.models.verbs import add, embed, linear, rms_norm, select_outputs
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, unused, vector


@dataclass(frozen=True)
class Config(KimiKeys, HybridDecoder, LatentDecoder):
    """The metadata keys below kimi-linear.*"""


@dataclass(frozen=True)
class DeltaNet(KimiDeltaNet):
    """Decays and gates through kda_dim values."""

    ssm_f_a: Matrix = matrix("kda_dim", "n_embd")
    ssm_f_b: Matrix = matrix("n_head * kda_dim", "kda_dim")
    ssm_g_a: Matrix = matrix("kda_dim", "n_embd")
    ssm_g_b: Matrix = matrix("n_head * kda_dim", "kda_dim")

    def decay(self, x: Tensor, c: KimiKeys) -> Tensor:
        return self.softplus_decay(linear(linear(x, self.ssm_f_a), self.ssm_f_b, c.kda_dim))

    def gate(self, x: Tensor) -> Tensor:
        return linear(linear(x, self.ssm_g_a), self.ssm_g_b)


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*"""

    attn_norm: Vector = vector("n_embd")
    mixer: DeltaNet | LatentAttention = group(
        lambda c, i: LatentAttention if c.n_head_kv[i] else DeltaNet
    )
    ffn_norm: Vector = vector("n_embd")
    ffn: Mixture | Gated = group(lambda c, i: Gated if i < c.n_dense else Mixture)

    def mix(self, x: Tensor, c: Config, read: Reading) -> Tensor:
        if isinstance(self.mixer, DeltaNet):
            return self.mixer(x, c, c.eps)
        q_latent = self.mixer.queries.latent(x, c.eps)  # (n_embd,)
        return self.mixer(x, q_latent, c.head_dim, read, c.eps)

    def feed_forward(self, x: Tensor, c: Config) -> Tensor:
        return self.ffn(x) if isinstance(self.ffn, Gated) else self.ffn(x, c)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file; delta nets have no biases, even where a file holds them."""

    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused("blk.*.attn_[qkv].bias")


def block(x: Tensor, w: Block, c: Config, read: Reading) -> Tensor:
    x = add(x, w.mix(rms_norm(x, w.attn_norm, c.eps), c, read))  # (n_embd,)
    return add(x, w.feed_forward(rms_norm(x, w.ffn_norm, c.eps), c))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture kimi-linear."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    read = Reading(no_rotation(c.n_rot), c.head_dim**-0.5)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, read)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
