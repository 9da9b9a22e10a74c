"""Two answers at once from one model: its weights are there once, each thread has a session."""

import sys
from concurrent.futures import ThreadPoolExecutor

import vatra

PROMPTS = ["Once upon a time there was a little fox", "One day a brave girl"]

with vatra.load(*sys.argv[1:]) as model, ThreadPoolExecutor() as pool:

    def continued(prompt: str) -> str:
        steps = model.generate(prompt, seed=3, max_tokens=40)
        return prompt + "".join(step.text for step in steps)

    for text in pool.map(continued, PROMPTS):
        print(text, "\n")
