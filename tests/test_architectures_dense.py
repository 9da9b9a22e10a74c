"""Dense decoders: what the stored answers of tiny models can not show."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vatra import models
from vatra.engine.reference import ReferenceExecutor
from vatra.errors import BadFile
from vatra.formats.checkpoint import Checkpoint, Metadata
from vatra.models import verbs
from vatra.models.architectures.apertus import xielu
from vatra.models.plan import Attention, Clamp, Plan, PositionScale, Rope, Scale, Tensor
from vatra.models.weights import Matrix
from vatra.quant import by_name
from vatra.quant.tensor import QTensor

Array = np.ndarray
F32 = by_name("f32")
N_VOCAB, N_EMBD, N_HEAD, N_FF = 24, 16, 2, 20
DIM = N_EMBD // N_HEAD
Shapes = dict[str, tuple[int, ...]]
ENDS: Shapes = {"token_embd.weight": (N_VOCAB, N_EMBD), "output_norm.weight": (N_EMBD,)}
ATTENTION: Shapes = {f"attn_{n}.weight": (N_EMBD, N_EMBD) for n in ("q", "k", "v", "output")}
FEED_FORWARD: Shapes = {
    "ffn_gate.weight": (N_FF, N_EMBD),
    "ffn_up.weight": (N_FF, N_EMBD),
    "ffn_down.weight": (N_EMBD, N_FF),
}
NORMS: Shapes = {"attn_norm.weight": (N_EMBD,), "ffn_norm.weight": (N_EMBD,)}
HEAD_NORMS: Shapes = {"attn_q_norm.weight": (DIM,), "attn_k_norm.weight": (DIM,)}
BLOCK: Shapes = {**NORMS, **ATTENTION, **FEED_FORWARD}


def values(name: str, shape: tuple[int, ...]) -> Array:
    """Numbers that are always the same for a name."""
    seed = [ord(c) for c in name]
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def tensor(name: str, made: Array) -> QTensor:
    return QTensor(name, F32, made.shape, made.reshape(-1, made.shape[-1]).view(np.uint8))


def checkpoint(architecture: str, shapes: Shapes, n_layer: int, **keys: Any) -> Checkpoint:
    """A random model with tensors of `shapes`; `keys` with __ for the dots in their names."""
    found = {
        "context_length": 64,
        "embedding_length": N_EMBD,
        "block_count": n_layer,
        "feed_forward_length": N_FF,
        "attention.head_count": N_HEAD,
        "attention.layer_norm_rms_epsilon": 1e-5,
        **{k.replace("__", "."): v for k, v in keys.items()},
    }
    bare = {k: v for k, v in found.items() if k.startswith("xielu.")}
    named = {f"{architecture}.{k}": v for k, v in found.items() if k not in bare}
    metadata = Metadata({"general.architecture": architecture, **named, **bare})
    tensors = {n: tensor(n, values(n, s)) for n, s in shapes.items()}
    return Checkpoint("random.gguf", 3, metadata, tensors)


def layers(n_layer: int, block: Shapes = BLOCK) -> Shapes:
    return ENDS | {f"blk.{i}.{n}": s for i in range(n_layer) for n, s in block.items()}


def logits(plan: Plan, n: int = 12) -> Array:
    executor = ReferenceExecutor(plan)
    tokens = np.arange(n) * 7 % plan.n_vocab
    return executor.run(executor.new_state(n, "f32"), tokens, 0, "all")


def alike(found: Array, wanted: Array) -> bool:
    return bool(np.sum((found - wanted) ** 2.0) <= 1e-10 * np.sum(wanted**2.0))


def apply(x: Array, compute: Callable[[Tensor], Tensor]) -> Array:
    """What `compute` makes of each row of x."""
    plan = Plan("test", len(x), len(x))
    compute(verbs.embed(plan, Matrix("x", tensor("x", x))))
    executor = ReferenceExecutor(plan)
    return executor.run(executor.new_state(len(x), "f32"), np.arange(len(x)), 0, "all")


def of_kind(plan: Plan, kind: type[Any]) -> list[Any]:
    return [op for op in plan.ops if isinstance(op, kind)]


# ---- loops, and layers that lack parts


def test_two_loops_are_twice_the_layers() -> None:
    """Without the norm between them, which is one more op."""
    skip = {"num_loops": 2, "skip_loop_final_norm": True}
    looped = models.read(checkpoint("nanbeige", layers(2), 2, **skip))
    shapes = layers(4)
    long = checkpoint("nanbeige", shapes, 4)
    for name in shapes:
        if name.startswith(("blk.2.", "blk.3.")):
            first = name.replace("blk.2.", "blk.0.").replace("blk.3.", "blk.1.")
            long.tensors[name] = tensor(name, values(first, shapes[name]))
    assert len(looped.caches) == 4
    assert alike(logits(looped), logits(models.read(long)))
    normed = models.read(checkpoint("nanbeige", layers(2), 2, num_loops=2))
    assert len(normed.ops) == len(looped.ops) + 1
    assert not alike(logits(normed), logits(looped))


def test_layers_without_attention_or_feed_forward() -> None:
    """An empty layer changes nothing; one matrix may replace attention."""
    fed = ("ffn_norm.weight", *FEED_FORWARD)
    shapes = layers(1) | {f"blk.2.{n}": BLOCK[n] for n in fed}
    shapes |= {f"blk.3.attn_{n}.weight": s for n, s in (("norm", (16,)), ("output", (16, 16)))}
    heads = {"attention__head_count": np.array([2, 0, 0, 2])}
    heads |= {"attention__head_count_kv": np.array([2, 0, 0, 0])}
    keys: dict[str, Any] = {**heads, "feed_forward_length": np.array([20, 0, 20, 0])}
    plan = models.read(checkpoint("deci", shapes, 4, **keys))
    assert len(plan.caches) == 1
    assert not [name for name in plan.tensors if name.startswith("blk.1.")]
    assert "blk.2.ffn_norm" in plan.tensors and "blk.2.attn_norm" not in plan.tensors

    seen: list[Array] = []
    names = ("blk.2.ffn_down.add", "outputs")
    executor = ReferenceExecutor(plan, hooks={name: lambda x, _: seen.append(x) for name in names})
    executor.run(executor.new_state(3, "f32"), np.arange(3), 0, "all")
    x = seen[0].astype(np.float64)
    normed = x / np.sqrt(np.mean(x * x, axis=1, keepdims=True) + 1e-5)
    normed = normed * values("blk.3.attn_norm.weight", (N_EMBD,))
    wanted = x + normed @ values("blk.3.attn_output.weight", (N_EMBD, N_EMBD)).T
    assert alike(seen[1], wanted)


def test_a_sparse_model_may_not_be_mostly_empty() -> None:
    keys: dict[str, Any] = {"attention__head_count": np.array([2, 0, 0])}
    keys |= {"feed_forward_length": np.array([20, 0, 0])}
    with pytest.raises(BadFile, match="block_count"):
        models.read(checkpoint("deci", layers(1), 3, **keys))


def hierarchical(n_stack: int, high: int, low: int, block_count: int) -> Checkpoint:
    block = ATTENTION | FEED_FORWARD | {"attn_gate.weight": (N_EMBD, N_EMBD)}
    shapes = layers(2 * n_stack, block) | {"hrm.z_l_init": (N_EMBD,)}
    del shapes["output_norm.weight"]
    keys = {"hrm__layers_per_stack": n_stack, "hrm__h_cycles": high, "hrm__l_cycles": low}
    return checkpoint("hrm_text", shapes, block_count, **keys)


def test_hierarchical_passes_are_counted() -> None:
    plan = models.read(hierarchical(2, 2, 3, 16))
    assert len(plan.caches) == 2 * 2 * (3 + 1)
    names = [cache.name for cache in plan.caches]
    assert names[:2] == ["high.0.low.0.blk.0.kqv_out", "high.0.low.0.blk.1.kqv_out"]
    assert names[-1] == "high.1.blk.1.kqv_out"
    with pytest.raises(BadFile, match="block_count"):
        models.read(hierarchical(2, 2, 3, 4))


# ---- positions


def turned_layers(plan: Plan) -> list[int]:
    return sorted({int(op.out.name.split(".")[1]) for op in of_kind(plan, Rope)})


def test_each_fourth_layer_of_smollm_does_not_turn() -> None:
    assert turned_layers(models.read(checkpoint("smollm3", layers(8), 8))) == [0, 1, 2, 4, 5, 6]


@pytest.mark.parametrize(("n_layer", "turns", "leans"), [(32, True, False), (40, False, True)])
def test_positions_of_baichuan_follow_its_size(n_layer: int, turns: bool, leans: bool) -> None:
    plan = models.read(checkpoint("baichuan", layers(n_layer), n_layer))
    assert bool(of_kind(plan, Rope)) == turns
    slopes = of_kind(plan, Attention)[0].slopes
    assert np.array_equal(slopes, [2.0**-4, 2.0**-8]) if leans else slopes is None


def test_windows_of_the_larger_exaone_alone() -> None:
    block = HEAD_NORMS | ATTENTION | FEED_FORWARD
    block |= {"post_attention_norm.weight": (N_EMBD,), "post_ffw_norm.weight": (N_EMBD,)}
    for n_layer in (30, 64):
        keys = {"attention__sliding_window": 16}
        plan = models.read(checkpoint("exaone4", layers(n_layer, block), n_layer, **keys))
        windows = [cache.window for cache in plan.caches]
        assert windows == ([16, 16, 16, None] * 16 if n_layer == 64 else [None] * 30)
        all_layers = list(range(n_layer))
        near = [i for i in all_layers if (i + 1) % 4]
        assert turned_layers(plan) == (near if n_layer == 64 else all_layers)


def test_windows_of_olmo_are_not_stretched() -> None:
    block = ATTENTION | FEED_FORWARD | {"attn_q_norm.weight": (16,), "attn_k_norm.weight": (16,)}
    block |= {"post_attention_norm.weight": (N_EMBD,), "post_ffw_norm.weight": (N_EMBD,)}
    keys: dict[str, Any] = {"attention__sliding_window": 16, "rope__scaling__type": "yarn"}
    keys |= {"rope__scaling__factor": 8.0, "rope__scaling__original_context_length": 8}
    plan = models.read(checkpoint("olmo2", layers(4, block), 4, **keys))
    near, far = (
        next(op for op in of_kind(plan, Rope) if op.out.name.startswith(f"blk.{i}."))
        for i in (0, 3)
    )
    assert np.array_equal(near.frequencies, 10000.0 ** -(np.arange(4) / 4))
    assert near.magnitude == 1.0 and far.magnitude == pytest.approx(1 + 0.1 * math.log(8))
    assert far.frequencies[-1] == pytest.approx(near.frequencies[-1] / 8)


def test_long_contexts_of_ministral() -> None:
    """YaRN with its logarithm multiplied leaves turned values as they are; queries grow."""
    keys: dict[str, Any] = {"rope__scaling__type": "yarn", "rope__scaling__factor": 16.0}
    keys |= {"rope__scaling__original_context_length": 8, "attention__temperature_scale": 0.1}
    keys |= {"rope__scaling__yarn_log_multiplier": 1.0}
    plan = models.read(checkpoint("mistral3", layers(1), 1, **keys))
    assert {op.magnitude for op in of_kind(plan, Rope)} == {1.0}
    (growth,) = of_kind(plan, PositionScale)
    assert (growth.every, growth.slope, growth.offset) == (8, 0.1, 0)


def test_base_of_hunyuan_for_long_contexts() -> None:
    """The lowest frequency is alpha times lower, the highest the same."""
    keys = {"rope__scaling__alpha": 1000.0}
    block = BLOCK | HEAD_NORMS
    turn = of_kind(models.read(checkpoint("hunyuan-dense", layers(1, block), 1, **keys)), Rope)[0]
    plain = of_kind(models.read(checkpoint("hunyuan-dense", layers(1, block), 1)), Rope)[0]
    ratio = plain.frequencies / turn.frequencies
    assert ratio[0] == 1.0 and ratio[-1] == pytest.approx(1000.0)


# ---- factors, bounds and activations


def test_constant_factors_of_minicpm() -> None:
    """Those that the first models' files lack keys for."""
    plan = models.read(checkpoint("minicpm", layers(4), 4))
    factors = [op.factor for op in of_kind(plan, Scale)]
    assert factors == pytest.approx([12.0] + [1.4 / 2] * 8 + [256 / N_EMBD])


