"""Models with memories of all tokens: what the stored answers of tiny models can not show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vatra import models
from vatra.engine.reference import ReferenceExecutor
from vatra.errors import BadFile
from vatra.formats import gguf
from vatra.formats.checkpoint import Checkpoint, Metadata
from vatra.models import verbs
from vatra.models.delta_net import GroupedProjection, LinearAttention, unit
from vatra.models.plan import Convolution, DeltaRule, Plan, Tensor
from vatra.models.rope import Rotation, for_text, no_rotation
from vatra.models.weights import Matrix
from vatra.quant import by_name
from vatra.quant.tensor import QTensor

Array = np.ndarray
N, HEADS, DIM = 12, 3, 4  # tokens, heads, values in a head


def matrix(name: str, values: Array) -> Matrix:
    values = np.ascontiguousarray(values, np.float32)
    data = values.reshape(-1, values.shape[-1]).view(np.uint8)
    return Matrix(name, QTensor(name, by_name("f32"), values.shape, data))


def run(inputs: Array, compute: Callable[[Tensor], Tensor], step: int = N) -> Array:
    """What `compute` makes of each row of `inputs`, `step` rows at a time."""
    plan = Plan("test", len(inputs), len(inputs))
    compute(verbs.embed(plan, matrix("inputs", inputs)))
    executor = ReferenceExecutor(plan)
    state, tokens = executor.new_state(len(inputs), "f32"), np.arange(len(inputs), dtype=np.int32)
    pieces = range(0, len(inputs), step)
    return np.concatenate([executor.run(state, tokens[i : i + step], i, "all") for i in pieces])


def normal(*shape: int) -> Array:
    return np.random.default_rng(7).normal(size=shape).astype(np.float32)


def heads(x: Tensor, n: int) -> list[Tensor]:
    """x in n parts of HEADS heads."""
    parts = verbs.split(x, *(HEADS * DIM,) * n)
    return [verbs.reshape(part, HEADS, DIM) for part in parts]


def parts(inputs: Array, n: int) -> list[Array]:
    return [part.reshape(N, HEADS, DIM) for part in np.split(inputs, n, axis=1)]


def summed(inputs: Array, keep: float) -> Array:
    """Linear attention by its definition: the sum over earlier i of keep^(t-i) (q k_i) v_i."""
    q, k, v = parts(inputs, 3)
    t = np.arange(N)
    shares = np.einsum("thd,ihd->hti", q, k) * np.tril(float(keep) ** (t[:, None] - t))
    return np.einsum("hti,ihd->thd", shares, v).reshape(N, -1)


@pytest.mark.parametrize("step", [1, 5, N])
def test_three_ways_to_linear_attention(step: int) -> None:
    inputs, keep = normal(N, 3 * HEADS * DIM), 0.9
    log = float(np.log(keep))

    def scan(x: Tensor) -> Tensor:
        q, k, v = heads(x, 3)
        return verbs.selective_scan(v, None, k, q, np.full((HEADS, 1), log, np.float32), None)

    def memory(x: Tensor) -> Tensor:
        q, k, v = heads(x, 3)
        return verbs.wkv(q, k, v, constant(k, log))

    for compute in (scan, memory):
        assert np.allclose(
            run(inputs, compute, step).reshape(N, -1), summed(inputs, keep), atol=1e-4
        )


def constant(x: Tensor, value: float) -> Tensor:
    """x's shape, `value` everywhere."""
    zeros = np.zeros(x.shape, np.float32)
    return verbs.affine(x, zeros, zeros + np.float32(value))


