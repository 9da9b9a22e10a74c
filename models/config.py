"""Typed reads of a file's metadata into frozen dataclasses, one line for each key.

A configuration is a dataclass whose fields are made by the functions below, in order: a default or
a bound may name any field above it. Every wrong value is an error that names the file, the key,
what was found and what was wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import numpy as np

from vatra.errors import BadFile, UnsupportedFile
from vatra.formats.checkpoint import Checkpoint, StringArray

Config = TypeVar("Config")
Values = Mapping[str, Any]  # the fields read so far
Bound = int | str | Callable[[Values], int]  # a number, another field's name, or computed

MAX_COUNT = 2**31 - 1  # token and expert numbers are int32; no other count comes near it
_REQUIRED: Any = object()


@dataclass(frozen=True)
class Keys:
    """The metadata of one file, with `architecture` in front of every key."""

    checkpoint: Checkpoint
    architecture: str
    read_so_far: dict[str, str] = field(default_factory=dict)  # field name -> full key

    def full(self, key: str) -> str:
        return f"{self.architecture}.{key}" if self.architecture else key

    def get(self, key: str, wanted: type[Any], required: bool = False) -> Any:
        """The key's value, or None where the file lacks it and need not have it."""
        if required:
            return self.checkpoint.require(self.full(key), wanted)
        return self.checkpoint.get(self.full(key), wanted, None)

    @property
    def n_extra_layers(self) -> int:
        """Layers after all others that only guess tokens ahead (multi-token prediction)."""
        return int(self.get("nextn_predict_layers", int) or 0)

    def bad(self, key: str, got: object, wanted: str) -> BadFile:
        """The error for a value out of range, be it the file's or derived for a missing key."""
        key = self.full(key)
        if key in self.checkpoint.metadata:
            return self.checkpoint.bad(key, f"is {got}, wanted {wanted}")
        what = f"is missing and would be {got}, wanted {wanted}"
        return BadFile(self.checkpoint.path, what, field=f'key "{key}"')

    def unsupported(self, key: str, what: str) -> UnsupportedFile:
        wrong = self.checkpoint.bad(self.full(key), what)
        return UnsupportedFile(wrong.path, wrong.what, field=wrong.field, byte=wrong.byte)


def read(cls: type[Config], checkpoint: Checkpoint) -> Config:
    """A `cls` of the file's metadata; raises BadFile or UnsupportedFile naming file and key."""
    return _read(cls, Keys(checkpoint, checkpoint.architecture), {})


def _read(cls: type[Config], keys: Keys, outer: Values) -> Config:
    values: dict[str, Any] = dict(outer)
    own = fields(cls)  # type: ignore[arg-type]
    for f in own:
        values[f.name] = f.metadata["read"](keys, values)
        keys.read_so_far[f.name] = f.metadata["key"].format(keys.architecture)
    return cls(**{f.name: values[f.name] for f in own})


def key_of(config: object, name: str, architecture: str) -> str:
    """The metadata key behind a field, for messages."""
    for f in fields(config):  # type: ignore[arg-type]
        if f.name == name:
            return str(f.metadata["key"]).format(architecture)
    raise AttributeError(f"{type(config).__name__} has no field {name}")


def _field(key: str, read_value: Callable[[Keys, Values], Any]) -> Any:
    return field(metadata={"key": key, "read": read_value})


def _bound(bound: Bound, values: Values, index: int = 0) -> int:
    """A bound's value; a per-layer field gives its entry for layer `index`."""
    found = values[bound] if isinstance(bound, str) else bound
    if callable(found):
        found = found(values)
    return int(found[index] if isinstance(found, tuple) else found)


@dataclass(frozen=True)
class _Range:
    """What an integer must satisfy, in words and in fact."""

    at_least: Bound = 1
    at_most: Bound = MAX_COUNT
    equals: str | None = None
    divides: str | None = None
    even: bool = False

    def check(self, keys: Keys, key: str, value: int, values: Values, index: int = 0) -> int:
        def named(bound: Bound) -> str:
            return f" ({keys.read_so_far[bound]})" if isinstance(bound, str) else ""

        low, high = (_bound(b, values, index) for b in (self.at_least, self.at_most))
        kind = "an even integer" if self.even else "an integer"
        if not low <= value <= high or (self.even and value % 2):
            raise keys.bad(key, value, f"{kind} from {low} to {high}{named(self.at_most)}")
        if self.equals is not None and value != (other := _bound(self.equals, values, index)):
            raise keys.bad(key, value, f"{other}{named(self.equals)}")
        if self.divides is not None:
            other = _bound(self.divides, values, index)
            if value and other % value:
                raise keys.bad(key, value, f"a divisor of {other}{named(self.divides)}")
        return value


