"""What one rendering of a template may use, and how it is counted."""

from __future__ import annotations

import time
from typing import Any

from jinja2 import TemplateError
from jinja2.utils import Namespace

MOST_CHARS = 4 * 2**20  # of a template's output, and of any string it makes
MOST_BYTES = 160 * 2**20  # of all it makes together
MOST_ITEMS = 200_000  # of any list, and rounds of all loops together
MOST_DEPTH = 64  # lists in lists
MOST_BITS = 4096  # of an integer
MOST_WIDTH = 10_000  # of a field in formatting, an indentation, a number's digits
MOST_SEARCH = 2 * 10**8  # text length times pattern length, where searching takes the product
MOST_S = 0.8  # of processor time
OBJECT_BYTES = 64  # what the smallest thing costs


class TooMuch(TemplateError):
    """A template asks for more than it may use."""


class Refused(TemplateError):
    """A template says, by raise_exception, that it can not show these messages."""


class Meter:
    """What one rendering has used up."""

    def __init__(self) -> None:
        self._bytes = self._rounds = self._unwatched = 0
        self._started = time.thread_time()

    def tick(self, cost: int = 1) -> None:
        """Count operations of about a microsecond; TooMuch when time is over."""
        self._unwatched += cost
        if self._unwatched > 100:  # asking for the time is not free either
            self._unwatched = 0
            if time.thread_time() - self._started > MOST_S:
                raise TooMuch(f"takes longer than {MOST_S} s")

    def spend(self, n_bytes: int) -> None:
        """Count memory that is taken; TooMuch when it is too much in all."""
        self.tick(5 + (n_bytes >> 10))
        self._bytes += n_bytes + OBJECT_BYTES
        if self._bytes > MOST_BYTES:
            raise TooMuch(f"makes more than {MOST_BYTES // 2**20} MiB of text and lists")

    def allow(self, n_chars: int) -> None:
        """TooMuch if a string of so many characters may not be made."""
        if n_chars > MOST_CHARS:
            raise TooMuch(f"makes a text of more than {MOST_CHARS // 2**20} MiB")

    def text(self, made: str) -> str:
        """`made`, counted."""
        self.allow(len(made))
        self.spend(len(made) * (1 if made.isascii() else 4))
        return made

    def items(self, n: int, each: int = 8) -> None:
        """Count a list of `n` items of `each` bytes before it is made; TooMuch if it may not be."""
        if n > MOST_ITEMS:
            raise TooMuch(f"makes a list of more than {MOST_ITEMS} items")
        self.spend(each * n)

    def round(self, n_chars: int) -> None:
        """Count one run of a loop's or macro's body, with so much literal text in it."""
        self._rounds += 1
        if self._rounds > MOST_ITEMS:
            raise TooMuch(f"loops more than {MOST_ITEMS} times")
        self.spend(n_chars)

    def weigh(self, value: Any) -> int:
        """How many values and characters `value` holds in all; see `measure`."""
        return self.measure(value)[0]

    def measure(self, value: Any) -> tuple[int, int, int]:
        """Values and characters, values alone, and depth of `value` in all.

        Shared parts count as often as they occur: comparing and printing visits them so often.
        TooMuch if they are more than any operation may visit.
        """
        if isinstance(value, str):
            self.tick(1 + (len(value) >> 12))
            return len(value) + 1, 1, 0
        if not isinstance(value, (list, tuple, dict)):
            self.tick()
            return number_size(value), 1, 0
        total = n = deepest = 0
        left: list[tuple[Any, int]] = [(value, 0)]
        while left:
            item, depth = left.pop()
            n += 1
            if isinstance(item, str):
                total += len(item)
            elif isinstance(item, (list, tuple, dict)):
                deepest = max(deepest, depth + 1)
                if depth >= MOST_DEPTH:
                    raise TooMuch(f"nests lists more than {MOST_DEPTH} deep")
                if n + len(left) + len(item) > MOST_ITEMS:
                    raise TooMuch(f"looks at a list of more than {MOST_ITEMS} values")
                inner = [*item.keys(), *item.values()] if isinstance(item, dict) else item
                left += [(i, depth + 1) for i in inner]
            elif isinstance(item, Namespace):
                raise TooMuch("has a namespace inside a list")
            else:
                total += number_size(item)
        self.tick(n + (total >> 12))
        return total + n, n, deepest


def number_size(value: object) -> int:
    """About the characters of a number or another single thing."""
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise TooMuch(f"makes an integer of more than {MOST_BITS} bits")
    return 32 if not isinstance(value, int) else value.bit_length() // 3 + 2
