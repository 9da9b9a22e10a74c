"""The kernels of some layers, bound to their buffers: a run of them is one command buffer."""

from __future__ import annotations

from collections.abc import Mapping
from weakref import WeakKeyDictionary

from vatra.engine.offload.device import Bound, Buffer
from vatra.engine.offload.lowering import Lowering, Scratch, Side, Sizes, Step
from vatra.engine.offload.pages import DevicePages


class Program:
    """Runs what `low` has made, with KV caches that each run brings."""

    def __init__(self, low: Lowering) -> None:
        self.low, self._device = low, low.device
        self._scratch: dict[str, Buffer] = {}
        # bound to pages, as long as those are there
        self._bound = WeakKeyDictionary[DevicePages, list[tuple[Bound, Step]]]()

    def submit(
        self,
        sizes: Sizes,
        few: bool,
        pages: DevicePages,
        hidden: bool = False,
        greedy: bool = False,
    ) -> None:
        """Run the steps, up to `plan.hidden` alone if `hidden`, and the argmax if `greedy`."""
        self._grow(sizes)
        steps = self._steps(pages)
        steps, last = (steps[: self.low.n_hidden], []) if hidden else (steps[:-1], steps[-1:])
        chosen = [
            (bound, step.groups(sizes))
            for bound, step in (*steps, *(last if greedy else []))
            if step.few in (None, few)
        ]
        self._device.submit([(bound, groups) for bound, groups in chosen if all(groups)])

    def _grow(self, sizes: Sizes) -> None:
        """Have scratch for the attention of a run."""
        heads = max((op.q.shape[0] for op in self.low.attentions), default=0)
        rows = heads * sizes.n * sizes.n_splits
        wide = max((op.cache.value_dim for op in self.low.attentions), default=0)
        for name, nbytes in (("found", 4 * rows * wide), ("peaks", 8 * rows)):
            if name not in self._scratch or self._scratch[name].nbytes < nbytes:
                self._scratch[name] = self._device.empty(2 * nbytes)
                self._bound.clear()

    def _steps(self, pages: DevicePages) -> list[tuple[Bound, Step]]:
        if pages not in self._bound:
            sides = pages.sides
            self._bound[pages] = [
                (self._device.bind(step.kernel, self._resolved(step, sides)), step)
                for step in (*self.low.steps, self.low.choose)
            ]
        return self._bound[pages]

    def _resolved(self, step: Step, sides: Mapping[Side, Buffer]) -> dict[int, Buffer]:
        found: dict[int, Buffer] = {}
        for i, buffer in step.buffers.items():
            if isinstance(buffer, Side):
                buffer = sides[buffer]
            elif isinstance(buffer, Scratch):
                buffer = self._scratch[buffer.name]
            found[i] = buffer
        return found