def test_the_scan_has_a_step_and_a_way_round() -> None:
    inputs = np.abs(normal(N, 3 * HEADS * DIM))
    a, d = -np.abs(normal(HEADS, DIM)), normal(HEADS)

    def compute(x: Tensor) -> Tensor:
        v, b, c = heads(x, 3)
        dt = verbs.reshape(verbs.piece(b, 0, 1), HEADS)
        return verbs.selective_scan(v, dt, b, c, a, d)

    x, b, c = parts(inputs, 3)
    h, wanted = np.zeros((HEADS, DIM, DIM)), []
    for t in range(N):  # h[i, j, k]: head, value of x, value of the state
        dt = b[t, :, 0]
        for i in range(HEADS):
            h[i] = h[i] * np.exp(dt[i] * a[i]) + dt[i] * np.outer(x[t, i], b[t, i])
        wanted.append(np.einsum("ijk,ik->ij", h, c[t]) + d[:, None] * x[t])
    assert np.allclose(run(inputs, compute), np.array(wanted), atol=1e-4)


def test_the_delta_rule_replaces_what_a_key_stood_for() -> None:
    inputs = normal(N, 3 * HEADS * DIM)

    def delta(x: Tensor) -> Tensor:
        _, k, v = heads(x, 3)
        k = unit(k, 0.0)
        beta = verbs.reshape(verbs.piece(constant(v, 1.0), 0, 1), HEADS)
        decay = constant(verbs.piece(v, 0, 1), 0.0)
        return verbs.delta_rule(k, k, v, decay, beta, 1.0)

    assert np.allclose(run(inputs, delta).reshape(N, -1), inputs[:, 2 * HEADS * DIM :], atol=1e-4)


def test_rwkv_corrects_as_the_delta_rule_does() -> None:
    inputs = normal(N, 3 * HEADS * DIM)

    def delta(x: Tensor) -> Tensor:
        q, k, v = heads(x, 3)
        beta = verbs.reshape(verbs.piece(constant(v, 1.0), 0, 1), HEADS)
        return verbs.delta_rule(q, unit(k, 0.0), v, constant(k, 0.0), beta, 1.0)

    def memory(x: Tensor) -> Tensor:
        q, k, v = heads(x, 3)
        k = unit(k, 0.0)
        return verbs.wkv(q, k, v, constant(k, 0.0), verbs.scale(k, -1.0), k)

    assert np.allclose(run(inputs, delta), run(inputs, memory), atol=1e-4)


def test_a_memory_may_be_read_before_it_is_written() -> None:
    inputs = normal(N, 3 * HEADS * DIM)

    def memory(x: Tensor, *, before: bool) -> Tensor:
        q, k, v = heads(x, 3)
        return verbs.wkv(q, k, v, constant(k, -0.1), before=before)

    q, k, v = parts(inputs, 3)
    now = (q * k).sum(-1, keepdims=True) * v
    after = run(inputs, lambda x: memory(x, before=False))
    before = run(inputs, lambda x: memory(x, before=True))
    kept = np.exp(np.float32(-0.1)) * before + now.reshape(before.shape)
    assert np.allclose(after, kept, atol=1e-4)
    assert np.all(before[0] == 0)


def test_decays_of_each_value_of_a_key() -> None:
    inputs = normal(N, 3 * HEADS * DIM)
    rates = -np.abs(normal(HEADS, DIM))

    def delta(x: Tensor) -> Tensor:  # a new key each time meets nothing to correct
        q, k, v = heads(x, 3)
        beta = verbs.reshape(verbs.piece(constant(v, 1.0), 0, 1), HEADS)
        decay = verbs.affine(constant(k, 1.0), rates)
        return verbs.delta_rule(q, k, v, decay, beta, 0.5)

    first = run(inputs[:1], delta)
    q, k, v = (x[0] for x in np.split(inputs.reshape(N, 3, HEADS, DIM), 3, axis=1))
    q, k, v = q[0], k[0], v[0]
    assert np.allclose(first[0], 0.5 * (q * k).sum(-1, keepdims=True) * v, atol=1e-5)
    s = k[..., None] * v[:, None] * np.exp(rates)[..., None]
    q, k, v = (x.reshape(HEADS, DIM) for x in np.split(inputs[1], 3))
    s = s + k[..., None] * (v - np.einsum("hkv,hk->hv", s, k))[:, None]
    second = run(inputs[:2], delta)[1]
    assert np.allclose(second, 0.5 * np.einsum("hkv,hk->hv", s, q), atol=1e-5)


