"""Small models of fixed weights that make vectors of texts, and what llama.cpp makes of them.

`encoders.json` holds, for each, some of the values that llama.cpp computes for TOKENS.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from vatra.formats import gguf

Array = np.ndarray
Shapes = dict[str, tuple[int, ...]]

N_EMBD, N_FF, N_HEAD, HEAD_DIM, N_LAYER, N_CTX = 32, 48, 4, 8, 3, 600
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = ("a", "the", "cat", "dog", "sat", "ran", "on", "mat", "sun", "sea", "is", "red", "big")
LETTERS = tuple("abcdefghijklmnopqrstuv")
N_VOCAB = len(SPECIAL) + len(WORDS) + len(LETTERS)
TOKENS = np.array([2, 6, 7, 9, 11, 5, 12, 3, 6, 13, 15, 16, 8, 30, 31, 6, 14, 10, 17, 3], np.int32)
EXPECTED = json.loads(Path(__file__).with_name("encoders.json").read_text())


def qkv(n_kv: int = N_HEAD, *, bias: bool = False, fused: bool = False) -> Shapes:
    rows = {"attn_q": N_EMBD, "attn_k": n_kv * HEAD_DIM, "attn_v": n_kv * HEAD_DIM}
    if fused:
        rows = {"attn_qkv": sum(rows.values())}
    made: Shapes = {f"{name}.weight": (n, N_EMBD) for name, n in rows.items()}
    return made | ({f"{name}.bias": (n,) for name, n in rows.items()} if bias else {})


def gated(*, fused: bool = False) -> Shapes:
    up: Shapes = {"ffn_up.weight": ((2 if fused else 1) * N_FF, N_EMBD)}
    gate: Shapes = {} if fused else {"ffn_gate.weight": (N_FF, N_EMBD)}
    return up | gate | {"ffn_down.weight": (N_EMBD, N_FF)}


def norms(*names: str, bias: bool = False) -> Shapes:
    parts = ("weight", "bias") if bias else ("weight",)
    return {f"{name}.{part}": (N_EMBD,) for name in names for part in parts}


OUT: Shapes = {"attn_output.weight": (N_EMBD, N_EMBD)}
OUT_BIAS: Shapes = OUT | {"attn_output.bias": (N_EMBD,)}
PLAIN: Shapes = {
    "ffn_up.weight": (N_FF, N_EMBD), "ffn_up.bias": (N_FF,),
    "ffn_down.weight": (N_EMBD, N_FF), "ffn_down.bias": (N_EMBD,),
}  # fmt: skip
MIXED: Shapes = {
    "ffn_gate_inp.weight": (4, N_EMBD),
    "ffn_up_exps.weight": (4, N_FF, N_EMBD), "ffn_down_exps.weight": (4, N_EMBD, N_FF),
}  # fmt: skip
TOP: Shapes = {"token_embd.weight": (N_VOCAB, N_EMBD)}
BERT_TOP = TOP | norms("token_embd_norm", bias=True) | {"token_types.weight": (2, N_EMBD)}
AFTER = norms("attn_output_norm", "layer_output_norm", bias=True)
BEFORE = norms("attn_norm", "ffn_norm")
CLASSIFIER: Shapes = {"cls.weight": (N_EMBD, N_EMBD), "cls.output.weight": (1, N_EMBD)}
LAYER_NORM = {"attention.layer_norm_epsilon": 1e-5}
RMS_NORM = {"attention.layer_norm_rms_epsilon": 1e-5}
EXPERTS = {"expert_count": 4, "expert_used_count": 2}
WINDOWS = {"attention.sliding_window": 8, "rope.freq_base_swa": 1000.0}

# name -> keys, tensors, tensors of a block or of each
ENCODERS: dict[str, tuple[dict[str, Any], Shapes, Shapes | list[Shapes]]] = {
    "bert": (
        LAYER_NORM,
        BERT_TOP | CLASSIFIER | {"cls.bias": (N_EMBD,), "cls.output.bias": (1,)}
        | {"position_embd.weight": (N_CTX, N_EMBD)},
        qkv(bias=True) | OUT_BIAS | AFTER | PLAIN,
    ),
    "nomic-bert": (LAYER_NORM, BERT_TOP, qkv(fused=True) | OUT | AFTER | gated()),
    "nomic-bert-moe": (
        LAYER_NORM | EXPERTS | {"moe_every_n_layers": 2},
        BERT_TOP,
        [qkv(bias=True) | OUT_BIAS | AFTER | part for part in (PLAIN, MIXED, PLAIN)],
    ),
    "jina-bert-v2": (
        LAYER_NORM,
        BERT_TOP,
        qkv(bias=True) | OUT_BIAS | AFTER | gated(fused=True) | {"ffn_down.bias": (N_EMBD,)}
        | norms("attn_q_norm", "attn_k_norm", "attn_norm_2", bias=True),
    ),
    "jina-bert-v3": (LAYER_NORM, BERT_TOP, qkv(bias=True) | OUT_BIAS | AFTER | PLAIN),
    "modern-bert": (
        LAYER_NORM | WINDOWS | {"attention.sliding_window_pattern": 2, "pooling_type": 4},
        TOP | norms("token_embd_norm", "output_norm", "cls.norm") | CLASSIFIER,
        qkv(fused=True) | OUT | BEFORE | gated(fused=True),
    ),
    "neo-bert": (
        RMS_NORM, TOP | norms("enc.output_norm"),
        qkv(fused=True) | OUT | BEFORE | gated(fused=True),
    ),
    "eurobert": (RMS_NORM, TOP | norms("output_norm"), qkv(2) | OUT | BEFORE | gated()),
    "llama-embed": (
        RMS_NORM | {"attention.causal": False, "vocab_size": N_VOCAB},
        TOP | norms("output_norm"), qkv(2) | OUT | BEFORE | gated(),
    ),
    "gemma-embedding": (
        RMS_NORM | WINDOWS
        | {"attention.sliding_window_pattern": 2, "pooling_type": 1}
        | {"dense_2_feat_in": N_EMBD, "dense_2_feat_out": 2 * N_EMBD}
        | {"dense_3_feat_in": 2 * N_EMBD, "dense_3_feat_out": N_EMBD},
        TOP | norms("output_norm")
        | {"dense_2.weight": (2 * N_EMBD, N_EMBD), "dense_3.weight": (N_EMBD, 2 * N_EMBD)},
        qkv(2) | OUT | BEFORE | gated() | norms("post_attention_norm", "post_ffw_norm")
        | {"attn_q_norm.weight": (HEAD_DIM,), "attn_k_norm.weight": (HEAD_DIM,)},
    ),
    "t5encoder": (
        RMS_NORM | {"attention.relative_buckets_count": 8},
        TOP | norms("enc.output_norm"),
        qkv() | {"attn_o.weight": (N_EMBD, N_EMBD)} | BEFORE | gated(),
    ),
    "qwen3": (  # it can write, too, but was made to score texts
        RMS_NORM | {"pooling_type": 4, "classifier.output_labels": ["yes", "no"]},
        TOP | norms("output_norm") | {"cls.output.weight": (2, N_EMBD)},
        qkv(2) | OUT | BEFORE | gated()
        | {"attn_q_norm.weight": (HEAD_DIM,), "attn_k_norm.weight": (HEAD_DIM,)},
    ),
    "llada": (RMS_NORM, TOP | norms("output_norm"), qkv(2) | OUT | BEFORE | gated()),
}  # fmt: skip


def values(name: str, shape: tuple[int, ...]) -> Array:
    """Always the same for a name: norms near 1, others near 0."""
    drawn = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    if "norm" in name and name.endswith(".weight"):
        return (1 + 0.2 * drawn).astype(np.float32)
    size = (
        0.5 if len(shape) < 3 and name.startswith(("token", "position", "blk.0.attn_rel")) else 0.2
    )
    return (size * drawn).astype(np.float32)


def write(name: str, path: Path) -> None:
    """The model as a GGUF file, with a vocabulary of word pieces."""
    keys, top, block = ENCODERS[name]
    tensors = {key: values(key, shape) for key, shape in top.items()}
    prefix = "enc.blk" if name == "t5encoder" else "blk"
    for i in range(N_LAYER):
        for key, shape in (block[i] if isinstance(block, list) else block).items():
            full = f"{prefix}.{i}.{key}"
            tensors[full] = values(full, shape)
    if name == "t5encoder":
        full = "enc.blk.0.attn_rel_b.weight"
        tensors[full] = values(full, (8, N_HEAD))
    pieces = [*SPECIAL, *(f"\u2581{word}" for word in WORDS), *LETTERS]
    n_kv = (block[0] if isinstance(block, list) else block).get("attn_k.weight", (N_EMBD,))[0]
    metadata: dict[str, Any] = {
        f"{name}.{key}": value
        for key, value in {
            "context_length": N_CTX, "embedding_length": N_EMBD, "block_count": N_LAYER,
            "feed_forward_length": N_FF, "attention.head_count": N_HEAD,
            "attention.head_count_kv": n_kv // HEAD_DIM, "rope.freq_base": 5000.0,
        }.items()
    }  # fmt: skip
    metadata |= {f"{name}.{key}": value for key, value in keys.items()}
    metadata |= {
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.tokens": pieces,
        "tokenizer.ggml.token_type": np.repeat(np.array([3, 1], np.int32), [5, N_VOCAB - 5]),
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.unknown_token_id": 1,
        "tokenizer.ggml.cls_token_id": 2,
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.seperator_token_id": 3,
        "tokenizer.ggml.mask_token_id": 4,
    }
    gguf.write(path, metadata, tensors, architecture=name)
