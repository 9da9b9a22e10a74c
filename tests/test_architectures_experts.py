"""Mixtures of experts: what the stored answers of tiny models can not show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log
from pathlib import Path

import numpy as np
import pytest

from vatra import models
from vatra.engine.reference import ReferenceExecutor
from vatra.formats import gguf
from vatra.formats.checkpoint import Checkpoint, Metadata
from vatra.models import verbs
from vatra.models.feed_forward import clamped_swiglu, limited_after, limited_before
from vatra.models.indexer import Indexed
from vatra.models.latent import reading
from vatra.models.plan import Attention, Plan, PositionScale, RmsNorm, Tensor
from vatra.models.rope import Rotation, Scaling
from vatra.models.weights import Matrix
from vatra.quant import by_name
from vatra.quant.tensor import QTensor

Array = np.ndarray
F32 = by_name("f32")


def tensor(name: str, values: Array) -> QTensor:
    values = np.ascontiguousarray(values, np.float32)
    rows = values.reshape(-1, values.shape[-1])
    return QTensor(name, F32, values.shape, rows.view(np.uint8))


def changed(
    file: Path, keys: dict[str, int | None], tensors: dict[str, Array | None]
) -> Checkpoint:
    """The model in `file` with other keys and tensors; those that are None are left out."""
    old = gguf.read(file)
    metadata = Metadata({**old.metadata, **keys})
    made = {n: tensor(n, a) for n, a in tensors.items() if a is not None}
    kept = {n: t for n, t in old.tensors.items() if n not in tensors}
    left = Metadata({k: v for k, v in metadata.items() if v is not None})
    return Checkpoint(str(file), 3, left, {**kept, **made})


def logits(checkpoint: Checkpoint, n: int = 24) -> Array:
    plan = models.read(checkpoint)
    executor = ReferenceExecutor(plan)
    return executor.run(executor.new_state(n, "f32"), np.arange(n) * 7 % plan.n_vocab, 0, "all")


def run(inputs: Array, compute: Callable[[Tensor], object], step: int = 0) -> Array:
    """What `compute` makes of each row of `inputs`, `step` rows at a time."""
    plan = Plan("test", len(inputs), len(inputs))
    compute(verbs.embed(plan, Matrix("inputs", tensor("inputs", inputs))))
    executor, n = ReferenceExecutor(plan), len(inputs)
    state, tokens = executor.new_state(n, "f32"), np.arange(n, dtype=np.int32)
    step = step or n
    made = [executor.run(state, tokens[i : i + step], i, "all") for i in range(0, n, step)]
    return np.concatenate(made)


def test_old_files_of_latent_attention(shared: Path) -> None:
    """One matrix for the keys and values of each head computes what the two folded ones do."""
    file = shared / "golden/archs/deepseek2-moe.gguf"
    old, tensors = gguf.read(file), dict[str, Array | None]()
    n_head = int(old.metadata["deepseek2.attention.head_count"])
    for i in range(2):
        k, v = (old.tensors[f"blk.{i}.attn_{name}_b.weight"].decode() for name in "kv")
        k, v = k.reshape(n_head, 512, 128), v.reshape(n_head, 128, 512)
        both = np.concatenate([k.swapaxes(1, 2), v], axis=1)  # (n_head, 128 + 128, 512)
        tensors[f"blk.{i}.attn_kv_b.weight"] = both.reshape(-1, 512)
        tensors |= {f"blk.{i}.attn_{name}_b.weight": None for name in "kv"}
    keys: dict[str, int | None] = {"key_length": 192, "value_length": 128, "head_count_kv": n_head}
    keys |= {"key_length_mla": None, "value_length_mla": None}
    unfolded = changed(file, {f"deepseek2.attention.{k}": v for k, v in keys.items()}, tensors)
    found, wanted = logits(unfolded), logits(old).astype(np.float64)
    assert np.sum((found - wanted) ** 2) <= 1e-9 * np.sum(wanted**2)


@pytest.mark.parametrize(("multiplier", "same"), [(1.0, True), (0.707, True), (1.0, False)])
def test_yarn_in_latent_attention(multiplier: float, same: bool) -> None:
    """DeepSeek V3's configuration, V2 Lite's, and Mistral's: turned values keep their size."""
    scaling = Scaling(1e4, 1.0, "yarn", 40.0, 4096, 1.0, 32.0, 1.0, multiplier)
    read = reading(Rotation(np.ones(32), 9.0, True), scaling, 192, multiplier, same=same)
    assert read.turn.magnitude == pytest.approx(1.0)
    assert read.scale == pytest.approx(192**-0.5 * (1 + 0.1 * multiplier * log(40)) ** 2)


def test_experts_share_the_length_of_old_files(shared: Path) -> None:
    """Without a length for one expert, Qwen's files give that of all that a token uses."""
    file = shared / "golden/archs/qwen2moe-moe.gguf"
    prefix = "qwen2moe"
    n_used = int(gguf.read(file).metadata[f"{prefix}.expert_used_count"])
    n_ff = int(gguf.read(file).metadata[f"{prefix}.expert_feed_forward_length"])
    keys: dict[str, int | None] = {f"{prefix}.expert_feed_forward_length": None}
    keys |= {f"{prefix}.feed_forward_length": n_ff * n_used}
    np.testing.assert_array_equal(logits(changed(file, keys, {})), logits(gguf.read(file)))


