"""An answer as it is written: its thinking, its content and its tool calls, told apart.

What may become a marker is held back, so that no half of one is ever shown; what looks like a call
and is none is content. Nothing is lost: the raw texts of all parts are the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import compress
from typing import Any, Literal

import regex

from vatra.formats.answer_syntax import PLAIN, Block, Syntax
from vatra.formats.literals import Malformed, Unfinished
from vatra.formats.tool_calls import ToolCall, Written, types_of

MOST_SPACE = 1000  # characters of white space that are held back
MOST_CALL = 2**20  # characters of a tool call
MOST_ENDS = 16  # of a call that is read again, as its text holds what looks like its end
MOST_OPENING = 400  # characters at the end of a prompt that can open an answer's thinking

PartKind = Literal["reasoning", "content", "call", "markup"]


@dataclass(frozen=True)
class Part:
    """A piece of an answer.

    `raw` is how the model wrote it; `text` what of it is to be seen, "" of "markup" and "call";
    `call` a tool call. Of several calls written as one, the first has the raw text.
    """

    kind: PartKind
    raw: str
    text: str = ""
    call: ToolCall | None = None


class Answer:
    """Reads an answer piece by piece.

    `tools` are those the model was given, which tell numbers from digits; `prompt` is the text
    before the answer, which may have begun its thinking; `first_call` is the number of the first
    call that the model gives no id; `stop` are strings that end it. `reasoning`, `content` and
    `tool_calls` are what was found.
    """

    def __init__(
        self,
        syntax: Syntax = PLAIN,
        tools: Sequence[Mapping[str, Any]] | None = None,
        prompt: str = "",
        first_call: int = 0,
        stop: Sequence[str] = (),
    ) -> None:
        self.stop = stop
        self.reasoning = self.content = ""
        self.tool_calls: list[ToolCall] = []
        self._types = types_of(tools)
        self._next_call = first_call
        self._patterns = _patterns(syntax, bool(tools))
        self._held = ""  # what is not told apart, or was just now
        self._shown = bytearray()  # for each character of it 0 where it is of a control token
        self._at = 0  # where the next part begins in it
        self._block: Block | None = None
        self._begin: Any = None  # of a tool call: the match of its beginning,
        self._body = self._scanned = self._ends = 0  # where its text begins, was searched; ends met
        self._pure = True  # no content yet
        self._joined = True  # white space that comes now belongs to what was shown
        if syntax.opened is not None and _opens(syntax.opened.begin, prompt):
            self._block, self._joined = syntax.opened, False

    @property
    def in_content(self) -> bool:
        """Whether what is written next is content, as far as can be told."""
        if self._block is None:
            return not self._patterns.has_content
        return self._block.kind == "content"

    def opens_thinking(self, text: str) -> bool:
        """Whether an answer that begins with `text` begins by thinking."""
        first = self._patterns.first
        found = first.fullmatch(text) if first else None
        block = self._patterns.block_of(found) if found else None
        return block is not None and block.kind == "reasoning"

    def push(self, text: str, control: bool = False) -> list[Part]:
        """What is certain now; `control`: the text is that of a control token."""
        self._held += text
        self._shown += (b"\0" if control else b"\1") * len(text)
        return self._parts(final=False)

    def finish(self) -> list[Part]:
        """The rest, now that nothing follows."""
        return self._parts(final=True)

    def _parts(self, final: bool) -> list[Part]:
        parts: list[Part] = []
        while self._at < len(self._held) and self._step(parts, final):
            pass
        for part in parts:
            if part.call is not None:
                self.tool_calls.append(part.call)
            elif part.kind == "reasoning":
                self.reasoning += part.text
            elif part.kind == "content":
                self.content += part.text
        if self._at:
            self._held, self._shown = self._held[self._at :], self._shown[self._at :]
            self._body, self._scanned = self._body - self._at, self._scanned - self._at
            self._at = 0
        return parts

    def _step(self, parts: list[Part], final: bool) -> bool:
        """Tell the next part from the rest; False if that needs more text, or all is told."""
        if self._block is None:
            return self._outside(parts, final)
        if self._block.read is not None:
            return self._inside_calls(self._block, parts, final)
        return self._inside(self._block, parts, final)

    def _outside(self, parts: list[Part], final: bool) -> bool:
        patterns, where = self._patterns, (self._held, self._at)
        found = None
        if patterns.first and self._pure:
            found = patterns.first.match(*where, partial=not final)
        if found is None and patterns.anywhere:
            found = patterns.anywhere.search(*where, partial=not final)
        to = len(self._held) if found is None else found.start()
        all_of_it = found is None and (final or patterns.anywhere is None)
        self._show("content", to, parts, all_of_it)
        if found is None or found.partial:
            return False
        self._block = patterns.block_of(found)
        if self._block is not None and self._block.read is not None:
            self._begin, self._body, self._scanned, self._ends = found, found.end(), found.end(), 0
        else:
            self._take("markup", found.end(), parts)
            self._joined = False
        return True

    def _inside(self, block: Block, parts: list[Part], final: bool) -> bool:
        end = self._patterns.ends[block]
        found = end.search(self._held, self._at, partial=not final) if end else None
        to = len(self._held) if found is None else found.start()
        self._show("content" if block.kind == "content" else "reasoning", to, parts,
                   found is None and final)  # fmt: skip
        if found is None or found.partial:
            return False
        self._take("markup", found.end(), parts)
        self._block, self._joined = None, False
        return True

    def _inside_calls(self, block: Block, parts: list[Part], final: bool) -> bool:
        """A call is told at its end, and read again at the next end if this one was inside it."""
        end = self._patterns.ends[block]
        found = end.search(self._held, self._scanned, partial=not final) if end else None
        closes = after = len(self._held)
        if ended := found is not None and not found.partial:
            closes, after = found.span()
        elif not final and closes <= MOST_CALL:
            self._scanned = closes if found is None else found.start()
            return False
        calls: list[ToolCall] = []
        try:
            if closes <= MOST_CALL:
                written = Written(self._begin, self._held[self._body : closes])
                calls = block.read(written, self._types) if block.read else []
        except Unfinished:
            if ended and self._ends < MOST_ENDS:
                self._ends, self._scanned = self._ends + 1, max(after, closes + 1)
                return True
        except Malformed:
            pass
        self._block = None
        if not calls:
            self._take("content", after, parts)
            self._joined, self._pure = True, False
            return True
        raw, self._at, self._joined = self._held[self._at : after], after, False
        for call in calls:
            named = call if call.id else replace(call, id=f"call{self._next_call:05d}")
            self._next_call += 1
            parts.append(Part("call", raw, "", named))
            raw = ""
        return True

    def _show(self, kind: PartKind, to: int, parts: list[Part], all_of_it: bool) -> None:
        """What is before `to`, but for white space at its ends, which may be of no account."""
        text = self._held[self._at : to]
        begin = self._at + (0 if self._joined else len(text) - len(text.lstrip()))
        end = self._at + len(text.rstrip())
        if to - end > MOST_SPACE or (all_of_it and self._joined and kind == "content"):
            end = to
        if begin < end:
            self._take("markup", begin, parts)
            self._take(kind, end, parts)
            self._joined = True
            self._pure = self._pure and kind != "content"
        if all_of_it:
            self._take("markup", to, parts)

    def _take(self, kind: PartKind, to: int, parts: list[Part]) -> None:
        """Make what is before `to` a part."""
        if to > self._at:
            raw, shown = self._held[self._at : to], self._shown[self._at : to]
            seen = raw if all(shown) else "".join(compress(raw, shown))
            parts.append(Part(kind, raw, "" if kind == "markup" else seen))
            self._at = to


def message(
    content: str, reasoning: str = "", tool_calls: Sequence[ToolCall] = ()
) -> dict[str, Any]:
    """An answer as a message of the conversation that goes on."""
    said: dict[str, Any] = {"role": "assistant", "content": content}
    if reasoning:
        said["reasoning_content"] = reasoning
    if tool_calls:
        said["tool_calls"] = [call.message() for call in tool_calls]
    return said


@dataclass(frozen=True)
class _Patterns:
    """A syntax, compiled; None for a pattern that would match nothing."""

    first: Any
    anywhere: Any
    ends: Mapping[Block, Any]
    blocks: tuple[Block, ...]

    @property
    def has_content(self) -> bool:
        """Whether content is marked as well, and not just what is left."""
        return any(block.kind == "content" for block in self.blocks)

    def block_of(self, found: Any) -> Block | None:
        """The block that a match begins; None where it is of what is not shown."""
        groups = found.groupdict()
        return next((b for i, b in enumerate(self.blocks) if groups.get(f"b{i}") is not None), None)


@lru_cache(maxsize=32)
def _patterns(syntax: Syntax, with_tools: bool) -> _Patterns:
    blocks = tuple(b for b in syntax.blocks if with_tools or not b.needs_tools)
    begins = [f"(?P<b{i}>{block.begin})" for i, block in enumerate(blocks)]
    first = [b for b, block in zip(begins, blocks, strict=True) if block.first]
    # The end of thinking that did not begin, which some prompts leave to the model.
    first += [rf"\s{{0,99}}(?:{b.end})" for b in blocks if b.first and b.kind == "reasoning"]
    anywhere = [b for b, block in zip(begins, blocks, strict=True) if not block.first]
    anywhere += [syntax.unseen] if syntax.unseen else []
    return _Patterns(
        regex.compile("|".join(first)) if first else None,
        regex.compile("|".join(anywhere)) if anywhere else None,
        {block: regex.compile(block.end) if block.end else None for block in blocks},
        blocks,
    )


def _opens(begin: str, prompt: str) -> bool:
    return bool(regex.search(rf"(?:{begin})\s*+\Z", prompt[-MOST_OPENING:]))
