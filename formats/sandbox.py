"""Templates that a stranger wrote: jinja2 without a way out, and with a limit on all it may use.

Every operation that could take long or make much goes through a `Meter`: operators, calls, filters,
tests, loops, literals and output. What is not listed here can not be called.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import wraps
from itertools import count
from string import Formatter
from types import BuiltinMethodType, MethodType
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError, Undefined, nodes, pass_context
from jinja2 import filters as stock_filters
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from vatra.formats import provenance
from vatra.formats.provenance import everything, has_marks, joined, plain, wholly

MOST_CHARS = 4 * 2**20  # of a template's output, and of any string it makes
MOST_BYTES = 160 * 2**20  # of all it makes together
MOST_ITEMS = 200_000  # of any list, and rounds of all loops together
MOST_DEPTH = 64  # lists in lists
MOST_BITS = 4096  # of an integer
MOST_WIDTH = 10_000  # of a field in formatting, an indentation, a number's digits
MOST_SEARCH = 2 * 10**8  # text length times pattern length, where searching takes the product
MOST_S = 1.0  # of processor time
MOST_TAGS = 4000  # {{ and {% in a template, and
MOST_NODES = 40_000  # of its syntax tree, since compiling takes long too
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
        """Count a list of `n` items of `each` bytes, before it is made; TooMuch if it may not be."""
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
            return _number_size(value), 1, 0
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
                total += _number_size(item)
        self.tick(n + (total >> 12))
        return total + n, n, deepest


def _number_size(value: object) -> int:
    """About the characters of a number or another single thing."""
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise TooMuch(f"makes an integer of more than {MOST_BITS} bits")
    return 32 if not isinstance(value, int) else value.bit_length() // 3 + 2


# --- text and operators


def text_of(meter: Meter, value: Any) -> str:
    """What a template prints for `value`."""
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple, dict)):
        meter.allow(2 * meter.weigh(value))
        return meter.text(wholly(str(value), *([_SOURCE] if has_marks(value) else [])))
    if isinstance(value, Undefined) or value is None or isinstance(value, (bool, int, float, range)):
        meter.weigh(value)
        return str(value)
    return f"<{type(value).__name__}>"


_SOURCE = everything("a")  # something marked


def _binary(meter: Meter, operator: str, a: Any, b: Any, stock: Callable[[Any, Any], Any]) -> Any:
    """`a operator b`, refused before it takes long."""
    meter.tick()
    if operator == "%" and isinstance(a, str):
        return _percent(meter, a, b)
    if operator == "+" and isinstance(a, str) and isinstance(b, str):
        meter.allow(len(a) + len(b))
        return meter.text(joined((a, b)))
    if operator == "+" and isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        meter.items(len(a) + len(b))
    elif operator == "*":
        for sequence, n in ((a, b), (b, a)):
            if isinstance(n, int) and isinstance(sequence, str):
                meter.allow(len(sequence) * max(n, 0))
                return meter.text(provenance.repeated(sequence, n))
            if isinstance(n, int) and isinstance(sequence, (list, tuple)):
                meter.items(len(sequence) * max(n, 0))
        if isinstance(a, int) and isinstance(b, int) and a.bit_length() + b.bit_length() > MOST_BITS:
            raise TooMuch(f"makes an integer of more than {MOST_BITS} bits")
    elif operator == "**" and isinstance(a, int) and isinstance(b, int):
        if a.bit_length() * abs(b) > MOST_BITS:
            raise TooMuch(f"makes an integer of more than {MOST_BITS} bits")
    _number_size(a)
    _number_size(b)
    return stock(a, b)


_PERCENT = re.compile(r"%(?:\((?P<key>[^()]*)\))?(?P<flags>[-#0 +]*)(?P<width>\*|\d*)"
                      r"(?:\.(?P<precision>\*|\d*))?[hlL]?(?P<kind>.)", re.DOTALL)  # fmt: skip


def _percent(meter: Meter, pattern: str, values: Any) -> str:
    """str % values; a plain %s keeps the marks of what it is given."""
    found = list(_PERCENT.finditer(plain(pattern)))
    if any("*" in (m["width"] or "", m["precision"] or "") for m in found):
        raise TooMuch("takes a field's width from a value")
    widths = sum(_width(m["width"]) + _width(m["precision"]) for m in found)
    meter.allow(len(pattern) + widths + len(found) * 4 * meter.weigh(values))
    bare = plain(pattern) % values
    given = list(values) if isinstance(values, tuple) else [values]
    used = [m for m in found if m["kind"] != "%"]
    simple = all(m[0] in ("%s", "%d", "%i", "%%") for m in found) and len(used) == len(given)
    if not simple or isinstance(values, dict):
        return meter.text(wholly(bare, pattern, *([_SOURCE] if has_marks(values) else [])))
    parts, at, next_value = [], 0, iter(given)
    for m in found:
        parts.append(provenance.cut(pattern, at, m.start()))
        value = "%" if m["kind"] == "%" else next(next_value)
        parts.append(text_of(meter, value) if m[0] in ("%s", "%%") else m[0] % value)
        at = m.end()
    return meter.text(joined([*parts, provenance.cut(pattern, at, len(pattern))]))


def _width(digits: str | None) -> int:
    if digits and (len(digits) > 6 or int(digits) > MOST_WIDTH):
        raise TooMuch(f"asks for a field wider than {MOST_WIDTH}")
    return int(digits) if digits else 0


def _check_width(n: Any) -> int:
    if not isinstance(n, int):
        raise TypeError(f"a width must be an integer, not {type(n).__name__}")
    if abs(n) > MOST_WIDTH:
        raise TooMuch(f"asks for a field wider than {MOST_WIDTH}")
    return n


class _Format(Formatter):
    """str.format for one template: attributes through the sandbox, widths and sizes limited."""

    def __init__(self, environment: Sandbox) -> None:
        self._environment = environment

    def get_field(
        self, field_name: str, args: Any, kwargs: Mapping[str, Any]
    ) -> tuple[Any, str]:
        head = re.match(r"[^.\[]*", field_name)
        first = head[0] if head else ""
        value = self.get_value(int(first) if first.isdecimal() else first, args, kwargs)
        for attribute, index in re.findall(r"\.([^.\[]*)|\[([^\]]*)\]", field_name[len(first) :]):
            if attribute:
                value = self._environment.getattr(value, attribute)
            else:
                key = int(index) if index.isdecimal() and len(index) < 10 else index
                value = self._environment.getitem(value, key)
        return value, first

    def formatted(
        self,
        pattern: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        numbers: Iterator[int] | None = None,
    ) -> str:
        """The pattern with its fields filled in; an unformatted field keeps its marks."""
        meter = self._environment.meter
        numbers = count() if numbers is None else numbers
        parts: list[str] = []
        size = 0
        trust = () if not provenance.marks_of(pattern) else (_SOURCE,)
        for literal, name, spec, conversion in self.parse(plain(pattern)):
            parts.append(wholly(literal, *trust))
            if name is not None:
                if name[:1] in ("", ".", "["):
                    name = f"{next(numbers)}{name}"
                value, _ = self.get_field(name, args, kwargs)
                if spec and "{" in spec:
                    spec = self.formatted(spec, args, kwargs, numbers)
                for digits in re.findall(r"\d+", plain(spec or "")):
                    _width(digits)
                meter.weigh(value)
                text = text_of(meter, value)
                if conversion in ("r", "a"):
                    text = wholly(self.convert_field(value, conversion), text)
                if spec:
                    number = isinstance(value, (int, float)) and not conversion
                    text = wholly(format(value if number else plain(text), plain(spec)), text)
                parts.append(text)
            size += sum(map(len, parts[-2:]))
            meter.allow(size)
            meter.tick()
        return meter.text(joined(parts))


# --- methods of strings, mappings and lists


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
        if maxsplit < 0:
            pieces = plain(text).count(sep) if sep else len(text) // 2
        else:
            pieces = maxsplit
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
        missing = max(0, _check_width(width) - len(text))
        if len(fill) != 1:
            raise TypeError("the fill character must be exactly one character long")
        after = {"ljust": missing, "rjust": 0}.get(name, missing - missing // 2)
        return meter.text(joined((fill * (missing - after), text, fill * after)))

    return call


def _replace(meter: Meter, text: str, old: str, new: str, count: int = -1) -> str:
    n = plain(text).count(old) if old else len(text) + 1
    n = n if count < 0 else min(n, count)
    meter.allow(len(text) + n * max(0, len(new) - len(old)))
    if n > MOST_ITEMS and has_marks([text, old, new]):
        raise TooMuch(f"replaces more than {MOST_ITEMS} times")
    if not has_marks([text, old, new]):
        return meter.text(text.replace(old, new, count))
    return meter.text(provenance.replaced(text, old, new, count))


def _join(meter: Meter, text: str, values: Iterable[Any]) -> str:
    parts, size = [], 0
    for value in _each(meter, values):
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


_STRING_METHODS: dict[str, Callable[..., Any]] = {
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
    "replace": _replace,
    "join": _join,
}


def _get(meter: Meter, mapping: dict[Any, Any], key: Any, default: Any = None) -> Any:
    meter.weigh(key)
    return mapping.get(key, default)


def _items(meter: Meter, mapping: dict[Any, Any]) -> list[tuple[Any, Any]]:
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


_MAPPING_METHODS: dict[str, Callable[..., Any]] = {
    "get": _get,
    "items": _items,
    "keys": _keys,
    "values": _values,
}
_LIST_METHODS: dict[str, Callable[..., Any]] = {"index": _index, "count": _count}
_LOOP_ATTRIBUTES = frozenset(
    ("index", "index0", "revindex", "revindex0", "first", "last", "length")
    + ("previtem", "nextitem", "depth", "depth0", "cycle", "changed")
)


def _methods(obj: object) -> dict[str, Callable[..., Any]]:
    if isinstance(obj, str):
        return _STRING_METHODS
    if isinstance(obj, dict):
        return _MAPPING_METHODS
    return _LIST_METHODS if isinstance(obj, (list, tuple)) else {}


# --- filters


def _each(meter: Meter, values: Any) -> Iterator[Any]:
    """The items of `values`, counted while they are taken."""
    for n, value in enumerate(values):
        if n >= MOST_ITEMS and not isinstance(values, str):
            raise TooMuch(f"makes a list of more than {MOST_ITEMS} items")
        meter.tick()
        yield value


def _listed(meter: Meter, values: Any) -> list[Any]:
    if isinstance(values, (str, list, tuple, dict, range)):
        # Numbers and characters are made with the list, what lies in another list was counted.
        each = 8 if isinstance(values, (list, tuple, dict)) else 40 if isinstance(values, range) else 90
        meter.items(len(values), 300 if has_marks(values) and isinstance(values, str) else each)
        return list(values)
    found = list(_each(meter, values))
    meter.items(len(found))
    return found


def _weighed(stock: Callable[..., Any], kind: Any = None) -> Callable[..., Any]:
    """A filter of jinja2 that compares or hashes what it is given, all of it weighed first.

    `kind` is what the filter wants before the value: "environment", "context" or nothing.
    """

    @pass_context
    @wraps(stock)
    def call(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
        meter = context.environment.meter  # type: ignore[attr-defined]
        if not isinstance(value, (str, dict, Undefined)) and hasattr(value, "__iter__"):
            value = _listed(meter, value)
        meter.weigh(value)
        meter.weigh(list(args) + list(kwargs.values()))
        first = {"environment": (context.environment,), "context": (context,)}.get(kind, ())
        return stock(*first, value, *args, **kwargs)

    return call


def _metered(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter of ours: called with the meter, the value and its arguments."""

    @pass_context
    @wraps(function)
    def call(context: Context, *args: Any, **kwargs: Any) -> Any:
        return function(context.environment.meter, *args, **kwargs)  # type: ignore[attr-defined]

    return call


