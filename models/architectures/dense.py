"""Dense decoders that differ from Llama or Qwen in a few facts.

Arcee AFM; Baichuan 1 and 2, arXiv:2309.10305; the language model of CogVLM, arXiv:2311.03079;
ERNIE 4.5 and PaddleOCR-VL, arXiv:2510.14528; EXAONE 3, arXiv:2408.03541; Hunyuan; InternLM 2,
arXiv:2403.17297; Maincoder; Ministral 3, which may also be a mixture; Nanbeige, which may go
through its layers more than once; OpenELM, arXiv:2404.14619; openPangu; Qwen 1, arXiv:2309.16609;
the language models of Qwen2-VL, arXiv:2409.12191, and Qwen3-VL, arXiv:2511.21631; Seed-OSS;
SmolLM3; XVERSE. Dream, arXiv:2508.15487, and LLaDA, arXiv:2502.09992, read a text as a whole and
write by diffusion; EuroBERT, arXiv:2503.05500, and Llamas made to embed, arXiv:2404.05961, do so
to make vectors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.attention import NORMS, HeadNorms, NoNorms, RowNorms
from vatra.models.config import by_architecture, count, flag, integers, must_be, number
from vatra.models.decoder import Ends, ExpertDecoder
from vatra.models.experts import Experts
from vatra.models.feed_forward import Gated, Plain
from vatra.models.plan import Array, Plan, Tensor
from vatra.models.rope import Rotation, for_text, leanings, long_or_short, rotation
from vatra.models.verbs import (
    add,
    attention,
    embed,
    linear,
    position_scale,
    qkv_heads,
    rms_norm,
    rope,
    select_outputs,
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, qkv, unused, vector

SMALL, LARGE = 32, 40  # layers of Baichuan's sizes: q and k turn in one, scores lean in the other
MOST_LEANING = 8.0


@dataclass(frozen=True)
class Style:
    """What no key says."""

    interleaved: bool = False  # which pairs of a head's values turn together
    norm: str = ""  # of q and k: each "head", or none
    norm_first: bool = True  # before they turn
    still_every: int = 0  # of so many layers q and k of the last do not turn
    axes: str = ""  # of images, that pairs are shared out among: "in a row" or "by turns"
    turn: str = "by factors"  # and keys, "by keys" alone, or "as ever" whatever keys say
    by_size: bool = False  # the number of layers says how positions are known
    feed_forward: str = "gated"
    block: str = ""  # one of BLOCKS, if its tensors are not quite those of others
    causal: bool = True  # tokens see those before them, not the whole text
    embeds: bool = False  # what is made are vectors, not logits


STYLES = {
    "arcee": Style(True, feed_forward="relu2"),
    "baichuan": Style(True, by_size=True),
    "cogvlm": Style(turn="as ever"),
    "dream": Style(causal=False),
    "ernie4_5": Style(True, block="unbiased"),
    "eurobert": Style(causal=False, embeds=True),
    "exaone": Style(),
    "hunyuan-dense": Style(norm="head", norm_first=False, axes="in a row"),
    "hunyuan_vl": Style(norm="head", norm_first=False, axes="in a row"),
    "internlm2": Style(True),
    "llada": Style(True, causal=False),
    "llama-embed": Style(True, feed_forward="experts", causal=False, embeds=True),
    "maincoder": Style(True, norm="head", norm_first=False),
    "mistral3": Style(True, feed_forward="experts"),
    "nanbeige": Style(True),
    "openelm": Style(norm="head"),
    "paddleocr": Style(axes="in a row"),
    "pangu-embedded": Style(turn="by keys"),
    "qwen": Style(feed_forward="half"),
    "qwen2vl": Style(axes="in a row"),
    "qwen3vl": Style(norm="head", axes="by turns"),
    "seed_oss": Style(block="renamed"),
    "smollm3": Style(True, still_every=4),
    "xverse": Style(True),
}


@dataclass(frozen=True)
class Styled:
    """What is known before any key is read."""

    style: Style = by_architecture(STYLES)


@dataclass(frozen=True)
class Config(ExpertDecoder, Styled):
    """The metadata keys below the architecture's name."""

    causal: bool = must_be("attention.causal", lambda c: c["style"].causal)
    n_expert_used: int = count(  # files of dense models may count one expert
        "expert_used_count",
        default=0,
        at_least=lambda c: int(c["n_expert"] > 1),
        at_most="n_expert",
    )
    sections: tuple[int, ...] = integers("rope.dimension_sections", most=4)
    alpha: float = number("rope.scaling.alpha", default=0.0, at_least=0.0)
    temperature_scale: float = number("attention.temperature_scale", default=0.0, at_least=0.0)
    n_loop: int = count("num_loops", default=1, at_most=64)
    skips_norm: bool = flag("skip_loop_final_norm", default=False)  # between the loops

    def turns(self, layer: int) -> bool:
        """Whether q and k of that layer turn by their positions."""
        if self.style.by_size:
            return self.n_layer == SMALL
        every = self.style.still_every
        return not every or (layer + 1) % every != 0


@dataclass(frozen=True)
class HalfGated(Gated):
    """A gated network half as wide as its key says."""

    ffn_gate: Matrix = matrix("n_ff // 2", "n_embd")
    ffn_up: Matrix = matrix("n_ff // 2", "n_embd")
    ffn_down: Matrix = matrix("n_embd", "n_ff // 2")


