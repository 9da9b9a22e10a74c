"""The llama architecture in PyTorch, as small and plain as training needs it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

IGNORED = -100  # a target that counts for nothing


@dataclass(frozen=True)
class Shape:
    """Sizes of the network; widths are multiples of 256, so that every weight format applies."""

    vocab: int = 4096
    embd: int = 256
    layers: int = 8
    heads: int = 4
    kv_heads: int = 2
    ff: int = 768
    rope_base: float = 10000.0
    eps: float = 1e-5

    @property
    def head_dim(self) -> int:
        return self.embd // self.heads


class Norm(nn.Module):
    """RMSNorm (Zhang and Sennrich 2019) over the last axis."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape.embd))
        self.eps = shape.eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


def rope_table(shape: Shape, n: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines (n, head_dim / 2) of rotary positions (Su et al. 2021)."""
    pair = torch.arange(0, shape.head_dim, 2, dtype=torch.float64) / shape.head_dim
    angle = torch.arange(n, dtype=torch.float64)[:, None] * shape.rope_base**-pair
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates x (batch, heads, n, head_dim), the pair of element i being i + head_dim / 2."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


class Block(nn.Module):
    """One layer: grouped-query attention, then the gated feed-forward network."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        kv = shape.kv_heads * shape.head_dim
        self.attn_norm, self.ffn_norm = Norm(shape), Norm(shape)
        self.attn_qkv = nn.Linear(shape.embd, shape.embd + 2 * kv, bias=False)
        self.attn_output = nn.Linear(shape.embd, shape.embd, bias=False)
        self.ffn_gate_up = nn.Linear(shape.embd, 2 * shape.ff, bias=False)
        self.ffn_down = nn.Linear(shape.ff, shape.embd, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        s = self.shape
        batch, n, _ = x.shape
        heads = self.attn_qkv(self.attn_norm(x)).view(batch, n, -1, s.head_dim).transpose(1, 2)
        qk, v = heads.split((s.heads + s.kv_heads, s.kv_heads), dim=1)
        q, k = rotate(qk, cos, sin).split((s.heads, s.kv_heads), dim=1)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.attn_output(mixed.transpose(1, 2).reshape(batch, n, s.embd))
        gate, up = self.ffn_gate_up(self.ffn_norm(x)).chunk(2, dim=-1)
        return x + self.ffn_down(F.silu(gate) * up)


class Net(nn.Module):
    """Token ids (batch, n) in, the mean loss of predicting `targets` (batch, n) out."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocab, shape.embd)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = Norm(shape)
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)
        for block in self.blocks:  # GPT-2's scaling of what is added to the residual stream
            for linear in (block.attn_output, block.ffn_down):
                nn.init.normal_(linear.weight, std=0.02 / (2 * shape.layers) ** 0.5)

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        weight = self.token_embd.weight
        cos, sin = (t.to(weight.dtype) for t in rope_table(self.shape, tokens.shape[1]))
        x = self.token_embd(tokens)
        for block in self.blocks:
            x = block(x, cos, sin)
        logits = self.output_norm(x) @ weight.T  # the embeddings are also the output
        return F.cross_entropy(
            logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED
        )
