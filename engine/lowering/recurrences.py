"""What goes through the tokens in order, with a memory of the state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from vatra.engine.kernels import layout
from vatra.models import plan as ops
from vatra.models.plan import Tensor

if TYPE_CHECKING:
    from vatra.engine.lowering import Lowering


def convolution(low: Lowering, op: ops.Convolution) -> None:
    _through_tokens(
        low,
        "convolution",
        op,
        {"x": op.x},
        filters=low.vector(op.kernel.T),
        bias=low.vector(op.bias),
        width=op.x.width,
        taps=op.kernel.shape[1],
    )


def token_shift(low: Lowering, op: ops.TokenShift) -> None:
    _through_tokens(low, "token_shift", op, {"x": op.x}, width=op.x.width)


def selective_scan(low: Lowering, op: ops.SelectiveScan) -> None:
    (n_head, dim), (n_group, n_state) = op.x.shape, op.b.shape
    _through_tokens(
        low,
        "selective_scan",
        op,
        {"x": op.x, "dt": op.dt, "b": op.b, "c": op.c},
        a=low.vector(op.a),
        d=low.vector(op.d),
        n_head=n_head,
        dim=dim,
        n_group=n_group,
        n_state=n_state,
        per_state=int(op.a.shape[1] > 1),
    )


def delta_rule(low: Lowering, op: ops.DeltaRule) -> None:
    (n_head, key_dim), value_dim = op.q.shape, op.v.shape[1]
    _through_tokens(
        low,
        "delta_rule",
        op,
        {"q": op.q, "k": op.k, "v": op.v, "decay": op.decay, "beta": op.beta},
        n_head=n_head,
        key_dim=key_dim,
        value_dim=value_dim,
        per_key=int(op.decay.shape[1] > 1),
        scale=op.scale,
    )


def wkv(low: Lowering, op: ops.Wkv) -> None:
    (n_head, key_dim), value_dim = op.r.shape, op.v.shape[1]
    _through_tokens(
        low,
        "wkv",
        op,
        {"r": op.r, "k": op.k, "v": op.v, "decay": op.decay, "a": op.a, "b": op.b},
        n_head=n_head,
        key_dim=key_dim,
        value_dim=value_dim,
        before=int(op.before),
    )


def _through_tokens(
    low: Lowering,
    kernel: str,
    op: ops.Recurrence,
    reads: dict[str, Tensor | None],
    **arguments: Any,
) -> None:
    """Add a step that goes through the tokens in order, with a memory of the state.

    What there is not to read is 0 for the kernel.
    """
    low.new(op.out)
    i = low.plan.memories.index(op.memory)
    low.step(
        f"recurrence:{kernel}",
        {name: tensor for name, tensor in reads.items() if tensor is not None},
        {"out": op.out},
        {"memory": ("memories", i)},
        of_sequence=True,
        rows=layout.RUN_TOKENS,
        **dict.fromkeys((name for name, t in reads.items() if t is None), cast(Any, 0)),
        **arguments,
    )
