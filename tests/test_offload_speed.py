"""Kernels that do more at once on a device: the same bits as one thing after another."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import devices
import numpy as np
import pytest
from devices import offloaded
from test_offload_formats import matrix, product
from test_ops import TOKENS, Parts, turn

import vatra
from vatra import models
from vatra.engine.logprobs import log_probability
from vatra.engine.offload import lowering
from vatra.engine.offload.device import Device
from vatra.engine.offload.executor import OffloadExecutor
from vatra.engine.offload.fusion import fused
from vatra.engine.offload.layers import DeviceLayers, Rows
from vatra.engine.offload.lowering import Sizes
from vatra.engine.offload.split import Split
from vatra.engine.reference import ReferenceExecutor
from vatra.engine.sampler import Sampler
from vatra.formats import gguf
from vatra.models import verbs
from vatra.models.plan import Op, Plan, Tensor
from vatra.models.weights import Matrix

Array = np.ndarray
N_PROMPT = 21
PAGES = np.arange(1)


@pytest.fixture(scope="module", params=["subgroups", "shared memory"])
def device(request: pytest.FixtureRequest) -> Device:
    return Device(devices.adapter(), subgroups=request.param == "subgroups")


@pytest.mark.parametrize(
    ("name", "int8"), [("q4_0", False), ("q4_0", True), ("q6_k", True), ("f16", False)]
)
def test_tokens_that_share_weights(device: Device, name: str, int8: bool) -> None:
    """As many as are done at once, and more: each gets the bits that it gets alone."""
    weight = matrix(name, 37, 768)
    x = np.random.default_rng(4).standard_normal((14, 768)).astype(np.float32)
    alone = [product(device, weight, x[[0, i]], None, few=True, int8=int8) for i in range(1, 14)]
    for n in (2, 3, 5, 8, 13):
        found = product(device, weight, x[: n + 1], None, few=True, int8=int8)
        np.testing.assert_array_equal(found, np.concatenate(alone[:n]))


def block(*, gated: bool) -> Plan:
    """A layer as models have them: with a gate, or with biases."""
    parts = Parts()
    x, width = parts.x, parts.x.width
    weight = matrix("q8_0", 96, width)
    rotation = turn(8, interleaved=gated)

    def linear(x: Tensor, rows: int, dim: int | None = None) -> Tensor:
        nonlocal weight
        weight = replace(weight, data=np.roll(weight.data, 5, axis=0))
        bias = None if gated else parts.values(rows)
        return verbs.linear(x, Matrix("w", weight.rows("w", 0, rows), bias), dim)

    y = verbs.rms_norm(x, parts.vector(width), 1e-5)
    q, k, v = linear(y, 96, 32), linear(y, 32, 32), linear(y, 32, 32)
    y = verbs.attention(verbs.rope(q, rotation), verbs.rope(k, rotation, 4), v, 0.3)
    x = verbs.add(x, linear(verbs.reshape(y, 96), width))
    y = verbs.layer_norm(x, parts.vector(width), 1e-5)
    y = verbs.glu(linear(y, 96), linear(y, 96)) if gated else linear(y, 96)
    x = verbs.add(linear(y if gated else verbs.activation(y, "gelu"), width), x)
    return parts.finished(x)


def runs(device: Device, plan: Plan, int8: bool) -> tuple[Array, int]:
    """Logits after a prompt and each of some tokens, and the kernels that a token takes."""
    layers = DeviceLayers(device, Split(plan, 1, plan.ops[0].out, 1, 1, ""), int8=int8)
    pages = layers.new_pages([], 1)
    embedded = plan.ops[0].weight.decode()  # type: ignore[attr-defined]
    found = []
    for begin, end in pairwise((0, N_PROMPT, N_PROMPT + 1, N_PROMPT + 4)):
        n = end - begin
        rows = [Rows(begin, n, n, PAGES)]
        found.append(layers.run(embedded[TOKENS[begin:end]], rows, pages, n < 9))
    return np.concatenate(found), len(layers.program.work(Sizes(1, 1, 1, 1, True), pages))


@pytest.mark.parametrize(("gated", "int8"), [(False, False), (True, True)])
def test_fusion(device: Device, monkeypatch: pytest.MonkeyPatch, gated: bool, int8: bool) -> None:
    """The same bits with fewer kernels, and nearly what the reference finds."""
    plan = block(gated=gated)
    found, n_kernels = runs(device, plan, int8)

    def apart(part: Sequence[Op], kept: Collection[Tensor], most: int) -> list[Op]:
        return fused(part, {tensor for op in part for tensor in op.written}, 0)

    monkeypatch.setattr(lowering, "fused", apart)
    wanted, n_apart = runs(device, plan, int8)
    np.testing.assert_array_equal(found, wanted)
    # what is left: norms, products, attention, the choice of rows; rounding of x before `down`
    assert n_kernels == 1 + 8 + int8 + 1 and n_apart == n_kernels + (8 if gated else 7)
    reference = ReferenceExecutor(plan)
    exact = reference.run(reference.new_state(64), TOKENS[: len(found)], 0, "all")
    np.testing.assert_allclose(found, exact, atol=(0.03 if int8 else 3e-5) * np.abs(exact).max())


def test_tokens_that_share_keys(device: Device) -> None:
    """In tiles, wherever these begin, each gets the bits that it gets in another tile."""
    parts = Parts()
    q, k, v = parts.heads(4, 32), parts.heads(2, 32), parts.heads(2, 40)
    parts.finished(verbs.attention(q, k, v, 0.3, window=11))
    plan = parts.plan
    layers = DeviceLayers(device, Split(plan, 1, plan.ops[0].out, 1, 1, ""))
    given = np.random.default_rng(1).standard_normal((90, 96)).astype(np.float32)
    pages, ids = layers.new_pages([], 2), np.array([1, 0])
    wanted = layers.run(given[:90], [Rows(0, 90, 32, ids)], pages, False)
    for begin in (58, 61, 65):
        found = layers.run(given[begin:], [Rows(begin, 90 - begin, 20, ids)], pages, False)
        np.testing.assert_array_equal(found, wanted[-20:])


def test_the_likeliest_of_many(device: Device) -> None:
    """Of a vocabulary in pieces, the first of equal ones; what is not finite is told."""
    weight = matrix("f16", 70, 96)
    data = np.tile(weight.data, (72, 1))[:5000]
    weight = replace(weight, shape=(5000, 96), data=data)
    plan = Parts().plan
    chosen = verbs.select_outputs(next(iter(plan.ops)).out)
    verbs.linear(chosen, Matrix("output", weight), name="logits")
    layers = DeviceLayers(device, Split(plan, 1, plan.ops[0].out, 1, 1, ""))
    given = np.random.default_rng(0).standard_normal((6, 96)).astype(np.float32)
    rows, pages = [Rows(0, 6, 6, PAGES)], layers.new_pages([], 1)
    logits = layers.run(given, rows, pages, True)
    tokens, logprobs = layers.best(given, rows, pages, True)
    assert tokens.tolist() == logits.argmax(-1).tolist() and tokens.max() < 70
    np.testing.assert_allclose(logprobs, [log_probability(x, x.argmax()) for x in logits], 1e-5)
    given[2, 5], given[4, 5] = np.nan, np.inf
    assert (layers.best(given, rows, pages, True)[1] > 0).tolist() == [0, 0, 1, 0, 1, 0]


def test_runs_of_any_length(spark: Path, device: Device) -> None:
    """A text gets the same bits however its tokens are cut into runs of few."""
    plan = models.read(gguf.read(spark), 64)
    executor = offloaded(plan, 99, device, ReferenceExecutor, int8=device.subgroups)
    tokens, found = np.arange(7, 47, dtype=np.int32), []
    for n in (1, 2, 4, 8):
        state = executor.new_state(64)
        executor.run(state, tokens[:20], 0)
        runs = [executor.run(state, tokens[i : i + n], i, "all") for i in range(20, 28, n)]
        found.append(np.concatenate(runs))
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


def test_timings(device: Device) -> None:
    """Of every kernel of a run, with the bytes of all weights that it reads."""
    plan = block(gated=True)
    layers = DeviceLayers(device, Split(plan, 1, plan.ops[0].out, 1, 1, ""))
    pages = layers.new_pages([], 1)
    layers.run(np.ones((1, 96), np.float32), [Rows(0, 1, 1, PAGES)], pages, True)
    sizes = Sizes(1, 1, 1, 1, True)
    found = layers.program.timings(sizes, pages, again=2)
    assert sum(timing.n for timing in found) == len(layers.program.work(sizes, pages))
    assert {timing.kernel for timing in found} >= {
        "norm",
        "matvec q8_0",
        "attend rope",
        "append rope",
    }
    assert sum(timing.nbytes for timing in found) == layers.weights.matrix_bytes
    assert all(timing.seconds >= 0 for timing in found)
    assert [t.seconds for t in found] == sorted((t.seconds for t in found), reverse=True)


def test_answers_without_logits(spark: Path) -> None:
    """Greedy ones are those that logits give, until these are wanted again."""
    with vatra.load(spark, ctx=100, gpu_layers=2, device=devices.adapter().name) as model:
        prompt, greedy = model.tokenizer.encode("Once upon a time"), vatra.Sampling(temperature=0)
        plain, far = model.session(), model.session()
        plain.sync(prompt)
        far.sync(prompt)
        wanted = list(plain.generate(greedy, 12, logprobs=1))
        assert far.best_for(far.begin_answer()) is None  # after a prompt the logits are there
        steps = far.generate(greedy, 12)
        assert isinstance(model.executor, OffloadExecutor)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(model, "run", None)
            found = list(steps)
        assert [step.token for step in found] == [step.token for step in wanted]
        both = [np.array([step.logprob for step in steps]) for steps in (found, wanted)]
        np.testing.assert_allclose(both[0], both[1], atol=1e-4)
        np.testing.assert_array_equal(far.logits, plain.logits)


@pytest.mark.parametrize(
    ("changed", "greedy"),
    [
        ({}, True),
        ({"top_k": 3, "top_p": 0.5, "min_p": 0.1}, True),
        ({"temperature": 0.1}, False),
        ({"repeat_penalty": 1.2}, False),
        ({"repeat_penalty": 1.2, "samplers": "temperature"}, True),
        ({"typical_p": 0.9}, False),
        ({"xtc_probability": 0.5}, False),
        ({"dry_multiplier": 0.5}, False),
        ({"mirostat": 2}, False),
        ({"logit_bias": ((3, 1.0),)}, False),
        ({"samplers": "top_k"}, False),
        ({"filters": (lambda ids, logits, recent: None,)}, False),
    ],
)
def test_greedy(changed: dict[str, Any], greedy: bool) -> None:
    sampler = Sampler(vatra.Sampling(**{"temperature": 0.0, **changed}))
    assert sampler.is_greedy == greedy
    if greedy:
        logits = np.random.default_rng(0).standard_normal((20, 50)).astype(np.float32)
        for row in logits:
            token = sampler.sample(row)
            sampler.accept(token)
            assert token == row.argmax()
