"""Look inside a file: how a quantised tensor's bytes become numbers."""

import sys

import numpy as np

import vatra.spark
from vatra.formats import gguf

path = sys.argv[1] if len(sys.argv) > 1 else vatra.spark.path()
with gguf.read(path) as checkpoint:
    for name in list(checkpoint.tensors)[:5]:
        tensor = checkpoint.tensors[name]
        print(f"{name:24} {tensor.format.name:6} {tensor.shape}")
    tensor = checkpoint.tensors["blk.0.attn_q.weight"]
    form = tensor.format
    print(f"\n{form.name}: {form.block} weights lie in {form.block_bytes} bytes: {form.layout}")
    rows = tensor.data[:2]  # uint8 (2, bytes per row), mapped and not copied
    print("the first block:", rows[0, : form.block_bytes].view(form.layout)[0])
    values = form.decode(rows)  # float32 (2, width)
    print("its first values:", np.round(values[0, :8], 4))
    print(f"mean and deviation of two rows: {values.mean():.5f} {values.std():.5f}")
