"""Chat templates: messages to the text a model was trained on, and to its tokens.

A template is a program that a stranger wrote, a message a text that anyone wrote: the one runs in a
process of its own, the other never becomes a control token.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vatra.errors import BadFile, UsageError, printable
from vatra.formats.answer_syntax import syntax_of
from vatra.formats.answers import Answer
from vatra.formats.checkpoint import Checkpoint
from vatra.formats.messages import Message as Message
from vatra.formats.messages import as_read, as_text
from vatra.formats.stand_ins import Guard, copied
from vatra.formats.stand_ins import Segment as Segment
from vatra.formats.template_process import SHARED, TemplateProcess
from vatra.formats.tokenizer import Tokenizer

Rendering = tuple[dict[str, Any], dict[str, str]]  # variables, and what stands for what in them

KEY = "tokenizer.chat_template"
MOST_TEMPLATE_BYTES = 256 * 1024
MOST_LINE = 200  # of an error's text
LOOPS_OVER_NONE = "'NoneType' object is not iterable"

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


class ChatTemplate:
    """A chat template, checked for errors when it is made.

    `control` are the texts of the model's control tokens; None treats every sign in a message as
    part of one. `stop` are strings that end an answer, `note` what a person should know of this
    template, `process` is where it is rendered. Raises BadFile naming `path`,
    `tokenizer.chat_template` and the line.
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
        process: TemplateProcess = SHARED,
    ) -> None:
        self.source, self.path, self.stop, self.note = source, path, tuple(stop), note
        self._names = {"bos_token": bos, "eos_token": eos, "unk_token": unk, "pad_token": pad}
        self._process = process
        size = len(source.encode("utf-8", "surrogatepass"))
        if size > MOST_TEMPLATE_BYTES:
            raise BadFile(
                path, f"has {size} bytes, wanted at most {MOST_TEMPLATE_BYTES}", field=KEY
            )
        self._guard = Guard(control, source)
        self._rendered([])  # compiles it

    def render(
        self, messages: Sequence[Message], add_generation_prompt: bool = True, **kwargs: Any
    ) -> list[Segment]:
        """The conversation as the model reads it, in pieces.

        `kwargs` are further variables of the template, such as tools, documents or enable_thinking.
        An assistant's message may have "reasoning_content" and "tool_calls", whose arguments are a
        mapping or its JSON text. Raises UsageError where the template says that it can not show
        these messages, BadFile where it is wrong itself or takes too much.
        """
        given = {"tools": None, "documents": None, **kwargs, "messages": list(messages)}
        try:
            given = copied(given)
        except (TypeError, ValueError) as error:
            raise UsageError(f"messages: {error}") from None
        given["messages"] = [as_read(message, self.source) for message in given["messages"]]
        try:
            return self._segments(given, add_generation_prompt)
        except BadFile as error:
            texts = [as_text(message) for message in given["messages"]]
            if texts == given["messages"] or "TypeError" not in error.what:
                raise
            return self._segments({**given, "messages": texts}, add_generation_prompt)

    def answer(
        self,
        prompt: Iterable[Segment],
        messages: Sequence[Message] = (),
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> Answer:
        """What reads the answer to `prompt`, which was made of `messages` and `tools`."""
        made = [message.get("tool_calls") for message in messages]
        calls = sum(len(calls) for calls in made if isinstance(calls, (list, tuple)))
        text = "".join(segment.text for segment in prompt)
        return Answer(syntax_of(self.source), tools, text, calls, self.stop)

    def _segments(self, plain: dict[str, Any], add_generation_prompt: bool) -> list[Segment]:
        guarded = self._guard.guard(plain)
        names = {**self._names, "add_generation_prompt": add_generation_prompt}
        renderings: list[Rendering] = [(names | plain, {})]
        if not guarded.stand_ins:
            return [Segment(self._rendered(renderings)[0], True)]
        renderings.append((names | guarded.variables, guarded.stand_ins))
        rendered, safe = self._rendered(renderings)
        return self._guard.segments(rendered, safe, guarded)

    def _rendered(self, renderings: list[Rendering]) -> list[str]:
        """What the template writes for each pair of variables and stand-ins."""
        answer = self._process.ask({"source": self.source, "renderings": renderings})
        if "texts" in answer:
            return answer["texts"]
        if LOOPS_OVER_NONE in answer["what"] and any(None in v.values() for v, _ in renderings):
            # Most templates test tools for none; a few loop over them, which undefined ones allow.
            given = [({k: v for k, v in old.items() if v is not None}, s) for old, s in renderings]
            return self._rendered(given)
        back = {ord(to): char for _, stand_ins in renderings for char, to in stand_ins.items()}
        what = printable(answer["what"].translate(back))
        what = what if len(what) <= MOST_LINE else f"{what[:MOST_LINE]}..."
        field = KEY if answer["line"] is None else f"{KEY} line {answer['line']}"
        if answer["kind"] == "refused":
            raise UsageError(f"{self.path or 'the chat template'}: {field}: {what}")
        raise BadFile(self.path, what, field=field)


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


def for_model(checkpoint: Checkpoint, tokenizer: Tokenizer, own: str = "") -> ChatTemplate:
    """The template of a file, or a built-in one that its vocabulary suits.

    `own` is the path of a template that a person wants instead. Raises BadFile where that is no
    UTF-8, OSError where it can not be read.
    """
    names: dict[str, Any] = {
        name: "" if token is None else _text(tokenizer, token)
        for name, token in (
            ("bos", tokenizer.bos_id),
            ("eos", tokenizer.eos_id),
            ("unk", tokenizer.unk_id),
            ("pad", tokenizer.pad_id),
        )
    }
    control = control_texts(tokenizer)
    if own:
        return ChatTemplate(_read(own), **names, control=control, path=own)
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


def _read(path: str) -> str:
    with open(path, "rb") as file:
        data = file.read(MOST_TEMPLATE_BYTES + 1)  # a longer one is refused by its size
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadFile(path, "not UTF-8", field="template", byte=error.start) from None


def control_texts(tokenizer: Tokenizer) -> list[str]:
    """The texts that `encode` with special=True turns into tokens, and without it leaves alone."""
    vocabulary = tokenizer.vocabulary
    return sorted({vocabulary.texts[i] for i in vocabulary.control | vocabulary.unknown})


def _text(tokenizer: Tokenizer, token: int) -> str:
    return tokenizer.vocabulary.texts[token]
