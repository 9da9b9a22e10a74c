"""What is wrong with a request, in the shape that clients of OpenAI's API read."""

from __future__ import annotations

import re
from typing import Any

from vatra.errors import VatraError

_PATH = re.compile(r"(\w+(?:\.\w+|\[\d+\])*)[^ ]*: ")  # that an error of ours begins with


def shape(message: str, type: str, param: str | None, code: str | None) -> dict[str, Any]:
    """An error."""
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def wrong(error: VatraError) -> tuple[str, str, str | None]:
    """The message, the code and the field of an error that is the request's fault."""
    from vatra.engine.session import ContextFull

    text = str(error)
    if isinstance(error, ContextFull):
        # OpenAI's sentence: there are clients that know this error by its words alone.
        text = f"This model's maximum context length is {error.n_ctx} tokens. However, your text "
        text += f"has {error.n_tokens}: shorten it, or give the model more (--ctx)"
        return text, "context_length_exceeded", "messages"
    named = _PATH.match(text)
    return text, getattr(error, "code", "invalid_value"), named[1] if named else None
