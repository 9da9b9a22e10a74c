"""Patched models beside files that have what the patch says, and what sessions make of patches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vatra
from vatra.engine.model import Model
from vatra.errors import BadFile, UsageError
from vatra.formats import gguf, gguf_writing
from vatra.quant import by_name
from vatra.quant.tensor import QTensor

Array = np.ndarray
GREEDY = vatra.Sampling(temperature=0)
PROMPT, OTHER = "Once upon a time there was a little fox who", "One day Tom found a red ball and"


@pytest.fixture(scope="module")
def model(spark: Path) -> Iterator[Model]:
    with vatra.load(spark, threads=2) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def ids(model: Model) -> list[int]:
    return model.tokenizer.encode(PROMPT)


@pytest.fixture(scope="module")
def plain(model: Model, ids: list[int]) -> Array:
    return model.logits(ids).copy()


@pytest.fixture
def file_with(spark: Path, tmp_path: Path) -> Callable[..., Path]:
    """A file like the toy's, but for some tensors."""

    def write(tensors: dict[str, Any], name: str = "other.gguf", source: Path = spark) -> Path:
        with gguf.read(source) as old:
            gguf_writing.write(tmp_path / name, old.metadata, old.tensors | tensors)
        return tmp_path / name

    return write


def logits(path: Path, ids: list[int], **options: Any) -> Array:
    with vatra.load(path, threads=2, **options) as model:
        return model.logits(ids).copy()


def distance(found: Array, wanted: Array) -> float:
    return float(((found - wanted) ** 2).sum() / (wanted**2).sum())


def nothing(x: Array, at: Array) -> Array:
    return x * 0


def written(session: vatra.Session, n: int = 8) -> list[int]:
    return [step.token for step in session.generate(GREEDY, n)]


# ---- activations


def test_no_feed_forward_network_is_one_of_zeros(
    model: Model, ids: list[int], plain: Array, file_with: Callable[..., Path]
) -> None:
    shape = model.checkpoint.tensors["blk.2.ffn_down.weight"].shape
    path = file_with({"blk.2.ffn_down.weight": np.zeros(shape, np.float32)})
    with model.patch({"blk.2.ffn_out": nothing}):
        found = model.logits(ids)
    np.testing.assert_array_equal(found, logits(path, ids))
    assert np.abs(found - plain).max() > 1
    np.testing.assert_array_equal(model.logits(ids), plain)


@pytest.mark.parametrize("name", ["mamba2-dense", "qwen3moe-moe", "deepseek2-moe"])
def test_both_executors_agree(name: str, shared: Path) -> None:
    path = shared / "golden" / "archs" / f"{name}.gguf"
    tokens = np.load(path.with_suffix(".npz"))["tokens"].tolist()
    found = []
    for backend in ("reference", "cpu"):
        with vatra.load(path, backend, ctx=64) as model:
            inner = next(n for n in model.activations if n.endswith((".reshape", ".attn_q")))
            changes = {
                "blk.0.l_out": lambda x, at: x * (1 + at[:, None] % 2),
                inner: lambda x, at: np.cos(x),
            }
            plain = model.logits(tokens).copy()
            with model.patch(changes):
                found.append(model.logits(tokens))
            assert distance(plain, found[-1]) > 0.05
    assert distance(found[1], found[0]) < 1e-3


def test_in_place_or_another_array(model: Model, ids: list[int], plain: Array) -> None:
    given: list[Array] = []

    def in_place(x: Array, at: Array) -> None:
        assert x.shape == (len(at), 4, 64) and x.dtype == np.float32
        given.append(x)
        x[:, 1] = 0

    def another(x: Array, at: Array) -> Array:
        made = x.astype(np.float64)
        made[:, 1] = 0
        return made

    found = []
    for change in (in_place, another):
        with model.patch({"blk.4.kqv_out": change}), model.capture("blk.4.kqv_out") as seen:
            found.append(model.logits(ids))
        assert not seen["blk.4.kqv_out"][:, 1].any() and seen["blk.4.kqv_out"][:, 0].any()
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != plain).any()
    given[0][...] = np.nan  # what was given is a copy, and nobody's memory
    np.testing.assert_array_equal(model.logits(ids), plain)


