"""What a worker process is asked to do, and what it answers; all of it can be written as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Writing:
    """A text or a chat to be continued.

    Either `prompt`, a text or its tokens, or `messages` of a chat, with the `tools` and
    `template_kwargs` that its template is given. `sampling` are fields of `Sampling` that differ
    from what the model recommends. Of `json_schema`, `json` and `grammar` (GBNF) at most one says
    what the answer may be. `logprobs` is the number of alternatives, None for no logprobs at all.
    """

    prompt: str | Sequence[int] | None = None
    messages: Sequence[Mapping[str, Any]] | None = None
    tools: Sequence[Mapping[str, Any]] | None = None
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    raw: bool = False  # `prompt` is read without the tokens that begin every text
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    sampling: Mapping[str, Any] = field(default_factory=dict)
    logprobs: int | None = None
    json: bool = False
    json_schema: Mapping[str, Any] | None = None
    grammar: str | None = None


@dataclass(frozen=True)
class Token:
    """A token, its bytes as text, and the natural logarithm of its probability."""

    id: int
    text: str
    logprob: float


@dataclass(frozen=True)
class Begun:
    """The prompt was read, and writing begins."""

    prompt_tokens: int
    reused_tokens: int  # of them, that were still in memory
    seed: int


@dataclass(frozen=True)
class Piece:
    """A part of the answer: some text, some thinking, whole tool calls; any of them may be empty.

    `tokens` are those that were chosen, where logprobs are asked for, each with its alternatives.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: Sequence[Mapping[str, Any]] = ()  # id, name, arguments (a JSON text)
    tokens: Sequence[tuple[Token, Sequence[Token]]] = ()


@dataclass(frozen=True)
class Ended:
    """The answer is complete: why, and what it took."""

    finish_reason: Literal["stop", "length", "eog"]
    prompt_tokens: int
    reused_tokens: int
    generated_tokens: int
    prompt_s: float
    generated_s: float
    waited_s: float  # before its turn came


Event = Begun | Piece | Ended


@dataclass(frozen=True)
class Description:
    """A model, as far as it is known: of one that was never loaded, what its file's head says."""

    name: str
    state: Literal["unloaded", "loading", "ready", "failed"]
    size: int  # bytes of the file
    modified: float  # seconds since 1970
    architecture: str = ""
    parameters: int = 0
    quantisation: str = ""
    n_ctx: int = 0  # of one text; what the file says while the model is not loaded
    embeds: bool = False
    chats: bool = False  # it has a chat template of its own
    fingerprint: str = ""
    error: str = ""  # why it failed
