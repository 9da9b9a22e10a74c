"""What llama.cpp's samplers make of given logits, and its perplexity of a text, for the tests.

    python bench/expected.py > tests/llama_sampling.json

with an interpreter that has llama-cpp-python. Filters are applied to candidates one by one, through
its C interface; the vocabulary is Spark's. The perplexity is that of a model of float32 weights,
which llama.cpp does not round.
"""

from __future__ import annotations

import ctypes
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import llama_cpp as c
import numpy as np

ROOT = Path(__file__).parent.parent
SPARK = ROOT / "spark" / "spark.gguf"
FLOATS = ROOT.parent / "shared" / "models" / "stories260K-f32.gguf"
SEED = 7
Chain = list[tuple[str, tuple[Any, ...]]]


def vectors() -> dict[str, list[float]]:
    """Logits of several shapes, none equal to another."""
    random = np.random.default_rng(1)
    shapes = {
        "wide": random.normal(size=80) * 3,
        "flat": random.normal(size=60) * 0.3,
        "peaked": np.append(random.normal(size=30), [9.0, 6.5]),
        "few": np.array([2.0, 1.5, 1.25, -0.5, -3.0]),
        "two": np.array([1.0, 2.0]),
    }
    return {name: [round(float(v), 4) for v in values] for name, values in shapes.items()}


class Tokens:
    """Candidates as llama.cpp has them."""

    def __init__(self, logits: Sequence[float]) -> None:
        self.data = (c.llama_token_data * len(logits))()
        for i, logit in enumerate(logits):
            self.data[i] = c.llama_token_data(id=i, logit=logit, p=0.0)
        self.array = c.llama_token_data_array(
            data=self.data, size=len(logits), selected=-1, sorted=False
        )

    def apply(self, sampler: Any) -> None:
        c.llama_sampler_apply(sampler, ctypes.byref(self.array))

    def left(self) -> dict[int, float]:
        """Logit by id of those that can still be chosen."""
        data = ctypes.cast(self.array.data, ctypes.POINTER(c.llama_token_data))
        found = {data[i].id: data[i].logit for i in range(self.array.size)}
        return {i: found[i] for i in sorted(found) if found[i] != -math.inf}

    def shares(self) -> dict[int, float]:
        """Probability by id, of the softmax over what is left."""
        left = self.left()
        total = math.fsum(math.exp(v - max(left.values())) for v in left.values())
        return {i: math.exp(v - max(left.values())) / total for i, v in left.items()}

    def selected(self) -> int:
        data = ctypes.cast(self.array.data, ctypes.POINTER(c.llama_token_data))
        return int(data[self.array.selected].id)


def by_name(vocabulary: Any) -> dict[str, Callable[..., Any]]:
    """What makes a sampler of each name of ours."""

    def dry(*given: Any) -> Any:
        *numbers, breakers = given
        texts = (ctypes.c_char_p * len(breakers))(*(b.encode() for b in breakers))
        return c.llama_sampler_init_dry(vocabulary, *numbers, texts, len(breakers))

    def bias(n_vocab: int, pairs: dict[int, float]) -> Any:
        listed = (c.llama_logit_bias * len(pairs))(
            *(c.llama_logit_bias(token=t, bias=b) for t, b in pairs.items())
        )
        return c.llama_sampler_init_logit_bias(n_vocab, len(pairs), listed)

    return {
        "bias": bias,
        "penalties": c.llama_sampler_init_penalties,
        "dry": dry,
        "top_n_sigma": c.llama_sampler_init_top_n_sigma,
        "top_k": c.llama_sampler_init_top_k,
        "typical_p": c.llama_sampler_init_typical,
        "top_p": c.llama_sampler_init_top_p,
        "min_p": c.llama_sampler_init_min_p,
        "xtc": lambda *given: c.llama_sampler_init_xtc(*given, SEED),
        "temperature": c.llama_sampler_init_temp_ext,
    }


