"""A trained network and its vocabulary as one GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
from torch import Tensor

from vatra.formats import gguf
from vatra.formats.vocabulary import TokenType
from vatra.quant import by_name
from vatra.quant.tensor import QTensor
from vatra.spark.net import Net, Shape
from vatra.spark.tokens import CHAT_TEMPLATE, IM_END

N_CTX = 2048  # the longest that training saw


def export(path: Path, net: Net, vocabulary: Path) -> None:
    """Write the network to `path`, matrices as Q8_0 and norms as F32."""
    tensors: dict[str, QTensor | np.ndarray] = {}
    for name, weight in weights(net):
        array = weight.detach().float().numpy()
        tensors[name] = quantised(name, array) if array.ndim == 2 else array
    gguf.write(path, metadata(net.shape, vocabulary), tensors, architecture="llama")


def quantised(name: str, array: np.ndarray) -> QTensor:
    """The matrix as Q8_0."""
    q8_0 = by_name("q8_0")
    assert q8_0.encode is not None
    return QTensor(name, q8_0, array.shape, q8_0.encode(array))


def interleaved(rows: Tensor, shape: Shape) -> Tensor:
    """The rows of a query or key matrix with the two of each rotated pair side by side.

    Training pairs element i with i + head_dim / 2, GGUF's llama architecture i with i + 1.
    """
    return rows.view(-1, 2, shape.head_dim // 2, shape.embd).transpose(1, 2).reshape(rows.shape)


def weights(net: Net) -> list[tuple[str, Tensor]]:
    """Every tensor under its GGUF name."""
    shape = net.shape
    found = [("token_embd.weight", net.token_embd.weight)]
    for i, block in enumerate(net.blocks):
        kv = shape.kv_heads * shape.head_dim
        q, k, v = block.attn_qkv.weight.split((shape.embd, kv, kv))
        gate, up = block.ffn_gate_up.weight.chunk(2)
        named = {
            "attn_norm": block.attn_norm.weight,
            "attn_q": interleaved(q, shape),
            "attn_k": interleaved(k, shape),
            "attn_v": v,
            "attn_output": block.attn_output.weight,
            "ffn_norm": block.ffn_norm.weight,
            "ffn_gate": gate,
            "ffn_up": up,
            "ffn_down": block.ffn_down.weight,
        }
        found += [(f"blk.{i}.{name}.weight", tensor) for name, tensor in named.items()]
    return [*found, ("output_norm.weight", net.output_norm.weight)]


def metadata(shape: Shape, vocabulary: Path) -> dict[str, Any]:
    """The file's key-value pairs."""
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(vocabulary))
    ids = range(pieces.vocab_size())

    def kind(i: int) -> TokenType:
        if pieces.is_unknown(i):
            return TokenType.UNKNOWN
        if pieces.is_control(i):
            return TokenType.CONTROL
        return TokenType.BYTE if pieces.is_byte(i) else TokenType.NORMAL

    return {
        "general.name": "Spark",
        "general.description": "A toy that tells small stories and answers simple questions.",
        "general.license": "MIT",
        "general.languages": ["en"],
        "general.file_type": 7,  # mostly Q8_0
        "general.quantization_version": 2,
        "general.sampling.temp": 0.6,
        "general.sampling.top_p": 0.9,
        "general.sampling.min_p": 0.1,
        "llama.vocab_size": shape.vocab,
        "llama.context_length": N_CTX,
        "llama.embedding_length": shape.embd,
        "llama.block_count": shape.layers,
        "llama.feed_forward_length": shape.ff,
        "llama.attention.head_count": shape.heads,
        "llama.attention.head_count_kv": shape.kv_heads,
        "llama.attention.layer_norm_rms_epsilon": shape.eps,
        "llama.rope.dimension_count": shape.head_dim,
        "llama.rope.freq_base": shape.rope_base,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [pieces.id_to_piece(i) for i in ids],
        "tokenizer.ggml.scores": np.array([pieces.get_score(i) for i in ids], np.float32),
        "tokenizer.ggml.token_type": np.array([kind(i) for i in ids], np.int32),
        "tokenizer.ggml.bos_token_id": pieces.bos_id(),
        "tokenizer.ggml.eos_token_id": pieces.eos_id(),
        "tokenizer.ggml.unknown_token_id": pieces.unk_id(),
        "tokenizer.ggml.eot_token_id": pieces.piece_to_id(IM_END),
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }
