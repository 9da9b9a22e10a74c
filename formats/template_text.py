"""Text in templates: operators and formatting, measured before they are done, marks kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from string import Formatter
from typing import Any, Protocol

from jinja2 import Undefined

from vatra.formats import provenance
from vatra.formats.provenance import everything, has_marks, joined, plain, wholly
from vatra.formats.template_meter import (
    MOST_BITS,
    MOST_WIDTH,
    Meter,
    TooMuch,
    number_size,
)


class Environment(Protocol):
    """What formatting needs of the sandbox."""

    meter: Meter

    def getattr(self, obj: Any, attribute: str) -> Any: ...
    def getitem(self, obj: Any, argument: Any) -> Any: ...


def text_of(meter: Meter, value: Any) -> str:
    """What a template prints for `value`."""
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple, dict)):
        meter.allow(2 * meter.weigh(value))
        return meter.text(wholly(str(value), *([SOURCE] if has_marks(value) else [])))
    if (
        isinstance(value, Undefined)
        or value is None
        or isinstance(value, (bool, int, float, range))
    ):
        meter.weigh(value)
        return str(value)
    return f"<{type(value).__name__}>"


SOURCE = everything("a")  # something marked


def binary(meter: Meter, operator: str, a: Any, b: Any, stock: Callable[[Any, Any], Any]) -> Any:
    """`a operator b`, refused before it takes long."""
    meter.tick()
    if operator == "%" and isinstance(a, str):
        return percent(meter, a, b)
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
        if (
            isinstance(a, int)
            and isinstance(b, int)
            and a.bit_length() + b.bit_length() > MOST_BITS
        ):
            raise TooMuch(f"makes an integer of more than {MOST_BITS} bits")
    elif operator == "**" and isinstance(a, int) and isinstance(b, int):
        bits = a.bit_length() * abs(b)
        if bits > MOST_BITS:
            raise TooMuch(f"makes an integer of more than {MOST_BITS} bits")
    number_size(a)
    number_size(b)
    return stock(a, b)


_PERCENT = re.compile(r"%(?:\((?P<key>[^()]*)\))?(?P<flags>[-#0 +]*)(?P<width>\*|\d*)"
                      r"(?:\.(?P<precision>\*|\d*))?[hlL]?(?P<kind>.)", re.DOTALL)  # fmt: skip


def percent(meter: Meter, pattern: str, values: Any) -> str:
    """str % values; a plain %s keeps the marks of what it is given."""
    found = list(_PERCENT.finditer(plain(pattern)))
    if any("*" in (m["width"] or "", m["precision"] or "") for m in found):
        raise TooMuch("takes a field's width from a value")
    widths = sum(field_width(m["width"]) + field_width(m["precision"]) for m in found)
    meter.allow(len(pattern) + widths + len(found) * 4 * meter.weigh(values))
    bare = plain(pattern) % values
    given = list(values) if isinstance(values, tuple) else [values]
    used = [m for m in found if m["kind"] != "%"]
    simple = all(m[0] in ("%s", "%d", "%i", "%%") for m in found) and len(used) == len(given)
    if not simple or isinstance(values, dict):
        return meter.text(wholly(bare, pattern, *([SOURCE] if has_marks(values) else [])))
    parts, at, next_value = [], 0, iter(given)
    for m in found:
        parts.append(provenance.cut(pattern, at, m.start()))
        value = "%" if m["kind"] == "%" else next(next_value)
        parts.append(text_of(meter, value) if m[0] in ("%s", "%%") else m[0] % value)
        at = m.end()
    return meter.text(joined([*parts, provenance.cut(pattern, at, len(pattern))]))


def field_width(digits: str | None) -> int:
    if digits and (len(digits) > 6 or int(digits) > MOST_WIDTH):
        raise TooMuch(f"asks for a field wider than {MOST_WIDTH}")
    return int(digits) if digits else 0


def check_width(n: Any) -> int:
    if not isinstance(n, int):
        raise TypeError(f"a width must be an integer, not {type(n).__name__}")
    if abs(n) > MOST_WIDTH:
        raise TooMuch(f"asks for a field wider than {MOST_WIDTH}")
    return n


class Format(Formatter):
    """str.format for one template: attributes through the sandbox, widths and sizes limited."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def get_field(self, field_name: str, args: Any, kwargs: Mapping[str, Any]) -> tuple[Any, str]:
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
        trust = () if not provenance.marks_of(pattern) else (SOURCE,)
        for literal, name, spec, conversion in self.parse(plain(pattern)):
            parts.append(wholly(literal, *trust))
            if name is not None:
                if name[:1] in ("", ".", "["):
                    name = f"{next(numbers)}{name}"
                value, _ = self.get_field(name, args, kwargs)
                if spec and "{" in spec:
                    spec = self.formatted(spec, args, kwargs, numbers)
                for digits in re.findall(r"\d+", plain(spec or "")):
                    field_width(digits)
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
