"""The memory of one sequence as the CPU's kernels read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from vatra.engine.executor import KVType, State
from vatra.engine.kernels import layout
from vatra.engine.pages import Shape, zeros
from vatra.engine.table import sides_of
from vatra.models.plan import Attention, KVCache

Array = np.ndarray
_FLOATS: dict[KVType, type[np.generic]] = {"f16": np.float16, "f32": np.float32}


@dataclass(eq=False)
class CpuState(State):
    """Keys and values in the order that the `attention` kernel reads; zeros where nothing is.

    `addresses` are int64, in the order of `sides_of`.
    """

    LAYOUT: ClassVar[str] = "cpu 2"

    partials: Array = field(init=False, repr=False)  # what `attend` needs for this context
    addresses: Array = field(init=False, repr=False)

    def __post_init__(self, shared: Sequence[int]) -> None:
        super().__post_init__(shared)
        plan = self.executor.plan
        sizes = [
            layout.attention_partials(
                op.q.shape[0], op.cache.n_head_kv, op.cache.value_dim, self.n_ctx
            )
            for op in plan.ops
            if isinstance(op, Attention)
        ]
        self.partials = zeros((max(sizes, default=0),), np.uint8)
        sides: dict[str, list[Array]] = {
            "keys": self.keys,
            "values": self.values,
            "pages": [table.ids for table in self.tables],
            "memories": self.memories,
            "partials": [self.partials],
        }
        found = [sides[side][i].ctypes.data for side, i in sides_of(plan)]
        self.addresses = np.array(found, np.int64)

    @staticmethod
    def page_shape(cache: KVCache, kv: KVType) -> Shape:
        """See `State.page_shape`; groups of 16 positions, see `kv_cache`."""
        heads, groups = cache.n_head_kv, layout.PAGE // layout.ROWS
        if kv not in _FLOATS:
            both = layout.kv_bytes(kv, cache.key_dim, cache.own_value_dim)
            return Shape((heads, groups, both[0]), (heads, groups, both[1]), np.uint8)
        blocks = layout.padded_values(cache.own_value_dim) // layout.PART
        values = heads, groups, blocks, layout.ROWS, layout.PART
        return Shape((heads, groups, cache.key_dim, layout.ROWS), values, _FLOATS[kv])

    @staticmethod
    def capacity(cache: KVCache, n_ctx: int) -> int:
        """See `State.capacity`: those that the kernels read."""
        return layout.kv_capacity(n_ctx, cache.window)
