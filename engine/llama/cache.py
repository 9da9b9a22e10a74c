"""What a session has read, kept in memory to come back to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vatra.engine.session import common_prefix

if TYPE_CHECKING:
    from vatra.engine.session import Snapshot

Array = np.ndarray


@dataclass(frozen=True)
class LlamaState:
    """What `Llama.save_state` gives; it takes the memory of a whole context."""

    snapshot: Snapshot
    seed: int | None

    @property
    def input_ids(self) -> Array:
        """The tokens that were read, intc (n_tokens,)."""
        return np.asarray(self.snapshot.ids, np.intc)

    @property
    def n_tokens(self) -> int:
        """How many there are."""
        return len(self.snapshot.ids)

    @property
    def llama_state_size(self) -> int:
        """Bytes."""
        return self.snapshot.nbytes


class LlamaRAMCache:
    """The states after the latest texts, as many as take up to `capacity_bytes`."""

    def __init__(self, capacity_bytes: int = 2 << 30) -> None:
        self.capacity_bytes = capacity_bytes
        self._states: OrderedDict[tuple[int, ...], LlamaState] = OrderedDict()

    @property
    def cache_size(self) -> int:
        """Bytes of all states."""
        return sum(state.llama_state_size for state in self._states.values())

    def __getitem__(self, key: Sequence[int]) -> LlamaState:
        """The state that has most in common with the beginning of `key`; KeyError if none has."""
        found = max(self._states, key=lambda k: common_prefix(k, key), default=())
        if not common_prefix(found, key):
            raise KeyError(f"no state begins like these {len(key)} tokens")
        self._states.move_to_end(found)
        return self._states[found]

    def __contains__(self, key: Sequence[int]) -> bool:
        return any(common_prefix(known, key) for known in self._states)

    def __setitem__(self, key: Sequence[int], state: LlamaState) -> None:
        self._states.pop(tuple(key), None)
        self._states[tuple(key)] = state
        while self._states and self.cache_size > self.capacity_bytes:
            self._states.popitem(last=False)
