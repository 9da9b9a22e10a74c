"""What the bytes of a weight block mean: one row per format, found by name or by ggml's number."""

if __name__ != "vatra.quant":
    raise ImportError(f"import this package as vatra.quant, not {__name__}")

from vatra.quant.format import UnknownFormat, WeightFormat
from vatra.quant.registry import FORMATS, by_id, by_name, table
from vatra.quant.tensor import QTensor

__all__ = ["FORMATS", "QTensor", "UnknownFormat", "WeightFormat", "by_id", "by_name", "table"]
