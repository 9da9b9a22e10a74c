"""DeepSeek V2, V3 and R1, Kimi K2, GigaChat, GLM 4.7 Flash, Mistral Large 3 and Small 4.

Latent attention and many small experts. DeepSeek-V2, arXiv:2405.04434; DeepSeek-V3,
arXiv:2412.19437; Kimi K2, arXiv:2507.20534.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import by_architecture, count, number
from vatra.models.decoder import Ends
from vatra.models.experts import Mixture
from vatra.models.feed_forward import Gated
from vatra.models.latent import LatentAttention, LatentDecoder, Reading, reading
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import rotation
from vatra.models.verbs import add, embed, linear, rms_norm, select_outputs
from vatra.models.weights import Vector, blocks, group, unused, vector

N_VOCAB_GLM = 154_880  # GLM 4.7 Flash, whose files lack the gating function: a sigmoid


@dataclass(frozen=True)
class Config(LatentDecoder):
    """The metadata keys below the architecture's name."""

    same_multipliers: bool = by_architecture({"deepseek2": True, "mistral4": False})
    growth: float = number("attention.temperature_scale", default=0.0, at_least=0.0)
    growth_every: int = count("attention.temperature_length", default=0, at_least=0)

    @property
    def gating_by_default(self) -> str:
        glm = self.n_layer in (47, 48) and self.n_vocab == N_VOCAB_GLM
        return "sigmoid" if glm else "softmax"


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*: a layer without a router is dense."""

    attn_norm: Vector = vector("n_embd")
    attend: LatentAttention = group(LatentAttention)
    ffn_norm: Vector = vector("n_embd")
    ffn: Mixture | Gated = group(Mixture, where="ffn_gate_inp.weight", otherwise=Gated)

    def feed_forward(self, x: Tensor, c: Config) -> Tensor:
        if isinstance(self.ffn, Gated):
            return self.ffn(x)
        return self.ffn(x, c, by=c.gating_by_default, normalise=False)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def block(x: Tensor, w: Block, c: Config, read: Reading) -> Tensor:
    h = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    q_latent = w.attend.queries.latent(h, c.eps)  # (n_lora_q,)
    x = add(x, w.attend(h, q_latent, c.head_dim, read, c.eps))  # (n_embd,)
    h = rms_norm(x, w.ffn_norm, c.eps)  # (n_embd,)
    return add(x, w.feed_forward(h, c))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture deepseek2 or mistral4."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    turn = rotation(c.n_rot, c.scaling, interleaved=True)
    multiplier = 10.0 * c.scaling.log_multiplier  # files have a tenth of it
    read = reading(turn, c.scaling, c.head_dim, multiplier, same=c.same_multipliers)
    read = replace(read, growth=c.growth, every=c.growth_every)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, read)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
