"""Captured activations are what the reference computes, and looking at them changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import vatra
from vatra.engine.model import Model
from vatra.engine.reference import ReferenceExecutor
from vatra.errors import UsageError

Array = np.ndarray
PROMPT = "Once upon a time there was a little fox who"
# parallel branches, latent attention, recurrences, experts
ARCHITECTURES = ("command-r-dense", "deepseek2-moe", "mamba2-dense", "qwen35-dense", "qwen3moe-moe")


@pytest.fixture(scope="module")
def model(spark: Path) -> Iterator[Model]:
    with vatra.load(spark, threads=2) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def ids(model: Model) -> list[int]:
    return model.tokenizer.encode(PROMPT)


def distance(found: Array, wanted: Array) -> float:
    wide = wanted.astype(np.float64)
    return float(((found - wide) ** 2).sum() / max((wide**2).sum(), 1e-30))


def reference(model: Model, ids: list[int]) -> dict[str, Array]:
    """All tensors of the plan as the reference executor shows them to hooks of its own."""
    seen: dict[str, Array] = {}
    hooks = {n: lambda x, _, n=n: seen.update({n: x.copy()}) for n in model.plan.tensors}
    executor = ReferenceExecutor(model.plan, hooks=hooks)  # type: ignore[arg-type]
    executor.run(executor.new_state(len(ids), "f32"), np.array(ids, np.int32), 0, "all")
    return {name: seen[tensor.name] for name, tensor in model.plan.activations.items()}


def test_all_activations_of_the_toy(model: Model, ids: list[int]) -> None:
    before = model.logits(ids)
    with model.capture("*") as seen:
        during = model.logits(ids)
    np.testing.assert_array_equal(during, before)
    np.testing.assert_array_equal(model.logits(ids), before)
    wanted = reference(model, ids)
    assert list(seen) == list(model.activations) == list(wanted)
    for name, shape in model.activations.items():
        assert seen[name].shape == (len(ids), *shape) and seen[name].dtype == np.float32
        np.testing.assert_array_equal(seen.positions(name), np.arange(len(ids)))
        assert distance(seen[name], wanted[name]) < 2e-3, name
    np.testing.assert_array_equal(seen["output"], before)
    np.testing.assert_array_equal(seen["blk.7.l_out"], seen["blk.7.ffn_down.add"])
    stream = seen["blk.6.l_out"] + seen["blk.7.attn_output"] + seen["blk.7.ffn_out"]
    np.testing.assert_allclose(stream, seen["blk.7.l_out"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_all_activations_of_an_architecture(name: str, shared: Path) -> None:
    folder = shared / "golden" / "archs"
    tokens = np.load(folder / f"{name}.npz")["tokens"].tolist()
    with vatra.load(folder / f"{name}.gguf", threads=2, ctx=64) as model:
        before = model.logits(tokens)
        with model.capture("*") as seen:
            np.testing.assert_array_equal(model.logits(tokens), before)
        for key, values in reference(model, tokens).items():
            if values.dtype == np.int32:  # of equal scores either expert may be first
                assert seen[key].dtype == np.int32 and seen[key].shape == values.shape
            else:
                assert distance(seen[key], values) < 1e-3, key
        assert {"token_embd", "blk.1.l_out", "output_norm", "output", "logits"} <= {*seen}


def test_the_hidden_vectors_of_an_embedding(model: Model) -> None:
    with model.capture("output_norm", "output", "blk.7.l_out") as seen:
        vectors = model.token_embeddings(PROMPT)
    np.testing.assert_array_equal(seen["output_norm"], vectors)
    assert len(seen["blk.7.l_out"]) == len(vectors)
    assert seen["output"].shape == (0, model.plan.n_vocab)


def test_at_once_in_chunks_and_step_by_step(model: Model, ids: list[int]) -> None:
    """What is shown of a token does not depend on how the text was cut into runs.

    Unless AMX takes those of many tokens: these are all of fewer.
    """
    text, found = ids[:8], []
    for size in (len(text), 3, 1):
        with model.capture("blk.*.l_out", "blk.2.attn_k.rope") as seen:
            session = vatra.Session(model, chunk=size)
            session.sync(text)
        np.testing.assert_array_equal(seen.positions("blk.3.l_out"), np.arange(len(text)))
        found.append(seen)
    for name in found[0]:
        for other in found[1:]:
            np.testing.assert_array_equal(found[0][name], other[name])
    assert found[0]["blk.2.attn_k.rope"].shape == (8, *model.activations["blk.2.attn_k.rope"])


def test_a_long_prompt_in_chunks(model: Model, ids: list[int]) -> None:
    """Kernels for many tokens, in more than one walk."""
    text = (ids * 40)[:300]
    with model.capture("blk.5.ffn_out", "output_norm") as seen:
        session = model.session()
        session.sync(text)
        plain = session.logits
    assert seen["blk.5.ffn_out"].shape == (300, 256)
    assert seen.positions("output_norm").tolist() == [299]
    again = model.session()
    again.sync(text)
    np.testing.assert_array_equal(again.logits, plain)
    assert distance(seen["blk.5.ffn_out"], reference(model, text)["blk.5.ffn_out"]) < 2e-3


def test_while_a_text_is_written(model: Model, ids: list[int]) -> None:
    greedy = vatra.Sampling(temperature=0)
    wanted = [step.token for step in model.generate(ids, greedy, 6)]
    session = model.session()
    session.sync(ids)
    with model.capture("blk.0.attn_q") as seen:
        assert [step.token for step in session.generate(greedy, 6)] == wanted
    # the last token is chosen and not evaluated, and the first needed no run
    assert seen.positions("blk.0.attn_q").tolist() == [len(ids) + i for i in range(5)]


def test_blocks_within_blocks(model: Model, ids: list[int]) -> None:
    with model.capture("blk.0.l_out") as outer:
        model.logits(ids)
        with model.capture("blk.0.l_out", "blk.0.ffn_down.add") as inner:
            model.logits(ids[:3])
        model.logits(ids[:2])
    model.logits(ids)
    assert len(outer["blk.0.l_out"]) == len(ids) + 3 + 2
    assert outer.positions("blk.0.l_out")[-5:].tolist() == [0, 1, 2, 0, 1]
    np.testing.assert_array_equal(inner["blk.0.l_out"], outer["blk.0.l_out"][len(ids) : -2])
    np.testing.assert_array_equal(inner["blk.0.l_out"], inner["blk.0.ffn_down.add"])


def test_an_interrupted_block_is_over(model: Model, ids: list[int]) -> None:
    with pytest.raises(ZeroDivisionError), model.capture("blk.0.l_out") as seen:
        model.logits(ids)
        raise ZeroDivisionError
    model.logits(ids)
    assert len(seen["blk.0.l_out"]) == len(ids)


def test_blocks_that_end_in_any_order(model: Model, ids: list[int]) -> None:
    first, second = model.capture("blk.0.l_out"), model.capture("blk.1.l_out")
    a, b = first.__enter__(), second.__enter__()
    first.__exit__(None, None, None)
    model.logits(ids)
    second.__exit__(None, None, None)
    assert len(a["blk.0.l_out"]) == 0 and len(b["blk.1.l_out"]) == len(ids)


def test_timings_and_captures_together(model: Model, ids: list[int]) -> None:
    with model.timings() as costs, model.capture("blk.*.l_out") as seen:
        model.logits(ids)
    assert costs.rows("prefill") and len(seen) == 8


def test_from_other_threads(model: Model, ids: list[int]) -> None:
    """A run sees a block from its beginning to its end or not at all."""
    wanted, done = model.logits(ids), threading.Event()
    wrong: list[int] = []

    def work() -> None:
        while not done.is_set():
            wrong.extend(np.flatnonzero(model.logits(ids) != wanted))

    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(20):
        with model.capture("blk.*.attn_q", "output") as seen:
            model.logits(ids)
        assert len(seen["output"]) == len(seen["blk.3.attn_q"]) >= len(ids)
    done.set()
    thread.join()
    assert not wrong


@pytest.mark.parametrize(
    ("patterns", "what"),
    [
        ((), "no names"),
        (("blk.*.fn_out",), r"no activation is named 'blk\.\*\.fn_out'; nearest: blk\..*ffn_out"),
        (("blk.0.l_out", "blk.9.l_out"), r"no activation is named 'blk\.9\.l_out'"),
        (("blk.0.attn_q.weight",), r"nearest: .*blk\.0\.attn_q"),
        ((3,), "got 3, wanted a name"),
    ],
)
def test_names_that_are_none(model: Model, patterns: tuple[str, ...], what: str) -> None:
    with pytest.raises(UsageError, match=what), model.capture(*patterns):
        pass


def test_a_name_that_was_not_captured(model: Model) -> None:
    with model.capture("blk.0.l_out") as seen, pytest.raises(KeyError, match=r"blk\.0\.l_out"):
        seen["blk.0.lout"]
    assert "blk.0.l_out" in seen and "blk.1.l_out" not in seen
    assert repr(seen) == "<captured: blk.0.l_out (0, 256)>"


def test_two_loops_over_the_same_layers(shared: Path) -> None:
    """Names that come again are told apart, as are the verbs' own."""
    from vatra import models
    from vatra.formats import gguf
    from vatra.models import verbs

    checkpoint = gguf.read(shared / "golden" / "archs" / "llama-dense.gguf")
    plan = models.read(checkpoint)
    x = plan.tensors["token_embd"]
    for _ in plan.layers([None]):
        verbs.add(x, x)
    assert plan.activations["blk.0.l_out.2"].name == "blk.0.token_embd.add"