def test_the_last_layer_of_another_prompt_gives_its_logits(model: Model, ids: list[int]) -> None:
    other = model.tokenizer.encode(OTHER)
    n = min(len(ids), len(other))
    with model.capture("blk.7.l_out") as seen:
        wanted = model.logits(other[:n])
    with model.patch({"blk.7.l_out": lambda x, at: seen["blk.7.l_out"][at]}):
        found = model.logits(ids[:n])
    np.testing.assert_array_equal(found, wanted)


def test_some_positions_alone(model: Model, ids: list[int], plain: Array) -> None:
    """What comes after may see a change, what comes before never."""
    with model.patch({"blk.0.l_out": lambda x, at: x * np.where(at == 5, 0, 1)[:, None]}):
        found = model.logits(ids)
    np.testing.assert_array_equal(found[:5], plain[:5])
    assert (np.abs(found[5:] - plain[5:]).max(axis=1) > 1e-3).all()


def test_patterns_and_nested_blocks(model: Model, ids: list[int], plain: Array) -> None:
    order: list[str] = []

    def note(name: str) -> Callable[[Array, Array], None]:
        return lambda x, at: order.append(name)

    with model.patch({"blk.*.ffn_out": note("outer")}):
        with model.patch({"blk.3.ffn_down": note("inner"), "logits": lambda x, at: x + 1}):
            np.testing.assert_array_equal(model.logits(ids), plain + 1)
        assert order == ["outer"] * 4 + ["inner"] + ["outer"] * 4
        np.testing.assert_array_equal(model.logits(ids), plain)
    assert len(order) == 17
    np.testing.assert_array_equal(model.logits(ids), plain)


def test_a_token_s_experts(shared: Path) -> None:
    folder = shared / "golden" / "archs"
    tokens = np.load(folder / "llama-moe.npz")["tokens"].tolist()
    for backend in ("cpu", "reference"):
        with vatra.load(folder / "llama-moe.gguf", backend, ctx=64) as model:
            name, plain = "blk.1.ffn_gate_inp.experts", model.logits(tokens).copy()
            with model.patch({name: lambda x, at: 1 - x}):
                assert (model.logits(tokens) != plain).any()
            for wrong in (2, -1, 0.5):
                with (
                    pytest.raises(UsageError, match="experts are integers from 0 to 1"),
                    model.patch({name: lambda x, at, wrong=wrong: np.full(x.shape, wrong)}),
                ):
                    model.logits(tokens)
            np.testing.assert_array_equal(model.logits(tokens), plain)


def test_vectors_of_texts(model: Model) -> None:
    plain = model.embed(PROMPT)
    with model.patch({"blk.7.ffn_out": nothing}):
        assert (model.embed(PROMPT) != plain).any()
    np.testing.assert_array_equal(model.embed(PROMPT), plain)


# ---- weights


def test_floats_are_a_file_of_them(
    model: Model, ids: list[int], plain: Array, file_with: Callable[..., Path]
) -> None:
    rng = np.random.default_rng(1)
    names = {"blk.3.attn_q.weight": 0.05, "blk.1.ffn_norm.weight": 1.0, "token_embd.weight": 0.2}
    tensors = model.checkpoint.tensors
    new = {n: rng.normal(size=tensors[n].shape).astype(np.float32) * s for n, s in names.items()}
    new = {name: values.astype(np.float32) for name, values in new.items()}
    path = file_with(new)
    with model.patch(new):
        found = model.logits(ids)
        for values in new.values():
            values[...] = -values  # what was given may change afterwards
        with model.capture("blk.3.attn_q") as seen:
            np.testing.assert_array_equal(model.logits(ids), found)
    np.testing.assert_array_equal(found, logits(path, ids))
    assert np.abs(found - plain).max() > 1 and seen["blk.3.attn_q"].any()
    np.testing.assert_array_equal(model.logits(ids), plain)


