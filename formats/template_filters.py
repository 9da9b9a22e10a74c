"""The filters and tests that a template may use, and those that the sandbox puts in itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from jinja2 import Undefined, pass_context
from jinja2 import filters as stock_filters
from jinja2.runtime import Context

from vatra.formats import provenance
from vatra.formats.provenance import everything, has_marks, joined, plain, wholly
from vatra.formats.template_meter import Meter, TooMuch, number_size
from vatra.formats.template_methods import (
    STRING_METHODS,
    each_of,
    items_of,
    join,
    listed,
    replace,
)
from vatra.formats.template_text import SOURCE, check_width, percent, text_of


def _weighed(stock: Callable[..., Any], kind: Any = None) -> Callable[..., Any]:
    """A filter of jinja2 that compares or hashes what it is given, all of it weighed first.

    `kind` is what the filter wants before the value: "environment", "context" or nothing.
    """

    @pass_context
    @wraps(stock)
    def call(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
        meter = context.environment.meter  # type: ignore[attr-defined]
        if not isinstance(value, (str, dict, Undefined)) and hasattr(value, "__iter__"):
            value = listed(meter, value)
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


def _filter_join(meter: Meter, values: Any, d: str = "", attribute: str | int | None = None) -> str:
    if attribute is not None:
        raise TooMuch("join by an attribute is not supported: use map before it")
    between = text_of(meter, d)
    return join(meter, between, (text_of(meter, v) for v in each_of(meter, values)))


def _filter_indent(
    meter: Meter, s: Any, width: int | str = 4, first: bool = False, blank: bool = False
) -> str:
    text = text_of(meter, s)
    gap = width if isinstance(width, str) else " " * check_width(width)
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
    return replace(meter, text, before, after, -1 if count is None else count)


def _filter_tojson(
    meter: Meter,
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    gap = len(indent) if isinstance(indent, str) else check_width(indent or 0)
    between = 4 if separators is None else sum(map(len, separators))
    total, n, depth = meter.measure(value)
    # Each value may stand on a line of its own, indented as deep as it lies.
    meter.allow(total + n * (between + gap * depth))
    text = json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
    return meter.text(wholly(text, *([SOURCE] if has_marks(value) else [])))


def _filter_from_json(meter: Meter, value: Any) -> Any:
    text = text_of(meter, value)
    meter.spend(16 * len(text))
    found = json.loads(plain(text))
    return everything(found) if has_marks(text) else found


def _filter_length(meter: Meter, value: Any) -> int:
    return len(value)


def _filter_list(meter: Meter, value: Any) -> list[Any]:
    return listed(meter, value)


def _filter_items(meter: Meter, value: Any) -> list[Any]:
    if isinstance(value, Undefined):
        return []
    if not isinstance(value, dict):
        raise TypeError("Can only get item pairs from a mapping.")
    return items_of(meter, value)


def _filter_reverse(meter: Meter, value: Any) -> Any:
    if isinstance(value, str):
        return meter.text(wholly(plain(value)[::-1], value))
    return listed(meter, value)[::-1]


def _filter_first(meter: Meter, value: Any) -> Any:
    return next(iter(value), "")


def _filter_last(meter: Meter, value: Any) -> Any:
    found = listed(meter, value)
    return found[-1] if found else ""


def _filter_sum(meter: Meter, values: Any, attribute: Any = None, start: float = 0) -> Any:
    if attribute is not None:
        raise TooMuch("sum by an attribute is not supported: use map before it")
    total = start
    for value in each_of(meter, values):
        if not isinstance(value, (int, float)) or not isinstance(total, (int, float)):
            raise TypeError(f"sum: got {type(value).__name__}, wanted numbers")
        total += value
    number_size(total)
    return total


def _filter_round(meter: Meter, value: Any, precision: int = 0, method: str = "common") -> float:
    if not isinstance(value, (int, float)) or abs(check_width(precision)) > 100:
        raise TypeError("round: wanted a number and a precision of at most 100")
    return float(stock_filters.do_round(value, precision, method))  # type: ignore[arg-type]


def _filter_int(meter: Meter, value: Any, default: int = 0, base: int = 10) -> int:
    if isinstance(value, str) and len(value) > 1000:
        return default
    found = stock_filters.do_int(plain(value) if isinstance(value, str) else value, default, base)
    number_size(found)
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
        return meter.text(plain(text).translate({ord(char): name for char, name in names.items()}))
    return meter.text(joined([wholly(names.get(c, c), c) for c in each_of(meter, text)]))


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
    return len(STRING_METHODS["split"](meter, text_of(meter, s)))


def _filter_format(meter: Meter, pattern: Any, *args: Any, **kwargs: Any) -> str:
    if args and kwargs:
        raise TypeError("format: either values in order, or by name")
    return percent(meter, text_of(meter, pattern), kwargs or args)


def _checked_map(stock: Callable[..., Any]) -> Callable[..., Any]:
    """map, select and reject: lazy in jinja2, but each item here is made and counted at once."""

    @pass_context
    @wraps(stock)
    def call(context: Context, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        meter = context.environment.meter  # type: ignore[attr-defined]
        source = listed(meter, value) if value is not None else value
        return listed(meter, stock(context, source, *args, **kwargs))

    return call


# Names that no template can write, for what the compiler inserts.
ROUND, CONCAT, MADE = "- round", "- concat", "- made"
WEIGH, WEIGH_LIST = "- weigh", "- weigh list"


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


FILTERS: dict[str, Callable[..., Any]] = {
    "abs": _metered(_filter_abs),
    "capitalize": _on_text(STRING_METHODS["capitalize"]),
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
    "lower": _on_text(STRING_METHODS["lower"]),
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
    "title": _on_text(STRING_METHODS["title"]),
    "tojson": _metered(_filter_tojson),
    "trim": _on_text(STRING_METHODS["strip"]),
    "truncate": _metered(_filter_truncate),
    "unique": _weighed(stock_filters.do_unique, "environment"),
    "upper": _on_text(STRING_METHODS["upper"]),
    "wordcount": _metered(_filter_wordcount),
    ROUND: _metered(_insert_round),
    CONCAT: _metered(_insert_concat),
    WEIGH: _metered(_insert_weigh),
    WEIGH_LIST: _metered(_insert_weigh_list),
    MADE: _metered(_insert_made),
}
NO_TESTS = frozenset({"callable", "filter", "test", "escaped"})


def weighed_test(name: str, stock: Callable[..., Any]) -> Callable[..., Any]:
    @pass_context
    @wraps(stock)
    def call(context: Context, value: Any, *args: Any) -> bool:
        meter = context.environment.meter  # type: ignore[attr-defined]
        if args or name in ("lower", "upper"):
            meter.weigh([value, *args])
        meter.tick()
        return bool(stock(value, *args))

    return call
