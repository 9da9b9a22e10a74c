"""Chat templates: messages to the text a model was trained on, and to its tokens.

A template is a program that a stranger wrote, a message a text that anyone wrote: the one runs in a
sandbox with limits, the other never becomes a control token.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple

from jinja2 import TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.exceptions import SecurityError

from vatra.errors import BadFile, UsageError
from vatra.formats.checkpoint import Checkpoint
from vatra.formats.provenance import everything, joined, marks_of, plain
from vatra.formats.sandbox import Sandbox
from vatra.formats.template_meter import MOST_CHARS, Meter, Refused, TooMuch
from vatra.formats.tokenizer import Tokenizer

Message = Mapping[str, Any]  # "role", "content" and whatever else the template knows

KEY = "tokenizer.chat_template"
MOST_TEMPLATE_BYTES = 256 * 1024
MOST_LINE = 200  # of an error's text

CHATML = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif -%}
"""
PLAIN = """\
{%- for message in messages -%}
{%- if message.role == 'system' -%}{{ message.content | trim + '\\n\\n' }}
{%- else -%}{{ message.role | capitalize + ': ' + message.content | trim + '\\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ 'Assistant:' }}{% endif -%}
"""


class Segment(NamedTuple):
    """A piece of a rendered conversation.

    `special`: control tokens written in it are meant. Without it they came from a message, and are
    ordinary text.
    """

    text: str
    special: bool


class _LoopsOverNone(BadFile):
    """A template loops over what it was told is not there."""


class ChatTemplate:
    """A compiled chat template.

    `control` are the texts of the model's control tokens; None treats all text of messages as
    ordinary. `stop` are strings that end an answer, `note` what a person should know of this
    template. Raises BadFile naming `path`, `tokenizer.chat_template` and the line.
    """

    def __init__(
        self,
        source: str,
        bos: str = "",
        eos: str = "",
        *,
        unk: str = "",
        pad: str = "",
        control: Iterable[str] | None = None,
        path: str = "",
        stop: Sequence[str] = (),
        note: str = "",
    ) -> None:
        self.source, self.path, self.stop, self.note = source, path, tuple(stop), note
        self._names = {"bos_token": bos, "eos_token": eos, "unk_token": unk, "pad_token": pad}
        self._control = None if control is None else [text for text in control if text]
        self._lock = threading.Lock()
        size = len(source.encode("utf-8", "surrogatepass"))
        if size > MOST_TEMPLATE_BYTES:
            raise BadFile(
                path, f"has {size} bytes, wanted at most {MOST_TEMPLATE_BYTES}", field=KEY
            )
        self._environment = Sandbox()
        try:
            self._template = self._environment.compiled(source)
        except Exception as error:
            raise self._wrong(error) from None

    def render(
        self, messages: Sequence[Message], add_generation_prompt: bool = True, **kwargs: Any
    ) -> list[Segment]:
        """The conversation as the model reads it, in pieces.

        `kwargs` are further variables of the template, such as tools or enable_thinking. Raises
        UsageError where the template says that it can not show these messages, BadFile where it is
        wrong itself or takes too much.
        """
        variables: dict[str, Any] = dict(self._names)
        try:
            variables["messages"] = everything(list(messages))
            variables |= {name: everything(value) for name, value in kwargs.items()}
        except (TypeError, ValueError) as error:
            raise UsageError(f"messages: {error}") from None
        variables["add_generation_prompt"] = add_generation_prompt
        # Most templates test these for none; a few loop over them, which only undefined ones allow.
        absent = {name: None for name in ("tools", "documents") if name not in variables}
        with self._lock:
            self._environment.meter = Meter()
            try:
                return self._segments(self._rendered({**variables, **absent}))
            except _LoopsOverNone:
                return self._segments(self._rendered(variables))

    def _rendered(self, variables: dict[str, Any]) -> str:
        """What the template writes, with marks on what came from messages."""
        parts: list[str] = []
        size = 0
        written = self._template.root_render_func(self._template.new_context(variables))
        try:
            for part in written:
                parts.append(part)
                size += len(part)
                self._environment.meter.tick()
                if size > MOST_CHARS:
                    raise TooMuch(f"makes a text of more than {MOST_CHARS // 2**20} MiB")
            return joined(parts)
        except Exception as error:
            at = None if written.gi_frame is None else written.gi_frame.f_lineno
            raise self._wrong(error, at) from None

    def _segments(self, text: str) -> list[Segment]:
        """`text` cut where something that came from a message must stay ordinary."""
        marks = marks_of(text)
        if self._control is None:
            ordinary = list(marks)
        else:
            ordinary = _touching(_occurrences(plain(text), self._control), marks)
        found: list[Segment] = []
        at = 0
        for begin, end in ordinary:
            found += [Segment(plain(text)[at:begin], True), Segment(plain(text)[begin:end], False)]
            at = end
        found.append(Segment(plain(text)[at:], True))
        return [segment for segment in found if segment.text]

    def _wrong(self, error: Exception, at: int | None = None) -> Exception:
        """The error to show for what went wrong, in rendering at line `at` of compiled code."""
        line = error.lineno if isinstance(error, TemplateSyntaxError) else self._line(error, at)
        field = KEY if line is None else f"{KEY} line {line}"
        text = " ".join(str(error).split()) or type(error).__name__
        text = text if len(text) <= MOST_LINE else f"{text[:MOST_LINE]}..."
        if isinstance(error, Refused):
            return UsageError(f"{self.path or 'the chat template'}: {field}: {text}")
        if isinstance(error, (RecursionError, MemoryError, SyntaxError)):
            text = "is nested too deeply, or calls itself without end"
        elif isinstance(error, SecurityError):
            text = f"is not allowed: {text}"
        elif not isinstance(error, (TemplateError, UndefinedError)):
            text = f"{type(error).__name__}: {text}"
            if "'NoneType' object is not iterable" in text:
                return _LoopsOverNone(self.path, text, field=field)
        return BadFile(self.path, text, field=field)

    def _line(self, error: Exception, at: int | None) -> int | None:
        """The template's line where `error` was raised, or the one for line `at` of its code."""
        trace: TracebackType | None = error.__traceback__
        template: Any = getattr(self, "_template", None)
        found = None if at is None or template is None else template.get_corresponding_lineno(at)
        while trace is not None and template is not None:
            if trace.tb_frame.f_code.co_filename == "<template>":
                found = template.get_corresponding_lineno(trace.tb_lineno)
            trace = trace.tb_next
        return found