def count(
    key: str,
    *,
    default: Any = _REQUIRED,
    at_least: Bound = 1,
    at_most: Bound = MAX_COUNT,
    equals: str | None = None,
    divides: str | None = None,
    even: bool = False,
    bare: bool = False,
) -> Any:
    """An integer. `default` is a value, another field's name or a function of the fields above.

    A `bare` key has no architecture in front.
    """
    allowed = _Range(at_least, at_most, equals, divides, even)

    def read_value(keys: Keys, values: Values) -> int:
        keys = replace(keys, architecture="") if bare else keys
        value = keys.get(key, int, default is _REQUIRED)
        if value is None:
            value = _bound(default, values)
        return allowed.check(keys, key, value, values)

    return _field(key if bare else f"{{}}.{key}", read_value)


def per_layer(
    key: str, *, default: str | int = "", divides: str | None = None, at_least: int = 1
) -> Any:
    """An integer for each of `n_layer` layers; the file gives one for all, or an array.

    `default` is another field's name, or a number for all.
    """
    allowed = _Range(at_least, divides=divides)

    def read_value(keys: Keys, values: Values) -> tuple[int, ...]:
        n_layer = values["n_layer"]
        if isinstance(keys.checkpoint.metadata.get(keys.full(key)), np.ndarray):
            each = keys.get(key, list[int])
        elif (value := keys.get(key, int, default == "")) is not None:
            each = [value] * n_layer
        else:
            each = values[default] if isinstance(default, str) else [default] * n_layer
        if len(each) not in (n_layer, n_layer + keys.n_extra_layers):
            raise keys.bad(key, f"{len(each)} values", f"{n_layer}, one for each layer")
        return tuple(allowed.check(keys, key, v, values, i) for i, v in enumerate(each[:n_layer]))

    return _field(f"{{}}.{key}", read_value)


def pattern(
    key: str,
    *,
    default: int | str | Callable[[Values], int],
    first: bool | Callable[[Values], bool] = False,
) -> Any:
    """A boolean for each layer, from an array, or from a period n: false for every n-th layer.

    That is the last of each n layers, or their `first`. Period 0 is true for all, 1 false for all.
    `default` is a period, also as a function of the fields above, or another pattern's field.
    """

    def read_value(keys: Keys, values: Values) -> tuple[bool, ...]:
        n_layer = values["n_layer"]
        found = keys.checkpoint.metadata.get(keys.full(key))
        if isinstance(found, np.ndarray):
            if len(found) < n_layer or not np.isin(found, (0, 1)).all():
                raise keys.bad(key, f"{len(found)} values", f"{n_layer} of true or false")
            return tuple(bool(v) for v in found[:n_layer])
        n = keys.get(key, int)
        if n is None and isinstance(default, str):
            return tuple(values[default])
        n = _Range(0).check(keys, key, _bound(default, values) if n is None else n, values)
        at = 0 if (first(values) if callable(first) else first) else n - 1
        return tuple(n == 0 or i % n != at for i in range(n_layer))

    return _field(f"{{}}.{key}", read_value)


def integers(key: str, *, most: int) -> Any:
    """A tuple of at most `most` integers from 0, empty where the file lacks the key."""

    def read_value(keys: Keys, values: Values) -> tuple[int, ...]:
        found = keys.get(key, list[int]) or []
        if len(found) > most:
            raise keys.bad(key, f"{len(found)} values", f"at most {most}")
        return tuple(_Range(0).check(keys, key, v, values) for v in found)

    return _field(f"{{}}.{key}", read_value)


def choice_of_number(key: str, *, default: int, known: Mapping[int, str]) -> Any:
    """The word for one of the `known` numbers; another is refused."""

    def read_value(keys: Keys, values: Values) -> str:
        value = keys.get(key, int)
        if value is not None and value not in known:
            raise keys.unsupported(key, f"is {value}, wanted one of {', '.join(map(str, known))}")
        return known[default if value is None else value]

    return _field(f"{{}}.{key}", read_value)


def flag(key: str, *, default: bool | None) -> Any:
    """A boolean."""

    def read_value(keys: Keys, values: Values) -> bool | None:
        value = keys.get(key, bool)
        return default if value is None else bool(value)

    return _field(f"{{}}.{key}", read_value)


def derived(value: Callable[[Values], Any]) -> Any:
    """What follows from the fields above, for the shapes of tensors."""
    return _field("(derived)", lambda keys, values: value(values))


def per_head(key: str, *, even: bool = False) -> Any:
    """A positive integer: the values in a head, by default n_embd / n_head."""
    allowed = _Range(even=even)

    def read_value(keys: Keys, values: Values) -> int:
        value = keys.get(key, int)
        if value is None:
            n_embd, n_head = values["n_embd"], next(filter(None, values["n_head"]), 1)
            value, rest = divmod(n_embd, n_head)
            if rest:
                why = f"a multiple of {n_head} ({keys.read_so_far['n_head']})"
                raise keys.bad("embedding_length", n_embd, f"{why}, as {keys.full(key)} is missing")
        return allowed.check(keys, key, value, values)

    return _field(f"{{}}.{key}", read_value)


