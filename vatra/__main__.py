"""`python -m vatra` is the `vatra` command."""

from vatra.cli.app import main

if __name__ == "__main__":
    raise SystemExit(main())
