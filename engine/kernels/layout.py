"""Where things lie in the two tables that Python and the kernels share. All words are int64."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

Array = np.ndarray

# The run block: what changes from one run to the next.
RUN_TOKENS = 0  # tokens of this run
RUN_OUTPUTS = 1  # the last so many of them are asked for logits
RUN_POSITION = 2  # position of the first token
RUN_SEQUENCE = 3  # words so far: what an op for one of several sequences has of its own
RUN_ABORT = 3  # set by Python: stop soon
RUN_LAST = 4  # set by thread 0: the number of the op after which all threads stop
RUN_YIELD = 5  # address of the system's "let another thread run"
RUN_OPS = 6  # address of the op table
RUN_N_OPS = 7
RUN_CYCLES = 8  # address of int64s for when the run begins and each op ends, in cycles; or 0
RUN_BEGAN = 9  # when the first thread began ...
RUN_ENDED = 10  # ... and ended, in cycles
RUN_WAITED = 11  # cycles that all threads together have waited for others
RUN_ARRIVED = 16  # barrier: threads that have arrived ...
RUN_TURN = 24  # ... and how often all had; each on a cache line of its own
RUN_WORDS = 32

# An op: one row of the table.
OP_KERNEL = 0  # address of its machine code
OP_BARRIER = 1  # 1 if the next op needs what this one or its neighbours wrote
OP_COUNTER = 2  # next piece of work to hand out
OP_RUN = 3  # address of the run block that it goes by instead, see RUN_SEQUENCE; or 0
FIRST_ARGUMENT = 4
OP_WORDS = 32

ROWS = 16  # weight rows that are interleaved, one per lane
FLOAT_ROWS = 4  # weight rows that `matmul_float` takes at once
PART = 32  # activations that share a scale
LEAST_PEAK = 1e-36  # that many that are no larger become zeros: 127 over less would be infinite
AMX_TERMS = {"f16": 3, "bf16": 2}  # products of parts of floats: of 11 bits two parts, of 8 one
AMX_TOKENS = 32  # runs that bring a matrix as many are multiplied by AMX, where there is one
TILE_BYTES = 1024
AMX_STEPS = 32  # tiles of inputs that are multiplied at once: 512 KB of activations
AMX_GROUPS = 16  # groups of 16 rows of weights that are, where there are more inputs
AMX_SPAN = 256  # keys that attention by AMX handles at once: their scores fit the first cache
AMX_BLOCK = 32  # query rows of one KV head that it handles at once
AMX_ROWS = 512  # query rows that share the conversion of a span, at the most

STEP = 64  # keys that attention handles at once
PAGE = 64  # positions of a page of a KV cache: a multiple of STEP, as SPAN and AMX_SPAN are of it
SPAN = 512  # keys whose softmax is summed up apart
QUERIES = 8  # query rows of one KV head that it handles at once, at the most
MOST_ROWS = 32  # query rows of a piece of work that goes through all keys
FEW = 4  # tokens of a run whose spans are pieces of work of their own, at the most
BACK = 1024  # positions that a sequence may go back in a window: an answer and its thinking
# bytes of 32 dimensions of 16 positions in a KV cache
KV_BLOCKS = {"f16": 1024, "f32": 2048, "q8_0": 544, "q4_0": 288, "turned": 2048}


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
    "iq1_s": Operand(1, 17),
    "iq1_m": Operand(2, 17),
    "iq2_xxs": Operand(1, 64),
    "iq2_xs": Operand(2, 64),
    "iq2_s": Operand(2, 64),
    "iq3_xxs": Operand(1, 64),
    "iq3_s": Operand(1, 64),
    "iq4_nl": Operand(1, 128),
    "iq4_xs": Operand(1, 128),
    "tq1_0": Operand(1, 1),
    "tq2_0": Operand(1, 1),
    "mxfp4": Operand(1, 12),
    "nvfp4": Operand(2, 12),
    "q1_0": Operand(1, 1),
    "q2_0": Operand(1, 1),
}
FLOATS = ("f32", "f16", "bf16")  # formats that `matmul_float` reads as they lie in the file


def amx_tiles(format: str, width: int) -> int:
    """Tiles that `width` activations of 16 tokens are, for weights of that format."""
    return -(-width // PART) * AMX_TERMS.get(format, 1)


def amx_scratch(format: str, width: int, tokens: int) -> int:
    """Bytes that one thread needs to multiply weights of `width` inputs: sums, then weights."""
    sums = AMX_GROUPS * TILE_BYTES * 2 * -(-tokens // 32)
    return sums + 2 * TILE_BYTES * min(amx_tiles(format, width), AMX_STEPS)


def order_slots(pairs: int, n_expert: int, align: int) -> int:
    """Slots of an order of so many pairs, at the most; see `order`."""
    return -(-(pairs + min(n_expert, pairs) * (align - 1)) // align) * align


def order_bytes(pairs: int, n_expert: int, align: int) -> int:
    return 4 * (2 + 4 * n_expert + order_slots(pairs, n_expert, align))


def amx_attention_scratch(key_dim: int, value_dim: int) -> int:
    """Bytes that one thread needs to attend by AMX: scores, queries, keys, values, records."""
    key_tiles, value_tiles = 2 * -(-key_dim // PART), padded_values(value_dim) // 16
    tiles = 2 * AMX_SPAN // ROWS + (AMX_ROWS + AMX_SPAN) // ROWS * key_tiles
    tiles += AMX_SPAN // PART * value_tiles
    return TILE_BYTES * tiles + AMX_ROWS * record_bytes(value_dim)


def padded_biases(biases: Array) -> Array:
    """Biases (n_head, 2 * far + 1) by distance, 16 more on both sides that are as the last one."""
    return np.pad(biases, ((0, 0), (16, 16)), "edge")


def padded_values(value_dim: int) -> int:
    """Values of one position as attention keeps them."""
    return -(-value_dim // PART) * PART


def kv_capacity(n_ctx: int, window: int | None) -> int:
    """Positions that a cache keeps: of those beyond a window only so many that one can go back.

    A run writes all its tokens before it reads, which is one more reason for `BACK`.
    """
    if window is None:
        return n_ctx
    return min(n_ctx, -(-(window + BACK + AMX_SPAN) // PAGE) * PAGE)


def first_read(position: int, window: int) -> int:
    """The first position that attention of a token at `position` may touch."""
    return max(0, position - window + 1) // AMX_SPAN * AMX_SPAN


def kv_bytes(kv: str, key_dim: int, value_dim: int) -> tuple[int, int]:
    """Bytes that 16 keys and 16 values of one KV head take, see `kv_cache`."""
    block = KV_BLOCKS[kv]
    keys = block * key_dim // PART if kv in FLOATS else block * -(-key_dim // PART)
    return keys, block * -(-value_dim // PART)


def record_bytes(value_dim: int) -> int:
    """Bytes of what one query row has gathered: highest score, sums of weights, sums of values."""
    return 128 + 4 * padded_values(value_dim)


def whole_tiles(rows: int) -> int:
    return -(-rows // QUERIES) * QUERIES


def attention_scratch(group: int, key_dim: int, value_dim: int) -> int:
    """Bytes that one thread needs to attend, for `group` query heads to a KV head."""
    rows = whole_tiles(max(MOST_ROWS, FEW * group))
    tile = 4 * QUERIES * (STEP + ROWS)
    flat = STEP * 4 * padded_values(value_dim)  # values that are taken from keys
    return tile + flat + rows * (2 * record_bytes(value_dim) + 4 * PART * -(-key_dim // PART))


def attention_partials(n_head: int, n_head_kv: int, value_dim: int, n_ctx: int) -> int:
    """Bytes in which the threads leave each other what they gathered from the spans of a context.

    They begin with one counter for each KV head, on a cache line of its own.
    """
    rows = whole_tiles(FEW * n_head // n_head_kv)
    spans = -(-n_ctx // SPAN)
    return n_head_kv * (64 + (spans * rows * record_bytes(value_dim) if spans > 1 else 0))
