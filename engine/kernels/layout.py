"""Where things lie in the two tables that Python and the kernels share. All words are int64."""

from __future__ import annotations

from typing import NamedTuple

# The run block: what changes from one run to the next.
RUN_TOKENS = 0  # tokens of this run
RUN_OUTPUTS = 1  # the last so many of them are asked for logits
RUN_POSITION = 2  # position of the first token
RUN_ABORT = 3  # set by Python: stop soon
RUN_LAST = 4  # set by thread 0: the number of the op after which all threads stop
RUN_YIELD = 5  # address of the system's "let another thread run"
RUN_OPS = 6  # address of the op table
RUN_N_OPS = 7
RUN_CYCLES = 8  # address of one int64 per op for its end in processor cycles, or 0
RUN_ARRIVED = 16  # barrier: threads that have arrived ...
RUN_TURN = 24  # ... and how often all had; each on a cache line of its own
RUN_WORDS = 32

# An op: one row of the table.
OP_KERNEL = 0  # address of its machine code
OP_BARRIER = 1  # 1 if the next op needs what this one or its neighbours wrote
OP_COUNTER = 2  # next piece of work to hand out
FIRST_ARGUMENT = 4
OP_WORDS = 24

ROWS = 16  # weight rows that are interleaved, one per lane
FLOAT_ROWS = 4  # weight rows that `matmul_float` takes at once
PART = 32  # activations that share a scale
STEP = 64  # keys that attention handles at once
QUERIES = 4  # query rows of one KV head that it handles at once


class Operand(NamedTuple):
    """What a weight format wants of the activations it is multiplied with, see `quantize`."""

    spans: int  # sums of each 32 activations: as many as the format has scales for them
    zero: int  # what its bytes are too large by; 0 for a format with mins


FAST = {  # formats that `unpack` can unpack
    "q4_0": Operand(1, 8),
    "q4_1": Operand(1, 0),
    "q5_0": Operand(1, 16),
    "q5_1": Operand(1, 0),
    "q8_0": Operand(1, 128),
    "q2_k": Operand(2, 0),
    "q3_k": Operand(2, 4),
    "q4_k": Operand(1, 0),
    "q5_k": Operand(1, 0),
    "q6_k": Operand(2, 32),
}
FLOATS = ("f32", "f16", "bf16")  # formats that `matmul_float` reads as they lie in the file


def attention_scratch(key_dim: int, value_dim: int) -> int:
    """Bytes that one thread needs to attend."""
    padded = -(-value_dim // 16) * 16
    return -(-4 * QUERIES * (key_dim + STEP + 2 + padded) // 64) * 64
