"""Kernels beside numpy, on a few rows, before layers of a model are trusted to them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import inf, prod
from time import perf_counter
from typing import NamedTuple

import numpy as np

from vatra.engine.kernels.layout import PAGE
from vatra.engine.offload.device import Device
from vatra.engine.offload.layers import DeviceLayers, Rows
from vatra.engine.offload.shaders import FORMATS
from vatra.engine.offload.split import Split
from vatra.engine.reference import ReferenceExecutor
from vatra.errors import VatraError
from vatra.models import plan as ops
from vatra.models.plan import ACTIVATIONS, KVCache, Op, Plan, Tensor
from vatra.quant import by_name
from vatra.quant.tensor import QTensor

Array = np.ndarray
MANY, FEW = 31, 3  # tokens: tiles of a product, and vector by vector
FAR = 600  # positions before those few: attention is cut into pieces
N_PAGES = -(-(FAR + FEW) // PAGE)
ROWS, WIDTH = 64, 512  # of weights
N_LOGITS = 5000  # more than one workgroup has
MOST_ALIKE = 3  # products of one vector
PRODUCT, OTHER = 1e-5, 1e-3  # bounds, of the largest value; exp and tanh differ between devices


class Check(NamedTuple):
    """What a kernel made of random values, beside the reference."""

    kernel: str
    error: float  # the largest, as a part of the largest value; infinite if there is a problem
    bound: float
    seconds: float  # with its compilation
    problem: str = ""  # what was raised

    @property
    def ok(self) -> bool:
        """Whether the kernel can be trusted; false for NaN too."""
        return self.error <= self.bound

    def __str__(self) -> str:
        found = self.problem or f"error {self.error:.1e}, bound {self.bound:.0e}"
        return f"{self.kernel}: {found}"


def check(device: Device, formats: Iterable[str] = FORMATS, *, int8: bool = True) -> list[Check]:
    """All kinds of kernels: products with weights of `formats`, and what models do besides."""
    plan = Plan("examples", MANY, 2 * FAR)

    def new(*shape: int) -> Tensor:
        return plan.tensor("example", shape)

    x, y, heads, shared = new(WIDTH), new(ROWS), new(4, 64), new(2, 64)
    norm = np.linspace(-1, 1, 64, dtype=np.float32)
    some: list[Op] = [
        ops.RmsNorm(new(4, 64), heads, norm, 1e-5),
        ops.LayerNorm(new(4, 64), heads, norm, norm, 1e-5),
        ops.Add(new(ROWS), y, y),
        *(ops.Activation(new(ROWS), y, kind) for kind in ACTIVATIONS),
    ]
    for name in formats:
        outs = [new(ROWS) for _ in range(5)]
        some += [ops.Linear(out, x, _random(name), None) for out in outs]
        some += [ops.Add(new(ROWS), outs[2], y), ops.Glu(new(ROWS), outs[3], outs[4], "silu")]
    for interleaved in (False, True):
        q, k = new(4, 64), new(2, 64)
        turn = 0.3 ** np.arange(32), interleaved, 1.0
        some += [ops.Rope(q, heads, *turn), ops.Rope(k, shared, *turn)]
        some.append(ops.Attention(new(4, 64), q, k, shared, KVCache("", 2, 64, 64), 0.125))
    return check_ops(device, some, int8=int8)


def check_ops(device: Device, part: Sequence[Op], *, int8: bool) -> list[Check]:
    """Each kind of operation of `part` once; products with few random weights of their formats."""
    kinds: dict[object, list[Op]] = {}
    for group in _groups(part):
        kinds.setdefault(tuple(dict.fromkeys(map(_kind, group))), group)
    found = [check for group in kinds.values() for check in _checks(device, group, int8)]
    return [*found, _likeliest(device)] if found else []


def _groups(part: Sequence[Op]) -> list[list[Op]]:
    """The operations, each with those that one kernel may do together with it.

    These are rotations before attention, products before what is made of each of their values, and
    products of one vector.
    """
    part = [op for op in part if not isinstance(op, ops.Reshape | ops.SelectOutputs)]
    made = {op.out: op for op in part}
    groups = []
    for op in part:
        before = ops.Rope if isinstance(op, ops.Attention) else ops.Linear
        if isinstance(op, ops.Attention | ops.Add | ops.Glu | ops.Activation):
            found = [made[t] for t in _read(op).values() if isinstance(made.get(t), before)]
            groups.append([*found, op])
    taken = {op for group in groups for op in group}
    alike: dict[object, list[Op]] = {}
    for op in part:
        if op not in taken:
            alike.setdefault((op.x, _kind(op)) if isinstance(op, ops.Linear) else op, []).append(op)
    return groups + [group[:MOST_ALIKE] for group in alike.values()]


def _kind(op: Op) -> object:
    """What its kernels are made for, the same for operations that share them."""
    if isinstance(op, ops.Linear):
        return type(op), op.weight.format.name, op.bias is None
    return type(op), *(_shape(value) for value in vars(op).values())


def _shape(value: object) -> object:
    if isinstance(value, KVCache):
        return value.n_head_kv, value.key_dim, value.value_dim, value.window
    return getattr(value, "shape", value)


def _read(op: Op) -> dict[str, Tensor]:
    """The tensors that `op` reads, by its fields."""
    return {n: t for n, t in vars(op).items() if isinstance(t, Tensor) and n != "out"}


def _checks(device: Device, group: Sequence[Op], int8: bool) -> Iterator[Check]:
    """Of a prompt, and of few tokens that come long after it."""
    bound = PRODUCT if all(isinstance(op, ops.Linear | ops.Add) for op in group) else OTHER
    name = " + ".join(dict.fromkeys(map(_name, group)))
    begun = perf_counter()
    try:
        both = _Both(device, _alone(group), int8)
    except VatraError as error:
        yield Check(name, inf, bound, perf_counter() - begun, str(error))
        return
    for n, position in ((MANY, 0), (FEW, FAR)):
        problem, wrong = "", inf
        try:
            wrong = both.error(n, position)
        except VatraError as error:
            problem = str(error)
        ended = perf_counter()
        yield Check(f"{name}, {n} tokens", wrong, bound, ended - begun, problem)
        begun = ended


def _likeliest(device: Device) -> Check:
    """Of the likeliest tokens, and their logprobs, of all rows of logits but the first."""
    begun = perf_counter()
    wrong, problem = inf, ""
    plan = Plan("argmax", MANY, FAR, embeds=True)
    x = plan.tensor("given", (N_LOGITS,))
    plan.record(ops.SelectOutputs(plan.tensor("out", x.shape, outputs_only=True), x))
    given = np.random.default_rng(3).standard_normal((FEW, N_LOGITS)).astype(np.float32)
    try:
        layers = DeviceLayers(device, Split(plan, 0, x, 1, 1, ""))
        rows = [Rows(0, FEW, FEW - 1, np.arange(1))]
        tokens, logprobs = layers.best(given, rows, layers.new_pages([], 1), True)
        wanted = given[1:].max(-1) - np.log(np.exp(given[1:]).sum(-1))
        if np.array_equal(tokens, given[1:].argmax(-1)):
            wrong = float(np.max(np.abs(logprobs / wanted - 1)))
    except VatraError as error:
        problem = str(error)
    return Check("argmax", wrong, OTHER, perf_counter() - begun, problem)


class _Both:
    """A plan on a device, and by numpy."""

    def __init__(self, device: Device, plan: Plan, int8: bool) -> None:
        self._layers = DeviceLayers(device, Split(plan, 1, plan.ops[0].out, 1, 1, ""), int8=int8)
        self._reference = ReferenceExecutor(plan)
        self._state = self._reference.new_state(N_PAGES * PAGE)
        self._pages = self._layers.new_pages([], N_PAGES)
        self._ids = np.arange(N_PAGES)[::-1]
        embed = plan.ops[0]
        assert isinstance(embed, ops.Embed)
        self._given = embed.weight.decode()

    def error(self, n: int, position: int) -> float:
        """The largest of a run of `n` tokens, as a part of the largest value."""
        self._remember(position)
        rows = [Rows(position, n, n, self._ids)]
        found = self._layers.hidden(self._given[:n], rows, self._pages, n == FEW)
        tokens = np.arange(n, dtype=np.int32)
        wanted = self._reference.run(self._state, tokens, position, "hidden")
        wanted = wanted.reshape(found.shape)
        return float(np.max(np.abs(found - wanted)) / np.max(np.abs(wanted)))

    def _remember(self, position: int) -> None:
        """Have random keys and values before `position`."""
        rng = np.random.default_rng(position)
        mine = (*self._state.keys, *self._state.values)
        for side, theirs in zip(mine, (*self._pages.keys, *self._pages.values), strict=True):
            for i in range(-(-position // PAGE)):
                side[i] = theirs[self._ids[i]] = rng.standard_normal(side[i].shape)
        self._state.length = self._state._current = position


def _alone(group: Sequence[Op]) -> Plan:
    """A plan of these operations, where what they read are parts of the tokens' random vectors.

    Products have ROWS rows of WIDTH random weights, whatever they are in the model.
    """
    small: dict[Tensor, tuple[int, ...]] = {}
    for op in group:
        if isinstance(op, ops.Linear):
            small |= dict.fromkeys([op.out, *_read(group[-1]).values(), group[-1].out], (ROWS,))
    small |= {op.x: (WIDTH,) for op in group if isinstance(op, ops.Linear)}
    made = {op.out for op in group}
    given = [t for op in group for t in _read(op).values() if t not in made]
    shapes = {t: small.get(t, t.shape) for t in (*given, *(op.out for op in group))}
    plan = Plan(_name(group[-1]), MANY, 2 * FAR, embeds=True)
    width = sum(prod(shapes[t]) for t in dict.fromkeys(given))
    kind = by_name("f32")
    table = QTensor("given", kind, (MANY, width), kind.encode(_activations(MANY, width)))
    x = plan.record(ops.Embed(plan.tensor("given", (width,)), table))
    here: dict[Tensor, Tensor] = {}
    first = 0
    for tensor in dict.fromkeys(given):
        n, one = prod(shapes[tensor]), x
        if n < width:
            one = plan.record(ops.Slice(plan.tensor(tensor.name, (n,)), x, first))
        here[tensor] = plan.record(ops.Reshape(plan.tensor(tensor.name, shapes[tensor]), one))
        first += n
    ends: list[Tensor] = []
    for op in group:
        rest: dict[str, object] = {name: here[t] for name, t in _read(op).items()}
        if isinstance(op, ops.Linear):
            rest["weight"] = _random(op.weight.format.name)
            rest["bias"] = None if op.bias is None else np.resize(op.bias, ROWS)
        if isinstance(op, ops.Attention):
            plan.caches.append(replace(op.cache))
            rest["cache"] = plan.caches[0]
        out = plan.tensor("out", shapes[op.out])
        ends = [*(t for t in ends if t not in rest.values()), out]
        here[op.out] = plan.record(replace(op, out=out, **rest))
    for end in ends[1:]:
        both = plan.tensor("ends", (ends[0].width + end.width,))
        ends[0] = plan.record(ops.Concat(both, ends[0], end))
    return plan


def _activations(n: int, width: int) -> Array:
    """Values that 8 bits hold exactly, under a scale of 1 / 64 for each 32 of them."""
    codes = np.random.default_rng(1).integers(-126, 127, (n, width))
    codes[:, ::32] = 127
    return codes.astype(np.float32) / 64


def _random(name: str, width: int = WIDTH) -> QTensor:
    """Weights of a format; of one that is only read, random bytes under small scales."""
    rng = np.random.default_rng(2)
    kind = by_name(name)
    if kind.can_encode:
        data = kind.encode(rng.standard_normal((ROWS, width)).astype(np.float32))
    else:
        data = rng.integers(0, 256, (ROWS, kind.row_bytes(width)), np.uint8)
        blocks = data.reshape(-1).view(kind.layout)
        for field in {"d", "dmin"} & set(kind.layout.names or ()):
            blocks[field] = rng.uniform(0.01, 0.1, blocks[field].shape)
    return QTensor(name, kind, (ROWS, width), data)


def _name(op: Op) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(op).__name__).lower()
    if isinstance(op, ops.Linear):
        return f"product of {op.weight.format.name}"
    return f"{words} {getattr(op, 'kind', '')}".strip()
