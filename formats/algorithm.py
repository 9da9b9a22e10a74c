"""What a tokenizer model is: texts without special tokens to ids, and a token to its bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod

from vatra.formats.checkpoint import Checkpoint
from vatra.formats.vocabulary import Vocabulary


class Algorithm(ABC):
    """One tokenizer model, and what it does where the file is silent.

    `add_bos`, `add_eos`, `add_sep`: what is put around a text; `needs_bos`: BOS even where the file
    says otherwise. `leading_space`: `encode` puts a space before a text, which decoding removes.
    """

    add_bos = False
    add_eos = False
    add_sep = False
    needs_bos = False
    leading_space = False

    @abstractmethod
    def __init__(self, vocabulary: Vocabulary, checkpoint: Checkpoint) -> None: ...

    @abstractmethod
    def encode(self, text: str, begins: bool) -> list[int]:
        """The ids of a text without special tokens; `begins`: no text comes directly before it."""

    @abstractmethod
    def piece(self, token: int) -> bytes:
        """What one token adds to a text."""
