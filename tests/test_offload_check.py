"""Kernels that are wrong on a device are found before a model's layers are trusted to them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import devices
import pytest

import vatra
from vatra.engine.cpu import CpuExecutor
from vatra.engine.offload import shaders
from vatra.engine.offload.check import Check, check
from vatra.engine.offload.device import Device
from vatra.engine.offload.executor import OffloadExecutor
from vatra.engine.offload.shaders import FORMATS
from vatra.models.plan import ACTIVATIONS

FORMAT = "q8_0"  # of some of Spark's matrices
Break = Callable[[str, str], None]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[Break]:
    """Puts other words in the place of some of the kernels'."""
    whole, met = shaders._text, set[str]()

    def replace(old: str, new: str) -> None:
        def changed(name: str) -> str:
            met.update([name] if old in whole(name) else [])
            return whole(name).replace(old, new)

        monkeypatch.setattr(shaders, "_text", changed)

    yield replace
    assert len(met) == 1, f"the words stand in {met}"


def failed(found: list[Check]) -> set[str]:
    return {check.kernel for check in found if not check.ok}


@pytest.mark.parametrize(("subgroups", "int8"), [(True, True), (False, True), (False, False)])
def test_all_are_right(subgroups: bool, int8: bool) -> None:
    found = check(Device(devices.adapter(), subgroups=subgroups), int8=int8)
    names = {word for check in found for word in check.kernel.replace(",", "").split()}
    assert names >= {*FORMATS, *ACTIVATIONS, "attention", "norm"}
    assert not failed(found)


# some words of a kernel, others that make it wrong, and what shows it
WRONG = [
    ("vec2(-8f * d)", "vec2(-7f * d)", "product of q4_0, 3 tokens"),
    ("-32f * scale", "-31f * scale", "product of q6_k, 31 tokens"),
    ("j + 8u * s", "j + 7u * s", "product of q4_0, 31 tokens"),
    ("/ 127f", "/ 126f", "product of q6_k, 3 tokens"),
    ("squares += v * v", "squares += v", "rms norm, 31 tokens"),
    ("total += share * ", "total += ", "rope + attention, 3 tokens"),
    ("0.044715f", "0.05f", "activation gelu, 31 tokens"),
    ("value > most", "value < most", "argmax"),
    ("1f, highest.w > 0f", "1f, highest.w < 1f", "argmax"),
]


@pytest.mark.parametrize(("old", "new", "found"), WRONG, ids=[new for _, new, _ in WRONG])
def test_a_wrong_kernel_is_named(old: str, new: str, found: str, broken: Break) -> None:
    broken(old, new)
    assert found in failed(check(Device(devices.adapter()), ["q4_0", "q6_k"]))


def test_layers_with_a_wrong_kernel_stay(spark: Path, broken: Break) -> None:
    """And the person is told which kernel it is, by how much, and of which device."""
    broken("vec2(half_at(D, b)), vec2(0f)", "vec2(1.01f * half_at(D, b)), vec2(0f)")
    adapter = devices.adapter()
    with vatra.load(spark, ctx=64, gpu_layers=99, device=adapter.name) as model:
        assert isinstance(model.executor, CpuExecutor)
        assert "".join(step.text for step in model.generate("Once", temperature=0, max_tokens=4))
        (note,) = (note for note in model.notes if "device" in note)
        assert str(adapter) in note and "error" in note and "bound 1e-05" in note
        assert re.search(rf"product of {FORMAT}.*, and \d more$", note)
        (choice,) = (c for c in model.choices if c.name == "layers on a device")
        assert choice.value.startswith("0 of 8") and choice.reason in note


def test_a_kernel_that_raises(spark: Path, broken: Break) -> None:
    broken("squares += v * v;", "squares += v * ;")
    adapter = devices.adapter()
    both = [found for found in check(Device(adapter), []) if not found.ok]
    assert all("norm" in found.kernel for found in both) and both
    assert all("failed: Validation Error" in found.problem for found in both)
    with vatra.load(spark, ctx=64, gpu_layers=2, device=adapter.name) as model:
        assert isinstance(model.executor, CpuExecutor)
        assert any("rms norm" in note and "Validation Error" in note for note in model.notes)


def test_only_what_is_used_is_checked(spark: Path, broken: Break) -> None:
    broken("vec2(-8f * d)", "vec2(-7f * d)")
    assert "-7f" in shaders._text("formats/q4_0")  # which no matrix of Spark is
    with vatra.load(spark, ctx=64, gpu_layers=2, device=devices.adapter().name) as model:
        assert isinstance(model.executor, OffloadExecutor)
        assert not any("device" in note for note in model.notes)
