"""The requests of Ollama's API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from vatra.engine.fields import count
from vatra.engine.openai.requests import MOST_TOP_LOGPROBS, SAMPLING, sampling, stops

KeepAlive = int | float | str
_NAME = field(metadata={"least": 1})


@dataclass(frozen=True)
class Options:
    """How an answer is written. How a model is loaded is decided where the server is started."""

    IGNORED: ClassVar = frozenset(
        {
            *("num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "num_keep", "numa"),
            *("low_vram", "f16_kv", "logits_all", "vocab_only", "use_mmap", "use_mlock"),
            *("embedding_only", "penalize_newline", "tfs_z"),
        }
    )
    OTHER_NAMES: ClassVar = {"num_predict": "max_tokens", "repeat_last_n": "penalty_last_n"}

    max_tokens: int | None = count(None, -2)
    stop: str | Sequence[str] = ()
    sampling: Mapping[str, Any] = field(default_factory=dict, metadata={"names": SAMPLING})

    def job(self) -> dict[str, Any]:
        """Fields of `Writing` that these ask for."""
        most = self.max_tokens if self.max_tokens is not None and self.max_tokens > 0 else None
        return {"max_tokens": most, "stop": stops(self.stop), "sampling": sampling(self.sampling)}


@dataclass(frozen=True, kw_only=True)
class Written:
    """What chats and texts have in common."""

    IGNORED: ClassVar = frozenset({"truncate", "shift"})

    model: str = _NAME
    stream: bool = True
    options: Options = Options()
    format: Literal["", "json"] | Mapping[str, Any] = ""
    keep_alive: KeepAlive | None = None
    think: bool | str | None = None
    logprobs: bool = False
    top_logprobs: int = count(0, 0, MOST_TOP_LOGPROBS)


@dataclass(frozen=True, kw_only=True)
class ChatRequest(Written):
    """POST /api/chat."""

    messages: Sequence[Any] = ()
    tools: Sequence[Any] | None = None


@dataclass(frozen=True, kw_only=True)
class GenerateRequest(Written):
    """POST /api/generate."""

    prompt: str = ""
    system: str = ""
    raw: bool = False
    suffix: str = ""
    template: str = ""
    context: Sequence[int] = ()
    images: Sequence[Any] = ()


@dataclass(frozen=True, kw_only=True)
class EmbedRequest:
    """POST /api/embed."""

    IGNORED: ClassVar = frozenset({"truncate", "options", "keep_alive"})

    model: str = _NAME
    input: str | Sequence[str]
    dimensions: int | None = count(None, 1)


@dataclass(frozen=True, kw_only=True)
class EmbeddingsRequest:
    """POST /api/embeddings, the older form."""

    IGNORED: ClassVar = frozenset({"truncate", "options", "keep_alive"})

    model: str = _NAME
    prompt: str


@dataclass(frozen=True)
class ShowRequest:
    """POST /api/show."""

    IGNORED: ClassVar = frozenset({"verbose"})
    OTHER_NAMES: ClassVar = {"name": "model"}

    model: str = _NAME