def test_bounds_of_queries_keys_and_values() -> None:
    block = ATTENTION | FEED_FORWARD
    shapes = {n: s for n, s in layers(1, block).items() if n != "output_norm.weight"}
    keys = {"attention__layer_norm_epsilon": 1e-5, "attention__clamp_kqv": 0.5}
    plan = models.read(checkpoint("olmo", shapes, 1, **keys))
    assert [(op.low, op.high) for op in of_kind(plan, Clamp)] == [(-0.5, 0.5)] * 3


def test_a_factor_of_weights_comes_before_the_bias() -> None:
    x, w, bias = values("x", (5, 6)), values("w", (4, 6)), values("b", (4,))
    found = apply(x, lambda t: verbs.linear(t, Matrix("w", tensor("w", w), bias, 0.25), 2))
    assert np.allclose(found.reshape(5, 4), 0.25 * (x @ w.T) + bias, atol=1e-5)


@pytest.mark.parametrize("eps", [-1e-6, 0.0])
def test_xielu_against_its_definition(eps: float) -> None:
    x = np.linspace(-6, 6, 48, dtype=np.float32).reshape(6, 8)
    alpha_n, alpha_p, beta = 0.7, -0.4, 0.5
    a, b = math.log1p(math.exp(alpha_p)), beta + math.log1p(math.exp(alpha_n))
    below = b * (np.expm1(np.minimum(x, eps, dtype=np.float64)) - x) + beta * x
    wanted = np.where(x > 0, a * x.astype(np.float64) ** 2 + beta * x, below)
    found = apply(x, lambda t: xielu(t, alpha_n, alpha_p, beta))
    assert np.allclose(found, wanted, rtol=1e-6, atol=2e-6)