def number(
    key: str,
    *,
    default: float | Callable[[Values], float] | None = None,
    at_least: float = 1e-30,
    at_most: float = 1e30,
) -> Any:
    """A float within bounds; those given by default keep float32 arithmetic finite.

    `default` may be a function of the fields above.
    """

    def read_value(keys: Keys, values: Values) -> float:
        value = keys.get(key, float, default is None)
        if value is None:
            return float(default(values) if callable(default) else default or 0.0)
        if not at_least <= value <= at_most:  # also true of NaN
            raise keys.bad(key, value, f"a number from {at_least:g} to {at_most:g}")
        return float(value)

    return _field(f"{{}}.{key}", read_value)


def number_per_layer(
    key: str, *, at_least: float = 0.0, at_most: float = 1e30, bare: bool = False
) -> Any:
    """A float for each of `n_layer` layers, one for all, or 0 for all where the file has none.

    A `bare` key has no architecture in front, and the file must have it.
    """

    def read_value(keys: Keys, values: Values) -> tuple[float, ...]:
        n_layer = values["n_layer"]
        keys = replace(keys, architecture="") if bare else keys
        if isinstance(keys.checkpoint.metadata.get(keys.full(key)), np.ndarray):
            each = keys.get(key, list[float])
        else:
            each = [keys.get(key, float, required=bare) or 0.0] * n_layer
        if len(each) not in (n_layer, n_layer + keys.n_extra_layers):
            raise keys.bad(key, f"{len(each)} values", f"{n_layer}, one for each layer")
        for value in each:
            if not at_least <= value <= at_most:  # also true of NaN
                raise keys.bad(key, value, f"numbers from {at_least:g} to {at_most:g}")
        return tuple(float(v) for v in each[:n_layer])

    return _field(key if bare else f"{{}}.{key}", read_value)


def choice(key: str, *, default: str, known: tuple[str, ...]) -> Any:
    """One of the `known` words; another is refused by name."""

    def read_value(keys: Keys, values: Values) -> str:
        value = keys.get(key, str)
        if value is not None and value not in known:
            raise keys.unsupported(key, f"is {value!r}, wanted one of {', '.join(known)}")
        return default if value is None else str(value)

    return _field(f"{{}}.{key}", read_value)


def must_be(key: str, wanted: bool | Callable[[Values], bool]) -> Any:
    """A boolean that only has one supported value, which is also its default.

    `wanted` may be a function of the fields above.
    """

    def read_value(keys: Keys, values: Values) -> bool:
        only = wanted(values) if callable(wanted) else wanted
        if keys.get(key, bool) not in (None, only):
            raise keys.unsupported(key, f"is {not only}, wanted {only}".lower())
        return only

    return _field(f"{{}}.{key}", read_value)


def by_architecture(facts: Mapping[str, Any]) -> Any:
    """What `facts` hold of the file's architecture and no key says."""
    return _field("general.architecture", lambda keys, values: facts[keys.architecture])


def group(cls: type[Any]) -> Any:
    """A dataclass of keys that architectures share; its fields see those above it."""
    return _field("{}", lambda keys, values: _read(cls, keys, values))


def layer_count(*, sparse: bool = False, of: str = "blk") -> Any:
    """block_count, which must be the number of blk.N in the file: nothing else may bound a loop.

    Without the layers that only guess tokens ahead, whether the file has their tensors or not. In a
    `sparse` model up to half of the layers may have none. `of` is what stands before N, if not blk.
    """

    def read_value(keys: Keys, values: Values) -> int:
        value, extra = keys.get("block_count", int, required=True), keys.n_extra_layers
        named = (n for n in keys.checkpoint.tensors if n.startswith(f"{of}."))
        names = (n.removeprefix(f"{of}.").split(".")[0] for n in named)
        present = len({int(n) for n in names if n.isascii() and n.isdecimal()})
        if not keys.checkpoint.tensors:
            raise BadFile(keys.checkpoint.path, "the file holds a vocabulary alone, no weights")
        enough = present <= value <= 2 * present if sparse else present in (value, value - extra)
        if not enough or not 0 <= extra < value:
            wanted = f"{max(present, 1)}: the file has tensors of {present} blocks ({of}.N)"
            raise keys.bad("block_count", value, wanted)
        return value - extra

    return _field("{}.block_count", read_value)


def vocabulary_size() -> Any:
    """The number of tokens: of the vocabulary, else what vocab_size says, else of token_embd."""

    def read_value(keys: Keys, values: Values) -> int:
        tokens = keys.checkpoint.get("tokenizer.ggml.tokens", StringArray, None)
        if tokens is not None:
            return len(tokens)
        value = keys.get("vocab_size", int)
        if value is None:
            table = keys.checkpoint.tensors.get("token_embd.weight")
            return table.shape[0] if table is not None else 1
        return _Range().check(keys, "vocab_size", value, values)

    return _field("tokenizer.ggml.tokens or {}.vocab_size", read_value)
