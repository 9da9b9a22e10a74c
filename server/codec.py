"""Jobs, events and errors as JSON holds them; `engine.fields.read` reads them again.

Numbers may be infinite, as logits are: both ends are Python, whose JSON writes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from types import NoneType
from typing import Any

from vatra import errors
from vatra.engine.fields import MOST_NAME
from vatra.engine.session import ContextFull
from vatra.errors import OutOfMemory, UsageError, VatraError
from vatra.server.errors import Crashed

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


def meant(name: object, known: Any) -> str:
    """What may have been meant by a name that is not known, as the end of a message."""
    close = get_close_matches(str(name)[:MOST_NAME], list(known), 1)
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