def _occurrences(text: str, control: Iterable[str]) -> list[tuple[int, int]]:
    """Begin and end of every control token's text, overlapping ones too."""
    found: list[tuple[int, int]] = []
    for token in control:
        at = text.find(token)
        while at >= 0:
            found.append((at, at + len(token)))
            at = text.find(token, at + 1)
    return sorted(found)


def _touching(
    spans: list[tuple[int, int]], marks: Iterable[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Those of the ascending `spans` that touch `marks`; overlapping ones made one."""
    ends = list(marks)
    found: list[tuple[int, int]] = []
    i = 0
    for begin, end in spans:
        while i < len(ends) and ends[i][1] <= begin:
            i += 1
        if i < len(ends) and ends[i][0] < end:
            if found and begin < found[-1][1]:
                found[-1] = (found[-1][0], max(end, found[-1][1]))
            else:
                found.append((begin, end))
    return found


def encode(segments: Iterable[Segment], tokenizer: Tokenizer) -> list[int]:
    """The tokens of a rendered conversation.

    A BOS that the template writes is not doubled; one that it leaves out is added if the file wants
    one.
    """
    ids: list[int] = []
    bos = "" if tokenizer.bos_id is None else _text(tokenizer, tokenizer.bos_id)
    for i, (text, special) in enumerate(segments):
        written = special and text.startswith(bos)
        if i == 0 and tokenizer.add_bos and tokenizer.bos_id is not None and not written:
            ids.append(tokenizer.bos_id)
        ids += tokenizer.encode(text, bos=False, special=special)
    return ids


def for_model(checkpoint: Checkpoint, tokenizer: Tokenizer) -> ChatTemplate:
    """The template of a file, or a built-in one that its vocabulary suits."""
    names = {
        name: "" if token is None else _text(tokenizer, token)
        for name, token in (
            ("bos", tokenizer.bos_id),
            ("eos", tokenizer.eos_id),
            ("unk", tokenizer.unk_id),
            ("pad", tokenizer.pad_id),
        )
    }
    control = control_texts(tokenizer)
    source = checkpoint.get(KEY, str, None)
    stop: tuple[str, ...] = ()
    note = ""
    if source is None and "<|im_start|>" in tokenizer.vocabulary.ids:
        source, note = (
            CHATML,
            "the file has no chat template: ChatML is used, as its tokens suggest",
        )
    elif source is None:
        source, stop = PLAIN, ("\nUser:", "\nSystem:")
        note = (
            "the file has no chat template: 'User: ...' and 'Assistant:' are used, "
            "which a model not trained for chat may not follow"
        )
    return ChatTemplate(
        source, **names, control=control, path=checkpoint.path, stop=stop, note=note
    )


def control_texts(tokenizer: Tokenizer) -> list[str]:
    """The texts that `encode` with special=True turns into tokens, and without it leaves alone."""
    vocabulary = tokenizer.vocabulary
    unknown = {vocabulary.role["unknown"]} if "unknown" in vocabulary.role else set()
    return sorted({vocabulary.texts[i] for i in vocabulary.control | unknown})


def _text(tokenizer: Tokenizer, token: int) -> str:
    return tokenizer.vocabulary.texts[token]
