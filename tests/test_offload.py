"""Models with none, some and all of their layers on a device write what they write without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import devices
import numpy as np
import pytest

import vatra
from vatra import models
from vatra.engine.executor import Part
from vatra.engine.offload.device import Device
from vatra.engine.offload.executor import OffloadExecutor, offloaded
from vatra.engine.offload.split import layers
from vatra.engine.reference import ReferenceExecutor
from vatra.errors import UsageError
from vatra.formats import gguf

Array = np.ndarray
N_CTX = 200
PROMPTS = ["Once upon a time there was a little girl who", "The dog and the cat"]
# of ../shared/golden/archs: norms, biases, rotations and gatings of many kinds
ARCHITECTURES = ["llama", "gemma2", "qwen2", "phi2", "starcoder2", "olmo2", "cohere2", "glm4"]


@pytest.fixture(scope="module")
def name() -> str:
    return devices.adapter().name


@pytest.fixture(scope="module")
def device() -> Device:
    return Device(devices.adapter())


@pytest.fixture(scope="module", params=[3, 99])
def model(request: pytest.FixtureRequest, spark: Path, name: str) -> Iterator[vatra.Model]:
    with vatra.load(spark, ctx=N_CTX, gpu_layers=request.param, device=name) as found:
        yield found


@pytest.fixture(scope="module")
def plain(spark: Path) -> Iterator[vatra.Model]:
    with vatra.load(spark, ctx=N_CTX) as found:
        yield found


def texts(model: vatra.Model) -> list[str]:
    """What follows the prompts, without any randomness."""
    answers = (model.generate(prompt, temperature=0, max_tokens=40) for prompt in PROMPTS)
    return ["".join(step.text for step in answer) for answer in answers]


def test_same_text(model: vatra.Model, plain: vatra.Model) -> None:
    """As on the CPU, which rounds activations to 8 bits as well."""
    assert isinstance(model.executor, OffloadExecutor)
    assert texts(model) == texts(plain)


def test_same_text_of_exact_activations(spark: Path, device: Device) -> None:
    """As that of the reference, whose products are float32 too; it is another than the CPU's."""
    with vatra.load(spark, ctx=N_CTX, backend="reference") as model:
        wanted = texts(model)
        model.executor = offloaded(model.plan, 99, device, ReferenceExecutor)
        assert texts(model) == wanted


def test_logits(model: vatra.Model, plain: vatra.Model) -> None:
    """Of a prompt of several runs, all of them; beside the CPU, whose products are rounded too."""
    tokens = np.random.default_rng(0).integers(0, plain.plan.n_vocab, 150).astype(np.int32)
    both = []
    for each in (model, plain):
        state = each.executor.new_state(N_CTX)
        whole = each.executor.run(state, tokens[:100], 0, "all")
        both.append(np.concatenate([whole, each.executor.run(state, tokens[100:], 100)]))
    assert np.mean(both[0].argmax(-1) == both[1].argmax(-1)) > 0.95
    assert np.abs(both[0] - both[1]).max() < 0.03 * np.abs(both[1]).max()


def test_going_back(model: vatra.Model) -> None:
    """A run at an earlier position forgets what came after it."""
    executor, tokens = model.executor, np.arange(5, 60, dtype=np.int32)
    state, fresh = executor.new_state(N_CTX), executor.new_state(N_CTX)
    executor.run(state, tokens, 0)
    assert state.rewind(20) == 20
    found = executor.run(state, tokens[:30] + 7, 20)
    executor.run(fresh, tokens[:20], 0)
    np.testing.assert_allclose(found, executor.run(fresh, tokens[:30] + 7, 20), atol=2e-3)


def test_saved_and_restored(model: vatra.Model) -> None:
    executor, tokens = model.executor, np.arange(5, 105, dtype=np.int32)
    state, other = executor.new_state(N_CTX), executor.new_state(N_CTX)
    executor.run(state, tokens, 0)
    saved = state.saved()
    wanted = executor.run(state, tokens[:1], 100)
    executor.run(other, tokens[::-1], 0)
    other.restore(saved)
    np.testing.assert_array_equal(executor.run(other, tokens[:1], 100), wanted)


