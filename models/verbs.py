"""The verbs an architecture is written in: each checks shapes and records one operation.

Outputs are named after the weights they come from (`blk.0.attn_q`) or the tensor they change
(`blk.0.attn_q.rope`). Shapes are per token. A wrong shape here is a mistake in an architecture's
file, not in a model's, and raises ValueError.
"""

from __future__ import annotations

from vatra.models import plan as ops
from vatra.models.plan import KVCache, Plan, Tensor
from vatra.models.rope import Rotation
from vatra.models.weights import Matrix, Vector


def embed(plan: Plan, table: Matrix) -> Tensor:
    """(n_embd,): the row of `table` for each token."""
    out = plan.tensor(table.name, table.weight.shape[1:])
    return plan.record(ops.Embed(out, table.weight))


def rms_norm(x: Tensor, w: Vector, eps: float) -> Tensor:
    """x's shape: x over the root of its mean square, times `w`, along the last axis."""
    _check(x.shape[-1:] == w.data.shape, w.name, f"{x.name} is {x.shape}, weight {w.data.shape}")
    return x.plan.record(ops.RmsNorm(_out(w.name, x.shape, x), x, w.data, eps))


def linear(x: Tensor, w: Matrix, head_dim: int | None = None, *, name: str | None = None) -> Tensor:
    """(n_out,), or (n_out / head_dim, head_dim): w @ x (+ bias); x is read as one row of n_in."""
    n_out, n_in = w.weight.shape
    _check(x.width == n_in, w.name, f"{x.name} is {x.shape}, weight {w.weight.shape}")
    _check(n_out % (head_dim or 1) == 0, w.name, f"{n_out} rows are not heads of {head_dim}")
    shape = (n_out,) if head_dim is None else (n_out // head_dim, head_dim)
    return x.plan.record(ops.Linear(_out(name or w.name, shape, x), x, w.weight, w.bias))


def rope(x: Tensor, rotation: Rotation) -> Tensor:
    """x's shape (heads, head_dim): each head turned by the token's position."""
    pairs = len(rotation.frequencies)
    _check(2 * pairs <= x.shape[-1], x.name, f"{pairs} pairs to turn in heads of {x.shape[-1]}")
    _check(not x.outputs_only, x.name, "positions are known of all tokens together only")
    out = _out(_after(x, "rope"), x.shape, x)
    frequencies, magnitude = rotation.frequencies, rotation.magnitude
    return x.plan.record(ops.Rope(out, x, frequencies, rotation.interleaved, magnitude))


def attention(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """(n_head, value_dim): softmax(scale * q k^T) v over this token and all before it."""
    plan, (n_head, key_dim), (n_head_kv, value_dim) = q.plan, q.shape, v.shape
    _check(k.shape == (n_head_kv, key_dim), "attention", f"q {q.shape}, k {k.shape}, v {v.shape}")
    _check(n_head % n_head_kv == 0, "attention", f"{n_head} heads share {n_head_kv} KV heads")
    _check(not q.outputs_only, "attention", "keys and values of all tokens are needed")
    out = _out("attention", (n_head, value_dim), q, k, v)
    cache = KVCache(out.name, n_head_kv, key_dim, value_dim)
    plan.caches.append(cache)
    return plan.record(ops.Attention(out, q, k, v, cache, scale))


def add(x: Tensor, y: Tensor) -> Tensor:
    """x's shape: x + y."""
    _check(x.shape == y.shape, y.name, f"x {x.shape}, y {y.shape}")
    return x.plan.record(ops.Add(_out(_after(y, "add"), x.shape, x, y), x, y))


def silu_mul(gate: Tensor, up: Tensor) -> Tensor:
    """gate's shape: silu(gate) * up."""
    _check(gate.shape == up.shape, gate.name, f"gate {gate.shape}, up {up.shape}")
    out = _out(_after(gate, "silu_mul"), gate.shape, gate, up)
    return gate.plan.record(ops.SiluMul(out, gate, up))


def top_experts(
    scores: Tensor, k: int, *, normalise: bool, scale: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Expert numbers (k,) and shares (k,): the highest of softmax(scores), scores (n_expert,)."""
    _check(1 <= k <= scores.width, scores.name, f"{k} of {scores.width} experts")
    plan, only = scores.plan, scores.outputs_only
    out = plan.tensor(_after(scores, "experts"), (k,), outputs_only=only, ids=True)
    shares = _out(_after(scores, "shares"), (k,), scores)
    plan.record(ops.TopExperts(out, shares, scores, normalise, scale))
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


def _check(ok: bool, name: str, what: str) -> None:
    if not ok:
        raise ValueError(f"{name}: {what}")
