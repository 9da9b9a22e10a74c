"""Architectures: what a plan records, and that a file which lies is refused with the reason."""

from __future__ import annotations

import ast
import math
from array import array
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vatra import models
from vatra.errors import BadFile, UnsupportedFile
from vatra.formats import gguf
from vatra.formats.checkpoint import Checkpoint, Metadata, StringArray
from vatra.models import verbs
from vatra.models.plan import Attention, KVCache, Linear, Plan, Rope
from vatra.models.rope import Rotation, Scaling, long_or_short, rotation
from vatra.models.weights import Matrix, Vector
from vatra.quant import by_name
from vatra.quant.tensor import QTensor

ARCHS = ("llama-dense", "llama-moe", "qwen2-dense", "qwen3-dense")
GONE = object()


@pytest.fixture(scope="session")
def fixture_file(shared: Path) -> Callable[[str], Checkpoint]:
    """An open fixture by name; every call gives a copy that may be edited."""
    opened: dict[str, Checkpoint] = {}

    def copy(name: str) -> Checkpoint:
        if name not in opened:
            folder = "models" if name.startswith("stories") else "golden/archs"
            opened[name] = gguf.read(shared / folder / f"{name}.gguf")
        original = opened[name]
        metadata = Metadata(original.metadata)
        metadata.kinds, metadata.places = original.metadata.kinds, original.metadata.places
        return Checkpoint(original.path, original.version, metadata, dict(original.tensors))

    return copy


def strings(n: int) -> StringArray:
    """`n` empty strings as a file would hold them."""
    return StringArray(bytes(8 * n), array("q", range(8, 8 * n + 9, 8)))


def tensor(name: str, values: np.ndarray, kind: str = "f32") -> QTensor:
    rows = values.reshape(-1, values.shape[-1]).astype(np.float32)
    return QTensor(name, by_name(kind), values.shape, by_name(kind).encode(rows))


# ---- plans


@pytest.mark.parametrize("name", ARCHS)
def test_names_are_unique_and_ops_are_in_order(
    fixture_file: Callable[[str], Checkpoint], name: str
) -> None:
    plan = models.read(fixture_file(name))
    written: set[int] = set()
    for op in plan.ops:
        for key, value in vars(op).items():
            if key not in ("out", "weights") and hasattr(value, "plan"):
                assert id(value) in written, f"{op} reads {value.name} before it is written"
        written.update(id(vars(op)[k]) for k in ("out", "weights") if k in vars(op))
    assert written == {id(t) for t in plan.tensors.values()}
    assert plan.logits.name == "logits" and plan.logits.shape == (plan.n_vocab,)
    assert plan.logits.outputs_only and not plan.tensors["token_embd"].outputs_only
    assert (plan.n_vocab, plan.n_ctx_train, len(plan.caches)) == (128, 256, 2)


def test_names_of_a_dense_block(fixture_file: Callable[[str], Checkpoint]) -> None:
    plan = models.read(fixture_file("stories260K-f32"))
    assert [n.removeprefix("blk.3.") for n in plan.tensors if n.startswith("blk.3.")] == [
        "attn_norm",
        "attn_q",
        "attn_k",
        "attn_v",
        "attn_q.rope",
        "attn_k.rope",
        "kqv_out",
        "attn_output",
        "attn_output.add",
        "ffn_norm",
        "ffn_gate",
        "ffn_up",
        "ffn_gate.glu",
        "ffn_down",
        "ffn_down.add",
    ]
    assert plan.tensors["blk.3.attn_q.rope"].shape == (8, 8)
    assert plan.tensors["blk.3.attn_v"].shape == (4, 8)
    assert plan.tensors["blk.3.ffn_gate.glu"].shape == (172,)


def test_tied_output(fixture_file: Callable[[str], Checkpoint]) -> None:
    plan = models.read(fixture_file("stories260K-f32"))
    last = plan.ops[-1]
    assert isinstance(last, Linear) and last.weight.name == "token_embd.weight"
    assert len({w.name for w in plan.weights()}) == len(plan.weights()) == 1 + 5 * 7


