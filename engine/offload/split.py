"""Where a plan is cut in two: its last layers and its output are for a device."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from vatra.errors import UsageError
from vatra.models.plan import Attention, Op, Plan, Tensor


@dataclass(frozen=True)
class Split:
    """A plan cut before op `begin`, where `given` is all that goes on: `n` layers come after it."""

    plan: Plan
    begin: int
    given: Tensor
    n: int
    n_layers: int  # of the plan
    reason: str  # why it is no more

    @property
    def far(self) -> list[Op]:
        """The ops after the cut."""
        return self.plan.ops[self.begin :]

    @property
    def near(self) -> Plan:
        """The ops before the cut, as a plan that gives a vector of each token."""
        plan, own = self.plan, self.plan.ops[: self.begin]
        written = {tensor for op in own for tensor in op.written}
        caches = {getattr(op, "cache", None) for op in own}
        return Plan(
            plan.architecture,
            plan.n_vocab,
            plan.n_ctx_train,
            embeds=True,
            ops=own,
            tensors={name: t for name, t in plan.tensors.items() if t in written},
            caches=[cache for cache in plan.caches if cache in caches],
            n_positions=plan.n_positions,
        )


def split(plan: Plan, n: int, objection: Callable[[Op], str | None]) -> Split:
    """`plan` with its last `n` layers apart, or as many as have no op with an `objection`.

    UsageError that says why, if that is none.
    """
    starts = layers(plan)
    reason = "" if n <= len(starts) else "the model has no more"
    if not plan.causal or plan.embeds:
        raise UsageError("only the layers of a model that writes text can be on a device")
    if plan.memories:
        raise UsageError(f"{plan.architecture} has recurrent layers, which cannot be on a device")
    best: Split | None = None
    for count in range(1, min(n, len(starts)) + 1):
        begin = starts[len(starts) - count]
        end = starts[len(starts) - count + 1] if count > 1 else len(plan.ops)
        found = next(filter(None, map(objection, plan.ops[begin:end])), None)
        if found is not None:
            reason = f"layer {len(starts) - count}: {found}"
            break
        given = _crossing(plan, begin)
        if given is not None:
            best = Split(plan, begin, given, count, len(starts), "")
        else:
            reason = f"layer {len(starts) - count}: more than one tensor goes on from it"
    if best is None:
        raise UsageError(f"no layer can be on a device: {reason or 'none was asked for'}")
    return best if best.n == n else replace(best, reason=reason)


def layers(plan: Plan) -> list[int]:
    """The first op of each layer."""
    starts: dict[int, int] = {}
    for i, op in enumerate(plan.ops):
        if (found := re.match(r"blk\.(\d+)\.", op.out.name)) is not None:
            starts.setdefault(int(found[1]), i)
    return [starts[number] for number in sorted(starts)]


def _crossing(plan: Plan, begin: int) -> Tensor | None:
    """The one tensor that the ops from `begin` on read of those before, if it is the last made."""
    own, rest = plan.ops[:begin], plan.ops[begin:]
    written = {tensor for op in own for tensor in op.written}
    read = {t for op in rest for t in vars(op).values() if isinstance(t, Tensor)} & written
    caches = [{op.cache for op in part if isinstance(op, Attention)} for part in (own, rest)]
    if not own or read != {own[-1].out} or caches[0] & caches[1]:
        return None
    return own[-1].out