def test_other_blocks_of_bytes_are_a_file_of_them(
    model: Model, ids: list[int], file_with: Callable[..., Path]
) -> None:
    old = model.checkpoint.tensors["blk.0.ffn_up.weight"]
    form = by_name("q4_0")
    other = QTensor("any", form, old.shape, form.encode(old.decode().reshape(old.n_rows, -1)))
    with model.patch({"blk.0.ffn_up.weight": other}):
        found = model.logits(ids)
    np.testing.assert_array_equal(found, logits(file_with({"blk.0.ffn_up.weight": other}), ids))

    swapped = {"blk.3.attn_q.weight": model.checkpoint.tensors["blk.4.attn_q.weight"]}
    with model.patch(swapped):
        found = model.logits(ids)
    np.testing.assert_array_equal(found, logits(file_with(swapped, "swapped.gguf"), ids))


def test_a_function_of_a_weight(model: Model, ids: list[int], plain: Array) -> None:
    name = "blk.5.ffn_gate.weight"
    shape = model.checkpoint.tensors[name].shape

    def no_rows(w: Array) -> None:
        assert w.shape == shape and w.dtype == np.float32
        w[3:5] = 0

    with model.patch({name: no_rows}), model.capture("blk.5.ffn_gate") as seen:
        model.logits(ids)
    assert not seen["blk.5.ffn_gate"][:, 3:5].any() and seen["blk.5.ffn_gate"][:, 5].all()
    with model.patch({name: lambda w: w + 1}), model.patch({name: lambda w: w - w}):
        with model.capture("blk.5.ffn_gate") as seen:
            model.logits(ids)
        assert not seen["blk.5.ffn_gate"].any()
    np.testing.assert_array_equal(model.logits(ids), plain)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_pair_is_added(spark: Path, ids: list[int], backend: str) -> None:
    """Where the weights are multiplied alone, and where they are looked up or a norm's."""
    rng = np.random.default_rng(2)
    ids = ids[:4]
    with vatra.load(spark, backend, threads=2) as model:
        plain = model.logits(ids).copy()
        for name in ("blk.7.ffn_down.weight", "token_embd.weight"):
            n_out, n_in = model.checkpoint.tensors[name].shape
            b, a = rng.normal(size=(n_out, 3)) * 0.4, rng.normal(size=(3, n_in)) * 0.4
            with model.patch({name: lambda w, b=b, a=a: w + b @ a}):
                wanted = model.logits(ids).copy()
            with model.patch({name: (b, a)}):
                found = model.logits(ids).copy()
            with model.patch({name: (b[:, :1], a[:1])}), model.patch({name: (b[:, 1:], a[1:])}):
                halves = model.logits(ids).copy()
            with model.patch({name: (b, a)}), model.patch({name: lambda w: w.copy()}):
                floats = model.logits(ids).copy()
            assert distance(plain, wanted) > 0.2
            for made in (found, halves, floats):  # kernels round what they multiply to 8 bits
                assert distance(made, wanted) < (1e-3 if backend == "cpu" else 1e-9)
        np.testing.assert_array_equal(model.logits(ids), plain)


def test_a_pair_for_the_weights_before_the_logits(shared: Path) -> None:
    """`Plan.hidden` is what they read."""
    folder = shared / "golden" / "archs"
    tokens = np.load(folder / "llama-dense.npz")["tokens"].tolist()
    with vatra.load(folder / "llama-dense.gguf", threads=2, ctx=64) as model:
        n_out, n_in = model.checkpoint.tensors["output.weight"].shape
        b, a = np.eye(n_out, 5), np.ones((5, n_in)) / n_in
        state = model.executor.new_state(64, "f32")
        hidden = np.array(model.run(state, np.array(tokens), 0, "hidden"))
        plain = model.logits(tokens).copy()
        with model.patch({"output.weight": (b, a)}):
            found = model.logits(tokens)
            again = model.run(model.executor.new_state(64, "f32"), np.array(tokens), 0, "hidden")
            np.testing.assert_array_equal(again, hidden)
        wanted = plain.copy()
        wanted[:, :5] += hidden.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(found, wanted, atol=1e-3)
        assert (np.abs(found - plain)[:, :5] > 4e-3).mean() > 0.8