def test_biases_reach_the_plan(fixture_file: Callable[[str], Checkpoint]) -> None:
    def biased(name: str) -> set[str]:
        ops = models.read(fixture_file(name)).ops
        return {
            op.out.name.removeprefix("blk.0.")
            for op in ops
            if isinstance(op, Linear) and op.bias is not None and "blk.1" not in op.out.name
        }

    qkv = {"attn_q", "attn_k", "attn_v"}
    assert biased("llama-dense") == qkv | {"attn_output", "ffn_gate", "ffn_up", "ffn_down"}
    assert biased("qwen2-dense") == qkv | {"logits"}
    assert biased("stories260K-f32") == set()


@pytest.mark.parametrize("name", ARCHS)
def test_rope_style(fixture_file: Callable[[str], Checkpoint], name: str) -> None:
    ropes = [op for op in models.read(fixture_file(name)).ops if isinstance(op, Rope)]
    assert len(ropes) == 4 and {op.interleaved for op in ropes} == {name.startswith("llama")}


def test_harmless_leftovers_are_listed(fixture_file: Callable[[str], Checkpoint]) -> None:
    assert models.read(fixture_file("qwen3-dense")).leftovers == ("cls.output.weight",)
    assert models.read(fixture_file("llama-dense")).leftovers == ()


def test_arrays_of_one_value_for_each_layer(fixture_file: Callable[[str], Checkpoint]) -> None:
    file = fixture_file("llama-dense")
    for key in ("attention.head_count", "attention.head_count_kv", "feed_forward_length"):
        file.metadata[f"llama.{key}"] = np.array([file.metadata[f"llama.{key}"]] * 2)
    assert list(models.read(file).tensors) == list(models.read(fixture_file("llama-dense")).tensors)


def test_kv_heads_default_to_heads(fixture_file: Callable[[str], Checkpoint]) -> None:
    file = fixture_file("llama-dense")
    del file.metadata["llama.attention.head_count_kv"]
    attention = next(op for op in models.read(file).ops if isinstance(op, Attention))
    assert attention.cache.n_head_kv == 2 and attention.scale == pytest.approx(1 / math.sqrt(128))


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3"])
def test_an_architecture_is_a_small_file(name: str) -> None:
    text = (Path(__file__).parent.parent / "models/architectures" / f"{name}.py").read_text(
        encoding="utf-8"
    )
    assert 60 <= text.count("\n") <= 150
    block = next(
        n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef) and n.name == "block"
    )
    assert block.end_lineno is not None and block.end_lineno - block.lineno <= 15


# ---- rotary frequencies


def scaling(**changes: Any) -> Scaling:
    defaults = Scaling(10000.0, 1.0, "linear", 0.0, 4096, 1.0, 32.0, 1.0, 0.0)
    return replace(defaults, **changes)


def test_plain_frequencies() -> None:
    turn = rotation(8, scaling(), interleaved=True)
    assert turn.frequencies.dtype == np.float64
    np.testing.assert_allclose(turn.frequencies, [1, 0.1, 0.01, 0.001], rtol=1e-15)
    assert turn.magnitude == 1.0 and turn.interleaved


@pytest.mark.parametrize(
    ("changes", "divisor"),
    [
        ({"factor": 4.0}, 4.0),
        ({"old_factor": 2.0}, 2.0),
        ({"factor": 4.0, "old_factor": 2.0}, 4.0),
        ({"factor": 4.0, "kind": "none"}, 1.0),
        ({"factor": 4.0, "kind": "longrope"}, 4.0),
    ],
)
def test_linear_scaling(changes: dict[str, Any], divisor: float) -> None:
    turn = rotation(8, scaling(**changes), interleaved=True)
    np.testing.assert_allclose(turn.frequencies * divisor, [1, 0.1, 0.01, 0.001], rtol=1e-15)