def test_batches(model: vatra.Model) -> None:
    """Sequences that share memory, and the beginning of it, get the bits that they get alone."""
    executor = model.executor
    rng = np.random.default_rng(1)
    pages = executor.new_pages(6 * N_CTX)
    texts = [rng.integers(0, model.plan.n_vocab, n).astype(np.int32) for n in (100, 40, 3)]
    states = [executor.new_state(N_CTX, pages=pages) for _ in texts]
    alone = [executor.new_state(N_CTX) for _ in texts]
    begins = [0] * 3
    for counts in ([99, 39, 2], [1, 1, 1]):
        parts = [(t[b : b + n], b) for t, b, n in zip(texts, begins, counts, strict=True)]
        found = executor.run_batch([Part(s, *p) for s, p in zip(states, parts, strict=True)])
        for part, state, logits in zip(parts, alone, found, strict=True):
            np.testing.assert_array_equal(executor.run(state, *part), logits)
        begins = counts
    heir = executor.new_state(N_CTX, pages=pages, shared=states[0].pages(64))
    assert heir.length == 64
    found = [executor.run(heir, texts[0][64:99], 64), executor.run(heir, texts[0][99:], 99)]
    other = executor.new_state(N_CTX)
    executor.run(other, texts[0][:64], 0)
    wanted = [executor.run(other, texts[0][64:99], 64), executor.run(other, texts[0][99:], 99)]
    np.testing.assert_array_equal(found, wanted)


def test_sessions(model: vatra.Model, tmp_path: Path) -> None:
    """A session goes on from its file as it would have."""
    session, other = model.session(), model.session()
    session.sync(model.tokenizer.encode(PROMPTS[0]))
    session.save(tmp_path / "kept")
    other.load(tmp_path / "kept")
    np.testing.assert_array_equal(other.logits, session.logits)
    both = [list(s.generate(vatra.Sampling(temperature=0), 12)) for s in (session, other)]
    assert [step.token for step in both[0]] == [step.token for step in both[1]]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_architectures(shared: Path, device: Device, architecture: str) -> None:
    """The reference's logits, with half of the layers and with all."""
    path = shared / "golden" / "archs" / f"{architecture}-dense.gguf"
    plan = models.read(gguf.read(path), 80)
    tokens = np.random.default_rng(2).integers(0, plan.n_vocab, 45).astype(np.int32)
    reference = ReferenceExecutor(plan)
    state = reference.new_state(80)
    wanted = [reference.run(state, tokens[:40], 0, "all")]
    wanted += [reference.run(state, tokens[i : i + 1], i) for i in range(40, 45)]
    n_layers = len(layers(plan))
    for n in (n_layers // 2, n_layers):
        executor = offloaded(plan, n, device, ReferenceExecutor)
        assert executor.layers.split.n == n
        state = executor.new_state(80)
        found = [executor.run(state, tokens[:40], 0, "all")]
        found += [executor.run(state, tokens[i : i + 1], i) for i in range(40, 45)]
        both = np.concatenate(found), np.concatenate(wanted)
        np.testing.assert_array_equal(both[0].argmax(-1), both[1].argmax(-1))
        np.testing.assert_allclose(*both, atol=2e-3 * np.abs(both[1]).max())


def test_what_cannot_be_offloaded(shared: Path, device: Device) -> None:
    """An operation without a kernel keeps its layer, and those before it, off the device."""
    archs = shared / "golden" / "archs"
    for name, why in (("llama-moe", "top experts has no kernel"), ("mamba2-dense", "recurrent")):
        plan = models.read(gguf.read(archs / f"{name}.gguf"), 80)
        with pytest.raises(UsageError, match=why):
            offloaded(plan, 1, device, ReferenceExecutor)


def test_more_layers_than_there_are(model: vatra.Model) -> None:
    assert isinstance(model.executor, OffloadExecutor)
    cut = model.executor.layers.split
    assert (cut.n, cut.reason) in ((3, ""), (cut.n_layers, "the model has no more"))


def test_bad_requests(spark: Path, name: str) -> None:
    for wanted, options in (
        ("there is no device 'nothing'", {"device": "nothing"}),
        ("KV cache .* is f16, got q8_0", {"device": name, "kv": "q8_0"}),
        ("gpu_layers: got -1", {"gpu_layers": -1}),
    ):
        with pytest.raises(UsageError, match=wanted):
            vatra.load(spark, **{"gpu_layers": 1, **options})  # type: ignore[arg-type]
