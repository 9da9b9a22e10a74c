"""What a file's tokenizer and chat template make of texts, which takes no weights."""

from __future__ import annotations

from array import array
from base64 import b64decode, b64encode
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from vatra.engine.openai.messages import as_messages
from vatra.engine.writing import check_names
from vatra.errors import UsageError
from vatra.formats import chat_template, gguf, tokenizer
from vatra.formats.chat_template import ChatTemplate
from vatra.server.jobs import Detokenising, Templating, Tokenising

MOST_TEXT = 4 << 20  # characters at once


class Texts:
    """The tokenizer and the template of an open file; raises what `gguf.read` does."""

    def __init__(self, path: str) -> None:
        self.checkpoint = gguf.read(path)
        self.tokenizer = tokenizer.load(self.checkpoint)

    @cached_property
    def template(self) -> ChatTemplate:
        """The file's, or one that is built in."""
        return chat_template.for_model(self.checkpoint, self.tokenizer)

    def answer(self, job: Tokenising | Detokenising | Templating) -> Any:
        """The result of a job, see there; UsageError for what of it is wrong."""
        match job:
            case Tokenising():
                _check_length("content", job.text)
                bos = None if job.special else False
                return packed(self.tokenizer.encode(job.text, bos, job.parse_special))
            case Detokenising(ids, singly=True):
                return [self.tokenizer.decode([token], special=True) for token in ids]
            case Detokenising():
                return self.tokenizer.decode(job.ids, special=True)
            case Templating():
                return self._templated(job)

    def _templated(self, job: Templating) -> tuple[str, str]:
        check_names(job.template_kwargs)
        messages = as_messages(job.messages, own=True)
        kwargs = {"tools": job.tools or None, **job.template_kwargs}
        segments = self.template.render(messages, **kwargs)
        text = "".join(segment.text for segment in segments)
        _check_length("messages", text)
        return text, packed(chat_template.encode(segments, self.tokenizer))


def packed(ids: Sequence[int]) -> str:
    """Ids as text that JSON reads at once, where a list of as many would keep others waiting."""
    return b64encode(array("i", ids).tobytes()).decode()


def unpacked(text: str) -> list[int]:
    """The ids that `packed` was given."""
    return array("i", b64decode(text)).tolist()


def _check_length(name: str, text: str) -> None:
    if len(text) > MOST_TEXT:
        what = f"{name}: got {len(text)} characters, wanted at most {MOST_TEXT} at once"
        raise UsageError(f"{what}: send them in parts")
