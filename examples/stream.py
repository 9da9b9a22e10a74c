"""A text as it is written, and how fast that was."""

import sys

import vatra

with vatra.load(*sys.argv[1:]) as model:
    steps = model.generate("Once upon a time", seed=7, max_tokens=60)
    for step in steps:
        print(step.text, end="", flush=True)
    speed = steps.statistics
    print(f"\n\n{len(steps.tokens)} tokens, {speed.generated_tokens_per_s:.0f} tokens/s")
    print(f"it ended because of: {steps.finish_reason}")