CHAINS: list[Chain] = [
    *([("top_k", (k,))] for k in (0, 1, 3, 40, 500)),
    *([("top_p", (p, keep))] for p in (0.0, 0.3, 0.95, 1.0) for keep in (0, 7)),
    *([("min_p", (p, keep))] for p in (0.0, 0.05, 0.4, 1.0) for keep in (0, 7)),
    *([("typical_p", (p, keep))] for p in (0.1, 0.5, 0.9, 1.0) for keep in (0, 7)),
    *([("top_n_sigma", (n,))] for n in (-1.0, 0.5, 1.0, 2.5)),
    *([("xtc", (1.0, t, keep))] for t in (0.0, 0.02, 0.1, 0.5, 0.6) for keep in (0, 4)),
    [("xtc", (0.0, 0.1, 0))],
    *([("temperature", (t, 0.0, 1.0))] for t in (0.0, 0.1, 0.8, 3.0)),
    *([("temperature", (t, r, e))] for t, r, e in ((0.8, 0.5, 1.0), (0.5, 1.0, 2.0), (0, 1, 0.5))),
    [("top_k", (40,)), ("typical_p", (1.0, 0)), ("top_p", (0.95, 0)), ("min_p", (0.05, 0)),
     ("temperature", (0.8, 0.0, 1.0))],
    [("temperature", (1.5, 0.0, 1.0)), ("min_p", (0.1, 0)), ("top_p", (0.8, 2))],
    # Behind top_n_sigma llama.cpp keeps logits of -inf, which make its typical_p NaN.
    [("typical_p", (0.7, 0)), ("top_n_sigma", (1.0,)), ("xtc", (1.0, 0.1, 0)),
     ("temperature", (0.7, 0.0, 1.0))],
]  # fmt: skip
RECENT = [3, 3, 1, 4, 3, 0, 2, 2, 2, 2]
PENALTIES = [(64, 1.3, 0.0, 0.0), (4, 1.3, 0.1, 0.2), (64, 0.5, -0.5, 0.7), (0, 2.0, 1.0, 1.0)]
BIASES = [{0: 2.0, 3: -1.5}, {1: -math.inf}, {2: 100.0, 4: -math.inf}]

BREAKERS = ["\n", ":", '"', "*"]
TEXTS = [
    "The fox ran to the lake. The fox ran to the",
    "one two three four one two three four one two three",
    "He said: the cat is here: the cat is",
    'She said "the cat is here" and "the cat is',
    "a a a a a a a a a a a a a a a a a a a a",
    "the red hen sat\nthe red hen sat\nthe red hen",
    "no repetition here at all",
]
DRY = [
    (0.8, 1.75, 2, 64, BREAKERS),
    (0.8, 1.75, 2, 64, []),
    (2.5, 1.1, 1, 64, [" hen", "here"]),
    (1.0, 1.0, 3, 12, BREAKERS),
    (0.5, 2.0, 0, 64, BREAKERS),
    (0.8, 30.0, 2, 64, []),
]
STORY = """\
Once upon a time there was a little fox named Ruby. She lived under an old oak tree near the river.
One morning Ruby found a small red boat in the grass. "Whose boat is this?" she asked. Nobody
answered. Ruby pushed the boat into the water and climbed in. The boat went round and round, and
then it went down the river. At first Ruby was happy, but soon she was afraid. A duck saw her and
called, "Take this rope!" Ruby held the rope in her teeth, and the duck pulled her to the shore.
"Thank you," said Ruby. "I will never take a boat that is not mine." The next day she gave the boat
to the boy who had lost it. He was so glad that he gave Ruby a piece of warm bread, and they shared
it with the duck. From that day on the three of them were friends.
"""
N_CTX = 64


def main() -> None:
    quiet = c.llama_log_callback(lambda *_: None)
    c.llama_log_set(quiet, None)
    c.llama_backend_init()
    vocabulary = c.llama_model_get_vocab(loaded(SPARK))
    make = by_name(vocabulary)
    logits = vectors()
    found: dict[str, Any] = {"logits": logits, "chains": [], "penalties": [], "biases": []}
    for name, values in logits.items():
        for chain in CHAINS:
            tokens = Tokens(values)
            for sampler, given in chain:
                tokens.apply(make[sampler](*given))
            found["chains"].append({"of": name, "chain": chain, "shares": rounded(tokens.shares())})
        for given in PENALTIES:
            sampler = c.llama_sampler_init_penalties(len(values), *given)
            tokens = Tokens(values)
            for token in RECENT:
                if token < len(values):
                    c.llama_sampler_accept(sampler, token)
            tokens.apply(sampler)
            found["penalties"].append({"of": name, "given": given, "left": rounded(tokens.left())})
        for pairs in BIASES:
            if max(pairs) < len(values):
                tokens = Tokens(values)
                tokens.apply(make["bias"](len(values), pairs))
                left = rounded(tokens.left())
                found["biases"].append({"of": name, "given": list(pairs.items()), "left": left})
    found["recent"] = RECENT
    found["dry"] = [dry(make, vocabulary, text, given) for text in TEXTS for given in DRY]
    found["mirostat"] = [
        adapting(
            c.llama_sampler_init_mirostat(len(logits[name]), SEED, tau, eta, 100), logits[name]
        )
        | {"of": name, "version": 1, "tau": tau, "eta": eta}
        for name in ("wide", "flat", "peaked")
        for tau, eta in ((5.0, 0.1), (2.0, 0.5))
    ] + [
        adapting(c.llama_sampler_init_mirostat_v2(SEED, tau, eta), logits[name])
        | {"of": name, "version": 2, "tau": tau, "eta": eta}
        for name in ("wide", "flat", "peaked")
        for tau, eta in ((5.0, 0.1), (2.0, 0.5))
    ]
    found["adaptive"] = [
        adapting(c.llama_sampler_init_adaptive_p(target, decay, SEED), logits[name])
        | {"of": name, "target": target, "decay": decay}
        for name in ("wide", "peaked", "few")
        for target, decay in ((0.5, 0.9), (0.1, 0.5), (1.0, 0.0))
    ]
    found["perplexity"] = {"text": STORY, "n_ctx": N_CTX, **perplexity(loaded(FLOATS))}
    json.dump(found, sys.stdout, separators=(",", ":"))
    print()


