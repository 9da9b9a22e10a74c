"""The reference executor: numpy float32, one operation at a time.

It is the oracle that every other executor is compared with, the fallback for what has no kernel,
and the debugger's view of a model: a hook on any named tensor sees its values. A q8_0 KV cache is
rounded as the CPU executor rounds it, to the same values.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches

import numpy as np

from vatra.engine.executor import KVType, Outputs, State, checked
from vatra.engine.kernels.layout import LEAST_PEAK, PART
from vatra.errors import UsageError
from vatra.models import plan as ops
from vatra.models.plan import Op, Plan, Tensor
from vatra.quant.tensor import QTensor

Array = np.ndarray
Hook = Callable[[Array], None]

CACHE_BYTES = 512 * 2**20  # decoded weights of smaller models are kept
SLAB_WEIGHTS = 2**24  # others are decoded this many at a time


class ReferenceExecutor:
    """Runs `plan` with numpy; `hooks[name]` is called with that tensor's values, (n, *shape).

    `cache_weights` keeps matrices decoded; by default for models below 512 MiB decoded.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        hooks: dict[str, Hook] | None = None,
        cache_weights: bool | None = None,
    ) -> None:
        self.plan = plan
        self.hooks = {} if hooks is None else hooks
        if cache_weights is None:
            cache_weights = _decoded_bytes(plan) < CACHE_BYTES
        self._decoded: dict[QTensor, Array] | None = {} if cache_weights else None
        self._last_uses = plan.last_uses()

    @staticmethod
    def weight_bytes(plan: Plan) -> int:
        """See `Executor.weight_bytes`."""
        decoded = _decoded_bytes(plan)
        return sum(w.nbytes for w in plan.weights()) + (decoded if decoded < CACHE_BYTES else 0)

    @staticmethod
    def kv_bytes_per_token(plan: Plan, kv: KVType) -> int:
        """See `Executor.kv_bytes_per_token`."""
        return State.bytes_per_token(plan.caches, kv)

    def new_state(self, n_ctx: int, kv: KVType = "f16") -> State:
        """See `Executor.new_state`."""
        return State(self, n_ctx, kv)

    def run(self, state: State, tokens: Array, position: int, outputs: Outputs = "last") -> Array:
        """See `Executor.run`; raises UsageError for a hook on a tensor that the plan lacks."""
        tokens = checked(self, state, tokens, position, outputs)
        self._check_hooks()
        call = _Run(self, state, tokens, position, outputs)
        if tokens.size == 0:
            return np.empty((0, self.plan.n_vocab), np.float32)
        # overflow and NaN must stay visible in the values, not as warnings
        with np.errstate(all="ignore"):
            for op, ended in zip(self.plan.ops, self._last_uses, strict=True):
                if outputs == "none" and isinstance(op, ops.SelectOutputs):
                    return np.empty((0, self.plan.n_vocab), np.float32)
                call.step(op)
                for tensor in ended:
                    del call.values[tensor]
        return call.values[self.plan.logits]

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
        for tensor, value in zip(_written(op), result, strict=True):
            self.values[tensor] = value.reshape(len(value), *tensor.shape)
            if (hook := self.executor.hooks.get(tensor.name)) is not None:
                hook(self.values[tensor])


def _written(op: Op) -> tuple[Tensor, ...]:
    return (op.out, op.weights) if isinstance(op, ops.TopExperts) else (op.out,)


def _embed(run: _Run, op: ops.Embed) -> tuple[Array]:
    return (op.weight.decode_rows(run.tokens),)


def _linear(run: _Run, op: ops.Linear) -> tuple[Array]:
    x = run.values[op.x]
    y = run.executor.matmul(x.reshape(len(x), -1), op.weight)
    return (y if op.bias is None else y + op.bias,)


def _rms_norm(run: _Run, op: ops.RmsNorm) -> tuple[Array]:
    x = run.values[op.x]
    mean = np.mean(x * x, axis=-1, keepdims=True)
    return (x / np.sqrt(mean + np.float32(op.eps)) * op.weight,)


