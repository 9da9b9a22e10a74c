"""The answers to many prompts, eight of which are written at once; one of them goes wrong."""

import sys
import time

import vatra

SYSTEM = {"role": "system", "content": "You are a helpful assistant."}
QUESTIONS = ["What is the capital of France?", "And of Italy?", "Tell me a story.", "Who are you?"]

with vatra.load(*sys.argv[1:]) as model:
    prompts = [[SYSTEM, {"role": "user", "content": text}] for text in QUESTIONS * 3]
    began, n_tokens = time.perf_counter(), 0
    for answer in model.batch([*prompts, [10**9]], max_tokens=40, temperature=0):
        n_tokens += len(answer.tokens)
        print(answer.index, answer.error or answer.text.replace("\n", " "))
    print(f"{n_tokens / (time.perf_counter() - began):.0f} tokens/s")

    # The engine beneath: texts that come, go and are cancelled at any time, from any thread.
    with vatra.Batch(model, parallel=2) as batch:
        ids = [model.tokenizer.encode(text) for text in ("Once upon a time", "One day")]
        first, second = (batch.submit(one, vatra.Sampling(seed=3), 200) for one in ids)
        print("".join(step.text for step, _ in zip(first, range(20), strict=False)))
        first.cancel()
        print("".join(step.text for step in second))