@pytest.mark.parametrize("name", ["blk.0.attn_qkv.weight", "blk.1.ffn_down_exps.weight"])
def test_weights_that_a_plan_takes_apart_or_by_experts(
    name: str, shared: Path, file_with: Callable[..., Path]
) -> None:
    architecture = "falcon-dense" if "qkv" in name else "llama-moe"
    source = shared / "golden" / "archs" / f"{architecture}.gguf"
    tokens = np.load(source.with_suffix(".npz"))["tokens"].tolist()
    with vatra.load(source, threads=2, ctx=64) as model:
        old = model.checkpoint.tensors[name].decode()
        rng = np.random.default_rng(3)
        b = rng.normal(size=(*old.shape[:-1], 2)).astype(np.float32) * np.float32(0.1)
        a = rng.normal(size=(*old.shape[:-2], 2, old.shape[-1])).astype(np.float32)
        with model.patch({name: (b, a)}):
            found = model.logits(tokens).copy()
        with model.patch({name: old + b @ a}):
            np.testing.assert_array_equal(model.logits(tokens), found)
    path = file_with({name: old + b @ a}, source=source)
    np.testing.assert_array_equal(logits(path, tokens, ctx=64), found)


# ---- sessions


@pytest.mark.parametrize("kind", ["activation", "weight"])
def test_a_session_before_within_and_after(model: Model, ids: list[int], kind: str) -> None:
    change: dict[str, Any] = {"blk.2.ffn_out": nothing}
    if kind == "weight":
        change = {"blk.2.ffn_down.weight": lambda w: w * 0}

    def fresh() -> list[int]:
        session = model.session()
        session.sync(ids)
        return written(session)

    outside, session = fresh(), model.session()
    with model.patch(change):
        inside = fresh()
        assert inside != outside
    session.sync(ids)
    with model.patch(change):
        assert not session.is_evaluated
        assert written(session) == inside  # its own logits are those of another model
        assert session.sync(ids).reused_tokens >= len(ids) - 1  # of this block
        with model.capture("blk.0.l_out"):
            assert session.sync(ids).reused_tokens == len(ids)
        kept = session.snapshot()
    assert session.sync(ids).reused_tokens == 0
    assert written(session) == outside
    session.restore(kept)
    assert written(session) == outside
    with model.patch(change):
        session.restore(kept)
        assert written(session) == inside


@pytest.mark.parametrize("name", ["mamba2-dense", "gpt-oss-moe"])
def test_memories_and_windows(name: str, shared: Path) -> None:
    path = shared / "golden" / "archs" / f"{name}.gguf"
    tokens = np.load(path.with_suffix(".npz"))["tokens"].tolist()
    with vatra.load(path, threads=2, ctx=64) as model:
        session = model.session()
        session.sync(tokens)
        plain = session.logits.copy()
        with model.patch({"blk.0.l_out": lambda x, at: -x}):
            wanted = model.logits(tokens)[-1].copy()
            np.testing.assert_allclose(session.logits, wanted, rtol=1e-2, atol=1e-2)
            session.sync([*tokens, 3])
        session.sync(tokens)
        np.testing.assert_array_equal(session.logits, plain)


def test_in_the_middle_of_an_answer(model: Model, ids: list[int]) -> None:
    """What is written from there on is as if all before had been read so."""
    session = model.session()
    session.sync(ids)
    steps = session.generate(GREEDY, 12)
    begin = [next(steps).token for _ in range(4)]
    with model.patch({"blk.2.ffn_out": nothing}):
        found = [next(steps).token for _ in range(4)]
        fresh = model.session()
        fresh.sync([*ids, *begin])
        assert written(fresh, 4) == found
    end = [next(steps).token for _ in range(4)]
    fresh = model.session()
    fresh.sync([*ids, *begin, *found])
    assert written(fresh, 4) == end


