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
    from what the model recommends, null for as it does; of `logit_bias` the keys are ids, or texts
    of tokens. Of `json_schema`, `json` and `grammar` (GBNF) at most one says what the answer may
    be. `logprobs` is the number of alternatives, None for no logprobs at all.
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
class Embedding:
    """Texts, or their tokens, to make vectors of, one `Vector` for each; the result is a count.

    It is that of their tokens. `pooling` None is what the file says.
    """

    inputs: Sequence[str | Sequence[int]]
    pooling: str | None = None
    normalise: bool = True


@dataclass(frozen=True)
class Tokenising:
    """A text whose tokens are wanted; `special`: with those that are put around every text."""

    text: str
    special: bool = False
    parse_special: bool = False  # the text of a control token becomes that token


@dataclass(frozen=True)
class Detokenising:
    """Tokens whose text is wanted, control tokens by their names."""

    ids: Sequence[int]


@dataclass(frozen=True)
class Templating:
    """Messages whose text and tokens are wanted, as the model reads them before it answers."""

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] | None = None
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)


Job = Writing | Embedding | Tokenising | Detokenising | Templating


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


@dataclass(frozen=True)
class Vector:
    """The vector of a text: float32, little-endian, in base64."""

    base64: str


State = Literal["unloaded", "loading", "ready", "failed"]
Event = Begun | Piece | Ended | Vector


@dataclass(frozen=True)
class Loading:
    """What a worker process is to load, and how; see `vatra.load`."""

    path: str
    backend: str = "cpu"
    threads: int | None = None
    ctx: int | None = None
    kv: str = "f16"
    parallel: int = 8  # texts written at once
    log_prompts: bool = False


@dataclass(frozen=True)
class File:
    """A part of a model's file as it was when it was loaded."""

    path: str
    size: int  # bytes
    modified_ns: int  # since 1970
    inode: int


@dataclass(frozen=True)
class Loaded:
    """What a worker process has loaded."""

    n_ctx: int
    fingerprint: str
    files: Sequence[File]
    notes: Sequence[str]  # what a person should know


@dataclass(frozen=True)
class Description:
    """A model, as far as it is known: of one that was never loaded, what its file's head says."""

    name: str
    state: State
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