def _rope(run: _Run, op: ops.Rope) -> tuple[Array]:
    x, pairs = run.values[op.x], len(op.frequencies)
    # float64: an angle of position 100,000 must still be right to a fraction of a radian
    angles = run.positions[:, None, None] * op.frequencies
    cos, sin = ((f(angles) * op.magnitude).astype(np.float32) for f in (np.cos, np.sin))
    out = x.copy()
    first = slice(0, 2 * pairs, 2) if op.interleaved else slice(0, pairs)
    second = slice(1, 2 * pairs, 2) if op.interleaved else slice(pairs, 2 * pairs)
    a, b = x[..., first], x[..., second]
    out[..., first] = a * cos - b * sin
    out[..., second] = a * sin + b * cos
    return (out,)


def _attention(run: _Run, op: ops.Attention) -> tuple[Array]:
    q, k, v = (run.values[t].swapaxes(0, 1) for t in (op.q, op.k, op.v))  # (heads, n, dim)
    start, end = run.positions[0], run.positions[-1] + 1
    i = run.executor.plan.caches.index(op.cache)
    keys, values = run.state.keys[i][:, :end], run.state.values[i][:, :end]
    if run.state.kv == "q8_0":
        k, v = rounded_q8_0(k), rounded_q8_0(v)
    keys[:, start:], values[:, start:] = k, v
    n_head, n, n_kv = len(q), len(run.positions), len(k)
    q = q.reshape(n_kv, n_head // n_kv * n, -1)  # the query heads of a KV head, one after another
    scores = (q @ keys.astype(np.float32).swapaxes(1, 2)).reshape(n_head, n, end)
    scores *= np.float32(op.scale)
    scores[:, np.arange(end) > run.positions[:, None]] = -np.inf
    shares = _softmax(scores).reshape(n_kv, -1, end)
    out = (shares @ values.astype(np.float32)).reshape(n_head, n, -1)
    return (out.swapaxes(0, 1),)


def rounded_q8_0(x: Array) -> Array:
    """float32 (..., dim) as bytes times a half, max|x| / 127, for each `PART` of them."""
    dim = x.shape[-1]
    parts = np.pad(x, ((0, 0),) * (x.ndim - 1) + ((0, -dim % PART),)).reshape(
        *x.shape[:-1], -1, PART
    )
    peak = np.abs(parts).max(-1, keepdims=True)
    factor = np.where(peak > LEAST_PEAK, np.float32(127) / np.maximum(peak, LEAST_PEAK), 0)
    scale = (peak / np.float32(127)).astype(np.float16).astype(np.float32)
    out: Array = (np.rint(parts * factor) * scale).reshape(*x.shape[:-1], -1)
    return out[..., :dim]


def _softmax(x: Array) -> Array:
    e: Array = np.exp(x - x.max(axis=-1, keepdims=True))
    e /= e.sum(axis=-1, keepdims=True)
    return e


def _add(run: _Run, op: ops.Add) -> tuple[Array]:
    return (run.values[op.x] + run.values[op.y],)


def _silu_mul(run: _Run, op: ops.SiluMul) -> tuple[Array]:
    gate = run.values[op.gate]
    return (gate / (1 + np.exp(-gate)) * run.values[op.up],)


def _top_experts(run: _Run, op: ops.TopExperts) -> tuple[Array, Array]:
    scores = run.values[op.scores]
    chosen = np.argsort(-scores, axis=-1, kind="stable")[:, : op.out.width].astype(np.int32)
    shares = np.take_along_axis(_softmax(scores), chosen, axis=-1)
    if op.normalise:
        shares /= shares.sum(axis=-1, keepdims=True)
    return chosen, shares * np.float32(op.scale)


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


def _select_outputs(run: _Run, op: ops.SelectOutputs) -> tuple[Array]:
    x = run.values[op.x]
    return (x if run.outputs == "all" else x[-1:],)


VERBS: dict[type[Op], Callable[..., tuple[Array, ...]]] = {
    ops.Embed: _embed,
    ops.Linear: _linear,
    ops.RmsNorm: _rms_norm,
    ops.Rope: _rope,
    ops.Attention: _attention,
    ops.Add: _add,
    ops.SiluMul: _silu_mul,
    ops.TopExperts: _top_experts,
    ops.ExpertLinear: _expert_linear,
    ops.WeightedSum: _weighted_sum,
    ops.SelectOutputs: _select_outputs,
}