def test_unit_length() -> None:
    x = normal(N, DIM)
    found = run(x, lambda x: unit(x, 1e-6))
    assert np.allclose(found, x / np.sqrt((x * x).sum(-1, keepdims=True) + 1e-6), atol=1e-6)


def test_old_files_of_qwen3_next_have_one_matrix_in_the_order_of_heads() -> None:
    c = LinearAttention(4, d_inner=12, d_state=2, n_value_head=6, n_key_head=2, keys=4, eps=1e-6)
    n_embd, rng = 5, np.random.default_rng(1)
    q, k = rng.normal(size=(2, 2, 2, n_embd))  # n_key_head, d_state
    v, z = rng.normal(size=(2, 2, 6, n_embd))  # n_key_head, the values of its three heads
    ba = matrix("ssm_ba", rng.normal(size=(12, n_embd)))
    flat = [part.reshape(-1, n_embd) for part in (q, k, v, z)]
    new = GroupedProjection(
        matrix("attn_qkv", np.concatenate(flat[:3])), matrix("attn_gate", flat[3]), None, ba
    )
    grouped = np.concatenate([q, k, v, z], axis=1).reshape(-1, n_embd)
    old = GroupedProjection(None, None, matrix("ssm_in", grouped), ba)
    x = normal(N, n_embd)

    def part(project: GroupedProjection, i: int) -> Array:
        return run(x, lambda t: verbs.affine(project(t, c)[i], None))

    for i in range(4):
        assert np.allclose(part(new, i), part(old, i), atol=1e-6)


@pytest.mark.parametrize(
    ("sections", "still"),
    [
        ((), []),
        ((0, 0, 0, 0), []),
        ((11, 11, 10, 0), []),  # Qwen 3.5, Qwen3-VL
        ((4, 6, 6, 0), [12, 15, 28, 31]),  # no row or column is left for the turn of time
        ((4, 4, 4, 4), [12, 13, 14, 15, 28, 29, 30, 31]),
    ],
)
def test_which_pairs_text_turns_by_turns(sections: tuple[int, ...], still: list[int]) -> None:
    turn = for_text(Rotation(np.ones(32), 1.0, False), sections, by_turns=True)
    assert np.flatnonzero(turn.frequencies == 0).tolist() == still


def test_which_pairs_text_turns_in_sections() -> None:
    turn = Rotation(np.ones(8), 1.0, False)
    found = for_text(turn, (2, 3, 2, 1), by_turns=False)
    assert np.flatnonzero(found.frequencies == 0).tolist() == [7]


def test_nothing_is_recorded_where_nothing_turns() -> None:
    plan = Plan("test", 2, 2)
    x = verbs.reshape(verbs.embed(plan, matrix("inputs", normal(2, 8))), 2, 4)
    assert verbs.rope(x, no_rotation(4)) is x


# ---- files


@pytest.fixture
def fixture_file(shared: Path) -> Callable[..., Checkpoint]:
    def read(name: str, **keys: object) -> Checkpoint:
        """The model of that name, with other keys of its architecture; without those of None."""
        file = gguf.read(shared / "golden" / "archs" / f"{name}.gguf")
        prefix = f"{file.architecture}."
        metadata = {**file.metadata, **{prefix + k: v for k, v in keys.items()}}
        kept = Metadata({k: v for k, v in metadata.items() if v is not None})  # type: ignore[misc]
        return Checkpoint(file.path, file.version, kept, dict(file.tensors))

    return read


def test_layers_that_guess_ahead_are_left_out(fixture_file: Callable[..., Checkpoint]) -> None:
    file = fixture_file("qwen35-dense", nextn_predict_layers=1)
    plan = models.read(file)
    assert not any(name.startswith("blk.1.") for name in plan.tensors)
    assert "blk.1.attn_q.weight" in plan.leftovers
    for name in [n for n in file.tensors if n.startswith("blk.1.")]:
        del file.tensors[name]  # nor need the file have them
    assert [op.out.name for op in models.read(file).ops] == [op.out.name for op in plan.ops]
    for wrong in (2, 3, -1):
        with pytest.raises(BadFile, match="block_count"):
            models.read(fixture_file("qwen35-dense", nextn_predict_layers=wrong))


