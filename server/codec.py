"""Jobs, events and errors as JSON holds them, and back: what is not as declared is refused.

Numbers may be infinite, as logits are: both ends are Python, whose JSON writes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from vatra import errors
from vatra.engine.session import ContextFull
from vatra.errors import OutOfMemory, UsageError, VatraError
from vatra.server.errors import Crashed

T = TypeVar("T")

ERRORS = {
    known.__name__: known
    for known in (*vars(errors).values(), ContextFull, Crashed)
    if isinstance(known, type) and issubclass(known, VatraError)
}
MOST_DEPTH = 100
_PLAIN = (str, int, float, bool, NoneType)


def line(message: Mapping[str, Any]) -> bytes:
    """`message`, of plain values, as one line."""
    return json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"


def plain(value: Any, depth: int = 0) -> Any:
    """`value` as dictionaries, lists and scalars; of a dataclass the fields not left as they were.

    Raises UsageError for what JSON can not hold, or only in more than MOST_DEPTH levels.
    """
    if isinstance(value, _PLAIN):
        return value
    if (depth := depth + 1) > MOST_DEPTH:
        raise UsageError(f"lists and objects within each other, wanted at most {MOST_DEPTH} levels")
    if is_dataclass(value):
        given = ((f, getattr(value, f.name)) for f in fields(value))
        return {f.name: plain(v, depth) for f, v in given if f.default is MISSING or v != f.default}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return {key: plain(item, depth) for key, item in value.items()}
        return [[key, plain(item, depth)] for key, item in value.items()]  # keys that are numbers
    if isinstance(value, Sequence):
        return list(value) if all(map(_is_plain, value)) else [plain(v, depth) for v in value]
    raise UsageError(f"got {value!r:.60}, wanted what JSON can hold")


def _is_plain(value: object) -> bool:
    return isinstance(value, _PLAIN)


def read(kind: type[T], value: Any) -> T:
    """The dataclass `kind` that `plain` made `value` of; UsageError names the field that is wrong.

    Unknown fields are wrong, too.
    """
    return _read(kind, value, "")  # type: ignore[no-any-return]


def _read(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        return value
    if is_dataclass(kind):
        return _dataclass(kind, value, where)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is UnionType:
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
    hints = _hints(kind)
    for name in value:
        if name not in hints:
            raise UsageError(f"{_place(where)}{name!r} is not known{meant(name, hints)}")
    found = {
        n: v if type(v) is hints[n] else _read(hints[n], v, f"{where}.{n}" if where else n)
        for n, v in value.items()
    }
    if lacking := _required(kind) - found.keys():
        raise UsageError(f"{_place(where)}{min(lacking)} is missing")
    return kind(**found)


def _one_of(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    for kind in kinds:
        if _looks_like(kind, value):
            return _read(kind, value, where)
    return _wrong(" or ".join(map(_named, kinds)), value, where)


def _looks_like(kind: Any, value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return get_origin(kind) in (Sequence, tuple)
    if isinstance(value, Mapping):
        return get_origin(kind) is Mapping or is_dataclass(kind)
    return type(value) is kind


def _wrong(kind: Any, value: Any, where: str) -> Any:
    raise UsageError(f"{_place(where)}got {value!r:.60}, wanted {_named(kind)}")


def _place(where: str) -> str:
    return f"{where}: " if where else ""


def _named(kind: Any) -> str:
    """A type as a person who writes JSON calls it."""
    if isinstance(kind, str):
        return kind
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, get_args(kind)))
    if get_origin(kind) is UnionType:
        return " or ".join(map(_named, get_args(kind)))
    if get_origin(kind) in (Sequence, tuple):
        return "a list"
    names = {str: "a text", int: "an integer", float: "a number", bool: "true or false"}
    return "null" if kind is NoneType else names.get(kind, "an object")


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


@cache
def _required(kind: Any) -> frozenset[str]:
    plain = (f for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING)
    return frozenset(f.name for f in plain)


def meant(name: object, known: Any) -> str:
    """What may have been meant by a name that is not known, as the end of a message."""
    close = get_close_matches(str(name), list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else f", wanted {', '.join(sorted(known))}"


def told(error: BaseException) -> dict[str, Any]:
    """An error for the other process; of one that is not ours only the kind, no value in it."""
    if isinstance(error, MemoryError):
        error = OutOfMemory("there is not enough memory for this")
    if not isinstance(error, VatraError):
        error = VatraError(f"an internal error ({type(error).__name__}); the log says where")
    known = next(kind for kind in type(error).__mro__ if kind.__name__ in ERRORS)
    state = {name: value for name, value in vars(error).items() if _is_plain(value)}
    return {"class": known.__name__, "message": str(error), "state": state}


def raised(message: Mapping[str, Any]) -> VatraError:
    """The error that `told` made `message` of."""
    error = ERRORS[message["class"]].__new__(ERRORS[message["class"]])
    Exception.__init__(error, message["message"])
    vars(error).update(message["state"])
    return error
