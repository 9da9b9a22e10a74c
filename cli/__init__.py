if __name__ != "vatra.cli":
    raise ImportError(f"import this package as vatra.cli, not {__name__}")
