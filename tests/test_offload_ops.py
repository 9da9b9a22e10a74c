"""Every operation that a device can do beside the reference, in prompts and token after token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import devices
import numpy as np
import pytest
from test_ops import OPS, TOKENS, Parts

from vatra.engine.offload.device import Device
from vatra.engine.offload.layers import DeviceLayers, Rows
from vatra.engine.offload.lowering import objection
from vatra.engine.offload.split import Split
from vatra.engine.reference import ReferenceExecutor
from vatra.models import plan as ops
from vatra.models import verbs
from vatra.models.plan import ACTIVATIONS, Op, Plan

Array = np.ndarray
Options = Callable[[Parts], dict[str, Any]]
N_PROMPT = 30
PAGES = np.arange(1)


@pytest.fixture(scope="module", params=["subgroups", "shared memory"])
def device(request: pytest.FixtureRequest) -> Device:
    return Device(devices.adapter(), subgroups=request.param == "subgroups")


def plan_of(name: str) -> Plan:
    """A plan whose last tensor, for the outputs alone, is what the operation made."""
    parts = Parts()
    y = OPS[name](parts)
    verbs.select_outputs(verbs.reshape(y, y.width))
    parts.plan.embeds = True
    return parts.plan


def possible(name: str) -> bool:
    return not any(objection(op, 2**27) for op in plan_of(name).ops[1:])


@pytest.mark.parametrize("name", [name for name in OPS if possible(name)])
def test_operation(device: Device, name: str) -> None:
    plan = plan_of(name)
    layers = DeviceLayers(device, Split(plan, 1, plan.ops[0].out, 1, 1, ""))
    pages = layers.new_pages([], 1)
    reference = ReferenceExecutor(plan)
    state = reference.new_state(64)
    embedded = plan.ops[0].weight.decode()  # type: ignore[attr-defined]
    spans = [(0, N_PROMPT), *((i, i + 1) for i in range(N_PROMPT, N_PROMPT + 3)), (33, 38)]
    for begin, end in spans:
        tokens = TOKENS[begin:end]
        wanted = reference.run(state, tokens, begin, "hidden")
        rows = [Rows(begin, len(tokens), len(tokens), PAGES)]
        found = layers.run(embedded[tokens], rows, pages, len(tokens) < 9)
        np.testing.assert_allclose(found, wanted, rtol=3e-5, atol=3e-5 * np.abs(wanted).max())


def test_nan_goes_through(device: Device) -> None:
    """All that could take it for a number: bounded values and activations."""
    plan = Plan("nan", 8, 64, embeds=True)
    x = plan.tensor("x", (64,))
    some: list[Op] = [ops.Activation(plan.tensor("y", (64,)), x, kind) for kind in ACTIVATIONS]
    some.append(ops.Softcap(plan.tensor("y", (64,)), x, 30.0))
    some.append(ops.Clamp(plan.tensor("y", (64,)), x, -1.0, 1.0))
    given = np.linspace(-3, 3, 128, dtype=np.float32).reshape(2, 64)
    given[1, 7] = np.nan
    for op in some:
        alone = Plan("nan", 8, 64, embeds=True, ops=[op], tensors={"x": x, "y": op.out})
        layers = DeviceLayers(device, Split(alone, 0, x, 1, 1, ""))
        found = layers.hidden(given, [Rows(0, 2, 2, PAGES)], layers.new_pages([], 1), True)
        np.testing.assert_array_equal(np.isnan(found), np.isnan(given), str(op))


ATTENTION: dict[str, Options] = {
    "whole": lambda p: {},
    "window": lambda p: {"window": 100},
    "chunk": lambda p: {"chunk": 300},
    "softcap": lambda p: {"softcap": 0.8},
    "slopes": lambda p: {"slopes": np.array([0.01, 0.1, 0.2, 0.3], np.float32)},
    "sinks": lambda p: {"sinks": p.vector(4)},
}


@pytest.mark.parametrize("options", ATTENTION)
def test_a_long_context_in_pieces(device: Device, options: str) -> None:
    """Attention of a prompt, and of a token after it, whose pages are in any order."""
    n, n_pages = 1100, 20
    parts = Parts()
    q, k, v = parts.heads(4, 32), parts.heads(2, 32), parts.heads(2, 36)
    verbs.select_outputs(verbs.attention(q, k, v, 0.3, **ATTENTION[options](parts)))
    plan = parts.plan
    plan.embeds = True
    layers = DeviceLayers(device, Split(plan, 1, plan.ops[0].out, 1, 1, ""))
    pages, ids = layers.new_pages([], n_pages), np.random.default_rng(1).permutation(n_pages)
    tokens = np.random.default_rng(2).integers(0, plan.n_vocab, n).astype(np.int32)
    embedded = plan.ops[0].weight.decode()[tokens]  # type: ignore[attr-defined]
    found = []
    for begin in range(0, n - 1, 256):
        end = min(begin + 256, n - 1)
        rows = [Rows(begin, end - begin, 1, ids)]
        found.append(layers.run(embedded[begin:end], rows, pages, False))
    found = [found[-1], layers.run(embedded[-1:], [Rows(n - 1, 1, 1, ids)], pages, True)]
    reference = ReferenceExecutor(plan)
    wanted = reference.run(reference.new_state(n), tokens, 0, "hidden")[-2:]
    bound = 1e-4 * np.abs(wanted).max()
    np.testing.assert_allclose(np.concatenate(found), wanted.reshape(2, -1), rtol=1e-4, atol=bound)


def test_argmax(device: Device) -> None:
    parts = Parts()
    parts.finished(parts.x)
    plan = parts.plan
    layers = DeviceLayers(device, Split(plan, 1, plan.ops[0].out, 1, 1, ""))
    given = np.random.default_rng(0).standard_normal((20, 96)).astype(np.float32)
    rows, pages = [Rows(0, 20, 20, PAGES)], layers.new_pages([], 1)
    logits = layers.run(given, rows, pages, False)
    tokens, logprobs = layers.best(given, rows, pages, False)
    assert tokens.tolist() == logits.argmax(-1).tolist()
    shares = np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, dtype=np.float64)
    np.testing.assert_allclose(logprobs, -np.log(shares), rtol=1e-5)


def test_several_sequences_in_one_run(device: Device) -> None:
    """Each gets the bits that it gets alone."""
    parts = Parts()
    q, k, v = parts.heads(4, 32), parts.heads(2, 32), parts.heads(2, 32)
    parts.finished(verbs.attention(q, k, v, 0.3))
    plan = parts.plan
    layers = DeviceLayers(device, Split(plan, 1, plan.ops[0].out, 1, 1, ""))
    rng = np.random.default_rng(0)
    lengths, ids = [10, 70, 3], [np.array([4]), np.array([2, 0]), np.array([1])]
    given = [rng.standard_normal((n + 1, 96)).astype(np.float32) for n in lengths]
    alone, together = layers.new_pages([], 5), layers.new_pages([], 5)
    for few in (False, True):
        begins = [n if few else 0 for n in lengths]
        counts = [1 if few else n for n in lengths]
        every = [Rows(*each) for each in zip(begins, counts, (1, 1, 1), ids, strict=True)]
        cut = [g[r.position : r.position + r.n] for g, r in zip(given, every, strict=True)]
        found = layers.run(np.concatenate(cut), every, together, few)
        wanted = [layers.run(g, [r], alone, few)[0] for g, r in zip(cut, every, strict=True)]
        np.testing.assert_array_equal(found, np.stack(wanted))