def test_proposals_of_another_model_are_not_taken(model: Model) -> None:
    ids = model.tokenizer.encode("The cat sat on the mat. The cat sat on the mat. The cat sat")
    session = model.session()
    session.sync(ids)
    steps = session.generate(GREEDY, 16, speculate="lookup")
    begin = [next(steps).token for _ in range(5)]
    with model.patch({"blk.2.ffn_out": nothing}):
        found = [next(steps).token for _ in range(5)]
        fresh = model.session()
        fresh.sync([*ids, *begin])
        assert written(fresh, 5) == found


def test_a_function_that_fails(model: Model, ids: list[int], plain: Array) -> None:
    session, calls = model.session(), list[int]()
    session.sync(ids)
    want = written(session, 4)
    session.sync(ids)

    def fails(x: Array, at: Array) -> None:
        calls.append(len(at))
        if at[-1] >= len(ids):
            raise ZeroDivisionError

    with model.patch({"blk.4.l_out": fails}):
        steps = session.generate(GREEDY, 4)
        assert next(steps).token == want[0]
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                next(session.generate(GREEDY, 4))
        assert session.timeline == (*ids, want[0])
        np.testing.assert_array_equal(model.logits(ids), plain)
    assert written(session, 3) == want[1:]
    np.testing.assert_array_equal(model.logits(ids), plain)


