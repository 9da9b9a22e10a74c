"""Memory for activations: places that are handed out, taken back and used again."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Place:
    """Bytes of the arena; what two ops must not touch at once."""

    start: int
    size: int

    def meets(self, other: Place) -> bool:
        return self.start < other.start + other.size and other.start < self.start + self.size


@dataclass
class Arena:
    """Hands out places by first fit, and takes them back; counts what that needs at the most."""

    free: list[Place] = field(default_factory=list)
    size: int = 0

    def take(self, size: int) -> Place:
        size = -(-size // 64) * 64
        for i, hole in enumerate(self.free):
            if hole.size >= size:
                rest = Place(hole.start + size, hole.size - size)
                self.free[i : i + 1] = [rest] if rest.size else []
                return Place(hole.start, size)
        self.size += size
        return Place(self.size - size, size)

    def give(self, place: Place) -> None:
        holes = sorted([*self.free, place], key=lambda hole: hole.start)
        self.free = []
        for hole in holes:
            if self.free and self.free[-1].start + self.free[-1].size == hole.start:
                hole = Place(self.free[-1].start, self.free.pop().size + hole.size)
            self.free.append(hole)