def test_factors_divide_the_frequencies() -> None:
    factors = Vector("rope_freqs", np.array([1, 2, 4, 8], np.float32))
    turn = rotation(8, scaling(factor=2.0), interleaved=True, factors=factors)
    np.testing.assert_allclose(turn.frequencies, [0.5, 0.025, 0.00125, 0.0000625], rtol=1e-15)


def test_yarn_against_its_definition() -> None:
    """Pair by pair: wavelengths below n_ctx / beta_fast keep their frequency (arXiv:2309.00071)."""
    n_rot, s, n_ctx = 128, 8.0, 4096
    turn = rotation(n_rot, scaling(kind="yarn", factor=s, attn_factor=1.5), interleaved=False)

    def pair_of(turns: float) -> float:
        return n_rot * math.log(n_ctx / (turns * 2 * math.pi)) / (2 * math.log(10000))

    low, high = math.floor(pair_of(32)), math.ceil(pair_of(1))
    for i, frequency in enumerate(turn.frequencies):
        plain = 10000 ** (-2 * i / n_rot)
        ramp = min(1.0, max(0.0, (i - low) / (high - low)))
        assert frequency == pytest.approx(plain * (1 - ramp) + plain / s * ramp, rel=1e-12)
    assert turn.frequencies[0] == 1.0
    assert turn.frequencies[-1] == pytest.approx(10000 ** (-126 / 128) / s)
    assert turn.magnitude == pytest.approx(1.5 * (1 + 0.1 * math.log(s)))


def test_longrope_factors_follow_the_context(fixture_file: Callable[[str], Checkpoint]) -> None:
    long, short = (Vector(n, np.ones(4, np.float32)) for n in ("long", "short"))
    assert long_or_short(scaling(), 4097, long, short) is long
    assert long_or_short(scaling(), 4096, long, short) is short
    file = fixture_file("llama-dense")
    del file.tensors["rope_freqs.weight"]
    file.metadata["llama.rope.scaling.type"] = "longrope"
    file.metadata["llama.rope.scaling.original_context_length"] = 64
    for name, value in (("short", 1.0), ("long", 4.0)):
        full = f"rope_factors_{name}.weight"
        file.tensors[full] = tensor(full, np.full(64, value))
    for n_ctx, first in ((64, 1.0), (65, 0.25), (None, 0.25)):
        ropes = [op for op in models.read(file, n_ctx).ops if isinstance(op, Rope)]
        assert {op.frequencies[0] for op in ropes} == {first}


# ---- verbs refuse what cannot be computed


def activation(plan: Plan, *shape: int) -> Any:
    return plan.tensor("x", shape)


@pytest.mark.parametrize(
    "use",
    [
        lambda p, m: verbs.linear(activation(p, 5), m),
        lambda p, m: verbs.linear(activation(p, 4), m, 4),
        lambda p, m: verbs.rms_norm(activation(p, 4), Vector("n", np.ones(3, np.float32)), 1e-5),
        lambda p, m: verbs.rope(activation(p, 2, 2), Rotation(np.ones(2), 1.0, True)),
        lambda p, m: verbs.add(activation(p, 4), activation(p, 5)),
        lambda p, m: verbs.glu(activation(p, 4), activation(p, 5)),
        lambda p, m: verbs.attention(
            activation(p, 4, 2), activation(p, 2, 3), activation(p, 2, 2), 1.0
        ),
        lambda p, m: verbs.attention(
            activation(p, 4, 2), activation(p, 3, 2), activation(p, 3, 2), 1.0
        ),
        lambda p, m: verbs.top_experts(activation(p, 4), 5, normalise=True),
        lambda p, m: verbs.top_experts(activation(p, 4), 0, normalise=True),
        lambda p, m: verbs.weighted_sum(activation(p, 4, 2), activation(p, 3)),
    ],
)
def test_verbs_check_shapes(use: Callable[[Plan, Matrix], object]) -> None:
    plan = Plan("test", 8, 8)
    with pytest.raises(ValueError, match=r"\d"):
        use(plan, Matrix("m", tensor("m.weight", np.ones((6, 4)))))
    assert plan.ops == []


