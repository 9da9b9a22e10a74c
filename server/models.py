"""What the HTTP side asks of those who hold the models; `workers.Workers` is it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from vatra.engine.writing import Writing
from vatra.server.jobs import Description, Event


class Models(Protocol):
    """Models by name. Every method raises `VatraError`, UnknownModel for a name that is none."""

    def names(self) -> list[str]:
        """All names; the first is the default."""

    async def look(self) -> None:
        """See what has become of the files of all models."""

    def description(self, name: str) -> Description:
        """What is known of a model at the last `look`, without loading it."""

    async def metadata(self, name: str) -> dict[str, Any]:
        """The keys of its file, long arrays left out, without loading it."""

    def write(self, name: str, job: Writing) -> AsyncIterator[Event]:
        """The events of an answer; its `aclose` ends it, and within a token its place is free."""

    async def embed(
        self, name: str, inputs: Sequence[str | Sequence[int]]
    ) -> tuple[list[list[float]], int]:
        """A vector for each input, and the number of tokens read."""

    async def tokenize(
        self, name: str, text: str, special: bool = False, parse_special: bool = False
    ) -> list[int]:
        """The tokens of a text."""

    async def detokenize(self, name: str, ids: Sequence[int]) -> str:
        """The text of tokens."""

    async def pieces(self, name: str, ids: Sequence[int]) -> list[str]:
        """The text of each token by itself."""

    async def apply_template(
        self,
        name: str,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> tuple[str, list[int]]:
        """The text and the tokens that a model reads for messages."""

    async def load(self, name: str) -> None:
        """Load a model, if it is not."""

    async def unload(self, name: str) -> None:
        """Free the memory of a model."""

    def counters(self) -> Mapping[str, float]:
        """What was done and is being done, by name."""
