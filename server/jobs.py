"""What a worker process is asked to do, and what it answers; all of it can be written as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from vatra.engine.writing import Begun, Ended, Piece, Writing


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
    """Tokens whose text is wanted, control tokens by their names; `singly`: the text of each."""

    ids: Sequence[int]
    singly: bool = False


@dataclass(frozen=True)
class Templating:
    """Messages whose text and tokens are wanted, as the model reads them before it answers."""

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] | None = None
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)


Job = Writing | Embedding | Tokenising | Detokenising | Templating


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
    gpu_layers: int | str | None = None
    device: str | None = None
    parallel: int = 8  # texts written at once
    log_prompts: bool = False
    only_texts: bool = False  # the tokenizer and the chat template alone


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
