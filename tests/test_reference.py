"""The reference executor against llama.cpp's stored answers, and against itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vatra import models
from vatra.engine.executor import Executor, State
from vatra.engine.kernels.layout import PAGE
from vatra.engine.reference import VERBS, ReferenceExecutor, rounded
from vatra.errors import OutOfMemory, UsageError
from vatra.formats import gguf
from vatra.models import verbs
from vatra.models.plan import Attention, Op, Plan, Recurrence
from vatra.models.weights import Matrix
from vatra.quant import by_name
from vatra.quant.tensor import QTensor

Array = np.ndarray
ARCHS = ("llama-dense", "llama-moe", "qwen2-dense", "qwen3-dense")


def nmse(a: Array, b: Array) -> float:
    assert a.shape == b.shape and a.dtype == np.float32
    wide = b.astype(np.float64)
    return float(np.sum((a - wide) ** 2) / np.sum(wide**2))


@pytest.fixture(scope="module")
def plan_of(shared: Path) -> Callable[[str], Plan]:
    def read(name: str) -> Plan:
        return models.read(gguf.read(shared / "golden/archs" / f"{name}.gguf"))

    return read


@pytest.fixture(scope="module")
def stories(shared: Path) -> Plan:
    return models.read(gguf.read(shared / "models/stories260K-f32.gguf"))


@pytest.fixture(scope="module")
def story(shared: Path) -> dict[str, Array]:
    return dict(np.load(shared / "golden/stories260K.npz"))


def logits(executor: Executor, tokens: Array, kv: str = "f32") -> Array:
    state = executor.new_state(len(tokens), kv)  # type: ignore[arg-type]
    return executor.run(state, tokens, 0, "all")


@pytest.mark.parametrize("name", ARCHS)
def test_architectures(shared: Path, plan_of: Callable[[str], Plan], name: str) -> None:
    golden = np.load(shared / "golden/archs" / f"{name}.npz")
    plan = plan_of(name)
    # the stored logits are of activations rounded to f16
    assert nmse(logits(ReferenceExecutor(plan), golden["tokens"]), golden["logits"]) <= 1e-5


def test_story_logits(stories: Plan, story: dict[str, Array]) -> None:
    found = logits(ReferenceExecutor(stories), story["tokens"][:-1])
    assert nmse(found, story["logits"]) <= 1e-10


@pytest.mark.parametrize("kv", ["f32", "f16"])
def test_story_tokens(stories: Plan, story: dict[str, Array], kv: str) -> None:
    executor = ReferenceExecutor(stories)
    state = executor.new_state(256, kv)  # type: ignore[arg-type]
    tokens = story["prompt"].tolist()
    row = executor.run(state, story["prompt"], 0)
    for position in range(len(tokens), len(story["tokens"])):
        tokens.append(int(np.argmax(row[0])))
        row = executor.run(state, np.array(tokens[-1:]), position)
    assert tokens == story["tokens"].tolist()


def test_f16_keys_and_values_are_close(stories: Plan, story: dict[str, Array]) -> None:
    executor = ReferenceExecutor(stories)
    full, half = (logits(executor, story["tokens"][:64], kv) for kv in ("f32", "f16"))
    assert 0 < nmse(half, full) < 1e-5


@pytest.mark.parametrize("dim", [5, 32, 80])
def test_bytes_with_shared_scales(dim: int) -> None:
    """As the file format of that name, but for ties, which a cache rounds to even."""
    x = np.random.default_rng(1).standard_normal((3, 7, dim)).astype(np.float32)
    x[0, 0] = 0
    wide = np.pad(x, ((0, 0), (0, 0), (0, -dim % 32)))
    format = by_name("q8_0")
    wanted = format.decode(format.encode(wide))[..., :dim]
    np.testing.assert_array_equal(rounded(x, "q8_0"), wanted)
    tie = np.array([127, 0.5, -1.5, -0.5], np.float32)
    np.testing.assert_array_equal(rounded(tie, "q8_0"), [127, 0, -2, 0])


@pytest.mark.parametrize("name", ["stories", *ARCHS])
@pytest.mark.parametrize("chunk", [1, 7, 16])
def test_prefill_equals_steps(
    stories: Plan, plan_of: Callable[[str], Plan], name: str, chunk: int
) -> None:
    plan = stories if name == "stories" else plan_of(name)
    executor = ReferenceExecutor(plan)
    tokens = np.arange(48, dtype=np.int32) * 31 % plan.n_vocab
    whole = logits(executor, tokens)
    state = executor.new_state(48, "f32")
    rows = [executor.run(state, tokens[i : i + chunk], i, "all") for i in range(0, 48, chunk)]
    np.testing.assert_allclose(np.concatenate(rows), whole, rtol=0, atol=1e-4)
    assert nmse(np.concatenate(rows), whole) < 1e-10


def test_running_again_from_an_earlier_position_truncates(stories: Plan) -> None:
    executor = ReferenceExecutor(stories)
    state = executor.new_state(64)
    executor.run(state, np.arange(40), 0, "none")
    again = executor.run(state, np.arange(100, 110), 5)
    fresh = executor.new_state(64)
    executor.run(fresh, np.arange(5), 0, "none")
    np.testing.assert_allclose(
        again, executor.run(fresh, np.arange(100, 110), 5), rtol=0, atol=1e-4
    )


def test_outputs(stories: Plan) -> None:
    executor = ReferenceExecutor(stories)
    tokens = np.array([1, 403, 407])
    every = executor.run(executor.new_state(8), tokens, 0, "all")
    last = executor.run(executor.new_state(8), tokens, 0)
    none = executor.run(executor.new_state(8), tokens, 0, "none")
    assert every.shape == (3, 512) and last.shape == (1, 512) and none.shape == (0, 512)
    np.testing.assert_allclose(every[-1:], last, rtol=0, atol=1e-5)
    assert executor.run(executor.new_state(8), np.array([]), 0, "all").shape == (0, 512)


@pytest.mark.parametrize("cache", [True, False])
def test_decoding_weights_on_use_changes_nothing(
    plan_of: Callable[[str], Plan], cache: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vatra.engine.reference.SLAB_WEIGHTS", 256 * 100)  # uneven slabs
    tokens = np.arange(16)
    for name in ("llama-dense", "llama-moe"):
        plan = plan_of(name)
        usual = logits(ReferenceExecutor(plan), tokens)
        found = logits(ReferenceExecutor(plan, cache_weights=cache), tokens)
        assert nmse(found, usual) < 1e-11


def test_quantised_weights_equal_their_decoded_values(shared: Path) -> None:
    def plan(kind: str) -> Plan:
        file = gguf.read(shared / "golden/archs/qwen2-dense.gguf")
        for name, old in file.tensors.items():
            if len(old.shape) == 2:
                format_ = by_name("q4_0")
                data = format_.encode(old.decode())
                if kind == "f32":
                    format_, data = by_name("f32"), format_.decode(data).view(np.uint8)
                file.tensors[name] = replace(old, format=format_, data=data)
        return models.read(file)

    a, b = (logits(ReferenceExecutor(plan(k)), np.arange(8)) for k in ("q4_0", "f32"))
    np.testing.assert_array_equal(a, b)


# ---- hooks


def test_hooks_see_every_tensor(plan_of: Callable[[str], Plan]) -> None:
    plan = plan_of("llama-moe")
    seen: dict[str, Array] = {}
    hooks = {name: lambda a, at, name=name: seen.update({name: a}) for name in plan.tensors}
    executor = ReferenceExecutor(plan, hooks=hooks)  # type: ignore[arg-type]
    result = executor.run(executor.new_state(8), np.array([5, 6, 7]), 0, "last")
    assert list(seen) == list(plan.tensors)
    for name, tensor in plan.tensors.items():
        assert seen[name].shape == (1 if tensor.outputs_only else 3, *tensor.shape), name
        assert seen[name].dtype == (np.int32 if tensor.ids else np.float32), name
    np.testing.assert_array_equal(seen["logits"], result)
    shares = seen["blk.1.ffn_gate_inp.shares"]
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
    norm = seen["blk.0.attn_norm"] / plan.ops[1].weight  # type: ignore[attr-defined]
    np.testing.assert_allclose(np.mean(norm**2, axis=-1), 1, rtol=1e-2)


def test_rope_keeps_lengths_and_position_zero(plan_of: Callable[[str], Plan]) -> None:
    seen: dict[str, Array] = {}
    names = ("blk.0.attn_k", "blk.0.attn_k.rope")
    hooks = {name: lambda a, at, name=name: seen.update({name: a}) for name in names}
    executor = ReferenceExecutor(plan_of("qwen2-dense"), hooks=hooks)  # type: ignore[arg-type]
    logits(executor, np.array([9, 9, 9]))
    before, after = (seen[name] for name in names)
    np.testing.assert_array_equal(before[0], after[0])
    lengths = [np.linalg.norm(a, axis=-1) for a in (before, after)]
    np.testing.assert_allclose(lengths[0], lengths[1], rtol=1e-6)
    assert np.abs(before[2] - after[2]).max() > 0.01


def test_a_hook_on_an_unknown_name(stories: Plan) -> None:
    executor = ReferenceExecutor(stories, hooks={"blk.0.atn_q": lambda a, at: None})
    with pytest.raises(UsageError, match=r"blk\.0\.attn_q"):
        logits(executor, np.array([1]))


# ---- operations that the fixtures do not reach


def matrix(name: str, values: Array) -> Matrix:
    rows = np.ascontiguousarray(values, np.float32).reshape(-1, values.shape[-1])
    return Matrix(name, QTensor(name, by_name("f32"), values.shape, rows.view(np.uint8)))


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("cache", [True, False])
def test_mixture_of_experts_against_loops(normalise: bool, cache: bool) -> None:
    rng = np.random.default_rng(7)
    n_vocab, n_embd, n_ff, n_expert, k = 11, 6, 10, 5, 2
    table, router = rng.normal(size=(n_vocab, n_embd)), rng.normal(size=(n_expert, n_embd))
    up, down = (rng.normal(size=(n_expert, *s)) for s in ((n_ff, n_embd), (n_embd, n_ff)))

    plan = Plan("test", n_embd, 8)
    x = verbs.embed(plan, matrix("table", table))
    scores = verbs.linear(x, matrix("router", router))
    e, shares = verbs.top_experts(scores, k, normalise=normalise, scale=2.5)
    h = verbs.expert_linear(x, e, matrix("up", up))
    y = verbs.expert_linear(verbs.glu(h, h), e, matrix("down", down))
    verbs.select_outputs(verbs.weighted_sum(y, shares))
    found = logits(ReferenceExecutor(plan, cache_weights=cache), np.arange(n_embd))

    for token in range(n_embd):
        x_t = table[token]
        p = np.exp(router @ x_t)
        p /= p.sum()
        best = sorted(range(n_expert), key=lambda i: -p[i])[:k]
        total = sum(p[i] for i in best) if normalise else 1.0
        wanted = np.zeros(n_embd)
        for i in best:
            h_i = up[i] @ x_t
            wanted += 2.5 * p[i] / total * (down[i] @ (h_i * h_i / (1 + np.exp(-h_i))))
        np.testing.assert_allclose(found[token], wanted, rtol=2e-5, atol=1e-5)


def test_of_equal_experts_the_lower_number_is_first() -> None:
    plan = Plan("test", 4, 8)
    scores = verbs.embed(plan, matrix("table", np.array([[1, 3, 3, 3], [0, 0, 0, 0]])))
    seen: list[list[list[int]]] = []
    e, shares = verbs.top_experts(scores, 2, normalise=True)
    verbs.select_outputs(shares)
    executor = ReferenceExecutor(plan, hooks={e.name: lambda a, at: seen.append(a.tolist())})
    logits(executor, np.array([0, 1]))
    assert seen == [[[1, 2], [0, 1]]]


def test_wide_attention_against_loops() -> None:
    """Grouped heads, values of another width than keys, and a scale."""
    rng = np.random.default_rng(3)
    n, n_head, n_kv, key_dim, value_dim = 5, 6, 2, 4, 3
    sizes = {"q": (n_head, key_dim), "k": (n_kv, key_dim), "v": (n_kv, value_dim)}
    plan = Plan("test", n, 8)
    made, data = {}, {}
    for name, (heads, dim) in sizes.items():
        data[name] = rng.normal(size=(n, heads, dim))
        x = verbs.embed(plan, matrix(f"{name}_table", np.eye(n)))
        made[name] = verbs.linear(x, matrix(name, data[name].reshape(n, -1).T), dim)
    verbs.select_outputs(verbs.attention(made["q"], made["k"], made["v"], 0.3))
    executor = ReferenceExecutor(plan)
    state = executor.new_state(n, "f32")
    found = np.concatenate([executor.run(state, np.arange(3), 0, "all")])
    found = np.concatenate([found, executor.run(state, np.arange(3, 5), 3, "all")])
    for t in range(n):
        for h in range(n_head):
            g = h // (n_head // n_kv)
            s = np.exp([0.3 * data["q"][t, h] @ data["k"][j, g] for j in range(t + 1)])
            wanted = sum(w * data["v"][j, g] for j, w in enumerate(s / s.sum()))
            np.testing.assert_allclose(found[t, h], wanted, rtol=1e-5, atol=1e-6)


def test_every_operation_has_its_verb() -> None:
    kinds = (kind.__subclasses__() for kind in (Op, Recurrence, Attention))
    plain = {op for ops in kinds for op in ops if op.__module__ == Op.__module__}
    assert set(VERBS) == plain - {Recurrence}  # executors fuse some of their own


# ---- what cannot be run


@pytest.mark.parametrize(
    ("tokens", "position", "outputs", "says"),
    [
        ([512], 0, "all", "0 to 511"),
        ([-1], 0, "all", "0 to 511"),
        ([0.5], 0, "all", "integers"),
        ([[1]], 0, "all", "integers"),
        ([1], 16, "all", "context of 16"),
        ([1] * 17, 0, "none", "context of 16"),
        ([1], -1, "last", "position -1"),
        ([1], 0, "some", "none or hidden"),
    ],
)
def test_bad_calls(
    stories: Plan, tokens: list[int], position: int, outputs: str, says: str
) -> None:
    executor = ReferenceExecutor(stories)
    with pytest.raises(UsageError, match=says):
        executor.run(executor.new_state(16), np.array(tokens), position, outputs)  # type: ignore[arg-type]


def test_states(stories: Plan, plan_of: Callable[[str], Plan]) -> None:
    executor = ReferenceExecutor(stories)
    state = executor.new_state(PAGE)
    needed = State.kv_bytes(stories.caches, "f16", PAGE)
    assert state.nbytes == needed == PAGE * 5 * 2 * 4 * 8 * 2
    assert executor.new_state(PAGE + 1).nbytes == 2 * needed
    with pytest.raises(UsageError, match="at least 1"):
        executor.new_state(0)
    with pytest.raises(UsageError, match="f16 or f32 or q8_0 or q4_0"):
        executor.new_state(4, "q8")  # type: ignore[arg-type]
    with pytest.raises(OutOfMemory, match="MiB"):
        executor.new_state(2**60)
    for other in (plan_of("llama-dense"), stories):
        with pytest.raises(UsageError, match="another executor"):
            ReferenceExecutor(other).run(state, np.array([1]), 0)
