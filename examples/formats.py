"""What a weight format costs: bits for each weight, and the error that rounding to it makes."""

import numpy as np

from vatra.quant.registry import FORMATS

weights = np.random.default_rng(0).normal(size=(64, 1024)).astype(np.float32)
print(f"{'format':8} {'bits':>7} {'error':>9}")
for form in sorted(FORMATS.values(), key=lambda form: form.bits):
    if not form.can_encode:
        continue  # can be read, but not made
    rounded = form.decode(form.encode(weights))
    error = np.sqrt(np.mean((rounded - weights) ** 2) / np.mean(weights**2))
    print(f"{form.name:8} {form.bits:7.4g} {error:9.2%}")
