"""OpenAI's API without HTTP: requests as the engine takes them, and its answers in their shapes."""

if __name__ != "vatra.engine.openai":
    raise ImportError(f"import this package as vatra.engine.openai, not {__name__}")
