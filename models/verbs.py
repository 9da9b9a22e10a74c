"""The verbs an architecture is written in: each checks shapes and records one operation.

Outputs are named after the weights they come from (`blk.0.attn_q`) or the tensor they change
(`blk.0.attn_q.rope`). Shapes are per token. A wrong shape here is a mistake in an architecture's
file, not in a model's, and raises ValueError.
"""

from __future__ import annotations

from math import prod

import numpy as np

from vatra.models import plan as ops
from vatra.models.plan import KVCache, Memory, Plan, Tensor
from vatra.models.rope import Rotation
from vatra.models.weights import Matrix, Vector

Array = np.ndarray


def embed(plan: Plan, table: Matrix) -> Tensor:
    """(n_embd,): the row of `table` for each token."""
    out = plan.tensor(table.name, table.weight.shape[1:])
    return plan.record(ops.Embed(out, table.weight))


def embed_position(plan: Plan, table: Matrix) -> Tensor:
    """(n_embd,): the row of `table` for each token's position."""
    out = plan.tensor(table.name, table.weight.shape[1:])
    plan.n_positions = min(table.weight.n_rows, plan.n_positions or table.weight.n_rows)
    return plan.record(ops.Embed(out, table.weight, by_position=True))


# ---- products


def linear(x: Tensor, w: Matrix, head_dim: int | None = None, *, name: str | None = None) -> Tensor:
    """(n_out,), or (n_out / head_dim, head_dim): w @ x (+ bias); x is read as one row of n_in."""
    n_out, n_in = w.weight.shape
    _check(x.width == n_in, w.name, f"{x.name} is {x.shape}, weight {w.weight.shape}")
    _check(n_out % (head_dim or 1) == 0, w.name, f"{n_out} rows are not heads of {head_dim}")
    shape = (n_out,) if head_dim is None else (n_out // head_dim, head_dim)
    scaled = w.factor != 1.0
    out = _out(w.name if scaled else name or w.name, shape, x)
    y = x.plan.record(ops.Linear(out, x, w.weight, None if scaled else w.bias))
    return affine(y, None, w.bias, w.factor, name=name) if scaled else y


def qkv_heads(
    x: Tensor, w: tuple[Matrix, Matrix, Matrix], key_dim: int, value_dim: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (n_head, key_dim), keys (n_head_kv, key_dim) and values (n_head_kv, value_dim)."""
    q, k, v = w
    return linear(x, q, key_dim), linear(x, k, key_dim), linear(x, v, value_dim)


def head_linear(x: Tensor, w: Matrix) -> Tensor:
    """(n_head, n_out): each head's own matrix of w (n_head, n_out, n_in) times its row of x."""
    n_head, n_out, n_in = w.weight.shape
    _check(x.shape == (n_head, n_in), w.name, f"{x.name} is {x.shape}, weight {w.weight.shape}")
    _check(w.bias is None, w.name, "matrices of heads have no bias")
    return x.plan.record(ops.HeadLinear(_out(w.name, (n_head, n_out), x), x, w.weight))


# ---- norms


def rms_norm(x: Tensor, w: Vector | None, eps: float) -> Tensor:
    """x's shape: x over the root of its mean square, times `w`, along the last axis."""
    name, weight = _weight_of(x, w, "rms_norm")
    return x.plan.record(ops.RmsNorm(_out(name, x.shape, x), x, weight, eps))


def layer_norm(x: Tensor, w: Vector | None, eps: float) -> Tensor:
    """x's shape: x with mean 0 and variance 1 along the last axis, times `w`, plus its bias."""
    name, weight = _weight_of(x, w, "layer_norm")
    bias = None if w is None or w.bias is None else _fitted(w.bias, x, w.name)
    return x.plan.record(ops.LayerNorm(_out(name, x.shape, x), x, weight, bias, eps))


def l2_norm(x: Tensor, eps: float) -> Tensor:
    """x's shape: x over its length along the last axis."""
    return x.plan.record(ops.L2Norm(_out(_after(x, "l2_norm"), x.shape, x), x, eps))


# ---- positions and attention


def rope(x: Tensor, rotation: Rotation, first: int = 0) -> Tensor:
    """x's shape (heads, head_dim): the values from `first` of each head turned by the position.

    x itself where no pair turns.
    """
    if not rotation.frequencies.any() and rotation.magnitude == 1.0:
        return x
    pairs = len(rotation.frequencies)
    fits = first + 2 * pairs <= x.shape[-1]
    _check(fits, x.name, f"{pairs} pairs to turn from {first} in heads of {x.shape[-1]}")
    _check(not x.outputs_only, x.name, "positions are known of all tokens together only")
    out = _out(_after(x, "rope"), x.shape, x)
    frequencies, magnitude = rotation.frequencies, rotation.magnitude
    return x.plan.record(ops.Rope(out, x, frequencies, rotation.interleaved, magnitude, first))


def position_scale(x: Tensor, every: int, slope: float, offset: int = 0) -> Tensor:
    """x's shape: x * (1 + slope * ln(1 + floor((position + offset) / every)))."""
    _check(not x.outputs_only, x.name, "positions are known of all tokens together only")
    out = _out(_after(x, "position_scale"), x.shape, x)
    return x.plan.record(ops.PositionScale(out, x, every, slope, offset))


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor | int,
    scale: float,
    *,
    window: int | None = None,
    chunk: int | None = None,
    softcap: float | None = None,
    slopes: Array | None = None,
    sinks: Vector | None = None,
    biases: Array | None = None,
) -> Tensor:
    """(n_head, value_dim): softmax(scale * q k^T) v over this token and all before it.

    A number as v says that values are the first so many of each key. In a plan that is not causal
    over all tokens, or half of a `window` on each side. For the options see `plan.Attention`.
    """
    causal = q.plan.causal
    _check(causal or chunk is None, "attention", "chunks of what is not causal")
    out, values, cache = _remembered(q, k, v, (window or chunk) if causal else None)
    reach = None if causal or not window else window // 2
    return _attention(
        out, q, k, values, cache, scale, chunk, softcap, slopes, sinks, reach=reach, biases=biases
    )


def _remembered(
    q: Tensor, k: Tensor, v: Tensor | int, window: int | None = None
) -> tuple[Tensor, Tensor | None, KVCache]:
    """What attention makes, the values it is given, and where they are kept.

    In a plan that is not causal nobody else reads what a layer has stored: equal ones share.
    """
    n_head_kv, value_dim = (k.shape[0], v) if isinstance(v, int) else v.shape
    fits = k.shape == (n_head_kv, q.shape[1]) and (not isinstance(v, int) or 0 < v <= k.shape[1])
    _check(fits, "attention", f"q {q.shape}, k {k.shape}, v {v if isinstance(v, int) else v.shape}")
    values = None if isinstance(v, int) else v
    out = _out("kqv_out", (q.shape[0], value_dim), q, k, *([] if values is None else [values]))
    cache = KVCache(out.name, n_head_kv, q.shape[1], value_dim, window, in_keys=values is None)
    caches, sizes = q.plan.caches, (cache.n_head_kv, cache.key_dim, cache.value_dim)
    if not q.plan.causal:
        alike = (c for c in caches if (c.n_head_kv, c.key_dim, c.value_dim) == sizes)
        cache = next(alike, cache)
    if cache not in caches:
        caches.append(cache)
    return out, values, cache


def sparse_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor | int,
    scale: float,
    chosen: Tensor,
    *,
    block: int = 1,
    sinks: Vector | None = None,
) -> Tensor:
    """(n_head, value_dim): attention to `chosen` positions alone; see `plan.SparseAttention`."""
    groups = chosen.shape[0]
    fits = chosen.ids and k.shape[0] % groups == 0
    _check(fits, chosen.name, f"{k.shape[0]} heads in {groups}")
    out, values, cache = _remembered(q, k, v)
    extra = None if sinks is None else sinks.data
    return q.plan.record(
        ops.SparseAttention(
            out, q, k, values, cache, scale, sinks=extra, chosen=chosen, block=block
        )
    )


