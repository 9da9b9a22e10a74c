"""What went wrong, in the shape that clients of OpenAI's API read, or those of Ollama's."""

from __future__ import annotations

import json
import logging
import math
import traceback
from dataclasses import dataclass
from typing import Any

from vatra.engine.openai.errors import shape, wrong
from vatra.errors import OutOfMemory, UsageError, VatraError

LOG = logging.getLogger("vatra.server")


class Refused(UsageError):
    """A request that is not answered: by which HTTP status, code and field of the request."""

    def __init__(
        self, message: str, status: int = 400, code: str | None = None, param: str | None = None
    ) -> None:
        self.status, self.code, self.param = status, code, param
        super().__init__(message)


class Stopping(VatraError):
    """The server is being stopped, and ends what it does."""

    def __init__(self) -> None:
        super().__init__("the server is being stopped")


@dataclass(frozen=True)
class Failure:
    """An error as it is told to a client."""

    message: str
    status: int = 400
    code: str | None = None
    param: str | None = None
    retry_after_s: float | None = None

    @property
    def type(self) -> str:
        """OpenAI's name for errors of this status."""
        names = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
        known = "invalid_request_error" if self.status < 500 else "server_error"
        return names.get(self.status, known)

    @property
    def headers(self) -> dict[str, str]:
        """What the answer's headers say beside it."""
        # what is not read, or went wrong in a way of its own, ends the connection
        ends = self.status in (408, 413) or self.code == "internal_error"
        found = {"connection": "close"} if ends else {}
        if self.retry_after_s is not None:
            found["retry-after"] = str(max(1, math.ceil(self.retry_after_s)))
        if self.status == 401:
            found["www-authenticate"] = "Bearer"
        return found

    def shape(self, path: str = "") -> dict[str, Any]:
        """The JSON of the answer, as clients that ask at `path` expect it."""
        if path.startswith("/api/"):
            return {"error": self.message}
        return shape(self.message, self.type, self.param, self.code)

    def body(self, path: str = "") -> bytes:
        """`shape` as bytes."""
        return json.dumps(self.shape(path), ensure_ascii=False).encode("utf-8", "replace")


def failure_of(error: BaseException) -> Failure:
    """What a client is told of an exception; of a bug of ours no more than that it is one."""
    from vatra.server.errors import Busy, Crashed, UnknownModel

    text = str(error)
    match error:
        case Refused():
            return Failure(text, error.status, error.code, error.param)
        case Busy():
            return Failure(text, 503, "server_busy", retry_after_s=error.retry_after)
        case Stopping():
            return Failure(text, 503, "server_stopping", retry_after_s=5)
        case UnknownModel():
            return Failure(text, 404, "model_not_found", "model")
        case UsageError():
            message, code, param = wrong(error)
            return Failure(message, 400, code, param)
        case OutOfMemory():
            return Failure(text, 503, "out_of_memory")
        case Crashed():
            return Failure(text, 500, "model_crashed")
        case VatraError():
            return Failure(text, 500, "model_failed")
        case MemoryError():
            return Failure("not enough memory for this request", 503, "out_of_memory")
    return Failure("a bug in vatra; the server's own log says where", 500, "internal_error")


def noted(error: BaseException) -> Failure:
    """`failure_of`, with a line in the log of what is the server's fault, and no values in it."""
    failure = failure_of(error)
    if failure.code == "internal_error":
        LOG.error("a bug in vatra: %s", named(error))
    elif failure.status == 500:
        LOG.error("%s", failure.message)
    return failure


def named(error: BaseException) -> str:
    """The kind of an error and where it came from, without any value."""
    at = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" in {frame.filename}, line {frame.lineno}" for frame in at)
    return type(error).__name__ + where
