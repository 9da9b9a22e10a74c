"""Pages of keys and values that texts with the same beginning share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vatra.engine.pages import Pages

Key = tuple[tuple[int, ...], tuple[Hashable, ...]]  # tokens of a page, how each was evaluated


@dataclass(eq=False)
class Prefix:
    """A page of tokens after all those of `before`; `users` texts that run now go through it."""

    before: Prefix | None
    key: Key
    page: int
    after: dict[Key, Prefix] = field(default_factory=dict)
    users: int = 0


class Prefixes:
    """Whole pages that were evaluated, in a tree: each is found after the pages before it.

    What is found has the very tokens that are asked for, each evaluated by the same kernels: what
    others have written can change nothing. A page is held here until `forget`.
    """

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._root = Prefix(None, ((), ()), -1)
        # From the one used longest ago. Whoever uses a page uses those before it later, so that
        # the first without a user has none after it.
        self._by_use: OrderedDict[Prefix, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_use)

    @property
    def n_unused(self) -> int:
        """Pages that no running text goes through."""
        return sum(not prefix.users for prefix in self._by_use)

    def find(self, keys: Sequence[Key]) -> list[Prefix]:
        """The pages of as many of `keys` from the first on as there are."""
        found, at = list[Prefix](), self._root
        for key in keys:
            following = at.after.get(key)
            if following is None:
                break
            found.append(following)
            at = following
        return found

    def add(self, before: Prefix | None, key: Key, page: int) -> Prefix:
        """Keep `page` after `before`; what was there before stays, and is as good."""
        at = before or self._root
        if key not in at.after:
            self._pages.hold(page)
            at.after[key] = Prefix(at, key, page)
            self._by_use[at.after[key]] = None
        return at.after[key]

    def use(self, path: Sequence[Prefix]) -> None:
        """A text begins to go through the pages of `path`, which begins with a first page."""
        for prefix in path:
            prefix.users += 1
        self._touch(path)

    def leave(self, path: Sequence[Prefix]) -> None:
        """That text has ended."""
        for prefix in path:
            prefix.users -= 1
        self._touch(path)

    def _touch(self, path: Sequence[Prefix]) -> None:
        for prefix in reversed(path):
            self._by_use.move_to_end(prefix)

    def forget(self) -> bool:
        """Give up the page without users that was used longest ago; False if there is none."""
        oldest = next((prefix for prefix in self._by_use if not prefix.users), None)
        if oldest is None or oldest.before is None:
            return False
        del oldest.before.after[oldest.key]
        del self._by_use[oldest]
        self._pages.release(oldest.page)
        return True