def top_positions(q: Tensor, k: Tensor, weights: Tensor, most: int) -> Tensor:
    """(1, most) positions to attend to, by the heads of q and weights; see `plan.TopPositions`."""
    n_head, dim = q.shape
    fits = k.shape == (1, dim) and weights.shape == (n_head,)
    _check(fits, "top_positions", f"q {q.shape}, k {k.shape}, weights {weights.shape}")
    out, cache = _chosen(q, "top_positions", 1, most)
    return q.plan.record(ops.TopPositions(out, q, k, weights, cache))


def top_blocks(q: Tensor, k: Tensor, most: int, *, block: int, own: int) -> Tensor:
    """(n_head, most) blocks to attend to, for each head of q; see `plan.TopBlocks`."""
    n_head, dim = q.shape
    _check(k.shape == (1, dim), "top_blocks", f"q {q.shape}, k {k.shape}")
    _check(0 <= own <= most, "top_blocks", f"{own} blocks of its own among {most}")
    out, cache = _chosen(q, "top_blocks", n_head, most)
    return q.plan.record(ops.TopBlocks(out, q, k, cache, block, own))


def _chosen(q: Tensor, name: str, groups: int, most: int) -> tuple[Tensor, KVCache]:
    """Numbers (groups, most) of positions or blocks, and a cache of keys for choosing them."""
    _check(not q.outputs_only, name, "keys of all tokens are needed")
    out = q.plan.tensor(name, (groups, most), ids=True)
    cache = KVCache(out.name, 1, q.shape[1], 0)
    q.plan.caches.append(cache)
    return out, cache


