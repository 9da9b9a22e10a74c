"""dots.note: latent attention in windows or to chosen positions, each with its own sizes; gates.

rednote-hilab 2026. DeepSeek-V3.2, arXiv:2512.02556, for the choice of positions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import count, derived, number, pattern
from vatra.models.decoder import Ends, ExpertDecoder
from vatra.models.experts import Mixture
from vatra.models.feed_forward import Gated
from vatra.models.indexer import Indexed, Indexer
from vatra.models.latent import LatentAttention, Reading
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, rotation
from vatra.models.verbs import add, embed, linear, rms_norm, select_outputs
from vatra.models.weights import Vector, blocks, group, unused, vector


@dataclass(frozen=True)
class Config(Indexed, ExpertDecoder):
    """The metadata keys below dots3note.*: some sizes are for layers with a window."""

    window: int = count("attention.sliding_window")
    windowed: tuple[bool, ...] = pattern("attention.sliding_window_pattern", default=1)
    window_base: float = number("rope.freq_base_swa", at_least=2.0)
    n_lora_q: int = count("attention.q_lora_rank")
    n_lora_full: int = count("attention.kv_lora_rank")
    n_lora_window: int = count("attention.kv_lora_rank_swa")
    head_dim_full: int = count("attention.key_length_mla", even=True)
    head_dim_window: int = count("attention.key_length_mla_swa", even=True)
    value_dim_full: int = count("attention.value_length_mla")
    value_dim_window: int = count("attention.value_length_mla_swa")
    n_lora_kv: tuple[int, ...] = derived(lambda c: _each(c, "n_lora"))
    head_dim: tuple[int, ...] = derived(lambda c: _each(c, "head_dim"))
    head_value_dim: tuple[int, ...] = derived(lambda c: _each(c, "value_dim"))
    n_still: tuple[int, ...] = derived(lambda c: tuple(d - c["n_rot"] for d in c["head_dim"]))


def _each(c: config.Values, name: str) -> tuple[int, ...]:
    """The size of that name in each layer."""
    return tuple(c[f"{name}_window" if windowed else f"{name}_full"] for windowed in c["windowed"])


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*: a layer without a router is dense."""

    attn_norm: Vector = vector("n_embd")
    indexer: Indexer | None = group(Indexer, where="indexer.attn_k.weight")
    attend: LatentAttention = group(LatentAttention)
    ffn_norm: Vector = vector("n_embd")
    ffn: Mixture | Gated = group(Mixture, where="ffn_gate_inp.weight", otherwise=Gated)

    def feed_forward(self, x: Tensor, c: Config) -> Tensor:
        if isinstance(self.ffn, Gated):
            return self.ffn(x)
        return self.ffn(x, c, by="sigmoid", normalise=False)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def block(
    x: Tensor, w: Block, c: Config, head_dim: int, read: Reading, turn: Rotation | None
) -> Tensor:
    """(n_embd,): `turn` is for choosing positions, None in a layer that reads all of its own."""
    h = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    q_latent = w.attend.queries.latent(h, c.eps)  # (n_lora_q,)
    if w.indexer is not None and turn is not None:
        read = replace(read, chosen=w.indexer(h, q_latent, c.n_index_top, turn))
    x = add(x, w.attend(h, q_latent, head_dim, read, c.eps))  # (n_embd,)
    h = rms_norm(x, w.ffn_norm, c.eps)  # (n_embd,)
    return add(x, w.feed_forward(h, c))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture dots3note, to be run with contexts of `n_ctx` tokens."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    far = rotation(c.n_rot, c.scaling, interleaved=True)
    scaling = replace(c.scaling, base=c.window_base, kind="none")
    near = rotation(c.n_rot, scaling, interleaved=True)
    choosing = replace(far, interleaved=False) if c.chooses(n_ctx or c.n_ctx_train) else None
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for i, tensors in plan.layers(w.blk):
        scale = c.head_dim[i] ** -0.5
        read = Reading(near, scale, c.window) if c.windowed[i] else Reading(far, scale)
        x = block(x, tensors, c, c.head_dim[i], read, None if c.windowed[i] else choosing)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