def _on_text(method: Callable[..., Any]) -> Callable[..., Any]:
    return _metered(lambda meter, value, *a, **k: method(meter, text_of(meter, value), *a, **k))


def _filter_join(
    meter: Meter, values: Any, d: str = "", attribute: str | int | None = None
) -> str:
    if attribute is not None:
        raise TooMuch("join by an attribute is not supported: use map before it")
    between = text_of(meter, d)
    return _join(meter, between, (text_of(meter, v) for v in _each(meter, values)))


def _filter_indent(
    meter: Meter, s: Any, width: int | str = 4, first: bool = False, blank: bool = False
) -> str:
    text = text_of(meter, s)
    gap = width if isinstance(width, str) else " " * _check_width(width)
    count = plain(text).count("\n") + 1
    meter.allow(len(text) + count * len(gap))
    meter.items(count)
    parts: list[str] = []
    for i, line in enumerate(provenance.split(text, "\n", -1, from_right=False)):
        parts += ["\n"] if i else []
        parts += [gap] if (first if i == 0 else blank or line) else []
        parts.append(line)
    return meter.text(joined(parts))


def _filter_replace(meter: Meter, s: Any, old: Any, new: Any, count: int | None = None) -> str:
    text, before, after = (text_of(meter, v) for v in (s, old, new))
    return _replace(meter, text, before, after, -1 if count is None else count)


