"""Spark's vocabulary, and documents as its token ids."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import sentencepiece

from vatra.spark.corpus import Document, documents, shown

IM_START, IM_END = "<|im_start|>", "<|im_end|>"
VOCAB = 4096
VOCABULARY_DOCUMENTS = 20_000
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] | trim + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def train_vocabulary(path: Path, seed: int) -> None:
    """Write a byte-pair vocabulary of 4096 pieces, byte fallback and all, to `path`.model."""
    texts = (shown(d) for d in itertools.islice(documents(seed), VOCABULARY_DOCUMENTS))
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line for text in texts for line in text.split("\n") if line),
        model_prefix=str(path),
        model_type="bpe",
        vocab_size=VOCAB,
        byte_fallback=True,
        split_digits=True,
        character_coverage=1.0,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        control_symbols=[IM_START, IM_END],
        num_threads=1,  # so that equal text gives equal pieces
        minloglevel=2,
    )


class Encoder:
    """Documents to token ids, exactly as the model will later see them."""

    def __init__(self, path: Path) -> None:
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
        self.start, self.end = (self.pieces.piece_to_id(p) for p in (IM_START, IM_END))

    def ids(self, document: Document) -> tuple[list[int], list[bool]]:
        """The ids, and which of them the model is to learn to write: what a user says is not."""
        encode = self.pieces.encode
        ids, learned = [self.pieces.bos_id()], [False]
        if not document.messages:
            text = encode(document.text)
            ids += text
            learned += [True] * len(text)
        for message in document.messages:
            head = [self.start, *encode(message.role + "\n")]
            body = [*encode(message.content.strip()), self.end]
            ids += head + body + encode("\n")
            ours = message.role == "assistant"
            learned += [False] * len(head) + [ours] * len(body) + [False]
        return [*ids, self.pieces.eos_id()], [*learned, not document.messages]


def stream(encoder: Encoder, made: Iterable[Document], n: int) -> tuple[np.ndarray, np.ndarray]:
    """The ids (uint16) of documents, one after another, and which of them are learned (bool).

    Both have `n` elements; the last document may be cut.
    """
    ids, learned = np.empty(n, np.uint16), np.empty(n, np.bool_)
    filled = 0
    pairs: Iterator[tuple[list[int], list[bool]]] = map(encoder.ids, made)
    while filled < n:
        some, marks = next(pairs)
        end = min(filled + len(some), n)
        ids[filled:end], learned[filled:end] = some[: end - filled], marks[: end - filled]
        filled = end
    return ids, learned
