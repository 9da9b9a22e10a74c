"""The shapes in which kernels cut their work, for `vatra doctor`: fixed once, by measuring."""

from __future__ import annotations

from vatra.choices import Choice
from vatra.engine.cpu_features import processor
from vatra.engine.kernels import layout
from vatra.engine.lowering.products import CHUNKS_PER_THREAD, FLOAT_TILE
from vatra.engine.lowering.steps import MAX_TOKENS


def report() -> list[Choice]:
    """What is computed at once by each family of kernels on this processor."""
    cpu = processor()
    found = [
        Choice(
            "tile: packed weights",
            f"{layout.ROWS} rows x {cpu.tokens_per_tile} tokens",
            f"as many sums as the registers of {cpu.level} hold; the fastest of those measured",
        ),
        Choice(
            "tile: float weights",
            f"{layout.FLOAT_ROWS} rows x {FLOAT_TILE} tokens",
            "f32, f16 and bf16, in vectors along a row",
        ),
        Choice(
            "tile: attention",
            f"{layout.QUERIES} queries x {layout.STEP} keys",
            "the scores of so many stay in registers and the first cache",
        ),
    ]
    if cpu.matrix_tiles:
        found += [
            Choice(
                "tile: AMX weights",
                "32 rows x 32 tokens",
                f"2 x 2 of its registers; for runs of {layout.AMX_TOKENS} tokens and more",
            ),
            Choice(
                "tile: AMX attention",
                f"{layout.AMX_BLOCK} queries x {layout.AMX_SPAN} keys",
                "their scores fit the first cache",
            ),
        ]
    return [
        *found,
        Choice("prompt", f"{MAX_TOKENS} tokens at once", "full tiles, and still in the cache"),
        Choice(
            "sharing of work",
            f"{CHUNKS_PER_THREAD} pieces per thread",
            "a matrix is handed out piece by piece: a slower or busy core takes fewer",
        ),
    ]
