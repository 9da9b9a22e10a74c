"""A chat that remembers what was said: each turn evaluates only what is new."""

import sys

import vatra

QUESTIONS = ["What is the capital of France?", "And what is the capital of Italy?"]

with vatra.load(*sys.argv[1:]) as model:
    conversation = vatra.Conversation(model)
    for question in QUESTIONS:
        print(f"> {question}")
        steps = conversation.say(question, vatra.Sampling(temperature=0), max_tokens=40)
        for step in steps:
            print(step.text, end="", flush=True)
        read = steps.statistics
        print(f"\n({read.prompt_tokens} tokens read, {read.reused_tokens} known already)\n")
    for message in conversation.messages:
        print(f"{message['role']:>9}: {message['content']}")