def _filter_tojson(
    meter: Meter,
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    gap = len(indent) if isinstance(indent, str) else _check_width(indent or 0)
    between = 4 if separators is None else sum(map(len, separators))
    total, n, depth = meter.measure(value)
    # Each value may stand on a line of its own, indented as deep as it lies.
    meter.allow(total + n * (between + gap * depth))
    text = json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
    return meter.text(wholly(text, *([_SOURCE] if has_marks(value) else [])))


def _filter_from_json(meter: Meter, value: Any) -> Any:
    text = text_of(meter, value)
    meter.spend(16 * len(text))
    found = json.loads(plain(text))
    return everything(found) if has_marks(text) else found


def _filter_length(meter: Meter, value: Any) -> int:
    return len(value)


def _filter_list(meter: Meter, value: Any) -> list[Any]:
    return _listed(meter, value)


def _filter_items(meter: Meter, value: Any) -> list[Any]:
    if isinstance(value, Undefined):
        return []
    if not isinstance(value, dict):
        raise TypeError("Can only get item pairs from a mapping.")
    return _items(meter, value)


def _filter_reverse(meter: Meter, value: Any) -> Any:
    if isinstance(value, str):
        return meter.text(wholly(plain(value)[::-1], value))
    return _listed(meter, value)[::-1]


def _filter_first(meter: Meter, value: Any) -> Any:
    return next(iter(value), "")


def _filter_last(meter: Meter, value: Any) -> Any:
    found = _listed(meter, value)
    return found[-1] if found else ""


def _filter_sum(meter: Meter, values: Any, attribute: Any = None, start: float = 0) -> Any:
    if attribute is not None:
        raise TooMuch("sum by an attribute is not supported: use map before it")
    total = start
    for value in _each(meter, values):
        if not isinstance(value, (int, float)) or not isinstance(total, (int, float)):
            raise TypeError(f"sum: got {type(value).__name__}, wanted numbers")
        total += value
    _number_size(total)
    return total


def _filter_round(meter: Meter, value: Any, precision: int = 0, method: str = "common") -> float:
    if not isinstance(value, (int, float)) or abs(_check_width(precision)) > 100:
        raise TypeError("round: wanted a number and a precision of at most 100")
    return float(stock_filters.do_round(value, precision, method))  # type: ignore[arg-type]


def _filter_int(meter: Meter, value: Any, default: int = 0, base: int = 10) -> int:
    if isinstance(value, str) and len(value) > 1000:
        return default
    found = stock_filters.do_int(plain(value) if isinstance(value, str) else value, default, base)
    _number_size(found)
    return found


def _filter_float(meter: Meter, value: Any, default: float = 0.0) -> float:
    if isinstance(value, str) and len(value) > 1000:
        return default
    return stock_filters.do_float(plain(value) if isinstance(value, str) else value, default)


def _filter_abs(meter: Meter, value: Any) -> Any:
    if not isinstance(value, (int, float)):
        raise TypeError(f"abs: got {type(value).__name__}, wanted a number")
    return abs(value)


def _filter_escape(meter: Meter, value: Any) -> str:
    text = text_of(meter, value)
    meter.allow(5 * len(text))
    names = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&#39;", '"': "&#34;"}
    if not has_marks(text):
        return meter.text(plain(text).translate(str.maketrans(names)))
    return meter.text(joined([wholly(names.get(c, c), c) for c in _each(meter, text)]))


def _filter_truncate(
    meter: Meter,
    s: Any,
    length: int = 255,
    killwords: bool = False,
    end: str = "...",
    leeway: int | None = None,
) -> str:
    text, leeway = text_of(meter, s), 5 if leeway is None else leeway
    if len(text) <= length + leeway:
        return text
    kept = provenance.cut(text, 0, max(0, length - len(end)))
    if not killwords:
        kept = provenance.split(kept, " ", 1, from_right=True)[0]
    return meter.text(joined((kept, end)))


def _filter_wordcount(meter: Meter, s: Any) -> int:
    return len(_STRING_METHODS["split"](meter, text_of(meter, s)))


def _filter_format(meter: Meter, pattern: Any, *args: Any, **kwargs: Any) -> str:
    if args and kwargs:
        raise TypeError("format: either values in order, or by name")
    return _percent(meter, text_of(meter, pattern), kwargs or args)


def _checked_map(stock: Callable[..., Any]) -> Callable[..., Any]:
    """map, select and reject: lazy in jinja2, but each item here is made and counted at once."""

    @pass_context
    @wraps(stock)
    def call(context: Context, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        meter = context.environment.meter  # type: ignore[attr-defined]
        source = _listed(meter, value) if value is not None else value
        return _listed(meter, stock(context, source, *args, **kwargs))

    return call


# Names that no template can write, for what the compiler inserts.
_ROUND, _CONCAT, _MADE = "- round", "- concat", "- made"
_WEIGH, _WEIGH_LIST = "- weigh", "- weigh list"


def _insert_round(meter: Meter, n_chars: int) -> bool:
    meter.round(n_chars)
    return True


def _insert_concat(meter: Meter, *values: Any) -> str:
    parts = [text_of(meter, value) for value in values]
    meter.allow(sum(map(len, parts)))
    return meter.text(joined(parts))


def _insert_weigh(meter: Meter, value: Any) -> Any:
    if isinstance(value, (list, tuple, dict, str)):
        meter.weigh(value)
    return value


def _insert_weigh_list(meter: Meter, value: Any) -> Any:
    """What is searched: a mapping and a text know an easier way than looking at everything."""
    return value if isinstance(value, dict) else _insert_weigh(meter, value)


def _insert_made(meter: Meter, value: Any) -> Any:
    if isinstance(value, str):
        return meter.text(value)
    if isinstance(value, (list, tuple, dict)):
        meter.items(len(value), 80 if isinstance(value, dict) else 8)
    return value


_FILTERS: dict[str, Callable[..., Any]] = {
    "abs": _metered(_filter_abs),
    "capitalize": _on_text(_STRING_METHODS["capitalize"]),
    "count": _metered(_filter_length),
    "d": _weighed(stock_filters.do_default),
    "default": _weighed(stock_filters.do_default),
    "dictsort": _weighed(stock_filters.do_dictsort),
    "e": _metered(_filter_escape),
    "escape": _metered(_filter_escape),
    "first": _metered(_filter_first),
    "float": _metered(_filter_float),
    "format": _metered(_filter_format),
    "from_json": _metered(_filter_from_json),
    "groupby": _weighed(stock_filters.sync_do_groupby, "environment"),
    "indent": _metered(_filter_indent),
    "int": _metered(_filter_int),
    "items": _metered(_filter_items),
    "join": _metered(_filter_join),
    "last": _metered(_filter_last),
    "length": _metered(_filter_length),
    "list": _metered(_filter_list),
    "lower": _on_text(_STRING_METHODS["lower"]),
    "map": _checked_map(stock_filters.sync_do_map),
    "max": _weighed(stock_filters.do_max, "environment"),
    "min": _weighed(stock_filters.do_min, "environment"),
    "reject": _checked_map(stock_filters.sync_do_reject),
    "rejectattr": _checked_map(stock_filters.sync_do_rejectattr),
    "replace": _metered(_filter_replace),
    "reverse": _metered(_filter_reverse),
    "round": _metered(_filter_round),
    "safe": _on_text(lambda meter, text: text),
    "select": _checked_map(stock_filters.sync_do_select),
    "selectattr": _checked_map(stock_filters.sync_do_selectattr),
    "sort": _weighed(stock_filters.do_sort, "environment"),
    "string": _on_text(lambda meter, text: text),
    "sum": _metered(_filter_sum),
    "title": _on_text(_STRING_METHODS["title"]),
    "tojson": _metered(_filter_tojson),
    "trim": _on_text(_STRING_METHODS["strip"]),
    "truncate": _metered(_filter_truncate),
    "unique": _weighed(stock_filters.do_unique, "environment"),
    "upper": _on_text(_STRING_METHODS["upper"]),
    "wordcount": _metered(_filter_wordcount),
    _ROUND: _metered(_insert_round),
    _CONCAT: _metered(_insert_concat),
    _WEIGH: _metered(_insert_weigh),
    _WEIGH_LIST: _metered(_insert_weigh_list),
    _MADE: _metered(_insert_made),
}
_NO_TESTS = frozenset({"callable", "filter", "test", "escaped"})


# --- globals


def _range(*bounds: int) -> range:
    made = range(*bounds)
    try:
        n = len(made)
    except OverflowError:
        n = MOST_ITEMS + 1
    if n > MOST_ITEMS // 2:
        raise TooMuch(f"asks for a range of more than {MOST_ITEMS // 2} numbers")
    return made


def _raise_exception(message: Any) -> None:
    raise Refused(str(message)[:1000])


def _strftime_now(pattern: str) -> str:
    if len(pattern) > 200 or re.search(r"%[^a-zA-Z%]*[0-9]", pattern):
        raise TooMuch("asks for a date that long")
    return datetime.now().strftime(plain(pattern))


# --- the environment


_SCOPES = ("_loop_vars", "_block_vars")  # what compiled templates hand along with every call


class _Generation(Extension):
    """{% generation %} marks what the model wrote, for training; here its body is simply shown."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of one template; `meter` is renewed for every rendering."""

    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[LoopControlExtension, _Generation],
            cache_size=0,
        )
        self.meter = Meter()
        self._functions = {"range": _range, "namespace": Namespace, "dict": dict}
        self._functions |= {"raise_exception": _raise_exception, "strftime_now": _strftime_now}
        self.globals = dict(self._functions)
        self.filters = dict(_FILTERS)
        self.tests = {
            name: test if name in ("defined", "undefined") else _weighed_test(name, test)
            for name, test in TESTS.items()
            if name not in _NO_TESTS
        }
        self.finalize = self._finalize
        self.concat = self._concat  # type: ignore[method-assign,assignment]

    def compiled(self, source: str) -> Any:
        """The template of `source`; what it does is metered."""
        n_tags = source.count("{{") + source.count("{%")
        if n_tags > MOST_TAGS:
            raise TooMuch(f"has {n_tags} tags, wanted at most {MOST_TAGS}")
        tree = self.parse(source)
        n_nodes = sum(1 for _ in tree.find_all(nodes.Node))
        if n_nodes > MOST_NODES:
            raise TooMuch(f"has {n_nodes} parts, wanted at most {MOST_NODES}")
        code = self.compile(_Metering().visit(tree))
        return self.template_class.from_code(self, code, self.make_globals(None))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        return _binary(self.meter, operator, left, right, self.binop_table[operator])

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Only methods and attributes that are listed here."""
        if attr.startswith("_"):
            return False
        if isinstance(obj, (str, dict, list, tuple)):
            if isinstance(obj, str) and attr == "format":
                return True
            return attr in _methods(obj) or (isinstance(obj, tuple) and attr in ("grouper", "list"))
        if isinstance(obj, LoopContext):
            return attr in _LOOP_ATTRIBUTES
        return isinstance(obj, (Namespace, Undefined)) or (isinstance(obj, Macro) and attr == "name")

    def wrap_str_format(self, value: Any) -> None:
        """str.format is handled where it is called, like every other method."""
        return None

    def getattr(self, obj: Any, attribute: str) -> Any:
        # A key that happens to be named like a method that is not allowed is still a key.
        if isinstance(obj, dict) and attribute in obj and attribute not in _MAPPING_METHODS:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        self.meter.tick()
        if isinstance(argument, tuple):
            self.meter.weigh(argument)
        return super().getitem(obj, argument)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: B902, N805
        self, meter = __self, __self.meter
        meter.spend(OBJECT_BYTES)
        scopes = {name: kwargs.pop(name) for name in _SCOPES if name in kwargs}
        if isinstance(__obj, (BuiltinMethodType, MethodType)):
            owner, name = __obj.__self__, __obj.__name__
            if isinstance(owner, str) and name == "format":
                return _Format(self).formatted(owner, args, kwargs)
            if isinstance(__obj, BuiltinMethodType) and name in _methods(owner):
                return _methods(owner)[name](meter, owner, *args, **kwargs)
            if isinstance(owner, LoopContext) and name in ("cycle", "changed"):
                meter.weigh(list(args))
                return __obj(*args)
        elif __obj is dict or __obj is Namespace:
            n = sum(len(a) for a in args if hasattr(a, "__len__")) + len(kwargs)
            meter.items(n + 4, 80)
            meter.weigh([*args])
            return __obj(*args, **kwargs)
        elif isinstance(__obj, (Macro, LoopContext, Undefined)) or __obj in self._functions.values():
            meter.items(len(args) + len(kwargs))
            return super().call(__context, __obj, *args, **kwargs, **scopes)
        raise SecurityError(f"may not call {getattr(__obj, '__name__', type(__obj).__name__)}")

    def _finalize(self, value: Any) -> str:
        return text_of(self.meter, value)

    def _concat(self, parts: Iterable[str]) -> str:
        found = list(parts)
        self.meter.allow(sum(map(len, found)))
        return self.meter.text(joined(found))


def _weighed_test(name: str, stock: Callable[..., Any]) -> Callable[..., Any]:
    @pass_context
    @wraps(stock)
    def call(context: Context, value: Any, *args: Any) -> bool:
        meter = context.environment.meter  # type: ignore[attr-defined]
        if args or name in ("lower", "upper"):
            meter.weigh([value, *args])
        meter.tick()
        return bool(stock(value, *args))

    return call


class _Metering(NodeTransformer):
    """Puts the meter into a template's syntax tree, where jinja2 offers no hook."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        if node.test is not None:  # counted even where nothing passes
            node.test = nodes.And(_insert(_ROUND, node, nodes.Const(0)), node.test, lineno=node.lineno)
        return self._counted(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:
        self.generic_visit(node)
        return self._counted(node)

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:
        self.generic_visit(node)
        return self._counted(node)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _insert(_CONCAT, node, *node.nodes)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        searched = [operand for operand in node.ops if operand.op in ("in", "notin")]
        sides = [node.expr, *(operand.expr for operand in node.ops)]
        # Nothing is long to compare with a literal, and a literal key is quick to hash.
        if searched or not any(isinstance(side, nodes.Const) for side in sides):
            if not isinstance(node.expr, nodes.Const):
                node.expr = _insert(_WEIGH, node, node.expr)
            for operand in node.ops:
                name = _WEIGH_LIST if len(node.ops) == 1 and searched else _WEIGH
                operand.expr = _insert(name, node, operand.expr)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        sliced = isinstance(node.arg, nodes.Slice) and node.ctx == "load"
        return _insert(_MADE, node, node) if sliced else node

    def visit_List(self, node: nodes.List) -> nodes.Node:
        self.generic_visit(node)
        return _insert(_MADE, node, node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        self.generic_visit(node)
        return _insert(_MADE, node, node) if node.ctx == "load" else node

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:
        self.generic_visit(node)
        return _insert(_MADE, node, node)

    def visit_Pair(self, node: nodes.Pair) -> nodes.Node:
        self.generic_visit(node)
        node.key = _insert(_WEIGH, node, node.key)
        return node

    def _refused(self, node: nodes.Node) -> nodes.Node:
        what = _REFUSED[type(node)]
        raise TemplateSyntaxError(f"{what} is not possible in a chat template", node.lineno)

    visit_Include = visit_Import = visit_FromImport = visit_Extends = _refused
    visit_Block = visit_ScopedEvalContextModifier = _refused

    def _counted(self, node: Any) -> nodes.Node:
        n_chars = sum(len(data.data) for part in node.body for data in _literal(part))
        count = _insert(_ROUND, node, nodes.Const(n_chars))
        node.body.insert(0, nodes.ExprStmt(count, lineno=node.lineno))
        return node  # type: ignore[no-any-return]


_REFUSED: dict[type[nodes.Node], str] = {
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "import",
    nodes.Extends: "extends",
    nodes.Block: "block",
    nodes.ScopedEvalContextModifier: "autoescape",
}


def _literal(node: nodes.Node) -> Iterator[nodes.TemplateData]:
    if isinstance(node, nodes.TemplateData):
        yield node
    yield from node.find_all(nodes.TemplateData)


def _insert(name: str, near: nodes.Node, *values: nodes.Expr) -> nodes.Filter:
    """A call of one of our own filters."""
    return nodes.Filter(
        values[0], name, list(values[1:]), [], None, None, lineno=near.lineno
    )