def attention_again(
    q: Tensor,
    cache: KVCache,
    scale: float,
    *,
    softcap: float | None = None,
    sinks: Vector | None = None,
) -> Tensor:
    """(n_head, value_dim): attention to the keys and values that an earlier layer has stored."""
    _check(q.shape[1] == cache.key_dim, "attention", f"q {q.shape}, keys of {cache.key_dim}")
    out = _out("kqv_out", (q.shape[0], cache.value_dim), q)
    return _attention(out, q, None, None, cache, scale, None, softcap, None, sinks)


def _attention(
    out: Tensor,
    q: Tensor,
    k: Tensor | None,
    v: Tensor | None,
    cache: KVCache,
    scale: float,
    chunk: int | None,
    softcap: float | None,
    slopes: Array | None,
    sinks: Vector | None,
    reach: int | None = None,
    biases: Array | None = None,
) -> Tensor:
    n_head, n_head_kv = q.shape[0], cache.n_head_kv
    _check(n_head % n_head_kv == 0, "attention", f"{n_head} heads share {n_head_kv} KV heads")
    _check(not q.outputs_only, "attention", "keys and values of all tokens are needed")
    extra = None if sinks is None else sinks.data
    for values in (slopes, extra):
        fits = values is None or values.shape == (n_head,)
        _check(fits, "attention", f"one value for each of {n_head} heads")
    fits = biases is None or (biases.shape[0] == n_head and biases.shape[1] % 2 == 1)
    _check(fits, "attention", "a bias for each head and distance")
    causal = q.plan.causal
    made = ops.Attention(
        out, q, k, v, cache, scale, chunk, softcap, slopes, extra, causal, reach, biases
    )
    return q.plan.record(made)


# ---- value by value


def add(x: Tensor, y: Tensor) -> Tensor:
    """x's shape: x + y."""
    _check(x.shape == y.shape, y.name, f"x {x.shape}, y {y.shape}")
    return x.plan.record(ops.Add(_out(_after(y, "add"), x.shape, x, y), x, y))


def mul(x: Tensor, y: Tensor) -> Tensor:
    """x's shape: x * y; y's last axis may be 1."""
    fits = y.shape in (x.shape, (*x.shape[:-1], 1))
    _check(fits, y.name, f"x {x.shape}, y {y.shape}")
    return x.plan.record(ops.Mul(_out(_after(x, "mul"), x.shape, x, y), x, y))


