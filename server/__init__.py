"""Serving models to other programs: the worker processes that hold them, and HTTP."""

if __name__ != "vatra.server":
    raise ImportError(f"import this package as vatra.server, not {__name__}")
