"""The requests of OpenAI's API, and of this server's own, that write nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from vatra.engine.fields import count
from vatra.engine.openai.requests import texts
from vatra.errors import WrongArgument

MOST_INPUTS = 2048


@dataclass(frozen=True)
class EmbeddingsRequest:
    """POST /v1/embeddings."""

    IGNORED: ClassVar = frozenset({"user"})

    input: str | Sequence[Any]
    model: str = ""
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = count(None, 1)

    def inputs(self) -> list[str | Sequence[int]]:
        """The texts, or their tokens; raises WrongArgument."""
        found = texts("input", self.input, MOST_INPUTS)
        if not all(found):
            raise WrongArgument("input: wanted texts that are not empty")
        return found


@dataclass(frozen=True)
class TokenizeRequest:
    """POST /tokenize."""

    content: str
    model: str = ""
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False


@dataclass(frozen=True)
class DetokenizeRequest:
    """POST /detokenize."""

    tokens: Sequence[int]
    model: str = ""


@dataclass(frozen=True)
class TemplateRequest:
    """POST /apply-template."""

    IGNORED: ClassVar = frozenset({"add_generation_prompt"})

    messages: Sequence[Any]
    model: str = ""
    tools: Sequence[Any] | None = None
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
