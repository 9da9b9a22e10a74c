"""The methods of strings, mappings and lists that a template may call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from vatra.formats import provenance
from vatra.formats.provenance import has_marks, joined, plain, wholly
from vatra.formats.template_meter import MOST_ITEMS, MOST_SEARCH, OBJECT_BYTES, Meter, TooMuch
from vatra.formats.template_text import check_width


def _searching(text: str, pattern: Any) -> None:
    """Refuse a search from the right, or for any of many characters, that takes the product."""
    if isinstance(pattern, str) and len(text) * len(pattern) > MOST_SEARCH:
        raise TooMuch("searches a long text for a long pattern")


def _plain_method(name: str) -> Callable[..., Any]:
    """A string method whose result has no characters of the string."""
    method = getattr(str, name)

    def call(meter: Meter, text: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("r"):
            _searching(text, args[0] if args else "")
        return method(plain(text), *args, **kwargs)

    return call


def _same_length_method(name: str) -> Callable[..., Any]:
    """A string method that changes characters in place."""
    method = getattr(str, name)

    def call(meter: Meter, text: str) -> str:
        made = method(plain(text))
        if len(made) == len(text):
            return meter.text(provenance.marked(made, provenance.marks_of(text)))
        return meter.text(wholly(made, text))

    return call


def _strip_method(left: bool, right: bool) -> Callable[..., Any]:
    def call(meter: Meter, text: str, chars: str | None = None) -> str:
        _searching(text, chars)
        return meter.text(provenance.stripped(text, chars, left, right))

    return call


def _split_method(from_right: bool) -> Callable[..., Any]:
    def call(meter: Meter, text: str, sep: str | None = None, maxsplit: int = -1) -> list[str]:
        if from_right:
            _searching(text, sep)
        possible = plain(text).count(sep) if sep else len(text) // 2
        pieces = possible if maxsplit < 0 else maxsplit
        if pieces >= MOST_ITEMS and maxsplit != 0:
            pieces = len(plain(text).split(sep, MOST_ITEMS))
        meter.items(pieces if sep else 0)
        found = provenance.split(text, sep, maxsplit, from_right)
        meter.items(len(found))
        meter.spend(len(text) * 4 + OBJECT_BYTES * len(found))
        return found

    return call


def _pad_method(name: str) -> Callable[..., Any]:
    def call(meter: Meter, text: str, width: int, fill: str = " ") -> str:
        missing = max(0, check_width(width) - len(text))
        if len(fill) != 1:
            raise TypeError("the fill character must be exactly one character long")
        after = {"ljust": missing, "rjust": 0}.get(name, missing - missing // 2)
        return meter.text(joined((fill * (missing - after), text, fill * after)))

    return call


def replace(meter: Meter, text: str, old: str, new: str, count: int = -1) -> str:
    n = plain(text).count(old) if old else len(text) + 1
    n = n if count < 0 else min(n, count)
    meter.allow(len(text) + n * max(0, len(new) - len(old)))
    if n > MOST_ITEMS and has_marks([text, old, new]):
        raise TooMuch(f"replaces more than {MOST_ITEMS} times")
    if not has_marks([text, old, new]):
        return meter.text(text.replace(old, new, count))
    return meter.text(provenance.replaced(text, old, new, count))


def each_of(meter: Meter, values: Any) -> Iterator[Any]:
    """The items of `values`, counted while they are taken."""
    for n, value in enumerate(values):
        if n >= MOST_ITEMS and not isinstance(values, str):
            raise TooMuch(f"makes a list of more than {MOST_ITEMS} items")
        meter.tick()
        yield value


def listed(meter: Meter, values: Any) -> list[Any]:
    if isinstance(values, (str, list, tuple, dict, range)):
        # Numbers and characters are made with the list, what lies in another list was counted.
        each = (
            8
            if isinstance(values, (list, tuple, dict))
            else 40
            if isinstance(values, range)
            else 90
        )
        meter.items(len(values), 300 if provenance.marks_of(values) else each)
        return list(values)
    found = list(each_of(meter, values))
    meter.items(len(found))
    return found


def join(meter: Meter, text: str, values: Iterable[Any]) -> str:
    parts: list[str] = []
    size = 0
    for value in each_of(meter, values):
        if not isinstance(value, str):
            raise TypeError(f"join: got {type(value).__name__}, wanted text")
        parts += [text, value] if parts else [value]
        size += len(value) + len(text)
        meter.allow(size)
    return meter.text(joined(parts))


def _remove(prefix: bool) -> Callable[..., Any]:
    def call(meter: Meter, text: str, affix: str) -> str:
        if prefix and text.startswith(affix):
            return meter.text(provenance.cut(text, len(affix), len(text)))
        if not prefix and affix and text.endswith(affix):
            return meter.text(provenance.cut(text, 0, len(text) - len(affix)))
        return text

    return call


def _partition_method(from_right: bool) -> Callable[..., Any]:
    def call(meter: Meter, text: str, sep: str) -> tuple[str, str, str]:
        if from_right:
            _searching(text, sep)
        if not sep:
            raise ValueError("empty separator")
        meter.spend(4 * len(text))
        return provenance.partitioned(text, sep, from_right)

    return call


def _lines(meter: Meter, text: str, keepends: bool = False) -> list[str]:
    meter.spend((4 + 8 + OBJECT_BYTES) * len(text) // 2)
    found = provenance.lines(text, keepends)
    meter.items(len(found))
    return found


STRING_METHODS: dict[str, Callable[..., Any]] = {
    **{
        name: _plain_method(name)
        for name in (
            *("count", "endswith", "find", "index", "rfind", "rindex", "startswith"),
            *("isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier"),
            *("islower", "isnumeric", "isprintable", "isspace", "istitle", "isupper"),
        )
    },
    **{
        name: _same_length_method(name)
        for name in ("capitalize", "casefold", "lower", "swapcase", "title", "upper")
    },
    **{name: _pad_method(name) for name in ("center", "ljust", "rjust")},
    "strip": _strip_method(True, True),
    "lstrip": _strip_method(True, False),
    "rstrip": _strip_method(False, True),
    "split": _split_method(False),
    "rsplit": _split_method(True),
    "splitlines": _lines,
    "partition": _partition_method(False),
    "rpartition": _partition_method(True),
    "removeprefix": _remove(True),
    "removesuffix": _remove(False),
    "replace": replace,
    "join": join,
}


def _get(meter: Meter, mapping: dict[Any, Any], key: Any, default: Any = None) -> Any:
    meter.weigh(key)
    return mapping.get(key, default)


def items_of(meter: Meter, mapping: dict[Any, Any]) -> list[tuple[Any, Any]]:
    meter.items(len(mapping), 80)
    return list(mapping.items())


def _keys(meter: Meter, mapping: dict[Any, Any]) -> list[Any]:
    meter.items(len(mapping))
    return list(mapping)


def _values(meter: Meter, mapping: dict[Any, Any]) -> list[Any]:
    meter.items(len(mapping))
    return list(mapping.values())


def _index(meter: Meter, values: list[Any], value: Any, *bounds: int) -> int:
    meter.weigh(values)
    return values.index(value, *bounds)


def _count(meter: Meter, values: list[Any], value: Any) -> int:
    meter.weigh(values)
    return values.count(value)


MAPPING_METHODS: dict[str, Callable[..., Any]] = {
    "get": _get,
    "items": items_of,
    "keys": _keys,
    "values": _values,
}
LIST_METHODS: dict[str, Callable[..., Any]] = {"index": _index, "count": _count}


def methods_of(obj: object) -> dict[str, Callable[..., Any]]:
    if isinstance(obj, str):
        return STRING_METHODS
    if isinstance(obj, dict):
        return MAPPING_METHODS
    return LIST_METHODS if isinstance(obj, (list, tuple)) else {}
