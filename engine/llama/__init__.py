"""Vatra under the names of llama-cpp-python: its class `Llama`, and what is handed to it."""

if __name__ != "vatra.engine.llama":
    raise ImportError(f"import this package as vatra.engine.llama, not {__name__}")