@pytest.mark.parametrize(
    ("keys", "linear"),
    [
        ({"full_attention_interval": 2}, [True, False]),
        ({}, [True, True]),  # every fourth
        ({"full_attention_interval": 1}, [False, False]),
        ({"attention.recurrent_layers": np.array([True, False])}, [True, False]),
        ({"attention.recurrent_layers": np.array([False, True])}, [False, True]),
    ],
)
def test_which_layers_are_linear(
    fixture_file: Callable[..., Checkpoint], keys: dict[str, object], linear: list[bool]
) -> None:
    file = fixture_file("qwen35-dense", **{"attention.recurrent_layers": None, **keys})
    if linear == [True, False]:
        kinds = {op.out.name: type(op) for op in models.read(file).ops}
        assert kinds["blk.0.delta_rule"] is DeltaRule
        assert "blk.1.kqv_out" in kinds
    else:
        wanted = "blk.1.attn_qkv" if linear[0] else "blk.0.attn_qkv"
        with pytest.raises(BadFile, match=wanted):
            models.read(file)


def test_heads_may_be_given_for_all_layers_and_kv_heads_for_some(
    fixture_file: Callable[..., Checkpoint],
) -> None:
    given = models.read(fixture_file("lfm2-dense"))
    n_head = fixture_file("lfm2-dense").metadata["lfm2.attention.head_count"][0]
    plan = models.read(fixture_file("lfm2-dense", **{"attention.head_count": int(n_head)}))
    assert [type(op) for op in plan.ops] == [type(op) for op in given.ops]
    assert len(plan.caches) == len(plan.memories) == 1
    (op,) = (op for op in plan.ops if isinstance(op, Convolution))
    assert op.memory.shape == (2, 256)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("mamba2-dense", "ssm.time_step_rank", 3),
        ("mamba2-dense", "ssm.group_count", 3),
        ("mamba2-dense", "ssm.group_count", 0),
        ("mamba2-dense", "ssm.conv_kernel", 0),
        ("qwen35-dense", "ssm.group_count", 3),
        ("qwen35-dense", "ssm.inner_size", 510),
        ("qwen35-dense", "rope.dimension_sections", np.array([1, 2, 3, 4, 5])),
        ("qwen35-dense", "rope.dimension_sections", np.array([1, -2, 3, 4])),
        ("lfm2-dense", "shortconv.l_cache", 1),
        ("lfm2-dense", "attention.head_count_kv", np.array([3, 0])),
        ("lfm2-dense", "attention.head_count_kv", np.array([2, 0, 2])),
    ],
)
def test_key_lies(
    fixture_file: Callable[..., Checkpoint], name: str, key: str, value: object
) -> None:
    with pytest.raises(BadFile, match=key.split(".")[-1]):
        models.read(fixture_file(name, **{key: value}))


@pytest.mark.parametrize("name", ["lfm2", "mamba2", "qwen35"])
@pytest.mark.parametrize("step", [1, 7, 40])
def test_pieces_of_any_length(shared: Path, name: str, step: int) -> None:
    path = shared / "golden" / "archs" / f"{name}-dense"
    tokens = np.load(f"{path}.npz")["tokens"][:40]
    executor = ReferenceExecutor(models.read(gguf.read(f"{path}.gguf")))
    whole = executor.run(executor.new_state(40, "f32"), tokens, 0, "all")
    state = executor.new_state(40, "f32")
    pieces = [executor.run(state, tokens[i : i + step], i, "all") for i in range(0, 40, step)]
    assert np.abs(np.concatenate(pieces) - whole).max() <= 1e-5 * np.abs(whole).max()
