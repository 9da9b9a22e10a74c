"""A walk of the CPU's threads: the tokens it is of, and the memory that it writes to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from vatra.engine.arena import Place
from vatra.engine.cpu_state import CpuState
from vatra.engine.executor import Part
from vatra.engine.lowering import Lowering
from vatra.engine.table import Kind, Table
from vatra.models.plan import Tensor

Array = np.ndarray


class Piece(NamedTuple):
    """The tokens of a part that one walk evaluates."""

    part: Part
    kept: Array  # (n_outputs, width): where its outputs go
    start: int  # the first of the part's tokens
    n: int

    @property
    def state(self) -> CpuState:
        """The part's."""
        assert isinstance(self.part.state, CpuState)  # since this executor made it
        return self.part.state

    @property
    def position(self) -> int:
        """Of its first token."""
        return self.part.position + self.start


@dataclass(frozen=True, eq=False)
class Walk:
    """Pieces of several sequences that the threads evaluate together."""

    room: Room
    kind: Kind
    pieces: list[Piece]
    table: Table
    positions: Array  # int64 (n,) of the tokens

    @property
    def n(self) -> int:
        """Tokens."""
        return len(self.positions)

    @property
    def n_outputs(self) -> int:
        """Tokens whose outputs are wanted."""
        return sum(len(piece.kept) for piece in self.pieces)

    @property
    def output_positions(self) -> Array:
        """int64 (n_outputs,): theirs."""
        ends = [(piece.position + piece.n, len(piece.kept)) for piece in self.pieces]
        return np.concatenate([np.arange(end - kept, end) for end, kept in ends])


@dataclass(frozen=True, eq=False)
class Room:
    """An arena for walks of so many tokens as `low` lays it out for."""

    low: Lowering
    arena: Array
    tables: dict[tuple[Kind, int], Table] = field(default_factory=dict)

    def view(self, place: Place, rows: int, width: int) -> Array:
        """float32 (rows, width) at a place."""
        n_bytes = 4 * rows * width
        return self.arena[place.start :][:n_bytes].view(np.float32).reshape(rows, width)

    def values(self, tensor: Tensor, rows: int) -> Array:
        """(rows, *shape): a tensor, between its op and its last use."""
        found = self.view(self.low.made_at[tensor], rows, tensor.width)
        return found.view(np.int32 if tensor.ids else np.float32).reshape(rows, *tensor.shape)

    def address(self, place: Place) -> int:
        return int(self.arena.ctypes.data) + place.start
