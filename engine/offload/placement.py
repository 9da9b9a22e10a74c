"""How many layers of a model go on a device: as many as were asked for, or as its memory holds."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from vatra.choices import Choice
from vatra.engine.executor import Executor
from vatra.engine.memory import mebibytes
from vatra.engine.offload.device import Device, choose
from vatra.engine.offload.executor import open_on
from vatra.engine.offload.lowering import objection
from vatra.engine.offload.memory import free, has_own, needs
from vatra.engine.offload.split import Split, layers, split
from vatra.errors import OutOfMemory, UsageError
from vatra.models.plan import Plan

FILLED = 0.9  # of what is free: drivers, kernels and the pieces of attention take some, too


class Placement:
    """`wanted` layers, "all" or, by memory, "auto", on the device that `choose` finds by `name`.

    When they are `cut`, `choice` says how many and why, and `note` what a person should know.
    """

    def __init__(self, wanted: int | str, name: str | None) -> None:
        self.wanted, self.device = wanted, Device(choose(name))
        self.left = free(self.device.adapter)

    def cut(self, plan: Plan, n_ctx: int) -> Plan:
        """Decide for a context of `n_ctx` tokens; returns what the processor's memory must hold.

        Raises OutOfMemory where a number is known to be too large, UsageError for "auto" where it
        is not known how much there is.
        """
        adapter, left, starts = self.device.adapter, self.left, layers(plan)

        def needed(n: int) -> int:
            return needs(plan.ops[starts[len(starts) - n] :], n_ctx) if n else 0

        wanted = self.wanted if isinstance(self.wanted, int) else len(starts)
        found = self._split(plan, wanted)
        reasons = [found.reason] if found.n < min(wanted, len(starts)) else []
        there = "" if left is None else f"{mebibytes(left.n_bytes)} are {left.reason}"
        if self.wanted == "auto" and found.n:
            if left is None:
                raise UsageError(
                    f"-ngl auto: nothing here tells how much memory {adapter} has; give a number "
                    "of layers"
                )
            reasons.append(f"{there}, of which {FILLED:.0%} may be filled")
            n = bisect_right(range(found.n + 1), round(FILLED * left.n_bytes), key=needed) - 1
            if n < found.n:
                reasons.append(f"one more layer would make it {mebibytes(needed(n + 1))}")
                found = self._split(plan, n)
        elif left is not None and has_own(adapter) and needed(found.n) > left.n_bytes:
            raise OutOfMemory(
                f"{found.n} layers and the output take {mebibytes(needed(found.n))} of {adapter}, "
                f"of which {there}: -ngl auto takes as many as fit"
            )
        self._cut, self._needed = found, needed(found.n)
        self._say(found.n, "; ".join(reasons))
        return found.near if found.n and has_own(adapter) else plan

    def open(self, near: Callable[[Plan], Executor]) -> Executor:
        """What runs the plan: see `open_on`."""
        executor, why_not = open_on(self.device, self._cut, near)
        if why_not:
            self._say(0, why_not)
        return executor

    def _split(self, plan: Plan, n: int) -> Split:
        return split(plan, n, lambda op: objection(op, self.device.most_binding))

    def _say(self, n: int, why: str) -> None:
        """That it is `n` layers, for the reason `why`, or as asked for."""
        there = f" and the output, {mebibytes(self._needed)}" if n else ""
        value = f"{n} of {self._cut.n_layers}{there}, on {self.device.adapter}"
        self.choice = Choice("layers on a device", value, why or "as asked for")
        self.note = why and f"layers on a device: {value}: {why}"
