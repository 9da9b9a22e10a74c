"""How sure the model was of each token, and what else it might have said."""

import math
import sys

import vatra

with vatra.load(*sys.argv[1:]) as model:
    question = {"role": "user", "content": "What is the capital of France?"}
    for step in model.chat([question], temperature=0, max_tokens=20, logprobs=3):
        others = ", ".join(f"{o.text!r} {math.exp(o.logprob):.1%}" for o in step.top_logprobs)
        print(f"{step.text!r:12} {math.exp(step.logprob):6.1%}   of {others}")

    # The same for a text that is given: which of its words did the model not expect?
    ids = model.tokenizer.encode("Once upon a time there was a purple submarine.")
    known = [t for t in model.logprobs(ids) if t.logprob is not None]
    least = min(known, key=lambda token: token.logprob)
    mean = math.exp(-sum(token.logprob for token in known) / len(known))
    print(f"\nleast expected: {least.text!r} {math.exp(least.logprob):.4%}; perplexity {mean:.1f}")
