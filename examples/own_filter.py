"""A sampler of one's own, in a few lines of NumPy: no long word is said twice."""

import sys

import numpy as np

import vatra

with vatra.load(*sys.argv[1:]) as model:
    tokenizer = model.tokenizer
    n = tokenizer.n_vocab
    is_long = np.array([len(tokenizer.piece(i).strip()) > 3 for i in range(n)])

    def never_twice(ids: np.ndarray, logits: np.ndarray, recent: np.ndarray) -> np.ndarray:
        """`ids` may come next with these `logits`; `recent` are all tokens so far."""
        banned = np.isin(ids, recent) & is_long[ids]
        return np.where(banned, -np.inf, logits)

    for filters in ((), (never_twice,)):
        steps = model.generate("Once upon a time", temperature=0, max_tokens=60, filters=filters)
        text = "".join(step.text for step in steps)
        again = [i for i in set(steps.tokens) if is_long[i] and steps.tokens.count(i) > 1]
        print(f"{len(again)} long words said again:{text}\n")
