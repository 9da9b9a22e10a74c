"""A conversation: messages, and the session that remembers them."""

from __future__ import annotations

import os
from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vatra.engine import session_file
from vatra.engine.generation import Steps
from vatra.engine.sampling import Sampling
from vatra.engine.session import Overflow
from vatra.engine.speculation import Speculate
from vatra.errors import BadFile, UsageError

if TYPE_CHECKING:
    from vatra.engine.constraint import Grammar
    from vatra.engine.model import Model
    from vatra.formats.answers import Answer
    from vatra.formats.chat_template import ChatTemplate, Message


class Conversation:
    """A person's and a model's messages in turn; what was evaluated once is not evaluated again.

    `system` is what the model is told before them, and may be changed at any time. `template` None
    is the model's own; `template_kwargs` are handed to it. `tools` are functions that the model may
    call: see `Model.chat`. `speculate` is that of `Session.generate`.

    A full context ends an answer, and a prompt longer than it raises ContextFull. With
    `overflow="shift"` the model forgets the oldest turns instead, each a message of the person with
    all that answered it, so that about half of the context is free again; `forgotten` messages
    after the system message are then not told any more. Of a last turn that is too long by itself
    the answer is forgotten, half of it at a time, but never what the person said.
    """

    def __init__(
        self,
        model: Model,
        system: str | None = None,
        template: ChatTemplate | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        speculate: Speculate = None,
        overflow: Overflow = "stop",
    ) -> None:
        if overflow not in ("stop", "shift"):
            raise UsageError(f'overflow: got {overflow!r}, wanted "stop" or "shift"')
        self.model = model
        self.template = template or model.chat_template
        self.session = model.session()
        self._template_kwargs, self._tools = dict(template_kwargs or {}), tools
        self.system = system
        self._messages: list[Message] = []  # without the system message
        self._answer: Steps | None = None
        self._speculate, self._overflow = speculate, overflow
        self.forgotten = 0

    @property
    def messages(self) -> list[Message]:
        """All messages so far, the answer as far as it was written: its thinking and calls too."""
        answer = [] if self._answer is None else [self._answer.message]
        return [*self._beginning, *self._messages, *answer]

    @messages.setter
    def messages(self, messages: Sequence[Message]) -> None:
        """Go on from other messages; a system message at their beginning takes the old one's place.

        Raises UsageError for one without role and content.
        """
        for i, message in enumerate(messages):
            if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
                raise UsageError(f"messages[{i}]: got {message!r:.80}, wanted a role and content")
        self.clear()
        system = bool(messages) and messages[0]["role"] == "system"
        self.system = messages[0].get("content") if system else None
        self._messages = list(messages[1:] if system else messages)

    @property
    def _beginning(self) -> list[Message]:
        return [] if self.system is None else [{"role": "system", "content": self.system}]

    def take_back(self) -> str | None:
        """Forget the last thing said and all that followed; returns it, None if there is none."""
        messages = self.messages
        asked = [i for i, message in enumerate(messages) if message["role"] == "user"]
        if not asked:
            return None
        self.messages = messages[: asked[-1]]
        return str(messages[asked[-1]].get("content", ""))

    def say(
        self,
        text: str,
        sampling: Sampling | None = None,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        progress: Callable[[int, int], None] | None = None,
        *,
        logprobs: int = 0,
        grammar: Grammar | None = None,
    ) -> Steps:
        """The steps of the answer to `text`; for the options see `Session.generate`.

        An answer that is still being written ends here. If this raises (ContextFull, an error of
        the template, an interrupt) the conversation is as it was before.
        """
        said = {"role": "user", "content": text}
        return self._answered([said], sampling, max_tokens, stop, progress, logprobs, grammar)

    def tell(
        self,
        results: Mapping[str, str],
        sampling: Sampling | None = None,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        progress: Callable[[int, int], None] | None = None,
        *,
        logprobs: int = 0,
        grammar: Grammar | None = None,
    ) -> Steps:
        """The steps of the answer to what tools returned: by the ids of the calls of the last one.

        Raises UsageError unless these are the calls that were made.
        """
        calls = [] if self._answer is None else self._answer.tool_calls
        if not calls or {call.id for call in calls} != set(results):
            wanted = ", ".join(call.id for call in calls) or "none, as there was no call"
            raise UsageError(f"results: got those of {', '.join(results)}, wanted {wanted}")
        told: list[Message] = [
            {"role": "tool", "tool_call_id": c.id, "name": c.name, "content": results[c.id]}
            for c in calls
        ]
        return self._answered(told, sampling, max_tokens, stop, progress, logprobs, grammar)

    def _answered(
        self,
        said: Sequence[Message],
        sampling: Sampling | None,
        max_tokens: int | None,
        stop: Sequence[str],
        progress: Callable[[int, int], None] | None,
        logprobs: int,
        grammar: Grammar | None,
    ) -> Steps:
        messages = [*self.messages, *said]
        forgotten = self.forgotten
        ids, answer = self._prompt(messages, forgotten)
        n_tokens = len(ids)
        if self._overflow == "shift" and n_tokens > self.session.n_ctx:
            forgotten, ids, answer = self._shorter(messages, 0)
        if self._answer is not None:
            self._answer.close()
        self.session.sync(ids, progress)
        steps = self.session.generate(
            sampling,
            max_tokens,
            stop,
            answer,
            logprobs=logprobs,
            grammar=grammar,
            speculate=self._speculate,
            overflow=self._go_on if self._overflow == "shift" else "stop",
            progress=progress,
        )
        steps.statistics.dropped_tokens = n_tokens - len(ids)
        self._messages = messages[len(self._beginning) :]
        self._answer, self.forgotten = steps, forgotten
        return steps

    def _prompt(self, messages: Sequence[Message], forgotten: int) -> tuple[list[int], Answer]:
        """`Model.chat_prompt` of all messages but those that are forgotten."""
        begin = len(self._beginning)
        return self.model.chat_prompt(
            [*messages[:begin], *messages[begin + forgotten :]],
            template=self.template,
            **{"tools": self._tools, **self._template_kwargs},
        )

    def _shorter(self, messages: Sequence[Message], n_answer: int) -> tuple[int, list[int], Answer]:
        """How many messages to forget, that the rest and `n_answer` tokens take half the context.

        With the tokens of the rest, and what reads an answer. The last turn is never forgotten.
        """
        begin = len(self._beginning)
        turns = [i - begin for i, m in enumerate(messages) if i >= begin and m["role"] == "user"]
        later = [first for first in turns if first >= self.forgotten]
        most = self.session.n_ctx // 2 - n_answer
        at = bisect(
            later[:-1], False, key=lambda first: len(self._prompt(messages, first)[0]) <= most
        )
        return later[at], *self._prompt(messages, later[at])

    def _go_on(self) -> list[int] | None:
        """The tokens to go on with in the middle of an answer, None if there is no way."""
        assert self._answer is not None
        n_ctx, tokens = self.session.n_ctx, self._answer.tokens
        forgotten, ids, _ = self._shorter([*self._beginning, *self._messages], len(tokens))
        if len(ids) > n_ctx // 2:
            return None
        self.forgotten = forgotten
        half = (n_ctx - len(ids)) // 2
        return [*ids, *(tokens if len(tokens) <= half else tokens[len(tokens) - half :])]

    def save(self, path: str | os.PathLike[str], extra: Mapping[str, Any] | None = None) -> None:
        """Write messages and session to a file, with `extra`; raises as `Session.save`."""
        told = {"messages": self.messages, "forgotten": self.forgotten}
        self.session.save(path, {"conversation": told, "extra": dict(extra or {})})

    def load(self, path: str | os.PathLike[str]) -> dict[str, Any]:
        """Go on from what `save` wrote; gives `extra`.

        Raises as `Session.load`, BadFile where there are no messages; all is then as it was.
        """
        timeline, content = session_file.load(path, self.model, self.session.n_ctx)
        messages, forgotten, extra = saved_conversation(path, content)
        self.messages = messages
        self.forgotten = forgotten
        self.session.go_on_from(timeline)
        return extra

    def clear(self) -> None:
        """Forget everything but the system message."""
        if self._answer is not None:
            self._answer.close()
        self._messages, self._answer, self.forgotten = [], None, 0


def saved_conversation(
    path: str | os.PathLike[str], content: Mapping[str, Any]
) -> tuple[list[Message], int, dict[str, Any]]:
    """Messages, how many are forgotten, and `extra`, of what `Conversation.save` has written.

    Raises BadFile naming the field that is not so.
    """
    told, extra = content.get("conversation"), content.get("extra")
    if not isinstance(told, dict) or not isinstance(extra, dict):
        raise BadFile(path, "a session without a conversation", field="conversation")
    messages, forgotten = told.get("messages"), told.get("forgotten")
    for message in messages if isinstance(messages, list) else [None]:
        if not (
            isinstance(message, dict)
            and isinstance(message.get("role"), str)
            and isinstance(message.get("content"), str)
        ):
            raise BadFile(path, "wanted objects with role and content", field="messages")
    assert isinstance(messages, list)
    if type(forgotten) is not int or not 0 <= forgotten <= len(messages):
        raise BadFile(path, "wanted a number of messages", field="forgotten")
    return messages, forgotten, extra
