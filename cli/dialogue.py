"""A conversation at a terminal: questions and answers, and taking them back."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vatra.cli import terminal
from vatra.cli.answer import MarkdownPage, Page, PlainPage, stream
from vatra.cli.form import grammar_of
from vatra.cli.progress import waiting
from vatra.cli.settings import Settings
from vatra.cli.timings import details, statistics
from vatra.errors import UsageError

if TYPE_CHECKING:
    from vatra.engine.conversation import Conversation
    from vatra.engine.generation import Steps
    from vatra.engine.model import Model
    from vatra.engine.sampling import Sampling

QUICK_S = 0.5  # Ctrl-C again within this after an answer was stopped leaves
WHEN_FULL = "/undo drops the last exchange, /clear all of them"


@dataclass
class Dialogue:
    """A conversation, how its answers are made and shown, and the last of them."""

    conversation: Conversation
    settings: Settings
    verbose: bool = False
    last: Steps | None = None
    used: int = 0  # tokens of context
    forgotten: int = 0  # messages that the person knows to be forgotten
    stopped_at: float = -QUICK_S  # when Ctrl-C stopped an answer

    @property
    def model(self) -> Model:
        return self.conversation.model

    def ask(self, text: str, sampling: Sampling | None = None) -> bool:
        """Write the answer to `text`; False if it was stopped before it began.

        Raises UsageError where there is no room for it, KeyboardInterrupt if Ctrl-C was pressed
        twice.
        """
        settings, page = self.settings, self._page()
        chosen = sampling or settings.sampling
        steps: Steps | None = None
        with (
            terminal.silent_keys(),
            terminal.polite_interrupt() as interrupt,
            waiting(interrupt) as shown,
        ):
            try:
                steps = self.conversation.say(
                    text, chosen, settings.max_tokens, settings.stop, shown.on_prompt,
                    grammar=grammar_of(settings.form),
                )  # fmt: skip
                self.last = steps
                stream(steps, shown, interrupt, page, settings.thinking)
            except KeyboardInterrupt:
                if steps is not None:
                    steps.close()
                self.stopped_at = time.monotonic()
        self.used = len(self.conversation.session.timeline)
        if interrupt.repeated:
            raise KeyboardInterrupt
        if interrupt.requested:
            terminal.note("(stopped)", dim=True)
        if steps is None:
            return False
        if steps.finish_reason == "length" and self.conversation.session.is_full:
            n_ctx = self.conversation.session.n_ctx
            terminal.note(f"(the context of {n_ctx} tokens is full: {WHEN_FULL})")
        if self.conversation.forgotten > self.forgotten:
            self.forgotten = self.conversation.forgotten
            terminal.note(f"(the model has forgotten the oldest {self.forgotten} messages)")
        if settings.stats:
            terminal.note(statistics(steps, chosen, settings.max_tokens), dim=True)
        if self.verbose:
            for line in details(self.model, steps, chosen):
                terminal.note(line, dim=True)
        return True

    def ask_again(self, text: str | None = None) -> None:
        """Another answer to the last question, or to `text` in its place.

        The conversation is as it was if no answer begins. Raises UsageError without a question.
        """
        before = self.conversation.messages
        said = self.conversation.take_back()
        if said is None:
            raise UsageError("nothing was said yet")
        # The seed that was asked for would give the same answer once more.
        sampling = replace(self.settings.sampling, seed=None) if text is None else None
        begun = False
        try:
            begun = self.ask(said if text is None else text, sampling)
        finally:
            if not begun:
                self.conversation.messages = before

    def count(self) -> int:
        """The tokens of the conversation as it is now, also made known as `used`."""
        conversation, messages = self.conversation, self.conversation.messages
        ids = self.model.chat_ids(messages, False, conversation.template) if messages else []
        self.used = len(ids)
        return self.used

    def said_last(self, role: str) -> str:
        """The last text of `role`; raises UsageError if there is none."""
        messages = reversed(self.conversation.messages)
        found = next((m for m in messages if m["role"] == role and m.get("content")), None)
        if found is None:
            raise UsageError("nothing was said yet" if role == "user" else "no answer yet")
        return str(found["content"])

    def _page(self) -> Page:
        drawn = self.settings.markdown and terminal.has_pages()
        return MarkdownPage() if drawn else PlainPage()
