"""Write a GGUF file of a llama shape whose weights are random blocks: for measuring, not reading.

python bench/random_model.py OUT.gguf --format q4_0
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vatra.formats.random_model import Shape, write
from vatra.quant import FORMATS


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual = Shape()
    parser.add_argument("out", type=Path)
    parser.add_argument("--format", required=True, choices=list(FORMATS))
    parser.add_argument("--output-format", choices=list(FORMATS), help="of output.weight alone")
    parser.add_argument("--seed", type=int, default=1)
    for field in usual.__dataclass_fields__:
        flag = "--" + field.replace("_", "-")
        parser.add_argument(flag, type=int, default=getattr(usual, field), help="(%(default)s)")
    given = parser.parse_args()
    try:
        shape = Shape(**{field: getattr(given, field) for field in usual.__dataclass_fields__})
        write(given.out, shape, given.format, given.output_format, given.seed)
    except ValueError as error:
        parser.error(str(error))
    print(f"{given.out}: {given.out.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
