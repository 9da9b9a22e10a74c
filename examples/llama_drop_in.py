"""A program for llama-cpp-python: only its line of import is another."""

import sys

import vatra.spark
from vatra import Llama  # was: from llama_cpp import Llama

path = sys.argv[1] if len(sys.argv) > 1 else str(vatra.spark.path())
llm = Llama(model_path=path, n_ctx=512, seed=42, verbose=False)

output = llm("Q: Name a colour. A: ", max_tokens=16, stop=["Q:", "\n"], echo=True)
print(output["choices"][0]["text"])
print(output["usage"])

for chunk in llm.create_chat_completion(
    messages=[{"role": "user", "content": "What is the capital of France?"}], stream=True
):
    print(chunk["choices"][0]["delta"].get("content", ""), end="", flush=True)
print()

tokens = llm.tokenize(b"Once upon a time")
for token in llm.generate(tokens, top_k=40, temp=0.2):
    tokens.append(token)
    if token == llm.token_eos() or len(tokens) > 30:
        break
print(llm.detokenize(tokens).decode())
