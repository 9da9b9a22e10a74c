"""Joining neighbours in the order of a table, as SentencePiece and byte-pair encoding do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush


def merge(symbols: Sequence[str], cost: Mapping[str, float], joint: str) -> list[str]:
    """`symbols` after joining the cheapest neighbours, leftmost first, until none can be joined.

    Two neighbours can be joined when `left + joint + right` is a key of `cost`. O(n log n).
    """
    pieces = list(symbols)
    n = len(pieces)
    following = list(range(1, n + 1))  # n: none
    before = list(range(-1, n - 1))
    heap: list[tuple[float, int, int]] = []  # cost, left piece, length of the two together
    for i in range(n - 1):
        price = cost.get(pieces[i] + joint + pieces[i + 1])
        if price is not None:
            heap.append((price, i, len(pieces[i]) + len(pieces[i + 1])))
    heapify(heap)
    while heap:
        _, left, length = heappop(heap)
        right = following[left]
        # Pieces only grow: another length means that one of the two was joined since, and an
        # empty left piece that it was itself swallowed.
        if not pieces[left] or right == n or len(pieces[left]) + len(pieces[right]) != length:
            continue
        pieces[left] += pieces[right]
        pieces[right] = ""
        after = following[left] = following[right]
        if after < n:
            before[after] = left
            price = cost.get(pieces[left] + joint + pieces[after])
            if price is not None:
                heappush(heap, (price, left, len(pieces[left]) + len(pieces[after])))
        previous = before[left]
        if previous >= 0:
            price = cost.get(pieces[previous] + joint + pieces[left])
            if price is not None:
                heappush(heap, (price, previous, len(pieces[previous]) + len(pieces[left])))
    return [piece for piece in pieces if piece]