def loaded(path: Path) -> Any:
    return c.llama_model_load_from_file(str(path).encode(), c.llama_model_default_params())


def rounded(values: dict[int, float]) -> dict[int, float]:
    return {i: float(f"{value:.5g}") for i, value in values.items()}


def tokenized(vocabulary: Any, text: str, special: bool) -> list[int]:
    raw = text.encode()
    ids = (c.llama_token * (len(raw) + 8))()
    n = c.llama_tokenize(vocabulary, raw, len(raw), ids, len(ids), special, False)
    return list(ids[:n])


def dry(make: dict[str, Any], vocabulary: Any, text: str, given: tuple[Any, ...]) -> dict[str, Any]:
    """By how much each token is lowered after `text`."""
    recent = tokenized(vocabulary, text, False)
    sampler = make["dry"](*given)
    tokens = Tokens([0.0] * c.llama_vocab_n_tokens(vocabulary))
    for token in recent:
        c.llama_sampler_accept(sampler, token)
    tokens.apply(sampler)
    lowered = {i: -v for i, v in tokens.left().items() if v}
    return {"recent": recent, "given": given, "lowered": rounded(lowered)}


def adapting(sampler: Any, values: list[float], n: int = 6) -> dict[str, Any]:
    """What is drawn from, and what is drawn, time after time."""
    steps = []
    for _ in range(n):
        tokens = Tokens(values)
        tokens.apply(sampler)
        token = tokens.selected()
        steps.append({"shares": rounded(tokens.shares()), "token": token})
        c.llama_sampler_accept(sampler, token)
    return {"steps": steps}


def perplexity(model: Any) -> dict[str, float]:
    """As tools/perplexity computes it: the second half of each chunk, after BOS."""
    settings = c.llama_context_default_params()
    settings.n_ctx = settings.n_batch = settings.n_ubatch = N_CTX
    settings.type_k = settings.type_v = c.GGML_TYPE_F32
    settings.flash_attn_type = 0
    context = c.llama_init_from_model(model, settings)
    vocabulary = c.llama_model_get_vocab(model)
    n_vocab = c.llama_vocab_n_tokens(vocabulary)
    ids = tokenized(vocabulary, STORY, True)
    batch = c.llama_batch_init(N_CTX, 0, 1)
    losses = []
    for start in range(0, len(ids) - N_CTX + 1, N_CTX):
        chunk = ids[start : start + N_CTX]
        c.llama_memory_clear(c.llama_get_memory(context), True)
        batch.n_tokens = N_CTX
        for i, token in enumerate(chunk):
            begins = i == 0 and c.llama_vocab_get_add_bos(vocabulary)
            batch.token[i] = c.llama_vocab_bos(vocabulary) if begins else token
            batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = i, 1, 0, 1
        assert c.llama_decode(context, batch) == 0
        for i in range(N_CTX // 2, N_CTX - 1):
            row = np.ctypeslib.as_array(c.llama_get_logits_ith(context, i), (n_vocab,))
            row = row.astype(np.float64)
            highest = row.max()
            losses.append(highest + np.log(np.exp(row - highest).sum()) - row[chunk[i + 1]])
    mean = float(np.mean(losses))
    error = math.sqrt((float(np.mean(np.square(losses))) - mean**2) / (len(losses) - 1))
    value = math.exp(mean)
    return {"value": value, "error": value * error, "n_tokens": len(losses)}


if __name__ == "__main__":
    main()
