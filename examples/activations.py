"""Look inside: what each layer would say next; then change it, and steer a story."""

import sys

import numpy as np

import vatra

with vatra.load(*sys.argv[1:]) as model:
    layers = sum(name.endswith(".l_out") for name in model.activations)
    ids = model.tokenizer.encode("The king lived in a big castle. The queen lived in a big")

    # A logit lens: what follows the stream after a layer, if it were that after the last.
    with model.capture("blk.*.l_out") as seen:
        model.logits(ids)
    for i in range(layers):
        stream = seen[f"blk.{i}.l_out"]  # float32 (n_tokens, n_embd)
        with model.patch({f"blk.{layers - 1}.l_out": lambda x, at, stream=stream: stream[at]}):
            best = model.logits(ids)[-1].argsort()[::-1][:4].tolist()
        print(f"layer {i} would say:", *(repr(model.tokenizer.decode([id])) for id in best))

    # Steering: the way from one text to another, added to whatever is read and written.
    name = f"blk.{layers // 2}.l_out"

    def mean(text: str) -> np.ndarray:
        with model.capture(name) as seen:
            model.logits(model.tokenizer.encode(text))
        return seen[name][1:].mean(axis=0)

    out = mean("The sea was cold. The boat was wet. The fish swam in the waves.")
    home = mean("The house was warm. The bed was soft. The cat slept in the room.")
    for way in (-1, 0, 1):
        with model.patch({name: lambda x, at, way=way: x + way * (out - home)}):
            steps = model.generate("Tom went out to play. Then", temperature=0, max_tokens=24)
            print(f"\n{way:+} of the way to the sea:", "".join(step.text for step in steps).strip())

    # Weights, by their names in the file, which stays as it is.
    def perplexity() -> float:
        return float(np.exp(-np.mean([token.logprob for token in model.logprobs(ids)[1:]])))

    whole = perplexity()
    with model.patch({"blk.1.ffn_down.weight": lambda weights: weights / 2}):
        print(f"\nperplexity {whole:.1f}, with half of a network {perplexity():.1f}")