def scale(x: Tensor, factor: float) -> Tensor:
    """x's shape: factor * x; x itself for 1."""
    if factor == 1.0:
        return x
    out = _out(_after(x, "scale"), x.shape, x)
    return x.plan.record(ops.Scale(out, x, factor, None, None))


def affine(
    x: Tensor,
    w: Array | None = None,
    bias: Array | None = None,
    factor: float = 1.0,
    *,
    name: str | None = None,
) -> Tensor:
    """x's shape: factor * x * w + bias, both of x's last axis or of all of its shape."""
    made = [None if a is None else _fitted(a, x, "affine") for a in (w, bias)]
    out = _out(name or _after(x, "affine"), x.shape, x)
    return x.plan.record(ops.Scale(out, x, factor, *made))


def activation(x: Tensor, kind: str) -> Tensor:
    """x's shape: `kind`(x), one of `plan.ACTIVATIONS`."""
    _check(kind in ops.ACTIVATIONS, x.name, f"no activation {kind}")
    return x.plan.record(ops.Activation(_out(_after(x, kind), x.shape, x), x, kind))


def softcap(x: Tensor, cap: float, *, name: str | None = None) -> Tensor:
    """x's shape: cap * tanh(x / cap), or x where the cap is 0."""
    if not cap:
        return x if name is None else reshape(x, *x.shape, name=name)
    out = _out(name or _after(x, "softcap"), x.shape, x)
    return x.plan.record(ops.Softcap(out, x, cap))


def clamp(x: Tensor, low: float, high: float) -> Tensor:
    """x's shape: x, at least `low` and at most `high`."""
    return x.plan.record(ops.Clamp(_out(_after(x, "clamp"), x.shape, x), x, low, high))


def total(x: Tensor) -> Tensor:
    """(..., 1): the sum of x along its last axis."""
    return x.plan.record(ops.Sum(_out(_after(x, "total"), (*x.shape[:-1], 1), x), x))


def glu(gate: Tensor, up: Tensor, kind: str = "silu") -> Tensor:
    """gate's shape: `kind`(gate) * up."""
    _check(gate.shape == up.shape, gate.name, f"gate {gate.shape}, up {up.shape}")
    _check(kind in ops.ACTIVATIONS, gate.name, f"no activation {kind}")
    out = _out(_after(gate, "glu"), gate.shape, gate, up)
    return gate.plan.record(ops.Glu(out, gate, up, kind))


# ---- other shapes of the same values


def reshape(x: Tensor, *shape: int, name: str | None = None) -> Tensor:
    """The same values as `shape`, or under another name."""
    _check(prod(shape) == x.width, x.name, f"{x.shape} as {shape}")
    if shape == x.shape and name is None:
        return x
    return x.plan.record(ops.Reshape(_out(name or _after(x, "reshape"), shape, x), x))


def split(x: Tensor, *sizes: int) -> tuple[Tensor, ...]:
    """x in pieces of `sizes` along its last axis, which they fill."""
    _check(sum(sizes) == x.shape[-1], x.name, f"{x.shape} in pieces of {sizes}")
    firsts = (sum(sizes[:i]) for i in range(len(sizes)))
    return tuple(piece(x, first, size) for first, size in zip(firsts, sizes, strict=True))


def piece(x: Tensor, first: int, size: int) -> Tensor:
    """(..., size): the values from `first` of x's last axis."""
    fits = first >= 0 and size > 0 and first + size <= x.shape[-1]
    _check(fits, x.name, f"{size} values from {first} of {x.shape}")
    out = _out(_after(x, "slice"), (*x.shape[:-1], size), x)
    return x.plan.record(ops.Slice(out, x, first))


def concat(x: Tensor, y: Tensor) -> Tensor:
    """x then y along the last axis."""
    _check(x.shape[:-1] == y.shape[:-1], x.name, f"x {x.shape}, y {y.shape}")
    out = _out(_after(x, "concat"), (*x.shape[:-1], x.shape[-1] + y.shape[-1]), x, y)
    return x.plan.record(ops.Concat(out, x, y))