def test_interrupted_while_it_reads_again(
    model: Model, ids: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a text that was read again half-way, the other half is of another model."""
    text, left = (ids * 60)[:600], [1]

    def once(x: Array, at: Array) -> Array:
        if left and at[-1] >= 256:
            raise ZeroDivisionError(left.pop())
        return -x

    def fresh() -> Array:
        session = model.session(ctx=1024)
        session.sync(text[:-1])
        session.sync(text)
        return session.logits

    session, outside = model.session(ctx=1024), fresh()
    session.sync(text)
    with model.patch({"blk.0.l_out": once}):
        with pytest.raises(ZeroDivisionError):
            session.logits  # noqa: B018
        assert session.timeline == tuple(text)
        np.testing.assert_array_equal(session.logits, fresh())
    run = model.run

    def interrupted(state: Any, tokens: Array, position: int, outputs: Any) -> Array:
        if position >= 256:
            raise KeyboardInterrupt
        return run(state, tokens, position, outputs)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(model, "run", interrupted)
        session.logits  # noqa: B018
    with pytest.raises(UsageError, match="read under patches"):
        session.save(tmp_path / "kept")
    np.testing.assert_array_equal(session.logits, outside)
    session.save(tmp_path / "kept")


def test_a_file_is_of_no_patch(model: Model, ids: list[int], tmp_path: Path) -> None:
    session, path = model.session(), tmp_path / "kept"
    session.sync(ids)
    with model.patch({"blk.2.ffn_out": nothing}):
        session.save(path)  # it has not read anything here
        session.sync(ids)
        with pytest.raises(UsageError, match="read under patches"):
            session.save(path)
        assert session.load(path) == {}
        inside = written(session, 4)
    with pytest.raises(UsageError, match="read under patches"):
        session.save(path)
    session.load(path)
    outside = written(session, 4)
    fresh = model.session()
    fresh.sync(ids)
    assert written(fresh, 4) == outside != inside


def test_a_state_of_other_patches_is_refused(model: Model, ids: list[int]) -> None:
    state = model.executor.new_state(32)
    model.run(state, np.array(ids), 0)
    with (
        model.patch({"blk.2.ffn_out": nothing}),
        pytest.raises(UsageError, match="read under other patches"),
    ):
        model.run(state, np.array([5]), len(ids))
    model.run(state, np.array([5]), len(ids))


def test_two_threads_each_with_a_session(model: Model, ids: list[int]) -> None:
    with model.patch({"blk.2.ffn_out": nothing}):
        alone, found = model.session(), dict[int, list[int]]()
        alone.sync(ids)
        wanted = written(alone)

        def work(i: int) -> None:
            session = model.session()
            session.sync(ids)
            found[i] = written(session)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {0: wanted, 1: wanted}


# ---- what is refused


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({}, "no changes"),
        ({"blk.2.fn_out": nothing}, r"no tensor is named 'blk\.2\.fn_out'; nearest: blk\.\d\.ffn"),
        ({"blk.2.attn_qq.weight": nothing}, r"nearest: .*blk\.2\.attn_q\.weight"),
        ({5: nothing}, "got 5, wanted a name"),
        ({"blk.2.ffn_out": np.zeros(3)}, "got ndarray, wanted a function of values and positions"),
        ({"blk.2.ffn_down.weight": np.zeros((3, 4))}, r"got float64 of shape \(3, 4\), wanted"),
        ({"blk.2.ffn_norm.weight": np.full(256, np.nan)}, "must be finite"),
        ({"blk.2.ffn_norm.weight": np.full(256, 1e300)}, "must be finite"),
        ({"blk.2.ffn_norm.weight": ["a"] * 256}, "got <U1 of shape"),
        ({"blk.2.ffn_norm.weight": lambda w: w[:3]}, r"got float32 of shape \(3,\), wanted"),
        ({"blk.2.attn_q.weight": (np.ones((256, 2)),)}, "got 1 of a tuple"),
        ({"blk.2.attn_q.weight": (np.ones((256, 2)), np.ones((3, 256)))}, r"wanted floats of \(2"),
        ({"blk.2.attn_q.weight": (np.ones((256, 0)), np.ones((0, 256)))}, "rank 0"),
        ({"blk.2.ffn_norm.weight": (np.ones((256, 1)), np.ones(1))}, "two arrays whose product"),
    ],
)
def test_changes_that_are_none(model: Model, changes: dict[Any, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what), model.patch(changes):
        pass


def test_blocks_of_bytes_that_do_not_fit(model: Model, ids: list[int], plain: Array) -> None:
    old = model.checkpoint.tensors["blk.0.attn_q.weight"]
    cut = QTensor("cut", old.format, old.shape, old.data[:-1])
    less = QTensor("less", old.format, (255, 256), old.data[:-1])
    for wrong in (cut, less):
        with (
            pytest.raises(UsageError, match="in whole blocks of bytes"),
            model.patch({"blk.0.attn_q.weight": wrong}),
        ):
            pass
    np.testing.assert_array_equal(model.logits(ids), plain)


@pytest.mark.parametrize("made", [lambda x: x[:-1], lambda x: "text", lambda x: x > 0])
def test_values_that_do_not_fit(model: Model, ids: list[int], made: Callable[..., Any]) -> None:
    with (
        pytest.raises(UsageError, match=r"patch of blk\.1\.l_out: its function gave"),
        model.patch({"blk.1.l_out": lambda x, at: made(x)}),
    ):
        model.logits(ids)


def test_values_that_are_not_finite(model: Model, ids: list[int]) -> None:
    with (
        pytest.raises(UsageError, match="a patch may have made them so"),
        model.patch({"blk.1.l_out": lambda x, at: x * np.nan}),
    ):
        model.logits(ids)


def test_a_function_that_uses_its_model(model: Model, ids: list[int], plain: Array) -> None:
    def uses(x: Array, at: Array) -> None:
        model.logits(ids)

    def nests(x: Array, at: Array) -> None:
        with model.capture("output"):
            pass

    for change in (uses, nests):
        with (
            pytest.raises(UsageError, match="can not use the model that calls it"),
            model.patch({"blk.1.l_out": change}),
        ):
            model.logits(ids)
    np.testing.assert_array_equal(model.logits(ids), plain)


def test_rope_factors_that_cannot_be(shared: Path) -> None:
    """A patched tensor is checked as that of a file is, and the model stays what it was."""
    folder = shared / "golden" / "archs"
    with vatra.load(folder / "llama-dense.gguf", threads=2, ctx=64) as model:
        plain = model.logits([1, 2, 3]).copy()
        name = "rope_freqs.weight"
        with pytest.raises(BadFile, match=name), model.patch({name: lambda w: -w}):
            pass
        with model.patch({name: lambda w: w * 3}):
            assert (model.logits([1, 2, 3])[2] != plain[2]).any()
        np.testing.assert_array_equal(model.logits([1, 2, 3]), plain)
