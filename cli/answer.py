"""An answer as a person sees it while it is written."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from vatra.cli import terminal
from vatra.cli.markdown import Line, Writer
from vatra.cli.options import Thinking
from vatra.cli.tail import Tail

if TYPE_CHECKING:
    from vatra.cli.progress import Waiting
    from vatra.cli.terminal import Interrupt
    from vatra.engine.generation import Step

FRAME_S = 1 / 30  # between two drawings, at least
SHARE = 10  # of the time, at most 1 / SHARE goes into drawing


class Page(Protocol):
    """Where the text of an answer goes."""

    def write(self, text: str) -> None:
        """Show `text` after what is there."""

    def end(self) -> None:
        """Nothing follows: the next to be written begins in a new line."""


class PlainPage:
    """The text as it is, with nothing but a line end added."""

    def __init__(self) -> None:
        self._last = "\n"

    def write(self, text: str) -> None:
        terminal.write(text)
        self._last = text[-1]

    def end(self) -> None:
        if self._last != "\n":
            terminal.write_line()


class NoPage:
    """Nothing is shown until the answer is complete."""

    def write(self, text: str) -> None:
        pass

    def end(self) -> None:
        pass


class MarkdownPage:
    """The text as Markdown: finished blocks for good, the unfinished one drawn anew."""

    def __init__(self) -> None:
        self._writer, self._tail = Writer(), Tail()
        self._text = ""  # not drawn yet
        self._due = 0.0

    def write(self, text: str) -> None:
        self._text += text
        begin = time.monotonic()
        if begin < self._due:
            return
        width = _width()
        final = self._writer.push(self._text, width)
        self._text = ""
        self._tail.draw(final, self._writer.draft(width))
        end = time.monotonic()
        self._due = end + max(FRAME_S, (SHARE - 1) * (end - begin))

    def end(self) -> None:
        width = _width()
        final = self._writer.push(self._text, width)
        self._tail.draw([*final, *self._writer.finish(width), Line("", 0)], [])


def _width() -> int:
    # The last column stays free: after a sign in it, terminals differ in where the cursor is.
    return max(terminal.size()[0] - 1, 8)


def stream(
    steps: Iterable[Step],
    shown: Waiting,
    interrupt: Interrupt,
    page: Page,
    thinking: Thinking = Thinking.dim,
) -> None:
    """Write the text of `steps` on `page` as it comes.

    Thinking and tool calls are noted on standard error. Raises KeyboardInterrupt between two tokens
    if `interrupt` asks for it.
    """
    thinks = False
    try:
        for step in steps:
            shown.clear()
            if step.reasoning:
                if thinking is Thinking.dim:
                    terminal.note(step.reasoning, dim=True, end="")
                elif not thinks:
                    terminal.note("(thinking ...)", dim=True, end="")
                thinks = True
            if thinks and (step.text or step.tool_calls):
                terminal.note("")
                thinks = False
            for call in step.tool_calls:
                terminal.note(f"(a call: {call.name} {call.arguments})", dim=True)
            if step.text:
                page.write(step.text)
            interrupt.check()
    finally:
        shown.clear()
        if thinks:
            terminal.note("")
        page.end()