def repeat(x: Tensor, times: int, *, tiled: bool = False) -> Tensor:
    """(n * times, dim): each row of x (n, dim) `times` times in a row, or all rows over again."""
    n, dim = x.shape
    if times == 1:
        return x
    out = _out(_after(x, "repeat"), (n * times, dim), x)
    return x.plan.record(ops.Repeat(out, x, times, tiled))


# ---- mixtures of experts


def top_experts(
    scores: Tensor,
    k: int,
    *,
    normalise: bool,
    scale: float = 1.0,
    gating: str = "softmax",
    bias: Vector | None = None,
    n_group: int = 1,
    n_group_used: int = 1,
    factors: Vector | None = None,
) -> tuple[Tensor, Tensor]:
    """Expert numbers (k,) and shares (k,) chosen by scores (n_expert,); see `plan.TopExperts`."""
    n_expert = scores.width
    _check(1 <= k <= n_expert, scores.name, f"{k} of {n_expert} experts")
    _check(gating in ops.GATINGS, scores.name, f"no gating {gating}")
    for v in (bias, factors):
        fits = v is None or v.data.shape == (n_expert,)
        _check(fits, scores.name, "one bias and one factor for each expert")
    _check(n_expert % n_group == 0, scores.name, f"{n_expert} experts in {n_group} groups")
    plan, only = scores.plan, scores.outputs_only
    out = plan.tensor(_after(scores, "experts"), (k,), outputs_only=only, ids=True)
    shares = _out(_after(scores, "shares"), (k,), scores)
    added, each = (None if v is None else v.data for v in (bias, factors))
    plan.record(
        ops.TopExperts(
            out, shares, scores, normalise, scale, gating, added, n_group, n_group_used, each
        )
    )
    return out, shares


def expert_linear(x: Tensor, experts: Tensor, w: Matrix) -> Tensor:
    """(k, n_out): each chosen expert's matrix times x (n_in,), or times its row of x (k, n_in)."""
    _, n_out, n_in = w.weight.shape
    k = experts.width
    _check(x.shape in ((n_in,), (k, n_in)), w.name, f"{x.name} is {x.shape}, {w.weight.shape}")
    out = _out(w.name, (k, n_out), x, experts)
    return x.plan.record(ops.ExpertLinear(out, x, experts, w.weight, w.bias))


def weighted_sum(x: Tensor, weights: Tensor) -> Tensor:
    """(n,): the rows of x (k, n) times `weights` (k,), summed."""
    _check(x.shape[:1] == weights.shape, x.name, f"x {x.shape}, weights {weights.shape}")
    out = _out(_after(x, "sum"), x.shape[1:], x, weights)
    return x.plan.record(ops.WeightedSum(out, x, weights))


# ---- recurrences


def convolution(x: Tensor, kernel: Array, bias: Array | None = None) -> Tensor:
    """(channels,): each channel of x over time, by its own row of `kernel` (channels, n)."""
    channels, n = kernel.shape
    _check(x.shape == (channels,), x.name, f"{x.shape}, a kernel of {kernel.shape}")
    memory = _memory(x, "convolution", (n - 1, channels))
    out = _out(_after(x, "convolution"), x.shape, x)
    return x.plan.record(ops.Convolution(out, memory, x, kernel, bias))


def token_shift(x: Tensor) -> Tensor:
    """x's shape: x of the token before, zeros for the first."""
    memory = _memory(x, "token_shift", x.shape)
    return x.plan.record(ops.TokenShift(_out(_after(x, "token_shift"), x.shape, x), memory, x))


