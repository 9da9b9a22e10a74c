"""Files in and out: GGUF, tokenizers, chat templates."""

if __name__ != "vatra.formats":
    raise ImportError(f"import this package as vatra.formats, not {__name__}")
