"""Requests as types: what is not known, not of the type, or out of range is refused by its name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from vatra.engine.sampling import Sampling, named_token
from vatra.server.failure import Refused

T = TypeVar("T", bound="Request")

_UNASKED = {"recommended", "filters", "seed", "logit_bias"}  # fields of Sampling
RANDOM_SEED = -1  # as other servers have it


class Request(BaseModel):
    """A JSON object. What is null counts as not given.

    `ignored` are fields that clients send and that change no answer, `other_names` those that other
    servers have for ours.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    ignored: ClassVar[frozenset[str]] = frozenset()
    other_names: ClassVar[Mapping[str, str]] = {}


def read(kind: type[T], body: Mapping[str, Any]) -> T:
    """`body` as a request; raises Refused, which names the field that is wrong."""
    given: dict[str, Any] = {}
    for name, value in body.items():
        if value is None or name in kind.ignored:
            continue
        own = kind.other_names.get(name, name)
        if own in given:
            raise Refused(f"{name}: means the same as {own}, which is given too", param=name)
        given[own] = value
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise _refused(kind, error) from None


def _refused(kind: type[Request], error: ValidationError) -> Refused:
    found = error.errors(include_url=False, include_context=False)
    first = found[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
        near = get_close_matches(name, [*kind.model_fields, *kind.other_names], 3)
        meant = f"; did you mean {' or '.join(near)}?" if near else ""
        return Refused(
            f"{name!r:.60} is no field of this request{meant}", 400, "unknown_field", name
        )
    where = _where(first["loc"])
    if first["type"] == "missing":
        return Refused(f"{where} is missing", 400, "missing_field", where)
    # A field that may be of several types has an error for each.
    same = [e for e in found if e["loc"][:1] == first["loc"][:1]]
    if len({e["loc"] for e in same}) > 1:
        where = name
    wanted = " or ".join(dict.fromkeys(_lower(e["msg"]) for e in same))
    given = first["input"]
    return Refused(f"{where}: {wanted}; got {given!r:.60}", 400, "invalid_value", where)


def _where(loc: Iterable[int | str]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _sampling_fields() -> dict[str, Any]:
    """A field for each of `Sampling`, with its range, as pydantic wants them."""
    found: dict[str, Any] = {}
    for known in dataclasses.fields(Sampling):
        if known.name in _UNASKED:
            continue
        kind: Any = known.metadata.get("type", Any)
        if known.name == "ignore_eos":
            kind = bool
        elif known.name == "dry_breakers":
            kind = list[str]
        elif known.name == "samplers":
            kind = str | list[str]
        limits = known.metadata.get("range")
        bounds: dict[str, Any] = {}
        if limits is not None:
            bounds = {"ge": limits[0], "le": limits[1]}
        bounds = {k: v for k, v in bounds.items() if abs(v) != float("inf")}
        found[known.name] = (Annotated[kind, Field(**bounds)] | None, None)
    return found


_Fields: Any = create_model("_Fields", __base__=Request, **_sampling_fields())


class SamplingFields(_Fields):  # type: ignore[misc]
    """How the next token is chosen: every field of `vatra.Sampling`; none is as the file says."""

    seed: Annotated[int | None, Field(ge=-(2**63), lt=2**64)] = None
    logit_bias: dict[str, float] | list[list[Any]] | None = None

    def sampling(self) -> dict[str, Any]:
        """The fields that are given, as `Sampling` takes them; raises UsageError."""
        names = {f.name for f in dataclasses.fields(Sampling)} & self.model_fields_set
        found = {name: getattr(self, name) for name in names}
        if self.seed is not None:
            found.pop("seed")
            if self.seed != RANDOM_SEED:
                found["seed"] = self.seed % 2**64
        if self.logit_bias is not None:
            found["logit_bias"] = _biases(self.logit_bias)
        Sampling(**found)
        return found


def _biases(given: dict[str, float] | list[list[Any]]) -> list[tuple[int | str, float]]:
    """Pairs of a token and what its logit gets; names of objects that are numbers are ids.

    As llama.cpp has it, pairs may name tokens by their text, and false bans one.
    """
    if isinstance(given, dict):
        return [(named_token(name), bias) for name, bias in given.items()]
    for pair in given:
        if len(pair) != 2 or not isinstance(pair[0], (int, str)) or pair[1] is True:
            raise Refused(
                f"logit_bias: got {pair!r:.60}, wanted [token, number]", param="logit_bias"
            )
    return [(t, float("-inf") if bias is False else bias) for t, bias in given]
