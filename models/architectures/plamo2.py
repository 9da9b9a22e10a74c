"""PLaMo 2: layers of a Mamba with heads, and a few of attention; norms before and after each part.

Preferred Networks 2025, arXiv:2509.04897; as Samba, Ren et al. 2024, arXiv:2406.07522.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import count, derived
from vatra.models.decoder import Ends, HybridDecoder
from vatra.models.feed_forward import FusedGated
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, rotation
from vatra.models.state_space import StateSpace
from vatra.models.verbs import (
    activation,
    add,
    attention,
    convolution,
    embed,
    glu,
    linear,
    qkv_heads,
    reshape,
    rms_norm,
    rope,
    select_outputs,
    selective_scan,
    split,
)
from vatra.models.weights import Matrix, Vector, blocks, fused, group, matrix, qkv, unused, vector


@dataclass(frozen=True)
class Config(StateSpace, HybridDecoder):
    """The metadata keys below plamo2.*; the rank is the number of Mamba's heads."""

    dt_rank: int = count("ssm.time_step_rank", divides="d_inner")
    dt_dim: int = derived(lambda c: max(64, c["n_embd"] // 16))


@dataclass(frozen=True)
class Mamba:
    """One decay for each head, whose rows of ssm_in are first the gate's, then the input's."""

    ssm_in: Matrix = matrix("2 * d_inner", "n_embd")
    ssm_conv1d: Vector = vector("d_inner", "n_conv")
    ssm_x: tuple[Matrix, Matrix, Matrix] = fused(
        "ssm_x", "d_inner", ssm_x_b="d_state", ssm_x_c="d_state", ssm_x_dt="dt_dim"
    )
    ssm_b_norm: Vector = vector("d_state", suffix="")
    ssm_c_norm: Vector = vector("d_state", suffix="")
    ssm_dt_norm: Vector = vector("dt_dim", suffix="")
    ssm_dt: Matrix = matrix("dt_rank", "dt_dim", bias=True)
    ssm_a: Vector = vector("dt_rank", "1", suffix="", axes_of_1=True)  # -exp(A_log)
    ssm_d: Vector = vector("dt_rank", suffix="")
    ssm_out: Matrix = matrix("n_embd", "d_inner")

    def __call__(self, x: Tensor, c: Config, turn: Rotation) -> Tensor:
        """(n_embd,)"""
        head_dim = c.d_inner // c.dt_rank
        z, x = split(linear(x, self.ssm_in, 2 * head_dim), head_dim, head_dim)
        x = activation(convolution(reshape(x, c.d_inner), self.ssm_conv1d.data), "silu")
        norms = self.ssm_b_norm, self.ssm_c_norm, self.ssm_dt_norm
        made = (linear(x, w) for w in self.ssm_x)  # (d_state,), (d_state,), (dt_dim,)
        b_t, c_t, dt = (rms_norm(t, w, c.eps) for t, w in zip(made, norms, strict=True))
        dt = activation(linear(dt, self.ssm_dt), "softplus")  # (dt_rank,)
        b_t, c_t = reshape(b_t, 1, c.d_state), reshape(c_t, 1, c.d_state)
        x = reshape(x, c.dt_rank, head_dim)
        y = selective_scan(x, dt, b_t, c_t, self.ssm_a.data, self.ssm_d.data)
        return linear(glu(z, y, "silu"), self.ssm_out)


@dataclass(frozen=True)
class Attention:
    """Attention whose queries and keys are normed, with weights of their own for each head."""

    attn: tuple[Matrix, Matrix, Matrix] = qkv(bias=False)
    attn_q_norm: Vector = vector("n_head", "key_dim")
    attn_k_norm: Vector = vector("n_head_kv", "key_dim")
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")

    def __call__(self, x: Tensor, c: Config, turn: Rotation) -> Tensor:
        """(n_embd,)"""
        q, k, v = qkv_heads(x, self.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, dim)
        q = rope(rms_norm(q, self.attn_q_norm, c.eps), turn)  # (n_head, key_dim)
        k = rope(rms_norm(k, self.attn_k_norm, c.eps), turn)  # (n_head_kv, key_dim)
        return linear(attention(q, k, v, c.value_dim**-0.5), self.attn_output)


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*; the names of some norms lack their ending."""

    attn_norm: Vector = vector("n_embd")
    mixer: Mamba | Attention = group(lambda c, i: Attention if c.n_head_kv[i] else Mamba)
    post_attention_norm: Vector = vector("n_embd", suffix="")
    ffn_norm: Vector = vector("n_embd")
    feed_forward: FusedGated = group(FusedGated)
    post_ffw_norm: Vector = vector("n_embd", suffix="")


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def block(x: Tensor, w: Block, c: Config, turn: Rotation) -> Tensor:
    h = w.mixer(rms_norm(x, w.attn_norm, c.eps), c, turn)  # (n_embd,)
    x = add(x, rms_norm(h, w.post_attention_norm, c.eps))  # (n_embd,)
    h = w.feed_forward(rms_norm(x, w.ffn_norm, c.eps))  # (n_embd,)
    return add(x, rms_norm(h, w.post_ffw_norm, c.eps))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture plamo2."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    turn = rotation(c.n_rot, c.scaling, interleaved=False)
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, turn)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