def test_xielu_keys_have_no_architecture_and_are_needed() -> None:
    block = BLOCK | HEAD_NORMS
    del block["ffn_gate.weight"]
    keys = {f"xielu__{n}": 0.5 for n in ("alpha_n", "alpha_p", "beta")} | {"xielu__eps": -1e-6}
    assert models.read(checkpoint("apertus", layers(1, block), 1, **keys)).n_vocab == N_VOCAB
    with pytest.raises(BadFile, match=r'"xielu\.beta"'):
        del keys["xielu__beta"]
        models.read(checkpoint("apertus", layers(1, block), 1, **keys))


@pytest.mark.parametrize("after", [False, True])
def test_norms_of_the_larger_chameleon_come_after(after: bool) -> None:
    norms: Shapes = {"attn_q_norm.weight": (N_HEAD, DIM), "attn_k_norm.weight": (N_HEAD, DIM)}
    plan = models.read(checkpoint("chameleon", layers(1, BLOCK | norms), 1, swin_norm=after))
    names = list(plan.tensors)
    assert (names.index("blk.0.attn_norm") > names.index("blk.0.attn_output")) == after
    assert (names.index("blk.0.ffn_norm") > names.index("blk.0.ffn_down")) == after
    found = logits(plan)
    assert (found[:, 4:] == np.finfo(np.float32).min).all()
    assert (np.abs(found[:, :4]) < 1e3).all()
