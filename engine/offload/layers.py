"""Layers on a device, with the memory of their KV caches: hidden states in, logits out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from vatra.engine.lowering.steps import MAX_OUTPUTS, MAX_TOKENS
from vatra.engine.offload.device import Device
from vatra.engine.offload.lowering import ENDLESS, SPAN, TABLE_ROOM, TILE, Lowering, Sizes
from vatra.engine.offload.memory import caches
from vatra.engine.offload.pages import DevicePages
from vatra.engine.offload.program import Program
from vatra.engine.offload.split import Split
from vatra.engine.offload.weights import Weights
from vatra.engine.pages import Pages, Shape
from vatra.models.plan import Tensor

Array = np.ndarray


class Rows(NamedTuple):
    """The tokens of one sequence in a run."""

    position: int  # of the first
    n: int
    n_outputs: int  # of the last of them
    pages: Array  # int64, in order: those of its KV caches


class Layers(Protocol):
    """What a backend offers: the layers of a split, that go on from its `given` tensor.

    A position that is run again is overwritten, and so is all that comes after it: that truncates.
    """

    def new_pages(self, near: Sequence[Shape], n_pages: int) -> Pages:
        """Memory for KV caches: `near` in the processor's memory, then those of the layers."""
        ...

    def run(self, given: Array, rows: Sequence[Rows], pages: Pages, few: bool) -> Array:
        """float32 logits (n_outputs, n_vocab) of `given` (n, width): the tokens of all `rows`."""
        ...

    def hidden(self, given: Array, rows: Sequence[Rows], pages: Pages, few: bool) -> Array:
        """The same up to `Plan.hidden` alone, (n, n_embd)."""
        ...

    def best(
        self, given: Array, rows: Sequence[Rows], pages: Pages, few: bool
    ) -> tuple[Array, Array]:
        """uint32 (n_outputs,): the tokens with the highest logits; float32: their logprobs.

        A logprob is 1 where a logit is not finite.
        """
        ...


class DeviceLayers:
    """The layers of `split` on a device: see `Layers`."""

    def __init__(self, device: Device, split: Split, *, int8: bool = False) -> None:
        self.device, self.split = device, split
        far = split.far
        self.caches = caches(far)
        self.weights = Weights(device)
        self._low = Lowering(self.weights, split.plan, far, split.given, int8)
        self.program = Program(self._low)

    def new_pages(self, near: Sequence[Shape], n_pages: int) -> DevicePages:
        """See `Layers.new_pages`."""
        return DevicePages(self.device, near, self.caches, n_pages)

    def run(self, given: Array, rows: Sequence[Rows], pages: DevicePages, few: bool) -> Array:
        """See `Layers.run`."""
        n = self._submit(given, rows, pages, few, False)
        return self._read(self.split.plan.logits, n)

    def hidden(self, given: Array, rows: Sequence[Rows], pages: DevicePages, few: bool) -> Array:
        """See `Layers.hidden`."""
        whole = [row._replace(n_outputs=row.n) for row in rows]
        n = self._submit(given, whole, pages, few, True)
        return self._read(self.split.plan.hidden, n)

    def best(
        self, given: Array, rows: Sequence[Rows], pages: DevicePages, few: bool
    ) -> tuple[Array, Array]:
        """The tokens with the highest logits, which stay where they are: see `Layers.best`."""
        n = self._submit(given, rows, pages, few, False, greedy=True)
        found = self.device.read(self._low.best, 8 * n).reshape(n, 8)
        return found[:, :4].copy().view(np.uint32)[:, 0], found[:, 4:].copy().view(np.float32)[:, 0]

    def _submit(
        self,
        given: Array,
        rows: Sequence[Rows],
        pages: DevicePages,
        few: bool,
        hidden: bool,
        greedy: bool = False,
    ) -> int:
        low, device = self._low, self.device
        positions = np.concatenate([np.arange(r.position, r.position + r.n) for r in rows])
        n, n_outputs = len(positions), sum(row.n_outputs for row in rows)
        assert len(given) == n <= MAX_TOKENS and (hidden or n_outputs <= MAX_OUTPUTS)
        tables = np.concatenate([row.pages for row in rows]).astype(np.uint32)
        assert len(tables) <= TABLE_ROOM
        counts = [row.n for row in rows]
        firsts = np.cumsum([0, *(len(row.pages) for row in rows[:-1])])
        ends = np.cumsum(counts)
        # no tile has tokens of two sequences
        tile = 1 if few else TILE
        tiles = [
            (at, min(tile, end - at))
            for end, count in zip(ends.tolist(), counts, strict=True)
            for at in range(end - count, end, tile)
        ]
        tokens = np.zeros((n, 4), np.uint32)
        tokens[:, 0], tokens[:, 1] = positions, np.repeat(firsts, counts)
        tokens[: len(tiles), 2:] = tiles
        picked = [np.arange(e - r.n_outputs, e) for e, r in zip(ends, rows, strict=True)]
        n_splits = -(-int(positions.max() + 1) // (SPAN if few else ENDLESS))
        device.write(low.run, np.array([n, n_outputs, n_splits, few], np.uint32))
        device.write(low.buffers[low.given], np.ascontiguousarray(given, np.float32))
        device.write(low.tokens, tokens)
        device.write(low.tables, tables)
        device.write(low.picked, np.concatenate(picked).astype(np.uint32))
        for rope, buffer in low.angles:
            # float64: an angle of position 100,000 must still be right to a fraction of a radian
            turned = positions[:, None] * rope.frequencies
            both = np.concatenate([np.cos(turned), np.sin(turned)], 1) * rope.magnitude
            device.write(buffer, both.astype(np.float32))
        self.program.submit(Sizes(n, n_outputs, n_splits, len(tiles), few), pages, hidden, greedy)
        return n_outputs

    def _read(self, tensor: Tensor, n: int) -> Array:
        width = tensor.width
        buffer = self._low.buffers[tensor]
        return self.device.read(buffer, 4 * n * width).view(np.float32).reshape(n, width)
