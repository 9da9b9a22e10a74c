"""Products with weights of every format on a device, beside float64 ones of the decoded weights."""

from __future__ import annotations

import devices
import numpy as np
import pytest

from vatra.engine.offload.device import Device
from vatra.engine.offload.layers import DeviceLayers, Rows
from vatra.engine.offload.shaders import CODED, FORMATS
from vatra.engine.offload.split import Split
from vatra.engine.offload.weights import slices
from vatra.models import plan as ops
from vatra.models.plan import Plan
from vatra.quant import by_name
from vatra.quant.tensor import QTensor

Array = np.ndarray
PAGES = np.arange(1)


@pytest.fixture(scope="module", params=["subgroups", "shared memory"])
def device(request: pytest.FixtureRequest) -> Device:
    return Device(devices.adapter(), subgroups=request.param == "subgroups")


def matrix(name: str, rows: int, width: int) -> QTensor:
    """Random weights; of a format that is only read, random bytes under small scales."""
    rng = np.random.default_rng(rows)
    kind = by_name(name)
    if kind.can_encode and rows < 100:
        data = kind.encode(rng.standard_normal((rows, width)).astype(np.float32))
    else:
        top = 60 if kind.name == "f16" else 256  # no infinities
        data = rng.integers(0, top, (rows, kind.row_bytes(width)), np.uint8)
        blocks = data.reshape(-1).view(kind.layout)
        for field in ("d", "dmin"):
            if field in (kind.layout.names or ()):
                blocks[field] = rng.uniform(0.01, 0.1, blocks[field].shape)
    return QTensor("w", kind, (rows, width), data)


def product(
    device: Device, weight: QTensor, x: Array, bias: Array | None, *, few: bool, int8: bool = False
) -> Array:
    """x weight^T + bias, by a plan of nothing else."""
    rows, width = weight.shape
    plan = Plan("product", 8, 64)
    embedded = plan.record(ops.Embed(plan.tensor("x", (width,)), matrix("f32", 8, width)))
    chosen = plan.tensor("chosen", (width,), outputs_only=True)
    plan.record(ops.SelectOutputs(chosen, embedded))
    y = plan.tensor("y", (rows,), outputs_only=True)
    plan.record(ops.Linear(y, chosen, weight, bias))
    layers = DeviceLayers(device, Split(plan, 1, embedded, 1, 1, ""), int8=int8)
    n = len(x)
    return layers.run(x, [Rows(0, n, n - 1, PAGES)], layers.new_pages([], 1), few)


def check(device: Device, weight: QTensor, bound: float, *, few: bool, int8: bool = False) -> None:
    rng = np.random.default_rng(5)
    rows, width = weight.shape
    x = rng.standard_normal((6 if few else 31, width)).astype(np.float32)
    bias = rng.standard_normal(rows).astype(np.float32) if few else None
    found = product(device, weight, x, bias, few=few, int8=int8)
    decoded = weight.decode().astype(np.float64)
    wanted = x[1:] @ decoded.T + (0 if bias is None else bias)
    sizes = np.linalg.norm(x[1:], axis=1)[:, None] * np.linalg.norm(decoded, axis=1)
    assert np.max(np.abs(found - wanted) / sizes) < bound


@pytest.mark.parametrize("few", [True, False], ids=["vectors", "tiles"])
@pytest.mark.parametrize("name", FORMATS)
def test_product(device: Device, name: str, few: bool) -> None:
    check(device, matrix(name, 70, 768), 2e-7, few=few)


@pytest.mark.parametrize("name", CODED)
def test_product_of_rounded_activations(device: Device, name: str) -> None:
    check(device, matrix(name, 70, 768), 1e-3, few=True, int8=True)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_so(device: Device, value: float) -> None:
    """Where activations are rounded, too: no model writes on as if nothing was wrong."""
    x = np.ones((4, 64), np.float32)
    x[2, 40] = value
    for few, int8 in ((True, True), (True, False), (False, False)):
        found = product(device, matrix("q8_0", 5, 64), x, None, few=few, int8=int8)
        np.testing.assert_array_equal(np.isfinite(found).all(1), [True, False, True])


@pytest.mark.parametrize("rows", [1, 3, 33])
def test_odd_shapes(device: Device, rows: int) -> None:
    """Rows of one unit, and of an odd number of blocks, whose scales share words."""
    for width in (32, 96):
        for few in (True, False):
            check(device, matrix("q4_0", rows, width), 2e-7, few=few)


@pytest.mark.parametrize(("name", "rows"), [("f16", 700), ("q4_0", 2500), ("q6_k", 1700)])
def test_sliced_tensors(device: Device, name: str, rows: int) -> None:
    """What is larger than a binding can be is cut after rows."""
    small = Device(device.adapter, subgroups=device.subgroups, most_binding=2**20)
    weight = matrix(name, rows, 768)
    pieces = list(slices(weight, small.most_binding))
    assert len(pieces) == 2 and pieces[0].rows % 64 == 0 and pieces[1].first == pieces[0].rows
    assert max(len(piece.data) for piece in pieces) <= small.most_binding < weight.nbytes
    for few in (True, False):
        check(small, weight, 2e-7, few=few)
