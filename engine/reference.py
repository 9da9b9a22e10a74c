"""The reference executor: numpy float32, one operation at a time.

It is the oracle that every other executor is compared with, the fallback for what has no kernel,
and the debugger's view of a model. A KV cache of q8_0 or q4_0 is rounded as the CPU executor
rounds it, to the same values, and so are the queries; every one keeps all positions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from math import pi, sqrt
from typing import ClassVar

import numpy as np

from vatra.engine.executor import Hook, KVType, Outputs, Part, State
from vatra.engine.kernels.layout import LEAST_PEAK, PAGE, PART
from vatra.engine.pages import Pages
from vatra.engine.parts import prepared
from vatra.errors import UsageError
from vatra.models import plan as ops
from vatra.models.plan import Op, Plan, Tensor
from vatra.quant import by_name
from vatra.quant.tensor import QTensor

Array = np.ndarray

CACHE_BYTES = 512 * 2**20  # decoded weights of smaller models are kept
SLAB_WEIGHTS = 2**24  # others are decoded this many at a time


class ReferenceExecutor:
    """Runs `plan` with numpy; for `hooks`, of any tensor, see `Executor`.

    `cache_weights` keeps matrices decoded; by default for models below 512 MiB decoded.
    """

    state_class: ClassVar[type[State]] = State

    def __init__(
        self,
        plan: Plan,
        *,
        hooks: Mapping[str, Hook] | None = None,
        cache_weights: bool | None = None,
    ) -> None:
        self.plan = plan
        self.hooks = dict(hooks or {})
        self.edition: tuple[object, ...] = ()
        if cache_weights is None:
            cache_weights = _decoded_bytes(plan) < CACHE_BYTES
        self._decoded: dict[QTensor, Array] | None = {} if cache_weights else None
        self._last_uses = plan.last_uses()

    @staticmethod
    def weight_bytes(plan: Plan) -> int:
        """See `Executor.weight_bytes`."""
        decoded = _decoded_bytes(plan)
        return sum(w.nbytes for w in plan.weights()) + (decoded if decoded < CACHE_BYTES else 0)

    def new_pages(self, n_tokens: int, kv: KVType = "f16") -> Pages:
        """See `Executor.new_pages`."""
        return State.new_pages(self.plan, n_tokens, kv)

    def new_state(
        self,
        n_ctx: int,
        kv: KVType = "f16",
        pages: Pages | None = None,
        shared: Sequence[int] = (),
    ) -> State:
        """See `Executor.new_state`."""
        return State(self, n_ctx, kv, pages, shared)

    def follow(self, plan: Plan) -> None:
        """See `Executor.follow`."""
        if self._decoded is not None:
            kept = set(plan.weights())
            self._decoded = {w: values for w, values in self._decoded.items() if w in kept}
        self.plan, self._last_uses = plan, plan.last_uses()

    def begin(self, part: Part) -> Iterator[Array | None]:
        """See `Executor.begin`: all at once."""
        yield self.run_batch([part])[0]

    def kind(self, n_tokens: int) -> Hashable:
        """See `Executor.kind`."""
        return self.edition

    def run(self, state: State, tokens: Array, position: int, outputs: Outputs = "last") -> Array:
        """See `Executor.run`; raises UsageError for a hook on a tensor that the plan lacks."""
        return self.run_batch([Part(state, tokens, position, outputs)])[0]

    def run_batch(self, parts: Sequence[Part]) -> list[Array]:
        """See `Executor.run_batch`: one after the other."""
        self._check_hooks()
        return [
            self._run(part.state, part.tokens, part.position, part.outputs)
            for part in prepared(self, parts)
        ]

    def _run(self, state: State, tokens: Array, position: int, outputs: Outputs) -> Array:
        call = _Run(self, state, tokens, position, outputs)
        nothing = np.empty((0, self.plan.logits.width), np.float32)
        if tokens.size == 0:
            return nothing if outputs != "hidden" else nothing[:, : self.plan.hidden.width]
        # overflow and NaN must stay visible in the values, not as warnings
        with np.errstate(all="ignore"), state.running(position, len(tokens)):
            for op, ended in zip(self.plan.ops, self._last_uses, strict=True):
                if outputs == "none" and isinstance(op, ops.SelectOutputs):
                    return nothing
                call.step(op)
                if outputs == "hidden" and op.out is self.plan.hidden:
                    break
                for tensor in ended:
                    del call.values[tensor]
        return call.values[self.plan.hidden if outputs == "hidden" else self.plan.logits]

    def matmul(self, x: Array, weight: QTensor, first: int = 0, rows: int | None = None) -> Array:
        """x (n, n_in) times `rows` rows of `weight` from row `first`: (n, rows)."""
        stop = weight.n_rows if rows is None else first + rows
        if self._decoded is not None:
            if weight not in self._decoded:
                self._decoded[weight] = weight.decode().reshape(weight.n_rows, weight.width)
            y: Array = x @ self._decoded[weight][first:stop].T
            return y
        step = max(1, SLAB_WEIGHTS // weight.width)
        slabs = (weight.data[r : min(r + step, stop)] for r in range(first, stop, step))
        return np.concatenate([x @ weight.format.decode(slab).T for slab in slabs], axis=1)

    def _check_hooks(self) -> None:
        for name in self.hooks:
            if name not in self.plan.tensors:
                near = get_close_matches(name, self.plan.tensors, 3)
                raise UsageError(f"no tensor is named {name!r}; nearest: {', '.join(near)}")


def _decoded_bytes(plan: Plan) -> int:
    return 4 * sum(w.n_rows * w.width for w in plan.weights())


class _Run:
    """One call of `run`: the values of its tensors, float32 (n, *shape) or int32 expert numbers."""

    def __init__(
        self,
        executor: ReferenceExecutor,
        state: State,
        tokens: Array,
        position: int,
        outputs: Outputs,
    ) -> None:
        self.executor, self.state, self.tokens, self.outputs = executor, state, tokens, outputs
        self.positions = np.arange(position, position + len(tokens))
        self.values: dict[Tensor, Array] = {}

    def step(self, op: Op) -> None:
        """Evaluate one operation and show its results to the hooks."""
        result = VERBS[type(op)](self, op)
        for tensor, value in zip(op.written, result, strict=True):
            self.values[tensor] = value.reshape(len(value), *tensor.shape)
            if (hook := self.executor.hooks.get(tensor.name)) is not None:
                self.values[tensor] = self.values[tensor].copy()  # it may share others' memory
                hook(self.values[tensor], self.positions[-len(value) :])


def _embed(run: _Run, op: ops.Embed) -> tuple[Array]:
    return (op.weight.decode_rows(run.positions if op.by_position else run.tokens),)


def _linear(run: _Run, op: ops.Linear) -> tuple[Array]:
    x = run.values[op.x]
    y = run.executor.matmul(x.reshape(len(x), -1), op.weight)
    return (y if op.bias is None else y + op.bias,)


def _head_linear(run: _Run, op: ops.HeadLinear) -> tuple[Array]:
    x, (n_head, n_out, _) = run.values[op.x], op.weight.shape
    made = [run.executor.matmul(x[:, h], op.weight, h * n_out, n_out) for h in range(n_head)]
    return (np.stack(made, 1),)


def _rms_norm(run: _Run, op: ops.RmsNorm) -> tuple[Array]:
    x = run.values[op.x]
    mean = np.mean(x * x, axis=-1, keepdims=True)
    y = x / np.sqrt(mean + np.float32(op.eps))
    return (y if op.weight is None else y * op.weight,)


def _layer_norm(run: _Run, op: ops.LayerNorm) -> tuple[Array]:
    x = run.values[op.x]
    x = x - np.mean(x, axis=-1, keepdims=True)
    y = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float32(op.eps))
    y = y if op.weight is None else y * op.weight
    return (y if op.bias is None else y + op.bias,)


def _l2_norm(run: _Run, op: ops.L2Norm) -> tuple[Array]:
    x = run.values[op.x]
    length = np.sqrt(np.sum(x * x, axis=-1, keepdims=True))
    return (x / np.maximum(length, np.float32(op.eps)),)


def _rope(run: _Run, op: ops.Rope) -> tuple[Array]:
    x, pairs = run.values[op.x], len(op.frequencies)
    # float64: an angle of position 100,000 must still be right to a fraction of a radian
    angles = run.positions[:, None, None] * op.frequencies
    cos, sin = ((f(angles) * op.magnitude).astype(np.float32) for f in (np.cos, np.sin))
    out = x.copy()
    start, end = op.first, op.first + 2 * pairs
    first = slice(start, end, 2) if op.interleaved else slice(start, start + pairs)
    second = slice(start + 1, end, 2) if op.interleaved else slice(start + pairs, end)
    a, b = x[..., first], x[..., second]
    out[..., first] = a * cos - b * sin
    out[..., second] = a * sin + b * cos
    return (out,)


def _position_scale(run: _Run, op: ops.PositionScale) -> tuple[Array]:
    x = run.values[op.x]
    factor = 1 + op.slope * np.log(1 + (run.positions + op.offset) // op.every)
    return (x * factor.astype(np.float32).reshape(-1, *(1,) * (x.ndim - 1)),)


def _keep(run: _Run, i: int, side: Array, values: Array) -> None:
    """Write `values` (n, n_head_kv, dim) of this run into the pages of the i-th cache."""
    pages = run.state.tables[i].ids[run.positions // PAGE]
    side[pages, :, run.positions % PAGE] = values


def _kept(run: _Run, i: int, side: Array) -> Array:
    """(n_head_kv, end, dim): what pages of the i-th cache hold up to the end of this run."""
    end = run.positions[-1] + 1
    pages = side[run.state.tables[i].ids[: -(-end // PAGE)]].swapaxes(0, 1)
    return pages.reshape(len(pages), pages.shape[1] * PAGE, side.shape[-1])[:, :end]


def _attention(run: _Run, op: ops.Attention) -> tuple[Array]:
    q = run.values[op.q].swapaxes(0, 1)  # (heads, n, dim)
    i, end = run.executor.plan.caches.index(op.cache), run.positions[-1] + 1
    for side, new in ((run.state.keys[i], op.k), (run.state.values[i], op.v)):
        if new is not None:
            _keep(run, i, side, rounded(run.values[new], run.state.kv))
    keys, values = (_kept(run, i, side[i]) for side in (run.state.keys, run.state.values))
    if op.cache.in_keys:
        values = keys[..., : op.cache.value_dim]
    n_head, n, n_kv = len(q), len(run.positions), len(keys)
    if run.state.kv in ("q8_0", "q4_0"):
        q = rounded(q, "q8_0", np.float32)
    q = q.reshape(n_kv, n_head // n_kv * n, -1)  # the query heads of a KV head, one after another
    scores = (q @ keys.astype(np.float32).swapaxes(1, 2)).reshape(n_head, n, end)
    scores *= np.float32(op.scale)
    if op.softcap is not None:
        scores = np.float32(op.softcap) * np.tanh(scores / np.float32(op.softcap))
    distance = np.arange(end) - run.positions[:, None]  # of key and query
    if op.slopes is not None:
        scores -= op.slopes[:, None, None] * np.abs(distance).astype(np.float32)
    if op.biases is not None:
        most = op.biases.shape[1] // 2
        scores += op.biases[:, np.clip(distance, -most, most) + most]
    far = (distance > 0) & op.causal
    if op.reach is not None:
        far |= np.abs(distance) > op.reach
    elif op.chunk is not None:
        far |= np.arange(end) < run.positions[:, None] // op.chunk * op.chunk
    elif op.cache.window is not None:
        far |= distance <= -op.cache.window
    scores[:, far] = -np.inf
    if isinstance(op, ops.SparseAttention):
        left_out = _left_out(run, op, end)  # (n_group, n, end)
        scores[np.repeat(left_out, n_head // len(left_out), axis=0)] = -np.inf
    if op.sinks is not None:
        sinks = np.broadcast_to(op.sinks[:, None, None], (n_head, n, 1))
        scores = np.concatenate([scores, sinks], axis=-1)
    shares = _softmax(scores)[..., :end].reshape(n_kv, -1, end)
    out = (shares @ values.astype(np.float32)).reshape(n_head, n, -1)
    return (out.swapaxes(0, 1),)


def _left_out(run: _Run, op: ops.SparseAttention, end: int) -> Array:
    """bool (n_group, n, end): the positions that no chosen block has."""
    assert op.chosen is not None
    chosen = run.values[op.chosen].swapaxes(0, 1)  # (n_group, n, most)
    n_blocks = -(-end // op.block)
    left_out = np.ones((*chosen.shape[:2], n_blocks + 1), bool)  # the last for -1
    np.put_along_axis(left_out, chosen, False, axis=-1)
    return np.repeat(left_out[..., :n_blocks], op.block, axis=-1)[..., :end]


def _scores_of_all(run: _Run, op: ops.TopPositions | ops.TopBlocks) -> Array:
    """float32 (n, n_head, end): q k^T of every position in the cache, once k is there as well."""
    q, i = run.values[op.q], run.executor.plan.caches.index(op.cache)
    _keep(run, i, run.state.keys[i], rounded(run.values[op.k], run.state.kv))
    scores: Array = q @ _kept(run, i, run.state.keys[i])[0].astype(np.float32).T
    return scores


def _best(scores: Array, most: int) -> Array:
    """int32 (..., most): where the highest scores are; -1 instead of one that is -inf."""
    best = np.argsort(-scores, axis=-1, kind="stable")[..., :most].astype(np.int32)
    best[np.take_along_axis(scores, best, axis=-1) == -np.inf] = -1
    missing = most - best.shape[-1]
    return np.pad(best, ((0, 0),) * (best.ndim - 1) + ((0, missing),), constant_values=-1)


def _top_positions(run: _Run, op: ops.TopPositions) -> tuple[Array]:
    scores = np.maximum(_scores_of_all(run, op), 0)  # (n, n_head, end)
    scores = np.einsum("th,the->te", run.values[op.weights], scores)
    scores[np.arange(scores.shape[1]) > run.positions[:, None]] = -np.inf
    return (_best(scores, op.out.shape[1]),)


def _top_blocks(run: _Run, op: ops.TopBlocks) -> tuple[Array]:
    scores = _scores_of_all(run, op)  # (n, n_head, end)
    end = scores.shape[-1]
    later = np.arange(end) > run.positions[:, None]
    scores = np.where(later[:, None], -np.inf, scores)
    fill = ((0, 0), (0, 0), (0, -end % op.block))
    scores = np.pad(scores, fill, constant_values=-np.inf)
    scores = scores.reshape(*scores.shape[:2], -1, op.block).max(axis=-1)  # (n, n_head, blocks)
    back = run.positions[:, None] // op.block - np.arange(scores.shape[-1])
    scores[np.broadcast_to(((back >= 0) & (back < op.own))[:, None], scores.shape)] = np.inf
    return (_best(scores, op.out.shape[1]),)


def rounded(x: Array, kv: KVType, scales: type[np.floating] = np.float16) -> Array:
    """float32 (..., dim) as codes and scales, one for each `PART`, if a KV cache is of such a kind.

    `scales` is what q8_0's, which are max|x| / 127, are rounded to.
    """
    if kv in ("f16", "f32"):
        return x
    dim = x.shape[-1]
    parts = np.pad(x, ((0, 0),) * (x.ndim - 1) + ((0, -dim % PART),))
    parts = parts.reshape(*x.shape[:-1], -1, PART)
    if kv == "q8_0":
        peak = np.abs(parts).max(-1, keepdims=True)
        factor = np.where(peak > LEAST_PEAK, np.float32(127) / np.maximum(peak, LEAST_PEAK), 0)
        made = np.rint(parts * factor) * (peak / np.float32(127)).astype(scales).astype(np.float32)
    else:
        kind = by_name(kv)
        made = kind.decode(kind.encode(parts.reshape(-1, PART)))
    return made.reshape(*x.shape[:-1], -1)[..., :dim]


def _softmax(x: Array) -> Array:
    e: Array = np.exp(x - x.max(axis=-1, keepdims=True))
    e /= e.sum(axis=-1, keepdims=True)
    return e


def _add(run: _Run, op: ops.Add) -> tuple[Array]:
    return (run.values[op.x] + run.values[op.y],)


def _mul(run: _Run, op: ops.Mul) -> tuple[Array]:
    return (run.values[op.x] * run.values[op.y],)


def _scale(run: _Run, op: ops.Scale) -> tuple[Array]:
    y = run.values[op.x] * np.float32(op.factor)
    y = y if op.weight is None else y * op.weight
    return (y if op.bias is None else y + op.bias,)


def _sigmoid(x: Array) -> Array:
    y: Array = np.float32(0.5) * (1 + np.tanh(np.float32(0.5) * x))
    return y


def _softplus(x: Array) -> Array:
    y: Array = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    return y


def _gelu(x: Array) -> Array:
    inner = np.float32(sqrt(2 / pi)) * (x + np.float32(0.044715) * x * x * x)
    y: Array = np.float32(0.5) * x * (1 + np.tanh(inner))
    return y


def _gelu_erf(x: Array) -> Array:
    erf = np.vectorize(math.erf, otypes=[np.float32])
    y: Array = np.float32(0.5) * x * (1 + erf(x / np.float32(sqrt(2))))
    return y


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": _gelu,
    "gelu_erf": _gelu_erf,
    "gelu_quick": lambda x: x / (1 + np.exp(np.float32(-1.702) * x)),
    "relu": lambda x: np.maximum(x, 0),
    "relu2": lambda x: np.square(np.maximum(x, 0)),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "softplus": _softplus,
    "exp": np.exp,
}


def _activation(run: _Run, op: ops.Activation) -> tuple[Array]:
    return (ACTIVATIONS[op.kind](run.values[op.x]),)


def _softcap(run: _Run, op: ops.Softcap) -> tuple[Array]:
    cap = np.float32(op.cap)
    return (cap * np.tanh(run.values[op.x] / cap),)


def _clamp(run: _Run, op: ops.Clamp) -> tuple[Array]:
    return (np.clip(run.values[op.x], np.float32(op.low), np.float32(op.high)),)


def _sum(run: _Run, op: ops.Sum) -> tuple[Array]:
    return (run.values[op.x].sum(axis=-1, keepdims=True),)


def _glu(run: _Run, op: ops.Glu) -> tuple[Array]:
    return (ACTIVATIONS[op.kind](run.values[op.gate]) * run.values[op.up],)


def _reshape(run: _Run, op: ops.Reshape) -> tuple[Array]:
    return (run.values[op.x],)


def _slice(run: _Run, op: ops.Slice) -> tuple[Array]:
    return (run.values[op.x][..., op.first : op.first + op.out.shape[-1]],)


def _concat(run: _Run, op: ops.Concat) -> tuple[Array]:
    return (np.concatenate([run.values[op.x], run.values[op.y]], axis=-1),)


def _repeat(run: _Run, op: ops.Repeat) -> tuple[Array]:
    x = run.values[op.x]
    return (np.tile(x, (1, op.times, 1)) if op.tiled else np.repeat(x, op.times, axis=1),)


def _top_experts(run: _Run, op: ops.TopExperts) -> tuple[Array, Array]:
    scores = run.values[op.scores]
    gate: dict[str, Callable[[Array], Array]] = {
        "softmax": _softmax,
        "sigmoid": _sigmoid,
        "sqrt_softplus": lambda x: np.sqrt(_softplus(x)),
        "chosen_softmax": lambda x: x,
    }
    found = gate[op.gating](scores)
    rank = found if op.bias is None else found + op.bias
    if op.n_group > 1:
        groups = rank.reshape(len(rank), op.n_group, -1)
        best = np.sort(groups, axis=-1)[..., -2:].sum(-1)
        used = np.argsort(-best, axis=-1, kind="stable")[:, : op.n_group_used]
        left_out = np.ones_like(best, bool)
        np.put_along_axis(left_out, used, False, axis=-1)
        rank = np.where(left_out[..., None], -np.inf, groups).reshape(rank.shape)
    chosen = np.argsort(-rank, axis=-1, kind="stable")[:, : op.out.width].astype(np.int32)
    shares = np.take_along_axis(found, chosen, axis=-1)
    if op.gating == "chosen_softmax":
        shares = _softmax(shares)
    if op.normalise:
        shares = shares / np.maximum(shares.sum(axis=-1, keepdims=True), np.float32(2**-14))
    shares = shares * np.float32(op.scale)
    return chosen, shares if op.factors is None else shares * op.factors[chosen]


def _expert_linear(run: _Run, op: ops.ExpertLinear) -> tuple[Array]:
    x, experts = run.values[op.x], run.values[op.experts]
    n_out = op.weight.shape[1]
    out = np.empty((*experts.shape, n_out), np.float32)
    for e in np.unique(experts):
        token, slot = np.nonzero(experts == e)
        rows = x[token] if len(op.x.shape) == 1 else x[token, slot]
        out[token, slot] = run.executor.matmul(rows, op.weight, e * n_out, n_out)
        if op.bias is not None:
            out[token, slot] += op.bias[e]
    return (out,)


def _weighted_sum(run: _Run, op: ops.WeightedSum) -> tuple[Array]:
    return (np.einsum("tk,tkn->tn", run.values[op.weights], run.values[op.x]),)


def _memory(run: _Run, op: ops.Recurrence) -> Array:
    """What the op has kept, to be changed in place."""
    return run.state.memories[run.executor.plan.memories.index(op.memory)]


def _convolution(run: _Run, op: ops.Convolution) -> tuple[Array]:
    memory, n = _memory(run, op), op.kernel.shape[1]
    x = np.concatenate([memory, run.values[op.x]])
    memory[:] = x[len(x) - n + 1 :]
    windows = np.lib.stride_tricks.sliding_window_view(x, n, axis=0)  # (tokens, channels, n)
    y = np.einsum("tcn,cn->tc", windows, op.kernel)
    return (y if op.bias is None else y + op.bias,)


def _token_shift(run: _Run, op: ops.TokenShift) -> tuple[Array]:
    memory, x = _memory(run, op), run.values[op.x]
    y = np.concatenate([memory[None], x[:-1]])
    memory[:] = x[-1]
    return (y,)


def _selective_scan(run: _Run, op: ops.SelectiveScan) -> tuple[Array]:
    h, (n_head, _) = _memory(run, op), op.x.shape
    x, b, c = (run.values[t] for t in (op.x, op.b, op.c))
    dt = np.ones((len(x), n_head), np.float32) if op.dt is None else run.values[op.dt]
    b, c = (np.repeat(t, n_head // t.shape[1], axis=1) for t in (b, c))  # (n, n_head, n_state)
    out = np.empty_like(x)
    for t in range(len(x)):
        decay = np.exp(dt[t, :, None] * op.a)  # (n_head, 1 or n_state)
        h *= decay[:, None]
        h += (dt[t, :, None] * x[t])[..., None] * b[t, :, None]
        out[t] = np.einsum("hdn,hn->hd", h, c[t])
    return (out if op.d is None else out + op.d[:, None] * x,)


def _delta_rule(run: _Run, op: ops.DeltaRule) -> tuple[Array]:
    s = _memory(run, op)
    q, k, v, decay, beta = (run.values[t] for t in (op.q, op.k, op.v, op.decay, op.beta))
    out = np.empty_like(v)
    for t in range(len(v)):
        s *= np.exp(decay[t])[..., None]
        wrong = v[t] - np.einsum("hkv,hk->hv", s, k[t])
        s += k[t][..., None] * (beta[t][:, None] * wrong)[:, None]
        out[t] = np.einsum("hkv,hk->hv", s, q[t])
    return (out * np.float32(op.scale),)


def _wkv(run: _Run, op: ops.Wkv) -> tuple[Array]:
    s = _memory(run, op)
    r, k, v, decay = (run.values[t] for t in (op.r, op.k, op.v, op.decay))
    out = np.empty_like(v)
    for t in range(len(v)):
        if op.before:
            out[t] = np.einsum("hkv,hk->hv", s, r[t])
        new = np.exp(decay[t])[..., None] * s + k[t][..., None] * v[t][:, None]
        if op.a is not None and op.b is not None:
            a, b = run.values[op.a][t], run.values[op.b][t]
            new += b[..., None] * np.einsum("hkv,hk->hv", s, a)[:, None]
        s[:] = new
        if not op.before:
            out[t] = np.einsum("hkv,hk->hv", s, r[t])
    return (out,)


def _select_outputs(run: _Run, op: ops.SelectOutputs) -> tuple[Array]:
    x = run.values[op.x]
    return (x if run.outputs in ("all", "hidden") else x[-1:],)


VERBS: dict[type[Op], Callable[..., tuple[Array, ...]]] = {
    ops.Embed: _embed,
    ops.Linear: _linear,
    ops.HeadLinear: _head_linear,
    ops.RmsNorm: _rms_norm,
    ops.LayerNorm: _layer_norm,
    ops.L2Norm: _l2_norm,
    ops.Rope: _rope,
    ops.PositionScale: _position_scale,
    ops.Attention: _attention,
    ops.SparseAttention: _attention,
    ops.TopPositions: _top_positions,
    ops.TopBlocks: _top_blocks,
    ops.Add: _add,
    ops.Mul: _mul,
    ops.Scale: _scale,
    ops.Activation: _activation,
    ops.Softcap: _softcap,
    ops.Clamp: _clamp,
    ops.Sum: _sum,
    ops.Glu: _glu,
    ops.Reshape: _reshape,
    ops.Slice: _slice,
    ops.Concat: _concat,
    ops.Repeat: _repeat,
    ops.TopExperts: _top_experts,
    ops.ExpertLinear: _expert_linear,
    ops.WeightedSum: _weighted_sum,
    ops.Convolution: _convolution,
    ops.TokenShift: _token_shift,
    ops.SelectiveScan: _selective_scan,
    ops.DeltaRule: _delta_rule,
    ops.Wkv: _wkv,
    ops.SelectOutputs: _select_outputs,
}
