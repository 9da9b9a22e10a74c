"""DeepSeek V3.2 and GLM 5: latent attention to the positions that an indexer has chosen.

DeepSeek-V3.2, arXiv:2512.02556; GLM-5, arXiv:2602.15763. In GLM 5.2 most layers read the positions
that an earlier one has chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import by_architecture, pattern
from vatra.models.decoder import Ends
from vatra.models.experts import Mixture
from vatra.models.feed_forward import Gated
from vatra.models.indexer import Indexed, Indexer
from vatra.models.latent import LatentAttention, LatentDecoder, Reading, reading
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, rotation
from vatra.models.verbs import add, embed, linear, rms_norm, select_outputs
from vatra.models.weights import Vector, blocks, group, unused, vector


@dataclass(frozen=True)
class Style:
    """What no key says: `by` holds where the file does not say it."""

    by: str
    interleaved: bool  # which pairs of the indexer's values turn together
    reads_multiplier: bool


STYLES = {
    "deepseek32": Style("softmax", False, True),
    "glm-dsa": Style("sigmoid", True, False),
}


@dataclass(frozen=True)
class Config(Indexed, LatentDecoder):
    """The metadata keys below the architecture's name."""

    style: Style = by_architecture(STYLES)
    own_choice: tuple[bool, ...] = pattern("attention.indexer.types", default=0)


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
        return self.ffn(x, c, by=c.style.by, normalise=False)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def block(
    x: Tensor, w: Block, c: Config, read: Reading, turn: Rotation | None
) -> tuple[Tensor, Reading]:
    """(n_embd,), and how to read from here on; `turn` is None in a layer that does not choose."""
    h = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    q_latent = w.attend.queries.latent(h, c.eps)  # (n_lora_q,)
    if w.indexer is not None and turn is not None:
        read = replace(read, chosen=w.indexer(h, q_latent, c.n_index_top, turn))
    x = add(x, w.attend(h, q_latent, c.head_dim, read, c.eps))  # (n_embd,)
    h = rms_norm(x, w.ffn_norm, c.eps)  # (n_embd,)
    return add(x, w.feed_forward(h, c)), read  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of an architecture in STYLES, to be run with `n_ctx` tokens at most."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    multiplier = 10.0 * c.scaling.log_multiplier if c.style.reads_multiplier else 0.0
    scaling = replace(c.scaling, log_multiplier=0.0)
    read = reading(rotation(c.n_rot, scaling, interleaved=True), scaling, c.head_dim, multiplier)
    turn = replace(read.turn, interleaved=c.style.interleaved)
    chooses = c.chooses(n_ctx or c.n_ctx_train)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for i, tensors in plan.layers(w.blk):
        own = chooses and c.own_choice[i]
        x, read = block(x, tensors, c, read, turn if own else None)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
