"""The parts of a batch: checked, cut into pieces, put together, and what they gave handed out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar, get_args

import numpy as np

from vatra.engine.executor import Executor, Outdated, Outputs, Part, State
from vatra.errors import UsageError
from vatra.models.plan import Plan

Array = np.ndarray
Piece = TypeVar("Piece")
Key = TypeVar("Key", bound=Hashable)


def prepared(executor: Executor, parts: Sequence[Part]) -> list[Part]:
    """`parts` with `checked` tokens and pages for all, each of another state; raises UsageError."""
    if len({id(part.state) for part in parts}) < len(parts):
        raise UsageError("two parts of a batch are of the same state")
    found = []
    for part in parts:
        tokens = checked(executor, part.state, part.tokens, part.position, part.outputs)
        found.append(replace(part, tokens=tokens))
    for part in found:
        part.state.make_room(part.position, len(part.tokens))
    return found


def room_for(plan: Plan, part: Part) -> Array:
    """float32 (n_outputs, width), not filled: for what `Executor.run` returns of a part."""
    n, width = len(part.tokens), (plan.hidden if part.outputs == "hidden" else plan.logits).width
    n = n if part.outputs in ("all", "hidden") else int(part.outputs == "last" and n > 0)
    return np.empty((n, width), np.float32)


def cut(part: Part, kept: Array, most: int) -> Iterator[tuple[int, int, Array]]:
    """First and end of up to `most` of a part's tokens each, and where in `kept` outputs go."""
    n, every = len(part.tokens), part.outputs in ("all", "hidden")
    for start in range(0, n, most):
        end = min(start + most, n)
        yield start, end, kept[start:end] if every else kept[: None if end == n else 0]


def checked(
    executor: Executor, state: State, tokens: Array, position: int, outputs: Outputs
) -> Array:
    """`tokens` as contiguous int32 (n,), proven to fit executor and state; raises UsageError."""
    if state.executor is not executor:
        raise UsageError("this state belongs to another executor")
    if state.closed:
        raise UsageError("this state is closed")
    n_vocab = executor.plan.n_vocab
    tokens = np.asarray(tokens)
    if tokens.ndim != 1 or not (tokens.size == 0 or np.issubdtype(tokens.dtype, np.integer)):
        raise UsageError(f"tokens are {tokens.dtype} of shape {tokens.shape}, wanted integers (n,)")
    if tokens.size and not (tokens.min() >= 0 and tokens.max() < n_vocab):
        bad = tokens[(tokens < 0) | (tokens >= n_vocab)][0]
        raise UsageError(f"token {bad} is outside the vocabulary, wanted 0 to {n_vocab - 1}")
    if position < 0 or position + tokens.size > state.n_ctx:
        raise UsageError(
            f"{tokens.size} tokens at position {position} do not fit a context of {state.n_ctx}"
        )
    if state.memories and position != state.length:
        raise UsageError(
            f"position {position}: this model has a memory of all tokens so far and can go on from "
            f"{max(state.length, 0)}, or from where `rewind` goes back to"
        )
    if position and not executor.plan.causal:
        raise UsageError(f"position {position}: this model reads a text as a whole, from 0")
    if not state.is_current(position):
        raise Outdated(
            f"position {position}: what was read before has been read under other patches; go on "
            "from where `rewind` goes back to"
        )
    if not state.holds(position):
        raise UsageError(
            f"position {position}: of layers that read a window of positions alone, those are no "
            "longer there; go on from where `rewind` goes back to"
        )
    if outputs not in get_args(Outputs):
        raise UsageError(f"outputs {outputs!r} is not known, wanted all, last, none or hidden")
    return np.ascontiguousarray(tokens, np.int32)


def together(
    pieces: Iterable[Piece], key: Callable[[Piece], Key], fit: Callable[[Key, list[Piece]], bool]
) -> Iterator[tuple[Key, list[Piece]]]:
    """`pieces` of equal keys, as many at once as fit; one alone always does."""
    waiting: dict[Key, list[Piece]] = {}
    for piece in pieces:
        own = key(piece)
        some = [*waiting.get(own, []), piece]
        if len(some) > 1 and not fit(own, some):
            yield own, waiting[own]
            some = [piece]
        waiting[own] = some
    yield from waiting.items()


def hand_out(found: Array, to: Iterable[Array]) -> None:
    """Copy the rows of `found` to where they go, one after another."""
    for kept in to:
        kept[:] = found[: len(kept)]
        found = found[len(kept) :]
