"""Ling and Ring 3: Kimi's delta nets with bounded decays, and gated latent attention.

Kimi Linear, Moonshot AI 2025, arXiv:2510.26692; Ling 2.0, Ling Team 2025, arXiv:2510.22115.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import integers, must_be, number, number_per_layer
from vatra.models.decoder import Ends, HybridDecoder
from vatra.models.delta_net import KimiDeltaNet, KimiKeys
from vatra.models.experts import Mixture
from vatra.models.feed_forward import Gated, limited_after
from vatra.models.latent import LatentAttention, LatentDecoder, Reading
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import for_text, rotation
from vatra.models.verbs import add, embed, linear, rms_norm, select_outputs
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, unused, vector


@dataclass(frozen=True)
class Config(KimiKeys, HybridDecoder, LatentDecoder):
    """The metadata keys below bailingmoe3.*"""

    lowest_decay: float = number("kda.gate_lower_bound", at_least=-1e30, at_most=-1e-30)
    bounded: bool = must_be("kda.safe_gate", True)
    limit: tuple[float, ...] = number_per_layer("swiglu_clamp_exp")
    limit_shared: tuple[float, ...] = number_per_layer("swiglu_clamp_shexp")
    sections: tuple[int, ...] = integers("rope.dimension_sections", most=4)


@dataclass(frozen=True)
class DeltaNet(KimiDeltaNet):
    """Decays, bounded from below, and gates from one matrix each."""

    ssm_f_a: Matrix = matrix("n_head * kda_dim", "n_embd")
    ssm_g_a: Matrix = matrix("n_head * kda_dim", "n_embd")

    def decay(self, x: Tensor, c: KimiKeys) -> Tensor:
        return self.bounded_decay(linear(x, self.ssm_f_a, c.kda_dim), c.lowest_decay, 1.0)

    def gate(self, x: Tensor) -> Tensor:
        return linear(x, self.ssm_g_a)


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
        q_latent = self.mixer.queries.latent(x, c.eps)  # (n_lora_q,)
        return self.mixer(x, q_latent, c.head_dim, read, c.eps)

    def feed_forward(self, x: Tensor, c: Config, layer: int) -> Tensor:
        if isinstance(self.ffn, Gated):
            return self.ffn(x, limited_after(c.limit_shared[layer]))
        kind, shared = limited_after(c.limit[layer]), limited_after(c.limit_shared[layer])
        return self.ffn(x, c, kind, normalise=False, shared_kind=shared)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file; delta nets have no biases, even where a file holds them."""

    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused("blk.*.attn_[qkv].bias")


def block(x: Tensor, w: Block, c: Config, read: Reading, layer: int) -> Tensor:
    x = add(x, w.mix(rms_norm(x, w.attn_norm, c.eps), c, read))  # (n_embd,)
    return add(x, w.feed_forward(rms_norm(x, w.ffn_norm, c.eps), c, layer))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture bailingmoe3."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    # files for images too share the pairs out among an image's axes, and pair the two halves
    turn = rotation(c.n_rot, c.scaling, interleaved=not any(c.sections))
    read = Reading(for_text(turn, c.sections, by_turns=False), c.head_dim**-0.5)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for i, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, read, i)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
