"""Looking at what a model computes, and changing it, while its file stays as it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from vatra import models
from vatra.engine.executor import Hook
from vatra.errors import UsageError
from vatra.models import plan as ops
from vatra.models.plan import Plan, Tensor
from vatra.quant import by_name
from vatra.quant.tensor import QTensor

if TYPE_CHECKING:
    from vatra.engine.model import Model
    from vatra.formats.checkpoint import Checkpoint

Array = np.ndarray
Pair = tuple[Array, Array]
# of values (n, *shape) and positions (n,): other values, or None where it has changed those given
OnActivation = Callable[[Array, Array], Array | None]
OnWeight = Callable[[Array], Array | None]  # the same of a weight's values, in the file's shape
Change = OnActivation | OnWeight | Array | QTensor | Pair
Block = TypeVar("Block")


class Capture(Mapping[str, Array]):
    """What tensors held, by name: (n, *shape), a row for each token evaluated, in that order.

    Values are float32, numbers of experts int32. Tensors after the last layer have rows only for
    tokens whose logits were asked for.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = dict(tensors)
        self._rows: dict[str, list[tuple[Array, Array]]] = {name: [] for name in tensors}

    def __getitem__(self, name: str) -> Array:
        return self._joined(name)[0]

    def positions(self, name: str) -> Array:
        """int64 (n,): where in its text the token of each row stood."""
        return self._joined(name)[1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"<captured: {', '.join(f'{name} {self[name].shape}' for name in self)}>"

    def add(self, name: str, values: Array, at: Array) -> None:
        """Keep a copy of rows that were made."""
        shape = len(values), *self._tensors[name].shape
        self._rows[name].append((values.reshape(shape).copy(), at))

    def _joined(self, name: str) -> tuple[Array, Array]:
        if name not in self._rows:
            raise KeyError(f"{name!r} was not captured{_nearest(name, self._rows)}")
        rows, tensor = self._rows[name], self._tensors[name]
        if not rows:
            dtype = np.int32 if tensor.ids else np.float32
            return np.empty((0, *tensor.shape), dtype), np.empty(0, np.int64)
        if len(rows) > 1:
            values, at = zip(*rows, strict=True)
            rows[:] = [(np.concatenate(values), np.concatenate(at))]
        return rows[0]


@dataclass(frozen=True, eq=False)
class Patch:
    """Changes of activations and of weights, by name."""

    activations: dict[str, OnActivation] = field(default_factory=dict)
    weights: dict[str, QTensor] = field(default_factory=dict)
    pairs: dict[str, Pair] = field(default_factory=dict)  # to be added to weights of the file
    identity: object = field(default_factory=object)  # which states remember, and not all of this


class Hooks:
    """The captures and patches that are in force on a model."""

    def __init__(self, model: Model, lock: threading.Lock) -> None:
        self._model, self._lock = model, lock
        self._plan = model.plan  # of the file
        self._captures: list[Capture] = []
        self._patches: list[Patch] = []
        self._weights: list[Patch] = []  # those that the executor's plan has
        self._caller = 0  # the thread in which a person's function is called

    @contextmanager
    def capture(self, patterns: Sequence[str]) -> Iterator[Capture]:
        """See `Model.capture`."""
        if not patterns:
            raise UsageError('capture: got no names, wanted some such as "blk.*.l_out"')
        names = self.activations
        found = Capture({n: names[n] for p in patterns for n in _matching(p, names, "activation")})
        with self._open(self._captures, found):
            yield found

    @contextmanager
    def patch(self, changes: Mapping[str, Change]) -> Iterator[None]:
        """See `Model.patch`."""
        with self._open(self._patches, self._made(changes)):
            yield

    @contextmanager
    def _open(self, blocks: list[Block], block: Block) -> Iterator[None]:
        """Have `block` among `blocks`, of which any may be the first to end."""
        self.check_caller()
        try:
            with self._lock:
                blocks.append(block)
                self._apply()
            yield
        finally:
            with self._lock:
                blocks[:] = [b for b in blocks if b is not block]
                self._apply()

    def check_caller(self) -> None:
        """UsageError in a function that the model is calling."""
        if self._caller == threading.get_ident():
            raise UsageError("a function of a patch can not use the model that calls it")

    @property
    def activations(self) -> dict[str, Tensor]:
        """What can be captured, and patched if it is no weight."""
        return self._plan.activations

    @property
    def changing(self) -> bool:
        """Whether anything is computed otherwise than the file says."""
        return bool(self._patches)

    def _apply(self) -> None:
        """Let the executor do what the blocks that are open ask for."""
        model, weights = self._model, [p for p in self._patches if p.weights or p.pairs]
        if weights != self._weights:
            plan = _patched(self._plan, model.checkpoint, model.n_ctx, weights)
            model.executor.follow(plan)
            model.plan, self._weights = plan, weights
        model.executor.edition = tuple(patch.identity for patch in self._patches)
        model.executor.hooks = self._hooks()

    def _hooks(self) -> dict[str, Hook]:
        """For each tensor patches in the order of their blocks, then captures."""
        plan, found = self._plan, dict[str, list[Hook]]()
        sources = {op.out: op.x for op in plan.ops if isinstance(op, ops.Reshape)}

        def add(name: str, hook: Hook) -> None:
            tensor = self.activations[name]
            while tensor in sources:  # the same values under another shape
                tensor = sources[tensor]
            found.setdefault(tensor.name, []).append(hook)

        for patch in self._patches:
            for name, change in patch.activations.items():
                add(name, partial(self._change, name, change))
        for capture in self._captures:
            for name in capture:
                add(name, partial(capture.add, name))
        return {name: partial(_in_order, hooks) for name, hooks in found.items()}

    def _change(self, name: str, change: OnActivation, values: Array, at: Array) -> None:
        tensor = self.activations[name]
        given = values.reshape(len(values), *tensor.shape).copy()
        self._caller = threading.get_ident()
        try:
            made = change(given, at)
        finally:
            self._caller = 0
        made = given if made is None else np.asarray(made)
        if made.shape != given.shape or made.dtype.kind not in "fiu":
            raise UsageError(
                f"patch of {name}: its function gave {made.dtype} of shape {made.shape}, wanted "
                f"{given.dtype} {given.shape}"
            )
        if tensor.ids:
            _check_experts(self._plan, tensor, made)
        with np.errstate(all="ignore"):
            values[...] = made.reshape(values.shape)

    def _made(self, changes: Mapping[str, Change]) -> Patch:
        """The patch that `changes` ask for; raises UsageError."""
        checkpoint, activations = self._model.checkpoint, self.activations
        if not changes:
            raise UsageError("patch: got no changes, wanted some such as {name: function}")
        made, tensors = Patch(), checkpoint.tensors
        for pattern, change in changes.items():
            found = _matching(pattern, [*activations, *tensors], "tensor")
            for name in [n for n in found if n in activations] or found:
                if name in activations:
                    if not callable(change):
                        what = "wanted a function of values and positions"
                        raise UsageError(f"patch of {name}: got {type(change).__name__}, {what}")
                    made.activations[name] = change  # type: ignore[assignment]
                elif name in self._plan.leftovers:
                    raise UsageError(f"patch of {name}: the model does not use this tensor")
                elif isinstance(change, tuple) and self._only_multiplied(name):
                    made.pairs[name] = _pair(name, change, tensors[name].shape)
                else:
                    now = self._now(name)
                    made.weights[name] = _weight(name, change, now)  # type: ignore[arg-type]
        return made

    def _only_multiplied(self, name: str) -> bool:
        """Whether the weights of that name are read in products of one matrix alone."""
        found = (op for op in self._plan.ops if (w := _weight_of(op)) and w.name == name)
        return {type(op) for op in found} == {ops.Linear}

    def _now(self, name: str) -> QTensor:
        """A weight as the patches in force have made it."""
        found = self._model.checkpoint.tensors[name]
        for patch in self._patches:
            found = patch.weights.get(name, found)
            if name in patch.pairs:
                found = _weight(name, patch.pairs[name], found)
        return found


def _weight_of(op: ops.Op) -> QTensor | None:
    """The matrix or matrices that an op reads."""
    weight = getattr(op, "weight", None)
    return weight if isinstance(weight, QTensor) else None


def _in_order(hooks: Sequence[Hook], values: Array, at: Array) -> None:
    at.setflags(write=False)
    for hook in hooks:
        hook(values, at)


def _matching(pattern: str, names: Iterable[str], kind: str) -> list[str]:
    """Those of `names` that `pattern` with its wildcards means; UsageError with near ones."""
    if not isinstance(pattern, str):
        raise UsageError(f"{kind}: got {pattern!r:.80}, wanted a name, or a pattern of names")
    names = list(names)
    found = [name for name in names if fnmatchcase(name, pattern)]
    if not found:
        near = _nearest(pattern, names) or "; model.activations lists those of activations"
        raise UsageError(f"no {kind} is named {pattern!r}{near}")
    return found


def _nearest(name: str, names: Iterable[str]) -> str:
    near = get_close_matches(name, names, 3)
    return f"; nearest: {', '.join(near)}" if near else ""


def _check_experts(plan: Plan, tensor: Tensor, numbers: Array) -> None:
    """UsageError where kernels would read what is not there."""
    n_expert = next(
        (op.scores.width for op in plan.ops if isinstance(op, ops.TopExperts) and op.out is tensor),
        0,
    )
    if not n_expert:
        raise UsageError(f"patch of {tensor.name}: numbers of positions can not be changed")
    if ((numbers < 0) | (numbers >= n_expert)).any() or numbers.dtype.kind == "f":
        what = f"experts are integers from 0 to {n_expert - 1}"
        raise UsageError(f"patch of {tensor.name}: {what}")


# ---- weights


def _numbers(name: str, values: object, shape: tuple[int | None, ...]) -> Array:
    """`values` as float32 of `shape`, None being any; UsageError for others, or not finite ones."""
    made = np.asarray(values)
    fits = len(made.shape) == len(shape) and all(
        b in (None, a) for a, b in zip(made.shape, shape, strict=True)
    )
    if not fits or made.dtype.kind not in "fiu":
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        what = f"got {made.dtype} of shape {made.shape}, wanted floats of ({wanted})"
        raise UsageError(f"patch of {name}: {what}")
    with np.errstate(all="ignore"):
        made = np.array(made, np.float32, order="C")  # a copy, which stays as it is
    if not np.isfinite(made).all():
        raise UsageError(f"patch of {name}: every weight must be finite in float32")
    return made


def _pair(name: str, change: Sequence[object], shape: tuple[int, ...]) -> Pair:
    """(..., n_out, r) and (..., r, n_in), whose product is to be added to a weight of `shape`."""
    if len(change) != 2 or len(shape) < 2:
        wanted = f"two arrays whose product has the shape {shape}"
        raise UsageError(f"patch of {name}: got {len(change)} of a tuple, wanted {wanted}")
    *several, n_out, n_in = shape
    first = _numbers(name, change[0], (*several, n_out, None))
    second = _numbers(name, change[1], (*several, first.shape[-1], n_in))
    if not first.size:
        raise UsageError(f"patch of {name}: got two arrays of rank 0, wanted at least 1")
    return first, second


def _weight(name: str, change: OnWeight | Array | QTensor | Pair, now: QTensor) -> QTensor:
    """What takes the place of `now`: of the same name and shape."""
    if isinstance(change, QTensor):
        row_bytes = now.width // change.format.block * change.format.block_bytes
        whole = now.width % change.format.block == 0
        data = np.ascontiguousarray(change.data)
        same = change.shape == now.shape and data.dtype == np.uint8
        if not same or not whole or data.shape != (now.n_rows, row_bytes):
            what = f"{change.format.name} of shape {change.shape}, wanted {now.shape}"
            raise UsageError(f"patch of {name}: got {what}, in whole blocks of bytes")
        return replace(now, format=change.format, data=data, offset=0, release=lambda: None)
    if isinstance(change, tuple):
        first, second = _pair(name, change, now.shape)
        values = now.decode() + first @ second
    elif callable(change):
        given = now.decode()
        made = change(given)
        values = _numbers(name, given if made is None else made, now.shape)
    else:
        values = _numbers(name, change, now.shape)
    data = np.ascontiguousarray(values, np.float32).reshape(now.n_rows, -1).view(np.uint8)
    return replace(now, format=by_name("f32"), data=data, offset=0, release=lambda: None)


def _patched(plan: Plan, checkpoint: Checkpoint, n_ctx: int, patches: Sequence[Patch]) -> Plan:
    """What a file computes whose tensors are those of `plan`, but for `patches`.

    What they leave as it is are the same tensors as in `plan`.
    """
    if not patches:
        return plan
    changed: dict[str, QTensor] = {}
    pairs: dict[str, list[Pair]] = {}
    for patch in patches:
        for name, weight in patch.weights.items():
            changed[name] = weight
            pairs.pop(name, None)
        for name, pair in patch.pairs.items():
            pairs.setdefault(name, []).append(pair)
    made = models.read(replace(checkpoint, tensors=checkpoint.tensors | changed), n_ctx)
    known = {_identity(weight): weight for weight in plan.weights()}
    made.ops = [op for old in made.ops for op in _steps(made, old, known, pairs)]
    return made


def _identity(weight: QTensor) -> tuple[object, ...]:
    return weight.address, weight.format.name, weight.shape


def _steps(
    plan: Plan,
    op: ops.Op,
    known: Mapping[tuple[object, ...], QTensor],
    pairs: Mapping[str, Sequence[Pair]],
) -> list[ops.Op]:
    """`op` with a weight that is known, and what is to be added to its product."""
    if (weight := _weight_of(op)) is None:
        return [op]
    op = replace(op, weight=known.get(_identity(weight), weight))  # type: ignore[call-arg]
    if not isinstance(op, ops.Linear) or weight.name not in pairs:
        return [op]
    firsts, seconds = zip(*pairs[weight.name], strict=True)
    inner, outer = np.concatenate(seconds), np.concatenate(firsts, axis=1)
    name, few = op.out.name, op.out.outputs_only
    low = plan.tensor(f"{name}.low_rank", (len(inner),), outputs_only=few)
    more = plan.tensor(f"{name}.more", op.out.shape, outputs_only=few)
    part = plan.tensor(f"{name}.part", op.out.shape, outputs_only=few)
    return [  # the file's product is the last of them: what it reads may be `Plan.hidden`
        ops.Linear(low, op.x, _floats(f"{name}.inner", inner), None),
        ops.Linear(more, low, _floats(f"{name}.outer", outer), None),
        replace(op, out=part),
        ops.Add(op.out, part, more),
    ]


def _floats(name: str, values: Array) -> QTensor:
    return QTensor(name, by_name("f32"), values.shape, values.view(np.uint8))
