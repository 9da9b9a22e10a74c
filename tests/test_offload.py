"""Models with none, some and all of their layers on a device write what they write without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import devices
import numpy as np
import pytest

import vatra
from vatra import models
from vatra.engine.executor import PAGE, Part
from vatra.engine.offload.device import Device
from vatra.engine.offload.executor import OffloadExecutor
from vatra.engine.offload.split import layers, split
from vatra.engine.reference import ReferenceExecutor
from vatra.engine.speculation import Speculation
from vatra.errors import UsageError
from vatra.formats import gguf
from vatra.quant.tensor import QTensor

Array = np.ndarray
N_CTX = 400
GREEDY = vatra.Sampling(temperature=0)
STORY = "Once upon a time there was a little fox who lived in a wood with his mother. " * 5
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


def test_same_text_of_exact_activations(spark: Path) -> None:
    """As that of the reference, whose products are float32 too; it is another than the CPU's."""
    with vatra.load(spark, ctx=N_CTX, backend="reference") as model:
        wanted = texts(model)
        device = Device(devices.adapter())  # is closed with the model
        model.executor = devices.offloaded(model.plan, 99, device, ReferenceExecutor)
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
    executor, tokens = model.executor, np.arange(5, 75, dtype=np.int32)
    state, fresh = executor.new_state(N_CTX), executor.new_state(N_CTX)
    assert executor.kind(70) == executor.kind(50)  # else the near layers' rounding differs
    executor.run(state, tokens, 0)
    assert state.rewind(50) == 50
    found = executor.run(state, tokens[:30] + 7, 50)
    executor.run(fresh, tokens[:50], 0)
    np.testing.assert_array_equal(found, executor.run(fresh, tokens[:30] + 7, 50))


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
    both = [list(s.generate(GREEDY, 12)) for s in (session, other)]
    assert [step.token for step in both[0]] == [step.token for step in both[1]]


def test_texts_at_once(model: vatra.Model) -> None:
    """Each is the one that its prompt gets alone, also where another one's beginning is reused."""
    ids = [model.tokenizer.encode(text) for text in (STORY, *PROMPTS, STORY + "One day")]
    alone = []
    for prompt in ids:
        session = model.session()
        session.sync(prompt)
        alone.append([step.token for step in session.generate(GREEDY, 5)])
    with vatra.Batch(model, 3, kv_tokens=N_CTX) as batch:
        first = batch.submit(ids[0], GREEDY, 5)
        found = [[step.token for step in first]]
        requests = [batch.submit(prompt, GREEDY, 5) for prompt in ids[1:]]
        found += [[step.token for step in request] for request in requests]
    assert found == alone
    assert requests[-1].statistics.reused_tokens == len(ids[0]) // PAGE * PAGE > 0


class Guesses:
    """Knows how a text goes on, but for every fifth token."""

    def __init__(self, text: list[int]) -> None:
        self.text = text

    def propose(self, timeline: Array, n: int) -> list[int]:
        at = len(timeline)
        return [t + (i % 5 == 0) for i, t in enumerate(self.text[at : at + n], at)]


def test_speculation(model: vatra.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is proposed changes no text, and what was wrong is forgotten."""
    monkeypatch.setattr(Speculation, "best", lambda *_, **__: 4)
    session, prompt = model.session(), model.tokenizer.encode(PROMPTS[0])
    session.sync(prompt)
    plain = [step.token for step in session.generate(GREEDY, 16)]
    session.sync(prompt)
    guesses = Guesses([*prompt, *plain])
    assert [s.token for s in session.generate(GREEDY, 16, speculate=guesses)] == plain
    assert 8 < session.statistics.accepted_tokens < session.statistics.proposed_tokens


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
        executor = devices.offloaded(plan, n, device, ReferenceExecutor)
        assert executor.layers.split.n == n
        state = executor.new_state(80)
        found = [executor.run(state, tokens[:40], 0, "all")]
        found += [executor.run(state, tokens[i : i + 1], i) for i in range(40, 45)]
        both = np.concatenate(found), np.concatenate(wanted)
        np.testing.assert_array_equal(both[0].argmax(-1), both[1].argmax(-1))
        np.testing.assert_allclose(*both, atol=2e-3 * np.abs(both[1]).max())


KEPT = {
    "llama-moe": "layer 1: top experts has no kernel",
    "mamba2-dense": "mamba2 has recurrent layers, which cannot be there",
}


@pytest.mark.parametrize("architecture", KEPT)
def test_what_cannot_be_offloaded(shared: Path, name: str, architecture: str) -> None:
    """Without a kernel for the last layer all run where they would without a device."""
    path = shared / "golden" / "archs" / f"{architecture}.gguf"
    with vatra.load(path, ctx=64, gpu_layers=9, device=name) as model:
        (choice,) = (c for c in model.choices if c.name == "layers on a device")
        assert choice.value.startswith("0 of ") and choice.reason == KEPT[architecture]
        assert any(choice.reason in note for note in model.notes)
        session = model.session()
        session.sync(range(5, 30))
        found = session.logits
    with vatra.load(path, ctx=64) as plain:
        session = plain.session()
        session.sync(range(5, 30))
        np.testing.assert_array_equal(found, session.logits)


def test_each_weight_is_in_one_place(model: vatra.Model) -> None:
    """But the embedding's, which may be the output's too."""
    assert isinstance(model.executor, OffloadExecutor)
    near = model.executor.near.plan
    far = {
        w.name
        for op in model.executor.layers.split.far
        for w in vars(op).values()
        if isinstance(w, QTensor)
    }
    both = {weight.name for weight in near.weights()} & far
    assert both <= {"token_embd.weight"} and far
    weights = {weight.name for weight in model.plan.weights()}
    assert far | {weight.name for weight in near.weights()} == weights


def test_layers_before_one_without_a_kernel_stay(spark: Path) -> None:
    """Each layer of a device goes on from the one before it, and the last ones are there."""
    with gguf.read(spark) as checkpoint:
        plan = models.read(checkpoint, 64)
        starts = layers(plan)
        lacking = plan.ops[starts[5]]
        cut = split(plan, 99, lambda op: "has no kernel" if op is lacking else None)
    assert (cut.n, cut.begin, cut.reason) == (2, starts[6], "layer 5: has no kernel")
    assert cut.near.ops + cut.far == plan.ops
    lacking = plan.ops[-1]
    assert split(plan, 99, lambda op: "odd" if op is lacking else None).n == 0


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