def test_verbs_refuse_rows_of_other_tokens() -> None:
    """After select_outputs there may be fewer rows than tokens."""
    plan = Plan("test", 8, 8)
    every = activation(plan, 2, 4)
    some = verbs.select_outputs(every)
    mixtures: list[Callable[[], object]] = [
        lambda: verbs.add(some, every),
        lambda: verbs.glu(every, some),
        lambda: verbs.rope(some, Rotation(np.ones(2), 1.0, True)),
        lambda: verbs.attention(some, some, some, 1.0),
        lambda: verbs.attention(every, every, some, 1.0),
    ]
    for use in mixtures:
        with pytest.raises(ValueError, match="tokens"):
            use()
    assert len(plan.ops) == 1


def test_attention_owns_a_cache() -> None:
    plan = Plan("test", 8, 8)
    with plan.scope("blk.0"):
        q, k = activation(plan, 4, 2), activation(plan, 2, 2)
        out = verbs.attention(q, k, activation(plan, 2, 3), 1.0)
    assert out.name == "blk.0.kqv_out" and out.shape == (4, 3)
    (cache,) = plan.caches
    assert isinstance(cache, KVCache)
    assert (cache.name, cache.n_head_kv, cache.key_dim, cache.value_dim) == (out.name, 2, 2, 3)


# ---- lies: (key without architecture, value, what the message must say)

NAN, INF = math.nan, math.inf
KEY_LIES: list[tuple[str, Any, str]] = [
    ("block_count", 0, "wanted 2"),
    ("block_count", 1, "wanted 2"),
    ("block_count", 3, "wanted 2"),
    ("block_count", -1, "wanted 2"),
    ("block_count", 2**31, "wanted 2"),
    ("block_count", 2**64 - 1, "wanted 2"),
    ("block_count", "2", "wanted an integer"),
    ("block_count", 2.0, "wanted an integer"),
    ("block_count", True, "wanted an integer"),
    ("block_count", np.array([2]), "wanted an integer"),
    ("block_count", GONE, "missing"),
    ("context_length", 0, "from 1 to 2147483647"),
    ("context_length", -1, "from 1 to 2147483647"),
    ("context_length", 2**63, "from 1 to 2147483647"),
    ("context_length", 256.0, "wanted an integer"),
    ("context_length", GONE, "missing"),
    ("embedding_length", 0, "from 1 to"),
    ("embedding_length", 255, "wanted (128, 255)"),
    ("embedding_length", 512, "wanted (128, 512)"),
    ("embedding_length", 2**40, "from 1 to"),
    ("embedding_length", GONE, "missing"),
    ("feed_forward_length", 0, "from 1 to"),
    ("feed_forward_length", 383, "383"),
    ("feed_forward_length", 2**31 - 1, "2147483647"),
    ("feed_forward_length", np.array([384]), "wanted 2, one for each layer"),
    ("feed_forward_length", np.array([384, 0]), "from 1 to"),
    ("feed_forward_length", np.array([384.0, 384.0]), "integers"),
    ("feed_forward_length", GONE, "missing"),
    ("attention.head_count", 0, "from 1 to"),
    ("attention.head_count", -2, "from 1 to"),
    ("attention.head_count", 2**40, "from 1 to"),
    ("attention.head_count", "2", "wanted an integer"),
    ("attention.head_count", np.array([2, 2, 2]), "wanted 2, one for each layer"),
    ("attention.head_count", GONE, "missing"),
    ("attention.head_count_kv", 0, "from 1 to"),
    ("attention.head_count_kv", 3, "wanted a divisor of"),
    ("attention.head_count_kv", 8, "wanted a divisor of"),
    ("attention.head_count_kv", np.array([1, 0]), "from 1 to"),
    ("attention.head_count_kv", False, "wanted an integer"),
    ("attention.key_length", 0, "wanted an even integer"),
    ("attention.key_length", 127, "wanted an even integer"),
    ("attention.key_length", 32, "32"),
    ("attention.value_length", 0, "from 1 to"),
    ("attention.value_length", 127, "wanted ("),
    ("rope.dimension_count", 0, "from 1 to"),
    ("rope.dimension_count", 3, "wanted"),
    ("rope.dimension_count", 2**31, "from 1 to"),
    ("rope.freq_base", 0.0, "from 2 to 1e+30"),
    ("rope.freq_base", NAN, "from 2 to 1e+30"),
    ("rope.freq_base", INF, "from 2 to 1e+30"),
    ("rope.freq_base", -10000.0, "from 2 to 1e+30"),
    ("rope.freq_base", "10000", "wanted a number"),
    ("rope.scaling.type", "su", "none, linear, yarn, longrope"),
    ("rope.scaling.type", 1, "wanted a string"),
    ("rope.scaling.factor", 0.0, "from 1e-30"),
    ("rope.scaling.factor", NAN, "from 1e-30"),
    ("rope.scaling.factor", -4.0, "from 1e-30"),
    ("rope.scaling.attn_factor", INF, "from 1e-30"),
    ("rope.scaling.original_context_length", 0, "from 1 to"),
    ("rope.scaling.yarn_beta_fast", 0.0, "from 1e-30"),
    ("rope.scaling.yarn_beta_slow", 5e-324, "from 1e-30"),
    ("attention.layer_norm_rms_epsilon", 0.0, "to 1"),
    ("attention.layer_norm_rms_epsilon", NAN, "to 1"),
    ("attention.layer_norm_rms_epsilon", INF, "to 1"),
    ("attention.layer_norm_rms_epsilon", -1e-5, "to 1"),
    ("attention.layer_norm_rms_epsilon", 2.0, "to 1"),
    ("attention.layer_norm_rms_epsilon", "small", "wanted a number"),
    ("attention.layer_norm_rms_epsilon", GONE, "missing"),
    ("attention.causal", False, "wanted true"),
    ("attention.causal", 1, "wanted a boolean"),
]


