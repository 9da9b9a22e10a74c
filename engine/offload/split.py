"""Where a plan is cut in two: its last layers and its output are for a device."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

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
    """`plan` with its last `n` layers apart, or as many as have no op with an `objection`."""
    starts = layers(plan)
    best = Split(plan, len(plan.ops), plan.logits, 0, len(starts), "")
    if not plan.writes:
        return replace(best, reason="only those of a model that writes text can be there")
    if plan.memories:
        why = f"{plan.architecture} has recurrent layers, which cannot be there"
        return replace(best, reason=why)
    for count in range(1, min(n, len(starts)) + 1):
        begin = starts[len(starts) - count]
        end = starts[len(starts) - count + 1] if count > 1 else len(plan.ops)
        found = next(filter(None, map(objection, plan.ops[begin:end])), None)
        if found is not None:
            return replace(best, reason=f"layer {len(starts) - count}: {found}")
        if (given := _crossing(plan, begin)) is not None:
            best = replace(best, begin=begin, given=given, n=count)
    reason = "" if best.n == n else "the model has no more"
    if best.n < min(n, len(starts)):
        reason = f"layer {len(starts) - best.n - 1}: more than one tensor goes on from it"
    return replace(best, reason=reason)


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
