"""`vatra`, and `python -m vatra`: quiet from the first moment, also if interrupted early."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line of this process; returns its exit status."""
    try:
        from vatra.cli.app import main as command

        return command()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