def refused(file: Checkpoint, *parts: str) -> BadFile:
    with pytest.raises(BadFile) as caught:
        models.read(file)
    message = str(caught.value)
    assert caught.value.exit_code == 65 and "\n" not in message
    for part in (str(file.path), *parts):
        assert part in message, message
    return caught.value


@pytest.mark.parametrize("name", ARCHS)
@pytest.mark.parametrize(("key", "value", "wanted"), KEY_LIES)
def test_key_lies(
    fixture_file: Callable[[str], Checkpoint], name: str, key: str, value: Any, wanted: str
) -> None:
    arch = name.split("-")[0]
    file = fixture_file(name)
    if value is GONE:
        del file.metadata[f"{arch}.{key}"]
    else:
        file.metadata[f"{arch}.{key}"] = value
    refused(file, key if key == "feed_forward_length" else f"{arch}.{key}", wanted)


@pytest.mark.parametrize(
    ("name", "changes", "parts"),
    [
        ("llama-moe", {"llama.expert_used_count": 0}, ("llama.expert_used_count", "from 1 to 2")),
        ("llama-moe", {"llama.expert_used_count": 3}, ("llama.expert_used_count", "from 1 to 2")),
        ("llama-moe", {"llama.expert_count": 0}, ("llama.expert_used_count", "from 0 to 0")),
        (
            "llama-moe",
            {"llama.expert_count": 4},
            ("ffn_gate_inp", ".expert_count", "(4, 256)"),
        ),
        ("llama-moe", {"llama.expert_count": -1}, ("llama.expert_count", "from 0 to")),
        ("llama-moe", {"llama.expert_count": 2**31}, ("llama.expert_count", "from 0 to")),
        ("llama-moe", {"llama.expert_count": 2.0}, ("llama.expert_count", "wanted an integer")),
        ("llama-dense", {"llama.expert_count": 2}, ("llama.expert_used_count", "from 1 to 2")),
        (
            "llama-dense",
            {"llama.expert_count": 2, "llama.expert_used_count": 1},
            ("blk.0.ffn_gate_inp.weight", "missing", "(2, 256)"),
        ),
        ("llama-dense", {"tokenizer.ggml.tokens": strings(127)}, ("(127, 256)", "ggml.tokens")),
        ("qwen2-dense", {"tokenizer.ggml.tokens": strings(129)}, ("(129, 256)", "ggml.tokens")),
        ("qwen3-dense", {"tokenizer.ggml.tokens": strings(0)}, ("(0, 256)", "ggml.tokens")),
        ("llama-dense", {"tokenizer.ggml.tokens": 128}, ("ggml.tokens", "array of strings")),
        (
            "llama-dense",
            {"tokenizer.ggml.tokens": GONE, "llama.vocab_size": 500},
            ("(500, 256)", "llama.vocab_size"),
        ),
        (
            "llama-dense",
            {"tokenizer.ggml.tokens": GONE, "llama.vocab_size": 0},
            ("llama.vocab_size", "from 1"),
        ),
        ("stories260K-f32", {"llama.attention.head_count": 7}, ("llama.attention.head_count", "7")),
        (
            "stories260K-f32",
            {"llama.attention.head_count": 12, "llama.attention.head_count_kv": 4},
            ("llama.embedding_length", "a multiple of 12"),
        ),
        (
            "stories260K-f32",
            {"llama.attention.head_count": 64, "llama.attention.head_count_kv": 64},
            ("llama.attention.key_length", "would be 1", "even"),
        ),
        ("llama-dense", {"general.architecture": GONE}, ("general.architecture", "missing")),
        ("llama-dense", {"general.architecture": 7}, ("general.architecture", "a string")),
        ("llama-dense", {"general.architecture": "qwen2"}, ("qwen2.context_length", "missing")),
    ],
)
def test_lies_between_keys(
    fixture_file: Callable[[str], Checkpoint],
    name: str,
    changes: dict[str, Any],
    parts: tuple[str, ...],
) -> None:
    file = fixture_file(name)
    for key, value in changes.items():
        file.metadata[key] = value
        if value is GONE:
            del file.metadata[key]
    refused(file, *parts)