def feed_forward(c: Config, layer: int) -> type[Gated | Plain | Experts]:
    """The feed-forward network that the blocks have."""
    if c.style.feed_forward == "experts":
        return Experts if c.n_expert_used else Gated
    return {"gated": Gated, "half": HalfGated, "relu2": Plain}[c.style.feed_forward]


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*"""

    attn_norm: Vector = vector("n_embd")
    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    norms: HeadNorms | RowNorms | NoNorms = group(lambda c, _: NORMS[c.style.norm])
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim", bias=True)
    ffn_norm: Vector = vector("n_embd")
    ffn: Gated | Plain | Experts = group(feed_forward)

    def feed_forward(self, x: Tensor, c: Config) -> Tensor:
        if isinstance(self.ffn, Experts):
            return self.ffn(x, c)
        return self.ffn(x) if isinstance(self.ffn, Gated) else self.ffn(x, "relu2")


@dataclass(frozen=True)
class RenamedBlock(Block):
    """The same in a file that calls the norm between attention and feed-forward otherwise."""

    ffn_norm: Vector = vector("n_embd", of="post_attention_norm")


@dataclass(frozen=True)
class UnbiasedBlock(Block):
    """The same where a bias of what attention gives is not in use."""

    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")


BLOCKS = {"": Block, "renamed": RenamedBlock, "unbiased": UnbiasedBlock}


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    rope_freqs: Vector | None = vector("n_rot // 2", optional=True, positive=True)
    rope_factors_short: Vector | None = vector("n_rot // 2", optional=True, positive=True)
    rope_factors_long: Vector | None = vector("n_rot // 2", optional=True, positive=True)
    blk: tuple[Block, ...] = blocks(lambda c, _: BLOCKS[c.style.block])
    # rerank heads, and what is for the tokens of an image
    leftovers: tuple[str, ...] = unused("cls.*", "blk.*.vis_*", "blk.*.attn_output.bias")


@dataclass(frozen=True)
class Positions:
    """How a layer knows positions: q and k turn, or its scores lean, or neither."""

    turn: Rotation | None
    slopes: Array | None  # float32 (n_head,)


def rotated(c: Config, w: Weights, n_ctx: int) -> Rotation:
    """The rotation of q and k."""
    s, kind = c.scaling, c.style.turn
    if kind == "as ever":
        s = replace(s, base=10000.0, kind="none", attn_factor=1.0)
    # the base for which the lowest of all frequencies is alpha times lower
    s = replace(s, base=s.base * (c.alpha or 1.0) ** (c.key_dim / (c.key_dim - 2)))
    long, short = w.rope_factors_long, w.rope_factors_short
    factors = w.rope_freqs or long_or_short(s, n_ctx, long, short)
    factors = factors if kind == "by factors" else None
    turn = rotation(c.n_rot, s, interleaved=c.style.interleaved, factors=factors)
    sections = c.sections if c.style.axes else ()
    return for_text(turn, sections, by_turns=c.style.axes == "by turns")


def positions(c: Config, w: Weights, n_ctx: int) -> list[Positions]:
    """One for each layer."""
    turn, leans = rotated(c, w, n_ctx), c.style.by_size and c.n_layer == LARGE
    slopes = [leanings(n, MOST_LEANING) if leans else None for n in c.n_head]
    return [Positions(turn if c.turns(i) else None, slopes[i]) for i in range(c.n_layer)]


def attended(x: Tensor, w: Block, c: Config, at: Positions) -> Tensor:
    q, k, v = qkv_heads(x, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    if c.style.norm_first:
        q, k = w.norms(q, k, c.eps)  # the same shapes
    if at.turn is not None:
        q, k = rope(q, at.turn), rope(k, at.turn)  # the same shapes
    if not c.style.norm_first:
        q, k = w.norms(q, k, c.eps)  # the same shapes
    if c.temperature_scale:
        q = position_scale(q, c.scaling.n_ctx_original, c.temperature_scale)  # (n_head, key_dim)
    a = attention(q, k, v, c.key_dim**-0.5, slopes=at.slopes)  # (n_head, value_dim)
    return linear(a, w.attn_output)  # (n_embd,)


def block(x: Tensor, w: Block, c: Config, at: Positions) -> Tensor:
    x = add(x, attended(rms_norm(x, w.attn_norm, c.eps), w, c, at))  # (n_embd,)
    h = rms_norm(x, w.ffn_norm, c.eps)  # (n_embd,)
    return add(x, w.feed_forward(h, c))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of an architecture in STYLES."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    each = positions(c, w, n_ctx or c.n_ctx_train)
    plan = Plan(
        checkpoint.architecture,
        c.n_vocab,
        c.n_ctx_train,
        causal=c.causal,
        embeds=c.style.embeds,
        leftovers=w.leftovers,
    )
    x = embed(plan, w.token_embd)  # (n_embd,)
    for loop in range(c.n_loop):
        if loop and not c.skips_norm:
            x = rms_norm(x, w.output_norm, c.eps)  # (n_embd,)
        for i, tensors in plan.layers(w.blk):
            x = block(x, tensors, c, each[i])  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    if not c.style.embeds:
        linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
