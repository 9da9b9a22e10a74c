"""The requests of Ollama's API."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from vatra.server.openai_requests import MOST_INPUTS, MOST_TOP_LOGPROBS, stops
from vatra.server.requests import Request, SamplingFields

KeepAlive = int | float | str


class Options(SamplingFields):
    """How an answer is written. How a model is loaded is decided where the server is started."""

    ignored: ClassVar = frozenset(
        {
            *("num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "num_keep", "numa"),
            *("low_vram", "f16_kv", "logits_all", "vocab_only", "use_mmap", "use_mlock"),
            *("embedding_only", "penalize_newline", "tfs_z"),
        }
    )
    other_names: ClassVar = {"num_predict": "max_tokens", "repeat_last_n": "penalty_last_n"}

    max_tokens: Annotated[int | None, Field(ge=-2, lt=2**31)] = None
    stop: str | list[str] | None = None

    def job(self) -> dict[str, Any]:
        """Fields of `Writing` that these ask for."""
        most = self.max_tokens if self.max_tokens is not None and self.max_tokens > 0 else None
        return {"max_tokens": most, "stop": stops(self.stop), "sampling": self.sampling()}


class Written(Request):
    """What chats and texts have in common; `options` are read by themselves."""

    model: Annotated[str, Field(min_length=1)]
    stream: bool = True
    options: dict[str, Any] | None = None
    format: Literal["", "json"] | dict[str, Any] | None = None
    keep_alive: KeepAlive | None = None
    think: bool | str | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=MOST_TOP_LOGPROBS)] = 0


class ChatRequest(Written):
    """POST /api/chat."""

    ignored: ClassVar = frozenset({"truncate", "shift"})

    messages: list[dict[str, Any]] = []
    tools: list[dict[str, Any]] | None = None


class GenerateRequest(Written):
    """POST /api/generate."""

    ignored: ClassVar = frozenset({"truncate", "shift"})

    prompt: str = ""
    system: str = ""
    raw: bool = False
    suffix: str = ""
    template: str = ""
    context: list[int] = []
    images: list[Any] = []


class EmbedRequest(Request):
    """POST /api/embed."""

    ignored: ClassVar = frozenset({"truncate", "options", "keep_alive"})

    model: Annotated[str, Field(min_length=1)]
    input: str | Annotated[list[str], Field(max_length=MOST_INPUTS)]
    dimensions: Annotated[int | None, Field(ge=1)] = None


class EmbeddingsRequest(Request):
    """POST /api/embeddings, the older form."""

    ignored: ClassVar = frozenset({"truncate", "options", "keep_alive"})

    model: Annotated[str, Field(min_length=1)]
    prompt: str


class ShowRequest(Request):
    """POST /api/show."""

    ignored: ClassVar = frozenset({"verbose"})
    other_names: ClassVar = {"name": "model"}

    model: Annotated[str, Field(min_length=1)]
