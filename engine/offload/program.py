"""The kernels of some layers, bound to their buffers: a run of them is one command buffer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from time import perf_counter
from typing import NamedTuple
from weakref import WeakKeyDictionary

from vatra.engine.offload.device import Bound, Buffer, Commands, Groups
from vatra.engine.offload.lowering import Lowering, Scratch, Side, Sizes, Step
from vatra.engine.offload.pages import DevicePages


class _Ahead(NamedTuple):
    """A run that may be the next, encoded while the one before it was under way."""

    key: tuple[Sizes, bool, bool]
    work: list[tuple[Bound, Groups]]
    commands: Commands


class Timing(NamedTuple):
    """What all kernels of a kind take in one run."""

    kernel: str
    n: int  # of them
    nbytes: int  # of weights that they read
    seconds: float


class Program:
    """Runs what `low` has made, with KV caches that each run brings."""

    def __init__(self, low: Lowering) -> None:
        self.low, self._device = low, low.device
        self._scratch: dict[str, Buffer] = {}
        # bound to pages, as long as those are there
        self._bound = WeakKeyDictionary[DevicePages, dict[Step, Bound]]()
        self._ahead = WeakKeyDictionary[DevicePages, _Ahead]()

    def submit(
        self, sizes: Sizes, pages: DevicePages, hidden: bool = False, greedy: bool = False
    ) -> None:
        """Run the steps, up to `plan.hidden` alone if `hidden`, and the argmax if `greedy`."""
        self._grow(sizes)
        key = sizes, hidden, greedy
        ahead = self._ahead.pop(pages, None)
        if ahead is None or ahead.key != key:
            work = self.work(sizes, pages, hidden, greedy)
            ahead = _Ahead(key, work, self._device.encode(work))
        self._device.submit(ahead.commands)
        if sizes.few:
            self._ahead[pages] = ahead._replace(commands=self._device.encode(ahead.work))

    def work(
        self, sizes: Sizes, pages: DevicePages, hidden: bool = False, greedy: bool = False
    ) -> list[tuple[Bound, Groups]]:
        """What `submit` runs."""
        low = self.low
        steps = low.steps[: low.n_hidden] if hidden else low.steps
        every = [*steps, *low.choose] if greedy else steps
        found = [(step, step.groups(sizes)) for step in every]
        return [(self._bind(step, pages), groups) for step, groups in found if all(groups)]

    def timings(self, sizes: Sizes, pages: DevicePages, again: int = 10) -> list[Timing]:
        """What each kind of kernel takes in a run like the last one, the slowest first.

        Each kind alone, `again` times over in one submission; results and pages are garbage then.
        """
        kinds = defaultdict[str, list[tuple[Step, Groups]]](list)
        for step in self.low.steps:
            if all(groups := step.groups(sizes)):
                name = (
                    f"{step.kernel} {step.constants.get('format', step.constants.get('value', ''))}"
                )
                kinds[name.strip()].append((step, groups))
        nothing = self._seconds([])
        found = []
        for kernel, steps in kinds.items():
            work = [(self._bind(step, pages), groups) for step, groups in steps]
            self._seconds(work)
            seconds = max(self._seconds(work * again) - nothing, 0.0) / again
            weights = [step.buffers[1] for step, _ in steps if "format" in step.constants]
            nbytes = sum(buffer.nbytes for buffer in weights if isinstance(buffer, Buffer))
            found.append(Timing(kernel, len(steps), nbytes, seconds))
        return sorted(found, key=lambda timing: -timing.seconds)

    def _seconds(self, work: list[tuple[Bound, Groups]]) -> float:
        """From submission to the end of `work`."""
        commands = self._device.encode(work)
        begun = perf_counter()
        self._device.submit(commands)
        self._device.read(self.low.tokens, 4)
        return perf_counter() - begun

    def _grow(self, sizes: Sizes) -> None:
        """Have scratch for the attention of a run."""
        heads = max((op.q.shape[0] for op in self.low.attentions), default=0)
        rows = heads * sizes.n * sizes.n_splits
        wide = max((op.cache.value_dim for op in self.low.attentions), default=0)
        for name, nbytes in (("found", 4 * rows * wide), ("peaks", 8 * rows)):
            if name not in self._scratch or self._scratch[name].nbytes < nbytes:
                # in this order an interrupt leaves nothing bound to what is too small
                self._bound.clear()
                self._ahead.clear()
                most = self._device.most_binding
                self._scratch[name] = self._device.empty(max(nbytes, min(2 * nbytes, most)))

    def _bind(self, step: Step, pages: DevicePages) -> Bound:
        """`step` with the buffers of a run, its kernel compiled; both are done once."""
        bound = self._bound.setdefault(pages, {})
        if step not in bound:
            kernel = self._device.kernel(step.kernel, **step.constants)
            bound[step] = self._device.bind(kernel, self._resolved(step, pages.sides))
        return bound[step]

    def _resolved(self, step: Step, sides: Mapping[Side, Buffer]) -> dict[int, Buffer]:
        found: dict[int, Buffer] = {}
        for i, buffer in step.buffers.items():
            if isinstance(buffer, Side):
                buffer = sides[buffer]
            elif isinstance(buffer, Scratch):
                buffer = self._scratch[buffer.name]
            found[i] = buffer
        return found