@pytest.mark.parametrize(
    ("name", "near"),
    [("lama", "llama"), ("qwen2mo", "qwen2moe"), ("", "llama"), ("\x1b[2J", "--architectures")],
)
def test_unknown_architectures_are_refused_by_name(
    fixture_file: Callable[[str], Checkpoint], name: str, near: str
) -> None:
    file = fixture_file("llama-dense")
    file.metadata["general.architecture"] = name
    error = refused(file, "general.architecture", near)
    assert isinstance(error, UnsupportedFile) and "\x1b" not in str(error)


TENSORS = (
    "token_embd.weight",
    "output_norm.weight",
    "blk.0.attn_norm.weight",
    "blk.1.attn_q.weight",
    "blk.1.attn_k.weight",
    "blk.0.attn_v.weight",
    "blk.0.attn_output.weight",
    "blk.1.ffn_norm.weight",
)


@pytest.mark.parametrize("name", ARCHS)
@pytest.mark.parametrize("gone", TENSORS)
def test_missing_and_renamed_tensors(
    fixture_file: Callable[[str], Checkpoint], name: str, gone: str
) -> None:
    file = fixture_file(name)
    old = file.tensors.pop(gone)
    refused(file, gone, "missing", f"wanted {old.shape}")
    file.tensors[gone.replace("weight", "wait")] = old
    refused(file, gone, "missing", gone.replace("weight", "wait"))


