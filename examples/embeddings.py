"""Vectors of texts, and which texts are alike: their product is the cosine of the angle.

Any model makes vectors; those of one that was trained for it tell much more than the toy's.
"""

import sys

import vatra

TEXTS = [
    "The cat sat in the warm sun.",
    "A kitten slept where it was warm.",
    "What is the capital of France?",
]

with vatra.load(*sys.argv[1:]) as model:
    vectors = model.embed(TEXTS)  # float32 (n_texts, n_embd), each of length 1
    print(f"{vectors.shape[0]} vectors of {vectors.shape[1]} values")
    for text, row in zip(TEXTS, vectors @ vectors.T, strict=True):
        print("  ".join(f"{cosine:.3f}" for cosine in row), " ", text)
    question = model.embed("Which town is the capital of Italy?")
    likeliest = int((vectors @ question[0]).argmax())
    print("most like the question about Italy:", TEXTS[likeliest])
