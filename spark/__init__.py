"""Spark: the toy model that comes with Vatra, and the scripts that made it."""

if __name__ != "vatra.spark":
    raise ImportError(f"import this package as vatra.spark, not {__name__}")

from pathlib import Path

from vatra.errors import MissingFile


def path() -> Path:
    """The file of the toy model, used where no other is named; MissingFile in a broken install."""
    file = Path(__file__).with_name("spark.gguf")
    if not file.is_file():
        raise MissingFile(
            f"{file}: the toy model that comes with Vatra is not there: install Vatra again "
            "(pip install --force-reinstall), or name another model"
        )
    return file
