"""JSON objects as dataclasses: what is not known, not as declared or missing is told by its path.

What is null counts as not given. A class may have IGNORED, names of fields that are taken and
change nothing, and OTHER_NAMES, which some have for its fields. A field with the metadata "names"
is a dictionary of those, which stand beside the other fields; "range" is the lowest and highest
value of a number, "least" the smallest length of a list or a text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, field, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from vatra.errors import WrongArgument, printable

T = TypeVar("T")

MOST = 2**31 - 1
MOST_NAME = 80  # characters of one that is not known
_UNIONS = (Union, UnionType)
_NAMES = {str: "a text", int: "an integer", float: "a number", bool: "true or false"}


def count(default: Any, low: int, high: int = MOST) -> Any:
    """A field of a dataclass that is an integer from `low` to `high`."""
    return field(default=default, metadata={"range": (low, high)})


def read(kind: type[T], value: Any, where: str = "") -> T:
    """`value` as the dataclass `kind`; raises WrongArgument, which begins with what is wrong."""
    return _read(kind, value, where)  # type: ignore[no-any-return]


def _read(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        return value
    if is_dataclass(kind):
        return _dataclass(kind, value, where)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in _UNIONS:
        return _one_of(inner, value, where)
    if origin is Literal:
        return value if value in inner else _wrong(kind, value, where)
    if origin is tuple and isinstance(value, (list, tuple)) and len(value) == len(inner):
        return tuple(_read(k, v, where) for k, v in zip(inner, value, strict=True))
    if origin is Sequence and isinstance(value, (list, tuple)):
        if inner[0] is int and all(type(item) is int for item in value):
            return value
        return [_read(inner[0], item, f"{where}[{i}]") for i, item in enumerate(value)]
    if origin is Mapping and isinstance(value, Mapping):
        return {key: _read(inner[1], item, f"{where}.{key}") for key, item in value.items()}
    if kind is float and type(value) is int:
        return float(value)
    return value if type(value) is kind else _wrong(kind, value, where)


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        _wrong(kind, value, where)
    hints, known, ignored = types_of(kind), _known(kind), getattr(kind, "IGNORED", ())
    given: dict[str, Any] = {}
    found: dict[str, Any] = {}
    for name, item in value.items():
        if item is None or name in ignored:
            continue
        path = f"{where}.{name}" if where else str(name)
        if name not in known:
            near = get_close_matches(str(name)[:MOST_NAME], known, 3)  # long names take long
            meant = f"; did you mean {' or '.join(near)}?" if near else ""
            raise WrongArgument(
                f"{printable(path[:MOST_NAME]):.80}: is not a known field{meant}", "unknown_field"
            )
        own, place = known[name]
        if own in given:
            raise WrongArgument(f"{path}: means the same as {given[own]}, which is given too")
        given[own] = name
        if place is None:
            found.setdefault(_holder(kind), {})[own] = item
        else:
            found[own] = item if type(item) is hints[own] else _read(hints[own], item, path)
            _check(place.metadata, found[own], path)
    for name in hints:
        if name not in found and name in _required(kind):
            path = f"{where}.{name}" if where else name
            raise WrongArgument(f"{path}: is missing", "missing_field")
    return kind(**found)


def _check(limits: Mapping[str, Any], value: Any, where: str) -> None:
    low, high = limits.get("range", (None, None))
    if low is not None and not low <= value <= high:
        raise WrongArgument(f"{where}: got {value!r:.60}, wanted an integer from {low} to {high}")
    if "least" in limits and len(value) < limits["least"]:
        raise WrongArgument(f"{where}: got {value!r:.60}, wanted what is not empty")


def _one_of(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    for kind in kinds:
        if _looks_like(kind, value):
            return _read(kind, value, where)
    return _wrong(" or ".join(_named(kind) for kind in kinds if kind is not NoneType), value, where)


def _looks_like(kind: Any, value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return get_origin(kind) in (Sequence, tuple)
    if isinstance(value, Mapping):
        return get_origin(kind) is Mapping or is_dataclass(kind)
    return type(value) is kind or (get_origin(kind) is Literal and value in get_args(kind))


def _wrong(kind: Any, value: Any, where: str) -> Any:
    raise WrongArgument(f"{where}{': ' * bool(where)}got {value!r:.60}, wanted {_named(kind)}")


def _named(kind: Any) -> str:
    """A type as a person who writes JSON calls it."""
    if isinstance(kind, str):
        return kind
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, get_args(kind)))
    return "a list" if get_origin(kind) in (Sequence, tuple) else _NAMES.get(kind, "an object")


@cache
def types_of(kind: Any) -> dict[str, Any]:
    """The types of a dataclass's fields by name."""
    hints = get_type_hints(kind)
    return {known.name: hints[known.name] for known in fields(kind)}


@cache
def _known(kind: Any) -> dict[str, tuple[str, Field[Any] | None]]:
    """The field that each name of an object means; None where it is one of a field's "names"."""
    own: dict[str, tuple[str, Field[Any] | None]] = {}
    for known in fields(kind):
        if "names" in known.metadata:
            own |= {name: (name, None) for name in known.metadata["names"]}
        else:
            own[known.name] = known.name, known
    return own | {name: own[ours] for name, ours in getattr(kind, "OTHER_NAMES", {}).items()}


@cache
def _holder(kind: Any) -> str:
    return next(known.name for known in fields(kind) if "names" in known.metadata)


@cache
def _required(kind: Any) -> frozenset[str]:
    plain = (f for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING)
    return frozenset(f.name for f in plain)
