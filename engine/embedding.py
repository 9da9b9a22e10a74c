"""Vectors of texts, and scores of texts for a query."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vatra.engine import numerics
from vatra.engine.reference import ACTIVATIONS
from vatra.engine.session import CHUNK, ContextFull
from vatra.errors import UsageError
from vatra.models.pooling import POOLINGS, Layer, Pooling

if TYPE_CHECKING:
    from vatra.engine.executor import State
    from vatra.engine.model import Model
    from vatra.formats.tokenizer import Tokenizer

Array = np.ndarray

RANK_TEMPLATE = "tokenizer.chat_template.rerank"
_POOL: dict[str, Callable[[Array], Array]] = {
    "mean": lambda x: x.mean(axis=0, dtype=np.float64).astype(np.float32),
    "cls": lambda x: x[0],
    "last": lambda x: x[-1],
}
_SEPARATED = ("jina-v1-en", "jina-v2-code", "roberta-bpe")  # pre-tokenizers of such pairs


def pooling_of(pooling: Pooling, asked: str | None) -> str:
    """One of POOLINGS: as asked for, else as the file says, else the mean; raises UsageError."""
    if asked is not None and asked not in POOLINGS:
        raise UsageError(f"pooling: got {asked!r}, wanted {', '.join(POOLINGS)}")
    if asked is None and pooling.kind == "rank":
        raise UsageError(
            "this model scores texts for a query, and makes no vectors of them unless asked for a "
            f"pooling ({', '.join(POOLINGS)}): rank texts instead"
        )
    return asked or pooling.kind or "mean"


def embed(
    model: Model, texts: Sequence[str | Sequence[int]], asked: str | None, normalise: bool
) -> Array:
    """See `Model.embed`."""
    how = pooling_of(model.pooling, asked)
    made = [_POOL[how](x) for x in _vectors(model, [encoded(model, text) for text in texts])]
    width = model.plan.hidden.width
    pooled = np.stack(made) if made else np.empty((0, width), np.float32)
    found = _through(model.pooling.projections, pooled, model.pooling.eps)
    return normalised(found) if normalise else found


def token_vectors(model: Model, text: str) -> Array:
    """See `Model.token_embeddings`."""
    return _vectors(model, [encoded(model, text)])[0]


def rank(model: Model, query: str, texts: Sequence[str]) -> Array:
    """See `Model.rank`."""
    p = model.pooling
    if not p.classifier:
        raise UsageError("this model has no classifier that could score texts for a query")
    pairs = [pair(model, query, text) for text in texts]
    made = [_POOL[p.classified](x) for x in _vectors(model, pairs)]
    if not made:
        return np.empty(0, np.float32)
    scores = _through(p.classifier, np.stack(made), p.eps)
    if p.softmax:
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
    return scores[:, 0]


def normalised(x: Array) -> Array:
    """Each row of x (n, n_embd) with length 1; zeros stay zeros."""
    length = np.sqrt(np.sum(np.square(x, dtype=np.float64), axis=1, keepdims=True))
    made: Array = (x / np.where(length > 0, length, 1.0)).astype(np.float32)
    return made


def pair(model: Model, query: str, text: str) -> list[int]:
    """The tokens of a query and a text that is to be scored for it.

    By the file's template, or parted as the tokenizer parts two texts. What a template puts around
    them may be control tokens; they themselves never are.
    """
    t = model.tokenizer
    template = model.checkpoint.get(RANK_TEMPLATE, str, None)
    if template is not None:
        pieces = re.split(r"(\{query\}|\{document\})", template)
        values = {"{query}": query, "{document}": text}
        whole = "".join(values.get(piece, piece) for piece in pieces)
        if all(t.encode(v, bos=False) == _plain(t, v) for v in values.values()):
            return t.encode(whole)
        parts = [_plain(t, values[p]) if p in values else t.encode(p, bos=False) for p in pieces]
        return [*_begin(t), *(i for part in parts for i in part), *_end(t)]
    sep = model.checkpoint.get("tokenizer.ggml.add_sep_token", bool, None)
    if sep is None:
        sep = t.add_sep or model.metadata.get("tokenizer.ggml.pre") in _SEPARATED
    between = [*([t.eos_id] if t.add_eos else []), *([t.sep_id] if sep else [])]
    parted = [i for i in between if i is not None]
    return [*_begin(t), *_plain(t, query), *parted, *_plain(t, text), *_end(t)]


def _plain(t: Tokenizer, text: str) -> list[int]:
    return t.encode(text, bos=False, special=False)


def _begin(t: Tokenizer) -> list[int]:
    return [t.bos_id] if t.add_bos and t.bos_id is not None else []


def _end(t: Tokenizer) -> list[int]:
    """What the tokenizer puts after a text."""
    return t.encode("")[len(_begin(t)) :]


def encoded(model: Model, text: str | Sequence[int]) -> list[int]:
    """The tokens of a text, those that it is given by as they are; UsageError without any."""
    if isinstance(text, str):
        ids = model.tokenizer.encode(text, special=False)
    else:
        ids, n_vocab = list(text), model.plan.n_vocab
        wrong = next((i for i, token in enumerate(ids) if not 0 <= token < n_vocab), None)
        if wrong is not None:
            raise UsageError(f"ids[{wrong}]: got {ids[wrong]}, wanted 0 to {n_vocab - 1}")
    if not ids:
        raise UsageError("a text is empty, and this model's tokenizer puts no tokens around it")
    return ids


def _vectors(model: Model, texts: list[list[int]]) -> list[Array]:
    """float32 (n_tokens, n_embd) of each text's tokens, one text after the other."""
    longest = max(map(len, texts), default=1)
    if longest > model.n_ctx:
        raise ContextFull(longest, model.n_ctx)
    state = model.executor.new_state(longest, model.kv)
    return [_evaluated(model, state, np.asarray(ids, np.int32)) for ids in texts]


def _evaluated(model: Model, state: State, ids: Array) -> Array:
    step = CHUNK if model.plan.causal else len(ids)
    state.rewind(0)
    found = [
        np.array(model.run(state, ids[begin : begin + step], begin, "hidden"))
        for begin in range(0, len(ids), step)
    ]
    vectors = np.concatenate(found)
    numerics.check_finite(vectors, model, ids.tolist())
    return vectors


def _through(layers: Sequence[Layer], x: Array, eps: float) -> Array:
    """x (n, n_in) through `layers`."""
    for layer in layers:
        x = x @ layer.weight.T
        x = x if layer.bias is None else x + layer.bias
        x = ACTIVATIONS[layer.activation](x) if layer.activation else x
        if layer.norm is not None:
            x = x - x.mean(axis=-1, keepdims=True)
            x = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float32(eps)) * layer.norm
    return x