def selective_scan(
    x: Tensor, dt: Tensor | None, b: Tensor, c: Tensor, a: Array, d: Array | None
) -> Tensor:
    """x's shape (n_head, dim): Mamba's state-space layer; see `plan.SelectiveScan`."""
    (n_head, dim), (n_group, n_state) = x.shape, b.shape
    fits = (dt is None or dt.shape == (n_head,)) and c.shape == b.shape and n_head % n_group == 0
    fits = fits and a.shape in ((n_head, 1), (n_head, n_state))
    fits = fits and (d is None or d.shape == (n_head,))
    _check(fits, x.name, f"x {x.shape}, b {b.shape}, c {c.shape}, a {a.shape}")
    memory = _memory(x, "selective_scan", (n_head, dim, n_state))
    out = _out(_after(x, "scan"), x.shape, *(t for t in (x, dt, b, c) if t is not None))
    return x.plan.record(ops.SelectiveScan(out, memory, x, dt, b, c, a, d))


def delta_rule(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, scale: float
) -> Tensor:
    """v's shape (n_head, value_dim): linear attention by the delta rule; see `plan.DeltaRule`."""
    (n_head, key_dim), (_, value_dim) = q.shape, v.shape
    fits = k.shape == q.shape and v.shape[0] == n_head and beta.shape == (n_head,)
    fits = fits and decay.shape in ((n_head, 1), (n_head, key_dim))
    _check(fits, "delta_rule", f"q {q.shape}, k {k.shape}, v {v.shape}, decay {decay.shape}")
    memory = _memory(q, "delta_rule", (n_head, key_dim, value_dim))
    out = _out("delta_rule", v.shape, q, k, v, decay, beta)
    return q.plan.record(ops.DeltaRule(out, memory, q, k, v, decay, beta, scale))


def wkv(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor,
    a: Tensor | None = None,
    b: Tensor | None = None,
    *,
    before: bool = False,
) -> Tensor:
    """v's shape (n_head, value_dim): RWKV's memory; see `plan.Wkv`."""
    (n_head, key_dim), (_, value_dim) = r.shape, v.shape
    given = [t for t in (r, k, decay, a, b) if t is not None]
    fits = all(t.shape == r.shape for t in given) and v.shape[0] == n_head
    _check(fits and (a is None) == (b is None), "wkv", f"r {r.shape}, k {k.shape}, v {v.shape}")
    memory = _memory(r, "wkv", (n_head, key_dim, value_dim))
    out = _out("wkv", v.shape, *given, v)
    return r.plan.record(ops.Wkv(out, memory, r, k, v, decay, a, b, before))


def select_outputs(x: Tensor) -> Tensor:
    """x's shape, only for the tokens whose logits are asked for; everything after has no others."""
    out = x.plan.tensor("outputs", x.shape, outputs_only=True)
    return x.plan.record(ops.SelectOutputs(out, x))


def _out(name: str, shape: tuple[int, ...], *inputs: Tensor) -> Tensor:
    """A new tensor with a row for each token that the inputs have rows for."""
    first = inputs[0]
    alike = all(x.outputs_only == first.outputs_only for x in inputs)
    _check(alike, name, "some inputs are of all tokens, some only of those whose logits are wanted")
    return first.plan.tensor(name, shape, outputs_only=first.outputs_only)


def _after(x: Tensor, verb: str) -> str:
    """`x.verb`, relative to the plan's scope, which a tensor of this scope has in its name."""
    return x.plan.relative(x.name) + "." + verb


def _memory(x: Tensor, verb: str, shape: tuple[int, ...]) -> Memory:
    """A new memory of the plan, for an op that goes through all tokens in order."""
    _check(not x.outputs_only, x.name, "every token is needed")
    made = Memory(_after(x, verb), shape)
    x.plan.memories.append(made)
    return made


def _weight_of(x: Tensor, w: Vector | None, verb: str) -> tuple[str, Array | None]:
    """The name of a norm's output, and its weight in a shape that fits x."""
    return (_after(x, verb), None) if w is None else (w.name, _fitted(w.data, x, w.name))


def _fitted(values: Array, x: Tensor, name: str) -> Array:
    """`values` with x's last axis, or with all of its shape."""
    _check(values.size in (x.shape[-1], x.width), name, f"{x.name} is {x.shape}, {values.shape}")
    return values.reshape(x.shape if values.size == x.width else x.shape[-1:])


def _check(ok: bool, name: str, what: str) -> None:
    if not ok:
        raise ValueError(f"{name}: {what}")
