"""MiniMax M3: leading dense layers, then experts, and attention to chosen blocks of positions.

MiniMax 2026, https://huggingface.co/MiniMaxAI. In a sparse layer each KV head has an index head,
which chooses the blocks that it reads.
"""

from __future__ import annotations

from dataclasses import dataclass

from vatra.formats.checkpoint import Checkpoint
from vatra.models import config, weights
from vatra.models.config import count
from vatra.models.decoder import Ends, ExpertDecoder
from vatra.models.experts import Mixture
from vatra.models.feed_forward import Gated, clamped_swiglu
from vatra.models.plan import Plan, Tensor
from vatra.models.rope import Rotation, rotation
from vatra.models.verbs import (
    add,
    attention,
    embed,
    linear,
    qkv_heads,
    rms_norm,
    rope,
    select_outputs,
    sparse_attention,
    top_blocks,
)
from vatra.models.weights import Matrix, Vector, blocks, group, matrix, qkv, unused, vector


@dataclass(frozen=True)
class Config(ExpertDecoder):
    """The metadata keys below minimax-m3.*"""

    n_index_head: int = count("attention.indexer.head_count")
    index_dim: int = count("attention.indexer.key_length", even=True)
    n_index_top: int = count("attention.indexer.top_k")  # blocks
    index_block: int = count("attention.indexer.block_size")  # positions
    n_index_own: int = count("attention.indexer.local_blocks", at_least=0)

    def chooses(self, n_ctx: int) -> bool:
        return self.n_index_top * self.index_block < n_ctx


@dataclass(frozen=True)
class Indexer:
    """The tensors indexer.*"""

    q_proj: Matrix = matrix("n_index_head * index_dim", "n_embd", of="indexer.q_proj")
    k_proj: Matrix = matrix("index_dim", "n_embd", of="indexer.k_proj")
    q_norm: Vector = vector("index_dim", of="indexer.q_norm")
    k_norm: Vector = vector("index_dim", of="indexer.k_norm")

    def __call__(self, x: Tensor, c: Config, turn: Rotation) -> Tensor:
        """(n_index_head, n_index_top) blocks."""
        q = rms_norm(linear(x, self.q_proj, c.index_dim), self.q_norm, c.eps)
        k = rms_norm(linear(x, self.k_proj, c.index_dim), self.k_norm, c.eps)  # (1, index_dim)
        q, k = rope(q, turn), rope(k, turn)  # (n_index_head, index_dim), (1, index_dim)
        return top_blocks(q, k, c.n_index_top, block=c.index_block, own=c.n_index_own)


@dataclass(frozen=True)
class Block:
    """The tensors blk.N.*: a layer without a router is dense, and reads all positions."""

    attn_norm: Vector = vector("n_embd")
    attn: tuple[Matrix, Matrix, Matrix] = qkv()
    attn_q_norm: Vector = vector("key_dim")
    attn_k_norm: Vector = vector("key_dim")
    indexer: Indexer | None = group(Indexer, where="indexer.q_proj.weight")
    attn_output: Matrix = matrix("n_embd", "n_head * value_dim")
    ffn_norm: Vector = vector("n_embd")
    ffn: Mixture | Gated = group(Mixture, where="ffn_gate_inp.weight", otherwise=Gated)

    def feed_forward(self, x: Tensor, c: Config) -> Tensor:
        if isinstance(self.ffn, Gated):
            return self.ffn(x, clamped_swiglu)
        return self.ffn(x, c, clamped_swiglu, by="sigmoid", normalise=False)


@dataclass(frozen=True)
class Weights(Ends):
    """All tensors of the file."""

    blk: tuple[Block, ...] = blocks(Block)
    leftovers: tuple[str, ...] = unused()


def block(x: Tensor, w: Block, c: Config, turn: Rotation, sparse: bool) -> Tensor:
    h = rms_norm(x, w.attn_norm, c.eps)  # (n_embd,)
    q, k, v = qkv_heads(h, w.attn, c.key_dim, c.value_dim)  # (n_head or n_head_kv, head_dim)
    q = rope(rms_norm(q, w.attn_q_norm, c.eps), turn)  # (n_head, key_dim)
    k = rope(rms_norm(k, w.attn_k_norm, c.eps), turn)  # (n_head_kv, key_dim)
    if sparse and w.indexer is not None:
        chosen = w.indexer(h, c, turn)  # (n_head_kv, n_index_top)
        a = sparse_attention(q, k, v, c.key_dim**-0.5, chosen, block=c.index_block)
    else:
        a = attention(q, k, v, c.key_dim**-0.5)  # (n_head, value_dim)
    x = add(x, linear(a, w.attn_output))  # (n_embd,)
    h = rms_norm(x, w.ffn_norm, c.eps)  # (n_embd,)
    return add(x, w.feed_forward(h, c))  # (n_embd,)


def build(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """The plan of a file of architecture minimax-m3, to be run with contexts of `n_ctx` tokens."""
    c = config.read(Config, checkpoint)
    w = weights.read(Weights, checkpoint, c)
    turn, sparse = (
        rotation(c.n_rot, c.scaling, interleaved=False),
        c.chooses(n_ctx or c.n_ctx_train),
    )
    plan = Plan(checkpoint.architecture, c.n_vocab, c.n_ctx_train, leftovers=w.leftovers)
    x = embed(plan, w.token_embd)  # (n_embd,)
    for _, tensors in plan.layers(w.blk):
        x = block(x, tensors, c, turn, sparse)  # (n_embd,)
    x = rms_norm(select_outputs(x), w.output_norm, c.eps)  # (n_embd,)
    linear(x, w.output, name="logits")  # (n_vocab,)
    return plan