def test_every_other_layer_has_a_window(shared: Path) -> None:
    checkpoint = gguf.read(shared / "golden/archs/gpt-oss-moe.gguf")
    window = checkpoint.metadata["gpt-oss.attention.sliding_window"]
    assert [cache.window for cache in models.read(checkpoint).caches] == [window, None]


@pytest.mark.parametrize("limit", [0.0, 1.5])
def test_gates_within_limits(limit: float) -> None:
    x = np.random.default_rng(1).standard_normal((50, 2, 8)).astype(np.float32) * 6
    gate, up = x[:, 0].astype(np.float64), x[:, 1].astype(np.float64)

    def through(unit: object) -> Array:
        def compute(row: Tensor) -> None:
            parts = verbs.split(row, 8, 8)
            verbs.glu(*parts, unit) if isinstance(unit, str) else unit(*parts)  # type: ignore

        return run(x.reshape(50, 16), compute)

    def silu(v: Array) -> Array:
        return v / (1 + np.exp(-v))

    most = limit or np.inf
    kept = np.clip(up, -most, most)
    before, after = silu(np.minimum(gate, most)) * kept, np.minimum(silu(gate), most) * kept
    np.testing.assert_allclose(through(limited_before(limit)), before, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(through(limited_after(limit)), after, rtol=1e-5, atol=1e-5)
    assert limit == 0.0 or not np.allclose(before, after)
    g, u = np.minimum(gate, 7), np.clip(up, -7, 7)
    wanted = g / (1 + np.exp(-1.702 * g)) * (u + 1)
    np.testing.assert_allclose(through(clamped_swiglu), wanted, rtol=1e-5, atol=1e-5)


def attended(q: Array, k: Array, v: Array, chosen: Sequence[Sequence[int]]) -> Array:
    """Row t reads the positions chosen[t]; float64 (n, heads, dim) of (n, heads, dim), (n, dim)."""
    out = np.empty((*q.shape[:2], v.shape[1]))
    for t, positions in enumerate(chosen):
        scores = q[t].astype(np.float64) @ k[list(positions)].T.astype(np.float64)
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        out[t] = shares / shares.sum(axis=1, keepdims=True) @ v[list(positions)]
    return out


@pytest.mark.parametrize("step", [1, 5, 0])
def test_attention_to_chosen_positions_against_loops(step: int) -> None:
    n, heads, dim, most = 23, 3, 4, 6
    x = np.random.default_rng(2).standard_normal((n, 50)).astype(np.float32)
    iq, ik, w = x[:, :12].reshape(n, heads, dim), x[:, 12:16], x[:, 16:19]
    q, k, v = x[:, 20:44].reshape(n, 6, dim), x[:, 44:48], x[:, 48:50]

    def compute(row: Tensor) -> None:
        parts = verbs.split(row, 12, 4, 3, 1, 24, 4, 2)
        index_q, index_k = verbs.reshape(parts[0], 3, 4), verbs.reshape(parts[1], 1, 4)
        chosen = verbs.top_positions(index_q, index_k, parts[2], most)  # (1, most)
        shapes = ((6, 4), (1, 4), (1, 2))
        qkv = [verbs.reshape(p, *s) for p, s in zip(parts[4:], shapes, strict=True)]
        verbs.sparse_attention(qkv[0], qkv[1], qkv[2], 1.0, chosen)

    best = []
    for t in range(n):
        scores = [float(w[t] @ np.maximum(iq[t] @ ik[p], 0)) for p in range(t + 1)]
        best.append(np.argsort(scores)[::-1][:most].tolist())
    np.testing.assert_allclose(run(x, compute, step), attended(q, k, v, best), atol=1e-5)


@pytest.mark.parametrize("step", [1, 5, 0])
def test_attention_to_chosen_blocks_against_loops(step: int) -> None:
    """Each of two KV heads reads 3 blocks of 4 positions: the two last ones, and the best other."""
    n, dim, size = 30, 4, 4
    x = np.random.default_rng(3).standard_normal((n, 44)).astype(np.float32)
    iq, ik = x[:, :8].reshape(n, 2, dim), x[:, 8:12]
    q, k, v = (x[:, a : a + w] for a, w in ((12, 16), (28, 8), (36, 8)))
    q, k, v = q.reshape(n, 4, dim), k.reshape(n, 2, dim), v.reshape(n, 2, dim)

    def compute(row: Tensor) -> None:
        parts = verbs.split(row, 8, 4, 16, 8, 8)
        index_q, index_k = verbs.reshape(parts[0], 2, 4), verbs.reshape(parts[1], 1, 4)
        chosen = verbs.top_blocks(index_q, index_k, 3, block=size, own=2)  # (2, 3)
        qkv = [verbs.reshape(p, m, 4) for p, m in zip(parts[2:], (4, 2, 2), strict=True)]
        verbs.sparse_attention(qkv[0], qkv[1], qkv[2], 1.0, chosen, block=size)

    found = run(x, compute, step)
    for head in range(2):
        best = []
        for t in range(n):
            own = {b for b in (t // size, t // size - 1) if b >= 0}
            score = {
                b: max(iq[t, head] @ ik[p] for p in range(b * size, min(b * size + size, t + 1)))
                for b in range(t // size + 1)
                if b not in own
            }
            blocks = own | set(sorted(score, key=lambda b: -score[b])[: 3 - len(own)])
            best.append([p for p in range(t + 1) if p // size in blocks])
        two = slice(2 * head, 2 * head + 2)  # the query heads of this KV head
        wanted = attended(q[:, two], k[:, head], v[:, head], best)
        np.testing.assert_allclose(found[:, two], wanted, atol=1e-5)


def llama4(n_expert: int) -> Checkpoint:
    """A Llama 4 of 4 layers, every second with experts."""
    keys = {"context_length": 64, "embedding_length": 32, "block_count": 4}
    keys |= {"feed_forward_length": 32, "expert_feed_forward_length": 32}
    keys |= {"attention.head_count": 2, "attention.sliding_window": 5}
    keys |= {"expert_count": n_expert, "expert_used_count": 1, "interleave_moe_layer_step": 2}
    metadata = Metadata({f"llama4.{k}": v for k, v in keys.items()})
    metadata |= {"general.architecture": "llama4"}
    metadata["llama4.attention.layer_norm_rms_epsilon"] = 1e-5
    shapes = {"token_embd": (16, 32), "output_norm": (32,)}
    for i in range(4):
        b, e = f"blk.{i}", (n_expert,)
        shapes |= {f"{b}.attn_norm": (32,), f"{b}.ffn_norm": (32,)}
        shapes |= {f"{b}.attn_{name}": (32, 32) for name in ("q", "k", "v", "output")}
        parts = ("ffn_gate", "ffn_up", "ffn_down")
        if i % 2:
            shapes |= {f"{b}.{part}_exps": (*e, 32, 32) for part in parts}
            shapes |= {f"{b}.{part}_shexp": (32, 32) for part in parts}
            shapes |= {f"{b}.ffn_gate_inp": (*e, 32)}
        else:
            shapes |= {f"{b}.{part}": (32, 32) for part in parts}
    rng = np.random.default_rng(4)
    made = {f"{n}.weight": rng.standard_normal(s) / 6 for n, s in shapes.items()}
    return Checkpoint("llama4", 3, metadata, {n: tensor(n, a) for n, a in made.items()})


@pytest.mark.parametrize(("n_expert", "n_norms"), [(16, 15), (128, 9)])
def test_llama4(n_expert: int, n_norms: int) -> None:
    """Chunks of 8192, whatever the file says; only every fourth layer lacks turned, normed q, k."""
    plan = models.read(llama4(n_expert))
    chunks = [op.chunk for op in plan.ops if isinstance(op, Attention)]
    assert chunks == [8192, 8192, 8192, None]
    grown = [op for op in plan.ops if isinstance(op, PositionScale)]
    assert [(op.every, op.slope, op.offset) for op in grown] == [(8192, 0.1, 1)]
    assert sum(isinstance(op, RmsNorm) for op in plan.ops) == n_norms
    executor = ReferenceExecutor(plan)
    made = executor.run(executor.new_state(8, "f32"), np.arange(8), 0, "all")
    assert made.shape == (8, 16) and np.isfinite(made).all()


def test_an_expert_reads_its_weighted_input() -> None:
    """With one expert chosen, its input is multiplied, not its output."""
    checkpoint = llama4(16)
    plan, inner = models.read(checkpoint), dict[str, Array]()
    names = ("blk.1.ffn_norm", "blk.1.ffn_gate_inp", "blk.1.ffn_gate_exps", "blk.1.ffn_up_exps")

    def keep(name: str) -> Callable[[Array, Array], None]:
        return lambda values, _: inner.__setitem__(name, values.copy())

    hooks = {name: keep(name) for name in names}
    executor = ReferenceExecutor(plan, hooks=hooks)
    executor.run(executor.new_state(8, "f32"), np.arange(8), 0, "all")
    x, scores, gates, _ = (inner[n] for n in names)
    expert = scores.argmax(axis=1)
    share = 1 / (1 + np.exp(-scores.max(axis=1)))
    w = checkpoint.tensors["blk.1.ffn_gate_exps.weight"].decode().reshape(16, 32, 32)
    wanted = np.einsum("tij,tj->ti", w[expert], x * share[:, None])
    np.testing.assert_allclose(gates[:, 0], wanted, atol=1e-5)


def test_positions_are_chosen_only_of_more_than_can_be_read() -> None:
    """With a context no longer than the choice, attention simply reads all."""
    c = Indexed(4, 32, 16)
    assert [c.chooses(n) for n in (15, 16, 17)] == [False, False, True]
    assert not Indexed(4, 32, 0).chooses(10**6)
