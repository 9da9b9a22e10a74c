"""Every weight format a file may hold, and a clear refusal of every other type."""

from __future__ import annotations

from typing import NamedTuple

from vatra.quant import float as floats
from vatra.quant import fp4, iquants, kquants, legacy, lowbit, ternary
from vatra.quant.format import UnknownFormat, WeightFormat

FORMATS: dict[str, WeightFormat] = {
    row.name: row
    for family in (floats, legacy, kquants, iquants, ternary, fp4, lowbit)
    for row in family.FORMATS
}
_BY_ID = {row.id: row for row in FORMATS.values()}

_REWRITE = "was removed from ggml: quantise the original model again, as q4_0 for instance"
_REPACKED = "was removed from ggml: use a plain {} file, whose rows are rearranged when loaded"
_INTERNAL = "is for activations in memory only, never for weights in a file"
_PLAIN = "is a type for other data than weights"

# ggml's types that hold no weights, by id: the name, and why not.
REFUSED: dict[int, tuple[str, str]] = {
    4: ("q4_2", _REWRITE),
    5: ("q4_3", _REWRITE),
    9: ("q8_1", _INTERNAL),
    15: ("q8_k", _INTERNAL),
    24: ("i8", _PLAIN),
    25: ("i16", _PLAIN),
    26: ("i32", _PLAIN),
    27: ("i64", _PLAIN),
    28: ("f64", _PLAIN),
    31: ("q4_0_4_4", _REPACKED.format("q4_0")),
    32: ("q4_0_4_8", _REPACKED.format("q4_0")),
    33: ("q4_0_8_8", _REPACKED.format("q4_0")),
    36: ("iq4_nl_4_4", _REPACKED.format("iq4_nl")),
    37: ("iq4_nl_4_8", _REPACKED.format("iq4_nl")),
    38: ("iq4_nl_8_8", _REPACKED.format("iq4_nl")),
}


def by_name(name: str) -> WeightFormat:
    """The format called `name`, in any case; UnknownFormat says what there is instead."""
    key = name.lower()
    if key in FORMATS:
        return FORMATS[key]
    for number, (refused, why) in REFUSED.items():
        if key == refused:
            raise UnknownFormat(f"{name.upper()} (ggml type {number}) {why}")
    raise UnknownFormat(f"there is no weight format {name!r}; known: {', '.join(FORMATS)}")


def by_id(number: int) -> WeightFormat:
    """The format with ggml's type `number`; UnknownFormat names what it is instead."""
    if number in _BY_ID:
        return _BY_ID[number]
    if number in REFUSED:
        name, why = REFUSED[number]
        raise UnknownFormat(f"{name.upper()} (ggml type {number}) {why}")
    raise UnknownFormat(
        f"ggml type {number} is not known (the highest known is {max(_BY_ID)}); "
        "the file is damaged, or newer than this version of vatra"
    )


class Row(NamedTuple):
    """A line of the table of formats, for people."""

    name: str
    id: int
    block: int  # weights
    bytes: int  # of a block
    bits: float  # per weight
    can_encode: bool


def table() -> list[Row]:
    """One line per format, in the registry's order."""
    return [
        Row(f.name, f.id, f.block, f.block_bytes, f.bits, f.can_encode) for f in FORMATS.values()
    ]