@pytest.mark.parametrize("name", ARCHS)
@pytest.mark.parametrize("wrong", TENSORS)
def test_wrong_shapes(fixture_file: Callable[[str], Checkpoint], name: str, wrong: str) -> None:
    file = fixture_file(name)
    old = file.tensors[wrong]
    shapes = [(*old.shape[:-1], old.width - 1), (old.n_rows + 1, old.width)]
    if len(old.shape) > 1:  # axes of 1 of a vector do no harm
        shapes.append((1, *old.shape))
    for shape in shapes:
        file.tensors[wrong] = replace(old, shape=shape)
        refused(
            file, wrong, f"at byte {old.offset}", str(shape), f"wanted {old.shape}", f"{name[:5]}"
        )


@pytest.mark.parametrize("name", ARCHS)
@pytest.mark.parametrize(
    "extra",
    [
        "blk.0.attn_q_norm.bias",
        "blk.0.attn_sinks.weight",
        "blk.0.attn_q.input_scale",
        "blk.0.ffn_up_shexp.weight",
        "blk.1.post_attention_norm.weight",
        "token_embd_norm.weight",
        "output_norm.bias",
        "position_embd.weight",
        "mm.0.weight",
    ],
)
def test_extra_tensors_are_refused_by_name(
    fixture_file: Callable[[str], Checkpoint], name: str, extra: str
) -> None:
    file = fixture_file(name)
    file.tensors[extra] = tensor(extra, np.ones(256))
    assert isinstance(refused(file, extra, name.split("-")[0]), UnsupportedFile)


def test_extra_arrays_are_refused_too(fixture_file: Callable[[str], Checkpoint]) -> None:
    file = fixture_file("llama-dense")
    file.arrays["blk.0.ids"] = np.arange(3)
    refused(file, "blk.0.ids")


@pytest.mark.parametrize("name", ARCHS)
def test_wrong_types(fixture_file: Callable[[str], Checkpoint], name: str) -> None:
    file = fixture_file(name)
    wrong = "blk.0.attn_norm.weight"
    old = file.tensors[wrong]
    file.tensors[wrong] = tensor(wrong, old.decode(), "q8_0")
    refused(file, wrong, "q8_0", "wanted one of f32, f16, bf16")
    del file.tensors[wrong]
    file.arrays[wrong] = np.ones(256, np.int32)
    refused(file, wrong, "int32", "wanted weights")


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize(
    "wrong", ["output_norm.weight", "blk.1.ffn_norm.weight", "blk.0.attn_k.bias"]
)
def test_values_that_are_not_finite(
    fixture_file: Callable[[str], Checkpoint], wrong: str, value: float
) -> None:
    file = fixture_file("llama-dense")
    values = file.tensors[wrong].decode()
    values[17] = value
    file.tensors[wrong] = replace(tensor(wrong, values), offset=4096)
    refused(file, wrong, "value 17", f"at byte {4096 + 4 * 17}", "wanted a finite number")


@pytest.mark.parametrize("value", [0.0, -1.0, NAN])
def test_rope_factors_must_be_positive(
    fixture_file: Callable[[str], Checkpoint], value: float
) -> None:
    file = fixture_file("llama-dense")
    values = np.ones(64)
    values[3] = value
    file.tensors["rope_freqs.weight"] = tensor("rope_freqs.weight", values)
    refused(file, "rope_freqs.weight", "value 3", "a finite number above 0")


def test_what_is_registered_comes_before_ours(spark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_registered", {})
    ours = models.read(gguf.read(spark))
    asked: list[int | None] = []

    def build(checkpoint: Checkpoint, n_ctx: int | None) -> Plan:
        asked.append(n_ctx)
        return replace(ours, architecture="theirs")

    models.register("llama", build)
    assert models.read(gguf.read(spark), 100).architecture == "theirs" and asked == [100]
    assert models.known().count("llama") == 1


def test_near_names_of_architectures_are_offered(spark: Path) -> None:
    with gguf.read(spark) as file:
        for name, offered in (
            ("mellum2", "nearest known: mellum"),
            ("zzz", "'zzz' is not supported; `"),
        ):
            file.metadata["general.architecture"] = name
            with pytest.raises(UnsupportedFile, match=offered) as caught:
                models.read(file)
        assert "nearest" not in str(caught.value)
